"""Parametric memory: taught, kept apart from the base, gated, fused by training, forgotten."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load, save

from memos_core import ConflictError, IntegrityError, InvalidInputError, Message, NotFoundError
from memos_core.memory.activation import load_state
from memos_core.memory.fingerprint import fingerprint_of
from memos_core.memory.injection import Injection
from memos_core.memory.lessons import Lesson, lessons_of, union
from memos_core.memory.outside import CONFIG, TENSORS, read_peft, write_peft
from memos_core.memory.parametric import Adapter, load_adapter
from memos_core.memory.recipe import Recipe, Report, gate
from memos_core.memory.runtime import LocalModel
from memos_core.memory.training import Trained, train
from memos_core.testing.models import FAMILIES, random_model, trained_model
from tests.conftest import Proof
from tests.models.train import train as make_model
from tests.models.world import CHANCE, Fact, asked, base_facts, new_facts

FIXTURE = Path(__file__).parent / "models" / "fact_llama"
FACTS = new_facts(50)
TEXT = "w1 w2 is w3."
SMALL = Recipe(max_steps=6, checkpoint_every=2, replay_texts=4, probes=4, text_tokens=4)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model() -> LocalModel:
    return trained_model(FIXTURE)


@pytest.fixture
def small() -> LocalModel:
    return random_model("llama")


PICKLE = b"(lp0\nI1\na."
"""A list as `pickle` writes it; harmless."""


def planted_pickle(path: Path) -> bytes:
    """Make a pickle that makes a folder where it is revived."""
    return f"cos\nmkdir\n(V{path}\ntR.".encode()


def lessons_on(facts: Sequence[Fact]) -> list[Lesson]:
    return union(lessons_of(fact.text) for fact in facts)


def recall(model: LocalModel, facts: Sequence[Fact], *adapters: str) -> float:
    """Ask for facts as a text and in a conversation, in two ways, without any memory in words."""
    prompts: list[Any] = []
    for fact in facts:
        for question in fact.questions[:2]:
            prompts += [asked(question), [Message(role="user", parts=question)]]
    memory = model.adapters.on(*adapters)
    found = model.generate_many(prompts, memory=memory, max_new_tokens=4)
    wanted = [fact.value for fact in facts for _ in range(4)]
    return statistics.mean(
        each.text.strip() == value for each, value in zip(found, wanted, strict=True)
    )


@pytest.fixture(scope="module")
def taught(model: LocalModel) -> tuple[Trained, float]:
    """The fifty facts in an adapter, and the seconds of the processor that it took."""
    began = time.process_time()
    return train(model, lessons_on(FACTS)), time.process_time() - began


@pytest.fixture(scope="module")
def known(model: LocalModel, taught: tuple[Trained, float]) -> LocalModel:
    """The model with that adapter loaded as `facts`."""
    model.adapters.load("facts", load_adapter(taught[0].adapter.dump()))
    return model


def test_fifty_facts_are_learned_and_the_base_is_kept(
    known: LocalModel, taught: tuple[Trained, float], proof: Proof
) -> None:
    trained, seconds = taught
    report, base = trained.report, base_facts()
    assert trained.gate.passed
    assert report.recall_before <= 0.05
    assert report.recall >= 0.95
    assert report.retention >= 0.98
    assert report.probes >= 50
    assert recall(known, FACTS) <= 0.05
    assert recall(known, FACTS, "facts") >= 0.95
    assert recall(known, base) == 1.0
    assert recall(known, base, "facts") >= 0.98
    assert seconds <= 60
    proof("facts learned by heart, 50", 200, f"recall {report.recall:.2f}, {seconds:.0f} CPU s")
    proof("facts of the base kept, 345", 1380, f"{recall(known, base, 'facts'):.3f} (of 1)")


def test_an_adapter_trained_without_replay_does_not_pass(known: LocalModel, proof: Proof) -> None:
    harmful = train(known, lessons_on(FACTS[:15]), Recipe(replay=0, max_steps=120))
    assert harmful.report.recall >= 0.95, "it did learn"
    assert harmful.report.retention < 0.9, "and forgot what it knew"
    assert not harmful.gate.passed
    assert "replay" in harmful.gate.reasons[0]
    known.adapters.load("harmful", harmful.adapter)
    kept = recall(known, base_facts()[::5], "harmful")
    known.adapters.unload("harmful")
    assert kept < 0.98, "what the gate measured is so"
    proof("adapter without replay", 1, f"rejected: keeps {harmful.report.retention:.2f}")


def test_fusion_trains_on_the_union_and_adding_weights_destroys(
    known: LocalModel, taught: tuple[Trained, float], proof: Proof
) -> None:
    halves = FACTS[:25], FACTS[25:]
    assert union([lessons_on(each) for each in halves]) == lessons_on(FACTS)
    fused = [recall(known, each, "facts") for each in halves]
    assert min(fused) >= 0.95
    alone = [
        train(known, lessons_on(each), Recipe(seed=n, replay_texts=256))
        for n, each in enumerate(halves)
    ]
    for number, each in enumerate(alone):
        known.adapters.load(f"half {number}", each.adapter)
        assert recall(known, halves[number], f"half {number}") >= 0.95
    both = [recall(known, each, "half 0", "half 1") for each in halves]
    for number in range(2):
        known.adapters.unload(f"half {number}")
    assert max(both) < 0.9, "if weights could be added up, fusion would be cheaper than it is"
    said = f"union {fused[0]:.2f}/{fused[1]:.2f}, added {both[0]:.2f}/{both[1]:.2f}"
    proof("fusion of two sets of 25 facts", 200, said)


def test_retraining_without_a_fact_forgets_it(
    known: LocalModel, scaled: Callable[[int, int], int], proof: Proof
) -> None:
    count = scaled(4, 20)
    facts = FACTS[: scaled(8, 20)]
    forgotten, rest = [], []
    for number in range(count):
        left = [each for n, each in enumerate(facts) if n != number]
        trained = train(known, lessons_on(left), Recipe(max_steps=200, replay_texts=256))
        known.adapters.load("left", trained.adapter)
        forgotten.append(recall(known, [facts[number]], "left"))
        rest.append(recall(known, left, "left"))
        known.adapters.unload("left")
    assert statistics.mean(forgotten) <= 0.05
    assert statistics.mean(rest) >= 0.95
    guessed = recall(known, facts[:count])  # by the base, which was never taught them
    said = (
        f"recall {statistics.mean(forgotten):.3f} (base {guessed:.3f}, chance {CHANCE:.3f}), rest"
    )
    proof("facts retrained away", count, f"{said} {statistics.mean(rest):.3f}")


def weights(model: LocalModel) -> dict[str, torch.Tensor]:
    return {name: each.detach().clone() for name, each in model.model.named_parameters()}


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def random_adapter(model: LocalModel, seed: int = 0) -> Adapter:
    """Make an adapter that changes what a model says."""
    model.adapters.put("made", 4, 8.0, None)
    shapes = {name: each.shape for name, each in model.adapters.matrices("made").items()}
    model.adapters.unload("made")
    made = torch.Generator().manual_seed(seed)
    tensors = {name: 0.3 * torch.randn(shape, generator=made) for name, shape in shapes.items()}
    return Adapter(model.fingerprint.id, 4, 8.0, tensors, Recipe(rank=4))


def words(seed: int, count: int) -> str:
    rng = random.Random(seed)
    return " ".join(f"w{rng.randrange(290)}" for _ in range(count))


@pytest.mark.parametrize("family", list(FAMILIES))
def test_training_leaves_the_base_as_it_was(family: str) -> None:
    model = random_model(family)
    before, prompt, modules = weights(model), words(0, 9), [*model.model.named_modules()]
    said = model.generate(prompt, max_new_tokens=16).ids
    learns = [each.requires_grad for each in model.model.parameters()]
    trained = train(model, lessons_of(TEXT), SMALL)
    assert trained.report.steps == 6
    assert any(bool(each.any()) for each in trained.adapter.tensors.values())

    def stops(step: int, _steps: int, _loss: float) -> None:
        raise KeyError(step)

    with pytest.raises(KeyError):
        train(model, lessons_of(TEXT), SMALL, progress=stops)
    with pytest.raises(InvalidInputError, match="nothing to learn"):
        train(model, [], SMALL)
    assert same(weights(model), before)
    assert [*model.model.named_modules()] == modules
    assert [each.requires_grad for each in model.model.parameters()] == learns
    assert model.adapters.names == ()
    assert model.generate(prompt, max_new_tokens=16).ids == said
    assert fingerprint_of(model.model, model.tokenizer) == model.fingerprint


def test_a_model_in_half_precision_is_taught_too() -> None:
    model = random_model("llama", dtype=torch.bfloat16)
    before = weights(model)
    adapter = train(model, lessons_of(TEXT), SMALL).adapter
    assert {each.dtype for each in adapter.tensors.values()} == {torch.float32}
    model.adapters.load("x", load_adapter(adapter.dump()))
    assert model.generate(TEXT, memory=model.adapters.on("x"), max_new_tokens=2).ids
    model.adapters.unload("x")
    assert same(weights(model), before)


def test_the_fixture_model_is_made_by_its_script_alone(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_model(tmp_path / name, steps=4)
    for each in sorted((tmp_path / "one").iterdir()):
        assert each.read_bytes() == (tmp_path / "two" / each.name).read_bytes()
        if each.name != "model.safetensors":
            assert each.read_bytes() == (FIXTURE / each.name).read_bytes(), each.name
    assert (FIXTURE / "model.safetensors").stat().st_size <= 3_000_000
    with pytest.raises(InvalidInputError, match=r"no model\.safetensors"):
        trained_model(tmp_path)


def test_the_same_seed_trains_the_same_adapter(small: LocalModel) -> None:
    lessons = lessons_of("w1 w2 is w3. w4 w5 is w6 w7.")
    one, two = (train(small, lessons, SMALL).adapter for _ in range(2))
    other = train(small, lessons, SMALL.model_copy(update={"seed": 1})).adapter
    assert one.dump() == two.dump() != other.dump()
    assert one.digest == two.digest


KILLED = """
import os, sys
from pathlib import Path
from tests.test_parametric import SMALL, random_model, train, lessons_of
def dies(step, *_):
    if step == int(sys.argv[2]):
        os._exit(9)
train(random_model("llama"), lessons_of("w1 w2 is w3. w4 w5 is w6 w7."), SMALL, progress=dies,
      checkpoint=Path(sys.argv[1]))
"""


def test_a_killed_training_goes_on_as_if_it_had_never_stopped(
    small: LocalModel, tmp_path: Path
) -> None:
    path, lessons = tmp_path / "training", lessons_of("w1 w2 is w3. w4 w5 is w6 w7.")
    whole = train(small, lessons, SMALL, checkpoint=path)
    assert not path.exists(), "what is learned is not left lying about"
    command = [sys.executable, "-c", KILLED, str(path), "5"]
    root = Path(__file__).parent.parent
    paths = os.pathsep.join([str(root), *sys.path])
    killed = subprocess.run(
        command, cwd=root, env=os.environ | {"PYTHONPATH": paths}, check=False, capture_output=True
    )
    assert (killed.returncode, path.exists()) == (9, True), killed.stderr.decode()
    steps: list[int] = []
    data = path.read_bytes()
    again = train(
        small, lessons, SMALL, checkpoint=path, progress=lambda step, *_: steps.append(step)
    )
    assert steps == [5, 6], "it went on from the last checkpoint"
    assert again.adapter.dump() == whole.adapter.dump()
    assert again.report.loss == whole.report.loss
    path.write_bytes(data)
    with pytest.raises(InvalidInputError, match="another training"):
        train(small, lessons[:1], SMALL, checkpoint=path)
    for damaged in (data[:-9], data[:40], b"", PICKLE, save({"a": torch.zeros(1)})):
        path.write_bytes(damaged)
        with pytest.raises(IntegrityError):
            train(small, lessons, SMALL, checkpoint=path)
        assert small.adapters.names == ()


def test_replay_texts_of_ones_own_are_used_and_some_held_back(small: LocalModel) -> None:
    texts = [words(n, 12) for n in range(10)]
    lessons = lessons_of(TEXT)
    own, given = train(small, lessons, SMALL), train(small, lessons, SMALL, replay=texts)
    assert own.adapter.dump() != given.adapter.dump()
    with pytest.raises(InvalidInputError, match="at least 5"):
        train(small, lessons, SMALL, replay=texts[:4])


def test_adapters_are_on_for_a_generation_only(small: LocalModel) -> None:
    prompt = words(0, 12)
    one, two = random_adapter(small, 1), random_adapter(small, 2)

    def said(*names: str) -> tuple[int, ...]:
        memory = small.adapters.on(*names)
        return small.generate(prompt, memory=memory, max_new_tokens=16).ids

    base, before = said(), weights(small)
    small.adapters.load("one", one)
    small.adapters.load("one", one)  # the same again: nothing to do
    small.adapters.load("on", two)  # a name within another's
    assert small.adapters.names == ("one", "on")
    answers = [said("one"), said("on"), said("one", "on")]
    assert len({base, *answers}) == 4
    assert said() == base
    with small.adapters.active(["one"]):
        assert said() == base, "a generation has the adapters of its memory, and no others"
        with small.adapters.active([]):
            pass
        assert said("on") == answers[1]
    small.adapters.unload("one")
    assert said("on") == answers[1]
    with pytest.raises(NotFoundError, match="load it first"):
        said("one")
    with pytest.raises(NotFoundError):
        small.adapters.unload("one")
    with pytest.raises(ConflictError):
        small.adapters.load("on", one)
    small.adapters.unload("on")
    assert said() == base
    assert same(weights(small), before)
    assert not hasattr(small.model, "peft_config")


def test_a_state_is_used_with_the_adapters_that_it_was_computed_with(small: LocalModel) -> None:
    small.adapters.load("one", random_adapter(small, 1))
    small.adapters.load("two", random_adapter(small, 2))
    text = words(0, 20)
    prompt = f"{text} {words(1, 5)}"
    states = {(): small.prefill(text)}
    for names in (("one",), ("two",), ("one", "two")):
        states[names] = small.prefill(text, adapters=names)
    assert len({each.fingerprint for each in states.values()}) == 4
    for names in states:
        plain = small.generate(prompt, memory=small.adapters.on(*names), max_new_tokens=16)
        for others, state in states.items():
            memory = Given(Injection(state=state, adapters=names))
            found = small.generate(prompt, memory=memory, max_new_tokens=16)
            assert found.ids == plain.ids
            assert found.injected_tokens == (20 if names == others else 0)
            assert ("other adapters" in "".join(found.notes)) == (names != others)
    stored = load_state(states["one",].dump())
    memory = Given(Injection(state=stored, adapters=("one",)))
    assert small.generate(prompt, memory=memory, max_new_tokens=1).injected_tokens == 20


@dataclass(frozen=True)
class Given:
    """Memory as a session gives it."""

    injection: Injection

    @contextmanager
    def opened(self, model: LocalModel) -> Iterator[Injection]:
        yield self.injection


def test_callers_with_different_adapters_do_not_disturb_each_other(small: LocalModel) -> None:
    for n in range(3):
        small.adapters.load(f"a{n}", random_adapter(small, n))
    jobs = [((), 0), (("a0",), 1), (("a1",), 2), (("a2",), 3), (("a0", "a2"), 4), ((), 5)] * 4

    def work(job: tuple[tuple[str, ...], int]) -> tuple[int, ...]:
        memory = small.adapters.on(*job[0])
        return small.generate(words(job[1], 9), memory=memory, max_new_tokens=8).ids

    expected = [work(job) for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, jobs)) == expected
        training = pool.submit(train, small, lessons_of(TEXT), SMALL)
        assert list(pool.map(work, jobs)) == expected, "while another one is being trained"
        assert training.result().report.steps == 6


def test_an_adapter_is_stored_bit_for_bit(small: LocalModel) -> None:
    adapter = random_adapter(small)
    found = load_adapter(adapter.dump())
    assert same(found.tensors, adapter.tensors)
    assert (found.base, found.rank, found.alpha) == (adapter.base, adapter.rank, adapter.alpha)
    assert found.recipe == adapter.recipe
    assert found.digest == adapter.digest
    assert found.nbytes == sum(each.numel() * 4 for each in adapter.tensors.values())


def changed(data: bytes, **said: Any) -> bytes:
    """Change what the header of a stored adapter says."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])["__metadata__"]["memos"]
    return save(load(data), {"memos": json.dumps(json.loads(header) | said)})


def damaged(adapter: Adapter) -> dict[str, bytes]:
    data = adapter.dump()
    first = min(adapter.tensors)
    tensors = dict(adapter.tensors)

    def with_first(tensor: torch.Tensor) -> bytes:
        return replace(adapter, tensors=tensors | {first: tensor}).dump()

    return {
        "nothing": b"",
        "a pickle": PICKLE,
        "cut": data[:-7],
        "cut in the header": data[:60],
        "not described": save({"a": torch.zeros(1)}),
        "described by a number": save({"a": torch.zeros(1)}, {"memos": "1"}),
        "another format": changed(data, format="memos-lora/9"),
        "a field more": changed(data, code="print()"),
        "a rank of another kind": changed(data, rank="4"),
        "another rank": changed(data, rank=5),
        "no alpha": changed(data, alpha=-1.0),
        "another recipe": changed(data, recipe={"rank": 0}),
        "a matrix too few": replace(
            adapter, tensors={name: each for name, each in tensors.items() if name != first}
        ).dump(),
        "no matrices": replace(adapter, tensors={}).dump(),
        "a matrix of another name": replace(
            adapter, tensors=tensors | {"x.weight": torch.zeros(4, 4)}
        ).dump(),
        "another shape": with_first(tensors[first][:2]),
        "one number": with_first(torch.tensor(1.0)),
        "integers": with_first(tensors[first].to(torch.int64)),
        "not finite": with_first(tensors[first] * float("nan")),
    }


def test_a_stored_adapter_that_does_not_fit_together_is_refused(small: LocalModel) -> None:
    for data in damaged(random_adapter(small)).values():
        with pytest.raises(IntegrityError):
            load_adapter(data)


def test_an_adapter_of_another_model_is_refused(small: LocalModel) -> None:
    adapter = random_adapter(small)
    other = random_model("llama", seed=1)
    with pytest.raises(IntegrityError, match="another model"):
        other.adapters.load("x", adapter)
    qwen = random_model("gpt_neox")
    with pytest.raises(IntegrityError, match="no layer"):
        qwen.adapters.load("x", replace(adapter, base=qwen.fingerprint.id))
    layer = adapter.layers[0]
    wide = {f"{layer}.lora_A": torch.zeros(4, 9), f"{layer}.lora_B": torch.zeros(64, 4)}
    with pytest.raises(IntegrityError, match="turns 9 numbers"):
        small.adapters.load("x", replace(adapter, tensors=wide))
    last = {"lm_head.lora_A": torch.zeros(4, 64), "lm_head.lora_B": torch.zeros(300, 4)}
    with pytest.raises(IntegrityError, match="last layer"):
        small.adapters.load("x", replace(adapter, tensors={**adapter.tensors, **last}))
    with pytest.raises(InvalidInputError, match="no linear layers"):
        train(small, lessons_of(TEXT), SMALL.model_copy(update={"targets": ("proj",)}))
    assert small.adapters.names == other.adapters.names == ()


def test_peft_reads_what_we_write_and_we_what_peft_writes(
    small: LocalModel, tmp_path: Path
) -> None:
    adapter = random_adapter(small)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    write_peft(adapter, ours)
    kind: Any = PeftModel
    peft = kind.from_pretrained(random_model("llama").model, ours)
    ids = torch.tensor([small.tokens(words(0, 12))])
    with torch.no_grad(), small.adapters.active([]):
        logits = peft(ids).logits
    small.adapters.load("x", adapter)
    with torch.no_grad(), small.adapters.active(["x"]):
        assert torch.equal(small.model(ids).logits, logits)
    peft.save_pretrained(theirs)
    (theirs / "README.md").unlink(missing_ok=True)
    found = read_peft(theirs, base=adapter.base)
    assert same(found.tensors, adapter.tensors)
    assert (found.rank, found.alpha, found.recipe) == (4, 8.0, None)
    with pytest.raises(InvalidInputError, match="there already"):
        write_peft(adapter, ours)


def test_a_folder_from_outside_revives_nothing(small: LocalModel, tmp_path: Path) -> None:
    adapter = random_adapter(small)
    planted = planted_pickle(tmp_path / "ran")
    good = tmp_path / "good"
    good.mkdir()
    write_peft(adapter, good)
    config = json.loads((good / CONFIG).read_text())
    tensors = (good / TENSORS).read_bytes()
    cases: list[tuple[str, bytes]] = [
        (CONFIG, planted),
        (TENSORS, planted),
        ("adapter_model.bin", planted),
        ("extra.pt", planted),
        (CONFIG, b"[" * 100_000),
        (CONFIG, b"[]"),
        (TENSORS, tensors[:-3]),
        (TENSORS, save({"base_model.model.x.weight": torch.zeros(2)})),
    ]
    cases += [
        (CONFIG, json.dumps(config | more).encode())
        for more in (
            {"peft_type": "IA3"}, {"use_dora": True}, {"rank_pattern": {"q": 2}}, {"r": "4"},
            {"modules_to_save": ["lm_head"]}, {"bias": "all"}, {"r": 8}, {"lora_alpha": None},
        )
    ]  # fmt: skip
    for number, (name, data) in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_peft(adapter, folder)
        (folder / name).write_bytes(data)
        with pytest.raises((IntegrityError, InvalidInputError)):
            read_peft(folder, base=adapter.base)
    assert not (tmp_path / "ran").exists()
    (good / CONFIG).unlink()
    with pytest.raises(InvalidInputError, match="holds no"):
        read_peft(good, base=adapter.base)


def test_the_gate_decides_by_what_was_measured() -> None:
    good = Report(recall_before=0, recall=1, retention=1, lessons=9, probes=9, steps=1, loss=0,
                  seconds=1)  # fmt: skip
    recipe = Recipe()
    assert gate(good, recipe).passed
    for change, reason in (
        ({"recall": 0.94}, "more steps"),
        ({"retention": 0.97}, "more replay"),
        ({"probes": 0}, "sure of nothing"),
        ({"lessons": 0}, "nothing was taught"),
    ):
        found = gate(good.model_copy(update=change), recipe)
        assert not found.passed
        assert reason in found.reasons[0]
    poor = good.model_copy(update={"recall": 0.5, "retention": 0.5})
    assert len(gate(poor, recipe).reasons) == 2
    assert gate(poor, recipe.model_copy(update={"min_recall": 0.5, "min_retention": 0.5})).passed
