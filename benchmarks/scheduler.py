"""The scheduler under a budget: how much of what unlimited retrieval recalls fits into half of it.

Unlimited is the twenty best memories of a search, each rendered with its whole head (number, id,
author, speaker, source, trust, time) in one fenced block. The budget of a question is half of what
its block costs, by `estimate_tokens`. The peer fills that budget with the same block, best first,
which is what a user would write. `own` is the stricter half: of the same twenty memories in the
scheduler's own, shorter block. Recall is the share of gold turns that stand in the block. The peer
of preloading are the memories that were placed last.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import beam, locomo
from benchmarks.common import CONSOLE, Remembering, Report, find_data, options, progress
from benchmarks.own import harbor
from benchmarks.recall import Asked, Conversation
from memos_core import ContextItem, Hit, MemOS, Session
from memos_core.memory.fence import item_of, render
from memos_core.operation.workingset import SIZE
from memos_core.settings import estimate_tokens

DEPTH = 20
PEER = "top-k, same budget"
NONCE = "0123456789abcdef"
BEFORE = 150
"""Turns that are there before a replay begins."""
REPLAYED = 100


@dataclass(frozen=True)
class Outcome:
    """What was found for a question: recall and tokens."""

    unlimited: float
    unlimited_tokens: int
    ours: float
    ours_tokens: int
    peer: float
    peer_tokens: int
    own: float
    own_budget: int
    own_peer: float
    over: int
    seconds: float


FRAME = estimate_tokens(render([], NONCE))


def whole_head(item: ContextItem) -> int:
    """Count what an item costs that says everything of itself."""
    return estimate_tokens(render([item], NONCE)) - FRAME


def best_first(hits: Sequence[Hit], budget: int) -> tuple[list[Hit], int]:
    """Take hits, best first, until one does not fit."""
    taken, spent = [], FRAME
    for hit in hits:
        cost = whole_head(item_of(hit.cube))
        if spent + cost > budget:
            break
        taken.append(hit)
        spent += cost
    return taken, spent


def best_first_in_short(hits: Sequence[Hit], budget: int) -> list[Hit]:
    """Take hits, best first, until the scheduler's own block would be too large."""
    taken = list(hits)
    while taken and estimate_tokens(render([item_of(h.cube) for h in taken], NONCE)) > budget:
        taken.pop()
    return taken


def recall(hits: Sequence[Hit], asked: Asked) -> float:
    """Return the share of gold turns among hits."""
    return len(asked.gold & {hit.cube.meta.key for hit in hits}) / len(asked.gold)


def answer(session: Session, asked: Asked) -> Outcome:
    """Ask one question in every way."""
    found = session.search(asked.text, k=50)
    twenty = found[:DEPTH]
    whole = FRAME + sum(whole_head(item_of(hit.cube)) for hit in twenty)
    grouped = session.context(asked.text, budget_tokens=1_000_000, k=DEPTH).tokens
    began = time.perf_counter()
    ours = session.context(asked.text, budget_tokens=whole // 2)
    seconds = time.perf_counter() - began
    own = session.context(asked.text, budget_tokens=grouped // 2)
    peer, peer_tokens = best_first(found, whole // 2)
    return Outcome(
        unlimited=recall(twenty, asked),
        unlimited_tokens=whole,
        ours=recall(ours.hits, asked),
        ours_tokens=ours.tokens,
        peer=recall(peer, asked),
        peer_tokens=peer_tokens,
        own=recall(own.hits, asked),
        own_budget=grouped // 2,
        own_peer=recall(best_first_in_short(found, grouped // 2), asked),
        over=(estimate_tokens(ours.text) > whole // 2) + (estimate_tokens(own.text) > grouped // 2),
        seconds=seconds,
    )


def through(conversations: Sequence[Conversation], embedder: Remembering) -> list[Outcome]:
    """Index every turn and ask every question through the public API."""
    outcomes = []
    with (
        tempfile.TemporaryDirectory() as folder,
        MemOS.open(f"{folder}/vault", embedder=embedder) as memos,
    ):
        for each in progress(conversations, "scheduler"):
            session = memos.session("user:bench", space=f"user:bench/{each.name}")
            session.add_many([replace(turn.draft(), source="bench") for turn in each.turns])
            outcomes += [answer(session, asked) for asked in each.questions]
    return outcomes


def preloaded(conversations: Sequence[Conversation], embedder: Remembering) -> tuple[float, float]:
    """Replay conversations turn by turn: recall for what is said, then remember it.

    Returns:
        The share of what was placed that the working set had predicted, and the share of it that
        the memories placed last, as many, would have been.
    """
    ready = placed = recent = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        MemOS.open(f"{folder}/vault", embedder=embedder) as memos,
    ):
        for each in progress(conversations, "preload"):
            session = memos.session("user:bench", space=f"user:bench/{each.name}")
            session.add_many([turn.draft() for turn in each.turns[:BEFORE]])
            last: dict[str, None] = {}
            for turn in each.turns[BEFORE : BEFORE + REPLAYED]:
                used = [hit.id for hit in session.context(turn.text or "-", budget_tokens=500).hits]
                recent += sum(one in list(last)[-SIZE:] for one in used) if last else 0
                last = {one: None for one in last if one not in used} | dict.fromkeys(used)
                session.add(turn.draft())
            rate = session.working_set.rate
            ready, placed = ready + rate.ready, placed + rate.placed
    return ready / placed, recent / placed


def told(report: Report, name: str, outcomes: Sequence[Outcome]) -> None:
    """Add the figures of one set."""

    def mean(field: str) -> float:
        return statistics.fmean(getattr(each, field) for each in outcomes)

    unlimited = mean("unlimited")
    report.add(f"{name}.unlimited.recall@{DEPTH}", unlimited, "share")
    report.add(f"{name}.unlimited.tokens", mean("unlimited_tokens"), "tokens")
    report.add(f"{name}.half.recall", mean("ours"), "share", mean("peer"))
    report.add(f"{name}.half.tokens", mean("ours_tokens"), "tokens", mean("peer_tokens"))
    kept = 100 * mean("ours") / unlimited, 100 * mean("peer") / unlimited
    report.add(f"{name}.half.kept", kept[0], "% of unlimited", kept[1])
    kept = 100 * mean("own") / unlimited, 100 * mean("own_peer") / unlimited
    report.add(f"{name}.own.kept", kept[0], "% of unlimited", kept[1])
    report.add(f"{name}.own.budget", mean("own_budget"), "tokens")
    report.add(f"{name}.over_budget", sum(each.over for each in outcomes), "blocks")
    milliseconds = statistics.median(each.seconds for each in outcomes) * 1e3
    report.add(f"{name}.context", milliseconds, "ms, median, question embedded before")


def sets(data: Path | str | None) -> dict[str, list[Conversation]]:
    """Read what there is to measure with."""
    path = find_data(data, "locomo_dev5.json")
    if path is None:
        return {"own": harbor()}
    found = {"locomo": locomo.load(path)}
    folder = find_data(data, "beam")
    return found | ({} if folder is None else {"beam": beam.load(folder)})


def main() -> None:
    """Run the benchmark."""
    arguments = options(__doc__).parse_args()
    embedder = Remembering()
    report = Report("Contexts under half the tokens of unlimited retrieval", PEER)
    for name, conversations in sets(arguments.data).items():
        outcomes = through(conversations, embedder)
        CONSOLE.print(f"{name}: {len(outcomes)} questions")
        told(report, f"scheduler.{name}", outcomes)
        ours, last = preloaded(conversations, embedder)
        report.add(f"scheduler.{name}.preload_hits", ours, f"of what is placed, {SIZE} ready", last)
    report.finish(arguments.json)


if __name__ == "__main__":
    main()
