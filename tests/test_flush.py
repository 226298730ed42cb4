"""A kill proves no durability by itself: a trace shows the flush before each acknowledgement."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, sys
from memos_core import MemOS, Settings
from memos_core.testing import HashingEmbedder
with MemOS.open(sys.argv[1], embedder=HashingEmbedder(),
                settings=Settings(durable_effects=sys.argv[2] == "on")) as memos:
    alice = memos.session("user:alice")
    cube = alice.add("warm-up")
    steps = {
        "add": lambda: alice.add("x"),
        "update": lambda: alice.update(cube.id, "y"),
        "grant": lambda: alice.grant("user:bob", "read", on="user:alice"),
        "search": lambda: alice.search("x"),
        "forget": lambda: alice.forget(cube.id),
    }
    for name, step in steps.items():
        os.write(1, f"begin-{name}\\n".encode())
        step()
        os.write(1, f"acknowledged-{name}\\n".encode())
"""


def trace(folder: Path, durable: str) -> dict[str, list[str]]:
    """Run the script under strace; return, per step, its system calls in order."""
    log = folder.parent / f"trace-{durable}"
    command = ["strace", "-f", "-y", "-e", "trace=fdatasync,fsync,write,pwrite64", "-o", str(log)]
    command += [sys.executable, "-c", SCRIPT, str(folder), durable]
    subprocess.run(command, check=True, capture_output=True)
    steps: dict[str, list[str]] = {}
    current = ""
    for line in log.read_text(errors="replace").splitlines():
        if found := re.search(r'write\(1<[^>]*>, "(begin|acknowledged)-(\w+)', line):
            current = found[2] if found[1] == "begin" else ""
        elif current:
            steps.setdefault(current, []).append(line)
    return steps


def flushes(calls: list[str]) -> int:
    return sum(bool(re.search(r"(fdatasync|fsync)\(\d+<[^>]*vault\.db", call)) for call in calls)


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace: apt-get install strace")
def test_each_effect_is_flushed_before_it_is_acknowledged_and_a_search_does_not_wait(
    tmp_path: Path,
) -> None:
    steps = trace(tmp_path / "durable", "on")
    for effect in ("add", "update", "grant", "forget"):
        calls = steps[effect]
        assert flushes(calls) >= 1, effect
        log_writes = [n for n, call in enumerate(calls) if "pwrite64" in call and "-wal" in call]
        syncs = [n for n, call in enumerate(calls) if flushes([call])]
        assert max(syncs) > min(log_writes), f"{effect}: the flush comes after the log is written"
    assert any("pwrite64" in call and "-wal" in call for call in steps["search"])
    assert flushes(steps["search"]) == 0
    assert flushes(trace(tmp_path / "relaxed", "off")["add"]) == 0
