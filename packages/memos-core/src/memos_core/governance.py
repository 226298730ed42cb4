"""Governance: the verbs of whoever answers for a space. Get them from `session.governance`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from memos_core.cube import Trust
from memos_core.infrastructure.backup.envelope import check_key
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.grants import Grant
from memos_core.infrastructure.governance.sources import Quarantine
from memos_core.operation.engine import Engine
from memos_core.operation.explaining import Asked, Explanation
from memos_core.operation.gate import EVERYWHERE, Ref, check_ref
from memos_core.operation.quotas import Quota, check_quota
from memos_core.operation.retention import Hold
from memos_core.results import BackupReport


class Governance:
    """Explaining, quarantine, trust, holds and quotas, under the session's rights.

    Administrative power is a grant like any other: each verb needs GOVERN on what it is about, and
    leaves its entry in the ledger.

    Example:
        >>> from memos_core.testing import temporary_memos
        >>> with temporary_memos() as memos:
        ...     alice = memos.session("user:alice")
        ...     cube = alice.add("Tea, no milk.")
        ...     alice.governance.explain("user:bob", "read", cube.id).missing
        ("user:bob may not read user:alice for 'assist'",)
    """

    def __init__(self, engine: Engine, actor: Actor) -> None:
        self._engine = engine
        self._actor = actor

    def explain(
        self, principal: str, action: Asked, on: Ref, *, purpose: str | None = None
    ) -> Explanation:
        """Say which grants allow a principal something, or what is missing.

        Args:
            principal: About whom: oneself, or anybody on what one governs.
            action: `read`, `write`, `derive`, `share` or `govern`; one or several.
            on: A memory's id, a `Key`, a space, or `*` for every shared space.
            purpose: For which purpose; the session's by default.

        Raises:
            NotFoundError: There is no such memory that the session may read or govern.
            DeniedError: It is about another principal, and the session does not govern that.
        """
        return self._engine.explainer.explain(self._actor, principal, action, on, purpose)

    def grants(self, *, on: str | None = None) -> list[Grant]:
        """List the standing grants: those given to this principal, and those on what it governs.

        Args:
            on: Only those on just this space or memory; `*` for those on every shared space.
        """
        return self._engine.explainer.grants(self._actor, on)

    def quarantine(self, source: str, *, on: str = EVERYWHERE, reason: str = "") -> Quarantine:
        """Hide all that a source brought, and all that was derived from it, until it is released.

        Args:
            source: A principal, or an origin such as `import:notes.md`.
            on: The subtree where it counts. `*`, which needs GOVERN on every shared space, is the
                whole vault: personal spaces too, for it opens nothing to anybody.
            reason: Why.

        Raises:
            DeniedError: The session does not govern that.
        """
        return self._engine.policing.quarantine(self._actor, source, on, reason)

    def release(self, quarantine: Quarantine | str) -> None:
        """End a quarantine: what it hid is there again, unless another one hides it.

        Raises:
            NotFoundError: There is no such quarantine that the session may release.
        """
        wanted = quarantine.id if isinstance(quarantine, Quarantine) else str(check_ref(quarantine))
        self._engine.policing.release(self._actor, wanted)

    def set_trust(self, source: str, level: Trust | str) -> None:
        """Set how far a source is trusted, for all that it ever brought; `normal` if never set.

        Args:
            source: A principal, or an origin.
            level: `low`, `normal` or `high`.

        Raises:
            DeniedError: The session does not govern the vault.
        """
        self._engine.policing.set_trust(self._actor, source, Trust.parse(level))

    def hold(self, on: str, *, reason: str = "", until: datetime | None = None) -> Hold:
        """Forbid forgetting: a hold beats `forget`, and says so.

        Args:
            on: A space and all under it, `*` for every shared space, or a memory's id.
            reason: Why.
            until: When it ends by itself.

        Raises:
            DeniedError: The session does not govern that.
            NotFoundError: There is no such memory that the session may read or govern.
        """
        return self._engine.retention.hold(self._actor, on, reason, until)

    def lift(self, hold: Hold | str) -> None:
        """End a hold.

        Raises:
            NotFoundError: There is no such hold that the session may lift.
        """
        wanted = hold.id if isinstance(hold, Hold) else str(check_ref(hold))
        self._engine.retention.lift(self._actor, wanted)

    def backup(
        self,
        path: str | Path,
        *,
        key: str | bytes | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> BackupReport:
        """Write the whole vault, as it stands, into a new file; everybody goes on working.

        It holds every memory and the vault's private signing keys, so give it a key unless it lies
        as safely as the vault itself. A checkpoint is taken with it and told to the anchors:
        `MemOS.restore` asks them what was forgotten and revoked since.

        Args:
            path: A file that is not there yet.
            key: Encrypts and authenticates it: a passphrase of at least 12 characters, or 32 bytes.
            progress: Told how many bytes are done, and of how many.

        Raises:
            DeniedError: The session does not govern the vault.
            InvalidInputError: The file is there already, or the key is too short.
            AnchorError: An anchor failed; nothing was written.
            FullError: The disk is full; nothing was kept.

        Example:
            >>> from tempfile import TemporaryDirectory
            >>> from memos_core import MemOS
            >>> from memos_core.testing import HashingEmbedder, temporary_memos
            >>> with TemporaryDirectory() as folder, temporary_memos() as memos:
            ...     _ = memos.session("user:alice").add("Tea, no milk.")
            ...     owner = memos.session("user:owner")
            ...     report = owner.governance.backup(f"{folder}/one", key="a long passphrase")
            ...     _ = MemOS.restore(
            ...         report.path, f"{folder}/vault", key="a long passphrase",
            ...         without_anchor="what was forgotten or revoked since may come back")
            ...     with MemOS.open(f"{folder}/vault", embedder=HashingEmbedder()) as again:
            ...         again.session("user:alice").search("tea").texts
            ['Tea, no milk.']
        """
        chosen = check_key(key)
        tell = progress or (lambda _done, _total: None)
        return self._engine.backups.take(self._actor, Path(path), chosen, tell)

    def set_quota(
        self,
        subject: str,
        *,
        cubes: int | None = None,
        size_bytes: int | None = None,
        reads_per_day: int | None = None,
    ) -> Quota:
        """Limit what a principal owns and reads, or what a shared space holds.

        What is over a new limit already stays; nothing more is taken in.

        Args:
            subject: A principal, or a space and all under it.
            cubes: The most memories; None is without limit, here and below.
            size_bytes: The most bytes of headers and contents, all versions together.
            reads_per_day: The most reads within 24 hours; for principals.

        Returns:
            The quota, with what is used of it.

        Raises:
            DeniedError: The session does not govern the vault.
        """
        limits = check_quota(subject, cubes, size_bytes, reads_per_day)
        return self._engine.policing.set_quota(self._actor, subject, limits)
