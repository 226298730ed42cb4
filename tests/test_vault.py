"""The vault: one schema for two databases, damage detected, files as promised."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from memos_core import (
    BusyError,
    DamagedError,
    FullError,
    MemOS,
    MemosError,
    NotFoundError,
    Settings,
)
from memos_core.infrastructure.vault import schema
from memos_core.infrastructure.vault.doctor import has_wal_reset_bug
from memos_core.infrastructure.vault.layout import file_system_of
from memos_core.infrastructure.vault.lock import WriterLock
from memos_core.testing import HashingEmbedder


@pytest.mark.parametrize("dialect", [postgresql.dialect(), sqlite.dialect()], ids=["pg", "sqlite"])
def test_the_schema_renders_for_both_databases(dialect: object) -> None:
    text = ""
    for table in schema.metadata.sorted_tables:
        text += str(CreateTable(table).compile(dialect=dialect))  # type: ignore[arg-type]
        for index in table.indexes:
            text += str(CreateIndex(index).compile(dialect=dialect))  # type: ignore[arg-type]
    assert text.count("CREATE TABLE") == len(schema.metadata.tables)
    for name in ("cubes", "versions", "lineage", "embeddings", "principals", "members", "grants"):
        assert f"CREATE TABLE {name}" in text
    for name in ("labels", "realms", "journal", "ledger", "blobs", "tombstones", "cube_keys"):
        assert f"CREATE TABLE {name}" in text


def test_the_migrations_lead_to_exactly_the_schema(folder: Path) -> None:
    MemOS.open(folder, embedder=HashingEmbedder()).close()
    engine = create_engine(f"sqlite:///{folder}/vault.db")
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), schema.metadata)
    engine.dispose()
    assert differences == []


def test_a_half_made_vault_is_finished_at_the_next_open(folder: Path) -> None:
    MemOS.open(folder, embedder=HashingEmbedder()).close()
    (folder / "memos-vault.json").unlink()  # killed before the marker was written
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        memos.session("user:alice").add("x")
    assert (folder / "memos-vault.json").exists()


def test_the_connection_keeps_the_rules(memos: MemOS, folder: Path) -> None:
    facts = memos.diagnose().facts
    assert facts["journal_mode"] == "wal"
    database = memos._vault.database
    with database.effect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("synchronous", "wal_autocheckpoint", "foreign_keys", "secure_delete")
        }
    assert pragmas == {
        "synchronous": 2,
        "wal_autocheckpoint": 0,
        "foreign_keys": 1,
        "secure_delete": 1,
    }
    assert oct(folder.stat().st_mode & 0o777) == "0o700"


def test_the_log_is_folded_in_by_its_size(folder: Path) -> None:
    settings = Settings(checkpoint_bytes=200_000)
    with MemOS.open(folder, embedder=HashingEmbedder(), settings=settings) as memos:
        alice = memos.session("user:alice")
        for number in range(60):
            alice.add(f"{number} " + "long text " * 400)
        assert (folder / "vault.db-wal").stat().st_size < 600_000


def test_a_writer_that_waits_too_long_is_told_so(tmp_path: Path) -> None:
    first = WriterLock(tmp_path / "lock", timeout_s=5)
    second = WriterLock(tmp_path / "lock", timeout_s=0.2)
    with first.held(), pytest.raises(BusyError, match=r"0\.2 s"), second.held():
        pass
    with second.held():  # what gave up has left the queue
        pass


def test_the_writers_queue_excludes_threads_and_lets_all_through(tmp_path: Path) -> None:
    lock = WriterLock(tmp_path / "lock", timeout_s=30)
    inside, most, total = 0, 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most, total
        for _ in range(50):
            with lock.held():
                with guard:
                    inside += 1
                    most = max(most, inside)
                with guard:
                    inside -= 1
                    total += 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, total) == (1, 400)


def test_a_file_system_is_found_by_its_longest_mount_point() -> None:
    mounts = "a / ext4 rw\nb /home nfs4 rw\nc /home/me/My\\040Disk ext4 rw\nbroken\n"
    assert file_system_of(Path("/etc"), mounts) == "ext4"
    assert file_system_of(Path("/home/you/vault"), mounts) == "nfs4"
    assert file_system_of(Path("/home/me/My Disk/vault"), mounts) == "ext4"


def test_the_sqlite_versions_with_the_wal_bug_are_known() -> None:
    bad = ["3.7.0", "3.40.1", "3.44.5", "3.45.0", "3.50.6", "3.51.2"]
    good = ["3.6.23", "3.44.6", "3.50.7", "3.51.3", "3.52.0"]
    assert all(has_wal_reset_bug(version) for version in bad)
    assert not any(has_wal_reset_bug(version) for version in good)


def test_flipped_bits_are_detected_or_harmless(
    tmp_path: Path, scaled: Callable[[int, int], int]
) -> None:
    """Whatever bit of the database flips: the right content, an error, or nothing; never
    another."""
    folder = tmp_path / "vault"
    texts = {f"k{number}": f"the secret number {number} is {number * 7919}" for number in range(40)}
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        alice = memos.session("user:alice")
        for key, text in texts.items():
            alice.add(text, key=key)
    whole = (folder / "vault.db").read_bytes()
    rng = random.Random(1)
    wrong, detected = [], 0
    for trial in range(scaled(60, 2_000)):
        damaged = bytearray(whole)
        place = rng.randrange(len(damaged))
        damaged[place] ^= 1 << rng.randrange(8)
        copy = tmp_path / f"copy{trial}"
        copy.mkdir()
        (copy / "vault.db").write_bytes(bytes(damaged))
        shutil.copy(folder / "memos-vault.json", copy)
        try:
            with MemOS.open(copy) as memos:
                alice = memos.session("user:alice")
                hits = alice.search("secret number", k=100)
                served = {hit.cube.meta.key: hit.text for hit in hits}
                wrong += [
                    (place, key) for key, text in served.items() if texts.get(key or "") != text
                ]
                detected += bool(hits.warnings)
                if memos.session("user:bob").search("secret", k=100):
                    wrong.append((place, "leaked to bob"))
        except MemosError:
            detected += 1
        shutil.rmtree(copy)
    assert wrong == []
    assert detected > 0


def test_a_damaged_memory_is_withheld_named_and_can_be_forgotten(folder: Path) -> None:
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        alice = memos.session("user:alice")
        cube, other = alice.add("the code is 1"), alice.add("the code was 2")
    with sqlite3.connect(folder / "vault.db") as raw:
        raw.execute("UPDATE versions SET payload = replace(payload, 'is 1', 'is 9')")
    raw.close()
    with MemOS.open(folder) as memos:
        alice = memos.session("user:alice")
        hits = alice.search("code")
        assert hits.texts == [other.text]
        assert cube.id in hits.warnings[0]
        with pytest.raises(DamagedError, match="doctor"):
            alice.get(cube.id)
        assert memos.session("user:bob").search("code").warnings == ()
        assert [cube.id in problem for problem in memos.diagnose().problems] == [True]
        alice.forget(cube.id)
        assert memos.diagnose().is_healthy
        with pytest.raises(NotFoundError):
            alice.get(cube.id)


def test_a_full_disk_is_a_clear_error_and_reads_go_on(folder: Path) -> None:
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        alice = memos.session("user:alice")
        alice.add("before")
        with memos._vault.database.effect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 2}")
        kept = 0

        def fill() -> None:
            nonlocal kept
            for _ in range(100):
                alice.add(f"{kept} " + "x" * 3_000)
                kept += 1

        with pytest.raises(FullError, match="disk space"):
            fill()
        assert len(alice.get_all(limit=1000)) == 1 + kept
        assert alice.search("before")[0].text == "before"


def test_forgotten_bytes_are_gone_from_every_file(folder: Path) -> None:
    """Looked for by another process: this one never opens the database's files itself."""
    search = (
        "import pathlib, sys\n"
        "data = [p.read_bytes() for p in pathlib.Path(sys.argv[1]).rglob('*') if p.is_file()]\n"
        "print(sum(each.count(sys.argv[2].encode()) for each in data))"
    )

    def count(canary: str) -> int:
        command = [sys.executable, "-c", search, str(folder), canary]
        return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)

    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        alice = memos.session("user:alice")
        alice.add("something else, to stay")
        cube = alice.add(
            "canary-text", key="canary-key", tags={"canary-tag"}, metadata={"a": "canary-meta"}
        )
        alice.update(cube.id, "canary-second")
        alice.add("canary-summary", parents=(cube.id,))
        canaries = ["text", "key", "tag", "meta", "second", "summary"]
        assert all(count(f"canary-{each}") for each in canaries)
        report = alice.forget(cube.id)
        assert report.status == "erased"
        assert [count(f"canary-{each}") for each in canaries] == [0] * len(canaries)
        assert count("something else") > 0


def test_a_reader_in_the_way_makes_the_report_say_pending(folder: Path) -> None:
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        alice = memos.session("user:alice")
        cube = alice.add("canary")
        with memos._vault.read():
            report = alice.forget(cube.id)
        assert report.status == "pending"
        assert "write-ahead log" in report.pending[0]
        with pytest.raises(NotFoundError):
            alice.get(cube.id)
