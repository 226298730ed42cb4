"""The envelope of a backup: a header, then chunks that cannot be changed, dropped or reordered.

With a key, each chunk is AES-256-GCM under a key of this file's own (HKDF-SHA-256 of the caller's
key, or of a passphrase by scrypt), a nonce that counts, and the header's digest as associated data:
the STREAM construction (Hoang, Reyhanitabar, Rogaway and Vizár, 2015). The last chunk says that it
is the last, so a cut file is refused. Without a key, chunks carry a chain of SHA-256: that finds
damage, and stops nobody who wants to change it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from memos_core.errors import IntegrityError, InvalidInputError

MAGIC: Final = b"memos-backup/1\n"
CHUNK: Final = 1 << 20
"""Bytes of content in a chunk."""
_MAX_HEADER: Final = 10_000
_FRAME: Final = struct.Struct(">BI")
_SCRYPT: Final = {"n": 1 << 15, "r": 8, "p": 1}
_LEAST_PASSPHRASE: Final = 12

Key = str | bytes
"""A passphrase of at least 12 characters, or 32 bytes of a key."""


class Sealer:
    """Writes the envelope.

    Args:
        stream: Where it goes.
        header: What everybody may read: JSON values.
        key: Encrypts the content; None leaves it open.
        salt: 32 random bytes, for this file alone.
    """

    def __init__(
        self, stream: BinaryIO, header: dict[str, Any], key: Key | None, salt: bytes
    ) -> None:
        self._stream = stream
        encryption = None
        if key is not None:
            encryption = {"cipher": "AES-256-GCM", "salt": base64.b64encode(salt).decode("ascii")}
            if isinstance(key, str):
                encryption["kdf"] = "scrypt"
        line = json.dumps(header | {"encryption": encryption}).encode("ascii") + b"\n"
        stream.write(MAGIC + line)
        self._chunks = _Chunks(line, None if key is None else _derived(key, salt))
        self._buffer = bytearray()

    def write(self, data: bytes) -> None:
        """Add content."""
        self._buffer += data
        while len(self._buffer) > CHUNK:  # one stays back: it may be the last
            self._put(bytes(self._buffer[:CHUNK]), last=False)
            del self._buffer[:CHUNK]

    def finish(self) -> None:
        """Write what is left, marked as the last."""
        self._put(bytes(self._buffer), last=True)

    def _put(self, data: bytes, *, last: bool) -> None:
        sealed = self._chunks.seal(data, last=last)
        self._stream.write(_FRAME.pack(last, len(sealed)) + sealed)


class Opener:
    """Reads an envelope.

    Args:
        stream: Where it comes from.
        key: As it was written with.

    Raises:
        InvalidInputError: It is no backup, or the key is missing or not wanted.
    """

    def __init__(self, stream: BinaryIO, key: Key | None) -> None:
        self._stream = stream
        if stream.read(len(MAGIC)) != MAGIC:
            raise InvalidInputError("this is no backup of MemOS, or one of a newer version")
        line = stream.readline(_MAX_HEADER)
        self.header = _read_header(line)
        encryption = self.header.get("encryption")
        if encryption is None:
            if key is not None:
                raise InvalidInputError(
                    "a key was given, and the backup is not encrypted: if it was taken with a key, "
                    "somebody has replaced it"
                )
            self._chunks = _Chunks(line, None)
            return
        if key is None:
            raise InvalidInputError("the backup is encrypted: give the key it was taken with")
        if isinstance(key, str) != (encryption.get("kdf") == "scrypt"):
            kind = "a passphrase" if encryption.get("kdf") == "scrypt" else "a key of 32 bytes"
            raise InvalidInputError(f"the backup was taken with {kind}: give that")
        self._chunks = _Chunks(line, _derived(key, base64.b64decode(encryption["salt"])))

    def chunks(self) -> Iterator[bytes]:
        """Yield the content, each piece checked before it is given out.

        Raises:
            IntegrityError: It was changed or cut, or the key is another one.
        """
        last = False
        while not last:
            frame = self._stream.read(_FRAME.size)
            if len(frame) < _FRAME.size:
                raise IntegrityError("the backup is cut off: use another copy")
            flag, size = _FRAME.unpack(frame)
            last = flag == 1
            if size > CHUNK + 64:
                raise IntegrityError(_CHANGED)
            yield self._chunks.open(self._stream.read(size), last=last)
        if self._stream.read(1):
            raise IntegrityError(_CHANGED)


_CHANGED: Final = (
    "the backup does not hold together: its bytes were changed, or the key is another one"
)


class _Chunks:
    """Seals and opens chunks in order."""

    def __init__(self, header: bytes, key: bytes | None) -> None:
        self._bound = hashlib.sha256(MAGIC + header).digest()
        self._cipher = None if key is None else AESGCM(key)
        self._number = 0

    def seal(self, data: bytes, *, last: bool) -> bytes:
        if self._cipher is not None:
            return self._cipher.encrypt(self._nonce(last=last), data, self._bound)
        return data + self._link(data, last=last)

    def open(self, sealed: bytes, *, last: bool) -> bytes:
        if self._cipher is not None:
            try:
                return self._cipher.decrypt(self._nonce(last=last), sealed, self._bound)
            except InvalidTag as error:
                raise IntegrityError(_CHANGED) from error
        data, digest = sealed[:-32], sealed[-32:]
        if self._link(data, last=last) != digest:
            raise IntegrityError(_CHANGED)
        return data

    def _nonce(self, *, last: bool) -> bytes:
        self._number += 1
        return self._number.to_bytes(11, "big") + bytes([last])

    def _link(self, data: bytes, *, last: bool) -> bytes:
        self._bound = hashlib.sha256(self._bound + bytes([last]) + data).digest()
        return self._bound


def check_key(key: object) -> Key | None:
    """Return a key unchanged if it is one.

    Raises:
        InvalidInputError: It is too short to protect anything.
    """
    if key is None:
        return None
    if isinstance(key, bytes) and len(key) == 32:
        return key
    if isinstance(key, str) and len(key) >= _LEAST_PASSPHRASE:
        return key
    raise InvalidInputError(
        f"a backup's key is a passphrase of at least {_LEAST_PASSPHRASE} characters, or 32 bytes"
    )


def _derived(key: Key, salt: bytes) -> bytes:
    """Make this file's own key."""
    if isinstance(key, str):
        key = Scrypt(salt=salt, length=32, **_SCRYPT).derive(key.encode("utf-8"))
    return HKDF(SHA256(), 32, salt, b"memos-backup/1").derive(key)


def _read_header(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
        if isinstance(found, dict) and line.endswith(b"\n"):
            encryption = found.get("encryption")
            if encryption is not None:
                base64.b64decode(encryption["salt"], validate=True)
            return found
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise IntegrityError("the backup's header is damaged: use another copy")
