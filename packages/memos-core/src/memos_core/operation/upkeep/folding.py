"""Folding: uses of memories, counted from the ledger's entries of reads, one count per reader.

A read writes its entry and no shared row; the counts follow. What one principal uses moves no
count that another can see.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import func, insert, select, update

from memos_core.infrastructure.ledger.reading import Recorded, between
from memos_core.infrastructure.vault import schema, tasks
from memos_core.infrastructure.vault.tasks import Task
from memos_core.infrastructure.vault.vault import Transaction, Vault
from memos_core.operation.upkeep.duty import LostLeaseError

USES: Final = ("memos.search", "memos.get", "memos.context", "memos.recollect")
"""Entries that say that memories were used."""
_BATCH: Final = 5_000
_LEDGER: Final = "ledger"


class Folding:
    """Counts uses.

    Args:
        vault: Transactions.
    """

    kind = "fold"
    lease = timedelta(minutes=5)

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def due(self, tx: Transaction, limit: int) -> Sequence[str]:
        """Name the ledger, where it has entries that were not counted."""
        if not limit or tasks.exists(tx, self.kind, _LEDGER):
            return []
        return [_LEDGER] if any(last > first for first, last in _spans(tx).values()) else []

    def carry_out(self, task: Task) -> None:
        """Count a batch of entries, once."""
        with self._vault.effect(durable=False) as tx:
            for chain, (first, last) in _spans(tx).items():
                end = min(last, first + _BATCH)
                self._count(tx, between(tx, chain, first, end, USES))
                tasks.set_progress(tx, _name(chain), end)
            if not tasks.finish(tx, task):
                raise LostLeaseError(task.kind)

    def _count(self, tx: Transaction, events: Sequence[Recorded]) -> None:
        uses: Counter[tuple[str, str]] = Counter()
        last: dict[tuple[str, str], int] = {}
        for event in events:
            if event.outcome != "allowed":
                continue
            used = event.cubes or ((event.subject,) if event.subject else ())
            for cube_id in used:
                uses[cube_id, event.principal_id] += 1
                last[cube_id, event.principal_id] = event.time
        there = _there(tx, sorted({cube_id for cube_id, _who in uses}))
        for pair in sorted(uses):
            if pair[0] in there:
                _add(tx, *pair, uses[pair], last[pair])


def used_by(tx: Transaction, cube_ids: Sequence[str], principal_id: str) -> Mapping[str, Use]:
    """Return how often a principal used memories, and when last, as far as it was counted."""
    table, found = schema.usages, {}
    for batch in schema.batches(cube_ids):
        chosen = table.c.cube_id.in_(batch) & (table.c.principal_id == principal_id)
        for row in tx.connection.execute(select(table).where(chosen)):
            found[row.cube_id] = (row.uses, row.last_used)
    return found


Use = tuple[int, int]
"""How often, and when last, in microseconds."""


def _spans(tx: Transaction) -> dict[int, tuple[int, int]]:
    """Return, by chain, up to where it was counted and up to where it goes."""
    chains = schema.chains.c
    rows = tx.connection.execute(select(chains.chain, chains.seq))
    return {row.chain: (tasks.progress(tx, _name(row.chain)), row.seq) for row in rows}


def _name(chain: int) -> str:
    return f"fold:{chain}"


def _there(tx: Transaction, ids: Sequence[str]) -> set[str]:
    cubes = schema.cubes.c
    found: set[str] = set()
    for batch in schema.batches(ids):
        found.update(tx.connection.execute(select(cubes.id).where(cubes.id.in_(batch))).scalars())
    return found


def _add(tx: Transaction, cube_id: str, principal_id: str, uses: int, last: int) -> None:
    table = schema.usages
    mine = (table.c.cube_id == cube_id) & (table.c.principal_id == principal_id)
    values = {"uses": table.c.uses + uses, "last_used": last}
    if not tx.connection.execute(update(table).where(mine).values(**values)).rowcount:
        row = {"cube_id": cube_id, "principal_id": principal_id, "uses": uses, "last_used": last}
        tx.connection.execute(insert(table).values(**row))


def totals(tx: Transaction, cube_ids: Sequence[str]) -> dict[str, Use]:
    """Return how often memories were used by anybody, and when last; for the vault itself."""
    table, found = schema.usages, {}
    for batch in schema.batches(cube_ids):
        query = (
            select(table.c.cube_id, func.sum(table.c.uses), func.max(table.c.last_used))
            .where(table.c.cube_id.in_(batch))
            .group_by(table.c.cube_id)
        )
        for cube_id, uses, last in tx.connection.execute(query):
            found[cube_id] = (int(uses), int(last))
    return found
