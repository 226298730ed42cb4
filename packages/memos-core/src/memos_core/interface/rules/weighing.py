"""Weighing: which operation a sentence asks for, and on which of its words.

A reading of a sentence is nothing, or an operation and a stretch of words. Its weight is the sum of
what the sentence's features say for the operation, and of what speaks for the stretch's beginning,
its end, its inside, and the pair of what stands before and after it; the heaviest is taken. The
weights were fitted to utterances with known readings (`tests/fitting.py`) and lie in a file of
JSON: no chance and no model runs here.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from memos_core.interface.rules.features import (
    Token,
    asked_features,
    closing,
    edge_features,
    inner_features,
    opening,
)
from memos_core.interface.rules.finding import Verb

VERBS: Final[tuple[Verb, ...]] = ("remember", "recall", "correct", "forget")
SCALE: Final = 100
"""What a weight is multiplied by to be a whole number: sums of those are exact."""
_NONE: Final = (0,) * (1 + len(VERBS))

Row = tuple[int, ...]
"""Of one feature: the weight for nothing, or for any verb; then for each verb."""


@dataclass(frozen=True, slots=True)
class Heaviest:
    """The heaviest reading.

    Args:
        verb: The operation.
        first: The first token of its target.
        last: The last.
    """

    verb: Verb
    first: int
    last: int


@cache  # a file of the package is the same every time, and a thousand times too large to read anew
def weights() -> Mapping[str, Row]:
    """Read the fitted weights."""
    text = files("memos_core.interface.rules").joinpath("weights.json").read_text("utf-8")
    return {name: tuple(row) for name, row in json.loads(text).items()}


def heaviest(
    tokens: Sequence[Token],
    before: Sequence[Token],
    after: Sequence[Token],
    verbs: Collection[Verb],
    *,
    nothing: bool = True,
) -> Heaviest | None:
    """Find the heaviest reading of a sentence; None where that is nothing.

    Args:
        tokens: Of the sentence.
        before: Of the sentence before it.
        after: Of the one after it.
        verbs: Operations to choose from.
        nothing: Whether nothing is among the readings.
    """
    if not tokens or not verbs:
        return None
    known = weights()
    asked = _summed(asked_features(tokens, before, after), known)
    firsts = [_edge(tokens, each, known, first=True) for each in range(len(tokens))]
    lasts = [_edge(tokens, each, known, first=False) for each in range(len(tokens))]
    inner = [_summed(inner_features(each), known) for each in tokens]
    opened = [opening(tokens, each) for each in range(len(tokens))]
    closed = [closing(tokens, each) for each in range(len(tokens))]
    most: int | None = asked[0] if nothing else None
    best: Heaviest | None = None
    for number, verb in enumerate(VERBS, 1):
        if verb not in verbs:
            continue
        begun: dict[str, tuple[int, int]] = {}  # of each opening, the best beginning so far
        within = 0
        for at in range(len(tokens)):
            fresh = (firsts[at][0] + firsts[at][number] - within, at)
            if opened[at] not in begun or begun[opened[at]] < fresh:
                begun[opened[at]] = fresh
            within += inner[at][0] + inner[at][number]
            end = asked[number] + lasts[at][0] + lasts[at][number] + within
            for name, (weight, first) in begun.items():
                pair = known.get(f"j {name} {closed[at]}", _NONE)
                total = end + weight + pair[0] + pair[number]
                if most is None or total > most:
                    most, best = total, Heaviest(verb, first, at)
    return best


def _edge(tokens: Sequence[Token], at: int, known: Mapping[str, Row], *, first: bool) -> Row:
    return _summed(edge_features(tokens, at, first=first), known)


def _summed(features: Iterable[str], known: Mapping[str, Row]) -> Row:
    rows = [row for each in features if (row := known.get(each)) is not None]
    return tuple(map(sum, zip(*rows, strict=True))) if rows else _NONE
