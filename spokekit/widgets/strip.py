"""The line at the head of a notebook: the notebooks that belong together, where you are, what is done, what is next."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import traitlets as tr

from spokekit._foreign import markup
from spokekit._home import nothing_kept, under_voila
from spokekit.widgets.base import Component
from spokekit.widgets.controls import Fold, html, notebook_link, row


@dataclass(frozen=True)
class Stop:
    """A notebook as a strip names it: a sign, its title, a word where room is scarce, its file in `notebooks/`."""

    sign: str
    title: str
    word: str
    notebook: str


class Strip(Component):
    """Base of the lines at the head of notebooks.

    A link leads from where this notebook is to where the other one is, whichever folder of ``notebooks/`` either is in.

    Parameters
    ----------
    title:
        The heading, for screen readers alone.
    here:
        The notebook that the strip stands in.
    stops:
        The notebooks that it names, in their order.

    Attributes
    ----------
    done:
        What is done.
    leads_on:
        False where the other notebooks know nothing of what was done here.
    """

    done = tr.Tuple(())

    def __init__(self, title: str, here: Stop, stops: Iterable[Stop], **options: Any) -> None:
        super().__init__(title, **options)
        self.add_class("sk-guide")
        # It stands right under the notebook's own heading.
        self._head = [html(f"<h2>{markup(title)}</h2>", "sk-heading")]
        self.here, self.stops = here, tuple(stops)
        self.leads_on = not (under_voila(os.environ) and nothing_kept(os.environ))
        self._line = html("", "sk-steps")
        self._details = html("", "sk-note")
        self.again = self.button("Look again", self.refresh, kind="quiet", tooltip="Read anew what is done")
        self.more = Fold("Details", self._details, row(self.again))
        self.pointer = html("", "sk-note")
        self._row = row(self._line, self.more, css="sk-guide-line")
        self.body = [self._row, self.pointer]
        self.on_change(self.more, lambda _: self._fold(), "shown")
        self._fold()

    def _fold(self) -> None:
        # Beside the line while it is closed, below it when it is open.
        self._row.layout.flex_flow = "row wrap" if self.more.shown else "row nowrap"
        self.more.layout.flex = "1 1 100%" if self.more.shown else "0 0 auto"

    def refresh(self) -> None:
        """Read anew what is done, and show it."""
        raise NotImplementedError

    def _show(self, place: str, done: Collection[str], after: Stop | None, *, details: str, more: str = "") -> None:
        """Write the line: `place`, the stops (marked where the sign is in `done`), `more`, and what is next."""
        items = "".join(self._item(stop, stop.sign in done) for stop in self.stops)
        self._line.value = f"{place}<ol>{items}</ol>{more}{self.next_link(after) if after else ''}"
        self._details.value = details

    def _item(self, stop: Stop, done: bool) -> str:
        mark = "<span class='sk-mark' aria-hidden='true'>✓</span><span class='sk-unseen'>done: </span>" if done else ""
        words = f"{mark}{stop.sign} <span class='sk-step-word'>{markup(stop.word)}</span>"
        title = markup(f"{stop.title}{' (done)' if done else ''}")
        if stop is self.here or not self.leads_on:
            current = " aria-current='step'" if stop is self.here else ""
            return f"<li{current} title='{title}'>{words}</li>"
        return f"<li title='{title}'>{notebook_link(self._way_to(stop), words)}</li>"

    def _way_to(self, stop: Stop) -> str:
        return posixpath.relpath(stop.notebook, posixpath.dirname(self.here.notebook) or ".")

    def next_link(self, stop: Stop) -> str:
        """Return the button that leads to `stop`, as markup."""
        words = f"Next: {stop.sign} {markup(stop.word)} →"
        return notebook_link(self._way_to(stop), words, css="sk-button", title=stop.title)
