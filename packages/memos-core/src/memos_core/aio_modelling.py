"""The verbs of memory inside models, awaited: the twin of `Modelling`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.to_thread

from memos_core.cube import CubeId, MemCube
from memos_core.draft import Key
from memos_core.interface.context import MemoryContext
from memos_core.modelling import Memories, Modelling
from memos_core.operation.inner.adopting import Voucher
from memos_core.operation.inner.distilling import Teaching
from memos_core.operation.inner.reading import Readout
from memos_core.operation.policies.promotion import Rules
from memos_core.operation.upkeep.promoting import Promoted
from memos_core.operation.workingset import WorkingSet

if TYPE_CHECKING:
    from memos_core.memory.activation import Precision
    from memos_core.memory.recipe import Recipe
    from memos_core.memory.runtime import LocalModel

T = TypeVar("T")


class AsyncModelling:
    """The verbs of memory inside models, on worker threads; an `AsyncSession` has them."""

    _session: Modelling

    async def _run(self, verb: Callable[..., T], *args: Any, **fields: Any) -> T:
        return await anyio.to_thread.run_sync(partial(verb, *args, **fields))

    async def activate(
        self,
        sources: Memories | str,
        model: LocalModel | None = None,
        *,
        precision: Precision = "exact",
        chat: bool | None = None,
        system: str | None = None,
        **fields: Any,
    ) -> MemCube:
        """Keep keys and values of memories, or of a text; see `Session.activate`."""
        how = {"precision": precision, "chat": chat, "system": system}
        return await self._run(self._session.activate, sources, model, **how, **fields)

    async def distill(
        self,
        sources: Memories,
        model: LocalModel | None = None,
        *,
        recipe: Recipe | None = None,
        how: Teaching | None = None,
        **fields: Any,
    ) -> MemCube:
        """Train an adapter on memories; see `Session.distill`."""
        return await self._run(
            self._session.distill, sources, model, recipe=recipe, how=how, **fields
        )

    async def retrain(
        self,
        adapter: CubeId | Key | None = None,
        model: LocalModel | None = None,
        *,
        recipe: Recipe | None = None,
        how: Teaching | None = None,
    ) -> list[MemCube]:
        """Train adapters again; see `Session.retrain`."""
        return await self._run(self._session.retrain, adapter, model, recipe=recipe, how=how)

    async def adopt(
        self,
        source: Path | bytes,
        model: LocalModel | None = None,
        *,
        voucher: Voucher,
        recipe: Recipe | None = None,
        **fields: Any,
    ) -> MemCube:
        """Take an adapter in from outside; see `Session.adopt`."""
        return await self._run(
            self._session.adopt, source, model, voucher=voucher, recipe=recipe, **fields
        )

    async def recollect(self, memories: Memories, model: LocalModel | None = None) -> MemoryContext:
        """Return named memories as what a model is given; see `Session.recollect`."""
        return await self._run(self._session.recollect, memories, model)

    async def read_out(self, memory: CubeId | Key, model: LocalModel | None = None) -> Readout:
        """Say in words what an inner memory holds; see `Session.read_out`."""
        return await self._run(self._session.read_out, memory, model)

    @property
    def working_set(self) -> WorkingSet:
        """What the next turn will probably need; see `Session.working_set`."""
        return self._session.working_set

    async def preload(self, model: LocalModel | None = None) -> tuple[CubeId, ...]:
        """Make ready what the next turn will probably need; see `Session.preload`."""
        return await self._run(self._session.preload, model)

    async def promote(
        self, model: LocalModel | None = None, *, rules: Rules | None = None
    ) -> Promoted:
        """Turn what prompts begin with again and again into KV; see `Session.promote`."""
        return await self._run(self._session.promote, model, rules=rules)

    async def enable(self, adapter: CubeId | Key, *, reason: str = "") -> MemCube:
        """Switch an adapter on; see `Session.enable`."""
        return await self._run(self._session.enable, adapter, reason=reason)

    async def disable(self, adapter: CubeId | Key, *, reason: str = "") -> MemCube:
        """Switch an adapter off; see `Session.disable`."""
        return await self._run(self._session.disable, adapter, reason=reason)
