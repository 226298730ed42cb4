"""The demo runs to its end, says what it promises, and fails where the vault breaks a promise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "examples" / "harbor_team.py"
TRANSCRIPT = ROOT / "examples" / "data" / "harbor_team.jsonl"
ROOMS = {
    "harbor/kiosk": {"user:maya", "user:tomas", "user:ines", "user:ravi", "agent:planner"},
    "harbor/people": {"user:maya", "user:ravi"},
    **{name: {name} for name in ("user:maya", "user:tomas", "user:ines", "user:ravi")},
}

SABOTAGE = """
import runpy, sys
from memos_core.session import Session
{broken}
sys.argv = [sys.argv[1], "--embedder", "hashing-256"]
runpy.run_path(sys.argv[0], run_name="__main__")
"""

BROKEN = {
    "a revoked grant still holds": "Session.revoke = lambda self, grant: None",
    "a stale writer wins": (
        "update = Session.update\n"
        "Session.update = lambda self, ref, content, *, expected_version=None, reason='': "
        "update(self, ref, content, reason=reason)"
    ),
    "an unreadable id answers in words of its own": (
        "from memos_core import MemosError, NotFoundError\n"
        "get = Session.get\n"
        "def tattling(self, ref, *, version=None):\n"
        "    try:\n"
        "        return get(self, ref, version=version)\n"
        "    except MemosError as error:\n"
        "        raise NotFoundError(f'{error}: {hash(str(ref))}') from error\n"
        "Session.get = tattling"
    ),
    "what was forgotten stays": (
        "from memos_core import ForgetReport\n"
        "forget = Session.forget\n"
        "def forgetful(self, refs, *, reason=''):\n"
        "    return forget(self, refs) if not reason else ForgetReport((), (), 'erased')\n"
        "Session.forget = forgetful"
    ),
}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        env.pop(name, None)
    return subprocess.run(
        [sys.executable, *command],
        env=env,
        capture_output=True,
        encoding="utf-8",
        timeout=400,  # about 35 seconds where nothing else runs
        check=False,
    )


def rows() -> list[dict[str, str]]:
    return [json.loads(line) for line in TRANSCRIPT.read_text(encoding="utf-8").splitlines()]


def test_the_demo_runs_to_its_end_and_says_what_was_checked(tmp_path: Path) -> None:
    vault = tmp_path / "vault"
    done = run(str(DEMO), "--vault", str(vault), "--embedder", "hashing-256")

    assert (done.returncode, done.stderr) == (0, "")
    told = " ".join(done.stdout.split())  # sentences are folded at 100 columns
    for sentence in (
        "1 of 10. Open a vault, and say who may do what",
        "✓ All 188 messages are in, by speaker and space.",
        "✓ Maya, the owner, sees 0 of the 11 private notes of Tomas.",
        "✓ Ines finds the allergy before she orders the cake.",
        "✓ Maya finds the salary band.",
        "✓ user:tomas can find 133 memories, 0 of them in harbor/people.",
        "✓ Ines finds her plan.",
        "✓ user:ravi can find 157 memories, 0 of them in user:ines.",
        "✓ Tomas may not write into harbor/people:",
        "✓ But for the id that he typed, the answers have the same words",
        "✓ 9 refusals and Ravi's look at the id left 10 entries in the ledger.",
        "✓ Now Tomas finds the salary band.",
        "✓ The same memory, now version 2, says 15 May.",
        "is at version 2, not 1: read it again",
        "<memories ",
        "✓ Until now, 5 of 5 members find it in three hits.",
        "✓ Now 0 of 5 members find it, however far they look.",
        "✓ After: 0 found in",
        "✓ memos.verify_ledger(): self-consistent,",
        "✓ memos.diagnose(): 187 memories,",
        f"The vault stays in {vault}.",
    ):
        assert sentence in told, sentence
    assert (vault / "memos-vault.json").is_file()


def test_the_demo_is_readable_without_colour_and_at_a_hundred_columns() -> None:
    done = run(str(DEMO), "--embedder", "hashing-256")

    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert max(len(line.rstrip()) for line in done.stdout.splitlines()) <= 100
    assert "The vault is removed." in done.stdout


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_the_demo_fails_where_the_vault_does_not_keep_its_promise(broken: str) -> None:
    done = run("-c", SABOTAGE.format(broken=broken), str(DEMO))

    assert done.returncode == 1, done.stdout
    assert done.stderr.strip().startswith("The demo stopped. DemoFailedError: "), done.stderr


def test_the_demo_leaves_a_directory_alone_that_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("Dear Ravi", encoding="utf-8")

    done = run(str(DEMO), "--vault", str(tmp_path), "--embedder", "hashing-256")

    assert done.returncode == 2
    assert "is not empty: name a new directory" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


def test_the_transcript_has_unique_keys_and_ascending_aware_times() -> None:
    keys = [row["key"] for row in rows()]
    assert keys == [f"m{number:03}" for number in range(1, 189)]

    times = [datetime.fromisoformat(row["at"]) for row in rows()]
    assert all(time.utcoffset() is not None for time in times)
    assert all(earlier < later for earlier, later in pairwise(times))


def test_everybody_in_the_transcript_writes_where_the_demo_lets_them() -> None:
    assert all(row["speaker"] in ROOMS[row["space"]] for row in rows())
    assert Counter(row["space"] for row in rows()).keys() == ROOMS.keys()


def test_the_door_code_is_in_exactly_one_message_of_the_transcript() -> None:
    assert [row["key"] for row in rows() if "7319-heron" in row["text"]] == ["m115"]
    assert TRANSCRIPT.read_text(encoding="utf-8").count("7319") == 1


def test_the_three_frameworks_demo_runs_to_its_end() -> None:
    demo = ROOT / "examples" / "one_vault_three_frameworks.py"
    done = run(str(demo), "--embedder", "hashing-256")
    assert done.returncode == 0, done.stdout + done.stderr
    for sentence in (
        "said by user:ines, through langchain",
        "The engine's model was shown what Ines said.",
        "The caterer was not.",
        "No model was shown anything of it.",
        "The ledger is self-consistent",
    ):
        assert sentence in done.stdout


INSIDE = ROOT / "examples" / "inside_the_model.py"


def test_the_demo_of_memory_inside_a_model_runs_to_its_end() -> None:
    done = run(str(INSIDE), "--embedder", "hashing-256")
    assert done.returncode == 0, done.stdout + done.stderr
    for sentence in (
        "the answer is that of the plain prompt",
        "Maya revokes: no agent knows it any more",
        "nor does the other process",
        "without a word of it in the prompt",
        "nor does the other process, which had it loaded",
        "All claims hold",
    ):
        assert sentence in done.stdout


def test_the_demo_of_memory_inside_a_model_fails_where_a_revoked_grant_still_holds() -> None:
    broken = "Session.revoke = lambda self, grant: None"
    done = run("-c", SABOTAGE.format(broken=broken), str(INSIDE))
    assert done.returncode != 0
    assert "Broken" in done.stderr


def test_a_month_with_alice_runs_to_its_end() -> None:
    done = run(str(DEMO.parent / "a_month_with_alice.py"))
    assert done.returncode == 0, done.stdout[-3_000:]
    assert done.stdout.count("✓") >= 14
    for week in range(1, 5):
        assert f"week {week}: 10 of 10 hold what is true now" in done.stdout


def test_the_month_notices_where_nothing_is_superseded(tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text(
        "import runpy\n"
        "from memos_core.operation.organizing.relating import Relater\n"
        "Relater._end_valid_time = lambda *given: None\n"
        f"runpy.run_path({str(DEMO.parent / 'a_month_with_alice.py')!r}, run_name='__main__')\n"
    )
    done = run(str(script))
    assert done.returncode == 1
    assert "✗" in done.stdout
