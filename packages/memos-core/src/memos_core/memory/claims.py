"""Claims: what a text asserts, found by rules and without a model.

A claim says of a *subject* (the speaker, a name, a thing) that an *attribute* (the stems of what is
talked about) has a *value* (an amount, a date, a name, or the phrase that was used). It is read
clause by clause: who does it, which group of nouns a value belongs to, whether it is denied,
wished, changed or added. Code and quoted words are nobody's claim and are left out.

It is shallow on purpose: a parse costs a model, and what is read here only proposes which memories
to compare. Whether two claims conflict is decided by `operation.policies.conflict`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from memos_core.infrastructure.index.analysis import STOP_WORDS
from memos_core.memory.clauses import COPULA, JOINS, Word, clauses_of, masked
from memos_core.memory.lexicon import Lexicon, lexicon, stemmer
from memos_core.memory.values import Value, values_of

ME: Final = "me"
_MOST: Final = 64
"""Claims of one text at most: a long document is compared by its beginning and its amounts."""

_FIRST: Final = frozenset(
    """
    i we i'm i've i'd i'll we're we've we'll we'd me us
    """.split()  # noqa: SIM905
)
_MINE: Final = frozenset({"my", "our", "mine", "ours"})
_THIRD: Final = frozenset(
    """
    he she they his her their he's she's they're they've him them
    """.split()  # noqa: SIM905
)
_YOU: Final = frozenset({"you", "your", "you're", "you've"})
_FORMER: Final = frozenset({"from", "instead", "than", "longer", "not", "used", "replaced", "off"})
_DOUBTS: Final = frozenset(
    """
    sure know understand certain idea clear think mind wait only just see remember recall problem
    """.split()  # noqa: SIM905
)
_BACK: Final = frozenset({"it", "this", "that", "them", "those", "which"})
_DETERMINERS: Final = frozenset(
    """
    a an the my our his her their this that
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that a text asserts.

    Args:
        subject: Who or what it is about: `me` or the speaker, `you`, `they`, a name or a thing as
            stems; empty where the text does not say.
        attribute: The stems of what is talked about; `@home` and the like stand for all words of
            one attribute.
        head: The group of nouns that the value belongs to, as stems, the noun last.
        value: The value. A phrase has its stems, in order, as `norm`.
        polarity: False where it is denied.
        cues: How it is said: `change`, `adds`, `ends`, `plan`, `never`, `asked`, `copula`, `delta`
            (by how much, not how much).
        names: The names in its clause.
        former: Stems of what the clause says is no longer so (`from Leeds`, `instead of tea`).
        span: Where its clause stands in the text.
        marks: Which thing of its sort is meant: a noun and what narrows it, both as stems (`budget`
            and `api` of `the API budget` and of `the budget for the API`).
    """

    subject: str
    attribute: frozenset[str]
    head: tuple[str, ...]
    value: Value
    polarity: bool
    cues: frozenset[str]
    names: frozenset[str]
    former: frozenset[str]
    span: tuple[int, int]
    marks: frozenset[tuple[str, str]] = frozenset()


def claims_of(text: str, *, speaker: str | None = None) -> tuple[Claim, ...]:
    """Read what a text asserts.

    Args:
        text: What somebody wrote. It takes time in proportion to its length.
        speaker: Who wrote it: the subject of what is said in the first person. None leaves `me`.

    Returns:
        The claims in the order of the text, at most 64. A clause gives one claim for each of its
        values, and one for itself with its words as the value.

    Example:
        >>> for claim in claims_of("Finance raised the API budget to $5,500."):
        ...     print(claim.head, claim.value.kind, claim.value.norm, "change" in claim.cues)
        ('api', 'budget') money 5500 True
        ('financ',) phrase api budget True
        >>> [claim.polarity for claim in claims_of("I have never used Flask.")]
        [False]
    """
    plain = masked(text)
    words = lexicon()
    found: list[Claim] = []
    values = values_of(plain)
    starts = [each.start for each in values]
    before: tuple[str, ...] = ()
    for clause, asked in clauses_of(plain, stemmer()):
        lo = bisect_left(starts, clause[0].start)
        hi = bisect_left(starts, clause[-1].end)
        read = _Clause(words, clause, values[lo:hi], asked)
        found += read.claims(speaker or ME, before)
        before = read.things or before
        if len(found) >= _MOST:
            break
    return tuple(found[:_MOST])


def stems_of(text: str) -> frozenset[str]:
    """List the stems of a text, and the attributes that it names: what a question asks for.

    Example:
        >>> sorted(stems_of("What is the deadline of our sprint?"))
        ['@deadline', 'sprint']
    """
    words = lexicon()
    return frozenset(
        stem
        for clause, asked in clauses_of(text, stemmer())
        for stem in _Clause(words, clause, (), asked).things
    )


class _Clause:
    """One clause at work."""

    def __init__(
        self, words: Lexicon, clause: Sequence[Word], values: Sequence[Value], asked: bool
    ) -> None:
        self._lexicon = words
        self._words = clause
        self._values = values
        self._taken = self._places(values)
        self._cues: set[str] = {"asked"} if asked else set()
        self._plain = self._read()

    def _places(self, values: Sequence[Value]) -> list[Value | None]:
        """Say of each word which value it is part of."""
        taken: list[Value | None] = []
        place = 0
        for word in self._words:
            while place < len(values) and values[place].end <= word.start:
                place += 1
            inside = place < len(values) and values[place].start <= word.end - 1
            taken.append(values[place] if inside and word.start < values[place].end else None)
        return taken

    def _read(self) -> list[str]:
        """Note the cues, and turn each word into what it counts as: a stem, `@home`, or nothing."""
        lex, plain, skip = self._lexicon, [""] * len(self._words), False
        for place, word in enumerate(self._words):
            low = word.low
            after = self._words[place + 1].low if place + 1 < len(self._words) else ""
            two = f"{low} {after}"
            cues = lex.cues.get(low, _NONE) | lex.cues.get(two, _NONE)
            # "Not sure whether it works" denies nothing but knowing.
            self._cues |= {"plan"} if "not" in cues and after in _DOUBTS else cues
            if two in lex.excludes or low in lex.excludes:
                self._cues.add("excludes:" + (two if two in lex.excludes else low))
            if low in COPULA:
                self._cues.add("copula")
            if low.endswith("ed") and len(low) > 4:
                self._cues.add("event")
            if self._taken[place] is not None or skip:
                skip = False
                continue
            if two in lex.attributes:
                plain[place] = lex.attributes[two]
                skip = self._taken[min(place + 1, len(plain) - 1)] is None
            elif low in lex.attributes:
                plain[place] = lex.attributes[low]
            elif self._content(low):
                plain[place] = lex.same.get(word.stem, word.stem)
        return plain

    def _content(self, low: str) -> bool:
        lex = self._lexicon
        known = low in STOP_WORDS or low in JOINS or low in lex.empty or "'" in low
        cues = lex.cues.get(low, _NONE) - {"event", "first"}
        return not known and not cues and len(low) > 1

    @property
    def things(self) -> tuple[str, ...]:
        """What is talked about, for a next clause that only points back to it."""
        return tuple(each for each in self._plain if each)

    def claims(self, me: str, before: tuple[str, ...]) -> Iterator[Claim]:
        """Make the claims of the clause; `before` is what the clause before it talked about."""
        stems = frozenset(each for each in self._plain if each)
        if not stems and not self._values:
            return
        former = self._former()
        names = frozenset(self._names())
        subject, pivot = self._subject(me)
        denied = bool({"never", "not"} & self._cues)
        span = (self._words[0].start, self._words[-1].end)
        cues = frozenset(self._cues)
        marks = frozenset(self._marks())
        for value in self._values:
            if value.norm in former and len(self._values) > 1:
                continue
            head, owner, unit = self._head(value, me)
            about = stems
            if not head or any(word.low in _BACK for word in self._words):
                about, head = stems.union(before), head or before[-3:]
            made = _with_unit(value, unit)
            how = cues | {"delta"} if self._is_delta(value) else cues
            yield Claim(owner, about, head, made, not denied, how, names, former, span, marks)
        rest = [each for each in self._plain[pivot:] if each and each not in former]
        if stems and "asked" not in self._cues:
            head = tuple(each for each in self._plain[:pivot] if each)[-4:]
            text = f"{self._words[min(pivot, len(self._words) - 1)].low} …"
            start = self._words[min(pivot, len(self._words) - 1)].start
            phrase = Value("phrase", text, " ".join(rest), "", start, span[1])
            yield Claim(subject, stems, head, phrase, not denied, cues, names, former, span, marks)

    def _is_delta(self, value: Value) -> bool:
        """Say whether a value tells by how much, not how much: `improved by 3%`."""
        place = next((at for at, each in enumerate(self._taken) if each is value), 0)
        return any(word.low == "by" for word in self._words[max(place - 2, 0) : place]) and (
            value.kind in {"number", "percent", "money"}
        )

    def _names(self) -> Iterator[str]:
        for place, word in enumerate(self._words):
            after = self._words[place + 1].low if place + 1 < len(self._words) else ""
            # The first word has a capital anyway: a name where it owns or does something.
            named = not word.first or after == "'s" or after in self._lexicon.verbs
            if word.name and self._plain[place] and named:
                yield word.stem

    def _marks(self) -> Iterator[tuple[str, str]]:
        """Find what narrows each noun: the nouns right before it, what `of` and `for` add."""
        before = -2
        for place, plain in enumerate(self._plain):
            low = self._words[place].low
            if low in {"of", "for"} and place == before + 1:
                run = self._run_after(place + 1, over=_DETERMINERS)
                for each in run:
                    yield self._plain[before], each
            if low == "'s" and place == before + 1:
                before = place  # an owner narrows what is owned
                continue
            if _is_name(self._words[place]) and place == before + 1 and before >= 0:
                yield self._plain[before], self._words[place].stem  # aunt Rosa, team B
            if plain and (low not in self._lexicon.verbs or self._after_determiner(place)):
                owner = before if before >= 0 and self._plain[before] else before - 1
                if before == place - 1 and owner >= 0 and self._plain[owner]:
                    yield plain, self._plain[owner]
                before = place
            number = self._taken[place]
            if number is not None and before == place - 1 and _bare(number):
                yield self._plain[before] or "", f"#{number.norm}"

    def _after_determiner(self, place: int) -> bool:
        return place > 0 and self._words[place - 1].low in _DETERMINERS

    def _former(self) -> frozenset[str]:
        """Find what the clause says is over: what follows `from`, `instead of`, `no longer`."""
        found: set[str] = set()
        for place, word in enumerate(self._words):
            if word.low in _FORMER:
                for after in range(place + 1, min(place + 6, len(self._words))):
                    value = self._taken[after]
                    if self._words[after].low in {"to", "but", "and", "i", "we", "it's"}:
                        break
                    if value is not None:
                        found.add(value.norm)
                    elif self._plain[after]:
                        found.add(self._plain[after])
        return frozenset(found)

    def _subject(self, me: str) -> tuple[str, int]:
        """Find who or what the clause is about, and where what is said of it begins."""
        stems: list[str] = []
        owner = ""
        for place, word in enumerate(self._words):
            low = word.low
            if low in _FIRST and not stems:
                return me, place + 1
            if (low in _THIRD or low in _YOU) and not stems:
                owner = "you" if low in _YOU else "they"
                if low not in {"his", "her", "their", "your"}:
                    return owner, place + 1
                continue
            if low in self._lexicon.verbs or (self._plain[place].startswith("@") and stems):
                return " ".join(stems) or owner, place
            if self._plain[place]:
                stems.append(self._plain[place])
            if len(stems) > 4:
                break
        return "", 0

    def _head(self, value: Value, me: str) -> tuple[tuple[str, ...], str, str]:
        """Find the nouns that a value belongs to, whose they are, and what is counted."""
        inside = [place for place, each in enumerate(self._taken) if each is value]
        if not inside:
            return (), "", ""
        after = self._run_after(inside[-1] + 1)
        if after and value.kind in {"number", "duration"}:
            return after, self._owner_before(inside[0], me), after[-1]
        if after:
            return after, self._owner_before(inside[0], me), ""
        head, start = self._run_before(inside[0])
        return head, self._owner_before(start, me), ""

    def _run_after(
        self,
        place: int,
        over: frozenset[str] = frozenset({"new", "of", "the", "a", "total", "more"}),
    ) -> tuple[str, ...]:
        """Read the nouns right after a value: `64% test coverage`, `45 sources`."""
        run: list[str] = []
        for at in range(place, min(place + 5, len(self._words))):
            low = self._words[at].low
            if not self._plain[at] or (run and low in self._lexicon.verbs):
                if run or low not in over:
                    break
                continue
            if not run and low in self._lexicon.verbs:
                break
            run.append(self._plain[at])
        return tuple(run)

    def _run_before(self, place: int) -> tuple[tuple[str, ...], int]:
        """Read the nearest nouns before a value: `the API budget to`, `deadline of`."""
        run: list[str] = []
        at = place - 1
        while at >= 0:
            word = self._words[at]
            noun = bool(self._plain[at]) and word.low not in self._lexicon.verbs
            if noun:
                run.append(self._plain[at])
            elif run and word.low != "'s":
                break
            elif run:
                run.append("'s")
            at -= 1
        return tuple(each for each in reversed(run) if each != "'s"), at + 1

    def _owner_before(self, place: int, me: str) -> str:
        """Say whose nouns begin at a place."""
        for at in range(place, max(place - 3, -1), -1):
            low = self._words[at].low if at < len(self._words) else ""
            if low in _MINE:
                return me
            if low in {"his", "her", "their"}:
                return "they"
            if at + 1 < len(self._words) and self._words[at + 1].low == "'s":
                return self._words[at].stem
        return ""


def _is_name(word: Word) -> bool:
    """Say whether a word within a clause is written as a name."""
    return word.name and not word.first and word.low not in _FIRST


def _bare(value: Value) -> bool:
    """Say whether a number after a noun may be its name: `invoice 311`."""
    return value.kind == "number" and not value.unit and value.text.isdigit()


def _with_unit(value: Value, unit: str) -> Value:
    if value.unit or not unit or value.kind != "number":
        return value
    return Value(value.kind, value.text, value.norm, unit, value.start, value.end)


_NONE: Final = frozenset[str]()
