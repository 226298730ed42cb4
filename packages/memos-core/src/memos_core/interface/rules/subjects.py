"""Subjects: whose life a phrase is about, and where its subject ends."""

from __future__ import annotations

import re
from typing import Final

from memos_core.interface.rules.lexicon import AUXILIARY, KIN, MODAL, MONTH, VERBS, WEEKDAY

_OWN: Final = re.compile(
    rf"\b(?:my|our|mine|ours|we|i)\b|\b(?:i|we)'|\b{KIN}\b|\b(?!it|that|what|there|"
    rf"here|let|who|where|he|she|one)[a-z]{{2,}}'s \w|\b(?:me|us)\b(?= (?:and|to|in|"
    rf"from|for)\b)|\babout (?:me|us)\b"
)
_VERB: Final = re.compile(
    rf" (?={AUXILIARY}\b|{MODAL}\b|will\b|'ll\b|(?:{VERBS})(?:s|es)?\b|(?:gone|changed|"
    rf"arrived|been|got|started|finished|expired|landed|passed|left|happened|allergic|"
    rf"say|said|come)\b|(?:comes|goes|gets|has|does|carries|flies|tries|dies)\b)"
)
_UNIT: Final = (
    r"(?:day|week|weekend|month|year|night|morning|afternoon|evening|spring|summer|"
    r"autumn|fall|winter)"
)
_TIME: Final = (
    rf"(?:(?:over |during |in |for |from |on |at |back in |around |since )?(?:the "
    rf")?(?:last|past|next|previous|this|coming|other)(?: \w+)? {_UNIT}s?|(?:the )?day "
    rf"(?:before yesterday|after tomorrow)"
    rf"|yesterday|today|tomorrow|tonight|last night|(?:\w+|a couple of|a few) (?:days?|"
    rf"weeks?|months?|years?|hours?|minutes?) ago|(?:in|back in|during|over) (?:the "
    rf")?(?:spring|summer|autumn|fall|winter)"
    rf"|(?:in|back in|during|from|since) (?:last |this |next |early |late )?(?:{MONTH}|"
    rf"(?:19|20)\d\d)(?: (?:19|20)\d\d| (?:last|this|next) year)?|(?:on |last |this |"
    rf"next |on the )+{WEEKDAY}(?: (?:morning|afternoon|evening|night))?|(?:at|over) "
    rf"the weekend|earlier|recently|lately"
    rf"|(?:last|this|next) (?:{MONTH}|{WEEKDAY}|spring|summer|autumn|fall|winter|"
    rf"christmas|easter)|on the \d+\w*(?: of {MONTH})?|on {MONTH} \d+\w*|the other day|"
    rf"a while (?:ago|back)|just now|from (?:yesterday|today|last \w+)|all (?:day|week|"
    rf"month|year))"
)
_LAST: Final = re.compile(rf"[\s,]+{_TIME}$")
_FIRST: Final = re.compile(rf"{_TIME}(?:,|\s+(?:about|on|regarding))?\s+(?=\w)")


def is_own(phrase: str) -> bool:
    """Whether a phrase is about the speaker's life.

    >>> is_own("where i parked"), is_own("who won eurovision")
    (True, False)
    """
    return bool(_OWN.search(phrase))


def subject_end(plain: str, start: int) -> int | None:
    """Find where a clause's subject ends and its verb begins; None where no verb is known."""
    match = _VERB.search(plain, start + 3)
    return match.start() if match else None


def without_times(plain: str, start: int, end: int) -> tuple[int, int]:
    """Take times off both ends of a phrase; a phrase that is only a time stays."""
    if (last := _LAST.search(plain[:end], start)) and last.start() > start:
        end = last.start()
    if (first := _FIRST.match(plain, start, end)) and first.end() < end:
        start = first.end()
    return start, end
