"""What the membership editor shows, as escaped markup: members, a preview, a result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spokekit._ids import account_id
from spokekit._words import comparable, counted
from spokekit.widgets.controls import bullets, html_table, sentence

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.groups.journal import ApplyState
    from spokekit.groups.membership import Preview, Result, Resumption, Row

SHOWN = 500
ROWS_SHOWN = 200


class MemberLines:
    """The members of a group as lines of a list: filtered, capped, marked. The marks outlive the filter."""

    def __init__(self, members: pd.DataFrame) -> None:
        columns = ("account_id", "display_name", "email", "account_type", "is_guest", "licensed")
        rows = zip(*(members[name].tolist() for name in columns), strict=True)
        self.rows: dict[str, Mapping[str, Any]] = {row[0]: dict(zip(columns, row, strict=True)) for row in rows}
        names = [row["display_name"] for row in self.rows.values()]
        twins = {name for name in names if names.count(name) > 1} if len(names) <= SHOWN else set()
        self.labels = {account: _label(row, twins) for account, row in self.rows.items()}
        self._folded = {account: comparable(f"{label} {account}") for account, label in self.labels.items()}
        self.marked: dict[str, None] = {}
        self.words = ""
        self._found: tuple[str, list[str]] | None = None

    @property
    def matches(self) -> list[str]:
        """Accounts whose line has every word of the filter."""
        if self._found is None or self._found[0] != self.words:
            words = comparable(account_id(self.words)).split()
            fit = [account for account, line in self._folded.items() if all(word in line for word in words)]
            self._found = (self.words, fit)
        return self._found[1]

    @property
    def shown(self) -> list[str]:
        """The first `SHOWN` of the matches."""
        return self.matches[:SHOWN]

    def mark(self, chosen: Iterable[str]) -> None:
        """Take over what is chosen among the shown; marks on others stay."""
        wanted = set(chosen)
        for account in self.shown:
            if account in wanted:
                self.marked[account] = None
            else:
                self.marked.pop(account, None)

    def mark_matches(self) -> None:
        """Mark all matches, those too that the list does not show."""
        self.marked.update(dict.fromkeys(self.matches))

    def count_words(self) -> str:
        """How many there are, match, are shown and are marked."""
        total, matches = len(self.rows), len(self.matches)
        text = counted(total, "member")
        if self.words.strip():
            text += f", {matches:,} match"
        if matches > SHOWN:
            text += f", the first {SHOWN} are shown"
        return f"{text}; {len(self.marked):,} marked."

    def table(self, group: str) -> str:
        """The shown members as a table."""
        rows = [
            (
                row["display_name"],
                row["email"] or "hidden",
                _kind(row),
                "yes" if row["licensed"] else "no",
                row["account_id"],
            )
            for row in (self.rows[account] for account in self.shown)
        ]
        heads = ("name", "e-mail", "account", "may use Confluence", "account id")
        return html_table(heads, rows, caption=f"Members of {group}: {self.count_words()}")


def _kind(row: Mapping[str, Any]) -> str:
    return "app" if row["account_type"] == "app" else "guest" if row["is_guest"] else "person"


def _label(row: Mapping[str, Any], twins: set[str]) -> str:
    name, mail, account = row["display_name"], row["email"], row["account_id"]
    parts = [name or account]
    if mail:
        parts.append(mail)
    if name in twins or not (name or mail):
        parts.append(account)
    if _kind(row) != "person":
        parts.append(_kind(row))
    elif not row["licensed"]:
        parts.append("no access")
    return " · ".join(parts)


def unfinished_markup(open_ones: Sequence[ApplyState], names: Mapping[str, str]) -> str:
    """The applies that were not finished: who, when, where, how far; the first is the one that the buttons are for.

    `names` are those of accounts, as far as they are known here: the journal holds ids alone.
    """
    from spokekit.groups.resumption import about

    first, *others = open_ones
    lines = bullets(about(first, names.get(first.by or "", "")))
    text = f"<p><strong>An earlier apply was not finished.</strong></p>{lines}"
    if others:
        more = bullets(about(other, names.get(other.by or "", ""))[0] for other in others)
        text += f"<p>Not finished either, and offered when this one is settled:</p>{more}"
    return text


def preview_markup(preview: Preview, rest: Resumption | None = None) -> str:
    """The preview: sentences, dangers, counts by group, rows; of the `rest` of an apply, with what that is."""
    plan = preview.plan
    text = bullets((preview if rest is None else rest).lines)
    if preview.dangers:
        text += f"<p><strong>Think about this first</strong></p>{bullets(preview.dangers)}"
    groups = preview.groups
    heads = [name.replace("_", " ") for name in groups.columns if name != "group_id"]
    rows = [(name or group_id, *counts) for group_id, name, *counts in groups.itertuples(index=False, name=None)]
    text += html_table(heads, rows, caption="By group", numbers=range(1, len(heads)))
    return text + rows_markup(plan.rows, "What will happen")


def result_markup(result: Result, place: str) -> str:
    """The result: words and rows."""
    where = (
        f"<p>In the journal as <code>{sentence(result.apply_id)}</code> on {sentence(place)}.</p>"
        if result.apply_id and result.kept is None
        else ""
    )
    return f"<p><strong>{sentence(result.words)}</strong></p>{where}" + rows_markup(result.rows, "What happened")


def rows_markup(rows: Sequence[Row], caption: str) -> str:
    """Rows of a plan or a result; the ones that something is to be said about first, capped."""
    order = sorted(rows, key=lambda row: row.status in ("planned", "done"))
    if len(rows) > ROWS_SHOWN:
        caption += f": {ROWS_SHOWN} of {len(rows):,} rows; the frame holds all of them"
    cells = [
        (
            row.group or row.group_id,
            row.display_name or "(no name)",
            row.action,
            row.status,
            row.message,
            row.account_id,
        )
        for row in order[:ROWS_SHOWN]
    ]
    return html_table(("group", "name", "action", "status", "message", "account id"), cells, caption=caption)
