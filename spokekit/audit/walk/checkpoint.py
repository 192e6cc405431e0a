"""What an unfinished walk has paid for: one SQLite file a site, written several times a second.

A killed walk finds here the list of groups, every page of members that it had read up to the last write, and the
accounts, spaces and grants that it had looked up. Pages and ends of groups are collected in memory and written in one
transaction together, or a large site would spend more on writing than on reading. The file is held by one walk at a
time and removed when its snapshot is on disk.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from array import array
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from spokekit._home import home, private_folder
from spokekit.audit.frames import CONFIRMED, WALKED
from spokekit.audit.history.snapshot import folder_name
from spokekit.errors import Conflict, StoreError

if TYPE_CHECKING:
    from spokekit.confluence.shapes import Member

FORMAT = 1
WAITING_MOST = 1_000
"""So many memberships (2 points each) that are not written yet are written at once, whatever the time."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS people (number INTEGER PRIMARY KEY, account_id TEXT NOT NULL UNIQUE, details TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS pages (group_id TEXT NOT NULL, page INTEGER NOT NULL, members BLOB NOT NULL,
                                  PRIMARY KEY (group_id, page)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ended (group_id TEXT PRIMARY KEY, state TEXT NOT NULL, walked_at TEXT NOT NULL,
                                  disturbed INTEGER NOT NULL, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS lists (kind TEXT NOT NULL, key TEXT NOT NULL, rows TEXT NOT NULL, PRIMARY KEY (kind, key));
"""

_PERSON = "INSERT INTO people VALUES (?, ?, ?)"
_PAGE = "INSERT OR REPLACE INTO pages VALUES (?, ?, ?)"
_PART = "INSERT OR REPLACE INTO lists VALUES (?, ?, ?)"
_ENCODER, _DETAILS = msgspec.json.Encoder(), msgspec.json.Decoder(dict[str, Any])
_Statement = tuple[str, Sequence[Any]]


@dataclass(frozen=True)
class Ended:
    """How the walk of one group ended."""

    state: str
    walked_at: datetime
    disturbed: bool
    reason: str


class Checkpoint:
    """The file of one site's unfinished walk. Calls may come from any thread.

    `page`, `forget` and `end` only collect, and take no time; `flush` writes, and so does every other call.

    Raises
    ------
    Conflict
        Another walk of this site is running.
    StoreError
        The file cannot be read or written.
    """

    def __init__(self, cloud_id: str, folder: Path | None = None) -> None:
        self.path = _path(cloud_id, folder)
        private_folder(self.path.parent)
        self._lock = threading.RLock()
        self._collecting = threading.Lock()
        self._waiting: list[_Statement] = []
        self._members_waiting = 0
        self._trouble: StoreError | None = None
        with ExitStack() as failed:
            try:
                file = sqlite3.connect(self.path, timeout=0.5, isolation_level=None, check_same_thread=False)
                self._file = failed.enter_context(closing(file))
                # Exclusive until closed, or until the process dies: that is the lock between two walks.
                self._file.execute("PRAGMA locking_mode=EXCLUSIVE")
                self._file.execute("PRAGMA journal_mode=WAL")
                self._file.execute("PRAGMA synchronous=NORMAL")
                self._file.executescript(_SCHEMA)
                self._file.execute("INSERT OR REPLACE INTO about VALUES ('format', ?)", [str(FORMAT)])
            except sqlite3.Error as error:
                if "locked" in str(error):
                    raise Conflict(
                        "Another walk of this site is running.",
                        hint="Wait until it ends, or stop it first.",
                        next_step="wait",
                    ) from None
                raise self._broken(error) from None
            self._people = {
                account: number
                for number, account in self._all("SELECT number, account_id FROM people ORDER BY number")
            }
            self._pages: dict[str, int] = dict(self._all("SELECT group_id, COUNT(*) FROM pages GROUP BY group_id"))
            failed.pop_all()

    def _broken(self, error: sqlite3.Error) -> StoreError:
        return StoreError(
            f"The record of the walk ({self.path}) cannot be used: {error}.",
            likely="The disk may be full, or the file may be damaged.",
            hint="Free some space, or start a fresh walk.",
        )

    def _all(self, text: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            with self._lock:
                if self._waiting:
                    self._write()
                return self._file.execute(text, values).fetchall()
        except sqlite3.Error as error:
            raise self._broken(error) from None

    def _write(self, *statements: _Statement) -> None:
        """Write what waits, and then `statements`, in one transaction."""
        try:
            # Batches are written in the order in which they were collected: a later one may name a person of this one.
            with self._lock:
                with self._collecting:
                    waiting, self._waiting, self._members_waiting = self._waiting, [], 0
                try:
                    self._file.execute("BEGIN")
                    for text, values in (*waiting, *statements):
                        self._file.execute(text, values)
                    self._file.execute("COMMIT")
                except BaseException:
                    with self._collecting:
                        self._waiting[:0] = waiting
                    # When the disk is full, SQLite has done so itself, and would answer with an error of its own.
                    if self._file.in_transaction:
                        self._file.execute("ROLLBACK")
                    raise
                self._trouble = None
        except sqlite3.Error as error:
            self._trouble = self._broken(error)
            raise self._trouble from None

    def flush(self) -> None:
        """Write what was collected."""
        if self._waiting:
            self._write()

    @property
    def full(self) -> bool:
        """Tell whether so much was collected that it should be written."""
        return self._members_waiting >= WAITING_MOST

    def _collect(self, *statements: _Statement) -> None:
        if self._trouble is not None:
            # What cannot be written must not go on being paid for.
            raise self._trouble
        self._waiting += statements

    # -- about the walk --

    def get(self, key: str) -> Any:
        """Return what was kept under `key`, or None."""
        found = self._all("SELECT value FROM about WHERE key = ?", [key])
        return json.loads(found[0][0]) if found else None

    def put(self, **values: Any) -> None:
        """Keep values that JSON knows."""
        self._write(
            *(("INSERT OR REPLACE INTO about VALUES (?, ?)", (key, json.dumps(value))) for key, value in values.items())
        )

    def add(self, **counts: int) -> None:
        """Add to counts (points, pages, retries, duplicates) of all runs of this walk."""
        before = self.get("counts") or {}
        self.put(counts={key: before.get(key, 0) + counts.get(key, 0) for key in before.keys() | counts.keys()})

    # -- members --

    def page(self, group_id: str, members: Sequence[Member]) -> None:
        """Keep the next page of a group's members."""
        with self._collecting:
            people, numbers, fresh = self._people, array("i"), []
            for row in members:
                number = people.get(row.account_id)
                if number is None:
                    number = people[row.account_id] = len(people)
                    fresh.append((_PERSON, (number, row.account_id, _details(row))))
                numbers.append(number)
            page = self._pages.get(group_id, 0)
            self._pages[group_id] = page + 1
            self._members_waiting += len(numbers)
            # In this order: a page on disk never names a person who is not.
            self._collect(*fresh, (_PAGE, (group_id, page, numbers.tobytes())))

    def pages(self, group_id: str) -> list[str]:
        """Return the account ids of the pages of a group that were kept, in the order in which they came."""
        if not self.page_count(group_id):
            return []
        numbers = array("i")
        for (blob,) in self._all("SELECT members FROM pages WHERE group_id = ? ORDER BY page", [group_id]):
            numbers.frombytes(blob)
        accounts = list(self._people)
        return [accounts[number] for number in numbers]

    def page_count(self, group_id: str) -> int:
        """Return how many pages of a group were kept."""
        return self._pages.get(group_id, 0)

    def forget(self, group_id: str) -> None:
        """Drop the pages of a group, to read it again from its beginning."""
        with self._collecting:
            self._pages.pop(group_id, None)
            self._collect(("DELETE FROM pages WHERE group_id = ?", (group_id,)))

    def end(self, group_id: str, ended: Ended) -> None:
        """Keep how the walk of a group ended."""
        values = (group_id, ended.state, ended.walked_at.isoformat(), ended.disturbed, ended.reason)
        with self._collecting:
            self._collect(("INSERT OR REPLACE INTO ended VALUES (?, ?, ?, ?, ?)", values))

    def collect_part(self, kind: str, key: str, rows: Any) -> None:
        """Do as `keep`, with the next write."""
        with self._collecting:
            self._collect((_PART, (kind, key, _json(rows))))

    def forget_confirmed(self) -> None:
        """Drop what is known of sizes, confirmed ones and others, to ask for them again."""
        self._write(("DELETE FROM ended WHERE state = ?", (CONFIRMED,)), ("DELETE FROM lists WHERE kind = 'sizes'", ()))

    def ended(self) -> dict[str, Ended]:
        """Return all groups that ended."""
        rows = self._all("SELECT group_id, state, walked_at, disturbed, reason FROM ended")
        return {r[0]: Ended(r[1], datetime.fromisoformat(r[2]), bool(r[3]), r[4]) for r in rows}

    def sizes(self) -> dict[str, int]:
        """Return how many members each group has that was read to its end."""
        rows = self._all(
            "SELECT e.group_id, COALESCE(SUM(LENGTH(p.members)) / 4, 0) FROM ended e "
            "LEFT JOIN pages p ON p.group_id = e.group_id WHERE e.state = ? GROUP BY e.group_id",
            [WALKED],
        )
        return {group_id: int(members) for group_id, members in rows}

    def all_pages(self) -> Iterable[tuple[str, bytes]]:
        """Yield (group id, member numbers as int32) of all pages."""
        return self._all("SELECT group_id, members FROM pages ORDER BY group_id, page")

    def people(self) -> list[tuple[str, dict[str, Any]]]:
        """Return (account id, details), by number."""
        found = self._all("SELECT account_id, details FROM people ORDER BY number")
        return [(account, _DETAILS.decode(details)) for account, details in found]

    def accounts(self) -> list[str]:
        """Return the account ids of all people, by number."""
        with self._collecting:
            return list(self._people)

    # -- everything else comes as lists of rows --

    def keep(self, kind: str, key: str, rows: Any) -> None:
        """Keep a finished part, such as one request's worth of accounts."""
        self._write((_PART, (kind, key, _json(rows))))

    def kept(self, kind: str) -> dict[str, Any]:
        """Return all finished parts of a kind."""
        return {key: json.loads(rows) for key, rows in self._all("SELECT key, rows FROM lists WHERE kind = ?", [kind])}

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """Return the rows of all finished parts of a kind."""
        parts = self.kept(kind).values()
        return [row for part in parts for row in (part["rows"] if isinstance(part, dict) else part)]

    def named_by_grants(self) -> set[str]:
        """Return the account ids of all people whom a grant names."""
        return {row["principal_id"] for row in self.rows("grants") if row["principal_type"] == "user"}

    def kept_keys(self, kind: str) -> set[str]:
        """Return the keys of the finished parts of a kind."""
        return {key for (key,) in self._all("SELECT key FROM lists WHERE kind = ?", [kind])}

    def unfinished(self) -> Unfinished | None:
        """Tell what this walk has done, or None when it has not chosen its groups yet."""
        started, chosen = self.get("started_at"), self.get("chosen")
        if not started or chosen is None:
            return None
        return Unfinished(
            datetime.fromisoformat(started).astimezone(UTC),
            self.get("scope_words"),
            bool(self.get("with_spaces")),
            len(self.ended()),
            len(chosen),
        )

    def close(self) -> None:
        """Write what was collected and let go of the file; another walk may continue it."""
        with self._lock:
            # Who collected it has been told, or will be when it is read again: here it would hide why the walk ended.
            with suppress(StoreError, sqlite3.ProgrammingError):
                self.flush()
            self._file.close()

    def remove(self) -> None:
        """Close and delete the file: the walk is over, or shall begin anew."""
        self.close()
        _delete(self.path)


def _json(rows: Any) -> str:
    return _ENCODER.encode(rows).decode()


def _details(member: Member) -> str:
    return _json(
        {
            "display_name": member.display_name or "",
            "public_name": member.public_name or "",
            "email": member.email or "",
            "account_type": member.account_type or "",
            "is_guest": bool(member.is_guest),
            "licensed": bool(member.operations),
        }
    )


def begin_anew(cloud_id: str, folder: Path | None = None) -> Checkpoint:
    """Forget the unfinished walk of a site, also one whose file is damaged. Raises Conflict while it is running."""
    try:
        Checkpoint(cloud_id, folder).remove()
    except StoreError:
        _delete(_path(cloud_id, folder))
    return Checkpoint(cloud_id, folder)


def _path(cloud_id: str, folder: Path | None) -> Path:
    return (folder or home() / "walks") / f"{folder_name(cloud_id)}.sqlite"


def _delete(path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)


@dataclass(frozen=True)
class Unfinished:
    """A walk that did not end: since when, in which scope, how far."""

    started_at: datetime
    scope: str
    with_spaces: bool
    ended: int
    chosen: int

    @property
    def words(self) -> str:
        """The same as a sentence."""
        return (
            f"A walk of {self.scope} from {self.started_at:%Y-%m-%d %H:%M} UTC is not finished: "
            f"{self.ended:,} of {self.chosen:,} groups are done and will not be paid for again."
        )


def unfinished(cloud_id: str, folder: Path | None = None) -> Unfinished | None:
    """Tell what an unfinished walk of the site has done, or None. Raises Conflict while that walk is running."""
    path = _path(cloud_id, folder)
    if not path.exists():
        return None
    with closing(Checkpoint(cloud_id, folder)) as record:
        return record.unfinished()
