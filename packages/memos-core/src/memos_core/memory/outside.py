"""Adapters of others: the folder that PEFT writes, read and written without reviving anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from safetensors.torch import save as save_tensors

from memos_core.errors import IntegrityError, InvalidInputError
from memos_core.infrastructure.files import whole_file
from memos_core.memory.parametric import Adapter, checked
from memos_core.memory.stored import read_tensors

CONFIG: Final = "adapter_config.json"
TENSORS: Final = "adapter_model.safetensors"
_REVIVED: Final = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"})
_MOST_CONFIG: Final = 1 << 20
_PREFIX: Final = "base_model.model."
_PLAIN: Final = (
    "use_dora", "rank_pattern", "alpha_pattern", "modules_to_save", "trainable_token_indices",
    "layer_replication", "lora_bias", "fan_in_fan_out", "target_parameters",
)  # fmt: skip
"""What has to be empty or off: with it, an adapter is more than two matrices for each layer."""


def write_peft(adapter: Adapter, folder: Path) -> None:
    """Write an adapter as PEFT reads it.

    Args:
        adapter: What to write.
        folder: A folder that is there and holds no adapter.

    Raises:
        InvalidInputError: There is an adapter already, or no folder.
        VaultError: It cannot be written.
    """
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": adapter.rank,
        "lora_alpha": adapter.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": list(adapter.layers),
        "inference_mode": True,
        "base_model_name_or_path": None,
    }
    tensors = {
        f"{_PREFIX}{name}.weight": each.detach().cpu().contiguous()
        for name, each in adapter.tensors.items()
    }
    data = {CONFIG: json.dumps(config, indent=2).encode(), TENSORS: save_tensors(tensors)}
    for name, content in data.items():
        with whole_file(folder / name, "the adapter") as stream:
            stream.write(content)


def read_peft(folder: Path, *, base: str) -> Adapter:
    """Read an adapter that PEFT wrote. Whether to trust it is the caller's decision.

    Args:
        folder: It holds `adapter_config.json` and `adapter_model.safetensors`.
        base: The id of the fingerprint of the model that it is for; the folder does not tell it.

    Raises:
        IntegrityError: The folder holds a file that would have to be revived, or something is
            wrong with the two.
        InvalidInputError: There is no adapter, or one of a kind that MemOS does not run.
    """
    check_peft(folder)
    return adapter_of((folder / CONFIG).read_bytes(), (folder / TENSORS).read_bytes(), base=base)


def check_peft(folder: Path) -> None:
    """Refuse a folder that holds something to be revived, or no adapter.

    Raises:
        IntegrityError: It holds a file that would have to be revived.
        InvalidInputError: It holds no adapter.
    """
    for each in sorted(folder.iterdir()) if folder.is_dir() else ():
        if each.suffix.lower() in _REVIVED:
            raise IntegrityError(
                f"{each.name} may run code when it is read, so it is not: have the adapter saved "
                "as safetensors, and take this file away"
            )
    if not (folder / CONFIG).is_file() or not (folder / TENSORS).is_file():
        raise InvalidInputError(f"{folder} holds no {CONFIG} with {TENSORS}")


def adapter_of(said: bytes, data: bytes, *, base: str) -> Adapter:
    """Read an adapter of PEFT's two files.

    Args:
        said: The bytes of `adapter_config.json`.
        data: Those of `adapter_model.safetensors`.
        base: As for `read_peft`.
    """
    config = _config(said)
    _said, found = read_tensors(data, TENSORS, described=False)
    tensors = {
        name.removeprefix(_PREFIX).removesuffix(".weight"): each for name, each in found.items()
    }
    if len(tensors) < len(found):
        raise IntegrityError(f"{TENSORS} holds a matrix twice")
    rank = config["r"]
    # With this option the weight is alpha / sqrt(rank); told as the alpha that comes to the same.
    alpha = config["lora_alpha"] * (rank**0.5 if config.get("use_rslora") else 1.0)
    return checked(Adapter(base, rank, float(alpha), tensors))


def _config(data: bytes) -> dict[str, Any]:
    """Read the configuration; only plain LoRA passes."""
    try:
        config: Any = json.loads(data[:_MOST_CONFIG])
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{CONFIG} is no JSON: nothing of it was used") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise InvalidInputError("only adapters of the kind LORA run here")
    if more := [name for name in _PLAIN if config.get(name)]:
        raise InvalidInputError(f"the adapter uses {more[0]}, which does not run here")
    if config.get("bias", "none") != "none":
        raise InvalidInputError("the adapter changes biases, which does not run here")
    numbers = (config.get("r"), config.get("lora_alpha"))
    if not isinstance(numbers[0], int) or not isinstance(numbers[1], int | float):
        raise IntegrityError(f"{CONFIG} does not tell the adapter's rank and alpha")
    return config
