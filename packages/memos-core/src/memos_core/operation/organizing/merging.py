"""Merging memories into one that stands for them, and undoing it.

The sources stay, merged: who asks for that state, or by their ids, finds them. Undoing brings
them back as they were. If one of them is forgotten, what was merged from it goes, as everything
derived does, and the others stand for themselves again: a merge never loses a fact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from memos_core.cube import Kind, MemCube, MemoryState
from memos_core.draft import Draft
from memos_core.errors import ConflictError, InvalidInputError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.vault import links
from memos_core.infrastructure.vault.records import Record, fetch
from memos_core.operation.gate import Gate, Ref, unique
from memos_core.operation.lifecycle.adding import Adder
from memos_core.operation.lifecycle.reverting import Reverter
from memos_core.operation.lifecycle.states import Transition
from memos_core.operation.organizing.linking import Linker, Wanted
from memos_core.operation.organizing.merged import merged_into
from memos_core.operation.organizing.types import MERGES

_MERGE: Final = "memos.merge"
_UNMERGE: Final = "memos.unmerge"


class Merger:
    """Merges memories.

    Args:
        gate: Decides and records.
        adder: Writes what they are merged into.
        reverter: Moves them to other states.
        linker: Links it with them.
    """

    def __init__(self, gate: Gate, adder: Adder, reverter: Reverter, linker: Linker) -> None:
        self._gate = gate
        self._adder = adder
        self._reverter = reverter
        self._linker = linker

    def sources(self, actor: Actor, refs: Sequence[Ref]) -> list[MemCube]:
        """Read what is to be merged, as the actor sees it.

        Raises:
            InvalidInputError: They are fewer than two, or one of them is no text.
            ConflictError: One of them was merged or put away, or is seen only in part.
        """
        with self._gate.effect(actor, _MERGE, durable=False) as tx:
            records = [self._gate.readable(tx, actor, ref) for ref in unique(refs)]
            cubes = [self._gate.shown(tx, actor, each) for each in records]
            for each in cubes:
                self._gate.note(tx, actor, "memos.get", subject=each.id)
        if len({each.id for each in cubes}) < 2:
            raise InvalidInputError("merging takes two memories or more: pass their ids")
        for each in cubes:
            if each.kind is not Kind.PLAINTEXT:
                raise InvalidInputError(f"memory {each.id} is of a model: merge its sources")
            if each.meta.redacted:
                raise ConflictError(
                    f"you see memory {each.id} only in part, and what you do not see would be lost"
                )
            if each.meta.state is not MemoryState.GENERATED:
                raise ConflictError(f"memory {each.id} is {each.meta.state}: it cannot be merged")
        return cubes

    def merge(self, actor: Actor, cubes: Sequence[MemCube], draft: Draft) -> MemCube:
        """Write a memory that stands for others, and mark them so; all or nothing.

        Raises:
            DeniedError: The actor may not change one of them, or not write there.
            ConflictError: One of them changed meanwhile.
        """
        ids = tuple(each.id for each in cubes)
        spaces = {each.meta.space for each in cubes}
        space = draft.space or (spaces.pop() if len(spaces) == 1 else None)
        with self._gate.joined():
            for each in cubes:
                self._reverter.move(
                    actor, each.id, "merged", Transition.MERGE, expected_version=each.version
                )
            whole = replace(draft, parents=ids, space=space)
            made = self._adder.add(actor, [whole], "error")[0]
            with self._gate.effect(actor, _MERGE) as tx:
                records = fetch(tx, [made.id, *ids])
                merged = _record(records[made.id])
                for source in ids:
                    wanted = Wanted(made.id, source, MERGES)
                    self._linker.put(tx, actor, merged, _record(records[source]), wanted)
                self._gate.note(tx, actor, _MERGE, subject=made.id, data={"cubes": [*ids]})
        return made

    def unmerge(self, actor: Actor, ref: Ref) -> list[MemCube]:
        """Let the sources of a merged memory stand for themselves again, and archive it.

        Raises:
            ConflictError: Nothing was merged into it, or that was undone already.
            DeniedError: The actor may not change it or one of them.
        """
        with self._gate.joined():
            with self._gate.effect(actor, _UNMERGE) as tx:
                record = self._gate.readable(tx, actor, ref)
                merged = set(merged_into(tx, record.cube.id))
                ids = [each for each in record.memcube().meta.lineage if each in merged]
                if not ids:
                    raise ConflictError(f"memory {record.cube.id} was not merged from others")
                self._gate.note(tx, actor, _UNMERGE, subject=record.cube.id, data={"cubes": [*ids]})
            undone = Transition.UNMERGE
            back = [self._reverter.move(actor, each, "unmerged", undone) for each in ids]
            if record.cube.state != MemoryState.ARCHIVED.value:
                self._reverter.move(actor, record.cube.id, "unmerged", Transition.ARCHIVE)
            with self._gate.effect(actor, _UNMERGE) as tx:
                rows = links.touching(tx, [record.cube.id], types=[MERGES])
                links.remove(tx, [r.id for r in rows if r.source_id == record.cube.id])
        return back


def _record(found: object) -> Record:
    if not isinstance(found, Record):
        raise ConflictError("a memory was damaged or removed meanwhile: nothing was merged")
    return found
