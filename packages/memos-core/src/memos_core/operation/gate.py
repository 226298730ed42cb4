"""The gate: every verb passes it, is decided there, and leaves its entry in the ledger.

A refusal inside an effect undoes the effect, is written to the ledger in a transaction of its own,
and only then raised. What may not be read is answered exactly like what is not there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pydantic import JsonValue

from memos_core.cube import CubeId
from memos_core.draft import MAX_KEY, Key, check_name
from memos_core.errors import DeniedError, MemosError, NotFoundError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import Action, Permission, decide_space
from memos_core.infrastructure.governance.names import check_space
from memos_core.infrastructure.governance.registry import AccessView, Registry
from memos_core.infrastructure.ledger import Event, Ledger, Outcome
from memos_core.infrastructure.vault.records import CubeRow, Damage, Record, fetch, fetch_by_key
from memos_core.infrastructure.vault.vault import Transaction, Vault

Ref = CubeId | Key


class Refusal(Exception):  # noqa: N818 - control flow inside the gate; never leaves it
    """An effect was refused: what to raise, and what the ledger says."""

    def __init__(
        self, error: MemosError, outcome: Outcome, subject: str | None = None, missing: str = ""
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.outcome = outcome
        self.subject = subject
        self.missing = missing


class Gate:
    """Decides and records.

    Args:
        vault: Transactions.
        registry: Names, labels and rights.
        ledger: Where entries go.
    """

    def __init__(self, vault: Vault, registry: Registry, ledger: Ledger) -> None:
        self.vault = vault
        self.registry = registry
        self.ledger = ledger
        self._views: dict[tuple[str, str], AccessView] = {}

    def access(self, tx: Transaction, actor: Actor) -> AccessView:
        """Return what the actor may read, compiled for this epoch."""
        name = (actor.principal, actor.purpose)
        known = self._views.get(name)
        if known is not None and known.is_good(tx.epoch, tx.now):
            return known
        rights = self.registry.rights(tx, actor.principal)
        view = AccessView(rights, purpose=actor.purpose, now=tx.now)
        # A writing transaction may see a policy that is never committed: keep it only if it is.
        tx.on_commit.append(lambda: self._views.update({name: view}))
        return view

    @contextmanager
    def effect(self, actor: Actor, verb: str, *, durable: bool = True) -> Iterator[Transaction]:
        """Open an effect whose refusal, if any, is recorded before it is raised.

        Args:
            actor: Who acts.
            verb: The ledger's name of the verb, e.g. `memos.add`.
            durable: Flush before returning.
        """
        with self._refusals(actor, verb), self.vault.effect(durable=durable) as tx:
            yield tx

    @contextmanager
    def snapshot(self, actor: Actor, verb: str) -> Iterator[Transaction]:
        """Open a snapshot to decide in; a refusal is recorded before it is raised."""
        with self._refusals(actor, verb), self.vault.read() as tx:
            yield tx

    @contextmanager
    def _refusals(self, actor: Actor, verb: str) -> Iterator[None]:
        try:
            yield
        except Refusal as refusal:
            with self.vault.effect() as tx:
                missing: dict[str, JsonValue] = (
                    {"missing": refusal.missing} if refusal.missing else {}
                )
                self.note(tx, actor, verb, refusal.outcome, subject=refusal.subject, data=missing)
            raise refusal.error from None

    def note(
        self,
        tx: Transaction,
        actor: Actor,
        verb: str,
        outcome: Outcome = "allowed",
        *,
        subject: str | None = None,
        data: dict[str, JsonValue] | None = None,
    ) -> None:
        """Write one event of this actor into a transaction."""
        self.ledger.append(tx, [self.event(tx, actor, verb, outcome, subject=subject, data=data)])

    def event(
        self,
        tx: Transaction,
        actor: Actor,
        verb: str,
        outcome: Outcome = "allowed",
        *,
        subject: str | None = None,
        data: dict[str, JsonValue] | None = None,
    ) -> Event:
        """Make one event of this actor."""
        principal_id = self.registry.ensure_principal(tx, actor.principal)
        return Event(verb, principal_id, outcome, actor.purpose, subject, data or {})

    def require(
        self, tx: Transaction, actor: Actor, action: Action, space: str, cube: str = ""
    ) -> Permission:
        """Refuse unless the actor may do this on a space, or on one memory in it.

        Returns:
            The permission that allows it.

        Raises:
            Refusal: It may not, or the session is bound elsewhere.
        """
        name = "+".join(action.names)
        if actor.at is not None:
            error = DeniedError("this session looks at the past, and the past is read-only")
            raise Refusal(error, "denied", cube or None, name)
        if not actor.reaches(space):
            error = DeniedError(f"this session is bound to {actor.bound} and cannot reach {space}")
            raise Refusal(error, "denied", cube or None, name)
        rights = self.access(tx, actor).rights
        decision = decide_space(rights, action, space, cube=cube, purpose=actor.purpose, now=tx.now)
        if decision.permission is None:
            error = DeniedError(f"{decision.reason}: ask whoever governs it for a grant")
            raise Refusal(error, "denied", cube or None, name)
        return decision.permission

    def readable(self, tx: Transaction, actor: Actor, ref: Ref) -> Record:
        """Return the memory that a reference names, if the actor may read it.

        Raises:
            Refusal: It is not there, expired, out of the session's bound, or not readable: all one.
            DamagedError: The actor may read it, but its bytes changed on disk.
        """
        found = self.locate(tx, actor, ref)
        if isinstance(found, Damage):
            raise found.error()
        return found

    def locate(
        self, tx: Transaction, actor: Actor, ref: Ref, *, ended_too: bool = False
    ) -> Record | Damage:
        """Find the memory that a reference names, whole or damaged, if the actor may read it.

        Args:
            tx: The transaction.
            actor: Who asks.
            ref: An id or a key.
            ended_too: Also where it has expired: it can still be forgotten.

        Raises:
            Refusal: As for `readable`.
        """
        found = self._find(tx, actor, ref)
        if found is None:
            raise self._nothing(ref, None)
        labels = [found.cube.label_id]
        if actor.at is not None and isinstance(found, Record):
            labels.append(found.version.label_id)  # of the past: then and now
        if not all(self.access(tx, actor).may_read(tx, self.registry, labels)):
            raise self._nothing(ref, found.cube.id)
        ended = found.cube.has_ended(tx.now) and not ended_too
        if ended or not actor.reaches(self.space_of(tx, found.cube)):
            raise self._nothing(ref, found.cube.id)
        return found

    def space_of(self, tx: Transaction, cube: CubeRow) -> str:
        """Return the path of the space that a memory lies in."""
        return self.registry.space_path(tx, cube.space_id)

    def _find(self, tx: Transaction, actor: Actor, ref: Ref) -> Record | Damage | None:
        if isinstance(ref, Key):
            space = self.registry.find_space(tx, ref.space or actor.home)
            return None if space is None else fetch_by_key(tx, space.id, ref.name, at=actor.at)
        return fetch(tx, [ref], at=actor.at).get(ref)

    def _nothing(self, ref: Ref, cube_id: str | None) -> Refusal:
        shown = f"key {ref.name!r}" if isinstance(ref, Key) else repr(ref)
        error = NotFoundError(f"no memory {shown} that you may read")
        return Refusal(error, "not_found", cube_id)


def check_ref(ref: object) -> Ref:
    """Refuse what cannot name a memory.

    Raises:
        NotFoundError: It is neither an id nor a `Key`.
        InvalidInputError: The key, or its space, is malformed.
    """
    if isinstance(ref, Key):
        check_name(ref.name, "key", MAX_KEY)
        if ref.space is not None:
            check_space(ref.space)
        return ref
    if isinstance(ref, str) and ref and ref.isascii():
        return ref
    raise NotFoundError(f"no memory {ref!r}: pass an id such as hit.id, or Key('your key')")


def unique(refs: Sequence[Ref]) -> list[Ref]:
    """Return the references without repetition, in order."""
    return list(dict.fromkeys(refs))
