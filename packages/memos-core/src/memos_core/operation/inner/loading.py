"""Loading: what a process holds for its models, told to the others and let go in time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from memos_core.errors import DamagedError
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
        self, blobs: Sequence[Blob], realm_id: str, *, cost: float = 0.0, growth: int = 1
    ) -> Iterator[KVState | None]:
        """Hold the parts of a state for as long as the block runs.

        Args:
            blobs: The parts, in order.
            realm_id: The realm of the memory that they are of.
            cost: What computing the whole state again takes, in seconds.
            growth: How many times as large as its blob a part is in memory; see `growth_of`.

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
            self._vault.presence.holds(_PAGE + realm_id)
            self._stamps[blob.id] = self._keeper.stamp(blob)
            return load_state(self._keeper.read(blob))

        total = sum(blob.size for blob in blobs)
        wanted = [
            Wanted(b.id, b.size * growth, cost * b.size / total, realm_id, partial(load, b))
            for b in blobs
        ]
        self._let_go_of_changed(blobs)
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
            Their names in the model; none where they do not fit into the budget.

        Raises:
            DamagedError: One is gone, or was changed on disk.
            IntegrityError: One does not fit the model.
        """
        if not chosen:
            yield ()
            return
        from memos_core.memory.parametric import load_adapter

        def load(blob: Blob, realm_id: str) -> str:
            self._vault.presence.holds(_PAGE + realm_id)
            found = self._keeper.read(blob)
            data = found.read_bytes() if isinstance(found, Path) else found
            model.adapters.load(blob.id, load_adapter(data))
            return blob.id

        def drop(name: str) -> bool:  # it holds the model, so that no other gets its id
            return model.adapters.unload_if_idle(name)

        wanted = [
            Wanted(
                f"{blob.id} {id(model)}",
                blob.size,
                0.0,
                realm_id,
                partial(load, blob, realm_id),
                drop,
            )
            for blob, realm_id in chosen
        ]
        with ExitStack() as stack:
            there = {each.name for each in wanted} <= set(self._adapters.names)
            # The model is waited for first: whoever asks what is held must not wait with us.
            with nullcontext() if there else model.adapters.idle():
                names = stack.enter_context(self._adapters.using(wanted))
            for realm_id in sorted({realm_id for _blob, realm_id in chosen}):
                self.look(realm_id)
            yield tuple(names or ())

    def tidy(self) -> None:
        """Let go of what was forgotten since, in any realm of which something is held."""
        realms = sorted(self._states.realms | self._adapters.realms)
        if not realms:
            return
        with self._vault.read() as tx:
            places = journal.positions(tx, realms)
            for realm_id in realms:
                if self._tidied.get(realm_id) != places.get(realm_id, 0):
                    self.clean(tx, realm_id, places.get(realm_id, 0), "")

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
        # Nothing is loaded meanwhile: what is said here would not be true of it.
        with self._states.lock, self._adapters.lock:
            for each in (self._states, self._adapters):
                names = each.names
                needed = rows.in_use(tx, [name.split(" ")[0] for name in names])
                dirty |= each.keep_only({name for name in names if name.split(" ")[0] in needed})
                held |= each.realms
            if realm_id not in held:
                self._vault.presence.lets_go(_PAGE + realm_id)
            elif realm_id not in dirty:
                self._vault.presence.cleans(_PAGE + realm_id, seq)
                self._tidied[realm_id] = seq

    def _let_go_of_changed(self, blobs: Sequence[Blob]) -> None:
        """Let go of what is mapped from files that are not what they were.

        Raises:
            DamagedError: One is, and somebody is using it.
        """
        with self._states.lock:
            names = set(self._states.names)
            changed = [
                blob
                for blob in blobs
                if blob.id in names and self._stamps.get(blob.id) != self._keeper.stamp(blob)
            ]
            if changed:
                self._states.keep_only(names - {blob.id for blob in changed})
            if {blob.id for blob in changed} & set(self._states.names):
                raise DamagedError(
                    f"the blob {changed[0].id} was changed on disk while it is used: run "
                    "`memos doctor`"
                )

    def close(self) -> None:
        """Let go of everything."""
        for each in (self._states, self._adapters):
            each.keep_only(set())

    def _begin(self) -> None:
        """Begin with nothing: what a parent holds, it was the parent that said so."""
        self._stamps: dict[str, object] = {}
        self._tidied: dict[str, int] = {}
        self._states: Residency[KVState] = Residency(self._budget)
        self._adapters: Residency[str] = Residency(self._budget)


def growth_of(precision: str, model: LocalModel) -> int:
    """Tell how many times as large as its blob a state is in memory, at most.

    Args:
        precision: How it is stored.
        model: What it is loaded for; there, every number has the size of the model's.
    """
    return 1 if precision == "exact" else int(model.model.dtype.itemsize)
