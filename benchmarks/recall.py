"""Measuring recall: the same memories and questions through MemOS and through a peer."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from langgraph.store.memory import InMemoryStore

from benchmarks.common import Remembering, Report, progress
from memos_core import Draft, MemOS
from memos_core.settings import estimate_tokens

DEPTHS = (5, 10, 20, 50)
PEER = "LangGraph InMemoryStore"


@dataclass(frozen=True)
class Turn:
    """One thing that was said; `text` is the raw turn, everything else a parameter."""

    id: str
    text: str
    speaker: str
    when: datetime | None
    caption: str = ""

    def draft(self) -> Draft:
        """Make the draft that goes into the vault."""
        return Draft(
            self.text or "(no words)",
            key=self.id,
            speaker=self.speaker,
            occurred_at=self.when,
            semantic_type="message",
            metadata={"caption": self.caption} if self.caption else {},
        )


@dataclass(frozen=True)
class Asked:
    """A question with the turns that hold its answer."""

    text: str
    gold: frozenset[str]
    category: str


@dataclass(frozen=True)
class Conversation:
    """Turns that lie in one space, and what is asked of them."""

    name: str
    turns: Sequence[Turn]
    questions: Sequence[Asked]


@dataclass(frozen=True)
class Outcome:
    """What a system found for a question: keys, best first, and the tokens of the first ten."""

    asked: Asked
    found: Sequence[str]
    tokens: int


def through_memos(conversations: Sequence[Conversation], embedder: Remembering) -> list[Outcome]:
    """Index every turn and ask every question through the public API."""
    outcomes = []
    with (
        tempfile.TemporaryDirectory() as folder,
        MemOS.open(f"{folder}/vault", embedder=embedder) as memos,
    ):
        for each in progress(conversations, "MemOS"):
            session = memos.session("user:bench", space=f"user:bench/{each.name}")
            session.add_many([turn.draft() for turn in each.turns])
            for asked in each.questions:
                hits = session.search(asked.text, k=max(DEPTHS))
                keys = [hit.cube.meta.key or "" for hit in hits]
                tokens = sum(estimate_tokens(hit.text) for hit in hits[:10])
                outcomes.append(Outcome(asked, keys, tokens))
    return outcomes


def through_peer(conversations: Sequence[Conversation], embedder: Remembering) -> list[Outcome]:
    """Do the same with LangGraph's store: one namespace per conversation, same embedder."""
    outcomes = []
    index: Any = {"dims": embedder.dims, "embed": embedder.as_lists, "fields": ["text"]}
    store = InMemoryStore(index=index)
    for each in progress(conversations, PEER):
        for turn in each.turns:
            when = f" ({turn.when:%d %B %Y})" if turn.when else ""
            text = f"{turn.speaker}{when}: {turn.text} {turn.caption}".strip()
            store.put((each.name,), turn.id, {"text": text})
        for asked in each.questions:
            items = store.search((each.name,), query=asked.text, limit=max(DEPTHS))
            tokens = sum(estimate_tokens(str(item.value["text"])) for item in items[:10])
            outcomes.append(Outcome(asked, [item.key for item in items], tokens))
    return outcomes


def recall(outcomes: Sequence[Outcome], depth: int) -> float:
    """Return the mean share of gold turns among the first `depth` found."""
    shares = [len(o.asked.gold & set(o.found[:depth])) / len(o.asked.gold) for o in outcomes]
    return sum(shares) / len(shares)


def reciprocal_rank(outcomes: Sequence[Outcome]) -> float:
    """Return the mean of 1 ÷ the rank of the first gold turn, 0 where none was found."""
    ranks = [
        next((1 / place for place, key in enumerate(o.found, 1) if key in o.asked.gold), 0.0)
        for o in outcomes
    ]
    return sum(ranks) / len(ranks)


def measure(prefix: str, title: str, conversations: Sequence[Conversation]) -> Report:
    """Run both systems and report every figure, in total and by category."""
    embedder = Remembering()
    ours = through_memos(conversations, embedder)
    peer = through_peer(conversations, embedder)
    report = Report(title, PEER)
    for depth in DEPTHS:
        report.add(f"{prefix}.recall@{depth}", recall(ours, depth), "share", recall(peer, depth))
    report.add(f"{prefix}.mrr", reciprocal_rank(ours), "share", reciprocal_rank(peer))
    mean = [sum(o.tokens for o in outcomes) / len(outcomes) for outcomes in (ours, peer)]
    report.add(f"{prefix}.tokens_per_query@10", mean[0], "tokens", mean[1])
    for category in sorted({o.asked.category for o in ours}):
        of_ours = [o for o in ours if o.asked.category == category]
        of_peer = [o for o in peer if o.asked.category == category]
        name = f"{prefix}.{category}.recall@10 (n={len(of_ours)})"
        report.add(name, recall(of_ours, 10), "share", recall(of_peer, 10))
    return report
