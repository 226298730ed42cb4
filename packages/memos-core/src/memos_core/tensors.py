"""What is known of tensors that are memories: KV caches and LoRA adapters, described."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue


class KVPart(BaseModel):
    """A run of tokens in a KV cache, stored as one blob.

    Args:
        digest: The SHA-256 of the blob.
        tokens: How many tokens it holds.
        key: What it follows and holds, hashed: equal keys can share a blob.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    tokens: int
    key: str


class KVRecord(BaseModel):
    """What is known of a KV cache.

    Args:
        parts: Its runs of tokens, in order.
        tokens: How many tokens it holds.
        bytes: What its blobs take, in bytes; some may be shared.
        precision: `exact`, `int8` or `fp8`.
        error: Of a precision that is not exact: the largest difference of a logit at the last
            position, and `kl`, the divergence of the next token's distribution, in nats.
        fence: What closes the block that its text is in.
        chat: Whether it is the beginning of conversations, and not of texts.
        system: What the system says in those conversations.
        prefill_s: How long it took to compute, in seconds.
        text: What it was made of, where that was no memory.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    parts: tuple[KVPart, ...]
    tokens: int
    bytes: int
    precision: Literal["exact", "int8", "fp8"] = "exact"
    error: Mapping[str, float] = Field(default_factory=dict)
    fence: str
    chat: bool = False
    system: str | None = None
    prefill_s: float = 0.0
    text: str = ""


class LoRARecord(BaseModel):
    """What is known of a LoRA adapter that was trained on memories, and how it passed its gate.

    Args:
        rank: Of its matrices.
        bytes: What its blob takes.
        lessons: How many questions and statements it was taught.
        steps: How many steps it was trained for.
        seconds: How long that took, in CPU seconds.
        recall: Which share of what it was taught the model answers with it.
        recall_before: Which share it answered without it.
        retention: Which share of what the model knew before it answers as before.
        passed: Whether it passed the gate: only then it can be enabled.
        reasons: Why not.
        recipe: How it was trained, for training it again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int
    bytes: int
    lessons: int
    steps: int
    seconds: float
    recall: float
    recall_before: float
    retention: float
    passed: bool
    reasons: tuple[str, ...] = ()
    recipe: Mapping[str, JsonValue] = Field(default_factory=dict)
