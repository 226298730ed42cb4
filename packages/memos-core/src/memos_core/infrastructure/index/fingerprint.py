"""Fingerprints of texts: winnowed shingles (Schleimer, Wilkerson and Aiken, 2003).

Of every run of `WINDOW` consecutive shingles of `SHINGLE` words, the one with the smallest hash is
kept. Two texts that share a passage of `PASSAGE` words therefore share a fingerprint, for sure; and
a memory that is shorter is found where the whole of it was copied.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

SHINGLE: Final = 6
WINDOW: Final = 7
PASSAGE: Final = SHINGLE + WINDOW - 1
"""Words that a copied passage must have to be found for sure: 12."""
_MAX_STARTS: Final = 32
"""Where a shingle repeats more often in a memory, as in "a a a …", the first places do."""
_WORD: Final = re.compile(r"\w+", re.UNICODE)


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text, case-folded, with where it stands in characters."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive words that two texts share.

    Args:
        start: The place of its first word in the text that was searched.
        count: How many words.
    """

    start: int
    count: int


def words_of(text: str) -> list[Word]:
    """Split a text into words, with where each stands."""
    return [Word(m[0].casefold(), m.start(), m.end()) for m in _WORD.finditer(text)]


def shingles(words: Sequence[str]) -> list[int]:
    """Hash every run of `SHINGLE` words, to 64 bits each."""
    return [_hash(words[at : at + SHINGLE]) for at in range(len(words) - SHINGLE + 1)]


def winnowed(hashes: Sequence[int]) -> frozenset[int]:
    """Choose the fingerprints among the hashes of a text's shingles.

    >>> sorted(winnowed([5, 3, 9, 4, 8, 7, 6, 1, 2]))
    [1, 3]
    """
    if not hashes:
        return frozenset()
    last = max(len(hashes) - WINDOW + 1, 1)
    return frozenset(min(hashes[at : at + WINDOW]) for at in range(last))


def shared_runs(text: Sequence[str], memory: Sequence[str]) -> list[Run]:
    """Find the passages of a text that a memory holds too.

    Args:
        text: The words of the text that was found elsewhere.
        memory: The words of a memory.

    Returns:
        The longest runs from each place on, not overlapping, in order: those of at least `PASSAGE`
        words, or all of a memory that is shorter.
    """
    least = min(PASSAGE, len(memory))
    if least < SHINGLE:
        return []
    places: dict[tuple[str, ...], list[int]] = {}
    for at in range(len(memory) - SHINGLE + 1):
        starts = places.setdefault(tuple(memory[at : at + SHINGLE]), [])
        if len(starts) < _MAX_STARTS:
            starts.append(at)
    found, at = [], 0
    while at <= len(text) - least:
        starts = places.get(tuple(text[at : at + SHINGLE]), [])
        longest = max((_common(text, at, memory, start) for start in starts), default=0)
        if longest >= least:
            found.append(Run(at, longest))
        at += max(longest, 1) if longest >= least else 1
    return found


@dataclass(frozen=True, slots=True)
class Traced:
    """A memory's fingerprints."""

    cube_id: str
    prints: frozenset[int]


class FingerprintPage:
    """The fingerprints of one realm's memories, kept up to date by its journal.

    Args:
        realm_id: The realm.
    """

    def __init__(self, realm_id: str) -> None:
        self.realm_id = realm_id
        self.seq = 0
        self._lock = threading.Lock()
        self._of_cube: dict[str, frozenset[int]] = {}
        self._cubes: dict[int, set[str]] = {}

    def apply(
        self, entries: Iterable[Traced], *, removed: Iterable[str], damaged: object, seq: int
    ) -> None:
        """Take in what changed; what is damaged has no fingerprints."""
        del damaged
        with self._lock:
            for cube_id in removed:
                for each in self._of_cube.pop(cube_id, ()):
                    self._cubes[each].discard(cube_id)
                    if not self._cubes[each]:
                        del self._cubes[each]
            for entry in entries:
                self._of_cube[entry.cube_id] = entry.prints
                for each in entry.prints:
                    self._cubes.setdefault(each, set()).add(entry.cube_id)
            self.seq = seq

    def view(self) -> FingerprintPage:
        """Return itself: whoever asks checks every candidate against the vault."""
        return self

    def candidates(self, hashes: Iterable[int]) -> set[str]:
        """Name the memories that have one of these fingerprints."""
        with self._lock:
            return {cube_id for each in hashes for cube_id in self._cubes.get(each, ())}

    @property
    def is_sparse(self) -> bool:
        """Whether reading it anew would save memory: never, for nothing is left behind."""
        return False

    @property
    def nbytes(self) -> int:
        """About how much memory the page takes, in bytes."""
        return 300 * len(self._of_cube) + 250 * len(self._cubes)


def _common(text: Sequence[str], at: int, memory: Sequence[str], start: int) -> int:
    most = min(len(text) - at, len(memory) - start)
    for offset in range(most):
        if text[at + offset] != memory[start + offset]:
            return offset
    return most


def _hash(words: Sequence[str]) -> int:
    digest = hashlib.blake2b("\x1f".join(words).encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
