"""Going back to an earlier version, and keeping a memory from changing at all."""

from __future__ import annotations

from typing import Final

from memos_core.cube import Header, MemCube
from memos_core.errors import ConflictError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.vault.records import Record
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.models.embedder import Embedder
from memos_core.operation.gate import Ref
from memos_core.operation.lifecycle.updating import Change, Compute, Updater, header_of
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
        updater: Writes versions.
        preparer: Marks and embeds contents.
        versions: Reads earlier versions.
    """

    def __init__(self, updater: Updater, preparer: Preparer, versions: Versions) -> None:
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

        def begin(tx: Transaction, seen: Record) -> Compute:
            earlier = self._versions.one(tx, actor, seen, number)
            why = reason or f"back to version {number}"
            return lambda embedder: self._back_to(earlier, header_of(seen), why, embedder)

        verb = "memos.rollback"
        return self._updater.revise(actor, verb, ref, begin, expected_version=expected_version)

    def _back_to(self, earlier: Record, present: Header, reason: str, embedder: Embedder) -> Change:
        was = earlier.memcube()
        levels = dict(present.field_sensitivity)
        for path, level in was.meta.field_sensitivity.items():
            levels[path] = max(level, levels.get(path, level))
        described = {name: getattr(was.meta, name) for name in DESCRIPTIVE}
        header = present.model_copy(update=described | {"field_sensitivity": levels})
        return self._change(header, was, reason, "rollback", embedder)

    def freeze(self, actor: Actor, ref: Ref, reason: str, *, frozen: bool) -> MemCube:
        """Keep a memory from changing, or let it change again; a version says so."""
        action = "freeze" if frozen else "unfreeze"

        def begin(_tx: Transaction, seen: Record) -> Compute:
            cube = seen.memcube()
            if not frozen and not cube.meta.frozen:
                raise ConflictError(f"memory {cube.id} is not frozen")
            header = header_of(seen).model_copy(update={"frozen": frozen})
            return lambda embedder: self._change(header, cube, reason, action, embedder)

        return self._updater.revise(actor, f"memos.{action}", ref, begin, thaw=not frozen)

    def _change(
        self, header: Header, was: MemCube, reason: str, action: str, embedder: Embedder
    ) -> Change:
        """Describe a version with this header and the content of one that was."""
        made = self._preparer.prepare(embedder, [Raw.of(header, was.content, before=was)])[0]
        header = header.model_copy(update={"marks": made.marks})
        return Change(header, was.content, made, reason, action=action)
