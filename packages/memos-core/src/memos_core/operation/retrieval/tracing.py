"""Tracing: which readable memories a text that was found elsewhere came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memos_core.cube import MemCube
from memos_core.infrastructure.index.fingerprint import (
    FingerprintPage,
    Run,
    Traced,
    Word,
    shared_runs,
    shingles,
    winnowed,
    words_of,
)
from memos_core.infrastructure.index.follower import Follower
from memos_core.infrastructure.vault.records import Indexable, Record, fetch
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.memory.plaintext import PlaintextIndexer
from memos_core.operation.gate import Gate
from memos_core.operation.retrieval.eligibility import Scope
from memos_core.operation.retrieval.ranking import Ranked
from memos_core.operation.retrieval.realms import touched
from memos_core.operation.retrieval.recall import Recall, Snapshot


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage of the text that a memory holds too.

    Args:
        start: Its first character in the text.
        end: The character after its last.
        words: How many words it has.
    """

    start: int
    end: int
    words: int


@dataclass(frozen=True, slots=True)
class Trace:
    """A memory that a text came from.

    Args:
        cube: The memory.
        passages: What was copied, in the order of the text.
        words: How many words of the text it holds.
    """

    cube: MemCube
    passages: tuple[Passage, ...]
    words: int


class Tracer:
    """Finds where a text came from.

    Args:
        gate: Decides and records.
        recall: Commits reads.
        follower: Keeps the fingerprints of realms.
    """

    def __init__(
        self, gate: Gate, recall: Recall, follower: Follower[Traced, FingerprintPage]
    ) -> None:
        self._gate = gate
        self._recall = recall
        self._follower = follower

    def trace(self, scope: Scope, text: str, most: int) -> list[Trace]:
        """Find the memories that share a passage with a text, the longest share first.

        Args:
            scope: Who asks, and about what.
            text: The text.
            most: How many to return at most.
        """
        words = words_of(text)
        plain = [word.text for word in words]

        def choose(snapshot: Snapshot) -> list[Ranked]:
            found = self._matches(scope, snapshot, plain)
            return sorted(found, key=lambda each: (-each.score, each.cube_id))[:most]

        _snapshot, _ranked, found = self._recall.committed(scope, "memos.trace", choose)
        cubes = [each for each in found if isinstance(each, MemCube)]
        return [_traced(cube, words, _runs(plain, cube)) for cube in cubes]

    def _matches(self, scope: Scope, snapshot: Snapshot, plain: Sequence[str]) -> list[Ranked]:
        """Compare the text with every eligible memory that shares a fingerprint with it."""
        hashes = shingles(plain)
        eligible = {each.view.ids[row]: row for each in snapshot.candidates for row in each.rows}
        if not hashes or not eligible:
            return []
        with self._gate.vault.read() as tx:
            ids = self._candidates(tx, scope, snapshot, hashes, eligible)
            found = fetch(tx, ids)
            cubes = [
                (record, self._gate.shown(tx, scope.actor, record))
                for record in found.values()
                if isinstance(record, Record)
            ]
        ranked = []
        for record, cube in cubes:
            count = sum(run.count for run in _runs(plain, cube))
            if count:
                row = record.cube
                ranked.append(Ranked(row.id, row.version, row.label_id, float(count), {}))
        return ranked

    def _candidates(
        self,
        tx: Transaction,
        scope: Scope,
        snapshot: Snapshot,
        hashes: Sequence[int],
        eligible: Mapping[str, int],
    ) -> list[str]:
        found: set[str] = set()
        for realm_id, seq in touched(tx, snapshot.access.rights, scope):
            page = self._follower.follow(tx, realm_id, seq, tx.embedder or "", 0)
            found |= page.candidates(hashes)
        return sorted(found & eligible.keys())


def fingerprinted(indexer: PlaintextIndexer, found: Indexable) -> Traced:
    """Take the fingerprints of a memory, as its least cleared reader sees it."""
    words = [word.text for word in words_of(indexer.text(found))]
    return Traced(found.record.cube.id, winnowed(shingles(words)))


def _runs(plain: Sequence[str], cube: MemCube) -> list[Run]:
    return shared_runs(plain, [word.text for word in words_of(cube.text)])


def _traced(cube: MemCube, words: Sequence[Word], runs: Sequence[Run]) -> Trace:
    passages = tuple(
        Passage(words[run.start].start, words[run.start + run.count - 1].end, run.count)
        for run in runs
    )
    return Trace(cube, passages, sum(run.count for run in runs))
