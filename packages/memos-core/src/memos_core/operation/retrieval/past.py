"""The past under the rules of the present: what is sensitive today was so always."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from memos_core.cube import Sensitivity
from memos_core.infrastructure.vault.records import Indexable, Record, fetch
from memos_core.infrastructure.vault.vault import Transaction


def under_present_levels(tx: Transaction, found: Sequence[Indexable]) -> list[Indexable]:
    """Give earlier versions the levels that their fields have today, where those are higher.

    The vector of such a version was made of what is hidden now, so it is put out of use: its words
    that are still to be seen find it, its meaning does not.

    Args:
        tx: The snapshot.
        found: The versions of a past instant, with their vectors.
    """
    earlier = [each.record.cube.id for each in found if not _is_present(each)]
    present = fetch(tx, earlier)
    return [_adapted(each, present.get(each.record.cube.id)) for each in found]


def _is_present(found: Indexable) -> bool:
    return found.record.version.version == found.record.cube.version


def _adapted(found: Indexable, present: object) -> Indexable:
    if _is_present(found) or not isinstance(present, Record):
        return found
    header: dict[str, Any] = json.loads(found.record.version.header)
    today: Mapping[str, str] = json.loads(present.version.header).get("field_sensitivity", {})
    levels = dict(header.get("field_sensitivity", {}))
    raised = {
        path: level
        for path, level in today.items()
        if Sensitivity.parse(level) > Sensitivity.parse(levels.get(path, "public"))
    }
    if not raised:
        return found
    header["field_sensitivity"] = levels | raised
    version = replace(found.record.version, header=json.dumps(header))
    record = Record(found.record.cube, version)
    return Indexable(record, bytes(len(found.vector)))
