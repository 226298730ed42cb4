"""Listing: every page of `get_all`, one after the other."""

from __future__ import annotations

from typing import Final

from memos_core.cube import MemCube
from memos_core.filters import Filter
from memos_core.session import Session

_PAGE: Final = 500


def list_every(
    session: Session, *, where: Filter | None = None, space: str | None = None
) -> list[MemCube]:
    """Return all memories that a listing finds, in the order in which they were recorded.

    Args:
        session: Who asks.
        where: A filter.
        space: Only this subtree.

    Example:
        >>> from memos_core.testing import temporary_memos
        >>> with temporary_memos() as memos:
        ...     alice = memos.session("user:alice")
        ...     _ = alice.add_many(["one", "two"])
        ...     [cube.text for cube in list_every(alice)]
        ['one', 'two']
    """
    found: list[MemCube] = []
    cursor: str | None = None
    while True:
        page = session.get_all(where=where, space=space, limit=_PAGE, cursor=cursor)
        found += page.items
        cursor = page.cursor
        if cursor is None:
            return found
