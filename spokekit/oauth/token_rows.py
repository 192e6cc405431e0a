"""The row of a connection's token while it is changed: under the lease of a refresh, or by one statement."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from spokekit._words import moment
from spokekit.connections.connection import Connection, connections_table, credentials
from spokekit.connections.store import Store
from spokekit.errors import ConsentNeeded, NotFound, SpokekitError, TransportError
from spokekit.oauth.endpoint import answer_is_lost
from spokekit.oauth.status import LEEWAY, Record


def update_row(db: sa.Connection, connection: Connection, **values: Any) -> None:
    """Change the row, or make it; raises `NotFound` when the connection is gone."""
    which = credentials.c.connection_id == connection.connection_id
    if not db.execute(sa.update(credentials).where(which).values(**values)).rowcount:
        values |= {"credential_id": str(uuid.uuid4()), "connection_id": connection.connection_id}
        try:
            db.execute(sa.insert(credentials).values(**values))
        except sa.exc.IntegrityError:
            gone = NotFound(
                f"The connection “{connection.name}” is gone.",
                likely="Somebody removed it in the meantime.",
                hint="Look at the list of connections again.",
            )
        else:
            return
        raise gone


def account_in(db: sa.Connection, connection: Connection) -> tuple[str | None, str | None]:
    """Return the id and the name of the account for which the connection speaks, as the store has it now."""
    own = connections_table.c
    found = db.execute(
        sa.select(own.account_id, own.account_name).where(own.connection_id == connection.connection_id)
    ).first()
    return (None, None) if found is None else (found[0], found[1])


@dataclass
class Lease:
    """The right to refresh: a held write transaction, or single steps on a store in memory."""

    connection: Connection
    open: Callable[[], AbstractContextManager[sa.Connection]]
    in_steps: bool

    def record(self) -> Record:
        with self.open() as db:
            return Record.read(db, self.connection, lock=True)

    def account(self) -> str | None:
        with self.open() as db:
            return account_in(db, self.connection)[0]

    def save(self, basis: Record, **values: Any) -> None:
        with self.open() as db:
            if self.in_steps and Record.read(db, self.connection, lock=True).generation != basis.generation:
                # The grant was forgotten or replaced while the request was under way: it does not come back.
                return
            update_row(db, self.connection, **values)


@contextmanager
def lease(store: Store, connection: Connection) -> Iterator[Lease]:
    """Hold the right to refresh the token of a connection."""
    if store.in_memory:
        # One process only, and there one flight at a time: its single connection stays free for readers.
        yield Lease(connection, store.write, in_steps=True)
    else:
        with store.write() as db:
            yield Lease(connection, lambda: nullcontext(db), in_steps=False)


def after_failure(error: SpokekitError, record: Record, now: datetime) -> dict[str, Any]:
    """Return what a failed refresh changes in the row. Nothing here ever takes the sealed grant away."""
    if answer_is_lost(error):
        # The server may have rotated the token: the mark stays, and the next try falls into the leeway.
        return {"reason": error.message}
    values: dict[str, Any] = {"refresh_started_at": None, "reason": error.message}
    if isinstance(error, TransportError):
        # Nothing was sent this time, but an earlier request of this refresh may have been.
        started = record.refresh_started_at
        if started is not None and now - started > timedelta(seconds=5):
            del values["refresh_started_at"]
    if isinstance(error, ConsentNeeded):
        words = error.message
        if record.refresh_started_at is not None and now - record.refresh_started_at > LEEWAY:
            words += (
                f" A renewal that began at {moment(record.refresh_started_at)} was interrupted and its answer lost."
            )
        values |= {"state": "consent_needed", "reason": words}
    return values
