"""Which label a memory carries: its own atom, and the atoms of everything it was derived from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import select

from memos_core.cube import Header, Sensitivity
from memos_core.infrastructure.governance.labels import Atom, Label
from memos_core.infrastructure.governance.registry import Registry
from memos_core.infrastructure.vault import journal, schema
from memos_core.infrastructure.vault.records import CubeRow, Damage, children, fetch, govern
from memos_core.infrastructure.vault.vault import Transaction


def own_atom(
    space: str, header: Header, *, default: int = int(Sensitivity.INTERNAL), cube: str = ""
) -> Atom:
    """Make the atom that a memory brings by itself.

    Until fields can be redacted singly, the most sensitive field decides for the whole.

    Args:
        space: Where the memory lies.
        header: Its header.
        default: The sensitivity where the header names none.
        cube: Its id, where grants on just this memory count.
    """
    whole = default if header.sensitivity is None else int(header.sensitivity)
    level = max([whole, *(int(each) for each in header.field_sensitivity.values())])
    access, purposes = tuple(sorted(header.access)), tuple(sorted(header.purposes))
    return Atom(space, level, access, purposes, cube)


class Labeller:
    """Computes and propagates labels.

    Args:
        registry: Where labels are kept.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def label(self, tx: Transaction, own: Atom, parent_labels: Iterable[Label]) -> Label:
        """Return, and store, the union of a memory's own atom and its parents' atoms."""
        atoms = [own, *(atom for label in parent_labels for atom in label.atoms)]
        label = Label.of(atoms)
        self._registry.ensure_label(tx, label)
        return label

    def parent_labels(self, tx: Transaction, cube_id: str) -> list[Label]:
        """Read the present labels of the memories that this one was derived from."""
        table = schema.lineage
        query = (
            select(schema.cubes.c.label_id)
            .join_from(table, schema.cubes, table.c.parent_id == schema.cubes.c.id)
            .where(table.c.child_id == cube_id)
        )
        ids = tx.connection.execute(query).scalars().all()
        return list(self._registry.labels(tx, ids).values())

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
            parents, frontier = frontier, []
            for found in fetch(tx, sorted(children(tx, parents))).values():
                if isinstance(found, Damage) and found.table == "cubes":
                    continue
                row = found.cube
                if self._rewrite(tx, row, self.own(tx, row)).label_id != row.label_id:
                    frontier.append(row.id)
