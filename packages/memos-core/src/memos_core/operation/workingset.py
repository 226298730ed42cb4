"""The working set of a session: what its next turn will probably need, made ready beforehand.

It holds ids and no content: whatever holds content has to answer for erasure, and pages and loaded
tensors do that already. Ready means that the pages of the realms are up to date, that the rows are
in the database's cache, and that for a model the KV cache and the adapters are loaded. Whether a
memory may be used is decided at its use, as if nothing were ready.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from memos_core.cube import CubeId
from memos_core.operation.policies.prediction import Turn, predict

SIZE: Final = 64
_TURNS: Final = 6


_MOST_UNJUDGED: Final = 64
"""Turns whose prediction is judged at once, so that none piles up."""


@dataclass(frozen=True, slots=True)
class HitRate:
    """How good the predictions were.

    Args:
        placed: How many memories were placed in contexts since the second turn.
        ready: How many of them had been predicted.
    """

    placed: int = 0
    ready: int = 0

    @property
    def share(self) -> float:
        """Which part of what was placed had been predicted."""
        return self.ready / self.placed if self.placed else 0.0


class WorkingSet:
    """Watches the turns of one session. Threads may share it.

    Args:
        size: The most memories that are predicted.
    """

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._turns: deque[Turn] = deque(maxlen=_TURNS)
        self._rate = HitRate()
        self._unjudged: list[tuple[tuple[Turn, ...], tuple[CubeId, ...]]] = []

    @property
    def rate(self) -> HitRate:
        """How good the predictions were so far; judged when somebody asks, not in a turn."""
        with self._lock:
            self._judge()
            return self._rate

    def wanted(self) -> tuple[CubeId, ...]:
        """Name what the next turn will probably need, the most probable first."""
        with self._lock:
            return predict(list(self._turns), self._size)

    def saw(self, turn: Turn, placed: Iterable[CubeId]) -> None:
        """Take a turn in.

        Args:
            turn: What it was about.
            placed: What it needed.
        """
        with self._lock:
            if self._turns:
                self._unjudged.append((tuple(self._turns), tuple(placed)))
            self._turns.append(turn)
            if len(self._unjudged) == _MOST_UNJUDGED:
                self._judge()

    def _judge(self) -> None:
        for turns, placed in self._unjudged:
            ready = set(predict(list(turns), self._size))
            self._rate = HitRate(
                self._rate.placed + len(placed),
                self._rate.ready + sum(each in ready for each in placed),
            )
        self._unjudged.clear()
