"""The verbs about where things come from: trace a text, and the provenance of a memory."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from memos_core.cli.desk import Desk, the_ref, verb
from memos_core.cli.output import instant, one_line, shorten
from memos_core.errors import InvalidInputError
from memos_core.operation.retrieval.provenance import Provenance


@verb
def trace(
    desk: Desk,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A text that was found elsewhere; - is stdin.")
    ],
    k: Annotated[int, typer.Option("-k", help="The most memories to show.")] = 20,
) -> None:
    """Find which memories a text came from, among those that you may read."""
    text = _read(file)
    with desk.session() as session:
        found = session.trace(text, k=k)
    data: list[dict[str, Any]] = [
        {
            "id": each.cube.id,
            "words": each.words,
            "passages": [{"start": p.start, "end": p.end, "words": p.words} for p in each.passages],
        }
        for each in found
    ]
    lines = []
    for each in found:
        lines.append(f"{each.cube.id}: {each.words} words")
        for passage in each.passages:
            quoted = shorten(one_line(text[passage.start : passage.end]))
            lines.append(f'  at {passage.start}: "{quoted}"')
    desk.screen.answer(data, *(lines or ["No memory that you may read has a passage of it."]))


@verb
def provenance(
    desk: Desk,
    ref: Annotated[str | None, typer.Argument(metavar="REF", help="mem_…")] = None,
    key: Annotated[str | None, typer.Option("--key", help="The memory's key instead.")] = None,
) -> None:
    """Say where a memory came from: author, origin, trust, signature, and its sources."""
    with desk.session() as session:
        found = session.provenance(the_ref(ref, key))
    desk.screen.answer(_data(found), *_lines(found, ""))


def _data(found: Provenance) -> dict[str, Any]:
    return {
        "id": found.cube.id,
        "version": found.cube.version,
        "author": found.author,
        "origin": found.origin,
        "recorded_at": found.recorded_at.isoformat(),
        "trust": found.trust.name.lower(),
        "signature": found.signature,
        "sources": [_data(each) for each in found.sources],
    }


def _lines(found: Provenance, indent: str) -> list[str]:
    said = shorten(one_line(found.cube.text), 80)
    lines = [
        f"{indent}{found.cube.id} version {found.cube.version}: {said}",
        f"{indent}  written by {found.author}, {instant(found.recorded_at)}"
        + (f", from {one_line(found.origin)}" if found.origin else ""),
        f"{indent}  trust {found.trust.name.lower()}, signature {found.signature}",
    ]
    for each in found.sources:
        lines += [f"{indent}  derived from:", *_lines(each, indent + "    ")]
    return lines


def _read(file: Path) -> str:
    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return raw.decode("utf-8")
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{file} is not UTF-8 text") from error
