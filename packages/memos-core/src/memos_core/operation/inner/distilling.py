"""Distilling: plaintext memories become an adapter of a model, which passes a gate or stays off.

Adapters are made for the purpose `train` only. An adapter of several others is trained on the union
of their sources: adding up weights destroys what they know.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any, Final, Literal

from memos_core.clock import to_micros
from memos_core.cube import CubeId, Kind, MemCube, ParametricPayload
from memos_core.draft import Draft
from memos_core.errors import ConflictError, DeniedError, IntegrityError, InvalidInputError
from memos_core.infrastructure.blobs import rows
from memos_core.infrastructure.blobs.rows import Blob
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import Action
from memos_core.infrastructure.vault.records import relink
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.models.chat import ChatModel
from memos_core.operation.gate import Gate, Ref, Refusal, unique
from memos_core.operation.inner import retraining
from memos_core.operation.inner.adopting import VERB as ADOPT
from memos_core.operation.inner.adopting import Voucher, examined, read_source, shaped
from memos_core.operation.inner.evicting import Evictor
from memos_core.operation.inner.finding import seen_whole
from memos_core.operation.inner.keeping import BlobKeeper
from memos_core.operation.inner.retraining import Retraining
from memos_core.operation.lifecycle.adding import Adder, ModelWork
from memos_core.operation.lifecycle.updating import Change, Updater, header_of
from memos_core.tensors import LoRARecord

if TYPE_CHECKING:
    from memos_core.memory.recipe import Recipe
    from memos_core.memory.runtime import LocalModel
    from memos_core.memory.training import Progress, Trained

VERB: Final = "memos.distill"
RETRAIN: Final = "memos.retrain"
PURPOSE: Final = "train"


@dataclass(frozen=True, slots=True)
class Teaching:
    """How an adapter is trained.

    Args:
        recipe: Its shape, the training's length, what it has to reach; the usual one by default.
        chat: A model that writes questions about a text; by default they are made by rules.
        replay: Texts of what the model is to keep; its own are drawn by default.
        progress: Called after each step with the step, the most steps, and the loss; or `"bar"`
            for a progress bar in the terminal.
        checkpoint: A file to go on from where a training was stopped. It holds what is learned.
    """

    recipe: Recipe | None = None
    chat: ChatModel | None = None
    replay: Sequence[str] | None = None
    progress: Progress | Literal["bar"] | None = None
    checkpoint: Path | None = None


@dataclass(frozen=True, slots=True)
class _Sources:
    """What is taught: texts, and the versions of the memories that they are."""

    texts: tuple[str, ...]
    versions: dict[CubeId, int]

    @property
    def ids(self) -> tuple[CubeId, ...]:
        return tuple(self.versions)


class Distiller:
    """Makes adapters of memories.

    Args:
        gate: Decides and records.
        adder: Writes memories.
        updater: Writes their next versions.
        keeper: Keeps blobs.
        evictor: Makes room.
    """

    def __init__(
        self, gate: Gate, adder: Adder, updater: Updater, keeper: BlobKeeper, evictor: Evictor
    ) -> None:
        self._gate = gate
        self._evictor = evictor
        self._adder = adder
        self._updater = updater
        self._keeper = keeper

    def distill(
        self,
        actor: Actor,
        sources: Sequence[Ref],
        model: LocalModel,
        draft: Draft,
        how: Teaching,
    ) -> MemCube:
        """Train an adapter on memories, and store it with what its gate measured.

        Args:
            actor: Who acts.
            sources: Memories; of an adapter or a KV cache, those that it was made of.
            model: What is trained.
            draft: The new memory, but for its content and its parents.
            how: How it is trained.

        Raises:
            ConflictError: A source changed while the adapter was trained.
        """
        self._gate.refuse_in_pipeline("distilling")
        with self._gate.snapshot(actor, VERB) as tx:
            self._check_purpose(actor)
            self._gate.require(tx, actor, Action.WRITE, draft.space or actor.home)
            taught = self._sources(tx, actor, sources)
        whole = replace(draft, parents=taught.ids)
        return self._made(actor, taught, model, whole, how, lambda _tx: None)

    def again(self, actor: Actor, ref: Ref, model: LocalModel, how: Teaching) -> MemCube:
        """Train an adapter again, on its sources as they are now: its next version, not yet on."""
        self._gate.refuse_in_pipeline("retraining")
        with self._gate.snapshot(actor, RETRAIN) as tx:
            self._check_purpose(actor)
            seen = self._updater.changeable(tx, actor, ref, None)
            cube = self._gate.shown(tx, actor, seen)
            lora = _lora(cube)
            taught = self._sources(tx, actor, cube.meta.lineage)
        known, data = self._trained(taught, model, _with_recipe(how, lora.recipe))
        payload = _payload(known, data)
        made = self._adder.prepared(actor, replace(Draft("-"), content=payload))
        self._evictor.make_room(len(data))
        with (
            self._keeper.writing(seen.cube.label_id, [data]) as blobs,
            self._gate.effect(actor, RETRAIN) as tx,
        ):
            self._check_unmoved(tx, actor, taught)
            record = self._updater.changeable(tx, actor, seen.cube.id, seen.cube.version)
            header = header_of(record).model_copy(
                update={"state": None, "model": model.fingerprint.id}
            )
            there = rows.of_cube(tx, record.cube.id)
            size = 0 if payload.value in there else len(data)
            change = Change(header, payload, made, "retrained", action="retrain")
            answer = self._updater.write(tx, actor, record, replace(change, blob_bytes=size))
            self._need(tx, record.cube.id, blobs)
            relink(tx, record.cube.id, taught.versions)
            return answer

    def adopt(
        self,
        actor: Actor,
        source: Path | bytes,
        model: LocalModel,
        draft: Draft,
        voucher: Voucher,
        recipe: Recipe,
    ) -> MemCube:
        """Take an adapter in from outside, where somebody vouches for it."""
        self._gate.refuse_in_pipeline("adopting")
        with self._gate.snapshot(actor, ADOPT) as tx:
            self._check_purpose(actor)
            space = draft.space or actor.home
            self._gate.require(tx, actor, Action.WRITE, space)
            # Nobody can read what it says, and it speaks to all who read there: whoever answers
            # for the space decides whom to trust.
            self._gate.require(tx, actor, Action.GOVERN, space)
        with self._gate.refusals(actor, ADOPT):
            try:
                adapter = read_source(source, voucher, model.fingerprint.id)
            except (IntegrityError, InvalidInputError) as error:  # an attempt that is told
                raise Refusal(error, "denied", None, "voucher") from error
        made = examined(model, adapter, recipe, voucher.origin)
        nothing = _Sources((), {})
        work = ModelWork(ADOPT, model.fingerprint.id, len(made[1]), {"vouched": voucher.by})
        return self._kept(actor, nothing, work, shaped(draft, voucher), made, lambda _tx: None)

    def due(
        self, actor: Actor, model: LocalModel, how: Teaching
    ) -> list[tuple[MemCube, Retraining]]:
        """Train anew, without what was forgotten, the adapters of the actor that went with it.

        Returns:
            The new adapters, each with what it stands for.
        """
        self._gate.refuse_in_pipeline("retraining")
        with self._gate.snapshot(actor, RETRAIN) as tx:
            self._check_purpose(actor)
            owner = self._gate.registry.find_principal(tx, actor.principal)
            waiting = retraining.waiting(tx, owner or "", model.fingerprint.id)
        return [(self._renewed(actor, each, model, how), each) for each in waiting]

    def _renewed(self, actor: Actor, due: Retraining, model: LocalModel, how: Teaching) -> MemCube:
        draft = Draft.of("-", {"space": due.space, "key": due.key} | due.fields)
        with self._gate.snapshot(actor, RETRAIN) as tx:
            left = [each for each in due.sources if self._is_there(tx, actor, each)]
            if isinstance(draft.expires, datetime) and to_micros(draft.expires) <= tx.now:
                left = []  # it would have ended by now
            taught = self._sources(tx, actor, left) if left else None
        if taught is None:
            with self._gate.effect(actor, RETRAIN) as tx:
                retraining.finish(tx, due.id)
            raise ConflictError(f"nothing is left to train adapter {due.was} on: it was given up")
        whole = replace(draft, parents=taught.ids)

        def finish(tx: Transaction) -> None:
            retraining.finish(tx, due.id)

        return self._made(actor, taught, model, whole, _with_recipe(how, due.recipe), finish)

    def _is_there(self, tx: Transaction, actor: Actor, ref: CubeId) -> bool:
        try:
            self._gate.readable(tx, actor, ref)
        except Refusal:
            return False
        return True

    def _made(
        self,
        actor: Actor,
        taught: _Sources,
        model: LocalModel,
        draft: Draft,
        how: Teaching,
        also: Callable[[Transaction], None],
    ) -> MemCube:
        made = self._trained(taught, model, how)
        work = ModelWork(VERB, model.fingerprint.id, len(made[1]))
        return self._kept(actor, taught, work, draft, made, also)

    def _kept(
        self,
        actor: Actor,
        taught: _Sources,
        work: ModelWork,
        draft: Draft,
        trained: tuple[LoRARecord, bytes],
        also: Callable[[Transaction], None],
    ) -> MemCube:
        """Write an adapter, if its sources still are what they were."""
        known, data = trained
        whole = replace(draft, content=_payload(known, data))
        made = self._adder.prepared(actor, whole)
        with self._gate.effect(actor, work.verb) as tx:
            label = self._adder.label_for(tx, actor, draft)
        self._evictor.make_room(len(data))
        with (
            self._keeper.writing(label.id, [data]) as blobs,
            self._gate.effect(actor, work.verb) as tx,
        ):
            self._check_unmoved(tx, actor, taught)
            cube = self._adder.put(tx, actor, whole, made, work)
            self._need(tx, cube.id, blobs)
            also(tx)
            return cube

    def _need(self, tx: Transaction, cube_id: CubeId, blobs: Sequence[Blob]) -> None:
        if not rows.use(tx, cube_id, blobs):
            raise ConflictError("the adapter's blob was collected meanwhile: distill again")
        if not self._evictor.check(tx):
            raise ConflictError("another adapter took the room meanwhile: distill again")

    def _check_purpose(self, actor: Actor) -> None:
        """Refuse to train for another purpose: who lends memories to assist lends no weights."""
        if actor.purpose != PURPOSE:
            error = DeniedError(
                f"this session is for {actor.purpose!r}, and adapters are made for 'train': open "
                "one with memos.session(…, purpose='train')"
            )
            raise Refusal(error, "denied", None, "purpose train")

    def _check_unmoved(self, tx: Transaction, actor: Actor, taught: _Sources) -> None:
        now = self._sources(tx, actor, taught.ids)
        if now.versions != taught.versions:
            raise ConflictError("a memory changed while the adapter was trained: distill again")

    def _sources(self, tx: Transaction, actor: Actor, refs: Sequence[Ref]) -> _Sources:
        """Read what is taught; what was made of memories stands for these.

        Raises:
            Refusal: One is not there, or not to be derived from.
        """
        texts: list[str] = []
        versions: dict[CubeId, int] = {}
        frontier = list(unique(refs))
        while frontier:
            record = self._gate.readable(tx, actor, frontier.pop(0))
            space = self._gate.space_of(tx, record.cube)
            self._gate.require(tx, actor, Action.DERIVE, space, cube=record.cube.id)
            cube = seen_whole(self._gate.shown(tx, actor, record))
            if cube.kind is not Kind.PLAINTEXT:
                if not cube.meta.lineage:
                    raise InvalidInputError(
                        f"memory {cube.id} was made of no memory: distill from plaintext"
                    )
                frontier += cube.meta.lineage
            elif cube.id not in versions:
                versions[cube.id] = cube.version
                texts.append(cube.text)
        return _Sources(tuple(texts), versions)

    def _trained(
        self, taught: _Sources, model: LocalModel, how: Teaching
    ) -> tuple[LoRARecord, bytes]:
        """Train, and describe what came of it."""
        from memos_core.memory.lessons import lessons_by, lessons_of, union
        from memos_core.memory.training import train

        sets = [
            lessons_of(text) if how.chat is None else lessons_by(how.chat, text)
            for text in taught.texts
        ]
        begun = process_time()
        with _told(how.progress) as progress:
            trained = train(
                model,
                union(sets),
                how.recipe,
                replay=how.replay,
                progress=progress,
                checkpoint=how.checkpoint,
            )
        data = trained.adapter.dump()
        return _record(trained, len(data), process_time() - begun), data


@contextmanager
def _told(progress: Progress | Literal["bar"] | None) -> Iterator[Progress | None]:
    """Show a progress bar within the block, where one is asked for."""
    if progress != "bar":
        yield progress
        return
    from rich.progress import Progress as Bar

    with Bar(transient=True) as bar:
        task = bar.add_task("distilling", total=None)

        def tell(step: int, most: int, loss: float) -> None:
            said = f"distilling, loss {loss:.2f}"
            bar.update(task, completed=step, total=most, description=said)

        yield tell


def _payload(known: LoRARecord, data: bytes) -> ParametricPayload:
    digest = hashlib.sha256(data).hexdigest()
    return ParametricPayload(type="parametric", format="lora_adapter", value=digest, lora=known)


def _record(trained: Trained, size: int, seconds: float) -> LoRARecord:
    report, passed = trained.report, trained.gate
    recipe = trained.adapter.recipe
    plain: dict[str, Any] = {} if recipe is None else json.loads(recipe.model_dump_json())
    return LoRARecord(
        rank=trained.adapter.rank,
        bytes=size,
        lessons=report.lessons,
        steps=report.steps,
        seconds=round(seconds, 3),
        recall=report.recall,
        recall_before=report.recall_before,
        retention=report.retention,
        passed=passed.passed,
        reasons=passed.reasons,
        recipe=plain,
    )


def _with_recipe(how: Teaching, was: object) -> Teaching:
    """Train as it was trained before, unless another recipe is given."""
    from memos_core.memory.recipe import Recipe

    return how if how.recipe is not None else replace(how, recipe=Recipe.model_validate(was))


def _lora(cube: MemCube) -> LoRARecord:
    lora = cube.lora
    if lora is None:
        raise InvalidInputError(f"memory {cube.id} is no adapter: session.distill makes one")
    return lora
