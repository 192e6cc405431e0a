"""Check the connection: one press, one line for each thing that it can or cannot do, with the fix."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import traitlets as tr

from spokekit.errors import NotConfigured, NotFound
from spokekit.widgets.base import Component, Task, button, html, html_table, note, row

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.connections.connection import Connection
    from spokekit.workspace import Workspace

_WORDS = {"ok": "✓ yes", "missing": "✕ missing", "failed": "✕ failed", "unknown": "? unknown", "off": "○ not asked"}
_WIDTHS = ("24%", "12%", "38%", "26%")
_KINDS = {"connection": "Connection", "scope": "Scopes", "person": "The person", "step": "What you can do"}


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

    value = tr.Any(None, allow_none=True)
    accepted = tr.Int(0)

    def __init__(
        self, connection: Connection | str | None = None, *, workspace: Workspace | None = None, **options: Any
    ) -> None:
        super().__init__("Check the connection", **options)
        if workspace is None:
            from spokekit.workspace import workspace as of_this_process

            workspace = of_this_process()
        self._workspace = workspace
        self._name = connection if isinstance(connection, str) or connection is None else connection.connection_id
        self.start = button("Check the connection", kind="primary")
        self._place = html("")
        self._answer_of = self.belongs_to(
            "check", {"connection": self._connection}, self._place, again="Press Check the connection."
        )
        self.body = [
            note("Asks Confluence for each scope once. Nothing is changed, not even by the check of the write scope."),
            row(self.start, css="sk-actions"),
            self._answer_of.note,
            self._place,
        ]
        self.on_click(self.start, self.check)
        self.disable_while_busy(self.start)

    def follow(self, component: Component) -> CheckPanel:
        """Grey the check when another component changes the connection; returns itself."""
        component.observe(self.guarded(lambda _: self._answer_of.see()), ["saved", "token_status"])
        return self

    def _connection(self) -> Connection | None:
        try:
            return self._workspace.connection(self._name)
        except (NotConfigured, NotFound):
            return None

    def check(self) -> None:
        """Make the check, in the background."""
        inputs = self._answer_of.inputs()

        def work(task: Task) -> pd.DataFrame:
            return self._workspace.check(self._name, progress=task.progress, cancel=task.cancelled)

        self.run(work, words="Checking the connection", done=lambda found: self._show(found, inputs))

    def _show(self, found: pd.DataFrame, inputs: dict[str, Any]) -> None:
        parts = []
        for kind, title in _KINDS.items():
            rows = found[found["kind"] == kind]
            if len(rows):
                columns = [rows[name].astype(str) for name in ("check", "state", "words", "fix")]
                lines = [
                    (what, _WORDS.get(state, state), words, fix)
                    for what, state, words, fix in zip(*columns, strict=True)
                ]
                table = html_table(("what", "there?", "in words", "what to do"), lines, label=title, widths=_WIDTHS)
                parts.append(f"<p class='sk-section'>{escape(title)}</p>{table}")
        self._place.value = "".join(parts)
        self.value = found
        self.accepted += 1
        wrong = int(found["state"].isin(["missing", "failed"]).sum())
        words = f"All is well: {len(found)} checks, nothing to mend."
        if wrong:
            words = f"{wrong} of {len(found)} checks found something to mend; the last column says how."
        self._answer_of.made(found, inputs, words, "warning" if wrong else "ok")
