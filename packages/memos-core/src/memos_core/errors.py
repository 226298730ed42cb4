"""The errors of MemOS: one tree, and every message says what to do.

MemosError
├── InvalidInputError      the caller's value is wrong; nothing was written
├── NotFoundError          not there, or not readable: the two are not told apart
├── DeniedError            a write or a verb that the vault does not allow
├── ConflictError          somebody else was first: a stale version, a taken key
├── EmbedderError          no embedder, or not the one that the vault was made with
├── ModelError             a chat model did not answer
├── LedgerError            the ledger could not be written, so nothing was done
├── IntegrityError         a proof does not hold: the ledger or a signature
├── AnchorError            a checkpoint could not be kept outside the vault, or read back
└── VaultError             the storage
    ├── SchemaError        made by a newer MemOS, or not migrated
    ├── DamagedError       bytes on disk changed: reported, never served
    ├── BusyError          a lock was not free in time
    └── FullError          the disk or a quota is full
"""

from __future__ import annotations

__all__ = [
    "AnchorError",
    "BusyError",
    "ConflictError",
    "DamagedError",
    "DeniedError",
    "EmbedderError",
    "FullError",
    "IntegrityError",
    "InvalidInputError",
    "LedgerError",
    "MemosError",
    "ModelError",
    "NotFoundError",
    "SchemaError",
    "VaultError",
]


class MemosError(Exception):
    """The root of every error that MemOS raises on purpose."""


class InvalidInputError(MemosError, ValueError):
    """The caller's value is wrong; nothing was written."""


class NotFoundError(MemosError, LookupError):
    """There is no such thing for this principal: absent and unreadable answer alike."""


class DeniedError(MemosError):
    """The vault does not allow this write or verb; the denial is in the ledger."""


class ConflictError(MemosError):
    """Somebody else was first: read again, then decide."""


class EmbedderError(MemosError):
    """No embedder is to be had, or it is not the one that the vault was made with."""


class ModelError(MemosError):
    """A chat model did not answer; nothing was written."""


class LedgerError(MemosError):
    """The ledger could not be written, so the operation was not done."""


class IntegrityError(MemosError):
    """A proof does not hold: a ledger chain, a signature, a digest."""


class AnchorError(MemosError):
    """A checkpoint could not be kept outside the vault, or read back; the vault is unharmed."""


class VaultError(MemosError):
    """The storage under the vault failed or refused."""


class SchemaError(VaultError):
    """The vault's schema is not the one that this MemOS reads."""


class DamagedError(VaultError):
    """Stored bytes do not match their hash; the content is withheld."""


class BusyError(VaultError):
    """A lock was not free within the time allowed."""


class FullError(VaultError):
    """The disk or a quota is full; nothing of this operation was kept."""
