"""The verb that forgets, and waits until the bytes are gone."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import Annotated, Final

import typer

from memos_core.cli.desk import Desk, usage, verb
from memos_core.cli.times import parse_age
from memos_core.draft import Key
from memos_core.results import ForgetReport
from memos_core.session import Session

_PAUSE_S: Final = 0.2


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
    report: Annotated[
        str | None,
        typer.Option("--report", metavar="ERA", help="Forget nothing: ask how far one has come."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until all bytes are gone from the vault.")
    ] = False,
    limit: Annotated[
        str, typer.Option("--at-most", metavar="TIME", help="How long to wait, e.g. 30s or 5m.")
    ] = "1m",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Forget memories for good, and everything that was derived from them."""
    named: list[str | Key] = [*(refs or []), *(Key(name) for name in key or [])]
    if bool(named) == (report is not None):
        raise typer.BadParameter("name memories, or a --report", param_hint="REF, --key, --report")
    with usage("--at-most"):
        patience_s = parse_age(limit).total_seconds()
    with desk.session() as session:
        if named and not yes and sys.stdin.isatty():
            what = "1 memory" if len(named) == 1 else f"{len(named)} memories"
            question = f"Forget {what} and everything derived from them, for good?"
            typer.confirm(question, abort=True, err=True)
        found = session.audit.erasure(report) if report else session.forget(named, reason=reason)
        if wait:
            found = _waited(desk, session, found, patience_s)
    desk.screen.answer(asdict(found), *_told(found))
    if wait and found.status == "pending":
        raise typer.Exit(1)


def _waited(desk: Desk, session: Session, found: ForgetReport, patience_s: float) -> ForgetReport:
    """Ask again until the bytes are gone, or for as long as somebody wants to wait."""
    until = time.monotonic() + patience_s
    told: tuple[str, ...] = ()
    while found.status == "pending" and time.monotonic() < until:
        if found.pending != told:
            told = found.pending
            desk.screen.note(f"waiting for {'; '.join(told)}")
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
        lines.append(f"Ask again: memos forget --report {found.id} --wait")
    return [*lines, *(f"Note: {note}." for note in found.notes)]
