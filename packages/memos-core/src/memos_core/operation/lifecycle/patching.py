"""What a patch makes of a header and a content: pure functions."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from pydantic import JsonValue

from memos_core.clock import from_micros, later, require_aware, to_micros
from memos_core.content import Content, Document, Message, Opaque, TextPart
from memos_core.cube import Header, Mark, Sensitivity, kind_of
from memos_core.draft import (
    Draft,
    Interval,
    Patch,
    check_content,
    check_expires,
    check_levels,
    check_metadata,
    check_name,
    name_set,
)
from memos_core.errors import InvalidInputError
from memos_core.models.embedder import Embedder

Mode = Literal["overwrite", "append", "merge"]
_MODES: Final = ("overwrite", "append", "merge")


def checked_patch(patch: Patch) -> Patch:
    """Return a patch in normal form.

    Raises:
        InvalidInputError: A field is malformed, or nothing is changed.
    """
    if patch == Patch():
        raise InvalidInputError("the patch changes nothing: give a content or a field")
    if patch.content is not None:
        check_content(patch.content)
    if patch.occurred_at is not None:
        require_aware(patch.occurred_at, "occurred_at")
    check_expires(patch.expires)
    if patch.valid is not None and not isinstance(patch.valid, Interval):
        raise InvalidInputError(f"valid is an Interval, not {patch.valid!r}")
    if patch.metadata is not None:
        check_metadata(patch.metadata)
    for name in ("speaker", "semantic_type"):
        if getattr(patch, name) is not None:
            check_name(getattr(patch, name), name)
    if patch.priority not in (None, "low", "mid", "high"):
        raise InvalidInputError(f"priority is low, mid or high, not {patch.priority!r}")
    level = None if patch.sensitivity is None else Sensitivity.parse(patch.sensitivity)

    def names(what: str, given: frozenset[str] | None) -> frozenset[str] | None:
        return None if given is None else name_set(given, what)

    return replace(
        patch,
        sensitivity=level,
        tags=names("tags", patch.tags),
        access=names("access", patch.access),
        purposes=names("purposes", patch.purposes),
        field_sensitivity=None
        if patch.field_sensitivity is None
        else check_levels(patch.field_sensitivity),
    )


def patched_header(header: Header, patch: Patch, now: int) -> Header:
    """Return the header with the patch's fields in place.

    Args:
        header: The memory's header.
        patch: What changes; fields at None stay.
        now: Microseconds.

    Raises:
        InvalidInputError: The memory would already have expired.
    """
    changes: dict[str, Any] = {
        name: getattr(patch, name)
        for name in ("speaker", "occurred_at", "semantic_type", "sensitivity", "priority")
    }
    for name in ("tags", "access", "purposes"):
        given = getattr(patch, name)
        changes[name] = None if given is None else tuple(sorted(given))
    for name in ("metadata", "field_sensitivity"):
        given = getattr(patch, name)
        changes[name] = None if given is None else dict(given)
    if patch.valid is not None:
        changes["valid_from"], changes["valid_to"] = patch.valid.start, patch.valid.end
    changes["expires"] = _end(patch.expires, now)
    given_fields = {name: value for name, value in changes.items() if value is not None}
    return header.model_copy(update=given_fields)


def _end(expires: datetime | timedelta | None, now: int) -> datetime | None:
    if isinstance(expires, timedelta):
        expires = later(now, expires)
    if expires is not None and to_micros(expires) <= now:
        raise InvalidInputError(f"expires is not in the future: {expires.isoformat()}")
    return expires


def end_of(header: Header) -> int | None:
    """Return when a header's memory ends, in microseconds; None if it does not."""
    return to_micros(header.expires) if isinstance(header.expires, datetime) else None


def combined(old: Content, new: Content | None, mode: Mode) -> Content:
    r"""Combine the content that is there with what is given (the paper's Update API).

    Args:
        old: The content that is there.
        new: What is given; None keeps what is there.
        mode: `overwrite` takes the new. `append` puts it after the old. `merge` joins JSON objects
            deeply and adds to lists and texts only the items or lines that are not there yet.

    Raises:
        InvalidInputError: The mode is unknown, or the two cannot be combined.

    >>> combined("tea", "milk\ntea", "merge")
    'tea\nmilk'
    >>> combined({"a": {"b": 1}}, {"a": {"c": 2}}, "merge")
    {'a': {'b': 1, 'c': 2}}
    """
    if mode not in _MODES:
        raise InvalidInputError(f"mode is one of {', '.join(_MODES)}, not {mode!r}")
    if new is None:
        return old
    if isinstance(old, Opaque):
        raise InvalidInputError(
            "what a model keeps cannot be written over: activate or distill the sources anew"
        )
    if mode == "overwrite":
        return new
    if isinstance(old, Message) and isinstance(new, str | Message):
        parts = (TextPart(text=new),) if isinstance(new, str) else new.parts
        if mode == "merge":
            parts = tuple(part for part in parts if part not in old.parts)
        return old.model_copy(update={"parts": old.parts + tuple(parts)})
    if isinstance(old, Document) and isinstance(new, str | Document):
        added = new if isinstance(new, str) else new.text
        return old.model_copy(update={"text": _joined_text(old.text, added, mode)})
    if isinstance(old, str) and isinstance(new, str):
        return _joined_text(old, new, mode)
    words = str | Message | Document | Opaque
    if not isinstance(old, words) and not isinstance(new, Message | Document | Opaque):
        return _joined_json(old, new, mode)
    raise InvalidInputError(
        f"cannot {mode} {type(new).__name__} to {type(old).__name__}: use mode='overwrite'"
    )


def _joined_text(old: str, new: str, mode: Mode) -> str:
    lines = new.splitlines()
    if mode == "merge":
        there = set(old.splitlines())
        lines = [line for line in lines if line not in there]
    return "\n".join([old, *lines])


def _joined_json(old: JsonValue, new: JsonValue, mode: Mode) -> JsonValue:
    if isinstance(old, list):
        items = new if isinstance(new, list) else [new]
        return old + [item for item in items if mode == "append" or item not in old]
    if isinstance(old, dict) and isinstance(new, dict) and mode == "merge":
        merged = dict(old)
        for name, value in new.items():
            both = name in merged and isinstance(merged[name], dict | list)
            merged[name] = _joined_json(merged[name], value, mode) if both else value
        return merged
    if isinstance(old, dict) and mode == "append":
        raise InvalidInputError("a JSON object cannot be appended to: use mode='merge'")
    if mode == "merge":
        return new
    raise InvalidInputError(f"cannot append to a {type(old).__name__}: use mode='overwrite'")


def compose_header(
    draft: Draft,
    space: str,
    owner: str,
    now: int,
    embedder: Embedder,
    marks: tuple[Mark, ...],
    *,
    model: str | None = None,
) -> Header:
    """Build a memory's header from a draft.

    Args:
        draft: What the caller gave.
        space: Where it goes.
        owner: Who adds it.
        now: Microseconds.
        embedder: What makes its vector.
        marks: Its sensitive spans.
        model: The fingerprint of the model that it is for, where it is no plaintext.

    Raises:
        InvalidInputError: It would already have expired.
    """
    expires = _end(draft.expires, now)
    fields: dict[str, Any] = {
        "key": draft.key,
        "kind": kind_of(draft.content),
        "semantic_type": draft.semantic_type,
        "created": from_micros(now),
        "occurred_at": draft.occurred_at,
        "valid_from": draft.valid.start,
        "valid_to": draft.valid.end,
        "source": draft.source,
        "speaker": draft.speaker,
        "tags": tuple(sorted(draft.tags)) or None,
        "metadata": dict(draft.metadata) or None,
        "lineage": draft.parents or None,
        "embedding_fp": f"{embedder.name}[dim={embedder.dims}]",
        "space": space,
        "owner": owner,
        "access": tuple(sorted(draft.access)) or None,
        "sensitivity": draft.sensitivity,
        "field_sensitivity": dict(draft.field_sensitivity) or None,
        "marks": marks or None,
        "purposes": tuple(sorted(draft.purposes)) or None,
        "expires": expires,
        "priority": draft.priority,
        "model": model,
        "storage_mode": None if model is None else "safetensors",
    }
    return Header(**{name: value for name, value in fields.items() if value is not None})


def narrows(before: Header, after: Header) -> bool:
    """Tell whether a header shuts anybody out, of the memory or of a part of it."""

    def shuts(old: tuple[str, ...], new: tuple[str, ...]) -> bool:
        return bool(new) and (not old or not set(old) <= set(new))

    levels = before.field_sensitivity
    return (
        after.level > before.level
        or shuts(before.access, after.access)
        or shuts(before.purposes, after.purposes)
        or any(level > levels.get(path, 0) for path, level in after.field_sensitivity.items())
    )
