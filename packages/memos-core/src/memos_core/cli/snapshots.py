"""The verbs of snapshots: take, list, restore, drop."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from memos_core.cli.desk import Desk, usage, verb
from memos_core.cli.output import instant, one_line, plain
from memos_core.cli.times import parse_instant
from memos_core.operation.lifecycle.snapshotting import Snapshot

_INSTANT: Final = re.compile(r"\d{4}-\d{2}-\d{2}T.*")
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What it is called.")]
OfOption = Annotated[
    str | None, typer.Option("--of", metavar="SPACE", help="Of this space, and what is under it.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why.")]


@verb
def take(desk: Desk, name: NameArgument, of: OfOption = None, reason: ReasonOption = "") -> None:
    """Name this instant of a space."""
    with desk.session() as session:
        taken = session.snapshots.take(name, space=of, reason=reason)
    said = f"{taken.name!r} is {taken.space} as of {taken.when.isoformat()}."
    desk.screen.answer(_data(taken), said)


@verb
def list_(desk: Desk, of: OfOption = None) -> None:
    """List the snapshots of spaces that you may read."""
    with desk.session() as session:
        found = session.snapshots.list(space=of)
    table = Table("name", "space", "when", "reason", box=None, header_style="bold")
    for each in found:
        cells = (each.name, each.space, instant(each.when), each.reason)
        table.add_row(*(plain(one_line(cell)) for cell in cells))
    desk.screen.answer([_data(each) for each in found], table if found else "There are none.")


@verb
def restore(
    desk: Desk,
    to: Annotated[str, typer.Argument(metavar="NAME|ISO", help="A snapshot, or an instant.")],
    of: OfOption = None,
    reason: ReasonOption = "",
) -> None:
    """Take a space back to how it was; each change is a new version, so it can be undone."""
    when: Any = to
    if _INSTANT.fullmatch(to):
        with usage("NAME|ISO"):
            when = parse_instant(to)
    with desk.session() as session:
        done = session.snapshots.restore(when, space=of, reason=reason)
    desk.screen.answer(
        asdict(done) | {"before": done.before.isoformat()},
        f"Taken back: {len(done.changed)} changed, {len(done.archived)} archived, "
        f"{len(done.returned)} out of the archive; {len(done.frozen)} are frozen and stay.",
        f"To undo it: memos snapshot restore {done.before.isoformat()}",
    )


@verb
def drop(desk: Desk, name: NameArgument, of: OfOption = None) -> None:
    """Forget the name of an instant; what was recorded then stays as it is."""
    with desk.session() as session:
        session.snapshots.drop(name, space=of)
    desk.screen.answer({"dropped": name}, f"Dropped {name!r}.")


def _data(taken: Snapshot) -> dict[str, Any]:
    return asdict(taken) | {"when": taken.when.isoformat()}
