"""The pages in memory, under a budget of bytes, with eviction that survives scans.

Two queues, as in 2Q (Johnson and Shasha, 1994): a page that was touched once waits in the first and
goes first; a page that was touched again moves to the second, which is evicted by least recent use.
So one sweep over many realms does not push out the pages that are in use every minute.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, Protocol, TypeVar


class Cached(Protocol):
    """What can be kept: it belongs to a realm, and says how large it is."""

    realm_id: str

    @property
    def nbytes(self) -> int:
        """About how much memory it takes, in bytes."""
        ...


P = TypeVar("P", bound=Cached)


class PageCache(Generic[P]):
    """Pages by realm.

    Args:
        budget_bytes: About how much memory all pages together may take.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._once: OrderedDict[str, P] = OrderedDict()
        self._often: OrderedDict[str, P] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, realm_id: str) -> P | None:
        """Return a realm's page if it is in memory, and note that it was used."""
        with self._lock:
            if realm_id in self._often:
                self._often.move_to_end(realm_id)
                return self._often[realm_id]
            page = self._once.pop(realm_id, None)
            if page is not None:
                self._often[realm_id] = page
            return page

    def peek(self, realm_id: str) -> P | None:
        """Return a realm's page if it is in memory; that is no use of it."""
        with self._lock:
            return self._often.get(realm_id) or self._once.get(realm_id)

    def put(self, page: P) -> list[P]:
        """Keep a page, dropping others if the budget needs it; the newest always stays.

        Returns:
            The pages that were dropped, one that this replaces among them.
        """
        with self._lock:
            old = (self._often.get(page.realm_id), self._once.get(page.realm_id))
            dropped = [each for each in old if each is not None and each is not page]
            self._often.pop(page.realm_id, None)
            self._once[page.realm_id] = page
            sizes = {each.realm_id: each.nbytes for each in self._pages()}
            while sum(sizes.values()) > self._budget_bytes and len(sizes) > 1:
                queue = self._once if len(self._once) > 1 or not self._often else self._often
                realm_id, oldest = queue.popitem(last=False)
                sizes.pop(realm_id)
                dropped.append(oldest)
            return dropped

    def emptied(self) -> PageCache[P]:
        """Make an empty cache with the same budget."""
        return PageCache(self._budget_bytes)

    def _pages(self) -> list[P]:
        return [*self._once.values(), *self._often.values()]
