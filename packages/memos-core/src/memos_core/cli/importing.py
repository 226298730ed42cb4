"""Importing: files of text, Markdown or JSON lines, read into drafts; all of a file or nothing.

A file is read and checked to its end before anything is written. What is wrong with it is said with
its name and line: `notes.jsonl:3: unknown field 'speker' …`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from memos_core.cli.markdown import sections
from memos_core.cli.output import one_line
from memos_core.cli.times import parse_end, parse_instant
from memos_core.clock import SystemClock
from memos_core.content import Content, Document, first_problem
from memos_core.cube import Source
from memos_core.draft import Draft, Interval
from memos_core.errors import InvalidInputError
from memos_core.operation.lifecycle.adding import check_draft
from memos_core.settings import Settings


class Unknown(StrEnum):
    """What to do with a field that no memory has."""

    ERROR = "error"
    METADATA = "metadata"


@dataclass(frozen=True, slots=True)
class Batch:
    """What one file holds.

    Args:
        path: The file, as it was named.
        drafts: Its memories, in order.
    """

    path: Path
    drafts: tuple[Draft, ...]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Span(_Strict):
    start: str | None = None
    end: str | None = None


class _Place(_Strict):
    uri: str | None = None
    message_id: str | None = None
    span: tuple[int, int] | None = None


class _Line(_Strict):
    """An object of a JSON-lines file: a draft's fields, with `text` and `at` for short."""

    model_config = ConfigDict(strict=True, extra="allow")

    text: str | None = None
    content: JsonValue = None
    at: str | None = None
    occurred_at: str | None = None
    expires: str | None = None
    valid: _Span | None = None
    source: str | _Place | None = None
    key: str | None = None
    space: str | None = None
    speaker: str | None = None
    semantic_type: str | None = None
    sensitivity: str | None = None
    priority: str | None = None
    tags: frozenset[str] | None = None
    access: frozenset[str] | None = None
    purposes: frozenset[str] | None = None
    parents: tuple[str, ...] | None = None
    metadata: dict[str, JsonValue] | None = None
    field_sensitivity: dict[str, str] | None = None


_AS_GIVEN: Final = (
    *("key", "space", "speaker", "semantic_type", "sensitivity", "priority", "tags", "access"),
    *("purposes", "parents", "field_sensitivity"),
)
_MEANT: Final[Mapping[str, str]] = {
    "author": "speaker",
    "body": "text",
    "created_at": "at",
    "date": "at",
    "id": "key",
    "message": "text",
    "meta": "metadata",
    "name": "speaker",
    "page_content": "text",
    "role": "speaker",
    "time": "at",
    "timestamp": "at",
    "type": "semantic_type",
    "user": "speaker",
}
"""What other programs call it."""


def read_file(path: Path, *, unknown: Unknown = Unknown.ERROR) -> Batch:
    """Read a file into drafts, by what its name ends in.

    Args:
        path: A `.txt` file (a memory per paragraph), `.md` (a document per section) or `.jsonl`
            (an object per line).
        unknown: What to do with fields of JSON objects that a memory does not have.

    Raises:
        InvalidInputError: The file cannot be read, or a line of it cannot be a memory.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InvalidInputError(f"{path}: import takes .txt, .md and .jsonl files")
    source = Source(origin=f"import:{one_line(path.name)}")
    drafts: list[Draft] = []
    lines_of_keys: dict[tuple[str | None, str | None], int] = {}
    for number, make in reader(_read_lines(path), source, unknown):
        with _blaming(path, number):
            draft = _checked(make())
            first = lines_of_keys.setdefault((draft.space, draft.key), number)
            if draft.key is not None and first != number:
                raise InvalidInputError(f"the key {draft.key!r} is given on line {first} too")
        drafts.append(draft)
    return Batch(path, tuple(drafts))


def _checked(draft: Draft) -> Draft:
    """Find now, while the line is known, what the vault would refuse."""
    checked = check_draft(draft.checked(), Settings())
    ends = checked.expires
    if isinstance(ends, datetime) and ends <= SystemClock().now():
        raise InvalidInputError(f"expires is not in the future: {ends.isoformat()}")
    return checked


@contextmanager
def _blaming(path: Path, line: int) -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        problem = re.sub(r" at line 1 column (\d+)", r" at character \1", first_problem(error))
        raise InvalidInputError(f"{path}:{line}: {problem}") from error
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}:{line}: {error}") from error


def _read_lines(path: Path) -> list[str]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidInputError(f"{path}:{line}: not UTF-8: save the file as UTF-8") from error
    # Not splitlines(): it would cut at characters that may stand within a JSON string.
    return re.split("\r\n|\n|\r", text)


Making = tuple[int, Callable[[], Draft]]
"""A line's number, and what makes a draft of what begins there."""


def _paragraphs(lines: Sequence[str], source: Source, _unknown: Unknown) -> Iterator[Making]:
    start, paragraph = 1, list[str]()
    for number, line in enumerate([*lines, ""], start=1):
        if line.strip():
            start = start if paragraph else number
            paragraph.append(line.rstrip())
        elif paragraph:
            text = "\n".join(paragraph)
            yield start, partial(Draft, text, source=source)
            paragraph = []


def _documents(lines: Sequence[str], source: Source, _unknown: Unknown) -> Iterator[Making]:
    for each in sections(lines):
        content = Document(text=each.text, title=each.title or None, media_type="text/markdown")
        yield each.line, partial(Draft, content, semantic_type="document", source=source)


def _objects(lines: Sequence[str], source: Source, unknown: Unknown) -> Iterator[Making]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, partial(_draft_of, line, source, unknown)


_READERS: Final[Mapping[str, Callable[[Sequence[str], Source, Unknown], Iterator[Making]]]] = {
    ".txt": _paragraphs,
    ".md": _documents,
    ".jsonl": _objects,
}


def _draft_of(text: str, source: Source, unknown: Unknown) -> Draft:
    """Make a draft of one JSON object."""
    line = _Line.model_validate_json(text)
    given = {name: getattr(line, name) for name in _AS_GIVEN if getattr(line, name) is not None}
    given |= {"source": _source(line, source), "metadata": _metadata(line, unknown)}
    when = _only_one(line, "at", "occurred_at")
    if when is not None:
        given["occurred_at"] = parse_instant(when)
    if line.valid is not None:
        start, end = line.valid.start, line.valid.end
        given["valid"] = Interval(
            None if start is None else parse_instant(start),
            None if end is None else parse_instant(end),
        )
    if line.expires is not None:
        given["expires"] = parse_end(line.expires)
    return Draft(_content(line), **given)


def _content(line: _Line) -> Content:
    content: Content = _only_one(line, "text", "content")
    if content is None:
        raise InvalidInputError("there is no text: give `text`, or a JSON value as `content`")
    return content


def _only_one(line: _Line, first: str, second: str) -> Any:
    one, other = getattr(line, first), getattr(line, second)
    if one is not None and other is not None:
        raise InvalidInputError(f"`{first}` and `{second}` are the same thing: give one of them")
    return other if one is None else one


def _source(line: _Line, source: Source) -> Source:
    """Keep where a line says that it came from; what brought it here is always the import."""
    place = _Place(uri=line.source) if isinstance(line.source, str) else line.source
    return source if place is None else source.model_copy(update=place.model_dump())


def _metadata(line: _Line, unknown: Unknown) -> dict[str, JsonValue]:
    metadata = dict(line.metadata or {})
    for name, value in (line.model_extra or {}).items():
        if unknown is Unknown.ERROR:
            raise InvalidInputError(f"unknown field {name!r}: {_hint(name)}")
        if name in metadata:
            raise InvalidInputError(f"the field {name!r} is in `metadata` too: give it once")
        metadata[name] = value
    return metadata


def _hint(name: str) -> str:
    close = get_close_matches(name, list(_Line.model_fields), n=1)
    meant = close[0] if close else _MEANT.get(name.lower())
    advice = "values of your own go into `metadata`, or pass --unknown metadata"
    return f"did you mean {meant!r}? {advice}" if meant else advice
