"""Processes of their own that activate, hold and let go, until they are told to stop or killed."""

from __future__ import annotations

import multiprocessing
import random
import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from memos_core import FullError, MemOS, MemosError, NotFoundError, Settings
from memos_core.testing import HashingEmbedder
from memos_core.testing.models import random_model, trained_model
from tests.inner import as_text, words, written

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.inner_processes"])
FIXTURE = Path(__file__).parent / "models" / "fact_llama"
ASKED = [words(91, 5)]


def hold(folder: str, principal: str, cube_id: str, adapter: bool, pipe: Connection) -> None:
    """Hold a memory in a model, as the test says."""
    model = trained_model(FIXTURE) if adapter else random_model("llama")
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos, ExitStack() as stack:
        session = memos.session(principal)
        context = session.recollect(cube_id, model)
        stack.enter_context(context.opened(model))
        pipe.send("held")
        while (order := pipe.recv()) != "close":
            if order == "leave":
                stack.close()
                pipe.send("left")
            else:  # another memory is asked for: this one is let go meanwhile
                try:
                    model.generate("w1", memory=context, max_new_tokens=2)
                    pipe.send("wrote")
                except NotFoundError:
                    pipe.send("refused")
    pipe.send("closed")


def activate(folder: str, principal: str, sources: list[str], seed: int, pipe: Connection) -> None:
    """Activate without end, and tell of each that was acknowledged."""
    model, rng = random_model("llama"), random.Random(seed)
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        session = memos.session(principal)
        pipe.send("open")
        while True:
            chosen = rng.sample(sources, rng.randint(1, len(sources)))
            pipe.send(session.activate(chosen, model, chat=False).id)


def compete(
    folder: str, principal: str, sources: list[str], seed: int, rounds: int, pipe: Connection
) -> None:
    """Activate, use and forget the same as others do; tell what went wrong."""
    model, rng = random_model("llama"), random.Random(seed)
    wrong: list[str] = []
    made: list[str] = []
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos:
        session = memos.session(principal)
        pipe.send("open")
        pipe.recv()
        for _ in range(rounds):
            try:
                made.append(session.activate(sources[: rng.randint(1, 4)], model, chat=False).id)
                context = session.recollect(rng.choice(made), model)
                found = model.generate(ASKED[0], memory=context, max_new_tokens=4)
                if [found.ids] != written(model, as_text(context), ASKED, 4):
                    wrong.append("it answers differently")
                if found.notes:
                    wrong.append(found.notes[0])
                while len(made) > 2 or (made and rng.random() < 0.3):
                    session.forget(made.pop(rng.randrange(len(made))))
            except MemosError as error:
                wrong.append(f"{type(error).__name__}: {error}")
    pipe.send((wrong, made))


def fill(folder: str, principal: str, sources: list[str], limit: int, pipe: Connection) -> None:
    """Activate where no file may grow beyond a size."""
    model = random_model("llama")
    with MemOS.open(folder, embedder=HashingEmbedder(), settings=Settings()) as memos:
        session = memos.session(principal)
        kept = session.activate(sources[0], model, chat=False)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        told = ""
        try:
            session.activate(sources[1:], model, chat=False)
        except FullError as error:
            told = str(error)
        files = sorted(each.name for each in (Path(folder) / "blobs").iterdir())
        session.forget(kept.id)
        after = sorted(each.name for each in (Path(folder) / "blobs").iterdir())
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        again = session.activate(sources[1:], model, chat=False)
        healthy = memos.diagnose().problems
        pipe.send((told, files, after, again.id, healthy))


@contextmanager
def process(work: Any, *args: Any) -> Iterator[tuple[Any, Connection]]:
    """Run one of the above; it is killed at the end if it still lives."""
    ours, theirs = SERVER.Pipe()
    started = SERVER.Process(target=work, args=(*args, theirs))
    started.start()
    theirs.close()
    try:
        yield started, ours
    finally:
        started.kill()
        started.join()
        ours.close()
