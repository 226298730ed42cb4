"""Typed links between memories, and the graph that they make; seen as far as one may read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from memos_core.clock import from_micros
from memos_core.cube import CubeId
from memos_core.errors import ConflictError, InvalidInputError, NotFoundError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import Action
from memos_core.infrastructure.vault import links
from memos_core.infrastructure.vault.links import LinkRow
from memos_core.infrastructure.vault.records import Record, fetch
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.operation.gate import Gate, Ref, Refusal
from memos_core.operation.lifecycle.updating import Updater, header_of
from memos_core.operation.organizing.types import DISTINCT, SUPERSEDES, WEIGHTY
from memos_core.operation.quotas import Quotas
from memos_core.results import Graph, Link

MOST_NODES: Final = 1_000
_LISTED: Final = 200
_LINK: Final = "memos.link"
_UNLINK: Final = "memos.unlink"
_GRAPH: Final = "memos.graph"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A link to be made."""

    source: Ref
    target: Ref
    type: str
    percent: int = 100
    reason: str = ""
    about: str = ""


class Linker:
    """Links memories, and walks along links.

    Args:
        gate: Decides and records.
        quotas: Limits how much is read.
        updater: Reopens what was not superseded after all.
    """

    def __init__(self, gate: Gate, quotas: Quotas, updater: Updater) -> None:
        self._gate = gate
        self._updater = updater
        self._quotas = quotas

    def link(self, actor: Actor, wanted: Wanted) -> Link:
        """Link two memories.

        Raises:
            NotFoundError: One of them is not there or not readable.
            DeniedError: The actor may not change what the link says something about.
            ConflictError: They are linked so already, or it would be a memory with itself.
        """
        with self._gate.effect(actor, _LINK) as tx:
            self._quotas.check_reads(tx, actor)
            source = self._gate.readable(tx, actor, wanted.source)
            target = self._gate.readable(tx, actor, wanted.target)
            ends = [source, target] if wanted.type in WEIGHTY else [source]
            for each in sorted(ends, key=lambda record: record.cube.id):
                space = self._gate.space_of(tx, each.cube)
                self._gate.require(tx, actor, Action.WRITE, space, cube=each.cube.id)
            if source.cube.id == target.cube.id:
                raise InvalidInputError("a memory cannot be linked with itself")
            if links.between(tx, source.cube.id, target.cube.id, wanted.type) is not None:
                error = ConflictError(f"{source.cube.id} {wanted.type} {target.cube.id} already")
                raise Refusal(error, "denied", source.cube.id, "no such link")
            row = self.put(tx, actor, source, target, wanted)
            return self._told(tx, [row], {source.cube.id, target.cube.id}, frozenset())[0]

    def put(
        self, tx: Transaction, actor: Actor, source: Record, target: Record, wanted: Wanted
    ) -> LinkRow:
        """Write a link that was decided upon, with its event, inside a running effect."""
        row = LinkRow(
            self._gate.vault.mint("lnk"),
            source.cube.id,
            target.cube.id,
            wanted.type,
            wanted.percent,
            wanted.about,
            wanted.reason,
            self._gate.registry.ensure_principal(tx, actor.principal),
            tx.now,
        )
        links.write(tx, [row])
        self._gate.note(
            tx,
            actor,
            _LINK,
            subject=source.cube.id,
            data={"cube": target.cube.id, "link": row.type, "space": source.cube.space_id},
        )
        return row

    def unlink(self, actor: Actor, link_id: str) -> None:
        """Remove a link.

        Raises:
            NotFoundError: There is none whose both ends may be read.
            DeniedError: The actor may not change what it says something about.
        """
        with self._gate.effect(actor, _UNLINK) as tx:
            row = links.find(tx, link_id)
            readable = {} if row is None else self._readable(tx, actor, self._ends([row]))
            if row is None or not {row.source_id, row.target_id} <= readable.keys():
                error = NotFoundError(f"no link {link_id!r} that you may read")
                raise Refusal(error, "not_found")
            ends = self._ends([row]) if row.type in WEIGHTY else [row.source_id]
            for each in sorted(ends):
                space = self._gate.space_of(tx, readable[each].cube)
                self._gate.require(tx, actor, Action.WRITE, space, cube=each)
            links.remove(tx, [link_id])
            data = {"cube": row.target_id, "link": row.type}
            self._gate.note(tx, actor, _UNLINK, subject=row.source_id, data={**data})
            if row.type in WEIGHTY and row.source_id != row.target_id:
                self._part(tx, actor, row, readable)

    def _part(
        self, tx: Transaction, actor: Actor, row: LinkRow, records: Mapping[str, Record]
    ) -> None:
        """Say that two memories have nothing to do with each other, and reopen the older one."""
        source, target = records[row.source_id], records[row.target_id]
        if links.between(tx, source.cube.id, target.cube.id, DISTINCT) is None:
            self.put(tx, actor, source, target, Wanted(source.cube.id, target.cube.id, DISTINCT))
        header = header_of(target)
        if row.type == SUPERSEDES and target.version.action == "supersede" and not header.frozen:
            header = header.model_copy(update={"valid_to": None})
            self._updater.rewrite(tx, actor, target, header, "not superseded", action="reopen")
            self._gate.note(tx, actor, "memos.reopen", subject=target.cube.id)

    def neighbourhood(
        self, actor: Actor, ref: Ref, depth: int, types: Collection[str] | None
    ) -> Graph:
        """Return what lies around a memory, link by link, as far as the actor may read.

        A memory that may not be read is not passed through either: the graph is as it would be
        without it.
        """
        with self._gate.effect(actor, _GRAPH, durable=False) as tx:
            self._quotas.check_reads(tx, actor)
            start = self._gate.readable(tx, actor, ref).cube.id
            seen, found, frontier = {start: 0}, dict[str, LinkRow](), [start]
            partial: set[str] = set()
            for step in range(1, depth + 1):
                fresh = links.touching(tx, frontier, types=types, at=actor.at)
                readable = self._readable(tx, actor, self._ends(fresh))
                partial |= self._partly(tx, actor, readable.values())
                fresh = [e for e in fresh if {e.source_id, e.target_id} <= readable.keys()]
                frontier = []
                for each in fresh:
                    for end in self._ends([each]):
                        if end not in seen and len(seen) < MOST_NODES:
                            seen[end] = step
                            frontier.append(end)
                    if {each.source_id, each.target_id} <= seen.keys():
                        found[each.id] = each
                if not frontier:
                    break
            self._gate.note(tx, actor, _GRAPH, subject=start, data={"cubes": [*sorted(seen)]})
            told = self._told(tx, list(found.values()), set(seen), partial)
            return Graph(start, dict(seen), tuple(told))

    def listed(self, actor: Actor, types: Collection[str], limit: int) -> tuple[Link, ...]:
        """List the links of some types whose both ends the actor may read, newest first."""
        with self._gate.effect(actor, _GRAPH, durable=False) as tx:
            self._quotas.check_reads(tx, actor)
            told: list[Link] = []
            seen: set[str] = set()
            for rows in batched(links.newest(tx, types), _LISTED):
                readable = self._readable(tx, actor, self._ends(rows))
                partial = self._partly(tx, actor, readable.values())
                told += self._told(tx, rows, set(readable), partial)
                if len(told) >= limit:
                    break
            told = told[:limit]
            for link in told:
                seen |= {link.source, link.target}
            self._gate.note(tx, actor, _GRAPH, data={"cubes": [*sorted(seen)]})
            return tuple(told)

    def path(
        self, actor: Actor, source: Ref, target: Ref, types: Collection[str] | None, most: int
    ) -> tuple[Link, ...] | None:
        """Return a shortest chain of links between two memories; None where there is none."""
        graph = self.neighbourhood(actor, source, most, types)
        with self._gate.effect(actor, _GRAPH, durable=False) as tx:
            goal = self._gate.readable(tx, actor, target).cube.id
            self._gate.note(tx, actor, _GRAPH, subject=goal)
        return shortest(graph, goal)

    def _readable(self, tx: Transaction, actor: Actor, ids: Sequence[str]) -> dict[str, Record]:
        """Return those of memories that the actor may read now, whole on disk and unended."""
        found = [each for each in fetch(tx, ids, at=actor.at).values() if isinstance(each, Record)]
        labels = [each.cube.label_id for each in found]
        allowed = self._gate.access(tx, actor).may_read(tx, self._gate.registry, labels)
        return {
            each.cube.id: each
            for each, may in zip(found, allowed, strict=True)
            if may and self._is_there(tx, actor, each)
        }

    def _is_there(self, tx: Transaction, actor: Actor, record: Record) -> bool:
        cube = record.cube
        then = [record.version.label_id] if actor.at is not None else []
        return (
            not cube.has_ended(tx.now)
            and actor.reaches(self._gate.space_of(tx, cube))
            and all(self._gate.may_read_versions(tx, actor, cube, then))
        )

    def _partly(self, tx: Transaction, actor: Actor, records: Iterable[Record]) -> set[str]:
        """Name the memories that the actor sees only in part."""
        shown = (self._gate.shown(tx, actor, each) for each in records)
        return {cube.id for cube in shown if cube.meta.redacted}

    def _ends(self, rows: Iterable[LinkRow]) -> list[CubeId]:
        return list(dict.fromkeys(end for row in rows for end in (row.source_id, row.target_id)))

    def _told(
        self, tx: Transaction, rows: Sequence[LinkRow], known: set[str], partial: Collection[str]
    ) -> list[Link]:
        """Tell of links; a reason may tell of both ends, so who sees one in part is not told it."""
        names = self._gate.registry.principal_names(tx, sorted({row.author_id for row in rows}))
        return [
            Link(
                row.id,
                row.source_id,
                row.target_id,
                row.type,
                row.percent / 100,
                "" if {row.source_id, row.target_id} & set(partial) else row.reason,
                names.get(row.author_id, row.author_id),
                from_micros(row.created),
            )
            for row in rows
            if {row.source_id, row.target_id} <= known
        ]


def batched(rows: Iterator[LinkRow], size: int) -> Iterator[list[LinkRow]]:
    """Cut rows into lists."""
    while batch := list(islice(rows, size)):
        yield batch


def shortest(graph: Graph, goal: CubeId) -> tuple[Link, ...] | None:
    """Return a shortest chain of links from a graph's start to one of its memories.

    Args:
        graph: A neighbourhood; links count in both directions.
        goal: Where to.
    """
    if goal not in graph.distances:
        return None
    chain: list[Link] = []
    here = goal
    while here != graph.start:
        near = graph.distances[here] - 1
        step = next(
            link
            for link in graph.links
            if here in (link.source, link.target) and graph.distances[link.other(here)] == near
        )
        chain.append(step)
        here = step.other(here)
    return tuple(reversed(chain))
