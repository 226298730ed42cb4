"""Blobs: what they hold goes with the memory, survives kills, and costs no more than is allowed."""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from safetensors.torch import load

from memos_core import FullError, MemOS, NotFoundError, Session, Settings
from memos_core.memory.runtime import LocalModel
from memos_core.testing import HashingEmbedder, ManualClock
from memos_core.testing.models import random_model, trained_model
from tests.conftest import Proof
from tests.inner import (
    as_text,
    asked_of,
    blob_files,
    opened,
    quick_adapter,
    words,
    written,
)
from tests.inner_processes import FIXTURE, activate, compete, fill, hold, process
from tests.test_erasure import holding

ASKED = [words(91, 5), words(92, 5)]


@pytest.fixture(scope="module")
def llama() -> LocalModel:
    return random_model("llama")


@pytest.fixture(scope="module")
def facts() -> LocalModel:
    return trained_model(FIXTURE)


def remembered(session: Session, count: int = 3, size: int = 14) -> list[str]:
    return [session.add(words(seed, size)).id for seed in range(count)]


def canaries(paths: list[Path]) -> list[bytes]:
    """Pieces of the numbers in blobs."""
    found: list[bytes] = []
    for path in paths:
        for tensor in load(path.read_bytes()).values():
            data = tensor.numpy().tobytes()
            found += [piece for at in range(0, len(data) - 64, 2_048)
                      if any(piece := data[at : at + 64])]  # fmt: skip
    return found


# -- erasure --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["cache", "adapter"])
def test_the_numbers_are_gone_byte_by_byte_after_a_source_is_forgotten(
    folder: Path, llama: LocalModel, facts: LocalModel, kind: str, proof: Proof
) -> None:
    with opened(folder) as memos:
        trainer = memos.session("user:alice", purpose="train")
        source, other = trainer.add("the badge of w1 is w2."), trainer.add(words(8, 30))
        kept = trainer.activate(other, llama)
        mine = set(blob_files(folder))
        made = (
            trainer.activate([source, other], llama)
            if kind == "cache"
            else quick_adapter(trainer, [source, other], facts)
        )
        model = llama if kind == "cache" else facts
        model.generate("w1", memory=trainer.recollect(made, model), max_new_tokens=2)
        alike = b"".join(each.read_bytes() for each in mine)  # for every prompt begins so
        needles = [e for e in canaries(sorted(set(blob_files(folder)) - mine)) if e not in alike]
        assert len(needles) > 10
        assert all(holding(folder, needles))
        report = trainer.forget(source.id)
        assert report.derived == (made.id,)
        assert (report.status, report.pending) == ("erased", ())
        assert not any(holding(folder, needles))
        assert set(blob_files(folder)) == mine
        asked = trainer.recollect(kept, llama)
        assert llama.generate("w1", memory=asked, max_new_tokens=2).notes[:0] == ()
        assert memos.diagnose().is_healthy
    proof(f"canaries of a forgotten {kind}, bytes by another process", len(needles), "0 found")


@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("ends", ["asked", "close", "kill"])
def test_what_another_process_has_loaded_is_pending_until_it_lets_go(
    folder: Path, llama: LocalModel, facts: LocalModel, adapter: bool, ends: str
) -> None:
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        trainer = memos.session("user:alice", purpose="train")
        source = trainer.add("the badge of w1 is w2.")
        made = (
            quick_adapter(trainer, source, facts)
            if adapter
            else trainer.activate(source, llama, chat=False)
        )
        told = (str(folder), "user:alice", made.id, adapter)
        with process(hold, *told) as (other, pipe):
            assert pipe.recv() == "held"
            report = trainer.forget(source.id)
            assert report.status == "pending"
            assert f"process {other.pid} holds pages with it" in report.pending[0]
            assert trainer.audit.erasure(report).status == "pending"
            if ends == "kill":
                other.kill()
                other.join()
            else:
                for order, answer in (("leave", "left"), ("ask", "refused")):
                    pipe.send(order)
                    assert pipe.recv() == answer
                    if ends == "close":
                        break
            if ends == "close":
                pipe.send("close")
                assert pipe.recv() == "closed"
            assert trainer.audit.erasure(report).status == "erased"
        assert blob_files(folder) == []


# -- kills and races ------------------------------------------------------------------------------


def test_a_killed_process_leaves_nothing_half_made(
    folder: Path, llama: LocalModel, scaled: Callable[[int, int], int], proof: Proof
) -> None:
    kills, rng, kept = scaled(6, 200), random.Random(7), dict[str, None]()
    with opened(folder) as memos:
        sources = remembered(memos.session("user:alice"), 4)
    for number in range(kills):
        with process(activate, str(folder), "user:alice", sources, number) as (other, pipe):
            assert pipe.recv() == "open"
            time.sleep(rng.random() * 0.6)
            other.kill()
            other.join()
            while pipe.poll():
                try:
                    kept[pipe.recv()] = None
                except EOFError:
                    break
        with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
            alice = memos.session("user:alice")
            memos.maintain()
            assert memos.diagnose().is_healthy, memos.diagnose().problems
            assert {each.stem for each in blob_files(folder)} == set(needed(memos))
            ids = {each.id for each in alice.get_all(where={"kind": "activation"}, limit=1_000)}
            assert set(kept) <= ids
            for each in sorted(ids)[-3:]:
                context = alice.recollect(each, llama)
                found = llama.generate(ASKED[0], memory=context, max_new_tokens=4)
                assert (found.injected_tokens > 0, found.notes) == (True, ())
            for each in sorted(ids)[::2]:
                alice.forget(each)
                kept.pop(each, None)
    assert kept
    proof("kill -9 while activating", kills, "0 lost, 0 dangling")


def needed(memos: MemOS) -> list[str]:
    with memos._vault.read() as tx:
        query = "SELECT DISTINCT blob_id FROM blob_uses"
        return [row[0] for row in tx.connection.exec_driver_sql(query)]


def test_processes_that_activate_and_forget_the_same_hurt_each_other_nowhere(
    folder: Path, scaled: Callable[[int, int], int], proof: Proof
) -> None:
    rounds = scaled(10, 400)
    with opened(folder) as memos:
        sources = remembered(memos.session("user:alice"), 4)
    with ExitStack() as stack:
        pipes = [
            stack.enter_context(process(compete, str(folder), "user:alice", sources, seed, rounds))[
                1
            ]
            for seed in range(2)
        ]
        assert [pipe.recv() for pipe in pipes] == ["open"] * 2
        for pipe in pipes:
            pipe.send("go")
        answers = [pipe.recv() for pipe in pipes]
    assert [wrong for wrong, _made in answers] == [[], []]
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        memos.maintain()
        assert memos.diagnose().is_healthy
        assert {each.stem for each in blob_files(folder)} == set(needed(memos))
        ids = {
            each.id for each in memos.session("user:alice").get_all(where={"kind": "activation"})
        }
        assert ids == {each for _wrong, made in answers for each in made}
    proof("activating and forgetting by 2 processes", 2 * rounds, "0 wrong, 0 left over")


class Meanwhile(ManualClock):
    """A clock that lets something happen once, when it is looked at."""

    act: Callable[[], object] | None = None

    def now(self) -> datetime:
        act, self.act = self.act, None
        if act is not None:
            act()
        return super().now()


def test_the_collector_takes_nothing_that_a_process_which_just_started_is_writing(
    folder: Path,
) -> None:
    """Whoever is there when a blob is begun is there when the collector asks who is."""
    clock = Meanwhile()
    with ExitStack() as stack, opened(folder, clock) as memos:
        cube = memos.session("user:alice").add("w1")
        with memos._vault.read() as tx:
            query = "SELECT label_id FROM cubes WHERE id = ?"
            label = tx.connection.exec_driver_sql(query, (cube.id,)).scalar_one()
        with opened(folder) as other, other._engine.inner.keeper.writing(label, [b"in vain"]):
            pass
        written: list[str] = []

        def start() -> None:
            other = stack.enter_context(opened(folder))
            with other._engine.inner.keeper.writing(label, [b"bytes"]) as blobs:
                written.extend(blob.id for blob in blobs)

        keeper = memos._engine.inner.keeper
        clock.act = start
        assert keeper.collect() == ()
        assert [each.stem for each in blob_files(folder)] == written
        assert memos.diagnose().is_healthy
        stack.close()
        assert keeper.collect() == ()
        assert blob_files(folder) == [], "its writer ended, and nobody needs it"


# -- damage ---------------------------------------------------------------------------------------


def test_an_adapter_whose_blob_is_damaged_is_off_and_the_doctor_names_it(
    folder: Path, facts: LocalModel
) -> None:
    with opened(folder) as memos:
        trainer = memos.session("user:alice", purpose="train")
        made = quick_adapter(trainer, trainer.add("the badge of w1 is w2."), facts)
    (path,) = blob_files(folder)
    whole = path.read_bytes()
    plain = facts.generate("the badge of", max_new_tokens=4).ids
    for data in (whole[:-9], whole[:900] + b"\0" * 64 + whole[964:], b"", None):
        path.unlink() if data is None else path.write_bytes(data)
        with opened(folder) as memos:
            alice = memos.session("user:alice")
            context = alice.recollect(made.id, facts)
            found = facts.generate("the badge of", memory=context, max_new_tokens=4)
            assert (found.ids, len(found.notes)) == (plain, 1)
            assert "no adapter is on" in found.notes[0]
            assert any(made.id in each for each in memos.diagnose().problems)
    with opened(folder) as memos:
        alice = memos.session("user:alice")
        assert alice.forget(made.id).status == "erased", "what is damaged can be forgotten"
        assert memos.diagnose().is_healthy


def test_the_doctor_names_a_blob_that_nobody_knows(folder: Path, llama: LocalModel) -> None:
    with opened(folder) as memos:
        alice = memos.session("user:alice")
        alice.activate(alice.add("w1"), llama)
        stray = folder / "blobs" / f"blb_{'a' * 20}.safetensors"
        stray.write_bytes(b"x")
        assert memos.diagnose().problems == (f"blob blb_{'a' * 20}: nothing is known of it",)
        (folder / "blobs" / "stranger.safetensors").write_bytes(b"x")
        assert len(memos.diagnose().problems) == 2


# -- room -----------------------------------------------------------------------------------------


def test_a_full_disk_keeps_nothing_by_halves_and_lets_forget_work(folder: Path) -> None:
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        alice = memos.session("user:alice")
        sources = [alice.add(words(1, 10)).id, alice.add(words(2, 2_000)).id]
    # Room for the database and its log, and not for the second's blob, which is larger.
    with process(fill, str(folder), "user:alice", sources, 1_200_000) as (_other, pipe):
        told, files, after, again, problems = pipe.recv()
    assert "nothing of this operation was kept" in told
    assert len(files) == 1
    assert after == []
    assert problems == ()
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        assert memos.session("user:alice").get(again).kind == "activation"


def test_a_vault_that_is_at_its_limit_takes_no_blob_and_forgets(
    folder: Path, llama: LocalModel
) -> None:
    with opened(folder, blob_budget_bytes=60_000) as memos:
        alice = memos.session("user:alice")
        kept = alice.activate(alice.add(words(1, 10)), llama, chat=False)
        big = alice.add(words(2, 90))
        with pytest.raises(FullError, match="blob_budget_bytes"):
            alice.activate(big, llama, chat=False)
        assert alice.get(kept.id).id == kept.id, "nothing went for what does not fit anyway"
        alice.forget(kept.id)
        assert blob_files(folder) == []


def test_the_budget_of_blobs_is_kept_and_what_goes_is_told(
    folder: Path, llama: LocalModel, scaled: Callable[[int, int], int], proof: Proof
) -> None:
    budget, rounds, rng = 160_000, scaled(16, 300), random.Random(3)
    with opened(folder, blob_budget_bytes=budget) as memos:
        alice = memos.session("user:alice")
        sources = remembered(alice, 6, 10)
        hot = alice.activate(sources[:1], llama, chat=False)
        made = [hot.id]
        for _ in range(rounds):
            chosen = rng.sample(sources, rng.randint(1, 2))
            made.append(alice.activate(chosen, llama, chat=False).id)
            assert sum(each.stat().st_size for each in blob_files(folder)) <= budget
            context = alice.recollect(hot.id, llama)
            assert llama.generate("w1", memory=context, max_new_tokens=1).injected_tokens > 0
        there = {each.id for each in alice.get_all(where={"kind": "activation"}, limit=1_000)}
        gone = [each for each in made if each not in there]
        told = alice.audit.query(action="memos.evict", limit=1_000).items
        assert gone
        assert len(told) == len(gone), "who governs the space is told"
        assert {each.id for each in alice.get_all()} >= set(sources), "and so do the sources"
        with memos._vault.read() as tx:
            query = "SELECT subject FROM ledger WHERE type = 'memos.evict'"
            evicted = [row[0] for row in tx.connection.exec_driver_sql(query)]
        assert sorted(evicted) == sorted(gone)
        assert memos.verify_ledger().status == "self-consistent"
    proof("activations under a budget of blobs", rounds, f"{len(gone)} went, never over it")


def test_a_cache_of_which_somebody_made_something_is_not_evicted(
    folder: Path, llama: LocalModel
) -> None:
    with opened(folder, blob_budget_bytes=60_000) as memos:
        alice = memos.session("user:alice")
        one, other = remembered(alice, 2, 10)
        cache = alice.activate(one, llama, chat=False)
        note = alice.add("my own words", parents=(cache.id,))
        with pytest.raises(FullError, match="blob_budget_bytes"):
            alice.activate(other, llama, chat=False)
        assert alice.get(note.id).text == "my own words"
        alice.forget(note.id)
        made = alice.activate(other, llama, chat=False)
        assert [each.id for each in alice.get_all(where={"kind": "activation"})] == [made.id]


def test_four_generations_at_once_mix_nothing_grow_nothing_and_keep_the_budget(
    folder: Path, llama: LocalModel, scaled: Callable[[int, int], int], proof: Proof
) -> None:
    rounds, budget = scaled(6, 200), 150_000
    with opened(folder, inner_budget_bytes=budget) as memos:
        alice = memos.session("user:alice")
        sources = remembered(alice, 6, 10)
        precisions: Any = ["exact", "exact", "int8", "exact", "fp8", "exact"]
        caches = [
            alice.activate(sources[: n + 1], llama, chat=False, precision=precisions[n])
            for n in range(6)
        ]
        contexts = [alice.recollect(each, llama) for each in caches]
        alone = [written(llama, each, ASKED, 8) for each in contexts]
        plain = [written(llama, as_text(each), ASKED, 8) for each in contexts]
        assert [alone[n] == plain[n] for n in (0, 1, 3, 5)] == [True] * 4
        before = {each.name: each.read_bytes() for each in blob_files(folder)}
        loader, most, held = memos._engine.inner.loader, [], []

        def work(number: int) -> bool:
            found = written(llama, contexts[number % 6], ASKED, 8)
            most.append(loader.nbytes)
            held.append(sum(state.value.nbytes for state in list(loader._states._held.values())))
            # Where all that is held is being used, the text is: of an exact cache that is the same.
            return found in (alone[number % 6], plain[number % 6])

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(work, range(6 * rounds)))
        assert max(most) <= budget
        assert max(held) <= budget, "what is counted is what it takes"
        assert {each.name: each.read_bytes() for each in blob_files(folder)} == before
        again = [written(llama, each, ASKED, 8) for each in contexts]
        assert again == alone
    proof("generations over shared caches, 4 at once", 6 * rounds, "0 mixed, within the budget")


# -- elsewhere ------------------------------------------------------------------------------------


def test_a_backup_brings_blobs_along_but_none_that_was_forgotten_since(
    folder: Path, tmp_path: Path, llama: LocalModel, facts: LocalModel
) -> None:
    from memos_core import FolderAnchor

    anchor = FolderAnchor(tmp_path / "anchor")
    (tmp_path / "anchor").mkdir()
    settings = Settings(owner="user:owner")
    with MemOS.open(
        folder, embedder=HashingEmbedder(), settings=settings, anchors=[anchor]
    ) as memos:
        trainer = memos.session("user:alice", purpose="train")
        kept, gone = trainer.add(words(1, 12)), trainer.add("the badge of w1 is w2.")
        cache = trainer.activate(kept, llama, chat=False)
        both = trainer.activate([kept, gone], llama, chat=False)
        adapter = quick_adapter(trainer, [kept, gone], facts)
        memos.session("user:owner").governance.backup(tmp_path / "backup")
        whole = {each.name: each.read_bytes() for each in blob_files(folder)}
        needles = canaries([folder / "blobs" / name for name in whole])
        trainer.forget(gone.id)
        left = {each.name for each in blob_files(folder)}
        assert len(left) == 1
    new = tmp_path / "new"
    MemOS.restore(tmp_path / "backup", new, anchors=[anchor])
    assert {each.name: each.read_bytes() for each in blob_files(new)} == {
        name: whole[name] for name in left
    }
    mine = canaries([new / "blobs" / name for name in left])
    assert not any(holding(new, [each for each in needles if each not in mine]))
    with MemOS.open(new, embedder=HashingEmbedder()) as memos:
        alice = memos.session("user:alice")
        context = alice.recollect(cache.id, llama)
        found = llama.generate(ASKED[0], memory=context, max_new_tokens=8)
        assert (found.injected_tokens > 0, found.notes) == (True, ())
        assert [found.ids] == written(llama, as_text(context), ASKED[:1], 8)
        for each in (both, adapter):
            with pytest.raises(NotFoundError):
                alice.get(each.id)
        assert memos.diagnose().is_healthy


@pytest.fixture
def bucket() -> Iterator[str]:
    yield "memory://bucket/of/memories"
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def narrow() -> MemoryFileSystem:
    """A place that is full as soon as a file is large."""

    class Narrow(MemoryFileSystem):
        protocol = "narrow"
        store: ClassVar[dict[str, Any]] = {}
        pseudo_dirs: ClassVar[list[str]] = [""]

        def pipe_file(self, path: str, value: bytes, **named: Any) -> None:
            if len(value) > 50_000:
                raise OSError(errno.ENOSPC, "no space left")
            super().pipe_file(path, value, **named)

    fsspec.register_implementation("narrow", Narrow, clobber=True)
    return Narrow()


def test_where_one_blob_cannot_be_written_those_before_it_are_removed_at_once(
    folder: Path, llama: LocalModel, narrow: MemoryFileSystem
) -> None:
    with opened(folder, blobs_url="narrow://place") as memos:
        alice = memos.session("user:alice")
        kept, small, large = (alice.add(words(size, size)) for size in (11, 10, 200))
        alice.activate(kept, llama, chat=False)
        with pytest.raises(FullError):
            alice.activate([small, large], llama, chat=False)
        assert len(narrow.store) == 1
        with memos._vault.read() as tx:
            states = tx.connection.exec_driver_sql("SELECT state FROM blobs").scalars().all()
        assert states == ["ready"], "nothing is on its way"


def test_blobs_lie_elsewhere_where_that_is_said(
    folder: Path, llama: LocalModel, facts: LocalModel, bucket: str
) -> None:
    store = fsspec.filesystem("memory").store
    with opened(folder, blobs_url=bucket) as memos:
        trainer = memos.session("user:alice", purpose="train")
        ids = remembered(trainer)
        cache = trainer.activate(ids, llama, chat=False)
        adapter = quick_adapter(trainer, ids, facts)
        assert len(store) == 4
        assert blob_files(folder) == []
        assert memos.diagnose().is_healthy
        context = trainer.recollect(cache, llama)
        assert written(llama, context, ASKED) == written(llama, as_text(context), ASKED)
        facts.generate("w1", memory=trainer.recollect(adapter, facts), max_new_tokens=1)
    (name, *_rest) = sorted(store)
    whole = store[name].getvalue()
    store[name].seek(200)
    store[name].write(b"\0\0\0\0damage")
    with opened(folder, blobs_url=bucket) as memos:
        alice = memos.session("user:alice")
        assert not memos.diagnose().is_healthy
        found = llama.generate(ASKED[0], memory=alice.recollect(cache, llama), max_new_tokens=4)
        text = written(llama, as_text(alice.recollect(cache, llama)), ASKED[:1], 4)
        assert [found.ids] == text
        store[name].seek(0)
        store[name].write(whole)
        assert memos.diagnose().is_healthy
        assert alice.forget(ids[0]).status == "erased"
        assert store == {}
    assert asked_of(folder, "SELECT count(*) FROM blobs") == [0]
