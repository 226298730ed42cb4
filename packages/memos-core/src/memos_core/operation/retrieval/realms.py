"""Which realms a request touches: only their pages are loaded."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from memos_core.infrastructure.governance.decision import Rights
from memos_core.infrastructure.governance.names import is_personal, realm_of
from memos_core.infrastructure.vault import journal, schema
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.operation.retrieval.eligibility import Scope


def touched(tx: Transaction, rights: Rights, scope: Scope) -> list[tuple[str, int]]:
    """List the realms that a request touches, each with its journal's last number."""
    subtrees, everything, single = rights.reach()
    names = {realm_of(path) for path in subtrees}
    names |= _realms_of(tx, sorted(single))
    wanted = {realm_of(path) for path in scope.subtrees}
    if len(wanted) > 1:
        return []
    if wanted:
        name = next(iter(wanted))
        reached = name in names or (everything and not is_personal(name))
        found = journal.counters(tx, [name]) if reached else {}
    elif everything:
        counters = journal.counters(tx, None)
        found = {n: c for n, c in counters.items() if n in names or not is_personal(n)}
    else:
        found = journal.counters(tx, sorted(names))
    return [found[name] for name in sorted(found)]


def _realms_of(tx: Transaction, cube_ids: Sequence[str]) -> set[str]:
    cubes, realms = schema.cubes, schema.realms
    names: set[str] = set()
    for batch in schema.batches(cube_ids):
        query = (
            select(realms.c.name)
            .join_from(cubes, realms, cubes.c.realm_id == realms.c.id)
            .where(cubes.c.id.in_(batch))
            .distinct()
        )
        names |= {journal.check_name(each) for each in tx.connection.execute(query).scalars()}
    return names
