"""How LangGraph's store operations compare: filters on values, conditions on namespaces."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from langgraph.store.base import MatchCondition

from memos_core import InvalidInputError

_ORDER: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def matches_filter(value: Mapping[str, Any], where: Mapping[str, Any] | None) -> bool:
    """Tell whether an item's value meets a filter on its top-level fields.

    >>> matches_filter({"n": 3}, {"n": {"$gt": 2}}), matches_filter({"n": 3}, {"n": 4})
    (True, False)
    """
    return all(_matches(value.get(name), wanted) for name, wanted in (where or {}).items())


def _matches(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        if any(name.startswith("$") for name in wanted):
            return all(_compare(value, name, each) for name, each in wanted.items())
        if not isinstance(value, dict):
            return False
        return all(_matches(value.get(name), each) for name, each in wanted.items())
    if isinstance(wanted, list | tuple):
        if not isinstance(value, list | tuple) or len(value) != len(wanted):
            return False
        return all(_matches(mine, each) for mine, each in zip(value, wanted, strict=True))
    return bool(value == wanted)


def _compare(value: Any, name: str, wanted: Any) -> bool:
    if name == "$eq":
        return bool(value == wanted)
    if name == "$ne":
        return bool(value != wanted)
    if name not in _ORDER:
        raise InvalidInputError(
            f"unknown filter operator {name!r}: use $eq, $ne, {', '.join(_ORDER)}"
        )
    return _ORDER[name](float(value), float(wanted))


def matches_namespace(condition: MatchCondition, namespace: tuple[str, ...]) -> bool:
    """Tell whether a namespace begins or ends as a condition says; `*` stands for any label."""
    path = condition.path
    if len(namespace) < len(path):
        return False
    part = namespace[: len(path)] if condition.match_type == "prefix" else namespace[-len(path) :]
    return all(want in ("*", have) for have, want in zip(part, path, strict=True)) or not path
