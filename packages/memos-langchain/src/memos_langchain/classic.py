"""MemosMemory: recall and a conversation's buffer behind LangChain's classic memory interface."""

from __future__ import annotations

from typing import Any

from langchain_classic.base_memory import BaseMemory
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import ConfigDict, Field

from memos_core import ContextOptions, InvalidInputError, SessionSource, resolve_session
from memos_langchain.history import MemosChatMessageHistory


class MemosMemory(BaseMemory):
    """Classic memory for whoever acts: recalled memories as one variable of the prompt.

    Args:
        session: A session, the open vault in which somebody is `acting`, or a callable (given the
            chain's inputs) to a session. Unset refuses.
        thread: Names the conversation that turns are written to.
        memory_key: The prompt's variable.
        input_key: Which of the chain's inputs is the question; needed where there are several.
        budget_tokens: What the recalled block may cost.
        options: How memories are chosen; see `ContextOptions`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    session: SessionSource | None = Field(default=None, exclude=True, repr=False)
    thread: str = "default"
    memory_key: str = "memory"
    input_key: str | None = None
    budget_tokens: int = 1_000
    options: ContextOptions | None = Field(default=None, exclude=True, repr=False)

    @property
    def memory_variables(self) -> list[str]:
        """The variable that this memory fills."""
        return [self.memory_key]

    def load_memory_variables(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Recall for the chain's question."""
        session = resolve_session(self.session, inputs)
        question = self._question(inputs)
        if not question.strip():
            return {self.memory_key: ""}
        found = session.context(question, budget_tokens=self.budget_tokens, options=self.options)
        return {self.memory_key: found.text}

    def save_context(self, inputs: dict[str, Any], outputs: dict[str, str]) -> None:
        """Write a turn: the question and the answer."""
        answer = next(iter(outputs.values()), "")
        messages = [HumanMessage(self._question(inputs)), AIMessage(str(answer))]
        self._history(inputs).add_messages(messages)

    def clear(self) -> None:
        """Forget this conversation's messages; what else the vault holds stays."""
        self._history({}).clear()

    def _history(self, inputs: dict[str, Any]) -> MemosChatMessageHistory:
        return MemosChatMessageHistory(resolve_session(self.session, inputs), self.thread)

    def _question(self, inputs: dict[str, Any]) -> str:
        names = [self.input_key] if self.input_key else [n for n in inputs if n != self.memory_key]
        if len(names) != 1 or names[0] not in inputs:
            raise InvalidInputError(f"which input is the question? Set input_key to one of {names}")
        return str(inputs[names[0]])
