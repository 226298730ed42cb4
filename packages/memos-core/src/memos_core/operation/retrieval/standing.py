"""How memories stand to each other, brought to bear on a ranking.

What was superseded never comes before what took its place, and never without it: whoever asks in
the words of the old memory is shown the new one first. What is linked can be brought along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from memos_core.cube import CubeId
from memos_core.infrastructure.vault import links
from memos_core.infrastructure.vault.links import LinkRow
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.operation.organizing.types import CONTRADICTS, SUPERSEDES
from memos_core.operation.retrieval.ranking import Candidates, Ranked

MARGIN: Final = 20
"""How many more than asked for are ranked, so that what takes a place was scored itself."""
SUPERSEDED: Final = 0.5
"""What is left of the score of a memory that was superseded."""
LINKED: Final = 0.9
"""What a memory gets of the score of the one that it is linked with."""
_LONGEST: Final = 16

Finder = Callable[[CubeId], Ranked | None]
"""Returns a memory that may be shown, unscored."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the links say of memories that may be shown.

    Args:
        newer: By memory, those that took its place.
        against: By memory, those that contradict it.
        near: By memory, all that it is linked with.
    """

    newer: dict[CubeId, tuple[CubeId, ...]]
    against: dict[CubeId, tuple[CubeId, ...]]
    near: dict[CubeId, tuple[CubeId, ...]]


def links_of(tx: Transaction, ids: Sequence[CubeId], at: int | None) -> list[LinkRow]:
    """Read the links of memories, and of what took their place, as far as that goes."""
    rows = links.touching(tx, ids, at=at)
    seen, fresh = set(ids), rows
    for _ in range(_LONGEST):
        newer = {row.source_id for row in fresh if row.type == SUPERSEDES} - seen
        if not newer:
            break
        seen |= newer
        fresh = links.touching(tx, sorted(newer), types=[SUPERSEDES], at=at)
        rows += fresh
    return list({row.id: row for row in rows}.values())


def standing(rows: Iterable[LinkRow], may_show: Callable[[CubeId], bool]) -> Standing:
    """Sort links by what they say; a link with an end that may not be shown says nothing."""
    newer: dict[str, list[str]] = {}
    against: dict[str, list[str]] = {}
    near: dict[str, list[str]] = {}
    for row in rows:
        if not (may_show(row.source_id) and may_show(row.target_id)):
            continue
        if row.type == SUPERSEDES:
            newer.setdefault(row.target_id, []).append(row.source_id)
        if row.type == CONTRADICTS:
            against.setdefault(row.source_id, []).append(row.target_id)
            against.setdefault(row.target_id, []).append(row.source_id)
        near.setdefault(row.source_id, []).append(row.target_id)
        near.setdefault(row.target_id, []).append(row.source_id)

    def fixed(found: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
        return {each: tuple(dict.fromkeys(others)) for each, others in found.items()}

    return Standing(fixed(newer), fixed(against), fixed(near))


def current_first(ranked: Sequence[Ranked], known: Standing, find: Finder) -> list[Ranked]:
    """Put what took a memory's place before it.

    Args:
        ranked: The ranking, best first.
        known: How the memories stand to each other.
        find: Finds what took a place and was not ranked.

    Returns:
        The ranking with the successors in it, best first.
    """
    scored = {each.cube_id: each for each in ranked}
    for each in ranked:
        for newer in _successors(each.cube_id, known):
            found = scored.get(newer) or find(newer)
            if found is not None:
                lift = each.score - found.score
                scored[newer] = _moved(found, lift, "supersedes") if lift > 0 else found
    for cube_id in [each for each in scored if any(n in scored for n in known.newer.get(each, ()))]:
        old = scored[cube_id]
        scored[cube_id] = _moved(old, old.score * (SUPERSEDED - 1), "superseded")
    return sorted(scored.values(), key=lambda each: -each.score)


def brought_along(ranked: Sequence[Ranked], k: int, known: Standing, find: Finder) -> list[Ranked]:
    """Bring along what the best are linked with.

    Args:
        ranked: The ranking, best first.
        k: How many of it count as the best.
        known: How the memories stand to each other.
        find: Finds what was not ranked.
    """
    scored = {each.cube_id: each for each in ranked}
    for each in ranked[:k]:
        for other in known.near.get(each.cube_id, ()):
            found = scored.get(other) or find(other)
            lift = 0.0 if found is None else each.score * LINKED - found.score
            if found is not None and lift > 0:
                scored[other] = _moved(found, lift, "linked")
    return sorted(scored.values(), key=lambda each: -each.score)


def finder(candidates: Sequence[Candidates]) -> Finder:
    """Make what finds memories among those that a request may be shown."""

    def find(cube_id: CubeId) -> Ranked | None:
        for each in candidates:
            row = each.view.row_of(cube_id)
            if row is not None and each.mask[row]:
                label = each.view.labels[each.view.columns["label"][row]]
                return Ranked(cube_id, each.view.versions[row], label, 0.0, {})
        return None

    return find


def _successors(cube_id: CubeId, known: Standing) -> list[CubeId]:
    """List what took a memory's place, and what took the place of that; circles end."""
    found: dict[CubeId, None] = {}
    frontier = list(known.newer.get(cube_id, ()))
    while frontier and len(found) < _LONGEST:
        here = frontier.pop(0)
        if here != cube_id and here not in found:
            found[here] = None
            frontier += known.newer.get(here, ())
    return list(found)


def _moved(each: Ranked, by: float, why: str) -> Ranked:
    parts = each.why | {why: each.why.get(why, 0.0) + by}
    return replace(each, score=each.score + by, why=parts)
