"""Snapshots: named instants of a space, and going back to one. See `session.snapshots`."""

from __future__ import annotations

from datetime import datetime

from memos_core.clock import require_aware
from memos_core.draft import MAX_KEY, check_name, check_reason
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.governance.names import check_space
from memos_core.operation.engine import Engine
from memos_core.operation.lifecycle.rewinding import Rewound
from memos_core.operation.lifecycle.snapshotting import Snapshot


class Snapshots:
    """The Time Machine of a space: name how it stands, and take it back to that.

    A snapshot is a name for an instant and costs nothing: every version is kept anyway. Looking at
    it is `session.at(snapshot.when)`.

    Example:
        >>> from memos_core.testing import temporary_memos
        >>> with temporary_memos() as memos:
        ...     alice = memos.session("user:alice")
        ...     cube = alice.add("The boat leaves at nine.")
        ...     before = alice.snapshots.take("before the storm")
        ...     _ = alice.update(cube.id, "The boat does not leave.")
        ...     _ = alice.add("Nobody knows when it will.")
        ...     _ = alice.snapshots.restore(before)
        ...     alice.search("boat").texts
        ['The boat leaves at nine.']
    """

    def __init__(self, engine: Engine, actor: Actor) -> None:
        self._engine = engine
        self._actor = actor

    def take(self, name: str, *, space: str | None = None, reason: str = "") -> Snapshot:
        """Name this instant of a space and all under it.

        Args:
            name: What it is called; no other snapshot of the space is.
            space: Which space; the session's by default.
            reason: Why.

        Raises:
            DeniedError: The session may not write there.
            ConflictError: The space has a snapshot of this name.
        """
        check_name(name, "snapshot", MAX_KEY)
        asked = (self._space(space), name, check_reason(reason))
        return self._engine.snapshotter.take(self._actor, *asked)

    def list(self, *, space: str | None = None) -> list[Snapshot]:
        """List the snapshots of the spaces that the session may read, oldest first.

        Args:
            space: Only those of this space, and of what lies under it.
        """
        wanted = None if space is None else check_space(space)
        return self._engine.snapshotter.listed(self._actor, wanted)

    def drop(self, name: str, *, space: str | None = None) -> None:
        """Forget the name of an instant; what was recorded then stays as it is.

        Raises:
            NotFoundError: There is no such snapshot that the session may drop.
        """
        self._engine.snapshotter.drop(self._actor, self._space(space), name)

    def restore(
        self, to: Snapshot | str | datetime, *, space: str | None = None, reason: str = ""
    ) -> Rewound:
        """Take a space back to how it was: each change is a new version, so it can be undone.

        What has changed since gets the content and description that it had; what was added since
        is archived; what was archived since comes out of the archive. What governs a memory stays
        as it is now, what was forgotten or has expired stays gone, what is frozen stays as it is,
        and what the session may not read is left alone.

        Args:
            to: A snapshot, its name, or an instant.
            space: Which space, with all under it: the snapshot's, else the session's.
            reason: Why, for the history.

        Raises:
            NotFoundError: There is no such snapshot of a space that the session may read.
            DeniedError: The session may not write there.
            ConflictError: The memories kept changing meanwhile.
            InvalidInputError: The instant is naive or in the future.
        """
        if isinstance(to, Snapshot):
            where, when = (to.space if space is None else check_space(space)), to.when
        else:
            where = self._space(space)
            if isinstance(to, datetime):
                when = require_aware(to, "to")
            else:
                when = self._engine.snapshotter.find(self._actor, where, str(to)).when
        return self._engine.rewinder.rewind(self._actor, where, when, check_reason(reason))

    def _space(self, space: str | None) -> str:
        return self._actor.home if space is None else check_space(space)
