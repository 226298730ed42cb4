"""The gate: every verb passes it, is decided there, and leaves its entry in the ledger.

A refusal inside an effect undoes the effect, is written to the ledger in a transaction of its own,
and only then raised. What may not be read is answered exactly like what is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Final

from pydantic import JsonValue

from memos_core.cube import CubeId, MemCube
from memos_core.draft import MAX_KEY, Key, check_name
from memos_core.errors import ConflictError, DeniedError, MemosError, NotFoundError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import Action, Permission, decide_space
from memos_core.infrastructure.governance.names import ancestors, check_space, is_personal
from memos_core.infrastructure.governance.redaction import shown
from memos_core.infrastructure.governance.registry import AccessView, Registry
from memos_core.infrastructure.ledger import Event, Ledger, Outcome
from memos_core.infrastructure.vault.records import CubeRow, Damage, Record, fetch, fetch_by_key
from memos_core.infrastructure.vault.reserve import Draw
from memos_core.infrastructure.vault.vault import Transaction, Vault
from memos_core.operation.chain import Chain

Ref = CubeId | Key
EVERYWHERE: Final = "*"
"""In `on=…`: every shared space. Nobody's own space is among them."""


class Refusal(Exception):  # noqa: N818 - control flow inside the gate; never leaves it
    """An effect was refused: what to raise, and what the ledger says.

    `space` is where it was refused, for whoever governs that: a path, or `*` for the shared root.
    """

    def __init__(
        self,
        error: MemosError,
        outcome: Outcome,
        subject: str | None = None,
        missing: str = "",
        space: str | None = None,
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.outcome = outcome
        self.subject = subject
        self.missing = missing
        self.space = space


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
        self._chain: ContextVar[Chain | None] = ContextVar("memos_chain", default=None)

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
    def effect(
        self, actor: Actor, verb: str, *, durable: bool = True, draw: Draw | None = None
    ) -> Iterator[Transaction]:
        """Open an effect whose refusal, if any, is recorded before it is raised.

        Args:
            actor: Who acts.
            verb: The ledger's name of the verb, e.g. `memos.add`.
            durable: Flush before returning.
            draw: What it may use of the disk reserve.
        """
        chain = self._chain.get()
        if chain is not None:
            with self.refusals(actor, verb), self._link(chain) as tx:
                yield tx
            return
        with self.refusals(actor, verb), self.vault.effect(durable=durable, draw=draw) as tx:
            yield tx

    @contextmanager
    def snapshot(self, actor: Actor, verb: str) -> Iterator[Transaction]:
        """Open a snapshot to decide in; a refusal is recorded before it is raised."""
        chain = self._chain.get()
        seen = self.vault.read() if chain is None else self._link(chain)
        with self.refusals(actor, verb), seen as tx:
            yield tx

    @contextmanager
    def pipeline(self, actor: Actor | None = None) -> Iterator[None]:
        """Let all effects of the block, in this thread or task, be one: all or none.

        Args:
            actor: Whose chain it is, for the ledger: one entry tells of it as a whole.

        Raises:
            ConflictError: One of them was refused or failed, so that all were rolled back.
        """
        if self._chain.get() is not None:
            raise ConflictError("a pipeline is running already: pipelines do not nest")
        chain = Chain(self.vault)
        token = self._chain.set(chain)
        try:
            yield
            if actor is not None:
                self._tell(chain, actor)
        except BaseException as error:
            self._undo(chain, error)
            raise
        finally:
            self._chain.reset(token)
        chain.commit()

    def _tell(self, chain: Chain, actor: Actor) -> None:
        """Write the one entry that tells of a whole chain; of an empty one there is none."""
        with self._link(chain) as tx:
            events = chain.events(tx)
            if events:
                subjects = [each.subject for each in events if each.subject is not None]
                cubes: list[JsonValue] = [*dict.fromkeys(filter(is_cube_id, subjects))]
                data: dict[str, JsonValue] = {"events": len(events), "cubes": cubes}
                self.note(tx, actor, "memos.pipeline", data=data)

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Let all effects of the block be one: in the pipeline that runs here, or in their own."""
        if self._chain.get() is not None:
            yield
            return
        with self.pipeline():
            yield

    @contextmanager
    def _link(self, chain: Chain) -> Iterator[Transaction]:
        """Run one operation of a chain; where it is refused or fails, all of it is undone."""
        tx = chain.step()
        try:
            yield tx
        except BaseException as error:
            self._undo(chain, error)
            raise

    def _undo(self, chain: Chain, why: BaseException) -> None:
        """Undo a chain, and tell what was done in it all the same.

        Its reads were answered and stay reads; its effects, whose answers showed memories too, are
        told as undone.
        """
        told = chain.undo(why)
        if not told:
            return
        with self.vault.effect(draw=Draw.READS) as tx:
            for principal, events in told.items():
                principal_id = self.registry.ensure_principal(tx, principal)
                self.ledger.append(tx, [replace(e, principal_id=principal_id) for e in events])

    def refuse_in_pipeline(self, verb: str) -> None:
        """Refuse what would show, or keep, a state that may never be committed.

        Raises:
            ConflictError: A pipeline is running here.
        """
        if self._chain.get() is not None:
            raise ConflictError(f"{verb} reads what is committed: do it before or after a pipeline")

    def postponed(self, work: Callable[[], object]) -> bool:
        """Leave work for when the running pipeline has committed.

        Returns:
            Whether there is a pipeline; without one nothing was left.
        """
        chain = self._chain.get()
        if chain is None:
            return False
        if work not in chain.afterwards:
            chain.afterwards.append(work)
        return True

    @contextmanager
    def refusals(self, actor: Actor, verb: str) -> Iterator[None]:
        """Record a refusal within the block, in a transaction of its own, before it is raised."""
        try:
            yield
        except Refusal as refusal:
            chain = self._chain.get()
            if chain is not None:
                self._undo(chain, refusal)
            with self.vault.effect(draw=Draw.READS) as tx:
                missing: dict[str, JsonValue] = (
                    {"missing": refusal.missing} if refusal.missing else {}
                )
                where = self._known_space(tx, refusal.space)
                data = missing if where is None else missing | {"space": where}
                self.note(tx, actor, verb, refusal.outcome, subject=refusal.subject, data=data)
            raise refusal.error from None

    def _known_space(self, tx: Transaction, path: str | None) -> str | None:
        """Name a space for the ledger: itself or the nearest one above it that has an id."""
        if path is None or path == EVERYWHERE:
            return path
        known = (self.registry.find_space(tx, each) for each in ancestors(path))
        found = next((each for each in known if each is not None), None)
        if found is None:
            return None if is_personal(path) else EVERYWHERE
        return found.id

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
        name, where = "+".join(action.names), space or EVERYWHERE
        if actor.at is not None:
            error = DeniedError("this session looks at the past, and the past is read-only")
            raise Refusal(error, "denied", cube or None, name, where)
        if not actor.reaches(space):
            error = DeniedError(f"this session is bound to {actor.bound} and cannot reach {space}")
            raise Refusal(error, "denied", cube or None, name, where)
        rights = self.access(tx, actor).rights
        decision = decide_space(rights, action, space, cube=cube, purpose=actor.purpose, now=tx.now)
        if decision.permission is None:
            error = DeniedError(f"{decision.reason}: ask whoever governs it for a grant")
            raise Refusal(error, "denied", cube or None, name, where)
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
            raise self.nothing(ref, None)
        if not all(self.access(tx, actor).may_read(tx, self.registry, [found.cube.label_id])):
            raise self.nothing(ref, found.cube.id)
        if actor.at is not None and isinstance(found, Record):  # of the past: then and now
            labels = [found.version.label_id]
            if not all(self.may_read_versions(tx, actor, found.cube, labels)):
                raise self.nothing(ref, found.cube.id)
        ended = found.cube.has_ended(tx.now) and not ended_too
        if ended or not actor.reaches(self.space_of(tx, found.cube)):
            raise self.nothing(ref, found.cube.id)
        return found

    def may_read_versions(
        self, tx: Transaction, actor: Actor, cube: CubeRow, label_ids: Sequence[str]
    ) -> list[bool]:
        """Decide READ for the labels that versions of a memory had then; its own counts too."""
        access, space = self.access(tx, actor), self.space_of(tx, cube)
        return access.may_read_version(tx, self.registry, label_ids, cube.id, space)

    def governed(
        self, tx: Transaction, actor: Actor, ref: Ref, *, ended_too: bool = False
    ) -> Record | Damage:
        """Find a memory for somebody who governs its space, whether it may be read or not.

        What an access list, a sensitivity or a quarantine hides from whoever answers for a space
        can still be held, and forgotten, by its id.

        Args:
            tx: The transaction.
            actor: Who asks.
            ref: An id or a key.
            ended_too: For who only reads: also where it has expired.

        Raises:
            Refusal: It is not there, or the actor neither governs its space nor may read it.
        """
        found = self._find(tx, actor, ref)
        if found is not None and self.governs(
            tx, actor, self.space_of(tx, found.cube), found.cube.id
        ):
            return found
        return self.locate(tx, actor, ref, ended_too=ended_too)

    def governs(self, tx: Transaction, actor: Actor, space: str, cube: str = "") -> bool:
        """Tell whether the actor governs a space, or one memory in it, within its bound."""
        rights, meant = self.access(tx, actor).rights, actor.purpose
        decision = decide_space(rights, Action.GOVERN, space, cube=cube, purpose=meant, now=tx.now)
        return actor.at is None and actor.reaches(space) and decision.allowed

    def space_id(self, tx: Transaction, path: str | None) -> str | None:
        """Return the id that stands for a space in the ledger; None for none and for the root."""
        return self.registry.ensure_space(tx, path).id if path else None

    def shown(self, tx: Transaction, actor: Actor, record: Record) -> MemCube:
        """Build the MemCube that the actor sees: its redacted parts left out, its trust told."""
        access = self.access(tx, actor)
        label = self.registry.labels(tx, [record.cube.label_id])[record.cube.label_id]
        told = {
            "trust": access.rights.trust_of(label),
            "author": self.registry.principal_name(tx, record.version.author_id),
        }
        cube = record.memcube(told)
        if record.version.version != record.cube.version:
            cube = self._with_present_levels(tx, cube)
        return shown(cube, access.rights.clearance_in(self.space_of(tx, record.cube)))

    def _with_present_levels(self, tx: Transaction, cube: MemCube) -> MemCube:
        """Hold an earlier version to the levels that its fields have today, too."""
        present = fetch(tx, [cube.id]).get(cube.id)
        if not isinstance(present, Record):
            return cube
        held = cube.meta.at_least_as_strict(present.memcube().meta)
        return cube.model_copy(update={"meta": held})

    def space_of(self, tx: Transaction, cube: CubeRow) -> str:
        """Return the path of the space that a memory lies in."""
        return self.registry.space_path(tx, cube.space_id)

    def _find(self, tx: Transaction, actor: Actor, ref: Ref) -> Record | Damage | None:
        if isinstance(ref, Key):
            space = self.registry.find_space(tx, ref.space or actor.home)
            return None if space is None else fetch_by_key(tx, space.id, ref.name, at=actor.at)
        return fetch(tx, [ref], at=actor.at).get(ref)

    def nothing(self, ref: Ref, cube_id: str | None) -> Refusal:
        """Make the refusal that answers for what is not there and for what may not be read."""
        shown = f"key {ref.name!r}" if isinstance(ref, Key) else repr(ref)
        error = NotFoundError(f"no memory {shown} that you may read")
        return Refusal(error, "not_found", cube_id)


def is_cube_id(ref: str) -> bool:
    """Tell whether a text is a memory's id, and not the path of a space."""
    return ref.startswith("mem_")


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
