"""The command line: every verb, both ways of printing, and the ways of failing."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from memos_core import verify_export
from memos_core.cli.main import app
from memos_core.cli.markdown import sections
from memos_core.cli.times import parse_end, parse_instant
from memos_core.errors import InvalidInputError
from memos_core.models.embedder import HashingEmbedder
from memos_core.system import MemOS
from tests.processes import others

HOSTILE = "\x1b[2J\x1b]0;owned\x07 [red]boo[/red] \x9b31m[link=x]\u202egnp.exe\x7f"


class Shell:
    """Runs `memos` on one vault, in this process."""

    def __init__(self, vault: Path) -> None:
        self.vault = vault

    def __call__(
        self, *args: str, who: str | None = "user:alice", stdin: str | bytes | None = None
    ) -> Result:
        first = ["--vault", str(self.vault), "--embedder", "hashing-256"]
        acting = [] if who is None else ["--as", who]
        return CliRunner().invoke(app, [*first, *acting, *args], input=stdin)

    def done(self, *args: str, **options: Any) -> str:
        """Run what should succeed, and return what it printed."""
        result = self(*args, **options)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *args: str, **options: Any) -> Any:
        """Run with --json what should succeed, and return the one value that it printed."""
        return json.loads(self.done("--json", *args, **options))

    def refused(self, *args: str, code: int = 1, **options: Any) -> str:
        """Run what should fail, and return what it says; stdout stays empty."""
        result = self(*args, **options)
        assert result.exit_code == code, result.output
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
        if code == 1:
            assert result.stderr.startswith("memos: ")
            assert result.stderr.count("\n") == 1
        return result.stderr

    def texts(self, query: str = "anything", **options: Any) -> set[str]:
        """Return the texts of all that is found."""
        hits = self.json("search", query, "-k", "1000", **options)
        return {hit["cube"]["payload"]["content"] for hit in hits}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MEMOS_VAULT", "MEMOS_PRINCIPAL", "MEMOS_EMBEDDER", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path / "vault")
    made.done("init", "--owner", "user:owner")
    return made


def harmless(printed: str) -> bool:
    return all(char == "\n" or char.isprintable() for char in printed)


def words(printed: str) -> str:
    """Undo the box and the line breaks that usage errors are laid out with."""
    return " ".join(printed.replace("│", " ").split())


# init


def test_init_makes_a_vault_and_names_its_owner(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "new" / "vault")
    made = shell.json("init", "--owner", "user:maya")
    assert made["vault"] == str(shell.vault)
    assert made["owner"] == "user:maya"
    shell.done("grant", "user:bob", "read", "--on", "acme", who="user:maya")


def test_init_makes_who_acts_the_owner_unless_another_is_named(tmp_path: Path) -> None:
    assert Shell(tmp_path / "a").json("init")["owner"] == "user:alice"
    assert Shell(tmp_path / "b").json("init", who=None)["owner"] == "user:owner"


def test_init_leaves_a_vault_that_is_there_alone(shell: Shell) -> None:
    shell.done("add", "tea")
    assert "there is a vault already" in shell.refused("init", "--owner", "user:eve")
    assert shell.texts() == {"tea"}


def test_init_refuses_a_directory_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "taxes.txt").write_text("mine")
    assert "not a vault and not empty" in Shell(tmp_path).refused("init")


@pytest.mark.parametrize(
    "verb",
    [
        ["add", "x"],
        ["search", "x"],
        ["show", "mem_x"],
        ["history", "mem_x"],
        ["forget", "mem_x"],
        ["grant", "user:bob", "read", "--on", "acme"],
        ["revoke", "grt_x"],
        ["import", "x.txt"],
        ["audit", "verify"],
        ["audit", "checkpoint"],
        ["audit", "log"],
        ["audit", "export", "x.jsonl"],
        ["audit", "rotate-key"],
        ["audit", "prune", "--before-checkpoint", "1"],
        ["doctor"],
    ],
    ids=lambda verb: "-".join(verb[:2]),
)
def test_no_verb_but_init_makes_a_vault(tmp_path: Path, verb: list[str]) -> None:
    shell = Shell(tmp_path / "nothing")
    message = shell.refused(*verb)
    assert f"no vault at {shell.vault}: run memos init" in message
    assert not shell.vault.exists()
    empty = tmp_path / "empty"
    empty.mkdir()
    Shell(empty).refused(*verb)
    assert list(empty.iterdir()) == []


def test_a_vault_whose_files_cannot_be_opened_is_one_line(shell: Shell) -> None:
    lock = shell.vault / "vault.lock"
    lock.unlink()
    lock.mkdir()
    assert "cannot be opened" in shell.refused("doctor")


# the shared options


def test_shared_options_work_before_and_after_the_verb(shell: Shell) -> None:
    run = CliRunner()
    where = ["--vault", str(shell.vault), "--embedder", "hashing-256"]
    before = run.invoke(app, [*where, "--as", "user:alice", "--json", "add", "one"])
    after = run.invoke(app, ["add", "two", *where, "--as", "user:alice", "--json"])
    assert [json.loads(each.stdout)["meta"]["owner"] for each in (before, after)] == [
        "user:alice"
    ] * 2


def test_what_stands_after_the_verb_counts(shell: Shell) -> None:
    assert shell.json("add", "tea", "--as", "user:bob")["meta"]["owner"] == "user:bob"


def test_the_environment_names_vault_principal_and_embedder(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMOS_VAULT", str(shell.vault))
    monkeypatch.setenv("MEMOS_PRINCIPAL", "user:maya")
    monkeypatch.setenv("MEMOS_EMBEDDER", "hashing-256")
    result = CliRunner().invoke(app, ["--json", "add", "tea"])
    assert json.loads(result.stdout)["meta"]["owner"] == "user:maya"
    told = CliRunner().invoke(app, ["--json", "--as", "user:bob", "add", "tea"])
    assert json.loads(told.stdout)["meta"]["owner"] == "user:bob"


def test_the_vault_is_the_directory_vault_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["init"]).exit_code == 0
    assert (tmp_path / "vault" / "memos-vault.json").is_file()


def test_acting_needs_a_principal(shell: Shell) -> None:
    message = words(shell.refused("add", "tea", who=None, code=2))
    assert "--as" in message
    assert "MEMOS_PRINCIPAL" in message


def test_a_malformed_principal_is_one_line(shell: Shell) -> None:
    assert "malformed principal 'alice'" in shell.refused("add", "tea", who="alice")
    assert "groups do not act" in shell.refused("add", "tea", who="group:staff")


def test_the_help_says_that_identity_is_asserted() -> None:
    for args in (["--help"], ["add", "--help"]):
        help_text = words(CliRunner().invoke(app, args).stdout)
        assert "identity is asserted, not authenticated" in help_text


def test_an_embedder_that_memos_does_not_bring_is_bad_usage(shell: Shell) -> None:
    message = words(shell.refused("add", "tea", "--embedder", "word2vec", code=2))
    assert "all-MiniLM-L6-v2" in message


def test_another_embedder_than_the_vaults_is_refused(shell: Shell) -> None:
    shell.done("add", "tea")
    assert "made with hashing-256" in shell.refused("search", "x", "--embedder", "hashing-64")


def test_a_session_in_a_space_writes_and_reads_there(shell: Shell) -> None:
    shell.done("add", "mine", who="user:owner")
    shell.done("--space", "acme", "add", "ours", who="user:owner")
    assert shell.texts(who="user:owner") == {"mine", "ours"}
    found = shell.json("--space", "acme", "search", "x", who="user:owner")
    assert [hit["cube"]["meta"]["space"] for hit in found] == ["acme"]


def test_a_purpose_reads_what_is_granted_for_it(shell: Shell) -> None:
    shell.done("--space", "acme", "add", "ours", who="user:owner")
    grant = ["grant", "user:alice", "read", "--on", "acme", "--purpose-for", "support"]
    shell.done(*grant, who="user:owner")
    assert shell.json("search", "ours") == []
    assert len(shell.json("--purpose", "support", "search", "ours")) == 1


def test_arguments_that_are_not_utf8_are_bad_usage(shell: Shell) -> None:
    assert "not UTF-8" in shell.refused("show", "\udcff", code=2)


# add


def test_add_records_every_field_that_is_given(shell: Shell) -> None:
    cube = shell.json(
        *["add", "We met in Oslo.", "--key", "oslo", "--tag", "travel", "--tag", "work"],
        *["--speaker", "Maya", "--at", "2026-05-01T09:30+02:00", "--expires", "2999-01-01T00:00Z"],
        *["--sensitivity", "confidential", "--meta", "year=2026", "--meta", 'city="Oslo"'],
    )
    meta = cube["meta"]
    assert cube["payload"]["content"] == "We met in Oslo."
    assert meta["key"] == "oslo"
    assert meta["tags"] == ["travel", "work"]
    assert meta["speaker"] == "Maya"
    assert meta["occurred_at"] == "2026-05-01T09:30:00+02:00"
    assert meta["expires"].startswith("2999-01-01")
    assert meta["sensitivity"] == "confidential"
    assert meta["metadata"] == {"year": 2026, "city": "Oslo"}


def test_add_tells_the_new_id(shell: Shell) -> None:
    told = shell.done("add", "tea")
    (hit,) = shell.json("search", "tea")
    assert told == f"Added {hit['cube']['meta']['id']} to user:alice.\n"


def test_add_reads_stdin(shell: Shell) -> None:
    shell.done("add", "-", stdin="two\nlines\n")
    assert shell.texts() == {"two\nlines"}
    assert "not UTF-8" in shell.refused("add", "-", stdin=b"\xff")


def test_a_time_from_now_is_an_expiry(shell: Shell) -> None:
    meta = shell.json("add", "tea", "--expires", "1d12h")["meta"]
    lasts = parse_instant(meta["expires"]) - parse_instant(meta["created"])
    assert lasts.total_seconds() == 36 * 3600


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--at", "2026-05-01", "no time zone"),
        ("--at", "yesterday", "not an instant"),
        ("--at", "0001-01-01T00:00+14:00", "outside the calendar"),
        ("--expires", "7", "7d or 12h"),
        ("--expires", "999999999d", "further away"),
        ("--sensitivity", "secret", "restricted"),
        ("--meta", "city=Oslo", "is not JSON"),
        ("--meta", "city", "NAME=JSON"),
    ],
)
def test_a_malformed_option_is_bad_usage(shell: Shell, option: str, value: str, says: str) -> None:
    message = words(shell.refused("add", "tea", option, value, code=2))
    assert option in message
    assert says in message
    assert shell.texts() == set()


def test_a_metadata_name_given_twice_is_bad_usage(shell: Shell) -> None:
    shell.refused("add", "tea", "--meta", "a=1", "--meta", "a=2", code=2)


def test_an_empty_memory_is_refused(shell: Shell) -> None:
    assert "content is empty" in shell.refused("add", " ")


def test_a_taken_key_is_refused(shell: Shell) -> None:
    shell.done("add", "tea", "--key", "drink")
    assert "is taken" in shell.refused("add", "milk", "--key", "drink")


def test_a_write_that_is_not_allowed_is_denied(shell: Shell) -> None:
    message = shell.refused("--space", "acme", "add", "graffiti")
    assert "user:alice may not write acme" in message
    assert shell.json("--space", "acme", "search", "graffiti", who="user:owner") == []


def test_bad_usage_is_code_2(shell: Shell) -> None:
    shell.refused("add", code=2)
    shell.refused("frobnicate", code=2)
    shell.refused("add", "tea", "--frobnicate", code=2)


# import


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], str]:
    def write_file(name: str, text: str | bytes) -> str:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return str(path)

    return write_file


Write = Callable[[str, str | bytes], str]


def jsonl(*lines: object) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)


def test_a_text_file_is_a_memory_per_paragraph(shell: Shell, write: Write) -> None:
    file = write("notes.txt", "\n\nTea,\r\nno milk.\r\n\r\n   \r\nWindow seat.")
    (told,) = shell.json("import", file)
    assert told["file"] == file
    assert told["memories"] == len(told["ids"]) == 2
    assert shell.texts() == {"Tea,\nno milk.", "Window seat."}
    assert shell.json("show", told["ids"][0])["meta"]["source"] == {"origin": "import:notes.txt"}


def test_a_markdown_file_is_a_document_per_section(shell: Shell, write: Write) -> None:
    text = "# Guide\nHello.\n## Install\n```sh\n# not a heading\n```\n# Use\nRun it.\n"
    (told,) = shell.json("import", write("guide.md", text))
    found = [shell.json("show", each) for each in told["ids"]]
    assert [each["payload"]["format"] for each in found] == ["document"] * 3
    assert [each["payload"]["content"]["title"] for each in found] == [
        "Guide",
        "Guide > Install",
        "Use",
    ]
    assert found[1]["payload"]["content"]["text"] == "```sh\n# not a heading\n```"
    assert found[0]["meta"]["semantic_type"] == "document"


def test_json_lines_bring_the_fields_of_a_draft(shell: Shell, write: Write) -> None:
    line = {
        "text": "We met in Oslo.",
        "key": "oslo",
        "space": "user:alice/trips",
        "speaker": "Maya",
        "at": "2026-05-01T09:30+02:00",
        "expires": "7d",
        "valid": {"start": "2026-01-01T00:00Z", "end": "2027-01-01T00:00Z"},
        "semantic_type": "event",
        "tags": ["travel"],
        "metadata": {"year": 2026},
        "sensitivity": "public",
        "access": ["user:alice"],
        "purposes": ["assist"],
        "priority": "high",
        "source": {"uri": "https://example.org/chat", "message_id": "m7", "span": [0, 5]},
        "parents": [],
    }
    shell.done("import", write("chat.jsonl", jsonl(line)))
    (hit,) = shell.json("search", "Oslo")
    meta = hit["cube"]["meta"]
    assert hit["cube"]["payload"]["content"] == "We met in Oslo."
    assert meta["space"] == "user:alice/trips"
    assert meta["occurred_at"] == "2026-05-01T09:30:00+02:00"
    assert meta["valid_to"] == "2027-01-01T00:00:00+00:00"
    same = ("key", "speaker", "semantic_type", "tags", "metadata", "sensitivity", "access")
    assert {name: meta[name] for name in same} == {name: line[name] for name in same}
    assert meta["source"]["origin"] == "import:chat.jsonl"
    assert meta["source"]["message_id"] == "m7"


def test_json_content_stays_json(shell: Shell, write: Write) -> None:
    shell.done("import", write("facts.jsonl", jsonl({"content": {"likes": ["tea"]}})))
    (hit,) = shell.json("search", "tea")
    assert hit["cube"]["payload"] == {
        "type": "explicit",
        "format": "json",
        "content": {"likes": ["tea"]},
    }


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"text": "x"', "Invalid JSON"),
        ("[]", "should be an object"),
        ('{"key": "a"}', "there is no text"),
        ('{"text": "x", "content": "y"}', "the same thing"),
        ('{"text": " "}', "content is empty"),
        ('{"text": "x", "speker": "M"}', "unknown field 'speker': did you mean 'speaker'?"),
        ('{"text": "x", "timestamp": 1}', "did you mean 'at'?"),
        ('{"text": "x", "colour": 1}', "values of your own go into `metadata`"),
        ('{"text": "x", "at": "2026-01-01T00:00"}', "no time zone"),
        ('{"text": "x", "at": "2026-01-01T00:00Z", "occurred_at": "x"}', "the same thing"),
        ('{"text": "x", "expires": "2001-01-01T00:00Z"}', "not in the future"),
        ('{"text": "x", "tags": "travel"}', "tags"),
        ('{"text": "x", "tags": 5}', "tags"),
        ('{"text": "x", "tags": [1]}', "tags"),
        ('{"text": "x", "key": 5}', "key"),
        ('{"text": "x", "metadata": []}', "metadata"),
        ('{"text": "x", "space": "/etc"}', "malformed space"),
        ('{"text": "x", "access": ["bob"]}', "malformed principal"),
        ('{"text": "x", "sensitivity": "secret"}', "unknown sensitivity"),
        ('{"text": "x", "source": {"origin": "bank"}}', "source"),
        ('{"text": "x", "valid": {"start": "2027-01-01T00:00Z", "end": "2026-01-01T00:00Z"}}', "v"),
        ('{"text": "\\ud800"}', "Invalid JSON"),
        ('{"text": "x", "key": "first"}', "the key 'first' is given on line 1 too"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_written(
    shell: Shell, write: Write, line: str, says: str
) -> None:
    good = jsonl({"text": "good", "key": "first"})
    bad = write("bad.jsonl", good + "\n" + line + "\n" + jsonl({"text": "late"}))
    message = shell.refused("import", write("fine.jsonl", jsonl({"text": "fine"})), bad)
    assert f"{bad}:3: " in message
    assert says in message
    assert shell.texts() == set()


def test_unknown_fields_can_be_kept_as_metadata(shell: Shell, write: Write) -> None:
    file = write("a.jsonl", jsonl({"text": "tea", "colour": "green", "metadata": {"cups": 2}}))
    shell.done("import", file, "--unknown", "metadata")
    (hit,) = shell.json("search", "tea", "--where", '{"metadata.colour": "green"}')
    assert hit["cube"]["meta"]["metadata"] == {"colour": "green", "cups": 2}
    twice = write("b.jsonl", jsonl({"text": "x", "colour": 1, "metadata": {"colour": 2}}))
    assert "b.jsonl:1: " in shell.refused("import", twice, "--unknown", "metadata")


def test_taken_keys_stop_are_kept_or_are_replaced(shell: Shell, write: Write) -> None:
    shell.done("add", "tea", "--key", "drink")
    file = write(
        "a.jsonl", jsonl({"text": "cake", "key": "food"}, {"text": "mate", "key": "drink"})
    )
    message = shell.refused("import", file)
    assert "a.jsonl: the key 'drink' is taken" in message
    assert "nothing of it was written" in message
    assert shell.texts() == {"tea"}
    assert "taken keys skipped" in shell.done("import", file, "--on-key", "skip")
    assert shell.texts() == {"tea", "cake"}
    shell.done("import", file, "--on-key", "replace")
    assert shell.texts() == {"mate", "cake"}
    assert [each["version"] for each in shell.json("history", "--key", "drink")] == [1, 2]


def test_files_before_the_one_that_fails_stay_and_are_told(shell: Shell, write: Write) -> None:
    fine = write("fine.txt", "tea")
    denied = write("denied.jsonl", jsonl({"text": "a"}, {"text": "b", "space": "acme"}))
    result = shell("--json", "import", fine, denied)
    assert result.exit_code == 1
    assert [each["file"] for each in json.loads(result.stdout)] == [fine]
    assert "denied.jsonl: user:alice may not write acme" in result.stderr
    assert shell.texts() == {"tea"}


def test_a_file_that_cannot_be_read_is_one_line(shell: Shell, write: Write, tmp_path: Path) -> None:
    assert "No such file" in shell.refused("import", str(tmp_path / "gone.txt"))
    assert "takes .txt, .md and .jsonl" in shell.refused("import", write("a.csv", "x"))
    message = shell.refused("import", write("latin.txt", b"a\nb\ncaf\xe9"))
    assert "latin.txt:3: not UTF-8" in message


def test_line_separators_within_a_string_do_not_end_a_line(shell: Shell, write: Write) -> None:
    shell.done("import", write("a.jsonl", '\ufeff{"text": "one\u2028two"}\r\n'))
    assert shell.texts() == {"one\u2028two"}


# search, show, history


def test_search_prints_a_table_of_hits(shell: Shell) -> None:
    cube = shell.json("add", "Tea, no milk.", "--speaker", "Maya", "--at", "2026-05-01T09:30+02:00")
    header, _rule, row = shell.done("search", "tea").splitlines()
    assert header.split("┃")[0].strip() == "score"
    for part in ("text", "who", "when", "where", "id"):
        assert part in header
    for part in ("Tea, no milk.", "Maya", "2026-05-01 07:30Z", "user:alice", cube["meta"]["id"]):
        assert part in row


def test_search_on_a_narrow_terminal_keeps_ids_whole(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    cube = shell.json("add", "Tea. " * 40, "--speaker", "Maya")
    monkeypatch.setenv("COLUMNS", "60")
    printed = shell.done("search", "tea", "--why")
    assert max(len(line) for line in printed.splitlines()) <= 60
    assert cube["meta"]["id"] in printed
    assert "Maya" in printed


def test_search_explains_its_scores(shell: Shell) -> None:
    shell.done("add", "tea")
    assert "dense" not in shell.done("search", "tea")
    printed = shell.done("search", "tea", "--why")
    assert "dense" in printed
    assert "bm25" in printed
    (hit,) = shell.json("search", "tea")
    assert hit["score"] == pytest.approx(sum(hit["why"].values()))


def test_search_narrows_by_filter_and_count(shell: Shell) -> None:
    for number in range(3):
        shell.done("add", f"tea {number}", "--tag", "odd" if number % 2 else "even")
    assert len(shell.json("search", "tea", "-k", "2")) == 2
    (hit,) = shell.json("search", "tea", "--where", '{"tags": "odd"}')
    assert hit["cube"]["payload"]["content"] == "tea 1"
    assert "unknown filter field" in shell.refused("search", "tea", "--where", '{"colour": 1}')
    for where in ("[1]", "tags=odd"):
        assert "--where" in words(shell.refused("search", "tea", "--where", where, code=2))


def test_search_that_finds_nothing_says_so(shell: Shell) -> None:
    assert shell.done("search", "tea") == "Nothing was found.\n"
    assert shell.json("search", "tea") == []


def test_search_finds_only_what_one_may_read(shell: Shell) -> None:
    shell.done("add", "alice's secret")
    assert shell.json("search", "secret", who="user:bob") == []


def test_search_warns_of_damage_on_stderr_only(shell: Shell) -> None:
    shell.done("add", "peanuts")
    _alter(shell, "UPDATE versions SET payload = replace(payload, 'peanuts', 'walnuts')")
    result = shell("--json", "search", "peanuts")
    assert json.loads(result.stdout) == []
    assert "damaged on disk and withheld" in result.stderr


def test_a_long_text_is_cut_with_an_ellipsis_and_shown_whole(shell: Shell) -> None:
    text = " ".join(f"word{number}" for number in range(300))
    shell.done("add", text, "--key", "long")
    assert "…" in shell.done("search", "word7")
    assert "word299" not in shell.done("search", "word7")
    assert "word299" in shell.done("show", "--key", "long")


def test_show_gives_header_and_text(shell: Shell) -> None:
    cube = shell.json("add", "Tea,\nid  mem_fake", "--key", "drink", "--tag", "taste")
    by_id = shell.done("show", cube["meta"]["id"])
    assert by_id == shell.done("show", "--key", "drink")
    assert f"id             {cube['meta']['id']}" in by_id
    assert "taste" in by_id
    # no line of the text can pass for one of the header
    assert by_id.endswith("\n    Tea,\n    id  mem_fake\n")
    assert shell.json("show", "--key", "drink") == cube


def test_show_gives_an_earlier_version(shell: Shell, write: Write) -> None:
    shell.done("add", "tea", "--key", "drink")
    file = write("a.jsonl", jsonl({"text": "mate", "key": "drink"}))
    shell.done("import", file, "--on-key", "replace")
    assert shell.json("show", "--key", "drink")["payload"]["content"] == "mate"
    old = shell.json("show", "--key", "drink", "--version", "1")
    assert old["payload"]["content"] == "tea"
    versions = shell.json("history", "--key", "drink")
    assert [each["cube"]["payload"]["content"] for each in versions] == ["tea", "mate"]
    assert {each["author"] for each in versions} == {"user:alice"}
    table = shell.done("history", "--key", "drink")
    assert table.index("tea") < table.index("mate")


@pytest.mark.parametrize("verb", ["show", "history"])
def test_one_memory_is_named_exactly_once(shell: Shell, verb: str) -> None:
    shell.refused(verb, code=2)
    shell.refused(verb, "mem_x", "--key", "x", code=2)


@pytest.mark.parametrize("verb", ["show", "history", "forget"])
def test_what_may_not_be_read_answers_like_what_is_not_there(shell: Shell, verb: str) -> None:
    here = shell.json("add", "alice's secret", "--key", "diary")["meta"]["id"]
    gone = here[:-4] + "zzzz"
    messages = [shell.refused(verb, each, who="user:bob") for each in (here, gone)]
    assert messages[0].replace(here, gone) == messages[1]
    space = ["--space", "user:alice"]
    for name in ("diary", "nothing"):
        message = shell.refused(*space, verb, "--key", name, who="user:bob")
        assert message == f"memos: no memory key '{name}' that you may read\n"
    assert shell.texts() == {"alice's secret"}


# forget


def test_forget_removes_memories_and_says_what_became_of_their_bytes(shell: Shell) -> None:
    one = shell.json("add", "tea")["meta"]["id"]
    shell.done("add", "milk", "--key", "white")
    report = shell.json("forget", one, "--key", "white", "--reason", "asked to", "--yes")
    assert one in report["forgotten"]
    assert len(report["forgotten"]) == 2
    assert report["status"] == "erased"
    assert shell.texts() == set()


def test_forget_tells_what_was_derived(shell: Shell, write: Write) -> None:
    parent = shell.json("add", "tea")["meta"]["id"]
    shell.done("import", write("a.jsonl", jsonl({"text": "likes tea", "parents": [parent]})))
    printed = shell.done("forget", parent)
    assert "Derived from them, and forgotten too: mem_" in printed
    assert "erased" in printed
    assert shell.texts() == set()


def test_forget_is_all_or_nothing(shell: Shell) -> None:
    one = shell.json("add", "tea")["meta"]["id"]
    assert "no memory 'mem_nothing'" in shell.refused("forget", one, "mem_nothing")
    assert shell.texts() == {"tea"}


def test_forget_needs_to_be_told_what(shell: Shell) -> None:
    shell.refused("forget", "--yes", code=2)


@pytest.mark.parametrize(("reply", "left"), [("n\n", {"tea"}), ("y\n", set())])
def test_forget_asks_at_a_terminal(shell: Shell, reply: str, left: set[str]) -> None:
    one = shell.json("add", "tea")["meta"]["id"]
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "w") as keyboard:
        keyboard.write(reply)
        keyboard.flush()
        done = _process(shell, "--json", "forget", one, stdin=theirs)
        os.close(theirs)
    assert "Forget 1 memory" in done.stderr
    assert done.returncode == (1 if left else 0)
    assert shell.texts() == left
    if not left:
        assert json.loads(done.stdout)["forgotten"] == [one]


def test_forget_waits_until_the_bytes_are_gone_and_erasure_says_how_far_it_is(
    shell: Shell,
) -> None:
    one = shell.json("add", "the code is zqkanarie")["meta"]["id"]
    with others(shell.vault, "user:alice") as (other,):
        other.search("the code")
        result = shell("forget", one, "--wait", "--at-most", "1s")
        assert result.exit_code == 1
        assert f"process {other.process.pid} holds pages" in words(result.output)
        report = re.search(r"era_\w+", result.stdout)
        assert report is not None
        assert shell.json("erasure", report[0])["status"] == "pending"
        other.search("the code")
        assert "Their bytes are erased" in shell.done("erasure", report[0], "--wait")
    assert "no erasure" in shell.refused("erasure", report[0], who="user:bob")
    shell.refused("erasure", report[0], "--wait", "--at-most", "soon", code=2)


def test_backup_and_restore(shell: Shell, tmp_path: Path) -> None:
    anchor, key = ("--anchor", str(tmp_path / "anchor")), tmp_path / "key"
    key.write_text("a very long passphrase\n")
    hidden = ("--key-file", str(key))
    file = str(tmp_path / "backup")
    one, two = (shell.json("add", text)["meta"]["id"] for text in ("tea", "milk"))
    printed = shell.done("backup", file, *hidden, *anchor, who="user:owner")
    assert "checkpoint 1" in printed
    assert "not encrypted" not in printed
    assert "may not govern" in shell.refused("backup", file + "2")
    shell.done("forget", one, "--wait", *anchor)
    again = Shell(tmp_path / "again")
    assert "give the anchor" in again.refused("restore", file, *hidden)
    assert "is encrypted" in again.refused("restore", file, *anchor)
    report = again.json("restore", file, *hidden, *anchor)
    assert (report["forgotten"], report["ledger"]) == (1, "untampered")
    assert again.texts() == {"milk"}
    assert again.json("show", two)["payload"]["content"] == "milk"
    assert "there already" in again.refused("restore", file, *hidden, *anchor)
    third = Shell(tmp_path / "third")
    plain = str(tmp_path / "plain")
    printed = again.done("backup", plain, who="user:owner")
    assert "not encrypted" in printed
    assert "No anchor was told" in printed
    accepted = "what was forgotten or revoked since may come back"
    assert "as of checkpoint" in third.done("restore", plain, "--without-anchor", accepted)
    assert third.texts() == {"milk"}


# snapshots, the archive


def test_a_snapshot_is_taken_listed_restored_and_dropped(shell: Shell) -> None:
    one = shell.json("add", "the plan is A")["meta"]["id"]
    taken = shell.json("snapshot", "take", "monday", "--reason", "before the meeting")
    assert (taken["name"], taken["space"]) == ("monday", "user:alice")
    shell.done("rollback", "1", "--ref", one)
    added = shell.json("add", "a new idea")["meta"]["id"]
    assert "before the meeting" in shell.done("snapshot", "list")
    assert "1 archived" in shell.done("snapshot", "restore", "monday")
    assert shell.texts() == {"the plan is A"}
    assert "out of the archive" in shell.done("unarchive", added)
    assert shell.texts() == {"the plan is A", "a new idea"}
    assert shell.json("snapshot", "restore", taken["when"])["archived"] == [added]
    assert "no snapshot" in shell.refused("snapshot", "restore", "tuesday")
    assert "may not write" in shell.refused("snapshot", "take", "x", "--of", "acme")
    shell.refused("snapshot", "restore", "2026-01-01T10:00", code=2)
    assert shell.json("snapshot", "drop", "monday") == {"dropped": "monday"}
    assert "There are none" in shell.done("snapshot", "list")
    assert "is archived" in shell.done("archive", one)
    assert shell.texts() == set()


# grant, revoke


def test_grant_and_revoke_open_and_close_a_space(shell: Shell) -> None:
    shell.done("--space", "acme", "add", "our plan", who="user:owner")
    given = shell.json(
        *["grant", "user:alice", "read,write", "--on", "acme", "--until", "7d"],
        who="user:owner",
    )
    assert given["actions"] == ["read", "write"]
    assert given["purposes"] == ["assist"]
    assert parse_instant(given["until"]).tzinfo is not None
    assert shell.texts() == {"our plan"}
    assert shell.json("revoke", given["id"], who="user:owner") == {"revoked": given["id"]}
    assert shell.texts() == set()


def test_grant_says_what_was_granted(shell: Shell) -> None:
    printed = shell.done(
        *["grant", "group:staff", "read", "--on", "*", "--purpose-for", "assist"],
        *["--purpose-for", "support", "--until", "2999-01-01T00:00Z"],
        who="user:owner",
    )
    assert "group:staff may read on * for assist, support, until 2999-01-01 00:00Z." in printed


def test_grant_of_one_memory_opens_just_that_one(shell: Shell) -> None:
    one = shell.json("add", "for bob")["meta"]["id"]
    shell.done("add", "not for bob")
    shell.done("grant", "user:bob", "read", "--on", one)
    assert shell.texts(who="user:bob") == {"for bob"}


def test_granting_needs_the_right_to_govern(shell: Shell) -> None:
    assert "may not govern acme" in shell.refused("grant", "user:alice", "read", "--on", "acme")
    shell.refused("grant", "user:bob", "read", code=2)
    shell.refused("grant", "user:bob", "read", "--on", "acme", "--until", "soon", code=2)
    assert "unknown action 'fly'" in shell.refused("grant", "user:bob", "fly", "--on", "user:alice")


def test_revoking_what_is_not_ones_own_answers_like_nothing(shell: Shell) -> None:
    given = shell.json("grant", "user:bob", "read", "--on", "acme", who="user:owner")["id"]
    for each in (given, "grt_nothing"):
        assert shell.refused("revoke", each) == f"memos: no grant '{each}' that you may revoke\n"


# audit, doctor


def _alter(shell: Shell, statement: str) -> None:
    """Change the closed vault's database from outside."""
    connection = sqlite3.connect(shell.vault / "vault.db")
    with connection:
        assert connection.execute(statement).rowcount > 0
    connection.close()


def test_audit_says_what_it_proves_and_what_not(shell: Shell) -> None:
    shell.done("add", "tea")
    printed = words(shell.done("audit", "verify", who=None))
    assert "self-consistent" in printed
    assert "no event was edited, removed or moved" in printed
    assert "does not show that nobody rewrote the whole ledger" in printed
    verdict = shell.json("audit", "verify", who=None)
    assert verdict["status"] == "self-consistent"
    assert verdict["events"] >= 2
    assert verdict["problems"] == []


def test_audit_fails_where_the_ledger_was_changed(shell: Shell) -> None:
    shell.done("add", "tea")
    _alter(shell, "UPDATE ledger SET outcome = 'denied' WHERE type = 'memos.add'")
    result = shell("audit", "verify")
    assert result.exit_code == 1
    assert "broken" in result.stdout
    assert "filed under other values" in result.stdout
    told = shell("--json", "audit", "verify")
    assert told.exit_code == 1
    assert json.loads(told.stdout)["status"] == "broken"


def test_audit_keeps_checkpoints_elsewhere_and_verifies_against_them(
    shell: Shell, tmp_path: Path
) -> None:
    anchor = ("--anchor", str(tmp_path / "anchor"))
    shell.done("add", "tea")
    assert "may not govern" in shell.refused("audit", "checkpoint", *anchor)
    printed = words(shell.done("audit", "checkpoint", *anchor, who="user:owner"))
    assert "Checkpoint 1 of vault" in printed
    assert "in the vault only" in words(shell.done("audit", "checkpoint", who="user:owner"))
    count = len(list((tmp_path / "anchor").iterdir()))
    printed = words(shell.done("audit", "verify", *anchor, who=None))
    assert "untampered up to checkpoint 1" in printed
    taken = shell.json("audit", "checkpoint", who="user:owner")
    assert len(list((tmp_path / "anchor").iterdir())) == count  # to verify published nothing
    key = taken["public_key"]
    verdict = shell.json("audit", "verify", *anchor, "--trusted-key", key, who=None)
    assert (verdict["status"], verdict["checkpoint"]) == ("untampered", 1)
    assert shell("audit", "verify", *anchor, "--trusted-key", "0" * 64).exit_code == 1
    assert "64 hex digits" in shell.refused("audit", "verify", "--trusted-key", "mine")
    assert "within the vault" in shell.refused(
        "audit", "checkpoint", "--anchor", str(shell.vault / "anchor"), who="user:owner"
    )


def test_audit_log_shows_what_one_may_see(shell: Shell) -> None:
    one = shell.json("add", HOSTILE)["meta"]["id"]
    shell.done("show", one)
    printed = words(shell.done("audit", "log"))
    assert "show" not in printed
    assert one in printed.replace(" ", "")
    found = shell.json("audit", "log", "--memory", one, "--action", "get")
    assert [(each["principal"], each["subject"]) for each in found] == [("user:alice", one)]
    assert "that you may read" in shell.refused("audit", "log", "--memory", one, who="user:bob")
    assert "Nothing happened that you may see" in shell.done(
        "audit", "log", "--until", "2020-01-01T00:00Z"
    )
    shell.refused("audit", "log", "--since", "yesterday", code=2)
    assert "There is more" in shell("audit", "log", "--limit", "1").stderr


def test_audit_exports_prunes_and_rotates(shell: Shell, tmp_path: Path) -> None:
    shell.done("add", "tea")
    file = str(tmp_path / "ledger.jsonl")
    report = shell.json("audit", "export", file, who="user:owner")
    assert verify_export(file, trusted_key=report["public_key"]).status == "untampered"
    assert "there already" in shell.refused("audit", "export", file, who="user:owner")
    made = shell.json("audit", "rotate-key", "--reason", "planned", who="user:owner")
    assert made["public"] != report["public_key"]
    assert made["endorsement"]
    printed = shell.done("audit", "prune", "--before-checkpoint", "1", who="user:owner")
    assert "all that checkpoint 1 covers" in printed
    assert "Nothing was to go" in shell.done(
        "audit", "prune", "--older-than", "90d", who="user:owner"
    )
    shell.refused("audit", "prune", who="user:owner", code=2)
    shell.refused("audit", "prune", "--older-than", "soon", who="user:owner", code=2)
    assert "were pruned" in words(shell.done("audit", "verify", who=None))


def test_doctor_reports_facts(shell: Shell) -> None:
    shell.done("add", "tea")
    found = shell.json("doctor", who=None)
    assert found["healthy"] is True
    assert found["facts"]["memories"] == 1
    assert found["facts"]["embedder"] == "hashing-256"
    printed = shell.done("doctor", who=None)
    assert "No problems found." in printed
    assert sqlite3.sqlite_version in printed


def test_doctor_fails_where_something_is_damaged(shell: Shell) -> None:
    one = shell.json("add", "peanuts")["meta"]["id"]
    _alter(shell, "UPDATE versions SET payload = replace(payload, 'peanuts', 'walnuts')")
    result = shell("doctor")
    assert result.exit_code == 1
    assert f"memory {one}: damaged" in result.stdout
    told = shell("--json", "doctor")
    assert told.exit_code == 1
    assert json.loads(told.stdout)["healthy"] is False


def test_a_database_that_is_none_is_one_line(shell: Shell) -> None:
    (shell.vault / "vault.db").write_bytes(b"not a database at all" * 1000)
    assert "damaged" in shell.refused("doctor")


# what is stored drives nothing


def test_stored_text_drives_neither_the_terminal_nor_the_markup(shell: Shell, write: Write) -> None:
    line = {"text": HOSTILE, "key": "bad", "metadata": {"note\x9b": HOSTILE}, "tags": ["[b]a"]}
    shell.done("import", write("a.jsonl", jsonl(line)))
    for args in (["search", "boo", "--why"], ["show", "--key", "bad"], ["history", "--key", "bad"]):
        printed = shell.done(*args)
        assert harmless(printed), args
        assert "[red]boo[/red]" in printed
        assert "[link=x]" in printed
        told = shell.done("--json", *args)
        assert harmless(told), args
    assert shell.json("show", "--key", "bad")["payload"]["content"] == HOSTILE


def test_names_of_files_drive_nothing_in_errors(shell: Shell, write: Write) -> None:
    assert harmless(shell.refused("import", write("a\x1b[2J[red]\nb.jsonl", "{")))
    assert harmless(shell.refused("show", HOSTILE))


def test_json_is_readable_in_every_script(shell: Shell) -> None:
    assert "Grüße, 東京 ☕" in shell.done("--json", "add", "Grüße, 東京 ☕")


# in a process of its own


def _process(shell: Shell, *args: str, **streams: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "memos_core.cli.main", "--vault", str(shell.vault)]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE} | streams
    return subprocess.run(
        [*command, "--embedder", "hashing-256", "--as", "user:alice", *args],
        stderr=streams.pop("stderr", subprocess.PIPE),
        text=True,
        check=False,
        timeout=60,
        **streams,
    )


def test_a_memory_of_one_process_is_found_by_the_next(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "vault")
    assert _process(shell, "init").returncode == 0
    assert _process(shell, "add", "I am allergic to peanuts.").returncode == 0
    found = _process(shell, "--json", "search", "peanuts")
    assert found.stderr == ""
    (hit,) = json.loads(found.stdout)
    assert hit["cube"]["payload"]["content"] == "I am allergic to peanuts."
    assert shell.texts("peanuts") == {"I am allergic to peanuts."}


def test_a_process_fails_by_one_line_and_its_code(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "vault")
    refused = _process(shell, "add", "tea")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"memos: no vault at {shell.vault}: run memos init\n"
    misused = _process(shell, "add")
    assert (misused.returncode, misused.stdout) == (2, "")
    assert "Traceback" not in misused.stderr


def test_a_terminal_without_unicode_gets_no_traceback(shell: Shell) -> None:
    shell.done("add", "Grüße ☕")
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    printed = _process(shell, "search", "Grüße", env=environment)
    assert printed.returncode == 0
    assert "Gr??e ?" in printed.stdout
    told = _process(shell, "--json", "search", "Grüße", env=environment)
    assert json.loads(told.stdout)[0]["cube"]["payload"]["content"] == "Grüße ☕"


def test_an_import_shows_its_progress_on_stderr_only(shell: Shell, write: Write) -> None:
    ours, theirs = pty.openpty()
    done = _process(shell, "--json", "import", write("a.txt", "tea\n\nmilk"), stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # the end of a terminal whose other side is closed
        pass
    os.close(ours)
    assert b"writing memories" in shown
    assert json.loads(done.stdout)[0]["memories"] == 2


# the parts


def _titles(text: str) -> Sequence[tuple[int, str, str]]:
    return [(each.line, each.title, each.text) for each in sections(text.split("\n"))]


def test_text_before_the_first_heading_has_no_title() -> None:
    assert _titles("Hello.\n# A\na") == [(1, "", "Hello."), (2, "A", "a")]


def test_headings_of_every_form_are_found() -> None:
    text = "Title\n=====\nt\n\nPart\ntwo\n---\np\n\n### Deep ###\nd\n#hashtag\n- item\n---\nend"
    assert _titles(text) == [
        (1, "Title", "t"),
        (5, "Title > Part two", "p"),
        (10, "Title > Part two > Deep", "d\n#hashtag\n- item\n---\nend"),
    ]


def test_front_matter_and_fences_hold_no_headings() -> None:
    text = "---\ntitle: x\n# comment\n---\n# A\n~~~\n```\n# b\n~~~\n# C"
    assert _titles(text) == [
        (1, "", "---\ntitle: x\n# comment\n---"),
        (5, "A", "~~~\n```\n# b\n~~~"),
        (10, "C", "C"),
    ]


@pytest.mark.parametrize("text", ["", "7", "d7", "7y", "-1d", "1.5h", "2026-01-01"])
def test_other_ends_are_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_end(text)


def test_the_command_line_and_the_library_share_a_vault(shell: Shell) -> None:
    shell.done("add", "tea")
    with MemOS.open(shell.vault, embedder=HashingEmbedder()) as memos:
        assert memos.session("user:alice").search("tea").texts == ["tea"]


# -- oversight and origins -------------------------------------------------------------------------


def test_oversight_from_the_command_line(shell: Shell) -> None:
    shell.json("grant", "user:alice", "read,write", "--on", "acme", who="user:owner")
    added = shell.json("add", "poisoned advice", "--space", "acme")
    cube_id = added["meta"]["id"]
    grant = shell.json("grant", "user:bob", "read", "--on", "acme", who="user:owner")
    listed = shell.json("grants", "--on", "acme", who="user:owner")
    assert grant["id"] in [each["id"] for each in listed]
    assert grant["id"] in shell.done("grants", who="user:owner")
    assert shell.done("explain", "user:bob", "read", cube_id, who="user:owner") == (
        f"user:bob may read {cube_id}.\n  allowed by: {grant['id']}\n"
    )
    denied = shell("explain", "user:bob", "write", "acme", who="user:owner")
    assert denied.exit_code == 1
    assert "missing: user:bob may not write acme" in denied.stdout
    made = shell.json("quarantine", "user:alice", "--reason", "poison", who="user:owner")
    assert shell.texts(who="user:bob") == set()
    assert made["id"] in shell.refused("release", made["id"], who="user:bob")
    assert shell.done("release", made["id"], who="user:owner") == f"Released {made['id']}.\n"
    assert shell.texts(who="user:bob") == {"poisoned advice"}
    shell.done("trust", "user:alice", "low", who="user:owner")
    assert "trust low, signature valid" in shell.done("provenance", cube_id, who="user:bob")
    held = shell.json("hold", cube_id, "--until", "7d", who="user:owner")
    assert held["id"] in shell.refused("forget", cube_id, "--yes", who="user:owner")
    shell.done("lift", held["id"], who="user:owner")
    quota = shell.json("quota", "acme", "--memories", "1", who="user:owner")
    assert (quota["max_cubes"], quota["cubes"]) == (1, 1)
    assert "quota of acme" in shell.refused("add", "two", "--space", "acme", who="user:owner")
    shell.done("join", "group:g", "user:carol", who="user:owner")
    shell.done("leave", "group:g", "user:carol", who="user:owner")
    shell.done("clearance", "user:bob", "public", who="user:owner")
    assert shell.texts(who="user:bob") == set()
    assert "govern" in shell.refused("clearance", "user:bob", "restricted", who="user:bob")


def test_a_file_is_traced_to_the_memories_that_it_came_from(shell: Shell, tmp_path: Path) -> None:
    said = "the boat to the island leaves the old harbour at nine in the morning sharp"
    cube_id = shell.json("add", said)["meta"]["id"]
    page = tmp_path / "page.txt"
    page.write_text(f"News. It is said that {said}, and more.")
    found = shell.json("trace", str(page))
    assert [(each["id"], each["words"]) for each in found] == [(cube_id, len(said.split()))]
    passage = found[0]["passages"][0]
    assert page.read_text()[passage["start"] : passage["end"]] == said
    assert said in shell.done("trace", str(page))
    assert "No memory" in shell.done("trace", str(page), who="user:bob")
    assert shell.json("trace", "-", stdin=said)[0]["id"] == cube_id
    assert "cannot be read" in shell.refused("trace", str(tmp_path / "none"))
    page.write_bytes(b"\xff\xfe")
    assert "not UTF-8" in shell.refused("trace", str(page))


def test_time_from_the_command_line(shell: Shell) -> None:
    added = shell.json("add", "the boat leaves at nine", "--key", "boat")
    cube_id, then = added["meta"]["id"], added["meta"]["created"]
    with MemOS.open(shell.vault) as memos:
        memos.session("user:alice").update(cube_id, "the boat leaves at ten")
    found = shell.json("diff", "1", "--ref", cube_id)
    assert "-the boat leaves at nine" in found["text"]
    assert "+the boat leaves at ten" in shell.done("diff", "1", "2", "--key", "boat")
    assert shell.done("diff", "2", "--key", "boat") == "Nothing changed.\n"
    assert "equals version 1" in shell.done("rollback", "1", "--key", "boat", "--reason", "right")
    assert shell.texts("boat") == {"the boat leaves at nine"}
    assert shell.done("freeze", cube_id) == f"{cube_id} is frozen.\n"
    assert "frozen" in shell.refused("rollback", "2", "--ref", cube_id)
    assert "may change again" in shell.done("unfreeze", "--key", "boat")
    listed = shell.json("at", then)
    assert [each["payload"]["content"] for each in listed] == ["the boat leaves at nine"]
    assert shell.json("at", then, "boat")[0]["cube"]["meta"]["version"] == 1
    assert "Nothing" in shell.done("at", then, who="user:bob")
    shell.refused("at", "yesterday", code=2)


def test_maintain_does_what_is_due_and_says_what(shell: Shell) -> None:
    old = re.findall(r"mem_[a-z2-7]{20}", shell.done("add", "The budget is $4,000."))[0]
    shell.done("add", "The budget is now $5,500.")
    told = shell.json("maintain")
    assert told["done"]["organize"] >= 1
    assert told["given_up"] == []
    found = shell.json("search", "What is the budget?")
    assert found[0]["cube"]["payload"]["content"] == "The budget is now $5,500."
    assert old in {hit["cube"]["meta"]["id"] for hit in found}, "nothing is lost by it"
    assert "organize" not in shell.json("maintain")["done"]


def test_a_worker_ends_in_an_orderly_way_when_it_is_told_to(shell: Shell) -> None:
    shell.done("add", "short", "--expires", "1s")
    time.sleep(1.1)
    told = shell.json("worker", "--rounds", "2", "--every", "1s", who=None)
    assert told["rounds"] == 2
    assert told["done"]["expire"] == 1
    assert told["done"]["reap"] == 1
    command = [sys.executable, "-m", "memos_core.cli.main", "--vault", str(shell.vault)]
    running = subprocess.Popen(
        [*command, "--embedder", "hashing-256", "--json", "worker"], stdout=subprocess.PIPE
    )
    time.sleep(4)
    running.send_signal(signal.SIGTERM)
    out, _err = running.communicate(timeout=60)
    assert running.returncode == 0
    assert json.loads(out)["rounds"] >= 1
