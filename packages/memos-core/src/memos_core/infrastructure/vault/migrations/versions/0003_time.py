"""Time and forgetting: erasures, withdrawals, snapshots; seals on what decides who may read.

The rows that are there are sealed as they stand.
"""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_SEALED = {
    "principals": ("id", "name", "clearance", "created"),
    "members": ("group_id", "member_id"),
    "spaces": ("id", "path", "realm_id"),
    "lineage": ("child_id", "parent_id", "parent_version"),
}


def upgrade() -> None:
    op.create_table('erasures',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('principal_id', sa.String(length=40), nullable=False),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('forgotten', sa.Text(), nullable=False),
    sa.Column('derived', sa.Text(), nullable=False),
    sa.Column('realms', sa.Text(), nullable=False),
    sa.Column('erased', sa.BigInteger(), nullable=True),
    sa.Column('seal', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_table('snapshots',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('space', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('instant', sa.BigInteger(), nullable=False),
    sa.Column('set_by', sa.String(length=40), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('seal', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('space', 'name', name='snapshots_name')
    )
    op.create_table('withdrawals',
    sa.Column('number', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('body', sa.Text(), nullable=False),
    sa.Column('seal', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('number')
    )
    op.add_column('lineage', sa.Column('seal', sa.String(length=64), server_default='', nullable=False))
    op.add_column('members', sa.Column('seal', sa.String(length=64), server_default='', nullable=False))
    op.add_column('principals', sa.Column('seal', sa.String(length=64), server_default='', nullable=False))
    op.add_column('spaces', sa.Column('seal', sa.String(length=64), server_default='', nullable=False))
    op.add_column('vault', sa.Column('backed_up', sa.BigInteger(), nullable=True))
    op.add_column('vault', sa.Column('anchored', sa.BigInteger(), nullable=True))
    _seal_rows(op.get_bind())


def downgrade() -> None:
    op.drop_column('vault', 'anchored')
    op.drop_column('vault', 'backed_up')
    op.drop_column('spaces', 'seal')
    op.drop_column('principals', 'seal')
    op.drop_column('members', 'seal')
    op.drop_column('lineage', 'seal')
    op.drop_table('withdrawals')
    op.drop_table('snapshots')
    op.drop_table('erasures')


def _seal_rows(connection) -> None:
    meta = sa.MetaData()
    meta.reflect(connection, only=list(_SEALED))
    for name, columns in _SEALED.items():
        table = meta.tables[name]
        keys = [column.name for column in table.primary_key]
        for row in connection.execute(sa.select(table)).mappings().all():
            plain = [row[each] for each in columns]
            text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
            seal = hashlib.sha256(text.encode("utf-8")).hexdigest()
            chosen = sa.and_(*(table.c[each] == row[each] for each in keys))
            connection.execute(sa.update(table).where(chosen).values(seal=seal))
