"""Admission: what of all that is said is worth keeping, and why the rest is not."""

from __future__ import annotations

from dataclasses import dataclass

from memos_core.errors import InvalidInputError


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionPolicy:
    """When something that was said becomes a memory.

    Args:
        least_importance: What was merely said must matter at least so much, 0 to 1.
        least_words: And have at least so many words.
        most_recalled: What consists of stored memories to this share, or more, is not kept again.
        secrets: Whether passwords and keys are kept that nobody asked to keep.

    Raises:
        InvalidInputError: A share lies outside 0 to 1.
    """

    least_importance: float = 0.2
    least_words: int = 2
    most_recalled: float = 0.8
    secrets: bool = False

    def __post_init__(self) -> None:
        """Refuse shares that are none."""
        for name in ("least_importance", "most_recalled"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidInputError(f"{name} is between 0 and 1, not {getattr(self, name)!r}")


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is known of something before it becomes a memory.

    Args:
        explicit: Whether it was asked to be kept.
        importance: How much it matters, 0 to 1.
        words: How many words it has.
        secret: Whether it holds a password, a key or the like.
        equal_to: A memory that says it in the same words.
        repeats: A memory that says the same.
        recalled: What share of it stands in stored memories, word by word, 0 to 1.
        recalled_from: The memory that most of it stands in.
    """

    explicit: bool
    importance: float
    words: int
    secret: bool = False
    equal_to: str | None = None
    repeats: str | None = None
    recalled: float = 0.0
    recalled_from: str | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether something is kept, and why.

    Args:
        kept: Whether.
        reason: `asked for`, `worth keeping`, `known already`, `says nothing new`, `was recalled`,
            `too slight`, `too short` or `a secret`.
        because: The memory that makes it needless, if one does.
    """

    kept: bool
    reason: str
    because: str | None = None


def admit(arrival: Arrival, policy: AdmissionPolicy) -> Admission:
    """Decide whether something becomes a memory.

    Args:
        arrival: What is known of it.
        policy: What is asked of it.

    Example:
        >>> admit(Arrival(explicit=False, importance=0.9, words=5), AdmissionPolicy()).reason
        'worth keeping'
    """
    if arrival.equal_to is not None:
        return Admission(False, "known already", arrival.equal_to)
    if arrival.recalled >= policy.most_recalled:
        return Admission(False, "was recalled", arrival.recalled_from)
    if arrival.repeats is not None:
        return Admission(False, "says nothing new", arrival.repeats)
    if arrival.explicit:
        return Admission(True, "asked for")
    if arrival.secret and not policy.secrets:
        return Admission(False, "a secret")
    if arrival.words < policy.least_words:
        return Admission(False, "too short")
    if arrival.importance < policy.least_importance:
        return Admission(False, "too slight")
    return Admission(True, "worth keeping")
