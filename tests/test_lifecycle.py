"""MemLifecycle: one table of transitions, and the worker that carries out what falls due."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from sqlalchemy import text

from memos_core import (
    ConflictError,
    Decay,
    Draft,
    MemoryState,
    MemOS,
    MemosError,
    NotFoundError,
    Session,
    Settings,
)
from memos_core.infrastructure.vault.tasks import given_up
from memos_core.operation.lifecycle.states import TABLE, Transition, after
from memos_core.operation.policies.decay import DAY, Standing, is_faded, strength
from memos_core.operation.upkeep.worker import Worker, pause_after
from memos_core.testing import HashingEmbedder, ManualClock, temporary_memos
from tests.conftest import Proof
from tests.processes import SPAWN

STATES = st.sampled_from(list(MemoryState))
STEPS = st.sampled_from(list(Transition))


@given(STATES, STEPS, st.booleans())
def test_the_table_is_all_there_is(state: MemoryState, step: Transition, frozen: bool) -> None:
    expected = TABLE[step].get(state)
    if expected is None or (frozen and step is not Transition.EXPIRE):
        with pytest.raises(ConflictError):
            after(state, step, frozen=frozen)
    else:
        assert after(state, step, frozen=frozen) is expected


@given(st.lists(STEPS, max_size=30))
def test_nothing_leads_out_of_expired(steps: list[Transition]) -> None:
    for step in steps:
        with pytest.raises(ConflictError):
            after(MemoryState.EXPIRED, step)


class Lives(RuleBasedStateMachine):
    """Verbs of sessions in any order: a memory's state only ever moves as the table has it."""

    def __init__(self) -> None:
        super().__init__()
        self._clock = ManualClock()
        self._context = temporary_memos(clock=self._clock)
        self.memos = self._context.__enter__()
        self.alice = self.memos.session("user:alice")
        ends = self._clock.now() + timedelta(days=30)
        self.id = self.alice.add("the boat leaves", expires=ends).id
        self.seen = MemoryState.GENERATED

    def _look(self) -> None:
        now = _state(self.memos, self.id)
        if now is None:
            self.seen = MemoryState.EXPIRED
            return
        moves = {(a, b) for ways in TABLE.values() for a, b in ways.items()}
        assert now is self.seen or (self.seen, now) in moves
        self.seen = now

    @rule(verb=st.sampled_from(["archive", "unarchive", "freeze", "unfreeze", "enable", "disable"]))
    def step(self, verb: str) -> None:
        before = _row(self.memos, self.id)
        frozen = before is not None and bool(json.loads(before[1]).get("frozen"))
        try:
            getattr(self.alice, verb)(self.id)
        except MemosError:
            assert _row(self.memos, self.id) == before
        else:
            assert not frozen or verb == "unfreeze", "frozen never changes"
        self._look()

    @rule(content=st.text(min_size=1, max_size=5).filter(str.strip))
    def write(self, content: str) -> None:
        before = _row(self.memos, self.id)
        frozen = before is not None and bool(json.loads(before[1]).get("frozen"))
        try:
            self.alice.update(self.id, content)
        except MemosError:
            assert _row(self.memos, self.id) == before
        else:
            assert not frozen
            assert self.seen is not MemoryState.EXPIRED
        self._look()

    @rule(days=st.integers(1, 20))
    def wait(self, days: int) -> None:
        self._clock.turn(timedelta(days=days))
        self.memos.maintain()
        self._look()
        if self.seen is MemoryState.EXPIRED:
            with pytest.raises(NotFoundError):
                self.alice.get(self.id)

    def teardown(self) -> None:
        self._context.__exit__(None, None, None)


TestLives = Lives.TestCase
TestLives.settings = hypothesis_settings(max_examples=12, stateful_step_count=25, deadline=None)


def _row(memos: MemOS, cube_id: str) -> tuple[str, str, int] | None:
    """Read the state, the header and the version of a memory where they are stored."""
    query = (
        "SELECT c.state, v.header, c.version FROM cubes c JOIN versions v "
        "ON v.cube_id = c.id AND v.version = c.version WHERE c.id = :id"
    )
    with memos._vault.read() as tx:
        row = tx.connection.execute(text(query), {"id": cube_id}).one_or_none()
    return None if row is None else (row[0], row[1], row[2])


def _state(memos: MemOS, cube_id: str) -> MemoryState | None:
    row = _row(memos, cube_id)
    return None if row is None else MemoryState(row[0])


def test_what_has_ended_is_marked_and_then_its_bytes_go(folder: Path, clock: ManualClock) -> None:
    settings = Settings(expired_kept=timedelta(days=7))
    with MemOS.open(folder, embedder=HashingEmbedder(), clock=clock, settings=settings) as memos:
        alice = memos.session("user:alice")
        short = alice.add("the code is 1234", expires=timedelta(days=1))
        long = alice.add("the code is 5678", expires=timedelta(days=30))
        derived = alice.add("codes: 1234", parents=(short.id,))
        assert memos.maintain().done.get("expire") is None
        clock.turn(timedelta(days=2))
        assert memos.maintain().done["expire"] == 2  # what is derived ends with its source
        assert _state(memos, short.id) is MemoryState.EXPIRED
        assert alice.search("code").texts == ["the code is 5678"]
        clock.turn(timedelta(days=7))
        memos.maintain()
        assert _row(memos, short.id) is None
        assert _row(memos, derived.id) is None
        assert alice.get(long.id).text == "the code is 5678"
        with memos._vault.read() as tx:
            query = text("SELECT type, count(*) FROM ledger WHERE subject = :id GROUP BY type")
            rows = tx.connection.execute(query, {"id": short.id}).all()
        told = {row.type: row[1] for row in rows}
        assert told["memos.expire"] == 1
        assert told["memos.forget"] == 1


def test_what_is_held_outlives_its_end_unread_and_goes_when_the_hold_does(
    memos: MemOS, clock: ManualClock
) -> None:
    owner = memos.session("user:owner")
    cube = owner.add("evidence", space="acme", expires=timedelta(days=1))
    hold = owner.governance.hold(cube.id, reason="a law suit")
    clock.turn(timedelta(days=2))
    told = memos.maintain()
    assert _state(memos, cube.id) is MemoryState.EXPIRED
    assert told.failed == {}
    assert told.given_up == ()
    with pytest.raises(NotFoundError):
        owner.get(cube.id)
    owner.governance.lift(hold)
    clock.turn(timedelta(days=2))
    memos.maintain()
    assert _row(memos, cube.id) is None


def test_what_nobody_uses_fades_into_the_archive_and_comes_back_unchanged(
    folder: Path, clock: ManualClock
) -> None:
    decay = Decay(half_life=timedelta(days=10), archive_below=0.1)
    settings = Settings(decay=decay)
    with MemOS.open(folder, embedder=HashingEmbedder(), clock=clock, settings=settings) as memos:
        alice = memos.session("user:alice")
        cold = alice.add("a cold boat")
        warm = alice.add("a warm train")
        frozen = alice.add("a frozen pipe")
        alice.freeze(frozen.id)
        dear = alice.add("a dear friend", priority="high")
        for _ in range(5):
            clock.turn(timedelta(days=8))
            alice.get(warm.id)
            memos.maintain()
        states = {each.id: _state(memos, each.id) for each in (cold, warm, frozen, dear)}
        assert states == {
            cold.id: MemoryState.ARCHIVED,
            warm.id: MemoryState.GENERATED,
            frozen.id: MemoryState.GENERATED,
            dear.id: MemoryState.GENERATED,
        }
        back = alice.unarchive(cold.id)
        assert back.text == "a cold boat"
        assert [each.action for each in alice.history(cold.id)] == ["add", "archive", "unarchive"]
        memos.maintain()
        assert _state(memos, cold.id) is MemoryState.GENERATED  # it was just touched


@given(st.integers(0, 10**6), st.integers(0, 10**15), st.integers(0, 10**15))
def test_strength_falls_with_age_and_rises_with_use(uses: int, age: int, more: int) -> None:
    policy, now = Decay(), 10**16
    young = strength(Standing(now - age, uses), policy, now)
    old = strength(Standing(now - age - more, uses), policy, now)
    used = strength(Standing(now - age, uses + 1), policy, now)
    assert 0 <= old <= young <= used <= 1
    assert not is_faded(Standing(0, 0, frozen=True), policy, 10**6 * DAY)


def test_uses_are_counted_from_the_ledger_once_and_per_reader(
    memos: MemOS, alice: Session, bob: Session
) -> None:
    cube = alice.add("the boat leaves", space="user:alice")
    alice.grant("user:bob", "read", on=cube.id)
    for _ in range(3):
        alice.search("boat")
    bob.get(cube.id)
    memos.maintain()
    memos.maintain()
    with memos._vault.read() as tx:
        rows = tx.connection.execute(text("SELECT uses FROM usages ORDER BY uses")).scalars().all()
    assert rows == [1, 3]
    alice.forget(cube.id)
    memos.maintain()
    with memos._vault.read() as tx:
        assert tx.connection.execute(text("SELECT count(*) FROM usages")).scalar() == 0


class Breaking:
    """A duty that fails until it is told not to."""

    kind = "break"
    lease = timedelta(minutes=1)

    def __init__(self) -> None:
        self.broken = True
        self.tried = 0

    def due(self, tx: object, limit: int) -> list[str]:
        return ["it"] if limit and self.tried == 0 else []

    def carry_out(self, task: object) -> None:
        self.tried += 1
        if self.broken:
            raise ValueError("the secret is 1234")
        raise AssertionError("never reached while broken")


def test_what_keeps_failing_is_tried_ever_later_and_then_given_up(
    memos: MemOS, alice: Session, clock: ManualClock
) -> None:
    duty, alive = Breaking(), alice.add("another duty's work", expires=timedelta(hours=1))
    engine = memos._engine
    for _ in range(40):
        Worker(engine.gate, [duty, *engine.duties]).run()
        clock.turn(timedelta(hours=2))
    assert duty.tried == 8
    assert _row(memos, alive.id) is None, "what breaks does not stop the rest"
    (dead,) = memos.maintain().given_up
    assert (dead.kind, dead.subject, dead.attempts) == ("break", "it", 8)
    assert dead.error == "ValueError", "what an unknown error says may hold content"
    assert memos.try_again() == 1
    Worker(engine.gate, [duty]).run()
    assert duty.tried == 9
    with memos._vault.read() as tx:
        assert given_up(tx) == []


def test_pauses_grow_and_are_bounded() -> None:
    pauses = [pause_after(n, 0.5) for n in range(1, 40)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == timedelta(hours=1)


def work_until_killed(folder: str, seed: int) -> None:
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        while True:
            memos.maintain()
            time.sleep(0.002 + seed % 3 / 1000)


def test_workers_killed_at_random_do_each_transition_exactly_once(
    folder: Path, scaled: Callable[[int, int], int], proof: Proof
) -> None:
    total, kills, seed = scaled(400, 5_000), scaled(20, 200), 7
    ended = _with_ended(folder, total)
    _kill_workers(folder, kills, random.Random(seed))
    later = ManualClock(datetime.now(UTC) + timedelta(minutes=10))  # all leases of the dead ended
    with MemOS.open(folder, embedder=HashingEmbedder(), clock=later) as memos:
        assert memos.maintain().given_up == ()
        with memos._vault.read() as tx:
            query = text("SELECT type, subject, count(*) FROM ledger GROUP BY type, subject")
            counts = {(kind, subject): n for kind, subject, n in tx.connection.execute(query)}
            tasks = tx.connection.execute(text("SELECT count(*) FROM tasks")).scalar()
        expired = Counter(counts.get(("memos.expire", each), 0) for each in ended)
        gone = Counter(counts.get(("memos.forget", each), 0) for each in ended)
        assert expired == {1: total}
        assert gone == {1: total}
        assert tasks == 0
        assert memos.diagnose().is_healthy
        assert memos.verify_ledger().status == "self-consistent"
    proof("due transitions done exactly once under killed workers", 2 * total, f"{kills} kills")


def _with_ended(folder: Path, total: int) -> list[str]:
    """Make a vault in which so many memories have ended."""
    clock = ManualClock()
    with MemOS.open(folder, embedder=HashingEmbedder(), clock=clock) as memos:
        alice = memos.session("user:alice")
        drafts = [f"boat {number}" for number in range(total)]
        cubes = alice.add_many([Draft(each, expires=timedelta(hours=1)) for each in drafts])
        alice.add("what stays")
    return [cube.id for cube in cubes]


def _kill_workers(folder: Path, kills: int, dice: random.Random) -> None:
    """Let 4 workers run, and kill one of them again and again."""
    running = [_start(folder, number) for number in range(4)]
    for number in range(kills):
        time.sleep(dice.uniform(0.01, 0.15))
        place = dice.randrange(4)
        os.kill(running[place].pid or 0, signal.SIGKILL)
        running[place].join()
        running[place] = _start(folder, number)
    for each in running:
        each.kill()
        each.join()


def _start(folder: Path, number: int) -> SPAWN.Process:  # type: ignore[name-defined]
    process = SPAWN.Process(target=work_until_killed, args=(str(folder), number))
    process.start()
    return process
