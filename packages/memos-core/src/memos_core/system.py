"""MemOS: opens a vault, wires its layers, hands out sessions."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from memos_core.clock import Clock, Entropy, SystemClock, SystemEntropy, from_micros
from memos_core.cube import MemCube
from memos_core.errors import BusyError, DeniedError, IntegrityError, MemosError, VaultError
from memos_core.infrastructure.backup.envelope import check_key
from memos_core.infrastructure.backup.staging import unpacked
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.decision import ALL_ACTIONS, ANY_PURPOSE, ROOT
from memos_core.infrastructure.governance.detection.detector import Detector
from memos_core.infrastructure.governance.detection.patterns import PatternDetector
from memos_core.infrastructure.governance.grants import Award, Grants
from memos_core.infrastructure.governance.names import check_principal, check_purpose, check_space
from memos_core.infrastructure.ledger import (
    Anchor,
    Checkpoints,
    Event,
    Keyring,
    Ledger,
    Verdict,
)
from memos_core.infrastructure.ledger.anchors import check_anchors
from memos_core.infrastructure.ledger.publishing import Publisher
from memos_core.infrastructure.vault.database import Database
from memos_core.infrastructure.vault.doctor import Diagnosis, examine
from memos_core.infrastructure.vault.layout import find_vault
from memos_core.infrastructure.vault.room import Room
from memos_core.infrastructure.vault.tasks import given_up, revive
from memos_core.infrastructure.vault.vault import Vault
from memos_core.models.embedder import Embedder
from memos_core.operation.auditing import VAULT_ITSELF
from memos_core.operation.signing import Signer
from memos_core.operation.upkeep.worker import Worker
from memos_core.results import GivenUp, Maintenance, RestoreReport
from memos_core.session import Session
from memos_core.settings import Settings
from memos_core.wiring import wire

if TYPE_CHECKING:
    from memos_core.memory.runtime import LocalModel


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

    def __init__(
        self,
        vault: Vault,
        *,
        embedder: Embedder | None,
        settings: Settings,
        detector: Detector | None = None,
        anchors: Sequence[Anchor] = (),
        runtime: LocalModel | None = None,
    ) -> None:
        self._vault = vault
        self._ledger = Ledger(vault)
        self._keyring = Keyring(vault)
        self._anchors = tuple(anchors)
        self._acting: ContextVar[Session | None] = ContextVar("memos_acting", default=None)
        checkpoints = Checkpoints(self._keyring)
        self._engine = wire(
            vault,
            self._ledger,
            self._keyring,
            Publisher(vault, checkpoints, self._anchors),
            embedder,
            settings,
            detector or PatternDetector(),
            runtime,
        )
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
        detector: Detector | None = None,
        anchors: Sequence[Anchor] = (),
        runtime: LocalModel | None = None,
    ) -> MemOS:
        """Open the vault in a directory, making it if there is none.

        Args:
            url: A local directory: a vault, an empty one, or one that does not exist yet.
            embedder: What makes vectors; by default the one that the vault was made with, or for a
                new vault MiniLM.
            settings: Limits and budgets, and the owner of a new vault.
            clock: What tells the time; for tests and simulations.
            entropy: Where ids and keys come from; for tests.
            detector: What finds sensitive spans in texts that are added; patterns by default.
            anchors: Where signed checkpoints of the ledger are kept outside the vault; one is
                published when it is closed.
            runtime: The local model for activation and parametric memory, where none is named.

        Raises:
            InvalidInputError: An anchor lies within the vault's own directory.
            VaultError: The directory is something else, or on a network file system.
            SchemaError: A newer MemOS made the vault.
            EmbedderError: The vault was made with another embedder.
        """
        chosen = settings or Settings()
        owner = check_principal(chosen.owner)
        directory = find_vault(url)
        check_anchors(anchors, directory.root)
        try:
            directory.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise VaultError(f"the vault's directory cannot be made: {error}") from error
        database = Database(
            directory.database,
            busy_timeout_s=chosen.busy_timeout_s,
            durable=chosen.durable_effects,
            checkpoint_bytes=chosen.checkpoint_bytes,
            room=Room(
                directory.database,
                reserve_bytes=chosen.reserve_bytes,
                max_bytes=chosen.max_vault_bytes,
            ),
        )
        vault = Vault.open(
            directory, database, clock=clock or SystemClock(), entropy=entropy or SystemEntropy()
        )
        try:
            memos = cls(
                vault,
                embedder=embedder,
                settings=chosen,
                detector=detector,
                anchors=anchors,
                runtime=runtime,
            )
            memos._found(owner, embedder)
        except BaseException:  # nobody else has the vault yet, so nobody else would close it
            vault.close()
            raise
        return memos

    @classmethod
    def restore(
        cls,
        backup: str | Path,
        into: str | Path,
        *,
        key: str | bytes | None = None,
        anchors: Sequence[Anchor] = (),
        without_anchor: str = "",
        progress: Callable[[int, int], None] | None = None,
        clock: Clock | None = None,
    ) -> RestoreReport:
        """Make a vault from a backup, and take back again what was taken back since.

        What the anchors tell of is done before anybody can open the vault: what was forgotten goes,
        grants and memberships that ended end, sources in quarantine are hidden, and a memory that
        fewer may read by now is hidden until it is labelled anew.

        Args:
            backup: A file that `session.governance.backup` wrote.
            into: Where the vault will be: a folder that is not there yet, or an empty one.
            key: As it was taken with.
            anchors: Where the vault kept its checkpoints.
            without_anchor: To restore without them, say: "what was forgotten or revoked since may
                come back".
            progress: Told how many bytes are done, and of about how many.
            clock: What tells the time; for tests and simulations.

        Raises:
            InvalidInputError: No anchor knows the backup; or a path or the key is not right.
            IntegrityError: The backup or what the anchors keep was changed.
            FullError: The disk is full; nothing was restored.
        """
        target = Path(into).expanduser().absolute()
        check_anchors(anchors, target)
        tell = progress or (lambda _done, _total: None)
        with unpacked(Path(backup), target, check_key(key), tell) as staging:
            with cls.open(staging, clock=clock) as memos:
                report = memos._restored(anchors, without_anchor)
            for name in ("readers", "vault.lock"):  # of this process, and this place
                _remove(staging / name)
        if not report.notes:  # the vault is in its place: now the anchors may know
            cls.open(target, clock=clock, anchors=anchors).close()
        return replace(report, path=str(target))

    def _restored(self, anchors: Sequence[Anchor], without_anchor: str) -> RestoreReport:
        """Carry out again what was withdrawn after the backup, and check what came of it."""
        problems = self._vault.database.check_integrity()
        if problems:
            raise IntegrityError(f"the backup's database is damaged: {problems[0]}")
        report = self._engine.restorer.restore(anchors, without_anchor)
        if self.maintain().pending:
            raise BusyError("another process opened the vault while it was being restored")
        asked, key = (anchors if not report.notes else ()), None
        verdict = self.verify_ledger(anchors=asked)
        if verdict.status == "broken":  # perhaps only for a new key that none of the old endorses
            with self._vault.read() as tx:
                key = self._keyring.current(tx).public
            verdict = self.verify_ledger(anchors=asked, trusted_key=key)
        if verdict.status == "broken":
            raise IntegrityError(f"the backup's ledger does not hold: {verdict.problems[0]}")
        return replace(report, ledger=verdict.status, trusted_key=key)

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

    def verify_ledger(
        self, *, anchors: Sequence[Anchor] | None = None, trusted_key: str | None = None
    ) -> Verdict:
        """Check every link of the audit ledger, and what the anchors keep of it.

        Args:
            anchors: Where checkpoints are kept outside the vault; by default the vault's anchors.
            trusted_key: 64 hex digits: a public key of the vault that is known from elsewhere;
                without it the key of the first anchored checkpoint is trusted.

        Returns:
            `untampered` up to an anchored checkpoint, `self-consistent` where nothing is anchored,
            or `broken`, with the reasons.
        """
        return self._engine.auditor.verify(anchors, trusted_key)

    def verify_signature(self, cube: MemCube) -> bool:
        """Tell whether this vault signed exactly this origin and content: the paper's watermark.

        Args:
            cube: A whole memory, wherever it was found, as `to_json` wrote it. One that was shown
                in part bears no signature.
        """
        with self._vault.read() as tx:
            return Signer(self._keyring).holds(tx, cube)

    def diagnose(self) -> Diagnosis:
        """Examine the vault: the database, every memory's seal, every journal, the keys."""
        return examine(self._vault, self._keyring, self._engine.inner.keeper.check)

    def maintain(
        self,
        *,
        keeper: Session | None = None,
        stop: Callable[[], bool] = lambda: False,
        progress: Callable[[str, int], None] = lambda _kind, _done: None,
    ) -> Maintenance:
        """Do what is due: expiry, decay, counting uses, and bringing erasures to their end.

        Any process may, as often as it likes, and any number at once: each task is done once.

        Args:
            keeper: Who may read memories to organize them, where anybody may: that is done under
                the rights of this session, and left where there is none.
            stop: Asked between tasks; once it says so, the rest is left to others.
            progress: Told the kind of each task that was handled, and how many were done of it.

        Returns:
            What was done, what is still pending, and what was given up, and why.
        """
        self._engine.gate.refuse_in_pipeline("maintenance")
        duties = [*self._engine.duties, *([] if keeper is None else keeper._duties())]
        tally = Worker(self._engine.gate, duties).run(stop=stop, progress=progress)
        erased = self._engine.eraser.finish()
        with self._vault.read() as tx:
            left = tuple(
                GivenUp(each.kind, each.subject, each.attempts, from_micros(each.dead), each.error)
                for each in given_up(tx)
                if each.dead is not None
            )
        return replace(erased, done=tally.done, failed=tally.failed, given_up=left)

    def try_again(self) -> int:
        """Let tasks that were given up be tried again; return how many those are."""
        with self._vault.effect() as tx:
            return revive(tx)

    def let_go(self) -> None:
        """Let go of all tensors that this process holds for its models; uses go on to their end."""
        self._engine.inner.loader.close()

    def close(self) -> None:
        """Close the vault's files. Sessions of it cannot be used afterwards.

        Where there are anchors, a last checkpoint is taken and published, and what can be is
        erased; if that fails, it is a warning, and the next one makes up for it.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._engine.eraser.finish()
            if self._anchors:
                self._engine.auditor.seal()
        except (MemosError, OSError) as error:
            warnings.warn(f"no last checkpoint was published: {error}", stacklevel=2)
        finally:
            self._engine.inner.loader.close()
            self._vault.close()

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
        One that was made before vaults had signing keys is given its first.
        """
        registry = self._engine.gate.registry
        with self._vault.read() as tx:
            if tx.last_time and self._keyring.keys(tx):
                return
        with self._vault.effect() as tx:
            key = self._keyring.ensure(tx)
            if tx.last_time:  # it was made before, or another process was faster
                if key is not None:
                    by = registry.ensure_principal(tx, VAULT_ITSELF)
                    made = Event("memos.key.create", by, "allowed", "assist", data={"key": key.id})
                    self._ledger.append(tx, [made])
                return
            if embedder is not None:
                self._vault.adopt_embedder(tx, embedder.name, embedder.dims)
            owner_id = registry.ensure_principal(tx, owner)
            award = Award(owner, ALL_ACTIONS, ROOT, None, (ANY_PURPOSE,), None)
            grant = Grants(self._vault, registry).give(tx, award, by=owner_id)
            event = Event("memos.init", owner_id, "allowed", "assist", grant.id)
            self._ledger.append(tx, [event])


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
