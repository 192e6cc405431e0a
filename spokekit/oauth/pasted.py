"""Finding the address that came back in what a person pasted: mail, chat, markdown, HTML, JSON, a shell line.

Nothing here raises or is shown: every value may hold a code. What is found is only read; whether it answers the attempt
is decided by its state, at the attempt's door.
"""

from __future__ import annotations

import re
import unicodedata
from html import unescape
from urllib.parse import parse_qsl, unquote, urlsplit

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,30}:/{1,3}(?=[^\s/])", re.IGNORECASE)
# A browser may show the address without its scheme; a log shows its path alone.
_BARE = re.compile(r"[^\s<>\"'`()\[\]{}|]{0,400}\?(?=(?:code|state|error)=)", re.IGNORECASE)
_QUERY = re.compile(r"(?<![\w-])(?:code|state|error)=", re.IGNORECASE)
_QUOTES = '<>"`\u201c\u201d\u201e\u201f\u2018\u201a\u201b\u00ab\u00bb\u2039\u203a\u2026'
_CLOSING = {"(": ")", "[": "]", "{": "}", "'": "'", "\u2018": "\u2019", "|": "|"}
_END = re.compile(f"[{_QUOTES}]")
_PUNCTUATION = ".,;:!?)]}'*|\u2019"
_PIECE = re.compile(r"[A-Za-z0-9._~%+=&/:?-]+")
_WORD = re.compile(r"[A-Za-z]?[a-z]{2,}[.,;:!?]*|(?:OK|I)[.,!]*")
_JSON = re.compile(r"\\u00([2-7][0-9a-f])", re.IGNORECASE)


def found_in(text: str) -> list[str]:
    """Return the addresses, or parts of addresses with a query, that stand in `text`; the most whole ones alone."""
    text = _unwrapped(text)
    for reading in dict.fromkeys((text, "".join(text.split()), unquote(text))):
        found = _addresses(reading)
        whole = [one for one in found if _whole(one)]
        if whole:
            return whole
    return _addresses(text) or _addresses("".join(text.split()))


def _unwrapped(text: str) -> str:
    """Take away what mail, markdown, JSON and shells put between the characters of an address."""
    text = re.sub(r"&(?:#\d{1,6}|#x[0-9a-f]{1,5}|[a-z]{2,8});", lambda one: unescape(one[0]), text, flags=re.IGNORECASE)
    text = re.sub(r"&amp;?(?=\w+=)", "&", text, flags=re.IGNORECASE)
    text = _JSON.sub(lambda one: chr(int(one[1], 16)), text)
    text = re.sub(r"\\(?:r|n|t)(?![\w=%-]*&)", "\n", text)
    text = re.sub(r"\\|\^(?=[&\s])", "", text)
    text = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    # Quoted mail, and the frame of a terminal.
    return re.sub(r"(?m)^[ \t]*[>|\u2502]+[ \t]?|[ \t]*[|\u2502][ \t]*$", "", text)


def _addresses(text: str) -> list[str]:
    found: list[str] = []
    for pattern in (_SCHEME, _BARE, _QUERY):
        end = 0
        for start in (one.start() for one in pattern.finditer(text)):
            if start >= end:
                one, end = _read(text, start)
                found += [one, *_inside(one)]
        if found:
            break
    return list(dict.fromkeys(found))


def _inside(address: str) -> list[str]:
    """Return the addresses that another one carries as a value, as the link checkers of mail services write them."""
    return [value for _, value in parse_qsl(address.partition("?")[2]) if _SCHEME.match(value) and _QUERY.search(value)]


def _read(text: str, start: int) -> tuple[str, int]:
    """Return the address that begins at `start`, over line breaks, and where it ends."""
    before = text[start - 1] if start else ""
    closing = _CLOSING.get(before, "")
    found, place = "", start
    while True:
        piece = re.compile(r"\S*").match(text, place)[0]  # type: ignore[index] # it matches the empty text, too
        stop = _END.search(piece)
        cut = min([stop.start()] if stop else [], default=len(piece))
        if closing and closing in piece[:cut]:
            cut = piece.index(closing)
        found, place = found + piece[:cut], place + cut
        if cut < len(piece):
            break
        gap = re.compile(r"\s*").match(text, place)[0]  # type: ignore[index]
        after = place + len(gap)
        if after >= len(text) or not _goes_on(found, gap, text, after):
            break
        place = after
    found = found.rstrip(_PUNCTUATION)
    if before in ("_", "~") and found.endswith(before):
        found = found[:-1]
    return found, place


def _goes_on(found: str, gap: str, text: str, place: int) -> bool:
    """Tell whether the address goes on after a gap: always while something is missing, else on a line of its own."""
    if not _whole(found):
        return not _SCHEME.match(text, place)
    line = text[place:].split("\n", 1)[0].strip()
    if gap.count("\n") != 1 or not _PIECE.fullmatch(line) or found[-1] in ".,;:!?":
        return False
    return not _WORD.fullmatch(line) and not _SCHEME.match(line) and not _QUERY.match(line)


def _whole(address: str) -> bool:
    try:
        query = urlsplit(address).query or address.rpartition("?")[2]
    except ValueError:
        return False
    fields = dict(parse_qsl(query))
    return bool(fields.get("state") and fields.get("code")) or bool(fields.get("error"))
