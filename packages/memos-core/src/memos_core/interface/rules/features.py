"""Features: what a sentence's words say about what is asked, and where its target begins and ends.

A feature is a string. `interface.rules.weighing` looks up what each weighs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from memos_core.interface.rules.lexicon import (
    AUXILIARY,
    DEEDS,
    HABITS,
    KIN,
    MODAL,
    MONTH,
    TEXTUAL,
    WEEKDAY,
    either,
)

_TOKEN: Final = re.compile(
    r"(?P<quote>[\"'`\u201c]\u00a4+[\"'`\u201d])|n't\b|[^\W\d_]+?(?=n't\b)|'(?:s|m|re|ve|d|ll)\b"
    r"|[^\W_]+(?:[-'_][^\W_]+)*?(?=n't\b|'(?:s|m|re|ve|d|ll)\b|[^\w'-]|$|[-'_]+(?:\W|$))"
    r"|\.{2,}|[^\w\s]|\w"
)


def _words(pattern: str) -> list[str]:
    return re.findall(r"(?<=[:|])[a-z']+(?=[|)])", pattern)


_CLASSES: Final = {
    "own": r"my|our|mine|ours",
    "i": r"i|we|im|ive",
    "me": r"me|us|myself",
    "he": r"he|she|they|him|her|them|his|their|hers|theirs",
    "kin": KIN,
    "day": rf"{WEEKDAY}s?|{MONTH}|yesterday|today|tomorrow|tonight",
    "be": r"am|is|are|was|were|'s|'m|'re|be|been",
    "have": r"have|has|had|'ve|got",
    "do": r"do|does|did",
    "modal": rf"{MODAL}|'d|'ll|will",
    "wh": r"what|whats|what's|who|where|when|which|why|how|whose",
    "keep": r"remember|keep|save|store|note|record|log|jot|memori[sz]e|retain|stash|hold|hang|mark"
    r"|pin|file|register|tuck|commit",
    "away": r"forget|delete|erase|remove|wipe|purge|drop|bin|scrap|discard|unlearn|clear|ditch|lose"
    r"|toss|strike|scrub|expunge|dump|trash|chuck|shred|burn|nuke|kill|destroy|undo|unsave|retire"
    r"|redact|cancel|rid|throw|cross|deleted|erased|removed|wiped|forgotten|gone|deletion|erasure"
    r"|removal|deleting|erasing|removing|disappear",
    "told": r"said|told|mentioned|mention|say|tell|gave|claimed|wrote|talked|discussed|decided",
    "wrong": r"wrong|mistake|mistaken|correction|typo|oops|whoops|misspoke|lied|incorrect|error"
    r"|nope|nah|mistyped|misremembered|outdated|stale|backwards|corrected|mixed|confusing|misread",
    "change": r"change|update|correct|fix|amend|edit|replace|swap|switch|adjust|revise|set|make"
    r"|move",
    "work": r"write|draft|translate|rewrite|summari[sz]e|proofread|compose|explain|define|rename"
    r"|convert|continue|rephrase|sort|format|generate|improve|recommend|suggest|plan|help|imagine",
    "fetch": r"find|show|list|give|look|pull|dig|read|recall|retrieve|fetch|check|search|bring"
    r"|remind|recap|print|hand|get",
    "advice": r"should|could|would|can|may|might",
    "state": r"tired|bored|hungry|sad|happy|fine|good|sick|late|stuck|sure|sorry|ready|busy"
    r"|confused|cold|hot|kidding|thinking|looking|waiting|trying|writing|getting|feeling|starving|back|off",
    "text": TEXTUAL.pattern,
    "habit": either(" ".join(each for each in _words(HABITS))),
    "deed": either(" ".join(each for each in _words(DEEDS))),
    "open": r"ok|okay|so|oh|well|hey|hi|hello|btw|hm+|um|ah|also|and|but|yes|yeah|right|anyway|ugh",
    "manners": r"please|pls|thanks|thx|cheers|ta|sorry|kindly",
    "n": r"\d[\w.,:/-]*|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve",
    "det": r"the|a|an|this|that|these|those|some|any",
    "prep": r"in|on|at|of|for|from|with|to|about|by|under|over|into|off",
    "aux": AUXILIARY,
}
_CLASS: Final = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _CLASSES.items()))
_TELLING: Final = frozenset(
    ["keep", "away", "told", "wrong", "change", "work", "fetch", "advice", "state", "text", "wh",
     "own", "kin", "i", "?", "<q>", ":"]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Token:
    """A word or a mark.

    Args:
        start: Where it begins in its sentence.
        end: Where it ends.
        word: In small letters; a number and a quotation are written as such.
        kind: Its class, by which a word stands for others like it.
    """

    start: int
    end: int
    word: str
    kind: str


def tokens_of(plain: str, text: str) -> list[Token]:
    """Cut a sentence into words and marks."""
    return [_token(found, text) for found in _TOKEN.finditer(plain)]


def _token(found: re.Match[str], text: str) -> Token:
    word = found[0]
    if found["quote"]:
        return Token(found.start(), found.end(), "<q>", "<q>")
    if word[0].isdigit():
        return Token(found.start(), found.end(), "<n>", "n")
    known = _CLASS.fullmatch(word)
    kind = known.lastgroup or "" if known else ""
    if not kind:
        if not word[0].isalnum() and word[0] not in "'":
            kind = word
        elif text[found.start()].isupper() and found.start():
            kind = "Name"
        else:
            kind = "~" + word[-3:] if len(word) > 4 and word[-3:] in _ENDINGS else "w"
    return Token(found.start(), found.end(), word, kind)


_ENDINGS: Final = frozenset(["ing"])


def asked_features(
    tokens: Sequence[Token], before: Sequence[Token], after: Sequence[Token]
) -> Iterator[str]:
    """What speaks for an operation: the words, pairs of them, and those at the beginning.

    Args:
        tokens: Of the sentence.
        before: Of the sentence before it.
        after: Of the one after it.
    """
    yield "bias"
    words = [each.word for each in tokens]
    kinds = [each.kind for each in tokens]
    yield from dict.fromkeys(_grams(tokens))
    at = 0
    while at < len(tokens) and (kinds[at] in ("open", "manners") or _mark(tokens[at])):
        at += 1
    for size in (1, 2, 3):
        yield f"^{size} " + " ".join(words[at : at + size])
        yield f"^k{size} " + " ".join(kinds[at : at + size])
    yield "^0 " + " ".join(words[:2])
    yield "$ " + words[-1]
    asked = words[-1] == "?"
    own = any(each in ("own", "i", "me") for each in kinds)
    yield f"own {own}"
    yield f"ask {asked} own {own}"
    yield f"ask {asked} own {own} ^ {kinds[at] if at < len(kinds) else ''}"
    yield f"shape {asked} {own} " + " ".join(sorted(set(kinds) & _TELLING))
    telling = sorted(set(kinds) & _TELLING)
    yield from (f"t {a} {b}" for a in telling for b in telling if a < b)
    yield f"len {min(len(tokens) // 3, 6)}"
    for name, other in (("<", before), (">", after)):
        if not other:
            yield name + " none"
            continue
        yield name + " some"
        yield from dict.fromkeys(f"{name} {each.word}" for each in other)
        yield name + " ^ " + " ".join(each.word for each in other[:2])
        yield name + " ^k " + " ".join(each.kind for each in other[:2])


def _grams(tokens: Sequence[Token]) -> Iterator[str]:
    for each in tokens:
        yield "w " + each.word
        yield "k " + each.kind
    for one, two in pairwise(tokens):
        yield f"2 {one.word} {two.word}"
        yield f"2k {one.kind} {two.kind}"
        yield f"m {one.word} {two.kind}"
        yield f"n {one.kind} {two.word}"
    for at in range(len(tokens) - 2):
        yield "3 " + " ".join(each.word for each in tokens[at : at + 3])


def edge_features(tokens: Sequence[Token], at: int, *, first: bool) -> Iterator[str]:
    """What speaks for a target's beginning, or ending, at a token: it and its neighbours.

    Args:
        tokens: Of the sentence.
        at: Which of them.
        first: Whether as the first of the target, or the last.
    """
    word = [_at(tokens, at + step).word for step in (-3, -2, -1, 0, 1, 2, 3)]
    kind = [_at(tokens, at + step).kind for step in (-3, -2, -1, 0, 1, 2, 3)]
    mark = "s" if first else "e"
    out = -1 if first else 1
    here, near, far, back = 3, 3 + out, 3 + 2 * out, 3 - out
    yield f"{mark}0 {word[here]}"
    yield f"{mark}k {kind[here]}"
    yield f"{mark}1 {word[near]}"
    yield f"{mark}1k {kind[near]}"
    yield f"{mark}01 {word[near]} {word[here]}"
    yield f"{mark}01m {word[near]} {kind[here]}"
    yield f"{mark}01k {kind[near]} {kind[here]}"
    yield f"{mark}12 {word[far]} {word[near]}"
    yield f"{mark}12m {kind[far]} {word[near]} {kind[here]}"
    yield f"{mark}12k {kind[far]} {kind[near]} {kind[here]}"
    yield f"{mark}123 {word[3 + 3 * out]} {word[far]} {word[near]}"
    yield f"{mark}b {kind[here]} {kind[back]}"
    yield f"{mark}bm {word[here]} {word[back]}"
    yield f"{mark}1b {kind[near]} {kind[here]} {kind[back]}"
    yield f"{mark}1b2 {kind[near]} {kind[here]} {kind[back]} {kind[3 - 2 * out]}"


_OUT: Final = Token(0, 0, "#", "#")


def _at(tokens: Sequence[Token], at: int) -> Token:
    return tokens[at] if 0 <= at < len(tokens) else _OUT


def inner_features(token: Token) -> Iterator[str]:
    """What speaks for a token's standing within a target."""
    yield "i " + token.word
    yield "ik " + token.kind


_JOINTS: Final = frozenset(["and", "but", "so", "or", "because", "since", "as", "then", "if"])


def opening(tokens: Sequence[Token], at: int) -> str:
    """Name what a target that begins there would follow."""
    if all(each.kind in ("open", "manners") or _mark(each) for each in tokens[:at]):
        return "first"
    near = tokens[at - 1]
    if _mark(near):
        return near.word if near.word in ",:" else "mark"
    if near.word in _JOINTS or near.word == "that":
        return "that" if near.word == "that" else "joint"
    return near.kind if near.kind in ("keep", "away", "told", "prep", "wh", "i") else "word"


def closing(tokens: Sequence[Token], at: int) -> str:
    """Name what a target that ends there would be followed by."""
    rest = tokens[at + 1 :]
    if all(_mark(each) for each in rest):
        return "end"
    if all(each.kind in ("open", "manners") or _mark(each) for each in rest):
        return "manners"
    near = rest[0]
    if _mark(near):
        return near.word if near.word == "," else "mark"
    return "joint" if near.word in _JOINTS else "word"


def _mark(token: Token) -> bool:
    return not token.word[0].isalnum() and token.word[0] not in "'<"
