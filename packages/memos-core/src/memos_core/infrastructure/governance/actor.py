"""Who acts, where, and what for: fixed when a session is opened."""

from __future__ import annotations

from dataclasses import dataclass

from memos_core.infrastructure.governance.names import within


@dataclass(frozen=True, slots=True)
class Actor:
    """A principal at work.

    Args:
        principal: Who acts.
        home: Where it writes if no space is named: the session's space, else its own.
        bound: The subtree that it cannot leave, for reads and writes; None where the session named
            no space, and then the vault's decision is the only bound.
        purpose: What for.
        at: Which past instant it looks at, in microseconds; None is the present. A session in the
            past only reads.
    """

    principal: str
    home: str
    bound: str | None
    purpose: str
    at: int | None = None

    def reaches(self, space: str) -> bool:
        """Tell whether a space lies within the session's bound."""
        return self.bound is None or within(space, self.bound)
