"""Alembic migrations of the vault."""
