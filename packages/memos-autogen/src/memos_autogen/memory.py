"""MemosMemory: the vault behind AutoGen's memory protocol."""

from __future__ import annotations

from typing import Any, Self

from autogen_core import CancellationToken, Component
from autogen_core.memory import (
    Memory,
    MemoryContent,
    MemoryMimeType,
    MemoryQueryResult,
    UpdateContextResult,
)
from autogen_core.model_context import ChatCompletionContext
from autogen_core.models import UserMessage

from memos_autogen.context import MemosChatCompletionContext
from memos_autogen.messages import SOURCE
from memos_autogen.profiles import MemosComponentConfig, offered_source
from memos_core import (
    AsyncSession,
    ContextOptions,
    DeniedError,
    Document,
    Hit,
    InvalidInputError,
    SessionSource,
    resolve_session,
)
from memos_core.content import Content


class MemosMemory(Memory, Component[MemosComponentConfig]):
    """Recall and remember through the acting session.

    Args:
        session: A session, the open vault in which somebody is `acting`, or a callable from the
            model context (None in `query` and `add`) to a session. Unset refuses.
        config: Sizes, and what a dump names.
        options: How memories are chosen; not part of a dump, for it may hold a function.
    """

    component_type = "memory"
    component_config_schema = MemosComponentConfig
    component_provider_override = "memos_autogen.MemosMemory"

    def __init__(
        self,
        session: SessionSource | None,
        config: MemosComponentConfig | None = None,
        *,
        options: ContextOptions | None = None,
    ) -> None:
        self._source = session
        self._config = config or MemosComponentConfig()
        self._options = options

    async def update_context(self, model_context: ChatCompletionContext) -> UpdateContextResult:
        """Recall for the last user message, and put what was found into the model context.

        An injected message stays in AutoGen's own contexts and in their saved state. A
        `MemosChatCompletionContext` recalls by itself at each call, so nothing is put into one.
        """
        if isinstance(model_context, MemosChatCompletionContext):
            return UpdateContextResult(memories=MemoryQueryResult(results=[]))
        messages = await model_context.get_messages()
        asked = next((m for m in reversed(messages) if isinstance(m, UserMessage)), None)
        query = asked.content if asked and isinstance(asked.content, str) else ""
        if not query.strip():
            return UpdateContextResult(memories=MemoryQueryResult(results=[]))
        session = AsyncSession(resolve_session(self._source, model_context))
        found = await session.context(
            query,
            budget_tokens=self._config.budget_tokens,
            k=self._config.k,
            options=self._options,
        )
        if found.text:
            await model_context.add_message(UserMessage(content=found.text, source="memory"))
        results = [to_content(hit) for hit in found.hits]
        return UpdateContextResult(memories=MemoryQueryResult(results=results))

    async def query(
        self,
        query: str | MemoryContent,
        cancellation_token: CancellationToken | None = None,  # noqa: ARG002 - the protocol's
        **kwargs: Any,
    ) -> MemoryQueryResult:
        """Return the memories that answer a query; `kwargs` go to `Session.search`."""
        text = query if isinstance(query, str) else query.content
        if not isinstance(text, str):
            raise InvalidInputError("a query is text: pass a string, or text as MemoryContent")
        session = AsyncSession(resolve_session(self._source))
        hits = await session.search(text, **{"k": self._config.k, **kwargs})
        return MemoryQueryResult(results=[to_content(hit) for hit in hits])

    async def add(
        self,
        content: MemoryContent,
        cancellation_token: CancellationToken | None = None,  # noqa: ARG002 - the protocol's
    ) -> None:
        """Remember something; its metadata is kept as metadata and cannot name a user."""
        session = AsyncSession(resolve_session(self._source))
        await session.add(from_content(content), metadata=content.metadata or {}, source=SOURCE)

    async def clear(self) -> None:
        """Refuse: the vault has no verb that forgets everything.

        Raises:
            DeniedError: Always; forget what is meant by its id.
        """
        raise DeniedError("a vault is not cleared: forget memories by id with Session.forget")

    async def close(self) -> None:
        """Do nothing: the vault belongs to the program that opened it."""

    def _to_config(self) -> MemosComponentConfig:
        return self._config

    @classmethod
    def _from_config(cls, config: MemosComponentConfig) -> Self:
        return cls(offered_source(config.profile), config)


def to_content(hit: Hit) -> MemoryContent:
    """Translate a hit: its text, with header and score as metadata."""
    metadata = {"memos": hit.cube.to_dict()["meta"], "score": hit.score}
    return MemoryContent(content=hit.text, mime_type=MemoryMimeType.TEXT, metadata=metadata)


def from_content(content: MemoryContent) -> Content:
    """Translate AutoGen's content to ours.

    Raises:
        InvalidInputError: It is bytes or an image: those are kept by reference, not by value.
    """
    value = content.content
    if isinstance(value, str) and content.mime_type in (MemoryMimeType.MARKDOWN, "text/markdown"):
        return Document(text=value, media_type="text/markdown")
    if isinstance(value, str | dict):
        return value
    raise InvalidInputError("bytes and images are kept by reference: store a Message with a uri")
