"""Reading the ledger back: events as they were recorded, newest first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, select

from memos_core.clock import from_micros
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.vault import Transaction

_BATCH: Final = 500
_MAKING: Final = ("memos.add", "memos.activate", "memos.distill")
"""Events by which memories come into being."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event as it stands in the ledger; `time` is in microseconds."""

    id: str
    time: int
    type: str
    outcome: str
    principal_id: str
    purpose: str
    subject: str | None
    data: Mapping[str, Any]

    @property
    def cubes(self) -> tuple[str, ...]:
        """The memories that a read returned."""
        found = self.data.get("cubes")
        return tuple(map(str, found)) if isinstance(found, list) else ()

    @property
    def about(self) -> list[str]:
        """The ids of all that it is about: memories, grants, spaces; `*` is the shared root."""
        found = [self.subject, self.data.get("cube"), self.data.get("space"), *self.cubes]
        return [each for each in found if isinstance(each, str)]

    def names(self, cube_id: str) -> bool:
        """Tell whether it is about a memory."""
        return cube_id in (self.subject, self.data.get("cube"), *self.cubes)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events are wanted; None is no condition. Times are in microseconds.

    Args:
        principal_id: Whose.
        type: Of which type.
        since: Not before this.
        until: Before this.
        cube_id: About this memory.
        below: Only those that come after this one in a listing: its time and its id.
    """

    principal_id: str | None = None
    type: str | None = None
    since: int | None = None
    until: int | None = None
    cube_id: str | None = None
    below: tuple[int, str] | None = None

    def narrowed(self, **conditions: str) -> Selection:
        """Add conditions."""
        return replace(self, **conditions)  # type: ignore[arg-type]  # names of its own fields


def newest_first(tx: Transaction, wanted: Selection) -> Iterator[Sequence[Recorded]]:
    """Read events in batches, newest first; those of one instant, the last recorded first."""
    skipping = wanted.below
    for rows in tx.connection.execute(_query(wanted)).partitions(_BATCH):
        batch = []
        for event in filter(None, map(_read, rows)):
            if skipping is not None and event.time == skipping[0]:
                if event.id == skipping[1]:
                    skipping = None
                continue
            skipping = None
            if wanted.cube_id is None or event.names(wanted.cube_id):
                batch.append(event)
        yield batch


def _query(wanted: Selection) -> Select[Any]:
    columns = schema.ledger.c
    conditions: list[tuple[Any, ColumnElement[bool]]] = [
        (wanted.principal_id, columns.principal_id == wanted.principal_id),
        (wanted.type, columns.type == wanted.type),
        (wanted.since, columns.time >= (wanted.since or 0)),
        (wanted.until, columns.time < (wanted.until or 0)),
        (wanted.cube_id, columns.body.contains(wanted.cube_id or "", autoescape=True)),
        (wanted.below, columns.time <= (wanted.below or (0, ""))[0]),
    ]
    chosen = [condition for given, condition in conditions if given is not None]
    query = select(schema.ledger).where(*chosen)
    return query.order_by(columns.time.desc(), columns.chain, columns.seq.desc())


def since_heads(tx: Transaction, heads: Mapping[int, int]) -> list[Recorded]:
    """Read the events that came after these heads, in the order of time.

    Args:
        tx: The transaction.
        heads: The last number of each chain.
    """
    table, found = schema.ledger, []
    for chain, seq in heads.items():
        query = select(table).where(table.c.chain == chain, table.c.seq > seq)
        found += list(filter(None, map(_read, tx.connection.execute(query))))
    return sorted(found, key=lambda event: event.time)


def between(
    tx: Transaction, chain: int, first: int, last: int, types: Sequence[str]
) -> list[Recorded]:
    """Read the events of some types of one chain, in order.

    Args:
        tx: The transaction.
        chain: The chain.
        first: After this number.
        last: Up to this one.
        types: The types that are wanted.
    """
    table = schema.ledger
    query = (
        select(table)
        .where(table.c.chain == chain, table.c.seq > first, table.c.seq <= last)
        .where(table.c.type.in_(types))
        .order_by(table.c.seq)
    )
    return list(filter(None, map(_read, tx.connection.execute(query))))


def space_ids(tx: Transaction, cube_ids: Sequence[str]) -> dict[str, str]:
    """Find in which space memories lay when they were added, which their events still know."""
    table = schema.ledger
    found: dict[str, str] = {}
    for batch in schema.batches(cube_ids):
        query = select(table).where(
            table.c.subject.in_(batch), table.c.type.in_(_MAKING), table.c.outcome == "allowed"
        )
        for event in filter(None, map(_read, tx.connection.execute(query))):
            space = event.data.get("space")
            if isinstance(space, str) and event.subject is not None:
                found[event.subject] = space
    return found


def _read(row: Row[Any]) -> Recorded | None:
    """Read a row; what cannot be read is left to `audit verify`."""
    try:
        body = json.loads(row.body)
        data = body.get("data", {})
        from_micros(row.time)  # it can be told as a time
        return Recorded(
            str(body["id"]),
            row.time,
            row.type,
            row.outcome,
            row.principal_id,
            str(body["purpose"]),
            row.subject,
            data if isinstance(data, dict) else {},
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
