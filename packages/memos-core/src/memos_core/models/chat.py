"""Chat models: a conversation in, an answer out, behind a protocol of one method.

`OpenAIChat` speaks to any server with OpenAI's interface; `LocalModel` answers in this process; the
packages for frameworks make one of their models. An answer is a stranger's text: whoever asks for
JSON checks what comes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, JsonValue

from memos_core.content import Message
from memos_core.errors import InvalidInputError, ModelError

if TYPE_CHECKING:
    from openai import OpenAIError

Schema = Mapping[str, JsonValue]
"""A JSON schema, as pydantic's `model_json_schema` makes it."""
_EXTRA: Final = "pip install 'memos-core[openai]'"
_REMEDIES: Final = {
    400: "the server takes no such request: is it a chat model?",
    401: "the key is not right: check api_key",
    403: "the key may not use this model: check api_key and model",
    404: "there is no such model or address: check model and base_url",
    429: "too many requests, or the quota is used up: ask again later",
}


class ChatModel(Protocol):
    """What answers a conversation."""

    def chat(self, messages: Sequence[Message], *, schema: Schema | None = None) -> str:
        """Answer a conversation.

        Args:
            messages: What was said, in order, the last to be answered.
            schema: The JSON schema of the answer that is wanted. A model that cannot be held to one
                leaves it aside, so say it in the messages too.

        Returns:
            What the model says, whatever that is.

        Raises:
            ModelError: It did not answer.
        """
        ...


class OpenAIChat:
    """A model behind OpenAI's interface: theirs, or any server's that speaks it.

    The key stands in no message, log or representation that is made here.

    Args:
        model: The model's name there.
        base_url: Where the server is, such as `http://localhost:8000/v1`; OpenAI's by default.
        api_key: The key; by default what `OPENAI_API_KEY` holds.
        timeout: How long the server may be silent.
        retries: How often to ask again where the server is busy, broken or out of reach.

    Raises:
        InvalidInputError: The extra `[openai]` is not installed, or there is no key.

    Example:
        >>> OpenAIChat("small", base_url="http://localhost:8000/v1", api_key="secret")
        OpenAIChat('small' at localhost)
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: timedelta = timedelta(seconds=60),
        retries: int = 2,
    ) -> None:
        try:
            import openai
        except ModuleNotFoundError as error:
            raise InvalidInputError(f"the openai library is not installed: run {_EXTRA}") from error
        if timeout <= timedelta():
            raise InvalidInputError("timeout must be more than nothing")
        try:
            self._client = openai.OpenAI(
                base_url=base_url,
                api_key=api_key,
                timeout=timeout.total_seconds(),
                max_retries=retries,
            )
        except openai.OpenAIError as error:
            raise InvalidInputError("no key: pass api_key, or set OPENAI_API_KEY") from error
        self._model = model
        self._errors = openai.OpenAIError

    def __repr__(self) -> str:
        return f"OpenAIChat({self._model!r} at {urlsplit(str(self._client.base_url)).hostname})"

    def chat(self, messages: Sequence[Message], *, schema: Schema | None = None) -> str:
        """Answer a conversation; see `ChatModel.chat`.

        A server that takes no schema is asked again without one.

        Raises:
            ModelError: The server could not be reached, refused, was silent for too long, or
                answered what is no completion.
        """
        said = [_to_openai(each) for each in messages]
        try:
            return self._asked(said, schema)
        except (self._errors, ValueError) as error:
            # The library's error holds the request with its key, and may quote what the server
            # said of it: neither goes on, so this is raised where it is no context.
            problem = _problem(error)
        raise ModelError(f"{self!r} gave no answer: {problem}")

    def _asked(self, said: list[Any], schema: Schema | None) -> str:
        """Send a conversation, with a schema if the server takes one."""
        # The raw body: the library makes objects of whatever comes, and does not check them.
        create: Any = self._client.chat.completions.with_raw_response.create
        plain: dict[str, Any] = {"model": self._model, "messages": said}
        if schema is None:
            return _content(create(**plain).content)
        form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(schema)}}
        try:
            answer = create(**plain, response_format=form)
        except self._errors as error:
            if getattr(error, "status_code", None) not in (400, 422):
                raise
            answer = create(**plain)
        return _content(answer.content)


class _Said(BaseModel):
    content: str


class _Choice(BaseModel):
    message: _Said


class _Completion(BaseModel):
    """As much of a completion as is read."""

    choices: list[_Choice] = Field(min_length=1)


def _content(body: bytes) -> str:
    return _Completion.model_validate_json(body).choices[0].message.content


def asked(text: str) -> list[Message]:
    """Make a conversation of one question.

    >>> asked("Who?")[0].role
    'user'
    """
    return [Message(role="user", parts=text)]


def _problem(error: OpenAIError | ValueError) -> str:
    """Say what went wrong, with nothing of what was sent or came back."""
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and status >= 400:
        broken = "the server is broken or overloaded: ask again later"
        return f"status {status}: {_REMEDIES.get(status, broken)}"
    if "Timeout" in type(error).__name__:
        return "it was silent for too long: give it a longer timeout, or ask again"
    if "Connection" in type(error).__name__:
        return "it could not be reached: check base_url, and that it runs"
    return "what came back is no completion, or a refusal: check base_url and model"


def _to_openai(message: Message) -> dict[str, Any]:
    """Translate a message; media stand there as their text."""
    text = message.model_copy(update={"tool_calls": ()}).text
    if message.role == "tool" and message.tool_call_id:
        return {"role": "tool", "content": text, "tool_call_id": message.tool_call_id}
    made: dict[str, Any] = {
        "role": "user" if message.role == "tool" else message.role,
        "content": text,
    }
    if message.role == "assistant" and message.tool_calls:
        made["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": _arguments(call.arguments)},
            }
            for call in message.tool_calls
        ]
    return made


def _arguments(given: JsonValue) -> str:
    return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
