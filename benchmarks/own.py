"""Our own conversation with questions, for where no public data is at hand."""

from __future__ import annotations

import json
from datetime import datetime

from benchmarks.common import OWN_DATA
from benchmarks.recall import Asked, Conversation, Turn

QUESTIONS = {
    "When does the kiosk open to visitors?": {"m002", "m066", "m141"},
    "Who delivers the screen?": {"m014", "m086"},
    "What colour is the wall of the kiosk?": {"m023", "m121"},
    "How much money do we have for the project?": {"m005", "m101"},
    "On which day does the team meet?": {"m008", "m069"},
    "Is anybody allergic to something?": {"m112"},
    "What salary was offered to Leonie?": {"m026"},
    "What will Ravi get as a farewell present?": {"m058", "m091", "m138", "m186"},
    "How many languages will the guide have?": {"m015", "m104"},
    "How many stops does the tour have?": {"m003", "m080"},
    "When does Leonie start to work?": {"m036", "m096"},
    "What was the reason for ticket 41?": {"m144", "m150", "m166"},
}


def harbor() -> list[Conversation]:
    """Read the harbor team's transcript as one conversation, with questions of our own."""
    lines = (OWN_DATA / "harbor_team.jsonl").read_text(encoding="utf-8").splitlines()
    said = [json.loads(line) for line in lines]
    turns = [
        Turn(each["key"], each["text"], each["speaker"], datetime.fromisoformat(each["at"]))
        for each in said
    ]
    asked = [Asked(text, frozenset(gold), "own") for text, gold in QUESTIONS.items()]
    return [Conversation("harbor", turns, asked)]
