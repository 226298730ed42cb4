"""MemosChatCompletionContext: memory rendered afresh for each call, and kept out of the state."""

from __future__ import annotations

from typing import Self

from autogen_core import Component
from autogen_core.model_context import ChatCompletionContext
from autogen_core.models import AssistantMessage, LLMMessage, UserMessage

from memos_autogen.messages import SOURCE, to_messages
from memos_autogen.profiles import MemosComponentConfig, offered_source
from memos_core import AsyncSession, ContextOptions, SessionSource, message_draft, resolve_session


class MemosChatCompletionContext(ChatCompletionContext, Component[MemosComponentConfig]):
    """A model context that recalls for the last question at every call.

    What was recalled is never stored in the context, so `save_state` holds none of it, and what the
    vault forgets is gone from the next call, also after a state was loaded.

    Args:
        session: A session, the open vault in which somebody is `acting`, or a callable (given this
            context) to a session. Unset refuses.
        config: Sizes, and what a dump names.
        options: How memories are chosen; not part of a dump, for it may hold a function.
    """

    component_config_schema = MemosComponentConfig
    component_provider_override = "memos_autogen.MemosChatCompletionContext"

    def __init__(
        self,
        session: SessionSource | None,
        config: MemosComponentConfig | None = None,
        *,
        options: ContextOptions | None = None,
    ) -> None:
        super().__init__()
        self._source = session
        self._config = config or MemosComponentConfig()
        self._options = options

    async def add_message(self, message: LLMMessage) -> None:
        """Keep a message, and write it to the vault where `remember` says so."""
        if self._config.remember and isinstance(message, UserMessage | AssistantMessage):
            drafts = [
                message_draft(each, source=SOURCE)
                for each in to_messages(message)
                if each.text.strip()
            ]
            await AsyncSession(resolve_session(self._source, self)).add_many(drafts)
        await super().add_message(message)

    async def get_messages(self) -> list[LLMMessage]:
        """Return the conversation with what is recalled now before its last question."""
        messages = list(self._messages)
        place = next(
            (n for n in range(len(messages) - 1, -1, -1) if isinstance(messages[n], UserMessage)),
            None,
        )
        if place is None:
            return messages
        question = messages[place].content
        text = question if isinstance(question, str) else ""
        session = AsyncSession(resolve_session(self._source, self))
        if not text.strip():
            return messages
        found = await session.context(
            text,
            budget_tokens=self._config.budget_tokens,
            k=self._config.k,
            options=self._options,
        )
        if found.text:
            messages.insert(place, UserMessage(content=found.text, source="memory"))
        return messages

    def _to_config(self) -> MemosComponentConfig:
        return self._config

    @classmethod
    def _from_config(cls, config: MemosComponentConfig) -> Self:
        return cls(offered_source(config.profile), config)
