"""The store: one SQLite file under the home, or any SQLAlchemy URL (``SPOKEKIT_STORE_URL``).

Each room that keeps records defines its tables on `metadata` and asks the store for a transaction. `Store.write`
takes the write lock at once (``BEGIN IMMEDIATE`` on SQLite), so that what is read inside it cannot be changed by
another process before the commit; `Store.read` never blocks writers.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import StaticPool

from spokekit._home import home
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


class Store:
    """Records of one home. Cheap to make; safe to share between threads.

    Parameters
    ----------
    url:
        A SQLAlchemy URL. ``sqlite://`` keeps everything in memory (Binder, Voilà, tests).
    """

    def __init__(self, url: str | sa.URL) -> None:
        try:
            self.url = sa.make_url(url)
        except sa.exc.ArgumentError:
            raise InputError(
                "The address of the store is not one that SQLAlchemy understands.",
                field="SPOKEKIT_STORE_URL",
                hint="Example: postgresql+psycopg://user@host/database, or leave it unset.",
            ) from None
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.in_memory = self.is_sqlite and not self.url.database
        options: dict[str, Any] = {"hide_parameters": True}
        if self.in_memory:
            options |= {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
        elif self.is_sqlite:
            options |= {"connect_args": {"timeout": 60.0}}
        try:
            self.engine = sa.create_engine(self.url, **options)
        except (ModuleNotFoundError, sa.exc.NoSuchModuleError) as error:
            raise StoreError(
                f"The store's database needs a driver that is not installed: {error}.",
                hint="Install it with pip, for example psycopg[binary] for PostgreSQL.",
            ) from None
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        # One connection serves all threads of an in-memory store, so its transactions take turns.
        self._turn = threading.RLock()
        self._made: set[str] = set()
        self._making = threading.Lock()

    def __repr__(self) -> str:
        return f"Store({self.describe()})"

    def describe(self) -> str:
        """Say in words where the records are, without a password."""
        if self.in_memory:
            return "in memory only; gone when the kernel stops"
        if self.is_sqlite:
            return f"the file {self.url.database}"
        return f"the database {self.url.render_as_string(hide_password=True)}"

    def ensure(self, *tables: sa.Table) -> None:
        """Make those of `tables` that are not there yet, and the ones that they refer to."""
        wanted = _with_referred(tables)
        missing = [t for t in wanted if t.name not in self._made]
        if not missing:
            return
        with self._making, self.write() as connection:
            if self.engine.dialect.name == "postgresql":
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(5365321)"))
            metadata.create_all(connection, tables=missing)
        self._made.update(t.name for t in missing)

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Open a transaction that holds the write lock from its first moment; commits at the end."""
        with self._transaction(writing=True) as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a transaction for reading."""
        with self._transaction(writing=False) as connection:
            yield connection

    @contextmanager
    def _transaction(self, *, writing: bool) -> Iterator[sa.Connection]:
        turn = self._turn if self.in_memory else _NO_TURN
        try:
            with turn, self.engine.connect() as connection:
                connection = connection.execution_options(spokekit_writing=writing)
                with connection.begin():
                    yield connection
        except (sa.exc.OperationalError, sa.exc.DatabaseError) as error:
            if isinstance(error, sa.exc.IntegrityError):
                raise
            raise StoreError(
                f"The store ({self.describe()}) did not answer: {error.orig}.",
                likely="Another program may hold it, the disk may be full, or the file may be damaged.",
                hint="Close other programs that use it and try again; nothing was changed.",
            ) from None

    def close(self) -> None:
        """Close all connections of this process."""
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


class _NoTurn:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


_NO_TURN = _NoTurn()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # pysqlite must not start transactions by itself, or BEGIN IMMEDIATE below would come too late.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    writing = connection.get_execution_options().get("spokekit_writing", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


_open: dict[str, Store] = {}
_open_lock = threading.Lock()


def default_store() -> Store:
    """Return the store of this home: ``SPOKEKIT_STORE_URL`` if set, else a file under `home`."""
    chosen = os.environ.get("SPOKEKIT_STORE_URL", "").strip()
    if chosen:
        url = chosen
    else:
        path = home() / "spokekit.sqlite"
        _private_file(path)
        url = sa.URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)
    with _open_lock:
        key = f"{os.getpid()} {url}"
        if key not in _open:
            _open[key] = Store(url)
        return _open[key]


def _private_file(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.close(handle)
        if os.name == "posix" and (path.stat().st_mode & 0o077):
            path.chmod(0o600)
    except OSError as error:
        raise StoreError(
            f"The store {path} cannot be opened: {error.strerror or error}.",
            hint="Choose another folder with the environment variable SPOKEKIT_HOME.",
        ) from None
