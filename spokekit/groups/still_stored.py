"""Is what was written still in the store that others open? Asked of the store itself, with nothing cached.

SQLite goes on writing into a file that was overwritten or cut off, and reads back what it wrote from its own memory: a
connection of its own, made for each look, sees what the next process will see.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

import sqlalchemy as sa

from spokekit.connections.store import Store
from spokekit.errors import StoreError
from spokekit.groups.book import Book

Written = tuple[int, str, int | None]
"""Number, event and position of an entry."""


class Witness:
    """Looks for the entries of one apply that this process has written."""

    def __init__(self, store: Store, apply_id: str, book: Book) -> None:
        self._store = store
        self._book = book
        self._apply_id = apply_id
        self._last: Written | None = None
        self._count = 0
        self._stamp: tuple[int, ...] | None = None
        self._file: tuple[int, int] | None = None

    def wrote(self, last: Written, count: int = 1) -> None:
        """Take note of an entry that was written; `count` is how many came with it."""
        if self._file is None and self._store.path is not None:
            # Where it is gone already, the next look finds that.
            with suppress(OSError):
                about = self._store.path.stat()
                self._file = about.st_dev, about.st_ino
        self._last = last
        self._count += count

    def see(self, connection: sa.Connection) -> None:
        """Raise `StoreError` when the last entry is not where this transaction is about to write the next one."""
        if self._last is None:
            return
        t = self._book.entries
        query = sa.select(t.c.apply_id, t.c.event, t.c.position).where(t.c.seq == self._last[0])
        try:
            found = connection.execute(query).one_or_none()
        except sa.exc.DBAPIError:
            raise self.gone() from None
        if found is None or tuple(found) != (self._apply_id, *self._last[1:]):
            raise self.gone()

    def look(self) -> None:
        """Raise `StoreError` when a process that opened the store now would not find what was written."""
        if self._last is None or self._store.in_memory:
            return
        if self._store.path is None:
            with self._store.read() as connection:
                self.see(connection)
            return
        try:
            self._look_into(self._store.path, self._last)
        except (OSError, sqlite3.Error):
            raise self.gone() from None

    def holds(self) -> bool:
        """Say whether all that was written is there for others to find."""
        self._stamp = None
        try:
            self.look()
        except StoreError:
            return False
        return True

    def _look_into(self, path: Path, written: Written) -> None:
        now = path.stat()
        # A copy in its place is another file, whatever a log that was left beside it adds. An empty one is not opened:
        # SQLite would take it for a new store, and delete that log.
        if not now.st_size or (now.st_dev, now.st_ino) != self._file:
            raise self.gone()
        stamp = (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns)
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=self._store.lock_timeout)) as other:
            seq, *last = written
            found = other.execute(
                f"SELECT apply_id, event, position FROM {self._book.entries.name} WHERE seq = ?",  # noqa: S608 - our name
                (seq,),
            ).fetchone()
            if found != (self._apply_id, *last):
                raise self.gone()
            if stamp != self._stamp:
                # Somebody wrote into the file itself: most often SQLite, which moves there what its log holds.
                _read_bare(path)
                self._read_all(other)
                self._stamp = stamp

    def _read_all(self, other: sqlite3.Connection) -> None:
        counts = [
            other.execute(f"SELECT count(*) FROM {table} WHERE apply_id = ?", (self._apply_id,)).fetchone()[0]  # noqa: S608
            for table in (self._book.entries.name, self._book.plans.name)
        ]
        sound = other.execute("PRAGMA quick_check(1)").fetchone()[0]
        if counts[0] < self._count or counts[1] != 1 or sound != "ok":
            raise self.gone()

    def gone(self) -> StoreError:
        """Return the error for a journal that is not where it was written."""
        return StoreError(
            f"The journal of this apply is no longer in the store ({self._store.describe()}).",
            likely="The store was removed, replaced, overwritten or cut off, or rows of the journal were deleted.",
            hint="See that the right store is there.",
        )


def _read_bare(path: Path) -> None:
    """Raise `sqlite3.Error` when the file is no database without the log beside it, which may still hide that.

    Through SQLite, since opening and closing the file otherwise would take its locks from this process.
    """
    for tries_left in (2, 1, 0):
        try:
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as bare:
                bare.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return
        except sqlite3.Error:
            # Somebody may be moving pages there just now.
            if not tries_left:
                raise
            time.sleep(0.05)
