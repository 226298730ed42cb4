"""The embedder in use: chosen late, held to the one that the vault was made with."""

from __future__ import annotations

from collections.abc import Sequence

from memos_core.errors import EmbedderError, InvalidInputError
from memos_core.infrastructure.index.entry import FloatArray
from memos_core.infrastructure.vault.vault import Transaction, Vault
from memos_core.models.embedder import Embedder, default_embedder, embedder_named, unit_rows


class Embedding:
    """Gives vectors, with the vault's own embedder or not at all.

    Args:
        given: The embedder that the caller passed to `open`, or None for the vault's own.
        vault: Where the embedder's name is recorded.
    """

    def __init__(self, given: Embedder | None, vault: Vault) -> None:
        self._given = given
        self._vault = vault
        with vault.read() as tx:
            self.check(tx)

    @property
    def in_use(self) -> Embedder | None:
        """The embedder, if one was chosen already; an effect still holds it to the vault's."""
        return self._given

    def check(self, tx: Transaction) -> None:
        """Hold the caller's embedder to the vault's.

        Raises:
            EmbedderError: They differ.
        """
        if self._given is not None and tx.embedder not in (None, self._given.name):
            raise EmbedderError(
                f"the vault's vectors were made with {tx.embedder}, and {self._given.name} was "
                f"given: open it with {tx.embedder}, or make a new vault and import into it"
            )

    def embedder(self, tx: Transaction) -> Embedder:
        """Return the embedder, choosing it by the vault's record or by what is installed.

        Raises:
            EmbedderError: It is not installed, or the vault was made with one of the caller's own.
        """
        if self._given is None:
            if tx.embedder is None:
                self._given = default_embedder()
            else:
                try:
                    self._given = embedder_named(tx.embedder)
                except InvalidInputError as error:
                    raise EmbedderError(
                        f"the vault's vectors were made with {tx.embedder}, which MemOS does not "
                        "bring: pass it to MemOS.open(…, embedder=…)"
                    ) from error
        self.check(tx)
        return self._given

    def vectors(self, embedder: Embedder, texts: Sequence[str]) -> FloatArray:
        """Embed texts.

        Returns:
            float32 (n, d), rows of unit length.
        """
        return unit_rows(embedder.embed(texts), embedder.dims, len(texts), embedder.name)

    def adopt(self, tx: Transaction, embedder: Embedder) -> None:
        """Record the embedder with the vault's first vector, and hold later ones to it."""
        if tx.embedder is None:
            self._vault.adopt_embedder(tx, embedder.name, embedder.dims)
        else:
            self.check(tx)
