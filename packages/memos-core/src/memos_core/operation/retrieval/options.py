"""How hits are ranked: the weights of the blend."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from memos_core.cube import Trust
from memos_core.errors import InvalidInputError


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """The weights of the ranking. The defaults were measured on LoCoMo's dev half.

    Args:
        dense: Weight of the cosine between question and memory.
        bm25: Weight of BM25, as a share of the most that the question's terms could give.
        dense_window: Of the dense part, the share that the ±1 neighbours in a conversation give.
        bm25_window: The same of the lexical part.
        speaker: Where the question names the memory's speaker, this share of the rest is added.
        half_life: If given, a memory's score halves with each such time since it happened.
        min_trust: Leave out memories whose trust is below this.
        expand: Bring along what the hits are linked with, over so many links: 0 to 3.
    """

    dense: float = 0.5
    bm25: float = 0.5
    dense_window: float = 0.5
    bm25_window: float = 0.4
    speaker: float = 0.4
    half_life: timedelta | None = None
    min_trust: Trust = Trust.LOW
    expand: int = 0

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        if self.expand not in range(4):
            raise InvalidInputError(f"expand is 0 to 3, not {self.expand!r}")
        if self.half_life is not None and self.half_life <= timedelta():
            raise InvalidInputError(f"half_life is a positive timedelta, not {self.half_life!r}")
