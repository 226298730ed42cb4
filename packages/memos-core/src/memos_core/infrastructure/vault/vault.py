"""MemVault: the system of record, opened, migrated and handed out as transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, inspect, select, update

from memos_core.clock import Clock, Entropy, mint, to_micros
from memos_core.errors import DamagedError, SchemaError, VaultError
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.database import Database
from memos_core.infrastructure.vault.layout import VaultDirectory
from memos_core.infrastructure.vault.presence import Presence
from memos_core.infrastructure.vault.reserve import Draw
from memos_core.infrastructure.vault.scratch import sweep

CHAINS: Final = 8
"""How many ledger chains there are; a principal's events always go to the same one."""

_END_OF_TIME: Final = to_micros(datetime.max.replace(tzinfo=UTC))
_STATE = select(
    schema.vault,
    select(func.max(schema.chains.c.last_time)).scalar_subquery().label("last_time"),
)


@dataclass(frozen=True, slots=True)
class Transaction:
    """A snapshot or an effect in progress.

    Args:
        connection: Where statements run.
        vault_id: The vault's id.
        epoch: The policy epoch; it moves with every grant, revocation and membership.
        now: The present in microseconds, always after what the ledger has seen.
        last_time: The time of the ledger's newest event, in microseconds; 0 while it is empty.
        embedder: The name of the embedder that the vault's vectors were made with.
        on_commit: What to do once it has committed, such as remembering a new id.
    """

    connection: Connection
    vault_id: str
    epoch: int
    now: int
    last_time: int
    embedder: str | None
    on_commit: list[Callable[[], None]] = field(default_factory=list)


class Vault:
    """Transactions over one vault's database.

    Args:
        directory: Where its files lie.
        database: The connection.
        clock: What tells the time.
        entropy: Where ids and keys come from.
    """

    def __init__(
        self, directory: VaultDirectory, database: Database, *, clock: Clock, entropy: Entropy
    ) -> None:
        self.presence = Presence(directory.readers, entropy)
        self.directory = directory
        self._database = database
        self.clock = clock
        self.entropy = entropy

    @classmethod
    def open(
        cls, directory: VaultDirectory, database: Database, *, clock: Clock, entropy: Entropy
    ) -> Vault:
        """Open a vault, making or migrating it where needed.

        Raises:
            SchemaError: A newer MemOS made it.
            DamagedError: Its database is empty.
            VaultError: Its database is that of another vault.
        """
        with database.exclusively() as engine, engine.begin() as connection:
            vault_id = _migrate(connection, directory, entropy, to_micros(clock.now()))
        if not directory.exists:
            directory.mark(vault_id)
        sweep(directory.root)
        return cls(directory, database, clock=clock, entropy=entropy)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Open a snapshot to read in."""
        with self._database.read() as connection:
            tx = self._begin(connection)
            yield tx
        for remember in tx.on_commit:
            remember()

    @contextmanager
    def effect(self, *, durable: bool = True, draw: Draw | None = None) -> Iterator[Transaction]:
        """Open a write transaction: all of the block, or nothing.

        Args:
            durable: Flush before returning; a read's own event does without.
            draw: What it may use of the disk reserve; as `Database.effect` has it by default.
        """
        with self._database.effect(durable=durable, draw=draw) as connection:
            tx = self._begin(connection)
            yield tx
        for remember in tx.on_commit:
            remember()

    def again(self, tx: Transaction) -> Transaction:
        """Return a running transaction as its next operation meets it: later, and up to date."""
        return replace(self._begin(tx.connection), on_commit=tx.on_commit)

    def _begin(self, connection: Connection) -> Transaction:
        row = connection.execute(_STATE).one()
        _check_state(row)
        check_schema(row.schema_number)
        now = max(to_micros(self.clock.now()), (row.last_time or 0) + 1)
        return Transaction(
            connection, row.vault_id, row.policy_epoch, now, row.last_time or 0, row.embedder
        )

    def move_epoch(self, tx: Transaction) -> None:
        """Count the policy epoch up, so that every process compiles its rights anew."""
        tx.connection.execute(
            update(schema.vault).values(policy_epoch=schema.vault.c.policy_epoch + 1)
        )

    def adopt_embedder(self, tx: Transaction, name: str, dims: int) -> None:
        """Record the embedder that made the vault's first vector."""
        tx.connection.execute(update(schema.vault).values(embedder=name, dims=dims))

    def mint(self, prefix: str) -> str:
        """Make a new id with this prefix."""
        return mint(self.entropy, prefix)

    @property
    def database(self) -> Database:
        """The connection, for maintenance."""
        return self._database

    def close(self) -> None:
        """Close the database, and be no reader any more."""
        self._database.close()
        self.presence.leave()


def check_schema(number: int) -> None:
    """Refuse a schema that this MemOS does not read.

    Raises:
        SchemaError: It is newer, or older and not migrated.
    """
    if number > schema.SCHEMA_NUMBER:
        raise SchemaError(
            f"the vault has schema {number}, this MemOS reads {schema.SCHEMA_NUMBER}: "
            "upgrade memos-core"
        )
    if number < schema.SCHEMA_NUMBER:
        raise SchemaError(
            f"the vault has schema {number}, this MemOS writes {schema.SCHEMA_NUMBER}: reopen it"
        )


def _check_state(row: Row[Any]) -> None:
    """Refuse a vault whose own row holds what cannot be; SQLite stores anything anywhere.

    Raises:
        DamagedError: It does. The ledger's newest time is among it, for it tells what has expired.
    """
    numbers = (row.schema_number, row.policy_epoch, row.last_time or 0)
    whole = all(isinstance(number, int) for number in numbers)
    texts = isinstance(row.vault_id, str) and isinstance(row.embedder, str | None)
    if not (whole and texts and 0 <= (row.last_time or 0) <= _END_OF_TIME):
        raise DamagedError("the vault's own row is damaged on disk: restore a backup")


def _migrate(connection: Connection, directory: VaultDirectory, entropy: Entropy, now: int) -> str:
    """Bring the schema up to date, making it where there is none; return the vault's id."""
    made = not inspect(connection).has_table("vault")
    if made and directory.exists:
        raise DamagedError(
            "the vault's database is empty or gone, though its marker is there: restore a backup; "
            "to begin anew, use another directory"
        )
    number = 0 if made else connection.scalar(select(schema.vault.c.schema_number)) or 0
    if not isinstance(number, int):
        raise DamagedError("the vault's own row is damaged on disk: restore a backup")
    if number > schema.SCHEMA_NUMBER:
        check_schema(number)
    if number < schema.SCHEMA_NUMBER:
        from memos_core.infrastructure.vault.migrating import upgrade  # slow to import

        upgrade(connection)
    if made:
        _found(connection, entropy, now)
    elif number < schema.SCHEMA_NUMBER:
        connection.execute(update(schema.vault).values(schema_number=schema.SCHEMA_NUMBER))
    vault_id = str(connection.execute(select(schema.vault.c.vault_id)).scalar_one())
    if directory.vault_id not in (None, vault_id):
        raise VaultError(
            f"the directory is that of vault {directory.vault_id}, and its database that of "
            f"{vault_id}: put the right vault.db back, or restore a backup"
        )
    return vault_id


def _found(connection: Connection, entropy: Entropy, now: int) -> None:
    connection.execute(
        insert(schema.vault).values(
            id=1,
            vault_id=mint(entropy, "vlt"),
            schema_number=schema.SCHEMA_NUMBER,
            policy_epoch=1,
            created=now,
        )
    )
    connection.execute(
        insert(schema.chains),
        [{"chain": n, "seq": 0, "head": "", "last_time": 0} for n in range(CHAINS)],
    )
