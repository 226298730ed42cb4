"""Accounts: payment cards and IBANs, in folded text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from memos_core.infrastructure.governance.detection import checks
from memos_core.infrastructure.governance.detection.detector import Span

_DIGIT_GROUPS: Final = re.compile(r"(?<![\w.])[0-9]+(?:[ -][0-9]+)*")
_GROUP: Final = re.compile(r"[0-9]+")
_CARD_DIGITS: Final = range(12, 20)
_CARD_WORDS: Final = re.compile(
    r"(?<![a-z])(?:cards?|cc|credit|debit|visa|master ?card|maestro|amex|american express|diners"
    r"|discover|jcb|pan|payment|\w{0,9}karten?|cartes?|tarjetas?|carta|cart[ãa]o|kort|kaart)(?![a-z])",
    re.IGNORECASE,
)
_WORDS_REACH: Final = 48
_IBAN_START: Final = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?=[ -]?[A-Za-z0-9])")
_IBAN_BODY: Final = re.compile(r"[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]){11,30}")


def cards(text: str) -> Iterator[Span]:
    """Find card numbers: digits that a network issues, with a Luhn checksum that holds.

    Numbers that are often something else (13 digits are a barcode, Maestro's ranges are wide) also
    need a word such as `card` in the 48 characters before them. With the word, 14 to 19 digits need
    no known network: networks open new ranges.
    """
    for match in _DIGIT_GROUPS.finditer(text):
        if match.end() - match.start() < _CARD_DIGITS.start:
            continue
        groups = [group.span() for group in _GROUP.finditer(text, match.start(), match.end())]
        first = 0
        while first < len(groups):
            last = _card_end(text, groups, first)
            if last is None:
                first += 1
            else:
                yield Span(groups[first][0], groups[last][1], "CARD")
                first = last + 1


def ibans(text: str) -> Iterator[Span]:
    """Find IBANs in either case, written in one piece or in groups."""
    for match in _IBAN_START.finditer(text):
        body = _IBAN_BODY.match(text, match.start())
        if body is None:
            continue
        whole = _whole_words(text, body)
        end = next(checks.iban_ends(whole), 0)
        if end:
            yield Span(match.start(), match.start() + end, "IBAN")


def _whole_words(text: str, body: re.Match[str]) -> str:
    # A match that stops inside a word has run into prose: the word is not part of the number.
    found = body[0]
    if body.end() < len(text) and text[body.end()].isalnum():
        found = found[: max(found.rfind(" "), found.rfind("-"), 0)]
    return found


def _card_end(text: str, groups: list[tuple[int, int]], first: int) -> int | None:
    """Return the last group of the card that starts with the group `first`, the longest fit."""
    sizes: list[int] = []
    fits: list[int] = []
    for last in range(first, min(first + 6, len(groups))):
        sizes.append(groups[last][1] - groups[last][0])
        if sum(sizes) > _CARD_DIGITS[-1]:
            break
        if sum(sizes) in _CARD_DIGITS and _grouped_like_a_card(sizes):
            fits.append(last)
    for last in reversed(fits):
        start, end = groups[first][0], groups[last][1]
        separators = {text[left[1]] for left, _ in pairwise(groups[first : last + 1])}
        digits = re.sub("[ -]", "", text[start:end])
        if len(separators) < 2 and _is_free(text, end) and _is_card(text, start, digits):
            return last
    return None


def _grouped_like_a_card(sizes: list[int]) -> bool:
    return len(sizes) == 1 or (sizes[0] >= 4 and all(3 <= size <= 10 for size in sizes[1:-1]))


def _is_free(text: str, end: int) -> bool:
    after = text[end : end + 2]
    return not (after[:1].isalnum() or after[:1] == "_" or re.match(r"\.[0-9]", after))


def _is_card(text: str, start: int, digits: str) -> bool:
    network = checks.issuer(digits)
    if (not network and len(digits) < 14) or not checks.passes_luhn(digits):
        return False
    often_else = len(digits) == 13 or (network == "maestro" and len(digits) not in (16, 18, 19))
    if often_else or not network:
        return bool(_CARD_WORDS.search(text, max(0, start - _WORDS_REACH), start))
    return text[max(0, start - 1) : start] != "-"
