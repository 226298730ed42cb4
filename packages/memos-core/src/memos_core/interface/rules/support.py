"""Support: whether a message's own words bear out what a model reads in it.

A model may be wrong, or be told by the message itself to answer something. So a target must stand
in the message, and what takes something away must be asked for by a verb right before it.
"""

from __future__ import annotations

import re
from typing import Final

from memos_core.interface.rules.finding import after_lead, after_request
from memos_core.interface.rules.lexicon import AUXILIARY, FINITE, FIRST
from memos_core.interface.rules.sentences import Sentence, plain_of

_FRAME: Final = re.compile(
    r"(?:write|compose|draft|translate|rewrite|rephrase|reword|paraphrase|"
    r"summari[sz]e|proofread|edit|continue|complete|finish|generate|create|imagine|"
    r"pretend|suppose|supposing|assume|assuming|say (?:i|we|that|you)|let'?s (?:say|"
    r"pretend|imagine|suppose)|"
    r"if|what if|hypothetically|in theory|unless|were (?:i|we)|had (?:i|we)|in the "
    r"(?:sentence|phrase|book|film|movie|novel|story|poem|play|song|show|game)|act as|"
    r"role-?play|you are|you're|explain|define|spell|pronounce|read (?:this|the)|turn "
    r"(?:this|the)|convert|format|"
    r"(?:my|the|our|a|this|one|another) (?:\w+ )?(?:character|protagonist|narrator|"
    r"hero|heroine|villain|novel|story|poem|essay|sentence|dialogue|script|song|"
    r"lyrics|quote|proverb|speech|caption|slogan|monologue|chapter|scene|play|email|"
    r"letter|post|cover letter|reply|message|text)\b|dear \w+,|once upon|scene:|"
    r"title:|subject:|the quote|as (?:\w+ )?(?:said|wrote|put it)|"
    r"(?:he|she|they|someone|somebody|everyone|people|a friend|my \w+|the \w+) (?:\w+ "
    r")?(?:said|says|told|claims|claimed|thinks|thought|asked|asks|wrote|writes|goes|"
    r"went|asked) (?:to |that |me |us |what |if |how |why |she |he |they |i |\")|"
    r"correct (?:this|the|my)|fix (?:this|the|my)|check (?:this|the|my)|is (?:this|"
    r"that|it) |how (?:do|would|can|could|should) |why |what )",
)
_GIVEN: Final = re.compile(
    r"(?:given|considering|seeing|since|because|as|now|bearing in mind|knowing|"
    r"assuming you remember)(?: that| how)? (?=(?:i|i'm|i've|we|we're|we've|my|our|"
    r"the|mum|dad)\b)"
)
_ASKS: Final = re.compile(
    rf"(?:(?:what|who|whose|where|when|which|why|how)(?:'?s|'re)?|{AUXILIARY} (?:i|we|you|my|our)"
    r"|remind me|tell me|look up|pull up|dig out|find|show me|do you)\b"
)
_AWAY: Final = re.compile(
    r"(?<!\w)(?<!don't )(?<!dont )(?<!never )(?<!not )(?<!to )(?<!i )(?<!always "
    r")(?:forget|delete|erase|remove|wipe|purge"
    r"|unlearn|scrub|expunge|discard|get rid of|throw away)\s+(?:about )?(?P<what>[^,;.!?]+)"
)
_INSTEAD: Final = re.compile(
    r"\b(?:actually|correction|i was (?:wrong|mistaken)|i meant|my (?:bad|mistake)|"
    r"not true|that's wrong|typo"
    r"|i misspoke|no longer|isn't|rather than|instead of|should be|update|change)\b|, not "
)
_LITTLE: Final = frozenset(
    [
        "a",
        "an",
        "the",
        "my",
        "our",
        "your",
        "his",
        "her",
        "their",
        "this",
        "that",
        "these",
        "those",
        "of",
        "to",
        "in",
        "on",
        "at",
        "for",
        "from",
        "with",
        "about",
        "and",
        "or",
        "it",
        "is",
        "are",
        "was",
        "were",
        "i",
        "we",
        "me",
        "us",
        "you",
        "please",
        "now",
        "what",
        "all",
        "any",
        "everything",
        "said",
        "told",
        "thing",
        "things",
        "stuff",
    ]
)


def place_of(target: str, text: str) -> tuple[int, int] | None:
    """Find where the words of a target stand in a text, in order and unbroken; None if nowhere.

    >>> place_of("LIKE  tea", "I like tea.")
    (2, 10)
    """
    words = re.findall(r"\w+", plain_of(target))
    if not any(word not in _LITTLE for word in words) or len(words) > 400:
        return None
    pattern = r"\b" + r"[\W_]+".join(map(re.escape, words)) + r"\b"
    found = re.search(pattern, plain_of(text))
    return found.span() if found else None


def supports(op: str, sentence: Sentence, start: int, end: int) -> bool:
    """Say whether a sentence bears out an operation on a part of it.

    Args:
        op: The operation.
        sentence: The sentence; what it quotes counts for nothing.
        start: Where the target begins in the sentence.
        end: Where it ends.
    """
    said = sentence.plain[start:end]
    if framed(sentence) or "\u00a4" in said:
        return False
    if op == "forget":
        return any(
            _covers(said, each["what"])
            for each in _AWAY.finditer(sentence.plain)
            if each.start() < start
        )
    if op == "correct":
        return (
            bool(_INSTEAD.search(sentence.plain))
            and bool(FIRST.search(sentence.plain))
            and not sentence.asked
        )
    if op == "recall":
        return asks(sentence) and bool(FIRST.search(sentence.plain))
    if len(said.split()) < 3:  # a name alone states nothing
        return False
    states = FINITE.search(said) or FIRST.search(said) or ":" in sentence.plain
    return (
        bool(states)
        and bool(FIRST.search(sentence.plain))
        and not _AWAY.search(sentence.plain)
        and not asks(sentence)
    )


def _covers(said: str, asked: str) -> bool:
    """Whether a target holds all that a verb was said of: half of it would take more away."""
    wanted = {each for each in re.findall(r"\w+", asked) if each not in _LITTLE}
    return bool(wanted) and wanted <= set(re.findall(r"\w+", said))


def framed(sentence: Sentence) -> bool:
    """Whether a sentence only tells a story, quotes, supposes, or names a text to be worked on."""
    at = after_lead(sentence.plain)
    asked = re.compile(
        r"(?:(?:can|could|would|will) you (?:please )?|please |help me (?:to )?|i (?:want|"
        r"need) (?:you )?to |i'd like you to )+"
    ).match(sentence.plain, at)
    at = asked.end() if asked else at
    return bool(_FRAME.match(sentence.plain, at)) and not _GIVEN.match(sentence.plain, at)


def asks(sentence: Sentence) -> bool:
    """Whether a sentence is a question, or a request to be told something.

    >>> from memos_core.interface.rules.sentences import sentences_of
    >>> asks(sentences_of("Where did I park")[0]), asks(sentences_of("I park here.")[0])
    (True, False)
    """
    at = after_request(sentence.plain, after_lead(sentence.plain))
    return sentence.asked or bool(_ASKS.match(sentence.plain, at))
