"""Retrieval on LoCoMo: recall and rank of the turns that hold the answer, no LLM involved.

The raw turn is the content; speaker, date and caption are parameters; one space per conversation;
the question goes in untouched. Categories: 1 multi-hop, 2 temporal, 3 open-domain, 4 single-hop.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.common import find_data, options
from benchmarks.own import harbor
from benchmarks.recall import Asked, Conversation, Turn, measure

CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop"}


def load(path: Path) -> list[Conversation]:
    """Read LoCoMo; its few defective evidence ids are normalised or dropped."""
    return [_conversation(each) for each in json.loads(path.read_text(encoding="utf-8"))]


def _conversation(raw: dict[str, Any]) -> Conversation:
    talk = raw["conversation"]
    numbers = sorted(int(key[8:]) for key in talk if re.fullmatch(r"session_\d+", key))
    turns = []
    for number in numbers:
        stamp = talk[f"session_{number}_date_time"]
        when = datetime.strptime(stamp, "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
        turns += [
            Turn(t["dia_id"], t["text"], t["speaker"], when, t.get("blip_caption", ""))
            for t in talk[f"session_{number}"]
        ]
    known = {turn.id for turn in turns}
    questions = []
    for qa in raw["qa"]:
        pairs = re.findall(r"D:?(\d+):(\d+)", " ".join(qa["evidence"]))
        gold = frozenset(f"D{int(a)}:{int(b)}" for a, b in pairs) & known
        if gold and qa["category"] in CATEGORIES:
            questions.append(Asked(qa["question"], gold, CATEGORIES[qa["category"]]))
    return Conversation(raw["sample_id"], turns, questions)


def main() -> None:
    """Run the benchmark."""
    arguments = options(__doc__).parse_args()
    path = find_data(arguments.data, "locomo_dev5.json")
    conversations = load(path) if path else harbor()
    prefix = "locomo" if path else "own"
    count = sum(len(each.questions) for each in conversations)
    title = f"{'LoCoMo dev half' if path else 'Our own transcript'}: {count} questions"
    measure(prefix, title, conversations).finish(arguments.json)


if __name__ == "__main__":
    main()
