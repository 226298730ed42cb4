"""MemosMemory: a conversation and what is recalled for it, as LlamaIndex's memory."""

from __future__ import annotations

from typing import Any, Self

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.memory.types import BaseMemory

from memos_core import ContextOptions, Message, Session, SessionSource, Transcript, resolve_session
from memos_llamaindex.messages import SOURCE, from_message, to_message


class MemosMemory(BaseMemory):
    """Memory of whoever acts: each message is written to the vault, and each read comes from it.

    It holds nothing but a handle, so a serialised workflow carries no memories along.

    Args:
        session: A session, the open vault in which somebody is `acting`, or a callable (given the
            conversation's name) to a session. Unset refuses.
        thread: Names the conversation.
        budget_tokens: What the recalled block may cost; 0 recalls nothing.
        options: How memories are chosen; see `ContextOptions`.
        last: How many of the conversation's last messages `get` returns.

    Example:
        >>> from memos_core.testing import temporary_memos
        >>> with temporary_memos() as memos:
        ...     memory = MemosMemory.from_defaults(session=memos.session("user:alice"))
        ...     memory.put(ChatMessage("I am allergic to peanuts."))
        ...     [message.content for message in memory.get_all()]
        ['I am allergic to peanuts.']
    """

    thread: str = "default"
    budget_tokens: int = 1_000
    last: int = 50
    options: ContextOptions | None = Field(default=None, exclude=True, repr=False)
    _source: SessionSource | None = PrivateAttr(default=None)

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which LlamaIndex knows this class."""
        return "MemosMemory"

    @classmethod
    def from_defaults(cls, session: SessionSource | None = None, **kwargs: Any) -> Self:
        """Make a memory; see the class for the arguments."""
        memory = cls(**kwargs)
        memory._source = session
        return memory

    def get(self, input: str | None = None, **_kwargs: Any) -> list[ChatMessage]:  # noqa: A002
        """Return the recalled block, if anything was found, and the conversation's last messages.

        Args:
            input: What to recall for; the conversation's last question if it is not given.
        """
        session = self._session()
        said = self._transcript(session).messages()
        question = input or next((m.text for m in reversed(said) if m.role == "user"), "")
        history = [from_message(each) for each in said[-self.last :]] if self.last else []
        return [*self._recalled(session, question, said), *history]

    def _recalled(self, session: Session, question: str, said: list[Message]) -> list[ChatMessage]:
        if not question.strip() or not self.budget_tokens:
            return []
        found = session.context(question, budget_tokens=self.budget_tokens, options=self.options)
        shown = {message.text for message in said[-self.last :]}
        if all(hit.text in shown for hit in found.hits):  # nothing that the history does not say
            return []
        return [ChatMessage(found.text, role=MessageRole.USER)]

    def get_all(self) -> list[ChatMessage]:
        """Return every message of the conversation, oldest first."""
        return [from_message(each) for each in self._transcript(self._session()).messages()]

    def put(self, message: ChatMessage) -> None:
        """Record a message."""
        self.put_messages([message])

    def put_messages(self, messages: list[ChatMessage]) -> None:
        """Record messages, all or none."""
        self._transcript(self._session()).extend([to_message(each) for each in messages])

    def set(self, messages: list[ChatMessage]) -> None:
        """Forget the conversation's messages, and record these instead."""
        transcript = self._transcript(self._session())
        transcript.clear()
        transcript.extend([to_message(each) for each in messages])

    def reset(self) -> None:
        """Forget the conversation's messages; what else the vault holds stays."""
        self._transcript(self._session()).clear()

    def _session(self) -> Session:
        return resolve_session(self._source, self.thread)

    def _transcript(self, session: Session) -> Transcript:
        return Transcript(session, self.thread, source=SOURCE)
