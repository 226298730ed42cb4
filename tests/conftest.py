"""Shared fixtures: a vault to throw away, who acts in it, and how large the proofs are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memos_core import MemOS, Session, Settings
from memos_core.testing import HashingEmbedder, ManualClock


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the proofs at full size")
    parser.addoption(
        "--data",
        default=os.environ.get("MEMOS_BENCH_DATA"),
        help="a folder of public evaluation data; never part of the project",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the proofs that have a full size, so that `make soak` finds them."""
    for item in items:
        if "scaled" in getattr(item, "fixturenames", ()):
            item.add_marker("soak")


@pytest.fixture(scope="session")
def scaled(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """Choose a proof's size: small in `make test`, full in `make soak`."""
    soak = bool(request.config.getoption("--soak"))
    return lambda small, full: full if soak else small


Proof = Callable[[str, int, str], None]
"""Takes what was proven, in how many trials, and what failed."""


@pytest.fixture
def proof(record_property: Callable[[str, object], None]) -> Proof:
    """Record a proof for the table at the end of the run."""

    def record(what: str, trials: int, found: str) -> None:
        record_property("proof", (what, f"{trials:,}", found))

    return record


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the proofs that were run, each with its number of trials."""
    rows = [
        value
        for report in terminalreporter.getreports("passed")
        for name, value in getattr(report, "user_properties", ())
        if name == "proof" and report.when == "call"
    ]
    if rows:
        width = max(len(row[0]) for row in rows)
        terminalreporter.section("proofs")
        for what, trials, found in sorted(map(tuple, rows)):
            terminalreporter.write_line(f"{what:<{width}}  {trials:>9}  {found}")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small models are slower with several threads, and these tests run beside others."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "vault"


@pytest.fixture
def memos(folder: Path, clock: ManualClock) -> Iterator[MemOS]:
    settings = Settings(owner="user:owner")
    with MemOS.open(folder, embedder=HashingEmbedder(), clock=clock, settings=settings) as opened:
        yield opened


@pytest.fixture
def owner(memos: MemOS) -> Session:
    return memos.session("user:owner")


@pytest.fixture
def alice(memos: MemOS) -> Session:
    return memos.session("user:alice")


@pytest.fixture
def bob(memos: MemOS) -> Session:
    return memos.session("user:bob")
