"""What was merged into what, as the links say."""

from __future__ import annotations

from collections.abc import Sequence

from memos_core.cube import MemoryState
from memos_core.infrastructure.vault import links
from memos_core.infrastructure.vault.records import Record, fetch
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.operation.auditing import ITSELF
from memos_core.operation.lifecycle.states import Transition
from memos_core.operation.lifecycle.updating import Updater
from memos_core.operation.organizing.types import MERGES


def merged_into(tx: Transaction, cube_id: str) -> list[str]:
    """List what a memory stands for."""
    rows = links.touching(tx, [cube_id], types=[MERGES])
    return [row.target_id for row in rows if row.source_id == cube_id]


def stranded(tx: Transaction, going: Sequence[str]) -> list[str]:
    """List what stands for nothing else but memories that go: it is to stand for itself again."""
    gone = set(going)
    rows = links.touching(tx, going, types=[MERGES])
    return sorted({r.target_id for r in rows if r.source_id in gone} - gone)


def bring_back(tx: Transaction, updater: Updater, ids: Sequence[str]) -> None:
    """Let memories stand for themselves again; for the vault itself."""
    for found in fetch(tx, ids).values():
        if isinstance(found, Record) and found.cube.state == MemoryState.MERGED.value:
            updater.stand(tx, ITSELF, found, Transition.UNMERGE, "what it was merged into is gone")
