"""Bad input: each case is an error of the tree that says what to do, and nothing is written."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import create_engine, text

from memos_core import (
    DeniedError,
    Draft,
    EmbedderError,
    Interval,
    InvalidInputError,
    Key,
    MemOS,
    MemosError,
    NotFoundError,
    Patch,
    SchemaError,
    Session,
    Settings,
    VaultError,
)
from memos_core.infrastructure.vault.layout import find_vault
from memos_core.models.embedder import unit_rows
from memos_core.testing import HashingEmbedder, ManualClock

EARLY, LATE = timezone(timedelta(hours=14)), timezone(timedelta(hours=-14))
TOO_EARLY, TOO_LATE = datetime(1, 1, 1, tzinfo=EARLY), datetime(9999, 12, 31, 23, tzinfo=LATE)
BEYOND = timedelta(days=999_999_999)
NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - that is the point

REFUSED: list[tuple[str, Callable[[Session], object], str]] = [
    ("empty text", lambda s: s.add(""), "empty"),
    ("white space", lambda s: s.add(" \n\t "), "empty"),
    ("no content", lambda s: s.add(None), "empty"),
    ("not JSON", lambda s: s.add({1, 2}), "JSON"),  # type: ignore[arg-type]
    ("NaN", lambda s: s.add([math.nan]), "JSON"),
    ("a lone surrogate", lambda s: s.add("a\ud800b"), "surrogate"),
    ("text over the limit", lambda s: s.add("x" * 2_000), "limit is 1,000"),
    ("an unknown field", lambda s: s.add("x", colour="red"), "unknown field 'colour'"),
    ("an empty space", lambda s: s.add("x", space=""), "space is empty"),
    ("a space of blanks", lambda s: s.add("x", space="  "), "space is empty"),
    ("a file path", lambda s: s.add("x", space="/etc/passwd"), "malformed space"),
    ("a climbing path", lambda s: s.add("x", space="acme/../root"), "malformed space"),
    ("a trailing slash", lambda s: s.add("x", space="acme/"), "malformed space"),
    ("a group's space", lambda s: s.add("x", space="group:a"), "malformed space"),
    ("a naive occurred_at", lambda s: s.add("x", occurred_at=NAIVE), "time zone"),
    ("a naive expires", lambda s: s.add("x", expires=NAIVE), "time zone"),
    ("a naive interval", lambda s: s.add("x", valid=Interval(NAIVE)), "time zone"),
    ("an empty interval", lambda s: Interval(datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 1,
    tzinfo=UTC)), "after"), ("already expired", lambda s: s.add("x", expires=timedelta(0)),
    "not in the future"), ("a lone tag", lambda s: s.add("x", tags="red"), "set of names"),
    ("an empty tag", lambda s: s.add("x", tags={""}), "empty"),
    ("an empty key", lambda s: s.add("x", key=" "), "key is empty"),
    ("a long key", lambda s: s.add("x", key="k" * 600), "at most 512"),
    ("a control character", lambda s: s.add("x", key="a\x00b"), "control"),
    ("metadata that is not JSON", lambda s: s.add("x", metadata={"a": object()}), "metadata"),
    ("tags that are no set", lambda s: s.add("x", tags=5), "set of names"),
    ("parents that are no ids", lambda s: s.add("x", parents=5), "parents is a tuple"),
    ("levels that are no mapping", lambda s: s.add("x", field_sensitivity=["a"]), "Mapping"),
    ("an end in words", lambda s: s.add("x", expires="7d"), "aware datetime"),
    ("an end beyond time", lambda s: s.add("x", expires=BEYOND), "years 1 to 9999"),
    ("a time in words", lambda s: s.add("x", occurred_at="2026-01-01"), "aware datetime"),
    ("a time before time", lambda s: s.add("x", occurred_at=TOO_EARLY), "years 1 to 9999"),
    ("an interval in words", lambda s: s.add("x", valid="2026"), "Interval"),
    ("a source that is a number", lambda s: s.add("x", source=5), "source is"),
    ("a source with a surrogate", lambda s: s.add("x", source="\udcff"), "control"),
    ("a key that is a number", lambda s: s.add("x", key=5), "key is text"),
    ("a terminal escape in a speaker", lambda s: s.add("x", speaker="a\x9b2J"), "control"),
    ("a turned-around tag", lambda s: s.add("x", tags={"a\u202eb"}), "direction"),
    ("a reason with a surrogate", lambda s: s.forget("mem_x", reason="\ud800"), "control"),
    ("a key with a surrogate", lambda s: s.get(Key("\ud800")), "control"),
    ("a grant beyond time", lambda s: s.grant("user:b", "read", on="a", until=TOO_LATE), "9999"),
    ("an unknown level", lambda s: s.add("x", sensitivity="secret"), "unknown sensitivity"),
    ("an unknown priority", lambda s: s.add("x", priority="urgent"), "priority"),
    ("a malformed reader", lambda s: s.add("x", access={"alice"}), "malformed principal"),
    ("a malformed purpose", lambda s: s.add("x", purposes={"Two Words"}), "malformed purpose"),
    ("a key twice in one call", lambda s: s.add_many([Draft("a", key="k"), Draft("b", key="k")]),
    "twice"), ("an unknown on_key", lambda s: s.add_many(["a"], on_key="maybe"), "on_key"),  # type: ignore[arg-type]
    ("an empty query", lambda s: s.search(" "), "query is empty"),
    ("k of nothing", lambda s: s.search("x", k=0), "k is between"),
    ("k of too much", lambda s: s.search("x", k=10_000), "k is between"),
    ("k that is no number", lambda s: s.search("x", k=True), "k is between"),
    ("a negative budget", lambda s: s.search("x", budget_tokens=-1), "budget"),
    ("an empty filter", lambda s: s.search("x", where={}), "filter is empty"),
    ("an empty inner filter", lambda s: s.search("x", where={"$or": [{}]}), "filter is empty"),
    ("an empty $and", lambda s: s.search("x", where={"$and": []}), "non-empty list"),
    ("an unknown header field", lambda s: s.search("x", where={"user_id": "bob"}),
    "unknown filter field"), ("an injected field", lambda s: s.search("x", where={"key' OR 1=1 --":
    1}), "unknown filter field"), ("metadata without a name", lambda s: s.search("x",
    where={"metadata.": 1}), "unknown filter field"), ("an unknown operator", lambda s:
    s.search("x", where={"key": {"$regex": "."}}), "unknown operator"), ("$in of no list", lambda
    s: s.search("x", where={"key": {"$in": "abc"}}), "list of values"), ("a naive filter", lambda
    s: s.search("x", where={"created": {"$gt": NAIVE}}), "time zone"), ("a filter of another type",
    lambda s: s.search("x", where={"key": 3}), "takes str"), ("a filter by nothing known", lambda
    s: s.search("x", where={"metadata.a": object()}), "compare"), ("no filter mapping", lambda s:
    s.get_all(where=["key"]), "mapping"),  # type: ignore[arg-type] ("an empty scope", lambda s: s.search("x", space=""), "space is empty"),
    ("a limit of nothing", lambda s: s.get_all(limit=0), "limit is between"),
    ("a made-up cursor", lambda s: s.get_all(cursor="§"), "cursor"),
    ("forget nothing", lambda s: s.forget([]), "at least one"),
    ("an unknown action", lambda s: s.grant("user:bob", "own", on="user:alice"), "unknown action"),
    ("no action", lambda s: s.grant("user:bob", [], on="user:alice"), "at least one"),
    ("a malformed grantee", lambda s: s.grant("bob", "read", on="user:alice"),
    "malformed principal"), ("a grant on nothing", lambda s: s.grant("user:bob", "read", on=""),
    "space"), ("a naive end", lambda s: s.grant("user:bob", "read", on="user:alice", until=NAIVE),
    "time zone"), ("no purpose", lambda s: s.grant("user:bob", "read", on="user:alice",
    purposes=()), "purpose"), ("a group that is none", lambda s: s.add_member("user:a", "user:b"),
    "not a group"), ("an unknown clearance", lambda s: s.set_clearance("user:bob", "cosmic"),
    "unknown sensitivity"),
]  # fmt: skip


@pytest.fixture
def session(folder: Path) -> Any:
    settings = Settings(max_content_bytes=1_000)
    with MemOS.open(folder, embedder=HashingEmbedder(), settings=settings) as memos:
        yield memos.session("user:alice")


@pytest.mark.parametrize(
    ("call", "says"), [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_bad_input_is_refused_with_what_to_do_and_nothing_is_written(
    session: Session, call: Callable[[Session], object], says: str
) -> None:
    with pytest.raises(InvalidInputError, match=says):
        call(session)
    assert len(session.get_all()) == 0


def test_a_bad_draft_among_good_ones_leaves_nothing(session: Session) -> None:
    with pytest.raises(InvalidInputError):
        session.add_many(["good", Draft("also good"), " "])
    assert len(session.get_all()) == 0


@pytest.mark.parametrize(
    "patch",
    [
        Patch(),
        Patch(""),
        Patch(occurred_at=NAIVE),
        Patch(expires=timedelta(seconds=-1)),
        Patch(priority="x"),
        Patch("x" * 2_000),
        Patch(metadata={"n": "x" * 2_000}),
        Patch(access=frozenset({"nobody"})),
    ],
)
def test_a_bad_patch_is_refused_and_no_version_is_written(session: Session, patch: Patch) -> None:
    cube = session.add("x")
    with pytest.raises(InvalidInputError):
        session.update(cube.id, patch)
    assert [each.number for each in session.history(cube.id)] == [1]


@pytest.mark.parametrize(
    "name", ["alice", "user:", "user: alice", "admin:a", "user:a/b", "", "user:a\n"]
)
def test_a_malformed_principal_is_refused(memos: MemOS, name: str) -> None:
    with pytest.raises(InvalidInputError, match="malformed principal"):
        memos.session(name)


def test_a_group_does_not_act(memos: MemOS) -> None:
    with pytest.raises(InvalidInputError, match="groups do not act"):
        memos.session("group:team")


@pytest.mark.parametrize(
    "ref", ["mem_doesnotexist", "x", "' OR 1=1 --", Key("nope"), Key("k", "acme")]
)
def test_an_id_that_is_not_there_is_not_found(alice: Session, ref: Any) -> None:
    for call in (alice.get, alice.history, alice.forget):
        with pytest.raises(NotFoundError, match="that you may read"):
            call(ref)
    with pytest.raises(NotFoundError):
        alice.update(ref, "x")


@pytest.mark.parametrize("ref", [None, 3, "", b"mem", "\ud800"])
def test_what_cannot_be_an_id_is_not_found_either(alice: Session, ref: Any) -> None:
    with pytest.raises(NotFoundError, match="pass an id"):
        alice.get(ref)


def test_a_directory_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(VaultError, match="not a vault"):
        MemOS.open(tmp_path, embedder=HashingEmbedder())
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(VaultError, match="is a file"):
        MemOS.open(tmp_path / "file")


@pytest.mark.parametrize("url", ["", "  ", "postgresql://localhost/x", "http://example.org"])
def test_a_location_that_cannot_be_opened_says_so(url: str) -> None:
    with pytest.raises(InvalidInputError):
        MemOS.open(url)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p"])
def test_a_network_file_system_is_refused_before_anything_is_made(
    tmp_path: Path, kind: str
) -> None:
    mounts = f"/dev/vda / ext4 rw 0 0\nserver:/export {tmp_path} {kind} rw 0 0\n"
    with pytest.raises(VaultError, match="network file system"):
        find_vault(tmp_path / "vault", mounts=mounts)
    assert find_vault(tmp_path / "vault", mounts="/dev/vda / ext4 rw 0 0\n").exists is False


def test_a_vault_of_a_newer_schema_is_refused_and_left_as_it_is(folder: Path) -> None:
    MemOS.open(folder, embedder=HashingEmbedder()).close()
    with create_engine(f"sqlite:///{folder}/vault.db").begin() as connection:
        connection.execute(text("UPDATE vault SET schema_number = 99"))
    with pytest.raises(SchemaError, match="upgrade memos-core"):
        MemOS.open(folder, embedder=HashingEmbedder())


def test_an_open_process_stops_when_the_schema_moves_under_it(folder: Path) -> None:
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        alice = memos.session("user:alice")
        alice.add("before")
        with create_engine(f"sqlite:///{folder}/vault.db").begin() as connection:
            connection.execute(text("UPDATE vault SET schema_number = 99"))
        for call in (lambda: alice.add("after"), lambda: alice.search("before")):
            with pytest.raises(SchemaError):
                call()


def test_another_embedder_than_the_vaults_is_refused(folder: Path) -> None:
    with MemOS.open(folder, embedder=HashingEmbedder(dims=64)) as memos:
        memos.session("user:alice").add("x")
    with pytest.raises(EmbedderError, match="hashing-64"):
        MemOS.open(folder, embedder=HashingEmbedder(dims=128))
    with MemOS.open(folder) as memos:  # the vault's own is found by its name
        assert memos.session("user:alice").search("x").texts == ["x"]


class _Broken:
    name, dims = "broken", 4

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def embed(self, texts: Any) -> Any:
        return self._answer


@pytest.mark.parametrize(
    "answer", [np.zeros((1, 4)), np.full((1, 4), np.nan), np.ones((1, 5)), np.ones((2, 4))]
)
def test_an_embedder_that_answers_nonsense_leaves_nothing_behind(folder: Path, answer: Any) -> None:
    with pytest.raises(EmbedderError):
        unit_rows(answer, 4, 1, "broken")
    with MemOS.open(folder, embedder=_Broken(answer)) as memos:
        alice = memos.session("user:alice")
        with pytest.raises(EmbedderError, match="broken"):
            alice.add("x")
        assert len(alice.get_all()) == 0


def test_every_error_is_a_memos_error(session: Session) -> None:
    with pytest.raises(MemosError):
        session.add("")


def test_a_clock_refuses_a_naive_start() -> None:
    with pytest.raises(InvalidInputError):
        ManualClock(NAIVE)


@pytest.mark.parametrize("name", ["p?a", "p%20a", "a b", "ü#&"])
def test_a_vault_lies_where_its_path_says_whatever_characters_it_has(
    tmp_path: Path, name: str
) -> None:
    with MemOS.open(tmp_path / name, embedder=HashingEmbedder()) as memos:
        memos.session("user:alice").add("here")
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "vault.db").stat().st_size > 0


class _Spy(HashingEmbedder):
    seen = 0

    def embed(self, texts: Any) -> Any:
        self.seen += len(texts)
        return super().embed(texts)


def test_a_text_that_may_not_be_written_never_reaches_the_embedder(folder: Path) -> None:
    spy = _Spy()
    with MemOS.open(folder, embedder=spy) as memos:
        with pytest.raises(DeniedError):
            memos.session("user:bob").add("private", space="acme")
        assert spy.seen == 0


def test_a_vault_whose_making_was_cut_off_still_gets_its_governor(folder: Path) -> None:
    MemOS.open(folder, embedder=HashingEmbedder()).close()
    with create_engine(f"sqlite:///{folder}/vault.db").begin() as connection:
        for table in ("grants", "ledger", "principals"):
            connection.execute(text(f"DELETE FROM {table}"))
        connection.execute(text("UPDATE ledger_chains SET seq = 0, head = '', last_time = 0"))
    with MemOS.open(folder, settings=Settings(owner="user:maya")) as memos:
        memos.session("user:maya").grant("user:bob", "read", on="acme")
        assert memos.verify_ledger().outcomes == {"allowed": 2}
