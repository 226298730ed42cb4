"""Exports: the ledger as JSON lines, which anybody can verify without the vault.

The first line is a header, then come the events in the order of their chains, each with its exact
text, and at the end every checkpoint. All events are covered by the last checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final, TextIO

from pydantic import JsonValue
from sqlalchemy import select

from memos_core.errors import IntegrityError, InvalidInputError
from memos_core.infrastructure.files import whole_file
from memos_core.infrastructure.ledger.checkpoint import Checkpoints, SignedCheckpoint, Statement
from memos_core.infrastructure.ledger.series import check_series
from memos_core.infrastructure.ledger.verdict import Verdict
from memos_core.infrastructure.ledger.verify import check_trusted, verdict
from memos_core.infrastructure.ledger.walk import Step, Walk, starts_of
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.vault import Transaction

FORMAT: Final = "memos-ledger-export/1"


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was exported.

    Args:
        path: The file.
        events: How many events it holds.
        checkpoint: The last checkpoint in it, which covers them all.
        public_key: The key that signed it: hand it to whoever verifies the file, by another way.
    """

    path: Path
    events: int
    checkpoint: int
    public_key: str


def write_export(tx: Transaction, checkpoints: Checkpoints, path: Path) -> ExportReport:
    """Write the ledger up to its newest checkpoint into a new file, whole or not at all.

    Raises:
        InvalidInputError: There is something there already.
        FullError: There is no room for it.
        VaultError: The file cannot be written.
    """
    with whole_file(path, "the export") as stream:
        text = TextIOWrapper(stream, encoding="utf-8", newline="\n")
        report = _write(tx, checkpoints, path, text)
        text.flush()
        text.detach()  # whoever opened the file closes it
        return report


def _write(tx: Transaction, checkpoints: Checkpoints, path: Path, stream: TextIO) -> ExportReport:
    taken = checkpoints.after(tx, 0)
    last = taken[-1].statement
    _line(stream, _header(last))
    events = 0
    for row in _covered(tx, taken[-1]):
        _line(stream, {"chain": row.chain, "seq": row.seq, "hash": row.hash, "body": row.body})
        events += 1
    for signed in taken:
        _line(stream, {"checkpoint": signed.body, "signature": signed.signature})
    return ExportReport(path, events, last.number, last.keys[-1].public)


def _covered(tx: Transaction, signed: SignedCheckpoint) -> Iterator[Step]:
    table = schema.ledger
    columns = (table.c.chain, table.c.seq, table.c.hash, table.c.body)
    for head in signed.statement.heads:
        chosen = (table.c.chain == head.chain) & (table.c.seq <= head.seq)
        for row in tx.connection.execute(select(*columns).where(chosen).order_by(table.c.seq)):
            yield Step(row.chain, row.seq, row.hash, row.body)


def _line(stream: TextIO, value: dict[str, JsonValue]) -> None:
    stream.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


def verify_export(path: str | Path, *, trusted_key: str | None = None) -> Verdict:
    """Verify an export, without the vault.

    Args:
        path: The file.
        trusted_key: 64 hex digits: a public key of the vault, got by another way. Without it the
            file can only be shown to agree with itself, for whoever made it up made up its keys.

    Returns:
        `untampered` up to its last checkpoint where a trusted key vouches for that, else
        `self-consistent`; `broken` with the reasons where something does not hold.

    Raises:
        InvalidInputError: There is no such file, or the trusted key is none.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from memos_core.testing import temporary_memos
        >>> with TemporaryDirectory() as folder, temporary_memos() as memos:
        ...     report = memos.session("user:owner").audit.export(f"{folder}/ledger.jsonl")
        ...     verify_export(report.path, trusted_key=report.public_key).status
        'untampered'
    """
    key = check_trusted(trusted_key)
    try:
        return _verify(Path(path), key)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}") from error
    except (IntegrityError, UnicodeDecodeError) as error:
        return Verdict("broken", 0, (str(error),))


def _verify(path: Path, trusted_key: str | None) -> Verdict:
    header, taken, problems = _frame(path)  # the checkpoints come last, and are needed first
    if header.get("format") != FORMAT:
        raise IntegrityError(f"{path.name} is no export of a ledger, or of a newer MemOS")
    vault_id = str(header.get("vault"))
    series = check_series(taken, vault_id, trusted_key)
    problems += series.problems
    if not series.statements:
        raise IntegrityError(f"{path.name} holds no checkpoint: nothing vouches for its events")
    if trusted_key is not None:
        problems += series.unendorsed.values()
    last = series.statements[-1]
    walk = Walk(vault_id, starts_of(series.standing), series.standing)
    for event in _events(path):
        walk.step(event)
    problems += walk.problems
    for said in series.standing:
        problems += walk.compare(said)
    if {name: header.get(name) for name in _header(last)} != _header(last):
        problems.append("the header does not say what the last checkpoint says")
    if walk.after(last):
        problems.append("there are events that the last checkpoint does not cover")
    notes = [] if trusted_key else ["no trusted key was given: the file vouches for itself only"]
    return verdict(walk, problems, notes, last if trusted_key is not None else None)


def _frame(path: Path) -> tuple[dict[str, Any], list[SignedCheckpoint], list[str]]:
    """Read the header and the checkpoints, and say what stands in the wrong place."""
    header: dict[str, Any] = {}
    taken: list[SignedCheckpoint] = []
    problems: list[str] = []
    for number, line in _lines(path):
        if number == 1:
            header = line
        elif "checkpoint" in line:
            taken.append(SignedCheckpoint(str(line["checkpoint"]), str(line.get("signature"))))
        elif taken:
            problems.append(f"line {number} is an event after the checkpoints")
    return header, taken, problems


def _events(path: Path) -> Iterator[Step]:
    chain = 0
    for number, line in _lines(path):
        if number == 1 or "checkpoint" in line:
            continue
        try:
            event = Step(line["chain"], line["seq"], str(line["hash"]), str(line["body"]))
        except KeyError as error:
            raise IntegrityError(f"line {number} has no {error}") from error
        if not (isinstance(event.chain, int) and isinstance(event.seq, int)):
            raise IntegrityError(f"line {number} has no place in a chain")
        if event.chain < chain:
            raise IntegrityError(f"line {number} is not in the order of the chains")
        chain = event.chain
        yield event


def _header(last: Statement) -> dict[str, JsonValue]:
    return {
        "format": FORMAT,
        "vault": last.vault,
        "exported": last.time.isoformat(),
        "keys": [{"id": key.id, "number": key.number, "public": key.public} for key in last.keys],
    }


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8", newline="\n") as stream:
        for number, text in enumerate(stream, start=1):
            try:
                line = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise IntegrityError(f"line {number} is no JSON") from error
            if not isinstance(line, dict):
                raise IntegrityError(f"line {number} is no JSON object")
            yield number, line
