"""Rows of work that is due: claimed under a lease, tried again after a while, or given up.

A task is done by the transaction that does its work: that one deletes the row, and only if the
lease still is the worker's own. So work is done once, whoever dies, and whenever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, delete, func, insert, select, update

from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.vault import Transaction

_TABLE: Final = schema.tasks


@dataclass(frozen=True, slots=True)
class Task:
    """Something that is due.

    Args:
        kind: Which duty it belongs to.
        subject: What it is about, such as a memory's id.
        due: Not before this, in microseconds; while it is leased, when the lease ends.
        lease: The lease that holds it.
        attempts: How often it was begun.
        dead: Since when it is not tried any more.
        error: What went wrong last.
    """

    kind: str
    subject: str
    due: int
    lease: str | None
    attempts: int
    dead: int | None
    error: str


def claim(tx: Transaction, kind: str, lease: str, until: int, limit: int) -> list[Task]:
    """Lease tasks of a kind whose time has come: those that wait, and those of the dead.

    Args:
        tx: The effect.
        kind: Which duty's.
        lease: The lease that is to hold them.
        until: When it ends, in microseconds.
        limit: The most to take.
    """
    columns = _TABLE.c
    query = (
        select(_TABLE)
        .where(columns.kind == kind, columns.dead.is_(None), columns.due <= tx.now)
        .order_by(columns.due, columns.subject)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    found = [_read(row) for row in tx.connection.execute(query)]
    claimed = []
    for each in found:
        values = {"lease": lease, "due": until, "attempts": each.attempts + 1}
        tx.connection.execute(update(_TABLE).where(_named(each)).values(**values))
        claimed.append(Task(kind, each.subject, until, lease, each.attempts + 1, None, each.error))
    return claimed


def any_due(tx: Transaction, kind: str) -> bool:
    """Tell whether a task of a kind waits whose time has come."""
    columns = _TABLE.c
    ready = (columns.kind == kind) & columns.dead.is_(None) & (columns.due <= tx.now)
    return tx.connection.scalar(select(columns.subject).where(ready).limit(1)) is not None


def open_tasks(
    tx: Transaction, kind: str, subjects: Sequence[str], lease: str, until: int
) -> list[Task]:
    """Write tasks that nobody has yet, leased."""
    tasks = [Task(kind, each, until, lease, 1, None, "") for each in subjects]
    rows = [{name: getattr(task, name) for name in Task.__slots__} for task in tasks]
    if rows:
        tx.connection.execute(insert(_TABLE), rows)
    return tasks


def plan(tx: Transaction, kind: str, subjects: Sequence[str]) -> None:
    """Write tasks that are due now, for whoever comes; those that are there already stay."""
    known: set[str] = set()
    for batch in schema.batches(subjects):
        chosen = (_TABLE.c.kind == kind) & _TABLE.c.subject.in_(batch)
        known.update(tx.connection.execute(select(_TABLE.c.subject).where(chosen)).scalars())
    rows = [
        {"kind": kind, "subject": each, "due": tx.now, "attempts": 0, "error": ""}
        for each in subjects
        if each not in known
    ]
    if rows:
        tx.connection.execute(insert(_TABLE), rows)


def finish(tx: Transaction, task: Task) -> bool:
    """Take a task off the list, in the transaction that did it.

    Returns:
        Whether the lease was still the worker's; if not, the transaction is to be undone.
    """
    mine = _named(task) & (_TABLE.c.lease == task.lease)
    return tx.connection.execute(delete(_TABLE).where(mine)).rowcount == 1


def put_back(
    tx: Transaction,
    task: Task,
    *,
    due: int,
    error: str = "",
    dead: bool = False,
    tried: bool = True,
) -> None:
    """Give up a lease.

    Args:
        tx: The effect.
        task: The task.
        due: When it may be tried again, in microseconds.
        error: What went wrong.
        dead: It is not to be tried again.
        tried: Whether it counts as an attempt.
    """
    values: dict[str, Any] = {"lease": None, "due": due, "error": error}
    values["dead"] = tx.now if dead else None
    if not tried:
        values["attempts"] = task.attempts - 1
    mine = _named(task) & (_TABLE.c.lease == task.lease)
    tx.connection.execute(update(_TABLE).where(mine).values(**values))


def revive(tx: Transaction) -> int:
    """Try everything again that was given up; return how many those are."""
    values = {"dead": None, "due": tx.now, "attempts": 0, "lease": None}
    done = tx.connection.execute(update(_TABLE).where(_TABLE.c.dead.is_not(None)).values(**values))
    return done.rowcount


def given_up(tx: Transaction) -> list[Task]:
    """List what is not tried any more, oldest first."""
    query = select(_TABLE).where(_TABLE.c.dead.is_not(None))
    rows = tx.connection.execute(query.order_by(_TABLE.c.dead, _TABLE.c.kind, _TABLE.c.subject))
    return [_read(row) for row in rows]


def waiting(tx: Transaction) -> dict[str, int]:
    """Count, by kind, what is still to be done, now or later."""
    query = select(_TABLE.c.kind, func.count()).where(_TABLE.c.dead.is_(None))
    rows = tx.connection.execute(query.group_by(_TABLE.c.kind))
    return {row.kind: row.count_1 for row in rows}


def exists(tx: Transaction, kind: str, subject: str) -> bool:
    """Tell whether a subject has a task of this kind."""
    return bool(tx.connection.scalar(select(is_task(kind, subject))))


def is_task(kind: str, subject: Any) -> ColumnElement[bool]:
    """Say, for a query, that a subject has a task of this kind."""
    chosen = select(_TABLE.c.subject).where(_TABLE.c.kind == kind, _TABLE.c.subject == subject)
    return chosen.exists()


def progress(tx: Transaction, name: str) -> int:
    """Return how far something got; 0 where it was never begun."""
    table = schema.progress
    return tx.connection.scalar(select(table.c.value).where(table.c.name == name)) or 0


def set_progress(tx: Transaction, name: str, value: int) -> None:
    """Note how far something got."""
    table = schema.progress
    chosen = update(table).where(table.c.name == name).values(value=value)
    if not tx.connection.execute(chosen).rowcount:
        tx.connection.execute(insert(table).values(name=name, value=value))


def _named(task: Task) -> ColumnElement[bool]:
    return (_TABLE.c.kind == task.kind) & (_TABLE.c.subject == task.subject)


def _read(row: Row[Any]) -> Task:
    return Task(*(row._mapping[name] for name in Task.__slots__))
