"""The verbs of the audit: verify, checkpoint, log, export, rotate-key, prune."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from memos_core.cli.anchoring import AnchorOption, anchors_at
from memos_core.cli.desk import Desk, usage, verb
from memos_core.cli.output import instant, one_line, plain, to_json
from memos_core.cli.times import parse_age, parse_instant
from memos_core.infrastructure.ledger import SignedCheckpoint, Verdict
from memos_core.results import LogEntry


@verb
def verify(
    desk: Desk,
    anchor: AnchorOption = None,
    trusted_key: Annotated[
        str | None,
        typer.Option(
            "--trusted-key",
            metavar="HEX",
            help="A public key of the vault, known from elsewhere; else the first anchored one.",
        ),
    ] = None,
) -> None:
    """Check every link of the audit ledger, and say what that proves."""
    with desk.memos() as memos:  # opened without anchors: to verify writes nothing
        verdict = memos.verify_ledger(anchors=anchors_at(anchor), trusted_key=trusted_key)
    desk.screen.answer(asdict(verdict), *_in_words(verdict))
    if verdict.status == "broken":
        raise typer.Exit(1)


@verb
def checkpoint(desk: Desk, anchor: AnchorOption = None) -> None:
    """Sign where the ledger stands, and keep that in every anchor."""
    with desk.session(anchors_at(anchor)) as session:
        signed = session.audit.checkpoint()
    where = ", ".join(str(path) for path in anchor or ())
    kept = (
        f"It is kept in {where}."
        if where
        else (
            "It is kept in the vault only: give --anchor DIR to keep it where it proves something."
        )
    )
    desk.screen.answer(
        _told(signed),
        f"Checkpoint {signed.number} of vault {signed.vault_id}, taken {instant(signed.time)}.",
        f"Public key: {signed.statement.keys[-1].public}",
        kept,
    )


@verb
def log(
    desk: Desk,
    whose: Annotated[
        str | None, typer.Option("--principal", metavar="user:NAME", help="Whose events.")
    ] = None,
    memory: Annotated[
        str | None, typer.Option("--memory", metavar="ID", help="About this memory.")
    ] = None,
    action: Annotated[
        str | None, typer.Option("--action", metavar="VERB", help="Of this verb, e.g. add.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="ISO", help="Not before this instant.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="ISO", help="Before this instant.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", help="The most entries.")] = 50,
) -> None:
    """Read what happened, newest first, as far as you may see it."""
    times: dict[str, Any] = {}
    for name, text in (("since", since), ("until", until)):
        if text is not None:
            with usage(f"--{name}"):
                times[name] = parse_instant(text)
    with desk.session() as session:
        page = session.audit.query(
            principal=whose, cube=memory, action=action, limit=limit, **times
        )
    data = [asdict(each) | {"time": each.time.isoformat()} for each in page]
    if not page.items:
        desk.screen.answer(data, "Nothing happened that you may see.")
        return
    desk.screen.answer(data, _log_table(page.items))
    if page.cursor is not None:
        desk.screen.note("There is more: raise --limit, or give --until.")


@verb
def export(
    desk: Desk,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file, of JSON lines.")],
) -> None:
    """Write the ledger into a file that anybody can verify without the vault."""
    with desk.session() as session:
        report = session.audit.export(file)
    desk.screen.answer(
        asdict(report) | {"path": str(report.path)},
        f"Wrote {_events(report.events)} to {report.path}, up to checkpoint {report.checkpoint}.",
        f"Verify it with memos_core.verify_export and the public key {report.public_key}",
    )


@verb
def rotate_key(
    desk: Desk,
    revoke: Annotated[
        bool, typer.Option("--revoke", help="The old key leaked: believe it no longer.")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the log.")] = "",
    anchor: AnchorOption = None,
) -> None:
    """Make a new signing key, endorsed by the old one."""
    with desk.session(anchors_at(anchor)) as session:
        key = session.audit.rotate_key(revoke=revoke, reason=reason)
    lines = [f"Key {key.id} signs from now on.", f"Public key: {key.public}"]
    if key.endorsement is None:
        lines.append(
            "The private key before it is lost, so nothing endorses the new one: whoever verifies "
            f"against anchors needs --trusted-key {key.public}"
        )
    desk.screen.answer(key.model_dump(mode="json"), *lines)


@verb
def prune(
    desk: Desk,
    before_checkpoint: Annotated[
        int | None,
        typer.Option("--before-checkpoint", metavar="N", help="All that checkpoint N covers."),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="90d", help="All that so old a checkpoint covers."),
    ] = None,
    export_to: Annotated[
        Path | None,
        typer.Option("--export-to", metavar="FILE", help="Write the ledger to a new file first."),
    ] = None,
    anchor: AnchorOption = None,
) -> None:
    """Delete events that a checkpoint covers, and keep its signed heads."""
    age = None
    if (before_checkpoint is None) == (older_than is None):
        raise typer.BadParameter(
            "name one of the two", param_hint="--before-checkpoint or --older-than"
        )
    if older_than is not None:
        with usage("--older-than"):
            age = parse_age(older_than)
    with desk.session(anchors_at(anchor)) as session:
        report = session.audit.prune(
            before_checkpoint=before_checkpoint, older_than=age, export_to=export_to
        )
    said = (
        "Nothing was to go."
        if report.checkpoint is None
        else f"Removed {_events(report.events)}: all that checkpoint {report.checkpoint} covers."
    )
    desk.screen.answer(asdict(report), said)


def _told(signed: SignedCheckpoint) -> dict[str, Any]:
    return {
        "vault": signed.vault_id,
        "number": signed.number,
        "time": signed.time.isoformat(),
        "public_key": signed.statement.keys[-1].public,
        "body": signed.body,
        "signature": signed.signature,
    }


def _log_table(entries: tuple[LogEntry, ...]) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("when", no_wrap=True)
    for name in ("who", "what", "outcome", "about", "details"):
        table.add_column(name, overflow="fold")
    for each in entries:
        about = each.subject or ", ".join(each.cubes)
        cells = (each.principal, each.action.removeprefix("memos."), each.outcome, about)
        details = to_json(dict(each.data)) if each.data else ""
        shown = [plain(one_line(cell)) for cell in (*cells, details)]
        table.add_row(instant(each.time), *shown)
    return table


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count} events"


def _in_words(verdict: Verdict) -> list[str]:
    lines = _status_in_words(verdict)
    if verdict.pruned:
        pruned = f"{_events(verdict.pruned)} were pruned; their signed heads are kept."
        lines.append(pruned)
    return lines + [f"Note: {note}." for note in verdict.notes]


def _status_in_words(verdict: Verdict) -> list[str]:
    events = _events(verdict.events)
    if verdict.status == "broken":
        return [
            f"broken: the audit ledger does not hold together ({events} checked).",
            *(f"  - {problem}" for problem in verdict.problems),
            "Somebody changed it from outside, or the disk did. Keep this vault as it is, and "
            "compare it with a backup.",
        ]
    if verdict.status == "untampered":
        return [
            f"untampered up to checkpoint {verdict.checkpoint} ({events}): the ledger is what was "
            "signed and kept outside the vault.",
            f"Of what came after it ({_events(verdict.after)}) no more is known than that the "
            "chains hold.",
            "This holds as far as nobody who can write the vault can change the anchor too.",
        ]
    return [
        f"self-consistent: the chains of the audit ledger hold ({events}).",
        "This shows that no event was edited, removed or moved by itself.",
        "It does not show that nobody rewrote the whole ledger, or put back an older copy: who "
        "can write the vault's files can do that. Only a signed checkpoint kept elsewhere could "
        "show it: keep one with memos audit checkpoint --anchor DIR, and verify with --anchor DIR.",
    ]
