"""A chain of operations in one transaction: all of them, or none."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Final

from sqlalchemy import select

from memos_core.errors import ConflictError
from memos_core.infrastructure.ledger.event import Event
from memos_core.infrastructure.ledger.reading import Recorded, since_heads
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.vault import Transaction, Vault

READS: Final = frozenset(
    f"memos.{verb}" for verb in ("get", "history", "diff", "provenance", "explain", "grants")
)
"""The ledger's names of the verbs of a chain that change nothing."""


class _UndoneError(Exception):
    """Thrown into a transaction to undo it; never leaves this module."""


class Chain:
    """A transaction that several operations share.

    Args:
        vault: Opens it.
    """

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._stack = ExitStack()
        self._tx: Transaction | None = self._stack.enter_context(vault.effect())
        heads = select(schema.chains.c.chain, schema.chains.c.seq)
        self._heads = {row.chain: row.seq for row in self._tx.connection.execute(heads)}
        self._why = ""
        self.afterwards: list[Callable[[], object]] = []
        """What to do once it has committed."""

    def step(self) -> Transaction:
        """Return the transaction as the next operation meets it, later than those before.

        Raises:
            ConflictError: The chain was undone.
        """
        if self._tx is None:
            raise ConflictError(
                f"the pipeline was rolled back, nothing of it was done: {self._why}"
            )
        return self._vault.again(self._tx)

    def undo(self, why: BaseException) -> dict[str, list[Event]]:
        """Roll everything back, at once.

        Returns:
            What the ledger is to be told of it, by the names of the principals.
        """
        if self._tx is None:
            return {}
        told = self._told(self._tx)
        self._tx, self._why = None, str(why)
        with suppress(_UndoneError):
            self._stack.__exit__(_UndoneError, _UndoneError(), None)
        return told

    def events(self, tx: Transaction) -> list[Recorded]:
        """List what the ledger was told of the chain so far."""
        return since_heads(tx, self._heads)

    def _told(self, tx: Transaction) -> dict[str, list[Event]]:
        principals = schema.principals
        names = {row.id: row.name for row in tx.connection.execute(select(principals))}
        told: dict[str, list[Event]] = {}
        for each in self.events(tx):
            event = Event(
                each.type,
                each.principal_id,
                "allowed" if each.type in READS else "undone",
                each.purpose,
                each.subject,
                each.data,
            )
            told.setdefault(names[each.principal_id], []).append(event)
        return told

    def commit(self) -> None:
        """Commit, and do what is to be done afterwards.

        Raises:
            ConflictError: The chain was undone.
        """
        self.step()
        self._tx = None
        self._stack.close()
        for each in self.afterwards:
            each()
