"""Profiles: how a component that was loaded from a dump finds who acts.

A dump names a vault and a profile, never an identity or a grant. Whoever loads it says, for the
length of a `with` block, which session each profile stands for; without that, it refuses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from pydantic import BaseModel

from memos_core import SessionSource

_OFFERED: Final[ContextVar[Mapping[str, SessionSource] | None]] = ContextVar(
    "memos_autogen_profiles", default=None
)


class MemosComponentConfig(BaseModel):
    """What a dump holds: where the vault is, which profile acts, and sizes; nothing that grants."""

    vault: str = ""
    profile: str = "default"
    k: int = 10
    budget_tokens: int = 1_000
    remember: bool = False


@contextmanager
def profiles(offered: Mapping[str, SessionSource]) -> Iterator[None]:
    """Say which session each profile stands for while components are loaded.

    Args:
        offered: By profile's name: a session, an open vault, or a callable.
    """
    token = _OFFERED.set(dict(offered))
    try:
        yield
    finally:
        _OFFERED.reset(token)


def offered_source(profile: str) -> SessionSource | None:
    """Return what a profile stands for here, or None, which refuses at the first use."""
    return (_OFFERED.get() or {}).get(profile)
