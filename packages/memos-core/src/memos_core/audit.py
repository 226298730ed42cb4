"""Audit: the verbs of the ledger, under the rights of a session. Get them from `session.audit`."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from memos_core.draft import check_reason
from memos_core.errors import InvalidInputError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.ledger.checkpoint import SignedCheckpoint
from memos_core.infrastructure.ledger.export import ExportReport
from memos_core.infrastructure.ledger.keys import SigningKey
from memos_core.operation.auditing import LogQuery
from memos_core.operation.engine import Engine
from memos_core.operation.gate import Ref, check_ref
from memos_core.results import ForgetReport, LogEntry, Page, PruneReport


class Audit:
    """Asking what happened, and proving it.

    Everybody may ask; the answer is what the session may see. The other verbs need GOVERN on the
    shared root. Each call leaves its entry in the ledger.

    Example:
        >>> from memos_core.testing import temporary_memos
        >>> with temporary_memos() as memos:
        ...     alice = memos.session("user:alice")
        ...     cube = alice.add("Tea, no milk.")
        ...     [(entry.action, entry.subject == cube.id) for entry in alice.audit.query()]
        [('memos.add', True)]
    """

    def __init__(self, engine: Engine, actor: Actor) -> None:
        self._engine = engine
        self._actor = actor

    def query(
        self,
        *,
        principal: str | None = None,
        cube: Ref | None = None,
        action: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[LogEntry]:
        """Read the log, newest first.

        Shown are the session's own events, those about spaces that it governs, and to who governs
        the shared root those about the vault itself. Nothing that the session may not see moves
        the answer, but for times, which count on where the clock stands still.

        Args:
            principal: Whose events; an erased principal's by its id, `prn_…`.
            cube: Only events about this memory.
            action: Only this verb, such as `add` or `memos.add`.
            since: Not before this instant.
            until: Before this instant.
            limit: The most entries on a page.
            cursor: The `cursor` of the page before.

        Raises:
            NotFoundError: There is no such memory that the session may read or govern.
            DeniedError: The session looks at the past.
            InvalidInputError: A value is malformed.
        """
        most = self._engine.settings.max_k
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= most:
            raise InvalidInputError(f"limit is between 1 and {most}, not {limit!r}")
        ref = None if cube is None else check_ref(cube)
        asked = LogQuery(principal, ref, action, since, until, limit, cursor)
        return self._engine.auditor.query(self._actor, asked)

    def erasure(self, report: ForgetReport | str) -> ForgetReport:
        """Say how far a forgetting has come, after having finished what can be finished.

        Args:
            report: What `forget` returned, or its id.

        Raises:
            NotFoundError: There is none that this principal asked for, or that is its to govern.

        Example:
            >>> from memos_core.testing import temporary_memos
            >>> with temporary_memos() as memos:
            ...     alice = memos.session("user:alice")
            ...     report = alice.forget(alice.add("The code is 4711.").id)
            ...     alice.audit.erasure(report).status
            'erased'
        """
        erasure_id = report.id if isinstance(report, ForgetReport) else str(check_ref(report))
        return self._engine.eraser.report(self._actor, erasure_id)

    def checkpoint(self) -> SignedCheckpoint:
        """Sign where every chain of the ledger stands, and publish it to the vault's anchors.

        Where nothing happened since the last checkpoint, that one is returned; what an anchor
        lacks is sent in any case.

        Raises:
            DeniedError: The session does not govern the shared root.
            AnchorError: An anchor failed; the checkpoint stands, and is sent with the next one.
            IntegrityError: An anchor contradicts the vault, or the private key is missing.
        """
        return self._engine.auditor.checkpoint(self._actor)

    def rotate_key(self, *, revoke: bool = False, reason: str = "") -> SigningKey:
        """Make a new signing key, endorsed by the old one, and take a checkpoint that says so.

        Args:
            revoke: The old key leaked: nothing that it signed is believed any more, but for the
                checkpoints that were taken before.
            reason: Why, for the log.

        Returns:
            The new key. Where the old private key is lost it bears no endorsement, and whoever
            verifies against anchors must be told its public half.

        Raises:
            DeniedError: The session does not govern the shared root.
            AnchorError: An anchor failed; the key was changed.
        """
        if not isinstance(revoke, bool):
            raise InvalidInputError(f"revoke is True or False, not {revoke!r}")
        return self._engine.auditor.rotate(self._actor, revoke=revoke, reason=check_reason(reason))

    def prune(
        self,
        *,
        before_checkpoint: int | None = None,
        older_than: timedelta | None = None,
        export_to: str | Path | None = None,
    ) -> PruneReport:
        """Delete events that a checkpoint covers, and keep its signed heads in their place.

        Args:
            before_checkpoint: All that this checkpoint covers.
            older_than: All that a checkpoint covers which is at least so old.
            export_to: Write the whole ledger into this new file first.

        Returns:
            How many events went, and up to which checkpoint.

        Raises:
            InvalidInputError: Not exactly one of the two is given.
            DeniedError: The session does not govern the shared root.
            NotFoundError: There is no such checkpoint.
            AnchorError: An anchor does not have the checkpoint and cannot be given it.
            IntegrityError: The ledger is broken: nothing was pruned.
        """
        if (before_checkpoint is None) == (older_than is None):
            raise InvalidInputError("name what to prune: before_checkpoint=N, or older_than")
        if before_checkpoint is not None and (
            isinstance(before_checkpoint, bool) or not isinstance(before_checkpoint, int)
        ):
            raise InvalidInputError(f"a checkpoint is a number, not {before_checkpoint!r}")
        if older_than is not None and not (
            isinstance(older_than, timedelta) and older_than >= timedelta()
        ):
            raise InvalidInputError(f"older_than is a timedelta from 0, not {older_than!r}")
        return self._engine.auditor.prune(
            self._actor,
            before_checkpoint=before_checkpoint,
            older_than=older_than,
            export_to=None if export_to is None else Path(export_to),
        )

    def export(self, path: str | Path) -> ExportReport:
        """Write the ledger into a new file of JSON lines; `verify_export` checks it anywhere.

        Args:
            path: A file that is not there yet.

        Raises:
            DeniedError: The session does not govern the shared root.
            InvalidInputError: The file is there already, or its folder is not.
        """
        return self._engine.auditor.export(self._actor, Path(path))
