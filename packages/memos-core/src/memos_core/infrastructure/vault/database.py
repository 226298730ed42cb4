"""The connection to a vault's SQLite database: snapshots to read in, effects to write in.

The rules are those of DESIGN 4.3. Effects are `BEGIN IMMEDIATE` at `synchronous=FULL`, one at a
time under the writer lock; `wal_autocheckpoint` is off and the log is folded in by its size; after
a fork every handle is abandoned and reopened. Nothing in this process opens the database's files
by other means: closing any descriptor would drop SQLite's locks. A `Draw` says what may be written
where little room is left; housekeeping after a commit never turns it into an error.
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
from memos_core.infrastructure.vault.reserve import Draw
from memos_core.infrastructure.vault.room import Room
from memos_core.infrastructure.vault.schema import metadata

_NO_ROOM: Final = frozenset({"SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC"}) | {
    "SQLITE_IOERR_DIR_FSYNC",
    "SQLITE_IOERR_TRUNCATE",
    "SQLITE_IOERR_SHMSIZE",
    "SQLITE_IOERR_SHMOPEN",
}
_PATIENCE_MS: Final = 200
_ANY_PAGES: Final = 1_073_741_823

_SIGNS_OF_DAMAGE: Final = ("malformed", "not a database", "no such", "decode to UTF-8")


class Database:
    """A SQLite database with one queue of writers and any number of readers.

    Args:
        path: The database's file.
        busy_timeout_s: How long a writer waits for its turn.
        durable: Flush effects before they are acknowledged.
        checkpoint_bytes: Size of the write-ahead log at which it is folded in.
        room: How much room there is, and what is held back of it.
    """

    def __init__(
        self,
        path: Path,
        *,
        busy_timeout_s: float,
        durable: bool,
        checkpoint_bytes: int,
        room: Room,
    ) -> None:
        self._path = path
        self._room = room
        self._lock = WriterLock(path.with_suffix(".lock"), timeout_s=busy_timeout_s)
        self._busy_timeout_s = busy_timeout_s
        self._durable = durable
        self._checkpoint_bytes = checkpoint_bytes
        self._abandoned: list[Any] = []
        self._starved = False
        self._patience_ms = _PATIENCE_MS
        self._connect()

    def _connect(self) -> None:
        self._pid = os.getpid()
        self._readers = self._engine("BEGIN", synchronous="NORMAL", pool=QueuePool)
        self._writers: dict[bool, tuple[Engine, Connection]] = {}
        self._byte_limits: dict[bool, int | None] = {}

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
                "temp_store=MEMORY",  # reads need no disk, and nothing is left in another folder
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
    def effect(self, *, durable: bool = True, draw: Draw | None = None) -> Iterator[Connection]:
        """Open the one write transaction; it commits at the end of the block or not at all.

        Args:
            durable: Flush to the disk before returning. Read events are committed without.
            draw: What it may use of the disk reserve; by default nothing, and for what is not
                durable the share of the reads.

        Raises:
            BusyError: Other writers held the vault for too long.
            FullError: The disk is full; nothing was kept.
            VaultError: The database could not be written.
        """
        self._check_fork()
        chosen = draw or (Draw.NOTHING if durable else Draw.READS)
        with translated_errors(), self._lock.held():
            flushed = durable and self._durable
            connection = self._writer(flushed)
            self._make_room(connection, chosen)
            with self._undone_where_full(chosen), connection.begin():
                self._limit_pages(connection, flushed, chosen)
                yield connection
                if chosen is Draw.NOTHING and self._room.is_overdrawn():
                    raise self._room.full(chosen, "its log would not fit into the database")
            self._starved = False
            self._tidy(connection)

    def check_room(self, size: int) -> None:
        """Refuse to write a file of this size beside the database where there is no room for it.

        Raises:
            FullError: There is not.
        """
        self._room.check_file(size)

    def truncate_log(self) -> bool:
        """Fold the write-ahead log into the database and empty it.

        Returns:
            Whether it truly was emptied; False where a reader still needed it, where there was no
            room, or where other writers did not let it.
        """
        self._check_fork()
        try:
            with translated_errors(), self._lock.held():
                self._patience_ms = _PATIENCE_MS
                emptied = self._fold_log(self._writer(self._durable))
                self._room.refill()
                return emptied
        except BusyError:  # what was committed before stays committed: this only tidies up
            return False

    @contextmanager
    def exclusively(self) -> Iterator[Engine]:
        """Hold the writer lock around a migration, which brings its own transactions."""
        with translated_errors(), self._lock.held():
            self._room.lend(Draw.READS)  # opening alone needs some: SQLite's index of its log
            engine = self._engine("BEGIN IMMEDIATE", synchronous="FULL", pool=StaticPool)
            try:
                raw = engine.raw_connection()  # the journal's mode cannot change in a transaction
                raw.cursor().execute("PRAGMA journal_mode=WAL")
                raw.close()
                yield engine
            finally:
                engine.dispose()
            self._room.refill()

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
            "log_bytes": self._room.log_bytes(),
        }

    def check_integrity(self) -> list[str]:
        """Run SQLite's own integrity check; an empty list means that it found nothing."""
        with self.read() as connection:
            rows = connection.execute(text("PRAGMA integrity_check")).scalars().all()
        return [str(row) for row in rows if row != "ok"]

    def strange_parts(self) -> list[str]:
        """Name what no vault's database has: triggers, views, and tables of others."""
        known = {"alembic_version", *metadata.tables}
        with self.read() as connection:
            rows = connection.execute(text("SELECT type, name, tbl_name FROM sqlite_master")).all()
        return [
            f"the {row.type} {row.name!r}"
            for row in rows
            if row.type in ("trigger", "view")
            or (row.tbl_name not in known and not row.name.startswith("sqlite_"))
        ]

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

    def _make_room(self, connection: Connection, draw: Draw) -> None:
        """Empty the log where room is low, and where it stays low, lend or refuse."""
        if not (self._starved or self._room.is_low(draw)):
            return
        self._fold_log(connection)
        if self._room.is_low(draw):
            if draw is Draw.NOTHING:
                raise self._room.full(draw, "little room is left")
            self._room.lend(draw)
        elif self._starved:
            self._room.lend(draw, starved=True)

    def _limit_pages(self, connection: Connection, flushed: bool, draw: Draw) -> None:
        """Tell SQLite how far this effect may let the database grow, where it has changed."""
        limit = self._room.byte_limit(draw)
        if limit == self._byte_limits.get(flushed):
            return
        pages = _ANY_PAGES
        if limit is not None:  # SQLite makes it at least the number that there are
            pages = max(1, limit // connection.exec_driver_sql("PRAGMA page_size").scalar_one())
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        self._byte_limits[flushed] = limit

    @contextmanager
    def _undone_where_full(self, draw: Draw) -> Iterator[None]:
        """Say what is full, and give back what the undone effect has left in the log."""
        before = self._room.log_bytes()
        try:
            yield
        except FullError:  # raised before the commit
            self._room.cut_log(before)
            raise
        except DBAPIError as error:
            if not is_out_of_room(error):
                raise
            full = self._room.full(draw, str(error.orig))
            self._starved = self._room.byte_limit(draw) is None  # else it is known what was full
            self._room.cut_log(before)
            raise full from error

    def _tidy(self, connection: Connection) -> None:
        """Keep the log short and the reserve whole, after a commit that stands in any case."""
        if self._room.is_log_long(self._checkpoint_bytes):
            self._fold_log(connection)
        self._room.refill()

    def _fold_log(self, connection: Connection) -> bool:
        """Empty the log, if need be with the help of the reserve; a failure is told, not raised.

        Whoever asks has committed already, or is about to find out by writing.
        """
        try:
            return self._checkpoint(connection)
        except sqlite3.Error as error:
            if not (_is_no_room(error) and self._room.lend_to_empty_the_log()):
                return False
        try:
            return self._checkpoint(connection)
        except sqlite3.Error:
            return False
        finally:  # at once: whoever asked may be refused all the same, and others take what is free
            self._room.refill()

    def _checkpoint(self, connection: Connection) -> bool:
        """Checkpoint with TRUNCATE; a busy one does not raise, so its answer is read.

        A reader that stays is waited for once, and not by every effect until it is gone.
        """
        driver: Any = connection.connection.driver_connection  # a pragma needs no transaction
        driver.execute(f"PRAGMA busy_timeout={self._patience_ms}")
        try:
            busy, _log, _moved = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            driver.execute(f"PRAGMA busy_timeout={int(self._busy_timeout_s * 1000)}")
        self._patience_ms = 0 if busy else _PATIENCE_MS
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


def is_out_of_room(error: DBAPIError) -> bool:
    """Tell whether the disk, a limit or a quota was full."""
    return isinstance(error.orig, sqlite3.Error) and _is_no_room(error.orig)


def _is_no_room(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorname", "") in _NO_ROOM


def _translate(error: DBAPIError) -> VaultError:
    cause = str(error.orig)
    if "locked" in cause or "busy" in cause:
        return BusyError("the database is locked by another program: close it, or try again")
    if is_out_of_room(error):
        return FullError(
            f"the vault could not be written ({cause}): free some disk space and try again; "
            "nothing of this operation was kept"
        )
    if "disk I/O" in cause:
        return VaultError(
            f"the disk failed ({cause}): look into the system's log, run `memos doctor`; nothing "
            "of this operation was kept"
        )
    if any(sign in cause for sign in _SIGNS_OF_DAMAGE):
        return DamagedError(
            f"the database is damaged ({cause}): run `memos doctor`, restore a backup"
        )
    return VaultError(f"the database refused: {cause}")
