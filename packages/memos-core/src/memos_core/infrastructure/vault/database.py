"""The connection to a vault's SQLite database: snapshots to read in, effects to write in.

The rules are those of DESIGN 4.3. Effects are `BEGIN IMMEDIATE` at `synchronous=FULL`, one at a
time under the writer lock; `wal_autocheckpoint` is off and the log is folded in by its size; after
a fork every handle is abandoned and reopened. Nothing in this process opens the database's files
by other means: closing any descriptor would drop SQLite's locks.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, text
from sqlalchemy.exc import DatabaseError, DBAPIError, MultipleResultsFound, NoResultFound
from sqlalchemy.pool import QueuePool, StaticPool

from memos_core.errors import BusyError, DamagedError, FullError, VaultError
from memos_core.infrastructure.vault.lock import WriterLock

_SIGNS_OF_DAMAGE: Final = ("malformed", "not a database", "no such", "decode to UTF-8")


class Database:
    """A SQLite database with one queue of writers and any number of readers.

    Args:
        path: The database's file.
        busy_timeout_s: How long a writer waits for its turn.
        durable: Flush effects before they are acknowledged.
        checkpoint_bytes: Size of the write-ahead log at which it is folded in.
    """

    def __init__(
        self, path: Path, *, busy_timeout_s: float, durable: bool, checkpoint_bytes: int
    ) -> None:
        self._path = path
        self._wal = path.with_name(path.name + "-wal")
        self._lock = WriterLock(path.with_suffix(".lock"), timeout_s=busy_timeout_s)
        self._busy_timeout_s = busy_timeout_s
        self._durable = durable
        self._checkpoint_bytes = checkpoint_bytes
        self._abandoned: list[Any] = []
        self._connect()

    def _connect(self) -> None:
        self._pid = os.getpid()
        self._readers = self._engine("BEGIN", synchronous="NORMAL", pool=QueuePool)
        self._writers: dict[bool, tuple[Engine, Connection]] = {}

    def _engine(
        self, begin: str, *, synchronous: str, pool: type[QueuePool | StaticPool]
    ) -> Engine:
        sizes: dict[str, int] = {"pool_size": 16, "max_overflow": 48} if pool is QueuePool else {}
        engine = create_engine(
            URL.create("sqlite", database=str(self._path)),  # a path is no URL: it may hold ? or %
            poolclass=pool,
            connect_args={"timeout": self._busy_timeout_s, "check_same_thread": False},
            **sizes,
        )

        @event.listens_for(engine, "connect")
        def configure(connection: sqlite3.Connection, _record: object) -> None:
            connection.isolation_level = None  # we begin transactions ourselves
            for pragma in (
                "wal_autocheckpoint=0",
                "foreign_keys=ON",
                "secure_delete=ON",
                "temp_store=MEMORY",  # what is sorted must not lie about in other files
                f"synchronous={synchronous}",
            ):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def start(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

        return engine

    def _check_fork(self) -> None:
        if self._pid != os.getpid():
            # The parent's handles must neither be used nor closed here: keep them referenced.
            self._abandoned += [self._readers, self._writers]
            self._connect()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a snapshot: every statement in the block sees the same state.

        Raises:
            VaultError: The database could not be read.
        """
        self._check_fork()
        with translated_errors(), self._readers.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def effect(self, *, durable: bool = True) -> Iterator[Connection]:
        """Open the one write transaction; it commits at the end of the block or not at all.

        Args:
            durable: Flush to the disk before returning. Read events are committed without.

        Raises:
            BusyError: Other writers held the vault for too long.
            FullError: The disk is full; nothing was kept.
            VaultError: The database could not be written.
        """
        self._check_fork()
        with translated_errors(), self._lock.held():
            connection = self._writer(durable and self._durable)
            with connection.begin():
                yield connection
            if self._log_bytes() > self._checkpoint_bytes:
                self._fold_log(connection)

    def truncate_log(self) -> bool:
        """Fold the write-ahead log into the database and empty it.

        Returns:
            Whether it truly was emptied; False where a reader still needed it.
        """
        self._check_fork()
        with translated_errors(), self._lock.held():
            return self._fold_log(self._writer(self._durable))

    @contextmanager
    def exclusively(self) -> Iterator[Engine]:
        """Hold the writer lock around a migration, which brings its own transactions."""
        with translated_errors(), self._lock.held():
            engine = self._engine("BEGIN IMMEDIATE", synchronous="FULL", pool=StaticPool)
            try:
                raw = engine.raw_connection()  # the journal's mode cannot change in a transaction
                raw.cursor().execute("PRAGMA journal_mode=WAL")
                raw.close()
                yield engine
            finally:
                engine.dispose()

    def facts(self) -> dict[str, str | int]:
        """Name the SQLite build and the sizes, for `memos doctor`."""
        with self.read() as connection:
            pages = int(connection.scalar(text("PRAGMA page_count")) or 0)
            page_size = int(connection.scalar(text("PRAGMA page_size")) or 0)
            journal = str(connection.scalar(text("PRAGMA journal_mode")))
        return {
            "sqlite": sqlite3.sqlite_version,
            "journal_mode": journal,
            "database_bytes": pages * page_size,
            "log_bytes": self._log_bytes(),
        }

    def check_integrity(self) -> list[str]:
        """Run SQLite's own integrity check; an empty list means that it found nothing."""
        with self.read() as connection:
            rows = connection.execute(text("PRAGMA integrity_check")).scalars().all()
        return [str(row) for row in rows if row != "ok"]

    def copy_to(self, path: Path, progress: Callable[[int, int], None]) -> None:
        """Copy the database as it stands, while others go on reading and writing.

        Args:
            path: An empty file, which nobody else has open.
            progress: Told how many pages are copied, and of how many.

        Raises:
            FullError: The disk is full.
        """
        with self.read() as connection:
            connection.execute(text("SELECT 1 FROM vault"))  # from here on it is one snapshot
            driver: Any = connection.connection.driver_connection
            copy = sqlite3.connect(path)
            try:
                driver.backup(
                    copy,
                    pages=1024,
                    progress=lambda _status, left, total: progress(total - left, total),
                )
                copy.execute("PRAGMA journal_mode=DELETE")
            finally:
                copy.close()

    def close(self) -> None:
        """Close every connection, under the writer lock."""
        if self._pid != os.getpid():
            return
        with translated_errors(), self._lock.held():
            for engine, connection in self._writers.values():
                connection.close()
                engine.dispose()
            self._writers = {}
            self._readers.dispose()

    def _writer(self, durable: bool) -> Connection:
        """Return the writing connection; the caller holds the lock."""
        if durable not in self._writers:
            synchronous = "FULL" if durable else "NORMAL"
            engine = self._engine("BEGIN IMMEDIATE", synchronous=synchronous, pool=StaticPool)
            self._writers[durable] = (engine, engine.connect())
        return self._writers[durable][1]

    def _log_bytes(self) -> int:
        try:
            return self._wal.stat().st_size  # a stat opens nothing
        except FileNotFoundError:
            return 0

    def _fold_log(self, connection: Connection) -> bool:
        """Checkpoint with TRUNCATE; a busy one does not raise, so its answer is read."""
        driver: Any = connection.connection.driver_connection  # a pragma needs no transaction
        driver.execute("PRAGMA busy_timeout=200")
        try:
            busy, _log, _moved = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            driver.execute(f"PRAGMA busy_timeout={int(self._busy_timeout_s * 1000)}")
        return not busy


def check_tables(connection: Connection, tables: Iterable[Table]) -> list[str]:
    """Run SQLite's integrity check on a few tables and their indexes.

    Args:
        connection: Any; on another database than SQLite there is nothing to do.
        tables: Which.

    Returns:
        What is wrong; empty where nothing is.
    """
    found: list[str] = []
    if connection.dialect.name == "sqlite":
        for table in tables:
            rows = connection.exec_driver_sql(f"PRAGMA integrity_check({table.name})").scalars()
            found += [str(row) for row in rows if row != "ok"]
    return found


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn the driver's errors into those of MemOS, with what to do about them."""
    try:
        yield
    except DBAPIError as error:
        raise _translate(error) from error
    except (NoResultFound, MultipleResultsFound) as error:
        raise DamagedError(
            "the database lacks a row that it must have, or has it twice: run `memos doctor`, "
            "restore a backup"
        ) from error
    except UnicodeDecodeError as error:
        raise DamagedError(
            "stored text is not text any more: run `memos doctor`, restore a backup"
        ) from error
    except sqlite3.Error as error:
        raise _translate(DatabaseError(None, None, error)) from error


def _translate(error: DBAPIError) -> VaultError:
    cause = str(error.orig)
    if "locked" in cause or "busy" in cause:
        return BusyError("the database is locked by another program: close it, or try again")
    if "full" in cause or "disk I/O" in cause:
        return FullError(
            f"the vault could not be written ({cause}): free some disk space and try again; "
            "nothing of this operation was kept"
        )
    if any(sign in cause for sign in _SIGNS_OF_DAMAGE):
        return DamagedError(
            f"the database is damaged ({cause}): run `memos doctor`, restore a backup"
        )
    return VaultError(f"the database refused: {cause}")
