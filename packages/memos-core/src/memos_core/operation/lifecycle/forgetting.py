"""Forgetting: a memory and everything derived from it, gone from every read that begins later.

Rows with content, keys and vectors are deleted in the one transaction, with SQLite's
`secure_delete` overwriting their bytes; erasing the rest follows. What stays is a tombstone: an id
and a time. Deleting a memory's key makes the ledger's commitments to it mean nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import JsonValue
from sqlalchemy import insert, select

from memos_core.errors import InvalidInputError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import Action
from memos_core.infrastructure.vault import journal, schema
from memos_core.infrastructure.vault.records import children, erase, fetch
from memos_core.infrastructure.vault.reserve import Draw
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.infrastructure.vault.withdrawals import withdraw
from memos_core.operation.auditing import VAULT_ITSELF
from memos_core.operation.gate import Gate, Ref, Refusal, unique
from memos_core.operation.inner import retraining
from memos_core.operation.lifecycle.erasing import Eraser
from memos_core.operation.lifecycle.updating import Updater
from memos_core.operation.organizing.merged import bring_back, stranded
from memos_core.operation.quotas import Quotas, charges_of
from memos_core.operation.retention import Retention
from memos_core.results import ForgetReport

VERB: Final = "memos.forget"
_UNCOMMITTED: Final = "everything: the pipeline has not committed yet"


class Forgetter:
    """Removes memories.

    Args:
        gate: Decides and records.
        retention: Says what is held.
        quotas: Gives back what was used.
        eraser: Brings the erasure of their bytes to its end.
        updater: Lets what was merged into them stand for itself again.
    """

    def __init__(
        self, gate: Gate, retention: Retention, quotas: Quotas, eraser: Eraser, updater: Updater
    ) -> None:
        self._eraser = eraser
        self._updater = updater
        self._gate = gate
        self._retention = retention
        self._quotas = quotas

    def forget(self, actor: Actor, refs: Sequence[Ref], reason: str) -> ForgetReport:
        """Remove memories and what was derived from them, all or none.

        Returns:
            What went, and whether its bytes are gone from the vault.
        """
        if not refs:
            raise InvalidInputError(
                "forget needs at least one memory: pass an id, a Key, or a list"
            )
        with self._gate.effect(actor, VERB, draw=Draw.ALL) as tx:
            named = [self._forgettable(tx, actor, ref) for ref in unique(refs)]
            ids = list(dict.fromkeys(named))
            derived = self._descendants(tx, ids)
            self._retention.check(tx, ids, derived)
            shown = self._shown(tx, actor, derived)
            erasure = self._remove(tx, actor, ids, derived, shown, reason=reason)
            withdraw(tx, "forget", {"cubes": [*ids, *derived]})
        if self._gate.postponed(self._eraser.finish):
            return ForgetReport(tuple(ids), shown, "pending", (_UNCOMMITTED,), erasure)
        pending = self._eraser.finish().pending.get(erasure, ())
        return self._eraser.reported(erasure, pending)

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
        derived = self._descendants(tx, [cube_id])
        self._retention.check(tx, [cube_id], derived)
        self._remove(tx, actor, [cube_id], derived, (), reason="expired", data={"reaped": True})
        withdraw(tx, "forget", {"cubes": [cube_id, *derived]})

    def evict(self, tx: Transaction, actor: Actor, cube_id: str) -> None:
        """Remove what can be made again from its sources, to make room, inside a running effect."""
        derived = self._descendants(tx, [cube_id])
        self._remove(tx, actor, [cube_id], derived, (), reason="evicted", data={"evicted": True})
        withdraw(tx, "forget", {"cubes": [cube_id, *derived]})

    def restored(self, tx: Transaction, actor: Actor, ids: Sequence[str]) -> None:
        """Remove from a restored backup what was forgotten after it was taken."""
        there = sorted(fetch(tx, ids))
        if there:
            derived = self._descendants(tx, there)
            reason = "forgotten after the backup"
            self._remove(tx, actor, there, derived, (), reason=reason, data={"restored": True})

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
        shown: Sequence[str],
        *,
        reason: str,
        data: dict[str, JsonValue] | None = None,
    ) -> str:
        realms: dict[str, list[str]] = {}
        everything = [*named, *derived]
        retraining.schedule(tx, self._gate.vault, derived, set(everything))
        alone = stranded(tx, everything)
        cubes = schema.cubes
        for batch in schema.batches(everything):
            if self._gate.registry.limited(tx):
                freed = charges_of(tx, self._gate.registry, cubes.c.id.in_(batch))
                self._quotas.charge(tx, [each.returned() for each in freed])
            query = select(cubes.c.id, cubes.c.realm_id).where(cubes.c.id.in_(batch))
            for row in tx.connection.execute(query):
                realms.setdefault(row.realm_id, []).append(row.id)
            erase(tx, batch)
        bring_back(tx, self._updater, alone)
        last = {
            realm_id: journal.append(tx, realm_id, sorted(realms[realm_id]), "forget")
            for realm_id in sorted(realms)
        }
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
        # What ended by itself may have been hidden from whoever met it: its end is the vault's.
        reaped = data is not None
        by = self._gate.registry.ensure_principal(tx, VAULT_ITSELF) if reaped else principal_id
        erasure = self._eraser.begin(tx, by, named, shown, last)
        events = [self._gate.event(tx, actor, VERB, subject=each, data=data) for each in named]
        events += [
            self._gate.event(tx, actor, VERB, subject=each, data={"derived": True})
            for each in derived
        ]
        self._gate.ledger.append(tx, events)
        return erasure
