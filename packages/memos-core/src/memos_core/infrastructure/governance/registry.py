"""Who and what the vault knows by name: principals, spaces, labels, and what each principal may do.

Rows here never change their meaning once committed, so they are remembered per process; what was
only written, and not yet committed, is remembered after the commit. Rights are read again whenever
the policy epoch has moved.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from sqlalchemy import Row, insert, select, update

from memos_core.cube import Sensitivity, Trust
from memos_core.errors import DamagedError
from memos_core.infrastructure.governance.decision import (
    Action,
    Decision,
    Permission,
    Rights,
    decide_label,
)
from memos_core.infrastructure.governance.labels import Label
from memos_core.infrastructure.governance.names import (
    check_principal,
    is_principal,
    realm_of,
)
from memos_core.infrastructure.governance.policies import read_policies
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.database import check_tables
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.infrastructure.vault.withdrawals import withdraw

_DECIDING: Final = (
    *(schema.principals, schema.members, schema.origins),
    *(schema.quarantines, schema.trusts),
)


@dataclass(frozen=True, slots=True)
class SpaceRef:
    """A space with the ids that stand for it in other tables."""

    id: str
    path: str
    realm_id: str


class Registry:
    """Names to ids and back, labels, and rights.

    Args:
        mint: Makes a new id with a prefix.
    """

    def __init__(self, mint: Callable[[str], str]) -> None:
        self._mint = mint
        self._is_sound = False
        self._principals: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._spaces: dict[str, SpaceRef] = {}
        self._paths: dict[str, str] = {}
        self._labels: dict[str, Label] = {}
        self._rights: dict[str, Rights] = {}
        self._origins: dict[str, str] = {}
        self._limited: tuple[int, frozenset[str]] | None = None
        self._policies: tuple[int, dict[str, frozenset[str]], dict[str, Trust]] | None = None

    def find_principal(self, tx: Transaction, name: str) -> str | None:
        """Return the id of a principal, or None if the vault has never met it.

        Raises:
            DamagedError: Its row's bytes changed on disk.
        """
        if name in self._principals:
            return self._principals[name]
        table = schema.principals
        row = tx.connection.execute(select(table).where(table.c.name == name)).one_or_none()
        if row is None:
            return None
        found = str(_whole_principal(row).id)
        tx.on_commit.append(lambda: self._principals.update({name: found}))
        return found

    def ensure_principal(self, tx: Transaction, name: str) -> str:
        """Return the id of a principal, introducing it to the vault if need be."""
        check_principal(name)
        found = self.find_principal(tx, name)
        if found is None:
            found = self._mint("prn")
            row = {
                "id": found,
                "name": name,
                "clearance": int(Sensitivity.INTERNAL),
                "created": tx.now,
            }
            sealed = row | {"seal": schema.sealed(schema.principals, row)}
            tx.connection.execute(insert(schema.principals), sealed)
        return found

    def principal_name(self, tx: Transaction, principal_id: str) -> str:
        """Return the name that a pseudonymous id stands for, or the id where that is erased."""
        found = self._names.get(principal_id)
        if found is None:
            names = self.principal_names(tx, [principal_id])
            tx.on_commit.append(lambda: self._names.update(names))
            found = names.get(principal_id, principal_id)
        return found

    def principal_names(self, tx: Transaction, ids: Iterable[str]) -> dict[str, str]:
        """Resolve pseudonymous ids to names; erased and damaged ones are missing from the answer.

        So what a principal wrote can be read without its name, as long as only that is lost.
        """
        table = schema.principals
        rows = tx.connection.execute(select(table).where(table.c.id.in_(set(ids))))
        return {row.id: row.name for row in rows if schema.is_whole(table, row)}

    def ensure_origin(self, tx: Transaction, name: str) -> str:
        """Return the id of an origin, introducing it to the vault if need be."""
        if name in self._origins:
            return self._origins[name]
        table = schema.origins
        found: str | None = tx.connection.scalar(select(table.c.id).where(table.c.name == name))
        if found is None:
            found = self._mint("org")
            tx.connection.execute(insert(table).values(id=found, name=name))
        origin_id = found
        tx.on_commit.append(lambda: self._origins.update({name: origin_id}))
        return origin_id

    def ensure_source(self, tx: Transaction, name: str) -> str:
        """Return the id of a principal or an origin, introducing it to the vault if need be."""
        known = self.ensure_principal if is_principal(name) else self.ensure_origin
        return known(tx, name)

    def source_names(self, tx: Transaction, ids: Iterable[str]) -> dict[str, str]:
        """Resolve the ids of sources, principals and origins alike, to names."""
        wanted, table = set(ids), schema.origins
        rows = tx.connection.execute(select(table).where(table.c.id.in_(wanted)))
        return self.principal_names(tx, wanted) | {row.id: row.name for row in rows}

    def set_clearance(self, tx: Transaction, name: str, level: Sensitivity) -> None:
        """Set how sensitive a memory a principal may read in shared spaces."""
        self._set_clearance(tx, self.ensure_principal(tx, name), level)

    def lower_clearance(self, tx: Transaction, principal_id: str, level: Sensitivity) -> None:
        """Set a principal's clearance, by id, if it has a higher one."""
        table = schema.principals
        now = tx.connection.scalar(select(table.c.clearance).where(table.c.id == principal_id))
        if now is not None and now > int(level):
            self._set_clearance(tx, principal_id, level)

    def _set_clearance(self, tx: Transaction, principal_id: str, level: Sensitivity) -> None:
        table = schema.principals
        chosen = table.c.id == principal_id
        row = _whole_principal(tx.connection.execute(select(table).where(chosen)).one())
        changed = dict(row._mapping) | {"clearance": int(level)}
        changed["seal"] = schema.sealed(table, changed)
        tx.connection.execute(update(table).where(chosen).values(**changed))
        withdraw(tx, "clearance", {"principal": principal_id, "level": int(level)})

    def find_space(self, tx: Transaction, path: str) -> SpaceRef | None:
        """Return the ids of a space, or None if nothing was ever put there.

        Raises:
            DamagedError: Its row's bytes changed on disk.
        """
        if path in self._spaces:
            return self._spaces[path]
        table = schema.spaces
        row = tx.connection.execute(select(table).where(table.c.path == path)).one_or_none()
        if row is None:
            return None
        _check_space_row(row)
        found = SpaceRef(row.id, row.path, row.realm_id)
        tx.on_commit.append(lambda: self._spaces.update({path: found}))
        return found

    def space_path(self, tx: Transaction, space_id: str) -> str:
        """Return the path that a space's id stands for.

        Raises:
            DamagedError: No space has that id, or its row's bytes changed on disk.
        """
        if space_id not in self._paths:
            table = schema.spaces
            row = tx.connection.execute(select(table).where(table.c.id == space_id)).one_or_none()
            if row is None:
                raise DamagedError(
                    f"space {space_id} is missing from the vault: run `memos doctor`"
                )
            _check_space_row(row)
            path = str(row.path)
            tx.on_commit.append(lambda: self._paths.update({space_id: path}))
            return path
        return self._paths[space_id]

    def known_path(self, tx: Transaction, space_id: str) -> str | None:
        """Return the path of a space, the root's for no id; None where the vault has no such."""
        if not space_id:
            return ""
        table = schema.spaces
        found: str | None = tx.connection.scalar(select(table.c.path).filter_by(id=space_id))
        return found

    def ensure_space(self, tx: Transaction, path: str) -> SpaceRef:
        """Return the ids of a space, making its row and its realm's if need be."""
        found = self.find_space(tx, path)
        if found is not None:
            return found
        realms = schema.realms
        name = realm_of(path)
        realm_id = tx.connection.scalar(select(realms.c.id).where(realms.c.name == name))
        if realm_id is None:
            realm_id = self._mint("rlm")
            tx.connection.execute(insert(realms).values(id=realm_id, name=name, seq=0))
        made = SpaceRef(self._mint("spc"), path, realm_id)
        row = {"id": made.id, "path": path, "realm_id": realm_id}
        sealed = row | {"seal": schema.sealed(schema.spaces, row)}
        tx.connection.execute(insert(schema.spaces), sealed)
        return made

    def ensure_label(self, tx: Transaction, label: Label) -> str:
        """Return the id of a label, storing it if it is new."""
        table = schema.labels
        if label.id not in self._labels:
            known = tx.connection.scalar(select(table.c.id).where(table.c.id == label.id))
            if known is None:
                tx.connection.execute(insert(table).values(id=label.id, atoms=label.dump()))
            tx.on_commit.append(lambda: self._labels.update({label.id: label}))
        return label.id

    def labels(self, tx: Transaction, ids: Iterable[str]) -> dict[str, Label]:
        """Read labels by id.

        Raises:
            DamagedError: A label's bytes do not match its id, or it is gone.
        """
        wanted = list(dict.fromkeys(ids))
        found = self.known_labels(tx, wanted)
        if len(found) < len(wanted):
            raise DamagedError("a label is damaged or missing: run `memos doctor`")
        return found

    def known_labels(self, tx: Transaction, ids: Iterable[str]) -> dict[str, Label]:
        """Read labels by id; those that are not there, or damaged, are missing from the answer."""
        wanted = list(dict.fromkeys(ids))
        found = {each: self._labels[each] for each in wanted if each in self._labels}
        missing = [each for each in wanted if each not in found]
        fresh: dict[str, Label] = {}
        table = schema.labels
        for batch in schema.batches(missing):
            query = select(table).where(table.c.id.in_(batch))
            for row in tx.connection.execute(query):
                with suppress(DamagedError):
                    fresh[row.id] = Label.load(row.id, row.atoms)
        if fresh:
            tx.on_commit.append(lambda: self._labels.update(fresh))
        return found | fresh

    def rights(self, tx: Transaction, principal: str) -> Rights:
        """Read what a principal may do, as of the transaction's policy epoch."""
        known = self._rights.get(principal)
        if known is not None and known.epoch == tx.epoch:
            return known
        rights = self._read_rights(tx, principal)
        tx.on_commit.append(lambda: self._rights.update({principal: rights}))
        return rights

    def limited(self, tx: Transaction) -> frozenset[str]:
        """Name the principals and spaces that have a quota, as of this policy epoch."""
        known = self._limited
        if known is None or known[0] != tx.epoch:
            subjects = tx.connection.execute(select(schema.quotas.c.subject)).scalars()
            fresh = known = (tx.epoch, frozenset(subjects))
            tx.on_commit.append(lambda: setattr(self, "_limited", fresh))
        return known[1]

    def _policies_of(self, tx: Transaction) -> tuple[dict[str, frozenset[str]], dict[str, Trust]]:
        """Read trusts and quarantines once for every policy epoch."""
        known = self._policies
        if known is None or known[0] != tx.epoch:
            known = (tx.epoch, *read_policies(tx))
            policies = known
            tx.on_commit.append(lambda: setattr(self, "_policies", policies))
        return known[1], known[2]

    def _check_structure(self, tx: Transaction) -> None:
        """Examine the tables whose lost rows would let somebody read more, once in this process.

        A seal says nothing of a row that an index or a page does not lead to any more. Without its
        row a principal would have the usual clearance, and without theirs a source would be out of
        quarantine and trusted.
        """
        if not self._is_sound and check_tables(tx.connection, _DECIDING):
            raise DamagedError(
                "the tables that say who may read what are damaged on disk: run `memos doctor`, "
                "restore a backup"
            )
        self._is_sound = True

    def _read_rights(self, tx: Transaction, principal: str) -> Rights:
        self._check_structure(tx)
        principal_id = self.find_principal(tx, principal)
        policies = self._policies_of(tx)
        if principal_id is None:
            clearance = int(Sensitivity.INTERNAL)
            return Rights(principal, frozenset({principal}), clearance, (), tx.epoch, *policies)
        ids = self._closure(tx, principal_id)
        table = schema.grants
        rows = tx.connection.execute(
            select(table)
            .where(table.c.grantee_id.in_(ids), table.c.revoked.is_(None))
            .order_by(table.c.created, table.c.id)
        )
        known = schema.principals
        found = tx.connection.execute(select(known).where(known.c.id.in_(ids)))
        them = {row.id: _whole_principal(row) for row in found}
        if principal_id not in them:
            raise _damaged("a principal's row is missing")
        return Rights(
            principal,
            frozenset(row.name for row in them.values()),
            them[principal_id].clearance,
            tuple(read_permission(row) for row in rows),
            tx.epoch,
            *policies,
        )

    def _closure(self, tx: Transaction, principal_id: str) -> set[str]:
        """Collect a principal and every group that it is in, through groups of groups.

        Raises:
            DamagedError: One of the memberships' bytes changed on disk.
        """
        table = schema.members
        found, frontier = {principal_id}, {principal_id}
        while frontier:
            query = select(table).where(table.c.member_id.in_(frontier))
            rows = tx.connection.execute(query).all()
            if not all(schema.is_whole(table, row) for row in rows):
                raise _damaged("a membership is damaged on disk")
            frontier = {row.group_id for row in rows} - found
            found |= frontier
        return found

    def is_member(self, tx: Transaction, member_id: str, group_id: str) -> bool:
        """Tell whether one is in the other, directly or through groups."""
        return group_id in self._closure(tx, member_id)


class AccessView:
    """What one principal may read for one purpose, compiled label by label.

    It is good for as long as the policy epoch stands and no permission ends; labels that appear
    later are decided when they are first met.

    Args:
        rights: The principal's rights.
        purpose: The session's purpose.
        now: When it is compiled, in microseconds.
    """

    def __init__(self, rights: Rights, *, purpose: str, now: int) -> None:
        self.rights = rights
        self.purpose = purpose
        self._now = now
        self._ends = rights.next_end(now)
        self._allowed: dict[str, bool] = {}
        self._masks: WeakKeyDictionary[object, npt.NDArray[np.bool_]] = WeakKeyDictionary()

    def is_good(self, epoch: int, now: int) -> bool:
        """Tell whether what was compiled still holds."""
        return self.rights.epoch == epoch and (self._ends is None or now < self._ends)

    def may_read(self, tx: Transaction, registry: Registry, label_ids: Sequence[str]) -> list[bool]:
        """Decide READ for each label, in order."""
        new = [each for each in dict.fromkeys(label_ids) if each not in self._allowed]
        if new:
            for label_id, label in registry.known_labels(tx, new).items():
                self._allowed[label_id] = self.decide(Action.READ, label).allowed
        # A label that is damaged, or newer than this snapshot, lets nobody in, and is asked for
        # anew.
        return [self._allowed.get(label_id, False) for label_id in label_ids]

    def mask(
        self, tx: Transaction, registry: Registry, page: object, labels: Sequence[str]
    ) -> npt.NDArray[np.bool_]:
        """Decide READ for the labels of a page, each once for as long as this view is good.

        Args:
            tx: The snapshot.
            registry: Where labels are kept.
            page: Whose labels they are; its list only ever grows.
            labels: The list.

        Returns:
            bool (labels,).
        """
        known = self._masks.get(page, np.zeros(0, dtype=np.bool_))
        new = list(labels[len(known) :])
        if not new:
            return known
        whole = np.concatenate([known, self.may_read(tx, registry, new)])
        if all(each in self._allowed for each in new):
            self._masks[page] = whole
        return whole

    def trusted(
        self, tx: Transaction, registry: Registry, labels: Sequence[str], least: Trust
    ) -> npt.NDArray[np.bool_]:
        """Say which labels name only sources of at least this trust, as bool (labels,)."""
        known = registry.known_labels(tx, labels)
        return np.asarray(
            [each in known and self.rights.trust_of(known[each]) >= least for each in labels],
            dtype=np.bool_,
        )

    def may_read_version(
        self, tx: Transaction, registry: Registry, label_ids: Sequence[str], cube: str, space: str
    ) -> list[bool]:
        """Decide READ for the labels that versions of one memory had.

        A grant on just this memory counts for versions that are older than it: the memory's present
        label, which must allow the read too, is what says so.

        Args:
            tx: The snapshot.
            registry: Where labels are kept.
            label_ids: The versions' labels.
            cube: The memory.
            space: Where it lies.
        """
        if not self.rights.has_single(cube):
            return self.may_read(tx, registry, label_ids)
        known = registry.known_labels(tx, label_ids)
        return [
            each in known and self.decide(Action.READ, known[each].for_single(cube, space)).allowed
            for each in label_ids
        ]

    def decide(self, action: Action, label: Label) -> Decision:
        """Decide any action on a label, with the reason."""
        return decide_label(self.rights, action, label, purpose=self.purpose, now=self._now)


def _whole_principal(row: Row[Any]) -> Row[Any]:
    if not schema.is_whole(schema.principals, row):
        raise _damaged(f"principal {row.id} is damaged on disk")
    return row


def _check_space_row(row: Row[Any]) -> None:
    if not schema.is_whole(schema.spaces, row):
        raise _damaged(f"space {row.id} is damaged on disk")


def _damaged(what: str) -> DamagedError:
    return DamagedError(f"{what}: run `memos doctor`, restore a backup")


def grant_seal(row: dict[str, Any]) -> str:
    """Hash a grant's columns."""
    names = ("id", "grantee_id", "actions", "space", "cube_id", "purposes", "until", "granted_by")
    # Grants of the first schema have no basis, and seals that do not cover one.
    basis = () if row["basis"] is None else (row["basis"],)
    return schema.seal(*(row[name] for name in names), row["created"], row["revoked"], *basis)


def read_permission(row: Row[Any]) -> Permission:
    """Read a grant's row, held against its seal.

    Raises:
        DamagedError: Its bytes changed on disk.
    """
    if grant_seal(dict(row._mapping)) != row.seal:
        raise DamagedError(f"grant {row.id} is damaged on disk: run `memos doctor`")
    return Permission(
        row.id,
        Action(row.actions),
        row.space,
        row.cube_id,
        tuple(json.loads(row.purposes)),
        row.until,
    )
