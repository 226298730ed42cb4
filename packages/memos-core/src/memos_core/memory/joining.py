"""Joining states that were computed apart: lossy, and only for who says so.

What comes second was computed without having seen what comes first. Its keys are turned to their
new positions; what they would have taken in from the first is missing. How far that is from the
truth is measured on the next token, and told with every answer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import torch

from memos_core.errors import InvalidInputError
from memos_core.memory.activation import KVState

if TYPE_CHECKING:
    from memos_core.memory.runtime import LocalModel

_NEAR: Final = 1e-3
"""How far turned keys of the first layer may be from computed ones, relative to the largest."""


def join(model: LocalModel, first: KVState, second: KVState, *, lossy: bool) -> KVState:
    """Put a state after another one that it was computed without.

    Args:
        model: The model of both.
        first: The state that comes first, from the beginning of a prompt.
        second: The other one; what its tokenizer puts first is left out.
        lossy: Must be true: the joined state is not what the model would have computed.

    Returns:
        A state whose `divergence` says how far the distribution of the next token is from that
        after the same tokens computed together, in nats. It is for use, and cannot be stored.

    Raises:
        InvalidInputError: `lossy` is not true, or the model's positions cannot be moved.

    Example:
        >>> from memos_core.testing.models import random_model
        >>> model = random_model("llama")
        >>> joined = join(model, model.prefill("w1 w2"), model.prefill("w3 w4"), lossy=True)
        >>> joined.divergence is not None and len(joined.ids)
        4
    """
    if not lossy:
        raise InvalidInputError(
            "states that were computed apart do not join exactly: prefill them together, or say "
            "lossy=True"
        )
    known = model.fingerprint.id
    if first.fingerprint != known or second.fingerprint != known:
        raise InvalidInputError("the states are not of this model: prefill them with it")
    begins = model.tokenizer.bos_token_id
    skipped = 1 if begins is not None and second.ids[:1] == (begins,) else 0
    rest = second.part(skipped, len(second.ids))
    by = len(first.ids) - skipped
    moved = [(_turned(model, keys, by), values) for keys, values in rest.layers]
    ids = (*first.ids, *rest.ids)
    exact = model.prefill(ids)
    _check_turned(exact.layers[0][0][:, :, len(first.ids) :], moved[0][0])
    layers = tuple(
        (torch.cat([one[0], two[0]], dim=2), torch.cat([one[1], two[1]], dim=2))
        for one, two in zip(first.layers, moved, strict=True)
    )
    joined = KVState(ids, layers, known, f"{first.text}\n\n{second.text}".strip())
    return replace(joined, divergence=model.divergence(ids, exact, joined)["kl"])


def _turned(model: LocalModel, keys: torch.Tensor, by: int) -> torch.Tensor:
    """Turn keys (1, heads, n, d) by a number of positions."""
    rotary: Any = getattr(model.model.base_model, "rotary_emb", None)
    try:
        cos, sin = rotary(keys, torch.tensor([[by]], device=model.model.device))
        half = keys.shape[-1] // 2
        swapped = torch.cat([-keys[..., half:], keys[..., :half]], dim=-1)
        turned: torch.Tensor = keys * cos.to(keys.device)[:, None]
        turned += swapped * sin.to(keys.device)[:, None]
        return turned
    except (TypeError, RuntimeError, ValueError, KeyError) as error:
        raise _immovable() from error


def _check_turned(computed: torch.Tensor, turned: torch.Tensor) -> None:
    """Hold the first layer's keys, which depend on a token and its place only, to computed ones."""
    same = computed.shape == turned.shape
    far = (computed - turned).abs().max() > _NEAR * computed.abs().max() if same else True
    if far:
        raise _immovable()


def _immovable() -> InvalidInputError:
    return InvalidInputError(
        "the positions of this model's keys cannot be moved: prefill the texts together"
    )
