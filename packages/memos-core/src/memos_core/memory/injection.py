"""What goes into a generation besides its prompt, and who may still use it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from memos_core.memory.activation import KVState
    from memos_core.memory.runtime import LocalModel


def _allowed() -> None:
    """Of memory that nobody governs: it may be used."""


@dataclass(frozen=True, slots=True)
class Injection:
    """Memory for one generation.

    Args:
        text: What is put in front of the prompt, in words.
        state: The keys and values of what the whole prompt then begins with.
        adapters: The names of the loaded adapters that are on.
        notes: Why some of the memory was not used, or not all of it.
        check: Called before the model begins, and before anything that it wrote is handed out.
            Raises where the memory may not be used any more.
    """

    text: str = ""
    state: KVState | None = None
    adapters: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    check: Callable[[], None] = _allowed


class Memory(Protocol):
    """Memory that a session allows a model to use."""

    def opened(self, model: LocalModel) -> AbstractContextManager[Injection]:
        """Make it ready for one generation by this model; what it loads is let go afterwards.

        Args:
            model: The model that is going to generate.
        """
        ...
