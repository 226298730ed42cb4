"""MemoryContext: what was recalled for a prompt, as a fenced block under a token budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from memos_core.cube import CubeId, MemCube
from memos_core.infrastructure.governance.actor import Actor
from memos_core.memory.fence import ContextItem, item_of, render
from memos_core.memory.injection import Injection, Memory
from memos_core.operation.engine import Engine
from memos_core.operation.inner.choosing import Choice
from memos_core.operation.inner.injecting import Recollection
from memos_core.results import Hit

if TYPE_CHECKING:
    from memos_core.memory.runtime import LocalModel


@dataclass(frozen=True, slots=True)
class MemoryContext:
    """Memories chosen for a request, and the block that brings them into a prompt.

    Args:
        text: The fenced block; empty where nothing was found or nothing fits.
        items: What is in it, best first.
        left_out: What was found but did not fit the budget.
        tokens: What the block costs.
        hits: The hits behind the items, in the same order, with why each was chosen.
        cache: The KV cache of how the block begins, where one was found for the model.
        adapters: The adapters that are on for the model.
        given: What a local model is given, under the session's rights.
    """

    text: str
    items: tuple[ContextItem, ...]
    left_out: tuple[CubeId, ...]
    tokens: int
    hits: tuple[Hit, ...] = ()
    cache: CubeId | None = None
    adapters: tuple[CubeId, ...] = ()
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


def assemble(
    hits: Sequence[Hit],
    *,
    budget_tokens: int,
    count_tokens: Callable[[str], int],
    nonce: str,
    lead: Sequence[MemCube] = (),
) -> MemoryContext:
    """Choose, best first, what fits a budget, and render it.

    Args:
        hits: What was found.
        budget_tokens: What the whole block may cost.
        count_tokens: Counts the tokens of a text.
        nonce: Fresh for this request, or that of the cache that holds the lead.
        lead: Memories that come first, in this order, whether they were found or not.

    Returns:
        The context; never over the budget. Empty where the lead alone would be.
    """
    frame = count_tokens(render([], nonce))
    first = {hit.id: hit for hit in hits}
    chosen = [(item_of(each), first.get(each.id) or Hit(each, 0.0, {})) for each in lead]
    spent = count_tokens(render([item for item, _hit in chosen], nonce))
    known = {each.id for each in lead}
    for hit in hits:
        if hit.id in known:
            continue
        item = item_of(hit.cube)
        cost = count_tokens(render([item], nonce)) - frame  # each part once: no quadratic work
        if spent + cost <= budget_tokens:
            chosen.append((item, hit))
            spent += cost
    text, tokens = _counted(chosen, count_tokens, nonce)
    while chosen and tokens > budget_tokens:  # a tokenizer may count the whole above its parts
        chosen.pop()
        text, tokens = _counted(chosen, count_tokens, nonce)
    kept = {hit.id for _item, hit in chosen}
    return MemoryContext(
        text,
        tuple(item for item, _hit in chosen),
        tuple(hit.id for hit in hits if hit.id not in kept),
        tokens,
        tuple(hit for _item, hit in chosen),
    )


def for_model(
    engine: Engine, actor: Actor, hits: Sequence[Hit], *, budget_tokens: int, model: LocalModel
) -> MemoryContext:
    """Assemble what was recalled for a local model, with what was made for it.

    Args:
        engine: The operators of the vault.
        actor: Who asks.
        hits: What was found.
        budget_tokens: What the whole block may cost.
        model: The model.
    """
    choice = engine.inner.chooser.best(actor, model, [(hit.id, hit.score) for hit in hits])
    nonce = engine.gate.vault.entropy.token(8).hex()
    count = engine.settings.count_tokens

    def built(lead: Sequence[MemCube], fence: str) -> MemoryContext:
        return assemble(
            hits, budget_tokens=budget_tokens, count_tokens=count, nonce=fence, lead=lead
        )

    found = built(choice.lead, choice.fence or nonce)
    if choice.cache is not None and len(found.items) < len(choice.lead):  # over the budget
        choice = Choice(adapters=choice.adapters)
        found = built((), nonce)
    return _given(engine, actor, found, choice)


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


def _counted(
    chosen: Sequence[tuple[ContextItem, Hit]], count_tokens: Callable[[str], int], nonce: str
) -> tuple[str, int]:
    text = render([item for item, _hit in chosen], nonce) if chosen else ""
    return text, count_tokens(text) if text else 0
