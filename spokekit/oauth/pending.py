"""What the store does not have yet: tokens in hand and in files beside it, and how they get in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from spokekit.connections.connection import Connection, account_changes, credentials, note_account
from spokekit.connections.store import Store
from spokekit.errors import SpokekitError, StoreError
from spokekit.oauth.saving import Held, Keeping, keeping
from spokekit.oauth.status import Record
from spokekit.oauth.token_rows import account_in, update_row
from spokekit.oauth.unsaved import Aside, Kept
from spokekit.oauth.vault import Sealer, Vault


class Pending:
    """The tokens of a store that are not in it yet."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store = store
        self._vault = vault
        self._aside = Aside(store, vault)

    def record(self, connection: Connection) -> Record:
        """Return the row as it is, or will be: a token that could not be stored is taken in first, if it can."""
        self._store.ensure(credentials, account_changes)
        record, kept = self._read(connection)
        if kept is not None:
            path = self._aside.path_of(kept)
            self._keeping.hold(self.held(connection, kept, None, path=path), wait=True)
            record, kept = self._read(connection)
        return record if kept is None else replace(record, **kept.values(record, self._vault.sealer()))

    def row(self, connection: Connection) -> Record:
        """Return the row as the store has it."""
        self._store.ensure(credentials, account_changes)
        with self._store.read() as db:
            return Record.read(db, connection)

    def _read(self, connection: Connection) -> tuple[Record, Kept | None]:
        # Looked for first: who takes one in changes the row before the file goes.
        candidates = self.all_of(connection)
        with self._store.read() as db:
            record, account_id = Record.read(db, connection), account_in(db, connection)[0]
        return record, self._newest(connection, record, account_id, candidates, asks=False)

    def _newest(
        self, connection: Connection, record: Record, account_id: str | None, candidates: Sequence[Kept], *, asks: bool
    ) -> Kept | None:
        """Return the newest that is to take the place of `record`, or is asked about; let go of those that are not."""
        newest = None
        for kept in candidates:
            if kept.asks != asks:
                continue
            if self._aside.stands_to(kept, record, connection, account_id) == "newer":
                newest = kept
            else:
                self.drop(kept)
        return newest

    def all_of(self, connection: Connection) -> list[Kept]:
        """Return what is in hand or in files for a connection, the oldest first."""
        in_hand = [held.kept for held in self._keeping.of(connection.connection_id)]
        names = {kept.name for kept in in_hand}
        found = [*in_hand, *(kept for kept in self._aside.read(connection) if kept.name not in names)]
        return sorted(found, key=lambda kept: kept.refreshed_at)

    def taken_in(self, db: sa.Connection, connection: Connection) -> Record:
        """Return the locked row, after a token that could not be stored before was written into it."""
        record = Record.read(db, connection, lock=True)
        account_id = account_in(db, connection)[0]
        kept = self._newest(connection, record, account_id, self.all_of(connection), asks=False)
        if kept is None:
            return record
        self._write_row(db, connection, kept, record)
        return Record.read(db, connection)

    def _write_row(self, db: sa.Connection, connection: Connection, kept: Kept, record: Record) -> None:
        update_row(db, connection, **kept.values(record, self._vault.sealer()))
        if kept.consent and kept.account_id is not None:
            note_account(db, connection.connection_id, kept.account_id or None, kept.account_name or None)

    def put(self, connection: Connection, kept: Kept, *, as_it_is: bool = False) -> bool:
        """Write a token into the store, unless something newer is there; `as_it_is` looks at nothing."""
        with self._store.write() as db:
            record = Record.read(db, connection, lock=True)
            how = self._aside.stands_to(kept, record, connection, account_in(db, connection)[0])
            if as_it_is or how == "newer":
                self._write_row(db, connection, kept, record)
        self.drop(kept)
        return as_it_is or how != "older"

    def drop(self, kept: Kept) -> None:
        """Let go of a token that was kept aside: the store has it or a newer one, or nobody wants it."""
        self._keeping.drop(kept)
        self._aside.remove(kept)

    @contextmanager
    def room(self, connection: Connection) -> Iterator[Path | None]:
        """Take the room on the disk that a token of `connection` may need, before it is asked for."""
        taken = self._aside.reserve(connection)
        try:
            yield taken
        finally:
            if taken is not None:
                with suppress(OSError):
                    taken.unlink(missing_ok=True)

    def keep(self, connection: Connection, kept: Kept, room: Path | None = None) -> None:
        """Keep a token in its file and out of the store, until `put` or `drop`."""
        self._keeping.keep(self.held(connection, kept, None, room))

    def waiting(self, connection: Connection) -> Kept | None:
        """Return the newest token about which a person is to be asked; None where there is none."""
        candidates = self.all_of(connection)
        if not any(kept.asks for kept in candidates):
            return None
        with self._store.read() as db:
            record, account_id = Record.read(db, connection), account_in(db, connection)[0]
        return self._newest(connection, record, account_id, candidates, asks=True)

    def words(self, connection: Connection) -> str:
        """Say where tokens are that the store does not take, and why; empty where there are none."""
        return " ".join(held.words for held in self._keeping.of(connection.connection_id) if not held.kept.asks)

    def hold(
        self, connection: Connection, kept: Kept, sealer: Sealer | None, error: BaseException, room: Path | None = None
    ) -> None:
        """Keep a token that the store does not take, and try again until it does."""
        held = self.held(connection, kept, sealer, room)
        held.note(error)
        self._keeping.drop(kept)
        self._keeping.hold(held)

    def held(
        self,
        connection: Connection,
        kept: Kept,
        sealer: Sealer | None,
        room: Path | None = None,
        path: Path | None = None,
    ) -> Held:
        def write(kept: Kept) -> Path:
            try:
                now = self._vault.sealer()
            except SpokekitError:
                # The key in hand does where none can be read.
                if sealer is None:
                    raise
                now = sealer
            try:
                return self._aside.write(kept, now, room)
            except StoreError:
                # Where there is no room for a second one, the first does, unless it says that a person is to be asked.
                there = self._aside.path_of(kept)
                if there is None or not any(
                    one.name == kept.name and one.asks == kept.asks for one in self._aside.read(connection)
                ):
                    raise
                return there

        return Held(kept, connection.name, partial(self.put, connection), write, path)

    @property
    def _keeping(self) -> Keeping:
        return keeping(self._store)
