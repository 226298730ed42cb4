"""Filters: which memories a search or a listing is about, as a checked tree of conditions.

A filter is a mapping from field to value or to operators: `{"tags": "travel"}`,
`{"metadata.year": {"$gte": 2024}}`, `{"$or": [{"speaker": "Maya"}, {"key": "m1"}]}`. Header fields
come from a fixed list; `metadata.*` is free, and `content.*` asks for fields of JSON contents.
Values are compared by type: `1` is not `"1"` and not `true`. Nothing of it becomes part of an SQL
text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import JsonValue

from memos_core.clock import require_aware, to_micros
from memos_core.cube import Sensitivity
from memos_core.errors import InvalidInputError

Filter = Mapping[str, Any]
"""What callers write: see the module's text."""

FieldType = Literal["text", "instant", "level", "number"]
TypedKey = tuple[str, Any]
"""A value with its type class: ("s", text), ("n", number), ("b", bool), ("t", µs), ("z", None)…"""

HEADER_FIELDS: Final[Mapping[str, FieldType]] = {
    "created": "instant",
    "expires": "instant",
    "key": "text",
    "kind": "text",
    "occurred_at": "instant",
    "owner": "text",
    "priority": "text",
    "semantic_type": "text",
    "sensitivity": "level",
    "source": "text",
    "space": "text",
    "speaker": "text",
    "state": "text",
    "tags": "text",
    "valid_from": "instant",
    "valid_to": "instant",
    "version": "number",
}
MAX_DEPTH: Final = 16
MAX_VALUES: Final = 10_000
MAX_TESTS: Final = 256


@dataclass(frozen=True, slots=True)
class Test:
    """One field held against one operator and value.

    `negated` tests keep the rows where `accepts` holds for no value, absent fields included.
    """

    __test__ = False  # not a pytest class

    field: str
    accepts: Callable[[TypedKey], bool]
    equals: frozenset[TypedKey] | None = None
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Both:
    """All conditions hold."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """At least one condition holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Neither:
    """The condition does not hold."""

    part: Condition


Condition = Test | Both | Either | Neither


def parse_filter(where: Filter | None) -> Condition | None:
    """Check a filter and turn it into conditions.

    Args:
        where: The caller's filter, or None for no filter at all.

    Returns:
        The conditions, or None where there was no filter.

    Raises:
        InvalidInputError: The filter is empty, names an unknown field or operator, or compares
            with a value of the wrong type.
    """
    if where is None:
        return None
    condition = _parse(where, 0)
    if _size(condition) > MAX_TESTS:
        raise InvalidInputError(
            f"the filter has more than {MAX_TESTS} tests: use $in for many values"
        )
    return condition


def asks_for(condition: Condition, field: str) -> bool:
    """Tell whether a condition asks for a field anywhere."""
    if isinstance(condition, Test):
        return condition.field == field
    parts = [condition.part] if isinstance(condition, Neither) else condition.parts
    return any(asks_for(part, field) for part in parts)


def _size(condition: Condition) -> int:
    if isinstance(condition, Test):
        return 1
    parts = [condition.part] if isinstance(condition, Neither) else condition.parts
    return sum(_size(part) for part in parts)


def _parse(where: object, depth: int) -> Condition:
    if not isinstance(where, Mapping):
        raise InvalidInputError(f"a filter is a mapping of fields, not {type(where).__name__}")
    if not where:
        raise InvalidInputError(
            "the filter is empty: leave `where` out to search everything you may read, "
            "or name a field"
        )
    if depth > MAX_DEPTH:
        raise InvalidInputError(f"the filter is nested deeper than {MAX_DEPTH} levels")
    parts = [_parse_entry(name, value, depth) for name, value in where.items()]
    return parts[0] if len(parts) == 1 else Both(tuple(parts))


def _parse_entry(name: object, value: object, depth: int) -> Condition:
    if name in ("$and", "$or"):
        if not isinstance(value, Sequence) or isinstance(value, str) or not value:
            raise InvalidInputError(f"{name} takes a non-empty list of filters")
        if len(value) > MAX_TESTS:
            raise InvalidInputError(f"{name} takes at most {MAX_TESTS} filters: use $in for values")
        parts = tuple(_parse(part, depth + 1) for part in value)
        return Both(parts) if name == "$and" else Either(parts)
    if name == "$not":
        return Neither(_parse(value, depth + 1))
    kind = _field_type(name)
    if isinstance(value, Mapping) and any(str(op).startswith("$") for op in value):
        tests = tuple(_test(str(name), kind, str(op), given) for op, given in value.items())
        return tests[0] if len(tests) == 1 else Both(tests)
    return _test(str(name), kind, "$eq", value)


def _field_type(name: object) -> FieldType | None:
    if isinstance(name, str):
        if name in HEADER_FIELDS:
            return HEADER_FIELDS[name]
        if re.fullmatch(r"(metadata|content)\..+", name, re.DOTALL):
            return None
    known = ", ".join(HEADER_FIELDS)
    raise InvalidInputError(
        f"unknown filter field {name!r}: use one of {known}, metadata.<your own name>, "
        "or content.<a field of a JSON content>"
    )


def _test(name: str, kind: FieldType | None, op: str, value: object) -> Test:
    if op in ("$eq", "$ne", "$in", "$nin"):
        many = value if op in ("$in", "$nin") else [value]
        if not isinstance(many, list | tuple | set | frozenset):
            raise InvalidInputError(f"{op} on {name!r} takes a list of values")
        if len(many) > MAX_VALUES:
            raise InvalidInputError(f"{op} on {name!r} has more than {MAX_VALUES} values")
        keys = frozenset(_typed(name, kind, each) for each in many)
        return Test(name, keys.__contains__, equals=keys, negated=op in ("$ne", "$nin"))
    if op in _ORDER:
        rank, bound = _typed(name, kind, value)
        if rank not in "snt":
            raise InvalidInputError(f"{op} on {name!r} takes a number, a text or an instant")
        compare = _ORDER[op]
        return Test(name, lambda key: key[0] == rank and compare(key[1], bound))
    if op == "$exists":
        if not isinstance(value, bool):
            raise InvalidInputError(f"$exists on {name!r} takes true or false")
        return Test(name, _anything, negated=not value)
    known = ", ".join(["$eq", "$ne", *_ORDER, "$in", "$nin", "$exists", "$and", "$or", "$not"])
    raise InvalidInputError(f"unknown operator {op!r} on {name!r}: use one of {known}")


_ORDER: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "$gt": lambda a, b: bool(a > b),
    "$gte": lambda a, b: bool(a >= b),
    "$lt": lambda a, b: bool(a < b),
    "$lte": lambda a, b: bool(a <= b),
}


def _anything(key: TypedKey) -> bool:  # noqa: ARG001 - accepts every value
    return True


def _typed(name: str, kind: FieldType | None, value: object) -> TypedKey:
    if kind is None:
        return typed_key(value)
    if kind == "level":
        return ("n", int(Sensitivity.parse(value)))
    if kind == "instant":
        return ("t", to_micros(_instant(name, value)))
    wanted = str if kind == "text" else int
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise InvalidInputError(f"the filter on {name!r} takes {wanted.__name__}, not {value!r}")
    return typed_key(value)


def _instant(name: str, value: object) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise InvalidInputError(
                f"the filter on {name!r} is not an instant: {value!r}"
            ) from error
    if not isinstance(value, datetime):
        raise InvalidInputError(f"the filter on {name!r} takes an aware datetime, not {value!r}")
    return require_aware(value, f"the filter on {name!r}")


def typed_key(value: object) -> TypedKey:
    """Give a value its type class, so that `1`, `"1"` and `True` stay three values.

    Raises:
        InvalidInputError: The value is not JSON and not an aware datetime.

    >>> typed_key(1) == typed_key(1.0), typed_key(1) == typed_key(True)
    (True, False)
    """
    if value is None:
        return ("z", None)
    if isinstance(value, bool):
        return ("b", value)
    if isinstance(value, int | float):
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidInputError("a filter cannot compare with NaN or infinity")
        return ("n", value)
    if isinstance(value, str):
        return ("s", value)
    if isinstance(value, datetime):
        return ("s", require_aware(value, "the filter's value").isoformat())
    if isinstance(value, list | dict):
        try:
            return ("j", json.dumps(value, sort_keys=True, ensure_ascii=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidInputError(f"a filter's value is not JSON: {error}") from error
    raise InvalidInputError(f"a filter cannot compare with {type(value).__name__}")


def flatten(metadata: Mapping[str, JsonValue], prefix: str = "metadata") -> list[tuple[str, Any]]:
    """List the paths of a JSON object with the values at their ends; lists by their elements too.

    >>> flatten({"a": {"b": 1}, "c": [2, 3]})
    [('metadata.a.b', 1), ('metadata.c', [2, 3]), ('metadata.c', 2), ('metadata.c', 3)]
    """
    found: list[tuple[str, Any]] = []
    for name, value in metadata.items():
        path = f"{prefix}.{name}"
        if isinstance(value, dict):
            found.extend(flatten(value, path))
            continue
        found.append((path, value))
        if isinstance(value, list):
            found.extend((path, item) for item in value if not isinstance(item, dict | list))
    return found
