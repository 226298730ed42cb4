"""Fading: memories that nobody uses any more go into the archive, where a filter finds them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import select

from memos_core.cube import MemoryState
from memos_core.infrastructure.vault import schema, tasks
from memos_core.infrastructure.vault.records import Damage, Record, fetch
from memos_core.infrastructure.vault.tasks import Task
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.operation.auditing import ITSELF
from memos_core.operation.gate import Gate
from memos_core.operation.lifecycle.states import Transition
from memos_core.operation.lifecycle.updating import Updater, header_of
from memos_core.operation.policies.decay import Standing, earliest, is_faded
from memos_core.operation.upkeep.duty import LostLeaseError, done
from memos_core.operation.upkeep.folding import totals
from memos_core.settings import Decay

_EVERY: Final = timedelta(days=1) // timedelta(microseconds=1)
_LOOK: Final = "look"
"""The task of looking through all memories; the others are about one each."""
_LOOKED: Final = "archive:looked"
_PLACE: Final = "archive:place"
_BATCH: Final = 500
_CUBES: Final = schema.cubes


class Fading:
    """Archives what has faded; nothing is lost by it.

    Args:
        gate: Records.
        updater: Writes versions.
        policy: When a memory has faded; None lets nothing fade.
    """

    kind = "archive"
    lease = timedelta(minutes=1)

    def __init__(self, gate: Gate, updater: Updater, policy: Decay | None) -> None:
        self._gate = gate
        self._updater = updater
        self._policy = policy

    def due(self, tx: Transaction, limit: int) -> Sequence[str]:
        """Name the look through all memories, once a day."""
        if self._policy is None or not limit or tasks.exists(tx, self.kind, _LOOK):
            return []
        return [_LOOK] if tasks.progress(tx, _LOOKED) <= tx.now - _EVERY else []

    def _look(self, task: Task) -> None:
        """Look through all memories, in parts, and list what has faded; it goes on where it was."""
        more = True
        while more:
            with self._gate.vault.effect(durable=False) as tx:
                rows = self._next(tx)
                tasks.plan(tx, self.kind, self._faded(tx, [cube_id for cube_id, _created in rows]))
                more = len(rows) == _BATCH
                tasks.set_progress(tx, _PLACE, rows[-1][1] if more else 0)
                if not more:
                    tasks.set_progress(tx, _LOOKED, tx.now)
                    if not tasks.finish(tx, task):
                        raise LostLeaseError(task.subject)

    def _next(self, tx: Transaction) -> list[tuple[str, int]]:
        """Return the next memories that are old enough, with when they were recorded."""
        query = (
            select(_CUBES.c.id, _CUBES.c.created)
            .where(
                _CUBES.c.state == MemoryState.GENERATED.value,
                _CUBES.c.created > tasks.progress(tx, _PLACE),
                _CUBES.c.created <= earliest(self._policy or Decay(), tx.now),
            )
            .order_by(_CUBES.c.created, _CUBES.c.id)
            .limit(_BATCH)
        )
        return [(row.id, row.created) for row in tx.connection.execute(query)]

    def _faded(self, tx: Transaction, ids: Sequence[str]) -> list[str]:
        uses = totals(tx, ids)
        return [
            each.cube.id
            for each in fetch(tx, ids).values()
            if isinstance(each, Record) and self._has_faded(tx, each, uses.get(each.cube.id))
        ]

    def _has_faded(self, tx: Transaction, record: Record, used: tuple[int, int] | None) -> bool:
        header, (uses, last) = header_of(record), used or (0, 0)
        touched = max(last, record.version.recorded_from)
        standing = Standing(touched, uses, header.priority, header.frozen)
        return self._policy is not None and is_faded(standing, self._policy, tx.now)

    def carry_out(self, task: Task) -> None:
        """Archive a memory, if it still has faded."""
        if task.subject == _LOOK:
            self._look(task)
            return
        with done(self._gate, ITSELF, "memos.archive", task) as tx:
            found = fetch(tx, [task.subject]).get(task.subject)
            if isinstance(found, Damage):
                raise found.error()
            used = totals(tx, [task.subject]).get(task.subject)
            if found is None or found.cube.state != MemoryState.GENERATED.value:
                return
            if self._has_faded(tx, found, used):
                self._updater.stand(tx, ITSELF, found, Transition.ARCHIVE, "nobody used it")
