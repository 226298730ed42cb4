"""Detection of personal data: precision and recall by type, and time, on Presidio's own sentences.

A marked piece counts as found where a span of its type covers at least half of it; exact matches
are counted too. A span that covers half of no marked piece of its type is a false alarm. The peer
is Presidio with its pattern recognizers and no model of names, where it is installed.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from benchmarks.common import CONSOLE, Report, find_data, options
from memos_core.infrastructure.governance.detection.detector import Detector, Span
from memos_core.infrastructure.governance.detection.patterns import PatternDetector
from memos_core.infrastructure.governance.detection.presidio import ENTITY_TYPES, PresidioDetector

DATA: Final = "presidio_synth_v2.json"
TYPES: Final = ("EMAIL", "PHONE", "CARD", "IBAN", "IP", "NATIONAL_ID")
# Marked in the data as a kind of licence that has no form of its own: nobody here looks for it.
_NOT_ATTEMPTED: Final = frozenset({"US_DRIVER_LICENSE"})
_PLAIN: Final = (
    "The ferry to the island leaves at nine, and she would rather wait for the later one with Tom.",
    "In 2023 we met 14 people at the harbour on 12 May; the key to the rules is in the green box.",
)
# Our own sentences: `{EMAIL:ada@acme.test}` marks a piece. All numbers are public test numbers.
_OWN: Final = (
    "Write to {EMAIL:ada.lovelace@acme.test} or {EMAIL:ops+alerts@example.co.uk}, please.",
    "My card {CARD:4111 1111 1111 1111} was charged twice; {CARD:378282246310005} was not.",
    "Order 4111111111111112 has shipped, ticket 20240517103000 is closed.",
    "Transfer it to {IBAN:GB82 WEST 1234 5698 7654 32} or {IBAN:de89370400440532013000}.",
    "Call {PHONE:+44 20 7946 0958}, or text me on {PHONE:0151 23456789}. Room 1234567 is free.",
    "Office: {PHONE:(212) 555-0198}, fax {PHONE:212-555-0199 x12}; invoice 212 555 0198 is paid.",
    "Blocked {IP:203.0.113.7} and {IP:2001:db8::8a2e:370:7334}; upgraded to version 10.1.2.3.",
    "SSN {NATIONAL_ID:536-90-4399}, NINO {NATIONAL_ID:AB 12 34 56 C}; part 000-12-3456 is out.",
    "Il codice fiscale è {NATIONAL_ID:RSSMRA85M01H501Q}; el DNI es {NATIONAL_ID:12345678Z}.",
    "We met 12 times between 2019-05-06 and 2021-07-08 and paid 1 250 000 in total.",
)


@dataclass(frozen=True)
class Sentence:
    """A text and what is marked in it."""

    text: str
    gold: tuple[Span, ...]


@dataclass
class Tally:
    """What one detector found."""

    found: Counter[str] = field(default_factory=Counter)
    exact: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    false: Counter[str] = field(default_factory=Counter)
    us_per_sentence: float = 0.0

    def precision(self, kind: str) -> float:
        """Return the part of the alarms that were right; 1 where there was none."""
        alarms = self.found[kind] + self.false[kind]
        return self.found[kind] / alarms if alarms else 1.0

    def recall(self, kind: str) -> float:
        """Return the part of the marked pieces that were found."""
        marked = self.found[kind] + self.missed[kind]
        return self.found[kind] / marked if marked else 1.0


def load(path: Path) -> tuple[list[Sentence], Counter[str]]:
    """Read Presidio's sentences, and count the pieces whose type nobody here looks for."""
    sentences, others = [], Counter[str]()
    for raw in json.loads(path.read_text(encoding="utf-8")):
        gold = []
        for each in raw["spans"]:
            kind = _kind(each["entity_type"])
            if kind:
                gold.append(Span(each["start_position"], each["end_position"], kind))
            else:
                others[each["entity_type"]] += 1
        sentences.append(Sentence(raw["full_text"], tuple(gold)))
    return sentences, others


def own() -> list[Sentence]:
    """Return our own sentences."""
    return [_parsed(each) for each in _OWN]


def score(detector: Detector, sentences: list[Sentence]) -> Tally:
    """Run a detector over sentences and compare."""
    tally = Tally()
    for sentence in sentences:
        spans = detector.find(sentence.text)
        hits = {span for gold in sentence.gold for span in spans if _covers(span, gold)}
        for gold in sentence.gold:
            covered = any(_covers(span, gold) for span in spans)
            (tally.found if covered else tally.missed)[gold.type] += 1
            tally.exact[gold.type] += gold in spans
        tally.false.update(span.type for span in spans if span not in hits)
    start = time.perf_counter()  # only now: what it loads on first use is not its speed
    for sentence in sentences:
        detector.find(sentence.text)
    tally.us_per_sentence = (time.perf_counter() - start) / len(sentences) * 1e6
    return tally


def presidio() -> Detector | None:
    """Make Presidio with its pattern recognizers and a pipeline that only tokenizes, if it is here.

    The pipeline gives every token its lower case as lemma, so that words of context count.
    """
    if find_spec("presidio_analyzer") is None or find_spec("spacy") is None:
        return None
    analyzer: Any = import_module("presidio_analyzer")
    spacy: Any = import_module("spacy")

    class Lowercase:
        """Sets lemmas."""

        def __init__(self, nlp: object, name: str) -> None:
            self.parts = (nlp, name)

        def __call__(self, doc: Any) -> Any:
            for token in doc:
                token.lemma_ = token.lower_
            return doc

    spacy.Language.factory("memos_lowercase", func=Lowercase)
    engine = import_module("presidio_analyzer.nlp_engine").SpacyNlpEngine()
    blank = spacy.blank("en")
    blank.add_pipe("memos_lowercase")
    engine.nlp = {"en": blank}
    registry = analyzer.RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    return PresidioDetector(
        analyzer.AnalyzerEngine(registry=registry, nlp_engine=engine),
        types={each: _kind(each) for each in ENTITY_TYPES if _kind(each)},
    )


def _kind(entity: str) -> str:
    kind = "" if entity in _NOT_ATTEMPTED else ENTITY_TYPES.get(entity, "")
    return kind if kind in TYPES else ""


def _covers(span: Span, gold: Span) -> bool:
    shared = min(span.end, gold.end) - max(span.start, gold.start)
    return span.type == gold.type and 2 * shared >= gold.end - gold.start


def _parsed(marked: str) -> Sentence:
    text, gold = "", []
    for part in marked.split("{"):
        inside, closed, rest = part.partition("}")
        if closed:
            kind, _, value = inside.partition(":")
            gold.append(Span(len(text), len(text) + len(value), kind))
            text += value + rest
        else:
            text += part
    return Sentence(text, tuple(gold))


def _us(detector: Detector, text: str) -> float:
    rounds = 500
    start = time.perf_counter()
    for _ in range(rounds):
        detector.find(text)
    return (time.perf_counter() - start) / rounds * 1e6


def _counts(ours: Tally, peer: Tally | None) -> Table:
    table = Table(title="Counts: found (exactly) / missed / false alarms")
    for column in ("type", "MemOS", "Presidio"):
        table.add_column(column)
    for kind in TYPES:
        cells = [
            ""
            if tally is None
            else f"{tally.found[kind]} ({tally.exact[kind]}) / {tally.missed[kind]}"
            f" / {tally.false[kind]}"
            for tally in (ours, peer)
        ]
        table.add_row(kind, *cells)
    return table


def main() -> None:
    """Run the benchmark."""
    arguments = options(__doc__).parse_args()
    path = find_data(arguments.data, DATA)
    sentences, others = load(path) if path else (own(), Counter[str]())
    prefix = "presidio" if path else "own"
    detector, rival = PatternDetector(), presidio()
    if rival is None:
        CONSOLE.print("presidio-analyzer is not installed: no peer in this run")
    ours = score(detector, sentences)
    peer = score(rival, sentences) if rival else None
    title = f"{'Presidio synthetic data' if path else 'Our own sentences'}: {len(sentences)} texts"
    report = Report(f"Personal data by pattern — {title}", "Presidio")
    for kind in TYPES:
        report.add(f"{prefix}.precision@{kind}", ours.precision(kind), "ratio",
                   peer.precision(kind) if peer else None)  # fmt: skip
        report.add(f"{prefix}.recall@{kind}", ours.recall(kind), "ratio",
                   peer.recall(kind) if peer else None)  # fmt: skip
    report.add(f"{prefix}.time", ours.us_per_sentence, "µs/text",
               peer.us_per_sentence if peer else None)  # fmt: skip
    for name, text in zip(("words", "numbers"), _PLAIN, strict=True):
        report.add(f"plain.time@{name}", _us(detector, text), "µs/text")
    report.finish(arguments.json)
    CONSOLE.print(_counts(ours, peer))
    if others:
        listed = ", ".join(f"{name} {count}" for name, count in others.most_common())
        CONSOLE.print(f"Not attempted, for patterns do not tell them: {listed}")


if __name__ == "__main__":
    main()
