"""The verbs of `Organizer`, awaited."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import anyio

from memos_core.content import Content
from memos_core.cube import CubeId, MemCube
from memos_core.draft import Draft
from memos_core.models.chat import ChatModel
from memos_core.organizing import MOST_DEPTH, MergeProposal, Organizer, Ref
from memos_core.results import Graph, Link, Organized


class AsyncOrganizer:
    """The verbs of `Organizer`, awaited.

    Args:
        organizer: What does the work, on worker threads.
    """

    def __init__(self, organizer: Organizer) -> None:
        self._organizer = organizer

    async def link(
        self, source: Ref, target: Ref, kind: str, *, confidence: float = 1.0, reason: str = ""
    ) -> Link:
        """Say what one memory is to another; see `Organizer.link`."""
        call = partial(
            self._organizer.link, source, target, kind, confidence=confidence, reason=reason
        )
        return await anyio.to_thread.run_sync(call)

    async def unlink(self, link: Link | str) -> None:
        """Remove a link; see `Organizer.unlink`."""
        await anyio.to_thread.run_sync(self._organizer.unlink, link)

    async def links(self, ref: Ref, *, types: Collection[str] | None = None) -> tuple[Link, ...]:
        """List the links of a memory; see `Organizer.links`."""
        return await anyio.to_thread.run_sync(partial(self._organizer.links, ref, types=types))

    async def neighbourhood(
        self, ref: Ref, *, depth: int = 1, types: Collection[str] | None = None
    ) -> Graph:
        """Return what lies around a memory; see `Organizer.neighbourhood`."""
        call = partial(self._organizer.neighbourhood, ref, depth=depth, types=types)
        return await anyio.to_thread.run_sync(call)

    async def path(
        self,
        source: Ref,
        target: Ref,
        *,
        types: Collection[str] | None = None,
        depth: int = MOST_DEPTH,
    ) -> tuple[Link, ...] | None:
        """Return a shortest chain of links; see `Organizer.path`."""
        call = partial(self._organizer.path, source, target, types=types, depth=depth)
        return await anyio.to_thread.run_sync(call)

    async def organize(self, *, progress: Callable[[int], None] | None = None) -> Organized:
        """Compare what changed with what is near it; see `Organizer.organize`."""
        return await anyio.to_thread.run_sync(partial(self._organizer.organize, progress=progress))

    async def conflicts(self, *, limit: int = 100) -> tuple[Link, ...]:
        """List what contradicts what; see `Organizer.conflicts`."""
        return await anyio.to_thread.run_sync(partial(self._organizer.conflicts, limit=limit))

    async def merge(
        self, refs: Sequence[Ref], content: Content | Draft | None = None, **fields: Any
    ) -> MemCube:
        """Let one memory stand for several; see `Organizer.merge`."""
        call = partial(self._organizer.merge, refs, content, **fields)
        return await anyio.to_thread.run_sync(call)

    async def propose(self, refs: Sequence[Ref], chat: ChatModel) -> MergeProposal:
        """Let a chat model write what could stand for several; see `Organizer.propose`."""
        return await anyio.to_thread.run_sync(self._organizer.propose, refs, chat)

    async def duplicates(self) -> tuple[frozenset[CubeId], ...]:
        """Group the memories that say the same; see `Organizer.duplicates`."""
        return await anyio.to_thread.run_sync(self._organizer.duplicates)

    async def unmerge(self, ref: Ref) -> list[MemCube]:
        """Let what was merged stand for itself again; see `Organizer.unmerge`."""
        return await anyio.to_thread.run_sync(self._organizer.unmerge, ref)
