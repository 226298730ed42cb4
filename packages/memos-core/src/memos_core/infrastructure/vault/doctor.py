"""The doctor: what is wrong with a vault, found by reading all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select

from memos_core.errors import DamagedError, IntegrityError
from memos_core.infrastructure.governance.labels import Label
from memos_core.infrastructure.ledger.checkpoint import Checkpoints
from memos_core.infrastructure.ledger.keys import Keyring
from memos_core.infrastructure.ledger.series import check_series
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.records import Damage, stream_realm
from memos_core.infrastructure.vault.vault import Transaction, Vault

_FIXED: Final = ((3, 51, 3), (3, 50, 7), (3, 44, 6))


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the doctor found.

    Args:
        facts: Versions, sizes and counts.
        problems: What is damaged, memory by memory; empty if nothing is.
        advice: What could be better, though nothing is wrong.
    """

    facts: dict[str, str | int]
    problems: tuple[str, ...]
    advice: tuple[str, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def examine(vault: Vault, keyring: Keyring) -> Diagnosis:
    """Read the whole vault and report what does not hold."""
    facts = vault.database.facts()
    problems = [f"database: {line}" for line in vault.database.check_integrity()]
    with vault.read() as tx:
        count = select(func.count())
        facts["memories"] = tx.connection.scalar(count.select_from(schema.cubes)) or 0
        facts["ledger_events"] = tx.connection.scalar(count.select_from(schema.ledger)) or 0
        facts["embedder"] = tx.embedder or "not chosen yet"
        problems += _memories(tx) + _labels(tx) + _journals(tx)
        wrong, advice = _keys(tx, keyring)
        problems += wrong
    if has_wal_reset_bug(str(facts["sqlite"])):
        advice.append(
            f"SQLite {facts['sqlite']} has the WAL-reset bug; MemOS works around it by queueing "
            "writes, checkpoints and closes, but no other program should open this database"
        )
    return Diagnosis(facts, tuple(problems), tuple(advice))


def has_wal_reset_bug(version: str) -> bool:
    """Tell whether a SQLite version has the WAL-reset bug (3.7.0 to 3.51.2, but for two fixes).

    >>> has_wal_reset_bug("3.40.1"), has_wal_reset_bug("3.51.3"), has_wal_reset_bug("3.44.6")
    (True, False, False)
    """
    number = tuple(int(part) for part in version.split("."))
    fixed = any(number[:2] == each[:2] and number >= each for each in _FIXED)
    return (3, 7, 0) <= number < (3, 51, 3) and not fixed


def _memories(tx: Transaction) -> list[str]:
    problems = []
    for realm_id in tx.connection.execute(select(schema.realms.c.id)).scalars():
        problems += [
            f"memory {found.cube.id}: damaged in {found.table}"
            for found in stream_realm(tx, realm_id, tx.embedder or "")
            if isinstance(found, Damage)
        ]
    cubes, versions = schema.cubes, schema.versions
    orphans = (
        select(cubes.c.id)
        .outerjoin(
            versions, (versions.c.cube_id == cubes.c.id) & (versions.c.version == cubes.c.version)
        )
        .where(versions.c.cube_id.is_(None))
    )
    problems += [
        f"memory {cube_id}: its present version is gone"
        for cube_id in tx.connection.execute(orphans).scalars()
    ]
    return problems


def _labels(tx: Transaction) -> list[str]:
    problems = []
    for row in tx.connection.execute(select(schema.labels)):
        try:
            Label.load(row.id, row.atoms)
        except DamagedError as error:
            problems.append(str(error))
    return problems


def _keys(tx: Transaction, keyring: Keyring) -> tuple[list[str], list[str]]:
    """Hold the key files against the table, and the checkpoints against their signatures."""
    try:
        wrong, advice = keyring.problems(tx)
    except IntegrityError as error:
        wrong, advice = [str(error)], []
    series = check_series(Checkpoints(keyring).after(tx, 0), tx.vault_id, None)
    return wrong + series.problems, advice


def _journals(tx: Transaction) -> list[str]:
    table, realms = schema.journal, schema.realms
    query = (
        select(realms.c.id, realms.c.seq, func.count(table.c.seq), func.max(table.c.seq))
        .outerjoin(table, table.c.realm_id == realms.c.id)
        .group_by(realms.c.id, realms.c.seq)
    )
    return [
        f"realm {realm_id}: its journal has {count} entries up to {last or 0}, it should have {seq}"
        for realm_id, seq, count, last in tx.connection.execute(query)
        if count != seq or (last or 0) != seq
    ]
