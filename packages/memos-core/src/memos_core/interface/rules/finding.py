"""Findings: where in a message a rule found what, before it is made an operation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from memos_core.interface.operations import MemoryType
from memos_core.interface.rules.lexicon import MODAL
from memos_core.interface.rules.sentences import Sentence, trimmed

Verb = Literal["remember", "recall", "correct", "forget"]

LEAD: Final = re.compile(
    r"(?:(?:ok(?:ay)?|o\.k\.|so|oh|ah|aw|hm+|um+|uh|er|well|hey|hi|hello|hiya|yo|yeah|"
    r"yes|yep|yup|(?:right|listen|look|now|then|just|finally|quick(?:ly)?|context|news|friend|mate|"
    r"dude|man|(?:good )?(?:morning|afternoon|evening)|intro|question|confession)"
    r"(?=\s*[,.:;!\u2026\u2013\u2014-])"
    r"|anyway|anyhow|also|and|but|btw|by the way|honestly|tbh|to be honest|frankly|"
    r"personally|lol|haha"
    r"|please|pls|plz|alright|quick one|cheers|fun fact|"
    r"for context"
    r"|i mean|apparently|as it happens|incidentally|basically|guess what|good news|"
    r"bad news|big news"
    r"|p\.?s\.?|one more thing|another thing|one thing|while i (?:remember|think of "
    r"it|'m at it)|before i forget"
    r"|good (?:morning|afternoon|evening)|assistant|quick question"
    r"|quick intro|seriously|long story short|for what it'?s worth|fwiw|god|"
    r"gosh|omg|wow|jeez|hooray|yay|it's official|did you know(?: that)?|not sure "
    r"if i(?:'ve)? (?:said|told you|mentioned)[^,]{0,12}? but|(?:i )?don'?t think "
    r"i(?:'ve| have)? (?:ever )?(?:said|told you|mentioned)[^,]{0,20}(?:,| but)|(?:i "
    r")?(?:forgot to mention|never told you)(?: that)?|before we (?:start|begin)|"
    r"gonna tell you once|if you ever need it|(?:quick|small|little|tiny|"
    r"one|random) (?:thing|note|one|point|fact|fact about me|heads[- ]up)(?=[,:.-])|"
    r"just had (?:a call|news)|true story|update from me|obviously|yikes|ugh|argh|"
    r"phew|sadly|luckily|in fact"
    r"|you know(?: what)?|let'?s see|since you ask(?:ed)?|if you must know|as you know"
    r"|as i (?:said|mentioned|told you)|like i said|truth is|the thing is|thing is|fact is)\b"
    r"[\s,.:;!\u2026\u2013\u2014-]*)+"
)
_MANNERS: Final = re.compile(
    r"(?:sorry|apologies|thanks|thank you|thx|cheers)\b(?: (?:for|about|"
    r"to)\b[^,.;:!?]*)?[,.;:!\s-]+"
)
_REQUEST: Final = re.compile(
    rf"(?:(?:(?:{MODAL}|will) (?:you|u|we)|please|pls|plz|kindly|just|simply|go ahead "
    rf"and|let'?s|let us"
    r"|you (?:can|may|could|should|must|might|need to|ought to|'d better)|you'd better|feel free to"
    r"|(?:make|be) sure (?:you|to|that you)|try (?:to|and)|do|(?:need|want) you to|"
    r"i(?:'d| would) (?:like|love|prefer|want) (?:for )?"
    r"you to|i (?:want|need|wish|beg|ask|would ask) (?:you )?to|i want you to|(?:it'?s )?time to"
    r"|is it possible to|would you mind|do you mind|mind|you'll want to|better|maybe|"
    r"perhaps|actually|also"
    r"|then|now|could i (?:get|have) you to|can i (?:get|have|ask) you to|i'm asking you to"
    r"|if (?:you|possible)[^,]{0,20},|so)\b[\s,]*)+"
)
_TAIL: Final = re.compile(
    r"[\s,;:.!?\u2026()\u2013\u2014-]+(?:please|pls|plz|thanks|thank you|thx|cheers|ok|okay"
    r"|would you|will you|could you|can you|won't you|if you (?:can|could|would|don't mind|please)"
    r"|lol|haha|xx|btw|by the way|tbh|fyi|just so you know|for the record|hope that's fine"
    r"|many thanks|if that's ok(?:ay)?|if possible|when you get a chance|:\)|;\)|:-\)|<3)"
    r"[\s,;:.!?\u2026)]*$"
    r"|\s*[,;:.!?\u2026\u2013\u2014-]+\s*(?:ta|alright|right|yeah|yes|for me|x|you know|got it"
    r"|understood|of course|obviously|sorry|though|mate|innit|eh|huh|no|clear|noted|remember)"
    r"[\s,;:.!?\u2026)]*$"
    r"|[^\w\s'\")\]%\u00a3\u20ac$\u00b0\u00a4]+$|\s+$"
)


@dataclass(frozen=True, slots=True)
class Find:
    """What a rule found.

    Args:
        verb: The operation.
        start: Where its target begins in the message.
        end: Where it ends.
        explicit: Whether it was asked for.
        memory_type: The type, where the rule knows it.
        replaces: What is to be replaced, where that is said.
        why: What speaks for it.
    """

    verb: Verb
    start: int
    end: int
    explicit: bool = True
    memory_type: MemoryType | None = None
    replaces: str | None = None
    why: str = ""


def found(
    verb: Verb,
    sentence: Sentence,
    start: int,
    end: int | None = None,
    *,
    replaces: str | None = None,
    memory_type: MemoryType | None = None,
) -> Find | None:
    """Make a finding of a stretch of a sentence, without courtesies; None where nothing is left."""
    stop = len(sentence.text) if end is None else end
    start, stop = polite(sentence, start, stop)
    if start >= stop or not re.search(r"\w", sentence.text[start:stop]):
        return None
    at = sentence.start
    return Find(verb, at + start, at + stop, replaces=replaces, memory_type=memory_type)


def polite(sentence: Sentence, start: int, end: int) -> tuple[int, int]:
    """Take courtesies and punctuation off the end, and punctuation off the beginning."""
    while True:
        tail = _TAIL.search(sentence.bare[:end], max(start, end - 60))
        if tail is None or tail.start() < start:
            break
        end = tail.start()
    return trimmed(sentence.text, start, end)


def after_lead(plain: str, at: int = 0) -> int:
    """Skip the words that only open a sentence: "ok so", "honestly", "sorry for the delay"."""
    while True:
        passed = _MANNERS.match(plain, at) or LEAD.match(plain, at)
        if passed is None or passed.end() == at:
            return at
        at = passed.end()


def after_request(plain: str, at: int) -> int:
    """Skip the words of a request before its verb: "could you please", "I'd like you to"."""
    passed = _REQUEST.match(plain, at)
    return passed.end() if passed else at
