"""MemOS: opens a vault, wires its layers, hands out sessions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import Self

from memos_core.clock import Clock, Entropy, SystemClock, SystemEntropy
from memos_core.errors import DeniedError, VaultError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import ALL_ACTIONS, ANY_PURPOSE, ROOT
from memos_core.infrastructure.governance.grants import Award, Grants
from memos_core.infrastructure.governance.names import check_principal, check_purpose, check_space
from memos_core.infrastructure.governance.registry import Registry
from memos_core.infrastructure.index.analysis import Analyzer
from memos_core.infrastructure.index.cache import PageCache
from memos_core.infrastructure.index.follower import Follower
from memos_core.infrastructure.ledger import Event, Ledger, Verdict
from memos_core.infrastructure.vault.database import Database
from memos_core.infrastructure.vault.doctor import Diagnosis, examine
from memos_core.infrastructure.vault.layout import find_vault
from memos_core.infrastructure.vault.vault import Vault
from memos_core.memory.plaintext import PlaintextIndexer
from memos_core.models.embedder import Embedder
from memos_core.operation.embedding import Embedding
from memos_core.operation.engine import Engine
from memos_core.operation.gate import Gate
from memos_core.operation.governing import Governing
from memos_core.operation.lifecycle.adding import Adder
from memos_core.operation.lifecycle.forgetting import Forgetter
from memos_core.operation.lifecycle.labelling import Labeller
from memos_core.operation.lifecycle.updating import Updater
from memos_core.operation.retrieval.recall import Recall
from memos_core.session import Session
from memos_core.settings import Settings


class MemOS:
    """One open vault. A context manager; `close` it, or use it in a `with` block.

    In process, identity is asserted by the host program: whoever can call `session` can act as
    anybody. Servers take the principal from a credential.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from memos_core.testing import HashingEmbedder
        >>> with TemporaryDirectory() as folder:
        ...     with MemOS.open(f"{folder}/vault", embedder=HashingEmbedder()) as memos:
        ...         print(memos.session("user:alice").space)
        user:alice
    """

    def __init__(self, vault: Vault, *, embedder: Embedder | None, settings: Settings) -> None:
        self._vault = vault
        self._ledger = Ledger(vault)
        self._acting: ContextVar[Session | None] = ContextVar("memos_acting", default=None)
        self._engine = _wire(vault, self._ledger, embedder, settings)
        self._closed = False

    @classmethod
    def open(
        cls,
        url: str | Path,
        *,
        embedder: Embedder | None = None,
        settings: Settings | None = None,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> MemOS:
        """Open the vault in a directory, making it if there is none.

        Args:
            url: A local directory: a vault, an empty one, or one that does not exist yet.
            embedder: What makes vectors; by default the one that the vault was made with, or for a
                new vault MiniLM.
            settings: Limits and budgets, and the owner of a new vault.
            clock: What tells the time; for tests and simulations.
            entropy: Where ids and keys come from; for tests.

        Raises:
            VaultError: The directory is something else, or on a network file system.
            SchemaError: A newer MemOS made the vault.
            EmbedderError: The vault was made with another embedder.
        """
        chosen = settings or Settings()
        owner = check_principal(chosen.owner)
        directory = find_vault(url)
        try:
            directory.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise VaultError(f"the vault's directory cannot be made: {error}") from error
        database = Database(
            directory.database,
            busy_timeout_s=chosen.busy_timeout_s,
            durable=chosen.durable_effects,
            checkpoint_bytes=chosen.checkpoint_bytes,
        )
        vault = Vault.open(
            directory, database, clock=clock or SystemClock(), entropy=entropy or SystemEntropy()
        )
        memos = cls(vault, embedder=embedder, settings=chosen)
        memos._found(owner, embedder)
        return memos

    def session(
        self, principal: str, *, space: str | None = None, purpose: str = "assist"
    ) -> Session:
        """Open a session: who acts, where, what for. Nothing can change it later.

        Args:
            principal: `user:…`, `agent:…` or `app:…`; a group does not act.
            space: Binds the session to this subtree: it reads and writes there and nowhere else.
                Without it, the session writes to the principal's own space and reads all that the
                vault lets the principal read.
            purpose: What for; grants and memories name the purposes that they are for.

        Raises:
            InvalidInputError: A name is malformed.
        """
        check_principal(principal, may_be_group=False)
        if space is not None:
            check_space(space)
        actor = Actor(principal, space or principal, space, check_purpose(purpose))
        return Session(self._engine, actor)

    @contextmanager
    def acting(self, session: Session) -> Iterator[None]:
        """Make a session the one that `current` returns, in this thread or task.

        Args:
            session: Who acts within the block.
        """
        token = self._acting.set(session)
        try:
            yield
        finally:
            self._acting.reset(token)

    def current(self) -> Session:
        """Return the session that acts here.

        Raises:
            DeniedError: None does: unset refuses.
        """
        session = self._acting.get()
        if session is None:
            raise DeniedError("nobody is acting: wrap the call in `with memos.acting(session)`")
        return session

    def verify_ledger(self) -> Verdict:
        """Check every link of the audit ledger."""
        return self._ledger.verify()

    def diagnose(self) -> Diagnosis:
        """Examine the vault: the database, every memory's seal, every journal."""
        return examine(self._vault)

    def close(self) -> None:
        """Close the vault's files. Sessions of it cannot be used afterwards."""
        if not self._closed:
            self._closed = True
            self._vault.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _found(self, owner: str, embedder: Embedder | None) -> None:
        """Give a new vault's shared spaces their first governor: a grant like any other.

        A vault is new as long as its ledger is empty, so one whose making was cut off is finished.
        """
        registry = self._engine.gate.registry
        with self._vault.read() as tx:
            if tx.last_time:
                return
        with self._vault.effect() as tx:
            if tx.last_time:  # another process was faster
                return
            if embedder is not None:
                self._vault.adopt_embedder(tx, embedder.name, embedder.dims)
            owner_id = registry.ensure_principal(tx, owner)
            award = Award(owner, ALL_ACTIONS, ROOT, None, (ANY_PURPOSE,), None)
            grant = Grants(self._vault, registry).give(tx, award, by=owner_id)
            event = Event("memos.init", owner_id, "allowed", "assist", grant.id)
            self._ledger.append(tx, [event])


def _wire(vault: Vault, ledger: Ledger, embedder: Embedder | None, settings: Settings) -> Engine:
    registry = Registry(vault.mint)
    gate = Gate(vault, registry, ledger)
    analyzer = Analyzer()
    embedding = Embedding(embedder, vault)
    labeller = Labeller(registry)
    updater = Updater(gate, embedding, labeller, settings)
    forgetter = Forgetter(gate)
    follower = Follower(PlaintextIndexer(analyzer).describe, PageCache(settings.page_budget_bytes))
    return Engine(
        gate=gate,
        adder=Adder(gate, embedding, labeller, updater, forgetter, settings),
        updater=updater,
        forgetter=forgetter,
        recall=Recall(gate, follower, embedding, analyzer, settings),
        governing=Governing(gate, Grants(vault, registry), labeller),
        settings=settings,
    )
