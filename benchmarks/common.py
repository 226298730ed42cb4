"""What every benchmark shares: its options, its rows, its table."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track
from rich.table import Table

from memos_core import Embedder
from memos_core.models.embedder import default_embedder

T = TypeVar("T")
OWN_DATA = Path(__file__).parent.parent / "examples" / "data"
CONSOLE = Console(width=100)


@dataclass(frozen=True)
class Row:
    """One figure, with the peer's figure from the same run where there is one."""

    name: str
    value: float
    unit: str
    peer: float | None = None


@dataclass
class Report:
    """The rows of one benchmark."""

    title: str
    peer: str
    rows: list[Row] = field(default_factory=list)

    def add(self, name: str, value: float, unit: str, peer: float | None = None) -> None:
        """Add a figure."""
        self.rows.append(Row(name, round(value, 4), unit, None if peer is None else round(peer, 4)))

    def finish(self, path: Path | None) -> None:
        """Print the table, and write the rows as JSON where asked to."""
        table = Table(title=self.title)
        table.add_column("figure")
        table.add_column("MemOS", justify="right")
        table.add_column(self.peer or "peer", justify="right")
        table.add_column("unit")
        for row in self.rows:
            peer = "" if row.peer is None else f"{row.peer:.3f}"
            table.add_row(row.name, f"{row.value:.3f}", peer, row.unit)
        CONSOLE.print(table)
        if path is not None:
            path.write_text(json.dumps([asdict(row) for row in self.rows], indent=2) + "\n")


def options(doc: str | None) -> argparse.ArgumentParser:
    """Make the options that every benchmark takes."""
    parser = argparse.ArgumentParser(description=(doc or "").split("\n")[0])
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("MEMOS_BENCH_DATA"),
        help="a folder (or file) of public evaluation data; else MEMOS_BENCH_DATA",
    )
    parser.add_argument("--json", type=Path, default=None, help="write the figures here")
    return parser


def find_data(given: Path | str | None, name: str) -> Path | None:
    """Find a data set by name in the folder that was given; say so where it is absent."""
    if given is not None:
        path = Path(given)
        found = path if path.name == name and path.exists() else path / name
        if found.exists():
            return found
    CONSOLE.print(f"{name} is not here (pass --data or set MEMOS_BENCH_DATA): using our own data")
    return None


def progress(items: Sequence[T], label: str) -> Iterable[T]:
    """Go through items with a progress bar on standard error."""
    return track(items, description=label, console=Console(stderr=True), transient=True)


class Remembering:
    """An embedder that embeds each text once, so that two systems share work and vectors."""

    def __init__(self, inner: Embedder | None = None) -> None:
        self._inner = inner or default_embedder()
        self.name = self._inner.name
        self.dims = self._inner.dims
        self._known: dict[str, npt.NDArray[np.float32]] = {}

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embed texts, the known ones from memory."""
        new = list(dict.fromkeys(text for text in texts if text not in self._known))
        if new:
            self._known.update(zip(new, self._inner.embed(new), strict=True))
        return np.stack([self._known[text] for text in texts])

    def as_lists(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed texts for libraries that want lists."""
        return [[float(x) for x in row] for row in self.embed(texts)]


def median_ms(call: Callable[[int], object], rounds: int) -> float:
    """Return the median time of a call in milliseconds."""
    times = []
    for number in range(rounds):
        start = time.perf_counter()
        call(number)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3
