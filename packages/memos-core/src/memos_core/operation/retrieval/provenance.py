"""Provenance (the paper's API of that name): where a memory came from, and what vouches for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from pydantic import JsonValue

from memos_core.clock import from_micros
from memos_core.cube import MemCube, Trust
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.vault.records import Record
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.operation.gate import Gate, Ref, Refusal
from memos_core.operation.lifecycle.labelling import origin_of
from memos_core.operation.quotas import Quotas
from memos_core.operation.signing import Signer

MAX_DEPTH: Final = 16
MAX_SOURCES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a memory came from.

    Args:
        cube: The memory, as the caller sees it.
        author: Who wrote this version.
        origin: What brought it, if it names one.
        recorded_at: When this version was recorded.
        trust: The least trust of all that it came from.
        signature: Whether the vault's signature holds over origin and content; `absent` where the
            signing key was missing when it was written.
        sources: The same of the memories that it was derived from, nearest first.
    """

    cube: MemCube
    author: str
    origin: str | None
    recorded_at: datetime
    trust: Trust
    signature: Literal["valid", "invalid", "absent"]
    sources: tuple[Provenance, ...]


class Provenances:
    """Tells where memories came from.

    Args:
        gate: Decides and records.
        signer: Checks signatures.
        quotas: Limits how much is read.
    """

    def __init__(self, gate: Gate, signer: Signer, quotas: Quotas) -> None:
        self._gate = gate
        self._signer = signer
        self._quotas = quotas

    def provenance(self, actor: Actor, ref: Ref) -> Provenance:
        """Follow a memory to its sources, as far as the actor may read them."""
        with self._gate.effect(actor, "memos.provenance", durable=False) as tx:
            self._quotas.check_reads(tx, actor)
            record = self._gate.readable(tx, actor, ref)
            seen: set[str] = set()
            found = self._follow(tx, actor, record, seen, MAX_DEPTH)
            data: dict[str, JsonValue] = {"cubes": [*sorted(seen)]}
            self._gate.note(tx, actor, "memos.provenance", subject=record.cube.id, data=data)
            return found

    def _follow(
        self, tx: Transaction, actor: Actor, record: Record, seen: set[str], depth: int
    ) -> Provenance:
        seen.add(record.cube.id)
        shown = self._gate.shown(tx, actor, record)
        author = self._gate.registry.principal_name(tx, record.version.author_id)
        whole = record.memcube({"author": author})
        sources = []
        for parent in whole.meta.lineage if depth else ():
            if parent in seen or len(seen) >= MAX_SOURCES:
                continue
            try:
                found = self._gate.readable(tx, actor, parent)
            except Refusal:  # a parent of the past, or one that ended: told of by nobody
                continue
            sources.append(self._follow(tx, actor, found, seen, depth - 1))
        valid = self._signer.holds(tx, whole)
        absent = whole.meta.signature is None
        return Provenance(
            cube=shown,
            author=author,
            origin=origin_of(whole.meta),
            recorded_at=from_micros(record.version.recorded_from),
            trust=shown.meta.trust or Trust.LOW,
            signature="absent" if absent else "valid" if valid else "invalid",
            sources=tuple(sources),
        )
