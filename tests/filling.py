"""A process of its own that fills a vault until there is no room left; see test_full_disk.py.

It is told what to do by JSON in its argument and answers with JSON on its last line. Its limits are
its own: nothing of what runs the tests is limited with it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

from memos_core import (
    AnchorError,
    Draft,
    FolderAnchor,
    FullError,
    Grant,
    MemOS,
    NotFoundError,
    Session,
    Settings,
)
from memos_core.infrastructure.governance.detection.detector import Span
from memos_core.models.embedder import Vectors
from memos_core.testing import HashingEmbedder, ManualClock

ENOUGH = 12
"""How many writes are tried after the first one that found no room."""


def digest(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()[:16]


def limit_files(size: int) -> None:
    """Let no file of this process grow beyond `size`; -1 lifts that."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


class Brief(HashingEmbedder):
    """Embeds the beginning of a text: what these tests measure is room, not meaning."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        return super().embed([text[:30] for text in texts])


class Blind:
    """A detector that finds nothing, in no time."""

    def find(self, text: str) -> list[Span]:
        return []


def opened(folder: str, **settings: Any) -> MemOS:
    chosen = Settings(**settings)
    return MemOS.open(folder, embedder=Brief(), detector=Blind(), settings=chosen)


def contents(session: Session) -> dict[str, str]:
    """Every memory that the session may read, with a digest of its text."""
    found: dict[str, str] = {}
    cursor = None
    while True:
        page = session.get_all(limit=500, cursor=cursor)
        found |= {cube.id: digest(cube.text) for cube in page}
        cursor = page.cursor
        if cursor is None:
            return found


class Witness:
    """Another process, which has the vault open all the while and is limited by nothing."""

    def __init__(self, folder: str) -> None:
        command = [sys.executable, "-m", "tests.filling", json.dumps({"witness": folder})]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._line()

    def reads(self, principal: str, cube_id: str) -> str:
        """What it reads: the digest of a text, or the name of the error."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{principal} {cube_id}\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def stop(self) -> None:
        self._process.communicate("", timeout=60)


def bear_witness(folder: str) -> None:
    with opened(folder) as memos:
        print("open", flush=True)
        for line in sys.stdin:
            principal, cube_id = line.split()
            try:
                answer = digest(memos.session(principal).get(cube_id).text)
            except NotFoundError:
                answer = "NotFoundError"
            print(answer, flush=True)


class Filler:
    """Writes as Alice until there is no room, and keeps what was acknowledged."""

    def __init__(self, memos: MemOS, seed: int) -> None:
        self.alice = memos.session("user:alice")
        self._random = random.Random(seed)
        self._count = 0
        self.kept = contents(self.alice)
        self.told: list[str] = []

    def _text(self, size: int) -> str:
        self._count += 1
        return f"note {self._count} " + "x" * size

    def add(self) -> None:
        cube = self.alice.add(self._text(self._random.choice([10, 900, 3_000, 40_000])))
        self.kept[cube.id] = digest(cube.text)

    def add_many(self) -> None:
        count, size = self._random.choice([(40, 20), (12, 4_000), (60, 50_000)])
        for cube in self.alice.add_many([Draft(self._text(size)) for _ in range(count)]):
            self.kept[cube.id] = digest(cube.text)

    def update(self) -> None:
        chosen = self._random.choice(sorted(self.kept))
        cube = self.alice.update(chosen, self._text(self._random.choice([10, 2_000, 20_000])))
        self.kept[cube.id] = digest(cube.text)

    def grant(self) -> None:
        self.alice.grant(f"user:guest{self._count}", "read", on="user:alice")

    def fill(self, first: str) -> None:
        """Write until nothing goes any more, and a while longer; the first is this verb."""
        mix = ["add"] * 6 + ["add_many"] + ["update"] * 3 + ["grant"]
        verb = first
        while len(self.told) < ENOUGH:
            try:
                getattr(self, verb)()
            except FullError as error:
                self.told.append(str(error))
            verb = self._random.choice(mix)

    def read(self, rounds: int) -> int:
        """Read in every way at the full point; anything but an answer raises."""
        ids = sorted(self.kept)
        for number in range(rounds):
            cube_id = ids[number * 7 % len(ids)]
            assert digest(self.alice.get(cube_id).text) == self.kept[cube_id]
            assert self.alice.search("note", k=5)
            assert self.alice.history(cube_id)
        assert contents(self.alice) == self.kept
        return 3 * rounds + 1

    def forget(self, count: int, *, at_once: int = 8) -> list[str]:
        """Forget so many memories, a few at a time."""
        ids = sorted(self.kept)[:count]
        gone: list[str] = []
        for start in range(0, len(ids), at_once):
            batch = ids[start : start + at_once]
            self.alice.forget(batch)
            gone += batch
            for each in batch:
                del self.kept[each]
        return gone


def fill(told: dict[str, Any]) -> dict[str, Any]:
    """Fill a vault under a limit, and try at the full point what must work there."""
    witness = Witness(told["folder"])
    limit_files(told.get("file_bytes", -1))
    with opened(told["folder"], **told["settings"]) as memos:
        filler = Filler(memos, told["seed"])
        alice, owner = filler.alice, memos.session("user:owner")
        grant: Grant = alice.governance.grants(on="user:alice")[0]
        with memos._vault.read() if told["reader"] else nullcontext():
            filler.fill(told["first"])
            reads = filler.read(told["reads"])
            before = witness.reads("user:bob", min(filler.kept))
            alice.revoke(grant)
            after = witness.reads("user:bob", min(filler.kept))
            # A forget writes over what it deletes, and what is held back here is a quarter of a
            # small file: two memories of several large versions may be more than that.
            gone = filler.forget(2, at_once=1)
            alice.governance.quarantine("import:old", on="user:alice")
            owner.remove_member("group:staff", "user:bob")
            owner.audit.checkpoint()
        gone += filler.forget(len(filler.kept) * 3 // 4)
        assert contents(alice) == filler.kept
        seen = {witness.reads("user:alice", each) for each in gone[:5]}
        again = [alice.add(f"again {number}") for number in range(5)]
        filler.kept |= {cube.id: digest(cube.text) for cube in again}
        assert memos.diagnose().is_healthy, memos.diagnose().problems
        assert memos.verify_ledger().status == "self-consistent"
    witness.stop()
    return {
        "told": sorted(set(filler.told)),
        "reads": reads,
        "kept": filler.kept,
        "gone": gone,
        "bob": [before, after],
        "seen": sorted(seen),
    }


class Trap(ManualClock):
    """A clock that sets the limit when it is looked at within an effect, if it is told to.

    So an effect can be stopped at each of its writes in turn, whatever was looked at before.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._lock = folder / "vault.lock"
        self.limit: int | None = None

    def now(self) -> datetime:
        if self.limit is not None and self._an_effect_runs():
            limit_files(self.limit)
        return super().now()

    def _an_effect_runs(self) -> bool:
        with self._lock.open() as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False


@contextmanager
def trapped(clock: Trap, limit: int) -> Iterator[None]:
    clock.limit = limit
    try:
        yield
    finally:
        clock.limit = None
        limit_files(-1)


def sweep(told: dict[str, Any]) -> dict[str, Any]:
    """Stop each verb at each write to the log in turn, until it goes through."""
    folder = Path(told["folder"])
    clock = Trap(folder)
    log, settings = folder / "vault.db-wal", Settings(checkpoint_bytes=1 << 30)
    failures: dict[str, int] = {}
    with MemOS.open(folder, embedder=Brief(), clock=clock, settings=settings) as memos:
        alice = memos.session("user:alice")
        ids = sorted(contents(alice))
        grant = alice.governance.grants(on="user:alice")[0]
        verbs: dict[str, Callable[[], object]] = {
            "add": lambda: alice.add("fresh " + "x" * 9_000),
            "add_many": lambda: alice.add_many([f"many {n} " + "y" * 3_000 for n in range(20)]),
            "update": lambda: alice.update(ids[0], "changed " + "z" * 9_000),
            "grant": lambda: alice.grant("user:carol", "read", on=ids[1]),
            "revoke": lambda: alice.revoke(grant),
            "forget": lambda: alice.forget(ids[2:9]),
            "search": lambda: alice.search("note"),
            "get": lambda: alice.get(ids[1]),
        }
        for verb in told["verbs"]:
            failures[verb] = 0
            before = contents(alice)
            while True:
                size = log.stat().st_size
                limit = (
                    size + 4_120 * failures[verb] * told["step"] + (failures[verb] * 997) % 4_120
                )
                try:
                    with trapped(clock, limit):
                        verbs[verb]()
                    break
                except FullError:
                    failures[verb] += 1
                assert log.stat().st_size <= size, f"what failed of {verb} is cut from the log"
                assert contents(alice) == before
        assert memos.diagnose().is_healthy, memos.diagnose().problems
        assert memos.verify_ledger().status == "self-consistent"
        kept = contents(alice)
    return {"failures": failures, "kept": kept}


def fold(told: dict[str, Any]) -> dict[str, Any]:
    """Let the log be written, and stop its folding into the database, which is larger."""
    folder = Path(told["folder"])
    clock = Trap(folder)
    with opened(str(folder)) as memos:
        memos.session("user:alice").add("x" * 900_000)
    settings = Settings(checkpoint_bytes=1)
    with MemOS.open(folder, embedder=Brief(), clock=clock, settings=settings) as memos:
        alice = memos.session("user:alice")
        cube = alice.add("first")
        statuses, unfolded = [], 0
        for number in range(told["rounds"]):
            passing = alice.add("in passing")
            with trapped(clock, 800_000):
                alice.update(cube.id, f"again {number}")
            unfolded += (folder / "vault.db-wal").stat().st_size > 0
            with trapped(clock, 800_000):
                statuses.append(alice.forget(passing.id).status)
        kept = contents(alice)
    return {"kept": kept, "unfolded": unfolded, "statuses": statuses}


def disk(told: dict[str, Any]) -> dict[str, Any]:
    """Fill a small disk: with the vault, then to the last byte with another file."""
    root = Path(told["mount"])
    report: dict[str, Any] = {"allocated": 0, "failed": []}
    (root / "other").write_bytes(bytes(4 << 20))
    with opened(str(root / "vault"), **told["settings"]) as memos:
        filler = Filler(memos, told["seed"])
        grant = filler.alice.grant("user:bob", "read", on="user:alice")
        filler.fill("add")
        reserve = root / "vault" / "vault.reserve"
        report["allocated"] = reserve.stat().st_blocks * 512 if reserve.exists() else 0
        swallow(root / "other", told["left"])
        steps: dict[str, Callable[[], object]] = {
            "reads": lambda: filler.read(told["reads"]),
            "revoke": lambda: filler.alice.revoke(grant),
            "forget": lambda: filler.forget(24),
        }
        for name, step in steps.items():
            try:
                step()
            except FullError as error:
                report["failed"].append(name)
                filler.told.append(str(error))
        report["second"] = look(root / "vault", sorted(filler.kept)[0], told["settings"])
    with opened(str(root / "vault"), **told["settings"]) as memos:  # the disk is still full
        filler.alice = memos.session("user:alice")
        if not report["failed"]:
            filler.read(told["reads"])
            filler.forget(3)
        (root / "other").unlink()
        filler.add()
        filler.read(3)
        report["refilled"] = reserve.stat().st_size if reserve.exists() else 0
        assert memos.diagnose().is_healthy, memos.diagnose().problems
        assert memos.verify_ledger().status == "self-consistent"
        assert contents(filler.alice) == filler.kept
    with opened(str(root / "vault")) as memos:
        assert contents(memos.session("user:alice")) == filler.kept
    return report | {"told": sorted(set(filler.told))}


def burst(told: dict[str, Any]) -> dict[str, Any]:
    """Write more at once than could be brought from the log into the database."""
    report: dict[str, Any] = {"told": [], "statuses": []}
    root = Path(told["mount"])
    with opened(str(root / "vault")) as memos:
        alice = memos.session("user:alice")
        kept = [cube.id for cube in alice.add_many([f"note {number}" for number in range(20)])]
        for count in told["counts"]:
            texts = [f"burst {number} " + "x" * 900_000 for number in range(count)]
            try:
                kept += [cube.id for cube in alice.add_many(texts)]
            except FullError as error:
                report["told"].append(str(error))
            report["statuses"].append(alice.forget(kept.pop()).status)
            alice.search("note")
        assert set(contents(alice)) == set(kept)
        assert memos.diagnose().is_healthy, memos.diagnose().problems
    return report


def files(told: dict[str, Any]) -> dict[str, Any]:
    """Let no file be written beside the database: an export, a key, an anchor's checkpoint."""
    clock, beside = Trap(Path(told["folder"])), Path(told["beside"])
    anchor = FolderAnchor(beside / "anchor")
    report: dict[str, Any] = {}
    with MemOS.open(told["folder"], embedder=Brief(), clock=clock) as memos:
        owner = memos.session("user:owner")
        audit = owner.audit
        signed = audit.checkpoint()
        for number in range(300):
            owner.search(f"an event {number} for the export")
        memos._vault.database.truncate_log()
        limit = 40_000  # the log has room for an effect, and the export, of 100 kB, has none
        verbs: dict[str, Callable[[], object]] = {
            "export": lambda: audit.export(beside / "ledger.jsonl"),
            "rotate": lambda: audit.rotate_key(),
            "anchor": lambda: anchor.publish(signed),
        }
        for name, verb in verbs.items():
            try:
                with trapped(clock, limit if name == "export" else 60):
                    limit_files(60) if name == "anchor" else None
                    verb()
            except (FullError, AnchorError) as error:
                report[name] = str(error)
    half = [path for path in (beside / "anchor").iterdir() if path.read_bytes().endswith(b"\n")]
    shutil.rmtree(beside / "anchor")
    report["left"] = sorted(path.name for path in beside.iterdir()) + [path.name for path in half]
    report["keys"] = len(list(Path(told["folder"], "keys").iterdir()))
    return report


def swallow(path: Path, left: int) -> None:
    """Fill a disk with another file, but for so many bytes."""
    with path.open("ab", buffering=0) as stream:
        try:
            while True:
                stream.write(b"\0" * 4_096)
        except OSError:
            stream.truncate(max(0, stream.tell() - left))


def look(folder: Path, cube_id: str, settings: dict[str, Any]) -> list[str]:
    """Open the vault in a second process, and read as Alice and as Bob."""
    script = (
        "import json, sys; from tests.filling import *\n"
        "folder, cube_id, settings = json.loads(sys.argv[1])\n"
        "with opened(folder, **settings) as memos:\n"
        "    for who in ('user:alice', 'user:bob'):\n"
        "        try: print(digest(memos.session(who).get(cube_id).text))\n"
        "        except Exception as error: print(type(error).__name__)\n"
    )
    command = [sys.executable, "-c", script, json.dumps([str(folder), cube_id, settings])]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def main(told: dict[str, Any]) -> None:
    if "witness" in told:
        bear_witness(told["witness"])
        return
    modes = {
        "fill": fill,
        "sweep": sweep,
        "fold": fold,
        "disk": disk,
        "files": files,
        "burst": burst,
    }
    print(json.dumps(modes[told["mode"]](told)))
    sys.stdout.flush()
    os._exit(0)  # nothing that happens at the end of Python counts


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
