"""Rewinding: a whole space taken back to how it was recorded at an instant, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import JsonValue
from sqlalchemy import select

from memos_core.clock import from_micros, to_micros
from memos_core.cube import CubeId, MemCube, MemoryState
from memos_core.errors import ConflictError, InvalidInputError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import Action
from memos_core.infrastructure.governance.names import within
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.records import Record, fetch
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.operation.gate import Gate
from memos_core.operation.lifecycle.reverting import DESCRIPTIVE, Reverter, Step, described_as
from memos_core.operation.lifecycle.updating import TRIES, Updater, header_of
from memos_core.operation.quotas import Quotas

_VERB: Final = "memos.snapshot.restore"


@dataclass(frozen=True, slots=True)
class Rewound:
    """What taking a space back did.

    Args:
        changed: Memories that got an earlier content and description.
        archived: Memories that were not there then, and are archived.
        returned: Memories that came out of the archive.
        frozen: Memories that differ and are frozen, so they stay as they are.
        before: The instant just before: going back to it undoes this.
    """

    changed: tuple[CubeId, ...]
    archived: tuple[CubeId, ...]
    returned: tuple[CubeId, ...]
    frozen: tuple[CubeId, ...]
    before: datetime


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be done, as the memories stand."""

    versions: dict[CubeId, int]
    steps: dict[CubeId, Step]
    frozen: tuple[CubeId, ...]


class Rewinder:
    """Takes spaces back.

    Args:
        gate: Decides and records.
        updater: Writes versions.
        reverter: Computes them.
        quotas: Limits how much is read.
    """

    def __init__(self, gate: Gate, updater: Updater, reverter: Reverter, quotas: Quotas) -> None:
        self._gate = gate
        self._updater = updater
        self._reverter = reverter
        self._quotas = quotas

    def rewind(self, actor: Actor, space: str, when: datetime, reason: str) -> Rewound:
        """Take a space, with all under it, back to an instant."""
        instant, why = to_micros(when), reason or f"back to {when.isoformat()}"
        for _ in range(TRIES):
            with self._gate.snapshot(actor, _VERB) as tx:
                if instant > tx.now:
                    raise InvalidInputError(f"{when.isoformat()} is in the future")
                self._quotas.check_reads(tx, actor)
                plan = self._plan(tx, actor, space, instant, why)
                embedder = self._updater.embedder(tx) if plan.steps else None
            changes = (
                self._reverter.changes(embedder, list(plan.steps.values())) if embedder else []
            )
            with self._gate.effect(actor, _VERB) as tx:
                again = self._plan(tx, actor, space, instant, why)
                if again.versions != plan.versions:
                    continue
                present = fetch(tx, list(plan.steps))
                for cube_id, change in zip(plan.steps, changes, strict=True):
                    record = present[cube_id]
                    if not isinstance(record, Record):  # the plan met it whole a moment ago
                        raise record.error()
                    self._updater.write(tx, actor, record, change)
                data: dict[str, JsonValue] = {"space": self._gate.space_id(tx, space)}
                self._gate.note(tx, actor, _VERB, data=data)
                return _told(plan, from_micros(tx.now - 1))
        raise ConflictError("the memories kept changing: try again")

    def _plan(self, tx: Transaction, actor: Actor, space: str, instant: int, reason: str) -> _Plan:
        """Compare what the actor may read of a space with what was recorded then."""
        self._gate.require(tx, actor, Action.WRITE, space)
        self._gate.require(tx, actor, Action.READ, space)
        now = self._readable(tx, actor, self._ids(tx, space))
        then = fetch(tx, list(now), at=instant)
        steps: dict[CubeId, Step] = {}
        frozen: list[CubeId] = []
        for cube_id, record in now.items():
            was = then.get(cube_id)
            if isinstance(was, Record) and not self._was_readable(tx, actor, was):
                continue
            if was is not None and not isinstance(was, Record):
                continue  # damaged: it cannot be brought back, and what is there stays
            step = _step(record, was, reason)
            if step is None:
                continue
            if header_of(record).frozen:
                frozen.append(cube_id)
            else:
                steps[cube_id] = step
        versions = {each: now[each].cube.version for each in (*steps, *frozen)}
        return _Plan(versions, steps, tuple(frozen))

    def _ids(self, tx: Transaction, space: str) -> list[CubeId]:
        spaces, cubes = schema.spaces, schema.cubes
        rows = tx.connection.execute(select(spaces.c.id, spaces.c.path))
        inside = [row.id for row in rows if within(row.path, space)]
        found: list[CubeId] = []
        for batch in schema.batches(inside):
            query = select(cubes.c.id).where(cubes.c.space_id.in_(batch))
            found += tx.connection.execute(query.order_by(cubes.c.created, cubes.c.id)).scalars()
        return found

    def _readable(
        self, tx: Transaction, actor: Actor, ids: Sequence[CubeId]
    ) -> dict[CubeId, Record]:
        found = [
            each
            for each in fetch(tx, ids).values()
            if isinstance(each, Record) and not each.cube.has_ended(tx.now)
        ]
        labels = [each.cube.label_id for each in found]
        allowed = self._gate.access(tx, actor).may_read(tx, self._gate.registry, labels)
        return {e.cube.id: e for e, may in zip(found, allowed, strict=True) if may}

    def _was_readable(self, tx: Transaction, actor: Actor, was: Record) -> bool:
        labels = [was.version.label_id]
        return all(self._gate.may_read_versions(tx, actor, was.cube, labels))


def _step(now: Record, was: Record | None, reason: str) -> Step | None:
    """Say what takes a memory back; None where it is as it was."""
    header, cube = header_of(now), now.memcube()
    if was is None:
        if header.state == MemoryState.ARCHIVED:
            return None
        header = header.model_copy(update={"state": MemoryState.ARCHIVED})
        return Step(header, cube, reason, "archive")
    old = was.memcube()
    state = _state(header.state, header_of(was).state)
    wanted = header.model_copy(update={"state": state})
    if _same(cube, old):
        if header.state == state:
            return None
        return Step(wanted, cube, reason, "unarchive" if state is None else "archive")
    return Step(described_as(wanted, old.meta), old, reason, "rollback")


def _state(now: MemoryState | None, was: MemoryState | None) -> MemoryState | None:
    """Return the state to go back to: only the archive comes back; the rest is decided now."""
    if MemoryState.MERGED in (now, was) and was != MemoryState.ARCHIVED:
        return now if now == MemoryState.MERGED else None
    if MemoryState.ACTIVATED in (now, was) and was != MemoryState.ARCHIVED:
        return now if now == MemoryState.ACTIVATED else None
    return was


def _same(one: MemCube, other: MemCube) -> bool:
    described = all(getattr(one.meta, name) == getattr(other.meta, name) for name in DESCRIPTIVE)
    return described and one.payload == other.payload


def _told(plan: _Plan, before: datetime) -> Rewound:
    def of(action: str) -> tuple[CubeId, ...]:
        return tuple(each for each, step in plan.steps.items() if step.action == action)

    return Rewound(of("rollback"), of("archive"), of("unarchive"), plan.frozen, before)
