"""The sight of one asker over the ledger: which events are shown, and what of them.

One's own events are shown; an event about memories, grants or spaces to whoever governs the space
that it is about; what concerns the vault as a whole to whoever governs the shared root. Within an
entry, an id is shown only to who may read or govern what it names today: the ledger also keeps the
true id of what somebody asked for in vain, and showing that would say that it exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from sqlalchemy import select

from memos_core.clock import from_micros
from memos_core.errors import DamagedError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import ROOT, Action, decide_space
from memos_core.infrastructure.governance.registry import grant_seal
from memos_core.infrastructure.ledger.reading import Recorded, space_ids
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.records import CubeRow
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.operation.gate import Gate, is_cube_id
from memos_core.results import LogEntry

VAULT_WIDE: Final = frozenset(
    f"memos.{verb}"
    for verb in (
        "init", "group.join", "group.leave", "clearance", "trust", "quota",
        "checkpoint", "key.create", "key.rotate", "prune", "export", "backup", "restore",
    )
)  # fmt: skip
"""Events about no space: those that govern the shared root see them. Any other event that is about
nothing that can be found is its principal's only, for what it is about may be somebody's own: a
read that found nothing, and one that was not allowed to, must look alike to everybody else."""
HARMLESS: Final = (
    "actions", "checkpoint", "encrypted", "endorsed", "events", "key", "level", "link", "max_bytes",
    "max_cubes", "max_reads_per_day", "missing", "number", "purposes", "reason", "revoked",
    "skipped", "until", "version", "vouched",
)  # fmt: skip
_NAMED: Final = ("to", "member", "source")
_CONSEQUENCES: Final = ("derived", "reaped")
"""What was removed along with something else, perhaps unseen by who did that."""

Place = tuple[str, str]
"""A space, and the one memory in it that an event is about, or an empty text."""


class Sight:
    """What one session may see of the ledger, in one transaction.

    Args:
        gate: Decides.
        tx: The transaction.
        actor: Who asks.
    """

    def __init__(self, gate: Gate, tx: Transaction, actor: Actor) -> None:
        self._gate = gate
        self._tx = tx
        self._actor = actor
        self._access = gate.access(tx, actor)
        self._own = gate.registry.find_principal(tx, actor.principal)
        self._cubes: dict[str, CubeRow | None] = {}
        self._gone: dict[str, str] = {}
        self._things: dict[str, tuple[str | None, str | None]] = {}
        self._paths: dict[str, str | None] = {}
        self._governed: dict[Place, bool] = {}
        self._readable: dict[str, bool] = {}
        self._opened: dict[str, bool] = {}
        self._known: set[str] = set()

    def entries(self, events: Sequence[Recorded]) -> list[LogEntry]:
        """Return the entries of those events that are shown, in order."""
        self._learn(events)
        shown = [event for event in events if self._sees(event)]
        ids = {event.principal_id for event in shown}
        for event in shown:
            ids |= {str(event.data[name]) for name in _NAMED if name in event.data}
            if event.subject is not None:
                ids.add(event.subject)
        names = self._names(ids)
        return [self._entry(event, names) for event in shown]

    def governs(self, space: str, cube: str = "") -> bool:
        """Tell whether the asker governs a space, or one memory in it, within its bound."""
        place = (space, cube)
        if place not in self._governed:
            decision = decide_space(
                self._access.rights,
                Action.GOVERN,
                space,
                cube=cube,
                purpose=self._actor.purpose,
                now=self._tx.now,
            )
            self._governed[place] = decision.allowed and self._actor.reaches(space)
        return self._governed[place]

    def _names(self, ids: set[str]) -> dict[str, str]:
        names: dict[str, str] = {}
        for batch in schema.batches(sorted(ids)):
            names |= self._gate.registry.source_names(self._tx, batch)
        return names

    def _learn(self, events: Sequence[Recorded]) -> None:
        """Look up, batch by batch, what the events are about."""
        ids = {each for event in events for each in event.about}
        ids -= self._known
        self._known |= ids
        self._learn_things(sorted(each for each in ids if not is_cube_id(each)))
        cubes = {each for each in ids if is_cube_id(each)}
        cubes |= {cube for _space, cube in self._things.values() if cube is not None}
        self._learn_cubes(sorted(cubes - set(self._cubes)))

    def _learn_things(self, ids: Sequence[str]) -> None:
        """Find on what such things stand; of damaged ones nothing is known."""
        grants = schema.grants
        for batch in schema.batches(ids):
            for row in self._rows(select(grants).where(grants.c.id.in_(batch))):
                if grant_seal(dict(row._mapping)) == row.seal:
                    self._things[row.id] = (row.space, row.cube_id)
            for table in (schema.holds, schema.quarantines, schema.snapshots):
                for row in self._rows(select(table).where(table.c.id.in_(batch))):
                    if schema.is_whole(table, row):
                        self._things[row.id] = (row.space, row._mapping.get("cube_id"))

    def _learn_cubes(self, ids: Sequence[str]) -> None:
        table = schema.cubes
        self._cubes.update(dict.fromkeys(ids))
        for batch in schema.batches(ids):
            for row in self._rows(select(table).where(table.c.id.in_(batch))):
                cube = CubeRow(*(row._mapping[name] for name in CubeRow.__slots__))
                if cube.seal() == row.seal:  # of a damaged one nothing is known
                    self._cubes[cube.id] = cube
        self._gone |= space_ids(self._tx, [each for each in ids if self._cubes[each] is None])

    def _rows(self, query: Any) -> Iterable[Any]:
        return self._tx.connection.execute(query).all()

    def _sees(self, event: Recorded) -> bool:
        consequence = any(event.data.get(name) for name in _CONSEQUENCES)
        if event.principal_id == self._own and not consequence:
            return True
        about = event.about
        if any(map(self._opens, about)):
            return True
        if event.type not in VAULT_WIDE or not self.governs(ROOT):
            return False
        return all(self._place(each) is None for each in about)

    def _opens(self, subject: str) -> bool:
        """Tell whether the asker governs the space that something is in, or is itself."""
        if subject not in self._opened:
            place = self._place(subject)
            self._opened[subject] = place is not None and self.governs(*place)
        return self._opened[subject]

    def _place(self, subject: str) -> Place | None:
        if subject == "*":
            return (ROOT, "")
        if subject.startswith("spc_"):
            path = self._path(subject)
            return None if path is None else (path, "")
        if subject in self._things:
            space, cube = self._things[subject]
            return (space or ROOT, "") if cube is None else self._place(cube)
        cube_row = self._cubes.get(subject)
        path = self._path(cube_row.space_id if cube_row else self._gone.get(subject, ""))
        return None if path is None else (path, subject if cube_row else "")

    def _path(self, space_id: str) -> str | None:
        if space_id and space_id not in self._paths:
            self._paths[space_id] = None
            with suppress(DamagedError):
                self._paths[space_id] = self._gate.registry.space_path(self._tx, space_id)
        return self._paths.get(space_id)

    def _entry(self, event: Recorded, names: Mapping[str, str]) -> LogEntry:
        data = {name: event.data[name] for name in HARMLESS if name in event.data}
        for name in _NAMED:
            if name in event.data:
                data[name] = names.get(str(event.data[name]), event.data[name])
        return LogEntry(
            id=event.id,
            time=from_micros(event.time),
            action=event.type,
            outcome=event.outcome,
            principal=names.get(event.principal_id, event.principal_id),
            purpose=event.purpose,
            subject=self._subject(event.subject, names),
            cubes=tuple(each for each in event.cubes if self._shows(each)),
            data=data,
        )

    def _subject(self, subject: str | None, names: Mapping[str, str]) -> str | None:
        """Show what an event was done to, by its id; a principal, an origin or a space by name."""
        if subject is None:
            return None
        if is_cube_id(subject):
            return subject if self._shows(subject) else None
        place = self._place(subject)
        if place is None:
            return names.get(subject) if self.governs(ROOT) else None
        if not self.governs(*place):
            return None
        return place[0] if subject.startswith("spc_") else subject

    def _shows(self, cube_id: str) -> bool:
        """Tell whether a memory's id may be shown: it is there, and may be read or is governed."""
        if cube_id not in self._readable:
            cube, place = self._cubes.get(cube_id), self._place(cube_id)
            self._readable[cube_id] = (
                cube is not None
                and place is not None
                and (self._reads(cube, place[0]) or self.governs(*place))
            )
        return self._readable[cube_id]

    def _reads(self, cube: CubeRow, space: str) -> bool:
        may = self._access.may_read(self._tx, self._gate.registry, [cube.label_id])
        return all(may) and not cube.has_ended(self._tx.now) and self._actor.reaches(space)
