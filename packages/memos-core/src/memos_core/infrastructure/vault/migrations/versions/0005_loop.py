"""The closed loop: links between memories, who used what, work that is due, and how far it got."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('links',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('source_id', sa.String(length=40), nullable=False),
    sa.Column('target_id', sa.String(length=40), nullable=False),
    sa.Column('type', sa.String(length=24), nullable=False),
    sa.Column('percent', sa.Integer(), nullable=False),
    sa.Column('about', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('author_id', sa.String(length=40), nullable=False),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('seal', sa.String(length=64), nullable=False),
    sa.ForeignKeyConstraint(['source_id'], ['cubes.id'], ),
    sa.ForeignKeyConstraint(['target_id'], ['cubes.id'], ),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('source_id', 'target_id', 'type', name='links_once')
    )
    op.create_index('ix_links_target_id', 'links', ['target_id'])
    op.create_table('usages',
    sa.Column('cube_id', sa.String(length=40), nullable=False),
    sa.Column('principal_id', sa.String(length=40), nullable=False),
    sa.Column('uses', sa.BigInteger(), nullable=False),
    sa.Column('last_used', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['cube_id'], ['cubes.id'], ),
    sa.PrimaryKeyConstraint('cube_id', 'principal_id')
    )
    op.create_table('tasks',
    sa.Column('kind', sa.String(length=24), nullable=False),
    sa.Column('subject', sa.String(length=80), nullable=False),
    sa.Column('due', sa.BigInteger(), nullable=False),
    sa.Column('lease', sa.String(length=40), nullable=True),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('dead', sa.BigInteger(), nullable=True),
    sa.Column('error', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('kind', 'subject')
    )
    op.create_table('progress',
    sa.Column('name', sa.String(length=80), nullable=False),
    sa.Column('value', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('name')
    )
    op.create_index('cubes_by_end', 'cubes', ['expires'])


def downgrade() -> None:
    op.drop_index('cubes_by_end', 'cubes')
    op.drop_table('progress')
    op.drop_table('tasks')
    op.drop_table('usages')
    op.drop_table('links')
