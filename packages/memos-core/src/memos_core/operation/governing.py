"""Giving and taking rights, decided like everything else: by GOVERN on what they are about."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import JsonValue

from memos_core.clock import from_micros, require_aware, to_micros
from memos_core.cube import Sensitivity
from memos_core.errors import DeniedError, InvalidInputError, NotFoundError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import (
    ANY_PURPOSE,
    OWN,
    ROOT,
    Action,
    Permission,
)
from memos_core.infrastructure.governance.grants import Award, Grant, GrantId, Grants
from memos_core.infrastructure.governance.names import check_principal, check_purpose, check_space
from memos_core.infrastructure.vault.records import fetch
from memos_core.infrastructure.vault.reserve import Draw
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.operation.gate import EVERYWHERE, Gate, Refusal, is_cube_id
from memos_core.operation.lifecycle.labelling import Labeller


@dataclass(frozen=True, slots=True)
class GrantRequest:
    """What a caller wants granted."""

    to: str
    actions: str | Action | Iterable[str | Action]
    on: str
    purposes: Iterable[str]
    until: datetime | None


class Governing:
    """Grants, groups and clearances.

    Args:
        gate: Decides and records.
        grants: Writes them.
        labeller: Gives a memory a label of its own when it is granted singly.
        tell: Tells the anchors that something was withdrawn.
    """

    def __init__(
        self, gate: Gate, grants: Grants, labeller: Labeller, tell: Callable[[], None]
    ) -> None:
        self._tell = tell
        self._gate = gate
        self._grants = grants
        self._labeller = labeller

    def grant(self, actor: Actor, request: GrantRequest) -> Grant:
        """Give somebody a right on a subtree or on one memory."""
        check_principal(request.to)
        actions = Action.parse(request.actions)
        purposes = _purposes(request.purposes)
        single = is_cube_id(request.on)
        if not single and request.on != EVERYWHERE:
            check_space(request.on)
        until = None
        if request.until is not None:
            until = to_micros(require_aware(request.until, "until"))
        with self._gate.effect(actor, "memos.grant") as tx:
            if until is not None and until <= tx.now:
                raise InvalidInputError("until is not in the future: the grant would never hold")
            space = ROOT if request.on == EVERYWHERE else request.on
            cube_id = request.on if single else None
            where = space if cube_id is None else self._single_out(tx, actor, cube_id)
            self._gate.require(tx, actor, Action.GOVERN, where, cube=cube_id or "")
            basis = self._basis(tx, actor, where, cube_id or "", purposes, until)
            award = Award(
                request.to,
                actions,
                None if single else space,
                cube_id,
                purposes,
                until,
                None if basis.grant_id == OWN else basis.grant_id,
            )
            by = self._gate.registry.ensure_principal(tx, actor.principal)
            grant = self._grants.give(tx, award, by=by)
            data: dict[str, JsonValue] = {
                "to": self._gate.registry.ensure_principal(tx, request.to),
                "actions": list(actions.names),
                "space": self._gate.space_id(tx, None if single else space),
                "cube": cube_id,
                "purposes": list(purposes),
                "until": None if until is None else from_micros(until).isoformat(),
            }
            self._gate.note(tx, actor, "memos.grant", subject=grant.id, data=data)
            return grant

    def _basis(
        self,
        tx: Transaction,
        actor: Actor,
        space: str,
        cube: str,
        purposes: tuple[str, ...],
        until: int | None,
    ) -> Permission:
        """Find the right to govern that a grant is given by: for its purposes, and as long.

        Raises:
            Refusal: None of the actor's reaches so far.
        """
        rights, purpose = self._gate.access(tx, actor).rights, actor.purpose
        for each in rights.holding(Action.GOVERN, space, cube=cube, purpose=purpose, now=tx.now):
            lasts = each.until is None or (until is not None and until <= each.until)
            if lasts and (ANY_PURPOSE in each.purposes or set(purposes) <= set(each.purposes)):
                return each
        error = DeniedError(
            "a grant cannot go beyond the right to govern that it is given by: "
            "name the same purposes, and an end no later"
        )
        raise Refusal(error, "denied", None, "reach")

    def _single_out(self, tx: Transaction, actor: Actor, cube_id: str) -> str:
        """Let grants on just this memory count, which needs a label of its own.

        Returns:
            The space that it lies in.
        """
        record = self._gate.readable(tx, actor, cube_id)
        space = self._gate.space_of(tx, record.cube)
        self._gate.require(tx, actor, Action.GOVERN, space, cube=cube_id)
        own = self._labeller.own(tx, record.cube)
        if own.cube != cube_id:
            self._labeller.relabel(tx, record.cube, replace(own, cube=cube_id))
        return space

    def revoke(self, actor: Actor, grant_id: GrantId) -> None:
        """Take a right back, and what was given by virtue of it; both stop when this commits."""
        with self._gate.effect(actor, "memos.revoke", draw=Draw.ALL) as tx:
            about = self._grants.find(tx, grant_id)
            if about is None:
                raise self._no_grant(grant_id, None)
            try:
                self._gate.require(tx, actor, Action.GOVERN, *self._where(tx, about))
            except Refusal:  # whoever may not govern it learns nothing of it
                raise self._no_grant(grant_id, grant_id) from None
            _first, *others = self._grants.take(tx, grant_id)
            data: dict[str, JsonValue] = {"with": list(others)} if others else {}
            self._gate.note(tx, actor, "memos.revoke", subject=grant_id, data=data)
        self._tell()

    def _where(self, tx: Transaction, about: Permission) -> tuple[str, str]:
        """Say on which space, and which memory in it, a grant stands."""
        if about.cube is None:
            return about.space or ROOT, ""
        found = fetch(tx, [about.cube]).get(about.cube)
        return (ROOT if found is None else self._gate.space_of(tx, found.cube)), about.cube

    def join(self, actor: Actor, group: str, member: str) -> None:
        """Put a principal or a group into a group."""
        self._change_group(actor, group, member, join=True)

    def leave(self, actor: Actor, group: str, member: str) -> None:
        """Take a principal or a group out of a group."""
        self._change_group(actor, group, member, join=False)

    def _change_group(self, actor: Actor, group: str, member: str, *, join: bool) -> None:
        check_principal(member)
        if not check_principal(group).startswith("group:"):
            raise InvalidInputError(f"{group} is not a group: write group:NAME")
        verb = "memos.group.join" if join else "memos.group.leave"
        draw = Draw.NOTHING if join else Draw.ALL
        with self._gate.effect(actor, verb, draw=draw) as tx:
            self._gate.require(tx, actor, Action.GOVERN, ROOT)
            taken: list[GrantId] = []
            if join:
                self._grants.join(tx, group, member)
            else:
                taken = self._grants.leave(tx, group, member)
            subject = self._gate.registry.ensure_principal(tx, group)
            who = self._gate.registry.ensure_principal(tx, member)
            data: dict[str, JsonValue] = {"member": who} | ({"with": [*taken]} if taken else {})
            self._gate.note(tx, actor, verb, subject=subject, data=data)
        if not join:
            self._tell()

    def set_clearance(self, actor: Actor, principal: str, level: Sensitivity) -> None:
        """Set how sensitive a memory somebody may read in shared spaces."""
        check_principal(principal, may_be_group=False)
        # Whether it is lowered is known inside only; raising one writes as little.
        with self._gate.effect(actor, "memos.clearance", draw=Draw.ALL) as tx:
            self._gate.require(tx, actor, Action.GOVERN, ROOT)
            self._gate.registry.set_clearance(tx, principal, level)
            self._gate.vault.move_epoch(tx)
            subject = self._gate.registry.ensure_principal(tx, principal)
            data = {"level": level.name.lower()}
            self._gate.note(tx, actor, "memos.clearance", subject=subject, data=dict(data))
        self._tell()

    def _no_grant(self, grant_id: GrantId, subject: str | None) -> Refusal:
        error = NotFoundError(f"no grant {grant_id!r} that you may revoke")
        return Refusal(error, "not_found", subject)


def _purposes(purposes: Iterable[str]) -> tuple[str, ...]:
    if isinstance(purposes, str):
        purposes = (purposes,)
    found = tuple(dict.fromkeys(purposes))
    if not found:
        raise InvalidInputError("a grant names at least one purpose, e.g. ('assist',), or ('*',)")
    return tuple(each if each == ANY_PURPOSE else check_purpose(each) for each in found)
