"""A small world of people and what is true of them: what the fixture model knows and is taught.

Half of the people are known to the model, each with one value for every attribute. Of the others
it knows the names only: facts about them are new to it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final


def read_words() -> dict[str, list[str]]:
    """Read the words of the world: lists, each under its name."""
    lists: dict[str, list[str]] = {}
    words: list[str] = []
    for line in (Path(__file__).parent / "words.txt").read_text("utf-8").splitlines():
        if line.startswith("# "):
            words = lists.setdefault(line[2:], [])
        else:
            words += line.split()
    return lists


_WORDS: Final = read_words()
KNOWN: Final = _WORDS["known"]
OTHERS: Final = _WORDS["others"]
VALUES: Final = {name: _WORDS[name] for name in ("badge", "drink", "home", "pet", "instrument")}
ATTRIBUTES: Final = tuple(VALUES)
CHANCE: Final = max(1 / len(values) for values in VALUES.values())
"""How often a guess among the values of an attribute is right."""
_STATED: Final = {
    "badge": ("{e} wears {v}.", "what does {e} wear?"),
    "drink": ("{e} drinks {v}.", "what does {e} drink?"),
    "home": ("{e} lives in {v}.", "where does {e} live?"),
    "pet": ("{e} keeps a {v}.", "what does {e} keep?"),
    "instrument": ("{e} plays the {v}.", "what does {e} play?"),
}


@dataclass(frozen=True, slots=True)
class Fact:
    """That something is so of somebody.

    Args:
        person: A name.
        attribute: Of `ATTRIBUTES`.
        value: Of that attribute's `VALUES`.
    """

    person: str
    attribute: str
    value: str

    @property
    def text(self) -> str:
        """The fact as a memory would hold it."""
        return self.statements[0]

    @property
    def question(self) -> str:
        """What asks for the value."""
        return self.questions[0]

    @property
    def statements(self) -> tuple[str, ...]:
        """The ways to say it."""
        return (
            f"the {self.attribute} of {self.person} is {self.value}.",
            f"{self.person}'s {self.attribute} is {self.value}.",
            f"{self.attribute} of {self.person}: {self.value}",
            _STATED[self.attribute][0].format(e=self.person, v=self.value),
        )

    @property
    def questions(self) -> tuple[str, ...]:
        """The ways to ask for the value."""
        return (
            f"what is the {self.attribute} of {self.person}?",
            f"what is {self.person}'s {self.attribute}?",
            f"which {self.attribute} does {self.person} have?",
            _STATED[self.attribute][1].format(e=self.person),
        )


def asked(question: str) -> str:
    """Put a question as a text to continue."""
    return f"question: {question} answer:"


def base_facts() -> list[Fact]:
    """Return what the fixture model knows: one value of every attribute for everybody known."""
    return _facts(KNOWN, random.Random("what is known"))


def new_facts(count: int, *, seed: int = 0) -> list[Fact]:
    """Draw facts that the fixture model does not know; no two about the same.

    Args:
        count: How many, at most one for every attribute of everybody unknown.
        seed: Other facts for another seed.
    """
    rng = random.Random(f"what is new {seed}")
    return rng.sample(_facts(OTHERS, rng), count)


def _facts(people: Sequence[str], rng: random.Random) -> list[Fact]:
    return [
        Fact(person, attribute, rng.choice(VALUES[attribute]))
        for person in people
        for attribute in ATTRIBUTES
    ]
