"""memos-llamaindex: memory, block and messages, for whoever acts."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import MockLLM
from llama_index.core.memory import Memory
from llama_index.core.query_engine import RetrieverQueryEngine

from memos_core import DeniedError, MemOS, Session
from memos_llamaindex import (
    MemosMemory,
    MemosMemoryBlock,
    MemosRetriever,
    from_message,
    to_message,
)


class Listening(MockLLM):
    """LlamaIndex's mock model, which keeps what it was shown."""

    def chat(self, messages: Any, **kwargs: Any) -> Any:
        SHOWN.append("\n".join(str(m.content) for m in messages))
        return super().chat(messages, **kwargs)


SHOWN: list[str] = []


def test_a_query_engine_answers_from_the_askers_memories_only(alice: Session, bob: Session) -> None:
    alice.add("The boat leaves at nine.")
    for session, expected in ((alice, ["The boat leaves at nine."]), (bob, [])):
        engine = RetrieverQueryEngine.from_args(MemosRetriever(session), llm=MockLLM())
        response = engine.query("When does the boat leave?")
        assert [node.text for node in response.source_nodes] == expected


def test_memory_writes_every_message_and_keeps_order_and_repetition(alice: Session) -> None:
    memory = MemosMemory.from_defaults(session=alice, thread="monday")
    said = ["Thanks!", "Welcome.", "Thanks!"]
    memory.put_messages([ChatMessage(text) for text in said])
    assert [m.content for m in memory.get_all()] == said
    other = MemosMemory.from_defaults(session=alice, thread="tuesday")
    assert other.get_all() == []
    memory.set([ChatMessage("only this")])
    assert [m.content for m in memory.get_all()] == ["only this"]
    memory.reset()
    assert memory.get_all() == []
    assert len(alice.get_all()) == 0


def test_memory_recalls_what_other_conversations_said_and_forgets_it_at_once(
    alice: Session, bob: Session
) -> None:
    cube = alice.add("I am allergic to peanuts.")
    memory = MemosMemory.from_defaults(session=alice)
    first = memory.get(input="What about peanuts?")[0]
    assert "I am allergic to peanuts." in str(first.content)
    assert first.role == MessageRole.USER
    alice.forget(cube.id)
    assert memory.get(input="What about peanuts?") == []
    assert MemosMemory.from_defaults(session=bob).get(input="peanuts") == []


def test_a_chat_engine_runs_on_the_vault(memos: MemOS, alice: Session) -> None:
    SHOWN.clear()
    alice.add("The boat leaves at nine.")
    memory = MemosMemory.from_defaults(session=alice)
    engine = SimpleChatEngine.from_defaults(llm=Listening(), memory=memory)
    engine.chat("When does the boat leave?")
    assert "The boat leaves at nine." in SHOWN[-1]
    roles = [message.role for message in memory.get_all()]
    assert roles == [MessageRole.USER, MessageRole.ASSISTANT]


def test_a_serialised_memory_carries_no_memories_and_no_identity(alice: Session) -> None:
    memory = MemosMemory.from_defaults(session=alice, thread="monday")
    memory.put(ChatMessage("canary"))
    text = str(memory.to_dict()) + memory.to_json()
    assert "canary" not in text
    assert "alice" not in text
    with pytest.raises(DeniedError):
        MemosMemory.from_dict(memory.to_dict()).get_all()


async def test_a_block_recalls_into_llamaindexs_own_memory(alice: Session, bob: Session) -> None:
    alice.add("I am allergic to peanuts.")
    for session, expected in ((alice, True), (bob, False)):
        memory = Memory.from_defaults(
            session_id=session.principal, memory_blocks=[MemosMemoryBlock(session=session)]
        )
        await memory.aput(ChatMessage("What about peanuts?"))
        shown = "\n".join(str(m.content) for m in await memory.aget())
        assert ("I am allergic to peanuts." in shown) is expected


async def test_what_the_buffer_ejects_goes_into_the_vault(alice: Session) -> None:
    block = MemosMemoryBlock(session=alice, thread="t")
    await block.aput([ChatMessage("long ago"), ChatMessage("long ago")])
    assert [cube.text for cube in alice.get_all()] == ["long ago", "long ago"]


def test_two_hundred_requests_by_twenty_users_through_one_object_mix_nothing(memos: MemOS) -> None:
    for number in range(20):
        memos.session(f"user:u{number}").add(f"the secret of u{number}")
    retriever, memory = MemosRetriever(memos), MemosMemory.from_defaults(session=memos)
    wrong: list[str] = []

    def work(worker: int) -> None:
        for turn in range(25):
            number = (worker * 25 + turn) % 20
            with memos.acting(memos.session(f"user:u{number}")):
                memory.put(ChatMessage(f"u{number} asks for the secret"))
                texts = [node.text for node in retriever.retrieve("secret")]
                texts += [str(m.content) for m in memory.get_all()]
            wrong.extend(text for text in texts if f"u{number}" not in text.split())
            if f"the secret of u{number}" not in texts:
                wrong.append(f"u{number} misses its own")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert wrong == []


CALL = ToolCallBlock(tool_call_id="c1", tool_name="look", tool_kwargs={"q": 1})


@pytest.mark.parametrize(
    "message",
    [
        ChatMessage("hello"),
        ChatMessage(role="system", content="be kind"),
        ChatMessage(role="assistant", blocks=[CALL]),
        ChatMessage(role="tool", content="42", additional_kwargs={"tool_call_id": "c1"}),
        ChatMessage(blocks=[TextBlock(text="see"), ImageBlock(url="https://example.org/a.png")]),
        ChatMessage(role="assistant", blocks=[ThinkingBlock(content="hm"), TextBlock(text="so")]),
    ],
)  # fmt: skip
def test_messages_come_back_whole(message: ChatMessage) -> None:
    assert from_message(to_message(message)) == message
