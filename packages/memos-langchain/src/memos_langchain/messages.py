"""LangChain's messages and ours, there and back, whole."""

from __future__ import annotations

from typing import Any, Final

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from memos_core import DataPart, InvalidInputError, MediaPart, Message, TextPart, ToolCall
from memos_core.content import Part, Role

SOURCE: Final = "langchain"
_ROLES: Final[dict[str, Role]] = {
    "human": "user",
    "ai": "assistant",
    "AIMessageChunk": "assistant",
    "system": "system",
    "tool": "tool",
}
_MEDIA: Final = ("image", "audio", "file")


def to_message(message: BaseMessage) -> Message:
    """Translate a LangChain message.

    Raises:
        InvalidInputError: It is of a type that has no role, such as a removal.
    """
    role = _ROLES.get(message.type)
    if role is None:
        raise InvalidInputError(f"a LangChain message of type {message.type!r} cannot be kept")
    content = message.content
    blocks: list[Any] = [content] if isinstance(content, str) else list(content)
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    return Message(
        role=role,
        parts=tuple(_to_part(block) for block in blocks if block != ""),
        name=message.name,
        id=message.id,
        tool_calls=tuple(
            ToolCall(id=call["id"] or "", name=call["name"], arguments=call["args"])
            for call in calls
        ),
        tool_call_id=message.tool_call_id if isinstance(message, ToolMessage) else None,
    )


def from_message(message: Message) -> BaseMessage:
    """Translate one of our messages, whichever framework wrote it."""
    content = _from_parts(message.parts)
    named: dict[str, Any] = {"name": message.name, "id": message.id}
    if message.role == "assistant":
        calls: list[Any] = [
            {"id": call.id, "name": call.name, "args": call.arguments or {}, "type": "tool_call"}
            for call in message.tool_calls
        ]
        return AIMessage(content, tool_calls=calls, **named)
    if message.role == "tool":
        return ToolMessage(content, tool_call_id=message.tool_call_id or "", **named)
    kind = SystemMessage if message.role == "system" else HumanMessage
    return kind(content, **named)


def _to_part(block: Any) -> Part:
    if isinstance(block, str):
        return TextPart(text=block)
    if block.get("type") == "text" and set(block) <= {"type", "text"}:
        return TextPart(text=block["text"])
    uri = block.get("url")
    if block.get("type") in _MEDIA and uri and set(block) <= {"type", "url", "mime_type", "name"}:
        return MediaPart(
            type=block["type"],
            uri=uri,
            media_type=block.get("mime_type"),
            name=block.get("name"),
        )
    return DataPart(data=block)


def _from_parts(parts: tuple[Part, ...]) -> Any:
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        return parts[0].text
    return [_from_part(part) for part in parts] or ""


def _from_part(part: Part) -> Any:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, DataPart):
        if isinstance(part.data, dict) and isinstance(part.data.get("type"), str):
            return part.data
        return {"type": "text", "text": Message(role="user", parts=(part,)).text}
    fields = {"type": part.type, "url": part.uri, "mime_type": part.media_type, "name": part.name}
    return {name: value for name, value in fields.items() if value is not None}
