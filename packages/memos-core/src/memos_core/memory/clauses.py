"""Clauses: a text cut into the pieces that each assert one thing.

Code and quoted words are blanked out first: they are nobody's claim.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_LONGEST: Final = 60
"""Words of a clause at most: what has no punctuation at all is cut, so that time stays linear."""

_OUT: Final = re.compile(
    r"```|`[^`\n]{1,200}`|\"[^\"\n]{1,400}\"|\u201c[^\u201d\n]{1,400}\u201d|^[ \t]*>.*$", re.M
)
_TOKEN: Final = re.compile(
    r"[^\W_]+(?:['\u2019][^\W_]+)*|[.!?](?=[\s)]|$)|\n|[;:,()\u2014]|\s[-\u2013]\s|'"
)
_BREAKS: Final = frozenset({*".!?;:()\n\u2014", " - ", " \u2013 "})
JOINS: Final = frozenset(
    """
    but because although though whereas while however so since
    considering given especially
    """.split()  # noqa: SIM905
)
_STARTS: Final = frozenset(
    """
    i we he she they it i'm i've we've we're he's she's it's they've my our his her their can could
    how what should would is are do does did will where when why who and then now which
    """.split()  # noqa: SIM905
)
_ASKS: Final = frozenset(
    """
    can could how what should would is are do does did will
    where when why who which any has
    """.split()  # noqa: SIM905
)
_AFTER_WH: Final = frozenset(
    """
    can could should would do does did is are was were will to
    much many about i we else if
    """.split()  # noqa: SIM905
)
COPULA: Final = frozenset(
    """
    is are was were be am been it's that's i'm we're he's she's
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class Word:
    """One word: lower-cased, its stem, its place, whether capital, whether first of a sentence."""

    low: str
    stem: str
    start: int
    end: int
    name: bool
    first: bool


def masked(text: str) -> str:
    """Blank out code and quotations, so that places in the text stay what they are."""
    parts: list[str] = []
    done = 0
    for found in _OUT.finditer(text):
        if found.start() < done:
            continue
        end = found.end()
        if found[0] == "```":
            closing = text.find("```", end)
            end = len(text) if closing < 0 else closing + 3
        parts += [text[done : found.start()], re.sub(r"[^\n]", " ", text[found.start() : end])]
        done = end
    return "".join([*parts, text[done:]])


def clauses_of(text: str, stem: Callable[[str], str]) -> Iterator[tuple[list[Word], bool]]:
    """Cut a text into clauses, and say of each whether it asks."""
    clause: list[Word] = []
    first = True
    comma = False
    for found in _TOKEN.finditer(text):
        word = found[0]
        if word in _BREAKS:
            yield from _kept(clause)
            clause, comma = [], False
            first = first or word in {".", "!", "?", "\n", ":"}
            continue
        if word in {",", "'"}:
            comma = comma or word == ","
            continue
        low = word.lower().replace("\u2019", "'")
        if clause and (len(clause) >= _LONGEST or _begins(low, comma, clause[-1].low)):
            yield from _kept(clause)
            clause = []
        comma = False
        for part in _parts(low):
            upper = word[0].isupper()
            clause.append(Word(part, stem(part), found.start(), found.end(), upper, first))
            first = False
    yield from _kept(clause)


def _parts(low: str) -> Sequence[str]:
    """Take the 's of an owner from a word; `it's` stays whole."""
    if low.endswith("'s") and low not in COPULA and low not in _STARTS:
        return (low[:-2], "'s")
    return (low,)


def _begins(low: str, comma: bool, before: str) -> bool:
    """Say whether a word begins a new clause."""
    if low in JOINS:
        return comma or low in {"but", "because", "although", "though", "whereas"}
    if comma and low in _STARTS and low != "which":
        return True
    return (before == "and" and low in _STARTS and low not in {"which", "and"}) or (
        before == "that" and low in {"i", "i've", "we", "we've", "my"}
    )


def _kept(clause: list[Word]) -> Iterator[tuple[list[Word], bool]]:
    if not clause:
        return
    words = [each for each in clause if each.low not in JOINS and each.low not in {"and", "then"}]
    if not words:
        return
    asks = words[0].low in _ASKS and (
        len(words) > 1
        and (
            words[1].low in _AFTER_WH
            or words[0].low
            in {"can", "could", "should", "would", "is", "are", "do", "does", "will"}
        )
    )
    yield clause, asks
