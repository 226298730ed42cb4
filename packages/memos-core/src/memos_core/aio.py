"""AsyncSession: the same verbs, awaited. One implementation, run on worker threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.to_thread

from memos_core.aio_looping import AsyncLooping
from memos_core.aio_modelling import AsyncModelling
from memos_core.aio_organizing import AsyncOrganizer
from memos_core.audit import Audit
from memos_core.content import Content
from memos_core.cube import CubeId, MemCube, Sensitivity, Trust, Version
from memos_core.draft import Draft, Patch
from memos_core.filters import Filter
from memos_core.governance import Governance
from memos_core.infrastructure.governance.decision import Action
from memos_core.infrastructure.governance.grants import Grant, GrantId
from memos_core.infrastructure.governance.sources import Quarantine
from memos_core.infrastructure.ledger import ExportReport, SignedCheckpoint, SigningKey
from memos_core.interface.context import MemoryContext
from memos_core.operation.explaining import Asked, Explanation
from memos_core.operation.gate import EVERYWHERE
from memos_core.operation.lifecycle.adding import OnKey
from memos_core.operation.lifecycle.patching import Mode
from memos_core.operation.lifecycle.rewinding import Rewound
from memos_core.operation.lifecycle.snapshotting import Snapshot
from memos_core.operation.quotas import Quota
from memos_core.operation.retention import Hold
from memos_core.operation.retrieval.options import SearchOptions
from memos_core.operation.retrieval.provenance import Provenance
from memos_core.operation.retrieval.tracing import Trace
from memos_core.operation.retrieval.versions import Diff
from memos_core.operation.scheduler import ContextOptions
from memos_core.results import BackupReport, ForgetReport, Hits, LogEntry, Page, PruneReport
from memos_core.session import Ref, Session
from memos_core.snapshots import Snapshots

if TYPE_CHECKING:
    from memos_core.memory.runtime import LocalModel

T = TypeVar("T")


class AsyncAudit:
    """The verbs of `Audit`, awaited.

    Args:
        audit: What does the work, on worker threads.

    Example:
        >>> import anyio
        >>> from memos_core.testing import temporary_memos
        >>> async def main() -> list[str]:
        ...     with temporary_memos() as memos:
        ...         alice = AsyncSession(memos.session("user:alice"))
        ...         await alice.add("I am allergic to peanuts.")
        ...         return [entry.action for entry in await alice.audit.query()]
        >>> anyio.run(main)
        ['memos.add']
    """

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    async def erasure(self, report: ForgetReport | str) -> ForgetReport:
        """Say how far a forgetting has come; see `Audit.erasure`."""
        return await anyio.to_thread.run_sync(self._audit.erasure, report)

    async def query(
        self,
        *,
        principal: str | None = None,
        cube: Ref | None = None,
        action: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[LogEntry]:
        """Read the log, newest first; see `Audit.query`."""
        return await anyio.to_thread.run_sync(
            partial(
                self._audit.query,
                principal=principal,
                cube=cube,
                action=action,
                since=since,
                until=until,
                limit=limit,
                cursor=cursor,
            )
        )

    async def checkpoint(self) -> SignedCheckpoint:
        """Sign where the ledger stands; see `Audit.checkpoint`."""
        return await anyio.to_thread.run_sync(self._audit.checkpoint)

    async def rotate_key(self, *, revoke: bool = False, reason: str = "") -> SigningKey:
        """Make a new signing key; see `Audit.rotate_key`."""
        return await anyio.to_thread.run_sync(
            partial(self._audit.rotate_key, revoke=revoke, reason=reason)
        )

    async def prune(
        self,
        *,
        before_checkpoint: int | None = None,
        older_than: timedelta | None = None,
        export_to: str | Path | None = None,
    ) -> PruneReport:
        """Delete events that a checkpoint covers; see `Audit.prune`."""
        return await anyio.to_thread.run_sync(
            partial(
                self._audit.prune,
                before_checkpoint=before_checkpoint,
                older_than=older_than,
                export_to=export_to,
            )
        )

    async def export(self, path: str | Path) -> ExportReport:
        """Write the ledger into a new file; see `Audit.export`."""
        return await anyio.to_thread.run_sync(self._audit.export, path)


class AsyncSnapshots:
    """The verbs of `Snapshots`, awaited.

    Args:
        snapshots: What does the work, on worker threads.

    Example:
        >>> import anyio
        >>> from memos_core.testing import temporary_memos
        >>> async def main() -> list[str]:
        ...     with temporary_memos() as memos:
        ...         alice = AsyncSession(memos.session("user:alice"))
        ...         await alice.snapshots.take("before the storm")
        ...         return [each.name for each in await alice.snapshots.list()]
        >>> anyio.run(main)
        ['before the storm']
    """

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    async def take(self, name: str, *, space: str | None = None, reason: str = "") -> Snapshot:
        """Name this instant of a space; see `Snapshots.take`."""
        return await anyio.to_thread.run_sync(
            partial(self._snapshots.take, name, space=space, reason=reason)
        )

    async def drop(self, name: str, *, space: str | None = None) -> None:
        """Forget the name of an instant; see `Snapshots.drop`."""
        await anyio.to_thread.run_sync(partial(self._snapshots.drop, name, space=space))

    async def restore(
        self, to: Snapshot | str | datetime, *, space: str | None = None, reason: str = ""
    ) -> Rewound:
        """Take a space back to how it was; see `Snapshots.restore`."""
        return await anyio.to_thread.run_sync(
            partial(self._snapshots.restore, to, space=space, reason=reason)
        )

    async def list(self, *, space: str | None = None) -> list[Snapshot]:
        """List snapshots; see `Snapshots.list`."""
        return await anyio.to_thread.run_sync(partial(self._snapshots.list, space=space))


class AsyncGovernance:
    """The verbs of `Governance`, awaited.

    Args:
        governance: What does the work, on worker threads.

    Example:
        >>> import anyio
        >>> from memos_core.testing import temporary_memos
        >>> async def main() -> bool:
        ...     with temporary_memos() as memos:
        ...         alice = AsyncSession(memos.session("user:alice"))
        ...         found = await alice.governance.explain("user:bob", "read", "user:alice")
        ...         return found.allowed
        >>> anyio.run(main)
        False
    """

    def __init__(self, governance: Governance) -> None:
        self._governance = governance

    async def explain(
        self, principal: str, action: Asked, on: Ref, *, purpose: str | None = None
    ) -> Explanation:
        """Say what allows something, or what is missing; see `Governance.explain`."""
        return await anyio.to_thread.run_sync(
            partial(self._governance.explain, principal, action, on, purpose=purpose)
        )

    async def backup(
        self,
        path: str | Path,
        *,
        key: str | bytes | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> BackupReport:
        """Write the whole vault into a new file; see `Governance.backup`."""
        return await anyio.to_thread.run_sync(
            partial(self._governance.backup, path, key=key, progress=progress)
        )

    async def grants(self, *, on: str | None = None) -> list[Grant]:
        """List the standing grants; see `Governance.grants`."""
        return await anyio.to_thread.run_sync(partial(self._governance.grants, on=on))

    async def quarantine(
        self, source: str, *, on: str = EVERYWHERE, reason: str = ""
    ) -> Quarantine:
        """Hide all that a source brought; see `Governance.quarantine`."""
        return await anyio.to_thread.run_sync(
            partial(self._governance.quarantine, source, on=on, reason=reason)
        )

    async def release(self, quarantine: Quarantine | str) -> None:
        """End a quarantine; see `Governance.release`."""
        await anyio.to_thread.run_sync(self._governance.release, quarantine)

    async def set_trust(self, source: str, level: Trust | str) -> None:
        """Set how far a source is trusted; see `Governance.set_trust`."""
        await anyio.to_thread.run_sync(self._governance.set_trust, source, level)

    async def hold(self, on: str, *, reason: str = "", until: datetime | None = None) -> Hold:
        """Forbid forgetting; see `Governance.hold`."""
        return await anyio.to_thread.run_sync(
            partial(self._governance.hold, on, reason=reason, until=until)
        )

    async def lift(self, hold: Hold | str) -> None:
        """End a hold; see `Governance.lift`."""
        await anyio.to_thread.run_sync(self._governance.lift, hold)

    async def set_quota(
        self,
        subject: str,
        *,
        cubes: int | None = None,
        size_bytes: int | None = None,
        reads_per_day: int | None = None,
    ) -> Quota:
        """Limit what a principal or a space uses; see `Governance.set_quota`."""
        return await anyio.to_thread.run_sync(
            partial(
                self._governance.set_quota,
                subject,
                cubes=cubes,
                size_bytes=size_bytes,
                reads_per_day=reads_per_day,
            )
        )


class AsyncSession(AsyncModelling, AsyncLooping):
    """A session whose verbs are awaited; they mean what they mean in `Session`.

    Args:
        session: The session that does the work, on worker threads.

    Example:
        >>> import anyio
        >>> from memos_core.testing import temporary_memos
        >>> async def main() -> str:
        ...     with temporary_memos() as memos:
        ...         alice = AsyncSession(memos.session("user:alice"))
        ...         await alice.add("I am allergic to peanuts.")
        ...         return (await alice.search("peanuts"))[0].text
        >>> anyio.run(main)
        'I am allergic to peanuts.'
    """

    _session: Session

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def principal(self) -> str:
        """Who acts."""
        return self._session.principal

    @property
    def space(self) -> str:
        """Where memories go if no space is named."""
        return self._session.space

    @property
    def purpose(self) -> str:
        """What the session is for."""
        return self._session.purpose

    @property
    def governance(self) -> AsyncGovernance:
        """The verbs of whoever answers for a space."""
        return AsyncGovernance(self._session.governance)

    @property
    def organizer(self) -> AsyncOrganizer:
        """How memories hang together: links, graphs, merges."""
        return AsyncOrganizer(self._session.organizer)

    @property
    def snapshots(self) -> AsyncSnapshots:
        """Named instants of a space, and going back to one."""
        return AsyncSnapshots(self._session.snapshots)

    @property
    def audit(self) -> AsyncAudit:
        """Asking what happened, and the verbs that prove it."""
        return AsyncAudit(self._session.audit)

    async def add(self, content: Content | Draft, /, **fields: Any) -> MemCube:
        """Add one memory; see `Session.add`."""
        return await self._run(self._session.add, content, **fields)

    async def add_many(
        self, drafts: Iterable[Content | Draft], *, on_key: OnKey = "error"
    ) -> list[MemCube]:
        """Add many memories, all or none; see `Session.add_many`."""
        return await self._run(self._session.add_many, drafts, on_key=on_key)

    async def search(
        self,
        query: str,
        *,
        k: int = 10,
        where: Filter | None = None,
        space: str | None = None,
        budget_tokens: int | None = None,
        min_score: float | None = None,
        options: SearchOptions | None = None,
    ) -> Hits:
        """Find the memories that answer a question; see `Session.search`."""
        return await self._run(
            self._session.search,
            query,
            k=k,
            where=where,
            space=space,
            budget_tokens=budget_tokens,
            min_score=min_score,
            options=options,
        )

    async def get(self, ref: Ref, *, version: int | None = None) -> MemCube:
        """Return one memory; see `Session.get`."""
        return await self._run(self._session.get, ref, version=version)

    async def get_all(
        self,
        *,
        where: Filter | None = None,
        space: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[MemCube]:
        """List memories; see `Session.get_all`."""
        return await self._run(
            self._session.get_all, where=where, space=space, limit=limit, cursor=cursor
        )

    async def update(
        self,
        ref: Ref,
        content: Content | Patch,
        *,
        expected_version: int | None = None,
        mode: Mode = "overwrite",
        reason: str = "",
    ) -> MemCube:
        """Change a memory; see `Session.update`."""
        return await self._run(
            self._session.update,
            ref,
            content,
            expected_version=expected_version,
            mode=mode,
            reason=reason,
        )

    async def forget(self, refs: Ref | Sequence[Ref], *, reason: str = "") -> ForgetReport:
        """Remove memories and what was derived from them; see `Session.forget`."""
        return await self._run(self._session.forget, refs, reason=reason)

    async def history(self, ref: Ref) -> list[Version]:
        """Return the versions of a memory; see `Session.history`."""
        return await self._run(self._session.history, ref)

    async def diff(self, ref: Ref, older: int, newer: int | None = None) -> Diff:
        """Compare two versions of a memory; see `Session.diff`."""
        return await self._run(self._session.diff, ref, older, newer)

    async def rollback(
        self, ref: Ref, version: int, *, expected_version: int | None = None, reason: str = ""
    ) -> MemCube:
        """Take a memory back to an earlier version; see `Session.rollback`."""
        return await self._run(
            self._session.rollback, ref, version, expected_version=expected_version, reason=reason
        )

    async def freeze(self, ref: Ref, *, reason: str = "") -> MemCube:
        """Keep a memory from changing; see `Session.freeze`."""
        return await self._run(self._session.freeze, ref, reason=reason)

    async def unfreeze(self, ref: Ref, *, reason: str = "") -> MemCube:
        """Let a frozen memory change again; see `Session.unfreeze`."""
        return await self._run(self._session.unfreeze, ref, reason=reason)

    async def archive(self, ref: Ref, *, reason: str = "") -> MemCube:
        """Put a memory away; see `Session.archive`."""
        return await self._run(self._session.archive, ref, reason=reason)

    async def unarchive(self, ref: Ref, *, reason: str = "") -> MemCube:
        """Take a memory out of the archive; see `Session.unarchive`."""
        return await self._run(self._session.unarchive, ref, reason=reason)

    async def context(
        self,
        query: str,
        *,
        budget_tokens: int,
        k: int = 50,
        model: LocalModel | None = None,
        options: ContextOptions | None = None,
    ) -> MemoryContext:
        """Recall for a prompt; see `Session.context`."""
        asked = {"budget_tokens": budget_tokens, "k": k, "model": model, "options": options}
        return await self._run(self._session.context, query, **asked)

    async def provenance(self, ref: Ref) -> Provenance:
        """Say where a memory came from; see `Session.provenance`."""
        return await self._run(self._session.provenance, ref)

    async def trace(self, text: str, *, k: int = 20, space: str | None = None) -> list[Trace]:
        """Find the memories that a text came from; see `Session.trace`."""
        return await self._run(self._session.trace, text, k=k, space=space)

    async def at(self, when: datetime) -> AsyncSession:
        """Look at the vault as it was recorded at an instant; see `Session.at`."""
        return AsyncSession(await self._run(self._session.at, when))

    async def grant(
        self,
        to: str,
        actions: str | Action | Iterable[str | Action],
        *,
        on: str | CubeId,
        purposes: Iterable[str] = ("assist",),
        until: datetime | None = None,
    ) -> Grant:
        """Give somebody a right; see `Session.grant`."""
        return await self._run(
            self._session.grant, to, actions, on=on, purposes=purposes, until=until
        )

    async def revoke(self, grant: Grant | GrantId) -> None:
        """Take a right back; see `Session.revoke`."""
        await self._run(self._session.revoke, grant)

    async def add_member(self, group: str, member: str) -> None:
        """Put a principal or a group into a group; see `Session.add_member`."""
        await self._run(self._session.add_member, group, member)

    async def remove_member(self, group: str, member: str) -> None:
        """Take a principal or a group out of a group; see `Session.remove_member`."""
        await self._run(self._session.remove_member, group, member)

    async def set_clearance(self, principal: str, level: Sensitivity | str) -> None:
        """Set somebody's clearance; see `Session.set_clearance`."""
        await self._run(self._session.set_clearance, principal, level)
