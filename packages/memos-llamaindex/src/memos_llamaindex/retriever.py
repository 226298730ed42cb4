"""MemosRetriever: recall as a LlamaIndex retriever."""

from __future__ import annotations

from typing import Any

from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from memos_core import AsyncSession, Hit, Hits, SessionSource, resolve_session


class MemosRetriever(BaseRetriever):
    """Retrieves the memories that the acting session may read.

    Args:
        session: A session, the open vault in which somebody is `acting`, or a callable from the
            `QueryBundle` to a session. Unset refuses.
        k: The most nodes to return.
        where: A filter on header fields and `metadata.*`.
        space: Only this subtree.

    Example:
        >>> from memos_core.testing import temporary_memos
        >>> with temporary_memos() as memos:
        ...     alice = memos.session("user:alice")
        ...     _ = alice.add("I am allergic to peanuts.")
        ...     MemosRetriever(alice).retrieve("peanuts")[0].text
        'I am allergic to peanuts.'
    """

    def __init__(
        self,
        session: SessionSource | None,
        *,
        k: int = 10,
        where: dict[str, Any] | None = None,
        space: str | None = None,
    ) -> None:
        super().__init__()
        self._source = session
        self._asked: dict[str, Any] = {"k": k, "where": where, "space": space}

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        session = resolve_session(self._source, query_bundle)
        return to_nodes(session.search(query_bundle.query_str, **self._asked))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        session = AsyncSession(resolve_session(self._source, query_bundle))
        return to_nodes(await session.search(query_bundle.query_str, **self._asked))


def to_nodes(hits: Hits) -> list[NodeWithScore]:
    """Translate hits to nodes."""
    return [NodeWithScore(node=to_node(hit), score=hit.score) for hit in hits]


def to_node(hit: Hit) -> TextNode:
    """Translate a hit: its text as content; its header as metadata that no prompt shows."""
    header = hit.cube.to_dict()["meta"]
    return TextNode(
        id_=hit.id,
        text=hit.text,
        metadata={"memos": header},
        excluded_embed_metadata_keys=["memos"],
        excluded_llm_metadata_keys=["memos"],
    )
