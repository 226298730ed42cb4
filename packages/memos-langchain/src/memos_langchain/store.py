"""MemosStore: LangGraph's long-term store on the governed vault.

An item lies in the session's space; its namespace and key make the vault's key, so a namespace can
only narrow what the session reaches. `search(())` is every item of that space and of no other. The
namespace `("memos",)` is a view on all that the session may read, whichever framework wrote it: it
can be searched and read by id, and not written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from anyio.to_thread import run_sync
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config
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
    InvalidInputError,
    MemCube,
    NotFoundError,
    Session,
    SessionSource,
    list_every,
    resolve_session,
)
from memos_langchain.items import (
    ITEM,
    VIEW,
    draft_of,
    fields_of,
    is_item,
    key_of,
    namespace_of,
    value_of,
    viewed,
)
from memos_langchain.matching import matches_filter, matches_namespace

_MOST: Final = 1_000


class MemosStore(BaseStore):
    """A LangGraph store for whoever acts in the request.

    Args:
        session: A session, the open vault in which somebody is `acting`, or a callable from the
            run's `RunnableConfig` (None outside a graph) to a session. Unset refuses.

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
        return _run(resolve_session(self._source, _config()), list(ops))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Do the same, awaited."""
        return await run_sync(_run, resolve_session(self._source, _config()), list(ops))


def _config() -> RunnableConfig | None:
    try:
        return get_config()
    except RuntimeError:  # outside a graph there is none
        return None


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
            if op.namespace == VIEW:
                raise InvalidInputError('("memos",) is a view: put into a namespace of your own')
            puts[(op.namespace, op.key)] = op
            results.append(None)
        else:
            raise InvalidInputError(f"unknown operation {type(op).__name__}")
    _write(session, list(puts.values()))
    return results


def _get(session: Session, op: GetOp) -> Item | None:
    try:
        if op.namespace == VIEW:
            return Item(**viewed(session.get(op.key)))
        cube = session.get(key_of(session, op.namespace, op.key))
    except NotFoundError:
        return None
    return Item(**fields_of(cube)) if is_item(cube) else None


def _view(session: Session, op: SearchOp) -> list[SearchItem]:
    """Search everything that the session may read, or list it."""
    if op.query:
        hits = session.search(op.query, k=_MOST)
        found: list[tuple[MemCube, float | None]] = [(hit.cube, hit.score) for hit in hits]
    else:
        found = [(cube, None) for cube in list_every(session)]
    items = [SearchItem(**viewed(cube), score=score) for cube, score in found]
    kept = [item for item in items if matches_filter(item.value, op.filter)]
    return kept[op.offset : op.offset + op.limit]


def _search(session: Session, op: SearchOp) -> list[SearchItem]:
    if op.namespace_prefix == VIEW:
        return _view(session, op)
    where = {"semantic_type": ITEM, "metadata.within": json.dumps(list(op.namespace_prefix))}
    if op.query:
        hits = session.search(op.query, k=_MOST, where=where, space=session.space)
        found = [
            (hit.cube, hit.score)
            for hit in hits
            if is_item(hit.cube) and hit.cube.meta.metadata["indexed"]
        ]
        unscored = [cube for cube in _items(session, where) if not cube.meta.metadata["indexed"]]
        scored: list[tuple[MemCube, float | None]] = [*found, *((each, None) for each in unscored)]
    else:
        scored = [(cube, None) for cube in _items(session, where)]
    kept = [
        SearchItem(**fields_of(cube), score=score)
        for cube, score in scored
        if matches_filter(value_of(cube), op.filter)
    ]
    return kept[op.offset : op.offset + op.limit]


def _list(session: Session, op: ListNamespacesOp) -> list[tuple[str, ...]]:
    every = {namespace_of(cube) for cube in _items(session, {"semantic_type": ITEM})}
    conditions = op.match_conditions or ()
    chosen = {each for each in every if all(matches_namespace(c, each) for c in conditions)}
    if op.max_depth is not None:
        chosen = {each[: op.max_depth] for each in chosen}
    return sorted(chosen)[op.offset : op.offset + op.limit]


def _write(session: Session, puts: list[PutOp]) -> None:
    session.add_many([draft_of(op) for op in puts if op.value is not None], on_key="replace")
    for op in puts:
        if op.value is None:
            try:
                session.forget(key_of(session, op.namespace, op.key))
            except NotFoundError:
                continue  # deleting what is not there is no error, as in LangGraph's own stores


def _items(session: Session, where: dict[str, Any]) -> list[MemCube]:
    return [cube for cube in list_every(session, where=where, space=session.space) if is_item(cube)]
