"""Patterns: the detector that needs no model, from forms, checksums and words nearby."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from memos_core.errors import InvalidInputError
from memos_core.infrastructure.governance.detection.account import cards, ibans
from memos_core.infrastructure.governance.detection.address import addresses, emails
from memos_core.infrastructure.governance.detection.detector import Span, merged
from memos_core.infrastructure.governance.detection.fold import fold
from memos_core.infrastructure.governance.detection.national import national_ids
from memos_core.infrastructure.governance.detection.phone import MIN_DIGITS, REGIONS, PhoneFinder
from memos_core.infrastructure.governance.detection.secret import secrets

TYPES: Final = frozenset({"EMAIL", "PHONE", "CARD", "IBAN", "IP", "NATIONAL_ID", "SECRET"})

_Find = Callable[[str], Iterable[Span]]
_DIGITS: Final = "0123456789"


class PatternDetector:
    """Finds e-mail and IP addresses, phone numbers, cards, IBANs, national ids and secrets.

    It works by written form, checksum and nearby words; it knows no names and no street addresses.
    Full-width letters and digits, digits of other scripts, typographic hyphens and characters that
    nobody sees (a zero-width joiner inside an address) do not hide anything from it, and spans are
    always places in the given text. It is linear in the text's length and never raises.

    Not found: e-mail addresses that are spelt out (`ada at acme dot test`), quoted
    (`"ada b"@acme.test`) or without a dot in the domain; numbers in words; local phone numbers with
    nothing that says so; anything broken by a line end; passwords of several words;
    secrets in lower case or hexadecimal that no word calls one; the addresses of the own machine
    (127.0.0.1, ::1) and netmasks.

    Args:
        types: The types to look for, of `TYPES`; None means all.
        regions: Countries whose phone numbers are known without a country code, as in `GB`.

    Raises:
        InvalidInputError: A type is not one of these, or a region is unknown.

    Example:
        >>> text = "Write to ada@acme.test or call +44 20 7946 0958."
        >>> [(span.type, text[span.start : span.end]) for span in PatternDetector().find(text)]
        [('EMAIL', 'ada@acme.test'), ('PHONE', '+44 20 7946 0958')]
    """

    def __init__(
        self, *, types: frozenset[str] | None = None, regions: tuple[str, ...] = REGIONS
    ) -> None:
        self.types = TYPES if types is None else frozenset(types)
        if not self.types <= TYPES:
            unknown = ", ".join(sorted(self.types - TYPES))
            raise InvalidInputError(f"no pattern finds {unknown}: use {', '.join(sorted(TYPES))}")
        self._phones = PhoneFinder(regions)

    def find(self, text: str) -> list[Span]:
        """Find the spans of a text, sorted and without overlaps."""
        folded = fold(text)
        return merged(
            folded.unfold(span)
            for find in self._finders(folded.text)
            for span in find(folded.text)
            if span.type in self.types
        )

    def _finders(self, text: str) -> Iterator[_Find]:
        """Choose who need look, by what a finding must at least contain; most texts need nobody."""
        digits = sum(map(text.count, _DIGITS))
        if "SECRET" in self.types:
            yield secrets
        if "EMAIL" in self.types and "@" in text:
            yield emails
        if "IP" in self.types and _may_hold_ip(text, digits):
            yield addresses
        if "NATIONAL_ID" in self.types and digits >= 4:
            yield national_ids
        if "PHONE" in self.types and digits >= MIN_DIGITS:
            yield self._phones.find
        if "IBAN" in self.types and digits >= 8:
            yield ibans
        if "CARD" in self.types and digits >= 12:
            yield cards


def _may_hold_ip(text: str, digits: int) -> bool:
    if digits >= 4 and text.count(".") >= 3:
        return True
    return digits >= 1 and text.count(":") >= 2
