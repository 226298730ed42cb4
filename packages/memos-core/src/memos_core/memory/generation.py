"""What a model wrote, and how it is handed on while it is being written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, StoppingCriteria

from memos_core.errors import InvalidInputError


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


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is drawn.

    Args:
        max_new_tokens: Its most tokens.
        temperature: 0 takes the likeliest token each time.
        seed: For answers with a temperature that can be repeated.
        stop: Texts before which it ends.
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1 or self.temperature < 0 or not all(self.stop):
            raise InvalidInputError(
                "an answer has at least one token, a temperature of 0 or more, and stops at texts "
                "that are not empty"
            )

    @property
    def options(self) -> dict[str, Any]:
        """What `generate` of transformers is to be told."""
        drawn: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None}
        if self.temperature > 0:
            drawn = {"do_sample": True, "temperature": float(self.temperature)}
        return drawn | {"max_new_tokens": self.max_new_tokens}

    def cut(self, text: str) -> str:
        """Cut a text before the first of the texts that end it."""
        return text[: min((text.find(each) for each in self.stop if each in text), default=None)]


class Stops(StoppingCriteria):
    """Ends each answer of a batch that holds a text that ends it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, start: int, sampling: Sampling) -> None:
        self._tokenizer = tokenizer
        self._start = start
        self._sampling = sampling

    def __call__(self, input_ids: torch.Tensor, _scores: Any, **_: Any) -> torch.Tensor:
        """Say which answers have ended."""
        texts = [text_of_ids(self._tokenizer, row) for row in input_ids[:, self._start :].tolist()]
        ended = [self._sampling.cut(text) != text for text in texts]
        return torch.tensor(ended, device=input_ids.device)


class Listener(StoppingCriteria):
    """Hands on each piece of text as soon as it cannot change any more, and stops when told to."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        start: int,
        sampling: Sampling,
        tell: Callable[[str], None],
        ended: threading.Event,
    ) -> None:
        self._tokenizer = tokenizer
        self._start = start
        self._sampling = sampling
        self._tell = tell
        self._ids: list[int] = []
        self._said = 0
        self._ended = ended

    def __call__(self, input_ids: torch.Tensor, _scores: Any, **_: Any) -> torch.Tensor:
        """Take note of what was written, and say whether to stop."""
        self._ids = input_ids[0, self._start :].tolist()
        text = text_of_ids(self._tokenizer, self._ids)
        # Half a character, or half of what ends the answer: the rest comes with the next token.
        if not text.endswith("\ufffd"):
            self._say(text[: len(text) - self._held(text)])
        return torch.full((1,), self._ended.is_set(), device=input_ids.device)

    def end(self) -> None:
        """Hand on what is left."""
        self._say(text_of_ids(self._tokenizer, self._ids))

    def _held(self, text: str) -> int:
        """Count the characters at the end that may be the beginning of what ends the answer."""
        starts = (each[:size] for each in self._sampling.stop for size in range(1, len(each)))
        return max((len(start) for start in starts if text.endswith(start)), default=0)

    def _say(self, text: str) -> None:
        text = self._sampling.cut(text)
        if len(text) > self._said:
            self._tell(text[self._said :])
            self._said = len(text)


def text_of_ids(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Turn token ids into text, leaving out those that are no text."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True))


@contextmanager
def seeded(seed: int | None, device: torch.device) -> Iterator[None]:
    """Draw from a seed within the block, and leave the random state as it was."""
    if seed is None:
        yield
        return
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield
