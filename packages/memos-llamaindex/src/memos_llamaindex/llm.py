"""MemosLLM: a local model with memory inside, as a LlamaIndex LLM."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, Final

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from pydantic import Field

from memos_core import InvalidInputError, RememberingModel
from memos_llamaindex.messages import to_message

if TYPE_CHECKING:
    from memos_core.memory.generation import Generation

_PER_CALL: Final = ("max_tokens", "temperature", "seed", "stop")


class MemosLLM(CustomLLM):
    """Answers with a model in this process, given the memory of whoever acts in the request.

    The model's session may be a callable: it is given the messages. A prompt that is to be
    completed counts as one message of the user's.

    Args:
        model: What answers.
        max_tokens: The most tokens of an answer.
        temperature: 0 takes the likeliest token each time.
        seed: For answers with a temperature that can be repeated.
        stop: Texts before which an answer ends, where the call names none.

    Example:
        >>> from memos_core.testing import temporary_memos
        >>> from memos_core.testing.models import random_model
        >>> with temporary_memos() as memos:
        ...     model = RememberingModel(random_model("llama"), memos.session("user:alice"))
        ...     MemosLLM(model=model, max_tokens=4).complete("w1 w2").raw["finish_reason"]
        'length'
    """

    model: RememberingModel = Field(exclude=True, repr=False)
    max_tokens: int = 256
    temperature: float = 0.0
    seed: int | None = None
    stop: list[str] = Field(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which LlamaIndex knows this class."""
        return "MemosLLM"

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex needs to know of the model; it calls no functions."""
        return LLMMetadata(
            context_window=self.model.context_window,
            num_output=self.max_tokens,
            is_chat_model=True,
            is_function_calling_model=False,
            model_name=self.model.name,
        )

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation; a call may name `max_tokens`, `temperature`, `seed`, `stop`."""
        asked = self._asked(messages, kwargs)
        return _whole(self.model.answer(**asked), asked, self.model.name)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Do the same, awaited; where the waiting is cancelled, the model stops."""
        asked = self._asked(messages, kwargs)
        made = await self.model.stream(**asked).finished()
        return _whole(made, asked, self.model.name)

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer a conversation, piece by piece."""
        answer = self.model.stream(**self._asked(messages, kwargs))

        def pieces() -> ChatResponseGen:
            said = ""
            with closing(answer):
                for piece in answer:
                    said += piece
                    yield _response(said, delta=piece)

        return pieces()

    @llm_chat_callback()
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """Do the same, awaited."""
        answer = self.model.stream(**self._asked(messages, kwargs))

        async def pieces() -> ChatResponseAsyncGen:
            said = ""
            async with aclosing(answer):
                async for piece in answer:
                    said += piece
                    yield _response(said, delta=piece)

        return pieces()

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: ARG002
        """Answer a prompt as a user's message."""
        return _completion(self.chat(_asking(prompt), **kwargs))

    @llm_completion_callback()
    async def acomplete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: ARG002 - the interface's
        **kwargs: Any,
    ) -> CompletionResponse:
        """Do the same, awaited."""
        return _completion(await self.achat(_asking(prompt), **kwargs))

    @llm_completion_callback()
    def stream_complete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: ARG002 - the interface's
        **kwargs: Any,
    ) -> CompletionResponseGen:
        """Answer a prompt as a user's message, piece by piece."""
        found = self.stream_chat(_asking(prompt), **kwargs)

        def pieces() -> CompletionResponseGen:
            with closing(found):
                yield from map(_completion, found)

        return pieces()

    @llm_completion_callback()
    async def astream_complete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: ARG002 - the interface's
        **kwargs: Any,
    ) -> CompletionResponseAsyncGen:
        """Do the same, awaited."""
        found = await self.astream_chat(_asking(prompt), **kwargs)

        async def pieces() -> CompletionResponseAsyncGen:
            async with aclosing(found):
                async for each in found:
                    yield _completion(each)

        return pieces()

    def _asked(self, messages: Sequence[ChatMessage], options: dict[str, Any]) -> dict[str, Any]:
        """Say what the model is asked, in its own words."""
        unknown = [name for name, value in options.items() if name not in _PER_CALL and value]
        if unknown:
            raise InvalidInputError(
                f"a local model is not told {unknown[0]!r}: a call takes " + ", ".join(_PER_CALL)
            )
        chosen = {name: options.get(name, getattr(self, name)) for name in _PER_CALL}
        return {
            "messages": [to_message(each) for each in messages],
            "request": messages,
            "max_new_tokens": chosen["max_tokens"],
            "temperature": chosen["temperature"],
            "seed": chosen["seed"],
            "stop": chosen["stop"] or (),
        }


def _asking(prompt: str) -> list[ChatMessage]:
    return [ChatMessage(prompt, role=MessageRole.USER)]


def _response(text: str, **told: Any) -> ChatResponse:
    return ChatResponse(message=ChatMessage(text, role=MessageRole.ASSISTANT), **told)


def _whole(made: Generation, asked: dict[str, Any], name: str) -> ChatResponse:
    """Translate an answer, with what it cost and how it ended; nothing of the memory behind it."""
    prompt, written = made.prompt_tokens, len(made.ids)
    return _response(
        made.text,
        raw={
            "model": name,
            "finish_reason": "length" if written >= asked["max_new_tokens"] else "stop",
            "injected_tokens": made.injected_tokens,
            "notes": list(made.notes),
        },
        additional_kwargs={
            "prompt_tokens": prompt,
            "completion_tokens": written,
            "total_tokens": prompt + written,
        },
    )


def _completion(response: ChatResponse) -> CompletionResponse:
    return CompletionResponse(
        text=response.message.content or "",
        delta=response.delta,
        raw=response.raw,
        additional_kwargs=response.additional_kwargs,
    )
