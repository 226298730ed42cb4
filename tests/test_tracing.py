"""Provenance and traces: where a memory came from, and which memories a text came from."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from memos_core import InvalidInputError, MemCube, MemOS, NotFoundError, Session
from memos_core.infrastructure.index.fingerprint import PASSAGE, shared_runs, shingles, winnowed
from memos_core.testing import ManualClock

VOCABULARY = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnrs"]


def words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choice(VOCABULARY) for _ in range(count))


def test_a_copied_passage_of_12_words_within_2000_others_is_found(alice: Session) -> None:
    rng = random.Random(0)
    cubes = alice.add_many([words(rng, rng.randrange(15, 120)) for _ in range(60)])
    for _ in range(40):
        cube = rng.choice(cubes)
        said = cube.text.split()
        at = rng.randrange(len(said) - PASSAGE + 1)
        copied = " ".join(said[at : at + PASSAGE])
        page = f"{words(rng, 1_000)}. {copied.upper()}! {words(rng, 1_000)}"
        found = alice.trace(page)
        assert [each.cube.id for each in found] == [cube.id]
        passage = found[0].passages[0]
        assert copied in page[passage.start : passage.end].lower()
        assert found[0].words >= PASSAGE


def test_unrelated_text_is_not_found(alice: Session) -> None:
    rng = random.Random(1)
    alice.add_many([words(rng, 60) for _ in range(100)])
    assert [alice.trace(words(rng, 2_000)) for _ in range(20)] == [[]] * 20
    assert alice.trace("too short") == []


def test_eleven_words_of_a_longer_memory_are_not_enough(alice: Session) -> None:
    said = words(random.Random(2), 40)
    alice.add(said)
    assert alice.trace(" ".join(said.split()[5:16])) == []
    assert len(alice.trace(" ".join(said.split()[5:17]))) == 1


def test_a_short_memory_is_found_where_all_of_it_was_copied(alice: Session) -> None:
    alice.add("The code of the blue door is 7319")
    found = alice.trace("He wrote: the CODE of the blue-door is 7319, and left.")
    assert [each.cube.text for each in found] == ["The code of the blue door is 7319"]
    assert alice.trace("The code of the red door is 7319") == []


def test_a_trace_finds_what_may_be_read_and_nothing_else(
    alice: Session, bob: Session, owner: Session, clock: ManualClock
) -> None:
    said = words(random.Random(3), 30)
    cube = alice.add(said, expires=timedelta(days=1), source="import:web")
    assert bob.trace(said) == []
    grant = alice.grant("user:bob", "read", on=cube.id)
    assert [each.cube.id for each in bob.trace(said)] == [cube.id]
    assert bob.trace(said, space="user:bob") == []
    quarantine = owner.governance.quarantine("import:web")
    assert bob.trace(said) == alice.trace(said) == []
    owner.governance.release(quarantine)
    alice.revoke(grant)
    assert bob.trace(said) == []
    assert len(alice.trace(said)) == 1
    clock.turn(timedelta(days=2))
    assert alice.trace(said) == []


def test_a_trace_follows_updates_and_forgetting(alice: Session) -> None:
    rng = random.Random(4)
    before, after = words(rng, 30), words(rng, 30)
    cube = alice.add(before)
    assert len(alice.trace(before)) == 1
    alice.update(cube.id, after)
    assert alice.trace(before) == []
    assert len(alice.trace(after)) == 1
    alice.forget(cube.id)
    assert alice.trace(after) == []


def test_sensitive_spans_are_not_traced(alice: Session, bob: Session) -> None:
    alice.grant("user:bob", "read", on="user:alice")
    rng = random.Random(5)
    left, right = words(rng, 8), words(rng, 8)
    alice.add(f"{left} ada@acme.test {right}")
    assert bob.trace(f"{left} ada@acme.test {right}") == []  # 8 words on either side, no 12


@pytest.mark.parametrize("text", ["", "  ", None, "x" * 1_000_001])
def test_a_text_that_cannot_be_traced_is_refused(alice: Session, text: object) -> None:
    with pytest.raises(InvalidInputError):
        alice.trace(text)  # type: ignore[arg-type]


def test_two_texts_that_share_a_passage_share_a_fingerprint() -> None:
    rng = random.Random(6)
    for _ in range(300):
        passage = words(rng, PASSAGE).split()
        one = [*words(rng, rng.randrange(1, 40)).split(), *passage]
        other = [*passage, *words(rng, rng.randrange(1, 40)).split()]
        assert winnowed(shingles(one)) & set(shingles(other))
        assert max(run.count for run in shared_runs(other, one)) >= PASSAGE


def test_provenance_follows_a_memory_to_its_sources(
    alice: Session, owner: Session, memos: MemOS
) -> None:
    first = alice.add("The boat leaves at nine.", source="import:timetable.pdf")
    second = alice.add("It is full on Fridays.")
    derived = alice.add("Take the Thursday boat.", parents=(first.id, second.id))
    owner.governance.set_trust("import:timetable.pdf", "low")
    found = alice.provenance(derived.id)
    assert (found.author, found.origin, found.signature) == ("user:alice", None, "valid")
    assert found.trust.name == "LOW"
    assert [(each.cube.id, each.origin) for each in found.sources] == [
        (first.id, "import:timetable.pdf"),
        (second.id, None),
    ]
    assert [each.trust.name for each in found.sources] == ["LOW", "NORMAL"]


def test_the_vault_vouches_for_origin_and_content_and_for_nothing_else(
    memos: MemOS, alice: Session
) -> None:
    cube = alice.add("The boat leaves at nine.", source="import:timetable.pdf")
    copy = MemCube.from_json(cube.to_json())
    assert memos.verify_signature(copy)
    forged = cube.to_json().replace("nine", "noon")
    assert not memos.verify_signature(MemCube.from_json(forged))
    forged = cube.to_json().replace("timetable", "timetable2")
    assert not memos.verify_signature(MemCube.from_json(forged))
    changed = alice.update(cube.id, "The boat leaves at ten.")
    assert memos.verify_signature(changed)
    assert memos.verify_signature(alice.get(cube.id, version=1))


def test_a_lost_key_loses_no_memory(memos: MemOS, alice: Session, owner: Session) -> None:
    cube = alice.add("before")
    for path in memos._vault.directory.keys.glob("*.pem"):  # what an accident would do
        path.unlink()
    with MemOS.open(memos._vault.directory.root) as again:
        later = again.session("user:alice").add("after")
        session = again.session("user:alice")
        assert session.provenance(later.id).signature == "absent"
        assert session.provenance(cube.id).signature == "valid"
        assert not again.diagnose().is_healthy
        again.session("user:owner").audit.rotate_key()
        assert session.provenance(session.add("signed again").id).signature == "valid"


def test_what_may_not_be_read_has_no_provenance(alice: Session, bob: Session) -> None:
    cube = alice.add("mine")
    with pytest.raises(NotFoundError):
        bob.provenance(cube.id)
