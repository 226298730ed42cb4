"""Retrieval on BEAM-100K: do gains hold where there are no two named speakers? No LLM involved."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.common import CONSOLE, find_data, options
from benchmarks.recall import Asked, Conversation, Turn, measure


def load(folder: Path) -> list[Conversation]:
    """Read every chat of the folder."""
    chats = sorted(folder.iterdir(), key=lambda path: int(path.name))
    return [_conversation(path) for path in chats]


def _conversation(folder: Path) -> Conversation:
    batches = json.loads((folder / "chat.json").read_text(encoding="utf-8"))
    turns: list[Turn] = []
    when: datetime | None = None
    for batch in batches:
        for message in (each for turn in batch["turns"] for each in turn):
            when = _time(message.get("time_anchor")) or when
            text = message["content"].split("->->")[0].strip()
            turns.append(Turn(str(message["id"]), text, message["role"], when))
    known = {turn.id for turn in turns}
    asked = json.loads((folder / "probing_questions" / "probing_questions.json").read_text())
    questions = []
    for category, items in asked.items():
        for item in items:
            gold = frozenset(ids_of(item.get("source_chat_ids"))) & known
            if gold:
                questions.append(Asked(item["question"], gold, category))
    return Conversation(f"beam-{folder.name}", turns, questions)


def ids_of(value: Any) -> list[str]:
    """List the message ids anywhere in a value: the set writes them in several shapes."""
    if isinstance(value, dict):
        return [each for inner in value.values() for each in ids_of(inner)]
    if isinstance(value, list):
        return [each for inner in value for each in ids_of(inner)]
    return [] if value is None else [str(value)]


def _time(anchor: str | None) -> datetime | None:
    return datetime.strptime(anchor, "%B-%d-%Y").replace(tzinfo=UTC) if anchor else None


def main() -> None:
    """Run the benchmark; without the public data there is nothing like it of our own."""
    arguments = options(__doc__).parse_args()
    folder = find_data(arguments.data, "beam")
    if folder is None:
        CONSOLE.print("our own transcript is measured by benchmarks.locomo; nothing to do here")
        if arguments.json is not None:
            arguments.json.write_text("[]\n")
        return
    conversations = load(folder)
    count = sum(len(each.questions) for each in conversations)
    title = f"BEAM-100K, {len(conversations)} chats: {count} questions"
    measure("beam", title, conversations).finish(arguments.json)


if __name__ == "__main__":
    main()
