"""Promoting: a principal's own prompts decide what becomes KV, with its rights and its budget."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from memos_core import MemOS, Message, Session
from memos_core.memory.runtime import LocalModel
from memos_core.operation.policies.promotion import Rules
from memos_core.operation.upkeep.promoting import Promoted
from memos_core.testing import ManualClock
from memos_core.testing.models import random_model
from tests.inner import opened, words


@pytest.fixture(scope="module")
def llama() -> LocalModel:
    return random_model("llama")


def ask(session: Session, model: LocalModel, count: int) -> list[int]:
    """Generate with what is recalled, and say how many tokens came from a cache each time."""
    found = []
    for _ in range(count):
        memory = session.context(words(0, 5), budget_tokens=900, model=model)
        asked = [Message(role="user", parts=words(9, 4))]
        found.append(model.generate(asked, memory=memory, max_new_tokens=1).injected_tokens)
    return found


def test_what_is_read_again_and_again_becomes_kv_and_falls_back_when_it_is_cold(
    memos: MemOS, clock: ManualClock, alice: Session, llama: LocalModel
) -> None:
    ids = [alice.add(words(seed, 12)).id for seed in range(3)]
    assert alice.promote(llama) == Promoted()
    assert ask(alice, llama, 1) == [0]
    assert alice.promote(llama).made == (), "read once, it has not cost enough"
    assert ask(alice, llama, 1) == [0]
    done = alice.promote(llama)
    assert len(done.made) == 1
    assert alice.get(done.made[0]).meta.lineage == tuple(sorted(ids))
    assert ask(alice, llama, 2)[0] > 30
    assert alice.promote(llama) == Promoted(), "once is enough"
    clock.turn(timedelta(days=31))
    assert alice.promote(llama).let_go == done.made
    assert ask(alice, llama, 1) == [0]
    assert {each.id for each in alice.get_all()} == set(ids)


def test_nobody_promotes_for_another(memos: MemOS, owner: Session, llama: LocalModel) -> None:
    for seed in range(3):
        owner.add(words(seed, 12), space="acme")
    owner.grant("user:ann", "read", on="acme")
    owner.grant("user:ben", "read", on="acme")
    ann, ben = memos.session("user:ann"), memos.session("user:ben")
    ask(ann, llama, 4)
    assert ben.promote(llama) == owner.promote(llama) == Promoted()
    refused = ann.promote(llama)
    assert refused.made == ()
    assert "grant" in refused.notes[0], "to read is not to derive"
    owner.grant("user:ann", "derive", on="acme")
    made = ann.promote(llama).made
    assert len(made) == 1
    assert ben.context(words(0, 5), budget_tokens=900, model=llama).cache is None
    denied = ann.audit.query(action="memos.activate").items
    assert [each.outcome for each in denied] == ["allowed", "denied"]


def test_a_budget_of_bytes_is_kept_and_said(folder: Path, llama: LocalModel) -> None:
    with opened(folder, blob_budget_bytes=100) as memos:
        alice = memos.session("user:alice")
        alice.add(words(1, 12))
        ask(alice, llama, 3)
        done = alice.promote(llama)
        assert done.made == ()
        assert "blob_budget_bytes" in done.notes[0]


def test_what_is_used_much_and_never_changes_is_proposed_and_no_more(
    alice: Session, llama: LocalModel
) -> None:
    kept, changed = (alice.add(words(seed, 12)).id for seed in (1, 2))
    alice.update(changed, words(3, 12))
    ask(alice, llama, 4)
    done = alice.promote(llama, rules=Rules(distill_after=3))
    assert done.proposed == (kept,)
    told = alice.audit.query(action="memos.propose").items
    assert [each.cubes for each in told] == [(kept,)]
    assert list(alice.get_all(where={"kind": "parametric"})) == []
