"""Redaction: who is not cleared for a part sees the rest, and nothing tells of the part."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memos_core import (
    DeniedError,
    Draft,
    InvalidInputError,
    MemOS,
    Message,
    NotFoundError,
    Patch,
    Session,
    Settings,
)
from memos_core.cube import Sensitivity
from memos_core.infrastructure.governance.redaction import Disclosure, disclose
from memos_core.testing import HashingEmbedder
from tests.conftest import Proof

MAIL = "Write to ada@acme.test about the boat."
CARD = "The card is 4111 1111 1111 1111, says the clerk."


@pytest.fixture
def reader(memos: MemOS, owner: Session) -> Callable[[str], Session]:
    """Make a reader of `acme` with a clearance."""

    def make(level: str) -> Session:
        name = f"user:{level}"
        owner.grant(name, ["read", "write"], on="acme")
        owner.set_clearance(name, level)
        return memos.session(name)

    return make


def test_a_reader_sees_the_text_a_placeholder_or_nothing(
    owner: Session, reader: Callable[[str], Session]
) -> None:
    cube = owner.add(MAIL, space="acme", sensitivity="public")
    assert reader("restricted").get(cube.id).text == MAIL
    assert reader("confidential").get(cube.id).text == MAIL
    assert reader("internal").get(cube.id).text == "Write to [EMAIL] about the boat."
    assert reader("public").get(cube.id).text == "Write to  about the boat."


def test_the_rule_of_disclosure_is_one_function() -> None:
    levels = list(Sensitivity)
    for level in levels:
        for clearance in levels:
            shown = disclose(level, clearance)
            assert (shown is Disclosure.CONTENT) == (clearance >= level)
            assert (shown is Disclosure.NOTHING) == (level > clearance == Sensitivity.PUBLIC)


def test_in_ones_own_space_one_sees_everything(alice: Session, bob: Session) -> None:
    cube = alice.add(f"{MAIL} {CARD}")
    assert alice.get(cube.id).text == f"{MAIL} {CARD}"
    assert {mark.type for mark in alice.get(cube.id).meta.marks} == {"EMAIL", "CARD"}
    alice.grant("user:bob", "read", on="user:alice")
    assert bob.get(cube.id).text == (
        "Write to [EMAIL] about the boat. The card is [CARD], says the clerk."
    )


def test_fields_of_structured_content_are_redacted_singly(
    owner: Session, reader: Callable[[str], Session]
) -> None:
    record = {"name": "Ada", "pay": {"base": 7, "bonus": 2}, "notes": [{"text": "x", "by": "y"}]}
    levels = {"pay.base": "confidential", "notes.text": "restricted", "metadata.desk": "internal"}
    cube = owner.add(
        record,
        space="acme",
        sensitivity="public",
        metadata={"desk": "4b", "floor": 2},
        field_sensitivity=levels,
    )
    internal = reader("internal").get(cube.id)
    assert internal.content == {
        "name": "Ada",
        "pay": {"base": "[CONFIDENTIAL]", "bonus": 2},
        "notes": [{"text": "[RESTRICTED]", "by": "y"}],
    }
    assert internal.meta.metadata == {"desk": "4b", "floor": 2}
    public = reader("public").get(cube.id)
    assert public.content == {"name": "Ada", "pay": {"bonus": 2}, "notes": [{"by": "y"}]}
    assert public.meta.metadata == {"floor": 2}
    assert public.meta.field_sensitivity == {}  # not even the names
    assert reader("restricted").get(cube.id).content == record


def test_a_message_stays_a_message(owner: Session, reader: Callable[[str], Session]) -> None:
    said = Message(role="user", parts=MAIL, name="ada@acme.test", id="call_Ab12Cd34Ef56Gh78Ij90")
    cube = owner.add(said, space="acme")
    shown = reader("internal").get(cube.id).content
    assert isinstance(shown, Message)
    assert shown.text == "Write to [EMAIL] about the boat."
    assert (shown.role, shown.id) == ("user", said.id)


def test_nothing_tells_of_the_hidden_part(owner: Session, reader: Callable[[str], Session]) -> None:
    cube = owner.add(MAIL, space="acme")
    shown = reader("internal").get(cube.id)
    assert shown.meta.redacted
    assert (shown.meta.content_hash, shown.meta.signature, shown.meta.marks) == (None, None, ())
    whole = reader("confidential").get(cube.id)
    assert whole.meta.content_hash
    assert not whole.meta.redacted


def test_marked_spans_are_indexed_as_placeholders_only(
    owner: Session, reader: Callable[[str], Session], alice: Session
) -> None:
    owner.add_many([Draft(MAIL, space="acme"), Draft("Another note of the boat.", space="acme")])
    for session in (reader("internal"), reader("restricted")):
        hits = session.search("ada@acme.test")
        assert all(hit.why["bm25"] == 0 for hit in hits)
    alice.add({"secret": "4111111111111111", "open": "harbour"})
    assert len(alice.get_all(where={"content.open": "harbour"})) == 1
    assert len(alice.get_all(where={"content.secret": "4111111111111111"})) == 0


def test_every_read_and_every_answer_of_a_write_is_redacted(
    memos: MemOS, owner: Session, reader: Callable[[str], Session]
) -> None:
    internal = reader("internal")
    owner.add(MAIL, space="acme", key="k")
    cube = internal.search("boat")[0].cube
    answers: list[Any] = [
        internal.get(cube.id),
        internal.get_all().items,
        internal.history(cube.id),
        internal.context("boat", budget_tokens=500),
        internal.provenance(cube.id),
        internal.add("Call eve@acme.test", space="acme"),
        internal.update(cube.id, "And bob@acme.test too.", mode="append"),
        internal.history(cube.id),
        internal.add_many([Draft("x", key="k", space="acme")], on_key="skip"),
        internal.add_many([Draft("at dan@acme.test", key="k", space="acme")], on_key="replace"),
    ]
    assert all("@" not in repr(answer) for answer in answers)
    assert "[EMAIL]" in repr(answers)


def test_what_is_raised_later_is_raised_for_the_past_too(
    owner: Session, reader: Callable[[str], Session]
) -> None:
    cube = owner.add({"pay": 7, "name": "Ada"}, space="acme")
    owner.update(cube.id, Patch(field_sensitivity={"pay": Sensitivity.RESTRICTED}))
    internal = reader("internal")
    assert [v.cube.content for v in internal.history(cube.id)] == [
        {"pay": "[RESTRICTED]", "name": "Ada"}
    ] * 2
    assert internal.get(cube.id, version=1).content == {"pay": "[RESTRICTED]", "name": "Ada"}


def test_whoever_sees_only_a_part_cannot_open_it(
    owner: Session, reader: Callable[[str], Session]
) -> None:
    cube = owner.add({"pay": 7}, space="acme", field_sensitivity={"pay": "restricted"})
    internal = reader("internal")
    owner.grant("user:internal", "share", on="acme")
    with pytest.raises(DeniedError, match="in part"):
        internal.update(cube.id, Patch(field_sensitivity={}))
    owner.set_clearance("user:internal", "restricted")
    assert internal.update(cube.id, Patch(field_sensitivity={})).content == {"pay": 7}


def test_whoever_writes_may_write_what_is_less_sensitive(
    owner: Session, reader: Callable[[str], Session]
) -> None:
    """But what was derived from the earlier version may hold its part, and stays closed."""
    owner.set_clearance("user:owner", "restricted")
    cube = owner.add(CARD, space="acme", key="k")
    child = owner.add("A summary.", space="acme", parents=(cube.id,))
    internal = reader("internal")
    assert internal.update(cube.id, "Nothing of it any more.").text == "Nothing of it any more."
    assert internal.add_many([Draft("New.", key="k", space="acme")], on_key="replace")[0].text
    first = internal.history(cube.id)[0].cube
    assert first.text == "The card is [CARD], says the clerk."
    with pytest.raises(NotFoundError):
        internal.get(child.id)


def test_what_is_derived_needs_clearance_for_the_most_sensitive_part(
    owner: Session, reader: Callable[[str], Session]
) -> None:
    owner.set_clearance("user:owner", "restricted")
    source = owner.add(CARD, space="acme")
    owner.add("A summary that may hold the number.", space="acme", parents=(source.id,))
    assert len(reader("internal").get_all()) == 1
    assert len(reader("restricted").get_all()) == 2


def test_a_misspelt_field_is_refused(owner: Session) -> None:
    with pytest.raises(InvalidInputError, match="'slary', which is not there"):
        owner.add({"salary": 1}, field_sensitivity={"slary": "restricted"})
    with pytest.raises(InvalidInputError, match="which is not there"):
        owner.add("text", field_sensitivity={"text": "restricted"})
    cube = owner.add({"salary": 1})
    with pytest.raises(InvalidInputError, match="which is not there"):
        owner.update(cube.id, Patch(field_sensitivity={"slary": Sensitivity.RESTRICTED}))


def test_types_and_levels_are_the_vaults_choice(folder: Path) -> None:
    settings = Settings(span_levels={"EMAIL": Sensitivity.INTERNAL})
    with MemOS.open(folder, embedder=HashingEmbedder(), settings=settings) as memos:
        assert [m.type for m in memos.session("user:alice").add(f"{MAIL} {CARD}").meta.marks] == [
            "EMAIL"
        ]
    with MemOS.open(folder, settings=Settings(span_levels={}), embedder=HashingEmbedder()) as memos:
        assert memos.session("user:alice").add(MAIL).meta.marks == ()


# -- a public set of records with canaries -------------------------------------------------------


def leak_records(data: str | None) -> tuple[list[dict[str, Any]], list[str], str]:
    """Return the records' fields and the canaries: AgentLeak's where it is, else our own."""
    path = Path(data, "agentleak_base_100.jsonl") if data else None
    if path is None or not path.is_file():
        path = Path(__file__).parent / "data" / "leak_sample.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    records = [each["fields"] for row in rows for each in row["private_vault"]["records"]]
    return records, [c for row in rows for c in row["evaluation"]["canaries"]], path.name


GREP = """
import pathlib, sys
held = b"".join(p.read_bytes() for p in pathlib.Path(sys.argv[1]).glob("vault.db*"))
print(sum(canary.encode() in held for canary in sys.stdin.read().split("\\n")))
"""


def test_records_with_canaries_are_shown_by_clearance_exactly(
    folder: Path, request: pytest.FixtureRequest, proof: Proof
) -> None:
    records, canaries, name = leak_records(request.config.getoption("--data"))
    mapping = json.loads(
        Path(__file__).parent.joinpath("data", "agentleak_mapping.json").read_text("utf-8")
    )
    level_of = {field: level for level, names in mapping["fields"].items() for field in names}
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        owner = memos.session("user:owner", space="acme")
        drafts = [
            Draft(
                fields,
                sensitivity=Sensitivity.PUBLIC,
                field_sensitivity={field: Sensitivity.parse(level_of[field]) for field in fields},
            )
            for fields in records
        ]
        ids = [cube.id for cube in owner.add_many(drafts)]
        for given, right in mapping["rights"].items():
            reader = f"agent:{given}"
            owner.grant(reader, right["actions"], on="acme")
            memos.session("user:owner").set_clearance(reader, right["clearance"])
            level = Sensitivity.parse(right["clearance"])
            shown = read_by(memos.session(reader), ids, records, canaries, level_of, level)
            proof(f"{name}, read with the rights of {given}", len(records), shown)
    found = subprocess.run(
        [sys.executable, "-c", GREP, str(folder)],
        input="\n".join(canaries), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(found.stdout) == len(canaries)  # the raw vault does hold every one
    proof(f"{name}, canaries in the raw vault", len(canaries), f"{int(found.stdout)} are there")


def read_by(
    session: Session,
    ids: list[str],
    records: list[dict[str, Any]],
    canaries: list[str],
    level_of: dict[str, str],
    clearance: Sensitivity,
) -> str:
    """Read every record in every way; check what is shown; return the counts."""
    searched = session.search("patient case customer employee notes", k=1_000)
    whole = repr([*searched, session.context("notes", budget_tokens=100_000).text])
    leaked = [canary for canary in canaries if canary in whole]
    allowed = returned = forbidden = 0
    listed = {cube.id: cube for cube in session.get_all(limit=1_000)}
    by_search = {hit.id: hit.cube for hit in searched}
    for cube_id, fields in zip(ids, records, strict=True):
        for cube in (session.get(cube_id), listed[cube_id], by_search[cube_id]):
            content: Any = cube.content
            leaked += [canary for canary in canaries if canary in repr(cube)]
            for field, value in fields.items():
                if Sensitivity.parse(level_of[field]) <= clearance:
                    allowed += 1
                    returned += content.get(field) == value
                else:
                    forbidden += content.get(field) == value
    assert leaked == []
    assert forbidden == 0
    assert returned == allowed
    return f"canaries 0, forbidden fields 0, allowed fields {returned} of {allowed}"
