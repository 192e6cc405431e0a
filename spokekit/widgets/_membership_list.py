"""The list of members in the membership editor: filtered, shown, marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import traitlets as tr

from spokekit.widgets._membership_form import MembershipForm
from spokekit.widgets._membership_views import MemberLines
from spokekit.widgets.controls import show

if TYPE_CHECKING:
    import pandas as pd


class MembershipList(MembershipForm):
    """The members of the chosen group, and which of them are marked."""

    group_id = tr.Unicode("")
    value = tr.Tuple(())
    members = tr.Any(None, allow_none=True)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._lines: MemberLines | None = None

    def _forget_members(self) -> None:
        """Empty the list: people of one group under the name of another, marks and all, would be removed from that."""
        self._lines = None
        self.members = None
        self.value = ()
        self.list.options = ()
        self.count.value = self.table.value = ""

    def _take_members(self, frame: pd.DataFrame) -> None:
        before = self._lines
        self._lines = MemberLines(frame)
        self._lines.words = self.filter.value
        if before is not None:
            self._lines.marked = {account: None for account in before.marked if account in self._lines.rows}
        self.members = frame
        self._show_list()

    def _show_list(self) -> None:
        lines = self._lines
        if lines is None:
            return
        shown = lines.shown
        marked = tuple(account for account in shown if account in lines.marked)
        self.fill(self.list, ((lines.labels[account], account) for account in shown), marked)
        self._say_count()
        show(self.table, when=self.as_table.value)
        self.table.value = lines.table(self.group.label or self.group_id) if self.as_table.value else ""

    def _say_count(self) -> None:
        if self._lines is not None:
            self.count.value = f"<p>{self._lines.count_words()}</p>"
            self.value = tuple(self._lines.marked)

    def _filter(self, words: str) -> None:
        if self._lines is not None:
            self._lines.words = words
            self._show_list()

    def _mark(self, chosen: tuple[str, ...]) -> None:
        if self._lines is not None:
            self._lines.mark(chosen)
            self._say_count()

    def _mark_all(self) -> None:
        if self._lines is not None:
            self._lines.mark_matches()
            self._show_list()

    def mark(self, accounts: Any) -> None:
        """Mark exactly these members."""
        if self._lines is not None:
            self._lines.marked = {account: None for account in accounts if account in self._lines.rows}
            self._show_list()
