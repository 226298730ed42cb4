"""Erasing: after memories were forgotten, their bytes go too, and a report says when they have.

The transaction that forgets deletes every row. What can still hold bytes then is the write-ahead
log, as long as a reader needs it; pages in the memory of this and other processes; and anchors that
have not been told, so that a restored backup would bring the memories back. Each attempt empties
the log first: once that succeeded, no reader is left who began before, and what the others say of
their pages covers all that they ever read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from sqlalchemy import Row, insert, select, update

from memos_core.clock import from_micros
from memos_core.errors import DamagedError, MemosError, NotFoundError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import ROOT
from memos_core.infrastructure.ledger import Event
from memos_core.infrastructure.vault import journal, schema
from memos_core.infrastructure.vault.presence import holders
from memos_core.infrastructure.vault.scratch import sweep
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.operation.gate import Gate, Refusal
from memos_core.results import ForgetReport, Maintenance

_VERB: Final = "memos.erasure"
_BACKUP: Final = "a working copy: a backup is being taken"
_LOG: Final = "the write-ahead log: a reader still needs it"


class Cleanable(Protocol):
    """What holds memories of realms in this process."""

    def clean(self, tx: Transaction, realm_id: str, seq: int, embedder: str) -> None:
        """Let go of what was forgotten in a realm, up to a journal entry of it."""
        ...


class Eraser:
    """Brings erasures to their end.

    Args:
        gate: Decides and records.
        followers: Whose pages, and tensors, this process holds.
        announce: Tells the anchors what was withdrawn; returns what went wrong.
        collect: Removes the blobs that nothing needs; returns what went wrong.
    """

    def __init__(
        self,
        gate: Gate,
        followers: Sequence[Cleanable],
        announce: Callable[[], tuple[str, ...]],
        collect: Callable[[], tuple[str, ...]],
    ) -> None:
        self._gate = gate
        self._followers = tuple(followers)
        self._announce = announce
        self._collect = collect

    def begin(
        self,
        tx: Transaction,
        by: str,
        named: Sequence[str],
        derived: Sequence[str],
        realms: Mapping[str, int],
    ) -> str:
        """Record that memories were forgotten, in the transaction that forgets them.

        Args:
            tx: The effect.
            by: The id of the principal who forgets.
            named: The memories that were named.
            derived: Those that went with them, as far as he could read them.
            realms: By realm, the journal entry that removed them.

        Returns:
            The erasure's id.
        """
        erasure_id = self._gate.vault.mint("era")
        row: dict[str, Any] = {
            "id": erasure_id,
            "principal_id": by,
            "created": tx.now,
            "forgotten": json.dumps(list(named)),
            "derived": json.dumps(list(derived)),
            "realms": json.dumps(dict(realms)),
            "erased": None,
        }
        sealed = row | {"seal": schema.sealed(schema.erasures, row)}
        tx.connection.execute(insert(schema.erasures), sealed)
        return erasure_id

    def finish(self) -> Maintenance:
        """Bring to an end what can be; nothing that goes wrong undoes what was forgotten."""
        with self._gate.vault.read() as tx:
            rows = _pending(tx)
        left = self._collected()
        if not rows:
            return Maintenance((), {})
        reasons = self._reasons(rows, left)
        ended = {each for each, why in reasons.items() if not why}
        done: tuple[str, ...] = ()
        try:
            done = self._record(ended) if ended else ()
        except MemosError as error:  # the bytes are gone all the same: it is recorded next time
            reasons |= dict.fromkeys(ended, (f"only the record of it: {error}",))
        return Maintenance(done, {each: why for each, why in reasons.items() if why})

    def _collected(self) -> tuple[str, ...]:
        try:
            return self._collect()
        except MemosError as error:
            return (f"blobs: {error}",)

    def _reasons(
        self, rows: Sequence[Row[Any]], left: tuple[str, ...]
    ) -> dict[str, tuple[str, ...]]:
        """Say for each erasure what still holds bytes, after having done what can be done."""
        common = [*left, *self._announce()]
        try:
            if not self._gate.vault.database.truncate_log():
                common.append(_LOG)
            self._clean_own({realm for row in rows for realm in json.loads(row.realms)})
        except MemosError as error:
            common.append(f"the attempt failed: {error}")
        if sweep(self._gate.vault.directory.root):
            common.append(_BACKUP)
        present = self._gate.vault.presence.present()
        return {row.id: (*common, *holders(present, json.loads(row.realms))) for row in rows}

    def _clean_own(self, realms: set[str]) -> None:
        with self._gate.vault.read() as tx:
            for realm_id, seq in sorted(journal.positions(tx, sorted(realms)).items()):
                for follower in self._followers:
                    follower.clean(tx, realm_id, seq, tx.embedder or "")

    def _record(self, ended: set[str]) -> tuple[str, ...]:
        """Write that erasures have ended: events of whoever forgot, for nobody else's eyes."""
        table = schema.erasures
        with self._gate.vault.effect(durable=False) as tx:
            rows = [row for row in _pending(tx) if row.id in ended]
            for row in rows:
                changed = dict(row._mapping) | {"erased": tx.now}
                changed["seal"] = schema.sealed(table, changed)
                tx.connection.execute(update(table).where(table.c.id == row.id).values(**changed))
                event = Event("memos.erase", row.principal_id, "allowed", "assist", row.id)
                self._gate.ledger.append(tx, [event])
        return tuple(row.id for row in rows)

    def report(self, actor: Actor, erasure_id: str) -> ForgetReport:
        """Say how far an erasure has come, for whoever asked for it or governs the vault."""
        self._gate.refuse_in_pipeline("a report of erasure")
        with self._gate.snapshot(actor, _VERB) as tx:
            self._found(tx, actor, erasure_id)
        pending = self.finish().pending.get(erasure_id, ())
        with self._gate.effect(actor, _VERB, durable=False) as tx:
            row = self._found(tx, actor, erasure_id)
            self._gate.note(tx, actor, _VERB, subject=erasure_id)
            own = row.principal_id == self._gate.registry.find_principal(tx, actor.principal)
            return _report(tx, row, pending, with_ids=own)

    def reported(self, erasure_id: str, pending: Sequence[str]) -> ForgetReport:
        """Return the report of an erasure that was just begun, by whoever began it."""
        with self._gate.vault.read() as tx:
            table = schema.erasures
            row = tx.connection.execute(select(table).where(table.c.id == erasure_id)).one()
            return _report(tx, row, pending)

    def _found(self, tx: Transaction, actor: Actor, erasure_id: str) -> Row[Any]:
        table = schema.erasures
        row = tx.connection.execute(select(table).where(table.c.id == erasure_id)).one_or_none()
        asks = self._gate.registry.find_principal(tx, actor.principal)
        if row is None or not (row.principal_id == asks or self._gate.governs(tx, actor, ROOT)):
            error = NotFoundError(f"no erasure {erasure_id!r} that you may ask about")
            raise Refusal(error, "not_found")
        if not schema.is_whole(table, row):
            raise DamagedError(f"erasure {erasure_id} is damaged on disk: run `memos doctor`")
        return row


def _pending(tx: Transaction) -> Sequence[Row[Any]]:
    table = schema.erasures
    query = select(table).where(table.c.erased.is_(None)).order_by(table.c.created, table.c.id)
    rows = tx.connection.execute(query).all()
    return [row for row in rows if schema.is_whole(table, row)]  # the doctor names the others


def _report(
    tx: Transaction, row: Row[Any], pending: Sequence[str], *, with_ids: bool = True
) -> ForgetReport:
    backed_up = tx.connection.scalar(select(schema.vault.c.backed_up))
    notes: tuple[str, ...] = ()
    if backed_up is not None and backed_up <= row.created:
        notes = (
            f"backups up to {from_micros(backed_up).isoformat()} may hold it; a restored one loses "
            "it again if an anchor is at hand",
        )
    return ForgetReport(
        tuple(json.loads(row.forgotten)) if with_ids else (),
        tuple(json.loads(row.derived)) if with_ids else (),
        "pending" if row.erased is None else "erased",
        tuple(pending) if row.erased is None else (),
        row.id,
        notes,
    )
