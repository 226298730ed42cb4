"""Questions: what tells one for memory from one for the world, and what it asks about."""

from __future__ import annotations

import re
from typing import Final

from memos_core.interface.rules.finding import Find, found
from memos_core.interface.rules.lexicon import AUXILIARY, KIN
from memos_core.interface.rules.sentences import Sentence
from memos_core.interface.rules.subjects import without_times

WH: Final = r"(?:what|whats|who|whos|whom|whose|where|wheres|when|whens|which|why|how|if|whether)"
SAY: Final = (
    r"(?:say|said|tell|told|mention|mentioned|write|wrote|talk|talked|discuss|"
    r"discussed|complain|complained|rave|raved|rant|ranted|ask|asked"
    r"|share|shared|bring|brought|note|noted|give|gave|promise|promised|describe|"
    r"described|decide|decided|agree|agreed|settle|settled|conclude|concluded|plan|"
    r"planned)"
)
ADVERB: Final = (
    r"(?:(?:ever|already|just|once|actually|really|originally|first|last|recently|"
    r"again|exactly|before|previously|even|happen to|also|usually|normally|typically|"
    r"generally|always|still|currently|now) )*"
)
ABOUT: Final = r"(?:about|regarding|concerning|on|re|of)"
ADVICE: Final = re.compile(
    r"\b(?:should|could|would|shall|might|may|ought|recommend|suggest|advice|advise|"
    r"ideas?\b(?= for)|best way|how to|how do (?:i|we)(?! (?:usually|normally|like|"
    r"take|always|generally|prefer|know|typically|get on with))|how do you|how can|"
    r"how would|how could|what can|what could|what should|what would|what if|what do "
    r"i do"
    r"|can (?:i|we|my|you)|will (?:i|we)|do (?:i|we) (?:need|have to|really)|am i "
    r"(?:allowed|right|wrong|being|crazy|missing|doing|overreacting|the only|too|"
    r"supposed|correct|making|using|mad|reading|going to|gonna|able|eligible|in "
    r"trouble|overthinking|just|losing)|are we (?:allowed|there|done|right|supposed|"
    r"good|alone)"
    r"|is (?:it|this|that|there) (?:ok|okay|normal|possible|safe|bad|good|worth|legal|"
    r"rude|weird|true|a|any|too|wrong|me|my fault|all right|alright)|why (?:am|is|are|"
    r"do|does|don't|doesn't|isn't|can't|won't|would|should)|what(?:'s| is) (?:wrong|"
    r"the (?:best|difference|point|meaning|problem|matter)|happening|going on|up)|"
    r"what do you (?:think|make|mean|suggest|recommend|reckon)"
    r"|which (?:one )?(?:is|are|should|would)|does (?:this|that|it)|do you (?:think|"
    r"like|want|mind|believe|prefer|ever|feel)|did (?:i|we) (?:do|get|make|spell|"
    r"write|use|miss|read|pass) (?:it|this|that|all|everything|ok|well|right)|how did "
    r"(?:i|we) do|what am i (?:doing|missing|looking|supposed|thinking|going)|what "
    r"are (?:we|my) (?:options|chances|odds|rights)"
    r"|what(?:'s| is| are) my (?:options|chances|odds|rights|next (?:step|move)|"
    r"horoscope)|(?:how(?:'s| is| are)|is|are|was) my (?:grammar|answer|reasoning|"
    r"approach|solution|logic|maths?|understanding|assumption|sentence|wording|"
    r"english|writing|pronunciation)|where do i (?:click|sign|find|go|put|start|begin|"
    r"get|buy|press|look)|what do i (?:say|write|click|do|put|press|need|get)|need "
    r"to)\b"
)
_STOP: Final = re.compile(
    r"(?:[,;]|\s-|\u2014)\s*(?:i'm|i am|i've|i|or|and|please|pls|thanks|because|it's|"
    r"can you|could you|do you|is it|was it|again|by the way|btw|for|the one|if|so|"
    r"you know|before|in case|asking|exactly|roughly|remember|this|that|my|we|she|he|"
    r"they|need)\b.*$| or (?:was|is|am|did|do|were|have|has|not|something|maybe|is it|"
    r"what)\b.*$"
    r"|\s(?:again|now|exactly|please|pls|thanks|at the moment|these days|nowadays|"
    r"currently|right now|then|anyway|called|before|so far|in total|altogether|by any "
    r"chance|once more|off the top of your head|at the end|for me|already|in the end|"
    r"once|yet|earlier)$|[\s?!.,;:\u2026]+$"
)
SAID_CLAUSE: Final = re.compile(
    rf"(?:,)? (?:(?:that|which) )?(?:i|we)(?:'ve|'d| have| had)? {ADVERB}(?:mentioned|"
    rf"told you(?: about)?|gave you|raved about|said|was (?:talking|telling you|going "
    rf"on|raving|on) about|shared(?: with you)?|talked about|told|sent you|brought up|"
    rf"asked you to (?:remember|keep|save|note|store)|wrote down|noted|described|"
    rf"recommended|spoke about|discussed|complained about|was on about|loved|liked|"
    rf"enjoyed|stayed (?:at|in)|went to|visited|tried|bought|saw|read|met)\b(?: .*)?$|"
    rf"(?: that)? you (?:suggested|recommended|have on file|have stored|saved|noted|"
    rf"kept)(?: .*)?$"
)
PRIVATE: Final = re.compile(
    rf"\b(?:{KIN}|password|passcode|passphrase|pin|wi-?fi|locker|alarm code|door code|"
    rf"gate code|entry code|safe|spare key|combination|dog|cat|puppy|kitten|house|flat|"
    rf"garden|office|team|meeting|wedding|party|trip|holiday|nursery|kitchen|bedroom|"
    rf"bathroom|plumber|electrician|dentist|doctor|gp|vet|babysitter|cleaner|builder|"
    rf"accountant|landlord|tenant|school|budget|deadline)s?\b"
)
_NOTHING: Final = re.compile(
    r"(?:it|that|this|you|them|him|her|i|one|so|there|again|anything|something|everything|not|to)"
)
_POLITE: Final = re.compile(
    r"(?:(?:can|could|would|will) (?:you|u)|please|pls|find out|see if you can find|"
    r"hey|help|just|i(?:'d| would) like (?:you )?to|i want (?:you )?to|i need (?:you "
    r")?to|i'd like|may i|can i|could i|so|also|quick(?:ly)?|help me(?: to)?|mind if|"
    r"would you mind|i wonder|i was wondering|wondering)(?:\s+(?:please|also|just|"
    r"quickly|maybe|kindly))*[\s,]+"
)


def politely(plain: str, at: int) -> int:
    """Skip the words that make a question polite."""
    while match := _POLITE.match(plain, at):
        at = match.end()
    return at


def is_question(sentence: Sentence, at: int) -> bool:
    """Whether a question begins there."""
    plain = sentence.plain
    if re.compile(
        rf"(?:{WH}(?:'s|'re|'ve|'d)?|in (?:what|which)|on (?:what|which)|at (?:what|"
        rf"which)|for (?:what|which|whom))\b(?! (?:i|we)\b(?! (?:told|said)))"
    ).match(plain, at):
        return not plain.startswith(("if ", "whether "), at) and not re.compile(
            r"when (?:i|we|my|the|he|she)\b(?!.*\?)"
        ).match(plain, at)
    first = re.compile(rf"(?:{AUXILIARY})\b").match(plain, at)
    return bool(first) and (
        sentence.asked
        or bool(
            re.compile(
                r"(?:did|have|had|am|was|do|were|are) (?:i|we)\b|(?:is|was|does|did|are) (?:my|"
                r"our)\b"
            ).match(plain, at)
        )
    )


def asked_about(
    sentence: Sentence, start: int, end: int | None = None, *, whole: bool = False
) -> Find | None:
    """Cut a phrase down to what is asked about: no times, no "again", no "I told you about"."""
    plain = sentence.plain
    stop = len(plain) if end is None else end
    while True:
        before = stop
        if cut := _STOP.search(plain[:stop], start + 1):
            stop = cut.start()
        if (said := SAID_CLAUSE.search(plain[:stop], start + 2)) and not whole:
            stop = said.start()
        if not whole:
            start, stop = without_times(plain, start, stop)
        if stop == before:
            break
    if whole:
        start, stop = without_times(plain, start, stop)
    made = found("recall", sentence, start, stop)
    if made is None:
        return None
    said_words = plain[made.start - sentence.start : made.end - sentence.start]
    return None if _NOTHING.fullmatch(said_words) else made
