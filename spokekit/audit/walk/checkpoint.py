"""What an unfinished walk has paid for: one SQLite file a site, written page by page.

A killed walk finds here the list of groups, every page of members that it had read, and the accounts, spaces and grants
that it had looked up. The file is held by one walk at a time and removed when its snapshot is on disk.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spokekit._home import home, private_folder
from spokekit.audit.frames import WALKED
from spokekit.audit.history.snapshot import folder_name
from spokekit.errors import Conflict, StoreError

FORMAT = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS people (number INTEGER PRIMARY KEY, account_id TEXT NOT NULL UNIQUE, details TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS pages (group_id TEXT NOT NULL, page INTEGER NOT NULL, members BLOB NOT NULL,
                                  PRIMARY KEY (group_id, page)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ended (group_id TEXT PRIMARY KEY, state TEXT NOT NULL, walked_at TEXT NOT NULL,
                                  disturbed INTEGER NOT NULL, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS lists (kind TEXT NOT NULL, key TEXT NOT NULL, rows TEXT NOT NULL, PRIMARY KEY (kind, key));
"""


@dataclass(frozen=True)
class Ended:
    """How the walk of one group ended."""

    state: str
    walked_at: datetime
    disturbed: bool
    reason: str


class Checkpoint:
    """The file of one site's unfinished walk. Calls may come from any thread.

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
        try:
            self._file = sqlite3.connect(self.path, timeout=0.5, isolation_level=None, check_same_thread=False)
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
            account: number for number, account in self._all("SELECT number, account_id FROM people ORDER BY number")
        }

    def _broken(self, error: sqlite3.Error) -> StoreError:
        return StoreError(
            f"The record of the walk ({self.path}) cannot be used: {error}.",
            likely="The disk may be full, or the file may be damaged.",
            hint="Free some space, or start a fresh walk.",
        )

    def _all(self, text: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            with self._lock:
                return self._file.execute(text, values).fetchall()
        except sqlite3.Error as error:
            raise self._broken(error) from None

    def _write(self, *statements: tuple[str, Sequence[Any]]) -> None:
        try:
            with self._lock:
                self._file.execute("BEGIN")
                try:
                    for text, values in statements:
                        self._file.execute(text, values)
                    self._file.execute("COMMIT")
                except BaseException:
                    # When the disk is full, SQLite has done so itself, and would answer with an error of its own.
                    if self._file.in_transaction:
                        self._file.execute("ROLLBACK")
                    raise
        except sqlite3.Error as error:
            raise self._broken(error) from None

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

    def page(self, group_id: str, page: int, members: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Keep one page of a group's members as (account id, details)."""
        with self._lock:
            fresh = []
            numbers = array("i")
            for account, details in members:
                number = self._people.get(account)
                if number is None:
                    number = self._people[account] = len(self._people)
                    fresh.append((number, account, json.dumps(details, ensure_ascii=False)))
                numbers.append(number)
            # Under the same lock: a page on disk never names a person who is not.
            self._write(
                *(("INSERT INTO people VALUES (?, ?, ?)", row) for row in fresh),
                ("INSERT OR REPLACE INTO pages VALUES (?, ?, ?)", (group_id, page, numbers.tobytes())),
            )

    def pages(self, group_id: str) -> list[str]:
        """Return the account ids of the pages of a group that were kept, in the order in which they came."""
        numbers = array("i")
        for (blob,) in self._all("SELECT members FROM pages WHERE group_id = ? ORDER BY page", [group_id]):
            numbers.frombytes(blob)
        if not numbers:
            return []
        accounts = list(self._people)
        return [accounts[number] for number in numbers]

    def page_count(self, group_id: str) -> int:
        """Return how many pages of a group were kept."""
        return int(self._all("SELECT COUNT(*) FROM pages WHERE group_id = ?", [group_id])[0][0])

    def forget(self, group_id: str) -> None:
        """Drop the pages of a group, to read it again from its beginning."""
        self._write(("DELETE FROM pages WHERE group_id = ?", [group_id]))

    def end(self, group_id: str, ended: Ended) -> None:
        """Keep how the walk of a group ended."""
        self._write(
            (
                "INSERT OR REPLACE INTO ended VALUES (?, ?, ?, ?, ?)",
                (group_id, ended.state, ended.walked_at.isoformat(), ended.disturbed, ended.reason),
            )
        )

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
        return [(a, json.loads(d)) for a, d in self._all("SELECT account_id, details FROM people ORDER BY number")]

    # -- everything else comes as lists of rows --

    def keep(self, kind: str, key: str, rows: Any) -> None:
        """Keep a finished part, such as one request's worth of accounts."""
        self._write(
            (
                "INSERT OR REPLACE INTO lists VALUES (?, ?, ?)",
                (kind, key, json.dumps(rows, ensure_ascii=False, separators=(",", ":"))),
            )
        )

    def kept(self, kind: str) -> dict[str, Any]:
        """Return all finished parts of a kind."""
        return {key: json.loads(rows) for key, rows in self._all("SELECT key, rows FROM lists WHERE kind = ?", [kind])}

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
        """Let go of the file; another walk may continue it."""
        with self._lock:
            self._file.close()

    def remove(self) -> None:
        """Close and delete the file: the walk is over, or shall begin anew."""
        self.close()
        _delete(self.path)


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
    record = Checkpoint(cloud_id, folder)
    try:
        return record.unfinished()
    finally:
        record.close()
