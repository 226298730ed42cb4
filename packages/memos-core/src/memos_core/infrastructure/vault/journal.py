"""The journal of each realm: what changed, numbered without gaps and in commit order.

The writer takes the next number from the realm's row in the same transaction, so a reader that
compares one number per realm knows whether its index is behind. An entry names a memory, never its
content: a follower reads the memory's present state in the same snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from sqlalchemy import bindparam, insert, select, update

from memos_core.errors import DamagedError
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.vault import Transaction

Op = Literal["add", "update", "relabel", "forget"]

_NEXT = (
    update(schema.realms)
    .where(schema.realms.c.id == bindparam("realm"))
    .values(seq=schema.realms.c.seq + bindparam("count"))
    .returning(schema.realms.c.seq)
)
_DAMAGED: Final = "a realm's row is damaged on disk: run `memos doctor`, restore a backup"
_INSERT = insert(schema.journal)
_REALMS = select(schema.realms)
_NAMED_REALMS = _REALMS.where(schema.realms.c.name.in_(bindparam("names", expanding=True)))


def append(tx: Transaction, realm_id: str, cube_ids: Sequence[str], op: Op) -> int:
    """Record that memories of a realm changed.

    Args:
        tx: The effect that changes them.
        realm_id: The realm.
        cube_ids: The memories, in the order of the change.
        op: What happened to them.

    Returns:
        The number of the last entry.
    """
    step = {"realm": realm_id, "count": len(cube_ids)}
    last: int = tx.connection.execute(_NEXT, step).scalar_one()
    first = last - len(cube_ids) + 1
    rows = [
        {"realm_id": realm_id, "seq": first + offset, "cube_id": cube_id, "op": op}
        for offset, cube_id in enumerate(cube_ids)
    ]
    tx.connection.execute(_INSERT, rows if len(rows) > 1 else rows[0])
    return last


def counters(tx: Transaction, names: Sequence[str] | None) -> dict[str, tuple[str, int]]:
    """Read where the journals of realms stand.

    Args:
        tx: The snapshot.
        names: The realms' names, or None for every realm.

    Returns:
        A mapping from the realm's name to its id and its last number.

    Raises:
        DamagedError: A name or a number is none.
    """
    if names is None:
        rows = tx.connection.execute(_REALMS)
    else:
        rows = tx.connection.execute(_NAMED_REALMS, {"names": list(names)})
    return {check_name(row.name): (row.id, _number(row.seq)) for row in rows}


def check_name(name: object) -> str:
    """Return a realm's name unchanged; SQLite stores, and gives back, anything anywhere.

    Raises:
        DamagedError: It is no text.
    """
    if not isinstance(name, str):
        raise DamagedError(_DAMAGED)
    return name


def _number(seq: object) -> int:
    if not isinstance(seq, int):
        raise DamagedError(_DAMAGED)
    return seq


def positions(tx: Transaction, realm_ids: Sequence[str]) -> dict[str, int]:
    """Read the last number of realms' journals, by the realms' ids."""
    table = schema.realms
    query = select(table.c.id, table.c.seq).where(table.c.id.in_(realm_ids))
    return {row.id: row.seq for row in tx.connection.execute(query)}


def entries(tx: Transaction, realm_id: str, seq: int, limit: int) -> list[tuple[int, str]]:
    """List the next entries after `seq`: their numbers, and the memories that they name."""
    table = schema.journal
    query = (
        select(table.c.seq, table.c.cube_id)
        .where(table.c.realm_id == realm_id, table.c.seq > seq)
        .order_by(table.c.seq)
        .limit(limit)
    )
    return [(row.seq, row.cube_id) for row in tx.connection.execute(query)]


def changed_since(tx: Transaction, realm_id: str, seq: int) -> list[str]:
    """List the memories that changed after entry `seq`, each once."""
    table = schema.journal
    query = (
        select(table.c.cube_id)
        .where(table.c.realm_id == realm_id, table.c.seq > seq)
        .order_by(table.c.seq)
    )
    return list(dict.fromkeys(tx.connection.execute(query).scalars()))
