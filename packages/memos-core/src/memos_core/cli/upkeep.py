"""The verbs of upkeep: init and doctor."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from memos_core.cli.desk import Desk, verb
from memos_core.cli.output import facts_table
from memos_core.settings import Settings


@verb
def init(
    desk: Desk,
    owner: Annotated[
        str | None,
        typer.Option(
            "--owner",
            metavar="user:NAME",
            help="Who governs its shared spaces; by default who acts (--as), else user:owner.",
        ),
    ] = None,
) -> None:
    """Make a vault."""
    chosen = owner or desk.shared.principal or Settings().owner
    desk.make(chosen)
    data: dict[str, Any] = {"vault": str(desk.root), "owner": chosen}
    lines = [f"Made a vault at {desk.root}. {chosen} governs its shared spaces."]
    if desk.shared.embedder is not None:
        lines.append(
            "It remembers its embedder from the first memory on; until then, name it: "
            f"--embedder {desk.shared.embedder}"
        )
    desk.screen.answer(data | {"embedder": desk.shared.embedder}, *lines)


@verb
def doctor(desk: Desk) -> None:
    """Examine the vault: the database, every memory, every journal."""
    with desk.memos() as memos:
        found = memos.diagnose()
    shown: list[Any] = [facts_table(found.facts)]
    if found.problems:
        shown += ["", "Problems:", *(f"  - {each}" for each in found.problems)]
    else:
        shown += ["", "No problems found."]
    if found.advice:
        shown += ["", "Advice:", *(f"  - {each}" for each in found.advice)]
    desk.screen.answer({"healthy": found.is_healthy} | asdict(found), *shown)
    if not found.is_healthy:
        raise typer.Exit(1)
