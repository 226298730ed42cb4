"""MemOS: one governed vault of memories, shared by every agent framework."""

from memos_core.aio import AsyncSession
from memos_core.content import (
    Content,
    DataPart,
    Document,
    MediaPart,
    Message,
    TextPart,
    ToolCall,
)
from memos_core.cube import CubeId, Header, Kind, MemCube, MemoryState, Sensitivity, Source, Version
from memos_core.draft import Draft, Interval, Key, Patch
from memos_core.errors import (
    BusyError,
    ConflictError,
    DamagedError,
    DeniedError,
    EmbedderError,
    FullError,
    IntegrityError,
    InvalidInputError,
    LedgerError,
    MemosError,
    NotFoundError,
    SchemaError,
    VaultError,
)
from memos_core.filters import Filter
from memos_core.identity import SessionSource, resolve_session
from memos_core.infrastructure.governance.decision import Action
from memos_core.infrastructure.governance.grants import Grant, GrantId
from memos_core.infrastructure.ledger import Verdict
from memos_core.interface.context import ContextItem, MemoryContext
from memos_core.listing import list_every
from memos_core.models.embedder import ChromaEmbedder, Embedder, embedder_named
from memos_core.operation.retrieval.options import SearchOptions
from memos_core.results import ForgetReport, Hit, Hits, Page
from memos_core.session import Session
from memos_core.settings import Settings
from memos_core.system import MemOS
from memos_core.transcript import Transcript, message_draft

__all__ = [
    "Action",
    "AsyncSession",
    "BusyError",
    "ChromaEmbedder",
    "ConflictError",
    "Content",
    "ContextItem",
    "CubeId",
    "DamagedError",
    "DataPart",
    "DeniedError",
    "Document",
    "Draft",
    "Embedder",
    "EmbedderError",
    "Filter",
    "ForgetReport",
    "FullError",
    "Grant",
    "GrantId",
    "Header",
    "Hit",
    "Hits",
    "IntegrityError",
    "Interval",
    "InvalidInputError",
    "Key",
    "Kind",
    "LedgerError",
    "MediaPart",
    "MemCube",
    "MemOS",
    "MemoryContext",
    "MemoryState",
    "MemosError",
    "Message",
    "NotFoundError",
    "Page",
    "Patch",
    "SchemaError",
    "SearchOptions",
    "Sensitivity",
    "Session",
    "SessionSource",
    "Settings",
    "Source",
    "TextPart",
    "ToolCall",
    "Transcript",
    "VaultError",
    "Verdict",
    "Version",
    "embedder_named",
    "list_every",
    "message_draft",
    "resolve_session",
]
