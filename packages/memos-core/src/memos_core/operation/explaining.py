"""Explaining: which grant allows something, or what is missing, atom by atom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from memos_core.draft import Key
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import (
    ROOT,
    Action,
    Decision,
    Rights,
    decide_atom,
    decide_space,
)
from memos_core.infrastructure.governance.grants import Grant, GrantId, Grants
from memos_core.infrastructure.governance.names import check_principal, check_purpose, check_space
from memos_core.infrastructure.vault.records import fetch
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.operation.gate import EVERYWHERE, Gate, Ref, check_ref, is_cube_id

_NOT_YOURS: Final = "a condition of a source that you do not govern"
Asked = str | Action | Iterable[str | Action]
"""One action or several, by name or as they are."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a principal may, or may not, do something.

    Args:
        principal: About whom.
        action: What for, e.g. `read`.
        on: The memory or the space.
        purpose: For which purpose.
        allowed: Whether it may be done.
        grants: What allows it, grant by grant; `own` is the right to one's own space.
        missing: What stands against it; empty where it is allowed.
    """

    principal: str
    action: str
    on: str
    purpose: str
    allowed: bool
    grants: tuple[GrantId, ...]
    missing: tuple[str, ...]


class Explainer:
    """Explains decisions, to those whom they concern.

    Args:
        gate: Decides and records.
        grants: Lists what stands.
    """

    def __init__(self, gate: Gate, grants: Grants) -> None:
        self._gate = gate
        self._grants = grants

    def explain(
        self, actor: Actor, principal: str, action: Asked, on: Ref, purpose: str | None
    ) -> Explanation:
        """Say which grants allow a principal something, or what is missing.

        One may ask about oneself and what one may read or govern, and about others on what one
        governs.
        """
        check_principal(principal, may_be_group=False)
        wanted = Action.parse(action)
        meant = check_purpose(purpose) if purpose is not None else actor.purpose
        about_space = isinstance(on, str) and not is_cube_id(on)
        if about_space and on != EVERYWHERE:
            check_space(str(on))
        with self._gate.effect(actor, "memos.explain", durable=False) as tx:
            rights = self._gate.registry.rights(tx, principal)
            if about_space:
                space = ROOT if on == EVERYWHERE else str(on)
                if principal != actor.principal:
                    self._gate.require(tx, actor, Action.GOVERN, space)
                decisions = [
                    decide_space(rights, each, space, purpose=meant, now=tx.now) for each in wanted
                ]
                known = self._gate.registry.find_space(tx, space) if space else None
                subject = None if known is None else known.id  # a question makes no space
            else:
                subject, decisions = self._about_memory(tx, actor, rights, wanted, on, meant)
            self._gate.note(tx, actor, "memos.explain", subject=subject)
        shown = on.name if isinstance(on, Key) else on
        return _explanation(principal, wanted, shown, meant, decisions)

    def _about_memory(
        self, tx: Transaction, actor: Actor, rights: Rights, wanted: Action, on: Ref, purpose: str
    ) -> tuple[str, list[Decision]]:
        ref = check_ref(on)
        found = (
            self._gate.locate(tx, actor, ref)
            if rights.principal == actor.principal
            else self._gate.governed(tx, actor, ref)
        )
        cube, space = found.cube, self._gate.space_of(tx, found.cube)
        if rights.principal != actor.principal:
            self._gate.require(tx, actor, Action.GOVERN, space, cube=cube.id)
        label = self._gate.registry.labels(tx, [cube.label_id])[cube.label_id]
        decisions: list[Decision] = []
        for each in wanted:
            if each in (Action.WRITE, Action.GOVERN):
                decisions.append(
                    decide_space(rights, each, space, cube=cube.id, purpose=purpose, now=tx.now)
                )
            if each is not Action.GOVERN:  # what is written, derived or shared is read first
                asked = Action.READ if each is Action.WRITE else each
                for atom in label.atoms:
                    own = rights.principal == actor.principal
                    known = own or self._gate.governs(tx, actor, atom.space, atom.cube)
                    decisions += [
                        decision if known else replace(decision, reason=_NOT_YOURS)
                        for needed in dict.fromkeys((Action.READ, asked))
                        for decision in [
                            decide_atom(rights, needed, atom, purpose=purpose, now=tx.now)
                        ]
                    ]
        return cube.id, decisions

    def grants(self, actor: Actor, on: str | None) -> list[Grant]:
        """List the standing grants that one was given, or that stand on what one governs."""
        if on is not None and on != EVERYWHERE and not is_cube_id(on):
            check_space(on)
        with self._gate.effect(actor, "memos.grants", durable=False) as tx:
            rights = self._gate.access(tx, actor).rights
            standing = self._grants.standing(tx)
            spaces = self._spaces_of(tx, [p.cube for _grant, p in standing if p.cube is not None])
            found = []
            for grant, permission in standing:
                space = spaces.get(permission.cube or "", permission.space or ROOT)
                governs = self._gate.governs(tx, actor, space, permission.cube or "")
                if (grant.to in rights.names or governs) and on in (None, grant.on):
                    found.append(grant)
            self._gate.note(tx, actor, "memos.grants")
            return found

    def _spaces_of(self, tx: Transaction, cube_ids: Sequence[str]) -> dict[str, str]:
        found = fetch(tx, cube_ids).values()
        return {each.cube.id: self._gate.space_of(tx, each.cube) for each in found}


def _explanation(
    principal: str, action: Action, on: str, purpose: str, decisions: Sequence[Decision]
) -> Explanation:
    missing = tuple(dict.fromkeys(each.reason for each in decisions if not each.allowed))
    grants = tuple(dict.fromkeys(each.reason for each in decisions if each.allowed))
    names = "+".join(action.names)
    return Explanation(principal, names, on, purpose, not missing, grants, missing)
