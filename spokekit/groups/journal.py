"""The journal of changes: every apply, every row before and after its call. Append-only, enforced by the database.

Names of people are not kept, only account ids: a name belongs to its owner and may have to be forgotten, while the
journal is never rewritten. Tokens never reach it; messages pass through the scrubber as a second line of defence.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from spokekit._frames import frame_of
from spokekit._secret import scrub
from spokekit.connections.store import Store
from spokekit.errors import NotFound
from spokekit.groups.book import MEMBERSHIPS, Book, Planned
from spokekit.groups.plan import ALREADY, DONE, FAILED, NOT_DONE, REFUSED, UNKNOWN, Row
from spokekit.groups.purpose import Purpose, note, purposes
from spokekit.groups.site_state import Place
from spokekit.groups.still_stored import Witness
from spokekit.groups.tables import fences_table, leases_table, purposes_table
from spokekit.groups.wishes import to_csv

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.groups._lease import Lease

APPLY_STARTED = "apply_started"
APPLY_RESUMED = "apply_resumed"
APPLY_ENDED = "apply_ended"
APPLY_DROPPED = "apply_dropped"
ROW_STARTED = "row_started"
ROW_ENDED = "row_ended"
ROW_LATE = "row_sent_late"

FINISHED = "finished"
STOPPED = "stopped"
DROPPED = "dropped"

_PLACE = ("connection", "site")
_ENTRY = {
    "seq": "int",
    "at": "time",
    **dict.fromkeys(("apply_id", "event", *_PLACE, "cloud_id", "alias_id", "by", "mode", "fingerprint"), "text"),
    "undo_of": "text",
    "row": "count",
    **dict.fromkeys(("group_id", "group", "account_id", "action", "status", "reason", "message"), "text"),
}
_COUNTED = {
    "done": DONE,
    "already_so": ALREADY,
    "refused": REFUSED,
    "failed": FAILED,
    "unknown": UNKNOWN,
    "not_done": NOT_DONE,
}
_APPLY = {
    "apply_id": "text",
    "started_at": "time",
    "ended_at": "time",
    **dict.fromkeys((*_PLACE, "by", "mode", "fingerprint", "undo_of"), "text"),
    **dict.fromkeys(("planned", *_COUNTED), "int"),
    "state": "text",
    "message": "text",
    "purpose": "text",
}

SETTLED = frozenset({DONE, ALREADY, REFUSED})
FINAL_FAILURES = frozenset({"not_there"})
"""Reasons of failed rows that trying again does not cure."""

NOTHING_DONE = frozenset({"cancelled", "not_sent", "waited"})
"""Reasons of begun rows of which it is known that nothing was changed."""


@dataclass(frozen=True)
class ApplyHead:
    """Whose an apply is, and of what: the first line of it, in the journal and in a file beside a lost one."""

    apply_id: str
    place: Place
    by: str
    mode: str
    fingerprint: str
    undo_of: str
    started_at: datetime

    def columns(self, by: str = "") -> dict[str, Any]:
        """Return the columns that every entry of it has, written now; ``by`` is who acts, where that is another one."""
        about = {"apply_id": self.apply_id, "mode": self.mode, "fingerprint": self.fingerprint, "undo_of": self.undo_of}
        return {"at": datetime.now(UTC), **about, **asdict(self.place), "by": by or self.by}


@dataclass(frozen=True)
class ApplyState(ApplyHead):
    """What the journal knows of one apply.

    ``rows`` are the planned rows with their latest status: a row whose start is written and whose end is not is
    unknown. ``sent`` holds the positions for which a call may have reached the site without a clear answer. ``dropped``
    says that somebody has decided not to go on with it. ``late`` are the positions of changes that a process sent when
    another one had taken the apply over already.
    """

    ended_at: datetime | None
    rows: tuple[Row, ...]
    sent: frozenset[int]
    message: str
    dropped: bool = False
    late: frozenset[int] = frozenset()

    @property
    def open_rows(self) -> dict[int, Row]:
        """The rows that a resume would go through, by position."""
        return {position: row for position, row in enumerate(self.rows) if not settled(row)}

    @property
    def open_positions(self) -> tuple[int, ...]:
        """The positions of `open_rows`."""
        return tuple(self.open_rows)

    @property
    def finished(self) -> bool:
        """Say whether no row is open."""
        return not self.open_positions


def settled(row: Row) -> bool:
    """Say whether a row needs no further try."""
    return row.status in SETTLED or (row.status == FAILED and row.reason in FINAL_FAILURES)


class Journal:
    """The journal in a store. Writing is for `spokekit.groups.apply`; reading is for everybody.

    `book` says of what: of memberships, unless told.
    """

    def __init__(self, store: Store, book: Book = MEMBERSHIPS) -> None:
        self.store = store
        self.book = book
        self._witnesses: dict[str, Witness] = {}
        store.ensure(book.entries, book.plans, purposes_table, leases_table, fences_table)

    def _witness(self, apply_id: str) -> Witness:
        return self._witnesses.setdefault(apply_id, Witness(self.store, apply_id, self.book))

    def start(
        self, plan: Planned, *, place: Place | None = None, by: str | None = None, purpose: Purpose | None = None
    ) -> str:
        """Open an apply of `plan`: keep its planned rows and write the first entry, in one transaction.

        ``place`` and ``by`` say where it is applied and by whom, when that is not where and by whom it was made;
        ``purpose`` what for.
        """
        apply_id = str(uuid.uuid4())
        by = plan.by if by is None else by
        about = (plan.mode, plan.fingerprint, plan.undo_of, datetime.now(UTC))
        head = ApplyHead(apply_id, place or plan.place, by, *about)
        kept = [self.book.packed(row) for row in plan.planned]
        message = f"{len(kept)} rows" + (f"; {purpose.words}" if purpose else "")
        with self.store.write() as connection:
            connection.execute(
                self.book.plans.insert().values(apply_id=apply_id, plan=json.dumps(kept, ensure_ascii=False))
            )
            entry = head.columns() | {"event": APPLY_STARTED, "message": message}
            written = connection.execute(self.book.entries.insert().values(**entry))
            if purpose is not None:
                note(connection, apply_id, purpose)
        self._witness(apply_id).wrote((_seq(written), APPLY_STARTED, None))
        return apply_id

    def write(
        self,
        state: ApplyState,
        what: str,
        *,
        by: str = "",
        position: int | None = None,
        row: Row | None = None,
        status: str = "",
        message: str = "",
        lease: Lease | None = None,
    ) -> None:
        """Append one entry in a transaction of its own; when this returns, it is on disk.

        With a `lease`, only its holder writes: `Conflict` is raised, and nothing written, when it was taken over. And
        it is written after the entry before it, or not at all: `StoreError` is raised when that one is not there. A
        row is only begun when whoever opens the store now finds that.
        """
        values = state.columns(by)
        values |= {"event": what, "status": status, "message": scrub(message), "position": position}
        if row is not None:
            values |= self.book.columns(row, ended=what == ROW_ENDED)
        with self.store.write() as connection:
            if lease is not None:
                self._witness(state.apply_id).see(connection)
                lease.confirm(connection)
            written = connection.execute(self.book.entries.insert().values(**values))
        self._witness(state.apply_id).wrote((_seq(written), what, position))
        if lease is not None and what == ROW_STARTED:
            self._witness(state.apply_id).look()

    def holds(self, apply_id: str) -> bool:
        """Say whether all that this process has written of an apply is in the store that others open."""
        return self._witness(apply_id).holds()

    def state(self, apply_id: str) -> ApplyState:
        """Put together what is known of an apply; `apply_id` may be shortened to its first characters.

        Raises `NotFound` when there is none, or several begin like this.
        """
        full = self._find(apply_id)
        t = self.book.entries
        with self.store.read() as connection:
            kept = json.loads(
                connection.execute(
                    sa.select(self.book.plans.c.plan).where(self.book.plans.c.apply_id == full)
                ).scalar_one()
            )
            entries = connection.execute(sa.select(t).where(t.c.apply_id == full).order_by(t.c.seq)).mappings().all()
        rows = [self.book.unpacked(one) for one in kept]
        sent: set[int] = set()
        late: set[int] = set()
        sent_before = False
        ended_at, message, dropped = None, "", False
        for entry in entries:
            position = entry["position"]
            if entry["event"] == ROW_STARTED:
                rows[position] = rows[position].ended(UNKNOWN, "no_answer", "The call was begun; its end is not known.")
                sent_before = position in sent
                sent.add(position)
            elif entry["event"] == ROW_LATE:
                words = "Sent by a process from which the apply had been taken over; what became of it is not known."
                rows[position] = rows[position].ended(UNKNOWN, "no_answer", words)
                sent.add(position)
                late.add(position)
                dropped = False
            elif entry["event"] == ROW_ENDED:
                late.discard(position)
                rows[position] = self.book.outcome(rows[position], entry)
                if entry["reason"] in NOTHING_DONE:
                    # This call did not get out; what an earlier one may have done is as open as before.
                    (sent.add if sent_before else sent.discard)(position)
                elif entry["reason"] != "no_answer":
                    sent.discard(position)
            elif entry["event"] == APPLY_ENDED:
                ended_at, message = entry["at"], entry["message"]
            elif entry["event"] == APPLY_RESUMED:
                ended_at, message = None, ""
            elif entry["event"] == APPLY_DROPPED:
                ended_at, message, dropped = entry["at"], entry["message"], True
        first, last = entries[0], entries[-1]
        if full not in self._witnesses:
            self._witness(full).wrote((last["seq"], last["event"], last["position"]), len(entries))
        return ApplyState(
            apply_id=full,
            place=Place(**{field.name: first[field.name] for field in fields(Place)}),
            **{name: first[name] for name in ("by", "mode", "fingerprint", "undo_of")},
            started_at=first["at"],
            ended_at=ended_at,
            rows=tuple(rows),
            sent=frozenset(sent),
            message=message,
            dropped=dropped,
            late=frozenset(late),
        )

    def apply_ids(self, cloud_id: str | None = None, alias_id: str | None = None) -> tuple[str, ...]:
        """Return the applies, oldest first; of one site and alias when given."""
        t = self.book.entries
        query = sa.select(t.c.apply_id).where(t.c.event == APPLY_STARTED).order_by(t.c.seq)
        if cloud_id is not None:
            query = query.where(t.c.cloud_id == cloud_id)
        if alias_id is not None:
            query = query.where(t.c.alias_id == alias_id)
        return tuple(apply_id for (apply_id,) in self.store.fetch(query))

    def unfinished(self, cloud_id: str, alias_id: str) -> tuple[ApplyState, ...]:
        """Return the applies of this site and alias with open rows that were not dropped, newest first."""
        t = self.book.entries
        ended = sa.and_(t.c.event == APPLY_ENDED, t.c.status == FINISHED)
        closed = sa.select(t.c.apply_id).where(sa.or_(ended, t.c.event == APPLY_DROPPED))
        late = sa.select(t.c.apply_id).where(t.c.event == ROW_LATE)
        query = (
            sa.select(t.c.apply_id)
            .where(t.c.event == APPLY_STARTED, t.c.cloud_id == cloud_id, t.c.alias_id == alias_id)
            .where(sa.or_(t.c.apply_id.not_in(closed), t.c.apply_id.in_(late)))
            .order_by(t.c.seq.desc())
        )
        found = (self.state(apply_id) for (apply_id,) in self.store.fetch(query))
        return tuple(state for state in found if not (state.finished or state.dropped))

    def later_changes(self, apply_id: str) -> Mapping[tuple[str, str], str]:
        """Return pairs that other applies have changed after this one did, on the same site, with the apply's id."""
        t = self.book.entries
        with self.store.read() as connection:
            own = connection.execute(
                sa.select(t.c.group_id, t.c.account_id, sa.func.max(t.c.seq))
                .where(t.c.apply_id == apply_id, t.c.event.in_((ROW_STARTED, ROW_LATE)))
                .group_by(t.c.group_id, t.c.account_id)
            ).all()
            # An apply that was resumed changed some pairs long after it began, so each counts from when it was sent;
            # not from its outcome, which may have been read back much later.
            ours = {(group_id, account_id): seq for group_id, account_id, seq in own}
            cloud_id = connection.execute(sa.select(t.c.cloud_id).where(t.c.apply_id == apply_id).limit(1)).scalar_one()
            rows = connection.execute(
                sa.select(t.c.group_id, t.c.account_id, t.c.apply_id, t.c.seq, t.c.event, t.c.status)
                .where(t.c.seq > min(ours.values(), default=0), t.c.apply_id != apply_id, t.c.cloud_id == cloud_id)
                .where(t.c.event.in_((ROW_STARTED, ROW_LATE, ROW_ENDED)))
                .order_by(t.c.seq)
            ).all()
        found: dict[tuple[str, str], str] = {}
        sent: dict[tuple[str, str, str], int] = {}
        for group_id, account_id, by, seq, what, status in rows:
            if what in (ROW_STARTED, ROW_LATE):
                sent[group_id, account_id, by] = seq
            elif status == DONE and sent.get((group_id, account_id, by), 0) > ours.get((group_id, account_id), seq):
                found[group_id, account_id] = by
        return found

    def entries(self, apply_id: str | None = None) -> pd.DataFrame:
        """Return the journal as a frame, one line an entry, oldest first.

        Columns: seq (int64), at (datetime64, UTC), apply_id, event, connection, site, cloud_id, alias_id, by (account
        id of who was signed in), mode, fingerprint, undo_of, row (Int64, from 1; missing for entries about the whole
        apply), group_id, group, account_id, action, status, reason, message (str each).
        """

        t = self.book.entries
        query = sa.select(t).order_by(t.c.seq)
        if apply_id is not None:
            query = query.where(t.c.apply_id == self._find(apply_id))
        with self.store.read() as connection:
            found = connection.execute(query).mappings().all()
        rows = [
            {**entry, "group": entry["group_name"], "row": None if entry["position"] is None else entry["position"] + 1}
            for entry in found
        ]
        return frame_of(rows, _ENTRY)

    def applies(self) -> pd.DataFrame:
        """Return one line for each apply, newest first.

        Columns: apply_id, started_at and ended_at (datetime64, UTC; ended_at missing while open), connection, site,
        by, mode, fingerprint, undo_of, planned, done, already_so, refused, failed, unknown, not_done (int64), state
        (finished, stopped, dropped or unfinished), message, purpose (what it was for, where that was said).
        """
        kept = purposes(self.store)
        states = [self.state(apply_id) for apply_id in reversed(self.apply_ids())]
        rows = [
            {
                **vars(state),
                "connection": state.place.connection,
                "site": state.place.site,
                "planned": len(state.rows),
                **{name: sum(row.status == status for row in state.rows) for name, status in _COUNTED.items()},
                "state": _where_it_stands(state),
                "purpose": kept[state.apply_id].words if state.apply_id in kept else "",
            }
            for state in states
        ]
        return frame_of(rows, _APPLY)

    def to_json(self, apply_id: str | None = None) -> str:
        """Return `entries` as a JSON list, times in ISO 8601."""
        frame = self.entries(apply_id)
        records = frame.assign(at=[moment.isoformat() for moment in frame["at"]]).astype(object)
        return json.dumps(records.where(frame.notna(), None).to_dict("records"), ensure_ascii=False, indent=1)

    def to_csv(self, apply_id: str | None = None) -> str:
        """Return `entries` as CSV with guarded cells."""
        return to_csv(self.entries(apply_id))

    def _find(self, apply_id: str) -> str:
        wanted = apply_id.strip().casefold()
        found = [known for known in self.apply_ids() if wanted and known.startswith(wanted)]
        if len(found) == 1:
            return found[0]
        raise NotFound(
            f"{'Several applies begin' if found else 'There is no apply'} with the id {apply_id}.",
            hint=f"The journal lists them: {self.book.command}.",
        )


def _where_it_stands(state: ApplyState) -> str:
    if state.dropped:
        return DROPPED
    return "unfinished" if state.ended_at is None else FINISHED if state.finished else STOPPED


def _seq(written: sa.CursorResult[Any]) -> int:
    return int((written.inserted_primary_key or (0,))[0])


__all__ = ["ApplyHead", "ApplyState", "Journal"]
