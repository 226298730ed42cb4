"""Times at the edges of a phrase, which are not what it is about."""

from __future__ import annotations

import re
from typing import Final

from memos_core.interface.rules.lexicon import MONTH, WEEKDAY

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


def without_times(plain: str, start: int, end: int) -> tuple[int, int]:
    """Take times off both ends of a phrase; a phrase that is only a time stays."""
    if (last := _LAST.search(plain[:end], start)) and last.start() > start:
        end = last.start()
    if (first := _FIRST.match(plain, start, end)) and first.end() < end:
        start = first.end()
    return start, end
