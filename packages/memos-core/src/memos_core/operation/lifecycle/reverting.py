"""Going back to an earlier version, and keeping a memory from changing at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from memos_core.cube import Header, MemCube, Sensitivity
from memos_core.errors import ConflictError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.vault.records import Record
from memos_core.models.embedder import Embedder
from memos_core.operation.gate import Gate, Ref
from memos_core.operation.lifecycle.updating import TRIES, Change, Updater, header_of
from memos_core.operation.preparing import Preparer, Raw
from memos_core.operation.retrieval.versions import Versions

DESCRIPTIVE: Final = (
    *("semantic_type", "occurred_at", "valid_from", "valid_to", "source", "speaker"),
    *("model", "tags", "metadata", "priority"),
)
"""What a rollback brings back beside the content. What governs a memory stays as it is now: an old
permission never comes back."""


class Reverter:
    """Writes versions that take a memory back, or freeze it.

    Args:
        gate: Decides and records.
        updater: Writes versions.
        preparer: Marks and embeds contents.
        versions: Reads earlier versions.
    """

    def __init__(
        self, gate: Gate, updater: Updater, preparer: Preparer, versions: Versions
    ) -> None:
        self._gate = gate
        self._updater = updater
        self._preparer = preparer
        self._versions = versions

    def rollback(
        self, actor: Actor, ref: Ref, number: int, expected_version: int | None, reason: str
    ) -> MemCube:
        """Write a new version that equals an earlier one.

        Raises:
            ConflictError: The memory is not at `expected_version`, or is frozen, or kept changing.
        """
        verb = "memos.rollback"
        for _ in range(TRIES):
            with self._gate.snapshot(actor, verb) as tx:
                seen = self._updater.changeable(tx, actor, ref, expected_version)
                earlier = self._versions.one(tx, actor, seen, number)
                embedder = self._preparer.embedding.embedder(tx)
            change = self._back_to(earlier, header_of(seen), embedder)
            change = replace(change, reason=reason or f"back to version {number}")
            with self._gate.effect(actor, verb) as tx:
                record = self._updater.changeable(tx, actor, seen.cube.id, expected_version)
                if record.cube.version == seen.cube.version:
                    return self._updater.write(tx, actor, record, change)
        raise ConflictError("the memory kept changing: read it again, then roll it back")

    def _back_to(self, earlier: Record, present: Header, embedder: Embedder) -> Change:
        was = earlier.memcube()
        levels = dict(present.field_sensitivity)
        for path, level in was.meta.field_sensitivity.items():
            levels[path] = max(level, levels.get(path, level))
        described = {name: getattr(was.meta, name) for name in DESCRIPTIVE}
        header = present.model_copy(update=described | {"field_sensitivity": levels})
        level = Sensitivity.INTERNAL if header.sensitivity is None else header.sensitivity
        raw = Raw(was.content, header.metadata, levels, level, before=was)
        made = self._preparer.prepare(embedder, [raw])[0]
        header = header.model_copy(update={"marks": made.marks})
        return Change(header, was.content, made, "", action="rollback")

    def freeze(self, actor: Actor, ref: Ref, reason: str, *, frozen: bool) -> MemCube:
        """Keep a memory from changing, or let it change again; a version says so."""
        action = "freeze" if frozen else "unfreeze"
        verb = f"memos.{action}"
        for _ in range(TRIES):
            with self._gate.snapshot(actor, verb) as tx:
                seen = self._updater.changeable(tx, actor, ref, None, thaw=not frozen)
                embedder = self._preparer.embedding.embedder(tx)
            cube, header = seen.memcube(), header_of(seen)
            if not frozen and not header.frozen:
                raise ConflictError(f"memory {cube.id} is not frozen")
            level = Sensitivity.INTERNAL if header.sensitivity is None else header.sensitivity
            raw = Raw(cube.content, header.metadata, header.field_sensitivity, level, before=cube)
            made = self._preparer.prepare(embedder, [raw])[0]
            header = header.model_copy(update={"frozen": frozen, "marks": made.marks})
            change = Change(header, cube.content, made, reason, action=action)
            with self._gate.effect(actor, verb) as tx:
                record = self._updater.changeable(tx, actor, seen.cube.id, None, thaw=not frozen)
                if record.cube.version == seen.cube.version:
                    return self._updater.write(tx, actor, record, change)
        raise ConflictError(f"the memory kept changing: try to {action} it again")
