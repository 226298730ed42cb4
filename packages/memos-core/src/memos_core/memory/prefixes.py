"""Shared prefixes: a radix tree of runs of tokens, each node known by a hash of its way.

The edges are runs that are stored as wholes, so that a run which holds one memory is never a part
of what is kept for another. A node's key is the hash of its parent's key and of the run that leads
to it; equal keys mean equal tokens before it, computed by the same model in the same way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Generic, TypeVar

T = TypeVar("T")


def keys_of(root: str, runs: Iterable[Sequence[int]]) -> list[str]:
    """Return the keys of the nodes that runs of tokens lead to, one after the other.

    Args:
        root: What they are computed by, and how: a model's fingerprint, a precision.
        runs: The runs.

    >>> one, two = keys_of("m", [[1, 2], [3]]), keys_of("m", [[1, 2], [4]])
    >>> one[0] == two[0], one[1] == two[1]
    (True, False)
    """
    found: list[str] = []
    key = hashlib.sha256(root.encode("utf-8")).hexdigest()
    for run in runs:
        text = f"{key} {' '.join(map(str, run))}"
        key = hashlib.sha256(text.encode("ascii")).hexdigest()
        found.append(key)
    return found


def runs_of(ids: Sequence[int], ends: Iterable[int]) -> list[tuple[int, ...]]:
    """Cut token ids into runs.

    Args:
        ids: The ids.
        ends: Where runs end; what comes after the last is one too.

    >>> runs_of([5, 6, 7], [1])
    [(5,), (6, 7)]
    """
    cuts = sorted({0, len(ids), *(end for end in ends if 0 < end < len(ids))})
    return [tuple(ids[begin:end]) for begin, end in pairwise(cuts)]


class PrefixTree(Generic[T]):
    """What is stored of prefixes, by the keys of their nodes.

    Args:
        nodes: By key, what is stored of the run that leads there.
    """

    def __init__(self, nodes: Mapping[str, T]) -> None:
        self._nodes = dict(nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def longest(self, keys: Sequence[str]) -> list[T]:
        """Go down the tree as far as it is stored.

        Args:
            keys: The nodes' keys on the way, from the root.

        Returns:
            What is stored of each run, without a gap.
        """
        found: list[T] = []
        for key in keys:
            if key not in self._nodes:
                break
            found.append(self._nodes[key])
        return found
