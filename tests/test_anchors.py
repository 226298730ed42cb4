"""Anchored checkpoints: what is kept outside the vault shows every later change of the ledger."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from memos_core import (
    AnchorError,
    CallableAnchor,
    FolderAnchor,
    IntegrityError,
    InvalidInputError,
    MemOS,
    Session,
    SignedCheckpoint,
)
from memos_core.infrastructure.ledger import link
from memos_core.infrastructure.vault import schema
from memos_core.testing import HashingEmbedder
from tests.conftest import Proof
from tests.test_processes import SPAWN

SPAWN.set_forkserver_preload(["memos_core.testing"])  # or each child imports it for a second
TABLES = ("ledger", "ledger_chains", "checkpoints", "ledger_segments", "signing_keys",
          "withdrawals")  # fmt: skip
Rows = dict[str, list[dict[str, Any]]]


def raw(folder: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(folder / "vault.db", isolation_level=None)
    connection.row_factory = sqlite3.Row
    return connection


def dump(folder: Path) -> Rows:
    connection = raw(folder)
    found = {t: [dict(r) for r in connection.execute(f"SELECT * FROM {t}")] for t in TABLES}
    connection.close()
    return found


def restore(folder: Path, rows: Rows) -> None:
    connection = raw(folder)
    connection.execute("BEGIN")
    for table in TABLES:
        connection.execute(f"DELETE FROM {table}")
        for row in rows[table]:
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO {table} VALUES ({marks})", list(row.values()))
    connection.execute("COMMIT")
    connection.close()


def copied(rows: Rows) -> Rows:
    return {table: [dict(row) for row in found] for table, found in rows.items()}


class Story:
    """A vault with a life: keys rotated, events pruned, four checkpoints kept outside."""

    def __init__(self, memos: MemOS, folder: Path, kept: list[SignedCheckpoint]) -> None:
        owner = memos.session("user:owner")
        self.folder = folder
        self.old: list[Rows] = []
        for turn in range(3):
            for number in range(6):
                session = memos.session(f"user:u{number}")
                session.add(f"memory {turn} {number}")
                session.search("memory")
            owner.revoke(owner.grant("user:u1", "read", on=f"acme/{turn}"))
            owner.forget(owner.add("to be forgotten").id)
            self.old.append(dump(folder))
            owner.audit.checkpoint()
            self.old.append(dump(folder))
            if turn == 0:
                owner.audit.rotate_key(reason="planned")
            if turn == 1:
                owner.audit.prune(before_checkpoint=1)
        self.last = kept[-1].number
        self.heads = kept[-1].statement.by_chain
        for number in range(4):
            memos.session(f"user:u{number}").search("memory")
        self.rows = dump(folder)
        self.old = self.old[:-1]  # the newest copy is as new as the last anchored checkpoint


def flip(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text))
    return text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]


def tamper_events(rows: Rows, story: Story, rng: random.Random) -> str:
    """Change an event that an anchored checkpoint covers."""
    covered = [r for r in rows["ledger"] if r["seq"] <= story.heads[r["chain"]].seq]
    row = rng.choice(covered)
    kind = rng.choice(["body", "hash", "type", "outcome", "time", "who", "delete", "swap", "cut",
                       "double"])  # fmt: skip
    if kind in ("body", "hash"):
        row[kind] = flip(row[kind], rng)
    elif kind in ("type", "outcome"):
        row[kind] += "x"
    elif kind == "time":
        row["time"] += rng.choice([-1, 1, 10**9])
    elif kind == "who":
        row["principal_id"] = "prn_somebodyelse"
    elif kind == "delete":
        rows["ledger"].remove(row)
    elif kind == "swap":
        other = rng.choice([r for r in rows["ledger"] if r is not row])
        row["chain"], other["chain"] = other["chain"], row["chain"]
        row["seq"], other["seq"] = other["seq"], row["seq"]
    elif kind == "cut":
        here = (row["chain"], row["seq"])
        rows["ledger"] = [r for r in rows["ledger"] if r["chain"] != here[0] or r["seq"] < here[1]]
    else:
        last = max(r["seq"] for r in rows["ledger"] if r["chain"] == row["chain"])
        rows["ledger"].append(row | {"seq": last + 1})
    return f"event {kind}"


def tamper_heads(rows: Rows, story: Story, rng: random.Random) -> str:
    row = rng.choice([r for r in rows["ledger_chains"] if r["seq"]])
    kind = rng.choice(["seq", "head", "last_time", "delete"])
    if kind == "seq":
        row["seq"] += rng.choice([-1, 1])
    elif kind == "head":
        row["head"] = flip(row["head"], rng)
    elif kind == "last_time":
        row["last_time"] += rng.choice([-1, 1, 10**12])
    else:
        rows["ledger_chains"].remove(row)
    return f"head {kind}"


def tamper_checkpoints(rows: Rows, story: Story, rng: random.Random) -> str:
    found = rows["checkpoints"]
    row = rng.choice(found)
    kind = rng.choice(["body", "signature", "key_id", "delete", "cut", "swap", "renumber"])
    if kind in ("body", "signature"):
        row[kind] = flip(row[kind], rng)
    elif kind == "key_id":
        row["key_id"] = next(k["id"] for k in rows["signing_keys"] if k["id"] != row["key_id"])
    elif kind == "delete":
        found.remove(row)
    elif kind == "cut":
        rows["checkpoints"] = [r for r in found if r["number"] < row["number"]]
    elif kind == "swap":
        other = rng.choice([r for r in found if r is not row])
        row["number"], other["number"] = other["number"], row["number"]
    else:
        row["number"] += 100
    return f"checkpoint {kind}"


def tamper_segments(rows: Rows, story: Story, rng: random.Random) -> str:
    row = rng.choice(rows["ledger_segments"])
    kind = rng.choice(["last_seq", "hash", "checkpoint", "pruned", "delete", "more"])
    if kind == "hash":
        row["hash"] = flip(row["hash"], rng)
    elif kind == "delete":
        rows["ledger_segments"].remove(row)
    elif kind == "more":
        rows["ledger_segments"].append(row | {"last_seq": row["last_seq"] + 1})
    else:
        row[kind] += rng.choice([-1, 1])
    return f"segment {kind}"


def tamper_keys(rows: Rows, story: Story, rng: random.Random) -> str:
    found = rows["signing_keys"]
    row = rng.choice(found)
    kind = rng.choice(["public", "created", "retired", "revoked", "endorsement", "delete", "more"])
    if kind == "public":
        row["public"] = flip(row["public"], rng)
    elif kind == "created":
        row["created"] += 1
    elif kind in ("retired", "revoked"):
        row[kind] = None if row[kind] else row["created"] + 1
    elif kind == "endorsement":
        row[kind] = f"{found[0]['id']}:AAAA" if row[kind] is None else None
    elif kind == "delete":
        found.remove(row)
    else:
        public = Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()
        more = {"id": "key_" + "a" * 20, "number": 9, "public": public, "endorsement": None}
        found.append(row | more)
    return f"key {kind}"


def tamper_withdrawals(rows: Rows, story: Story, rng: random.Random) -> str:
    """Change what was taken back, and seal the row anew: only what is signed tells."""
    found = rows["withdrawals"]
    row = rng.choice(found)
    kind = rng.choice(["kind", "body", "delete", "cut", "swap", "renumber"])
    if kind == "kind":
        row["kind"] = "leave"
    elif kind == "body":
        row["body"] = json.dumps({"cubes": ["mem_" + "a" * 20]})
    elif kind == "delete":
        found.remove(row)
    elif kind == "cut":
        rows["withdrawals"] = [r for r in found if r["number"] < row["number"]]
    elif kind == "swap":
        other = rng.choice([r for r in found if r is not row])
        row["number"], other["number"] = other["number"], row["number"]
    else:
        row["number"] += 100
    for each in rows["withdrawals"]:
        each["seal"] = schema.sealed(schema.withdrawals, each)
    return f"withdrawal {kind}"


def rewrite_chain(rows: Rows, story: Story, rng: random.Random) -> str:
    """Change one event and hash everything after it anew, to the head: all links hold."""
    covered = [r for r in rows["ledger"] if r["seq"] <= story.heads[r["chain"]].seq]
    row = rng.choice(covered)
    body = json.loads(row["body"])
    body["outcome"] = row["outcome"] = "denied" if body["outcome"] == "allowed" else "allowed"
    row["body"] = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    rehash(rows, row["chain"])
    return "a chain rewritten"


def rehash(rows: Rows, chain: int) -> None:
    starts = [s for s in rows["ledger_segments"] if s["chain"] == chain]
    previous = max(starts, key=lambda s: int(s["last_seq"]))["hash"] if starts else ""
    for each in sorted(rows["ledger"], key=lambda r: int(r["seq"])):
        if each["chain"] == chain:
            previous = each["hash"] = link(previous, chain, each["seq"], each["body"])
    next(r for r in rows["ledger_chains"] if r["chain"] == chain)["head"] = previous


def forge_everything(rows: Rows, story: Story, rng: random.Random) -> str:
    """Rewrite a chain, then sign all checkpoints anew with a key of one's own."""
    rewrite_chain(rows, story, rng)
    hashes = {(r["chain"], r["seq"]): r["hash"] for r in rows["ledger"]}
    private = Ed25519PrivateKey.generate()
    public, previous = private.public_key().public_bytes_raw().hex(), ""
    for row in rows["checkpoints"]:
        body = json.loads(row["body"])
        for head in body["heads"]:
            head["hash"] = hashes.get((head["chain"], head["seq"]), head["hash"])
        body["keys"] = [key | {"public": public} for key in body["keys"]]
        body["previous"] = previous
        data = rfc8785.dumps(body)
        previous = hashlib.sha256(data).hexdigest()
        row["body"] = data.decode()
        row["signature"] = base64.b64encode(private.sign(b"memos-checkpoint/1\0" + data)).decode()
    for key in rows["signing_keys"]:
        key["public"] = public
    return "everything forged"


def put_back(rows: Rows, story: Story, rng: random.Random) -> str:
    """Put back an older copy of the database."""
    rows.update(copied(rng.choice(story.old)))
    return "an older copy"


def pretend_pruning(rows: Rows, story: Story, rng: random.Random) -> str:
    """Delete what a checkpoint covers, and write the rows that pruning would have written."""
    row = rng.choice(rows["checkpoints"][1:])
    body = json.loads(row["body"])
    heads = {head["chain"]: head for head in body["heads"]}
    rows["ledger"] = [r for r in rows["ledger"] if r["seq"] > heads[r["chain"]]["seq"]]
    there = {(s["chain"], s["last_seq"]) for s in rows["ledger_segments"]}
    rows["ledger_segments"] += [
        {"chain": c, "last_seq": h["seq"], "hash": h["hash"], "checkpoint": row["number"],
         "pruned": rows["ledger_chains"][0]["last_time"]}
        for c, h in heads.items() if h["seq"] and (c, h["seq"]) not in there
    ]  # fmt: skip
    return "pretended pruning"


ATTACKS = (tamper_events, tamper_heads, tamper_checkpoints, tamper_segments, tamper_keys,
           tamper_withdrawals, rewrite_chain, forge_everything, put_back,
           pretend_pruning)  # fmt: skip


def test_every_tampering_up_to_the_last_anchored_checkpoint_is_found(
    folder: Path, scaled: Callable[[int, int], int], proof: Proof
) -> None:
    kept: list[SignedCheckpoint] = []
    anchor = CallableAnchor(kept.append, lambda: list(kept))
    rng = random.Random(0)
    seen: set[str] = set()
    with MemOS.open(folder, embedder=HashingEmbedder(), anchors=[anchor]) as memos:
        story = Story(memos, folder, kept)
        clean = memos.verify_ledger()
        assert (clean.status, clean.checkpoint, clean.problems) == ("untampered", story.last, ())
        assert clean.pruned > 0
        rounds = scaled(100, 2_000)
        for number in range(rounds):
            rows = copied(story.rows)
            what = ATTACKS[number % len(ATTACKS)](rows, story, rng)
            if rows == story.rows:
                continue
            seen.add(what)
            restore(folder, rows)
            verdict = memos.verify_ledger()
            assert verdict.status == "broken", what
            assert verdict.problems, what
            assert verdict.checkpoint is None
        restore(folder, story.rows)
        assert memos.verify_ledger() == clean
    assert len(seen) >= scaled(33, 44)
    proof("manipulations of the ledger up to the last anchored checkpoint", rounds, "all found")


def test_without_an_anchor_a_forger_is_not_found_and_nothing_else_is_claimed(folder: Path) -> None:
    kept: list[SignedCheckpoint] = []
    anchor = CallableAnchor(kept.append, lambda: list(kept))
    with MemOS.open(folder, embedder=HashingEmbedder(), anchors=[anchor]) as memos:
        story = Story(memos, folder, kept)
        rows = copied(story.rows)
        put_back(rows, story, random.Random(0))
        restore(folder, rows)
        assert memos.verify_ledger(anchors=[]).status == "self-consistent"
        found = memos.verify_ledger()
        assert found.status == "broken"
        assert any("older copy" in each for each in found.problems)
        restore(folder, story.rows)


def test_what_came_after_the_last_anchored_checkpoint_is_only_self_consistent(
    folder: Path,
) -> None:
    kept: list[SignedCheckpoint] = []
    anchor = CallableAnchor(kept.append, lambda: list(kept))
    with MemOS.open(folder, embedder=HashingEmbedder(), anchors=[anchor]) as memos:
        story = Story(memos, folder, kept)
        rows = copied(story.rows)
        fresh = [r for r in rows["ledger"] if r["seq"] > story.heads[r["chain"]].seq]
        assert memos.verify_ledger().after == len(fresh) == 4
        row = fresh[0]
        body = json.loads(row["body"])
        body["purpose"] = "support"
        row["body"] = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        restore(folder, rows)
        assert memos.verify_ledger().status == "broken"  # the links do not hold
        rehash(rows, row["chain"])
        restore(folder, rows)
        found = memos.verify_ledger()
        assert (found.status, found.checkpoint, found.after) == ("untampered", story.last, 4)
        restore(folder, story.rows)


def test_an_older_copy_of_the_files_that_is_put_back_is_broken(folder: Path) -> None:
    anchor = FolderAnchor(folder.parent / "anchor")
    copy = folder.parent / "copy"

    def opened() -> MemOS:
        return MemOS.open(folder, embedder=HashingEmbedder(), anchors=[anchor])

    with opened() as memos:
        memos.session("user:alice").add("one")
    shutil.copytree(folder, copy)
    with opened() as memos:
        memos.session("user:alice").add("two")
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)
    with opened() as memos:
        found = memos.verify_ledger()
        assert found.status == "broken"
        assert any("older copy" in each for each in found.problems)
        with pytest.raises(IntegrityError, match="older copy"):
            memos.session("user:owner").audit.checkpoint()
        with pytest.warns(UserWarning, match="older copy"):
            memos.close()


def test_a_vault_that_was_exchanged_for_another_is_never_called_untampered(folder: Path) -> None:
    anchor = FolderAnchor(folder.parent / "anchor")
    with MemOS.open(folder, embedder=HashingEmbedder(), anchors=[anchor]) as memos:
        memos.session("user:alice").add("one")
    shutil.rmtree(folder)
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        found = memos.verify_ledger(anchors=[anchor])
        assert found.status == "self-consistent"
        assert any("but of others" in each for each in found.notes)


def write_on(folder: str, anchor: str, pipe: Connection) -> None:
    """Write, read and take checkpoints for ever."""
    anchors = [FolderAnchor(anchor)]
    with MemOS.open(folder, embedder=HashingEmbedder(), anchors=anchors) as memos:
        alice, owner = memos.session("user:alice"), memos.session("user:owner")
        pipe.send("ready")
        number = 0
        while True:
            alice.add(f"item {number}")
            alice.search("item")
            if number % 2:
                owner.audit.checkpoint()
            if number % 5 == 4:
                owner.audit.rotate_key()
            if number % 7 == 6:
                owner.audit.prune(before_checkpoint=1 + number // 7)
            number += 1


def test_a_killed_writer_raises_no_false_alarm(
    folder: Path, scaled: Callable[[int, int], int], proof: Proof
) -> None:
    place = folder.parent / "anchor"
    kills = scaled(10, 200)
    for run in range(kills):
        mine, theirs = SPAWN.Pipe(duplex=False)
        process = SPAWN.Process(target=write_on, args=(str(folder), str(place), theirs))
        process.start()
        theirs.close()
        assert mine.recv() == "ready"
        time.sleep((run * 7919 % 97) / 500)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        anchors = [FolderAnchor(place)]
        with MemOS.open(folder, embedder=HashingEmbedder(), anchors=anchors) as memos:
            found = memos.verify_ledger()
            assert found.problems == ()
            memos.session("user:owner").audit.checkpoint()
            found = memos.verify_ledger()
            assert (found.status, found.after) == ("untampered", 0)
            assert memos.diagnose().problems == ()
    proof("kill -9 of a writer that checkpoints", kills, "0 false alarms")


def read_on(folder: str, anchor: str, pipe: Connection) -> None:
    """Take a checkpoint, then read and say how long the log was before; wait to be killed."""
    anchors = [FolderAnchor(anchor)]
    with MemOS.open(folder, embedder=HashingEmbedder(), anchors=anchors) as memos:
        alice = memos.session("user:alice")
        alice.add("an item")
        memos.session("user:owner").audit.checkpoint()
        flushed = Path(folder, "vault.db-wal").stat().st_size
        for _ in range(20):
            alice.search("item")
        pipe.send((flushed, Path(folder, "vault.db-wal").stat().st_size))
        time.sleep(60)


def test_reads_that_were_lost_before_they_were_flushed_raise_no_false_alarm(
    folder: Path, scaled: Callable[[int, int], int], proof: Proof
) -> None:
    place = folder.parent / "anchor"
    runs = scaled(4, 40)
    for run in range(runs):
        mine, theirs = SPAWN.Pipe(duplex=False)
        process = SPAWN.Process(target=read_on, args=(str(folder), str(place), theirs))
        process.start()
        theirs.close()
        flushed, whole = mine.recv()
        assert flushed < whole
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        os.truncate(folder / "vault.db-wal", flushed + (whole - flushed) * run // runs)
        anchors = [FolderAnchor(place)]
        with MemOS.open(folder, embedder=HashingEmbedder(), anchors=anchors) as memos:
            found = memos.verify_ledger()
            assert (found.status, found.problems) == ("untampered", ())
            assert found.after < 20
            assert run or found.after == 0
            memos.session("user:alice").add("life goes on")
            memos.session("user:owner").audit.checkpoint()
            assert memos.verify_ledger().status == "untampered"
    proof("losses of reads that were not flushed", runs, "0 false alarms")


# anchors


def test_an_anchor_within_the_vault_is_refused(folder: Path) -> None:
    for inside in (folder, folder / "keys", folder / "a" / ".." / "anchor"):
        with pytest.raises(InvalidInputError, match="within the vault"):
            MemOS.open(folder, anchors=[FolderAnchor(inside)])
    link_to = folder.parent / "link"
    folder.mkdir()
    link_to.symlink_to(folder)
    with pytest.raises(InvalidInputError, match="within the vault"):
        MemOS.open(folder, anchors=[FolderAnchor(link_to / "anchor")])


def test_closing_publishes_and_an_anchor_gets_later_what_it_missed(
    folder: Path, alice: Session, memos: MemOS
) -> None:
    memos.close()
    kept: list[SignedCheckpoint] = []
    down = [True]

    def publish(signed: SignedCheckpoint) -> None:
        if down[0]:
            raise ConnectionError("the anchor is down")
        kept.append(signed)

    def opened() -> MemOS:
        anchor = CallableAnchor(publish, lambda: list(kept), name="notary")
        return MemOS.open(folder, embedder=HashingEmbedder(), anchors=[anchor])

    with pytest.warns(UserWarning, match="the anchor is down"), opened() as memos:
        memos.session("user:alice").add("one")
    with opened() as memos:
        with pytest.raises(AnchorError, match="is down"):
            memos.session("user:owner").audit.checkpoint()
        assert memos.verify_ledger().status == "self-consistent"
        down[0] = False
        memos.session("user:owner").audit.checkpoint()  # nothing happened: but it sends them
        assert memos.verify_ledger().status == "untampered"
    assert [each.number for each in kept] == list(range(1, len(kept) + 1))
    count = len(kept)
    with opened():
        pass
    assert len(kept) == count  # nothing happened, so no new one was made


def test_a_file_that_was_cut_off_is_finished_and_a_changed_one_is_an_alarm(
    folder: Path, memos: MemOS
) -> None:
    memos.close()
    place = folder.parent / "anchor"
    with MemOS.open(folder, embedder=HashingEmbedder(), anchors=[FolderAnchor(place)]) as memos:
        memos.session("user:owner").audit.checkpoint()
    (file,) = place.iterdir()
    whole = file.read_text()
    file.write_text(whole[: len(whole) // 2])
    with MemOS.open(folder, embedder=HashingEmbedder(), anchors=[FolderAnchor(place)]) as memos:
        assert memos.verify_ledger().status == "self-consistent"
        memos.session("user:owner").audit.checkpoint()
        assert memos.verify_ledger().status == "untampered"
    assert file.read_text() == whole
    file.write_text(whole.replace("chain", "chaim", 1))
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        assert memos.verify_ledger(anchors=[FolderAnchor(place)]).status == "broken"


def test_a_gap_and_a_contradiction_between_anchors_are_found(folder: Path, memos: MemOS) -> None:
    memos.close()
    place, other = folder.parent / "anchor", folder.parent / "other"
    anchors = [FolderAnchor(place), FolderAnchor(other)]
    with MemOS.open(folder, embedder=HashingEmbedder(), anchors=anchors) as memos:
        for number in range(3):
            memos.session("user:alice").add(f"{number}")
            memos.session("user:owner").audit.checkpoint()
        first, second, third = sorted(place.iterdir())
        second.unlink()
        found = memos.verify_ledger()
        assert (found.status, found.checkpoint) == ("untampered", 3)  # the other one has it
        assert memos.verify_ledger(anchors=anchors[:1]).status == "broken"
        third.unlink()
        assert memos.verify_ledger(anchors=anchors[:1]).checkpoint == 1
        third.write_bytes(first.read_bytes())
        assert memos.verify_ledger(anchors=anchors[:1]).status == "broken"
        third.unlink()


def test_an_anchor_that_cannot_be_read_is_noted(memos: MemOS, alice: Session) -> None:
    def fail() -> list[SignedCheckpoint]:
        raise TimeoutError("no answer")

    deaf = CallableAnchor(lambda signed: None, name="deaf")
    broken = CallableAnchor(lambda signed: None, fail, name="broken")
    found = memos.verify_ledger(anchors=[deaf, broken])
    assert found.status == "self-consistent"
    assert len(found.notes) == 2
