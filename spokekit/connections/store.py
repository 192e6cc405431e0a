"""The store: one SQLite file under the home, or any SQLAlchemy URL (``SPOKEKIT_STORE_URL``).

Each room that keeps records defines its tables on `metadata` and asks the store for a transaction. `Store.write`
takes the write lock at once (``BEGIN IMMEDIATE`` on SQLite), so that what is read inside it cannot be changed by
another process before the commit; `Store.read` never blocks writers.

The table ``store_schema`` holds the version of the layout. A store that a newer spokekit wrote is refused, since an
older one could not know which of its rules it would break.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVarTuple

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import StaticPool

from spokekit._home import home, nothing_kept
from spokekit._refused import told_as
from spokekit.connections import database_errors, store_address
from spokekit.errors import InputError, StoreError

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


SCHEMA_VERSION = 1
LOCK_TIMEOUT = 60.0
SIDE_FILES = ("-wal", "-shm", "-journal")
"""What SQLite puts beside its file, by the end of the name."""

_Columns = TypeVarTuple("_Columns")
_WRITERS = 4
_FILE = "spokekit_file"

store_schema = sa.Table(
    "store_schema",
    metadata,
    sa.Column("one", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.CheckConstraint("one = 1", name="one_row"),
)


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """A point in time, kept as UTC; SQLite forgets time zones, so they are put back on reading."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("A time without a time zone was given to the store.")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


def texts(*names: str, **options: Any) -> list[sa.Column[str]]:
    """Return columns for text that is never null."""
    return [sa.Column(name, sa.Text, nullable=False, **options) for name in names]


class Store:
    """Records of one home. Cheap to make; safe to share between threads.

    Parameters
    ----------
    url:
        A SQLAlchemy URL. ``sqlite://`` keeps everything in memory (Binder, Voilà, tests).
    lock_timeout:
        How many seconds to wait for another process that is writing: to the same SQLite file, or to the same row of
        a PostgreSQL database.
    """

    def __init__(self, url: str | sa.URL, *, lock_timeout: float = LOCK_TIMEOUT) -> None:
        self.url = store_address.parse(url)
        try:
            self.is_sqlite = self.url.get_backend_name() == "sqlite"
            loops = self.url.get_dialect().is_async
        except (ModuleNotFoundError, sa.exc.SQLAlchemyError):
            raise store_address.driver_missing(self.url) from None
        if loops:
            raise store_address.not_for_threads(self.url)
        self.path = store_address.sqlite_file(self.url) if self.is_sqlite else None
        self.in_memory = self.is_sqlite and self.path is None
        options: dict[str, Any] = {"hide_parameters": True}
        if self.in_memory:
            options |= {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
        else:
            options |= {"pool_timeout": lock_timeout}
            options |= {"connect_args": {"timeout": lock_timeout}} if self.is_sqlite else {}
        try:
            self.engine = sa.create_engine(self.url, **options)
        except (ImportError, sa.exc.NoSuchModuleError):
            raise store_address.driver_missing(self.url) from None
        except (sa.exc.ArgumentError, TypeError, ValueError):
            # Their own words quote the address.
            raise InputError(
                "SPOKEKIT_STORE_URL holds a setting that its database does not take.",
                field=store_address.FIELD,
                hint=f"Write it as {store_address.EXAMPLE}.",
            ) from None
        if self.is_sqlite:
            if self.path is not None:
                # Before anything waits for a lock: meanwhile another file may take the place of the one that is open.
                event.listen(self.engine, "connect", partial(_note_the_file, weakref.ref(self)))
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        elif self.engine.dialect.name == "postgresql":
            event.listen(self.engine, "connect", partial(_limit_waiting, lock_timeout))
        self.lock_timeout = lock_timeout
        # One connection serves all threads of an in-memory store, so its transactions take turns. Elsewhere only some
        # of the pool's connections are for writers: however many wait for a lock, readers find one.
        self._turn = threading.RLock()
        self._writers = threading.BoundedSemaphore(_WRITERS)
        if self.path is not None:
            _make_private(self.path, make=store_address.makes_a_file(self.url))
        self._was_there = self.path is not None and self.path.exists()
        self._made: set[str] = set()
        self._making = threading.Lock()
        # For stores that nobody closes: a notebook's last name for one is bound to something else, and it is gone.
        # When the process ends, a thread may still be using one.
        weakref.finalize(self, self.engine.dispose).atexit = False

    def __repr__(self) -> str:
        return f"Store({self.describe()})"

    def describe(self) -> str:
        """Say in words where the records are, without a password."""
        if self.in_memory:
            return "in memory only; gone when the kernel stops"
        if self.is_sqlite:
            return f"the file {self.path}"
        return f"the database {store_address.describe(self.url)}"

    @property
    def address(self) -> str:
        """Where the records are, without a password, in one line: a path, or the server and its database."""
        return str(self.path) if self.path is not None else store_address.describe(self.url)

    def ensure(self, *tables: sa.Table) -> None:
        """Make those of `tables` that are not there yet, and the ones that they refer to.

        Raises `StoreError` when a newer spokekit wrote the store.
        """
        wanted = _with_referred(tables)
        missing = [t for t in wanted if t.name not in self._made]
        if not missing:
            return
        with self._making:
            with self.read() as connection:
                there = set(sa.inspect(connection).get_table_names())
                self._check_version(connection, there)
            if not there.issuperset({store_schema.name, *(t.name for t in missing)}):
                with self.write() as connection:
                    self._make(connection, [store_schema, *missing])
        self._made.update(t.name for t in missing)

    def _make(self, connection: sa.Connection, tables: list[sa.Table]) -> None:
        if self.engine.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(5365321)"))
        # Somebody else may have made them, or a newer layout, between the look and the lock.
        self._check_version(connection, set(sa.inspect(connection).get_table_names()))
        metadata.create_all(connection, tables=tables)
        if connection.execute(sa.select(store_schema.c.version)).first() is None:
            connection.execute(store_schema.insert().values(one=1, version=SCHEMA_VERSION))

    def _check_version(self, connection: sa.Connection, there: set[str]) -> None:
        if store_schema.name not in there:
            return
        version = connection.execute(sa.select(store_schema.c.version)).scalar()
        if version is not None and version > SCHEMA_VERSION:
            raise StoreError(
                f"The store ({self.describe()}) was written by a newer spokekit: it has layout {version}, and this "
                f"spokekit knows {SCHEMA_VERSION}.",
                hint="Update spokekit with pip, or choose another folder with SPOKEKIT_HOME.",
            )

    def write(self) -> AbstractContextManager[sa.Connection]:
        """Open a transaction that holds the write lock from its first moment; commits at the end."""
        return self._transaction(writing=True)

    def read(self) -> AbstractContextManager[sa.Connection]:
        """Open a transaction for reading."""
        return self._transaction(writing=False)

    def fetch(self, query: sa.Select[*_Columns]) -> Sequence[sa.Row[*_Columns]]:
        """Return all that one query finds, read in a transaction of its own."""
        with self.read() as connection:
            return connection.execute(query).all()

    @contextmanager
    def _transaction(self, *, writing: bool) -> Iterator[sa.Connection]:
        try:
            if self._was_there and _identity(self.path) is None:
                # SQLite would make an empty one in its place.
                raise self._gone(None)
            with self._place_for(writing), self.engine.connect() as connection:
                self._see_that_it_is_there(connection)
                connection = connection.execution_options(spokekit_writing=writing)
                with connection.begin():
                    yield connection
                if writing:
                    self._see_that_it_is_there(connection)
        except sa.exc.IntegrityError:
            raise
        except (sa.exc.DBAPIError, sa.exc.TimeoutError, sa.exc.InvalidRequestError) as error:
            raise database_errors.explain(error, self.url, self.describe()) from None

    @contextmanager
    def _place_for(self, writing: bool) -> Iterator[None]:
        if self.in_memory:
            with self._turn:
                yield
        elif not writing:
            yield
        else:
            if not self._writers.acquire(timeout=self.lock_timeout):
                raise database_errors.of(database_errors.HELD, self.describe())
            try:
                yield
            finally:
                self._writers.release()

    def _see_that_it_is_there(self, connection: sa.Connection) -> None:
        """Raise `StoreError` when the file that this connection has open is no longer the one at the store's path.

        SQLite goes on writing into a file that was removed or renamed, where nobody will find it.
        """
        if self.path is None or connection.info.get(_FILE) == (now := _identity(self.path)):
            return
        connection.invalidate()
        raise self._gone(now)

    def _gone(self, now: tuple[int, int] | None) -> StoreError:
        # Whoever asks next has the file that is there then.
        self.engine.dispose()
        self._made.clear()
        return StoreError(
            f"The store ({self.describe()}) was {'removed or renamed' if now is None else 'replaced by another file'} "
            "while it was in use.",
            likely="Somebody tidied up or put a backup in its place (spokekit store restore), or a program that "
            "synchronises folders did.",
            hint="See that the right file is there (spokekit store check); then do it again. What was being changed "
            "is not in it.",
        )

    def close(self) -> None:
        """Close all connections of this process; one that a thread still uses is closed when it is given back."""
        if not self.in_memory:
            # Before the next pool is made from this one: a thread that comes later still leaves nothing open.
            event.listen(self.engine.pool, "checkin", lambda _connection, record: record.invalidate())
        self.engine.dispose()


def _with_referred(tables: Iterable[sa.Table]) -> list[sa.Table]:
    found: dict[str, sa.Table] = {}
    waiting = list(tables)
    while waiting:
        table = waiting.pop()
        if table.name not in found:
            found[table.name] = table
            waiting.extend(key.column.table for key in table.foreign_keys)
    return list(found.values())


def storable(text: str) -> str:
    """Return a text from outside so that every database takes it: what none can keep becomes U+FFFD."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")


def _note_the_file(of: weakref.ref[Store], _connection: Any, record: Any) -> None:
    # The engine must not hold the store, or neither would ever go.
    if store := of():
        record.info[_FILE] = _identity(store.path)
        store._was_there = True


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # pysqlite must not start transactions by itself, or BEGIN IMMEDIATE below would come too late.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=ON")
    _write_ahead(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _write_ahead(cursor: Any) -> None:
    # Several who open a new file at the same moment all want to switch it over, and SQLite refuses that at once
    # instead of waiting as it does for a lock. Once switched, a file stays so.
    until = time.monotonic() + cursor.execute("PRAGMA busy_timeout").fetchone()[0] / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: sa.Connection) -> None:
    writing = connection.get_execution_options().get("spokekit_writing", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _limit_waiting(seconds: float, connection: Any, _record: Any) -> None:
    # A process that sleeps in the middle of a transaction is waited for as long as on SQLite, and then cut off: its
    # lock would be held until somebody finds it.
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = {round(seconds * 1000)}")
        cursor.execute(f"SET statement_timeout = {round(seconds * 2000)}")
        cursor.execute(f"SET idle_in_transaction_session_timeout = {round(seconds * 2000)}")
    connection.commit()


_open: dict[str, Store] = {}
_open_lock = threading.Lock()


def default_store() -> Store:
    """Return the store of this home: ``SPOKEKIT_STORE_URL`` if set, else a file under `home`.

    For a visitor of Voilà and on Binder it is in memory, unless ``SPOKEKIT_STORE_URL`` names a store or
    ``SPOKEKIT_VAULT`` says that secrets may be kept.
    When the file was removed while this process had it open, a new and empty store takes its place.
    """
    url, path = chosen()
    with _open_lock:
        key = f"{os.getpid()} {url}"
        known = _open.get(key)
        if known is not None and known.path is not None and not known.path.exists():
            _open.pop(key).close()
        if key not in _open:
            _open[key] = Store(url)
            if path is not None:
                _see_that_it_opens(path)
        return _open[key]


def chosen() -> tuple[str, Path | None]:
    """Return the address of this home's store, and its file where spokekit chose that; nothing is opened or made."""
    said = os.environ.get("SPOKEKIT_STORE_URL", "").strip()
    if said or nothing_kept(os.environ):
        return said or "sqlite://", None
    path = home() / "spokekit.sqlite"
    return sa.URL.create("sqlite", database=str(path)).render_as_string(hide_password=False), path


def let_go(path: Path) -> None:
    """Close what this process has open of the store at `path`."""
    with _open_lock:
        for store in _open.values():
            if store.path is not None and store.path.resolve() == path.resolve():
                store.close()


def _see_that_it_opens(path: Path) -> None:
    hint = "Choose another folder with the environment variable SPOKEKIT_HOME."
    with told_as(StoreError, f"The store {path} cannot be opened", hint=hint):
        os.close(os.open(path, os.O_RDWR))


def _make_private(path: Path, *, make: bool) -> None:
    """See to it that the file and its journals are their owner's alone; SQLite itself would let everybody read them."""
    with suppress(OSError):
        # Where it cannot be made, the first look at it says why.
        if make:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    if os.name == "posix":
        for one in (path, *(path.with_name(path.name + end) for end in SIDE_FILES)):
            # What belongs to somebody else is theirs to close.
            with suppress(OSError):
                if one.is_file() and one.stat().st_mode & 0o077:
                    one.chmod(0o600)


def _identity(path: Path | None) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # type: ignore[arg-type] # noqa: PTH116 - asked before and after each transaction
    except OSError:
        return None
    return found.st_dev, found.st_ino
