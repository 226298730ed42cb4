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

import numpy as np

from benchmarks.beam import ids_of
from benchmarks.common import CONSOLE, Remembering, Report, find_data, options, progress
from memos_core import Draft, MemOS, Session
from memos_core.memory.claims import claims_of, stems_of
from memos_core.operation.policies.conflict import (
    LIKELY,
    SURE,
    Relation,
    Told,
    concerns,
    contradictions_within,
    relation,
    strongest,
)

PAIRS = Path(__file__).parent.parent / "tests" / "data"
DEPTH = 50
K = 10
NEAREST = 40
CLOSE = 0.8
"""How well a question must fit the newer one beside the older one, for what is hardly likely."""
LEADING = 3
"""Hits whose contradictions are brought in."""
PARTNERS = 4
"""How many of them at most."""


@dataclass(frozen=True)
class Statement:
    """One thing that was said."""

    id: str
    text: str
    speaker: str
    when: datetime


@dataclass(frozen=True)
class Link:
    """A newer statement and what it does to an older one."""

    older: str
    newer: str
    relation: Relation
    long: bool = False


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


def links_of(said: Sequence[Statement], embedder: Remembering) -> list[Link]:
    """Compare each statement with the nearest earlier ones, as the organizer does.

    Only what users say counts: an assistant repeats what it was told.
    """
    users = [each for each in said if each.speaker != "assistant"]
    vectors = embedder.embed([each.text for each in users])
    told = [Told(claims_of(each.text), each.when, size=len(each.text)) for each in users]
    links = []
    for place, newer in enumerate(users):
        similarity = vectors[:place] @ vectors[place]
        near = np.argsort(-similarity, kind="stable")[:NEAREST]
        found = [
            (int(each), how)
            for each in near
            if (how := relation(told[each], told[place], similarity=float(similarity[each])))
        ]
        kept = strongest([how for _, how in found])
        for at in kept:
            older, how = users[found[at][0]], found[at][1]
            links.append(Link(older.id, newer.id, how, told[found[at][0]].long))
    return links


def ranked(question: str, scores: Mapping[str, float], links: Sequence[Link]) -> list[str]:
    """Put what supersedes a hit before it, and what contradicts the best hits among the first ten.

    What is only likely moves what was found; what is sure is brought in where it was not.
    """
    order = list(scores)
    asked = stems_of(question)
    for link in links:
        if link.relation.kind != "supersedes" or link.older not in order:
            continue
        if link.long and not concerns(link.relation, asked):
            continue
        if link.newer not in order and link.relation.confidence < SURE:
            continue
        close = scores.get(link.newer, 0.0) >= CLOSE * scores[link.older]
        if link.relation.confidence < LIKELY and not close:
            continue
        place = order.index(link.older)
        if link.newer not in order[:place]:
            order = [each for each in order if each != link.newer]
            order.insert(place, link.newer)
    top = order[: K - PARTNERS]
    against = {
        (link.newer if hit == link.older else link.older): (place, -link.relation.confidence)
        for place, hit in reversed(list(enumerate(top[:LEADING])))
        for link in links
        if link.relation.kind == "contradicts" and hit in {link.older, link.newer}
    }
    away = sorted((each for each in against if each not in top), key=lambda each: against[each])
    partners = away[:PARTNERS]
    return [*top, *partners, *(each for each in order if each not in {*top, *partners})]


def searched(session: Session, case: Case) -> Iterator[dict[str, float]]:
    """Put what was said into a space and search it for each question."""
    space = session.space if not case.name else f"{session.space}/{case.name}"
    session.add_many(
        [
            Draft(
                each.text or "(no words)",
                key=f"{case.name}/{each.id}",
                space=space,
                speaker=each.speaker,
                occurred_at=each.when,
                semantic_type="message",
            )
            for each in case.said
        ]
    )
    for _, question, _, _ in case.asked:
        hits = session.search(question, k=DEPTH, space=space)
        yield {(hit.cube.meta.key or "").rpartition("/")[2]: hit.score for hit in hits}


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
    superseded: set[tuple[str, str]] = set()
    messages = 0
    with _session(embedder) as session:
        for case in progress(cases, "BEAM"):
            links = links_of(case.said, embedder)
            texts = {each.id: each.text for each in case.said}
            messages += sum(each.speaker != "assistant" for each in case.said)
            superseded |= {
                (case.name, each.older)
                for each in links
                if each.relation.kind == "supersedes" and each.relation.confidence >= SURE
            }
            for (kind, question, older, newer), plain in zip(
                case.asked, searched(session, case), strict=True
            ):
                order = ranked(question, plain, links)
                if kind == "knowledge_update":
                    # Evidence that is one and the same message has nothing to be ranked above.
                    told_apart = older != newer
                    updates.append(
                        (
                            told_apart and newer_first(order, older, newer),
                            told_apart and newer_first(list(plain), older, newer),
                        )
                    )
                else:
                    within = _within(order, older, newer)
                    both.append((within, _within(list(plain), older, newer)))
                    flagged.append(within and _flagged(links, texts, older, newer))
    _add(report, "beam.updated evidence above the original", updates)
    _add(report, "beam.both statements within k=10", both)
    count = f"(n={len(flagged)})"
    report.add(f"beam.both within k=10 and flagged {count}", sum(flagged), "count", 0)
    report.add(f"beam.messages closed as superseded (n={messages})", len(superseded), "count")


def _within(order: Sequence[str], one: frozenset[str], other: frozenset[str]) -> bool:
    top = frozenset(order[:K])
    return bool(one & top) and bool(other & top)


def _flagged(
    links: Sequence[Link],
    texts: Mapping[str, str],
    one: frozenset[str],
    other: frozenset[str],
) -> bool:
    """Say whether the two sides are marked as conflicting, between messages or within one."""
    for each in one & other:
        if contradictions_within(Told(claims_of(texts[each]), datetime.now(UTC))):
            return True
    return any(
        (link.older in one and link.newer in other) or (link.older in other and link.newer in one)
        for link in links
        if link.relation.kind == "contradicts"
    )


def pairs(report: Report, name: str, cases: Sequence[Case], embedder: Remembering) -> None:
    """Measure our own pairs."""
    found: dict[str, list[tuple[bool, bool]]] = {}
    with _session(embedder) as session:
        for case in progress(cases, name):
            links = links_of(case.said, embedder)
            kind = case.asked[0][0]
            (plain,) = searched(session, case)
            if kind in {"supersedes", "unrelated"}:
                _, question, old, new = case.asked[0]
                order = ranked(question, plain, links)
                above = newer_first(order, old, new), newer_first(list(plain), old, new)
                found.setdefault(f"{kind}: new above old", []).append(above)
            for label, value in _judged(case, links, kind):
                found.setdefault(label, []).append((value, False))
    for label, values in sorted(found.items()):
        peer = sum(b for _, b in values) / len(values) if "above" in label else None
        share = sum(a for a, _ in values) / len(values)
        report.add(f"{name}.{label} (n={len(values)})", share, "share", peer)


def _judged(case: Case, links: Sequence[Link], kind: str) -> Iterator[tuple[str, bool]]:
    """Say of what was superseded and contradicted whether it was."""
    pair = {"old", "new"}
    for level, least in (("demoted", LIKELY), ("closed", SURE)):
        gone = {
            each.older: each.newer
            for each in links
            if each.relation.kind == "supersedes" and each.relation.confidence >= least
        }
        if kind == "supersedes":
            yield f"supersedes: {level}", gone.get("old") == "new"
        elif kind in {"adds", "unrelated"}:
            yield f"adds, unrelated: wrongly {level}", "old" in gone
        for each in case.said:
            if each.id not in pair:
                yield f"others: wrongly {level}", each.id in gone
    against = [{each.older, each.newer} for each in links if each.relation.kind == "contradicts"]
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
