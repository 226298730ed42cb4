"""Choosing what a model is given from within: a KV cache to begin with, adapters to be on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import JsonValue

from memos_core.cube import CubeId, Kind, MemCube
from memos_core.errors import ConflictError, DamagedError, InvalidInputError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.memory.fence import item_of
from memos_core.memory.plaintext import PUT_AWAY
from memos_core.memory.prefixes import keys_of, runs_of
from memos_core.operation.gate import Gate, Ref, Refusal, unique
from memos_core.operation.inner.activating import Activation, root_of, text_cube, tokens_of
from memos_core.operation.inner.finding import is_enabled, made_of
from memos_core.operation.inner.watching import check_enabled
from memos_core.operation.quotas import Quotas
from memos_core.tensors import KVRecord

if TYPE_CHECKING:
    from memos_core.memory.runtime import LocalModel

VERB: Final = "memos.recollect"


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
        gate: Decides and records.
        quotas: Limits how much is read.
    """

    def __init__(self, gate: Gate, quotas: Quotas) -> None:
        self._gate = gate
        self._quotas = quotas

    def best(
        self,
        actor: Actor,
        model: LocalModel,
        found: Sequence[tuple[CubeId, float]],
        *,
        terms: Collection[str] = (),
        most: int = 2,
        caches: bool = True,
    ) -> Choice:
        """Choose what suits what was recalled: adapters that know of it, else the best KV cache.

        A KV cache is not used while an adapter is on: it was computed without it. Nothing is
        recorded: whoever places it in a prompt does that.

        Args:
            actor: Who asks.
            model: The model.
            found: What was recalled, with its scores.
            terms: Words of the question, for adapters whose tags are among them.
            most: The most adapters.
            caches: Whether a KV cache may be chosen.
        """
        scores = dict(found)
        with self._gate.vault.read() as tx:
            made = list(made_of(tx, self._gate, actor, model.fingerprint.id, list(scores), terms))
            adapters = _fitting(made, scores, terms)[:most]
            if adapters:
                return Choice(adapters=tuple(cube.id for cube in adapters))
            if not caches:
                return Choice()
            begun = [
                (sum(scores.get(each, 0.0) for each in cube.meta.lineage), cube)
                for cube in made
                if cube.kind is Kind.ACTIVATION and not _is_away(cube)
            ]
            begun.sort(key=lambda pair: (-pair[0], len(pair[1].meta.lineage), pair[1].id))
            for _score, cube in begun:
                lead = self._lead(tx, actor, cube, model)
                if lead is not None and not any(map(_is_away, lead)):
                    return Choice(lead, _kv(cube).fence, cube.id)
        return Choice()

    def _told(self, tx: Transaction, actor: Actor, ids: Sequence[CubeId]) -> None:
        data: dict[str, JsonValue] = {"cubes": list(dict.fromkeys(ids))}
        self._gate.note(tx, actor, VERB, subject=ids[0] if ids else None, data=data)

    def named(self, actor: Actor, refs: Sequence[Ref], model: LocalModel) -> Choice:
        """Choose what the caller names.

        Raises:
            NotFoundError: One is not there, or may not be read.
            ConflictError: An adapter is not enabled, or there are several KV caches.
        """
        lead: list[MemCube] = []
        adapters: list[CubeId] = []
        cache: MemCube | None = None
        with self._gate.effect(actor, VERB, durable=False) as tx:
            self._quotas.check_reads(tx, actor)
            for ref in unique(refs):
                cube = self._gate.shown(tx, actor, self._gate.readable(tx, actor, ref))
                if cube.kind is Kind.PLAINTEXT:
                    lead.append(cube)
                elif cube.kind is Kind.PARAMETRIC:
                    _refuse_the_past(actor, cube)
                    adapters.append(check_enabled(cube))
                elif cache is not None:
                    raise ConflictError(
                        "two KV caches cannot begin one prompt: activate their memories together"
                    )
                else:
                    cache = cube
            if cache is None:
                self._told(tx, actor, [*ids_of(lead), *adapters])
                return Choice(tuple(lead), adapters=tuple(adapters))
            first = self._lead(tx, actor, cache, model, stale_too=True) or ()
            self._told(tx, actor, [cache.id, *ids_of((*first, *lead)), *adapters])
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
    kv = cube.kv
    if kv is None:
        raise InvalidInputError(
            f"memory {cube.id} is no KV cache: of activation memory only KV caches are run"
        )
    return kv


def _fitting(
    made: Sequence[MemCube], scores: Mapping[CubeId, float], terms: Collection[str]
) -> list[MemCube]:
    """List the enabled adapters that know of what was recalled, or are tagged so, best first."""

    def worth(cube: MemCube) -> tuple[float, str]:
        known = max((scores[each] for each in cube.meta.lineage if each in scores), default=0.0)
        named = sum(tag.casefold() in terms for tag in cube.meta.tags)
        return (-(known + named), cube.id)

    return sorted((cube for cube in made if is_enabled(cube)), key=worth)


def _is_away(cube: MemCube) -> bool:
    """Tell whether a memory was put into the archive: it is read by its id, and not found."""
    return cube.meta.state in PUT_AWAY


def _refuse_the_past(actor: Actor, cube: MemCube) -> None:
    """Refuse to switch on what was on once: whether an adapter is on is decided now."""
    if actor.at is not None:
        error = ConflictError(
            f"this session looks at the past, and adapter {cube.id} is on or off now: recollect "
            "it in one of the present"
        )
        raise Refusal(error, "denied", cube.id, "the present")


def ids_of(cubes: Iterable[MemCube]) -> tuple[CubeId, ...]:
    """Return the ids of memories; of what is none, nothing."""
    return tuple(cube.id for cube in cubes if cube.id not in ("", "-"))
