"""Questions about the speaker's own life: "where did I park", "who is my dentist"."""

from __future__ import annotations

import re
from typing import Final

from memos_core.interface.rules.finding import Find
from memos_core.interface.rules.lexicon import AUXILIARY, KIN, TECHNICAL, TEXTUAL
from memos_core.interface.rules.questions import (
    ADVERB,
    ADVICE,
    PRIVATE,
    SAID_CLAUSE,
    WH,
    asked_about,
)
from memos_core.interface.rules.sentences import Sentence
from memos_core.interface.rules.subjects import subject_end

_GENERAL: Final = re.compile(
    r"\b(?:law|theorem|principle|paradox|effect|equation|syndrome|disease|capital|"
    r"president|prime minister|king|queen|population|symphony|opera|novel|paintings?|"
    r"theory|razor|constant|hypothesis|valentine's|mother's day|father's day|new "
    r"year's|st\.? \w+'s|today's|tomorrow's|world's|earth's|country's|(?:mon|tues|"
    r"wednes|thurs|fri|satur|sun)day's|murphy's|newton's|einstein's|it's|that's|"
    r"what's|there's|here's|let's|he's|she's|who's|where's|one's)\b"
)
_COPULA: Final = re.compile(
    r"(?P<wh>what|who|where|when|which|how)(?P<n> (?:time|day|date|year|month|sort of|"
    r"kind of|colou?r|size|number|floor|old|tall|far|much|big|long|heavy|many|often|"
    r"name|type|make|model|brand|shoe size)\b)?(?:'s|s|'re| is| are| was| were|"
    r"'d)\b(?: (?:that|it|again)(?= (?:name|the|my|our)))? (?P<what>.+)$"
)
_COUNT: Final = re.compile(
    rf"(?:which|what|how many|how much|whose)(?: (?:kind|sort|type|brand|make|size|"
    rf"number|amount) of)? (?P<what>(?!(?:{AUXILIARY}|should|can|could|would|will|if|"
    rf"about|else)\b)[\w' -]+?) (?P<aux>{AUXILIARY}|did) (?P<who>(?:i|we|my|our|"
    rf"{KIN})\b.*)$"
)
_PREDICATE: Final = re.compile(
    rf"(?:(?P<wh>what|who|whom|where|when|why|how(?: (?:long|often|much|many times|"
    rf"many|far|late|early))?)(?:'ve|'d|'s|'m)? ?)?(?:exactly |else "
    rf")?(?P<aux>{AUXILIARY}|ve|'d) (?:i|we|i've) (?:not )?{ADVERB}(?P<what>.+)$"
)
_THIRD: Final = re.compile(
    r"(?:(?P<wh>what|who|where|when|why|how(?: (?:long|often|much|many|far|old|"
    r"tall))?|whose|which)(?: (?:time|day|date|year|colou?r|size|school|city|street|"
    r"floor|brand|kind of \w+|\w+))?(?P<own>'s|s)? ?)?(?P<aux>(?:does|did|do|is|are|"
    r"was|were|has|have|will|had|'s)\b)? ?(?P<what>.+)$"
)
_STATE: Final = re.compile(
    r"(?:my|our)(?: [\w'-]+){1,3}?(?= (?:still|already|even|allergic|vegan|vegetarian|"
    r"due|on|in|at|from|free|open|older|younger|or|the|a|an|called|named|valid|over|"
    r"up|before|after|this|next|today|tomorrow|tonight|\w+ing|\w+ed)\b)"
)
_YOURS: Final = re.compile(r"\byou\b(?! (?:told|said|keep|suggested|recommended))")
_OTHER: Final = re.compile(r"(?:i|we|it|that(?! [a-z]+ (?:\w+ )?(?:i|we)\b)|this|there|you)\b")
_FORMS: Final = tuple(
    re.compile(each)
    for each in (
        r"what about (?P<what>(?:my|our)\b.+)$",
        rf"(?:{WH}) (?:was|is) it (?:that )?(?:i|we) {ADVERB}(?P<what>.+)$",
        r"(?:in|on|at|for|to|from|by|with) (?:what|which) (?P<what>\w+) (?:did|do|was|were|am|are"
        r"|have|had) (?:i|we)\b",
        r"(?:who|what)(?:'s|s| is| was| are) (?P<what>\w+ing\b.*\b(?:my|our|me|us|the kids|mum|dad)"
        r"\b.*)$",
        r"(?:which|what) (?P<what>[\w-]+(?: [\w-]+)?) (?:lost|has|had|is|was|took|gave|made|sold"
        r"|sent|broke|fixed|\w+ed|does|did|likes|plays|lives|works) .*\b(?:my|our|me|us|i|we)\b",
        rf"(?:is|was) it .{{2,30}}? (?:that|when|where) (?:i|we) {ADVERB}(?P<what>.+)$",
        r"who \w+(?:ed|ld|ent|ave|ought) (?=.*\b(?:my|our|me|us)\b)(?P<what>(?:my|our|the|that) "
        r".+?)(?: (?:to|for|with) (?:me|us))?[?! .]*$",
        r"whose (?P<what>[\w ]+?) (?:is|was) (?:it|that|this|coming)\b",
    )
)


def of_life(sentence: Sentence, at: int) -> Find | None:
    """Read a question about the speaker's own life, if it is one.

    Args:
        sentence: The sentence.
        at: Where the question begins in it.
    """
    plain = sentence.plain
    said = SAID_CLAUSE.sub("", plain[at:].rstrip("?! ."))
    if ADVICE.search(said) or TECHNICAL.search(said) or _YOURS.search(said):
        return None
    for form in _FORMS:
        if match := form.match(plain, at):
            return asked_about(sentence, *match.span("what"))
    if made := _counted(sentence, at):
        return made
    if (match := _COPULA.match(plain, at)) and not _OTHER.match(match["what"]):
        return _named(sentence, match)
    if match := _PREDICATE.match(plain, at):
        what = re.sub(r"been (?=\w+ing\b)|having been ", "", match["what"])
        return asked_about(sentence, match.end("what") - len(what))
    return _of_another(sentence, at)


def _counted(sentence: Sentence, at: int) -> Find | None:
    """Read "which N did I …" and "how many N …"."""
    match = _COUNT.match(sentence.plain, at)
    if match is None or re.search(rf"\b(?:{AUXILIARY})\b", match["what"]):
        return None
    if TEXTUAL.search(match["what"]) and "mean" in sentence.plain:
        return None
    mine = re.match(r"(?:my|our)\b", match["who"])
    if mine and re.fullmatch(r"is|are|was|were", match["aux"]):
        return asked_about(sentence, match.start("who"))
    if mine and re.fullmatch(r"time|day|date|year", match["what"]):
        return None
    return asked_about(sentence, *match.span("what"))


def _named(sentence: Sentence, match: re.Match[str]) -> Find | None:
    """Read "what is N", "where are N"."""
    start, what = match.start("what"), match["what"]
    place = re.match(r"(?:on|in|at|for) (?=my\b|our\b)", what)
    if place and match["wh"] == "what":
        return asked_about(sentence, start + place.end())
    if not _own_thing(what):
        return None
    return asked_about(
        sentence, start, None if match["wh"] == "which" else _verbal(sentence.plain, start)
    )


def _of_another(sentence: Sentence, at: int) -> Find | None:
    """Read a question about somebody or something of the speaker's."""
    plain = sentence.plain
    match = _THIRD.match(plain, at)
    if match is None or not match["what"] or not (match["wh"] or match["aux"]):
        return None
    start = match.start("what")
    if match["aux"] and not match["wh"] and (state := _STATE.match(plain, start)):
        return asked_about(sentence, start, state.end())
    if _own_thing(plain[start:]):
        return asked_about(sentence, start, subject_end(plain, start))
    verb = re.match(rf"(?:\w+(?:s|ed)?) (?=(?:my|our)\b|{KIN}\b)", plain[start:])
    return asked_about(sentence, start) if match["wh"] and verb else None


def _verbal(plain: str, start: int) -> int | None:
    """Where a phrase goes on with a participle, as in "when is my sister coming"."""
    match = re.compile(
        r"(?:my|our|\w+'s|the)(?: [\w'-]+){1,3}? (?=(?:coming|going|arriving|leaving|due|"
        r"starting|moving|getting|allergic|born|from|called|named|supposed|having|flying|"
        r"back|working|living|staying|scheduled|booked|ending|expiring|finishing|doing|"
        r"turning)\b)"
    ).match(plain, start)
    return match.end() if match else None


def _own_thing(what: str) -> bool:
    """Whether a phrase names something of the speaker's, or somebody's whom only memory knows."""
    if _GENERAL.search(what) and not re.search(r"\b(?:my|our)\b", what):
        return False
    if (
        re.match(rf"(?:my|our)\b|(?:the )?{KIN}\b", what)
        or SAID_CLAUSE.search(what)
        or re.search(r"\b(?:my|our)\b", what)
    ):
        return True
    if re.search(r"\b(?:i|we)(?:'\w+)?\b", what):
        return True
    if re.match(
        r"(?:the|that) (?:\w+ )?(?:bloke|guy|woman|man|lady|chap|person|girl|boy|doctor|"
        r"nurse|place|restaurant|shop|bar|cafe|caf\u00e9|hotel|book|film|song) (?:from|at|"
        r"in|with|who|we|i|near|by|on)\b",
        what,
    ):
        return True
    if re.match(r"(?!the\b)[a-z]+'s \w+", what):
        return True
    return bool(
        re.match(r"the\b", what)
        and PRIVATE.search(what)
        and (re.search(r"\bagain\b", what) or len(what.split()) <= 7)
    )
