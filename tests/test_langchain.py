"""memos-langchain: the store agrees with LangGraph's own, the middleware forgets at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.retrievers import BaseRetriever
from langchain_tests.integration_tests import RetrieversIntegrationTests
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.store.base import GetOp, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore

from memos_core import DeniedError, InvalidInputError, MemOS, Session
from memos_core.testing import HashingEmbedder, ManualClock, temporary_memos
from memos_langchain import (
    MemosChatMessageHistory,
    MemosMiddleware,
    MemosRetriever,
    MemosStore,
    from_message,
    to_message,
)
from memos_langchain.classic import MemosMemory
from tests.scripted import langchain_model

# -- the store, op by op ------------------------------------------------------------------------

labels = st.sampled_from(["a", "b", "user one", "ü", "*"])
namespaces = st.lists(labels, min_size=1, max_size=3).map(tuple)
keys = st.sampled_from(["k1", "k2", "key three", "é"])
scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["x", "y", ""])
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=2),
    max_leaves=4,
)  # fmt: skip
values = st.dictionaries(st.sampled_from(["n", "text", "deep"]), json_values, max_size=3)
filters = st.none() | st.dictionaries(
    st.sampled_from(["n", "text", "deep"]),
    json_values
    | st.builds(lambda v: {"$eq": v}, scalars)
    | st.builds(lambda v: {"$ne": v}, scalars),
    min_size=1,
    max_size=2,
)
prefixes = st.lists(labels, max_size=2).map(tuple)
MANY = 1_000
operations = st.one_of(
    st.tuples(namespaces, keys, values | st.none()).map(lambda parts: PutOp(*parts)),
    st.tuples(namespaces, keys).map(lambda parts: GetOp(*parts)),
    st.tuples(prefixes, filters).map(lambda parts: SearchOp(*parts, limit=MANY)),
)


def plain(result: Any) -> Any:
    """Bring a result to a form that does not depend on order or time."""
    if isinstance(result, list):
        return sorted((plain(each) for each in result), key=repr)
    if hasattr(result, "namespace"):
        return (result.namespace, result.key, repr(result.value))
    return result


def test_the_store_agrees_with_langgraphs_own_op_by_op(
    scaled: Callable[[int, int], int],
) -> None:
    """At least 2,000 operations; emptied namespaces, which its store lists, do not count."""
    done = 0

    @settings(
        max_examples=scaled(100, 1_000),
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
    )
    @given(st.lists(st.lists(operations, min_size=3, max_size=6), min_size=5, max_size=10))
    def agree(batches: list[list[Any]]) -> None:
        nonlocal done
        with temporary_memos() as memos:
            ours, model = MemosStore(memos.session("user:alice")), InMemoryStore()
            for batch in batches:
                mine, theirs = ours.batch(batch), model.batch(batch)
                for op, a, b in zip(batch, mine, theirs, strict=True):
                    assert plain(a) == plain(b), op
                done += len(batch)
            alive = sorted(ns for ns in list(model._data) if model._data[ns])
            assert ours.list_namespaces(limit=MANY) == alive

    agree()
    assert done >= 2_000


def test_the_store_lists_namespaces_as_langgraphs_own_does(alice: Session) -> None:
    ours, model = MemosStore(alice), InMemoryStore()
    for store in (ours, model):
        for namespace in [("a", "b", "c"), ("a", "x"), ("b", "c"), ("d",)]:
            store.put(namespace, "k", {"n": 1})
    for arguments in (
        {"prefix": ("a",)},
        {"suffix": ("c",)},
        {"prefix": ("*", "b")},
        {"prefix": ("a",), "suffix": ("c",), "max_depth": 2},
        {"max_depth": 1},
        {"limit": 2, "offset": 1},
    ):
        assert ours.list_namespaces(**arguments) == model.list_namespaces(**arguments)  # type: ignore[arg-type]


def test_an_unscoped_search_finds_the_sessions_items_and_nobody_elses(
    memos: MemOS, alice: Session, bob: Session
) -> None:
    MemosStore(alice).put(("memories",), "k", {"text": "I love pizza"})
    alice.add("not an item")
    assert [item.key for item in MemosStore(alice).search(())] == ["k"]
    for store in (MemosStore(bob), MemosStore(memos.session("user:owner"))):
        assert store.search(()) == []
        assert store.search(("memories",), query="pizza") == []
        assert store.get(("memories",), "k") is None
        assert store.list_namespaces() == []
        store.delete(("memories",), "k")  # deletes one's own, which is not there
    assert MemosStore(alice).get(("memories",), "k") is not None
    with pytest.raises(DeniedError):
        MemosStore(None).search(())


def test_the_stores_view_shows_what_the_session_may_read_and_takes_nothing(
    alice: Session, bob: Session
) -> None:
    cube = alice.add("The boat leaves at nine.")
    store = MemosStore(alice)
    assert [item.value["text"] for item in store.search(("memos",))] == [cube.text]
    item = store.get(("memos",), cube.id)
    assert item is not None
    assert item.value["memos"]["owner"] == "user:alice"
    assert MemosStore(bob).search(("memos",), query="boat") == []
    assert MemosStore(bob).get(("memos",), cube.id) is None
    with pytest.raises(InvalidInputError, match="a view"):
        store.put(("memos",), "k", {"n": 1})


def test_one_store_serves_many_users_by_the_runs_config(memos: MemOS) -> None:
    def who(config: Any) -> Session:
        return memos.session(f"user:{config['configurable']['user']}")

    store = MemosStore(who)

    def node(state: dict[str, Any]) -> dict[str, Any]:
        store.put(("prefs",), "k", {"of": state["who"]})
        return {"who": ",".join(item.value["of"] for item in store.search(()))}

    graph = StateGraph(dict).add_node("n", node).add_edge(START, "n").compile()
    for name in ("ann", "ben"):
        out = graph.invoke({"who": name}, config={"configurable": {"user": name}})
        assert out["who"] == name


def test_the_store_finds_by_meaning_and_lets_items_end(alice: Session, clock: ManualClock) -> None:
    from datetime import timedelta

    store = MemosStore(alice)
    store.put(("m",), "a", {"text": "I love pizza"}, ttl=10)
    store.put(("m",), "b", {"text": "The boat leaves at nine"})
    store.put(("m",), "c", {"text": "pizza, hidden"}, index=False)
    found = store.search(("m",), query="pizza")
    assert found[0].key == "a"
    assert found[-1].key == "c"
    assert found[-1].score is None
    clock.turn(timedelta(minutes=11))
    assert store.get(("m",), "a") is None


async def test_the_store_is_awaited_too(alice: Session) -> None:
    store = MemosStore(alice)
    await store.aput(("m",), "a", {"n": 1})
    await store.aput(("m",), "a", {"n": 2})
    item = await store.aget(("m",), "a")
    assert item is not None
    assert item.value == {"n": 2}
    assert item.updated_at > item.created_at
    assert (
        len(alice.history(alice.get_all().items[0].id)) == 2
    )  # the first is not lost to the audit


# -- the retriever against LangChain's own suite ------------------------------------------------


class TestMemosRetriever(RetrieversIntegrationTests):
    """langchain-tests' suite for retrievers."""

    @pytest.fixture(autouse=True)
    def _vault(self, tmp_path: Any) -> Any:
        with MemOS.open(tmp_path / "vault", embedder=HashingEmbedder()) as memos:
            self.alice = memos.session("user:alice")
            self.alice.add_many([f"memory {number} of many things" for number in range(8)])
            yield

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return MemosRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"session": self.alice}

    @property
    def retriever_query_example(self) -> str:
        return "many things"


# -- the middleware -----------------------------------------------------------------------------


@dataclass
class Who:
    user: str


def agent_for(memos: MemOS, model: Any, **options: Any) -> Any:
    def session(runtime: Any) -> Session:
        return memos.session(f"user:{runtime.context.user}")

    return create_agent(
        model, middleware=[MemosMiddleware(session, **options)], context_schema=Who,
        checkpointer=InMemorySaver(),
    )  # fmt: skip


def ask(agent: Any, question: str, user: str, thread: str) -> Any:
    return agent.invoke(
        {"messages": [HumanMessage(question)]},
        config={"configurable": {"thread_id": thread}},
        context=Who(user),
    )


def test_an_agent_recalls_and_forgets_in_the_next_call_of_a_running_thread(
    memos: MemOS, alice: Session
) -> None:
    cube = alice.add("The door code is 7319.")
    model = langchain_model("Noted.")
    agent = agent_for(memos, model, remember=False)
    state = ask(agent, "What is the door code?", "alice", "t1")
    assert "The door code is 7319." in model.shown[-1]
    assert not any("7319" in str(m.text) for m in state["messages"])  # never in the state
    alice.forget(cube.id)
    ask(agent, "The door code, again?", "alice", "t1")
    assert "7319" not in model.shown[-1]


def test_what_was_said_is_written_once_for_whoever_said_it(memos: MemOS, alice: Session) -> None:
    agent = agent_for(memos, langchain_model("Peanuts are out, then."))
    ask(agent, "I am allergic to peanuts.", "alice", "t1")
    ask(agent, "What did I say of peanuts?", "alice", "t1")
    said = [(cube.meta.speaker, cube.text) for cube in alice.get_all()]
    assert said == [
        ("user", "I am allergic to peanuts."),
        ("assistant", "Peanuts are out, then."),
        ("user", "What did I say of peanuts?"),
        ("assistant", "Peanuts are out, then."),
    ]
    model = langchain_model("x")
    ask(agent_for(memos, model), "peanuts?", "bob", "t2")
    assert "allergic" not in model.shown[-1]


async def test_the_middleware_works_awaited(memos: MemOS, alice: Session) -> None:
    alice.add("The boat leaves at nine.")
    model = langchain_model("At nine.")
    agent = agent_for(memos, model)
    await agent.ainvoke(
        {"messages": [HumanMessage("When does the boat leave?")]},
        config={"configurable": {"thread_id": "t"}},
        context=Who("alice"),
    )
    assert "The boat leaves at nine." in model.shown[-1]
    assert len(alice.get_all()) == 3


def test_an_agent_without_identity_refuses_before_any_model_call(memos: MemOS) -> None:
    model = langchain_model("x")
    agent = create_agent(model, middleware=[MemosMiddleware(memos)])
    with pytest.raises(DeniedError, match="nobody is acting"):
        agent.invoke({"messages": [HumanMessage("hello")]})
    assert model.shown == []


def test_two_hundred_requests_by_twenty_users_through_one_agent_mix_nothing(memos: MemOS) -> None:
    for number in range(20):
        memos.session(f"user:u{number}").add(f"the secret of u{number} is {number * 7919}")
    model = langchain_model("ok")
    agent = agent_for(memos, model, remember=False)

    def work(worker: int) -> None:
        for turn in range(25):
            number = (worker * 25 + turn) % 20
            question = f"question of u{number}: what is the secret?"
            ask(agent, question, f"u{number}", f"{worker}-{turn}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(model.shown) == 200
    for prompt in model.shown:
        asker = prompt.split("question of u")[1].split(":")[0]
        told = {str(n) for n in range(20) if f"secret of u{n} is" in prompt}
        assert told == {asker}


# -- messages, history, classic memory ----------------------------------------------------------


CALL: Any = {"id": "c1", "name": "look", "args": {"q": 1}, "type": "tool_call"}
IMAGE = {"type": "image", "url": "https://example.org/a.png"}


@pytest.mark.parametrize(
    "message",
    [
        HumanMessage("hello", name="maya", id="m1"),
        SystemMessage("be kind"),
        AIMessage("", tool_calls=[CALL]),
        AIMessage("thinking", tool_calls=[CALL]),
        ToolMessage("42", tool_call_id="c1", name="look"),
        HumanMessage([{"type": "text", "text": "see"}, IMAGE]),
        HumanMessage([{"type": "text", "text": "a"}, {"type": "reasoning", "summary": ["b"]}]),
    ],
)  # fmt: skip
def test_messages_come_back_whole(message: Any) -> None:
    back = from_message(to_message(message))
    assert type(back) is type(message)
    for name in ("content", "name", "id", "tool_calls", "tool_call_id"):
        assert getattr(back, name, None) == getattr(message, name, None), name


def test_a_chat_history_keeps_order_and_repetition_and_clears_only_itself(alice: Session) -> None:
    history = MemosChatMessageHistory(alice, "monday")
    other = MemosChatMessageHistory(alice, "tuesday")
    messages = [HumanMessage("Thanks!"), AIMessage("Welcome."), HumanMessage("Thanks!")]
    history.add_messages(messages)
    other.add_user_message("elsewhere")
    assert [m.content for m in history.messages] == ["Thanks!", "Welcome.", "Thanks!"]
    history.clear()
    assert history.messages == []
    assert [m.content for m in other.messages] == ["elsewhere"]
    history.clear()  # clearing what is clear is no error


def test_classic_memory_recalls_and_writes_turns(memos: MemOS, alice: Session) -> None:
    memory = MemosMemory(session=alice)
    memory.save_context({"input": "I am allergic to peanuts."}, {"output": "Noted."})
    assert "allergic" in memory.load_memory_variables({"input": "peanuts?"})["memory"]
    assert memory.memory_variables == ["memory"]
    stranger = MemosMemory(session=memos.session("user:bob"))
    assert stranger.load_memory_variables({"input": "peanuts?"})["memory"] == ""
    memory.clear()
    assert memory.load_memory_variables({"input": "peanuts?"})["memory"] == ""
    with pytest.raises(DeniedError):
        MemosMemory().load_memory_variables({"input": "x"})
