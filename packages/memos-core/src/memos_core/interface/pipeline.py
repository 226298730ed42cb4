"""MemPipeline: a chain of operations as a value: it can be stored, shown, checked and run again.

A plan is a list of steps; each names a verb of a session and what it is given, as JSON. A later
step can speak of what an earlier one returned: `{"$": "name"}`. Plans hold no types and no code:
only the verbs that are listed here can be named, and each is decided under the session's rights
when it runs. What models make comes first, since their work would keep all others waiting; if a
later step is refused, it is removed again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from inspect import signature
from typing import Annotated, Any, Final, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from memos_core.content import first_problem
from memos_core.cube import MemCube
from memos_core.draft import Interval, Key
from memos_core.errors import InvalidInputError, MemosError, NotFoundError

MAX_STEPS: Final = 1_000
Verb = Literal[
    "activate", "distill",
    "add", "update", "forget", "rollback", "freeze", "unfreeze", "archive", "unarchive",
    "enable", "disable", "grant", "link", "merge", "unmerge",
]  # fmt: skip
MODELS: Final = ("activate", "distill")
"""Verbs for which a model works; their sources are there before the plan runs."""
_ORGANIZING: Final = ("link", "merge", "unmerge")
_REFS: Final = ("ref", "refs", "sources", "source", "target", "parents", "on")
_INSTANTS: Final = ("occurred_at", "expires", "until")
_SETS: Final = ("tags", "access", "purposes")
_REFERENCE: Final = "$"


class Step(BaseModel):
    """One operation of a plan.

    Args:
        verb: A verb of `Session`, or of `session.organizer`.
        given: Its arguments by name, as JSON: instants in ISO 8601, sets as lists, a memory as its
            id, as `{"key": …, "space": …}`, or as `{"$": …}`, the name of an earlier step.
        name: What later steps call what this one returned.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    verb: Verb
    given: dict[str, JsonValue] = {}
    name: Annotated[str, Field(min_length=1, max_length=100)] | None = None


class Plan(BaseModel):
    """A chain of operations: all of them, or none.

    Raises:
        ValidationError: A step speaks of one that does not come before it, a name is given twice,
            or a model is to work on what the plan itself makes.

    Example:
        >>> from memos_core.testing import temporary_memos
        >>> plan = Plan(steps=(
        ...     Step(verb="add", given={"content": "The boat leaves at nine."}, name="boat"),
        ...     Step(verb="update", given={"ref": {"$": "boat"}, "content": "It leaves at ten."}),
        ... ))
        >>> with temporary_memos() as memos:
        ...     made = memos.session("user:alice").run(Plan.load(plan.dump()))
        ...     made[1].text
        'It leaves at ten.'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=MAX_STEPS)]

    @model_validator(mode="after")
    def _speaks_of_what_was(self) -> Plan:
        known: set[str] = set()
        for number, step in enumerate(self.steps, 1):
            spoken = set(_spoken(step.given))
            if unknown := sorted(spoken - known):
                raise ValueError(f"step {number} speaks of {unknown[0]!r}, which is none before it")
            if step.verb in MODELS and spoken:
                raise ValueError(
                    f"step {number}: a model works before the chain, on what is there already"
                )
            if step.name is not None:
                if step.name in known:
                    raise ValueError(f"step {number}: {step.name!r} is a name already")
                known.add(step.name)
        return self

    def dump(self) -> str:
        """Return the plan as JSON text."""
        return self.model_dump_json(exclude_defaults=True)

    @classmethod
    def load(cls, text: str | bytes) -> Plan:
        """Read a plan from JSON text.

        Raises:
            InvalidInputError: It is none; the message names the step.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise InvalidInputError(f"not a plan: {first_problem(error)}") from error


class Runner(Protocol):
    """A session, as far as plans need one."""

    @property
    def organizer(self) -> Any:
        """The verbs of how memories hang together."""

    def pipeline(self) -> Any:
        """Chain operations."""

    def forget(self, refs: Any, *, reason: str = "") -> Any:
        """Forget memories."""


@dataclass(slots=True)
class _Run:
    """A plan at work."""

    session: Runner
    returned: dict[str, Any]
    results: dict[int, Any]

    def step(self, place: int, step: Step) -> None:
        given = {name: self._read(name, value) for name, value in step.given.items()}
        verb = _verb(self.session, step.verb)
        first = [given.pop("content")] if step.verb == "add" and "content" in given else []
        try:
            signature(verb).bind(*first, **given)
        except TypeError as error:
            raise InvalidInputError(f"step {place + 1}, {step.verb}: {error}") from error
        found = verb(*first, **given)
        self.results[place] = found
        if step.name is not None:
            self.returned[step.name] = found

    def _read(self, name: str, value: JsonValue) -> Any:
        if name in _REFS:
            return (
                [self._ref(each) for each in value] if isinstance(value, list) else self._ref(value)
            )
        if name in _INSTANTS and value is not None:
            return _instant(name, value)
        if name in _SETS and isinstance(value, list):
            return frozenset(map(str, value))
        if name == "valid" and isinstance(value, Mapping):
            start, end = value.get("start"), value.get("end")
            return Interval(
                start=None if start is None else _instant("valid.start", start),
                end=None if end is None else _instant("valid.end", end),
            )
        return value

    def _ref(self, value: JsonValue) -> Any:
        if not isinstance(value, Mapping):
            return value
        if set(value) == {_REFERENCE}:
            found = self.returned[str(value[_REFERENCE])]
            if not isinstance(found, MemCube):
                raise InvalidInputError(f"{value[_REFERENCE]!r} returned no memory")
            return found.id
        if set(value) <= {"key", "space"} and isinstance(value.get("key"), str):
            space = value.get("space")
            return Key(str(value["key"]), None if space is None else str(space))
        raise InvalidInputError(f"a memory is an id, a key or an earlier step, not {value!r}")


def run(session: Runner, plan: Plan) -> tuple[Any, ...]:
    """Carry out a plan: all of it, or nothing.

    Args:
        session: Under whose rights.
        plan: The plan.

    Returns:
        What each step returned, in order.
    """
    work = _Run(session, {}, {})
    made: list[str] = []
    try:
        for place, step in enumerate(plan.steps):
            if step.verb in MODELS:
                work.step(place, step)
                made.append(work.results[place].id)
        with session.pipeline():
            for place, step in enumerate(plan.steps):
                if step.verb not in MODELS:
                    work.step(place, step)
    except BaseException:
        for each in made:
            with suppress(NotFoundError, MemosError):
                session.forget(each, reason="the rest of its plan was refused")
        raise
    return tuple(work.results[place] for place in range(len(plan.steps)))


def _verb(session: Runner, name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(session.organizer if name in _ORGANIZING else session, name)
    return found


def _spoken(value: JsonValue | Mapping[str, JsonValue]) -> Sequence[str]:
    """List the names of steps that something speaks of."""
    if isinstance(value, Mapping):
        if set(value) == {_REFERENCE}:
            return [str(value[_REFERENCE])]
        return [name for each in value.values() for name in _spoken(each)]
    if isinstance(value, list):
        return [name for each in value for name in _spoken(each)]
    return []


def _instant(name: str, value: JsonValue) -> datetime:
    try:
        return datetime.fromisoformat(str(value))
    except ValueError as error:
        raise InvalidInputError(f"{name} is an instant in ISO 8601, not {value!r}") from error
