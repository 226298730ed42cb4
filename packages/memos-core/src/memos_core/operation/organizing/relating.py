"""Relating: what changed is compared with what is near it, and what follows is written as links.

A newer memory that gives another value to the same attribute supersedes the older one, whose valid
time ends; nothing is deleted, and the past still shows what was believed then. The pass acts for a
principal: it reads what that one may read, and says something only about what that one may change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import numpy as np
from pydantic import JsonValue

from memos_core.clock import from_micros, to_micros
from memos_core.cube import CubeId, Kind, MemCube, Trust
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import Action, decide_space
from memos_core.infrastructure.index.entry import FloatArray
from memos_core.infrastructure.vault import journal, links, tasks
from memos_core.infrastructure.vault.records import Record, fetch
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.memory.claims import claims_of
from memos_core.operation.gate import Gate
from memos_core.operation.lifecycle.updating import Updater, header_of
from memos_core.operation.organizing.linking import Linker, Wanted
from memos_core.operation.organizing.types import CONTRADICTS, DISTINCT, SUPERSEDES, WEIGHTY
from memos_core.operation.policies.conflict import (
    LEAST,
    MAYBE,
    SURE,
    Relation,
    Told,
    contradictions_within,
    relation,
    strongest,
)
from memos_core.operation.retrieval.eligibility import Scope
from memos_core.operation.retrieval.ranking import Candidates, Ranked
from memos_core.operation.retrieval.realms import touched
from memos_core.operation.retrieval.recall import Recall, Snapshot
from memos_core.results import Organized

VERB: Final = "memos.organize"
NEAREST: Final = 40
"""With how many of what is near it a memory is compared; measured on BEAM."""
AT_ONCE: Final = 10
"""With how many something is compared in the turn in which it is said."""
BATCH: Final = 100
_MODELS: Final = ("assistant", "tool", "system")


@dataclass(frozen=True, slots=True)
class Finding:
    """How a newer memory stands to an older one; both as they were compared."""

    older: CubeId
    newer: CubeId
    relation: Relation
    versions: Mapping[CubeId, int]
    since: datetime
    about: str = ""
    """The stems that it is about, where the older memory says more than that."""


@dataclass(frozen=True, slots=True)
class Said:
    """Something that is no memory yet."""

    text: str
    speaker: str | None
    at: datetime
    space: str


@dataclass(frozen=True, slots=True)
class Near:
    """A memory that is near something said, and how that would stand to it."""

    cube: MemCube
    similarity: float
    relation: Relation | None


@dataclass(slots=True)
class _Batch:
    """What one pass looks at: what changed, and by what changed, what is near it."""

    changed: list[str] = field(default_factory=list)
    near: dict[str, dict[str, float]] = field(default_factory=dict)
    place: dict[str, int] = field(default_factory=dict)
    more: bool = False


class Relater:
    """Finds what supersedes, contradicts or repeats what, and writes it down.

    Args:
        gate: Decides and records.
        recall: Reads memories and what is near them.
        linker: Writes links.
        updater: Ends valid times.
    """

    def __init__(self, gate: Gate, recall: Recall, linker: Linker, updater: Updater) -> None:
        self._gate = gate
        self._recall = recall
        self._linker = linker
        self._updater = updater

    def organize(self, actor: Actor, progress: Callable[[int], None] | None = None) -> Organized:
        """Compare all that changed since the last time, for all that the actor may change.

        Args:
            actor: For whom.
            progress: Told how many memories were compared so far.
        """
        told = Organized(0, 0, 0, 0)
        more = True
        while more:
            one, more = self.step(actor)
            told = told.plus(one)
            if progress is not None:
                progress(told.examined)
        return told

    def step(self, actor: Actor, ids: Sequence[CubeId] | None = None) -> tuple[Organized, bool]:
        """Compare a batch; return what came of it, and whether there is more.

        Args:
            actor: For whom.
            ids: Just these memories; by default what changed since the last time.
        """
        batch = _Batch()
        scope = Scope(actor, None, None)

        def choose(snapshot: Snapshot) -> list[Ranked]:
            return self._choose(scope, snapshot, ids, batch)

        _snapshot, _ranked, found = self._recall.committed(scope, VERB, choose)
        cubes = {each.id: each for each in found if isinstance(each, MemCube)}
        told = self._write(actor, list(self._findings(batch, cubes)), len(batch.changed))
        if batch.place:
            with self._gate.vault.effect(durable=False) as tx:
                for realm_id, seq in batch.place.items():
                    tasks.set_progress(tx, place_name(realm_id, actor), seq)
        return told, batch.more

    def preview(self, actor: Actor, said: Said) -> list[Near]:
        """Compare something that is no memory yet with what is near it in its space.

        Args:
            actor: For whom.
            said: What was said.

        Returns:
            What is near it, nearest first, and how it would stand to that.
        """
        scope = Scope(actor, said.space, None)
        claims = claims_of(said.text, speaker=said.speaker)
        new = Told(claims, said.at, size=len(said.text))
        cosines: dict[str, float] = {}

        def choose(snapshot: Snapshot) -> list[Ranked]:
            cosines.clear()
            if snapshot.embed is None:
                return []
            vector = snapshot.embed(said.text)
            ranked: list[Ranked] = []
            for each in snapshot.candidates:
                for code, path in enumerate(each.view.spaces):
                    if path == said.space:
                        near = _nearest(each, code, vector, AT_ONCE)
                        ranked += [one for one in near if one.score >= LEAST]
            cosines.update({each.cube_id: each.score for each in ranked})
            return ranked

        _snapshot, _ranked, found = self._recall.committed(scope, VERB, choose)
        near = []
        for cube in found:
            if isinstance(cube, MemCube) and _takes_part(cube):
                similarity = cosines.get(cube.id, 0.0)
                near.append(Near(cube, similarity, _between(_told(cube), new, similarity)))
        return sorted(near, key=lambda one: -one.similarity)

    def settle(self, actor: Actor, cube: MemCube, near: Sequence[Near]) -> Organized:
        """Write down how a new memory stands to what was near it when it was said."""
        since = _told(cube).at
        related = [each for each in near if each.relation is not None]
        relations = [each.relation for each in related if each.relation is not None]
        versions = {each.cube.id: each.cube.version for each in related} | {cube.id: cube.version}
        findings = [
            Finding(
                related[place].cube.id,
                cube.id,
                relations[place],
                versions,
                since,
                _about(_told(related[place].cube), relations[place]),
            )
            for place in strongest(relations)
        ]
        told = _told(cube)
        within = contradictions_within(told)[:1]
        findings += [Finding(cube.id, cube.id, each, versions, since) for each in within]
        return self._write(actor, findings, 1)

    def replace(self, actor: Actor, older: MemCube, newer: MemCube, reason: str) -> Organized:
        """Write down that a memory takes the place of another because somebody said so."""
        said = Relation(SUPERSEDES, (), 1.0, reason, ((0, 0), (0, 0)))
        versions = {older.id: older.version, newer.id: newer.version}
        finding = Finding(older.id, newer.id, said, versions, _told(newer).at)
        return self._write(actor, [finding], 1)

    def is_due(self, tx: Transaction, actor: Actor) -> bool:
        """Tell whether anything changed that the actor may read since the last time."""
        rights = self._gate.access(tx, actor).rights
        realms = touched(tx, rights, Scope(actor, None, None))
        return any(seq > tasks.progress(tx, place_name(realm, actor)) for realm, seq in realms)

    def _choose(
        self, scope: Scope, snapshot: Snapshot, ids: Sequence[CubeId] | None, batch: _Batch
    ) -> list[Ranked]:
        """Choose what is compared: what changed, and the nearest to it in the same space."""
        batch.changed, batch.near, batch.more = [], {}, False
        involved: dict[str, Ranked] = {}
        for each in snapshot.candidates:
            changed = list(ids) if ids is not None else self._changed(scope.actor, each, batch)
            for cube_id in changed:
                row = each.view.row_of(cube_id)
                if row is None or not each.mask[row] or cube_id in batch.near:
                    continue
                near = _nearest(
                    each, each.view.columns["space"][row], each.view.vectors[row], NEAREST
                )
                batch.changed.append(cube_id)
                batch.near[cube_id] = {
                    other.cube_id: other.score for other in near if other.cube_id != cube_id
                }
                involved |= {other.cube_id: other for other in near}
                involved[cube_id] = each.unscored(row)
        return list(involved.values())

    def _changed(self, actor: Actor, each: Candidates, batch: _Batch) -> list[str]:
        realm_id, seen = each.view.page.realm_id, each.view.page.seq
        with self._gate.vault.read() as tx:
            place = tasks.progress(tx, place_name(realm_id, actor))
            entries = journal.entries(tx, realm_id, place, BATCH)
        if len(entries) == BATCH:
            batch.more = True
        batch.place[realm_id] = entries[-1][0] if entries else min(place, seen)
        return list(dict.fromkeys(cube_id for _seq, cube_id in entries))

    def _findings(self, batch: _Batch, cubes: Mapping[str, MemCube]) -> Iterable[Finding]:
        told = {each.id: _told(each) for each in cubes.values() if _takes_part(each)}
        versions = {each.id: each.version for each in cubes.values()}
        by_newer: dict[str, dict[str, Relation]] = {}
        for cube_id, near in batch.near.items():
            if cube_id not in told:
                continue
            for within in contradictions_within(told[cube_id])[:1]:
                by_newer.setdefault(cube_id, {})[cube_id] = within
            for other, similarity in near.items():
                if other not in told:
                    continue
                older, newer = sorted((cube_id, other), key=lambda one: (told[one].at, one))
                found = relation(told[older], told[newer], similarity=similarity)
                if found is not None and found.confidence >= MAYBE:
                    by_newer.setdefault(newer, {})[older] = found
        for newer, found_by in by_newer.items():
            olders = list(found_by)
            for place in strongest([found_by[older] for older in olders]):
                older = olders[place]
                since, about = told[newer].at, _about(told[older], found_by[older])
                yield Finding(older, newer, found_by[older], versions, since, about)

    def _write(self, actor: Actor, findings: Sequence[Finding], examined: int) -> Organized:
        counts = dict.fromkeys(WEIGHTY, 0)
        if findings:
            with self._gate.effect(actor, VERB, durable=False) as tx:
                ids = sorted({end for each in findings for end in (each.older, each.newer)})
                records = {
                    each.cube.id: each
                    for each in fetch(tx, ids).values()
                    if isinstance(each, Record) and self._may_say(tx, actor, each)
                }
                for each in findings:
                    kind = self._say(tx, actor, each, records)
                    if kind is not None:
                        counts[kind] += 1
        superseded, contradicted, repeated = (counts[kind] for kind in WEIGHTY)
        return Organized(examined, superseded, contradicted, repeated)

    def _may_say(self, tx: Transaction, actor: Actor, record: Record) -> bool:
        space = self._gate.space_of(tx, record.cube)
        rights = self._gate.access(tx, actor).rights
        decision = decide_space(
            rights, Action.WRITE, space, cube=record.cube.id, purpose=actor.purpose, now=tx.now
        )
        return decision.allowed and actor.reaches(space)

    def _say(
        self, tx: Transaction, actor: Actor, each: Finding, records: dict[str, Record]
    ) -> str | None:
        """Write one finding, if both memories still are as they were; return what was said."""
        older, newer = records.get(each.older), records.get(each.newer)
        if older is None or newer is None:
            return None
        if any(one.cube.version != each.versions[one.cube.id] for one in (older, newer)):
            return None  # it changed, and is compared again
        known = links.touching(tx, [each.older], types=(*WEIGHTY, DISTINCT))
        if any({row.source_id, row.target_id} == {each.older, each.newer} for row in known):
            return None
        kind: str = each.relation.kind
        if kind == SUPERSEDES and not self._author_may(tx, newer, older):
            kind = CONTRADICTS
        sure = each.relation.confidence
        said = (round(sure * 100), each.relation.why, each.about)
        wanted = Wanted(each.newer, each.older, kind, *said)
        self._linker.put(tx, actor, newer, older, wanted)
        if kind == SUPERSEDES and sure >= SURE and not each.about:
            self._end_valid_time(tx, actor, older, each.since, records)
        return kind

    def _author_may(self, tx: Transaction, newer: Record, older: Record) -> bool:
        """Tell whether whoever said the newer one may read and change the older one.

        Otherwise anybody who may add to a space could take the place of what is kept from them.
        """
        registry = self._gate.registry
        if newer.cube.owner_id == older.cube.owner_id:
            return True
        name = registry.principal_names(tx, [newer.version.author_id])
        author = name.get(newer.version.author_id)
        if author is None:
            return False
        acting = Actor(author, author, None, "assist")
        reads = self._gate.access(tx, acting).may_read(tx, registry, [older.cube.label_id])
        return all(reads) and self._may_say(tx, acting, older)

    def _end_valid_time(
        self,
        tx: Transaction,
        actor: Actor,
        older: Record,
        since: datetime,
        records: dict[str, Record],
    ) -> None:
        header = header_of(older)
        end, begin = header.valid_to, header.valid_from
        if header.frozen or (end is not None and _micros(end) <= to_micros(since)):
            return
        if begin is not None and _micros(begin) >= to_micros(since):
            return
        header = header.model_copy(update={"valid_to": since})
        self._updater.rewrite(tx, actor, older, header, "superseded", action="supersede")
        data: dict[str, JsonValue] = {"space": older.cube.space_id}
        self._gate.note(tx, actor, "memos.supersede", subject=older.cube.id, data=data)
        records.pop(older.cube.id)  # of what changed, nothing more is said in this pass


def place_name(realm_id: str, actor: Actor) -> str:
    """Name how far an actor's passes over a realm have come."""
    return f"organize:{realm_id}:{actor.principal}:{actor.bound or ''}"[:80]


def _between(older: Told, newer: Told, similarity: float) -> Relation | None:
    """Say how something said now stands to a memory; a memory of later is no older one."""
    if older.at > newer.at:
        return None
    found = relation(older, newer, similarity=similarity)
    return found if found is not None and found.confidence >= MAYBE else None


def _told(cube: MemCube) -> Told:
    meta = cube.meta
    at = meta.occurred_at if isinstance(meta.occurred_at, datetime) else meta.created
    if not isinstance(at, datetime):
        at = from_micros(0)
    trust = Trust.NORMAL if meta.trust is None else meta.trust
    claims = claims_of(cube.text, speaker=meta.speaker or meta.owner)
    return Told(claims, at, trust, meta.author or "", len(cube.text))


def _takes_part(cube: MemCube) -> bool:
    """Tell whether a memory is compared: what models say repeats what they were told."""
    return cube.kind is Kind.PLAINTEXT and cube.meta.speaker not in _MODELS


def _about(older: Told, found: Relation) -> str:
    """Name what a relation is about, where the older memory says more than that."""
    return " ".join(found.attribute) if older.long else ""


def _nearest(each: Candidates, space: int, vector: FloatArray, count: int) -> list[Ranked]:
    """Return the nearest memories of one space, each with its cosine as the score."""
    view = each.view
    rows = each.rows[view.columns["space"][each.rows] == space]
    models = [code for code, name in enumerate(view.speakers) if name in _MODELS]
    if models:
        rows = rows[~np.isin(view.columns["speaker"][rows], models)]
    if not len(rows):
        return []
    cosine = np.vecdot(view.vectors[rows], vector)
    best = np.argsort(-cosine, kind="stable")[:count]
    return [replace(each.unscored(int(rows[place])), score=float(cosine[place])) for place in best]


def _micros(when: object) -> int:
    if isinstance(when, datetime):
        return to_micros(when)
    return to_micros(datetime.fromisoformat(f"{when}T00:00:00+00:00"))
