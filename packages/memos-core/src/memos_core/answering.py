"""Answering: a local model that is given a session's memory each time it is asked.

The framework packages put their own interfaces around this. Whoever acts is found for each request;
what the session may not use is refused, before and while the model writes.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread

from memos_core.content import Message
from memos_core.errors import InvalidInputError
from memos_core.identity import SessionSource, resolve_session
from memos_core.interface.context import MemoryContext
from memos_core.session import Session, check_budget

if TYPE_CHECKING:
    from memos_core.memory.generation import Generation
    from memos_core.memory.prompts import Prompt
    from memos_core.memory.runtime import LocalModel

_NEXT_LINE: Final = "\n    "
_USERS_TURN: Final = "\nuser:"
_ENDLESS: Final = 10**9
"""Tokenizers that know no limit name one above this."""


class Answer:
    """An answer while a model writes it: its pieces, in a plain or an awaited loop.

    One loop reads it. Whoever leaves it early closes it, and the model stops at its next word.

    Args:
        pieces: Yields the pieces, and returns the whole answer.
        cancelled: Once it is set, the model stops, also while a piece is waited for.
    """

    def __init__(
        self, pieces: Generator[str, None, Generation | None], cancelled: threading.Event
    ) -> None:
        self._pieces = pieces
        self._cancelled = cancelled
        self._turn = threading.Lock()
        self._generation: Generation | None = None

    @property
    def generation(self) -> Generation:
        """The whole answer and its figures, once it is complete.

        Raises:
            InvalidInputError: It is not.
        """
        if self._generation is None:
            raise InvalidInputError("the answer is not complete: read all of its pieces first")
        return self._generation

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        with self._turn:
            try:
                return next(self._pieces)
            except StopIteration as end:
                self._generation = end.value or self._generation
                raise

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        piece = await anyio.to_thread.run_sync(next, self, None)
        if piece is None:
            raise StopAsyncIteration
        return piece

    def close(self) -> None:
        """Stop the model, if it is still writing; from any thread."""
        self._cancelled.set()
        with self._turn:
            self._pieces.close()

    async def aclose(self) -> None:
        """Do the same, awaited; also by a task that is being cancelled."""
        self._cancelled.set()  # at once: every worker thread may be waiting for the model
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.close)

    async def finished(self) -> Generation:
        """Wait for the whole answer; where the waiting is cancelled, the model stops.

        Raises:
            NotFoundError: The memory may not be used any more; nothing was released.
        """
        try:
            async for _piece in self:
                pass
        finally:
            await self.aclose()
        return self.generation


class RememberingModel:
    """A local model that answers with the memory of whoever acts in the request.

    What is recalled for the user's last message is given to the model for this one answer, in every
    kind that the session has for this model. Where nothing is recalled, it simply answers.

    Args:
        model: What writes.
        session: A session, the open vault in which somebody is `acting`, or a callable from what
            comes along with the request to a session. Unset refuses.
        budget_tokens: What the recalled block may cost in a prompt. It gets less where the
            conversation leaves less room: memories are left out whole, never cut.
        k: The most memories to consider.
        recall: Whether to recall at all; where not, nobody needs to be named.
        context_window: How many tokens the model can hold; as its configuration says, if not given.

    Raises:
        InvalidInputError: A count is none, or the model's configuration does not tell its window.

    Example:
        >>> from memos_core.testing import temporary_memos
        >>> from memos_core.testing.models import random_model
        >>> asked = [Message(role="user", parts="w1 w2")]
        >>> with temporary_memos() as memos:
        ...     alice = memos.session("user:alice")
        ...     model = RememberingModel(random_model("llama"), alice)
        ...     before = model.answer(asked, max_new_tokens=4)
        ...     _ = alice.add("w1 w2 w3")
        ...     after = model.answer(asked, max_new_tokens=4)
        >>> after.prompt_tokens > before.prompt_tokens, after.text == before.text
        (True, False)
    """

    def __init__(
        self,
        model: LocalModel,
        session: SessionSource | None,
        *,
        budget_tokens: int = 1_024,
        k: int = 20,
        recall: bool = True,
        context_window: int | None = None,
    ) -> None:
        check_budget(budget_tokens)
        self.model = model
        self.context_window = context_window or _window_of(model)
        self._source = session
        self._budget_tokens = budget_tokens
        self._k = k
        self._recall = recall

    @property
    def name(self) -> str:
        """The model's family, such as `llama`; never a path."""
        return str(self.model.model.config.model_type)

    def as_session(self, session: Session | None) -> RememberingModel:
        """Return the same model for a request whose session is found already.

        Args:
            session: What `who` returned.
        """
        other = copy(self)
        other._source = session
        return other

    def who(self, request: Any = None) -> Session | None:
        """Return who acts in a request; nobody where nothing is recalled.

        Args:
            request: What the framework passes along with it; given to the callable.

        Raises:
            DeniedError: Nobody is named.
        """
        return resolve_session(self._source, request) if self._recall else None

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Count what a conversation costs this model, without memory."""
        return len(self.model.tokens(self._prompt(messages))) if messages else 0

    def answer(
        self,
        messages: Sequence[Message],
        *,
        request: Any = None,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
    ) -> Generation:
        """Answer a conversation.

        Args:
            messages: The conversation. Where the tokenizer has no chat template, it is written as
                text: one turn a line, `user: …`, what runs over several lines indented, and at the
                end `assistant:`; the answer then ends where the model begins a user's turn.
            request: What the framework passes along with the request, for the session's callable.
            max_new_tokens: The most tokens of the answer.
            temperature: 0 takes the likeliest token each time.
            seed: For answers with a temperature that can be repeated.
            stop: Texts before which the answer ends.

        Raises:
            DeniedError: Nobody is named for this request.
            NotFoundError: A memory may not be used any more; nothing was released.
            InvalidInputError: The conversation is empty, or too long for the model.
        """
        prompt = self._prompt(messages)
        memory = self._memory(self.who(request), messages, prompt, max_new_tokens)
        return self.model.generate(
            prompt,
            memory=memory,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=seed,
            stop=self._stops(stop),
        )

    def stream(
        self,
        messages: Sequence[Message],
        *,
        request: Any = None,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
    ) -> Answer:
        """Answer a conversation, piece by piece.

        Who acts is found at once, in the caller's own context; all else begins with the first
        piece. Before each piece it is asked again whether the memory may still be used.

        Args:
            messages: As for `answer`.
            request: As for `answer`.
            max_new_tokens: The most tokens of the answer.
            temperature: 0 takes the likeliest token each time.
            seed: For answers with a temperature that can be repeated.
            stop: Texts before which the answer ends.

        Raises:
            DeniedError: Nobody is named for this request.
        """
        session = self.who(request)
        cancelled = threading.Event()

        def pieces() -> Generator[str, None, Generation | None]:
            prompt = self._prompt(messages)
            memory = self._memory(session, messages, prompt, max_new_tokens)
            return (
                yield from self.model.stream(
                    prompt,
                    memory=memory,
                    max_new_tokens=max_new_tokens,
                    temperature=temperature,
                    seed=seed,
                    stop=self._stops(stop),
                    cancelled=cancelled,
                )
            )

        return Answer(pieces(), cancelled)

    def _prompt(self, messages: Sequence[Message]) -> Prompt:
        if not messages:
            raise InvalidInputError("the conversation is empty: say something")
        return list(messages) if self.model.prompts.has_template else _written(messages)

    def _stops(self, stop: Sequence[str]) -> tuple[str, ...]:
        return tuple(stop) if self.model.prompts.has_template else (*stop, _USERS_TURN)

    def _memory(
        self,
        session: Session | None,
        messages: Sequence[Message],
        prompt: Prompt,
        max_new_tokens: int,
    ) -> MemoryContext | None:
        """Recall for the user's last message, as much as fits beside conversation and answer."""
        bare = len(self.model.tokens(prompt))
        room = self.context_window - bare - max_new_tokens
        if room < 0:
            raise InvalidInputError(
                f"the conversation has {bare:,} tokens, its answer up to {max_new_tokens:,}, and "
                f"the model holds {self.context_window:,}: leave out turns, or ask for a shorter "
                "answer"
            )
        query = next((each.text for each in reversed(messages) if each.role == "user"), "")
        if session is None or not query.strip():
            return None
        budget = self._budget_tokens
        while True:
            found = session.context(query, budget_tokens=budget, k=self._k, model=self.model)
            cost = len(self.model.prompts.with_memory(found.text, prompt)) - bare
            if cost <= room:
                return found
            # The vault counts otherwise than this model's tokenizer; each time the block shrinks.
            budget = min(budget, found.tokens) * room // cost


def _written(messages: Sequence[Message]) -> str:
    """Write a conversation as text, so that no turn can pass for another."""
    lines = [f"{each.role}: {_NEXT_LINE.join(each.text.splitlines())}" for each in messages]
    return "\n".join([*lines, "assistant:"])


def _window_of(model: LocalModel) -> int:
    """Return how many tokens a model can hold."""
    config: Any = model.model.config
    told = getattr(config.get_text_config(), "max_position_embeddings", None)
    found = int(told or model.tokenizer.model_max_length)
    if not 0 < found < _ENDLESS:
        raise InvalidInputError(
            f"a {config.model_type} model does not say how many tokens it can hold: pass "
            "context_window"
        )
    return found
