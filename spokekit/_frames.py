"""Frames: columns as a contract of names and kinds, how a frame is shown to people, and how it is written as CSV.

A list of columns is a mapping of name to kind; `frame_of` makes the frame of it, with the same types whether there are
rows or none. On screens and in files text stands left, numbers and their heads right, ids last. Codes of the API are
put in words, times are those of the person's own computer, and what is not known is called so instead of 0. No cell of
a CSV file may start a formula in a spreadsheet.
"""

from __future__ import annotations

import csv
import sys
import unicodedata
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, TextIO

from spokekit._foreign import CELL, NAME
from spokekit._foreign import markup as foreign_markup
from spokekit._foreign import shown as foreign_shown
from spokekit._words import counted, moment

if TYPE_CHECKING:
    import pandas as pd

Columns = Mapping[str, str | tuple[str, ...]]
"""Column -> kind, in the order of the frame.

``text`` (never null: what is not known is ""), ``category`` (of texts), ``bool``, ``int``, ``count`` (an int that may
be missing), ``float``, ``time`` (UTC, microseconds), ``moment`` (UTC, milliseconds, of ISO text; missing where it
cannot be read), or a tuple of texts: a category of these, in this order.
"""
# -- columns -----------------------------------------------------------------------------------------------------------

_FILLER: Mapping[Any, Any] = {"bool": False, "int": 0, "float": 0.0, "time": None, "moment": None, "count": None}


def frame_of(rows: Iterable[Any], columns: Columns) -> pd.DataFrame:
    """Return the frame of `columns` with `rows`: tuples in the order of the columns, mappings, or objects."""
    import pandas as pd

    kept = list(rows)
    if kept and not isinstance(kept[0], tuple):
        get = itemgetter if isinstance(kept[0], Mapping) else attrgetter
        values: Iterable[Iterable[Any]] = [list(map(get(name), kept)) for name in columns]
    else:
        values = zip(*kept, strict=True) if kept else ([] for _ in columns)
    pairs = zip(columns.items(), values, strict=True)
    return pd.DataFrame({name: as_kind(pd.Series(list(v), dtype=object), kind, len(kept)) for (name, kind), v in pairs})


def as_kind(series: pd.Series | None, kind: str | tuple[str, ...], length: int) -> pd.Series:
    """Return `series` (without one, `length` times what is not known) as a kind of `Columns`."""
    import pandas as pd

    if series is None:
        series = pd.Series([_FILLER.get(kind, "")] * length, dtype=object)
    series = series.reset_index(drop=True)
    if isinstance(kind, tuple):
        return series.astype(pd.CategoricalDtype(pd.Index(kind, dtype="str")))
    if kind == "category":
        # A missing id has no place among the categories; as text it is "", like everything that is not known.
        if isinstance(series.dtype, pd.CategoricalDtype) and not series.hasnans:
            return series
        return _text(series).astype("category")
    if kind == "text":
        return _text(series)
    if kind == "bool":
        if series.dtype == bool:
            return series
        return series.map(lambda value: value is not None and value == value and bool(value)).astype(bool)
    if kind == "time":
        return pd.to_datetime(series, utc=True, format="ISO8601").astype("datetime64[us, UTC]")
    if kind == "moment":
        return pd.to_datetime(series, utc=True, errors="coerce", format="ISO8601").dt.as_unit("ms")
    numeric: Any = {"count": "Int64", "float": "float64", "int": "int64"}[kind]
    made: pd.Series = series.astype(numeric)
    return made


def _text(series: pd.Series) -> pd.Series:
    import pandas as pd

    if isinstance(series.dtype, pd.CategoricalDtype):
        # Category by category: a frame of two million rows may have three values.
        words = pd.Series(series.cat.categories, dtype=object).map(str)
        taken = pd.Series(words.to_numpy(dtype=object), dtype=object).reindex(series.cat.codes).fillna("")
        return taken.reset_index(drop=True).astype("str")
    if series.isna().any():
        series = series.astype(object).where(series.notna(), "")
    return series.astype("str")


class Codes:
    """A column of texts that repeat, as int32 codes and each text once."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}
        self.codes = array("i")

    def number(self, text: str) -> int:
        """Return the code of a text, a new one for a new text."""
        return self.texts.setdefault(text, len(self.texts))

    def add(self, text: str) -> None:
        """Add a row."""
        self.codes.append(self.texts.setdefault(text, len(self.texts)))

    def categorical(self, rows: Any = None) -> pd.Categorical:
        """Return the column, or of its rows those that `rows` (an array of places) names."""
        codes = numbers(self.codes)
        return categorical(codes if rows is None else codes[rows], self.texts)


def numbers(values: array[int]) -> Any:
    """Return what was collected as an array of numpy, of the same type and without a copy."""
    import numpy as np

    kind = np.dtype(values.typecode)
    return np.frombuffer(values, dtype=kind) if len(values) else np.empty(0, kind)


def categorical(codes: Any, texts: Iterable[str]) -> pd.Categorical:
    """Return the column in which each code stands for its text."""
    import pandas as pd

    return pd.Categorical.from_codes(codes, categories=pd.Index(list(texts), dtype="str"))


# -- how they are shown ------------------------------------------------------------------------------------------------

UNKNOWN = "unknown"
# Rows that a table of a frame shows.
ROWS = 200

_MANAGED = {
    "ADMINS": "administrators",
    "EXTERNAL": "identity provider",
    "TEAM_MEMBERS": "team members",
    "OPEN": "anybody (open team)",
}
# By column, so that a group whose name is ADMINS keeps it.
WORDS: Mapping[str, Mapping[str, str]] = {
    "managed_by": _MANAGED,
    "usage_type": {"USERBASE_GROUP": "group", "TEAM_COLLABORATION": "team", "ADMIN_OVERRIDE": "admin override"},
    "account_type": {"ATLASSIAN": "person", "APP": "app", "CUSTOMER": "customer"},
    "principal_type": {"USER": "person", "GROUP": "group", "ACCESS_CLASS": "class of people", "ROLE": "role"},
}


@dataclass(frozen=True)
class Shown:
    """The cells of a table as text; ``numbers`` are positions of columns, ``caption`` says how many rows there are."""

    columns: tuple[str, ...]
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int]
    caption: str


def is_id(column: str) -> bool:
    """Say whether a column or a heading is that of an id."""
    return column.lower().replace("_", " ").split()[-1:] == ["id"]


def ordered(columns: list[str]) -> list[str]:
    """Return columns with those of ids last; the order is kept otherwise."""
    return sorted(columns, key=is_id)


def is_number(series: pd.Series) -> bool:
    """Say whether a column holds numbers, which stand right."""
    return series.dtype.kind in "iuf"


def human(column: str, value: Any) -> Any:
    """Return a value as a person reads it: text, or the number or bool that it is; `UNKNOWN` for a missing number."""
    if isinstance(value, str):
        # Two endpoints write one thing in two ways: ACCESS_CLASS and access-class.
        return WORDS.get(column, {}).get(value.upper().replace("-", "_"), value)
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, datetime):
        # pandas' own has an astimezone of its own that needs a zone.
        plain = getattr(value, "to_pydatetime", lambda: value)()
        return moment(plain) if plain.tzinfo else f"{plain:%Y-%m-%d %H:%M}"
    return value.isoformat() if isinstance(value, date) else value


def cell(column: str, value: Any, *, missing: str = "") -> str:
    """Return `human` as text, with thousands separated; `missing` for what is not there."""
    import pandas as pd

    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return missing
    said = human(column, value)
    if isinstance(said, bool):
        return "yes" if said else "no"
    if isinstance(said, float):
        return f"{said:,.0f}" if said.is_integer() else f"{said:,.1f}"
    return f"{said:,}" if isinstance(said, int) else str(said)


def shown(frame: pd.DataFrame, columns: Mapping[str, str] | None = None, *, most: int = ROWS, rest: str = "") -> Shown:
    """Return what a table of `frame` holds.

    Parameters
    ----------
    columns:
        Which columns, with their headings; without it all, under their names.
    most:
        How many rows at most; the caption says when there are more, and goes on with `rest`.
    """
    wanted = columns or {name: str(name).replace("_", " ") for name in frame.columns}
    names = ordered([name for name in wanted if name in frame])
    head = frame.head(most)
    numbers = frozenset(i for i, name in enumerate(names) if is_number(frame[name]))
    cells = [
        [cell(name, value, missing=UNKNOWN if i in numbers else "") for value in head[name]]
        for i, name in enumerate(names)
    ]
    caption = counted(len(frame), "row")
    if len(frame) > most:
        caption = f"The first {most:,} of {caption}{f'; {rest}' if rest else ''}"
    return Shown(
        tuple(names),
        tuple(wanted[name] for name in names),
        tuple(zip(*cells, strict=True)),
        numbers,
        caption,
    )


def inside(table: Shown) -> str:
    """Return head and body of an HTML table; what is right-aligned has the class ``number``."""
    css = [" class='number'" if i in table.numbers else "" for i in range(len(table.heads))]

    def line(words: Iterable[str], tag: str, close: str) -> str:
        made = "".join(f"<{tag}{css[i]}>{foreign_markup(word, NAME)}</{close}>" for i, word in enumerate(words))
        return f"<tr>{made}</tr>"

    body = "\n".join(line(row, "td", "td") for row in table.rows)
    head = line(table.heads, "th scope='col'", "th")
    return f"<thead>{head}</thead><tbody>{body}</tbody>"


# -- frames that show themselves in a notebook -------------------------------------------------------------------------

_STYLE = (
    "<style>.spokekit-frame{overflow-x:auto}"
    ".spokekit-frame table{border-collapse:collapse;font-size:var(--jp-ui-font-size1,13px);margin:0}"
    ".spokekit-frame caption{text-align:left;padding:2px 0 6px;caption-side:top}"
    ".spokekit-frame table :is(th,td){text-align:left!important;vertical-align:top;padding:4px 10px;max-width:420px;"
    "white-space:normal;overflow-wrap:break-word;border-bottom:1px solid var(--jp-border-color2,#e0e0e0)}"
    ".spokekit-frame table .number{text-align:right!important;font-variant-numeric:tabular-nums}</style>"
)


def markup(frame: pd.DataFrame, *, most: int = 60) -> str:
    """Return a frame as escaped HTML that needs nothing but itself."""
    table = shown(frame, most=most, rest="the frame holds all of them")
    title = str(frame.attrs.get("title") or "")
    said = foreign_markup(f"{title} {table.caption}." if title else f"{table.caption}.")
    return f"{_STYLE}<div class='spokekit-frame'><table><caption>{said}</caption>{inside(table)}</table></div>"


def _in_a_notebook(frame: Any) -> str | None:
    ours = frame.attrs.get("question") or (frame.attrs.get("title") and frame.index.dtype.kind == "i")
    return markup(frame) if ours else frame._repr_html_()


def show_in_notebooks() -> None:
    """Let answers and frames with a title, and nothing else that is a frame, show themselves as `markup` in IPython."""
    import pandas as pd

    if "IPython" not in sys.modules:
        return
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is not None and shell.display_formatter is not None:
        shell.display_formatter.formatters["text/html"].for_type(pd.DataFrame, _in_a_notebook)


# -- CSV ---------------------------------------------------------------------------------------------------------------

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


def in_cell(cell: Any, value: Any, font: Any = None) -> Any:
    """Put a value into a cell of a workbook, and return the cell; a text stays a text, whatever it begins with."""
    if isinstance(value, str):
        # Set as text by hand: openpyxl would make a formula of what begins with "=".
        cell._value, cell.data_type = foreign_shown(value, CELL), "s"
    else:
        cell.value = value
    if font is not None:
        cell.font = font
    return cell


def write_rows(sink: TextIO, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows as CSV with plain line ends."""
    usual = csv.writer(sink, lineterminator="\n")
    # With such line ends, Python leaves a carriage return in a cell unquoted, and a reader begins a new row there.
    quoted = csv.writer(sink, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        (quoted if any(isinstance(cell, str) and "\r" in cell for cell in row) else usual).writerow(row)


def _unseen(letter: str) -> bool:
    return letter.isspace() or unicodedata.category(letter) in ("Cc", "Cf")
