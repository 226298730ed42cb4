"""AutoGen's model messages and ours, there and back, whole."""

from __future__ import annotations

import json
from typing import Any, Final

from autogen_core import FunctionCall, Image
from autogen_core.models import (
    AssistantMessage,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    LLMMessage,
    SystemMessage,
    UserMessage,
)

from memos_core import DataPart, InvalidInputError, MediaPart, Message, TextPart, ToolCall
from memos_core.content import Part

SOURCE: Final = "autogen"


def to_messages(message: LLMMessage) -> list[Message]:
    """Translate an AutoGen message: one of ours, or one for each result of a tool.

    Raises:
        InvalidInputError: It holds an image by value; images are kept by reference.
    """
    if isinstance(message, SystemMessage):
        return [Message(role="system", parts=message.content)]
    if isinstance(message, UserMessage):
        parts = [message.content] if isinstance(message.content, str) else message.content
        return [Message(role="user", parts=tuple(map(_to_part, parts)), name=message.source)]
    if isinstance(message, AssistantMessage):
        return [_from_assistant(message)]
    return [
        Message(role="tool", parts=each.content, name=each.name or None, tool_call_id=each.call_id)
        for each in message.content
    ]


def from_message(message: Message) -> LLMMessage:
    """Translate one of our messages, whichever framework wrote it."""
    text = "\n".join(_from_part(part) for part in message.parts)
    if message.role == "system":
        return SystemMessage(content=text)
    if message.role == "assistant":
        calls = [
            FunctionCall(id=call.id, name=call.name, arguments=_arguments(call.arguments))
            for call in message.tool_calls
        ]
        source = message.name or "assistant"
        return AssistantMessage(
            content=calls or text, thought=text if calls else None, source=source
        )
    if message.role == "tool":
        result = FunctionExecutionResult(
            content=text,
            name=message.name or "",
            call_id=message.tool_call_id or "",
            is_error=False,
        )
        return FunctionExecutionResultMessage(content=[result])
    return UserMessage(content=text, source=message.name or "user")


def _from_assistant(message: AssistantMessage) -> Message:
    if isinstance(message.content, str):
        return Message(role="assistant", parts=message.content, name=message.source)
    calls = tuple(
        ToolCall(id=call.id, name=call.name, arguments=_parsed(call.arguments))
        for call in message.content
    )
    parts = message.thought or ()
    return Message(role="assistant", parts=parts, name=message.source, tool_calls=calls)


def _to_part(part: str | Image) -> Part:
    if isinstance(part, str):
        return TextPart(text=part)
    raise InvalidInputError("an image is kept by reference: store a Message with a MediaPart")


def _from_part(part: Part) -> str:
    if isinstance(part, TextPart):
        return part.text
    if isinstance(part, DataPart):
        return json.dumps(part.data, ensure_ascii=False)
    return _media(part)


def _media(part: MediaPart) -> str:
    return f"[{part.type}: {part.alt or part.name or part.uri}]({part.uri})"


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:  # a model may write what is not JSON; it is kept as it is
        return arguments


def _arguments(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
