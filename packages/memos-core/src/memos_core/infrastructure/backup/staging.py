"""Where a backup is unpacked: beside its place, under another name, until it is a vault."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memos_core.errors import InvalidInputError
from memos_core.infrastructure.backup.archive import Progress, unpack
from memos_core.infrastructure.backup.envelope import Key, Opener
from memos_core.infrastructure.files import sync_folder, unwritable


@contextmanager
def unpacked(backup: Path, into: Path, key: Key | None, progress: Progress) -> Iterator[Path]:
    """Unpack a backup into a folder beside its place, and put it there after the block.

    Args:
        backup: The backup's file.
        into: Where the vault will be: nothing, or an empty folder.
        key: As the backup was taken with.
        progress: Told how far it has come.

    Yields:
        The folder; if anything fails, it is removed, and nothing was restored.

    Raises:
        InvalidInputError: There is no such backup, or something lies where the vault is to be.
        IntegrityError: The backup was changed or cut, or the key is another one.
        FullError: The disk is full.
        VaultError: The folder cannot be written.
    """
    if into.is_symlink() or (into.exists() and not (into.is_dir() and not any(into.iterdir()))):
        raise InvalidInputError(f"{into} is there already: restore into a new folder")
    if not into.parent.is_dir():
        raise InvalidInputError(f"there is no folder {into.parent}: make it first")
    try:
        stream = backup.open("rb")
    except OSError as error:
        raise InvalidInputError(f"{backup} cannot be read: {error.strerror}") from error
    with stream:
        opener = Opener(stream, key)
        try:
            staging = Path(tempfile.mkdtemp(prefix=f".{into.name}.restoring-", dir=into.parent))
        except OSError as error:
            raise unwritable(f"the folder {into.parent}", error) from error
        try:
            try:
                unpack(opener, staging, progress, backup.stat().st_size)
            except OSError as error:
                raise unwritable(f"the vault {into}", error) from error
            yield staging
            _place(staging, into)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _place(staging: Path, into: Path) -> None:
    try:
        if into.exists():
            into.rmdir()  # it is empty, or this fails
        staging.rename(into)
        sync_folder(into.parent)
    except OSError as error:
        raise unwritable(f"the vault {into}", error) from error
