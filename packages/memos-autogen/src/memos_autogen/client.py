"""MemosChatCompletionClient: a local model with memory inside, as an AutoGen model client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from autogen_core import CancellationToken
from autogen_core.models import (
    ChatCompletionClient,
    CreateResult,
    LLMMessage,
    ModelCapabilities,
    ModelFamily,
    ModelInfo,
    RequestUsage,
)
from autogen_core.tools import Tool, ToolSchema
from pydantic import BaseModel

from memos_autogen.messages import to_messages
from memos_core import Answer, InvalidInputError, Message, RememberingModel

if TYPE_CHECKING:
    from memos_core.memory.generation import Generation

T = TypeVar("T")
_PER_CALL: Final = ("max_tokens", "temperature", "seed", "stop")


class MemosChatCompletionClient(ChatCompletionClient):
    """Answers with a model in this process, given the memory of whoever acts in the request.

    The model's session may be a callable: it is given the messages. A cancelled request stops the
    model at its next word.

    Args:
        model: What answers.
        max_tokens: The most tokens of an answer.
        temperature: 0 takes the likeliest token each time.
        seed: For answers with a temperature that can be repeated.
        stop: Texts before which an answer ends.

    Example:
        >>> import anyio
        >>> from autogen_core.models import UserMessage
        >>> from memos_core.testing import temporary_memos
        >>> from memos_core.testing.models import random_model
        >>> async def main() -> int:
        ...     with temporary_memos() as memos:
        ...         model = RememberingModel(random_model("llama"), memos.session("user:alice"))
        ...         client = MemosChatCompletionClient(model, max_tokens=4)
        ...         made = await client.create([UserMessage(content="w1 w2", source="user")])
        ...         return made.usage.completion_tokens
        >>> anyio.run(main)
        4
    """

    component_type = "model"

    def __init__(
        self,
        model: RememberingModel,
        *,
        max_tokens: int = 256,
        temperature: float = 0.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
    ) -> None:
        self._model = model
        self._chosen: dict[str, Any] = {
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
            "stop": tuple(stop),
        }
        self._prompt_tokens = 0
        self._completion_tokens = 0

    async def create(
        self,
        messages: Sequence[LLMMessage],
        *,
        tools: Sequence[Tool | ToolSchema] = (),
        tool_choice: Tool | Literal["auto", "required", "none"] = "auto",
        json_output: bool | type[BaseModel] | None = None,
        extra_create_args: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
    ) -> CreateResult:
        """Answer a conversation; it may be told `max_tokens`, `temperature`, `seed`, `stop`.

        Raises:
            InvalidInputError: Tools or JSON are asked for.
            NotFoundError: A memory may not be used any more; nothing was released.
        """
        _only_text(tools, tool_choice, json_output)
        answer, most = self._asked(messages, extra_create_args)
        return self._result(await _linked(answer.finished(), cancellation_token), most)

    async def create_stream(
        self,
        messages: Sequence[LLMMessage],
        *,
        tools: Sequence[Tool | ToolSchema] = (),
        tool_choice: Tool | Literal["auto", "required", "none"] = "auto",
        json_output: bool | type[BaseModel] | None = None,
        extra_create_args: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
    ) -> AsyncGenerator[str | CreateResult, None]:
        """Answer a conversation, piece by piece, and at the end whole."""
        _only_text(tools, tool_choice, json_output)
        answer, most = self._asked(messages, extra_create_args)
        async with aclosing(answer):
            while (piece := await _linked(_next(answer), cancellation_token)) is not None:
                yield piece
            yield self._result(answer.generation, most)

    async def close(self) -> None:
        """Do nothing: the model belongs to the program that loaded it."""

    def actual_usage(self) -> RequestUsage:
        """Return the tokens of all answers."""
        return RequestUsage(
            prompt_tokens=self._prompt_tokens, completion_tokens=self._completion_tokens
        )

    def total_usage(self) -> RequestUsage:
        """Return the same: no answer comes from a cache."""
        return self.actual_usage()

    def count_tokens(
        self,
        messages: Sequence[LLMMessage],
        *,
        tools: Sequence[Tool | ToolSchema] = (),  # noqa: ARG002 - the interface's
    ) -> int:
        """Count what a conversation costs the model, without memory."""
        return self._model.count_tokens(_translated(messages))

    def remaining_tokens(
        self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = ()
    ) -> int:
        """Count what is left for memory and answer."""
        return self._model.context_window - self.count_tokens(messages, tools=tools)

    @property
    def model_info(self) -> ModelInfo:
        """What AutoGen needs to know of the model: it reads and writes text."""
        return ModelInfo(
            vision=False,
            function_calling=False,
            json_output=False,
            family=ModelFamily.UNKNOWN,
            structured_output=False,
            multiple_system_messages=False,
        )

    @property
    def capabilities(self) -> ModelCapabilities:
        """The same, under its old name."""
        return ModelCapabilities(vision=False, function_calling=False, json_output=False)

    def _to_config(self) -> BaseModel:
        raise InvalidInputError(
            "a model in this process cannot be written into a component's configuration: make the "
            "client, and what uses it, in code"
        )

    def _asked(
        self, messages: Sequence[LLMMessage], options: Mapping[str, Any] | None
    ) -> tuple[Answer, int]:
        options = options or {}
        unknown = [name for name in options if name not in _PER_CALL]
        if unknown:
            raise InvalidInputError(
                f"a local model is not told {unknown[0]!r}: extra_create_args takes "
                + ", ".join(_PER_CALL)
            )
        chosen = self._chosen | dict(options)
        answer = self._model.stream(
            _translated(messages),
            request=messages,
            max_new_tokens=chosen["max_tokens"],
            temperature=chosen["temperature"],
            seed=chosen["seed"],
            stop=chosen["stop"],
        )
        return answer, chosen["max_tokens"]

    def _result(self, made: Generation, most: int) -> CreateResult:
        usage = RequestUsage(prompt_tokens=made.prompt_tokens, completion_tokens=len(made.ids))
        self._prompt_tokens += usage.prompt_tokens
        self._completion_tokens += usage.completion_tokens
        return CreateResult(
            content=made.text,
            finish_reason="length" if len(made.ids) >= most else "stop",
            usage=usage,
            cached=False,
        )


def _only_text(tools: Sequence[Any], tool_choice: Any, json_output: Any) -> None:
    if tools or tool_choice not in ("auto", "none"):
        raise InvalidInputError("a local model calls no tools: make the agent without tools")
    if json_output:
        raise InvalidInputError(
            "a local model is not held to JSON: ask for text, and read it yourself"
        )


def _translated(messages: Sequence[LLMMessage]) -> list[Message]:
    return [ours for each in messages for ours in to_messages(each)]


async def _next(answer: Answer) -> str | None:
    return await anext(answer, None)


async def _linked(doing: Coroutine[Any, Any, T], token: CancellationToken | None) -> T:
    """Wait for something, as long as a token lets it go on."""
    task = asyncio.ensure_future(doing)
    if token is not None:
        token.link_future(task)
    return await task
