"""Gist: what several clauses say together, and what speaks for a change between two of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from memos_core.memory.claims import ME, Claim
from memos_core.memory.values import Value, differ

_PRONOUNS: Final = frozenset({"", ME, "they", "you"})

WEIGHTS: Final = {
    "bias": -6.54,
    "similarity": 7.65,
    "shared": 1.15,
    "count": 0.76,
    "topic": 0.29,
    "single": 0.24,
    "typed": 1.31,
    "change": 0.58,
    "change_similar": 2.86,
    "former": 0.7,
    "other_name": 1.63,
    "mark": -2.5,
    "only_name": -0.5,
    "denied": -0.34,
    "old_event": -0.85,
    "event": 1.61,
    "since": 1.85,
    "adds": -1.31,
    "has": -1.04,
    "old_was": -2.11,
    "name_still": -0.37,
    "both_event": -0.94,
    "single_still": -1.12,
    "subject_still": -0.72,
    "mark_still": -1.32,
}
"""Fitted by logistic regression (ridge 1, signs held to what each feature stands for) on the 70
pairs of `tests/data/updates.jsonl` with what the same persons said besides, and on the 88 pairs of
`updates_fitting.jsonl`. `updates_heldout.jsonl` had no part in it."""


@dataclass(frozen=True, slots=True)
class Gist:
    """What several clauses say together.

    Args:
        stems: The attributes of all claims.
        topic: The first group of nouns.
        subjects: The stems of what the clauses are about, without pronouns.
        names: The names.
        cues: How it is said.
        former: What is said to be over.
        marks: What narrows each noun.
        values: The typed values.
        denied: Whether any of it is denied.
        span: From where to where in the text.
    """

    stems: frozenset[str]
    topic: frozenset[str]
    subjects: frozenset[str]
    names: frozenset[str]
    cues: frozenset[str]
    former: frozenset[str]
    marks: Mapping[str, frozenset[str]]
    values: tuple[Value, ...]
    denied: bool
    span: tuple[int, int]

    @classmethod
    def of(cls, claims: Sequence[Claim]) -> Gist:
        """Put claims together."""
        marks: dict[str, set[str]] = {}
        for noun, mark in (pair for claim in claims for pair in claim.marks):
            marks.setdefault(noun, set()).add(mark)
        clauses = [each for each in claims if each.value.kind == "phrase"]
        nothing: frozenset[str] = frozenset()
        return cls(
            stems=nothing.union(*(each.attribute for each in claims)),
            topic=frozenset(next((each.head for each in claims if each.head), ())),
            subjects=frozenset(
                word for each in clauses if each.subject not in _PRONOUNS
                for word in each.subject.split()
            ),
            names=nothing.union(*(each.names for each in claims)),
            cues=nothing.union(*(each.cues for each in claims)),
            former=nothing.union(*(each.former for each in claims)),
            marks={noun: frozenset(found) for noun, found in marks.items()},
            values=tuple(
                each.value for each in claims
                if each.value.kind != "phrase" and "delta" not in each.cues
            ),
            denied=any(not each.polarity for each in claims),
            span=(
                min((each.span[0] for each in claims), default=0),
                max((each.span[1] for each in claims), default=0),
            ),
        )  # fmt: skip


def features(old: Gist, new: Gist, similarity: float) -> dict[str, float]:
    """Say what speaks for and against a change, each from 0 to 1.

    Args:
        old: The older statement.
        new: The newer one.
        similarity: The cosine of their vectors.

    Returns:
        A number for each of `WEIGHTS`.
    """
    shared = old.stems & new.stems
    typed = [
        (a, b)
        for a in old.values
        for b in new.values
        if a.kind == b.kind and (a.unit == b.unit or not a.unit or not b.unit)
    ]
    change = not new.cues.isdisjoint(("change", "ends"))
    found = {
        "bias": 1.0,
        "similarity": similarity,
        "shared": len(shared) / max(1, min(len(old.stems), len(new.stems))),
        "count": min(len(shared), 3) / 3,
        "topic": float(bool(old.topic & new.stems)),
        "single": float(any(each.startswith("@") for each in shared)),
        "typed": float(bool(shared) and any(differ(a, b) for a, b in typed)),
        "same_value": float(any(not differ(a, b) for a, b in typed)),
        "change": float(change),
        "change_similar": change * similarity,
        "former": float(bool(new.former & (old.stems | {each.norm for each in old.values}))),
        "subject": float(_apart(old.subjects, new.subjects, old, new)),
        "name": float(_apart(old.names & old.subjects, new.names & new.subjects, old, new)),
        "other_name": float(_apart(old.names - old.subjects, new.names - new.subjects, old, new)),
        "mark": float(marked_apart(old, new)),
        "only_name": float(bool(shared) and shared <= old.names | new.names),
        "nothing": float(not shared),
        "denied": float(old.denied != new.denied),
        "old_event": float("event" in old.cues),
    }
    still = new.cues.isdisjoint(("change", "ends", "event", "since"))
    found["subject_still"] = found["subject"] * still
    found["mark_still"] = found["mark"] * still
    found["name_still"] = found["name"] * still
    found["both_event"] = found["old_event"] * float("event" in new.cues)
    found["single_still"] = found["single"] * still
    for cue in ("event", "since", "adds", "plan", "has", "was"):
        found[cue] = float(cue in new.cues)
    found["old_was"] = float("was" in old.cues)
    return found


def likelihood(old: Gist, new: Gist, similarity: float) -> float:
    """Say how probable it is that the newer statement replaces the older one, from 0 to 1."""
    found = features(old, new, similarity)
    total = sum(weight * found[name] for name, weight in WEIGHTS.items())
    return 1 / (1 + math.exp(-total))


def marked_apart(old: Gist, new: Gist) -> bool:
    """Say whether a noun of both is narrowed differently: the API budget, the travel budget."""
    for noun, ours in old.marks.items():
        theirs = new.marks.get(noun)
        if theirs and not ours & theirs and not ours & new.stems and not theirs & old.stems:
            return True
    return False


def _apart(ours: AbstractSet[str], theirs: AbstractSet[str], old: Gist, new: Gist) -> bool:
    """Say whether both name something and neither names what the other does."""
    return bool(ours and theirs) and not ours & new.stems and not theirs & old.stems
