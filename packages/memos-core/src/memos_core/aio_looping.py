"""The verbs of the closed loop, awaited."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from memos_core.content import Message
from memos_core.interface.loop import Heard
from memos_core.interface.pipeline import Plan
from memos_core.interface.reader import MemReader
from memos_core.looping import Looping, Turn
from memos_core.operation.policies.admission import AdmissionPolicy

if TYPE_CHECKING:
    from memos_core.memory.runtime import LocalModel

T = TypeVar("T")


class AsyncLooping:
    """The verbs of the closed loop, on worker threads; an `AsyncSession` has them."""

    _session: Looping

    async def hear(
        self,
        message: str | Message,
        *,
        speaker: str | None = None,
        said_at: datetime | None = None,
        message_id: str | None = None,
        reader: MemReader | None = None,
        policy: AdmissionPolicy | None = None,
    ) -> Heard:
        """Read what somebody said, and carry it out; see `Session.hear`."""
        who: dict[str, Any] = {"speaker": speaker, "said_at": said_at, "message_id": message_id}
        return await _run(partial(self._session.hear, message, **who, reader=reader, policy=policy))

    async def turn(
        self,
        message: str | Message,
        *,
        budget_tokens: int,
        model: LocalModel | None = None,
        reader: MemReader | None = None,
        policy: AdmissionPolicy | None = None,
    ) -> Turn:
        """Do all that memory does in one turn; see `Session.turn`."""
        how: dict[str, Any] = {
            "budget_tokens": budget_tokens,
            "model": model,
            "reader": reader,
            "policy": policy,
        }
        return await _run(partial(self._session.turn, message, **how))

    async def run(self, plan: Plan) -> tuple[Any, ...]:
        """Carry out a plan of operations: all of it, or nothing; see `Session.run`."""
        return await _run(partial(self._session.run, plan))


async def _run(verb: Callable[[], T]) -> T:
    return await anyio.to_thread.run_sync(verb)
