"""MemCube: the one record that all layers speak — a header and a payload.

The header carries the paper's eleven fields under their own names (arXiv 2507.03724, section 4:
`created, last_used, source, model, usage, priority, expires, access, tags, embedding_fp,
storage_mode`) and, beside them, what a governed vault needs. The payload is one of three kinds:
*plaintext*, *activation* (the model's working state) or *parametric* (a change to its weights).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from memos_core.content import (
    Content,
    Document,
    Format,
    Message,
    Opaque,
    first_problem,
    revive,
    text_of,
    to_json_value,
)
from memos_core.errors import InvalidInputError
from memos_core.tensors import KVRecord, LoRARecord

CubeId = str
"""An id minted by the vault: `mem_` and 20 characters."""


class Kind(StrEnum):
    """What a memory is made of."""

    PLAINTEXT = "plaintext"
    ACTIVATION = "activation"
    PARAMETRIC = "parametric"


class MemoryState(StrEnum):
    """Where a memory stands in its life (arXiv 2507.03724, MemLifecycle)."""

    GENERATED = "generated"
    ACTIVATED = "activated"
    MERGED = "merged"
    ARCHIVED = "archived"
    EXPIRED = "expired"


class Sensitivity(IntEnum):
    """How far a memory may be shown; a reader's clearance must be at least as high.

    >>> Sensitivity.parse("internal") < Sensitivity.parse("restricted")
    True
    """

    PUBLIC = 0
    INTERNAL = 1
    CONFIDENTIAL = 2
    RESTRICTED = 3

    @classmethod
    def parse(cls, value: object) -> Sensitivity:
        """Read a level from itself or from its lower-case name.

        Raises:
            InvalidInputError: There is no such level.
        """
        if isinstance(value, Sensitivity):
            return value
        if isinstance(value, str) and value.upper() in cls.__members__:
            return cls[value.upper()]
        known = ", ".join(level.name.lower() for level in cls)
        raise InvalidInputError(f"unknown sensitivity {value!r}: use one of {known}")


class Trust(IntEnum):
    """How far what a source says is to be relied on; what is derived has its sources' least."""

    LOW = 0
    NORMAL = 1
    HIGH = 2

    @classmethod
    def parse(cls, value: object) -> Trust:
        """Read a level from itself or from its lower-case name.

        Raises:
            InvalidInputError: There is no such level.
        """
        if isinstance(value, Trust):
            return value
        if isinstance(value, str) and value.upper() in cls.__members__:
            return cls[value.upper()]
        known = ", ".join(level.name.lower() for level in cls)
        raise InvalidInputError(f"unknown trust {value!r}: use one of {known}")


def _read_trust(value: object) -> Trust:
    try:
        return Trust.parse(value)
    except InvalidInputError as error:
        raise ValueError(str(error)) from error


def _read_level(value: object) -> Sensitivity:
    try:
        return Sensitivity.parse(value)
    except InvalidInputError as error:
        raise ValueError(str(error)) from error


def _read_instant(value: object) -> date | datetime:
    """Accept an aware instant or a plain day, keeping the precision that was given."""
    if isinstance(value, str):
        value = date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a naive datetime: give it a time zone")
        return value
    if isinstance(value, date):
        return value
    raise ValueError("expected an aware datetime or a day")


Instant = Annotated[
    date | datetime,
    BeforeValidator(_read_instant),
    PlainSerializer(lambda when: when.isoformat(), return_type=str, when_used="json"),
]
"""An aware datetime, or a day where no more is known; dumped exactly as precise as it was given."""

Level = Annotated[
    Sensitivity,
    BeforeValidator(_read_level),
    PlainSerializer(lambda level: level.name.lower(), return_type=str, when_used="json"),
]


TrustLevel = Annotated[
    Trust,
    BeforeValidator(_read_trust),
    PlainSerializer(lambda level: level.name.lower(), return_type=str, when_used="json"),
]


class Mark(BaseModel):
    """A span of a memory's text that is more sensitive than the rest.

    Args:
        path: The text that holds it, e.g. `content` or `content.parts.0.text`.
        start: Its first character there.
        end: The character after its last.
        type: What it is, e.g. `EMAIL`.
        level: The clearance that its text needs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    start: int
    end: int
    type: str
    level: Level


class Source(BaseModel):
    """Where a memory came from.

    Args:
        origin: What brought it, e.g. `import:notes.md` or `langchain`.
        uri: Where the original lies, if anywhere.
        message_id: The message that it was taken from.
        span: Start and end of the passage in that message, in characters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    origin: str
    uri: str | None = None
    message_id: str | None = None
    span: tuple[int, int] | None = None


class Header(BaseModel):
    """The metadata of a memory: descriptive, governing and behavioural.

    `redacted` is set where the caller sees the memory only in part, `trust` is the least trust of
    all that it came from, `author` is who wrote this version; they are told at each read and never
    stored.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_enum_values=False)

    # descriptive
    id: CubeId | None = None
    key: str | None = None
    version: int | None = Field(default=None, ge=1)
    kind: Kind | None = None
    semantic_type: str = "fact"
    created: Instant | None = None
    updated: Instant | None = None
    last_used: Instant | None = None
    occurred_at: Instant | None = None
    valid_from: Instant | None = None
    valid_to: Instant | None = None
    source: str | Source | None = None
    speaker: str | None = None
    model: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, JsonValue] = Field(default_factory=dict)
    lineage: tuple[CubeId, ...] = ()
    embedding_fp: str | None = None
    storage_mode: str | None = None
    content_hash: str | None = None
    signature: str | None = None
    # governing
    space: str | None = None
    owner: str | None = None
    author: str | None = None
    access: tuple[str, ...] = ()
    sensitivity: Level | None = None
    field_sensitivity: Mapping[str, Level] = Field(default_factory=dict)
    marks: tuple[Mark, ...] = ()
    redacted: bool = False
    frozen: bool = False
    purposes: tuple[str, ...] = ()
    expires: Instant | None = None
    trust: TrustLevel | None = None
    # behavioural
    state: MemoryState | None = None
    usage: int = Field(default=0, ge=0)
    priority: str = "mid"

    @property
    def level(self) -> Sensitivity:
        """How sensitive the memory is: internal where nothing is said."""
        return Sensitivity.INTERNAL if self.sensitivity is None else self.sensitivity

    def at_least_as_strict(self, other: Header) -> Header:
        """Return this header with each field's level no lower than the other header has it."""
        levels = dict(self.field_sensitivity)
        for path, level in other.field_sensitivity.items():
            levels[path] = max(level, levels.get(path, level))
        return self.model_copy(update={"field_sensitivity": levels})


class PlaintextPayload(BaseModel):
    """Explicit memory: text, a message, a document or JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["explicit"] = "explicit"
    format: Format = "text"
    content: Any

    @model_validator(mode="after")
    def _content_fits_format(self) -> PlaintextPayload:
        if not isinstance(self.content, Message | Document):
            try:
                object.__setattr__(self, "content", revive(self.content, self.format))
            except InvalidInputError as error:
                raise ValueError(str(error)) from error
        return self


class ActivationPayload(Opaque):
    """A model's working state: a steering tensor at one layer, or a KV cache.

    Of these, KV caches that `Session.activate` made are run; others are kept, loaded and dumped.
    """

    type: Literal["activation"] = "activation"
    format: str = "tensor"
    injection_layer: int | None = None
    value: str
    """The digest of the blobs that hold the tensors; in foreign cubes, whatever they carry."""
    kv: KVRecord | None = None


class ParametricPayload(Opaque):
    """A change to a model's weights, such as a LoRA adapter.

    Of these, adapters that `Session.distill` made are run; others are kept, loaded and dumped.
    """

    type: Literal["parametric"] = "parametric"
    format: str = "lora_patch"
    module: str | None = None
    value: str
    """The digest of the blob that holds the adapter; in foreign cubes, whatever they carry."""
    lora: LoRARecord | None = None


Payload = Annotated[
    PlaintextPayload | ActivationPayload | ParametricPayload, Field(discriminator="type")
]


def kind_of(content: Content) -> Kind:
    """Say of which kind a memory with this content is."""
    if isinstance(content, ActivationPayload):
        return Kind.ACTIVATION
    return Kind.PARAMETRIC if isinstance(content, ParametricPayload) else Kind.PLAINTEXT


_KIND_OF_TYPE = {
    "explicit": Kind.PLAINTEXT,
    "activation": Kind.ACTIVATION,
    "parametric": Kind.PARAMETRIC,
}


class MemCube(BaseModel):
    """A memory: its header (`meta`) and its payload.

    Example:
        >>> cube = MemCube.from_json('{"meta": {"tags": ["x"]}, "payload": '
        ...     '{"type": "explicit", "format": "text", "content": "Tea, no milk"}}')
        >>> cube.text, cube.kind.value
        ('Tea, no milk', 'plaintext')
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    meta: Header
    payload: Payload

    @model_validator(mode="after")
    def _kind_fits_payload(self) -> MemCube:
        if self.meta.kind not in (None, _KIND_OF_TYPE[self.payload.type]):
            raise ValueError(
                f"meta.kind is {self.meta.kind}, but the payload is {self.payload.type}"
            )
        return self

    @classmethod
    def from_json(cls, text: str | bytes) -> MemCube:
        """Read a cube from JSON.

        Args:
            text: A JSON object with `meta` and `payload`.

        Raises:
            InvalidInputError: It is not JSON or not a cube; the message names the field.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise InvalidInputError(f"not a MemCube: {first_problem(error)}") from error

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the cube as JSON values: exactly the fields that were given or recorded."""
        dumped: dict[str, JsonValue] = self.model_dump(mode="json", exclude_unset=True)
        if isinstance(self.payload, PlaintextPayload):
            payload = dict(dumped["payload"])  # type: ignore[arg-type]  # a dumped model is a dict
            payload["content"] = to_json_value(self.payload.content)
            dumped["payload"] = payload
        return dumped

    def to_json(self) -> str:
        """Return the cube as JSON text; what was loaded dumps unchanged."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)

    @property
    def id(self) -> CubeId:
        """The vault's id of this memory; empty for a cube that is in no vault."""
        return self.meta.id or ""

    @property
    def version(self) -> int:
        """The version, counted from 1; 0 for a cube that is in no vault."""
        return self.meta.version or 0

    @property
    def kind(self) -> Kind:
        """What the memory is made of."""
        return _KIND_OF_TYPE[self.payload.type]

    @property
    def content(self) -> Content:
        """The content of a plaintext memory; of the other kinds, the payload itself."""
        if isinstance(self.payload, PlaintextPayload):
            content: Content = self.payload.content
            return content
        return self.payload

    @property
    def kv(self) -> KVRecord | None:
        """What is known of the KV cache that the memory is; None where it is none that is run."""
        return self.payload.kv if isinstance(self.payload, ActivationPayload) else None

    @property
    def lora(self) -> LoRARecord | None:
        """What is known of the adapter that the memory is; None where it is none that is run."""
        return self.payload.lora if isinstance(self.payload, ParametricPayload) else None

    @property
    def text(self) -> str:
        """The content as plain text."""
        return text_of(self.content)


class Version(BaseModel):
    """One recorded state of a memory, as `history` lists it."""

    model_config = ConfigDict(frozen=True)

    cube: MemCube
    recorded_at: datetime
    author: str
    reason: str
    action: str

    @property
    def number(self) -> int:
        """The version's number, counted from 1."""
        return self.cube.version
