"""The one rule for every CSV that spokekit writes: no cell may start a formula in a spreadsheet."""

from __future__ import annotations

from typing import Any

_STARTERS = ("=", "+", "-", "@", "\t", "\r")


def guard_formula(value: Any) -> Any:
    """Return `value` with an apostrophe in front when a spreadsheet would run it as a formula.

    Only text is touched: a negative number stays a number. Leading spaces do not hide a formula, since
    spreadsheets trim them.
    """
    if isinstance(value, str) and value.lstrip(" \u00a0").startswith(_STARTERS):
        return "'" + value
    return value
