"""Operations: values that come out of JSON as they went in, and refuse what they do not know."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from memos_core import Correct, Forget, Reading, Recall, Remember
from memos_core.interface.operations import MAX_OPERATIONS, MEMORY_TYPES, Span, Triple, Window

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
ZONES = st.sampled_from([UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kathmandu"),
                         timezone(timedelta(hours=-3, minutes=-30))])  # fmt: skip
TIMES = st.datetimes(datetime(1890, 1, 1), datetime(2200, 1, 1), timezones=ZONES)  # noqa: DTZ001 - hypothesis wants them so
SPANS = st.builds(
    lambda at, length, name: Span(message_id=name, start=at, end=at + length),
    st.integers(0, 99), st.integers(0, 99), st.none() | WORDS,
)  # fmt: skip
WINDOWS = st.builds(
    lambda start, days: Window(start=start, end=start + timedelta(days=days)),
    TIMES, st.integers(2, 30),
) | st.builds(Window, start=TIMES)  # fmt: skip
COMMON: dict[str, Any] = {
    "target": WORDS,
    "memory_type": st.none() | st.sampled_from(MEMORY_TYPES),
    "space": st.none() | WORDS,
    "window": st.none() | WINDOWS,
    "source": SPANS,
}
OPERATIONS = st.one_of(
    st.builds(
        Remember,
        **COMMON,
        explicit=st.booleans(),
        occurred_at=st.none() | TIMES,
        entities=st.lists(WORDS, max_size=3).map(tuple),
        triple=st.none() | st.builds(Triple, subject=WORDS, relation=WORDS, object=WORDS),
        importance=st.floats(0, 1),
        why=WORDS,
    ),
    st.builds(Recall, **COMMON),
    st.builds(Correct, **COMMON, replaces=st.none() | WORDS),
    st.builds(Forget, **COMMON),
)


@given(st.builds(Reading, operations=st.lists(OPERATIONS, max_size=4).map(tuple)))
def test_a_reading_comes_out_of_json_as_it_went_in(reading: Reading) -> None:
    dumped = reading.model_dump_json()
    loaded = Reading.model_validate_json(dumped)
    assert loaded == reading
    assert loaded.model_dump_json() == dumped
    assert [type(each) for each in loaded.operations] == [type(e) for e in reading.operations]


FORGET = {"op": "forget", "target": "tea", "source": {"start": 0, "end": 3}}
REMEMBER = FORGET | {"op": "remember"}


@pytest.mark.parametrize(
    "wrong",
    [FORGET | {"op": "erase"}, FORGET | {"op": None}, FORGET | {"explicit": True},
     FORGET | {"target": ""}, FORGET | {"target": "x" * 20_001}, FORGET | {"target": 7},
     FORGET | {"memory_type": "message"}, FORGET | {"source": None},
     FORGET | {"source": {"start": 3, "end": 0}}, FORGET | {"source": {"start": -1, "end": 0}},
     FORGET | {"source": {"start": 0, "end": 3, "uri": "x"}},
     FORGET | {"window": {"start": "2026-03-02T00:00:00"}},
     FORGET | {"window": {"start": "2026-03-02T00:00:00Z", "end": "2026-03-02T00:00:00Z"}},
     REMEMBER | {"importance": 1.5}, REMEMBER | {"importance": float("nan")},
     REMEMBER | {"entities": [""]}, REMEMBER | {"triple": {"subject": "Anna"}},
     {"target": "tea"}, "forget", None],
    ids=repr,
)  # fmt: skip
def test_nothing_else_is_revived(wrong: object) -> None:
    assert Reading.model_validate({"operations": [FORGET, REMEMBER]}).operations
    with pytest.raises(ValidationError):
        Reading.model_validate_json(json.dumps({"operations": [wrong]}))


def test_a_reading_has_its_most_operations() -> None:
    Reading.model_validate({"operations": [FORGET] * MAX_OPERATIONS})
    with pytest.raises(ValidationError):
        Reading.model_validate({"operations": [FORGET] * (MAX_OPERATIONS + 1)})


def test_a_window_holds_its_start_and_not_its_end() -> None:
    start, end = datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC)
    assert Window(start=start, end=end).holds(start)
    assert not Window(start=start, end=end).holds(end)
    assert Window(end=end).holds(start - timedelta(days=9_999))
    assert Window().holds(end)


def test_an_hour_that_a_clock_shows_twice_stays_the_one_that_was_meant() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    for fold in (0, 1):
        when = datetime(2026, 10, 25, 2, 30, tzinfo=berlin, fold=fold)
        kept = Window.model_validate_json(Window(start=when).model_dump_json())
        assert kept == Window(start=when)
        assert kept.start is not None
        assert kept.start.timestamp() == when.timestamp()
