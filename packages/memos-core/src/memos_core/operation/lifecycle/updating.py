"""Changing a memory: every change is a new version, written only if nobody was faster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from pydantic import JsonValue
from sqlalchemy import select

from memos_core.content import Content, payload_text
from memos_core.cube import Header, MemCube, MemoryState, Sensitivity
from memos_core.draft import Draft, Patch
from memos_core.errors import ConflictError, DeniedError, InvalidInputError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import Action
from memos_core.infrastructure.governance.labels import Atom, Label, is_at_least_as_narrow
from memos_core.infrastructure.governance.names import check_principal, check_purpose
from memos_core.infrastructure.governance.redaction import (
    check_fields,
    is_partial,
    opens_fields,
    visible,
)
from memos_core.infrastructure.ledger import commitment
from memos_core.infrastructure.vault import journal, schema
from memos_core.infrastructure.vault.records import (
    CubeRow,
    Record,
    VersionRow,
    advance,
    fetch,
    insert_embeddings,
)
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.infrastructure.vault.withdrawals import withdraw
from memos_core.memory.plaintext import check_header_size, check_size, dump_header
from memos_core.models.embedder import Embedder
from memos_core.operation.gate import Gate, Ref, Refusal
from memos_core.operation.lifecycle.labelling import Labeller, origin_of, own_atom
from memos_core.operation.lifecycle.patching import (
    Mode,
    checked_patch,
    combined,
    compose_header,
    end_of,
    narrows,
    patched_header,
)
from memos_core.operation.lifecycle.states import Transition, after
from memos_core.operation.preparing import Prepared, Preparer, Raw
from memos_core.operation.quotas import Charge, Quotas, charge_of
from memos_core.operation.retention import Retention
from memos_core.settings import Settings

VERB: Final = "memos.update"
TRIES: Final = 20


@dataclass(frozen=True, slots=True)
class Change:
    """A memory's next version, before it is written."""

    header: Header
    content: Content
    made: Prepared
    reason: str
    opens: bool = False
    """Whether it lowers the level of a field whose content stays."""
    action: str = "update"
    blob_bytes: int = 0
    """What the blobs take that come with it."""


Compute = Callable[[Embedder], Change]
"""Makes a memory's next version, with the vault's embedder, outside any transaction."""


class Updater:
    """Writes new versions.

    Args:
        gate: Decides and records.
        preparer: Marks and embeds contents.
        labeller: Makes labels.
        quotas: Limits what is added.
        retention: Says what is held.
        settings: Limits.
    """

    def __init__(
        self,
        gate: Gate,
        preparer: Preparer,
        labeller: Labeller,
        quotas: Quotas,
        retention: Retention,
        settings: Settings,
    ) -> None:
        self._gate = gate
        self._preparer = preparer
        self._embedding = preparer.embedding
        self._labeller = labeller
        self._quotas = quotas
        self._retention = retention
        self._settings = settings

    def embedder(self, tx: Transaction) -> Embedder:
        """Return the vault's embedder."""
        return self._embedding.embedder(tx)

    def update(
        self,
        actor: Actor,
        ref: Ref,
        patch: Patch,
        *,
        expected_version: int | None,
        mode: Mode,
        reason: str,
    ) -> MemCube:
        """Write a memory's next version.

        Without `expected_version`, a change that met another one is computed again on top of it.

        Raises:
            ConflictError: The memory is not at `expected_version`, or kept changing meanwhile.
        """
        wanted = checked_patch(patch)
        for name in wanted.access or ():
            check_principal(name)
        for purpose in wanted.purposes or ():
            check_purpose(purpose)

        def begin(tx: Transaction, seen: Record) -> Compute:
            _refuse_merged(seen)
            clearance = self._clearance(tx, actor, seen)
            header = patched_header(header_of(seen), wanted, tx.now)

            def compute(embedder: Embedder) -> Change:
                cube = seen.memcube()
                change = self._changed(cube, header, wanted, mode, clearance, embedder)
                return replace(change, reason=reason)

            return compute

        return self.revise(actor, VERB, ref, begin, expected_version=expected_version)

    def revise(
        self,
        actor: Actor,
        verb: str,
        ref: Ref,
        begin: Callable[[Transaction, Record], Compute],
        *,
        expected_version: int | None = None,
        thaw: bool = False,
    ) -> MemCube:
        """Write a version that is computed outside the writer's lock, again if it was overtaken.

        Args:
            actor: Who acts.
            verb: The ledger's name of the verb.
            ref: The memory.
            begin: Reads what the computation needs, in the snapshot in which the memory was seen.
            expected_version: Refuse if it is not at this version.
            thaw: Also where it is frozen.

        Raises:
            ConflictError: It is not at `expected_version`, or is frozen, or kept
                changing meanwhile.
        """
        for _ in range(TRIES):
            with self._gate.snapshot(actor, verb) as tx:
                self._quotas.check_reads(tx, actor)  # for the answer shows the memory
                seen = self.changeable(tx, actor, ref, expected_version, thaw=thaw)
                embedder = self._embedding.embedder(tx)
                compute = begin(tx, seen)
            with self._gate.refusals(actor, verb):
                change = compute(embedder)
            with self._gate.effect(actor, verb) as tx:
                record = self.changeable(tx, actor, seen.cube.id, expected_version, thaw=thaw)
                if record.cube.version == seen.cube.version:
                    return self.write(tx, actor, record, change)
        raise ConflictError("the memory kept changing: read it again, then change it")

    def _changed(
        self,
        seen: MemCube,
        header: Header,
        wanted: Patch,
        mode: Mode,
        clearance: Sensitivity,
        embedder: Embedder,
    ) -> Change:
        """Compute a memory's next version; whoever sees it in part learns nothing of the rest.

        Raises:
            Refusal: The two would be compared, and the actor sees one of them only in part.
        """
        partial = is_partial(seen, clearance)
        if partial and mode == "merge":
            error = DeniedError(
                "you see this memory only in part, and merging compares with all of it: append, "
                "overwrite, or ask for clearance"
            )
            raise Refusal(error, "denied", seen.id, "clearance")
        content = combined(seen.content, wanted.content, mode)
        limit = self._settings.max_content_bytes
        try:
            check_size(content, limit)
        except InvalidInputError:
            if partial:
                raise InvalidInputError(f"the content would exceed {limit:,} bytes") from None
            raise
        check_header_size(header, limit)
        before, metadata = seen.meta, header.metadata
        made = self._preparer.prepare(embedder, [Raw.of(header, content, before=seen)])[0]
        if wanted.field_sensitivity is not None:
            fields = before.field_sensitivity
            shown = visible(content, metadata, marks=(), fields=fields, clearance=clearance)
            check_fields(*shown, wanted.field_sensitivity)
        opens = opens_fields(
            before.field_sensitivity,
            header.field_sensitivity,
            content_stays=wanted.content is None or mode != "overwrite",
            metadata_stays=wanted.metadata is None,
        )
        return Change(header.model_copy(update={"marks": made.marks}), content, made, "", opens)

    def _clearance(self, tx: Transaction, actor: Actor, record: Record) -> Sensitivity:
        space = self._gate.space_of(tx, record.cube)
        return self._gate.access(tx, actor).rights.clearance_in(space)

    def replace(
        self,
        tx: Transaction,
        actor: Actor,
        record: Record,
        draft: Draft,
        made: Prepared,
    ) -> MemCube:
        """Write a draft over the memory that has its key, inside a running effect.

        Args:
            tx: The effect.
            actor: Who acts.
            record: The memory as it stands.
            draft: What takes its place; every field of it counts.
            made: What was made of the draft's content.
        """
        if draft.parents:
            raise InvalidInputError("a memory that is replaced by key cannot change its parents")
        space = self._gate.space_of(tx, record.cube)
        self._gate.require(tx, actor, Action.WRITE, space, cube=record.cube.id)
        self._refuse_frozen(record)
        _refuse_merged(record)
        before = header_of(record)
        combined(record.memcube().content, draft.content, "overwrite")  # not what a model keeps
        owner = before.owner or actor.principal
        header = compose_header(draft, space, owner, tx.now, made.embedder, made.marks)
        kept = {"created": before.created, "lineage": before.lineage}
        header = header.model_copy(update=kept)
        change = Change(header, draft.content, made, reason="replaced by key")
        return self.write(tx, actor, record, change)

    def changeable(
        self,
        tx: Transaction,
        actor: Actor,
        ref: Ref,
        expected_version: int | None,
        *,
        thaw: bool = False,
    ) -> Record:
        """Return a memory that the actor may change, and that may change.

        Args:
            tx: The transaction.
            actor: Who acts.
            ref: An id or a key.
            expected_version: Refuse if it is not at this version.
            thaw: Also where it is frozen.

        Raises:
            Refusal: It is not there, not to be changed by the actor, frozen, or at another version.
        """
        record = self._gate.readable(tx, actor, ref)
        space = self._gate.space_of(tx, record.cube)
        self._gate.require(tx, actor, Action.WRITE, space, cube=record.cube.id)
        if expected_version is not None and record.cube.version != expected_version:
            error = ConflictError(
                f"memory {record.cube.id} is at version {record.cube.version}, not "
                f"{expected_version}: read it again, then update it"
            )
            raise Refusal(error, "denied", record.cube.id, "expected version")
        if not thaw:
            self._refuse_frozen(record)
        return record

    def _refuse_frozen(self, record: Record) -> None:
        if header_of(record).frozen:
            error = ConflictError(
                f"memory {record.cube.id} is frozen: unfreeze it before you change it"
            )
            raise Refusal(error, "denied", record.cube.id, "unfrozen")

    def write(self, tx: Transaction, actor: Actor, record: Record, change: Change) -> MemCube:
        """Write a memory's next version, with its label, vector, journal and ledger entries."""
        self._embedding.adopt(tx, change.made.embedder)
        cube = self._relabelled(tx, actor, record, change)
        self._tell(tx, record, change.header)
        cube = replace(cube, state=(change.header.state or MemoryState.GENERATED).value)
        number = cube.version + 1
        cube = self._ending(tx, record.cube, replace(cube, version=number), change.header)
        payload = payload_text(change.content)
        by = actor.principal
        header = self._preparer.signer.sign(tx, change.header, cube.id, number, payload, by=by)
        version = VersionRow(
            cube_id=cube.id,
            version=number,
            label_id=cube.label_id,
            recorded_from=tx.now,
            author_id=self._gate.registry.ensure_principal(tx, actor.principal),
            action=change.action,
            reason=change.reason,
            header=dump_header(header),
            payload=payload,
        )
        written = Record(cube, version)
        advance(tx, written)
        space = self._gate.space_of(tx, cube)
        charges = [charge_of(version, actor.principal, space, cubes=0)]
        if change.blob_bytes:  # blobs belong to whoever made the memory, as in `charges_of`
            names = self._gate.registry.principal_names(tx, [cube.owner_id])
            charges.append(
                Charge(names.get(cube.owner_id, cube.owner_id), space, 0, change.blob_bytes)
            )
        self._quotas.charge(tx, charges, actor)
        vector = (cube.id, number, change.made.vector.tobytes())
        insert_embeddings(tx, [vector], change.made.embedder.name)
        journal.append(tx, cube.realm_id, [cube.id], "update")
        keys = schema.cube_keys
        key = tx.connection.scalar(select(keys.c.key).where(keys.c.cube_id == cube.id)) or b""
        self._gate.note(
            tx,
            actor,
            f"memos.{change.action}",
            subject=cube.id,
            data={
                "space": cube.space_id,
                "version": number,
                "commitment": commitment(key, version.content_hash),
            },
        )
        return self._gate.shown(tx, actor, written)

    def stand(
        self, tx: Transaction, actor: Actor, record: Record, transition: Transition, reason: str
    ) -> None:
        """Take a memory through a transition, for the vault itself: nobody's rights are asked.

        Raises:
            ConflictError: The table has no such transition.
        """
        header, now = header_of(record), MemoryState(record.cube.state)
        state = after(now, transition, frozen=header.frozen)
        header = header.model_copy(update={"state": state})
        self.rewrite(tx, actor, record, header, reason, action=transition.value)
        self._gate.note(tx, actor, f"memos.{transition}", subject=record.cube.id)

    def rewrite(
        self,
        tx: Transaction,
        actor: Actor,
        record: Record,
        header: Header,
        reason: str,
        *,
        action: str = "restore",
    ) -> None:
        """Write a version with another header, the same content and the same vector.

        For the vault itself: nobody's rights are asked, and the header must be no wider a one.
        """
        table = schema.embeddings
        chosen = (table.c.cube_id == record.cube.id) & (table.c.version == record.cube.version)
        own = self._labeller.own(tx, record.cube)
        space = self._gate.space_of(tx, record.cube)
        atom = own_atom(space, header, own.sources, cube=own.cube)
        atom = replace(atom, top=own.top if own.top > atom.sensitivity else 0)
        cube = self._labeller.relabel(tx, record.cube, atom)
        state = header.state or MemoryState.GENERATED
        cube = replace(cube, version=cube.version + 1, state=state.value)
        number, payload, by = cube.version, record.version.payload, actor.principal
        header = self._preparer.signer.sign(tx, header, cube.id, number, payload, by=by)
        version = replace(
            record.version,
            version=number,
            label_id=cube.label_id,
            recorded_from=tx.now,
            author_id=self._gate.registry.ensure_principal(tx, actor.principal),
            action=action,
            reason=reason,
            header=dump_header(header),
        )
        for row in tx.connection.execute(select(table).where(chosen)).all():
            insert_embeddings(tx, [(cube.id, cube.version, row.vector)], row.embedder)
        advance(tx, Record(cube, version))
        journal.append(tx, cube.realm_id, [cube.id], "update")

    def _tell(self, tx: Transaction, record: Record, after: Header) -> None:
        """Let the anchors know what fewer may read than before, and what ends at another time."""
        before = header_of(record)
        if narrows(before, after):
            ids = [self._gate.registry.ensure_principal(tx, each) for each in after.access]
            levels = [after.level, *after.field_sensitivity.values()]
            asks: dict[str, JsonValue] = {
                "sensitivity": int(max(levels)),
                "access": [*ids],
                "purposes": [*after.purposes],
            }
            withdraw(tx, "narrow", {"cube": record.cube.id} | asks)
        if end_of(before) != end_of(after):
            withdraw(tx, "end", {"cube": record.cube.id, "expires": end_of(after)})

    def _ending(self, tx: Transaction, before: CubeRow, cube: CubeRow, header: Header) -> CubeRow:
        """Give the memory its new end: no later than its sources', and none under a hold."""
        parents = fetch(tx, [each for each in header.lineage if each != cube.id]).values()
        ends = [end_of(header), *(parent.cube.expires for parent in parents)]
        end = min((each for each in ends if each is not None), default=None)
        if end is not None and (before.expires is None or end < before.expires):
            self._retention.check(tx, [cube.id], [])  # what is held does not end before its time
            self._labeller.shorten(tx, cube.id, end)
        return replace(cube, expires=end)

    def _relabelled(self, tx: Transaction, actor: Actor, record: Record, change: Change) -> CubeRow:
        """Give the memory the label of its new header; a wider one needs SHARE, and full sight.

        That a new content has no sensitive part opens nothing: earlier versions keep their levels.
        But what was derived from an earlier one may hold its part, so the label keeps the level.
        """
        row, header = record.cube, change.header
        before = self._labeller.own(tx, row)
        space = self._gate.space_of(tx, record.cube)
        author_id = self._gate.registry.ensure_principal(tx, actor.principal)
        sources = self._labeller.sources(tx, author_id, origin_of(header))
        after = own_atom(space, header, sources | set(before.sources), cube=before.cube)
        if not change.opens:
            top = max(after.top, before.top)
            after = replace(after, top=top if top > after.sensitivity else 0)
        if after == before:
            return row
        rights = self._gate.access(tx, actor).rights
        if rights.is_quarantined(after) and not rights.is_quarantined(before):
            self._retention.check(tx, [row.id], [])  # nor is it hidden by a source that is shut out
        if change.opens or not is_at_least_as_narrow(Label.of([after]), Label.of([before])):
            self._gate.require(tx, actor, Action.SHARE, space, cube=row.id)
            self._require_full_sight(tx, actor, row, space, before)
        return self._labeller.relabel(tx, row, after)

    def _require_full_sight(
        self, tx: Transaction, actor: Actor, row: CubeRow, space: str, before: Atom
    ) -> None:
        """Refuse to widen what the actor sees only in part: SHARE gives no clearance."""
        if self._gate.access(tx, actor).rights.clearance_in(space) < before.top:
            error = DeniedError(
                "you see this memory only in part, and cannot open it to others or to yourself: "
                "ask somebody who is cleared for all of it"
            )
            raise Refusal(error, "denied", row.id, "clearance")


def _refuse_merged(record: Record) -> None:
    """Refuse to change the words of what another memory stands for: that one would not know.

    Raises:
        ConflictError: It is merged.
    """
    if record.cube.state == MemoryState.MERGED.value:
        raise ConflictError(
            f"memory {record.cube.id} was merged into another: change that one, or unmerge it first"
        )


def header_of(record: Record) -> Header:
    """Read the header of a version."""
    return Header.model_validate_json(record.version.header)
