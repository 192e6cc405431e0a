"""What every request of ours shares, whoever sends it: reading what came as text that is safe to keep and to show."""

from __future__ import annotations

import codecs
import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from spokekit._secret import scrub

# Control characters, direction marks and what has no width: a terminal obeys them, and they turn a sentence round.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\s]+")
# The longest first: the mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def without_mark(body: bytes) -> bytes:
    """Return JSON as UTF-8 without a byte order mark, which some proxies write before it; no damage (RFC 8259, 8.1)."""
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            rest = body[len(mark) :]
            return rest if encoding == "utf-8" else rest.decode(encoding, "replace").encode()
    return body


def json_of(body: bytes) -> Any:
    """Return the decoded body, or None when it is no JSON."""
    try:
        return json.loads(without_mark(body))
    except (ValueError, RecursionError):
        return None


def is_web_page(body: bytes) -> bool:
    """Tell whether a body is HTML or XML: from somebody between, where data was asked for."""
    return without_mark(body).lstrip()[:1] == b"<"


def clean(text: object, most: int = 200) -> str:
    """Return foreign text in one line, without control and direction signs, shortened, and without secrets."""
    words = _UNSEEN.sub(" ", scrub(str(text).encode("utf-8", "replace").decode())).strip()
    return words if len(words) <= most else words[: most - 1] + "…"


def retry_after(headers: Any, now: datetime) -> float | None:
    """Return the seconds of ``Retry-After`` (a number or an HTTP date; first with ``Beta-``), or None without one."""
    for name in ("retry-after", "beta-retry-after"):
        text = (headers.get(name) or "").strip()
        if not text:
            continue
        if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
            return float(text)
        try:
            moment = parsedate_to_datetime(text)
            return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now.timestamp())
        except (TypeError, ValueError, OverflowError):
            continue
    return None


_TAGS = re.compile(rb"(?is)<(script|style)\b.*?</\1\s*>|<[^>]*>")
_TITLE = re.compile(rb"(?is)<(title|h1)[^>]*>(.*?)</\1\s*>")


def page_words(body: bytes) -> str:
    """Return what a web page calls itself, as one short line: its title, else its first words."""
    from html import unescape

    start = body[:20_000]
    found = _TITLE.search(start)
    words = _TAGS.sub(b" ", found[2] if found else start)
    return clean(unescape(words.decode("utf-8", "replace")), 120)
