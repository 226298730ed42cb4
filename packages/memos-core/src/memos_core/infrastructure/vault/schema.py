"""The tables of a vault. One definition for SQLite and PostgreSQL.

Instants are microseconds since 1970 (`BigInteger`). A row that carries or governs content ends in a
`seal`, a SHA-256 over its other columns, which is checked on every read: damage is reported, never
served. Names of principals and paths of spaces stand in one table each, so that the ledger can hold
pseudonymous ids only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA_NUMBER: Final = 5
_BATCH: Final = 500

metadata = MetaData()

vault = Table(
    "vault",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("vault_id", String(40), nullable=False),
    Column("schema_number", Integer, nullable=False),
    Column("policy_epoch", BigInteger, nullable=False),
    Column("embedder", Text),
    Column("dims", Integer),
    Column("created", BigInteger, nullable=False),
    Column("backed_up", BigInteger),  # when a backup was last taken
    Column("anchored", BigInteger),  # since when anchors are told of its checkpoints
)

principals = Table(
    "principals",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("clearance", Integer, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("seal", String(64), nullable=False, server_default=""),
)

members = Table(
    "members",
    metadata,
    Column("group_id", String(40), ForeignKey("principals.id"), primary_key=True),
    Column("member_id", String(40), ForeignKey("principals.id"), primary_key=True, index=True),
    Column("seal", String(64), nullable=False, server_default=""),
)

realms = Table(
    "realms",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("seq", BigInteger, nullable=False),
)

spaces = Table(
    "spaces",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("path", Text, nullable=False, unique=True),
    Column("realm_id", String(40), ForeignKey("realms.id"), nullable=False),
    Column("seal", String(64), nullable=False, server_default=""),
)

labels = Table(
    "labels",
    metadata,
    Column("id", String(64), primary_key=True),  # the SHA-256 of `atoms`
    Column("atoms", Text, nullable=False),
)

grants = Table(
    "grants",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("grantee_id", String(40), ForeignKey("principals.id"), nullable=False, index=True),
    Column("actions", Integer, nullable=False),
    Column("space", Text),
    Column("cube_id", String(40)),
    Column("purposes", Text, nullable=False),
    Column("until", BigInteger),
    Column("granted_by", String(40), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("revoked", BigInteger),
    Column("seal", String(64), nullable=False),
    Column("basis", String(40), index=True),  # the grant of GOVERN that it was given by
)

origins = Table(
    "origins",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
)

trusts = Table(
    "trusts",
    metadata,
    Column("source_id", String(40), primary_key=True),  # a principal's or an origin's
    Column("level", Integer, nullable=False),
    Column("seal", String(64), nullable=False),
)

quarantines = Table(
    "quarantines",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("source_id", String(40), nullable=False),
    Column("space", Text, nullable=False),
    Column("set_by", String(40), nullable=False),
    Column("reason", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("released", BigInteger),
    Column("seal", String(64), nullable=False),
)

holds = Table(
    "holds",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("space", Text),
    Column("cube_id", String(40), index=True),
    Column("set_by", String(40), nullable=False),
    Column("reason", Text, nullable=False),
    Column("until", BigInteger),
    Column("created", BigInteger, nullable=False),
    Column("lifted", BigInteger),
    Column("seal", String(64), nullable=False),
)

quotas = Table(
    "quotas",
    metadata,
    Column("subject", Text, primary_key=True),  # a principal's name or a space's path
    Column("max_cubes", BigInteger),
    Column("max_bytes", BigInteger),
    Column("max_reads_per_day", BigInteger),
    Column("cubes", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)

cubes = Table(
    "cubes",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("realm_id", String(40), ForeignKey("realms.id"), nullable=False, index=True),
    Column("space_id", String(40), ForeignKey("spaces.id"), nullable=False),
    Column("key", Text),
    Column("owner_id", String(40), nullable=False),
    Column("state", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("label_id", String(64), ForeignKey("labels.id"), nullable=False),
    Column("own_label_id", String(64), ForeignKey("labels.id"), nullable=False),
    Column("expires", BigInteger),
    Column("created", BigInteger, nullable=False),
    Column("seal", String(64), nullable=False),
    UniqueConstraint("space_id", "key", name="cubes_key"),
)

versions = Table(
    "versions",
    metadata,
    Column("cube_id", String(40), ForeignKey("cubes.id"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("label_id", String(64), nullable=False),
    Column("recorded_from", BigInteger, nullable=False),
    Column("recorded_to", BigInteger),
    Column("author_id", String(40), nullable=False),
    Column("action", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("header", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("seal", String(64), nullable=False),
)

lineage = Table(
    "lineage",
    metadata,
    Column("child_id", String(40), ForeignKey("cubes.id"), primary_key=True),
    Column("parent_id", String(40), primary_key=True, index=True),
    Column("parent_version", Integer, nullable=False),
    Column("seal", String(64), nullable=False, server_default=""),
)

embeddings = Table(
    "embeddings",
    metadata,
    Column("cube_id", String(40), ForeignKey("cubes.id"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("embedder", String(80), primary_key=True),
    Column("vector", LargeBinary, nullable=False),
    Column("seal", String(64), nullable=False),
)

cube_keys = Table(
    "cube_keys",
    metadata,
    Column("cube_id", String(40), ForeignKey("cubes.id"), primary_key=True),
    Column("key", LargeBinary, nullable=False),
)

journal = Table(
    "journal",
    metadata,
    Column("realm_id", String(40), ForeignKey("realms.id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("cube_id", String(40), nullable=False),
    Column("op", String(16), nullable=False),
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("cube_id", String(40), primary_key=True),
    Column("forgotten_at", BigInteger, nullable=False),
    Column("principal_id", String(40), nullable=False),
    Column("reason", Text, nullable=False),
)

erasures = Table(
    "erasures",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("principal_id", String(40), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("forgotten", Text, nullable=False),  # the ids that were named, as JSON
    Column("derived", Text, nullable=False),  # those that went with them and could be read
    Column("realms", Text, nullable=False),  # by realm, the journal entry that removed them
    Column("erased", BigInteger),  # since when their bytes are gone
    Column("seal", String(64), nullable=False),
)

withdrawals = Table(
    "withdrawals",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(16), nullable=False),
    Column("body", Text, nullable=False),
    Column("seal", String(64), nullable=False),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("space", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("instant", BigInteger, nullable=False),
    Column("set_by", String(40), nullable=False),
    Column("reason", Text, nullable=False),
    Column("seal", String(64), nullable=False),
    UniqueConstraint("space", "name", name="snapshots_name"),
)

chains = Table(
    "ledger_chains",
    metadata,
    Column("chain", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("head", String(64), nullable=False),
    Column("last_time", BigInteger, nullable=False),
)

ledger = Table(
    "ledger",
    metadata,
    Column("chain", Integer, ForeignKey("ledger_chains.chain"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("time", BigInteger, nullable=False, index=True),
    Column("type", String(40), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("principal_id", String(40), nullable=False),
    Column("subject", String(40), index=True),
    Column("body", Text, nullable=False),
    Column("hash", String(64), nullable=False),
)

blobs = Table(
    "blobs",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("digest", String(64), nullable=False, index=True),
    Column("label_id", String(64), ForeignKey("labels.id"), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),  # pending, ready, deleting
    Column("writer", String(40), nullable=False),  # the process that uploads it
    Column("created", BigInteger, nullable=False),
    Column("seal", String(64), nullable=False),
)

blob_uses = Table(
    "blob_uses",
    metadata,
    Column("cube_id", String(40), ForeignKey("cubes.id"), primary_key=True),
    Column("blob_id", String(40), ForeignKey("blobs.id"), primary_key=True, index=True),
    Column("seal", String(64), nullable=False),
)

links = Table(
    "links",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("source_id", String(40), ForeignKey("cubes.id"), nullable=False),
    Column("target_id", String(40), ForeignKey("cubes.id"), nullable=False, index=True),
    Column("type", String(24), nullable=False),
    Column("percent", Integer, nullable=False),  # how sure whoever linked them is
    Column("about", Text, nullable=False),  # the stems that it is about, where it is not all of it
    Column("reason", Text, nullable=False),
    Column("author_id", String(40), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("seal", String(64), nullable=False),
    UniqueConstraint("source_id", "target_id", "type", name="links_once"),
)

usages = Table(
    "usages",
    metadata,
    Column("cube_id", String(40), ForeignKey("cubes.id"), primary_key=True),
    Column("principal_id", String(40), primary_key=True),
    Column("uses", BigInteger, nullable=False),
    Column("last_used", BigInteger, nullable=False),
)

tasks = Table(
    "tasks",
    metadata,
    Column("kind", String(24), primary_key=True),
    Column("subject", String(80), primary_key=True),
    Column("due", BigInteger, nullable=False),  # not before this
    Column("lease", String(40)),  # whoever holds it now
    Column("attempts", Integer, nullable=False),
    Column("dead", BigInteger),  # since when it is not tried any more
    Column("error", Text, nullable=False),
)

progress = Table(
    "progress",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

retrainings = Table(
    "retrainings",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("principal_id", String(40), nullable=False),
    Column("space", Text, nullable=False),
    Column("key", Text),
    Column("was", String(40), nullable=False),  # the adapter that went
    Column("model", Text, nullable=False),  # the fingerprint of its model
    Column("sources", Text, nullable=False),  # the memories that are left, as JSON
    Column("recipe", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("seal", String(64), nullable=False),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("public", String(64), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("retired", BigInteger),
    Column("revoked", BigInteger),
    Column("endorsement", Text),  # by the key before it; of the first there is none
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
    Column("key_id", String(40), nullable=False),
    Column("signature", Text, nullable=False),
)

segments = Table(
    "ledger_segments",
    metadata,
    Column("chain", Integer, primary_key=True, autoincrement=False),
    Column("last_seq", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", String(64), nullable=False),
    Column("checkpoint", BigInteger, nullable=False),
    Column("pruned", BigInteger, nullable=False),
)

Index("ledger_by_principal", ledger.c.principal_id, ledger.c.time)
Index("cubes_by_owner", cubes.c.owner_id)
Index("cubes_by_end", cubes.c.expires)
Index("versions_recorded", versions.c.cube_id, versions.c.recorded_from)


def seal(*columns: str | int | bytes | None) -> str:
    """Hash the columns of a row, in order and without ambiguity.

    Returns:
        64 hex digits of SHA-256.

    >>> seal("a", 1) != seal("a1", None)
    True
    """
    # No bytes are not an empty text: a bit in a row's header makes one of the other.
    plain: list[object] = [
        (value.hex() or []) if isinstance(value, bytes) else value for value in columns
    ]
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def sealed(table: Table, row: Mapping[str, Any]) -> str:
    """Compute the seal of a row of a table whose last column is its seal.

    Args:
        table: The table.
        row: The values of its other columns.
    """
    return seal(*(row[column.name] for column in table.columns if column.name != "seal"))


def is_whole(table: Table, row: Row[Any]) -> bool:
    """Tell whether a row that was read with all its columns still matches its seal."""
    return sealed(table, dict(row._mapping)) == str(row.seal)


def batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut ids into lists that fit into one `IN`: SQLite binds a bounded number of values."""
    for start in range(0, len(ids), _BATCH):
        yield ids[start : start + _BATCH]
