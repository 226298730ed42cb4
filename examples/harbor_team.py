"""The Harbor team: a tour of MemOS on the transcript of an invented museum team.

Run it with `make demo`, or `python examples/harbor_team.py [--vault DIR] [--embedder NAME]`. A line
with a tick is a claim that was checked just before it was printed; if one does not hold, the demo
stops with exit code 1. The docstring of a step is its heading and its first words on the screen.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from memos_core import (
    ConflictError,
    DeniedError,
    Draft,
    Embedder,
    Key,
    MemOS,
    MemosError,
    NotFoundError,
    Session,
    Settings,
)
from memos_core.models.embedder import embedder_named

TRANSCRIPT: Final = Path(__file__).parent / "data" / "harbor_team.jsonl"
WIDTH: Final = 100
KIOSK: Final = "harbor/kiosk"
PEOPLE: Final = "harbor/people"
SALARY: Final = "What is the salary band for Leonie?"
PRESENT: Final = "What is the farewell present for Ravi?"
OPENING: Final = "When does the kiosk open to the public?"
DOOR: Final = "What is the code of the downstairs door?"
DOOR_CODE: Final = "7319-heron"
EVERYTHING: Final = 1_000
"""As `k`: more than there is, so that a search ranks every memory that the asker may read."""

COUNT_BYTES: Final = """
import json, pathlib, sys
folder, needle = pathlib.Path(sys.argv[1]), sys.argv[2].encode()
files = sorted(path for path in folder.rglob("*") if path.is_file())
print(json.dumps({path.name: path.read_bytes().count(needle) for path in files}))
"""


class DemoFailedError(Exception):
    """The vault did not do what the demo was about to claim."""


class Stage:
    """Prints the demo, as `Text` so that nothing stored is read as markup; checks every claim."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.claims = 0

    def say(self, text: str) -> None:
        """Print a paragraph."""
        self.console.print(Text(text))

    def quote(self, text: str) -> None:
        """Print what the vault answered, indented; long lines are folded under themselves."""
        for line in text.split("\n"):
            inner = line[: len(line) - len(line.lstrip())]
            for part in textwrap.wrap(line, self.console.width - 6, subsequent_indent=inner):
                self.console.print(Text(f"    | {part}", style="cyan"))

    def claim(self, text: str, holds: bool) -> None:
        """Print a claim that was just checked; one that does not hold ends the demo."""
        if not holds:
            raise DemoFailedError(f"this should hold, and does not: {text}")
        self.claims += 1
        lines = "\n    ".join(textwrap.wrap(text, self.console.width - 6))
        self.console.print(Text(f"  ✓ {lines}", style="green"))

    def refusal(self, text: str, kind: type[MemosError], call: Callable[[], object]) -> None:
        """Claim that a call is refused, and quote the answer."""
        answer = refused(kind, call)
        self.claim(text, bool(answer))
        self.quote(f"{kind.__name__}: {answer}")


@dataclass(frozen=True, slots=True)
class Demo:
    """What every step works with: the vault, the transcript, and a session for each of the team."""

    stage: Stage
    memos: MemOS
    folder: Path
    transcript: tuple[Draft, ...]
    maya: Session
    tomas: Session
    ines: Session
    ravi: Session
    planner: Session


def open_vault(folder: Path, embedder: Embedder | None) -> MemOS:
    """Make a new vault in a directory."""
    return MemOS.open(folder, settings=Settings(owner="user:maya"), embedder=embedder)


def give_rights(memos: MemOS) -> None:
    """Make two groups, and let each read and write in one room."""
    maya = memos.session("user:maya")
    for member in ("user:maya", "user:tomas", "user:ines", "user:ravi", "agent:planner"):
        maya.add_member("group:kiosk", member)
    for member in ("user:maya", "user:ravi"):
        maya.add_member("group:people", member)
    maya.grant("group:kiosk", ["read", "write"], on="harbor/kiosk")
    maya.grant("group:people", ["read", "write"], on="harbor/people")


def step_open(demo: Demo) -> None:
    """Open a vault, and say who may do what.

    A vault is one directory that holds every memory of a team. Its owner, here user:maya, governs
    the shared spaces. Everybody has a private space that bears their own name (user:tomas, …).
    Beyond that nobody may do anything until somebody who governs it grants it. This code runs:
    """
    code = "\n".join(inspect.getsource(function) for function in (open_vault, give_rights))
    syntax = Syntax(code.rstrip(), "python", background_color="default", word_wrap=True)
    demo.stage.console.print(Padding(syntax, (1, 0, 1, 4)))
    give_rights(demo.memos)
    grant = partial(demo.tomas.grant, "user:tomas", ["read", "write"], on=PEOPLE)
    demo.stage.refusal("Tomas cannot grant himself more than Maya did:", DeniedError, grant)


def step_record(demo: Demo) -> None:
    """Record who said what.

    The messages of March 2026, in order of time. Each is added by the session of its own speaker,
    in a transaction of its own, flushed to the disk. The first one also waits for the model that
    turns text into vectors: MiniLM takes up to some ten seconds to load, once.
    """
    stage, (first, *rest) = demo.stage, demo.transcript
    started = time.perf_counter()
    with stage.console.status("Loading the embedding model …"):
        model = demo.memos.session(first.speaker or "").add(first).meta.embedding_fp
    loaded = time.perf_counter()
    columns = (TextColumn("{task.description}"), BarColumn(40), MofNCompleteColumn())
    with Progress(*columns, console=stage.console) as progress:
        for said in progress.track(rest, description="Recording"):
            demo.memos.session(said.speaker or "").add(said)
    seconds = time.perf_counter() - loaded
    pace = f"{seconds:.1f} s for the other {len(rest)}, {len(rest) / seconds:.0f} a second"
    stage.say(f"{loaded - started:.1f} s for the first message; {pace}. Embedder: {model}.")
    stage.say("Who wrote where, counted in the vault by somebody who may read there:\n")
    counted = count_in_vault(demo)
    stage.console.print(Padding(table_of(counted), (0, 0, 1, 4)))
    expected = Counter((said.speaker or "", said.space or "") for said in demo.transcript)
    stage.claim(f"All {1 + len(rest)} messages are in, by speaker and space.", counted == expected)
    seen, notes = len(demo.maya.get_all(space="user:tomas")), expected["user:tomas", "user:tomas"]
    stage.claim(f"Maya, the owner, sees {seen} of the {notes} private notes of Tomas.", seen == 0)


def step_find(demo: Demo) -> None:
    """Ask, and see why a memory was found.

    A search ranks what the asker may read, and nothing else. Each hit says why it is there
    (hit.why); the parts add up to its score:

      dense    how close question and memory are in meaning (the angle between their vectors)
      bm25     how many of the question's words occur; rare words count more
      speaker  added if the question names the one who said it

    A share of dense and bm25 comes from the messages just before and after in a conversation.
    A search tells what was said and when; it does not decide which of two statements is true.
    """
    found = ask(demo, demo.ines, "What is Tomas allergic to?")
    demo.stage.claim("Ines finds the allergy before she orders the cake.", found[0] == "m112")
    found = ask(demo, demo.tomas, "What is the opening date?")
    demo.stage.claim("Tomas finds the last of three dates first.", found[0] in {"m141", "m143"})
    found = ask(demo, demo.ravi, "Which vendor does the screen come from now?")
    both = found[0] == "m086" and "m014" in found
    demo.stage.claim("Ravi finds Brightwell first, and further down what it replaced.", both)


def step_compare(demo: Demo) -> None:
    """Ask the same question as somebody else.

    Maya is in group:people, Tomas is not. Ines keeps her plan for Ravi in her own space. Who may
    not read the answer gets what comes closest among the rest.
    """
    found = ask(demo, demo.maya, SALARY, most=1)
    demo.stage.claim("Maya finds the salary band.", found == ["m026"])
    ask(demo, demo.tomas, SALARY, most=1)
    claim_hidden(demo, demo.tomas, SALARY, PEOPLE)
    found = ask(demo, demo.ines, PRESENT, most=1)
    demo.stage.claim("Ines finds her plan.", found == ["m058"])
    ask(demo, demo.ravi, PRESENT, most=1)
    claim_hidden(demo, demo.ravi, PRESENT, "user:ines")


def step_refuse(demo: Demo) -> None:
    """Refuse.

    Tomas tries to write where he may not. Then suppose that the id of a message there leaked to
    him: he tries it, and after it an id that he made up.
    """
    stage, tomas = demo.stage, demo.tomas
    before = demo.memos.verify_ledger().events
    write = partial(tomas.add, "What do the others earn?", space=PEOPLE)
    stage.refusal(f"Tomas may not write into {PEOPLE}:", DeniedError, write)
    real = demo.ravi.get(Key("m026", PEOPLE)).id
    made_up = f"mem_{real.removeprefix('mem_')[::-1]}"
    update = partial(tomas.update, content="57 thousand")
    verbs: tuple[Callable[[str], object], ...] = (tomas.get, tomas.history, update, tomas.forget)
    tries = [[partial(verb, ref) for ref in (real, made_up)] for verb in verbs]
    pairs = [[refused(NotFoundError, call) for call in both] for both in tries]
    stage.say("The id that leaked, then the one that he made up:")
    stage.quote("\n".join(f"NotFoundError: {answer}" for answer in pairs[0]))
    stage.claim(
        "But for the id that he typed, the answers have the same words, whether he tries get, "
        "history, update or forget. (The time that they took was not compared.)",
        all(one.replace(real, "") == other.replace(made_up, "") for one, other in pairs),
    )
    grown, refusals = demo.memos.verify_ledger().events - before, 1 + 2 * len(pairs)
    made = f"{refusals} refusals and Ravi's look at the id"
    stage.claim(f"{made} left {grown} entries in the ledger.", grown == refusals + 1)


def step_grant(demo: Demo) -> None:
    """Grant, and revoke.

    Maya lets Tomas read: grant = maya.grant("user:tomas", "read", on="harbor/people")
    """
    grant = demo.maya.grant("user:tomas", "read", on=PEOPLE)
    found = ask(demo, demo.tomas, SALARY, most=1)
    demo.stage.claim("Now Tomas finds the salary band.", found == ["m026"])
    write = partial(demo.tomas.add, "Noted.", space=PEOPLE)
    demo.stage.refusal("To read is not to write:", DeniedError, write)
    demo.stage.say("Maya takes it back: maya.revoke(grant)")
    demo.maya.revoke(grant)
    claim_hidden(demo, demo.tomas, SALARY, PEOPLE)
    get = partial(demo.tomas.get, Key("m026", PEOPLE))
    demo.stage.refusal("By its key he does not get it either:", NotFoundError, get)


def step_correct(demo: Demo) -> None:
    """Correct a fact that changed.

    The opening moved twice. Asked in the words of the first message, the planner finds that one.
    """
    stage, ref = demo.stage, Key("m002", KIOSK)
    old = demo.maya.get(ref)
    outdated = ask(demo, demo.planner, OPENING, most=1) == ["m002"] and "24 April" in old.text
    stage.claim("It says 24 April, which is out of date.", outdated)
    stage.say("Maya corrects this memory, and says why: maya.update(ref, text, reason=…)")
    text = old.text.replace("24 April", "15 May")
    why = "moved to 8 May (m066), then to 15 May (m141)"
    demo.maya.update(ref, text, expected_version=old.version, reason=why)
    ask(demo, demo.planner, OPENING, most=1)
    best = demo.planner.search(OPENING, k=1)[0]
    fresh = best.id == old.id and best.text == text
    stage.claim(f"The same memory, now version {best.cube.version}, says 15 May.", fresh)
    stage.say("maya.history(ref) tells what it was, and who changed it why:")
    versions = demo.maya.history(ref)
    for each in versions:
        because = f" because {each.reason}" if each.reason else ""
        stage.quote(f"version {each.number}, {each.action} by {each.author}{because}")
        stage.quote(f"  {each.cube.text}")
    told = [(each.number, each.reason) for each in versions] == [(1, ""), (2, why)]
    stage.claim("Both versions are there, and the reason of the change.", told)
    late = partial(demo.ines.update, ref, "It opens on 8 May.", expected_version=old.version)
    stage.refusal("Ines, who still looks at version 1, cannot overwrite it:", ConflictError, late)
    stage.claim("Maya's correction stands.", demo.ines.get(ref).text == text)


def step_context(demo: Demo) -> None:
    """Recall for a prompt.

    planner.context(question, budget_tokens=260) returns a block for a prompt, best memory first:
    data for the model, not an instruction. No stored text can close its fence, which bears a number
    drawn for this request. Long lines are folded here.
    """
    question, budget = "What happened with ticket 41?", 260
    demo.stage.say(f"\nagent:planner asks: {question}\n")
    context = demo.planner.context(question, budget_tokens=budget)
    demo.stage.quote(context.text)
    fits = f"{len(context.items)} memories fit, with {context.tokens} of {budget} estimated tokens"
    within = bool(context.items) and context.tokens <= budget
    demo.stage.claim(f"{fits}; {len(context.left_out)} more were found and left out.", within)
    spaces = {hit.cube.meta.space for hit in context.hits}
    demo.stage.claim(f"All come from {KIOSK}, where the planner may read.", spaces == {KIOSK})


def step_forget(demo: Demo) -> None:
    """Forget on request.

    Ravi posted a door code in the team room by mistake. Six days later he wrote:
    """
    stage, ref = demo.stage, Key("m115", KIOSK)
    request = demo.ravi.get(Key("m148", KIOSK))
    stage.quote(request.text)
    known = demo.ravi.get(ref).id
    old = finders(demo, k=3)
    stage.claim(f"Until now, {len(old)} of 5 members find it in three hits.", len(old) == 5)
    stage.say(
        f'Another process counts the bytes "{DOOR_CODE}" in every file of the vault. (One that has '
        "the database open must never open its files itself: closing them drops SQLite's locks.)"
    )
    count, places = count_bytes(demo.folder)
    stage.claim(f"Before: {count} found in {places}.", count > 0)
    report = demo.ravi.forget(ref, reason="a private door code, posted by mistake")
    stage.say(f'ravi.forget(Key("m115", "{KIOSK}"), reason=…) reports: {report.status}')
    new = finders(demo, k=EVERYTHING)
    stage.claim(f"Now {len(new)} of 5 members find it, however far they look.", not new)
    best = demo.planner.search(DOOR, k=1)[0]
    stage.claim("What comes closest is now Ravi's own request.", best.id == request.id)
    stage.refusal("Not even Ravi gets it by its id:", NotFoundError, partial(demo.ravi.get, known))
    stage.refusal("Nor by its key:", NotFoundError, partial(demo.ravi.get, ref))
    count, places = count_bytes(demo.folder)
    if report.status == "pending":  # a reader may still hold bytes: said, and not a failure
        stage.say(f"After: {count} found in {places}. Pending: {'; '.join(report.pending)}.")
    else:
        stage.claim(f"After: {count} found in {places}.", count == 0)


def step_audit(demo: Demo) -> None:
    """Audit.

    Every effect, every read and every refusal of this demo left an entry in the ledger. An entry
    holds no content, and its hash covers the entry before it.
    """
    stage, verdict = demo.stage, demo.memos.verify_ledger()
    found = f"{verdict.status}, {verdict.events} events, {len(verdict.problems)} problems"
    stage.claim(f"memos.verify_ledger(): {found}.", verdict.status == "self-consistent")
    stage.say(
        "It proves that no entry was edited, removed or swapped by itself. It does not prove that "
        "nobody rewrote the whole database with all hashes: for that, a checkpoint must be kept "
        "elsewhere. Nor does it prove who somebody is: the program that opens the sessions says so."
    )
    doctor = demo.memos.diagnose()
    counts = (doctor.facts["memories"], doctor.facts["ledger_events"])
    found = f"{counts[0]} memories, {counts[1]} events, {len(doctor.problems)} problems"
    same = counts == (len(demo.transcript) - 1, verdict.events)  # all but the forgotten one
    stage.claim(f"memos.diagnose(): {found}.", doctor.is_healthy and same)
    for advice in doctor.advice:
        stage.say(f"Its advice: {advice}.")


STEPS: Final[tuple[Callable[[Demo], None], ...]] = (
    *(step_open, step_record, step_find, step_compare, step_refuse),
    *(step_grant, step_correct, step_context, step_forget, step_audit),
)


def ask(demo: Demo, session: Session, question: str, *, most: int = 3) -> list[str]:
    """Search, print the hits with the parts of their scores, and return their keys."""
    demo.stage.say(f"\n{session.principal} asks: {question}\n")
    hits = session.search(question, k=most)
    if not hits or any(abs(sum(hit.why.values()) - hit.score) > 1e-6 for hit in hits):
        raise DemoFailedError(f"no hits, or scores that do not add up: {question}")
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("score", "dense", "bm25", "speaker"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("memory", ratio=1)
    for hit in hits:
        meta, text = hit.cube.meta, textwrap.shorten(hit.text, 120, placeholder=" …")
        told = f"{meta.occurred_at:%d %b}, {meta.speaker} in {meta.space}: {text}"
        numbers = [hit.score, *(hit.why.get(name, 0.0) for name in ("dense", "bm25", "speaker"))]
        table.add_row(*(f"{number:.2f}" for number in numbers), Text(told))
    demo.stage.console.print(Padding(table, (0, 0, 1, 4)))
    return [hit.cube.meta.key or "" for hit in hits]


def claim_hidden(demo: Demo, session: Session, question: str, space: str) -> None:
    """Claim that nothing of a space is found, however far down the ranking one looks."""
    hits = session.search(question, k=EVERYTHING)
    leaked = sum(hit.cube.meta.space == space for hit in hits)
    found = f"{session.principal} can find {len(hits)} memories, {leaked} of them in {space}"
    demo.stage.claim(f"{found}.", bool(hits) and not leaked)


def finders(demo: Demo, *, k: int) -> list[str]:
    """Tell who of the five has the door code among the best k hits."""
    team = (demo.maya, demo.tomas, demo.ines, demo.ravi, demo.planner)
    found = [(each.principal, each.search(DOOR, k=k).texts) for each in team]
    return [name for name, texts in found if any(DOOR_CODE in text for text in texts)]


def refused(kind: type[MemosError], call: Callable[[], object]) -> str:
    """Return the words with which a call is refused; one that goes through ends the demo."""
    try:
        call()
    except kind as error:
        return str(error)
    raise DemoFailedError(f"{kind.__name__} was expected, and the call went through")


def count_in_vault(demo: Demo) -> Counter[tuple[str, str]]:
    """Count memories by speaker and space, each space listed by somebody who may read it."""
    own = [(session, session.space) for session in (demo.maya, demo.tomas, demo.ines, demo.ravi)]
    return Counter(
        (cube.meta.speaker or "", space)
        for session, space in [(demo.planner, KIOSK), (demo.ravi, PEOPLE), *own]
        for cube in session.get_all(space=space, limit=EVERYTHING)
    )


def count_bytes(folder: Path) -> tuple[int, str]:
    """Let another process count the door code's bytes; return how many, and in which files."""
    command = [sys.executable, "-c", COUNT_BYTES, str(folder), DOOR_CODE]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - ours
    counted: dict[str, int] = json.loads(done.stdout)
    places = ", ".join(f"{name} ({count})" for name, count in counted.items())
    return sum(counted.values()), places


def table_of(counted: Counter[tuple[str, str]]) -> Table:
    """Lay the counts out, a row for each speaker; private notes lie in the speaker's own space."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("speaker")
    for name in (KIOSK, PEOPLE, "private notes", "together"):
        table.add_column(name, justify="right")
    for speaker in sorted({speaker for speaker, _space in counted}):
        numbers = [counted[speaker, space] for space in (KIOSK, PEOPLE, speaker)]
        table.add_row(speaker, *(str(number or "-") for number in (*numbers, sum(numbers))))
    return table


def read_transcript(path: Path = TRANSCRIPT) -> tuple[Draft, ...]:
    """Read the team's messages, in order of time, as drafts of memories."""
    drafts = []
    for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        text, at = row.pop("text"), datetime.fromisoformat(row.pop("at"))
        drafts.append(Draft(text, occurred_at=at, semantic_type="message", **row))
    return tuple(drafts)


def run(stage: Stage, folder: Path, embedder: Embedder | None) -> None:
    """Run every step on a new vault."""
    names = ("user:maya", "user:tomas", "user:ines", "user:ravi", "agent:planner")
    with open_vault(folder, embedder) as memos:
        demo = Demo(stage, memos, folder, read_transcript(), *map(memos.session, names))
        for number, step in enumerate(STEPS, start=1):
            title, _, words = inspect.cleandoc(step.__doc__ or "").partition(".\n")
            heading = Text(f"{number} of {len(STEPS)}. {title}", style="bold")
            stage.console.rule(heading, align="left", style="dim")
            stage.say(re.sub(r"(?<=\S)\n(?=\S)", " ", words.strip()))  # lines join to paragraphs
            step(demo)
            stage.console.print()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return 0, or 1 where a claim does not hold or the vault gave up."""
    parser = argparse.ArgumentParser(description="The Harbor team: a tour of MemOS.")
    parser.add_argument("--vault", type=Path, help="a new directory, to keep the vault")
    parser.add_argument("--embedder", help="all-MiniLM-L6-v2 (the default) or hashing-256")
    options = parser.parse_args(arguments)
    if options.vault and options.vault.is_dir() and any(options.vault.iterdir()):
        parser.error(f"{options.vault} is not empty: name a new directory")
    # transformers would draw a bar of its own. PyTorch's threads, given one short text at a time,
    # wait for each other: on two busy cores 157 ms a text, against 29 ms with one thread.
    os.environ.update(HF_HUB_DISABLE_PROGRESS_BARS="1", OMP_NUM_THREADS="1")
    console = Console(highlight=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    stage = Stage(console)
    started = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory(prefix="memos-demo-") as spare:
            folder = options.vault or Path(spare) / "vault"
            run(stage, folder, embedder_named(options.embedder) if options.embedder else None)
    except (DemoFailedError, MemosError) as error:
        Console(stderr=True).print(Text(f"\nThe demo stopped. {type(error).__name__}: {error}"))
        return 1
    place = f"The vault stays in {options.vault}." if options.vault else "The vault is removed."
    seconds = time.perf_counter() - started
    stage.say(f"{stage.claims} claims were checked in {seconds:.0f} seconds. {place}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
