"""What is put right: "actually it is", "my bad", "you have me down as", "change A to B".

A clear sign takes any statement that follows. A faint one ("no", "actually") takes a statement of
the speaker's own world: what is said of the world at large corrects an answer, not a memory.
"""

from __future__ import annotations

import re
from typing import Final

from memos_core.interface.rules.finding import LEAD, Find, after_lead, after_request, found
from memos_core.interface.rules.lexicon import DEEDS, FINITE, FIRST, HABITS, KIN, TEXTUAL
from memos_core.interface.rules.sentences import Sentence

_GAP: Final = r"[\s,.:;!?\u2026\u2013\u2014-]*"
_THAT: Final = (
    r"(?:that|it|this|what i (?:said|told you|gave you|wrote)(?: (?:earlier|before|"
    r"about [\w' ]+?|yesterday|last \w+))?)"
)
_CLEAR: Final = re.compile(
    r"(?:(?:all )?my (?:bad|mistake|fault|error|apologies)|i (?:was|'m|am) (?:wrong|"
    r"mistaken|incorrect|lying|confused)(?: about [\w' ]{1,40}(?=\s*[,.:;!\u2014-]|"
    r"$))?"
    r"|i (?:stand corrected|misspoke|misremembered|mistyped|miscounted|misread|lied|"
    r"fibbed|made a (?:mistake|typo|slip)|slipped up"
    r"|goofed|mixed (?:\w+ )?up(?: [\w' ]+)?|got (?:that|it|this|my [\w ]+|the "
    r"[\w ]+) (?:wrong|mixed up|backwards|the wrong way round)"
    r"|had (?:that|it|this|my [\w ]+|the [\w ]+) (?:wrong|mixed up|backwards)|need to "
    r"correct [\w' ]+|(?:have|need|want) to (?:correct|fix|update|amend)"
    r" [\w' ]+?|should have said|should correct [\w ]+|meant(?: to (?:say|write|"
    r"type))?|take (?:that|it) (?:all )?back"
    r"|(?:gave|told|sent) you (?:the |a |an )?(?:wrong|old|incorrect|outdated)[\w' ]*)"
    r"|(?:one |a |quick |small |slight |minor |little |tiny |important "
    r")*(?:correction|fix|typo|erratum|errata|amendment|edit|update|change)"
    r"(?: (?:to|on|of|for|about) (?:what i (?:said|told you|gave you)[\w' ]*|my "
    r"[\w' ]+?|the [\w' ]+?|earlier|that|this))?(?=\s*(?:[:,.\u2013\u2014]|-|$))"
    r"|correction|(?:please )?(?:scratch|strike|scrap|ignore|disregard|forget|cancel) "
    r"(?:(?:that|this)(?=\s*(?:[,.:;!\u2026\u2013\u2014-]|$))|the (?:earlier|last|"
    r"previous|old) [\w ]+?|what i (?:just )?(?:said|told you|"
    r"wrote)(?: just now| earlier(?: today| on)?| before| yesterday| last \w+)?"
    r"(?=\s*[,.:;!\u2014-])"
    r"|the \w+ i (?:gave|told|said)[\w' ]*)|let me (?:correct|rephrase|fix|amend|"
    r"restate|put)[\w' ]*|(?:please )?correct (?:that|this|your (?:notes?|records?)|"
    r"me if)"
    r"|(?:to|just to) (?:correct|be accurate|be precise|clarify)[\w' ]*|no,? (?:i "
    r")?(?:meant|said)|(?:wo)?oops(?:ie)?|whoops|apologies"
    r"|(?:please )?update (?:your (?:notes?|records?|memory|info)|that|what you "
    r"(?:have|know)[\w' ]*)|edit"
    r"|(?:your|the) (?:notes?|records?|info(?:rmation)?|memory|entry|file)(?: (?:on|"
    r"about|for) [\w' ]+?)? (?:is|are|seems?|looks?) (?:wrong|out of date|outdated|"
    r"old|off|stale|incorrect|not right)"
    r"|you(?:'ve| have)?(?: got| had)? (?:that|it|this|my [\w ]+?|me|the [\w ]+?|"
    r"\w+'s \w+) (?:all )?(?:wrong|mixed up|backwards|confused|down wrong)"
    r"|(?:my|the|that|his|her|our|their) [\w' ]{1,40}? (?:(?:i gave you|you have|"
    r"you've got|i told you|on file|on record) )?(?:is|was|are|were) (?:all "
    r")?(?:wrong|out of date|outdated|incorrect|off|mistyped|misspelled|misspelt)(?: "
    r"now| though)?(?=\s*[,.:;!\u2014-])|(?:it|that|this) (?:should|ought to|must) "
    r"(?:be|read|say|have been)|should (?:be|read|have been)"
    r"|i (?:keep|kept) (?:getting|saying|calling) [\w' ]+?(?: "
    r"wrong)?(?=\s*[,.:;!\u2014-])|you(?:'ve| have)? (?:spelled|spelt|wrote|written|"
    r"put|called|listed|noted|recorded|saved|still got|still have|got)(?: down)? "
    r"(?:me|my|the|our|his|her|it)\b[\w' ]*?(?: wrong| wrongly| incorrectly|on file|"
    r"on record)(?=\s*[,.:;!\u2014-])|(?:that|it)(?: was|'s| is) (?:true|right|"
    r"correct) (?:last|until|before|back|in|at)[\w ]*(?=\s*[,.:;!\u2014-])|that(?:'s| "
    r"has)? changed|i (?:was|am) off(?: by [\w ]+)?|(?:just )?to (?:clear|set|"
    r"put)[\w' ]*(?=\s*[,:])|i (?:need|have|want) to take [\w]+ back|i lied about "
    r"[\w' ]+(?=\s*[,.:;])|(?:mis(?:remembered|spoke|typed|read))|(?:i )?(?:told you|"
    r"said) [\w' ]{1,30}\.(?= it'?s\b)|(?:you|i)(?:'ve|'m| have| am| got)? ?(?:got "
    r")?(?:it |that |things )?(?:mixed|muddled|confused)(?: up| it up| them up)?(?: "
    r"(?:my|the|your|his|her) [\w' ]+)?(?=\s*[,.:;!\u2014-])|(?:did i (?:say|write|"
    r"tell you|put)|who (?:told|said to) you|where did you get|what made you think|"
    r"why do you (?:think|say|have))[^?]*\?|i (?:shouldn'?t|should not) have said "
    r"[\w' ]+(?=\s*[,.])|i (?:fibbed|exaggerated|think i told you (?:the "
    r")?wrong[\w' ]*)|that(?:'s| is| was) (?:my|our|the|his|her)? ?(?:(?:old|former|"
    r"previous|last|ex|outdated)\b[\w' ]*|last \w+'s [\w ]+)(?=\s*[,.;])"
    r"|you(?:'re| are) (?:remembering|thinking of|mixing|confusing|"
    r"misremembering)[\w' ]*|you remembered[\w' ]* wrong)(?![\w'])"
)
_FALSE: Final = re.compile(
    rf"{_THAT}(?:'s| is| was|'re)? ?(?:(?:not|isn'?t|wasn'?t|no longer|never)(?: quite|"
    rf" really| actually| even)* ?(?:right|true|correct|accurate|current|valid"
    r"|the case|it|what i (?:said|meant))?(?: any ?more| now| any longer)?|wrong|"
    r"incorrect|false|outdated|out of date|old|mistaken|inaccurate|obsolete|off|"
    r"changed|stale)(?: any ?more| now|,? (?:though|sorry|actually))*"
    r"(?=\s*(?:[,.:;!\u2026\u2013\u2014-]|$|and\b|but\b|because\b))"
    r"|(?:not|no) (?:any ?more|longer)(?: true)?|no longer true|not (?:quite|true|"
    r"right|correct|exactly)|(?:wrong|incorrect|nope|nah|no(?:,? "
    r"no)*)(?=\s*(?:[,.:;!\u2026\u2013\u2014-]|$)| (?:it|it's|its|i|i'm|i've|my|he|"
    r"he's|she|she's|they|that's|the|we|we're|his|her|their|our|actually)\b)|no wait|"
    r"no actually|wait(?:,? no)?|hang on(?! to)|hold on(?! to)|"
    r"sorry(?=\s*(?:[,.:;!\u2026\u2013\u2014-]|$)| (?:it|it's|i|i'm|my|that's|that "
    r"was|the)\b)|actually|well actually"
    r"|turns out(?: that)?(?: i (?:was|had)[\w' ]*)?|as it turns out|it turns out(?: "
    r"that)?|on second thoughts?|come to think of it|er+|um+|in fact|rather"
)
_SAID: Final = re.compile(
    r"(?:when |i know |earlier |yesterday |before |last \w+ )*(?:i|we)(?:'ve| have| "
    r"may have| might have| think i)? (?:said|told you|claimed|wrote|mentioned|gave "
    r"you|put down)(?: before| earlier| last \w+)? "
    r"(?P<old>.+?)(?:(?<=\w)(?:,|;) (?=it (?:was|is)\b|it's\b)|,? (?:make|call) (?:it|"
    r"that)|(?:,|\.|;|\s-|\u2014)?\s*(?:but|though|however|when in fact|whereas)(?: "
    r"actually| really| in fact| now)?|,? i (?:lied|misspoke|was wrong|meant)|"
    r"[,.;]?(?: but)? actually)[\s,.:;\u2014-]+(?P<new>.{2,})"
)
_DOWN: Final = re.compile(
    r"(?:(?:i (?:think|see|noticed)|it (?:says|looks like|seems)|apparently) "
    r")?(?:(?:you (?:think|thought|believe|assume|assumed|say|said|seem to think|keep "
    r"(?:calling|saying|spelling|writing|thinking|assuming)|call|called|wrote|spelled|"
    r"spelt)|(?:your|the) (?:notes?|records?|memory|profile|file) (?:says?|lists?|"
    r"shows?|has|have))(?: that)? (?P<old2>.+?)(?:,|;|\s-|\u2014|\.)?\s*(?:\bbut|"
    r"\bwhen|though|whereas|however|,|-|\u2014)(?: actually| really| in "
    r"fact)?[\s,]+(?P<new2>.{2,})|you(?:'ve| have)?(?: got| still have| still got| "
    r"had)? ?(?:me|my [\w ]+?|us|our [\w ]+?|him|her|them|it|the [\w ]+?|\w+|[\w ]+'s "
    r"[\w ]+?) ?"
    r"(?:is |are )?(?:down|listed|recorded|saved|stored|marked|noted|registered|filed|"
    r"in there|as)(?: down)? ?(?:as|at|in|for|under|with)? (?P<old>.+?)"
    r"(?:,|;|\s-|\u2014|\.)?\s*(?:but|when|though|whereas|however|\.|,|-|\u2014)(?: "
    r"actually| really| in fact| it should)?[\s,]+(?P<new>.{2,}))"
)
_NOT_BUT: Final = re.compile(
    r"(?P<whole>(?:(?:it|that|he|she|they|this|there)(?:'s|'re| is| was| are| were)?|"
    r"(?:my|our|the|his|her|their) [\w' ]{2,40}?|[\w']+(?: [\w']+)?)"
    r"(?: ?(?:isn'?t|wasn'?t|aren'?t|weren'?t|is not|was not|are not|were not|'s not|"
    r"'re not|doesn'?t|didn'?t|don'?t|does not|did not))|i(?:'m| am) not|i (?:don'?t|"
    r"didn'?t|haven'?t|never)"
    r"|we(?:'re| are) not|we (?:don'?t|didn'?t|haven'?t)|not) "
    r"(?P<old>.{1,80}?)(?:[,;.]|\s-|\u2014)\s*(?:but |it's more like )?"
    r"(?P<new>(?:it|that|he|she|they|we|i|there|this|my|our|the)(?:'s|'m|'re|'ve|'d)?\b.{2,})"
)
_NOT: Final = re.compile(
    r"(?:,| -| \u2014|;)? (?:and )?(?P<how>not|rather than|instead of|as opposed to|"
    r"and not|never|in place of)(?: in| on| at| the)? (?P<old>.+?)(?=$|[.,;!?]| like |"
    r" as )"
)
_CHANGE: Final = re.compile(
    r"(?:change|update|correct|fix|amend|switch|set|move|edit|replace|swap|modify|"
    r"alter|adjust|revise|bump|make|reset|put) "
    r"(?P<what>(?:(?:my|our|his|her|their)\b|[\w' ]*\w's\b|the\b)[\w' ]*?(?: (?:from "
    r"[\w' ]+?))?) (?:(?:with|by|as|into|from [\w' ]+ to)|to(?: be| read| say)?) "
    r"(?P<new>.+)"
)
_CHANGE_PLAIN: Final = re.compile(
    r"(?:change|update|correct|fix|amend|edit|revise)(?: down)? (?P<what>(?:my|our|"
    r"his|her|their|\w+'s)\b[\w' ]*?|the [\w' ]+?)(?:[,:;.]|\s-|\u2014|"
    r"$)[\s]*(?P<new>.*)"
)
_OPINION: Final = re.compile(
    r"(?:i (?:think|guess|suppose|wonder|hope|wish|want|need|would|was (?:looking|"
    r"hoping|asking|thinking)|mean\b(?! it)|don'?t (?:know|think|understand|want|need|"
    r"see|get|mind|care)|can'?t (?:see|find|open|get)|asked|see\b|understand|agree|"
    r"disagree|didn'?t (?:ask|mean|want|know)"
    r"|just (?:want|need)|'d (?:like|rather|prefer)|'ll\b|will\b)|i'd (?:like|rather|"
    r"prefer)|i'll\b|that'?s not\b|that'?s (?:fine|ok|okay|good|great|perfect|it|all|"
    r"better|enough|what|not what|the)|this is|it'?s (?:fine|ok|okay|good|great|all "
    r"good|nothing|perfect|not (?:working|what))|never ?mind|you(?:'re| are| were| "
    r"did| should| forgot| missed|'ve)?\b|there(?:'s| is|'re| are)\b"
    r"|let'?s|can|could|would|will|do|does|did|is|are|what|how|why|which|who|where|"
    r"when|please|make|use|try|give|write|show|tell|put|add|keep|don'?t|stop|start|go|"
    r"the other|another|in \w+(?: please)?$|shorter|longer|more|less|one more|i "
    r"mean(?:t)? the)\b"
)
_WORLD: Final = re.compile(
    r"\b(?:capital|times|plus|minus|divided|squared|equals|irrational|prime|planet|"
    r"population|president|king|queen|emperor|theorem|born in 1[0-8]\d\d|century|war|"
    r"continent|river|ocean"
    r"|chemical|element|formula|species|invented|discovered|wrote|composed|painted by|"
    r"published|latin|greek|word|spelled with|idiom|grammar|plural|tense|python|"
    r"javascript|function|boils?|freezes|degrees|earth|sun|moon|light|answer|solution|"
    r"result|step|gravity)\b"
    r"|^[\d\s+*/x=.-]+(?:is|=|equals)\b|^\d+ |^(?:pi|e|water|gravity)\b"
)
_HOME: Final = re.compile(
    rf"^(?:the |his |her |their |our |my )?[\w'-]+(?: [\w'-]+){{0,4}}?(?:'s| is| are| "
    rf"was| were| has| {DEEDS}| {HABITS}s?)\b"
)
_CUT: Final = re.compile(
    r"(?:,| -| \u2014|;) (?=(?:please|sorry|my bad|thanks|ok|can you|could you|would "
    r"you|so (?:please|can)|apologies|update|fix|my mistake|i (?:misspoke|got|lied|"
    r"was|mistyped)|in case|just so|if|for the|which|as i|like i|don'?t|actually)\b)"
    r"| (?:so (?:please|can you)|sorry|my mistake|my bad|as i said|please)\b.*$"
)


def correcting(sentence: Sentence, following: list[Sentence]) -> Find | None:
    """Find what a sentence puts right, if it does; the statement may stand in one that follows."""
    plain = sentence.plain
    at = after_lead(plain)
    if made := _afterwards(sentence, at) or _make(sentence, at):
        return made
    if (
        made := _changed(sentence, after_request(plain, at))
        or _framed(sentence, at)
        or _denied(sentence, at)
    ):
        return made
    place, clear, signed = _signs(plain)
    if not signed:
        return _contrasted(sentence, at)
    if (
        made := _changed(sentence, after_request(plain, place))
        or _framed(sentence, place)
        or _denied(sentence, place)
    ):
        return made
    if re.search(r"\w", plain[place:]):
        return _statement(sentence, place, clear=clear)
    for each in following[:2]:
        begin, more, _ = _signs(each.plain)
        if (
            made := _framed(each, begin)
            or _denied(each, begin)
            or _statement(each, begin, clear=clear or more)
        ):
            return made
        if re.search(r"\w", each.plain[begin:]):
            return None
    return None


_LATE: Final = re.compile(
    rf"(?P<what>.{{4,}}?)(?:,|;|\s-|\s?\u2014|\.{{2,}})\s*(?:(?:sorry|and|but|so|oops|"
    rf"actually|apologies|ah|oh) )*(?:{_CLEAR.pattern}|i (?:said|wrote|typed|told you|"
    rf"put) [\w' ]+ (?:by mistake|by accident|earlier|before|in error|wrongly)|i "
    rf"fibbed(?: \w+)?|i lied(?: \w+)?|typo)\b[\w' ]*[\s.!]*$"
)
_SPELLED: Final = re.compile(
    r"(?:it|that|my name|my surname|the name|her name|his name|\w+)(?:'s| is)(?: "
    r"actually)? (?:spelled|spelt|pronounced|written) .+"
)
_MAKE: Final = re.compile(r"(?:make|call) (?:that|it) (?P<new>[\w' :.-]{1,40}?), not .+")


def _afterwards(sentence: Sentence, at: int) -> Find | None:
    """Read a statement with the sign after it: "the key is blue, I got it wrong earlier"."""
    match = _LATE.match(sentence.plain, at)
    if (
        match is None
        or sentence.asked
        or not FINITE.search(match["what"])
        or _OPINION.match(match["what"])
    ):
        return None
    if _signs(sentence.plain)[2] or re.match(
        r"(?:i|we) (?:said|told|wrote|may|might|think)\b", match["what"]
    ):
        return None
    return _made(sentence, *match.span("what"))


def _make(sentence: Sentence, at: int) -> Find | None:
    """Read "make that seven, not six", and how a name is spelled."""
    if (match := _MAKE.match(sentence.plain, at)) and not TEXTUAL.search(match[0]):
        return _made(sentence, match.start("new"))
    if _SPELLED.match(sentence.plain, at) and not sentence.asked:
        return _made(sentence, at)
    return None


def _lead(plain: str, at: int) -> int:
    """Skip an opening; "sorry" stays, which may be the sign itself."""
    passed = LEAD.match(plain, at)
    return passed.end() if passed else at


def _signs(plain: str) -> tuple[int, bool, bool]:
    """Skip signs of a correction; say where they end, and whether one of them is clear."""
    at, clear, signed = _lead(plain, 0), False, False
    while True:
        sign = _CLEAR.match(plain, at)
        match = sign or re.compile(rf"(?:{_FALSE.pattern})(?![\w'])").match(plain, at)
        lead = _lead(plain, at)
        if match is None and lead == at:
            return at, clear, signed
        if match is not None:
            clear, signed = clear or sign is not None, True
            gap = re.compile(rf"{_GAP}(?:(?:and|but|because|that|is|as|i meant|meant) )?").match(
                plain, match.end()
            )
            at = gap.end() if gap else match.end()
        else:
            at = lead


def _statement(sentence: Sentence, start: int, *, clear: bool) -> Find | None:
    """Take a statement, where it is one that a memory can hold."""
    plain = sentence.plain
    said = plain[start:]
    if sentence.asked or _OPINION.match(said):
        return None
    if not clear and not _of_home(said):
        return None
    if clear and (
        re.match(r"(?:wrong|me if|if|not|in|with|for|to)\b", said)
        or (not FINITE.search(said) and len(said.split()) > 8)
    ):
        return None
    if clear and not FINITE.search(said) and not _of_home(said) and TEXTUAL.search(said):
        return None
    return _made(sentence, start)


def _of_home(said: str) -> bool:
    """Whether a statement is of the speaker's world, as far as that can be seen."""
    if _WORLD.search(said) and not FIRST.search(said):
        return False
    own = FIRST.search(said) or re.search(rf"\b{KIN}\b|\b\w+'s \w+", said)
    return bool(
        own and (FINITE.search(said) or re.search(rf"\b(?:{DEEDS}|{HABITS})", said))
    ) or bool(_HOME.match(said))


def _made(
    sentence: Sentence, start: int, end: int | None = None, *, old: str | None = None
) -> Find | None:
    """Cut off what it is instead of, and side remarks."""
    plain = sentence.plain
    stop = len(plain) if end is None else end
    instead = _NOT.search(plain, start + 1, stop)
    if instead and (
        instead["how"] != "not"
        or instead[0].startswith((",", " -", ";", " \u2014", " and"))
        or not FINITE.search(instead["old"])
    ):
        negated = instead["how"] == "not" and re.search(
            r"(?:is|are|was|were|am|do|does|did|'s|'m|'re|will|have|has|can|should)$",
            plain[: instead.start()],
        )
        if not negated:
            old = sentence.text[instead.start("old") : instead.end("old")].strip(" ,.!?")
            stop = instead.start()
    if cut := _CUT.search(plain, start + 1, stop):
        stop = cut.start()
    return found("correct", sentence, start, stop, replaces=old or None)


def _framed(sentence: Sentence, at: int) -> Find | None:
    """Read "I said A but B" and "you have me down as A but B"."""
    for pattern in (_SAID, _DOWN):
        match = pattern.match(sentence.plain, at)
        if match and not sentence.asked:
            second = pattern is _DOWN and match["new"] is None
            begin = after_lead(sentence.plain, match.start("new2" if second else "new"))
            if _OPINION.match(sentence.plain, begin):
                return None
            name = "old2" if second else "old"
            old = sentence.text[match.start(name) : match.end(name)].strip(" ,.!?")
            return _made(sentence, begin, old=old)
    return None


def _denied(sentence: Sentence, at: int) -> Find | None:
    """Read "it isn't A, it's B"."""
    bare = re.compile(
        r"not (?P<old>[\w' ]{1,40}?)(?:,|;|\s-|\s?\u2014)(?: but)? "
        r"(?P<new>[\w' ]{1,40})[.!]*$"
    ).match(sentence.plain, at)
    if bare and not TEXTUAL.search(bare[0]):
        return _made(
            sentence, bare.start("new"), old=sentence.text[bare.start("old") : bare.end("old")]
        )
    match = _NOT_BUT.match(sentence.plain, at)
    if match is None or sentence.asked:
        return None
    new = sentence.plain[match.start("new") :]
    if _OPINION.match(new) or not FINITE.search(new) or not _of_home(new):
        return None
    if re.match(
        r"(?:i|we) (?:don'?t|didn'?t|haven'?t|never)", sentence.plain[at:]
    ) and not re.match(r"(?:i|we|it's|it is)", new):
        return None
    old = sentence.text[match.start("old") : match.end("old")].strip(" ,.!?")
    return _made(sentence, match.start("new"), old=old)


def _contrasted(sentence: Sentence, at: int) -> Find | None:
    """Read "it's B, not A", which needs no other sign."""
    plain = sentence.plain
    match = re.compile(
        r"(?:it|that|he|she|they|his|her|their|my|our|the|\w+'s)\b[^,;]*(?:'s|'re|\bis|"
        r"\bare|\bwas|\bwere)\b[^,;]*, not (?!(?:that|to|because|just|only|really|sure|a "
        r"big|so|bad|much|yet|at all|too|very|including)\b)"
    ).match(plain, at)
    if match is None and not sentence.asked:
        match = re.compile(
            r"(?:it|my|our|the|\w+'s)\b[\w' ]*(?:'s|\bis|\bare) [\w:.-]+ not [\w:.-]+[.!]*$"
        ).match(plain, at)
    if (
        match is None
        or sentence.asked
        or not _of_home(plain[at:])
        or re.search(r"\bnot [^,]*\bbut\b", plain)
    ):
        return None
    return _made(sentence, at)


def _changed(sentence: Sentence, at: int) -> Find | None:
    """Read "change A to B", and "update A: B"."""
    plain = sentence.plain
    if match := _CHANGE.match(plain, at):
        what = match["what"].strip()
        if _known(what):
            return _made(sentence, match.start("what"))
        return None
    match = _CHANGE_PLAIN.match(plain, at)
    if (
        match
        and _known(match["what"])
        and re.search(r"\w", match["new"])
        and not _OPINION.match(match["new"])
    ):
        return _made(sentence, match.start("new"))
    return None


def _known(what: str) -> bool:
    """Whether a thing is one that a memory holds, and not a text that is worked on."""
    own = re.match(r"(?:my|our|his|her|their)\b", what) or re.search(rf"\b{KIN}\b|\w's ", what)
    return bool(own) and not TEXTUAL.search(
        re.sub(
            r"\b(?:e-?mail|account|key|message) (?:address|number|code)\b|\b(?:e-?mail|job "
            r"title|surname|last name|first name|middle name)\b",
            "",
            what,
        )
    )
