"""Vicinity: what was said just before and after a memory, and what was recorded last.

Only among the eligible rows of a snapshot, as everything that a search is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from memos_core.cube import CubeId
from memos_core.operation.retrieval.ranking import TURN_GAP_US, Candidates

REACH: Final = 2
"""How many turns before and after."""
LATEST: Final = 8


def neighbours(
    candidates: Sequence[Candidates], ids: Sequence[CubeId]
) -> tuple[tuple[CubeId, CubeId], ...]:
    """List the turns around memories, each with the memory that it is next to.

    Args:
        candidates: The eligible rows, page by page.
        ids: The memories.
    """
    found: list[tuple[CubeId, CubeId]] = []
    for each in candidates:
        when, space = each.column("when"), each.column("space")
        for cube_id in ids:
            row = each.view.page.row(cube_id)
            places = () if row is None else np.flatnonzero(each.rows == row).tolist()
            for place in places:
                first, last = max(0, place - REACH), min(len(each.rows), place + REACH + 1)
                found += [
                    (each.view.ids[each.rows[other]], cube_id)
                    for other in range(first, last)
                    if other != place
                    and space[other] == space[place]
                    and abs(int(when[other]) - int(when[place])) <= REACH * TURN_GAP_US
                ]
    return tuple(found)


def latest(candidates: Sequence[Candidates], count: int = LATEST) -> tuple[CubeId, ...]:
    """List what was recorded last, page by page, the newest first."""
    found: list[CubeId] = []
    for each in candidates:
        created = each.column("created")
        some = (
            np.argpartition(-created, min(count, len(created) - 1))[:count] if len(created) else ()
        )
        newest = sorted(some, key=lambda place: -int(created[place]))
        found += [each.view.ids[each.rows[place]] for place in newest]
    return tuple(found)
