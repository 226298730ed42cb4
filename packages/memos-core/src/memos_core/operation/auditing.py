"""Auditing: asking the ledger under one's own rights, and the verbs that seal and prune it."""

from __future__ import annotations

import base64
import binascii
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from pydantic import JsonValue
from sqlalchemy import select

from memos_core.clock import require_aware, to_micros
from memos_core.errors import (
    AnchorError,
    DeniedError,
    InvalidInputError,
    MemosError,
    NotFoundError,
)
from memos_core.infrastructure.files import refuse_existing
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import ROOT, Action
from memos_core.infrastructure.governance.names import check_principal
from memos_core.infrastructure.ledger.anchors import Anchor
from memos_core.infrastructure.ledger.checkpoint import SignedCheckpoint
from memos_core.infrastructure.ledger.event import Event
from memos_core.infrastructure.ledger.export import ExportReport, write_export
from memos_core.infrastructure.ledger.keys import Keyring, SigningKey
from memos_core.infrastructure.ledger.pruning import Pruner
from memos_core.infrastructure.ledger.publishing import Publisher, read_anchors
from memos_core.infrastructure.ledger.reading import Selection, newest_first
from memos_core.infrastructure.ledger.verdict import Verdict
from memos_core.infrastructure.ledger.verify import Verifier
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.reserve import Draw
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.infrastructure.vault.withdrawals import withdrawn_since
from memos_core.operation.gate import Gate, Ref, Refusal
from memos_core.operation.sight import Sight
from memos_core.results import LogEntry, Page, PruneReport

VAULT_ITSELF: Final = "app:memos"
"""Who acts where nobody does: a checkpoint at the end, a key for a vault that had none."""
ITSELF: Final = Actor(VAULT_ITSELF, VAULT_ITSELF, None, "assist")
"""The vault as an actor: it keeps its own house; no right is asked for, and the ledger says so."""
_LOG: Final = "memos.log"
_CHECKPOINT: Final = "memos.checkpoint"
_ROTATE: Final = "memos.key.rotate"
_PRUNE: Final = "memos.prune"
_EXPORT: Final = "memos.export"
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class LogQuery:
    """What is asked of the log; None is no condition.

    Args:
        principal: Whose events.
        cube: About this memory.
        action: Of this verb, `add` or `memos.add`.
        since: Not before this.
        until: Before this.
        limit: The most entries on a page.
        cursor: The cursor of the page before.
    """

    principal: str | None
    cube: Ref | None
    action: str | None
    since: datetime | None
    until: datetime | None
    limit: int
    cursor: str | None


class Auditor:
    """Reads, seals and prunes the ledger.

    Args:
        gate: Decides and records.
        keyring: The signing keys.
        publisher: Brings checkpoints to the anchors.
    """

    def __init__(self, gate: Gate, keyring: Keyring, publisher: Publisher) -> None:
        self._gate = gate
        self._keyring = keyring
        self._checkpoints = checkpoints = publisher.checkpoints
        self._publisher = publisher
        self._verifier = Verifier(keyring, checkpoints)
        self._pruner = Pruner(checkpoints, self._verifier)

    def query(self, actor: Actor, asked: LogQuery) -> Page[LogEntry]:
        """Read the log, newest first, as far as the actor may see it."""
        self._gate.refuse_in_pipeline("the log")
        wanted = _selection(asked)
        for _ in range(_TRIES):
            with self._gate.snapshot(actor, _LOG) as tx:
                access = self._gate.access(tx, actor)
                page, subject = self._page(tx, actor, asked, wanted)
            with self._gate.effect(actor, _LOG, durable=False) as tx:
                if access.is_good(tx.epoch, tx.now):
                    self._gate.note(tx, actor, _LOG, subject=subject)
                    return page
        with self._gate.effect(actor, _LOG, durable=False) as tx:  # here nothing can move
            page, subject = self._page(tx, actor, asked, wanted)
            self._gate.note(tx, actor, _LOG, subject=subject)
        return page

    def _page(
        self, tx: Transaction, actor: Actor, asked: LogQuery, wanted: Selection
    ) -> tuple[Page[LogEntry], str | None]:
        if actor.at is not None:
            error = DeniedError("this session looks at the past, and the log is of the present")
            raise Refusal(error, "denied")
        sight = Sight(self._gate, tx, actor)
        conditions = {}
        if asked.cube is not None:
            conditions["cube_id"] = self._about(tx, actor, sight, asked.cube)
        if asked.principal is not None:
            principal_id = self._principal_id(tx, asked.principal)
            if principal_id is None:
                return Page(()), conditions.get("cube_id")
            conditions["principal_id"] = principal_id
        found: list[LogEntry] = []
        for batch in newest_first(tx, wanted.narrowed(**conditions)):
            found += sight.entries(batch)
            if len(found) > asked.limit:
                break
        more = len(found) > asked.limit
        shown = tuple(found[: asked.limit])
        cursor = _write_cursor(shown[-1]) if more else None
        return Page(shown, cursor), conditions.get("cube_id")

    def _principal_id(self, tx: Transaction, name: str) -> str | None:
        """Return the id that events bear; an erased principal is asked for by that id."""
        return name if name.startswith("prn_") else self._gate.registry.find_principal(tx, name)

    def _about(self, tx: Transaction, actor: Actor, sight: Sight, ref: Ref) -> str:
        """Return the id of the memory that is asked about, if it may be read or is governed."""
        try:
            return self._gate.locate(tx, actor, ref).cube.id
        except Refusal as refusal:
            with suppress(Refusal):
                cube = self._gate.governed(tx, actor, ref).cube
                if sight.governs(self._gate.space_of(tx, cube), cube.id):
                    return cube.id
            raise refusal from None

    def verify(self, anchors: Sequence[Anchor] | None, trusted_key: str | None) -> Verdict:
        """Check the ledger against these anchors, or the vault's own."""
        vault = self._gate.vault
        chosen = self._publisher.anchors if anchors is None else anchors
        with vault.read() as tx:
            vault_id = tx.vault_id
        anchored = read_anchors(chosen, vault_id)  # before the snapshot: what they keep, it has
        with vault.read() as tx:
            return self._verifier.verify(tx, anchored, trusted_key)

    def checkpoint(self, actor: Actor) -> SignedCheckpoint:
        """Sign where the chains stand, and publish it; nothing new is made if nothing happened."""

        def take() -> SignedCheckpoint:
            self._gate.refuse_in_pipeline("the audit")
            with self._gate.effect(actor, _CHECKPOINT, draw=Draw.ALL) as tx:
                self._require(tx, actor)
                by = self._gate.registry.ensure_principal(tx, actor.principal)
                return self._take(tx, by, actor.purpose)

        with self._gate.snapshot(actor, _CHECKPOINT) as tx:
            self._require(tx, actor)
        return self._published(take)

    def seal(self) -> None:
        """Take and publish a last checkpoint, for a vault that is being closed."""

        def take() -> SignedCheckpoint:
            with self._gate.vault.effect(draw=Draw.ALL) as tx:
                by = self._gate.registry.ensure_principal(tx, VAULT_ITSELF)
                return self._take(tx, by, "assist")

        self._published(take)

    def tell(self) -> None:
        """Tell the anchors what was withdrawn; where they cannot be told, that is a warning."""
        if self._gate.postponed(self.tell):
            return
        for problem in self.announce():
            warnings.warn(f"it is done, but not told to {problem}", stacklevel=4)

    def announce(self) -> tuple[str, ...]:
        """Tell the anchors, if there are any, what was withdrawn; it was done whatever they answer.

        Returns:
            What went wrong.
        """
        if not self._publisher.anchors:
            return self._unnamed()
        try:
            with self._gate.vault.read() as tx:
                untold = self._has_untold(tx)
            if untold:
                self.seal()
            else:
                self._publisher.publish()
        except (MemosError, OSError):
            return ("the anchors: until they are told, a restored backup would bring it back",)
        return ()

    def _unnamed(self) -> tuple[str, ...]:
        """Say that a vault with anchors was opened without them."""
        with self._gate.vault.read() as tx:
            anchored = tx.connection.scalar(select(schema.vault.c.anchored)) is not None
            if not (anchored and self._has_untold(tx)):
                return ()
        return (
            "the anchors: this vault has some, and none was named here; until they are told, a "
            "restored backup would bring it back",
        )

    def _has_untold(self, tx: Transaction) -> bool:
        """Tell whether something was withdrawn that no checkpoint tells of."""
        newest = self._checkpoints.newest(tx)
        told = 0 if newest is None else newest.statement.withdrawn_to
        return bool(withdrawn_since(tx, told))

    def _published(self, take: Callable[[], SignedCheckpoint]) -> SignedCheckpoint:
        with suppress(AnchorError):  # tried again below; a contradiction stops it here
            self._publisher.publish()
        signed = take()
        self._publisher.publish()
        return signed

    def _take(self, tx: Transaction, by: str, purpose: str) -> SignedCheckpoint:
        newest = self._checkpoints.newest(tx)
        if newest is not None and not self._checkpoints.is_due(tx):
            return newest
        # The event comes first, so that the checkpoint covers its own.
        data: dict[str, JsonValue] = {"number": 1 if newest is None else newest.number + 1}
        event = Event(_CHECKPOINT, by, "allowed", purpose, data=data)
        self._gate.ledger.append(tx, [event])
        return self._checkpoints.take(tx)

    def rotate(self, actor: Actor, *, revoke: bool, reason: str) -> SigningKey:
        """Make a new signing key, and publish a checkpoint that says so."""
        self._gate.refuse_in_pipeline("the audit")
        with self._gate.effect(actor, _ROTATE, draw=Draw.ALL) as tx:
            self._require(tx, actor)
            made = self._keyring.rotate(tx, revoke=revoke)
            data: dict[str, JsonValue] = {
                "key": made.id,
                "endorsed": made.endorsement is not None,
                "revoked": revoke,
            }
            if reason:
                data["reason"] = reason
            self._gate.note(tx, actor, _ROTATE, data=data)
            self._checkpoints.take(tx)
        self._publisher.publish()
        return made

    def prune(
        self,
        actor: Actor,
        *,
        before_checkpoint: int | None,
        older_than: timedelta | None,
        export_to: Path | None,
    ) -> PruneReport:
        """Delete events that a published checkpoint covers."""

        def choose(tx: Transaction) -> SignedCheckpoint | None:
            self._require(tx, actor)
            try:
                return self._pruner.choose(
                    tx, before_checkpoint=before_checkpoint, older_than=older_than
                )
            except NotFoundError as error:
                raise Refusal(error, "not_found") from None

        self._gate.refuse_in_pipeline("the audit")
        with self._gate.snapshot(actor, _PRUNE) as tx:
            if choose(tx) is None:
                return PruneReport(0, None)
        self._publisher.publish()  # what an anchor does not have yet must not go
        if export_to is not None:
            self.export(actor, export_to)
        with self._gate.effect(actor, _PRUNE, draw=Draw.ALL) as tx:
            chosen = choose(tx)
            if chosen is None:  # another process was faster
                return PruneReport(0, None)
            count = self._pruner.prune(tx, chosen)
            data: dict[str, JsonValue] = {"checkpoint": chosen.number, "events": count}
            self._gate.note(tx, actor, _PRUNE, data=data)
            self._checkpoints.take(tx, pruned_to=chosen.number)
        self._publisher.publish()
        return PruneReport(count, chosen.number)

    def export(self, actor: Actor, path: Path) -> ExportReport:
        """Write the ledger into a file that can be verified without the vault."""
        self._gate.refuse_in_pipeline("the audit")
        with self._gate.effect(actor, _EXPORT, draw=Draw.ALL) as tx:
            self._require(tx, actor)
            refuse_existing(path)
            self._gate.note(tx, actor, _EXPORT)
            self._checkpoints.take(tx)
        with self._gate.vault.read() as tx:
            return write_export(tx, self._checkpoints, path)

    def _require(self, tx: Transaction, actor: Actor) -> None:
        self._gate.require(tx, actor, Action.GOVERN, ROOT)


def _selection(asked: LogQuery) -> Selection:
    """Check what is asked, and say it in the ledger's terms.

    Raises:
        InvalidInputError: A value is malformed.
    """
    principal, action = asked.principal, asked.action
    if principal is not None and not (isinstance(principal, str) and principal[:4] == "prn_"):
        check_principal(principal)
    if action is not None:
        if not isinstance(action, str) or not action:
            raise InvalidInputError(f"an action is a verb's name such as add, not {action!r}")
        action = action if action.startswith("memos.") else f"memos.{action}"
    since, until = (
        None if when is None else to_micros(require_aware(when, name))
        for when, name in ((asked.since, "since"), (asked.until, "until"))
    )
    return Selection(type=action, since=since, until=until, below=_read_cursor(asked.cursor))


def _write_cursor(last: LogEntry) -> str:
    text = f"{to_micros(last.time)}:{last.id}"
    return base64.urlsafe_b64encode(text.encode()).decode("ascii")


def _read_cursor(cursor: str | None) -> tuple[int, str] | None:
    if cursor is None:
        return None
    malformed = "malformed cursor: pass the one of the last page, unchanged"
    if not isinstance(cursor, str):
        raise InvalidInputError(malformed)
    try:
        time, event_id = base64.urlsafe_b64decode(cursor.encode("ascii")).decode().split(":")
        number = int(time)
    except (ValueError, binascii.Error) as error:
        raise InvalidInputError(malformed) from error
    if abs(number) >= 1 << 62:
        raise InvalidInputError(malformed)
    return (number, event_id)
