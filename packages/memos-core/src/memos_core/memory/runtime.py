"""The runtime: a causal language model of Hugging Face's kind, with memory inside.

Injected memory changes how fast an answer comes, never what it is. A state is used where its
fingerprint is the model's and the prompt begins with its tokens; anything else falls back to plain
text and says so. Needs the extra `[models]`.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from queue import Queue
from typing import Any, Final

import torch
import transformers
from pydantic import BaseModel, ConfigDict
from transformers import (
    DynamicCache,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.cache_utils import DynamicLayer

from memos_core.content import Message
from memos_core.errors import InvalidInputError
from memos_core.memory.activation import KVState, check_ids

_PIECE: Final = 1 << 26
"""Bytes of weights that are hashed at once."""
_FLEETING: Final = ("_name_or_path", "transformers_version", "_attn_implementation_autoset")

Prompt = str | Sequence[Message] | Sequence[int]
"""Text, a conversation for the model's chat template, or token ids."""


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


@dataclass(frozen=True, slots=True)
class Generation:
    """What a model wrote.

    Args:
        text: The answer.
        ids: Its token ids.
        prompt_tokens: How many tokens the prompt had.
        injected_tokens: How many of them came from memory and were not computed anew.
        notes: Why memory was not used, or not all of it.
    """

    text: str
    ids: tuple[int, ...]
    prompt_tokens: int
    injected_tokens: int
    notes: tuple[str, ...] = ()


class LocalModel:
    """A model that runs in this process. Calls from several threads wait for each other.

    The model is put into evaluation mode; nothing else of it is changed.

    Args:
        model: Any causal language model of transformers whose cache grows with its tokens.
        tokenizer: Its tokenizer.

    Raises:
        InvalidInputError: The model is no decoder-only one.

    Example:
        >>> from memos_core.testing.models import random_model
        >>> model = random_model("llama")  # a LocalModel of random weights
        >>> memory, prompt = model.prefill("w1 w2 w3"), "w1 w2 w3 w4"
        >>> with_it = model.generate(prompt, memory=memory, max_new_tokens=4)
        >>> with_it.injected_tokens, with_it.ids == model.generate(prompt, max_new_tokens=4).ids
        (3, True)
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        if getattr(model.config, "is_encoder_decoder", False) or not model.can_generate():
            raise InvalidInputError(
                f"{type(model).__name__} does not continue a text: give a causal language model"
            )
        self.model = model
        model.train(False)
        self.tokenizer = tokenizer
        self._lock = threading.RLock()

    @property
    def vocabulary(self) -> int:
        """How many token ids the model knows."""
        embeddings: Any = self.model.get_input_embeddings()
        return int(embeddings.weight.shape[0])

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """What its states depend on; computed once, from all weights.

        Whoever changes the weights in place makes a new `LocalModel`.
        """
        config = {
            name: value
            for name, value in self.model.config.to_dict().items()
            if name not in _FLEETING
        }
        with self._lock:
            return Fingerprint(
                family=str(self.model.config.model_type),
                config=_digest(json.dumps(config, sort_keys=True, default=str)),
                weights=_weights_digest(self.model),
                tokenizer=_tokenizer_digest(self.tokenizer),
                dtype=str(self.model.dtype).removeprefix("torch."),
                device=self.model.device.type,
                attention=str(getattr(self.model.config, "_attn_implementation", "")),
                library=f"transformers {transformers.__version__}, torch {torch.__version__}",
            )

    def tokens(self, prompt: Prompt, *, begins: bool = True, answers: bool = True) -> list[int]:
        """Turn a prompt into token ids.

        Args:
            prompt: Text, a conversation, or ids.
            begins: Whether a text begins a prompt: then it gets the tokens that the tokenizer puts
                first.
            answers: Whether a conversation is to be answered: then it ends in the template's lead.

        Raises:
            InvalidInputError: It is empty, or a conversation and the tokenizer has no template.
        """
        if isinstance(prompt, str):
            if not prompt:
                raise InvalidInputError("the prompt is empty: write something")
            found = self.tokenizer(prompt, add_special_tokens=begins)["input_ids"]
        elif prompt and isinstance(prompt[0], Message):
            found = self._templated(prompt, answers=answers)  # type: ignore[arg-type]  # all messages
        else:
            found = list(prompt)
        return list(check_ids(found, self.vocabulary))

    def _templated(self, messages: Sequence[Message], *, answers: bool) -> list[int]:
        if not getattr(self.tokenizer, "chat_template", None):
            raise InvalidInputError(
                "the tokenizer has no chat template: give the prompt as text, or set one"
            )
        plain = [{"role": each.role, "content": each.text} for each in messages]
        text = self.tokenizer.apply_chat_template(
            plain, add_generation_prompt=answers, tokenize=False
        )
        found: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    def prefill(self, prompt: Prompt, *, text: str = "") -> KVState:
        """Compute the keys and values of a prompt, for use in many prompts that begin with it.

        Args:
            prompt: The beginning of those prompts.
            text: What it says, for models that cannot use the state; of a text prompt that itself.

        Raises:
            InvalidInputError: The model's cache is of another kind, so no state can be kept.
        """
        ids = self.tokens(prompt, answers=False)
        cache = DynamicCache()
        with self._lock, torch.inference_mode():
            self.model(self._batch([ids]), past_key_values=cache, use_cache=True, logits_to_keep=1)
        layers = [
            (layer.keys, layer.values)
            for layer in cache.layers
            if type(layer) is DynamicLayer and layer.keys is not None and layer.values is not None
        ]
        if not layers or len(layers) < len(cache.layers):
            raise InvalidInputError(
                f"{type(self.model).__name__} keeps something else than keys and values for each "
                "token, of which no exact state can be stored: use this memory as text"
            )
        said = text or (prompt if isinstance(prompt, str) else _text(self.tokenizer, ids))
        return KVState(tuple(ids), tuple(layers), self.fingerprint.id, said)

    def generate(
        self,
        prompt: Prompt,
        *,
        memory: KVState | None = None,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> Generation:
        """Continue a prompt.

        Args:
            prompt: The whole prompt, memory and all: what `memory` holds is only not computed anew.
            memory: The state of what the prompt begins with.
            max_new_tokens: The most tokens of the answer.
            temperature: 0 takes the likeliest token each time.
            seed: For answers with a temperature that can be repeated.

        Returns:
            The answer, the same with memory as without it.
        """
        return self.generate_many(
            [prompt],
            memory=memory,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=seed,
        )[0]

    def generate_many(
        self,
        prompts: Sequence[Prompt],
        *,
        memory: KVState | None = None,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> list[Generation]:
        """Continue several prompts that share a memory.

        Prompts of one length are computed together. Padding would be seen by sliding windows.

        Args:
            prompts: As for `generate`.
            memory: The state of what they all begin with.
            max_new_tokens: The most tokens of each answer.
            temperature: 0 takes the likeliest token each time.
            seed: For answers with a temperature that can be repeated.
        """
        rows = [self.tokens(each) for each in prompts]
        groups: dict[int, list[int]] = {}
        for number, ids in enumerate(rows):
            groups.setdefault(len(ids), []).append(number)
        found: dict[int, Generation] = {}
        with self._lock, _seeded(seed, self.model.device):
            for numbers in groups.values():
                batch = [rows[each] for each in numbers]
                made = self._continued(batch, memory, max_new_tokens, temperature)
                found |= dict(zip(numbers, made, strict=True))
        return [found[number] for number in range(len(rows))]

    def stream(
        self,
        prompt: Prompt,
        *,
        memory: KVState | None = None,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> Iterator[str]:
        """Continue a prompt, piece by piece; whoever stops listening stops the model.

        Args:
            prompt: As for `generate`.
            memory: As for `generate`.
            max_new_tokens: The most tokens of the answer.
            temperature: 0 takes the likeliest token each time.
            seed: For answers with a temperature that can be repeated.
        """
        ids = self.tokens(prompt)
        pieces: Queue[str | None] = Queue()
        listener = _Listener(self.tokenizer, len(ids), pieces.put)

        def work() -> None:
            try:
                with self._lock, _seeded(seed, self.model.device):
                    self._continued([ids], memory, max_new_tokens, temperature, listener)
                listener.end()
            finally:
                pieces.put(None)

        with ThreadPoolExecutor(1, thread_name_prefix="memos-generate") as pool:
            working = pool.submit(work)
            try:
                while (piece := pieces.get()) is not None:
                    yield piece
            finally:
                listener.stopped = True
            working.result()  # what went wrong there is raised here

    def _continued(
        self,
        batch: Sequence[Sequence[int]],
        memory: KVState | None,
        max_new_tokens: int,
        temperature: float,
        listener: _Listener | None = None,
    ) -> list[Generation]:
        """Continue prompts of one length; the caller holds the lock."""
        usable, notes = self._usable(batch, memory)
        cache = DynamicCache()
        if usable is not None:
            # Filling the cache copies the tensors, so what the model appends reaches no memory.
            cache = DynamicCache(
                ddp_cache_data=[
                    tuple(
                        each.to(self.model.device).expand(len(batch), -1, -1, -1) for each in pair
                    )
                    for pair in usable.layers
                ]
            )
        ids = self._batch(batch)
        options: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None}
        if temperature > 0:
            options = {"do_sample": True, "temperature": temperature}
        pad = self.tokenizer.pad_token_id
        with torch.inference_mode():
            model: Any = self.model
            out = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                past_key_values=cache,
                max_new_tokens=max_new_tokens,
                pad_token_id=pad if pad is not None else 0,
                stopping_criteria=StoppingCriteriaList([listener] if listener else []),
                **options,
            )
        injected = 0 if usable is None else len(usable.ids)
        return [
            self._generation(row[len(batch[0]) :].tolist(), len(batch[0]), injected, notes)
            for row in out
        ]

    def _generation(
        self, ids: list[int], prompt_tokens: int, injected: int, notes: tuple[str, ...]
    ) -> Generation:
        ends = self.model.generation_config.eos_token_id
        stops = {ends} if isinstance(ends, int) else set(ends or ())
        kept = next((n + 1 for n, each in enumerate(ids) if each in stops), len(ids))
        text = _text(self.tokenizer, ids[:kept])
        return Generation(text, tuple(ids[:kept]), prompt_tokens, injected, notes)

    def _usable(
        self, batch: Sequence[Sequence[int]], memory: KVState | None
    ) -> tuple[KVState | None, tuple[str, ...]]:
        """Cut a state to what all prompts begin with; at least one token is always computed."""
        if memory is None:
            return None, ()
        if memory.fingerprint != self.fingerprint.id:
            return None, ("the memory was computed by another model: its text was used",)
        count = min(memory.common_prefix(ids) for ids in batch)
        count = min(count, min(len(ids) for ids in batch) - 1)
        if count <= 0:
            return None, ("the prompt does not begin with the memory: its text was used",)
        if count < min(len(memory.ids), len(batch[0]) - 1):
            note = f"only the first {count} of {len(memory.ids)} tokens begin the prompt"
            return memory.first(count), (note,)
        return memory.first(count), ()

    def _batch(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        return torch.tensor([list(ids) for ids in rows], device=self.model.device)


class _Listener(StoppingCriteria):
    """Hands on each piece of text as soon as it cannot change any more, and stops when told to."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, start: int, tell: Callable[[str], None]
    ) -> None:
        self._tokenizer = tokenizer
        self._start = start
        self._tell = tell
        self._ids: list[int] = []
        self._said = 0
        self.stopped = False

    def __call__(self, input_ids: torch.Tensor, _scores: Any, **_: Any) -> torch.Tensor:
        self._ids = input_ids[0, self._start :].tolist()
        text = _text(self._tokenizer, self._ids)
        if not text.endswith("\ufffd"):  # half a character: the rest comes with the next token
            self._say(text)
        return torch.full((1,), self.stopped, device=input_ids.device)

    def end(self) -> None:
        """Hand on what is left."""
        self._say(_text(self._tokenizer, self._ids))

    def _say(self, text: str) -> None:
        if len(text) > self._said:
            self._tell(text[self._said :])
            self._said = len(text)


def _text(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(ids), skip_special_tokens=True))


@contextmanager
def _seeded(seed: int | None, device: torch.device) -> Iterator[None]:
    """Draw from a seed within the block, and leave the random state as it was."""
    if seed is None:
        yield
        return
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


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
