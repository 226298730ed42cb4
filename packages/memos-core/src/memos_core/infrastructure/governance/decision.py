"""The decision: may this principal do this, with this, for this purpose, now?

Pure functions over values. Nothing is allowed unless a grant says so; a principal's own space is
the one grant that exists by itself. `access` lists, sensitivity, purposes and quarantines only
narrow; in one's own space one is always on the list and always cleared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Final

from memos_core.cube import Sensitivity, Trust
from memos_core.errors import InvalidInputError
from memos_core.infrastructure.governance.labels import Atom, Label
from memos_core.infrastructure.governance.names import ancestors, is_personal, within

ANY_PURPOSE: Final = "*"
OWN: Final = "own"
"""What stands for a grant's id where the right is that of one's own space."""
ROOT: Final = ""
"""The space above all shared realms; it reaches nobody's own space."""


class Action(IntFlag):
    """What a grant can allow."""

    READ = 1
    WRITE = 2
    DERIVE = 4
    SHARE = 8
    GOVERN = 16

    @classmethod
    def parse(cls, given: str | Action | Iterable[str | Action]) -> Action:
        """Read actions from names, themselves, or several of either.

        Raises:
            InvalidInputError: A name is unknown, or there is none.
        """
        if not isinstance(given, Iterable):
            raise InvalidInputError(f"actions are names such as 'read', not {given!r}")
        items = [given] if isinstance(given, str | Action) else list(given)
        found = cls(0)
        for item in items:
            if isinstance(item, Action):
                found |= item
            elif isinstance(item, str) and item.upper() in cls.__members__:
                found |= cls[item.upper()]
            else:
                known = ", ".join(action.name.lower() for action in cls if action.name)
                raise InvalidInputError(f"unknown action {item!r}: use {known}")
        found &= ALL_ACTIONS
        if not found:
            raise InvalidInputError("no action is named: a grant allows at least one, e.g. read")
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """The actions' names in lower case."""
        return tuple(action.name.lower() for action in type(self) if action in self and action.name)


ALL_ACTIONS: Final = Action.READ | Action.WRITE | Action.DERIVE | Action.SHARE | Action.GOVERN


@dataclass(frozen=True, slots=True)
class Permission:
    """A grant as the decision sees it.

    Args:
        grant_id: The grant, or `own` for a principal's own space.
        actions: What it allows.
        space: The subtree that it covers; None where it covers one memory.
        cube: The one memory that it covers; None where it covers a subtree.
        purposes: For what; `*` means everything.
        until: When it ends, in microseconds (exclusive); None never.
    """

    grant_id: str
    actions: Action
    space: str | None
    cube: str | None
    purposes: tuple[str, ...]
    until: int | None

    def holds(self, action: Action, purpose: str, now: int) -> bool:
        """Tell whether it allows `action` for `purpose` at `now`."""
        return (
            action in self.actions
            and (self.until is None or now < self.until)
            and (purpose in self.purposes or ANY_PURPOSE in self.purposes)
        )


@dataclass(frozen=True, slots=True)
class Rights:
    """Everything that decides what one principal may do, as of one policy epoch.

    Args:
        principal: The principal's name.
        names: The principal and every group that it is in, directly or through groups.
        clearance: The highest sensitivity that it may read in shared spaces.
        permissions: Its grants, and its groups'.
        epoch: The policy epoch that this was read at.
        quarantines: For each source in quarantine, the subtrees where it is; `ROOT` is everywhere.
        trusts: The trust of each source that somebody set; of the others it is normal.
    """

    principal: str
    names: frozenset[str]
    clearance: int
    permissions: tuple[Permission, ...]
    epoch: int
    quarantines: Mapping[str, frozenset[str]] = field(default_factory=dict)
    trusts: Mapping[str, Trust] = field(default_factory=dict)
    _by_space: Mapping[str, list[Permission]] = field(init=False, repr=False, compare=False)
    _by_cube: Mapping[str, list[Permission]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        own = Permission(OWN, ALL_ACTIONS, self.principal, None, (ANY_PURPOSE,), None)
        spaces: dict[str, list[Permission]] = {}
        cubes: dict[str, list[Permission]] = {}
        for permission in (own, *self.permissions):
            if permission.cube is not None:
                cubes.setdefault(permission.cube, []).append(permission)
            elif permission.space is not None:
                spaces.setdefault(permission.space, []).append(permission)
        object.__setattr__(self, "_by_space", spaces)
        object.__setattr__(self, "_by_cube", cubes)

    def holding(
        self, action: Action, space: str, *, cube: str = "", purpose: str, now: int
    ) -> Iterator[Permission]:
        """Go through the permissions for an action on a space, or on one memory in it.

        Yields:
            First those on the space itself, then those on what lies above it, then those on the
            memory; each in the order in which they were given.
        """
        paths = ancestors(space)
        if not is_personal(space):
            paths.append(ROOT)
        found = [permission for path in paths for permission in self._by_space.get(path, ())]
        found += self._by_cube.get(cube, ()) if cube else ()
        return (each for each in found if each.holds(action, purpose, now))

    def governs(self, space: str, cube: str, now: int) -> bool:
        """Tell whether this principal governs a memory, for whatever purpose."""
        owned = within(space, self.principal)
        held = (each for each in self.permissions if Action.GOVERN in each.actions)
        return owned or any(
            (each.until is None or now < each.until)
            and (each.cube == cube if each.cube is not None else _reaches(each.space, space))
            for each in held
        )

    def has_single(self, cube: str) -> bool:
        """Tell whether some permission is about this one memory."""
        return cube in self._by_cube

    def clearance_in(self, space: str) -> Sensitivity:
        """Return how sensitive a part of a memory in a space may be shown to this principal."""
        own = within(space, self.principal)
        return Sensitivity.RESTRICTED if own else Sensitivity(self.clearance)

    def is_quarantined(self, atom: Atom) -> bool:
        """Tell whether one of an atom's sources is in quarantine where the memory lies."""
        if not self.quarantines:
            return False
        subtrees = (self.quarantines.get(source, frozenset()) for source in atom.sources)
        return any(path == ROOT or within(atom.space, path) for each in subtrees for path in each)

    def trust_of(self, label: Label) -> Trust:
        """Return the least trust of all the sources that a label names."""
        if not self.trusts:
            return Trust.NORMAL
        found = (self.trusts.get(s, Trust.NORMAL) for atom in label.atoms for s in atom.sources)
        return min(found, default=Trust.NORMAL)

    def reach(self) -> tuple[frozenset[str], bool, frozenset[str]]:
        """Say where this principal's permissions point.

        Returns:
            The subtrees, whether all shared realms are among them, and the single memories.
        """
        return (
            frozenset(self._by_space) - {ROOT},
            ROOT in self._by_space,
            frozenset(self._by_cube),
        )

    def next_end(self, now: int) -> int | None:
        """Find when the next permission ends; what was compiled is stale from then on."""
        ends = [p.until for p in self.permissions if p.until is not None and p.until > now]
        return min(ends, default=None)


def _reaches(subtree: str | None, space: str) -> bool:
    if subtree == ROOT:
        return not is_personal(space)
    return subtree is not None and within(space, subtree)


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, and why.

    Args:
        allowed: Whether it may be done.
        reason: The grant that allows it, or what is missing.
        permission: The one that allows it, where the decision is about a space.
    """

    allowed: bool
    reason: str
    permission: Permission | None = None


def decide_space(
    rights: Rights, action: Action, space: str, *, cube: str = "", purpose: str, now: int
) -> Decision:
    """Decide about an action on a space, or on one memory in it.

    Args:
        rights: Who asks.
        action: What for.
        space: Where.
        cube: The memory, where it is about one.
        purpose: The session's purpose.
        now: Microseconds.
    """
    permission = next(rights.holding(action, space, cube=cube, purpose=purpose, now=now), None)
    if permission is None:
        name, where = "+".join(action.names), space or "the shared spaces"
        return Decision(False, f"{rights.principal} may not {name} {where} for {purpose!r}")
    return Decision(True, permission.grant_id, permission)


def decide_label(
    rights: Rights, action: Action, label: Label, *, purpose: str, now: int
) -> Decision:
    """Decide about an action on what a label protects: every atom must allow it."""
    reasons = []
    for atom in label.atoms:
        decision = decide_atom(rights, action, atom, purpose=purpose, now=now)
        if not decision.allowed:
            return decision
        reasons.append(decision.reason)
    if not reasons:
        return Decision(False, "the label has no atom")  # an empty conjunction allows nobody
    return Decision(True, ",".join(dict.fromkeys(reasons)))


def decide_atom(rights: Rights, action: Action, atom: Atom, *, purpose: str, now: int) -> Decision:
    """Decide about an action under one of a label's conditions."""
    own = within(atom.space, rights.principal)
    if rights.is_quarantined(atom):
        return Decision(False, "a source of the memory is in quarantine")
    if atom.access and not own and not rights.names.intersection(atom.access):
        return Decision(False, f"{rights.principal} is not on the memory's access list")
    if atom.purposes and purpose not in atom.purposes:
        return Decision(False, f"the memory is not for the purpose {purpose!r}")
    if atom.sensitivity > rights.clearance and not own:
        return Decision(False, f"{rights.principal}'s clearance is below the memory's sensitivity")
    return decide_space(rights, action, atom.space, cube=atom.cube, purpose=purpose, now=now)
