"""Activation memory: keys and values that a model computed for some tokens, kept to be used again.

A state is exact or it is not used. It carries the token ids that it was computed for and the
fingerprint of the model that computed it; it is given back to that model only, and only for ids
that the prompt begins with. Stored, it is safetensors: nothing in it can run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from memos_core.errors import IntegrityError, InvalidInputError
from memos_core.memory.stored import said_in

FORMAT: Final = "memos-kv/1"
Precision = Literal["exact", "int8", "fp8"]
"""How the numbers of a state are stored: as they are, or in a byte each with a scale per vector."""
_MAX_LAYERS: Final = 4_096
_DTYPES: Final[Mapping[str, torch.dtype]] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
}
_STORED: Final[Mapping[str, tuple[torch.dtype, float]]] = {
    "int8": (torch.int8, 127.0),
    "fp8": (torch.float8_e4m3fn, 448.0),
}


@dataclass(frozen=True, slots=True, eq=False)
class KVState:
    """What a causal model computed for a run of tokens.

    Args:
        ids: The token ids, n of them.
        layers: For each layer the keys and the values, each (1, heads, n, d) in the model's dtype.
        fingerprint: The id of the model's fingerprint.
        text: The text that the ids stand for, for a model that cannot use the state.
        start: The position of the first of them in the prompt; 0 for a whole state.
        divergence: Of a state that is not exact, how far it is off, in nats; else None.
    """

    ids: tuple[int, ...]
    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    fingerprint: str
    text: str = ""
    start: int = 0
    divergence: float | None = None

    @property
    def nbytes(self) -> int:
        """How much memory the tensors take, in bytes."""
        return sum(k.nbytes + v.nbytes for k, v in self.layers)

    def common_prefix(self, ids: Sequence[int]) -> int:
        """Count the tokens at the start of a prompt that this state was computed for."""
        return shared(self.ids, ids)

    def first(self, count: int) -> KVState:
        """Return the state of the first tokens only; of a causal model that is exact."""
        return self if count >= len(self.ids) else self.part(0, count)

    def part(self, begin: int, end: int) -> KVState:
        """Return the state of some of the tokens, which goes on where those before it end.

        Args:
            begin: The first of them, counted in this state.
            end: The one after the last.
        """
        layers = tuple((k[:, :, begin:end], v[:, :, begin:end]) for k, v in self.layers)
        ids, start = self.ids[begin:end], self.start + begin
        return KVState(ids, layers, self.fingerprint, "", start, self.divergence)

    def dump(self, precision: Precision = "exact") -> bytes:
        """Write the state as safetensors; `load_state` reads it back, if exact bit for bit.

        Args:
            precision: `exact`, or a byte for each number: `int8` or `fp8` (E4M3), with one scale
                for each token, head, and layer.
        """
        if precision not in get_args(Precision):
            raise InvalidInputError(f"the precision is exact, int8 or fp8, not {precision!r}")
        if self.divergence is not None:
            raise InvalidInputError("a state that is not exact is not stored: prefill it whole")
        tensors: dict[str, torch.Tensor] = {}
        for number, pair in enumerate(self.layers):
            for name, tensor in zip(("keys", "values"), pair, strict=True):
                tensors |= _packed(f"{number}.{name}", tensor.detach().cpu(), precision)
        said = {
            "format": FORMAT,
            "fingerprint": self.fingerprint,
            "ids": list(self.ids),
            "layers": len(self.layers),
            "text": self.text,
            "start": self.start,
            "precision": precision,
            "dtype": str(self.layers[0][0].dtype).removeprefix("torch."),
        }
        return save_tensors(tensors, {"memos": json.dumps(said)})


def joined(parts: Sequence[KVState]) -> KVState:
    """Put states together that follow one another.

    Raises:
        IntegrityError: They do not, or they are of different models.
    """
    end = 0
    for part in parts:
        same = part.fingerprint == parts[0].fingerprint
        if part.start != end or not same or len(part.layers) != len(parts[0].layers):
            raise IntegrityError("the parts of the state do not follow one another: make it anew")
        end += len(part.ids)
    if len(parts) == 1:
        return parts[0]
    layers = tuple(
        (torch.cat([k for k, _v in pairs], dim=2), torch.cat([v for _k, v in pairs], dim=2))
        for pairs in zip(*(part.layers for part in parts), strict=True)
    )
    ids = tuple(each for part in parts for each in part.ids)
    return KVState(ids, layers, parts[0].fingerprint)


def load_state(source: bytes | Path, *, device: str = "cpu") -> KVState:
    """Read what `KVState.dump` wrote.

    Args:
        source: The bytes, or the file that holds them, which is mapped and not read.
        device: Where the tensors go.

    Raises:
        IntegrityError: It is something else, or its parts do not fit together.
    """
    said = _read_header(source)
    try:
        tensors = load_tensors(source) if isinstance(source, bytes) else _mapped(source)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise IntegrityError(f"the stored state is no safetensors: {error}") from error
    names = {f"{n}.{kind}" for n in range(said["layers"]) for kind in ("keys", "values")}
    if said["precision"] != "exact":
        names |= {f"{each}.scale" for each in names}
    if names != set(tensors):
        raise IntegrityError("the stored state lacks layers, or has others than it says")
    dtype = _DTYPES[said["dtype"]]
    layers = tuple(
        (
            _unpacked(tensors, f"{n}.keys", dtype).to(device),
            _unpacked(tensors, f"{n}.values", dtype).to(device),
        )
        for n in range(said["layers"])
    )
    ids = tuple(said["ids"])
    state = KVState(ids, layers, said["fingerprint"], said["text"], said["start"])
    _check_shapes(state, dtype)
    return state


def _mapped(path: Path) -> dict[str, torch.Tensor]:
    with safe_open(path, framework="pt") as stored:
        return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118


def _packed(name: str, tensor: torch.Tensor, precision: Precision) -> dict[str, torch.Tensor]:
    if precision == "exact":
        return {name: tensor.contiguous()}
    dtype, top = _STORED[precision]
    plain = tensor.float()
    scale = plain.abs().amax(dim=-1, keepdim=True).clamp(min=1e-12) / top
    small = plain / scale
    small = small.round() if precision == "int8" else small
    return {name: small.to(dtype).contiguous(), f"{name}.scale": scale.contiguous()}


def _unpacked(tensors: Mapping[str, torch.Tensor], name: str, dtype: torch.dtype) -> torch.Tensor:
    tensor, scale = tensors[name], tensors.get(f"{name}.scale")
    if scale is None:
        return tensor
    fits = scale.dim() == tensor.dim() == 4 and scale.shape == (*tensor.shape[:3], 1)
    if not fits:
        raise IntegrityError(f"the scale of {name} in the stored state does not fit it")
    return (tensor.float() * scale).to(dtype)


def _read_header(source: bytes | Path) -> dict[str, Any]:
    """Read what a stored state says of itself, without its tensors."""
    wrong = "the stored state is none of MemOS, or of a newer version"
    said = said_in(source, wrong)
    if not isinstance(said, dict):
        raise IntegrityError(wrong)
    defaults: dict[str, Any] = {"start": 0, "precision": "exact", "dtype": "float32"}
    said = defaults | said
    fits = (
        said.get("format") == FORMAT
        and isinstance(said.get("ids"), list)
        and all(isinstance(each, int) for each in said["ids"])
        and isinstance(said.get("layers"), int)
        and 0 < said["layers"] <= _MAX_LAYERS
        and isinstance(said.get("fingerprint"), str)
        and isinstance(said.get("text"), str)
        and isinstance(said["start"], int)
        and said["precision"] in get_args(Precision)
        and said["dtype"] in _DTYPES
    )
    if not fits:
        raise IntegrityError(wrong)
    return said


def _check_shapes(state: KVState, dtype: torch.dtype) -> None:
    for number, pair in enumerate(state.layers):
        for tensor in pair:
            same = tensor.shape == state.layers[0][0].shape and tensor.dtype == dtype
            if (
                not same
                or tensor.dim() != 4
                or tensor.shape[0] != 1
                or tensor.shape[2] != len(state.ids)
            ):
                raise IntegrityError(
                    f"layer {number} of the stored state has the shape {tuple(tensor.shape)} of "
                    f"{tensor.dtype}, which does not fit {len(state.ids)} tokens of {dtype}"
                )


def shared(ones: Sequence[int], others: Sequence[int]) -> int:
    """Count the items at the beginning that two sequences share."""
    for count, (one, other) in enumerate(zip(ones, others, strict=False)):
        if one != other:
            return count
    return min(len(ones), len(others))


def check_ids(ids: Sequence[int], vocabulary: int) -> tuple[int, ...]:
    """Return token ids unchanged if a model can read them.

    Raises:
        InvalidInputError: There are none, or one is not in the vocabulary.
    """
    found = tuple(ids)
    if not found:
        raise InvalidInputError("there are no tokens: give a text, or ids")
    for each in found:
        if isinstance(each, bool) or not isinstance(each, int) or not 0 <= each < vocabulary:
            raise InvalidInputError(
                f"{each!r} is no token of this model: ids go from 0 to {vocabulary - 1}"
            )
    return found
