"""The verbs of upkeep by itself: maintain, once; and worker, as long as it runs."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from threading import Event
from types import FrameType
from typing import Annotated, Any

import typer

from memos_core.cli.anchoring import AnchorOption, anchors_at
from memos_core.cli.desk import Desk, verb
from memos_core.cli.times import parse_age
from memos_core.results import Maintenance
from memos_core.session import Session
from memos_core.system import MemOS

AgainOption = Annotated[
    bool, typer.Option("--again", help="First let what was given up be tried again.")
]


@verb
def maintain(desk: Desk, again: AgainOption = False, anchor: AnchorOption = None) -> None:
    """Do once what is due: expiry, decay, uses, erasure; with --as, also organize."""
    with desk.memos(anchors_at(anchor)) as memos:
        if again:
            memos.try_again()
        with _watched(desk) as progress:
            told = memos.maintain(keeper=_keeper(desk, memos), progress=progress)
    desk.screen.answer(_facts(told), *_told(told))
    if told.given_up:
        raise typer.Exit(1)


@verb
def worker(
    desk: Desk,
    every: Annotated[
        str, typer.Option("--every", metavar="TIME", help="How often to look, e.g. 5s or 1m.")
    ] = "5s",
    most: Annotated[
        int | None, typer.Option("--rounds", min=1, help="Stop after so many rounds.")
    ] = None,
    anchor: AnchorOption = None,
) -> None:
    """Do what is due, again and again, until it is told to stop (Ctrl-C or SIGTERM).

    Any number of workers may run at once. What one was at is given back when it stops, and what a
    killed one was at falls to the others after a while.
    """
    pause_s, stop = parse_age(every).total_seconds(), Event()
    done, failed, rounds = Counter[str](), Counter[str](), 0
    with desk.memos(anchors_at(anchor)) as memos, _stopping(stop):
        keeper = _keeper(desk, memos)
        told = Maintenance((), {})
        while not stop.is_set() and (most is None or rounds < most):
            told = memos.maintain(keeper=keeper, stop=stop.is_set)
            rounds += 1
            done.update(told.done)
            failed.update(told.failed)
            if told.done and not desk.screen.as_json:
                desk.screen.note(f"round {rounds}: {_listed(told.done)}")
            if most is None or rounds < most:
                stop.wait(pause_s)
    told = replace(told, done=dict(done), failed=dict(failed))
    desk.screen.answer(_facts(told) | {"rounds": rounds}, *_told(told))


def _keeper(desk: Desk, memos: MemOS) -> Session | None:
    """Open the session under whose rights memories are organized, if somebody acts."""
    shared = desk.shared
    if shared.principal is None:
        return None
    return memos.session(shared.principal, space=shared.space, purpose=shared.purpose or "assist")


@contextmanager
def _watched(desk: Desk) -> Iterator[Any]:
    with desk.screen.progress() as bar:
        places: dict[str, Any] = {}

        def progress(kind: str, done: int) -> None:
            if kind not in places:
                places[kind] = bar.add_task(kind, total=None)
            bar.update(places[kind], completed=done)

        yield progress


@contextmanager
def _stopping(stop: Event) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the work in an orderly way within the block."""

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {each: signal.signal(each, end) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _facts(told: Maintenance) -> dict[str, Any]:
    return {
        "done": dict(told.done),
        "failed": dict(told.failed),
        "given_up": [asdict(each) for each in told.given_up],
        "erased": list(told.erased),
        "pending": {each: list(why) for each, why in told.pending.items()},
    }


def _told(told: Maintenance) -> list[str]:
    lines = [f"Done: {_listed(told.done)}." if told.done else "Nothing was due."]
    if told.failed:
        lines.append(f"Failed, and tried again later: {_listed(told.failed)}.")
    lines += [
        f"Given up: {each.kind} {each.subject} after {each.attempts} attempts ({each.error})."
        for each in told.given_up
    ]
    if told.given_up:
        lines.append("memos maintain --again tries what was given up once more.")
    lines += [f"Erasure {each} is pending: {'; '.join(why)}." for each, why in told.pending.items()]
    return lines


def _listed(counts: Any) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))
