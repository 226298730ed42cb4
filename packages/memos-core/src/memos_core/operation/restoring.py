"""Restoring: a vault that was made from a backup learns what was taken back since.

All of it is one effect: later checkpoints, keys and withdrawals are taken over from the anchors,
each withdrawal is carried out again, the policy epoch and the clock are set beyond all that the
anchors know, and a checkpoint says that a backup was restored. Until that has committed, the vault
lies under another name, and nobody can open a session on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from pydantic import JsonValue
from sqlalchemy import func, select, update

from memos_core.clock import to_micros
from memos_core.errors import IntegrityError, InvalidInputError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.ledger.anchors import Anchor
from memos_core.infrastructure.ledger.checkpoint import Checkpoints, SignedCheckpoint, Statement
from memos_core.infrastructure.ledger.keys import Keyring
from memos_core.infrastructure.ledger.publishing import read_anchors
from memos_core.infrastructure.ledger.series import check_series
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.infrastructure.vault.withdrawals import (
    Withdrawal,
    adopt_withdrawal,
    withdrawn_since,
)
from memos_core.operation.auditing import VAULT_ITSELF
from memos_core.operation.gate import Gate
from memos_core.operation.replaying import Replayer
from memos_core.results import RestoreReport

ACCEPTED: Final = "what was forgotten or revoked since may come back"
"""What one says to restore a backup that no anchor vouches for."""
_VERB: Final = "memos.restore"


class Restorer:
    """Carries out again, in a restored vault, what was withdrawn after its backup.

    Args:
        gate: Records.
        replayer: Carries out what was withdrawn.
        keyring: The signing keys.
        checkpoints: The vault's checkpoints.
    """

    def __init__(
        self, gate: Gate, replayer: Replayer, keyring: Keyring, checkpoints: Checkpoints
    ) -> None:
        self._gate = gate
        self._replayer = replayer
        self._keyring = keyring
        self._checkpoints = checkpoints

    def restore(self, anchors: Sequence[Anchor], accepted: str) -> RestoreReport:
        """Carry out again what the anchors tell of."""
        strange = self._gate.vault.database.strange_parts()
        if strange:
            raise IntegrityError(f"the backup's database holds {strange[0]}, which no vault does")
        backup, later, notes = self.later(anchors, accepted)
        withdrawals, forgotten = self.replay(backup, later, vouched=not notes)
        return RestoreReport("", backup, withdrawals, forgotten, len(later), "", notes)

    def later(
        self, anchors: Sequence[Anchor], accepted: str
    ) -> tuple[int, Sequence[SignedCheckpoint], tuple[str, ...]]:
        """Find what the anchors know that the backup does not.

        Args:
            anchors: Where the vault's checkpoints are kept.
            accepted: `ACCEPTED`, to do without them.

        Returns:
            The backup's checkpoint, the later ones, and what was accepted not to be known.

        Raises:
            InvalidInputError: No anchor knows the backup, or one of them could not be asked, and
                nobody said that this is accepted.
            IntegrityError: What the anchors keep does not hold together, or contradicts the backup.
        """
        with self._gate.vault.read() as tx:
            ours = self._checkpoints.after(tx, 0)
            vault_id = tx.vault_id
        if not ours:
            raise IntegrityError("the backup holds no checkpoint: it is no backup of this MemOS")
        kept = read_anchors(anchors, vault_id)
        if kept.problems:
            raise IntegrityError(f"the anchors cannot be trusted: {kept.problems[0]}")
        unknown = kept.notes
        if ours[-1].number not in kept.checkpoints:
            unknown = kept.notes or ("no anchor was given",)
        is_accepted = accepted.strip().casefold() == ACCEPTED
        if unknown and not is_accepted:
            why = "; ".join([*unknown, *(["those are not the words"] if accepted else [])])
            raise InvalidInputError(
                f"nobody can say what was forgotten or revoked after this backup ({why}): give the "
                f"anchor that the vault had, or say in words: {ACCEPTED!r}"
            )
        if ours[-1].number not in kept.checkpoints:
            return ours[-1].number, (), tuple(unknown)
        series = [signed for _number, signed in sorted(kept.checkpoints.items())]
        # Trust begins at the backup's own checkpoint: what came before it, it names by digest.
        signer = ours[-1].statement.signer
        checked = check_series(series, vault_id, None if signer is None else signer.public)
        problems = [*checked.problems, *checked.unendorsed.values()]
        problems += [
            f"checkpoint {mine.number} is another one there"
            for mine in ours
            if kept.checkpoints.get(mine.number) != mine
        ]
        if problems:
            raise IntegrityError(f"the anchors do not fit the backup: {problems[0]}")
        return ours[-1].number, series[len(ours) :], tuple(unknown)

    def replay(
        self, backup: int, later: Sequence[SignedCheckpoint], *, vouched: bool
    ) -> tuple[int, int]:
        """Carry everything out again.

        Args:
            backup: The number of the backup's checkpoint.
            later: The checkpoints that the anchors kept beyond it, in order.
            vouched: Whether all anchors were asked.

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
            self._replayer.replay(tx, actor, new)
            forgotten = before - (tx.connection.scalar(count) or 0)
            data: dict[str, JsonValue] = {"checkpoint": backup, "events": len(new)}
            self._gate.note(tx, actor, _VERB, data=data)
            if not vouched:  # whatever anchors it had, they are not its any more
                tx.connection.execute(update(schema.vault).values(anchored=None))
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
        """Take over checkpoints, keys and withdrawals; return those after the backup's checkpoint.

        Some of them the backup may hold already: it was taken a moment after its checkpoint.
        """
        held = withdrawn_since(tx, 0)
        if [each.number for each in held] != list(range(1, len(held) + 1)):
            raise IntegrityError("the backup's withdrawals are not numbered without a gap")
        new = [each for signed in later for each in signed.statement.withdrawn]
        for each in new:
            if each.number > len(held):
                adopt_withdrawal(tx, each)
            elif held[each.number - 1] != each:
                raise IntegrityError("the backup's withdrawals are not those that anchors know")
        for signed in later:
            self._checkpoints.adopt(tx, signed)
        if later:
            self._keyring.adopt(tx, later[-1].statement.keys)
        return new
