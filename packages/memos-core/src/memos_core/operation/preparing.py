"""What is made of a content before it is written: its spans, its vector, its signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from memos_core.content import Content
from memos_core.cube import Header, Mark, MemCube, Sensitivity
from memos_core.infrastructure.governance.detection.detector import Detector
from memos_core.infrastructure.governance.redaction import carried_marks, find_marks
from memos_core.infrastructure.index.entry import FloatArray
from memos_core.memory.plaintext import embedding_text, indexed_view
from memos_core.models.embedder import Embedder
from memos_core.operation.embedding import Embedding
from memos_core.operation.signing import Signer


@dataclass(frozen=True, slots=True)
class Raw:
    """A content that is to be prepared, with what decides how it is indexed."""

    content: Content
    metadata: Mapping[str, JsonValue]
    fields: Mapping[str, Sensitivity]
    sensitivity: Sensitivity
    before: MemCube | None = None
    """The version before, whose marks stay on what stays."""

    @classmethod
    def of(cls, header: Header, content: Content, *, before: MemCube) -> Raw:
        """Describe a memory's next version, which has this header and content."""
        return cls(content, header.metadata, header.field_sensitivity, header.level, before)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was made of a content.

    Args:
        marks: Its sensitive spans.
        vector: float32 (d,), unit length, of what the least cleared reader sees.
        embedder: What made the vector.
    """

    marks: tuple[Mark, ...]
    vector: FloatArray
    embedder: Embedder


class Preparer:
    """Marks and embeds contents.

    Args:
        embedding: Makes vectors.
        detector: Finds sensitive spans.
        levels: The level of each type of span.
        signer: Signs what is written.
    """

    def __init__(
        self,
        embedding: Embedding,
        detector: Detector,
        levels: Mapping[str, Sensitivity],
        signer: Signer,
    ) -> None:
        self.embedding = embedding
        self.signer = signer
        self._detector = detector
        self._levels = levels

    def marks(self, raw: Raw) -> tuple[Mark, ...]:
        """Mark the sensitive spans of a content."""
        fresh = find_marks(raw.content, raw.metadata, self._detector, self._levels)
        if raw.before is None:
            return fresh
        old = (raw.before.content, raw.before.meta.metadata)
        return carried_marks(raw.before.meta.marks, old, fresh, (raw.content, raw.metadata))

    def prepare(self, embedder: Embedder, contents: Sequence[Raw]) -> list[Prepared]:
        """Mark and embed contents, in order."""
        marks = [self.marks(each) for each in contents]
        texts = [
            embedding_text(
                *indexed_view(each.content, each.metadata, found, each.fields, each.sensitivity)
            )
            for each, found in zip(contents, marks, strict=True)
        ]
        vectors = self.embedding.vectors(embedder, texts)
        return [
            Prepared(found, vector, embedder) for found, vector in zip(marks, vectors, strict=True)
        ]
