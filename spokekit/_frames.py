"""How a frame is shown to people: one order of columns and one way of writing a value, on screens and in files.

Text stands left, numbers and their heads right, ids last. Codes of the API are put in words, times are those of the
person's own computer, and what is not known is called so instead of 0.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from spokekit._foreign import NAME
from spokekit._foreign import markup as foreign_markup
from spokekit._words import counted, moment

if TYPE_CHECKING:
    import pandas as pd

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
