"""Who may do what: the vault against an independent model of the rules, from two processes.

The model below is written from DESIGN 4.2 in the plainest words, without labels, caches, epochs or
SQL: for each question it looks at every grant, every group and every ancestor again.
"""

from __future__ import annotations

import multiprocessing
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from memos_core import ConflictError, DeniedError, Draft, MemOS, MemosError, NotFoundError, Patch
from memos_core.cube import Sensitivity
from memos_core.testing import HashingEmbedder, ManualClock
from tests.conftest import Proof

PEOPLE = ("user:a", "user:b", "user:c", "agent:d")
GROUPS = ("group:g", "group:h", "group:i")
SPACES = ("acme", "acme/hr", "acme/hr/pay", "beta", "user:a", "user:a/open", "user:b/x")
PURPOSES = ("assist", "train")
ACTIONS = ("read", "write", "derive", "share", "govern")
ORIGINS = ("import:web", "import:mail")


@dataclass
class Given:
    """A grant, as the model keeps it."""

    id: str
    to: str
    actions: frozenset[str]
    on: str
    purposes: frozenset[str]
    until: datetime | None
    basis: str | None
    stands: bool = True


@dataclass
class Memory:
    """A memory, as the model keeps it."""

    id: str
    space: str
    sensitivity: int
    hidden: int
    access: frozenset[str]
    purposes: frozenset[str]
    sources: set[str]
    parents: tuple[str, ...]


@dataclass
class Model:
    """The rules, in the plainest words."""

    now: datetime
    grants: list[Given] = field(default_factory=list)
    members: set[tuple[str, str]] = field(default_factory=set)
    clearances: dict[str, int] = field(default_factory=dict)
    memories: dict[str, Memory] = field(default_factory=dict)
    quarantines: dict[str, tuple[str, str]] = field(default_factory=dict)

    def names(self, who: str) -> set[str]:
        found = {who}
        while True:
            more = {group for group, member in self.members if member in found} - found
            if not more:
                return found
            found |= more

    def under(self, space: str, subtree: str) -> bool:
        if subtree == "*":
            return not space.startswith(("user:", "agent:"))
        return (space + "/").startswith(subtree + "/")

    def holds(self, given: Given, who: str, action: str, purpose: str) -> bool:
        return (
            given.stands
            and given.to in self.names(who)
            and action in given.actions
            and (given.until is None or self.now < given.until)
            and bool({purpose, "*"} & given.purposes)
        )

    def on_space(self, who: str, action: str, space: str, memory: str, purpose: str) -> bool:
        if self.under(space, who):
            return True
        return any(
            self.holds(given, who, action, purpose)
            and (given.on == memory or (given.on[:4] != "mem_" and self.under(space, given.on)))
            for given in self.grants
        )

    def condition(self, who: str, action: str, memory: Memory, purpose: str, level: int) -> bool:
        own = self.under(memory.space, who)
        for source, subtree in self.quarantines.values():
            if source in memory.sources and (subtree == "*" or self.under(memory.space, subtree)):
                return False
        if memory.access and not own and not self.names(who) & memory.access:
            return False
        if memory.purposes and purpose not in memory.purposes:
            return False
        if not own and self.clearances.get(who, 1) < level:
            return False
        return self.on_space(who, action, memory.space, memory.id, purpose)

    def lineage(self, memory: Memory) -> set[str]:
        found: set[str] = set()
        waiting = list(memory.parents)
        while waiting:
            each = waiting.pop()
            if each not in found:
                found.add(each)
                waiting += self.memories[each].parents
        return found

    def passes(self, who: str, action: str, memory: Memory, purpose: str) -> bool:
        """The memory's own condition, and that of everything that it was derived from."""
        return self.condition(who, action, memory, purpose, memory.sensitivity) and all(
            self.condition(who, action, each, purpose, max(each.sensitivity, each.hidden))
            for each in (self.memories[name] for name in self.lineage(memory))
        )

    def may(self, who: str, action: str, memory: Memory, purpose: str) -> bool:
        if action == "govern":
            return self.on_space(who, "govern", memory.space, memory.id, purpose)
        if not self.passes(who, "read", memory, purpose):
            return False
        if action == "write":
            return self.on_space(who, "write", memory.space, memory.id, purpose)
        return self.passes(who, action, memory, purpose)

    def may_grant(self, who: str, on: str, purposes: set[str], until: datetime | None) -> set[str]:
        """Return the ids of the rights that a grant could be given by; `own` is one's own space."""
        memory = self.memories.get(on)
        space = on if memory is None else memory.space
        if memory is not None and not self.may(who, "read", memory, "assist"):
            return set()
        found = {"own"} if space != "*" and self.under(space, who) else set()
        for given in self.grants:
            covers = given.on == on or (
                given.on[:4] != "mem_"
                and (given.on == "*" if space == "*" else self.under(space, given.on))
            )
            lasts = given.until is None or (until is not None and until <= given.until)
            reaches = "*" in given.purposes or purposes <= given.purposes
            if covers and lasts and reaches and self.holds(given, who, "govern", "assist"):
                found.add(given.id)
        return found

    def revoke(self, grant_id: str) -> None:
        for given in self.grants:
            if given.id == grant_id and given.stands:
                given.stands = False
                for other in self.grants:
                    if other.basis == grant_id:
                        self.revoke(other.id)


Query = tuple[str, str, str, str, str]
"""Who asks, who is asked about, the action, the memory, the purpose."""


def ask(memos: MemOS, query: Query) -> bool:
    """Ask the vault, by its public verbs only."""
    asker, who, action, memory, purpose = query
    if asker == who:  # the read itself
        try:
            memos.session(who, purpose=purpose).get(memory)
        except NotFoundError:
            return False
        return True
    governance = memos.session(asker).governance
    return governance.explain(who, action, memory, purpose=purpose).allowed


def answer(folder: str, pipe: Connection) -> None:
    """Another process: answer questions about the same vault, at the time that it is told."""
    clock = ManualClock()
    with MemOS.open(folder, embedder=HashingEmbedder(), clock=clock) as memos:
        while (message := pipe.recv()) is not None:
            now, queries = message
            clock.turn(now - clock.now())
            pipe.send([ask(memos, query) for query in queries])


class Vault(RuleBasedStateMachine):
    """Changes, and after each of them questions to both processes."""

    folder: Path
    asked = 0
    wanted = 0

    @initialize()
    def begin(self) -> None:
        self.clock = ManualClock()
        place = Path(tempfile.mkdtemp(dir=type(self).folder))
        self.memos = MemOS.open(place, embedder=HashingEmbedder(), clock=self.clock)
        self.model = Model(self.clock.now())
        self.model.grants.append(
            Given("founding", "user:owner", frozenset(ACTIONS), "*", frozenset({"*"}), None, None)
        )
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.other = context.Process(target=answer, args=(str(place), theirs), daemon=True)
        self.other.start()
        for space in ("acme/hr", "user:a/open"):
            self.add(by="user:owner" if space == "acme/hr" else "user:a", space=space)

    def teardown(self) -> None:
        if hasattr(self, "other"):
            self.pipe.send(None)
            self.other.join(timeout=30)
            self.memos.close()

    # -- changes ---------------------------------------------------------------------------------

    def add(self, by: str, space: str, **fields: Any) -> None:
        parents = fields.get("parents", ())
        hidden = fields.pop("hidden", 0)
        origin = fields.get("source")
        content = {"open": 1, "closed": 2}
        levels = {"closed": Sensitivity(hidden)} if hidden else {}
        readable = all(
            self.model.may(by, "read", self.model.memories[p], "assist") for p in parents
        )
        may = self.model.on_space(by, "write", space, "", "assist")
        try:
            cube = self.memos.session(by).add(
                Draft(content, space=space, field_sensitivity=levels, **fields)
            )
        except (DeniedError, NotFoundError):
            assert not (may and readable)
            return
        assert may
        assert readable
        self.model.memories[cube.id] = Memory(
            cube.id,
            space,
            int(fields.get("sensitivity", Sensitivity.INTERNAL)),
            hidden,
            fields.get("access", frozenset()),
            fields.get("purposes", frozenset()),
            {by} | ({origin} if origin else set()),
            parents,
        )

    @rule(data=st.data(), seed=st.integers(0, 2**32))
    def add_memory(self, data: st.DataObject, seed: int) -> None:
        rng = random.Random(seed)
        known = sorted(self.model.memories)
        self.add(
            by=rng.choice([*PEOPLE, "user:owner", "user:owner"]),
            space=rng.choice(SPACES),
            sensitivity=Sensitivity(rng.choice([0, 1, 1, 2, 3])),
            hidden=rng.choice([0, 0, 2, 3]),
            access=frozenset(rng.sample([*PEOPLE, *GROUPS], rng.choice([0, 0, 0, 2, 4]))),
            purposes=frozenset(rng.choice([(), (), ("assist",), PURPOSES])),
            source=rng.choice([None, *ORIGINS]),
            parents=tuple(rng.sample(known, min(rng.choice([0, 0, 1, 2]), len(known)))),
        )
        self.compare(rng)

    @rule(seed=st.integers(0, 2**32))
    def grant(self, seed: int) -> None:
        rng = random.Random(seed)
        by = rng.choice([*PEOPLE, "user:owner", "user:owner", "user:owner"])
        on = rng.choice([*SPACES, "*", *self.model.memories])
        purposes = set(rng.choice([("assist",), ("train",), PURPOSES, ("*",)]))
        until = rng.choice([None, None, self.model.now + timedelta(hours=rng.randrange(1, 30))])
        actions = frozenset(rng.sample(ACTIONS, rng.choice([1, 2, 3])))
        to = rng.choice([*PEOPLE, *GROUPS])
        bases = self.model.may_grant(by, on, purposes, until)
        try:
            given = self.memos.session(by).grant(
                to, sorted(actions), on=on, purposes=sorted(purposes), until=until
            )
        except (DeniedError, NotFoundError):
            assert not bases
            return
        assert bases, (by, on)
        basis = given.basis
        names = {"founding" if basis is not None and basis not in bases else basis or "own"}
        assert names <= bases
        self.model.grants.append(
            Given(given.id, to, actions, on, frozenset(purposes), until, basis)
        )
        self.compare(rng)

    @rule(seed=st.integers(0, 2**32))
    def revoke(self, seed: int) -> None:
        rng = random.Random(seed)
        standing = [g for g in self.model.grants if g.stands and g.id != "founding"]
        if not standing:
            return
        given = rng.choice(standing)
        by = rng.choice([*PEOPLE, "user:owner", "user:owner"])
        memory = self.model.memories.get(given.on)
        space = given.on if memory is None else memory.space
        if space == "*":
            may = any(
                g.on == "*" and self.model.holds(g, by, "govern", "assist")
                for g in self.model.grants
            )
        else:
            may = self.model.on_space(by, "govern", space, given.on, "assist")
        try:
            self.memos.session(by).revoke(given.id)
        except NotFoundError:
            assert not may
            return
        assert may
        self.model.revoke(given.id)
        self.compare(rng)

    @rule(seed=st.integers(0, 2**32), join=st.booleans())
    def change_group(self, seed: int, join: bool) -> None:
        rng = random.Random(seed)
        group, member = rng.choice(GROUPS), rng.choice([*PEOPLE, *GROUPS])
        owner = self.memos.session("user:owner")
        if not join:
            owner.remove_member(group, member)
            self.model.members.discard((group, member))
        else:
            circle = member in self.model.names(group)
            try:
                owner.add_member(group, member)
            except ConflictError:
                assert circle
                return
            assert not circle
            self.model.members.add((group, member))
        self.compare(rng)

    @rule(who=st.sampled_from(PEOPLE), level=st.integers(0, 3), seed=st.integers(0, 2**32))
    def clear(self, who: str, level: int, seed: int) -> None:
        self.memos.session("user:owner").set_clearance(who, Sensitivity(level))
        self.model.clearances[who] = level
        self.compare(random.Random(seed))

    @rule(seed=st.integers(0, 2**32))
    def quarantine(self, seed: int) -> None:
        rng = random.Random(seed)
        source = rng.choice([*PEOPLE, *ORIGINS])
        on = rng.choice(["*", "acme", "acme/hr", "beta"])
        made = self.memos.session("user:owner").governance.quarantine(source, on=on)
        self.model.quarantines[made.id] = (source, on)
        self.compare(rng)

    @rule(seed=st.integers(0, 2**32))
    def release(self, seed: int) -> None:
        rng = random.Random(seed)
        if self.model.quarantines:
            chosen = rng.choice(sorted(self.model.quarantines))
            self.memos.session("user:owner").governance.release(chosen)
            del self.model.quarantines[chosen]
            self.compare(rng)

    @rule(seed=st.integers(0, 2**32))
    def relabel(self, seed: int) -> None:
        """The owner narrows a memory; what was derived from it follows."""
        rng = random.Random(seed)
        memory = self.model.memories[rng.choice(sorted(self.model.memories))]
        access = frozenset(rng.sample([*PEOPLE, "user:owner"], 3))
        try:
            self.memos.session("user:owner").update(memory.id, Patch(access=access))
        except MemosError:
            return
        memory.access = access
        memory.sources.add("user:owner")
        self.compare(rng)

    @rule(hours=st.integers(1, 12), seed=st.integers(0, 2**32))
    def wait(self, hours: int, seed: int) -> None:
        self.clock.turn(timedelta(hours=hours))
        self.model.now = self.clock.now()
        self.compare(random.Random(seed))

    # -- questions -------------------------------------------------------------------------------

    def compare(self, rng: random.Random) -> None:
        memories = rng.sample(
            sorted(self.model.memories.values(), key=lambda m: m.id),
            min(4, len(self.model.memories)),
        )
        queries: list[Query] = []
        expected: list[bool] = []
        for memory in memories:
            asker = memory.space.split("/")[0]
            asker = asker if asker.startswith("user:") else "user:owner"
            for who in PEOPLE:
                purpose = rng.choice(PURPOSES)
                queries.append((who, who, "read", memory.id, purpose))
                expected.append(self.model.may(who, "read", memory, purpose))
                for action in ACTIONS if who != asker else ():
                    queries.append((asker, who, action, memory.id, purpose))
                    expected.append(self.model.may(who, action, memory, purpose))
        half = len(queries) // 2
        self.pipe.send((self.clock.now(), queries[:half]))
        ours = [ask(self.memos, query) for query in queries[half:]]
        differing = [
            (query, wanted)
            for query, wanted, found in zip(queries, expected, self.pipe.recv() + ours, strict=True)
            if found != wanted
        ]
        assert not differing
        type(self).asked += len(queries)


def test_decisions_equal_those_of_an_independent_model_from_two_processes(
    tmp_path: Path,
    scaled: Callable[[int, int], int],
    proof: Proof,
) -> None:
    wanted = scaled(5_000, 100_000)
    Vault.folder, Vault.asked = tmp_path, 0
    rounds = 0
    while Vault.asked < wanted:
        rounds += 1
        run_state_machine_as_test(
            Vault,
            settings=settings(
                max_examples=scaled(3, 20),
                stateful_step_count=scaled(40, 60),
                deadline=None,
                database=None,
                phases=(Phase.generate,),  # a difference is told at once, and not made smaller
                suppress_health_check=list(HealthCheck),
            ),
        )
    proof("decisions against an independent model, two processes", Vault.asked, "0 differences")
