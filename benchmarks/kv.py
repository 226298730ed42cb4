"""KV memory: time to the first token with a memory's state from disk, beside the full prefill.

A model of random weights, a memory in a vault and a query of 167 tokens. Full is the whole prompt
computed. Injected is all that a session does: the decision, the entry in the ledger, the state read
from its file, held against its digest, loaded, cloned, and only the query computed. Both end at
the first token, chosen from the last position's logits. The published figures for Qwen3-8B's shape
(`--device cuda --size 8b`) are those of the MemOS paper, on another GPU.
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
import transformers

from benchmarks.common import CONSOLE, Report, options, progress
from memos_core import MemCube, MemOS, Settings
from memos_core.memory.runtime import LocalModel
from memos_core.tensors import KVRecord
from memos_core.testing import HashingEmbedder
from memos_core.testing.models import word_tokenizer

TOKENS = (512, 2_048, 6_064)
QUERY = 167
SAME = 16
"""Greedy tokens that are compared."""
PEER = "full prefill"
ROOM: Final = Settings(inner_budget_bytes=16 << 30)
PUBLISHED: Final = {("8b", 6_064): 94.2}
"""Per cent less time to the first token, by size and tokens: Qwen3-8B in the MemOS paper."""
SIZES: Final[dict[str, dict[str, Any]]] = {
    "100m": {
        "model_type": "llama",
        "dtype": "float32",
        "vocab_size": 16_000,
        "hidden_size": 768,
        "intermediate_size": 2_048,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "num_key_value_heads": 12,
    },
    "8b": {
        "model_type": "qwen3",
        "dtype": "bfloat16",
        "vocab_size": 151_936,
        "hidden_size": 4_096,
        "intermediate_size": 12_288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
}


def random_weights(size: str, device: str) -> LocalModel:
    """Make a model of a size, its weights drawn on the device."""
    shape = dict(SIZES[size])
    dtype = getattr(torch, shape.pop("dtype"))
    configs: Any = transformers.AutoConfig
    models: Any = transformers.AutoModelForCausalLM
    config = configs.for_model(**shape, max_position_embeddings=8_192, eos_token_id=None)
    torch.manual_seed(0)
    with torch.device(device):
        model = models.from_config(config, dtype=dtype)
    return LocalModel(model, word_tokenizer())


def drop_pages(place: Path) -> None:
    """Ask the system to forget what it keeps of a vault's blobs in memory."""
    for path in place.glob("blobs/*"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def seconds(work: Callable[[], object], device: str) -> float:
    """Measure one piece of work, until the device is done with it."""
    _wait(device)
    began = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - began


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def words_of(rng: random.Random, count: int) -> str:
    """Draw words, each of which is a token."""
    return " ".join(f"w{rng.randrange(290)}" for _ in range(count))


def memory_of(memos: MemOS, model: LocalModel, count: int) -> MemCube:
    """Activate a text in the vault whose cache holds exactly so many tokens."""
    session = memos.session("user:bench")
    rng = random.Random(count)
    probe = session.activate(words_of(rng, 8), model, chat=False)
    frame = _kv(probe).tokens - 8
    session.forget(probe.id)
    return session.activate(words_of(rng, count - frame), model, chat=False)


def _kv(cube: MemCube) -> KVRecord:
    if cube.kv is None:
        raise TypeError("activate makes a KV cache")
    return cube.kv


def measure(
    report: Report,
    model: LocalModel,
    count: int,
    rounds: int,
    vault: tuple[MemOS, Path],
    size: str,
) -> None:
    """Measure a memory of so many tokens, through the vault: decision, ledger, digest and all."""
    memos, place = vault
    device = model.model.device.type
    session = memos.session("user:bench")
    query = words_of(random.Random(-count), QUERY)
    made: list[MemCube] = []
    cost = seconds(lambda: made.append(memory_of(memos, model, count)), device)
    cache = made[0]
    ids = model.prompts.with_memory(session.recollect(cache, model).text, query)

    def full(new: int = 1) -> tuple[int, ...]:
        return model.generate(ids, max_new_tokens=new).ids

    def injected(new: int = 1) -> tuple[int, ...]:
        memos.let_go()  # each time from its file
        memory = session.recollect(cache, model)
        found = model.generate(query, memory=memory, max_new_tokens=new)
        assert found.injected_tokens == count, found.notes
        return found.ids

    same = sum(a == b for a, b in zip(full(SAME), injected(SAME), strict=True))  # warms up, too
    slow, fast, cold = [], [], []
    for _ in progress(range(rounds), f"{count:,} tokens"):
        slow.append(seconds(full, device))
        fast.append(seconds(injected, device))
        drop_pages(place)
        cold.append(seconds(injected, device))
    whole, ours = statistics.median(slow), statistics.median(fast)
    name = f"kv.{count}"
    report.add(f"{name}.first_token", ours * 1e3, "ms", whole * 1e3)
    report.add(f"{name}.first_token_cold", statistics.median(cold) * 1e3, "ms", whole * 1e3)
    report.add(f"{name}.ratio", whole / ours, "x")
    published = PUBLISHED.get((size, count))
    beside = "" if published is None else f" (published: {published})"
    report.add(f"{name}.less", 100 * (1 - ours / whole), f"% less time{beside}")
    report.add(f"{name}.prefill", cost * 1e3, "ms, once, to compute and store")
    report.add(f"{name}.bytes_per_token", _kv(cache).bytes / count, "bytes")
    report.add(f"{name}.same_tokens", same, f"of {SAME} greedy tokens")
    session.forget(cache.id)


def main() -> None:
    """Measure, print, and write the figures."""
    parser = options(__doc__)
    parser.add_argument("--device", default="cpu", help="where the model runs: cpu, or cuda")
    parser.add_argument("--size", default="100m", choices=SIZES, help="the model's shape")
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS, help="memories' lengths")
    parser.add_argument("--rounds", type=int, default=5, help="the medians are of so many")
    arguments = parser.parse_args()
    if arguments.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("torch finds no CUDA device here: run without --device, on the CPU")
    CONSOLE.print(f"making a model of {arguments.size} and its fingerprint …")
    model = random_weights(arguments.size, arguments.device)
    chip = torch.cuda.get_device_name() if arguments.device.startswith("cuda") else "CPU"
    title = f"{model.fingerprint.family} {arguments.size}, {model.fingerprint.dtype}, {chip}"
    report = Report(f"{title}: median of {arguments.rounds}, a query of {QUERY} tokens", PEER)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "vault"
        with MemOS.open(place, embedder=HashingEmbedder(), settings=ROOM) as memos:
            for count in arguments.tokens:
                measure(report, model, count, arguments.rounds, (memos, place), arguments.size)
    report.finish(arguments.json)


if __name__ == "__main__":
    main()
