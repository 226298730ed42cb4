"""Distilling through the vault: taught, gated, switched on, forgotten, trained again."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from memos_core import ConflictError, InvalidInputError, MemOS, NotFoundError, Session
from memos_core.interface.context import MemoryContext
from memos_core.memory.recipe import Recipe
from memos_core.memory.runtime import LocalModel
from memos_core.operation.inner.distilling import Teaching
from memos_core.testing import HashingEmbedder
from memos_core.testing.models import trained_model
from tests.conftest import Proof
from tests.models.world import CHANCE, VALUES, Fact, asked, new_facts

FIXTURE = Path(__file__).parent / "models" / "fact_llama"
QUICK = Recipe()
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model() -> LocalModel:
    return trained_model(FIXTURE)


@pytest.fixture
def vault(tmp_path: Path, model: LocalModel) -> Iterator[MemOS]:
    with MemOS.open(tmp_path / "vault", embedder=HashingEmbedder(), runtime=model) as memos:
        yield memos


@pytest.fixture
def alice(vault: MemOS) -> Session:
    return vault.session("user:alice")


@pytest.fixture
def trainer(vault: MemOS) -> Session:
    return vault.session("user:alice", purpose="train")


def answers(model: LocalModel, session: Session, facts: Sequence[Fact]) -> list[bool]:
    """Ask closed-book, with what the session's adapters know and no word of a memory."""
    memory = session.context("anything", budget_tokens=1, model=model)
    assert memory.text == ""
    return right(model, facts, memory)


def right(
    model: LocalModel, facts: Sequence[Fact], memory: MemoryContext | None = None
) -> list[bool]:
    """Ask a model, with a memory or alone, when it can only guess."""
    prompts = [asked(fact.question) for fact in facts]
    found = model.generate_many(prompts, memory=memory, max_new_tokens=4)
    return [
        fact.value in made.text.lower().replace(".", " ").split()
        for fact, made in zip(facts, found, strict=True)
    ]


def unknown(model: LocalModel, count: int, *, seed: int) -> list[Fact]:
    """Draw facts that the base does not guess by chance."""
    facts = new_facts(count + 10, seed=seed)
    return [f for f, known in zip(facts, right(model, facts), strict=True) if not known][:count]


def share(found: Sequence[bool]) -> float:
    return statistics.mean(found)


def test_fifty_facts_through_the_vault(
    model: LocalModel, alice: Session, trainer: Session, proof: Proof
) -> None:
    facts = new_facts(50)
    cubes = [alice.add(fact.text) for fact in facts]
    before = share(answers(model, alice, facts))
    adapter = trainer.distill(cubes)
    lora = adapter.lora
    assert lora is not None
    assert lora.passed
    assert share(answers(model, alice, facts)) == before, "it is off until it is enabled"
    trainer.enable(adapter.id)
    after = share(answers(model, alice, facts))
    assert before <= 0.05
    assert after >= 0.95
    assert (lora.recall, lora.retention) >= (0.95, 0.98)
    assert lora.seconds <= 60
    proof(
        "fifty facts by heart, through the vault",
        50,
        f"recall {before:.2f} -> {after:.2f}, retention {lora.retention:.3f}, "
        f"{lora.seconds:.0f} CPU s",
    )


def test_what_is_forgotten_is_off_at_once_and_gone_after_retraining(
    model: LocalModel,
    alice: Session,
    trainer: Session,
    scaled: Callable[[int, int], int],
    proof: Proof,
) -> None:
    count, facts = scaled(4, 20), unknown(model, scaled(10, 40), seed=1)
    cubes = {fact: alice.add(fact.text) for fact in facts}
    adapter = trainer.distill(list(cubes.values()), recipe=QUICK, key="facts")
    trainer.enable(adapter.id)
    assert share(answers(model, alice, facts)) >= 0.95
    lost: list[bool] = []
    kept: list[float] = []
    for number in range(count):
        gone = facts[number]
        held = alice.recollect(adapter.id)
        report = alice.forget(cubes[gone].id)
        assert report.derived == (adapter.id,)
        assert report.status == "erased", report.pending
        with pytest.raises(NotFoundError):
            model.generate(asked(gone.question), memory=held)
        assert model.adapters.names == ()
        assert not any(answers(model, alice, facts[number:])), "the adapter is off at once"
        adapter = trainer.retrain()[0]
        assert adapter.meta.key == "facts"
        assert set(adapter.meta.lineage) == {cubes[each].id for each in facts[number + 1 :]}
        lost += answers(model, alice, [gone])
        kept.append(share(answers(model, alice, facts[number + 1 :])))
    assert share(lost) <= 0.05
    assert statistics.mean(kept) >= 0.95
    proof(
        "facts forgotten one by one, retrained each time",
        count,
        f"recall of the forgotten {share(lost):.3f} (chance {CHANCE:.3f}), of the rest "
        f"{statistics.mean(kept):.3f}",
    )


def test_fusion_is_training_on_the_union(
    model: LocalModel, alice: Session, trainer: Session, proof: Proof
) -> None:
    facts = new_facts(6, seed=2)
    one, two = facts[:3], facts[3:]
    adapters = [
        trainer.distill([alice.add(fact.text) for fact in facts], recipe=QUICK)
        for facts in (one, two)
    ]
    both = trainer.distill(adapters, recipe=QUICK)
    assert len(both.meta.lineage) == len({*one, *two})
    trainer.enable(both.id)
    found = (share(answers(model, alice, one)), share(answers(model, alice, two)))
    assert min(found) >= 0.95
    proof("two adapters fused by training on the union", 2, f"{found[0]:.2f} / {found[1]:.2f}")


def test_several_adapters_are_on_at_once_and_off_one_by_one(
    model: LocalModel, alice: Session, trainer: Session
) -> None:
    facts = unknown(model, 6, seed=4)
    one, two = facts[:3], facts[3:]
    adapters = [
        trainer.distill([alice.add(fact.text) for fact in facts], recipe=QUICK)
        for facts in (one, two)
    ]
    with pytest.raises(ConflictError, match="not enabled"):
        alice.recollect(adapters[0])
    for each in adapters:
        trainer.enable(each.id)
    context = alice.context("anything", budget_tokens=1, model=model)
    assert set(context.adapters) == {each.id for each in adapters}
    with context.opened(model) as given:
        assert len(given.adapters) == 2
    trainer.disable(adapters[0].id)
    with pytest.raises(ConflictError, match="not enabled"), context.opened(model):
        pass
    assert share(answers(model, alice, two)) == 1.0
    assert share(answers(model, alice, one)) < 0.5, "at most a guess"
    with pytest.raises(ConflictError, match="not enabled"):
        trainer.disable(adapters[0].id)


def test_an_adapter_that_harms_the_base_cannot_be_enabled(alice: Session, trainer: Session) -> None:
    cubes = [alice.add(fact.text) for fact in new_facts(12, seed=6)]
    careless = QUICK.model_copy(update={"replay": 0.0})
    adapter = trainer.distill(cubes, recipe=careless)
    lora = adapter.lora
    assert lora is not None
    assert lora.retention < 0.98
    with pytest.raises(ConflictError, match="did not pass its gate"):
        trainer.enable(adapter.id)


def test_retraining_is_a_version_that_can_be_taken_back(
    model: LocalModel, alice: Session, trainer: Session
) -> None:
    facts = unknown(model, 3, seed=7)
    cubes = [alice.add(fact.text) for fact in facts]
    first = trainer.enable(trainer.distill(cubes, recipe=QUICK).id)
    other = next(each for each in VALUES[facts[0].attribute] if each != facts[0].value)
    alice.update(cubes[0].id, facts[0].text.replace(facts[0].value, other))
    again = trainer.retrain(first.id)[0]
    assert (again.id, again.version) == (first.id, first.version + 1)
    assert again.payload.value != first.payload.value  # type: ignore[union-attr]
    assert again.meta.state != first.meta.state, "a new version is off until it is enabled"
    trainer.enable(first.id)
    assert answers(model, alice, facts[:1]) == [False]
    taken_back = trainer.rollback(first.id, first.version)
    assert taken_back.payload == first.payload
    assert all(answers(model, alice, facts[:1]))


def test_a_training_reports_its_progress_and_goes_on_from_its_checkpoint(
    alice: Session, trainer: Session, tmp_path: Path
) -> None:
    cubes = [alice.add(fact.text) for fact in new_facts(3, seed=8)]
    recipe = Recipe(max_steps=20, replay_texts=16, probes=16, checkpoint_every=5)
    place = tmp_path / "checkpoint"
    seen: list[int] = []

    def stop_at_ten(step: int, most: int, loss: float) -> None:
        seen.append(step)
        assert most == 20
        assert loss > 0
        if step == 10:
            raise KeyboardInterrupt

    how = Teaching(progress=stop_at_ten, checkpoint=place)
    with pytest.raises(KeyboardInterrupt):
        trainer.distill(cubes, recipe=recipe, how=how)
    assert len(alice.get_all(where={"kind": "parametric"})) == 0
    seen.clear()
    how = Teaching(progress=lambda step, _most, _loss: seen.append(step), checkpoint=place)
    resumed = trainer.distill(cubes, recipe=recipe, how=how)
    assert seen[0] == 11
    whole = trainer.distill(cubes, recipe=recipe)
    assert resumed.payload.value == whole.payload.value  # type: ignore[union-attr]
    assert not place.exists()


def test_reading_out_names_the_sources_and_marks_what_the_model_says(
    model: LocalModel, alice: Session, trainer: Session
) -> None:
    facts = new_facts(3, seed=9)
    cubes = [alice.add(fact.text) for fact in facts]
    adapter = trainer.distill(cubes, recipe=QUICK)
    found = alice.read_out(adapter.id)
    assert [each.id for each in found.sources] == [each.id for each in cubes]
    assert all(probe.recovered for probe in found.probes)
    assert len(found.probes) >= 3
    cache = alice.activate(cubes)
    assert [each.text for each in alice.read_out(cache.id).sources] == [f.text for f in facts]
    noted = alice.activate("the boat leaves at nine")
    assert alice.read_out(noted.id).text == "the boat leaves at nine"
    with pytest.raises(InvalidInputError, match="words already"):
        alice.read_out(cubes[0].id, model)


def test_a_cache_can_be_distilled_through_its_sources(alice: Session, trainer: Session) -> None:
    cubes = [alice.add(fact.text) for fact in new_facts(2, seed=10)]
    quick = Recipe(max_steps=2, replay_texts=8, probes=8)
    adapter = trainer.distill(alice.activate(cubes), recipe=quick)
    assert set(adapter.meta.lineage) == {each.id for each in cubes}
    with pytest.raises(InvalidInputError, match="made of no memory"):
        trainer.distill(alice.activate("a text"), recipe=quick)
