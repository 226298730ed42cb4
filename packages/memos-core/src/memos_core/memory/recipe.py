"""How an adapter is trained, what came of it, and whether it may be used."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Recipe(BaseModel):
    """How an adapter is trained and what it has to reach.

    Args:
        rank: The rank of the adapter's matrices.
        alpha: The adapter's weight is `alpha / rank`; twice the rank where it is left out.
        targets: The ends of the names of the layers that are adapted; where it is left out, all
            linear layers but the last.
        learning_rate: Of AdamW; where it is left out, 0.5 / the model's width.
        max_steps: The most steps.
        batch: How many examples a step learns from.
        replay: The share of each step that repeats what the base says, in [0, 1).
        replay_weight: How much a nat away from the base weighs beside a nat of the lessons.
        replay_texts: How many texts the base writes for that, where none are given.
        probes: How many texts the base writes by which it is measured what it still knows.
        text_tokens: The most tokens of each of those texts.
        check_every: After so many steps it is looked whether all lessons are learned.
        patience: Training ends when so many looks in a row found them learned, and what is
            replayed answered as before.
        checkpoint_every: After so many steps a checkpoint is written.
        seed: Of everything that is drawn.
        min_recall: The least share of the lessons that must be known afterwards.
        min_retention: The least share of the probes that must be answered as before.

    Example:
        >>> Recipe(rank=4).scale
        8.0
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(default=8, ge=1, le=1024)
    alpha: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    targets: tuple[str, ...] | None = Field(default=None, min_length=1)
    learning_rate: float | None = Field(default=None, gt=0, lt=1)
    max_steps: int = Field(default=300, ge=1)
    batch: int = Field(default=64, ge=1)
    replay: float = Field(default=0.5, ge=0, lt=1)
    replay_weight: float = Field(default=10.0, gt=0, allow_inf_nan=False)
    replay_texts: int = Field(default=2048, ge=1)
    probes: int = Field(default=256, ge=1)
    text_tokens: int = Field(default=32, ge=2)
    check_every: int = Field(default=10, ge=1)
    patience: int = Field(default=4, ge=1)
    checkpoint_every: int = Field(default=50, ge=1)
    seed: int = 0
    min_recall: float = Field(default=0.95, ge=0, le=1)
    min_retention: float = Field(default=0.98, ge=0, le=1)

    @property
    def scale(self) -> float:
        """Its alpha, whether given or not."""
        return 2.0 * self.rank if self.alpha is None else self.alpha


class Report(BaseModel):
    """What a training came to.

    Args:
        recall_before: The share of the lessons that the base knew, in [0, 1].
        recall: The share that is known with the adapter.
        retention: The share of the probes that are answered as before.
        lessons: How many lessons were measured, each form of a question for itself.
        probes: How many probes; of these nothing was trained on.
        steps: How many steps were done.
        loss: The last step's loss on the lessons, in nats per token.
        seconds: How long the training took.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recall_before: float = Field(ge=0, le=1)
    recall: float = Field(ge=0, le=1)
    retention: float = Field(ge=0, le=1)
    lessons: int = Field(ge=0)
    probes: int = Field(ge=0)
    steps: int = Field(ge=0)
    loss: float = Field(ge=0)
    seconds: float = Field(ge=0)


class GateReport(BaseModel):
    """Whether an adapter may be used, and why not.

    Args:
        report: What was measured.
        passed: Whether it may be used.
        reasons: Why not, in words; empty where it passed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    report: Report
    passed: bool
    reasons: tuple[str, ...] = ()


def gate(report: Report, recipe: Recipe) -> GateReport:
    """Decide whether an adapter may be used.

    Args:
        report: What was measured.
        recipe: What it has to reach.

    Example:
        >>> poor = Report(recall_before=0, recall=1, retention=0.4, lessons=9, probes=50, steps=60,
        ...               loss=0.1, seconds=4)
        >>> gate(poor, Recipe()).reasons
        ('it keeps 40.0% of what the base knew, and 98.0% is asked: train it with more replay',)
    """
    reasons = []
    if report.lessons == 0:
        reasons.append("nothing was taught, so nothing could be measured")
    elif report.recall < recipe.min_recall:
        reasons.append(
            f"it knows {report.recall:.1%} of what was taught, and {recipe.min_recall:.1%} is "
            "asked: train it for more steps"
        )
    if lost := shortfall_of(report.retention, report.probes, recipe):
        more = "train it with more replay" if report.probes else "give replay texts that it knows"
        reasons.append(f"{lost}: {more}")
    return GateReport(report=report, passed=not reasons, reasons=tuple(reasons))


def shortfall_of(retention: float, probes: int, recipe: Recipe) -> str:
    """Say why a model does not keep enough of what it knew; nothing where it does.

    Args:
        retention: The share of the probes that are answered as before, in [0, 1].
        probes: How many there are; with none, nothing was measured.
        recipe: What is asked.
    """
    if probes == 0:
        return "the base is sure of nothing, so it cannot be measured what it keeps"
    if retention >= recipe.min_retention:
        return ""
    return (
        f"it keeps {retention:.1%} of what the base knew, and {recipe.min_retention:.1%} is asked"
    )
