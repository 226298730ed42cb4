"""memos-autogen: memory and model context, for whoever acts; nothing lives on in a saved state."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_core import FunctionCall, Image
from autogen_core.models import (
    AssistantMessage,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    SystemMessage,
    UserMessage,
)

from memos_autogen import (
    MemosChatCompletionContext,
    MemosComponentConfig,
    MemosMemory,
    from_message,
    profiles,
    to_messages,
)
from memos_core import DeniedError, InvalidInputError, MemOS, Session
from tests.scripted import autogen_client, autogen_shown


@pytest.fixture(autouse=True)
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """AutoGen's coming versions load components of listed packages only."""
    monkeypatch.setenv("AUTOGEN_ALLOWED_PROVIDER_NAMESPACES", "memos_autogen")


async def test_an_agent_accepts_the_memory_and_survives_dump_and_load(
    memos: MemOS, alice: Session
) -> None:
    alice.add("I am allergic to peanuts.")
    config = MemosComponentConfig(vault="vault", profile="cook")
    agent = AssistantAgent("cook", autogen_client("x"), memory=[MemosMemory(alice, config)])
    dumped = agent.dump_component()
    text = dumped.model_dump_json()
    assert "cook" in text
    assert "alice" not in text
    with profiles({"cook": alice}):
        loaded = AssistantAgent.load_component(dumped)
    await loaded.run(task="What about peanuts?")
    client: Any = loaded._model_client
    assert "I am allergic to peanuts." in autogen_shown(client)[-1]
    refused = AssistantAgent.load_component(dumped)
    with pytest.raises(DeniedError):
        await refused.run(task="What about peanuts?")


async def test_what_is_forgotten_is_gone_from_the_next_call_also_in_a_resumed_state(
    alice: Session,
) -> None:
    cube = alice.add("The door code is 7319.")
    client = autogen_client("one", "two", "three")
    context = MemosChatCompletionContext(alice)
    agent = AssistantAgent("desk", client, model_context=context, memory=[MemosMemory(alice)])
    await agent.run(task="What is the door code?")
    assert "The door code is 7319." in autogen_shown(client)[-1]
    state = json.loads(json.dumps(await agent.save_state()))
    assert "7319" not in json.dumps(state)
    alice.forget(cube.id)
    await agent.run(task="The door code, again?")
    assert "7319" not in autogen_shown(client)[-1]
    resumed = AssistantAgent("desk", client, model_context=MemosChatCompletionContext(alice))
    await resumed.load_state(state)
    await resumed.run(task="And now, the door code?")
    prompt = autogen_shown(client)[-1]
    assert "What is the door code?" in prompt  # the conversation goes on
    assert "7319" not in prompt


async def test_turns_are_written_where_the_context_is_told_to(alice: Session, bob: Session) -> None:
    context = MemosChatCompletionContext(alice, MemosComponentConfig(remember=True))
    agent = AssistantAgent("desk", autogen_client("At nine."), model_context=context)
    await agent.run(task="When does the boat leave?")
    said = [(cube.meta.speaker, cube.text) for cube in alice.get_all()]
    assert said == [("user", "When does the boat leave?"), ("desk", "At nine.")]
    assert bob.search("boat").texts == []


async def test_a_dump_of_the_context_holds_no_identity_either(alice: Session) -> None:
    context = MemosChatCompletionContext(alice, MemosComponentConfig(profile="desk"))
    await context.add_message(UserMessage(content="canary", source="user"))
    dumped = context.dump_component()
    assert "alice" not in dumped.model_dump_json()
    assert "canary" not in dumped.model_dump_json()
    with profiles({"desk": alice}):
        loaded = MemosChatCompletionContext.load_component(dumped)
    assert await loaded.get_messages() == []


async def test_two_hundred_requests_by_twenty_users_through_one_memory_mix_nothing(
    memos: MemOS,
) -> None:
    for number in range(20):
        memos.session(f"user:u{number}").add(f"the secret of u{number}")
    memory = MemosMemory(memos)
    wrong: list[str] = []

    async def request(number: int) -> None:
        with memos.acting(memos.session(f"user:u{number}")):
            client = autogen_client("ok")
            agent = AssistantAgent("desk", client, memory=[memory])
            await agent.run(task=f"What is the secret, asks u{number}?")
        prompt = autogen_shown(client)[-1]
        told = {n for n in range(20) if f"the secret of u{n}\n" in prompt + "\n"}
        if told != {number}:
            wrong.append(prompt)

    async with anyio.create_task_group() as tasks:
        for turn in range(200):
            tasks.start_soon(request, turn % 20)
    assert wrong == []


RESULT = FunctionExecutionResult(content="42", name="look", call_id="c1", is_error=False)


@pytest.mark.parametrize(
    "message",
    [
        SystemMessage(content="be kind"),
        UserMessage(content="hello", source="maya"),
        UserMessage(content=["a", "b"], source="maya"),
        AssistantMessage(content="hi", source="desk"),
        AssistantMessage(
            content=[FunctionCall(id="c1", name="look", arguments='{"q": 1}')],
            thought="hm",
            source="desk",
        ),
        FunctionExecutionResultMessage(content=[RESULT]),
    ],
)  # fmt: skip
def test_messages_come_back_whole(message: Any) -> None:
    back: Any = from_message(to_messages(message)[0])
    if message.content == ["a", "b"]:
        assert back.content == "a\nb"  # AutoGen's text parts have no boundary of their own
    else:
        assert back == message


def test_an_image_by_value_is_refused_with_what_to_do() -> None:
    from PIL import Image as Picture

    image = Image(Picture.new("RGB", (2, 2)))
    with pytest.raises(InvalidInputError, match="by reference"):
        to_messages(UserMessage(content=["see", image], source="maya"))
