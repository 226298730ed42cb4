"""The vault's signing keys: Ed25519, one current at a time, each endorsed by the one before it.

The private half of a key is a file of its own, `keys/<id>.pem` in the vault's directory, for its
owner only; it is never in the database. What is signed is framed by a **context**, so that a
signature over one kind of thing proves nothing about another. A key that leaked is revoked: what it
signed is not believed any more, but for checkpoints that were anchored before.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import rfc8785
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import Row, insert, select, update

from memos_core.clock import from_micros, to_micros
from memos_core.errors import IntegrityError
from memos_core.infrastructure.files import sync_folder, unwritable
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.vault import Transaction, Vault

MARK: Final = "memos-mark/1"
CHECKPOINT: Final = "memos-checkpoint/1"
ENDORSEMENT: Final = "memos-key-endorsement/1"

_ID: Final = re.compile(r"key_[a-z2-7]{20}")


class SigningKey(BaseModel):
    """The public half of one of the vault's keys, and what became of it.

    Args:
        id: `key_…`.
        number: 1 for the vault's first key, and so on.
        public: 64 hex digits: the Ed25519 public key.
        created: Since when it signs.
        retired: Since when another one signs; None for the current key.
        revoked: Since when it is not believed any more, because it leaked.
        endorsement: The signature by the key before it, over `endorsed_text`; None for the first
            key, and for one that was made while the private key before it was lost.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    number: int
    public: str
    created: datetime
    retired: datetime | None = None
    revoked: datetime | None = None
    endorsement: str | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """The keys as of one policy epoch; every change of a key moves the epoch."""

    epoch: int
    keys: dict[str, SigningKey]
    public: dict[str, Ed25519PublicKey]
    current: str


class Keyring:
    """Makes, keeps and uses the vault's signing keys.

    Args:
        vault: Whose keys.
    """

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._folder = vault.directory.keys
        self._known: _Known | None = None
        self._private: tuple[str, Ed25519PrivateKey] | None = None

    def ensure(self, tx: Transaction) -> SigningKey | None:
        """Make the vault's first key, if it has none.

        Args:
            tx: An effect: the writer's lock keeps other processes from making one too.

        Returns:
            The new key, or None if there was one.
        """
        if tx.connection.scalar(select(schema.signing_keys.c.id).limit(1)) is not None:
            return None
        return self._make(tx, 1, None)

    def keys(self, tx: Transaction) -> list[SigningKey]:
        """Read all keys, oldest first."""
        table = schema.signing_keys
        rows = tx.connection.execute(select(table).order_by(table.c.number))
        return [_read(row) for row in rows]

    def history(self, tx: Transaction) -> list[SigningKey]:
        """Read all keys, of which there must be one: oldest first, the last one signs.

        Raises:
            IntegrityError: There is none.
        """
        keys = self.keys(tx)
        if not keys:
            raise IntegrityError("the vault has no signing key: open it again to make one")
        return keys

    def current(self, tx: Transaction) -> SigningKey:
        """Return the key that signs.

        Raises:
            IntegrityError: There is none.
        """
        known = self._keys(tx)
        return known.keys[known.current]

    def sign(self, tx: Transaction, data: bytes, *, context: str = MARK) -> str:
        """Sign with the current key.

        Args:
            tx: Any transaction.
            data: What is signed.
            context: What kind of thing it is; `verify` needs the same.

        Returns:
            The key's id, a colon, and the signature in base64.

        Raises:
            IntegrityError: The private key is not there, or is another one.
        """
        return self.sign_as(self.current(tx), data, context=context)

    def sign_as(self, key: SigningKey, data: bytes, *, context: str) -> str:
        """Sign with one of the keys; like `sign`."""
        signature = self._load(key).sign(_framed(context, data))
        return f"{key.id}:{base64.b64encode(signature).decode('ascii')}"

    def verify(self, tx: Transaction, data: bytes, signature: str, *, context: str = MARK) -> bool:
        """Tell whether a key of this vault that is not revoked signed this.

        Args:
            tx: Any transaction.
            data: What was signed.
            signature: As `sign` returned it.
            context: What kind of thing it is.
        """
        parts = split_signature(signature)
        if parts is None:
            return False
        known = self._keys(tx)
        key = known.keys.get(parts[0])
        if key is None or key.revoked is not None or parts[0] not in known.public:
            return False
        return _holds(known.public[parts[0]], data, parts[1], context)

    def rotate(self, tx: Transaction, *, revoke: bool) -> SigningKey:
        """Make a new key; the old one endorses it and signs nothing any more.

        Args:
            tx: The effect.
            revoke: The old key leaked: do not believe it any more.

        Returns:
            The new key; without an endorsement where the old private key is lost.
        """
        table = schema.signing_keys
        old = self.history(tx)[-1]
        changes: dict[str, int] = {"retired": tx.now} | ({"revoked": tx.now} if revoke else {})
        tx.connection.execute(update(table).where(table.c.id == old.id).values(**changes))
        made = self._make(tx, old.number + 1, old)
        self._vault.move_epoch(tx)
        return made

    def adopt(self, tx: Transaction, keys: Sequence[SigningKey]) -> None:
        """Write the keys as a later checkpoint lists them, in a vault restored from a backup.

        Where the newest private key was not in the backup, a new one is made. The newest key that
        is there, and was not revoked, endorses it; if there is none, nobody does.
        """
        table = schema.signing_keys
        for key in keys:
            known = {
                "public": key.public,
                "number": key.number,
                "created": to_micros(key.created),
                "retired": None if key.retired is None else to_micros(key.retired),
                "revoked": None if key.revoked is None else to_micros(key.revoked),
                "endorsement": key.endorsement,
            }
            done = tx.connection.execute(update(table).where(table.c.id == key.id).values(**known))
            if not done.rowcount:
                tx.connection.execute(insert(table).values(id=key.id, **known))
        try:
            self._read_private(keys[-1])
        except IntegrityError:
            chosen = table.c.id == keys[-1].id
            tx.connection.execute(update(table).where(chosen).values(retired=tx.now))
            self._make(tx, keys[-1].number + 1, self._endorser(keys))
            self._vault.move_epoch(tx)

    def _endorser(self, keys: Sequence[SigningKey]) -> SigningKey:
        """Find the newest key whose private half is here and that was not revoked."""
        for key in reversed(keys):
            with suppress(IntegrityError):
                if key.revoked is None:
                    self._read_private(key)
                    return key
        return keys[-1]

    def problems(self, tx: Transaction) -> tuple[list[str], list[str]]:
        """Hold the files against the table, for `memos doctor`.

        Returns:
            What is wrong, and what could be better.
        """
        keys = self.keys(tx)
        if not keys:
            return ["keys: the vault has no signing key: open it once with this MemOS"], []
        found: list[str] = []
        for key in keys:
            path = self._path(key)
            if path.exists() or key is keys[-1]:
                found += self._examine(key, path)
        if self._folder.is_dir() and self._folder.stat().st_mode & 0o077:
            found.append(f"keys: {self._folder} is open to others: chmod 700")
        ours = {self._path(key) for key in keys}
        strange = sorted(set(self._folder.glob("*.pem")) - ours)
        advice = [f"{path} is the key of no row: an attempt that was cut off" for path in strange]
        return found, advice

    def _examine(self, key: SigningKey, path: Path) -> list[str]:
        found = []
        try:
            self._read_private(key)
            if path.stat().st_mode & 0o077:
                found.append(f"keys: {path} is open to others: chmod 600, then rotate the key")
        except (OSError, IntegrityError) as error:
            found.append(f"keys: {error}")
        return found

    def _keys(self, tx: Transaction) -> _Known:
        known = self._known
        if known is not None and known.epoch == tx.epoch:
            return known
        history = self.history(tx)
        public = {key.id: found for key in history if (found := load_public(key.public))}
        fresh = _Known(tx.epoch, {key.id: key for key in history}, public, history[-1].id)
        # A writing transaction may see keys that are never committed: keep them only if they are.
        tx.on_commit.append(lambda: setattr(self, "_known", fresh))
        return fresh

    def _load(self, key: SigningKey) -> Ed25519PrivateKey:
        held = self._private
        if held is not None and held[0] == key.id:
            return held[1]
        private = self._read_private(key)
        self._private = (key.id, private)
        return private

    def _read_private(self, key: SigningKey) -> Ed25519PrivateKey:
        path = self._path(key)
        try:
            private = load_pem_private_key(path.read_bytes(), password=None)
        except FileNotFoundError as error:
            raise IntegrityError(
                f"the private key {path} is not there: restore the vault's keys/ from a backup, or "
                "make a new key with `memos audit rotate-key`"
            ) from error
        except OSError as error:
            raise IntegrityError(
                f"the private key {path} cannot be read ({error.strerror}): let the vault's user "
                "read it, or make a new key with `memos audit rotate-key`"
            ) from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise _damaged(path) from error
        if not isinstance(private, Ed25519PrivateKey) or _hex(private) != key.public:
            raise _damaged(path)
        return private

    def _make(self, tx: Transaction, number: int, old: SigningKey | None) -> SigningKey:
        private = Ed25519PrivateKey.from_private_bytes(self._vault.entropy.token(32))
        made = SigningKey(
            id=self._vault.mint("key"),
            number=number,
            public=_hex(private),
            created=from_micros(tx.now),
        )
        if old is not None:
            text = endorsed_text(tx.vault_id, made)
            try:
                endorsement = self.sign_as(old, text, context=ENDORSEMENT)
            except IntegrityError:  # the old key is lost: nobody can vouch for the new one
                endorsement = None
            made = made.model_copy(update={"endorsement": endorsement})
        # The file comes first: a key that the database knows of is always on the disk.
        self._write(self._path(made), private)
        tx.connection.execute(
            insert(schema.signing_keys).values(
                id=made.id,
                number=made.number,
                public=made.public,
                created=to_micros(made.created),
                endorsement=made.endorsement,
            )
        )
        tx.on_commit.append(lambda: setattr(self, "_private", (made.id, private)))
        return made

    def _write(self, path: Path, private: Ed25519PrivateKey) -> None:
        text = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o600)
            try:
                os.fchmod(descriptor, 0o600)
                while text:  # where the disk fills up meanwhile, less is written than asked for
                    text = text[os.write(descriptor, text) :]
                os.fsync(descriptor)
            except OSError:
                path.unlink(missing_ok=True)
                raise
            finally:
                os.close(descriptor)
            sync_folder(self._folder)
            sync_folder(self._folder.parent)
        except OSError as error:
            raise unwritable(f"the signing key {path}", error) from error

    def _path(self, key: SigningKey) -> Path:
        if not _ID.fullmatch(key.id):  # it comes from the database, and names a file
            raise IntegrityError(
                f"{key.id!r} is no key's id: somebody changed the vault; run `memos audit verify`"
            )
        return self._folder / f"{key.id}.pem"


def endorsed_text(vault_id: str, key: SigningKey) -> bytes:
    """Return what the key before it signs to endorse a key: RFC 8785 canonical JSON."""
    return rfc8785.dumps(
        {"vault": vault_id, "id": key.id, "number": key.number, "public": key.public}
    )


def split_signature(signature: str) -> tuple[str, bytes] | None:
    """Take a signature apart into the key's id and the bytes; None where it is malformed."""
    key_id, colon, text = signature.partition(":")
    try:
        return (key_id, base64.b64decode(text, validate=True)) if colon else None
    except (ValueError, binascii.Error):
        return None


def load_public(text: str) -> Ed25519PublicKey | None:
    """Read a public key from hex; None where it is none."""
    try:
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
    except ValueError:
        return None


def is_signed_by(key: SigningKey, data: bytes, signature: str, *, context: str) -> bool:
    """Tell whether this very key signed this."""
    public, parts = load_public(key.public), split_signature(signature)
    if public is None or parts is None or parts[0] != key.id:
        return False
    return _holds(public, data, parts[1], context)


def _holds(public: Ed25519PublicKey, data: bytes, signature: bytes, context: str) -> bool:
    try:
        public.verify(signature, _framed(context, data))
    except InvalidSignature:
        return False
    return True


def _framed(context: str, data: bytes) -> bytes:
    return context.encode("ascii") + b"\0" + data


def _hex(private: Ed25519PrivateKey) -> str:
    return private.public_key().public_bytes_raw().hex()


def _damaged(path: Path) -> IntegrityError:
    return IntegrityError(
        f"the private key {path} is damaged or another one: restore the vault's keys/ from a "
        "backup, or make a new key with `memos audit rotate-key`"
    )


def _read(row: Row[Any]) -> SigningKey:
    try:
        return SigningKey(
            id=row.id,
            number=row.number,
            public=row.public,
            created=from_micros(row.created),
            retired=None if row.retired is None else from_micros(row.retired),
            revoked=None if row.revoked is None else from_micros(row.revoked),
            endorsement=row.endorsement,
        )
    except (ValidationError, OverflowError, TypeError) as error:
        raise IntegrityError(
            "a row of the signing keys is damaged: run `memos audit verify`, restore a backup"
        ) from error
