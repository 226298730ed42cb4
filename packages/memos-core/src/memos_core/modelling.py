"""Modelling: the verbs by which memories become part of a model, and are given to it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from memos_core.cube import CubeId, MemCube
from memos_core.draft import Draft, Key, check_reason
from memos_core.errors import InvalidInputError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.interface.context import MemoryContext, recollected
from memos_core.operation.engine import Engine
from memos_core.operation.gate import check_ref
from memos_core.operation.inner.activating import Activation
from memos_core.operation.inner.adopting import Voucher
from memos_core.operation.inner.distilling import Teaching
from memos_core.operation.inner.reading import Readout
from memos_core.operation.policies.promotion import Rules
from memos_core.operation.retrieval.eligibility import Scope
from memos_core.operation.upkeep.promoting import Promoted
from memos_core.operation.workingset import WorkingSet

if TYPE_CHECKING:
    from memos_core.memory.activation import Precision
    from memos_core.memory.recipe import Recipe
    from memos_core.memory.runtime import LocalModel

Memories = CubeId | Key | MemCube | Sequence[CubeId | Key | MemCube]
"""One memory or several: ids, keys, or the memories themselves."""
_ID: Final = re.compile(r"mem_[a-z2-7]{20}")


class Modelling:
    """The verbs of memory inside models; a `Session` has them. They need the extra `[models]`.

    Example:
        >>> from memos_core import Message
        >>> from memos_core.testing import temporary_memos
        >>> from memos_core.testing.models import random_model
        >>> with temporary_memos() as memos:
        ...     alice, model = memos.session("user:alice"), random_model("llama")
        ...     cache = alice.activate(alice.add("w1 w2 w3"), model)
        ...     memory = alice.recollect(cache, model)
        ...     asked = [Message(role="user", parts="w4")]
        ...     model.generate(asked, memory=memory, max_new_tokens=2).injected_tokens > 0
        True
    """

    _engine: Engine
    _actor: Actor

    def activate(
        self,
        sources: Memories | str,
        model: LocalModel | None = None,
        *,
        precision: Precision = "exact",
        chat: bool | None = None,
        system: str | None = None,
        **fields: Any,
    ) -> MemCube:
        """Compute the keys and values of memories, or of a text, and keep them as a memory.

        It is readable to whoever may read all of its sources, and goes with any of them. A model
        that is given it does not read them again; where it cannot be used, their text is.

        Args:
            sources: Memories, in the order in which they will stand in prompts; or a text.
            model: What computes them; by default the vault's runtime.
            precision: `exact`; or `int8` or `fp8`, which take less room and are not exact: what
                that changes is measured, and kept in `cube.kv.error`.
            chat: Whether for conversations; by default if the model has a chat template.
            system: What the system says in those conversations, if anything.
            **fields: Fields of `Draft` for the new memory, such as `key`, `space`, `tags`.

        Returns:
            The memory, of the kind `activation`.

        Raises:
            NotFoundError: A source is not there, or may not be read.
            DeniedError: A source may not be derived from, or is seen only in part, or the space may
                not be written.
            InvalidInputError: The model keeps no keys and values for each token.
        """
        given: str | list[CubeId | Key] = (
            sources if isinstance(sources, str) and not _ID.fullmatch(sources) else refs_of(sources)
        )
        return self._engine.inner.activator.activate(
            self._actor,
            given,
            self._model(model),
            _shape(fields),
            Activation(precision, chat, system),
        )

    def distill(
        self,
        sources: Memories,
        model: LocalModel | None = None,
        *,
        recipe: Recipe | None = None,
        how: Teaching | None = None,
        **fields: Any,
    ) -> MemCube:
        """Train a LoRA adapter on memories, and keep it as a memory. It is off until `enable`.

        The session must be for the purpose `train`, with the right to derive from every source.

        Args:
            sources: Memories. An adapter among them stands for its own sources: this is how
                adapters are fused.
            model: What is trained; its weights stay as they are. By default the vault's runtime.
            recipe: The adapter's shape, the training's length, and what its gate asks.
            how: What else there is to say: a chat model, replay, progress, a checkpoint.
            **fields: Fields of `Draft` for the new memory, such as `key`, `space`, `tags`.

        Returns:
            The memory, of the kind `parametric`; `cube.lora` says what its gate measured.

        Raises:
            NotFoundError: A source is not there, or may not be read for training.
            DeniedError: The session is for another purpose, or a source may not be derived from, or
                is seen only in part.
            ConflictError: A source changed while the adapter was trained.
        """
        return self._engine.inner.distiller.distill(
            self._actor,
            refs_of(sources),
            self._model(model),
            _shape(fields),
            _teaching(recipe, how),
        )

    def retrain(
        self,
        adapter: CubeId | Key | None = None,
        model: LocalModel | None = None,
        *,
        recipe: Recipe | None = None,
        how: Teaching | None = None,
    ) -> list[MemCube]:
        """Train adapters again: one that is there, or those that went with a forgotten source.

        Args:
            adapter: The adapter: it gets a next version, trained on its sources as they are now,
                and is off; `rollback` takes it back. None trains those of this principal that went
                because a source was forgotten, on what is left: under their key, and on again if
                they were on and pass.
            model: Their model; by default the vault's runtime.
            recipe: Another recipe than they had.
            how: As for `distill`.

        Returns:
            The adapters.
        """
        teaching = _teaching(recipe, how)
        if adapter is not None:
            asked = (check_ref(adapter), self._model(model), teaching)
            return [self._engine.inner.distiller.again(self._actor, *asked)]
        due = self._engine.inner.distiller.due(self._actor, self._model(model), teaching)
        return [
            self.enable(cube.id, reason="it was on before")
            if was.enabled and cube.lora is not None and cube.lora.passed
            else cube
            for cube, was in due
        ]

    def adopt(
        self,
        source: Path | bytes,
        model: LocalModel | None = None,
        *,
        voucher: Voucher,
        recipe: Recipe | None = None,
        **fields: Any,
    ) -> MemCube:
        """Take an adapter in from outside, where somebody vouches for it. It is off until `enable`.

        Args:
            source: A folder that PEFT wrote, a file that `Adapter.dump` wrote, or its bytes; of
                safetensors only.
            model: What it is for; by default the vault's runtime.
            voucher: A signature with the key that you trust, or your own word.
            recipe: What its gate asks: how much the model must keep of what it knew.
            **fields: Fields of `Draft` for the new memory, but for `source`.

        Raises:
            InvalidInputError: Nobody vouches for it, or it is not there.
            IntegrityError: It is not what was vouched for, or it would have to be revived.
            DeniedError: The session is for another purpose than `train`, or does not govern the
                space: whoever reads there may have it in a model.
        """
        from memos_core.memory.recipe import Recipe

        return self._engine.inner.distiller.adopt(
            self._actor,
            source,
            self._model(model),
            _shape(fields),
            voucher,
            recipe or Recipe(),
        )

    def read_out(self, memory: CubeId | Key, model: LocalModel | None = None) -> Readout:
        """Say in words what an activation or parametric memory holds.

        Args:
            memory: The memory.
            model: Asked about the sources with the adapter on, if it is one of this model.

        Returns:
            The memories that it was made of, as far as they may be read; and, marked as such, what
            the model says.

        Raises:
            NotFoundError: It is not there, or may not be read.
            InvalidInputError: It is plaintext.
        """
        asked = (check_ref(memory), model or self._engine.inner.runtime)
        return self._engine.inner.reader.read_out(self._actor, *asked)

    def recollect(self, memories: Memories, model: LocalModel | None = None) -> MemoryContext:
        """Return named memories of any kind as what a model is given.

        Args:
            memories: Plaintext memories, at most one KV cache, any number of enabled adapters.
            model: The model; by default the vault's runtime.

        Returns:
            What to pass on as `model.generate(prompt, memory=…)`.

        Raises:
            NotFoundError: One is not there, or may not be read.
            ConflictError: An adapter is not enabled, or there are several KV caches; or the session
                looks at the past, where no adapter is on.
            FullError: The principal has read its fill.
        """
        named = (refs_of(memories), self._model(model))
        chosen = self._engine.inner.chooser.named(self._actor, *named)
        return recollected(self._engine, self._actor, chosen)

    @property
    def working_set(self) -> WorkingSet:
        """What the next turn will probably need, and how good such predictions were."""
        found: WorkingSet = self.__dict__.setdefault("_working", WorkingSet())
        return found

    def preload(self, model: LocalModel | None = None) -> tuple[CubeId, ...]:
        """Make ready what the next turn will probably need, while nobody waits.

        Pages are brought up to date, rows read into the database's cache, and for a model its KV
        cache and adapters loaded. Nothing is decided by that: whether a memory may be used is
        decided at its use.

        Args:
            model: The model that will be given it; by default the vault's runtime, if any.

        Returns:
            What was made ready.
        """
        chosen = model or self._engine.inner.runtime
        scope = Scope(self._actor, None, None)
        return self._engine.scheduler.preload(scope, self.working_set, chosen)

    def promote(self, model: LocalModel | None = None, *, rules: Rules | None = None) -> Promoted:
        """Turn what this principal's prompts begin with again and again into KV, where that pays.

        By what this principal used, with its rights and in its space; run it now and then. Caches
        that it made and that were not used for long are let go. What is used much and never
        changes is proposed for `distill`: said here and in the ledger, and not carried out.

        Args:
            model: The model that was given it; by default the vault's runtime.
            rules: When it pays.

        Returns:
            What was made, let go and proposed, and what could not be done.
        """
        asked = (self._model(model), rules or Rules())
        return self._engine.inner.promoter.promote(self._actor, *asked)

    def enable(self, adapter: CubeId | Key, *, reason: str = "") -> MemCube:
        """Switch an adapter on, for whoever may read it.

        Raises:
            ConflictError: It did not pass its gate, or is on already.
            DeniedError: Somebody who governs its space switched it off, and this session does not.
        """
        asked = (check_ref(adapter), check_reason(reason))
        return self._engine.reverter.enable(self._actor, *asked, enabled=True)

    def disable(self, adapter: CubeId | Key, *, reason: str = "") -> MemCube:
        """Switch an adapter off; it stops counting, in every process, when this returns.

        Raises:
            ConflictError: It is off already.
        """
        asked = (check_ref(adapter), check_reason(reason))
        return self._engine.reverter.enable(self._actor, *asked, enabled=False)

    def _model(self, given: LocalModel | None) -> LocalModel:
        model = given or self._engine.inner.runtime
        if model is None:
            raise InvalidInputError(
                "no model: pass one, or open the vault with MemOS.open(…, runtime=LocalModel(…))"
            )
        return model


def _teaching(recipe: Recipe | None, how: Teaching | None) -> Teaching:
    given = how or Teaching()
    return given if recipe is None else replace(given, recipe=recipe)


def refs_of(memories: Memories) -> list[CubeId | Key]:
    """Return references to memories, however they were given.

    Raises:
        InvalidInputError: There are none.
    """
    several: Iterable[CubeId | Key | MemCube]
    several = [memories] if isinstance(memories, str | Key | MemCube) else memories
    found = [check_ref(each.id if isinstance(each, MemCube) else each) for each in several]
    if not found:
        raise InvalidInputError("no memories are named: give ids, keys, or memories")
    return found


def _shape(fields: dict[str, Any]) -> Draft:
    """Check the fields of a memory whose content is yet to be made."""
    if "parents" in fields or "content" in fields:
        raise InvalidInputError("what it is made of is said by the sources, not by a field")
    return Draft.of("-", fields)
