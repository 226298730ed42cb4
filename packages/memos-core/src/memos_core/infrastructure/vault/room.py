"""How much room a vault has: on its disk, under the limit of file sizes, under its own limit.

It is looked at before each effect, with a few system calls, and never remembered: other programs
fill the same disk. The write-ahead log needs its room twice, for what is in it must fit into the
database before it can be emptied.
"""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path
from typing import Final

from memos_core.errors import FullError
from memos_core.infrastructure.vault.reserve import Draw, Reserve

HEADROOM: Final = 1 << 20
"""What a small effect and the emptying of its log need, in bytes."""
_TIGHT: Final = 16  # times the reserve: where less is free than that, the log is kept short
_BOUNDLESS: Final = 1 << 62


class Room:
    """Looks how much room there is, and lends from the reserve. Its caller holds the writer lock.

    Args:
        database: The database's file.
        reserve_bytes: The size of the disk reserve; 0 for none.
        max_bytes: The most that the database may take, beside the reserve.
    """

    def __init__(self, database: Path, *, reserve_bytes: int, max_bytes: int | None) -> None:
        self._folder = database.parent
        self._log = database.with_name(database.name + "-wal")
        self._reserve = Reserve(database.with_suffix(".reserve"), reserve_bytes)
        self._max_bytes = max_bytes

    def log_bytes(self) -> int:
        """Return the size of the write-ahead log."""
        try:
            return self._log.stat().st_size  # a stat opens nothing
        except FileNotFoundError:
            return 0

    def is_log_long(self, checkpoint_bytes: int) -> bool:
        """Tell whether the log is due to be brought into the database.

        On a disk with little room that is earlier: another program may take what is left at any
        time, and then the log must still fit into the database with the help of the reserve.
        """
        log, reserve = self.log_bytes(), self._reserve.size
        if log > checkpoint_bytes:
            return True
        return log > reserve // 2 and self._free() < _TIGHT * reserve

    def cut_log(self, size: int) -> None:
        """Give back what a failed effect has left at the end of the log.

        It was never committed, so nobody reads it; but it fills the disk until the log is emptied,
        which needs room itself. A descriptor of SQLite's files must not be closed here (that would
        drop its locks), and cutting by name opens none.
        """
        if self.log_bytes() > size:
            with suppress(OSError):
                os.truncate(self._log, size)

    def is_low(self, draw: Draw) -> bool:
        """Tell whether an effect had better not begin before room is made."""
        log = self.log_bytes()
        need = HEADROOM + (self._whole() if draw is Draw.ALL else 0)
        owed = self._owed() if draw is Draw.NOTHING else 0
        if self._free() - log - owed < need:
            return True
        limit = _file_limit()
        held_back = self._held_back(limit)
        return limit - log - held_back + draw.share(held_back) < min(HEADROOM, limit // 8)

    def check_file(self, size: int) -> None:
        """Refuse a file beside the database that would take what others need to go on.

        Raises:
            FullError: There is not so much room.
        """
        if self._free() - self.log_bytes() - self._owed() - size < HEADROOM:
            raise self.full(Draw.NOTHING, f"{size:,} bytes are to be written")
        if size > _file_limit():
            raise self.full(Draw.NOTHING, "the file would be too large")

    def is_overdrawn(self) -> bool:
        """Tell whether an ordinary write has already used what others need to go on."""
        return self._free() - self.log_bytes() < self._owed()

    def lend(self, draw: Draw, *, starved: bool = False) -> None:
        """Shrink the reserve for an effect, as far as it may draw on it.

        What takes away is given all at once, for nobody knows how much a forget writes; what is
        left is taken back when it is done. A read is given no more than it needs.

        Args:
            draw: How far it may.
            starved: The disk refused to write though it seemed to have room, as with a quota.
        """
        whole, held = self._whole(), self._reserve.held()
        missing = HEADROOM if starved else HEADROOM - self._free()
        if draw is Draw.ALL:
            self._reserve.shrink_to(0)
        elif missing > 0:
            self._reserve.shrink_to(max(whole - draw.share(whole), held - missing))

    def lend_to_empty_the_log(self) -> bool:
        """Shrink the reserve so that the log fits into the database; emptying it gives that back.

        Returns:
            Whether there was anything to lend.
        """
        missing = self.log_bytes() + HEADROOM - self._free()
        return missing > 0 and self._reserve.shrink_to(max(0, self._reserve.held() - missing))

    def refill(self) -> None:
        """Fill the reserve up again, as far as there is room."""
        held, whole = self._reserve.held(), self._whole()
        if self._reserve.size == 0 and held:
            self._reserve.shrink_to(0)
        elif held < whole:
            spare = self._free() - self.log_bytes() - HEADROOM
            self._reserve.grow_to(min(whole, held + max(0, spare)))

    def byte_limit(self, draw: Draw) -> int | None:
        """Return how large an effect may make the database; None where nothing limits it.

        A file that may not grow further must not be promised more than it can hold: what is in the
        log could then never be brought into it.
        """
        limit = _file_limit()
        if limit == _BOUNDLESS and self._max_bytes is None:
            return None
        held_back = self._held_back(limit)
        most = limit - held_back + draw.share(held_back)
        if self._max_bytes is not None:
            most = min(most, self._max_bytes + draw.share(self._reserve.size))
        return max(0, most)

    def full(self, draw: Draw, cause: str) -> FullError:
        """Make the error that says what is full, what still works, and what to do."""
        limit, free = _file_limit(), self._free()
        remedy = "free some disk space"
        if free - self.log_bytes() < HEADROOM + self._owed():
            kept = self._whole()
            held = f", and {kept:,} are held back for reads, forget and revoke" if kept else ""
            what = f"the disk is full: {free:,} bytes are free at {self._folder}{held}"
        elif self._max_bytes is not None and "full" in cause:
            what = f"the vault has reached its limit of {self._max_bytes:,} bytes"
            remedy = "raise Settings.max_vault_bytes"
        elif limit < _BOUNDLESS:
            what = f"the vault has reached this process's file size limit of {limit:,} bytes"
            remedy = "raise the limit (ulimit -f)"
        else:
            what = f"the vault could not be written ({cause}): the disk, or a quota on it, is full"
        still = "reads, forget and revoke still work"
        if draw is not Draw.NOTHING or not self._reserve.size:
            still = "what was acknowledged is kept"
        also = "forget fewer memories at once" if draw is Draw.ALL else "forget what is not needed"
        return FullError(
            f"{what}; nothing of this operation was kept. {still[0].upper()}{still[1:]}: "
            f"{remedy}, or {also}"
        )

    def _free(self) -> int:
        try:
            found = os.statvfs(self._folder)
        except OSError:  # nothing is known, so nothing is refused beforehand
            return _BOUNDLESS
        return found.f_bavail * found.f_frsize

    def _owed(self) -> int:
        """Return what the reserve lacks: room that is no longer there for ordinary writes."""
        return max(0, self._whole() - self._reserve.held())

    def _whole(self) -> int:
        """Return the size of the reserve that can be kept here."""
        return self._held_back(_file_limit())

    def _held_back(self, limit: int) -> int:
        return min(self._reserve.size, limit // 4)


def _file_limit() -> int:
    """Return how large this process may make a file."""
    soft = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return _BOUNDLESS if soft == resource.RLIM_INFINITY else soft
