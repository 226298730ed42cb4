"""Drills: lessons and the base's own words as token ids, and how well a model knows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from torch.nn.utils.rnn import pad_sequence

from memos_core.content import Message
from memos_core.errors import InvalidInputError
from memos_core.memory.generation import text_of_ids
from memos_core.memory.lessons import Lesson

if TYPE_CHECKING:
    from memos_core.memory.runtime import LocalModel

NOTHING: Final = -100
"""Where nothing is asked of a token."""
SURE: Final = 0.9
"""How likely its likeliest token must be for the base to count as sure of it."""
_ROWS: Final = 32
"""How many texts are computed together where nothing is trained."""
_FAR: Final = 1_000_003
"""Between the seeds of two runs, so that their parts never share one."""
_WORDS: Final = ("a", "0", "\u00df", "(")


@dataclass(frozen=True, slots=True)
class Drill:
    """Token ids, and which token is wanted after each of them.

    Args:
        ids: The n token ids that are read.
        wanted: n token ids; `NOTHING` where it does not matter what comes.
    """

    ids: tuple[int, ...]
    wanted: tuple[int, ...]


def drills_of(model: LocalModel, lessons: Sequence[Lesson]) -> list[Drill]:
    """Put lessons as a model reads them; a question once as a text and once in a conversation.

    Raises:
        InvalidInputError: There are no lessons.
    """
    if not lessons:
        raise InvalidInputError("there is nothing to learn: give lessons")
    return [drill for each in lessons for drill in _drills(model, each)]


def put(lesson: Lesson) -> str:
    """Return a lesson's prompt as it is put in a text."""
    return f"Question: {lesson.prompt} Answer:" if lesson.asked else lesson.prompt


def _drills(model: LocalModel, lesson: Lesson) -> Iterator[Drill]:
    ends = model.tokenizer.eos_token_id
    end = [ends] if isinstance(ends, int) else []
    prompt = put(lesson)
    head, whole = model.tokens(prompt), model.tokens(f"{prompt} {lesson.answer}")
    if whole[: len(head)] == head and len(whole) > len(head):
        yield _ended(head, whole[len(head) :], end)
    else:  # the tokenizer joins the two
        yield _ended(head, model.tokens(" " + lesson.answer, begins=False), end)
    if lesson.asked and model.prompts.has_template:
        head = model.tokens([Message(role="user", parts=lesson.prompt)])
        yield _ended(head, model.tokens(lesson.answer, begins=False), end)


def _ended(head: Sequence[int], answer: Sequence[int], end: Sequence[int]) -> Drill:
    ids = [*head, *answer, *end]
    wanted = [*[NOTHING] * (len(head) - 1), *answer, *end, NOTHING]
    return Drill(tuple(ids), tuple(wanted))


def samples_of(model: LocalModel, count: int, *, tokens: int, seed: int) -> list[tuple[int, ...]]:
    """Let a model write texts of its own: what it knows, without any data.

    Half of them begin from nothing; the others, where the model has a chat template, with what a
    user might ask, and go on with its answer.

    Args:
        model: The model; no adapter is on.
        count: How many texts at most; what it writes twice is returned once.
        tokens: The most tokens that it writes at once.
        seed: Other texts for another seed.

    Returns:
        Token ids, each text with what begins it.
    """
    if not model.prompts.has_template:
        return list(dict.fromkeys(_written(model, _first(model), count, tokens, seed)))
    lead, closing = _around(model)
    found = _written(model, _first(model), count - count // 2, tokens, 2 * seed)
    said = _written(model, lead, count // 2, tokens, 2 * seed + 1)
    # Where a turn ends the text, only the question was written: it is put, and answered.
    whole = [ids for ids in said if _within(closing, ids[len(lead) :])]
    texts = [text_of_ids(model.tokenizer, ids[len(lead) :]) for ids in said if ids not in whole]
    asked = [model.tokens([Message(role="user", parts=each)]) for each in texts if each.strip()]
    answers = [
        answer
        for start in range(0, len(asked), _ROWS)
        for answer in model.generate_many(asked[start : start + _ROWS], max_new_tokens=tokens)
    ]
    found += whole
    found += [(*ids, *answer.ids) for ids, answer in zip(asked, answers, strict=True)]
    return list(dict.fromkeys(found))


def _written(
    model: LocalModel, start: Sequence[int], count: int, tokens: int, seed: int
) -> list[tuple[int, ...]]:
    """Let a model go on from a start so many times, drawing each token."""
    return [
        (*start, *each.ids)
        for first in range(0, count, _ROWS)
        for each in model.generate_many(
            [start] * min(_ROWS, count - first),
            max_new_tokens=tokens,
            temperature=1.0,
            seed=seed * _FAR + first,
        )
    ]


def _first(model: LocalModel) -> list[int]:
    """Return what texts begin with."""
    ids = (model.tokenizer.bos_token_id, model.tokenizer.eos_token_id, 0)
    return [next(each for each in ids if isinstance(each, int))]


def _around(model: LocalModel) -> tuple[list[int], list[int]]:
    """Return what stands before and after what a user says first, in every conversation."""
    rows = [model.tokens([Message(role="user", parts=each)]) for each in _WORDS]

    def same(these: Sequence[Sequence[int]]) -> list[int]:
        count = 0
        while all(len(row) > count and row[count] == these[0][count] for row in these):
            count += 1
        return list(these[0][:count])

    return same(rows), same([row[::-1] for row in rows])[::-1]


def _within(these: Sequence[int], ids: Sequence[int]) -> bool:
    wanted = tuple(these)
    return any(tuple(ids[n : n + len(wanted)]) == wanted for n in range(len(ids)))


def probes_of(model: LocalModel, rows: Sequence[Sequence[int]]) -> list[Drill]:
    """Note of what the base is sure in texts; texts in which it is sure of nothing are left out.

    Args:
        model: The model; no adapter is on.
        rows: Token ids of texts.
    """
    found: list[Drill] = []
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        ids, mask = padded(model, some)
        with model.adapters.active(()), torch.inference_mode():
            likely, best = logits_of(model, ids, mask).float().softmax(-1).max(-1)
        asked = best.masked_fill((likely < SURE) | (mask == 0), NOTHING)
        for row, wanted in zip(some, asked.tolist(), strict=True):
            kept = tuple(wanted[: len(row)])
            if any(each != NOTHING for each in kept):
                found.append(Drill(tuple(row), kept))
    return found


def share_right(model: LocalModel, drills: Sequence[Drill], adapters: Sequence[str] = ()) -> float:
    """Return the share of drills in which every wanted token is the likeliest, in [0, 1].

    That is what the model writes when it takes the likeliest token each time.

    Args:
        model: The model.
        drills: What is asked; the token that ends an answer is not looked at.
        adapters: The names of the adapters that are on.
    """
    ends = model.tokenizer.eos_token_id
    right = 0
    for start in range(0, len(drills), _ROWS):
        some = drills[start : start + _ROWS]
        ids, mask = padded(model, [each.ids for each in some])
        wanted = asked_of(model, some)
        with model.adapters.active(adapters), torch.inference_mode():
            best = logits_of(model, ids, mask).argmax(-1)
        fine = (best == wanted) | (wanted == NOTHING)
        if isinstance(ends, int):
            fine |= wanted == ends
        right += int(fine.all(-1).sum())
    return right / len(drills) if drills else 0.0


def padded(model: LocalModel, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Put token ids of different lengths into one tensor, filled up at the end.

    Returns:
        The ids and the mask of what is real, both int64 (rows, longest).
    """
    device = model.model.device
    tensors = [torch.tensor(row, device=device) for row in rows]
    ids = pad_sequence(tensors, batch_first=True)
    mask = pad_sequence([torch.ones_like(each) for each in tensors], batch_first=True)
    return ids, mask


def asked_of(model: LocalModel, drills: Sequence[Drill]) -> torch.Tensor:
    """Put what is wanted into one tensor, int64 (rows, longest), filled up with `NOTHING`."""
    rows = [torch.tensor(each.wanted, device=model.model.device) for each in drills]
    return pad_sequence(rows, batch_first=True, padding_value=NOTHING)


def logits_of(model: LocalModel, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Compute what a model expects after each token: logits (rows, longest, vocabulary)."""
    network: Any = model.model
    logits: torch.Tensor = network(ids, attention_mask=mask, use_cache=False).logits
    return logits
