"""How memories stand to each other, brought to bear on a ranking.

What was superseded never comes before what took its place, and never without it: whoever asks in
the words of the old memory is shown the new one first. What is linked can be brought along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

from memos_core.cube import CubeId, MemCube
from memos_core.infrastructure.vault import links
from memos_core.infrastructure.vault.links import LinkRow
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.operation.organizing.types import CONTRADICTS, DISTINCT, SUPERSEDES
from memos_core.operation.policies.conflict import LIKELY, SURE, is_asked
from memos_core.operation.retrieval.ranking import Candidates, Ranked
from memos_core.results import Hit

MARGIN: Final = 40
"""How many more than asked for are ranked, so that what takes a place was scored itself."""
SUPERSEDED: Final = 0.5
"""What is left of the score of a memory that was superseded."""
LINKED: Final = 0.9
"""What a memory gets of the score of the one that it is linked with."""
CLOSE: Final = 0.8
"""How well a question must fit the newer one beside the older one, for what is hardly likely."""
LEADING: Final = 3
"""Hits whose contradictions are brought along; this and the next were measured on BEAM."""
PARTNERS: Final = 4
"""How many of them at most."""
_LONGEST: Final = 16
_ABOVE: Final = 1e-9
"""What puts one of two equal scores first."""

Finder = Callable[[CubeId], Ranked | None]
"""Returns a memory that may be shown, unscored."""


@dataclass(frozen=True, slots=True)
class Partner:
    """The other end of a link, with how sure that link is."""

    cube_id: CubeId
    sure: float


@dataclass(frozen=True, slots=True)
class Standing:
    """What the links say of memories that may be shown.

    Args:
        newer: By memory, those that took its place, as far as the question goes.
        against: By memory, those that contradict it.
        near: By memory, those that it is linked with in any other way.
    """

    newer: dict[CubeId, tuple[Partner, ...]]
    against: dict[CubeId, tuple[Partner, ...]]
    near: dict[CubeId, tuple[Partner, ...]]

    def hit(self, ranked: Ranked, cube: MemCube) -> Hit:
        """Make a hit of what was ranked, as it stands."""
        stands = self.superseded_by(cube.id), self.conflicts_with(cube.id)
        return Hit(cube, ranked.score, ranked.why, *stands)

    def superseded_by(self, cube_id: CubeId) -> tuple[CubeId, ...]:
        """Name what most likely took a memory's place."""
        return tuple(e.cube_id for e in self.newer.get(cube_id, ()) if e.sure >= LIKELY)

    def conflicts_with(self, cube_id: CubeId) -> tuple[CubeId, ...]:
        """Name what contradicts a memory."""
        return tuple(each.cube_id for each in self.against.get(cube_id, ()))


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


def standing(
    rows: Iterable[LinkRow], may_show: Callable[[CubeId], bool], asked: AbstractSet[str]
) -> Standing:
    """Sort links by what they say.

    Args:
        rows: The links.
        may_show: Whether a memory may be shown; a link with an end that may not says nothing.
        asked: The stems of the question: what is outdated in one thing gives way only there.
    """
    sorts: tuple[dict[str, dict[str, float]], ...] = ({}, {}, {})
    newer, against, near = sorts

    def add(found: dict[str, dict[str, float]], here: str, there: str, percent: int) -> None:
        partners = found.setdefault(here, {})
        partners[there] = max(percent / 100, partners.get(there, 0.0))

    for row in rows:
        source, target = row.source_id, row.target_id
        if not (may_show(source) and may_show(target)):
            continue
        if row.type == SUPERSEDES:
            if not row.about or is_asked(row.about.split(" "), asked):
                add(newer, target, source, row.percent)
        elif row.type != DISTINCT:
            kind = against if row.type == CONTRADICTS else near
            add(kind, source, target, row.percent)
            add(kind, target, source, row.percent)
    fixed = [
        {here: tuple(Partner(*each) for each in there.items()) for here, there in found.items()}
        for found in sorts
    ]
    return Standing(*fixed)


def current_first(ranked: Sequence[Ranked], known: Standing, find: Finder) -> list[Ranked]:
    """Put what took a memory's place before it.

    What surely did is brought in where it was not ranked; what is only likely must have been; and
    what is hardly likely must fit the question about as well.

    Args:
        ranked: The ranking, best first.
        known: How the memories stand to each other.
        find: Finds what took a place and was not ranked.

    Returns:
        The ranking with the successors in it, best first.
    """
    scored = {each.cube_id: each for each in ranked}
    over: set[CubeId] = set()
    for each in ranked:
        for newer in _successors(each.cube_id, known):
            found = scored.get(newer.cube_id)
            if found is None and newer.sure >= SURE:
                found = find(newer.cube_id)
            if found is None or (newer.sure < LIKELY and found.score < CLOSE * each.score):
                continue
            if newer.sure >= SURE:
                over.add(each.cube_id)
            lift = each.score - found.score
            scored[newer.cube_id] = (
                _moved(found, lift + _ABOVE, "supersedes") if lift >= 0 else found
            )
    for cube_id in over:
        old = scored[cube_id]
        scored[cube_id] = _moved(old, old.score * (SUPERSEDED - 1), "superseded")
    return sorted(scored.values(), key=lambda each: -each.score)


def brought_along(ranked: Sequence[Ranked], k: int, known: Standing, find: Finder) -> list[Ranked]:
    """Bring along what the best are linked with, and what contradicts the very best.

    Args:
        ranked: The ranking, best first.
        k: How many of it count as the best.
        known: How the memories stand to each other.
        find: Finds what was not ranked.
    """
    scored = {each.cube_id: each for each in ranked}

    def bring(cube_id: CubeId, score: float) -> None:
        found = scored.get(cube_id) or find(cube_id)
        if found is not None and found.score < score:
            scored[cube_id] = _moved(found, score - found.score, "linked")

    for each in ranked[:k]:
        for other in known.near.get(each.cube_id, ()):
            bring(other.cube_id, each.score * LINKED)
    best = {each.cube_id for each in ranked[: max(k - PARTNERS, 1)]}
    against = [
        (place, -partner.sure, partner.cube_id, each.score)
        for place, each in enumerate(ranked[:LEADING])
        for partner in known.against.get(each.cube_id, ())
        if partner.cube_id not in best
    ]
    for _place, _sure, cube_id, score in sorted(against)[:PARTNERS]:
        bring(cube_id, score * LINKED)
    return sorted(scored.values(), key=lambda each: -each.score)


def finder(candidates: Sequence[Candidates]) -> Finder:
    """Make what finds memories among those that a request may be shown."""

    def find(cube_id: CubeId) -> Ranked | None:
        for each in candidates:
            row = each.view.row_of(cube_id)
            if row is not None and each.mask[row]:
                return each.unscored(row)
        return None

    return find


def _successors(cube_id: CubeId, known: Standing) -> list[Partner]:
    """List what took a memory's place, and what surely took the place of that; circles end."""
    found: dict[CubeId, Partner] = {}
    frontier = list(known.newer.get(cube_id, ()))
    while frontier and len(found) < _LONGEST:
        here = frontier.pop(0)
        if here.cube_id != cube_id and here.cube_id not in found:
            found[here.cube_id] = here
            later = known.newer.get(here.cube_id, ())
            frontier += [replace(e, sure=min(e.sure, here.sure)) for e in later if e.sure >= SURE]
    return list(found.values())


def _moved(each: Ranked, by: float, why: str) -> Ranked:
    parts = each.why | {why: each.why.get(why, 0.0) + by}
    return replace(each, score=each.score + by, why=parts)
