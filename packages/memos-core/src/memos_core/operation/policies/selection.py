"""Selection: which memories go into a prompt under a budget of tokens, and in what order.

A policy says what each candidate is worth; `select` takes the most worth for each token first. That
is the greedy way to fill a knapsack, and with the best single candidate as the alternative it
reaches at least half of what is possible (Dantzig, Operations Research 5, 1957; Sahni, Journal of
the ACM 22, 1975). LRU and LFU are the replacement policies of that name (Denning, Communications
of the ACM 11, 1968, has the working set behind them).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from memos_core.cube import CubeId
from memos_core.errors import InvalidInputError

SHARPNESS: Final = 12.0
"""How much better the better score is. Measured on LoCoMo's dev half and on BEAM: below 6, short
memories crowd out the right ones; far above, one that is long leaves no room for several short."""
_PRIORITIES: Final = {"high": 1.0, "mid": 0.5, "low": 0.25}
_WORD: Final = re.compile(r"\w+")

Why = Literal["room", "duplicate", "past"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A memory that could go into a prompt.

    Args:
        id: Its id.
        score: How well it answers the question.
        tokens: What it costs there.
        text: What it says.
        head: What it may share with others, who then cost less: author, source, trust, day.
        uses: How often this principal used it.
        last_used: When this principal used it last, in microseconds; 0 for never.
        created: When it was recorded, in microseconds.
        when: When it happened, in microseconds; 0 where nobody said.
        speaker: Who said it.
        tags: Its tags.
        priority: `high`, `mid` or `low`.
        past: Whether the time in which it held is over.
        used_for: -1 to 1, how alike the question is to those that it was used for.
    """

    id: CubeId
    score: float
    tokens: int
    text: str = ""
    head: tuple[str, ...] = ()
    uses: int = 0
    last_used: int = 0
    created: int = 0
    when: int = 0
    speaker: str = ""
    tags: frozenset[str] = frozenset()
    priority: str = "mid"
    past: bool = False
    used_for: float = 0.0


Policy = Callable[[Sequence[Candidate]], Sequence[float]]
"""Says what candidates are worth: from 0 for nothing to 1 for the best there could be."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A candidate that is not taken.

    Args:
        id: Its id.
        why: `room`: it would cost too much; `duplicate`: another says the same; `past`: the time
            in which it held is over.
        of: Of a duplicate, the one that says the same.
    """

    id: CubeId
    why: Why
    of: CubeId = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """What goes into a prompt, and what does not.

    Args:
        chosen: What does, the most worth for each token first.
        left_out: What does not, in the same order.
        tokens: What the chosen cost.
    """

    chosen: tuple[CubeId, ...]
    left_out: tuple[LeftOut, ...]
    tokens: int


def semantic(candidates: Sequence[Candidate]) -> tuple[float, ...]:
    """Value what answers the question.

    >>> [round(each, 2) for each in semantic([Candidate(id="a", score=0.8, tokens=1),
    ...                                       Candidate(id="b", score=0.6, tokens=1)])]
    [1.0, 0.03]
    """
    best = max((each.score for each in candidates), default=0.0)
    if best <= 0:
        return tuple(0.0 for _ in candidates)
    return tuple((max(each.score, 0.0) / best) ** SHARPNESS for each in candidates)


def lru(candidates: Sequence[Candidate]) -> tuple[float, ...]:
    """Value what was used, or recorded, most recently; 1, 1/2, 1/3 and so on."""
    touched = sorted({max(each.last_used, each.created) for each in candidates}, reverse=True)
    place = {when: number for number, when in enumerate(touched, start=1)}
    return tuple(1 / place[max(each.last_used, each.created)] for each in candidates)


def lfu(candidates: Sequence[Candidate]) -> tuple[float, ...]:
    """Value what was used most often, by the logarithm of its uses."""
    most = math.log1p(max((each.uses for each in candidates), default=0))
    return tuple(math.log1p(each.uses) / most if most else 0.0 for each in candidates)


def label(tags: Collection[str]) -> Policy:
    """Make a policy that values what bears these tags.

    Args:
        tags: The tags; a candidate is worth the share of them that it bears.
    """
    wanted = frozenset(tags)
    if not wanted or isinstance(tags, str):
        raise InvalidInputError(f"label takes tags such as {{'travel'}}, not {tags!r}")

    def by_label(candidates: Sequence[Candidate]) -> tuple[float, ...]:
        return tuple(len(wanted & each.tags) / len(wanted) for each in candidates)

    return by_label


def priority(candidates: Sequence[Candidate]) -> tuple[float, ...]:
    """Value what is marked as important: 1 for `high`, 1/2 for `mid`, 1/4 for others."""
    return tuple(_PRIORITIES.get(each.priority, 0.25) for each in candidates)


def familiar(candidates: Sequence[Candidate]) -> tuple[float, ...]:
    """Value what was used for questions like this one."""
    return tuple(max(each.used_for, 0.0) for each in candidates)


def composite(weights: Iterable[tuple[Policy, float]]) -> Policy:
    """Make a policy of several.

    Args:
        weights: Policies, each with how much it counts; they are scaled to sum to 1.

    Raises:
        InvalidInputError: There are none, or one weighs nothing or less.

    >>> mixed = composite([(semantic, 3.0), (priority, 1.0)])
    >>> mixed([Candidate(id="a", score=0.8, tokens=1, priority="high")])
    (1.0,)
    """
    parts = tuple(weights)
    total = sum(weight for _policy, weight in parts)
    if not parts or any(not weight > 0 for _policy, weight in parts) or not math.isfinite(total):
        raise InvalidInputError("composite takes policies with positive weights")

    def mixed(candidates: Sequence[Candidate]) -> tuple[float, ...]:
        columns = [(policy(candidates), weight / total) for policy, weight in parts]
        return tuple(
            sum(worths[place] * weight for worths, weight in columns)
            for place in range(len(candidates))
        )

    return mixed


def select(
    candidates: Sequence[Candidate],
    worths: Sequence[float],
    budget: int,
    *,
    head_tokens: int = 0,
    past: bool = False,
) -> Selection:
    """Choose what goes into a prompt.

    What says the same words as another, by the same speaker and of the same day, is a duplicate.
    What differs by a single word is none: that word may be a number, or a not.

    Args:
        candidates: What there is, the best first.
        worths: What each is worth.
        budget: The most tokens.
        head_tokens: What the first of those that share a head costs more.
        past: Also what does not hold any more.

    Returns:
        The selection; what it costs is at most the budget.

    >>> two = [Candidate(id="a", score=0.5, tokens=80), Candidate(id="b", score=0.4, tokens=30)]
    >>> select(two, [1.0, 0.8], 100).chosen
    ('a',)
    """
    left_out: list[LeftOut] = []
    usable: list[tuple[float, int]] = []
    said: dict[tuple[object, ...], CubeId] = {}
    for place, each in enumerate(candidates):
        if each.past and not past:
            left_out.append(LeftOut(each.id, "past"))
        elif (same := said.setdefault(_said(each), each.id)) != each.id:
            left_out.append(LeftOut(each.id, "duplicate", same))
        else:
            usable.append((-max(worths[place], 0.0) / max(each.tokens, 1), place))
    usable.sort()
    order = [candidates[place] for _density, place in usable]
    value = {candidates[place].id: worths[place] for _density, place in usable}
    chosen, spent = _filled(order, budget, head_tokens)
    single = max(
        (each for each in order if each.tokens + head_tokens <= budget),
        key=lambda each: value[each.id],
        default=None,
    )
    if single is not None and value[single.id] > sum(value[each.id] for each in chosen):
        rest = [each for each in order if each is not single]
        chosen, spent = _filled([single, *rest], budget, head_tokens)
    taken = {each.id for each in chosen}
    no_room = [LeftOut(each.id, "room") for each in order if each.id not in taken]
    return Selection(tuple(each.id for each in chosen), (*no_room, *left_out), spent)


def arranged(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Put what was chosen into the order in which it is read.

    Those with one head stand together, those with the best first; within, what happened earlier
    comes earlier, and what has no time keeps its place.

    Args:
        candidates: What was chosen, the best first.
    """
    heads: dict[tuple[str, ...], list[Candidate]] = {}
    for each in candidates:
        heads.setdefault(each.head, []).append(each)
    return [each for several in heads.values() for each in sorted(several, key=lambda c: c.when)]


def _filled(
    order: Sequence[Candidate], budget: int, head_tokens: int
) -> tuple[list[Candidate], int]:
    """Take what fits, one after the other."""
    chosen: list[Candidate] = []
    heads: set[tuple[str, ...]] = set()
    spent = 0
    for each in order:
        cost = each.tokens + (0 if each.head in heads else head_tokens)
        if spent + cost <= budget:
            chosen.append(each)
            heads.add(each.head)
            spent += cost
    return chosen, spent


def _said(each: Candidate) -> tuple[object, ...]:
    """Return what makes two candidates say the same."""
    words = tuple(_WORD.findall(each.text.casefold()))
    day = each.when // 86_400_000_000 if each.when else 0
    return (each.speaker, day, *words) if words else (each.id,)
