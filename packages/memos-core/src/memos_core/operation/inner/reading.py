"""Reading out: what an inner memory holds, in words.

Activation and parametric memory become plaintext by their lineage: the memories that they were made
of, for whoever may read these. What an adapter itself says when it is asked is told beside, and
marked as what it is: an answer of a model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from memos_core.cube import CubeId, Kind, MemCube, ParametricPayload
from memos_core.errors import InvalidInputError
from memos_core.infrastructure.blobs import rows
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.operation.gate import Gate, Ref, Refusal
from memos_core.operation.inner.loading import Loader
from memos_core.operation.inner.watching import Watch
from memos_core.operation.quotas import Quotas

if TYPE_CHECKING:
    from memos_core.memory.runtime import LocalModel

VERB: Final = "memos.read_out"
_MOST_TOKENS: Final = 32


@dataclass(frozen=True, slots=True)
class Probe:
    """What a model said when it was asked with an adapter on. It is no memory, and may be wrong.

    Args:
        prompt: What it was asked.
        answer: What it said.
        expected: What the sources say.
        recovered: Whether the two are the same.
    """

    prompt: str
    answer: str
    expected: str
    recovered: bool


@dataclass(frozen=True, slots=True)
class Readout:
    """An inner memory in words.

    Args:
        sources: The memories that it was made of, as far as they may be read.
        text: The text that it was made of, where that was no memory.
        probes: What an adapter says of its sources, when it is asked.
    """

    sources: tuple[MemCube, ...]
    text: str = ""
    probes: tuple[Probe, ...] = ()


class Reader:
    """Reads inner memories out.

    Args:
        gate: Decides and records.
        loader: Loads adapters.
        quotas: Limits how much is read.
    """

    def __init__(self, gate: Gate, loader: Loader, quotas: Quotas) -> None:
        self._gate = gate
        self._loader = loader
        self._quotas = quotas

    def read_out(self, actor: Actor, ref: Ref, model: LocalModel | None) -> Readout:
        """Say in words what an inner memory holds.

        Args:
            actor: Who asks.
            ref: The memory.
            model: Asked with the adapter on, if it is an adapter of this model.
        """
        with self._gate.effect(actor, VERB, durable=False) as tx:
            self._quotas.check_reads(tx, actor)
            record = self._gate.readable(tx, actor, ref)
            cube = self._gate.shown(tx, actor, record)
            if cube.kind is Kind.PLAINTEXT:
                raise InvalidInputError(f"memory {cube.id} is words already: session.get")
            self._gate.note(tx, actor, VERB, subject=cube.id)
            sources = tuple(self._plain(tx, actor, cube.meta.lineage))
            blobs = rows.of_cube(tx, cube.id)
            realm_id = record.cube.realm_id
        payload = cube.payload
        if cube.kind is Kind.ACTIVATION:
            return Readout(sources, "" if cube.kv is None else cube.kv.text)
        asked = model is not None and cube.meta.model == model.fingerprint.id
        if model is None or not asked or not isinstance(payload, ParametricPayload):
            return Readout(sources)
        chosen = [(blobs[payload.value], realm_id)]
        watch = Watch(self._gate, actor, [cube.id])
        with self._loader.adapters(model, chosen) as names:
            probes = _probed(model, names, sources) if names else ()
            watch.check()  # what may not be used any more has said nothing
            return Readout(sources, "", probes)

    def _plain(self, tx: Transaction, actor: Actor, ids: tuple[CubeId, ...]) -> list[MemCube]:
        found: list[MemCube] = []
        for each in ids:
            try:
                found.append(self._gate.shown(tx, actor, self._gate.readable(tx, actor, each)))
            except Refusal:
                continue
        return found


def _probed(
    model: LocalModel, names: tuple[str, ...], sources: tuple[MemCube, ...]
) -> tuple[Probe, ...]:
    from memos_core.memory.drills import put
    from memos_core.memory.lessons import lessons_of

    memory = model.adapters.on(*names)
    found: list[Probe] = []
    for cube in sources:
        for lesson in lessons_of(cube.text):
            if lesson.asked:
                said = model.generate(put(lesson), memory=memory, max_new_tokens=_MOST_TOKENS)
                answer = said.text.strip()
                same = lesson.answer.lower() in answer.lower()
                found.append(Probe(lesson.prompt, answer, lesson.answer, same))
    return tuple(found)
