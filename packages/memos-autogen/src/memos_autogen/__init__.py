"""MemOS for AutoGen."""

from memos_autogen.asking import AutoGenChat
from memos_autogen.client import MemosChatCompletionClient
from memos_autogen.context import MemosChatCompletionContext
from memos_autogen.memory import MemosMemory
from memos_autogen.messages import from_message, to_messages
from memos_autogen.profiles import MemosComponentConfig, profiles

__all__ = [
    "AutoGenChat",
    "MemosChatCompletionClient",
    "MemosChatCompletionContext",
    "MemosComponentConfig",
    "MemosMemory",
    "from_message",
    "profiles",
    "to_messages",
]
