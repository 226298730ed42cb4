"""Adding memories: one draft or many, all or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal

from pydantic import JsonValue
from sqlalchemy import insert

from memos_core.clock import from_micros, later, to_micros
from memos_core.cube import Header, Kind, MemCube, MemoryState
from memos_core.draft import Draft, Key
from memos_core.errors import ConflictError, InvalidInputError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import Action
from memos_core.infrastructure.governance.labels import Label
from memos_core.infrastructure.governance.names import check_principal, check_purpose, check_space
from memos_core.infrastructure.governance.registry import SpaceRef
from memos_core.infrastructure.index.entry import FloatArray
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
    check_size,
    dump_header,
    dump_payload,
    embedding_text,
)
from memos_core.models.embedder import Embedder
from memos_core.operation.embedding import Embedding
from memos_core.operation.gate import Gate, Refusal
from memos_core.operation.lifecycle.labelling import Labeller, own_atom
from memos_core.operation.lifecycle.patching import end_of
from memos_core.operation.lifecycle.updating import Updater
from memos_core.settings import Settings

OnKey = Literal["error", "skip", "replace"]
VERB: Final = "memos.add"


@dataclass(frozen=True, slots=True)
class _Written:
    """A new memory's rows, with what the ledger commits to."""

    record: Record
    vector: bytes
    key: bytes
    event: Event
    parents: tuple[Record, ...]


class Adder:
    """Writes new memories.

    Args:
        gate: Decides and records.
        embedding: Makes vectors.
        labeller: Makes labels.
        updater: Replaces a memory that already has the key.
        settings: Limits.
    """

    def __init__(
        self,
        gate: Gate,
        embedding: Embedding,
        labeller: Labeller,
        updater: Updater,
        settings: Settings,
    ) -> None:
        self._gate = gate
        self._embedding = embedding
        self._labeller = labeller
        self._updater = updater
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
        with self._gate.snapshot(actor, VERB) as tx:  # no text leaves for a model before it may
            for path in sorted({draft.space or actor.home for draft in checked}):
                self._gate.require(tx, actor, Action.WRITE, path)
            embedder = self._embedding.embedder(tx)
        texts = [embedding_text(draft.content, draft.metadata) for draft in checked]
        vectors = self._embedding.vectors(embedder, texts)
        with self._gate.effect(actor, VERB) as tx:
            self._embedding.adopt(tx, embedder)
            return self._write_all(tx, actor, checked, vectors, embedder, on_key)

    def _write_all(
        self,
        tx: Transaction,
        actor: Actor,
        drafts: Sequence[Draft],
        vectors: FloatArray,
        embedder: Embedder,
        on_key: OnKey,
    ) -> list[MemCube]:
        answers: list[MemCube | None] = []
        written: list[_Written] = []
        spaces: dict[str, SpaceRef] = {}
        places: dict[tuple[str, str], int] = {}
        for row, draft in enumerate(drafts):
            path = draft.space or actor.home
            if path not in spaces:
                self._gate.require(tx, actor, Action.WRITE, path)
                spaces[path] = self._gate.registry.ensure_space(tx, path)
            if draft.key is not None:
                taken = places.setdefault((path, draft.key), row)
                if taken != row:
                    raise InvalidInputError(
                        f"the key {draft.key!r} is given twice in one call: "
                        "keys are unique per space"
                    )
                kept = self._meet(tx, actor, draft, spaces[path], vectors[row], embedder, on_key)
                if kept is not None:
                    answers.append(kept)
                    continue
            written.append(
                self._compose(tx, actor, draft, spaces[path], vectors[row], embedder, len(written))
            )
            answers.append(None)
        self._insert(tx, written, embedder)
        fresh = iter(written)
        return [next(fresh).record.memcube() if kept is None else kept for kept in answers]

    def _meet(
        self,
        tx: Transaction,
        actor: Actor,
        draft: Draft,
        space: SpaceRef,
        vector: FloatArray,
        embedder: Embedder,
        on_key: OnKey,
    ) -> MemCube | None:
        """Deal with a key that may be taken; None means that there is none, or that it is free."""
        if draft.key is None or fetch_by_key(tx, space.id, draft.key) is None:
            return None
        if on_key == "error":
            error = ConflictError(
                f"the key {draft.key!r} is taken in {space.path}: pass on_key='skip' or 'replace' "
                "to add_many, or update it"
            )
            raise Refusal(error, "denied", None, "free key")
        record = self._gate.readable(tx, actor, Key(draft.key, space.path))
        if on_key == "skip":
            self._gate.note(tx, actor, VERB, subject=record.cube.id, data={"skipped": True})
            return record.memcube()
        return self._updater.replace(tx, actor, record, draft, (vector, embedder))

    def _compose(
        self,
        tx: Transaction,
        actor: Actor,
        draft: Draft,
        space: SpaceRef,
        vector: FloatArray,
        embedder: Embedder,
        offset: int,
    ) -> _Written:
        now = tx.now + offset  # so that the order of a batch is the order of its drafts
        parents = tuple(self._gate.readable(tx, actor, parent) for parent in draft.parents)
        own = own_atom(space.path, draft.sensitivity, draft.access, draft.purposes)
        own_label = self._labeller.label(tx, own, ())
        label = self._inherit(tx, own_label, parents)
        principal_id = self._gate.registry.ensure_principal(tx, actor.principal)
        cube_id = self._gate.vault.mint("mem")
        header = compose_header(draft, space.path, actor.principal, now, embedder)
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
            expires=end_of(header),
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
            header=dump_header(header),
            payload=dump_payload(draft.content),
        )
        key = self._gate.vault.entropy.token(32)
        data: dict[str, JsonValue] = {
            "space": space.id,
            "version": 1,
            "commitment": commitment(key, version.content_hash),
        }
        event = self._gate.event(tx, actor, VERB, subject=cube_id, data=data)
        return _Written(Record(cube, version), vector.tobytes(), key, event, parents)

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
        tx.connection.execute(insert(schema.cube_keys), keys if len(keys) > 1 else keys[0])
        lineage = {
            (each.record.cube.id, parent.cube.id): parent.cube.version
            for each in written
            for parent in each.parents
        }
        if lineage:
            rows = [
                {"child_id": child, "parent_id": parent, "parent_version": version}
                for (child, parent), version in lineage.items()
            ]
            tx.connection.execute(insert(schema.lineage), rows)
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
    return draft


def compose_header(draft: Draft, space: str, owner: str, now: int, embedder: Embedder) -> Header:
    """Build a memory's header from a draft.

    Args:
        draft: What the caller gave.
        space: Where it goes.
        owner: Who adds it.
        now: Microseconds.
        embedder: What makes its vector.

    Raises:
        InvalidInputError: It would already have expired.
    """
    expires = draft.expires
    if isinstance(expires, timedelta):
        expires = later(now, expires)
    if expires is not None and to_micros(expires) <= now:
        raise InvalidInputError(f"expires is not in the future: {expires.isoformat()}")
    fields: dict[str, Any] = {
        "key": draft.key,
        "kind": Kind.PLAINTEXT,
        "semantic_type": draft.semantic_type,
        "created": from_micros(now),
        "occurred_at": draft.occurred_at,
        "valid_from": draft.valid.start,
        "valid_to": draft.valid.end,
        "source": draft.source,
        "speaker": draft.speaker,
        "tags": tuple(sorted(draft.tags)) or None,
        "metadata": dict(draft.metadata) or None,
        "lineage": draft.parents or None,
        "embedding_fp": f"{embedder.name}[dim={embedder.dims}]",
        "space": space,
        "owner": owner,
        "access": tuple(sorted(draft.access)) or None,
        "sensitivity": draft.sensitivity,
        "field_sensitivity": dict(draft.field_sensitivity) or None,
        "purposes": tuple(sorted(draft.purposes)) or None,
        "expires": expires,
        "priority": draft.priority,
    }
    return Header(**{name: value for name, value in fields.items() if value is not None})
