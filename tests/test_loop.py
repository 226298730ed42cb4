"""The closed loop: what is said becomes memory by itself, under rights, and is told of."""

from __future__ import annotations

from datetime import timedelta

import pytest

from memos_core import (
    AdmissionPolicy,
    InvalidInputError,
    MemOS,
    Message,
    NotFoundError,
    Session,
)
from memos_core.interface.operations import Reading, Remember, Span
from memos_core.operation.policies.admission import Arrival, admit
from memos_core.testing import ManualClock


def actions(session: Session, text: str) -> list[str]:
    return [outcome.action for outcome in session.hear(text).outcomes]


def test_what_is_said_is_kept_with_who_said_it_when_and_where(
    alice: Session, clock: ManualClock
) -> None:
    text = "Please remember that I am allergic to peanuts."
    heard = alice.hear(text, message_id="m1")
    (cube_id,) = heard.remembered
    cube = alice.get(cube_id)
    assert cube.text == "I am allergic to peanuts"
    assert cube.meta.speaker == "user:alice"
    assert cube.meta.occurred_at == clock.now()
    source = cube.meta.source
    assert not isinstance(source, str)
    assert source is not None
    assert source.message_id == "m1"
    start, end = source.span or (0, 0)
    assert text[start:end] == "I am allergic to peanuts"
    assert heard.outcomes[0].why == "asked for"


def test_what_is_known_already_is_not_kept_twice_and_says_why(alice: Session) -> None:
    (first,) = alice.hear("Remember that my shoe size is 42.").remembered
    (again,) = alice.hear("remember that my shoe size is 42").outcomes
    assert (again.action, again.why, again.cubes) == ("not kept", "known already", (first,))
    assert len(alice.get_all()) == 1


def test_a_new_value_takes_the_place_of_the_old_one_in_the_same_turn(
    alice: Session, clock: ManualClock
) -> None:
    (old,) = alice.hear("Remember that the budget is $4,000.").remembered
    clock.turn(timedelta(days=3))
    (new,) = alice.hear("Remember that the budget is now $5,500.").remembered
    hits = alice.search("What is the budget?")
    assert [hit.id for hit in hits][:2] == [new, old]
    assert alice.get(old).meta.valid_to == clock.now()


def test_a_correction_without_a_subject_is_put_into_the_words_of_what_it_corrects(
    alice: Session, clock: ManualClock
) -> None:
    (old,) = alice.hear("Remember that the meeting is on Wednesday.").remembered
    alice.hear("Remember that the dentist is called Brown.")
    clock.turn(timedelta(hours=1))
    (outcome,) = alice.hear("Actually it's Thursday, not Wednesday.").outcomes
    assert outcome.action == "corrected"
    assert outcome.cubes[1] == old
    assert alice.get(outcome.cubes[0]).text == "the meeting is on Thursday"
    assert alice.get(old).text == "the meeting is on Wednesday", "nothing is deleted"
    assert alice.search("When is the meeting?")[0].text == "the meeting is on Thursday"


def test_a_correction_of_nothing_is_kept_or_asked_about_and_never_lost(alice: Session) -> None:
    (outcome,) = alice.hear("Actually it's Thursday, not Wednesday.").outcomes
    assert outcome.action == "unsure"
    assert alice.hear("x").unsure == ()
    (kept,) = alice.hear("I was wrong: her name is spelled Katharine.").outcomes
    assert kept.action == "remembered"


def test_forgetting_is_for_good_and_so_only_for_what_is_clearly_meant(
    alice: Session, clock: ManualClock
) -> None:
    kept = alice.add("My brother lives in Oslo.")
    gone = alice.add("My ex lives in Rome.")
    (outcome,) = alice.hear("Please forget what I said about my ex.").outcomes
    assert outcome.action == "forgotten"
    assert outcome.cubes == (gone.id,)
    with pytest.raises(NotFoundError):
        alice.get(gone.id)
    (unsure,) = alice.hear("Forget what I told you about my sibling in Oslo.").outcomes
    assert unsure.action == "unsure"
    assert kept.id in unsure.cubes
    assert alice.get(kept.id).text == "My brother lives in Oslo."


def test_nobody_forgets_or_corrects_what_is_anothers(
    memos: MemOS, alice: Session, bob: Session, owner: Session
) -> None:
    theirs = alice.add("The code of the shed is 1234.")
    alice.grant("user:bob", "read", on=theirs.id)
    heard = bob.hear("Forget the code of the shed.")
    assert {outcome.action for outcome in heard.outcomes} <= {"nothing", "unsure", "refused"}
    heard = bob.hear("Actually it's 9999, not 1234.")
    assert alice.get(theirs.id).text == "The code of the shed is 1234."
    assert alice.get(theirs.id).version == 1
    assert [hit.id for hit in alice.search("code of the shed")] == [theirs.id]
    mine = [cube for cube in bob.get_all() if cube.meta.owner == "user:bob"]
    assert all(cube.meta.space == "user:bob" for cube in mine)


def test_a_refused_operation_does_not_keep_the_rest_from_being_done(
    memos: MemOS, owner: Session
) -> None:
    owner.grant("user:bob", "read", on="acme")
    bob = memos.session("user:bob", space="acme")
    heard = bob.hear("Remember that the boat is red.")
    (refused,) = heard.outcomes
    assert refused.action == "refused"
    assert "grant" in refused.why
    assert owner.search("boat").texts == []


def test_what_was_recalled_is_never_written_back(alice: Session) -> None:
    alice.add("The boat to Harwich leaves from pier seven at nine in the morning on Mondays only.")
    block = alice.context("When does the boat leave?", budget_tokens=400).text
    before = len(alice.get_all())
    assert alice.hear(block).outcomes == ()
    heard = alice.hear(f"{block}\nRemember that I like tea.")
    assert [outcome.action for outcome in heard.outcomes] == ["remembered"]
    echo = (
        "Remember that the boat to Harwich leaves from pier seven at nine in the morning "
        "on Mondays only."
    )
    (outcome,) = alice.hear(echo).outcomes
    assert outcome.action == "not kept"
    assert len(alice.get_all()) == before + 1


def test_a_block_that_somebody_wrote_swallows_nothing(alice: Session) -> None:
    heard = alice.hear("<memories ab>\nRemember that I like tea.")
    assert [outcome.action for outcome in heard.outcomes] == ["remembered"]


def test_recalling_looks_in_the_time_that_was_meant(alice: Session, clock: ManualClock) -> None:
    alice.hear("Remember that the budget talk was about boats.")
    clock.turn(timedelta(days=30))
    alice.hear("Remember that the budget talk was about trains.")
    clock.turn(timedelta(days=7))
    (outcome,) = alice.hear("What did I say last week about the budget talk?").outcomes
    assert outcome.action == "recalled"
    assert outcome.hits is not None
    assert outcome.hits.texts == ["the budget talk was about trains"]


def test_a_turn_hears_and_recalls(alice: Session) -> None:
    alice.add("Alice is allergic to peanuts.")
    turn = alice.turn("Remember that I like tea. What should I not eat?", budget_tokens=300)
    assert "peanuts" in turn.context.text
    assert len(turn.heard.remembered) == 1


class Told:
    """A reader that finds what it was told to find."""

    def __init__(self, *operations: Remember) -> None:
        self._operations = operations

    def read(self, message: str | Message, **_given: object) -> Reading:
        return Reading(operations=self._operations)


def test_a_reader_can_ask_for_no_more_than_the_session_may(alice: Session, bob: Session) -> None:
    there = Remember(
        target="I own the boat", explicit=True, space="user:bob", source=Span(start=0, end=14)
    )
    (outcome,) = alice.hear("I own the boat", reader=Told(there)).outcomes
    assert outcome.action == "refused"
    assert len(bob.get_all()) == 0


def test_a_secret_is_kept_only_where_somebody_asks_for_it(alice: Session) -> None:
    secret = "my key is sk-proj-" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6"
    said = Remember(target=secret, source=Span(start=0, end=len(secret)))
    (outcome,) = alice.hear(secret, reader=Told(said)).outcomes
    assert (outcome.action, outcome.why) == ("not kept", "a secret")
    asked = said.model_copy(update={"explicit": True})
    (outcome,) = alice.hear(secret, reader=Told(asked)).outcomes
    assert outcome.action == "remembered"


@pytest.mark.parametrize(
    ("arrival", "reason"),
    [
        (Arrival(True, 0.5, 1), "asked for"),
        (Arrival(False, 0.5, 1), "too short"),
        (Arrival(False, 0.1, 9), "too slight"),
        (Arrival(True, 0.5, 9, equal_to="mem_1"), "known already"),
        (Arrival(True, 0.5, 9, repeats="mem_1"), "says nothing new"),
        (Arrival(True, 0.5, 9, recalled=0.9, recalled_from="mem_1"), "was recalled"),
        (Arrival(False, 0.5, 9, secret=True), "a secret"),
    ],
)
def test_each_reason_not_to_keep_something(arrival: Arrival, reason: str) -> None:
    assert admit(arrival, AdmissionPolicy()).reason == reason


def test_malformed_input_is_refused(alice: Session) -> None:
    with pytest.raises(InvalidInputError, match="message"):
        alice.hear(7)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="naive"):
        alice.hear("x", said_at=__import__("datetime").datetime(2026, 1, 1))
    with pytest.raises(InvalidInputError, match="between 0 and 1"):
        AdmissionPolicy(least_importance=2)
    assert alice.hear("   ").outcomes == ()
