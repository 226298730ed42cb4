"""Walking the chains: every event hashed anew onto the one before it, from a known start."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from memos_core.infrastructure.ledger.chains import source_of
from memos_core.infrastructure.ledger.checkpoint import Head, Statement
from memos_core.infrastructure.ledger.event import link

MAX_PROBLEMS: Final = 1_000
"""Beyond so many the rest is only counted."""


@dataclass(frozen=True, slots=True)
class Step:
    """An event in its place, as stored."""

    chain: int
    seq: int
    hash: str
    body: str


@dataclass(slots=True)
class Chain:
    """Where the walk along one chain stands."""

    seq: int
    hash: str
    time: str | None
    marks: dict[int, str] = field(default_factory=dict)


class Walk:
    """Checks events one after the other, chain by chain.

    Args:
        vault_id: Whose events they should be.
        starts: Where each chain begins: the head up to which it was pruned.
        statements: The checkpoints whose heads will be asked for.
    """

    def __init__(
        self, vault_id: str, starts: Mapping[int, Head], statements: Iterable[Statement]
    ) -> None:
        self._source = source_of(vault_id)
        self.starts = dict(starts)
        self.chains = {
            head.chain: Chain(head.seq, head.hash, _iso(head.time)) for head in starts.values()
        }
        self._wanted = {(h.chain, h.seq) for said in statements for h in said.heads}
        self.events = 0
        self.prunings: set[int] = set()
        self.outcomes: dict[str, int] = {}
        self.problems: list[str] = []

    def step(self, event: Step) -> dict[str, Any] | None:
        """Check one event; return what it says, or None if it says nothing that can be read."""
        chain = self.chains.setdefault(event.chain, Chain(0, "", None))
        where = f"event {event.seq} of chain {event.chain}"
        if event.seq != chain.seq + 1:
            self._wrong(f"{where} follows event {chain.seq}: something between is missing")
        if link(chain.hash, event.chain, event.seq, event.body) != event.hash:
            self._wrong(f"{where} does not match its hash")
        said = _read(event.body)
        if said is None or said.get("source") != self._source:
            self._wrong(f"{where} is not of this vault")
        chain.seq, chain.hash = event.seq, event.hash
        chain.time = None if said is None else str(said.get("time"))
        if (event.chain, event.seq) in self._wanted:
            chain.marks[event.seq] = event.hash
        outcome = str((said or {}).get("outcome"))
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        self.events += 1
        return said

    def complain(self, problem: str) -> None:
        """Add a problem that the caller found in an event."""
        self._wrong(problem)

    def _wrong(self, problem: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)
        elif len(self.problems) == MAX_PROBLEMS:
            self.problems.append("… and more")

    def compare(self, said: Statement) -> list[str]:
        """Hold the chains against what a checkpoint says of them.

        Returns:
            What does not agree; a head before the walk's start cannot be recomputed.
        """
        found = []
        for head in said.heads:
            chain = self.chains.get(head.chain, Chain(0, "", None))
            start = self.starts.get(head.chain)
            known = self.hash_at(head.chain, head.seq)
            if start is not None and head.seq < start.seq:
                continue
            if head.seq > chain.seq:
                found.append(
                    f"chain {head.chain} ends at event {chain.seq}, before event {head.seq} that "
                    f"checkpoint {said.number} covers: it was cut off, or an older copy of the "
                    "vault was put back"
                )
            elif known != head.hash:
                found.append(
                    f"chain {head.chain} is not what checkpoint {said.number} sealed: it was "
                    f"rewritten at or before event {head.seq}"
                )
        return found

    def hash_at(self, chain: int, seq: int) -> str | None:
        """Return the hash at an event that a checkpoint names, or at a chain's start."""
        start = self.starts.get(chain)
        if seq == (0 if start is None else start.seq):
            return "" if start is None else start.hash
        found = self.chains.get(chain)
        return None if found is None else found.marks.get(seq)

    def after(self, said: Statement) -> int:
        """Count the events that came after a checkpoint."""
        heads = said.by_chain
        return sum(
            max(0, chain.seq - heads[number].seq) if number in heads else chain.seq
            for number, chain in self.chains.items()
        )


def starts_of(statements: Iterable[Statement]) -> dict[int, Head]:
    """Find where the chains begin: at the heads of the checkpoint that was last pruned to."""
    by_number = {said.number: said for said in statements}
    last = by_number[max(by_number)] if by_number else None
    pruned = by_number.get(last.pruned_to) if last is not None else None
    return {} if pruned is None else pruned.by_chain


def _read(body: str) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, TypeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
