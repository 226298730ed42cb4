"""Signatures on memories: origin and content, vouched for by the vault's key (the paper's mark)."""

from __future__ import annotations

import hashlib

import rfc8785

from memos_core.content import content_digest
from memos_core.cube import Header, MemCube
from memos_core.errors import IntegrityError
from memos_core.infrastructure.ledger.keys import Keyring
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.operation.lifecycle.labelling import origin_of


class Signer:
    """Signs versions of memories, and checks signatures.

    Args:
        keyring: The vault's keys.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def sign(
        self, tx: Transaction, header: Header, cube_id: str, version: int, payload: str, *, by: str
    ) -> Header:
        """Return the header with a signature over origin and content.

        Where the private key is not to be had, the memory is kept without one: losing a key must
        not lose memories. The doctor and `provenance` say so.

        Args:
            tx: The effect.
            header: The version's header.
            cube_id: The memory's id.
            version: The version's number.
            payload: The payload as it is stored.
            by: Who writes this version.
        """
        header = header.model_copy(update={"author": by})
        content_hash = hashlib.sha256(payload.encode("utf-8")).hexdigest()
        text = _statement(tx.vault_id, header, cube_id, version, content_hash)
        try:
            signature: str | None = self._keyring.sign(tx, text)
        except IntegrityError:
            signature = None
        return header.model_copy(update={"signature": signature})

    def holds(self, tx: Transaction, cube: MemCube) -> bool:
        """Tell whether this vault signed exactly this origin and content.

        Args:
            tx: Any transaction.
            cube: The whole memory; one that is shown in part bears no signature.
        """
        if cube.meta.signature is None:
            return False
        content_hash = content_digest(cube.content)
        text = _statement(tx.vault_id, cube.meta, cube.id, cube.version, content_hash)
        return self._keyring.verify(tx, text, cube.meta.signature)


def _statement(
    vault_id: str, header: Header, cube_id: str, version: int, content_hash: str
) -> bytes:
    return rfc8785.dumps(
        {
            "author": header.author,
            "content": content_hash,
            "memory": cube_id,
            "origin": origin_of(header),
            "owner": header.owner,
            "vault": vault_id,
            "version": version,
        }
    )
