"""Words to terms: lower-cased, stop words out, stemmed (Snowball's English stemmer)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Protocol

import Stemmer

_WORD: Final = re.compile(r"\w+", re.UNICODE)
STOP_WORDS: Final = frozenset(
    """
    a about all also am an and any are as at be because been being but by can could did do does
    doing for from had has have having he her here hers him his how i if in into is it its just me
    my no not of off on once only or other our out over own s she should so some such t than that
    the their them then there these they this those to too under until up very was we were what
    when where which while who whom why will with would you your yours
    """.split()  # noqa: SIM905 - a paragraph reads better than 120 lines
)


class _Stems(Protocol):
    def stemWord(self, word: str) -> str: ...  # noqa: N802 - the library's name


class Analyzer:
    """Turns text into the terms that postings are kept for.

    >>> Analyzer().terms("She was painting the sunrises")
    ['paint', 'sunris']
    """

    def __init__(self) -> None:
        stemmer: _Stems = Stemmer.Stemmer("english")
        self._stem = lru_cache(maxsize=100_000)(stemmer.stemWord)

    def clear(self) -> None:
        """Forget which words were met: those of a forgotten memory are among them."""
        self._stem.cache_clear()

    def terms(self, text: str) -> list[str]:
        """Return the terms of a text, in order, repeated ones kept."""
        return [self._stem(word) for word in words(text) if word not in STOP_WORDS]


def words(text: str) -> list[str]:
    """Split a text into case-folded words.

    >>> words("Maya's code: 7319")
    ['maya', 's', 'code', '7319']
    """
    return _WORD.findall(text.casefold())
