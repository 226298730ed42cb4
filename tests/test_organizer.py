"""MemOperator: typed links, what they do to a search, merges that lose nothing, and undoing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import networkx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text as sql

from memos_core import (
    ConflictError,
    DeniedError,
    InvalidInputError,
    Link,
    MemoryState,
    MemOS,
    Message,
    NotFoundError,
    SearchOptions,
    Session,
)
from memos_core.operation.organizing.linking import shortest
from memos_core.results import Graph
from memos_core.testing import ManualClock

EXPANDED = SearchOptions(expand=1)


def test_what_was_superseded_comes_after_what_took_its_place_even_where_only_it_was_found(
    alice: Session,
) -> None:
    old = alice.add("Home: I live in Leeds, at the river.")
    for number in range(40):
        alice.add(f"I live and work, number {number}, at the river in my home")
    new = alice.add("We moved to York.")
    middle = alice.add("We moved to Hull.")
    assert alice.search("live in home Leeds river", k=1)[0].id == old.id
    alice.organizer.link(new.id, middle.id, "supersedes")
    alice.organizer.link(middle.id, old.id, "supersedes", reason="another town")
    found = alice.search("live in home Leeds river", k=3)
    places = [hit.id for hit in found]
    assert places[0] == new.id, "a chain of successors is followed to its end"
    (hit,) = [hit for hit in alice.search("Leeds river home", k=50) if hit.id == old.id]
    assert hit.superseded_by == (middle.id,)
    assert hit.score == pytest.approx(sum(hit.why.values()), abs=1e-6)
    alice.forget(new.id)
    alice.forget(middle.id)
    assert alice.search("live in home Leeds river", k=1)[0].id == old.id


def test_a_circle_of_successors_ends(alice: Session) -> None:
    one, two = alice.add("the boat leaves at one"), alice.add("the boat leaves at two")
    alice.organizer.link(one.id, two.id, "supersedes")
    alice.organizer.link(two.id, one.id, "supersedes")
    assert {hit.id for hit in alice.search("boat")} == {one.id, two.id}


def test_what_contradicts_is_flagged_and_brought_along(alice: Session) -> None:
    never = alice.add("I have never been to Rome.")
    for number in range(30):
        alice.add(f"never, never, never number {number}")
    been = alice.add("Last spring the Colosseum impressed us.")
    alice.organizer.link(never.id, been.id, "contradicts", confidence=0.8)
    plain = alice.search("never Rome", k=2)
    assert plain[0].conflicts_with == (been.id,)
    found = alice.search("never Rome", k=2, options=EXPANDED)
    assert [hit.id for hit in found] == [never.id, been.id]
    assert "linked" in found[1].why


def test_a_link_is_seen_only_by_who_reads_both_ends(
    memos: MemOS, alice: Session, bob: Session
) -> None:
    open_, hidden = alice.add("the plan is public"), alice.add("the plan is secret")
    link = alice.organizer.link(hidden.id, open_.id, "supersedes", reason="the secret plan")
    alice.grant("user:bob", "read", on=open_.id)
    assert bob.organizer.links(open_.id) == ()
    assert bob.organizer.neighbourhood(open_.id, depth=8) == Graph(open_.id, {open_.id: 0}, ())
    (hit,) = bob.search("plan", options=EXPANDED)
    assert hit.id == open_.id
    assert hit.superseded_by == ()
    assert "superseded" not in hit.why, "what may not be read moves no score"
    with pytest.raises(NotFoundError):
        bob.organizer.unlink(link.id)
    with pytest.raises(NotFoundError):
        bob.organizer.path(open_.id, hidden.id)
    alice.grant("user:bob", "read", on=hidden.id)
    assert [each.id for each in bob.organizer.links(open_.id)] == [link.id]
    with pytest.raises(DeniedError):
        bob.organizer.unlink(link.id)
    alice.organizer.unlink(link)
    assert {each.type for each in alice.organizer.links(open_.id)} == {"distinct"}


def test_a_hidden_memory_is_not_passed_through(alice: Session, bob: Session) -> None:
    first, middle, last = (alice.add(f"stop {number}") for number in range(3))
    alice.organizer.link(first.id, middle.id, "before")
    alice.organizer.link(middle.id, last.id, "before")
    for each in (first, last):
        alice.grant("user:bob", "read", on=each.id)
    path = alice.organizer.path(first.id, last.id)
    assert path is not None
    assert [link.target for link in path] == [middle.id, last.id]
    assert bob.organizer.path(first.id, last.id) is None


def test_who_may_not_change_a_memory_cannot_say_that_it_was_superseded(
    alice: Session, bob: Session
) -> None:
    theirs = alice.add("the budget is 4,000")
    alice.grant("user:bob", "read", on=theirs.id)
    mine = bob.add("the budget is 9")
    for kind in ("supersedes", "contradicts", "repeats"):
        with pytest.raises(DeniedError):
            bob.organizer.link(mine.id, theirs.id, kind)
        with pytest.raises(DeniedError):
            bob.organizer.link(theirs.id, mine.id, kind)
    bob.organizer.link(mine.id, theirs.id, "about")  # a note of one's own, which only bob sees
    assert alice.organizer.links(theirs.id) == ()
    assert [hit.superseded_by for hit in alice.search("budget")] == [()]


def test_a_reason_is_not_told_to_who_sees_an_end_only_in_part(memos: MemOS, owner: Session) -> None:
    owner.grant("user:bob", "read", on="acme")
    one = owner.add("the card 4111 1111 1111 1111 pays", space="acme")
    two = owner.add("another card pays", space="acme")
    owner.organizer.link(two.id, one.id, "follows", reason="no more 4111 1111 1111 1111")
    bob = memos.session("user:bob")
    (link,) = bob.organizer.links(one.id)
    assert link.reason == ""
    assert "4111" not in bob.get(one.id).text


@pytest.mark.parametrize(
    ("kind", "fields", "match"),
    [
        ("Supersedes", {}, "lower-case"),
        ("x" * 25, {}, "24"),
        ("merges", {}, "merging"),
        ("about", {"confidence": 2}, "between 0 and 1"),
        ("about", {"confidence": True}, "number"),
    ],
)
def test_malformed_links_are_refused(
    alice: Session, kind: str, fields: dict[str, object], match: str
) -> None:
    one, two = alice.add("one"), alice.add("two")
    with pytest.raises(InvalidInputError, match=match):
        alice.organizer.link(one.id, two.id, kind, **fields)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="itself"):
        alice.organizer.link(one.id, one.id, "about")
    alice.organizer.link(one.id, two.id, "about")
    with pytest.raises(ConflictError, match="already"):
        alice.organizer.link(one.id, two.id, "about")
    with pytest.raises(InvalidInputError, match="expand"):
        SearchOptions(expand=4)


def test_the_past_knows_no_later_link(memos: MemOS, clock: ManualClock, alice: Session) -> None:
    old, new = alice.add("I live in Leeds."), alice.add("I live in York.")
    before = memos._vault.clock.now()
    clock.turn(timedelta(days=1))
    alice.organizer.link(new.id, old.id, "supersedes")
    assert [hit.superseded_by for hit in alice.search("Leeds") if hit.id == old.id] == [(new.id,)]
    clock.turn(timedelta(days=1))
    past = alice.at(before + timedelta(hours=1))
    assert [hit.superseded_by for hit in past.search("Leeds") if hit.id == old.id] == [()]
    assert past.organizer.links(old.id) == ()
    with pytest.raises(DeniedError):
        past.organizer.link(old.id, new.id, "about")


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20))
def test_the_shortest_chain_is_as_long_as_the_distance(pairs: list[tuple[int, int]]) -> None:
    plain = networkx.Graph(pairs)
    plain.add_node(0)
    distances = networkx.single_source_shortest_path_length(plain, 0)
    epoch = ManualClock().now()
    links = tuple(
        Link(str(n), str(a), str(b), "x", 1.0, "", "", epoch) for n, (a, b) in enumerate(pairs)
    )
    graph = Graph("0", {str(node): far for node, far in distances.items()}, links)
    for node in range(8):
        chain = shortest(graph, str(node))
        assert (chain is None) == (node not in distances)
        if chain is not None:
            here = "0"
            for link in chain:
                here = link.other(here)
            assert here == str(node)
            assert len(chain) == distances[node]


def _stored(memos: MemOS, cube_id: str) -> tuple[str, dict[str, object]]:
    """Read the payload and the header as they are stored, without the signature of the version."""
    query = (
        "SELECT v.payload, v.header FROM cubes c JOIN versions v "
        "ON v.cube_id = c.id AND v.version = c.version WHERE c.id = :id"
    )
    with memos._vault.read() as tx:
        payload, header = tx.connection.execute(sql(query), {"id": cube_id}).one()
    fields = json.loads(header)
    fields.pop("signature", None)
    return payload, fields


def test_a_merge_is_undone_byte_for_byte(memos: MemOS, alice: Session) -> None:
    one = alice.add("Anna's birthday is May 3.", tags={"anna"}, metadata={"n": 1})
    two = alice.add("Anna was born on May 3.", key="born", speaker="Ben")
    before = [_stored(memos, each.id) for each in (one, two)]
    merged = alice.organizer.merge(
        [one.id, two.id], "Anna's birthday is May 3, when Anna was born."
    )
    assert [hit.id for hit in alice.search("Anna birthday")] == [merged.id]
    assert alice.get(one.id).meta.state is MemoryState.MERGED
    assert set(merged.meta.lineage) == {one.id, two.id}
    with pytest.raises(ConflictError, match="merged"):
        alice.organizer.merge([one.id, merged.id])
    with pytest.raises(ConflictError, match="merged"):
        alice.update(one.id, "Anna's birthday is June 4.")
    back = alice.organizer.unmerge(merged.id)
    assert [each.id for each in back] == [one.id, two.id]
    assert [_stored(memos, each.id) for each in (one, two)] == before
    assert alice.get(merged.id).meta.state is MemoryState.ARCHIVED
    assert {hit.id for hit in alice.search("Anna birthday")} == {one.id, two.id}
    with pytest.raises(ConflictError, match="not merged"):
        alice.organizer.unmerge(merged.id)


def test_forgetting_one_of_what_was_merged_loses_nothing_of_the_others(
    memos: MemOS, alice: Session
) -> None:
    one, two = alice.add("the boat is red"), alice.add("the boat is fast")
    merged = alice.organizer.merge([one.id, two.id])
    assert merged.text == "the boat is red\nthe boat is fast"
    alice.forget(one.id)
    with pytest.raises(NotFoundError):
        alice.get(merged.id)
    assert alice.search("boat").texts == ["the boat is fast"]
    assert alice.get(two.id).meta.state is MemoryState.GENERATED
    assert memos.diagnose().is_healthy


def test_forgetting_what_was_merged_brings_its_sources_back(alice: Session) -> None:
    one, two = alice.add("the boat is red"), alice.add("the boat is fast")
    merged = alice.organizer.merge([one.id, two.id])
    alice.forget(merged.id)
    assert {hit.id for hit in alice.search("boat")} == {one.id, two.id}


def test_a_merge_that_may_not_be_made_changes_nothing(
    memos: MemOS, owner: Session, alice: Session, bob: Session
) -> None:
    theirs, mine = alice.add("the boat is red"), bob.add("the boat is fast")
    alice.grant("user:bob", "read", on=theirs.id)
    with pytest.raises(DeniedError):
        bob.organizer.merge([mine.id, theirs.id])
    with pytest.raises(NotFoundError):
        alice.organizer.merge([mine.id, theirs.id])
    frozen = bob.add("the boat is old")
    bob.freeze(frozen.id)
    with pytest.raises(ConflictError, match="frozen"):
        bob.organizer.merge([mine.id, frozen.id])
    with pytest.raises(InvalidInputError, match="two"):
        bob.organizer.merge([mine.id, mine.id])
    assert bob.get(mine.id).meta.state is MemoryState.GENERATED
    assert bob.get(mine.id).version == 1
    assert len(bob.get_all()) == 3


def test_a_merge_is_for_those_only_who_may_read_all_of_it(memos: MemOS, owner: Session) -> None:
    owner.grant("user:bob", "read", on="acme")
    open_ = owner.add("the plan is bold", space="acme")
    closed = owner.add("the plan is secret", space="acme", access={"user:owner"})
    merged = owner.organizer.merge([open_.id, closed.id])
    bob = memos.session("user:bob")
    assert bob.search("plan").texts == []
    with pytest.raises(NotFoundError):
        bob.get(merged.id)
    owner.organizer.unmerge(merged.id)
    assert bob.search("plan").texts == ["the plan is bold"]


def test_links_survive_a_backup_and_damage_is_named(
    memos: MemOS, folder: Path, alice: Session
) -> None:
    one, two = alice.add("one boat"), alice.add("two boats")
    alice.organizer.link(one.id, two.id, "supersedes")
    with memos._vault.effect() as tx:
        tx.connection.execute(sql("UPDATE links SET percent = 7"))
    assert alice.organizer.links(one.id) == (), "nothing is demoted on a damaged word"
    assert any("link" in each for each in memos.diagnose().problems)


class Saying:
    """A chat model that says one thing, whatever it is asked."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.asked: list[Message] = []

    def chat(self, messages: Sequence[Message], *, schema: object = None) -> str:
        self.asked = list(messages)
        return self.answer


def test_a_merge_by_a_model_is_a_proposal_until_it_keeps_everything(alice: Session) -> None:
    one = alice.add("Ruth pays $40 on May 3.")
    two = alice.add("Ruth does not pay in cash.")
    bad = alice.organizer.propose([one.id, two.id], Saying("Ruth pays $45 on May 3 in cash."))
    assert bad.missing.numbers == ("$40",)
    assert bad.missing.denials
    with pytest.raises(ConflictError, match="40"):
        alice.organizer.merge(bad.refs, bad.text)
    assert alice.get(one.id).meta.state is MemoryState.GENERATED
    model = Saying("On May 3 Ruth pays $40. Ruth does not pay in cash.")
    good = alice.organizer.propose([one.id, two.id], model)
    assert not good.missing
    assert "Ruth pays $40 on May 3" in model.asked[-1].text
    assert "<memories " in model.asked[-1].text, "what is shown to a model is fenced"
    merged = alice.organizer.merge(good.refs, good.text)
    assert [hit.id for hit in alice.search("Ruth pays")] == [merged.id]


def test_what_says_the_same_is_grouped(alice: Session) -> None:
    ids = [alice.add("The boat is red and fast.").id for _ in range(3)]
    alice.add("The train is late.")
    alice.organizer.organize()
    assert alice.organizer.duplicates() == (frozenset(ids),)
