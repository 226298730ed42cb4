"""Quotas: how much a principal may write and read, and how much a space may hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import LargeBinary, case, cast, func, insert, or_, select, update

from memos_core.errors import DamagedError, FullError, InvalidInputError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.names import ancestors, check_space, is_principal
from memos_core.infrastructure.governance.registry import Registry
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.records import VersionRow
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.operation.gate import Refusal

DAY_US: Final = 86_400_000_000
READS: Final = (
    *("memos.context", "memos.diff", "memos.get", "memos.get_all", "memos.history"),
    *("memos.provenance", "memos.read_out", "memos.recollect", "memos.search", "memos.trace"),
)
"""The ledger's names of the verbs that a quota of reads counts."""


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit, and what is used of it.

    Args:
        subject: A principal, for what it writes wherever that lies, and reads; or a shared
            space, for what it and all under it hold.
        max_cubes: The most memories; None is without limit, here and below.
        max_bytes: The most bytes of headers and contents, all versions together.
        max_reads_per_day: The most reads within 24 hours; for principals.
        cubes: Memories now.
        bytes: Bytes now.
    """

    subject: str
    max_cubes: int | None
    max_bytes: int | None
    max_reads_per_day: int | None
    cubes: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Charge:
    """What a change adds to, or takes from, a space and the principal who wrote it."""

    author: str
    space: str
    cubes: int
    bytes: int

    def returned(self) -> Charge:
        """Return what undoes this charge."""
        return replace(self, cubes=-self.cubes, bytes=-self.bytes)


def charge_of(
    version: VersionRow, author: str, space: str, *, cubes: int, blob_bytes: int = 0
) -> Charge:
    """Return what one new version costs, with the blobs that came with it."""
    size = len(version.header.encode("utf-8")) + len(version.payload.encode("utf-8"))
    return Charge(author, space, cubes, size + blob_bytes)


class Quotas:
    """Keeps the count of what is limited; what is not limited costs nothing.

    Args:
        registry: Resolves names, and knows what is limited in this policy epoch.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def put(self, tx: Transaction, subject: str, limits: Mapping[str, int | None]) -> Quota:
        """Set a subject's limits, counting what it uses already; no limit at all ends the quota."""
        table = schema.quotas
        tx.connection.execute(table.delete().where(table.c.subject == subject))
        cubes, size = self._used(tx, subject)
        quota = Quota(subject, cubes=cubes, bytes=size, **limits)
        if any(limit is not None for limit in limits.values()):
            row = {name: getattr(quota, name) for name in Quota.__slots__}
            tx.connection.execute(insert(table), row)
        return quota

    def charge(
        self, tx: Transaction, charges: Iterable[Charge], actor: Actor | None = None
    ) -> None:
        """Add to, or take from, what limited subjects use.

        Args:
            tx: The effect.
            charges: What changes.
            actor: Who acts; his own use is told to him, that of others is not.

        Raises:
            Refusal: A limit would be exceeded; nothing of the effect is kept.
        """
        limited = self._registry.limited(tx)
        if not limited:
            return
        sums: dict[str, tuple[int, int]] = {}
        for each in charges:
            spaces = {path for path in ancestors(each.space) if not is_principal(path)}
            for subject in {each.author, *spaces} & limited:
                cubes, size = sums.get(subject, (0, 0))
                sums[subject] = (cubes + each.cubes, size + each.bytes)
        for subject in sorted(sums):
            self._apply(
                tx, subject, *sums[subject], told=actor is not None and actor.principal == subject
            )

    def check_reads(self, tx: Transaction, actor: Actor) -> None:
        """Refuse a read beyond the principal's quota.

        Raises:
            Refusal: It has read its fill within the last 24 hours.
        """
        if actor.principal not in self._registry.limited(tx):
            return
        quotas, events = schema.quotas, schema.ledger
        limit = tx.connection.scalar(
            select(quotas.c.max_reads_per_day).where(quotas.c.subject == actor.principal)
        )
        if limit is None:
            return
        _check_number(limit, actor.principal)
        recent = (
            select(events.c.seq)
            .where(
                events.c.principal_id == self._registry.find_principal(tx, actor.principal),
                events.c.time > tx.now - DAY_US,
                events.c.type.in_(READS),
                events.c.outcome != "denied",
            )
            .limit(limit)
        )
        if (
            tx.connection.scalar(select(func.count()).select_from(recent.subquery())) or 0
        ) >= limit:
            error = FullError(
                f"{actor.principal} has used up its {limit} reads of 24 hours: wait, or ask "
                "whoever governs the vault for a larger quota"
            )
            raise Refusal(error, "denied", None, "quota")

    def _apply(self, tx: Transaction, subject: str, cubes: int, size: int, *, told: bool) -> None:
        table = schema.quotas
        row = tx.connection.execute(
            update(table)
            .where(table.c.subject == subject)
            .values(cubes=table.c.cubes + cubes, bytes=table.c.bytes + size)
            .returning(table.c.cubes, table.c.bytes, table.c.max_cubes, table.c.max_bytes)
        ).one()
        for grows, used, limit, what in (
            (cubes > 0, row.cubes, row.max_cubes, "memories"),
            (size > 0, row.bytes, row.max_bytes, "bytes"),
        ):
            _check_number(0 if limit is None else limit, subject)
            if grows and limit is not None and used > limit:
                error = FullError(
                    f"the quota of {subject} is {limit:,} {what}, and this would "
                    + (f"make {used:,}" if told else "exceed it")
                    + ": forget something, or ask whoever governs the vault for a larger one"
                )
                raise Refusal(error, "denied", None, "quota")

    def _used(self, tx: Transaction, subject: str) -> tuple[int, int]:
        cubes, spaces, versions = schema.cubes, schema.spaces, schema.versions
        if is_principal(subject):
            chosen: Any = versions.c.author_id == self._registry.find_principal(tx, subject)
        else:
            below = spaces.c.path.startswith(f"{subject}/", autoescape=True)
            within_it = select(spaces.c.id).where(or_(spaces.c.path == subject, below))
            chosen = cubes.c.space_id.in_(within_it)
        used = charges_of(tx, self._registry, chosen)
        return sum(each.cubes for each in used), sum(each.bytes for each in used)


def _check_number(limit: object, subject: str) -> None:
    if not isinstance(limit, int):  # SQLite stores anything
        raise DamagedError(
            f"the quota of {subject} is damaged on disk: whoever governs the vault can set it anew"
        )


def charges_of(tx: Transaction, registry: Registry, chosen: Any) -> list[Charge]:
    """Sum up what memories hold, by author and space; who wrote the first version has the memory.

    Args:
        tx: The transaction.
        registry: Resolves names.
        chosen: Which memories, as a condition on the table of cubes.
    """
    cubes, versions = schema.cubes, schema.versions
    header, payload = cast(versions.c.header, LargeBinary), cast(versions.c.payload, LargeBinary)
    uses, blobs = schema.blob_uses, schema.blobs
    held = (
        select(func.coalesce(func.sum(blobs.c.size), 0))
        .join_from(uses, blobs, uses.c.blob_id == blobs.c.id)
        .where(uses.c.cube_id == versions.c.cube_id)
        .scalar_subquery()
    )
    beside = case((versions.c.version == 1, held), else_=0)
    size = func.sum(func.length(header) + func.length(payload) + beside)  # bytes, not characters
    first = func.sum(case((versions.c.version == 1, 1), else_=0))
    query = (
        select(versions.c.author_id, cubes.c.space_id, first, size)
        .join_from(cubes, versions, versions.c.cube_id == cubes.c.id)
        .where(chosen)
        .group_by(versions.c.author_id, cubes.c.space_id)
    )
    rows = tx.connection.execute(query).all()
    authors = registry.principal_names(tx, [row.author_id for row in rows])
    return [
        Charge(
            authors.get(row.author_id, row.author_id),
            registry.space_path(tx, row.space_id),
            row[2],
            row[3] or 0,
        )
        for row in rows
    ]


def check_quota(
    subject: str, cubes: int | None, size: int | None, reads_per_day: int | None
) -> dict[str, int | None]:
    """Return the limits by column, or say what is wrong with them.

    Raises:
        InvalidInputError: The subject or a limit is malformed.
    """
    acts = is_principal(subject)
    if not acts:
        check_space(subject)
    if subject.startswith("group:"):
        raise InvalidInputError("a group has no quota: it neither writes nor reads by itself")
    if reads_per_day is not None and not acts:
        raise InvalidInputError("reads are counted by principal: a space has no quota of reads")
    limits = {"max_cubes": cubes, "max_bytes": size, "max_reads_per_day": reads_per_day}
    for name, limit in limits.items():
        if limit is not None and (
            isinstance(limit, bool) or not isinstance(limit, int) or limit < 0
        ):
            raise InvalidInputError(f"{name} is a whole number from 0, or None, not {limit!r}")
    return limits
