"""Pipelines: a chain of operations is done as a whole or not at all, and a denial is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memos_core import (
    ConflictError,
    DeniedError,
    InvalidInputError,
    Key,
    MemOS,
    NotFoundError,
    Plan,
    Session,
    Step,
)
from memos_core.testing import HashingEmbedder
from memos_core.testing.models import random_model


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


def test_one_entry_tells_of_the_whole_chain(alice: Session) -> None:
    with alice.pipeline() as chain:
        one = chain.add("one")
        two = chain.add("two")
        chain.organizer.link(one.id, two.id, "before")
    (entry,) = alice.audit.query(action="pipeline")
    assert set(entry.cubes) == {one.id, two.id}
    assert entry.outcome == "allowed"
    with alice.pipeline():
        pass
    assert len(alice.audit.query(action="pipeline")) == 1, "an empty chain is none"


def test_a_plan_is_stored_and_run_again(memos: MemOS, alice: Session) -> None:
    plan = Plan(
        steps=(
            Step(verb="add", given={"content": "The boat is red.", "tags": ["b"]}, name="one"),
            Step(
                verb="add",
                given={"content": "The boat is fast.", "occurred_at": "2025-01-05T10:00:00+00:00"},
                name="two",
            ),
            Step(verb="link", given={"source": {"$": "one"}, "target": {"$": "two"}, "kind": "by"}),
            Step(verb="merge", given={"refs": [{"$": "one"}, {"$": "two"}]}, name="both"),
            Step(verb="freeze", given={"ref": {"$": "both"}}),
            Step(verb="grant", given={"to": "user:bob", "actions": "read", "on": "user:alice"}),
        )
    )
    stored = alice.add(plan.dump(), semantic_type="plan")
    again = Plan.load(alice.get(stored.id).text)
    assert again == plan
    for _ in range(2):
        made = alice.run(again)
        assert made[4].meta.frozen
        assert made[1].meta.occurred_at.year == 2025
        assert (
            memos.session("user:bob").get(made[3].id).text == "The boat is red.\nThe boat is fast."
        )
    assert len(alice.audit.query(action="pipeline")) == 2


@pytest.mark.parametrize(
    ("steps", "match"),
    [
        ([{"verb": "add", "given": {"content": "x", "parents": [{"$": "no"}]}}], "none before it"),
        ([{"verb": "drop"}], "verb"),
        ([{"verb": "__class__"}], "verb"),
        ([], "steps"),
        ([{"verb": "add", "name": "a"}, {"verb": "add", "name": "a"}], "already"),
        (
            [{"verb": "add", "name": "a"}, {"verb": "activate", "given": {"sources": {"$": "a"}}}],
            "before the chain",
        ),
    ],
)
def test_what_is_no_plan_is_refused(steps: list[dict[str, Any]], match: str) -> None:
    with pytest.raises(InvalidInputError, match=match):
        Plan.load(json.dumps({"steps": steps}))


@pytest.mark.parametrize(
    "bad",
    [
        Step(verb="add", given={"content": "x", "space": "acme"}),
        Step(verb="add", given={"content": "x", "occurred_at": "soon"}),
        Step(verb="add", given={"content": "x", "self": "y"}),
        Step(verb="add", given={"content": "x", "no_such": "y"}),
        Step(verb="forget", given={"refs": []}),
        Step(verb="forget", given={"refs": {"all": True}}),
        Step(verb="update", given={"ref": "mem_nothing", "content": "x"}),
    ],
)
def test_a_plan_of_which_a_step_is_refused_does_nothing(alice: Session, bad: Step) -> None:
    good = Step(verb="add", given={"content": "good"})
    with pytest.raises((DeniedError, InvalidInputError, NotFoundError)):
        alice.run(Plan(steps=(good, bad, good)))
    assert len(alice.get_all()) == 0


def test_what_a_model_made_goes_where_the_rest_of_the_plan_is_refused(
    folder: Path, one_thread: None
) -> None:
    runtime = random_model("llama")
    with MemOS.open(folder, embedder=HashingEmbedder(), runtime=runtime) as memos:
        alice = memos.session("user:alice")
        text = alice.add("w1 w2 w3")
        steps = (
            Step(verb="archive", given={"ref": text.id}),
            Step(verb="activate", given={"sources": text.id}, name="cache"),
            Step(verb="add", given={"content": "what it is for", "parents": [{"$": "cache"}]}),
        )
        with pytest.raises(DeniedError):
            alice.run(Plan(steps=(*steps, Step(verb="add", given={"content": "x", "space": "no"}))))
        kinds = {"kind": {"$in": ["activation", "plaintext"]}}
        assert [each.id for each in alice.get_all(where=kinds)] == [text.id]
        _archived, cache, note = alice.run(Plan(steps=steps))
        assert cache.kind.value == "activation"
        assert note.meta.lineage == (cache.id,)
