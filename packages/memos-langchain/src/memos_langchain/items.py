"""The shape of a store's item in the vault, and of the view on everything else."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any, Final

from langgraph.store.base import PutOp

from memos_core import Draft, InvalidInputError, Key, MemCube, Session

VIEW: Final = ("memos",)
ITEM: Final = "langgraph_item"


def viewed(cube: MemCube) -> dict[str, Any]:
    """Show any memory as an item of the view."""
    header = cube.to_dict()["meta"]
    return {
        **_times(cube),
        "namespace": VIEW,
        "key": cube.id,
        "value": {"text": cube.text, "memos": header},
    }


def draft_of(op: PutOp) -> Draft:
    """Make the draft of what is put; its prefixes let a search find it by any of them."""
    prefixes = [json.dumps(list(op.namespace[:n])) for n in range(len(op.namespace) + 1)]
    return Draft(
        dict(op.value or {}),
        key=_name(op.namespace, op.key),
        semantic_type=ITEM,
        source="langgraph",
        expires=None if op.ttl is None else timedelta(minutes=op.ttl),
        metadata={
            "within": list(prefixes),
            "namespace": list(op.namespace),
            "key": op.key,
            "indexed": op.index is not False,
        },
    )


def is_item(cube: MemCube) -> bool:
    """Tell whether a memory has the shape that a put gives: others may write to a shared space."""
    data = cube.meta.metadata
    namespace, key = data.get("namespace"), data.get("key")
    return (
        isinstance(namespace, list)
        and all(isinstance(label, str) for label in namespace)
        and isinstance(key, str)
        and isinstance(data.get("indexed"), bool)
        and cube.meta.key == _name(tuple(map(str, namespace)), key)
    )


def key_of(session: Session, namespace: tuple[str, ...], key: str) -> Key:
    """Say where an item lies in the vault."""
    return Key(_name(namespace, key), session.space)


def _name(namespace: tuple[str, ...], key: str) -> str:
    """Name an item in the vault: a digest, so that any namespace and key have room."""
    place = json.dumps([list(namespace), key], ensure_ascii=True)
    return f"langgraph/{hashlib.sha256(place.encode('ascii')).hexdigest()}"


def fields_of(cube: MemCube) -> dict[str, Any]:
    """Return what LangGraph's item is made of."""
    return {
        **_times(cube),
        "namespace": namespace_of(cube),
        "key": cube.meta.metadata["key"],
        "value": value_of(cube),
    }


def _times(cube: MemCube) -> dict[str, Any]:
    created, updated = cube.meta.created, cube.meta.updated
    if not isinstance(created, datetime) or not isinstance(updated, datetime):
        raise InvalidInputError(f"{cube.id} has no time: it is no memory of a vault")
    return {"created_at": created, "updated_at": updated}


def namespace_of(cube: MemCube) -> tuple[str, ...]:
    """Return an item's namespace."""
    labels = cube.meta.metadata.get("namespace")
    return tuple(map(str, labels)) if isinstance(labels, list) else ()


def value_of(cube: MemCube) -> dict[str, Any]:
    """Return an item's value."""
    content = cube.content
    return content if isinstance(content, dict) else {}
