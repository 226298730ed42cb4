"""What is to go: "forget what I said about", "delete my address", "you shouldn't keep that".

Verbs of memory take any object. Those that are said of text and files as well need one that only
memory has: something of the speaker's own, something that was told, or a thing that is no text.
"""

from __future__ import annotations

import re
from typing import Final

from memos_core.interface.rules.finding import Find, after_lead, after_request, found
from memos_core.interface.rules.lexicon import FIRST, KIN, TEXTUAL
from memos_core.interface.rules.sentences import Sentence, starts

_SURE: Final = re.compile(
    r"(?:forget|unlearn|un-?remember|no more (?:mentions? of|talk (?:of|about))|"
    r"(?:never|don'?t|do not)(?: ever)? (?:bring up|mention|refer to|raise|talk "
    r"about)(?=.+\bagain\b)|stop (?:remembering|keeping|storing|holding on to|hanging "
    r"on to|saving"
    r"|bringing up|mentioning|reminding me (?:of|about)|knowing|recording|retaining|"
    r"tracking)|forgetting|unlearning|(?:stop )?keeping track of|no longer "
    r"(?:remember|keep|store)|i(?:'m| am)? ?withdraw(?:ing)?(?: my)? consent (?:for|"
    r"to (?:store|keep|hold|use|process|remember))|you (?:don'?t|do not|no longer) "
    r"need(?: to (?:have|know|keep))?(?= (?:my|our|the|his|her))|there(?:'s| is) no "
    r"need for you to (?:know|keep|have)|cancel(?= (?:everything|what) (?:you|i))"
    r"|(?:pretend|act|behave|carry on)(?: that| like| as if| as though)? (?:i|we) "
    r"(?:never|didn'?t|had(?:n'?t| never))(?: ever)? (?:said|say|told you|tell you"
    r"|mention(?:ed)?|brought up|bring up|shared?|gave you|give you|talk(?:ed)?)(?: "
    r"to you)?(?: anything)?"
    r"|(?:clear|wipe|purge|cleanse|scrub|empty|clean) (?:your|the) (?:memory|memories|"
    r"mind|records?|notes?|files?|history) of"
    r"|i (?:regret|shouldn'?t have|should not have|should never have|wish i hadn'?t|"
    r"wish i never)(?: ever)? (?:telling you|told you|mentioning|mentioned|sharing|"
    r"shared|brought up|bringing up|said)(?: anything)?(?=.*\b(?:delete|erase|forget|"
    r"remove|wipe|drop|scrub|bin)\b))\b(?: all)?(?: about)? "
)
_DISLOCATED: Final = re.compile(
    r"(?P<what>.{3,}?)(?: (?:is|are|was|isn't|aren't|shouldn't be|should not be) "
    r"(?:no longer|obsolete|dead|done|over|finished|cancelled|in there|there|stored|"
    r"stale|expired|useless|not|private|none of|wrong|outdated|irrelevant|"
    r"confidential|history|over|old news)[\w ]*)?\s*(?:,|:|;|\s-|\.{2,}|\u2026|"
    r"\s?\u2014|\.)\s*(?:(?:please|just|can you|could you|would you|you can|you may|"
    r"so|and|pls|let's|i want you to|i'd like you to|you should|better|kindly|now) )*"
    r"(?:(?:forget|delete|erase|remove|wipe|purge|drop|lose|scrub|strike|scrap|"
    r"discard|bin|ditch|unlearn|get rid of|dump|clear|throw|let go of|chuck) (?:it|"
    r"that|them|this|those|all (?:of )?(?:it|that|this)|the lot|him|her|that one|"
    r"everything)\b.*|(?:forget|delete|erase|remove|wipe|purge|scrub|bin|scrap|gone|"
    r"deleted|erased|forgotten)(?: please| pls| now)?[\s.!]*)"
)
_KEEP: Final = (
    r"(?:keep|remember|store|hold|hold on ?to|hang on ?to|have|know|retain|save|track|keep track of"
    r"|memori[sz]e|record|keep hold of|keep a record of|be keeping|be storing|be "
    r"holding|hold onto|log)"
)
_DONT: Final = re.compile(
    r"(?:don'?t|do not|you (?:shouldn'?t|should not|needn'?t|mustn'?t|must not|don'?t "
    r"(?:need|have) to"
    r"|no longer need to|can stop|aren'?t to|have no reason to)|(?:there(?:'s| is) "
    r")?no (?:need|reason) (?:for you )?to"
    r"|i (?:don'?t|do not|no longer) (?:want|need|like) you to|i(?:'d| would) "
    r"(?:rather|prefer) (?:it )?(?:if )?you "
    r"(?:didn'?t|don'?t|not|did not)|i don'?t think you should) "
    rf"(?:even |ever |also )?{_KEEP}(?: any ?more)? "
)
_GENERIC: Final = re.compile(
    r"(?:delet(?:e|ing)|eras(?:e|ing)|remov(?:e|ing)|wipe out|wip(?:e|ing)|purge|"
    r"drop(?:ping)?|los(?:e|ing)|scrub(?:bing)?|take(?=.+ (?:off|out of|from) (?:your|"
    r"the) )|leave(?=.+ out\b)|strike|scrap|discard|throw (?:away|out)|get rid of"
    r"|clear(?: out)?|dump|expunge|bin|ditch|take (?:out|off)|redact|cross out|blank "
    r"out|destroy|shred|trash"
    r"|let go of|clean (?:out|up)|do away with|eliminate|undo|un-?save|unlearn|cut|"
    r"wipe out|nuke|dispose of"
    r"|chuck(?: out)?|rub out|see to it that you forget) "
)
_NO_THING: Final = re.compile(
    r"(?:if|when|she|he|they|it's|you|we|this|that's|there|let'?s|i(?!\b.*\babout)\b"
    r"|my \w+ (?:said|told)|(?:can|could|would|will|please|do)\b)"
)
_UNWANTED: Final = re.compile(
    r"i (?:don'?t|do not|no longer|never) want (?!to\b|you to\b)(?:you (?:to be "
    r")?(?:holding on ?to|hanging on ?to|keeping|storing|having|remembering|knowing) "
    r")?(?P<what>.{2,}?)(?: (?:to be )?(?:stored|kept|saved|on record|on file|"
    r"remembered|recorded|in (?:there|your \w+)|known|around)"
    r"(?: any ?more| any longer)?[\s.!]*$)"
)
_HOLDING: Final = re.compile(
    r"(?:i (?:don'?t|do not|no longer) (?:want|like) you|stop|i'?d (?:feel|be) "
    r"(?:better|happier|more comfortable|glad)[\w ]* if you|it would be (?:better|"
    r"good|best|nice)[\w ]* if you|i(?:'d| would) appreciate it if you|i wish "
    r"you(?:'d| would)?|could you|please) "
    r"(?:holding on ?to|hanging on ?to|keeping|storing|having|remembering|knowing|"
    r"forgot|would forget|could forget|deleted|erased|removed|dropped|wiped|(?:'d|"
    r"would|could) (?:delete|erase|remove|forget|drop)) (?P<what>.+)"
)
_MADE: Final = re.compile(
    r"(?:please |can you |could you |would you |just )*(?:make|let) (?P<what>(?:my|"
    r"our|the|that|all|\w+'s)\b.{1,60}?) (?:disappear|vanish|go away|be forgotten|"
    r"go)[\s.!?]*$"
    r"|(?:can|could|may) (?P<what2>(?:my|our|the stuff|that stuff|all|"
    r"everything)\b.{1,60}?) (?:go|be (?:deleted|forgotten|erased|removed|"
    r"wiped))\b(?: now| please)*[\s.!?]*$"
)
_REQUESTED: Final = re.compile(
    r"\b(?:i (?:hereby )?(?:request|demand|ask for|want|would like|'d like)|please "
    r"arrange|requesting)"
    r"(?: the| a| an| immediate| full)* (?:deletion|erasure|removal|forgetting) of "
)
_PASSIVE: Final = re.compile(
    r"(?P<what>.{2,}?) (?:(?:can|should|must|may|has to|have to|needs? to|ought to|had better) "
    r"(?:all |just |now |really )?(?:go\b(?! (?:to|in|on|into|out|first|back|ahead|with))|disappear"
    r"|be (?:forgotten|deleted|erased|wiped|removed|purged|scrubbed|thrown (?:away|"
    r"out)|gone|dropped|cleared)))"
)
_WISHED: Final = re.compile(
    r"(?:i(?:'d| would)? (?:want|like|need|prefer)(?: to have| to see)?|make sure(?: that)?|i want"
    r"|(?:please )?(?:have|get)) (?P<what>.{2,}?) (?:is |are |be |to be "
    r")?(?:forgotten|deleted|erased"
    r"|wiped|removed|purged|scrubbed|gone|off (?:the|your) (?:record|records|memory|"
    r"files?|notes))\b"
)
_HOLDER: Final = (
    r"(?:everything|anything|all(?: (?:that|of it))?|whatever|what|(?:(?:all|any|"
    r"every|each)(?: of)? )?"
    r"(?:(?:the|that|those|these|this|your|every|any|all|any of the|whole|entire|old|"
    r"earlier|previous|"
    r"saved|stored) )*"
    r"(?:things?|stuff|bits?|parts?|pieces?|notes?|entry|entries|records?|memory|"
    r"memories|info|information"
    r"|details?|data|conversations?|chats?|facts?|lines?|items?|mentions?|business|"
    r"messages?|references?"
    r"|traces?|comments?|remarks?|knowledge|file|talk|discussions?|rant|story))"
)
_KNOWN: Final = (
    r"(?: (?:that |which )?(?:you(?:'ve| have)?(?: got| ever| still| may| might| "
    r"have)* ?(?:know|knew|have|had"
    r"|kept|keep|saved|stored|store|hold|remember|remembered|learned|learnt|noted|"
    r"recorded|wrote|written"
    r"|picked up|heard|got)?(?: down| stored| saved| on file| on record)?"
    r"|(?:i|we)(?:'ve|'d| have| had| may have| might have)?(?: ever| just| once| "
    r"already| previously)*"
    r" (?:said|told you|tell you|mentioned|shared|gave you|wrote|talked|discussed|"
    r"spoke|chatted|brought up"
    r"|let slip|confided|complained|moaned|ranted|went on)(?: to you| with you)?))"
)
_WHEN: Final = (
    r"(?: (?:yesterday|earlier(?: today| on)?|today|before|last \w+|the other day|"
    r"this \w+|on \w+day"
    r"|\w+ (?:days?|weeks?|months?) ago|recently|just now|a while (?:ago|back)))?"
)
_HELD: Final = re.compile(
    rf"(?:{_HOLDER}{_KNOWN}?{_WHEN} (?:about|on|of|regarding|concerning|around|re|"
    rf"relat(?:ing|ed) to|to do with"
    r"|with|where i (?:talked|said|told you|mentioned|complained|wrote|spoke)(?: "
    r"about)?|in which i (?:talk|talked) about|involving|with regard to|in regard to) "
    r"(?!monday|tuesday|wednesday|thursday|friday|saturday|sunday|the \d|\d)|"
    r"(?:(?:the fact )?that )?(?:i|we) (?:ever |even |never )*"
    r"(?:said|mentioned|told you|brought up|gave you|talked about|spoke about|shared)"
    rf"{_WHEN}(?: (?:about|that|anything about|to you about|you about))? |the fact "
    rf"that |that (?=i\b|i'|we\b|my\b))"
)
_FROM: Final = re.compile(
    r"[\s,]+(?:from|in|off|out of) (?:your|the|my|our) (?:\w+ )?(?:memory|memories|"
    r"mind|records?|notes?|files?"
    r"|profile|storage|knowledge|database|history|system|brain|list of facts)\b.*$"
    r"|[\s,]+(?:that |which )?i (?:gave|told|sent|mentioned|shared|wrote)(?: to| "
    r"with)?(?: you)?(?: earlier| before| yesterday| once| last \w+| about)?$"
    r"|[\s,]+(?:off|out)$|[\s,]+(?:from )?(?:what|whatever|everything|anything) you "
    r"(?:know|have|remember|'ve got|keep)\b.*$"
    r"|[\s,]+(?:now|then|again|too|as well|entirely|completely|altogether|permanently|"
    r"forever|for good"
    r"|immediately|right away|straight ?away|asap|at once|any ?more|any longer|from now on|already"
    r"|at all|on file|stored|saved|in there|on record|lying around|around|in mind)$"
)
_AFTER: Final = re.compile(
    r"[,;:]? (?:-|\u2013|\u2014) |[,;] (?=(?:i|i'm|i've|i'd|it|it's|its|he|she|they|"
    r"we|that|that's|this|there|because"
    r"|since|as|so|take|just|please|pls|thanks|cheers|ok|would|will|can|could|which|"
    r"no longer|not|and (?:i|then|"
    r"keep|save)|but|he's|she's|they're|we're|don't|do|get|never|delete|erase|wipe|"
    r"forget|remove|if|the|my|"
    r"for|all of it)\b)"
    r"|\.{2,}|\u2026| (?:because|since|as (?:it|i|we|he|she|they)|so (?:i|that|we)|"
    r"it's|it is|it was|i don't"
    r"|i no longer|we no longer|but|and (?:i|we|it|then|instead|don't|never|just|"
    r"please|start|remember|keep|add)"
    r"|if you|when you|before you|that's) ?"
)
_NOT_MEMORY: Final = re.compile(
    r"(?:things|stuff|(?:the )?\w*(?:dishes|laundry|whiteboard|diet)|it|that|this|"
    r"them|him|her|me|you|us|one|all|those|these|the (?:rest|others?|last one|first "
    r"one)"
    r"|about it|about that|what (?:i|we) just (?:said|asked|wrote)|everything else|"
    r"which|whether|how|why"
    r"|to|ever|not|the whole thing|a|an|your|yourself|where|when|who)(?: (?:again|all|"
    r"now|ever|just|asking))?$"
    r"|(?:to|how to|why|whether|if|where|when|who) |it\b(?! was)|(?:a|an|another|some|"
    r"one|every|each|your) \w+"
)
_NOT_KEPT: Final = re.compile(
    r"(?:this|that|it|the following|what i(?:'m| am)\b.*|anything i (?:say|tell).*|"
    r"any of this|this (?:one|bit"
    r"|conversation|chat|part|message|session).*|everything i (?:say|tell).*|what i "
    r"(?:say|tell|'ll).*|me|us|to .*"
    r"|if|asking.*|saying.*|telling.*|much|a|an|any|that way.*|a lot.*|him|her|them)\b"
)
_OWN_THING: Final = re.compile(
    rf"\b(?:my|our|mine|me|us)\b|\b{KIN}\b|\w's\b|\b(?:i|we)(?:'\w+)? (?:\w+ )?(?:told|"
    rf"said|mentioned|gave|shared)"
    r"|you (?:know|have|kept|keep|saved|stored|hold|remember)|\bmemor(?:y|ies)\b|"
    r"\bthing\b|\bstuff\b|about me"
    r"|\b(?:everything|anything|all) (?:on|about|regarding)\b|\bbit about\b|"
    r"\b(?:entry|record|note|notes) (?:on|about)\b|\beverything from\b|from (?:last|"
    r"yesterday)"
)
_WEAK: Final = re.compile(
    r"(?:lose|drop|take|cut|clear|strike|bin|undo|ditch|dump|destroy|get(?! rid)|have|"
    r"leave)\b"
)
_QUESTION: Final = re.compile(
    r"(?:how|why|what|what's|whats|where|when|who|does|did|do|is|are|was|were|should|"
    r"shall|have|has|which)\b"
)
_WORKED_ON: Final = re.compile(
    r"\b(?:in|from|of|at|after|before) (?:the|this|that|my|your|each|every|a) (?:\w+ "
    r")?(?:text|list|paragraph|sentence"
    r"|essay|draft|document|file|table|code|function|email|letter|page|end|beginning|"
    r"array|dict|string|desktop"
    r"|folder|repo|database|cart|basket|slide|title|carpet|shirt|fridge|phone|laptop|"
    r"computer|disk|drive"
    r"|spreadsheet|summary|answer|reply|above|script|post|story|poem|recipe|outline|plan)\b"
)


def forgetting(sentence: Sentence) -> Find | None:
    """Find what a sentence asks to forget, if it does."""
    plain = sentence.plain
    lead = after_lead(plain)
    if made := _unwanted(sentence, lead):
        return made
    if _QUESTION.match(plain, lead) and not re.match(r"do (?:forget|delete|erase)", plain[lead:]):
        return None
    if match := _REQUESTED.search(plain):
        return _object(sentence, match.end(), sure=True)
    if made := _passive(sentence, lead):
        return made
    if re.match(
        r"let'?s (?:just )?(?:forget|drop|stop)\b(?! (?:what|everything|all|that (?:i|we)|"
        r"my|our|i |the whole))",
        plain[lead:],
    ):
        return None
    for begin in starts(plain):
        at = after_lead(plain, begin)
        if made := _asked(sentence, after_request(plain, at), at):
            return made
    return None


def _unwanted(sentence: Sentence, lead: int) -> Find | None:
    """Read a thing that is named before what is to be done with it: "my old PIN, forget it"."""
    plain = sentence.plain
    if (match := _DISLOCATED.match(plain, lead)) and not sentence.asked:
        what = match["what"]
        if not _NO_THING.match(what) and (_own(what) or not _is_text(what)):
            return _object(sentence, *match.span("what"), sure=True)
    for pattern in (_UNWANTED, _HOLDING, _MADE):
        if match := pattern.match(plain, lead):
            name = next(each for each in match.re.groupindex if match[each])
            return _object(sentence, *match.span(name), sure=True)
    return None


def _passive(sentence: Sentence, lead: int) -> Find | None:
    """Read "my address can go", "I want my address deleted"."""
    plain = sentence.plain
    kept = re.search(r"(?:your|the) (?:memory|records?|notes?|files?)", plain)
    for pattern in (_WISHED, _PASSIVE):
        if (match := pattern.match(plain, lead)) and (kept or _own(match["what"])):
            return _object(sentence, *match.span("what"), sure=False)
    return None


def _asked(sentence: Sentence, verb: int, before: int) -> Find | None:
    """Read a request, by its verb."""
    plain = sentence.plain
    if match := _SURE.match(plain, verb):
        return _object(sentence, match.end(), sure=True)
    if match := _DONT.match(plain, before) or _DONT.match(plain, verb):
        if _NOT_KEPT.match(plain, match.end()):
            return None
        return _object(sentence, match.end(), sure=True)
    if match := _GENERIC.match(plain, verb):
        weak = bool(_WEAK.match(plain, verb))
        return _object(sentence, match.end(), sure=False, weak=weak)
    return None


def _object(
    sentence: Sentence, start: int, end: int | None = None, *, sure: bool, weak: bool = False
) -> Find | None:
    """Cut the object of a verb down to what it is about."""
    plain = sentence.plain
    stop = len(plain) if end is None else end
    if cut := _AFTER.search(plain, start + 1, stop):
        stop = cut.start()
    whole = found("forget", sentence, start, stop)
    if whole is None:
        return None
    stop = whole.end - sentence.start
    while far := _FROM.search(plain[:stop], start + 1):
        stop = far.start()
    said = plain[start:stop].strip(" ,.!?")
    if re.match(
        r"(?:the |that |my )?(?:first|last|second|third|other|slate|\w+ (?:draft|version|"
        r"paragraph|option|subject|topic))\b",
        said,
    ) and not re.search(r"\b(?:i|you|about)\b", said):
        return None
    if not said or _NOT_MEMORY.fullmatch(said) or (not sure and _NOT_MEMORY.match(said)):
        return None
    if not sure and not _own(plain[start:]) and (weak or _is_text(said)):
        return None
    if not sure and (_WORKED_ON.search(plain, start) or _is_draft(said)):
        return None
    return found("forget", sentence, _about(plain, start, stop), stop)


def _about(plain: str, start: int, stop: int) -> int:
    """Skip what only holds the thing: "everything you know about", "the entry on"."""
    while match := _HELD.match(plain, start, stop):
        rest = plain[match.end() : stop].strip(" ,.!?")
        if rest in ("", "me", "us", "myself", "you", "it", "that"):
            break
        start = match.end()
    return start


def _own(said: str) -> bool:
    return bool(_OWN_THING.search(said))


def _is_text(said: str) -> bool:
    return bool(TEXTUAL.search(said)) or not re.match(
        r"(?:the|that|those|these|all|any|every)\b", said
    )


def _is_draft(said: str) -> bool:
    """Whether the thing is the speaker's own text or account, which is worked on and not kept."""
    head = re.sub(rf"{FIRST.pattern}|\b(?:last|old|new|first)\b", "", said).strip()
    return bool(re.fullmatch(rf"(?:the )?{TEXTUAL.pattern}(?: \w+)?", head))
