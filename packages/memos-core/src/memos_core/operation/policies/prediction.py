"""Prediction: which memories the next turn of a conversation will probably need.

What was needed in the last turns is needed again (the working set: Denning, Communications of the
ACM 11, 1968), and so is what was said just before and after it, and what was said last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from memos_core.cube import CubeId

FADES: Final = 0.7
"""What each turn that passes leaves of a memory's chance."""
NEAR: Final = 0.5
"""The chance of a neighbour, as a share of that of the memory beside it."""
LATEST: Final = 0.6
"""The chance of what was said last."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What a turn was about.

    Args:
        found: What was considered, with its score, the best first.
        near: What was said before and after what was placed, each with what it is next to.
        latest: What was recorded last where it looked.
    """

    found: tuple[tuple[CubeId, float], ...]
    near: tuple[tuple[CubeId, CubeId], ...] = ()
    latest: tuple[CubeId, ...] = ()


def predict(turns: Sequence[Turn], size: int) -> tuple[CubeId, ...]:
    """Name what the next turn will probably need, the most probable first.

    Args:
        turns: The turns so far, the last one last.
        size: The most to name.

    >>> first = Turn(found=(("a", 0.8), ("b", 0.4)), near=(("c", "a"),))
    >>> predict([first, Turn(found=(("b", 0.9),))], 2)
    ('b', 'a')
    """
    chances: dict[CubeId, float] = {}
    for age, turn in enumerate(reversed(turns)):
        fresh = FADES**age
        best = max((score for _id, score in turn.found), default=0.0) or 1.0
        own = {each: max(score, 0.0) / best for each, score in turn.found}
        for each, chance in own.items():
            chances[each] = chances.get(each, 0.0) + fresh * chance
        for each, beside in turn.near:
            chances[each] = chances.get(each, 0.0) + fresh * NEAR * own.get(beside, 0.0)
    for each in turns[-1].latest if turns else ():
        chances[each] = chances.get(each, 0.0) + LATEST
    order = sorted(chances.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(each for each, _chance in order[:size])
