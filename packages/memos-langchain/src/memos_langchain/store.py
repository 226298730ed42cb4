"""MemosStore: LangGraph's long-term store on the governed vault.

An item lies in the session's space; its namespace and key make the vault's key, so a namespace can
only narrow what the session reaches. `search(())` is every item of that space and of no other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from anyio.to_thread import run_sync
from langgraph.store.base import (
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    validate_op_namespace,
)

from memos_core import (
    Draft,
    InvalidInputError,
    Key,
    MemCube,
    NotFoundError,
    Session,
    SessionSource,
    resolve_session,
)
from memos_langchain.matching import matches_filter, matches_namespace

_ITEM: Final = "langgraph_item"
_PAGE: Final = 500
_MOST: Final = 1_000


class MemosStore(BaseStore):
    """A LangGraph store for whoever acts in the request.

    Args:
        session: A session, the open vault in which somebody is `acting`, or a callable (given None)
            that yields one, e.g. from `langgraph.config.get_config`. Unset refuses.

    Example:
        >>> from memos_core.testing import temporary_memos
        >>> with temporary_memos() as memos:
        ...     store = MemosStore(memos.session("user:alice"))
        ...     store.put(("prefs",), "drink", {"text": "tea"})
        ...     store.get(("prefs",), "drink").value
        {'text': 'tea'}
    """

    supports_ttl = True

    def __init__(self, session: SessionSource | None) -> None:
        self._source = session

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Run operations: reads see what was there before; of puts to one key the last counts."""
        return _run(resolve_session(self._source), list(ops))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Do the same, awaited."""
        return await run_sync(_run, resolve_session(self._source), list(ops))


def _run(session: Session, ops: list[Op]) -> list[Result]:
    results: list[Result] = []
    puts: dict[tuple[tuple[str, ...], str], PutOp] = {}
    for op in ops:
        validate_op_namespace(op)
        if isinstance(op, GetOp):
            results.append(_get(session, op))
        elif isinstance(op, SearchOp):
            results.append(_search(session, op))
        elif isinstance(op, ListNamespacesOp):
            results.append(_list(session, op))
        elif isinstance(op, PutOp):
            puts[(op.namespace, op.key)] = op
            results.append(None)
        else:
            raise InvalidInputError(f"unknown operation {type(op).__name__}")
    _write(session, list(puts.values()))
    return results


def _get(session: Session, op: GetOp) -> Item | None:
    try:
        cube = session.get(_key(session, op.namespace, op.key))
    except NotFoundError:
        return None
    return Item(**_fields(cube)) if _is_item(cube) else None


def _search(session: Session, op: SearchOp) -> list[SearchItem]:
    where = {"semantic_type": _ITEM, "metadata.within": json.dumps(list(op.namespace_prefix))}
    if op.query:
        hits = session.search(op.query, k=_MOST, where=where, space=session.space)
        found = [
            (hit.cube, hit.score)
            for hit in hits
            if _is_item(hit.cube) and hit.cube.meta.metadata["indexed"]
        ]
        unscored = [cube for cube in _all(session, where) if not cube.meta.metadata["indexed"]]
        scored: list[tuple[MemCube, float | None]] = [*found, *((each, None) for each in unscored)]
    else:
        scored = [(cube, None) for cube in _all(session, where)]
    kept = [
        SearchItem(**_fields(cube), score=score)
        for cube, score in scored
        if matches_filter(_value(cube), op.filter)
    ]
    return kept[op.offset : op.offset + op.limit]


def _list(session: Session, op: ListNamespacesOp) -> list[tuple[str, ...]]:
    every = {_namespace(cube) for cube in _all(session, {"semantic_type": _ITEM})}
    conditions = op.match_conditions or ()
    chosen = {each for each in every if all(matches_namespace(c, each) for c in conditions)}
    if op.max_depth is not None:
        chosen = {each[: op.max_depth] for each in chosen}
    return sorted(chosen)[op.offset : op.offset + op.limit]


def _write(session: Session, puts: list[PutOp]) -> None:
    session.add_many([_draft(op) for op in puts if op.value is not None], on_key="replace")
    for op in puts:
        if op.value is None:
            try:
                session.forget(_key(session, op.namespace, op.key))
            except NotFoundError:
                continue  # deleting what is not there is no error, as in LangGraph's own stores


def _draft(op: PutOp) -> Draft:
    prefixes = [json.dumps(list(op.namespace[:n])) for n in range(len(op.namespace) + 1)]
    return Draft(
        dict(op.value or {}),
        key=_name(op.namespace, op.key),
        semantic_type=_ITEM,
        source="langgraph",
        expires=None if op.ttl is None else timedelta(minutes=op.ttl),
        metadata={
            "within": list(prefixes),
            "namespace": list(op.namespace),
            "key": op.key,
            "indexed": op.index is not False,
        },
    )


def _all(session: Session, where: dict[str, Any]) -> list[MemCube]:
    found: list[MemCube] = []
    cursor: str | None = None
    while True:
        page = session.get_all(where=where, space=session.space, limit=_PAGE, cursor=cursor)
        found += [cube for cube in page.items if _is_item(cube)]
        cursor = page.cursor
        if cursor is None:
            return found


def _is_item(cube: MemCube) -> bool:
    """Tell whether a memory has the shape that a put gives: others may write to a shared space."""
    data = cube.meta.metadata
    namespace, key = data.get("namespace"), data.get("key")
    return (
        isinstance(namespace, list)
        and all(isinstance(label, str) for label in namespace)
        and isinstance(key, str)
        and isinstance(data.get("indexed"), bool)
        and cube.meta.key == _name(tuple(map(str, namespace)), key)
    )


def _key(session: Session, namespace: tuple[str, ...], key: str) -> Key:
    return Key(_name(namespace, key), session.space)


def _name(namespace: tuple[str, ...], key: str) -> str:
    """Name an item in the vault: a digest, so that any namespace and key have room."""
    place = json.dumps([list(namespace), key], ensure_ascii=True)
    return f"langgraph/{hashlib.sha256(place.encode('ascii')).hexdigest()}"


def _fields(cube: MemCube) -> dict[str, Any]:
    created, updated = cube.meta.created, cube.meta.updated
    if not isinstance(created, datetime) or not isinstance(updated, datetime):
        raise InvalidInputError(f"{cube.id} has no time: it is no item of a vault")
    return {
        "namespace": _namespace(cube),
        "key": cube.meta.metadata["key"],
        "value": _value(cube),
        "created_at": created,
        "updated_at": updated,
    }


def _namespace(cube: MemCube) -> tuple[str, ...]:
    return tuple(str(label) for label in cube.meta.metadata["namespace"])  # type: ignore[union-attr]


def _value(cube: MemCube) -> dict[str, Any]:
    content = cube.content
    return content if isinstance(content, dict) else {}
