"""MemosMiddleware: recall before each model call, inject per call, write back after the run.

What is recalled goes into the request to the model and nowhere else: never into the agent's state,
which is checkpointed, so what the vault forgets is gone from the very next call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from anyio.to_thread import run_sync
from langchain.agents.middleware.types import (
    AgentMiddleware,
    AgentState,
    ModelRequest,
    ModelResponse,
)
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.runtime import Runtime

from memos_core import (
    ContextOptions,
    MemoryContext,
    Session,
    SessionSource,
    message_draft,
    resolve_session,
)
from memos_langchain.messages import SOURCE, to_message


class MemosMiddleware(AgentMiddleware[AgentState[Any], Any, Any]):
    """Gives an agent the memory of whoever acts in the request.

    Args:
        session: A session, the open vault in which somebody is `acting`, or a callable from the
            request's `Runtime` (its `context` above all) to a session. Unset refuses.
        budget_tokens: What the recalled block may cost in a prompt.
        k: The most memories to consider.
        options: How they are chosen; see `ContextOptions`.
        remember: Whether to write what was said in this run to the session's space.
    """

    def __init__(
        self,
        session: SessionSource | None,
        *,
        budget_tokens: int = 1_000,
        k: int = 20,
        options: ContextOptions | None = None,
        remember: bool = True,
    ) -> None:
        super().__init__()
        self._source = session
        self._budget_tokens = budget_tokens
        self._k = k
        self._options = options
        self._remember = remember

    def before_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> None:  # noqa: ARG002
        """Refuse the run at once where nobody is named for it."""
        resolve_session(self._source, runtime)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Recall for the last question, and put it into this one call."""
        return handler(self._with_memory(request))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """Do the same, awaited."""
        return await handler(await run_sync(self._with_memory, request))

    def after_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> None:
        """Write what was said in this run."""
        if self._remember:
            _write(resolve_session(self._source, runtime), state["messages"])

    async def aafter_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> None:
        """Do the same, awaited."""
        if self._remember:
            session = resolve_session(self._source, runtime)
            await run_sync(_write, session, state["messages"])

    def _with_memory(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        session = resolve_session(self._source, request.runtime)
        place = _last_question(request.messages)
        if place is None:
            return request
        question = str(request.messages[place].text)
        if not question.strip():
            return request
        found: MemoryContext = session.context(
            question, budget_tokens=self._budget_tokens, k=self._k, options=self._options
        )
        if not found.text:
            return request
        block = HumanMessage(found.text, name="memory")
        return request.override(
            messages=[*request.messages[:place], block, *request.messages[place:]]
        )


def _last_question(messages: Sequence[BaseMessage]) -> int | None:
    return next(
        (n for n in range(len(messages) - 1, -1, -1) if isinstance(messages[n], HumanMessage)), None
    )


def _write(session: Session, messages: Sequence[BaseMessage]) -> None:
    """Record the turn's question and answers; a run that is done again records nothing twice."""
    start = _last_question(messages) or 0
    said = [
        each
        for each in messages[start:]
        if isinstance(each, HumanMessage | AIMessage) and str(each.text).strip()
    ]
    drafts = [
        message_draft(
            to_message(each), source=SOURCE, key=f"langchain/{each.id}" if each.id else None
        )
        for each in said
    ]
    session.add_many(drafts, on_key="skip")
