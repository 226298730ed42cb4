"""Retention holds: what may not be forgotten for now. A hold beats forget, and says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import JsonValue
from sqlalchemy import insert, select, update

from memos_core.clock import from_micros, require_aware, to_micros
from memos_core.draft import check_reason
from memos_core.errors import DeniedError, InvalidInputError, NotFoundError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import ROOT, Action
from memos_core.infrastructure.governance.names import check_space, is_personal, within
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.records import fetch
from memos_core.infrastructure.vault.reserve import Draw
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.infrastructure.vault.withdrawals import withdraw
from memos_core.operation.gate import EVERYWHERE, Gate, Refusal, is_cube_id


@dataclass(frozen=True, slots=True)
class Hold:
    """Memories that nobody can forget for the time being.

    Args:
        id: For `lift`.
        on: The space subtree, `*` for all shared spaces, or the one memory.
        reason: Why.
        until: When it ends by itself; None never.
    """

    id: str
    on: str
    reason: str
    until: datetime | None


class Retention:
    """Sets, lifts and enforces holds.

    Args:
        gate: Decides and records.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def hold(self, actor: Actor, on: str, reason: str, until: datetime | None) -> Hold:
        """Forbid forgetting in a subtree, or of one memory."""
        single = is_cube_id(on)
        if not single and on != EVERYWHERE:
            check_space(on)
        check_reason(reason)
        ends = None if until is None else to_micros(require_aware(until, "until"))
        with self._gate.effect(actor, "memos.hold") as tx:
            if ends is not None and ends <= tx.now:
                raise InvalidInputError("until is not in the future: the hold would never hold")
            self._require(tx, actor, on)
            row: dict[str, Any] = {
                "id": self._gate.vault.mint("hld"),
                "space": None if single else ROOT if on == EVERYWHERE else on,
                "cube_id": on if single else None,
                "set_by": self._gate.registry.ensure_principal(tx, actor.principal),
                "reason": reason,
                "until": ends,
                "created": tx.now,
                "lifted": None,
            }
            tx.connection.execute(insert(schema.holds), row | {"seal": _seal(row)})
            where = None if single else self._gate.space_id(tx, row["space"]) or ""
            withdraw(tx, "hold", {"row": row | {"reason": "", "space": where}})
            data: dict[str, JsonValue] = {
                "cube": row["cube_id"],
                "space": self._gate.space_id(tx, row["space"]),
                "until": None if ends is None else from_micros(ends).isoformat(),
            }
            self._gate.note(tx, actor, "memos.hold", subject=row["id"], data=data)
            return Hold(row["id"], on, reason, until)

    def lift(self, actor: Actor, hold_id: str) -> None:
        """End a hold."""
        table = schema.holds
        # What is held cannot be forgotten before: lifting takes part in taking away.
        with self._gate.effect(actor, "memos.lift", draw=Draw.ALL) as tx:
            query = select(table).where(table.c.id == hold_id, table.c.lifted.is_(None))
            row = tx.connection.execute(query).one_or_none()
            if row is None:
                raise self._no_hold(hold_id)
            on = row.cube_id if row.cube_id is not None else row.space or EVERYWHERE
            try:
                self._require(tx, actor, on)
            except Refusal:  # whoever may not govern it learns nothing of it
                raise self._no_hold(hold_id) from None
            changed = dict(row._mapping) | {"lifted": tx.now}
            tx.connection.execute(
                update(table)
                .where(table.c.id == hold_id)
                .values(lifted=tx.now, seal=_seal(changed))
            )
            withdraw(tx, "lift", {"hold": hold_id})
            self._gate.note(tx, actor, "memos.lift", subject=hold_id)

    def impose(self, tx: Transaction, row: Mapping[str, Any]) -> None:
        """Write a hold as it was told, if it is not there and what it is on is."""
        table = schema.holds
        known = select(table.c.id).where(table.c.id == row["id"])
        if tx.connection.scalar(known) is not None:
            return
        names = [column.name for column in table.columns if column.name != "seal"]
        values = {name: row[name] for name in names}
        if row["space"] is not None:
            values["space"] = self._gate.registry.known_path(tx, row["space"])
        if values["space"] is not None or values["cube_id"] is not None:
            tx.connection.execute(insert(table), values | {"seal": _seal(values)})

    def lifted(self, tx: Transaction, hold_id: str) -> None:
        """End a hold that was lifted elsewhere, if it stands here."""
        table = schema.holds
        query = select(table).where(table.c.id == hold_id, table.c.lifted.is_(None))
        row = tx.connection.execute(query).mappings().one_or_none()
        if row is not None:
            changed = dict(row) | {"lifted": tx.now}
            chosen = update(table).where(table.c.id == hold_id)
            tx.connection.execute(chosen.values(lifted=tx.now, seal=_seal(changed)))

    def check(self, tx: Transaction, named: Sequence[str], derived: Sequence[str]) -> None:
        """Refuse to forget what is held, or what something held was derived from.

        Raises:
            Refusal: One of them is held.
        """
        standing = self._standing(tx)
        if not standing:
            return
        places = {
            found.cube.id: self._gate.space_of(tx, found.cube)
            for found in fetch(tx, [*named, *derived]).values()
        }
        for cube_id, space in places.items():
            for row in standing:
                if not _covers(row, cube_id, space):
                    continue
                if cube_id in named:
                    raise _refusal(cube_id, row, is_named=True)
                if all(self._governs(tx, row, each, places[each]) for each in named):
                    raise _refusal(cube_id, row, is_named=False)

    def _governs(self, tx: Transaction, row: Mapping[str, Any], cube: str, space: str) -> bool:
        """Tell whether whoever set a hold governs a memory too.

        Otherwise anybody could keep others' memories from being forgotten, by deriving something
        from them and holding that.
        """
        names = self._gate.registry.principal_names(tx, [row["set_by"]])
        if row["set_by"] not in names:
            return False
        rights = self._gate.registry.rights(tx, names[row["set_by"]])
        return rights.governs(space, cube, tx.now)

    def _standing(self, tx: Transaction) -> list[Mapping[str, Any]]:
        """List the holds that stand; a damaged one is taken at its strictest."""
        found: list[Mapping[str, Any]] = []
        table = schema.holds
        for row in tx.connection.execute(select(table).where(table.c.lifted.is_(None))):
            values = dict(row._mapping)
            whole = _seal(values) == row.seal
            if not (whole and row.until is not None and row.until <= tx.now):
                found.append(values)
        return found

    def _require(self, tx: Transaction, actor: Actor, on: str) -> None:
        if is_cube_id(on):
            record = self._gate.governed(tx, actor, on)
            space = self._gate.space_of(tx, record.cube)
            self._gate.require(tx, actor, Action.GOVERN, space, cube=on)
        else:
            self._gate.require(tx, actor, Action.GOVERN, ROOT if on == EVERYWHERE else on)

    def _no_hold(self, hold_id: str) -> Refusal:
        return Refusal(NotFoundError(f"no hold {hold_id!r} that you may lift"), "not_found")


def _covers(row: Mapping[str, Any], cube_id: str, space: str) -> bool:
    if row["cube_id"] is not None:
        return bool(row["cube_id"] == cube_id)
    if row["space"] == ROOT:
        return not is_personal(space)
    # A damaged hold that does not say where it counts, counts everywhere.
    return not isinstance(row["space"], str) or within(space, row["space"])


def _refusal(cube_id: str, row: Mapping[str, Any], *, is_named: bool) -> Refusal:
    if not is_named:
        error = DeniedError(
            "something that was derived from it is under a retention hold: whoever governs it can "
            "lift that"
        )
        return Refusal(error, "denied", None, "hold")
    ends = ""
    if row["until"] is not None:
        with suppress(TypeError, OverflowError):  # where it is damaged
            ends = f" until {from_micros(row['until']).isoformat()}"
    error = DeniedError(
        f"memory {cube_id} is under the retention hold {row['id']}{ends}: whoever governs its "
        "space can lift it"
    )
    return Refusal(error, "denied", cube_id, "hold")


def _seal(row: Mapping[str, Any]) -> str:
    names = ("id", "space", "cube_id", "set_by", "reason", "until", "created", "lifted")
    return schema.seal(*(row[name] for name in names))
