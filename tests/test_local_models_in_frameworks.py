"""Agents of each framework on a local model: memory reaches it, for whoever acts, while allowed."""

from __future__ import annotations

import asyncio
import doctest
import importlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.messages import ModelClientStreamingChunkEvent
from autogen_core import CancellationToken
from autogen_core.models import CreateResult, SystemMessage, UserMessage
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.load import dumps
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import get_response_synthesizer

from memos_autogen import MemosChatCompletionClient
from memos_core import (
    DeniedError,
    InvalidInputError,
    MemOS,
    Message,
    NotFoundError,
    RememberingModel,
    Session,
)
from memos_core.memory.recipe import Recipe
from memos_core.memory.runtime import LocalModel
from memos_core.testing import temporary_memos
from memos_core.testing.models import random_model, trained_model
from memos_langchain import MemosChatModel
from memos_llamaindex import MemosLLM, MemosRetriever
from tests.models.world import Fact, new_facts

pytestmark = pytest.mark.usefixtures("one_thread")
FIXTURE = Path(__file__).parent / "models" / "fact_llama"
NEW = 12
LONG = 10_000_000
ASKED = "w5 w9"


@pytest.fixture(scope="module")
def local() -> LocalModel:
    return random_model("llama")


# -- one agent of each framework ----------------------------------------------------------------


class LangChain:
    """An agent of `create_agent`."""

    def __init__(self, model: RememberingModel, **options: Any) -> None:
        self.model = MemosChatModel(model=model, **{"max_tokens": NEW, **options})
        self.agent = create_agent(self.model)

    async def ask(self, text: str) -> str:
        found = await self.agent.ainvoke({"messages": [HumanMessage(text)]})
        return str(found["messages"][-1].text)

    async def stream(self, text: str) -> AsyncIterator[str]:
        said: Any = {"messages": [HumanMessage(text)]}
        async for each, _ in self.agent.astream(said, stream_mode="messages"):
            if isinstance(each, AIMessageChunk):
                yield str(each.text)

    def ask_at_once(self, text: str) -> str:
        said: Any = {"messages": [HumanMessage(text)]}
        return str(self.agent.invoke(said)["messages"][-1].text)


class LlamaIndex:
    """A simple chat engine."""

    def __init__(self, model: RememberingModel, **options: Any) -> None:
        self.model = MemosLLM(model=model, **{"max_tokens": NEW, **options})

    def engine(self) -> SimpleChatEngine:
        memory = ChatMemoryBuffer.from_defaults(token_limit=1_000, tokenizer_fn=str.split)
        return SimpleChatEngine.from_defaults(llm=self.model, memory=memory)

    async def ask(self, text: str) -> str:
        return str((await self.engine().achat(text)).response)

    async def stream(self, text: str) -> AsyncIterator[str]:
        async for each in await self.model.astream_chat([ChatMessage(text)]):
            yield each.delta or ""

    def ask_at_once(self, text: str) -> str:
        return str(self.engine().chat(text).response)


class AutoGen:
    """An assistant agent."""

    def __init__(self, model: RememberingModel, **options: Any) -> None:
        self.client = MemosChatCompletionClient(model, **{"max_tokens": NEW, **options})

    def agent(self) -> AssistantAgent:
        return AssistantAgent("helper", self.client, system_message=None, model_client_stream=True)

    async def ask(self, text: str) -> str:
        made = await self.client.create([UserMessage(content=text, source="user")])
        assert isinstance(made.content, str)
        return made.content

    async def stream(self, text: str) -> AsyncIterator[str]:
        async for each in self.agent().run_stream(task=text):
            if isinstance(each, ModelClientStreamingChunkEvent):
                yield each.content

    def ask_at_once(self, text: str) -> str:
        async def main() -> str:
            agent = AssistantAgent("helper", self.client, system_message=None)
            found = (await agent.run(task=text)).messages[-1]
            return found.to_text()

        return asyncio.run(main())


Framework = Callable[..., Any]


@pytest.fixture(params=[LangChain, LlamaIndex, AutoGen])
def framework(request: pytest.FixtureRequest) -> Framework:
    made: Framework = request.param
    return made


def expected(local: LocalModel, session: Session | None) -> str:
    """What the runtime writes on the prompt that is expected."""
    memory = session and session.context(ASKED, budget_tokens=1_024, k=20, model=local)
    asked = [Message(role="user", parts=ASKED)]
    return local.generate(asked, memory=memory, max_new_tokens=NEW).text


async def said(pieces: AsyncIterator[str]) -> str:
    return "".join([each async for each in pieces])


async def collected(pieces: AsyncIterator[str], released: list[str]) -> None:
    async for each in pieces:
        released.append(each)  # noqa: PERF401 - kept where the next one fails


# -- in every framework -------------------------------------------------------------------------


def test_the_memory_of_whoever_acts_is_in_the_prompt_and_nobody_elses(
    memos: MemOS, local: LocalModel, framework: Framework
) -> None:
    people = [memos.session(f"user:p{n}") for n in range(2)]
    for n, each in enumerate(people):
        each.add(f"w5 w{n + 20} w{n + 30}")
    agent = framework(RememberingModel(local, memos))
    found = []
    for session in [*people, *people]:
        with memos.acting(session):
            found.append(agent.ask_at_once(ASKED))
            assert asyncio.run(agent.ask(ASKED)) == found[-1]
            assert asyncio.run(said(agent.stream(ASKED))) == found[-1]
        assert found[-1] == expected(local, session)
    assert len({*found, expected(local, None)}) == 3
    with pytest.raises(DeniedError):
        asyncio.run(agent.ask(ASKED))
    with pytest.raises(DeniedError):
        asyncio.run(said(agent.stream(ASKED)))


async def test_four_requests_at_once_get_their_own_answers(
    memos: MemOS, local: LocalModel, framework: Framework
) -> None:
    people = [memos.session(f"user:p{n}") for n in range(4)]
    for n, each in enumerate(people):
        each.add(f"w5 w{n + 20} w{n + 30}")
    agent = framework(RememberingModel(local, memos))

    async def one(number: int) -> str:
        with memos.acting(people[number]):
            return await (agent.ask(ASKED) if number % 2 else said(agent.stream(ASKED)))

    found = await asyncio.gather(*(one(n % 4) for n in range(8)))
    alone = [expected(local, each) for each in people]
    assert len(set(alone)) == 4
    assert found == alone * 2


async def test_stop_ends_the_answer(
    alice: Session, local: LocalModel, framework: Framework
) -> None:
    alice.add("w5 w6 w7")
    whole = expected(local, alice)
    word = whole.split()[4]
    cut = whole[: whole.find(word)]
    agent = framework(RememberingModel(local, alice), stop=[word])
    assert await agent.ask(ASKED) == await said(agent.stream(ASKED)) == cut != whole


async def test_what_was_activated_reaches_the_agent_until_the_grant_is_revoked(
    alice: Session, bob: Session, local: LocalModel, framework: Framework
) -> None:
    made = alice.add("w5 w6 w7 " + " ".join(f"w{n}" for n in range(40, 90)))
    agent = framework(RememberingModel(local, bob))
    grant = alice.grant("user:bob", "read", on="user:alice")
    answer, whole = await computed(local, agent)
    alice.activate(made, local)
    again, rest = await computed(local, agent)
    assert again == answer == expected(local, bob) != expected(local, None)
    assert rest < 10 < 60 < whole, "most of the prompt is not computed again"
    hook = local.model.register_forward_hook(at_pass(3, lambda: alice.revoke(grant)))
    try:
        with pytest.raises(NotFoundError):
            await agent.ask(ASKED)
    finally:
        hook.remove()
    assert await agent.ask(ASKED) == expected(local, None)


async def computed(local: LocalModel, agent: Any) -> tuple[str, int]:
    """Ask, and count the tokens of the prompt that the model did compute."""
    sizes: list[int] = []

    def count(_model: Any, _args: Any, kwargs: Any) -> None:
        sizes.append(kwargs["input_ids"].shape[1])

    hook = local.model.register_forward_pre_hook(count, with_kwargs=True)
    try:
        answer = await agent.ask(ASKED)
    finally:
        hook.remove()
    return answer, sizes[0]


@pytest.fixture(scope="module")
def school() -> Iterator[tuple[MemOS, LocalModel, list[Fact]]]:
    """A vault in which Alice's facts were distilled for the fixture model, and switched on."""
    facts, local = new_facts(6), trained_model(FIXTURE)
    with temporary_memos() as memos:
        alice = memos.session("user:alice")
        made = [alice.add(fact.text) for fact in facts]
        pupil = memos.session("user:alice", purpose="train")
        adapter = pupil.distill(made, local, recipe=Recipe(replay=0.8))
        alice.enable(adapter.id)
        yield memos, local, facts


async def test_what_was_distilled_reaches_the_agent_until_the_grant_is_revoked(
    school: tuple[MemOS, LocalModel, list[Fact]], framework: Framework
) -> None:
    memos, local, facts = school
    alice, bob = memos.session("user:alice"), memos.session("user:bob")
    agent = framework(RememberingModel(local, bob, budget_tokens=0), max_tokens=4)  # no words
    right = [fact.value for fact in facts]
    before = [(await agent.ask(fact.question)).strip() for fact in facts]
    grant = alice.grant("user:bob", "read", on="user:alice")
    after = [(await agent.ask(fact.question)).strip() for fact in facts]
    streamed = [(await said(agent.stream(fact.question))).strip() for fact in facts]
    assert after == streamed == right
    assert sum(a == b for a, b in zip(before, right, strict=True)) <= 1, "by chance"
    hook = local.model.register_forward_hook(at_pass(1, lambda: alice.revoke(grant)))
    try:
        with pytest.raises(NotFoundError):
            await agent.ask(facts[0].question)
    finally:
        hook.remove()
    assert [(await agent.ask(fact.question)).strip() for fact in facts] == before


async def test_a_revoked_grant_stops_the_next_answer_and_the_one_in_progress(
    alice: Session, bob: Session, local: LocalModel, framework: Framework
) -> None:
    alice.add("w5 w6 w7")
    agent = framework(RememberingModel(local, bob))
    assert await agent.ask(ASKED) == expected(local, None)
    grant = alice.grant("user:bob", "read", on="user:alice")
    assert await agent.ask(ASKED) == expected(local, bob) != expected(local, None)
    released: list[str] = []
    hook = local.model.register_forward_hook(at_pass(3, lambda: alice.revoke(grant)))
    try:
        with pytest.raises(NotFoundError):
            await collected(agent.stream(ASKED), released)
    finally:
        hook.remove()
    assert len(released) <= 2, "what had left already, and nothing of what was written since"
    assert await agent.ask(ASKED) == expected(local, None)


async def test_a_revoked_grant_stops_an_answer_that_is_not_streamed(
    alice: Session, bob: Session, local: LocalModel, framework: Framework
) -> None:
    alice.add("w5 w6 w7")
    agent = framework(RememberingModel(local, bob))
    for ask in (agent.ask, lambda text: asyncio.to_thread(agent.ask_at_once, text)):
        grant = alice.grant("user:bob", "read", on="user:alice")
        hook = local.model.register_forward_hook(at_pass(3, lambda g=grant: alice.revoke(g)))
        try:
            with pytest.raises(NotFoundError):
                await ask(ASKED)
        finally:
            hook.remove()


def at_pass(number: int, act: Callable[[], object]) -> Callable[..., None]:
    """Act in another thread when the model has written so many words."""
    passes = 0

    def count(*_: Any) -> None:
        nonlocal passes
        passes += 1
        if passes == number:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(act).result()

    return count


async def test_a_cancelled_request_stops_the_model(
    alice: Session, local: LocalModel, framework: Framework
) -> None:
    alice.add("w5 w6 w7")
    agent = framework(RememberingModel(local, alice, context_window=2 * LONG), max_tokens=LONG)
    for ask in (agent.ask, lambda text: said(agent.stream(text))):
        started = threading.Event()
        hook = local.model.register_forward_hook(lambda *_, s=started: s.set())
        task = asyncio.create_task(ask(ASKED))
        await asyncio.to_thread(started.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        hook.remove()
        await nobody_writes()


async def nobody_writes() -> None:
    """Wait until no thread writes any more; an answer without end would never let it be so."""
    for _ in range(1_000):
        if not any(each.name.startswith("memos-generate") for each in threading.enumerate()):
            return
        await asyncio.sleep(0.01)
    pytest.fail("the model is still writing")


async def test_who_listens_no_more_stops_the_model(
    alice: Session, local: LocalModel, framework: Framework
) -> None:
    agent = framework(RememberingModel(local, alice, context_window=2 * LONG), max_tokens=LONG)
    pieces = agent.stream(ASKED)
    assert await anext(pieces)
    await pieces.aclose()
    await nobody_writes()


@pytest.mark.parametrize(
    "name", ["memos_langchain.chat", "memos_llamaindex.llm", "memos_autogen.client"]
)
def test_the_examples_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert (result.failed, result.attempted > 2) == (0, True)


# -- LangChain ----------------------------------------------------------------------------------


async def test_langchain_finds_who_acts_in_the_requests_config(
    memos: MemOS, local: LocalModel
) -> None:
    def who(config: RunnableConfig) -> Session:
        return memos.session(f"user:{config['configurable']['user']}")

    chat = MemosChatModel(model=RememberingModel(local, who), max_tokens=NEW)
    agent = create_agent(chat)
    for n, name in enumerate(("ann", "ben")):
        session = memos.session(f"user:{name}")
        session.add(f"w5 w{n + 20} w{n + 30}")
        config: RunnableConfig = {"configurable": {"user": name}}
        asked: Any = {"messages": [HumanMessage(ASKED)]}
        events = await chat.astream_events(ASKED, config, version="v3")
        answers = [
            chat.invoke(ASKED, config).text,
            (await chat.ainvoke(ASKED, config)).text,
            "".join(str(each.text) for each in chat.stream(ASKED, config)),
            "".join([str(each.text) async for each in chat.astream(ASKED, config)]),
            chat.batch([ASKED], config)[0].text,
            (chat | (lambda message: message.text)).invoke(ASKED, config),
            agent.invoke(asked, config)["messages"][-1].text,
            chat.stream_events(ASKED, config, version="v3").output.text,
            (await events.output).text,
        ]
        assert set(map(str, answers)) == {expected(local, session)}
    for nobody in (chat, MemosChatModel(model=RememberingModel(local, None))):
        with pytest.raises((KeyError, DeniedError)):
            nobody.invoke(ASKED)
        with pytest.raises((KeyError, DeniedError)):
            nobody._generate([HumanMessage(ASKED)])


def test_langchains_cache_never_answers_for_the_vault(
    memos: MemOS, alice: Session, bob: Session, local: LocalModel
) -> None:
    alice.add("w5 w6 w7")
    chat = MemosChatModel(model=RememberingModel(local, memos), max_tokens=NEW)
    set_llm_cache(InMemoryCache())
    try:
        for session in (alice, bob):
            with memos.acting(session):
                assert chat.invoke(ASKED).text == expected(local, session)
    finally:
        set_llm_cache(None)
    with pytest.raises(ValueError, match="False"):
        MemosChatModel(model=RememberingModel(local, memos), cache=True)


def test_langchain_is_told_what_an_answer_cost_and_no_secrets(
    alice: Session, local: LocalModel
) -> None:
    alice.add("w5 w6 w7")
    chat = MemosChatModel(model=RememberingModel(local, alice), max_tokens=NEW)
    made = chat.invoke(ASKED)
    chunks = list(chat.stream(ASKED))
    whole = chunks[0]
    for each in chunks[1:]:
        whole += each
    assert made.usage_metadata == whole.usage_metadata
    assert made.usage_metadata is not None
    assert made.usage_metadata["output_tokens"] == NEW
    assert made.usage_metadata["input_tokens"] > chat.get_num_tokens_from_messages(
        [HumanMessage(ASKED)]
    )
    assert made.response_metadata["finish_reason"] == "length"
    assert chat.get_num_tokens("w5 w9") == 2
    assert chat.profile is not None
    assert chat.profile["max_input_tokens"] == 512
    for text in (dumps(chat), repr(chat), repr(chat.asdict()), dumps(made)):
        assert "alice" not in text
        assert "w6" not in text.replace(str(made.text), "")


def test_langchain_refuses_what_a_local_model_cannot_do(alice: Session, local: LocalModel) -> None:
    chat = MemosChatModel(model=RememberingModel(local, alice), max_tokens=NEW)

    @tool
    def look(where: str) -> str:
        """Look somewhere."""
        return where

    with pytest.raises(InvalidInputError, match="without tools"):
        create_agent(chat, [look]).invoke({"messages": [HumanMessage(ASKED)]})
    with pytest.raises(InvalidInputError, match="without tools"):
        chat.with_structured_output({"title": "x", "type": "object", "properties": {}})
    with pytest.raises(InvalidInputError, match="top_k"):
        chat.invoke(ASKED, top_k=3)
    assert chat.invoke(ASKED, max_tokens=3).usage_metadata["output_tokens"] == 3  # type: ignore[index]


class OfLangChain:
    """What LangChain's own suites need to know."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _vault(cls) -> Any:
        with temporary_memos() as memos:
            alice = memos.session("user:alice")
            alice.add("w5 w6 w7")
            cls.remembering = RememberingModel(random_model("llama"), alice)  # type: ignore[attr-defined]
            yield

    @property
    def chat_model_class(self) -> type[MemosChatModel]:
        return MemosChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": self.remembering}  # type: ignore[attr-defined]

    @property
    def has_tool_calling(self) -> bool:
        return False

    @property
    def has_structured_output(self) -> bool:
        return False


class TestLangChainUnit(OfLangChain, ChatModelUnitTests):
    pass


class TestLangChainIntegration(OfLangChain, ChatModelIntegrationTests):
    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        return {"temperature": 0, "max_tokens": NEW}


# -- LlamaIndex ---------------------------------------------------------------------------------


async def test_llamaindex_completes_chats_and_streams_alike(
    alice: Session, local: LocalModel
) -> None:
    alice.add("w5 w6 w7")
    llm = MemosLLM(model=RememberingModel(local, alice), max_tokens=NEW)
    asked = [ChatMessage(ASKED)]
    answers = [
        llm.complete(ASKED).text,
        (await llm.acomplete(ASKED)).text,
        list(llm.stream_complete(ASKED))[-1].text,
        [each async for each in await llm.astream_complete(ASKED)][-1].text,
        "".join(each.delta or "" for each in llm.stream_complete(ASKED)),
        llm.chat(asked).message.content,
        (await llm.achat(asked)).message.content,
        list(llm.stream_chat(asked))[-1].message.content,
        llm.complete(ASKED, max_tokens=NEW, stop=[]).text,
    ]
    streamed = LlamaIndex(llm.model).engine().stream_chat(ASKED)
    answers.append("".join(streamed.response_gen))
    assert set(answers) == {expected(local, alice)}
    made = llm.chat(asked)
    assert made.raw["finish_reason"] == "length"
    assert made.additional_kwargs["completion_tokens"] == NEW
    assert llm.metadata.context_window == 512
    assert "alice" not in llm.to_json()
    with pytest.raises(InvalidInputError, match="top_k"):
        llm.chat(asked, top_k=3)


def test_llamaindexs_query_engine_answers_with_it(alice: Session, local: LocalModel) -> None:
    alice.add("w5 w6 w7")
    llm = MemosLLM(model=RememberingModel(local, alice), max_tokens=NEW)
    engine = RetrieverQueryEngine(
        MemosRetriever(alice), get_response_synthesizer(llm=llm, response_mode="generation")
    )
    assert str(engine.query(ASKED)) == expected(local, alice)


# -- AutoGen ------------------------------------------------------------------------------------


async def test_autogen_counts_and_refuses(alice: Session, local: LocalModel) -> None:
    alice.add("w5 w6 w7")
    client = MemosChatCompletionClient(RememberingModel(local, alice), max_tokens=NEW)
    asked = [SystemMessage(content="w1"), UserMessage(content=ASKED, source="user")]
    parts = [each async for each in client.create_stream(asked)]
    made = await client.create(asked)
    assert isinstance(parts[-1], CreateResult)
    assert parts[-1] == made
    assert "".join(each for each in parts if isinstance(each, str)) == made.content
    assert made.usage.completion_tokens == NEW
    assert client.total_usage() == client.actual_usage()
    assert client.total_usage().completion_tokens == 2 * NEW
    assert client.count_tokens(asked) == 9
    assert client.remaining_tokens(asked) == 512 - 9
    assert not client.model_info["function_calling"]
    assert not client.capabilities["vision"]
    for refused in (
        {"tools": [{"name": "look"}]},
        {"tool_choice": "required"},
        {"json_output": True},
        {"json_output": CreateResult},
        {"extra_create_args": {"top_k": 3}},
    ):
        with pytest.raises(InvalidInputError):
            await client.create(asked, **refused)  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError):
            await anext(client.create_stream(asked, **refused))  # type: ignore[arg-type]
    short = await client.create(asked, extra_create_args={"max_tokens": 3})
    assert short.usage.completion_tokens == 3
    await client.close()


async def test_an_autogen_agents_dump_refuses_and_its_state_holds_no_memory(
    alice: Session, local: LocalModel
) -> None:
    alice.add("w5 w6 w7")
    client = MemosChatCompletionClient(RememberingModel(local, alice), max_tokens=NEW)
    agent = AssistantAgent("helper", client, system_message=None)
    for each in (client, agent):
        with pytest.raises(InvalidInputError, match="in code"):
            each.dump_component()
    answer = (await agent.run(task=ASKED)).messages[-1].to_text()
    assert answer == expected(local, alice)
    assert "memories" not in repr(await agent.save_state())


async def test_autogens_token_cancels_what_is_being_written(
    alice: Session, local: LocalModel
) -> None:
    model = RememberingModel(local, alice, context_window=2 * LONG)
    client = MemosChatCompletionClient(model, max_tokens=LONG)
    asked = [UserMessage(content=ASKED, source="user")]
    token = CancellationToken()
    started = threading.Event()
    hook = local.model.register_forward_hook(lambda *_: started.set())
    task = asyncio.create_task(client.create(asked, cancellation_token=token))
    await asyncio.to_thread(started.wait)
    token.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    hook.remove()
    await nobody_writes()
    with pytest.raises(asyncio.CancelledError):
        await client.create(asked, cancellation_token=token)  # it was cancelled before
    other = CancellationToken()
    pieces = client.create_stream(asked, cancellation_token=other)
    assert await anext(pieces)
    other.cancel()
    with pytest.raises(asyncio.CancelledError):
        await anext(pieces)
    await nobody_writes()
