"""Expiry: memories whose time is over make their last transition, and then their bytes go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from sqlalchemy import select

from memos_core.cube import MemoryState
from memos_core.infrastructure.vault import journal, schema
from memos_core.infrastructure.vault.records import Damage, fetch, govern
from memos_core.infrastructure.vault.tasks import Task, finish, is_task
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.operation.auditing import ITSELF
from memos_core.operation.gate import Gate, Refusal
from memos_core.operation.lifecycle.forgetting import Forgetter
from memos_core.operation.lifecycle.states import Transition, after
from memos_core.operation.upkeep.duty import LostLeaseError, PostponedError, done

_HELD: Final = timedelta(days=1)
_CUBES: Final = schema.cubes


class Expiring:
    """Gives what has ended the state that says so; nobody can read it since it ended.

    Args:
        gate: Records.
    """

    kind = "expire"
    lease = timedelta(minutes=1)

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def due(self, tx: Transaction, limit: int) -> Sequence[str]:
        """Name memories that have ended and are not marked so."""
        query = (
            select(_CUBES.c.id)
            .where(
                _CUBES.c.expires <= tx.now,
                _CUBES.c.state != MemoryState.EXPIRED.value,
                ~is_task(self.kind, _CUBES.c.id),
            )
            .order_by(_CUBES.c.expires, _CUBES.c.id)
            .limit(limit)
        )
        return list(tx.connection.execute(query).scalars())

    def carry_out(self, task: Task) -> None:
        """Make the transition, unless the memory has gone or its end was moved meanwhile."""
        with done(self._gate, ITSELF, "memos.expire", task) as tx:
            found = fetch(tx, [task.subject]).get(task.subject)
            if found is None or not found.cube.has_ended(tx.now):
                return
            if isinstance(found, Damage):
                raise found.error()
            state = after(MemoryState(found.cube.state), Transition.EXPIRE)
            govern(tx, replace(found.cube, state=state.value))
            journal.append(tx, found.cube.realm_id, [task.subject], "update")
            self._gate.note(tx, ITSELF, "memos.expire", subject=task.subject)


class Reaping:
    """Removes what has expired, with all that was derived from it, a while after its end.

    What is held stays, unread by anybody, until the hold ends.

    Args:
        gate: Records.
        forgetter: Removes.
        kept: How long what has ended is kept.
    """

    kind = "reap"
    lease = timedelta(minutes=5)

    def __init__(self, gate: Gate, forgetter: Forgetter, kept: timedelta) -> None:
        self._gate = gate
        self._forgetter = forgetter
        self._kept = kept // timedelta(microseconds=1)

    def due(self, tx: Transaction, limit: int) -> Sequence[str]:
        """Name memories that expired long enough ago."""
        query = (
            select(_CUBES.c.id)
            .where(
                _CUBES.c.expires <= tx.now - self._kept,
                _CUBES.c.state == MemoryState.EXPIRED.value,
                ~is_task(self.kind, _CUBES.c.id),
            )
            .order_by(_CUBES.c.expires, _CUBES.c.id)
            .limit(limit)
        )
        return list(tx.connection.execute(query).scalars())

    def carry_out(self, task: Task) -> None:
        """Remove it; what is held waits for a day, and is looked at again.

        Raises:
            PostponedError: It is held.
        """
        try:
            with self._gate.vault.effect(durable=False) as tx:
                if not finish(tx, task):
                    raise LostLeaseError(task.subject)
                if fetch(tx, [task.subject]):
                    self._forgetter.reap(tx, ITSELF, task.subject)
        except Refusal as held:
            raise PostponedError(_HELD, "it is held") from held
