"""Fits the weights that `RuleReader` reads with: `python -m tests.fitting`; needs SciPy.

A sentence's reading is nothing, or an operation and a stretch of words; the model is log-linear in
the features of `interface.rules.features`, and its weights are those under which the known readings
of the utterances in `tests/data` are the most likely, with a penalty on their squares. Utterances
are also recombined: one's words about its target with another's target, and two utterances to one.
What is set aside for measuring is not read. The same data give the same file.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from scipy.optimize import minimize

from memos_core.interface.rules import weighing
from memos_core.interface.rules.features import (
    Token,
    asked_features,
    closing,
    edge_features,
    inner_features,
    opening,
    tokens_of,
)
from memos_core.interface.rules.lexicon import FINITE
from memos_core.interface.rules.sentences import sentences_of

DATA = Path(__file__).parent / "data"
OPS = ("none", *weighing.VERBS)
PENALTY = 1.0
MADE_UP = 0.4  # what a recombined utterance counts
MOST = 45  # tokens of a sentence that is fitted to
SIZES = (6, 9, 12, 16, 24, MOST)
LEAST = 0.04  # a smaller weight is left out

Line = tuple[str, str, str | None]
_NOUN = re.compile(r"(?:my|our|the|his|her|that)\b", re.I)
_WH = re.compile(r"(?:what|where|when|who|which|why|how|whatever|everything|all|every)\b", re.I)
_LOUD = re.compile(
    r"\b(?:no|not|wrong|actually|sorry|forget|delete|remember|note|scratch|scrap|right|mistake"
    r"|meant?|typo|save|keep|store|erase|correct|if|story|suppose)\b|[\"'\u201c]"
)


def lines_of(name: str) -> list[Line]:
    """Read a file of utterances: operation, words, target."""
    text = (DATA / name).read_text("utf-8").splitlines()
    if name.endswith(".jsonl"):
        return [(row["op"], row["text"], row["target"]) for row in map(json.loads, text)]
    split = [line.partition("\t") for line in text]
    found = [(op, said, re.search(r"\[(.*)\]", said)) for op, _, said in split]
    return [(op, re.sub(r"\[(.*)\]", r"\1", said), at and at[1]) for op, said, at in found]


def recombined(lines: Sequence[Line], times: int = 2) -> list[Line]:
    """Make further utterances of known ones."""
    chance = random.Random(0)
    targets: dict[str, list[str]] = {"clause": [], "noun": []}
    about: list[tuple[str, str, str, str]] = []
    for op, text, target in lines:
        kind = _kind(target) if target else None
        if target is None or kind is None:
            continue
        if (kind == "clause") != (op in ("remember", "correct")):
            continue
        targets[kind].append(target)
        before, _, after = text.partition(target)
        if re.search(r"\w", before):
            about.append((op, before, after, kind))
    quiet = [
        t for op, t, _ in lines if op == "none" and len(t) < 50 and not _LOUD.search(t.lower())
    ]
    made: list[Line] = []
    for _ in range(times):
        for op, before, after, kind in about:
            target = chance.choice(targets[kind])
            if target.split()[0] in ("The", "My", "Our", "We", "It", "There", "She", "He", "A"):
                target = target[0].lower() + target[1:]
            made.append((op, before + target + after, target))
        for op, text, target in lines:
            if chance.random() < 0.5:
                pair = [text, chance.choice(quiet)]
                chance.shuffle(pair)
                made.append((op, pair[0].rstrip(".") + ". " + pair[1], target))
    return [each for each in made if each[2] is None or each[1].count(each[2]) == 1]


def _kind(target: str) -> str | None:
    if '"' in target or len(target) > 70:
        return None
    if FINITE.search(target.lower()):
        return None if _WH.match(target) else "clause"
    return "noun" if _NOUN.match(target) else None


@dataclass(frozen=True)
class Row:
    """A sentence with its neighbours, and its reading."""

    tokens: list[Token]
    before: list[Token]
    after: list[Token]
    op: int
    first: int
    last: int


def rows_of(lines: Iterable[Line]) -> list[Row]:
    """Cut utterances into sentences; what is not all in one is left out."""
    rows: list[Row] = []
    for op, text, target in lines:
        sentences = sentences_of(text)
        tokens = [tokens_of(each.plain, each.text) for each in sentences]
        at = text.find(target) if target else -1
        mine = []
        for number, (sentence, words) in enumerate(zip(sentences, tokens, strict=True)):
            begin, end = at - sentence.start, at - sentence.start + len(target or "")
            inside = [
                place
                for place, word in enumerate(words)
                if word.end > begin and word.start < end and re.match(r"[\w'<$£€]", word.word)
            ]
            here = target and inside and begin >= 0 and end <= len(sentence.text) + 2
            near = (tokens[number - 1] if number else []), (*tokens, [])[number + 1]
            edges = (OPS.index(op), inside[0], inside[-1]) if here else (0, -1, -1)
            if words:
                mine.append(Row(words, *near, *edges))
        if op == "none" or any(row.op for row in mine):
            rows += mine
    return [row for row in rows if len(row.tokens) <= MOST]


class Table:
    """Features of one sort as a sparse matrix; those that are met once are left out."""

    def __init__(self, lists: list[list[str]]) -> None:
        met = Counter(name for each in lists for name in set(each))
        self.names = sorted(name for name, times in met.items() if times > 1)
        number = {name: place for place, name in enumerate(self.names)}
        found = [[number[name] for name in each if name in number] for each in lists]
        cuts = np.cumsum([0] + [len(each) for each in found])
        flat = [name for each in found for name in each]
        shape = (len(lists), len(self.names))
        self.matrix = sp.csr_matrix((np.ones(len(flat)), flat, cuts), shape)
        self.turned = self.matrix.T.tocsr()


class Fit:
    """The likelihood of known readings, and its slope."""

    def __init__(self, rows: list[Row], counts: np.ndarray) -> None:
        self.counts = counts
        places = [(row.tokens, at) for row in rows for at in range(len(row.tokens))]
        self.tables = [
            Table([list(asked_features(row.tokens, row.before, row.after)) for row in rows]),
            Table([list(edge_features(*place, first=True)) for place in places]),
            Table([list(edge_features(*place, first=False)) for place in places]),
            Table([list(inner_features(tokens[at])) for tokens, at in places]),
        ]
        opened = [[opening(row.tokens, at) for at in range(len(row.tokens))] for row in rows]
        closed = [[closing(row.tokens, at) for at in range(len(row.tokens))] for row in rows]
        before = sorted({name for each in opened for name in each})
        after = sorted({name for each in closed for name in each})
        self.pairs = [f"j {first} {last}" for first in before for last in after]
        sizes = [5 * len(each.names) for each in self.tables] + [5 * len(self.pairs)]
        self.cuts = np.cumsum([0, *sizes])
        self.readings = np.array([(row.op, row.first, row.last) for row in rows])
        lengths = np.array([len(row.tokens) for row in rows])
        starts = np.cumsum([0, *lengths])
        self.batches = []
        for low, high in zip((0, *SIZES), SIZES, strict=False):
            batch = np.flatnonzero((lengths > low) & (lengths <= high))
            if not len(batch):
                continue
            wide = lengths[batch].max()
            real = np.arange(wide) < lengths[batch][:, None]
            place = np.minimum(starts[batch][:, None] + np.arange(wide), starts[-1] - 1)
            pair = np.zeros((len(batch), wide, wide), int)
            for row, number in enumerate(batch):
                size = lengths[number]
                first = np.array([before.index(name) for name in opened[number]])
                last = np.array([after.index(name) for name in closed[number]])
                pair[row, :size, :size] = first[:, None] * len(after) + last
            self.batches.append((batch, place, real, pair))

    def parts(self, weights: np.ndarray) -> list[np.ndarray]:
        """Cut the weights up by sort; a column for any operation, then one for each."""
        return [
            weights[low:high].reshape(-1, 5)
            for low, high in zip(self.cuts, self.cuts[1:], strict=False)
        ]

    def __call__(self, weights: np.ndarray) -> tuple[float, np.ndarray]:
        parts = self.parts(weights)
        asked = self.tables[0].matrix @ parts[0]
        edges = [
            table.matrix @ part for table, part in zip(self.tables[1:], parts[1:4], strict=True)
        ]
        edges = [each[:, 1:] + each[:, :1] for each in edges]
        pairs = parts[4][:, 1:] + parts[4][:, :1]
        slopes = [np.zeros_like(each) for each in (asked, *edges, pairs)]
        loss = sum(self._batch(each, asked, edges, pairs, slopes) for each in self.batches)
        whole = [
            table.turned @ (slope if slope.shape[1] == 5 else _shared(slope))
            for table, slope in zip(self.tables, slopes, strict=False)
        ]
        slope = np.concatenate([each.ravel() for each in (*whole, _shared(slopes[4]))])
        return loss + PENALTY / 2 * weights @ weights, slope + PENALTY * weights

    def _batch(self, batch, asked, edges, pairs, slopes) -> float:  # type: ignore[no-untyped-def]
        rows, place, real, pair = batch
        first, last, inner = (each[place] for each in edges)
        within = np.cumsum(inner * real[:, :, None], 1)
        earlier = within - inner * real[:, :, None]
        first = np.where(real[:, :, None], first - earlier, -1e9)
        last = np.where(real[:, :, None], last + within, -1e9)
        total = asked[rows][:, None, None, 1:] + first[:, :, None] + last[:, None] + pairs[pair]
        order = np.triu(np.ones(total.shape[1:3], bool))
        total = np.where(order[None, :, :, None], total, -1e9)
        nothing = asked[rows, 0]
        most = np.maximum(total.max((1, 2, 3)), nothing)
        likely, none = np.exp(total - most[:, None, None, None]), np.exp(nothing - most)
        mass = likely.sum((1, 2, 3)) + none
        op, begin, end = self.readings[rows].T
        told, each = op > 0, np.arange(len(rows))
        known = np.where(told, total[each, begin, end, op - 1], nothing)
        count = self.counts[rows]
        loss = float((count * (np.log(mass) + most - known)).sum())
        likely, none = likely / mass[:, None, None, None], none / mass
        likely[each[told], begin[told], end[told], op[told] - 1] -= 1
        likely *= count[:, None, None, None]
        begun, ended = likely.sum(2), likely.sum(1)
        inside = np.cumsum(begun, 1) - np.cumsum(ended, 1) + ended
        slopes[0][rows] = np.column_stack([(none - ~told) * count, likely.sum((1, 2))])
        for slope, values in zip(slopes[1:4], (begun, ended, inside), strict=True):
            slope[place[real]] = values[real]
        for verb in range(4):
            slopes[4][:, verb] += np.bincount(
                pair.ravel(), likely[..., verb].ravel(), len(self.pairs)
            )
        return loss


def _shared(slope: np.ndarray) -> np.ndarray:
    return np.column_stack([slope.sum(1), slope])


def fitted(lines: Sequence[Line]) -> dict[str, list[int]]:
    """Fit weights to utterances, in hundredths."""
    known, made = rows_of(lines), rows_of(recombined(lines))
    counts = np.array([1.0] * len(known) + [MADE_UP] * len(made))
    fit = Fit(known + made, counts)
    start = np.zeros(fit.cuts[-1])
    found = minimize(fit, start, jac=True, method="L-BFGS-B", options={"maxiter": 100})
    names = [*(table.names for table in fit.tables), fit.pairs]
    return {
        name: [round(float(each) * weighing.SCALE) for each in row]
        for group, part in zip(names, fit.parts(found.x), strict=True)
        for name, row in zip(group, part, strict=True)
        if np.abs(row).max() >= LEAST
    }


FILES = (
    "utterances.jsonl", "utterances_second.jsonl", "utterances_own.tsv", "utterances_fitting.tsv"
)  # fmt: skip


def main() -> None:
    """Fit, and write the file."""
    weights = fitted([line for name in FILES for line in lines_of(name)])
    rows = [f"{json.dumps(name)}: {json.dumps(row)}" for name, row in sorted(weights.items())]
    target = Path(weighing.__file__).with_name("weights.json")
    target.write_text("{\n" + ",\n".join(rows) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main()
