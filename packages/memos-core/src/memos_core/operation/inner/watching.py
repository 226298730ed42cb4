"""Watching: asking again, before and while a model writes, whether it may still use a memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from memos_core.cube import CubeId, MemCube
from memos_core.errors import ConflictError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.vault import journal
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.operation.gate import Gate, Refusal
from memos_core.operation.inner.finding import is_enabled

VERB: Final = "memos.inject"


class Watch:
    """Asks again whether memories may still be used, and reads them only if anything has moved.

    Args:
        gate: Decides and records.
        actor: Who uses them.
        ids: The memories, and those that they were derived from.
        adapters: Those of them that must be switched on.
        whole: Those that must still be seen as wholes.
    """

    def __init__(
        self,
        gate: Gate,
        actor: Actor,
        ids: Iterable[CubeId],
        adapters: Iterable[CubeId] = (),
        whole: Iterable[CubeId] = (),
    ) -> None:
        self._gate = gate
        self._actor = actor
        self._ids = tuple(ids)
        self._adapters = tuple(adapters)
        self._whole = frozenset(whole)
        self._realms: tuple[str, ...] = ()
        self._seen: tuple[int, tuple[tuple[str, int], ...]] | None = None
        self._end: int | None = None

    def check(self) -> None:
        """Raise unless all of them may still be used.

        Raises:
            NotFoundError: One was forgotten, has ended, or may not be read any more.
            ConflictError: An adapter was switched off.
        """
        if not self._ids:
            return
        with self._gate.snapshot(self._actor, VERB) as tx:
            ended = self._end is not None and tx.now >= self._end
            if self._seen is None or ended or self._seen != self._place(tx):
                self._look(tx)

    def _place(self, tx: Transaction) -> tuple[int, tuple[tuple[str, int], ...]]:
        return tx.epoch, tuple(sorted(journal.positions(tx, self._realms).items()))

    def _look(self, tx: Transaction) -> None:
        records = [self._gate.readable(tx, self._actor, each) for each in self._ids]
        for record in records:
            cube = self._gate.shown(tx, self._actor, record)
            if cube.id in self._adapters:
                check_enabled(cube)
            if cube.id in self._whole and cube.meta.redacted:
                raise self._gate.nothing(cube.id, cube.id)  # not what was recollected
        found = [each.cube for each in records]
        self._realms = tuple(sorted({each.realm_id for each in found}))
        self._seen = self._place(tx)
        rights = self._gate.access(tx, self._actor).rights
        ends = [rights.next_end(tx.now), *(each.expires for each in found)]
        self._end = min((each for each in ends if each is not None), default=None)


def check_enabled(cube: MemCube) -> CubeId:
    """Refuse an adapter that is not switched on.

    Raises:
        Refusal: It is off.
    """
    if not is_enabled(cube):
        error = ConflictError(f"adapter {cube.id} is not enabled: session.enable does that")
        raise Refusal(error, "denied", cube.id, "enabled")
    return cube.id
