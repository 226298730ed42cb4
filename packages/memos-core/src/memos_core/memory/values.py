"""Values: numbers, money, shares, durations, dates, times, versions and addresses in a text.

One pass of one pattern finds them; two ways to write the same value have equal `norm`s. What no
pattern can tell (which of 3/4 is the month) is kept as it was written and never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal[
    "number", "percent", "money", "duration", "date", "time", "version", "address", "name", "phrase"
]

MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            "january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul",
            "august aug", "september sept sep", "october oct", "november nov", "december dec",
        ),
        1,
    )
    for name in names.split()
}  # fmt: skip
_DAYS: Final = {
    name: number
    for number, names in enumerate(
        (
            "monday mon", "tuesday tues tue", "wednesday wed", "thursday thurs thur thu",
            "friday fri", "saturday sat", "sunday sun",
        ),
        1,
    )
    for name in names.split()
}  # fmt: skip
_COUNTS: Final = {
    name: number
    for number, name in enumerate(
        """
        zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
        fifteen sixteen seventeen eighteen nineteen twenty
        """.split()  # noqa: SIM905
    )
} | {
    "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
    "hundred": 100, "dozen": 12, "once": 1, "twice": 2,
}  # fmt: skip
_ORDINALS: Final = {
    name: number
    for number, name in enumerate(
        "first second third fourth fifth sixth seventh eighth ninth tenth".split(),  # noqa: SIM905
        1,
    )
}
_SPANS: Final = {
    name: unit
    for unit, names in {
        "ms": "ms msec millisecond milliseconds",
        "second": "s sec secs second seconds",
        "minute": "min mins minute minutes",
        "hour": "h hr hrs hour hours",
        "day": "day days",
        "week": "wk wks week weeks",
        "month": "month months",
        "year": "yr yrs year years",
    }.items()
    for name in names.split()
}
_MONEY: Final = {
    "$": "$", "£": "£", "€": "€", "¥": "¥", "₹": "₹", "usd": "$", "gbp": "£", "eur": "€",
    "dollar": "$", "dollars": "$", "bucks": "$", "pound": "£", "pounds": "£", "quid": "£",
    "euro": "€", "euros": "€",
}  # fmt: skip
_SCALE: Final = {"k": 1e3, "m": 1e6, "bn": 1e9, "thousand": 1e3, "million": 1e6, "billion": 1e9}
_MEASURES: Final = (
    "kg|g|lbs?|km|cm|mm|miles?|mph|kph|gb|mb|kb|tb|ghz|mhz|hz|px|fps|kwh|kw|ml|l|ft|oz"
    "|degrees|°[cf]?"
)
_MONTH: Final = "|".join(sorted(MONTHS, key=len, reverse=True))
_DAY: Final = "|".join(sorted(_DAYS, key=len, reverse=True))
_COUNT: Final = "|".join(sorted(_COUNTS, key=len, reverse=True))
_ORDINAL: Final = "|".join(sorted(_ORDINALS, key=len, reverse=True))
_NUMBER: Final = r"\d{1,3}(?:,\d{3}){1,5}(?:\.\d{1,6})?|\d{1,18}(?:\.\d{1,6})?"
_TENS: Final = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_FOUND: Final = re.compile(
    rf"""
    (?P<address> [\w.+-]{{1,64}}@[\w-]{{1,63}}(?:\.[\w-]{{1,63}}){{1,5}} | https?://\S{{1,500}})
    | (?P<iso> \b\d{{4}}-\d\d-\d\d\b )
    | (?P<md> \b(?:{_MONTH})\.?\s(?:the\s)?\d{{1,2}}(?:st|nd|rd|th)?\b(?!:)(?:,?\s\d{{4}}\b)? )
    | (?P<dm> \b\d{{1,2}}(?:st|nd|rd|th)?\s(?:of\s)?(?:{_MONTH})\b(?:,?\s\d{{4}}\b)? )
    | (?P<my> \b(?:{_MONTH})\.?\s\d{{4}}\b )
    | (?P<slash> \b\d{{1,2}}/\d{{1,2}}/\d{{2,4}}\b )
    | (?P<clock> \b\d{{1,2}}(?:[:.]\d\d)?\s?(?:am|pm|a\.m\.|p\.m\.|o['\u2019]clock)(?!\w)
        | \b\d{{1,2}}:\d\d\b | \b(?:noon|midnight|midday)\b )
    | (?P<phone> (?:\+\d{{1,3}}[\s-])?\(?\b\d{{2,5}}\)?[\s-]\d{{3,4}}[\s-]\d{{3,4}}\b )
    | (?P<version> \bv\d{{1,4}}(?:\.\d{{1,5}}){{0,3}}\b | \b\d{{1,4}}\.\d{{1,5}}\.\d{{1,5}}\b )
    | (?P<score> \b\d{{1,4}}/\d{{1,4}}\b | \b\d{{1,4}}\s?[-\u2013x]\s?\d{{1,4}}\b )
    | (?P<money> [$£€¥₹]\s?(?:{_NUMBER})\s?(?:k|m|bn|thousand|million|billion)?\b
        | \b(?:{_NUMBER})\s?k?\s?(?:dollars?|euros?|pounds?|bucks|quid|usd|eur|gbp|€|£)(?!\w) )
    | (?P<percent> (?:\b(?:{_NUMBER})|\b(?:{_COUNT}))\s?(?:%|percent\b|per\scent\b|pct\b) )
    | (?P<span> \b(?:(?:{_NUMBER})\s?(?:ms|s|h)\b
        | (?:(?:{_NUMBER})[\s-]?|(?:{_COUNT}|a\sfew|a|an)[\s-])
          (?:msec|milliseconds?|secs?|seconds?|mins?|minutes?|hrs?|hours?|days?|wks?|weeks?|months?
             |yrs?|years?)\b) )
    | (?P<measure> \b(?:{_NUMBER})[\s-]?(?:{_MEASURES})(?!\w) )
    | (?P<scaled> \b(?:{_NUMBER})\s?(?:k|m|bn|thousand|million|billion)\b )
    | (?P<nth> \b\d{{1,2}}(?:st|nd|rd|th)\b )
    | (?P<ordinal> \b(?:{_ORDINAL})\b )
    | (?P<day> \b(?:{_DAY})s?\b )
    | (?P<quarter> \bq[1-4]\b )
    | (?P<month> \b(?:{_MONTH})\b )
    | (?P<number> (?<![\w.])(?:{_NUMBER})(?![\w%]) )
    | (?P<count> \b(?:{_TENS})-(?:one|two|three|four|five|six|seven|eight|nine)\b
        | \b(?:{_COUNT})\b )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_WORD: Final = re.compile(r"\w+")
_SIGNS: Final = frozenset("$£€¥₹+(")
_BEGINS: Final = (
    frozenset(MONTHS) | {name + end for name in _DAYS for end in ("", "s")} | frozenset(_COUNTS)
    | frozenset(_ORDINALS) | {"a", "an", "noon", "midnight", "midday"}
)  # fmt: skip
_AMBIGUOUS: Final = frozenset({"may", "mar", "sun", "sat", "wed", "mon", "dec", "march", "second"})
_DIGITS: Final = re.compile(_NUMBER)
_WORDS: Final = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Value:
    """One value in a text.

    Args:
        kind: What it measures.
        text: How it is written.
        norm: What it is, so that `$4k` and `4,000 dollars` are one.
        unit: What is counted, as a stem; empty where that is not said. Two amounts with different
            units are not two values of one thing.
        start: Where it begins in the text.
        end: Where it ends.
    """

    kind: Kind
    text: str
    norm: str
    unit: str
    start: int
    end: int


def values_of(text: str) -> list[Value]:
    """Find the values of a text, in order and without overlaps.

    Args:
        text: Any text; it takes time in proportion to its length.

    Returns:
        The values. Units of plain numbers are left empty: they take grammar.

    Example:
        >>> [(each.kind, each.norm) for each in values_of("Raised to $5.5k (64%) on 3 April, 4pm")]
        [('money', '5500'), ('percent', '64'), ('date', '-04-03'), ('time', '16:00')]
    """
    return list(_values(text))


def _values(text: str) -> Iterator[Value]:
    done = 0
    for found in _found(text):
        if found is None or found.start() < done:
            continue
        done = found.end()
        group = found.lastgroup or ""
        written = found[0]
        read = _read(group, written)
        if read is not None:
            kind, norm, unit = read
            yield Value(kind, written, norm, unit, found.start(), found.end())


def _found(text: str) -> Iterator[re.Match[str] | None]:
    """Try the pattern where a value may begin and nowhere else: it is too rich for every letter."""
    done = 0
    for word in _WORD.finditer(text):
        start = word.start()
        if start < done:
            continue
        low = word[0].lower()
        if low[0].isdigit() or low in _BEGINS or (low[0] in "vq" and low[1:2].isdigit()):
            if start and text[start - 1] in _SIGNS:
                start -= 1
            elif start > 1 and text[start - 1] == " " and text[start - 2] in "$£€¥₹":
                start -= 2
        elif not text.startswith(("@", "://", ".", "+", "-"), word.end()):
            continue
        found = _FOUND.match(text, start) or (
            _FOUND.match(text, word.start()) if start < word.start() else None
        )
        if found:
            done = found.end()
        yield found


def _read(group: str, written: str) -> tuple[Kind, str, str] | None:
    """Say what was found; None where the word is more often something else."""
    low = written.lower()
    if group in _DATES:
        norm = _date(group, low)
        return ("date", norm, "") if norm and not _is_word(written) else None
    kind, unit = _UNITS.get(group, ("number", ""))
    norm = _amount(low)
    if group == "clock":
        norm = _time(low)
    elif group in {"address", "phone"}:
        norm = re.sub(r"[\s()-]", "", low).rstrip(".,;:!?)")
    elif group == "version":
        norm = low.lstrip("v")
    elif group == "score":
        norm = re.sub(r"\s", "", low)
    elif group == "money":
        unit = next((sign for word, sign in _MONEY.items() if word in low), "$")
    elif group == "span":
        unit = _SPANS[_WORDS.findall(low)[-1]]
    elif group == "measure":
        unit = re.sub(r"^[\d.,\s-]+", "", low).rstrip("s")
    return kind, norm, unit


_UNITS: Final[dict[str, tuple[Kind, str]]] = {
    "clock": ("time", ""), "address": ("address", "address"), "phone": ("address", "phone"),
    "version": ("version", ""), "score": ("number", "of"), "money": ("money", ""),
    "percent": ("percent", "%"), "span": ("duration", ""),
}  # fmt: skip
_DATES: Final = frozenset(
    {"iso", "md", "dm", "my", "slash", "nth", "day", "quarter", "month", "ordinal"}
)


def _is_word(written: str) -> bool:
    """Tell a modal `may` or a `second` thought from a month or an ordinal."""
    return written in _AMBIGUOUS or written.lower() == "second"


def _date(group: str, low: str) -> str:
    if group in {"iso", "slash", "quarter"}:
        return low
    if group == "day":
        return "d" + str(_DAYS[low] if low in _DAYS else _DAYS[low.rstrip("s")])
    if group == "ordinal":
        return ""  # a first sprint is a name, not a day
    numbers = re.findall(r"\d+", low)
    month = next((MONTHS[word] for word in _WORDS.findall(low) if word in MONTHS), 0)
    if group in {"my", "month"}:
        return f"{numbers[0] if numbers else ''}-{month:02}-"
    day = int(numbers[0])
    if day > 31:
        return ""
    if group == "nth":
        return f"--{day:02}"
    return f"{numbers[1] if len(numbers) > 1 else ''}-{month:02}-{day:02}"


def _time(low: str) -> str:
    if low in {"noon", "midday"}:
        return "12:00"
    if low == "midnight":
        return "00:00"
    numbers = re.findall(r"\d+", low)
    hour, minute = int(numbers[0]), numbers[1] if len(numbers) > 1 else "00"
    if "p" in low and hour < 12:
        hour += 12
    elif "a" in low and hour == 12:
        hour = 0
    return f"{hour:02}:{minute}"


def _amount(low: str) -> str:
    """Write an amount as a plain number: digits, words, thousands."""
    digits = _DIGITS.search(low)
    words = _WORDS.findall(low)
    if digits:
        amount = float(digits[0].replace(",", ""))
    else:
        counted = [_COUNTS[word] for word in words if word in _COUNTS]
        if not counted:
            return "1" if words and words[0] in {"a", "an"} and "few" not in words else low
        amount = float(sum(counted))
    for word in words:
        amount *= _SCALE.get(word, 1.0) if digits else 1.0
    return f"{amount:.6f}".rstrip("0").rstrip(".")


def differ(one: Value, other: Value) -> bool:
    """Say whether two values of one kind cannot be the same.

    A part of a date that only one of them names does not make them differ, and neither does a
    weekday beside a date.

    Example:
        >>> a, b, c = values_of("April 3, 2024; 3 April; April 17")
        >>> differ(a, b), differ(a, c)
        (False, True)
    """
    if one.kind != other.kind or one.norm == other.norm:
        return one.kind != other.kind
    if one.kind != "date":
        return True
    if one.norm[0] == "d" or other.norm[0] == "d":
        return one.norm[0] == other.norm[0]
    ours, theirs = one.norm.split("-"), other.norm.split("-")
    if len(ours) != 3 or len(theirs) != 3:
        return len(ours) == len(theirs)
    return any(a != b for a, b in zip(ours, theirs, strict=True) if a and b)
