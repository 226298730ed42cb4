"""What the proof of damage needs: a rich vault, questions to it, ways to damage it, a judge.

Everything that touches a vault's files runs in a process of its own: no file of an open database
is touched by other means, and a crash of SQLite over a malformed file is counted, not fatal.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sqlalchemy import select

from memos_core import FolderAnchor, Key, MemCube, MemOS, MemosError, Session, Settings
from memos_core.infrastructure.vault import schema
from memos_core.testing import HashingEmbedder, ManualClock

BORN = datetime(2026, 1, 1, tzinfo=UTC)
EXPIRED = BORN + timedelta(days=9)
"""When all is built, and one memory has ended."""
READERS = ("user:alice", "user:bob", "user:carol", "user:dave", "user:mallory")
FABLE = (
    "the quick brown fox jumps over the lazy dog while seven wizards boil twelve large jugs "
    "of liquor behind the old mill"
)
HEAD = 4096


@contextmanager
def opened(folder: Path, anchor: Path, now: datetime = EXPIRED) -> Iterator[MemOS]:
    """Open a vault; the anchor is for writers, a reader brings none."""
    settings = Settings(owner="user:owner", checkpoint_bytes=100_000_000, durable_effects=False)
    clock = ManualClock(now)
    anchors = [FolderAnchor(anchor)] if anchor.name else []
    with MemOS.open(
        folder, embedder=HashingEmbedder(), clock=clock, settings=settings, anchors=anchors
    ) as memos:
        yield memos


def first_part(memos: MemOS) -> None:
    """Fill a vault with one of everything that decides who reads what."""
    owner, alice = memos.session("user:owner"), memos.session("user:alice")
    owner.add_member("group:research", "user:carol")
    owner.add_member("group:staff", "group:research")
    owner.grant("group:staff", "read", on="acme")
    owner.grant("user:bob", ["read", "write"], on="acme/research")
    owner.grant("user:dave", "read", on="acme")
    owner.set_clearance("user:bob", "confidential")
    owner.set_clearance("user:dave", "public")
    owner.add("the plan number 1 is secret", space="acme/research", key="plan", tags={"plan"})
    owner.add("a public plan number 2", space="acme", sensitivity="public", metadata={"n": 2})
    owner.add("the board's plan number 3", space="acme", access={"user:owner", "group:staff"})
    owner.add("a confidential plan number 4", space="acme/research", sensitivity="confidential")
    owner.add(
        {"name": "plan 5", "pay": 70_000}, space="acme", field_sensitivity={"pay": "restricted"}
    )
    owner.add("plan number 6, mail it to ann@example.org", space="acme")
    owner.add("a poisoned plan number 7", space="acme", source="import:bad.md")
    owner.add("an imported plan number 8", space="acme", source="import:good.md")
    owner.add("plan 9 is for training", space="acme", purposes={"train"})
    notes = alice.add(f"my fable: {FABLE}", key="fable", speaker="user:alice")
    alice.add("a summary of the fable: foxes jump", parents=(notes.id,))
    alice.add("plan 10 ends soon", expires=timedelta(days=2))
    alice.add("plan 11 is a long text " + "word " * 900)
    shared = alice.add("plan 12 is shared alone")
    alice.grant("user:mallory", "read", on=shared.id)
    gone = alice.add("plan 13 will be forgotten", key="gone")
    alice.add("derived from plan 13", parents=(gone.id,))
    alice.forget(gone.id)
    memos.session("user:bob").add("bob's own plan 14")
    owner.governance.quarantine("import:bad.md", reason="poison")
    owner.governance.set_trust("import:good.md", "low")
    owner.governance.hold("acme/research", reason="law")
    owner.governance.set_quota("user:alice", cubes=100, reads_per_day=1_000_000)


def second_part(memos: MemOS) -> None:
    """Change what is there, and seal it with a checkpoint that is kept outside."""
    owner, alice = memos.session("user:owner"), memos.session("user:alice")
    alice.update(Key("fable"), f"my fable, corrected: {FABLE}", reason="spelling")
    owner.update(Key("plan", "acme/research"), "the plan number 1 was changed", reason="new")
    grant = alice.grant("user:bob", "read", on="user:alice")
    alice.revoke(grant)
    owner.remove_member("group:research", "user:carol")
    owner.add_member("group:staff", "user:carol")
    owner.add("a late plan number 15", space="acme", key="late")
    owner.audit.checkpoint()


def build(folder: Path, anchor: Path, part: str, pipe: Connection) -> None:
    """Build a part of a vault; after the second part of a hot one, wait to be killed."""
    with opened(folder, anchor, BORN if part == "first" else EXPIRED) as memos:
        if part == "first":
            first_part(memos)
        else:
            second_part(memos)
        if part == "hot":
            pipe.send("written")
            time.sleep(600)
    pipe.send("closed")


Answer = Any
"""A list of items, or the name of the error."""


def plain(cube: MemCube) -> str:
    """Write a memory as it was shown, all of it."""
    return json.dumps(cube.model_dump(mode="json"), sort_keys=True)


def verbs(memos: MemOS, name: str, ids: list[str]) -> Iterator[tuple[str, Callable[[], Answer]]]:
    """List what one principal asks; each answer is a list of what was shown."""
    who: Session = memos.session(name)
    past = who.at(BORN + timedelta(days=1))

    def found(text: str) -> list[str]:
        return [plain(hit.cube) for hit in who.search(text, k=100)]

    yield "get_all", lambda: [plain(each) for each in who.get_all(limit=500)]
    yield "search", lambda: found("plan number secret")
    yield "search again", lambda: found("fable of the fox")
    yield "context", lambda: [repr(i) for i in who.context("plan", budget_tokens=9_999).items]
    yield "past", lambda: [plain(each) for each in past.get_all(limit=500)]
    yield "trace", lambda: [plain(each.cube) for each in who.trace(FABLE)]
    yield "by key", lambda: [plain(who.get(Key("plan", "acme/research")))]
    for each in ids:
        yield f"get {each}", lambda each=each: [plain(who.get(each))]
    if name in ("user:alice", "user:dave"):
        for each in ids:
            yield f"past {each}", lambda each=each: [plain(past.get(each))]
            yield (
                f"history {each}",
                lambda each=each: [plain(version.cube) for version in who.history(each)],
            )
        yield "log", lambda: ["entries"] if len(who.audit.query(limit=500)) else []
    if name == "user:alice":
        for each in ids:
            yield f"provenance {each}", lambda each=each: sourced(who.provenance(each))


def sourced(found: Any) -> list[str]:
    """List a provenance and all its sources."""
    here = f"{plain(found.cube)} {found.origin} {found.trust} {found.recorded_at}"
    return [here, *(each for source in found.sources for each in sourced(source))]


def ask(memos: MemOS, ids: list[str]) -> dict[str, Answer]:
    """Ask everything on behalf of everybody."""
    found: dict[str, Answer] = {}
    for name in READERS:
        for verb, call in verbs(memos, name, ids):
            try:
                found[f"{name} {verb}"] = call()
            except MemosError as error:
                found[f"{name} {verb}"] = type(error).__name__
    return found


@dataclass(frozen=True)
class Truth:
    """What the undamaged vault answers, and every content that was ever shown."""

    answers: dict[str, Answer]
    ids: list[str]
    ever: frozenset[str]


def tell(folder: Path, anchor: Path, pipe: Connection) -> None:
    """Answer all questions from a copy of an undamaged vault."""
    with opened(folder, Path()) as memos:
        owner = memos.session("user:owner")
        alice = memos.session("user:alice")
        past = [owner.at(BORN + timedelta(days=1)), alice.at(BORN + timedelta(days=1))]
        sessions = [owner, alice, memos.session("user:bob"), *past]
        seen = [cube for each in sessions for cube in each.get_all(limit=500)]
        ids = sorted(ever_there(memos))
        answers = ask(memos, ids)
        assert memos.diagnose().problems == ()
        anchored = memos.verify_ledger(anchors=[FolderAnchor(anchor)])
        assert anchored.status == "untampered", anchored
    pipe.send((answers, ids, sorted({cube.text for cube in seen})))


def ever_there(memos: MemOS) -> set[str]:
    """List every memory that there ever was: the forgotten, ended and hidden ones too."""
    with memos._vault.read() as tx:
        return set(tx.connection.execute(select(schema.journal.c.cube_id)).scalars())


def damage(folder: Path, rng: random.Random, others: dict[str, Path], kind: str) -> str:
    """Damage one file of a vault; return what was done."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    if kind == "replace":
        name = rng.choice(sorted(others))
        target = folder / name.split(" ")[0]
        shutil.copy(others[name], target)
        return f"replace {name}"
    large = [each for each in files if each.name in ("vault.db", "vault.db-wal")]
    path = rng.choice(large if rng.random() < 0.85 else files)
    data = bytearray(path.read_bytes())
    if not data:
        path.write_bytes(rng.randbytes(rng.randrange(1, 50)))
        return f"fill {path.name}"
    place, what = _change(data, rng, kind)
    path.write_bytes(bytes(data))
    return f"{what} {path.name} at {place}"


def _change(data: bytearray, rng: random.Random, kind: str) -> tuple[int, str]:
    place = rng.randrange(len(data))
    if kind == "flip":
        data[place] ^= 1 << rng.randrange(8)
    elif kind == "zero":
        length = rng.choice([1, 4, 16, 64, 512, 4096])
        data[place : place + length] = bytes(len(data[place : place + length]))
    elif kind == "truncate":
        del data[place:]
    elif kind == "cut":
        place = max(0, len(data) - rng.randrange(1, 4097))
        del data[place:]
    else:
        size = HEAD if rng.random() < 0.7 and len(data) > 2 * HEAD else min(64, len(data) // 2)
        one, other = (size * rng.randrange(max(1, len(data) // size)) for _ in range(2))
        data[one : one + size], data[other : other + size] = (
            data[other : other + size],
            data[one : one + size],
        )
        return one, f"swap with {other} in"
    return place, kind


@dataclass
class Outcome:
    """How one trial ended."""

    what: str
    verdict: str
    details: str = ""


def judge(folder: Path, anchor: Path, truth: Truth, what: str) -> Outcome:
    """Ask a damaged vault everything and hold the answers against the truth."""
    rolled_back = "vault.db-wal" in what or what.startswith("replace vault.db")
    try:
        with opened(folder, Path()) as memos:
            answers = ask(memos, truth.ids)
            wrong, missing = compare(answers, truth)
            if not wrong and not missing:
                return Outcome(what, "harmless")
            verdict = memos.verify_ledger(anchors=[FolderAnchor(anchor)]).status
            if rolled_back and verdict == "broken":
                foreign = [w for w in wrong if not _was_written(w, truth)]
                if what.startswith(("cut", "truncate")):  # then transactions are lost as a whole
                    foreign += _torn(memos)
                return Outcome(what, "wrong" if foreign else "rolled back", "\n".join(foreign[:3]))
            if wrong:
                return Outcome(what, "wrong", "\n".join(wrong[:3]))
            errors = [each for each in missing if each.endswith("Error")]
            if len(errors) == len(missing) or memos.diagnose().problems:
                return Outcome(what, "reported")
            return Outcome(what, "silent", "\n".join(missing[:3]))
    except MemosError as error:
        return Outcome(what, "refused", f"{type(error).__name__}: {error}")
    except Exception:
        return Outcome(what, "raw", traceback.format_exc(limit=-6))


def _torn(memos: MemOS) -> list[str]:
    """List what does not fit together, but for keys, which are files of their own."""
    return [each for each in memos.diagnose().problems if not each.startswith("keys")]


def compare(answers: dict[str, Answer], truth: Truth) -> tuple[list[str], list[str]]:
    """List what was answered and should not have been, and what should have been and was not."""
    wrong, missing = [], []
    for question, was in truth.answers.items():
        now = answers[question]
        if now == was:
            continue
        if isinstance(now, str):
            if now == "NotFoundError":
                missing.append(f"{question}: nothing")
            elif not isinstance(was, str):
                missing.append(f"{question}: {now}")
            continue
        known = [] if isinstance(was, str) else was
        wrong += [f"{question}: {each}" for each in now if _named(each, known) is None]
        missing += [f"{question}: less" for each in known if _named(each, now) is None]
    return wrong, missing


def _named(item: str, known: list[str]) -> str | None:
    """Find an item among those that are known; an author's id may stand for his name."""
    if item in known:
        return item
    return next((each for each in known if _unnamed(each) == _unnamed(item)), None)


def _unnamed(item: str) -> str:
    try:
        found = json.loads(item)
    except ValueError:
        return item
    author = found["meta"].get("author") or ""
    if author.startswith("prn_"):
        found["meta"]["author"] = "?"
    return json.dumps(found, sort_keys=True)


def _was_written(wrong: str, truth: Truth) -> bool:
    return any(text in wrong for text in truth.ever)


def run_trials(
    pipe: Connection, root: Path, plan: list[tuple[int, str, str]], vaults: dict[str, Any]
) -> None:
    """Run trials one after the other, telling which one begins and how it ended."""
    for number, vault, kind in plan:
        pipe.send(("begun", number, f"{vault} {kind}"))
        rng = random.Random(number)
        case = vaults[vault]
        copy = root / f"trial{os.getpid()}"
        shutil.copytree(case["folder"], copy)
        what = damage(copy, rng, case["others"], kind)
        ended = judge(copy, case["anchor"], case["truth"], what)
        shutil.rmtree(copy)
        pipe.send(
            (
                "ended",
                number,
                Outcome(f"{number} {vault}: {ended.what}", ended.verdict, ended.details),
            )
        )
    pipe.send(("done", 0, None))
