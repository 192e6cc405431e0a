"""The one rule for every CSV that spokekit writes: no cell may start a formula in a spreadsheet."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

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


def write_rows(sink: TextIO, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows as CSV with plain line ends."""
    usual = csv.writer(sink, lineterminator="\n")
    # With such line ends, Python leaves a carriage return in a cell unquoted, and a reader begins a new row there.
    quoted = csv.writer(sink, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        (quoted if any(isinstance(cell, str) and "\r" in cell for cell in row) else usual).writerow(row)


def _unseen(letter: str) -> bool:
    return letter.isspace() or unicodedata.category(letter) in ("Cc", "Cf")
