"""What is to be kept because somebody asks for it: "remember that", "jot down", "FYI"."""

from __future__ import annotations

import re
from typing import Final

from memos_core.interface.operations import MemoryType
from memos_core.interface.rules.finding import Find, after_lead, after_request, found
from memos_core.interface.rules.lexicon import FINITE, FIRST, HABITS, KIN
from memos_core.interface.rules.sentences import Sentence, starts

_THIS: Final = (
    r"(?:something|one thing|a thing|this (?:one|down|name|fact|bit|info|information|detail|number"
    r"|prompt|template|date|address|thing|snippet|text|instruction|phrase|wording)|"
    r"this|that|it|these|the following|all this"
    r"|(?:the|my|a|our) (?:following )?(?:prompt|template|snippet|instruction))"
)
_WHERE: Final = (
    r"(?:[\s,]+(?:for (?:me|later|us|next time|the future|future (?:use|reference)|"
    r"the record|reuse|good)|please|pls|ok"
    r"|okay|down|away|too|as well|here|somewhere(?: safe)?|safe|would you|will you|"
    r"could you|can you|in (?:your )?(?:mind"
    r"|memory|notes?|records?)|to (?:your )?(?:memory|notes?|records?)|on (?:file|"
    r"record|me)|about me|under [\w ]+?"
    r"|as (?:a|an|my|our|the) [\w -]{1,30}|as (?:note|memory|fact|template|prompt|preference)))*"
)
_STRONG: Final = (
    r"(?:keep in mind|bear in mind|don'?t (?:you )?(?:ever )?forget|do not forget|never forget"
    r"|commit to memory|commit this to memory|jot(?: it)? down|mark down|write(?: "
    r"it)? down|take down|put down|pencil in"
    r"|memori[sz]e|make a (?:mental )?note(?: to self)?(?: of(?: the fact)?)?|take "
    r"(?:a )?note(?: of(?: the fact)?)?"
    r"|keep a (?:note|record)(?: of)?|keep track of(?: the fact)?|keep on file|(?:please )?remember"
    r"|make sure (?:you|to) remember|be aware|know|get it into your head|keep hold of|"
    r"keep (?:this|that|it) handy|file away|stick in your memory"
    r"|add to (?:your|my|the) (?:notes?|memory|memories|profile|records?|file|list of facts)"
    r"|add to what you know(?: about me)?|let it be known|register|internali[sz]e|"
    r"learn|retain|hold in mind)"
)
_SAVE: Final = (
    r"(?:save|store|record|log|note(?: down)?|keep|file|pin|add|put|hang on to|hold "
    r"on ?to|hold|tuck|stash|jot|write"
    r"|mark|remember|memori[sz]e|capture|enter|commit|take|learn|set|use|keep track of)"
)
_TRIGGER: Final = re.compile(
    rf"(?:(?:use|here(?:'s| is| are)|this is|these are|take|adopt|apply|follow) "
    rf"(?:this|the|my|our|these) [\w ]*?(?:prompt|template|wording|text|instructions?|"
    rf"format|bio|style|snippet|signature|address|details|info)s?(?: \w+){{0,6}}?(?=:)"
    rf"|{_SAVE}\s+{_THIS}(?=\s*(?:[:,.;!?\u2026\u2013\u2014-]|$|for\b|in\b|down\b|"
    rf"please\b|here\b|away\b|to (?:your|memory)\b|on (?:file|record)|about me|as (?:a|"
    rf"my|our|the)\b|would\b|somewhere\b)){_WHERE}"
    rf"|{_STRONG}{_WHERE}(?:(?:\s+that(?! one\b)|\s+this(?: one)?(?=[:,.\s]*(?::|,|"
    rf"\u2014|-|$)))\b)?"
    r"|note(?:\s+down)?(?:\s+that|(?=\s+(?:i|we|i'm|i've|my|our|the \w+ \w+ (?:is|are|"
    r"starts|has|ends))\b)|(?=\s*:))|(?:save|store|record|log|file)(?:\s+that|"
    r"(?=\s*:)))[\s:,;.!?\u2026\u2013\u2014-]*"
)
_TOLD: Final = re.compile(
    r"(?:fyi|for your (?:info(?:rmation)?|notes?|records?|memory|reference)|for the "
    r"record|for (?:future|later) reference"
    r"|for next time|(?:just )?so (?:that )?(?:you (?:know|have it|remember|don'?t "
    r"(?:have to|need to|forget)|won'?t (?:have to"
    r"|need to|forget)|never|aren'?t)|it'?s on (?:file|record))|just to let you know|"
    r"note to self|reminder to self"
    r"|heads[- ]up|psa|to remember|things? to (?:know|remember|keep in mind)(?: about "
    r"me)?|something to (?:know|remember"
    r"|keep in mind)|worth (?:knowing|remembering|noting|keeping)|good to know|"
    r"memo(?: to (?:you|self))?|let the record show(?: that)?|for posterity|(?:one|"
    r"this|something|a note|note|reminder) for (?:the|your)(?: memory)? (?:files?|"
    r"records?|notes?|memory|banks?)|note|remember|reminder|in case (?:it (?:comes"
    r" up|matters|helps)|you (?:need|ever need|wonder(?:ed)?|were wondering|ask|"
    r"forget)(?: it| to know)?)"
    r"|file under [\w ]+|about me|facts? about me|a (?:little )?(?:fact|thing|note) "
    r"about me|important"
    r"|another (?:fact|one) (?:for|to) [\w ]+|for (?:you to|the) (?:remember|file|"
    r"files|notes?|memory))\b"
    r"(?:[:,.!\u2013\u2014]+|\s-|-\s|(?: (?!that\b|the\b|my\b|this\b|to\b|"
    r"i\b)[\w']+){1,6}?(?::|,|\s-|\s?\u2014))[\s:,.\u2013\u2014-]*"
)
_SHOULD_KNOW: Final = re.compile(
    r"(?:(?:i(?:'d| would)? (?:like|want|need)|i'd love for) you to (?:know|remember|"
    r"note|keep in mind|bear in mind|be aware|have)"
    r"|you (?:should|ought to|need to|might want to|may want to|must|'ll want to) "
    r"(?:also )?(?:know|remember|be aware|keep in mind|note)"
    r"|you'll want to (?:know|remember)|let me tell you|i(?:'m| am) telling you(?: "
    r"now)?|i should (?:tell you|mention|say)"
    r"|(?:it'?s )?(?:worth|important|useful|helpful) (?:to (?:know|remember|note)|"
    r"knowing|remembering|noting|mentioning)"
    r"|i(?:'d| would) appreciate it if you(?:'d| would| could)? (?:remember|"
    r"remembered|keep in mind|note|noted|kept in mind)|(?:i )?(?:just )?thought "
    r"(?:you should|you'd like to|i'd let you|you'd want to) know|(?:just )?so you "
    r"know|fyi|for the record|heads[- ]up)(?: now| too| about me)?(?: that|:|"
    r",)?[\s:,]+"
)
_FROM_NOW: Final = re.compile(
    r"(?:from now on|going forward|from here on(?: out)?|in (?:the )?future|"
    r"henceforth|from today(?: on)?|as of (?:now|today))[\s,:-]+"
    r"(?=\w)"
)
_STANDING: Final = re.compile(
    r".*\b(?:from now on|going forward|in (?:the )?future|from here on(?: out)?|every "
    r"time|whenever i|for all future \w+)\s*[.!]*$"
)
_CALL: Final = re.compile(
    r"(?:(?:please )?call me (?!back|later|when|at|on|a cab|a taxi|tomorrow|crazy|old|"
    r"if)|refer to me as |address me as "
    r"|(?:always|never(?! mind| heard| seen| knew| again| ever)|when(?:ever)? i "
    r"(?:say|type|write|ask|send|paste|post|give you|start)) (?=\S))"
)
_LABEL: Final = re.compile(
    rf"(?:(?P<fresh>new )|(?=(?:my|our)\b|{KIN}\b|(?!it|that|what|here|"
    rf"there)[a-z]{{2,}}'s ))(?P<what>(?:[\w-]+(?:'s)? ?){{1,5}}?): "
    rf"(?!https?\b)(?P<new>\S.*)"
)
_HABITUAL: Final = re.compile(rf"\b(?:i|we) (?:\w+ )?{HABITS}\b")
_TO_DO: Final = re.compile(
    r"(?:to|about|when|me\b|the time|how to|that time|not to|it\b|him\b|her\b|them\b|"
    r"us\b|you\b|as\b|where\b|why\b|who\b|what\b"
    r"|if\b|whether\b|your\b)(?=\s|$|[?.!,])"
)
_SIDE: Final = re.compile(
    r",? (?:and|but|so) (?=(?:then )?(?:can|could|would|will|what|how|where|when|do "
    r"you|please|write|give|tell|make|let's)\b)"
    r"|\s+(?:-|\u2013|\u2014)\s+(?=(?:can|could|would|what|how|thanks|ok|it'?s "
    r"important|you'll need)\b)"
    r"|, (?=(?:ok|okay|please|thanks|would|will|can|could|what|how|it'?s important|"
    r"you'll need|don'?t forget|will come in"
    r"|for next time|for later|in case|so you|got it|it might|it'll|in your|do you)\b)"
)
_ASIDE: Final = re.compile(
    r"(?:(?:well|or rather|i mean|and|for|to) )*(?:to |for )?(?:you|me|myself|us|"
    r"later|my \w+)(?: too| as well)?\s*[:,\u2014]\s*"
)
_BACK: Final = re.compile(
    rf"(?:(?:can|could|would|will) you |please |pls |and |so |just |i(?:'d| would) "
    rf"like you to |i want you to )*(?:{_SAVE}|keep in mind|don'?t forget|do not "
    rf"forget|never forget|bear in mind|make a note of|take note of|keep a note of) "
    rf"(?:that|this|it|these|all (?:of )?(?:that|this)|all "
    rf"that){_WHERE}[\s,.!?]*(?:please|pls|ok|okay|thanks|for me)?[\s.!?]*"
)
_QUESTION: Final = re.compile(
    r"(?:how|why|what|when|where|who|which|did|do|is|are|was|does|can|could|should)\b"
)
_TRAILING: Final = re.compile(
    rf"(?P<what>.{{6,}}?)(?:,|;|\s-|\.{{2,}}|\u2026|\s?\u2014| and)\s*(?:(?:please|pls|"
    rf"so|just|do|can you|could you|would you|will you|and|i want you to|i'd like you "
    rf"to|you should|you can|kindly|make sure to|try to) )*"
    rf"(?:(?:{_SAVE}|keep in mind|bear in mind|make a note of|take note of|don'?t "
    rf"forget|do not forget|never forget|commit)(?: (?:that|this|it|all "
    rf"that))?{_WHERE}|keep (?:that|this|it) (?:handy|safe|close)|make a note|take "
    rf"note|note that down|in case (?:that|it|you|this|anyone)[\w' ]*|for (?:the "
    rf"record|future reference|next time|your (?:notes|records|information))|fyi|so "
    rf"you know|just so you know)[\s,.!?]*(?:please|pls|ok|okay|thanks|for me|will you|"
    rf"would you)?[\s.!?]*"
)
_NEEDS_MORE: Final = re.compile(
    r"(?:for me|for later|please|down|this|that|it|one|here|too)?[\s:,.!?\u2026-]*"
)


def pointing_back(sentence: Sentence) -> bool:
    """Whether a sentence only asks to keep what was just said, as "remember that" does.

    >>> from memos_core.interface.rules.sentences import sentences_of
    >>> pointing_back(sentences_of("Remember that please!")[0])
    True
    """
    return bool(_BACK.fullmatch(sentence.plain, after_lead(sentence.plain)))


def remembering(sentence: Sentence, following: Sentence | None) -> Find | None:
    """Find what a sentence asks to keep, if it does; it may stand in the following one."""
    plain = sentence.plain
    lead = after_lead(plain)
    for begin in starts(plain):
        at = lead if begin == 0 else after_lead(plain, begin)
        if begin and begin < lead:
            continue
        if made := _at(sentence, following, at):
            return made
        if begin == 0 and re.match(
            r"(?:how|why|what|when|where|who|which|did|is|are|was|does)\b", plain[lead:]
        ):
            return None
    match = None if _QUESTION.match(plain, lead) else _TRAILING.fullmatch(plain, lead)
    if match and (FINITE.search(match["what"]) or _tells(match["what"])):
        return found("remember", sentence, *match.span("what"))
    if _STANDING.fullmatch(plain) and not sentence.asked:
        return found("remember", sentence, after_request(plain, lead))
    return None


def _at(sentence: Sentence, following: Sentence | None, at: int) -> Find | None:
    """Try the ways of asking at one place."""
    plain = sentence.plain
    if match := _TOLD.match(plain, at):
        return _content(sentence, following, after_lead(plain, match.end()))
    if match := _SHOULD_KNOW.match(plain, at):
        return _content(sentence, following, match.end())
    if match := _FROM_NOW.match(plain, at):
        return found("remember", sentence, match.end(), memory_type="preference")
    return _requested(sentence, following, at)


def _requested(sentence: Sentence, following: Sentence | None, at: int) -> Find | None:
    """Try the verbs of a request at one place."""
    plain = sentence.plain
    verb = after_request(plain, at)
    if (
        not plain.startswith("never forget", verb)
        and not (sentence.asked and verb == at)
        and (match := _CALL.match(plain, verb))
    ):
        kind: MemoryType = "entity" if "me" in match[0].split() else "preference"
        return found("remember", sentence, verb, memory_type=kind)
    if match := _TRIGGER.match(plain, verb):
        mild = match[0].startswith(("know", "learn", "retain", "register"))
        wanting = re.match(r"do you (?:still )?(?:remember|know)|(?:i|we) ", plain[at:])
        if wanting or (mild and not re.search("that|:|,", match[0])):
            return None
        return _content(
            sentence, following, match.end(), weak=match[0].startswith("note") and verb == at
        )
    labelled = _LABEL.match(plain, at)
    if labelled and not sentence.asked and not FINITE.search(labelled["what"]):
        return found("remember", sentence, labelled.start("new") if labelled["fresh"] else at)
    return None


def _content(
    sentence: Sentence, following: Sentence | None, start: int, *, weak: bool = False
) -> Find | None:
    """Return what follows a request, or the next sentence where nothing does."""
    plain = sentence.plain
    while more := (
        _TOLD.match(plain, start) or _SHOULD_KNOW.match(plain, start) or _ASIDE.match(plain, start)
    ):
        start = after_lead(plain, more.end())
    if _NEEDS_MORE.fullmatch(plain[start:]):
        if following is None or (following.asked and not FINITE.search(following.plain)):
            return None
        return found("remember", following, after_lead(following.plain), _end(following, 0))
    marked = bool(re.search(r"(?:[:,;\u2014-]|\bthat|\bthis(?: one)?)[\s:,-]*$", plain[:start]))
    label = re.match(
        r"(?:note|remember)\s*[:,]", plain[start - 12 if start > 12 else 0 : start].lstrip()
    )
    if label and not _personal(plain[start:]) and not FINITE.search(plain[start:]):
        return None
    if (not marked and _TO_DO.match(plain, start)) or (weak and not _personal(plain[start:])):
        return None
    said = plain[start:].strip(" .!?")
    if not marked and re.search(r"(?:remember|forget)\s*$", plain[:start]) and not _tells(said):
        return None
    return found("remember", sentence, start, _end(sentence, start))


def _end(sentence: Sentence, start: int) -> int:
    cut = _SIDE.search(sentence.plain, start)
    return cut.start() if cut and cut.start() > start else len(sentence.text)


def _personal(said: str) -> bool:
    return bool(FIRST.search(said) or re.search(rf"\b{KIN}\b|\d{{3}}|\w's \w", said))


def _tells(said: str) -> bool:
    """Whether words say something: a clause, something of one's own, a value or a list."""
    return bool(
        FINITE.search(said)
        or _personal(said)
        or _HABITUAL.search(said)
        or re.search(r"[:=@\d,\u00a4\"]", said)
        or re.search(
            r"^(?:no|never|always|only) \w+|\b\w{3,}s (?:in|at|on|to|from|with|his|her|the|a|"
            r"under|behind|by|near|above|below|over|after|before|every|until|off|up|down|for|"
            r"no)\b|\b\w{3,}ed\b",
            said,
        )
    )
