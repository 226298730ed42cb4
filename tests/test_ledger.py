"""The ledger: no effect without an entry, no content in it, and tampering shows."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memos_core import (
    CallableAnchor,
    DeniedError,
    Draft,
    LedgerError,
    MemOS,
    MemosError,
    NotFoundError,
    Session,
    SignedCheckpoint,
)
from memos_core.testing import HashingEmbedder, temporary_memos
from tests.conftest import Proof


def events(folder: Path) -> list[dict[str, Any]]:
    """Read the ledger in the order of time; the vault must be closed."""
    with sqlite3.connect(folder / "vault.db") as raw:
        rows = raw.execute("SELECT body FROM ledger ORDER BY time, seq").fetchall()
    raw.close()
    return [json.loads(body) for (body,) in rows]


def test_each_verb_and_each_refusal_leaves_one_entry(
    memos: MemOS, folder: Path, alice: Session, bob: Session
) -> None:
    cube = alice.add("one")
    alice.search("one")
    alice.get(cube.id)
    alice.get_all()
    alice.update(cube.id, "two")
    alice.history(cube.id)
    grant = alice.grant("user:bob", "read", on="user:alice")
    bob.search("two")
    with pytest.raises(DeniedError):
        bob.forget(cube.id)
    with pytest.raises(DeniedError):
        bob.add("x", space="user:alice")
    alice.revoke(grant)
    bob.search("two", space="user:alice")
    for call in (bob.get, bob.history, bob.forget, lambda ref: bob.update(ref, "x")):
        with pytest.raises(NotFoundError):
            call(cube.id)
    with pytest.raises(NotFoundError):
        bob.get("mem_nothere")
    alice.forget(cube.id)
    memos.close()
    assert [(e["type"].removeprefix("memos."), e["outcome"]) for e in events(folder)] == [
        ("init", "allowed"),
        ("add", "allowed"),
        ("search", "allowed"),
        ("get", "allowed"),
        ("get_all", "allowed"),
        ("update", "allowed"),
        ("history", "allowed"),
        ("grant", "allowed"),
        ("search", "allowed"),
        ("forget", "denied"),
        ("add", "denied"),
        ("revoke", "allowed"),
        ("search", "denied"),
        ("get", "not_found"),
        ("history", "not_found"),
        ("forget", "not_found"),
        ("update", "not_found"),
        ("get", "not_found"),
        ("forget", "allowed"),
        ("erase", "allowed"),
    ]


def test_events_hold_neither_content_nor_names(memos: MemOS, folder: Path, alice: Session) -> None:
    cube = alice.add(
        "canary-7319", key="key-canary", tags={"tag-canary"}, metadata={"m": "meta-canary"}
    )
    alice.update(cube.id, "canary-7320", reason="reason-canary")
    alice.search("query-canary canary-7319")
    alice.forget(cube.id, reason="why-canary")
    memos.close()
    text = json.dumps(events(folder))
    assert "canary" not in text
    assert "user:" not in text
    assert all({"id", "source", "type", "time", "specversion"} <= set(e) for e in events(folder))


VERBS: dict[str, Callable[[Session, str], object]] = {
    "add": lambda s, _: s.add("x"),
    "add_many": lambda s, _: s.add_many(["x", "y"]),
    "update": lambda s, ref: s.update(ref, "x"),
    "forget": lambda s, ref: s.forget(ref),
    "grant": lambda s, _: s.grant("user:bob", "read", on="user:alice"),
    "grant on one memory": lambda s, ref: s.grant("user:bob", "read", on=ref),
    "get": lambda s, ref: s.get(ref),
    "search": lambda s, _: s.search("first"),
    "get_all": lambda s, _: s.get_all(),
    "history": lambda s, ref: s.history(ref),
    "context": lambda s, _: s.context("first", budget_tokens=100),
    "diff": lambda s, ref: s.diff(ref, 1),
    "rollback": lambda s, ref: s.rollback(ref, 1),
    "freeze": lambda s, ref: s.freeze(ref),
    "trace": lambda s, _: s.trace("first of all there was a word and then another"),
    "provenance": lambda s, ref: s.provenance(ref),
    "replace by key": lambda s, _: s.add_many([Draft("x", key="k")], on_key="replace"),
    "skip a key": lambda s, _: s.add_many([Draft("x", key="k")], on_key="skip"),
    "pipeline": lambda s, ref: in_pipeline(s, ref),
    "revoke": lambda s, _: s.revoke(found(s, "grants", "grantee_id <> granted_by")),
    "explain": lambda s, ref: s.governance.explain("user:bob", "read", ref),
    "grants": lambda s, _: s.governance.grants(),
    "hold": lambda s, ref: s.governance.hold(ref),
    "quarantine": lambda s, _: s.governance.quarantine("import:x", on="user:alice"),
    "set_trust": lambda s, _: s.governance.set_trust("import:x", "low"),
    "set_quota": lambda s, _: s.governance.set_quota("user:bob", cubes=1),
    "add_member": lambda s, _: s.add_member("group:g", "user:bob"),
    "remove_member": lambda s, _: s.remove_member("group:g", "user:bob"),
    "set_clearance": lambda s, _: s.set_clearance("user:bob", "public"),
    "lift": lambda s, _: s.governance.lift(found(s, "holds", "1")),
    "release": lambda s, _: s.governance.release(found(s, "quarantines", "1")),
}


def found(session: Session, table: str, where: str) -> str:
    """Return the id of the one row that the test made before."""
    path = session._engine.gate.vault.directory.database
    with sqlite3.connect(path) as raw:
        return str(raw.execute(f"SELECT id FROM {table} WHERE {where}").fetchone()[0])


def in_pipeline(session: Session, ref: str) -> None:
    with session.pipeline():
        session.add("one")
        session.update(ref, "two")
        session.forget(ref)


AUDIT_VERBS: dict[str, Callable[[Session, Path], object]] = {
    "query": lambda s, _: s.audit.query(),
    "checkpoint": lambda s, _: s.audit.checkpoint(),
    "rotate_key": lambda s, _: s.audit.rotate_key(),
    "prune": lambda s, _: s.audit.prune(before_checkpoint=1),
    "export": lambda s, path: s.audit.export(path / "ledger.jsonl"),
}


def contents(folder: Path) -> dict[str, Any]:
    """Dump every table but the ledger's own."""
    with sqlite3.connect(folder / "vault.db") as raw:
        names = [n for (n,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        kept = {
            name: sorted(map(repr, raw.execute(f"SELECT * FROM {name}").fetchall()))
            for name in names
            if not name.startswith("ledger")
        }
    raw.close()
    return kept


@pytest.mark.parametrize("verb", list(VERBS))
def test_where_the_ledger_fails_nothing_happens_and_nothing_is_answered(
    folder: Path, verb: str
) -> None:
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        alice = memos.session("user:alice")
        cube = alice.add("first", key="k")
        alice.grant("user:carol", "read", on="user:alice")
        alice.governance.hold("user:alice/other")
        alice.governance.quarantine("import:other", on="user:alice")
        with sqlite3.connect(folder / "vault.db") as raw:  # a full or broken ledger
            raw.execute(
                "CREATE TRIGGER broken BEFORE INSERT ON ledger "
                "BEGIN SELECT RAISE(ABORT, 'the ledger is broken'); END"
            )
        raw.close()
        before = contents(folder)
        with pytest.raises(LedgerError, match="nothing was done"):
            VERBS[verb](memos.session("user:alice"), cube.id)
        assert contents(folder) == before


@pytest.mark.parametrize("verb", list(AUDIT_VERBS))
def test_where_the_ledger_fails_no_verb_of_the_audit_does_anything(
    folder: Path, tmp_path: Path, verb: str
) -> None:
    published: list[SignedCheckpoint] = []
    anchors = [CallableAnchor(published.append, lambda: list(published))]
    with MemOS.open(folder, embedder=HashingEmbedder(), anchors=anchors) as memos:
        owner = memos.session("user:owner")
        owner.audit.checkpoint()
        owner.search("so that something happened")
        raw = sqlite3.connect(folder / "vault.db", isolation_level=None)
        raw.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON ledger "
            "BEGIN SELECT RAISE(ABORT, 'the ledger is broken'); END"
        )
        kept = "SELECT chain, seq, hash FROM ledger", "SELECT * FROM ledger_segments"
        before = contents(folder), [raw.execute(each).fetchall() for each in kept]
        with pytest.raises(LedgerError, match="nothing was done"):
            AUDIT_VERBS[verb](owner, tmp_path)
        assert (contents(folder), [raw.execute(each).fetchall() for each in kept]) == before
        assert [each.number for each in published] == [1]
        assert not (tmp_path / "ledger.jsonl").exists()
        raw.execute("DROP TRIGGER broken")
        raw.close()
        assert memos.verify_ledger().status == "untampered"


def test_a_denial_that_cannot_be_recorded_is_still_no_effect(folder: Path) -> None:
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        with sqlite3.connect(folder / "vault.db") as raw:
            raw.execute(
                "CREATE TRIGGER broken BEFORE INSERT ON ledger "
                "BEGIN SELECT RAISE(ABORT, 'the ledger is broken'); END"
            )
        raw.close()
        before = contents(folder)
        with pytest.raises(LedgerError):
            memos.session("user:bob").add("x", space="acme")
        assert contents(folder) == before


def tamper(raw: sqlite3.Connection, rng: random.Random) -> str:
    """Change the ledger in one random way; return what was done."""
    rows = raw.execute("SELECT chain, seq FROM ledger").fetchall()
    chain, seq = rng.choice(rows)
    here = (chain, seq)
    kind = rng.choice(["edit", "delete", "swap", "cut", "refile", "retime", "rehead", "hash"])
    where = "WHERE chain = ? AND seq = ?"
    if kind == "edit":
        body = raw.execute(f"SELECT body FROM ledger {where}", here).fetchone()[0]
        at = rng.randrange(len(body))
        changed = body[:at] + chr(ord(body[at]) ^ 1) + body[at + 1 :]
        raw.execute(f"UPDATE ledger SET body = ? {where}", (changed, *here))
    elif kind == "delete":
        raw.execute(f"DELETE FROM ledger {where}", here)
    elif kind == "swap":
        (other,) = rng.sample([s for c, s in rows if c == chain and s != seq] or [seq + 1], 1)
        raw.execute(f"UPDATE ledger SET seq = -1 {where}", here)
        raw.execute(f"UPDATE ledger SET seq = ? {where}", (seq, chain, other))
        raw.execute("UPDATE ledger SET seq = ? WHERE chain = ? AND seq = -1", (other, chain))
    elif kind == "cut":
        raw.execute("DELETE FROM ledger WHERE chain = ? AND seq >= ?", here)
    elif kind == "refile":
        raw.execute(f"UPDATE ledger SET outcome = 'other' {where}", here)
    elif kind == "retime":
        raw.execute(f"UPDATE ledger SET time = time + 1 {where}", here)
    elif kind == "rehead":
        raw.execute("UPDATE ledger_chains SET seq = seq + 1 WHERE chain = ?", (chain,))
    else:
        raw.execute(f"UPDATE ledger SET hash = 'f' || substr(hash, 2) || 'x' {where}", here)
    return kind


def test_tampering_with_the_ledger_shows(
    tmp_path: Path, scaled: Callable[[int, int], int], proof: Proof
) -> None:
    folder = tmp_path / "vault"
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        for number in range(12):
            session = memos.session(f"user:u{number % 4}")
            session.add(f"memory {number}")
            session.search("memory")
        assert memos.verify_ledger().status == "self-consistent"
        rng = random.Random(0)
        rounds = scaled(100, 2_000)
        for _ in range(rounds):
            raw = sqlite3.connect(folder / "vault.db", isolation_level=None)
            raw.execute("SAVEPOINT clean")
            saved = [
                raw.execute(f"SELECT * FROM {t}").fetchall() for t in ("ledger", "ledger_chains")
            ]
            kind = tamper(raw, rng)
            raw.execute("RELEASE clean")
            verdict = memos.verify_ledger()
            assert verdict.status == "broken", kind
            assert verdict.problems
            raw.execute("DELETE FROM ledger")
            raw.execute("DELETE FROM ledger_chains")
            for table, rows in zip(("ledger", "ledger_chains"), saved, strict=True):
                marks = ", ".join("?" * len(rows[0]))
                raw.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
            raw.close()
        assert memos.verify_ledger().status == "self-consistent"
    proof("single changes of the ledger, without an anchor", rounds, "all found")


def test_a_tampered_database_is_reported_and_not_trusted() -> None:
    with temporary_memos() as memos:
        assert memos.verify_ledger().events == 1  # the founding grant
        with pytest.raises(MemosError):
            memos.session("user:bob").add("x", space="acme")
        assert memos.verify_ledger().events == 2
