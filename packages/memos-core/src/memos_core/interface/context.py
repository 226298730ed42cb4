"""MemoryContext: what was recalled for a prompt, as a fenced block under a token budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from memos_core.cube import CubeId
from memos_core.infrastructure.governance.actor import Actor
from memos_core.memory.fence import ContextItem, item_of, render
from memos_core.memory.injection import Injection, Memory
from memos_core.operation.engine import Engine
from memos_core.operation.inner.choosing import Choice
from memos_core.operation.inner.injecting import Recollection
from memos_core.operation.retrieval.eligibility import Scope
from memos_core.operation.scheduler import Request
from memos_core.results import Hit

if TYPE_CHECKING:
    from memos_core.memory.runtime import LocalModel


@dataclass(frozen=True, slots=True)
class MemoryContext:
    """Memories chosen for a request, and the block that brings them into a prompt.

    Args:
        text: The fenced block; empty where nothing was found or nothing fits.
        items: What is in it: those of one author, source and day together, the best first.
        left_out: What was considered and is not in it.
        tokens: What the block costs.
        hits: The hits behind the items, in the same order, with why each was chosen.
        cache: The KV cache of how the block begins, where one was found for the model.
        adapters: The adapters that are on for the model.
        reasons: Of all that was considered, why it is in the block, or is not.
        warnings: What the caller must know, such as memories withheld because bytes are damaged.
        given: What a local model is given, under the session's rights.
    """

    text: str
    items: tuple[ContextItem, ...]
    left_out: tuple[CubeId, ...]
    tokens: int
    hits: tuple[Hit, ...] = ()
    cache: CubeId | None = None
    adapters: tuple[CubeId, ...] = ()
    reasons: Mapping[CubeId, str] = field(default_factory=dict, compare=False)
    warnings: tuple[str, ...] = ()
    given: Memory | None = field(default=None, repr=False, compare=False)

    @contextmanager
    def opened(self, model: LocalModel) -> Iterator[Injection]:
        """Make it ready for one generation: `model.generate(prompt, memory=context)`.

        Args:
            model: The model that is going to generate.

        Raises:
            NotFoundError: A memory in it may not be read any more.
        """
        if self.given is None:
            yield Injection(self.text)
            return
        with self.given.opened(model) as injection:
            yield injection


def contextual(engine: Engine, scope: Scope, request: Request) -> MemoryContext:
    """Recall for a prompt.

    Args:
        engine: The operators of the vault.
        scope: Who asks, and about what.
        request: What for.
    """
    schedule = engine.scheduler.schedule(scope, request)
    found = MemoryContext(
        schedule.text,
        schedule.items,
        schedule.left_out,
        schedule.tokens,
        schedule.hits,
        reasons=schedule.reasons,
        warnings=schedule.warnings,
    )
    if request.model is None:
        return found
    return _given(engine, scope.actor, found, schedule.choice)


def recollected(engine: Engine, actor: Actor, choice: Choice) -> MemoryContext:
    """Render what the caller named, for a model.

    Args:
        engine: The operators of the vault.
        actor: Who asks.
        choice: What was named.
    """
    fence = choice.fence or engine.gate.vault.entropy.token(8).hex()
    items = tuple(item_of(each) for each in choice.lead)
    text = render(items, fence) if items else ""
    hits = tuple(Hit(each, 0.0, {}) for each in choice.lead)
    found = MemoryContext(text, items, (), engine.settings.count_tokens(text) if text else 0, hits)
    return _given(engine, actor, found, choice)


def _given(engine: Engine, actor: Actor, found: MemoryContext, choice: Choice) -> MemoryContext:
    ids = tuple(item.id for item in found.items if item.id != "-")
    cubes = [hit.cube for hit in found.hits]
    whole = tuple(each.id for each in cubes if each.id in ids and not each.meta.redacted)
    chosen = Recollection(found.text, ids, choice.cache, choice.adapters, whole)
    return replace(
        found,
        given=engine.inner.injector.given(actor, chosen),
        cache=choice.cache,
        adapters=choice.adapters,
    )
