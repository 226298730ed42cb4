"""The verbs of governance: grant, revoke, and the audit of the ledger."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from memos_core.cli.desk import Desk, usage, verb
from memos_core.cli.output import instant
from memos_core.cli.times import end_from_now
from memos_core.infrastructure.ledger import Verdict


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
    desk: Desk, grant_id: Annotated[str, typer.Argument(metavar="GRANT_ID", help="grt_…")]
) -> None:
    """Take a right back; it stops counting at once, in every process."""
    with desk.session() as session:
        session.revoke(grant_id)
    desk.screen.answer({"revoked": grant_id}, f"Revoked {grant_id}.")


@verb
def verify(desk: Desk) -> None:
    """Check every link of the audit ledger, and say what that proves."""
    with desk.memos() as memos:
        verdict = memos.verify_ledger()
    desk.screen.answer(asdict(verdict), *_in_words(verdict))
    if verdict.status == "broken":
        raise typer.Exit(1)


def _in_words(verdict: Verdict) -> list[str]:
    events = "1 event" if verdict.events == 1 else f"{verdict.events} events"
    if verdict.status == "broken":
        return [
            f"broken: the audit ledger does not hold together ({events} checked).",
            *(f"  - {problem}" for problem in verdict.problems),
            "Somebody changed it from outside, or the disk did. Keep this vault as it is, and "
            "compare it with a backup.",
        ]
    return [
        f"self-consistent: the chains of the audit ledger hold ({events}).",
        "This shows that no event was edited, removed or moved by itself.",
        "It does not show that nobody rewrote the whole ledger, or put back an older copy: who "
        "can write the vault's files can do that. Only a signed checkpoint kept elsewhere could "
        "show it, and none is kept yet.",
    ]
