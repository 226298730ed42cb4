"""National identity numbers, in folded text: a table of forms and of stdnum's checks.

A form that hardly anything else has (a tax code with letters in fixed places, a grouping with dots)
is enough with its checksum. Bare digits also need a word before them: every tenth or eleventh
number of the right length passes a checksum by chance.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from memos_core.infrastructure.governance.detection.checks import is_nino
from memos_core.infrastructure.governance.detection.detector import Span

_REACH: Final = 48  # characters before a number in which its word may stand
_BEFORE: Final = r"(?<![\w./-])"
_DENSE: Final = re.compile(
    r"[0-9](?:[ ./+-]?[0-9]){8}|[0-9]{6}[ A+-]?[0-9]{0,3}[A-Za-z]"
    r"|[A-Za-z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-Da-d]|[A-Za-z]-?[0-9]{7}"
    r"|[A-Za-z]{4}[0-9]{4}|[A-Za-z]{5}[0-9]{2}|\.[0-9]{3}-[0-9Kk]"
)
_AFTER: Final = r"(?!\w|[-./][0-9])"


@dataclass(frozen=True, slots=True)
class Form:
    """How one country's number is written and checked.

    Args:
        check: The module below `stdnum` that validates it; `nino` is our own; empty for none.
        pattern: The written form.
        words: If given, a word that must stand before it.
    """

    check: str
    pattern: re.Pattern[str]
    words: re.Pattern[str] | None = None

    def find(self, text: str) -> Iterator[Span]:
        """Find numbers of this form."""
        if self.words is not None and self.words.search(text) is None:
            return
        for match in self.pattern.finditer(text):
            if self._is_named(text, match.start()) and self._holds(match[0]):
                yield Span(match.start(), match.end(), "NATIONAL_ID")

    def _is_named(self, text: str, start: int) -> bool:
        return self.words is None or bool(self.words.search(text, max(0, start - _REACH), start))

    def _holds(self, number: str) -> bool:
        if self.check == "nino":
            return is_nino(number)
        return not self.check or bool(import_module(f"stdnum.{self.check}").is_valid(number))


def national_ids(text: str) -> Iterator[Span]:
    """Find national identity numbers of any form in the table."""
    if _DENSE.search(text) is None:  # no form can be there: most texts with dates end here
        return
    for form in _FORMS:
        yield from form.find(text)
    if _ANY_WORD.search(text) is not None:
        for form in _NAMED_FORMS:
            yield from form.find(text)


def _form(check: str, pattern: str, words: str = "", *, any_case: bool = False) -> Form:
    flags = re.IGNORECASE if any_case else re.NOFLAG
    written = re.compile(f"{_BEFORE}(?:{pattern}){_AFTER}", flags)
    return Form(check, written, _words(words) if words else None)


def _words(either: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![^\W_])(?:{either})(?![^\W_])", re.IGNORECASE)


_SSN: Final = r"ssn|social security(?: number| no\.?)?|soc\.? sec\.?"
_CODICE: Final = (
    r"[A-Z]{6}[0-9LMNP-V]{2}[A-EHLMPR-T][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]"  # omocodia included
)
# The written form is enough.
_FORMS: Final = (
    _form("us.ssn", r"[0-9]{3}-[0-9]{2}-[0-9]{4}"),
    _form("us.itin", r"9[0-9]{2}-[0-9]{2}-[0-9]{4}"),
    _form("nino", r"[A-Z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]"),
    _form("es.dni", r"[0-9]{8}-?[A-Z]"),
    _form("es.nie", r"[XYZ]-?[0-9]{7}-?[A-Z]"),
    _form("it.codicefiscale", _CODICE, any_case=True),
    _form("fr.nir", r"[12] ?[0-9]{2} ?[0-9]{2} ?[0-9][0-9AB] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}"),
    _form("br.cpf", r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}"),
    _form("fi.hetu", r"[0-9]{6}[-+A][0-9]{3}[0-9A-Y]"),
    _form("ch.ssn", r"756\.[0-9]{4}\.[0-9]{4}\.[0-9]{2}"),
    _form("mx.curp", r"[A-Z]{4}[0-9]{6}[HM][A-Z]{5}[0-9A-Z][0-9]"),
    _form("cl.rut", r"[0-9]{1,2}\.[0-9]{3}\.[0-9]{3}-[0-9Kk]"),
    _form("kr.rrn", r"[0-9]{6}-[1-8][0-9]{6}"),
    _form("cn.ric", r"[1-9][0-9]{16}[0-9X]"),
    _form("be.nn", r"[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}\.[0-9]{2}"),
    _form("se.personnummer", r"(?:[0-9]{2})?[0-9]{6}[-+][0-9]{4}"),
    _form("cz.rc", r"[0-9]{6}/[0-9]{4}"),
    _form("in_.aadhaar", r"[2-9][0-9]{3} [0-9]{4} [0-9]{4}"),
    _form("my.nric", r"[0-9]{6}-[0-9]{2}-[0-9]{4}"),
    _form("th.pin", r"[1-8]-[0-9]{4}-[0-9]{5}-[0-9]{2}-[0-9]"),
)
# The digits may be anything, so a word must come before them.
_NAMED_FORMS: Final = (
    _form("us.ssn", r"[0-9]{3} ?[0-9]{2} ?[0-9]{4}", _SSN),
    # Taxpayers without one write another number in its field; those begin with a 9.
    _form("", r"9[0-9]{2}[- ]?(?!00)[0-9]{2}[- ]?(?!0000)[0-9]{4}", _SSN),
    _form("nino", r"[a-z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[a-d]",
          r"ni(?:no| number| no\.?)|national insurance(?: number| no\.?)?"),
    _form("gb.nhs", r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{4}", r"nhs(?: number| no\.?)?"),
    _form("de.idnr", r"[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}",
          r"steuer-?id(?:entifikationsnummer)?|idnr\.?|(?:german )?tax id(?: number)?|tin"),
    _form("pl.pesel", r"[0-9]{11}", r"pesel"),
    _form("nl.bsn", r"[0-9]{9}|[0-9]{4}\.[0-9]{2}\.[0-9]{3}",
          r"bsn|burgerservicenummer|sofinummer"),
    _form("be.nn", r"[0-9]{11}", r"rijksregisternummer|registre national|national number"),
    _form("se.personnummer", r"(?:[0-9]{2})?[0-9]{10}", r"personnummer|personal number"),
    _form("no.fodselsnummer", r"[0-9]{6} ?[0-9]{5}", r"f(?:ø|o|oe)dselsnummer|personnummer"),
    _form("dk.cpr", r"[0-9]{6}-?[0-9]{4}", r"cpr(?:-nummer|-nr\.?| number)?"),
    _form("br.cpf", r"[0-9]{11}", r"cpf"),
    _form("ro.cnp", r"[0-9]{13}", r"cnp"),
    _form("bg.egn", r"[0-9]{10}", r"egn|егн"),
    _form("hr.oib", r"[0-9]{11}", r"oib"),
    _form("cz.rc", r"[0-9]{9,10}", r"rodné číslo|rodne cislo"),
    _form("gr.amka", r"[0-9]{11}", r"amka|αμκα"),
    _form("tr.tckimlik", r"[0-9]{11}", r"t\.?c\.? ?kimlik(?: no)?|tckn|kimlik no"),
    _form("ie.pps", r"[0-9]{7}[A-W][AHWTX]?", r"pps|ppsn|pps number|pps no\.?", any_case=True),
    _form("pt.cc", r"[0-9]{8} ?[0-9] ?[0-9A-Z]{2}[0-9]", r"cart[ãa]o de cidad[ãa]o|citizen card"),
    _form("in_.aadhaar", r"[2-9][0-9]{11}|[2-9][0-9]{3}-[0-9]{4}-[0-9]{4}",
          r"aadhaar|aadhar|uidai|uid"),
    _form("in_.pan", r"[A-Z]{3}[ABCFGHJLPT][A-Z][0-9]{4}[A-Z]",
          r"pan(?: card| number| no\.?)?|permanent account number", any_case=True),
    _form("ca.sin", r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}", r"sin|social insurance(?: number)?"),
    _form("au.tfn", r"[0-9]{3} ?[0-9]{3} ?[0-9]{3}", r"tfn|tax file(?: number)?"),
    _form("za.idnr", r"[0-9]{13}", r"id(?: number| no\.?)?|identity number|rsa id"),
    _form("il.idnr", r"[0-9]{9}", r"teudat zehut|תעודת זהות|israeli id"),
    _form("ee.ik", r"[0-9]{11}", r"isikukood"),
    _form("lt.asmens", r"[0-9]{11}", r"asmens kodas"),
    _form("fr.nif", r"[0-3][0-9] ?[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}",
          r"num[ée]ro fiscal|spi|nif"),
    _form("es.dni", r"[0-9]{8}[- ]?[a-z]", r"dni|nif"),
)  # fmt: skip
_ANY_WORD: Final = _words("|".join(form.words.pattern for form in _NAMED_FORMS if form.words))
