"""Times as people type them: instants with a time zone, and times from now such as `7d`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from memos_core.clock import SystemClock
from memos_core.errors import InvalidInputError

_UNITS: Final = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_DURATION: Final = re.compile(r"(?:[0-9]{1,9}[wdhms])+")
_STEP: Final = re.compile(r"([0-9]+)([wdhms])")


def parse_instant(text: str) -> datetime:
    """Read an instant in ISO 8601; it must name its time zone.

    Raises:
        InvalidInputError: It is something else, or has no time zone.

    >>> parse_instant("2026-05-01T09:30Z").isoformat()
    '2026-05-01T09:30:00+00:00'
    """
    shown = f"{text[:60]!r}"
    try:
        when = datetime.fromisoformat(text)
        if when.utcoffset() is not None:
            when.astimezone(UTC)
    except ValueError as error:
        raise InvalidInputError(
            f"{shown} is not an instant: write one such as 2026-05-01T09:30+02:00"
        ) from error
    except OverflowError as error:
        raise InvalidInputError(f"{shown} lies outside the calendar in UTC") from error
    if when.utcoffset() is None:
        raise InvalidInputError(
            f"{shown} has no time zone: write one such as 2026-05-01T09:30+02:00, or …Z for UTC"
        )
    return when


def parse_end(text: str) -> datetime | timedelta:
    """Read when something ends: an instant, or a time from now.

    Args:
        text: ISO 8601 with a time zone, or weeks, days, hours, minutes, seconds: `7d`, `1d12h`.

    Raises:
        InvalidInputError: It is neither, or lies beyond what a calendar holds.

    >>> parse_end("1d12h")
    datetime.timedelta(days=1, seconds=43200)
    """
    if not _DURATION.fullmatch(text):
        try:
            return parse_instant(text)
        except InvalidInputError as error:
            raise InvalidInputError(f"{error}; or a time from now, such as 7d or 12h") from error
    try:
        steps = [timedelta(**{_UNITS[unit]: int(n)}) for n, unit in _STEP.findall(text)]
        length = sum(steps, timedelta())
        SystemClock().now() + length
    except OverflowError as error:
        raise InvalidInputError(f"{text[:60]!r} is further away than a calendar holds") from error
    return length


def parse_age(text: str) -> timedelta:
    """Read how old something is: weeks, days, hours, minutes, seconds, such as `90d`.

    Raises:
        InvalidInputError: It is something else.

    >>> parse_age("90d").days
    90
    """
    found = parse_end(text) if _DURATION.fullmatch(text) else None
    if not isinstance(found, timedelta):
        raise InvalidInputError(f"{text[:60]!r} is no length of time: write one such as 90d or 12h")
    return found


def end_from_now(text: str) -> datetime:
    """Read when something ends and say it as an instant.

    Raises:
        InvalidInputError: As for `parse_end`.
    """
    end = parse_end(text)
    return end if isinstance(end, datetime) else SystemClock().now() + end
