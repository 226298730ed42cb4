"""MemOS for LangChain and LangGraph."""

from memos_langchain.retriever import MemosRetriever

__all__ = ["MemosRetriever"]
