"""Small models: with random weights, wise in nothing; and one from a folder, that knows something.

Needs the extra `[models]`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch
import transformers
from safetensors import SafetensorError
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from memos_core.errors import IntegrityError, InvalidInputError
from memos_core.memory.runtime import LocalModel

WORDS: Final = 300
_SPECIAL: Final = {"pad_token": "[PAD]", "bos_token": "[BOS]", "unk_token": "[UNK]"}
_BASE: Final[dict[str, Any]] = {
    "vocab_size": WORDS,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": None,
}
_GROUPED: Final[dict[str, Any]] = {"num_key_value_heads": 2, "head_dim": 16}
_WINDOW: Final[dict[str, Any]] = _GROUPED | {"sliding_window": 16}
FAMILIES: Final[dict[str, dict[str, Any]]] = {
    "llama": _GROUPED,
    "qwen2": {"num_key_value_heads": 2},
    "qwen3": _GROUPED,
    "mistral": _WINDOW,
    "gemma2": _WINDOW,
    "gemma3_text": _WINDOW,
    "gpt_neox": {},
}
"""What each family adds to the common shape. Mistral and Gemma have windows of 16 tokens."""

TEMPLATE: Final = (
    "{% for m in messages %}{{ m['role'] }} : {{ m['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}assistant :{% endif %}"
)


def word_tokenizer() -> Any:
    """Make a tokenizer of whole words: `w0`, `w1`, …, and those of its chat template."""
    words = [*_SPECIAL.values(), "user", "system", "assistant", ":"]
    words += [f"w{n}" for n in range(WORDS - len(words))]
    ids = {word: n for n, word in enumerate(words)}
    rules = Tokenizer(WordLevel(ids, unk_token=_SPECIAL["unk_token"]))
    rules.pre_tokenizer = WhitespaceSplit()
    kind: Any = transformers.PreTrainedTokenizerFast
    made = kind(tokenizer_object=rules, **_SPECIAL)
    made.chat_template = TEMPLATE
    return made


def random_model(family: str, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> LocalModel:
    """Make a model whose answers depend on all that it has read.

    Args:
        family: A name in `FAMILIES`.
        seed: Of its weights.
        dtype: The type of its numbers.
    """
    configs: Any = transformers.AutoConfig
    models: Any = transformers.AutoModelForCausalLM
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = models.from_config(configs.for_model(family, **_BASE, **FAMILIES[family]))
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.data.normal_(std=0.15)
    return LocalModel(model.to(dtype), word_tokenizer())


def trained_model(folder: Path | str) -> LocalModel:
    """Read a model that somebody trained from a folder; nothing is fetched from anywhere.

    The fixture of this project is `tests/models/fact_llama`, made by `tests/models/train.py`.

    Args:
        folder: What `save_pretrained` of a model and its tokenizer wrote.

    Raises:
        InvalidInputError: There is no such model.
        IntegrityError: Its weights are no safetensors.
    """
    models: Any = transformers.AutoModelForCausalLM
    tokenizers: Any = transformers.AutoTokenizer
    if not (Path(folder) / "model.safetensors").is_file():
        raise InvalidInputError(f"{folder} holds no model.safetensors: train one into it")
    own = {"local_files_only": True, "trust_remote_code": False}
    try:
        model = models.from_pretrained(folder, use_safetensors=True, **own)
    except SafetensorError as error:
        raise IntegrityError(f"{folder} holds no safetensors: nothing of it was used") from error
    return LocalModel(model, tokenizers.from_pretrained(folder, **own))
