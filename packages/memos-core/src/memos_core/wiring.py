"""Wiring: the operators of one open vault, each given what it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memos_core.infrastructure.blobs.store import store_at
from memos_core.infrastructure.governance.detection.detector import Detector
from memos_core.infrastructure.governance.grants import Grants
from memos_core.infrastructure.governance.registry import Registry
from memos_core.infrastructure.governance.sources import Sources
from memos_core.infrastructure.index.analysis import Analyzer
from memos_core.infrastructure.index.cache import PageCache
from memos_core.infrastructure.index.entry import Entry
from memos_core.infrastructure.index.fingerprint import FingerprintPage, Traced
from memos_core.infrastructure.index.follower import Followable, Follower
from memos_core.infrastructure.index.page import PageView, RealmPage
from memos_core.infrastructure.ledger import (
    Keyring,
    Ledger,
)
from memos_core.infrastructure.ledger.publishing import Publisher
from memos_core.infrastructure.vault.vault import Vault
from memos_core.memory.plaintext import PlaintextIndexer
from memos_core.models.embedder import Embedder
from memos_core.operation.auditing import Auditor
from memos_core.operation.backups import Backups
from memos_core.operation.embedding import Embedding
from memos_core.operation.engine import Engine, Inner, Organizing
from memos_core.operation.explaining import Explainer
from memos_core.operation.gate import Gate
from memos_core.operation.governing import Governing
from memos_core.operation.inner.activating import Activator
from memos_core.operation.inner.choosing import Chooser
from memos_core.operation.inner.distilling import Distiller
from memos_core.operation.inner.evicting import Evictor
from memos_core.operation.inner.injecting import Injector
from memos_core.operation.inner.keeping import BlobKeeper
from memos_core.operation.inner.loading import Loader
from memos_core.operation.inner.reading import Reader
from memos_core.operation.lifecycle.adding import Adder
from memos_core.operation.lifecycle.erasing import Eraser
from memos_core.operation.lifecycle.forgetting import Forgetter
from memos_core.operation.lifecycle.labelling import Labeller
from memos_core.operation.lifecycle.reverting import Reverter
from memos_core.operation.lifecycle.rewinding import Rewinder
from memos_core.operation.lifecycle.snapshotting import Snapshotter
from memos_core.operation.lifecycle.updating import Updater
from memos_core.operation.organizing.linking import Linker
from memos_core.operation.organizing.merging import Merger
from memos_core.operation.organizing.relating import Relater
from memos_core.operation.policing import Policing
from memos_core.operation.preparing import Preparer
from memos_core.operation.quotas import Quotas
from memos_core.operation.replaying import Replayer
from memos_core.operation.restoring import Restorer
from memos_core.operation.retention import Retention
from memos_core.operation.retrieval.provenance import Provenances
from memos_core.operation.retrieval.recall import Recall
from memos_core.operation.retrieval.tracing import Tracer, fingerprinted
from memos_core.operation.retrieval.versions import Versions
from memos_core.operation.scheduler import Scheduler
from memos_core.operation.signing import Signer
from memos_core.operation.upkeep.duty import Duty
from memos_core.operation.upkeep.expiring import Expiring, Reaping
from memos_core.operation.upkeep.fading import Fading
from memos_core.operation.upkeep.folding import Folding
from memos_core.operation.upkeep.promoting import Promoter
from memos_core.settings import Settings

if TYPE_CHECKING:
    from memos_core.memory.runtime import LocalModel


def wire(
    vault: Vault,
    ledger: Ledger,
    keyring: Keyring,
    publisher: Publisher,
    embedder: Embedder | None,
    settings: Settings,
    detector: Detector,
    runtime: LocalModel | None = None,
) -> Engine:
    """Make the operators of an open vault, each with what it needs.

    Args:
        vault: Transactions.
        ledger: Where entries go.
        keyring: The vault's keys.
        publisher: Tells the anchors.
        embedder: Makes vectors; None chooses it later.
        settings: Limits and budgets.
        detector: Finds sensitive spans.
        runtime: The model that is used where none is named.
    """
    registry, analyzer, signer = Registry(vault.mint), Analyzer(), Signer(keyring)
    gate = Gate(vault, registry, ledger)
    embedding = Embedding(embedder, vault)
    preparer = Preparer(embedding, detector, settings.span_levels, signer)
    labeller, grants = Labeller(registry), Grants(vault, registry)
    quotas, retention = Quotas(registry), Retention(gate)
    updater = Updater(gate, preparer, labeller, quotas, retention, settings)
    indexer = PlaintextIndexer(analyzer)
    follower = _pages(indexer, analyzer, settings, vault)
    fingerprints = _fingerprints(indexer, settings, vault)
    auditor = Auditor(gate, keyring, publisher)
    keeper = BlobKeeper(vault, store_at(vault.directory.blobs, settings.blobs_url))
    loader = Loader(vault, keeper, settings.inner_budget_bytes)
    holders = (follower, fingerprints, loader)
    eraser = Eraser(gate, holders, auditor.announce, keeper.collect)
    forgetter = Forgetter(gate, retention, quotas, eraser, updater)
    sources, versions = Sources(vault, registry), Versions(gate, quotas)
    replayer = Replayer(gate, forgetter, grants, sources, labeller, updater, retention)
    reverter = Reverter(gate, updater, preparer, versions)
    recall = Recall(gate, follower, embedding, analyzer, quotas, versions, settings)
    adder = Adder(gate, preparer, labeller, updater, forgetter, quotas, settings)
    evictor = Evictor(gate, forgetter, retention, keeper, settings.blob_budget_bytes)
    inner = _inner(gate, adder, updater, forgetter, evictor, keeper, loader, runtime)
    return Engine(
        gate=gate,
        adder=adder,
        updater=updater,
        forgetter=forgetter,
        eraser=eraser,
        backups=Backups(gate, publisher, keeper),
        restorer=Restorer(gate, replayer, keyring, publisher.checkpoints),
        recall=recall,
        scheduler=Scheduler(gate, recall, inner.chooser, inner.injector, settings),
        versions=versions,
        reverter=reverter,
        rewinder=Rewinder(gate, updater, reverter, quotas),
        snapshotter=Snapshotter(gate),
        tracer=Tracer(gate, recall, fingerprints),
        provenances=Provenances(gate, signer, quotas),
        governing=Governing(gate, grants, labeller, auditor.tell),
        policing=Policing(gate, sources, quotas, auditor.tell),
        retention=retention,
        explainer=Explainer(gate, grants),
        auditor=auditor,
        settings=settings,
        inner=inner,
        organizing=_organizing(gate, adder, reverter, updater, recall, quotas),
        duties=_duties(gate, forgetter, updater, settings),
    )


def _organizing(
    gate: Gate,
    adder: Adder,
    reverter: Reverter,
    updater: Updater,
    recall: Recall,
    quotas: Quotas,
) -> Organizing:
    linker = Linker(gate, quotas, updater)
    return Organizing(
        linker=linker,
        merger=Merger(gate, adder, reverter, linker),
        relater=Relater(gate, recall, linker, updater),
    )


def _duties(
    gate: Gate, forgetter: Forgetter, updater: Updater, settings: Settings
) -> tuple[Duty, ...]:
    """List what falls due by itself, the most urgent first."""
    return (
        Expiring(gate),
        Reaping(gate, forgetter, settings.expired_kept),
        Folding(gate.vault),
        Fading(gate, updater, settings.decay),
    )


def _inner(
    gate: Gate,
    adder: Adder,
    updater: Updater,
    forgetter: Forgetter,
    evictor: Evictor,
    keeper: BlobKeeper,
    loader: Loader,
    runtime: LocalModel | None,
) -> Inner:
    quotas, activator = Quotas(gate.registry), Activator(gate, adder, keeper, loader, evictor)
    return Inner(
        activator=activator,
        chooser=Chooser(gate, quotas),
        distiller=Distiller(gate, adder, updater, keeper, evictor),
        injector=Injector(gate, loader, quotas),
        keeper=keeper,
        loader=loader,
        promoter=Promoter(gate, activator, forgetter),
        reader=Reader(gate, loader, quotas),
        runtime=runtime,
    )


def _pages(
    indexer: PlaintextIndexer, analyzer: Analyzer, settings: Settings, vault: Vault
) -> Follower[Entry, PageView]:
    pages = PageCache[Followable[Entry, PageView]](settings.page_budget_bytes)
    return Follower(
        "plaintext", indexer.describe, RealmPage, pages, vault.presence, wiped=analyzer.clear
    )


def _fingerprints(
    indexer: PlaintextIndexer, settings: Settings, vault: Vault
) -> Follower[Traced, FingerprintPage]:
    budget = settings.page_budget_bytes // 4
    return Follower(
        "fingerprints",
        lambda found: fingerprinted(indexer, found),
        lambda realm_id, _dims: FingerprintPage(realm_id),
        PageCache(budget),
        vault.presence,
    )
