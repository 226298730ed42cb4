"""Tidying: what changed is related to what is near it, for a keeper who may change it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.vault import tasks
from memos_core.infrastructure.vault.tasks import Task
from memos_core.infrastructure.vault.vault import Transaction, Vault
from memos_core.operation.organizing.relating import Relater
from memos_core.operation.upkeep.duty import LostLeaseError

_MOST_BATCHES = 10


class Tidying:
    """Organizes memories under the rights of a keeper.

    Args:
        vault: Transactions.
        relater: Compares.
        keeper: Who it acts for: nothing is read or said that this one may not.
    """

    kind = "organize"
    lease = timedelta(minutes=10)

    def __init__(self, vault: Vault, relater: Relater, keeper: Actor) -> None:
        self._vault = vault
        self._relater = relater
        self._keeper = keeper

    def due(self, tx: Transaction, limit: int) -> Sequence[str]:
        """Name the keeper, where anything changed that this one may read."""
        name = f"{self._keeper.principal}:{self._keeper.bound or ''}"[:80]
        if not limit or tasks.exists(tx, self.kind, name):
            return []
        return [name] if self._relater.is_due(tx, self._keeper) else []

    def carry_out(self, task: Task) -> None:
        """Compare some batches; what is left is due again. Doing it twice says nothing twice."""
        for _ in range(_MOST_BATCHES):
            _told, more = self._relater.step(self._keeper)
            if not more:
                break
        with self._vault.effect(durable=False) as tx:
            if not tasks.finish(tx, task):
                raise LostLeaseError(task.subject)
