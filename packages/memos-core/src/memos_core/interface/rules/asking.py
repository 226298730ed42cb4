"""Asking: what a sentence's own words allow to be read in it, whatever else speaks for it.

An explicit wish is never lost, one that is negated, supposed or quoted never carried out, and
nothing is forgotten without a verb for it.
"""

from __future__ import annotations

import re
from typing import Final

from memos_core.interface.rules.finding import Verb, after_lead, after_request
from memos_core.interface.rules.lexicon import FIRST, TECHNICAL, TEXTUAL
from memos_core.interface.rules.sentences import Sentence

_SUPPOSED: Final = re.compile(
    r"(?:if|what if|suppose|supposing|imagine|pretend (?:i|you|we|that)(?!.* never| (?:i|we) did)"
    r"|hypothetically|assume|assuming|say (?:i|we)|let's (?:say|pretend|imagine)|were i|had i"
    r"|remind me (?:to|at|in|tomorrow|tonight|on|about it)"
    r"|in (?:the|this) (?:sentence|phrase|book|film|movie|novel|story|poem|play|song)"
    r"|(?:he|she|they|somebody|someone) (?:said|says|told me|told us|wants me) (?:to|that)?)\b"
)
_TAKE: Final = (
    r"(?:forget(?:ting)?|forgot|unlearn|un-?remember|delet(?:e|ed|ing|ion)|eras(?:e|ed|ing|ure)"
    r"|remov(?:e|ed|ing|al)|wip(?:e|ed|ing)|purge|drop|bin|scrap|discard|clear|ditch|lose|toss"
    r"|strike|scrub|expunge|dump|trash|chuck|kill|cut|redact|destroy|cancel|undo|let go"
    r"|(?:get|got|getting) rid|throw|take|make|pretend|act as if|stop|quit|can go|has to go"
    r"|have to go|must go|should go|un-?sav\w+|no need|need no|no reason|no longer|disappear|gone"
    r"|go|no more|withdraw\w*|shred|burn|nuke|retire|rid|reset|wiped?"
    r"|cross|clean|opt|leave|business|out)"
)
_HOLD: Final = (
    r"(?:keep|keeping|store|storing|save|saving|hold|holding|remember|remembering|retain|know"
    r"|need|want|have|hang|hanging|record|log|track|use|bring|mention)"
)
_AWAY: Final = re.compile(
    rf"\b{_TAKE}\b|(?:\bnot|n't|\bnever|\bdont|\bwithout)\b.*\b{_HOLD}\b|\bnone of .* business\b"
)
_SIGN: Final = re.compile(
    r"\b(?:no|nope|nah|not|never|wrong|mistake\w*|mistook|correct\w*|sorry|apolog\w+|pardon|oops"
    r"|whoops|argh|actually|really|in fact|meant?|typo|typed|update\w*|chang\w+|switch|replace|set"
    r"|swap|fix|edit|amend|adjust|move|make|call|rather|instead|turns out|said|saying|told|wrote"
    r"|lied|misspoke|misread|mis\w+|used to|no longer|any ?more|longer|now|scrap|scratch|strike"
    r"|forget|ignore|disregard|wait|hang on|hold on|think|thought|stand|backwards|mixed|confus\w+"
    r"|precise|exact\w*|straight|checked|off|outdated|out of date|stale|old|still|back|right"
    r"|rephrase"
    r"|but|you (?:have|had|got|wrote|noted)|you've|your (?:notes|records|memory)|should (?:be|read)"
    r"|keep|amendment|clear|new|latest|lately|since|as for|re|about|false alarm|cancel\w*)\b|n't\b"
)
_KEPT: Final = re.compile(
    r"(?:do not|don't|dont|never|mustn't|must not|not to|can't|cannot|didn't|won't|couldn't)"
    r" (?:you )?(?:ever )?(?:forget|lose|delete|erase|drop|scrap|remove|wipe|purge|discard)\b"
)
_FORGET: Final = re.compile(
    r"(?:forget|delete|erase|remove|wipe|purge)\b(?: about)? "
    r"(?:(?:my|our)\b|(?:what|everything|all|whatever)\b.*\b(?:i|we|my|me|about)\b)"
)
_REMEMBER: Final = re.compile(
    r"(?:remember|don't (?:ever )?forget|do not forget|never forget|keep in mind|bear in mind"
    r"|make a note|note|jot down|write down|save|store)(?: down)?(?: that|:| this:) ?\S.*"
)
_TOLD: Final = re.compile(
    r"(?:remember|don't (?:ever )?forget|do not forget|keep in mind|bear in mind|note)"
    r" that (?:the|an?|my|our|his|her|their|its|these|those|i|we|he|she|they|it|there|all|every)\b"
)
"""A wish to keep a statement: what follows is no thing that is pointed at, as in "that song"."""
_ALONE: Final = re.compile(
    r"(?:remember|save|store|note|keep|record|log|keep in mind|don't forget|make a note of"
    r"|keep a note of|take note of|memori[sz]e) (?:that|this|it|all that)"
    r"(?: (?:for (?:me|later|next time)|please|pls|down|too|as well|somewhere|in mind|would you))*"
)
_ASKED: Final = re.compile(
    r"\b(?:remember|keep|save|store|note|notes|record|log|jot|memori[sz]e|retain|stash|file|hold"
    r"|hang on to|mind|forget|memo|fyi|for (?:your|the|future|later|next)|know|aware|write|put"
    r"|take (?:this|it)? ?down|add|mark|from now on|always|register|learn)\b"
)


def pointing_back(sentence: Sentence) -> bool:
    """Whether a sentence only asks to keep what was just said, as "remember that" does.

    >>> from memos_core.interface.rules.sentences import sentences_of
    >>> pointing_back(sentences_of("Remember that please!")[0])
    True
    """
    plain = sentence.plain.rstrip(" .!?")
    return bool(_ALONE.fullmatch(plain, after_request(plain, after_lead(plain))))


def wanted(sentence: Sentence, before: str = "") -> tuple[frozenset[Verb], bool]:
    """Say which operations a sentence may ask for, and whether it may ask for nothing.

    Args:
        sentence: The sentence.
        before: The sentence before it, in small letters: a correction's sign may stand there.

    >>> from memos_core.interface.rules.sentences import sentences_of
    >>> sorted(wanted(sentences_of("Forget my address.")[0])[0])
    ['correct', 'forget']
    """
    plain = sentence.plain
    lead = after_lead(plain)
    if _SUPPOSED.match(plain, lead):
        return frozenset(), True
    at = after_request(plain, lead)
    worked = TEXTUAL.search(plain, at) or TECHNICAL.search(plain, at)
    if _FORGET.match(plain, at) and not worked:
        return frozenset({"correct", "forget"}), False
    if _REMEMBER.match(plain, at) and not worked:
        told = _TOLD.match(plain, at) and "?" not in plain
        if told or FIRST.search(plain, at):
            return frozenset({"remember"}), False
    away = _AWAY.search(plain) and not _KEPT.match(plain, at)
    verbs: set[Verb] = {"remember", "recall"}
    if away:
        verbs.add("forget")
    if _SIGN.search(plain) or _SIGN.search(before):
        verbs.add("correct")
    return frozenset(verbs), True


def asked_for(sentence: Sentence, start: int, end: int) -> bool:
    """Whether what is kept was asked for by words beside it, and not merely said."""
    return bool(_ASKED.search(sentence.plain[:start]) or _ASKED.search(sentence.plain[end:]))
