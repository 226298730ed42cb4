"""Secrets, in folded text: keys of known make, what a word calls a secret, and what looks random.

The value is marked, not the word before it. What cannot be told from an identifier is left alone:
lower-case tokens, hexadecimal ones, and tokens after a short type prefix (`msg_01…`), unless a word
calls them a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from memos_core.infrastructure.governance.detection.checks import looks_random, turns_often
from memos_core.infrastructure.governance.detection.detector import Span

_KNOWN: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])"  # AWS
    r"|gh[oprsu]_[A-Za-z0-9]{20,255}|github_pat_\w{20,255}"  # GitHub
    r"|gl(?:pat|ptt|rt|dt)-[\w-]{20,255}"  # GitLab
    r"|xox[abeoprs]-(?=[a-z-]{0,40}[A-Z0-9])[A-Za-z0-9-]{10,255}|xapp-[A-Za-z0-9-]{10,255}"  # Slack
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{10,255}|whsec_[A-Za-z0-9]{20,255}"  # Stripe
    r"|sk-(?=[a-z_-]{0,40}[A-Z0-9])[\w-]{20,255}"  # OpenAI, Anthropic and who followed them
    r"|AIza[\w-]{35}|ya29\.[\w-]{20,1024}|GOCSPX-[\w-]{20,64}"  # Google
    r"|npm_[A-Za-z0-9]{36}|pypi-AgE[\w-]{16,1024}|hf_[A-Za-z0-9]{30,255}"
    r"|SG\.[\w-]{16,64}\.[\w-]{16,64}|do[opr]_v1_[0-9a-f]{64}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"
    r"|AGE-SECRET-KEY-1[A-Z0-9]{58}"
    r"|(?<![_-])eyJ[\w-]{8,4096}\.[\w-]{8,8192}(?:\.[\w-]{0,2048})?"  # JWT
    r")"
)
_TOKEN: Final = re.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}")
_LONGEST_TOKEN: Final = 2048  # beyond that it is a file in base64
_TYPED_ID: Final = re.compile(r"[a-z]{2,12}[_-][A-Za-z0-9]+")
_PUBLIC: Final = re.compile(r"AAAA[BCE]3N|AAAAE2V|sha(?:1|256|384|512)-|MII[A-Z]")
_KEYISH: Final = re.compile(r"(?i)(?:key|secret|token|pat|live|prod)[_-]")

_PEM: Final = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END: Final = re.compile(r"-----END (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_PEM_PUBLIC: Final = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}(?:CERTIFICATE|PUBLIC KEY|SIGNATURE|MESSAGE|REQUEST)"
)
_PEM_BODY: Final = re.compile(r"(?:[A-Za-z0-9+/=:, \r\n-]|\\n){0,8192}")

_STEMS: Final = (
    "pass", "pwd", "secret", "token", "credential", "kennwort", "contras", "senha", "wachtwoord",
    "hasło", "парол", "密码",
)  # fmt: skip
_KEYS: Final = (
    "api", "access", "auth", "private", "signing", "encryption", "account", "license", "master",
    "session",
)  # fmt: skip
_STRONG_NAMES: Final = (
    r"pass(?:word|wd|phrase|code|wort)s?|(?<![a-z])pass|pwd|kennwort|contrase(?:ñ|n)a|mot de passe"
    r"|senha|wachtwoord|hasło|пароль|密码"
)
_OTHER_NAMES: Final = (
    r"(?:api|access|auth|secret|private|signing|encryption|account|license|master|session)"
    r"[_ -]?(?:key|token|secret)(?:[_ -]?id)?|(?:refresh|bearer|bot|csrf|id)[_ -]?token"
    r"|(?:client|app|shared|consumer|webhook)[_ -]?secret|secret[_ -]?access[_ -]?key"
    r"|(?<![a-z])(?:token|secret|credentials?)"
)
_ASSIGNED: Final = re.compile(
    rf"(?:(?P<password>{_STRONG_NAMES})|(?:{_OTHER_NAMES}))"
    r"(?:\s(?:for|to|of)\s[^\n.:=]{1,30}?)?[\"'\])]{0,2}"
    r"(?:\s{0,3}:\s?(?:str|string|bytes|secretstr)(?:\s?\|\s?none)?\s{0,3}=|\s{0,3}(?::=|=>|==?|:)"
    r"|(?P<said>\s{1,3}(?:is|was|ist|lautet|es|est)(?:\s?:)?\s|\s(?=[\"'`])))\s{0,3}"
    r"(?:[rbuf]?(?P<quote>[\"'`])(?P<quoted>[^\n\"'`]{4,256})(?P=quote)"
    r"|(?P<bare>[^\s\"'`<>,;]{4,256}))"
)
_IS: Final = (" '", ' "', " `", " is ", " is:", " was ", " ist ", " lautet ", " es ", " est ")
_PLACEHOLDER: Final = re.compile(
    r"[$<{%*\[(].*|(.)\1*|\W*|.*(?:\.\.\.|…|\*\*\*|environ|process\.env|getenv).*"
    r"|[A-Za-z_][\w.]*[\[({].*|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|your[_-].*",
    re.IGNORECASE | re.DOTALL,
)
_NO_VALUE: Final = frozenset({
    "none", "null", "true", "false", "undefined", "string", "required", "optional", "invalid",
    "incorrect", "wrong", "missing", "empty", "expired", "hidden", "redacted", "protected",
    "changed", "unknown", "default", "example", "placeholder", "secret", "password", "passwd",
    "token", "reset", "forgotten", "confirm", "login", "please", "enter", "here", "never",
    "always", "must", "should", "needed", "correct", "updated", "masked", "encrypted", "hashed",
    "plain", "text", "self", "bytes", "secretstr", "field", "bearer", "basic",
})  # fmt: skip
_FIRST_WORD: Final = re.compile(r"[\s)\]}|\\]")
_HEADER: Final = re.compile(
    r"(?:\bbearer|authorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:basic|token|apikey|key))\s{1,3}"
    r"([a-z0-9._~+/-]{12,4096}={0,2})"
)
_LOGIN: Final = re.compile(r"[^\s/:@?#]{0,128}:([^\s/@]{1,256})@")


def secrets(text: str) -> Iterator[Span]:
    """Find secrets of every kind here; spans may overlap."""
    if "-----BEGIN" in text:
        yield from _private_keys(text)
    if "://" in text and "@" in text:
        yield from _logins(text)
    lower = text.lower()  # as long as the text: the fold took away what would grow
    if _may_assign(lower):
        yield from _assigned(text, lower)
    if "bearer" in lower or "authorization" in lower:
        yield from _headers(text, lower)
    if _TOKEN.search(text) or "xox" in text or "eyJ" in text or "k_" in text:
        yield from _known(text)
        yield from _random(text)


def _known(text: str) -> Iterator[Span]:
    for match in _KNOWN.finditer(text):
        yield Span(match.start(), match.end(), "SECRET")


def _random(text: str) -> Iterator[Span]:
    for match in _TOKEN.finditer(text):
        token = match[0]
        if len(token) > _LONGEST_TOKEN or not looks_random(token):
            continue
        if _is_identifier(token) or _is_in_place(text, match.start(), match.end()):
            continue
        yield Span(match.start(), match.end(), "SECRET")


def _is_identifier(token: str) -> bool:
    if _PUBLIC.match(token):
        return True
    return bool(_TYPED_ID.fullmatch(token)) and not _KEYISH.search(token)


def _is_in_place(text: str, start: int, end: int) -> bool:
    """Tell whether a token is part of a path, a URL, an inlined file or a public PEM block."""
    if text[start] in "/" or text[start - 1 : start] in ("\\", ".", "~", "@", "%"):
        return True
    if re.match(r"\.[A-Za-z]", text[end : end + 2]) or text.endswith(";base64,", 0, start):
        return True
    scheme = text.rfind("://", max(0, start - 2048), start)
    if scheme >= 0 and not re.search(r"\s", text[scheme:start]):
        return True
    block = text.rfind("-----BEGIN ", max(0, start - 16384), start)
    return block >= 0 and bool(_PEM_PUBLIC.match(text, block))


def _private_keys(text: str) -> Iterator[Span]:
    ends = [match.end() for match in _PEM_END.finditer(text)]
    place = 0
    done = 0
    for match in _PEM.finditer(text):
        if match.start() < done:
            continue
        while place < len(ends) and ends[place] <= match.end():
            place += 1
        done = ends[place] if place < len(ends) else _cut_short(text, match.end())
        if done > match.end():
            yield Span(match.start(), done, "SECRET")


def _cut_short(text: str, start: int) -> int:
    """Return the end of a block without its last line, if it has a body at all."""
    body = _PEM_BODY.match(text, start)
    end = body.end() if body else start
    return end if end - start >= 40 else start


def _logins(text: str) -> Iterator[Span]:
    at = text.find("://")
    while at >= 0:
        match = _LOGIN.match(text, at + 3)
        if match and not _PLACEHOLDER.fullmatch(match[1]):
            yield Span(match.start(1), match.end(1), "SECRET")
        at = text.find("://", at + 3)


def _headers(text: str, lower: str) -> Iterator[Span]:
    for match in _HEADER.finditer(lower):
        value = text[match.start(1) : match.end(1)]
        if any(map(str.isdigit, value)) or turns_often(value):
            yield Span(match.start(1), match.end(1), "SECRET")


def _may_assign(lower: str) -> bool:
    if ":" not in lower and "=" not in lower and not any(word in lower for word in _IS):
        return False
    if any(stem in lower for stem in _STEMS):
        return True
    return "key" in lower and any(kind in lower for kind in _KEYS)


def _assigned(text: str, lower: str) -> Iterator[Span]:
    for match in _ASSIGNED.finditer(lower):
        group = "quoted" if match["quoted"] else "bare"
        start, end = match.span(group)
        if group == "bare":
            shown = text[start:end].partition(")]")[0].partition("](")[0]  # a link in Markdown
            end = start + len(shown.rstrip(".,;:?)]}"))
        if end - start >= 4 and _is_value(match, text, start, end):
            yield Span(start, end, "SECRET")


def _is_value(match: re.Match[str], text: str, start: int, end: int) -> bool:
    """Tell whether what is assigned is a secret, and not a type, a call, a blank or prose."""
    value = text[start:end]
    if _PLACEHOLDER.fullmatch(value) or _FIRST_WORD.split(value.lower(), 1)[0] in _NO_VALUE:
        return False
    if match["said"] and match["password"] == "pass":  # noqa: S105  # a word, not a password
        return False
    is_password = match["password"] is not None
    if any(map(str.isdigit, value)):
        if value.isdigit() or " " in value:
            return is_password and (" " not in value or match["quoted"] is not None)
        return is_password or end - start >= 8
    if re.search(r"[^\w\s.'/-]", value) and " " not in value:
        return is_password
    if " " in value or "_" in value or match["said"]:
        return False
    if not is_password:
        return end - start >= 12 and turns_often(value)
    # A word alone is a password only where nothing else follows: "password: required for login".
    ends_line = re.match(r"[ \t]*(?:[\r\n]|$)", text[end : end + 8]) is not None
    return end - start >= 6 and (match["quoted"] is not None or ends_line)
