"""Relating: what supersedes, contradicts or repeats what, by rules, and under rights."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from memos_core import MemOS, SearchOptions, Session
from memos_core.testing import ManualClock

JANUARY, MARCH = datetime(2025, 1, 5, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC)


def test_a_new_value_ends_the_old_ones_time_and_deletes_nothing(
    memos: MemOS, clock: ManualClock, alice: Session
) -> None:
    old = alice.add("The budget is $4,000.", occurred_at=JANUARY)
    other = alice.add("The boat is red.", occurred_at=JANUARY)
    then = clock.now()
    clock.turn(timedelta(days=3))
    new = alice.add("Finance raised the budget to $5,500.", occurred_at=MARCH)
    told = alice.organizer.organize()
    assert (told.examined, told.superseded) == (3, 1)
    best = alice.search("What is the budget?")
    assert [hit.id for hit in best][:2] == [new.id, old.id]
    assert best[1].superseded_by == (new.id,)
    assert alice.get(old.id).meta.valid_to == MARCH
    assert alice.get(old.id).text == "The budget is $4,000."
    assert [each.action for each in alice.history(old.id)] == ["add", "supersede"]
    assert alice.get(other.id).version == 1
    past = alice.at(then + timedelta(hours=1))
    (believed,) = [hit for hit in past.search("What is the budget?") if hit.id == old.id]
    assert believed.superseded_by == ()
    assert believed.cube.meta.valid_to is None
    actions = [entry.action for entry in alice.audit.query(cube=old.id)]
    assert {"memos.supersede", "memos.add"} <= set(actions)


def test_what_did_not_change_is_not_compared_again(alice: Session) -> None:
    for number in range(5):
        alice.add(f"note number {number} about boats")
    assert alice.organizer.organize().examined == 5
    assert alice.organizer.organize().examined == 0
    alice.add("one more note about boats")
    assert alice.organizer.organize().examined == 1


def test_a_link_that_was_taken_away_is_not_found_again(alice: Session) -> None:
    old = alice.add("The budget is $4,000.", occurred_at=JANUARY)
    new = alice.add("The budget is now $5,500.", occurred_at=MARCH)
    alice.organizer.organize()
    (link,) = alice.organizer.links(old.id)
    assert (link.source, link.target, link.type) == (new.id, old.id, "supersedes")
    alice.organizer.unlink(link)
    assert alice.get(old.id).meta.valid_to is None
    alice.update(new.id, "The budget is now $5,600.")
    alice.organizer.organize()
    assert {each.type for each in alice.organizer.links(old.id)} == {"distinct"}
    assert all(hit.superseded_by == () for hit in alice.search("budget"))


def test_what_is_frozen_is_linked_and_stays_as_it_is(alice: Session) -> None:
    old = alice.add("The budget is $4,000.", occurred_at=JANUARY)
    alice.freeze(old.id)
    new = alice.add("The budget is now $5,500.", occurred_at=MARCH)
    alice.organizer.organize()
    assert alice.get(old.id).meta.valid_to is None
    assert alice.search("budget")[0].id == new.id


def test_a_contradiction_is_flagged_on_both_and_listed(alice: Session) -> None:
    one = alice.add("I have never used Flask in this project.", occurred_at=MARCH)
    two = alice.add("I built the login page with Flask in this project.", occurred_at=JANUARY)
    told = alice.organizer.organize()
    assert told.contradicted == 1
    assert {hit.id: hit.conflicts_with for hit in alice.search("Flask")} == {
        one.id: (two.id,),
        two.id: (one.id,),
    }
    (link,) = alice.organizer.conflicts()
    assert {link.source, link.target} == {one.id, two.id}


def test_only_what_the_session_may_change_is_said_anything_about(
    memos: MemOS, owner: Session, bob: Session
) -> None:
    old = owner.add("The budget is $4,000.", space="acme", occurred_at=JANUARY)
    owner.add("The budget is now $5,500.", space="acme", occurred_at=MARCH)
    owner.grant("user:bob", "read", on="acme")
    told = bob.organizer.organize()
    assert (told.superseded, told.contradicted) == (0, 0)
    assert owner.organizer.links(old.id) == ()
    assert owner.get(old.id).version == 1


def test_nobody_takes_the_place_of_what_is_kept_from_them(
    memos: MemOS, owner: Session, bob: Session
) -> None:
    owner.grant("user:bob", ["read", "write"], on="acme")
    old = owner.add(
        "The budget is $4,000.", space="acme", access={"user:owner"}, occurred_at=JANUARY
    )
    bob.add("The budget is now $9.", space="acme", occurred_at=MARCH)
    told = owner.organizer.organize()
    assert (told.superseded, told.contradicted) == (0, 1)
    assert owner.get(old.id).meta.valid_to is None


def test_a_source_of_less_trust_contradicts_and_does_not_supersede(
    memos: MemOS, owner: Session
) -> None:
    owner.grant("user:bob", ["read", "write"], on="acme")
    owner.governance.set_trust("user:bob", "low")
    old = owner.add("The budget is $4,000.", space="acme", occurred_at=JANUARY)
    memos.session("user:bob").add("The budget is now $9.", space="acme", occurred_at=MARCH)
    told = owner.organizer.organize()
    assert (told.superseded, told.contradicted) == (0, 1)
    assert owner.get(old.id).meta.valid_to is None


def test_a_keeper_tidies_what_it_may_and_the_worker_does_it(
    memos: MemOS, owner: Session, alice: Session
) -> None:
    private = alice.add("The budget is $1.", occurred_at=JANUARY)
    alice.add("The budget is now $2.", occurred_at=MARCH)
    old = owner.add("The budget is $4,000.", space="acme", occurred_at=JANUARY)
    owner.add("The budget is now $5,500.", space="acme", occurred_at=MARCH)
    owner.grant("app:keeper", ["read", "write"], on="acme")
    keeper = memos.session("app:keeper", space="acme")
    assert memos.maintain().done.get("organize") is None, "without a keeper nobody reads"
    assert memos.maintain(keeper=keeper).done["organize"] > 0
    assert owner.get(old.id).meta.valid_to == MARCH
    assert alice.get(private.id).meta.valid_to is None
    assert memos.maintain(keeper=keeper).done.get("organize") is None


def test_two_spaces_have_nothing_to_say_to_each_other(owner: Session) -> None:
    owner.add("The budget is $4,000.", space="acme/alpha", occurred_at=JANUARY)
    owner.add("The budget is now $5,500.", space="acme/beta", occurred_at=MARCH)
    assert owner.organizer.organize().superseded == 0


def test_forgetting_what_superseded_reopens_nothing_by_itself_but_hides_nothing(
    alice: Session,
) -> None:
    old = alice.add("The budget is $4,000.", occurred_at=JANUARY)
    new = alice.add("The budget is now $5,500.", occurred_at=MARCH)
    alice.organizer.organize()
    alice.forget(new.id)
    (hit,) = alice.search("budget")
    assert hit.id == old.id
    assert hit.superseded_by == ()
    assert hit.cube.meta.valid_to == MARCH, "that it ended is still known"


@pytest.mark.parametrize("expand", [0, 1])
def test_a_batch_of_any_size_is_gone_through(alice: Session, expand: int) -> None:
    for number in range(230):
        alice.add(f"Meter {number} stands at {number}.", occurred_at=JANUARY)
    new = alice.add("Meter 77 now stands at 990.", occurred_at=MARCH)
    seen: list[int] = []
    told = alice.organizer.organize(progress=seen.append)
    assert told.examined >= 231
    assert seen == sorted(seen)
    found = alice.search("What does meter 77 stand at?", options=SearchOptions(expand=expand))
    assert found[0].id == new.id
