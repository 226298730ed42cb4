"""The runtime: a causal language model of Hugging Face's kind, with memory inside.

Injected memory changes how fast an answer comes, never what it is. A state is used where its
fingerprint is the model's and the prompt begins with its tokens; anything else falls back to plain
text and says so. Needs the extra `[models]`.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from queue import Queue
from typing import Any, Final

import torch
from transformers import (
    DynamicCache,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteriaList,
)
from transformers.cache_utils import DynamicLayer

from memos_core.content import Message
from memos_core.errors import InvalidInputError
from memos_core.memory.activation import KVState, Precision, load_state
from memos_core.memory.adapters import Adapters
from memos_core.memory.fingerprint import Fingerprint, fingerprint_of
from memos_core.memory.generation import (
    Generation,
    Listener,
    Sampling,
    Stops,
    seeded,
    text_of_ids,
)
from memos_core.memory.injection import Injection, Memory
from memos_core.memory.prompts import Prompt, Prompts
from memos_core.models.chat import Schema

_PATIENCE: Final = 0.1
"""Seconds after which an answer that waits for the model looks whether it was cancelled."""
_MOST_SAID: Final = 1_024
"""The most tokens of an answer in a conversation."""

_NOT_BEGUN: Final = (
    "the prompt does not begin with the memory: its text was used (a cache is for conversations, "
    "or for texts, as `activate(chat=…)` says)"
)


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
        self.adapters = Adapters(model, self._lock, lambda: self.fingerprint.id)

    @property
    def vocabulary(self) -> int:
        """How many token ids the model knows."""
        embeddings: Any = self.model.get_input_embeddings()
        return int(embeddings.weight.shape[0])

    @cached_property
    def prompts(self) -> Prompts:
        """How prompts become token ids."""
        return Prompts(self.tokenizer, self.vocabulary)

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """What its states depend on; computed once, from all weights, without adapters.

        Whoever changes the weights in place makes a new `LocalModel`.
        """
        with self._lock:
            return fingerprint_of(self.model, self.tokenizer)

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
        return self.prompts.tokens(prompt, begins=begins, answers=answers)

    def prefill(
        self,
        prompt: Prompt,
        *,
        text: str = "",
        onto: KVState | None = None,
        adapters: Sequence[str] = (),
    ) -> KVState:
        """Compute the keys and values of a prompt, for use in many prompts that begin with it.

        Args:
            prompt: The beginning of those prompts.
            text: What it says, for models that cannot use the state; of a text prompt that itself.
            onto: A state of what the prompt begins with, which is then not computed again.
            adapters: The names of loaded adapters that are on; the state is then good for
                generations with these alone.

        Raises:
            InvalidInputError: The model's cache is of another kind, so no state can be kept.
            NotFoundError: One of the adapters is not loaded.
        """
        ids = self.tokens(prompt, answers=False)
        with self.adapters.active(adapters), torch.inference_mode():
            state_of = self._state_of(adapters)
            usable, _notes = self._usable([ids], onto, state_of)
            cache = self._cache(usable, 1)
            rest = ids[0 if usable is None else len(usable.ids) :]
            self.model(self._batch([rest]), past_key_values=cache, use_cache=True, logits_to_keep=1)
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
        said = text or (prompt if isinstance(prompt, str) else text_of_ids(self.tokenizer, ids))
        return KVState(tuple(ids), tuple(layers), state_of, said)

    def error_of(self, state: KVState, precision: Precision) -> dict[str, float]:
        """Measure what storing a state with less precision changes; see `divergence`.

        Args:
            state: A state of this model, of at least two tokens.
            precision: How it is stored.
        """
        stored = load_state(state.part(0, len(state.ids) - 1).dump(precision))
        return self.divergence(state.ids, state, stored)

    def divergence(self, ids: Sequence[int], exact: KVState, near: KVState) -> dict[str, float]:
        """Measure how far a state is from the exact one.

        Args:
            ids: Token ids; the last is read, with a state of those before it.
            exact: The exact state, of at least all but the last.
            near: The other one, of at least all but the last.

        Returns:
            `logit`: the largest difference of a logit after the last token. `kl`: how far the
            distribution of the next token diverges, in nats.
        """
        true, other = (self._next_logits(ids, each) for each in (exact, near))
        probable, nearly = true.log_softmax(-1), other.log_softmax(-1)
        divergence = (probable.exp() * (probable - nearly)).sum()
        return {"logit": float((true - other).abs().max()), "kl": max(0.0, float(divergence))}

    def _next_logits(self, ids: Sequence[int], state: KVState) -> torch.Tensor:
        """Return the logits, float64 (vocabulary,), after ids of which a state holds the first."""
        with self.adapters.active(()), torch.inference_mode():
            cache = self._cache(state.first(len(ids) - 1), 1)
            out = self.model(self._batch([ids[-1:]]), past_key_values=cache, use_cache=True)
        logits: torch.Tensor = out.logits[0, -1].double().cpu()
        return logits

    def generate(
        self,
        prompt: Prompt,
        *,
        memory: KVState | Memory | None = None,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
    ) -> Generation:
        """Continue a prompt.

        Args:
            prompt: What is asked. Where `memory` is a plain state, the whole prompt, memory and
                all: what the state holds is only not computed anew.
            memory: What a session gave for this model; or the state of what the prompt begins with.
            max_new_tokens: The most tokens of the answer.
            temperature: 0 takes the likeliest token each time.
            seed: For answers with a temperature that can be repeated.
            stop: Texts before which the answer ends.

        Returns:
            The answer, the same with a state as without it.

        Raises:
            NotFoundError: The memory may not be used, or no more.
        """
        sampling = Sampling(max_new_tokens, temperature, seed, tuple(stop))
        return self._generated([prompt], memory, sampling)[0]

    def chat(
        self,
        messages: Sequence[Message],
        *,
        schema: Schema | None = None,  # noqa: ARG002 - the protocol's
    ) -> str:
        """Answer a conversation, as any `ChatModel` does; the likeliest answer, of any form.

        Args:
            messages: What was said, in order.
            schema: Left aside: what the model writes is not held to a form.
        """
        return self.generate(messages, max_new_tokens=_MOST_SAID).text

    def generate_many(
        self,
        prompts: Sequence[Prompt],
        *,
        memory: KVState | Memory | None = None,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
    ) -> list[Generation]:
        """Continue several prompts that share a memory.

        Prompts of one length are computed together. Padding would be seen by sliding windows.

        Args:
            prompts: As for `generate`.
            memory: As for `generate`; for all of them.
            max_new_tokens: The most tokens of each answer.
            temperature: 0 takes the likeliest token each time.
            seed: For answers with a temperature that can be repeated.
            stop: Texts before which an answer ends.
        """
        sampling = Sampling(max_new_tokens, temperature, seed, tuple(stop))
        return self._generated(prompts, memory, sampling)

    def _generated(
        self, prompts: Sequence[Prompt], memory: KVState | Memory | None, sampling: Sampling
    ) -> list[Generation]:
        found: dict[int, Generation] = {}
        with self._injected(memory) as given:
            rows = [self.prompts.with_memory(given.text, each) for each in prompts]
            groups: dict[int, list[int]] = {}
            for number, ids in enumerate(rows):
                groups.setdefault(len(ids), []).append(number)
            with self._lock, seeded(sampling.seed, self.model.device):
                for numbers in groups.values():
                    made = self._continued([rows[each] for each in numbers], given, sampling)
                    found |= dict(zip(numbers, made, strict=True))
            given.check()  # what may not be used any more has written nothing
        return [found[number] for number in range(len(rows))]

    def stream(
        self,
        prompt: Prompt,
        *,
        memory: KVState | Memory | None = None,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
        cancelled: threading.Event | None = None,
    ) -> Generator[str, None, Generation | None]:
        """Continue a prompt, piece by piece; whoever stops listening stops the model.

        Args:
            prompt: As for `generate`.
            memory: As for `generate`; before each piece it is asked whether it may still be used.
            max_new_tokens: The most tokens of the answer.
            temperature: 0 takes the likeliest token each time.
            seed: For answers with a temperature that can be repeated.
            stop: Texts before which the answer ends.
            cancelled: Set by another thread, it ends the answer without waiting for a piece.

        Returns:
            The pieces; the generator's own value is the whole answer, as `generate` returns it, or
            None where it was cancelled.
        """
        sampling = Sampling(max_new_tokens, temperature, seed, tuple(stop))
        pieces: Queue[str | None] = Queue()
        with self._injected(memory) as given:
            ids = self.prompts.with_memory(given.text, prompt)
            ended = cancelled or threading.Event()
            listener = Listener(self.tokenizer, len(ids), sampling, pieces.put, ended)

            def work() -> Generation | None:
                try:
                    with self._turn(ended) as mine:
                        if not mine:
                            return None
                        with seeded(sampling.seed, self.model.device):
                            made = self._continued([ids], given, sampling, listener)[0]
                    if ended.is_set():
                        return None
                    listener.end()
                    return made
                finally:
                    pieces.put(None)

            with ThreadPoolExecutor(1, thread_name_prefix="memos-generate") as pool:
                working = pool.submit(work)
                try:
                    while (piece := pieces.get()) is not None:
                        given.check()
                        yield piece
                except BaseException:  # also of whoever stops listening
                    ended.set()
                    raise
                made = working.result()  # what went wrong there is raised here
                given.check()  # it says once more all that was written
                return made

    @contextmanager
    def _turn(self, ended: threading.Event) -> Iterator[bool]:
        """Wait for the model unless the answer has ended; say whether it is this answer's turn."""
        mine = False
        while not (mine or ended.is_set()):
            mine = self._lock.acquire(timeout=_PATIENCE)
        try:
            yield mine
        finally:
            if mine:
                self._lock.release()

    @contextmanager
    def _injected(self, memory: KVState | Memory | None) -> Iterator[Injection]:
        if memory is None or isinstance(memory, KVState):
            yield Injection(state=memory)
            return
        with memory.opened(self) as given:
            given.check()
            yield given

    def _continued(
        self,
        batch: Sequence[Sequence[int]],
        given: Injection,
        sampling: Sampling,
        listener: Listener | None = None,
    ) -> list[Generation]:
        """Continue prompts of one length; the caller holds the lock."""
        state_of = self._state_of(given.adapters)
        usable, notes = self._usable(batch, given.state, state_of)
        ids = self._batch(batch)
        criteria = [listener] if listener else []
        stops = [Stops(self.tokenizer, len(batch[0]), sampling)] if sampling.stop else []
        pad = self.tokenizer.pad_token_id
        with self.adapters.active(given.adapters), torch.inference_mode():
            model: Any = self.model
            out = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                past_key_values=self._cache(usable, len(batch)),
                pad_token_id=pad if pad is not None else 0,
                stopping_criteria=StoppingCriteriaList([*criteria, *stops]),
                **sampling.options,
            )
        injected = 0 if usable is None else len(usable.ids)
        said = (*given.notes, *notes)
        return [
            self._generation(row[len(batch[0]) :].tolist(), len(batch[0]), injected, said, sampling)
            for row in out
        ]

    def _cache(self, state: KVState | None, rows: int) -> DynamicCache:
        """Make a cache that begins with a state, for so many prompts.

        Filling it copies the tensors, so what the model appends reaches no memory. It is made
        without the configuration: then layers with a sliding window keep every token too.
        """
        if state is None:
            return DynamicCache()
        device = self.model.device
        return DynamicCache(
            ddp_cache_data=[
                tuple(each.to(device).expand(rows, -1, -1, -1) for each in pair)
                for pair in state.layers
            ]
        )

    def _generation(
        self,
        ids: list[int],
        prompt_tokens: int,
        injected: int,
        notes: tuple[str, ...],
        sampling: Sampling,
    ) -> Generation:
        ends = self.model.generation_config.eos_token_id
        stops = {ends} if isinstance(ends, int) else set(ends or ())
        kept = next((n + 1 for n, each in enumerate(ids) if each in stops), len(ids))
        text = sampling.cut(text_of_ids(self.tokenizer, ids[:kept]))
        return Generation(text, tuple(ids[:kept]), prompt_tokens, injected, notes)

    def _state_of(self, adapters: Sequence[str]) -> str:
        """Return the fingerprint of states that are computed with these adapters on."""
        on = self.adapters.digest(adapters)
        return f"{self.fingerprint.id}+{on[:40]}" if on else self.fingerprint.id

    def _usable(
        self, batch: Sequence[Sequence[int]], memory: KVState | None, state_of: str
    ) -> tuple[KVState | None, tuple[str, ...]]:
        """Cut a state to what all prompts begin with; at least one token is always computed."""
        if memory is None:
            return None, ()
        if memory.fingerprint != state_of:
            ours = memory.fingerprint.partition("+")[0] == self.fingerprint.id
            by = "with other adapters" if ours else "by another model"
            return None, (f"the memory was computed {by}: its text was used",)
        count = min(memory.common_prefix(ids) for ids in batch)
        count = min(count, min(len(ids) for ids in batch) - 1)
        if count <= 0:
            return None, (_NOT_BEGUN,)
        notes: tuple[str, ...] = ()
        if memory.divergence is not None:
            notes += (f"the memory is not exact: it is {memory.divergence:.2g} nats off",)
        if count < min(len(memory.ids), len(batch[0]) - 1):
            notes += (f"only the first {count} of {len(memory.ids)} tokens begin the prompt",)
        return memory.first(count), notes

    def _batch(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        return torch.tensor([list(ids) for ids in rows], device=self.model.device)
