"""MemosMemoryBlock: recall as a block of LlamaIndex's composable memory."""

from __future__ import annotations

from typing import Any

from anyio.to_thread import run_sync
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.memory.memory import BaseMemoryBlock
from pydantic import Field

from memos_core import AsyncSession, ContextOptions, SessionSource, Transcript, resolve_session
from memos_llamaindex.messages import SOURCE, to_message


class MemosMemoryBlock(BaseMemoryBlock[str]):
    """Recalls for the last question; what the short-term buffer ejects goes into the vault.

    A block sees messages only when the buffer overflows: to govern every message, use
    `MemosMemory`.

    Args:
        name: The block's name in the prompt.
        session: A session, the open vault in which somebody is `acting`, or a callable (given the
            messages) to a session. Unset refuses.
        budget_tokens: What the recalled block may cost.
        options: How memories are chosen; see `ContextOptions`.
        thread: Names the conversation that ejected messages are written to.
    """

    name: str = "memos"
    session: SessionSource | None = Field(default=None, exclude=True, repr=False)
    budget_tokens: int = 1_000
    thread: str = "default"
    options: ContextOptions | None = Field(default=None, exclude=True, repr=False)

    async def _aget(self, messages: list[ChatMessage] | None = None, **_kwargs: Any) -> str:
        asked = [m.content or "" for m in messages or [] if m.role == MessageRole.USER]
        session = AsyncSession(resolve_session(self.session, messages))
        if not asked or not asked[-1].strip():
            return ""
        found = await session.context(
            asked[-1], budget_tokens=self.budget_tokens, options=self.options
        )
        return found.text

    async def _aput(self, messages: list[ChatMessage]) -> None:
        session = resolve_session(self.session, messages)
        transcript = Transcript(session, self.thread, source=SOURCE)
        await run_sync(transcript.extend, [to_message(each) for each in messages])
