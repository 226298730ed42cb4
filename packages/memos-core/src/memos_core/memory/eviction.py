"""Eviction under a byte budget: greedy-dual-size-frequency, as pure functions.

What is cheap to make again, large, and seldom used goes first. A clock, which rises to the priority
of what went last, lets what was once used much but is not any more grow old. Source of the method:
L. Cherkasova, "Improving WWW proxies performance with greedy-dual-size-frequency caching policy",
HP Laboratories, 1998.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resident:
    """Something that takes room.

    Args:
        name: What it is called.
        size: What it takes, in bytes.
        priority: What keeps it; see `priority_of`.
        pinned: Whether it is being used, and must stay.
    """

    name: str
    size: int
    priority: float
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Evictions:
    """What goes, and where the clock stands then.

    Args:
        names: What goes, first the least useful.
        clock: The new clock.
        fits: Whether what is to come fits in then.
    """

    names: tuple[str, ...]
    clock: float
    fits: bool


def priority_of(*, clock: float, uses: int, cost: float, size: int) -> float:
    """Return what keeps something: the clock at its last use, and what a byte of it is worth.

    Args:
        clock: The clock when it was last used.
        uses: How often it was used.
        cost: What making it again costs, in seconds.
        size: What it takes, in bytes.

    >>> priority_of(clock=1.0, uses=2, cost=3.0, size=6)
    2.0
    """
    return clock + uses * cost / max(size, 1)


def evictions(
    residents: Iterable[Resident], *, needed: int, budget: int, clock: float
) -> Evictions:
    """Decide what goes so that something else fits in.

    Args:
        residents: What is there.
        needed: How many bytes are to come.
        budget: How many may be there at most.
        clock: Where the clock stands.

    Returns:
        The decision. Where it cannot fit in nothing goes: that would help nobody.

    >>> there = [Resident("a", 60, 2.0), Resident("b", 30, 1.0)]
    >>> evictions(there, needed=40, budget=100, clock=0.0)
    Evictions(names=('b',), clock=1.0, fits=True)
    """
    here = list(residents)
    free = budget - sum(each.size for each in here)
    gone: list[Resident] = []
    for each in sorted(here, key=lambda one: (one.priority, one.name)):
        if free >= needed:
            break
        if not each.pinned:
            gone.append(each)
            free += each.size
    if free < needed:
        return Evictions((), clock, fits=False)
    return Evictions(
        tuple(each.name for each in gone),
        max([clock, *(each.priority for each in gone)]),
        fits=True,
    )
