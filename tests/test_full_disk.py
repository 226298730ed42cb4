"""Promise 2: a full disk never corrupts. What was acknowledged stays, reads go on, forget works.

A disk is full in three ways here: no file of a process may grow beyond a size (`RLIMIT_FSIZE`: the
database and its log each meet it), the database has a limit of its own (`max_page_count`), and a
small file system that another file fills to the last byte. All of it happens in other processes.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memos_core import InvalidInputError, MemOS, NotFoundError, Settings
from memos_core.testing import HashingEmbedder
from tests.conftest import Proof
from tests.filling import contents, opened

ROOT = Path(__file__).parent.parent
FIRST = ("add", "update", "add_many", "grant")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small vault with something to read, to forget and to revoke; it is copied while closed."""
    folder = tmp_path_factory.mktemp("template") / "vault"
    with opened(str(folder)) as memos:
        alice, owner = memos.session("user:alice"), memos.session("user:owner")
        alice.add_many([f"note {number} of old" for number in range(20)])
        alice.grant("user:bob", "read", on="user:alice")
        owner.add_member("group:staff", "user:bob")
    return folder


def run(told: dict[str, Any], *, within: Path | None = None, size_mb: int = 24) -> dict[str, Any]:
    """Let another process do it; with `within`, on a small file system mounted there."""
    command = [sys.executable, "-m", "tests.filling", json.dumps(told)]
    if within is not None:
        mounting = 'mount -t tmpfs -o "size=$1" none "$2" && shift 2 && exec "$@"'
        place = [f"{size_mb}m", str(within)]
        command = ["unshare", "-rm", "sh", "-c", mounting, "sh", *place, *command]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4_000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def check_afterwards(folder: Path, found: dict[str, Any]) -> None:
    """In a process without a limit: all that was acknowledged, nothing else, and whole."""
    with opened(str(folder)) as memos:
        alice = memos.session("user:alice")
        assert contents(alice) == found["kept"]
        for cube_id in found["gone"][::7]:
            with pytest.raises(NotFoundError):
                alice.get(cube_id)
        assert memos.diagnose().is_healthy
        assert memos.verify_ledger().status == "self-consistent"
        alice.add("and on it goes")


def check_point(folder: Path, told: dict[str, Any]) -> int:
    """Fill one vault to its limit; return how many reads were answered there."""
    found = run(told | {"mode": "fill", "folder": str(folder)})
    assert found["told"]
    for message in found["told"]:
        assert "full" in message or "limit" in message
        assert "nothing of this operation was kept" in message
        assert "forget" in message
    assert found["bob"][0] != "NotFoundError"
    assert found["bob"][1] == "NotFoundError", "a revocation counts in every process"
    assert found["seen"] == ["NotFoundError"], "a forgotten memory is gone in every process"
    check_afterwards(folder, found)
    return int(found["reads"])


def test_where_no_file_may_grow_nothing_acknowledged_is_lost_and_forget_still_works(
    tmp_path: Path, template: Path, scaled: Callable[[int, int], int], proof: Proof
) -> None:
    """The log meets the limit first, or the database does, or the log while a reader holds it."""
    points, reads = scaled(4, 50), 0
    least = (template / "vault.db").stat().st_size + 140_000
    for point in range(points):
        folder = tmp_path / f"vault-{point}"
        shutil.copytree(template, folder)
        held = point % 5 == 3  # nothing can be emptied: what is done must fit into what is left
        reads += check_point(
            folder,
            {
                "seed": point,
                "file_bytes": least + (point * 2_800_001 // points) + held * 4_000_000,
                "settings": {
                    "checkpoint_bytes": (16_000_000, 100_000)[point // 2 % 2],
                    "reserve_bytes": 300_000 if point % 4 == 2 and not held else 8 << 20,
                },
                "first": FIRST[point % 4],
                "reader": held,
                "reads": 2 if held else 25,
            },
        )
        shutil.rmtree(folder)
    proof("full by the size of a file: database and log", points, f"0 lost, {reads:,} reads")


def test_where_the_database_has_a_limit_it_is_kept_and_forgetting_makes_room(
    tmp_path: Path, template: Path, scaled: Callable[[int, int], int], proof: Proof
) -> None:
    points, reads = scaled(4, 50), 0
    for point in range(points):
        folder = tmp_path / f"vault-{point}"
        shutil.copytree(template, folder)
        limit, reserve = 400_000 + (point * 2_800_001 // points), 1 << 20
        reads += check_point(
            folder,
            {
                "seed": point,
                "settings": {
                    "checkpoint_bytes": (16_000_000, 100_000)[point % 2],
                    "max_vault_bytes": limit,
                    "reserve_bytes": reserve,
                },
                "first": FIRST[point % 4],
                "reader": point % 5 == 3,
                "reads": 25,
            },
        )
        assert (folder / "vault.db").stat().st_size <= limit + reserve
        shutil.rmtree(folder)
    proof("full by a limit on the database", points, f"0 lost, {reads:,} reads")


def test_each_write_of_an_effect_may_find_no_room_and_then_nothing_of_it_is_kept(
    tmp_path: Path, template: Path, scaled: Callable[[int, int], int], proof: Proof
) -> None:
    """The limit is set as the effect begins, one page of the log further each time."""
    folder, step = tmp_path / "vault", scaled(6, 1)
    shutil.copytree(template, folder)
    verbs = ["add", "update", "add_many", "grant", "search", "get", "revoke", "forget"]
    found = run({"mode": "sweep", "folder": str(folder), "verbs": verbs, "step": step})
    assert all(found["failures"].values()), found["failures"]
    check_afterwards(folder, found | {"gone": []})
    failed = sum(found["failures"].values())
    proof("effects stopped at one of their writes", failed, "0 kept in part")


def test_where_the_log_cannot_be_folded_what_was_committed_is_acknowledged(
    tmp_path: Path, template: Path
) -> None:
    """The log has room and the database has none: that is no error of the effect before."""
    folder = tmp_path / "vault"
    shutil.copytree(template, folder)
    found = run({"mode": "fold", "folder": str(folder), "rounds": 20})
    assert found["unfolded"] == 20
    assert found["statuses"] == ["pending"] * 20, "the bytes are not gone yet, and that is said"
    check_afterwards(folder, found | {"gone": []})


@pytest.fixture(scope="module")
def mounts(tmp_path_factory: pytest.TempPathFactory) -> bool:
    """Whether a small file system may be mounted here, in a namespace of its own."""
    point = tmp_path_factory.mktemp("mount")
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=1m", "none", str(point)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def test_on_a_disk_that_is_full_to_the_last_byte_reads_go_on_and_forget_works(
    tmp_path: Path, mounts: bool, scaled: Callable[[int, int], int], proof: Proof
) -> None:
    if not mounts:
        proof("full to the last byte of a small file system", 0, "not permitted to mount one here")
        return
    points = scaled(2, 20)
    for point in range(points):
        settings = {"checkpoint_bytes": (16_000_000, 300_000)[point % 2]}
        left = (0, 4_096, 60_000, 300_000, 900_000)[point % 5]
        told = {"mode": "disk", "seed": point, "left": left, "reads": 40, "settings": settings}
        found = run(told | {"mount": str(tmp_path)}, within=tmp_path)
        assert found["failed"] == []
        # Really set aside, but for what emptying the last log may have taken of it.
        assert found["allocated"] >= 7 << 20
        assert found["second"][1] == "NotFoundError", "revoked for a second process too"
        assert found["second"][0] != "FullError"
        assert found["refilled"] == 8 << 20
        assert all("disk is full" in each for each in found["told"])
    proof("full to the last byte of a small file system", points, "0 lost, forget worked")


def test_without_the_reserve_a_full_disk_stops_reads_and_forget(
    tmp_path: Path, mounts: bool, proof: Proof
) -> None:
    """The control: it is the reserve that makes them work."""
    if not mounts:
        proof("the same without the reserve", 0, "not permitted to mount one here")
        return
    told = {"mode": "disk", "seed": 0, "left": 0, "reads": 40, "settings": {"reserve_bytes": 0}}
    found = run(told | {"mount": str(tmp_path)}, within=tmp_path)
    assert found["failed"] == ["reads", "revoke", "forget"]
    assert found["allocated"] == 0
    proof("the same without the reserve", 1, "reads, revoke and forget fail, 0 lost")


def test_what_could_not_be_brought_from_the_log_into_the_database_is_not_committed(
    tmp_path: Path, mounts: bool, proof: Proof
) -> None:
    """Else the log could never be emptied: it would hold the disk, and what was forgotten."""
    if not mounts:
        proof("more at once than the disk can hold twice", 0, "not permitted to mount one here")
        return
    told = {"mode": "burst", "mount": str(tmp_path), "counts": [8, 28, 60, 28]}
    found = run(told, within=tmp_path, size_mb=48)
    assert len(found["told"]) == 3
    assert found["statuses"] == ["erased"] * 4
    proof("more at once than the disk can hold twice", 4, "3 refused, every log emptied")


def test_the_reserve_is_allocated_kept_whole_and_given_up_where_it_is_switched_off(
    folder: Path,
) -> None:
    reserve = folder / "vault.reserve"
    with opened(str(folder), reserve_bytes=300_000):
        assert reserve.stat().st_size == 300_000
        assert reserve.stat().st_blocks * 512 >= 300_000
        assert reserve.stat().st_mode & 0o077 == 0
    with reserve.open("r+b") as stream:
        stream.truncate(5)  # another process drew on it
    with opened(str(folder), reserve_bytes=300_000) as memos:
        assert reserve.stat().st_size == 300_000
        reserve.unlink()
        memos.session("user:alice").add("fills it up again")
        assert reserve.stat().st_size == 300_000
    with opened(str(folder), reserve_bytes=0) as memos:
        assert reserve.stat().st_size == 0
        assert memos.diagnose().is_healthy


@pytest.mark.parametrize(
    "settings", [{"reserve_bytes": -1}, {"max_vault_bytes": 0}, {"max_vault_bytes": -5}]
)
def test_sizes_that_mean_nothing_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(settings))):
        Settings(**settings)  # type: ignore[arg-type]


def test_files_beside_the_database_that_find_no_room_are_a_clear_error_and_not_left_half(
    tmp_path: Path, template: Path
) -> None:
    folder = tmp_path / "vault"
    shutil.copytree(template, folder)
    found = run({"mode": "files", "folder": str(folder), "beside": str(tmp_path)})
    assert "export" in found["export"]
    assert "free some disk space" in found["export"]
    assert "signing key" in found["rotate"]
    assert "free some disk space" in found["rotate"]
    assert "could not be written" in found["anchor"]
    assert found["left"] == ["vault"], "nothing half-written is left"
    assert found["keys"] == 1
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        assert memos.diagnose().is_healthy
