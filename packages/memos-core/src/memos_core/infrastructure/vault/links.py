"""Rows of typed links between memories; with either end, a link goes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, delete, insert, select

from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.vault import Transaction

_TABLE: Final = schema.links
_ANY: Final = select(_TABLE.c.id).limit(1)


@dataclass(frozen=True, slots=True)
class LinkRow:
    """A link from one memory to another.

    Args:
        id: Its id.
        source_id: Where it begins.
        target_id: Where it ends.
        type: What it says: `source` … `target`, such as `supersedes`.
        percent: How sure whoever linked them is.
        about: The stems that it is about, with spaces between; empty where it is about all of it.
        reason: Why.
        author_id: Who linked them.
        created: When, in microseconds.
    """

    id: str
    source_id: str
    target_id: str
    type: str
    percent: int
    about: str
    reason: str
    author_id: str
    created: int

    def other(self, cube_id: str) -> str:
        """Return the other end."""
        return self.target_id if cube_id == self.source_id else self.source_id


def write(tx: Transaction, rows: Sequence[LinkRow]) -> None:
    """Write links."""
    values: list[dict[str, Any]] = []
    for each in rows:
        row = {name: getattr(each, name) for name in LinkRow.__slots__}
        values.append(row | {"seal": schema.sealed(_TABLE, row)})
    if values:
        tx.connection.execute(insert(_TABLE), values)


def find(tx: Transaction, link_id: str) -> LinkRow | None:
    """Read one link; a damaged one is none."""
    row = tx.connection.execute(select(_TABLE).where(_TABLE.c.id == link_id)).one_or_none()
    return None if row is None else _read(row)


def any_there(tx: Transaction) -> bool:
    """Tell whether there is any link at all."""
    return tx.connection.scalar(_ANY) is not None


def touching(
    tx: Transaction,
    cube_ids: Sequence[str],
    *,
    types: Collection[str] | None = None,
    at: int | None = None,
) -> list[LinkRow]:
    """Read the links that begin or end at memories, each once, in the order of their making.

    Args:
        tx: The transaction.
        cube_ids: The memories.
        types: Only of these types.
        at: Only those that were there then, in microseconds.
    """
    found: dict[str, LinkRow] = {}
    for batch in schema.batches(cube_ids):
        ends = _TABLE.c.source_id.in_(batch) | _TABLE.c.target_id.in_(batch)
        query = select(_TABLE).where(ends)
        if types is not None:
            query = query.where(_TABLE.c.type.in_(types))
        if at is not None:
            query = query.where(_TABLE.c.created <= at)
        for row in tx.connection.execute(query):
            link = _read(row)
            if link is not None:
                found[link.id] = link
    return sorted(found.values(), key=lambda link: (link.created, link.id))


def between(tx: Transaction, source_id: str, target_id: str, kind: str) -> LinkRow | None:
    """Read the link of a type from one memory to another."""
    same = (_TABLE.c.source_id == source_id) & (_TABLE.c.target_id == target_id)
    row = tx.connection.execute(select(_TABLE).where(same, _TABLE.c.type == kind)).one_or_none()
    return None if row is None else _read(row)


def newest(tx: Transaction, types: Collection[str]) -> Iterator[LinkRow]:
    """Read all links of some types, the newest first."""
    query = select(_TABLE).where(_TABLE.c.type.in_(types))
    for row in tx.connection.execute(query.order_by(_TABLE.c.created.desc(), _TABLE.c.id)):
        link = _read(row)
        if link is not None:
            yield link


def remove(tx: Transaction, link_ids: Sequence[str]) -> None:
    """Remove links."""
    for batch in schema.batches(link_ids):
        tx.connection.execute(delete(_TABLE).where(_TABLE.c.id.in_(batch)))


def _read(row: Row[Any]) -> LinkRow | None:
    if not schema.is_whole(_TABLE, row):
        return None  # `memos doctor` names it; nothing is demoted on its word
    return LinkRow(*(row._mapping[name] for name in LinkRow.__slots__))
