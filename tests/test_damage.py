"""Damage: whatever happens to a file of a vault is detected or harmless, and never served."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import damaging
from tests.conftest import Proof
from tests.damaging import Outcome, Truth

SPAWN = multiprocessing.get_context("forkserver")
PATIENCE_S = 120
KINDS = (*["flip"] * 10, *["zero"] * 4, *["truncate"] * 2, *["cut"] * 2, *["swap"] * 4, "replace")
WORKERS = 2


def in_process(target: Callable[..., None], *args: Any, kill: bool = False) -> Any:
    """Run a function in a process of its own; return the last thing that it sends."""
    ours, theirs = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=target, args=(*args, theirs))
    process.start()
    theirs.close()
    try:
        assert ours.poll(PATIENCE_S)
        answer = ours.recv()
        if kill:
            os.kill(process.pid or 0, signal.SIGKILL)
        return answer
    finally:
        process.join(PATIENCE_S)


def told(root: Path, folder: Path, anchor: Path) -> Truth:
    copy = root / "told"
    shutil.copytree(folder, copy)
    answers, ids, ever = in_process(damaging.tell, copy, anchor)
    shutil.rmtree(copy)
    return Truth(answers, ids, frozenset(ever))


@pytest.fixture(scope="module")
def vaults(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Build a vault that was closed, and one whose writer was killed: its content is in the log."""
    root = tmp_path_factory.mktemp("damage")
    first, anchor = root / "first", root / "first-anchor"
    in_process(damaging.build, first, anchor, "first")
    foreign = root / "foreign"
    in_process(damaging.build, foreign, root / "foreign-anchor", "first")
    cases: dict[str, Any] = {}
    for name in ("closed", "hot"):
        folder, kept = root / name, root / f"{name}-anchor"
        shutil.copytree(first, folder)
        shutil.copytree(anchor, kept)
        in_process(damaging.build, folder, kept, name, kill=name == "hot")
        assert (folder / "vault.db-wal").exists() == (name == "hot")
        truth = told(root, folder, kept)
        cases[name] = {"folder": folder, "anchor": kept, "truth": truth, "others": {}}
    key = next(first.glob("keys/*.pem")).relative_to(first)
    cases["closed"]["others"] = {
        "vault.db of before": first / "vault.db",
        "vault.db of another vault": foreign / "vault.db",
        "vault.db-wal of another time": root / "hot" / "vault.db-wal",
        f"{key} of another vault": next(foreign.glob("keys/*.pem")),
        "memos-vault.json of another vault": foreign / "memos-vault.json",
    }
    cases["hot"]["others"] = {
        "vault.db of after": root / "closed" / "vault.db",
        "vault.db of another vault": foreign / "vault.db",
        "memos-vault.json of another vault": foreign / "memos-vault.json",
    }
    return cases


def trials(root: Path, vaults: dict[str, Any], plan: list[tuple[int, str, str]]) -> list[Outcome]:
    """Run trials in a process; where it crashes or hangs, note that and go on in another."""
    outcomes: list[Outcome] = []
    while plan:
        ours, theirs = SPAWN.Pipe(duplex=False)
        args = (theirs, root, plan, vaults)
        process = SPAWN.Process(target=damaging.run_trials, args=args)
        process.start()
        theirs.close()
        at, what = plan[0][0], ""
        try:
            while ours.poll(PATIENCE_S):
                said, number, value = ours.recv()
                if said == "begun":
                    at, what = number, value
                elif said == "ended":
                    outcomes.append(value)
                else:
                    plan = []
                    break
            else:
                outcomes.append(Outcome(f"{at} {what}", "hang"))
        except EOFError:
            process.join(PATIENCE_S)
            outcomes.append(Outcome(f"{at} {what}", "crash", f"exit {process.exitcode}"))
        process.kill()
        process.join()
        shutil.rmtree(root / f"trial{process.pid}", ignore_errors=True)
        plan = [each for each in plan if each[0] > at]
    return outcomes


def test_damage_anywhere_is_detected_or_harmless(
    tmp_path: Path,
    vaults: dict[str, Any],
    scaled: Callable[[int, int], int],
    proof: Proof,
) -> None:
    """Whatever happens to a file: the right answers, an error, or less with a word of it.

    Never another content, a permission that nobody gave, or a memory that is gone without a
    trace. A log that was cut, or an older copy, loses whole transactions: that shows against the
    checkpoint that is kept outside.
    """
    rng = random.Random(20)
    count = scaled(100, 2_000)
    plan = [(n, rng.choice(["closed", "closed", "hot"]), rng.choice(KINDS)) for n in range(count)]
    shares = [plan[start::WORKERS] for start in range(WORKERS)]
    with ThreadPoolExecutor(WORKERS) as pool:
        found = [
            each
            for part in pool.map(lambda s: trials(tmp_path, vaults, s), shares)
            for each in part
        ]
    tally = Counter(each.verdict for each in found)
    bad = [each for each in found if each.verdict in ("wrong", "silent", "raw", "hang", "crash")]
    assert not bad, "\n\n".join(f"{b.verdict}: {b.what}\n{b.details}" for b in bad[:40])
    assert len(found) == count
    assert {"reported", "refused", "rolled back", "harmless"} == set(tally)
    proof(
        "damage to any file of a vault is served",
        count,
        f"0 times: {', '.join(f'{n} {v}' for v, n in sorted(tally.items()))}",
    )
