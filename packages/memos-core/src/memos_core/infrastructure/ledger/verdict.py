"""The verdict: what a check of the ledger found, and how far it reaches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Status = Literal["untampered", "self-consistent", "broken"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `audit verify` found.

    Args:
        status: `untampered` (up to `checkpoint`) where every chain agrees with signed checkpoints
            kept outside the vault; `self-consistent` where the chains hold, but nothing outside
            vouches for them: whoever can rewrite the whole database could rewrite them too; and
            `broken` where something does not hold.
        events: How many events were checked.
        problems: What does not hold, one by one.
        outcomes: How many events had each outcome.
        checkpoint: The last checkpoint that the status speaks of; None unless `untampered`.
        after: How many events came after it: they are self-consistent, and no more is known.
        pruned: How many events were removed by policy, with their signed heads kept.
        notes: What was not checked, and why, such as an anchor that could not be read.
    """

    status: Status
    events: int
    problems: tuple[str, ...] = ()
    outcomes: Mapping[str, int] = field(default_factory=dict)
    checkpoint: int | None = None
    after: int = 0
    pruned: int = 0
    notes: tuple[str, ...] = ()
