"""Taking a backup, while everybody goes on working."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import JsonValue
from sqlalchemy import update

from memos_core.errors import InvalidInputError
from memos_core.infrastructure.backup.archive import DATABASE, Progress, pack
from memos_core.infrastructure.backup.envelope import Key, Sealer
from memos_core.infrastructure.files import refuse_existing, unwritable, whole_file
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import ROOT, Action
from memos_core.infrastructure.ledger.checkpoint import SignedCheckpoint
from memos_core.infrastructure.ledger.publishing import Publisher
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.scratch import scratch_file
from memos_core.operation.gate import Gate
from memos_core.operation.inner.keeping import BlobKeeper
from memos_core.results import BackupReport

_VERB: Final = "memos.backup"


class Backups:
    """Takes backups.

    Args:
        gate: Decides and records.
        publisher: Tells the anchors of the backup's checkpoint.
        keeper: Names the blobs.
    """

    def __init__(self, gate: Gate, publisher: Publisher, keeper: BlobKeeper) -> None:
        self._gate = gate
        self._publisher = publisher
        self._keeper = keeper

    def take(self, actor: Actor, path: Path, key: Key | None, progress: Progress) -> BackupReport:
        """Write the vault as it stands into a new file, whole or not at all."""
        self._gate.refuse_in_pipeline("a backup")
        with self._gate.snapshot(actor, _VERB) as tx:
            self._gate.require(tx, actor, Action.GOVERN, ROOT)
        refuse_existing(path)
        if path.resolve().is_relative_to(self._gate.vault.directory.root.resolve()):
            raise InvalidInputError(
                f"{path} lies within the vault: what is forgotten there would stay in the backup; "
                "name a file elsewhere"
            )
        vault, token = self._gate.vault, self._gate.vault.entropy.token(10).hex()
        taken = self._recorded(actor, encrypted=key is not None)
        self._publisher.publish()  # a restore without the anchors' word is refused
        try:
            with scratch_file(vault.directory.root, token) as copy:
                vault.database.copy_to(copy, lambda _done, _total: None)
                keys = sorted(vault.directory.keys.glob("key_*.pem"))
                members = [(DATABASE, copy), *((f"keys/{each.name}", each) for each in keys)]
                members += [(f"blobs/{each.name}", each) for each in self._keeper.files()]
                header: dict[str, JsonValue] = {
                    "vault": taken.vault_id,
                    "checkpoint": taken.number,
                    "created": taken.time.isoformat(),
                }
                with whole_file(path, "the backup") as stream:
                    sealer = Sealer(stream, header, key, vault.entropy.token(32))
                    size = pack(sealer, members, progress)
        except OSError as error:
            raise unwritable("the backup's working copy in the vault", error) from error
        anchors = tuple(anchor.name for anchor in self._publisher.anchors)
        return BackupReport(str(path), taken.number, size, key is not None, anchors)

    def _recorded(self, actor: Actor, *, encrypted: bool) -> SignedCheckpoint:
        """Write the event, and the checkpoint that tells a backup from what came after it."""
        with self._gate.effect(actor, _VERB) as tx:
            self._gate.require(tx, actor, Action.GOVERN, ROOT)
            tx.connection.execute(update(schema.vault).values(backed_up=tx.now))
            data: dict[str, JsonValue] = {"encrypted": encrypted}
            self._gate.note(tx, actor, _VERB, data=data)
            return self._publisher.checkpoints.take(tx)
