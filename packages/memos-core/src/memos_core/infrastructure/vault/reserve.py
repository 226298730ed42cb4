"""The disk reserve: bytes held back, so that a full disk does not stop what must go on.

The reserve is a file of allocated zeros beside the database. While the disk is full, ordinary
writes are refused at once; the ledger's entries of reads may use half of the reserve, and what
takes away (forget, revoke) all of it. It is filled up again when there is room.
"""

from __future__ import annotations

import errno
import os
from enum import Enum
from pathlib import Path
from typing import Final

_FILE_MODE: Final = 0o600
_ZEROS: Final = bytes(64 * 1024)


class Draw(Enum):
    """What an effect may use of the reserve."""

    NOTHING = 0
    """What adds: an ordinary write."""
    READS = 1
    """The first half: a read's own entry in the ledger, and the entry of a refusal."""
    ALL = 2
    """What takes away, and what the audit needs: it must always work."""

    def share(self, held_back: int) -> int:
        """Return how much of what is held back an effect of this kind may use."""
        return held_back * self.value // 2


class Reserve:
    """The file of the reserve. Whoever changes it holds the writer lock.

    Args:
        path: The file.
        size: How large it is when it is whole; 0 switches it off.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self.size = size

    def held(self) -> int:
        """Return how many bytes it holds now."""
        try:
            return self._path.stat().st_size
        except OSError:  # never made: the disk was full, or the reserve was off
            return 0

    def shrink_to(self, size: int) -> bool:
        """Give what is beyond `size` back to the disk.

        Returns:
            Whether there was anything to give.
        """
        if self.held() <= size:
            return False
        try:
            os.truncate(self._path, size)
        except OSError:  # somebody took the file, or its rights, away: then it holds nothing
            return False
        return True

    def grow_to(self, size: int) -> None:
        """Allocate bytes up to `size`. Where that fails it stays as it was: it is tried again."""
        held = self.held()
        if held >= size:
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            descriptor = os.open(self._path, flags, _FILE_MODE)
        except OSError:
            return
        try:
            _allocate(descriptor, held, size)
        except OSError:
            os.ftruncate(descriptor, held)
        finally:
            os.close(descriptor)


def _allocate(descriptor: int, held: int, size: int) -> None:
    """Extend a file by bytes that the disk has really set aside."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, held, size - held)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
        else:
            return
    while held < size:
        held += os.pwrite(descriptor, _ZEROS[: size - held], held)
    os.fsync(descriptor)  # a file system that allocates late must find out now
