"""Conflict: how a newer statement stands to an older one.

It *supersedes* it where the same subject has another value of the same attribute since; it
*contradicts* it where both cannot be true and nothing has changed; it *repeats* it where it says
the same. Two things that can both be true have no relation. A wrong supersession hides a true
memory, so what is unsure has little confidence: `LIKELY` is enough to rank the newer one first,
closing the valid time of the older one takes `SURE`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final, Literal

from memos_core.cube import Trust
from memos_core.memory.claims import ME, Claim
from memos_core.memory.lexicon import lexicon
from memos_core.memory.values import differ
from memos_core.operation.policies.gist import Gist, likelihood

RelationKind = Literal["supersedes", "contradicts", "repeats"]
LIKELY: Final = 0.3
"""Confidence from which the newer one is preferred where both would be shown."""
MAYBE: Final = 0.12
"""Confidence from which the newer one is preferred where a question fits both nearly as well."""
SURE: Final = 0.75
"""Confidence from which the older one no longer counts as valid."""

LEAST: Final = 0.2
"""Cosine below which two memories have nothing to do with each other."""
_SAME: Final = 0.97
_SHORT: Final = 140
"""Characters that one statement takes at most; a longer text says more than one thing."""


@dataclass(frozen=True)
class Told:
    """A memory as far as conflicts go.

    Args:
        claims: What it asserts, of `claims_of`.
        at: When it was said.
        trust: How far its source is relied on.
        author: Who said it.
        size: How many characters the text has; 0 counts as far as its claims reach.
    """

    claims: tuple[Claim, ...]
    at: datetime
    trust: Trust = Trust.NORMAL
    author: str = ""
    size: int = 0

    @cached_property
    def gist(self) -> Gist:
        """The claims as one, for what takes more than one clause to say."""
        return Gist.of(self.claims)

    @property
    def long(self) -> bool:
        """Whether it says more than one thing."""
        return max(self.size, self.gist.span[1]) > _SHORT

    @cached_property
    def denials(self) -> tuple[tuple[Claim, frozenset[str]], ...]:
        """What it denies, each with the stems that must not be so."""
        return tuple(_denials(self.claims))

    @cached_property
    def amounts(self) -> tuple[Claim, ...]:
        """Its claims with typed values."""
        return tuple(
            each for each in self.claims if each.value.kind != "phrase" and "delta" not in each.cues
        )


@dataclass(frozen=True, slots=True)
class Relation:
    """How a newer memory stands to an older one.

    Args:
        kind: What it does to the older one.
        attribute: The stems that both are about, in alphabetical order.
        confidence: From 0 to 1.
        why: What it rests on, in words.
        spans: Where both say it, `(start, end)` in the older and in the newer text.
    """

    kind: RelationKind
    attribute: tuple[str, ...]
    confidence: float
    why: str
    spans: tuple[tuple[int, int], tuple[int, int]]


def relation(older: Told, newer: Told, *, similarity: float) -> Relation | None:
    """Say how a newer memory stands to an older one.

    Args:
        older: What was said first.
        newer: What was said later.
        similarity: The cosine of their vectors, from -1 to 1.

    Returns:
        The relation, or None where both can be true.

    Example:
        >>> from datetime import UTC, datetime
        >>> from memos_core.memory.claims import claims_of
        >>> old = Told(claims_of("The budget is $4,000."), datetime(2026, 1, 5, tzinfo=UTC))
        >>> new = Told(claims_of("Finance raised the budget to $5,500."),
        ...            datetime(2026, 3, 1, tzinfo=UTC))
        >>> found = relation(old, new, similarity=0.7)
        >>> found.kind, found.attribute
        ('supersedes', ('budget',))
    """
    if similarity < LEAST or not older.claims or not newer.claims:
        return None
    if similarity >= _SAME and not _changed(older.gist, newer.gist):
        return _relation("repeats", similarity, "nearly the same words", older.gist, newer.gist)
    found = _contradiction(older, newer)
    if found is not None:
        return found
    best = max(
        (each for each in (_whole(older, newer, similarity), _amount(older, newer, similarity))
         if each is not None),
        key=lambda each: each.confidence,
        default=None,
    )  # fmt: skip
    if best is None or best.confidence < MAYBE:
        return None
    if older.long:  # it says more than what has changed: it is not over
        cap = SURE - 0.01
        best = Relation(best.kind, best.attribute, min(best.confidence, cap), best.why, best.spans)
    past = "was" in older.gist.cues and "was" in newer.gist.cues
    if older.trust > newer.trust or past:
        why = "a later word of less trust" if not past else "two accounts of the past"
        return Relation("contradicts", best.attribute, best.confidence, why, best.spans)
    return best


def contradictions_within(told: Told) -> tuple[Relation, ...]:
    """Find where one memory contradicts itself.

    Args:
        told: The memory.

    Returns:
        A relation for each pair of its clauses that cannot both be true.
    """
    return tuple(_against(told, told))


def strongest(relations: Sequence[Relation]) -> tuple[int, ...]:
    """Choose what a newer memory replaces, of all that it may replace.

    One clause seldom replaces several statements: what is much weaker than the best match only
    looks alike. Contradictions and repetitions all stay.

    Args:
        relations: How one newer memory stands to several older ones.

    Returns:
        The places of those that stand, in order.
    """
    best: dict[tuple[int, int], float] = {}
    for each in relations:
        if each.kind == "supersedes":
            best[each.spans[1]] = max(each.confidence, best.get(each.spans[1], 0.0))
    return tuple(
        place
        for place, each in enumerate(relations)
        if each.kind != "supersedes" or each.confidence >= best[each.spans[1]] - 0.1
    )


def concerns(found: Relation, stems: AbstractSet[str]) -> bool:
    """Say whether a question is about what a relation is about.

    A long memory is outdated in one thing and still right in all others: it gives way to the newer
    one only where that thing is asked for.

    Args:
        found: A relation.
        stems: The stems of the question's words, of `claims.stems_of`.

    Returns:
        Whether at least two of the attribute's stems are asked for, or the only one.
    """
    return is_asked(found.attribute, stems)


def is_asked(attribute: Sequence[str], stems: AbstractSet[str]) -> bool:
    """Say whether a question asks for an attribute: for two of its stems, or the only one."""
    named = sum(each in stems for each in attribute)
    return named >= min(2, max(1, len(attribute)))


def _changed(old: Gist, new: Gist) -> bool:
    """Say whether two wordings that look alike differ in a value, a name or a denial."""
    if old.denied != new.denied or old.names != new.names:
        return True
    return {each.norm for each in old.values} != {each.norm for each in new.values}


def _relation(kind: RelationKind, sure: float, why: str, old: Gist, new: Gist) -> Relation:
    attribute = tuple(sorted(old.stems & new.stems))
    return Relation(kind, attribute, round(min(sure, 1.0), 3), why, (old.span, new.span))


def _whole(older: Told, newer: Told, similarity: float) -> Relation | None:
    """Compare two short memories as wholes."""
    old, new = older.gist, newer.gist
    if older.long or newer.long or "asked" in new.cues | old.cues:
        return None
    sure = likelihood(old, new, similarity)
    return _relation("supersedes", sure, _why(new), old, new)


def _why(new: Gist) -> str:
    cue = "worded as a change" if {"change", "ends", "since"} & new.cues else "said later"
    return f"another value of the same attribute, {cue}"


def _amount(older: Told, newer: Told, similarity: float) -> Relation | None:
    """Compare the amounts, dates and versions of two memories of any length."""
    best: Relation | None = None
    if not (older.long or newer.long):
        return None  # as a whole it says more
    for new in newer.amounts:
        for old in older.amounts:
            if old.value.kind != new.value.kind or not _same_owner(old, new):
                continue
            sure = _amount_sure(old, new, similarity)
            if sure > (best.confidence if best else 0.0):
                shared = tuple(sorted(old.attribute & new.attribute))
                why = f"{new.value.text} after {old.value.text}"
                best = Relation("supersedes", shared, round(sure, 3), why, (old.span, new.span))
    return best


def _amount_sure(old: Claim, new: Claim, similarity: float) -> float:
    """Say how surely one amount replaces another."""
    shared = old.attribute & new.attribute
    if not shared or not differ(old.value, new.value):
        return 0.0
    counted = old.value.unit and old.value.unit == new.value.unit and old.value.kind == "number"
    head = bool(old.head and new.head and old.head[-1] == new.head[-1])
    crossed = bool(shared & {*old.head, *new.head})
    if not (counted or head or crossed):
        return 0.0
    if old.value.unit != new.value.unit and old.value.unit and new.value.unit:
        return 0.0
    ours, theirs = set(old.head[:-1]), set(new.head[:-1])
    if ours and theirs and not ours & theirs and not ours & new.attribute:
        return 0.0
    sure = 0.1 + 0.5 * similarity + 0.08 * min(len(shared), 4)
    sure += 0.1 * (head or bool(counted)) + 0.12 * bool({"change", "since"} & new.cues)
    sure -= 0.2 * ("adds" in new.cues) + 0.15 * ("plan" in new.cues) + 0.2 * ("plan" in old.cues)
    return min(sure, 0.99)


def _same_owner(old: Claim, new: Claim) -> bool:
    if not old.subject or not new.subject or old.subject == new.subject:
        return True
    return "they" in {old.subject, new.subject} and ME not in {old.subject, new.subject}


def _contradiction(older: Told, newer: Told) -> Relation | None:
    """Find the surest contradiction between two memories."""
    found = [*_against(newer, older), *(_turned(each) for each in _against(older, newer))]
    return max(found, key=lambda each: each.confidence, default=None)


def _turned(each: Relation) -> Relation:
    return Relation(each.kind, each.attribute, each.confidence, each.why, each.spans[::-1])


def _denials(claims: Sequence[Claim]) -> Iterator[tuple[Claim, frozenset[str]]]:
    """List what a memory denies for good: `never`, `no X at all`, and what a word rules out."""
    lex = lexicon()
    for claim in claims:
        if claim.value.kind != "phrase" or "ends" in claim.cues:
            continue
        for cue in claim.cues:
            if cue.startswith("excludes:"):
                yield claim, lex.excludes[cue.partition(":")[2]]
        if "never" in claim.cues or ("not" in claim.cues and "plan" not in claim.cues):
            yield claim, claim.attribute


def _against(denying: Told, asserting: Told) -> Iterator[Relation]:
    """Find what one memory denies and another asserts: spans as (asserted, denied)."""
    kinds = lexicon().kinds
    for denied, stems in denying.denials:
        for claim in asserting.claims:
            if not claim.polarity or claim.span == denied.span:
                continue
            said = claim.attribute | {kinds[each] for each in claim.attribute if each in kinds}
            shared = stems & said
            if shared and (sure := _contradicts(denied, stems, claim, shared)):
                attribute = tuple(sorted(shared))
                why = "asserted here, denied there"
                yield Relation("contradicts", attribute, sure, why, (claim.span, denied.span))


def _contradicts(
    denied: Claim, stems: frozenset[str], said: Claim, shared: frozenset[str]
) -> float:
    """Say how surely a denial and an assertion exclude each other."""
    if "first" in said.cues:
        return 0.0
    if not shared <= said.attribute:  # no siblings, and my brother came
        return 0.7 if _own(denied, said) else 0.0
    if not _same_person(denied.subject, said.subject):
        return 0.0
    if stems is not denied.attribute:
        return 0.7
    if "never" not in denied.cues:
        return 0.0
    share = len(shared) / len(stems)
    if share < 0.25 or (len(shared) < 2 and len(stems) > 2):
        return 0.0
    return round(min(0.95, 0.3 + 0.6 * share + 0.05 * len(shared)), 3)


def _own(denied: Claim, said: Claim) -> bool:
    """Say whether a thing is not said to be of somebody else than who denies to have its like."""
    others = {"they", "you", *said.names} - {denied.subject}
    return others.isdisjoint(said.subject.split()) or said.subject == denied.subject


def _same_person(one: str, other: str) -> bool:
    return one == other or not one or not other
