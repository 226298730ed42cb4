"""A month with Alice: she talks, and memory keeps up by itself.

Run it with `make demo`, or `python examples/a_month_with_alice.py [--embedder NAME]`. The clock is
simulated. Alice says something now and then; nobody calls a verb of memory but `hear`, and a worker
does its round each night. After each week ten questions are asked, and what a prompt would be given
for them is held against what is true by then. A line with a tick is a claim that was checked just
before it was printed; if one does not hold, the example stops with exit code 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from rich.console import Console
from rich.table import Table

from memos_core import MemOS, NotFoundError, Session, embedder_named
from memos_core.testing import ManualClock

CONSOLE: Final = Console(width=110)
START: Final = datetime(2026, 4, 6, 9, tzinfo=UTC)  # a Monday
BUDGET: Final = 220

SAID: Final[Mapping[int, Sequence[str]]] = {
    0: ("Remember that I live in Leeds.", "Please remember that I'm allergic to peanuts."),
    1: ("Remember that the exhibition opens on May 12.", "My favourite colour is green."),
    2: (
        "Remember that the budget of the exhibition is $4,000.",
        "I work on the catalogue project.",
    ),
    3: ("I drink tea with my breakfast.", "Remember that my doctor is called Patel."),
    4: ("My sister Ruth lives in Hull.", "Remember that Tom and I broke up in March."),
    7: ("I was wrong, the exhibition opens on May 19.",),
    8: ("Remember that Finance raised the budget of the exhibition to $5,500.",),
    10: ("I now drink coffee with my breakfast instead of tea.",),
    11: ("What did I say last week about my doctor?",),
    14: ("Correction: the exhibition opens on May 26.",),
    15: ("I moved from Leeds to York.",),
    16: ("Please forget what I said about Tom.",),
    21: ("Remember that my favourite colour is now blue.",),
    22: ("Remember that I finished the catalogue project.",),
    23: ("Remember that my doctor is called Patel.",),
}
"""What Alice says, by the day."""


@dataclass(frozen=True)
class Question:
    """What is asked each week.

    Args:
        text: The question.
        true: By the week from which it holds, what the context must hold.
        over: By the week from which it no longer holds, what must not stand there as current.
    """

    text: str
    true: Mapping[int, str]
    over: Mapping[int, str]


QUESTIONS: Final = (
    Question("Where do I live?", {1: "Leeds", 3: "York"}, {3: "live in Leeds"}),
    Question(
        "When does the exhibition open?",
        {1: "May 12", 2: "May 19", 3: "May 26"},
        {2: "May 12", 3: "May 19"},
    ),
    Question("What is the budget of the exhibition?", {1: "$4,000", 2: "$5,500"}, {2: "$4,000"}),
    Question("What do I drink with my breakfast?", {1: "tea", 2: "coffee"}, {2: "drink tea"}),
    Question("What is my favourite colour?", {1: "green", 4: "blue"}, {4: "green"}),
    Question(
        "Do I work on the catalogue project?", {1: "work on", 4: "finished"}, {4: "I work on"}
    ),
    Question("What am I allergic to?", {1: "peanuts"}, {}),
    Question("What is my doctor called?", {1: "Patel"}, {}),
    Question("Where does my sister live?", {1: "Hull"}, {}),
    Question("What happened with Tom?", {1: "Tom"}, {3: "Tom"}),
)


class WrongError(Exception):
    """A claim did not hold."""


def check(holds: bool, claim: str) -> None:
    """Print a claim that holds; stop at one that does not."""
    if not holds:
        raise WrongError(claim)
    CONSOLE.print(f"[green]✓[/] {claim}")


def true_now(question: Question, week: int) -> str | None:
    """Return what is true in a week; None where what was is to be forgotten."""
    known = [each for each in question.true if each <= week]
    found = question.true[max(known)]
    return (
        None if found in [gone for since, gone in question.over.items() if since <= week] else found
    )


def answered(alice: Session, question: Question) -> list[str]:
    """Return what a prompt would be given for a question as what holds now."""
    context = alice.context(question.text, budget_tokens=BUDGET)
    if context.tokens > BUDGET:
        raise WrongError(f"a context cost {context.tokens} tokens")
    return [item.text for item in context.items if item.until == "-"]


def ask(alice: Session, week: int, table: dict[str, list[str]]) -> None:
    """Ask the ten questions, and hold the contexts against what is true by then."""
    right = stale = 0
    for question in QUESTIONS:
        texts, wanted = answered(alice, question), true_now(question, week)
        over = [gone for since, gone in question.over.items() if since <= week]
        hit = wanted is None or any(wanted in text for text in texts)
        wrong = [text for text in texts if any(gone in text for gone in over)]
        right += hit
        stale += bool(wrong)
        shown = next((t for t in texts if wanted is not None and wanted in t), "(nothing)")
        table.setdefault(question.text, []).append(
            shown if hit and not wrong else f"WRONG: {texts}"
        )
        if not hit or wrong:
            CONSOLE.print(f"[red]{question.text} {wanted!r}: {texts}[/]")
    check(
        right == len(QUESTIONS), f"week {week}: {right} of {len(QUESTIONS)} hold what is true now"
    )
    check(stale == 0, f"week {week}: nothing that is over or forgotten stands there as current")


def live(memos: MemOS, clock: ManualClock) -> tuple[dict[str, list[str]], list[str]]:
    """Let the month go by; return what each question was answered with, and what was forgotten."""
    alice, table, gone = memos.session("user:alice"), dict[str, list[str]](), list[str]()
    for day in range(28):
        clock.set(START + timedelta(days=day))
        for text in SAID.get(day, ()):
            heard = alice.hear(text)
            for outcome in heard.outcomes:
                CONSOLE.print(f"[dim]day {day + 1:2}[/] {text} [cyan]{outcome.action}[/]")
                gone += outcome.cubes if outcome.action == "forgotten" else ()
            if not heard.outcomes:
                raise WrongError(f"nothing was made of {text!r}")
        clock.turn(timedelta(hours=14))
        memos.maintain(keeper=alice)
        if day % 7 == 6:
            ask(alice, day // 7 + 1, table)
    return table, gone


def look_back(memos: MemOS, gone: Sequence[str]) -> None:
    """Ask what was believed two weeks in, and what became of what was to be forgotten."""
    alice = memos.session("user:alice")
    then = alice.at(START + timedelta(days=13, hours=15))
    believed = then.context("When does the exhibition open?", budget_tokens=BUDGET)
    current = [item.text for item in believed.items if item.until == "-"]
    check(
        any("May 19" in text for text in current) and not any("May 26" in t for t in current),
        "two weeks in, the exhibition was to open on May 19, and that is still told",
    )
    tea = then.search("What do I drink with my breakfast?")[0]
    why = ", ".join(f"{name} {value:.2f}" for name, value in tea.why.items())
    check("coffee" in tea.text, f"and that she drank coffee by then: {tea.text!r} ({why})")
    (opening,) = [h for h in alice.search("exhibition opens", k=50) if h.text.endswith("May 12")]
    versions = " → ".join(f"{each.action}" for each in alice.history(opening.id))
    check(len(alice.history(opening.id)) > 1, f"what was corrected has its history: {versions}")
    check(
        not any("Tom" in text for text in [*then.search("Tom", k=50).texts, *current]),
        "what was forgotten is in no past either",
    )
    for each in gone:
        try:
            alice.get(each)
        except NotFoundError:
            continue
        raise WrongError("a forgotten memory was read")
    told = len(alice.audit.query(action="forget"))
    check(bool(gone) and told > 0, f"the ledger tells of {told} forgetting, and nobody can read it")
    patel = [each.text for each in alice.get_all() if "Patel" in each.text]
    check(len(patel) == 1, "what was said twice was kept once")


def draw(table: Mapping[str, Sequence[str]]) -> None:
    """Show what each question was answered with, week by week."""
    shown = Table(title="What a prompt was given, week by week", show_lines=True)
    shown.add_column("question", style="bold")
    for week in range(1, 5):
        shown.add_column(f"week {week}")
    for question, answers in table.items():
        shown.add_row(question, *answers)
    CONSOLE.print(shown)


def main() -> int:
    """Live the month."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embedder", help="an embedder that MemOS brings, e.g. hashing-256")
    name = parser.parse_args().embedder
    embedder = embedder_named(name) if name else None
    clock = ManualClock(START)
    with tempfile.TemporaryDirectory() as folder:
        place = f"{folder}/vault"
        with MemOS.open(place, embedder=embedder, clock=clock) as memos:
            try:
                table, gone = live(memos, clock)
                draw(table)
                look_back(memos, gone)
            except WrongError as error:
                CONSOLE.print(f"[red]✗ {error}[/]")
                return 1
            check(memos.verify_ledger().status == "self-consistent", "and the ledger holds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
