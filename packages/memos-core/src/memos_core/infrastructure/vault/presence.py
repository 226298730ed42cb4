"""Presence: what each process keeps in memory, told to the others, so that erasure can be proved.

Every process that opens a vault has a file of its own in `readers/`, locked for as long as it
lives. It says for each page that the process holds up to which journal entry the page is clean:
whatever was forgotten up to there has been wiped from it. A file that nobody locks any more belongs
to a process that ended, and its memory with it.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from memos_core.clock import Entropy
from memos_core.infrastructure.files import locked_file, unwritable
from memos_core.infrastructure.forking import after_fork

_BLOCK: Final = 4096
_NOBODY: Final = -1
"""The process of a presence that was given up, so that the next use begins a new one."""


@dataclass(frozen=True, slots=True)
class Present:
    """What a process says of itself.

    Args:
        pid: Its number; None where it has not said anything yet, so that nothing is known.
        pages: By kind of page and realm, the journal entry up to which it is clean.
        name: What it is called.
    """

    pid: int | None
    pages: Mapping[str, int]
    name: str = ""


class Presence:
    """This process among those that have a vault open.

    Args:
        folder: Where the files lie; made if it is not there.
        entropy: Names the file.
    """

    def __init__(self, folder: Path, entropy: Entropy) -> None:
        self._folder = folder
        self._entropy = entropy
        self._lock = threading.Lock()
        self._pid, self._descriptor = _NOBODY, -1
        self._enter()
        after_fork(self, Presence._leave_to_the_parent)

    def _leave_to_the_parent(self) -> None:
        """Close a child's copy: it would keep the parent alive for the others."""
        if self._pid != _NOBODY:
            os.close(self._descriptor)
            self._pid = _NOBODY

    def _enter(self) -> None:
        self._pid = os.getpid()
        self._pages: dict[str, int] = {}
        self._blocks = 1
        self._path = self._folder / f"{self._entropy.token(10).hex()}.json"
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._descriptor = locked_file(self._path)
        except OSError as error:
            what = f"{self._folder}, where processes say which pages they hold,"
            raise unwritable(what, error) from error
        self._write()

    @property
    def name(self) -> str:
        """What this process is called among those that have the vault open."""
        with self._mine():
            return self._path.stem

    def holds(self, page: str) -> None:
        """Say that a page is about to be read, so that nobody knows yet how clean it is.

        Args:
            page: Its name, which ends in a colon and its realm.
        """
        with self._mine():
            self._pages[page] = 0
            self._write()

    def cleans(self, page: str, seq: int) -> None:
        """Say up to which journal entry of its realm a page is clean, if it is still held."""
        with self._mine():
            if self._pages.get(page, seq) != seq:
                self._pages[page] = seq
                self._write()

    def lets_go(self, page: str) -> None:
        """Say that a page is in memory no more."""
        with self._mine():
            if self._pages.pop(page, None) is not None:
                self._write()

    def present(self) -> list[Present]:
        """Read what every process that has the vault open says, this one too."""
        found = (_read(path) for path in sorted(self._folder.glob("*.json")))
        return [each for each in found if each is not None]

    def leave(self) -> None:
        """Take this process's file away."""
        if self._pid == os.getpid():
            with self._lock, suppress(OSError):
                self._pid = _NOBODY  # the descriptor's number may be another file's from now on
                os.close(self._descriptor)
                self._path.unlink(missing_ok=True)

    def _mine(self) -> threading.Lock:
        """Return the lock, in a process of one's own: a parent's file says nothing of a child."""
        if self._pid != os.getpid():
            self._lock = threading.Lock()  # a thread of the parent may have held it
            self._enter()
        return self._lock

    def _write(self) -> None:
        """Write in whole blocks, over what is there: that works on a full disk too.

        Where there is no room at all the file is emptied, which says that nothing is known.
        """
        text = json.dumps({"pid": self._pid, "pages": self._pages})
        blocks = max(-(-len(text) // _BLOCK), self._blocks)
        try:
            os.pwrite(self._descriptor, text.ljust(blocks * _BLOCK).encode("ascii"), 0)
            self._blocks = blocks
        except OSError:
            os.ftruncate(self._descriptor, 0)
            self._blocks = 1


def holders(present: Sequence[Present], realms: Mapping[str, int]) -> tuple[str, ...]:
    """Name the processes that hold pages which are not clean yet.

    Args:
        present: What the processes say.
        realms: By realm, the journal entry up to which a page must be clean.
    """
    found: list[str] = []
    for each in present:
        dirty = any(
            seq < realms.get(page.rpartition(":")[2], 0) for page, seq in each.pages.items()
        )
        if each.pid is None or dirty:
            who = "a process that just started" if each.pid is None else f"process {each.pid}"
            found.append(
                f"{who} holds pages with it in memory, and lets go at its next search there, or "
                "when it closes the vault"
            )
    return tuple(found)


def _read(path: Path) -> Present | None:
    """Read what a process says; None where it ended, a nameless one where it is writing."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError:
        return Present(None, {}, path.stem)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        said = _parsed(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
        return replace(said, name=path.stem)
    else:
        with suppress(OSError):
            path.unlink()
        return None
    finally:
        os.close(descriptor)


def _parsed(data: bytes) -> Present:
    try:
        said = json.loads(data)
        pages = {str(name): int(seq) for name, seq in said["pages"].items()}
        return Present(int(said["pid"]), pages)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Present(None, {})
