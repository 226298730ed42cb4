"""Forgetting while others search, export and update: no read that begins later returns it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from memos_core import MemOS, MemosError, NotFoundError, Session, Settings, list_every
from memos_core.testing import HashingEmbedder
from tests.conftest import Proof
from tests.processes import SPAWN

Read = tuple[float, frozenset[str]]
"""When a read began, on the clock that all processes share, and the ids that it returned."""


def search(session: Session, _folder: Path) -> frozenset[str]:
    return frozenset(hit.id for hit in session.search("secret number", k=1_000))


def export(session: Session, folder: Path) -> frozenset[str]:
    """Write all that may be read into a file, and read the file."""
    path = folder / f"export-{time.monotonic_ns()}.jsonl"
    path.write_text("".join(cube.to_json() + "\n" for cube in list_every(session)))
    lines = path.read_text().splitlines()
    path.unlink()
    return frozenset(json.loads(line)["meta"]["id"] for line in lines)


def update(session: Session, _folder: Path) -> frozenset[str]:
    """Change whatever is there, and return what was changed."""
    found = set()
    for cube in session.get_all(limit=5).items:
        try:
            found.add(session.update(cube.id, "a secret number", mode="append").id)
        except (NotFoundError, MemosError):
            continue  # it was forgotten in between
    return frozenset(found)


def context(session: Session, _folder: Path) -> frozenset[str]:
    block = session.context("secret number", budget_tokens=4_000)
    return frozenset(item.id for item in block.items)


WORK: dict[str, Callable[[Session, Path], frozenset[str]]] = {
    "search": search,
    "export": export,
    "update": update,
    "context": context,
}


def work(folder: str, verb: str, pipe: Connection) -> None:
    """Do one thing again and again, and tell what every round returned."""
    settings = Settings(durable_effects=False)
    with MemOS.open(folder, embedder=HashingEmbedder(), settings=settings) as memos:
        session = memos.session("user:alice")
        reads: list[Read] = []
        pipe.send("open")
        while not pipe.poll():
            began = time.monotonic()
            reads.append((began, WORK[verb](session, Path(folder).parent)))
        pipe.send(reads)


@contextmanager
def workers(folder: Path, answers: dict[str, list[Read]]) -> Iterator[None]:
    started: list[tuple[str, Connection, Any]] = []
    for verb in WORK:
        ours, theirs = SPAWN.Pipe()
        process = SPAWN.Process(target=work, args=(str(folder), verb, theirs))
        process.start()
        theirs.close()
        assert ours.recv() == "open"
        started.append((verb, ours, process))
    try:
        yield
    finally:
        for verb, ours, process in started:
            ours.send("stop")
            answers[verb] = ours.recv()
            process.join()


def test_no_read_that_began_after_a_forgetting_returns_the_memory(
    folder: Path, scaled: Callable[[int, int], int], proof: Proof
) -> None:
    forgettings = scaled(20, 300)
    answers: dict[str, list[Read]] = {}
    gone: dict[str, float] = {}
    settings = Settings(durable_effects=False)
    with MemOS.open(folder, embedder=HashingEmbedder(), settings=settings) as memos:
        alice = memos.session("user:alice")
        alice.add_many([f"secret number {n}" for n in range(20)])
        with workers(folder, answers):
            for number in range(forgettings):
                parent = alice.add(f"secret number {number}, to be forgotten")
                child = alice.add("derived from a secret number", parents=(parent.id,))
                time.sleep(0.02)
                report = alice.forget(parent.id)
                assert report.derived == (child.id,)
                gone |= dict.fromkeys((parent.id, child.id), time.monotonic())
        assert {each.status for each in map(alice.audit.erasure, [report])} == {"erased"}
        assert memos.maintain().pending == {}
        assert memos.diagnose().problems == ()
    reads = [(verb, *read) for verb, found in answers.items() for read in found]
    late = [
        (verb, cube_id)
        for verb, began, ids in reads
        for cube_id in ids & gone.keys()
        if began > gone[cube_id]
    ]
    assert late == []
    seen = {cube_id for _verb, _began, ids in reads for cube_id in ids & gone.keys()}
    assert len(seen) > len(gone) // 4, "the workers did meet memories before they were forgotten"
    assert all(len(found) > 5 for found in answers.values())
    what = "reads of 4 processes while memories were forgotten"
    proof(what, len(reads), f"0 of {len(gone)} forgotten returned later")
