"""Access: deny by default, and a refusal tells nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_core import (
    ConflictError,
    DeniedError,
    Draft,
    Key,
    MemOS,
    MemosError,
    NotFoundError,
    Patch,
    Session,
)
from memos_core.infrastructure.governance.decision import Action, Permission, Rights, decide_label
from memos_core.infrastructure.governance.labels import Atom, Label, is_at_least_as_narrow
from memos_core.testing import HashingEmbedder, ManualClock, SeededEntropy


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except MemosError as error:
        return type(error), str(error)


def test_nobody_reads_anothers_space(alice: Session, bob: Session, owner: Session) -> None:
    cube = alice.add("my diary", key="d")
    for stranger in (bob, owner):  # the vault's owner is a stranger too
        assert stranger.search("diary").texts == []
        assert stranger.search("diary", space="user:alice").texts == []
        assert len(stranger.get_all()) == 0
        for call in (stranger.get, stranger.history, stranger.forget):
            for ref in (cube.id, Key("d", "user:alice")):
                with pytest.raises(NotFoundError):
                    call(ref)
        with pytest.raises(NotFoundError):
            stranger.update(cube.id, "mine now")
        with pytest.raises(DeniedError):
            stranger.add("hello", space="user:alice")
        with pytest.raises(DeniedError):
            stranger.grant(stranger.principal, "read", on="user:alice")
        with pytest.raises(NotFoundError):
            stranger.grant(stranger.principal, "read", on=cube.id)


def test_an_unreadable_id_answers_exactly_like_an_absent_one(alice: Session, bob: Session) -> None:
    there = alice.add("secret").id
    absent = "mem_aaaaaaaaaaaaaaaaaaaa"
    for call in (bob.get, bob.history, bob.forget, lambda ref: bob.update(ref, "x")):
        kind, message = outcome(lambda call=call: call(there))
        assert (kind, message.replace(there, absent)) == outcome(lambda call=call: call(absent))


def test_a_grant_opens_a_subtree_for_its_actions_only(alice: Session, bob: Session) -> None:
    alice.add("in the open", space="user:alice/open")
    alice.add("closed")
    alice.grant("user:bob", "read", on="user:alice/open")
    assert bob.search("open closed").texts == ["in the open"]
    cube = bob.search("open")[0]
    for call in (bob.forget, lambda ref: bob.update(ref, "x")):
        with pytest.raises(DeniedError, match="write"):
            call(cube.id)
    with pytest.raises(DeniedError):
        bob.add("x", space="user:alice/open")
    with pytest.raises(DeniedError):
        bob.grant("user:carol", "read", on="user:alice/open")


def test_a_grant_for_one_purpose_holds_for_no_other(memos: MemOS, alice: Session) -> None:
    alice.add("shared for training", space="user:alice/open")
    alice.grant("user:bob", "read", on="user:alice/open", purposes=("train",))
    assert memos.session("user:bob").search("shared").texts == []
    assert len(memos.session("user:bob", purpose="train").search("shared")) == 1


def test_a_grant_ends_when_it_says(alice: Session, bob: Session, clock: ManualClock) -> None:
    alice.add("until noon", space="user:alice/open")
    alice.grant("user:bob", "read", on="user:alice/open", until=clock.now() + timedelta(hours=12))
    clock.turn(timedelta(hours=11, minutes=59))
    assert len(bob.search("noon")) == 1
    clock.turn(timedelta(minutes=1, seconds=1))
    assert len(bob.search("noon")) == 0


def test_a_revoked_grant_bites_at_once(alice: Session, bob: Session) -> None:
    cube = alice.add("shared", space="user:alice/open")
    grant = alice.grant("user:bob", "read", on="user:alice/open")
    assert len(bob.search("shared")) == 1
    with pytest.raises(NotFoundError, match="may revoke"):
        bob.revoke(grant)
    alice.revoke(grant)
    assert len(bob.search("shared")) == 0
    with pytest.raises(NotFoundError):
        bob.get(cube.id)
    with pytest.raises(NotFoundError):
        alice.revoke(grant)  # it stands no more


def test_a_grant_on_one_memory_opens_just_that_one(alice: Session, bob: Session) -> None:
    first, _second = alice.add_many(["the first note", "the second note"])
    grant = alice.grant("user:bob", "read", on=first.id)
    assert bob.search("note").texts == ["the first note"]
    assert alice.get(first.id).version == 1
    alice.revoke(grant.id)
    assert bob.search("note").texts == []


def test_groups_give_their_members_rights_and_cannot_contain_themselves(
    owner: Session, alice: Session, bob: Session
) -> None:
    owner.add_member("group:team", "user:alice")
    owner.add_member("group:all", "group:team")
    owner.grant("group:all", ["read", "write"], on="acme")
    alice.add("hello team", space="acme/room")
    assert bob.search("hello").texts == []
    with pytest.raises(ConflictError, match="contain itself"):
        owner.add_member("group:team", "group:all")
    owner.remove_member("group:team", "user:alice")
    assert alice.search("hello").texts == []
    with pytest.raises(DeniedError):
        alice.add_member("group:all", "user:alice")
    with pytest.raises(DeniedError):
        alice.add("again", space="acme/room")


def test_access_list_sensitivity_and_purpose_only_narrow(memos: MemOS, owner: Session) -> None:
    for who in ("user:alice", "user:bob"):
        owner.grant(who, ["read", "write"], on="acme", purposes=("assist", "train"))
    alice, bob = memos.session("user:alice"), memos.session("user:bob")
    alice.add("for alice only", space="acme", access={"user:alice"})
    alice.add("for assisting only", space="acme", purposes={"assist"})
    alice.add("above the clearance", space="acme", sensitivity="confidential")
    carol = memos.session("user:carol")
    alice.add("for carol, who has no grant", space="acme", access={"user:carol"})
    assert set(alice.search("for the", k=9).texts) == {"for alice only", "for assisting only"}
    assert bob.search("for the", k=9).texts == ["for assisting only"]
    assert memos.session("user:bob", purpose="train").search("for").texts == []
    assert carol.search("for").texts == []
    owner.set_clearance("user:bob", "confidential")
    assert set(bob.search("for above", k=9).texts) == {"for assisting only", "above the clearance"}
    with pytest.raises(DeniedError):
        bob.set_clearance("user:bob", "restricted")


def test_own_space_needs_no_clearance(alice: Session) -> None:
    alice.add("my diagnosis", sensitivity="restricted")
    assert alice.search("diagnosis").texts == ["my diagnosis"]


def test_what_is_derived_needs_all_that_its_sources_need(
    memos: MemOS, owner: Session, alice: Session, bob: Session
) -> None:
    owner.grant("user:alice", ["read", "write"], on="acme")
    owner.grant("user:bob", "read", on="acme")
    private = alice.add("alice's worry")
    summary = alice.add("a summary of a worry", space="acme", parents=(private.id,))
    assert bob.search("worry").texts == []
    assert bob.search("summary").texts == []
    alice.grant("user:bob", "read", on="user:alice")
    assert "a summary of a worry" in bob.search("summary").texts
    with pytest.raises(NotFoundError):
        bob.add("x", parents=(alice.add("other", access={"user:alice"}).id,))
    # A source that becomes more sensitive takes what came from it along.
    alice.update(private.id, Patch(access=frozenset({"user:alice"})))
    with pytest.raises(NotFoundError):
        bob.get(summary.id)


def test_making_a_memory_readable_to_more_needs_share(
    memos: MemOS, owner: Session, alice: Session
) -> None:
    owner.grant("user:alice", ["read", "write"], on="acme")
    owner.set_clearance("user:alice", "confidential")
    cube = alice.add("narrow", space="acme", sensitivity="confidential", access={"user:alice"})
    narrower = Patch(sensitivity="restricted")  # type: ignore[arg-type]
    wider = Patch(sensitivity="internal")  # type: ignore[arg-type]
    with pytest.raises(DeniedError, match="share"):
        alice.update(cube.id, wider)
    with pytest.raises(DeniedError, match="share"):
        alice.update(cube.id, Patch(access=frozenset({"user:alice", "user:bob"})))
    assert alice.get(cube.id).version == 1
    owner.grant("user:alice", "share", on="acme")
    assert alice.update(cube.id, wider).version == 2
    assert alice.update(cube.id, narrower).version == 3


def test_writing_without_reading_is_possible_and_shows_nothing(
    owner: Session, alice: Session
) -> None:
    owner.grant("user:alice", "write", on="inbox")
    cube = alice.add("dropped", space="inbox")
    with pytest.raises(NotFoundError):
        alice.get(cube.id)
    assert alice.search("dropped").texts == []


def test_a_grant_on_everything_shared_reaches_nobodys_own_space(
    owner: Session, alice: Session, bob: Session
) -> None:
    alice.add("diary")
    owner.grant("user:bob", ["read", "write", "govern"], on="*")
    bob.add("public note", space="acme/notes")
    assert bob.search("diary note").texts == ["public note"]
    assert owner.search("diary note").texts == ["public note"]


def test_whoever_may_not_write_leaves_no_trace_of_a_space(alice: Session, folder: Path) -> None:
    with pytest.raises(DeniedError):
        alice.add_many(["mine", Draft("theirs", space="acme/secret")])
    assert len(alice.get_all()) == 0


def test_a_forbidden_memory_moves_no_score(tmp_path: Path) -> None:
    """Two vaults that differ in one memory that bob may not read answer bob identically."""
    answers = []
    for name in ("with", "without"):
        with MemOS.open(
            tmp_path / name,
            embedder=HashingEmbedder(),
            clock=ManualClock(),
            entropy=SeededEntropy(7),
        ) as memos:
            owner, alice = memos.session("user:owner"), memos.session("user:alice")
            bob = memos.session("user:bob")
            for who in ("user:alice", "user:bob"):
                owner.grant(who, ["read", "write"], on="acme")
            if name == "with":
                alice.add(
                    "peanut peanut budget", space="acme", speaker="Zoe", access={"user:alice"}
                )
            said = ["the budget is tight", "peanut butter, says Zoe", "who ate the peanut"]
            bob.add_many([Draft(text, space="acme", speaker="bob") for text in said])
            found = bob.search("what did Zoe say of the peanut budget", k=50)
            answers.append([(hit.text, hit.score, dict(hit.why)) for hit in found])
    assert answers[0] == answers[1]
    assert len(answers[0]) == 3


def test_flipped_governing_bytes_open_nothing(memos: MemOS, folder: Path, alice: Session) -> None:
    """A label changed on disk withholds the memory; it does not widen it."""
    cube = alice.add("diary")
    memos.close()
    with sqlite3.connect(folder / "vault.db") as raw:
        label = Label.of([Atom("user:bob", 0)])
        raw.execute("INSERT INTO labels VALUES (?, ?)", (label.id, label.dump()))
        raw.execute("UPDATE cubes SET label_id = ?", (label.id,))
    raw.close()
    with MemOS.open(folder) as again:
        bob = again.session("user:bob")
        assert bob.search("diary").texts == []
        with pytest.raises(MemosError):
            bob.get(cube.id)
        assert not again.diagnose().is_healthy


# -- the decision itself, as a pure function ---------------------------------------------------

paths = st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map("/".join)
permissions = st.builds(
    Permission,
    grant_id=st.just("g"),
    actions=st.integers(0, 31).map(Action),
    space=paths | st.just(""),
    cube=st.none(),
    purposes=st.sampled_from([("assist",), ("train",), ("*",)]),
    until=st.none() | st.integers(0, 20),
)
atoms = st.builds(
    Atom,
    space=paths,
    sensitivity=st.integers(0, 3),
    access=st.sampled_from([(), ("user:x",), ("group:g",), ("user:y",)]),
    purposes=st.sampled_from([(), ("assist",), ("train",)]),
)
rights = st.builds(
    Rights,
    principal=st.just("user:x"),
    names=st.sampled_from([frozenset({"user:x"}), frozenset({"user:x", "group:g"})]),
    clearance=st.integers(0, 3),
    permissions=st.lists(permissions, max_size=4).map(tuple),
    epoch=st.just(1),
)


def model_allows(who: Rights, label: Label, purpose: str, now: int) -> bool:
    """READ in the plainest words: what DESIGN 4.2 says, without the code's indexes."""

    def covers(permission: Permission, atom: Atom) -> bool:
        return (
            bool(permission.actions & 1)
            and (permission.until is None or now < permission.until)
            and (purpose in permission.purposes or "*" in permission.purposes)
            and (atom.space + "/").startswith(permission.space + "/" if permission.space else "")
        )

    return bool(label.atoms) and all(
        (not atom.access or bool(who.names & set(atom.access)))
        and (not atom.purposes or purpose in atom.purposes)
        and atom.sensitivity <= who.clearance
        and any(covers(each, atom) for each in who.permissions)
        for atom in label.atoms
    )


@given(
    rights, st.lists(atoms, max_size=3), st.sampled_from(["assist", "train"]), st.integers(0, 20)
)
def test_the_decision_agrees_with_a_plain_model(
    who: Rights, parts: list[Atom], purpose: str, now: int
) -> None:
    label = Label.of(parts)
    decision = decide_label(who, Action.READ, label, purpose=purpose, now=now)
    assert decision.allowed == model_allows(who, label, purpose, now)


@given(rights, st.lists(atoms, min_size=1, max_size=3), st.lists(atoms, min_size=1, max_size=3))
def test_a_narrower_label_never_lets_in_more(
    who: Rights, before: list[Atom], after: list[Atom]
) -> None:
    old, new = Label.of(before), Label.of(after)
    if is_at_least_as_narrow(new, old) and model_allows(who, new, "assist", 0):
        assert model_allows(who, old, "assist", 0)
