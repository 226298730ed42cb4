"""Looping: the verbs by which a conversation becomes memory by itself; a `Session` has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from memos_core.clock import require_aware
from memos_core.content import Message
from memos_core.draft import check_name
from memos_core.errors import InvalidInputError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.interface.context import MemoryContext
from memos_core.interface.loop import Heard, Loop, Utterance
from memos_core.interface.pipeline import Plan, run
from memos_core.interface.reader import MemReader, RuleReader
from memos_core.operation.engine import Engine
from memos_core.operation.policies.admission import AdmissionPolicy

if TYPE_CHECKING:
    from memos_core.memory.runtime import LocalModel


@dataclass(frozen=True, slots=True)
class Turn:
    """What memory made of one turn of a conversation.

    Args:
        heard: What was remembered, recalled, corrected and forgotten.
        context: What is brought into the prompt of the answer.
    """

    heard: Heard
    context: MemoryContext


class Looping:
    """The verbs of the closed loop.

    Example:
        >>> from memos_core.testing import temporary_memos
        >>> with temporary_memos() as memos:
        ...     alice = memos.session("user:alice")
        ...     _ = alice.hear("Remember that the meeting is on Wednesday.")
        ...     _ = alice.hear("Actually it's Thursday, not Wednesday.")
        ...     alice.search("When is the meeting?")[0].text
        'the meeting is on Thursday'
    """

    _engine: Engine
    _actor: Actor
    if TYPE_CHECKING:
        context: Callable[..., MemoryContext]

    def hear(
        self,
        message: str | Message,
        *,
        speaker: str | None = None,
        said_at: datetime | None = None,
        message_id: str | None = None,
        reader: MemReader | None = None,
        policy: AdmissionPolicy | None = None,
    ) -> Heard:
        """Read what somebody said, and carry out what it wants of memory.

        Facts, preferences and events are kept if they are worth it; a correction takes the place of
        what it corrects; what is to be forgotten is forgotten, if it is clear what that is, and is
        one's own. Each is decided as the session's own verb would be.

        Args:
            message: What was said.
            speaker: Who said it; by default the principal.
            said_at: When; by default now. Relative times are relative to this.
            message_id: The message's own id, which memories of it bear.
            reader: What reads it; by default rules, without a model.
            policy: What is worth keeping.

        Returns:
            What became of each operation, and why.

        Raises:
            InvalidInputError: The message is no text or message, or the time is naive.
        """
        if not isinstance(message, str | Message):
            raise InvalidInputError(f"a message is text or a Message, not {message!r}")
        if speaker is not None:
            check_name(speaker, "speaker")
        now = self._engine.gate.vault.clock.now()
        at = now if said_at is None else require_aware(said_at, "said_at")
        name = speaker or (message.name if isinstance(message, Message) else None)
        own_id = message.id if isinstance(message, Message) else None
        loop = Loop(self._engine, self._actor, reader or RuleReader(), policy or AdmissionPolicy())
        return loop.hear(Utterance(message, at, name, message_id or own_id))

    def turn(
        self,
        message: str | Message,
        *,
        budget_tokens: int,
        model: LocalModel | None = None,
        reader: MemReader | None = None,
        policy: AdmissionPolicy | None = None,
    ) -> Turn:
        """Do all that memory does in one turn: hear the message, and recall for its answer.

        Args:
            message: What the user said.
            budget_tokens: What the recalled block may cost.
            model: The local model that answers, if one does.
            reader: What reads the message.
            policy: What is worth keeping.

        Raises:
            InvalidInputError: The message is empty, or the budget is no count.
        """
        if not isinstance(message, str | Message):
            raise InvalidInputError(f"a message is text or a Message, not {message!r}")
        text = message if isinstance(message, str) else message.text
        heard = self.hear(message, reader=reader, policy=policy)
        return Turn(heard, self.context(text, budget_tokens=budget_tokens, model=model))

    def run(self, plan: Plan) -> tuple[Any, ...]:
        """Carry out a plan of operations: all of it, or nothing.

        Args:
            plan: The steps, as values; `Plan.load` reads them from JSON.

        Returns:
            What each step returned, in order.

        Raises:
            InvalidInputError: A step is malformed.
            DeniedError: A step is not allowed; nothing was done.
        """
        return run(self, plan)  # type: ignore[arg-type]  # a session has the verbs that it needs
