"""The place of blobs: a folder of the vault, or any file system that fsspec knows.

A blob is written whole, flushed, and never changed. Its name is an id that says nothing of what is
in it. Here lie bytes only; what they are, and who needs them, is in the system of record.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol

from memos_core.errors import DamagedError, VaultError
from memos_core.infrastructure.files import unwritable, whole_file

SUFFIX: Final = ".safetensors"
_NAME: Final = re.compile(r"blb_[a-z2-7]{20}")
_CHUNK: Final = 1 << 22


class BlobStore(Protocol):
    """Where blobs lie."""

    is_local: bool
    """Whether they are files of this machine."""

    def write(self, name: str, data: bytes) -> None:
        """Write a blob, whole or not at all, and flush it."""
        ...

    def read(self, name: str) -> bytes | Path:
        """Return a blob's bytes, or the file that holds them.

        Raises:
            DamagedError: It is not there.
        """
        ...

    def stamp(self, name: str) -> object:
        """Say which file it is that was read, and when it was last written; None for no file.

        What is mapped and not read shows whatever becomes of the file later.
        """
        ...

    def delete(self, name: str) -> None:
        """Remove a blob; one that is not there is removed already."""
        ...

    def names(self) -> Iterator[str]:
        """Go through what is there."""
        ...


class FolderStore:
    """Blobs in a folder of this machine.

    Args:
        folder: The folder; made with the first blob.
    """

    is_local = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, name: str, data: bytes) -> None:
        """Write a blob, whole or not at all, and flush it."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise unwritable(f"the folder of blobs {self._folder}", error) from error
        with whole_file(self._path(name), "the blob") as stream:
            stream.write(data)

    def read(self, name: str) -> Path:
        """Return the file of a blob."""
        path = self._path(name)
        if not path.is_file():
            raise _missing(name)
        return path

    def stamp(self, name: str) -> object:
        """Return the file's number, its size, and when it was last written."""
        try:
            found = self._path(name).stat()
        except OSError:
            return "gone"
        return found.st_ino, found.st_size, found.st_mtime_ns

    def delete(self, name: str) -> None:
        """Remove a blob, and what a killed process left of it."""
        try:
            for each in (self._path(name), *self._folder.glob(f".{name}{SUFFIX}.*.part")):
                each.unlink(missing_ok=True)
        except OSError as error:
            raise VaultError(f"the blob {name} cannot be removed: {error.strerror}") from error

    def names(self) -> Iterator[str]:
        """Go through what is there."""
        for path in sorted(self._folder.glob(f"*{SUFFIX}")) if self._folder.is_dir() else ():
            yield path.name.removesuffix(SUFFIX)

    def _path(self, name: str) -> Path:
        return self._folder / (check_name(name) + SUFFIX)


class RemoteStore:
    """Blobs on a file system that fsspec knows, such as `s3://bucket/memories`.

    Args:
        url: Where; the package that speaks its protocol must be installed.

    Raises:
        VaultError: Nothing speaks its protocol, or it cannot be reached.
    """

    is_local = False

    def __init__(self, url: str) -> None:
        import fsspec

        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
            self._files.makedirs(self._root, exist_ok=True)
        except (ImportError, ValueError, OSError) as error:
            raise VaultError(f"no blobs can be kept at {url}: {error}") from error

    def write(self, name: str, data: bytes) -> None:
        """Write a blob; a file system of this kind shows it whole or not at all."""
        try:
            self._files.pipe_file(self._path(name), data)
        except OSError as error:
            raise unwritable(f"the blob {name}", error) from error

    def read(self, name: str) -> bytes:
        """Return a blob's bytes."""
        try:
            found: Any = self._files.cat_file(self._path(name))
        except FileNotFoundError:
            raise _missing(name) from None
        except OSError as error:
            raise VaultError(f"the blob {name} cannot be read: {error}") from error
        return bytes(found)

    def stamp(self, name: str) -> None:  # noqa: ARG002
        """Return nothing: what was fetched is this process's own."""
        return

    def delete(self, name: str) -> None:
        """Remove a blob; one that is not there is removed already."""
        try:
            self._files.rm_file(self._path(name))
        except FileNotFoundError:
            return
        except OSError as error:
            raise VaultError(f"the blob {name} cannot be removed: {error}") from error

    def names(self) -> Iterator[str]:
        """Go through what is there."""
        for each in sorted(self._files.ls(self._root, detail=False)):
            yield Path(each).name.removesuffix(SUFFIX)

    def _path(self, name: str) -> str:
        return f"{self._root}/{check_name(name)}{SUFFIX}"


def store_at(folder: Path, url: str | None) -> BlobStore:
    """Return the place of a vault's blobs.

    Args:
        folder: Where they lie if nothing else is said.
        url: Where else.
    """
    return FolderStore(folder) if url is None else RemoteStore(url)


def digest_of(data: bytes | Path) -> str:
    """Return the SHA-256 of a blob, as 64 hex digits."""
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest()
    found = hashlib.sha256()
    try:
        with data.open("rb") as stream:
            while piece := stream.read(_CHUNK):
                found.update(piece)
    except OSError as error:
        raise DamagedError(f"the blob {data.stem} cannot be read: {error.strerror}") from error
    return found.hexdigest()


def check_name(name: str) -> str:
    """Return a blob's name if it is one: nothing that is stored says where to write.

    Raises:
        DamagedError: It is none.
    """
    if not _NAME.fullmatch(name):
        raise DamagedError(f"{name[:60]!r} is no blob's name: run `memos doctor`")
    return name


def _missing(name: str) -> DamagedError:
    return DamagedError(f"the blob {name} is gone: run `memos doctor`, or make it anew")
