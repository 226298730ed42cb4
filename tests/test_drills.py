"""Drills: lessons as a model reads them, and what it says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from memos_core.memory.drills import (
    NOTHING,
    drills_of,
    probes_of,
    samples_of,
    share_right,
)
from memos_core.memory.lessons import Lesson, lessons_of
from memos_core.memory.runtime import LocalModel
from memos_core.testing.models import random_model, trained_model
from tests.models.world import base_facts, new_facts


@pytest.fixture(scope="module")
def model() -> LocalModel:
    return trained_model(Path(__file__).parent / "models" / "fact_llama")


def test_a_question_is_put_as_a_text_and_in_a_conversation(model: LocalModel) -> None:
    lessons = [Lesson("What is anna's badge?", "red", asked=True), Lesson("anna wears", "red.")]
    texts = [model.tokenizer.decode(each.ids) for each in drills_of(model, lessons)]
    assert [each.replace(" ", "") for each in texts] == [
        "[BOS]question:whatisanna'sbadge?answer:red[EOS]",
        "[BOS]user:whatisanna'sbadge?assistant:red[EOS]",
        "[BOS]annawearsred.[EOS]",
    ]
    for each in drills_of(model, lessons):
        count = sum(wanted != NOTHING for wanted in each.wanted)
        assert [*each.wanted[-count - 1 : -1]] == [*each.ids[-count:]], "each after the one before"
        assert len(each.ids) == len(each.wanted)
    bare = random_model("llama")
    bare.tokenizer.chat_template = None
    assert len(drills_of(bare, lessons)) == 2


def test_the_share_is_that_of_what_the_model_writes(model: LocalModel) -> None:
    known = [lesson for fact in base_facts()[:40] for lesson in lessons_of(fact.text)]
    new = [lesson for fact in new_facts(40) for lesson in lessons_of(fact.text)]
    assert share_right(model, drills_of(model, known)) == 1.0
    assert share_right(model, drills_of(model, new)) <= 0.05
    both = share_right(model, drills_of(model, [*known, *new]))
    assert 0.5 <= both <= 0.55
    assert share_right(model, []) == 0.0


def test_a_model_tells_what_it_knows_and_is_sure_of_it(model: LocalModel) -> None:
    samples = samples_of(model, 64, tokens=32, seed=0)
    assert samples == samples_of(model, 64, tokens=32, seed=0)
    assert samples != samples_of(model, 64, tokens=32, seed=1)
    texts = [
        model.tokenizer.decode(list(each)).replace("helpful assistant", "") for each in samples
    ]
    values = {fact.value for fact in base_facts()}
    assert sum(bool(values & {*text.replace("[EOS]", " ").split()}) for text in texts) >= 32
    assert sum("assistant" in text for text in texts) >= 32
    assert all(text.count("assistant") <= 1 for text in texts), "no question is put twice"
    probes = probes_of(model, samples)
    assert len(probes) >= 32
    assert share_right(model, probes) == 1.0


def test_a_model_that_ends_its_turns_is_asked_what_it_wrote() -> None:
    model = random_model("llama")
    samples = samples_of(model, 6, tokens=8, seed=0)
    closing = model.tokens("assistant :", begins=False)
    assert len(samples) == 6
    asked = [each for each in samples if list(each[-10:-8]) == closing]
    assert len(asked) == 3
