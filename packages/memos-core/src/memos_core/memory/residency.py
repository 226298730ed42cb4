"""What a process holds in memory for its models, under a byte budget, and as long as it may.

Several uses share one copy. What is being used stays; what the vault does not have any more goes as
soon as nobody uses it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from memos_core.memory.eviction import Resident, evictions, priority_of

T = TypeVar("T")


@dataclass(slots=True)
class _Held(Generic[T]):
    value: T
    size: int
    cost: float
    realm: str
    priority: float
    drop: Callable[[T], bool] | None
    uses: int = 0
    pins: int = 0
    doomed: bool = False


@dataclass(frozen=True, slots=True)
class Wanted(Generic[T]):
    """Something that is to be held.

    Args:
        name: What it is called.
        size: What it takes, in bytes.
        cost: What making it again costs, in seconds.
        realm: The realm of the memory that it is of.
        load: Loads it.
        drop: Lets it go, where it is more than an object; says whether it could, now.
    """

    name: str
    size: int
    cost: float
    realm: str
    load: Callable[[], T]
    drop: Callable[[T], bool] | None = None


class Residency(Generic[T]):
    """Holds what was loaded, and lets it go.

    Args:
        budget: The most bytes; what does not fit is not loaded.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._clock = 0.0
        self._held: dict[str, _Held[T]] = {}
        self._lock = threading.RLock()

    @property
    def lock(self) -> threading.RLock:
        """Held while something is loaded, or let go."""
        return self._lock

    @property
    def nbytes(self) -> int:
        """What is held, in bytes."""
        with self._lock:
            return sum(each.size for each in self._held.values())

    @property
    def names(self) -> list[str]:
        """What is held."""
        with self._lock:
            return list(self._held)

    @property
    def realms(self) -> set[str]:
        """The realms of which something is held."""
        with self._lock:
            return {each.realm for each in self._held.values()}

    @contextmanager
    def using(self, wanted: Sequence[Wanted[T]]) -> Iterator[list[T] | None]:
        """Hold things for as long as the block runs, loading what is not there.

        Yields:
            The things, in order; None where they do not fit into the budget.
        """
        with self._lock:
            pinned = self._pinned(wanted)
        try:
            yield None if pinned is None else [each.value for each in pinned]
        finally:
            with self._lock:
                for each in pinned or ():
                    each.pins -= 1
                for name in [n for n, each in self._held.items() if each.doomed and not each.pins]:
                    self._let_go(name)

    def keep_only(self, names: set[str]) -> set[str]:
        """Let go of everything else; what is being used goes as soon as it is not.

        Returns:
            The realms of which something still has to go.
        """
        with self._lock:
            for name in [name for name in self._held if name not in names]:
                self._held[name].doomed = True
                if not self._held[name].pins:
                    self._let_go(name)
            return {each.realm for each in self._held.values() if each.doomed}

    def _pinned(self, wanted: Sequence[Wanted[T]]) -> list[_Held[T]] | None:
        found: list[_Held[T]] = []
        complete = False
        try:
            for each in wanted:
                held = self._held.get(each.name) or self._loaded(each)
                if held is None:
                    return None
                held.pins += 1
                held.uses += 1
                held.priority = priority_of(
                    clock=self._clock, uses=held.uses, cost=held.cost, size=held.size
                )
                found.append(held)
            complete = True
            return found
        finally:
            if not complete:
                for held in found:
                    held.pins -= 1

    def _let_go(self, name: str) -> None:
        """Let something go; what cannot go now stays doomed, and goes another time."""
        held = self._held[name]
        held.doomed = True
        if held.drop is None or held.drop(held.value):
            del self._held[name]

    def _loaded(self, wanted: Wanted[T]) -> _Held[T] | None:
        there = [
            Resident(name, each.size, each.priority, pinned=each.pins > 0)
            for name, each in self._held.items()
        ]
        plan = evictions(there, needed=wanted.size, budget=self._budget, clock=self._clock)
        if not plan.fits:
            return None
        for name in plan.names:
            self._let_go(name)
        self._clock = plan.clock
        held = _Held(
            wanted.load(), wanted.size, wanted.cost, wanted.realm, self._clock, wanted.drop
        )
        self._held[wanted.name] = held
        return held
