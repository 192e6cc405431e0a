"""Progress: what happened in the lessons of one practice home, written once and never changed.

A row holds no free text and no account id: a lesson, an attempt, an event, and the outcome and turn of a check.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from spokekit.board.wire import Event
from spokekit.connections._tables import append_only
from spokekit.connections.store import Store, UtcDateTime, metadata

lesson_events = sa.Table(
    "lesson_events",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("lesson", sa.String(80), nullable=False, index=True),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("event", sa.String(12), nullable=False),
    sa.Column("outcome", sa.String(24), nullable=False, server_default=""),
    sa.Column("turn", sa.String(80), nullable=False, server_default=""),
    sqlite_autoincrement=True,
)
append_only(lesson_events, "seq")


@dataclass(frozen=True)
class Noted:
    """One line of the progress."""

    seq: int
    at: datetime
    lesson: str
    attempt: int
    event: str
    outcome: str
    turn: str


class Events:
    """The progress in a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        store.ensure(lesson_events)

    def note(self, lesson: str, attempt: int, event: Event, *, outcome: str = "", turn: str = "") -> None:
        """Write one line."""
        values = {"lesson": lesson, "attempt": attempt, "event": event, "outcome": outcome, "turn": turn}
        values["at"] = datetime.now(UTC)
        with self.store.write() as connection:
            connection.execute(lesson_events.insert().values(values))

    def all(self, lesson: str | None = None, attempt: int | None = None) -> tuple[Noted, ...]:
        """Return the lines, oldest first; of one lesson or attempt when given."""
        t = lesson_events
        query = sa.select(t).order_by(t.c.seq)
        if lesson is not None:
            query = query.where(t.c.lesson == lesson)
        if attempt is not None:
            query = query.where(t.c.attempt == attempt)
        with self.store.read() as connection:
            return tuple(Noted(**row) for row in connection.execute(query).mappings())

    def after(self, seq: int, most: int) -> tuple[Noted, ...]:
        """Return up to `most` lines that come after line `seq`, oldest first."""
        query = sa.select(lesson_events).where(lesson_events.c.seq > seq).order_by(lesson_events.c.seq).limit(most)
        with self.store.read() as connection:
            return tuple(Noted(**row) for row in connection.execute(query).mappings())

    def last(self) -> int:
        """Return the number of the last line; 0 as long as there is none."""
        with self.store.read() as connection:
            return connection.execute(sa.select(sa.func.max(lesson_events.c.seq))).scalar() or 0
