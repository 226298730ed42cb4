"""Governance: trust, quarantine, holds, quotas, keys, checkpoints; labels name their sources.

The memories that are there already get labels that name their authors and origins, so that a
quarantine finds them too. A row whose seal does not hold is left as it is, for the doctor.
"""

import hashlib
import json
import secrets

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "checkpoints",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("key_id", sa.String(length=40), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "holds",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("space", sa.Text(), nullable=True),
        sa.Column("cube_id", sa.String(length=40), nullable=True),
        sa.Column("set_by", sa.String(length=40), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("lifted", sa.BigInteger(), nullable=True),
        sa.Column("seal", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_holds_cube_id"), "holds", ["cube_id"], unique=False)
    op.create_table(
        "ledger_segments",
        sa.Column("chain", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last_seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("checkpoint", sa.BigInteger(), nullable=False),
        sa.Column("pruned", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("chain", "last_seq"),
    )
    op.create_table(
        "origins",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "quarantines",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("source_id", sa.String(length=40), nullable=False),
        sa.Column("space", sa.Text(), nullable=False),
        sa.Column("set_by", sa.String(length=40), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("released", sa.BigInteger(), nullable=True),
        sa.Column("seal", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "quotas",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("max_cubes", sa.BigInteger(), nullable=True),
        sa.Column("max_bytes", sa.BigInteger(), nullable=True),
        sa.Column("max_reads_per_day", sa.BigInteger(), nullable=True),
        sa.Column("cubes", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject"),
    )
    op.create_table(
        "signing_keys",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("public", sa.String(length=64), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("retired", sa.BigInteger(), nullable=True),
        sa.Column("revoked", sa.BigInteger(), nullable=True),
        sa.Column("endorsement", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("number"),
    )
    op.create_table(
        "trusts",
        sa.Column("source_id", sa.String(length=40), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("seal", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("source_id"),
    )
    op.create_index("cubes_by_owner", "cubes", ["owner_id"], unique=False)
    op.add_column("grants", sa.Column("basis", sa.String(length=40), nullable=True))
    op.create_index(op.f("ix_grants_basis"), "grants", ["basis"], unique=False)
    op.drop_index(op.f("ix_ledger_principal_id"), table_name="ledger")
    op.create_index("ledger_by_principal", "ledger", ["principal_id", "time"], unique=False)
    _name_sources(op.get_bind())


def downgrade() -> None:
    op.drop_index("ledger_by_principal", table_name="ledger")
    op.create_index(op.f("ix_ledger_principal_id"), "ledger", ["principal_id"], unique=False)
    op.drop_index(op.f("ix_grants_basis"), table_name="grants")
    op.drop_column("grants", "basis")
    op.drop_index("cubes_by_owner", table_name="cubes")
    op.drop_table("trusts")
    op.drop_table("signing_keys")
    op.drop_table("quotas")
    op.drop_table("quarantines")
    op.drop_table("origins")
    op.drop_table("ledger_segments")
    op.drop_index(op.f("ix_holds_cube_id"), table_name="holds")
    op.drop_table("holds")
    op.drop_table("checkpoints")


_SEALED = (
    "id",
    "realm_id",
    "space_id",
    "key",
    "owner_id",
    "state",
    "version",
    "label_id",
    "own_label_id",
    "expires",
    "created",
)


def _name_sources(connection) -> None:
    """Give every memory a label that names its sources, parents before their children."""
    meta = sa.MetaData()
    meta.reflect(connection, only=["cubes", "versions", "labels", "lineage", "origins"])
    cubes, labels, lineage = (meta.tables[name] for name in ("cubes", "labels", "lineage"))
    rows = {row.id: dict(row._mapping) for row in connection.execute(sa.select(cubes))}
    rows = {each: row for each, row in rows.items() if _seal(row) == row["seal"]}
    atoms = {row.id: row.atoms for row in connection.execute(sa.select(labels))}
    atoms = {each: json.loads(text) for each, text in atoms.items() if _digest(text) == each}
    parents = {each: [] for each in rows}
    for row in connection.execute(sa.select(lineage)):
        if row.child_id in rows and row.parent_id in rows:
            parents[row.child_id].append(row.parent_id)
    sources = _sources(connection, meta, rows)
    done = {}
    pending = [each for each in rows if rows[each]["own_label_id"] in atoms]
    while pending:
        waiting = set(pending)
        ready = [each for each in pending if not waiting.intersection(parents[each])]
        for each in ready or pending:
            own = [atoms[rows[each]["own_label_id"]][0] | {"sources": sorted(sources[each])}]
            inherited = [atom for parent in parents[each] for atom in done.get(parent, [])]
            done[each] = _united([*own, *inherited])
            _write(connection, labels, cubes, rows[each], _united(own), done[each])
        pending = [each for each in pending if each not in done]


def _sources(connection, meta, rows) -> dict:
    versions, origins = meta.tables["versions"], meta.tables["origins"]
    found = {each: {row["owner_id"]} for each, row in rows.items()}
    ids = {}
    columns = (versions.c.cube_id, versions.c.author_id, versions.c.header)
    for row in connection.execute(sa.select(*columns)):
        if row.cube_id not in found:
            continue
        found[row.cube_id].add(row.author_id)
        try:
            source = json.loads(row.header).get("source")
        except ValueError:
            continue  # damaged: the doctor names it
        name = source.get("origin") if isinstance(source, dict) else source
        if name:
            if name not in ids:
                ids[name] = "org_" + secrets.token_hex(10)
                connection.execute(sa.insert(origins).values(id=ids[name], name=name))
            found[row.cube_id].add(ids[name])
    return found


def _write(connection, labels, cubes, row, own, whole) -> None:
    changed = dict(row)
    for column, atoms in (("own_label_id", own), ("label_id", whole)):
        text = json.dumps(atoms, ensure_ascii=False, separators=(",", ":"))
        changed[column] = _digest(text)
        known = sa.select(labels.c.id).where(labels.c.id == changed[column])
        if connection.scalar(known) is None:
            connection.execute(sa.insert(labels).values(id=changed[column], atoms=text))
    changed["seal"] = _seal(changed)
    connection.execute(sa.update(cubes).where(cubes.c.id == row["id"]).values(**changed))


def _united(atoms) -> list:
    def order(atom):
        return (
            atom["space"],
            atom["sensitivity"],
            atom["access"],
            atom["purposes"],
            atom["cube"],
            atom.get("sources", []),
        )

    unique = {json.dumps(atom, sort_keys=True): atom for atom in atoms}
    return sorted(unique.values(), key=order)


def _seal(row) -> str:
    plain = [row[name] for name in _SEALED]
    return _digest(json.dumps(plain, ensure_ascii=False, separators=(",", ":")))


def _digest(text) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
