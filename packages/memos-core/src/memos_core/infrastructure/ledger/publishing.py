"""Publishing: every anchor is brought up to all the checkpoints that the vault has.

A checkpoint is committed first and published then, so a crash between the two leaves an anchor
behind; whoever publishes next sends what it lacks. An anchor that knows more than the vault, or
something else, is a sign that the vault was put back or changed, and is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select, update

from memos_core.errors import AnchorError, IntegrityError
from memos_core.infrastructure.ledger.anchors import Anchor
from memos_core.infrastructure.ledger.checkpoint import Checkpoints, SignedCheckpoint
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.vault import Vault


@dataclass(frozen=True, slots=True)
class Anchored:
    """What anchors keep of one vault.

    Args:
        checkpoints: By number.
        problems: Where two anchors contradict each other, or hold what is no checkpoint.
        notes: Which anchors could not be read, or know nothing of this vault.
    """

    checkpoints: dict[int, SignedCheckpoint]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


class Publisher:
    """Sends checkpoints to anchors.

    Args:
        vault: Whose checkpoints.
        checkpoints: Reads them.
        anchors: Where they go.
    """

    def __init__(self, vault: Vault, checkpoints: Checkpoints, anchors: Sequence[Anchor]) -> None:
        self._vault = vault
        self.checkpoints = checkpoints
        self.anchors = tuple(anchors)
        self._sent = [0] * len(self.anchors)
        self._compared = [False] * len(self.anchors)

    def publish(self) -> None:
        """Send every anchor what it lacks.

        Raises:
            AnchorError: An anchor failed; the others have theirs, and it is tried again next time.
            IntegrityError: An anchor contradicts the vault.
        """
        failures: list[str] = []
        contradiction: IntegrityError | None = None
        for index in range(len(self.anchors)):
            try:
                self._bring_up(index)
            except IntegrityError as error:
                contradiction = contradiction or error
            except (AnchorError, OSError) as error:
                failures.append(str(error))
        if contradiction is not None:
            raise contradiction
        if failures:
            raise AnchorError("; ".join(failures))
        self._remember()

    def _remember(self) -> None:
        """Note in the vault that it is anchored: whoever opens it without anchors should know."""
        if not self.anchors:
            return
        table = schema.vault
        with self._vault.read() as tx:
            known = tx.connection.scalar(select(table.c.anchored))
        if known is None:
            with self._vault.effect(durable=False) as tx:
                tx.connection.execute(update(table).values(anchored=tx.now))

    def _bring_up(self, index: int) -> None:
        anchor = self.anchors[index]
        if not self._compared[index]:
            # Read the anchor before the vault: another process may publish in between.
            kept = anchor.published()
            if kept is not None:
                self._sent[index] = self._compare(anchor, kept)
            self._compared[index] = True
        with self._vault.read() as tx:
            missing = self.checkpoints.after(tx, self._sent[index])
        for signed in missing:
            anchor.publish(signed)
            self._sent[index] = signed.number

    def _compare(self, anchor: Anchor, kept: Sequence[SignedCheckpoint]) -> int:
        """Hold what an anchor keeps against the vault; return up to where it has everything."""
        with self._vault.read() as tx:
            ours = {each.number: each for each in self.checkpoints.after(tx, 0)}
            known = {each.number: each for each in kept if each.vault_id == tx.vault_id}
        for number, signed in sorted(known.items()):
            if ours.get(number) != signed:
                raise IntegrityError(
                    f"the anchor {anchor.name} keeps a checkpoint {number} that the vault does not "
                    "have: an older copy of the vault was put back, or somebody changed one of "
                    "the two; run `memos audit verify`, and give a restored vault a new anchor"
                )
        whole = 0
        while whole + 1 in known:
            whole += 1
        return whole


def read_anchors(anchors: Sequence[Anchor], vault_id: str) -> Anchored:
    """Collect what anchors keep of a vault; one that cannot be read is noted."""
    found: dict[int, SignedCheckpoint] = {}
    problems: list[str] = []
    notes: list[str] = []
    for anchor in anchors:
        try:
            kept = anchor.published()
            ours = [each for each in kept or () if each.vault_id == vault_id]
        except IntegrityError as error:
            problems.append(f"anchor {anchor.name}: {error}")
            continue
        except (AnchorError, OSError) as error:
            notes.append(f"anchor {anchor.name} could not be read: {error}")
            continue
        if kept is None:
            notes.append(f"anchor {anchor.name} cannot be read back")
            continue
        if not ours:
            foreign = ", but of others" if kept else ""
            notes.append(f"anchor {anchor.name} holds no checkpoint of vault {vault_id}{foreign}")
        problems += [
            f"the anchors hold two different checkpoints {signed.number}"
            for signed in ours
            if found.setdefault(signed.number, signed) != signed
        ]
    return Anchored(found, tuple(problems), tuple(notes))
