"""The verbs of forgetting: forget, and erasure, which says how far it has come."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import Annotated, Final

import typer

from memos_core.cli.anchoring import AnchorOption, anchors_at
from memos_core.cli.desk import Desk, usage, verb
from memos_core.cli.times import parse_age
from memos_core.draft import Key
from memos_core.results import ForgetReport
from memos_core.session import Session

_PAUSE_S: Final = 0.2
WaitOption = Annotated[
    bool, typer.Option("--wait", help="Wait until all bytes are gone from the vault.")
]
LimitOption = Annotated[
    str, typer.Option("--at-most", metavar="TIME", help="How long to wait, e.g. 30s or 5m.")
]


@verb
def forget(
    desk: Desk,
    refs: Annotated[
        list[str] | None, typer.Argument(metavar="REF...", help="The memories' ids.")
    ] = None,
    key: Annotated[
        list[str] | None, typer.Option("--key", help="Name one by its key; repeatable.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the tombstone.")] = "",
    wait: WaitOption = False,
    limit: LimitOption = "1m",
    anchor: AnchorOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Forget memories for good, and everything that was derived from them."""
    named: list[str | Key] = [*(refs or []), *(Key(name) for name in key or [])]
    if not named:
        raise typer.BadParameter("name at least one memory", param_hint="REF or --key")
    patience_s = _patience(limit) if wait else 0.0
    with desk.session(anchors_at(anchor)) as session:
        if not yes and sys.stdin.isatty():
            what = "1 memory" if len(named) == 1 else f"{len(named)} memories"
            question = f"Forget {what} and everything derived from them, for good?"
            typer.confirm(question, abort=True, err=True)
        found = _waited(desk, session, session.forget(named, reason=reason), patience_s)
    desk.screen.answer(asdict(found), *_told(found))
    if wait and found.status == "pending":
        raise typer.Exit(1)


@verb
def erasure(
    desk: Desk,
    report: Annotated[str, typer.Argument(metavar="ERA", help="era_…, as forget printed it.")],
    wait: WaitOption = False,
    limit: LimitOption = "1m",
    anchor: AnchorOption = None,
) -> None:
    """Say how far a forgetting has come, and finish what can be finished."""
    patience_s = _patience(limit) if wait else 0.0
    with desk.session(anchors_at(anchor)) as session:
        found = _waited(desk, session, session.audit.erasure(report), patience_s)
    desk.screen.answer(asdict(found), *_told(found))
    if wait and found.status == "pending":
        raise typer.Exit(1)


def _patience(limit: str) -> float:
    with usage("--at-most"):
        return parse_age(limit).total_seconds()


def _waited(desk: Desk, session: Session, found: ForgetReport, patience_s: float) -> ForgetReport:
    """Ask again until the bytes are gone, or for as long as somebody wants to wait."""
    until = time.monotonic() + patience_s
    told: tuple[str, ...] = ()
    while found.status == "pending" and time.monotonic() < until:
        if found.pending != told:
            told = found.pending
            desk.screen.note(f"waiting: {'; '.join(told)}")
        time.sleep(_PAUSE_S)
        found = session.audit.erasure(found)
    return found


def _told(found: ForgetReport) -> list[str]:
    lines = [f"Forgot {', '.join(found.forgotten)}."]
    if found.derived:
        lines.append(f"Derived from them, and forgotten too: {', '.join(found.derived)}.")
    if found.status == "erased":
        lines.append("Their bytes are erased from the vault.")
    else:
        lines.append(f"Still holding bytes: {'; '.join(found.pending)}.")
        lines.append(f"Ask again: memos erasure {found.id} --wait")
    return [*lines, *(f"Note: {note}." for note in found.notes)]
