"""The audit ledger: every effect, refusal and read, in hash chains that show tampering.

An event uses CloudEvents field names and holds no content: of what was written it keeps an HMAC
under the memory's own key, which erasure destroys; of names it keeps pseudonymous ids. An event's
hash covers the event before it in its chain, so an edit, a deletion or a swap breaks the chain. A
principal's events always go to the same chain of a fixed pool, whose head is read and locked in the
transaction of the effect: no entry, no effect.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import JsonValue
from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from memos_core.clock import from_micros
from memos_core.errors import LedgerError
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.database import translated_errors
from memos_core.infrastructure.vault.vault import CHAINS, Transaction, Vault

Outcome = Literal["allowed", "denied", "not_found"]

_HEAD = select(schema.chains).where(schema.chains.c.chain == bindparam("chain")).with_for_update()
_ADVANCE = (
    update(schema.chains)
    .where(schema.chains.c.chain == bindparam("which"))
    .values(seq=bindparam("new_seq"), head=bindparam("new_head"), last_time=bindparam("new_time"))
)
_INSERT = insert(schema.ledger)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, before it has its place in a chain.

    Args:
        type: What was done, e.g. `memos.add`.
        principal_id: Who did it, pseudonymous.
        outcome: `allowed`, `denied`, or `not_found` for what is not there or not readable.
        purpose: The session's purpose.
        subject: The memory, grant or principal that it was done to.
        data: Details without content.
        time: When, in microseconds; None is the transaction's time. The events of a batch bear
            successive times, so that whatever follows is later than all of it.
    """

    type: str
    principal_id: str
    outcome: Outcome
    purpose: str
    subject: str | None = None
    data: Mapping[str, JsonValue] = field(default_factory=dict)
    time: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `audit verify` found.

    Args:
        status: `self-consistent` where every chain holds, `broken` otherwise. Without a signed
            checkpoint kept elsewhere, somebody who can rewrite the whole database could rewrite
            the chains too; that is what the words mean.
        events: How many events were checked.
        problems: What does not hold, event by event.
        outcomes: How many events had each outcome.
    """

    status: Literal["self-consistent", "broken"]
    events: int
    problems: tuple[str, ...] = ()
    outcomes: Mapping[str, int] = field(default_factory=dict)


class Ledger:
    """Appends events to the chains, and verifies them.

    Args:
        vault: Where the chains are kept.
    """

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def append(self, tx: Transaction, events: Sequence[Event]) -> None:
        """Write events into the transaction of what they tell of.

        Args:
            tx: The effect.
            events: At least one, all of one principal, in order.

        Raises:
            LedgerError: They could not be written; the effect must not stand.
        """
        chain = zlib.crc32(events[0].principal_id.encode()) % CHAINS
        try:
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
            raise LedgerError(
                f"the ledger could not be written, so nothing was done: {error.orig}"
            ) from error

    def _body(self, tx: Transaction, event: Event, time: int) -> str:
        body: dict[str, JsonValue] = {
            "specversion": "1.0",
            "id": self._vault.mint("evt"),
            "source": f"memos:{tx.vault_id}",
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

    def verify(self) -> Verdict:
        """Walk every chain from its first event to its head and check every link.

        Returns:
            The verdict, with a line for each thing that does not hold.
        """
        problems: list[str] = []
        events = 0
        with self._vault.read() as tx, translated_errors():
            heads = {row.chain: row for row in tx.connection.execute(select(schema.chains))}
            missing = set(range(CHAINS)) - set(heads)
            problems += [f"chain {chain} is gone" for chain in sorted(missing)]
            for chain, head in sorted(heads.items()):
                count, found = _walk(tx, chain, head.seq, head.head)
                events += count
                problems += found
            table = schema.ledger
            stray = select(table.c.chain).where(table.c.chain.not_in(list(heads))).distinct()
            problems += [f"chain {row.chain} has no head" for row in tx.connection.execute(stray)]
            counts = select(table.c.outcome, func.count()).group_by(table.c.outcome)
            outcomes = {row.outcome: row[1] for row in tx.connection.execute(counts)}
        status: Literal["broken", "self-consistent"] = "broken" if problems else "self-consistent"
        return Verdict(status, events, tuple(problems), outcomes)


def link(previous: str, chain: int, seq: int, body: str) -> str:
    """Hash an event onto the one before it.

    Returns:
        64 hex digits of SHA-256 over the previous hash, the place in the chain and the event.
    """
    return hashlib.sha256(f"{previous}\n{chain}\n{seq}\n{body}".encode()).hexdigest()


def commitment(key: bytes, content_hash: str) -> str:
    """Commit to content without telling it: HMAC-SHA256 under the memory's own key."""
    return hmac.new(key, content_hash.encode("ascii"), hashlib.sha256).hexdigest()


_COPIES: Final = ("type", "outcome")


def _walk(tx: Transaction, chain: int, last_seq: int, head: str) -> tuple[int, list[str]]:
    table = schema.ledger
    query = select(table).where(table.c.chain == chain).order_by(table.c.seq)
    previous, expected, problems = "", 1, []
    for row in tx.connection.execute(query):
        where = f"event {row.seq} of chain {chain}"
        if row.seq != expected:
            problems.append(f"{where} follows event {expected - 1}: something between is missing")
        if link(previous, chain, row.seq, row.body) != row.hash:
            problems.append(f"{where} does not match its hash")
        if not _columns_agree(row):
            problems.append(f"{where} is filed under other values than it holds")
        previous, expected = row.hash, row.seq + 1
    if (expected - 1, previous) != (last_seq, head):
        problems.append(f"chain {chain} does not end at its head (event {last_seq})")
    return expected - 1, problems


def _columns_agree(row: Any) -> bool:
    try:
        body = json.loads(row.body)
        return (
            all(body[name] == getattr(row, name) for name in _COPIES)
            and body["principal"] == row.principal_id
            and body.get("subject") == row.subject
            and body["time"] == from_micros(row.time).isoformat()
        )
    except (ValueError, KeyError, TypeError):
        return False
