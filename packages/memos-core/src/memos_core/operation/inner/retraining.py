"""Retraining: adapters that went with a source, and are to be trained again without it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import JsonValue
from sqlalchemy import Row, delete, insert, select

from memos_core.cube import CubeId, Header, MemCube, MemoryState
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.records import Record, fetch, parents
from memos_core.infrastructure.vault.vault import Transaction, Vault

_SETS: Final = ("tags", "access", "purposes")
_KEPT: Final = (*_SETS, "sensitivity", "expires", "metadata", "priority", "semantic_type")


@dataclass(frozen=True, slots=True)
class Retraining:
    """An adapter that is to be trained anew.

    Args:
        id: Its number.
        was: The adapter that went.
        space: Where it was.
        key: Its key there, if it had one.
        model: The fingerprint of its model.
        sources: The memories that are left to train it on.
        recipe: How it was trained.
        enabled: Whether it was on.
        fields: Who might read it and until when, and its tags: the next is for nobody else.
    """

    id: str
    was: CubeId
    space: str
    key: str | None
    model: str
    sources: tuple[CubeId, ...]
    recipe: dict[str, JsonValue]
    enabled: bool
    fields: dict[str, Any]


def schedule(tx: Transaction, vault: Vault, derived: Sequence[CubeId], gone: set[CubeId]) -> None:
    """Note which adapters go because of a source, before their rows are deleted.

    Args:
        tx: The effect that forgets.
        vault: Mints ids.
        derived: What goes with what is forgotten.
        gone: All that goes.
    """
    for found in fetch(tx, derived).values():
        if not isinstance(found, Record):
            continue
        cube = found.memcube()
        lora = cube.lora
        left = [each for each in parents(tx, cube.id) if each not in gone] if lora else []
        if lora is None or not left:
            continue
        space = cube.meta.space or ""
        said = {"recipe": dict(lora.recipe), "enabled": _is_on(cube), "fields": _fields(cube)}
        row: dict[str, Any] = {
            "id": vault.mint("ret"),
            "principal_id": found.cube.owner_id,
            "space": space,
            "key": found.cube.key,
            "was": cube.id,
            "model": cube.meta.model or "",
            "sources": json.dumps(left),
            "recipe": json.dumps(said),
            "created": tx.now,
        }
        sealed = row | {"seal": schema.sealed(schema.retrainings, row)}
        tx.connection.execute(insert(schema.retrainings), sealed)


def waiting(tx: Transaction, principal_id: str, model: str) -> list[Retraining]:
    """List what a principal's adapters of a model are to be trained anew, oldest first."""
    table = schema.retrainings
    query = (
        select(table)
        .where(table.c.principal_id == principal_id, table.c.model == model)
        .order_by(table.c.created, table.c.id)
    )
    rows = tx.connection.execute(query).all()
    return [_read(row) for row in rows if schema.is_whole(table, row)]


def finish(tx: Transaction, retraining_id: str) -> None:
    """Take one off the list."""
    table = schema.retrainings
    tx.connection.execute(delete(table).where(table.c.id == retraining_id))


def _is_on(cube: MemCube) -> bool:
    return cube.meta.state == MemoryState.ACTIVATED


def _fields(cube: MemCube) -> dict[str, JsonValue]:
    """Return what was said of an adapter by whoever made it, as JSON."""
    meta = cube.meta.model_dump(mode="json")
    return {name: meta[name] for name in _KEPT if meta[name]}


def _draft_fields(fields: dict[str, JsonValue]) -> dict[str, Any]:
    """Return it as fields of a draft."""
    said = Header.model_validate(fields)
    found: dict[str, Any] = {name: getattr(said, name) for name in fields}
    return found | {name: frozenset(found[name]) for name in _SETS if name in found}


def _read(row: Row[Any]) -> Retraining:
    said = json.loads(row.recipe)
    return Retraining(
        row.id,
        row.was,
        row.space,
        row.key,
        row.model,
        tuple(json.loads(row.sources)),
        said["recipe"],
        said["enabled"],
        _draft_fields(said["fields"]),
    )
