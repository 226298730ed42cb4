"""Pruning: events that a checkpoint covers are deleted, and its signed heads stay in their place.

What goes is checked first, so that pruning never launders a ledger that was tampered with. The
effect ends in a checkpoint of its own, which says up to where was pruned: without the private key
nobody can pass a deletion off as pruning.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, insert, select

from memos_core.clock import from_micros
from memos_core.errors import IntegrityError, NotFoundError
from memos_core.infrastructure.ledger.checkpoint import Checkpoints, SignedCheckpoint
from memos_core.infrastructure.ledger.publishing import Anchored
from memos_core.infrastructure.ledger.series import check_series
from memos_core.infrastructure.ledger.verify import Verifier
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.vault import Transaction


class Pruner:
    """Deletes events that signed checkpoints cover.

    Args:
        checkpoints: Reads them.
        verifier: Checks what is to go.
    """

    def __init__(self, checkpoints: Checkpoints, verifier: Verifier) -> None:
        self._checkpoints = checkpoints
        self._verifier = verifier

    def choose(
        self, tx: Transaction, *, before_checkpoint: int | None, older_than: timedelta | None
    ) -> SignedCheckpoint | None:
        """Find the checkpoint up to which to prune; None where nothing is to go.

        Args:
            tx: A transaction.
            before_checkpoint: This one; or
            older_than: the newest one that is at least so old.

        Raises:
            NotFoundError: There is no such checkpoint.
        """
        taken = self._checkpoints.after(tx, 0)
        disowned = check_series(taken, tx.vault_id, None).disowned
        if not taken:
            if before_checkpoint is None:
                return None
            raise NotFoundError("there is no checkpoint yet: take one by `memos audit checkpoint`")
        pruned = taken[-1].statement.pruned_to
        if before_checkpoint is not None:
            if not 1 <= before_checkpoint <= len(taken):
                raise NotFoundError(
                    f"there is no checkpoint {before_checkpoint}: the newest is {len(taken)}"
                )
            if before_checkpoint in disowned:
                raise NotFoundError(
                    f"checkpoint {before_checkpoint} speaks of what was lost when a backup was "
                    "restored: prune to another one"
                )
            chosen = taken[before_checkpoint - 1]
            return chosen if chosen.number > pruned else None
        now = from_micros(tx.now)
        old = [
            each
            for each in taken[pruned:]
            if older_than is not None
            and now - each.time >= older_than
            and each.number not in disowned
        ]
        return old[-1] if old else None

    def prune(self, tx: Transaction, to: SignedCheckpoint) -> int:
        """Delete what a checkpoint covers; the caller writes the event and takes a checkpoint.

        Returns:
            How many events went.

        Raises:
            IntegrityError: The ledger does not hold together: nothing may go.
        """
        found = self._verifier.verify(tx, Anchored({}, (), ()), None)
        if found.status == "broken":
            raise IntegrityError(
                f"the ledger is broken ({found.problems[0]}): nothing was pruned, for the evidence "
                "is in it; run `memos audit verify`"
            )
        table, segments = schema.ledger, schema.segments
        count = 0
        for head in to.statement.heads:
            chosen = (table.c.chain == head.chain) & (table.c.seq <= head.seq)
            count += tx.connection.execute(delete(table).where(chosen)).rowcount
            place = {"chain": head.chain, "last_seq": head.seq}
            there = select(segments.c.chain).filter_by(**place)
            if head.seq and tx.connection.scalar(there) is None:
                row = place | {"hash": head.hash, "checkpoint": to.number, "pruned": tx.now}
                tx.connection.execute(insert(segments), row)
        return count
