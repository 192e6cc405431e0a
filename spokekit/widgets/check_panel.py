"""Check the connection: the verdict first, then what you can do, then one line for each thing that was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import traitlets as tr

from spokekit._foreign import markup
from spokekit._words import counted
from spokekit.widgets._downloads import Downloads, Taken, about
from spokekit.widgets.base import Component, Task
from spokekit.widgets.controls import Fold, Kind, hide, html, html_table, note, row, show
from spokekit.widgets.steps import saved_connection

if TYPE_CHECKING:
    import pandas as pd

    from spokekit._workspace import Workspace
    from spokekit.connections.connection import Connection

_WORDS = {"ok": "✓ yes", "missing": "✕ missing", "failed": "✕ failed", "unknown": "? unknown", "off": "○ not asked"}
_WRONG = ("missing", "failed")
_WIDTHS = ("24%", "12%", "38%", "26%")
# What a person can do comes first; of which scopes and calls that is made up is out of the way.
_FIRST = {"step": "What you can do"}
_BEHIND = {"connection": "Connection", "person": "The person", "scope": "Scopes"}


class CheckPanel(Component):
    """Check what a connection can do, without changing anything.

    The path without a widget: ``workspace().check()``, or ``spokekit connections check``.

    Parameters
    ----------
    connection:
        A saved connection or its name; without it, the default alias's.
    workspace:
        Without it, this process's.

    Attributes
    ----------
    value:
        The frame of `spokekit.check.check_connection` after a check, else None.
    accepted:
        How many checks were made.
    """

    commands = ("spokekit connections check",)
    value = tr.Any(None, allow_none=True)
    accepted = tr.Int(0)

    def __init__(
        self, connection: Connection | str | None = None, *, workspace: Workspace | None = None, **options: Any
    ) -> None:
        super().__init__("Check the connection", **options)
        name = connection if isinstance(connection, str) or connection is None else connection.connection_id
        self.work_with(workspace, name)
        self.start = self.button("Check the connection", self.check, kind="primary")
        self._place = html("")
        self._behind = html("")
        self.fold = Fold("All that was asked", self._behind)
        hide(self.fold)
        self._downloads = Downloads(self, self._taken)
        self._answer_of = self.belongs_to(
            "check",
            {"connection": lambda: saved_connection(self._workspace, self._name)},
            self._place,
            self.fold,
            again="Press Check the connection.",
            changed=lambda: self._downloads.show(self._answer_of.known, current=self._answer_of.current),
        )
        self.body = [
            note("Asks Confluence for each scope once. Nothing is changed, not even by the check of the write scope."),
            row(self.start, css="sk-actions"),
            self.outcome,
            self._answer_of.note,
            self._place,
            self.fold,
            self._downloads.row,
        ]
        self.disable_while_busy(self.start)

    def follow(self, component: Component) -> CheckPanel:
        """Check the connection that another component is about; returns itself.

        The answer is greyed when that component changes the connection, or is about another one.
        """

        def chosen(change: dict[str, Any]) -> None:
            if change["name"] == "connection" and change["new"] is not None:
                self._name = change["new"].connection_id
            self._answer_of.see()

        names = [name for name in ("connection", "saved", "token_status", "rows") if component.has_trait(name)]
        component.observe(self.guarded(chosen), names)
        return self

    def see(self) -> None:
        """Look whether the connection is still the one that was checked, and grey the answer if not."""
        self._answer_of.see()

    def check(self) -> None:
        """Make the check, in the background."""
        inputs = self._answer_of.inputs()
        name = self._name

        def work(task: Task) -> pd.DataFrame:
            return self._workspace.check(name, progress=task.progress, cancel=task.cancelled)

        self.run(work, words="Checking the connection", done=lambda found: self._show(found, inputs))

    def _show(self, found: pd.DataFrame, inputs: dict[str, Any]) -> None:
        wrong = found[found["state"].isin(_WRONG) & (found["kind"] != "step")]
        parts = [_section("To mend first", wrong)] if len(wrong) else []
        parts += [_section(title, found[found["kind"] == kind]) for kind, title in _FIRST.items()]
        self._place.value = "".join(parts)
        # What no harmless call can test is nothing that a newcomer should read first.
        behind = found.drop(index=wrong.index).sort_values("state", key=lambda s: s.astype(str) != "ok", kind="stable")
        self._behind.value = "".join(_section(title, behind[behind["kind"] == kind]) for kind, title in _BEHIND.items())
        show(self.fold)
        self.value = found
        self.accepted += 1
        self._answer_of.made(found, inputs, *verdict(found))

    def _taken(self) -> Taken:
        found: pd.DataFrame = self._answer_of.require()
        return "check of the connection", found, about("Check of the connection", found.attrs["connection"])

    def rehearse(self) -> None:
        """Do what a person does: press the button, and read."""
        self.finish(self.check)


def verdict(found: pd.DataFrame) -> tuple[str, Kind]:
    """Return what a check came to in a sentence or two, and whether that is a warning."""
    who = f"“{found.attrs['connection']}”: "
    steps = found[found["kind"] == "step"]
    cannot = list(steps.loc[steps["state"].isin(_WRONG), "check"])
    untold = list(steps.loc[steps["state"] == "unknown", "check"])
    off = list(steps.loc[steps["state"] == "off", "check"])
    wrong = int((found["state"].isin(_WRONG) & (found["kind"] != "step")).sum())
    parts = []
    if wrong or cannot:
        count = wrong or len(cannot)
        parts.append(f"{counted(count, 'thing')} to mend; what to do stands beside {'it' if count == 1 else 'each'}.")
    if cannot:
        parts.append(f"It does not work for: {', '.join(cannot)}.")
    if untold:
        parts.append(f"No telling whether it works for: {', '.join(untold)}.")
    if parts:
        return who + " ".join(parts), "warning"
    asked = f" Not asked for: {', '.join(off)}." if off else ""
    return f"{who}All is well, nothing to mend.{asked}", "good"


def _section(title: str, rows: pd.DataFrame) -> str:
    if not len(rows):
        return ""
    columns = [rows[name].astype(str) for name in ("check", "state", "words", "fix")]
    lines = [(what, _WORDS.get(state, state), words, fix) for what, state, words, fix in zip(*columns, strict=True)]
    heads = ("what", "there?", "in words", "what to do")
    # Where nothing is to be done no column says so, and a narrow page has room for the words.
    most = len(heads) if any(rows["fix"]) else len(heads) - 1
    table = html_table(heads[:most], [line[:most] for line in lines], label=title, widths=_WIDTHS[: most - 1])
    return f"<p class='sk-section'>{markup(title)}</p>{table}"
