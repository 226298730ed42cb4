"""What an attacker tried against redaction, holds, quotas and the log: each stays shut.

`mallory` reads and writes `acme`, is cleared for internal, and shares and governs nothing.
"""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from memos_core import (
    DeniedError,
    Document,
    Draft,
    FullError,
    InvalidInputError,
    MemOS,
    MemosError,
    Message,
    NotFoundError,
    Patch,
    Session,
    Settings,
    Source,
)
from memos_core.testing import HashingEmbedder, ManualClock

R, C, P = "restricted", "confidential", "public"


@pytest.fixture
def chief(memos: MemOS) -> Session:
    """Govern everything shared, cleared for all of it."""
    owner = memos.session("user:owner")
    owner.set_clearance("user:owner", R)
    return owner


@pytest.fixture
def mallory(memos: MemOS, chief: Session) -> Session:
    chief.grant("user:mallory", ["read", "write"], on="acme")
    return memos.session("user:mallory")


def secret_number(chief: Session, **fields: Any) -> str:
    given = {"space": "acme", "metadata": {"pay": 91_000}, "field_sensitivity": {"metadata.pay": R}}
    return chief.add(Draft({"name": "Bo"}), **(given | fields)).id


# -- redaction -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "patch",
    [
        Patch(field_sensitivity={}),
        Patch(content={"n": 1}, field_sensitivity={}),
        Patch(content={"n": 1}, field_sensitivity={"metadata.pay": "internal"}),  # type: ignore[dict-item]
    ],
)
def test_a_kept_field_cannot_be_opened_by_who_does_not_see_it(
    chief: Session, mallory: Session, patch: Patch
) -> None:
    cube_id = secret_number(chief)
    with pytest.raises(DeniedError):
        mallory.update(cube_id, patch)
    assert "91" not in repr(mallory.get(cube_id).meta.metadata)


def test_a_decoy_opens_no_other_field(chief: Session, mallory: Session) -> None:
    cube_id = chief.add({"pay": 7, "name": "Bo"}, space="acme", field_sensitivity={"pay": C}).id
    decoy = Patch(content={"pay": 8, "decoy": 1}, field_sensitivity={"decoy": R})  # type: ignore[dict-item]
    with pytest.raises(MemosError):
        mallory.update(cube_id, decoy, mode="merge")
    with pytest.raises(DeniedError):
        mallory.update(cube_id, Patch(field_sensitivity={"name": R}))  # type: ignore[dict-item]
    assert mallory.get(cube_id).content == {"pay": "[CONFIDENTIAL]", "name": "Bo"}


def test_what_was_marked_stays_marked_under_another_detector(folder: Path) -> None:
    card = "the card 4111 1111 1111 1111 pays"
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        owner = memos.session("user:owner")
        owner.grant("user:mallory", ["read", "write"], on="acme")
        cube_id = owner.add(card, space="acme").id
    none = Settings(span_levels={})
    with MemOS.open(folder, embedder=HashingEmbedder(), settings=none) as memos:
        mallory = memos.session("user:mallory")
        for patch in (Patch(priority="low"), Patch(metadata={"x": 1})):
            assert mallory.update(cube_id, patch).text == "the card [CARD] pays"
        assert mallory.update(cube_id, " and more", mode="append").text.startswith(
            "the card [CARD]"
        )


@pytest.mark.parametrize("fields", [{"metadata": R}, {"role": "internal"}, {"a.b": R}])
@pytest.mark.parametrize("content", [Message(role="user", parts="hello"), Document(text="x"), "x"])
def test_no_memory_stops_the_reads_of_others(
    chief: Session, mallory: Session, fields: dict[str, str], content: Any
) -> None:
    chief.add("a good one", space="acme")
    start = {"role": 1, "a": {"b": 2}, "metadata": {"x": 1}}
    cube = mallory.add(start, space="acme", sensitivity=P, field_sensitivity=fields)
    mallory.update(cube.id, content)
    for session in (mallory, chief):
        assert "a good one" in session.search("good").texts
        assert len(session.get_all()) == 2
        assert len(session.history(cube.id)) == 2
        session.get(cube.id, version=1)
        session.trace("a good one and five more words")


def test_an_update_of_a_public_memory_keeps_its_parts_out_of_the_vector(
    memos: MemOS, chief: Session
) -> None:
    chief.grant("user:guest", "read", on="acme")
    chief.set_clearance("user:guest", P)
    plan = {"name": "Bo", "plan": "acquire zebra industries"}
    cube = chief.add(plan, space="acme", sensitivity=P, field_sensitivity={"plan": "internal"})
    guest = memos.session("user:guest")
    before = guest.search("acquire zebra industries")[0].why
    chief.update(cube.id, Patch(priority="high"))
    assert guest.search("acquire zebra industries")[0].why == before


def test_the_past_is_not_searched_by_what_is_hidden_today(
    chief: Session, mallory: Session, clock: ManualClock
) -> None:
    cube = chief.add({"name": "Bo"}, space="acme", metadata={"pay": 91_000, "note": "zebra"})
    then = clock.now()
    clock.turn(timedelta(days=1))
    levels = {"metadata.pay": R, "metadata.note": R}
    chief.update(cube.id, Patch(field_sensitivity=levels))  # type: ignore[arg-type]
    past = mallory.at(then + timedelta(hours=1))
    assert past.get(cube.id).meta.metadata == {"pay": "[RESTRICTED]", "note": "[RESTRICTED]"}
    assert len(past.get_all(where={"metadata.pay": {"$gte": 1}})) == 0
    assert past.search("zebra")[0].why["bm25"] == 0
    assert past.search("zebra")[0].why["dense"] == 0


def test_merging_compares_nothing_with_what_is_hidden(chief: Session, mallory: Session) -> None:
    card = "code 4111 1111 1111 1111 pin"
    cube = chief.add(f"first line\n{card}", space="acme")
    with pytest.raises(DeniedError, match="only in part"):
        mallory.update(cube.id, card, mode="merge")
    assert chief.update(cube.id, card, mode="merge").text.count("pin") == 1
    denied = [e for e in chief.audit.query(action="update") if e.outcome == "denied"]
    assert [each.principal for each in denied] == ["user:mallory"]


def test_names_and_sizes_of_what_is_hidden_are_not_told(
    memos: MemOS, chief: Session, mallory: Session
) -> None:
    cube = chief.add(
        {"open": 1, "closed": {"inner": "x" * 500}},
        space="acme",
        field_sensitivity={"closed": R},
    )
    told = []
    for name in ("closed.inner", "closed.other"):
        with pytest.raises(InvalidInputError) as error:
            mallory.update(cube.id, Patch(field_sensitivity={name: R, "closed": R}))  # type: ignore[dict-item]
        told.append(str(error.value).replace(name, "NAME"))
    assert told[0] == told[1]
    big = {"x": "y" * 999_800}
    with pytest.raises(InvalidInputError) as error:
        mallory.update(cube.id, Patch(content=[big]), mode="append")
    assert "would exceed" in str(error.value) or "append" in str(error.value)


def test_a_public_reader_is_not_told_that_there_is_more(memos: MemOS, chief: Session) -> None:
    chief.grant("user:guest", "read", on="acme")
    chief.set_clearance("user:guest", P)
    whole = chief.add("write to ", space="acme", sensitivity=P)
    partly = chief.add("write to ada@acme.test", space="acme", sensitivity=P)
    guest = memos.session("user:guest")
    one, other = guest.get(whole.id).meta, guest.get(partly.id).meta
    assert (one.redacted, one.signature) == (other.redacted, other.signature) == (False, None)
    assert one.content_hash == other.content_hash


def test_the_name_of_a_field_says_what_it_holds(alice: Session) -> None:
    cube = alice.add({"password": "hunter22x", "ssn": "512-33-8421", "colour": "hunter22x"})
    assert sorted(mark.path for mark in cube.meta.marks) == ["/content/password", "/content/ssn"]
    assert all(mark.start == 0 for mark in cube.meta.marks)


# -- holds, quarantines, quotas ------------------------------------------------------------------


def test_nobody_vetoes_the_forgetting_of_others(chief: Session, mallory: Session) -> None:
    source = chief.add("a source", space="acme")
    mallory.governance.hold("user:mallory")
    held = mallory.add("derived", parents=(source.id,))
    assert chief.forget(source.id).forgotten == (source.id,)
    with pytest.raises(NotFoundError):
        mallory.get(held.id)


def test_what_is_held_neither_ends_early_nor_is_hidden(chief: Session, mallory: Session) -> None:
    cube = chief.add("evidence", space="acme", key="k")
    chief.governance.quarantine("import:bad")
    chief.governance.hold("acme")
    with pytest.raises(DeniedError, match="hold"):
        mallory.update(cube.id, Patch(expires=timedelta(microseconds=1)))
    draft = Draft("evidence", space="acme", key="k", source="import:bad")
    with pytest.raises(DeniedError, match="hold"):
        mallory.add_many([draft], on_key="replace")
    assert mallory.get(cube.id).text == "evidence"


def test_nobody_releases_himself(memos: MemOS, chief: Session) -> None:
    chief.grant("user:gov", ["read", "write", "govern"], on="acme")
    made = chief.governance.quarantine("user:gov", on="acme")
    with pytest.raises(DeniedError, match="nobody releases himself"):
        memos.session("user:gov").governance.release(made)
    chief.governance.release(made)


@pytest.mark.parametrize("origin", ["", "a\u202eb", "a\x1b[2J", "x" * 600, "\ud800"])
def test_an_origin_can_be_named_in_a_quarantine(alice: Session, origin: str) -> None:
    with pytest.raises(InvalidInputError):
        alice.add("x", source=Source(origin=origin))
    with pytest.raises(InvalidInputError):
        alice.add("x", source=Source(origin="import:x", uri="u" * 30_000))


def test_an_update_is_charged_to_who_writes_it(
    chief: Session, mallory: Session, alice: Session
) -> None:
    chief.grant("user:alice", ["read", "write"], on="acme")
    cube = alice.add("mine", space="acme")
    chief.governance.set_quota("user:alice", size_bytes=5_000)
    chief.governance.set_quota("user:mallory", size_bytes=3_000)
    with pytest.raises(FullError):
        mallory.update(cube.id, "x" * 10_000)
    mallory.update(cube.id, "small")
    assert alice.add("still room", space="acme").version == 1


def test_the_use_of_others_is_not_told(chief: Session, mallory: Session) -> None:
    chief.governance.set_quota("acme", size_bytes=100)
    with pytest.raises(FullError) as told:
        mallory.add("x" * 200, space="acme")
    assert "would exceed it" in str(told.value)


def test_answers_of_writes_count_as_reads(chief: Session, mallory: Session) -> None:
    cube = chief.add("x", space="acme", key="k")
    chief.governance.set_quota("user:mallory", reads_per_day=1)
    mallory.get(cube.id)
    with pytest.raises(FullError):
        mallory.add_many([Draft("y", space="acme", key="k")], on_key="skip")
    with pytest.raises(FullError):
        mallory.update(cube.id, Patch(priority="low"))


# -- rights and the log --------------------------------------------------------------------------


def test_reads_of_a_pipeline_that_was_undone_are_told_and_counted(
    chief: Session, mallory: Session
) -> None:
    cube = chief.add("x", space="acme")
    chief.governance.set_quota("user:mallory", reads_per_day=2)

    def read() -> None:
        with mallory.pipeline():
            mallory.update(cube.id, "y")
            mallory.get(cube.id)
            raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            read()
    with pytest.raises(FullError):
        read()
    told = [(e.action, e.outcome) for e in chief.audit.query(principal="user:mallory")]
    assert told.count(("memos.get", "allowed")) == 2
    assert told.count(("memos.update", "undone")) == 2


def test_an_explanation_tells_nothing_of_spaces_that_one_does_not_govern(
    chief: Session, mallory: Session
) -> None:
    source = chief.add("x", space="acme/hr")
    grant = chief.grant("user:bob", "read", on="acme/hr")
    child = mallory.add("derived", parents=(source.id,))
    for who in ("user:bob", "user:carol"):
        found = mallory.governance.explain(who, "read", child.id)
        assert grant.id not in repr(found)
        assert "acme" not in repr(found)


def test_a_question_makes_no_space(memos: MemOS, mallory: Session, chief: Session) -> None:
    for number in range(20):
        mallory.governance.explain("user:mallory", "read", f"made-up-{number}")
    with memos._vault.read() as tx:
        assert memos._engine.gate.registry.find_space(tx, "made-up-1") is None


def test_words_bear_the_name_of_who_wrote_them(
    memos: MemOS, chief: Session, alice: Session, mallory: Session
) -> None:
    chief.grant("user:alice", ["read", "write"], on="acme")
    cube = alice.add("pay to account 111", space="acme")
    mallory.update(cube.id, "pay to account 666")
    item = alice.context("account", budget_tokens=300).items[0]
    assert (item.by, item.text) == ("user:mallory", "pay to account 666")
    whole = alice.get(cube.id)
    assert memos.verify_signature(whole)
    blamed = whole.meta.model_copy(update={"author": "user:alice"})
    assert not memos.verify_signature(whole.model_copy(update={"meta": blamed}))


def test_rights_that_a_group_gave_end_with_the_membership(memos: MemOS, chief: Session) -> None:
    chief.add_member("group:g", "user:gov")
    chief.grant("group:g", ["read", "govern"], on="acme")
    gov = memos.session("user:gov")
    gov.grant("user:gov", ["read", "govern"], on="acme")
    gov.grant("user:friend", "read", on="acme")
    chief.add("x", space="acme")
    chief.remove_member("group:g", "user:gov")
    assert len(gov.get_all()) == len(memos.session("user:friend").get_all()) == 0


def test_a_derived_memory_ends_with_its_source_also_when_that_is_shortened(
    alice: Session, clock: ManualClock
) -> None:
    source = alice.add("source", expires=timedelta(days=9))
    child = alice.add("child", parents=(source.id,))
    grandchild = alice.add("grandchild", parents=(child.id,))
    alice.update(child.id, Patch(expires=timedelta(days=99)))
    alice.update(source.id, Patch(expires=timedelta(days=1)))
    clock.turn(timedelta(days=2))
    for each in (source, child, grandchild):
        with pytest.raises(NotFoundError):
            alice.get(each.id)
    assert alice.search("child source").texts == []


# -- cost ----------------------------------------------------------------------------------------


def test_a_text_of_nothing_but_addresses_stays_cheap(alice: Session, bob: Session) -> None:
    cube = alice.add("a@b.cc " * 20_000)
    assert len(cube.meta.marks) == 1  # the whole text
    alice.grant("user:bob", "read", on="user:alice")
    assert bob.get(cube.id).text == "[EMAIL]"


def test_a_text_that_repeats_itself_is_traced_in_linear_time(alice: Session) -> None:
    alice.add("a " * 4_000)
    start = time.perf_counter()
    assert alice.trace("a " * 8_000)[0].words >= 4_000
    assert time.perf_counter() - start < 20  # quadratic took minutes; this is no measurement
