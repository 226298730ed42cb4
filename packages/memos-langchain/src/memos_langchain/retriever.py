"""MemosRetriever: recall as a LangChain retriever."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from pydantic import ConfigDict, Field

from memos_core import AsyncSession, Hit, Session, SessionSource, resolve_session


class MemosRetriever(BaseRetriever):
    """Retrieves the memories that the acting session may read.

    Args:
        session: A session, the open vault in which somebody is `acting`, or a callable from the
            call's `RunnableConfig` to a session. Unset refuses.
        k: The most documents to return.
        where: A filter on header fields and `metadata.*`.
        space: Only this subtree.

    Example:
        >>> from memos_core.testing import temporary_memos
        >>> with temporary_memos() as memos:
        ...     alice = memos.session("user:alice")
        ...     _ = alice.add("I am allergic to peanuts.")
        ...     MemosRetriever(session=alice).invoke("peanuts")[0].page_content
        'I am allergic to peanuts.'
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    session: SessionSource | None = Field(default=None, exclude=True, repr=False)
    k: int = 10
    where: dict[str, Any] | None = None
    space: str | None = None

    def invoke(
        self,
        input: str,  # noqa: A002 - the interface's
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Retrieve for whoever this request's config names; `k` may be given per call."""
        return super().invoke(input, config, **kwargs, acting=self._who(config))

    async def ainvoke(
        self,
        input: str,  # noqa: A002 - the interface's
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Retrieve for whoever this request's config names, awaited."""
        return await super().ainvoke(input, config, **kwargs, acting=self._who(config))

    def _who(self, config: RunnableConfig | None) -> Session:
        return resolve_session(self.session, ensure_config(config))

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002 - the interface's
        acting: Session | None = None,
        k: int | None = None,
    ) -> list[Document]:
        session = acting or self._who(None)
        hits = session.search(query, k=k or self.k, where=self.where, space=self.space)
        return [to_document(hit) for hit in hits]

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,  # noqa: ARG002 - the interface's
        acting: Session | None = None,
        k: int | None = None,
    ) -> list[Document]:
        session = AsyncSession(acting or self._who(None))
        hits = await session.search(query, k=k or self.k, where=self.where, space=self.space)
        return [to_document(hit) for hit in hits]


def to_document(hit: Hit) -> Document:
    """Translate a hit: its text as content, its header and score as metadata."""
    header = hit.cube.to_dict()["meta"]
    return Document(hit.text, id=hit.id, metadata={"memos": header, "score": hit.score})
