"""Running Alembic's migrations inside a transaction that the vault has begun."""

from __future__ import annotations

from importlib.resources import as_file, files

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


def upgrade(connection: Connection) -> None:
    """Bring the schema to its newest revision.

    Args:
        connection: A connection with an open transaction, which commits or undoes the migration.
    """
    scripts = files("memos_core.infrastructure.vault") / "migrations"
    with as_file(scripts) as path:
        config = Config()
        config.set_main_option("script_location", str(path).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
