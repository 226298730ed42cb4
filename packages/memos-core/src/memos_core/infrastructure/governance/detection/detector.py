"""Detectors: what finds personal data and secrets in a text, and how their findings combine.

A span says where something is and of which type. A detector returns its spans in order and without
overlaps, so that a caller can mask, count or refuse without looking twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

# Who wins where two types claim the very same characters: what is checked more strictly, or does
# more harm when missed, comes first. Types that are not here come last, by name.
_PRIORITY: Final = (
    "SECRET",
    "CARD",
    "IBAN",
    "NATIONAL_ID",
    "EMAIL",
    "IP",
    "PHONE",
    "PERSON",
    "LOCATION",
)
_RANK: Final = {name: rank for rank, name in enumerate(_PRIORITY)}


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A piece of a text that a detector marked.

    Args:
        start: The first character.
        end: The character after the last.
        type: What it is, such as `EMAIL`.

    Example:
        >>> span = Span(4, 17, "EMAIL")
        >>> "ask ada@acme.test"[span.start : span.end]
        'ada@acme.test'
    """

    start: int
    end: int
    type: str


class Detector(Protocol):
    """What finds personal data or secrets in text."""

    def find(self, text: str) -> list[Span]:
        """Find the spans of a text.

        Args:
            text: Any string; nothing about it makes a detector raise.

        Returns:
            Spans within the text, sorted, none overlapping another.
        """
        ...


class Detectors:
    """Several detectors as one: what any of them finds.

    Args:
        *detectors: The detectors; their order does not matter.

    Example:
        >>> from memos_core.infrastructure.governance.detection.patterns import PatternDetector
        >>> class Codename:
        ...     def find(self, text: str) -> list[Span]:
        ...         at = text.find("Bluebird")
        ...         return [] if at < 0 else [Span(at, at + 8, "CODENAME")]
        >>> [span.type for span in Detectors(PatternDetector(), Codename()).find(
        ...     "Bluebird: ada@acme.test"
        ... )]
        ['CODENAME', 'EMAIL']
    """

    def __init__(self, *detectors: Detector) -> None:
        self._detectors = detectors

    def find(self, text: str) -> list[Span]:
        """Find what any of the detectors finds, overlaps resolved."""
        return merged(span for detector in self._detectors for span in detector.find(text))


def merged(spans: Iterable[Span]) -> list[Span]:
    """Sort spans and join those that overlap, so that what any of them covers stays covered.

    The joined span has the type of the longest of them; of equals, the one of higher priority.
    Empty spans are dropped.

    Args:
        spans: Spans of one text, in any order.

    Example:
        >>> merged([Span(3, 12, "PHONE"), Span(0, 10, "IBAN")])
        [Span(start=0, end=12, type='IBAN')]
    """
    joined: list[Span] = []
    strongest: list[Span] = []
    for span in sorted({span for span in spans if span.end > span.start}):
        if joined and span.start < joined[-1].end:
            strongest[-1] = min(strongest[-1], span, key=_strength)
            end = max(joined[-1].end, span.end)
            joined[-1] = Span(joined[-1].start, end, strongest[-1].type)
        else:
            joined.append(span)
            strongest.append(span)
    return joined


def _strength(span: Span) -> tuple[int, int, str, int]:
    rank = _RANK.get(span.type, len(_RANK))
    return (span.start - span.end, rank, span.type, span.start)
