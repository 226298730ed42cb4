"""What the documents show runs: every Python block of README and docs, and every docstring's
example."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import memos_core

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [
    info.name
    for info in pkgutil.walk_packages(memos_core.__path__, "memos_core.")
    if "migrations" not in info.name
]


def blocks() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        texts = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        found += [(f"{page.relative_to(ROOT)}:{n}", text) for n, text in enumerate(texts, 1)]
    return found


@pytest.mark.parametrize(("where", "code"), blocks(), ids=[where for where, _ in blocks()])
def test_every_python_block_of_the_documents_runs(
    where: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, where, "exec"), {"__name__": "__main__"})


def test_the_documents_have_blocks_at_all() -> None:
    assert blocks()


@pytest.mark.parametrize("name", ["memos_core", *NAMES])
def test_every_example_in_a_docstring_runs(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0
