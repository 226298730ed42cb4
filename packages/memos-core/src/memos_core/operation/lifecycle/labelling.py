"""Which label a memory carries: its own atom, and the atoms of everything it was derived from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlalchemy import select

from memos_core.infrastructure.governance.labels import Atom, Label
from memos_core.infrastructure.governance.registry import Registry
from memos_core.infrastructure.vault import journal, schema
from memos_core.infrastructure.vault.records import CubeRow, Damage, fetch, govern
from memos_core.infrastructure.vault.vault import Transaction


def own_atom(
    space: str, sensitivity: int, access: Iterable[str], purposes: Iterable[str], *, cube: str = ""
) -> Atom:
    """Make the atom that a memory brings by itself."""
    return Atom(space, int(sensitivity), tuple(sorted(access)), tuple(sorted(purposes)), cube)


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
        own_label = self.label(tx, own, ())
        label = self.label(tx, own, self.parent_labels(tx, row.id))
        changed = replace(row, label_id=label.id, own_label_id=own_label.id)
        if changed != row:
            govern(tx, changed)
            journal.append(tx, row.realm_id, [row.id], "relabel")
            if changed.label_id != row.label_id:
                self.descend(tx, row.id)
        return changed

    def descend(self, tx: Transaction, cube_id: str) -> None:
        """Recompute the labels of what is derived from a memory whose label changed."""
        table = schema.lineage
        query = select(table.c.child_id).where(table.c.parent_id == cube_id)
        children: Sequence[str] = sorted(tx.connection.execute(query).scalars())
        for found in fetch(tx, children).values():
            if isinstance(found, Damage):
                raise found.error()
            self.relabel(tx, found.cube, self.own(tx, found.cube))
