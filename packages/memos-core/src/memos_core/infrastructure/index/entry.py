"""What an index keeps of one memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from memos_core.filters import TypedKey

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

NEVER: Final = np.iinfo(np.int64).max
"""The `expires` of what does not expire."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One memory as the index sees it.

    Args:
        cube_id: Whose entry it is.
        version: The version that was indexed.
        label_id: What a reader needs.
        space: Where it lies.
        created: When it was recorded, in microseconds.
        when: When it happened, else when it was recorded; microseconds.
        expires: When it ends, in microseconds; `NEVER` if it does not.
        speaker: Who said it, if it was said.
        terms: Its words, stemmed, repeated ones kept.
        vector: float32 (d,), unit length.
        facets: The fields that filters can ask for, with typed values.
        archived: Whether it was put away: only who asks for that finds it.
        opaque: Whether it is no text but a model's: only who asks for its kind finds it.
    """

    cube_id: str
    version: int
    label_id: str
    space: str
    created: int
    when: int
    expires: int
    speaker: str | None
    terms: tuple[str, ...]
    vector: FloatArray
    facets: tuple[tuple[str, TypedKey], ...]
    archived: bool = False
    opaque: bool = False
