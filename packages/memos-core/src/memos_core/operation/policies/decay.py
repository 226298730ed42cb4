"""Decay: how present a memory still is, from when and how often it was used.

Strength halves with each half-life since a memory was last used, or recorded; each doubling of its
uses adds a half-life's worth of rest, as spaced repetition does (Ebbinghaus, 1885, in the form of
half-life regression: Settles and Meeder, ACL 2016).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from memos_core.settings import Decay

DAY = 86_400_000_000
"""Microseconds."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides about a memory.

    Args:
        touched: When it was last used, changed or recorded, in microseconds.
        uses: How often it was used.
        priority: Its priority.
        frozen: Whether it is frozen.
    """

    touched: int
    uses: int
    priority: str = "mid"
    frozen: bool = False


def strength(standing: Standing, policy: Decay, now: int) -> float:
    """Return how present a memory is: 1 when it was just used, towards 0 as time goes by.

    Example:
        >>> ten_days = Decay(half_life=timedelta(days=10))
        >>> strength(Standing(touched=0, uses=0), ten_days, 10 * DAY)
        0.5
    """
    half_life = (policy.half_life / timedelta(microseconds=1)) * (1 + math.log2(1 + standing.uses))
    age = max(0, now - standing.touched)
    return float(0.5 ** (age / half_life))


def is_faded(standing: Standing, policy: Decay, now: int) -> bool:
    """Tell whether a memory is to be put into the archive."""
    if standing.frozen or standing.priority in policy.spared:
        return False
    return strength(standing, policy, now) < policy.archive_below


def earliest(policy: Decay, now: int) -> int:
    """Return since when a memory must be untouched to have faded at all, in microseconds."""
    half_lives = math.log2(1 / policy.archive_below)
    return now - int(half_lives * (policy.half_life / timedelta(microseconds=1)))
