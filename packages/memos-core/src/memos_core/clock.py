"""Time, ids and randomness, injected so that tests and simulations own them.

Every instant in MemOS is an aware `datetime`; a naive one is an error. On disk an instant is a
whole number of **microseconds** since 1970 in UTC, which sorts and compares exactly on every
database.
"""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime, timedelta
from typing import Protocol

from memos_core.errors import InvalidInputError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """What tells the time."""

    def now(self) -> datetime:
        """Return the present instant, aware."""
        ...


class Entropy(Protocol):
    """Where ids, nonces and keys come from."""

    def token(self, nbytes: int) -> bytes:
        """Return `nbytes` bytes that nobody can guess."""
        ...


class SystemClock:
    """The machine's wall clock, in UTC."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        return datetime.now(UTC)


class SystemEntropy:
    """The operating system's source of randomness."""

    def token(self, nbytes: int) -> bytes:
        """Return `nbytes` bytes from the operating system."""
        return secrets.token_bytes(nbytes)


def mint(entropy: Entropy, prefix: str) -> str:
    """Make an id such as `mem_k3v…`: a prefix that names the kind, then 100 random bits.

    Args:
        entropy: Where the bits come from.
        prefix: Three letters, `mem` for a memory, `grt` for a grant.

    Returns:
        The prefix, an underscore, and 20 characters of lower-case base32.
    """
    text = base64.b32encode(entropy.token(13)).decode("ascii").rstrip("=").lower()
    return f"{prefix}_{text[:20]}"


def require_aware(when: datetime, name: str) -> datetime:
    """Return `when` unchanged if it carries a time zone.

    Args:
        when: The instant to check.
        name: What the caller calls it, for the message.

    Raises:
        InvalidInputError: `when` is no datetime, is naive, or lies outside the calendar in UTC.
    """
    if not isinstance(when, datetime):
        raise InvalidInputError(f"{name} is an aware datetime, not {when!r}")
    if when.tzinfo is None or when.utcoffset() is None:
        raise InvalidInputError(
            f"{name} is a naive datetime: give it a time zone, e.g. datetime(…, tzinfo=UTC)"
        )
    try:
        when.astimezone(UTC)
    except OverflowError as error:
        raise InvalidInputError(f"{name} lies outside the years 1 to 9999 in UTC") from error
    return when


def later(now_micros: int, by: timedelta) -> datetime:
    """Return the instant that lies `by` after `now_micros`.

    Raises:
        InvalidInputError: It lies outside the calendar.
    """
    try:
        return from_micros(now_micros) + by
    except OverflowError as error:
        raise InvalidInputError(f"{by} from now lies outside the years 1 to 9999") from error


def to_micros(when: datetime) -> int:
    """Turn an aware instant into microseconds since 1970 in UTC.

    >>> to_micros(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    return (when - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Turn microseconds since 1970 back into an aware instant in UTC.

    >>> from_micros(1_000_000)
    datetime.datetime(1970, 1, 1, 0, 0, 1, tzinfo=datetime.timezone.utc)
    """
    return _EPOCH + micros * _MICROSECOND
