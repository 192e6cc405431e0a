"""Findings: the rows of a question that somebody has to decide about, kept beside the snapshots.

A row is ``new`` until it is ``accepted`` (with a reason, by somebody, perhaps until a day) or until it is gone
(``fixed``). Only new ones shout. An acceptance that has run out is new again.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from spokekit import _words
from spokekit._frames import as_kind, cell, frame_of
from spokekit._home import private_folder
from spokekit.audit.frames import Site
from spokekit.audit.history.snapshots import Snapshots
from spokekit.errors import InputError, NotFound, StoreError

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.audit.audit import Audit

State = Literal["new", "accepted", "fixed"]
# What makes two rows the same finding, beside the ids: a count or a name may change without being another finding.
_IDENTITY = ("via", "change", "kind", "operation", "target", "role", "use", "open_to", "through", "seen_at")
_OF_A_FINDING = {
    "finding_id": "text",
    "state": "text",
    "reason": "text",
    "accepted_by": "text",
    "accepted_until": "time",
    "first_seen": "time",
}
_COLUMNS = {**_OF_A_FINDING, "last_seen": "time", "question": "text", "about": "text"}
_SCHEMA = """
CREATE TABLE IF NOT EXISTS findings (
    finding_id TEXT PRIMARY KEY, question TEXT NOT NULL, params TEXT NOT NULL, about TEXT NOT NULL,
    first_seen TEXT NOT NULL, last_seen TEXT NOT NULL, fixed_at TEXT,
    reason TEXT, accepted_by TEXT, accepted_until TEXT, accepted_at TEXT)
"""


class Findings:
    """The findings of one site.

    Parameters
    ----------
    site:
        A `Site` or cloud id.
    folder:
        Where the snapshots of all sites are; ``snapshots`` under the home by default.
    """

    def __init__(self, site: Site | str, folder: Path | None = None) -> None:
        self.path = Snapshots(site, folder).folder / "findings.sqlite"

    def review(self, audit: Audit, question: str, /, *, now: datetime | None = None, **params: Any) -> pd.DataFrame:
        """Ask `question` and return its rows with their states; what is gone since the last time becomes ``fixed``.

        Returns
        -------
        finding_id, state (``new`` or ``accepted``), reason, accepted_by (text), accepted_until, first_seen (time),
        then the columns of the question (``row_`` before a name that is taken); new ones first. ``attrs``: new,
        accepted, fixed (counts) and those of the answer. Rows that an incomplete walk did not bring are not called
        fixed.

        Raises what `Audit.ask` raises, and InputError for a state that is older than one that was reviewed already.
        """
        import pandas as pd

        answer = audit.ask(question, **params)
        moment = now or datetime.now(UTC)
        asked = json.dumps(answer.attrs["params"], sort_keys=True, default=str)
        identity = [c for c in answer.columns if c.endswith("_id") or c in _IDENTITY] or list(answer.columns)
        texts = answer[identity].astype(str).to_numpy(dtype=object).tolist()
        ids = [_finding_id(question, asked, row) for row in texts]
        about = _about(answer)
        seen = audit.taken_at.isoformat()
        with self._file() as file:
            known = _known(file, question, asked)
            newest = max((row["fixed_at"] or row["last_seen"] for row in known.values()), default=seen)
            if (reviewed := datetime.fromisoformat(newest)) > audit.taken_at:
                # What came since would count as fixed, and would lose its acceptance.
                raise InputError(
                    f"This question was reviewed on a newer state already, of {_words.moment(reviewed)}.",
                    hint="Review the newest snapshot; audit.ask() answers for earlier moments.",
                    field="audit",
                )
            file.executemany(
                "INSERT INTO findings (finding_id, question, params, about, first_seen, last_seen) "
                "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (finding_id) DO UPDATE SET last_seen = excluded.last_seen, "
                "about = excluded.about, fixed_at = NULL, "
                # What was fixed and came back is a new finding: the old acceptance was for the old one.
                "first_seen = CASE WHEN fixed_at IS NULL THEN first_seen ELSE excluded.first_seen END, "
                "reason = CASE WHEN fixed_at IS NULL THEN reason END, "
                "accepted_by = CASE WHEN fixed_at IS NULL THEN accepted_by END, "
                "accepted_until = CASE WHEN fixed_at IS NULL THEN accepted_until END, "
                "accepted_at = CASE WHEN fixed_at IS NULL THEN accepted_at END",
                [(i, question, asked, text, seen, seen) for i, text in zip(ids, about, strict=True)],
            )
            gone = sorted({i for i, row in known.items() if not row["fixed_at"]} - set(ids))
            if audit.completeness.get("complete", True):
                file.executemany("UPDATE findings SET fixed_at = ? WHERE finding_id = ?", [(seen, i) for i in gone])
            else:
                gone = []
            known = _known(file, question, asked)
        # The state of a group is another thing than the state of a finding about it.
        answer = answer.rename(columns={column: f"row_{column}" for column in answer if column in _OF_A_FINDING})
        rows = [known[i] for i in ids]
        states = [_state(row, moment) for row in rows]
        answer.insert(0, "finding_id", ids)
        answer.insert(1, "state", states)
        for place, column in enumerate(("reason", "accepted_by", "accepted_until", "first_seen"), 2):
            values = [
                row[column] if state == "accepted" or column == "first_seen" else None
                for row, state in zip(rows, states, strict=True)
            ]
            made = as_kind(pd.Series(values, dtype=object), _OF_A_FINDING[column], len(values))
            answer.insert(place, column, made)
        answer.attrs.update(
            new=states.count("new"), accepted=states.count("accepted"), fixed=len(gone), reviewed_at=moment.isoformat()
        )
        attrs = answer.attrs
        ordered: pd.DataFrame = answer.sort_values("state", key=lambda s: s != "new", kind="stable", ignore_index=True)
        ordered.attrs = attrs
        return ordered

    def accept(
        self, finding_ids: str | Iterable[str], *, reason: str, by: str, until: date | datetime | None = None
    ) -> int:
        """Accept findings: they stay listed and shout no more. Returns how many.

        Parameters
        ----------
        reason, by:
            Why, and who says so; neither may be empty.
        until:
            The last day (UTC) or moment of it; without it, for good.

        Raises InputError without reason or name, or when `until` is over; NotFound for an unknown id.
        """
        ids = _ids(finding_ids)
        for field, value in (("reason", reason), ("by", by)):
            if not value.strip():
                raise InputError(
                    f"An acceptance needs a {'reason' if field == 'reason' else 'name'}.",
                    field=field,
                    hint=f"Give {field}; on the command line: --{field} "
                    + ('"Why it may stay so"' if field == "reason" else '"Who accepts it"'),
                )
        now = datetime.now(UTC)
        if isinstance(until, datetime):
            end: datetime | None = until if until.tzinfo else until.replace(tzinfo=UTC)
        else:
            end = datetime.combine(until, time.max, UTC) if until else None
        if end is not None and end <= now:
            raise InputError("The acceptance would have ended already.", field="until")
        with self._file() as file:
            _must_exist(file, ids)
            file.executemany(
                "UPDATE findings SET reason = ?, accepted_by = ?, accepted_until = ?, accepted_at = ? "
                "WHERE finding_id = ?",
                [(reason.strip(), by.strip(), end and end.isoformat(), now.isoformat(), i) for i in ids],
            )
        return len(ids)

    def reopen(self, finding_ids: str | Iterable[str]) -> int:
        """Take acceptances back. Returns how many findings. Raises NotFound for an unknown id."""
        ids = _ids(finding_ids)
        with self._file() as file:
            _must_exist(file, ids)
            file.executemany(
                "UPDATE findings SET reason = NULL, accepted_by = NULL, accepted_until = NULL, accepted_at = NULL "
                "WHERE finding_id = ?",
                [(i,) for i in ids],
            )
        return len(ids)

    def frame(self, state: State | None = None, *, now: datetime | None = None) -> pd.DataFrame:
        """List all findings that were ever reviewed: finding_id, state, reason, accepted_by (text), accepted_until,
        first_seen, last_seen (time), question, about (text); new ones first."""
        if not self.path.exists():
            rows: list[dict[str, Any]] = []
        else:
            with self._file() as file:
                rows = [
                    dict(row) for row in file.execute("SELECT * FROM findings ORDER BY question, about, finding_id")
                ]
        moment = now or datetime.now(UTC)
        for row in rows:
            row["state"] = _state(row, moment)
        order = {"new": 0, "accepted": 1, "fixed": 2}
        rows = sorted((r for r in rows if state in (None, r["state"])), key=lambda r: order[r["state"]])
        return frame_of(rows, _COLUMNS)

    @contextmanager
    def _file(self) -> Iterator[sqlite3.Connection]:
        private_folder(self.path.parent)
        try:
            file = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            file.row_factory = sqlite3.Row
            try:
                file.execute("BEGIN IMMEDIATE")
                file.execute(_SCHEMA)
                yield file
                file.execute("COMMIT")
            finally:
                file.close()
        except sqlite3.Error as error:
            raise StoreError(
                f"The findings ({self.path}) cannot be used: {error}.", hint="Free some space, or close other programs."
            ) from None


def _ids(given: str | Iterable[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(dict.fromkeys(given))


def _finding_id(question: str, asked: str, row: list[str]) -> str:
    return hashlib.sha256(json.dumps([question, asked, row]).encode()).hexdigest()[:16]


def _about(answer: pd.DataFrame) -> list[str]:
    """Say in a line each what the rows are about, as a person reads it."""
    named = [c for c in answer.columns if not c.endswith("_id") and answer[c].dtype != bool][:4] or list(answer.columns)
    cells = [[cell(name, value) for value in answer[name]] for name in named]
    return [" · ".join(word for word in row if word) for row in zip(*cells, strict=True)]


def _known(file: sqlite3.Connection, question: str, asked: str) -> dict[str, dict[str, Any]]:
    rows = file.execute("SELECT * FROM findings WHERE question = ? AND params = ?", (question, asked))
    return {row["finding_id"]: dict(row) for row in rows}


def _must_exist(file: sqlite3.Connection, ids: list[str]) -> None:
    for finding_id in ids:
        if file.execute("SELECT 1 FROM findings WHERE finding_id = ?", (finding_id,)).fetchone() is None:
            raise NotFound(f"There is no finding {finding_id}.", hint="spokekit audit findings lists them.")


def _state(row: dict[str, Any], now: datetime) -> State:
    if row["fixed_at"]:
        return "fixed"
    until = row["accepted_until"]
    if row["reason"] and (not until or datetime.fromisoformat(until) > now):
        return "accepted"
    return "new"
