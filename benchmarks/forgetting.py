"""Forgetting: how long until the bytes are gone, and how many are left, beside Chroma's delete.

10,000 memories, their pages in memory. Some are forgotten; then another process looks for their
text and their vectors in every file. Chroma deletes the same documents from the same number. Then
a backup, open and encrypted, and a restore that forgets again what was forgotten since; the peer is
a copy of the directory.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import CONSOLE, Report, median_ms, options
from benchmarks.latency import COUNT, Prepared, sentences
from memos_core import FolderAnchor, MemOS, Settings

FORGET = 50
PEER = "Chroma"
LOOK = """
import pathlib, sys
wanted = [bytes.fromhex(line) for line in sys.stdin.read().split()]
files = [each for each in pathlib.Path(sys.argv[1]).rglob("*") if each.is_file()]
data = [each.read_bytes() for each in files]
print(sum(any(each in held for held in data) for each in wanted))
"""


def left(folder: Path, needles: Sequence[bytes]) -> int:
    """Count the byte strings that some file under a folder still holds; in another process."""
    command = [sys.executable, "-c", LOOK, str(folder)]
    text = "\n".join(each.hex() for each in needles)
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return int(done.stdout)


def marked(count: int, seed: int) -> tuple[list[str], Prepared]:
    """Make texts, each with a word of its own, and their vectors."""
    texts = [f"{text} zq{seed}x{n}kanarie" for n, text in enumerate(sentences(count, seed))]
    return texts, Prepared(texts)


def needles_of(texts: Sequence[str], embedder: Prepared) -> list[bytes]:
    """Take the words and a piece of each vector that should be gone."""
    words = [text.rpartition(" ")[2].encode() for text in texts]
    return words + [row.tobytes()[:64] for row in embedder.embed(texts)]


def ours(
    report: Report, root: Path, texts: list[str], embedder: Prepared, peer: tuple[float, int]
) -> None:
    """Measure MemOS."""
    took, peer_left = peer
    anchor = FolderAnchor(root / "anchor")
    settings = Settings(span_levels={})
    with MemOS.open(root / "vault", embedder=embedder, settings=settings) as memos:
        alice, owner = memos.session("user:alice"), memos.session("user:owner")
        ids = []
        for start in range(0, len(texts), 1_000):
            ids += [cube.id for cube in alice.add_many(texts[start : start + 1_000])]
        alice.search(texts[0])
        one = median_ms(lambda n: alice.forget(ids[n]), FORGET)
        report.add("forgetting.forget", one, "ms", took)
        needles = needles_of(texts[:FORGET], embedder)
        found = left(root / "vault", needles)
        report.add("forgetting.left", found, f"of {len(needles)} byte strings", peer_left)
        again = median_ms(lambda n: alice.search(texts[-n]), FORGET)
        report.add("forgetting.search_after", again, "ms")
        began = time.perf_counter()
        alice.forget(ids[FORGET : FORGET + 1_000])
        report.add("forgetting.forget_1000", (time.perf_counter() - began) * 1e3, "ms")
    with MemOS.open(
        root / "vault", embedder=embedder, settings=settings, anchors=[anchor]
    ) as memos:
        alice, owner = memos.session("user:alice"), memos.session("user:owner")
        size = _directory_bytes(root / "vault") / 1e6
        key = "a long passphrase"
        began = time.perf_counter()
        owner.governance.backup(root / "open")
        report.add("forgetting.backup", size / (time.perf_counter() - began), "MB/s")
        began = time.perf_counter()
        owner.governance.backup(root / "sealed", key=key)
        report.add("forgetting.backup_encrypted", size / (time.perf_counter() - began), "MB/s")
        later = alice.forget(ids[-200:])
    began = time.perf_counter()
    MemOS.restore(root / "sealed", root / "again", key=key, anchors=[anchor])
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    shutil.copytree(root / "vault", root / "copied")
    copied = time.perf_counter() - began
    report.add("forgetting.restore", size / seconds, "MB/s", size / copied)
    needles = needles_of(texts[-200:], embedder)
    assert len(later.forgotten) == 200
    report.add("forgetting.left_restored", left(root / "again", needles), f"of {len(needles)}")


def _directory_bytes(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


def chroma(root: Path, texts: list[str], embedder: Prepared) -> tuple[float, int]:
    """Delete the same from a persistent Chroma collection, the package's own way."""
    import chromadb
    from chromadb.config import Settings as ChromaSettings

    chosen = ChromaSettings(anonymized_telemetry=False)
    client = chromadb.PersistentClient(str(root / "chroma"), chosen)
    collection = client.create_collection("bench", embedding_function=None)
    for start in range(0, len(texts), 1_000):
        batch = texts[start : start + 1_000]
        collection.add(
            ids=[str(start + n) for n in range(len(batch))],
            documents=batch,
            embeddings=embedder.embed(batch),
        )
    took = median_ms(lambda n: collection.delete(ids=[str(n)]), FORGET)
    return took, left(root / "chroma", needles_of(texts[:FORGET], embedder))


def main() -> None:
    """Measure, print, and write the figures."""
    arguments = options(__doc__).parse_args()
    report = Report(f"forgetting at {COUNT:,} memories (median of {FORGET})", PEER)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        texts, embedder = marked(COUNT, 5)
        CONSOLE.print("deleting from Chroma …")
        peer = chroma(root, texts, embedder)
        CONSOLE.print("forgetting …")
        ours(report, root, texts, embedder, peer)
    report.finish(arguments.json)


if __name__ == "__main__":
    main()
