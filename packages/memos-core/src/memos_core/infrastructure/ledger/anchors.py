"""Anchors: where signed checkpoints are kept outside the vault, beyond the reach of who runs it.

An anchor proves something only if whoever could rewrite the vault cannot rewrite the anchor:
another user's folder, another host, an append-only store.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from memos_core.errors import AnchorError, IntegrityError, InvalidInputError
from memos_core.infrastructure.files import sync_folder
from memos_core.infrastructure.ledger.checkpoint import SignedCheckpoint

_VAULT: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


@runtime_checkable
class Anchor(Protocol):
    """A place for checkpoints outside the vault.

    What cannot be written or read raises `AnchorError` or `OSError`; a checkpoint that was
    published before is taken again without complaint.
    """

    @property
    def name(self) -> str:
        """What people call it, for messages."""
        ...

    def publish(self, signed: SignedCheckpoint) -> None:
        """Keep a checkpoint for good.

        Raises:
            IntegrityError: Another checkpoint of the same vault and number is kept already.
        """
        ...

    def published(self) -> Sequence[SignedCheckpoint] | None:
        """Return every checkpoint that is kept, of any vault; None where it cannot be read back."""
        ...


class FolderAnchor:
    """Keeps checkpoints in a folder, one file each; the folder may serve several vaults.

    Files are only ever created, so a folder that lets its writers add and not change will do.

    Args:
        path: The folder; made when the first checkpoint comes. Not within the vault's directory.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from memos_core.testing import temporary_memos
        >>> with TemporaryDirectory() as folder:
        ...     with temporary_memos(anchors=[FolderAnchor(folder)]) as memos:
        ...         _ = memos.session("user:owner").audit.checkpoint()
        ...         print(memos.verify_ledger().status)
        untampered
    """

    def __init__(self, path: str | Path) -> None:
        if not str(path).strip():
            raise InvalidInputError("the anchor's folder is empty: give a folder, e.g. /mnt/anchor")
        self.path = Path(path).expanduser().absolute()

    @property
    def name(self) -> str:
        """The folder."""
        return str(self.path)

    def __repr__(self) -> str:
        return f"FolderAnchor({self.name!r})"

    def refuse_within(self, root: Path) -> None:
        """Refuse to be an anchor inside the vault that it is to vouch for.

        Raises:
            InvalidInputError: The folder lies within `root`.
        """
        if self.path.resolve().is_relative_to(root.resolve()):
            raise InvalidInputError(
                f"{self.path} lies within the vault's own directory, where it proves nothing: "
                "give a folder of another user, host or store"
            )

    def publish(self, signed: SignedCheckpoint) -> None:
        """Write a checkpoint's file and flush it, or find the same one there.

        Raises:
            AnchorError: The folder cannot be written.
            IntegrityError: The file is there with another content.
        """
        data = (signed.dump() + "\n").encode("utf-8")
        if not _VAULT.fullmatch(signed.vault_id):
            raise IntegrityError(f"{signed.vault_id[:80]!r} is no vault's id: nothing was sent")
        path = self.path / _file_name(signed)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                _write(path, data, os.O_CREAT | os.O_EXCL)
            except FileExistsError:
                self._compare(path, data)
            sync_folder(self.path)
        except OSError as error:
            raise AnchorError(
                f"checkpoint {signed.number} could not be written to {self.path} "
                f"({error.strerror}): it stands in the vault, and is sent with the next one"
            ) from error

    def _compare(self, path: Path, data: bytes) -> None:
        kept = path.read_bytes()
        if kept == data:
            return
        if not data.startswith(kept):
            raise IntegrityError(
                f"{path} holds another checkpoint of the same number: an older copy of the vault "
                "was put back, or somebody changed one of the two; run `memos audit verify`"
            )
        # Its writer was cut off, or is at it: the same bytes in the same place hurt nobody.
        _write(path, data, 0)

    def published(self) -> Sequence[SignedCheckpoint]:
        """Read every checkpoint in the folder.

        Raises:
            AnchorError: The folder cannot be read.
            IntegrityError: A file is no checkpoint.
        """
        found = []
        try:
            for path in sorted(self.path.glob("vlt_*.json")) if self.path.exists() else ():
                text = path.read_text(encoding="utf-8")
                if text.endswith("\n"):  # what has no end yet was never published
                    found.append(self._read(path, text))
        except (OSError, UnicodeDecodeError) as error:
            raise AnchorError(f"the anchor {self.path} cannot be read: {error}") from error
        return found

    def _read(self, path: Path, text: str) -> SignedCheckpoint:
        try:
            found = SignedCheckpoint.load(text)
        except IntegrityError as error:
            raise IntegrityError(f"{path}: {error}") from error
        if _file_name(found) != path.name:
            raise IntegrityError(f"{path} holds another checkpoint than its name says")
        return found


class CallableAnchor:
    """Hands checkpoints to a function, such as one that posts them to another service.

    Args:
        publish: Keeps a checkpoint; it raises `OSError` or `AnchorError` where it cannot. Without
            `published` it is given every checkpoint anew by each process.
        published: Returns all that were kept; without it, nothing can be verified against them.
        name: What people call it.

    Example:
        >>> kept: list[SignedCheckpoint] = []
        >>> anchor = CallableAnchor(kept.append, lambda: kept)
    """

    def __init__(
        self,
        publish: Callable[[SignedCheckpoint], object],
        published: Callable[[], Sequence[SignedCheckpoint]] | None = None,
        *,
        name: str = "callable",
    ) -> None:
        self._publish = publish
        self._published = published
        self._name = name

    @property
    def name(self) -> str:
        """What people call it."""
        return self._name

    def publish(self, signed: SignedCheckpoint) -> None:
        """Hand the checkpoint over."""
        self._publish(signed)

    def published(self) -> Sequence[SignedCheckpoint] | None:
        """Return what was kept; None where nothing can be read back."""
        return None if self._published is None else self._published()


def check_anchors(anchors: object, root: Path) -> None:
    """Refuse what is no anchor, and one that lies within the vault at `root`.

    Raises:
        InvalidInputError: One of them is.
    """
    several = anchors if isinstance(anchors, list | tuple) else [None]
    for anchor in several:
        if not isinstance(anchor, Anchor):
            raise InvalidInputError(
                f"anchors is a list of anchors such as [FolderAnchor('elsewhere')], not {anchors!r}"
            )
        if isinstance(anchor, FolderAnchor):
            anchor.refuse_within(root)


def _file_name(signed: SignedCheckpoint) -> str:
    return f"{signed.vault_id}-{signed.number:06}.json"


def _write(path: Path, data: bytes, flags: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o644)
    try:
        written = 0
        while written < len(data):
            written += os.pwrite(descriptor, data[written:], written)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
