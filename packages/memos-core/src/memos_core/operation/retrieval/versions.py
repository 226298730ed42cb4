"""Versions: those that one may read, and what changed between two of them."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from memos_core.cube import CubeId, MemCube, Version
from memos_core.errors import NotFoundError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.vault.records import Record, fetch_versions
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.operation.gate import Gate, Ref, Refusal
from memos_core.operation.quotas import Quotas

_NOT_COMPARED: Final = frozenset(
    ("id", "version", "updated", "author", "content_hash", "signature", "marks", "embedding_fp")
)


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs between two versions.

    Args:
        path: Where, e.g. `content.pay.base` or `tags`.
        before: Its value in the older version; None where it was not there.
        after: Its value in the newer one; None where it is not there.
    """

    path: str
    before: JsonValue
    after: JsonValue


@dataclass(frozen=True, slots=True)
class Diff:
    """What changed between two versions, as the caller sees them.

    Args:
        cube_id: The memory.
        older: The number of the one version.
        newer: The number of the other.
        changes: Field by field, in the order of their paths; texts are in `text`.
        text: A unified diff of the texts; empty where they are equal.
    """

    cube_id: CubeId
    older: int
    newer: int
    changes: tuple[Change, ...]
    text: str


class Versions:
    """Reads the versions of memories.

    Args:
        gate: Decides and records.
        quotas: Limits how much is read.
    """

    def __init__(self, gate: Gate, quotas: Quotas) -> None:
        self._gate = gate
        self._quotas = quotas

    def history(self, actor: Actor, ref: Ref) -> list[Version]:
        """Return the versions of a memory that the actor may read, oldest first."""
        with self._gate.effect(actor, "memos.history", durable=False) as tx:
            self._quotas.check_reads(tx, actor)
            record = self._gate.readable(tx, actor, ref)
            versions = self.readable(tx, actor, record)
            self._gate.note(tx, actor, "memos.history", subject=record.cube.id)
            return [self._listed(tx, actor, each) for each in versions]

    def diff(self, actor: Actor, ref: Ref, older: int, newer: int | None) -> Diff:
        """Compare two versions as the actor sees them; the newer is the present one by default."""
        with self._gate.effect(actor, "memos.diff", durable=False) as tx:
            self._quotas.check_reads(tx, actor)
            record = self._gate.readable(tx, actor, ref)
            numbers = (older, record.version.version if newer is None else newer)
            one, other = (
                self._gate.shown(tx, actor, self.one(tx, actor, record, each)) for each in numbers
            )
            data: dict[str, JsonValue] = {"version": numbers[1]}
            self._gate.note(tx, actor, "memos.diff", subject=record.cube.id, data=data)
        return compare(one, other)

    def one(self, tx: Transaction, actor: Actor, record: Record, number: int) -> Record:
        """Return one version of a memory.

        Raises:
            Refusal: There is none of that number that the actor may read.
        """
        if number == record.version.version:
            return record
        for each in self.readable(tx, actor, record):
            if each.version.version == number:
                return each
        error = NotFoundError(f"no version {number} of {record.cube.id} that you may read")
        raise Refusal(error, "not_found", record.cube.id)

    def readable(self, tx: Transaction, actor: Actor, record: Record) -> list[Record]:
        """List versions: each counts under the label that it had, and the memory's label now."""
        versions = fetch_versions(tx, record.cube)
        if actor.at is not None:
            versions = [each for each in versions if each.version.recorded_from <= actor.at]
        labels = [each.version.label_id for each in versions]
        allowed = self._gate.may_read_versions(tx, actor, record.cube, labels)
        return [each for each, may in zip(versions, allowed, strict=True) if may]

    def _listed(self, tx: Transaction, actor: Actor, record: Record) -> Version:
        author = self._gate.registry.principal_name(tx, record.version.author_id)
        return record.listed(self._gate.shown(tx, actor, record), author)


def compare(older: MemCube, newer: MemCube) -> Diff:
    r"""Compare two versions of a memory.

    >>> from memos_core.cube import Header, PlaintextPayload
    >>> one, other = (
    ...     MemCube(meta=Header(tags=tags), payload=PlaintextPayload(content=text))
    ...     for tags, text in ((("a",), "tea\nmilk"), (("b",), "tea\nlemon"))
    ... )
    >>> found = compare(one, other)
    >>> found.changes
    (Change(path='tags', before=['a'], after=['b']),)
    >>> found.text.splitlines()[3:]
    [' tea', '-milk', '+lemon']
    """
    before, after = _flat(older), _flat(newer)
    changes = tuple(
        Change(path, before.get(path), after.get(path))
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    )
    lines = difflib.unified_diff(
        older.text.splitlines(),
        newer.text.splitlines(),
        f"version {older.version}",
        f"version {newer.version}",
        lineterm="",
    )
    return Diff(newer.id, older.version, newer.version, changes, "\n".join(lines))


def _flat(cube: MemCube) -> dict[str, JsonValue]:
    """Lay a version out by paths: the header, and structured content; text is compared by lines."""
    meta = cube.meta.model_dump(mode="json", exclude_unset=True)
    found = dict(_paths({n: v for n, v in meta.items() if n not in _NOT_COMPARED}, ""))
    if isinstance(cube.content, dict | list):
        found |= dict(_paths(json.loads(json.dumps(cube.content)), "content"))
    return found


def _paths(value: JsonValue, path: str) -> Iterator[tuple[str, JsonValue]]:
    if isinstance(value, Mapping) and value:
        for name, each in value.items():
            yield from _paths(each, f"{path}.{name}".lstrip("."))
    elif value not in (None, [], {}):
        yield path, value
