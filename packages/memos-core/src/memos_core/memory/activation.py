"""Activation memory: keys and values that a model computed for some tokens, kept to be used again.

A state is exact or it is not used. It carries the token ids that it was computed for and the
fingerprint of the model that computed it; it is given back to that model only, and only for ids
that the prompt begins with. Stored, it is safetensors: nothing in it can run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from memos_core.errors import IntegrityError, InvalidInputError

FORMAT: Final = "memos-kv/1"
_MAX_LAYERS: Final = 4_096


@dataclass(frozen=True, slots=True, eq=False)
class KVState:
    """What a causal model computed for a run of tokens from the start of a prompt.

    Args:
        ids: The token ids, n of them.
        layers: For each layer the keys and the values, each (1, heads, n, d) in the model's dtype.
        fingerprint: The id of the model's fingerprint.
        text: The text that the ids stand for, for a model that cannot use the state.
    """

    ids: tuple[int, ...]
    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    fingerprint: str
    text: str

    @property
    def nbytes(self) -> int:
        """How much memory the tensors take, in bytes."""
        return sum(k.nbytes + v.nbytes for k, v in self.layers)

    def common_prefix(self, ids: Sequence[int]) -> int:
        """Count the tokens at the start of a prompt that this state was computed for."""
        count = 0
        for mine, theirs in zip(self.ids, ids, strict=False):
            if mine != theirs:
                break
            count += 1
        return count

    def first(self, count: int) -> KVState:
        """Return the state of the first tokens only; of a causal model that is exact."""
        if count >= len(self.ids):
            return self
        layers = tuple((k[:, :, :count], v[:, :, :count]) for k, v in self.layers)
        return KVState(self.ids[:count], layers, self.fingerprint, "")

    def dump(self) -> bytes:
        """Write the state as safetensors; `load_state` reads it back, bit for bit."""
        tensors: dict[str, torch.Tensor] = {}
        for number, (keys, values) in enumerate(self.layers):
            tensors[f"{number}.keys"] = keys.detach().cpu().contiguous()
            tensors[f"{number}.values"] = values.detach().cpu().contiguous()
        said = {
            "format": FORMAT,
            "fingerprint": self.fingerprint,
            "ids": list(self.ids),
            "layers": len(self.layers),
            "text": self.text,
        }
        return save_tensors(tensors, {"memos": json.dumps(said)})


def load_state(data: bytes, *, device: str = "cpu") -> KVState:
    """Read what `KVState.dump` wrote.

    Args:
        data: The bytes.
        device: Where the tensors go.

    Raises:
        IntegrityError: It is something else, or its parts do not fit together.
    """
    said = _read_header(data)
    try:
        tensors = load_tensors(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise IntegrityError(f"the stored state is no safetensors: {error}") from error
    count = said["layers"]
    names = {f"{n}.{kind}" for n in range(count) for kind in ("keys", "values")}
    if names != set(tensors):
        raise IntegrityError("the stored state lacks layers, or has others than it says")
    layers = tuple(
        (tensors[f"{n}.keys"].to(device), tensors[f"{n}.values"].to(device)) for n in range(count)
    )
    state = KVState(tuple(said["ids"]), layers, said["fingerprint"], said["text"])
    _check_shapes(state)
    return state


def _read_header(data: bytes) -> Mapping[str, Any]:
    """Read the header of safetensors without their tensors: 8 bytes of length, then JSON."""
    wrong = IntegrityError("the stored state is none of MemOS, or of a newer version")
    try:
        length = int.from_bytes(data[:8], "little")
        said = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["memos"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise wrong from error
    fits = (
        isinstance(said, dict)
        and said.get("format") == FORMAT
        and isinstance(said.get("ids"), list)
        and all(isinstance(each, int) for each in said["ids"])
        and isinstance(said.get("layers"), int)
        and 0 < said["layers"] <= _MAX_LAYERS
        and isinstance(said.get("fingerprint"), str)
        and isinstance(said.get("text"), str)
    )
    if not fits:
        raise wrong
    found: Mapping[str, Any] = said
    return found


def _check_shapes(state: KVState) -> None:
    for number, pair in enumerate(state.layers):
        for tensor in pair:
            if tensor.dim() != 4 or tensor.shape[0] != 1 or tensor.shape[2] != len(state.ids):
                raise IntegrityError(
                    f"layer {number} of the stored state has the shape {tuple(tensor.shape)}, "
                    f"which does not fit {len(state.ids)} tokens"
                )


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
