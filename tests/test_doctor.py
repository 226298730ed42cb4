"""The doctor names what is damaged; and what decides who may read is never believed if it is."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from memos_core import (
    DamagedError,
    IntegrityError,
    MemOS,
    MemosError,
    NotFoundError,
    Settings,
    VaultError,
)
from memos_core.testing import HashingEmbedder, ManualClock


@contextmanager
def reopened(folder: Path, clock: ManualClock | None = None) -> Iterator[MemOS]:
    settings = Settings(owner="user:owner")
    turned = clock or ManualClock()
    turned.turn(timedelta(days=1))
    with MemOS.open(folder, embedder=HashingEmbedder(), clock=turned, settings=settings) as memos:
        yield memos


@pytest.fixture
def filled(folder: Path, memos: MemOS, clock: ManualClock) -> Path:
    """A closed vault with one row of everything."""
    owner = memos.session("user:owner")
    owner.add_member("group:staff", "user:carol")
    owner.grant("group:staff", "read", on="acme")
    owner.grant("user:dave", "read", on="acme")
    owner.set_clearance("user:dave", "public")
    plan = owner.add("the first plan", space="acme", key="plan", source="import:a.md")
    clock.turn(timedelta(hours=1))
    owner.update(plan.id, "the second plan")
    owner.add("a summary of the plan", space="acme", key="summary", parents=(plan.id,))
    owner.add("an open plan", space="acme", key="open", sensitivity="public")
    owner.forget(owner.add("a plan to forget", space="acme").id, reason="law")
    owner.governance.quarantine("import:bad.md")
    owner.governance.set_trust("import:a.md", "low")
    owner.governance.hold("acme/held")
    owner.governance.set_quota("user:carol", cubes=10)
    memos.session("user:carol").search("plan")
    memos.session("user:dave").search("plan")
    memos.session("user:mallory").search("plan")
    memos.close()
    return folder


def change(folder: Path, *statements: str) -> None:
    """Change rows of a closed vault behind its back."""
    with closing(sqlite3.connect(folder / "vault.db", isolation_level=None)) as raw:
        for statement in statements:
            assert raw.execute(statement).rowcount > 0


def found(folder: Path, query: str) -> str:
    with closing(sqlite3.connect(folder / "vault.db")) as raw:
        return str(raw.execute(query).fetchone()[0])


PLAN = "SELECT id FROM cubes WHERE key = 'plan'"
SUMMARY = "SELECT id FROM cubes WHERE key = 'summary'"
OF_PLAN = f"WHERE cube_id = ({PLAN})"
FORGOTTEN = "SELECT cube_id FROM tombstones"
DAVE = "SELECT id FROM principals WHERE name = 'user:dave'"
CASES = {
    "a memory's owner": ("UPDATE cubes SET owner_id = 'prn_x' WHERE key = 'plan'", PLAN),
    "a memory's end": ("UPDATE cubes SET expires = 'soon' WHERE key = 'plan'", PLAN),
    "a memory's row": ("DELETE FROM cubes WHERE key = 'plan'", PLAN),
    "an old content": (
        f"UPDATE versions SET payload = replace(payload, 'st', 'ST') {OF_PLAN} AND version = 1",
        PLAN,
    ),
    "the present content": (
        f"UPDATE versions SET payload = replace(payload, 'sec', 'Sec') {OF_PLAN} AND version = 2",
        PLAN,
    ),
    "a header": (f"UPDATE versions SET header = 'x' {OF_PLAN} AND version = 2", PLAN),
    "a text": (f"UPDATE versions SET payload = CAST(x'ff80' AS TEXT) {OF_PLAN}", PLAN),
    "an instant": (
        f"UPDATE versions SET recorded_to = recorded_to + 1 {OF_PLAN} AND version = 1",
        PLAN,
    ),
    "an old version": (f"DELETE FROM versions {OF_PLAN} AND version = 1", PLAN),
    "the present version": (f"DELETE FROM versions {OF_PLAN} AND version = 2", PLAN),
    "an old vector": (
        f"UPDATE embeddings SET vector = zeroblob(length(vector)) {OF_PLAN} AND version = 1",
        PLAN,
    ),
    "a vector": (f"DELETE FROM embeddings {OF_PLAN} AND version = 2", PLAN),
    "a link": ("UPDATE lineage SET parent_version = 9", SUMMARY),
    "a link's row": ("DELETE FROM lineage", SUMMARY),
    "a key of a memory": (f"DELETE FROM cube_keys {OF_PLAN}", PLAN),
    "a journal": (f"UPDATE journal SET cube_id = 'mem_x' WHERE cube_id = ({SUMMARY})", SUMMARY),
    "a tombstone": ("DELETE FROM tombstones", FORGOTTEN),
    "a tombstone's time": ("UPDATE tombstones SET forgotten_at = 'x'", FORGOTTEN),
    "a tombstone's memory": (f"UPDATE tombstones SET cube_id = ({PLAN})", PLAN),
    "a grant": ("UPDATE grants SET actions = 30", "SELECT id FROM grants"),
    "a clearance": ("UPDATE principals SET clearance = 3 WHERE name = 'user:dave'", DAVE),
    "a name": ("UPDATE principals SET name = 'user:dove' WHERE name = 'user:dave'", DAVE),
    "a member": (f"UPDATE members SET member_id = ({DAVE})", DAVE),
    "a space": (
        "UPDATE spaces SET path = 'acne' WHERE path = 'acme'",
        "SELECT id FROM spaces WHERE path = 'acme'",
    ),
    "a trust": ("UPDATE trusts SET level = 2", "SELECT source_id FROM trusts"),
    "a quarantine": ("UPDATE quarantines SET space = 'x'", "SELECT id FROM quarantines"),
    "a hold": ("UPDATE holds SET until = 1", "SELECT id FROM holds"),
    "a label": ("UPDATE labels SET atoms = replace(atoms, 'acme', 'acne')", "SELECT 'label'"),
    "a label's kind": ("UPDATE labels SET atoms = CAST(atoms AS BLOB)", "SELECT 'label'"),
    "a realm": ("UPDATE realms SET seq = seq + 1", "SELECT id FROM realms"),
    "a quota": ("UPDATE quotas SET max_cubes = 'x'", "SELECT subject FROM quotas"),
    "an event": ("UPDATE ledger SET body = body || ' '", "SELECT 'hash'"),
    "a head": ("UPDATE ledger_chains SET last_time = 95617584000000000", "SELECT 'chain'"),
    "a public key": ("UPDATE signing_keys SET public = 'x'", "SELECT 'keys'"),
}


@pytest.mark.parametrize("case", list(CASES))
def test_the_doctor_names_what_is_damaged(filled: Path, case: str) -> None:
    statement, named = CASES[case]
    name = found(filled, named)
    change(filled, statement)
    with reopened(filled) as memos:
        problems = memos.diagnose().problems
    assert any(name in each for each in problems), problems


def test_the_doctor_finds_nothing_where_nothing_is(filled: Path) -> None:
    with reopened(filled) as memos:
        assert memos.diagnose().problems == ()


@pytest.mark.parametrize("name", ["memos-vault.json", "keys"])
@pytest.mark.parametrize("content", [b"", b"\xff\x00 no such thing", b"[]"])
def test_the_doctor_names_a_damaged_file(filled: Path, name: str, content: bytes) -> None:
    path = filled / name
    path = next(path.glob("*.pem")) if path.is_dir() else path
    path.write_bytes(content)
    with reopened(filled) as memos:
        assert len(memos.session("user:owner").search("plan")) == 3
        (problem,) = memos.diagnose().problems
        assert str(path) in problem


def test_the_doctor_outlives_a_lost_page_and_names_what_was_on_it(filled: Path) -> None:
    name = found(filled, PLAN)
    path = filled / "vault.db"
    data = bytearray(path.read_bytes())
    page = data.index(b"the second plan") // 4096 * 4096
    data[page : page + 4096] = bytes(4096)
    path.write_bytes(bytes(data))
    with reopened(filled) as memos:
        with pytest.raises(MemosError):
            memos.session("user:owner").get(name)
        assert any(f"memory {name}" in each for each in memos.diagnose().problems)


def test_a_damaged_principal_reads_no_more_and_stops_nobody_else(filled: Path) -> None:
    change(filled, CASES["a clearance"][0])
    with reopened(filled) as memos:
        with pytest.raises(DamagedError, match="doctor"):
            memos.session("user:dave").search("plan")
        assert len(memos.session("user:carol").search("plan")) == 3
        assert memos.session("user:mallory").search("plan").texts == []


def test_a_damaged_membership_gives_nobody_a_group(filled: Path) -> None:
    mallory = "SELECT id FROM principals WHERE name = 'user:mallory'"
    change(filled, f"UPDATE members SET member_id = ({mallory})")
    with reopened(filled) as memos:
        with pytest.raises(DamagedError, match="doctor"):
            memos.session("user:mallory").search("plan")
        assert memos.session("user:dave").search("plan").texts == ["an open plan"]


def test_a_clearance_that_an_index_does_not_lead_to_any_more_still_counts(filled: Path) -> None:
    """Else a principal whose name is not found would have the clearance that a new one has."""
    whole = (filled / "vault.db").read_bytes()
    places = [i for i in range(len(whole)) if whole.startswith(b"user:dave", i)]
    assert len(places) >= 2  # the row, and the index
    for number, place in enumerate(places):
        copy = filled.parent / f"copy{number}"
        shutil.copytree(filled, copy)
        data = bytearray(whole)
        data[place + 5] ^= 1
        (copy / "vault.db").write_bytes(bytes(data))
        with reopened(copy) as memos:
            try:
                assert memos.session("user:dave").search("plan").texts == ["an open plan"]
            except DamagedError:
                assert memos.diagnose().problems


def test_a_damaged_link_stops_the_forgetting_of_its_source_until_what_was_derived_is_forgotten(
    filled: Path,
) -> None:
    plan, summary = found(filled, PLAN), found(filled, SUMMARY)
    change(filled, CASES["a link"][0])
    with reopened(filled) as memos:
        owner = memos.session("user:owner")
        with pytest.raises(DamagedError, match="doctor"):
            owner.forget(plan)
        assert owner.get(summary).text == "a summary of the plan"
        owner.forget(summary)
        owner.forget(plan)
        with pytest.raises(NotFoundError):
            owner.get(plan)


def test_two_versions_at_one_instant_are_withheld(filled: Path, clock: ManualClock) -> None:
    plan = found(filled, PLAN)
    change(filled, f"UPDATE versions SET recorded_to = NULL {OF_PLAN}")
    with reopened(filled, clock) as memos:
        owner = memos.session("user:owner")
        past = owner.at(clock.now() - timedelta(minutes=30))
        with pytest.raises(DamagedError):
            past.get(plan)
        hits = past.search("plan")
        assert plan not in [hit.id for hit in hits]
        assert plan in hits.warnings[0]
        assert owner.get(plan).text == "the second plan"


def test_a_time_in_the_ledger_that_is_damaged_ends_no_memory(filled: Path) -> None:
    """It would be the vault's present, in which all that has an end has ended."""
    change(filled, CASES["a head"][0])
    before = found(filled, "SELECT count(*) FROM ledger")
    with reopened(filled) as memos, pytest.raises(IntegrityError, match="restore"):
        memos.session("user:owner").search("plan")
    assert found(filled, "SELECT count(*) FROM ledger") == before
    change(filled, "UPDATE ledger_chains SET last_time = 9000000000000000000")
    with pytest.raises(DamagedError, match="restore"), reopened(filled):
        pass


LOSSES: dict[str, Callable[[Path], object]] = {
    "emptied": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "no database": lambda path: path.write_bytes(b"x" * 9_000),
}


@pytest.mark.parametrize("loss", list(LOSSES))
def test_a_vault_that_lost_its_database_is_not_begun_anew(filled: Path, loss: str) -> None:
    LOSSES[loss](filled / "vault.db")
    with pytest.raises(DamagedError, match="backup"), reopened(filled):
        pass


def test_the_database_of_another_vault_is_refused(filled: Path, tmp_path: Path) -> None:
    MemOS.open(tmp_path / "other", embedder=HashingEmbedder()).close()
    shutil.copy(tmp_path / "other" / "vault.db", filled / "vault.db")
    with pytest.raises(VaultError, match="put the right"), reopened(filled):
        pass


def test_a_marker_that_is_damaged_is_written_anew_once_it_is_removed(filled: Path) -> None:
    (filled / "memos-vault.json").write_text("no marker")
    with reopened(filled) as memos:
        assert "remove it" in memos.diagnose().problems[0]
    (filled / "memos-vault.json").unlink()
    with reopened(filled) as memos:
        assert memos.diagnose().is_healthy


@pytest.mark.parametrize("table", ["grants", "holds"])
def test_the_log_shows_nobody_what_a_damaged_row_is_about(filled: Path, table: str) -> None:
    """The space of a grant says who is shown that it was given."""
    about = found(filled, f"SELECT id FROM {table} ORDER BY created DESC LIMIT 1")
    with reopened(filled) as memos:
        before = memos.session("user:owner").audit.query()
        assert about in [entry.subject for entry in before]
    change(filled, f"UPDATE {table} SET space = 'user:mallory' WHERE id = '{about}'")
    with reopened(filled) as memos:
        mallory = memos.session("user:mallory")
        assert about not in [entry.subject for entry in mallory.audit.query()]


UNFIT = (
    ("realms", "seq"),
    ("quotas", "max_reads_per_day"),
    ("vault", "policy_epoch"),
    ("vault", "embedder"),
    ("labels", "atoms"),
    ("ledger", "time"),
    ("ledger", "body"),
    ("ledger_chains", "last_time"),
    ("holds", "until"),
    ("spaces", "realm_id"),
    ("members", "group_id"),
    ("signing_keys", "created"),
    ("versions", "recorded_from"),
    ("cubes", "version"),
)
"""Columns whose values are computed with."""


@pytest.mark.parametrize(("table", "column"), UNFIT)
def test_what_is_of_another_kind_ends_in_an_error_of_memos(
    filled: Path, table: str, column: str
) -> None:
    """SQLite stores anything anywhere, and damage to a row's header changes a value's kind."""
    if table == "quotas":
        change(filled, "UPDATE quotas SET max_reads_per_day = 9")
    opened = found(filled, "SELECT id FROM cubes WHERE key = 'open'")
    change(filled, f"UPDATE {table} SET {column} = x'00ff'")
    try:
        with reopened(filled) as memos:
            refused = 0
            carol, owner = memos.session("user:carol"), memos.session("user:owner")
            verbs: list[Callable[[], object]] = [
                lambda: carol.search("plan"),
                lambda: carol.search("plan"),
                lambda: carol.get_all(),
                lambda: carol.audit.query(),
                lambda: owner.forget(opened),
            ]
            for verb in verbs:
                try:
                    verb()
                except MemosError:
                    refused += 1
            assert refused or memos.diagnose().problems
    except MemosError:
        pass  # it could not be opened at all


def test_no_bytes_are_not_an_empty_text(filled: Path) -> None:
    """The space of a quarantine that counts everywhere is an empty text."""
    change(filled, "UPDATE quarantines SET space = x''")
    with reopened(filled) as memos:
        with pytest.raises(DamagedError, match="doctor"):
            memos.session("user:owner").search("plan")
        assert "quarantine" in memos.diagnose().problems[0]
