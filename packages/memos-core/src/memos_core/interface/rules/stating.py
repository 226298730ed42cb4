"""What is said in passing and lasts: "I work nights", "mum broke her hip", "I can't stand olives".

A passing state ("I'm tired"), an opinion, a request and a thing that is worked on are no memories;
nor is what stands in a story, a quotation or a supposition.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from memos_core.interface.rules.finding import Find, after_lead, found
from memos_core.interface.rules.lexicon import (
    DEEDS,
    HABITS,
    KIN,
    MONTH,
    TECHNICAL,
    WEEKDAY,
    either,
)
from memos_core.interface.rules.passing import (
    FAILING,
    HELD_BRIEFLY,
    LASTING,
    NOT_HABIT,
    PASSING,
)
from memos_core.interface.rules.sentences import Sentence

IN_PASSING: Final = "said in passing"
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
_ADVERBS: Final = (
    r"(?:(?:really|also|still|just|absolutely|actually|currently|now|personally|"
    r"secretly|genuinely|quite|both|mostly|usually|generally|recently|finally|only|"
    r"even|already|kind of|sort of|totally|simply|honestly|never|always|officially|do|"
    r"don't really|happen to|basically|truly|strongly|deeply|much|definitely|rather|"
    r"either|all) )*"
)
_THINGS: Final = (
    r"(?:question|point|code|script|app|computer|laptop|internet|connection|screen|"
    r"query|essay|draft|problem|issue|guess|understanding|assumption|attempt|solution|"
    r"answer|apologies|head|brain|mind|eyes|stomach|back|feet|train|bus|battery|phone|"
    r"wifi|page|browser|program|function|output|test|mistake|bad|goal here|goal is|"
    r"idea is|plan is to ask|food|pizza|coffee|professor says|text|sentence|paragraph|"
    r"character|story|novel|thesis statement|cover letter|pleasure|thoughts|opinion|"
    r"turn|day|morning|evening|week|weekend|god|goodness|word|dear)\b"
)
_SELF: Final = re.compile(
    rf"(?:i|we)(?: both| all| two| three)?(?:"
    rf"(?P<am>'m| am|m|'re| are) (?P<state>.+)"
    rf"|(?P<have>'ve(?: got)?| have(?: got)?| got|ve(?: got)?)(?: also| still| always| "
    rf"just| recently| now)* (?P<had>.+)"
    rf"|(?: was| were) (?P<was>born|raised|diagnosed|brought up|adopted|promoted|made "
    rf"redundant|married|fired|laid off|vegetarian|vegan|a \w+ (?:for|until|before)|"
    rf"hospitalised|hospitalized|in \w+ (?:for|last|in|until|when|at)|at \w+ (?:last|"
    rf"yesterday|in|when|for)|there (?:last|in)).*"
    rf"| find (?P<find>.+ (?:\w+ing|un\w+|im\w+|in\w+|hard|difficult|easy|boring|"
    rf"useful|\w+able|\w+ible|\w+ful|\w+ous|too \w+|\w+less|annoying|relaxing|creepy|"
    rf"disgusting|gross|stressful|funny|dull|noisy|loud|easier|better|harder|best))\b.*"
    rf"| {_ADVERBS}(?P<habit>{HABITS})\b.*"
    rf"|(?:'d| had| have|'ve)? ?{_ADVERBS}(?P<deed>{DEEDS})\b.*"
    rf"|(?:'d| would) (?:always |much |rather |far )+(?P<wish>(?!you|not|like|know|see).+)"
    rf"|(?: am going|'m going| are going|'re going| will|'ll|'m| are|'re) (?:to |be "
    rf")?(?P<plan>(?:get|be|move|start|marry|retire|have|visit|fly|turn|leave|travel|"
    rf"graduate|moving|starting|leaving|away|out of)\b.*)"
    rf")"
)
_MINE: Final = re.compile(
    rf"(?:my|our|both my|all my|all our|one of my|two of my|some of my|half of our|"
    rf"most of my) (?!{_THINGS})(?P<what>[\w'\u2019-]+(?: [\w'-]+){{0,6}}?)(?P<verb>'s|"
    rf" is| are| was| were| has| have| had| isn't| aren't| wasn't| can't| won't| will| "
    rf"doesn't| don't| didn't| used to| {DEEDS}| (?:[a-z]{{2,}}s|prefer|like|love|hate|"
    rf"live|work|run|come|go|speak|need|want|have|take|eat|start|end|finish|meet|"
    rf"arrive|leave|get|call)\b)(?P<rest>.+)"
)
_KIN_DOES: Final = re.compile(
    rf"(?:the |my |our |both )*(?:\w+ )?(?:(?:{KIN}|dog|cat|puppy|kitten|twin|baby|kid|"
    rf"vet|nanny|cleaner|neighbours?|neighbors?|in-laws)s?)\b(?:(?: "
    rf"[\w'-]+){{0,3}}?)(?:'s|'re| is| are| was| were| has| have| had| isn't| aren't| "
    rf"can't| won't| will| doesn't| don't| didn't| {DEEDS}| [a-z]{{2,}}s| (?:start|"
    rf"live|work|go|like|love|hate|prefer|eat|speak|come|arrive|finish|leave|have|take|"
    rf"play|need|want|call|get|share|sleep))\b.+"
)
_NAMED: Final = re.compile(
    r"(?P<name>[A-Z][\w\u00c0-\u024f'-]+(?: [A-Z][\w\u00c0-\u024f'-]+)?) (?:is|was|"
    r"and I|and we|lives|works|likes|loves|hates|prefers|plays|drinks|eats|speaks|"
    r"moved|started|got|has|wants|needs|teaches|studies|runs|owns|married|goes|sits|"
    r"reports|manages|leads|handles|drives|sings|can't|doesn't|turns|turned|broke|"
    r"passed|left|joined|died|graduated|retired|had|takes|sleeps|belongs)\b"
)
_NAMED_OWN: Final = re.compile(r"\b(?:my|our|me|us)\b")
_THE: Final = re.compile(
    r"(?:the|this|that) [\w' -]+? (?:(?:belongs? to|was (?:left to|given to|bought by|"
    r"named after)|is (?:my|our|mine|ours|for my|in my|called)|promised|owes?|told|"
    r"gave|charges?|sold|bought|pays?|knows|lets|lent|comes to|looks after) .*\b(?:my|"
    r"our|me|us|mine|ours)\b|(?:is|are) (?:mine|ours|my|our)\b).*"
)
_ITS: Final = re.compile(
    rf"(?:it's|it is|today is|today's|tomorrow is|tomorrow's|{WEEKDAY} is|{WEEKDAY}'s|"
    rf"that's|\w+ is) (?:my|our) (?:\w+ ){{0,3}}?(?:birthday|anniversary|first day|"
    rf"last day|wedding|graduation|interview|exam|day off|retirement|\d+\w*)\b.*"
)
_DROPPED: Final = re.compile(
    rf"(?:just |finally |recently |only )?(?P<deed>{DEEDS})\b(?! (?:me|you|it|a table|"
    rf"this|by|in translation|out|off|up|down))(?P<rest>.+)"
)
_FRONT: Final = re.compile(
    rf"(?:(?:in|on|at|since|until|from|by|back in|during|after|before|around) (?:the "
    rf")?(?:[\w' ]{{2,25}}?(?:{MONTH}|{WEEKDAY}|(?:19|20)\d\d|morning|afternoon|"
    rf"evening|summer|spring|autumn|winter|weekend|weekends|christmas|easter|college|"
    rf"university|uni|school|childhood)s?(?: [\w]+)?|(?:{MONTH}|{WEEKDAY}s?|(?:19|"
    rf"20)\d\d|school|work|home|weekends|college|uni|university|christmas|easter|"
    rf"night))"
    rf"|yesterday(?: morning| evening| afternoon)?|today|tomorrow|last (?:\w+)|next "
    rf"(?:\w+)|this (?:\w+)|(?:\w+|a couple of|a few) (?:days|weeks|months|years) ago|"
    rf"as (?:a|an) [\w ]+?|when i was (?:a |an )?[\w ]+?|as of \w+|these days|nowadays|"
    rf"at the moment|for (?:\w+ )?(?:breakfast|lunch|dinner|work|years|my \w+)|every "
    rf"\w+|on \w+days|growing up|ever since [\w ]+?|most (?:days|mornings|evenings|"
    rf"weekends)|at (?:the )?\w+)(?:,)? (?=(?:i|we|my|our|the|mum|dad|i'm|i've|we've|"
    rf"we're)\b)"
)
_GIVEN: Final = re.compile(
    r"(?:given|considering|seeing|since|because|as|now|bearing in mind|knowing|"
    r"assuming you remember)(?: that| how)? (?=(?:i|i'm|i've|we|we're|we've|my|our|"
    r"the|mum|dad)\b)"
)
_SIDE: Final = re.compile(
    r"(?P<cut>(?:,|;| -| \u2014| \u2013|\.\.+|\u2026| and| but| so|, and|, but|, so) "
    r"(?=(?:i|i'm|i've|im|i'd|i'll|it|it's|its|that|that's|this|he|he's|she|she's|we|"
    r"we're|we've|we'd|they|they're|there|you|your|what|how|which|where|when|who|can|"
    r"could|should|would|is|are|do|does|did|any|please|pls|so|still|feels?|felt|best|"
    r"worst|finally|yay|ugh|sigh|lol|haha|omg|thank|thanks|hooray|hurray|of course|"
    r"obviously|unfortunately|sadly|luckily|fortunately|typical|typing|wish|hope|"
    r"hoping|honestly|don't|not that|not sure|no idea|if|because|though|although|"
    r"apparently|sorry|hence|therefore|which|whatever|ok|okay|right|hurts|annoying|"
    r"exciting|weird|crazy|finally|just saying|screenshots|help|give|suggest|"
    r"recommend|make|keep|write|tell|show|let's|need|bit|kind of|a bit|pretty|really|"
    r"so much|what's|and|but|then|my|believe it|surprisingly|clearly|to be|as usual|"
    r"as ever|never|long story|funny|turns|never again|absolutely|totally|been|time|"
    r"looking|feeling|wondering|worth|strange|ow\b|ouch|wow|phew|what a|day \d+|"
    r"always have|always will|in case|hence|if that|just so|wish us|wish me|fingers|"
    r"long|about time|at last|thank|proud|gutted|devastated|hurrah|cheers|woohoo|"
    r"never mind|all (?:good|fine|sorted|clear)|no (?:issues|problems|regrets)|so "
    r"(?:happy|proud|glad|tired|excited)|absolute|total|bless|god|nothing|"
    r"everything)\b))"
    r"|(?P<also> and (?=nobody|no one|everyone|now\b|not\b|apparently)| but (?=not\b|"
    r"only\b|nobody)|,? (?=in case (?:that|it|you|this)\b|if (?:that|it) (?:helps|"
    r"matters)))|(?P<so>,? so (?!that\b|far\b|much\b|many\b|long\b|called\b|on\b|\w+ "
    r"that\b)(?=\w)| because\b| though\b| which (?:is|was|means|makes|sucks|feels)\b|"
    r"[?!.]\s*$)"
)
_KEEP_AND: Final = re.compile(
    r"(?:,|;)? (?:and|but) (?=(?:i|i'm|i've|we|we've|we're|he|she|they|it|my|our)\b)"
)
_EVALUATE: Final = re.compile(
    r", (?:\w+ )?(?:hurts|sucks|rocks|helps|works|stinks|is (?:hard|tough|fun|great|"
    r"awful))\b"
)


_SOON: Final = re.compile(r"(?:now|then|just|finally|recently|only|apparently) (?=\w)")


def framed(sentence: Sentence) -> bool:
    """Whether a sentence only tells a story, quotes, supposes, or names a text to be worked on."""
    at = after_lead(sentence.plain)
    asked = re.compile(
        r"(?:(?:can|could|would|will) you (?:please )?|please |help me (?:to )?|i (?:want|"
        r"need) (?:you )?to |i'd like you to )+"
    ).match(sentence.plain, at)
    at = asked.end() if asked else at
    return bool(_FRAME.match(sentence.plain, at)) and not _GIVEN.match(sentence.plain, at)


def stating(sentence: Sentence) -> Iterator[Find]:
    """Find the lasting statements of a sentence."""
    plain = sentence.plain
    if framed(sentence):
        return
    at = after_lead(plain)
    ends = len(plain)
    for begin in _clauses(plain, at):
        start = after_lead(plain, begin)
        given = _GIVEN.match(plain, start)
        start = given.end() if given and "," in plain[start:] else start
        stop = min(_side(plain, start), ends)
        told = re.match(r".*\bdid you know\b", plain[:start])
        asks = sentence.asked and stop >= len(plain.rstrip()) - 1 and not told
        if asks or TECHNICAL.search(plain[start:stop]) or not _lasting(sentence, start, stop):
            continue
        made = found("remember", sentence, start, stop)
        if made is not None:
            yield replace(made, explicit=False, why=IN_PASSING)


def _clauses(plain: str, at: int) -> Iterator[int]:
    """Where a statement may begin: at the start, and after a conjunction with a new subject."""
    yield at
    for cut in re.compile(
        r"(?:[,;:]|\s-|\u2014|\.\.+|\u2026|\s(?:and|but|so|because|as|since))\s+(?=(?:i|"
        r"i'm|i've|im|ive|we|we're|we've|my|our|mum|dad|(?:two|three|one|some|most|both|"
        r"all|half) of (?:us|my|our))\b)|\?\s+"
    ).finditer(plain, at):
        joined = cut[0].strip() == "and" and len(plain[at : cut.start()].split()) < 3
        if not joined:  # as in "Tom and I"
            yield cut.end()


def _side(plain: str, start: int) -> int:
    """Where a side remark begins that follows a statement."""
    front = _FRONT.match(plain, start)
    begin = front.end() if front else start
    ends = [len(plain)]
    for pattern in (_SIDE, _EVALUATE):
        for cut in pattern.finditer(plain, begin + 3):
            if (
                cut[0].strip() != "and" or len(plain[begin : cut.start()].split()) > 2
            ):  # "Tom and I"
                ends.append(cut.start())
                break
    return min(ends)


def _lasting(sentence: Sentence, start: int, stop: int) -> bool:
    """Whether a clause says something that lasts."""
    begin = _SOON.match(sentence.plain, start)
    start = begin.end() if begin else start
    said = sentence.plain[start:stop].strip()
    if front := _FRONT.match(sentence.plain, start):
        said = sentence.plain[front.end() : stop].strip()
        if re.match(rf"(?:i|we) {DEEDS}\b", said):
            return True
        if re.match(r"the\b", said) and re.search(rf"\b{DEEDS}\b|\b\w+ed\b", said):
            return True
    if (match := _SELF.match(said)) and match.end():
        return _of_self(match, said)
    if re.match(r"(?:i|we)\b", said):
        return (
            not _MIND.match(said)
            and len(said.split()) > 2
            and not re.search(r"\b(?:you|your|this|it)\b", said)
        )
    if match := _MINE.match(said):
        passing = FAILING.match(match["rest"].strip())
        return not passing and not re.search(
            r"\b(?:error|bug|isn't working|not working|broken|won't (?:load|start|open|"
            r"compile))\b",
            said,
        )
    if match := _DROPPED.match(said):
        return bool(_WHEN_DONE.search(said))
    return _of_world(sentence.text[start:stop].strip(), said)


def _of_world(text: str, said: str) -> bool:
    """Whether a clause says something lasting of others in the speaker's world."""
    if _WEEKLY.fullmatch(said):
        return True
    if _KIN_DOES.fullmatch(said) or _THE.fullmatch(said) or _ITS.fullmatch(said):
        return not re.search(r"^(?:the )?\w+ (?:says|said|thinks)\b", said)
    if named := _NAMED.match(text):
        lone = re.fullmatch(r"[A-Z][a-z\u00e0-\u024f]+", named["name"]) and not re.search(
            r" (?:is|was|has|left|died|started|had|got)$", named[0]
        )
        if (lone or _NAMED_OWN.search(said)) and not re.search(r"\byou\b", said):
            return True
    return _of_others(said)


_WHEN_DONE: Final = re.compile(
    rf"\b(?:my|our|me|today|yesterday|tonight|last|ago|this (?:morning|week|month|year|weekend)"
    rf"|at the weekend|on {WEEKDAY}|in {MONTH}|in (?:19|20)\d\d|back from|\d+ ?k)\b"
)
_WEEKLY: Final = re.compile(
    rf"[\w' ]{{3,40}}? (?:is|are) (?:always )?(?:on|every|at) (?:the )?(?:{WEEKDAY}s|weekends).*"
)
_MIND: Final = re.compile(
    r"(?:i|we)(?:'ll|'d)\b|(?:i|we) (?:\w+ly |just |also |really |still |do |actually "
    r"|never |even |only |always |kind of |don't |didn't |can't |couldn't |won't |"
    r"haven't )*(?:"
    + either(
        "think thought guess guessed know knew wonder wondered hope hoped mean meant "
        "understand understood agree agreed disagree see saw need needed want wanted "
        "forgot forget forgotten ask asked try tried "
        "wish wished believe believed suppose supposed will would could can should might "
        "must may tell told said say gave get did do didn't don't doubt feel felt hear "
        "heard look looked find found notice "
        "noticed wrote used pasted sent attached uploaded checked click clicked copied "
        "realise realised realize realized figured suggest suggested expect expected "
        "care mind bet promise swear appreciate "
        "remember recall thank apologise apologize have haven't had hadn't am was were "
        "am ran run called opened installed typed entered followed deleted removed "
        "changed fixed added put keep kept let make made take took "
        "go went come came seem seemed hesitate vote_for assume assumed demand insist "
        "repeat stand_corrected love_it like_it like love hate prefer wait waited give"
    )
    + r")\b|(?:i|we)(?:'m|'re| am| are|'ve| have| had| was| were|m|ve)\b"
)
_OTHERS: Final = re.compile(
    rf"(?:(?:the|this|both|one of|some of|most of|all of|half of|a|an|his|her|their|"
    rf"no) )?[\w'-]+(?: [\w'&-]+){{0,6}}? ?(?:is|are|was|were|has|have|had|isn't|"
    rf"aren't|wasn't|can't|won't|will|doesn't|don't|didn't|'s|'re|used to|{DEEDS}|"
    rf"[a-z]{{3,}}(?:ed|es|s)|{HABITS}|taught|gave|told|left|sold|bought|made|lent|"
    rf"sent|got|took|came|went|knows)\b.+"
)
_PRIVATE: Final = re.compile(
    r"^(?:the|our|my) (?:[\w' -]{0,30} )?(?:password|passcode|passphrase|pin|wi-?fi|"
    r"code|combination|alarm|gate|safe|key|keys|meeting|appointment|party|wedding|"
    r"rent|lease|deadline|budget|car|flat|house|cat|dog|baby|boiler|bins|plumber|"
    r"electrician|cleaner|nanny|babysitter|landlord|landlady|tenant|neighbou?rs?|kids|"
    r"twins|flight|hotel|interview|surgery|operation|scan|exam|demo|review|launch|"
    r"garden|kitchen|office|team|cabin|cottage|boat|allotment)s?\b"
)


def _of_others(said: str) -> bool:
    """Whether a statement is about somebody or something of the speaker's."""
    if re.match(
        r"(?:no|not) (?:\w+ )+for (?:me|us)\b|it's [a-z]+ (?:who|that) .*\b(?:my|our|me|us)\b", said
    ):
        return True
    if re.match(
        r"(?:i|we|you|it|this|that|there|what|who|how|here|please|give|get|fetch|show|"
        r"find|make|help|send|take|put|list|look|dig|pull|bring|read|recommend|suggest|"
        r"add|keep|write|tell|can|could|would|should|will|did|does|is|are|am|was|were|"
        r"have|has|go|try|use|any|should|remind|assume|suppose|improve|check|explain|"
        r"describe|search|call|ask|quiz|refresh|which|where|when|why|thanks|no|not|if|"
        r"when|yes|let|don't|do|just|\w+ (?:said|says|told|thinks))\b",
        said,
    ):
        return False
    subject = said[:60]
    own = re.search(
        rf"\b(?:my|our|me|us|ours|mine)\b|\b(?:when|where|how|why|what|which|who) (?:i|"
        rf"we)\b|^(?:the |both )?(?:\w+ )?{KIN}\b|^(?!it|that|what|here|there|"
        rf"let)[a-z]{{2,}}'s [a-z]+(?: [a-z]+)? (?:is|was|has|are)\b",
        said,
    )
    return bool((own or _PRIVATE.match(subject)) and _OTHERS.fullmatch(said)) and not re.search(
        rf"\b(?:you|your|error|wrong|broken)\b|^(?:my |our |the )?{_THINGS}", said
    )


def _of_self(match: re.Match[str], said: str) -> bool:
    """Whether what somebody says of themselves lasts."""
    if match["state"] is not None:
        state = match["state"]
        if LASTING.match(
            re.sub(r"^(?:currently|still|now|also|just|actually|already|only) ", "", state)
        ):
            return True
        if match["plan"] is not None:
            return True
        return (
            not PASSING.match(state)
            and not re.match(r"(?:\w+ly )?\w+ing\b", state)
            and not re.search(r"\byou\b", state)
        )
    if match["had"] is not None:
        return _has(match["have"].strip(), match["had"])
    if match["habit"] is not None:
        return not re.search(
            rf"^(?:i|we) {_ADVERBS}(?:{NOT_HABIT.pattern})", said
        ) and not re.search(r"\b(?:you|your)\b", said)
    return match["deed"] is None or _did(match["deed"], said)


def _has(have: str, had: str) -> bool:
    """Whether what somebody has, or has done, lasts."""
    if re.match(
        r"been (?:together|friends|a|an|vegan|vegetarian|married|living|working|with|"
        r"sober|diagnosed|single|learning|playing)\b",
        had,
    ):
        return True
    deed = re.match(
        rf"(?:just |recently |already |finally )?(?:{DEEDS}|given up|taken up|become|"
        rf"decided to (?:quit|leave|move|stop))\b",
        had,
    )
    if have == "got" and not re.match(
        r"(?:a|an|my|two|three|married|engaged|divorced|promoted|into|the job)\b", had
    ):
        return False
    return bool(deed) or not HELD_BRIEFLY.match(had)


def _did(deed: str, said: str) -> bool:
    """Whether what somebody did is worth keeping."""
    vague = re.match(
        r"(?:got_a|got|had|took a|saw|opened|closed|finished|passed|left|lost|started|"
        r"tested|ran|went|met|paid|ordered|made|hurt|signed|failed|completed|defended|"
        r"applied|spent|baked|cooked|came back)\b",
        deed,
    )
    return not re.search(r"\b(?:you|your|file|attach|this|function|wrong|error)\b", said) and (
        not vague
        or bool(
            re.search(
                r"\b(?:my|our|last|yesterday|today|ago|in (?:19|20)\d\d|this (?:week|month|year|"
                r"morning|weekend)|tonight|when i was|a baby|surgery|married)\b|\b\d",
                said,
            )
        )
    )
