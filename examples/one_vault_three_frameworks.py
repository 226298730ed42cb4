"""One vault, three frameworks: what one writes the others recall, if the vault allows it.

The frameworks are real, and so are their agents; where an LLM would be, each has its own scripted
model, which lets us look at exactly what it was shown. Run by `make demo`; needs no network.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import ModelFamily, ModelInfo
from autogen_ext.models.replay import ReplayChatCompletionClient
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatResult
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from pydantic import PrivateAttr
from rich.console import Console
from rich.markup import escape

from memos_autogen import MemosChatCompletionContext
from memos_core import Key, MemOS, Session, Settings, embedder_named
from memos_langchain import MemosMiddleware
from memos_llamaindex import MemosRetriever

OUT = Console(width=100, highlight=False)
FACT = "Please order the cake without nuts: Tomas is allergic to walnuts."
NOTE = "Between us: the caterer is too expensive, look for another one."
QUESTION = "What must the cake for Tomas not contain?"


class Broken(Exception):  # noqa: N818 - it is not the caller's error
    """Something that this demo claims is not so."""


class ToolFake(GenericFakeChatModel):
    """LangChain's fake model, which lets tools be bound and keeps what it was shown."""

    _shown: list[str] = PrivateAttr(default_factory=list)

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self._shown.append("\n".join(str(message.text) for message in messages))
        return super()._generate(messages, *args, **kwargs)

    def bind_tools(self, tools: Sequence[Any], **_kwargs: Any) -> Any:  # noqa: ARG002
        """Take the tools and ignore them."""
        return self


def heading(text: str) -> None:
    """Start a step."""
    OUT.print(f"\n[bold]{escape(text)}[/bold]")


def claim(text: str, holds: bool) -> None:
    """Print a claim that was checked.

    Raises:
        Broken: It does not hold.
    """
    if not holds:
        raise Broken(text)
    OUT.print(f"  ✓ {escape(text)}")


def said() -> Iterator[AIMessage]:
    """Script LangChain's model."""
    while True:
        yield AIMessage("Noted.")


def langchain_turn(session: Session, text: str, *, remember: bool) -> str:
    """Say something to a LangChain agent; return what its model was shown."""
    model = ToolFake(messages=said())
    agent = create_agent(model, middleware=[MemosMiddleware(session, remember=remember)])
    agent.invoke({"messages": [HumanMessage(text)]})
    return model._shown[-1]


def llamaindex_answer(session: Session, question: str) -> str:
    """Ask a LlamaIndex query engine; its mock model answers with the prompt that it was shown."""
    engine = RetrieverQueryEngine.from_args(MemosRetriever(session, k=3), llm=MockLLM())
    return str(engine.query(question))


def autogen_team(planner: Session, caterer: Session, question: str) -> dict[str, str]:
    """Put a question to a team of two AutoGen agents; return what each one's model was shown."""
    info = ModelInfo(
        vision=False,
        function_calling=False,
        json_output=False,
        family=ModelFamily.UNKNOWN,
        structured_output=False,
    )
    clients = {
        name: ReplayChatCompletionClient([f"{name} has read it."], model_info=info)
        for name in ("planner", "caterer")
    }
    agents = [
        AssistantAgent(name, clients[name], model_context=MemosChatCompletionContext(session))
        for name, session in (("planner", planner), ("caterer", caterer))
    ]
    team = RoundRobinGroupChat(list(agents), termination_condition=MaxMessageTermination(3))
    asyncio.run(team.run(task=question))
    return {
        name: "\n".join(str(m.content) for m in client.create_calls[0]["messages"])
        for name, client in clients.items()
    }


def open_vault(memos: MemOS) -> None:
    """Grant the team its room: people and agents read and write it, an application may not."""
    heading("1. One vault; the room harbor/kiosk is for two people and two agents")
    maya = memos.session("user:maya")
    for member in ("user:ines", "user:maya", "agent:planner", "agent:caterer"):
        maya.add_member("group:kiosk", member)
    maya.grant("group:kiosk", ["read", "write"], on="harbor/kiosk")
    planner = memos.session("agent:planner")
    planner.add(NOTE, key="note")
    claim("The planner keeps a private note of its own.",
          planner.get(Key("note")).meta.space == "agent:planner")  # fmt: skip


def write_and_recall(memos: MemOS) -> None:
    """Write through LangChain, and recall through the two others."""
    heading("2. Ines tells her LangChain agent")
    OUT.print(f"    user:ines: {escape(FACT)}")
    room = memos.session("user:ines", space="harbor/kiosk")
    langchain_turn(room, FACT, remember=True)
    cube = room.search("Tomas cake walnuts", k=1)[0].cube
    claim(f"It is in {cube.meta.space}, said by {cube.meta.owner}, through {cube.meta.source}.",
          (cube.text, cube.meta.source) == (FACT, "langchain"))  # fmt: skip

    heading("3. Maya asks a LlamaIndex query engine")
    OUT.print(f"    user:maya: {QUESTION}")
    answer = llamaindex_answer(memos.session("user:maya"), QUESTION)
    claim("The engine's model was shown what Ines said.", FACT in answer)
    claim("It was not shown the planner's private note.", NOTE not in answer)

    heading("4. An AutoGen team works on it: a planner and a caterer")
    shown = autogen_team(
        memos.session("agent:planner"), memos.session("agent:caterer"), f"{QUESTION} Who caters?"
    )
    claim("Both agents were shown what Ines said.", all(FACT in text for text in shown.values()))
    claim("The planner was shown its own note.", NOTE in shown["planner"])
    claim("The caterer was not.", NOTE not in shown["caterer"])


def refuse(memos: MemOS) -> None:
    """Ask as somebody without a grant."""
    heading("5. An application without a grant asks the same through all three")
    crm = memos.session("app:crm")
    before = memos.verify_ledger().events
    answers = [langchain_turn(crm, QUESTION, remember=False), llamaindex_answer(crm, QUESTION)]
    answers += autogen_team(crm, crm, QUESTION).values()
    claim("No model was shown anything of it.", not any(FACT in text for text in answers))
    claim(f"Its {memos.verify_ledger().events - before} reads are in the ledger.",
          memos.verify_ledger().events > before)  # fmt: skip


def forget(memos: MemOS) -> None:
    """Forget, and ask again."""
    heading("6. Ines has it forgotten")
    room = memos.session("user:ines", space="harbor/kiosk")
    said_by_ines = [hit.id for hit in room.search("Tomas cake walnuts", k=50) if hit.text == FACT]
    report = room.forget(said_by_ines, reason="asked to")
    claim(f"The vault reports: {report.status}.", report.status == "erased")
    planner, caterer = memos.session("agent:planner"), memos.session("agent:caterer")
    maya = memos.session("user:maya")
    answers = [langchain_turn(maya, QUESTION, remember=False), llamaindex_answer(maya, QUESTION)]
    answers += autogen_team(planner, caterer, QUESTION).values()
    claim("No framework's model is shown it any more.", not any(FACT in each for each in answers))
    note = planner.get(Key("note")).text
    claim("What nobody asked to forget is still there.", note == NOTE)
    verdict = memos.verify_ledger()
    claim(f"The ledger is {verdict.status}: {verdict.events} events.",
          verdict.status == "self-consistent")  # fmt: skip


def main() -> int:
    """Run the demo; 1 where a claim does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--embedder", help="an embedder that MemOS brings, e.g. hashing-256")
    name = parser.parse_args().embedder
    OUT.rule("One vault, three frameworks")
    with (
        tempfile.TemporaryDirectory(prefix="memos-demo-") as folder,
        MemOS.open(
            f"{folder}/vault",
            settings=Settings(owner="user:maya"),
            embedder=embedder_named(name) if name else None,
        ) as memos,
    ):
        try:
            for step in (open_vault, write_and_recall, refuse, forget):
                step(memos)
        except Broken as broken:
            OUT.print(f"  ✗ NOT SO: {escape(str(broken))}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
