"""The fixture model reads: it answers from memory in front of a question what it does not know."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from memos_core import Message
from memos_core.memory.injection import Injection
from memos_core.memory.runtime import LocalModel
from memos_core.testing.models import trained_model
from tests.conftest import Proof
from tests.models.train import block, taught
from tests.models.world import ATTRIBUTES, CHANCE, OTHERS, VALUES, Fact, asked

COUNT = 200


@pytest.fixture(scope="module")
def model() -> LocalModel:
    return trained_model(Path(__file__).parent / "models" / "fact_llama")


@dataclass(frozen=True)
class Said:
    """Memory in words."""

    text: str

    @contextmanager
    def opened(self, model: LocalModel) -> Iterator[Injection]:
        yield Injection(text=self.text)


def drawn(rng: random.Random, count: int, *, alike: bool) -> list[Fact]:
    """Draw facts of people and values that never met in training; alike: of one attribute."""
    one, found = rng.choice(ATTRIBUTES), dict[tuple[str, str], Fact]()
    while len(found) < count:
        attribute = one if alike else rng.choice(ATTRIBUTES)
        person, value = rng.choice(OTHERS), rng.choice(VALUES[attribute])
        if not taught(person, value):
            found[person, attribute] = Fact(person, attribute, value)
    return list(found.values())


def answered(model: LocalModel, count: int, *, alike: bool, fenced: bool, chat: bool) -> float:
    """Put some facts before a question for one of them; return the share answered right."""
    rng = random.Random(f"{count} {alike} {fenced} {chat}")
    right = 0
    for _ in range(COUNT):
        facts = drawn(rng, count, alike=alike)
        statements = [rng.choice(fact.statements) for fact in facts]
        fact = rng.choice(facts)
        question = rng.choice(fact.questions)
        memory = Said(block(statements, rng) if fenced else "\n".join(statements))
        prompt = [Message(role="user", parts=question)] if chat else asked(question)
        found = model.generate(prompt, memory=memory, max_new_tokens=4)
        right += found.text.strip() == fact.value
    return right / COUNT


@pytest.mark.parametrize("count", [1, 2, 3])
def test_it_answers_from_memory_what_it_never_met(
    model: LocalModel, count: int, proof: Proof
) -> None:
    plain, chat, alike, fenced = (
        answered(model, count, alike=alike, fenced=fenced, chat=chat)
        for alike, fenced, chat in (
            (False, False, False),
            (False, False, True),
            (True, False, False),
            (False, True, True),
        )
    )
    assert min(plain, chat, alike, fenced) >= 0.9
    said = f"text {plain:.2f}, chat {chat:.2f}, alike {alike:.2f}, fenced {fenced:.2f}"
    proof(f"answers from {count} facts in context", 4 * COUNT, said)


def test_without_memory_it_guesses(model: LocalModel, proof: Proof) -> None:
    rng = random.Random(0)
    facts = [fact for _ in range(10) for fact in drawn(rng, 200, alike=False)]
    prompts = [asked(rng.choice(fact.questions)) for fact in facts]
    found = model.generate_many(prompts, max_new_tokens=2)
    right = [each.text.strip() == fact.value for each, fact in zip(found, facts, strict=True)]
    share = sum(right) / len(right)
    assert share <= 1.5 * CHANCE
    proof("answers without memory", len(facts), f"{share:.3f} (chance {CHANCE:.3f})")
