"""Fakes of what is injected: time, randomness; and a throw-away vault."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from memos_core.clock import require_aware
from memos_core.models.embedder import HashingEmbedder
from memos_core.system import MemOS


class ManualClock:
    """A clock that stands until it is turned.

    Args:
        start: Where it stands at first; aware.

    Example:
        >>> clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        >>> clock.turn(timedelta(days=1))
        >>> clock.now().day
        2
    """

    def __init__(self, start: datetime | None = None) -> None:
        self._now = require_aware(start or datetime(2026, 1, 1, tzinfo=UTC), "start")

    def now(self) -> datetime:
        """Return where the clock stands."""
        return self._now

    def turn(self, by: timedelta) -> None:
        """Turn the clock, forwards or back."""
        self._now += by

    def set(self, to: datetime) -> None:
        """Set the clock."""
        self._now = require_aware(to, "to")


class SeededEntropy:
    """Randomness that repeats for a seed. For tests only: anybody can guess it.

    Args:
        seed: What it starts from.
    """

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)

    def token(self, nbytes: int) -> bytes:
        """Return the next `nbytes` bytes."""
        return self._random.randbytes(nbytes)


@contextmanager
def temporary_memos(**options: Any) -> Iterator[MemOS]:
    """Open a new vault in a temporary directory, with the hashing embedder unless another is given.

    Args:
        **options: Passed to `MemOS.open`.
    """
    options.setdefault("embedder", HashingEmbedder())
    with (
        tempfile.TemporaryDirectory(prefix="memos-") as folder,
        MemOS.open(f"{folder}/vault", **options) as memos,
    ):
        yield memos
