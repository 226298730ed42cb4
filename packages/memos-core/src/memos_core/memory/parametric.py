"""Parametric memory: facts that a model knows by heart, in an adapter beside its weights.

An adapter is a LoRA: for each adapted layer two small matrices whose product is added to what the
layer does. It belongs to one base model, whose weights it leaves as they are. Stored, it is
safetensors with fixed fields: nothing in it can run.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from pydantic import ValidationError
from safetensors.torch import save as save_tensors

from memos_core.errors import IntegrityError
from memos_core.memory.recipe import Recipe
from memos_core.memory.stored import read_tensors

FORMAT: Final = "memos-lora/1"
_TENSOR: Final = re.compile(r"(?P<layer>[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*)\.lora_(?P<side>[AB])")
_FLOATS: Final = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """What was trained beside a model's weights.

    Args:
        base: The id of the fingerprint of the model that it was trained on.
        rank: The rank r of its matrices.
        alpha: It is added with the weight `alpha / rank`.
        tensors: For each adapted layer `<layer>.lora_A` (r, in) and `<layer>.lora_B` (out, r).
        recipe: How it was trained; of an adapter from outside, nothing is known.
    """

    base: str
    rank: int
    alpha: float
    tensors: Mapping[str, torch.Tensor]
    recipe: Recipe | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the adapted layers, sorted."""
        return tuple(sorted({name.rpartition(".")[0] for name in self.tensors}))

    @property
    def nbytes(self) -> int:
        """How much memory the tensors take, in bytes."""
        return sum(each.nbytes for each in self.tensors.values())

    @property
    def digest(self) -> str:
        """The SHA-256 of what `dump` writes, as hex digits."""
        return hashlib.sha256(self.dump()).hexdigest()

    def dump(self) -> bytes:
        """Write the adapter as safetensors; `load_adapter` reads it back, bit for bit."""
        said = {
            "format": FORMAT,
            "base": self.base,
            "rank": self.rank,
            "alpha": self.alpha,
            "recipe": None if self.recipe is None else self.recipe.model_dump(mode="json"),
        }
        tensors = {name: each.detach().cpu().contiguous() for name, each in self.tensors.items()}
        return save_tensors(tensors, {"memos": json.dumps(said, sort_keys=True)})


def load_adapter(data: bytes) -> Adapter:
    """Read what `Adapter.dump` wrote.

    Whether it fits a model is seen when it is loaded into one.

    Args:
        data: The bytes.

    Raises:
        IntegrityError: It is something else, or its parts do not fit together.
    """
    said, tensors = read_tensors(data, "the stored adapter")
    wrong = IntegrityError("the stored adapter is none of MemOS, or of a newer version")
    fields = {"format": str, "base": str, "rank": int, "alpha": float, "recipe": dict | None}
    if said.get("format") != FORMAT or set(said) != set(fields):
        raise wrong
    if not all(isinstance(said[name], kind) for name, kind in fields.items()):
        raise wrong
    try:
        recipe = None if said["recipe"] is None else Recipe.model_validate(said["recipe"])
    except ValidationError as error:
        raise wrong from error
    return checked(Adapter(said["base"], said["rank"], said["alpha"], tensors, recipe))


def checked(adapter: Adapter) -> Adapter:
    """Return an adapter unchanged if its parts fit together.

    Raises:
        IntegrityError: A matrix is missing, of another shape, or no matrix of finite numbers.
    """
    if adapter.rank < 1 or not (math.isfinite(adapter.alpha) and adapter.alpha > 0):
        raise IntegrityError("the adapter's rank or alpha is no number above zero")
    if not adapter.tensors:
        raise IntegrityError("the adapter holds no matrices")
    sides: dict[str, set[str]] = {}
    for name, tensor in adapter.tensors.items():
        found = _TENSOR.fullmatch(name)
        if found is None:
            raise IntegrityError(f"the adapter holds {name!r}, which is no matrix of a LoRA")
        sides.setdefault(found["layer"], set()).add(found["side"])
        ranks = tensor.shape[0 if found["side"] == "A" else -1] if tensor.dim() == 2 else 0
        if ranks != adapter.rank or tensor.dtype not in _FLOATS:
            raise IntegrityError(
                f"{name} of the adapter is {tuple(tensor.shape)} of {tensor.dtype}, which does "
                f"not fit the rank {adapter.rank}"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise IntegrityError(f"{name} of the adapter holds numbers that are not finite")
    if lacking := [layer for layer, found in sides.items() if len(found) < 2]:
        raise IntegrityError(f"the adapter lacks a matrix of {lacking[0]}")
    return adapter
