"""Verifying: the chains against their hashes, their signed checkpoints, and what anchors keep."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import Row, select

from memos_core.clock import from_micros, to_micros
from memos_core.errors import DamagedError, IntegrityError, InvalidInputError
from memos_core.infrastructure.ledger.checkpoint import Checkpoints, SignedCheckpoint, Statement
from memos_core.infrastructure.ledger.keys import Keyring
from memos_core.infrastructure.ledger.publishing import Anchored
from memos_core.infrastructure.ledger.series import Series, check_series, is_endorsed
from memos_core.infrastructure.ledger.verdict import Status, Verdict
from memos_core.infrastructure.ledger.walk import Step, Walk, starts_of
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.database import translated_errors
from memos_core.infrastructure.vault.vault import CHAINS, Transaction
from memos_core.infrastructure.vault.withdrawals import withdrawn_since

_COPIES: Final = ("type", "outcome")
_PUBLIC: Final = re.compile(r"[0-9a-fA-F]{64}")


class Verifier:
    """Checks a vault's ledger.

    Args:
        keyring: Reads the keys.
        checkpoints: Reads the checkpoints.
    """

    def __init__(self, keyring: Keyring, checkpoints: Checkpoints) -> None:
        self._keyring = keyring
        self._checkpoints = checkpoints

    def verify(self, tx: Transaction, anchored: Anchored, trusted_key: str | None) -> Verdict:
        """Check every event, every checkpoint, and both against what anchors keep.

        Args:
            tx: A snapshot that began after the anchors were read.
            anchored: What the anchors keep of this vault.
            trusted_key: A public key to trust, or None for the first anchored checkpoint's.
        """
        with translated_errors():
            ours = self._checkpoints.after(tx, 0)
            series = check_series(ours, tx.vault_id, check_trusted(trusted_key))
            disowned = series.disowned
            outside = [said for said in _statements(anchored) if said.number not in disowned]
            standing = series.standing
            walk = Walk(tx.vault_id, starts_of(standing), [*standing, *outside])
            rows = _walk_rows(tx, walk)
            problems = [*walk.problems, *rows, *_numbers(tx), *series.problems]
            for said in {said.number: said for said in [*standing, *outside]}.values():
                problems += walk.compare(said)
            problems += _pruned_rows(tx, standing) + self._keys(tx, series)
            problems += _withdrawals(tx, series.statements)
            problems += [*anchored.problems, *_anchored(anchored, ours)]
            if series.statements and _epoch(tx) < series.statements[-1].policy_epoch:
                problems.append("the policy's epoch went back: an older policy was put back")
        notes = [*anchored.notes, *self._notes(tx, series, walk)]
        known = max(anchored.checkpoints, default=0)  # those that were disowned among them
        vouched = max(known, len(ours) if known or trusted_key is not None else 0)
        problems += [why for number, why in series.unendorsed.items() if number <= vouched]
        return verdict(walk, problems, notes, outside[-1] if outside else None)

    def _keys(self, tx: Transaction, series: Series) -> list[str]:
        """Hold the table of keys against the newest checkpoint: each change of a key takes one."""
        try:
            keys = tuple(self._keyring.keys(tx))
        except IntegrityError as error:
            return [str(error)]
        if series.statements:
            same = keys == series.statements[-1].keys
            return [] if same else ["the keys are not those that the newest checkpoint lists"]
        if len(keys) == 1 and keys[0].retired is None and keys[0].revoked is None:
            return []
        return ["the keys changed, and no checkpoint says so"]

    def _notes(self, tx: Transaction, series: Series, walk: Walk) -> Iterator[str]:
        for said in series.statements:
            if said.restored_from is not None:
                yield (
                    f"a backup of checkpoint {said.restored_from} was restored at "
                    f"{said.time.isoformat()}: of what came after it up to checkpoint "
                    f"{said.number - 1} only the withdrawals are left"
                )
        keys = series.statements[-1].keys if series.statements else ()
        for old, new in pairwise(keys):
            if not is_endorsed(old, new, tx.vault_id):
                yield f"key {new.id} is not endorsed by the one before it, which was lost"
        hidden = [
            said.number
            for said in series.standing
            if any(
                head.seq < walk.starts[head.chain].seq
                for head in said.heads
                if head.chain in walk.starts
            )
        ]
        if hidden:
            yield (
                f"checkpoints up to {max(hidden)} lie before what was pruned: their heads cannot "
                "be recomputed any more; their signatures and links were checked"
            )


def verdict(
    walk: Walk, problems: Sequence[str], notes: Sequence[str], last: Statement | None
) -> Verdict:
    """Sum up.

    Args:
        walk: Along all events.
        problems: What does not hold.
        notes: What was not checked.
        last: The last checkpoint that something outside the vault vouches for.
    """
    status: Status = "self-consistent" if last is None else "untampered"
    if problems:
        status, last = "broken", None
    return Verdict(
        status,
        walk.events,
        tuple(problems),
        walk.outcomes,
        None if last is None else last.number,
        walk.events if last is None else walk.after(last),
        sum(head.seq for head in walk.starts.values()),
        tuple(notes),
    )


def check_trusted(key: str | None) -> str | None:
    """Return a public key unchanged if it is one.

    Raises:
        InvalidInputError: It is not 64 hex digits.
    """
    if key is not None and not (isinstance(key, str) and _PUBLIC.fullmatch(key)):
        raise InvalidInputError(
            "the trusted key is 64 hex digits: the public key that `memos audit rotate-key` or "
            "`memos audit checkpoint` printed"
        )
    return key


def _statements(anchored: Anchored) -> list[Statement]:
    return [signed.statement for _number, signed in sorted(anchored.checkpoints.items())]


def _walk_rows(tx: Transaction, walk: Walk) -> list[str]:
    """Walk every event, and hold the chains' ends against their heads."""
    table = schema.ledger
    heads = {row.chain: row for row in tx.connection.execute(select(schema.chains))}
    problems = [f"chain {chain} is gone" for chain in sorted(set(range(CHAINS)) - set(heads))]
    query = select(table).order_by(table.c.chain, table.c.seq)
    for row in tx.connection.execute(query):
        where = f"event {row.seq} of chain {row.chain}"
        if not (isinstance(row.chain, int) and isinstance(row.seq, int)):  # SQLite stores anything
            walk.complain(f"{where} has no place")
            continue
        said = walk.step(Step(row.chain, row.seq, row.hash, row.body))
        if said is None or not _columns_agree(row, said):
            walk.complain(f"{where} is filed under other values than it holds")
    strays = sorted(set(walk.chains) - set(heads))
    problems += [f"chain {chain} has no head" for chain in strays]
    for chain, head in heads.items():
        ends = walk.chains.get(chain)
        last = (0, "", "") if ends is None else (ends.seq, ends.hash, ends.time or "")
        if last != (head.seq, head.head, _instant(head.last_time) if head.last_time else ""):
            problems.append(f"chain {chain} does not end at its head (event {head.seq})")
    return problems


def _columns_agree(row: Row[Any], body: dict[str, Any]) -> bool:
    try:
        return (
            all(body[name] == getattr(row, name) for name in _COPIES)
            and body["principal"] == row.principal_id
            and body.get("subject") == row.subject
            and body["time"] == _instant(row.time)
        )
    except KeyError:
        return False


def _instant(micros: Any) -> str | None:
    """Write a stored instant as events do; None where it is none."""
    try:
        return from_micros(micros).isoformat()
    except (OverflowError, TypeError):
        return None


def _numbers(tx: Transaction) -> list[str]:
    table = schema.checkpoints
    query = select(table.c.number).order_by(table.c.number)
    numbers = list(tx.connection.execute(query).scalars())
    if numbers == list(range(1, len(numbers) + 1)):
        return []
    return ["the checkpoints are not numbered from 1 without a gap"]


def _withdrawals(tx: Transaction, statements: Sequence[Statement]) -> list[str]:
    """Hold what was withdrawn against what signed checkpoints tell of it."""
    told = [each for said in statements for each in said.withdrawn]
    try:
        found = withdrawn_since(tx, 0)
    except (DamagedError, ValueError) as error:
        return [str(error)]
    numbers = [each.number for each in found]
    if list(found[: len(told)]) == told and numbers == list(range(1, len(found) + 1)):
        return []
    return ["the withdrawals are not those that signed checkpoints tell of"]


def _pruned_rows(tx: Transaction, statements: Sequence[Statement]) -> list[str]:
    """Hold the rows of pruned segments against what signed checkpoints say was pruned."""
    by_number = {said.number: said for said in statements}
    expected: dict[tuple[int, int], tuple[str, int, int]] = {}
    done = 0
    for said in statements:
        if said.pruned_to == done:
            continue
        done = said.pruned_to
        heads = by_number[done].heads if done in by_number else ()
        for head in heads:
            if head.seq:
                place = (head.chain, head.seq)
                expected.setdefault(place, (head.hash, done, to_micros(said.time)))
    found = {
        (row.chain, row.last_seq): (row.hash, row.checkpoint, row.pruned)
        for row in tx.connection.execute(select(schema.segments))
    }
    if found == expected:
        return []
    return ["the pruned segments are not those that signed checkpoints tell of"]


def _anchored(anchored: Anchored, ours: Sequence[SignedCheckpoint]) -> Iterator[str]:
    """Hold the vault's own checkpoints against those that anchors keep."""
    if not anchored.checkpoints:
        return
    here: dict[int, SignedCheckpoint] = {}
    for place, signed in enumerate(ours, start=1):
        try:
            here[signed.number] = signed
        except IntegrityError:
            here[place] = signed
    last = max(anchored.checkpoints)
    gaps = sorted(set(range(1, last + 1)) - set(anchored.checkpoints))
    if gaps:
        yield f"the anchors lack checkpoint {gaps[0]} of {last}: somebody removed it there"
    for number, signed in sorted(anchored.checkpoints.items()):
        if number not in here:
            yield (
                f"the vault lacks the anchored checkpoint {number}: it was removed, or an older "
                "copy of the vault was put back"
            )
        elif here[number] != signed:
            yield f"the vault's checkpoint {number} is not the one that was anchored"


def _epoch(tx: Transaction) -> int:
    return int(tx.connection.execute(select(schema.vault.c.policy_epoch)).scalar_one())
