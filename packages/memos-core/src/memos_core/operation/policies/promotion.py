"""Promotion: when text becomes KV, when KV falls back to text, as pure functions.

Text that is read again and again pays its prefill each time; as KV it would pay once, and take
room. This is the ski-rental problem: rent until what was paid equals the price, then buy. No rule
that does not know the future pays less than twice the best in the worst case, and this one never
pays more (Karlin, Manasse, Rudolph and Sleator, Algorithmica 3, 1988). With a price drawn anew the
mean is 1.58 times (Karlin, Manasse, McGeoch and Owicki, Algorithmica 11, 1994).

Under a budget of bytes something may have to go for it: what saves least for its size, by
greedy-dual-size-frequency (`memory.eviction`). Uses count half after each half-life, instead of the
clock that this method has: what a phase that is over used much grows old even while nothing goes.
And it goes only if what comes saves more by the price of making it; else much is made that goes
before it has paid (measured by `benchmarks.promotion`: 2.4 times the oracle's work without this
rule and with the clock, 1.3 to 1.6 with it).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from memos_core.memory.eviction import Resident, evictions


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Something that prompts begin with, as text or as KV.

    Args:
        name: What it is called.
        size: What its KV takes, in bytes.
        prefill: What reading it as text costs, in seconds.
        load: What loading its KV costs, in seconds.
        make: What computing and storing its KV costs beside the use at which it is made, in
            seconds: a whole prefill more where a worker does it afterwards.
        pinned: Whether its KV is in use, or held, and cannot go.
    """

    name: str
    size: int
    prefill: float
    load: float
    make: float
    pinned: bool = False

    @property
    def saved(self) -> float:
        """What one use of its KV saves, in seconds."""
        return max(self.prefill - self.load, 0.0)


@dataclass(frozen=True, slots=True)
class Record:
    """How something was used.

    Args:
        uses: How often, those of long ago counting less; see `used`.
        last: When last, in seconds.
        rented: What using it as text has cost since it was KV, over what KV would have, in seconds.
    """

    uses: float = 0.0
    last: float = 0.0
    rented: float = 0.0


@dataclass(frozen=True, slots=True)
class Rules:
    """When promotion pays.

    Args:
        price: The share of `Text.make` that must have been rented: 1 is break-even.
        half_life: The time in which uses count half, in seconds.
        cold_after: KV that was not used for so long falls back to text, in seconds.
        distill_after: What was used so often, as uses age, is worth a proposal to distill it.
    """

    price: float = 1.0
    half_life: float = 7 * 86_400.0
    cold_after: float = 30 * 86_400.0
    distill_after: float = 20.0


@dataclass(frozen=True, slots=True)
class Promotion:
    """What becomes KV, and what falls back to text for it.

    Args:
        promoted: Whether it becomes KV.
        demoted: What goes, the least useful first.
    """

    promoted: bool
    demoted: tuple[str, ...] = ()


def used(record: Record, text: Text, *, now: float, as_kv: bool, rules: Rules) -> Record:
    """Count a use.

    Args:
        record: How it was used before.
        text: What was used.
        now: When, in seconds.
        as_kv: Whether its KV was, and its prefill saved.
        rules: How uses age.

    >>> text = Text(name="a", size=1, prefill=3.0, load=1.0, make=4.0)
    >>> used(Record(), text, now=0.0, as_kv=False, rules=Rules()).rented
    2.0
    """
    rented = 0.0 if as_kv else record.rented + text.saved
    return Record(aged(record, now, rules) + 1, now, rented)


def aged(record: Record, now: float, rules: Rules) -> float:
    """Return how often something was used, each use worth half after each half-life."""
    return float(record.uses * 0.5 ** (max(now - record.last, 0.0) / rules.half_life))


def drawn_price(draw: float) -> float:
    """Turn a number that was drawn evenly into a price: the one of the randomised rule.

    Args:
        draw: 0 to 1.

    >>> drawn_price(0.0), drawn_price(1.0)
    (0.0, 1.0)
    """
    return math.log1p(draw * (math.e - 1))


def pays(text: Text, record: Record, rules: Rules) -> bool:
    """Tell whether reading something as text has cost as much as its KV would have."""
    return text.saved > 0 and record.rented >= rules.price * text.make


def promotion(
    text: Text,
    record: Record,
    residents: Sequence[tuple[Text, Record]],
    *,
    budget: int,
    now: float,
    rules: Rules,
) -> Promotion:
    """Decide whether text becomes KV, and what goes for it.

    Args:
        text: What may become KV.
        record: How it was used.
        residents: What is KV, and how it was used.
        budget: The most bytes of KV.
        now: In seconds.
        rules: When it pays.

    >>> text = Text(name="a", size=8, prefill=3.0, load=1.0, make=4.0)
    >>> promotion(text, Record(2, 0.0, 4.0), [], budget=8, now=0.0, rules=Rules())
    Promotion(promoted=True, demoted=())
    """
    stays = Promotion(promoted=False)
    if not pays(text, record, rules):
        return stays
    worth = {each.name: aged(its, now, rules) * each.saved for each, its in residents}
    there = [
        Resident(each.name, each.size, worth[each.name] / max(each.size, 1), each.pinned)
        for each, _its in residents
    ]
    plan = evictions(there, needed=text.size, budget=budget, clock=0.0)
    if not plan.fits:
        return stays
    lost = sum(worth[name] for name in plan.names)
    gained = aged(record, now, rules) * text.saved - lost
    if plan.names and gained < rules.price * text.make:
        return stays
    return Promotion(promoted=True, demoted=plan.names)


def together(
    given: Sequence[Sequence[str]], *, known: Container[str], most: int = 16
) -> tuple[str, ...]:
    """Name what prompts could begin with: what was given most, and what mostly came with it.

    Args:
        given: What each prompt was given.
        known: What may be among them.
        most: The most to name.

    Returns:
        The names, those given most first; none where nothing was given twice.

    >>> together([["a", "b"], ["b", "a", "c"], ["d"]], known="abcd")
    ('a', 'b')
    """
    sets = [{each for each in names if each in known} for names in given]
    counts = Counter(each for names in sets for each in names)
    if not counts:
        return ()
    top, often = min(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    if often < 2:
        return ()
    beside = Counter(each for names in sets if top in names for each in names)
    mostly = [each for each, count in beside.items() if 2 * count > often and count > 1]
    return tuple(sorted(mostly, key=lambda each: (-counts[each], each))[:most])


def cold(residents: Iterable[tuple[Text, Record]], *, now: float, rules: Rules) -> tuple[str, ...]:
    """Name the KV that nobody has used for long: it falls back to text."""
    return tuple(
        text.name
        for text, record in residents
        if not text.pinned and now - record.last >= rules.cold_after
    )
