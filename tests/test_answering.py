"""A local model that answers with a session's memory, without any framework."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
from transformers import BloomConfig, BloomForCausalLM

from memos_core import (
    DeniedError,
    InvalidInputError,
    MemOS,
    Message,
    NotFoundError,
    RememberingModel,
    Session,
)
from memos_core.memory.generation import Generation
from memos_core.memory.runtime import LocalModel
from memos_core.testing.models import random_model, word_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")
NEW = 12
SAID = "w5 w6 w7 w8"
ASKED = [Message(role="system", parts="w1"), Message(role="user", parts="w5 w9")]
LONG = 10_000_000


@pytest.fixture(scope="module")
def local() -> LocalModel:
    return random_model("llama")


@pytest.fixture
def model(local: LocalModel, alice: Session) -> RememberingModel:
    alice.add(SAID)
    return RememberingModel(local, alice)


def expected(local: LocalModel, session: Session, **options: Any) -> Generation:
    """What the runtime writes on the prompt that is expected."""
    memory = session.context("w5 w9", budget_tokens=1_024, k=20, model=local)
    return local.generate(ASKED, memory=memory, max_new_tokens=NEW, **options)


def test_the_answer_is_the_runtimes_on_the_recalled_block_and_the_conversation(
    local: LocalModel, model: RememberingModel, alice: Session, bob: Session
) -> None:
    made = model.answer(ASKED, max_new_tokens=NEW)
    assert made == expected(local, alice)
    without = RememberingModel(local, bob).answer(ASKED, max_new_tokens=NEW)
    assert without == local.generate(ASKED, max_new_tokens=NEW)
    assert without.text != made.text
    unasked = RememberingModel(local, None, recall=False).answer(ASKED, max_new_tokens=NEW)
    assert unasked == without
    assert model.count_tokens(ASKED) == without.prompt_tokens
    assert model.count_tokens([]) == 0


def test_what_is_recalled_is_for_the_users_last_message(
    local: LocalModel, model: RememberingModel, alice: Session
) -> None:
    said = [*ASKED, Message(role="assistant", parts="w3"), Message(role="tool", parts="w4")]
    memory = alice.context("w5 w9", budget_tokens=1_024, k=20, model=local)
    whole = local.generate(said, memory=memory, max_new_tokens=NEW)
    assert model.answer(said, max_new_tokens=NEW) == whole
    for each in (ASKED[:1], [Message(role="user", parts=" ")]):  # nothing is asked
        plain = local.generate(each, max_new_tokens=NEW)
        assert model.answer(each, max_new_tokens=NEW) == plain


def test_a_stream_is_the_answer_in_pieces(local: LocalModel, model: RememberingModel) -> None:
    whole = model.answer(ASKED, max_new_tokens=NEW)
    answer = model.stream(ASKED, max_new_tokens=NEW)
    with pytest.raises(InvalidInputError, match="not complete"):
        answer.generation  # noqa: B018
    pieces = list(answer)
    assert len(pieces) > NEW // 2, "piece by piece; some tokens show nothing"
    assert "".join(pieces) == whole.text
    assert answer.generation == whole
    assert list(answer) == []
    assert asyncio.run(model.stream(ASKED, max_new_tokens=NEW).finished()) == whole
    word = whole.text.split()[4]
    cut = whole.text[: whole.text.find(word)]
    assert model.answer(ASKED, max_new_tokens=NEW, stop=[word]).text == cut
    assert "".join(model.stream(ASKED, max_new_tokens=NEW, stop=[word])) == cut
    drawn = [model.answer(ASKED, max_new_tokens=NEW, temperature=2, seed=3) for _ in range(2)]
    assert drawn[0] == drawn[1] != whole


def test_who_acts_is_found_when_it_is_asked_and_unset_refuses(
    memos: MemOS, local: LocalModel, model: RememberingModel, alice: Session, bob: Session
) -> None:
    by_request = RememberingModel(local, lambda name: memos.session(f"user:{name}"))
    acting = RememberingModel(local, memos)
    for session, name in ((alice, "alice"), (bob, "bob")):
        made = by_request.answer(ASKED, request=name, max_new_tokens=NEW)
        assert made == expected(local, session)
        with memos.acting(session):
            answer = acting.stream(ASKED, max_new_tokens=NEW)
        assert "".join(answer) == made.text  # read where nobody is acting any more
    for nobody in (acting, RememberingModel(local, None), RememberingModel(local, lambda _: None)):  # type: ignore[arg-type,return-value]
        with pytest.raises(DeniedError):
            nobody.answer(ASKED)
        with pytest.raises(DeniedError):
            nobody.stream(ASKED)


def test_a_revoked_grant_stops_an_answer_that_is_being_written(
    local: LocalModel, model: RememberingModel, alice: Session, bob: Session
) -> None:
    plain = RememberingModel(local, bob)
    bare = plain.answer(ASKED, max_new_tokens=NEW)
    grant = alice.grant("user:bob", "read", on="user:alice")
    assert plain.answer(ASKED, max_new_tokens=NEW).text != bare.text
    answer = plain.stream(ASKED, max_new_tokens=NEW)
    assert next(answer)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(alice.revoke, grant).result()
    with pytest.raises(NotFoundError):
        next(answer)
    assert list(answer) == []
    assert plain.answer(ASKED, max_new_tokens=NEW) == bare
    released = revoked_while_writing(local, alice, plain)
    assert released == [], "an answer that was not streamed is not released at all"


def revoked_while_writing(local: LocalModel, alice: Session, model: RememberingModel) -> list[Any]:
    """Ask, and revoke the grant in another thread when the model has written three words."""
    grant = alice.grant("user:bob", "read", on="user:alice")
    passes = 0

    def count(*_: Any) -> None:
        nonlocal passes
        passes += 1
        if passes == 3:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(alice.revoke, grant).result()

    released = []
    hook = local.model.register_forward_hook(count)
    try:
        with pytest.raises(NotFoundError):
            released.append(model.answer(ASKED, max_new_tokens=NEW))
    finally:
        hook.remove()
    assert passes == NEW
    return released


def test_what_is_forgotten_while_it_is_being_used_stops_the_answer(
    model: RememberingModel, alice: Session
) -> None:
    answer = model.stream(ASKED, max_new_tokens=NEW)
    assert next(answer)
    alice.forget(alice.search("w5")[0].id)
    with pytest.raises(NotFoundError):
        next(answer)


def test_a_cancelled_answer_stops_the_model(local: LocalModel, alice: Session) -> None:
    model = RememberingModel(local, alice, context_window=2 * LONG)
    started = threading.Event()

    async def main() -> None:
        task = asyncio.create_task(model.stream(ASKED, max_new_tokens=LONG).finished())
        await asyncio.to_thread(started.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    hook = local.model.register_forward_hook(lambda *_: started.set())
    try:
        asyncio.run(main())
    finally:
        hook.remove()
    assert not any(each.name.startswith("memos-generate") for each in threading.enumerate())


def test_who_waits_for_the_model_and_gives_up_does_not_wait_for_the_others(
    local: LocalModel, alice: Session
) -> None:
    model = RememberingModel(local, alice, context_window=2 * LONG)
    endless = model.stream(ASKED, max_new_tokens=LONG)
    assert next(endless)
    waiting = asyncio.run(gives_up(model))
    assert waiting.cancelled()
    assert next(endless), "and the other goes on"
    endless.close()
    assert model.answer(ASKED, max_new_tokens=NEW).ids


async def gives_up(model: RememberingModel) -> asyncio.Task[Generation]:
    """Ask a model that is busy for ever, and cancel."""
    task = asyncio.create_task(model.stream(ASKED, max_new_tokens=NEW).finished())
    await asyncio.wait([task], timeout=0.3)
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])
    return task


def test_more_may_wait_for_the_model_than_there_are_worker_threads(
    local: LocalModel, alice: Session
) -> None:
    model = RememberingModel(local, alice, context_window=2 * LONG)
    endless = model.stream(ASKED, max_new_tokens=LONG)
    assert next(endless)

    async def main() -> list[asyncio.Task[Generation]]:
        waiting = [
            asyncio.create_task(model.stream(ASKED, max_new_tokens=NEW).finished())
            for _ in range(50)
        ]
        await asyncio.wait(waiting, timeout=0.5)
        for each in waiting:
            each.cancel()
        await asyncio.wait(waiting)
        return waiting

    assert all(each.cancelled() for each in asyncio.run(main()))
    endless.close()


def test_memories_that_do_not_fit_are_left_out_whole(local: LocalModel, alice: Session) -> None:
    for n in range(12):
        alice.add(f"w5 w{n + 10} " + " ".join(f"w{n + 20}" for _ in range(8)))
    whole = RememberingModel(local, alice, context_window=10_000).answer(ASKED, max_new_tokens=1)
    bare = local.generate(ASKED, max_new_tokens=1).prompt_tokens
    sizes = []
    for window in range(bare + 1, whole.prompt_tokens + 2, 20):
        made = RememberingModel(local, alice, context_window=window).answer(ASKED, max_new_tokens=1)
        assert made.prompt_tokens < window
        sizes.append(made.prompt_tokens)
    assert sizes[0] == bare
    assert len(set(sizes)) > 4, "as many as fit"
    filled = sorted({each for each in sizes if each > bare})
    item = min(more - less for less, more in pairwise(filled))
    assert item == 12, "number, id and 10 words: the rest is as in the item above"
    assert all((whole.prompt_tokens - each) % item == 0 for each in sizes if each > bare)
    with pytest.raises(InvalidInputError, match="leave out turns"):
        RememberingModel(local, alice, context_window=bare).answer(ASKED, max_new_tokens=1)
    with pytest.raises(InvalidInputError, match="leave out turns"):
        list(RememberingModel(local, alice).stream(ASKED, max_new_tokens=512))


def test_without_a_chat_template_the_turns_are_written_as_text(
    local: LocalModel, alice: Session
) -> None:
    alice.add(SAID)
    bare = LocalModel(local.model, word_tokenizer())
    bare.tokenizer.chat_template = None
    model = RememberingModel(bare, alice)
    said = [*ASKED, Message(role="assistant", parts="w3\nuser: w4"), ASKED[1]]
    memory = alice.context("w5 w9", budget_tokens=1_024, k=20, model=bare)
    text = "system: w1\nuser: w5 w9\nassistant: w3\n    user: w4\nuser: w5 w9\nassistant:"
    made = model.answer(said, max_new_tokens=NEW)
    assert made.ids == bare.generate(text, memory=memory, max_new_tokens=NEW).ids
    assert "".join(model.stream(said, max_new_tokens=NEW)) == made.text


def test_a_conversation_that_the_template_refuses_is_a_clear_error(alice: Session) -> None:
    strict = random_model("llama")
    strict.tokenizer.chat_template = "{{ raise_exception('no system here') }}"
    with pytest.raises(InvalidInputError, match="no system here"):
        RememberingModel(strict, alice).answer(ASKED)


def test_the_window_is_the_configurations_or_is_asked_for(
    local: LocalModel, alice: Session
) -> None:
    assert RememberingModel(local, alice).context_window == 512
    bloom = BloomForCausalLM(BloomConfig(hidden_size=16, n_layer=1, n_head=2, vocab_size=300))
    small = LocalModel(bloom, word_tokenizer())
    with pytest.raises(InvalidInputError, match="context_window"):
        RememberingModel(small, alice)
    small.tokenizer.model_max_length = 128
    assert RememberingModel(small, alice).context_window == 128
    for wrong in ({"budget_tokens": -1}, {"budget_tokens": 0.5}):
        with pytest.raises(InvalidInputError, match="budget_tokens"):
            RememberingModel(local, alice, **wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="empty"):
        RememberingModel(local, alice).answer([])


def test_four_at_once_get_their_own_answers(memos: MemOS, local: LocalModel) -> None:
    people = [memos.session(f"user:p{n}") for n in range(4)]
    for n, each in enumerate(people):
        each.add(f"w5 w{n + 20} w{n + 30}")
    alone = [expected(local, each) for each in people]
    assert len({each.text for each in alone}) == 4
    jobs = list(enumerate(people)) * 2

    def work(job: tuple[int, Session]) -> bool:
        number, session = job
        answer = RememberingModel(local, session).stream(ASKED, max_new_tokens=NEW)
        return "".join(answer) == alone[number].text and answer.generation == alone[number]

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, jobs))
