"""Injecting: giving a model the memory that a session recalled, for one generation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import JsonValue

from memos_core.cube import CubeId
from memos_core.infrastructure.governance.actor import Actor
from memos_core.memory.injection import Injection
from memos_core.operation.gate import Gate
from memos_core.operation.inner.watching import VERB, Watch

if TYPE_CHECKING:
    from memos_core.memory.runtime import LocalModel


@dataclass(frozen=True, slots=True)
class Recollection:
    """What a session chose for a model.

    Args:
        text: What is said in words.
        ids: The memories behind it.
    """

    text: str
    ids: tuple[CubeId, ...]


class Injector:
    """Gives models what sessions chose for them, as long as they may use it.

    Args:
        gate: Decides and records.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def given(self, actor: Actor, chosen: Recollection) -> GivenMemory:
        """Return what a model can be given."""
        return GivenMemory(self, actor, chosen)

    @contextmanager
    def opened(self, actor: Actor, chosen: Recollection, model: LocalModel) -> Iterator[Injection]:
        """Make a recollection ready for one generation."""
        del model  # text is for every model
        watch = Watch(self._gate, actor, chosen.ids)
        watch.check()
        if chosen.ids:
            data: dict[str, JsonValue] = {"cubes": list(chosen.ids)}
            with self._gate.effect(actor, VERB, durable=False) as tx:
                self._gate.note(tx, actor, VERB, data=data)
        yield Injection(chosen.text, check=watch.check)


@dataclass(frozen=True, slots=True)
class GivenMemory:
    """A recollection that belongs to a session; a `Memory` for `LocalModel.generate`."""

    injector: Injector
    actor: Actor
    chosen: Recollection

    @contextmanager
    def opened(self, model: LocalModel) -> Iterator[Injection]:
        """Make it ready for one generation by this model; the session's rights decide, now."""
        with self.injector.opened(self.actor, self.chosen, model) as given:
            yield given
