"""Findings: the rows of a question that somebody has to decide about, kept in the store, so that a team shares them.

A row is ``new`` until it is ``accepted`` (with a reason, by somebody, perhaps until a day) or until it is gone
(``fixed``). Only new ones shout. An acceptance that has run out is new again. Each acceptance, and each that was taken
back, stays in a table that the database refuses to change.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from spokekit import _words
from spokekit._frames import as_kind, cell, frame_of
from spokekit.audit.frames import Site
from spokekit.audit.history.snapshots import Snapshots
from spokekit.audit.questions.runner import READINGS
from spokekit.connections._tables import append_only
from spokekit.connections.store import Store, UtcDateTime, default_store, metadata
from spokekit.errors import InputError, NotFound, StoreError

if TYPE_CHECKING:
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
ACCEPTED, REOPENED = "accepted", "reopened"

findings_table = sa.Table(
    "findings",
    metadata,
    sa.Column("cloud_id", sa.String(100), primary_key=True),
    sa.Column("finding_id", sa.String(16), primary_key=True),
    sa.Column("question", sa.Text, nullable=False),
    sa.Column("params", sa.Text, nullable=False),
    sa.Column("about", sa.Text, nullable=False),
    sa.Column("first_seen", UtcDateTime, nullable=False),
    sa.Column("last_seen", UtcDateTime, nullable=False),
    sa.Column("fixed_at", UtcDateTime),
    sa.Column("decision", sa.Integer),
)
"""What was found; ``decision`` is the acceptance that holds, and nothing for what is new or came back."""

decisions_table = sa.Table(
    "finding_decisions",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("cloud_id", sa.String(100), nullable=False),
    sa.Column("finding_id", sa.String(16), nullable=False),
    sa.Column("what", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("accepted_by", sa.Text, nullable=False),
    sa.Column("accepted_until", UtcDateTime),
    sa.Index("finding_decisions_of", "cloud_id", "finding_id"),
    sqlite_autoincrement=True,
)
append_only(decisions_table, "seq")
_F, _D = findings_table.c, decisions_table.c


class Findings:
    """The findings of one site.

    Parameters
    ----------
    site:
        A `Site` or cloud id.
    folder:
        Where the snapshots of all sites are; ``snapshots`` under the home by default. Findings that an earlier
        spokekit kept there, in a file, are taken into the store once.
    store:
        Where they are kept; by default the store of this home.
    """

    def __init__(self, site: Site | str, folder: Path | None = None, *, store: Store | None = None) -> None:
        self.cloud_id = site if isinstance(site, str) else site.cloud_id
        self.store = store or default_store()
        self._file = Snapshots(site, folder).folder / "findings.sqlite"

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
        answer = audit.ask(question, **params)
        moment = now or datetime.now(UTC)
        asked = json.dumps(answer.attrs["params"], sort_keys=True, default=str)
        identity = [c for c in answer.columns if c.endswith("_id") or c in _IDENTITY] or list(answer.columns)
        texts = answer[identity].astype(str).to_numpy(dtype=object).tolist()
        ids = [_finding_id(question, asked, row) for row in texts]
        about = _about(answer)
        seen, here = audit.taken_at, set(ids)
        with self._writing() as connection:
            known = self._known(connection, question, asked)
            newest = max((row["fixed_at"] or row["last_seen"] for row in known.values()), default=seen)
            if newest > seen:
                # What came since would count as fixed, and would lose its acceptance.
                raise InputError(
                    f"This question was reviewed on a newer state already, of {_words.moment(newest)}.",
                    hint="Review the newest snapshot; audit.ask() answers for earlier moments.",
                    field="audit",
                )
            self._seen(connection, dict(zip(ids, about, strict=True)), known, question, asked, seen)
            gone = [i for i, row in known.items() if not row["fixed_at"] and i not in here]
            if audit.completeness.get("complete", True):
                self._change(connection, gone, fixed_at=seen)
            else:
                gone = []
            known = self._known(connection, question, asked)
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
        self._decide(ids, now, ACCEPTED, reason=reason.strip(), accepted_by=by.strip(), accepted_until=end)
        return len(ids)

    def reopen(self, finding_ids: str | Iterable[str]) -> int:
        """Take acceptances back. Returns how many findings. Raises NotFound for an unknown id."""
        ids = _ids(finding_ids)
        self._decide(ids, datetime.now(UTC), REOPENED, reason="", accepted_by="", accepted_until=None)
        return len(ids)

    def frame(self, state: State | None = None, *, now: datetime | None = None) -> pd.DataFrame:
        """List all findings that were ever reviewed: finding_id, state, reason, accepted_by (text), accepted_until,
        first_seen, last_seen (time), question, about (text); new ones first."""
        self._open()
        with self.store.read() as connection:
            rows = [dict(row) for row in connection.execute(self._all()).mappings()]
        rows.sort(key=lambda row: (row["question"], row["about"], row["finding_id"]))
        moment = now or datetime.now(UTC)
        for row in rows:
            row["state"] = _state(row, moment)
        order = {"new": 0, "accepted": 1, "fixed": 2}
        rows = sorted((r for r in rows if state in (None, r["state"])), key=lambda r: order[r["state"]])
        return frame_of(rows, _COLUMNS)

    # ------------------------------------------------------------------------------------------- inside

    def _open(self) -> None:
        self.store.ensure(findings_table, decisions_table)
        if self._file.exists():
            self._take_in()

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        self._open()
        with self.store.write() as connection:
            yield connection

    def _all(self) -> sa.Select[Any]:
        return (
            sa.select(findings_table, _D.reason, _D.accepted_by, _D.accepted_until)
            .outerjoin(decisions_table, _D.seq == _F.decision)
            .where(_F.cloud_id == self.cloud_id)
        )

    def _known(self, connection: sa.Connection, question: str, asked: str) -> dict[str, dict[str, Any]]:
        rows = connection.execute(self._all().where(_F.question == question, _F.params == asked)).mappings()
        return {row["finding_id"]: dict(row) for row in rows}

    def _seen(
        self,
        connection: sa.Connection,
        about: dict[str, str],
        known: dict[str, dict[str, Any]],
        question: str,
        asked: str,
        seen: datetime,
    ) -> None:
        base = {"cloud_id": self.cloud_id, "question": question, "params": asked}
        new = [
            {**base, "finding_id": i, "about": text, "first_seen": seen, "last_seen": seen}
            for i, text in about.items()
            if i not in known
        ]
        if new:
            # Of two who review at once on a server, the second one's rows are there already.
            make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            connection.execute(make(findings_table).on_conflict_do_nothing(), new)
        # What was fixed and came back is a new finding: the old acceptance was for the old one.
        back = [i for i in about if i in known and known[i]["fixed_at"]]
        self._change(connection, back, first_seen=seen, decision=None, fixed_at=None)
        again = [{"its_id": i, "its_words": text} for i, text in about.items() if i in known]
        if again:
            statement = self._update(last_seen=seen, about=sa.bindparam("its_words"))
            connection.execute(statement, again)

    def _update(self, **values: Any) -> sa.Update:
        one = sa.and_(_F.cloud_id == self.cloud_id, _F.finding_id == sa.bindparam("its_id"))
        return findings_table.update().where(one).values(values)

    def _change(self, connection: sa.Connection, ids: Iterable[str], **values: Any) -> None:
        rows = [{"its_id": i} for i in ids]
        if rows:
            connection.execute(self._update(**values), rows)

    def _decide(self, ids: list[str], at: datetime, what: str, **decided: Any) -> None:
        with self._writing() as connection:
            there = set(connection.scalars(sa.select(_F.finding_id).where(_F.cloud_id == self.cloud_id)))
            for finding_id in ids:
                if finding_id not in there:
                    raise NotFound(f"There is no finding {finding_id}.", hint="spokekit audit findings lists them.")
            rows = [{"cloud_id": self.cloud_id, "finding_id": i, "at": at, "what": what, **decided} for i in ids]
            self._decided(connection, rows)

    def _decided(
        self, connection: sa.Connection, rows: list[dict[str, Any]], holds: Iterable[str] | None = None
    ) -> None:
        """Write decisions down; for the findings of `holds` (all of them by default) they are what holds now."""
        if not rows:
            return
        connection.execute(decisions_table.insert(), rows)
        newest = (
            sa.select(sa.func.max(_D.seq))
            .where(_D.cloud_id == self.cloud_id, _D.finding_id == sa.bindparam("its_id"))
            .scalar_subquery()
        )
        now = [row["finding_id"] for row in rows] if holds is None else holds
        self._change(connection, now, decision=newest if rows[0]["what"] == ACCEPTED else None)

    def _take_in(self) -> None:
        """Take in what an earlier spokekit kept in a file; what the store knows already stays as it is there."""
        old = _in_a_file(self._file)
        with self.store.write() as connection:
            there = {row["finding_id"]: row for row in connection.execute(self._all()).mappings()}
            known = sa.select(_D.finding_id, _D.at).where(_D.cloud_id == self.cloud_id)
            decided = {tuple(row) for row in connection.execute(known)}
            wanted = ("finding_id", "question", "params", "about", "first_seen", "last_seen", "fixed_at")
            new = [row for row in old if row["finding_id"] not in there]
            if new:
                rows = [{"cloud_id": self.cloud_id, **{name: row[name] for name in wanted}} for row in new]
                connection.execute(findings_table.insert(), rows)
            taken = [row for row in old if row["reason"] and (row["finding_id"], row["accepted_at"]) not in decided]
            kept = ("finding_id", "reason", "accepted_by", "accepted_until")
            accepted = [
                {"cloud_id": self.cloud_id, "at": row["accepted_at"], "what": ACCEPTED, **{n: row[n] for n in kept}}
                for row in taken
            ]
            open_ = [i for i in (row["finding_id"] for row in taken) if i not in there or there[i]["decision"] is None]
            self._decided(connection, accepted, open_)
        if not self.store.in_memory:
            # Where this does not work, the next one finds that all of it is there.
            with suppress(OSError):
                self._file.replace(self._file.with_name("findings.sqlite.taken-in"))


def _ids(given: str | Iterable[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(dict.fromkeys(given))


def _finding_id(question: str, asked: str, row: list[str]) -> str:
    return hashlib.sha256(json.dumps([question, asked, row]).encode()).hexdigest()[:16]


def _about(answer: pd.DataFrame) -> list[str]:
    """Say in a line each what the rows are about, as a person reads it."""
    about = [c for c in answer.columns if c not in READINGS]
    named = [c for c in about if not c.endswith("_id") and answer[c].dtype != bool][:4] or about
    cells = [[cell(name, value) for value in answer[name]] for name in named]
    return [" · ".join(word for word in row if word) for row in zip(*cells, strict=True)]


def _in_a_file(path: Path) -> list[dict[str, Any]]:
    """Return the findings that an earlier spokekit kept in a file."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30)) as file:
            file.row_factory = sqlite3.Row
            rows = [dict(row) for row in file.execute("SELECT * FROM findings")]
    except sqlite3.Error as error:
        raise StoreError(
            f"The findings of earlier reviews ({path}) cannot be read: {error}.",
            hint="Bring the file back from a backup; to go on without them, move it away.",
        ) from None
    times = ("first_seen", "last_seen", "fixed_at", "accepted_until", "accepted_at")
    return [row | {name: datetime.fromisoformat(row[name]) for name in times if row[name]} for row in rows]


def _state(row: dict[str, Any], now: datetime) -> State:
    if row["fixed_at"]:
        return "fixed"
    until = row["accepted_until"]
    if row["reason"] and (not until or until > now):
        return "accepted"
    return "new"
