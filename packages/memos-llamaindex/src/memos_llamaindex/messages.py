"""LlamaIndex's chat messages and ours, there and back, whole."""

from __future__ import annotations

from typing import Any, Final

from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from memos_core import DataPart, InvalidInputError, MediaPart, Message, TextPart, ToolCall
from memos_core.content import Part, Role

SOURCE: Final = "llamaindex"
_ROLES: Final[dict[MessageRole, Role]] = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}


def to_message(message: ChatMessage) -> Message:
    """Translate a LlamaIndex message; a role that we do not have counts as the user's."""
    extra = message.additional_kwargs
    calls = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    return Message(
        role=_ROLES.get(message.role, "user"),
        parts=tuple(_to_part(b) for b in message.blocks if not isinstance(b, ToolCallBlock)),
        name=_text(extra.get("name")),
        id=_text(extra.get("id")),
        tool_calls=tuple(
            ToolCall(id=call.tool_call_id or "", name=call.tool_name, arguments=call.tool_kwargs)
            for call in calls
        ),
        tool_call_id=_text(extra.get("tool_call_id")),
    )


def from_message(message: Message) -> ChatMessage:
    """Translate one of our messages, whichever framework wrote it."""
    blocks: list[Any] = [_from_part(part) for part in message.parts]
    for call in message.tool_calls:
        kwargs = call.arguments if isinstance(call.arguments, dict | str) else {}
        blocks.append(
            ToolCallBlock(tool_call_id=call.id or None, tool_name=call.name, tool_kwargs=kwargs)
        )
    extra = {"name": message.name, "id": message.id, "tool_call_id": message.tool_call_id}
    return ChatMessage(
        role=MessageRole(message.role),
        blocks=blocks,
        additional_kwargs={name: value for name, value in extra.items() if value is not None},
    )


def _to_part(block: Any) -> Part:
    if isinstance(block, TextBlock):
        return TextPart(text=block.text)
    if isinstance(block, ThinkingBlock):
        return DataPart(data={"thinking": block.content or ""})
    uri = getattr(block, "url", None)
    if isinstance(block, ImageBlock) and uri and block.image is None:
        return MediaPart(type="image", uri=str(uri), media_type=block.image_mimetype)
    if isinstance(block, AudioBlock) and uri and block.audio is None:
        return MediaPart(type="audio", uri=str(uri))
    if isinstance(block, DocumentBlock) and uri and block.data is None:
        return MediaPart(
            type="file", uri=str(uri), media_type=block.document_mimetype, name=block.title
        )
    raise InvalidInputError(
        f"a {type(block).__name__} by value is not kept: media are kept by reference, give it a url"
    )


def _from_part(part: Part) -> Any:
    if isinstance(part, TextPart):
        return TextBlock(text=part.text)
    if isinstance(part, MediaPart):
        if part.type == "image":
            return ImageBlock(url=part.uri, image_mimetype=part.media_type)
        if part.type == "audio":
            return AudioBlock(url=part.uri)
        return DocumentBlock(
            url=part.uri, document_mimetype=part.media_type, title=part.name or "document"
        )
    # Never revived by a type named in stored data: a block with a path would read the host's files.
    if isinstance(part.data, dict) and isinstance(part.data.get("thinking"), str):
        return ThinkingBlock(content=str(part.data["thinking"]))
    return TextBlock(text=Message(role="user", parts=(part,)).text)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
