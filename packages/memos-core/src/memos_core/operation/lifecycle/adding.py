"""Adding memories: one draft or many, all or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from pydantic import JsonValue
from sqlalchemy import insert

from memos_core.clock import from_micros
from memos_core.content import payload_text
from memos_core.cube import Header, MemCube, MemoryState, Sensitivity
from memos_core.draft import Draft, Key
from memos_core.errors import ConflictError, InvalidInputError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import Action
from memos_core.infrastructure.governance.labels import Label
from memos_core.infrastructure.governance.names import (
    check_principal,
    check_purpose,
    check_space,
    within,
)
from memos_core.infrastructure.governance.redaction import check_fields, top_level
from memos_core.infrastructure.governance.registry import SpaceRef
from memos_core.infrastructure.ledger import Event, commitment
from memos_core.infrastructure.vault import journal, schema
from memos_core.infrastructure.vault.records import (
    CubeRow,
    Record,
    VersionRow,
    fetch_by_key,
    insert_embeddings,
    insert_records,
)
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.memory.plaintext import (
    check_header_size,
    check_size,
    dump_header,
)
from memos_core.models.embedder import Embedder
from memos_core.operation.gate import Gate, Refusal
from memos_core.operation.lifecycle.forgetting import Forgetter
from memos_core.operation.lifecycle.labelling import Labeller, origin_of, own_atom
from memos_core.operation.lifecycle.patching import compose_header, end_of
from memos_core.operation.lifecycle.updating import Updater
from memos_core.operation.preparing import Prepared, Preparer, Raw
from memos_core.operation.quotas import Charge, Quotas, charge_of
from memos_core.settings import Settings

OnKey = Literal["error", "skip", "replace"]
VERB: Final = "memos.add"
_INSERT_KEY: Final = insert(schema.cube_keys)


@dataclass(frozen=True, slots=True)
class _Written:
    """A new memory's rows, with what the ledger commits to."""

    record: Record
    vector: bytes
    key: bytes
    event: Event
    parents: tuple[Record, ...]
    charge: Charge


@dataclass(frozen=True, slots=True)
class ModelWork:
    """What a model made for a memory.

    Args:
        verb: The ledger's name of the verb.
        model: The model's fingerprint.
        bytes: What its blobs take.
        said: What else the ledger keeps of it.
    """

    verb: str
    model: str
    bytes: int
    said: Mapping[str, JsonValue] = field(default_factory=dict)


class Adder:
    """Writes new memories.

    Args:
        gate: Decides and records.
        preparer: Marks and embeds contents.
        labeller: Makes labels.
        updater: Replaces a memory that already has the key.
        forgetter: Removes a memory that has ended and still has the key.
        quotas: Limits what is added.
        settings: Limits.
    """

    def __init__(
        self,
        gate: Gate,
        preparer: Preparer,
        labeller: Labeller,
        updater: Updater,
        forgetter: Forgetter,
        quotas: Quotas,
        settings: Settings,
    ) -> None:
        self._gate = gate
        self._preparer = preparer
        self._embedding = preparer.embedding
        self._labeller = labeller
        self._updater = updater
        self._forgetter = forgetter
        self._quotas = quotas
        self._settings = settings

    def add(self, actor: Actor, drafts: Sequence[Draft], on_key: OnKey) -> list[MemCube]:
        """Write drafts in one transaction.

        Returns:
            One memory per draft, in order.
        """
        if on_key not in ("error", "skip", "replace"):
            raise InvalidInputError(f"on_key is error, skip or replace, not {on_key!r}")
        if not drafts:
            return []
        checked = [check_draft(draft, self._settings) for draft in drafts]
        _check_keys(checked, actor.home)
        embedder = self._admitted(actor, {draft.space or actor.home for draft in checked})
        raw = [
            Raw(draft.content, draft.metadata, draft.field_sensitivity, draft.sensitivity)
            for draft in checked
        ]
        prepared = self._preparer.prepare(embedder, raw)
        with self._gate.effect(actor, VERB) as tx:
            self._embedding.adopt(tx, embedder)
            return self._write_all(tx, actor, checked, prepared, on_key)

    def prepared(self, actor: Actor, draft: Draft) -> Prepared:
        """Mark and embed what a model made, once the actor may write it."""
        embedder = self._admitted(actor, {draft.space or actor.home})
        raw = Raw(draft.content, draft.metadata, draft.field_sensitivity, draft.sensitivity)
        return self._preparer.prepare(embedder, [raw])[0]

    def put(
        self,
        tx: Transaction,
        actor: Actor,
        draft: Draft,
        made: Prepared,
        work: ModelWork,
    ) -> MemCube:
        """Write what a model made as a new memory, inside a running effect.

        Args:
            tx: The effect.
            actor: Who acts.
            draft: The memory; its content is an `Opaque` one.
            made: What was made of it.
            work: What made it.
        """
        self._embedding.adopt(tx, made.embedder)
        space = self._spaces(tx, actor, [draft])[draft.space or actor.home]
        self._meet(tx, actor, draft, space, made, "error")
        written = self._compose(tx, actor, draft, space, made, 0, work)
        self._insert(tx, [written], made.embedder)
        self._quotas.charge(tx, [written.charge], actor)
        return self._gate.shown(tx, actor, written.record)

    def spans(self, text: str) -> set[str]:
        """Name the types of the sensitive spans of a text."""
        return {mark.type for mark in self._preparer.marks(Raw(text, {}, {}, Sensitivity.PUBLIC))}

    def level_of(self, text: str, draft: Draft) -> Sensitivity:
        """Return how sensitive a memory is that holds a text and cannot be shown in part."""
        check_size(text, self._settings.max_content_bytes)
        raw = Raw(text, draft.metadata, draft.field_sensitivity, draft.sensitivity)
        return max(draft.sensitivity, top_level(self._preparer.marks(raw), {}))

    def label_for(self, tx: Transaction, actor: Actor, draft: Draft) -> Label:
        """Return, and store, the label that a memory would get, once the actor may write it."""
        space = self._spaces(tx, actor, [draft])[draft.space or actor.home]
        parents = tuple(self._gate.readable(tx, actor, parent) for parent in draft.parents)
        embedder = self._embedding.embedder(tx)
        header = compose_header(draft, space.path, actor.principal, tx.now, embedder, ())
        return self._labels(tx, actor, header, parents)[1]

    def _labels(
        self, tx: Transaction, actor: Actor, header: Header, parents: Sequence[Record]
    ) -> tuple[Label, Label]:
        """Return the label that a memory brings by itself, and the one that it gets."""
        principal_id = self._gate.registry.ensure_principal(tx, actor.principal)
        sources = self._labeller.sources(tx, principal_id, origin_of(header))
        own = self._labeller.label(tx, own_atom(header.space or "", header, sources), ())
        return own, self._inherit(tx, own, parents)

    def _admitted(self, actor: Actor, paths: set[str]) -> Embedder:
        """Return the embedder once the actor may write: no text leaves for a model before it may.

        One's own space is always one's own, so nothing has to be read to know it.
        """
        embedder = self._embedding.in_use
        own = all(actor.reaches(path) and within(path, actor.principal) for path in paths)
        if embedder is not None and own and actor.at is None:
            return embedder
        with self._gate.snapshot(actor, VERB) as tx:
            for path in sorted(paths):
                self._gate.require(tx, actor, Action.WRITE, path)
            return self._embedding.embedder(tx)

    def _write_all(
        self,
        tx: Transaction,
        actor: Actor,
        drafts: Sequence[Draft],
        prepared: Sequence[Prepared],
        on_key: OnKey,
    ) -> list[MemCube]:
        answers: dict[int, MemCube] = {}
        spaces = self._spaces(tx, actor, drafts)
        # What is replaced comes first: drafts derived from it must inherit its label of afterwards.
        for row, draft in enumerate(drafts):
            space = spaces[draft.space or actor.home]
            kept = self._meet(tx, actor, draft, space, prepared[row], on_key)
            if kept is not None:
                answers[row] = kept
        written: list[_Written] = []
        for row, draft in enumerate(drafts):
            if row not in answers:
                space = spaces[draft.space or actor.home]
                each = self._compose(tx, actor, draft, space, prepared[row], len(written))
                written.append(each)
        self._insert(tx, written, prepared[0].embedder)
        self._quotas.charge(tx, [each.charge for each in written], actor)
        fresh = iter(written)
        return [
            answers[row] if row in answers else self._gate.shown(tx, actor, next(fresh).record)
            for row in range(len(drafts))
        ]

    def _spaces(
        self, tx: Transaction, actor: Actor, drafts: Sequence[Draft]
    ) -> dict[str, SpaceRef]:
        """Decide about every space that is written to, and find its ids."""
        found: dict[str, SpaceRef] = {}
        for path in sorted({draft.space or actor.home for draft in drafts}):
            self._gate.require(tx, actor, Action.WRITE, path)
            found[path] = self._gate.registry.ensure_space(tx, path)
        return found

    def _meet(
        self,
        tx: Transaction,
        actor: Actor,
        draft: Draft,
        space: SpaceRef,
        made: Prepared,
        on_key: OnKey,
    ) -> MemCube | None:
        """Deal with a key that may be taken; None means that there is none, or that it is free."""
        found = None if draft.key is None else fetch_by_key(tx, space.id, draft.key)
        if draft.key is None or found is None:
            return None
        if found.cube.has_ended(tx.now):
            self._forgetter.reap(tx, actor, found.cube.id)  # what has ended holds no key
            return None
        if on_key == "error":
            error = ConflictError(
                f"the key {draft.key!r} is taken in {space.path}: pass on_key='skip' or 'replace' "
                "to add_many, or update it"
            )
            raise Refusal(error, "denied", None, "free key")
        record = self._gate.readable(tx, actor, Key(draft.key, space.path))
        if on_key == "skip":
            self._quotas.check_reads(tx, actor)  # for the answer shows the memory
            self._gate.note(tx, actor, VERB, subject=record.cube.id, data={"skipped": True})
            return self._gate.shown(tx, actor, record)
        return self._updater.replace(tx, actor, record, draft, made)

    def _compose(
        self,
        tx: Transaction,
        actor: Actor,
        draft: Draft,
        space: SpaceRef,
        made: Prepared,
        offset: int,
        work: ModelWork | None = None,
    ) -> _Written:
        now = tx.now + offset  # so that the order of a batch is the order of its drafts
        parents = tuple(self._gate.readable(tx, actor, parent) for parent in draft.parents)
        model = None if work is None else work.model
        header = compose_header(
            draft, space.path, actor.principal, now, made.embedder, made.marks, model=model
        )
        ends = [end_of(header), *(parent.cube.expires for parent in parents)]
        end = min((each for each in ends if each is not None), default=None)
        if end is not None:  # what is derived does not outlive its sources
            header = header.model_copy(update={"expires": from_micros(end)})
        principal_id = self._gate.registry.ensure_principal(tx, actor.principal)
        own_label, label = self._labels(tx, actor, header, parents)
        cube_id = self._gate.vault.mint("mem")
        signer, payload = self._preparer.signer, payload_text(draft.content)
        cube = CubeRow(
            id=cube_id,
            realm_id=space.realm_id,
            space_id=space.id,
            key=draft.key,
            owner_id=principal_id,
            state=MemoryState.GENERATED.value,
            version=1,
            label_id=label.id,
            own_label_id=own_label.id,
            expires=end,
            created=now,
        )
        version = VersionRow(
            cube_id=cube_id,
            version=1,
            label_id=label.id,
            recorded_from=now,
            author_id=principal_id,
            action="add",
            reason="",
            header=dump_header(signer.sign(tx, header, cube_id, 1, payload, by=actor.principal)),
            payload=payload,
        )
        key = self._gate.vault.entropy.token(32)
        data: dict[str, JsonValue] = {
            "space": space.id,
            "version": 1,
            "commitment": commitment(key, version.content_hash),
        }
        verb, size = (VERB, 0) if work is None else (work.verb, work.bytes)
        data |= {} if work is None else work.said
        event = replace(self._gate.event(tx, actor, verb, subject=cube_id, data=data), time=now)
        charge = charge_of(version, actor.principal, space.path, cubes=1, blob_bytes=size)
        record = Record(cube, version)
        return _Written(record, made.vector.tobytes(), key, event, parents, charge)

    def _inherit(self, tx: Transaction, own: Label, parents: Sequence[Record]) -> Label:
        if not parents:
            return own
        ids = [parent.cube.label_id for parent in parents]
        labels = self._gate.registry.labels(tx, ids).values()
        return self._labeller.label(tx, own.atoms[0], labels)

    def _insert(self, tx: Transaction, written: Sequence[_Written], embedder: Embedder) -> None:
        if not written:
            return
        records = [each.record for each in written]
        insert_records(tx, records)
        vectors = [(each.record.cube.id, 1, each.vector) for each in written]
        insert_embeddings(tx, vectors, embedder.name)
        keys: list[dict[str, Any]] = [
            {"cube_id": each.record.cube.id, "key": each.key} for each in written
        ]
        tx.connection.execute(_INSERT_KEY, keys if len(keys) > 1 else keys[0])
        lineage = {
            (each.record.cube.id, parent.cube.id): parent.cube.version
            for each in written
            for parent in each.parents
        }
        if lineage:
            rows: list[dict[str, Any]] = [
                {"child_id": child, "parent_id": parent, "parent_version": version}
                for (child, parent), version in lineage.items()
            ]
            sealed = [row | {"seal": schema.sealed(schema.lineage, row)} for row in rows]
            tx.connection.execute(insert(schema.lineage), sealed)
        realms: dict[str, list[str]] = {}
        for record in records:
            realms.setdefault(record.cube.realm_id, []).append(record.cube.id)
        for realm_id in sorted(realms):
            journal.append(tx, realm_id, realms[realm_id], "add")
        self._gate.ledger.append(tx, [each.event for each in written])


def check_draft(draft: Draft, settings: Settings) -> Draft:
    """Hold a draft to the vault's grammar and limits.

    Raises:
        InvalidInputError: A name is malformed, or the content is too long.
    """
    if draft.space is not None:
        check_space(draft.space)
    for name in draft.access:
        check_principal(name)
    for purpose in draft.purposes:
        check_purpose(purpose)
    check_size(draft.content, settings.max_content_bytes)
    check_header_size(draft, settings.max_content_bytes)
    check_fields(draft.content, draft.metadata, draft.field_sensitivity)
    return draft


def _check_keys(drafts: Sequence[Draft], home: str) -> None:
    """Refuse drafts of one call that claim the same key.

    Raises:
        InvalidInputError: Two do.
    """
    seen: set[tuple[str, str]] = set()
    for draft in drafts:
        place = (draft.space or home, draft.key or "")
        if draft.key is not None and place in seen:
            raise InvalidInputError(
                f"the key {draft.key!r} is given twice in one call: keys are unique per space"
            )
        seen.add(place)
