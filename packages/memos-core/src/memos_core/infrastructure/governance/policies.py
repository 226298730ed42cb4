"""What was decided about sources, as every reader's rights take it in: quarantines and trusts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from memos_core.cube import Trust
from memos_core.errors import DamagedError
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.vault import Transaction


def read_policies(
    tx: Transaction,
) -> tuple[dict[str, frozenset[str]], dict[str, Trust]]:
    """Read all quarantines that stand and all trusts that were set.

    Returns:
        For each source in quarantine its subtrees, and for each source its trust.

    Raises:
        DamagedError: A row's bytes changed on disk: nobody can say what may be read.
    """
    where: dict[str, frozenset[str]] = {}
    table = schema.quarantines
    for row in tx.connection.execute(select(table).where(table.c.released.is_(None))):
        if quarantine_seal(dict(row._mapping)) != row.seal:
            raise DamagedError(f"quarantine {row.id} is damaged on disk: run `memos doctor`")
        where[row.source_id] = where.get(row.source_id, frozenset()) | {row.space}
    trusts: dict[str, Trust] = {}
    for row in tx.connection.execute(select(schema.trusts)):
        if trust_seal(row.source_id, row.level) != row.seal:
            raise DamagedError(f"a trust of {row.source_id} is damaged: run `memos doctor`")
        trusts[row.source_id] = Trust(row.level)
    return where, trusts


def quarantine_seal(row: Mapping[str, Any]) -> str:
    """Hash a quarantine's columns."""
    names = ("id", "source_id", "space", "set_by", "reason", "created", "released")
    return schema.seal(*(row[name] for name in names))


def trust_seal(source_id: str, level: int) -> str:
    """Hash what a source's trust says."""
    return schema.seal(source_id, level)
