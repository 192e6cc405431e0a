"""A frame as a table on the screen: escaped, capped, with a caption."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import traitlets as tr

from spokekit.widgets.base import Component, html, html_table

if TYPE_CHECKING:
    import pandas as pd

ROWS = 200


class GroupTable(Component):
    """Shows a frame, for example the registered groups. Server text is escaped; the frame itself stays as it is.

    Parameters
    ----------
    source:
        A frame, or a function that returns one (`refresh` asks it again).
    columns:
        Which columns to show, in this order; all by default. A dict gives them headings.
    title:
        The heading.
    empty:
        What to say when there is no row.

    Attributes
    ----------
    value:
        The frame that is shown.

    Example
    -------
    >>> GroupTable(registry.frame, title="Registered groups")
    """

    value = tr.Any(None, allow_none=True)

    def __init__(
        self,
        source: pd.DataFrame | Callable[[], pd.DataFrame],
        *,
        columns: Sequence[str] | dict[str, str] | None = None,
        title: str = "Groups",
        empty: str = "There is nothing to show yet.",
        **options: Any,
    ) -> None:
        super().__init__(title, **options)
        self._source: Callable[[], Any] = source if callable(source) else (lambda: source)
        self._columns = columns
        self._empty = empty
        self._title = title
        self._place = html("")
        self.body = [self._place]
        self.guarded(lambda: self.refresh())()

    def refresh(self) -> None:
        """Ask the source again and show what it says now."""
        frame = self._source()
        self.value = frame
        if not len(frame):
            self._place.value = ""
            self.say(self._empty)
            return
        wanted = self._columns or list(frame.columns)
        headings = wanted if isinstance(wanted, dict) else {c: c.replace("_", " ") for c in wanted}
        headings = {c: heading for c, heading in headings.items() if c in frame}
        head = frame.head(ROWS)
        columns = [[_cell(v) for v in head[c]] for c in headings]
        numbers = [i for i, c in enumerate(headings) if frame[c].dtype.kind in "iuf"]
        total = len(frame)
        caption = f"{total:,} {'row' if total == 1 else 'rows'}"
        if total > ROWS:
            caption = f"The first {ROWS} of {total:,} rows; the frame holds all of them"
        report = frame.attrs.get("completeness")
        self._place.value = html_table(
            list(headings.values()), zip(*columns, strict=True), caption=caption, numbers=numbers
        )
        if isinstance(report, dict) and report.get("complete") is False:
            self.say(f"Rows are missing: {report.get('words') or 'the answer was cut short'}", "warning")
        else:
            self.say("")

    def follow(self, component: ipw.Widget, trait: str = "value") -> GroupTable:
        """Refresh whenever `trait` of another component changes; returns itself."""
        component.observe(self.guarded(lambda _: self.refresh()), trait)
        return self


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return "yes" if value else ""
    if isinstance(value, float) and value.is_integer():
        return f"{int(value):,}"
    if isinstance(value, int) or type(value).__name__.startswith(("int", "uint")):
        return f"{int(value):,}"
    strftime = getattr(value, "strftime", None)
    return str(strftime("%Y-%m-%d %H:%M")) if strftime else str(value)
