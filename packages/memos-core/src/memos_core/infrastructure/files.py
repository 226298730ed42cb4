"""Files that come into being whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from memos_core.errors import FullError, InvalidInputError, VaultError

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says where there is no more room."""


@contextmanager
def whole_file(path: Path, what: str) -> Iterator[BinaryIO]:
    """Write a new file, for its owner only; it has its name once it is complete and flushed.

    Args:
        path: Where it will be; nothing may be there.
        what: What people call it, for messages.

    Raises:
        InvalidInputError: There is something there already, or no folder.
        FullError: The disk is full.
        VaultError: It cannot be written.
    """
    refuse_existing(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(part, flags, 0o600), "wb") as stream:
            try:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
                _place(part, path)
            finally:
                part.unlink(missing_ok=True)
        sync_folder(path.parent)
    except FileExistsError as error:
        raise InvalidInputError(f"{path} is there already: name a new file") from error
    except OSError as error:
        raise unwritable(f"{what} {path}", error) from error


def locked_file(path: Path) -> int:
    """Make an empty file that others can see is in use, by its lock.

    Whoever finds it unlocked takes it for one that an ended process left behind and removes it;
    where that happens before it is locked, it is made again.

    Returns:
        The descriptor that holds the lock.

    Raises:
        OSError: It cannot be made.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if path.exists():
            return descriptor
        os.close(descriptor)


def unwritable(what: str, error: OSError) -> VaultError:
    """Say that something cannot be written, and whether the disk is full."""
    if error.errno in FULL:
        return FullError(
            f"{what} cannot be written ({error.strerror}): free some disk space and try again; "
            "nothing of it was kept"
        )
    return VaultError(f"{what} cannot be written: {error.strerror or error}")


def refuse_existing(path: Path) -> None:
    """Refuse to write over a file, or where there is no folder.

    Raises:
        InvalidInputError: There is something there already, or the folder is not there.
    """
    if path.exists() or path.is_symlink():
        raise InvalidInputError(f"{path} is there already: name a new file")
    if not path.parent.is_dir():
        raise InvalidInputError(f"there is no folder {path.parent}: make it first")


def sync_folder(folder: Path) -> None:
    """Flush a folder, so that a new name in it survives a crash."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _place(part: Path, path: Path) -> None:
    try:
        os.link(part, path)  # unlike a renaming, this overwrites nothing
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        refuse_existing(path)
        part.rename(path)
