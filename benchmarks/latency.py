"""Latency: search with its ledger entry, and durable adds, beside LangGraph's stores.

10,000 short memories with 384-dimensional vectors; making the vectors is excluded for all. MemOS is
measured with all memories in one space, and spread over 100 and over 1,000 spaces of one realm.
"""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from langgraph.store.memory import InMemoryStore

from benchmarks.common import CONSOLE, Report, median_ms, options
from memos_core import Draft, MemOS, Settings

COUNT = 10_000
DIMS = 384
SPREADS = (1, 100, 1_000)
PEER = "LangGraph InMemoryStore"
WORDS = """
    tea coffee train boat meeting budget kiosk museum screen vendor invoice holiday allergy doctor
    garden piano winter summer report deadline launch colour blue green yellow street harbour bridge
    ticket bug release language guide audio story letter present birthday dinner recipe bread salt
""".split()  # noqa: SIM905 - a paragraph reads better than 48 lines


class Prepared:
    """Vectors made beforehand: looking one up costs next to nothing."""

    name = "prepared-384"
    dims = DIMS

    def __init__(self, texts: Sequence[str]) -> None:
        rng = np.random.default_rng(0)
        vectors = rng.standard_normal((len(texts), DIMS)).astype(np.float32)
        self._known = dict(zip(texts, vectors, strict=True))

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Look the vectors up."""
        return np.stack([self._known[text] for text in texts])

    def as_lists(self, texts: Sequence[str]) -> list[list[float]]:
        """Look the vectors up, for libraries that want lists."""
        return [row.tolist() for row in self.embed(texts)]


def sentences(count: int, seed: int) -> list[str]:
    """Make short texts, each with a number so that all differ."""
    rng = random.Random(seed)
    return [f"{' '.join(rng.choices(WORDS, k=9))} number {seed}-{n}" for n in range(count)]


@contextmanager
def filled(embedder: Prepared, texts: Sequence[str], spaces: int, **fields: Any) -> Iterator[Any]:
    """Open a vault whose memories are spread over a number of spaces of one realm."""
    with (
        tempfile.TemporaryDirectory() as folder,
        MemOS.open(f"{folder}/vault", embedder=embedder, settings=Settings(**fields)) as memos,
    ):
        session = memos.session("user:bench")
        drafts = [
            Draft(text, space=f"user:bench/s{number % spaces}") for number, text in enumerate(texts)
        ]
        for start in range(0, len(drafts), 1_000):
            session.add_many(drafts[start : start + 1_000])
        session.search(texts[0])  # the page is loaded
        yield session


def langgraph_memory(
    embedder: Prepared, texts: Sequence[str], queries: Sequence[str], fresh: Sequence[str]
) -> tuple[float, float]:
    """Measure search and put of LangGraph's store in memory."""
    index: Any = {"dims": DIMS, "embed": embedder.as_lists, "fields": ["text"]}
    store = InMemoryStore(index=index)
    for number, text in enumerate(texts):
        store.put(("bench",), str(number), {"text": text})
    return _store_times(store, queries, fresh, rounds=15)


def langgraph_sqlite(
    embedder: Prepared, texts: Sequence[str], queries: Sequence[str], fresh: Sequence[str]
) -> tuple[float, float] | None:
    """Measure LangGraph's SQLite store, where this Python's sqlite3 can load its extension."""
    from langgraph.store.sqlite import SqliteStore

    index: Any = {"dims": DIMS, "embed": embedder.as_lists, "fields": ["text"]}
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(
            Path(folder) / "store.db", check_same_thread=False, isolation_level=None
        )
        if not hasattr(connection, "enable_load_extension"):
            connection.close()
            CONSOLE.print(
                "LangGraph SqliteStore: left out, this Python's sqlite3 loads no extension"
            )
            return None
        store = SqliteStore(connection, index=index)
        store.setup()
        for number, text in enumerate(texts):
            store.put(("bench",), str(number), {"text": text})
        times = _store_times(store, queries, fresh, rounds=40)
        connection.close()
    return times


def _store_times(
    store: Any, queries: Sequence[str], fresh: Sequence[str], *, rounds: int
) -> tuple[float, float]:
    search: Callable[[int], object] = lambda n: store.search(  # noqa: E731 - timed as it stands
        ("bench",), query=queries[n], limit=10
    )
    search(0)
    put: Callable[[int], object] = lambda n: store.put(  # noqa: E731
        ("bench",), f"new{n}", {"text": fresh[n]}
    )
    return median_ms(search, rounds), median_ms(put, len(fresh))


def main() -> None:
    """Run the benchmark."""
    arguments = options(__doc__).parse_args()
    texts, queries, fresh = sentences(COUNT, 1), sentences(200, 2), sentences(300, 3)
    embedder = Prepared([*texts, *queries, *fresh])
    CONSOLE.print(f"filling {PEER} …")
    peer_search, peer_put = langgraph_memory(embedder, texts, queries, fresh)
    sqlite = langgraph_sqlite(embedder, texts, queries, fresh)
    report = Report(f"Latency at {COUNT:,} memories (median)", PEER)
    for spaces in SPREADS:
        CONSOLE.print(f"filling a vault: {spaces:,} spaces …")
        with filled(embedder, texts, spaces) as session:
            search = median_ms(lambda n: session.search(queries[n]), len(queries))
            add = median_ms(lambda n: session.add(fresh[n]), len(fresh))
        report.add(f"latency.search.{spaces}_spaces", search, "ms", peer_search)
        report.add(f"latency.search.{spaces}_spaces.ratio", peer_search / search, "times")
        report.add(f"latency.add.full.{spaces}_spaces", add, "ms", peer_put)
    with filled(embedder, texts, 1, durable_effects=False) as session:
        relaxed = median_ms(lambda n: session.add(fresh[n]), len(fresh))
    report.add("latency.add.flush_off.1_spaces", relaxed, "ms", peer_put)
    if sqlite is not None:
        report.add("latency.sqlite_store.search", sqlite[0], "ms", peer_search)
        report.add("latency.sqlite_store.put", sqlite[1], "ms", peer_put)
    report.finish(arguments.json)


if __name__ == "__main__":
    main()
