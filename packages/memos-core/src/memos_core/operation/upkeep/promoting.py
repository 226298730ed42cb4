"""Promoting: what a principal's prompts begin with again and again becomes KV; cold KV is let go.

A principal does this for itself: by what it used, with its own rights, in its own space, so that
nobody learns from a cache what somebody else reads. What a model was given stands in the ledger.
What is used much and does not change is proposed for distillation, and that is all: training needs
a session for that purpose, its grants, and somebody who says how long it may take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pydantic import JsonValue

from memos_core.clock import to_micros
from memos_core.cube import ActivationPayload, CubeId, MemCube, PlaintextPayload
from memos_core.draft import Draft
from memos_core.errors import DamagedError, MemosError
from memos_core.infrastructure.governance.actor import Actor
from memos_core.infrastructure.ledger.reading import Selection, newest_first
from memos_core.infrastructure.vault.vault import Transaction
from memos_core.memory.fence import item_of, render
from memos_core.operation.gate import Gate, Refusal
from memos_core.operation.inner.activating import Activation, Activator
from memos_core.operation.inner.finding import made_of
from memos_core.operation.inner.watching import VERB as GIVEN
from memos_core.operation.lifecycle.forgetting import Forgetter
from memos_core.operation.policies.promotion import Record, Rules, Text, cold, pays, together, used

if TYPE_CHECKING:
    from memos_core.memory.runtime import LocalModel

TAG: Final = "promoted"
PROPOSE: Final = "memos.propose"
_LOOK_BACK: Final = 2_000
"""The most generations that are looked at."""
_LOAD: Final = 0.05
_MAKE: Final = 1.1
"""What loading and making KV cost, as shares of a prefill (`benchmarks.kv`)."""


@dataclass(frozen=True, slots=True)
class Promoted:
    """What became of a principal's memories for a model.

    Args:
        made: KV caches that were made.
        let_go: KV caches that were let go; their sources stay.
        proposed: Memories that are worth distilling.
        notes: What could not be done, and why.
    """

    made: tuple[CubeId, ...] = ()
    let_go: tuple[CubeId, ...] = ()
    proposed: tuple[CubeId, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Facts:
    """What is known: generations with what each was given, the oldest first, and what there is."""

    given: list[tuple[int, tuple[CubeId, ...]]] = field(default_factory=list)
    texts: dict[CubeId, MemCube] = field(default_factory=dict)
    caches: list[MemCube] = field(default_factory=list)
    now: int = 0


class Promoter:
    """Promotes and demotes.

    Args:
        gate: Decides and records.
        activator: Makes KV caches, under their budget.
        forgetter: Lets them go.
    """

    def __init__(self, gate: Gate, activator: Activator, forgetter: Forgetter) -> None:
        self._gate = gate
        self._activator = activator
        self._forgetter = forgetter

    def promote(self, actor: Actor, model: LocalModel, rules: Rules) -> Promoted:
        """Look at what a model was given, and change what pays.

        Args:
            actor: For whom, with whose rights.
            model: The model.
            rules: When it pays.
        """
        facts = self._facts(actor, model)
        notes: list[str] = []
        let_go = self._let_go(actor, facts, rules, notes)
        group = together([each for _time, each in facts.given], known=facts.texts)
        made: tuple[CubeId, ...] = ()
        proposed: tuple[CubeId, ...] = ()
        if group:
            record = self._record(facts, group, model, rules)
            if not _is_made(facts, group, let_go) and pays(*record, rules):
                made = self._made(actor, group, model, notes)
            proposed = self._propose(actor, facts, group, record[1], rules)
        return Promoted(made, let_go, proposed, tuple(notes))

    def _facts(self, actor: Actor, model: LocalModel) -> _Facts:
        facts = _Facts()
        if actor.at is not None:
            return facts
        with self._gate.vault.read() as tx:
            facts.now = tx.now
            principal_id = self._gate.registry.find_principal(tx, actor.principal)
            if principal_id is None:
                return facts
            for batch in newest_first(tx, Selection(principal_id=principal_id, type=GIVEN)):
                facts.given += [
                    (each.time, tuple(each.cubes))
                    for each in batch
                    if each.outcome == "allowed" and each.data.get("model") == model.fingerprint.id
                ]
                if len(facts.given) >= _LOOK_BACK:
                    break
            facts.given = facts.given[:_LOOK_BACK][::-1]
            ids = sorted({each for _time, cubes in facts.given for each in cubes})
            facts.texts = self._texts(tx, actor, ids)
            facts.caches = [
                each
                for each in made_of(tx, self._gate, actor, model.fingerprint.id, list(facts.texts))
                if isinstance(each.payload, ActivationPayload)
            ]
        return facts

    def _texts(self, tx: Transaction, actor: Actor, ids: Sequence[CubeId]) -> dict[CubeId, MemCube]:
        """Read those that are plaintext and that the actor sees as wholes now."""
        found: dict[CubeId, MemCube] = {}
        for each in ids:
            try:
                cube = self._gate.shown(tx, actor, self._gate.readable(tx, actor, each))
            except (Refusal, DamagedError):
                continue
            if isinstance(cube.payload, PlaintextPayload) and not cube.meta.redacted:
                found[each] = cube
        return found

    def _record(
        self, facts: _Facts, group: Sequence[CubeId], model: LocalModel, rules: Rules
    ) -> tuple[Text, Record]:
        """Say what reading some memories as text has cost, in tokens."""
        block = render([item_of(facts.texts[each]) for each in group], "0")
        tokens = float(len(model.tokens(block)))
        text = Text(name=group[0], size=0, prefill=tokens, load=_LOAD * tokens, make=_MAKE * tokens)
        caches = {each.id for each in facts.caches}
        record = Record()
        for time, cubes in facts.given:
            if set(group) <= set(cubes):
                as_kv = bool(caches & set(cubes))
                record = used(record, text, now=time / 1e6, as_kv=as_kv, rules=rules)
        return text, record

    def _made(
        self, actor: Actor, group: Sequence[CubeId], model: LocalModel, notes: list[str]
    ) -> tuple[CubeId, ...]:
        draft = Draft.of("-", {"tags": frozenset({TAG})})
        try:
            cube = self._activator.activate(actor, list(group), model, draft, Activation())
        except MemosError as error:  # no right, no room, or changed meanwhile: the words stay
            notes.append(str(error))
            return ()
        return (cube.id,)

    def _let_go(
        self, actor: Actor, facts: _Facts, rules: Rules, notes: list[str]
    ) -> tuple[CubeId, ...]:
        """Forget the caches made here that nobody has used for long."""
        mine = []
        for cube in facts.caches:
            if TAG in cube.meta.tags and cube.meta.owner == actor.principal:
                times = [time for time, cubes in facts.given if cube.id in cubes]
                when = cube.meta.created
                last = max([*times, 0 if when is None else to_micros(when)])  # type: ignore[arg-type]
                mine.append(
                    (Text(name=cube.id, size=0, prefill=0, load=0, make=0), Record(0, last / 1e6))
                )
        gone: list[CubeId] = []
        for each in cold(mine, now=facts.now / 1e6, rules=rules):
            try:
                self._forgetter.forget(actor, [each], "nobody used it")
            except MemosError as error:  # it is held, or was forgotten meanwhile
                notes.append(str(error))
            else:
                gone.append(each)
        return tuple(gone)

    def _propose(
        self, actor: Actor, facts: _Facts, group: Sequence[CubeId], record: Record, rules: Rules
    ) -> tuple[CubeId, ...]:
        """Record that memories are worth distilling: used much, and never changed."""
        stable = tuple(each for each in group if facts.texts[each].version == 1)
        if not stable or record.uses < rules.distill_after:
            return ()
        with self._gate.effect(actor, PROPOSE, durable=False) as tx:
            data: dict[str, JsonValue] = {"cubes": list(stable)}
            self._gate.note(tx, actor, PROPOSE, data=data)
        return stable


def _is_made(facts: _Facts, group: Sequence[CubeId], gone: Sequence[CubeId]) -> bool:
    """Tell whether a cache begins with all of them already."""
    return any(set(group) <= set(each.meta.lineage) for each in facts.caches if each.id not in gone)
