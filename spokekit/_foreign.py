"""The one rule for foreign text, wherever it is shown: what a reader would obey or not see is written out.

Names, messages and addresses that servers, files and people bring may hold terminal escapes, direction marks, signs of
no width, line separators, halves of characters, and may be very long. Where text is shown, each such sign is written as
its escape (``\\u202e``), and what is too long is cut with a word of how long it was. Data that is compared, sent, or
written down as data stays exact; JSON writes the same signs as escapes that mean them.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from html import escape

NAME = 400
"""How many characters of a cell or a label are shown; Confluence takes 255 for a name."""
SENTENCE = 4_000
"""How many characters of a sentence, with the names in it, are shown."""
CELL = 32_767
"""How many characters a cell of a workbook holds."""

# Controls, formats, halves of characters, line and paragraph separators.
_OBEYED = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
# What has no shape all the same: fillers, joiners, variation selectors, tags, and what no XML holds.
_SHAPELESS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\ufffe\uffff"
    "\U000e0000-\U000e0fff]"
)
_JOINERS = "\u200c\u200d"
_STYLES = "\ufe0e\ufe0f"
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _unseen(letter: str) -> bool:
    return unicodedata.category(letter) in _OBEYED or _SHAPELESS.match(letter) is not None


def _is_picture(letter: str) -> bool:
    return letter != "" and (letter in _STYLES or (unicodedata.category(letter) in ("So", "Sk") and letter > "\u2000"))


def _joins(letter: str) -> bool:
    # Arabic to the scripts of India and Sri Lanka, where a joiner changes the shape of the letters beside it.
    return letter != "" and "\u0600" <= letter <= "\u0dff" and unicodedata.category(letter)[0] in "LM"


def _belongs(text: str, at: int) -> bool:
    """Tell whether a sign without a shape does its proper work: within an emoji, or between letters that it joins."""
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if text[at] in _STYLES:
        return after == "\u20e3" or (_is_picture(before) and before not in _STYLES)
    if text[at] in _JOINERS:
        return (_is_picture(before) and _is_picture(after)) or (_joins(before) and _joins(after))
    return False


def _written_out(text: str, escaped: Callable[[str], str], keep: str = "") -> str:
    if text.isprintable() and _SHAPELESS.search(text) is None:
        return text
    return "".join(c if c in keep or not _unseen(c) or _belongs(text, at) else escaped(c) for at, c in enumerate(text))


def _escape(letter: str) -> str:
    code = ord(letter)
    return _SHORT.get(letter) or (f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}")


def shown(text: object, most: int | None = None, *, keep: str = "") -> str:
    """Return `text` as it is shown: what would be obeyed or not be seen is written as an escape.

    Parameters
    ----------
    most:
        A longer text is cut to so many characters, and says how long it was.
    keep:
        Signs that stay as they are, such as the line ends between sentences of our own.
    """
    # The text of a subclass that answers for itself is not asked.
    plain = str.__str__(text) if isinstance(text, str) else str(text)
    length = len(plain)
    if most is None or length <= most:
        made = _written_out(plain, _escape, keep)
        if most is None or len(made) <= most:
            return made
    said = f"… ({length:,} characters)"
    return _cut(_written_out(plain[:most], _escape, keep), max(0, most - len(said))) + said


def _cut(text: str, most: int) -> str:
    # Not in the middle of an escape that was written out just now.
    return re.sub(r"\\(?:u[0-9a-f]{0,3}|U[0-9a-f]{0,7})?\Z", "", text[:most])


def markup(text: object, most: int = SENTENCE) -> str:
    """Return `text` as it is shown in HTML, between tags and in quoted attributes."""
    return escape(shown(text, most))


def in_json(text: str) -> str:
    """Return a JSON text that means the same, in which the signs that are obeyed or not seen are escapes."""
    return _written_out(text, lambda c: json.dumps(c)[1:-1] if ord(c) > 0x7F else f"\\u{ord(c):04x}", keep="\n")


def encodable(text: str) -> str:
    """Return `text` for a file in UTF-8: a half of a character, which no file can hold, is written as an escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
