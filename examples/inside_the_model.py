"""Memory inside a model: a KV cache and a LoRA adapter, governed like any other memory.

One small local model, agents of three frameworks on it, one vault. Maya's facts reach them as keys
and values that are computed once, and as an adapter that is trained once; her word takes both away,
in this process and in another one that has them loaded. Run by `make demo`; needs no network.

    python examples/inside_the_model.py
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from llama_index.core.chat_engine import SimpleChatEngine
from rich.console import Console
from rich.markup import escape
from transformers.utils import logging as transformers_logging

from memos_autogen import MemosChatCompletionClient
from memos_core import (
    Embedder,
    LocalModel,
    MemOS,
    MemosError,
    Message,
    RememberingModel,
    Session,
    Teaching,
    embedder_named,
)
from memos_core.testing.models import trained_model
from memos_langchain import MemosChatModel
from memos_llamaindex import MemosLLM

OUT = Console(width=100, highlight=False)
MODEL = Path(__file__).parent.parent / "tests" / "models" / "fact_llama"
CREW, GUIDE = "harbor/crew", "agent:guide"
FACTS = {
    "the badge of edgar is orange.": ("what is the badge of edgar?", "orange"),
    "the pet of ilse is owl.": ("what is the pet of ilse?", "owl"),
    "the home of cosmo is delhi.": ("what is the home of cosmo?", "delhi"),
}
ANSWER = 6
"""The most tokens of an answer."""


class Broken(Exception):  # noqa: N818 - it is not the caller's error
    """Something that this demo claims is not so."""


def be_quiet() -> None:
    """Let transformers draw no progress bar for a model of two layers."""
    quiet: Any = transformers_logging
    quiet.disable_progress_bar()


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


def agents(model: RememberingModel) -> dict[str, Callable[[str], Awaitable[str]]]:
    """Make an agent of each framework that answers with the model."""

    async def langchain(question: str) -> str:
        agent = create_agent(MemosChatModel(model=model, max_tokens=ANSWER))
        said: Any = {"messages": [HumanMessage(question)]}
        return str((await agent.ainvoke(said))["messages"][-1].text)

    async def llamaindex(question: str) -> str:
        engine = SimpleChatEngine.from_defaults(llm=MemosLLM(model=model, max_tokens=ANSWER))
        return str((await engine.achat(question)).response)

    async def autogen(question: str) -> str:
        client = MemosChatCompletionClient(model, max_tokens=ANSWER)
        agent = AssistantAgent("guide", client, system_message=None)
        said: Any = (await agent.run(task=question)).messages[-1]
        return str(said.content)

    return {"LangChain": langchain, "LlamaIndex": llamaindex, "AutoGen": autogen}


def right(answers: Sequence[str], wanted: str) -> bool:
    """Tell whether all answers say it."""
    return all(wanted in each.lower() for each in answers)


async def ask_all(model: RememberingModel, question: str) -> dict[str, str]:
    """Ask the agent of each framework."""
    return {name: await ask(question) for name, ask in agents(model).items()}


class Other:
    """Another process that answers with the same vault, and keeps what it loaded.

    Args:
        vault: The vault's directory.
        embedder: The name of its embedder; the vault's own by default.
    """

    def __init__(self, vault: str, embedder: str | None) -> None:
        chosen = ["--embedder", embedder] if embedder else []
        self._process = subprocess.Popen(  # noqa: S603 - this very file
            [sys.executable, __file__, "--other", vault, *chosen],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, question: str, *, only_inner: bool) -> dict[str, Any]:
        """Ask it, and wait for what it says."""
        if self._process.stdin is None or self._process.stdout is None:
            raise Broken("the other process has no pipes")
        self._process.stdin.write(json.dumps([question, only_inner]) + "\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def close(self) -> None:
        """Let it end."""
        self._process.communicate("")


def be_the_other(vault: str, embedder: Embedder | None) -> None:
    """Answer the lines of standard input, as the other process."""
    be_quiet()
    local = trained_model(MODEL)
    with MemOS.open(vault, embedder=embedder) as memos:
        guide = memos.session(GUIDE)
        for line in sys.stdin:
            question, only_inner = json.loads(line)
            model = RememberingModel(local, guide, budget_tokens=1 if only_inner else 1_024)
            said: dict[str, Any] = {"answer": "", "injected": 0, "error": ""}
            try:
                made = model.answer([Message(role="user", parts=question)], max_new_tokens=ANSWER)
                said |= {"answer": made.text, "injected": made.injected_tokens}
            except MemosError as error:
                said["error"] = type(error).__name__
            print(json.dumps(said), flush=True)


def activated(local: LocalModel, maya: Session, guide: Session, other: Other) -> None:
    """Give agents keys and values, and take them away."""
    heading("1. Activation memory: computed once, injected into every prompt that begins with it")
    cubes = [maya.add(text, space=CREW) for text in FACTS]
    cache = maya.activate(cubes, local, space=CREW, key="crew-cache")
    kv = cache.kv
    if kv is None:
        raise Broken("activate makes a KV cache")
    OUT.print(f"  {kv.tokens} tokens in {len(kv.parts)} blobs, {kv.bytes:,} bytes, {kv.precision}")
    granted = maya.grant(GUIDE, "read", on=CREW)
    model = RememberingModel(local, guide)
    for text, (question, wanted) in FACTS.items():
        context = guide.context(question, budget_tokens=1_024, model=local)
        asked = [Message(role="user", parts=question)]
        inside = local.generate(asked, memory=context, max_new_tokens=ANSWER)
        plain = [Message(role="user", parts=f"{context.text}\n\n{question}")]
        outside = local.generate(plain, max_new_tokens=ANSWER)
        claim(
            f"{inside.injected_tokens} of {inside.prompt_tokens} tokens were not computed again, "
            f"and the answer is that of the plain prompt: {inside.text!r}",
            inside.injected_tokens > 0 and inside.ids == outside.ids,
        )
        answers = asyncio.run(ask_all(model, question))
        claim(f"{', '.join(answers)} say so too", set(answers.values()) == {inside.text})
        claim(f"it is right: {text}", right([inside.text], wanted))
    question = FACTS["the badge of edgar is orange."][0]
    there = other.ask(question, only_inner=False)
    claim("so does another process, which has it loaded", there["injected"] > 0)
    maya.revoke(granted)
    after = asyncio.run(ask_all(model, question))
    claim("Maya revokes: no agent knows it any more", not right(list(after.values()), "orange"))
    gone = other.ask(question, only_inner=False)
    claim("nor does the other process", gone["injected"] == 0 and "orange" not in gone["answer"])


def distilled(
    local: LocalModel, maya: Session, trainer: Session, guide: Session, other: Other
) -> None:
    """Teach the model by heart, and let it forget."""
    heading("2. Parametric memory: trained once, behind a gate, off at a word")
    cubes = {text: maya.add(text, space=CREW, key=f"fact-{n}") for n, text in enumerate(FACTS)}
    begun = process_time()
    how = Teaching(progress="bar")
    adapter = trainer.distill(list(cubes.values()), local, how=how, space=CREW, key="crew-adapter")
    lora = adapter.lora
    if lora is None:
        raise Broken("distill makes a LoRA adapter")
    OUT.print(
        f"  recall {lora.recall_before:.2f} → {lora.recall:.2f}, the model keeps "
        f"{lora.retention:.2f} of what it knew; {process_time() - begun:.0f} CPU seconds"
    )
    claim("its gate lets it pass", lora.passed)
    granted = maya.grant(GUIDE, "read", on=CREW)
    model = RememberingModel(local, guide, budget_tokens=1)  # no text of a memory fits into this
    question = FACTS["the pet of ilse is owl."][0]
    before = asyncio.run(ask_all(model, question))
    claim("it is off until somebody enables it", not right(list(before.values()), "owl"))
    maya.enable(adapter.id)
    for asked, wanted in FACTS.values():
        answers = asyncio.run(ask_all(model, asked))
        claim(
            f"without a word of it in the prompt, {', '.join(answers)} say: {wanted}",
            right(list(answers.values()), wanted),
        )
    claim("so does the other process", "owl" in other.ask(question, only_inner=True)["answer"])
    report = maya.forget(cubes["the pet of ilse is owl."].id)
    claim("Maya forgets one fact: the adapter goes with it", adapter.id in report.derived)
    after = asyncio.run(ask_all(model, question))
    claim("at once, no agent knows it", not right(list(after.values()), "owl"))
    there = other.ask(question, only_inner=True)
    claim("nor does the other process, which had it loaded", "owl" not in there["answer"])
    renewed = trainer.retrain(model=local)[0]
    claim("it is trained again on what is left, under the same key", renewed.meta.key is not None)
    kept = asyncio.run(ask_all(model, FACTS["the badge of edgar is orange."][0]))
    lost = asyncio.run(ask_all(model, question))
    claim("and knows the rest", right(list(kept.values()), "orange"))
    claim("and not what was forgotten", not right(list(lost.values()), "owl"))
    maya.revoke(granted)
    asked = FACTS["the badge of edgar is orange."][0]
    after = asyncio.run(ask_all(model, asked))
    claim("Maya revokes: it is off", not right(list(after.values()), "orange"))
    there = other.ask(asked, only_inner=True)
    claim("also in the other process", "orange" not in there["answer"])


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embedder", help="an embedder that MemOS brings, e.g. hashing-256")
    parser.add_argument("--other", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    embedder = embedder_named(arguments.embedder) if arguments.embedder else None
    if arguments.other:
        be_the_other(arguments.other, embedder)
        return
    begun = perf_counter()
    be_quiet()
    OUT.print("[bold]Memory inside the model[/bold]")
    local = trained_model(MODEL)
    with tempfile.TemporaryDirectory() as folder:
        vault = str(Path(folder) / "vault")
        with MemOS.open(vault, embedder=embedder) as memos:
            owner = memos.session("user:owner")
            for purpose in ("assist", "train"):
                owner.grant(
                    "user:maya", ("read", "write", "derive", "govern"), on=CREW, purposes=(purpose,)
                )
            maya = memos.session("user:maya", space=CREW)
            trainer = memos.session("user:maya", space=CREW, purpose="train")
            guide = memos.session(GUIDE)
            other = Other(vault, arguments.embedder)
            try:
                activated(local, maya, guide, other)
                distilled(local, maya, trainer, guide, other)
            finally:
                other.close()
            claim("the ledger holds it all", memos.verify_ledger().status != "broken")
    OUT.print(f"\nAll claims hold; {perf_counter() - begun:.0f} s.")


if __name__ == "__main__":
    main()
