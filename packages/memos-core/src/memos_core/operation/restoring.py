"""Restoring: a vault that was made from a backup learns what was taken back since.

All of it is one effect: later checkpoints, keys and withdrawals are taken over from the anchors,
each withdrawal is carried out again, the policy epoch and the clock are set beyond all that the
anchors know, and a checkpoint says that a backup was restored. Until that has committed, the vault
lies under another name, and nobody can open a session on it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from pydantic import JsonValue
from sqlalchemy import func, select, update

from memos_core.clock import to_micros
from memos_core.cube import Sensitivity, Trust
from memos_core.errors import AnchorError, IntegrityError, InvalidInputError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.grants import Grants
from memos_core.infrastructure.governance.sources import Sources
from memos_core.infrastructure.ledger.anchors import Anchor
from memos_core.infrastructure.ledger.checkpoint import SignedCheckpoint, Statement
from memos_core.infrastructure.ledger.keys import Keyring
from memos_core.infrastructure.ledger.publishing import Publisher, read_anchors
from memos_core.infrastructure.ledger.series import check_series
from memos_core.infrastructure.vault import journal, schema
from memos_core.infrastructure.vault.records import Damage, fetch, govern
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.infrastructure.vault.withdrawals import Withdrawal, adopt_withdrawal
from memos_core.operation.auditing import VAULT_ITSELF
from memos_core.operation.gate import Gate
from memos_core.operation.lifecycle.forgetting import Forgetter
from memos_core.operation.lifecycle.labelling import Labeller
from memos_core.results import RestoreReport

ACCEPTED: Final = "what was forgotten or revoked since may come back"
"""What one says to restore a backup that no anchor vouches for."""
_VERB: Final = "memos.restore"


class Restorer:
    """Carries out again, in a restored vault, what was withdrawn after its backup.

    Args:
        gate: Records.
        forgetter: Forgets again.
        grants: Revokes again.
        sources: Puts into quarantine again.
        labeller: Narrows again.
        keyring: The signing keys.
        publisher: The vault's checkpoints.
    """

    def __init__(
        self,
        gate: Gate,
        forgetter: Forgetter,
        grants: Grants,
        sources: Sources,
        labeller: Labeller,
        keyring: Keyring,
        publisher: Publisher,
    ) -> None:
        self._gate = gate
        self._forgetter = forgetter
        self._grants = grants
        self._sources = sources
        self._labeller = labeller
        self._keyring = keyring
        self._checkpoints = publisher.checkpoints

    def restore(self, anchors: Sequence[Anchor], accepted: str) -> RestoreReport:
        """Carry out again what the anchors tell of, and tell them that a backup was restored."""
        backup, later, vouched = self.later(anchors, accepted)
        withdrawals, forgotten = self.replay(backup, later)
        if vouched:
            try:
                Publisher(self._gate.vault, self._checkpoints, anchors).publish()
            except (AnchorError, OSError) as error:
                warnings.warn(f"the restoration is told with the next one: {error}", stacklevel=3)
        return RestoreReport("", backup, withdrawals, forgotten, len(later), "")

    def later(
        self, anchors: Sequence[Anchor], accepted: str
    ) -> tuple[int, Sequence[SignedCheckpoint], bool]:
        """Find what the anchors know that the backup does not.

        Args:
            anchors: Where the vault's checkpoints are kept.
            accepted: `ACCEPTED`, to do without them.

        Returns:
            The backup's checkpoint, the later ones, and whether an anchor vouches for them.

        Raises:
            InvalidInputError: No anchor knows the backup, and nobody said that this is accepted.
            IntegrityError: What the anchors keep does not hold together, or contradicts the backup.
        """
        with self._gate.vault.read() as tx:
            ours = self._checkpoints.after(tx, 0)
            root = self._keyring.history(tx)[0].public
            vault_id = tx.vault_id
        if not ours:
            raise IntegrityError("the backup holds no checkpoint: it is no backup of this MemOS")
        kept = read_anchors(anchors, vault_id)
        if kept.problems:
            raise IntegrityError(f"the anchors cannot be trusted: {kept.problems[0]}")
        if ours[-1].number not in kept.checkpoints:
            if accepted == ACCEPTED:
                return ours[-1].number, (), False
            why = "; ".join(kept.notes) or "no anchor was given"
            raise InvalidInputError(
                f"nobody can say what was forgotten or revoked after this backup ({why}): give the "
                f"anchor that the vault had, or say in words: {ACCEPTED!r}"
            )
        series = [signed for _number, signed in sorted(kept.checkpoints.items())]
        checked = check_series(series, vault_id, root)
        problems = [*checked.problems, *checked.unendorsed.values()]
        problems += [
            f"checkpoint {mine.number} is another one there"
            for mine in ours
            if kept.checkpoints.get(mine.number) != mine
        ]
        if problems:
            raise IntegrityError(f"the anchors do not fit the backup: {problems[0]}")
        return ours[-1].number, series[len(ours) :], True

    def replay(self, backup: int, later: Sequence[SignedCheckpoint]) -> tuple[int, int]:
        """Carry everything out again.

        Args:
            backup: The number of the backup's checkpoint.
            later: The checkpoints that the anchors kept beyond it, in order.

        Returns:
            How many withdrawals, and how many memories were removed.
        """
        vault = self._gate.vault
        actor = Actor(VAULT_ITSELF, VAULT_ITSELF, None, "assist")
        with vault.effect() as tx:
            newest = later[-1].statement if later else None
            tx = self._beyond(tx, newest)
            new = self._adopt(tx, later)
            table = schema.cubes
            count = select(func.count()).select_from(table)
            before = tx.connection.scalar(count) or 0
            verbs = self._verbs(tx, actor, {each.body.get("quarantine") for each in new})
            for each in new:
                carry_out = verbs.get(each.kind)
                if carry_out is None:
                    raise IntegrityError(
                        f"the anchors tell of {each.kind!r}, which this MemOS does not know: "
                        "restore with a newer one"
                    )
                carry_out(each.body)
            forgotten = before - (tx.connection.scalar(count) or 0)
            data: dict[str, JsonValue] = {"checkpoint": backup, "events": len(new)}
            self._gate.note(tx, actor, _VERB, data=data)
            self._checkpoints.take(tx, restored_from=backup)
        return len(new), forgotten

    def _beyond(self, tx: Transaction, newest: Statement | None) -> Transaction:
        """Set clock and epoch beyond all that the anchors know."""
        epoch, now = tx.epoch + 1, tx.now
        if newest is not None:
            epoch = max(epoch, newest.policy_epoch + 1)
            now = max(now, to_micros(newest.time) + 1)
        tx.connection.execute(update(schema.vault).values(policy_epoch=epoch))
        return replace(tx, epoch=epoch, now=now)

    def _adopt(self, tx: Transaction, later: Sequence[SignedCheckpoint]) -> list[Withdrawal]:
        """Take over checkpoints, keys and withdrawals; return those that the backup lacks."""
        table = schema.withdrawals
        last = tx.connection.scalar(select(func.max(table.c.number))) or 0
        new = [each for signed in later for each in signed.statement.withdrawn]
        new = [each for each in new if each.number > last]
        for each in new:
            adopt_withdrawal(tx, each)
        for signed in later:
            self._checkpoints.adopt(tx, signed)
        if later:
            self._keyring.adopt(tx, later[-1].statement.keys)
        return new

    def _verbs(
        self, tx: Transaction, actor: Actor, released: set[JsonValue]
    ) -> dict[str, Callable[[Mapping[str, Any]], object]]:
        """Say how each kind of withdrawal is carried out; what is unknown by now is gone anyway."""

        def quarantine(body: Mapping[str, Any]) -> None:
            if body["row"]["id"] not in released:
                self._sources.impose(tx, body["row"])

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
            "quarantine": quarantine,
            "release": lambda body: self._sources.lifted(tx, body["quarantine"]),
            "narrow": lambda body: self._narrow(tx, body["cube"]),
            "end": lambda body: self._end(tx, body["cube"], body["expires"]),
        }

    def _narrow(self, tx: Transaction, cube_id: str) -> None:
        """Hide what fewer may read than the backup says, until somebody labels it anew."""
        found = fetch(tx, [cube_id]).get(cube_id)
        if found is None or (isinstance(found, Damage) and found.table == "cubes"):
            return
        own = self._labeller.own(tx, found.cube)
        self._labeller.relabel(
            tx, found.cube, replace(own, sensitivity=int(Sensitivity.RESTRICTED), top=0)
        )

    def _end(self, tx: Transaction, cube_id: str, expires: int) -> None:
        found = fetch(tx, [cube_id]).get(cube_id)
        if found is None or (isinstance(found, Damage) and found.table == "cubes"):
            return
        row = found.cube
        if row.expires is None or row.expires > expires:
            govern(tx, replace(row, expires=expires))
            journal.append(tx, row.realm_id, [row.id], "relabel")
        self._labeller.shorten(tx, cube_id, expires)
