"""Facts learned by heart: what training costs and keeps, and fusion beside PEFT's merged adapters.

The fixture model is taught 50 facts that are new to it, asked without any memory in words. Fusion
trains one adapter on two sets of 25; the peer merges two adapters, each of which knows its set, in
each of the ways that PEFT offers. Loading and switching are measured beside PEFT's own calls.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from peft import PeftModel

from benchmarks.common import CONSOLE, Report, median_ms, options
from memos_core import Message
from memos_core.memory.lessons import Lesson, lessons_of, union
from memos_core.memory.outside import write_peft
from memos_core.memory.recipe import Recipe
from memos_core.memory.runtime import LocalModel
from memos_core.memory.training import Trained, train
from memos_core.testing.models import trained_model
from tests.models.world import CHANCE, Fact, asked, base_facts, new_facts

MODEL: Final = Path(__file__).parent.parent / "tests" / "models" / "fact_llama"
MERGES: Final = ("cat", "svd", "ties", "linear")
ROUNDS: Final = 20
PEER = "PEFT"


def lessons_on(facts: Sequence[Fact]) -> list[Lesson]:
    """Make lessons from facts by rules."""
    return union(lessons_of(fact.text) for fact in facts)


def recall(model: LocalModel, facts: Sequence[Fact], *adapters: str) -> float:
    """Ask for facts as a text and in a conversation; return the share that is answered right."""
    prompts: list[Any] = []
    for fact in facts:
        prompts += [asked(fact.question), [Message(role="user", parts=fact.question)]]
    memory = model.adapters.on(*adapters)
    found = model.generate_many(prompts, memory=memory, max_new_tokens=4)
    wanted = [fact.value for fact in facts for _ in range(2)]
    right = [each.text.strip() == value for each, value in zip(found, wanted, strict=True)]
    return sum(right) / len(right)


def measured(
    model: LocalModel, facts: Sequence[Fact], recipe: Recipe
) -> tuple[Trained, float, float]:
    """Train on facts; return what came of it, the CPU seconds and the seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    with CONSOLE.status(f"training on {len(facts)} facts, replay {recipe.replay}"):
        trained = train(model, lessons_on(facts), recipe)
    return trained, time.process_time() - cpu, time.perf_counter() - wall


def learning(report: Report, model: LocalModel, facts: Sequence[Fact]) -> Trained:
    """Measure a training with replay, and one without."""
    base = base_facts()
    trained, cpu, wall = measured(model, facts, Recipe())
    report.add("lora.train_cpu", cpu, "s")
    report.add("lora.train", wall, "s")
    report.add("lora.steps", trained.report.steps, "steps")
    report.add("lora.bytes", trained.adapter.nbytes / 1e3, "kB")
    report.add("lora.chance", CHANCE, "of 1")
    report.add("lora.recall_before", recall(model, facts), "of 1")
    model.adapters.load("facts", trained.adapter)
    report.add("lora.recall", recall(model, facts, "facts"), "of 1")
    report.add("lora.retention", trained.report.retention, "of 1")
    report.add("lora.base_recall", recall(model, base, "facts"), "of 1")
    harmful, _cpu, _wall = measured(model, facts, Recipe(replay=0))
    model.adapters.load("harmful", harmful.adapter)
    report.add("lora.retention_no_replay", harmful.report.retention, "of 1")
    report.add("lora.base_recall_no_replay", recall(model, base, "harmful"), "of 1")
    report.add("lora.gate_rejects_it", float(not harmful.gate.passed), "of 1")
    model.adapters.unload("harmful")
    return trained


def switching(report: Report, model: LocalModel, trained: Trained, peer: Any, folder: Path) -> None:
    """Measure loading an adapter and switching between two, beside PEFT's calls."""

    def load(number: int) -> None:
        model.adapters.load(f"copy {number}", trained.adapter)

    def switch(number: int) -> None:
        with model.adapters.active([f"copy {number % 2}"]):
            pass

    ours = median_ms(load, ROUNDS)
    theirs = median_ms(lambda n: peer.load_adapter(folder, f"copy{n}"), ROUNDS)
    report.add("lora.load", ours, "ms", theirs)
    ours = median_ms(switch, ROUNDS)
    report.add("lora.switch", ours, "ms, on and off", median_ms(
        lambda n: peer.set_adapter(f"copy{n % 2}"), ROUNDS))  # fmt: skip
    for number in range(ROUNDS):
        model.adapters.unload(f"copy {number}")


def fusion(report: Report, model: LocalModel, halves: Sequence[Sequence[Fact]], root: Path) -> None:
    """Measure one adapter on the union beside two that PEFT merges."""
    peer_model = trained_model(MODEL)
    kind: Any = PeftModel
    peer: Any = None
    alone = []
    for number, facts in enumerate(halves):
        trained, _cpu, _wall = measured(model, facts, Recipe(seed=number))
        folder = root / f"half{number}"
        folder.mkdir()
        write_peft(trained.adapter, folder)
        if peer is None:
            peer = kind.from_pretrained(peer_model.model, folder, adapter_name="half0")
        else:
            peer.load_adapter(folder, f"half{number}")
        model.adapters.load("half", trained.adapter)
        alone.append(recall(model, facts, "half"))
        model.adapters.unload("half")
    fused = [recall(model, facts, "facts") for facts in halves]
    for number, value in enumerate(alone):
        report.add(f"lora.alone_{number}", value, "of 1")
    for way in MERGES:
        density = {"density": 0.5} if way == "ties" else {}
        peer.add_weighted_adapter(["half0", "half1"], [1.0, 1.0], way, way, **density)
        peer.set_adapter(way)
        for number, facts in enumerate(halves):
            merged = recall(peer_model, facts)
            report.add(f"lora.fused_{number}_{way}", fused[number], "of 1", merged)


def main() -> None:
    """Measure, print, and write the figures."""
    arguments = options(__doc__).parse_args()
    torch.set_num_threads(1)
    report = Report("50 facts learned by heart (a Llama of 0.4 million weights, one thread)", PEER)
    model, facts = trained_model(MODEL), new_facts(50)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        trained = learning(report, model, facts)
        folder = root / "facts"
        folder.mkdir()
        write_peft(trained.adapter, folder)
        kind: Any = PeftModel
        peer = kind.from_pretrained(trained_model(MODEL).model, folder)
        switching(report, model, trained, peer, folder)
        fusion(report, model, (facts[:25], facts[25:]), root)
    report.finish(arguments.json)


if __name__ == "__main__":
    main()
