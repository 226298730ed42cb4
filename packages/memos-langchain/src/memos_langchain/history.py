"""MemosChatMessageHistory: a conversation's messages behind LangChain's legacy interface."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage

from memos_core import SessionSource, Transcript, resolve_session
from memos_langchain.messages import SOURCE, from_message, to_message


class MemosChatMessageHistory(BaseChatMessageHistory):
    """The messages of one conversation, for whoever acts.

    Args:
        session: A session, the open vault in which somebody is `acting`, or a callable (given the
            conversation's name) to a session. Unset refuses.
        thread: Names the conversation.

    Example:
        >>> from memos_core.testing import temporary_memos
        >>> with temporary_memos() as memos:
        ...     history = MemosChatMessageHistory(memos.session("user:alice"), "monday")
        ...     history.add_user_message("Hello")
        ...     [message.content for message in history.messages]
        ['Hello']
    """

    def __init__(self, session: SessionSource | None, thread: str) -> None:
        self._source = session
        self._thread = thread

    def _transcript(self) -> Transcript:
        session = resolve_session(self._source, self._thread)
        return Transcript(session, self._thread, source=SOURCE)

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]  # an attribute there
        """The messages, oldest first, as the vault has them now."""
        return [from_message(each) for each in self._transcript().messages()]

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Record messages at the end, all or none."""
        self._transcript().extend([to_message(each) for each in messages])

    def clear(self) -> None:
        """Forget the messages of this conversation."""
        self._transcript().clear()
