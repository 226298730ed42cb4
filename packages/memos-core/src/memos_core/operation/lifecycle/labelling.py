"""Which label a memory carries: its own atom, and the atoms of everything it was derived from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from memos_core.cube import Header, Source
from memos_core.infrastructure.governance.labels import Atom, Label
from memos_core.infrastructure.governance.redaction import top_level
from memos_core.infrastructure.governance.registry import Registry
from memos_core.infrastructure.vault import journal
from memos_core.infrastructure.vault.records import (
    CubeRow,
    Damage,
    children,
    fetch,
    govern,
    parents,
)
from memos_core.infrastructure.vault.vault import Transaction


def own_atom(space: str, header: Header, sources: Iterable[str], *, cube: str = "") -> Atom:
    """Make the atom that a memory brings by itself.

    Args:
        space: Where the memory lies.
        header: Its header.
        sources: The ids of who wrote it and of where it came from.
        cube: Its id, where grants on just this memory count.
    """
    level = header.level
    top = top_level(header.marks, header.field_sensitivity)
    return Atom(
        space,
        int(level),
        tuple(sorted(header.access)),
        tuple(sorted(header.purposes)),
        cube,
        tuple(sorted(set(sources))),
        int(top) if top > level else 0,
    )


def origin_of(header: Header) -> str | None:
    """Return the name of the origin that a memory came from, if it names one."""
    return header.source.origin if isinstance(header.source, Source) else header.source


class Labeller:
    """Computes and propagates labels.

    Args:
        registry: Where labels are kept.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def label(self, tx: Transaction, own: Atom, parent_labels: Iterable[Label]) -> Label:
        """Return, and store, the union of a memory's own atom and its parents' atoms."""
        atoms = [own, *(atom.inherited() for label in parent_labels for atom in label.atoms)]
        label = Label.of(atoms)
        self._registry.ensure_label(tx, label)
        return label

    def sources(self, tx: Transaction, author_id: str, origin: str | None) -> set[str]:
        """Return the ids of what a content comes from: its author, and its origin if it has one."""
        if origin is None:
            return {author_id}
        return {author_id, self._registry.ensure_source(tx, origin)}

    def parent_labels(self, tx: Transaction, cube_id: str) -> list[Label]:
        """Read the present labels of the memories that this one was derived from.

        Raises:
            DamagedError: Nobody can say what it was derived from, or what protects that.
        """
        found = fetch(tx, parents(tx, cube_id)).values()
        for each in found:
            if isinstance(each, Damage) and each.table == "cubes":
                raise each.error()
        return list(self._registry.labels(tx, [each.cube.label_id for each in found]).values())

    def own(self, tx: Transaction, row: CubeRow) -> Atom:
        """Return the atom that a memory brings by itself, as it stands."""
        atoms = self._registry.labels(tx, [row.own_label_id])[row.own_label_id].atoms
        return atoms[0]

    def relabel(self, tx: Transaction, row: CubeRow, own: Atom) -> CubeRow:
        """Give a memory another atom of its own, and what is derived from it the consequences.

        Returns:
            The memory's new governing row; it and its journal entry are written.
        """
        changed = self._rewrite(tx, row, own)
        if changed.label_id != row.label_id:
            self._descend(tx, row.id)
        return changed

    def shorten(self, tx: Transaction, cube_id: str, end: int) -> None:
        """Let what is derived from a memory end with it at the latest."""
        frontier = [cube_id]
        while frontier:
            sources, frontier = frontier, []
            for found in fetch(tx, sorted(children(tx, sources))).values():
                row = found.cube
                damaged = isinstance(found, Damage) and found.table == "cubes"
                if damaged or (row.expires is not None and row.expires <= end):
                    continue
                govern(tx, replace(row, expires=end))
                journal.append(tx, row.realm_id, [row.id], "relabel")
                frontier.append(row.id)

    def _rewrite(self, tx: Transaction, row: CubeRow, own: Atom) -> CubeRow:
        own_label = self.label(tx, own, ())
        label = self.label(tx, own, self.parent_labels(tx, row.id))
        changed = replace(row, label_id=label.id, own_label_id=own_label.id)
        if changed != row:
            govern(tx, changed)
            journal.append(tx, row.realm_id, [row.id], "relabel")
        return changed

    def _descend(self, tx: Transaction, cube_id: str) -> None:
        """Recompute the labels of all that is derived, until nothing changes any more.

        A descendant whose content is damaged is relabelled too; one whose governing row is damaged
        is withheld anyway, and is left for the doctor.
        """
        frontier = [cube_id]
        while frontier:
            sources, frontier = frontier, []
            for found in fetch(tx, sorted(children(tx, sources))).values():
                if isinstance(found, Damage) and found.table == "cubes":
                    continue
                row = found.cube
                if self._rewrite(tx, row, self.own(tx, row)).label_id != row.label_id:
                    frontier.append(row.id)
