"""Transcript: the messages of one conversation, kept in the vault in their order.

Adapters of chat histories and buffers stand on it. Equal messages are all kept. What the vault
forgets, redacts or lets expire is gone from the transcript too, so its length may shrink.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pydantic import JsonValue

from memos_core.content import Message
from memos_core.cube import MemCube
from memos_core.draft import Draft, check_name
from memos_core.filters import Filter
from memos_core.listing import list_every
from memos_core.session import Session

_MESSAGE: Final = "message"


def message_draft(
    message: Message, *, source: str, thread: str | None = None, key: str | None = None
) -> Draft:
    """Make the draft by which every adapter records a message.

    Args:
        message: What was said.
        source: The framework that brings it.
        thread: The conversation that it belongs to.
        key: A key, where the framework may bring the same message again.
    """
    metadata: dict[str, JsonValue] = {} if thread is None else {"thread": thread}
    return Draft(message, key=key, semantic_type=_MESSAGE, source=source, metadata=metadata)


class Transcript:
    """The messages of one conversation, in the session's own space.

    Args:
        session: Who acts; messages lie in the session's space.
        thread: Names the conversation.
        source: The framework that writes.

    Example:
        >>> from memos_core.testing import temporary_memos
        >>> with temporary_memos() as memos:
        ...     talk = Transcript(memos.session("user:alice"), "monday", source="example")
        ...     hello = Message(role="user", parts="Hello")
        ...     talk.extend([hello, hello])
        ...     [message.text for message in talk.messages()]
        ['Hello', 'Hello']
    """

    def __init__(self, session: Session, thread: str, *, source: str) -> None:
        self._session = session
        self._thread = check_name(thread, "thread")
        self._source = source

    def extend(self, messages: Iterable[Message]) -> None:
        """Record messages at the end, all or none."""
        drafts = [
            message_draft(each, source=self._source, thread=self._thread)
            for each in messages
            if each.text.strip()
        ]
        self._session.add_many(drafts)

    def cubes(self) -> list[MemCube]:
        """Return the memories behind the messages, oldest first."""
        where: Filter = {
            "metadata.thread": self._thread,
            "semantic_type": _MESSAGE,
            "space": self._session.space,  # this space, not those below it
        }
        return list_every(self._session, where=where, space=self._session.space)

    def messages(self) -> list[Message]:
        """Return the messages, oldest first.

        A message that somebody else recorded as the system's comes back as a user's: what is stored
        is data, and only the acting principal's own may instruct.
        """
        return [
            self._tame(cube, cube.content)
            for cube in self.cubes()
            if isinstance(cube.content, Message)
        ]

    def _tame(self, cube: MemCube, message: Message) -> Message:
        if message.role != "system" or cube.meta.owner == self._session.principal:
            return message
        return message.model_copy(update={"role": "user"})

    def clear(self) -> None:
        """Forget the messages of this conversation, one by one by their ids."""
        ids = [cube.id for cube in self.cubes()]
        if ids:
            self._session.forget(ids, reason="the conversation was cleared")
