"""Trimming: what a stretch of words loses before it is a target.

A question loses its times and "I told you about"; what is to be forgotten, "the entry on"; what is
put right, "not X". The target is then what memory is searched for, or what it holds.
"""

from __future__ import annotations

import re
from typing import Final

from memos_core.interface.rules.edges import without_times
from memos_core.interface.rules.finding import Find, Verb, after_lead, found
from memos_core.interface.rules.lexicon import FINITE, WEEKDAY
from memos_core.interface.rules.sentences import Sentence

_SAID: Final = re.compile(
    r",? (?:(?:that|which) )?(?:i|we)(?:'ve|'d| have| had)? (?:(?:once|already|just|last) )?"
    r"(?:mentioned|told you|gave you|give you|raved about|said|shared|talked about|told|sent"
    r"|brought up|asked you to \w+|wrote down|noted|described|recommended|spoke about|discussed"
    r"|complained about|loved|liked|enjoyed)\b.*$"
)
_HOLDER: Final = re.compile(
    r"(?:(?:the|that|this|those|these|any|all|every|whatever|everything|anything|what|of) )*"
    r"(?:(?:old|whole) )?(?:(?:things?|stuff|bits?|parts?|notes?|entry|entries|records?|story"
    r"|memory|memories|conversation|details?|info|information|business|rest|remark|line) ?)?"
    r"(?:(?:i|we|you)(?:'ve|'d| have| had)? (?:\w+ )?(?:told you|said|mentioned|know|have|gave you"
    r"|talked|shared|noted|stored|saved|kept|got|brought up|wrote|spoke)(?: down| on file)? ?)?"
    rf"(?:about|on|regarding|concerning) (?!(?:me|us|{WEEKDAY})\b)(?=\w)"
)
_ADVERB: Final = re.compile(
    r"(?:usually|normally|typically|generally|last|first|ever|again|always|already|originally"
    r"|actually|still|currently|just|been (?=\w+ing\b)) ?(?=\w)"
)
_LATE: Final = re.compile(
    r",? (?:again|now|once|please|right now|these days|at the moment|any ?more|any longer|before"
    r"|earlier|already|exactly)$"
)
_EXTENT: Final = re.compile(r"(?:all|everything|anything|whatever)\b")
_QUESTION: Final = re.compile(r"(?:what|who|where|when|which|why|how|if|whether)\b")
_FRONT: Final = re.compile(
    r"(?:^|[,;:.!\u2014-]\s+|\b(?:so|and|but|oh|well|that|ok|btw|also) )"
    r"(?P<front>(?:(?:in|on|at|since|after|before|during|until|back in|as an?|around) "
    r"|for (?:breakfast|lunch|dinner|years|\w+ years)\b|last |next |this |every |most |these days"
    r"|yesterday|today|tomorrow|nowadays|\w+ (?:days|weeks|months|years) ago)"
    r"(?!(?:fact|case|future|short|general|other words|second thoughts?|least|that|record|top)\b)"
    r"[^,;:.!?]{2,30}?,? ?)$"
)
_INSTEAD: Final = re.compile(
    r"(?:,| -| \u2014|;)? (?:and )?(?P<how>not|rather than|instead of|as opposed to)"
    r"(?: in| on| at| the)? (?P<old>[^.,;!?]+)"
)
_BEFORE: Final = re.compile(
    r"(?:\b(?:i said|i told you|you have \w+ down as|you have|not|n't|no longer) )"
    r"(?P<old>[^.,;!?]{1,80}?)(?:[.,;]|\s-|\u2014| but)[\s\w]*$"
)


def target_of(verb: Verb, sentence: Sentence, start: int, end: int) -> Find | None:
    """Make a finding of a stretch of a sentence; None where nothing is left of it.

    Args:
        verb: The operation.
        sentence: The sentence.
        start: Where the stretch begins in it.
        end: Where it ends.
    """
    old = None
    front = _FRONT.search(sentence.plain[:start]) if verb == "remember" else None
    lead = after_lead(sentence.plain)
    if front and front.start("front") >= lead and not FINITE.search(front["front"]):
        start = front.start("front")
    if verb == "correct":
        end, old = _without_old(sentence, start, end)
    elif verb != "remember":
        before = None
        while before != (start, end):
            before = start, end
            start, end = _cut(verb, sentence.plain, start, end)
    return found(verb, sentence, start, end, replaces=old)


def _cut(verb: Verb, plain: str, start: int, end: int) -> tuple[int, int]:
    """Take one layer off."""
    if late := _LATE.search(plain[:end], start + 1):
        end = late.start()
    question = bool(_QUESTION.match(plain, start))
    lead = (_ADVERB if verb == "recall" else _HOLDER).match(plain, start, end)
    if lead and lead.end() < end:
        start = lead.end()
    extent = _EXTENT.match(plain, start)  # what was said then: the extent of a blanket request
    if not question and not extent and (said := _SAID.search(plain[:end], start + 2)):
        end = said.start()
    if verb == "forget":
        return start, end
    first, last = without_times(plain, start, end)
    return start if question else first, last


def _without_old(sentence: Sentence, start: int, end: int) -> tuple[int, str | None]:
    """Cut off what a statement is instead of, and say what that is."""
    plain = sentence.plain
    instead = _INSTEAD.search(plain, start + 1)
    if instead and (instead["how"] != "not" or not instead[0].startswith(" ")):
        old = sentence.text[instead.start("old") : instead.end("old")].strip()
        if instead.start() <= end + 1:
            return min(end, instead.start()), old or None
    before = _BEFORE.search(plain[:start])
    return end, sentence.text[before.start("old") : before.end("old")] if before else None
