"""Erasure: canaries in all that is derived, searched for byte by byte by another process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from memos_core import Draft, ForgetReport, MemOS, Message, NotFoundError, Patch, Session
from memos_core.infrastructure.index.entry import NEVER, Entry
from memos_core.infrastructure.index.page import RealmPage
from memos_core.testing import HashingEmbedder
from tests.conftest import Proof
from tests.processes import others

COUNT = """
import json, pathlib, sys
wanted = [bytes.fromhex(line) for line in json.load(sys.stdin)]
files = [path for path in pathlib.Path(sys.argv[1]).rglob("*") if path.is_file()]
held = {str(path): path.read_bytes() for path in files}
print(json.dumps([[name for name, data in held.items() if each in data] for each in wanted]))
"""


def holding(folder: Path, needles: list[bytes]) -> list[list[str]]:
    """Name, for each needle, the files under a folder that hold it; in another process.

    A process that has the database open never opens its files by other means.
    """
    done = subprocess.run(
        [sys.executable, "-c", COUNT, str(folder)],
        input=json.dumps([each.hex() for each in needles]),
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[list[str]] = json.loads(done.stdout)
    return found


class Canaries:
    """Memories whose every part can be told from all else, and what is derived from them."""

    def __init__(self, session: Session, name: str) -> None:
        self.texts: list[str] = []
        tag, key, mail = self._new(name, "tag"), self._new(name, "key"), self._new(name, "mail")
        parts = [self._new(name, part) for part in ("text", "meta", "speaker", "old", "newer")]
        text, meta, speaker, old, newer = parts
        self.first = session.add(
            f"{old} was the first word, write to {mail}@example.org",
            key=key,
            tags={tag},
            metadata={"note": {"deep": [meta]}, "n": 7},
            speaker=speaker,
        )
        session.update(self.first.id, f"{newer} came after it", mode="append")
        session.update(self.first.id, Patch(f"{text} is what it says now"), reason="corrected")
        summary = self._new(name, "summary")
        self.summary = session.add(f"in short: {summary}", parents=(self.first.id,))
        again = self._new(name, "again")
        parents = (self.summary.id,)
        self.again = session.add({"of": [again, {"and": text}]}, parents=parents)
        message = self._new(name, "message")
        spoken = Message(role="user", parts=f"{message} said so", name=speaker)
        self.message = session.add(spoken, parents=(self.first.id,))
        self.ids = [each.id for each in (self.first, self.summary, self.again, self.message)]

    def _new(self, name: str, part: str) -> str:
        word = f"zq{name}{part}kanarie"
        self.texts.append(word)
        return word

    def vectors(self, memos: MemOS) -> list[bytes]:
        """Read the stored vectors of all versions, a piece of each."""
        table = "SELECT vector FROM embeddings WHERE cube_id IN (?, ?, ?, ?)"
        with memos._vault.read() as tx:
            rows = tx.connection.exec_driver_sql(table, tuple(self.ids)).all()
        assert len(rows) == 6
        return [piece for row in rows for piece in _pieces(row.vector)]


def _pieces(vector: bytes) -> list[bytes]:
    """Cut a vector into pieces that are its own: not mostly zeros."""
    cut = [vector[at : at + 48] for at in range(0, len(vector) - 48, 48)]
    telling = [each for each in cut if np.count_nonzero(np.frombuffer(each, np.float32)) >= 6]
    return telling[:3]


def filled(session: Session, count: int, name: str) -> list[str]:
    """Add memories around the canaries, and change some, so that pages of the database split."""
    drafts = [
        Draft(f"{name} {n} " + "lorem ipsum " * (n % 40), key=f"{name}{n}") for n in range(count)
    ]
    cubes = session.add_many(drafts)
    for cube in cubes[::7]:
        session.update(cube.id, "changed " * (len(cube.text) % 60 + 1))
    return [cube.id for cube in cubes]


def test_canaries_in_all_that_is_derived_are_gone_byte_by_byte(
    folder: Path, scaled: Callable[[int, int], int], proof: Proof
) -> None:
    rounds = scaled(3, 40)
    found = 0
    with MemOS.open(folder, embedder=Dense()) as memos:
        alice = memos.session("user:alice")
        for number in range(rounds):
            around = filled(alice, 60, f"a{number}x")
            canaries = Canaries(alice, f"r{number}x")
            around += filled(alice, 60, f"b{number}x")
            needles = [each.encode() for each in canaries.texts] + canaries.vectors(memos)
            assert alice.search(canaries.texts[3])[0].id in canaries.ids
            assert alice.trace("in short: " + canaries.texts[8] + " and so on it goes") == []
            if number % 2:
                memos._vault.database.truncate_log()
            assert all(holding(folder, needles)), "each canary is there before"
            report = alice.forget(canaries.first.id)
            assert (report.status, report.pending) == ("erased", ())
            assert set(report.derived) == set(canaries.ids[1:])
            left = holding(folder, needles)
            found += sum(map(bool, left))
            assert not any(left), [n for n, files in zip(needles, left, strict=True) if files]
            for cube_id in canaries.ids:
                with pytest.raises(NotFoundError):
                    alice.get(cube_id)
            alice.forget(around[: number % 50 + 1])
        assert memos.diagnose().is_healthy
        assert memos.verify_ledger().status == "self-consistent"
    assert not any(holding(folder, needles))
    proof(
        "canaries after forget, bytes by another process", rounds * len(needles), f"{found} found"
    )


class Dense(HashingEmbedder):
    """An embedder whose vectors have no zeros, so that every piece of one is its own."""

    def embed(self, texts: list[str]) -> np.ndarray:  # type: ignore[override,type-arg]
        rows = [
            np.random.default_rng(zlib.crc32(text.encode())).normal(size=self.dims)
            for text in texts
        ]
        return np.asarray(rows, dtype=np.float32)


def test_what_a_process_holds_in_its_pages_is_pending_until_it_searches_again(
    folder: Path,
) -> None:
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        alice = memos.session("user:alice")
        alice.add("the weather is fine")
        cube = alice.add("the code is zqkanarie")
        with others(folder, "user:alice") as (other,):
            assert "the code is zqkanarie" in other.search("the code")
            report = alice.forget(cube.id)
            assert report.status == "pending"
            assert report.pending == (
                f"process {other.process.pid} holds pages with it in memory, and lets go at its "
                "next search there, or when it closes the vault",
            )
            assert alice.audit.erasure(report).status == "pending"
            assert memos.maintain().pending == {report.id: report.pending}
            assert other.search("the code") == ["the weather is fine"]
            assert memos.maintain().erased == (report.id,)
            done = alice.audit.erasure(report)
            assert (done.status, done.pending, done.forgotten) == ("erased", (), (cube.id,))
            assert memos.maintain() == memos.maintain()
        assert len(alice.audit.query(action="erase").items) == 1
        assert memos.session("user:owner").audit.query(action="erase").items == ()


@pytest.mark.parametrize("end", ["kill", "close"])
def test_pages_of_a_process_that_ended_hold_nothing(folder: Path, end: str) -> None:
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        alice = memos.session("user:alice")
        cube = alice.add("the code is zqkanarie")
        with others(folder, "user:alice", "user:bob") as (other, idle):
            other.search("the code")
            idle.search("anything")  # of its own space: nothing of this memory
            report = alice.forget(cube.id)
            assert report.status == "pending"
            if end == "kill":
                other.process.kill()
                other.process.join()
            else:
                other.stop()
            assert alice.audit.erasure(report.id).status == "erased"


def test_a_reader_who_began_before_keeps_the_log_and_the_report_says_so(folder: Path) -> None:
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        alice = memos.session("user:alice")
        cube = alice.add("the code is zqkanarie")
        with others(folder, "user:alice") as (other,):
            other.begin_reading()
            report = alice.forget(cube.id)
            assert report.pending == ("the write-ahead log: a reader still needs it",)
            assert any(holding(folder, [b"zqkanarie"]))
            other.end_reading()
            assert alice.audit.erasure(report).status == "erased"
            assert not any(holding(folder, [b"zqkanarie"]))


def test_a_child_of_a_fork_answers_for_its_own_pages(folder: Path) -> None:
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        alice = memos.session("user:alice")
        cube = alice.add("the code is zqkanarie")
        ready, go = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:  # pragma: no cover - another process
            found = alice.search("the code").texts
            os.write(ready[1], b"1" if found else b"0")
            os.read(go[0], 1)
            os._exit(0)
        assert os.read(ready[0], 1) == b"1"
        report = alice.forget(cube.id)
        assert [f"process {child} " in each for each in report.pending] == [True]
        os.write(go[1], b"1")
        os.waitpid(child, 0)
        assert alice.audit.erasure(report).status == "erased"


def test_an_erasure_is_told_to_whoever_asked_for_it_and_to_the_vaults_governor_only(
    memos: MemOS, alice: Session, bob: Session
) -> None:
    report = alice.forget(alice.add("mine").id)
    assert report.id.startswith("era_")
    told = memos.session("user:owner").audit.erasure(report)
    assert (told.status, told.forgotten) == ("erased", ()), "which memories is not his to know"
    with pytest.raises(NotFoundError) as refused:
        bob.audit.erasure(report.id)
    with pytest.raises(NotFoundError) as absent:
        bob.audit.erasure("era_nothing")
    assert str(refused.value) == str(absent.value).replace("era_nothing", report.id)


def test_an_erasure_in_a_pipeline_is_pending_until_it_commits(alice: Session) -> None:
    cube = alice.add("the code is zqkanarie")
    with alice.pipeline() as chain:
        report = chain.forget(cube.id)
        assert isinstance(report, ForgetReport)
        assert report.pending == ("everything: the pipeline has not committed yet",)
    assert alice.audit.erasure(report).status == "erased"


def test_what_expired_and_was_replaced_by_key_is_erased_too(
    folder: Path, memos: MemOS, alice: Session, clock: object
) -> None:
    alice.add("the code is zqkanarie", key="k", expires=timedelta(hours=1))
    clock.turn(timedelta(days=1))  # type: ignore[attr-defined]
    alice.add("another", key="k")
    assert len(memos.maintain().erased) == 1
    assert not any(holding(folder, [b"zqkanarie"]))


def test_a_page_wipes_what_is_there_no_more_and_keeps_the_rest() -> None:
    page = RealmPage("rlm", 4)
    page.apply(
        [_entry("a", "zoe", "one secret"), _entry("b", "max", "one open")],
        removed=(),
        damaged={},
        seq=2,
    )
    page.apply([_entry("a", "zoe", "two secret")], removed=["a"], damaged={}, seq=3)
    before = page.view()
    page.apply([], removed=["a"], damaged={}, seq=4)
    view = page.view()
    assert [view.ids[row] for row in np.flatnonzero(view.alive)] == ["b"]
    assert not page._vectors[[0, 2]].any()
    assert page._vectors[1].any()
    assert "secret" not in page._postings
    assert "two" not in page._postings
    assert list(page._postings["one"].rows) == [1]
    assert "a" not in page._ids
    assert "zoe" not in page.speakers.values
    assert "zoe" not in repr(page._facets._rows)
    assert before.speakers == view.speakers == ["", "max"]
    page.apply([_entry("c", "zoe", "one more")], removed=(), damaged={}, seq=5)
    assert page.view().speakers == ["", "max", "zoe"]


def _entry(cube_id: str, speaker: str, text: str) -> Entry:
    return Entry(
        cube_id=cube_id,
        version=1,
        label_id="l",
        space="s",
        created=1,
        when=1,
        expires=NEVER,
        speaker=speaker,
        terms=tuple(text.split()),
        vector=np.full(4, 0.5, dtype=np.float32),
        facets=(("speaker", ("s", speaker)),),
    )
