"""Evicting: KV caches that go so that blobs stay under their budget. Their sources stay.

How much a cache was used, and when, is read from the ledger: each use is an event, and so is each
eviction, with the clock of the policy. Nothing is counted up beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import JsonValue
from sqlalchemy import func, select

from memos_core.cube import CubeId
from memos_core.errors import FullError
from memos_core.infrastructure.blobs import rows
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.ledger.reading import Selection, newest_first
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.records import Record, children, fetch
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.memory.eviction import Evictions, Resident, evictions, priority_of
from memos_core.operation.auditing import VAULT_ITSELF
from memos_core.operation.gate import Gate, Refusal
from memos_core.operation.inner.keeping import BlobKeeper
from memos_core.operation.inner.watching import VERB as USED
from memos_core.operation.lifecycle.forgetting import Forgetter
from memos_core.operation.retention import Retention

VERB: Final = "memos.evict"
_ITSELF: Final = Actor(VAULT_ITSELF, VAULT_ITSELF, None, "assist")


class Evictor:
    """Keeps blobs under a budget.

    Args:
        gate: Decides and records.
        forgetter: Removes caches.
        retention: Says what is held.
        keeper: Removes their blobs.
        budget: The most bytes; None sets no limit.
    """

    def __init__(
        self,
        gate: Gate,
        forgetter: Forgetter,
        retention: Retention,
        keeper: BlobKeeper,
        budget: int | None,
    ) -> None:
        self._gate = gate
        self._forgetter = forgetter
        self._retention = retention
        self._keeper = keeper
        self._budget = budget

    def make_room(self, needed: int) -> None:
        """Remove the least useful KV caches until so many more bytes fit in.

        Args:
            needed: How many bytes are to come.

        Raises:
            FullError: They do not fit even so; nothing was removed.
        """
        if self._budget is None:
            return
        gone = False
        with self._gate.effect(_ITSELF, VERB) as tx:
            while (plan := self._plan(tx, needed, self._budget)).names:
                gone = True
                for name in plan.names:
                    self._forgetter.evict(tx, _ITSELF, name)
                    data: dict[str, JsonValue] = {"clock": plan.clock}
                    self._gate.note(tx, _ITSELF, VERB, subject=name, data=data)
        if gone:
            self._keeper.collect()

    def check(self, tx: Transaction) -> bool:
        """Tell whether the blobs that memories need are within the budget."""
        return self._budget is None or _total(_needed(tx)) <= self._budget

    def _plan(self, tx: Transaction, needed: int, budget: int) -> Evictions:
        """Decide what goes; again where much of what went is shared, and so did not go."""
        clocks, blobs = _clocks(tx), _needed(tx)
        there = self._residents(tx, clocks, blobs)
        clock = max((at for _time, at in clocks), default=0.0)
        own = sum(each.size for each in there)
        plan = evictions(there, needed=needed, budget=budget - (_total(blobs) - own), clock=clock)
        if not plan.fits:
            raise FullError(
                f"{needed:,} bytes do not fit into Settings.blob_budget_bytes of {budget:,}: "
                "raise it, store with less precision, or forget adapters"
            )
        return plan

    def _residents(
        self,
        tx: Transaction,
        clocks: Sequence[tuple[int, float]],
        blobs: Sequence[tuple[int, list[CubeId]]],
    ) -> list[Resident]:
        """List the KV caches with what each takes."""
        own: dict[CubeId, int] = {}
        for size, users in blobs:
            for each in users:
                # What several share goes with the last of them: each bears its part.
                own[each] = own.get(each, 0) + size // len(users)
        found: list[Resident] = []
        for record in fetch(tx, sorted(own)).values():
            if not isinstance(record, Record):
                continue
            kv = record.memcube().kv
            if kv is None:
                continue
            uses, last = self._uses(tx, record.cube.id)
            at = max((clock for time, clock in clocks if time <= last), default=0.0)
            size = own[record.cube.id]
            priority = priority_of(clock=at, uses=uses + 1, cost=kv.prefill_s, size=size)
            # What somebody derived from it by hand cannot be made again, and would go with it.
            pinned = self._is_held(tx, record.cube.id) or bool(children(tx, [record.cube.id]))
            found.append(Resident(record.cube.id, size, priority, pinned))
        return found

    def _uses(self, tx: Transaction, cube_id: CubeId) -> tuple[int, int]:
        """Return how often a cache was used, and when last; when it was made, if never."""
        table = schema.ledger
        query = select(func.count(), func.max(table.c.time)).where(
            table.c.subject == cube_id, table.c.type == USED, table.c.outcome == "allowed"
        )
        count, last = tx.connection.execute(query).one()
        return count, last or 0

    def _is_held(self, tx: Transaction, cube_id: CubeId) -> bool:
        try:
            self._retention.check(tx, [cube_id], [])
        except Refusal:
            return True
        return False


def _needed(tx: Transaction) -> list[tuple[int, list[CubeId]]]:
    """List the blobs that memories need: what each takes, and whose it is."""
    users = rows.needed_by(tx)
    return [(blob.size, users[blob.id]) for blob in rows.everything(tx) if blob.id in users]


def _total(blobs: Sequence[tuple[int, list[CubeId]]]) -> int:
    return sum(size for size, _users in blobs)


def _clocks(tx: Transaction) -> list[tuple[int, float]]:
    """Read where the clock stood after each eviction, newest first."""
    found: list[tuple[int, float]] = []
    for batch in newest_first(tx, Selection(type=VERB)):
        found += [
            (event.time, float(event.data["clock"]))
            for event in batch
            if isinstance(event.data.get("clock"), int | float)
        ]
    return found
