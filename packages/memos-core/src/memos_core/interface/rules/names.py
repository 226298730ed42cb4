"""Names and triples: who and what a statement is about."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pydantic import ValidationError

from memos_core.interface.operations import Triple
from memos_core.interface.rules.lexicon import MONTH, WEEKDAY

MAX_NAMES: Final = 20
_CAPITAL: Final = r"[A-Z\u00c0-\u00de][\w'\u2019\u00c0-\u024f-]*"
_NAME: Final = re.compile(
    rf"{_CAPITAL}(?:(?: (?:of|de|da|van|von|der|la|le|al|bin|the) | "
    rf")(?={_CAPITAL}){_CAPITAL})*"
)
_NO_NAME: Final = re.compile(
    rf"(?:i|i'?m|i'?ve|i'?d|i'?ll|the|a|an|my|our|we|we'?re|we'?ve|he|she|it|it'?s|its|"
    rf"they|this|that|there|these|those|you|your|his|her|their|in|on|at|by|for|from|to|"
    rf"as|and|but|or|so|if|when|while|since|because|actually|please|no|not|yes|ok|okay|"
    rf"{WEEKDAY}s?|{MONTH}|today|tomorrow|yesterday|next|last"
    r"|remember|forget|note|what|who|where|why|how|which|mum|dad|mom|both|all|every|"
    r"some|one|two|three|always|never|use|call|make|let)"
)
_IS: Final = r"is|are|was|were|will be|isn't|aren't|wasn't"
_VERB: Final = (
    r"belongs to|lives (?:in|at|with)|works (?:at|as|for|in|on)|moved (?:to|from)|"
    r"comes from|is (?:called|named|allergic to|married to|from|on|in|at|with|about|"
    r"afraid of|due)|are (?:called|named|allergic to|from|with|on|in|at)|was born "
    r"(?:in|on)|reports to|runs out (?:in|on)|starts? (?:at|in|on|school)"
    r"|live (?:in|at|with)|work (?:at|as|for|in|nights at|on)|am (?:allergic to|from|"
    r"married to|called|afraid of|on|in)|grew up in|grew up|'m (?:allergic to|from|on|"
    r"in)|can't stand|can't eat|don't (?:eat|drink|like|do)|prefers?|likes?|loves?|"
    r"hates?|drinks?|eats?|plays?|speaks?|owns?|drives?|teaches|studies|study"
    r"|runs?|manages?|leads?|needs?|uses?|wears?|takes?|has got|has|have got|have|'ve "
    r"got|broke|bought|sold|left|joined|married|met|adopted|signed|won|lost|passed|"
    r"quit|visited"
)
_TRIPLE: Final = re.compile(
    rf"(?P<s>(?:(?:the|my|our|his|her|their|your|a|an) )?[\w'\u2019&.-]+(?: "
    rf"[\w'\u2019&.-]+){{0,5}}?)(?: ?(?P<v>{_VERB})|(?: (?P<i>{_IS})|(?P<c>'s|'m|"
    rf"'re)))\s+(?P<o>.+)",
    re.I,
)


def names_of(text: str) -> tuple[str, ...]:
    """Find names: words that are written large and do not merely begin a sentence.

    >>> names_of("Ondine teaches Anna Lund in Rye")
    ('Ondine', 'Anna Lund', 'Rye')
    """
    return tuple(dict.fromkeys(_names(text)))[:MAX_NAMES]


def _names(text: str) -> Iterator[str]:
    for match in _NAME.finditer(text):
        words = match[0].split()
        while words and _NO_NAME.fullmatch(words[0].lower().replace("\u2019", "'")):
            words.pop(0)
        name = re.sub(r"['\u2019]s$", "", " ".join(words)).strip("'\u2019-")
        if len(name) > 1 and not _NO_NAME.fullmatch(name.lower()):
            yield name


def triple_of(statement: str) -> Triple | None:
    """Read a plain statement as subject, relation and object; of another form, nothing.

    >>> triple_of("My manager is Ines Roth").object
    'Ines Roth'
    """
    if len(statement) > 300:
        return None
    match = _TRIPLE.fullmatch(statement.strip().rstrip(".!"))
    if match is None:
        return None
    relation = match["v"] or match["i"] or match["c"]
    relation = {"'s": "is", "'m": "am", "'re": "are", "'ve got": "have"}.get(
        relation.lower(), relation
    )
    relation = relation.replace("'m ", "am ")
    try:
        return Triple(
            subject=match["s"].strip(), relation=relation.strip(), object=match["o"].strip()
        )
    except ValidationError:
        return None
