"""Promotion of text to KV on replayed traces: prefill work beside an oracle, never and always.

A trace is a sequence of texts that prompts begin with. Reading text costs its prefill, reading its
KV the load, and whoever makes KV at a use pays for that on top: a prefill and the storing where a
worker makes it afterwards, the storing alone where the state of that very prompt is kept (`kept`).
Costs and sizes are those that `benchmarks.kv` measured. `zipf`: 2,000 texts, the n-th used 1/n as
often. `phases`: the order of the texts changes every 2,000 requests. The oracle is a bound: no way
of holding KV within the budget, whatever it knows of the future, can do less work.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from benchmarks.common import Report, options
from memos_core.memory.eviction import Resident, evictions, priority_of
from memos_core.operation.policies.promotion import (
    Promotion,
    Record,
    Rules,
    Text,
    drawn_price,
    promotion,
    used,
)

SEEDS: Final = 3
TEXTS: Final = 2_000
REQUESTS: Final = 20_000
PHASE: Final = 2_000
SHARE: Final = 0.05
"""The budget: this share of what the KV of all texts would take."""
BYTES_PER_TOKEN: Final = 73_734
PREFILL_S: Final = 0.0040
LOAD_S: Final = 0.0002
"""Seconds for each token; `benchmarks.kv` on one CPU thread, less the query's own."""
MAKE: Final = {"worker": 1.1, "kept": 0.1}
"""What making KV costs beside the use, as a share of a prefill: storing is a tenth."""

Residents = Sequence[tuple[Text, Record]]
Decide = Callable[[Text, Record, Residents, int, float], Promotion]


@dataclass(frozen=True)
class Trace:
    """Texts, and the order in which they are used, one each second."""

    name: str
    texts: Sequence[Text]
    requests: Sequence[int]

    @property
    def budget(self) -> int:
        """The most bytes of KV."""
        return int(SHARE * sum(each.size for each in self.texts))


@dataclass(frozen=True)
class Replayed:
    """What a replay cost, in seconds of work, and the most bytes that were held."""

    work: float
    bytes: int
    promoted: int


def texts(rng: random.Random, count: int, make: float) -> list[Text]:
    """Draw texts of 50 to 5,000 tokens, most of them short."""
    made = []
    for number in range(count):
        tokens = int(50 * 100 ** rng.random())
        prefill = tokens * PREFILL_S
        made.append(
            Text(
                name=f"t{number}",
                size=tokens * BYTES_PER_TOKEN,
                prefill=prefill,
                load=tokens * LOAD_S,
                make=prefill * make,
            )
        )
    return made


def zipf(seed: int, *, make: float = 1.1, count: int = TEXTS, requests: int = REQUESTS) -> Trace:
    """Draw a trace in which the n-th text is used 1/n as often as the first."""
    rng = random.Random(seed)
    weights = [1 / n for n in range(1, count + 1)]
    return Trace("zipf", texts(rng, count, make), rng.choices(range(count), weights, k=requests))


def phases(seed: int, *, make: float = 1.1, count: int = TEXTS, requests: int = REQUESTS) -> Trace:
    """Draw a trace like that, whose order of texts changes with each phase."""
    rng = random.Random(seed)
    weights = [1 / n for n in range(1, count + 1)]
    order = list(range(count))
    found: list[int] = []
    while len(found) < requests:
        rng.shuffle(order)
        found += [order[n] for n in rng.choices(range(count), weights, k=PHASE)]
    return Trace("phases", texts(rng, count, make), found[:requests])


def replay(trace: Trace, decide: Decide, rules: Rules) -> Replayed:
    """Replay a trace."""
    records = [Record() for _ in trace.texts]
    place = {each.name: number for number, each in enumerate(trace.texts)}
    kv: dict[int, None] = {}
    work, held, most, promoted = 0.0, 0, 0, 0
    for now, number in enumerate(trace.requests):
        text, as_kv = trace.texts[number], number in kv
        records[number] = used(records[number], text, now=float(now), as_kv=as_kv, rules=rules)
        work += text.load if as_kv else text.prefill
        if as_kv:
            continue
        residents = [(trace.texts[each], records[each]) for each in kv]
        done = decide(text, records[number], residents, trace.budget, float(now))
        for name in done.demoted:
            del kv[place[name]]
            held -= trace.texts[place[name]].size
        if done.promoted:
            kv[number] = None
            held, promoted, work = held + text.size, promoted + 1, work + text.make
        most = max(most, held)
    return Replayed(work, most, promoted)


def ours(rules: Rules) -> Decide:
    """Return the policy."""

    def decide(
        text: Text, record: Record, residents: Residents, budget: int, now: float
    ) -> Promotion:
        return promotion(text, record, residents, budget=budget, now=now, rules=rules)

    return decide


def drawn(rules: Rules, seed: int) -> Decide:
    """Return the policy with a price that is drawn anew for each decision to be made."""
    rng = random.Random(seed)
    prices: dict[str, float] = {}

    def decide(
        text: Text, record: Record, residents: Residents, budget: int, now: float
    ) -> Promotion:
        price = prices.setdefault(text.name, drawn_price(rng.random()))
        mine = replace(rules, price=price)
        done = promotion(text, record, residents, budget=budget, now=now, rules=mine)
        if done.promoted:
            del prices[text.name]
        return done

    return decide


def never(*_facts: object) -> Promotion:
    """Leave everything text."""
    return Promotion(promoted=False)


def always() -> Decide:
    """Make KV of everything at its first use; greedy-dual-size-frequency makes room."""
    clock, seen = 0.0, dict[str, tuple[float, float]]()

    def decide(
        text: Text, record: Record, residents: Residents, budget: int, _now: float
    ) -> Promotion:
        nonlocal clock
        for each, its in [*residents, (text, record)]:
            if seen.get(each.name, (0.0, -1.0))[1] != its.last:  # used since
                seen[each.name] = (clock, its.last)
        there = [
            Resident(
                each.name,
                each.size,
                priority_of(
                    clock=seen[each.name][0],
                    uses=int(its.uses) + 1,
                    cost=each.saved,
                    size=each.size,
                ),
            )
            for each, its in residents
        ]
        plan = evictions(there, needed=text.size, budget=budget, clock=clock)
        clock = plan.clock
        return Promotion(plan.fits, plan.names)

    return decide


def oracle(trace: Trace) -> float:
    """Return a bound: the least work of anybody who knows the future.

    KV saves at a use if it was held since the use before, which takes its size for that time. All
    that is held at any time is within the budget, so that its bytes times seconds are at most the
    budget times the trace's length. What can be saved at most within that, where each text is made
    at least once if it saves anything and parts count as parts, is a fractional knapsack over the
    upper concave hulls of the texts' savings.
    """
    at: dict[int, list[int]] = {}
    for now, number in enumerate(trace.requests):
        at.setdefault(number, []).append(now)
    pieces: list[tuple[float, float]] = []  # bytes times seconds, seconds saved
    free = 0.0
    for number, times in at.items():
        text = trace.texts[number]
        gaps = sorted(b - a for a, b in pairwise(times))
        points, room = [(0.0, 0.0), (0.0, max(text.saved - text.make, 0.0))], 0.0
        for uses, gap in enumerate(gaps, start=2):
            room += gap * float(text.size)
            points.append((room, max(uses * text.saved - text.make, 0.0)))
        hull = _hull(points)
        free += hull[0][1]
        pieces += [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(hull)]
    left, saved = float(trace.budget) * len(trace.requests), free
    for room, gain in sorted(pieces, key=lambda piece: -piece[1] / max(piece[0], 1e-12)):
        part = min(1.0, left / room) if room else 1.0
        saved += gain * part
        left -= room * part
        if left <= 0:
            break
    return sum(trace.texts[number].prefill for number in trace.requests) - saved


def _hull(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the upper concave hull of points that are sorted by their first number."""
    best: dict[float, float] = {}
    for room, gain in points:
        best[room] = max(gain, best.get(room, 0.0))
    hull: list[tuple[float, float]] = []
    for point in sorted(best.items()):
        while len(hull) > 1 and (hull[-1][1] - hull[-2][1]) * (point[0] - hull[-2][0]) <= (
            point[1] - hull[-2][1]
        ) * (hull[-1][0] - hull[-2][0]):
            hull.pop()
        hull.append(point)
    return hull


RULES: Final = Rules(half_life=1_000.0)
"""A request a second; the default half-life is in days."""


def measure(report: Report, name: str, made: Sequence[Trace]) -> None:
    """Replay traces in every way."""
    bounds = [oracle(each) for each in made]
    ways: dict[str, Callable[[int], Decide]] = {
        "ours": lambda _seed: ours(RULES),
        "drawn": lambda seed: drawn(RULES, seed),
        "never": lambda _seed: never,
        "always": lambda _seed: always(),
    }
    report.add(f"{name}.oracle", sum(bounds), "seconds of work, at least")
    over = 0
    for label, way in ways.items():
        found = [replay(each, way(n), RULES) for n, each in enumerate(made)]
        work = sum(each.work for each in found)
        report.add(f"{name}.{label}", work / sum(bounds), "x oracle")
        if label == "ours":
            worst = max(f.work / bound for f, bound in zip(found, bounds, strict=True))
            report.add(f"{name}.{label}.worst", worst, "x oracle, the worst seed")
        over += sum(f.bytes > t.budget for f, t in zip(found, made, strict=True))
        report.add(f"{name}.{label}.promoted", sum(f.promoted for f in found), "times")
    report.add(f"{name}.over_budget", over, "replays with too many bytes")


def main() -> None:
    """Run the benchmark."""
    arguments = options(__doc__).parse_args()
    report = Report(f"Promotion: {REQUESTS:,} requests, {TEXTS:,} texts, {SEEDS} seeds", "")
    for how, make in MAKE.items():
        for draw in (zipf, phases):
            made = [draw(seed, make=make) for seed in range(SEEDS)]
            measure(report, f"promotion.{how}.{draw.__name__}", made)
    report.finish(arguments.json)


if __name__ == "__main__":
    main()
