"""A store's file as a whole: whether it is in order, a copy of it, and a copy put in its place.

SQLite keeps the newest changes beside its file (``-wal``), and reads them back into whatever file lies there under
that name. So a copy is made by SQLite's own backup, in one file, and a copy is put in place only while nobody has the
store open, with what lay beside it moved away first.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

from spokekit._home import replacing
from spokekit._refused import told_as
from spokekit._words import counted
from spokekit.connections import database_errors, store_address
from spokekit.connections.store import SCHEMA_VERSION, SIDE_FILES, let_go, metadata, store_schema
from spokekit.errors import Conflict, InputError, NotFound, SpokekitError, StoreError

# Where SQLite locks its file and its shared memory, on every system that has such locks: whoever has a store open
# holds some of these bytes, also while it does nothing.
_LOCKED = (("", 0x40000000, 512), ("-shm", 120, 9))
_SERVERS = {
    "postgresql": ("pg_dump --format=custom --file=FILE --dbname={0}", "pg_restore --clean --dbname={0} FILE"),
    "mysql": ("mysqldump --single-transaction --result-file=FILE DATABASE", "mysql DATABASE < FILE"),
}


@dataclass(frozen=True)
class Contents:
    """What is in the file of a store; ``last_change`` (UTC) is the newest time that a record bears."""

    path: Path
    bytes: int
    layout: int
    connections: tuple[str, ...]
    registered_groups: int
    applies: int
    last_change: datetime | None
    marks: frozenset[str] = field(repr=False, default=frozenset())
    """Ids of its connections and applies: two stores that share one are the same store at two moments."""

    @property
    def words(self) -> str:
        """The same in a sentence."""
        names = ", ".join(f"“{name}”" for name in self.connections[:5]) + (", …" if len(self.connections) > 5 else "")
        parts = [
            counted(len(self.connections), "connection") + (f" ({names})" if names else ""),
            counted(self.registered_groups, "registered group"),
            f"{counted(self.applies, 'apply', 'applies')} in the journal",
        ]
        when = f"; last changed on {self.last_change:%Y-%m-%d at %H:%M} UTC" if self.last_change else ""
        return f"{', '.join(parts)}{when}."


def file_of(address: str) -> Path:
    """Return the file of the store at `address` (see `store.chosen`).

    Raises `StoreError` for a database server, with the name of the program that backs it up, and for a store in memory.
    """
    url = store_address.parse(address)
    if url.get_backend_name() != "sqlite":
        where = store_address.describe(url)
        save, back = _SERVERS.get(url.get_backend_name(), ("the database's own program", "it"))
        raise StoreError(
            f"The store is the database {where}, which this command does not copy.",
            hint=f"Back it up with {save.format(where)} and put a backup in its place with {back.format(where)}.",
        )
    path = store_address.sqlite_file(url)
    if path is None:
        raise StoreError(
            "The store is in memory only: there is no file to look at, to copy or to replace.",
            hint="Choose a folder with SPOKEKIT_HOME, or a file with SPOKEKIT_STORE_URL.",
        )
    return path.resolve()


def look(path: Path) -> Contents:
    """Read the whole of a store's file and say what is in it; nothing is changed.

    Raises `NotFound` where there is no file, `InputError` for what is no store of spokekit, and `StoreError` for one
    that is damaged or of a newer spokekit.
    """
    with told_as(StoreError, f"The file {path} cannot be read"):
        if not path.is_file():
            if path.exists():
                raise InputError(f"{path} is not a file.", field="file", hint="Choose a backup of a store.")
            raise NotFound(f"There is no file {path}.", hint="See whether the name is right.")
        size = path.stat().st_size
    if not size:
        raise StoreError(
            f"The file {path} is empty: no store was ever written to it, or it was cut to nothing.",
            hint=database_errors.DAMAGED[2],
        )
    try:
        # Never opened by other means: closing a file gives up every lock that this process has on it, SQLite's too.
        with opened(path) as db:
            return _read(db, path)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_NOTADB:
            raise InputError(
                f"The file {path} is not a store of spokekit, or its beginning was overwritten: SQLite cannot read it.",
                field="file",
                hint=database_errors.DAMAGED[2],
            ) from None
        raise database_errors.explain_sqlite(error, f"the file {path}") from None


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a store's file for reading, so that nothing is written to it nor left beside it."""
    # Without a journal beside it nobody has it open, and SQLite need not make one.
    alone = "" if any(_beside(path, end).exists() for end in SIDE_FILES) else "&immutable=1"
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro{alone}", uri=True, timeout=10)) as db:
        db.text_factory = lambda raw: raw.decode("utf-8", "replace")
        db.execute("PRAGMA trusted_schema=OFF")
        db.execute("PRAGMA cell_size_check=ON")
        yield db


def _read(db: sqlite3.Connection, path: Path) -> Contents:
    where = f"the file {path}"
    wrong = [str(row[0]) for row in db.execute("PRAGMA integrity_check(3)")]
    if wrong != ["ok"]:
        error = database_errors.of(database_errors.DAMAGED, where)
        found = " ".join(" ".join(wrong).split())[:200]
        raise StoreError(f"The store ({where}) is damaged: {found}.", likely=error.likely, hint=error.hint)
    there = {str(row[0]) for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    layout = None
    if store_schema.name in there:
        layout = db.execute(f"SELECT version FROM {store_schema.name}").fetchone()  # noqa: S608 - a name of ours
    if layout is None:
        raise InputError(
            f"The file {path} is not a store of spokekit: it is a SQLite file of another program, or an empty one.",
            field="file",
            hint="Choose a file that spokekit store backup wrote.",
        )
    if not isinstance(layout[0], int) or layout[0] > SCHEMA_VERSION:
        raise StoreError(
            f"The store ({where}) was written by a newer spokekit: it has layout {layout[0]}, and this spokekit knows "
            f"{SCHEMA_VERSION}.",
            hint="Update spokekit with pip.",
        )
    _see_to_the_rules(db, where)

    def rows(table: str, columns: str) -> list[tuple[str, ...]]:
        return db.execute(f"SELECT {columns} FROM {table}").fetchall() if table in there else []  # noqa: S608

    links = rows("connections", "connection_id, name")
    applies = rows("membership_journal", "DISTINCT apply_id")
    times = [
        *rows("connections", "MAX(updated_at)"),
        *rows("membership_journal", "MAX(at)"),
        *rows("credentials", "MAX(COALESCE(refreshed_at, granted_at))"),
        *rows("registered_groups", "MAX(registered_at)"),
    ]
    return Contents(
        path=path,
        bytes=path.stat().st_size,
        layout=layout[0],
        connections=tuple(sorted(str(name) for _, name in links)),
        registered_groups=int(next(iter(rows("registered_groups", "COUNT(*)")), (0,))[0]),
        applies=len(applies),
        last_change=_newest(times),
        marks=frozenset(str(row[0]) for row in (*links, *applies)),
    )


def _newest(times: list[tuple[str, ...]]) -> datetime | None:
    found = max((str(row[0]) for row in times if row[0]), default="")
    try:
        return datetime.fromisoformat(found).replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


def _see_to_the_rules(db: sqlite3.Connection, where: str) -> None:
    """Raise `StoreError` where a table lacks a column or a rule that ours has, or has a rule that ours has not."""
    ours, theirs = _schema(None), _schema(db)
    wrong = [f"{table} lacks {name}" for table in ours for name in sorted(ours[table] - theirs.get(table, ours[table]))]
    for table in theirs:
        strange = {name for name in theirs[table] - ours.get(table, theirs[table]) if name.startswith("trigger ")}
        wrong += [f"{table} has {name}" for name in sorted(strange)]
    broken = db.execute("PRAGMA foreign_key_check").fetchone()
    wrong += [f"a row of {broken[0]} refers to one of {broken[2]} that is not there"] if broken else []
    if wrong:
        raise StoreError(
            f"The store ({where}) is not as spokekit writes it: {'; '.join(wrong)[:300]}.",
            likely="Another program changed it.",
            hint=database_errors.DAMAGED[2],
        )


def _schema(db: sqlite3.Connection | None) -> dict[str, set[str]]:
    """Return columns and triggers by table: of a file, or of what this spokekit would make."""
    if db is None:
        return _expected(tuple(metadata.tables))
    made: dict[str, set[str]] = {}
    for kind, name, table in db.execute("SELECT type, name, tbl_name FROM sqlite_master"):
        if kind == "trigger":
            made.setdefault(table, set()).add(f"trigger {name}")
        elif kind == "table":
            columns = db.execute("SELECT name FROM pragma_table_info(?)", (name,))
            made.setdefault(name, set()).update(f"column {column}" for (column,) in columns)
    return made


@cache
def _expected(_tables: tuple[str, ...]) -> dict[str, set[str]]:
    engine = sa.create_engine("sqlite://")
    try:
        metadata.create_all(engine)
        with engine.connect() as connection:
            return _schema(connection.connection.driver_connection)
    finally:
        engine.dispose()


def backup(path: Path, target: Path, *, replace: bool = False) -> Contents:
    """Write a copy of the store at `path` to `target`, whole and in one file, while others may go on using it.

    Parameters
    ----------
    replace:
        Write over a file that is there; it stays until the copy is complete and was checked.

    Raises `Conflict` when `target` is there, and what `look` raises when the store, or the copy, is not in order.
    """
    target = target.absolute()
    _refuse_itself(path, target, "Choose the name of another file.")
    look(path)
    if not replace and (target.exists() or target.is_symlink()) and not target.is_dir():
        raise Conflict(
            f"There is a file {target} already.", hint="Choose another name, or give --replace to write over it."
        )
    _refuse_journals(target)
    with replacing(target) as temporary:
        _copy(path, temporary)
        found = look(temporary)
    return Contents(**{**vars(found), "path": target})


def _refuse_itself(store: Path, file: Path, hint: str) -> None:
    if file.resolve() in {store, *(_beside(store, end) for end in SIDE_FILES)}:
        raise InputError(f"{file} is the store itself.", field="file", hint=hint)


def _copy(source: Path, target: Path) -> None:
    try:
        with opened(source) as whole, closing(sqlite3.connect(target)) as made:
            whole.backup(made)
            # In one file: nothing that lies beside it later can belong to it.
            made.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise database_errors.explain_sqlite(error, f"the file {target.parent}") from None
    finally:
        for end in SIDE_FILES:
            _beside(target, end).unlink(missing_ok=True)


def _refuse_journals(file: Path) -> None:
    left = [one for end in SIDE_FILES if (one := _beside(file, end)).exists() and one.stat().st_size]
    if left:
        raise Conflict(
            f"Beside {file} lies {left[0].name}: changes that SQLite would write into it, whether they belong to it or "
            "not.",
            likely="It is the file of a store in use, copied by hand, or a store was there before.",
            hint=f"If it is a store, make a backup of it: spokekit store backup, with SPOKEKIT_STORE_URL=sqlite:///"
            f"{file}. To use {file.name} without these changes, move {left[0].name} away.",
        )


class Restore:
    """A backup that is to take the place of a store: looked at first, then put there by `carry_out`.

    Raises what `look` raises for a `file` that is no store in order, and `Conflict` while another process has the store
    open. The store that is there now is kept beside, whatever state it is in.
    """

    def __init__(self, path: Path, file: Path) -> None:
        self.path, self.file = path, file.absolute()
        _refuse_itself(path, file, "Choose a backup of it.")
        try:
            self.found = look(self.file)
        except SpokekitError as error:
            error.hint = "Choose another backup. The store is as it was."
            raise
        _refuse_journals(self.file)
        self.here: Contents | None = None
        """What is in the store that is there now; None where there is none, or it cannot be read."""
        self.damage = ""
        let_go(path)
        with _alone(path):
            self._look_here()

    def _look_here(self) -> None:
        if not self.path.exists():
            return
        try:
            # At a copy of it: SQLite writes into a store that it opens.
            with tempfile.TemporaryDirectory(prefix=f".{self.path.name}-", dir=self.path.parent) as folder:
                copy = Path(folder) / self.path.name
                shutil.copyfile(self.path, copy)
                for end in ("-wal", "-journal"):
                    if _beside(self.path, end).exists():
                        shutil.copyfile(_beside(self.path, end), _beside(copy, end))
                self.here = look(copy)
        except OSError as error:
            raise StoreError(f"The store {self.path} cannot be copied: {error.strerror or error}.") from None
        except SpokekitError as error:
            self.damage = error.message.replace(str(copy), str(self.path))

    @property
    def another(self) -> bool | None:
        """True where the backup is of another store than the one that is there; None where that cannot be known."""
        if self.here is None:
            return None if self.damage else False
        if not self.here.marks:
            return False
        return not self.here.marks & self.found.marks

    def carry_out(self) -> Path | None:
        """Put the backup in the store's place; returns where the store that was there is kept, None if there was none.

        Raises `Conflict` while another process has the store open, and `StoreError` when the disk does not take it;
        then the store is as it was.
        """
        if self.here is not None:
            # What lies beside a store in order goes into it, by the rules of SQLite.
            with suppress(sqlite3.Error), closing(sqlite3.connect(self.path)) as db:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        kept = self._name_for_the_kept()
        with _alone(self.path) as handle:
            there = self.path.exists()
            was = self.path.stat() if there else None
            if there:
                with replacing(kept) as copy:
                    shutil.copyfile(self.path, copy)
            moved: list[tuple[Path, Path]] = []
            try:
                with replacing(self.path) as temporary:
                    _copy(self.file, temporary)
                    look(temporary)
                    for end in SIDE_FILES:
                        one = _beside(self.path, end)
                        if one.exists():
                            one.replace(_beside(kept, end))
                            moved.append((one, _beside(kept, end)))
            except BaseException:
                # Interrupted after the backup took its place, nothing that belongs to the old store may come back.
                in_place = self.path.exists() and (was is None or not os.path.samestat(was, self.path.stat()))
                if not in_place:
                    for one, aside in reversed(moved):
                        aside.replace(one)
                    if there:
                        kept.unlink(missing_ok=True)
                raise
            if handle is not None:
                _close_to_those_who_wait(handle)
        let_go(self.path)
        look(self.path)
        return kept if there else moved[0][1] if moved else None

    def _name_for_the_kept(self) -> Path:
        now = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
        names = (f"{self.path.name}.before-restore-{now}{more}" for more in ("", *(f"-{n}" for n in range(2, 1000))))
        return next(path for name in names if not (path := self.path.with_name(name)).exists())


def _close_to_those_who_wait(handle: int) -> None:
    # A process that opened the old file and waits for its lock would next open what lies beside the new one.
    if os.fstat(handle).st_nlink == 0:
        os.pwrite(handle, bytes(16), 0)


@contextmanager
def _alone(path: Path) -> Iterator[int | None]:
    """Hold the store at `path` so that no other process can open it; give the handle of its file, None if missing."""
    with ExitStack() as held:
        handles: dict[str, int] = {}
        for end, start, length in _LOCKED if sys.platform != "win32" else ():
            # Windows does not let a file be replaced that somebody has open.
            try:
                handle = os.open(_beside(path, end), os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StoreError(f"The store {path} cannot be opened: {error.strerror or error}.") from None
            held.callback(os.close, handle)
            if not _lock(handle, start, length):
                raise Conflict(
                    f"Another process uses the store ({path}).",
                    likely="A notebook's kernel, JupyterLab or another command has it open.",
                    hint="Shut the kernels down and end the commands, then try again; nothing was changed.",
                    next_step="wait",
                )
            handles[end] = handle
        yield handles.get("")


def _lock(handle: int, start: int, length: int) -> bool:
    import errno
    import fcntl

    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
    except OSError as error:
        # On a disk without locks SQLite has none either.
        return error.errno not in (errno.EACCES, errno.EAGAIN)
    return True


def _beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)
