"""What a forked child must do before anything else: it has copies of what was its parent's."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def after_fork(of: T, act: Callable[[T], None]) -> None:
    """Do something with an object in every child that is forked while the object lives.

    Args:
        of: The object; it is not kept alive.
        act: What to do, in the child, where only the forking thread goes on.
    """
    known = weakref.ref(of)

    def begin() -> None:
        living = known()
        if living is not None:
            act(living)

    os.register_at_fork(after_in_child=begin)
