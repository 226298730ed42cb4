"""What the tests of memory inside models share: prompts, quick adapters, and files to damage."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Table

from memos_core import MemOS, Session, Settings
from memos_core.infrastructure.vault import schema
from memos_core.interface.context import MemoryContext
from memos_core.memory.recipe import Recipe
from memos_core.memory.runtime import LocalModel
from memos_core.testing import HashingEmbedder, ManualClock

QUICK = Recipe(
    rank=2, max_steps=1, batch=4, replay_texts=2, probes=2, text_tokens=4, check_every=1,
    min_recall=0.0, min_retention=0.0,
)  # fmt: skip
"""An adapter in a moment. It knows nothing, and passes a gate that asks for nothing."""


def words(seed: int, count: int) -> str:
    """Words that the random models know."""
    rng = random.Random(seed)
    return " ".join(f"w{rng.randrange(290)}" for _ in range(count))


def as_text(context: MemoryContext) -> MemoryContext:
    """Return the same memory as words only: the plain prompt."""
    return replace(context, given=None, cache=None, adapters=())


def written(
    model: LocalModel, context: MemoryContext, prompts: Sequence[str], new: int = 16
) -> list[tuple[int, ...]]:
    """What a model writes after these prompts, asked together."""
    made = model.generate_many(prompts, memory=context, max_new_tokens=new)
    return [each.ids for each in made]


@contextmanager
def opened(folder: Path, clock: ManualClock | None = None, **settings: Any) -> Iterator[MemOS]:
    """Open a vault with these settings."""
    chosen = Settings(**{"owner": "user:owner"} | settings)
    with MemOS.open(
        folder, embedder=HashingEmbedder(), clock=clock or ManualClock(), settings=chosen
    ) as memos:
        yield memos


def blob_files(folder: Path) -> list[Path]:
    """The files of the blobs, and nothing else may lie beside them."""
    place = folder / "blobs"
    return sorted(place.iterdir()) if place.is_dir() else []


def forged(folder: Path, table: Table, where: str, **changes: Any) -> None:
    """Change a row of a closed vault and seal it anew, as somebody would who knows how."""
    with closing(sqlite3.connect(folder / "vault.db", isolation_level=None)) as raw:
        raw.row_factory = sqlite3.Row
        rows = raw.execute(f"SELECT rowid, * FROM {table.name} WHERE {where}").fetchall()
        assert rows, where
        for row in rows:
            values = {name: row[name] for name in table.columns.keys()} | changes  # noqa: SIM118
            values["seal"] = schema.sealed(table, values)
            names = ", ".join(f"{name} = ?" for name in values)
            query = f"UPDATE {table.name} SET {names} WHERE rowid = ?"
            raw.execute(query, (*values.values(), row["rowid"]))


def asked_of(folder: Path, query: str) -> list[Any]:
    """Read from the database of a closed vault."""
    with closing(sqlite3.connect(folder / "vault.db")) as raw:
        return [row[0] for row in raw.execute(query)]


def quick_adapter(session: Session, sources: Any, model: LocalModel, **fields: Any) -> Any:
    """Distill in a moment, and switch it on."""
    return session.enable(session.distill(sources, model, recipe=QUICK, **fields).id)


def at_pass(number: int, act: Callable[[], object]) -> Callable[..., None]:
    """Act in another thread when a model has written so many tokens; a forward hook."""
    passes = 0

    def count(*_: Any) -> None:
        nonlocal passes
        passes += 1
        if passes == number:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(act).result()

    return count


@contextmanager
def hooked(model: LocalModel, hook: Callable[..., None]) -> Iterator[None]:
    """Call something after each pass of a model."""
    handle = model.model.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
