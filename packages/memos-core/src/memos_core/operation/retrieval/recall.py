"""Recall: search, listing, get and history.

A search takes a snapshot, scores the eligible rows of the realms that the session touches, and then
commits its read: in one transaction it reads epoch, label, version, state and expiry of every hit
again, takes the content and writes the ledger's entry. If anything moved, the search is done again.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np
from pydantic import JsonValue

from memos_core.cube import Header, MemCube, Trust
from memos_core.errors import BusyError, DamagedError, InvalidInputError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import Action, decide_space
from memos_core.infrastructure.governance.names import within
from memos_core.infrastructure.governance.registry import AccessView
from memos_core.infrastructure.index.analysis import Analyzer
from memos_core.infrastructure.index.entry import Entry, FloatArray
from memos_core.infrastructure.index.follower import Follower
from memos_core.infrastructure.index.page import PageView
from memos_core.infrastructure.ledger import Outcome
from memos_core.infrastructure.vault import links
from memos_core.infrastructure.vault.records import (
    Damage,
    Indexable,
    Record,
    fetch,
)
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.memory.claims import stems_of
from memos_core.models.embedder import Embedder
from memos_core.operation.embedding import Embedding
from memos_core.operation.gate import Gate, Ref
from memos_core.operation.lifecycle.patching import end_of
from memos_core.operation.quotas import Quotas
from memos_core.operation.retrieval.eligibility import Scope, eligible
from memos_core.operation.retrieval.options import SearchOptions
from memos_core.operation.retrieval.past import under_present_levels
from memos_core.operation.retrieval.ranking import (
    Candidates,
    Ranked,
    mentioned_speakers,
    rank,
    without_names,
)
from memos_core.operation.retrieval.realms import touched
from memos_core.operation.retrieval.standing import (
    MARGIN,
    Standing,
    brought_along,
    current_first,
    finder,
    links_of,
    standing,
)
from memos_core.operation.retrieval.unmoved import stands, unmoved
from memos_core.operation.retrieval.versions import Versions
from memos_core.results import Hit, Hits, Page
from memos_core.settings import Settings

_TRIES: Final = 8


@dataclass(frozen=True, slots=True)
class Question:
    """A search, checked."""

    text: str
    k: int
    budget_tokens: int | None
    min_score: float | None
    options: SearchOptions


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The eligible rows of every page that a request touches, and under which rights."""

    access: AccessView
    candidates: tuple[Candidates, ...]
    damaged: tuple[str, ...]
    embed: Callable[[str], FloatArray] | None
    now: int
    linked: bool = False
    """Whether any memory is linked with another."""


Pick = Callable[[Snapshot, list[Ranked], list[MemCube | Damage]], list[Ranked]]


class Recall:
    """Reads memories for those who may.

    Args:
        gate: Decides and records.
        follower: Brings pages up to date.
        embedding: Makes the question's vector.
        analyzer: Makes the question's terms.
        quotas: Limits how much is read.
        versions: Reads earlier versions.
        settings: Limits.
    """

    def __init__(
        self,
        gate: Gate,
        follower: Follower[Entry, PageView],
        embedding: Embedding,
        analyzer: Analyzer,
        quotas: Quotas,
        versions: Versions,
        settings: Settings,
    ) -> None:
        self._gate = gate
        self._follower = follower
        self._embedding = embedding
        self._analyzer = analyzer
        self._quotas = quotas
        self._versions = versions
        self._settings = settings

    def search(self, scope: Scope, question: Question) -> Hits:
        """Find the memories that answer a question, best first."""
        stands: list[Standing] = []

        def choose(snapshot: Snapshot) -> list[Ranked]:
            ranked, known = self.best(scope, snapshot, question)
            stands[:] = [known]
            return ranked

        snapshot, ranked, found = self.committed(scope, "memos.search", choose)
        return self._hits(snapshot, ranked, found, question, stands[0])

    def best(
        self, scope: Scope, snapshot: Snapshot, question: Question
    ) -> tuple[list[Ranked], Standing]:
        """Rank the eligible rows for a question, by how they answer and how they stand.

        Returns:
            The best, and what is known of how they stand to each other.
        """
        ranked = self._rank(snapshot, question)
        find, asked = finder(snapshot.candidates), stems_of(question.text)

        def known(to: Sequence[Ranked]) -> Standing:
            with self._gate.vault.read() as tx:
                rows = links_of(tx, [each.cube_id for each in to], scope.actor.at)
            return standing(rows, lambda cube_id: find(cube_id) is not None, asked)

        if not ranked or not snapshot.linked:
            return ranked[: question.k], Standing({}, {}, {})
        seen = known(ranked)
        ranked = current_first(ranked, seen, find)
        for _ in range(question.options.expand):
            seen = known(ranked)
            ranked = brought_along(ranked, question.k, seen, find)
        least = question.min_score
        ranked = [each for each in ranked if least is None or each.score >= least]
        return ranked[: question.k], seen

    def refresh(self, scope: Scope) -> None:
        """Bring the pages of what a request is about up to date, ahead of it."""
        with self._gate.vault.read() as tx:
            self._snapshot(tx, scope)

    def listing(self, scope: Scope, limit: int, cursor: str | None) -> Page[MemCube]:
        """List memories in the order in which they were recorded."""
        after = _read_cursor(cursor)
        rows: list[tuple[tuple[int, str], Ranked]] = []

        def choose(snapshot: Snapshot) -> list[Ranked]:
            rows[:] = _listed(snapshot.candidates, after, limit + 1)
            return [ranked for _place, ranked in rows[:limit]]

        _snapshot, _ranked, found = self.committed(scope, "memos.get_all", choose)
        more = len(rows) > limit
        next_cursor = _write_cursor(rows[limit - 1][0]) if more else None
        return Page(tuple(each for each in found if isinstance(each, MemCube)), next_cursor)

    def newest(self, scope: Scope, count: int) -> list[MemCube]:
        """Return the memories that were recorded last, the newest first."""

        def choose(snapshot: Snapshot) -> list[Ranked]:
            found = []
            for each in snapshot.candidates:
                created = each.view.columns["created"][each.rows]
                last = each.rows[np.argsort(-created, kind="stable")[:count]]
                found += [(-int(each.view.columns["created"][row]), each, row) for row in last]
            found.sort(key=lambda one: one[0])
            return [each.unscored(row) for _created, each, row in found[:count]]

        _snapshot, _ranked, found = self.committed(scope, "memos.get_all", choose)
        return [each for each in found if isinstance(each, MemCube)]

    def committed(
        self,
        scope: Scope,
        verb: str,
        choose: Callable[[Snapshot], list[Ranked]],
        pick: Pick | None = None,
    ) -> tuple[Snapshot, list[Ranked], list[MemCube | Damage]]:
        """Choose in a snapshot, then commit the read; choose again where anything has moved.

        The last attempt chooses inside the committing transaction, where nothing can move: whoever
        keeps changing the policy or the memories delays a read, and never empties it.

        Args:
            scope: What the request is about.
            verb: The ledger's name of it.
            choose: Chooses by what the pages know.
            pick: Picks among the chosen by what they say; only what it picks is read, and stands in
                the entry.
        """
        self._gate.refuse_in_pipeline("a search, a listing or a trace")
        with self._follower.looking_back():
            return self._committed(scope, verb, choose, pick)

    def _committed(
        self,
        scope: Scope,
        verb: str,
        choose: Callable[[Snapshot], list[Ranked]],
        pick: Pick | None,
    ) -> tuple[Snapshot, list[Ranked], list[MemCube | Damage]]:
        for _ in range(_TRIES):
            with self._gate.vault.read() as tx:
                snapshot = self._snapshot(tx, scope)
            ranked, seen = choose(snapshot), None
            if pick is not None:
                with self._gate.vault.read() as tx:
                    seen = self._seen(tx, scope, snapshot, ranked)
                if seen is None:
                    continue
                ranked = pick(snapshot, ranked, seen)  # outside of any transaction: it may be slow
            with self._gate.effect(scope.actor, verb, durable=False) as tx:
                found = self._confirmed(tx, scope, verb, snapshot, ranked, seen or ())
            if found is not None:
                return snapshot, ranked, found
        with self._gate.effect(scope.actor, verb, durable=False) as tx:
            snapshot = self._snapshot(tx, scope)
            ranked = choose(snapshot)
            if pick is not None:
                ranked = pick(snapshot, ranked, self._seen(tx, scope, snapshot, ranked) or [])
            found = self._confirmed(tx, scope, verb, snapshot, ranked)
            if found is None:
                raise BusyError("the memories kept changing while they were read: try again")
        return snapshot, ranked, found

    def _confirmed(
        self,
        tx: Transaction,
        scope: Scope,
        verb: str,
        snapshot: Snapshot,
        ranked: Sequence[Ranked],
        seen: Sequence[MemCube | Damage] = (),
    ) -> list[MemCube | Damage] | None:
        """Read every hit again, as the actor sees it, and write the entry; None if any moved.

        What was seen under the same rights, and is at the same version, looks as it did.
        """
        if not snapshot.access.is_good(tx.epoch, tx.now):
            return None
        self._quotas.check_reads(tx, scope.actor)
        known = {each.id: each for each in seen if isinstance(each, MemCube)}
        fresh = [each for each in ranked if each.cube_id not in known]
        still = unmoved(tx, scope, fresh)
        if still is None or not stands(tx, [e for e in ranked if e.cube_id in known]):
            return None
        read = {each.cube.id: each for each in still}
        ids = [each.cube_id for each in ranked if each.cube_id in known or each.cube_id in read]
        outcome, data = self._entry(tx, scope, snapshot, ids)
        self._gate.note(tx, scope.actor, verb, outcome, data=data)
        return [known.get(each) or self._as_seen(tx, scope, read[each]) for each in ids]

    def _as_seen(self, tx: Transaction, scope: Scope, found: Record | Damage) -> MemCube | Damage:
        return found if isinstance(found, Damage) else self._gate.shown(tx, scope.actor, found)

    def _seen(
        self, tx: Transaction, scope: Scope, snapshot: Snapshot, ranked: Sequence[Ranked]
    ) -> list[MemCube | Damage] | None:
        """Read what was chosen, as the actor sees it; None if any of it moved."""
        still = unmoved(tx, scope, ranked)
        if still is None or not snapshot.access.is_good(tx.epoch, tx.now):
            return None
        return [self._as_seen(tx, scope, each) for each in still]

    def get(self, actor: Actor, ref: Ref, version: int | None) -> MemCube:
        """Return one memory, as it is or as one of its versions."""
        with self._gate.effect(actor, "memos.get", durable=False) as tx:
            self._quotas.check_reads(tx, actor)
            record = self._gate.readable(tx, actor, ref)
            if version is not None and version != record.version.version:
                record = self._versions.one(tx, actor, record, version)
            data: dict[str, JsonValue] = {"version": record.version.version}
            self._gate.note(tx, actor, "memos.get", subject=record.cube.id, data=data)
            return self._gate.shown(tx, actor, record)

    def _snapshot(self, tx: Transaction, scope: Scope) -> Snapshot:
        access = self._gate.access(tx, scope.actor)
        if tx.embedder is None:  # nothing was ever written
            return Snapshot(access, (), (), None, tx.now)
        embedder = self._embedding.embedder(tx)
        candidates: list[Candidates] = []
        damaged: list[str] = []
        for realm_id, seq in touched(tx, access.rights, scope):
            view = self._view(tx, scope, realm_id, seq, embedder)
            labels = list(view.labels)
            allowed = access.mask(tx, self._gate.registry, view.page, labels)
            if scope.min_trust > Trust.LOW:
                allowed = allowed & access.trusted(tx, self._gate.registry, labels, scope.min_trust)
            mask = eligible(view, allowed, scope, tx.now)
            rows = view.order if mask.all() else view.order[mask[view.order]]
            candidates.append(Candidates(view, mask, rows))
            damaged += self._damaged(tx, scope, access, view)

        def embed(text: str) -> FloatArray:
            vector: FloatArray = self._embedding.vectors(embedder, [text])[0]
            return vector

        now = tx.now if scope.actor.at is None else scope.actor.at
        linked = links.any_there(tx)
        return Snapshot(access, tuple(candidates), tuple(damaged), embed, now, linked)

    def _view(
        self,
        tx: Transaction,
        scope: Scope,
        realm_id: str,
        seq: int,
        embedder: Embedder,
    ) -> PageView:
        """Return a realm's page: the shared one of the present, or one made of the past."""
        at = scope.actor.at
        if at is None:
            return self._follower.follow(tx, realm_id, seq, embedder.name, embedder.dims)

        def readable(records: Sequence[Record]) -> list[bool]:
            allowed = [
                all(self._gate.may_read_versions(tx, scope.actor, r.cube, [r.version.label_id]))
                for r in records
            ]
            ends = [_end_then(each) for each in records]
            return [
                may and (end is None or end > at) for may, end in zip(allowed, ends, strict=True)
            ]

        def adapt(found: Sequence[Indexable]) -> list[Indexable]:
            return under_present_levels(tx, found)

        dims = embedder.dims
        return self._follower.as_of(tx, realm_id, at, embedder.name, dims, readable, adapt)

    def _damaged(
        self, tx: Transaction, scope: Scope, access: AccessView, view: PageView
    ) -> list[str]:
        """List the withheld memories that the request is about and the actor may read."""
        if not view.damaged:
            return []
        ids = list(view.damaged)
        labels = [view.damaged[each] for each in ids]
        allowed = access.may_read(tx, self._gate.registry, labels)
        readable = [each for each, may in zip(ids, allowed, strict=True) if may]
        shown: list[str] = []
        for found in fetch(tx, readable).values():
            with suppress(DamagedError):  # its space is not to be found: then it is in no scope
                path = self._gate.space_of(tx, found.cube)
                if all(within(path, subtree) for subtree in scope.subtrees):
                    shown.append(found.cube.id)
        return shown

    def _rank(self, snapshot: Snapshot, question: Question) -> list[Ranked]:
        if snapshot.embed is None or not any(len(each.rows) for each in snapshot.candidates):
            return []
        named = mentioned_speakers(question.text, snapshot.candidates)
        ranked = rank(
            snapshot.candidates,
            terms=self._analyzer.terms(question.text),
            vector=snapshot.embed(without_names(question.text, list(named))),
            speakers=frozenset().union(*named.values()),
            options=question.options,
            k=question.k + MARGIN,
            now=snapshot.now,
        )
        if question.min_score is None:
            return ranked
        return [each for each in ranked if each.score >= question.min_score]

    def _hits(
        self,
        snapshot: Snapshot,
        ranked: Sequence[Ranked],
        found: Sequence[MemCube | Damage],
        question: Question,
        known: Standing,
    ) -> Hits:
        hits: list[Hit] = []
        damaged = set(snapshot.damaged)
        left = question.budget_tokens
        for each, cube in zip(ranked, found, strict=True):
            if isinstance(cube, Damage):
                damaged.add(cube.cube.id)
                continue
            if left is not None:
                cost = self._settings.count_tokens(cube.text)
                if cost > left:
                    continue
                left -= cost
            hits.append(known.hit(each, cube))
        warnings = [f"memory {each} is damaged on disk and withheld" for each in sorted(damaged)]
        return Hits(hits, warnings=warnings)

    def _entry(
        self, tx: Transaction, scope: Scope, snapshot: Snapshot, ids: list[str]
    ) -> tuple[Outcome, dict[str, JsonValue]]:
        data: dict[str, JsonValue] = {"cubes": list(ids)}
        outcome: Outcome = "allowed"
        if scope.space is not None:
            space = self._gate.registry.find_space(tx, scope.space)
            data["space"] = None if space is None else space.id
            decision = decide_space(
                snapshot.access.rights,
                Action.READ,
                scope.space,
                purpose=scope.actor.purpose,
                now=tx.now,
            )
            if not ids and not (decision.allowed and scope.actor.reaches(scope.space)):
                outcome = "denied"
        return outcome, data


def _end_then(record: Record) -> int | None:
    """Return when a memory was to end by its header of that version, in microseconds."""
    return end_of(Header.model_validate_json(record.version.header))


def _listed(
    candidates: Sequence[Candidates], after: tuple[int, str], limit: int
) -> list[tuple[tuple[int, str], Ranked]]:
    """List at least `limit` eligible rows, if there are, in the order of their recording."""
    found = []
    for each in candidates:
        view = each.view
        created = view.columns["created"]
        rows = each.rows[created[each.rows] >= after[0]]
        if len(rows) > limit + 1:  # one more may be the cursor's own row
            rows = rows[created[rows] <= np.partition(created[rows], limit)[limit]]
        for row in rows:
            place = (int(created[row]), view.ids[row])
            if place > after:
                found.append((place, each.unscored(row)))
    found.sort(key=lambda item: item[0])
    return found


def _write_cursor(place: tuple[int, str]) -> str:
    return base64.urlsafe_b64encode(f"{place[0]}:{place[1]}".encode()).decode("ascii")


def _read_cursor(cursor: str | None) -> tuple[int, str]:
    if cursor is None:
        return (int(np.iinfo(np.int64).min), "")
    if not isinstance(cursor, str):
        raise InvalidInputError("malformed cursor: pass the one of the last page, unchanged")
    try:
        created, cube_id = base64.urlsafe_b64decode(cursor.encode("ascii")).decode().split(":")
        return (int(created), cube_id)
    except (ValueError, binascii.Error) as error:
        raise InvalidInputError(
            "malformed cursor: pass the one of the last page, unchanged"
        ) from error
