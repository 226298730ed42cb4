"""The verbs of oversight: explaining, quarantine, trust, holds, quotas, groups, clearances."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from memos_core.cli.desk import Desk, usage, verb
from memos_core.cli.output import facts_table, instant, one_line, plain
from memos_core.cli.times import end_from_now
from memos_core.infrastructure.governance.grants import Grant

ReasonOption = Annotated[str, typer.Option("--reason", help="Why, for the record.")]


@verb
def explain(
    desk: Desk,
    who: Annotated[str, typer.Argument(metavar="WHO", help="user:NAME, agent:NAME, …")],
    action: Annotated[
        str, typer.Argument(metavar="ACTION", help="read, write, derive, share or govern.")
    ],
    on: Annotated[str, typer.Argument(metavar="SPACE|ID|*", help="A space, a memory, or *.")],
) -> None:
    """Say which grant allows something, or what is missing."""
    with desk.session() as session:
        found = session.governance.explain(who, action.split(","), on)
    lines = [f"{found.principal} may {'' if found.allowed else 'not '}{found.action} {found.on}."]
    lines += [f"  allowed by: {each}" for each in found.grants]
    lines += [f"  missing: {each}" for each in found.missing]
    desk.screen.answer(asdict(found), *lines)
    if not found.allowed:
        raise typer.Exit(1)


@verb
def grants(
    desk: Desk,
    on: Annotated[
        str | None, typer.Option("--on", metavar="SPACE|ID|*", help="Only those on just this.")
    ] = None,
) -> None:
    """List the grants that were given to you, and those on what you govern."""
    with desk.session() as session:
        found = session.governance.grants(on=on)
    data = [asdict(each) | {"until": _iso(each)} for each in found]
    desk.screen.answer(data, _grants_table(found) if found else "No grants.")


@verb
def quarantine(
    desk: Desk,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A principal, or an origin: import:notes.md.")
    ],
    on: Annotated[
        str, typer.Option("--on", metavar="SPACE|*", help="Where; * is the whole vault.")
    ] = "*",
    reason: ReasonOption = "",
) -> None:
    """Hide all that a source brought, and all that was derived from it, until it is released."""
    with desk.session() as session:
        made = session.governance.quarantine(source, on=on, reason=reason)
    desk.screen.answer(
        asdict(made), f"{source} is in quarantine on {on}: end it with memos release {made.id}."
    )


@verb
def release(
    desk: Desk,
    quarantine_id: Annotated[str, typer.Argument(metavar="QUARANTINE_ID", help="qtn_…")],
) -> None:
    """End a quarantine."""
    with desk.session() as session:
        session.governance.release(quarantine_id)
    desk.screen.answer({"released": quarantine_id}, f"Released {quarantine_id}.")


@verb
def trust(
    desk: Desk,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A principal, or an origin.")],
    level: Annotated[str, typer.Argument(metavar="LEVEL", help="low, normal or high.")],
) -> None:
    """Set how far a source is trusted."""
    with desk.session() as session:
        session.governance.set_trust(source, level)
    desk.screen.answer({"source": source, "trust": level}, f"The trust of {source} is {level}.")


@verb
def hold(
    desk: Desk,
    on: Annotated[str, typer.Argument(metavar="SPACE|ID|*", help="A space, a memory, or *.")],
    reason: ReasonOption = "",
    until: Annotated[
        str | None, typer.Option("--until", metavar="ISO|7d", help="When it ends by itself.")
    ] = None,
) -> None:
    """Forbid forgetting: a hold beats forget, and says so."""
    ends = None
    if until is not None:
        with usage("--until"):
            ends = end_from_now(until)
    with desk.session() as session:
        made = session.governance.hold(on, reason=reason, until=ends)
    data = asdict(made) | {"until": None if ends is None else ends.isoformat()}
    limit = f" until {instant(ends)}" if ends else ""
    desk.screen.answer(data, f"{on} is held{limit}: end it with memos lift {made.id}.")


@verb
def lift(
    desk: Desk, hold_id: Annotated[str, typer.Argument(metavar="HOLD_ID", help="hld_…")]
) -> None:
    """End a retention hold."""
    with desk.session() as session:
        session.governance.lift(hold_id)
    desk.screen.answer({"lifted": hold_id}, f"Lifted {hold_id}.")


@verb
def quota(
    desk: Desk,
    subject: Annotated[
        str, typer.Argument(metavar="WHO|SPACE", help="A principal, or a shared space.")
    ],
    cubes: Annotated[int | None, typer.Option("--memories", help="The most memories.")] = None,
    size_bytes: Annotated[int | None, typer.Option("--bytes", help="The most bytes.")] = None,
    reads_per_day: Annotated[
        int | None, typer.Option("--reads-per-day", help="The most reads in 24 hours.")
    ] = None,
) -> None:
    """Limit what a principal owns and reads, or what a space holds; no limit ends the quota."""
    with desk.session() as session:
        made = session.governance.set_quota(
            subject, cubes=cubes, size_bytes=size_bytes, reads_per_day=reads_per_day
        )
    data: dict[str, Any] = asdict(made)
    desk.screen.answer(data, facts_table({name: _limit(value) for name, value in data.items()}))


@verb
def join(
    desk: Desk,
    group: Annotated[str, typer.Argument(metavar="GROUP", help="group:NAME")],
    member: Annotated[str, typer.Argument(metavar="MEMBER", help="A principal or a group.")],
) -> None:
    """Put a principal or a group into a group."""
    with desk.session() as session:
        session.add_member(group, member)
    desk.screen.answer({"group": group, "joined": member}, f"{member} is in {group}.")


@verb
def leave(
    desk: Desk,
    group: Annotated[str, typer.Argument(metavar="GROUP", help="group:NAME")],
    member: Annotated[str, typer.Argument(metavar="MEMBER", help="A principal or a group.")],
) -> None:
    """Take a principal or a group out of a group."""
    with desk.session() as session:
        session.remove_member(group, member)
    desk.screen.answer({"group": group, "left": member}, f"{member} is not in {group}.")


@verb
def clearance(
    desk: Desk,
    who: Annotated[str, typer.Argument(metavar="WHO", help="user:NAME, agent:NAME, …")],
    level: Annotated[
        str,
        typer.Argument(metavar="LEVEL", help="public, internal, confidential or restricted."),
    ],
) -> None:
    """Set how sensitive a memory, or a part of one, somebody may see in shared spaces."""
    with desk.session() as session:
        session.set_clearance(who, level)
    desk.screen.answer(
        {"principal": who, "clearance": level}, f"The clearance of {who} is {level}."
    )


def _limit(value: Any) -> Any:
    return "no limit" if value is None else value


def _iso(grant: Grant) -> str | None:
    return None if grant.until is None else grant.until.isoformat()


def _grants_table(found: list[Grant]) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    for name in ("grant", "to", "may", "on", "for", "until"):
        table.add_column(name, overflow="fold")
    for each in found:
        cells = (
            *(each.id, each.to, ", ".join(each.actions), each.on),
            *(", ".join(each.purposes), instant(each.until)),
        )
        table.add_row(*(plain(one_line(cell)) for cell in cells))
    return table
