"""Versions: what changed, going back, freezing; and random histories against a model."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from memos_core import (
    Change,
    ConflictError,
    DeniedError,
    Draft,
    InvalidInputError,
    Key,
    MemoryState,
    MemOS,
    MemosError,
    NotFoundError,
    Patch,
    SearchOptions,
    Sensitivity,
    Session,
    Snapshot,
)
from memos_core.testing import HashingEmbedder, ManualClock
from tests.conftest import Proof


def test_a_diff_names_each_field_that_changed_and_the_lines_of_the_text(alice: Session) -> None:
    cube = alice.add("tea\nno milk", tags={"taste"}, metadata={"since": 2020})
    alice.update(cube.id, Patch("tea\nmilk", tags=frozenset({"taste", "drink"})))
    alice.update(cube.id, Patch(metadata={"since": 2021}))
    found = alice.diff(cube.id, 1)
    assert (found.older, found.newer) == (1, 3)
    assert found.changes == (
        Change("metadata.since", 2020, 2021),
        Change("tags", ["taste"], ["drink", "taste"]),
    )
    assert found.text.splitlines()[-3:] == [" tea", "-no milk", "+milk"]
    assert alice.diff(cube.id, 2, 3).text == ""
    assert alice.diff(cube.id, 3).changes == ()


def test_a_diff_of_structured_content_goes_by_paths_and_shows_what_one_may_see(
    alice: Session, bob: Session
) -> None:
    fields = {"pay.base": "confidential"}
    cube = alice.add({"name": "Bo", "pay": {"base": 1}}, field_sensitivity=fields)
    alice.update(cube.id, {"name": "Bo", "pay": {"base": 2, "bonus": 3}})
    alice.grant("user:bob", "read", on="user:alice")
    assert alice.diff(cube.id, 1).changes == (
        Change("content.pay.base", 1, 2),
        Change("content.pay.bonus", None, 3),
    )
    assert bob.diff(cube.id, 1).changes == (Change("content.pay.bonus", None, 3),)
    assert "2" not in bob.diff(cube.id, 1).text.replace("version 2", "")


def test_a_rollback_is_a_new_version_that_equals_an_old_one(alice: Session) -> None:
    cube = alice.add("one", tags={"a"}, metadata={"n": 1}, speaker="Zoe")
    alice.update(cube.id, Patch("two", tags=frozenset({"b"}), metadata={"n": 2}))
    back = alice.rollback(cube.id, 1, reason="it was right")
    assert (back.version, back.text, back.meta.tags, back.meta.metadata) == (
        3,
        "one",
        ("a",),
        {"n": 1},
    )
    assert [(v.number, v.action, v.reason) for v in alice.history(cube.id)][-1] == (
        3,
        "rollback",
        "it was right",
    )
    assert alice.search("one")[0].cube.version == 3
    assert alice.search("two").texts == ["one"]


def test_a_rollback_brings_no_old_permission_back(
    alice: Session, bob: Session, clock: ManualClock
) -> None:
    cube = alice.add({"pay": 7}, sensitivity="public", key="k")
    alice.grant("user:bob", "read", on="user:alice")
    alice.update(
        cube.id,
        Patch(
            access=frozenset({"user:alice"}),
            sensitivity=Sensitivity.RESTRICTED,
            field_sensitivity={"pay": Sensitivity.RESTRICTED},
            expires=timedelta(days=1),
        ),
    )
    back = alice.rollback(Key("k"), 1)
    assert back.meta.access == ("user:alice",)
    assert back.meta.sensitivity == Sensitivity.RESTRICTED
    assert back.meta.field_sensitivity == {"pay": Sensitivity.RESTRICTED}
    with pytest.raises(NotFoundError):
        bob.get(cube.id)
    clock.turn(timedelta(days=2))
    with pytest.raises(NotFoundError):
        alice.get(cube.id)


def test_a_rollback_needs_the_right_to_write_and_a_version_that_may_be_read(
    alice: Session, bob: Session
) -> None:
    cube = alice.add("secret", sensitivity="confidential")
    alice.update(cube.id, Patch("open", sensitivity=Sensitivity.PUBLIC))
    alice.grant("user:bob", "read", on="user:alice")
    with pytest.raises(DeniedError):
        bob.rollback(cube.id, 2)
    alice.grant("user:bob", "write", on="user:alice")
    with pytest.raises(NotFoundError, match="no version 1"):
        bob.rollback(cube.id, 1)
    with pytest.raises(NotFoundError):
        alice.rollback(cube.id, 9)
    with pytest.raises(ConflictError):
        alice.rollback(cube.id, 1, expected_version=1)


def test_what_is_frozen_does_not_change_until_it_is_unfrozen(alice: Session) -> None:
    cube = alice.add("as it is", key="k")
    assert alice.freeze(cube.id, reason="for the audit").meta.frozen
    for change in (
        lambda: alice.update(cube.id, "changed"),
        lambda: alice.rollback(cube.id, 1),
        lambda: alice.freeze(cube.id),
        lambda: alice.add_many([Draft("changed", key="k")], on_key="replace"),
    ):
        with pytest.raises(ConflictError, match="frozen"):
            change()
    assert alice.get(cube.id).text == "as it is"
    assert not alice.unfreeze(cube.id).meta.frozen
    with pytest.raises(ConflictError, match="not frozen"):
        alice.unfreeze(cube.id)
    assert alice.update(cube.id, "changed").version == 4
    assert [v.action for v in alice.history(cube.id)] == ["add", "freeze", "unfreeze", "update"]


def test_what_is_frozen_can_be_forgotten(alice: Session) -> None:
    cube = alice.add("x")
    alice.freeze(cube.id)
    assert alice.forget(cube.id).forgotten == (cube.id,)


# -- random histories against a model --------------------------------------------------------------


@dataclass
class State:
    """One version, as the model keeps it."""

    at: datetime
    content: Any
    tags: frozenset[str]
    sensitivity: int
    frozen: bool
    expires: datetime | None
    archived: bool = False


@dataclass
class Past:
    """One memory, as the model keeps it."""

    id: str
    states: list[State] = field(default_factory=list)
    forgotten: bool = False

    def now(self) -> State:
        return self.states[-1]

    def ended(self, now: datetime) -> bool:
        end = self.now().expires
        return self.forgotten or (end is not None and end <= now)

    def then(self, when: datetime) -> State | None:
        found = [state for state in self.states if state.at <= when]
        return found[-1] if found else None


class History:
    """A vault and its model, changed step by step.

    Alice writes in a shared space, cleared for everything; bob reads it, cleared for internal.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.clock = ManualClock()
        self.memos = MemOS.open(folder, embedder=HashingEmbedder(), clock=self.clock)
        owner = self.memos.session("user:owner")
        owner.grant("user:alice", ["read", "write", "share"], on="acme")
        owner.grant("user:bob", "read", on="acme")
        owner.set_clearance("user:alice", "restricted")
        self.alice = self.memos.session("user:alice", space="acme")
        self.bob = self.memos.session("user:bob", space="acme")
        self.pasts: list[Past] = []
        self.snapshots: list[Snapshot] = []
        self.taken_back = 0

    def live(self) -> list[Past]:
        return [each for each in self.pasts if not each.ended(self.clock.now())]

    def word(self) -> str:
        return self.rng.choice(["tea", "milk", "boat", "lamp", "rope", "noon"]) + str(
            self.rng.randrange(100)
        )

    def step(self) -> None:
        self.clock.turn(timedelta(minutes=self.rng.randrange(1, 90)))
        kinds = ["add", "add", "update", "append", "merge", "rollback", "freeze", "unfreeze"]
        kinds += ["archive", "unarchive", "snapshot", "restore", "restore"]
        kind = self.rng.choice([*kinds, "relabel", "retag", "expire", "forget", "jump"])
        live = self.live()
        if kind == "add" or not live:
            self.add()
        elif kind == "jump":
            self.clock.turn(timedelta(hours=self.rng.randrange(1, 60)))
        elif kind in ("snapshot", "restore"):
            getattr(self, kind)()
        else:
            getattr(self, kind)(self.rng.choice(live))

    def add(self) -> None:
        content: Any = self.rng.choice([self.word(), {"a": self.word(), "l": [self.word()]}])
        tags = frozenset({self.word()})
        level = self.rng.choice([1, 1, 2])
        cube = self.alice.add(Draft(content, tags=tags, sensitivity=Sensitivity(level)))
        past = Past(cube.id)
        past.states.append(State(self.at(cube), content, tags, level, False, None))
        self.pasts.append(past)

    def at(self, cube: Any) -> datetime:
        found: datetime = cube.meta.updated
        return found

    def changed(self, past: Past, call: Callable[[], Any], **fields: Any) -> None:
        """Make a change in both; a frozen memory changes in neither."""
        before = past.now()
        if before.frozen and "frozen" not in fields:
            with pytest.raises(ConflictError):
                call()
            return
        cube = call()
        state = State(**(before.__dict__ | fields | {"at": self.at(cube)}))
        past.states.append(state)

    def update(self, past: Past) -> None:
        content = self.word()
        self.changed(past, lambda: self.alice.update(past.id, content), content=content)

    def append(self, past: Past) -> None:
        old, word = past.now().content, self.word()
        if isinstance(old, str):
            new: Any = f"{old}\n{word}"
            self.changed(past, lambda: self.alice.update(past.id, word, mode="append"), content=new)

    def merge(self, past: Past) -> None:
        old, word = past.now().content, self.word()
        if isinstance(old, str):
            new: Any = old if word in old.splitlines() else f"{old}\n{word}"
            given: Any = word
        else:
            given = {"l": [word], "b": 1}
            items = old.get("l", [])
            new = old | {"l": items if word in items else [*items, word], "b": 1}
        self.changed(past, lambda: self.alice.update(past.id, given, mode="merge"), content=new)

    def retag(self, past: Past) -> None:
        tags = frozenset({self.word()})
        self.changed(past, lambda: self.alice.update(past.id, Patch(tags=tags)), tags=tags)

    def relabel(self, past: Past) -> None:
        level = self.rng.choice([1, 2])
        patch = Patch(sensitivity=Sensitivity(level))
        self.changed(past, lambda: self.alice.update(past.id, patch), sensitivity=level)

    def expire(self, past: Past) -> None:
        end = self.clock.now() + timedelta(hours=self.rng.randrange(1, 200))
        self.changed(past, lambda: self.alice.update(past.id, Patch(expires=end)), expires=end)

    def rollback(self, past: Past) -> None:
        number = self.rng.randrange(len(past.states)) + 1
        was = past.states[number - 1]
        self.changed(
            past,
            lambda: self.alice.rollback(past.id, number),
            content=was.content,
            tags=was.tags,
        )

    def freeze(self, past: Past) -> None:
        if not past.now().frozen:
            self.changed(past, lambda: self.alice.freeze(past.id), frozen=True)

    def unfreeze(self, past: Past) -> None:
        if past.now().frozen:
            self.changed(past, lambda: self.alice.unfreeze(past.id), frozen=False)

    def archive(self, past: Past) -> None:
        if not past.now().archived:
            self.changed(past, lambda: self.alice.archive(past.id), archived=True)

    def unarchive(self, past: Past) -> None:
        if past.now().archived:
            self.changed(past, lambda: self.alice.unarchive(past.id), archived=False)

    def snapshot(self) -> None:
        taken = self.alice.snapshots.take(f"number {len(self.snapshots)}")
        self.snapshots.append(taken)
        assert self.bob.snapshots.list() == self.snapshots

    def restore(self) -> None:
        """Take the space back to a snapshot, or to any instant."""
        first = self.pasts[0].states[0].at
        seconds = max(int((self.clock.now() - first).total_seconds()), 1)
        then = first + timedelta(seconds=self.rng.randrange(seconds))
        to = self.rng.choice([*self.snapshots, then])
        when = to if isinstance(to, datetime) else to.when
        changes: dict[str, dict[str, Any]] = {}
        frozen = set()
        for past in self.live():
            now, was = past.now(), past.then(when)
            wanted: dict[str, Any] = {"archived": True}
            if was is not None:
                wanted = {"archived": was.archived, "content": was.content, "tags": was.tags}
            if all(getattr(now, name) == value for name, value in wanted.items()):
                continue
            if now.frozen:
                frozen.add(past.id)
            else:
                changes[past.id] = wanted
        done = self.alice.snapshots.restore(to)
        assert {*done.changed, *done.archived, *done.returned} == changes.keys()
        assert set(done.frozen) == frozen
        self.taken_back += len(changes)
        for past in self.pasts:
            if past.id in changes:
                at = self.at(self.alice.get(past.id))
                past.states.append(State(**(past.now().__dict__ | changes[past.id] | {"at": at})))

    def forget(self, past: Past) -> None:
        if self.rng.random() < 0.4:
            self.alice.forget(past.id)
            past.forgotten = True

    # -- questions -------------------------------------------------------------------------------

    def check(self) -> None:
        now = self.clock.now()
        for who, clearance in ((self.alice, 3), (self.bob, 1)):
            readable = {
                each.id: each.now()
                for each in self.pasts
                if not each.ended(now) and each.now().sensitivity <= clearance
            }
            expected = {each: state for each, state in readable.items() if not state.archived}
            listed = {cube.id: cube for cube in who.get_all(limit=1_000)}
            assert listed.keys() == expected.keys()
            put_away = {cube.id for cube in who.get_all(limit=1_000, where={"state": "archived"})}
            assert put_away == readable.keys() - expected.keys()
            for cube_id, state in expected.items():
                self.same(listed[cube_id], state)
            for past in self.pasts:
                self.check_one(who, clearance, past, now)
            self.check_then(who, clearance, now)

    def same(self, cube: Any, state: State) -> None:
        assert cube.content == state.content
        assert frozenset(cube.meta.tags) == state.tags
        assert cube.meta.sensitivity == state.sensitivity
        assert cube.meta.frozen == state.frozen
        assert (cube.meta.state == MemoryState.ARCHIVED) == state.archived

    def check_one(self, who: Session, clearance: int, past: Past, now: datetime) -> None:
        if past.ended(now) or past.now().sensitivity > clearance:
            for call in (who.get, who.history):
                with pytest.raises(NotFoundError):
                    call(past.id)
            return
        versions = who.history(past.id)
        expected = [
            (number, state)
            for number, state in enumerate(past.states, 1)
            if state.sensitivity <= clearance
        ]
        assert [each.number for each in versions] == [number for number, _ in expected]
        for each, (_, state) in zip(versions, expected, strict=True):
            self.same(each.cube, state)

    def check_then(self, who: Session, clearance: int, now: datetime) -> None:
        first = self.pasts[0].states[0].at if self.pasts else now
        seconds = max(int((now - first).total_seconds()), 1)
        when = first + timedelta(seconds=self.rng.randrange(seconds))
        listed = {cube.id: cube for cube in who.at(when).get_all(limit=1_000)}
        expected = {}
        for past in self.pasts:
            state = past.then(when)
            if state is None or past.ended(now) or past.now().sensitivity > clearance:
                continue
            alive = state.expires is None or state.expires > when
            if state.sensitivity <= clearance and alive and not state.archived:
                expected[past.id] = state
        assert listed.keys() == expected.keys()
        for cube_id, state in expected.items():
            self.same(listed[cube_id], state)


def test_random_histories_equal_those_of_an_independent_model(
    tmp_path: Path, scaled: Callable[[int, int], int], proof: Proof
) -> None:
    histories, taken_back = scaled(100, 2_000), 0
    for seed in range(histories):
        history = History(tmp_path / str(seed), seed)
        try:
            for _ in range(history.rng.randrange(5, 15)):
                history.step()
            history.check()
            taken_back += history.taken_back
        except MemosError as error:
            raise AssertionError(f"seed {seed}") from error
        finally:
            history.memos.close()
    assert taken_back > histories // 10
    found = f"0 differences, {taken_back} memories taken back"
    proof("random histories against a model", histories, found)


# -- the clock -------------------------------------------------------------------------------------


def test_what_has_expired_stays_expired_however_the_clock_jumps(
    tmp_path: Path, scaled: Callable[[int, int], int], proof: Proof
) -> None:
    """Jumps of up to ten years either way, also while the vault is closed."""
    jumps = scaled(50, 500)
    rng = random.Random(0)
    clock = ManualClock()
    start = clock.now()
    ended: set[str] = set()
    ends: dict[str, datetime] = {}
    memos = MemOS.open(tmp_path / "vault", embedder=HashingEmbedder(), clock=clock)
    try:
        for number in range(jumps):
            alice = memos.session("user:alice")
            jump = timedelta(days=rng.randrange(-3_650, 3_651))
            clock.set(start + number * timedelta(days=30) + jump)
            if number % 10 == 9:
                memos.close()
                memos = MemOS.open(tmp_path / "vault", embedder=HashingEmbedder(), clock=clock)
                alice = memos.session("user:alice")
            cube = alice.add(f"note {number}", expires=timedelta(days=rng.randrange(1, 2_000)))
            ends[cube.id] = cube.meta.expires  # type: ignore[assignment]
            returned = {hit.id for hit in alice.search("note", k=1_000)}
            assert returned == {each.id for each in alice.get_all(limit=1_000)}
            assert not returned & ended
            ended |= ends.keys() - returned
            for cube_id in rng.sample(sorted(ended), min(5, len(ended))):
                with pytest.raises(NotFoundError):
                    alice.get(cube_id)
            assert all(ends[cube_id] > cube.meta.created for cube_id in returned)  # type: ignore[operator]
    finally:
        memos.close()
    assert len(ended) > jumps // 20
    proof("jumps of the clock by up to ten years", jumps, f"0 of {len(ended)} expired returned")


def test_with_a_half_life_the_recent_comes_first(alice: Session, clock: ManualClock) -> None:
    alice.add("the boat leaves at nine")
    clock.turn(timedelta(days=60))
    alice.add("the boat leaves at ten")
    plain = alice.search("the boat leaves at nine")
    assert plain.texts[0] == "the boat leaves at nine"
    aged = alice.search(
        "the boat leaves at nine", options=SearchOptions(half_life=timedelta(days=7))
    )
    assert aged.texts[0] == "the boat leaves at ten"
    assert aged[1].why["decay"] == pytest.approx(-plain[0].score, rel=0.01)
    assert aged[1].score == pytest.approx(sum(aged[1].why.values()), abs=1e-6)
    with pytest.raises(InvalidInputError, match="half_life"):
        SearchOptions(half_life=timedelta())
