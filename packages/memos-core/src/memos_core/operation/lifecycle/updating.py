"""Changing a memory: every change is a new version, written only if nobody was faster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import select

from memos_core.content import Content
from memos_core.cube import Header, MemCube, Sensitivity
from memos_core.draft import Draft, Patch
from memos_core.errors import ConflictError, DeniedError, InvalidInputError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import Action
from memos_core.infrastructure.governance.labels import Atom, Label, is_at_least_as_narrow
from memos_core.infrastructure.governance.names import check_principal, check_purpose
from memos_core.infrastructure.governance.redaction import check_fields
from memos_core.infrastructure.ledger import commitment
from memos_core.infrastructure.vault import journal, schema
from memos_core.infrastructure.vault.records import (
    CubeRow,
    Record,
    VersionRow,
    advance,
    insert_embeddings,
)
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.memory.plaintext import (
    check_header_size,
    check_size,
    dump_header,
    dump_payload,
)
from memos_core.operation.gate import Gate, Ref, Refusal
from memos_core.operation.lifecycle.labelling import Labeller, origin_of, own_atom
from memos_core.operation.lifecycle.patching import (
    Mode,
    checked_patch,
    combined,
    compose_header,
    end_of,
    patched_header,
)
from memos_core.operation.preparing import Prepared, Preparer, Raw
from memos_core.operation.quotas import Quotas, charge_of
from memos_core.settings import Settings

VERB: Final = "memos.update"
_TRIES: Final = 20


@dataclass(frozen=True, slots=True)
class Change:
    """A memory's next version, before it is written."""

    header: Header
    content: Content
    made: Prepared
    reason: str
    opens: bool = False
    """Whether it lowers the level of a field whose content stays."""


class Updater:
    """Writes new versions.

    Args:
        gate: Decides and records.
        preparer: Marks and embeds contents.
        labeller: Makes labels.
        quotas: Limits what is added.
        settings: Limits.
    """

    def __init__(
        self,
        gate: Gate,
        preparer: Preparer,
        labeller: Labeller,
        quotas: Quotas,
        settings: Settings,
    ) -> None:
        self._gate = gate
        self._preparer = preparer
        self._embedding = preparer.embedding
        self._labeller = labeller
        self._quotas = quotas
        self._settings = settings

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
        for _ in range(_TRIES):
            with self._gate.snapshot(actor, VERB) as tx:
                seen = self._changeable(tx, actor, ref, expected_version)
                embedder = self._embedding.embedder(tx)
                header = patched_header(_header(seen), wanted, tx.now)
            content = combined(seen.memcube().content, wanted.content, mode)
            check_size(content, self._settings.max_content_bytes)
            check_header_size(header, self._settings.max_content_bytes)
            if wanted.field_sensitivity is not None:
                check_fields(content, header.metadata, wanted.field_sensitivity)
            level = header.sensitivity or Sensitivity.INTERNAL
            raw = Raw(content, header.metadata, header.field_sensitivity, level)
            made = self._preparer.prepare(embedder, [raw])[0]
            header = header.model_copy(update={"marks": made.marks})
            kept = wanted.content is None or mode != "overwrite"
            opens = kept and _lowers(_header(seen).field_sensitivity, header.field_sensitivity)
            change = Change(header, content, made, reason, opens)
            with self._gate.effect(actor, VERB) as tx:
                record = self._changeable(tx, actor, seen.cube.id, expected_version)
                if record.cube.version == seen.cube.version:
                    return self._write(tx, actor, record, change)
        raise ConflictError("the memory kept changing: read it again, then update it")

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
        before = _header(record)
        owner = before.owner or actor.principal
        header = compose_header(draft, space, owner, tx.now, made.embedder, made.marks)
        kept = {"created": before.created, "lineage": before.lineage}
        header = header.model_copy(update=kept)
        change = Change(header, draft.content, made, reason="replaced by key")
        return self._write(tx, actor, record, change)

    def _changeable(
        self, tx: Transaction, actor: Actor, ref: Ref, expected_version: int | None
    ) -> Record:
        record = self._gate.readable(tx, actor, ref)
        space = self._gate.space_of(tx, record.cube)
        self._gate.require(tx, actor, Action.WRITE, space, cube=record.cube.id)
        if expected_version is not None and record.cube.version != expected_version:
            error = ConflictError(
                f"memory {record.cube.id} is at version {record.cube.version}, not "
                f"{expected_version}: read it again, then update it"
            )
            raise Refusal(error, "denied", record.cube.id, "expected version")
        return record

    def _write(self, tx: Transaction, actor: Actor, record: Record, change: Change) -> MemCube:
        self._embedding.adopt(tx, change.made.embedder)
        cube = self._relabelled(tx, actor, record, change)
        number = cube.version + 1
        cube = replace(cube, version=number, expires=end_of(change.header))
        payload = dump_payload(change.content)
        header = self._preparer.signer.sign(tx, change.header, cube.id, number, payload)
        version = VersionRow(
            cube_id=cube.id,
            version=number,
            label_id=cube.label_id,
            recorded_from=tx.now,
            author_id=self._gate.registry.ensure_principal(tx, actor.principal),
            action="update",
            reason=change.reason,
            header=dump_header(header),
            payload=payload,
        )
        written = Record(cube, version)
        advance(tx, written)
        owner = change.header.owner or actor.principal
        space = self._gate.space_of(tx, cube)
        self._quotas.charge(tx, [charge_of(version, owner, space, cubes=0)])
        vector = (cube.id, number, change.made.vector.tobytes())
        insert_embeddings(tx, [vector], change.made.embedder.name)
        journal.append(tx, cube.realm_id, [cube.id], "update")
        keys = schema.cube_keys
        key = tx.connection.scalar(select(keys.c.key).where(keys.c.cube_id == cube.id)) or b""
        self._gate.note(
            tx,
            actor,
            VERB,
            subject=cube.id,
            data={
                "space": cube.space_id,
                "version": number,
                "commitment": commitment(key, version.content_hash),
            },
        )
        return self._gate.shown(tx, actor, written)

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


def _lowers(before: Mapping[str, Sensitivity], after: Mapping[str, Sensitivity]) -> bool:
    return any(level > after.get(path, Sensitivity.PUBLIC) for path, level in before.items())


def _header(record: Record) -> Header:
    return Header.model_validate_json(record.version.header)
