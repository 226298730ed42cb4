"""Training: lessons become an adapter, beside a model that stays as it is.

The base repeats what it says itself (replay), so that the adapter learns to leave it alone: its
expectations with the adapter are drawn to those without. No data of others is needed for that.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import torch
from torch.nn import functional

from memos_core.errors import InvalidInputError
from memos_core.memory.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from memos_core.memory.drills import (
    NOTHING,
    Drill,
    asked_of,
    drills_of,
    logits_of,
    padded,
    probes_of,
    samples_of,
    share_right,
)
from memos_core.memory.lessons import Lesson
from memos_core.memory.parametric import Adapter
from memos_core.memory.recipe import GateReport, Recipe, Report, gate
from memos_core.memory.runtime import LocalModel

_WARM: Final = 5
"""Steps until the learning rate is reached."""
_RATE_BY_WIDTH: Final = 0.5
"""The learning rate times the model's width, where none is given."""
_MOST_NORM: Final = 1.0
_MOMENTS: Final = ("exp_avg", "exp_avg_sq")
_HELD: Final = 5
"""Of texts that are given for replay, each fifth is held back to measure what is kept."""

Item = TypeVar("Item")
Progress = Callable[[int, int, float], None]
"""Takes the step, the most steps, and the loss on the lessons in nats per token."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training came to.

    Args:
        adapter: The adapter; it may be used where its gate was passed.
        report: What was measured.
    """

    adapter: Adapter
    report: Report

    @property
    def gate(self) -> GateReport:
        """Whether the adapter may be used, and why not."""
        return gate(self.report, self.adapter.recipe or Recipe())


def train(
    model: LocalModel,
    lessons: Sequence[Lesson],
    recipe: Recipe | None = None,
    *,
    replay: Sequence[str] | None = None,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> Trained:
    """Train an adapter. The model answers others between the steps, without it.

    The same arguments give the same adapter, also where a training was stopped and goes on from
    its checkpoint.

    Args:
        model: The model; its weights stay as they are, whatever happens.
        lessons: What it is to learn; for several sets at once, their `union`.
        recipe: How, and what has to be reached.
        replay: Texts of what the base is to keep, at least five; its own are drawn by default.
        progress: Called after each step; what it raises stops the training.
        checkpoint: A file to go on from, made by this training if it is there. It holds what is
            being learned; when the training ends it is removed.

    Returns:
        The adapter and what was measured, whether or not it passes the gate.

    Raises:
        InvalidInputError: There are no lessons, too few texts, or the checkpoint is of another
            training.
        IntegrityError: The checkpoint is damaged.

    Example:
        >>> from memos_core.memory.lessons import lessons_of
        >>> from memos_core.testing.models import random_model
        >>> lessons, recipe = lessons_of("w1 w2 is w3."), Recipe(max_steps=2, replay_texts=4)
        >>> train(random_model("llama"), lessons, recipe).report.steps
        2
    """
    if not lessons:
        raise InvalidInputError("there is nothing to learn: give lessons")
    training = _Training(model, list(lessons), recipe or Recipe(), replay)
    with model.adapters.learning(training.name, training.recipe):
        return training.run(progress, checkpoint)


def retention_of(model: LocalModel, adapter: Adapter, recipe: Recipe) -> tuple[float, int]:
    """Measure what a model keeps of what it knew while an adapter is on.

    Args:
        model: The model.
        adapter: Of whatever origin.
        recipe: Says how many texts the base writes for that, and from which seed.

    Returns:
        The share of the probes that are answered as before, in [0, 1], and how many there are.

    Raises:
        IntegrityError: The adapter does not fit the model.
    """
    measured = _Training(model, [], recipe.model_copy(update={"replay": 0.0}), None)
    model.adapters.load(measured.name, adapter)
    try:
        kept = share_right(model, measured.probes, [measured.name])
    finally:
        model.adapters.unload(measured.name)
    return kept, len(measured.probes)


class _Training:
    """A training on its way: what it works on, and where it stands."""

    def __init__(
        self,
        model: LocalModel,
        lessons: list[Lesson],
        recipe: Recipe,
        texts: Sequence[str] | None,
    ) -> None:
        self.began = time.monotonic()
        self.model = model
        self.recipe = recipe
        self.name = f"training {id(self):x}"
        self.drills = drills_of(model, lessons) if lessons else []
        self.kept, held = self._texts(texts)
        self.probes = probes_of(model, held)
        self.guards = probes_of(model, self.kept[: recipe.probes])
        self.before = share_right(model, self.drills)
        self.digest = _digest(model, lessons, recipe, texts)
        self.step = self.looks = 0
        self.loss = 0.0

    def run(self, progress: Progress | None, checkpoint: Path | None) -> Trained:
        """Train until all is learned, or the steps are used up."""
        recipe, model = self.recipe, self.model
        matrices = model.adapters.matrices(self.name)
        optimizer = torch.optim.AdamW(list(matrices.values()), weight_decay=0.0)
        if checkpoint is not None and checkpoint.exists():
            self._resume(read_checkpoint(checkpoint, self.digest, matrices), optimizer)
        while self.step < recipe.max_steps and self.looks < recipe.patience:
            self.loss = self._learn(matrices, optimizer)
            self.step += 1
            if self.step % recipe.check_every == 0:
                self.looks = self.looks + 1 if self._done() else 0
            if checkpoint is not None and self.step % recipe.checkpoint_every == 0:
                write_checkpoint(checkpoint, self._standing(matrices, optimizer))
            if progress is not None:
                progress(self.step, recipe.max_steps, self.loss)
        report = Report(
            recall_before=self.before,
            recall=share_right(model, self.drills, [self.name]),
            retention=share_right(model, self.probes, [self.name]),
            lessons=len(self.drills),
            probes=len(self.probes),
            steps=self.step,
            loss=self.loss,
            seconds=time.monotonic() - self.began,
        )
        tensors = {name: each.detach().cpu().clone() for name, each in matrices.items()}
        if checkpoint is not None:
            checkpoint.unlink(missing_ok=True)
        base = model.fingerprint.id
        return Trained(Adapter(base, recipe.rank, recipe.scale, tensors, recipe), report)

    def _texts(
        self, given: Sequence[str] | None
    ) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
        """Return what is replayed, and what is held back to measure what is kept."""
        recipe = self.recipe
        if given is not None:
            if len(given) < _HELD:
                raise InvalidInputError(f"give at least {_HELD} texts for replay, or none")
            rows = [tuple(self.model.tokens(each)) for each in given]
            return [row for n, row in enumerate(rows) if n % _HELD], rows[::_HELD]

        def drawn(count: int, seed: int) -> list[tuple[int, ...]]:
            return samples_of(self.model, count, tokens=recipe.text_tokens, seed=seed)

        kept = drawn(recipe.replay_texts, 2 * recipe.seed) if recipe.replay else []
        known = set(kept)
        held = [row for row in drawn(recipe.probes, 2 * recipe.seed + 1) if row not in known]
        return kept, held

    def _learn(
        self, matrices: dict[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer
    ) -> float:
        """Do one step, and return the loss on the lessons."""
        recipe, model = self.recipe, self.model
        embeddings: Any = model.model.get_input_embeddings()
        width = int(embeddings.weight.shape[1])
        rate = recipe.learning_rate or _RATE_BY_WIDTH / width
        for group in optimizer.param_groups:
            # Once all is learned, ever smaller steps let what the base knew settle again.
            group["lr"] = rate * min(1.0, (self.step + 1) / _WARM) * 0.5**self.looks
        again = round(recipe.batch * recipe.replay) if self.kept else 0
        some = _batch(self.drills, recipe.batch - again, self.step, recipe.seed)
        kept = _batch(self.kept, again, self.step, recipe.seed + 1)
        optimizer.zero_grad(set_to_none=True)
        if kept:
            ids, mask = padded(model, kept)
            with model.adapters.active(()), torch.no_grad():
                expected = logits_of(model, ids, mask).float().log_softmax(-1)
        with model.adapters.active([self.name], learns=True), torch.enable_grad():
            loss = _loss(model, some)
            torch.autograd.backward(loss)
            if kept:
                found = logits_of(model, ids, mask).float().log_softmax(-1)
                apart = functional.kl_div(found, expected, reduction="none", log_target=True)
                torch.autograd.backward(recipe.replay_weight * apart.sum(-1)[mask == 1].mean())
            torch.nn.utils.clip_grad_norm_(matrices.values(), _MOST_NORM)
            optimizer.step()
        return float(loss.detach())

    def _done(self) -> bool:
        """Say whether all is learned, and what is replayed is answered as before."""
        if share_right(self.model, self.drills, [self.name]) < 1.0:
            return False
        kept = share_right(self.model, self.guards, [self.name])
        # What was replayed is kept better than what was not, and that is what the gate asks about.
        return not self.guards or kept >= (1 + self.recipe.min_retention) / 2

    def _standing(
        self, matrices: dict[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer
    ) -> Checkpoint:
        moments = {
            kind: {name: optimizer.state[each][kind] for name, each in matrices.items()}
            for kind in _MOMENTS
        }
        return Checkpoint(
            self.digest,
            self.step,
            self.looks,
            self.loss,
            time.monotonic() - self.began,
            matrices,
            *moments.values(),
        )

    def _resume(self, found: Checkpoint, optimizer: torch.optim.Optimizer) -> None:
        self.step, self.looks, self.loss = found.step, found.looks, found.loss
        self.began -= found.seconds
        self.model.adapters.fill(self.name, found.matrices)
        for name, each in self.model.adapters.matrices(self.name).items():
            held = {"step": torch.tensor(float(found.step))}
            for kind, tensors in zip(_MOMENTS, (found.means, found.squares), strict=True):
                held[kind] = tensors[name].to(each.device)
            optimizer.state[each] = held


def _loss(model: LocalModel, drills: Sequence[Drill]) -> torch.Tensor:
    """Compute how unexpected the wanted tokens are, in nats per token."""
    ids, mask = padded(model, [each.ids for each in drills])
    logits = logits_of(model, ids, mask).float()
    return functional.cross_entropy(
        logits.flatten(0, 1), asked_of(model, drills).flatten(), ignore_index=NOTHING
    )


def _batch(items: Sequence[Item], count: int, step: int, seed: int) -> list[Item]:
    """Take a step's share of items: all of them in turn, each round in an order of its own.

    It depends on nothing but the step, so that a training can go on from any.
    """
    if not count or not items:
        return []
    rounds = -(-len(items) // count)
    number, part = divmod(step, rounds)
    order = list(range(len(items)))
    random.Random(f"{seed} {number}").shuffle(order)  # noqa: S311
    return [items[each] for each in order[part * count : (part + 1) * count]]


def _digest(
    model: LocalModel, lessons: Sequence[Lesson], recipe: Recipe, texts: Sequence[str] | None
) -> str:
    said = {
        "base": model.fingerprint.id,
        "lessons": [[each.prompt, each.answer, each.asked] for each in lessons],
        "recipe": recipe.model_dump(mode="json"),
        "replay": None if texts is None else list(texts),
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
