"""Supersession and contradiction: is the newer of two statements found first? No LLM involved.

BEAM-100K: every message of a chat lies in one space; its questions on updated knowledge and on
contradictions are asked. Our own pairs (`tests/data`, a third of them seen when the rules were
written): one space for each pair and what the same person said besides.

Plain retrieval is the peer: the same search of the same vault, without relations.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.beam import ids_of
from benchmarks.common import CONSOLE, Remembering, Report, find_data, options, progress
from memos_core import Draft, MemOS, SearchOptions, Session
from memos_core.operation.policies.conflict import LIKELY, SURE

PAIRS = Path(__file__).parent.parent / "tests" / "data"
DEPTH = 50
K = 10


@dataclass(frozen=True)
class Statement:
    """One thing that was said."""

    id: str
    text: str
    speaker: str
    when: datetime


@dataclass(frozen=True)
class Case:
    """What was said in one space, and what is asked of it.

    Args:
        name: The space.
        said: The statements, in order of time.
        asked: Each question with the ids of its older and of its newer evidence, and its kind.
    """

    name: str
    said: Sequence[Statement]
    asked: Sequence[tuple[str, str, frozenset[str], frozenset[str]]]


@dataclass(frozen=True)
class Found:
    """What a question found: plainly, and with what the organizer knows.

    Args:
        plain: The statements, best first, before anything was organized.
        known: The same afterwards, with what the best are linked with.
        flagged: Of each of those, what contradicts it.
    """

    plain: Sequence[str]
    known: Sequence[str]
    flagged: Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Asked:
    """A space that was organized: what its questions found, and how its statements are linked."""

    found: Sequence[Found]
    links: Sequence[tuple[str, str, str, float]]
    """Source, target, type and confidence."""


def ask(session: Session, case: Case) -> Asked:
    """Put what was said into a space, ask, organize, and ask again."""
    space = session.space if not case.name else f"{session.space}/{case.name}"
    cubes = session.add_many(
        [
            Draft(
                each.text or "(no words)",
                space=space,
                speaker=each.speaker,
                occurred_at=each.when,
                semantic_type="message",
            )
            for each in case.said
        ]
    )
    names = {cube.id: each.id for cube, each in zip(cubes, case.said, strict=True)}
    questions = [question for _, question, _, _ in case.asked]
    plain = [session.search(each, k=DEPTH, space=space) for each in questions]
    session.organizer.organize()
    expand = SearchOptions(expand=1)
    known = [session.search(each, k=DEPTH, space=space) for each in questions]
    first = [session.search(each, k=K, space=space, options=expand) for each in questions]
    found = [
        Found(
            [names[hit.id] for hit in before],
            list(dict.fromkeys([*(names[h.id] for h in top), *(names[h.id] for h in after)])),
            {names[h.id]: frozenset(names[e] for e in h.conflicts_with) for h in top},
        )
        for before, after, top in zip(plain, known, first, strict=True)
    ]
    links = {
        link.id: (names[link.source], names[link.target], link.type, link.confidence)
        for cube in cubes
        for link in session.organizer.links(cube.id)
    }
    return Asked(found, list(links.values()))


def newer_first(order: Sequence[str], older: frozenset[str], newer: frozenset[str]) -> bool:
    """Say whether the best of the newer evidence ranks above all of the older."""
    places = {each: place for place, each in enumerate(order)}
    best = min((places[each] for each in newer if each in places), default=None)
    others = [places[each] for each in older - newer if each in places]
    return best is not None and all(best < each for each in others)


def load_beam(folder: Path) -> list[Case]:
    """Read BEAM's chats, with the questions on updates and on contradictions."""
    return [_chat(path) for path in sorted(folder.iterdir(), key=lambda path: int(path.name))]


def _chat(folder: Path) -> Case:
    batches = json.loads((folder / "chat.json").read_text(encoding="utf-8"))
    said = []
    when = datetime(2024, 1, 1, tzinfo=UTC)
    for message in (each for batch in batches for turn in batch["turns"] for each in turn):
        when += timedelta(minutes=1)  # the set dates a few messages; their order is what counts
        text = message["content"].split("->->")[0].strip()
        said.append(Statement(str(message["id"]), text, message["role"], when))
    questions = json.loads((folder / "probing_questions" / "probing_questions.json").read_text())
    asked = []
    for kind, first, second in (
        ("knowledge_update", "original_info", "updated_info"),
        ("contradiction_resolution", "first_statement", "second_statement"),
    ):
        for item in questions[kind]:
            source = item["source_chat_ids"]
            sides = frozenset(ids_of(source[first])), frozenset(ids_of(source[second]))
            asked.append((kind, item["question"], *sides))
    return Case(f"beam-{folder.name}", said, asked)


def load_pairs(path: Path) -> list[Case]:
    """Read our own pairs: one space each, the other statements before and between the two."""
    cases = []
    for line in path.read_text(encoding="utf-8").splitlines():
        item: dict[str, Any] = json.loads(line)
        old, new = (datetime.fromisoformat(item[name]) for name in ("old_at", "new_at"))
        said = [
            Statement("old", item["old"], "user", old),
            Statement("new", item["new"], "user", new),
        ]
        for number, text in enumerate(item["others"]):
            when = old - timedelta(days=1) if number % 2 else old + (new - old) / 2
            said.append(Statement(f"other{number}", text, "user", when))
        said.sort(key=lambda each: each.when)
        asked = [(item["relation"], item["question"], frozenset({"old"}), frozenset({"new"}))]
        cases.append(Case(item["id"], said, asked))
    return cases


def beam(report: Report, cases: Sequence[Case], embedder: Remembering) -> None:
    """Measure BEAM's two kinds of questions."""
    updates: list[tuple[bool, bool]] = []
    both: list[tuple[bool, bool]] = []
    flagged: list[bool] = []
    closed = messages = 0
    with _session(embedder) as session:
        for case in progress(cases, "BEAM"):
            asked = ask(session, case)
            messages += sum(each.speaker != "assistant" for each in case.said)
            closed += len({t for _s, t, kind, sure in asked.links if _closes(kind, sure)})
            for (kind, _question, older, newer), found in zip(case.asked, asked.found, strict=True):
                if kind == "knowledge_update":
                    # Evidence that is one and the same message has nothing to be ranked above.
                    apart = older != newer
                    known = apart and newer_first(found.known, older, newer)
                    updates.append((known, apart and newer_first(found.plain, older, newer)))
                else:
                    within = _within(found.known, older, newer)
                    both.append((within, _within(found.plain, older, newer)))
                    flagged.append(within and _flagged(found, older, newer))
    _add(report, "beam.updated evidence above the original", updates)
    _add(report, "beam.both statements within k=10", both)
    count = f"(n={len(flagged)})"
    report.add(f"beam.both within k=10 and flagged {count}", sum(flagged), "count", 0)
    report.add(f"beam.messages that surely gave way (n={messages})", closed, "count")


def _closes(kind: str, sure: float) -> bool:
    return kind == "supersedes" and sure >= SURE


def _within(order: Sequence[str], one: frozenset[str], other: frozenset[str]) -> bool:
    top = frozenset(order[:K])
    return bool(one & top) and bool(other & top)


def _flagged(found: Found, one: frozenset[str], other: frozenset[str]) -> bool:
    """Say whether the two sides are marked as conflicting, between messages or within one."""
    return any(against & other for each, against in found.flagged.items() if each in one) or any(
        against & one for each, against in found.flagged.items() if each in other
    )


def pairs(report: Report, name: str, cases: Sequence[Case], embedder: Remembering) -> None:
    """Measure our own pairs."""
    found: dict[str, list[tuple[bool, bool]]] = {}
    with _session(embedder) as session:
        for case in progress(cases, name):
            asked = ask(session, case)
            kind, _question, old, new = case.asked[0]
            if kind in {"supersedes", "unrelated"}:
                (one,) = asked.found
                above = newer_first(one.known, old, new), newer_first(one.plain, old, new)
                found.setdefault(f"{kind}: new above old", []).append(above)
            for label, value in _judged(case, asked.links, kind):
                found.setdefault(label, []).append((value, False))
    for label, values in sorted(found.items()):
        peer = sum(b for _, b in values) / len(values) if "above" in label else None
        share = sum(a for a, _ in values) / len(values)
        report.add(f"{name}.{label} (n={len(values)})", share, "share", peer)


def _judged(
    case: Case, links: Sequence[tuple[str, str, str, float]], kind: str
) -> Iterator[tuple[str, bool]]:
    """Say of what was superseded and contradicted whether it was."""
    pair = {"old", "new"}
    for level, least in (("demoted", LIKELY), ("closed", SURE)):
        gone = {
            target: source
            for source, target, what, sure in links
            if what == "supersedes" and sure >= least
        }
        if kind == "supersedes":
            yield f"supersedes: {level}", gone.get("old") == "new"
        elif kind in {"adds", "unrelated"}:
            yield f"adds, unrelated: wrongly {level}", "old" in gone
        for each in case.said:
            if each.id not in pair:
                yield f"others: wrongly {level}", each.id in gone
    against = [{source, target} for source, target, what, _ in links if what == "contradicts"]
    if kind == "contradicts":
        yield "contradicts: flagged", pair in against
    else:
        yield f"{kind}: wrongly flagged as contradicting", bool(against)


def _add(report: Report, name: str, values: Sequence[tuple[bool, bool]]) -> None:
    count, peer = sum(a for a, _ in values), sum(b for _, b in values)
    report.add(f"{name} (n={len(values)})", count, "count", peer)


class _session:  # noqa: N801 - reads as a function
    """A vault for one measurement, and a session in it."""

    def __init__(self, embedder: Remembering) -> None:
        self._embedder = embedder

    def __enter__(self) -> Session:
        self._folder = tempfile.TemporaryDirectory()
        self._memos = MemOS.open(f"{self._folder.name}/vault", embedder=self._embedder)
        return self._memos.session("user:bench")

    def __exit__(self, *_: object) -> None:
        self._memos.close()
        self._folder.cleanup()


def main() -> None:
    """Run the benchmark; BEAM where it is given, our own pairs always."""
    arguments = options(__doc__).parse_args()
    embedder = Remembering()
    report = Report("Newer statements and contradictions", "plain retrieval")
    folder = find_data(arguments.data, "beam")
    if folder is not None:
        beam(report, load_beam(folder), embedder)
    for name, file in (("seen pairs", "updates"), ("unseen pairs", "updates_heldout")):
        pairs(report, name, load_pairs(PAIRS / f"{file}.jsonl"), embedder)
    CONSOLE.width = max(CONSOLE.width, 100)
    report.finish(arguments.json)


if __name__ == "__main__":
    main()
