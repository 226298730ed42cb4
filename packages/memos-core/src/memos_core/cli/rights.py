"""The verbs of governance: grant and revoke."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from memos_core.cli.anchoring import AnchorOption, anchors_at
from memos_core.cli.desk import Desk, usage, verb
from memos_core.cli.output import instant
from memos_core.cli.times import end_from_now


@verb
def grant(
    desk: Desk,
    to: Annotated[str, typer.Argument(metavar="TO", help="user:NAME, group:NAME, agent:NAME, …")],
    actions: Annotated[
        str,
        typer.Argument(
            metavar="ACTIONS", help="read, write, derive, share, govern; several joined by commas."
        ),
    ],
    on: Annotated[
        str,
        typer.Option("--on", metavar="SPACE|ID|*", help="A space, a memory, or * for all shared."),
    ],
    purpose_for: Annotated[
        list[str] | None,
        typer.Option(
            "--purpose-for", metavar="P", help="For which purpose; repeatable. assist if unset."
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="ISO|7d", help="When it ends.")
    ] = None,
) -> None:
    """Give somebody a right on a space and what lies under it, or on one memory."""
    ends = None
    if until is not None:
        with usage("--until"):
            ends = end_from_now(until)
    names = [name.strip() for name in actions.split(",") if name.strip()]
    with desk.session() as session:
        given = session.grant(to, names, on=on, purposes=purpose_for or ("assist",), until=ends)
    limit = f", until {instant(given.until)}" if given.until else ""
    desk.screen.answer(
        asdict(given) | {"until": given.until.isoformat() if given.until else None},
        f"Granted {given.id}: {given.to} may {', '.join(given.actions)} on {given.on} "
        f"for {', '.join(given.purposes)}{limit}.",
    )


@verb
def revoke(
    desk: Desk,
    grant_id: Annotated[str, typer.Argument(metavar="GRANT_ID", help="grt_…")],
    anchor: AnchorOption = None,
) -> None:
    """Take a right back; it stops counting at once, in every process."""
    with desk.session(anchors_at(anchor)) as session:
        session.revoke(grant_id)
    desk.screen.answer({"revoked": grant_id}, f"Revoked {grant_id}.")
