"""Other processes that have a vault open and do what a test says."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from memos_core import MemOS
from memos_core.testing import HashingEmbedder

SPAWN = multiprocessing.get_context("forkserver")


def serve(folder: str, principal: str, pipe: Connection) -> None:
    """Hold the vault open and do what the test says."""
    with MemOS.open(folder, embedder=HashingEmbedder()) as memos, ExitStack() as snapshots:
        session = memos.session(principal)
        pipe.send("open")
        while (order := pipe.recv()) is not None:
            verb, args, fields = order
            try:
                if verb == "begin_reading":
                    snapshots.enter_context(memos._vault.read())
                    pipe.send(None)
                    continue
                if verb == "end_reading":
                    snapshots.close()
                    pipe.send(None)
                    continue
                answer = getattr(session, verb)(*args, **fields)
                pipe.send(answer.texts if verb == "search" else getattr(answer, "id", answer))
            except Exception as error:
                pipe.send(error)


class Other:
    """A process that has the vault open."""

    def __init__(self, folder: Path, principal: str) -> None:
        self._pipe, theirs = SPAWN.Pipe()
        self.process = SPAWN.Process(target=serve, args=(str(folder), principal, theirs))
        self.process.start()
        theirs.close()
        assert self._pipe.recv() == "open"

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        def call(*args: Any, **fields: Any) -> Any:
            self._pipe.send((verb, args, fields))
            answer = self._pipe.recv()
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call

    def stop(self) -> None:
        if self.process.is_alive():
            self._pipe.send(None)
        self.process.join()


@contextmanager
def others(folder: Path, *principals: str) -> Iterator[list[Other]]:
    started = [Other(folder, principal) for principal in principals]
    try:
        yield started
    finally:
        for each in started:
            each.stop()
