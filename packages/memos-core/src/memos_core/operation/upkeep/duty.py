"""A duty: one kind of work that falls due by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol

from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.vault import tasks
from memos_core.infrastructure.vault.tasks import Task
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.operation.gate import Gate


class LostLeaseError(Exception):
    """Somebody else holds the task by now: what was done is undone. Never leaves the upkeep."""


class PostponedError(Exception):
    """It cannot be done now, and that is no failure. Never leaves the upkeep."""

    def __init__(self, by: timedelta, why: str) -> None:
        super().__init__(why)
        self.by = by


class Duty(Protocol):
    """Finds what is due of one kind, and does it."""

    kind: str
    """Its name; in the list of tasks, in reports, in the command line."""
    lease: timedelta
    """How long one task may take."""

    def due(self, tx: Transaction, limit: int) -> Sequence[str]:
        """Name what is due and is on no list yet, the oldest first.

        Args:
            tx: The effect in which they are leased.
            limit: The most to name.
        """
        ...

    def carry_out(self, task: Task) -> None:
        """Do one task; its last transaction is one of `done`.

        Raises:
            PostponedError: It cannot be done yet.
        """
        ...


@contextmanager
def done(gate: Gate, actor: Actor, verb: str, task: Task) -> Iterator[Transaction]:
    """Open the effect that does a task: it and the end of the task are one.

    Not flushed: what a crash of the machine takes back is due again.

    Raises:
        LostLeaseError: Somebody else holds the task by now.
    """
    with gate.effect(actor, verb, durable=False) as tx:
        yield tx
        if not tasks.finish(tx, task):
            raise LostLeaseError(f"{task.kind} {task.subject}")
