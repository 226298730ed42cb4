"""Labels: what must be true of a reader, as a conjunction of atoms.

A memory's own atom says where it lies, who is on its access list, how sensitive it is, for which
purposes it may be read and who or what it came from. What is derived carries the atoms of all its
sources, and a reader needs every one. Equal labels are one row, so a search decides per label and
not per memory, and a quarantine or a change of trust touches no memory and no index.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from memos_core.errors import DamagedError


@dataclass(frozen=True, slots=True, order=True)
class Atom:
    """One condition on a reader.

    Args:
        space: The space that the reader needs a grant on.
        sensitivity: The clearance that is needed, 0 to 3.
        access: If not empty, the principals and groups of which the reader must be one.
        purposes: If not empty, the purposes of which the session's must be one.
        cube: The memory's id where a grant on just this memory counts too.
        sources: The ids of the principals that wrote it and of the origin that it came from.
        top: The level of its most sensitive field or marked span, where that is above
            `sensitivity`; else 0. Readers below it see the memory without that part.
    """

    space: str
    sensitivity: int
    access: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    cube: str = ""
    sources: tuple[str, ...] = ()
    top: int = 0

    def inherited(self) -> Atom:
        """Return the atom that something derived gets: it may hold the most sensitive part."""
        return replace(self, sensitivity=max(self.sensitivity, self.top), top=0)


@dataclass(frozen=True, slots=True)
class Label:
    """A conjunction of atoms, identified by its digest."""

    id: str
    atoms: tuple[Atom, ...]

    @classmethod
    def of(cls, atoms: Iterable[Atom]) -> Label:
        """Make the label of these atoms; order and repetition do not matter."""
        unique = tuple(sorted(set(atoms)))
        return cls(hashlib.sha256(_dump(unique).encode("utf-8")).hexdigest(), unique)

    @classmethod
    def load(cls, label_id: str, text: str) -> Label:
        """Read a label as stored.

        Raises:
            DamagedError: The text does not have the digest `label_id`.
        """
        whole = isinstance(text, str)  # SQLite stores, and gives back, anything anywhere
        if not whole or hashlib.sha256(text.encode("utf-8")).hexdigest() != label_id:
            raise DamagedError(
                f"label {label_id[:12]}… is damaged on disk: run `memos doctor`, restore a backup"
            )
        atoms = tuple(
            Atom(item["space"], item["sensitivity"], tuple(item["access"]),
                 tuple(item["purposes"]), item["cube"], tuple(item.get("sources", ())),
                 item.get("top", 0))
            for item in json.loads(text)
        )  # fmt: skip
        return cls(label_id, atoms)

    def for_single(self, cube: str, space: str) -> Label:
        """Return the label with grants on one memory counting for the atoms of its own space."""
        atoms = (replace(a, cube=cube) if a.space == space else a for a in self.atoms)
        return Label(self.id, tuple(atoms))

    def dump(self) -> str:
        """Return the text that is stored and hashed."""
        return _dump(self.atoms)


def is_at_least_as_narrow(new: Label, old: Label) -> bool:
    """Tell whether everybody who may read under `new` could already read under `old`.

    It compares atom by atom and is cautious: where it cannot tell, the answer is no. An atom of
    `new` covers one of `old` if it asks for the same space (and the same single memory, if any), at
    least the same clearance, no principal or purpose beyond the old ones, and names all the
    sources.
    """
    return all(any(_covers(atom, before) for atom in new.atoms) for before in old.atoms)


def _covers(new: Atom, old: Atom) -> bool:
    return (
        new.space == old.space
        and new.cube in ("", old.cube)
        and new.sensitivity >= old.sensitivity
        and max(new.sensitivity, new.top) >= max(old.sensitivity, old.top)
        and set(old.sources) <= set(new.sources)
        and _subset(new.access, old.access)
        and _subset(new.purposes, old.purposes)
    )


def _subset(new: tuple[str, ...], old: tuple[str, ...]) -> bool:
    return not old or (bool(new) and set(new) <= set(old))


def _dump(atoms: tuple[Atom, ...]) -> str:
    plain = [
        {
            "access": list(atom.access),
            "cube": atom.cube,
            "purposes": list(atom.purposes),
            "sensitivity": atom.sensitivity,
            "space": atom.space,
        }
        | ({"sources": list(atom.sources)} if atom.sources else {})
        | ({"top": atom.top} if atom.top else {})
        for atom in atoms
    ]
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
