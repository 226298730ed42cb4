"""The scheduler: what a request gets under a budget, why, and what the ledger says of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from memos_core import ContextOptions, Draft, InvalidInputError, MemOS, Session, Settings
from memos_core.draft import Interval
from memos_core.memory.fence import parse
from memos_core.memory.runtime import LocalModel
from memos_core.operation.policies.selection import Candidate, label, lfu, lru, semantic
from memos_core.settings import estimate_tokens
from memos_core.testing import HashingEmbedder, ManualClock
from memos_core.testing.models import random_model
from tests.conftest import Proof
from tests.inner import words

COUNTERS: dict[str, Callable[[str], int]] = {
    "estimated": estimate_tokens,
    "words": lambda text: len(text.split()),
    "characters": len,
    "lines": lambda text: text.count("\n"),
    "nothing": lambda _text: 0,
    "more together than apart": lambda text: len(text) ** 2 // 100,
    "by its hash": lambda text: sum(text.encode()) % 997,
}


@pytest.fixture(scope="module")
def llama() -> LocalModel:
    return random_model("llama")


def filled(session: Session, rng: random.Random, clock: ManualClock, count: int) -> None:
    drafts = []
    for n in range(count):
        text = f"harbour {n} " + " ".join(rng.choice(["pier", "boat", "storm"]) for _ in range(n))
        when = clock.now() - timedelta(hours=7 * rng.randrange(20)) if n % 3 else None
        speaker = rng.choice(["Ann", "Ben"])
        drafts.append(Draft(text, speaker=speaker, occurred_at=when, source=rng.choice("xy")))
    session.add_many(drafts)


@pytest.mark.parametrize("name", list(COUNTERS))
def test_a_block_never_costs_more_than_its_budget(
    folder: Path, clock: ManualClock, name: str, proof: Proof, scaled: Callable[[int, int], int]
) -> None:
    count = COUNTERS[name]
    rng = random.Random(name)
    settings = Settings(count_tokens=count)
    trials = scaled(25, 400)
    with MemOS.open(folder, embedder=HashingEmbedder(), clock=clock, settings=settings) as memos:
        alice = memos.session("user:alice")
        filled(alice, rng, clock, 30)
        most = count(alice.context("harbour", budget_tokens=10**9).text)
        for _ in range(trials):
            budget = rng.randrange(most + 2) if rng.random() < 0.8 else rng.randrange(60)
            found = alice.context("harbour boat", budget_tokens=budget)
            assert found.tokens == (count(found.text) if found.text else 0) <= budget
            ids = [*(item.id for item in found.items), *found.left_out]
            assert sorted(ids) == sorted(found.reasons)
            assert len(set(ids)) == len(ids) == 30
            if found.text:
                assert tuple(parse(found.text)) == found.items
    proof(f"blocks under odd budgets, counted: {name}", trials, "0 over")


def test_the_budget_is_used(memos: MemOS, alice: Session, clock: ManualClock) -> None:
    filled(alice, random.Random(2), clock, 40)
    for budget in range(300, 1_200, 150):
        found = alice.context("harbour", budget_tokens=budget)
        smallest = min(estimate_tokens(alice.get(each).text) for each in found.left_out)
        assert found.tokens > budget - smallest - 60, "nothing that fits is left out"


def test_why_each_was_chosen_or_left_out_is_told(alice: Session, clock: ManualClock) -> None:
    code = alice.add("The door code of the harbour office is 4711.")
    again = alice.add("the door code of the harbour office is 4711")
    over = Interval(end=clock.now() - timedelta(days=1))
    old = alice.add("The door code of the harbour office was 1234.", valid=over)
    long = alice.add("door " * 400)
    found = alice.context("What is the door code?", budget_tokens=120)
    kept, twin = (code, again) if code.id in {i.id for i in found.items} else (again, code)
    assert [item.id for item in found.items] == [kept.id]
    assert found.reasons[kept.id].startswith("worth 1.00 for ")
    assert f"the same as {kept.id}" in found.reasons[twin.id]
    assert "does not hold any more" in found.reasons[old.id]
    assert "no room" in found.reasons[long.id]
    assert set(found.left_out) == {twin.id, old.id, long.id}
    both = alice.context("door code", budget_tokens=200, options=ContextOptions(past=True))
    assert {item.id: item.until for item in both.items if item.until != "-"}.keys() == {old.id}
    assert " until=" in both.text


def test_only_what_was_placed_was_used(memos: MemOS, alice: Session) -> None:
    for n in range(6):
        alice.add(f"the harbour number {n} has a pier and a crane of its own")
    found = alice.context("harbour", budget_tokens=150)
    assert 0 < len(found.items) < 6
    told = alice.audit.query(limit=1).items[0]
    assert (told.action, told.outcome) == ("memos.context", "allowed")
    assert set(told.cubes) == {item.id for item in found.items}
    memos.maintain()
    options = ContextOptions(policy=lfu)
    again = alice.context("harbour", budget_tokens=150, options=options)
    assert {item.id for item in again.items} == {item.id for item in found.items}


def test_what_one_principal_uses_moves_nothing_for_another(memos: MemOS, owner: Session) -> None:
    ids = [owner.add(f"the harbour has a pier {n}", space="acme").id for n in range(12)]
    owner.grant("user:ann", "read", on="acme")
    owner.grant("user:ben", "read", on="acme")
    ann, ben = memos.session("user:ann"), memos.session("user:ben")

    def seen(who: Session, policy: object) -> list[str]:
        options = ContextOptions(policy=policy)  # type: ignore[arg-type]
        found = who.context("harbour", budget_tokens=200, options=options)
        return [item.id for item in found.items]

    before = [seen(ben, policy) for policy in (lru, lfu, semantic)]
    for _ in range(5):
        ann.get(ids[-1])
    memos.maintain()
    # His own contexts were uses, and are counted for him alone.
    counts: list[Sequence[Candidate]] = []
    spy = ContextOptions(policy=lambda there: counts.append(there) or [1.0] * len(there))  # type: ignore[func-returns-value]
    ben.context("harbour", budget_tokens=9_000, options=spy)
    uses = {each.id: each.uses for each in counts[-1]}
    assert uses[ids[-1]] == sum(ids[-1] in each for each in before)
    ann.context("harbour", budget_tokens=9_000, options=spy)
    assert {each.id: each.uses for each in counts[-1]}[ids[-1]] == 5


def test_a_policy_of_ones_own_decides(alice: Session) -> None:
    for n in range(5):
        alice.add(f"the harbour has a pier {n}", tags={"crane"} if n == 3 else {"boat"})
    tagged = ContextOptions(policy=label({"crane"}))
    found = alice.context("harbour", budget_tokens=110, options=tagged)
    assert [item.text[-1] for item in found.items] == ["3"]
    for bad in (lambda there: [1.0], lambda there: []):
        with pytest.raises(InvalidInputError, match="one worth for each"):
            alice.context("harbour", budget_tokens=90, options=ContextOptions(policy=bad))
    for wrong in ({"policy": "lru"}, {"adapters": -1}, {"adapters": True}, {"search": None}):
        with pytest.raises(InvalidInputError):
            ContextOptions(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError):
        alice.context("harbour", budget_tokens=90, options={"k": 1})  # type: ignore[arg-type]


def test_a_model_counts_its_own_tokens(alice: Session, llama: LocalModel) -> None:
    for n in range(20):
        alice.add(words(n, 12))
    for budget in (0, 40, 90, 200):
        found = alice.context(words(3, 5), budget_tokens=budget, model=llama)
        counted = len(llama.tokens(found.text, begins=False)) if found.text else 0
        assert found.tokens == counted <= budget


def test_a_cache_that_does_not_fit_or_is_not_wanted_leaves_the_words(
    alice: Session, llama: LocalModel
) -> None:
    ids = [alice.add(words(n, 12)).id for n in range(8)]
    cache = alice.activate(ids[:6], llama)
    assert alice.context(words(0, 5), budget_tokens=900, model=llama).cache == cache.id
    small = alice.context(words(0, 5), budget_tokens=70, model=llama)
    assert small.cache is None
    assert small.items
    plain = ContextOptions(caches=False)
    found = alice.context(words(0, 5), budget_tokens=900, model=llama, options=plain)
    assert (found.cache, len(found.items)) == (None, 8)


# -- the working set ------------------------------------------------------------------------------


def test_what_the_next_turn_needs_is_predicted_from_the_last(
    alice: Session, clock: ManualClock
) -> None:
    said = ["the harbour opens at nine", "and closes at five", "the cat sleeps", "the dog barks"]
    for n, text in enumerate(said):
        when = clock.now() - timedelta(days=5 - n, minutes=30)
        alice.add(text, speaker="Ann", occurred_at=when if n > 1 else clock.now() - timedelta(9))
    assert alice.preload() == ()
    assert alice.working_set.rate.placed == 0
    first = alice.context("harbour", budget_tokens=95, k=2)
    assert len(first.items) == 1
    ready = alice.preload()
    assert ready[0] == first.items[0].id
    assert len(ready) == 4, "what was considered, what was said beside it, what came last"
    again = alice.context("harbour", budget_tokens=95)
    assert (alice.working_set.rate.placed, alice.working_set.rate.share) == (len(again.items), 1.0)


def test_what_was_made_ready_is_still_decided_at_its_use(
    memos: MemOS, owner: Session, llama: LocalModel
) -> None:
    kept, gone = (owner.add(words(seed, 9), space="acme").id for seed in (1, 2))
    cache = owner.activate([kept, gone], llama, space="acme")
    grant = owner.grant("user:bob", "read", on="acme")
    bob = memos.session("user:bob")
    assert bob.context(words(1, 5), budget_tokens=900, model=llama).cache == cache.id
    before = len(owner.audit.query(limit=1_000).items)
    assert set(bob.preload(llama)) == {kept, gone}
    told = [each.action for each in owner.audit.query(limit=1_000).items]
    assert told[: len(told) - before] == ["memos.log"], "making ready gives nobody anything"
    owner.forget(gone)
    assert bob.preload(llama) == (kept,)
    found = bob.context(words(2, 5), budget_tokens=900, model=llama)
    assert (found.cache, [item.id for item in found.items]) == (None, [kept])
    owner.revoke(grant)
    assert bob.preload(llama) == ()
    assert bob.context(words(1, 5), budget_tokens=900, model=llama).items == ()


def test_a_model_finds_its_cache_loaded(alice: Session, memos: MemOS, llama: LocalModel) -> None:
    cache = alice.activate([alice.add(words(n, 12)) for n in range(3)], llama)
    assert alice.context(words(0, 5), budget_tokens=900, model=llama).cache == cache.id
    assert memos._engine.inner.loader.nbytes == 0
    alice.preload(llama)
    assert memos._engine.inner.loader.nbytes > 0
