"""Plaintext memory: how text, messages, documents and JSON are indexed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
from pydantic import JsonValue

from memos_core.clock import from_micros, to_micros
from memos_core.content import Content, Opaque, payload_text, revive, text_of
from memos_core.cube import Header, Kind, Mark, MemoryState, Sensitivity
from memos_core.draft import Draft
from memos_core.errors import InvalidInputError
from memos_core.filters import TypedKey, flatten, typed_key
from memos_core.infrastructure.governance.redaction import CAPTIONS, visible
from memos_core.infrastructure.index.analysis import Analyzer
from memos_core.infrastructure.index.entry import NEVER, Entry
from memos_core.infrastructure.vault.records import Indexable


def indexed_view(
    content: Content,
    metadata: Mapping[str, JsonValue],
    marks: Sequence[Mark],
    fields: Mapping[str, Sensitivity],
    sensitivity: Sensitivity,
) -> tuple[Content, dict[str, JsonValue]]:
    """Return what the indexes hold of a memory: what the least cleared of its readers sees."""
    return visible(content, metadata, marks=marks, fields=fields, clearance=sensitivity)


def embedding_text(content: Content, metadata: Mapping[str, Any]) -> str:
    """Return the text that a memory's vector is made of: its content and its captions."""
    return "\n".join([text_of(content), *_captions(metadata)])


def lexical_text(
    content: Content, metadata: Mapping[str, Any], *, speaker: str | None, when: datetime | None
) -> str:
    """Return the text whose words are indexed: who and when (as a date in words) come first."""
    lead = [speaker.rpartition(":")[2]] if speaker else []
    if when is not None:
        lead.append(f"{when.day} {when:%B %Y}")
    return "\n".join([*lead, embedding_text(content, metadata)])


class PlaintextIndexer:
    """Turns a record and its vector into an index entry.

    Args:
        analyzer: Turns text into terms.
    """

    def __init__(self, analyzer: Analyzer) -> None:
        self._analyzer = analyzer

    def text(self, found: Indexable) -> str:
        """Return the text of a memory that is fingerprinted: what its least cleared reader sees."""
        version = found.record.version
        whole = _content_of(version.payload)
        return text_of(_indexed(whole, json.loads(version.header))[0])

    def describe(self, found: Indexable) -> Entry:
        """Build the index entry of one memory."""
        cube, version = found.record.cube, found.record.version
        header: dict[str, Any] = json.loads(version.header)
        whole = _content_of(version.payload)
        content, metadata = _indexed(whole, header)
        header["metadata"] = metadata
        speaker = header.get("speaker")
        occurred = header.get("occurred_at")
        when = datetime.fromisoformat(occurred) if occurred else None
        text = lexical_text(content, metadata, speaker=speaker, when=when)
        return Entry(
            cube_id=cube.id,
            version=version.version,
            label_id=cube.label_id,
            space=header["space"],
            created=cube.created,
            when=cube.created if when is None else to_micros(when),
            expires=NEVER if cube.expires is None else cube.expires,
            archived=header.get("state") in PUT_AWAY,
            opaque=isinstance(whole, Opaque),
            speaker=speaker,
            terms=tuple(self._analyzer.terms(text)),
            vector=np.frombuffer(found.vector, dtype=np.float32),
            facets=(
                *_facets(header, version.version, from_micros(cube.created)),
                *_content_facets(content),
            ),
        )


def _content_of(payload: str) -> Content:
    """Read the content of a stored payload; what is no text has no words to be found by."""
    stored: dict[str, Any] = json.loads(payload)
    return revive(stored["content"], stored["format"]) if "content" in stored else Opaque()


def _indexed(content: Content, header: Mapping[str, Any]) -> tuple[Content, dict[str, JsonValue]]:
    levels = header.get("field_sensitivity", {})
    return indexed_view(
        content,
        header.get("metadata", {}),
        [Mark.model_validate(each) for each in header.get("marks", ())],
        {path: Sensitivity.parse(level) for path, level in levels.items()},
        Sensitivity.parse(header["sensitivity"]),
    )


def _facets(
    header: Mapping[str, Any], version: int, created: datetime
) -> list[tuple[str, TypedKey]]:
    found: list[tuple[str, TypedKey]] = [
        ("kind", ("s", header.get("kind", Kind.PLAINTEXT.value))),
        ("version", ("n", version)),
        ("created", ("t", to_micros(created))),
        ("sensitivity", ("n", int(Sensitivity.parse(header["sensitivity"])))),
        ("semantic_type", ("s", header.get("semantic_type", "fact"))),
        ("priority", ("s", header.get("priority", "mid"))),
        ("state", ("s", header.get("state", MemoryState.GENERATED.value))),
    ]
    texts = ("key", "owner", "space", "speaker")
    found += [(name, ("s", header[name])) for name in texts if header.get(name) is not None]
    source = header.get("source")
    if source is not None:
        found.append(("source", ("s", source if isinstance(source, str) else source["origin"])))
    found += [
        (name, ("t", to_micros(datetime.fromisoformat(header[name]))))
        for name in ("occurred_at", "valid_from", "valid_to", "expires")
        if header.get(name) is not None
    ]
    found += [("tags", ("s", tag)) for tag in header.get("tags", ())]
    found += [(path, typed_key(value)) for path, value in flatten(header.get("metadata", {}))]
    return found


def _content_facets(content: Content) -> list[tuple[str, TypedKey]]:
    if not isinstance(content, dict):
        return []
    return [(path, typed_key(value)) for path, value in flatten(content, "content")]


def _captions(metadata: Mapping[str, Any]) -> list[str]:
    return [value for name in CAPTIONS if isinstance(value := metadata.get(name), str)]


PUT_AWAY: Final = (MemoryState.ARCHIVED, MemoryState.MERGED)
"""In these states only who asks for it by its state, or by its id, finds a memory."""

_TOLD: Final = (
    *("id", "version", "updated", "state", "usage", "last_used", "content_hash"),
    *("redacted", "trust", "author"),
)


def dump_header(header: Header) -> str:
    """Return a header as the JSON text that is stored: what was given, nothing that moves.

    Of the states, `generated` is not written, and `expired` is none of a version.
    """
    told = set(_TOLD)
    if header.state in (*PUT_AWAY, MemoryState.ACTIVATED):
        told.remove("state")
    return header.model_dump_json(exclude_unset=True, exclude_none=True, exclude=told)


def check_size(content: Content, max_bytes: int) -> None:
    """Refuse content over the stated limit.

    Raises:
        InvalidInputError: Its stored form is longer than `max_bytes`.
    """
    size = len(payload_text(content).encode("utf-8"))
    if size > max_bytes:
        raise InvalidInputError(
            f"the content has {size:,} bytes, the limit is {max_bytes:,}: "
            "split it, or raise Settings.max_content_bytes"
        )


def check_header_size(given: Draft | Header, max_bytes: int) -> None:
    """Refuse metadata and tags that are larger than any content may be.

    Raises:
        InvalidInputError: They are.
    """
    own = [dict(given.metadata), sorted(given.tags), sorted(given.access), sorted(given.purposes)]
    size = len(json.dumps(own, ensure_ascii=False).encode("utf-8"))
    if size > max_bytes:
        raise InvalidInputError(
            f"metadata and tags have {size:,} bytes, the limit is {max_bytes:,}: "
            "put long texts into the content"
        )
