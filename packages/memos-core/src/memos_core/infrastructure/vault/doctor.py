"""The doctor: what is wrong with a vault, found by reading all of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import func, select

from memos_core.errors import DamagedError
from memos_core.infrastructure.ledger.checkpoint import Checkpoints
from memos_core.infrastructure.ledger.keys import Keyring
from memos_core.infrastructure.ledger.publishing import Anchored
from memos_core.infrastructure.ledger.verify import Verifier
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.checks import CHECKS, collect
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


def examine(vault: Vault, keyring: Keyring, blobs: Callable[[], Iterable[str]]) -> Diagnosis:
    """Read the whole vault and report what does not hold; what cannot be read is reported too.

    Args:
        vault: The vault.
        keyring: Its keys.
        blobs: Reads all blobs, and says what is wrong with them.
    """
    facts: dict[str, str | int] = {"sqlite": sqlite3.sqlite_version}
    advice: list[str] = []
    problems = collect("marker", lambda: _marker(vault))
    problems += collect("database", lambda: _facts(vault, facts))
    problems += collect("database", lambda: _integrity(vault))
    problems += collect("vault", lambda: _rows(vault, keyring, facts, advice))
    problems += collect("blobs", blobs)
    if has_wal_reset_bug(sqlite3.sqlite_version):
        advice.append(
            f"SQLite {sqlite3.sqlite_version} has the WAL-reset bug; MemOS works around it by "
            "queueing writes, checkpoints and closes, but no other program should open this "
            "database"
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


def _marker(vault: Vault) -> Iterator[str]:
    try:
        vault.directory.read_marker()
    except DamagedError as error:
        yield str(error)


def _facts(vault: Vault, facts: dict[str, str | int]) -> Iterator[str]:
    facts.update(vault.database.facts())
    yield from ()


def _integrity(vault: Vault) -> Iterator[str]:
    yield from (f"database: {line}" for line in vault.database.check_integrity())


def _rows(
    vault: Vault, keyring: Keyring, facts: dict[str, str | int], advice: list[str]
) -> Iterator[str]:
    with vault.read() as tx:
        yield from collect("facts", lambda: _counts(tx, facts))
        for name, check in CHECKS:
            yield from collect(name, partial(check, tx))
        yield from collect("keys", lambda: _keys(tx, keyring, advice))
        yield from collect("ledger", lambda: _ledger(tx, keyring))


def _counts(tx: Transaction, facts: dict[str, str | int]) -> Iterator[str]:
    count = select(func.count())
    facts["memories"] = tx.connection.scalar(count.select_from(schema.cubes)) or 0
    facts["ledger_events"] = tx.connection.scalar(count.select_from(schema.ledger)) or 0
    facts["embedder"] = tx.embedder or "not chosen yet"
    yield from ()


def _keys(tx: Transaction, keyring: Keyring, advice: list[str]) -> Iterator[str]:
    """Hold the key files against the table."""
    wrong, better = keyring.problems(tx)
    advice += better
    yield from wrong


def _ledger(tx: Transaction, keyring: Keyring) -> Iterator[str]:
    """Walk the ledger, and hold the checkpoints against their signatures."""
    nothing = Anchored({}, (), ())
    yield from Verifier(keyring, Checkpoints(keyring)).verify(tx, nothing, None).problems
