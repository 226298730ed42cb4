"""LangChainChat: a LangChain chat model where MemOS wants one."""

from __future__ import annotations

import json
from collections.abc import Sequence

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage

from memos_core import Message, ModelError
from memos_core.models.chat import Schema
from memos_langchain.messages import from_message


class LangChainChat:
    """A `memos_core.ChatModel` out of a LangChain chat model.

    Args:
        model: The model. Where its profile says that it keeps to a schema, it is held to it.

    Example:
        >>> from langchain_core.language_models.fake_chat_models import FakeListChatModel
        >>> asked = [Message(role="user", parts="Hello?")]
        >>> LangChainChat(FakeListChatModel(responses=["Hello."])).chat(asked)
        'Hello.'
    """

    def __init__(self, model: BaseChatModel) -> None:
        self._model = model

    def chat(self, messages: Sequence[Message], *, schema: Schema | None = None) -> str:
        """Answer a conversation.

        Args:
            messages: What was said, in order.
            schema: The form of the answer that is wanted.

        Raises:
            ModelError: What came back is no message of the model.
        """
        said = [from_message(each) for each in messages]
        if schema is None or not (self._model.profile or {}).get("structured_output"):
            return str(self._model.invoke(said).text)
        held = self._model.with_structured_output(dict(schema), include_raw=True)
        answer = held.invoke(said)
        raw = answer.get("raw") if isinstance(answer, dict) else None
        if not isinstance(raw, AIMessage):
            raise ModelError(f"{type(self._model).__name__} gave no message: use another model")
        if raw.tool_calls:  # some are held to a schema by a tool of that form
            return json.dumps(raw.tool_calls[0]["args"], ensure_ascii=False)
        return str(raw.text)
