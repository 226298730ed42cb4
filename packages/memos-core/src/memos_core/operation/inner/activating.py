"""Activating: plaintext memories become keys and values of a model, stored as a memory.

The block of memories that prompts are given is cut where each memory ends, and each run of tokens
is a blob. A block that begins like another shares its runs, under the same label and model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Final

from memos_core.cube import ActivationPayload, CubeId, Header, MemCube, PlaintextPayload
from memos_core.draft import Draft
from memos_core.errors import (
    BusyError,
    ConflictError,
    DamagedError,
    IntegrityError,
    InvalidInputError,
)
from memos_core.infrastructure.blobs import rows
from memos_core.infrastructure.blobs.rows import Blob
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import Action
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.memory.fence import ContextItem, item_of, render_open
from memos_core.memory.prefixes import PrefixTree, keys_of, runs_of
from memos_core.operation.gate import Gate, Ref, unique
from memos_core.operation.inner.evicting import Evictor
from memos_core.operation.inner.finding import made_for, seen_whole
from memos_core.operation.inner.keeping import BlobKeeper
from memos_core.operation.inner.loading import Loader, growth_of
from memos_core.operation.lifecycle.adding import Adder, ModelWork
from memos_core.tensors import KVPart, KVRecord

if TYPE_CHECKING:
    from memos_core.memory.activation import KVState, Precision
    from memos_core.memory.runtime import LocalModel

VERB: Final = "memos.activate"
_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Activation:
    """How memories become keys and values.

    Args:
        precision: `exact`, or `int8` or `fp8`, which take a quarter of float32 and are not exact.
        chat: Whether the model is asked in conversations; by default where it has a template.
        system: What the system says in those conversations, if anything.
    """

    precision: Precision = "exact"
    chat: bool | None = None
    system: str | None = None


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is going to be computed.

    Args:
        items: The memories, as they stand in the block.
        versions: The versions that they were rendered at.
        label_id: The label that the new memory will get.
        fence: The nonce of the block.
        shared: What is stored already of blocks under that label, for that model.
        realm_id: The realm of the new memory.
    """

    items: tuple[ContextItem, ...]
    versions: dict[CubeId, int]
    label_id: str
    fence: str
    shared: PrefixTree[tuple[KVPart, Blob]]
    realm_id: str


@dataclass(frozen=True, slots=True)
class _Computed:
    """What came of it.

    Args:
        payload: The new memory's.
        shared: The blobs of its first parts, which are stored already.
        fresh: What is to be stored of the others, in order.
    """

    payload: ActivationPayload
    shared: tuple[Blob, ...]
    fresh: tuple[bytes, ...]


class Activator:
    """Makes KV caches of memories.

    Args:
        gate: Decides and records.
        adder: Writes memories.
        keeper: Keeps blobs.
        loader: Loads what is stored already.
        evictor: Makes room.
    """

    def __init__(
        self, gate: Gate, adder: Adder, keeper: BlobKeeper, loader: Loader, evictor: Evictor
    ) -> None:
        self._gate = gate
        self._evictor = evictor
        self._adder = adder
        self._keeper = keeper
        self._loader = loader

    def activate(
        self,
        actor: Actor,
        sources: Sequence[Ref] | str,
        model: LocalModel,
        draft: Draft,
        how: Activation,
    ) -> MemCube:
        """Compute keys and values, and store them.

        Args:
            actor: Who acts.
            sources: Memories, or a text that is none.
            model: What computes them.
            draft: The new memory, but for its content and its parents.
            how: How they are computed and stored.

        Raises:
            ConflictError: The sources kept changing.
        """
        self._gate.refuse_in_pipeline("activating")
        chat = model.prompts.has_template if how.chat is None else how.chat
        how = replace(how, chat=chat)
        for _ in range(_TRIES):
            plan, shaped = self._planned(actor, sources, model, draft, how)
            made = self._computed(plan, model, how)
            self._evictor.make_room(sum(map(len, made.fresh)))
            with (
                suppress(_MovedError),
                self._keeper.writing(plan.label_id, made.fresh) as written,
            ):
                blobs = [*made.shared, *written]
                return self._written(actor, plan, shaped, made.payload, blobs, model)
        raise ConflictError("the memories kept changing while they were activated: try again")

    def _planned(
        self,
        actor: Actor,
        sources: Sequence[Ref] | str,
        model: LocalModel,
        draft: Draft,
        how: Activation,
    ) -> tuple[_Plan, Draft]:
        """Decide, and read what is needed."""
        refs: Sequence[Ref] = ()
        texts: list[MemCube] = []
        if not isinstance(sources, str):
            refs = unique(sources)
        elif not sources.strip():
            raise InvalidInputError("the text is empty: give some text, or memories")
        else:
            draft = replace(draft, sensitivity=self._adder.level_of(sources, draft))
            texts = [text_cube(sources, actor.principal)]
        with self._gate.effect(actor, VERB) as tx:
            cubes = [self._derivable(tx, actor, ref) for ref in refs]
            shaped = replace(draft, parents=tuple(each.id for each in cubes))
            label = self._adder.label_for(tx, actor, shaped)
            fence, shared = self._sharable(tx, actor, label.id, model, how)
            space = self._gate.registry.ensure_space(tx, shaped.space or actor.home)
        items = tuple(item_of(each) for each in texts or cubes)
        versions = {each.id: each.version for each in cubes}
        return _Plan(items, versions, label.id, fence, shared, space.realm_id), shaped

    def _derivable(self, tx: Transaction, actor: Actor, ref: Ref) -> MemCube:
        """Return a memory that may be turned into something else.

        Raises:
            Refusal: It is not there, or not for that.
        """
        record = self._gate.readable(tx, actor, ref)
        space = self._gate.space_of(tx, record.cube)
        self._gate.require(tx, actor, Action.DERIVE, space, cube=record.cube.id)
        cube = seen_whole(self._gate.shown(tx, actor, record))
        if not isinstance(cube.payload, PlaintextPayload):
            raise InvalidInputError(
                f"memory {cube.id} is {cube.kind.value}: activate the memories that it was made of"
            )
        return cube

    def _sharable(
        self, tx: Transaction, actor: Actor, label_id: str, model: LocalModel, how: Activation
    ) -> tuple[str, PrefixTree[tuple[KVPart, Blob]]]:
        """Find what is stored under a label, and the fence that it was computed with."""
        nodes: dict[str, tuple[KVPart, Blob]] = {}
        fence = ""
        for cube in made_for(tx, self._gate, actor, model.fingerprint.id):
            kv = cube.kv
            if kv is None or kv.precision != how.precision:
                continue
            blobs = rows.of_cube(tx, cube.id)
            same = rows.ready(tx, list(blobs), label_id)  # its own may be under another label
            for part in kv.parts:
                if part.digest in same:
                    nodes[part.key] = (part, same[part.digest])
                    fence = fence or kv.fence
        return fence or self._gate.vault.entropy.token(8).hex(), PrefixTree(nodes)

    def _computed(self, plan: _Plan, model: LocalModel, how: Activation) -> _Computed:
        """Compute what is not stored yet."""
        ids, ends = tokens_of(plan.items, plan.fence, model, how)
        runs = runs_of(ids, ends)
        keys = keys_of(root_of(model, how), runs)
        found = plan.shared.longest(keys)
        begun = perf_counter()
        growth = growth_of(how.precision, model)
        with ExitStack() as stack:
            try:
                blobs = [blob for _part, blob in found]
                loading = self._loader.parts(blobs, plan.realm_id, growth=growth)
                before = stack.enter_context(loading)
            except (DamagedError, IntegrityError):  # or forgotten meanwhile: all is computed anew
                before = None
            if before is None:
                found = []  # nor where it does not fit into the budget
            state = before
            if state is None or len(found) < len(runs):
                state = model.prefill(ids, onto=before, text="-")
            took = perf_counter() - begun
            fresh, error = self._cut(state, runs, keys, len(found), model, how)
        parts = (*(part for part, _blob in found), *(part for part, _data in fresh))
        shared = tuple(blob for _part, blob in found)
        datas = tuple(data for _part, data in fresh)
        record = KVRecord(
            parts=parts,
            tokens=len(ids),
            bytes=sum(blob.size for blob in shared) + sum(map(len, datas)),
            precision=how.precision,
            error=error,
            fence=plan.fence,
            chat=bool(how.chat),
            system=how.system,
            prefill_s=round(took, 6),
            text="" if plan.versions else plan.items[0].text,
        )
        whole = hashlib.sha256(" ".join(part.digest for part in parts).encode("ascii"))
        payload = ActivationPayload(
            type="activation", format="kv_cache", value=whole.hexdigest(), kv=record
        )
        return _Computed(payload, shared, datas)

    def _cut(
        self,
        state: KVState,
        runs: Sequence[Sequence[int]],
        keys: Sequence[str],
        known: int,
        model: LocalModel,
        how: Activation,
    ) -> tuple[list[tuple[KVPart, bytes]], dict[str, float]]:
        """Cut a state into the runs that are stored, and measure what storing them costs."""
        fresh: list[tuple[KVPart, bytes]] = []
        end = sum(map(len, runs[:known]))
        for run, key in zip(runs[known:], keys[known:], strict=True):
            begin, end = end, end + len(run)
            data = state.part(begin, end).dump(how.precision)
            digest = hashlib.sha256(data).hexdigest()
            fresh.append((KVPart(digest=digest, tokens=len(run), key=key), data))
        error = {} if how.precision == "exact" else model.error_of(state, how.precision)
        return fresh, error

    def _written(
        self,
        actor: Actor,
        plan: _Plan,
        draft: Draft,
        payload: ActivationPayload,
        blobs: Sequence[Blob],
        model: LocalModel,
    ) -> MemCube:
        """Write the memory, if its sources still are what they were."""
        shaped = replace(draft, content=payload)
        made = self._adder.prepared(actor, shaped)
        kv = payload.kv
        work = ModelWork(VERB, model.fingerprint.id, 0 if kv is None else kv.bytes)
        with self._gate.effect(actor, VERB) as tx:
            now = {each: self._derivable(tx, actor, each).version for each in plan.versions}
            label = self._adder.label_for(tx, actor, draft)
            if now != plan.versions or label.id != plan.label_id:
                raise _MovedError
            cube = self._adder.put(tx, actor, shaped, made, work)
            needed = list(dict.fromkeys(blobs))
            if not rows.use(tx, cube.id, needed) or not self._evictor.check(tx):
                raise _MovedError
            return cube


class _MovedError(BusyError):
    """What was computed is not of what there is any more: it is computed again."""


def tokens_of(
    items: Sequence[ContextItem], fence: str, model: LocalModel, how: Activation
) -> tuple[list[int], list[int]]:
    """Return the token ids of the beginning of a block, and where each memory's end.

    Args:
        items: The memories in the block.
        fence: Its nonce.
        model: Whose tokens.
        how: In which prompts.
    """
    from memos_core.memory.activation import shared

    def beginning(count: int) -> list[int]:
        text = render_open(items[:count], fence)
        return model.prompts.beginning(text, system=how.system, chat=bool(how.chat))

    ids = beginning(len(items))
    ends = [shared(ids, beginning(count)) for count in range(1, len(items))]
    return ids, ends


def root_of(model: LocalModel, how: Activation) -> str:
    """Return what keys of runs begin with: by what, and how, they were computed."""
    return f"{model.fingerprint.id} {how.precision}"


def text_cube(text: str, by: str) -> MemCube:
    """Return a text that is no memory as one, for a block.

    Args:
        text: The text.
        by: Who brought it.
    """
    return MemCube(meta=Header(id="-", author=by), payload=PlaintextPayload(content=text))
