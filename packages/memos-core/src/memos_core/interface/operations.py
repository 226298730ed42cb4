"""What somebody wants of memory: to remember, recall, correct or forget. Values, not deeds.

A reader finds them in a message; whoever carries them out decides under the session's rights.
Each names its target, and the `Span` of the message that it was read from. They are dumped to JSON
and loaded again unchanged; a field that they do not know is refused.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

MAX_TARGET: Final = 20_000
"""Characters of a target, and of a message's id."""
MAX_OPERATIONS: Final = 500
"""Operations that one message may ask for."""

MemoryType = Literal[
    "fact", "preference", "event", "entity", "triple", "tool_trace", "prompt_template"
]
MEMORY_TYPES: Final[tuple[MemoryType, ...]] = (
    "fact", "preference", "event", "entity", "triple", "tool_trace", "prompt_template"
)  # fmt: skip


def _fixed(when: datetime) -> datetime:
    """Write an instant with a plain offset: rules of a time zone would not outlive JSON."""
    offset = when.utcoffset() or timedelta()
    whole = offset.total_seconds() % 60 == 0 and abs(offset) < timedelta(days=1)
    return when.astimezone(timezone(offset) if offset and whole else UTC)


Instant = Annotated[AwareDatetime, AfterValidator(_fixed)]
Words = Annotated[str, Field(min_length=1, max_length=MAX_TARGET)]


class _Value(BaseModel):
    """A frozen value that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Window(_Value):
    """A stretch of time: from `start` (inclusive) to `end` (exclusive); None is open.

    Raises:
        ValidationError: A bound is naive, or `end` is not after `start`.

    Example:
        >>> Window(start="2026-03-02T00:00:00Z", end="2026-03-09T00:00:00Z").end.day
        9
    """

    start: Instant | None = None
    end: Instant | None = None

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> Self:
        if self.start and self.end and self.end <= self.start:
            raise ValueError("a window's end must be after its start")
        return self

    def holds(self, when: datetime) -> bool:
        """Say whether an aware instant lies in it."""
        after = self.start is None or self.start <= when
        return after and (self.end is None or when < self.end)


class Span(_Value):
    """Where in a message something was read: its text from `start` to before `end`.

    Args:
        message_id: The message's id, where it has one.
        start: The first character, counted from 0 in `Message.text`.
        end: The character after the last.
    """

    message_id: Annotated[str, Field(max_length=MAX_TARGET)] | None = None
    start: int = Field(ge=0)
    end: int = Field(ge=0)

    @model_validator(mode="after")
    def _is_not_backward(self) -> Self:
        if self.end < self.start:
            raise ValueError("a span's end must not be before its start")
        return self


class Triple(_Value):
    """A statement as subject, relation and object.

    Example:
        >>> Triple(subject="Anna", relation="works at", object="the mill").object
        'the mill'
    """

    subject: Words
    relation: Words
    object: Words


class _Asked(_Value):
    """What all operations say.

    Args:
        target: What it is about, in the words of the message.
        memory_type: The type of memory; None is any.
        space: The scope; None is the session's own. It can only narrow.
        window: The time that it is about; None is any.
        source: Where in the message the target stands.
    """

    target: Words
    memory_type: MemoryType | None = None
    space: Annotated[str, Field(max_length=MAX_TARGET)] | None = None
    window: Window | None = None
    source: Span


class Remember(_Asked):
    """Keep something.

    Args:
        explicit: Whether it was asked for, or merely said.
        occurred_at: When it happens or happened, as far as that was said.
        entities: The names in it.
        triple: What it states, where its form is plain.
        importance: From 0 to 1.
        why: What the importance rests on.

    Example:
        >>> found = Remember(target="I like tea", source=Span(start=14, end=24), explicit=True)
        >>> Remember.model_validate_json(found.model_dump_json()) == found
        True
    """

    op: Literal["remember"] = "remember"
    explicit: bool = False
    occurred_at: Instant | None = None
    entities: Annotated[tuple[Words, ...], Field(max_length=100)] = ()
    triple: Triple | None = None
    importance: float = Field(default=0.5, ge=0, le=1)
    why: str = Field(default="", max_length=1_000)


class Recall(_Asked):
    """Look something up; the target is what is asked about."""

    op: Literal["recall"] = "recall"


class Correct(_Asked):
    """Put something right; the target is the statement as it should be.

    Args:
        replaces: What it is said to be instead of, as far as that was said.
    """

    op: Literal["correct"] = "correct"
    replaces: Words | None = None


class Forget(_Asked):
    """Forget something; the target is what is to go."""

    op: Literal["forget"] = "forget"


Operation = Annotated[Remember | Recall | Correct | Forget, Field(discriminator="op")]


class Reading(_Value):
    """What a reader found in one message.

    Args:
        operations: In the order in which they stand in the message.
        notes: What was dropped or could not be read, and why.

    Example:
        >>> Reading.model_validate_json(Reading(notes=("nothing",)).model_dump_json()).notes
        ('nothing',)
    """

    operations: Annotated[tuple[Operation, ...], Field(max_length=MAX_OPERATIONS)] = ()
    notes: tuple[str, ...] = ()
