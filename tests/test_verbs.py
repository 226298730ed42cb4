"""The verbs of a session, one behaviour at a time."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from memos_core import (
    AsyncAudit,
    AsyncGovernance,
    AsyncOrganizer,
    AsyncSession,
    AsyncSnapshots,
    Audit,
    ConflictError,
    DeniedError,
    Document,
    Draft,
    Governance,
    Interval,
    InvalidInputError,
    Key,
    MemOS,
    Message,
    NotFoundError,
    Organizer,
    Patch,
    Session,
    Snapshots,
)
from memos_core.testing import HashingEmbedder, ManualClock


def test_a_memory_is_found_by_its_owner_with_the_parts_of_its_score(alice: Session) -> None:
    alice.add("I am allergic to peanuts.")
    alice.add("The boat leaves at nine.")
    hit = alice.search("Which allergy, peanuts?")[0]
    assert hit.text == "I am allergic to peanuts."
    assert set(hit.why) == {"dense", "bm25"}
    assert hit.score == pytest.approx(sum(hit.why.values()), abs=1e-6)


def test_a_header_holds_what_was_given(alice: Session) -> None:
    when = datetime(2025, 5, 1, 12, tzinfo=UTC)
    cube = alice.add(
        "Tea, no milk.",
        key="taste",
        speaker="Alice",
        occurred_at=when,
        valid=Interval(start=when),
        expires=timedelta(days=400),
        semantic_type="preference",
        tags={"b", "a"},
        metadata={"n": 1, "deep": {"x": [1, None]}},
        sensitivity="confidential",
        source="session_1",
        priority="high",
    )
    meta = alice.get(cube.id).meta
    assert meta == cube.meta
    assert (meta.key, meta.speaker, meta.occurred_at, meta.valid_from) == (
        "taste",
        "Alice",
        when,
        when,
    )
    assert (meta.tags, meta.metadata) == (("a", "b"), {"n": 1, "deep": {"x": [1, None]}})
    assert (meta.owner, meta.space, meta.version) == ("user:alice", "user:alice", 1)
    assert meta.embedding_fp == "hashing-256[dim=256]"


@pytest.mark.parametrize(
    "content",
    [
        Message(role="assistant", parts="I booked it.", name="planner", id="m1"),
        Document(text="Nine to five.", title="Hours", uri="file:///hours.txt"),
        {"kind": "ticket", "number": 41, "open": True},
        ["a", 1, None],
        42,
        "zero \x00 and \u2028 and 😀",
    ],
)
def test_content_of_every_format_comes_back_equal(alice: Session, content: object) -> None:
    cube = alice.add(content)  # type: ignore[arg-type]
    assert alice.get(cube.id).content == content
    assert alice.search(cube.text[:40] or "x")[0].cube.content == content


def test_repeated_equal_messages_are_all_kept_in_order(alice: Session) -> None:
    said = ["Thanks!", "Welcome.", "Thanks!", "Thanks!"]
    alice.add_many([Draft(Message(role="user", parts=each)) for each in said])
    assert [cube.text for cube in alice.get_all()] == said


def test_get_all_pages_through_everything_once(alice: Session) -> None:
    said = [f"memory {number}" for number in range(25)]
    alice.add_many(said)
    seen, cursor = [], None
    while True:
        page = alice.get_all(limit=10, cursor=cursor)
        seen += [cube.text for cube in page]
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == said


def test_a_key_is_unique_per_space_and_what_on_key_does(alice: Session) -> None:
    first = alice.add("one", key="k")
    with pytest.raises(ConflictError, match="taken"):
        alice.add("two", key="k")
    assert alice.add("elsewhere", key="k", space="user:alice/notes").version == 1
    assert alice.add_many([Draft("two", key="k")], on_key="skip")[0] == first
    replaced = alice.add_many([Draft("two", key="k"), Draft("new", key="k2")], on_key="replace")
    assert [(cube.text, cube.version) for cube in replaced] == [("two", 2), ("new", 1)]
    assert alice.get(Key("k")).text == "two"


def test_an_update_is_a_new_version_and_the_old_one_stays(
    alice: Session, clock: ManualClock
) -> None:
    cube = alice.add("The launch is on 24 April.", tags={"launch"})
    clock.turn(timedelta(days=1))
    changed = alice.update(cube.id, "The launch is on 8 May.", reason="the hall was taken")
    assert (changed.id, changed.version, changed.meta.tags) == (cube.id, 2, ("launch",))
    first, second = alice.history(cube.id)
    assert (first.cube.text, first.action, first.author) == (cube.text, "add", "user:alice")
    assert (second.cube.text, second.reason) == ("The launch is on 8 May.", "the hall was taken")
    assert second.recorded_at - first.recorded_at > timedelta(hours=23)
    assert alice.get(cube.id, version=1).text == cube.text
    assert alice.search("launch").texts == ["The launch is on 8 May."]
    with pytest.raises(NotFoundError):
        alice.get(cube.id, version=3)


def test_a_stale_version_is_refused(alice: Session) -> None:
    cube = alice.add("one")
    alice.update(cube.id, "two", expected_version=1)
    with pytest.raises(ConflictError, match="at version 2, not 1"):
        alice.update(cube.id, "three", expected_version=1)
    assert alice.get(cube.id).text == "two"


def test_updates_append_and_merge(alice: Session) -> None:
    text = alice.add("milk")
    alice.update(text.id, "bread", mode="append")
    assert alice.update(text.id, "milk\neggs", mode="merge").text == "milk\nbread\neggs"
    data = alice.add({"likes": ["tea"], "age": 3})
    merged = alice.update(data.id, {"likes": ["tea", "rain"], "age": 4}, mode="merge")
    assert merged.content == {"likes": ["tea", "rain"], "age": 4}
    with pytest.raises(InvalidInputError, match="merge"):
        alice.update(data.id, "text", mode="append")
    with pytest.raises(InvalidInputError, match="overwrite"):
        alice.update(text.id, {"a": 1}, mode="append")


def test_a_patch_changes_fields_and_keeps_the_rest(alice: Session) -> None:
    cube = alice.add("x", tags={"a"}, metadata={"n": 1})
    changed = alice.update(cube.id, Patch(tags=frozenset({"b"}), sensitivity="restricted"))  # type: ignore[arg-type]
    assert (changed.text, changed.meta.tags, changed.meta.metadata) == ("x", ("b",), {"n": 1})
    assert alice.search("x", where={"tags": "b"}).texts == ["x"]
    assert alice.search("x", where={"tags": "a"}).texts == []


def test_forgetting_removes_a_memory_and_all_that_came_from_it(alice: Session) -> None:
    source = alice.add("The door code is 7319.")
    summary = alice.add("There is a door code.", parents=(source.id,))
    further = alice.add("Doors have codes.", parents=(summary.id,))
    other = alice.add("The door is blue.")
    report = alice.forget(source.id, reason="asked to")
    assert report.forgotten == (source.id,)
    assert set(report.derived) == {summary.id, further.id}
    assert report.status == "erased"
    assert alice.search("door code").texts == [other.text]
    for gone in (source, summary, further):
        for call in (alice.get, alice.history, alice.forget):
            with pytest.raises(NotFoundError):
                call(gone.id)
    assert alice.add("The door code is 7319.").id != source.id


def test_forgetting_several_is_all_or_none(alice: Session) -> None:
    cube = alice.add("stay")
    with pytest.raises(NotFoundError):
        alice.forget([cube.id, "mem_nothere"])
    assert alice.get(cube.id).text == "stay"


def test_an_expired_memory_is_nowhere(alice: Session, clock: ManualClock) -> None:
    cube = alice.add("gone by noon", expires=timedelta(hours=1))
    assert alice.search("noon").texts == ["gone by noon"]
    clock.turn(timedelta(hours=1, seconds=1))
    assert alice.search("noon").texts == []
    assert len(alice.get_all()) == 0
    for call in (alice.get, alice.history):
        with pytest.raises(NotFoundError):
            call(cube.id)
    assert alice.forget(cube.id).status == "erased"  # what has ended can still be erased


def test_time_never_runs_backwards_in_a_vault(alice: Session, clock: ManualClock) -> None:
    alice.add("brief", expires=timedelta(hours=1))
    clock.turn(timedelta(hours=2))
    later = alice.add("later")
    clock.turn(timedelta(days=-3650))
    assert alice.search("brief").texts == ["later"]  # the dead stay dead
    created = alice.add("after the clock went back").meta.created
    assert isinstance(created, datetime)
    assert isinstance(later.meta.created, datetime)
    assert created > later.meta.created


def test_a_budget_keeps_the_best_that_fit(alice: Session) -> None:
    alice.add_many(["peanuts " * 200, "peanuts are out", "no peanuts please"])
    hits = alice.search("peanuts", budget_tokens=20)
    assert 0 < len(hits) <= 2
    assert all(len(hit.text) < 40 for hit in hits)
    assert len(alice.search("peanuts", budget_tokens=0)) == 0


def test_min_score_leaves_out_the_unlike(alice: Session) -> None:
    alice.add_many(["peanuts are out", "the boat leaves at nine"])
    assert alice.search("peanuts", min_score=0.2).texts == ["peanuts are out"]


def test_a_bound_session_reads_and_writes_its_subtree_only(memos: MemOS, alice: Session) -> None:
    alice.add("private diary")
    work = memos.session("user:alice", space="user:alice/work")
    inside = work.add("work note")
    assert inside.meta.space == "user:alice/work"
    assert work.search("note diary").texts == ["work note"]
    assert work.search("diary", space="user:alice").texts == ["work note"]
    assert alice.search("note", space="user:alice/work").texts == ["work note"]
    with pytest.raises(DeniedError, match="bound to"):
        work.add("x", space="user:alice")
    with pytest.raises(NotFoundError):
        work.get(alice.add("more diary").id)


def test_acting_names_the_session_and_unset_refuses(memos: MemOS, alice: Session) -> None:
    with pytest.raises(DeniedError, match="nobody is acting"):
        memos.current()
    with memos.acting(alice):
        assert memos.current() is alice
    with pytest.raises(DeniedError):
        memos.current()


def test_an_empty_vault_answers_with_nothing(alice: Session) -> None:
    assert list(alice.search("anything")) == []
    assert list(alice.get_all()) == []
    assert alice.context("anything", budget_tokens=100).text == ""


def test_awaited_verbs_have_the_same_names_and_signatures() -> None:
    def verbs(cls: type) -> dict[str, inspect.Signature]:
        members = inspect.getmembers(cls, inspect.isfunction)
        return {n: inspect.signature(f) for n, f in members if not n.startswith("_")}

    awaited = verbs(AsyncSession)
    assert awaited.pop("at").parameters == verbs(Session)["at"].parameters  # awaited too
    plain = verbs(Session)
    del plain["at"], plain["pipeline"]  # a transaction is held by one thread: it is not awaited
    assert awaited == plain
    assert all(inspect.iscoroutinefunction(getattr(AsyncSession, n)) for n in plain)


@pytest.mark.parametrize(
    ("twin", "original"),
    [
        (AsyncAudit, Audit),
        (AsyncGovernance, Governance),
        (AsyncOrganizer, Organizer),
        (AsyncSnapshots, Snapshots),
    ],
)
def test_awaited_verbs_of_the_facades_have_the_same_names_and_signatures(
    twin: type, original: type
) -> None:
    awaited, plain = (
        {n: inspect.signature(f) for n, f in inspect.getmembers(cls, inspect.isfunction)}
        for cls in (twin, original)
    )
    names = {name for name in plain if not name.startswith("_")}
    assert {name: awaited[name] for name in names} == {name: plain[name] for name in names}
    assert {name for name in awaited if not name.startswith("_")} == names
    assert all(inspect.iscoroutinefunction(getattr(twin, name)) for name in names)


async def test_awaited_verbs_do_not_block_each_other(memos: MemOS) -> None:
    sessions = [AsyncSession(memos.session(f"user:u{number}")) for number in range(8)]
    found: dict[str, list[str]] = {}

    async def turn(session: AsyncSession) -> None:
        for number in range(5):
            await session.add(f"{session.principal} says {number}")
        found[session.principal] = (await session.search("says", k=50)).texts

    async with anyio.create_task_group() as tasks:
        for session in sessions:
            tasks.start_soon(turn, session)
    assert all(
        len(texts) == 5 and all(text.startswith(f"{who} ") for text in texts)
        for who, texts in found.items()
    )


def test_a_vault_keeps_everything_when_it_is_opened_again(folder: object) -> None:
    with MemOS.open(str(folder), embedder=HashingEmbedder()) as memos:
        memos.session("user:alice").add("still here")
    with MemOS.open(str(folder)) as memos:
        assert memos.session("user:alice").search("here").texts == ["still here"]
        assert memos.verify_ledger().status == "self-consistent"


def test_a_session_in_the_past_sees_what_was_recorded_then(
    memos: MemOS, alice: Session, bob: Session, clock: ManualClock
) -> None:
    cube = alice.add("The launch is on 24 April.")
    gone = alice.add("The door code is 7319.")
    brief = alice.add("Brief remark", expires=timedelta(days=2))
    alice.grant("user:bob", "read", on="user:alice")
    clock.turn(timedelta(days=1))
    monday = clock.now()
    clock.turn(timedelta(days=1))
    alice.update(cube.id, "The launch is on 8 May.")
    alice.add("Said later about the launch.")
    assert set(alice.at(monday).search("launch code remark").texts) == {
        "The launch is on 24 April.",
        "The door code is 7319.",
        "Brief remark",
    }
    alice.forget(gone.id)
    clock.turn(timedelta(days=1))
    for session in (alice.at(monday), bob.at(monday)):
        assert session.search("launch code remark").texts == ["The launch is on 24 April."]
        assert [each.text for each in session.get_all()] == ["The launch is on 24 April."]
        assert session.get(cube.id).text == "The launch is on 24 April."
        assert [version.number for version in session.history(cube.id)] == [1]
        for missing in (gone, brief):
            with pytest.raises(NotFoundError):
                session.get(missing.id)
    before = alice.at(datetime(2025, 12, 31, tzinfo=UTC))
    assert before.search("launch").texts == []
    with pytest.raises(NotFoundError):
        before.get(cube.id)


def test_the_past_is_read_only_and_the_future_is_empty(alice: Session, clock: ManualClock) -> None:
    cube = alice.add("x")
    past = alice.at(clock.now() + timedelta(microseconds=1))
    for call in (
        lambda: past.add("y"),
        lambda: past.update(cube.id, "y"),
        lambda: past.forget(cube.id),
        lambda: past.grant("user:bob", "read", on="user:alice"),
    ):
        with pytest.raises(DeniedError, match="read-only"):
            call()
    with pytest.raises(InvalidInputError, match="future"):
        alice.at(clock.now() + timedelta(days=1))
    with pytest.raises(InvalidInputError, match="time zone"):
        alice.at(datetime(2026, 1, 1))  # noqa: DTZ001


def test_the_past_shows_a_version_only_under_its_label_of_then_and_now(
    memos: MemOS, owner: Session, clock: ManualClock
) -> None:
    for who in ("user:alice", "user:bob"):
        owner.grant(who, ["read", "write", "share"], on="acme")
    alice, bob = memos.session("user:alice"), memos.session("user:bob")
    cube = alice.add("draft, for alice alone", space="acme", access={"user:alice"})
    clock.turn(timedelta(days=1))
    then = clock.now()
    clock.turn(timedelta(days=1))
    alice.update(cube.id, Patch("final, for all", access=frozenset({"user:alice", "user:bob"})))
    assert bob.search("final").texts == ["final, for all"]
    assert bob.at(then).search("draft").texts == []
    assert [version.number for version in bob.history(cube.id)] == [2]
    assert alice.at(then).search("draft").texts == ["draft, for alice alone"]
    with pytest.raises(NotFoundError):
        bob.get(cube.id, version=1)
