"""Markdown, cut into its sections; a section's title is the path of headings that leads to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

_ATX: Final = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)")
_UNDERLINE: Final = re.compile(r" {0,3}(=+|-+)[ \t]*")
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")
_NO_PARAGRAPH: Final = re.compile(
    r"\s*$| {4}|\t| {0,3}(?:[-*+](?:\s|$)|[>|]|[0-9]+[.)]\s|`{3}|~{3}|[-=*_]{3,}\s*$)"
)


@dataclass(slots=True)
class Section:
    """A heading with the text under it, down to the next heading of any level.

    Args:
        line: The line of the heading, counted from 1.
        path: The headings that lead here, the section's own last; empty before the first heading.
        lines: The text, line by line.
    """

    line: int
    path: tuple[str, ...] = ()
    lines: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The path in one line."""
        return " > ".join(each for each in self.path if each)

    @property
    def text(self) -> str:
        """The text without blank lines around it."""
        return "\n".join(self.lines).strip("\n").rstrip()


def sections(lines: Sequence[str]) -> list[Section]:
    """Cut a document into its sections.

    Headings within fenced code and within YAML front matter are none. A section without text is
    left out where sections under it carry its heading; otherwise its heading is its text.

    >>> [(each.title, each.text) for each in sections(["# A", "## B", "b", "## C"])]
    [('A > B', 'b'), ('A > C', 'C')]
    """
    found = [Section(1)]
    fence = ""
    matter = _front_matter(lines)
    for number, line in enumerate(lines, start=1):
        current = found[-1]
        heading = None if fence or number <= matter else _heading(line, current, number)
        if heading is None:
            fence = fence if number <= matter else _fence_after(fence, line)
            current.lines.append(line)
            continue
        level, title, start = heading
        above = tuple(current.path[: level - 1])
        above += ("",) * (level - 1 - len(above))
        found.append(Section(start, (*above, title)))
    return _worth_keeping(found)


def _heading(line: str, current: Section, number: int) -> tuple[int, str, int] | None:
    """Return a heading's level, text and line; one that is underlined is taken from the text."""
    marks = _ATX.match(line)
    if marks:
        return len(marks[1]), _without_closing(line[marks.end() :].strip()), number
    under = _UNDERLINE.fullmatch(line)
    paragraph: list[str] = []
    while under and current.lines and not _NO_PARAGRAPH.match(current.lines[-1]):
        paragraph.insert(0, current.lines.pop().strip())
    if not under or not paragraph:
        return None
    return (1 if under[1][0] == "=" else 2), " ".join(paragraph), number - len(paragraph)


def _without_closing(title: str) -> str:
    """Take the closing marks off `# Title ##`."""
    bare = title.rstrip("#")
    return bare.rstrip() if not bare or bare[-1] in " \t" else title


def _fence_after(fence: str, line: str) -> str:
    """Return the fence that is open after a line, or an empty text."""
    mark = _FENCE.match(line)
    if not mark:
        return fence
    if not fence:
        return mark[1]
    closes = (
        mark[1][0] == fence[0] and len(mark[1]) >= len(fence) and not line[mark.end() :].strip()
    )
    return "" if closes else fence


def _front_matter(lines: Sequence[str]) -> int:
    """Return how many lines of YAML stand before the document."""
    if not lines or lines[0].rstrip() != "---":
        return 0
    ends = (n for n, line in enumerate(lines[1:], start=2) if line.rstrip() in ("---", "..."))
    return next(ends, 0)


def _worth_keeping(found: Sequence[Section]) -> list[Section]:
    kept = []
    for each, following in zip(found, [*found[1:], None], strict=True):
        if not each.text:
            has_children = following is not None and len(following.path) > len(each.path)
            if has_children or not each.title:
                continue
            each.lines = [each.path[-1] or each.title]
        kept.append(each)
    return kept
