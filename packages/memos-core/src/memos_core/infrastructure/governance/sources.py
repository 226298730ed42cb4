"""Sources: who or what memories came from, how far they are trusted, and which are in quarantine.

A source is a principal that wrote, or an origin such as `import:notes.md`. Labels name sources by
id, so setting a trust or a quarantine is one row and a new policy epoch: no memory and no index is
touched, what was derived follows, and taking it back is as simple.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, update

from memos_core.cube import Trust
from memos_core.infrastructure.governance.policies import quarantine_seal, trust_seal
from memos_core.infrastructure.governance.registry import Registry
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.vault import Transaction, Vault
from memos_core.infrastructure.vault.withdrawals import withdraw


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A source whose memories nobody reads for the time being.

    Args:
        id: For `release`.
        source: The principal or the origin.
        on: The subtree where it counts; `*` is everywhere.
        reason: Why.
    """

    id: str
    source: str
    on: str
    reason: str


class Sources:
    """Writes trusts and quarantines.

    Args:
        vault: Moves the policy epoch and mints ids.
        registry: Resolves names.
    """

    def __init__(self, vault: Vault, registry: Registry) -> None:
        self._vault = vault
        self._registry = registry

    def ensure(self, tx: Transaction, name: str) -> str:
        """Return the id of a source, introducing it to the vault if need be."""
        return self._registry.ensure_source(tx, name)

    def set_trust(self, tx: Transaction, name: str, level: Trust) -> str:
        """Set how far a source is trusted, for all that it ever brought.

        Returns:
            The source's id.
        """
        source_id = self.ensure(tx, name)
        self._set_trust(tx, source_id, level)
        return source_id

    def lower_trust(self, tx: Transaction, source_id: str, level: Trust) -> None:
        """Set a source's trust, by id, if it has a higher one."""
        table = schema.trusts
        now = tx.connection.scalar(select(table.c.level).where(table.c.source_id == source_id))
        if (int(Trust.NORMAL) if now is None else now) > int(level):
            self._set_trust(tx, source_id, level)

    def _set_trust(self, tx: Transaction, source_id: str, level: Trust) -> None:
        table = schema.trusts
        tx.connection.execute(table.delete().where(table.c.source_id == source_id))
        row = {"source_id": source_id, "level": int(level)}
        sealed = row | {"seal": trust_seal(source_id, int(level))}
        tx.connection.execute(insert(table), sealed)
        withdraw(tx, "trust", {"source": source_id, "level": int(level)})
        self._vault.move_epoch(tx)

    def quarantine(
        self, tx: Transaction, name: str, space: str, *, by: str, reason: str
    ) -> Quarantine:
        """Put a source into quarantine.

        Args:
            tx: The effect.
            name: The principal or the origin.
            space: The subtree where it counts; the root is everywhere.
            by: The id of the principal who does it.
            reason: Why.
        """
        row: dict[str, Any] = {
            "id": self._vault.mint("qtn"),
            "source_id": self.ensure(tx, name),
            "space": space,
            "set_by": by,
            "reason": reason,
            "created": tx.now,
            "released": None,
        }
        self._put(tx, row)
        # The reason stays here: what goes to the anchors names ids, and holds no words.
        space_id = self._registry.ensure_space(tx, space).id if space else ""
        withdraw(tx, "quarantine", {"row": row | {"reason": "", "space": space_id}})
        return Quarantine(row["id"], name, space or "*", reason)

    def impose(self, tx: Transaction, row: Mapping[str, Any]) -> None:
        """Write a quarantine as it was told, if it is not there and its space is."""
        table = schema.quarantines
        row = dict(row) | {"space": self._registry.known_path(tx, row["space"])}
        if row["space"] is None:
            return
        names = {column.name for column in table.columns} - {"seal"}
        known = select(table.c.id).where(table.c.id == row["id"])
        if tx.connection.scalar(known) is None:
            self._put(tx, {name: row[name] for name in names})

    def _put(self, tx: Transaction, row: Mapping[str, Any]) -> None:
        sealed = dict(row) | {"seal": quarantine_seal(row)}
        tx.connection.execute(insert(schema.quarantines), sealed)
        self._vault.move_epoch(tx)

    def lifted(self, tx: Transaction, quarantine_id: str) -> None:
        """Release a quarantine that was released elsewhere, if it stands here."""
        if self.standing(tx, quarantine_id) is not None:
            self.release(tx, quarantine_id)

    def standing(self, tx: Transaction, quarantine_id: str) -> Mapping[str, Any] | None:
        """Return a quarantine's row if it has not been released."""
        table = schema.quarantines
        query = select(table).where(table.c.id == quarantine_id, table.c.released.is_(None))
        row = tx.connection.execute(query).one_or_none()
        return None if row is None else dict(row._mapping)

    def release(self, tx: Transaction, quarantine_id: str) -> None:
        """End a standing quarantine: what was hidden is there again."""
        row = dict(self.standing(tx, quarantine_id) or {}) | {"released": tx.now}
        table = schema.quarantines
        tx.connection.execute(
            update(table)
            .where(table.c.id == quarantine_id)
            .values(released=tx.now, seal=quarantine_seal(row))
        )
        withdraw(tx, "release", {"quarantine": quarantine_id})
        self._vault.move_epoch(tx)
