"""Stored tensors: safetensors, and what MemOS says of them in their header. Nothing of it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors

from memos_core.errors import IntegrityError

_LENGTH: Final = 8
"""The bytes that say how long the header is."""
_MOST: Final = 100_000_000


def said_in(source: bytes | Path, wrong: str) -> Any:
    """Read what MemOS says in the header of safetensors, without their tensors.

    Args:
        source: The bytes, or the file that holds them.
        wrong: What is said where they are something else.

    Returns:
        Whatever JSON it is.

    Raises:
        IntegrityError: They are something else.
    """
    try:
        return json.loads(json.loads(_header(source))["__metadata__"]["memos"])
    except (ValueError, KeyError, TypeError, RecursionError, OSError) as error:
        raise IntegrityError(wrong) from error


def read_tensors(
    data: bytes, what: str, *, described: bool = True
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Read safetensors and what MemOS says in their header.

    Args:
        data: The bytes.
        what: What people call it, for messages.
        described: Whether MemOS wrote them, and so described them.

    Raises:
        IntegrityError: They are something else.
    """
    wrong = f"{what} is no safetensors as MemOS reads them: nothing of it was used"
    said = said_in(data, wrong) if described else {}
    try:
        tensors = load_tensors(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(wrong) from error
    if not isinstance(said, dict):
        raise IntegrityError(f"{what} is not described as MemOS does it")
    return said, tensors


def _header(source: bytes | Path) -> bytes:
    if isinstance(source, bytes):
        return source[_LENGTH : _LENGTH + int.from_bytes(source[:_LENGTH], "little")]
    with source.open("rb") as stream:
        length = int.from_bytes(stream.read(_LENGTH), "little")
        return stream.read(min(length, _MOST))
