"""Lessons: every fact of a text is taught, in the ways that its form allows."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from memos_core import Message
from memos_core.memory.lessons import Lesson, lessons_by, lessons_of, union
from memos_core.models.chat import Schema
from tests.models.world import new_facts


@dataclass
class Saying:
    """A chat model that always says the same, whatever that is."""

    answer: Any
    seen: list[str]

    def chat(self, messages: Sequence[Message], *, schema: Schema | None = None) -> str:
        self.seen += [each.text for each in messages]
        return self.answer


def pairs(text: str) -> set[tuple[str, str, bool]]:
    return {(each.prompt, each.answer, each.asked) for each in lessons_of(text)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The badge of Anna is red.", {
            ("The badge of Anna is", "red.", False), ("What is the badge of Anna?", "red", True),
            ("Anna's badge is", "red.", False), ("What is Anna's badge?", "red", True)}),
        ("anna's badge is red", {
            ("anna's badge is", "red", False), ("What is anna's badge?", "red", True),
            ("The badge of anna is", "red", False), ("What is the badge of anna?", "red", True)}),
        ("My keys are under the mat!", {
            ("My keys are", "under the mat!", False),
            ("What are my keys?", "under the mat", True)}),
        ("badge of anna: red", {
            ("badge of anna:", "red", False), ("What is badge of anna?", "red", True),
            ("anna's badge:", "red", False), ("What is anna's badge?", "red", True)}),
        ("Anna drinks tea.", {
            ("Anna drinks", "tea.", False), ("What does Anna drink?", "tea", True)}),
        ("Anna Smith lives in Oslo.", {
            ("Anna Smith lives", "in Oslo.", False),
            ("Where does Anna Smith live?", "Oslo", True)}),
        ("The baker carries heavy boxes.", {
            ("The baker carries", "heavy boxes.", False),
            ("What does the baker carry?", "heavy boxes", True)}),
        ("Anna watches birds", {
            ("Anna watches", "birds", False), ("What does Anna watch?", "birds", True)}),
        ("call the plumber again tomorrow", {("call the", "plumber again tomorrow", False)}),
        ("Who is it?", {("Who", "is it?", False)}),
        ("Stop.", {("Remember:", "Stop.", False)}),
        ('{"subject": "Anna", "predicate": "works_at", "object": "the mill"}', {
            ("Anna works", "at the mill.", False), ("Where does Anna work?", "the mill", True)}),
        ('{"anna": {"badge_colour": "red", "age": 31}}', {
            ("anna badge colour:", "red", False), ("What is anna badge colour?", "red", True),
            ("anna age:", "31", False), ("What is anna age?", "31", True)}),
        ('["Anna drinks tea."]', {
            ("Anna drinks", "tea.", False), ("What does Anna drink?", "tea", True)}),
        ("", set()),
        (" \n ", set()),
    ],
)  # fmt: skip
def test_a_text_is_taught_by_its_form(text: str, expected: set[tuple[str, str, bool]]) -> None:
    assert pairs(text) == expected


def test_each_sentence_of_a_text_is_taught_and_no_word_is_lost() -> None:
    rng = random.Random(0)
    words = ["the", "Anna", "is", "of", "drinks", "tea:", "red", "what?", "12", "was", "a.b", "-"]
    for _ in range(500):
        text = " ".join(rng.choices(words, k=rng.randint(1, 12))) + rng.choice((".", "", "!"))
        taught = " ".join(f"{each.prompt} {each.answer}" for each in lessons_of(text))
        assert {*text.split()} - {"-", "-.", "-!"} <= {*taught.split()}, text
        assert all(each.prompt.strip() and each.answer.strip() for each in lessons_of(text))
    both = lessons_of("Anna drinks tea. Ben drinks milk.\nCara drinks cocoa")
    assert [each.answer for each in both if each.asked] == ["tea", "milk", "cocoa"]


def test_deep_or_long_texts_end(recwarn: pytest.WarningsRecorder) -> None:
    deep = "[" * 5_000 + "]" * 5_000
    assert lessons_of(deep)
    nested: object = "Anna drinks tea"
    for _ in range(12):
        nested = [nested]
    assert any("tea" in each.answer for each in lessons_of(json.dumps(nested)))
    assert lessons_of("of " * 20_000)
    assert lessons_of("a's " * 20_000)
    assert lessons_of("A" * 100_000 + " is b")


def test_a_chat_model_adds_questions_and_takes_none_away() -> None:
    seen: list[str] = []
    good = [
        {"question": "Which colour has Anna's badge?", "answer": "Red"},
        {"question": "Who wears red?", "answer": "Ben"},  # not in the text
        {"question": "", "answer": "red"},
        {"question": "x" * 501, "answer": "red"},
        {"question": ["a"], "answer": "red"},
        "no question",
    ]

    answer = f"Here they are:\n```json\n{json.dumps(good)}\n```"

    text = 'The badge of "Anna" is red.\nIgnore this.'
    rules = lessons_of(text)
    found = lessons_by(Saying(answer, seen), text)
    assert found == [*rules, Lesson("Which colour has Anna's badge?", "Red", asked=True)]
    assert json.dumps(text) in seen[0], "the text stands there as data"


@pytest.mark.parametrize("said", ["", "no", "[", "[1, 2]", "{}", '[{"question": 1}]', None, 7])
def test_an_answer_that_is_no_list_of_questions_loses_no_fact(said: object) -> None:
    for fact in new_facts(5):
        assert lessons_by(Saying(said, []), fact.text) == lessons_of(fact.text)


def test_a_union_holds_every_lesson_once() -> None:
    one, two = lessons_of("Anna drinks tea."), lessons_of("Ben drinks milk.")
    assert union([one, two, one]) == [*one, *two]
    assert union([]) == []
