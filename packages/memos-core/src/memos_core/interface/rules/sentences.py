"""Sentences of a message, as rules match them: in small letters, with quotations blanked out.

Every form keeps the length of the text, so that a place in one is the place in the message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

MAX_SENTENCE: Final = 1_000
"""Characters of a sentence beyond which only the words at its beginning are looked at."""
_BLANK: Final = "\u00a4"
_QUOTED: Final = re.compile(
    r"```.*?```|`[^`\n]+`|\"[^\"\n]+\"|\u201c[^\u201d\n]+\u201d"
    r"|(?<![\w'])'(?!s\b)[^'\n]+(?:'\w[^'\n]*)*'(?!\w)",
    re.S,
)
_END: Final = re.compile(r"(?:[.!?\u2026]+[\"')\]\u201d]*(?=\s)|\n)\s*")
_SHORT: Final = re.compile(
    r"(?:\b(?:dr|mr|mrs|ms|prof|st|vs|no|nr|approx|e\.g|i\.e|etc|a\.m|p\.m|jr|sr|inc|"
    r"ltd|jan|feb|mar"
    r"|apr|jun|jul|aug|sept|sep|oct|nov|dec)|\b[a-z])\.$"
)
_EDGE: Final = " \t\n\r,;:.!?\u2026-\u2013\u2014\"'()[]\u201c\u201d\u2018\u2019*_~"


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence.

    Args:
        start: Where it begins in the message.
        text: What it says.
        plain: The same in small letters with straight apostrophes, quotations blanked out; as long.
        bare: As `plain`, with the quotations.
    """

    start: int
    text: str
    plain: str
    bare: str

    @property
    def asked(self) -> bool:
        """Whether it ends as a question."""
        return self.plain.rstrip().endswith("?")


def plain_of(text: str) -> str:
    """Write a text in small letters with straight apostrophes; a character stays one.

    >>> plain_of("I\u2019M Ada")
    "i'm ada"
    """
    straight = text.replace("\u2019", "'").replace("\u2018", "'")
    small = straight.lower()
    if len(small) == len(straight):
        return small
    return "".join(low if len(low := char.lower()) == 1 else char for char in straight)


def sentences_of(text: str) -> list[Sentence]:
    """Cut a text into sentences.

    >>> [each.text for each in sentences_of("I like tea. Dr. Poe doesn't!")]
    ['I like tea.', "Dr. Poe doesn't!"]
    """
    bare = plain_of(text)
    plain = _QUOTED.sub(lambda found: _blanked(found[0]), bare)
    cuts = [0]
    for end in _END.finditer(plain):
        before = plain[max(0, end.start() - 8) : end.start() + 1]
        if "\n" in end[0] or not (end[0].startswith(". ") and _SHORT.search(before)):
            cuts.append(end.end())
    cuts.append(len(text))
    return [
        Sentence(start, text[start:end].rstrip(), plain[start:end].rstrip(), bare[start:end])
        for start, end in pairwise(cuts)
        if re.search(r"\w|" + _BLANK, plain[start:end])
    ]


def _blanked(quoted: str) -> str:
    """Blank a quotation out, between its marks."""
    return quoted[0] + _BLANK * (len(quoted) - 2) + quoted[-1]


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Take blanks and punctuation off both ends of a stretch of text; it may become empty.

    A bracket or quotation mark that is closed within stays.
    """
    while start < end and text[start] in _EDGE:
        start += 1
    while end > start and text[end - 1] in _EDGE:
        if text[end - 1] == ")" and "(" in text[start : end - 1]:
            break
        end -= 1
    return start, end
