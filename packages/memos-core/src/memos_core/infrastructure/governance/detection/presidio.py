"""Presidio as a detector: for names and places, which need a model.

It translates and nothing else: text in, Presidio's results out as spans of our types. Presidio is
the extra `memos-core[presidio]` and is imported when a detector is made, not before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, Protocol

from memos_core.errors import InvalidInputError
from memos_core.infrastructure.governance.detection.detector import Span, merged

_NATIONAL: Final = (
    "US_SSN", "US_ITIN", "US_PASSPORT", "US_DRIVER_LICENSE", "US_MBI", "UK_NINO", "UK_NHS",
    "UK_PASSPORT", "UK_DRIVING_LICENCE", "ES_NIF", "ES_NIE", "ES_PASSPORT", "IT_FISCAL_CODE",
    "IT_IDENTITY_CARD", "IT_PASSPORT", "IT_DRIVER_LICENSE", "DE_TAX_ID", "DE_SOCIAL_SECURITY",
    "DE_ID_CARD", "DE_PASSPORT", "DE_FUEHRERSCHEIN", "DE_HEALTH_INSURANCE", "PL_PESEL",
    "FI_PERSONAL_IDENTITY_CODE", "SE_PERSONNUMMER", "TR_NATIONAL_ID", "IN_PAN", "IN_AADHAAR",
    "IN_PASSPORT", "IN_VOTER", "AU_TFN", "AU_MEDICARE", "CA_SIN", "SG_NRIC_FIN", "KR_RRN", "KR_FRN",
    "KR_PASSPORT", "KR_DRIVER_LICENSE", "TH_TNIN", "NG_NIN", "PH_UMID", "PH_PASSPORT",
    "ZA_ID_NUMBER", "ZA_PASSPORT", "ZA_DRIVER_LICENSE",
)  # fmt: skip
ENTITY_TYPES: Final[Mapping[str, str]] = {
    **dict.fromkeys(_NATIONAL, "NATIONAL_ID"),
    "EMAIL_ADDRESS": "EMAIL",
    "EMAIL": "EMAIL",
    "PHONE_NUMBER": "PHONE",
    "ZA_MOBILE_NUMBER": "PHONE",
    "ZA_TELEPHONE_NUMBER": "PHONE",
    "CREDIT_CARD": "CARD",
    "IBAN_CODE": "IBAN",
    "IP_ADDRESS": "IP",
    "PERSON": "PERSON",
    "LOCATION": "LOCATION",
}
_MODEL: Final = "en_core_web_lg"  # what Presidio loads when it is told nothing
_PIECE: Final = 100_000  # characters; spaCy refuses texts beyond a million
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class Analyzer(Protocol):
    """The part of Presidio's `AnalyzerEngine` that is used."""

    def analyze(self, *, text: str, language: str, score_threshold: float) -> list[Any]:
        """Return results with `entity_type`, `start`, `end` and `score`."""
        ...


class PresidioDetector:
    """Microsoft Presidio behind the protocol of detectors.

    Args:
        analyzer: A ready `presidio_analyzer.AnalyzerEngine`; None makes Presidio's default one,
            which needs the spaCy model en_core_web_lg. Nothing is downloaded for you.
        language: The language to analyze in; the analyzer must support it.
        min_score: Results below this are dropped. Presidio gives a phone number without context
            0.4, and its weakest patterns (any nine digits as a licence) up to 0.3.
        types: Our type for each Presidio entity; entities that are not in it are dropped.

    Raises:
        InvalidInputError: Presidio or its model is not installed; the message names what to run.

    Example:
        >>> from types import SimpleNamespace
        >>> class Ready:  # stands for AnalyzerEngine()
        ...     def analyze(self, *, text, language, score_threshold):
        ...         return [SimpleNamespace(entity_type="PERSON", start=0, end=3, score=0.85)]
        >>> PresidioDetector(Ready()).find("Ada likes tea")
        [Span(start=0, end=3, type='PERSON')]
    """

    def __init__(
        self,
        analyzer: Analyzer | None = None,
        *,
        language: str = "en",
        min_score: float = 0.35,
        types: Mapping[str, str] = ENTITY_TYPES,
    ) -> None:
        self._analyzer = _default_analyzer() if analyzer is None else analyzer
        self._language = language
        self._min_score = min_score
        self._types = dict(types)

    def find(self, text: str) -> list[Span]:
        """Find the spans of a text, sorted and without overlaps."""
        # spaCy cannot hash a lone surrogate; a letter in its stead keeps every place.
        plain = _SURROGATE.sub("\ufffd", text)
        return merged(self._spans(plain))

    def _spans(self, text: str) -> Iterator[Span]:
        for start, piece in _pieces(text):
            results = self._analyzer.analyze(
                text=piece, language=self._language, score_threshold=self._min_score
            )
            for found in results:
                known = self._types.get(found.entity_type)
                if known is not None:
                    yield Span(
                        start + max(0, found.start), start + min(found.end, len(piece)), known
                    )


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Cut a text at white space into pieces that spaCy takes, with the place of each."""
    start = 0
    while len(text) - start > _PIECE:
        cut = text.rfind(" ", start + 1, start + _PIECE)
        cut = start + _PIECE if cut < 0 else cut
        yield start, text[start:cut]
        start = cut
    if text[start:].strip():
        yield start, text[start:]


def _default_analyzer() -> Analyzer:
    try:
        module = import_module("presidio_analyzer")
    except ImportError as error:
        raise InvalidInputError(
            "presidio-analyzer is not installed: run pip install 'memos-core[presidio]'"
        ) from error
    # Without the model Presidio would download one now: that is for the operator to decide.
    if find_spec(_MODEL) is None:
        raise InvalidInputError(
            f"Presidio's model is not installed: run python -m spacy download {_MODEL}, "
            "or pass PresidioDetector(analyzer=…) with an engine of your own"
        )
    engine: Analyzer = module.AnalyzerEngine()
    return engine
