"""MemScheduler: which memories a request gets, of which kind, in which order, and why.

Candidates come from a search. A policy values them, and what is worth most for its tokens fills the
budget (`policies.selection`). For a model there is more: a KV cache may begin the prompt, and
adapters may be on. Only what is placed was used: it alone stands in the ledger's entry.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Final

from memos_core.clock import to_micros
from memos_core.cube import CubeId, MemCube
from memos_core.errors import DamagedError, InvalidInputError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.vault.records import Damage
from memos_core.memory.fence import ContextItem, item_of, render
from memos_core.operation.gate import Gate, Refusal
from memos_core.operation.inner.choosing import Choice, Chooser
from memos_core.operation.inner.injecting import Injector
from memos_core.operation.policies.prediction import Turn
from memos_core.operation.policies.selection import (
    Candidate,
    LeftOut,
    Policy,
    arranged,
    select,
    semantic,
)
from memos_core.operation.retrieval.eligibility import Scope
from memos_core.operation.retrieval.options import SearchOptions
from memos_core.operation.retrieval.ranking import Ranked
from memos_core.operation.retrieval.recall import Question, Recall, Snapshot
from memos_core.operation.retrieval.standing import Standing
from memos_core.operation.retrieval.vicinity import latest, neighbours
from memos_core.operation.upkeep.folding import Use, used_by
from memos_core.operation.workingset import WorkingSet
from memos_core.results import Hit
from memos_core.settings import Settings

if TYPE_CHECKING:
    from memos_core.memory.runtime import LocalModel

VERB: Final = "memos.context"
_MORE: Final = 8
"""How many that are left out are tried once more, where the block came out below the budget."""
_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextOptions:
    """How a context is chosen.

    Args:
        policy: What a memory is worth; see `memos_core.operation.policies.selection`.
        search: The weights of the search that finds the candidates.
        past: Also what does not hold any more, marked as such.
        adapters: For a model, the most adapters that are on at once; 0 for none.
        caches: For a model, whether a KV cache may begin the prompt.

    Raises:
        InvalidInputError: A policy that cannot be called, or a number below 0.
    """

    policy: Policy = semantic
    search: SearchOptions = field(default_factory=SearchOptions)
    past: bool = False
    adapters: int = 2
    caches: bool = True

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        if not callable(self.policy) or not isinstance(self.search, SearchOptions):
            raise InvalidInputError("policy is a function such as semantic, search a SearchOptions")
        if isinstance(self.adapters, bool) or not isinstance(self.adapters, int):
            raise InvalidInputError(f"adapters is a whole number, not {self.adapters!r}")
        if self.adapters < 0:
            raise InvalidInputError(f"adapters is at least 0, not {self.adapters}")


@dataclass(frozen=True, slots=True)
class Request:
    """What a context is asked for, checked.

    Args:
        question: What is searched.
        budget_tokens: What the block may cost.
        options: How it is chosen.
        model: The local model that it is for.
        working: The session's working set.
    """

    question: Question
    budget_tokens: int
    options: ContextOptions
    model: LocalModel | None = None
    working: WorkingSet = field(default_factory=WorkingSet)


@dataclass(frozen=True, slots=True)
class Schedule:
    """What a request gets.

    Args:
        text: The block.
        items: What is in it, in order.
        hits: The hits behind the items, in the same order.
        left_out: What was considered and is not in it, most worth for its tokens first.
        tokens: What the block costs.
        reasons: Of everything that was considered, why it is in the block or is not.
        choice: What a model is given beside the text.
        scores: Of everything that was considered, how well it answers.
        warnings: What the caller must know.
    """

    text: str = ""
    items: tuple[ContextItem, ...] = ()
    hits: tuple[Hit, ...] = ()
    left_out: tuple[CubeId, ...] = ()
    tokens: int = 0
    reasons: Mapping[CubeId, str] = field(default_factory=dict)
    choice: Choice = field(default_factory=Choice)
    scores: Mapping[CubeId, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Block:
    """What there is to make a block of.

    Args:
        hits: The candidates, by id.
        items: How each stands in a block.
        budget: The most tokens.
        count: Counts the tokens of a text.
        fence: The nonce.
        lead: What the block begins with.
    """

    hits: Mapping[CubeId, Hit]
    items: Mapping[CubeId, ContextItem]
    budget: int
    count: Callable[[str], int]
    fence: str
    lead: tuple[MemCube, ...] = ()

    def rendered(self, chosen: Sequence[Candidate]) -> tuple[str, int, list[ContextItem]]:
        """Render the lead and what was chosen, and count what that costs."""
        items = [self.items[each.id] for each in arranged(chosen)]
        items = [*(item_of(each) for each in self.lead), *items]
        text = render(items, self.fence) if items else ""
        return text, self.count(text) if text else 0, items


class Scheduler:
    """Chooses and places memories.

    Args:
        gate: Decides and records.
        recall: Finds candidates.
        chooser: Chooses what a model is given from within.
        injector: Loads that ahead.
        settings: Limits.
    """

    def __init__(
        self,
        gate: Gate,
        recall: Recall,
        chooser: Chooser,
        injector: Injector,
        settings: Settings,
    ) -> None:
        self._gate = gate
        self._recall = recall
        self._chooser = chooser
        self._injector = injector
        self._settings = settings

    def schedule(self, scope: Scope, request: Request) -> Schedule:
        """Choose what a request gets, and record what that is.

        Args:
            scope: Who asks, and about what.
            request: What for.
        """
        made: list[Schedule] = []
        stands: list[Standing] = []

        def choose(snapshot: Snapshot) -> list[Ranked]:
            ranked, known = self._recall.best(scope, snapshot, request.question)
            stands[:] = [known]
            return ranked

        def pick(
            snapshot: Snapshot, ranked: list[Ranked], seen: list[MemCube | Damage]
        ) -> list[Ranked]:
            hits = {
                each.cube_id: stands[0].hit(each, cube)
                for each, cube in zip(ranked, seen, strict=True)
                if isinstance(cube, MemCube)
            }
            lost = {*snapshot.damaged, *(e.cube.id for e in seen if isinstance(e, Damage))}
            warnings = [f"memory {each} is damaged on disk and withheld" for each in sorted(lost)]
            schedule = self._placed(scope.actor, request, hits, snapshot.now)
            made[:] = [replace(schedule, warnings=tuple(warnings))]
            return self._read(scope.actor, schedule, {each.cube_id: each for each in ranked})

        try:
            snapshot, _read, _found = self._recall.committed(scope, VERB, choose, pick)
        except Refusal:  # what was made for the model went meanwhile: the words alone are placed
            plain = replace(request, options=replace(request.options, adapters=0, caches=False))
            return self.schedule(scope, plain)
        self._learn(snapshot, made[0], request.working)
        return made[0]

    def preload(
        self, scope: Scope, working: WorkingSet, model: LocalModel | None
    ) -> tuple[CubeId, ...]:
        """Make ready what the next turn will probably need.

        Args:
            scope: Who will ask.
            working: What the turns so far were about.
            model: The model that will be given it.

        Returns:
            What was made ready: of what was predicted, all that may be read now.
        """
        wanted = working.wanted()
        if not wanted or scope.actor.at is not None:
            return ()
        self._recall.refresh(scope)
        ready: list[CubeId] = []
        with self._gate.vault.read() as tx:
            for each in wanted:
                with suppress(Refusal, DamagedError):
                    ready.append(self._gate.readable(tx, scope.actor, each).cube.id)
        if model is not None:
            found = [(each, 1.0 / place) for place, each in enumerate(ready, start=1)]
            choice = self._chooser.best(scope.actor, model, found)
            self._injector.preload(scope.actor, choice.cache, choice.adapters, model)
        return tuple(ready)

    def _learn(self, snapshot: Snapshot, schedule: Schedule, working: WorkingSet) -> None:
        """Take a turn into the working set."""
        placed = [hit.id for hit in schedule.hits]
        found = tuple((each, schedule.scores.get(each, 0.0)) for each in schedule.reasons)
        near = neighbours(snapshot.candidates, placed)
        working.saw(Turn(found, near, latest(snapshot.candidates)), placed)

    def _placed(
        self, actor: Actor, request: Request, hits: Mapping[CubeId, Hit], now: int
    ) -> Schedule:
        """Place what was found, for a model with what was made for it."""
        model, options = request.model, request.options
        count, choice = self._settings.count_tokens, Choice()
        if model is not None:
            count = _counting(model)
            found = [(hit.id, hit.score) for hit in hits.values()]
            terms = {word.casefold() for word in _WORD.findall(request.question.text)}
            choice = self._chooser.best(
                actor, model, found, terms=terms, most=options.adapters, caches=options.caches
            )
        ended = {each: _ended(hit.cube, now) for each, hit in hits.items()}
        items = {each: item_of(hit.cube, until=ended[each]) for each, hit in hits.items()}
        fence = choice.fence or self._gate.vault.entropy.token(8).hex()
        block = _Block(hits, items, request.budget_tokens, count, fence, choice.lead)
        if choice.lead and block.rendered([])[1] > request.budget_tokens:
            choice = Choice(adapters=choice.adapters)
            fence = self._gate.vault.entropy.token(8).hex()
            block = _Block(hits, items, request.budget_tokens, count, fence)
        lead = {each.id for each in choice.lead}
        candidates = self._candidates(actor, block, ended, options.policy)
        rest = [each for each in candidates if each.id not in lead]
        return _filled(block, rest, options, choice)

    def _uses(self, actor: Actor, ids: Sequence[CubeId]) -> Mapping[CubeId, Use]:
        """Return how often this principal used memories, and when last."""
        with self._gate.vault.read() as tx:
            principal_id = self._gate.registry.find_principal(tx, actor.principal)
            return used_by(tx, ids, principal_id) if principal_id else {}

    def _candidates(
        self,
        actor: Actor,
        block: _Block,
        ended: Mapping[CubeId, date | None],
        policy: Policy,
    ) -> list[Candidate]:
        """Say of each hit what decides about it."""
        uses = {} if policy is semantic else self._uses(actor, list(block.hits))  # it asks for none
        made = []
        for each, hit in block.hits.items():
            meta, item = hit.cube.meta, block.items[each]
            count, last = uses.get(each, (0, 0))
            made.append(
                Candidate(
                    id=each,
                    score=hit.score,
                    tokens=max(block.count(_alone(item)), 1),
                    text=item.text,
                    head=(item.by, item.source, item.trust, item.time[:10]),
                    uses=count,
                    last_used=last,
                    created=_micros(meta.created),
                    when=_micros(meta.occurred_at),
                    speaker=meta.speaker or "",
                    tags=frozenset(meta.tags),
                    priority=meta.priority,
                    past=ended[each] is not None,
                )
            )
        return made

    def _read(
        self, actor: Actor, schedule: Schedule, ranked: Mapping[CubeId, Ranked]
    ) -> list[Ranked]:
        """List what is read: what is placed, what comes with a cache, the cache, the adapters."""
        choice = schedule.choice
        ids = [hit.id for hit in schedule.hits]
        ids += [*choice.adapters, *([] if choice.cache is None else [choice.cache])]
        more = [each for each in ids if each not in ranked]
        found = dict(ranked)
        if more:
            with self._gate.vault.read() as tx:
                for each in more:
                    cube = self._gate.readable(tx, actor, each).cube
                    found[each] = Ranked(each, cube.version, cube.label_id, 0.0, {})
        return [found[each] for each in dict.fromkeys(ids)]


def _filled(
    block: _Block, candidates: Sequence[Candidate], options: ContextOptions, choice: Choice
) -> Schedule:
    """Fill a block; it never costs more than the budget, whatever counts."""
    worths = [float(each) for each in options.policy(candidates)]
    if len(worths) != len(candidates):
        raise InvalidInputError("a policy gives one worth for each candidate")
    frame = block.rendered([])[1] or block.count(render([], block.fence))
    selection = select(
        candidates,
        worths,
        max(block.budget - frame, 0),
        head_tokens=_head_tokens(block, candidates),
        past=options.past,
    )
    by_id = {each.id: each for each in candidates}
    chosen = _fitting(block, [by_id[each] for each in selection.chosen])
    kept = {each.id for each in chosen}
    cut = [LeftOut(each, "room") for each in selection.chosen if each not in kept]
    left = [*cut, *selection.left_out]
    chosen = _topped(block, chosen, [by_id[each.id] for each in left if each.why == "room"])
    text, tokens, items = block.rendered(chosen)
    if tokens > block.budget:  # where not even the frame fits; a lead that does not is not here
        text, tokens, items, chosen = "", 0, [], []
    kept = {each.id for each in chosen}
    left = [each for each in left if each.id not in kept]
    known = {each.id: Hit(each, 0.0, {}) for each in block.lead} | dict(block.hits)
    return Schedule(
        text,
        tuple(items),
        tuple(known[each.id] for each in items),
        tuple(each.id for each in left),
        tokens,
        _reasons(block, candidates, worths, left, choice),
        choice,
        {each.id: each.score for each in candidates},
    )


def _fitting(block: _Block, chosen: Sequence[Candidate]) -> list[Candidate]:
    """Cut what was chosen down to what fits as a whole: a tokenizer may count otherwise."""
    low, high = 0, len(chosen)
    if block.rendered(chosen)[1] <= block.budget:
        return list(chosen)
    while low < high:  # the most of the first that fit
        middle = (low + high + 1) // 2
        if block.rendered(chosen[:middle])[1] <= block.budget:
            low = middle
        else:
            high = middle - 1
    return list(chosen[:low])


def _topped(
    block: _Block, chosen: Sequence[Candidate], room: Sequence[Candidate]
) -> list[Candidate]:
    """Add what fits all the same: what several share was counted high."""
    found, free = list(chosen), block.budget - block.rendered(chosen)[1]
    tried = 0
    for each in room:
        if each.tokens > free or tried == _MORE:
            continue
        tried += 1
        tokens = block.rendered([*found, each])[1]
        if tokens <= block.budget:
            found.append(each)
            free = block.budget - tokens
    return found


def _reasons(
    block: _Block,
    candidates: Sequence[Candidate],
    worths: Sequence[float],
    left: Sequence[LeftOut],
    choice: Choice,
) -> dict[CubeId, str]:
    """Say of everything that was considered why it is in the block, or is not."""
    said = {each.id: f"the block of KV cache {choice.cache} begins with it" for each in block.lead}
    why = {each.id: each for each in left}
    for each, worth in zip(candidates, worths, strict=True):
        out = why.get(each.id)
        told = f"worth {worth:.2f} for {each.tokens} tokens"
        if out is None:
            parts = block.hits[each.id].why.items()
            said[each.id] = f"{told}: " + ", ".join(f"{name} {value:.2f}" for name, value in parts)
        elif out.why == "room":
            said[each.id] = f"left out, no room: {told}"
        elif out.why == "duplicate":
            said[each.id] = f"left out: it says the same as {out.of}"
        else:
            said[each.id] = "left out: it does not hold any more"
    return said


def _head_tokens(block: _Block, candidates: Sequence[Candidate]) -> int:
    """Count what the first of those that share a head costs more than the others."""
    if not candidates:
        return 0
    item = block.items[candidates[0].id]
    frame = block.count(render([], block.fence))
    whole = block.count(render([item], block.fence)) - frame
    return max(whole - candidates[0].tokens, 0)


def _alone(item: ContextItem) -> str:
    """Write an item that has its head in common with the one above it."""
    text = item.text.replace("\n", "\n    ")
    return f"[10] id={item.id} speaker={item.speaker}\n    {text}\n"


def _counting(model: LocalModel) -> Callable[[str], int]:
    """Return what counts the tokens of a text as a model does."""
    return lambda text: len(model.tokens(text, begins=False)) if text else 0


def _ended(cube: MemCube, now: int) -> date | None:
    """Return since when a memory does not hold any more; None where it does."""
    until = cube.meta.valid_to
    return until if isinstance(until, datetime) and to_micros(until) <= now else None


def _micros(when: date | None) -> int:
    return to_micros(when) if isinstance(when, datetime) else 0
