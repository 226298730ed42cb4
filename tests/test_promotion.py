"""Promotion: at most twice the work of who knows the future, and never more bytes than allowed."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.promotion import (
    RULES,
    Trace,
    always,
    never,
    oracle,
    ours,
    phases,
    replay,
    zipf,
)
from memos_core.operation.policies.promotion import (
    Record,
    Rules,
    Text,
    aged,
    cold,
    drawn_price,
    pays,
    promotion,
    used,
)
from tests.conftest import Proof


class Small(Trace):
    """A trace with a budget of its own."""

    room = 10**9

    @property
    def budget(self) -> int:
        return self.room


def small(texts: list[Text], requests: list[int], room: int) -> Small:
    found = Small("small", texts, requests)
    object.__setattr__(found, "room", room)
    return found


def exact(trace: Trace) -> float:
    """The least work of who knows the future: every way of holding KV is tried."""
    names = range(len(trace.texts))
    states = [
        frozenset(some)
        for count in range(len(trace.texts) + 1)
        for some in combinations(names, count)
        if sum(trace.texts[each].size for each in some) <= trace.budget
    ]
    best = {frozenset[int](): 0.0}
    for number in trace.requests:
        text = trace.texts[number]
        after: dict[frozenset[int], float] = {}
        for before, work in best.items():
            for state in states:
                if not state <= before | {number}:
                    continue  # KV is made at a use
                made = number in state and number not in before
                cost = text.load if number in before else text.prefill
                total = work + cost + (text.make if made else 0.0)
                if total < after.get(state, float("inf")):
                    after[state] = total
        best = after
    return min(best.values())


TEXTS = st.lists(
    st.builds(
        lambda size, prefill, load, store: Text(
            name="", size=size, prefill=prefill, load=load * prefill, make=prefill * store
        ),
        st.integers(1, 9),
        st.floats(0.1, 10),
        st.floats(0, 1.2),
        st.floats(0, 4),
    ),
    min_size=1,
    max_size=3,
)


def named(texts: list[Text]) -> list[Text]:
    return [
        Text(name=str(n), size=t.size, prefill=t.prefill, load=t.load, make=t.make)
        for n, t in enumerate(texts)
    ]


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.lists(st.integers(0, 2), max_size=25))
def test_where_there_is_room_no_trace_costs_more_than_twice_the_best(
    texts: list[Text], requests: list[int]
) -> None:
    trace = small(named(texts), [each % len(texts) for each in requests], 10**6)
    work = replay(trace, ours(Rules()), Rules()).work
    assert work <= 2 * exact(trace) + 1e-9


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.lists(st.integers(0, 2), max_size=25), st.integers(0, 20))
def test_the_bytes_are_never_over_the_budget_and_the_bound_is_one(
    texts: list[Text], requests: list[int], room: int
) -> None:
    trace = small(named(texts), [each % len(texts) for each in requests], room)
    assert replay(trace, ours(Rules()), Rules()).bytes <= room
    assert replay(trace, always(), Rules()).bytes <= room
    assert oracle(trace) <= exact(trace) + 1e-6, "nobody does less than the bound"


@pytest.mark.parametrize("make", [zipf, phases])
def test_replayed_traces_cost_less_than_twice_the_oracle_never_and_always(
    make: Callable[..., Trace], proof: Proof, scaled: Callable[[int, int], int]
) -> None:
    for seed in range(scaled(2, 12)):
        trace = make(seed, count=300, requests=4_000)
        found = replay(trace, ours(RULES), RULES)
        assert found.bytes <= trace.budget
        assert found.work <= 2 * oracle(trace)
        assert found.work < replay(trace, never, RULES).work
        assert found.work < replay(trace, always(), RULES).work
    proof(f"promotion on {make.__name__} traces", seed + 1, "all under 2 x oracle")


def test_what_is_used_once_or_loads_no_faster_stays_text() -> None:
    slow = Text(name="s", size=1, prefill=1.0, load=1.5, make=1.0)
    text = Text(name="t", size=1, prefill=1.0, load=0.1, make=1.2)
    for each, uses in ((slow, 50), (text, 1)):
        record = Record()
        for now in range(uses):
            record = used(record, each, now=float(now), as_kv=False, rules=Rules())
        assert not pays(each, record, Rules())
    record = used(record, text, now=1.0, as_kv=False, rules=Rules())
    assert pays(text, record, Rules())
    assert not promotion(text, record, [], budget=0, now=1.0, rules=Rules()).promoted


def test_what_was_used_much_long_ago_goes_and_what_is_pinned_stays() -> None:
    rules = Rules(half_life=10.0, cold_after=100.0)
    old = Text(name="old", size=5, prefill=1.0, load=0.0, make=1.0)
    held = Text(name="held", size=5, prefill=1.0, load=0.0, make=1.0, pinned=True)
    new = Text(name="new", size=5, prefill=1.0, load=0.0, make=1.0)
    there = [(old, Record(50, 0.0)), (held, Record(1, 0.0))]
    wanted = Record(3, 99.0, 3.0)
    assert aged(there[0][1], 10.0, rules) == 25
    asked = {"budget": 10, "rules": rules}
    early = promotion(new, wanted, there, now=1.0, **asked)  # type: ignore[arg-type]
    late = promotion(new, wanted, there, now=99.0, **asked)  # type: ignore[arg-type]
    assert (early.promoted, late.promoted, late.demoted) == (False, True, ("old",))
    assert cold(there, now=99.0, rules=rules) == ()
    assert cold(there, now=100.0, rules=rules) == ("old",)


def test_drawn_prices_have_the_density_of_the_randomised_rule() -> None:
    rng = random.Random(5)
    prices = [drawn_price(rng.random()) for _ in range(4_000)]
    assert all(0 <= each <= 1 for each in prices)
    assert sum(prices) / len(prices) == pytest.approx(1 / (2.718281828 - 1), abs=0.01)
