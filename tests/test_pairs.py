"""Pairs of vaults that differ in one memory that bob may not read: bob cannot tell them apart.

Both vaults are copies of one template and are worked on with the same ids, times and randomness, so
every answer is compared as it is, byte by byte: ids, order, scores, counts, cursors and errors.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from llama_index.core.base.llms.types import ChatMessage

from memos_autogen import MemosMemory as AutoGenMemory
from memos_core import Draft, Key, MemOS, MemosError, SearchOptions, Session
from memos_core.cube import Sensitivity, Trust
from memos_core.testing import HashingEmbedder, ManualClock
from memos_langchain import MemosChatMessageHistory, MemosStore
from memos_langchain import MemosRetriever as LangChainRetriever
from memos_llamaindex import MemosMemory as LlamaIndexMemory
from memos_llamaindex import MemosMemoryBlock
from memos_llamaindex import MemosRetriever as LlamaIndexRetriever
from tests.conftest import Proof

START = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = "harbour boat budget peanut maya zoe noon paint sister code ferry tide lamp rope".split()  # noqa: SIM905
SPEAKERS = (None, "Maya", "Zoe", "bob")
OPEN, SHELF, SECRET, OWN = "acme/open", "acme/shelf", "acme/secret", "user:bob"


class StepEntropy:
    """Randomness that depends on the step only, not on what happened in the steps before."""

    def __init__(self) -> None:
        self.step(0)

    def step(self, number: int) -> None:
        self._random = random.Random(number)

    def token(self, nbytes: int) -> bytes:
        return self._random.randbytes(nbytes)


@dataclass
class World:
    """One vault of a pair, and how its time and randomness go on."""

    memos: MemOS
    clock: ManualClock
    entropy: StepEntropy

    def step(self, number: int) -> None:
        self.clock.set(START + timedelta(seconds=10 * number))
        self.entropy.step(number)

    def session(self, name: str, **options: Any) -> Session:
        return self.memos.session(name, **options)


def opened(folder: Path) -> World:
    clock, entropy = ManualClock(START), StepEntropy()
    memos = MemOS.open(folder, embedder=HashingEmbedder(), clock=clock, entropy=entropy)
    return World(memos, clock, entropy)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a vault in which every name that is used later was met already."""
    folder = tmp_path_factory.mktemp("template") / "vault"
    world = opened(folder)
    owner = world.session("user:owner")
    for space in (OPEN, SHELF, SECRET):
        owner.grant("user:alice", ["read", "write"], on=space)
    owner.grant("user:bob", ["read", "write"], on=OPEN)
    owner.grant("user:bob", "read", on=SHELF)
    owner.set_clearance("user:alice", "restricted")
    owner.governance.quarantine("import:bad")
    owner.governance.set_trust("user:alice", "high")
    for name in ("user:alice", "user:bob"):
        session = world.session(name)
        session.forget(session.add("a first word").id)
    world.memos.close()
    return folder


def sentence(rng: random.Random, most: int = 14) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.randrange(2, most)))


Hide = Callable[[World, str], str]
"""Writes the memory that bob may not read, and returns its id."""


def forbidden(world: World, text: str) -> str:
    return world.session("user:alice").add(text, space=SECRET, key="hidden", speaker="Zoe").id


def expired(world: World, text: str) -> str:
    # On the shelf bob only reads: whoever may write can still erase what has ended.
    draft = Draft(text, space=SHELF, key="hidden", expires=timedelta(seconds=1))
    return world.session("user:alice").add(draft).id


def quarantined(world: World, text: str) -> str:
    draft = Draft(text, space=OPEN, key="hidden", source="import:bad")
    return world.session("user:alice").add(draft).id


def wrong_purpose(world: World, text: str) -> str:
    draft = Draft(text, space=OPEN, key="hidden", purposes=frozenset({"train"}), speaker="Maya")
    return world.session("user:alice").add(draft).id


def more_sensitive(world: World, text: str) -> str:
    draft = Draft(text, space=OPEN, key="hidden", sensitivity=Sensitivity.CONFIDENTIAL)
    return world.session("user:alice").add(draft).id


def not_on_the_list(world: World, text: str) -> str:
    draft = Draft(text, space=OPEN, key="hidden", access=frozenset({"user:alice"}))
    return world.session("user:alice").add(draft).id


def private_and_read(world: World, text: str) -> str:
    alice = world.session("user:alice")
    cube = alice.add(text, key="hidden", speaker="Zoe")
    for _ in range(3):
        alice.search(text)
        alice.get(cube.id)
    return cube.id


def derived_from_the_hidden(world: World, text: str) -> str:
    alice = world.session("user:alice")
    source = alice.add("the source of it", space=SECRET)
    return alice.add(text, space=OPEN, key="hidden", parents=(source.id,)).id


HIDES: dict[str, Hide] = {
    each.__name__: each
    for each in (
        forbidden,
        expired,
        quarantined,
        wrong_purpose,
        more_sensitive,
        not_on_the_list,
        private_and_read,
        derived_from_the_hidden,
    )
}


def told(call: Callable[[], Any]) -> str:
    """Return all that a caller gets to see of a call: its answer, or its error."""
    try:
        return repr(call())
    except MemosError as error:
        return f"{type(error).__name__}: {error}"


def pages(session: Session, **fields: Any) -> Iterator[Any]:
    cursor = None
    while True:
        page = session.get_all(limit=2, cursor=cursor, **fields)
        yield page
        cursor = page.cursor
        if cursor is None:
            return


def log_pages(session: Session) -> Iterator[Any]:
    cursor = None
    for _ in range(20):
        page = session.audit.query(limit=7, cursor=cursor)
        yield page
        cursor = page.cursor
        if cursor is None:
            return


async def by_plugins(bob: Session, query: str) -> list[Any]:
    found: list[Any] = [
        await LangChainRetriever(session=bob).ainvoke(query),
        await MemosStore(bob).asearch(("memos",), query=query),
        await MemosStore(bob).aget(("memos",), "hidden"),
        MemosChatMessageHistory(bob, "thread").messages,
        await LlamaIndexRetriever(bob).aretrieve(query),
        LlamaIndexMemory.from_defaults(session=bob, thread="thread").get_all(),
        await MemosMemoryBlock(session=bob).aget([ChatMessage(query)]),
        (await AutoGenMemory(bob).query(query)).results,
    ]
    return found


def reads(bob: Session, hidden: str, query: str, text: str) -> dict[str, Callable[[], Any]]:
    """Name every way to read, on what is there and on what is hidden."""
    narrow = SearchOptions(min_trust=Trust.HIGH)
    return {
        "get": lambda: [bob.get(cube.id) for cube in bob.get_all()],
        "get hidden": lambda: bob.get(hidden),
        "get hidden key": lambda: bob.get(Key("hidden", OPEN)),
        "get another's key": lambda: bob.get(Key("hidden", SECRET)),
        "search": lambda: [(h, h.score, h.why) for h in bob.search(query, k=50)],
        "search for it": lambda: [(h, h.score, h.why) for h in bob.search(text, k=3)],
        "search a space": lambda: [(h.id, h.score) for h in bob.search(text, space=OPEN)],
        "search closed": lambda: (bob.search(text, space=SECRET), bob.search(text, space=SECRET)),
        "search trusted": lambda: [(h.id, h.score) for h in bob.search(query, options=narrow)],
        "search filtered": lambda: bob.search(query, where={"key": "hidden"}),
        "search budget": lambda: bob.search(query, budget_tokens=12, min_score=0.05),
        "get_all": lambda: list(pages(bob)),
        "get_all filtered": lambda: list(pages(bob, where={"speaker": "Zoe"})),
        "history hidden": lambda: bob.history(hidden),
        "diff hidden": lambda: bob.diff(hidden, 1),
        "rollback": lambda: bob.rollback(hidden, 1),
        "freeze": lambda: bob.freeze(hidden),
        "history": lambda: [bob.history(cube.id) for cube in bob.get_all()],
        "context": lambda: bob.context(f"{query} {text}", budget_tokens=120),
        "trace": lambda: bob.trace(f"{text} and {query} and {text}"),
        "provenance": lambda: bob.provenance(hidden),
        "explain": lambda: bob.governance.explain("user:bob", "read", hidden),
        "explain space": lambda: bob.governance.explain("user:bob", "read", SECRET),
        "grants": lambda: bob.governance.grants(),
        "plugins": lambda: asyncio.run(by_plugins(bob, f"{query} {text}")),
        "update": lambda: bob.update(hidden, "mine"),
        "forget": lambda: bob.forget(hidden),
        "grant": lambda: bob.grant("user:bob", "read", on=hidden),
        "hold": lambda: bob.governance.hold(hidden),
        "log of it": lambda: bob.audit.query(cube=hidden),
        "log": lambda: list(log_pages(bob)),
    }


def work(world: World, seed: int, hide: Hide | None, ids: list[str]) -> str:
    """Do what both vaults have in common, and in one of them hide a memory among it."""
    rng = random.Random(seed)
    texts = [sentence(rng) for _ in range(rng.randrange(3, 7))]
    place = rng.randrange(len(texts) + 1)
    text = sentence(rng, 20)
    ids.clear()
    for number, each in enumerate([*texts, ""]):
        if number == place and hide is not None:
            world.step(500)
            world.clock.set(START + timedelta(seconds=10 * (100 + number) - 7))
            ids.append(hide(world, text))
        if not each:
            break
        world.step(100 + number)
        who, space = rng.choice([("user:bob", OWN), ("user:bob", OPEN), ("user:alice", OPEN)])
        draft = Draft(each, space=space, key=f"k{number}", speaker=rng.choice(SPEAKERS))
        world.session(who).add(draft)
    world.step(300)
    MemosChatMessageHistory(world.session("user:bob"), "thread").add_messages([HumanMessage("hi")])
    return text


@pytest.mark.parametrize("kind", list(HIDES))
def test_two_vaults_that_differ_in_what_bob_may_not_read_answer_bob_alike(
    template: Path, tmp_path: Path, kind: str, scaled: Callable[[int, int], int], proof: Proof
) -> None:
    pairs = scaled(32, 640)
    for seed in range(pairs):
        differing = compared(template, tmp_path, seed, HIDES[kind])
        assert not differing, (kind, seed, differing)
    proof(f"pairs of vaults: {kind.replace('_', ' ')}", pairs, "0 told apart")


def compared(template: Path, place: Path, seed: int, hide: Hide) -> dict[str, tuple[str, str]]:
    """Build a pair and return what bob can tell apart."""
    worlds = []
    for name in ("with", "without"):
        shutil.rmtree(place / name, ignore_errors=True)
        shutil.copytree(template, place / name)
        worlds.append(opened(place / name))
    ids: list[str] = []
    try:
        text = work(worlds[0], seed, hide, ids)
        hidden = ids[0]
        work(worlds[1], seed, None, ids)
        query = sentence(random.Random(seed + 1))
        answers: list[dict[str, str]] = []
        for world in worlds:
            options = {"space": "acme"} if seed % 5 == 0 else {}
            bob = world.session("user:bob", **options)
            found = {}
            for number, (name, call) in enumerate(reads(bob, hidden, query, text).items()):
                world.step(1_000 + number)
                found[name] = told(call)
            answers.append(found)
        assert "Hit" in answers[0]["search"] or "[]" in answers[0]["search"]
        return {
            name: (answers[0][name], answers[1][name])
            for name in answers[0]
            if answers[0][name] != answers[1][name]
        }
    finally:
        for world in worlds:
            world.memos.close()


def test_the_comparison_would_notice(template: Path, tmp_path: Path) -> None:
    """The proof can fail: a memory that bob may read is told apart in nearly every way."""

    def readable(world: World, text: str) -> str:
        return world.session("user:alice").add(text, space=OPEN, key="hidden").id

    differing = compared(template, tmp_path, 3, readable)
    assert {
        "get_all",
        "search",
        "get hidden",
        "history hidden",
        "context",
        "log",
        "plugins",
    } <= set(differing)


PARTS = (
    ("mail ada@acme.test at noon", "mail zoe@harbour.test at noon"),
    ("the card 4111 1111 1111 1111 pays", "the card 5500 0000 0000 0004 pays"),
    ({"name": "maya", "pay": 7}, {"name": "maya", "pay": "peanut budget harbour"}),
    ({"name": "maya", "pay": {"base": 1}}, {"name": "maya", "pay": ["boat", "boat", "tide"]}),
)


@pytest.mark.parametrize("part", range(len(PARTS)))
def test_two_vaults_that_differ_in_a_redacted_part_answer_bob_alike(
    template: Path, tmp_path: Path, part: int, scaled: Callable[[int, int], int], proof: Proof
) -> None:
    """The memory itself is readable: only what is hidden in it differs."""
    pairs = scaled(6, 60)
    for seed in range(pairs):
        contents = iter(PARTS[part])
        levels = {} if part < 2 else {"pay": Sensitivity.CONFIDENTIAL}
        answers = []
        for name in ("one", "other"):
            shutil.rmtree(tmp_path / name, ignore_errors=True)
            shutil.copytree(template, tmp_path / name)
            world = opened(tmp_path / name)
            ids: list[str] = []
            content = next(contents)

            def partly(world: World, text: str, content: Any = content) -> str:
                draft = Draft(content, space=OPEN, key="hidden", field_sensitivity=levels)  # noqa: B023
                return world.session("user:alice").add(draft).id

            work(world, seed, partly, ids)
            bob = world.session("user:bob")
            query = sentence(random.Random(seed))
            calls = reads(bob, ids[0], f"{query} peanut budget harbour ada", "boat boat tide maya")
            found = {}
            for number, (verb, call) in enumerate(calls.items()):
                if verb not in ("update", "forget", "rollback", "freeze"):  # these change it
                    world.step(1_000 + number)
                    found[verb] = told(call)
            answers.append(found)
            world.memos.close()
        assert answers[0] == answers[1]
    proof(f"pairs of vaults: redacted part {part}", pairs, "0 told apart")
