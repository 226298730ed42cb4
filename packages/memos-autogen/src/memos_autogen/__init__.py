"""MemOS for AutoGen."""

from memos_autogen.memory import MemosMemory

__all__ = ["MemosMemory"]
