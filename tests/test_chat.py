"""Chat models: one protocol, over a real server, a model in this process, and three frameworks."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from autogen_core import FunctionCall
from autogen_core.models import CreateResult, RequestUsage
from autogen_ext.models.replay import ReplayChatCompletionClient
from llama_index.core.llms import MockLLM

from memos_autogen import AutoGenChat
from memos_core import ChatModel, InvalidInputError, Message, ModelError, OpenAIChat, ToolCall
from memos_core.testing.models import random_model
from memos_langchain import LangChainChat
from memos_llamaindex import LlamaIndexChat
from tests.scripted import autogen_client, autogen_shown, langchain_model

KEY = "sk-verysecret-0123456789"
ASKED = [Message(role="system", parts="Be brief."), Message(role="user", parts="Who?")]
SCHEMA: dict[str, Any] = {
    "title": "Named", "type": "object", "properties": {"name": {"type": "string"}}
}  # fmt: skip


def completion(content: object) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
    return json.dumps(body | {"choices": [choice | {"finish_reason": "stop"}]}).encode()


Answer = Callable[[dict[str, Any]], tuple[int, bytes]]


@contextmanager
def server(answer: Answer, *, wait_s: float = 0, kind: str = "application/json") -> Iterator[Any]:
    """A server with OpenAI's interface; yields its address and the requests that it saw."""
    seen: list[tuple[str, str, dict[str, Any]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            seen.append((self.path, self.headers["authorization"], body))
            time.sleep(wait_s)
            status, said = answer(body)
            try:
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(said)))
                self.send_header("retry-after-ms", "1")
                self.end_headers()
                self.wfile.write(said)
            except OSError:
                return  # the client had enough

        def log_message(self, *_args: object) -> None:
            return

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}/v1", seen
    finally:
        running.shutdown()
        thread.join()
        running.server_close()


def client(url: str, *, retries: int = 0, timeout_s: float = 10) -> OpenAIChat:
    timeout = timedelta(seconds=timeout_s)
    return OpenAIChat("small", base_url=url, api_key=KEY, timeout=timeout, retries=retries)


def test_a_conversation_reaches_the_server_whole() -> None:
    call = ToolCall(id="c1", name="weather", arguments={"city": "Oslo"})
    talk = [
        *ASKED,
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", parts="rain", tool_call_id="c1"),
        Message(role="tool", parts="no call"),
    ]
    with server(lambda _: (200, completion("Anna."))) as (url, seen):
        assert client(url).chat(talk) == "Anna."
    [(path, authorization, body)] = seen
    assert (path, authorization) == ("/v1/chat/completions", f"Bearer {KEY}")
    asks = {"name": "weather", "arguments": '{"city": "Oslo"}'}
    assert body == {
        "model": "small",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Who?"},
            {"role": "assistant", "content": "", "tool_calls": [
                {"id": "c1", "type": "function", "function": asks}]},
            {"role": "tool", "content": "rain", "tool_call_id": "c1"},
            {"role": "user", "content": "no call"},
        ],
    }  # fmt: skip


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_knows_no_schemas_is_asked_without_one(status: int) -> None:
    def answer(body: dict[str, Any]) -> tuple[int, bytes]:
        refused = "response_format" in body
        return (status, b"{}") if refused else (200, completion("{}"))

    with server(answer) as (url, seen):
        assert client(url).chat(ASKED, schema=SCHEMA) == "{}"
    forms = [body.get("response_format") for _path, _authorization, body in seen]
    assert forms[1:] == [None]
    assert forms[0]["json_schema"]["schema"] == SCHEMA


@pytest.mark.parametrize(
    ("status", "says"),
    [(401, "check api_key"), (404, "check model"), (429, "ask again later"), (500, "overloaded")],
)
def test_a_refusal_says_what_to_do_and_never_the_key(
    status: int, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    told = json.dumps({"error": {"message": f"Incorrect API key: {KEY}", "code": KEY}}).encode()
    with (
        caplog.at_level(logging.DEBUG),
        server(lambda _: (status, told)) as (url, seen),
        pytest.raises(ModelError, match=says) as raised,
    ):
        client(url, retries=1).chat(ASKED)
    assert len(seen) == (2 if status in (429, 500) else 1), "what may pass is asked again"
    chain: list[BaseException | None] = [raised.value]
    assert raised.value.__context__ is None
    assert raised.value.__cause__ is None
    assert KEY not in repr(chain) + str(raised.value) + caplog.text
    assert KEY not in repr(client(url)) + str(vars(client(url)))


def test_a_server_that_recovers_is_asked_again() -> None:
    script = iter([(429, b"{}"), (503, b"{}"), (200, completion("Anna."))])
    with server(lambda _: next(script)) as (url, seen):
        assert client(url, retries=2).chat(ASKED) == "Anna."
    assert len(seen) == 3


def test_silence_ends_in_an_error() -> None:
    with (
        server(lambda _: (200, completion("late")), wait_s=0.5) as (url, _seen),
        pytest.raises(ModelError, match="silent for too long"),
    ):
        client(url, timeout_s=0.05).chat(ASKED)


def test_a_server_that_is_not_there_is_said_to_be_out_of_reach() -> None:
    with server(lambda _: (200, b"")) as (url, _seen):
        pass
    with pytest.raises(ModelError, match="could not be reached"):
        client(url).chat(ASKED)


@pytest.mark.parametrize("kind", ["application/json", "text/html"])
@pytest.mark.parametrize(
    "said",
    [b"", b"{", b"<html>", b"null", b"[]", b"7", b"{}", b'{"choices": []}', b'{"choices": 7}',
     b'{"choices": [null]}', b'{"choices": [{"message": null}]}', b'{"choices": {"a": 1}}',
     b'{"choices": ["no"]}', completion(None), completion(7), completion(["x"]), b"\xff\xfe",
     b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_completion_is_an_error_of_ours(said: bytes, kind: str) -> None:
    with (
        server(lambda _: (200, said), kind=kind) as (url, _seen),
        pytest.raises(ModelError, match="no completion"),
    ):
        client(url).chat(ASKED)


def test_without_a_key_or_with_an_odd_timeout_nothing_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(InvalidInputError, match="api_key"):
        OpenAIChat("small")
    with pytest.raises(InvalidInputError, match="timeout"):
        client("http://localhost:1/v1", timeout_s=0)


def test_without_the_library_the_error_names_the_extra() -> None:
    script = (
        "import sys; sys.modules['openai'] = None\n"
        "from memos_core import OpenAIChat, InvalidInputError\n"
        "try: OpenAIChat('small', api_key='x')\n"
        "except InvalidInputError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "memos-core[openai]" in done.stdout


def test_the_models_of_three_frameworks_answer_alike() -> None:
    langchain, autogen = langchain_model("Anna."), autogen_client("Anna.", "Anna.")
    with AutoGenChat(autogen) as awaited:
        models: list[ChatModel] = [LangChainChat(langchain), awaited]
        for each in models:
            assert each.chat(ASKED, schema=SCHEMA) == "Anna."
    assert langchain.shown == ["Be brief.\nWho?"]
    assert autogen_shown(autogen) == ["Be brief.\nWho?"]
    llm: ChatModel = LlamaIndexChat(MockLLM())
    assert llm.chat(ASKED, schema=SCHEMA).startswith("system: Be brief.\nuser: Who?")


def test_a_langchain_model_that_keeps_to_schemas_is_held_to_them() -> None:
    from langchain_core.messages import AIMessage

    called = AIMessage(
        "", tool_calls=[{"id": "1", "name": "Named", "args": {"name": "Anna"}, "type": "tool_call"}]
    )
    model = langchain_model("-")
    model.messages = iter([called, AIMessage('{"name": "Ben"}')])
    model.profile = {"structured_output": True}
    assert json.loads(LangChainChat(model).chat(ASKED, schema=SCHEMA)) == {"name": "Anna"}
    assert json.loads(LangChainChat(model).chat(ASKED, schema=SCHEMA)) == {"name": "Ben"}


async def test_an_autogen_client_is_asked_from_within_a_running_loop_and_keeps_its_own() -> None:
    loops: set[int] = set()

    class Noting(ReplayChatCompletionClient):
        async def create(self, *args: Any, **kwargs: Any) -> CreateResult:
            loops.add(id(asyncio.get_running_loop()))
            return await super().create(*args, **kwargs)

    with AutoGenChat(Noting(["one", "two", "three"])) as chat:
        assert [chat.chat(ASKED), chat.chat(ASKED)] == ["one", "two"]
        assert len(loops) == 1
        assert id(asyncio.get_running_loop()) not in loops
        chat.close()
        assert chat.chat(ASKED) == "three"
    assert not [each for each in threading.enumerate() if each.name == "memos-chat"]


def test_an_autogen_client_that_fails_or_calls_a_tool_says_so() -> None:
    usage = RequestUsage(prompt_tokens=0, completion_tokens=0)
    call = FunctionCall(id="1", name="rm", arguments="{}")
    result = CreateResult(finish_reason="function_calls", content=[call], usage=usage, cached=False)
    with AutoGenChat(ReplayChatCompletionClient([result])) as chat:
        with pytest.raises(ModelError, match="called a tool"):
            chat.chat(ASKED)
        with pytest.raises(ValueError, match="No more mock"):
            chat.chat(ASKED)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_an_autogen_client_can_be_asked_after_a_fork() -> None:
    with AutoGenChat(autogen_client("one", "two", "three")) as chat:
        chat.chat(ASKED)
        child = os.fork()
        if child == 0:
            os._exit(0 if chat.chat(ASKED) == "two" else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert chat.chat(ASKED) == "two"


def test_a_local_model_is_a_chat_model() -> None:
    model = random_model("llama")
    chat: ChatModel = model
    talk = [Message(role="user", parts="w1 w2")]
    assert chat.chat(talk, schema=SCHEMA) == model.generate(talk, max_new_tokens=1_024).text
