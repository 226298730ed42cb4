"""What a plaintext memory can hold: text, a message, a document, or any JSON value.

`Message` is the one mapping for every framework's chat messages, and `Document` the one for their
documents, so that what one framework wrote is whole in another. Stored content is revived by its
`format` from this fixed list and by nothing else.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from memos_core.errors import InvalidInputError

Role = Literal["system", "user", "assistant", "tool"]
Format = Literal["text", "message", "document", "json"]


class _Value(BaseModel):
    """A frozen value that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TextPart(_Value):
    """A run of text in a message."""

    type: Literal["text"] = "text"
    text: str


class MediaPart(_Value):
    """An image, sound or file, by reference: the bytes stay where `uri` points.

    `alt` is what is indexed and shown where the medium cannot be.
    """

    type: Literal["image", "audio", "file"]
    uri: str
    media_type: str | None = None
    name: str | None = None
    alt: str | None = None


class DataPart(_Value):
    """A structured part that has no text of its own, kept as JSON."""

    type: Literal["data"] = "data"
    data: JsonValue


Part = Annotated[TextPart | MediaPart | DataPart, Field(discriminator="type")]


class ToolCall(_Value):
    """A model's request to run a tool."""

    id: str
    name: str
    arguments: JsonValue = None


class Message(_Value):
    """One turn of a conversation.

    Args:
        role: Who speaks: `system`, `user`, `assistant` or `tool`.
        parts: The content in order; a plain string becomes one text part.
        name: The speaker's name, where the framework has one.
        id: The framework's own id of the message.
        tool_calls: The tools that an assistant asked for.
        tool_call_id: For the role `tool`: the call that this answers.

    Example:
        >>> Message(role="user", parts="Hello").text
        'Hello'
    """

    role: Role
    parts: tuple[Part, ...] = ()
    name: str | None = None
    id: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None

    @field_validator("parts", mode="before")
    @classmethod
    def _text_is_one_part(cls, value: object) -> object:
        return (TextPart(text=value),) if isinstance(value, str) else value

    @property
    def text(self) -> str:
        """The message as plain text: its parts, media by their `alt` or name, data as JSON."""
        lines = [_part_text(part) for part in self.parts]
        lines += [f"{call.name}({_json(call.arguments)})" for call in self.tool_calls]
        return "\n".join(line for line in lines if line)


class Document(_Value):
    """A piece of a longer text, with where it came from.

    Example:
        >>> Document(text="Opening hours: 9 to 5", title="Visitors").title
        'Visitors'
    """

    text: str
    title: str | None = None
    uri: str | None = None
    media_type: str = "text/plain"


class Opaque(_Value):
    """Content in a model's own terms, which is no text: tensors, described.

    Its kinds are `ActivationPayload` and `ParametricPayload` of `memos_core.cube`; they are made by
    `Session.activate` and `Session.distill` only.
    """


Content = str | Message | Document | Opaque | JsonValue


def format_of(content: Content) -> Format:
    """Name the stored format of `content`.

    >>> format_of("hello"), format_of({"a": 1})
    ('text', 'json')
    """
    if isinstance(content, str):
        return "text"
    if isinstance(content, Message):
        return "message"
    return "document" if isinstance(content, Document) else "json"


def text_of(content: Content) -> str:
    """Render any content as plain text, for indexing, prompts and people.

    >>> text_of({"likes": ["tea", "rain"]})
    '{"likes": ["tea", "rain"]}'
    """
    if isinstance(content, str):
        return content
    if isinstance(content, Message):
        return content.text
    if isinstance(content, Opaque):
        return ""
    if isinstance(content, Document):
        return f"{content.title}\n{content.text}" if content.title else content.text
    return _json(content)


def revive(value: JsonValue, form: Format) -> Content:
    """Build content from stored JSON, by a fixed list of formats.

    Args:
        value: The JSON value as stored.
        form: One of `text`, `message`, `document`, `json`.

    Raises:
        InvalidInputError: `value` is not of that format.
    """
    try:
        if form == "message":
            return Message.model_validate(value)
        if form == "document":
            return Document.model_validate(value)
    except ValidationError as error:
        raise InvalidInputError(f"the content is not a {form}: {first_problem(error)}") from error
    if form == "text" and not isinstance(value, str):
        raise InvalidInputError("content of the format text must be a string")
    return value


def to_json_value(content: Content) -> JsonValue:
    """Turn content into the JSON value that is stored."""
    if isinstance(content, Message | Document):
        dumped: JsonValue = content.model_dump(mode="json")
        return dumped
    if isinstance(content, Opaque):
        given: JsonValue = content.model_dump(mode="json", exclude_unset=True)
        return given
    return content


def payload_text(content: Content) -> str:
    """Return content as the JSON text that is stored and hashed."""
    value = to_json_value(content)
    payload: JsonValue = {"type": "explicit", "format": format_of(content), "content": value}
    if isinstance(content, Opaque):
        payload = value
    return json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def content_digest(content: Content) -> str:
    """Return the SHA-256 of a content's stored form, as 64 hex digits."""
    return hashlib.sha256(payload_text(content).encode("utf-8")).hexdigest()


def first_problem(error: ValidationError) -> str:
    """Say in one line what pydantic found first, without echoing the whole input."""
    problem = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(step) for step in problem["loc"])
    return f"{where}: {problem['msg']}" if where else str(problem["msg"])


def _part_text(part: TextPart | MediaPart | DataPart) -> str:
    if isinstance(part, TextPart):
        return part.text
    if isinstance(part, MediaPart):
        return f"[{part.type}: {part.alt or part.name or part.uri}]"
    return _json(part.data)


def _json(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
