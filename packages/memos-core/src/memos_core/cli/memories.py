"""The verbs of memory: add, import, search, show, history."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer

from memos_core.cli.desk import Desk, the_ref, usage, verb
from memos_core.cli.importing import Batch, Unknown, read_file
from memos_core.cli.output import (
    facts_table,
    history_table,
    hits_table,
    indented,
    one_line,
    shorten,
)
from memos_core.cli.times import parse_end, parse_instant
from memos_core.cube import MemCube, Sensitivity
from memos_core.draft import Draft
from memos_core.errors import InvalidInputError, MemosError
from memos_core.operation.lifecycle.adding import OnKey
from memos_core.session import Session

KeyOption = Annotated[
    str | None, typer.Option("--key", help="Name it by the key that it was added with.")
]
RefArgument = Annotated[str | None, typer.Argument(metavar="REF", help="The memory's id.")]
_TAKEN: Final = {"error": "", "skip": ", taken keys skipped", "replace": ", taken keys replaced"}


class TakenKey(StrEnum):
    """What to do where a key is taken."""

    ERROR = "error"
    SKIP = "skip"
    REPLACE = "replace"


@verb
def add(  # noqa: PLR0913 - on a command line every option is a parameter
    desk: Desk,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to remember; - reads stdin.")],
    key: Annotated[
        str | None, typer.Option("--key", help="Your own name for it, unique in its space.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="A label; repeatable.")] = None,
    speaker: Annotated[str | None, typer.Option("--speaker", help="Who said it.")] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="ISO", help="When it happened: 2026-05-01T09:30+02:00."),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="ISO|7d", help="When it ends, or how long it lasts."),
    ] = None,
    sensitivity: Annotated[
        str | None,
        typer.Option("--sensitivity", help="public, internal, confidential or restricted."),
    ] = None,
    meta: Annotated[
        list[str] | None,
        typer.Option("--meta", metavar="NAME=JSON", help="E.g. year=2026, city='\"Oslo\"'."),
    ] = None,
) -> None:
    """Add one memory."""
    fields: dict[str, Any] = {"key": key, "speaker": speaker, "tags": frozenset(tag or ())}
    with usage("--meta"):
        fields["metadata"] = _metadata(meta or [])
    if at is not None:
        with usage("--at"):
            fields["occurred_at"] = parse_instant(at)
    if expires is not None:
        with usage("--expires"):
            fields["expires"] = parse_end(expires)
    if sensitivity is not None:
        with usage("--sensitivity"):
            fields["sensitivity"] = Sensitivity.parse(sensitivity)
    draft = Draft(_stdin() if text == "-" else text, **fields)
    with desk.session() as session:
        cube = session.add(draft)
    desk.screen.answer(cube.to_dict(), f"Added {cube.id} to {cube.meta.space}.")


@verb
def import_(
    desk: Desk,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help=".txt: a memory per paragraph. .md: a document per section. .jsonl: an object "
            "per line, with text (or content) and any of key, space, speaker, at, expires, tags, "
            "metadata, semantic_type, sensitivity, access, purposes, parents, valid, source.",
        ),
    ],
    on_key: Annotated[
        TakenKey,
        typer.Option("--on-key", help="Where a key is taken: stop, keep what is there, or update."),
    ] = TakenKey.ERROR,
    unknown: Annotated[
        Unknown, typer.Option("--unknown", help="Fields that no memory has: refuse, or keep.")
    ] = Unknown.ERROR,
) -> None:
    """Add all memories of files: all of a file, or nothing of it.

    Every file is read and checked before the first one is written.
    """
    done: list[dict[str, Any]] = []
    mode: OnKey = on_key.value
    try:
        with desk.screen.progress() as progress, desk.session() as session:
            reading = progress.add_task("reading files", total=len(files))
            batches = []
            for path in files:
                batches.append(read_file(path, unknown=unknown))
                progress.advance(reading)
            total = sum(len(batch.drafts) for batch in batches)
            writing = progress.add_task("writing memories", total=total)
            for batch in batches:
                ids = [cube.id for cube in _write(session, batch, mode)]
                done.append({"file": str(batch.path), "memories": len(ids), "ids": ids})
                progress.advance(writing, len(ids))
    except MemosError:
        if done:  # these files were written before another one failed, and stay
            desk.screen.answer(done, *_told(done, mode))
        raise
    desk.screen.answer(done, *_told(done, mode))


@verb
def search(
    desk: Desk,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="The question, as you ask it.")],
    k: Annotated[int, typer.Option("-k", help="The most hits.")] = 10,
    where: Annotated[
        str | None,
        typer.Option("--where", metavar="JSON", help='A filter: {"tags": "travel"}.'),
    ] = None,
    why: Annotated[bool, typer.Option("--why", help="Show the parts of each score.")] = False,
) -> None:
    """Find the memories that answer a question, among all that you may read."""
    condition = None
    if where is not None:
        with usage("--where"):
            condition = _json(where)
            if not isinstance(condition, dict):
                raise InvalidInputError('a filter is a JSON object such as {"tags": "travel"}')
    with desk.session() as session:
        hits = session.search(query, k=k, where=condition)
    for warning in hits.warnings:
        desk.screen.note(f"warning: {warning}")
    data = [{"score": hit.score, "why": dict(hit.why), "cube": hit.cube.to_dict()} for hit in hits]
    if not hits:
        desk.screen.answer(data, "Nothing was found.")
        return
    desk.screen.answer(data, hits_table(hits, why=why, wide=desk.screen.is_wide))


@verb
def show(
    desk: Desk,
    ref: RefArgument = None,
    key: KeyOption = None,
    version: Annotated[int | None, typer.Option("--version", help="An earlier one.")] = None,
) -> None:
    """Show one memory: all of its header, and all of its text."""
    with desk.session() as session:
        cube = session.get(the_ref(ref, key), version=version)
    data = cube.to_dict()
    header = cast("dict[str, Any]", data["meta"])
    desk.screen.answer(data, facts_table(header), indented(cube.text))


@verb
def history(desk: Desk, ref: RefArgument = None, key: KeyOption = None) -> None:
    """List the versions of a memory, oldest first."""
    with desk.session() as session:
        versions = session.history(the_ref(ref, key))
    data = [
        {
            "version": each.number,
            "recorded_at": each.recorded_at.isoformat(),
            "author": each.author,
            "action": each.action,
            "reason": each.reason,
            "cube": each.cube.to_dict(),
        }
        for each in versions
    ]
    desk.screen.answer(data, history_table(versions))


def _told(done: list[dict[str, Any]], mode: OnKey) -> list[str]:
    return [f"{each['file']}: {_count(each['memories'])}{_TAKEN[mode]}." for each in done]


def _write(session: Session, batch: Batch, mode: OnKey) -> list[MemCube]:
    try:
        return session.add_many(batch.drafts, on_key=mode)
    except MemosError as error:  # the same error, with the file that it is about
        raise type(error)(f"{batch.path}: {error}; nothing of it was written") from error


def _count(number: int) -> str:
    return "1 memory" if number == 1 else f"{number} memories"


def _stdin() -> str:
    try:
        return typer.get_binary_stream("stdin").read().decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InvalidInputError("what comes from stdin is not UTF-8") from error


def _metadata(pairs: list[str]) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not name or not sign:
            raise InvalidInputError(f"{one_line(pair)!r} is not NAME=JSON, e.g. year=2026")
        if name in metadata:
            raise InvalidInputError(f"{name!r} is given twice")
        metadata[name] = _json(value)
    return metadata


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"{shorten(text, 60)!r} is not JSON ({error}); a text stands in double quotes, "
            "within single quotes for the shell"
        ) from error
