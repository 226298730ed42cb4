"""The verbs of backups: backup and restore."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from memos_core.cli.anchoring import AnchorOption, anchors_at
from memos_core.cli.desk import Desk, verb
from memos_core.errors import InvalidInputError
from memos_core.system import MemOS

KeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        metavar="FILE",
        envvar="MEMOS_BACKUP_KEY_FILE",
        help="A file that holds the backup's passphrase, of at least 12 characters.",
    ),
]


@verb
def backup(
    desk: Desk,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
    key_file: KeyFileOption = None,
    anchor: AnchorOption = None,
) -> None:
    """Write the whole vault into one file, while everybody goes on working."""
    key = _key(key_file)
    with _progress(desk, "backing up") as tell, desk.session(anchors_at(anchor)) as session:
        report = session.governance.backup(file, key=key, progress=tell)
    lines = [f"Wrote {report.path}: {report.bytes:,} bytes, checkpoint {report.checkpoint}."]
    if not report.encrypted:
        lines.append("It is not encrypted: whoever reads it reads every memory and the keys.")
    if report.anchors:
        lines.append(f"Its checkpoint is kept at {', '.join(report.anchors)}.")
    else:
        lines.append("No anchor was told: nobody will be able to say what was forgotten since.")
    desk.screen.answer(asdict(report), *lines)


@verb
def restore(
    desk: Desk,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What backup wrote.")],
    key_file: KeyFileOption = None,
    anchor: AnchorOption = None,
    without_anchor: Annotated[
        str,
        typer.Option(
            "--without-anchor",
            metavar="WORDS",
            help='Do without: say "what was forgotten or revoked since may come back".',
        ),
    ] = "",
) -> None:
    """Make a new vault at --vault from a backup, and take back what was taken back since."""
    key = _key(key_file)
    with _progress(desk, "restoring") as tell:
        report = MemOS.restore(
            file,
            desk.root,
            key=key,
            anchors=anchors_at(anchor),
            without_anchor=without_anchor,
            progress=tell,
        )
    desk.screen.answer(
        asdict(report),
        f"Restored {report.path} as of checkpoint {report.checkpoint}; its ledger is "
        f"{report.ledger}.",
        f"Taken back again since then: {report.withdrawals}, of them {report.forgotten} memories "
        "forgotten.",
        *(
            f"Not known, and accepted: {note}. What was forgotten or revoked may be back."
            for note in report.notes
        ),
        *(
            [f"Verify its ledger with --trusted-key {report.trusted_key}"]
            if report.trusted_key
            else []
        ),
    )


@contextmanager
def _progress(desk: Desk, what: str) -> Iterator[Callable[[int, int], None]]:
    with desk.screen.progress() as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _key(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"the key file {path} cannot be read: {error}") from error
