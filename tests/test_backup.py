"""Backups: taken while others work, restored with what was taken back since, or not at all."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from memos_core import (
    AnchorError,
    BackupReport,
    CallableAnchor,
    ConflictError,
    DeniedError,
    Draft,
    FolderAnchor,
    IntegrityError,
    InvalidInputError,
    MemOS,
    MemosError,
    NotFoundError,
    Patch,
    Sensitivity,
    Settings,
    SignedCheckpoint,
    Trust,
)
from memos_core.testing import HashingEmbedder, ManualClock
from tests.conftest import Proof
from tests.processes import others
from tests.test_erasure import Canaries, holding

ACCEPTED = "what was forgotten or revoked since may come back"
KEYS: list[str | bytes | None] = [None, "a long passphrase", bytes(range(32))]


class Place:
    """A vault with an anchor, and room for backups beside it."""

    def __init__(self, root: Path, clock: ManualClock | None = None) -> None:
        self.root = root
        self.anchor = FolderAnchor(root / "anchor")
        self.clock = clock

    def open(self, name: str = "vault", *, anchored: bool = True) -> MemOS:
        return MemOS.open(
            self.root / name,
            embedder=HashingEmbedder(),
            clock=self.clock,
            anchors=[self.anchor] if anchored else (),
            settings=Settings(durable_effects=False),
        )

    def backup(self, memos: MemOS, key: str | bytes | None = None) -> BackupReport:
        return memos.session("user:owner").governance.backup(self.root / "backup", key=key)

    def restore(self, name: str = "restored", **options: object) -> MemOS:
        options = {"anchors": [self.anchor], "clock": self.clock} | options
        MemOS.restore(self.root / "backup", self.root / name, **options)  # type: ignore[arg-type]
        return self.open(name)


@pytest.fixture
def place(tmp_path: Path, clock: ManualClock) -> Place:
    return Place(tmp_path, clock)


def leftovers(place: Place) -> list[str]:
    known = {"vault", "anchor", "backup", "restored"}
    inside = [p.name for p in (place.root / "vault").glob("scratch-*")]
    return [p.name for p in place.root.iterdir() if p.name not in known] + inside


@pytest.mark.parametrize("key", KEYS, ids=["open", "passphrase", "bytes"])
def test_what_is_restored_is_what_was_there(place: Place, key: str | bytes | None) -> None:
    with place.open() as memos:
        alice, bob = memos.session("user:alice"), memos.session("user:bob")
        cube = alice.add("first words", key="k", tags={"t"}, metadata={"n": 1})
        alice.update(cube.id, "second words", reason="better")
        alice.add({"pay": 7}, field_sensitivity={"pay": "confidential"})
        alice.grant("user:bob", "read", on="user:alice")
        seen = (
            [each.to_dict() for each in alice.get_all()],
            [each.to_dict() for each in bob.get_all()],
            [each.cube.to_dict() for each in alice.history(cube.id)],
            alice.search("words").texts,
        )
        report = place.backup(memos, key)
        assert (report.encrypted, report.anchors) == (key is not None, (place.anchor.name,))
    with place.restore(key=key) as memos:
        alice, bob = memos.session("user:alice"), memos.session("user:bob")
        assert seen == (
            [each.to_dict() for each in alice.get_all()],
            [each.to_dict() for each in bob.get_all()],
            [each.cube.to_dict() for each in alice.history(cube.id)],
            alice.search("words").texts,
        )
        assert memos.verify_signature(alice.get(cube.id))
        assert memos.diagnose().problems == ()
        assert memos.verify_ledger().status == "untampered"
        alice.add("life goes on")
    assert leftovers(place) == []
    assert (place.root / "backup").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("key", KEYS[:2], ids=["open", "passphrase"])
def test_what_was_forgotten_after_a_backup_is_gone_before_the_first_session(
    place: Place, key: str | None, proof: Proof
) -> None:
    with place.open() as memos:
        alice = memos.session("user:alice")
        alice.add("something else")
        canaries = Canaries(alice, "b")
        needles = [each.encode() for each in canaries.texts]
        place.backup(memos, key)
        held = [bool(files) for files in holding(place.root, needles)]
        assert all(held)
        report = alice.forget(canaries.first.id)
        assert report.status == "erased"
        assert "backups up to" in report.notes[0]
        assert memos.session("user:alice").forget(alice.add("later").id).notes
    in_file = holding_file(place, needles)
    assert in_file == (0 if key else len(needles))
    MemOS.restore(place.root / "backup", place.root / "restored", key=key, anchors=[place.anchor])
    assert not any(holding(place.root / "restored", needles)), "before any session"
    with place.open("restored") as memos:
        alice = memos.session("user:alice")
        assert alice.search("kanarie").texts == ["something else"]
        for cube_id in canaries.ids:
            with pytest.raises(NotFoundError):
                alice.get(cube_id)
        assert memos.verify_ledger().status == "untampered"
    proof("canaries forgotten after a backup, restored", len(needles), "0 found")


def holding_file(place: Place, needles: list[bytes]) -> int:
    """Count the canaries in the backup itself."""
    data = (place.root / "backup").read_bytes()
    return sum(each in data for each in needles)


class Office:
    """A vault with something of every kind that can be withdrawn."""

    def __init__(self, memos: MemOS) -> None:
        self.owner, self.alice = memos.session("user:owner"), memos.session("user:alice")
        self.bob, self.carol = memos.session("user:bob"), memos.session("user:carol")
        self.erin = memos.session("user:erin")

    def fill(self) -> None:
        owner, carol = self.owner, self.carol
        self.basis = owner.grant("user:carol", ["read", "govern", "write"], on="acme")
        self.grant = self.alice.grant("user:bob", "read", on="user:alice")
        self.by_basis = carol.grant("user:dave", "read", on="acme")
        owner.grant("group:staff", "read", on="acme")
        owner.add_member("group:staff", "user:bob")
        owner.add_member("group:staff", "user:erin")
        owner.set_clearance("user:erin", "restricted")
        self.hidden = carol.add("salaries", space="acme", sensitivity="restricted")
        self.narrowed = carol.add("the plan", space="acme", sensitivity="internal")
        self.listed = carol.add("the list", space="acme")
        self.ending = carol.add("the offer", space="acme")
        carol.add("derived from the offer", space="acme", parents=(self.ending.id,))
        self.imported = carol.add("a web page", space="acme", source="web:evil")
        self.released = carol.add("a good page", space="acme", source="web:good")
        assert self.erin.get(self.hidden.id).text == "salaries"
        assert self.bob.get(self.narrowed.id).text == "the plan"

    def withdraw(self) -> None:
        owner, carol = self.owner, self.carol
        self.alice.revoke(self.grant)
        owner.remove_member("group:staff", "user:bob")
        owner.set_clearance("user:erin", "public")
        carol.update(self.narrowed.id, Patch(sensitivity=Sensitivity.RESTRICTED))
        carol.update(self.listed.id, Patch(access=frozenset({"user:carol"})))
        carol.update(self.ending.id, Patch(expires=timedelta(hours=1)))
        owner.governance.quarantine("web:evil")
        owner.governance.release(owner.governance.quarantine("web:good"))
        owner.governance.set_trust("user:carol", "low")
        owner.revoke(self.basis)


def test_every_kind_of_withdrawal_is_carried_out_again(place: Place, clock: ManualClock) -> None:
    with place.open() as memos:
        before = Office(memos)
        before.fill()
        place.backup(memos)
        before.withdraw()
        epoch = _epoch(memos)
    with place.restore() as memos:
        now = Office(memos)
        assert _epoch(memos) > epoch
        standing = {each.id for each in now.owner.governance.grants()}
        assert not standing & {before.grant.id, before.by_basis.id, before.basis.id}
        assert now.bob.get_all().items == now.carol.get_all().items == ()
        assert now.erin.get_all().items == (), "public clearance, internal texts"
        now.owner.set_clearance("user:erin", "internal")
        seen = {each.text for each in now.erin.get_all()}
        assert seen == {"the offer", "derived from the offer", "a good page"}
        assert now.erin.get(before.released.id).meta.trust == Trust.LOW
        clock.turn(timedelta(hours=2))
        assert {each.text for each in now.erin.get_all()} == {"a good page"}
        now.owner.set_clearance("user:erin", "restricted")
        assert before.imported.id not in {each.id for each in now.erin.get_all()}
        log = {each.action for each in now.owner.audit.query(limit=200)}
        assert {"memos.restore", "memos.backup"} <= log


def _epoch(memos: MemOS) -> int:
    with memos._vault.read() as tx:
        return tx.epoch


def test_a_key_that_was_changed_after_the_backup_is_taken_over(place: Place) -> None:
    with place.open() as memos:
        owner = memos.session("user:owner")
        cube = owner.add("signed by the first")
        place.backup(memos)
        newest = owner.audit.rotate_key(revoke=True, reason="it leaked")
        public = newest.public
    with place.restore() as memos:
        owner = memos.session("user:owner")
        assert not memos.verify_signature(owner.get(cube.id)), "the leaked key is not believed"
        assert memos.verify_signature(owner.add("signed by a third"))
        found = memos.verify_ledger()
        assert found.status == "broken"
        assert any("no trusted key endorses" in each for each in found.problems)
        with memos._vault.read() as tx:
            keys = memos._keyring.keys(tx)
        assert [each.public for each in keys][1] == public
        assert len(keys) == 3
        assert memos.verify_ledger(trusted_key=keys[-1].public).status == "untampered"


def test_without_the_anchor_a_restore_is_refused_unless_told_so_in_words(
    place: Place, tmp_path: Path
) -> None:
    with place.open() as memos:
        alice = memos.session("user:alice")
        cube = alice.add("gone later")
        memos.session("user:owner").audit.checkpoint()
        place.backup(memos)
        alice.forget(cube.id)
    other = Place(tmp_path / "other")
    other.root.mkdir()
    other.open().close()
    silent = CallableAnchor(lambda _signed: None)
    behind = kept_until(place, 1)
    for anchors in ([], [other.anchor], [silent], [behind], [FolderAnchor(tmp_path / "no")]):
        for words in ("", "yes", ACCEPTED[:-1]):
            with pytest.raises(InvalidInputError, match="say in words"):
                place.restore(anchors=anchors, without_anchor=words)
    assert leftovers(place) == ["other"]
    with place.restore(anchors=[], without_anchor=ACCEPTED) as memos:
        assert memos.session("user:alice").get(cube.id).text == "gone later"


def kept_until(place: Place, number: int) -> CallableAnchor:
    """Make an anchor that knows only the first checkpoints."""
    kept = [each for each in place.anchor.published() if each.number <= number]
    return CallableAnchor(lambda _signed: None, lambda: kept)


def test_an_anchor_that_was_tampered_with_is_refused(place: Place) -> None:
    with place.open() as memos:
        alice = memos.session("user:alice")
        cube = alice.add("gone later")
        place.backup(memos)
        alice.forget(cube.id)
    true = list(place.anchor.published())
    told = next(each for each in true if each.statement.withdrawn)
    forged = SignedCheckpoint(told.body.replace(cube.id, "mem_" + "a" * 20), told.signature)
    for kept in (
        [forged if each is told else each for each in true],
        [each for each in true if each is not told],
        true[1:],
    ):
        anchor = CallableAnchor(lambda _signed: None, lambda kept=kept: kept)
        with pytest.raises((IntegrityError, InvalidInputError)):
            place.restore(anchors=[anchor])
    assert leftovers(place) == []
    # One that was cut short at its end cannot be told from one that has not heard more.
    with place.restore(anchors=[place.anchor]) as memos, pytest.raises(NotFoundError):
        memos.session("user:alice").get(cube.id)


def test_a_vault_can_be_restored_again_and_again(place: Place) -> None:
    with place.open() as memos:
        alice = memos.session("user:alice")
        first, second = alice.add("one"), alice.add("two")
        place.backup(memos)
        alice.forget(first.id)
    for number in range(3):
        with place.restore(f"r{number}") as memos:
            alice = memos.session("user:alice")
            assert [each.text for each in alice.get_all()] == ["two"][: 1 if number < 2 else 0]
            found = memos.verify_ledger()
            assert (found.status, found.problems) == ("untampered", ())
            assert len(found.notes) == number + 1
            report = memos.session("user:owner").audit.export(place.root / f"e{number}")
            assert report.events
            if number == 1:
                alice.forget(second.id)
    with place.open("r2") as memos:
        assert memos.session("user:alice").add("three").version == 1


def test_a_restored_vault_and_the_old_one_cannot_both_go_on(place: Place) -> None:
    with place.open() as memos:
        memos.session("user:alice").add("one")
        place.backup(memos)
    place.restore().close()
    memos = place.open()
    memos.session("user:alice").add("two")
    with pytest.raises(IntegrityError):
        memos.session("user:owner").audit.checkpoint()
    with pytest.warns(UserWarning, match="an older copy of the vault was put back"):
        memos.close()


@pytest.mark.parametrize("key", KEYS[:2], ids=["open", "passphrase"])
def test_a_backup_that_was_changed_anywhere_is_refused(
    place: Place, key: str | None, scaled: Callable[[int, int], int], proof: Proof
) -> None:
    with place.open() as memos:
        memos.session("user:alice").add_many([f"memory {n}" * 20 for n in range(60)])
        place.backup(memos, bytes(32) if key else None)
    whole = (place.root / "backup").read_bytes()
    rng, trials = random.Random(7), scaled(50, 1000)
    for _ in range(trials):
        data = bytearray(whole)
        kind = rng.randrange(5)
        at = rng.choice([rng.randrange(len(data)), rng.randrange(400)])
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            data += rng.randbytes(rng.randint(1, 5000))
        elif kind == 3:
            del data[at : at + rng.randint(1, 5000)]
        else:
            end = min(at + 300, len(data))
            data[at:end] = rng.randbytes(end - at)
        if data == whole:
            continue
        (place.root / "backup").write_bytes(data)
        with pytest.raises(MemosError):
            place.restore(key=bytes(32) if key else None)
        assert not (place.root / "restored").exists()
    assert leftovers(place) == []
    (place.root / "backup").write_bytes(whole)
    place.restore(key=bytes(32) if key else None).close()
    proof(f"changed backups ({'encrypted' if key else 'open'})", trials, "all refused")


def test_bad_keys_paths_and_rights_are_refused_and_leave_nothing(place: Place) -> None:
    with place.open() as memos:
        owner, alice = memos.session("user:owner"), memos.session("user:alice")
        for key in ("short", b"short", 7):
            with pytest.raises(InvalidInputError, match="12 characters"):
                owner.governance.backup(place.root / "backup", key=key)  # type: ignore[arg-type]
        with pytest.raises(DeniedError):
            alice.governance.backup(place.root / "backup")
        with pytest.raises(InvalidInputError, match="no folder"):
            owner.governance.backup(place.root / "no" / "backup")
        with memos.session("user:owner").pipeline() as chain, pytest.raises(ConflictError):
            chain.governance.backup(place.root / "backup")
        assert leftovers(place) == []
        assert not (place.root / "backup").exists()
        place.backup(memos, "a long passphrase")
        with pytest.raises(InvalidInputError, match="there already"):
            place.backup(memos)
        denied = [e.outcome for e in alice.audit.query(action="backup")]
        assert denied == ["denied"]
    for key, why in ((None, "is encrypted"), (bytes(32), "taken with a passphrase")):
        with pytest.raises(InvalidInputError, match=why):
            place.restore(key=key)
    with pytest.raises(IntegrityError, match="the key is another one"):
        place.restore(key="another passphrase")
    for into, why in (("vault", "there already"), ("no/such", "no folder")):
        with pytest.raises(InvalidInputError, match=why):
            place.restore(into, key="a long passphrase")
    (place.root / "restored").mkdir()
    place.restore(key="a long passphrase").close()
    (place.root / "backup").write_text("hello")
    with pytest.raises(InvalidInputError, match="no backup"):
        place.restore("again")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        MemOS.restore(place.root / "nothing", place.root / "again")


def test_an_anchor_that_cannot_be_told_stops_a_backup_and_no_forgetting(place: Place) -> None:
    down = False
    kept: list[SignedCheckpoint] = []

    def publish(signed: SignedCheckpoint) -> None:
        if down:
            raise AnchorError("the anchor is down")
        kept.append(signed)

    anchor = CallableAnchor(publish, lambda: kept)
    with MemOS.open(place.root / "vault", embedder=HashingEmbedder(), anchors=[anchor]) as memos:
        owner, alice = memos.session("user:owner"), memos.session("user:alice")
        cube, grant = alice.add("x"), alice.grant("user:bob", "read", on="user:alice")
        down = True
        with pytest.raises(AnchorError):
            owner.governance.backup(place.root / "backup")
        assert not (place.root / "backup").exists()
        report = alice.forget(cube.id)
        assert report.status == "pending"
        assert report.pending[0].startswith("the anchors: until they are told")
        with pytest.raises(NotFoundError):
            alice.get(cube.id)
        with pytest.warns(UserWarning, match="it is done, but not told"):
            alice.revoke(grant)
        down = False
        assert alice.audit.erasure(report).status == "erased"
        assert {w.kind for c in kept for w in c.statement.withdrawn} == {"forget", "revoke"}


def test_a_vault_that_was_anchored_once_wants_its_anchors_told(place: Place) -> None:
    with place.open() as memos:
        memos.session("user:alice").add("x")
        place.backup(memos)
    with place.open(anchored=False) as memos:
        alice = memos.session("user:alice")
        report = alice.forget(alice.get_all().items[0].id)
        assert report.status == "pending"
        assert "none was named here" in report.pending[0]
        with pytest.warns(UserWarning, match="none was named here"):
            alice.revoke(alice.grant("user:bob", "read", on="user:alice"))
    with place.open() as memos:
        assert memos.session("user:alice").audit.erasure(report).status == "erased"
    with place.restore() as memos:
        assert memos.session("user:alice").get_all().items == ()
    with place.restore("alone", anchors=[], without_anchor=ACCEPTED.upper()) as memos:
        pass
    with MemOS.open(place.root / "alone", embedder=HashingEmbedder()) as memos:
        alice = memos.session("user:alice")
        assert alice.forget(alice.get_all().items[0].id).status == "erased"


@pytest.mark.parametrize("wrong", ["here", ["here"], FolderAnchor("x"), None])
def test_what_is_no_anchor_is_refused_at_once(tmp_path: Path, wrong: object) -> None:
    with pytest.raises(InvalidInputError, match="a list of anchors"):
        MemOS.open(tmp_path / "vault", anchors=wrong)  # type: ignore[arg-type]
    assert not (tmp_path / "vault").exists()


def test_a_backup_is_taken_while_others_write(place: Place, folder: Path) -> None:
    with place.open() as memos:
        memos.session("user:alice").add_many([f"filler {n} " * 50 for n in range(300)])
        with others(place.root / "vault", "user:alice", "user:alice") as writers:
            stop = time.monotonic() + 1.5
            before: list[str] = []
            for number in range(1000):
                ids = [each.add(f"memory {number} of {n}") for n, each in enumerate(writers)]
                if number == 5:
                    before = ids
                    report = memos.session("user:owner").governance.backup(
                        place.root / "backup",
                        progress=lambda _done, _total: writers[0].add("in between"),
                    )
                    assert report.bytes > 100_000
                if time.monotonic() > stop:
                    break
    with place.restore() as memos:
        alice = memos.session("user:alice")
        assert memos.diagnose().problems == ()
        assert memos.verify_ledger().status == "untampered"
        there = {each.id for each in alice.get_all(limit=1000)}
        assert set(before) <= there
        assert ids[0] not in there


BACKING_UP = """
import os, sys
from memos_core import MemOS
from memos_core.testing import HashingEmbedder
with MemOS.open(sys.argv[1], embedder=HashingEmbedder()) as memos:
    def stop(done, total):
        print("copied", flush=True)
        sys.stdin.read(1)
    memos.session("user:owner").governance.backup(sys.argv[2], progress=stop)
"""


def test_the_working_copy_of_a_killed_backup_is_swept_away(place: Place) -> None:
    with place.open(anchored=False) as memos:
        alice = memos.session("user:alice")
        cube = alice.add("the code is zqkanarie")
        command = [sys.executable, "-c", BACKING_UP, str(place.root / "vault"), "backup"]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=place.root
        )
        assert process.stdout is not None
        process.stdout.readline()
        report = alice.forget(cube.id)
        assert report.pending == ("a working copy: a backup is being taken",)
        assert holding(place.root / "vault", [b"zqkanarie"]) != [[]]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert alice.audit.erasure(report).status == "erased"
        assert holding(place.root / "vault", [b"zqkanarie"]) == [[]]
    assert not (place.root / "backup").exists()


LIMITED = """
import resource, sys, warnings
from memos_core import FullError, FolderAnchor, MemOS
from memos_core.testing import HashingEmbedder
vault, backup, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
with MemOS.open(vault, embedder=HashingEmbedder()) as memos:
    owner = memos.session("user:owner")
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        owner.governance.backup(backup)
        print("done")
    except FullError as error:
        print("full", error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    alice = memos.session("user:alice")
    print(len(alice.search("memory")), flush=True)
"""


RESTORING = """
import resource, sys
from memos_core import FullError, MemOS
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    MemOS.restore(sys.argv[1], sys.argv[2], without_anchor=sys.argv[4])
    print("done")
except FullError as error:
    print("full", error)
"""


def test_a_restore_that_finds_no_room_leaves_nothing_and_says_so(
    place: Place, scaled: Callable[[int, int], int], proof: Proof
) -> None:
    with place.open(anchored=False) as memos:
        memos.session("user:alice").add_many([f"memory {n} " * 30 for n in range(400)])
        size = place.backup(memos).bytes
    trials = scaled(2, 10)
    for trial in range(trials):
        limit = str(size * trial // trials)
        command = [sys.executable, "-c", RESTORING, str(place.root / "backup")]
        command += [str(place.root / "restored"), limit, ACCEPTED]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.startswith("full"), done.stdout
        assert not (place.root / "restored").exists()
        assert leftovers(place) == []
    with place.restore(anchors=[], without_anchor=ACCEPTED) as memos:
        assert len(memos.session("user:alice").search("memory")) == 10
    proof("restores on a full disk", trials, f"{trials} refused, 0 left-overs")


def test_a_backup_that_finds_no_room_leaves_nothing_and_says_so(
    place: Place, scaled: Callable[[int, int], int], proof: Proof
) -> None:
    with place.open(anchored=False) as memos:
        texts = [f"memory {n} " * 30 for n in range(400)]
        memos.session("user:alice").add_many([Draft(text) for text in texts])
        size = place.backup(memos).bytes
    (place.root / "backup").unlink()
    trials = scaled(3, 20)
    full = 0
    log = 400_000  # the vault's own log needs to grow a little for the backup's event
    for trial in range(trials):
        limit = log + (size - log) * trial // trials
        command = [sys.executable, "-c", LIMITED, str(place.root / "vault")]
        command += [str(place.root / "backup"), str(limit)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        answer, count = done.stdout.splitlines()
        assert int(count) == 10, "reads go on"
        if answer.startswith("full"):
            full += 1
            assert "free some disk space" in answer or "raise the limit" in answer
            assert not (place.root / "backup").exists()
        else:
            (place.root / "backup").unlink()
        assert leftovers(place) == []
    assert full >= trials - 1
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    proof("backups on a full disk", trials, f"{full} refused, 0 left-overs")
