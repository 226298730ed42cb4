"""What the doctor holds a vault's rows against: their seals, and each other.

Each check is a generator of problems, so that what was found before a row that cannot be read is
told all the same.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, Final

from sqlalchemy import Column, Row, Select, Table, func, select
from sqlalchemy.exc import SQLAlchemyError

from memos_core.errors import DamagedError, MemosError
from memos_core.infrastructure.governance.labels import Label
from memos_core.infrastructure.governance.registry import grant_seal
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.records import VersionRow
from memos_core.infrastructure.vault.vault import Transaction

Check = Callable[[Transaction], Iterator[str]]

UNREADABLE: Final = (
    *(MemosError, SQLAlchemyError, sqlite3.Error, OSError),
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError),
)
"""What reading a damaged row can end in: SQLite stores, and gives back, anything anywhere."""
_LISTED: Final = 100


def collect(name: str, problems: Callable[[], Iterable[str]]) -> list[str]:
    """Run a check as far as it gets.

    Args:
        name: Of what it reads.
        problems: The check.
    """
    found: list[str] = []
    try:
        for each in problems():
            found.append(each)
            if len(found) == _LISTED:
                return [*found, f"{name}: … and perhaps more"]
    except UNREADABLE as error:
        found.append(f"{name}: cannot be read to the end ({str(error).splitlines()[0]})")
    return found


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A table whose rows bear seals.

    Args:
        table: The table.
        what: Names a row, by its columns.
        cube: The column of the memory that a row is of, where it is of one.
        seal: Computes a row's seal.
    """

    table: Table
    what: str
    cube: str | None = None
    seal: Callable[[dict[str, Any]], str] | None = None

    def whole(self, row: Row[Any]) -> bool:
        if self.seal is not None:
            return self.seal(dict(row._mapping)) == str(row.seal)
        return schema.is_whole(self.table, row)

    def named(self, row: Row[Any]) -> str:
        return self.what.format(**row._mapping)


def _version_seal(row: dict[str, Any]) -> str:
    return VersionRow(*(row[name] for name in VersionRow.__slots__)).seal()


_SEALED: Final = (
    _Sealed(schema.cubes, "memory {id}: damaged in cubes", "id"),
    _Sealed(
        schema.versions,
        "memory {cube_id}: damaged in versions (version {version})",
        "cube_id",
        _version_seal,
    ),
    _Sealed(
        schema.embeddings,
        "memory {cube_id}: damaged in embeddings (version {version})",
        "cube_id",
    ),
    _Sealed(
        schema.lineage,
        "memory {child_id}: damaged in lineage (derived from {parent_id})",
        "child_id",
    ),
    _Sealed(schema.grants, "grant {id}: damaged", seal=grant_seal),
    _Sealed(schema.principals, "principal {id}: damaged"),
    _Sealed(schema.members, "member {member_id} of group {group_id}: damaged"),
    _Sealed(schema.spaces, "space {id}: damaged"),
    _Sealed(schema.trusts, "trust of source {source_id}: damaged"),
    _Sealed(schema.quarantines, "quarantine {id}: damaged"),
    _Sealed(schema.holds, "hold {id}: damaged"),
    _Sealed(schema.withdrawals, "withdrawal {number}: damaged"),
    _Sealed(schema.snapshots, "snapshot {id}: damaged"),
    _Sealed(schema.erasures, "erasure {id}: damaged"),
    _Sealed(schema.blobs, "blob {id}: damaged"),
    _Sealed(schema.blob_uses, "memory {cube_id}: damaged in blob_uses", "cube_id"),
    _Sealed(schema.retrainings, "retraining {id}: damaged"),
    _Sealed(schema.links, "link {id}: damaged"),
)


def check_seals(tx: Transaction) -> Iterator[str]:
    """Hold every row that bears a seal against it, all versions and not only the present ones."""
    for each in _SEALED:
        yield from _seals_of(tx, each)


def _seals_of(tx: Transaction, sealed: _Sealed) -> Iterator[str]:
    try:
        rows = tx.connection.execute(select(sealed.table))
        found = [sealed.named(row) for row in rows if not sealed.whole(row)]
    except UNREADABLE as error:
        why = str(error).splitlines()[0]
        yield f"{sealed.table.name}: cannot be read to the end ({why})"
        found = list(_one_by_one(tx, sealed))
    yield from found


def _one_by_one(tx: Transaction, sealed: _Sealed) -> Iterator[str]:
    """Read a table row by row, each by its own id, to name those that cannot be read."""
    table = sealed.table
    name = sealed.cube or table.primary_key.columns.values()[0].name
    column = table.c[name]
    for (each,) in tx.connection.execute(select(column).distinct()).all():
        what = f"memory {each}" if sealed.cube else f"{table.name} {each}"
        try:
            rows = tx.connection.execute(select(table).where(column == each)).all()
            yield from [sealed.named(row) for row in rows if not sealed.whole(row)]
            if not rows:
                yield f"{what}: its row in {table.name} is not to be found"
        except UNREADABLE:
            yield f"{what}: cannot be read in {table.name}"


_POINTS: Final[tuple[tuple[Column[Any], Column[Any], str], ...]] = (
    (schema.versions.c.cube_id, schema.cubes.c.id, "memory {0}: it has versions and is not there"),
    (schema.embeddings.c.cube_id, schema.cubes.c.id, "memory {0}: it has vectors and is not there"),
    (schema.cube_keys.c.cube_id, schema.cubes.c.id, "memory {0}: it has a key and is not there"),
    (schema.lineage.c.child_id, schema.cubes.c.id, "memory {0}: it has sources and is not there"),
    (schema.lineage.c.parent_id, schema.cubes.c.id, "memory {0}: a source, and not there"),
    (schema.blob_uses.c.cube_id, schema.cubes.c.id, "memory {0}: it has blobs and is not there"),
    (schema.blob_uses.c.blob_id, schema.blobs.c.id, "blob {0}: a memory needs it, and it is gone"),
    (
        schema.links.c.source_id,
        schema.cubes.c.id,
        "memory {0}: a link begins there, and it is gone",
    ),
    (schema.links.c.target_id, schema.cubes.c.id, "memory {0}: a link ends there, and it is gone"),
    (schema.cubes.c.id, schema.cube_keys.c.cube_id, "memory {0}: its key is missing"),
    (schema.cubes.c.id, schema.journal.c.cube_id, "memory {0}: no journal tells of it"),
    (schema.cubes.c.realm_id, schema.realms.c.id, "realm {0}: it has memories and is not there"),
    (schema.cubes.c.space_id, schema.spaces.c.id, "space {0}: it has memories and is not there"),
    (schema.cubes.c.label_id, schema.labels.c.id, "label {0}: a memory bears it, and it is gone"),
    (schema.cubes.c.own_label_id, schema.labels.c.id, "label {0}: a memory's own, and it is gone"),
    (schema.versions.c.label_id, schema.labels.c.id, "label {0}: a version's, and it is gone"),
    (schema.spaces.c.realm_id, schema.realms.c.id, "realm {0}: it has spaces and is not there"),
    (schema.members.c.group_id, schema.principals.c.id, "principal {0}: has members, not there"),
    (schema.members.c.member_id, schema.principals.c.id, "principal {0}: in a group, not there"),
    (schema.grants.c.grantee_id, schema.principals.c.id, "principal {0}: has grants, not there"),
)
"""What must be there for what, and how to tell if it is not."""


def check_references(tx: Transaction) -> Iterator[str]:
    """Find rows of what is not there, and what lacks a row that it must have."""
    for here, there, what in _POINTS:
        query = select(here).distinct().where(~select(there).where(there == here).exists())
        yield from (what.format(each) for (each,) in tx.connection.execute(query))
    cubes, versions = schema.cubes.c, schema.versions.c
    present = (versions.cube_id == cubes.id) & (versions.version == cubes.version)
    query = select(cubes.id).where(~select(versions.cube_id).where(present).exists())
    for (each,) in tx.connection.execute(query):
        yield f"memory {each}: its present version is gone"
    vectors = schema.embeddings.c
    same = (vectors.cube_id == versions.cube_id) & (vectors.version == versions.version)
    known = select(vectors.cube_id).where(same, vectors.embedder == (tx.embedder or ""))
    for row in tx.connection.execute(
        select(versions.cube_id, versions.version).where(~known.exists())
    ):
        yield f"memory {row.cube_id}: the vector of version {row.version} is missing"


def check_histories(tx: Transaction) -> Iterator[str]:
    """Hold each memory's versions together: from 1, one ends when the next begins, the last stands.

    When a version was superseded is not under its seal, for it is written later.
    """
    table, cubes = schema.versions.c, schema.cubes.c
    query = (
        select(table.cube_id, table.version, table.recorded_from, table.recorded_to, cubes.version)
        .join(cubes.id.table, cubes.id == table.cube_id)
        .order_by(table.cube_id, table.version)
    )
    for cube_id, rows in groupby(tx.connection.execute(query), lambda row: row[0]):
        found = list(rows)
        last = found[-1]
        joined = found[0][1] == 1 and all(
            one[1] + 1 == two[1] and one[3] == two[2] for one, two in pairwise(found)
        )
        if not joined or last[3] is not None or last[1] != last[4]:
            yield f"memory {cube_id}: its versions do not follow one another"


def check_lineage(tx: Transaction) -> Iterator[str]:
    """Hold the lineage against the headers, which are sealed: no link may be lost."""
    links, cubes, versions = schema.lineage.c, schema.cubes.c, schema.versions.c
    known: dict[str, set[str]] = {}
    for row in tx.connection.execute(select(links.child_id, links.parent_id)):
        known.setdefault(row.child_id, set()).add(row.parent_id)
    query: Select[Any] = (
        select(cubes.id, versions.header)
        .join(versions.cube_id.table, versions.cube_id == cubes.id)
        .where(versions.version == cubes.version, versions.header.contains('"lineage"'))
    )
    for row in tx.connection.execute(query):
        try:
            named = set(json.loads(row.header).get("lineage", ()))
        except (ValueError, TypeError, AttributeError):
            continue  # the seal tells of it
        for parent in sorted(named - known.get(row.id, set())):
            yield f"memory {row.id}: the row is lost that says it was derived from {parent}"


def check_tombstones(tx: Transaction) -> Iterator[str]:
    """Hold the tombstones against the memories and the journals."""
    tombs, cubes, journal = schema.tombstones, schema.cubes.c, schema.journal.c
    forgotten = {
        row.cube_id
        for row in tx.connection.execute(select(journal.cube_id).where(journal.op == "forget"))
    }
    for row in tx.connection.execute(select(tombs)):
        if row.cube_id not in forgotten or not isinstance(row.forgotten_at, int):
            yield f"tombstone of memory {row.cube_id}: damaged"
        forgotten.discard(row.cube_id)
    for each in sorted(forgotten):
        yield f"tombstone of memory {each}: lost"
    back = select(cubes.id).where(cubes.id.in_(select(tombs.c.cube_id)))
    for (each,) in tx.connection.execute(back):
        yield f"memory {each}: it was forgotten, and is there"


def check_labels(tx: Transaction) -> Iterator[str]:
    """Hold every label against its digest."""
    for row in tx.connection.execute(select(schema.labels)):
        try:
            Label.load(row.id, row.atoms)
        except DamagedError as error:
            yield str(error)
        except (TypeError, AttributeError):
            yield f"label {row.id}: damaged"


def check_journals(tx: Transaction) -> Iterator[str]:
    """Hold the journals against the numbers of their realms, and against what they tell of."""
    table, realms = schema.journal, schema.realms
    query = (
        select(realms.c.id, realms.c.seq, func.count(table.c.seq), func.max(table.c.seq))
        .outerjoin(table, table.c.realm_id == realms.c.id)
        .group_by(realms.c.id, realms.c.seq)
    )
    for realm_id, seq, count, last in tx.connection.execute(query):
        if count != seq or (last or 0) != seq:
            yield (
                f"realm {realm_id}: its journal has {count} entries up to {last or 0}, "
                f"it should have {seq}"
            )
    cubes, tombs = schema.cubes.c.id, schema.tombstones.c.cube_id
    strange = (
        select(table.c.cube_id, table.c.seq, table.c.realm_id)
        .where(~select(cubes).where(cubes == table.c.cube_id).exists())
        .where(~select(tombs).where(tombs == table.c.cube_id).exists())
    )
    for row in tx.connection.execute(strange):
        yield (
            f"realm {row.realm_id}: entry {row.seq} of its journal is about {row.cube_id}, "
            "which is neither there nor forgotten"
        )


def check_quotas(tx: Transaction) -> Iterator[str]:
    """Look for limits that are no numbers."""
    names = ("max_cubes", "max_bytes", "max_reads_per_day", "cubes", "bytes")
    for row in tx.connection.execute(select(schema.quotas)):
        if not all(isinstance(row._mapping[name], int | None) for name in names):
            yield f"quota of {row.subject}: damaged"


CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("seals", check_seals),
    ("references", check_references),
    ("versions", check_histories),
    ("lineage", check_lineage),
    ("tombstones", check_tombstones),
    ("labels", check_labels),
    ("journals", check_journals),
    ("quotas", check_quotas),
)
