"""Snapshots: named instants of a space, who may use them, and taking a space back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from memos_core import (
    ConflictError,
    DeniedError,
    Draft,
    InvalidInputError,
    Key,
    MemoryState,
    MemOS,
    NotFoundError,
    Patch,
    Sensitivity,
    Session,
)
from memos_core.testing import ManualClock


@pytest.fixture
def team(memos: MemOS) -> Session:
    """Alice, who writes in acme, and bob, who reads there."""
    owner = memos.session("user:owner")
    owner.grant("user:alice", ["read", "write", "share"], on="acme")
    owner.grant("user:bob", "read", on="acme")
    return memos.session("user:alice", space="acme")


def test_a_space_is_taken_back_and_the_restore_can_be_undone(
    team: Session, clock: ManualClock
) -> None:
    kept = team.add("stays as it is")
    changed = team.add("the plan is A", tags={"plan"}, metadata={"n": 1})
    put_away = team.add("an old note")
    snapshot = team.snapshots.take("monday", reason="before the meeting")
    clock.turn(timedelta(hours=1))
    team.update(changed.id, Patch("the plan is B", tags=frozenset(), metadata={}))
    added = team.add("a new idea")
    team.archive(put_away.id)
    assert set(team.search("plan note idea", k=9).texts) == {
        "stays as it is", "the plan is B", "a new idea",
    }  # fmt: skip
    clock.turn(timedelta(minutes=1))
    now = clock.now()
    clock.turn(timedelta(hours=1))

    done = team.snapshots.restore("monday")
    assert (done.changed, done.archived, done.returned, done.frozen) == (
        (changed.id,), (added.id,), (put_away.id,), (),
    )  # fmt: skip
    assert {each.text for each in team.get_all()} == {
        "stays as it is", "the plan is A", "an old note",
    }  # fmt: skip
    back = team.get(changed.id)
    assert (back.meta.tags, back.meta.metadata, back.version) == (("plan",), {"n": 1}, 3)
    assert team.get(added.id).meta.state == MemoryState.ARCHIVED
    history = [(each.action, each.reason) for each in team.history(put_away.id)]
    assert [action for action, _ in history] == ["add", "archive", "unarchive"]
    assert team.history(kept.id)[-1].number == 1
    again = team.snapshots.restore(snapshot)
    assert (again.changed, again.archived, again.returned, again.frozen) == ((), (), (), ())

    assert now < done.before < clock.now() + timedelta(minutes=1)
    undone = team.snapshots.restore(done.before)
    assert (undone.changed, undone.archived, undone.returned) == (
        (changed.id,), (put_away.id,), (added.id,),
    )  # fmt: skip
    assert {each.text for each in team.get_all()} == {
        "stays as it is", "the plan is B", "a new idea",
    }  # fmt: skip


def test_nothing_forgotten_expired_frozen_hidden_or_outside_is_touched(
    memos: MemOS, team: Session, clock: ManualClock
) -> None:
    owner = memos.session("user:owner")
    gone, frozen = team.add("forget me"), team.add("freeze me")
    ending = team.add("ends", expires=timedelta(hours=2))
    elsewhere = owner.add("another team's", space="other")
    inner = team.add("inner", space="acme/inner")
    secret = owner.add("secret", space="acme")
    secret = owner.update(secret.id, Patch(sensitivity=Sensitivity.RESTRICTED))
    narrowed = team.add("was open", sensitivity="public")
    snapshot = team.snapshots.take("then")
    clock.turn(timedelta(hours=1))
    team.forget(gone.id)
    team.update(frozen.id, "changed, then frozen")
    team.freeze(frozen.id)
    team.update(ending.id, "changed before it ends")
    owner.update(elsewhere.id, "changed elsewhere")
    team.update(inner.id, "changed within")
    team.update(narrowed.id, Patch("narrow now", sensitivity=Sensitivity.CONFIDENTIAL))
    owner.set_clearance("user:owner", "restricted")
    owner.update(secret.id, "changed secret")
    clock.turn(timedelta(hours=2))

    done = team.snapshots.restore(snapshot)
    assert (done.frozen, set(done.changed)) == ((frozen.id,), {inner.id})
    for absent in (gone.id, ending.id):
        with pytest.raises(NotFoundError):
            team.get(absent)
    assert team.get(frozen.id).text == "changed, then frozen"
    assert owner.get(elsewhere.id).text == "changed elsewhere"
    assert owner.get(secret.id).text == "changed secret"
    assert owner.get(narrowed.id).text == "narrow now", "alice may not read it any more"
    owner.set_clearance("user:alice", "confidential")
    assert team.snapshots.restore(snapshot).changed == (narrowed.id,)
    assert team.get(narrowed.id).meta.sensitivity == Sensitivity.CONFIDENTIAL


def test_names_are_for_those_who_may_write_and_seen_by_those_who_may_read(
    memos: MemOS, team: Session
) -> None:
    bob = memos.session("user:bob", space="acme")
    carol, owner = memos.session("user:carol"), memos.session("user:owner")
    taken = team.snapshots.take("one")
    inner = team.snapshots.take("one", space="acme/inner")
    mine = carol.snapshots.take("one")
    with pytest.raises(ConflictError, match="'one' already"):
        team.snapshots.take("one")
    assert bob.snapshots.list() == team.snapshots.list() == [taken, inner]
    assert owner.snapshots.list() == [taken, inner], "nobody's own space is shared"
    assert bob.snapshots.list(space="acme/inner") == [inner]
    assert carol.snapshots.list() == [mine]
    for call in (
        lambda: bob.snapshots.take("two"),
        lambda: bob.snapshots.restore("one"),
        lambda: bob.snapshots.restore(taken),
        lambda: team.snapshots.take("two", space="other"),
        lambda: bob.at(taken.when).snapshots.take("two"),
    ):
        with pytest.raises(DeniedError):
            call()
    for session, name in ((bob, "one"), (team, "no such"), (carol, "one")):
        with pytest.raises(NotFoundError, match="no snapshot"):
            session.snapshots.drop(name, space="acme")
    with pytest.raises(NotFoundError):
        carol.snapshots.restore("one", space="acme")
    team.snapshots.drop("one")
    assert team.snapshots.list() == [inner]
    team.snapshots.take("one")
    log = owner.audit.query(action="snapshot")
    assert {(each.principal, each.outcome, each.subject) for each in log} >= {
        ("user:alice", "allowed", inner.id), ("user:bob", "denied", None),
    }  # fmt: skip


def test_bad_instants_and_names_are_refused(team: Session, clock: ManualClock) -> None:
    for to in (datetime(2026, 1, 1), clock.now() + timedelta(days=1)):  # noqa: DTZ001
        with pytest.raises(InvalidInputError):
            team.snapshots.restore(to)
    for name in ("", "x" * 1000, 7):
        with pytest.raises(InvalidInputError):
            team.snapshots.take(name)  # type: ignore[arg-type]
    assert team.snapshots.restore(datetime(2020, 1, 1, tzinfo=UTC)).changed == ()


def test_what_is_archived_is_found_by_who_asks_for_it(team: Session) -> None:
    cube, other = team.add("an old note", key="k"), team.add("a new note")
    assert team.archive(Key("k")).meta.state == MemoryState.ARCHIVED
    assert team.search("note").texts == ["a new note"]
    assert team.context("note", budget_tokens=100).text.count("old note") == 0
    assert team.search("note", where={"state": "archived"}).texts == ["an old note"]
    everything = {"state": {"$in": ["archived", "generated"]}}
    assert {each.id for each in team.get_all(where=everything)} == {cube.id, other.id}
    assert team.get(cube.id).text == "an old note"
    with pytest.raises(ConflictError, match="is archived"):
        team.archive(cube.id)
    with pytest.raises(ConflictError, match="not archived"):
        team.unarchive(other.id)
    assert team.update(cube.id, "an older note").meta.state == MemoryState.ARCHIVED
    assert team.unarchive(cube.id).meta.state == MemoryState.GENERATED
    assert set(team.search("note").texts) == {"an older note", "a new note"}
    assert [each.cube.meta.state for each in team.history(cube.id)] == [
        MemoryState.GENERATED, MemoryState.ARCHIVED, MemoryState.ARCHIVED, MemoryState.GENERATED,
    ]  # fmt: skip


def test_a_replacement_by_key_takes_a_memory_out_of_the_archive(team: Session) -> None:
    team.add("an old note", key="k")
    team.archive(Key("k"))
    team.add_many([Draft("a new note", key="k")], on_key="replace")
    assert team.search("note").texts == ["a new note"]


def test_a_restore_in_a_pipeline_is_undone_with_it(team: Session) -> None:
    cube = team.add("as it was")
    snapshot = team.snapshots.take("then")
    team.update(cube.id, "as it is")

    def doomed() -> None:
        with team.pipeline() as chain:
            assert chain.snapshots.restore(snapshot).changed == (cube.id,)
            chain.add("x", space="elsewhere")

    with pytest.raises(DeniedError):
        doomed()
    assert team.get(cube.id).text == "as it is"
    with team.pipeline() as chain:
        chain.snapshots.restore(snapshot)
    assert team.get(cube.id).text == "as it was"
