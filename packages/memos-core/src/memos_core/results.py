"""What the verbs give back: hits with their reasons, pages of a listing, reports of forgetting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Literal, TypeVar, overload

from pydantic import JsonValue

from memos_core.cube import CubeId, MemCube

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Hit:
    """One memory that a search found.

    Args:
        cube: The memory.
        score: The sum of `why`, on a fixed scale: about 0 is unlike, 1 the most there could be.
        why: What each part of the ranking gave, e.g. `{"dense": 0.4, "bm25": 0.3}`.
        superseded_by: What says something newer in its place.
        conflicts_with: What cannot be true beside it.
    """

    cube: MemCube
    score: float
    why: Mapping[str, float]
    superseded_by: tuple[CubeId, ...] = ()
    conflicts_with: tuple[CubeId, ...] = ()

    @property
    def text(self) -> str:
        """The memory as plain text."""
        return self.cube.text

    @property
    def id(self) -> CubeId:
        """The memory's id."""
        return self.cube.id


class Hits(Sequence[Hit]):
    """The hits of a search, best first.

    Args:
        items: The hits.
        warnings: What the caller must know, such as memories withheld because bytes are damaged.
    """

    __slots__ = ("_items", "warnings")

    def __init__(self, items: Sequence[Hit] = (), *, warnings: Sequence[str] = ()) -> None:
        self._items = tuple(items)
        self.warnings = tuple(warnings)

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> Hits: ...
    def __getitem__(self, index: int | slice) -> Hit | Hits:
        if isinstance(index, slice):
            return Hits(self._items[index], warnings=self.warnings)
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self._items)

    def __repr__(self) -> str:
        return f"Hits({[hit.text for hit in self._items]!r})"

    @property
    def texts(self) -> list[str]:
        """The texts of the hits, best first."""
        return [hit.text for hit in self._items]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a listing.

    Args:
        items: What is on this page.
        cursor: Pass it to the same call for the next page; None on the last.
    """

    items: tuple[T, ...]
    cursor: str | None = None

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, slots=True)
class Link:
    """What one memory is to another: `source` *supersedes* `target`, say.

    Args:
        id: The link's id.
        source: Where it begins.
        target: Where it ends.
        type: What it says.
        confidence: How sure whoever linked them is, 0 to 1.
        reason: Why; empty for who sees one of the two only in part.
        author: Who linked them.
        created: When.
    """

    id: str
    source: CubeId
    target: CubeId
    type: str
    confidence: float
    reason: str
    author: str
    created: datetime

    def other(self, cube_id: CubeId) -> CubeId:
        """Return the end that is not this one."""
        return self.target if cube_id == self.source else self.source


@dataclass(frozen=True, slots=True)
class Organized:
    """What a pass over memories found.

    Args:
        examined: How many were compared with what is near them.
        superseded: How many took the place of another.
        contradicted: How many contradict another, or themselves.
        repeated: How many say what another says.
    """

    examined: int
    superseded: int
    contradicted: int
    repeated: int

    def plus(self, other: Organized) -> Organized:
        """Add up two passes."""
        return Organized(
            self.examined + other.examined,
            self.superseded + other.superseded,
            self.contradicted + other.contradicted,
            self.repeated + other.repeated,
        )


@dataclass(frozen=True, slots=True)
class Graph:
    """The memories around one, and the links between them.

    Args:
        start: The memory in the middle.
        distances: By memory, how many links away it is; the start is 0 away.
        links: The links between them.
    """

    start: CubeId
    distances: Mapping[CubeId, int]
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class ForgetReport:
    """What `forget` removed, and whether its bytes are gone.

    Args:
        forgotten: The memories that were named.
        derived: Those that were derived from them and went with them, as far as the caller could
            read them.
        status: `erased` where all bytes are gone from the vault, else `pending`.
        pending: What still holds bytes, and why.
        id: For `session.audit.erasure`, which says how far it has come since.
        notes: What lies beyond the vault, such as backups.
    """

    forgotten: tuple[CubeId, ...]
    derived: tuple[CubeId, ...]
    status: Literal["pending", "erased"]
    pending: tuple[str, ...] = ()
    id: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What a backup holds.

    Args:
        path: Its file.
        checkpoint: The checkpoint of the ledger that was taken with it.
        bytes: How much content it has.
        encrypted: Whether a key protects it.
        anchors: Where its checkpoint was told; a restore needs one of them.
    """

    path: str
    checkpoint: int
    bytes: int
    encrypted: bool
    anchors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What became of a backup.

    Args:
        path: The vault.
        checkpoint: The checkpoint of the backup.
        withdrawals: How many things that were taken back after the backup were taken back again.
        forgotten: How many memories were removed again.
        checkpoints: How many later checkpoints the anchors kept.
        ledger: What verifying the ledger says.
        notes: What nobody could tell, where that was accepted.
        trusted_key: The public key to verify the ledger with from now on, where none of the keys
            that the anchors know could endorse it.
    """

    path: str
    checkpoint: int
    withdrawals: int
    forgotten: int
    checkpoints: int
    ledger: str
    notes: tuple[str, ...] = ()
    trusted_key: str | None = None


@dataclass(frozen=True, slots=True)
class Maintenance:
    """What `MemOS.maintain` did.

    Args:
        erased: The reports of forgetting that became `erased`.
        pending: Those that still are not, with what holds bytes, and why.
        done: How many tasks were done, by kind.
        failed: How many attempts failed, by kind; they are made again, later each time.
        given_up: Tasks that are not tried any more, of all times, with what went wrong last.
    """

    erased: tuple[str, ...]
    pending: Mapping[str, tuple[str, ...]]
    done: Mapping[str, int] = field(default_factory=dict, compare=False)
    failed: Mapping[str, int] = field(default_factory=dict, compare=False)
    given_up: tuple[GivenUp, ...] = ()


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A task that failed so often that it is not tried any more.

    Args:
        kind: What was to be done.
        subject: To what, such as a memory's id.
        attempts: How often it was tried.
        since: Since when it is not.
        error: What went wrong last.
    """

    kind: str
    subject: str
    attempts: int
    since: datetime
    error: str


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One event of the ledger, as far as the asker may see it.

    Args:
        id: The event's id.
        time: When it happened.
        action: What was done, e.g. `memos.add`.
        outcome: `allowed`, `denied` or `not_found`.
        principal: Who did it; the pseudonymous id of one that was erased.
        purpose: What for.
        subject: What it was done to: the id of a memory, a grant, a hold or a quarantine, or the
            name of a principal or a space. None where there is none that the asker may see.
        cubes: For a read, the memories that it returned and that the asker may see today.
        data: Details without content.
    """

    id: str
    time: datetime
    action: str
    outcome: str
    principal: str
    purpose: str
    subject: str | None = None
    cubes: tuple[CubeId, ...] = ()
    data: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What pruning removed from the ledger.

    Args:
        events: How many events.
        checkpoint: All that this checkpoint covers is gone; None where nothing was to go.
    """

    events: int
    checkpoint: int | None
