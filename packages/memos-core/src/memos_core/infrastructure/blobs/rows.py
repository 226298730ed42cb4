"""Rows of blobs: what each is, who needs it, and how far its making or its removal has come.

A blob's row is committed as pending before its bytes are written, and as deleting before they are
removed, so that whatever a killed process leaves behind is known. Rows in these states are never
used again. Blobs of equal bytes are shared under one label only: else a smaller bill, or a faster
write, would tell one user what another has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, delete, insert, select, update

from memos_core.errors import DamagedError
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.vault import Transaction

PENDING: Final = "pending"
READY: Final = "ready"
DELETING: Final = "deleting"


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob as the system of record knows it.

    Args:
        id: Its name where blobs lie.
        digest: The SHA-256 of its bytes.
        size: How many there are.
    """

    id: str
    digest: str
    size: int


def begin(tx: Transaction, blobs: Sequence[Blob], label_id: str, writer: str) -> None:
    """Record blobs that are about to be written.

    Args:
        tx: The effect.
        blobs: The blobs.
        label_id: The label of the memory that they are for.
        writer: The process that writes them, as its presence is called.
    """
    for each in blobs:
        row: dict[str, Any] = {
            "id": each.id,
            "digest": each.digest,
            "label_id": label_id,
            "size": each.size,
            "state": PENDING,
            "writer": writer,
            "created": tx.now,
        }
        tx.connection.execute(insert(schema.blobs), _sealed(schema.blobs, row))


def ready(tx: Transaction, digests: Sequence[str], label_id: str) -> dict[str, Blob]:
    """Find the blobs under a label that can be shared, by digest."""
    table = schema.blobs
    found: dict[str, Blob] = {}
    for batch in schema.batches(list(digests)):
        query = select(table).where(
            table.c.digest.in_(batch), table.c.label_id == label_id, table.c.state == READY
        )
        for row in tx.connection.execute(query):
            if schema.is_whole(table, row):
                found[row.digest] = _blob(row)
    return found


def use(tx: Transaction, cube_id: str, blobs: Sequence[Blob]) -> bool:
    """Record that a memory needs blobs whose bytes are there.

    Returns:
        Whether all of them still are: one may have been collected meanwhile.
    """
    table, uses = schema.blobs, schema.blob_uses
    mine = select(uses.c.blob_id).where(uses.c.cube_id == cube_id)
    known = set(tx.connection.scalars(mine))
    for each in blobs:
        row = tx.connection.execute(select(table).where(table.c.id == each.id)).one_or_none()
        if row is None or row.state == DELETING:
            return False
        if row.state == PENDING:
            _set_state(tx, row, READY)
        if each.id in known:
            continue  # an earlier version of it has the same bytes
        needed: dict[str, Any] = {"cube_id": cube_id, "blob_id": each.id}
        tx.connection.execute(insert(schema.blob_uses), _sealed(schema.blob_uses, needed))
    return True


def of_cube(tx: Transaction, cube_id: str) -> dict[str, Blob]:
    """List the blobs that a memory needs, by digest.

    Raises:
        DamagedError: A row's bytes changed on disk.
    """
    uses, table = schema.blob_uses, schema.blobs
    found: dict[str, Blob] = {}
    for link in tx.connection.execute(select(uses).where(uses.c.cube_id == cube_id)).all():
        row = tx.connection.execute(select(table).where(table.c.id == link.blob_id)).one_or_none()
        whole = schema.is_whole(uses, link) and row is not None and schema.is_whole(table, row)
        if row is None or not whole or row.state != READY:
            raise DamagedError(
                f"memory {cube_id} is damaged on disk (blobs): its content is withheld; "
                "run `memos doctor`, and activate or distill it anew"
            )
        found[row.digest] = _blob(row)
    return found


def in_use(tx: Transaction, ids: Sequence[str]) -> set[str]:
    """Tell which of these blobs some memory still needs."""
    uses, found = schema.blob_uses, set[str]()
    for batch in schema.batches(list(ids)):
        query = select(uses.c.blob_id).where(uses.c.blob_id.in_(batch))
        found |= set(tx.connection.scalars(query))
    return found


def needed_by(tx: Transaction) -> dict[str, list[str]]:
    """Tell for each blob which memories need it."""
    uses = schema.blob_uses
    found: dict[str, list[str]] = {}
    for row in tx.connection.execute(select(uses).order_by(uses.c.cube_id)):
        found.setdefault(row.blob_id, []).append(row.cube_id)
    return found


def everything(tx: Transaction) -> list[Blob]:
    """List all blobs whose bytes are there."""
    table = schema.blobs
    query = select(table).where(table.c.state == READY).order_by(table.c.id)
    return [_blob(row) for row in tx.connection.execute(query)]


def collectable(tx: Transaction, living: Sequence[str]) -> list[Row[Any]]:
    """Find the blobs that nobody needs, or whose writer ended.

    Args:
        tx: The transaction.
        living: The processes that have the vault open, as their presences are called.
    """
    table, uses = schema.blobs, schema.blob_uses
    needed = select(uses.c.blob_id).where(uses.c.blob_id == table.c.id).exists()
    rows = tx.connection.execute(select(table).where(~needed).order_by(table.c.id)).all()
    alive = set(living)
    return [row for row in rows if row.state != PENDING or row.writer not in alive]


def doom(tx: Transaction, rows: Sequence[Row[Any]]) -> None:
    """Mark blobs whose bytes are about to be removed."""
    for row in rows:
        if row.state != DELETING:
            _set_state(tx, row, DELETING)


def remove(tx: Transaction, ids: Sequence[str]) -> None:
    """Remove the rows of blobs whose bytes are gone."""
    table = schema.blobs
    for batch in schema.batches(list(ids)):
        gone = table.c.id.in_(batch) & (table.c.state == DELETING)
        tx.connection.execute(delete(table).where(gone))


def _set_state(tx: Transaction, row: Row[Any], state: str) -> None:
    changed = dict(row._mapping) | {"state": state}
    table = schema.blobs
    sealed = _sealed(table, changed)
    tx.connection.execute(update(table).where(table.c.id == row.id).values(**sealed))


def _sealed(table: Any, row: dict[str, Any]) -> dict[str, Any]:
    return row | {"seal": schema.sealed(table, row)}


def _blob(row: Row[Any]) -> Blob:
    return Blob(row.id, row.digest, row.size)
