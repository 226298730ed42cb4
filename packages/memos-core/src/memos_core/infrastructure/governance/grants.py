"""Giving and taking rights: grants, groups, clearances. Each change moves the policy epoch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update

from memos_core.clock import from_micros
from memos_core.errors import ConflictError
from memos_core.infrastructure.governance.decision import Action, Permission
from memos_core.infrastructure.governance.registry import Registry, grant_seal, read_permission
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.vault import Transaction, Vault
from memos_core.infrastructure.vault.withdrawals import withdraw

GrantId = str


@dataclass(frozen=True, slots=True)
class Grant:
    """A right that somebody was given.

    Args:
        id: The grant's id, for `revoke`.
        to: The principal or group.
        actions: What it allows: `read`, `write`, `derive`, `share`, `govern`.
        on: The space subtree, or the one memory's id.
        purposes: For which purposes; `*` means every one.
        until: When it ends (exclusive); None never.
        basis: The grant of GOVERN that it was given by: it ends with that one. None where it was
            given by the right to one's own space, or founded the vault.
    """

    id: GrantId
    to: str
    actions: tuple[str, ...]
    on: str
    purposes: tuple[str, ...]
    until: datetime | None
    basis: GrantId | None = None


@dataclass(frozen=True, slots=True)
class Award:
    """What is to be granted, checked and in the vault's terms."""

    to: str
    actions: Action
    space: str | None
    cube_id: str | None
    purposes: tuple[str, ...]
    until: int | None
    basis: GrantId | None = None
    """The grant of GOVERN that it is given by: revoking that one revokes this."""


class Grants:
    """Writes grants and groups.

    Args:
        vault: Moves the policy epoch and mints ids.
        registry: Resolves names.
    """

    def __init__(self, vault: Vault, registry: Registry) -> None:
        self._vault = vault
        self._registry = registry

    def give(self, tx: Transaction, award: Award, *, by: str) -> Grant:
        """Write a grant.

        Args:
            tx: The effect.
            award: What is granted.
            by: The granting principal's id.
        """
        row: dict[str, Any] = {
            "id": self._vault.mint("grt"),
            "grantee_id": self._registry.ensure_principal(tx, award.to),
            "actions": int(award.actions),
            "space": award.space,
            "cube_id": award.cube_id,
            "purposes": json.dumps(list(award.purposes)),
            "until": award.until,
            "granted_by": by,
            "created": tx.now,
            "revoked": None,
            "basis": award.basis,
        }
        tx.connection.execute(insert(schema.grants), row | {"seal": grant_seal(row)})
        self._vault.move_epoch(tx)
        until = None if award.until is None else from_micros(award.until)
        on = award.cube_id if award.cube_id is not None else award.space or "*"
        actions, purposes = award.actions.names, award.purposes
        return Grant(row["id"], award.to, actions, on, purposes, until, award.basis)

    def find(self, tx: Transaction, grant_id: GrantId) -> Permission | None:
        """Return a standing grant, or None."""
        table = schema.grants
        row = tx.connection.execute(
            select(table).where(table.c.id == grant_id, table.c.revoked.is_(None))
        ).one_or_none()
        return None if row is None else read_permission(row)

    def take(self, tx: Transaction, grant_id: GrantId) -> list[GrantId]:
        """Revoke a standing grant, and every grant that was given by virtue of it.

        Returns:
            What was revoked, the grant itself first.
        """
        table, taken, frontier = schema.grants, [], [grant_id]
        chosen = table.c.id.in_(frontier)
        while frontier:
            rows = tx.connection.execute(select(table).where(chosen, table.c.revoked.is_(None)))
            frontier = []
            for row in sorted(rows, key=lambda each: str(each.id)):
                changed = dict(row._mapping) | {"revoked": tx.now}
                tx.connection.execute(
                    update(table)
                    .where(table.c.id == row.id)
                    .values(revoked=tx.now, seal=grant_seal(changed))
                )
                frontier.append(row.id)
            taken += frontier
            chosen = table.c.basis.in_(frontier)
        withdraw(tx, "revoke", {"grants": [*taken]})
        self._vault.move_epoch(tx)
        return taken

    def standing(self, tx: Transaction) -> list[tuple[Grant, Permission]]:
        """List every grant that stands, in the order in which they were given."""
        table = schema.grants
        query = select(table).where(table.c.revoked.is_(None)).order_by(table.c.created, table.c.id)
        rows = tx.connection.execute(query).all()
        names = self._registry.principal_names(tx, [row.grantee_id for row in rows])
        found = []
        for row in rows:
            permission = read_permission(row)
            on = permission.cube if permission.cube is not None else permission.space or "*"
            until = None if row.until is None else from_micros(row.until)
            to = names.get(row.grantee_id, row.grantee_id)
            actions, purposes = permission.actions.names, permission.purposes
            grant = Grant(row.id, to, actions, on, purposes, until, row.basis)
            found.append((grant, permission))
        return found

    def join(self, tx: Transaction, group: str, member: str) -> None:
        """Put a principal or a group into a group.

        Raises:
            ConflictError: The group would contain itself.
        """
        group_id = self._registry.ensure_principal(tx, group)
        member_id = self._registry.ensure_principal(tx, member)
        if self._registry.is_member(tx, group_id, member_id):
            raise ConflictError(
                f"{group} is already within {member}: a group cannot contain itself"
            )
        row = {"group_id": group_id, "member_id": member_id}
        table = schema.members
        if not tx.connection.scalar(select(table.c.group_id).filter_by(**row)):
            sealed = row | {"seal": schema.sealed(table, row)}
            tx.connection.execute(insert(table), sealed)
        self._vault.move_epoch(tx)

    def leave(self, tx: Transaction, group: str, member: str) -> list[GrantId]:
        """Take a principal or a group out of a group, with what was given by virtue of it.

        Returns:
            The grants that were revoked: those whose giver has no part any more in their basis.
        """
        group_id = self._registry.ensure_principal(tx, group)
        member_id = self._registry.ensure_principal(tx, member)
        return self.part(tx, group_id, member_id)

    def part(self, tx: Transaction, group_id: str, member_id: str) -> list[GrantId]:
        """End a membership; the same as `leave`, by ids."""
        table = schema.members
        tx.connection.execute(
            table.delete().where(table.c.group_id == group_id, table.c.member_id == member_id)
        )
        withdraw(tx, "leave", {"group": group_id, "member": member_id})
        self._vault.move_epoch(tx)
        taken: list[GrantId] = []
        while groundless := self._groundless(tx):
            for each in groundless:
                taken += self.take(tx, each)
        return taken

    def _groundless(self, tx: Transaction) -> list[GrantId]:
        """Name the standing grants whose giver is neither who was given their basis, nor in it."""
        given, basis = schema.grants.alias("given"), schema.grants.alias("basis")
        query = (
            select(given.c.id, given.c.granted_by, basis.c.grantee_id)
            .join_from(given, basis, given.c.basis == basis.c.id)
            .where(given.c.revoked.is_(None))
            .order_by(given.c.created, given.c.id)
        )
        return [
            row.id
            for row in tx.connection.execute(query)
            if not self._registry.is_member(tx, row.granted_by, row.grantee_id)
        ]
