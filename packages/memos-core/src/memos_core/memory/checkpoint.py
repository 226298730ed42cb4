"""A training's checkpoint: all that is needed to go on as if it had never stopped."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save as save_tensors

from memos_core.errors import IntegrityError, InvalidInputError
from memos_core.infrastructure.files import sync_folder, whole_file
from memos_core.memory.stored import read_tensors

FORMAT: Final = "memos-training/1"
_MATRIX, _MEAN, _SQUARE = "matrix ", "mean ", "square "


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Where a training stands after a step.

    Args:
        training: The SHA-256 of what the training was given, as hex digits.
        step: How many steps were done.
        looks: How many looks in a row found all lessons learned.
        loss: The last step's loss on the lessons.
        seconds: How long it has taken so far.
        matrices: The adapter's matrices, by name.
        means: The optimizer's running means of their gradients, by the same names and shapes.
        squares: The same of the squares.
    """

    training: str
    step: int
    looks: int
    loss: float
    seconds: float
    matrices: Mapping[str, torch.Tensor]
    means: Mapping[str, torch.Tensor]
    squares: Mapping[str, torch.Tensor]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; a crash leaves the one before it.

    Raises:
        VaultError: It cannot be written.
    """
    said = {
        "format": FORMAT,
        "training": checkpoint.training,
        "step": checkpoint.step,
        "looks": checkpoint.looks,
        "loss": checkpoint.loss,
        "seconds": checkpoint.seconds,
    }
    kinds = {
        _MATRIX: checkpoint.matrices,
        _MEAN: checkpoint.means,
        _SQUARE: checkpoint.squares,
    }
    tensors = {
        kind + name: each.detach().cpu().contiguous()
        for kind, held in kinds.items()
        for name, each in held.items()
    }
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with whole_file(fresh, "the checkpoint") as stream:
        stream.write(save_tensors(tensors, {"memos": json.dumps(said)}))
    fresh.replace(path)
    sync_folder(path.parent)


def read_checkpoint(path: Path, training: str, shapes: Mapping[str, torch.Tensor]) -> Checkpoint:
    """Read a checkpoint.

    Args:
        path: The file.
        training: The SHA-256 of what the training was given that is to go on.
        shapes: The adapter's matrices as they are, for their names and shapes.

    Raises:
        InvalidInputError: It is of another training.
        IntegrityError: It is damaged, or something else.
    """
    said, tensors = read_tensors(path.read_bytes(), f"the checkpoint {path}")
    numbers = [said.get(name) for name in ("step", "looks", "loss", "seconds")]
    fits = (
        said.get("format") == FORMAT
        and all(isinstance(each, int | float) and math.isfinite(each) for each in numbers)
        and all(isinstance(each, int) and each >= 0 for each in numbers[:2])
    )
    if not fits:
        raise IntegrityError(f"the checkpoint {path} is damaged: remove it to train anew")
    if said.get("training") != training:
        raise InvalidInputError(
            f"the checkpoint {path} is of another training: name another file, or remove it"
        )
    wanted = {kind + name: each.shape for kind in (_MATRIX, _MEAN, _SQUARE)
              for name, each in shapes.items()}  # fmt: skip
    if {name: each.shape for name, each in tensors.items()} != wanted:
        raise IntegrityError(f"the checkpoint {path} is damaged: remove it to train anew")
    held = [{name: tensors[kind + name] for name in shapes} for kind in (_MATRIX, _MEAN, _SQUARE)]
    return Checkpoint(training, said["step"], said["looks"], said["loss"], said["seconds"], *held)
