"""MemOS for LlamaIndex."""

from memos_llamaindex.asking import LlamaIndexChat
from memos_llamaindex.block import MemosMemoryBlock
from memos_llamaindex.llm import MemosLLM
from memos_llamaindex.memory import MemosMemory
from memos_llamaindex.messages import from_message, to_message
from memos_llamaindex.retriever import MemosRetriever

__all__ = [
    "LlamaIndexChat",
    "MemosLLM",
    "MemosMemory",
    "MemosMemoryBlock",
    "MemosRetriever",
    "from_message",
    "to_message",
]
