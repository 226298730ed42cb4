"""Scratch files: working copies in the vault's directory that must not outlive who made them.

A scratch file is locked for as long as it is used. What nobody locks any more was left behind by a
process that ended, holds content, and is swept away.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from memos_core.infrastructure.files import locked_file

PATTERN: Final = "scratch-*.tmp"


@contextmanager
def scratch_file(folder: Path, name: str) -> Iterator[Path]:
    """Make an empty file to work in; it is gone at the end of the block.

    Args:
        folder: Where.
        name: Letters and digits that nobody else has.

    Raises:
        OSError: It cannot be made.
    """
    path = folder / PATTERN.replace("*", name)
    descriptor = locked_file(path)
    try:
        yield path
    finally:
        for each in (path, *path.parent.glob(f"{path.name}-*")):  # with SQLite's own beside it
            with suppress(OSError):
                each.unlink()
        os.close(descriptor)


def sweep(folder: Path) -> bool:
    """Remove what ended processes left behind.

    Returns:
        Whether somebody is still working in such a file.
    """
    in_use = False
    for path in sorted(folder.glob(PATTERN)):
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for each in (path, *folder.glob(f"{path.name}-*")):
                    each.unlink(missing_ok=True)
            except BlockingIOError:
                in_use = True
            finally:
                os.close(descriptor)
    return in_use
