"""Replaying: what was withdrawn after a backup is carried out again in the restored vault.

A replay only ever takes away. What it is about may be unknown to the backup: then it is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from memos_core.cube import Sensitivity, Trust
from memos_core.errors import IntegrityError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.grants import Grants
from memos_core.infrastructure.governance.sources import Sources
from memos_core.infrastructure.vault import journal
from memos_core.infrastructure.vault.records import Damage, Record, fetch, govern
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.infrastructure.vault.withdrawals import Withdrawal
from memos_core.operation.gate import Gate
from memos_core.operation.lifecycle.forgetting import Forgetter
from memos_core.operation.lifecycle.labelling import Labeller
from memos_core.operation.lifecycle.patching import narrows
from memos_core.operation.lifecycle.updating import Updater, header_of
from memos_core.operation.retention import Retention


class Replayer:
    """Carries withdrawals out again.

    Args:
        gate: Knows names.
        forgetter: Forgets.
        grants: Revokes, and ends memberships.
        sources: Lowers trust, puts into quarantine and releases.
        labeller: Lets what is derived end with its source.
        updater: Narrows.
        retention: Holds and lifts.
    """

    def __init__(
        self,
        gate: Gate,
        forgetter: Forgetter,
        grants: Grants,
        sources: Sources,
        labeller: Labeller,
        updater: Updater,
        retention: Retention,
    ) -> None:
        self._gate = gate
        self._forgetter = forgetter
        self._grants = grants
        self._sources = sources
        self._labeller = labeller
        self._updater = updater
        self._retention = retention

    def replay(self, tx: Transaction, actor: Actor, told: Sequence[Withdrawal]) -> None:
        """Carry out withdrawals, in their order.

        Raises:
            IntegrityError: One is of a kind that is not known.
        """
        verbs = self._verbs(tx, actor)
        for each in _last_words(told):
            carry_out = verbs.get(each.kind)
            if carry_out is None:
                raise IntegrityError(
                    f"the anchors tell of {each.kind!r}, which this MemOS does not know: "
                    "restore with a newer one"
                )
            carry_out(each.body)

    def _verbs(
        self, tx: Transaction, actor: Actor
    ) -> dict[str, Callable[[Mapping[str, Any]], object]]:
        """Say how each kind of withdrawal is carried out."""
        return {
            "forget": lambda body: self._forgetter.restored(tx, actor, body["cubes"]),
            "revoke": lambda body: [self._grants.take(tx, each) for each in body["grants"]],
            "leave": lambda body: self._grants.part(tx, body["group"], body["member"]),
            "clearance": lambda body: self._gate.registry.lower_clearance(
                tx, body["principal"], Sensitivity(body["level"])
            ),
            "trust": lambda body: self._sources.lower_trust(
                tx, body["source"], Trust(body["level"])
            ),
            "quarantine": lambda body: self._sources.impose(tx, body["row"]),
            "release": lambda body: self._sources.lifted(tx, body["quarantine"]),
            "hold": lambda body: self._retention.impose(tx, body["row"]),
            "lift": lambda body: self._retention.lifted(tx, body["hold"]),
            "narrow": lambda body: self._narrow(tx, actor, body),
            "end": lambda body: self._end(tx, body["cube"], body["expires"]),
        }

    def _narrow(self, tx: Transaction, actor: Actor, told: Mapping[str, Any]) -> None:
        """Ask of a memory's readers at least what it asked of them when it was last told.

        It is a version, so that whoever changes the memory later keeps it so. Its vector stays: it
        was made of what a reader of a lower clearance sees.
        """
        found = fetch(tx, [told["cube"]]).get(told["cube"])
        if not isinstance(found, Record):
            return  # it is not there, or damaged and withheld anyway
        before = header_of(found)
        names = self._gate.registry.principal_names(tx, told["access"])
        access = _both(before.access, [names[each] for each in told["access"] if each in names])
        if told["access"] and not access:
            access = (self._gate.registry.principal_name(tx, found.cube.owner_id),)
        purposes = _both(before.purposes, told["purposes"]) or tuple(told["purposes"])
        level = max(Sensitivity(told["sensitivity"]), before.level)
        narrow = {"sensitivity": level, "access": access, "purposes": purposes}
        header = before.model_copy(update=narrow)
        if narrows(before, header):
            self._updater.rewrite(tx, actor, found, header, "narrowed after the backup")

    def _end(self, tx: Transaction, cube_id: str, expires: int | None) -> None:
        """Let a memory end when it was last told to, unless it ends before."""
        found = fetch(tx, [cube_id]).get(cube_id)
        if expires is None or found is None:
            return
        if isinstance(found, Damage) and found.table == "cubes":
            return
        row = found.cube
        if row.expires is None or row.expires > expires:
            govern(tx, replace(row, expires=expires))
            journal.append(tx, row.realm_id, [row.id], "relabel")
            self._labeller.shorten(tx, cube_id, expires)


def _last_words(told: Sequence[Withdrawal]) -> list[Withdrawal]:
    """Leave out what was told anew later: of each memory's end only the last word counts."""
    last = {each.body["cube"]: each.number for each in told if each.kind == "end"}
    return [each for each in told if each.kind != "end" or last[each.body["cube"]] == each.number]


def _both(old: Sequence[str], new: Sequence[str]) -> tuple[str, ...]:
    """Return what two lists allow, of which an empty one allows everything."""
    if not old or not new:
        return tuple(new or old)
    return tuple(sorted(set(old) & set(new)))
