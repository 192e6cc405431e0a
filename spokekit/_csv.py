"""The one rule for every CSV that spokekit writes: no cell may start a formula in a spreadsheet."""

from __future__ import annotations

import unicodedata
from typing import Any

# Some spreadsheets take the full-width signs, as East Asian keyboards type them, for the plain ones.
_SIGNS = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
_BREAKS = ("\t", "\r", "\n")


def guard_formula(value: Any) -> Any:
    """Return `value` with an apostrophe in front when a spreadsheet would run it as a formula.

    Only text is touched: a negative number stays a number. Spaces and invisible characters in front do not hide a
    formula, since spreadsheets trim them.
    """
    if not isinstance(value, str) or not value:
        return value
    if value.startswith(_BREAKS) or next((c for c in value if not _unseen(c)), "") in _SIGNS:
        return "'" + value
    return value


def _unseen(letter: str) -> bool:
    return letter.isspace() or unicodedata.category(letter) in ("Cc", "Cf")
