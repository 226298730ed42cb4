"""What is decided about whole sources and resources: trust, quarantine, quotas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict

from pydantic import JsonValue

from memos_core.cube import Trust
from memos_core.draft import MAX_KEY, check_name, check_reason
from memos_core.errors import DeniedError, InvalidInputError, NotFoundError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import ROOT, Action
from memos_core.infrastructure.governance.names import check_space, is_principal
from memos_core.infrastructure.governance.sources import Quarantine, Sources
from memos_core.infrastructure.vault.reserve import Draw
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.operation.gate import EVERYWHERE, Gate, Refusal
from memos_core.operation.quotas import Quota, Quotas


class Policing:
    """Trusts, quarantines and quotas.

    Args:
        gate: Decides and records.
        sources: Writes trusts and quarantines.
        quotas: Writes quotas.
        tell: Tells the anchors that something was withdrawn.
    """

    def __init__(
        self, gate: Gate, sources: Sources, quotas: Quotas, tell: Callable[[], None]
    ) -> None:
        self._tell = tell
        self._gate = gate
        self._sources = sources
        self._quotas = quotas

    def set_trust(self, actor: Actor, source: str, level: Trust) -> None:
        """Set how far a source is trusted."""
        _check_source(source)
        with self._gate.effect(actor, "memos.trust") as tx:
            self._gate.require(tx, actor, Action.GOVERN, ROOT)
            subject = self._sources.set_trust(tx, source, level)
            data: dict[str, JsonValue] = {"level": level.name.lower()}
            self._gate.note(tx, actor, "memos.trust", subject=subject, data=data)
        self._tell()

    def quarantine(self, actor: Actor, source: str, on: str, reason: str) -> Quarantine:
        """Hide all that a source brought, and all that was derived from it."""
        _check_source(source)
        check_reason(reason)
        if on != EVERYWHERE:
            check_space(on)
        space = ROOT if on == EVERYWHERE else on
        with self._gate.effect(actor, "memos.quarantine", draw=Draw.ALL) as tx:
            self._gate.require(tx, actor, Action.GOVERN, space)
            by = self._gate.registry.ensure_principal(tx, actor.principal)
            made = self._sources.quarantine(tx, source, space, by=by, reason=reason)
            data: dict[str, JsonValue] = {
                "source": self._sources.ensure(tx, source),
                "space": self._gate.space_id(tx, space),
            }
            self._gate.note(tx, actor, "memos.quarantine", subject=made.id, data=data)
        self._tell()
        return made

    def release(self, actor: Actor, quarantine_id: str) -> None:
        """End a quarantine."""
        with self._gate.effect(actor, "memos.release") as tx:
            row = self._sources.standing(tx, quarantine_id)
            if row is None:
                raise self._no_quarantine(quarantine_id)
            try:
                self._gate.require(tx, actor, Action.GOVERN, row["space"])
            except Refusal:  # whoever may not govern it learns nothing of it
                raise self._no_quarantine(quarantine_id) from None
            if row["source_id"] == self._gate.registry.find_principal(tx, actor.principal):
                error = DeniedError("nobody releases himself: ask somebody else who governs there")
                raise Refusal(error, "denied", quarantine_id, "another governor")
            self._sources.release(tx, quarantine_id)
            self._gate.note(tx, actor, "memos.release", subject=quarantine_id)

    def set_quota(self, actor: Actor, subject: str, limits: Mapping[str, int | None]) -> Quota:
        """Limit what a principal or a space may use."""
        with self._gate.effect(actor, "memos.quota", draw=Draw.ALL) as tx:
            self._gate.require(tx, actor, Action.GOVERN, ROOT)
            quota = self._quotas.put(tx, subject, limits)
            self._gate.vault.move_epoch(tx)
            data: dict[str, JsonValue] = {
                name: limit for name, limit in asdict(quota).items() if name.startswith("max_")
            }
            subject_id = self._subject_id(tx, subject)
            self._gate.note(tx, actor, "memos.quota", subject=subject_id, data=data)
            return quota

    def _subject_id(self, tx: Transaction, subject: str) -> str | None:
        if is_principal(subject):
            return self._gate.registry.ensure_principal(tx, subject)
        return self._gate.space_id(tx, subject)

    def _no_quarantine(self, quarantine_id: str) -> Refusal:
        error = NotFoundError(f"no quarantine {quarantine_id!r} that you may release")
        return Refusal(error, "not_found")


def _check_source(source: str) -> None:
    check_name(source, "source", MAX_KEY)
    if source.startswith("group:"):
        raise InvalidInputError(
            f"{source} is a group, and groups write nothing: name its members, or an origin"
        )
