"""Keeping blobs: written before a memory needs them, checked when read, collected in the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from memos_core.errors import DamagedError, MemosError
from memos_core.infrastructure.blobs import rows
from memos_core.infrastructure.blobs.rows import Blob
from memos_core.infrastructure.blobs.store import BlobStore, digest_of
from memos_core.infrastructure.vault.reserve import Draw
from memos_core.infrastructure.vault.vault import Vault


class BlobKeeper:
    """Writes, reads and collects blobs.

    Args:
        vault: Transactions.
        store: Where the bytes lie.
    """

    def __init__(self, vault: Vault, store: BlobStore) -> None:
        self._vault = vault
        self._store = store

    @contextmanager
    def writing(self, label_id: str, datas: Sequence[bytes]) -> Iterator[list[Blob]]:
        """Write blobs, or find those of equal bytes under the same label, for the block to use.

        The block makes the memory that needs them. Where it raises, or one cannot be written, those
        that were begun are removed; where it makes none, they go when this process ends.

        Args:
            label_id: The label of the memory that they are for.
            datas: Their bytes.

        Yields:
            The blobs, in order.

        Raises:
            FullError: There is no room for them.
        """
        wanted = [Blob(self._vault.mint("blb"), digest_of(data), len(data)) for data in datas]
        with self._vault.read() as tx:
            there = rows.ready(tx, [each.digest for each in wanted], label_id)
        there = {digest: blob for digest, blob in there.items() if self._is_whole(blob)}
        found = [there.get(each.digest, each) for each in wanted]
        fresh = [
            (each, data)
            for each, data in zip(found, datas, strict=True)
            if each.digest not in there
        ]
        with ExitStack() as undoing:
            if fresh:
                self._vault.database.check_room(sum(each.size for each, _data in fresh))
                begun = [each for each, _data in fresh]
                undoing.callback(self._discard, begun)
                with self._vault.effect() as tx:
                    rows.begin(tx, begun, label_id, self._vault.presence.name)
                for blob, data in fresh:
                    self._store.write(blob.id, data)
            yield found
            undoing.pop_all()

    def read(self, blob: Blob) -> bytes | Path:
        """Return a blob's bytes, or the file that holds them, held against their digest.

        Raises:
            DamagedError: They are gone, or were changed on disk.
        """
        found = self._store.read(blob.id)
        if digest_of(found) != blob.digest:
            raise DamagedError(
                f"the blob {blob.id} is damaged on disk: run `memos doctor`, and make it anew"
            )
        return found

    def _is_whole(self, blob: Blob) -> bool:
        try:
            self.read(blob)
        except DamagedError:  # or forgotten meanwhile: it is written anew
            return False
        return True

    def stamp(self, blob: Blob) -> object:
        """Say which file a blob is read from, and when it was last written."""
        return self._store.stamp(blob.id)

    def files(self) -> list[Path]:
        """List the files of all blobs that lie in the vault's folder.

        What lies elsewhere stays there, and is not part of a backup.
        """
        with self._vault.read() as tx:
            known = rows.everything(tx)
        found: list[Path] = []
        for each in known:
            with suppress(MemosError):  # it was forgotten meanwhile
                place = self._store.read(each.id) if self._store.is_local else b""
                found += [place] if isinstance(place, Path) else []
        return found

    def _discard(self, blobs: Sequence[Blob]) -> None:
        """Remove what was written in vain; what some memory needs stays."""
        with self._vault.effect(draw=Draw.ALL) as tx:
            named = {each.id for each in blobs}
            free = [row for row in rows.collectable(tx, ()) if row.id in named]
            rows.doom(tx, free)
        self._remove([row.id for row in free])

    def collect(self) -> tuple[str, ...]:
        """Remove the bytes of what no memory needs any more.

        Returns:
            What could not be removed, and why.
        """
        with self._vault.read() as tx:
            if not rows.collectable(tx, self._living()):
                return ()
        with self._vault.effect(draw=Draw.ALL) as tx:
            # Asked within the effect: whoever began a blob before it was there before, too.
            free = rows.collectable(tx, self._living())
            rows.doom(tx, free)
        return self._remove([row.id for row in free])

    def check(self) -> Iterator[str]:
        """Hold every blob against its digest, and what lies there against what is known.

        Yields:
            What is wrong, by the memory that needs the blob.
        """
        there = set(self._store.names())  # before the rows, for these come first
        with self._vault.read() as tx:
            known = rows.everything(tx)
            pending = {row.id for row in rows.collectable(tx, ())}
        for each in known:
            try:
                self.read(each)
            except MemosError as error:
                with self._vault.read() as tx:  # it may have been forgotten meanwhile
                    needed = rows.needed_by(tx)
                yield from (f"memory {one}: {error}" for one in needed.get(each.id, ()))
        strange = there - {each.id for each in known} - pending
        still = set(self._store.names()) if strange else set()
        yield from (f"blob {each}: nothing is known of it" for each in sorted(strange & still))

    def _living(self) -> list[str]:
        return [each.name for each in self._vault.presence.present()]

    def _remove(self, ids: Sequence[str]) -> tuple[str, ...]:
        problems: list[str] = []
        gone: list[str] = []
        for each in ids:
            try:
                self._store.delete(each)
                gone.append(each)
            except MemosError as error:
                problems.append(f"a blob: {error}")
        if gone:
            with self._vault.effect(draw=Draw.ALL) as tx:
                rows.remove(tx, gone)
        return tuple(problems)
