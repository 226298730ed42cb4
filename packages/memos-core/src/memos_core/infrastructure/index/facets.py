"""Which rows have which values, so that a filter becomes a mask without looking at each memory."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

import numpy as np

from memos_core.filters import Condition, Either, Neither, Test, TypedKey
from memos_core.infrastructure.index.entry import BoolArray


class Facets:
    """For every field, the rows of each value that occurs in it."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[TypedKey, list[int]]] = {}

    def add(self, row: int, facets: Iterable[tuple[str, TypedKey]]) -> None:
        """File a row under its values."""
        for name, key in facets:
            self._rows.setdefault(name, {}).setdefault(key, []).append(row)

    def drop(self, row: int, facets: Iterable[tuple[str, TypedKey]]) -> None:
        """Strike a row out under its values, and the values that no other row has."""
        for name, key in facets:
            values = self._rows.get(name, {})
            rows = values.get(key, [])
            place = bisect_left(rows, row)  # rows are filed in their order
            if place < len(rows) and rows[place] == row:
                del rows[place]
            if not rows:
                values.pop(key, None)
            if not values:
                self._rows.pop(name, None)

    def mask(self, condition: Condition, count: int) -> BoolArray:
        """Say which of the first `count` rows meet a condition.

        Returns:
            bool (count,).
        """
        if isinstance(condition, Test):
            return self._test(condition, count)
        if isinstance(condition, Neither):
            return ~self.mask(condition.part, count)
        parts = [self.mask(part, count) for part in condition.parts]
        join = np.logical_or if isinstance(condition, Either) else np.logical_and
        joined: BoolArray = join.reduce(parts)
        return joined

    def _test(self, test: Test, count: int) -> BoolArray:
        values = self._rows.get(test.field, {})
        if test.equals is not None:
            matching = [values[key] for key in test.equals if key in values]
        else:
            matching = [rows for key, rows in list(values.items()) if test.accepts(key)]
        mask: BoolArray = np.zeros(count, dtype=np.bool_)
        for rows in matching:
            chosen = np.asarray(rows)
            mask[chosen[chosen < count]] = True
        return ~mask if test.negated else mask
