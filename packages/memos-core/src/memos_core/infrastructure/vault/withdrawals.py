"""Withdrawals: what was taken back, numbered, so that a restored backup can be told of it.

A backup holds what was forgotten, and allows what was revoked, after it was taken. Each checkpoint
therefore lists what was withdrawn since the one before it, and anchors keep checkpoints outside the
vault. An entry names ids, never content.

| kind | body |
|---|---|
| `forget` | `cubes`: memories that are gone |
| `revoke` | `grants`: grants that ended |
| `leave` | `group`, `member`: a membership that ended |
| `clearance` | `principal`, `level`: what was set |
| `trust` | `source`, `level`: what was set |
| `quarantine` | `row`: the quarantine's own row, its space by id, without its reason |
| `release` | `quarantine`: one that ended |
| `hold` | `row`: the retention hold's own row, likewise |
| `lift` | `hold`: one that ended |
| `narrow` | `cube`, and what it asks of readers now: `sensitivity`, `access`, `purposes` |
| `end` | `cube`, `expires`: when a memory ends now, in microseconds, or null |
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue
from sqlalchemy import func, insert, select

from memos_core.errors import DamagedError
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.vault import Transaction

Kind = Literal[
    "forget", "revoke", "leave", "clearance", "trust", "quarantine", "release",
    "narrow", "end", "hold", "lift",
]  # fmt: skip


class Withdrawal(BaseModel):
    """One thing that was taken back.

    Args:
        number: 1, 2, 3… without a gap.
        kind: What kind of thing.
        body: Which; see this module's table.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    kind: str
    body: Mapping[str, JsonValue]


def withdraw(tx: Transaction, kind: Kind, body: Mapping[str, JsonValue]) -> None:
    """Record that something was taken back, in the transaction that does it."""
    last = tx.connection.scalar(select(func.max(schema.withdrawals.c.number))) or 0
    adopt_withdrawal(tx, Withdrawal(number=last + 1, kind=kind, body=body))


def adopt_withdrawal(tx: Transaction, told: Withdrawal) -> None:
    """Write a withdrawal under the number that it has."""
    table = schema.withdrawals
    row = {"number": told.number, "kind": told.kind, "body": json.dumps(dict(told.body))}
    sealed = row | {"seal": schema.sealed(table, row)}
    tx.connection.execute(insert(table), sealed)


def withdrawn_since(tx: Transaction, number: int) -> Sequence[Withdrawal]:
    """Read what was taken back after this number, in order.

    Raises:
        DamagedError: A row's bytes changed on disk.
    """
    table = schema.withdrawals
    query = select(table).where(table.c.number > number).order_by(table.c.number)
    found = []
    for row in tx.connection.execute(query).mappings():
        if schema.sealed(table, dict(row)) != row["seal"]:
            raise DamagedError(f"withdrawal {row['number']} is damaged on disk: run `memos doctor`")
        body = json.loads(row["body"])
        found.append(Withdrawal(number=row["number"], kind=row["kind"], body=body))
    return found
