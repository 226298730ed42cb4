"""Kinds: whether words are about a fact, a preference, an event, an entity or a prompt template."""

from __future__ import annotations

import re
from typing import Final

from memos_core.interface.operations import MemoryType
from memos_core.interface.rules.lexicon import DEEDS, KIN, MONTH, WEEKDAY

PLACEHOLDER: Final = re.compile(
    r"\{\{?\s*[A-Za-z_][\w .-]{0,40}\s*\}?\}|<[A-Za-z_]\w{1,30}>|\[\[\w+\]\]"
)
_TEMPLATE: Final = re.compile(
    r"\b(?:prompt|template|boilerplate|wording|canned (?:reply|response)|snippet|"
    r"system message)s?\b|^when(?:ever)? i (?:type|say|write)\b"
    r"|^\W*(?:summari[sz]e|rewrite|translate|list|explain|act as|you are an?) "
    r".*\b(?:below|following|text|bullets?|above)\b"
)
_PREFERENCE: Final = re.compile(
    r"\b(?:like|likes|love|loves|hate|hates|prefer|prefers|preferred|preference|enjoy|"
    r"adore|detest|loathe|dislike|favou?rite|favou?rites|can'?t stand|can'?t bear|"
    r"cannot stand|rather|fan of|fond of|into\b(?= \w+$)|usually|always|never|only "
    r"ever|find .* (?:un|too|\w+ing|\w+able)|sick of"
    r"|don'?t (?:do|like|want|enjoy|eat|drink|care for)|want to be|call me|keen on|"
    r"allergic to small|eat fish|take (?:one|two|three|no|my)\b(?=[\w ]*$)|"
    r"(?:vegetarian|vegan|pescatarian)|please (?:use|write|answer|reply)|in (?:metric|"
    r"celsius)|taste|how i (?:like|take)|order at|go-to|with (?:milk|sugar|oat)|no "
    r"(?:sugar|milk)|from now on|answer in|reply in|aisle seat|window seat|work best|"
    r"mornings over)\b"
)
_ENTITY: Final = re.compile(
    rf"\b(?:called|named|name|names|surname|maiden|spelled|spelt|nickname|who|whose|"
    rf"belongs to|known as|is (?:my|our) (?:\w+ )?(?:{KIN}|friend|teacher|manager|"
    rf"doctor|dentist|plumber|colleague|neighbou?r|accountant|lawyer|therapist|vet|"
    rf"mentor|coach|supervisor|assistant|tutor|gp|trainer|electrician|\w+er|\w+or|"
    rf"\w+ist)|code ?names?)\b"
    rf"|\b(?:my|our) (?:\w+ ){{0,3}}?(?:{KIN}|boss|manager|dentist|doctor|vet|plumber|"
    rf"teacher|therapist|cto|ceo|accountant|lawyer|dog|cat|gp|friend|mentor|coach)(?: "
    rf"is| was|'s) (?:[a-z]+)(?:$|,| [a-z]+$)|^(?:my |our |the )?{KIN}$|\b(?:the "
    rf")?(?:company|place|person|guy|woman|restaurant|shop|band)\b(?=.*\b(?:is|was|"
    rf"called)\b)"
)
_WHO: Final = re.compile(r"\b(?:who|whose|name of)\b")
_HAPPENS: Final = re.compile(
    r"\b(?:appointment|meeting|wedding|operation|surgery|recital|concert|flight|trip|"
    r"party|birthday|anniversary|interview|exam|deadline|demo|viewing|funeral|"
    r"graduation|conference|launch|holiday|vacation|visit|match|game|race|marathon|"
    r"divorce|miscarriage|accident|break-?up|breakup|move|moving|due|recruiter|"
    r"rehearsal|reunion|festival|checkup|check-up"
    r"|dentist (?:on|at)|starts?|ends?|begins?|runs out|expires?|renewal|arrives?|"
    r"arriving|leaves?|leaving|getting married|comes|plumber|happened|complaining|"
    r"complain|said|went|go\b.*\b(?:last|wrong)|conversation|argument|fight|episode|"
    r"incident|when)\b"
)
_DONE: Final = re.compile(rf"\b(?:{DEEDS})\b|\bwhen (?:did|is|was|does)\b|\bwhat happened\b")
_RECURRING: Final = re.compile(
    rf"\b(?:every|each|usually|always|never|on {WEEKDAY}s|{WEEKDAY}s|nights)\b"
)
_LASTING: Final = re.compile(
    r"\b(?:live|lives|work|works|used to|maiden|born|grew up|stopped|network|called)\b"
)
_DATED: Final = re.compile(
    rf"\b(?:{MONTH}|{WEEKDAY}|yesterday|today|tomorrow|tonight|last night|next \w+|"
    rf"last (?:week|month|year|summer|night)|ago|\d(?:st|nd|rd|th)|(?:in|since) (?:19|"
    rf"20)\d\d)\b"
)


def kind_of(target: str, sentence: str, *, asked: bool = False, timed: bool = False) -> MemoryType:
    """Tell what kind of memory words are about.

    Args:
        target: The words, in small letters.
        sentence: The sentence that they stand in, in small letters.
        asked: Whether they are a question's.
        timed: Whether the sentence names a time.

    Example:
        >>> kind_of("i prefer tea", "i prefer tea"), kind_of("we met in may", "we met in may")
        ('preference', 'event')
    """
    if PLACEHOLDER.search(target) or _TEMPLATE.search(target):
        return "prompt_template"
    if _PREFERENCE.search(target) or (asked and _PREFERENCE.search(sentence)):
        return "preference"
    if _ENTITY.search(target) or (asked and _WHO.search(sentence)):
        return "entity"
    if _RECURRING.search(target):
        return "fact"
    happens = timed or _HAPPENS.search(target) or _DONE.search(target) or _DATED.search(target)
    dated = happens and not _LASTING.search(target)
    return "event" if dated or (asked and re.search(r"\bwhen\b", sentence)) else "fact"
