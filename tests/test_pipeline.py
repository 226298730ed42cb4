"""Pipelines: a chain of operations is done as a whole or not at all, and a denial is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memos_core import (
    ConflictError,
    DeniedError,
    InvalidInputError,
    Key,
    MemOS,
    NotFoundError,
    Session,
)


def outcomes(session: Session) -> list[tuple[str, str]]:
    found = session.audit.query()
    return [(each.action.removeprefix("memos."), each.outcome) for each in reversed(found.items)]


def test_a_chain_is_committed_as_a_whole(memos: MemOS, alice: Session, bob: Session) -> None:
    old = alice.add("old", key="k")
    with alice.pipeline() as chain:
        first = chain.add("The boat leaves at nine.")
        chain.update(first.id, "The boat leaves at ten.")
        derived = chain.add("Take the boat.", parents=(first.id,))
        assert chain.get(first.id).text == "The boat leaves at ten."
        report = chain.forget(Key("k"))
        chain.grant("user:bob", "read", on="user:alice")
        assert (report.status, report.pending) == (
            "pending",
            ("everything: the pipeline has not committed yet",),
        )
    assert set(alice.search("boat").texts) == {"The boat leaves at ten.", "Take the boat."}
    assert [each.number for each in alice.history(first.id)] == [1, 2]
    assert bob.get(derived.id).text == "Take the boat."
    with pytest.raises(NotFoundError):
        alice.get(old.id)
    assert memos.verify_ledger().status == "self-consistent"


def test_rights_that_change_in_a_chain_count_in_it(alice: Session, bob: Session) -> None:
    with alice.pipeline():
        grant = alice.grant("user:bob", ["read", "write"], on="user:alice/open")
        cube = bob.add("from bob", space="user:alice/open")
        assert bob.get(cube.id).text == "from bob"
        alice.revoke(grant)
    with pytest.raises(NotFoundError):
        bob.get(cube.id)
    assert alice.get(cube.id).text == "from bob"


REFUSED: dict[str, Callable[[Session, str], Any]] = {
    "add": lambda s, _: s.add("x", space="acme"),
    "add_many": lambda s, _: s.add_many([s.add("y").text, "z"], on_key="no"),  # type: ignore[arg-type]
    "get": lambda s, ref: s.get(ref),
    "update": lambda s, ref: s.update(ref, "mine"),
    "forget": lambda s, ref: s.forget(ref),
    "grant": lambda s, _: s.grant("user:x", "read", on="acme"),
    "hold": lambda s, _: s.governance.hold("acme"),
}


@pytest.mark.parametrize("verb", list(REFUSED))
def test_a_denial_undoes_the_chain_and_stands_in_the_ledger(
    memos: MemOS, alice: Session, bob: Session, verb: str
) -> None:
    theirs = alice.add("not bob's")
    mine = bob.add("mine")
    before = outcomes(bob)

    def chain() -> None:
        with bob.pipeline():
            bob.add("one")
            bob.update(mine.id, "two")
            bob.forget(mine.id)
            REFUSED[verb](bob, theirs.id)

    with pytest.raises((DeniedError, NotFoundError, InvalidInputError)):
        chain()
    assert [each.text for each in bob.get_all()] == ["mine"]
    assert bob.get(mine.id).version == 1
    told = outcomes(bob)[len(before) :]
    refusals = [each for each in told if each[1] != "allowed"]
    undone = [("add", "undone"), ("update", "undone"), ("forget", "undone")]
    last = (verb, "not_found" if verb in ("get", "update", "forget") else "denied")
    assert refusals == [*undone, ("add", "undone") if verb == "add_many" else last]
    assert ("add", "allowed") not in told  # what was undone is not told as done
    assert memos.verify_ledger().status == "self-consistent"


def test_a_chain_that_was_undone_says_so_to_whoever_goes_on(alice: Session) -> None:
    def chain() -> None:
        with alice.pipeline():
            alice.add("one")
            with pytest.raises(DeniedError):
                alice.add("x", space="acme")
            with pytest.raises(ConflictError, match="rolled back"):
                alice.add("two")

    with pytest.raises(ConflictError, match="rolled back, nothing of it was done"):
        chain()
    assert len(alice.get_all()) == 0
    alice.add("life goes on")


def test_an_error_of_the_callers_undoes_the_chain(alice: Session) -> None:
    def chain() -> None:
        with alice.pipeline():
            alice.add("one")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        chain()
    assert len(alice.get_all()) == 0


def test_reads_of_what_is_committed_are_refused_within(alice: Session) -> None:
    for call in (
        lambda: alice.search("x"),
        alice.get_all,
        lambda: alice.trace("a b c d e f g"),
        lambda: alice.audit.query(),
        alice.pipeline().__enter__,
    ):
        with alice.pipeline(), pytest.raises(ConflictError):
            call()


def test_other_threads_go_on_after_the_chain(alice: Session) -> None:
    import threading

    done: list[str] = []
    with alice.pipeline():
        alice.add("first")
        other = threading.Thread(target=lambda: done.append(alice.add("second").text))
        other.start()
        alice.add("first too")
        assert done == []
    other.join(timeout=30)
    assert done == ["second"]
    assert [each.text for each in alice.get_all()] == ["first", "first too", "second"]
