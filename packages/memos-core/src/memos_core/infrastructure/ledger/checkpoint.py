"""Checkpoints: signed statements of where every chain stood, each bound to the one before it.

A checkpoint's body is RFC 8785 canonical JSON: the vault, a number, the time, the policy epoch, the
head of each chain, the SHA-256 of the body before it, up to which checkpoint events were pruned,
and every public key that the vault ever had. Kept outside the vault, one shows any later change of
what it covers. It is taken in an effect that is flushed, so all that it covers is on the disk.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final

import rfc8785
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import Row, insert, select

from memos_core.clock import from_micros
from memos_core.errors import IntegrityError
from memos_core.infrastructure.ledger.keys import CHECKPOINT, Keyring, SigningKey
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.infrastructure.vault.withdrawals import Withdrawal, withdrawn_since

FORMAT: Final = CHECKPOINT
_MALFORMED: Final = "a checkpoint is malformed, or of a newer MemOS: "


class Head(BaseModel):
    """Where a chain stood.

    Args:
        chain: Which one.
        seq: The number of its last event; 0 if it had none.
        hash: The hash of that event; empty if there was none.
        time: When that event was; None if there was none.
    """

    model_config = ConfigDict(frozen=True)

    chain: int
    seq: int
    hash: str
    time: datetime | None


class Statement(BaseModel):
    """What a checkpoint says.

    Args:
        format: `memos-checkpoint/1`; what a later version adds is ignored by this one.
        vault: The vault's id.
        number: 1, 2, 3… without a gap.
        time: When it was taken.
        policy_epoch: The count of changes of policy.
        heads: Where each chain stood.
        previous: The SHA-256 of the body of the checkpoint before; empty for the first.
        pruned_to: The checkpoint up to which events have been removed; 0 if none were.
        key: The id of the key that signs it.
        keys: Every public key that the vault had until then, oldest first.
        withdrawn: What was taken back since the checkpoint before: forgotten, revoked, narrowed.
        withdrawn_to: The number of the last thing that was taken back.
        restored_from: The checkpoint of the backup that the vault was restored from just before
            this one; those between the two speak of what was lost. None where it was not.
    """

    model_config = ConfigDict(frozen=True)

    format: str
    vault: str
    number: int
    time: datetime
    policy_epoch: int
    heads: tuple[Head, ...]
    previous: str
    pruned_to: int
    key: str
    keys: tuple[SigningKey, ...]
    withdrawn: tuple[Withdrawal, ...] = ()
    withdrawn_to: int = 0
    restored_from: int | None = None

    @cached_property
    def by_chain(self) -> dict[int, Head]:
        """The heads, by chain."""
        return {head.chain: head for head in self.heads}

    @property
    def signer(self) -> SigningKey | None:
        """The key that signs it, if it is among the keys."""
        return next((key for key in self.keys if key.id == self.key), None)


@dataclass(frozen=True)
class SignedCheckpoint:
    """A checkpoint as it is published: its exact text, and the signature.

    Args:
        body: RFC 8785 canonical JSON; `statement` is what it says.
        signature: The key's id, a colon, and the Ed25519 signature in base64, over the text
            `memos-checkpoint/1`, a zero byte, and the body in UTF-8.

    Example:
        >>> from memos_core.testing import temporary_memos
        >>> with temporary_memos() as memos:
        ...     taken = memos.session("user:owner").audit.checkpoint()
        >>> taken.number, SignedCheckpoint.load(taken.dump()) == taken
        (1, True)
    """

    body: str
    signature: str

    @cached_property
    def statement(self) -> Statement:
        """What it says.

        Raises:
            IntegrityError: It is malformed.
        """
        try:
            said = Statement.model_validate_json(self.body)
        except ValidationError as error:
            raise IntegrityError(_MALFORMED + f"{error.error_count()} faults") from error
        if said.format != FORMAT:
            raise IntegrityError(_MALFORMED + f"its format is {said.format[:40]!r}")
        return said

    @property
    def vault_id(self) -> str:
        """The vault that it is of."""
        return self.statement.vault

    @property
    def number(self) -> int:
        """Its number."""
        return self.statement.number

    @property
    def time(self) -> datetime:
        """When it was taken."""
        return self.statement.time

    @property
    def digest(self) -> str:
        """The SHA-256 of the body, which the next checkpoint names."""
        return hashlib.sha256(self.body.encode("utf-8")).hexdigest()

    def dump(self) -> str:
        """Write it as one line of JSON."""
        return json.dumps({"body": self.body, "signature": self.signature}, ensure_ascii=False)

    @classmethod
    def load(cls, text: str) -> SignedCheckpoint:
        """Read what `dump` wrote.

        Raises:
            IntegrityError: It is something else.
        """
        try:
            found = json.loads(text)
            body, signature = found["body"], found["signature"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise IntegrityError(_MALFORMED + "it is no JSON of body and signature") from error
        if not (isinstance(body, str) and isinstance(signature, str)):
            raise IntegrityError(_MALFORMED + "body and signature are texts")
        made = cls(body, signature)
        _ = made.statement
        return made


class Checkpoints:
    """Takes checkpoints and reads them back from the vault.

    Args:
        keyring: Signs them.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def after(self, tx: Transaction, number: int) -> list[SignedCheckpoint]:
        """Read the checkpoints with higher numbers, in order."""
        table = schema.checkpoints
        query = select(table).where(table.c.number > number).order_by(table.c.number)
        return [signed_row(row) for row in tx.connection.execute(query)]

    def find(self, tx: Transaction, number: int) -> SignedCheckpoint | None:
        """Read one checkpoint."""
        table = schema.checkpoints
        query = select(table).where(table.c.number == number)
        row = tx.connection.execute(query).one_or_none()
        return None if row is None else signed_row(row)

    def newest(self, tx: Transaction) -> SignedCheckpoint | None:
        """Read the newest checkpoint, if there is one."""
        table = schema.checkpoints
        query = select(table).order_by(table.c.number.desc()).limit(1)
        row = tx.connection.execute(query).one_or_none()
        return None if row is None else signed_row(row)

    def is_due(self, tx: Transaction) -> bool:
        """Tell whether anything happened since the newest checkpoint."""
        newest = self.newest(tx)
        return newest is None or newest.statement.heads != read_heads(tx)

    def next_number(self, tx: Transaction) -> int:
        """Return the number of the next checkpoint."""
        newest = self.newest(tx)
        return 1 if newest is None else newest.number + 1

    def take(
        self, tx: Transaction, *, pruned_to: int | None = None, restored_from: int | None = None
    ) -> SignedCheckpoint:
        """Sign where the chains stand, and write it.

        Args:
            tx: A durable effect, with its own event already written.
            pruned_to: The checkpoint up to which this effect prunes.
            restored_from: The backup's checkpoint, where this effect restores one.

        Raises:
            IntegrityError: The private key is missing.
        """
        newest = self.newest(tx)
        keys = self._keyring.history(tx)
        base = newest if restored_from is None else self.find(tx, restored_from)
        before = 0 if base is None else base.statement.pruned_to
        told = 0 if newest is None else newest.statement.withdrawn_to
        withdrawn = tuple(withdrawn_since(tx, told))
        epoch = tx.connection.execute(select(schema.vault.c.policy_epoch)).scalar_one()
        said = Statement(
            format=FORMAT,
            vault=tx.vault_id,
            number=1 if newest is None else newest.number + 1,
            time=from_micros(tx.now),
            policy_epoch=epoch,
            heads=read_heads(tx),
            previous="" if newest is None else newest.digest,
            pruned_to=before if pruned_to is None else pruned_to,
            key=keys[-1].id,
            keys=tuple(keys),
            withdrawn=withdrawn,
            withdrawn_to=withdrawn[-1].number if withdrawn else told,
            restored_from=restored_from,
        )
        body = rfc8785.dumps(said.model_dump(mode="json"))
        signed = SignedCheckpoint(
            body.decode("utf-8"), self._keyring.sign_as(keys[-1], body, context=CHECKPOINT)
        )
        _key, raw = signed.signature.split(":", 1)
        tx.connection.execute(
            insert(schema.checkpoints).values(
                number=said.number, body=signed.body, key_id=said.key, signature=raw
            )
        )
        return signed

    def adopt(self, tx: Transaction, signed: SignedCheckpoint) -> None:
        """Write a checkpoint that an anchor kept and a restored backup does not have."""
        key_id, raw = signed.signature.split(":", 1)
        row = {"number": signed.number, "body": signed.body, "key_id": key_id, "signature": raw}
        tx.connection.execute(insert(schema.checkpoints), row)


def signed_row(row: Row[Any]) -> SignedCheckpoint:
    """Read a checkpoint from its row."""
    return SignedCheckpoint(row.body, f"{row.key_id}:{row.signature}")


def read_heads(tx: Transaction) -> tuple[Head, ...]:
    """Read where the chains stand."""
    table = schema.chains
    rows = tx.connection.execute(select(table).order_by(table.c.chain))
    return tuple(
        Head(
            chain=row.chain,
            seq=row.seq,
            hash=row.head,
            time=from_micros(row.last_time) if row.seq else None,
        )
        for row in rows
    )
