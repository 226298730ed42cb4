"""Alembic's entry: the vault hands in a connection whose transaction it owns."""

from alembic import context

from memos_core.infrastructure.vault.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
