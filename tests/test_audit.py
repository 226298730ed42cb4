"""The audit's verbs: who may ask what, what an answer tells, keys, exports and pruning."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import shutil
import sqlite3
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from memos_core import (
    CallableAnchor,
    DeniedError,
    FolderAnchor,
    IntegrityError,
    InvalidInputError,
    Key,
    LogEntry,
    MemOS,
    NotFoundError,
    Session,
    SignedCheckpoint,
    verify_export,
)
from memos_core.infrastructure.ledger import Keyring
from memos_core.testing import HashingEmbedder, ManualClock
from tests.test_processes import SPAWN


def told(session: Session, **wanted: Any) -> list[tuple[str, str, str]]:
    """Say who did what with which outcome, oldest first; without the asking itself."""
    entries = reversed(session.audit.query(limit=1_000, **wanted).items)
    return [
        (each.principal, each.action.removeprefix("memos."), each.outcome)
        for each in entries
        if each.action != "memos.log"
    ]


# asking


def test_one_sees_ones_own_events_and_those_of_what_one_governs(
    alice: Session, bob: Session, owner: Session
) -> None:
    cube = alice.add("a secret of hers")
    bob.add("his own")
    alice.grant("user:bob", "read", on="user:alice")
    bob.search("secret")
    assert told(alice) == [
        ("user:alice", "add", "allowed"),
        ("user:alice", "grant", "allowed"),
        ("user:bob", "search", "allowed"),
    ]
    assert told(bob) == [("user:bob", "add", "allowed"), ("user:bob", "search", "allowed")]
    assert told(owner) == [("user:owner", "init", "allowed")]
    newest = alice.audit.query(action="search").items[0]
    assert newest.cubes == (cube.id,)  # and not the one that is only bob's
    assert newest.purpose == "assist"


def test_who_governs_the_shared_root_sees_shared_spaces_and_the_vault_but_no_personal_ones(
    alice: Session, bob: Session, owner: Session
) -> None:
    owner.grant("user:bob", "write", on="acme")
    bob.add("for all of acme", space="acme")
    bob.add("for himself")
    bob.search("himself")
    with pytest.raises(DeniedError):
        alice.add("x", space="acme")
    with pytest.raises(DeniedError):
        bob.add("x", space="user:alice")
    with pytest.raises(DeniedError):
        bob.grant("user:bob", "govern", on="*")
    with pytest.raises(DeniedError):
        alice.set_clearance("user:alice", "restricted")
    assert told(owner)[2:] == [
        ("user:bob", "add", "allowed"),
        ("user:alice", "add", "denied"),
        ("user:bob", "grant", "denied"),
        ("user:alice", "clearance", "denied"),
    ]
    assert told(alice) == [
        ("user:alice", "add", "denied"),
        ("user:alice", "clearance", "denied"),
    ]
    # bob tried to write into her space: she governs it, once anything is there that has a name
    alice.add("mine")
    with pytest.raises(DeniedError):
        bob.add("x", space="user:alice")
    assert told(alice, principal="user:bob") == [("user:bob", "add", "denied")]


def test_the_ids_of_an_entry_are_shown_to_who_may_see_them_now(
    alice: Session, bob: Session, owner: Session, clock: ManualClock
) -> None:
    cube = alice.add("a secret", key="diary")
    with pytest.raises(NotFoundError):
        bob.get(cube.id)
    with pytest.raises(NotFoundError):
        bob.get("mem_nothere")
    with pytest.raises(NotFoundError):
        bob.get(Key("diary", "user:alice"))
    entries = bob.audit.query(action="get").items
    assert [(each.outcome, each.subject, dict(each.data)) for each in entries] == [
        ("not_found", None, {})
    ] * 3
    assert [each.subject for each in alice.audit.query(action="get")] == [cube.id] * 2
    grant = alice.grant("user:bob", "read", on="user:alice")
    assert [each.subject for each in bob.audit.query(action="get")] == [cube.id, None, cube.id]
    assert alice.audit.query(action="grant").items[0].subject == grant.id
    assert alice.audit.query(action="grant").items[0].data["to"] == "user:bob"
    assert not bob.audit.query(action="grant").items
    alice.revoke(grant)
    assert {each.subject for each in bob.audit.query(action="get")} == {None}
    brief = bob.add("brief", expires=timedelta(days=1))
    assert bob.audit.query(action="add").items[0].subject == brief.id
    clock.turn(timedelta(days=2))
    assert bob.audit.query(action="add").items[0].subject == brief.id  # he governs its space
    alice.forget(cube.id)
    assert {each.subject for each in alice.audit.query(action="get")} == {None}
    assert told(alice, action="forget") == [("user:alice", "forget", "allowed")]


def test_what_went_unseen_with_something_else_stays_unseen(
    owner: Session, alice: Session, bob: Session
) -> None:
    owner.grant("user:alice", ["read", "write"], on="acme")
    owner.grant("user:bob", ["read", "write"], on="acme")
    source = alice.add("source", space="acme")
    bob.add("derived, and only for bob", space="acme", access={"user:bob"}, parents=(source.id,))
    alice.forget(source.id)
    assert told(alice, action="forget") == [("user:alice", "forget", "allowed")]
    assert len(told(owner, action="forget")) == 2


def test_filters_and_pages_count_what_is_shown(
    memos: MemOS, alice: Session, bob: Session, clock: ManualClock
) -> None:
    cubes = []
    for number in range(5):
        clock.turn(timedelta(hours=1))
        cubes.append(alice.add(f"memory {number}"))
        bob.add(f"hidden {number}")
    noon = clock.now()
    clock.turn(timedelta(hours=1))
    alice.get(cubes[1].id)
    alice.search("memory", k=2)
    assert told(alice, cube=cubes[1].id)[:2] == [
        ("user:alice", "add", "allowed"),
        ("user:alice", "get", "allowed"),
    ]
    assert len(told(alice, until=noon)) == 4
    assert told(alice, since=noon, action="memos.get") == [("user:alice", "get", "allowed")]
    assert told(alice, principal="user:bob") == told(alice, principal="user:unknown") == []
    pages, cursor = [], None
    while True:
        page = alice.audit.query(action="add", limit=2, cursor=cursor)
        pages.append([each.subject for each in page])
        cursor = page.cursor
        if cursor is None:
            break
    ids = [cube.id for cube in reversed(cubes)]
    assert pages == [ids[:2], ids[2:4], ids[4:]]


def test_a_batch_of_one_instant_is_paged_without_loss(alice: Session) -> None:
    cubes = alice.add_many([f"memory {number}" for number in range(7)])
    alice.forget([cube.id for cube in cubes])
    seen, cursor = [], None
    while True:
        page = alice.audit.query(action="forget", limit=2, cursor=cursor)
        seen += [each.id for each in page]
        cursor = page.cursor
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 7


def test_asking_about_a_memory_that_one_may_not_read_answers_like_none(
    alice: Session, bob: Session, owner: Session
) -> None:
    cube = alice.add("a secret")
    for ref in (cube.id, "mem_nothere"):
        with pytest.raises(NotFoundError, match=f"no memory '{ref}' that you may read"):
            bob.audit.query(cube=ref)
    with pytest.raises(NotFoundError):
        owner.audit.query(cube=cube.id)
    owner.grant("user:bob", "write", on="acme")
    hidden = bob.add("not for the owner to read", space="acme", access={"user:bob"})
    assert told(owner, cube=hidden.id) == [("user:bob", "add", "allowed")]
    assert [(e.action, e.outcome) for e in bob.audit.query(action="log")] == [
        ("memos.log", "not_found"),
        ("memos.log", "not_found"),
    ]


def test_a_session_bound_to_a_space_sees_that_space_and_its_own(
    memos: MemOS, owner: Session
) -> None:
    owner.grant("user:bob", "write", on="acme")
    owner.grant("user:bob", "write", on="zeta")
    bob = memos.session("user:bob")
    there = bob.add("for acme", space="acme")
    bob.add("for zeta", space="zeta")
    bound = memos.session("user:owner", space="acme")
    assert told(bound, principal="user:bob") == [("user:bob", "add", "allowed")]
    owner.get_all(space="zeta")
    assert bound.audit.query(action="get_all").items[0].cubes == ()  # her own, but elsewhere
    assert bound.audit.query(action="add").items[0].subject == there.id


def test_another_purpose_and_the_past_see_nothing_more(
    memos: MemOS, alice: Session, owner: Session, clock: ManualClock
) -> None:
    alice.add("x")
    monday = clock.now()
    clock.turn(timedelta(days=1))
    with pytest.raises(DeniedError, match="the past"):
        alice.at(monday).audit.query()
    owner.grant("user:carol", "govern", on="acme", purposes=("audit",))
    owner.add("in acme", space="acme")
    assert told(memos.session("user:carol")) == []
    assert len(told(memos.session("user:carol", purpose="audit"))) == 2


@pytest.mark.parametrize(
    "wanted",
    [
        {"limit": 0}, {"limit": True}, {"limit": 10**9}, {"cursor": "x"}, {"cursor": "YTpi"},
        {"cursor": 7}, {"principal": "alice"}, {"action": 3}, {"action": ""},
        {"since": datetime(2026, 1, 1)},  # noqa: DTZ001 - what is refused
        {"cursor": "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk6ZQ=="},
    ],
)  # fmt: skip
def test_malformed_questions_are_refused(alice: Session, wanted: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        alice.audit.query(**wanted)


def world(folder: Path, *, hidden: bool) -> dict[str, Any]:
    """Let the same happen with and without what alice and carol hide, and ask everybody."""
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    names: dict[str, str] = {}
    with MemOS.open(folder, embedder=HashingEmbedder(), clock=clock) as memos:
        owner, alice, bob = (memos.session(f"user:{n}") for n in ("owner", "alice", "bob"))
        carol = memos.session("user:carol")
        for who in ("bob", "carol"):
            owner.grant(f"user:{who}", ["read", "write"], on="acme")
        if hidden:
            names[alice.add("private boat", key="diary").id] = "?"
            alice.grant("user:carol", "read", on="user:alice")
            names[
                carol.add("secret boat", space="user:carol", key="plan").id
            ] = "?"  # fmt: skip
            carol.search("boat")
            carol.get(Key("diary", "user:alice"))
        clock.turn(timedelta(seconds=1))
        names[bob.add("a shared boat", space="acme").id] = "shared"
        carol.search("boat")
        for ref in (Key("diary", "user:alice"), Key("plan", "user:carol")):
            for call in (bob.get, bob.history, bob.forget, lambda r: bob.audit.query(cube=r)):
                with pytest.raises(NotFoundError):
                    call(ref)
        with pytest.raises(DeniedError):
            bob.add("x", space="user:alice")
        bob.search("boat")
        names[bob.add("again", space="acme").id] = "again"

        def plain(entry: LogEntry) -> Any:
            shown = replace(
                entry,
                id="",
                time=entry.time.replace(microsecond=0),
                subject=names.get(str(entry.subject), entry.subject and entry.subject[:4]),
                cubes=tuple(names[each] for each in entry.cubes),
            )
            return repr(shown)

        answers: dict[str, Any] = {}
        for session in (bob, owner, memos.session("user:bob", space="acme")):
            page = session.audit.query(limit=3)
            answers[repr(session)] = [
                [plain(entry) for entry in session.audit.query()],
                [plain(entry) for entry in session.audit.query(cursor=page.cursor)],
                [plain(entry) for entry in session.audit.query(principal="user:carol")],
                [plain(entry) for entry in session.audit.query(action="search")],
            ]
        return answers


def test_what_the_asker_may_not_see_moves_nothing_in_the_answer(tmp_path: Path) -> None:
    with_it, without = (
        world(tmp_path / name, hidden=name == "with") for name in ("with", "without")
    )
    assert with_it == without
    assert any("shared" in line for line in with_it["Session('user:owner', space='user:owner', "
                                                    "purpose='assist')"][0])  # fmt: skip


# who may use the other verbs

VERBS: dict[str, Callable[[Session, Path], object]] = {
    "checkpoint": lambda s, _: s.audit.checkpoint(),
    "key.rotate": lambda s, _: s.audit.rotate_key(),
    "prune": lambda s, _: s.audit.prune(before_checkpoint=1),
    "export": lambda s, path: s.audit.export(path / "ledger.jsonl"),
}


@pytest.mark.parametrize("verb", list(VERBS))
def test_only_who_governs_the_shared_root_may_and_a_refusal_is_in_the_log(
    memos: MemOS, alice: Session, owner: Session, tmp_path: Path, verb: str
) -> None:
    call = VERBS[verb]
    owner.audit.checkpoint()
    alice.add("x")
    owner.grant("user:alice", ["read", "write", "derive", "share"], on="*")
    bound = memos.session("user:owner", space="acme")
    for session in (alice, bound, owner.at(memos._vault.clock.now())):
        with pytest.raises(DeniedError):
            call(session, tmp_path)
    assert not (tmp_path / "ledger.jsonl").exists()
    call(owner, tmp_path)
    assert told(owner, action=verb)[-4:] == [
        ("user:alice", verb, "denied"),
        ("user:owner", verb, "denied"),
        ("user:owner", verb, "denied"),
        ("user:owner", verb, "allowed"),
    ]
    assert memos.verify_ledger().problems == ()


# keys


def test_the_private_key_is_a_file_for_its_owner_only_and_nowhere_else(
    memos: MemOS, folder: Path, owner: Session
) -> None:
    owner.audit.rotate_key()
    files = sorted((folder / "keys").iterdir())
    assert len(files) == 2
    assert stat.S_IMODE((folder / "keys").stat().st_mode) == 0o700
    assert all(stat.S_IMODE(each.stat().st_mode) == 0o600 for each in files)
    assert memos.diagnose().problems == ()
    memos.close()
    for each in files:
        body = each.read_text().splitlines()[1].encode()
        assert not any(body in path.read_bytes() for path in folder.glob("vault.db*"))
    files[0].chmod(0o644)
    with MemOS.open(folder) as memos:
        assert any("chmod 600" in line for line in memos.diagnose().problems)


def test_signatures_hold_for_their_key_their_context_and_their_data(
    memos: MemOS, owner: Session
) -> None:
    keyring: Keyring = memos._keyring
    with memos._vault.read() as tx:
        signature = keyring.sign(tx, b"data")
        assert keyring.verify(tx, b"data", signature)
        assert not keyring.verify(tx, b"date", signature)
        assert not keyring.verify(tx, b"data", signature, context="memos-checkpoint/1")
        for other in ("", "x", ":", "key_x:AAAA", signature[:-8], signature.split(":")[0] + ":é"):
            assert not keyring.verify(tx, b"data", other)
    owner.audit.rotate_key()
    with memos._vault.read() as tx:
        assert keyring.verify(tx, b"data", signature)  # retired is not revoked
        assert keyring.sign(tx, b"data").split(":")[0] != signature.split(":")[0]
        newer = keyring.sign(tx, b"data")
    owner.audit.rotate_key(revoke=True, reason="it leaked")
    with memos._vault.read() as tx:
        assert keyring.verify(tx, b"data", signature)
        assert not keyring.verify(tx, b"data", newer)
    assert owner.audit.query(action="key.rotate").items[0].data["reason"] == "it leaked"


def open_at_once(folder: str, barrier: Barrier) -> None:
    barrier.wait(30)
    MemOS.open(folder, embedder=HashingEmbedder()).close()


def test_processes_that_open_a_new_vault_at_once_make_one_key(folder: Path) -> None:
    barrier = SPAWN.Barrier(4)
    running = [SPAWN.Process(target=open_at_once, args=(str(folder), barrier)) for _ in range(4)]
    for each in running:
        each.start()
    for each in running:
        each.join()
    assert [each.exitcode for each in running] == [0] * 4
    assert len(list((folder / "keys").iterdir())) == 1
    with MemOS.open(folder) as memos:
        assert memos.verify_ledger().events == 1
        assert memos.diagnose().problems == ()


def test_a_vault_that_was_made_before_there_were_keys_gets_one(folder: Path) -> None:
    MemOS.open(folder, embedder=HashingEmbedder()).close()
    shutil.rmtree(folder / "keys")
    with sqlite3.connect(folder / "vault.db") as raw:
        raw.execute("DELETE FROM signing_keys")
    raw.close()
    with MemOS.open(folder) as memos:
        owner = memos.session("user:owner")
        assert told(owner)[-1] == ("app:memos", "key.create", "allowed")
        owner.audit.checkpoint()
        assert memos.verify_ledger().problems == ()


def test_a_missing_private_key_says_what_to_do_and_its_successor_needs_to_be_told(
    folder: Path,
) -> None:
    kept: list[SignedCheckpoint] = []
    anchors = [CallableAnchor(kept.append, lambda: list(kept))]
    with MemOS.open(folder, embedder=HashingEmbedder(), anchors=anchors) as memos:
        memos.session("user:owner").audit.checkpoint()
        (file,) = (folder / "keys").iterdir()
    file.rename(folder.parent / "lost.pem")
    with MemOS.open(folder, embedder=HashingEmbedder(), anchors=anchors) as memos:
        owner = memos.session("user:owner")
        owner.search("something happens")
        with pytest.raises(IntegrityError, match=r"restore the vault's keys/.*rotate-key"):
            owner.audit.checkpoint()
        assert any("is not there" in line for line in memos.diagnose().problems)
        made = owner.audit.rotate_key(reason="lost")
        assert made.endorsement is None
        found = memos.verify_ledger()
        assert found.status == "broken"
        assert any(f"trusted key {made.public}" in line for line in found.problems)
        assert memos.verify_ledger(trusted_key=made.public).status == "untampered"
        assert memos.verify_ledger(anchors=[]).status == "self-consistent"
        assert any("not endorsed" in line for line in memos.verify_ledger(anchors=[]).notes)
        first = kept[0].statement.keys[0].public
        assert memos.verify_ledger(trusted_key=first).status == "broken"
        with pytest.raises(InvalidInputError, match="64 hex digits"):
            memos.verify_ledger(trusted_key="mine")


def test_trust_follows_endorsements_from_the_first_key(folder: Path) -> None:
    kept: list[SignedCheckpoint] = []
    anchors = [CallableAnchor(kept.append, lambda: list(kept))]
    with MemOS.open(folder, embedder=HashingEmbedder(), anchors=anchors) as memos:
        owner = memos.session("user:owner")
        owner.audit.checkpoint()
        keys = [owner.audit.rotate_key(revoke=number == 1) for number in range(3)]
        publics = [kept[0].statement.keys[0].public, *(key.public for key in keys)]
        assert memos.verify_ledger().checkpoint == 4
        for public in publics:
            assert memos.verify_ledger(trusted_key=public.upper()).status == "untampered"
        found = memos.verify_ledger(trusted_key="0" * 64)
        assert found.status == "broken"
        assert "no checkpoint is signed by the trusted key or by one it endorses" in found.problems


def test_what_a_revoked_key_signs_later_is_not_believed(folder: Path) -> None:
    kept: list[SignedCheckpoint] = []
    anchors = [CallableAnchor(kept.append, lambda: list(kept))]
    with MemOS.open(folder, embedder=HashingEmbedder(), anchors=anchors) as memos:
        owner = memos.session("user:owner")
        owner.audit.checkpoint()
        (leaked,) = (folder / "keys").iterdir()
        private: Any = load_pem_private_key(leaked.read_bytes(), None)
        owner.audit.rotate_key(revoke=True)
        body = json.loads(kept[-1].body)
        body |= {"number": 3, "previous": hashlib.sha256(kept[-1].body.encode()).hexdigest()}
        body["key"] = leaked.stem
        data = rfc8785.dumps(body)
        signature = base64.b64encode(private.sign(b"memos-checkpoint/1\0" + data)).decode()
        with sqlite3.connect(folder / "vault.db") as raw:
            row = (3, data.decode(), leaked.stem, signature)
            raw.execute("INSERT INTO checkpoints VALUES (?, ?, ?, ?)", row)
        raw.close()
        kept.append(SignedCheckpoint(data.decode(), f"{leaked.stem}:{signature}"))
        found = memos.verify_ledger()
        assert found.status == "broken"
        assert any("was revoked before" in line for line in found.problems)
        with sqlite3.connect(folder / "vault.db") as raw:
            raw.execute("DELETE FROM checkpoints WHERE number = 3")
        raw.close()
        kept.pop()


# pruning


def test_pruned_events_are_counted_and_what_is_left_still_shows_tampering(
    folder: Path, clock: ManualClock
) -> None:
    place = folder.parent / "anchor"

    def opened() -> MemOS:
        anchors = [FolderAnchor(place)]
        return MemOS.open(folder, embedder=HashingEmbedder(), clock=clock, anchors=anchors)

    with opened() as memos:
        owner, alice = memos.session("user:owner"), memos.session("user:alice")
        for number in range(3):
            alice.add(f"memory {number}")
            owner.audit.checkpoint()
            clock.turn(timedelta(days=30))
        before = memos.verify_ledger()
        assert owner.audit.prune(older_than=timedelta(days=365)).checkpoint is None
        report = owner.audit.prune(older_than=timedelta(days=59))
        assert (report.events, report.checkpoint) == (5, 2)
        assert owner.audit.prune(before_checkpoint=1).checkpoint is None
        found = memos.verify_ledger()
        assert (found.status, found.checkpoint, found.pruned) == ("untampered", 4, 5)
        assert found.events == before.events - 5 + 1
        assert any("checkpoints up to 1 lie before" in note for note in found.notes)
        assert owner.audit.prune(before_checkpoint=4).checkpoint == 4
        alice.add("life goes on")
        assert memos.verify_ledger().status == "untampered"
        with pytest.raises(NotFoundError, match="the newest is 5"):
            owner.audit.prune(before_checkpoint=9)
        for wrong in ({}, {"before_checkpoint": 1, "older_than": timedelta()},
                      {"before_checkpoint": True}, {"older_than": -timedelta(days=1)}):  # fmt: skip
            with pytest.raises(InvalidInputError):
                owner.audit.prune(**wrong)  # type: ignore[arg-type]
    with sqlite3.connect(folder / "vault.db") as raw:
        raw.execute("UPDATE ledger SET outcome = 'denied' WHERE type = 'memos.add'")
    raw.close()
    with opened() as memos:
        assert memos.verify_ledger().status == "broken"
        owner = memos.session("user:owner")
        owner.audit.checkpoint()
        with pytest.raises(IntegrityError, match="nothing was pruned"):
            owner.audit.prune(before_checkpoint=6)


def test_pruning_waits_for_the_anchor(folder: Path) -> None:
    def publish(signed: SignedCheckpoint) -> None:
        raise ConnectionError("the anchor is down")

    MemOS.open(folder, embedder=HashingEmbedder()).close()
    with MemOS.open(folder) as memos:
        memos.session("user:owner").audit.checkpoint()
    memos = MemOS.open(folder, anchors=[CallableAnchor(publish)])
    with pytest.raises(Exception, match="is down"):
        memos.session("user:owner").audit.prune(before_checkpoint=1)
    assert memos.verify_ledger(anchors=[]).pruned == 0
    with pytest.warns(UserWarning, match="is down"):
        memos.close()


# exports


def exported(memos: MemOS, path: Path) -> str:
    owner = memos.session("user:owner")
    for number in range(4):
        memos.session(f"user:u{number}").add(f"canary {number}")
        owner.audit.checkpoint()
    owner.audit.rotate_key()
    owner.audit.prune(before_checkpoint=2)
    report = owner.audit.export(path)
    assert report.events > 4
    return report.public_key


def test_an_export_is_verified_without_the_vault(
    memos: MemOS, owner: Session, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.jsonl"
    key = exported(memos, path)
    text = path.read_text()
    assert "canary" not in text
    assert "user:" not in text
    with pytest.raises(InvalidInputError, match="there already"):
        owner.audit.export(path)
    with pytest.raises(InvalidInputError, match="no folder"):
        owner.audit.export(tmp_path / "no" / "ledger.jsonl")
    assert path.read_text() == text
    assert list(tmp_path.glob(".*part")) == []
    memos.close()
    shutil.rmtree(folder)
    found = verify_export(path, trusted_key=key)
    assert (found.status, found.after, found.problems) == ("untampered", 0, ())
    assert found.pruned > 0
    assert verify_export(path).status == "self-consistent"
    assert verify_export(path, trusted_key="0" * 64).status == "broken"
    with pytest.raises(InvalidInputError):
        verify_export(tmp_path / "nothing")


def test_tampering_with_an_export_shows(
    memos: MemOS, tmp_path: Path, scaled: Callable[[int, int], int]
) -> None:
    path, forged = tmp_path / "ledger.jsonl", tmp_path / "forged.jsonl"
    key = exported(memos, path)
    clean = path.read_text().splitlines(keepends=True)
    assert verify_export(path, trusted_key=key).status == "untampered"
    last = max(i for i, line in enumerate(clean) if '"body"' in line[:120])
    rng = random.Random(0)
    for _ in range(scaled(100, 2_000)):
        lines = list(clean)
        at = rng.randrange(len(lines))
        kind = rng.choice(["flip", "delete", "swap", "double", "cut"])
        if kind == "flip":
            line = lines[at]
            place = rng.randrange(len(line) - 1)
            lines[at] = line[:place] + chr(ord(line[place]) ^ 1) + line[place + 1 :]
            if json_or_none(lines[at]) == json_or_none(line):
                continue
        elif kind == "delete":
            if at == len(lines) - 1:
                continue  # the export of a moment earlier, but for its events: see `cut`
            del lines[at]
        elif kind == "swap":
            other = rng.randrange(len(lines))
            if other == at:
                continue
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == "double":
            lines.insert(at, lines[at])
        else:
            lines = lines[: max(1, min(at, last))]
        forged.write_text("".join(lines))
        found = verify_export(forged, trusted_key=key)
        assert found.status == "broken", (kind, at)


def json_or_none(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def test_pruning_can_write_an_export_first(memos: MemOS, owner: Session, tmp_path: Path) -> None:
    owner.audit.checkpoint()
    path = tmp_path / "before.jsonl"
    report = owner.audit.prune(before_checkpoint=1, export_to=path)
    assert report.events == 2
    assert verify_export(path).events == 3  # with the export's own event
    assert memos.verify_ledger().problems == ()
