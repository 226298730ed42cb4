"""Claims: what a text asserts, whose, of what, and how."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_core.memory.claims import Claim, claims_of
from memos_core.memory.values import differ, values_of


def only(text: str, kind: str) -> Claim:
    found = [claim for claim in claims_of(text) if claim.value.kind == kind]
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize(
    ("text", "kind", "norm", "unit"),
    [
        ("It costs $4k now", "money", "4000", "$"),
        ("It costs 4,000 dollars", "money", "4000", "$"),
        ("It is £12.50 a head", "money", "12.5", "£"),
        ("We are at 64%", "percent", "64", "%"),
        ("We are at sixty percent", "percent", "60", "%"),
        ("It took 3 hours", "duration", "3", "hour"),
        ("It answers in 250ms", "duration", "250", "ms"),
        ("on April 3, 2026", "date", "2026-04-03", ""),
        ("on the 3rd of April 2026", "date", "2026-04-03", ""),
        ("on 2026-04-03", "date", "2026-04-03", ""),
        ("every Thursday", "date", "d4", ""),
        ("at half past, so 4:30 pm", "time", "16:30", ""),
        ("at noon", "time", "12:00", ""),
        ("we run v2.3", "version", "2.3", ""),
        ("we run 2.3.1", "version", "2.3.1", ""),
        ("I weigh 72 kg", "number", "72", "kg"),
        ("twenty-five guests", "number", "25", ""),
        ("mail me at ann.lee@post.example.", "address", "ann.lee@post.example", "address"),
    ],
)
def test_values_are_read_in_their_forms(text: str, kind: str, norm: str, unit: str) -> None:
    assert (kind, norm, unit) in {(each.kind, each.norm, each.unit) for each in values_of(text)}


def test_words_that_only_look_like_dates_are_none() -> None:
    assert values_of("It may rain, and on second thought I march on") == []


def test_dates_differ_only_in_what_both_name() -> None:
    with_year, without, other, weekday = values_of("April 3, 2026; 3 April; April 4; Friday")
    assert not differ(with_year, without)
    assert differ(without, other)
    assert not differ(other, weekday)


def test_a_value_belongs_to_the_nouns_beside_it() -> None:
    assert only("Finance raised the API budget to $5,500.", "money").head == ("api", "budget")
    assert only("We are at 64% test coverage", "percent").head == ("test", "@coverage")
    counted = only("My library has 45 sources", "number")
    assert (counted.head, counted.value.unit) == (("sourc",), "sourc")


def test_whose_it_is() -> None:
    assert only("My budget is $40", "money").subject == "me"
    assert only("Anna's budget is $40", "money").subject == "anna"
    said = claims_of("I live in Leeds", speaker="user:ben")
    assert [claim.subject for claim in said] == ["user:ben"]


@pytest.mark.parametrize(
    "text", ["I have never used Flask", "I don't use Flask", "I didn't use Flask", "No Flask here"]
)
def test_what_is_denied_is_no_assertion(text: str) -> None:
    assert [claim.polarity for claim in claims_of(text)] == [False]


def test_what_is_said_plainly_is_an_assertion() -> None:
    assert [claim.polarity for claim in claims_of("I use Flask")] == [True]


def test_words_of_change_addition_and_end_are_noted() -> None:
    assert "change" in only("The rent is $900 now", "money").cues
    assert "adds" in claims_of("I also play the cello")[0].cues
    assert "ends" in claims_of("I no longer play the cello")[0].cues
    assert "plan" in claims_of("I want to play the cello")[0].cues


def test_what_is_over_is_told_from_what_is() -> None:
    (claim,) = [c for c in claims_of("The rent went from $800 to $900") if c.value.kind == "money"]
    assert claim.value.norm == "900"
    assert "800" in claim.former


def test_what_narrows_a_noun_is_noted_on_either_side() -> None:
    for text in ("the API budget is tight", "the budget for the API is tight"):
        assert ("budget", "api") in claims_of(text)[0].marks


def test_code_and_quotations_are_nobodys_claim() -> None:
    text = 'She wrote "the budget is $40".\n```\nlimit = 500\n```\n> it was 70%\nWe have `9` cats.'
    assert not [claim for claim in claims_of(text) if claim.value.kind != "phrase"]


def test_a_question_asserts_nothing() -> None:
    assert claims_of("Can you help me with the budget?") == ()


def test_clauses_of_one_sentence_are_told_apart() -> None:
    text = "I've never tried climbing, but my sister has 12 medals"
    denied, *others = claims_of(text)
    assert not denied.polarity
    assert all(claim.polarity for claim in others)
    assert text[slice(*denied.span)] == "I've never tried climbing"


@pytest.mark.parametrize(
    "piece",
    ["a", "a b ", "'", "```", '"', "a's ", "from a 1 ", "my 3 of ", "for a of ", "1,", "$ ", "1-1-",
     "a.b@", "May ", "not ", "\u2014", "x\n", "> ", "I never 3 cats "],
)  # fmt: skip
def test_long_texts_take_time_in_proportion(piece: str) -> None:
    started = time.perf_counter()
    claims_of(piece * (100_000 // len(piece)))
    assert time.perf_counter() - started < 5


@given(st.text(max_size=300))
def test_any_text_is_read_and_spans_lie_within_it(text: str) -> None:
    for claim in claims_of(text):
        assert 0 <= claim.span[0] <= claim.span[1] <= len(text)
        assert claim.value.kind == "phrase" or claim.value.text in text
