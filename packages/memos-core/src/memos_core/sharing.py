"""Sharing: the verbs by which a principal gives rights, and takes them back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from memos_core.cube import CubeId, Sensitivity
from memos_core.errors import InvalidInputError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import Action
from memos_core.infrastructure.governance.grants import Grant, GrantId
from memos_core.operation.engine import Engine
from memos_core.operation.gate import check_ref
from memos_core.operation.governing import GrantRequest


class Sharing:
    """The verbs of rights; a `Session` has them.

    Example:
        >>> from memos_core.testing import temporary_memos
        >>> with temporary_memos() as memos:
        ...     memos.session("user:alice").grant("user:bob", "read", on="user:alice").actions
        ('read',)
    """

    def __init__(self, engine: Engine, actor: Actor) -> None:
        self._engine = engine
        self._actor = actor

    def grant(
        self,
        to: str,
        actions: str | Action | Iterable[str | Action],
        *,
        on: str | CubeId,
        purposes: Iterable[str] = ("assist",),
        until: datetime | None = None,
    ) -> Grant:
        """Give somebody a right on a space and what lies under it, or on one memory.

        Args:
            to: A principal or a group.
            actions: `read`, `write`, `derive`, `share`, `govern`; one or several.
            on: A space, a memory's id, or `*` for every shared space.
            purposes: For which purposes; `("*",)` for every one.
            until: When it ends.

        Raises:
            DeniedError: The principal does not govern it.
            NotFoundError: There is no such memory that the principal may read.
        """
        if not isinstance(on, str) or not on:
            raise InvalidInputError("`on` is a space, a memory's id, or '*' for every shared space")
        request = GrantRequest(to, actions, on, purposes, until)
        return self._engine.governing.grant(self._actor, request)

    def revoke(self, grant: Grant | GrantId) -> None:
        """Take a right back; it stops counting, in every process, when this returns.

        Raises:
            NotFoundError: There is no such grant that the principal may revoke.
        """
        grant_id = grant.id if isinstance(grant, Grant) else str(check_ref(grant))
        self._engine.governing.revoke(self._actor, grant_id)

    def add_member(self, group: str, member: str) -> None:
        """Put a principal or a group into a group.

        Raises:
            DeniedError: The principal does not govern the vault.
            ConflictError: The group would contain itself.
        """
        self._engine.governing.join(self._actor, group, member)

    def remove_member(self, group: str, member: str) -> None:
        """Take a principal or a group out of a group.

        Raises:
            DeniedError: The principal does not govern the vault.
        """
        self._engine.governing.leave(self._actor, group, member)

    def set_clearance(self, principal: str, level: Sensitivity | str) -> None:
        """Set how sensitive a memory somebody may read in shared spaces.

        Raises:
            DeniedError: The principal does not govern the vault.
        """
        self._engine.governing.set_clearance(self._actor, principal, Sensitivity.parse(level))
