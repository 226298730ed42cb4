"""Governance: decisions per second, and what the ledger and the labels cost a search and an add.

10,000 memories under 1, 100 and 10,000 labels. The ledger, or the labels, are switched off in this
file only, by putting something idle in their place; on and off are measured in turns, so that a
noisy machine disturbs both alike. The peer for decisions is casbin with the same rules.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import CONSOLE, Report, options
from benchmarks.latency import COUNT, Prepared, sentences
from memos_core import Action, Draft, MemOS, Session, Settings
from memos_core.infrastructure.governance.decision import Permission, Rights, decide_label
from memos_core.infrastructure.governance.labels import Atom, Label
from memos_core.testing import temporary_memos

LABELS = (1, 100, 10_000)
PEER = "casbin"
Switch = Callable[[bool], None]


def decisions_per_second(grants: int, *, allowed: bool) -> float:
    """Measure decisions about one memory's label, under so many grants."""
    permissions = tuple(
        Permission(f"g{n}", Action.READ, f"acme/s{n}", None, ("assist",), None)
        for n in range(grants)
    )
    rights = Rights("user:bench", frozenset({"user:bench", "group:g"}), 1, permissions, 1)
    label = Label.of([Atom(f"acme/s{grants // 2}" if allowed else "beta/x", 1)])

    def decide() -> None:
        for _ in range(1_000):
            decide_label(rights, Action.READ, label, purpose="assist", now=0)

    return 1_000 / _seconds(decide, 15)


def casbin_per_second(rules: int, *, allowed: bool, folder: Path) -> float | None:
    """Measure the same with casbin: a principal, a space and an action per rule."""
    with suppress(ImportError):
        import casbin

        model, policy = folder / "model.conf", folder / "policy.csv"
        model.write_text(
            "[request_definition]\nr = sub, obj, act\n"
            "[policy_definition]\np = sub, obj, act\n"
            "[policy_effect]\ne = some(where (p.eft == allow))\n"
            "[matchers]\nm = r.sub == p.sub && r.obj == p.obj && r.act == p.act\n"
        )
        lines = [f"p, user:bench, acme/s{n}, read" for n in range(rules)]
        policy.write_text("\n".join(lines) + "\n")
        enforcer = casbin.Enforcer(str(model), str(policy))
        space = f"acme/s{rules // 2}" if allowed else "beta/x"
        assert enforcer.enforce("user:bench", space, "read") is allowed
        return 1 / _seconds(lambda: enforcer.enforce("user:bench", space, "read"), 30)
    CONSOLE.print("casbin: left out, it is not installed")
    return None


@contextmanager
def filled(embedder: Prepared, texts: list[str], labels: int) -> Iterator[tuple[MemOS, Session]]:
    """Open a vault whose memories bear so many labels: each another list of readers."""
    with temporary_memos(embedder=embedder, settings=Settings(span_levels={})) as memos:
        session = memos.session("user:owner", space="acme")
        for start in range(0, len(texts), 1_000):
            session.add_many(
                [
                    Draft(text, access=_readers(start + n, labels))
                    for n, text in enumerate(texts[start : start + 1_000])
                ]
            )
        session.search(texts[0])  # the page is loaded
        yield memos, session


def _readers(number: int, labels: int) -> frozenset[str]:
    return frozenset({"user:owner", f"user:reader{number % labels}"})


def ledger_switch(session: Session) -> Switch:
    """Return what switches the ledger on or off."""
    ledger: Any = session._engine.gate.ledger
    append = ledger.append

    def nothing(_tx: object, _events: object) -> None:
        return

    def switch(on: bool) -> None:
        ledger.append = append if on else nothing

    return switch


def labels_for_search_switch(session: Session) -> Switch:
    """Return what lets every label pass unlooked at, or not."""
    gate = session._engine.gate
    with gate.vault.read() as tx:
        view: Any = gate.access(tx, session._actor)
    mask = view.mask

    def everything(_tx: object, _registry: object, _page: object, labels: list[str]) -> Any:
        return np.ones(len(labels), dtype=np.bool_)

    def switch(on: bool) -> None:
        view.mask = mask if on else everything

    return switch


def labels_for_add_switch(session: Session) -> Switch:
    """Return what gives every new memory one and the same label, or its own."""
    labeller: Any = session._engine.adder._labeller
    label: Any = labeller.label
    seen: list[Any] = []

    def one(tx: Any, own: Any, parents: Any) -> Any:
        if not seen:
            seen.append(label(tx, own, parents))
        return seen[0]

    def switch(on: bool) -> None:
        labeller.label = label if on else one

    return switch


def in_turns(call: Callable[[int], object], switch: Switch, rounds: int) -> tuple[float, float]:
    """Measure a call with something on and off, in turns.

    Returns:
        The medians in milliseconds, on and off.
    """
    times: dict[bool, list[float]] = {True: [], False: []}
    for number in range(2 * rounds):
        on = number % 2 == 0
        switch(on)
        start = time.perf_counter()
        call(number)
        times[on].append((time.perf_counter() - start) * 1_000)
    switch(True)
    return statistics.median(times[True]), statistics.median(times[False])


def _seconds(call: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure_decisions(report: Report) -> None:
    """Add the rows about decisions."""
    for rules in (10, 1_000):
        for allowed in (True, False):
            with tempfile.TemporaryDirectory() as folder:
                peer = casbin_per_second(rules, allowed=allowed, folder=Path(folder))
            ours = decisions_per_second(rules, allowed=allowed)
            word = "allowed" if allowed else "denied"
            report.add(f"governance.decisions.{word}.{rules}_grants", ours, "per second", peer)


def measure_vault(report: Report, labels: int) -> None:
    """Add the rows about a vault with so many labels."""
    texts, queries, fresh = sentences(COUNT, 1), sentences(400, 2), sentences(800, 3)
    embedder = Prepared([*texts, *queries, *fresh])
    CONSOLE.print(f"filling a vault: {labels:,} labels …")
    with filled(embedder, texts, labels) as (_memos, session):
        name = f"{labels}_labels"
        found = iter(fresh)

        def search(number: int) -> object:
            return session.search(queries[number % len(queries)])

        def add(number: int) -> object:
            return session.add(Draft(next(found), access=_readers(number * 7, labels)))

        on, off = in_turns(search, labels_for_search_switch(session), 100)
        report.add(f"governance.search.{name}", on, "ms")
        report.add(f"governance.search.{name}.labels", on / off, "times")
        on, off = in_turns(search, ledger_switch(session), 100)
        report.add(f"governance.search.{name}.ledger", on / off, "times")
        on, off = in_turns(add, labels_for_add_switch(session), 100)
        report.add(f"governance.add.{name}", on, "ms")
        report.add(f"governance.add.{name}.labels", on / off, "times")
        on, off = in_turns(add, ledger_switch(session), 100)
        report.add(f"governance.add.{name}.ledger", on / off, "times")


def main() -> None:
    """Run the benchmark."""
    arguments = options(__doc__).parse_args()
    report = Report(f"Governance at {COUNT:,} memories (medians; 'times' is on against off)", PEER)
    measure_decisions(report)
    for labels in LABELS:
        measure_vault(report, labels)
    report.finish(arguments.json)


if __name__ == "__main__":
    main()
