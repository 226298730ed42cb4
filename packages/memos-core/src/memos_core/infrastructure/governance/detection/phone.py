"""Phone numbers, in folded text.

Digits alone say little: dates, amounts and orders are digits too. So a number counts for one of
three reasons: it is written internationally; it is written as hardly anything but phone numbers is,
and fits a region; or a word such as `call` or `fax` stands beside it. What is possible and valid is
for libphonenumber to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber

from memos_core.errors import InvalidInputError
from memos_core.infrastructure.governance.detection.detector import Span

REGIONS: Final = (
    "US", "GB", "DE", "FR", "IT", "NL", "BE", "CH", "AT", "SE", "IE", "AU", "NZ", "ZA", "IN", "BR",
)  # fmt: skip
MIN_DIGITS: Final = 7
_MAX_DIGITS: Final = 15  # E.164
_ITALY: Final = 39  # keeps its leading zero
_REACH: Final = 48

_DIGITS: Final = re.compile(r"[0-9]+")
_CANDIDATE: Final = re.compile(
    r"(?<![\w#$€£¥@&?%+-])(?<![A-Za-z./]/)(?<![0-9][:.,])"
    r"(?:\+ ?)?\(?[0-9](?:\)?(?: - |[ ./-])?\(?[0-9]){6,24}"  # bounded: it may be tried again
)
_EXTENSION: Final = re.compile(r" ?(?:x|ext\.?|extension) ?[0-9]{1,6}(?!\w)", re.IGNORECASE)
_NANP: Final = re.compile(
    r"(?:1[ .-])?(?:\([2-9][0-9]{2}\)[ -]?[2-9][0-9]{2}[ -]|[2-9][0-9]{2}([-.])[2-9][0-9]{2}\1)"
    r"[0-9]{4}"
)
_DATE: Final = re.compile(
    r"(?:(?:19|20)[0-9]{2}([-./ ])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12][0-9]|3[01])"
    r"|(?:0?[1-9]|[12][0-9]|3[01])([-./ ])(?:0?[1-9]|[12][0-9]|3[01])\2(?:19|20)[0-9]{2}"
    r"|(?:1[5-9]|20)[0-9]{2} ?- ?(?:1[5-9]|20)[0-9]{2})(?![0-9])"
)
_THOUSANDS: Final = re.compile(r"[0-9] [0-9]{3} [0-9]{3}|[0-9]{1,3}(?:\.[0-9]{3}){2,}")
_ZIP_PLUS_4: Final = re.compile(r"[0-9]{5}-[0-9]{4}")
# Dots, if any, stand in every place, and not as in 3.14, 10.0.0.1 or 0.1.100; one slash after the
# area code; one pair of brackets, at the start or around the trunk prefix.
_WELL_WRITTEN: Final = re.compile(
    r"(?!(?:[0-9]{1,3}\.){3}[0-9]{1,3}$)[0-9]{2,}(?:\.[0-9]{2,}){2,}"
    r"|(?:\([0-9]+\)[ /-]?|[0-9]+(?:/| ?\(0\) ?)?)?[0-9]*(?:(?: - |[ -])[0-9]+)*"
)

_WORDS: Final = re.compile(
    r"(?<![^\W_])(?:tel|tels|tele(?:ph|f)\w+|t[ée]l[ée](?:ph|f)\w+|\w{0,8}phones?|mobiles?|mob|cell"
    r"|cellular|fax|call|called|calling|dial\w{0,5}|ring|rang|sms|text(?:ed|ing| me| us| to)"
    r"|messag\w{1,4}|whatsapp|telegram|viber|voicemail|answer(?:ed|ing)|pick(?:s|ed|ing)? up"
    r"|hotline|helpline|landline|pager|gsm|handy\w*|rufnummer|anruf\w*|rufen|appel\w+|portable"
    r"|m[óo]vil|celular|llam\w+|cellulare|chiam\w+|ligue|telem[óo]vel|tlf|puhelin\w*|bel"
    r"|contact (?:number|no|me|us)|reach(?:ed)? (?:me|us|him|her|them|at|on)"
    r"|(?:my|new|his|her|their|our|your|whose) (?:number|digits)"
    r"|(?:desk|office|home|work|direct|contact)(?=\W{0,2}:))(?![^\W_])",
    re.IGNORECASE,
)
_OTHER_WORDS: Final = re.compile(
    r"(?<![^\W_])(?:orders?|invoice|account|acct|ids?|ref|reference|ticket|case|is[bs]n|tracking"
    r"|serial|sku|policy|contract|version|build|amount|price|total|sum|zip|postal|population|port"
    r"|pid|commit|booking|confirmation|code|vat|iban|card|ssn|date|year|born|pin|model|part|doi"
    r"|pmid|timestamp|epoch|size|hash|row|line|issue|coordinates?|lat|lon|cost|paid)(?![^\W_])",
    re.IGNORECASE,
)
_LABEL_AFTER: Final = re.compile(
    r" ?[-,(]{0,2} ?(?:office|fax|mobile|cell|home|work|desk|direct|phone|tel)(?![^\W_])",
    re.IGNORECASE,
)
_UNIT_AFTER: Final = re.compile(
    r" ?(?:[%€$£¥°]|(?:eur|euros?|usd|dollars|times|people|users|km|kg|ms|bytes|tokens|rows|items"
    r"|points|steps|views|million|thousand|years)(?![^\W_]))",
    re.IGNORECASE,
)
_LINK: Final = re.compile(r"[\s,;/&|]*(?:(?:or|and|oder|und|et|ou|o|y)\s+)?", re.IGNORECASE)
# Between the word and a short bare number nothing may stand but small words: "call me on 4673395".
_CONNECTED: Final = re.compile(
    r"(?:\W|(?<![^\W_])(?:me|us|him|her|them|back|number|no|nr|num|is|was|at|on|to|my|the|his|their"
    r"|your|our|new|home|work|under|via|by|with|from|please|just|or|and|am|unter|au|al|en|sul)"
    r"(?![^\W_]))*"
)


@dataclass(frozen=True, slots=True)
class _Context:
    """What the words around a number say.

    Args:
        named: A word for phones stands beside it.
        near: So, and only small words stand between.
        denied: A word for other numbers stands nearer.
    """

    named: bool
    near: bool
    denied: bool


class PhoneFinder:
    """Finds phone numbers in folded text.

    Args:
        regions: Where numbers without a country code may be from, as in `GB`.

    Raises:
        InvalidInputError: libphonenumber does not know one of the regions.
    """

    def __init__(self, regions: Sequence[str]) -> None:
        codes = {each: phonenumbers.country_code_for_region(each) for each in regions}
        unknown = [region for region, code in codes.items() if not code]
        if unknown:
            raise InvalidInputError(
                f"no phone numbers are known for {', '.join(unknown)}: use ISO codes such as GB"
            )
        self._codes = frozenset(codes.values())
        # Where a 0 is dialled before local numbers; Italy keeps it as part of them.
        self._codes_with_0 = frozenset(
            code
            for region, code in codes.items()
            if code == _ITALY or phonenumbers.ndd_prefix_for_region(region, True) == "0"
        )

    def find(self, text: str) -> Iterator[Span]:
        """Find the phone numbers of a text."""
        floor, linked_from = 0, -1
        match = _CANDIDATE.search(text)
        while match is not None:
            start = match.start()
            if match[0][0] == "(" and ")" not in match[0]:
                start += 1
            linked = linked_from >= 0 and bool(_LINK.fullmatch(text, linked_from, start))
            context = _Context(True, True, False) if linked else _context(text, floor, start)
            fits = linked or not _is_in_path(text, start)
            stop = self._stop(text, start, match.end(), context) if fits else 0
            if stop:
                yield Span(start, stop, "PHONE")
                linked_from = stop if context.named else -1
            floor = stop or match.end()
            match = _CANDIDATE.search(text, floor)

    def _stop(self, text: str, start: int, end: int, context: _Context) -> int:
        """Return where the number that starts here stops, or 0."""
        if _DATE.match(text, start, end):
            return 0
        for cut in _cuts(text, start, end):
            extension = _EXTENSION.match(text, cut)
            stop = extension.end() if extension else cut
            after = _LABEL_AFTER.match(text, stop)
            around = _Context(True, True, False) if after else context
            if _may_stop(text, stop) and self._is_phone(text[start:cut], around):
                return stop
        return 0

    def _is_phone(self, found: str, context: _Context) -> bool:
        groups = _DIGITS.findall(found)
        digits = "".join(groups)
        if not MIN_DIGITS <= len(digits) <= _MAX_DIGITS + ("(0)" in found):
            return False
        if found[0] == "+":
            return _is_possible(found)
        if context.denied or not _is_written_well(found) or _THOUSANDS.fullmatch(found):
            return False
        if context.named and _fits_context(groups, context):
            return True
        return self._is_distinctive(found, groups)

    def _is_distinctive(self, found: str, groups: list[str]) -> bool:
        digits = "".join(groups)
        if _NANP.fullmatch(found):
            return 1 in self._codes
        if len(groups) < 2:
            return False
        if digits.startswith("00"):
            return _is_possible(f"+{digits[2:]}")
        if _ZIP_PLUS_4.fullmatch(found) or not (digits[0] == "0" or found[0] == "("):
            return False
        return len(groups[0]) > 1 and 9 <= len(digits) <= 12 and self._is_valid(digits)

    def _is_valid(self, digits: str) -> bool:
        # The number is built rather than parsed: parsing for each region takes four times as long.
        national = int(digits.removeprefix("0"))
        whole = PhoneNumber(national_number=int(digits), italian_leading_zero=digits[0] == "0")
        for code in self._codes_with_0 if digits[0] == "0" else self._codes:
            number = PhoneNumber(country_code=code, national_number=national)
            if code == _ITALY:
                number.merge_from(whole)
            if phonenumbers.is_valid_number(number):
                return True
        return False


def _context(text: str, floor: int, start: int) -> _Context:
    reach = max(floor, start - _REACH)
    word = _last(_WORDS, text, reach, start)
    other = _last(_OTHER_WORDS, text, reach if word is None else word.end(), start)
    named = word is not None and other is None
    near = word is not None and bool(_CONNECTED.fullmatch(text, word.end(), start))
    return _Context(named, named and near, other is not None)


def _is_written_well(found: str) -> bool:
    return _WELL_WRITTEN.fullmatch(found) is not None or _NANP.fullmatch(found) is not None


def _is_in_path(text: str, start: int) -> bool:
    if text[start - 1 : start] == "/":
        return True
    scheme = text.rfind("://", max(0, start - 256), start)
    return scheme >= 0 and not re.search(r"\s", text[scheme:start])


def _last(pattern: re.Pattern[str], text: str, start: int, end: int) -> re.Match[str] | None:
    found = None
    for match in pattern.finditer(text, start, end):
        found = match
    return found


def _fits_context(groups: list[str], context: _Context) -> bool:
    total = sum(map(len, groups))
    if total > 12 or max(map(len, groups)) > 12 or len(groups) > 6:
        return False
    return context.near or len(groups) > 1 or total >= 9


def _cuts(text: str, start: int, end: int) -> Iterator[int]:
    """Go through the places where the number may end: here, or up to three groups before."""
    yield end
    cut = end
    for _ in range(3):
        cut = max(text.rfind(" ", start, cut), text.rfind("/", start, cut))
        if cut < 0:
            return
        if text[cut - 1].isdigit():
            yield cut


def _may_stop(text: str, stop: int) -> bool:
    after = text[stop : stop + 2]
    if after[:1].isalnum() or after[:1] == "_" or re.match(r"[.,:-][0-9]", after):
        return False
    return _UNIT_AFTER.match(text, stop) is None


def _is_possible(found: str) -> bool:
    try:
        number = phonenumbers.parse(found)
    except NumberParseException:
        return False
    return phonenumbers.is_possible_number(number)
