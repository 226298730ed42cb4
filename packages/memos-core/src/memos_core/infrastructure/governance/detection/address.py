"""Addresses on the net: e-mail and IP, in folded text."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

from memos_core.infrastructure.governance.detection.detector import Span

_LOCAL_MARKS: Final = frozenset("._%+-'")
_LOCAL_MAX: Final = 64  # RFC 5321
_DOMAIN: Final = re.compile(
    r"(?:[^\W_][\w-]{0,62}\.){1,8}"
    r"(?:xn--[A-Za-z0-9-]{2,59}|[A-Za-z]{2,24}(?![A-Za-z0-9])|[^\W\d_a-zA-Z]{2,24})"
    r"|\[[0-9A-Fa-f:.]{3,45}\]"
)
# Pictures for dense screens are named icon@2x.png.
_DENSITY: Final = re.compile(r"[0-9]x\.", re.IGNORECASE)

_V4: Final = re.compile(
    r"(?<![\w.-])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w]|\.[0-9]|-[0-9A-Za-z]|\.(?:tar|zip|whl))"
)
_V6: Final = re.compile(
    r"(?<![\w:.])(?:[0-9A-Fa-f:]{2,40}:(?:[0-9]{1,3}\.){3}[0-9]{1,3}|[0-9A-Fa-f:]{2,45})"
    r"(?![\w:]|\.[0-9])"
)
# What makes four numbers a version or a place in a document: a word before them, or a product name
# and a slash as in Chrome/120.0.0.0.
_NOT_AN_ADDRESS: Final = re.compile(
    r"(?:\b(?:v|ver|versions?|release|build|firmware|driver|patch|upgraded?|section|sections|clause"
    r"|chapter|figure|fig|table|paragraph|para|appendix|step)\.?[ :=]{0,3}(?:to |number |no\.? )?"
    r"|§ ?|==? ?|[~^>]=? ?|[A-Za-z]/)$",
    re.IGNORECASE,
)


def emails(text: str) -> Iterator[Span]:
    """Find e-mail addresses.

    Each `@` is looked at once, with at most 64 characters before it, so no text makes it slow.
    """
    at = text.find("@")
    while at >= 0:
        domain = _DOMAIN.match(text, at + 1)
        if domain is not None and not _DENSITY.match(text, at + 1):
            start = _local_start(text, at)
            if (
                start < at
                and text[at - 1] not in ".'"
                and not _is_login(text, start, at, domain.end())
            ):
                yield Span(start, domain.end(), "EMAIL")
        at = text.find("@", at + 1)


def addresses(text: str) -> Iterator[Span]:
    """Find IP addresses, versions 4 and 6, but not version numbers where a word tells."""
    if text.count(".") >= 3:
        for match in _V4.finditer(text):
            before = text[max(0, match.start() - 20) : match.start()]
            if _is_address(match[0]) and not _NOT_AN_ADDRESS.search(before):
                yield Span(match.start(), match.end(), "IP")
    if text.count(":") >= 2:
        for match in _V6.finditer(text):
            found = match[0]
            if found.endswith(":") and not found.endswith("::"):
                found = found[:-1]
            if _is_v6(found):
                yield Span(match.start(), match.start() + len(found), "IP")


def _local_start(text: str, at: int) -> int:
    start, floor = at, max(0, at - _LOCAL_MAX)
    while start > floor and _is_local(text[start - 1]):
        start -= 1
    while start < at and text[start] in "._%+-'":
        start += 1
    return start


def _is_local(char: str) -> bool:
    # Scripts written without spaces run into the address; those that use them end below U+0600.
    if char.isascii():
        return char.isalnum() or char in _LOCAL_MARKS
    return char < "\u0600" and (char.isalnum() or "\u0300" <= char <= "\u036f")


def _is_login(text: str, start: int, at: int, end: int) -> bool:
    """Tell whether the part before the `@` logs in to a host: of a URL, or `git@host:path`."""
    if text[start:at] == "git" and text[end : end + 1] in (":", "/"):
        return True
    scheme = text.rfind("://", max(0, start - 256), start)
    return scheme >= 0 and not re.search(r"[\s/?#]", text[scheme + 3 : start])


def _is_address(text: str) -> bool:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return False
    # "This" host, the own machine and netmasks are nobody's address.
    return not address.is_loopback and not text.startswith(("0.", "255."))


def _is_v6(text: str) -> bool:
    # Without a digit it may be a name in a program (add::dead); with one group, a number before a
    # literal block in reStructuredText (1000::).
    groups = [group for group in text.split(":") if group]
    if text.count(":") < 2 or len(groups) < 2 or not any(map(str.isdigit, text)):
        return False
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return not address.is_loopback
