"""Selection: pure policies that value candidates, and a knapsack that is never overfull."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memos_core import InvalidInputError
from memos_core.operation.policies.selection import (
    Candidate,
    arranged,
    composite,
    familiar,
    label,
    lfu,
    lru,
    priority,
    select,
    semantic,
)

ONE = [
    Candidate(id="a", score=0.9, tokens=40, uses=1, last_used=5, created=1, tags=frozenset("xy")),
    Candidate(id="b", score=0.6, tokens=10, uses=9, last_used=2, created=2, priority="high"),
    Candidate(id="c", score=-0.1, tokens=10, created=9, tags=frozenset("x"), used_for=0.8),
]


def best(worths: object) -> str:
    return max(zip(worths, "abc", strict=True))[1]  # type: ignore[call-overload]


def test_each_policy_values_what_it_is_named_for() -> None:
    assert [best(p(ONE)) for p in (semantic, lru, lfu, priority, familiar)] == list("acbbc")
    assert label({"x", "y"})(ONE) == (1.0, 0.0, 0.5)
    assert semantic(ONE)[2] == 0.0
    assert composite([(semantic, 1.0), (priority, 99.0)])(ONE)[1] > 0.9
    for policy in (semantic, lru, lfu, priority, familiar, composite([(lru, 1.0), (lfu, 2.0)])):
        assert list(policy([])) == []
        assert all(0 <= each <= 1 for each in policy(ONE))


@pytest.mark.parametrize("weights", [[], [(semantic, 0.0)], [(semantic, -1.0), (lru, 2.0)]])
def test_a_composite_of_nothing_is_refused(weights: object) -> None:
    with pytest.raises(InvalidInputError):
        composite(weights)  # type: ignore[arg-type]


def test_tags_are_a_set_and_not_a_word() -> None:
    for tags in ("travel", set()):
        with pytest.raises(InvalidInputError):
            label(tags)


SIZES = st.lists(
    st.tuples(st.integers(1, 60), st.floats(0, 1), st.integers(0, 3)), min_size=1, max_size=10
)


@settings(max_examples=300, deadline=None)
@given(SIZES, st.integers(0, 200), st.integers(0, 20))
def test_the_knapsack_is_never_overfull_and_everything_is_accounted_for(
    sizes: list[tuple[int, float, int]], budget: int, head: int
) -> None:
    there = [
        Candidate(id=str(n), score=worth, tokens=tokens, head=(str(kind),))
        for n, (tokens, worth, kind) in enumerate(sizes)
    ]
    found = select(there, [each.score for each in there], budget, head_tokens=head)
    chosen = [each for each in there if each.id in found.chosen]
    heads = {each.head for each in chosen}
    assert sum(each.tokens for each in chosen) + head * len(heads) == found.tokens <= budget
    said = [*found.chosen, *(each.id for each in found.left_out)]
    assert sorted(said) == sorted(each.id for each in there)


@settings(max_examples=200, deadline=None)
@given(SIZES, st.integers(0, 200))
def test_at_least_half_of_what_is_possible_is_reached(
    sizes: list[tuple[int, float, int]], budget: int
) -> None:
    there = [Candidate(id=str(n), score=w, tokens=t) for n, (t, w, _) in enumerate(sizes)]
    found = select(there, [each.score for each in there], budget)
    possible = max(
        sum(each.score for each in some)
        for count in range(len(there) + 1)
        for some in combinations(there, count)
        if sum(each.tokens for each in some) <= budget
    )
    reached = sum(each.score for each in there if each.id in found.chosen)
    assert reached >= possible / 2 - 1e-9


def test_duplicates_are_of_one_speaker_and_one_day_and_differ_in_no_word() -> None:
    day = 86_400_000_000
    said = [
        ("The boat leaves at nine.", "Ann", day),
        ("the boat leaves at NINE", "Ann", day + 5),
        ("The boat leaves at ten.", "Ann", day),
        ("The boat leaves at nine.", "Ben", day),
        ("The boat leaves at nine.", "Ann", 3 * day),
    ]
    there = [
        Candidate(id=str(n), score=1, tokens=1, text=text, speaker=who, when=when)
        for n, (text, who, when) in enumerate(said)
    ]
    found = select(there, [1.0] * 5, 100)
    assert [(each.id, each.why, each.of) for each in found.left_out] == [("1", "duplicate", "0")]


def test_what_does_not_hold_any_more_hides_nothing_that_does() -> None:
    there = [
        Candidate(id="old", score=1, tokens=1, text="The code is 1.", past=True),
        Candidate(id="new", score=0.5, tokens=1, text="The code is 1."),
    ]
    assert select(there, [1, 0.5], 10).chosen == ("new",)
    assert select(there, [1, 0.5], 10, past=True).chosen == ("old",)


def test_those_of_one_head_stand_together_in_the_order_of_time() -> None:
    there = [
        Candidate(id=name, score=1, tokens=1, head=(head,), when=when)
        for name, head, when in (("a", "x", 7), ("b", "y", 1), ("c", "x", 3), ("d", "y", 2))
    ]
    assert [each.id for each in arranged(there)] == ["c", "a", "b", "d"]
