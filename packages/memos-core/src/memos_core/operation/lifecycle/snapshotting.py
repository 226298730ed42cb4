"""Snapshots: names for instants of a space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, insert, select

from memos_core.clock import from_micros
from memos_core.errors import ConflictError, DamagedError, NotFoundError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import Action, decide_space
from memos_core.infrastructure.governance.names import within
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.operation.gate import Gate, Refusal

_TAKE: Final = "memos.snapshot"
_LIST: Final = "memos.snapshots"
_DROP: Final = "memos.snapshot.drop"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A name for an instant of a space.

    Args:
        id: The snapshot's id, as the ledger names it.
        name: What it is called.
        space: The space, with all under it.
        when: The instant; `session.at(when)` looks at it.
        reason: Why it was taken.
    """

    id: str
    name: str
    space: str
    when: datetime
    reason: str


class Snapshotter:
    """Names instants.

    Args:
        gate: Decides and records.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def take(self, actor: Actor, space: str, name: str, reason: str) -> Snapshot:
        """Name this instant of a space."""
        table = schema.snapshots
        with self._gate.effect(actor, _TAKE) as tx:
            self._gate.require(tx, actor, Action.WRITE, space)
            self._gate.require(tx, actor, Action.READ, space)
            if self._row(tx, space, name) is not None:
                error = ConflictError(
                    f"{space} has a snapshot {name!r} already: take another name, or drop it"
                )
                raise Refusal(error, "denied", None, "free name", space)
            row: dict[str, Any] = {
                "id": self._gate.vault.mint("snp"),
                "space": space,
                "name": name,
                "instant": tx.now,
                "set_by": self._gate.registry.ensure_principal(tx, actor.principal),
                "reason": reason,
            }
            sealed = row | {"seal": schema.sealed(table, row)}
            tx.connection.execute(insert(table), sealed)
            self._note(tx, actor, _TAKE, row)
            return _snapshot(row)

    def listed(self, actor: Actor, space: str | None) -> list[Snapshot]:
        """List the snapshots of spaces that the actor may read."""
        table = schema.snapshots
        with self._gate.effect(actor, _LIST, durable=False) as tx:
            rows = tx.connection.execute(select(table).order_by(table.c.instant, table.c.id))
            found = [
                _snapshot(_whole(dict(row)))
                for row in rows.mappings().all()
                if (space is None or within(row["space"], space))
                and self._reads(tx, actor, row["space"])
            ]
            self._gate.note(tx, actor, _LIST)
        return found

    def find(self, actor: Actor, space: str, name: str) -> Snapshot:
        """Return one snapshot of a space that the actor may read."""
        with self._gate.snapshot(actor, _LIST) as tx:
            row = self._row(tx, space, name)
            if row is None or not self._reads(tx, actor, space):
                raise _nothing(space, name)
            return _snapshot(row)

    def drop(self, actor: Actor, space: str, name: str) -> None:
        """Delete a name."""
        table = schema.snapshots
        with self._gate.effect(actor, _DROP) as tx:
            row = self._row(tx, space, name)
            if row is None:
                raise _nothing(space, name)
            try:
                self._gate.require(tx, actor, Action.WRITE, space)
            except Refusal:  # whoever may not write there learns nothing of it
                raise _nothing(space, name) from None
            tx.connection.execute(delete(table).where(table.c.id == row["id"]))
            self._note(tx, actor, _DROP, row)

    def _row(self, tx: Transaction, space: str, name: str) -> Mapping[str, Any] | None:
        table = schema.snapshots
        query = select(table).where(table.c.space == space, table.c.name == name)
        row = tx.connection.execute(query).mappings().one_or_none()
        return None if row is None else _whole(dict(row))

    def _reads(self, tx: Transaction, actor: Actor, space: str) -> bool:
        rights, meant = self._gate.access(tx, actor).rights, actor.purpose
        found = decide_space(rights, Action.READ, space, purpose=meant, now=tx.now)
        return found.allowed and actor.reaches(space)

    def _note(self, tx: Transaction, actor: Actor, verb: str, row: Mapping[str, Any]) -> None:
        data = {"space": self._gate.space_id(tx, row["space"])}
        self._gate.note(tx, actor, verb, subject=row["id"], data=dict(data))


def _whole(row: Mapping[str, Any]) -> Mapping[str, Any]:
    if schema.sealed(schema.snapshots, row) != row["seal"]:
        raise DamagedError(f"snapshot {row['id']} is damaged on disk: run `memos doctor`")
    return row


def _snapshot(row: Mapping[str, Any]) -> Snapshot:
    when = from_micros(row["instant"])
    return Snapshot(row["id"], row["name"], row["space"], when, row["reason"])


def _nothing(space: str, name: str) -> Refusal:
    return Refusal(NotFoundError(f"no snapshot {name!r} of {space} that you may use"), "not_found")
