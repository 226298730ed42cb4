"""ModelReader: a chat model reads what the rules do not see, and can do no harm.

Its answer is a stranger's text. What the rules find stands in any case, so that no answer loses
anything; what the model adds must stand in the message, and be borne out by its own words. Scope,
times and spans are never taken from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from importlib.resources import files
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from memos_core.content import Message, first_problem
from memos_core.interface.operations import MAX_OPERATIONS, MemoryType, Operation, Reading
from memos_core.interface.reader import MAX_READ, MemReader, RuleReader, operation_of
from memos_core.interface.rules.finding import Find
from memos_core.interface.rules.sentences import Sentence, sentences_of
from memos_core.interface.rules.support import place_of, supports
from memos_core.memory.fence import clean
from memos_core.models.chat import ChatModel, asked

MAX_ANSWER: Final = 200_000
"""Characters of an answer; a longer one is not read."""
_MOST_QUOTED: Final = 2_000
_MOST_TOLD: Final = 200

Text = Annotated[str, Field(max_length=2_000)]


class _Found(BaseModel):
    """One operation, as a model writes it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    op: Literal["remember", "recall", "correct", "forget"]
    target: Annotated[str, Field(min_length=1, max_length=2_000)]
    memory_type: MemoryType | None = None
    replaces: Text | None = None
    space: Text | None = None


class _Answer(BaseModel):
    """What a model is asked for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    operations: Annotated[list[_Found], Field(max_length=100)]


class ModelReader:
    """Asks a chat model, and has the rules to stand on.

    Args:
        chat: The model. It sees the message.
        fallback: What reads beside it, and alone where its answer cannot be used; the rules by
            default.

    Example:
        >>> from datetime import UTC
        >>> class Silent:
        ...     def chat(self, messages, *, schema=None):
        ...         return "I would rather talk about the weather."
        >>> now = datetime(2026, 3, 11, tzinfo=UTC)
        >>> reading = ModelReader(Silent()).read("Remember that I like tea.", said_at=now)
        >>> [each.target for each in reading.operations], len(reading.notes)
        (['I like tea'], 1)
    """

    def __init__(self, chat: ChatModel, *, fallback: MemReader | None = None) -> None:
        self._chat = chat
        self._fallback = fallback or RuleReader()

    def read(
        self, message: str | Message, *, said_at: datetime, message_id: str | None = None
    ) -> Reading:
        """Read a message; see `MemReader.read`.

        Whatever the model answers, or raises, is told in the notes.
        """
        ruled = self._fallback.read(message, said_at=said_at, message_id=message_id)
        given = Message(role="user", parts=message) if isinstance(message, str) else message
        text = given.model_copy(update={"tool_calls": ()}).text[:MAX_READ]
        if given.role != "user" or not text.strip():
            return ruled
        answer, problem = self._answered(text)
        if answer is None:
            notes = (
                *ruled.notes,
                f"the model's answer was not used, the rules read alone: {problem}",
            )
            return Reading(operations=ruled.operations, notes=notes)
        source = message_id if message_id is not None else given.id
        notes_of: list[str] = []
        added = [
            operation_of(each, text, said_at, source)
            for each in _checked(answer, text, ruled.operations, notes_of)
        ]
        both = sorted([*ruled.operations, *added], key=lambda each: each.source.start)
        return Reading(operations=tuple(both[:MAX_OPERATIONS]), notes=(*ruled.notes, *notes_of))

    def _answered(self, text: str) -> tuple[_Answer | None, str]:
        """Ask, and ask once more where the answer is malformed."""
        schema: dict[str, Any] = _Answer.model_json_schema()
        told = _prompt("read.txt", schema=json.dumps(schema), message=json.dumps(clean(text)))
        talk, problem = asked(told), ""
        for _ in range(2):
            try:
                said: object = self._chat.chat(talk, schema=schema)
            except Exception as error:  # noqa: BLE001 - whatever is raised, nothing is lost
                return None, f"it raised {type(error).__name__}"
            try:
                return _parsed(said), ""
            except (ValueError, RecursionError) as error:
                problem = _told(error)
            quoted = clean(said[:_MOST_QUOTED]) if isinstance(said, str) else ""
            again = Message(role="user", parts=_prompt("again.txt", problem=problem))
            talk = [talk[0], Message(role="assistant", parts=quoted or "-"), again]
        return None, problem


def _prompt(name: str, **words: str) -> str:
    """Fill a prompt in; what is filled in is not looked at again."""
    text = files("memos_core.interface.prompts").joinpath(name).read_text("utf-8")
    parts = text.split("{")
    filled = [parts[0]]
    for part in parts[1:]:
        key, brace, rest = part.partition("}")
        filled.append(words[key] + rest if brace and key in words else "{" + part)
    return "".join(filled)


def _parsed(said: object) -> _Answer:
    """Read an answer.

    Raises:
        ValueError: It is not the JSON that was asked for.
        RecursionError: It is nested too deeply.
    """
    if not isinstance(said, str):
        raise ValueError("it is no text")
    if len(said) > MAX_ANSWER:
        raise ValueError(f"it is longer than {MAX_ANSWER:,} characters")
    bare = said.strip().removeprefix("```json").removeprefix("```").removesuffix("```")
    return _Answer.model_validate(json.loads(bare, object_pairs_hook=_once, parse_constant=_never))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _never(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _told(error: ValueError | RecursionError) -> str:
    if isinstance(error, ValidationError):
        return clean(first_problem(error))[:_MOST_TOLD]
    if isinstance(error, json.JSONDecodeError):
        return f"it is no JSON: {error.msg} at character {error.pos}"
    return (
        "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:_MOST_TOLD]
    )


def _checked(
    answer: _Answer, text: str, known: Sequence[Operation], notes: list[str]
) -> Iterator[Find]:
    """Let through what the message bears out and the rules did not find; say what was dropped."""
    sentences = sentences_of(text)
    taken = [(each.source.start, each.source.end) for each in known]
    for each in answer.operations:
        if each.space is not None:
            notes.append("a space that the model named was dropped: the scope is the session's")
        place = place_of(each.target, text)
        sentence = place and _sentence_at(sentences, *place)
        if not place or not sentence:
            notes.append(f"dropped a {each.op}: its target does not stand in one sentence there")
            continue
        if any(place[0] < end and start < place[1] for start, end in taken):
            continue  # the rules have it, or something else of these words
        within = (place[0] - sentence.start, place[1] - sentence.start)
        others = [op for op in known if _in(sentence, op)]
        # Whoever asks to forget wants no more to be kept.
        others += [op for op in known if each.op == "remember" and op.op == "forget"]
        if others or not supports(each.op, sentence, *within):
            notes.append(f"dropped a {each.op}: the message's own words do not ask for it")
            continue
        replaces = each.replaces if each.replaces and place_of(each.replaces, text) else None
        taken.append(place)
        yield Find(
            each.op,
            *place,
            explicit=False,
            memory_type=each.memory_type,
            replaces=replaces,
            why="read by a model",
        )


def _sentence_at(sentences: Sequence[Sentence], start: int, end: int) -> Sentence | None:
    for each in sentences:
        if each.start <= start and end <= each.start + len(each.text):
            return each
    return None


def _in(sentence: Sentence, known: Operation) -> bool:
    """Whether the rules found something asked for in a sentence: then it is read."""
    implicit = known.op == "remember" and not known.explicit
    inside = sentence.start <= known.source.start < sentence.start + len(sentence.text)
    return inside and not implicit
