"""The option that names the vault's anchors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from memos_core.infrastructure.ledger import FolderAnchor

AnchorOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--anchor",
        metavar="DIR",
        envvar="MEMOS_ANCHORS",
        help="A folder beyond the reach of who runs the vault, where checkpoints are kept; "
        "repeatable.",
    ),
]


def anchors_at(paths: Sequence[Path] | None) -> list[FolderAnchor]:
    """Make the anchors that were named."""
    return [FolderAnchor(path) for path in paths or ()]
