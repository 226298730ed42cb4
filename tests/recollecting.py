"""A process of its own that opens a vault, recollects caches, and writes with them.

It is told what to do by JSON in its argument and answers with JSON on its last line.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
import transformers

from memos_core import MemOS
from memos_core.memory.runtime import LocalModel
from memos_core.testing import HashingEmbedder
from memos_core.testing.models import random_model, word_tokenizer
from tests.inner import as_text


def built(told: dict[str, Any]) -> LocalModel:
    """Make the model that is asked for: the right one, or one that differs a little."""
    dtype = getattr(torch, told.get("dtype", "float32"))
    transformers.__version__ = told.get("library", transformers.__version__)  # type: ignore[attr-defined]
    model = random_model(told["family"], seed=told.get("seed", 0), dtype=dtype)
    tokenizer = word_tokenizer()
    if told.get("tokenizer"):
        tokenizer.add_tokens([told["tokenizer"]])
    return LocalModel(model.model, tokenizer)


def recollected(memos: MemOS, job: dict[str, Any]) -> dict[str, Any]:
    """Write with a cache, and with the plain prompt, alone and together."""
    session = memos.session(job["principal"])
    model = built(job["model"])
    context = session.recollect(job["cache"], model)
    found: dict[str, Any] = {"text": context.text}
    for name, memory in (("injected", context), ("plain", as_text(context))):
        made = [
            model.generate(job["asked"][0], memory=memory, max_new_tokens=job["new"]),
            *model.generate_many(job["asked"], memory=memory, max_new_tokens=job["new"]),
        ]
        found[name] = {
            "ids": [each.ids for each in made],
            "tokens": [each.injected_tokens for each in made],
            "notes": sorted({note for each in made for note in each.notes}),
        }
    return found


def in_another_process(folder: Path, jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Let another process open the vault and do these jobs."""
    told = json.dumps({"folder": str(folder), "jobs": jobs})
    command = [sys.executable, "-m", "tests.recollecting", told]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    told = json.loads(sys.argv[1])
    with MemOS.open(told["folder"], embedder=HashingEmbedder()) as memos:
        print(json.dumps([recollected(memos, job) for job in told["jobs"]]))


if __name__ == "__main__":
    main()
