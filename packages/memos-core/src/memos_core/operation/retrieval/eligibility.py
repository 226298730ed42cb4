"""Which rows a request is about: readable, unexpired, in scope and inside the filter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memos_core.cube import Trust
from memos_core.filters import Condition, asks_for
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.names import within
from memos_core.infrastructure.index.entry import BoolArray
from memos_core.infrastructure.index.page import PageView


@dataclass(frozen=True, slots=True)
class Scope:
    """What a request is about.

    Args:
        actor: Who asks.
        space: Only this subtree; None is everything that the actor may read.
        condition: Only what meets this.
        min_trust: Only what is trusted at least so far.
    """

    actor: Actor
    space: str | None
    condition: Condition | None
    min_trust: Trust = Trust.LOW

    @property
    def subtrees(self) -> tuple[str, ...]:
        """The subtrees that all must hold a memory for it to count."""
        return tuple(path for path in (self.space, self.actor.bound) if path is not None)


def eligible(view: PageView, allowed: BoolArray, scope: Scope, now: int) -> BoolArray:
    """Say which rows of a page a request is about.

    Args:
        view: The page's snapshot.
        allowed: bool (labels,), for each of the page's labels whether the actor may read it.
        scope: The request.
        now: Microseconds.

    Returns:
        bool (count,).
    """
    if not allowed.any():
        return np.zeros(view.count, dtype=np.bool_)
    # Rows may bear a label that was met after `allowed` was decided; those are not readable yet.
    codes = view.columns["label"]
    known = codes < len(allowed)
    mask: BoolArray = view.alive & known & allowed[np.where(known, codes, 0)]
    mask &= view.columns["expires"] > now
    if scope.condition is None or not asks_for(scope.condition, "state"):
        mask &= view.columns["archived"] == 0
    if scope.condition is None or not asks_for(scope.condition, "kind"):
        mask &= view.columns["opaque"] == 0
    for subtree in scope.subtrees:
        inside = np.asarray([within(path, subtree) for path in view.spaces], dtype=np.bool_)
        mask &= inside[view.columns["space"]]
    if scope.condition is not None:
        mask &= view.matching(scope.condition)
    return mask
