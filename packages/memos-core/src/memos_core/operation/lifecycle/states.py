"""The states of a memory's life and the transitions between them: one table (arXiv 2507.03724).

A memory is *generated* when it is recorded, *activated* while a model has it switched on, *merged*
once another memory stands for it, *archived* when it was put away, and *expired* when its time is
over. Expired is the end: nothing leads out of it but the erasure of its bytes. *Frozen* is no state
but a flag beside it: what is frozen makes no transition, save that its time still ends, for an end
is a promise that was made to somebody.

```
                 ┌── disable ──┐
   generated ────┤             ├──── activated
    │  ▲  │  ▲   └── enable  ──┘         │
    │  │  │  └── unmerge ── merged       │
    │  │  └───── merge ──────▲  │        │
    │  │                        │        │
    │  └────── unarchive ── archived ◄───┴── archive (from any of the three)
    └─► expire, from every state ──► expired
```
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from memos_core.cube import MemoryState
from memos_core.errors import ConflictError

_G, _A = MemoryState.GENERATED, MemoryState.ACTIVATED
_M, _R, _X = MemoryState.MERGED, MemoryState.ARCHIVED, MemoryState.EXPIRED


class Transition(StrEnum):
    """What moves a memory from one state to another; the ledger's and the history's names."""

    ENABLE = "enable"
    DISABLE = "disable"
    MERGE = "merge"
    UNMERGE = "unmerge"
    ARCHIVE = "archive"
    UNARCHIVE = "unarchive"
    EXPIRE = "expire"


TABLE: Final[Mapping[Transition, Mapping[MemoryState, MemoryState]]] = MappingProxyType(
    {
        Transition.ENABLE: {_G: _A},
        Transition.DISABLE: {_A: _G},
        Transition.MERGE: {_G: _M},
        Transition.UNMERGE: {_M: _G},
        Transition.ARCHIVE: {_G: _R, _A: _R, _M: _R},
        Transition.UNARCHIVE: {_R: _G},
        Transition.EXPIRE: {_G: _X, _A: _X, _M: _X, _R: _X},
    }
)
"""By transition, from which state it leads where; what is not in it does not happen."""


_UNDOING: Final = {
    Transition.DISABLE: "enabled",
    Transition.UNMERGE: "merged",
    Transition.UNARCHIVE: "archived",
}
"""What a memory must be for these, in the words of whoever asked."""


def after(state: MemoryState, transition: Transition, *, frozen: bool = False) -> MemoryState:
    """Return the state that a transition leads to.

    Args:
        state: The memory's state.
        transition: What is to happen to it.
        frozen: Whether it is frozen.

    Raises:
        ConflictError: The table has no such transition, or the memory is frozen.

    Example:
        >>> after(MemoryState.GENERATED, Transition.ARCHIVE).value
        'archived'
    """
    if frozen and transition is not Transition.EXPIRE:
        raise ConflictError(f"the memory is frozen: unfreeze it before you {transition} it")
    ways = TABLE[transition]
    if state in ways:
        return ways[state]
    if transition in _UNDOING:
        raise ConflictError(f"the memory is not {_UNDOING[transition]}: it is {state.value}")
    raise ConflictError(f"the memory is {state.value}, so it cannot {transition} now")
