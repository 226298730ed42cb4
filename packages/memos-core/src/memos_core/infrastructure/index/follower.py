"""Bringing a realm's page to where its journal stands, in the reader's own snapshot."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

from memos_core.errors import InvalidInputError
from memos_core.infrastructure.forking import after_fork
from memos_core.infrastructure.index.cache import Cached, PageCache
from memos_core.infrastructure.vault import journal
from memos_core.infrastructure.vault.presence import Presence
from memos_core.infrastructure.vault.records import Damage, Indexable, Record, stream_realm
from memos_core.infrastructure.vault.vault import Transaction

E = TypeVar("E")
V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)
E_contra = TypeVar("E_contra", contravariant=True)


class Followable(Cached, Protocol[E_contra, V_co]):
    """A page of one realm that a journal keeps up to date."""

    seq: int

    def apply(
        self,
        entries: Iterable[E_contra],
        *,
        removed: Iterable[str],
        damaged: dict[str, str],
        seq: int,
    ) -> None:
        """Take in what changed, up to a journal entry."""
        ...

    def view(self) -> V_co:
        """Return what readers work with."""
        ...

    @property
    def is_sparse(self) -> bool:
        """Whether reading it anew pays."""
        ...


class Follower(Generic[E, V]):
    """Hands out pages that are as new as the snapshot that asks.

    Args:
        kind: What kind of pages they are.
        describe: Turns a record and its vector into an entry of a page.
        new_page: Makes an empty page for a realm, and vectors of so many dimensions.
        cache: Where pages are kept.
        presence: Told which pages this process holds, and up to where they are clean. Each page
            has a name of its own there, so that what becomes of one says nothing of another.
        wiped: What to do when something was forgotten, such as clearing what words were met.
    """

    def __init__(
        self,
        kind: str,
        describe: Callable[[Indexable], E],
        new_page: Callable[[str, int], Followable[E, V]],
        cache: PageCache[Followable[E, V]],
        presence: Presence,
        wiped: Callable[[], None] = lambda: None,
    ) -> None:
        self._wiped = wiped
        self._made = itertools.count()
        self._past = threading.local()
        self._names: WeakKeyDictionary[Followable[E, V], str] = WeakKeyDictionary()
        self._kind = kind
        self._presence = presence
        self._describe = describe
        self._new_page = new_page
        self._cache = cache
        self._begin()
        after_fork(self, Follower._begin_again)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._realm_locks: dict[str, threading.Lock] = {}

    def _begin_again(self) -> None:
        """Hold nothing in a forked child: nobody would know, and locks may be held for ever."""
        self._cache = self._cache.emptied()
        self._names = WeakKeyDictionary()
        self._begin()

    def follow(self, tx: Transaction, realm_id: str, seq: int, embedder: str, dims: int) -> V:
        """Return a realm's page as it stands at journal entry `seq`, or newer.

        Args:
            tx: The snapshot in which `seq` was read.
            realm_id: The realm.
            seq: The realm's last journal entry in that snapshot.
            embedder: The embedder whose vectors are indexed.
            dims: Their dimensions.
        """
        with self._realm_lock(realm_id):
            page = self._cache.get(realm_id)
            if page is None or page.is_sparse:
                with self._new(realm_id, dims) as page:
                    self._take_in(page, tx, None, embedder, seq)
                self._presence.cleans(self._names[page], seq)
                for dropped in self._cache.put(page):
                    self._presence.lets_go(self._names[dropped])
            else:
                self._catch_up(page, tx, embedder, seq)
            return page.view()

    @contextmanager
    def _new(self, realm_id: str, dims: int) -> Iterator[Followable[E, V]]:
        """Make an empty page to be filled in the block, told to the others before it is."""
        page = self._new_page(realm_id, dims)
        name = self._names[page] = f"{self._kind}.{next(self._made)}:{realm_id}"
        self._presence.holds(name)
        try:
            yield page
        except BaseException:  # whatever stopped it, nothing is held, and it goes on its way
            self._presence.lets_go(name)
            raise

    def clean(self, tx: Transaction, realm_id: str, seq: int, embedder: str) -> None:
        """Bring a realm's page up to a journal entry if there is one in memory, as for `follow`."""
        with self._realm_lock(realm_id):
            page = self._cache.peek(realm_id)
            if page is not None:
                self._catch_up(page, tx, embedder, seq)

    def _catch_up(self, page: Followable[E, V], tx: Transaction, embedder: str, seq: int) -> None:
        if page.seq < seq:
            changed = journal.changed_since(tx, page.realm_id, page.seq)
            self._take_in(page, tx, changed, embedder, seq)
            self._presence.cleans(self._names[page], seq)

    @contextmanager
    def looking_back(self) -> Iterator[None]:
        """Let this thread's pages of the past go at the end of the block."""
        self._past.names = []
        try:
            yield
        finally:
            for name in self._past.names:
                self._presence.lets_go(name)

    def as_of(
        self,
        tx: Transaction,
        realm_id: str,
        at: int,
        embedder: str,
        dims: int,
        readable: Callable[[Sequence[Record]], Sequence[bool]],
        adapt: Callable[[Sequence[Indexable]], Sequence[Indexable]],
    ) -> V:
        """Build a realm's page as it stood at an instant, for one reader; it is not kept.

        Within `looking_back`, whose end lets it go.

        Args:
            tx: The snapshot.
            realm_id: The realm.
            at: The instant, in microseconds.
            embedder: The embedder whose vectors are wanted.
            dims: Their dimensions.
            readable: Says which of the records' versions the reader may see.
            adapt: Holds what was recorded then to the levels of today.
        """
        with self._new(realm_id, dims) as page:
            self._past.names.append(self._names[page])
            found = list(stream_realm(tx, realm_id, embedder, at=at))
            damaged = {e.cube.id: e.cube.label_id for e in found if isinstance(e, Damage)}
            whole = [each for each in found if isinstance(each, Indexable)]
            allowed = readable([each.record for each in whole])
            chosen = [each for each, may in zip(whole, allowed, strict=True) if may]
            described = [self._entry(each) for each in adapt(chosen)]
            damaged |= {e.cube.id: e.cube.label_id for e in described if isinstance(e, Damage)}
            entries = [each for each in described if not isinstance(each, Damage)]
            page.apply(entries, removed=(), damaged=damaged, seq=0)
        return page.view()

    def _take_in(
        self,
        page: Followable[E, V],
        tx: Transaction,
        changed: list[str] | None,
        embedder: str,
        seq: int,
    ) -> None:
        entries: list[E] = []
        damaged: dict[str, str] = {}
        for found in stream_realm(tx, page.realm_id, embedder, ids=changed):
            entry = self._entry(found)
            if isinstance(entry, Damage):
                damaged[entry.cube.id] = entry.cube.label_id
            else:
                entries.append(entry)
        page.apply(entries, removed=changed or (), damaged=damaged, seq=seq)
        if changed and len(entries) + len(damaged) < len(changed):
            self._wiped()

    def _entry(self, found: Indexable | Damage) -> E | Damage:
        """Describe a memory; one that cannot be described is withheld, and stops no other."""
        if isinstance(found, Damage):
            return found
        try:
            return self._describe(found)
        except InvalidInputError:
            return Damage(found.record.cube, "versions")

    def _realm_lock(self, realm_id: str) -> threading.Lock:
        with self._lock:
            return self._realm_locks.setdefault(realm_id, threading.Lock())
