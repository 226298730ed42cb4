"""MemOS for LlamaIndex."""

from memos_llamaindex.retriever import MemosRetriever

__all__ = ["MemosRetriever"]
