"""Merging: groups that do not depend on order, and merged texts that lose nothing unnoticed."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_core.operation.policies.merging import groups_of, supports

SOURCES = [
    "Ann Lee pays $40 a month for the Atlas plan.",
    "The invoice 311 is not due before May 3, 2026 at 4pm.",
    'Bo never signed; he wrote "ask me in autumn" to Carla.',
    "Usage grew from 64% to 78% on v2.3.1, in 3 weeks.",
]
MERGED = " ".join(SOURCES)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=30), st.randoms())
def test_groups_do_not_depend_on_the_order_of_pairs(
    pairs: list[tuple[int, int]], rng: random.Random
) -> None:
    turned = [pair[::-1] if rng.random() < 0.5 else pair for pair in pairs]
    rng.shuffle(turned)
    groups = groups_of(pairs)
    assert groups == groups_of(turned)
    for one, other in pairs:
        assert one == other or sum({one, other} <= group for group in groups) == 1
    assert sum(len(group) for group in groups) == len(frozenset().union(*groups))


def test_a_long_chain_is_one_group() -> None:
    (group,) = groups_of([(n, n + 1) for n in range(50_000)])
    assert len(group) == 50_001


def test_what_keeps_everything_is_supported() -> None:
    assert not supports(SOURCES, MERGED)
    assert not supports(SOURCES, " ".join(reversed(SOURCES)))
    reworded = "Ann Lee's Atlas plan costs her 40 dollars a month."
    assert not supports(SOURCES[:1], reworded)
    assert not supports(["It ends on May 3, 2026."], "It ends on 3 May 2026.")
    assert not supports(["The rent is $900.", "The rent is $900!"], "Rent: $900. The usual.")


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("$40", "", "numbers"),
        ("$40", "$41", "numbers"),
        ("$40", "€40", "numbers"),
        ("311", "313", "numbers"),
        ("64%", "", "numbers"),
        ("78%", "87%", "numbers"),
        ("v2.3.1", "v2.3.2", "numbers"),
        ("3 weeks", "4 weeks", "numbers"),
        ("May 3", "May 4", "dates"),
        ("2026", "2025", "dates"),
        ("4pm", "4am", "dates"),
        ("Ann ", "", "names"),
        ("Carla", "Carlo", "names"),
        ("Bo", "He", "names"),
        ("Atlas", "", "names"),
        ("not ", "", "denials"),
        ("never", "always", "denials"),
        ("pays", "never pays", "denials"),
        ("ask me in autumn", "ask me in winter", "quotations"),
    ],
)
def test_every_mutant_is_noticed(old: str, new: str, kind: str) -> None:
    assert old in MERGED
    missing = supports(SOURCES, MERGED.replace(old, new, 1))
    assert getattr(missing, kind), missing


NAMES = st.sampled_from(["Ann", "Bo", "Carla", "Dmitri", "Elif", "Oslo", "Quito", "Kafka"])
FACTS = st.one_of(
    st.builds("{0} pays ${1}.".format, NAMES, st.integers(10, 9_999)),
    st.builds("{0} has not met {1}.".format, NAMES, NAMES),
    st.builds("The call with {0} is on 2026-0{1}-1{2}.".format, NAMES, st.integers(1, 9),
              st.integers(0, 9)),
    st.builds('{0} wrote "keep {1} of them".'.format, NAMES, st.integers(10, 99)),
    st.builds("{0} is at {1}% in {2}.".format, NAMES, st.integers(1, 99), NAMES),
)  # fmt: skip
TOKENS = re.compile(r"\d+|\b(?:not|Ann|Bo|Carla|Dmitri|Elif|Oslo|Quito|Kafka)\b")


@given(st.lists(FACTS, min_size=1, max_size=4, unique=True), st.data())
def test_no_lost_fact_is_accepted(facts: list[str], data: st.DataObject) -> None:
    merged = " ".join(facts)
    assert not supports(facts, merged)
    found = data.draw(st.sampled_from(list(TOKENS.finditer(merged))))
    other = data.draw(st.sampled_from(["", "someone"]))
    if found[0].isdigit():
        place = data.draw(st.integers(0, len(found[0]) - 1))
        digit = str((int(found[0][place]) + data.draw(st.integers(1, 9))) % 10)
        other = found[0][:place] + digit + found[0][place + 1 :]
    mutant = merged[: found.start()] + other + merged[found.end() :]
    gone = not re.search(rf"\b{re.escape(found[0])}\b", mutant) or found[0] == "not"
    assert supports(facts, mutant) or not gone
