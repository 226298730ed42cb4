"""MemOS: one governed vault of memories, shared by every agent framework."""

from typing import TYPE_CHECKING, Any

from memos_core.aio import AsyncAudit, AsyncGovernance, AsyncSession, AsyncSnapshots
from memos_core.aio_organizing import AsyncOrganizer
from memos_core.answering import Answer, RememberingModel
from memos_core.audit import Audit
from memos_core.content import (
    Content,
    DataPart,
    Document,
    MediaPart,
    Message,
    TextPart,
    ToolCall,
)
from memos_core.cube import (
    CubeId,
    Header,
    Kind,
    Mark,
    MemCube,
    MemoryState,
    Sensitivity,
    Source,
    Trust,
    Version,
)
from memos_core.draft import Draft, Interval, Key, Patch
from memos_core.errors import (
    AnchorError,
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
    ModelError,
    NotFoundError,
    SchemaError,
    VaultError,
)
from memos_core.filters import Filter
from memos_core.governance import Governance
from memos_core.identity import SessionSource, resolve_session
from memos_core.infrastructure.governance.decision import Action
from memos_core.infrastructure.governance.detection.detector import Detector, Detectors, Span
from memos_core.infrastructure.governance.detection.patterns import PatternDetector
from memos_core.infrastructure.governance.detection.presidio import PresidioDetector
from memos_core.infrastructure.governance.grants import Grant, GrantId
from memos_core.infrastructure.governance.sources import Quarantine
from memos_core.infrastructure.ledger import (
    Anchor,
    CallableAnchor,
    ExportReport,
    FolderAnchor,
    SignedCheckpoint,
    SigningKey,
    Verdict,
    verify_export,
)
from memos_core.interface.context import MemoryContext
from memos_core.interface.loop import Heard, Outcome
from memos_core.interface.model_reader import ModelReader
from memos_core.interface.operations import Correct, Forget, Reading, Recall, Remember
from memos_core.interface.pipeline import Plan, Step
from memos_core.interface.reader import MemReader, RuleReader
from memos_core.listing import list_every
from memos_core.looping import Turn
from memos_core.memory.fence import ContextItem
from memos_core.memory.recipe import Recipe
from memos_core.models.chat import ChatModel, OpenAIChat
from memos_core.models.embedder import ChromaEmbedder, Embedder, embedder_named
from memos_core.operation.explaining import Explanation
from memos_core.operation.inner.adopting import Voucher
from memos_core.operation.inner.distilling import Teaching
from memos_core.operation.inner.reading import Readout
from memos_core.operation.lifecycle.rewinding import Rewound
from memos_core.operation.lifecycle.snapshotting import Snapshot
from memos_core.operation.policies.admission import AdmissionPolicy
from memos_core.operation.quotas import Quota
from memos_core.operation.retention import Hold
from memos_core.operation.retrieval.options import SearchOptions
from memos_core.operation.retrieval.provenance import Provenance
from memos_core.operation.retrieval.tracing import Passage, Trace
from memos_core.operation.retrieval.versions import Change, Diff
from memos_core.operation.scheduler import ContextOptions
from memos_core.organizing import MergeProposal, Organizer
from memos_core.results import (
    BackupReport,
    ForgetReport,
    GivenUp,
    Graph,
    Hit,
    Hits,
    Link,
    LogEntry,
    Maintenance,
    Organized,
    Page,
    PruneReport,
    RestoreReport,
)
from memos_core.session import Session
from memos_core.settings import Decay, Settings
from memos_core.snapshots import Snapshots
from memos_core.system import MemOS
from memos_core.transcript import Transcript, message_draft

if TYPE_CHECKING:
    from memos_core.memory.runtime import LocalModel


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is asked for, and not before."""
    if name != "LocalModel":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from memos_core.memory.runtime import LocalModel

    return LocalModel


__all__ = [
    "Action",
    "AdmissionPolicy",
    "Anchor",
    "AnchorError",
    "Answer",
    "AsyncAudit",
    "AsyncGovernance",
    "AsyncOrganizer",
    "AsyncSession",
    "AsyncSnapshots",
    "Audit",
    "BackupReport",
    "BusyError",
    "CallableAnchor",
    "Change",
    "ChatModel",
    "ChromaEmbedder",
    "ConflictError",
    "Content",
    "ContextItem",
    "ContextOptions",
    "Correct",
    "CubeId",
    "DamagedError",
    "DataPart",
    "Decay",
    "DeniedError",
    "Detector",
    "Detectors",
    "Diff",
    "Document",
    "Draft",
    "Embedder",
    "EmbedderError",
    "Explanation",
    "ExportReport",
    "Filter",
    "FolderAnchor",
    "Forget",
    "ForgetReport",
    "FullError",
    "GivenUp",
    "Governance",
    "Grant",
    "GrantId",
    "Graph",
    "Header",
    "Heard",
    "Hit",
    "Hits",
    "Hold",
    "IntegrityError",
    "Interval",
    "InvalidInputError",
    "Key",
    "Kind",
    "LedgerError",
    "Link",
    "LocalModel",
    "LogEntry",
    "Maintenance",
    "Mark",
    "MediaPart",
    "MemCube",
    "MemOS",
    "MemReader",
    "MemoryContext",
    "MemoryState",
    "MemosError",
    "MergeProposal",
    "Message",
    "ModelError",
    "ModelReader",
    "NotFoundError",
    "OpenAIChat",
    "Organized",
    "Organizer",
    "Outcome",
    "Page",
    "Passage",
    "Patch",
    "PatternDetector",
    "Plan",
    "PresidioDetector",
    "Provenance",
    "PruneReport",
    "Quarantine",
    "Quota",
    "Reading",
    "Readout",
    "Recall",
    "Recipe",
    "Remember",
    "RememberingModel",
    "RestoreReport",
    "Rewound",
    "RuleReader",
    "SchemaError",
    "SearchOptions",
    "Sensitivity",
    "Session",
    "SessionSource",
    "Settings",
    "SignedCheckpoint",
    "SigningKey",
    "Snapshot",
    "Snapshots",
    "Source",
    "Span",
    "Step",
    "Teaching",
    "TextPart",
    "ToolCall",
    "Trace",
    "Transcript",
    "Trust",
    "Turn",
    "VaultError",
    "Verdict",
    "Version",
    "Voucher",
    "embedder_named",
    "list_every",
    "message_draft",
    "resolve_session",
    "verify_export",
]
