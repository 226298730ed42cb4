"""LlamaIndexChat: a LlamaIndex LLM where MemOS wants a chat model."""

from __future__ import annotations

from collections.abc import Sequence

from llama_index.core.llms import LLM

from memos_core import Message
from memos_core.models.chat import Schema
from memos_llamaindex.messages import from_message


class LlamaIndexChat:
    r"""A `memos_core.ChatModel` out of a LlamaIndex LLM.

    Args:
        llm: The model.

    Example:
        >>> from llama_index.core.llms import MockLLM
        >>> asked = [Message(role="user", parts="Hello?")]
        >>> LlamaIndexChat(MockLLM()).chat(asked)
        'user: Hello?\\nassistant: '
    """

    def __init__(self, llm: LLM) -> None:
        self._llm = llm

    def chat(
        self,
        messages: Sequence[Message],
        *,
        schema: Schema | None = None,  # noqa: ARG002 - the protocol's
    ) -> str:
        """Answer a conversation.

        Args:
            messages: What was said, in order.
            schema: Left aside: LlamaIndex holds a model to classes of its own, not to a schema.
        """
        return self._llm.chat([from_message(each) for each in messages]).message.content or ""
