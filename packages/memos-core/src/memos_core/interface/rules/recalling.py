"""What is asked of memory: "what did I say last week about", "where did I park", "remind me who".

A question is one for memory where it is about the speaker's own life or what was said here. Advice,
how-to, diagnosis and the world at large are not.
"""

from __future__ import annotations

import re
from typing import Final

from memos_core.interface.rules.finding import Find, after_lead
from memos_core.interface.rules.lexicon import AUXILIARY, FINITE, TECHNICAL, TEXTUAL
from memos_core.interface.rules.living import of_life
from memos_core.interface.rules.names import names_of
from memos_core.interface.rules.questions import (
    ABOUT,
    ADVERB,
    ADVICE,
    PRIVATE,
    SAID_CLAUSE,
    SAY,
    WH,
    asked_about,
    is_question,
    politely,
)
from memos_core.interface.rules.sentences import Sentence, starts
from memos_core.interface.rules.subjects import is_own, subject_end

_TOLD_ABOUT: Final = re.compile(
    rf"(?:^|\b)(?:i|we)(?:'ve|'d| have| had)? {ADVERB}{SAY}(?: up| down| off)?(?: "
    rf"to)?(?: you)?(?: \S+){{0,4}}? {ABOUT} (?P<what>(?!(?:over|during|in|for) the "
    rf"(?:last|past)\b).+)$"
)
_DID_SAY: Final = re.compile(
    rf"(?:did|have|had|haven't|didn't)(?: n't)? (?:i|we|you and i) (?:not "
    rf")?{ADVERB}(?:say|tell you|mention(?:ed)?(?: to you)?|said|told you|"
    rf"talk(?:ed)?(?: to you)?|discuss(?:ed)?|bring up|brought up|shared?(?: with "
    rf"you)?|g[ia]ven? you)"
    rf"(?: (?:anything|something|much|any \w+|already|before|earlier))*(?: {ABOUT})? (?P<what>.+)$"
)
_WH_SAY: Final = re.compile(
    rf"{WH}(?: \w+){{0,3}}? (?:did|have|had) (?:i|we) {ADVERB}(?:say|tell you|"
    rf"mention|said|told you|mentioned|claim|write)(?: that)? (?P<what>.+)$"
)
_REMIND: Final = re.compile(
    r"(?:remind me|quiz me|refresh my memory|jog my memory|fill me in|refresh me|"
    r"catch me up|brief me|update me)(?: again| once more| once again| please| pls| "
    r"quickly|,)* (?:(?:of|about|on|as to|regarding) )?(?P<what>.+)$"
)
_TELL: Final = re.compile(
    r"(?:tell me|give me|let me know|say|list|show me|recite|repeat|confirm|name|run "
    r"me through|walk me through|recap|summari[sz]e)(?: again| once more| one more "
    r"time| back)*(?: please)? (?P<what>.+)$"
)
_FETCH: Final = re.compile(
    r"(?:pull up|look up|bring up|dig (?:up|out)|find|fetch|get me|get|show me|read "
    r"(?:me )?(?:back|out)|retrieve|recall|search (?:for|your (?:memory|notes) for)|"
    r"check|call up|bring back|hand me|send me|give me"
    r"|check your (?:notes|memory|records) (?:for|on|about)|have a look for|look for|"
    r"grab|locate) (?:me )?(?:again )?(?P<what>.+)$"
)
_SURE_FETCH: Final = re.compile(
    r"(?:pull up|dig (?:up|out)|read (?:me )?back|recall|call up|retrieve|bring back|"
    r"search your|check your)\b"
)
_DO_YOU: Final = re.compile(
    r"(?:(?:do|don't|can|could|would|will|did|can't) you (?:still |even |happen to |"
    r"actually |by any chance |also )*(?:remember|recall|know|have|remind me|think "
    r"back to|recollect)"
    r"|(?:do |would |might )?you(?:'d)? (?:still )?(?:happen to )?(?:remember|recall)|"
    r"(?:have )?you(?:'ve)? got|(?:have you |you |is there |do you have |have we "
    r")?(?:got |have )?(?:a |any |some)?(?:note|record|anything|something|mention|"
    r"trace)s? (?:of|on|about|regarding)(?= )|(?:would|do|did|might) you happen to "
    r"(?:know|have|remember|recall)|(?:you |do you have |have you got )?any (?:idea|"
    r"chance you (?:know|remember)|memory of|record of|recollection of|notes? on)|"
    r"remember|recall|you know)(?: at all)? (?:of )?(?P<what>.+)$"
)
_FORGOT: Final = re.compile(
    r"i (?:can'?t|cannot|don'?t|can never|never) (?:seem to )?(?:remember|recall|"
    r"think of)|i(?:'ve| have)? (?:completely |totally |clean )?(?:forgotten|forgot|"
    r"forget|lost track of|blanked on)|i'm (?:drawing a blank|blanking) on|it's "
    r"slipped my mind"
)
_ASK_BACK: Final = re.compile(
    r"(?:[,.;]|\s-|\u2014)\s*(?:do you|can you|could you|would you|any idea|did you|"
    r"you\b|help|remind me|what (?:was|is) (?:it|that)|what's it|which (?:was|one)|"
    r"where (?:was|is) (?:it|that)|when (?:was|is) (?:it|that)|who (?:was|is) (?:it|"
    r"that)|what again|tell me|is it|please tell|do u|so\b|hm+)\b.*$|\?\s*$"
)
_PROMISED: Final = re.compile(
    r"(?:you (?:said|told me|promised)(?: that)? you(?:'d| would| will|'ll) "
    r"(?:remember|keep|store|save|note|hold on to)|(?:you were|weren't you)(?: "
    r"supposed| going| meant) to (?:remember|keep|save)|i (?:asked|told) you to "
    r"(?:remember|save|keep|note|store)) (?P<what>.+)$"
)
_TOLD_ONCE: Final = re.compile(
    rf"(?:i'm (?:pretty |quite )?(?:sure|certain)(?: that)? |i know |i think |pretty "
    rf"sure |last \w+ |yesterday )?(?:you (?:should|must|might) (?:still )?have "
    rf"(?P<had>.+?)|you know (?P<known>(?:my|our)\b.+?)|i(?:'ve| have| know i| think "
    rf"i)? ?(?:already |once |definitely )?(?:told|gave|given|sent|shared with|"
    rf"mentioned to) you (?P<what>.+?)|i (?:once )?(?:mentioned|brought up|talked "
    rf"about|raved about) (?P<named>.+?))(?: once| before| earlier| already| a while "
    rf"(?:ago|back)| last \w+| yesterday| ages ago)*(?:[,.;]|\s-|\u2014)\s*(?:so |and |"
    rf"but )?(?:{WH}|can you|could you|do you|remind|any idea|tell me|is it|was it|"
    rf"right\?|is that)\b"
)
_ANYTHING: Final = re.compile(
    rf"(?:give me |show me |tell me |list |find |summari[sz]e |recap |read me "
    rf")?(?:please )?(?:anything|everything|all|whatever|the (?:stuff|things|notes?|"
    rf"bit|gist)|something|any (?:notes?|info|details?|mention|record|memor(?:y|"
    rf"ies)))(?: (?:else|that))?(?: you(?:'ve| have)?(?: got| know| remember| stored| "
    rf"saved| kept)?| (?:i|we)(?:'ve| have)? {SAY}(?: to)?(?: you)?)?"
    rf"(?P<when>(?: (?!about|on|regarding|concerning|re)[\w']+){{0,5}}?) (?:about|on|"
    rf"regarding|concerning|re|involving|mentioning) (?P<what>.+)$"
)
_KNOW_ABOUT: Final = re.compile(
    r"(?:what|whatever)(?: else| all)? (?:do|can|did|have) (?:you|we) (?:already |"
    r"still |actually )?(?:know|remember|have|got|recall|tell me|stored?|kept?|saved?|"
    r"learned|noted?)(?: stored| saved| down| on file| written)* (?:about|on|of|"
    r"regarding|for) (?P<what>.+)$"
)
_LEFT: Final = re.compile(
    r"(?P<what>(?:that|the|my|our|those|this)\b [\w' -]{3,60}?)(?:,|\s-|\s?\u2014|"
    r"\.{2,}|:)\s*(?:(?:so|and|again|remind me) )*(?:what|who|where|when|which|why|"
    r"how)(?:'s|s| is| was| were| are| did| do| does| had| have)? (?:(?:it|that|he|"
    r"she|they)\b(?: \w+){0,3}|i (?:say|call|bring|mention|tell|get|put|meet|buy|"
    r"see)\b.*)\s*\?*$"
)
_FRAGMENT: Final = re.compile(
    r"(?:(?:any|some)(?:thing|one|body)?(?: \w+)? (?:on|about|regarding|for) "
    r"(?P<on>.+)|(?P<own>(?:my|our)\b [\w' -]+?|(?:the |that |those )[\w' -]+? (?:of|"
    r"for|at|from|to) (?:my|our) [\w' -]+?|the [\w' ]+? (?:i|we) (?:told|gave|"
    r"mentioned|said|used|asked|sent)\b[\w' ]*)(?:,? (?:please|pls|again|what was it|"
    r"what is it|what's that|what were they|do you (?:have|know|remember) (?:it|that|"
    r"them)|got (?:it|that)|anyone|you remember|remember))?)\s*(?:\?+|\?!)\s*"
)


def recalling(sentence: Sentence) -> Find | None:
    """Find what a sentence asks of memory, if it does."""
    plain = sentence.plain
    for begin in starts(plain):
        at = after_lead(plain, begin)
        if begin and at < begin:
            continue
        at = politely(plain, at)
        made = _of_saying(sentence, at) or _of_asking(sentence, at)
        made = (
            made
            or _fragment(sentence, at)
            or (of_life(sentence, at) if is_question(sentence, at) else None)
        )
        if made or (begin == 0 and _FORGOT.match(plain, at)):
            return made
    return None


def _fragment(sentence: Sentence, at: int) -> Find | None:
    """Read a question without a verb: "my locker number?"."""
    left = _LEFT.match(sentence.plain, at)
    if (
        left
        and not TECHNICAL.search(left[0])
        and not FINITE.search(re.sub(r"\w's ", "", left["what"]))
    ):
        return asked_about(sentence, *left.span("what"))
    match = _FRAGMENT.fullmatch(sentence.plain, at)
    if match is None or TECHNICAL.search(match[0]) or ADVICE.search(match[0]):
        return None
    if match["on"] and re.match(
        r"any (?:tips|ideas?|advice|suggestions?|thoughts|recommendations?|help|news|good|"
        r"way)",
        match[0],
    ):
        return None
    if match["own"] and re.search(
        r" (?:is|are|was|were|has|have|does|did|can|will) ", match["own"]
    ):
        return None
    return asked_about(sentence, *match.span("on" if match["on"] else "own"))


def _of_saying(sentence: Sentence, at: int) -> Find | None:
    """Read questions about what was said here."""
    plain = sentence.plain
    if match := _KNOW_ABOUT.match(plain, at):
        stored = re.search(
            r"\b(?:have|got|stored?|kept?|saved?|noted?)\b",
            match[0][: match.start("what") - match.start()],
        )
        own = (
            stored
            or is_own(match["what"])
            or re.search(r"\b(?:me|us)\b", match["what"])
            or names_of(sentence.text[match.start("what") :].rstrip("?! "))
            == (sentence.text[match.start("what") :].rstrip("?! "),)
        )
        return asked_about(sentence, match.start("what")) if own else None
    if (match := _PROMISED.match(plain, at)) or (match := _TOLD_ONCE.match(plain, at)):
        name = next(n for n in ("what", *match.re.groupindex) if match[n])
        return asked_about(sentence, *match.span(name))
    ask = re.compile(
        rf"(?:{WH}(?:'s|s)?|did|have|had|haven't|didn't|anything|everything|all|whatever|"
        rf"something|any|give me|show me|tell me|list|find|recap|summari[sz]e|read|the)\b"
    ).match(plain, at)
    if ask is None:
        return None
    if match := _ANYTHING.match(plain, at):
        said = (
            re.search(r"\b(?:i|we|my|our)\b|\b(?:i|we)'", match[0])
            or (names_of(sentence.text[match.start("what") :]) and "me everything" not in match[0])
            or " you" in match[0]
            or re.search(r"\b(?:yesterday|last|today|week|month|from)\b", match["when"])
        )
        if said and not _told_by_others(plain[at:]):
            return asked_about(sentence, match.start("what"))
    if match := _DID_SAY.match(plain, at):
        inner = re.search(r"^(?:\w+ ){0,4}?about ", match["what"])
        return asked_about(sentence, match.start("what") + (inner.end() if inner else 0))
    match = _TOLD_ABOUT.search(plain, at)
    if match and re.match(rf"{WH}|anything|everything|whatever|something|did|have", plain[at:]):
        return asked_about(sentence, match.start("what"))
    if match := _WH_SAY.match(plain, at):
        return _embedded(sentence, match.start("what"))
    return None


def _told_by_others(said: str) -> bool:
    return bool(re.match(rf"{WH} (?:did|do|does) (?!i\b|we\b|you\b)", said))


def _embedded(sentence: Sentence, start: int) -> Find | None:
    """Read "… did I say my budget was": the phrase before the verb."""
    plain = sentence.plain
    rest = plain[start:]
    if me := re.match(
        rf"(?:i|we)(?:'m|'ve|'d|'re|'ll)? (?:{AUXILIARY} |will |would )?{ADVERB}", rest
    ):
        return asked_about(sentence, start + me.end())
    end = subject_end(plain, start)
    return asked_about(sentence, start, end) if end else asked_about(sentence, start)


def _of_asking(sentence: Sentence, at: int) -> Find | None:
    """Read requests to be told something."""
    plain = sentence.plain
    if match := _REMIND.match(plain, at):
        what = match["what"]
        if re.match(
            r"(?:to|that|at|in|on|tomorrow|tonight|every|later|next|when i|not|this|if|before|"
            r"after|an?|half)\b(?! \w+ (?:did|was|is) )",
            what,
        ):
            return None
        return asked_about(sentence, match.start("what"), whole=bool(re.match(WH, what)))
    if forgot := _FORGOT.match(plain, at):
        end = _ASK_BACK.search(plain, forgot.end())
        rest = plain[forgot.end() :].strip()
        if end and re.match(rf"{WH}\b|(?:my|our|the)\b", rest) and not re.match(r"to ", rest):
            return asked_about(
                sentence, forgot.end() + 1, end.start(), whole=bool(re.match(WH, rest))
            )
        return None
    if match := _DO_YOU.match(plain, at):
        return _remembered(sentence, match)
    return _told(sentence, at)


def _told(sentence: Sentence, at: int) -> Find | None:
    """Read "tell me …", "pull up …"."""
    plain = sentence.plain
    for pattern in (_TELL, _FETCH):
        match = pattern.match(plain, at)
        if match and not ADVICE.search(match["what"]):
            what = match["what"]
            wh = re.match(rf"{WH}\b", what)
            own = (
                is_own(what)
                or (
                    re.match(r"the\b", what)
                    and (
                        plain.rstrip(" ?!.").endswith(" again")
                        or re.search(r"\b(?:trip|flat|cottage|tenants?|landlord|contract)\b", what)
                    )
                )
                or SAID_CLAUSE.search(what)
            )
            if (own or _SURE_FETCH.match(plain, at)) and not re.match(
                r"(?:an?|some|your|about yourself|it|that|this|these|those|to|if|how to)\b", what
            ):
                head = re.split(r"[,;?!]|\s-", SAID_CLAUSE.sub("", what))[0]
                if (
                    not wh
                    and not _SURE_FETCH.match(plain, at)
                    and not re.match(r"(?:my|our) \w+ list\b", head)
                    and not re.search(r"\bname\b", head)
                    and (TEXTUAL.search(head) or TECHNICAL.search(head))
                    and not re.search(r"\b(?:told|gave|template|prompt)\b", what)
                ):
                    continue
                return asked_about(sentence, match.start("what"), whole=bool(wh))
    return None


def _remembered(sentence: Sentence, match: re.Match[str]) -> Find | None:
    """Read "do you remember …": of one's own life only."""
    what = match["what"]
    bare = re.match(r"(?:remember|recall|you know)\b", match[0])
    if re.match(
        r"(?:to|that|how to|if you|your|anything about yourself|when (?:we|i) (?:were|"
        r"was)|the time|me\b$|a\b)",
        what,
    ) or (bare and not sentence.asked):
        return None
    if re.search(r"\b(?:know|have|got|idea)\b", match[0][: match.start("what") - match.start()]):
        if not re.match(rf"{WH}\b|my\b|our\b|any\b|the\b", what) or ADVICE.search(what):
            return None
        if TECHNICAL.search(what):
            return None
    if not is_own(what) and not PRIVATE.search(what):
        return None
    return asked_about(sentence, match.start("what"), whole=bool(re.match(rf"{WH}\b", what)))


def asks(sentence: Sentence) -> bool:
    """Whether a sentence is a question, or a request to be told something.

    >>> from memos_core.interface.rules.sentences import sentences_of
    >>> asks(sentences_of("Where did I park")[0]), asks(sentences_of("I park here.")[0])
    (True, False)
    """
    at = politely(sentence.plain, after_lead(sentence.plain))
    told = _REMIND.match(sentence.plain, at) or _DO_YOU.match(sentence.plain, at)
    return sentence.asked or bool(told) or is_question(sentence, at)
