"""A page: the memories of one realm as arrays, kept up to date by its journal.

Rows are only ever appended; an update or a removal marks the old row dead. A reader takes a
`PageView`, a snapshot that later changes do not touch, and works on it without a lock. A page whose
dead rows outnumber the living is read anew.

What was forgotten is wiped: its rows lose their vector, words, values and names, also in the
snapshots that a search may still be working on. That search finds at the end that the memory is
gone, and is done again.
"""

from __future__ import annotations

import sys
import threading
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from memos_core.filters import Condition, TypedKey
from memos_core.infrastructure.index.entry import BoolArray, Entry, FloatArray, IntArray
from memos_core.infrastructure.index.facets import Facets

_FIRST_CAPACITY: Final = 64


class _Codes:
    """Small integers for strings that repeat, in the order in which they were met."""

    def __init__(self) -> None:
        self.values: list[str] = []
        self._index: dict[str, int] = {}

    def of(self, value: str) -> int:
        if value not in self._index:
            self._index[value] = len(self.values)
            self.values.append(value)
        return self._index[value]

    def keep(self, used: Iterable[int]) -> None:
        """Forget the strings of all other codes; the codes themselves are not given again."""
        kept = set(used)
        for code, value in enumerate(self.values):
            if code not in kept:
                self._index.pop(value, None)
                self.values[code] = ""


class _Posting:
    """The rows that hold a term, ascending, with how often."""

    __slots__ = ("counts", "rows")

    def __init__(self) -> None:
        self.rows = array("i")
        self.counts = array("f")

    def append(self, row: int, count: int) -> None:
        self.rows.append(row)
        self.counts.append(count)

    def drop(self, row: int) -> None:
        place = bisect_left(self.rows, row)
        if place < len(self.rows) and self.rows[place] == row:
            del self.rows[place]
            del self.counts[place]

    def copy(self, limit: int) -> tuple[IntArray, FloatArray]:
        rows = np.array(self.rows, dtype=np.int64)
        counts = np.array(self.counts, dtype=np.float32)
        end = int(np.searchsorted(rows, limit))
        return rows[:end], counts[:end]


_Held = tuple[tuple[str, ...], tuple[tuple[str, TypedKey], ...]]
"""Under which words and values a row is filed: where to look when it is wiped."""

_COLUMNS: Final = {
    "label": np.int32,
    "space": np.int32,
    "speaker": np.int32,
    "length": np.int32,
    "when": np.int64,
    "created": np.int64,
    "expires": np.int64,
    "archived": np.int8,
    "opaque": np.int8,
}


@dataclass(frozen=True)
class PageView:
    """A snapshot of a page: its first `count` rows, of which some are dead.

    Args:
        page: Where postings and facets are looked up.
        count: How many rows the snapshot has.
        alive: bool (count,).
        vectors: float32 (count, d), rows unit length.
        columns: int arrays (count,): label, space, speaker, length, when, created, expires,
            archived, opaque.
        ids: The memory of each row.
        versions: The version of each row.
        damaged: Memories that are withheld, with their labels.
    """

    page: RealmPage
    count: int
    alive: BoolArray
    vectors: FloatArray
    columns: dict[str, Any]
    ids: Sequence[str]
    versions: Sequence[int]
    damaged: dict[str, str]

    @property
    def labels(self) -> list[str]:
        """The label of each code in the `label` column."""
        return self.page.labels.values

    @property
    def spaces(self) -> list[str]:
        """The path of each code in the `space` column."""
        return self.page.spaces.values

    @property
    def speakers(self) -> list[str]:
        """The name of each code in the `speaker` column."""
        return self.page.speakers.values

    @cached_property
    def order(self) -> IntArray:
        """Rows by space, then time, then as they were recorded: the order of a conversation.

        Never by row number, which changes with what others write, and so would move scores.
        """
        keys = (self.columns["created"], self.columns["when"], self.columns["space"])
        ordered: IntArray = np.lexsort(keys)
        return ordered

    def row_of(self, cube_id: str) -> int | None:
        """Return the row of a memory, or None where the snapshot has none that is alive."""
        row = self.page.row_of(cube_id)
        return row if row is not None and row < self.count and self.alive[row] else None

    def posting(self, term: str) -> tuple[IntArray, FloatArray] | None:
        """Return the rows that hold a term and how often, or None if no row does."""
        return self.page.posting(term, self.count)

    def matching(self, condition: Condition) -> BoolArray:
        """Say which rows meet a filter, as bool (count,)."""
        return self.page.matching(condition, self.count)


class RealmPage:
    """The memories of one realm as arrays.

    Args:
        realm_id: The realm.
        dims: The dimensions d of its vectors.
    """

    def __init__(self, realm_id: str, dims: int) -> None:
        self.realm_id = realm_id
        self.seq = 0
        self.labels = _Codes()
        self.spaces = _Codes()
        self.speakers = _Codes()
        self._dims = dims
        self._lock = threading.Lock()
        self._count = 0
        self._vectors: FloatArray = np.zeros((_FIRST_CAPACITY, dims), dtype=np.float32)
        self._columns: dict[str, Any] = {
            name: np.zeros(_FIRST_CAPACITY, dtype=kind) for name, kind in _COLUMNS.items()
        }
        self._alive: BoolArray = np.zeros(_FIRST_CAPACITY, dtype=np.bool_)
        self._ids: list[str] = []
        self._held: list[_Held] = []
        self._versions: list[int] = []
        self._row_of: dict[str, int] = {}
        self._postings: dict[str, _Posting] = {}
        self._facets = Facets()
        self._damaged: dict[str, str] = {}
        self._view: PageView | None = None

    def row(self, cube_id: str) -> int | None:
        """Return the row of a memory; None where the page has none of it."""
        return self._row_of.get(cube_id)

    def apply(
        self, entries: Iterable[Entry], *, removed: Iterable[str], damaged: dict[str, str], seq: int
    ) -> None:
        """Take in what changed.

        Args:
            entries: The present state of memories that were added or changed.
            removed: Memories that are no longer there, or were replaced; those that do not come
                back among the entries are wiped.
            damaged: Memories to withhold, with their labels.
            seq: The last journal entry that this covers.
        """
        with self._lock:
            gone = set(removed)
            for cube_id in gone:
                self._damaged.pop(cube_id, None)
                row = self._row_of.pop(cube_id, None)
                if row is not None:
                    self._alive[row] = False
            for entry in entries:
                self._append(entry)
                gone.discard(entry.cube_id)
            self._damaged |= damaged
            self._wipe(gone.difference(damaged))
            self.seq = seq
            self._view = None

    def _append(self, entry: Entry) -> None:
        row = self._count
        if row == len(self._alive):
            self._grow()
        self._vectors[row] = entry.vector
        values = {
            "label": self.labels.of(entry.label_id),
            "space": self.spaces.of(entry.space),
            "speaker": -1 if entry.speaker is None else self.speakers.of(entry.speaker),
            "length": len(entry.terms),
            "when": entry.when,
            "created": entry.created,
            "expires": entry.expires,
            "archived": entry.archived,
            "opaque": entry.opaque,
        }
        for name, value in values.items():
            self._columns[name][row] = value
        self._alive[row] = True
        self._ids.append(entry.cube_id)
        self._versions.append(entry.version)
        self._row_of[entry.cube_id] = row
        counts: dict[str, int] = {}
        for term in entry.terms:
            counts[term] = counts.get(term, 0) + 1
        terms = tuple(map(sys.intern, counts))  # one string for all rows that have the word
        for term in terms:
            self._postings.setdefault(term, _Posting()).append(row, counts[term])
        self._facets.add(row, entry.facets)
        self._held.append((terms, entry.facets))
        self._count = row + 1

    def _wipe(self, gone: set[str]) -> None:
        """Wipe every row, also of earlier versions, of memories that are there no more."""
        if not gone:
            return
        rows = [row for row, cube_id in enumerate(self._ids) if cube_id in gone]
        if not rows:
            return
        self._vectors[rows] = 0
        for row in rows:
            terms, facets = self._held[row]
            for term in terms:
                posting = self._postings[term]
                posting.drop(row)
                if not posting.rows:
                    del self._postings[term]
            self._facets.drop(row, facets)
            self._ids[row], self._held[row] = "", ((), ())
        speakers = self._columns["speaker"]
        speakers[rows] = -1
        self.speakers.keep(np.unique(speakers[: self._count]).tolist())

    def _grow(self) -> None:
        """Double the arrays; snapshots keep the old ones."""
        capacity = 2 * len(self._alive)

        def widened(old: Any) -> Any:
            new = np.zeros((capacity, *old.shape[1:]), dtype=old.dtype)
            new[: self._count] = old[: self._count]
            return new

        self._vectors = widened(self._vectors)
        self._alive = widened(self._alive)
        self._columns = {name: widened(column) for name, column in self._columns.items()}

    def view(self) -> PageView:
        """Take a snapshot of the page as it stands."""
        with self._lock:
            if self._view is None:
                count = self._count
                self._view = PageView(
                    page=self,
                    count=count,
                    alive=self._alive[:count].copy(),
                    vectors=self._vectors[:count],
                    columns={name: column[:count] for name, column in self._columns.items()},
                    ids=self._ids,
                    versions=self._versions,
                    damaged=dict(self._damaged),
                )
            return self._view

    def row_of(self, cube_id: str) -> int | None:
        """Return the row of a memory's present version."""
        with self._lock:
            return self._row_of.get(cube_id)

    def terms_of(self, row: int) -> tuple[str, ...]:
        """Return the words of a row, stemmed, each once."""
        with self._lock:
            return self._held[row][0]

    def posting(self, term: str, limit: int) -> tuple[IntArray, FloatArray] | None:
        """Return the rows below `limit` that hold a term, ascending, and how often."""
        with self._lock:
            posting = self._postings.get(term)
            return None if posting is None else posting.copy(limit)

    def matching(self, condition: Condition, limit: int) -> BoolArray:
        """Say which rows below `limit` meet a filter."""
        with self._lock:
            return self._facets.mask(condition, limit)

    @property
    def is_sparse(self) -> bool:
        """Whether the dead rows outnumber the living, so that reading it anew pays."""
        return self._count > 1024 and len(self._row_of) * 2 < self._count

    @property
    def nbytes(self) -> int:
        """About how much memory the page takes, in bytes."""
        columns = sum(int(column.nbytes) for column in self._columns.values())
        words = sum(400 + 8 * len(posting.rows) for posting in self._postings.values())
        return int(self._vectors.nbytes) + columns + self._alive.nbytes + words + 1100 * self._count
