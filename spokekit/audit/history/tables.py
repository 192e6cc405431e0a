"""The tables that questions are written over, as SQL views in DuckDB.

==================  ==================================================================================================
groups              group_no, group_id, name, access, managed_by, usage_type, for_users, for_admins, for_site_admins
users               user_no, account_id, display_name, public_name, email, account_type, account_status, is_guest,
                    licensed
memberships         group_no, user_no
spaces              space_no, space_id, space_key, name, type, status
grants              space_no, principal_type, principal_id, group_no, user_no (-1 where it is none), operation, target,
                    role, sees (lets the principal see the space), manages
coverage            group_no, state (walked, size confirmed, partial, failed, not walked), walked_at (when it was last
                    read whole), disturbed, confirmed_at (when, since then, its size was last confirmed; empty: never),
                    first_walk (number of the moment that saw the members first; empty: none did)
coverage_history    the columns of coverage, since, until; walked_at is that of the last walk before `until`
moments             number, taken_at, complete: the snapshots
membership_history  group_no, user_no, since, until (number of the snapshot; until = 2147483647: still so)
group_history       the columns of groups, since, until
user_history        the columns of users, since, until
grant_history       the columns of grants, since, until
==================  ==================================================================================================
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from spokekit.audit.frames import ADDED, IDS, TABLES, Frames
from spokekit.audit.history.files import load
from spokekit.audit.history.integrity import Damage, Entry, Signature, damages, signature, trouble
from spokekit.audit.history.merge import with_first_walk
from spokekit.audit.history.numbering import number

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from spokekit.audit.history.snapshot import Snapshot

STILL = 2_147_483_647
NAMES = (
    "groups",
    "users",
    "memberships",
    "spaces",
    "grants",
    "coverage",
    "moments",
    "coverage_history",
    "membership_history",
    "group_history",
    "user_history",
    "grant_history",
)
_HISTORY_OF = {
    "memberships": "membership_history",
    "groups": "group_history",
    "users": "user_history",
    "grants": "grant_history",
}
# From this question with names on, the ids are kept in memory (40 MB for 500,000 people and 200,000 groups): most of
# the time of such a question goes into reading them, and whoever asks twice asks on.
KEEP_IDS_AT = 2
_NAMED = re.compile(r"groups|users|spaces|group_history|user_history")


class Session:
    """A DuckDB session with the views; a query from any thread gets a cursor of its own.

    Nothing is read before a question needs it: the views stand on Parquet files, or on tables in memory. The files are
    held against their checksums first; all methods raise StoreError when one of them is damaged, also meanwhile.
    """

    def __init__(self, source: Snapshot | Frames) -> None:
        import duckdb

        self._session = duckdb.connect()
        self._turn = threading.Lock()
        self._with_names = 0
        self._snapshot = None if isinstance(source, Frames) else source
        self._files: dict[Entry, Signature | None] = {}
        if isinstance(source, Frames):
            self._from_frames(source)
            return
        self._files = dict.fromkeys(source.entries())
        self._see_that_they_are_whole()
        with self._told(opening=True):
            self._from_snapshot(source)

    def arrow(self, text: str, params: dict[str, Any] | None = None) -> pa.Table:
        """Run `text` and return an Arrow table; ``$name`` in it stands for ``params["name"]``."""
        # A relation, not execute(): there the rows are copied once more on their way to Arrow, and DuckDB 2 warns.
        # And not .df(): with pandas 3 it uses what pandas 4 will not have.
        with self._told():
            return self._cursor(text).sql(text, params=params or {}).to_arrow_table()

    def frame(self, text: str, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Run `text` and return a frame."""
        made: pd.DataFrame = self.arrow(text, params).to_pandas()
        return made

    def rows(self, text: str, params: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Run `text` and return its rows."""
        with self._told():
            found: list[tuple[Any, ...]] = self._cursor(text).execute(text, params or {}).fetchall()
        return found

    def matching(self, text: str, wanted: Iterable[str]) -> pa.Table:
        """Run ``text (SELECT wanted FROM ...)`` with a column of the texts `wanted`, however many they are."""
        with self._told():
            cursor = self._cursor(text)
            cursor.register("wanted_rows", pa.table({"wanted": pa.array(list(wanted), pa.string())}))
            return cursor.sql(f"{text} (SELECT wanted FROM wanted_rows)").to_arrow_table()

    def close(self) -> None:
        """Let go of the session."""
        self._session.close()

    @contextmanager
    def _told(self, *, opening: bool = False) -> Iterator[None]:
        """Turn what DuckDB makes of a damaged file into an error of ours; its own errors about the SQL pass."""
        import duckdb

        self._see_that_they_are_whole()
        try:
            yield
        except (duckdb.Error, pa.ArrowException, OSError):
            self._see_that_they_are_whole(again=True)
            found = self._unusable()
            unverified = self._snapshot is not None and self._snapshot.unverified
            if found is None and opening and unverified and self._snapshot is not None:
                # What the file with the missing column is called does not show.
                found = Damage(self._snapshot.folder.name, "holds a file without a checksum that cannot be used")
            if found is not None and self._snapshot is not None:
                raise trouble(self._snapshot.manifest["number"], self._snapshot.folder, found) from None
            raise

    def _unusable(self) -> Damage | None:
        """Return the first file without a checksum that DuckDB cannot read, whatever others make of it."""
        import duckdb

        for entry in self._files:
            if not entry.sha256:
                try:
                    with duckdb.connect() as session:
                        session.sql(f"SELECT * FROM read_parquet({_quoted(str(entry.path))})").to_arrow_table()
                except duckdb.Error:
                    return Damage(entry.name, "cannot be read as Parquet")
        return None

    def _see_that_they_are_whole(self, *, again: bool = False) -> None:
        changed = [e for e, mark in self._files.items() if again or mark is None or signature(e.path) != mark]
        if not changed or self._snapshot is None:
            return
        marks = {entry: signature(entry.path) for entry in changed}
        found = damages(changed, again=again)
        if found:
            raise trouble(self._snapshot.manifest["number"], self._snapshot.folder, found[0])
        self._files |= marks

    def _cursor(self, text: str) -> DuckDBPyConnection:
        with self._turn:
            self._with_names += _NAMED.search(text) is not None
            if self._with_names == KEEP_IDS_AT:
                self._with_names += 1
                for kind in self._files_of_ids:
                    self._session.execute(f"CREATE TABLE {kind}_ids_kept AS SELECT * FROM {kind}_ids")
                    self._session.execute(f"CREATE OR REPLACE VIEW {kind}_ids AS SELECT * FROM {kind}_ids_kept")
            return self._session.cursor()

    def _from_frames(self, frames: Frames) -> None:
        numbered = number(frames)
        for made, suffix in ((numbered.new_ids, "ids"), (numbered.tables, "now")):
            for name in list(made):
                # Each table is let go as soon as DuckDB has it, or a large site would be in memory twice.
                self._keep(f"{name}_{suffix}", made.pop(name))
        pa.default_memory_pool().release_unused()
        complete = bool(frames.completeness.get("complete", True))
        # Frames are one moment: everything in them is of it.
        self._views(
            {
                name: f"(SELECT *, {'CAST(1 AS INTEGER) AS first_walk, ' if name == 'coverage' else ''}"
                f"CAST(1 AS INTEGER) AS since FROM {name}_now)"
                for name in TABLES
            },
            dict.fromkeys((*_HISTORY_OF, "coverage"), ""),
            {kind: f"{kind}_ids" for kind in IDS},
            [(1, frames.taken_at, complete)],
            at=None,
        )

    def _keep(self, name: str, table: pa.Table) -> None:
        # What is only registered is not seen by the cursors of other threads.
        self._session.register("incoming", table)
        self._session.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming")
        self._session.unregister("incoming")

    def _from_snapshot(self, snapshot: Snapshot) -> None:
        def files(kind: str) -> str:
            # DuckDB takes the first file for a typical one. The oldest may be a merged one with half of the history:
            # a plan for 25 such files puts the large table of a join where the small one belongs.
            paths = snapshot.paths(kind)
            listed = "[" + ", ".join(_quoted(path) for path in reversed(paths)) + "]"
            if not ADDED or kind not in ("groups", "groups-ended"):
                return f"read_parquet({listed})"
            # A column that no file has needs a name all the same, and one that some lack a value.
            held = {name for path in paths for name in pq.read_schema(path).names}
            none = "".join(f", NULL AS {column}" for column in ADDED if column not in held)
            filled = ", ".join(f"COALESCE({column}, '') AS {column}" for column in ADDED)
            whole = f"SELECT *{none} FROM read_parquet({listed}, union_by_name = true)"
            return f"(SELECT * REPLACE ({filled}) FROM ({whole}))"

        now = {name: files(name) for name in TABLES}
        [path] = snapshot.paths("coverage")
        if not {"since", "confirmed_at"} <= set(pq.read_schema(path).names):
            self._keep("coverage_now", with_first_walk(load([path])))
            now["coverage"] = "coverage_now"
        ended = {name: files(f"{name}-ended") for name in (*_HISTORY_OF, "spaces")}
        ended["coverage"] = _ended_coverage(snapshot.paths("coverage-ended"))
        newest = snapshot.at == snapshot.manifest["number"]
        self._views(
            now,
            ended,
            {kind: files(f"{kind}-ids") for kind in IDS},
            [(m.number, m.taken_at, m.complete) for m in snapshot.moments],
            at=None if newest else snapshot.at,
        )

    def _views(
        self,
        now: dict[str, str],
        ended: dict[str, str],
        ids: dict[str, str],
        moments: list[tuple[int, Any, bool]],
        at: int | None,
    ) -> None:
        run = self._session.execute
        run("SET TimeZone = 'UTC'")
        # A mistyped table in somebody's SQL must not mean a variable of this program.
        run("SET python_enable_replacements = false")
        run("CREATE TABLE moments (number INTEGER, taken_at TIMESTAMPTZ, complete BOOLEAN)")
        run(
            "INSERT INTO moments SELECT unnest($n), unnest($t), unnest($c)",
            {"n": [m[0] for m in moments], "t": [m[1] for m in moments], "c": [m[2] for m in moments]},
        )
        self._files_of_ids = [kind for kind, source in ids.items() if source != f"{kind}_ids"]
        for kind in self._files_of_ids:
            run(f"CREATE VIEW {kind}_ids AS SELECT * FROM {ids[kind]}")
        for name, columns in TABLES.items():
            listed = ", ".join(f"r.{column}" for column in columns)
            with_id = name in IDS
            if with_id:
                column, id_column = IDS[name]
                listed = listed.replace(f"r.{column}", f"r.{column}, i.{id_column}", 1)
            join = f" JOIN {name}_ids i USING ({IDS[name][0]})" if with_id else ""
            rows, past = now[name], ended.get(name, "")
            if name in _HISTORY_OF:
                history = f"SELECT {listed}, r.since, CAST({STILL} AS INTEGER) AS until FROM {rows} r{join}"
                history += f" UNION ALL SELECT {listed}, r.since, r.until FROM {past} r{join}" if past else ""
                if at is not None:
                    # What a snapshot after the moment looked at began or ended is not known at the moment.
                    until = f"CASE WHEN until > {at} THEN {STILL} ELSE until END AS until"
                    history = f"SELECT * REPLACE ({until}) FROM ({history}) WHERE since <= {at}"
                run(f"CREATE VIEW {_HISTORY_OF[name]} AS {history}")
            if name == "coverage":
                run(f"CREATE VIEW coverage_history AS {_coverage_history(rows, past, at)}")
                source = rows if at is None else f"coverage_history WHERE until = {STILL}"
                run(f"CREATE VIEW coverage AS SELECT {_COVERAGE} FROM {source}")
            elif at is None:
                run(f"CREATE VIEW {name} AS SELECT {listed} FROM {rows} r{join}")
            else:
                run(
                    f"CREATE VIEW {name} AS SELECT {listed} FROM {rows} r{join} WHERE r.since <= {at} "
                    f"UNION ALL SELECT {listed} FROM {past} r{join} WHERE r.since <= {at} AND r.until > {at}"
                )
        if at is not None:
            run(f"DELETE FROM moments WHERE number > {at}")


_COVERAGE = "group_no, state, walked_at, disturbed, confirmed_at, first_walk"


def _ended_coverage(paths: list[str]) -> str:
    """Return what to read the files from; one that is older lacks the time at which a size was confirmed."""
    if not paths:
        return ""
    listed = f"read_parquet([{', '.join(_quoted(path) for path in reversed(paths))}], union_by_name = true)"
    if any("confirmed_at" in pq.read_schema(path).names for path in paths):
        return listed
    return f"(SELECT *, CAST(NULL AS TIMESTAMPTZ) AS confirmed_at FROM {listed})"


def _coverage_history(rows: str, past: str, at: int | None) -> str:
    ended = f" UNION ALL SELECT {_COVERAGE}, since, until FROM {past}" if past else ""
    whole = f"SELECT {_COVERAGE}, since, CAST({STILL} AS INTEGER) AS until FROM {rows}{ended}"
    if at is None:
        return whole
    # What a later walk looked at is not known at the moment.
    then = f"(SELECT MAX(taken_at) FROM moments WHERE number <= {at})"
    return (
        f"SELECT group_no, CASE WHEN state = 'walked' AND first_walk > {at} THEN 'not walked' ELSE state END AS state, "
        f"CASE WHEN first_walk <= {at} THEN LEAST(walked_at, {then}) END AS walked_at, disturbed, "
        f"CASE WHEN confirmed_at IS NOT NULL THEN LEAST(confirmed_at, {then}) END AS confirmed_at, "
        f"CASE WHEN first_walk <= {at} THEN first_walk END AS first_walk, since, "
        f"CASE WHEN until > {at} THEN {STILL} ELSE until END AS until FROM ({whole}) WHERE since <= {at}"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
