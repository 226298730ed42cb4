"""The content of a backup: the database as it stood at one instant, the keys, and the blobs.

Each member is its name, its size and its bytes. Names are known ones only, sizes are limited, and a
member is written into a new folder, under that name, by whoever restores: nothing in a backup says
where it goes.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from memos_core.errors import IntegrityError
from memos_core.infrastructure.backup.envelope import CHUNK, Opener, Sealer

DATABASE: Final = "vault.db"
_KEY: Final = re.compile(r"keys/key_[a-z2-7]{20}\.pem")
_BLOB: Final = re.compile(r"blobs/blb_[a-z2-7]{20}\.safetensors")
_MEMBER: Final = struct.Struct(">HQ")
_MAX_KEY: Final = 10_000
_MAX_MEMBERS: Final = 1_000_000

Progress = Callable[[int, int], None]
"""Takes how many bytes are done, and of how many."""


def pack(sealer: Sealer, members: list[tuple[str, Path]], progress: Progress) -> int:
    """Write files into a backup.

    Args:
        sealer: Where to.
        members: Names in the backup, and the files.
        progress: Told how far it has come.

    Returns:
        How many bytes of content it has.
    """
    total = sum(path.stat().st_size for _name, path in members)
    done = 0
    for name, path in members:
        with path.open("rb") as source:
            size = os.fstat(source.fileno()).st_size
            sealer.write(_MEMBER.pack(len(name), size) + name.encode("ascii"))
            left = size
            while left:
                data = source.read(min(CHUNK, left))
                if not data:
                    raise OSError(f"{path.name} became shorter while it was read")
                sealer.write(data)
                left -= len(data)
                done += len(data)
                progress(done, total)
    sealer.finish()
    return total


def unpack(opener: Opener, folder: Path, progress: Progress, size: int) -> None:
    """Write the members of a backup into an empty folder.

    Args:
        opener: Where they come from.
        folder: Where to; for its owner only.
        progress: Told how far it has come.
        size: How many bytes the backup's file has.

    Raises:
        IntegrityError: The backup was changed or cut, or holds what no backup does.
    """
    source = _Bytes(opener.chunks())
    seen: set[str] = set()
    while source.more():
        length, left = _MEMBER.unpack(source.take(_MEMBER.size))
        name = source.take(length).decode("ascii", "replace")
        is_key = _KEY.fullmatch(name) is not None and left <= _MAX_KEY
        known = name == DATABASE or is_key or _BLOB.fullmatch(name) is not None
        if not known or name in seen or len(seen) >= _MAX_MEMBERS:
            raise IntegrityError(f"the backup holds {name[:80]!r}, which no backup does")
        seen.add(name)
        path = folder / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as target:
            _copy(source, target, left, lambda done: progress(min(done, size), size))
            target.flush()
            os.fsync(target.fileno())
    if DATABASE not in seen:
        raise IntegrityError("the backup holds no database: use another copy")


def _copy(source: _Bytes, target: BinaryIO, left: int, tell: Callable[[int], None]) -> None:
    while left:
        data = source.some(left)
        target.write(data)
        left -= len(data)
        tell(source.taken)


class _Bytes:
    """Content in pieces of any length."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = b""
        self._ended = False
        self.taken = 0

    def more(self) -> bool:
        """Tell whether there is any left; at the end every chunk has been checked."""
        while not self._buffer and not self._ended:
            try:
                self._buffer = next(self._chunks)
            except StopIteration:
                self._ended = True
        return bool(self._buffer)

    def some(self, most: int) -> bytes:
        """Take what there is, up to so many bytes."""
        if not self.more():
            raise IntegrityError("the backup is cut off: use another copy")
        data, self._buffer = self._buffer[:most], self._buffer[most:]
        self.taken += len(data)
        return data

    def take(self, count: int) -> bytes:
        """Take exactly so many bytes."""
        found = b""
        while len(found) < count:
            found += self.some(count - len(found))
        return found
