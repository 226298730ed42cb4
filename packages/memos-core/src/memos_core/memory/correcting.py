"""Correcting: what a statement says once it was put right, in words of its own."""

from __future__ import annotations

import re
from typing import Final

from memos_core.memory.claims import claims_of

_BARE: Final = re.compile(
    r"^(?:no,?\s+)?(?:it|that|this|they|he|she|there)(?:['\u2019](?:s|re)|\s+(?:is|are|was|were))\s+"
    r"(?:actually\s+|really\s+|now\s+|in fact\s+)?(?:(?:on|at|in|to|for|by)\s+)?",
    re.IGNORECASE,
)
"""How a correction begins that does not say what it is about."""


def corrected(old: str, target: str, replaces: str | None = None) -> str | None:
    """Say what a statement says once it was put right.

    Args:
        old: The statement as it was.
        target: The correction, in the words in which it was given.
        replaces: What it is said to be instead of.

    Returns:
        The statement put right; the correction itself where it says what it is about; None where
        it has nothing to do with the statement.

    Example:
        >>> corrected("The meeting is on Wednesday.", "it's Thursday", "Wednesday")
        'The meeting is on Thursday.'
        >>> corrected("The bus leaves at 4 pm.", "it's 5 pm")
        'The bus leaves at 5 pm.'
        >>> corrected("The boat is red.", "it's 5 pm")
    """
    bare = _BARE.match(target)
    if replaces and (found := _whole(replaces).search(old)):
        if bare is None:
            return target
        return old[: found.start()] + _value(target, bare) + old[found.end() :]
    if replaces or bare is None:
        return None
    return _by_kind(old, target)


def is_bare(target: str) -> bool:
    """Tell whether a correction leaves unsaid what it is about.

    >>> is_bare("it's Thursday"), is_bare("the meeting is on Thursday")
    (True, False)
    """
    return _BARE.match(target) is not None


def _value(target: str, bare: re.Match[str]) -> str:
    return target[bare.end() :].strip().rstrip(".!")


def _by_kind(old: str, target: str) -> str | None:
    """Put the one typed value of a correction in the place of the one of its kind."""
    new = [claim.value for claim in claims_of(target) if claim.value.kind != "phrase"]
    if len({value.norm for value in new}) != 1:
        return None
    there = {claim.value.text for claim in claims_of(old) if claim.value.kind == new[0].kind}
    if len(there) != 1:
        return None
    found = _whole(there.pop()).search(old)
    if found is None or old[found.start() : found.end()] == new[0].text:
        return None
    return old[: found.start()] + new[0].text + old[found.end() :]


def _whole(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(words)}(?!\w)", re.IGNORECASE)
