"""Prompts as a model reads them: texts, conversations and ids, with memory in front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from memos_core.content import Message
from memos_core.errors import InvalidInputError
from memos_core.memory.activation import check_ids

Prompt = str | Sequence[Message] | Sequence[int]
"""Text, a conversation for the model's chat template, or token ids."""
_GAP = "\n\n"
_PROBES = ("a", "0", "\u00df", "(")
"""How a memory may go on: what all such prompts share, every prompt begins with."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """Turns prompts into token ids.

    Args:
        tokenizer: The model's.
        vocabulary: How many token ids the model knows.
    """

    tokenizer: PreTrainedTokenizerBase
    vocabulary: int

    @property
    def has_template(self) -> bool:
        """Whether conversations can be read."""
        return bool(getattr(self.tokenizer, "chat_template", None))

    def tokens(self, prompt: Prompt, *, begins: bool = True, answers: bool = True) -> list[int]:
        """Turn a prompt into token ids; see `LocalModel.tokens`."""
        if isinstance(prompt, str):
            if not prompt:
                raise InvalidInputError("the prompt is empty: write something")
            found = self.tokenizer(prompt, add_special_tokens=begins)["input_ids"]
        elif messages := _messages(prompt):
            found = self._templated(messages, answers=answers)
        else:
            found = list(prompt)
        return list(check_ids(found, self.vocabulary))

    def with_memory(self, memory: str, prompt: Prompt) -> list[int]:
        """Turn a prompt into token ids that begin with a memory's text.

        In a conversation it stands at the beginning of what the user says first: it is data, and
        never in the system's role.

        Args:
            memory: The text; where it is empty, nothing is added.
            prompt: What comes after it.
        """
        if not memory:
            return self.tokens(prompt)
        if isinstance(prompt, str):
            return self.tokens(memory + _GAP) + self.tokens(prompt, begins=False)
        if messages := _messages(prompt):
            return self.tokens(_led_by(memory, messages))
        return self.tokens(memory + _GAP) + self.tokens(prompt)

    def beginning(self, memory: str, *, system: str | None = None, chat: bool = False) -> list[int]:
        """Return the token ids that every prompt begins with whose memory begins so.

        Args:
            memory: The beginning of the memory's text.
            system: What the system says in those conversations, if anything.
            chat: Whether they are conversations, and not texts.
        """
        lead = [] if system is None else [Message(role="system", parts=system)]
        prompt: Prompt = [*lead, Message(role="user", parts=_PROBES[0])] if chat else _PROBES[0]
        prompts = [self.with_memory(memory + each, prompt) for each in ("", *_PROBES)]
        same = takewhile(lambda ids: len(set(ids)) == 1, zip(*prompts, strict=False))
        return [ids[0] for ids in same]

    def _templated(self, messages: Sequence[Message], *, answers: bool) -> list[int]:
        if not self.has_template:
            raise InvalidInputError(
                "the tokenizer has no chat template: give the prompt as text, or set one"
            )
        plain = [{"role": each.role, "content": each.text} for each in messages]
        try:
            text = self.tokenizer.apply_chat_template(
                plain, add_generation_prompt=answers, tokenize=False
            )
        except TemplateError as error:  # some know no system, or want turns to alternate
            raise InvalidInputError(
                f"the model's chat template refuses this conversation: {error}"
            ) from error
        found: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return found


def _messages(prompt: Prompt) -> list[Message]:
    """Return the messages of a conversation; of another prompt, none."""
    found = [each for each in prompt if isinstance(each, Message)]
    if found and len(found) < len(prompt):
        raise InvalidInputError("a conversation is made of messages only: give all as Message")
    return found


def _led_by(memory: str, messages: Sequence[Message]) -> list[Message]:
    """Put a memory's text before what the user says first."""
    for number, each in enumerate(messages):
        if each.role == "user":
            said = Message(role="user", parts=memory + _GAP + each.text)
            return [*messages[:number], said, *messages[number + 1 :]]
    return [*messages, Message(role="user", parts=memory)]
