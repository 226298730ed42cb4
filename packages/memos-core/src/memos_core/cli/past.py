"""The verbs of time: at, diff, rollback, freeze and unfreeze, archive and unarchive."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from memos_core.cli.desk import Desk, the_ref, usage, verb
from memos_core.cli.output import hits_table, one_line, plain, shorten
from memos_core.cli.times import parse_instant
from memos_core.cube import MemCube
from memos_core.listing import list_every

RefArgument = Annotated[str | None, typer.Argument(metavar="REF", help="mem_…")]
KeyOption = Annotated[str | None, typer.Option("--key", help="The memory's key instead.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why, for the history.")]


@verb
def at(
    desk: Desk,
    when: Annotated[str, typer.Argument(metavar="ISO", help="An instant with its time zone.")],
    query: Annotated[
        str | None, typer.Argument(metavar="QUERY", help="A question; without one, all is listed.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="The most hits of a question.")] = 10,
) -> None:
    """Search or list the vault as it was recorded at an instant."""
    with usage("ISO"):
        instant = parse_instant(when)
    with desk.session() as session:
        past = session.at(instant)
        if query is not None:
            hits = past.search(query, k=k)
            data: list[Any] = [
                {"score": hit.score, "why": dict(hit.why), "cube": hit.cube.to_dict()}
                for hit in hits
            ]
            shown: Any = hits_table(hits, why=False, wide=desk.screen.is_wide) if hits else None
        else:
            cubes = list(list_every(past))
            data = [cube.to_dict() for cube in cubes]
            shown = "\n".join(f"{cube.id}: {shorten(one_line(cube.text))}" for cube in cubes)
    desk.screen.answer(data, shown or "Nothing that you may read was recorded then.")


@verb
def diff(
    desk: Desk,
    older: Annotated[int, typer.Argument(metavar="OLDER", help="The number of a version.")],
    newer: Annotated[
        int | None, typer.Argument(metavar="NEWER", help="Of another; the present one if unset.")
    ] = None,
    ref: Annotated[str | None, typer.Option("--ref", help="The memory's id: mem_…")] = None,
    key: KeyOption = None,
) -> None:
    """Show what changed between two versions of a memory."""
    with desk.session() as session:
        found = session.diff(the_ref(ref, key), older, newer)
    lines = [f"{each.path}: {_value(each.before)} → {_value(each.after)}" for each in found.changes]
    lines += found.text.splitlines()
    desk.screen.answer(asdict(found), *(lines or ["Nothing changed."]))


@verb
def rollback(
    desk: Desk,
    version: Annotated[int, typer.Argument(metavar="VERSION", help="The one to go back to.")],
    ref: Annotated[str | None, typer.Option("--ref", help="The memory's id: mem_…")] = None,
    key: KeyOption = None,
    reason: ReasonOption = "",
) -> None:
    """Take a memory back: a new version that equals an earlier one."""
    with desk.session() as session:
        cube = session.rollback(the_ref(ref, key), version, reason=reason)
    _answer(desk, cube, f"{cube.id} is at version {cube.version}, which equals version {version}.")


@verb
def freeze(
    desk: Desk, ref: RefArgument = None, key: KeyOption = None, reason: ReasonOption = ""
) -> None:
    """Keep a memory from changing, until it is unfrozen."""
    with desk.session() as session:
        cube = session.freeze(the_ref(ref, key), reason=reason)
    _answer(desk, cube, f"{cube.id} is frozen.")


@verb
def unfreeze(
    desk: Desk, ref: RefArgument = None, key: KeyOption = None, reason: ReasonOption = ""
) -> None:
    """Let a frozen memory change again."""
    with desk.session() as session:
        cube = session.unfreeze(the_ref(ref, key), reason=reason)
    _answer(desk, cube, f"{cube.id} may change again.")


@verb
def archive(
    desk: Desk, ref: RefArgument = None, key: KeyOption = None, reason: ReasonOption = ""
) -> None:
    """Put a memory away: searches leave it out until it is taken out of the archive."""
    with desk.session() as session:
        cube = session.archive(the_ref(ref, key), reason=reason)
    _answer(desk, cube, f"{cube.id} is archived.")


@verb
def unarchive(
    desk: Desk, ref: RefArgument = None, key: KeyOption = None, reason: ReasonOption = ""
) -> None:
    """Take a memory out of the archive."""
    with desk.session() as session:
        cube = session.unarchive(the_ref(ref, key), reason=reason)
    _answer(desk, cube, f"{cube.id} is out of the archive.")


def _answer(desk: Desk, cube: MemCube, line: str) -> None:
    desk.screen.answer(cube.to_dict(), plain(line))


def _value(value: Any) -> str:
    return "nothing" if value is None else shorten(json.dumps(value, ensure_ascii=False), 120)
