"""Words by what they tell a rule. British and American spellings stand beside each other."""

from __future__ import annotations

import re
from typing import Final


def either(words: str) -> str:
    """Make a pattern of any of these words; `_` stands for a blank. The longest comes first.

    >>> either("a b_c")
    '(?:b c|a)'
    """
    found = sorted((each.replace("_", " ") for each in words.split()), key=len, reverse=True)
    return "(?:" + "|".join(found) + ")"


KIN: Final = either(
    "mum mom mummy mommy mother dad daddy father brother sister son daughter wife "
    "husband partner gran "
    "grandma granny grandmother nan nana grandad granddad grandpa grandfather aunt "
    "auntie uncle cousin "
    "niece nephew kids children twins baby toddler boyfriend girlfriend fiance fiancé fiancée "
    "stepmother stepfather stepmum stepdad stepson stepdaughter in-laws parents mother-in-law "
    "father-in-law brother-in-law sister-in-law flatmate roommate housemate boss landlord landlady"
)
FIRST: Final = re.compile(
    r"\b(?:i|i'm|im|i've|ive|i'd|i'll|my|mine|me|myself|we|we're|we've|we'd|we'll|our|ours|us)\b"
)
"""Words of the first person."""

TEXTUAL: Final = re.compile(
    r"\b(?:paragraph|sentence|bullet|line|word|phrase|heading|header|footer|footnote|"
    r"title|subtitle|caption"
    r"|comma|period|apostrophe|hyphen|bracket|parenthes[ie]s|quote|quotation|emoji|"
    r"typo|spelling|grammar"
    r"|draft|essay|letter|paper|article|report|poem|haiku|story|chapter|verse|stanza|"
    r"script|source code|(?:the|this|that|my|your) code(?! names?)|function|class"
    r"|method|variable|loop|column|row|cell|table|dataframe|database|index|file|"
    r"folder|directory|branch"
    r"|commit|repo|repository|container|package|dependency|import|whitespace|space|"
    r"tab|blank|duplicate"
    r"|null|node|element|item|list|array|key|value|string|character|slide|section|"
    r"intro|introduction"
    r"|conclusion|summary|image|picture|background|font|margin|logo|comment|"
    r"placeholder|cookie|cache|app|tabs"
    r"|account|subscription|email|e-mail|message|text|post|tweet|document|doc|pdf|spreadsheet|step"
    r"|option|example|adjective|adverb|verb|noun|clause|regex|query|server|virus|"
    r"stain|browser|history"
    r"|rest|first|second|third|last|one|ones|part|half|top|bottom|answer|reply|"
    r"response|cv|résumé|resume"
    r"|cover letter|homework|bug|error|warning|test|build|laptop|computer|screen|wine|"
    r"egg|onion|sauce"
    r"|tone|format|formatting|style|wording|layout|template variable)s?\b"
)
"""What is worked on in a chat, and not remembered."""
TECHNICAL: Final = re.compile(
    r"\b(?:(?:my|the|this|that|your|python|source) code(?! (?:is|for|to) )|function|"
    r"script|regex|query|error|exception|stack ?trace|bug|compiler|loop|array|"
    r"dataframe"
    r"|docker|git|api call|unit test|essay|paragraph|sentence|draft|cover letter|"
    r"homework|exam question"
    r"|spreadsheet|formula|css|html|sql|terminal|import statement)s?\b"
)
WEEKDAY: Final = either("monday tuesday wednesday thursday friday saturday sunday")
MONTH: Final = either(
    "january february march april may june july august september october november december"
)
AUXILIARY: Final = either(
    "am is are was were do does did have has had 's 're 've isn't aren't wasn't "
    "weren't don't doesn't "
    "didn't haven't hasn't"
)
MODAL: Final = either(
    "should can could would shall may might must ought shouldn't can't couldn't wouldn't needn't"
)
FINITE: Final = re.compile(
    r"\b(?:am|is|are|was|were|has|have|had|do|does|did|will|would|won't|can|can't|"
    r"cannot|could|should|must"
    r"|isn't|aren't|wasn't|weren't|don't|doesn't|didn't|hasn't|haven't|hadn't|ain't)\b"
    r"|\w'(?:s|re|m|ve|d|ll)\b|\b(?:im|ive|its|thats)\b"
)
"""Forms of verbs by which a clause is told from a phrase."""
HABITS: Final = either(
    "live work like love hate prefer enjoy adore detest loathe despise dislike speak "
    "play eat drink own drive "
    "teach study run cook bake swim cycle commute practise practice collect belong "
    "take wear use keep support "
    "volunteer manage lead coach sing paint knit follow sleep rent share smoke vape suffer travel "
    "train attend have_a have_an have_two have_three have_no have_my hail come_from "
    "grew_up was_born "
    "was_raised mind fancy can't_stand cannot_stand can't_eat can't_drink can't_drive can't_swim "
    "can't_have can't_tolerate can't_bear can't_abide can't_do can't_handle cannot_eat speak_no "
    "identify go_by answer_to go_to look_after care_for bank vote worship pray fast "
    "breed keep_bees "
    "always never usually normally generally typically mostly rarely seldom hardly_ever only_ever "
    "only often sometimes tend_to don't_eat don't_drink don't_like don't_do don't_drive "
    "don't_smoke don't_have don't_own don't_speak don't_use don't_wear don't_watch "
    "don't_take don't_work "
    "don't_celebrate don't_enjoy don't_cook don't_fly don't_trust don't_believe_in "
    "go_vegan follow_a no_longer used_to have_been_a have_been_an weigh earn owe stand hold "
    "struggle_with specialise_in specialize_in run_a major_in stopped quit gave_up took_up"
)
"""What is said of how somebody lives; some of it is also said in passing."""
DEEDS: Final = either(
    "moved started quit bought sold graduated married divorced adopted joined "
    "retired enrolled resigned "
    "inherited booked signed flew spent visited won turned landed accepted switched proposed broke "
    "finished passed failed lost met had handed left got_married got_engaged "
    "got_divorced got_a got_an "
    "got_my got_the got_promoted got_fired got_laid gave_birth ran_a was_diagnosed "
    "was_promoted was_fired "
    "was_made was_hospitalised were_married got_back came_back went_to took_a became "
    "founded launched "
    "published defended completed opened closed cancelled canceled renewed applied "
    "interviewed registered "
    "died passed_away was_born fell fractured sprained hired fired promised agreed "
    "hurt saw ran walked "
    "drove cycled swam climbed planted celebrated hosted attended baked cooked ordered paid "
    "went started_school separated split_up relocated emigrated tore tested"
)
"""What was done, in the past tense."""
