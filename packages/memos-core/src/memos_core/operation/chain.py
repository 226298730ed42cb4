"""A chain of operations in one transaction: all of them, or none."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from memos_core.errors import ConflictError
from memos_core.infrastructure.vault.vault import Transaction, Vault


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

    def undo(self, why: BaseException) -> None:
        """Roll everything back, at once."""
        if self._tx is None:
            return
        self._tx, self._why = None, str(why)
        undone = _UndoneError()
        try:
            self._stack.__exit__(_UndoneError, undone, None)
        except _UndoneError:
            return

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
