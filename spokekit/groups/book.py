"""What a journal is of: its tables, and how a row is written down in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa

from spokekit._secret import scrub
from spokekit.groups.plan import NOT_DONE, Row
from spokekit.groups.site_state import Place
from spokekit.groups.tables import entries_table, plans_table


class Planned(Protocol):
    """What a journal keeps of a plan when an apply of it begins."""

    @property
    def planned(self) -> Sequence[Row]: ...
    @property
    def place(self) -> Place: ...
    @property
    def by(self) -> str: ...
    @property
    def mode(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def undo_of(self) -> str: ...


def _packed(row: Row) -> list[str]:
    return [row.group_id, row.group, row.account_id, row.action]


def _unpacked(kept: list[str]) -> Row:
    group_id, group, account_id, action = kept
    return Row(group_id, group, account_id, "", action, "stopped", NOT_DONE, "Not reached.")


def _outcome(row: Row, entry: Mapping[str, Any]) -> Row:
    return row.ended(entry["status"], entry["reason"], entry["message"])


@dataclass(frozen=True)
class Book:
    """Where a journal is kept, and how a row is written down.

    ``packed`` and ``unpacked`` turn a planned row into what is kept of it and back, ``detail`` gives the columns that
    an entry has beyond those of `journal_tables`, and ``outcome`` a row with what an entry says became of it.
    ``command`` lists the applies. ``kind`` is what a file says that has the rows when the
    journal was lost, and ``actions`` what can be done to a ``row``.
    """

    entries: sa.Table
    plans: sa.Table
    packed: Callable[[Any], list[str]] = _packed
    unpacked: Callable[[list[str]], Row] = _unpacked
    detail: Callable[[Any], Mapping[str, str]] = lambda _: {}
    outcome: Callable[[Any, Any], Row] = _outcome
    command: str = "spokekit members journal"
    kind: str = "spokekit apply"
    actions: frozenset[str] = frozenset(("add", "remove"))
    row: type[Row] = Row

    def columns(self, row: Row, *, ended: bool) -> dict[str, Any]:
        """Return the columns of an entry about a row; what became of it only where it has ended."""
        about = {"group_id": row.group_id, "group_name": row.group, "account_id": row.account_id, "action": row.action}
        if not ended:
            return about
        return about | {"status": row.status, "reason": row.reason, "message": scrub(row.message), **self.detail(row)}


MEMBERSHIPS = Book(entries_table, plans_table)
