"""Settings: small values with their units in their names, and nothing read from the environment."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from memos_core.cube import Sensitivity
from memos_core.errors import InvalidInputError

_WORD: Final = re.compile(r"\w+|[^\w\s]")


def estimate_tokens(text: str) -> int:
    """Estimate, on the high side, how many tokens a model makes of `text`.

    The larger of a quarter of its UTF-8 bytes and four thirds of its words and signs, rounded up:
    sub-word tokenizers of current models stay at or under this on prose. Pass a model's own
    tokenizer in `Settings.count_tokens` where the budget must be exact.

    >>> estimate_tokens("I am allergic to peanuts.")
    8
    """
    pieces = len(_WORD.findall(text))
    return max(-(-len(text.encode("utf-8", "surrogatepass")) // 4), -(-pieces * 4 // 3))


SPAN_LEVELS: Final[Mapping[str, Sensitivity]] = MappingProxyType(
    {
        "CARD": Sensitivity.RESTRICTED,
        "IBAN": Sensitivity.RESTRICTED,
        "NATIONAL_ID": Sensitivity.RESTRICTED,
        "SECRET": Sensitivity.RESTRICTED,
        "EMAIL": Sensitivity.CONFIDENTIAL,
        "IP": Sensitivity.CONFIDENTIAL,
        "PHONE": Sensitivity.CONFIDENTIAL,
    }
)
"""How sensitive a span of each type is, if nobody says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decay:
    """When memories that nobody uses are put into the archive.

    Args:
        half_life: The time in which the strength of a memory that was never used halves.
        archive_below: Archive what is weaker than this, 0 to 1.
        spared: Priorities that never decay.

    Raises:
        InvalidInputError: A half-life that is not positive, or a share outside 0 to 1.
    """

    half_life: timedelta = timedelta(days=90)
    archive_below: float = 0.05
    spared: frozenset[str] = frozenset({"high"})

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        if self.half_life <= timedelta():
            raise InvalidInputError(f"half_life is a positive timedelta, not {self.half_life!r}")
        if not 0 < self.archive_below < 1:
            raise InvalidInputError(f"archive_below is between 0 and 1, not {self.archive_below!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a vault is run in this process.

    Args:
        owner: The principal that governs a new vault's shared spaces; used at creation only.
        max_content_bytes: The longest content, as UTF-8 JSON.
        max_k: The most hits that one search returns.
        page_budget_bytes: Memory for index pages; the least useful are dropped beyond it.
        checkpoint_bytes: Size of SQLite's write-ahead log at which it is folded into the database.
        reserve_bytes: Disk space that the vault keeps allocated, so that reads, `forget` and
            `revoke` still work where the disk is full; 0 for none.
        max_vault_bytes: The most that the database may take; its log and its reserve come on top,
            and what works from the reserve may exceed it by as much. None sets no limit.
        blobs_url: Where tensors and adapters are kept, as fsspec names it (`s3://…`); by default
            in the vault's folder `blobs`.
        blob_budget_bytes: The most that KV caches take there; the least useful go first, and their
            sources stay. Adapters count and never go by themselves. None sets no limit.
        inner_budget_bytes: Memory for KV caches that are loaded; the least useful are let go.
        busy_timeout_s: How long a writer waits for its turn before `BusyError`.
        durable_effects: Flush each effect to the disk before it is acknowledged. Off is for
            throw-away vaults and for measuring what the flush costs.
        expired_kept: How long what has expired is kept, unread by anybody, before its bytes go.
        decay: When memories that nobody uses go into the archive; None lets nothing fade.
        span_levels: The clearance that a span of each type needs, where a detector finds one in a
            text. Types that are not named are not marked; an empty mapping marks nothing.
        count_tokens: Counts the tokens of a text, for budgets.
    """

    owner: str = "user:owner"
    max_content_bytes: int = 1_000_000
    max_k: int = 1_000
    page_budget_bytes: int = 1_000_000_000
    checkpoint_bytes: int = 16_000_000
    reserve_bytes: int = 8 * 1024 * 1024
    max_vault_bytes: int | None = None
    blobs_url: str | None = None
    blob_budget_bytes: int | None = None
    inner_budget_bytes: int = 2_000_000_000
    busy_timeout_s: float = 30.0
    durable_effects: bool = True
    expired_kept: timedelta = timedelta()
    decay: Decay | None = None
    span_levels: Mapping[str, Sensitivity] = field(default_factory=lambda: SPAN_LEVELS)
    count_tokens: Callable[[str], int] = estimate_tokens

    def __post_init__(self) -> None:
        """Refuse sizes that mean nothing."""
        if self.reserve_bytes < 0:
            raise InvalidInputError("reserve_bytes is negative: give a number of bytes, or 0")
        if self.inner_budget_bytes < 0 or (self.blob_budget_bytes or 0) < 0:
            raise InvalidInputError("a budget is negative: give a number of bytes")
        if self.expired_kept < timedelta():
            raise InvalidInputError("expired_kept is negative: give a timedelta from 0")
        if self.max_vault_bytes is not None and self.max_vault_bytes <= 0:
            raise InvalidInputError("max_vault_bytes is not positive: give bytes, or None")
