"""Whether memories still are what they were when they were chosen."""

from __future__ import annotations

from collections.abc import Sequence

from memos_core.infrastructure.vault.records import Damage, Record, fetch, standings
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.operation.retrieval.eligibility import Scope
from memos_core.operation.retrieval.ranking import Ranked


def stands(tx: Transaction, ranked: Sequence[Ranked]) -> bool:
    """Tell whether memories that were read a moment ago still are what they were."""
    if not ranked:
        return True
    now = standings(tx, [each.cube_id for each in ranked])
    for each in ranked:
        found = now.get(each.cube_id)
        if found is None or found[:2] != (each.version, each.label_id):
            return False
        if found[2] is not None and found[2] <= tx.now:
            return False
    return True


def unmoved(
    tx: Transaction, scope: Scope, ranked: Sequence[Ranked]
) -> list[Record | Damage] | None:
    """Read the records of what was chosen; None if any is not what was scored."""
    found = fetch(tx, [each.cube_id for each in ranked], at=scope.actor.at)
    records = [_still(found.get(each.cube_id), each, tx.now) for each in ranked]
    still = [record for record in records if record is not None]
    return still if len(still) == len(records) else None


def _still(found: Record | Damage | None, ranked: Ranked, now: int) -> Record | Damage | None:
    """Return the record if it is still what was scored."""
    if found is None or isinstance(found, Damage):
        return found
    cube = found.cube
    same = found.version.version == ranked.version and cube.label_id == ranked.label_id
    return found if same and not cube.has_ended(now) else None
