"""Traces and templates: what was done with a tool, and wording with places to fill in."""

from __future__ import annotations

from collections.abc import Iterator

from memos_core.content import Message
from memos_core.interface.operations import MAX_TARGET
from memos_core.interface.rules.finding import Find
from memos_core.interface.rules.kinds import PLACEHOLDER


def traces_of(message: Message) -> Iterator[Find]:
    """Find tool calls and their results in a message.

    Args:
        message: Its calls stand at the end of its text, one a line; a result is the whole of it.
    """
    text = message.text
    if message.role == "tool":
        if text.strip():
            yield Find(
                "remember",
                0,
                min(len(text), MAX_TARGET),
                explicit=False,
                memory_type="tool_trace",
                why="the result of a tool",
            )
        return
    place = len(text)
    spans = []
    for call in reversed(message.tool_calls):
        line = Message(role="assistant", tool_calls=(call,)).text
        place = text.rfind(line, 0, place)
        spans.append((place, place + len(line)))
    for start, end in reversed(spans):
        yield Find(
            "remember",
            start,
            min(end, start + MAX_TARGET),
            explicit=False,
            memory_type="tool_trace",
            why="a call of a tool",
        )


def said_before_calls(message: Message) -> int:
    """Return where the text of a message ends and its tool calls begin."""
    starts = [found.start for found in traces_of(message)]
    return min(starts, default=len(message.text))


def template_in(text: str) -> bool:
    """Whether a text is wording with places to fill in: "Dear {name}, …".

    >>> template_in("Dear {name}, thank you."), template_in('{"a": 1}')
    (True, False)
    """
    return bool(PLACEHOLDER.search(text)) and not text.lstrip().startswith(("{", "<", "["))
