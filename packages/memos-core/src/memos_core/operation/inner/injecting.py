"""Injecting: giving a model the memory that a session recalled, for one generation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import JsonValue

from memos_core.cube import CubeId, ParametricPayload
from memos_core.errors import DamagedError, IntegrityError
from memos_core.infrastructure.blobs import rows
from memos_core.infrastructure.blobs.rows import Blob
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.memory.injection import Injection
from memos_core.operation.gate import Gate, Refusal
from memos_core.operation.inner.loading import Loader, growth_of
from memos_core.operation.inner.watching import VERB, Watch, check_enabled
from memos_core.operation.quotas import Quotas
from memos_core.tensors import KVRecord

if TYPE_CHECKING:
    from memos_core.memory.activation import KVState
    from memos_core.memory.runtime import LocalModel


@dataclass(frozen=True, slots=True)
class Recollection:
    """What a session chose for a model.

    Args:
        text: What is said in words; with a KV cache, what that holds comes first.
        ids: The memories behind the words.
        cache: The KV cache of how the words begin.
        adapters: What is switched on.
        whole: Those of the memories that were seen as wholes: in the words stands all of them.
    """

    text: str
    ids: tuple[CubeId, ...]
    cache: CubeId | None = None
    adapters: tuple[CubeId, ...] = ()
    whole: tuple[CubeId, ...] = ()

    @property
    def all_ids(self) -> tuple[CubeId, ...]:
        """Every memory that it is made of."""
        inner = () if self.cache is None else (self.cache,)
        return tuple(dict.fromkeys([*self.ids, *inner, *self.adapters]))


@dataclass(frozen=True, slots=True)
class _Cache:
    """A KV cache that can be loaded."""

    record: KVRecord
    blobs: tuple[Blob, ...]
    realm_id: str


class Injector:
    """Gives models what sessions chose for them, as long as they may use it.

    Args:
        gate: Decides and records.
        loader: Loads tensors.
        quotas: Limits how much is read.
    """

    def __init__(self, gate: Gate, loader: Loader, quotas: Quotas) -> None:
        self._gate = gate
        self._loader = loader
        self._quotas = quotas

    def given(self, actor: Actor, chosen: Recollection) -> GivenMemory:
        """Return what a model can be given."""
        return GivenMemory(self, actor, chosen)

    @contextmanager
    def opened(self, actor: Actor, chosen: Recollection, model: LocalModel) -> Iterator[Injection]:
        """Make a recollection ready for one generation."""
        watch = Watch(self._gate, actor, chosen.all_ids, chosen.adapters, chosen.whole)
        self._loader.tidy()  # first: who may use nothing any more lets go all the same
        watch.check()
        notes: list[str] = []
        cache: _Cache | None = None
        adapters: list[tuple[Blob, str]] = []
        if chosen.all_ids:
            with self._gate.effect(actor, VERB, durable=False) as tx:
                self._quotas.check_reads(tx, actor)
                cache = self._cache(tx, actor, chosen.cache, model, notes)
                for each in chosen.adapters:
                    adapters += self._adapter(tx, actor, each, model, notes)
                data: dict[str, JsonValue] = {
                    "cubes": list(chosen.all_ids),
                    "model": model.fingerprint.id,
                }
                self._gate.note(tx, actor, VERB, subject=chosen.cache, data=data)
        with ExitStack() as stack:
            state = self._state(stack, cache, model, notes)
            names = self._names(stack, model, adapters, notes)
            yield Injection(chosen.text, state, names, tuple(notes), watch.check)

    def preload(
        self, actor: Actor, cache: CubeId | None, adapters: Sequence[CubeId], model: LocalModel
    ) -> None:
        """Load what a model will probably be given; that is no use of it, and gives nobody a right.

        What cannot be loaded, or may not be used, is left: whoever uses it is told.

        Args:
            actor: Who will probably use it.
            cache: A KV cache.
            adapters: Adapters.
            model: The model.
        """
        self._loader.tidy()
        notes: list[str] = []
        try:
            with self._gate.vault.read() as tx:
                state = self._cache(tx, actor, cache, model, notes)
                found = [
                    each for one in adapters for each in self._adapter(tx, actor, one, model, notes)
                ]
        except (Refusal, DamagedError):
            return
        with ExitStack() as stack:
            self._state(stack, state, model, notes)
            self._names(stack, model, found, notes)

    def _cache(
        self,
        tx: Transaction,
        actor: Actor,
        cube_id: CubeId | None,
        model: LocalModel,
        notes: list[str],
    ) -> _Cache | None:
        """Read what is to be loaded of a KV cache."""
        if cube_id is None:
            return None
        row = self._gate.readable(tx, actor, cube_id)
        cube = self._gate.shown(tx, actor, row)
        kv = cube.kv
        if kv is None:
            notes.append(f"memory {cube_id} is no KV cache that can be run")
        elif cube.meta.model != model.fingerprint.id:
            notes.append(f"memory {cube_id} was computed by another model: its text was used")
        else:
            try:
                known = rows.of_cube(tx, cube_id)
                blobs = tuple(known[part.digest] for part in kv.parts)
            except (DamagedError, KeyError):
                notes.append(_damaged(cube_id))
            else:
                if kv.precision != "exact":
                    notes.append(f"memory {cube_id} is not exact: {_inexact(kv)}")
                return _Cache(kv, blobs, row.cube.realm_id)
        return None

    def _adapter(
        self, tx: Transaction, actor: Actor, cube_id: CubeId, model: LocalModel, notes: list[str]
    ) -> list[tuple[Blob, str]]:
        """Read what is to be loaded of an adapter."""
        row = self._gate.readable(tx, actor, cube_id)
        cube = self._gate.shown(tx, actor, row)
        check_enabled(cube)
        if cube.meta.model != model.fingerprint.id:
            notes.append(f"memory {cube_id} was trained for another model: it is off")
            return []
        payload = cube.payload
        assert isinstance(payload, ParametricPayload)  # noqa: S101 - only adapters are enabled
        try:
            return [(rows.of_cube(tx, cube_id)[payload.value], row.cube.realm_id)]
        except (DamagedError, KeyError):
            notes.append(f"memory {cube_id} is damaged on disk: it is off; run `memos doctor`")
            return []

    def _state(
        self, stack: ExitStack, cache: _Cache | None, model: LocalModel, notes: list[str]
    ) -> KVState | None:
        """Load a KV cache; where that fails, its text is used."""
        if cache is None:
            return None
        try:
            found = stack.enter_context(
                self._loader.parts(
                    cache.blobs,
                    cache.realm_id,
                    cost=cache.record.prefill_s,
                    growth=growth_of(cache.record.precision, model),
                )
            )
        except (DamagedError, IntegrityError) as error:
            notes.append(f"{error}; its text was used")
            return None
        if found is None:
            notes.append(
                "the KV cache does not fit into Settings.inner_budget_bytes: its text was used"
            )
        return found

    def _names(
        self,
        stack: ExitStack,
        model: LocalModel,
        adapters: Sequence[tuple[Blob, str]],
        notes: list[str],
    ) -> tuple[str, ...]:
        """Load adapters; one that is damaged is off."""
        try:
            names = stack.enter_context(self._loader.adapters(model, adapters))
            if len(names) < len(adapters):
                notes.append("the adapters do not fit into Settings.inner_budget_bytes: none is on")
            return names
        except (DamagedError, IntegrityError) as error:
            notes.append(f"{error}; no adapter is on")
            return ()


@dataclass(frozen=True, slots=True)
class GivenMemory:
    """A recollection that belongs to a session; a `Memory` for `LocalModel.generate`."""

    injector: Injector
    actor: Actor
    chosen: Recollection

    @contextmanager
    def opened(self, model: LocalModel) -> Iterator[Injection]:
        """Make it ready for one generation by this model; the session's rights decide, now."""
        with self.injector.opened(self.actor, self.chosen, model) as given:
            yield given


def _damaged(cube_id: CubeId) -> str:
    return f"memory {cube_id} is damaged on disk: its text was used; run `memos doctor`"


def _inexact(kv: KVRecord) -> str:
    off = ", ".join(f"{name} {value:.2g}" for name, value in sorted(kv.error.items()))
    return f"stored as {kv.precision}" + (f" (measured: {off})" if off else "")
