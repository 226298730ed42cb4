"""The grammar of principals and spaces.

A principal is `kind:name`, with the kinds `user`, `agent`, `app` and `group`; a group never acts by
itself. A space is a path of segments, `acme/research/alpha`. Its first segment is its **realm**: a
tenant or team, or one principal's own space, which bears the principal's name (`user:alice/notes`).
"""

from __future__ import annotations

import re
from typing import Final

from memos_core.errors import InvalidInputError

_PRINCIPAL: Final = re.compile(r"(user|agent|app|group):[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
_PURPOSE: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
MAX_SEGMENTS: Final = 16


def check_principal(name: str, *, may_be_group: bool = True) -> str:
    """Return a well-formed principal unchanged.

    Args:
        name: `user:…`, `agent:…`, `app:…` or `group:…`.
        may_be_group: Whether a group is meant to be allowed here.

    Raises:
        InvalidInputError: It is malformed, or a group where one that acts is wanted.
    """
    if not isinstance(name, str) or not _PRINCIPAL.fullmatch(name):
        raise InvalidInputError(
            f"malformed principal {name!r}: write user:NAME, agent:NAME, app:NAME or group:NAME, "
            "with letters, digits and . _ @ + - in the name"
        )
    if not may_be_group and name.startswith("group:"):
        raise InvalidInputError(
            f"{name} is a group, and groups do not act: name one of its members"
        )
    return name


def is_principal(name: str) -> bool:
    """Tell whether a name is that of a principal, well-formed.

    >>> is_principal("agent:planner"), is_principal("import:notes.md")
    (True, False)
    """
    return bool(_PRINCIPAL.fullmatch(name))


def check_space(path: str) -> str:
    """Return a well-formed space path unchanged.

    Raises:
        InvalidInputError: It is empty, or looks like a file path, or has a malformed segment.
    """
    if not isinstance(path, str) or not path.strip():
        raise InvalidInputError("the space is empty: write a path such as acme/research")
    first, *rest = path.split("/")
    if not (_SEGMENT.fullmatch(first) or _owner(first)):
        raise _malformed(path)
    if len(rest) >= MAX_SEGMENTS or not all(_SEGMENT.fullmatch(segment) for segment in rest):
        raise _malformed(path)
    return path


def check_purpose(purpose: str) -> str:
    """Return a well-formed purpose unchanged.

    Raises:
        InvalidInputError: It is not one lower-case word.
    """
    if not isinstance(purpose, str) or not _PURPOSE.fullmatch(purpose):
        raise InvalidInputError(f"malformed purpose {purpose!r}: write one word such as assist")
    return purpose


def realm_of(path: str) -> str:
    """Name the realm of a space: its first segment.

    >>> realm_of("acme/research"), realm_of("user:alice")
    ('acme', 'user:alice')
    """
    return path.split("/", 1)[0]


def is_personal(path: str) -> bool:
    """Tell whether a space is somebody's own.

    >>> is_personal("user:alice/notes"), is_personal("acme")
    (True, False)
    """
    return ":" in realm_of(path)


def within(path: str, subtree: str) -> bool:
    """Tell whether `path` is `subtree` or lies under it.

    >>> within("acme/research", "acme"), within("acmeology", "acme")
    (True, False)
    """
    return path == subtree or path.startswith(subtree + "/")


def ancestors(path: str) -> list[str]:
    """List a space and everything above it, nearest first.

    >>> ancestors("acme/research/alpha")
    ['acme/research/alpha', 'acme/research', 'acme']
    """
    segments = path.split("/")
    return ["/".join(segments[:depth]) for depth in range(len(segments), 0, -1)]


def _owner(segment: str) -> bool:
    return bool(_PRINCIPAL.fullmatch(segment)) and not segment.startswith("group:")


def _malformed(path: str) -> InvalidInputError:
    return InvalidInputError(
        f"malformed space {path!r}: write segments of letters, digits and . _ @ + - "
        "joined by /, without a leading or trailing /, e.g. acme/research"
    )
