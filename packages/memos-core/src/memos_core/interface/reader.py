"""MemReader: turns what somebody says into operations on memory.

`RuleReader` needs no model. It reads English, sentence by sentence: the rules of `interface.rules`
say what may be read, fitted weights which of that; `ModelReader` asks a chat model, and has these
rules to fall back on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, Protocol

from memos_core.clock import require_aware
from memos_core.content import Message
from memos_core.interface.operations import (
    MAX_OPERATIONS,
    MAX_TARGET,
    Correct,
    Forget,
    MemoryType,
    Operation,
    Reading,
    Recall,
    Remember,
    Span,
    Window,
)
from memos_core.interface.rules.asking import asked_for, pointing_back, wanted
from memos_core.interface.rules.features import Token, tokens_of
from memos_core.interface.rules.finding import Find
from memos_core.interface.rules.kinds import kind_of
from memos_core.interface.rules.names import names_of, triple_of
from memos_core.interface.rules.sentences import MAX_SENTENCE, Sentence, plain_of, sentences_of
from memos_core.interface.rules.times import window_of
from memos_core.interface.rules.traces import said_before_calls, template_in, traces_of
from memos_core.interface.rules.trimming import target_of
from memos_core.interface.rules.weighing import VERBS, Heaviest, heaviest

IN_PASSING: Final = "said in passing"
MAX_READ: Final = 100_000
"""Characters of a message that are read; of what is longer, a note says so."""
_IMPORTANCE: Final[dict[MemoryType, float]] = {
    "fact": 0.5, "preference": 0.6, "event": 0.5, "entity": 0.5, "triple": 0.5,
    "tool_trace": 0.3, "prompt_template": 0.6,
}  # fmt: skip


class MemReader(Protocol):
    """What reads operations out of a message."""

    def read(
        self, message: str | Message, *, said_at: datetime, message_id: str | None = None
    ) -> Reading:
        """Read a message.

        Args:
            message: What somebody said.
            said_at: When; aware. Times in words are relative to it, in its time zone.
            message_id: Its id, for the sources; by default the message's own.

        Raises:
            InvalidInputError: `said_at` is naive.
        """
        ...


class RuleReader:
    """Reads English by rules; needs no model, and is the same every time.

    Example:
        >>> from datetime import UTC
        >>> now = datetime(2026, 3, 11, tzinfo=UTC)
        >>> for said in ("Remember that I like tea.", "Forget what I said about Anna."):
        ...     [found] = RuleReader().read(said, said_at=now).operations
        ...     print(found.op, "|", found.target, "|", found.memory_type)
        remember | I like tea | preference
        forget | Anna | entity
    """

    def read(
        self, message: str | Message, *, said_at: datetime, message_id: str | None = None
    ) -> Reading:
        """Read a message; see `MemReader.read`."""
        require_aware(said_at, "said_at")
        given = Message(role="user", parts=message) if isinstance(message, str) else message
        text, notes = given.text, []
        source = message_id if message_id is not None else given.id
        if len(text) > MAX_READ:
            notes.append(f"only the first {MAX_READ:,} characters of the message were read")
        said = text[: min(MAX_READ, said_before_calls(given))]
        finds: list[Find] = []
        if given.role in ("user", "assistant"):
            finds += _finds(said, by_user=given.role == "user")
        finds += traces_of(given)
        kept = [each for each in finds if each.end - each.start <= MAX_TARGET]
        if len(kept) < len(finds) or len(kept) > MAX_OPERATIONS:
            notes.append("what was too long, or too much for one message, was left out")
        made = tuple(operation_of(each, text, said_at, source) for each in kept[:MAX_OPERATIONS])
        return Reading(operations=made, notes=tuple(notes))


def _finds(text: str, *, by_user: bool) -> list[Find]:
    """Find what a text asks for, and what it says in passing."""
    sentences = [_shortened(each) for each in sentences_of(text)]
    tokens: list[list[Token]] = [[], *(tokens_of(each.plain, each.text) for each in sentences), []]
    finds: list[Find] = []
    for number, sentence in enumerate(sentences):
        if pointing_back(sentence):
            continue
        earlier = sentences[number - 1] if number else None
        asked = any(map(pointing_back, sentences[number + 1 : number + 2]))
        verbs, nothing = wanted(sentence, earlier.plain if earlier else "")
        if not by_user or asked:
            verbs, nothing = frozenset(VERBS[:1]), not (by_user and asked)
        before, here, after = tokens[number : number + 3]
        best = heaviest(here, before, after, verbs, nothing=nothing)
        made = best and _found(best, sentence, here)
        if made and made.verb == "remember":
            start, end = made.start - sentence.start, made.end - sentence.start
            asked = asked or asked_for(sentence, start, end)
            asked = by_user and (asked or (earlier is not None and asked_for(earlier, 0, 0)))
            made = replace(made, explicit=asked, why="" if asked else IN_PASSING)
        if made:
            finds.append(made)
    return list(_settled(finds))


def _found(best: Heaviest, sentence: Sentence, tokens: Sequence[Token]) -> Find | None:
    """Make a finding of a reading; what is quoted is only ever kept."""
    said = tokens[best.first : best.last + 1]
    if best.verb != "remember" and all(each.kind == "<q>" for each in said):
        return None
    return target_of(best.verb, sentence, said[0].start, said[-1].end)


def _shortened(sentence: Sentence) -> Sentence:
    """Cut an endless sentence: rules look at its beginning only, and take its end as it comes."""
    if len(sentence.text) <= MAX_SENTENCE:
        return sentence
    return Sentence(
        sentence.start,
        sentence.text[:MAX_SENTENCE],
        sentence.plain[:MAX_SENTENCE],
        sentence.bare[:MAX_SENTENCE],
    )


def _settled(finds: list[Find]) -> Iterator[Find]:
    """Drop what is said beside a wish to forget: whoever asks for that wants no more to be kept."""
    forgets = any(each.verb == "forget" for each in finds)
    for each in finds:
        if not (forgets and each.why == IN_PASSING):
            yield each


def operation_of(found: Find, text: str, said_at: datetime, message_id: str | None) -> Operation:
    """Make an operation of a finding: with its type, its time, and who and what is in it."""
    target = text[found.start : found.end]
    start = max(text.rfind("\n", 0, found.start), found.start - MAX_SENTENCE, -1) + 1
    around = plain_of(_around(text, start, found))
    window, at = _times(found, around, plain_of(target), said_at)
    asked = found.verb == "recall"
    kind = found.memory_type or _kind(target, around, asked=asked, timed=window is not None)
    source = Span(message_id=message_id, start=found.start, end=found.end)
    if found.verb == "recall":
        return Recall(target=target, memory_type=kind, window=window, source=source)
    if found.verb == "forget":
        return Forget(target=target, memory_type=kind, window=window, source=source)
    if found.verb == "correct":
        return Correct(
            target=target, memory_type=kind, window=window, source=source, replaces=found.replaces
        )
    return _kept(found, target, kind, (window, at), source)


def _kind(target: str, around: str, *, asked: bool, timed: bool) -> MemoryType:
    if template_in(target):
        return "prompt_template"
    if names_of(target) == (target,) and not timed:
        return "entity"
    return kind_of(plain_of(target), around, asked=asked, timed=timed)


def _times(
    found: Find, around: str, target: str, said_at: datetime
) -> tuple[Window | None, datetime | None]:
    if found.memory_type == "tool_trace":
        return None, None
    if found.verb in ("remember", "correct"):
        return window_of(target, said_at)
    return window_of(around, said_at)


def _kept(
    found: Find,
    target: str,
    kind: MemoryType,
    when: tuple[Window | None, datetime | None],
    source: Span,
) -> Remember:
    """Make what is to be kept."""
    trace = kind == "tool_trace"
    weight = _IMPORTANCE[kind] + (0.3 if found.explicit else 0.0)
    reason = found.why or ("it was asked for" if found.explicit else IN_PASSING)
    return Remember(
        target=target,
        memory_type=kind,
        window=when[0],
        occurred_at=when[1],
        source=source,
        explicit=found.explicit,
        entities=() if trace else names_of(target),
        triple=None if trace or kind == "prompt_template" else triple_of(target),
        importance=round(min(1.0, weight), 2),
        why=f"{reason}: {kind.replace('_', ' ')}",
    )


def _around(text: str, start: int, found: Find) -> str:
    """Return the sentences about a finding, for the times and words that stand beside it."""
    end = text.find("\n", found.end)
    return text[start : min(len(text) if end < 0 else end, found.end + MAX_SENTENCE)]
