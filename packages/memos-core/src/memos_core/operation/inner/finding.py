"""Finding what is made for a model, among what an actor may read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress

from sqlalchemy import select

from memos_core.cube import CubeId, MemCube, MemoryState
from memos_core.errors import DamagedError, DeniedError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.records import Record, children, fetch
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.operation.gate import Gate, Refusal


def made_for(tx: Transaction, gate: Gate, actor: Actor, model: str) -> Iterator[MemCube]:
    """Go through the memories that were made for a model, as the actor sees them.

    Args:
        tx: The transaction.
        gate: Decides.
        actor: Who asks; what he may not read is not there.
        model: The model's fingerprint.
    """
    if actor.at is not None:  # what a model knew then cannot be asked now
        return
    ids = tx.connection.scalars(select(schema.blob_uses.c.cube_id).distinct()).all()
    for record in fetch(tx, sorted(ids)).values():
        if not isinstance(record, Record) or f'"model":"{model}"' not in record.version.header:
            continue
        try:
            found = gate.readable(tx, actor, record.cube.id)
        except Refusal:
            continue
        yield gate.shown(tx, actor, found)


def made_of(
    tx: Transaction,
    gate: Gate,
    actor: Actor,
    model: str,
    sources: Sequence[CubeId],
    terms: Collection[str] = (),
) -> Iterator[MemCube]:
    """Go through what was made for a model of some memories, or is an adapter tagged with a word.

    Args:
        tx: The transaction.
        gate: Decides.
        actor: Who asks; what he may not read is not there.
        model: The model's fingerprint.
        sources: The memories.
        terms: Words, in lower case.
    """
    if actor.at is not None:
        return
    made: set[CubeId] = set()
    with suppress(DamagedError):  # the doctor names it; here it only costs time
        made.update(children(tx, sources))
    if terms:  # of enabled adapters there are few; of caches there may be one for each memory
        cubes = schema.cubes.c
        on = select(cubes.id).where(
            cubes.state == MemoryState.ACTIVATED.value,
            cubes.id.in_(select(schema.blob_uses.c.cube_id)),
        )
        made.update(tx.connection.scalars(on))
    for record in fetch(tx, sorted(made)).values():
        if not isinstance(record, Record) or f'"model":"{model}"' not in record.version.header:
            continue
        try:
            cube = gate.shown(tx, actor, gate.readable(tx, actor, record.cube.id))
        except Refusal:
            continue
        if set(cube.meta.lineage) & set(sources) or any(
            t.casefold() in terms for t in cube.meta.tags
        ):
            yield cube


def seen_whole(cube: MemCube) -> MemCube:
    """Return a memory unchanged unless its reader sees it only in part.

    What is made of a part is as sensitive as the whole: who made it could not read it.

    Raises:
        Refusal: It is seen in part.
    """
    if cube.meta.redacted:
        error = DeniedError(
            "you see this memory only in part, and what a model makes of it is seen as a whole or "
            "not at all: ask for clearance"
        )
        raise Refusal(error, "denied", cube.id, "clearance")
    return cube


def is_enabled(cube: MemCube) -> bool:
    """Tell whether an adapter passed its gate and was switched on."""
    lora = cube.lora
    return lora is not None and lora.passed and cube.meta.state == MemoryState.ACTIVATED
