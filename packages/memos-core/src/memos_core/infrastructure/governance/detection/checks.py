"""Checks: who issues a card, where an IBAN ends, what looks random. Checksums are stdnum's."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from stdnum import iban, luhn
from stdnum.exceptions import ValidationError

# Network, prefixes as (low, high) of equal length, and the lengths that it issues. Published ranges
# of ISO/IEC 7812; a number that nobody issues is not a card, whatever its checksum.
_ISSUERS: Final[tuple[tuple[str, tuple[tuple[str, str], ...], frozenset[int]], ...]] = (
    ("visa", (("4", "4"),), frozenset({13, 16, 19})),
    ("mastercard", (("51", "55"), ("2221", "2720")), frozenset({16})),
    ("amex", (("34", "34"), ("37", "37")), frozenset({15})),
    ("diners", (("300", "305"), ("3095", "3095"), ("36", "36"), ("38", "39")),
     frozenset(range(14, 20))),
    ("discover", (("6011", "6011"), ("644", "649"), ("65", "65")), frozenset(range(16, 20))),
    ("jcb", (("3528", "3589"),), frozenset(range(16, 20))),
    ("jcb", (("1800", "1800"), ("2131", "2131")), frozenset({15})),
    ("unionpay", (("62", "62"), ("81", "81")), frozenset(range(16, 20))),
    ("mir", (("2200", "2204"),), frozenset(range(16, 20))),
    ("rupay", (("508", "508"), ("60", "60"), ("82", "82")), frozenset({16})),
    ("maestro", (("50", "50"), ("56", "58"), ("6", "6")), frozenset(range(12, 20))),
)  # fmt: skip

# For each character of an IBAN: what the number before it is multiplied by, and what is added.
_IBAN_VALUES: Final = {
    char: (100 if int(char, 36) > 9 else 10, int(char, 36))
    for char in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
}
_NINO: Final = re.compile(
    r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][0-9]{6}[A-D]"
)
_WORD: Final = re.compile(r"[A-Z]?[a-z]{3,}|[A-Z]{4,}")
_PIECE: Final = re.compile(r"[A-Za-z][a-z]{3,}|[A-Z]{4,}")
_HEX: Final = re.compile(r"[0-9A-Fa-f-]+")
_MIN_BITS: Final = 3.6  # 98 of 100 random tokens of 20 characters lie above, longer ones all
_MIN_TURNS: Final = 0.35  # a random token changes class at every second character, a name seldom
_MAX_WORDS: Final = 0.6


def issuer(digits: str) -> str:
    """Return the network that issues cards of this prefix and length, or an empty string."""
    for name, prefixes, lengths in _ISSUERS:
        if len(digits) in lengths and any(
            low <= digits[: len(low)] <= high for low, high in prefixes
        ):
            return name
    return ""


def passes_luhn(digits: str) -> bool:
    """Tell whether the Luhn checksum holds, and the digits are not all the same."""
    return luhn.is_valid(digits) and len(set(digits)) > 1


def iban_ends(text: str) -> Iterator[int]:
    """Go through the places where an IBAN that begins the text may end, the longest first.

    Args:
        text: ASCII letters and digits, with single spaces or hyphens between groups.
    """
    characters = [(at + 1, char) for at, char in enumerate(text) if char.isalnum()]
    head = "".join(char for _, char in characters[:4])
    remainder, ends = 0, []
    # Mod 97 as it goes: trying each end from the start would be slow on hostile text.
    for count, (end, char) in enumerate(characters[4:], start=5):
        remainder = _append(remainder, char)
        if count >= 15 and not text[end : end + 1].isalnum() and _closes(remainder, head):
            ends.append(end)
    for end in reversed(ends):
        if is_iban(text[:end]):
            yield end


def is_iban(text: str) -> bool:
    """Tell whether a text is an IBAN: country, its structure and the checksum."""
    try:
        iban.validate(text, check_country=False)
    except ValidationError:
        return False
    return True


def is_nino(text: str) -> bool:
    """Tell whether a text is a British national insurance number: it has no checksum."""
    return _NINO.fullmatch(text.replace(" ", "").upper()) is not None


def bits_per_char(text: str) -> float:
    """Return the Shannon entropy of a text's characters in bits."""
    total = len(text)
    counts = Counter(text).values()
    return -sum(count / total * math.log2(count / total) for count in counts)


def looks_random(token: str) -> bool:
    """Tell whether a token looks drawn at random from letters of both cases and digits.

    It changes between the classes often, repeats little, and is not made of words: that tells it
    from hashes in hexadecimal, UUIDs, paths and names in camel case.
    """
    body = token.rstrip("=")
    if _HEX.fullmatch(body) or not _mixes(body):
        return False
    words = sum(len(word) for word in _WORD.findall(body))
    if words > _MAX_WORDS * len(body) or _turns(body) < _MIN_TURNS:
        return False
    if sum(_PIECE.fullmatch(piece) is not None for piece in re.split("[-_/+]", body)) > 1:
        return False
    return bits_per_char(body) >= _MIN_BITS and not _is_plain_base64(token)


def turns_often(token: str) -> bool:
    """Tell whether a token changes between cases and digits as often as a random one."""
    return _turns(token) >= _MIN_TURNS


def _append(remainder: int, char: str) -> int:
    factor, value = _IBAN_VALUES[char]
    return (remainder * factor + value) % 97


def _closes(remainder: int, head: str) -> bool:
    for char in head:
        remainder = _append(remainder, char)
    return remainder == 1


def _mixes(text: str) -> bool:
    upper = sum(map(str.isupper, text))
    lower = sum(map(str.islower, text))
    return upper >= 2 and lower >= 2 and any(map(str.isdigit, text))


def _turns(text: str) -> float:
    kinds = [(char.isupper(), char.isdigit()) for char in text if char.isalnum()]
    changes = sum(left != right for left, right in pairwise(kinds))
    return changes / max(1, len(kinds) - 1)


def _is_plain_base64(token: str) -> bool:
    # Text in base64 is a transport form, not a key: random bytes hardly ever decode to print.
    body = token.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        decoded = base64.b64decode(body + "=" * (-len(body) % 4)).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return False
    return all(char.isprintable() or char.isspace() for char in decoded)
