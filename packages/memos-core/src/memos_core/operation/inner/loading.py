"""Loading: what a process holds for its models, told to the others and let go in time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from memos_core.infrastructure.blobs import rows
from memos_core.infrastructure.blobs.rows import Blob
from memos_core.infrastructure.forking import after_fork
from memos_core.infrastructure.vault import journal
from memos_core.infrastructure.vault.vault import Transaction, Vault
from memos_core.memory.residency import Residency, Wanted
from memos_core.operation.inner.keeping import BlobKeeper

if TYPE_CHECKING:
    from memos_core.memory.activation import KVState
    from memos_core.memory.runtime import LocalModel

_PAGE = "inner:"


class Loader:
    """Loads blobs for models, once for all who use them.

    Args:
        vault: Transactions, and presence.
        keeper: Reads blobs.
        budget: The most bytes of KV caches that are held.
    """

    def __init__(self, vault: Vault, keeper: BlobKeeper, budget: int) -> None:
        self._vault = vault
        self._keeper = keeper
        self._budget = budget
        self._begin()
        after_fork(self, Loader._begin)

    @property
    def nbytes(self) -> int:
        """What is held of KV caches, in bytes."""
        return self._states.nbytes

    @contextmanager
    def parts(
        self, blobs: Sequence[Blob], realm_id: str, *, cost: float = 0.0
    ) -> Iterator[KVState | None]:
        """Hold the parts of a state for as long as the block runs.

        Args:
            blobs: The parts, in order.
            realm_id: The realm of the memory that they are of.
            cost: What computing the whole state again takes, in seconds.

        Yields:
            The state; None where there are no parts, or they do not fit into the budget.

        Raises:
            DamagedError: A part is gone, or was changed on disk.
        """
        if not blobs:
            yield None
            return
        from memos_core.memory.activation import joined, load_state

        def load(blob: Blob) -> KVState:
            return load_state(self._keeper.read(blob))

        total = sum(blob.size for blob in blobs)
        wanted = [
            Wanted(b.id, b.size, cost * b.size / total, realm_id, partial(load, b)) for b in blobs
        ]
        self._announce(realm_id, [blob.id for blob in blobs], self._states)
        with self._states.using(wanted) as found:
            self.look(realm_id)
            yield None if found is None else joined(found)

    @contextmanager
    def adapters(
        self, model: LocalModel, chosen: Sequence[tuple[Blob, str]]
    ) -> Iterator[tuple[str, ...]]:
        """Hold adapters in a model for as long as the block runs.

        Args:
            model: The model.
            chosen: The adapters, each with the realm of its memory.

        Yields:
            Their names in the model.

        Raises:
            DamagedError: One is gone, or was changed on disk.
            IntegrityError: One does not fit the model.
        """
        if not chosen:
            yield ()
            return
        from memos_core.memory.parametric import load_adapter

        def load(blob: Blob) -> str:
            found = self._keeper.read(blob)
            data = found.read_bytes() if isinstance(found, Path) else found
            model.adapters.load(blob.id, load_adapter(data))
            return blob.id

        wanted = [
            Wanted(
                f"{blob.id} {id(model)}",
                blob.size,
                0.0,
                realm_id,
                partial(load, blob),
                model.adapters.unload,
            )
            for blob, realm_id in chosen
        ]
        for blob, realm_id in chosen:
            self._announce(realm_id, [f"{blob.id} {id(model)}"], self._adapters)
        with self._adapters.using(wanted) as names:
            for realm_id in sorted({realm_id for _blob, realm_id in chosen}):
                self.look(realm_id)
            yield tuple(names or ())

    def look(self, realm_id: str) -> None:
        """Let go of what the vault does not have any more, and say so to the others."""
        with self._vault.read() as tx:
            seq = journal.positions(tx, [realm_id]).get(realm_id, 0)
            self.clean(tx, realm_id, seq, "")

    def clean(self, tx: Transaction, realm_id: str, seq: int, _embedder: str) -> None:
        """Let go of what was forgotten in a realm, up to a journal entry of it.

        Args:
            tx: A snapshot.
            realm_id: The realm.
            seq: The number of its last entry in the snapshot.
        """
        dirty: set[str] = set()
        held: set[str] = set()
        for each in (self._states, self._adapters):
            names = each.names
            needed = rows.in_use(tx, [name.split(" ")[0] for name in names])
            dirty |= each.keep_only({name for name in names if name.split(" ")[0] in needed})
            held |= each.realms
        if realm_id not in held:
            self._vault.presence.lets_go(_PAGE + realm_id)
        elif realm_id not in dirty:
            self._vault.presence.cleans(_PAGE + realm_id, seq)

    def close(self) -> None:
        """Let go of everything."""
        for each in (self._states, self._adapters):
            each.keep_only(set())

    def _announce(
        self, realm_id: str, names: Sequence[str], residency: Residency[KVState] | Residency[str]
    ) -> None:
        """Say that something is about to be loaded, so that nobody takes it for gone."""
        if not set(names) <= set(residency.names):
            self._vault.presence.holds(_PAGE + realm_id)

    def _begin(self) -> None:
        """Begin with nothing: what a parent holds, it was the parent that said so."""
        self._states: Residency[KVState] = Residency(self._budget)
        self._adapters: Residency[str] = Residency(self._budget)
