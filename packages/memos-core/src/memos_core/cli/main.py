"""The command line of MemOS: `memos`, its verbs and the way it fails.

An error that MemOS raises on purpose is one line on stderr and exit code 1; bad usage is code 2.
"""

from __future__ import annotations

import io
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from memos_core.cli import audit as auditing
from memos_core.cli import (
    backups,
    forgetting,
    memories,
    origins,
    oversight,
    past,
    rights,
    snapshots,
    upkeep,
    working,
)
from memos_core.cli.desk import ASSERTED, remember_shared
from memos_core.cli.output import one_line
from memos_core.errors import MemosError


class Verbs(TyperGroup):
    """The verbs, whose errors are one line each."""

    def invoke(self, ctx: Any) -> Any:
        """Run a verb.

        Raises:
            typer.Exit: With code 1, if MemOS refused.
        """
        try:
            return super().invoke(ctx)
        except MemosError as error:
            typer.echo(f"memos: {one_line(str(error))}", err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=Verbs,
    name="memos",
    help=f"A governed memory vault for LLM agents. {ASSERTED}",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # what is left is a bug: the plain traceback is for its report
)
audit = typer.Typer(help="Prove what happened.", no_args_is_help=True)
snapshot = typer.Typer(help="Name how a space stands, and take it back.", no_args_is_help=True)

app.callback()(remember_shared())
app.command("init")(upkeep.init)
app.command("add")(memories.add)
app.command("import")(memories.import_)
app.command("search")(memories.search)
app.command("show")(memories.show)
app.command("history")(memories.history)
app.command("at")(past.at)
app.command("diff")(past.diff)
app.command("rollback")(past.rollback)
app.command("freeze")(past.freeze)
app.command("unfreeze")(past.unfreeze)
app.command("archive")(past.archive)
app.command("unarchive")(past.unarchive)
app.add_typer(snapshot, name="snapshot")
snapshot.command("take")(snapshots.take)
snapshot.command("list")(snapshots.list_)
snapshot.command("restore")(snapshots.restore)
snapshot.command("drop")(snapshots.drop)
app.command("forget")(forgetting.forget)
app.command("erasure")(forgetting.erasure)
app.command("backup")(backups.backup)
app.command("restore")(backups.restore)
app.command("grant")(rights.grant)
app.command("revoke")(rights.revoke)
app.command("explain")(oversight.explain)
app.command("grants")(oversight.grants)
app.command("quarantine")(oversight.quarantine)
app.command("release")(oversight.release)
app.command("trust")(oversight.trust)
app.command("hold")(oversight.hold)
app.command("lift")(oversight.lift)
app.command("quota")(oversight.quota)
app.command("join")(oversight.join)
app.command("leave")(oversight.leave)
app.command("clearance")(oversight.clearance)
app.command("trace")(origins.trace)
app.command("provenance")(origins.provenance)
app.add_typer(audit, name="audit")
audit.command("verify")(auditing.verify)
audit.command("checkpoint")(auditing.checkpoint)
audit.command("log")(auditing.log)
audit.command("export")(auditing.export)
audit.command("rotate-key")(auditing.rotate_key)
audit.command("prune")(auditing.prune)
app.command("maintain")(working.maintain)
app.command("worker")(working.worker)
app.command("doctor")(upkeep.doctor)


def run() -> None:
    """Run `memos` with this process's arguments, and end the process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character gets a question mark, not a traceback.
            stream.reconfigure(errors="replace")
    app(prog_name="memos")


if __name__ == "__main__":
    run()
