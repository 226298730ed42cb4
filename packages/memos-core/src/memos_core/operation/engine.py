"""What a session works with: the operators of one open vault, wired together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from memos_core.operation.auditing import Auditor
from memos_core.operation.backups import Backups
from memos_core.operation.explaining import Explainer
from memos_core.operation.gate import Gate
from memos_core.operation.governing import Governing
from memos_core.operation.inner.activating import Activator
from memos_core.operation.inner.choosing import Chooser
from memos_core.operation.inner.distilling import Distiller
from memos_core.operation.inner.injecting import Injector
from memos_core.operation.inner.keeping import BlobKeeper
from memos_core.operation.inner.loading import Loader
from memos_core.operation.inner.reading import Reader
from memos_core.operation.lifecycle.adding import Adder
from memos_core.operation.lifecycle.erasing import Eraser
from memos_core.operation.lifecycle.forgetting import Forgetter
from memos_core.operation.lifecycle.reverting import Reverter
from memos_core.operation.lifecycle.rewinding import Rewinder
from memos_core.operation.lifecycle.snapshotting import Snapshotter
from memos_core.operation.lifecycle.updating import Updater
from memos_core.operation.organizing.linking import Linker
from memos_core.operation.organizing.merging import Merger
from memos_core.operation.organizing.relating import Relater
from memos_core.operation.policing import Policing
from memos_core.operation.restoring import Restorer
from memos_core.operation.retention import Retention
from memos_core.operation.retrieval.provenance import Provenances
from memos_core.operation.retrieval.recall import Recall
from memos_core.operation.retrieval.tracing import Tracer
from memos_core.operation.retrieval.versions import Versions
from memos_core.operation.scheduler import Scheduler
from memos_core.operation.upkeep.duty import Duty
from memos_core.operation.upkeep.promoting import Promoter
from memos_core.settings import Settings

if TYPE_CHECKING:
    from memos_core.memory.runtime import LocalModel


@dataclass(frozen=True, slots=True)
class Inner:
    """The operators of memory inside models, and the model that is used where none is named."""

    activator: Activator
    chooser: Chooser
    distiller: Distiller
    injector: Injector
    keeper: BlobKeeper
    loader: Loader
    promoter: Promoter
    reader: Reader
    runtime: LocalModel | None


@dataclass(frozen=True, slots=True)
class Organizing:
    """The operators of how memories hang together."""

    linker: Linker
    merger: Merger
    relater: Relater


@dataclass(frozen=True, slots=True)
class Engine:
    """The operators of one open vault."""

    gate: Gate
    adder: Adder
    updater: Updater
    forgetter: Forgetter
    eraser: Eraser
    backups: Backups
    restorer: Restorer
    recall: Recall
    scheduler: Scheduler
    versions: Versions
    reverter: Reverter
    rewinder: Rewinder
    snapshotter: Snapshotter
    tracer: Tracer
    provenances: Provenances
    governing: Governing
    policing: Policing
    retention: Retention
    explainer: Explainer
    auditor: Auditor
    settings: Settings
    inner: Inner
    organizing: Organizing
    duties: tuple[Duty, ...]
