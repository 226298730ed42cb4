"""Redaction: which parts of a memory a reader sees. Pure functions over contents and levels.

A part is a field of structured content (or of metadata) with a sensitivity of its own, or a span
of text that a detector marked when it was written. A reader whose clearance reaches the part's
level sees it; another sees a typed placeholder; and one who is cleared for public memories only
sees nothing, not even that something was there.

The indexes hold what the least cleared reader of a memory sees, so no part can be found, filtered
by, or felt in a score by anybody who may not see it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Final

from pydantic import JsonValue

from memos_core.content import (
    Content,
    Message,
    Opaque,
    content_digest,
    format_of,
    revive,
    to_json_value,
)
from memos_core.cube import Mark, MemCube, PlaintextPayload, Sensitivity
from memos_core.errors import InvalidInputError
from memos_core.infrastructure.governance.detection.detector import Detector

CAPTIONS: Final = ("title", "caption", "description", "summary", "alt")
"""Metadata that describes the content in words: it is searched, and looked at by detectors."""
MAX_MARKS: Final = 500
"""The most marks in one text, and in one memory: beyond, whole texts are marked."""
_GONE: Final = object()
_LONG_NUMBER: Final = 10**8


class Disclosure(Enum):
    """What a reader is shown of a part."""

    CONTENT = "content"
    PLACEHOLDER = "placeholder"
    NOTHING = "nothing"


def disclose(level: Sensitivity, clearance: Sensitivity) -> Disclosure:
    """Decide what a reader is shown of a part.

    Args:
        level: What the part needs.
        clearance: What the reader has where the memory lies.
    """
    if clearance >= level:
        return Disclosure.CONTENT
    return Disclosure.NOTHING if clearance == Sensitivity.PUBLIC else Disclosure.PLACEHOLDER


def find_marks(
    content: Content,
    metadata: Mapping[str, JsonValue],
    detector: Detector,
    levels: Mapping[str, Sensitivity],
) -> tuple[Mark, ...]:
    """Mark what a detector finds in a content's texts and in captions.

    Args:
        content: What is to be written.
        metadata: Of which only the captions are looked at; keys and other values are names.
        detector: Finds spans.
        levels: The level of each type; types that are not in it are not marked.
    """
    if not levels:
        return ()
    found: list[Mark] = []
    for path, text, lead in (*_texts(content), *_captions(metadata)):
        spans = [
            (max(span.start - len(lead), 0), span.end - len(lead), span.type)
            for span in detector.find(lead + text)
            if span.type in levels and span.end > len(lead)
        ]
        if len(spans) > MAX_MARKS or (spans and len(found) >= MAX_MARKS):
            top = max(spans, key=lambda span: levels[span[2]])
            spans = [(0, len(text), top[2])]
        found += [
            Mark(path=path, start=start, end=end, type=kind, level=levels[kind])
            for start, end, kind in spans
        ]
    return tuple(found)


def carried_marks(
    before: Sequence[Mark],
    old: tuple[Content, Mapping[str, JsonValue]],
    fresh: Sequence[Mark],
    new: tuple[Content, Mapping[str, JsonValue]],
) -> tuple[Mark, ...]:
    """Add to the marks of a changed memory those of what stayed as it was.

    Another detector, or none, may look at the new version: what was marked once stays marked for
    as long as it is there.

    Args:
        before: The marks of the version before.
        old: Its content and metadata.
        fresh: The marks that were found in the new version.
        new: Its content and metadata.
    """
    if not before:
        return tuple(fresh)
    was, now = _by_path(old), _by_path(new)
    kept = [
        mark
        for mark in before
        if mark.path in now
        and now[mark.path][mark.start : mark.end] == was.get(mark.path, "")[mark.start : mark.end]
    ]
    return tuple(dict.fromkeys([*fresh, *kept]))


def _by_path(whole: tuple[Content, Mapping[str, JsonValue]]) -> dict[str, str]:
    return {path: text for path, text, _lead in (*_texts(whole[0]), *_captions(whole[1]))}


def opens_fields(
    before: Mapping[str, Sensitivity],
    after: Mapping[str, Sensitivity],
    *,
    content_stays: bool,
    metadata_stays: bool,
) -> bool:
    """Tell whether the level of a field is lowered whose value may stay.

    Args:
        before: The levels of the version before.
        after: Those of the new one.
        content_stays: Whether the content, or a part of it, is kept.
        metadata_stays: The same of the metadata.
    """
    return any(
        level > after.get(path, Sensitivity.PUBLIC)
        and (content_stays or (metadata_stays and path.startswith("metadata.")))
        for path, level in before.items()
    )


def check_fields(
    content: Content, metadata: Mapping[str, JsonValue], fields: Mapping[str, Sensitivity]
) -> None:
    """Refuse a sensitivity for a field that is not there: a misspelt one would protect nothing.

    Raises:
        InvalidInputError: A path names no field of a JSON content and none of the metadata.
    """
    if not fields:
        return
    there = set(_paths(dict(metadata), "metadata"))
    if format_of(content) == "json":
        there |= set(_paths(to_json_value(content), ""))
    for path in fields:
        if path not in there:
            raise InvalidInputError(
                f"field_sensitivity names {path!r}, which is not there: name a field of a JSON "
                "content (nested ones with dots) or metadata.<name>"
            )


def visible(
    content: Content,
    metadata: Mapping[str, JsonValue],
    *,
    marks: Sequence[Mark],
    fields: Mapping[str, Sensitivity],
    clearance: Sensitivity,
) -> tuple[Content, dict[str, JsonValue]]:
    """Return a content and its metadata as a reader of this clearance sees them.

    Args:
        content: The whole content.
        metadata: The whole metadata.
        marks: The marked spans.
        fields: The fields with a level of their own; paths with dots.
        clearance: The reader's.
    """
    hidden: dict[str, list[Mark]] = {}
    for mark in marks:
        if mark.level > clearance:
            hidden.setdefault(mark.path, []).append(mark)
    closed = {path: level for path, level in fields.items() if level > clearance}
    if not hidden and not closed:
        return content, dict(metadata)
    form = format_of(content)
    of_content = closed if form == "json" else {}  # only JSON has fields of the caller's own
    shown = _View(hidden, of_content, clearance).of(to_json_value(content), "/content", "")
    view = _View(hidden, closed, clearance)
    parts = {
        name: view.of(value, f"/metadata/{_escaped(name)}", f"metadata.{name}")
        for name, value in metadata.items()
    }
    kept = {name: part for name, part in parts.items() if part is not _GONE}
    if isinstance(content, Opaque):  # it is seen as a whole or not at all
        return content, kept
    return revive(None if shown is _GONE else shown, form), kept


def shown(cube: MemCube, clearance: Sensitivity) -> MemCube:
    """Return a memory as a reader of this clearance sees it.

    What would tell of the hidden parts goes too: the hash and the signature of the whole, the
    marks, and the names of fields that are not to be known of. Who is cleared for `public` only is
    not told that there is more: he sees no signature of anything, and the hash of what he sees.
    """
    meta, payload = cube.meta, cube.payload
    if clearance == Sensitivity.PUBLIC and meta.signature is not None:
        meta = meta.model_copy(update={"signature": None})
        cube = cube.model_copy(update={"meta": meta})
    if not is_partial(cube, clearance):
        return cube
    content, metadata = visible(
        cube.content,
        meta.metadata,
        marks=meta.marks,
        fields=meta.field_sensitivity,
        clearance=clearance,
    )
    known = {
        path: level
        for path, level in meta.field_sensitivity.items()
        if disclose(level, clearance) is not Disclosure.NOTHING
    }
    told = clearance > Sensitivity.PUBLIC
    changes: dict[str, Any] = {
        "metadata": metadata,
        "field_sensitivity": known,
        "marks": (),
        "redacted": told,
        "content_hash": None if told else content_digest(content),
        "signature": None,
    }
    if isinstance(payload, PlaintextPayload):
        payload = payload.model_copy(update={"content": content})
    return cube.model_copy(update={"meta": meta.model_copy(update=changes), "payload": payload})


def is_partial(cube: MemCube, clearance: Sensitivity) -> bool:
    """Tell whether a reader of this clearance sees a memory only in part."""
    return top_level(cube.meta.marks, cube.meta.field_sensitivity) > clearance


def top_level(marks: Sequence[Mark], fields: Mapping[str, Sensitivity]) -> Sensitivity:
    """Return the level of the most sensitive part; public if there is none."""
    levels = [*(mark.level for mark in marks), *fields.values()]
    return max(levels, default=Sensitivity.PUBLIC)


class _View:
    """Rebuilds a JSON value without what is hidden."""

    def __init__(
        self,
        hidden: Mapping[str, list[Mark]],
        closed: Mapping[str, Sensitivity],
        clearance: Sensitivity,
    ) -> None:
        self._hidden = hidden
        self._closed = closed
        self._clearance = clearance

    def of(self, value: JsonValue, pointer: str, path: str) -> Any:
        """Return what is left of a value, or `_GONE`.

        Args:
            value: The value.
            pointer: Where it is, as a JSON pointer (RFC 6901).
            path: The same as users write it in `field_sensitivity`.
        """
        if path in self._closed:
            level = self._closed[path]
            if disclose(level, self._clearance) is Disclosure.NOTHING:
                return _GONE
            return f"[{level.name}]"
        if isinstance(value, dict):
            parts = {
                name: self.of(each, f"{pointer}/{_escaped(name)}", f"{path}.{name}".lstrip("."))
                for name, each in value.items()
            }
            return {name: part for name, part in parts.items() if part is not _GONE}
        if isinstance(value, list):
            items = [self.of(each, f"{pointer}/{at}", path) for at, each in enumerate(value)]
            return [item for item in items if item is not _GONE]
        if pointer in self._hidden and value is not None and not isinstance(value, bool):
            return self._without_spans(value, self._hidden[pointer])
        return value

    def _without_spans(self, value: str | float, marks: Sequence[Mark]) -> str | None:
        if not isinstance(value, str):  # a number cannot be shown in part
            return self._placeholder(marks[0]) or None
        pieces, at = [], 0
        for mark in sorted(marks, key=lambda each: each.start):
            pieces += [value[at : mark.start], self._placeholder(mark)]
            at = max(at, mark.end)
        return "".join([*pieces, value[at:]])

    def _placeholder(self, mark: Mark) -> str:
        nothing = disclose(mark.level, self._clearance) is Disclosure.NOTHING
        return "" if nothing else f"[{mark.type}]"


Text = tuple[str, str, str]
"""Where a text is, the text, and what leads it in: the name of its field says what it may be."""


def _texts(content: Content) -> Iterator[Text]:
    """List the texts of a content; a message's ids, names and roles are not among them."""
    value: Any = to_json_value(content)
    if isinstance(content, Message):
        for at, part in enumerate(value["parts"]):
            for name in ("text", "alt", "uri", "data"):
                yield from _leaves(part.get(name), f"/content/parts/{at}/{name}")
        for at, call in enumerate(value["tool_calls"]):
            yield from _leaves(call["arguments"], f"/content/tool_calls/{at}/arguments")
    elif not isinstance(content, Opaque):
        yield from _leaves(value, "/content")


def _captions(metadata: Mapping[str, JsonValue]) -> Iterator[Text]:
    for name in CAPTIONS:
        if isinstance(text := metadata.get(name), str):
            yield f"/metadata/{name}", text, ""


def _leaves(value: JsonValue, pointer: str, lead: str = "") -> Iterator[Text]:
    if isinstance(value, str):
        yield pointer, value, lead
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from _leaves(each, f"{pointer}/{_escaped(name)}", f"{name}: ")
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield from _leaves(each, f"{pointer}/{at}", lead)
    elif isinstance(value, int) and abs(value) >= _LONG_NUMBER:
        yield pointer, str(value), lead  # a card's number may be stored as a number


def _paths(value: JsonValue, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            below = f"{path}.{name}".lstrip(".")
            yield below
            yield from _paths(each, below)
    elif isinstance(value, list):
        for each in value:
            yield from _paths(each, path)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
