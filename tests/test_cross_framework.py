"""Each class that writes against each that reads: whole for who may, nothing for who may not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_core.memory import MemoryContent, MemoryMimeType
from autogen_core.model_context import UnboundedChatCompletionContext
from autogen_core.models import UserMessage
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock

from memos_autogen import MemosChatCompletionContext, MemosComponentConfig
from memos_autogen import MemosMemory as AutoGenMemory
from memos_core import MemOS, Session
from memos_langchain import (
    MemosChatMessageHistory,
    MemosMiddleware,
    MemosStore,
)
from memos_langchain import MemosRetriever as LangChainRetriever
from memos_langchain.classic import MemosMemory as ClassicMemory
from memos_llamaindex import MemosMemory as LlamaIndexMemory
from memos_llamaindex import MemosMemoryBlock
from memos_llamaindex import MemosRetriever as LlamaIndexRetriever
from tests.scripted import autogen_client, autogen_shown, langchain_model

SAID = "The harbour boat leaves at nine."
ASKED = "When does the harbour boat leave?"


async def by_store(session: Session) -> None:
    await MemosStore(session).aput(("boats",), "harbour", {"text": SAID})


async def by_middleware(session: Session) -> None:
    agent = create_agent(langchain_model("Noted."), middleware=[MemosMiddleware(session)])
    await agent.ainvoke({"messages": [HumanMessage(SAID)]})


async def by_history(session: Session) -> None:
    await MemosChatMessageHistory(session, "t").aadd_messages([HumanMessage(SAID)])


async def by_classic(session: Session) -> None:
    await ClassicMemory(session=session).asave_context({"input": SAID}, {"output": "Noted."})


async def by_llamaindex_memory(session: Session) -> None:
    await LlamaIndexMemory.from_defaults(session=session, thread="w").aput(ChatMessage(SAID))


async def by_llamaindex_block(session: Session) -> None:
    await MemosMemoryBlock(session=session).aput([ChatMessage(SAID)])


async def by_autogen_memory(session: Session) -> None:
    content = MemoryContent(content=SAID, mime_type=MemoryMimeType.TEXT, metadata={"a": 1})
    await AutoGenMemory(session).add(content)


async def by_autogen_context(session: Session) -> None:
    context = MemosChatCompletionContext(session, MemosComponentConfig(remember=True))
    await context.add_message(UserMessage(content=SAID, source="user"))


Header = dict[str, Any] | None
Read = tuple[str, Header]


async def from_langchain_retriever(session: Session) -> list[Read]:
    found = await LangChainRetriever(session=session).ainvoke(ASKED)
    return [(each.page_content, each.metadata["memos"]) for each in found]


async def from_store(session: Session) -> list[Read]:
    found = await MemosStore(session).asearch(("memos",), query=ASKED)
    return [(each.value["text"], each.value["memos"]) for each in found]


async def from_middleware(session: Session) -> list[Read]:
    model = langchain_model("ok")
    agent = create_agent(model, middleware=[MemosMiddleware(session, remember=False)])
    await agent.ainvoke({"messages": [HumanMessage(ASKED)]})
    return [(model.shown[-1], None)]


async def from_classic(session: Session) -> list[Read]:
    found = await ClassicMemory(session=session).aload_memory_variables({"input": ASKED})
    return [(found["memory"], None)]


async def from_llamaindex_retriever(session: Session) -> list[Read]:
    found = await LlamaIndexRetriever(session).aretrieve(ASKED)
    return [(each.text, each.metadata["memos"]) for each in found]


async def from_llamaindex_memory(session: Session) -> list[Read]:
    memory = LlamaIndexMemory.from_defaults(session=session, thread="r")
    return [(str(each.content), None) for each in await memory.aget(input=ASKED)]


async def from_llamaindex_block(session: Session) -> list[Read]:
    return [(await MemosMemoryBlock(session=session).aget([ChatMessage(ASKED)]), None)]


async def from_autogen_query(session: Session) -> list[Read]:
    found = (await AutoGenMemory(session).query(ASKED)).results
    return [(str(each.content), (each.metadata or {})["memos"]) for each in found]


async def from_autogen_update(session: Session) -> list[Read]:
    context = UnboundedChatCompletionContext()
    await context.add_message(UserMessage(content=ASKED, source="user"))
    updated = await AutoGenMemory(session).update_context(context)
    return [(str(e.content), (e.metadata or {})["memos"]) for e in updated.memories.results]


async def from_autogen_context(session: Session) -> list[Read]:
    client = autogen_client("ok")
    agent = AssistantAgent("desk", client, model_context=MemosChatCompletionContext(session))
    await agent.run(task=ASKED)
    return [(autogen_shown(client)[-1], None)]


WRITERS: dict[str, tuple[Callable[[Session], Awaitable[None]], str | None, str]] = {
    "langgraph store": (by_store, None, "langgraph"),
    "langchain middleware": (by_middleware, "user", "langchain"),
    "langchain history": (by_history, "user", "langchain"),
    "langchain classic memory": (by_classic, "user", "langchain"),
    "llamaindex memory": (by_llamaindex_memory, "user", "llamaindex"),
    "llamaindex block": (by_llamaindex_block, "user", "llamaindex"),
    "autogen memory": (by_autogen_memory, None, "autogen"),
    "autogen context": (by_autogen_context, "user", "autogen"),
}
READERS: dict[str, Callable[[Session], Awaitable[list[Read]]]] = {
    "langchain retriever": from_langchain_retriever,
    "langgraph store": from_store,
    "langchain middleware": from_middleware,
    "langchain classic memory": from_classic,
    "llamaindex retriever": from_llamaindex_retriever,
    "llamaindex memory": from_llamaindex_memory,
    "llamaindex block": from_llamaindex_block,
    "autogen query": from_autogen_query,
    "autogen update_context": from_autogen_update,
    "autogen context": from_autogen_context,
}


@pytest.mark.parametrize("reader", list(READERS))
@pytest.mark.parametrize("writer", list(WRITERS))
async def test_what_one_writes_the_other_reads_if_and_only_if_the_vault_allows_it(
    memos: MemOS, alice: Session, bob: Session, writer: str, reader: str
) -> None:
    write, speaker, source = WRITERS[writer]
    read = READERS[reader]
    await write(alice)
    found = [each for each in await read(alice) if SAID in each[0]]
    assert len(found) == 1
    header = found[0][1]
    if header is not None:
        assert header["owner"] == "user:alice"
        assert header.get("speaker") == speaker
        assert header["source"] == source
        assert str(header["created"]).startswith("2026-01-01T00:00:00")
    before = memos.verify_ledger().events
    assert not [each for each in await read(bob) if SAID in each[0]]
    assert memos.verify_ledger().events > before  # the refused read is in the ledger
    grant = alice.grant("user:bob", "read", on="user:alice")
    assert [each for each in await read(bob) if SAID in each[0]]
    alice.revoke(grant)
    assert not [each for each in await read(bob) if SAID in each[0]]


@pytest.mark.parametrize("reader", list(READERS))
async def test_what_is_forgotten_is_gone_from_the_next_call_of_every_reader(
    alice: Session, reader: str
) -> None:
    cube = alice.add(SAID)
    assert [each for each in await READERS[reader](alice) if SAID in each[0]]
    alice.forget(cube.id)
    assert not [each for each in await READERS[reader](alice) if SAID in each[0]]


def test_a_conversation_goes_on_in_another_framework(alice: Session, bob: Session) -> None:
    """Roles, names, ids, tool calls and order are whole on either side; a stranger has none."""
    history = MemosChatMessageHistory(alice, "monday")
    memory = LlamaIndexMemory.from_defaults(session=alice, thread="monday")
    call: Any = {"id": "c1", "name": "look", "args": {"q": 1}, "type": "tool_call"}
    history.add_messages(
        [
            HumanMessage("Thanks!", name="maya", id="m1"),
            AIMessage("", tool_calls=[call]),
            ToolMessage("42", tool_call_id="c1", name="look"),
            HumanMessage("Thanks!"),
        ]
    )
    there = memory.get_all()
    assert [m.role.value for m in there] == ["user", "assistant", "tool", "user"]
    assert [m.content for m in there] == ["Thanks!", None, "42", "Thanks!"]
    assert there[0].additional_kwargs == {"name": "maya", "id": "m1"}
    assert there[1].blocks == [
        ToolCallBlock(tool_call_id="c1", tool_name="look", tool_kwargs={"q": 1})
    ]
    assert there[2].additional_kwargs["tool_call_id"] == "c1"
    memory.put(ChatMessage(role="assistant", content="You are welcome."))
    assert [(m.type, m.text) for m in history.messages][-1] == ("ai", "You are welcome.")
    assert history.messages[1].tool_calls == [call]  # type: ignore[attr-defined]
    assert MemosChatMessageHistory(bob, "monday").messages == []
    assert LlamaIndexMemory.from_defaults(session=bob, thread="monday").get_all() == []
