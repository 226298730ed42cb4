"""The chains of the ledger: events appended, each hashed onto the one before it.

A principal's events always go to the same chain of a fixed pool, whose head is read and locked in
the transaction of the effect: no entry, no effect.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence

from pydantic import JsonValue
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.exc import DBAPIError

from memos_core.clock import from_micros
from memos_core.errors import IntegrityError, LedgerError
from memos_core.infrastructure.ledger.event import Event, link
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.database import is_out_of_room
from memos_core.infrastructure.vault.vault import CHAINS, Transaction, Vault

_HEAD = select(schema.chains).where(schema.chains.c.chain == bindparam("chain")).with_for_update()
_ADVANCE = (
    update(schema.chains)
    .where(schema.chains.c.chain == bindparam("which"))
    .values(seq=bindparam("new_seq"), head=bindparam("new_head"), last_time=bindparam("new_time"))
)
_INSERT = insert(schema.ledger)
_ENDS = (
    select(
        schema.chains,
        schema.ledger.c.hash,
        schema.ledger.c.time,
        schema.segments.c.hash.label("pruned"),
    )
    .outerjoin_from(
        schema.chains,
        schema.ledger,
        (schema.ledger.c.chain == schema.chains.c.chain)
        & (schema.ledger.c.seq == schema.chains.c.seq),
    )
    .outerjoin(
        schema.segments,
        (schema.segments.c.chain == schema.chains.c.chain)
        & (schema.segments.c.last_seq == schema.chains.c.seq),
    )
)


class Ledger:
    """Appends events to the chains.

    Args:
        vault: Where the chains are kept.
    """

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._is_checked = False

    def append(self, tx: Transaction, events: Sequence[Event]) -> None:
        """Write events into the transaction of what they tell of.

        Args:
            tx: The effect.
            events: At least one, all of one principal, in order.

        Raises:
            LedgerError: They could not be written; the effect must not stand.
            IntegrityError: A chain does not end where its head says.
        """
        chain = zlib.crc32(events[0].principal_id.encode()) % CHAINS
        try:
            self._check_heads(tx)
            head = tx.connection.execute(_HEAD, {"chain": chain}).one()
            time = max(tx.now, head.last_time)
            rows, previous = [], head.head
            for offset, event in enumerate(events, start=1):
                time = max(time, event.time or 0)
                body = self._body(tx, event, time)
                previous = link(previous, chain, head.seq + offset, body)
                rows.append(
                    {
                        "chain": chain,
                        "seq": head.seq + offset,
                        "time": time,
                        "type": event.type,
                        "outcome": event.outcome,
                        "principal_id": event.principal_id,
                        "subject": event.subject,
                        "body": body,
                        "hash": previous,
                    }
                )
            tx.connection.execute(_INSERT, rows if len(rows) > 1 else rows[0])
            tx.connection.execute(
                _ADVANCE,
                {
                    "which": chain,
                    "new_seq": head.seq + len(rows),
                    "new_head": previous,
                    "new_time": time,
                },
            )
        except DBAPIError as error:
            if is_out_of_room(error):  # the disk is full, which is said where it is known why
                raise
            raise LedgerError(
                f"the ledger could not be written, so nothing was done: {error.orig}"
            ) from error

    def _check_heads(self, tx: Transaction) -> None:
        """Hold every head against the last event of its chain, once in this process.

        A head's time says what has expired; an event on top of a damaged one would make it true.
        """
        if self._is_checked:
            return
        for row in tx.connection.execute(_ENDS):
            empty = (row.seq, row.head, row.last_time) == (0, "", 0)
            there = (row.hash, row.time) == (row.head, row.last_time)
            pruned = row.hash is None and row.pruned is not None and row.pruned == row.head
            if not (empty or there or pruned):
                raise IntegrityError(
                    f"chain {row.chain} of the ledger does not end at its head: run `memos audit "
                    "verify`, restore a backup; nothing was done"
                )
        self._is_checked = True

    def _body(self, tx: Transaction, event: Event, time: int) -> str:
        body: dict[str, JsonValue] = {
            "specversion": "1.0",
            "id": self._vault.mint("evt"),
            "source": source_of(tx.vault_id),
            "type": event.type,
            "time": from_micros(time).isoformat(),
            "principal": event.principal_id,
            "outcome": event.outcome,
            "purpose": event.purpose,
        }
        if event.subject is not None:
            body["subject"] = event.subject
        if event.data:
            body["data"] = dict(event.data)
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def source_of(vault_id: str) -> str:
    """Name a vault as its events do."""
    return f"memos:{vault_id}"
