"""Real processes on one vault: what one commits, the very next search of another knows."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from memos_core import ConflictError, Key, MemOS, NotFoundError
from memos_core.testing import HashingEmbedder
from tests.processes import SPAWN, others


def test_what_one_process_adds_forgets_or_revokes_the_next_search_of_another_knows(
    folder: Path,
) -> None:
    MemOS.open(folder, embedder=HashingEmbedder()).close()
    with others(folder, "user:alice", "user:alice", "user:bob") as (writer, reader, bob):
        assert reader.search("boat") == []  # its pages are loaded, and empty
        assert bob.search("boat") == []
        for number in range(20):
            cube_id = writer.add(f"boat {number} leaves")
            assert reader.search("boat") == [f"boat {number} leaves"]
            assert bob.search("boat") == []
            grant_id = writer.grant("user:bob", "read", on="user:alice")
            assert bob.search("boat") == [f"boat {number} leaves"]
            writer.revoke(grant_id)
            assert bob.search("boat") == []
            with pytest.raises(NotFoundError):
                bob.get(cube_id)
            reader.update(cube_id, f"ship {number} left")
            assert writer.search("ship") == [f"ship {number} left"]
            reader.forget(cube_id)
            assert writer.search("ship") == []


def test_sessions_made_before_a_fork_work_in_the_child(folder: Path) -> None:
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        alice = memos.session("user:alice")
        alice.add("before the fork")
        alice.search("fork")
        children = []
        for number in range(4):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    alice.add(f"from child {number}")
                    code = 0 if "before the fork" in alice.search("fork", k=50).texts else 2
                finally:
                    os._exit(code)
            children.append(child)
        alice.add("from the parent")
        assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
        assert len(alice.get_all()) == 6
        assert memos.verify_ledger().status == "self-consistent"
        assert memos.diagnose().is_healthy


def count_up(folder: str, rounds: int, with_version: bool) -> None:
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        alice = memos.session("user:alice")
        done = 0
        while done < rounds:
            cube = alice.get(Key("counter"))
            try:
                alice.update(
                    Key("counter"), int(str(cube.content)) + 1, expected_version=cube.version
                )
                done += 1
            except ConflictError:
                assert with_version


def test_concurrent_versioned_updates_lose_nothing(
    folder: Path, scaled: Callable[[int, int], int]
) -> None:
    processes, rounds = scaled(4, 8), scaled(15, 200)
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        memos.session("user:alice").add(0, key="counter")
    running = [
        SPAWN.Process(target=count_up, args=(str(folder), rounds, True)) for _ in range(processes)
    ]
    for each in running:
        each.start()
    for each in running:
        each.join()
    assert [each.exitcode for each in running] == [0] * processes
    with MemOS.open(folder) as memos:
        alice = memos.session("user:alice")
        assert alice.get(Key("counter")).content == processes * rounds
        assert alice.get(Key("counter")).version == processes * rounds + 1
        assert memos.verify_ledger().status == "self-consistent"


def write_on(folder: str, run: int, pipe: Connection) -> None:
    """Add, update and forget for ever; acknowledge each effect once its verb has returned."""
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        alice = memos.session("user:alice")
        pipe.send(("ready", None, None))
        number = 0
        while True:
            name = f"run {run} item {number}"
            first, _second = alice.add_many([f"{name} first", f"{name} second"])
            pipe.send(("added", first.id, name))
            if number % 3 == 1:
                alice.update(first.id, f"{name} changed")
                pipe.send(("updated", first.id, name))
            if number % 3 == 2:
                alice.forget(first.id)
                pipe.send(("forgotten", first.id, name))
            number += 1


def drain(pipe: Connection) -> list[tuple[str, str, str]]:
    found = []
    try:
        while pipe.poll(0.2):
            found.append(pipe.recv())
    except EOFError:
        pass
    return found


def test_nothing_acknowledged_is_lost_and_nothing_half_applied_when_killed(
    folder: Path, scaled: Callable[[int, int], int]
) -> None:
    MemOS.open(folder, embedder=HashingEmbedder()).close()
    acknowledged: list[tuple[str, str, str]] = []
    kills = scaled(50, 2_000)
    for run in range(kills):
        mine, theirs = SPAWN.Pipe(duplex=False)
        process = SPAWN.Process(target=write_on, args=(str(folder), run, theirs))
        process.start()
        theirs.close()
        assert mine.recv()[0] == "ready"
        time.sleep(0.01 + (run * 7919 % 97) / 1_000)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        acknowledged += drain(mine)
    assert len(acknowledged) > kills // 10  # a busy machine gets less far before each kill
    with MemOS.open(folder) as memos:
        alice = memos.session("user:alice")
        stored: dict[str, tuple[str, int]] = {}
        cursor = None
        while True:
            page = alice.get_all(limit=1_000, cursor=cursor)
            stored |= {cube.id: (cube.text, cube.version) for cube in page}
            cursor = page.cursor
            if cursor is None:
                break
        expected: dict[str, str] = {}
        for what, cube_id, name in acknowledged:
            expected[cube_id] = {"added": f"{name} first", "updated": f"{name} changed"}.get(
                what, ""
            )
        last_of_run = {name.split(" item ")[0]: cube_id for _what, cube_id, name in acknowledged}
        for cube_id, text in expected.items():
            if cube_id in last_of_run.values():
                continue  # its next verb may have committed just before the kill
            assert stored.get(cube_id, ("", 0))[0] == text
        firsts = sum(text.endswith(("first", "changed")) for text, _ in stored.values())
        forgotten = len([1 for text in expected.values() if not text])
        seconds = sum(text.endswith("second") for text, _ in stored.values())
        assert firsts + forgotten <= seconds <= firsts + forgotten + kills  # pairs, whole
        assert memos.verify_ledger().status == "self-consistent"
        assert memos.diagnose().problems == ()


@pytest.mark.parametrize("crowd", [6])
def test_readers_and_writers_in_many_processes_do_not_fail(folder: Path, crowd: int) -> None:
    MemOS.open(folder, embedder=HashingEmbedder()).close()
    with others(folder, *(f"user:u{number}" for number in range(crowd))) as processes:
        for number, each in enumerate(processes):
            each._pipe.send(("add_many", ([f"{number}:{i}" for i in range(30)],), {}))
        for each in processes:
            assert not isinstance(each._pipe.recv(), Exception)
        for number, each in enumerate(processes):
            assert all(text.startswith(f"{number}:") for text in each.search("0 1 2", k=50))
