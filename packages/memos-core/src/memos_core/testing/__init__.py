"""What MemOS ships for tests: a clock to turn, randomness to repeat, a vault to throw away."""

from memos_core.models.embedder import HashingEmbedder
from memos_core.testing.fakes import ManualClock, SeededEntropy, temporary_memos

__all__ = ["HashingEmbedder", "ManualClock", "SeededEntropy", "temporary_memos"]
