"""The screen: what a verb has to say, as text for people or as one JSON value for programs.

What a memory holds is shown as data. Characters that could drive the terminal are taken out, and
nothing that was stored is read as Rich's markup.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final, TextIO

import typer
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from memos_core.cube import MemCube, Version
from memos_core.memory.fence import clean
from memos_core.results import Hit

TEXT_LIMIT: Final = 400
"""The most characters of a memory in a table; `show` gives all of it."""
WIDE: Final = 120
"""Columns from which a hit fits on one line of a table."""
_PIPED: Final = 160
_NOT_ASCII: Final = re.compile(r"[^\n\x20-\x7e]")


class Screen:
    """Where a verb's answer goes: stdout for the answer, stderr for everything else.

    Args:
        as_json: Print the JSON value instead of what is for people.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.out = _console(sys.stdout)
        self.err = _console(sys.stderr)

    def answer(self, data: Any, *shown: RenderableType) -> None:
        """Print a verb's answer.

        Args:
            data: The one JSON value that stands for it.
            *shown: The same for people; a string is printed as it is, without its controls.
        """
        if self.as_json:
            typer.echo(to_json(data, ascii_only=not _speaks_unicode(sys.stdout)))
            return
        for each in shown:
            if isinstance(each, str):
                self.out.print(plain(each), soft_wrap=True)
            else:
                self.out.print(each)

    def progress(self) -> Progress:
        """Make a bar that shows how far long work has come; on a terminal only."""
        return Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.err if self.err.is_terminal else Console(quiet=True),
            transient=True,
        )

    def note(self, text: str) -> None:
        """Tell the person something that is not the answer, on stderr."""
        self.err.print(plain(text), soft_wrap=True)

    @property
    def is_wide(self) -> bool:
        """Whether a hit fits on one line."""
        return self.out.width >= WIDE


def plain(text: str, style: str = "") -> Text:
    r"""Make stored text safe to print: no control characters, and no markup read out of it.

    >>> plain("[red]no\x1b[2J").plain
    '[red]no[2J'
    """
    return Text(clean(text), style=style)


def one_line(text: str) -> str:
    r"""Put a text on one line, without its control characters.

    >>> one_line("a\x1b\n b")
    'a b'
    """
    return " ".join(clean(text).split())


def shorten(text: str, limit: int = TEXT_LIMIT) -> str:
    """Cut a text at `limit` characters, and show by an ellipsis that it was cut.

    >>> shorten("peanuts", 5)
    'pean…'
    """
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def to_json(data: Any, *, ascii_only: bool = False) -> str:
    r"""Write JSON that is harmless on a terminal too: what is not printable is escaped.

    >>> to_json("é\x9b2J")
    '"é\\u009b2J"'
    """
    text = json.dumps(data, ensure_ascii=ascii_only, allow_nan=False, indent=2)
    # Strings are escaped already but for characters beyond ASCII; the newlines are the layout's.
    return _NOT_ASCII.sub(lambda m: m[0] if m[0].isprintable() else json.dumps(m[0])[1:-1], text)


def instant(when: date | datetime | None) -> str:
    """Write an instant for people: UTC to the minute, or the day where no more is known."""
    if when is None:
        return ""
    if isinstance(when, datetime):
        try:
            return when.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")
        except OverflowError:  # the calendar's first or last day, in another zone
            return when.isoformat()
    return when.isoformat()


def hits_table(hits: Sequence[Hit], *, why: bool, wide: bool) -> Table:
    """Lay out the hits of a search.

    Args:
        hits: What was found, best first.
        why: Show what each part of the ranking gave.
        wide: Give every field its column; otherwise those under the text share a line.
    """
    table = Table(show_edge=False, pad_edge=False, show_lines=why or not wide)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("text", overflow="fold", min_width=24)
    if wide:
        table.add_column("who", overflow="fold", max_width=16)
        table.add_column("when", no_wrap=True)
        table.add_column("where", overflow="fold", max_width=16)
        table.add_column("id", no_wrap=True)
    for hit in hits:
        score, text = plain(f"{hit.score:.3f}"), plain(shorten(one_line(hit.text)))
        described = _described(hit.cube)
        if not wide:
            text.append("\n").append_text(Text(" · ").join(described[:3]))
            text.append("\n").append_text(described[3])
        if why:
            parts = ", ".join(f"{name} {value:.3f}" for name, value in hit.why.items())
            text.append(f"\n{parts}", "italic")
        table.add_row(score, text, *(described if wide else ()))
    return table


def _described(cube: MemCube) -> list[Text]:
    """Say who, when, where and which, each on one line."""
    meta = cube.meta
    return [
        plain(one_line(meta.speaker or meta.owner or ""), "dim"),
        plain(instant(meta.occurred_at or meta.created), "dim"),
        plain(one_line(meta.space or ""), "dim"),
        plain(cube.id, "dim"),
    ]


def history_table(versions: Sequence[Version]) -> Table:
    """Lay out the versions of a memory, oldest first."""
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("version", justify="right", no_wrap=True)
    for name in ("recorded", "author", "action", "reason"):
        table.add_column(name, overflow="fold")
    table.add_column("text", ratio=1, overflow="fold")
    for each in versions:
        cells = (each.author, each.action, each.reason, shorten(one_line(each.cube.text)))
        table.add_row(
            str(each.number),
            instant(each.recorded_at),
            *(plain(one_line(cell)) for cell in cells),
        )
    return table


def facts_table(facts: Mapping[str, Any]) -> Table:
    """Lay out names and values; what is not text is written as JSON."""
    table = Table(show_header=False, show_edge=False, pad_edge=False, box=None)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        shown = value if isinstance(value, str) else to_json(value)
        table.add_row(plain(name), plain(one_line(shown)))
    return table


def indented(text: str) -> str:
    r"""Set a memory's whole text apart, so that none of its lines looks like one of ours.

    >>> indented("tea\r\nid  mem_fake")
    '\n    tea\n    id  mem_fake'
    """
    return "".join(f"\n    {line}" for line in clean(text).split("\n"))


def _console(stream: TextIO) -> Console:
    """Make a console; where nobody looks, lines are wide enough to be cut by programs."""
    width = None if stream.isatty() or "COLUMNS" in os.environ else _PIPED
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def _speaks_unicode(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "").startswith("utf")
