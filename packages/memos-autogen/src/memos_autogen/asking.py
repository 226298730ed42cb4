"""AutoGenChat: an AutoGen model client where MemOS wants a chat model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Sequence
from typing import Self, TypeVar

from autogen_core.models import ChatCompletionClient

from memos_autogen.messages import from_message
from memos_core import Message, ModelError
from memos_core.models.chat import Schema

T = TypeVar("T")


class AutoGenChat:
    """A `memos_core.ChatModel` out of an AutoGen model client, which is awaited.

    The client runs in an event loop of its own, on a thread of its own, which the first question
    starts: so it can be asked from anywhere, also where a loop is running, which waits meanwhile.
    It stays in this loop, as its connections do: use the client for nothing else, and this with
    `with`, or `close` it.

    Args:
        client: The client.
    """

    def __init__(self, client: ChatCompletionClient) -> None:
        self._client = client
        self._starting = threading.Lock()
        self._running: tuple[asyncio.AbstractEventLoop, threading.Thread] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def chat(self, messages: Sequence[Message], *, schema: Schema | None = None) -> str:
        """Answer a conversation.

        Args:
            messages: What was said, in order.
            schema: Where it is given, a client that can is told to write JSON; AutoGen holds a
                model to classes of its own, not to a schema.

        Raises:
            ModelError: The model called a tool, instead of answering.
        """
        asking = self._client.create(
            [from_message(each) for each in messages],
            json_output=True if schema and self._client.model_info["json_output"] else None,
        )
        answering = asyncio.run_coroutine_threadsafe(_awaited(asking), self._loop())
        try:
            content = answering.result().content
        finally:
            answering.cancel()  # whoever stops waiting stops the question
        if not isinstance(content, str):
            raise ModelError("the model called a tool, and was given none: use another model")
        return content

    def close(self) -> None:
        """End the loop and its thread; the next question starts others."""
        with self._starting:
            running, self._running = self._running, None
        if running is not None:
            loop, thread = running
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def _loop(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._running is None or not self._running[1].is_alive():  # as after a fork
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=loop.run_forever, daemon=True, name="memos-chat")
                thread.start()
                self._running = loop, thread
            return self._running[0]


async def _awaited(doing: Awaitable[T]) -> T:
    return await doing
