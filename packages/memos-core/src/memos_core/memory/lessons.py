"""Lessons: what a model is taught of a text, as questions with answers and statements to end.

Rules make them from plain sentences, from `key: value`, and from facts in JSON. Where a chat model
writes questions too, they come on top: whatever it answers, no fact is lost.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from memos_core.models.chat import ChatModel, asked

_MOST_DEPTH: Final = 8
_MOST_QUESTION: Final = 500
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+|\n+")
_COPULA: Final = re.compile(r"(?P<about>.+?) (?P<verb>is|are|was|were) (?P<rest>.+)", re.I)
_KEYED: Final = re.compile(r"(?P<about>[^:?!.]{1,80}):\s+(?P<rest>.+)")
_OF: Final = re.compile(r"(?:the )?(?P<what>[\w -]+?) of (?P<whom>[\w -]+)", re.I)
_OWN: Final = re.compile(r"(?P<whom>[\w -]+?)['\u2019]s (?P<what>[\w -]+)")
_ACT: Final = re.compile(
    r"(?P<who>(?:(?i:the|my|our|his|her|their|your|a|an) )?[\w-]+|[A-Z][\w-]+(?: [A-Z][\w-]+)+) "
    r"(?P<verb>[a-z]{2,}s) (?P<rest>.+)",
)
_PLACE: Final = re.compile(r"(?:in|at|near) (?P<where>.+)")
_NO_WHO: Final = frozenset(
    {"the", "my", "our", "his", "her", "their", "your", "a", "an", "this", "that", "its", "some"}
)
_NO_VERBS: Final = frozenset(
    {"is", "was", "has", "does", "his", "its", "this", "us", "as", "always", "sometimes", "yes"}
)


@dataclass(frozen=True, slots=True)
class Lesson:
    """One thing to learn.

    Args:
        prompt: A question, or the beginning of a statement.
        answer: What comes after it.
        asked: Whether the prompt is a question. It is then put as one: as a text, and in a
            conversation where the model has a chat template.
    """

    prompt: str
    answer: str
    asked: bool = False


def lessons_of(text: str) -> list[Lesson]:
    """Make lessons from a text by rules.

    Each sentence becomes a statement to end, and, where its form is plain, questions.

    Args:
        text: Sentences, lines of `key: value`, or JSON.

    Returns:
        The lessons, each once; none of a text without a word.

    Example:
        >>> for lesson in lessons_of("The badge of Anna is red."):
        ...     print(lesson.prompt, "|", lesson.answer)
        The badge of Anna is | red.
        What is the badge of Anna? | red
        Anna's badge is | red.
        What is Anna's badge? | red
    """
    read = _json_of(text)
    if isinstance(read, dict | list):
        return list(dict.fromkeys(_of_json(read, "", 0)))
    sentences = (each.strip() for each in _SENTENCE.split(text))
    return list(dict.fromkeys(lesson for each in sentences for lesson in _of_sentence(each)))


def lessons_by(chat: ChatModel, text: str) -> list[Lesson]:
    """Make lessons from a text by rules, and let a chat model write questions on top.

    Args:
        chat: The model. It sees the text.
        text: What is to be learned.

    Returns:
        Those of `lessons_of`, then the model's. Of the model's, those are left out whose answer
        does not stand in the text; an answer that is no list of questions adds nothing.
    """
    asking = files(__package__).joinpath("questions.txt").read_text("utf-8")
    said = chat.chat(asked(asking.replace("{text}", json.dumps(text, ensure_ascii=False))))
    return list(dict.fromkeys([*lessons_of(text), *_written(said, text)]))


def union(sets: Iterable[Sequence[Lesson]]) -> list[Lesson]:
    """Put sets of lessons together, each lesson once: what a fused adapter is trained on.

    Weights are never added up: adapters that know their facts alone lose most of them when merged.
    """
    return list(dict.fromkeys(lesson for each in sets for lesson in each))


def _written(said: object, text: str) -> Iterator[Lesson]:
    """Read the questions that a model wrote; whatever has another form is left out."""
    found = re.search(r"\[.*\]", said, re.S) if isinstance(said, str) else None
    read = _json_of(found[0]) if found else None
    within = " ".join(text.split()).casefold()
    for each in read if isinstance(read, list) else ():
        if not isinstance(each, dict):
            continue
        question, answer = (
            " ".join(part.split()) if isinstance(part := each.get(name), str) else ""
            for name in ("question", "answer")
        )
        if 0 < len(question) <= _MOST_QUESTION and answer and answer.casefold() in within:
            yield Lesson(question, answer, asked=True)


def _json_of(text: str) -> Any:
    """Read JSON; of anything else, nothing."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _of_json(read: Any, path: str, depth: int) -> Iterator[Lesson]:
    """Teach what is in JSON: triples as sentences, everything else by its name."""
    if isinstance(read, dict) and depth < _MOST_DEPTH:
        if sentence := _triple(read):
            yield from _of_sentence(sentence)
            return
        for name, value in read.items():
            yield from _of_json(value, f"{path} {name}".strip().replace("_", " "), depth + 1)
    elif isinstance(read, list) and depth < _MOST_DEPTH:
        for value in read:
            yield from _of_json(value, path, depth + 1)
    else:
        said = read if isinstance(read, str) else json.dumps(read, ensure_ascii=False)
        yield from _of_sentence(f"{path}: {said}" if path else said)


def _triple(read: Mapping[str, Any]) -> str:
    """Say a triple as a sentence; of another object, nothing."""
    parts = [read.get(name) for name in ("subject", "predicate", "object")]
    if len(read) > len(parts) or not all(isinstance(each, str) and each for each in parts):
        return ""
    return " ".join(str(each).replace("_", " ") for each in parts) + "."


def _of_sentence(sentence: str) -> Iterator[Lesson]:
    """Teach a sentence in the ways that fit its form, or else to continue it."""
    bare = sentence.rstrip(".! ")
    end = sentence[len(bare) :].strip()
    if sentence.endswith("?") or not re.search(r"\w", bare):
        yield from _continued(sentence)
    elif found := _KEYED.fullmatch(bare):
        for about in _ways(found["about"].strip()):
            yield Lesson(f"{about}:", found["rest"] + end)
            yield Lesson(f"What is {about}?", found["rest"], asked=True)
    elif (
        (found := _ACT.fullmatch(bare))
        and found["verb"] not in _NO_VERBS
        and found["who"].lower() not in _NO_WHO
    ):
        who, verb, rest = _inner(found["who"]), _plain(found["verb"]), found["rest"]
        yield Lesson(f"{found['who']} {found['verb']}", rest + end)
        if place := _PLACE.fullmatch(rest):
            yield Lesson(f"Where does {who} {verb}?", place["where"], asked=True)
        else:
            yield Lesson(f"What does {who} {verb}?", rest, asked=True)
    elif found := _COPULA.fullmatch(bare):
        for about in _ways(found["about"]):
            yield Lesson(f"{about} {found['verb']}", found["rest"] + end)
            question = f"What {found['verb'].lower()} {_inner(about)}?"
            yield Lesson(question, found["rest"], asked=True)
    else:
        yield from _continued(sentence)


def _ways(about: str) -> list[str]:
    """Name the same thing in both ways: the badge of Anna, Anna's badge."""
    if found := _OF.fullmatch(about):
        return [about, f"{found['whom']}'s {found['what']}"]
    if found := _OWN.fullmatch(about):
        return [about, f"The {found['what']} of {found['whom']}"]
    return [about]


def _continued(sentence: str) -> Iterator[Lesson]:
    """Teach a text by its first half; of a single word, by what leads to it."""
    words = sentence.split()
    half = max(1, len(words) // 2)
    if len(words) > 1:
        yield Lesson(" ".join(words[:half]), " ".join(words[half:]))
    elif words:
        yield Lesson("Remember:", words[0])


def _inner(about: str) -> str:
    """Write the beginning of a sentence as it stands within one."""
    first, _, rest = about.partition(" ")
    small = {"The", "A", "An", "My", "Our", "His", "Her", "Their", "Your"}
    return f"{first.lower()} {rest}" if first in small and rest else about


def _plain(verb: str) -> str:
    """Take the ending of the third person from a verb."""
    if verb.endswith("ies") and len(verb) > 4:
        return verb[:-3] + "y"
    if re.search(r"(ss|sh|ch|x|zz|o)es$", verb):
        return verb[:-2]
    return verb[:-1]
