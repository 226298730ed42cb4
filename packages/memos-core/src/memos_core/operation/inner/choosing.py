"""Choosing what a model is given from within: a KV cache to begin with, adapters to be on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memos_core.cube import (
    ActivationPayload,
    CubeId,
    Kind,
    KVRecord,
    MemCube,
)
from memos_core.errors import ConflictError, DamagedError, InvalidInputError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.memory.fence import item_of
from memos_core.memory.prefixes import keys_of, runs_of
from memos_core.operation.gate import Gate, Ref, Refusal, unique
from memos_core.operation.inner.activating import Activation, root_of, text_cube, tokens_of
from memos_core.operation.inner.finding import is_enabled, made_for

if TYPE_CHECKING:
    from memos_core.memory.runtime import LocalModel


@dataclass(frozen=True, slots=True)
class Choice:
    """What a model is given beside the text of what was recalled.

    Args:
        lead: The memories that the block begins with, in order.
        fence: The nonce of the block; None where any will do.
        cache: The KV cache of this beginning.
        adapters: Those to be on.
    """

    lead: tuple[MemCube, ...] = ()
    fence: str | None = None
    cache: CubeId | None = None
    adapters: tuple[CubeId, ...] = ()


class Chooser:
    """Chooses for a model among what an actor may read.

    Args:
        gate: Decides.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def best(
        self, actor: Actor, model: LocalModel, found: Sequence[tuple[CubeId, float]]
    ) -> Choice:
        """Choose what suits what was recalled: every enabled adapter, else the best KV cache.

        A KV cache is not used while an adapter is on: it was computed without it.

        Args:
            actor: Who asks.
            model: The model.
            found: What was recalled, with its scores.
        """
        scores = dict(found)
        with self._gate.vault.read() as tx:
            cubes = list(made_for(tx, self._gate, actor, model.fingerprint.id))
            adapters = tuple(cube.id for cube in cubes if is_enabled(cube))
            if adapters:
                return Choice(adapters=adapters)
            fitting = [
                (sum(scores.get(each, 0.0) for each in cube.meta.lineage), cube)
                for cube in cubes
                if cube.kind is Kind.ACTIVATION and set(cube.meta.lineage) & set(scores)
            ]
            fitting.sort(key=lambda pair: (-pair[0], pair[1].id))
            for _score, cube in fitting:
                lead = self._lead(tx, actor, cube, model)
                if lead is not None:
                    return Choice(lead, _kv(cube).fence, cube.id)
        return Choice()

    def named(self, actor: Actor, refs: Sequence[Ref], model: LocalModel) -> Choice:
        """Choose what the caller names.

        Raises:
            NotFoundError: One is not there, or may not be read.
            ConflictError: An adapter is not enabled, or there are several KV caches.
        """
        lead: list[MemCube] = []
        adapters: list[CubeId] = []
        cache: MemCube | None = None
        with self._gate.snapshot(actor, "memos.inject") as tx:
            for ref in unique(refs):
                cube = self._gate.shown(tx, actor, self._gate.readable(tx, actor, ref))
                if cube.kind is Kind.PLAINTEXT:
                    lead.append(cube)
                elif cube.kind is Kind.PARAMETRIC:
                    adapters.append(_on(cube))
                elif cache is not None:
                    raise ConflictError(
                        "two KV caches cannot begin one prompt: activate their memories together"
                    )
                else:
                    cache = cube
            if cache is None:
                return Choice(tuple(lead), adapters=tuple(adapters))
            first = self._lead(tx, actor, cache, model, stale_too=True) or ()
        known = {each.id for each in first}
        rest = [each for each in lead if each.id not in known]
        return Choice((*first, *rest), _kv(cache).fence, cache.id, tuple(adapters))

    def _lead(
        self,
        tx: Transaction,
        actor: Actor,
        cube: MemCube,
        model: LocalModel,
        *,
        stale_too: bool = False,
    ) -> tuple[MemCube, ...] | None:
        """Return the memories that a KV cache begins with; None where they changed since.

        Args:
            tx: The transaction.
            actor: Who asks.
            cube: The KV cache.
            model: The model.
            stale_too: Also where they changed: then their text is used.
        """
        kv = _kv(cube)
        try:
            lead = tuple(
                self._gate.shown(tx, actor, self._gate.readable(tx, actor, each))
                for each in cube.meta.lineage
            ) or (text_cube(kv.text, cube.meta.owner or "unknown"),)
        except (Refusal, DamagedError):
            return None
        if stale_too:
            return lead
        how = Activation(kv.precision, kv.chat, kv.system)
        ids, ends = tokens_of([item_of(each) for each in lead], kv.fence, model, how)
        keys = keys_of(root_of(model, how), runs_of(ids, ends))
        return lead if keys == [part.key for part in kv.parts] else None


def _kv(cube: MemCube) -> KVRecord:
    kv = cube.payload.kv if isinstance(cube.payload, ActivationPayload) else None
    if kv is None:
        raise InvalidInputError(
            f"memory {cube.id} is no KV cache: of activation memory only KV caches are run"
        )
    return kv


def _on(cube: MemCube) -> CubeId:
    if not is_enabled(cube):
        raise ConflictError(f"adapter {cube.id} is not enabled: session.enable does that")
    return cube.id


def ids_of(cubes: Iterable[MemCube]) -> tuple[CubeId, ...]:
    """Return the ids of memories; of what is none, nothing."""
    return tuple(cube.id for cube in cubes if cube.id not in ("", "-"))
