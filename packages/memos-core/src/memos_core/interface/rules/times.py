"""Times in words: which stretch of the calendar a sentence names, as of when it was said.

Phrases are found here, where each has a unit; dateparser says what day they mean. It is given one
phrase at a time: asked to search a sentence, it takes "sun" and "may" for dates. Weeks begin on
Monday. What recurs, has no end, or is an hour of no day is no window.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from memos_core.interface.operations import Window
from memos_core.interface.rules.lexicon import MONTH, WEEKDAY

Unit = Literal["day", "week", "weekend", "month", "season", "quarter", "year"]
_NUMBER: Final = (
    r"(?:\d{1,3}|an?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|a "
    r"couple of|a few)"
)
_NUMBERS: Final = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "a couple of": 2, "a few": 3,
}  # fmt: skip
_SEASON: Final = r"(?:spring|summer|autumn|winter|fall)"
_FIRST_MONTH: Final = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
_WHICH: Final = (
    r"(?:last|next|this|this past|this coming|past|coming|previous|the previous|the "
    r"following)"
)
_ORDINAL: Final = r"(?:the )?\d{1,2}(?:st|nd|rd|th)?"
_AT: Final = (
    r"(?:(?:on|in|from|during|for|over|by|back in|of|at|around|early|late|mid|since|"
    r"until) )?"
)
_DATES: Final = (
    r"\d{4}-\d{2}-\d{2}|\d{1,2}[./]\d{1,2}[./]\d{4}"
    rf"|{_ORDINAL}(?: of)? {MONTH}(?:,? \d{{4}})?|{MONTH} {_ORDINAL}(?:,? \d{{4}})?"
)
_PHRASES: Final[tuple[tuple[str, str], ...]] = (
    ("range",
        rf"(?:between|from)? ?(?:the )?\d{{1,2}}(?:st|nd|rd|th)?(?: {MONTH})? ?(?:and|to|"
        rf"until|till|-|\u2013) ?(?:the )?"

              rf"\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {MONTH}(?: \d{{4}})?"),
    ("range",
        rf"(?:between|from)? ?{MONTH} \d{{1,2}}(?:st|nd|rd|th)? ?(?:and|to|until|till|-|"
        rf"\u2013) ?(?:{MONTH} )?\d{{1,2}}(?:st|nd|rd|th)?"
),
    ("months", rf"(?:between|from) {MONTH} (?:and|to|until|till) {MONTH}(?: \d{{4}})?"),
    ("date", _DATES),
    ("span", rf"(?:the )?(?:last|past|previous) {_NUMBER} (?:days?|weeks?|months?|years?)"),
    ("day", r"(?:the )?day (?:before yesterday|after tomorrow)"),
    ("ago",
        rf"(?:about |around |some )?{_NUMBER} (?:days?|weeks?|fortnights?|months?|years?|"
        rf"hours?|"

            r"minutes?) (?:ago|back|from now)"),
    ("ahead", rf"in {_NUMBER} (?:days?|weeks?|fortnights?|months?|years?)(?:'? time)?"),
    ("day",
        r"(?:yesterday|tomorrow|today)(?: morning| afternoon| evening| night)?|last night|"
        r"tonight"

            r"|this (?:morning|afternoon|evening)|earlier today"),
    ("weekday", rf"(?:{_WHICH} )?{WEEKDAY}(?! nights?\b| mornings\b)(?: morning| afternoon| evening"
                r"| night)?"),
    ("unit", rf"{_WHICH} (?:weekend|week|month|quarter|year)|the other week"),
    ("weekend", r"(?:at|on|over) the weekend"),
    ("season", rf"(?:{_WHICH}|in|in the|over the|during the|back in|back in the|since) {_SEASON}"
               r"(?: (?:of )?\d{4})?"),
    ("month", rf"(?:{_WHICH} {MONTH}|(?:in|during|from|back in|by|early|late|mid|until|since) "

        rf"(?:early |late |mid-?)?{MONTH}(?: (?:of )?(?:19|20)\d{{2}}| (?:last|this|next) "
        rf"year)?"

              rf"|{MONTH} (?:19|20)\d{{2}})"),
    ("year", r"(?:in|during|back in|from|since|of) (?:19|20)\d{2}(?! ?(?:km|m|euros?|pounds?))"),
)  # fmt: skip
_FOUND: Final = tuple((kind, re.compile(rf"\b(?:{words})\b(?!')")) for kind, words in _PHRASES)
_OPEN: Final = re.compile(r"\b(?:since|until|till|ever since|starting|as of)$")
_AGAIN: Final = re.compile(
    rf"\b(?:every|each|daily|weekly|monthly|yearly|annually|annual|birthday|anniversary|name day"
    rf"|always|usually|on {WEEKDAY}s|{WEEKDAY}s)\b"
)
_PAST: Final = re.compile(
    r"\b(?:was|were|did|had|been|ago|said|told|gave|went|got|left|met|saw|broke|flew|"
    r"took|spent|came|ran|bought"
    r"|sold|lost|won|made|found|ate|drank|quit|became|began|wrote|read|felt|heard|"
    r"kept|put|wasn't|weren't"
    r"|didn't|stopped|have|has|i've|we've|used to|born|died|[a-z]{3,}ed)\b"
)
_COMING: Final = re.compile(
    r"\b(?:will|'ll|going to|gonna|won't|is|are|starts?|begins?|ends?|due|next|upcoming)\b"
)
_CLOCK: Final = re.compile(
    r"\b(?:at|by|around) (?:(\d{1,2})(?::(\d{2}))? ?(am|pm|a\.m\.|p\.m\.)|(\d{1,2}):(\d{2})|(noon)"
    r"|(midnight))"
)
_LEAD: Final = re.compile(rf"\b{_AT}$")
_OF_MONTHS: Final = {"month": 1, "season": 3, "quarter": 3, "year": 12}
_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True)
class Time:
    """A time that a sentence names.

    Args:
        start: Where the phrase begins, its preposition included.
        end: Where it ends.
        window: What it means; None where it names none.
        at: The instant, where an hour is named too.
    """

    start: int
    end: int
    window: Window | None
    at: datetime | None = None


def times_of(plain: str, said_at: datetime) -> list[Time]:
    """Find the times in a sentence.

    Args:
        plain: The sentence, in small letters.
        said_at: When it was said; aware. Its time zone is the speaker's.

    Example:
        >>> from datetime import UTC
        >>> [time] = times_of("what did i say last week", datetime(2026, 3, 11, tzinfo=UTC))
        >>> time.window.start.isoformat()
        '2026-03-02T00:00:00+00:00'
    """
    taken: list[tuple[int, int]] = []
    found: list[Time] = []
    for kind, words in _FOUND:
        for match in words.finditer(plain):
            if any(match.start() < end and start < match.end() for start, end in taken):
                continue
            taken.append(match.span())
            found.append(_time(kind, match, plain, said_at))
    return sorted(found, key=lambda each: each.start)


def window_of(plain: str, said_at: datetime) -> tuple[Window | None, datetime | None]:
    """Return the window that a sentence names, and the instant in it, where it names them."""
    for each in times_of(plain, said_at):
        if each.window is not None:
            return each.window, each.at or each.window.start
    return None, None


def _time(kind: str, match: re.Match[str], plain: str, said_at: datetime) -> Time:
    lead = _LEAD.search(plain[: match.start()])
    start = lead.start() if lead else match.start()
    phrase = match[0]
    before = plain[start : match.start()] + phrase
    is_open = (
        kind not in ("range", "months")
        and re.match(r"(?:since|until|till|by|from|for)\b", before.strip())
        and not re.match(r"from (?:yesterday|last|the last|today)", before.strip())
    )
    again = _AGAIN.search(plain) and kind in ("weekday", "date", "month", "season")
    if is_open or again or _OPEN.search(plain[: match.start()].rstrip()):
        return Time(start, match.end(), None)
    past = bool(_PAST.search(plain)) and not re.search(r"\b(?:will|going to|next)\b", plain)
    try:
        window = _window(kind, phrase, said_at, past=past)
    except (OverflowError, ValueError):  # a day that no calendar has
        window = None
    clock = _CLOCK.search(plain)
    at = _at(clock, window, said_at) if clock and window and _is_day(window) else None
    return Time(start, match.end(), window, at)


def _is_day(window: Window) -> bool:
    start, end = window.start, window.end
    return bool(start and end and end - start <= timedelta(hours=25))


def _at(clock: re.Match[str], window: Window, said_at: datetime) -> datetime | None:
    hour, minute, half, plain_hour, plain_minute, noon, midnight = clock.groups()
    if noon or midnight:
        hours, minutes = (12 if noon else 0), 0
    elif half:
        hours = int(hour) % 12 + (12 if half.startswith("p") else 0)
        minutes = int(minute or 0)
    else:
        hours, minutes = int(plain_hour), int(plain_minute)
    if hours > 23 or minutes > 59 or window.start is None:
        return None
    day = window.start.astimezone(said_at.tzinfo)  # the offset may change within the day
    return day.replace(hour=hours, minute=minutes)


def _window(kind: str, phrase: str, said_at: datetime, *, past: bool) -> Window | None:
    """Say what a phrase means; None where it means nothing that a calendar has."""
    if kind in ("ago", "ahead"):
        unit = _unit(phrase)
        day = _parsed(phrase.replace(" back", " ago").replace("fortnight", "2 weeks"), said_at)
        day = _moved(phrase, said_at) if day is None else day
        return _calendar(day, unit, said_at)
    if kind in ("range", "months"):
        return _between(kind, phrase, said_at, past=past)
    if kind == "span":
        return _ending_today(phrase, said_at)
    if kind == "day":
        return _calendar(_parsed(_day_word(phrase), said_at), "day", said_at)
    if kind == "weekday":
        return _weekday(phrase, said_at, past=past)
    return _named(kind, phrase, said_at, past=past)


def _named(kind: str, phrase: str, said_at: datetime, *, past: bool) -> Window | None:
    """Say what a unit of the calendar means."""
    if kind == "unit":
        name: Unit = phrase.rsplit(" ", 1)[-1]  # type: ignore[assignment]
        return _unit_window(phrase, name, said_at)
    if kind == "weekend":
        return _unit_window("last weekend" if past else "this weekend", "weekend", said_at)
    if kind == "season":
        return _season(phrase, said_at, past=past)
    return _dated(kind, phrase, said_at, past=past)


def _between(kind: str, phrase: str, said_at: datetime, *, past: bool) -> Window | None:
    """Read two days, or two months, and what lies between."""
    months, days = re.findall(MONTH, phrase), re.findall(r"\b\d{1,2}(?!\d)", phrase)
    year = re.search(r"\b\d{4}\b", phrase)
    tail = f" {year[0]}" if year else ""
    unit: Unit = "day" if kind == "range" else "month"
    first, last = months[0], months[-1]
    if kind == "range":
        first, last = f"{days[0]} {first}", f"{days[1]} {last}"
    end = _calendar(_parsed(last + tail, said_at, past=past, day="first"), unit, said_at)
    if end is None or end.end is None:
        return None
    start = _calendar(_parsed(first + tail, end.end, past=True, day="first"), unit, said_at)
    return None if start is None or start.start is None else _spanning(start.start, end.end)


def _dated(kind: str, phrase: str, said_at: datetime, *, past: bool) -> Window | None:
    """Read a date, a month or a year."""
    if kind == "year":
        return _calendar(said_at.replace(year=int(phrase[-4:]), month=1, day=1), "year", said_at)
    if kind == "date":
        return _calendar(_parsed(phrase, said_at, past=past), "day", said_at)
    words = re.sub(r"^(?:in|during|from|back in|by|of|early|late|mid) ", "", phrase)
    words = re.sub(r"^(?:early |late |mid-?)", "", words).replace(" of ", " ")
    which = re.match(_WHICH, words)
    year = re.search(r" (last|this|next) year$", words)
    month = re.search(MONTH, words)
    if month is None:
        return None
    if year:
        change = {"last": -1, "this": 0, "next": 1}[year[1]]
        words = f"{month[0]} {said_at.year + change}"
    elif which:
        past = bool(re.match(r"last|past|this past|previous", words))
        words = month[0]
    return _calendar(_parsed(words, said_at, past=past, day="first"), "month", said_at)


def _parsed(
    phrase: str, said_at: datetime, *, past: bool = True, day: str = "current"
) -> datetime | None:
    """Ask dateparser what one phrase means. It is imported when there is one: it takes its time."""
    from dateparser.date import DateDataParser

    parser = DateDataParser(
        languages=["en"],
        settings={
            "RELATIVE_BASE": said_at.replace(tzinfo=None),
            "PREFER_DATES_FROM": "past" if past else "future",
            "PREFER_DAY_OF_MONTH": day,
            "RETURN_AS_TIMEZONE_AWARE": False,
            "DATE_ORDER": "DMY",
            "TIMEZONE": "UTC",
        },
    )
    found = parser.get_date_data(phrase).date_obj
    return None if found is None else found.replace(tzinfo=said_at.tzinfo)


def _day_word(phrase: str) -> str:
    """Reduce a part of a day to its day."""
    if phrase == "last night":
        return "yesterday"
    if phrase in ("tonight", "earlier today") or phrase.startswith("this "):
        return "today"
    return re.sub(r" (?:morning|afternoon|evening|night)$", "", phrase)


def _unit(phrase: str) -> Unit:
    found = re.search(r"(day|week|fortnight|month|year)", phrase)
    unit = found[1] if found else "day"
    return "week" if unit == "fortnight" else unit  # type: ignore[return-value]


def _moved(phrase: str, said_at: datetime) -> datetime:
    """Count from when it was said: what dateparser does not know, as "a few days ago"."""
    number = _count(phrase) * (1 if phrase.startswith("in ") or "from now" in phrase else -1)
    unit = _unit(phrase)
    if unit in ("day", "week"):
        days = number * (7 if unit == "week" else 1) * (2 if "fortnight" in phrase else 1)
        return said_at + timedelta(days=days if "hour" not in phrase else 0)
    return _shifted(_floor(said_at, "month"), number * (12 if unit == "year" else 1))


def _count(phrase: str) -> int:
    found = re.search(rf"\b{_NUMBER}\b(?= (?:day|week|fortnight|month|year|hour|minute))", phrase)
    return 1 if found is None else _NUMBERS.get(found[0]) or int(found[0])


def _ending_today(phrase: str, said_at: datetime) -> Window:
    number, unit = _count(phrase), _unit(phrase)
    end = _floor(said_at, "day") + timedelta(days=1)
    if unit in ("day", "week"):
        return _spanning(end - timedelta(days=number * (7 if unit == "week" else 1)), end)
    return _spanning(_shifted(end, -number * (12 if unit == "year" else 1)), end)


def _weekday(phrase: str, said_at: datetime, *, past: bool) -> Window | None:
    name = re.search(WEEKDAY, phrase)
    if name is None:
        return None
    today, number = _floor(said_at, "day"), _WEEKDAYS.index(name[0])
    if phrase.startswith("next"):
        day = _floor(today, "week") + timedelta(days=7 + number)
    elif phrase.startswith("this") and not re.match(r"this (?:past|coming)", phrase):
        day = _floor(today, "week") + timedelta(days=number)
    elif past or re.match(r"last|past|this past|previous", phrase):
        day = today - timedelta(days=(today.weekday() - number) % 7 or 7)
    else:
        day = today + timedelta(days=(number - today.weekday()) % 7 or 7)
    return _calendar(day, "day", said_at)


def _unit_window(phrase: str, unit: Unit, said_at: datetime) -> Window | None:
    change = -1 if re.match(r"last|past|this past|previous|the previous|the other", phrase) else 0
    change = 1 if re.match(r"next|coming|this coming|the following", phrase) else change
    start = _floor(said_at, "week" if unit == "weekend" else unit)
    if unit in ("week", "weekend"):
        start += timedelta(days=7 * change)
        if unit == "weekend":
            start += timedelta(days=5)
            return _spanning(start, start + timedelta(days=2))
        return _calendar(start, "week", said_at)
    return _calendar(_shifted(start, change * _OF_MONTHS[unit]), unit, said_at)


def _season(phrase: str, said_at: datetime, *, past: bool) -> Window | None:
    name = re.search(_SEASON, phrase)
    if name is None:
        return None
    year = re.search(r"\d{4}", phrase)
    first = said_at.replace(month=_FIRST_MONTH[name[0]], day=1)
    start = _floor(first, "month")
    if year:
        start = start.replace(year=int(year[0]))
    elif re.match(r"next|coming|this coming", phrase) or not (
        past or re.match(r"last|past|this past|previous|this", phrase)
    ):
        start = _shifted(start, 12) if start <= said_at else start
    elif not phrase.startswith("this "):
        start = _shifted(start, -12) if start > said_at else start
        if phrase.startswith("last ") and said_at < _shifted(start, 3):
            start = _shifted(start, -12)
    return _spanning(start, _shifted(start, 3))


def _calendar(day: datetime | None, unit: Unit, said_at: datetime) -> Window | None:
    """Return the day, week, month or year of the calendar that holds a day."""
    if day is None:
        return None
    start = _floor(day.replace(tzinfo=said_at.tzinfo), unit)
    if unit in ("day", "week"):
        return _spanning(start, start + timedelta(days=7 if unit == "week" else 1))
    return _spanning(start, _shifted(start, _OF_MONTHS[unit]))


def _floor(when: datetime, unit: Unit) -> datetime:
    start = when.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if unit == "week":
        return start - timedelta(days=start.weekday())
    if unit in ("month", "season"):
        return start.replace(day=1)
    if unit == "quarter":
        return start.replace(day=1, month=(start.month - 1) // 3 * 3 + 1)
    return start.replace(day=1, month=1) if unit == "year" else start


def _shifted(start: datetime, months: int) -> datetime:
    """Move an instant by months; a day that the month does not have becomes its last."""
    number = start.year * 12 + start.month - 1 + months
    for day in range(start.day, start.day - 4, -1):
        try:
            return start.replace(year=number // 12, month=number % 12 + 1, day=day)
        except ValueError:
            if day == start.day - 3:
                raise
    return start


def _spanning(start: datetime, end: datetime) -> Window:
    return Window(start=start, end=end)
