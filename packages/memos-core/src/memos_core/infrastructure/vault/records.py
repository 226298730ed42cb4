"""Rows of memories: written with a seal, read only if the seal still holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Result, Row, Select, bindparam, delete, func, insert, select, true, update

from memos_core.clock import from_micros
from memos_core.cube import MemCube, MemoryState, Version
from memos_core.errors import DamagedError
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.schema import batches, seal
from memos_core.infrastructure.vault.vault import Transaction


@dataclass(frozen=True, slots=True)
class CubeRow:
    """What governs a memory now: where it lies, its label, its version, its end.

    `label_id` is what a reader needs; `own_label_id` is the part of it that the memory brings by
    itself, without what it inherits from the memories that it was derived from.
    """

    id: str
    realm_id: str
    space_id: str
    key: str | None
    owner_id: str
    state: str
    version: int
    label_id: str
    own_label_id: str
    expires: int | None
    created: int

    def has_ended(self, now: int) -> bool:
        """Tell whether the memory has expired at `now`, in microseconds."""
        return self.expires is not None and self.expires <= now

    def seal(self) -> str:
        """Hash the row."""
        return seal(*(getattr(self, name) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One recorded state of a memory: header and payload as JSON text."""

    cube_id: str
    version: int
    label_id: str
    recorded_from: int
    author_id: str
    action: str
    reason: str
    header: str
    payload: str

    def seal(self) -> str:
        """Hash the row; when a version was superseded is not part of what it says."""
        return seal(*(getattr(self, name) for name in self.__slots__))

    @property
    def content_hash(self) -> str:
        """The SHA-256 of the payload's JSON text."""
        return hashlib.sha256(self.payload.encode("utf-8")).hexdigest()


@dataclass(frozen=True, slots=True)
class Record:
    """A memory as it stands: its governing row and one version."""

    cube: CubeRow
    version: VersionRow

    def memcube(self, told: Mapping[str, Any] | None = None) -> MemCube:
        """Build the whole MemCube.

        Args:
            told: Header fields that are told at each read and not stored.
        """
        cube = MemCube.model_validate_json(
            f'{{"meta":{self.version.header},"payload":{self.version.payload}}}'
        )
        changes: dict[str, Any] = {
            "id": self.cube.id,
            "version": self.version.version,
            "state": self._state(cube.meta.state),
            "updated": from_micros(self.version.recorded_from),
            "content_hash": self.version.content_hash,
            **(told or {}),
        }
        return cube.model_copy(update={"meta": cube.meta.model_copy(update=changes)})

    def _state(self, recorded: MemoryState | None) -> MemoryState:
        """Say in which state this version was, or is if it is the present one."""
        if self.version.version == self.cube.version:
            return MemoryState(self.cube.state)
        return recorded or MemoryState.GENERATED

    def listed(self, cube: MemCube, author: str) -> Version:
        """Build the entry of `history`.

        Args:
            cube: This version, as the caller sees it.
            author: Who wrote it.
        """
        row = self.version
        return Version(
            cube=cube,
            recorded_at=from_micros(row.recorded_from),
            author=author,
            reason=row.reason,
            action=row.action,
        )


@dataclass(frozen=True, slots=True)
class Damage:
    """A memory whose stored bytes do not match their seal; its content is withheld.

    Where `table` is `cubes`, the governing row itself is not to be trusted beyond its id.
    """

    cube: CubeRow
    table: str

    def error(self) -> DamagedError:
        """Say what to do about it."""
        return DamagedError(
            f"memory {self.cube.id} is damaged on disk ({self.table}): its content is withheld; "
            "run `memos doctor` and restore it from a backup"
        )


_CUBE = list(schema.cubes.c)
_VERSION = [column.label(f"v_{column.name}") for column in schema.versions.c]
_CURRENT = select(*_CUBE, *_VERSION).join_from(
    schema.cubes,
    schema.versions,
    (schema.cubes.c.id == schema.versions.c.cube_id)
    & (schema.cubes.c.version == schema.versions.c.version),
)
_AS_OF = select(*_CUBE, *_VERSION).join_from(
    schema.cubes,
    schema.versions,
    (schema.cubes.c.id == schema.versions.c.cube_id)
    & (schema.versions.c.recorded_from <= bindparam("at"))
    & func.coalesce(schema.versions.c.recorded_to > bindparam("at"), true()),
)
_IDS = schema.cubes.c.id.in_(bindparam("ids", expanding=True))
_KEY = (schema.cubes.c.space_id == bindparam("space_id")) & (schema.cubes.c.key == bindparam("key"))
_BY_ID, _BY_ID_AS_OF = _CURRENT.where(_IDS), _AS_OF.where(_IDS)
_BY_KEY, _BY_KEY_AS_OF = _CURRENT.where(_KEY), _AS_OF.where(_KEY)


_INSERT_CUBE = insert(schema.cubes)
_INSERT_VERSION = insert(schema.versions)
_INSERT_EMBEDDING = insert(schema.embeddings)


def _read(row: Row[Any], twin: Record | Damage | None = None) -> Record | Damage:
    """Hold a row against its seals.

    Args:
        row: Of a memory and one version.
        twin: What was read of the same memory already: two versions cannot stand at one instant.
            When one was superseded is not sealed, so this is how damage to that shows.
    """
    values = row._mapping
    cube = CubeRow(*(values[name] for name in CubeRow.__slots__))
    version = VersionRow(*(values[f"v_{name}"] for name in VersionRow.__slots__))
    if cube.seal() != values["seal"]:
        return Damage(cube, "cubes")
    if version.seal() != values["v_seal"] or twin is not None:
        return Damage(cube, "versions")
    return Record(cube, version)


def fetch(
    tx: Transaction, ids: Sequence[str], *, at: int | None = None
) -> dict[str, Record | Damage]:
    """Read memories by id, each held against its seals.

    Args:
        tx: The snapshot.
        ids: Which memories.
        at: The version that stood then, in microseconds; None is the present one. The governing
            row is always the present one.

    Returns:
        A mapping from id to record or damage; absent ids are missing from it.
    """
    found: dict[str, Record | Damage] = {}
    for batch in batches(list(dict.fromkeys(ids))):
        for row in _execute(tx, _BY_ID, _BY_ID_AS_OF, at, ids=batch):
            found[row.id] = _read(row, found.get(row.id))
    return found


def standings(tx: Transaction, ids: Sequence[str]) -> dict[str, tuple[int, str, int | None]]:
    """Read how memories stand: their version, their label and their end, in microseconds."""
    cubes = schema.cubes.c
    found: dict[str, tuple[int, str, int | None]] = {}
    for batch in batches(ids):
        query = select(cubes.id, cubes.version, cubes.label_id, cubes.expires)
        for row in tx.connection.execute(query.where(cubes.id.in_(batch))):
            found[row.id] = (row.version, row.label_id, row.expires)
    return found


def fetch_by_key(
    tx: Transaction, space_id: str, key: str, *, at: int | None = None
) -> Record | Damage | None:
    """Read the memory that has this key in this space; `at` as for `fetch`."""
    found = _execute(tx, _BY_KEY, _BY_KEY_AS_OF, at, space_id=space_id, key=key)
    read: Record | Damage | None = None
    for row in found:
        read = _read(row, read)
    return read


def _execute(
    tx: Transaction, now: Select[Any], as_of: Select[Any], at: int | None, **values: Any
) -> Result[Any]:
    if at is None:
        return tx.connection.execute(now, values)
    return tx.connection.execute(as_of, values | {"at": at})


def fetch_versions(tx: Transaction, cube: CubeRow) -> list[Record]:
    """Read every version of a memory, oldest first.

    Raises:
        DamagedError: A version's bytes do not match its seal.
    """
    table = schema.versions
    query = select(table).where(table.c.cube_id == cube.id).order_by(table.c.version)
    found = []
    for row in tx.connection.execute(query):
        version = VersionRow(*(row._mapping[name] for name in VersionRow.__slots__))
        if version.seal() != row.seal:
            raise Damage(cube, "versions").error()
        found.append(Record(cube, version))
    return found


def insert_records(tx: Transaction, records: Sequence[Record]) -> None:
    """Write new memories with their first versions."""
    _bulk(tx, _INSERT_CUBE, [_row(record.cube) for record in records])
    _bulk(tx, _INSERT_VERSION, [_row(record.version) for record in records])


def advance(tx: Transaction, record: Record) -> None:
    """Write a memory's next version, closing the one before at the same instant."""
    table = schema.versions
    tx.connection.execute(
        update(table)
        .where(table.c.cube_id == record.cube.id, table.c.recorded_to.is_(None))
        .values(recorded_to=record.version.recorded_from)
    )
    tx.connection.execute(insert(table), _row(record.version))
    govern(tx, record.cube)


def govern(tx: Transaction, row: CubeRow) -> None:
    """Write a memory's governing row anew."""
    tx.connection.execute(
        update(schema.cubes).where(schema.cubes.c.id == row.id).values(**_row(row))
    )


def erase(tx: Transaction, ids: Sequence[str]) -> None:
    """Delete every row that holds content, keys or vectors of these memories."""
    for table in (schema.blob_uses, schema.embeddings, schema.cube_keys, schema.versions):
        tx.connection.execute(delete(table).where(table.c.cube_id.in_(ids)))
    tx.connection.execute(delete(schema.grants).where(schema.grants.c.cube_id.in_(ids)))
    tx.connection.execute(delete(schema.usages).where(schema.usages.c.cube_id.in_(ids)))
    tx.connection.execute(delete(schema.tasks).where(schema.tasks.c.subject.in_(ids)))
    links = schema.links.c
    ends = links.source_id.in_(ids) | links.target_id.in_(ids)
    tx.connection.execute(delete(schema.links).where(ends))
    tx.connection.execute(delete(schema.lineage).where(schema.lineage.c.child_id.in_(ids)))
    tx.connection.execute(delete(schema.cubes).where(schema.cubes.c.id.in_(ids)))


def relink(tx: Transaction, child_id: str, versions: Mapping[str, int]) -> None:
    """Record which versions of its sources a memory is made of now."""
    table = schema.lineage
    for parent_id, version in versions.items():
        row = {"child_id": child_id, "parent_id": parent_id, "parent_version": version}
        chosen = (table.c.child_id == child_id) & (table.c.parent_id == parent_id)
        sealed = row | {"seal": schema.sealed(table, row)}
        tx.connection.execute(update(table).where(chosen).values(**sealed))


def children(tx: Transaction, ids: Sequence[str]) -> list[str]:
    """List the memories that were derived directly from these, each once.

    Raises:
        DamagedError: A row's bytes changed on disk: nobody can say what was derived from what.
    """
    table = schema.lineage
    found: dict[str, None] = {}
    for batch in batches(ids):
        for row in tx.connection.execute(select(table).where(table.c.parent_id.in_(batch))):
            found[_whole_link(row).child_id] = None
    return list(found)


def parents(tx: Transaction, child_id: str) -> list[str]:
    """List the memories that one was derived from directly; raises like `children`."""
    table = schema.lineage
    rows = tx.connection.execute(select(table).where(table.c.child_id == child_id))
    return [_whole_link(row).parent_id for row in rows]


def _whole_link(row: Row[Any]) -> Row[Any]:
    if not schema.is_whole(schema.lineage, row):
        raise DamagedError(
            "a row that says what was derived from what is damaged on disk: run `memos doctor`, "
            "which names the memory; forget that one, or restore a backup"
        )
    return row


def embedding_seal(cube_id: str, version: int, embedder: str, vector: bytes) -> str:
    """Hash a stored vector with what it belongs to."""
    return seal(cube_id, version, embedder, vector)


def insert_embeddings(
    tx: Transaction, rows: Iterable[tuple[str, int, bytes]], embedder: str
) -> None:
    """Write vectors, as (cube id, version, float32 bytes)."""
    values = [
        {
            "cube_id": cube_id,
            "version": version,
            "embedder": embedder,
            "vector": vector,
            "seal": embedding_seal(cube_id, version, embedder, vector),
        }
        for cube_id, version, vector in rows
    ]
    _bulk(tx, _INSERT_EMBEDDING, values)


@dataclass(frozen=True, slots=True)
class Indexable:
    """A record with its vector, as the indexes read it."""

    record: Record
    vector: bytes


def stream_realm(
    tx: Transaction,
    realm_id: str,
    embedder: str,
    *,
    ids: Sequence[str] | None = None,
    at: int | None = None,
) -> Iterator[Indexable | Damage]:
    """Read the memories of a realm with their vectors, in the order in which they were made.

    Args:
        tx: The snapshot.
        realm_id: The realm.
        embedder: The embedder whose vectors are wanted.
        ids: Only these memories.
        at: The versions that stood then, in microseconds; None is the present ones.

    Yields:
        An indexable record, or the damage that withholds it.
    """
    table = schema.embeddings
    base = _CURRENT if at is None else _AS_OF.params(at=at)
    query = (
        base.add_columns(table.c.vector, table.c.seal.label("e_seal"))
        .outerjoin(
            table,
            (table.c.cube_id == schema.cubes.c.id)
            & (table.c.version == schema.versions.c.version)
            & (table.c.embedder == embedder),
        )
        .where(schema.cubes.c.realm_id == realm_id)
        .order_by(schema.cubes.c.created, schema.cubes.c.id)
    )
    for batch in [None] if ids is None else batches(ids):
        chosen = query if batch is None else query.where(schema.cubes.c.id.in_(batch))
        for _cube_id, rows in groupby(tx.connection.execute(chosen), lambda row: row.id):
            found = [_indexable(row, embedder) for row in rows]
            yield found[0] if len(found) == 1 else _twins(found[0])


def _twins(found: Indexable | Damage) -> Damage:
    """Withhold a memory that has two versions at one instant; see `_read`."""
    return found if isinstance(found, Damage) else Damage(found.record.cube, "versions")


def _indexable(row: Row[Any], embedder: str) -> Indexable | Damage:
    record = _read(row)
    if isinstance(record, Damage):
        return record
    vector = row.vector
    if vector is None or row.e_seal != embedding_seal(
        record.cube.id, record.version.version, embedder, vector
    ):
        return Damage(record.cube, "embeddings")
    return Indexable(record, vector)


def _row(row: CubeRow | VersionRow) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(row, name) for name in row.__slots__}
    values["seal"] = row.seal()
    return values


def _bulk(tx: Transaction, statement: Any, rows: list[dict[str, Any]]) -> None:
    if rows:
        tx.connection.execute(statement, rows if len(rows) > 1 else rows[0])
