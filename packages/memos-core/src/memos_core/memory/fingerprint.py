"""Fingerprints of models: what a state depends on, so that it is never given to another model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Final

import torch
import transformers
from pydantic import BaseModel, ConfigDict
from transformers import PreTrainedModel, PreTrainedTokenizerBase

_PIECE: Final = 1 << 26
"""Bytes of weights that are hashed at once."""
_FLEETING: Final = ("_name_or_path", "transformers_version", "_attn_implementation_autoset")


class Fingerprint(BaseModel):
    """What a state depends on; where any of it differs, the state is of no use.

    Args:
        family: The model's type, such as `llama`.
        config: The SHA-256 of its configuration.
        weights: The SHA-256 of all its parameters and buffers, by name.
        tokenizer: The SHA-256 of what its tokenizer makes of a fixed text, and of its vocabulary.
        dtype: The type of its numbers.
        device: The kind of device: another one rounds differently.
        attention: How attention is computed: another way rounds differently.
        library: The versions of transformers and torch.
    """

    model_config = ConfigDict(frozen=True)

    family: str
    config: str
    weights: str
    tokenizer: str
    dtype: str
    device: str
    attention: str
    library: str

    @property
    def id(self) -> str:
        """One id for all of it: `mdl_` and 40 hex digits."""
        text = json.dumps(self.model_dump(), sort_keys=True)
        return "mdl_" + hashlib.sha256(text.encode("utf-8")).hexdigest()[:40]


def fingerprint_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Fingerprint:
    """Compute the fingerprint of a model and its tokenizer, from all weights."""
    config = {
        name: value for name, value in model.config.to_dict().items() if name not in _FLEETING
    }
    return Fingerprint(
        family=str(model.config.model_type),
        config=_digest(json.dumps(config, sort_keys=True, default=str)),
        weights=_weights_digest(model),
        tokenizer=_tokenizer_digest(tokenizer),
        dtype=str(model.dtype).removeprefix("torch."),
        device=model.device.type,
        attention=str(getattr(model.config, "_attn_implementation", "")),
        library=f"transformers {transformers.__version__}, torch {torch.__version__}",
    )


def _weights_digest(model: PreTrainedModel) -> str:
    """Hash every parameter and buffer, by name, in its own bytes."""
    digest = hashlib.sha256()
    tensors: Mapping[str, torch.Tensor] = dict(model.named_parameters()) | dict(
        model.named_buffers()
    )
    for name in sorted(tensors):
        tensor = tensors[name].detach()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        flat = tensor.reshape(-1)
        step = max(1, _PIECE // max(1, tensor.element_size()))
        for start in range(0, flat.numel(), step):
            piece = flat[start : start + step].contiguous().cpu()
            digest.update(piece.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """Hash the vocabulary, the template, and what becomes of a text with all kinds of characters.

    The rules of a tokenizer can be code, so what it does is taken with what it is.
    """
    probe = "The quick brown fox, 1234567890: \u00fcber \u4e2d\u6587 \U0001f680\n\tnaive  spaces."
    said = {
        "vocabulary": sorted(tokenizer.get_vocab().items()),
        "added": sorted(str(each) for each in tokenizer.get_added_vocab()),
        "template": getattr(tokenizer, "chat_template", None),
        "probe": tokenizer(probe)["input_ids"],
    }
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        said["rules"] = backend.to_str()
    return _digest(json.dumps(said, sort_keys=True, default=str))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
