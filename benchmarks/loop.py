"""The closed loop: how long a whole turn takes, and what is worth keeping of what is said.

A turn reads a message, recalls for its answer, assembles the block and writes back what is worth
keeping, at 10,000 memories and without a model; making vectors is counted apart. Beside it stands
LangGraph's store in memory, which searches and puts and decides nothing.

Then BEAM's chats are heard twice, with each recalled block fed back as if an assistant had said it:
how many exact duplicates, re-ingested recalls and near-duplicates are in the vault? The peer keeps
what it is told, as a store does.
"""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.common import CONSOLE, Remembering, Report, find_data, options, progress
from benchmarks.latency import COUNT, PEER, Prepared, filled, langgraph_memory, sentences
from memos_core import MemCube, Session
from memos_core.testing import ManualClock, temporary_memos

TURNS = 150
BUDGET = 600
NEAR = 0.97
"""The cosine from which two memories say the same, where no number or name in them differs."""
NOUNS = ("budget", "deadline", "password", "hotel", "doctor", "colour", "train", "office")


class Timed:
    """An embedder that counts how long it took.

    Args:
        inner: What makes the vectors.
    """

    def __init__(self, inner: Prepared) -> None:
        self._inner = inner
        self.name, self.dims = inner.name, inner.dims
        self.seconds = 0.0
        self._extra: dict[str, npt.NDArray[np.float32]] = {}

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Make vectors, on the clock; one that was not prepared is made from the text's bytes."""
        began = time.perf_counter()
        rows = []
        for text in texts:
            try:
                rows.append(self._inner.embed([text])[0])
            except KeyError:
                rng = np.random.default_rng(list(text.encode()))
                rows.append(rng.standard_normal(self.dims).astype(np.float32))
        self.seconds += time.perf_counter() - began
        return np.stack(rows)


def turns(report: Report) -> None:
    """Time whole turns."""
    texts, queries, fresh = sentences(COUNT, 1), sentences(200, 2), sentences(300, 3)
    prepared = Prepared([*texts, *queries, *fresh])
    CONSOLE.print(f"filling {PEER} …")
    search, put = langgraph_memory(prepared, texts, queries, fresh)
    CONSOLE.print(f"filling a vault: {COUNT:,} memories …")
    timed = Timed(prepared)
    said = [
        f"Remember that my {NOUNS[n % len(NOUNS)]} is number {n * 7}. What was said on {query}?"
        for n, query in enumerate(queries[:TURNS])
    ]
    whole, parts = [], Counter[str]()
    with filled(timed, texts, 1) as session:  # type: ignore[arg-type]  # it has what is needed
        session.turn(said[0], budget_tokens=BUDGET)
        kept = 0
        for text in said[1:]:
            timed.seconds, began = 0.0, time.perf_counter()
            heard = session.hear(text)
            middle = time.perf_counter()
            session.context(text, budget_tokens=BUDGET)
            ended = time.perf_counter()
            whole.append((ended - began - timed.seconds) * 1_000)
            parts["hear"] += middle - began  # type: ignore[assignment]  # seconds
            parts["context"] += ended - middle  # type: ignore[assignment]
            kept += len(heard.remembered)
    turns_per = sorted(whole)
    report.add("turn.p50", statistics.median(whole), "ms", search + put)
    report.add("turn.p95", turns_per[int(len(whole) * 0.95)], "ms")
    report.add("turn.hear, with its write and its vectors", parts["hear"] / len(whole) * 1e3, "ms")
    report.add("turn.context, with its vectors", parts["context"] / len(whole) * 1e3, "ms")
    report.add("turn.kept of what was asked to be kept", kept / len(whole), "share")


def admission(report: Report, folder: Path) -> None:
    """Hear BEAM's chats twice, with recalls fed back, and look at what was kept."""
    chats = sorted(folder.iterdir(), key=lambda path: int(path.name))
    totals, told = Counter[str](), 0
    clock = ManualClock(datetime(2024, 1, 1, tzinfo=UTC))
    with temporary_memos(embedder=Remembering(), clock=clock) as memos:
        for chat in progress(chats, "BEAM, twice"):
            session = memos.session(f"user:{chat.name}")
            messages = _user_messages(chat)
            for _round in range(2):
                for text in messages:
                    clock.turn(timedelta(minutes=1))
                    session.hear(text)
                    block = session.context(text[:500], budget_tokens=BUDGET)
                    echo = "\n".join(item.text for item in block.items[:3])
                    session.hear(f"{block.text}\nAs you told me: {echo}")
                    told += 2
            totals.update(_counted(session))
    kept = max(totals["kept"], 1)
    report.add("admission.kept of what was told", totals["kept"] / told, "share", 1.0)
    report.add("admission.exact duplicates", totals["equal"], "count")
    report.add("admission.blocks that were written back", totals["blocks"], "count")
    report.add("admission.near-duplicates", totals["near"] / kept, "share")


def _user_messages(folder: Path) -> list[str]:
    batches = json.loads((folder / "chat.json").read_text(encoding="utf-8"))
    said = (each for batch in batches for turn in batch["turns"] for each in turn)
    texts = [each["content"].split("->->")[0].strip() for each in said if each["role"] == "user"]
    return [text for text in texts if text]


def _counted(session: Session) -> Counter[str]:
    """Count what was kept, and what of it is there twice."""
    cubes: list[MemCube] = []
    cursor = None
    while True:
        page = session.get_all(limit=1_000, cursor=cursor)
        cubes += page.items
        if page.cursor is None:
            break
        cursor = page.cursor
    texts = [cube.text for cube in cubes]
    counts = Counter(kept=len(texts))
    counts["equal"] = len(texts) - len({" ".join(text.casefold().split()) for text in texts})
    counts["blocks"] = sum("<memories " in text for text in texts)
    if texts:
        vectors = Remembering().embed(texts)
        alike = np.triu(vectors @ vectors.T, 1) >= NEAR
        digits = [
            frozenset(c for c in text.split() if any(d.isdigit() for d in c)) for text in texts
        ]
        counts["near"] = sum(
            any(alike[row, place] and digits[row] == digits[place] for row in range(place))
            for place in range(len(texts))
        )
    return counts


def main() -> None:
    """Run the benchmark; BEAM where it is given."""
    arguments = options(__doc__).parse_args()
    report = Report("The closed loop", PEER)
    turns(report)
    folder = find_data(arguments.data, "beam")
    if folder is not None:
        admission(report, folder)
    report.finish(arguments.json)


if __name__ == "__main__":
    main()
