"""An event: one thing that happened, and how it is hashed onto what happened before."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

Outcome = Literal["allowed", "denied", "not_found", "undone"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, before it has its place in a chain.

    Args:
        type: What was done, e.g. `memos.add`.
        principal_id: Who did it, pseudonymous.
        outcome: `allowed`, `denied`, `not_found` for what is not there or not readable, `undone`
            for an effect of a pipeline that was rolled back.
        purpose: The session's purpose.
        subject: The memory, grant or principal that it was done to.
        data: Details without content.
        time: When, in microseconds; None is the transaction's time. The events of a batch bear
            successive times, so that whatever follows is later than all of it.
    """

    type: str
    principal_id: str
    outcome: Outcome
    purpose: str
    subject: str | None = None
    data: Mapping[str, JsonValue] = field(default_factory=dict)
    time: int | None = None


def link(previous: str, chain: int, seq: int, body: str) -> str:
    """Hash an event onto the one before it.

    Returns:
        64 hex digits of SHA-256 over the previous hash, the place in the chain and the event.
    """
    return hashlib.sha256(f"{previous}\n{chain}\n{seq}\n{body}".encode()).hexdigest()


def commitment(key: bytes, content_hash: str) -> str:
    """Commit to content without telling it: HMAC-SHA256 under the memory's own key."""
    return hmac.new(key, content_hash.encode("ascii"), hashlib.sha256).hexdigest()
