"""A frame as a table on the screen: escaped, capped, with a caption."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import traitlets as tr

from spokekit._frames import ROWS, shown
from spokekit._words import counted
from spokekit.widgets._downloads import Downloads, Taken, about
from spokekit.widgets.base import Component
from spokekit.widgets.controls import html, html_table

if TYPE_CHECKING:
    import pandas as pd


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

    commands = ("spokekit groups registered",)
    value = tr.Any(None, allow_none=True)

    def state_in_words(self) -> list[str]:
        """Say how many rows it shows."""
        return [f"{counted(len(self.value), 'row')}." if self.value is not None and len(self.value) else self._empty]

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
        self._place = html("")
        self._downloads = Downloads(self, self._taken)
        self.body = [self._place, self._downloads.row]
        self.guarded(lambda: self.refresh())()

    def refresh(self) -> None:
        """Ask the source again and show what it says now."""
        frame = self._source()
        self.value = frame
        if not len(frame):
            self._place.value = ""
            self._downloads.show(False)
            self.say(self._empty)
            return
        wanted = self._columns
        if wanted is not None and not isinstance(wanted, dict):
            wanted = {c: c.replace("_", " ") for c in wanted}
        table = shown(frame, wanted, most=ROWS, rest="the frame holds all of them")
        report = frame.attrs.get("completeness")
        self._place.value = html_table(table.heads, table.rows, caption=table.caption, numbers=table.numbers)
        self._downloads.show(True)
        if isinstance(report, dict) and report.get("complete") is False:
            self.say(f"Rows are missing: {report.get('words') or 'the answer was cut short'}", "warning")
        else:
            self.say("")

    def _taken(self) -> Taken:
        report = self.value.attrs.get("completeness")
        said = str(report.get("words") or "") if isinstance(report, dict) else ""
        return self._title, self.value, about(self._title, words=said)

    def follow(self, component: ipw.Widget, trait: str = "value") -> GroupTable:
        """Refresh whenever `trait` of another component changes; returns itself."""
        component.observe(self.guarded(lambda _: self.refresh()), trait)
        return self
