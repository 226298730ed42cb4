"""The lexicon of claims: which words tell of change, addition, plans, and which name an attribute.

The words stand in `claims.toml`, as people write them; they are stemmed when they are read.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Final

import Stemmer

CUES: Final = (
    "change",
    "adds",
    "ends",
    "plan",
    "never",
    "not",
    "event",
    "was",
    "since",
    "has",
    "first",
)


@dataclass(frozen=True, slots=True)
class Lexicon:
    """What words mean.

    Args:
        cues: A word, or two with a space between, to the cues that it gives.
        attributes: A word or two to the attribute that they name.
        single: Attributes that have one value at a time.
        same: Stem to the stem that stands for all words of one meaning.
        kinds: Stem to the stem of the general word that covers it.
        excludes: What is said of oneself to the stems that it rules out.
        empty: Words that tell nothing about what is claimed.
        verbs: Verbs that end a group of nouns.
    """

    cues: Mapping[str, frozenset[str]]
    attributes: Mapping[str, str]
    single: frozenset[str]
    same: Mapping[str, str]
    kinds: Mapping[str, str]
    excludes: Mapping[str, frozenset[str]]
    empty: frozenset[str]
    verbs: frozenset[str]


def stemmer() -> Callable[[str], str]:
    """Make a stemmer for lower-case words (Snowball's English one).

    It caches nothing, so that no word of a forgotten memory stays in this process.

    Example:
        >>> [stemmer()(word) for word in ("moved", "deadlines")]
        ['move', 'deadlin']
    """
    stem: Callable[[str], str] = Stemmer.Stemmer("english", 0).stemWord
    return stem


@lru_cache(maxsize=1)
def lexicon() -> Lexicon:
    """Read the words, once for a process: they come with the package and never change."""
    raw = tomllib.loads(files(__package__).joinpath("claims.toml").read_text("utf-8"))
    cues: dict[str, set[str]] = {}
    stem = stemmer()
    for name in CUES:
        for word in _listed(raw[name]):
            cues.setdefault(word, set()).add(name)
    same = {stem(word): stem(name) for name, text in raw["same"].items() for word in _listed(text)}
    attributes = {
        word: f"@{name}"
        for part in ("attributes", "several")
        for name, text in raw[part].items()
        for word in _listed(text)
    }
    return Lexicon(
        cues={word: frozenset(names) for word, names in cues.items()},
        attributes=attributes,
        single=frozenset(f"@{name}" for name in raw["attributes"]),
        same=same,
        kinds={stem(w): stem(name) for name, text in raw["kinds"].items() for w in _listed(text)},
        excludes={
            name: frozenset(stem(word) for word in _listed(text))
            for name, text in raw["excludes"].items()
        },
        empty=frozenset(_listed(raw["empty"])),
        verbs=frozenset(_listed(raw["verbs"])),
    )


def _listed(text: str) -> Iterable[str]:
    return (word for each in text.split(",") if (word := " ".join(each.split()).lower()))
