"""Governance: explaining, quarantine, trust, holds, quotas, and who may do each."""

from __future__ import annotations

import json
import multiprocessing
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from memos_core import (
    ConflictError,
    DeniedError,
    Draft,
    FullError,
    InvalidInputError,
    Key,
    MemOS,
    NotFoundError,
    Patch,
    SearchOptions,
    Session,
    Trust,
)
from memos_core.testing import HashingEmbedder, ManualClock

# -- explaining ----------------------------------------------------------------------------------


def test_an_explanation_names_the_grant_or_what_is_missing(alice: Session, bob: Session) -> None:
    cube = alice.add("a note", sensitivity="confidential")
    explain = alice.governance.explain
    assert explain("user:alice", "read", cube.id).grants == ("own",)
    assert explain("user:bob", "read", cube.id).missing == (
        "user:bob's clearance is below the memory's sensitivity",
    )
    alice.update(cube.id, Patch(sensitivity="public"))  # type: ignore[arg-type]
    assert explain("user:bob", "read", cube.id).missing == (
        "user:bob may not read user:alice for 'assist'",
    )
    grant = alice.grant("user:bob", "read", on="user:alice")
    found = explain("user:bob", "read", cube.id)
    assert (found.allowed, found.grants, found.missing) == (True, (grant.id,), ())
    assert not explain("user:bob", ["read", "write"], cube.id).allowed
    assert not explain("user:bob", "read", cube.id, purpose="train").allowed
    alice.update(cube.id, Patch(access=frozenset({"user:carol"})))
    assert explain("user:bob", "read", cube.id).missing == (
        "user:bob is not on the memory's access list",
    )


def test_one_may_ask_about_oneself_and_about_others_where_one_governs(
    alice: Session, bob: Session, owner: Session
) -> None:
    cube = alice.add("mine")
    assert not bob.governance.explain("user:bob", "read", "user:alice").allowed
    with pytest.raises(NotFoundError):
        bob.governance.explain("user:bob", "read", cube.id)
    alice.grant("user:bob", "read", on="user:alice")
    assert bob.governance.explain("user:bob", "read", cube.id).allowed
    with pytest.raises(DeniedError):
        bob.governance.explain("user:carol", "read", cube.id)
    with pytest.raises(DeniedError):
        owner.governance.explain("user:bob", "read", "user:alice")
    assert owner.governance.explain("user:owner", "govern", "*").allowed


def test_grants_are_listed_to_whom_they_concern(
    alice: Session, bob: Session, owner: Session
) -> None:
    mine = alice.grant("user:bob", "read", on="user:alice")
    shared = owner.grant("group:team", "read", on="acme")
    owner.add_member("group:team", "user:bob")
    assert {each.id for each in bob.governance.grants()} == {mine.id, shared.id}
    assert [each.id for each in alice.governance.grants()] == [mine.id]
    assert mine.id not in {each.id for each in owner.governance.grants()}
    assert [each.id for each in owner.governance.grants(on="acme")] == [shared.id]


# -- grants: what hangs on what ------------------------------------------------------------------


def test_what_was_given_by_virtue_of_a_grant_ends_with_it(
    memos: MemOS, owner: Session, alice: Session, bob: Session
) -> None:
    owner.add("a plan", space="acme/hr")
    basis = owner.grant("user:alice", ["read", "govern"], on="acme")
    passed_on = alice.grant("user:bob", ["read", "govern"], on="acme/hr")
    further = bob.grant("user:carol", "read", on="acme/hr")
    assert (passed_on.basis, further.basis) == (basis.id, passed_on.id)
    carol = memos.session("user:carol")
    assert len(carol.get_all()) == 1
    owner.revoke(basis)
    assert len(carol.get_all()) == len(bob.get_all()) == 0
    with pytest.raises(NotFoundError):
        owner.revoke(further)


def test_a_grant_is_given_by_the_right_that_reaches_far_enough(
    owner: Session, alice: Session, clock: ManualClock
) -> None:
    owner.grant("user:alice", "govern", on="acme/hr", until=clock.now() + timedelta(hours=1))
    wide = owner.grant("user:alice", "govern", on="acme", purposes=("*",))
    assert alice.grant("user:bob", "read", on="acme/hr").basis == wide.id


def test_a_grant_on_one_memory_opens_its_history_too(alice: Session, bob: Session) -> None:
    cube = alice.add("one")
    alice.update(cube.id, "two")
    before = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=0)
    alice.grant("user:bob", "read", on=cube.id)
    assert [each.cube.text for each in bob.history(cube.id)] == ["one", "two"]
    assert bob.get(cube.id, version=1).text == "one"
    assert alice.at(alice.get(cube.id, version=1).meta.updated).get(cube.id).text == "one"  # type: ignore[arg-type]
    assert bob.at(alice.get(cube.id, version=1).meta.updated).get(cube.id).text == "one"  # type: ignore[arg-type]
    assert before <= alice.get(cube.id).meta.updated  # type: ignore[operator]


def test_in_ones_own_space_nobody_hides_anything(alice: Session, bob: Session) -> None:
    alice.grant("user:bob", ["read", "write"], on="user:alice")
    bob.add("bob's secret", space="user:alice", access={"user:bob"}, sensitivity="restricted")
    assert alice.search("secret").texts == ["bob's secret"]


def test_who_governs_a_space_can_forget_what_is_hidden_from_him(
    owner: Session, bob: Session
) -> None:
    owner.grant("user:bob", ["read", "write"], on="acme")
    cube = bob.add("hidden", space="acme", access={"user:bob"})
    with pytest.raises(NotFoundError):
        owner.get(cube.id)
    shown = [each.subject for each in owner.audit.query(action="add")]
    assert cube.id in shown  # the log tells who governs the space
    assert owner.forget(cube.id).forgotten == (cube.id,)
    assert len(bob.get_all()) == 0


# -- the end of a grant, and a revocation, across processes ---------------------------------------


def search_elsewhere(folder: str, pipe: Connection) -> None:
    clock = ManualClock()
    with MemOS.open(folder, embedder=HashingEmbedder(), clock=clock) as memos:
        bob = memos.session("user:bob")
        while (now := pipe.recv()) is not None:
            clock.set(now)
            pipe.send(bob.search("noon").texts)


def test_a_grant_that_ends_at_noon_does_not_read_a_second_later(
    folder: Path, clock: ManualClock, alice: Session, bob: Session
) -> None:
    """Also in a process that compiled it before."""
    noon = clock.now().replace(hour=12)
    alice.add("until noon", space="user:alice/open")
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    other = context.Process(target=search_elsewhere, args=(str(folder), theirs), daemon=True)
    other.start()
    alice.grant("user:bob", "read", on="user:alice/open", until=noon)
    for now, expected in (
        (noon - timedelta(seconds=1), ["until noon"]),
        (noon + timedelta(seconds=1), []),
    ):
        clock.set(now)
        ours.send(now)
        assert ours.recv() == expected
        assert bob.search("noon").texts == expected
    ours.send(None)
    other.join(timeout=30)


class Gated(HashingEmbedder):
    """Stops in the middle of a search, until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.go_on = threading.Event(), threading.Event()
        self.closed = False

    def embed(self, texts: Any) -> Any:
        if self.closed:
            self.reached.set()
            self.go_on.wait(timeout=30)
        return super().embed(texts)


@pytest.mark.parametrize("change", ["revoke", "leave", "clearance", "quarantine", "relabel"])
def test_a_change_of_policy_during_a_search_is_honoured_by_that_search(
    folder: Path, change: str
) -> None:
    embedder = Gated()
    with MemOS.open(folder, embedder=embedder) as memos:
        owner, bob = memos.session("user:owner"), memos.session("user:bob")
        cube = owner.add("the plan", space="acme")
        owner.add_member("group:g", "user:bob")
        grant = owner.grant("group:g", "read", on="acme")
        assert len(bob.search("plan")) == 1
        embedder.closed = True
        found: list[Any] = []
        searching = threading.Thread(target=lambda: found.append(bob.search("plan")))
        searching.start()
        assert embedder.reached.wait(timeout=30)  # the rights were read, the answer not yet given
        embedder.closed = False
        changes: dict[str, Callable[[], object]] = {
            "revoke": lambda: owner.revoke(grant),
            "leave": lambda: owner.remove_member("group:g", "user:bob"),
            "clearance": lambda: owner.set_clearance("user:bob", "public"),
            "quarantine": lambda: owner.governance.quarantine("user:owner"),
            "relabel": lambda: owner.update(cube.id, Patch(access=frozenset({"user:owner"}))),
        }
        changes[change]()
        embedder.go_on.set()
        searching.join(timeout=30)
        assert found[0].texts == []


# -- quarantine and trust ------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["import:web", "user:bob"])
def test_a_quarantine_hides_a_source_and_what_was_derived_and_gives_it_back(
    owner: Session, bob: Session, alice: Session, source: str
) -> None:
    for name in ("user:bob", "user:alice"):
        owner.grant(name, ["read", "write"], on="acme")
    bad = bob.add("poisoned advice", space="acme", source="import:web", key="k")
    derived = alice.add("a summary of advice", space="acme", parents=(bad.id,))
    owner.add("good advice", space="acme")
    made = owner.governance.quarantine(source, reason="poisoned")
    for session in (owner, alice, bob):
        assert session.search("advice").texts == ["good advice"]
        assert [each.text for each in session.get_all()] == ["good advice"]
        for ref in (bad.id, derived.id, Key("k", "acme")):
            for call in (session.get, session.history, session.provenance):
                with pytest.raises(NotFoundError):
                    call(ref)
    late = bob.add("more poison", space="acme", source="import:web")
    with pytest.raises(NotFoundError):
        alice.get(late.id)  # what comes later is in quarantine too
    owner.governance.release(made)
    assert len(alice.search("advice poison")) == 4
    with pytest.raises(NotFoundError):
        owner.governance.release(made)


def test_a_quarantine_counts_where_it_was_set(owner: Session, alice: Session) -> None:
    owner.add_many([Draft("one", space="acme/a"), Draft("two", space="acme/b")])
    owner.governance.quarantine("user:owner", on="acme/a")
    assert [each.text for each in owner.get_all()] == ["two"]
    alice.add("three", source="import:web")
    alice.governance.quarantine("import:web", on="user:alice")
    assert len(alice.get_all()) == 0
    for space in ("*", "acme", "user:bob"):
        with pytest.raises(DeniedError):
            alice.governance.quarantine("import:web", on=space)


def test_the_vaults_governor_can_stop_a_source_everywhere_and_reads_nothing_by_it(
    owner: Session, alice: Session
) -> None:
    cube = alice.add("poison", source="import:web")
    made = owner.governance.quarantine("import:web")
    assert len(alice.get_all()) == 0
    with pytest.raises(NotFoundError):
        owner.get(cube.id)
    owner.governance.release(made)
    assert len(alice.get_all()) == 1


def test_a_change_by_a_quarantined_principal_is_hidden_too(owner: Session, bob: Session) -> None:
    owner.grant("user:bob", ["read", "write"], on="acme")
    cube = owner.add("the truth", space="acme")
    bob.update(cube.id, "a lie")
    owner.governance.quarantine("user:bob")
    with pytest.raises(NotFoundError):
        owner.get(cube.id)


def test_what_is_derived_has_the_least_trust_of_its_sources(owner: Session, alice: Session) -> None:
    high = alice.add("checked")
    low = alice.add("heard", source="import:web")
    owner.governance.set_trust("user:alice", Trust.HIGH)
    owner.governance.set_trust("import:web", "low")
    derived = alice.add("both", parents=(high.id, low.id))
    further = alice.add("of both", parents=(derived.id,))
    trusts = [alice.get(each.id).meta.trust for each in (high, low, derived, further)]
    assert trusts == [Trust.HIGH, Trust.LOW, Trust.LOW, Trust.LOW]
    options = SearchOptions(min_trust=Trust.NORMAL)
    assert alice.search("checked heard both", options=options).texts == ["checked"]
    owner.governance.set_trust("import:web", "normal")
    assert alice.get(further.id).meta.trust == Trust.NORMAL


def test_only_who_governs_the_vault_sets_trust_and_quotas(alice: Session) -> None:
    with pytest.raises(DeniedError):
        alice.governance.set_trust("user:alice", "high")
    with pytest.raises(DeniedError):
        alice.governance.set_quota("user:alice", cubes=1)
    with pytest.raises(InvalidInputError, match="group"):
        alice.governance.quarantine("group:team", on="user:alice")
    with pytest.raises(InvalidInputError, match="unknown trust"):
        alice.governance.set_trust("user:alice", "total")


# -- holds ---------------------------------------------------------------------------------------


def test_a_hold_beats_forget_and_says_so(owner: Session, bob: Session, clock: ManualClock) -> None:
    owner.grant("user:bob", ["read", "write"], on="acme")
    cube = bob.add("evidence", space="acme/case")
    made = owner.governance.hold(
        "acme/case", reason="litigation", until=clock.now() + timedelta(days=1)
    )
    for session in (bob, owner):
        with pytest.raises(DeniedError, match=f"retention hold {made.id} until 2026-01-02"):
            session.forget(cube.id)
    with pytest.raises(NotFoundError):
        bob.governance.lift(made)
    with pytest.raises(DeniedError):
        bob.governance.hold("acme/case")
    assert bob.update(cube.id, "evidence, annotated").version == 2  # it keeps, it does not freeze
    clock.turn(timedelta(days=1, seconds=1))
    assert bob.forget(cube.id).forgotten == (cube.id,)


def test_what_a_held_memory_was_derived_from_cannot_be_forgotten_either(
    owner: Session, alice: Session
) -> None:
    owner.grant("user:alice", ["read", "write"], on="acme")
    source = alice.add("a source", space="acme")
    derived = alice.add("a summary", space="acme/held", parents=(source.id,))
    made = owner.governance.hold("acme/held")
    with pytest.raises(DeniedError, match="derived from it is under a retention hold") as told:
        alice.forget(source.id)
    assert derived.id not in str(told.value)
    owner.governance.lift(made)
    assert alice.forget(source.id).derived == (derived.id,)


def test_an_expired_memory_under_a_hold_keeps_its_key(alice: Session, clock: ManualClock) -> None:
    cube = alice.add("old", key="k", expires=timedelta(hours=1))
    alice.governance.hold(cube.id)
    clock.turn(timedelta(hours=2))
    with pytest.raises(DeniedError, match="hold"):
        alice.add("new", key="k")


# -- quotas --------------------------------------------------------------------------------------


def test_a_quota_of_memories_and_bytes_is_kept_and_given_back(
    owner: Session, alice: Session
) -> None:
    alice.add("before")
    quota = owner.governance.set_quota("user:alice", cubes=2, size_bytes=20_000)
    assert (quota.cubes, quota.max_cubes) == (1, 2)
    second = alice.add("second")
    with pytest.raises(FullError, match=r"quota of user:alice is 2 memories, .* make 3"):
        alice.add("third")
    with pytest.raises(FullError):
        alice.add_many(["x", "y"])
    alice.forget(second.id)
    third = alice.add("third")
    with pytest.raises(FullError, match="bytes"):
        alice.update(third.id, "x" * 20_000)
    assert alice.get(third.id).text == "third"
    owner.governance.set_quota("user:alice")
    alice.add("no limit any more")
    denied = [e for e in alice.audit.query(action="add") if e.outcome == "denied"]
    assert len(denied) == 2


def test_a_space_has_a_quota_for_all_who_write_there(
    owner: Session, alice: Session, bob: Session
) -> None:
    for name in ("user:alice", "user:bob"):
        owner.grant(name, ["read", "write"], on="acme")
    owner.governance.set_quota("acme/team", cubes=2)
    alice.add("one", space="acme/team/a")
    bob.add("two", space="acme/team/b")
    with pytest.raises(FullError):
        bob.add("three", space="acme/team")
    bob.add("elsewhere", space="acme")


def test_the_count_of_a_quota_is_exact_over_many_changes(owner: Session, alice: Session) -> None:
    owner.governance.set_quota("user:alice", cubes=1_000, size_bytes=10**9)
    kept = [alice.add(f"memory é {number}", key=f"k{number}") for number in range(12)]
    for cube in kept[:6]:
        alice.update(cube.id, "changed", mode="append")
    alice.add_many([Draft("again", key="k7")], on_key="replace")
    child = alice.add("child", parents=(kept[0].id,))
    alice.forget([kept[0].id, kept[3].id])
    with pytest.raises(NotFoundError):
        alice.get(child.id)
    counted = owner.governance.set_quota("user:alice", cubes=1_000, size_bytes=10**9)
    assert counted.cubes == 10
    with_one_more = alice.add("one more")
    alice.forget(with_one_more.id)
    again = owner.governance.set_quota("user:alice", cubes=1_000, size_bytes=10**9)
    assert (again.cubes, again.bytes) == (counted.cubes, counted.bytes)


def test_the_running_count_equals_the_recount(memos: MemOS, owner: Session, alice: Session) -> None:
    owner.governance.set_quota("user:alice", cubes=1_000)
    for number in range(5):
        cube = alice.add(f"ö {number}")
        alice.update(cube.id, "more")
        if number % 2:
            alice.forget(cube.id)
    running = memos._engine.gate.registry  # the row itself: what the next charge starts from
    with memos._vault.read() as tx:
        from sqlalchemy import select

        from memos_core.infrastructure.vault import schema

        assert "user:alice" in running.limited(tx)
        row = tx.connection.execute(select(schema.quotas)).one()
    recount = owner.governance.set_quota("user:alice", cubes=1_000)
    assert (row.cubes, row.bytes) == (recount.cubes, recount.bytes)


def test_reads_are_limited_by_the_day(owner: Session, alice: Session, clock: ManualClock) -> None:
    alice.add("something")
    owner.governance.set_quota("user:alice", reads_per_day=3)
    for _ in range(3):
        assert len(alice.search("something")) == 1
    for call in (lambda: alice.search("x"), alice.get_all, lambda: alice.trace("a b c d e f g")):
        with pytest.raises(FullError, match="3 reads of 24 hours"):
            call()
    clock.turn(timedelta(days=1, seconds=1))
    assert len(alice.get_all()) == 1


@pytest.mark.parametrize(
    ("subject", "limits"),
    [
        ("group:x", {"cubes": 1}),
        ("acme", {"reads_per_day": 1}),
        ("acme", {"cubes": -1}),
        ("acme", {"cubes": True}),
        ("no//space", {"cubes": 1}),
    ],
)
def test_a_malformed_quota_is_refused(owner: Session, subject: str, limits: Any) -> None:
    with pytest.raises(InvalidInputError):
        owner.governance.set_quota(subject, **limits)


# -- the first schema ----------------------------------------------------------------------------


def test_a_vault_of_the_first_schema_is_migrated_and_its_memories_name_their_sources(
    folder: Path,
) -> None:
    from tests.first_schema import make_first_schema

    ids = make_first_schema(folder)
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        owner, alice = memos.session("user:owner"), memos.session("user:alice")
        assert memos.diagnose().is_healthy, memos.diagnose().problems
        assert {each.text for each in alice.get_all()} == {"a note", "a summary of the note"}
        owner.governance.quarantine("import:web")
        assert len(alice.get_all()) == 0  # the note came from there, and the summary from the note
        with pytest.raises(NotFoundError):
            alice.get(ids[1])
        assert memos.verify_ledger().status == "self-consistent"


def test_groups_still_refuse_to_contain_themselves(owner: Session) -> None:
    owner.add_member("group:a", "group:b")
    owner.add_member("group:b", "group:c")
    with pytest.raises(ConflictError):
        owner.add_member("group:c", "group:a")


def test_each_verb_of_governance_leaves_its_entry(
    memos: MemOS, owner: Session, alice: Session
) -> None:
    cube = alice.add("x")
    governance = owner.governance
    governance.release(governance.quarantine("import:web"))
    governance.set_trust("import:web", "low")
    governance.lift(governance.hold("acme"))
    governance.set_quota("user:bob", cubes=3)
    governance.explain("user:bob", "read", "acme")
    governance.grants()
    with pytest.raises(NotFoundError):
        governance.hold(cube.id)
    with pytest.raises(DeniedError):
        alice.governance.set_trust("x", "low")
    found = [(e.action.removeprefix("memos."), e.outcome) for e in owner.audit.query()]
    assert list(reversed(found))[1:] == [
        ("quarantine", "allowed"),
        ("release", "allowed"),
        ("trust", "allowed"),
        ("hold", "allowed"),
        ("lift", "allowed"),
        ("quota", "allowed"),
        ("explain", "allowed"),
        ("grants", "allowed"),
        ("hold", "not_found"),
        ("trust", "denied"),
    ]
    assert json.dumps([str(each) for each in owner.audit.query()]).count("mem_") == 0
