"""What an apply does to the records of an instance, step by step, and how the journal keeps that."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import sqlalchemy as sa

from spokekit._foreign import markup
from spokekit._frames import Columns, frame_of
from spokekit._words import counted
from spokekit.connections.store import Store
from spokekit.errors import InputError
from spokekit.groups.book import Book
from spokekit.groups.journal import Journal
from spokekit.groups.plan import ALREADY, NOT_DONE, PLANNED, REFUSED, Row
from spokekit.groups.result import Result
from spokekit.groups.site_state import Place
from spokekit.groups.tables import journal_tables
from spokekit.handover import records as rec

if TYPE_CHECKING:
    import pandas as pd

CREATE, UPDATE, DELETE, KEEP = "create", "update", "delete", "keep"
COLUMNS: Columns = {
    "action": "category",
    "table": "category",
    **dict.fromkeys(("record", "column", "here", "there"), "text"),
    "status": "category",
    **dict.fromkeys(("reason", "message", "confirm", "sys_id"), "text"),
}
"""Columns of a preview and of a result: ``here`` is the plan's value and ``there`` the instance's, of one column of a
record; ``confirm`` names a difference that is only changed when it was confirmed by this name."""


@dataclass(frozen=True, slots=True)
class Step(Row):
    """One record, or one column of a record that is there already.

    As a row of a journal: ``group_id`` is the table, ``group`` the record's name, ``account_id`` its sys_id: the
    plan's for a record that is made, the instance's for others. ``before`` and ``after`` are the columns concerned;
    a reference in ``after`` may be the plan's sys_id of a record that is made in the same apply. ``made`` is the
    instance's own sys_id of a record that was made, and ``left`` its columns as they were read after the write.
    """

    before: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)
    made: str = ""
    left: Mapping[str, str] = field(default_factory=dict)

    @property
    def table(self) -> str:
        """The table of the record."""
        return self.group_id

    @property
    def sys_id(self) -> str:
        """The record's sys_id on the instance, as far as it is known."""
        return self.made or ("" if self.action == CREATE else self.account_id)

    @property
    def confirm(self) -> str:
        """The name by which a difference is confirmed; empty for a record that is made or deleted."""
        return f"{self.account_id[:8]}.{next(iter(self.after))}" if self.action == UPDATE and self.after else ""

    @property
    def what(self) -> str:
        """The record in words."""
        return f"{rec.WORDS.get(self.table, self.table)} “{self.group}”"

    def cells(self) -> dict[str, str]:
        """The step as a row of `COLUMNS`."""
        column = next(iter(self.after), "") if self.action == UPDATE else ""
        return {
            "action": self.action,
            "table": self.table,
            "record": self.group,
            "column": column,
            "here": self.after.get(column, ""),
            "there": self.before.get(column, ""),
            "status": self.status,
            "reason": self.reason,
            "message": self.message,
            "confirm": self.confirm,
            "sys_id": self.sys_id,
        }


def frame(steps: Iterable[Step]) -> pd.DataFrame:
    """Return steps as a frame with `COLUMNS`."""
    return frame_of([step.cells() for step in steps], COLUMNS)


# -- the journal -------------------------------------------------------------------------------------------------------


def _packed(step: Step) -> list[str]:
    values = json.dumps({"before": dict(step.before), "after": dict(step.after)}, ensure_ascii=False)
    return [step.group_id, step.group, step.account_id, step.action, values]


def _unpacked(kept: list[str]) -> Step:
    table, name, sys_id, action, values = kept
    return Step(table, name, sys_id, "", action, "stopped", NOT_DONE, "Not reached.", **json.loads(values))


def _detail(step: Step) -> dict[str, str]:
    said = {"made": step.made, "left": dict(step.left)} if step.made or step.left else {}
    return {"detail": json.dumps(said, ensure_ascii=False)}


def _outcome(step: Step, entry: Mapping[str, Any]) -> Step:
    ended = step.ended(entry["status"], entry["reason"], entry["message"])
    return replace(ended, **json.loads(entry["detail"] or "{}"))


RECORDS = Book(
    *journal_tables("hand_over", sa.Column("detail", sa.Text, nullable=False, server_default="")),
    _packed,
    _unpacked,
    _detail,
    _outcome,
    "spokekit handover journal",
    "spokekit hand-over",
    frozenset((CREATE, UPDATE, DELETE)),
    Step,
)
"""The journal of what was written to instances."""

ENTRIES: Columns = {
    "seq": "int",
    "at": "time",
    **dict.fromkeys(("apply_id", "event", "instance", "by", "mode", "fingerprint", "undo_of"), "text"),
    "row": "count",
    **dict.fromkeys(("table", "record", "sys_id", "action", "status", "reason", "message"), "text"),
}
"""Columns of the journal; ``sys_id`` is the instance's as soon as it is known."""


def entries(store: Store, apply_id: str | None = None) -> pd.DataFrame:
    """Return the journal of what was written to instances, oldest first, with `ENTRIES`; raises `NotFound`."""
    journal = Journal(store, RECORDS)
    states = {one: journal.state(one) for one in journal.apply_ids()}
    found = journal.entries(apply_id).rename(columns={"site": "instance", "group_id": "table", "group": "record"})
    rows = found.to_dict("records")
    for entry in rows:
        made = ""
        if entry["event"] == "row_ended":
            step = states[entry["apply_id"]].rows[int(entry["row"]) - 1]
            made = step.sys_id if isinstance(step, Step) else ""
        entry["sys_id"] = made or entry["account_id"]
    return frame_of(rows, ENTRIES)


# -- preview and result ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """What a preview was asked for, so that it can be made again right before it is applied."""

    plan: rec.Plan
    update: frozenset[str] = frozenset()
    groups: bool = False
    groups_table: str = ""


@dataclass(frozen=True)
class Changes:
    """What an apply would do to an instance: a preview, which alone can be applied. Made by `HandOver`.

    ``fingerprint`` covers the instance, the steps, and the records that they stand on: with another one, the instance
    is not as it was when this was looked at. ``resumes`` is the id of an apply that would be gone on with.
    """

    place: Place
    by: str
    mode: Literal["apply", "undo"]
    rows: tuple[Step, ...]
    ground: str
    notes: tuple[str, ...] = ()
    undo_of: str = ""
    resumes: str = ""
    made_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    asked: Asked | None = field(default=None, repr=False, compare=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all that it does and relies on."""
        rows = [[*_packed(row), row.status, row.reason] for row in self.rows]
        facts = ["spokekit hand-over 1", self.place.cloud_id, self.mode, self.undo_of, self.resumes, rows, self.ground]
        return hashlib.sha256(json.dumps(facts, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def planned(self) -> tuple[Step, ...]:
        """The steps that an apply carries out."""
        return tuple(row for row in self.rows if row.status in (PLANNED, NOT_DONE))

    @property
    def frame(self) -> pd.DataFrame:
        """All steps with `COLUMNS`, in the order in which an apply goes through them."""
        return frame(self.rows)

    @property
    def confirmation(self) -> str:
        """The words to be typed before this is applied; empty when there is nothing to do."""
        host = urlsplit(self.place.cloud_id).hostname or ""
        return f"{_deeds(self.planned)} on {host}" if self.planned else ""

    @property
    def lines(self) -> tuple[str, ...]:
        """The preview in sentences."""
        counts = Counter(row.status for row in self.rows)
        said = _deeds(self.planned) or "nothing to do"
        first = f"{said[:1].upper()}{said[1:]}; {counts[ALREADY]:,} already so, {counts[REFUSED]:,} refused."
        return (first, f"On {self.place.cloud_id}.", *self.notes, f"Fingerprint {self.fingerprint[:12]}.")

    @property
    def words(self) -> str:
        """All of it as plain text."""
        return "\n".join(self.lines)

    def __repr__(self) -> str:
        return f"Changes of {self.place.cloud_id}\n{self.words}"

    def _repr_html_(self) -> str:
        lines = "".join(f"<li>{markup(line)}</li>" for line in self.lines)
        return f"<ul>{lines}</ul>{self.frame.to_html(index=False, escape=True)}"


def _deeds(steps: Iterable[Step]) -> str:
    counts = Counter(step.action for step in steps)
    words = {CREATE: ("make", "record"), UPDATE: ("change", "value"), DELETE: ("delete", "record")}
    return " and ".join(f"{verb} {counted(counts[one], noun)}" for one, (verb, noun) in words.items() if counts[one])


def check_words(changes: Changes, typed: str) -> None:
    """Raise `InputError` unless `typed` is what the preview asks for."""
    if " ".join(typed.split()).casefold() != changes.confirmation:
        raise InputError(
            "What is written to an instance is confirmed in words.",
            field="confirm",
            hint=f"Type: {changes.confirmation}",
        )


class Outcome(Result):
    """What became of it; ``apply_id`` is the key for resume and undo."""

    @property
    def frame(self) -> pd.DataFrame:
        """All steps with `COLUMNS`: those carried out with their outcome, the others as they were."""
        return frame(row for row in self.rows if isinstance(row, Step))
