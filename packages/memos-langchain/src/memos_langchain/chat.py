"""MemosChatModel: a local model with memory inside, as a LangChain chat model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, Final, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput, ModelProfile
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from pydantic import ConfigDict, Field

from memos_core import InvalidInputError, RememberingModel
from memos_langchain.messages import to_message

if TYPE_CHECKING:
    from memos_core.memory.generation import Generation

_PER_CALL: Final = ("max_tokens", "temperature", "seed")


class MemosChatModel(BaseChatModel):
    """Answers with a model in this process, given the memory of whoever acts in the request.

    The model's session may be a callable: it is given the call's `RunnableConfig`. Answers never
    come from LangChain's cache: each is for its session, and only as long as the memory behind it
    may be used.

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
        ...     chat = MemosChatModel(model=model, max_tokens=4)
        ...     chat.invoke("w1 w2").usage_metadata["output_tokens"]
        4
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    model: RememberingModel = Field(exclude=True, repr=False)
    max_tokens: int = 256
    temperature: float = 0.0
    seed: int | None = None
    stop: list[str] = Field(default_factory=list)
    cache: Literal[False] = False  # never an answer to somebody else

    # What a request's config names is known to these doors only, so they find out who acts.

    def invoke(
        self,
        input: LanguageModelInput,  # noqa: A002 - the interface's
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Answer whoever this request's config names."""
        return super(MemosChatModel, self._acting(config)).invoke(input, config, **kwargs)

    async def ainvoke(
        self,
        input: LanguageModelInput,  # noqa: A002 - the interface's
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Do the same, awaited."""
        return await super(MemosChatModel, self._acting(config)).ainvoke(input, config, **kwargs)

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002 - the interface's
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Answer whoever this request's config names, piece by piece."""
        return super(MemosChatModel, self._acting(config)).stream(input, config, **kwargs)

    def astream(
        self,
        input: LanguageModelInput,  # noqa: A002 - the interface's
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """Do the same, awaited."""
        return super(MemosChatModel, self._acting(config)).astream(input, config, **kwargs)

    def stream_events(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        """Answer whoever this request's config names, as events."""
        return super(MemosChatModel, self._acting(config)).stream_events(input, config, **kwargs)

    def astream_events(
        self,
        input: Any,  # noqa: A002 - the interface's
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        """Do the same, awaited."""
        return super(MemosChatModel, self._acting(config)).astream_events(input, config, **kwargs)

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:  # noqa: ARG002
        """Refuse: a local model calls no tools here.

        Raises:
            InvalidInputError: Always.
        """
        raise InvalidInputError("a local model calls no tools: make the agent without tools")

    def get_token_ids(self, text: str) -> list[int]:
        """Return the model's own tokens of a text."""
        return self.model.model.tokens(text, begins=False) if text else []

    def get_num_tokens_from_messages(
        self,
        messages: Sequence[BaseMessage],
        tools: Sequence[Any] | None = None,  # noqa: ARG002 - the interface's
    ) -> int:
        """Count what a conversation costs the model, without memory."""
        return self.model.count_tokens([to_message(each) for each in messages])

    def _acting(self, config: RunnableConfig | None) -> MemosChatModel:
        session = self.model.who(ensure_config(config))
        return self.model_copy(update={"model": self.model.as_session(session)})

    def _asked(
        self, messages: list[BaseMessage], stop: list[str] | None, options: dict[str, Any]
    ) -> dict[str, Any]:
        """Say what the model is asked, in its own words."""
        unknown = [name for name, value in options.items() if name not in _PER_CALL and value]
        if unknown:
            raise InvalidInputError(
                f"a local model is not told {unknown[0]!r}: a call takes stop, "
                + ", ".join(_PER_CALL)
            )
        chosen = {"max_tokens": self.max_tokens, "temperature": self.temperature, "seed": self.seed}
        chosen |= {name: options[name] for name in _PER_CALL if name in options}
        return {
            "messages": [to_message(each) for each in messages],
            "request": ensure_config(None),
            "max_new_tokens": chosen["max_tokens"],
            "temperature": chosen["temperature"],
            "seed": chosen["seed"],
            "stop": self.stop if stop is None else stop,
        }

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - the interface's
        **kwargs: Any,
    ) -> ChatResult:
        asked = self._asked(messages, stop, kwargs)
        return self._result(self.model.answer(**asked), asked)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 - the interface's
        **kwargs: Any,
    ) -> ChatResult:
        asked = self._asked(messages, stop, kwargs)
        return self._result(await self.model.stream(**asked).finished(), asked)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - the interface's
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        asked = self._asked(messages, stop, kwargs)
        with closing(self.model.stream(**asked)) as answer:
            for piece in answer:
                yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
            yield self._last(answer.generation, asked)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 - the interface's
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        asked = self._asked(messages, stop, kwargs)
        async with aclosing(self.model.stream(**asked)) as answer:
            async for piece in answer:
                yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
            yield self._last(answer.generation, asked)

    def _result(self, made: Generation, asked: dict[str, Any]) -> ChatResult:
        message = AIMessage(made.text, **self._told(made, asked))
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _last(self, made: Generation, asked: dict[str, Any]) -> ChatGenerationChunk:
        message = AIMessageChunk(content="", chunk_position="last", **self._told(made, asked))
        return ChatGenerationChunk(message=message)

    def _told(self, made: Generation, asked: dict[str, Any]) -> dict[str, Any]:
        """Say what an answer cost, and how it ended; nothing of the memory behind it."""
        prompt, written = made.prompt_tokens, len(made.ids)
        used = UsageMetadata(
            input_tokens=prompt, output_tokens=written, total_tokens=prompt + written
        )
        said = {
            "model_provider": "memos",
            "model_name": self.model.name,
            "finish_reason": "length" if written >= asked["max_new_tokens"] else "stop",
            "injected_tokens": made.injected_tokens,
            "notes": list(made.notes),
        }
        return {"usage_metadata": used, "response_metadata": said}

    def _resolve_model_profile(self) -> ModelProfile:
        return ModelProfile(
            max_input_tokens=self.model.context_window, tool_calling=False, structured_output=False
        )

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        said = super()._get_ls_params(stop=stop, **kwargs)
        said["ls_provider"] = "memos"
        said.setdefault("ls_model_name", self.model.name)
        return said

    @property
    def _llm_type(self) -> str:
        return "memos"
