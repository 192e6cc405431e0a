"""Take away what a component shows: a row of buttons that hand a file to the browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import ipywidgets as ipw

from spokekit._words import counted
from spokekit.errors import InputError
from spokekit.widgets._browser import DownloadButton
from spokekit.widgets.controls import row, show

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.audit.show.export import About
    from spokekit.widgets.base import Component, Task

# What a page takes at once without standing still.
MOST_BYTES = 20_000_000
MOST_ROWS = {"csv": 500_000, "xlsx": 50_000, "html": 1_000_000}
_WORDS = {"csv": "Download CSV", "xlsx": "Download Excel", "html": "Download HTML"}
MIME = {
    "csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "html": "text/html",
}

Taken: TypeAlias = "tuple[str, pd.DataFrame, About]"
Source = Callable[[], Taken]


class Downloads:
    """The buttons *Download CSV*, *Excel* and *HTML* of a component.

    Parameters
    ----------
    component:
        Whose status line tells of it.
    source:
        Returns name, frame and description of what is shown at the moment of the press; what it raises is shown.

    Attributes
    ----------
    row:
        The widget; hidden until `show` is called.
    """

    def __init__(self, component: Component, source: Source) -> None:
        self._component = component
        self._source = source
        self.buttons: Mapping[str, DownloadButton] = {kind: DownloadButton(words) for kind, words in _WORDS.items()}
        self.row: ipw.HBox = row(*self.buttons.values(), css="sk-actions")
        for kind, made in self.buttons.items():
            made.on_asked(component.guarded(lambda kind=kind: self.take(kind)))
        self._current, self._said = False, ""
        # Not `disable_while_busy`: what was no answer before the work is one after it.
        component.observe(lambda _: self._allow(), "busy")
        self.show(False)

    def show(self, there: bool, *, current: bool = True) -> None:
        """Show the buttons when something is there; only what is `current` can be taken away."""
        show(self.row, when=there)
        self._current = current
        self._allow()
        if self._said and self._component.status == self._said and not (there and current):
            # It was of what is not shown any more.
            self._component.say("")

    def _allow(self) -> None:
        for made in self.buttons.values():
            made.disabled = self._component.busy or not self._current

    def take(self, kind: str) -> None:
        """Make the file in the background and hand it to the browser."""
        name, frame, about = self._source()
        if len(frame) > MOST_ROWS[kind]:
            raise InputError(
                f"{counted(len(frame), 'row')} are too many for a download as {_WORDS[kind].split()[-1]} (at most "
                f"{MOST_ROWS[kind]:,}).",
                hint="Take CSV, or write a file: `from spokekit.audit import export`, or spokekit audit export.",
            )

        def work(_task: Task) -> bytes:
            from spokekit.audit.show import export

            made = {"csv": export.csv_bytes, "xlsx": export.xlsx_bytes, "html": export.html_bytes}
            given: Any = (frame,) if kind == "csv" else ({name: frame}, about)
            data: bytes = made[kind](*given)  # type: ignore[operator]
            if len(data) > MOST_BYTES:
                raise InputError(
                    f"The file would hold {len(data) / 1e6:.0f} MB, more than a page takes at once.",
                    hint="Write it instead: `from spokekit.audit import export`, or spokekit audit export.",
                )
            return data

        def give(data: bytes) -> None:
            file = f"{plain(name) or 'table'}.{kind}"
            self.buttons[kind].give(file, MIME[kind], data)
            self._said = f"{file} went to the downloads of your browser: {counted(len(frame), 'row')}."
            self._component.say(self._said, "ok")

        self._component.run(work, words="Making the file", done=give)


def about(title: str, site: str = "", words: str = "") -> About:
    """Describe what is taken away; `words` say how complete it is."""
    from spokekit.audit.show.export import About

    return About(title, site, None, "", "", words)


def hand_out(
    component: Component, pressed: DownloadButton, name: str, mime: str, make: Callable[[], bytes], *, words: str
) -> None:
    """Make a file in the background and hand it to the browser; `words` stand in the status line meanwhile."""

    def give(data: bytes) -> None:
        pressed.give(name, mime, data)
        component.say(f"{name} went to the downloads of your browser.", "ok")

    component.run(lambda _task: make(), words=words, done=give)


def plain(name: str) -> str:
    """Return a name as the name of a file may be; empty when nothing is left of it."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[:80]
