"""MemOS for LangChain and LangGraph."""

from memos_langchain.asking import LangChainChat
from memos_langchain.chat import MemosChatModel
from memos_langchain.history import MemosChatMessageHistory
from memos_langchain.messages import from_message, to_message
from memos_langchain.middleware import MemosMiddleware
from memos_langchain.retriever import MemosRetriever
from memos_langchain.store import MemosStore

__all__ = [
    "LangChainChat",
    "MemosChatMessageHistory",
    "MemosChatModel",
    "MemosMiddleware",
    "MemosRetriever",
    "MemosStore",
    "from_message",
    "to_message",
]
