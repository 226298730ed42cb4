"""The types of links that mean something to the vault itself; any other is free."""

from __future__ import annotations

import re
from typing import Final

from memos_core.errors import InvalidInputError

SUPERSEDES: Final = "supersedes"
CONTRADICTS: Final = "contradicts"
REPEATS: Final = "repeats"
MERGES: Final = "merges"
DISTINCT: Final = "distinct"
"""Says that two memories have nothing to do with each other, whatever it looks like."""
WEIGHTY: Final = (SUPERSEDES, CONTRADICTS, REPEATS)
"""Types that change how a memory is shown to others: they need WRITE on both ends."""
_TYPE: Final = re.compile(r"[a-z][a-z0-9_-]{0,23}")


def check_type(kind: str) -> str:
    """Refuse what is no type of a link.

    Raises:
        InvalidInputError: It is not.

    Example:
        >>> check_type("supersedes")
        'supersedes'
    """
    if kind == MERGES:
        raise InvalidInputError("links of the type 'merges' are made by merging: session.organizer")
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        raise InvalidInputError(
            f"a link's type is up to 24 lower-case letters, digits, - and _, not {kind!r}"
        )
    return kind
