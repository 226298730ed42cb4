"""Support: whether a message's own words bear out what a model reads in it.

A model may be wrong, or be told by the message itself to answer something. So a target must stand
in the message, and what takes something away must be asked for by a verb right before it.
"""

from __future__ import annotations

import re
from typing import Final

from memos_core.interface.rules.lexicon import FINITE, FIRST
from memos_core.interface.rules.recalling import asks
from memos_core.interface.rules.sentences import Sentence, plain_of
from memos_core.interface.rules.stating import framed

_AWAY: Final = re.compile(
    r"(?<!\w)(?<!don't )(?<!dont )(?<!never )(?<!not )(?<!to )(?<!i )(?<!always "
    r")(?:forget|delete|erase|remove|wipe|purge"
    r"|unlearn|scrub|expunge|discard|get rid of|throw away)\s+(?:about )?(?P<what>[^,;.!?]+)"
)
_INSTEAD: Final = re.compile(
    r"\b(?:actually|correction|i was (?:wrong|mistaken)|i meant|my (?:bad|mistake)|"
    r"not true|that's wrong|typo"
    r"|i misspoke|no longer|isn't|rather than|instead of|should be|update|change)\b|, not "
)
_LITTLE: Final = frozenset(
    [
        "a",
        "an",
        "the",
        "my",
        "our",
        "your",
        "his",
        "her",
        "their",
        "this",
        "that",
        "these",
        "those",
        "of",
        "to",
        "in",
        "on",
        "at",
        "for",
        "from",
        "with",
        "about",
        "and",
        "or",
        "it",
        "is",
        "are",
        "was",
        "were",
        "i",
        "we",
        "me",
        "us",
        "you",
        "please",
        "now",
        "what",
        "all",
        "any",
        "everything",
        "said",
        "told",
        "thing",
        "things",
        "stuff",
    ]
)


def place_of(target: str, text: str) -> tuple[int, int] | None:
    """Find where the words of a target stand in a text, in order and unbroken; None if nowhere.

    >>> place_of("LIKE  tea", "I like tea.")
    (2, 10)
    """
    words = re.findall(r"\w+", plain_of(target))
    if not any(word not in _LITTLE for word in words) or len(words) > 400:
        return None
    pattern = r"\b" + r"[\W_]+".join(map(re.escape, words)) + r"\b"
    found = re.search(pattern, plain_of(text))
    return found.span() if found else None


def supports(op: str, sentence: Sentence, start: int, end: int) -> bool:
    """Say whether a sentence bears out an operation on a part of it.

    Args:
        op: The operation.
        sentence: The sentence; what it quotes counts for nothing.
        start: Where the target begins in the sentence.
        end: Where it ends.
    """
    said = sentence.plain[start:end]
    if framed(sentence) or "\u00a4" in said:
        return False
    if op == "forget":
        return any(
            _covers(said, each["what"])
            for each in _AWAY.finditer(sentence.plain)
            if each.start() < start
        )
    if op == "correct":
        return (
            bool(_INSTEAD.search(sentence.plain))
            and bool(FIRST.search(sentence.plain))
            and not sentence.asked
        )
    if op == "recall":
        return asks(sentence) and bool(FIRST.search(sentence.plain))
    if len(said.split()) < 3:  # a name alone states nothing
        return False
    states = FINITE.search(said) or FIRST.search(said) or ":" in sentence.plain
    return (
        bool(states)
        and bool(FIRST.search(sentence.plain))
        and not _AWAY.search(sentence.plain)
        and not asks(sentence)
    )


def _covers(said: str, asked: str) -> bool:
    """Whether a target holds all that a verb was said of: half of it would take more away."""
    wanted = {each for each in re.findall(r"\w+", asked) if each not in _LITTLE}
    return bool(wanted) and wanted <= set(re.findall(r"\w+", said))
