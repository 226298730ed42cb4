"""Ranking: exact scores over the eligible rows, and over nothing else.

Document frequencies, mean lengths and windows are computed from the rows that the caller may see,
so a memory that the caller may not read cannot move a score by one bit. A row's cosine does not
depend on where the row lies (`np.vecdot` works row by row; a blocked matrix product would not
promise it).

The two parts are on fixed scales and not stretched to each search's best: the cosine itself, and
BM25 divided by the most that the question's terms could reach.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from memos_core.infrastructure.index.analysis import words
from memos_core.infrastructure.index.entry import BoolArray, FloatArray, IntArray
from memos_core.infrastructure.index.page import PageView
from memos_core.operation.retrieval.options import SearchOptions

K1: Final = 1.2
B: Final = 0.75
TURN_GAP_US: Final = 3_600_000_000
"""Turns further apart than an hour (in microseconds) are not one conversation."""

_MICROSECOND: Final = timedelta(microseconds=1)

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Candidates:
    """The eligible rows of one page.

    Args:
        view: The page's snapshot.
        mask: bool (count,), which rows of the page are eligible.
        rows: int64 (m,), the same rows in the order of the conversation.
    """

    view: PageView
    mask: BoolArray
    rows: IntArray

    def column(self, name: str) -> Any:
        """Return one column of the eligible rows, (m,)."""
        return self.view.columns[name][self.rows]

    def unscored(self, row: int) -> Ranked:
        """Return the memory of a row, without a score."""
        view = self.view
        label = view.labels[view.columns["label"][row]]
        return Ranked(view.ids[row], view.versions[row], label, 0.0, {})


@dataclass(frozen=True, slots=True)
class Ranked:
    """One memory with its score and the parts of it."""

    cube_id: str
    version: int
    label_id: str
    score: float
    why: dict[str, float]


def mentioned_speakers(
    question: str, candidates: Sequence[Candidates]
) -> dict[str, frozenset[str]]:
    """Find which speakers of eligible memories a question names.

    Returns:
        A mapping from the words of a name, as written in the question, to the speakers meant.
    """
    asked = words(question)
    found: dict[str, set[str]] = {}
    for each in candidates:
        for code, speaker in enumerate(list(each.view.speakers)):
            name = words(speaker.rpartition(":")[2])
            # Named in the question, and truly the speaker of something that may be read.
            if name and _contains(asked, name) and (each.column("speaker") == code).any():
                found.setdefault(" ".join(name), set()).add(speaker)
    return {name: frozenset(speakers) for name, speakers in found.items()}


def without_names(question: str, names: Sequence[str]) -> str:
    """Take speakers' names out of a question, for the dense part: every turn has a speaker.

    >>> without_names("When did Maya's sister visit?", ["maya"])
    'When did sister visit?'
    """
    stripped = question
    for name in names:
        pattern = r"\W+".join(re.escape(word) for word in name.split())
        stripped = re.sub(rf"\b{pattern}(?:['\u2019]s)?(?!\w)", " ", stripped, flags=re.IGNORECASE)
    stripped = re.sub(r"\s+", " ", stripped).strip()
    return stripped if words(stripped) else question


def rank(
    candidates: Sequence[Candidates],
    *,
    terms: Sequence[str],
    vector: FloatArray,
    speakers: frozenset[str],
    options: SearchOptions,
    k: int,
    now: int,
) -> list[Ranked]:
    """Score every eligible row and return the best.

    Args:
        candidates: The eligible rows, page by page.
        terms: The question's terms.
        vector: float32 (d,), the question's vector, unit length.
        speakers: The speakers that the question names.
        options: The weights.
        k: How many to return at most.
        now: What ages are counted from, in microseconds.

    Returns:
        At most k memories, best first; equal scores by id, and where k cuts them, the recent.
    """
    lexical = _Lexical.of(candidates, sorted(set(terms)))
    found: list[Ranked] = []
    for place, each in enumerate(candidates):
        if len(each.rows):
            bm25 = lexical.score(each, place)
            found += _rank_page(each, bm25, vector, speakers, options, k, now)
    found.sort(key=lambda ranked: (-ranked.score, ranked.cube_id))
    return found[:k]


def _rank_page(
    each: Candidates,
    bm25: Scores,
    vector: FloatArray,
    speakers: frozenset[str],
    options: SearchOptions,
    k: int,
    now: int,
) -> list[Ranked]:
    joined = _joined(each)
    cosine = _cosine(each, vector)
    parts: dict[str, Scores] = {
        "dense": options.dense * _blend(cosine, joined, options.dense_window),
        "bm25": options.bm25 * _blend(bm25, joined, options.bm25_window),
    }
    if speakers and options.speaker:
        codes = [code for code, name in enumerate(each.view.speakers) if name in speakers]
        named = np.isin(each.column("speaker"), codes)
        found = np.maximum(parts["dense"] + parts["bm25"], 0)  # lifts what answers, not what is off
        parts["speaker"] = options.speaker * found * named
    if options.half_life is not None:
        age = np.maximum(now - each.column("when"), 0) / (options.half_life / _MICROSECOND)
        found = np.maximum(np.sum(list(parts.values()), axis=0), 0)
        parts["decay"] = found * (np.exp2(-age) - 1)  # what age takes away
    total: Scores = np.sum(list(parts.values()), axis=0)
    top = _top(total, each.column("when"), k)
    view = each.view
    return [
        Ranked(
            view.ids[row],
            view.versions[row],
            view.labels[view.columns["label"][row]],
            round(float(total[place]), 9),
            {name: round(float(part[place]), 9) for name, part in parts.items()},
        )
        for place, row in zip(top, each.rows[top], strict=True)
    ]


def _top(total: Scores, when: IntArray, k: int) -> IntArray:
    """Return the places of the k best, best first, ties by recency."""
    places = np.arange(len(total))
    if len(total) > k:  # keep all that tie with the k-th, then order exactly
        floor = np.partition(total, len(total) - k)[len(total) - k]
        places = np.flatnonzero(total >= floor)
    order = np.lexsort((-when[places], -total[places]))
    best: IntArray = places[order][:k]
    return best


def _cosine(each: Candidates, vector: FloatArray) -> Scores:
    vectors = each.view.vectors
    if len(each.rows) * 3 < each.view.count:
        scores = np.vecdot(vectors[each.rows], vector)
    else:
        scores = np.vecdot(vectors, vector)[each.rows]
    cosine: Scores = scores.astype(np.float64)
    return cosine


def _joined(each: Candidates) -> BoolArray:
    """Say which neighbouring rows are turns of one conversation, as bool (m - 1,)."""
    if not each.view.speakers:
        return np.zeros(max(len(each.rows) - 1, 0), dtype=np.bool_)
    space, speaker, when = (each.column(name) for name in ("space", "speaker", "when"))
    joined: BoolArray = (
        (space[1:] == space[:-1])
        & (speaker[1:] >= 0)
        & (speaker[:-1] >= 0)
        & (when[1:] - when[:-1] <= TURN_GAP_US)
    )
    return joined


def _blend(scores: Scores, joined: BoolArray, share: float) -> Scores:
    """Mix a row's score with the mean over itself and its neighbours in the conversation."""
    if not share or not joined.any():
        return scores
    window = scores.copy()
    size = np.ones(len(scores))
    window[1:] += scores[:-1] * joined
    window[:-1] += scores[1:] * joined
    size[1:] += joined
    size[:-1] += joined
    blended: Scores = (1 - share) * scores + share * window / size
    return blended


@dataclass(frozen=True, slots=True)
class _Lexical:
    """BM25 (Robertson and Zaragoza, 2009) with the statistics of the eligible rows."""

    weights: dict[str, float]
    postings: dict[int, dict[str, tuple[IntArray, FloatArray]]]
    mean_length: float
    most: float

    @classmethod
    def of(cls, candidates: Sequence[Candidates], terms: Sequence[str]) -> _Lexical:
        count = sum(len(each.rows) for each in candidates)
        length = sum(int(each.column("length").sum()) for each in candidates)
        postings = {
            place: {term: found for term in terms if (found := each.view.posting(term)) is not None}
            for place, each in enumerate(candidates)
        }
        weights = {}
        for term in terms:
            frequency = sum(
                int(np.count_nonzero(each.mask[postings[place][term][0]]))
                for place, each in enumerate(candidates)
                if term in postings[place]
            )
            if frequency:
                weights[term] = math.log(1 + (count - frequency + 0.5) / (frequency + 0.5))
        # A term that no eligible row holds counts as much as a rare one: unanswered is unanswered.
        absent = math.log(1 + (count + 0.5) / 0.5) * (len(terms) - len(weights))
        most = (sum(weights.values()) + absent) * (K1 + 1)
        return cls(weights, postings, max(length / count, 1.0) if count else 1.0, most or 1.0)

    def score(self, each: Candidates, place: int) -> Scores:
        """Return BM25 of each eligible row as a share of the most possible, (m,)."""
        scores = np.zeros(each.view.count)
        # K1 * (1 - B + B * length / mean), once for all terms
        penalty = each.view.columns["length"] * (K1 * B / self.mean_length) + K1 * (1 - B)
        for term, weight in self.weights.items():
            if term in self.postings[place]:
                rows, counts = self.postings[place][term]
                scores[rows] += (weight * (K1 + 1)) * counts / (counts + penalty[rows])
        share: Scores = scores[each.rows] / self.most
        return share


def _contains(asked: Sequence[str], name: Sequence[str]) -> bool:
    width = len(name)
    return any(list(asked[at : at + width]) == list(name) for at in range(len(asked) - width + 1))
