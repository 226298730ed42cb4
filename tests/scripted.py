"""The frameworks' own scripted models, where an LLM would be."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat
from typing import Any

from autogen_core.models import ModelFamily, ModelInfo
from autogen_ext.models.replay import ReplayChatCompletionClient
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage
from pydantic import PrivateAttr


class ScriptedChatModel(GenericFakeChatModel):
    """LangChain's fake model, which keeps what it was shown and lets tools be bound."""

    _shown: list[list[BaseMessage]] = PrivateAttr(default_factory=list)

    def bind_tools(self, tools: Sequence[Any], **_kwargs: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
        self._shown.append(messages)
        return super()._generate(messages, *args, **kwargs)

    @property
    def shown(self) -> list[str]:
        """Each prompt that the model was shown, as text."""
        return ["\n".join(str(m.text) for m in messages) for messages in self._shown]


def langchain_model(*answers: str) -> ScriptedChatModel:
    """A LangChain chat model that says these things; the last for ever."""

    # Not a generator: one that two threads ask at once raises in the second.
    script = map(AIMessage, chain(answers, repeat(answers[-1])))
    return ScriptedChatModel(messages=script)


def autogen_client(*answers: str) -> ReplayChatCompletionClient:
    """An AutoGen model client that says these things."""
    info = ModelInfo(
        vision=False,
        function_calling=False,
        json_output=False,
        family=ModelFamily.UNKNOWN,
        structured_output=False,
    )
    return ReplayChatCompletionClient(list(answers), model_info=info)


def autogen_shown(client: ReplayChatCompletionClient) -> list[str]:
    """Each prompt that an AutoGen client was shown, as text."""
    return ["\n".join(str(m.content) for m in call["messages"]) for call in client.create_calls]
