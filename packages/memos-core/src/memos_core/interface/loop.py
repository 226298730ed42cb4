"""The closed loop: what somebody says is read, carried out under rights, and told of.

Each operation that a reader finds is one of the session's own verbs, decided as if it had been
called. What cannot be done is told with its reason, and does not keep the rest from being done.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from pydantic import JsonValue

from memos_core.content import Message, TextPart
from memos_core.cube import CubeId, MemCube, Source
from memos_core.draft import Draft
from memos_core.errors import ConflictError, DeniedError, InvalidInputError, NotFoundError
from memos_core.filters import Filter, parse_filter
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.index.analysis import Analyzer
from memos_core.interface.operations import (
    Correct,
    Forget,
    Operation,
    Recall,
    Remember,
    Window,
)
from memos_core.interface.reader import MemReader
from memos_core.memory.correcting import corrected, is_bare
from memos_core.memory.fence import without_blocks
from memos_core.operation.engine import Engine
from memos_core.operation.organizing.relating import Near, Said
from memos_core.operation.policies.admission import Admission, AdmissionPolicy, Arrival, admit
from memos_core.operation.retrieval.eligibility import Scope
from memos_core.operation.retrieval.options import SearchOptions
from memos_core.operation.retrieval.recall import Question
from memos_core.results import Hit, Hits

Action = Literal[
    "remembered", "not kept", "recalled", "corrected", "forgotten", "unsure", "nothing", "refused"
]
ORIGIN: Final = "conversation"
MOST_FORGOTTEN: Final = 50
_RECALLED: Final = 10
_NEAR: Final = 20
_LONG: Final = 12
"""Words from which on a text can be recognised as one that was recalled."""
_SECRET: Final = "SECRET"  # noqa: S105 - the name of a type of span
_DENIED: Final = (DeniedError, NotFoundError, ConflictError, InvalidInputError)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one operation.

    Args:
        operation: What was wanted.
        action: What was done.
        why: Why, in words.
        cubes: The memories that it is about: what was written, corrected or forgotten; what makes
            it needless; or, where it is unsure, what may be meant.
        hits: What was recalled.
    """

    operation: Operation
    action: Action
    why: str
    cubes: tuple[CubeId, ...] = ()
    hits: Hits | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of a message.

    Args:
        outcomes: One for each operation that was found in it, in order.
        notes: What the reader dropped or could not read, and why.
    """

    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()

    @property
    def remembered(self) -> tuple[CubeId, ...]:
        """The memories that were written."""
        kept = [each for each in self.outcomes if each.action in ("remembered", "corrected")]
        return tuple(each.cubes[0] for each in kept)

    @property
    def unsure(self) -> tuple[Outcome, ...]:
        """What somebody should be asked about: nothing was done."""
        return tuple(each for each in self.outcomes if each.action == "unsure")


@dataclass(frozen=True, slots=True)
class Utterance:
    """A message with what is known of it.

    Args:
        message: What was said.
        at: When; aware.
        speaker: Who said it.
        message_id: The message's id where it came from.
    """

    message: str | Message
    at: datetime
    speaker: str | None = None
    message_id: str | None = None


class Loop:
    """Carries out what is said.

    Args:
        engine: The operators of the vault.
        actor: Under whose rights.
        reader: Finds operations.
        policy: What is worth keeping.
    """

    def __init__(
        self,
        engine: Engine,
        actor: Actor,
        reader: MemReader,
        policy: AdmissionPolicy,
    ) -> None:
        self._engine = engine
        self._actor = actor
        self._reader = reader
        self._policy = policy
        self._stems = Analyzer()

    def hear(self, said: Utterance) -> Heard:
        """Read a message and carry out what it wants of memory."""
        message = _without_recalled(said.message)
        text = message if isinstance(message, str) else message.text
        if not text.strip():
            return Heard((), ("nothing was said but what was recalled",))
        read = self._reader.read(message, said_at=said.at, message_id=said.message_id)
        return Heard(tuple(self._carried_out(each, said) for each in read.operations), read.notes)

    def _carried_out(self, wanted: Operation, said: Utterance) -> Outcome:
        verbs: dict[str, Callable[..., Outcome]] = {
            "remember": self._remember,
            "recall": self._recall,
            "correct": self._correct,
            "forget": self._forget,
        }
        try:
            return verbs[wanted.op](wanted, said)
        except _DENIED as error:
            return Outcome(wanted, "refused", str(error))

    def _remember(self, wanted: Remember, said: Utterance) -> Outcome:
        near = self._near(wanted.target, wanted.space, said)
        told = admit(self._arrival(wanted, near), self._policy)
        if not told.kept:
            because = () if told.because is None else (told.because,)
            return Outcome(wanted, "not kept", told.reason, because)
        return self._kept(wanted, said, near, told)

    def _kept(
        self, wanted: Remember, said: Utterance, near: Sequence[Near], told: Admission
    ) -> Outcome:
        metadata: dict[str, JsonValue] = {"importance": wanted.importance}
        if wanted.entities:
            metadata["entities"] = list(wanted.entities)
        if wanted.triple is not None:
            metadata["triple"] = wanted.triple.model_dump()
        if (
            wanted.occurred_at is not None
        ):  # of what is to come, when it was said decides what holds
            metadata["event_at"] = wanted.occurred_at.isoformat()
        draft = self._draft(wanted.target, wanted, said)
        draft = replace(draft, metadata=metadata, occurred_at=said.at)
        cube = self._engine.adder.add(self._actor, [draft.checked()], "error")[0]
        self._engine.organizing.relater.settle(self._actor, cube, near)
        return Outcome(wanted, "remembered", told.reason, (cube.id,))

    def _arrival(self, wanted: Remember, near: Sequence[Near]) -> Arrival:
        words = _words(wanted.target)
        equal = next((n.cube.id for n in near if _words(n.cube.text) == words), None)
        repeats = [n for n in near if n.relation is not None and n.relation.kind == "repeats"]
        share, source = self._recalled(wanted.target, len(words))
        marks = self._engine.adder.spans(wanted.target)
        return Arrival(
            explicit=wanted.explicit,
            importance=wanted.importance,
            words=len(words),
            secret=_SECRET in marks,
            equal_to=equal,
            repeats=repeats[0].cube.id if repeats else None,
            recalled=share,
            recalled_from=source,
        )

    def _recalled(self, text: str, count: int) -> tuple[float, CubeId | None]:
        """Say what share of a text stands in stored memories: an answer may echo what it read."""
        if count < _LONG:
            return 0.0, None
        found = self._engine.tracer.trace(Scope(self._actor, None, None), text, 3)
        covered = {
            place
            for each in found
            for passage in each.passages
            for place in range(passage.start, passage.end)
        }
        return len(covered) / len(text), found[0].cube.id if found else None

    def _recall(self, wanted: Recall, _said: Utterance) -> Outcome:
        hits = self._search(wanted.target, wanted.space, wanted.window, _RECALLED)
        ids = tuple(hit.id for hit in hits)
        return Outcome(wanted, "recalled" if ids else "nothing", "asked for", ids, hits)

    def _correct(self, wanted: Correct, said: Utterance) -> Outcome:
        older, text = self._mended(wanted, said)
        if older is None:
            if is_bare(wanted.target):
                return Outcome(wanted, "unsure", "what it corrects was not found")
            kept = Remember(
                target=wanted.target, space=wanted.space, source=wanted.source, explicit=True
            )
            found = self._remember(kept, said)
            return replace(found, operation=wanted, why=f"{found.why}; nothing to correct")
        words = _words(text)
        for each in self._near(text, wanted.space, said):
            if _words(each.cube.text) == words:
                return Outcome(wanted, "not kept", "known already", (each.cube.id,))
        draft = replace(
            self._draft(text, wanted, said),
            occurred_at=said.at,
            semantic_type=older.meta.semantic_type,
            tags=frozenset(older.meta.tags),
        )
        cube = self._engine.adder.add(self._actor, [draft.checked()], "error")[0]
        told = self._engine.organizing.relater.replace(self._actor, older, cube, "corrected")
        if not told.superseded:
            why = "kept beside what it corrects, which you may not change"
            return Outcome(wanted, "remembered", why, (cube.id, older.id))
        return Outcome(wanted, "corrected", "put right", (cube.id, older.id))

    def _mended(self, wanted: Correct, said: Utterance) -> tuple[MemCube | None, str]:
        """Find what is corrected, and what it says once it is put right."""
        target, replaces = wanted.target, wanted.replaces
        if not is_bare(target):
            # Somebody says that something is wrong: what it most likely stands against is that.
            against = [
                (each.relation.confidence, each.cube)
                for each in self._near(target, wanted.space, said)
                if each.relation is not None and each.relation.kind != "repeats"
            ]
            if against:
                return max(against, key=lambda one: one[0])[1], target
        asked = " ".join(filter(None, (target, replaces)))
        hits = [hit.cube for hit in self._search(asked, wanted.space, None, _NEAR)]
        recent = self._recent(wanted.space)
        for cube in [*recent, *hits] if is_bare(target) else hits:
            mended = corrected(cube.text, target, replaces)
            if mended is not None:
                return cube, mended
        return None, ""

    def _forget(self, wanted: Forget, _said: Utterance) -> Outcome:
        hits = self._search(wanted.target, wanted.space, wanted.window, MOST_FORGOTTEN)
        mine = [hit for hit in hits if hit.cube.meta.owner == self._actor.principal]
        meant = [hit for hit in mine if self._is_about(hit, wanted.target)]
        if not meant:
            likely = tuple(hit.id for hit in mine[:3] if hit.score > 0)
            why = "no memory of yours says so in these words: say which is meant"
            return Outcome(wanted, "unsure" if likely else "nothing", why, likely)
        ids = [hit.id for hit in meant]
        report = self._engine.forgetter.forget(self._actor, ids, "asked for")
        return Outcome(wanted, "forgotten", report.status, (*report.forgotten, *report.derived))

    def _is_about(self, hit: Hit, target: str) -> bool:
        """Tell whether a memory has all words of what is to go: forgetting is for good."""
        asked = set(self._stems.terms(target)) - _SAYING
        return bool(asked) and asked <= set(self._stems.terms(hit.text))

    def _near(self, text: str, space: str | None, said: Utterance) -> list[Near]:
        where = space or self._actor.home
        return self._engine.organizing.relater.preview(
            self._actor, Said(text, said.speaker or self._actor.principal, said.at, where)
        )

    def _search(self, text: str, space: str | None, window: Window | None, k: int) -> Hits:
        where = None if window is None else parse_filter(_within(window))
        scope = Scope(self._actor, space, where)
        question = Question(text, k, None, None, SearchOptions(expand=1))
        return self._engine.recall.search(scope, question)

    def _recent(self, space: str | None) -> list[MemCube]:
        """List what was said last, the newest first."""
        scope = Scope(self._actor, space or self._actor.home, None)
        return self._engine.recall.newest(scope, _NEAR)

    def _draft(self, text: str, wanted: Operation, said: Utterance) -> Draft:
        place = wanted.source
        return Draft(
            text,
            space=wanted.space,
            speaker=said.speaker or self._actor.principal,
            semantic_type=wanted.memory_type or "fact",
            source=Source(origin=ORIGIN, message_id=said.message_id, span=(place.start, place.end)),
        )


_SAYING: Final = frozenset({"said", "say", "told", "tell", "mention", "thing", "stuff"})
"""Stems that say how something was told, not what."""


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _within(window: Window) -> Filter:
    bounds = {"$gte": window.start, "$lt": window.end}
    return {"occurred_at": {name: when for name, when in bounds.items() if when is not None}}


def _without_recalled(message: str | Message) -> str | Message:
    """Take recalled blocks out of a message: they were told to somebody, not said by anybody."""
    if isinstance(message, str):
        return without_blocks(message)
    parts = tuple(
        TextPart(text=without_blocks(part.text)) if isinstance(part, TextPart) else part
        for part in message.parts
    )
    return message.model_copy(update={"parts": parts})
