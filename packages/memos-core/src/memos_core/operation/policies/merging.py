"""Merging: which memories are near-duplicates, and whether a merged text lost anything of them.

A text that a model merged stays a proposal until `supports` finds nothing missing. It compares the
forms that facts take in writing (numbers, dates, names, denials, quotations); it errs on the side
of asking again.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Final, TypeVar

from memos_core.infrastructure.index.analysis import STOP_WORDS
from memos_core.memory.lexicon import lexicon
from memos_core.memory.values import values_of

T = TypeVar("T", bound=Hashable)

_NUMBER: Final = re.compile(r"\d+(?:[.,:/-]\d+)*")
_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_QUOTED: Final = re.compile(r"[\"\u201c]([^\"\u201c\u201d\n]{1,400})[\"\u201d]|`([^`\n]{1,400})`")
_ENDS: Final = re.compile(r"[.!?;\n](?=\s|$)")
_SENTENCE: Final = re.compile(r"(?:^|[.!?:\n]\s*|[\"\u201c(]\s*)$")


@dataclass(frozen=True, slots=True)
class Missing:
    """What of its sources a merged text does not have; false where nothing is missing.

    Args:
        numbers: Numbers and amounts, as written.
        dates: Dates and times, as written.
        names: Words with a capital or a digit in them.
        denials: Words such as `not` and `never`; also those that only the merged text has.
        quotations: What stood in quotation marks.

    Example:
        >>> missing = supports(["Ann pays $40.", "It is not due before May 3."], "Ann pays $45.")
        >>> missing.numbers, missing.dates, missing.denials
        (('$40',), ('May 3',), ('not',))
        >>> bool(missing)
        True
    """

    numbers: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    denials: tuple[str, ...] = ()
    quotations: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) for each in fields(self))


def groups_of(pairs: Iterable[tuple[T, T]]) -> tuple[frozenset[T], ...]:
    """Join pairs of near-duplicates to groups.

    Args:
        pairs: Pairs of ids, in any order; a pair of one id with itself says nothing.

    Returns:
        The groups of two and more, in an order that depends on their ids and on nothing else.

    Example:
        >>> [sorted(group) for group in groups_of([("b", "c"), ("x", "y"), ("a", "b")])]
        [['a', 'b', 'c'], ['x', 'y']]
    """
    leader: dict[T, T] = {}

    def find(each: T) -> T:
        root = each
        while leader.setdefault(root, root) != root:
            root = leader[root]
        while leader[each] != root:  # shorten the path for the next one
            leader[each], each = root, leader[each]
        return root

    for one, other in pairs:
        leader[find(one)] = find(other)
    groups: dict[T, set[T]] = {}
    for each in leader:
        groups.setdefault(find(each), set()).add(each)
    found = (frozenset(group) for group in groups.values() if len(group) > 1)
    return tuple(sorted(found, key=lambda group: sorted(map(str, group))))


def supports(sources: Sequence[str], merged: str) -> Missing:
    """Find what a merged text lost of its sources.

    Args:
        sources: The texts that were merged.
        merged: The text that is to stand for them.

    Returns:
        What is missing. A denial is kept where the same words are around it, and one that no
        source has counts as missing too: it turns what they say.
    """
    kept = _Facts.of(merged)
    lost: dict[str, dict[str, None]] = {each.name: {} for each in fields(Missing)}
    read = [_Facts.of(source) for source in sources]
    for norm, word in kept.written["denials"].items():
        if not any(facts.has("denials", norm) for facts in read):
            lost["denials"][word] = None
    for facts in read:
        for kind, written in facts.written.items():
            for norm, word in written.items():
                if not kept.has(kind, norm):
                    lost[kind][word.strip()] = None
    return Missing(**{kind: tuple(words) for kind, words in lost.items()})


@dataclass(frozen=True, slots=True)
class _Facts:
    """The facts of one text: what they are, and how they are written."""

    written: dict[str, dict[str, str]]
    words: frozenset[str]

    @classmethod
    def of(cls, text: str) -> _Facts:
        found: dict[str, dict[str, str]] = {each.name: {} for each in fields(Missing)}
        taken: list[tuple[int, int]] = []
        for value in values_of(text):
            kind = "dates" if value.kind in {"date", "time"} else "numbers"
            found[kind].setdefault(f"{value.kind} {value.norm} {value.unit}", value.text)
            taken.append((value.start, value.end))
        for number in _NUMBER.finditer(text):  # digits that are no value, as in a flight's name
            if not any(start <= number.start() < end for start, end in taken):
                found["numbers"].setdefault(f"digits {number[0]}", number[0])
        for first, second in _QUOTED.findall(text):
            said = " ".join((first or second).split())
            found["quotations"].setdefault(said.casefold(), said)
        found["denials"] = dict(_denials(text))
        for word in _WORD.finditer(text):
            if not _denies(_plain(word[0])) and _is_name(text, word):
                found["names"].setdefault(_plain(word[0]), word[0])
        return cls(found, frozenset(_plain(each) for each in _WORD.findall(text)))

    def has(self, kind: str, norm: str) -> bool:
        """Say whether this text has a fact of another."""
        return norm in (self.words if kind == "names" else self.written[kind])


def _plain(word: str) -> str:
    return word.lower().replace("\u2019", "'").removesuffix("'s")


def _denials(text: str) -> Iterator[tuple[str, str]]:
    """List the denials of a text by the words around them: one before, two behind, no stops."""
    for sentence in _ENDS.split(text):
        found = _WORD.findall(sentence)
        plain = [_plain(word) for word in found]
        for place, low in enumerate(plain):
            if _denies(low):
                before = [each for each in plain[:place] if each not in STOP_WORDS][-1:]
                behind = [each for each in plain[place + 1 :] if each not in STOP_WORDS][:2]
                yield " ".join([*before, "not", *behind]), found[place]


def _denies(low: str) -> bool:
    cues = lexicon().cues.get(low, frozenset())
    return "not" in cues or "never" in cues


def _is_name(text: str, word: re.Match[str]) -> bool:
    """Say whether a word is written as a name, or might be one at the beginning of a sentence."""
    if not any(each.isupper() or each.isdigit() for each in word[0]):
        return False
    low = word[0].lower()
    common = low in STOP_WORDS or low in lexicon().empty or low in lexicon().verbs
    before = text[max(word.start() - 3, 0) : word.start()]
    return not common or (not _SENTENCE.search(before) and low not in STOP_WORDS and low != "i")
