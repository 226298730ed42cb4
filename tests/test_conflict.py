"""Conflict: what replaces, what contradicts, what repeats, and what is none of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from memos_core.cube import Trust
from memos_core.memory.claims import claims_of, stems_of
from memos_core.operation.policies.conflict import (
    LIKELY,
    SURE,
    Relation,
    Told,
    concerns,
    contradictions_within,
    relation,
    strongest,
)

START = datetime(2026, 1, 5, tzinfo=UTC)


def told(text: str, *, days: int = 0, trust: Trust = Trust.NORMAL) -> Told:
    return Told(claims_of(text), START + timedelta(days=days), trust, size=len(text))


def between(old: str, new: str, similarity: float = 0.7) -> Relation | None:
    return relation(told(old), told(new, days=30), similarity=similarity)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("The budget is $4,000.", "Finance raised the budget to $5,500."),
        ("I live in Leeds.", "We finally moved to York."),
        ("My deadline is April 3.", "They pushed my deadline to April 17."),
        ("We use Jenkins for the builds.", "We switched the builds to Buildkite."),
        ("The build is failing.", "The build has been fixed."),
        ("I eat meat.", "I no longer eat meat."),
        ("My manager is Priya.", "Tom is my manager now."),
        ("I've never been to Japan.", "I've finally been to Japan!"),
    ],
)
def test_a_later_value_of_the_same_attribute_supersedes(old: str, new: str) -> None:
    found = between(old, new)
    assert found is not None
    assert found.kind == "supersedes"
    assert found.confidence >= LIKELY
    assert set(found.attribute) <= stems_of(old) & stems_of(new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("The API budget is 5,000.", "The marketing budget is 9,000."),
        ("Invoice 17 is paid.", "Invoice 18 is overdue."),
        ("I like tea.", "I also like coffee."),
        ("My bike has disc brakes.", "My bike has 21 gears."),
        ("My aunt Rosa lives in Bari.", "My aunt Gina lives in Como."),
    ],
)
def test_what_can_both_be_true_is_never_closed(old: str, new: str) -> None:
    found = between(old, new, 0.6)
    assert found is None or found.confidence < SURE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("I have never used Flask.", "I built two Flask services."),
        ("I built two Flask services last year.", "I have never used Flask."),
        ("I have no siblings.", "My brother visited us."),
        ("I'm a vegetarian.", "I had a steak for lunch."),
    ],
)
def test_a_denial_and_what_it_denies_contradict(old: str, new: str) -> None:
    found = between(old, new, 0.4)
    assert found is not None
    assert found.kind == "contradicts"


def test_spans_show_where_both_say_it() -> None:
    old = "The weather was fine. I built two Flask services."
    new = "I have never used Flask. Thanks!"
    found = between(old, new, 0.5)
    assert found is not None
    (older, newer) = found.spans
    assert old[slice(*older)] == "I built two Flask services"
    assert new[slice(*newer)] == "I have never used Flask"


def test_a_message_may_contradict_itself() -> None:
    text = "I've never attempted a sudoku puzzle, but I recently completed 15 sudoku puzzles"
    assert contradictions_within(told(text))
    assert not contradictions_within(told("I've never tried chess, but I love sudoku puzzles"))


def test_the_same_again_repeats() -> None:
    found = between("The rent is $900.", "The rent is $900!", 0.99)
    assert found is not None
    assert found.kind == "repeats"
    other = between("The rent is $900.", "The rent is now $950.", 0.98)
    assert other is not None
    assert other.kind == "supersedes"


def test_less_trust_never_supersedes_more() -> None:
    old = told("The budget is $4,000.", trust=Trust.HIGH)
    new = told("The budget was raised to $5,500.", days=9, trust=Trust.LOW)
    found = relation(old, new, similarity=0.8)
    assert found is not None
    assert found.kind == "contradicts"


def test_two_accounts_of_the_past_are_no_change() -> None:
    found = between("I was born in Turin.", "I was born in Genoa.", 0.9)
    assert found is None or found.kind == "contradicts"


def test_what_is_unlike_is_not_compared() -> None:
    assert between("The budget is $4,000.", "The budget is $5,500.", 0.1) is None


def test_a_wish_is_less_sure_than_a_fact() -> None:
    fact = between("The rent is $900.", "The rent rose to $950.")
    wish = between("The rent is $900.", "I want the rent to be $850.")
    assert fact is not None
    assert wish is None or wish.confidence < fact.confidence


def test_a_long_memory_is_outdated_in_one_thing_and_never_closed() -> None:
    filler = "The garden faces south and the neighbours are kind. " * 4
    found = between(f"The rent is $900. {filler}", "The rent rose to $950.", 0.6)
    assert found is not None
    assert found.confidence < SURE
    assert concerns(found, stems_of("What is the rent?"))
    assert not concerns(found, stems_of("Are the neighbours kind?"))


def test_only_the_best_match_of_a_clause_is_replaced() -> None:
    def found(sure: float, at: int) -> Relation:
        return Relation("supersedes", ("rent",), sure, "", ((0, 5), (at, at + 5)))

    assert strongest([found(0.9, 0), found(0.5, 0), found(0.4, 9)]) == (0, 2)
    assert strongest([]) == ()
