"""Detectors of personal data and secrets: what they find, what they leave alone, how they fail."""

from __future__ import annotations

import base64
import json
import random
import string
import sys
import time
import uuid
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import detection as benchmark
from memos_core.errors import InvalidInputError
from memos_core.infrastructure.governance.detection.checks import iban_ends, issuer, looks_random
from memos_core.infrastructure.governance.detection.detector import Detectors, Span, merged
from memos_core.infrastructure.governance.detection.fold import fold
from memos_core.infrastructure.governance.detection.patterns import TYPES, PatternDetector
from memos_core.infrastructure.governance.detection.presidio import PresidioDetector

DETECTOR = PatternDetector()
RANDOM_KEY = "xvA9dKq2LmZ0pR7sTy4WbE1n"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"


def found(text: str) -> list[tuple[str, str]]:
    return [(span.type, text[span.start : span.end]) for span in DETECTOR.find(text)]


def only(kind: str, text: str) -> list[str]:
    """Return what was found, and check that it is all of one type."""
    spans = found(text)
    assert {each for each, _ in spans} <= {kind}, spans
    return [value for _, value in spans]


# E-mail


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Write to ada.lovelace@acme.test today", "ada.lovelace@acme.test"),
        ("<ops+alerts@mail.example.co.uk>", "ops+alerts@mail.example.co.uk"),
        ("Mail o'brien@example.ie.", "o'brien@example.ie"),
        ("mailto:ada@example.com?subject=hi", "ada@example.com"),
        ("email=ada@example.com&x=1", "ada@example.com"),
        ("'ada@example.com'", "ada@example.com"),
        ("jörg@müller.de", "jörg@müller.de"),
        ("邮箱是ada@example.com谢谢", "ada@example.com"),
        ("ada@[192.0.2.1]", "ada@[192.0.2.1]"),
        ("ada@xn--mller-kva.xn--p1ai", "ada@xn--mller-kva.xn--p1ai"),
    ],
)
def test_an_email_address_is_found_without_what_surrounds_it(text: str, address: str) -> None:
    assert only("EMAIL", text) == [address]


@pytest.mark.parametrize(
    "text",
    [
        "icon@2x.png",
        "thanks @bob.smith",
        "bob@localhost",
        "git@github.com:acme/repo.git",
        "https://bob@example.com/path",
        "a @ b.com",
        "npm i left-pad@1.3.0",
        "f'@pytest.mark.skip'",
    ],
)
def test_an_at_sign_alone_makes_no_email_address(text: str) -> None:
    assert found(text) == []


# Phone


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Reach us: +44 20 7946 0958.", "+44 20 7946 0958"),
        ("tel:+15551234567", "+15551234567"),
        ("+49 (0) 30 901820 is the desk", "+49 (0) 30 901820"),
        ("001-212-555-0198", "001-212-555-0198"),
        ("(212) 555-0198 or come by", "(212) 555-0198"),
        ("212.555.0198", "212.555.0198"),
        ("+1-212-555-0148x459", "+1-212-555-0148x459"),
        ("Ring the clinic (01632 960 983) before noon", "01632 960 983"),
        ("He texted from 07700900123 yesterday", "07700900123"),
        ("My sister's cell is 4155550132", "4155550132"),
        ('"phone": "555-0126"', "555-0126"),
        ("Meine Handynummer ist 0171 2345678", "0171 2345678"),
        ("Mon portable : 06 12 34 56 78", "06 12 34 56 78"),
        ("Teléfono: 91 123 45 67", "91 123 45 67"),
        ("Fax: 60-56-85-91", "60-56-85-91"),
        ("467 3395 office", "467 3395"),
    ],
)
def test_a_phone_number_is_found_by_its_form_or_the_word_beside_it(text: str, number: str) -> None:
    assert only("PHONE", text) == [number]


def test_the_word_counts_for_several_numbers_in_a_row() -> None:
    assert only("PHONE", "Call 467 3395, 467 3396 or 467 3397.") == [
        "467 3395",
        "467 3396",
        "467 3397",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-15 10:30:45.123456",
        "from 12/05/2023 to 13.06.2023",
        "between 1990 and 2010-2015",
        "ISBN 978-3-16-148410-0",
        "order 123-456-7890 shipped",
        "I paid 1,250,000 and 12 000 000 after the call about order 1234567",
        "The meeting called for 1200000 euros",
        "timestamps 1700000000 and 1700000000000",
        "coordinates 51.507351, -0.127758",
        "pi is 3.14159265358979",
        "Boston, MA 02110-1301",
        "0.14.1 (2017-11-13)",
        "https://cdn.example.com/s/0302/3968/6755/a.jpg",
        "467 3395",
    ],
)
def test_other_numbers_are_no_phone_numbers(text: str) -> None:
    assert found(text) == []


def test_the_regions_decide_which_local_numbers_are_known() -> None:
    text = "020 7946 0958 and 212-555-0198"
    british = PatternDetector(regions=("GB",)).find(text)
    american = PatternDetector(regions=("US",)).find(text)
    assert [text[s.start : s.end] for s in british] == ["020 7946 0958"]
    assert [text[s.start : s.end] for s in american] == ["212-555-0198"]
    with pytest.raises(InvalidInputError, match="UK"):
        PatternDetector(regions=("UK",))


# Cards and IBANs


@pytest.mark.parametrize(
    "number",
    [
        "4111111111111111",
        "4111 1111 1111 1111",
        "5555-5555-5555-4444",
        "2223003122003222",
        "378282246310005",
        "3782 822463 10005",
        "6011111111111117",
        "30569309025904",
        "3530111333300000",
        "6200000000000005",
    ],
)
def test_a_card_number_needs_no_word(number: str) -> None:
    assert only("CARD", f"It was {number}, valid until 12/29.") == [number]


def test_a_card_is_told_from_the_digits_after_it() -> None:
    assert only("CARD", "4111 1111 1111 1111 123") == ["4111 1111 1111 1111"]


def test_what_is_often_something_else_needs_the_word_card() -> None:
    assert only("CARD", "my card 4222222222222") == ["4222222222222"]
    assert found("EAN 4222222222222") == []
    assert only("CARD", "Maestro card 500000000009") == ["500000000009"]
    assert found("lot 500000000009") == []


@pytest.mark.parametrize(
    "text",
    ["4111111111111112", "card 0000 0000 0000 0000", "1234567812345670 in stock", "20240517103000"],
)
def test_digits_without_checksum_or_issuer_are_no_card(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    "number",
    [
        "GB82WEST12345698765432",
        "GB82 WEST 1234 5698 7654 32",
        "de89 3704 0044 0532 0130 00",
        "FR1420041010050500013M02606",
        "NL91-ABNA-0417-1643-00",
        "NO9386011117947",
        "MT84MALT011000012345MTLCAST001S",
    ],
)
def test_an_iban_is_found_in_any_writing(number: str) -> None:
    assert only("IBAN", f"pay to {number} by noon") == [number]


@pytest.mark.parametrize(
    "text", ["GB82WEST12345698765433", "XX82WEST12345698765432", "GB82WEST1234569876543"]
)
def test_a_wrong_iban_is_left_alone(text: str) -> None:
    assert found(text) == []


def test_issuers_and_iban_ends_are_known() -> None:
    assert [issuer(n) for n in ("4" * 16, "37" + "0" * 13, "9" * 16)] == ["visa", "amex", ""]
    assert list(iban_ends("DE89 3704 0044 0532 0130 00 and more")) == [27]


# IP


@pytest.mark.parametrize(
    "address", ["203.0.113.7", "10.1.2.3", "2001:db8::8a2e:370:7334", "fe80::1", "::ffff:192.0.2.1"]
)
def test_an_ip_address_is_found(address: str) -> None:
    assert only("IP", f"blocked {address}, again") == [address]
    assert only("IP", f"GET http://[{address}]:8080/") == [address]


@pytest.mark.parametrize(
    "text",
    [
        "version 1.2.3.4",
        "v1.2.3.4",
        "upgraded to version 10.1.2.3",
        "pip install thing==1.2.3.4",
        "Chrome/120.0.0.0",
        "see section 4.1.2.3",
        "300.1.1.1",
        "1.2.3.4.5",
        "127.0.0.1 and ::1",
        "netmask 255.255.255.0",
        "at 12:30:45, MAC 00:1a:2b:3c:4d:5e",
        "std::vector and add::dead",
        "defaults to 1000::",
    ],
)
def test_versions_and_times_are_no_ip_address(text: str) -> None:
    assert found(text) == []


# National ids


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("His social security number is 536-90-4399.", "536-90-4399"),
        ("536-90-4399", "536-90-4399"),
        ("SSN: 536904399", "536904399"),
        ("ITIN 912-70-1234", "912-70-1234"),
        ("ssn 987-65-4320", "987-65-4320"),
        ("NINO AB 12 34 56 C", "AB 12 34 56 C"),
        ("ni number ab123456c", "ab123456c"),
        ("12345678Z", "12345678Z"),
        ("NIE X1234567L", "X1234567L"),
        ("rssmra85t10a562s", "rssmra85t10a562s"),
        ("CPF 111.444.777-35", "111.444.777-35"),
        ("Steuer-ID 86095742719", "86095742719"),
        ("PESEL 44051401359", "44051401359"),
        ("NHS number 943 476 5919", "943 476 5919"),
        ("BSN 111222333", "111222333"),
        ("131052-308T", "131052-308T"),
        ("756.9217.0769.85", "756.9217.0769.85"),
        ("811228-9874", "811228-9874"),
        ("PAN: ABCPE1234F", "ABCPE1234F"),
        ("SIN 130 692 544", "130 692 544"),
    ],
)
def test_a_national_id_is_found(text: str, number: str) -> None:
    assert only("NATIONAL_ID", text) == [number]


@pytest.mark.parametrize(
    "text",
    [
        "000-12-3456",
        "SSN 666-12-3456",
        "123-00-4567",
        "536-90-0000",
        "part 987-65-4320",
        "GB123456A",
        "12345678A",
        "44051401359 parcels",
        "pesel 44051401358",
        "86095742719",
        "811228-9873",
        "ABCPE1234F",
    ],
)
def test_without_checksum_or_word_it_is_no_national_id(text: str) -> None:
    assert found(text) == []


# Secrets


@pytest.mark.parametrize(
    "secret",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "a1B2" * 9,
        "github_pat_11ABCDE_" + "a1B2" * 9,
        "xoxb-123456789012-abcdefABCDEF",
        "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
        "rk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
        "sk-proj-abc123DEF456ghi789JKL012",
        "sk-ant-api03-AbCdEf123456-xyz",
        "AIza" + "Sy0a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6",
        "npm_" + "a1B2" * 9,
        "pypi-AgEIcHlwaS5vcmcCJDU3",
        "hf_" + "aBcDeFgHiJ" * 4,
        JWT,
        RANDOM_KEY,
    ],
)
def test_a_key_is_found_by_its_make_or_its_looks(secret: str) -> None:
    assert only("SECRET", f"use {secret} for now") == [secret]
    assert only("SECRET", f"use '{secret}'.") == [secret]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("my password is hunter2", "hunter2"),
        ("log in with the password 'hunter2!'", "hunter2!"),
        ("Password: Tr0ub4dor&3", "Tr0ub4dor&3"),
        ("wifi password: sunshine", "sunshine"),
        ("the password for the wifi is s3same-open", "s3same-open"),
        ('{"password": "s3cr3t-value"}', "s3cr3t-value"),
        ("DB_PASSWORD=correcthorse", "correcthorse"),
        ("Passwort: Geheim123", "Geheim123"),
        ("api_key=8f14e45fceea167a5a36dedd", "8f14e45fceea167a5a36dedd"),
        ("client_secret: '8f14e45f-ceea'", "8f14e45f-ceea"),
        ("token: str = 'abcdefg12345'", "abcdefg12345"),
        ("Authorization: Bearer abcdef0123456789", "abcdef0123456789"),
        ("postgres://admin:pa55w0rd@db.example.com/app", "pa55w0rd"),
        ("https://api.example.com/v1?access_token=abcd1234efgh", "abcd1234efgh"),
    ],
)
def test_what_is_called_a_secret_is_one_and_only_the_value_is_marked(
    text: str, secret: str
) -> None:
    assert only("SECRET", text) == [secret]


@pytest.mark.parametrize("label", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
def test_a_private_key_is_marked_as_a_whole(label: str) -> None:
    body = base64.b64encode(bytes(range(96))).decode()
    block = f"-----BEGIN {label}PRIVATE KEY-----\n{body}\n-----END {label}PRIVATE KEY-----"
    assert only("SECRET", f"here:\n{block}\nthanks") == [block]
    cut = block[:90]
    assert only("SECRET", f"here: {cut}") == [cut]


@pytest.mark.parametrize(
    "text",
    [
        str(uuid.UUID(int=0x550E8400E29B41D4A716446655440000)),
        "commit 3f2504e04f8911d39a0c0305e82c3301a1b2c3d4",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "mem_k3vq7zt2mabcdefgh234567xyz",
        "msg_01XFDUDYJgAACzvnptvVoYEL",
        "/usr/lib/python3.11/site-packages/MyPackage/Foo2Bar",
        "src/components/UserProfileV2/index",
        "https://docs.example.com/d/1aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY/edit",
        "AbstractSingletonProxyFactoryBean2Impl",
        "AzureCogsText2SpeechTool",
        "2024-05-17T10:30:00+02:00",
        base64.b64encode(b"Hello, World! How are you?").decode(),
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ",
        "sha512-9s3bdkbhPqBQ9dYnR0p1JpEYh4gN7m0aXQe2b5yZ3w",
        "BSD-3-Clause-Open-MPI",
        "pypi-charset-normalizer",
        "xoxb-your-slack-token",
        "The password is wrong",
        "Password: required",
        "password: must have 8 characters",
        "password=<your password>",
        "password = get_password()",
        "password = request.form['password']",
        "password=settings.password",
        "password: ********",
        'api_key = os.environ["OPENAI_API_KEY"]',
        "token: str | None = None",
        "max_tokens=2048 of the token budget: 4096",
        "the key to the secret garden is under the mat",
    ],
)
def test_ids_hashes_names_and_blanks_are_no_secrets(text: str) -> None:
    assert found(text) == []


def test_most_random_keys_look_random() -> None:
    rng = random.Random(7)
    alphabet = string.ascii_letters + string.digits
    hits = sum(looks_random("".join(rng.choices(alphabet, k=32))) for _ in range(500))
    assert hits > 470


# Texts as they come


def test_disguised_characters_hide_nothing_and_places_are_those_of_the_given_text() -> None:
    joined = "ad\u200ba@exam\u00adple.com"  # zero-width space, soft hyphen
    assert found(f"\u2060to {joined}!") == [("EMAIL", joined)]
    wide = "".join(chr(ord(c) + 0xFEE0) if c != " " else "\u3000" for c in "4111 1111 1111 1111")
    assert found(f"card {wide}.") == [("CARD", wide)]
    arabic = "+" + "".join(chr(0x660 + int(c)) for c in "442079460958")
    assert found(f"tel {arabic}") == [("PHONE", arabic)]
    hyphens = "536\u201190\u20114399"
    assert found(hyphens) == [("NATIONAL_ID", hyphens)]


def test_no_character_changes_the_length_of_a_folded_text() -> None:
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    folded = fold(every)
    assert folded.places is not None
    assert len(folded.text) == len(folded.places) == len(folded.text.lower())


def test_findings_are_sorted_and_of_several_types() -> None:
    text = "Call +44 20 7946 0958, mail ada@acme.test, card 4111111111111111, from 203.0.113.7."
    assert [kind for kind, _ in found(text)] == ["PHONE", "EMAIL", "CARD", "IP"]


def test_types_can_be_restricted() -> None:
    text = "ada@acme.test from 203.0.113.7"
    assert [s.type for s in PatternDetector(types=frozenset({"IP"})).find(text)] == ["IP"]
    assert PatternDetector(types=frozenset()).find(text) == []
    with pytest.raises(InvalidInputError, match="NAME"):
        PatternDetector(types=frozenset({"NAME"}))


_PIECES = st.sampled_from(
    [
        "ada@acme.test", "+44 20 7946 0958", "4111 1111 1111 1111", "GB82 WEST 1234 5698 7654 32",
        "203.0.113.7", "2001:db8::1", "536-90-4399", "AB 12 34 56 C", "password: ", "'", "://",
        "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "eyJ", "sk-", RANDOM_KEY, "@",
        "bearer ", "\u200b", "\ud800", "\u0130", "\uff11", "call ", "card ", "1", "00", "(", ")",
        "-", ".", " ", "\n", "x12", "iban", "ssn ", "\u0661", "a:b@",
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.lists(st.one_of(_PIECES, st.text(max_size=3))).map("".join)))
def test_any_text_gives_spans_within_it_sorted_and_apart(text: str) -> None:
    spans = DETECTOR.find(text)
    assert spans == DETECTOR.find(text)
    assert {span.type for span in spans} <= TYPES
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    assert all(left.end <= right.start for left, right in pairwise(spans))


_SPANS = st.builds(
    lambda start, size, kind: Span(start, start + size, kind),
    st.integers(0, 40),
    st.integers(0, 12),
    st.sampled_from([*sorted(TYPES), "OTHER"]),
)


@given(st.lists(_SPANS, max_size=12), st.randoms(use_true_random=False))
def test_merging_covers_all_and_does_not_depend_on_order(
    spans: list[Span], rng: random.Random
) -> None:
    kept = merged(spans)
    assert all(left.end <= right.start for left, right in pairwise(kept))
    shuffled = list(spans)
    rng.shuffle(shuffled)
    assert merged(shuffled) == kept == merged(kept)
    covered = {at for span in spans for at in range(span.start, span.end)}
    assert {at for span in kept for at in range(span.start, span.end)} == covered


def test_of_two_types_on_one_place_the_more_harmful_wins() -> None:
    assert merged([Span(0, 9, "PHONE"), Span(0, 9, "CARD"), Span(0, 9, "ZZZ")]) == [
        Span(0, 9, "CARD")
    ]


def test_several_detectors_are_one() -> None:
    class Ada:
        def find(self, text: str) -> list[Span]:
            return [Span(0, 3, "PERSON")] if text.startswith("ada") else []

    assert Detectors(DETECTOR, Ada()).find("ada@acme.test and 203.0.113.7") == [
        Span(0, 13, "EMAIL"),
        Span(18, 29, "IP"),
    ]
    assert Detectors().find("ada") == []


# Hostile texts


@pytest.mark.parametrize(
    "unit",
    [
        "1", "1 ", "-", "@", "a@", "a@a.", "aF09", "0123456789abcdef", "1.", "a:1:", "://", "eyJa-",
        "4111 1111 1111 1112 ", "GB82 ", "0490 75 40 81, ", "+1 ", "(0", "call order 1234567 ",
        "password:", "password is ", "http://a:", "-----BEGIN PRIVATE KEY-----", "aB3/", "\u200b1",
        "token='a", "123-45-6789 ",
    ],
)  # fmt: skip
def test_hostile_texts_take_time_in_proportion_to_their_length(unit: str) -> None:
    text = (unit * (200_000 // len(unit) + 1))[:200_000]
    start = time.process_time()
    DETECTOR.find(text)
    assert time.process_time() - start < 3  # mostly below one; a backtracking one takes minutes


# Presidio


class FakeAnalyzer:
    """Answers as Presidio does, with results by word."""

    def __init__(self, **entities: str) -> None:
        self.entities = entities
        self.lengths: list[int] = []

    def analyze(self, *, text: str, language: str, score_threshold: float) -> list[Any]:
        text.encode("utf-8")  # as spaCy does, which refuses lone surrogates
        self.lengths.append(len(text))
        return [
            SimpleNamespace(
                entity_type=kind, start=text.find(word), end=text.find(word) + len(word)
            )
            for word, kind in self.entities.items()
            if word in text
        ]


def test_presidio_results_become_spans_of_our_types() -> None:
    analyzer = FakeAnalyzer(Ada="PERSON", Kyoto="LOCATION", Monday="DATE_TIME", n536="US_SSN")
    assert PresidioDetector(analyzer).find("Ada in Kyoto on Monday n536") == [
        Span(0, 3, "PERSON"),
        Span(7, 12, "LOCATION"),
        Span(23, 27, "NATIONAL_ID"),
    ]
    chosen = PresidioDetector(analyzer, types={"DATE_TIME": "DATE"})
    assert chosen.find("Ada on Monday") == [Span(7, 13, "DATE")]


def test_presidio_gets_long_and_broken_texts_in_a_form_that_it_takes() -> None:
    analyzer = FakeAnalyzer(Ada="PERSON")
    text = "\ud800 " + "tea " * 60_000 + "Ada"
    assert PresidioDetector(analyzer).find(text) == [Span(len(text) - 3, len(text), "PERSON")]
    assert max(analyzer.lengths) <= 100_000
    assert PresidioDetector(analyzer).find(" \n") == []


@pytest.mark.skipif(
    find_spec("presidio_analyzer") is not None, reason="presidio-analyzer is installed here"
)
def test_without_presidio_the_error_names_the_extra() -> None:
    with pytest.raises(InvalidInputError, match=r"memos-core\[presidio\]"):
        PresidioDetector()


@pytest.mark.skipif(
    find_spec("presidio_analyzer") is None,
    reason="presidio-analyzer is not installed: pip install 'memos-core[presidio]'",
)
def test_presidio_itself_finds_what_its_patterns_find() -> None:
    detector = benchmark.presidio()
    assert detector is not None
    text = "Mail ada.lovelace@example.com, card 4111 1111 1111 1111, call 212-555-0198.\ud800"
    assert [(span.type, text[span.start : span.end]) for span in detector.find(text)] == [
        ("EMAIL", "ada.lovelace@example.com"),
        ("CARD", "4111 1111 1111 1111"),
        ("PHONE", "212-555-0198"),
    ]
    if find_spec("en_core_web_lg") is None:
        with pytest.raises(InvalidInputError, match="spacy download"):
            PresidioDetector()


# The benchmark


def test_the_benchmark_finds_all_in_its_own_sentences() -> None:
    tally = benchmark.score(DETECTOR, benchmark.own())
    assert not +tally.missed
    assert not +tally.false
    assert tally.exact == tally.found
    assert set(tally.found) == set(benchmark.TYPES)


def test_the_benchmark_writes_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = {"start_position": 0, "end_position": 13, "entity_type": "EMAIL_ADDRESS"}
    name = {"start_position": 17, "end_position": 20, "entity_type": "PERSON"}
    rows = [{"full_text": "ada@acme.test or Ada", "spans": [written, name]}]
    (tmp_path / benchmark.DATA).write_text(json.dumps(rows))
    target = tmp_path / "rows.json"
    monkeypatch.setattr(sys, "argv", ["detection", "--data", str(tmp_path), "--json", str(target)])
    benchmark.main()
    figures = {row["name"]: row for row in json.loads(target.read_text())}
    assert figures["presidio.precision@EMAIL"]["value"] == 1
    assert figures["presidio.recall@EMAIL"]["value"] == 1
    assert set(figures["presidio.recall@EMAIL"]) == {"name", "value", "unit", "peer"}
