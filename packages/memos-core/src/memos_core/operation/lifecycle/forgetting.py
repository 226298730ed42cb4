"""Forgetting: a memory and everything derived from it, gone from every read that begins later.

Rows with content, keys and vectors are deleted in the one transaction, with SQLite's
`secure_delete` overwriting their bytes; then the write-ahead log is emptied. What stays is a
tombstone: an id and a time. Deleting a memory's key makes the ledger's commitments to it mean
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from pydantic import JsonValue
from sqlalchemy import insert, select

from memos_core.errors import InvalidInputError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import Action
from memos_core.infrastructure.vault import journal, schema
from memos_core.infrastructure.vault.records import children, erase
from memos_core.infrastructure.vault.reserve import Draw
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.operation.gate import Gate, Ref, Refusal, unique
from memos_core.operation.quotas import Quotas, charges_of
from memos_core.operation.retention import Retention
from memos_core.results import ForgetReport

VERB: Final = "memos.forget"


class Forgetter:
    """Removes memories.

    Args:
        gate: Decides and records.
        retention: Says what is held.
        quotas: Gives back what was used.
    """

    def __init__(self, gate: Gate, retention: Retention, quotas: Quotas) -> None:
        self._gate = gate
        self._retention = retention
        self._quotas = quotas

    def forget(self, actor: Actor, refs: Sequence[Ref], reason: str) -> ForgetReport:
        """Remove memories and what was derived from them, all or none.

        Returns:
            What went, and whether its bytes are gone from the database and its log.
        """
        if not refs:
            raise InvalidInputError(
                "forget needs at least one memory: pass an id, a Key, or a list"
            )
        with self._gate.effect(actor, VERB, draw=Draw.ALL) as tx:
            named = [self._forgettable(tx, actor, ref) for ref in unique(refs)]
            ids = list(dict.fromkeys(named))
            derived = self._descendants(tx, ids)
            shown = self._shown(tx, actor, derived)
            self._remove(tx, actor, ids, derived, reason)
        pending = self._gate.truncate_log()
        status: Literal["erased", "pending"] = "pending" if pending else "erased"
        return ForgetReport(tuple(ids), shown, status, pending)

    def _forgettable(self, tx: Transaction, actor: Actor, ref: Ref) -> str:
        # What is damaged, has ended, or is hidden from whoever governs it, can be forgotten too.
        cube = self._gate.governed(tx, actor, ref, ended_too=True).cube
        space = self._gate.space_of(tx, cube)
        try:
            self._gate.require(tx, actor, Action.WRITE, space, cube=cube.id)
        except Refusal:
            if cube.has_ended(tx.now):  # who could not erase it is not told that it was there
                raise self._gate.nothing(ref, cube.id) from None
            raise
        return cube.id

    def reap(self, tx: Transaction, actor: Actor, cube_id: str) -> None:
        """Remove a memory that has ended, inside a running effect; no right is needed for that."""
        self._remove(tx, actor, [cube_id], self._descendants(tx, [cube_id]), "expired", reaped=True)

    def _shown(self, tx: Transaction, actor: Actor, ids: Sequence[str]) -> tuple[str, ...]:
        """Choose those that the actor may read: the others are removed without a word of them."""
        shown: list[str] = []
        for each in ids:
            try:
                shown.append(self._gate.locate(tx, actor, each, ended_too=True).cube.id)
            except Refusal:
                continue
        return tuple(shown)

    def _descendants(self, tx: Transaction, ids: Sequence[str]) -> list[str]:
        """List everything derived from these memories, directly or through others."""
        found: dict[str, None] = {}
        frontier = list(ids)
        while frontier:
            frontier = [each for each in children(tx, frontier) if each not in found]
            found.update(dict.fromkeys(frontier))
        return sorted(set(found) - set(ids))

    def _remove(
        self,
        tx: Transaction,
        actor: Actor,
        named: Sequence[str],
        derived: Sequence[str],
        reason: str,
        *,
        reaped: bool = False,
    ) -> None:
        self._retention.check(tx, named, derived)
        realms: dict[str, list[str]] = {}
        everything = [*named, *derived]
        cubes = schema.cubes
        for batch in schema.batches(everything):
            if self._gate.registry.limited(tx):
                freed = charges_of(tx, self._gate.registry, cubes.c.id.in_(batch))
                self._quotas.charge(tx, [each.returned() for each in freed])
            query = select(cubes.c.id, cubes.c.realm_id).where(cubes.c.id.in_(batch))
            for row in tx.connection.execute(query):
                realms.setdefault(row.realm_id, []).append(row.id)
            erase(tx, batch)
        for realm_id in sorted(realms):
            journal.append(tx, realm_id, sorted(realms[realm_id]), "forget")
        principal_id = self._gate.registry.ensure_principal(tx, actor.principal)
        tx.connection.execute(
            insert(schema.tombstones),
            [
                {
                    "cube_id": each,
                    "forgotten_at": tx.now,
                    "principal_id": principal_id,
                    "reason": reason,
                }
                for each in everything
            ],
        )
        data: dict[str, JsonValue] = {"reaped": True} if reaped else {}
        events = [self._gate.event(tx, actor, VERB, subject=each, data=data) for each in named]
        events += [
            self._gate.event(tx, actor, VERB, subject=each, data={"derived": True})
            for each in derived
        ]
        self._gate.ledger.append(tx, events)
