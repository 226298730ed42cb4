"""Attacks on time and forgetting: what a reviewer found once, and what must not come back."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from memos_core import (
    AnchorError,
    CallableAnchor,
    Draft,
    IntegrityError,
    InvalidInputError,
    MemOS,
    NotFoundError,
    Patch,
    Sensitivity,
    Session,
)
from memos_core.clock import to_micros
from memos_core.infrastructure.backup.archive import pack, unpack
from memos_core.infrastructure.backup.envelope import Opener, Sealer
from memos_core.infrastructure.index import follower
from memos_core.infrastructure.vault import schema, scratch
from memos_core.testing import HashingEmbedder, ManualClock
from tests.test_backup import ACCEPTED, Place


@pytest.fixture
def place(tmp_path: Path, clock: ManualClock) -> Place:
    return Place(tmp_path, clock)


# -- the ledger of a restored vault ----------------------------------------------------------------


def forge_a_restoration(folder: Path) -> None:
    """Cut the ledger to its first checkpoint, and sign with a key of one's own that it was so."""
    db = sqlite3.connect(folder / "vault.db", isolation_level=None)
    rows = db.execute("SELECT number, body FROM checkpoints ORDER BY number").fetchall()
    first, last = json.loads(rows[0][1]), json.loads(rows[-1][1])
    for head in first["heads"]:
        then = to_micros(datetime.fromisoformat(head["time"])) if head["time"] else 0
        place = (head["seq"], head["hash"], then, head["chain"])
        db.execute("DELETE FROM ledger WHERE chain = ? AND seq > ?", (head["chain"], head["seq"]))
        db.execute("UPDATE ledger_chains SET seq=?, head=?, last_time=? WHERE chain=?", place)
    private = Ed25519PrivateKey.generate()
    public, key_id, when = (
        private.public_key().public_bytes_raw().hex(),
        "key_" + "a" * 20,
        last["time"],
    )
    keys = [*last["keys"]]
    keys[-1] |= {"retired": when}
    keys.append(keys[0] | {"id": key_id, "number": len(keys) + 1, "public": public,
                           "created": when, "retired": None, "endorsement": None})  # fmt: skip
    now = to_micros(datetime.fromisoformat(when))
    db.execute("UPDATE signing_keys SET retired = ? WHERE id = ?", (now, keys[-2]["id"]))
    columns = "INSERT INTO signing_keys (id, number, public, created) VALUES (?, ?, ?, ?)"
    db.execute(columns, (key_id, len(keys), public, now))
    body = last | {
        "number": last["number"] + 1,
        "heads": first["heads"],
        "previous": hashlib.sha256(rows[-1][1].encode()).hexdigest(),
        "key": key_id,
        "keys": keys,
        "withdrawn": [],
        "restored_from": 1,
    }
    text = rfc8785.dumps(body)
    signature = base64.b64encode(private.sign(b"memos-checkpoint/1\0" + text)).decode()
    row = (body["number"], text.decode(), key_id, signature)
    db.execute("INSERT INTO checkpoints VALUES (?, ?, ?, ?)", row)
    db.close()


def test_a_restoration_that_no_trusted_key_signed_disowns_nothing(place: Place) -> None:
    with place.open() as memos:
        owner = memos.session("user:owner")
        owner.audit.checkpoint()
        for number in range(3):
            owner.add(f"note {number}")
            owner.audit.checkpoint()
        assert memos.verify_ledger().status == "untampered"
    forge_a_restoration(place.root / "vault")
    with place.open(anchored=False) as memos:
        found = memos.verify_ledger(anchors=[place.anchor])
    assert found.status == "broken"
    assert any("was cut off" in each for each in found.problems)


def test_what_a_restoration_disowned_is_not_pruned_to(place: Place, clock: ManualClock) -> None:
    with place.open() as memos:
        owner = memos.session("user:owner")
        owner.add("one")
        place.backup(memos)
        clock.turn(timedelta(days=1))
        owner.add("two")
        owner.audit.checkpoint()
    clock.turn(timedelta(days=40))
    with place.restore() as memos:
        owner = memos.session("user:owner")
        owner.add("three")
        owner.audit.checkpoint()
        with pytest.raises(NotFoundError, match="lost when a backup was restored"):
            owner.audit.prune(before_checkpoint=2)
        assert owner.audit.prune(older_than=timedelta(days=30)).checkpoint == 1
        assert memos.verify_ledger().problems == ()


def test_a_backup_older_than_a_change_of_keys_is_restored_and_can_be_again(place: Place) -> None:
    with place.open() as memos:
        owner = memos.session("user:owner")
        gone = owner.add("gone later")
        place.backup(memos)
        owner.audit.rotate_key(reason="planned")
        owner.forget(gone.id)
    with place.restore() as memos:
        assert memos.verify_ledger().status == "untampered", "the backup's key endorses the new one"
        (place.root / "backup").unlink()
        place.backup(memos)
        memos.session("user:owner").add("more")
    with place.restore("again") as memos:
        assert memos.verify_ledger().problems == ()
        assert memos.session("user:owner").search("gone later").texts == []


def test_a_restore_that_fails_at_the_end_leaves_the_living_vault_alone(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.open() as memos:
        memos.session("user:alice").add("alive")
        place.backup(memos)
    target, before = place.root / "restored", len(place.anchor.published())
    whole = MemOS.maintain

    def meanwhile(memos: MemOS) -> Any:
        target.mkdir(exist_ok=True)
        (target / "somebody's").touch()
        return whole(memos)

    monkeypatch.setattr(MemOS, "maintain", meanwhile)
    with pytest.raises(Exception, match="cannot be written"):
        place.restore()
    monkeypatch.undo()
    assert len(place.anchor.published()) == before
    with place.open() as memos:
        assert memos.verify_ledger().problems == ()


# -- what is carried out again ---------------------------------------------------------------------


def test_a_narrowed_memory_stays_narrow_whatever_is_changed_later(place: Place) -> None:
    with place.open() as memos:
        owner, alice = memos.session("user:owner"), memos.session("user:alice")
        bob, dave = memos.session("user:bob"), memos.session("user:dave")
        owner.grant("user:bob", "read", on="acme", purposes=("assist", "support"))
        owner.set_clearance("user:bob", "restricted")
        owner.set_clearance("user:owner", "restricted")
        alice.grant("user:dave", "read", on="user:alice")
        secret = owner.add("plan A", space="acme", sensitivity="restricted")
        purposeful = owner.add("plan B", space="acme")
        diary = alice.add("my diary")
        assert len(bob.get_all()) == 2
        assert len(dave.get_all()) == 1
        place.backup(memos)
        owner.update(secret.id, Patch(access=frozenset({"user:owner"})))
        owner.update(purposeful.id, Patch(purposes=frozenset({"support"})))
        alice.update(diary.id, Patch(access=frozenset({"user:alice"})))
        owner.audit.checkpoint()
    with place.restore() as memos:
        owner, alice = memos.session("user:owner"), memos.session("user:alice")
        bob, dave = memos.session("user:bob"), memos.session("user:dave")
        assert bob.get_all().items == dave.get_all().items == ()
        assert [c.text for c in memos.session("user:bob", purpose="support").get_all()] == [
            "plan B"
        ]
        alice.update(diary.id, Patch(tags=frozenset({"mine"})))
        owner.update(secret.id, "plan A, changed")
        assert bob.get_all().items == dave.get_all().items == ()
        assert owner.get(secret.id).meta.access == ("user:owner",)
        assert [each.action for each in alice.history(diary.id)] == ["add", "restore", "update"]
        assert memos.verify_signature(alice.get(diary.id))


def test_a_field_that_was_raised_after_the_backup_stays_hidden(place: Place) -> None:
    with place.open() as memos:
        alice, bob = memos.session("user:alice"), memos.session("user:bob")
        alice.grant("user:bob", "read", on="user:alice")
        fields = {"ssn": Sensitivity.RESTRICTED}
        cube = alice.add({"ssn": "SSN-1", "pay": "PAY-9"}, field_sensitivity=fields)
        assert bob.get(cube.id).content["pay"] == "PAY-9"  # type: ignore[call-overload,index]
        place.backup(memos)
        alice.update(cube.id, Patch(field_sensitivity=fields | {"pay": Sensitivity.RESTRICTED}))
        alice_saw = bob.get(cube.id).content
        assert "PAY-9" not in str(alice_saw)
        memos.session("user:owner").audit.checkpoint()
    with place.restore() as memos:
        assert "PAY-9" not in str(memos.session("user:bob").get_all().items)


def test_ends_and_holds_are_carried_out_as_they_were_last_told(
    place: Place, clock: ManualClock
) -> None:
    with place.open() as memos:
        owner = memos.session("user:owner")
        longer, held = owner.add("lengthened"), owner.add("held", space="acme")
        free = owner.add("free again", space="acme/free")
        place.backup(memos)
        owner.update(longer.id, Patch(expires=timedelta(seconds=1)))
        owner.update(longer.id, Patch(expires=timedelta(days=900)))
        owner.governance.hold("acme", reason="a law suit")
        owner.governance.lift(owner.governance.hold(free.id))
    clock.turn(timedelta(days=1))
    with place.restore() as memos:
        owner = memos.session("user:owner")
        assert owner.get(longer.id).text == "lengthened"
        for cube in (held, free):
            with pytest.raises(Exception, match="retention hold"):
                owner.forget(cube.id)


def test_an_anchor_that_cannot_be_asked_stops_a_restore(place: Place) -> None:
    def down() -> Any:
        raise AnchorError("the host is down")

    with place.open() as memos:
        place.backup(memos)
    other = CallableAnchor(lambda _signed: None, down)
    with pytest.raises(InvalidInputError, match="the host is down"):
        place.restore(anchors=[place.anchor, other])
    options = {"anchors": [place.anchor, other], "without_anchor": ACCEPTED, "clock": place.clock}
    report = MemOS.restore(place.root / "backup", place.root / "restored", **options)  # type: ignore[arg-type]
    assert "the host is down" in report.notes[0]


@pytest.mark.parametrize("evil", ["trigger", "view", "table", "number"])
def test_a_backup_with_parts_that_no_vault_has_is_refused(place: Place, evil: str) -> None:
    with place.open() as memos:
        alice = memos.session("user:alice")
        cube = alice.add("the secret")
        place.backup(memos)
        alice.forget(cube.id)
    unpacked = place.root / "unpacked"
    unpacked.mkdir()
    with (place.root / "backup").open("rb") as stream:
        opener = Opener(stream, None)
        unpack(opener, unpacked, lambda _done, _total: None, 0)
    db = sqlite3.connect(unpacked / "vault.db", isolation_level=None)
    row: dict[str, Any] = {"number": 10**6, "kind": "forget", "body": '{"cubes": []}'}
    values = (*row.values(), schema.sealed(schema.withdrawals, row))
    {
        "trigger": lambda: db.execute("CREATE TRIGGER evil AFTER INSERT ON versions BEGIN DELETE "
                                      "FROM grants; END"),
        "view": lambda: db.execute("CREATE VIEW evil AS SELECT * FROM versions"),
        "table": lambda: db.execute("CREATE TABLE evil (a)"),
        "number": lambda: db.execute("INSERT INTO withdrawals VALUES (?, ?, ?, ?)", values),
    }[evil]()  # fmt: skip
    db.close()
    (place.root / "backup").unlink()
    with (place.root / "backup").open("wb") as out:
        header = {k: v for k, v in opener.header.items() if k != "encryption"}
        members = [("vault.db", unpacked / "vault.db")]
        members += [(f"keys/{each.name}", each) for each in (unpacked / "keys").iterdir()]
        pack(Sealer(out, header, None, bytes(32)), members, lambda _done, _total: None)
    shutil.rmtree(unpacked)
    with pytest.raises(IntegrityError):
        place.restore()
    assert not (place.root / "restored").exists()


def test_a_backup_goes_nowhere_within_the_vault(place: Place) -> None:
    with place.open() as memos, pytest.raises(InvalidInputError, match="within the vault"):
        memos.session("user:owner").governance.backup(place.root / "vault" / "backup")


# -- erased means erased ---------------------------------------------------------------------------


def test_a_load_that_failed_holds_nothing(
    memos: MemOS, alice: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    cube = alice.add("the secret")

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(follower, "stream_realm", interrupted)
    with pytest.raises(KeyboardInterrupt):
        alice.search("secret")
    monkeypatch.undo()
    assert alice.forget(cube.id).status == "erased"


def test_an_idle_child_of_a_fork_holds_nothing_and_keeps_no_parent_alive(folder: Path) -> None:
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        alice = memos.session("user:alice")
        cube = alice.add("the code is zqkanarie")
        alice.search("code")
        (read, write), (again, told) = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:  # pragma: no cover - another process
            os.read(read, 1)
            pages = memos._engine.recall._follower._cache._pages()
            os.write(told, str(len(pages)).encode())
            os._exit(0)
        assert alice.forget(cube.id).status == "erased"
        os.write(write, b"x")
        assert os.read(again, 9) == b"0"
        os.waitpid(child, 0)


def test_a_dead_parent_of_an_idle_child_holds_nothing(folder: Path) -> None:
    ready, done = os.pipe()
    parent = os.fork()
    if parent == 0:  # pragma: no cover - another process
        memos = MemOS.open(folder, embedder=HashingEmbedder())
        alice = memos.session("user:alice")
        alice.add("the code is zqkanarie")
        alice.search("code")
        if os.fork() == 0:
            time.sleep(3)
            os._exit(0)
        os.write(done, b"x")
        os._exit(0)
    os.read(ready, 1)
    os.waitpid(parent, 0)
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        alice = memos.session("user:alice")
        assert alice.forget(alice.get_all().items[0].id).status == "erased"


def test_a_closed_vault_writes_into_no_file_that_was_opened_since(
    folder: Path, tmp_path: Path
) -> None:
    memos = MemOS.open(folder, embedder=HashingEmbedder())
    alice = memos.session("user:alice")
    alice.add("x")
    held = memos._vault.presence._descriptor
    memos.close()
    other = os.open(tmp_path / "another's", os.O_RDWR | os.O_CREAT)
    assert other == held, "the system gives the lowest free number again"
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        os._exit(0 if os.write(other, b"mine") == 4 else 1)
    assert os.waitpid(child, 0)[1] == 0, "the child kept its descriptor"
    assert alice.search("x").texts == ["x"]
    os.close(other)
    assert (tmp_path / "another's").read_bytes() == b"mine"


def test_a_search_of_the_past_holds_its_pages_until_it_is_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        alice = memos.session("user:alice")
        cube = alice.add("the code is zqkanarie")
        then = alice.snapshots.take("then").when
        recall = memos._engine.recall
        rank, told = recall._rank, []

        def slow(*args: Any) -> Any:
            if not told:
                with MemOS.open(folder, embedder=HashingEmbedder()) as other:
                    told.append(other.session("user:alice").forget(cube.id))
            return rank(*args)

        monkeypatch.setattr(recall, "_rank", slow)
        assert alice.at(then).search("code").texts == []
        assert told[0].status == "pending"
        assert alice.audit.erasure(told[0]).status == "erased"


def test_a_working_copy_that_was_swept_before_it_was_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, swept = scratch.fcntl.flock, []

    def late(descriptor: int, how: int) -> None:
        if not swept:
            swept.append(scratch.fcntl.flock)
            monkeypatch.setattr(scratch.fcntl, "flock", real)
            scratch.sweep(tmp_path)
        real(descriptor, how)

    monkeypatch.setattr(scratch.fcntl, "flock", late)
    with scratch.scratch_file(tmp_path, "one") as path:
        assert path.exists()
        assert scratch.sweep(tmp_path), "it is in use"
        assert path.exists()
    assert list(tmp_path.iterdir()) == []


def test_the_end_of_a_hidden_memory_is_nobodys_event(
    memos: MemOS, alice: Session, bob: Session, clock: ManualClock
) -> None:
    owner = memos.session("user:owner")
    owner.grant("user:bob", ["read", "write"], on="acme")
    owner.set_clearance("user:owner", "restricted")
    fields: dict[str, Any] = {"sensitivity": "restricted", "expires": timedelta(hours=1)}
    owner.add("hidden", space="acme", key="k", **fields)
    clock.turn(timedelta(days=1))
    logs: list[list[str]] = []
    actions: tuple[Callable[[], object], ...] = (
        lambda: bob.add(Draft("one", space="acme", key="k")),
        lambda: bob.add(Draft("two", space="acme", key="free")),
    )
    for act in actions:
        seen = len(bob.audit.query(limit=1_000))
        act()
        memos.maintain()
        logs.append([each.action for each in bob.audit.query(limit=1_000)][: -seen - 1 or None])
    assert logs[0][:1] == logs[1][:1] == ["memos.add"]
    assert "memos.erase" not in str(logs)
