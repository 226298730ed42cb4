"""RuleReader: what people say becomes operations, with the words, the span and the time of each."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_core import InvalidInputError, Message, Reading, Remember, RuleReader, ToolCall
from memos_core.interface.reader import MAX_READ
from tests.conftest import Proof

DATA = Path(__file__).parent / "data"
NOW = datetime(2026, 3, 11, 9, tzinfo=UTC)  # a Wednesday
EDGE = " \t\n.,;:!?'\"()\u2026-\u2013\u2014\u201c\u201d\u2018\u2019"


def read(message: str | Message, **more: Any) -> Reading:
    return RuleReader().read(message, **({"said_at": NOW} | more))


def found(text: str, **more: Any) -> list[tuple[str, str]]:
    return [(each.op, each.target) for each in read(text, **more).operations]


def bare(words: str) -> str:
    """What of a target is compared: no case, no punctuation at its ends, no opening article."""
    return re.sub(r"^(?:(?:the|a|an|that|about)\s+)+", "", words.lower().strip(EDGE))


def scores(lines: list[str]) -> tuple[float, float, float]:
    """The shares of operations, of targets and of windows that are right.

    An operation is right where there is no other kind of operation in the reading; `none`, where
    there is none. Targets and windows count for the lines that ask for something.
    """
    kinds = targets = windows = asking = 0
    for row in map(json.loads, lines):
        reading = read(row["text"], said_at=datetime.fromisoformat(row["said_at"]))
        right = ({each.op for each in reading.operations} or {"none"}) == {row["op"]}
        kinds += right
        if row["op"] == "none":
            continue
        asking += 1
        same = [each for each in reading.operations if each.op == row["op"]]
        targets += right and any(bare(each.target) == bare(row["target"]) for each in same)
        wanted = (row["window"]["from"], row["window"]["to"]) if row["window"] else None
        windows += any(days(each.window) == wanted for each in same[:1]) or not (same or wanted)
    return kinds / len(lines), targets / asking, windows / asking


def days(window: Any) -> tuple[str, str] | None:
    return window and (window.start.date().isoformat(), window.end.date().isoformat())


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("utterances", (0.95, 0.85, 0.95)),
        ("utterances_heldout", (0.85, 0.60, 0.88)),
        ("utterances_second_heldout", (0.90, 0.65, 0.95)),
    ],
)
def test_the_rules_read_what_people_say(
    name: str, least: tuple[float, float, float], proof: Proof
) -> None:
    lines = (DATA / f"{name}.jsonl").read_text("utf-8").splitlines()
    right = scores(lines)
    proof(
        f"rules that read, {name}",
        len(lines),
        "operation {:.3f}, target {:.3f}, window {:.3f}".format(*right),
    )
    assert all(got >= floor for got, floor in zip(right, least, strict=True))


@pytest.mark.parametrize("line", (DATA / "utterances_own.tsv").read_text("utf-8").splitlines())
def test_what_the_rules_are_meant_for(line: str) -> None:
    op, _, marked = line.partition("\t")
    wanted = re.search(r"\[(.*)\]", marked)
    got = found(re.sub(r"\[(.*)\]", r"\1", marked))
    assert ({each for each, _ in got} or {"none"}) == {op}
    if wanted:
        assert bare(wanted[1]) in {bare(target) for _, target in got}


@pytest.mark.parametrize(
    ("said", "op"),
    [
        ("Forget my address.", "forget"),
        ("Hey, could you please delete everything about my divorce?", "forget"),
        ("Remember that my zorbing club meets in Quux.", "remember"),
        ("ok so don't forget that I gloop on Sundays", "remember"),
        ("I gloop on Sundays. Remember that please!", "remember"),
    ],
)
def test_an_explicit_wish_is_never_lost(said: str, op: str) -> None:
    assert {each for each, _ in found(said)} == {op}


@pytest.mark.parametrize(
    "said",
    [
        "Don't forget my address.", "never delete my notes on Anna", '"Forget my address"',
        "If I say so, delete my address.", "Suppose I said: forget my wife.",
        "he told me to forget my brother", "My sister lives in Oslo, my brother in Rome.",
        'She wrote "please delete everything about me" on the wall.',
    ],
)  # fmt: skip
def test_nothing_is_forgotten_that_the_user_does_not_ask_for(said: str) -> None:
    assert "forget" not in {each for each, _ in found(said)}


def test_the_weights_can_only_lose_what_the_rules_let_through() -> None:
    away = re.compile(r"forget|delet|eras|remov|wip")
    for line in (DATA / "utterances_fitting.tsv").read_text("utf-8").splitlines():
        said = re.sub(r"\[(.*)\]", r"\1", line.partition("\t")[2])
        quoted = f'"{said.replace(chr(34), "")}"'
        if away.search(said.lower()):
            assert "forget" not in {each for each, _ in found(quoted)}, said


def test_several_sentences_give_several_operations_with_their_spans() -> None:
    said = (
        "Remember that my blood type is O negative. Forget what I said about Anna! "
        "Actually, I live in Leeds now. What did I say last week about the roof?"
    )
    reading = read(said, message_id="m7")
    assert [(each.op, each.target) for each in reading.operations] == [
        ("remember", "my blood type is O negative"),
        ("forget", "Anna"),
        ("correct", "I live in Leeds now"),
        ("recall", "the roof"),
    ]
    for each in reading.operations:
        assert each.source.message_id == "m7"
        assert said[each.source.start : each.source.end] == each.target


@pytest.mark.parametrize(
    ("said", "start", "end"),
    [
        ("What did I say last week about tea?", "2026-03-02", "2026-03-09"),
        ("What did I say yesterday about tea?", "2026-03-10", "2026-03-11"),
        ("What did I say last month about tea?", "2026-02-01", "2026-03-01"),
        ("What did I say in January about tea?", "2026-01-01", "2026-02-01"),
        ("What did I say in 2024 about tea?", "2024-01-01", "2025-01-01"),
        ("What did I say on Monday about tea?", "2026-03-09", "2026-03-10"),
        ("What did I say three days ago about tea?", "2026-03-08", "2026-03-09"),
        ("What did I say two weeks ago about tea?", "2026-02-23", "2026-03-02"),
        ("What did I say last weekend about tea?", "2026-03-07", "2026-03-09"),
        ("What did I say last summer about tea?", "2025-06-01", "2025-09-01"),
        ("What did I say on 3 March about tea?", "2026-03-03", "2026-03-04"),
        ("What did I say over the last three days about tea?", "2026-03-09", "2026-03-12"),
        ("Remember that my flight is next Tuesday", "2026-03-17", "2026-03-18"),
        ("Remember that my flight is tomorrow", "2026-03-12", "2026-03-13"),
        ("Remember that my flight is on Friday", "2026-03-13", "2026-03-14"),
        ("Remember that my exam is in two weeks", "2026-03-23", "2026-03-30"),
        ("Remember that my exam is on 2026-05-04", "2026-05-04", "2026-05-05"),
        ("Remember that my lease ends next month", "2026-04-01", "2026-05-01"),
    ],
)
def test_times_are_windows_of_the_calendar(said: str, start: str, end: str) -> None:
    [only] = read(said).operations
    assert days(only.window) == (start, end)


@pytest.mark.parametrize(
    "said",
    ["Remember that I swim every Monday", "Remember that my birthday is on 3 May",
     "Remember that I have worked there since 2019", "Remember that dinner at ours is at seven",
     "Remember that the sun is in my eyes and I may be late", "Remember that my code is 30 02 99",
     "Remember that my exam is on 31 February"],
)  # fmt: skip
def test_what_recurs_or_has_no_end_or_no_day_is_no_window(said: str) -> None:
    assert [each.window for each in read(said).operations] == [None]


def test_a_day_is_one_of_the_speakers_time_zone_also_when_clocks_change() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    late = datetime(2026, 3, 29, 23, 30, tzinfo=berlin)
    [only] = read("Remember that my flight is today at 6pm", said_at=late).operations
    assert isinstance(only, Remember)
    assert only.window is not None
    assert only.window.start == datetime(2026, 3, 29, tzinfo=berlin)
    assert only.window.end == datetime(2026, 3, 30, tzinfo=berlin)
    assert only.window.end - only.window.start == timedelta(hours=23)  # type: ignore[operator]
    assert only.occurred_at == datetime(2026, 3, 29, 18, tzinfo=berlin)
    with pytest.raises(InvalidInputError, match="naive"):
        read("Remember that I like tea", said_at=datetime(2026, 3, 1))  # noqa: DTZ001


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles"])
def test_the_machines_own_time_zone_moves_nothing(zone: str) -> None:
    script = (
        "from datetime import *\nfrom memos_core import RuleReader\n"
        "now = datetime(2026, 3, 11, 0, 30, tzinfo=timezone.utc)\n"
        "for said in ('yesterday', 'two days ago', 'in two days', 'on Monday', 'on 3 March'):\n"
        "    [only] = RuleReader().read(f'Remember that my exam is {said}', said_at=now)"
        ".operations\n"
        "    print(only.window.start.isoformat())"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True, text=True, check=True, env=os.environ | {"TZ": each},
        ).stdout
        for each in (zone, "UTC")
    ]  # fmt: skip
    assert runs[0] == runs[1]
    assert runs[0].splitlines()[:2] == ["2026-03-10T00:00:00+00:00", "2026-03-09T00:00:00+00:00"]


def test_names_triples_and_importance_are_read_too() -> None:
    [only] = read("Remember that my manager is Ines Roth").operations
    assert isinstance(only, Remember)
    assert only.entities == ("Ines Roth",)
    assert only.triple is not None
    assert (only.triple.subject, only.triple.relation, only.triple.object) == (
        "my manager", "is", "Ines Roth",
    )  # fmt: skip
    [merely] = read("My manager is Ines Roth").operations
    assert isinstance(merely, Remember)
    assert (only.explicit, merely.explicit) == (True, False)
    assert only.importance > merely.importance
    assert "asked for" in only.why
    assert "in passing" in merely.why


def test_a_prompt_template_is_known_by_its_places() -> None:
    [only] = read('Save this: "Dear {name}, your order {number} has left."').operations
    assert only.memory_type == "prompt_template"
    assert only.target == "Dear {name}, your order {number} has left"


def test_a_correction_says_what_it_replaces() -> None:
    [only] = read("My bad, the demo is on Thursday, not Wednesday").operations
    assert only.op == "correct"
    assert (only.target, only.replaces) == ("the demo is on Thursday", "Wednesday")


def test_tool_calls_and_results_are_traces() -> None:
    calls = (
        ToolCall(id="1", name="weather", arguments={"city": "Oslo"}),
        ToolCall(id="2", name="weather", arguments={"city": "Oslo"}),
    )
    said = Message(role="assistant", parts="I live to serve.", tool_calls=calls, id="m1")
    reading = read(said)
    assert [each.memory_type for each in reading.operations[-2:]] == ["tool_trace"] * 2
    assert len({each.source.start for each in reading.operations}) == len(reading.operations)
    for each in reading.operations:
        assert said.text[each.source.start : each.source.end] == each.target
    [result] = read(Message(role="tool", parts="rain, 4 degrees", tool_call_id="1")).operations
    assert (result.op, result.memory_type) == ("remember", "tool_trace")


@pytest.mark.parametrize("role", ["assistant", "system", "tool"])
def test_only_the_user_gives_orders(role: str) -> None:
    said = Message.model_validate({"role": role, "parts": "Forget my address. Where do I live?"})
    assert {each.op for each in read(said).operations} <= {"remember"}


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_any_text_is_read_and_every_span_holds_its_target(text: str) -> None:
    reading = read(text)
    for each in reading.operations:
        assert text[each.source.start : each.source.end] == each.target
    assert Reading.model_validate_json(reading.model_dump_json()) == reading
    assert read(text) == reading


WORDS = st.sampled_from(
    ["i", "my", "forget", "remember", "that", "not", ",", ".", "?", "!", ":", "-", "\u2014", "'",
     '"', "actually", "what", "did", "say", "about", "the", "last", "week", "it", "is", "mum",
     "delete", "don't", "to", "and", "but", "so", "we", "are", "Anna", "in", "January", "2019",
     "wife's", "3", "May", "between", "from"]
)  # fmt: skip


@given(st.lists(WORDS, max_size=40).map(" ".join))
def test_any_string_of_the_rules_own_words_is_read(text: str) -> None:
    for each in read(text).operations:
        assert text[each.source.start : each.source.end] == each.target


@pytest.mark.parametrize(
    "unit",
    ["a", "my ", "forget ", "i said ", "what about ", "'", '"', ", and ", "not ", "(", "is ",
     "\u4e2d", "I like tea. ", "delete my x, ", "{a}", "remember that ", "actually, no, ", "- ",
     "last week "],
    ids=repr,
)  # fmt: skip
def test_a_huge_message_ends_and_says_what_was_left_out(unit: str) -> None:
    begun = time.process_time()
    reading = read(unit * (MAX_READ // len(unit) + 100))
    assert reading.notes
    assert (
        time.process_time() - begun < 60
    )  # no figure of speed: a rule that backtracks takes hours


def test_dates_are_looked_up_only_where_there_are_any() -> None:
    script = (
        "import sys\nfrom datetime import *\nfrom memos_core import RuleReader\n"
        "RuleReader().read('Remember that I like tea', said_at=datetime.now(UTC))\n"
        "print('dateparser' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
