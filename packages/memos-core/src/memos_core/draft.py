"""What a caller hands in: a `Draft` of a new memory, a `Patch` of one, a `Key` to find one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import JsonValue

from memos_core.clock import require_aware
from memos_core.content import Content, Message, Opaque, text_of, to_json_value
from memos_core.cube import CubeId, Sensitivity, Source
from memos_core.errors import InvalidInputError

MAX_KEY: Final = 512
MAX_NAME: Final = 200
MAX_REASON: Final = 2_000
MAX_DEPTH: Final = 64
MAX_PARENTS: Final = 1_000
# C0 and C1 controls (terminal escapes among them), marks that change direction, lone surrogates.
_UNFIT: Final = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069\\ud800-\\udfff]"
)


@dataclass(frozen=True, slots=True)
class Interval:
    """When a fact holds: from `start` (inclusive) to `end` (exclusive); None is open.

    Raises:
        InvalidInputError: A bound is naive, or `end` is not after `start`.
    """

    start: datetime | None = None
    end: datetime | None = None

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            when = getattr(self, name)
            if when is not None:
                require_aware(when, f"valid.{name}")
        if self.start and self.end and self.end <= self.start:
            raise InvalidInputError("valid.end must be after valid.start")


@dataclass(frozen=True, slots=True)
class Key:
    """A caller's own name for a memory, unique in its space.

    Args:
        name: The key that was given to `add`.
        space: The space that it lies in; the session's own where None.
    """

    name: str
    space: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A memory to be added. Every field but `content` is optional.

    Args:
        content: Text, a `Message`, a `Document` or a JSON value.
        key: Your own name for it, unique per space.
        space: Where it goes, e.g. `acme/research`; the session's own space by default.
        speaker: Who said it, where it was said.
        occurred_at: When it happened or was said; aware.
        valid: When the fact holds.
        expires: When it stops being returned: an aware instant, or a time from now.
        semantic_type: `fact`, `message`, `document`, `preference`, …
        tags: Labels of your own.
        metadata: JSON values of your own, usable in filters as `metadata.<name>`.
        sensitivity: How far it may be shown.
        field_sensitivity: The same for single fields of a JSON content, nested ones with dots, or
            of the metadata as `metadata.<name>`. Who is not cleared sees the rest without them.
        access: If given, only these principals and groups may read, of those who otherwise could.
        purposes: If given, it may be read for these purposes only.
        source: Where it came from.
        parents: The memories that it was derived from; forgetting one forgets this.
        priority: `low`, `mid` or `high`.
    """

    content: Content
    key: str | None = None
    space: str | None = None
    speaker: str | None = None
    occurred_at: datetime | None = None
    valid: Interval = field(default_factory=Interval)
    expires: datetime | timedelta | None = None
    semantic_type: str = "fact"
    tags: frozenset[str] = frozenset()
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)
    sensitivity: Sensitivity = Sensitivity.INTERNAL
    field_sensitivity: Mapping[str, Sensitivity] = field(default_factory=dict)
    access: frozenset[str] = frozenset()
    purposes: frozenset[str] = frozenset()
    source: str | Source | None = None
    parents: tuple[CubeId, ...] = ()
    priority: str = "mid"

    @classmethod
    def of(cls, content: Content | Draft, given: Mapping[str, Any]) -> Draft:
        """Make a draft from what a caller passed to `add`.

        Args:
            content: Content, or a draft whose fields `given` overrides.
            given: Keyword arguments by field name.

        Raises:
            InvalidInputError: A field is unknown or malformed.
        """
        known = {item.name for item in fields(cls)} - {"content"}
        unknown = sorted(set(given) - known)
        if unknown:
            raise InvalidInputError(
                f"unknown field {unknown[0]!r}: use one of {', '.join(sorted(known))}; "
                "values of your own go into metadata"
            )
        draft = content if isinstance(content, Draft) else cls(content)
        return replace(draft, **given).checked() if given else draft.checked()

    def checked(self) -> Draft:
        """Return the draft in normal form: levels parsed, sets frozen, a message's speaker taken.

        Raises:
            InvalidInputError: A field is malformed; the message says which and how to mend it.
        """
        check_content(self.content)
        self._check_types()
        if self.key is not None:
            check_name(self.key, "key", MAX_KEY)
        check_name(self.semantic_type, "semantic_type")
        check_metadata(self.metadata)
        if self.occurred_at is not None:
            require_aware(self.occurred_at, "occurred_at")
        check_expires(self.expires)
        if self.priority not in ("low", "mid", "high"):
            raise InvalidInputError(f"priority is low, mid or high, not {self.priority!r}")
        speaker = self.speaker
        if speaker is None and isinstance(self.content, Message):
            speaker = self.content.name or self.content.role
        if speaker is not None:
            check_name(speaker, "speaker")
        return replace(
            self,
            sensitivity=Sensitivity.parse(self.sensitivity),
            field_sensitivity=check_levels(self.field_sensitivity),
            tags=name_set(self.tags, "tags"),
            access=name_set(self.access, "access"),
            purposes=name_set(self.purposes, "purposes"),
            parents=tuple(dict.fromkeys(self.parents)),
            speaker=speaker,
        )

    def _check_types(self) -> None:
        wanted: dict[str, tuple[type, ...]] = {
            "valid": (Interval,),
            "metadata": (Mapping,),
            "parents": (tuple, list),
            "source": (str, Source, type(None)),
        }
        for name, kinds in wanted.items():
            if not isinstance(getattr(self, name), kinds):
                names = " or ".join(kind.__name__ for kind in kinds if kind is not type(None))
                raise InvalidInputError(f"{name} is a {names}, not {getattr(self, name)!r}")
        if isinstance(self.source, str):
            check_name(self.source, "source", MAX_KEY)
        if isinstance(self.source, Source):
            check_name(self.source.origin, "source.origin", MAX_KEY)
            for name in ("uri", "message_id"):
                if (given := getattr(self.source, name)) is not None:
                    check_name(given, f"source.{name}", MAX_REASON)
        if len(self.parents) > MAX_PARENTS:
            raise InvalidInputError(f"a memory has at most {MAX_PARENTS} parents")
        for parent in self.parents:
            check_name(parent, "parents")


@dataclass(frozen=True, slots=True)
class Patch:
    """What `update` changes; a field left at None stays as it is."""

    content: Content | None = None
    speaker: str | None = None
    occurred_at: datetime | None = None
    valid: Interval | None = None
    expires: datetime | timedelta | None = None
    semantic_type: str | None = None
    tags: frozenset[str] | None = None
    metadata: Mapping[str, JsonValue] | None = None
    sensitivity: Sensitivity | None = None
    access: frozenset[str] | None = None
    purposes: frozenset[str] | None = None
    priority: str | None = None
    field_sensitivity: Mapping[str, Sensitivity] | None = None


def check_levels(fields: Mapping[str, Sensitivity]) -> dict[str, Sensitivity]:
    """Read the levels of single fields, given by name or as they are.

    Raises:
        InvalidInputError: It is no mapping, or a level is unknown.
    """
    if not isinstance(fields, Mapping):
        raise InvalidInputError(f"field_sensitivity is a Mapping, not {fields!r}")
    return {
        check_name(name, "field_sensitivity", MAX_KEY): Sensitivity.parse(level)
        for name, level in fields.items()
    }


def check_content(content: Content) -> None:
    """Refuse content that is empty, not JSON, or not valid text.

    Raises:
        InvalidInputError: The content cannot be a memory.
    """
    if isinstance(content, Opaque):
        raise InvalidInputError(
            "activation and parametric memory is made by a model: use session.activate or "
            "session.distill"
        )
    if content is None or not text_of_checked(content).strip():
        raise InvalidInputError("the content is empty: give some text, a message or a JSON value")


def text_of_checked(content: Content) -> str:
    """Return the content as text, or say why it cannot be stored.

    Raises:
        InvalidInputError: It is not JSON, or holds characters that cannot be encoded.
    """
    try:
        text = text_of(content)
        check_json(to_json_value(content), "the content")
        json.dumps(to_json_value(content), ensure_ascii=False, allow_nan=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            "the content holds a lone surrogate: it is not valid text"
        ) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"the content is not text, a Message, a Document or JSON: {error}"
        ) from error
    return text


def check_name(name: str, what: str, limit: int = MAX_NAME) -> str:
    """Refuse a name that is not a non-empty, printable, bounded string.

    Raises:
        InvalidInputError: It is not.
    """
    if not isinstance(name, str):
        raise InvalidInputError(f"{what} is text, not {name!r}")
    if not name.strip():
        raise InvalidInputError(f"{what} is empty: give a name, or leave it out")
    if len(name) > limit:
        raise InvalidInputError(f"{what} has {len(name)} characters; at most {limit} are allowed")
    if _UNFIT.search(name):
        raise InvalidInputError(f"{what} holds a control or direction-changing character")
    return name


def check_reason(reason: str) -> str:
    """Refuse a reason that is not text which can be stored.

    Raises:
        InvalidInputError: It is not.
    """
    return reason if reason == "" else check_name(reason, "reason", MAX_REASON)


def check_expires(expires: datetime | timedelta | None) -> None:
    """Refuse an end that is neither an aware instant nor a time from now.

    Raises:
        InvalidInputError: It is neither.
    """
    if expires is not None and not isinstance(expires, timedelta):
        require_aware(expires, "expires")


def check_json(value: object, what: str, depth: int = 0) -> None:
    """Refuse what is not JSON: other types, keys that are not text, or nesting beyond measure.

    Raises:
        InvalidInputError: It is not.
    """
    if depth > MAX_DEPTH:
        raise InvalidInputError(f"{what} is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            raise InvalidInputError(f"{what} is not JSON: the keys of an object are text")
        for each in value.values():
            check_json(each, what, depth + 1)
    elif isinstance(value, list):
        for each in value:
            check_json(each, what, depth + 1)
    elif value is not None and not isinstance(value, str | int | float | bool):
        raise InvalidInputError(f"{what} is not JSON: it holds a {type(value).__name__}")


def name_set(names: Iterable[str], what: str) -> frozenset[str]:
    """Return the names as a frozen set, each checked; a lone string is an error, not letters.

    Raises:
        InvalidInputError: `names` is a string, or a name is malformed.
    """
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise InvalidInputError(f"{what} takes a set of names, not {names!r}")
    return frozenset(check_name(name, what) for name in names)


def check_metadata(metadata: Mapping[str, JsonValue]) -> None:
    """Refuse metadata that is not a JSON object with string keys.

    Raises:
        InvalidInputError: It is not.
    """
    try:
        if not all(isinstance(name, str) and name for name in metadata):
            raise InvalidInputError("metadata keys are non-empty strings")
        check_json(dict(metadata), "metadata")
        json.dumps(dict(metadata), ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(f"metadata is not JSON: {error}") from error
