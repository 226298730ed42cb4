"""Folding: the plain form of a text, with the way back to the characters it was made from.

Full-width letters and digits, digits of other scripts, typographic hyphens and spaces each become
one ASCII character, so their places stay. Characters that nobody sees (zero-width joiners, soft
hyphens, marks of direction) are left out, and the fold remembers where the others stood.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from memos_core.infrastructure.governance.detection.detector import Span

# The zeros of the decimal digits in wide use, and of the mathematical alphabets.
_ZEROS: Final = (
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66,
    0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x17E0, 0x1810, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6,
)  # fmt: skip
_SPACES: Final = (0x00A0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000)
_HYPHENS: Final = (*range(0x2010, 0x2014), 0x2212, 0xFE58, 0xFE63)
_PLAIN: Final[dict[int, int]] = {
    **{0xFF01 + step: 0x21 + step for step in range(94)},
    **{zero + value: 0x30 + value for zero in _ZEROS for value in range(10)},
    **dict.fromkeys(_SPACES, 0x20),
    **dict.fromkeys(_HYPHENS, 0x2D),
    0xFE6B: 0x40,  # small commercial at
    0x2024: 0x2E,  # one dot leader
    0x0130: 0x49,  # the one letter that grows in lower case
}
_UNSEEN: Final = re.compile(
    "[\u00ad\u034f\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff]"
)


@dataclass(frozen=True, slots=True)
class Folded:
    """A folded text.

    Args:
        text: The plain form, which detectors read.
        places: For each of its characters the place in the given text; None where they are equal.
    """

    text: str
    places: tuple[int, ...] | None = None

    def unfold(self, span: Span) -> Span:
        """Return a span of the folded text as one of the given text."""
        if self.places is None:
            return span
        return Span(self.places[span.start], self.places[span.end - 1] + 1, span.type)


def fold(text: str) -> Folded:
    """Fold a text.

    Example:
        >>> fold(f"tel.{chr(0xA0)}{chr(0xFF10)}{chr(0x200B)}{chr(0xFF17)}").text
        'tel. 07'
    """
    if text.isascii():
        return Folded(text)
    plain = text.translate(_PLAIN)
    if _UNSEEN.search(plain) is None:
        return Folded(plain)
    places = tuple(at for at, char in enumerate(plain) if _UNSEEN.match(char) is None)
    return Folded("".join(plain[at] for at in places), places)
