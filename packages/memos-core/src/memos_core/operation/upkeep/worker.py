"""The reconciler: looks at the vault, finds what should change, and changes it under a lease.

Any number of workers, in any number of processes, may run at once. One that is killed loses
nothing: what it had not committed is undone, and its leases end by themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from time import perf_counter
from typing import Final

from memos_core.errors import MemosError
from memos_core.infrastructure.vault import tasks
from memos_core.infrastructure.vault.tasks import Task
from memos_core.infrastructure.vault.vault import Vault
from memos_core.operation.gate import Gate
from memos_core.operation.upkeep.duty import Duty, LostLeaseError, PostponedError

BATCH: Final = 20
MOST_ATTEMPTS: Final = 8
_FIRST_PAUSE: Final = timedelta(seconds=2)
_LONGEST_PAUSE: Final = timedelta(hours=1)
_ERROR_LENGTH: Final = 200


def pause_after(attempts: int, jitter: float) -> timedelta:
    """Say how long to wait before another attempt: twice as long each time, and never together.

    Args:
        attempts: How often it failed.
        jitter: 0 to 1; chosen anew each time, so that workers do not come back at once.

    >>> pause_after(3, 0.5)
    datetime.timedelta(seconds=8)
    """
    pause: timedelta = min(_FIRST_PAUSE * 2 ** min(attempts - 1, 20), _LONGEST_PAUSE)
    return pause * (0.5 + jitter)


@dataclass(slots=True)
class Tally:
    """What workers did, by kind of duty.

    Args:
        done: How many tasks were done.
        failed: How many attempts failed; those are made again.
        given_up: How many tasks were given up.
        seconds: How long the duty took.
    """

    done: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    given_up: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)


class Worker:
    """Carries out duties.

    Args:
        gate: Opens effects.
        duties: What there is to do, the most urgent first.
        batch: How many tasks are leased at once.
    """

    def __init__(self, gate: Gate, duties: Sequence[Duty], *, batch: int = BATCH) -> None:
        self._vault: Vault = gate.vault
        self._duties = tuple(duties)
        self._batch = batch
        self.tally = Tally()

    def run(
        self,
        *,
        stop: Callable[[], bool] = lambda: False,
        progress: Callable[[str, int], None] = lambda _kind, _done: None,
    ) -> Tally:
        """Work until nothing is due.

        Args:
            stop: Asked between tasks; the leases of the rest are given back.
            progress: Told the kind of each task that was handled, and how many that makes.
        """
        while not stop() and self.step(stop, progress):
            pass
        return self.tally

    def step(self, stop: Callable[[], bool], progress: Callable[[str, int], None]) -> int:
        """Do at most one batch of each duty; return how many tasks were handled."""
        handled = 0
        for duty in self._duties:
            began = perf_counter()
            claimed = self._claim(duty)
            for place, task in enumerate(claimed):
                if stop():
                    self._give_back(claimed[place:])
                    return handled
                self._handle(duty, task)
                handled += 1
                progress(duty.kind, self.tally.done[duty.kind])
            if claimed:
                self.tally.seconds[duty.kind] += perf_counter() - began  # type: ignore[assignment]
        return handled

    def _claim(self, duty: Duty) -> list[Task]:
        """Lease what is due; where nothing is, nothing is written."""
        with self._vault.read() as tx:
            if not (tasks.any_due(tx, duty.kind) or duty.due(tx, 1)):
                return []
        lease = self._vault.mint("lea")
        with self._vault.effect(durable=False) as tx:
            until = tx.now + duty.lease // timedelta(microseconds=1)
            claimed = tasks.claim(tx, duty.kind, lease, until, self._batch)
            room = self._batch - len(claimed)
            found = duty.due(tx, room) if room else ()
            return claimed + tasks.open_tasks(tx, duty.kind, found, lease, until)

    def _handle(self, duty: Duty, task: Task) -> None:
        try:
            duty.carry_out(task)
        except LostLeaseError:
            return  # whoever holds it does it
        except PostponedError as why:
            later = why.by // timedelta(microseconds=1)
            with self._vault.effect(durable=False) as tx:
                tasks.put_back(tx, task, due=tx.now + later, error=str(why), tried=False)
            return
        except Exception as error:  # noqa: BLE001 - a duty that breaks must not stop the others
            self._failed(duty, task, error)
            return
        self.tally.done[duty.kind] += 1

    def _failed(self, duty: Duty, task: Task, error: Exception) -> None:
        # What an unknown error says may hold content; our own say none.
        what = f"{type(error).__name__}: {error}" if isinstance(error, MemosError) else ""
        dead = task.attempts >= MOST_ATTEMPTS
        jitter = int.from_bytes(self._vault.entropy.token(2), "big") / 65_536
        wait = pause_after(task.attempts, jitter) // timedelta(microseconds=1)
        with self._vault.effect(durable=False) as tx:
            said = (what or type(error).__name__)[:_ERROR_LENGTH]
            tasks.put_back(tx, task, due=tx.now + wait, error=said, dead=dead)
        self.tally.failed[duty.kind] += 1
        self.tally.given_up[duty.kind] += dead

    def _give_back(self, left: Sequence[Task]) -> None:
        with self._vault.effect(durable=False) as tx:
            for task in left:
                tasks.put_back(tx, task, due=tx.now, error=task.error, tried=False)
