"""Snapshots of a site on disk, with their history.

Under the home, one folder a site, and in it one numbered folder a snapshot::

    snapshots/<site>/000012/
        manifest.json            what belongs to this state: files with sizes, moments, coverage, completeness
        memberships.parquet      the state (here and for groups, users, spaces, grants), each row with `since`
        memberships-ended.parquet    rows that this snapshot ended, with `since` and `until`
        users-ids.parquet        ids that this snapshot saw first: number, id
        coverage.parquet         when each group was last walked

`since` and `until` are numbers of snapshots. A row is true from snapshot `since` on, and no longer at `until`; so a year
of snapshots is one state plus what ended, and any earlier moment is a filter over both. A new snapshot is written into a
folder beside, flushed to disk, and then gets its number in one rename: a crash leaves the last good one as it was, and
of two writers the second finds the number taken and begins again from the new state.

A row is ended only by a walk that looked: members of a group that was not walked stay, and `coverage` tells their age.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spokekit._home import home, private_folder
from spokekit.audit.frames import IDS, TABLES, WALKED, Frames, Numbered, Site, arrow_schema, number
from spokekit.errors import Conflict, InputError, NotFound, StoreError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

FORMAT = 1
KEEP = 3  # newest snapshots that keep all their files
MERGE_AT = 24  # files of one kind before they are merged into one
HISTORY = ("groups", "users", "memberships", "spaces", "grants")
_NUMBER = re.compile(r"\d{6,}")


@dataclass(frozen=True)
class Moment:
    """One snapshot in the history of a site: its number, when it was taken, and whether it was complete."""

    number: int
    taken_at: datetime
    complete: bool
    scope: str


@dataclass(frozen=True)
class Snapshot:
    """A state on disk. `at` is the number of the moment that it is looked at; the newest by default."""

    folder: Path
    manifest: dict[str, Any] = field(repr=False)
    at: int

    @property
    def site(self) -> Site:
        """Which site."""
        return Site(**self.manifest["site"])

    @property
    def moments(self) -> tuple[Moment, ...]:
        """All snapshots of this history up to this one, oldest first."""
        return tuple(
            Moment(n, datetime.fromisoformat(t), complete, scope) for n, t, complete, scope in self.manifest["moments"]
        )

    @property
    def taken_at(self) -> datetime:
        """When the state looked at was taken (UTC)."""
        return next(m.taken_at for m in self.moments if m.number == self.at)

    @property
    def completeness(self) -> dict[str, Any]:
        """The completeness report of the walk; empty for an earlier moment whose report is not kept."""
        report: dict[str, Any] = self.manifest["completeness"] if self.at == self.manifest["number"] else {}
        return report

    @property
    def scope(self) -> dict[str, Any]:
        """What was asked for: ``groups`` in words and ``spaces``."""
        asked: dict[str, Any] = self.manifest["scope"]
        return asked

    def paths(self, kind: str) -> list[str]:
        """Return the files of `kind`, such as ``memberships``, ``memberships-ended`` or ``users-ids``."""
        return [str(self.folder.parent / entry["path"]) for entry in self.manifest["files"].get(kind, [])]

    def size(self) -> int:
        """Return the bytes of all files that belong to this state."""
        return sum(entry["bytes"] for entries in self.manifest["files"].values() for entry in entries)

    def looked_at(self, moment: datetime | int) -> Snapshot:
        """Return this history as of `moment`: a number, or a time (the last snapshot not later than it).

        Raises NotFound when the history begins later.
        """
        if isinstance(moment, datetime):
            if moment.tzinfo is None:
                raise InputError("A moment needs a time zone.", field="at")
            fitting = [m for m in self.moments if m.taken_at <= moment]
        else:
            fitting = [m for m in self.moments if m.number == moment]
        if not fitting:
            first = self.moments[0].taken_at
            raise NotFound(
                f"There is no snapshot of {self.site.name or self.site.cloud_id} from that moment.",
                likely=f"The first one was taken at {first:%Y-%m-%d %H:%M} UTC.",
                hint="Ask for a later moment, or see the list of snapshots.",
            )
        return Snapshot(self.folder, self.manifest, fitting[-1].number)


class Snapshots:
    """The snapshots of one site.

    Parameters
    ----------
    site:
        The cloud id, or a `Site`.
    folder:
        Where snapshots of all sites are; ``snapshots`` under the home by default.
    """

    def __init__(self, site: Site | str, folder: Path | None = None) -> None:
        self.site = site if isinstance(site, Site) else Site(site)
        self.folder = (folder or home() / "snapshots") / folder_name(self.site.cloud_id)

    def latest(self) -> Snapshot:
        """Return the newest snapshot that can be read whole. Raises NotFound when there is none."""
        for numbered in reversed(self._numbers()):
            snapshot = _read(self.folder / f"{numbered:06d}")
            if snapshot is not None:
                return snapshot
        raise NotFound(
            f"There is no snapshot of {self.site.name or self.site.cloud_id} yet.",
            hint="Walk the site first: Walk in notebook 05, or spokekit audit walk.",
        )

    def exists(self) -> bool:
        """Tell whether there is a snapshot."""
        return any(_read(self.folder / f"{n:06d}") is not None for n in reversed(self._numbers()))

    def frame(self) -> pd.DataFrame:
        """List the snapshots: number (int), taken_at (UTC), complete (bool), scope (text); oldest first."""
        import pandas as pd

        rows = self.latest().moments if self.exists() else ()
        made = pd.DataFrame([vars(m) for m in rows], columns=["number", "taken_at", "complete", "scope"])
        return made.assign(taken_at=pd.to_datetime(made["taken_at"], utc=True).astype("datetime64[us, UTC]"))

    def write(self, frames: Frames) -> Snapshot:
        """Add `frames` as the newest snapshot and return it.

        Raises StoreError when the disk does not take it (the last good snapshot stays), InputError when `frames` are
        older than the newest snapshot, and Conflict when other writers were faster five times in a row.
        """
        for _ in range(5):
            previous = self.latest() if self.exists() else None
            if previous is not None and frames.taken_at <= previous.taken_at:
                raise InputError(
                    "These frames are not newer than the newest snapshot.",
                    hint="Snapshots are written in the order in which they were taken.",
                    field="taken_at",
                )
            try:
                written = self._write(frames, previous)
            except OSError as error:
                raise StoreError(
                    f"The snapshot cannot be written: {error.strerror or error}.",
                    likely="The disk may be full.",
                    hint="The last good snapshot is unchanged. Free some space and try again.",
                ) from None
            if written is not None:
                self._sweep()
                return written
        raise Conflict(
            "Other programs keep writing snapshots of this site.", hint="Let them finish and try again.", next_step="wait"
        )

    def _numbers(self) -> list[int]:
        if not self.folder.is_dir():
            return []
        return sorted(int(p.name) for p in self.folder.iterdir() if p.is_dir() and _NUMBER.fullmatch(p.name))

    def _write(self, frames: Frames, previous: Snapshot | None) -> Snapshot | None:
        private_folder(self.folder)
        # A damaged newest folder keeps its number, so that it can be looked into.
        ordinal = max([*self._numbers(), 0]) + 1
        temporary = self.folder / f".new-{os.getpid()}-{secrets.token_hex(4)}"
        temporary.mkdir(mode=0o700)
        try:
            manifest = _fill(temporary, f"{ordinal:06d}", ordinal, frames, previous)
            with (temporary / "manifest.json").open("w", encoding="utf-8") as file:
                json.dump(manifest, file, ensure_ascii=False, indent=1)
                file.flush()
                os.fsync(file.fileno())
            _sync_folder(temporary)
            target = self.folder / f"{ordinal:06d}"
            try:
                temporary.rename(target)
            except OSError:
                if target.exists():
                    return None
                raise
            _sync_folder(self.folder)
            return Snapshot(target, manifest, ordinal)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove what the newest snapshots do not need, and what a killed writer left behind."""
        numbers = self._numbers()
        kept = [s for n in numbers[-KEEP:] if (s := _read(self.folder / f"{n:06d}")) is not None]
        needed = {Path(path) for s in kept for kind in s.manifest["files"] for path in s.paths(kind)}
        for old in numbers[:-KEEP]:
            folder = self.folder / f"{old:06d}"
            for file in folder.glob("*.parquet"):
                if file not in needed:
                    file.unlink(missing_ok=True)
        for left in self.folder.glob(".new-*"):
            if not _alive(left.name.split("-")[1]):
                shutil.rmtree(left, ignore_errors=True)


def sites(folder: Path | None = None) -> tuple[Site, ...]:
    """Return the sites of which there are snapshots, by name."""
    base = folder or home() / "snapshots"
    found = []
    for path in base.iterdir() if base.is_dir() else ():
        numbers = sorted(int(p.name) for p in path.iterdir() if _NUMBER.fullmatch(p.name)) if path.is_dir() else []
        snapshots = (_read(path / f"{n:06d}") for n in reversed(numbers))
        found += [s.site for s in snapshots if s is not None][:1]
    return tuple(sorted(found, key=lambda s: (s.name, s.cloud_id)))


def folder_name(cloud_id: str) -> str:
    """Return a folder name for the site: its cloud id where that is a plain word, else a digest of it."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,79}", cloud_id):
        return cloud_id
    return "site-" + hashlib.sha256(cloud_id.encode()).hexdigest()[:24]


def _read(folder: Path) -> Snapshot | None:
    """Return the snapshot in `folder`, or None when a file of it is missing, cut or not ours."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            return None
        for entries in manifest["files"].values():
            for entry in entries:
                if (folder.parent / entry["path"]).stat().st_size != entry["bytes"]:
                    return None
        return Snapshot(folder, manifest, manifest["number"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (ValueError, OSError):
        return True
    return True


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _fill(folder: Path, name: str, ordinal: int, frames: Frames, previous: Snapshot | None) -> dict[str, Any]:
    """Write all files of the snapshot into `folder` and return its manifest."""
    import pyarrow as pa

    known = {kind: known_ids(previous, kind) for kind in IDS} if previous else {}
    fresh = number(frames, known)
    state = _merge(fresh, previous, frames, ordinal)
    files: dict[str, list[dict[str, Any]]] = {}

    def put(kind: str, table: pa.Table) -> None:
        path = folder / f"{kind}.parquet"
        _write_parquet(table, path)
        files.setdefault(kind, []).append({"path": f"{name}/{path.name}", "bytes": path.stat().st_size})

    def put_behind(kind: str, table: pa.Table) -> None:
        before = previous.manifest["files"].get(kind, []) if previous else []
        if len(before) >= MERGE_AT and previous:
            table = pa.concat_tables([_load(previous.paths(kind)), table])
        else:
            files[kind] = list(before)
        if table.num_rows or not files.get(kind):
            put(kind, table)

    for kind in HISTORY:
        put(kind, state[kind][0])
        put_behind(f"{kind}-ended", state[kind][1])
    for kind in IDS:
        put_behind(f"{kind}-ids", fresh.new_ids[kind])
    put("coverage", _coverage(fresh, previous))
    complete = bool(frames.completeness.get("complete", True))
    moments = [*(previous.manifest["moments"] if previous else []),
               [ordinal, frames.taken_at.isoformat(), complete, str(frames.scope.get("groups", "all"))]]
    return {
        "format": FORMAT,
        "number": ordinal,
        "site": vars(frames.site),
        "written_at": datetime.now(UTC).isoformat(),
        "moments": moments,
        "scope": frames.scope,
        "completeness": frames.completeness,
        "rows": {kind: state[kind][0].num_rows for kind in HISTORY},
        "files": files,
    }


def known_ids(snapshot: Snapshot, kind: str) -> pd.Index:
    """Return the ids of `kind` (groups, users, spaces) by number."""
    import pandas as pd

    column, id_column = IDS[kind]
    table = _load(snapshot.paths(f"{kind}-ids")).sort_by(column)
    return pd.Index(table.column(id_column).to_pylist(), dtype=object)


def _write_parquet(table: pa.Table, path: Path) -> None:
    import pyarrow.parquet as pq

    # Sorted int32 columns shrink to almost nothing as deltas; a dictionary would get in the way of that.
    numbers = [f.name for f in table.schema if str(f.type) == "int32"]
    texts = [f.name for f in table.schema if str(f.type) == "string"]
    with path.open("wb") as file:
        pq.write_table(
            table,
            file,
            compression="zstd",
            use_dictionary=texts,
            column_encoding=dict.fromkeys(numbers, "DELTA_BINARY_PACKED"),
            row_group_size=250_000,
        )
        file.flush()
        os.fsync(file.fileno())


def _load(paths: Iterable[str]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pa.concat_tables([pq.ParquetFile(path).read() for path in paths])


def _merge(
    fresh: Numbered, previous: Snapshot | None, frames: Frames, ordinal: int
) -> dict[str, tuple[pa.Table, pa.Table]]:
    """Return for each table what is true now (with `since`) and what this snapshot ends (with `since`, `until`)."""
    import numpy as np

    if previous is None:
        return {kind: (_since(fresh.tables[kind], ordinal), _none(kind)) for kind in HISTORY}
    walked = _walked_groups(fresh)
    listed = fresh.tables["groups"].column("group_no").to_numpy()
    looked = np.union1d(walked, _gone(listed, _load(previous.paths("groups")).column("group_no").to_numpy()))
    made = {"memberships": _merge_pairs(fresh.tables["memberships"], _load(previous.paths("memberships")), looked, ordinal)}
    members = made["memberships"][0].column("user_no").to_numpy()
    failed_spaces = frames.completeness.get("failed_spaces") or []
    unseen = np.asarray(
        known_ids(previous, "spaces").get_indexer(np.asarray(failed_spaces, dtype=object)), dtype=np.int32
    )
    for kind, keys in (("groups", ["group_no"]), ("users", ["user_no"]), ("spaces", ["space_no"]), ("grants", None)):
        before = _load(previous.paths(kind))
        if kind in ("spaces", "grants") and not frames.scope.get("spaces", True):
            made[kind] = (before, _none(kind))
            continue
        keep = {"users": ("user_no", members), "grants": ("space_no", unseen)}.get(kind)
        made[kind] = _merge_rows(kind, fresh.tables[kind], before, keys, ordinal, keep)
    return {kind: (made[kind][0].cast(arrow_schema(kind, ("since",))), made[kind][1]) for kind in HISTORY}


def _since(table: pa.Table, ordinal: int) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    return table.append_column("since", pa.array(np.full(table.num_rows, ordinal, dtype=np.int32)))


def _none(kind: str) -> pa.Table:
    return arrow_schema(kind, ("since", "until")).empty_table()


def _walked_groups(fresh: Numbered) -> np.ndarray:
    coverage = fresh.tables["coverage"]
    numbers: np.ndarray = coverage.column("group_no").to_numpy()[coverage.column("state").to_numpy() == WALKED]
    return numbers


def _gone(listed: np.ndarray, before: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.setdiff1d(before, listed)


def _merge_pairs(new: pa.Table, old: pa.Table, looked: np.ndarray, ordinal: int) -> tuple[pa.Table, pa.Table]:
    import numpy as np
    import pyarrow as pa

    def keys(table: pa.Table) -> np.ndarray:
        high = table.column("group_no").to_numpy().astype(np.int64) << 32
        key: np.ndarray = high | table.column("user_no").to_numpy()
        return key

    def rows(key: np.ndarray, **more: np.ndarray) -> pa.Table:
        columns = {"group_no": (key >> 32).astype(np.int32), "user_no": (key & 0xFFFFFFFF).astype(np.int32), **more}
        return pa.table(columns, schema=arrow_schema("memberships", tuple(more)))

    new_key, old_key, old_since = keys(new), keys(old), old.column("since").to_numpy()
    place = np.searchsorted(old_key, new_key)
    at = np.minimum(place, max(len(old_key) - 1, 0))
    same = old_key[at] == new_key if len(old_key) else np.zeros(len(new_key), dtype=bool)
    since = np.full(len(new_key), ordinal, dtype=np.int32)
    since[same] = old_since[at[same]]
    still = np.zeros(len(old_key), dtype=bool)
    still[at[same]] = True
    was_looked_at = np.zeros(int(max([0, *[k.max() >> 32 for k in (new_key, old_key) if len(k)]])) + 1, dtype=bool)
    was_looked_at[looked[looked < len(was_looked_at)]] = True
    ended = ~still & was_looked_at[old_key >> 32] if len(old_key) else ~still
    carried = ~still & ~ended
    if carried.any():
        new_key, since = np.concatenate([new_key, old_key[carried]]), np.concatenate([since, old_since[carried]])
        order = np.argsort(new_key, kind="stable")
        new_key, since = new_key[order], since[order]
    until = np.full(int(ended.sum()), ordinal, dtype=np.int32)
    return rows(new_key, since=since), rows(old_key[ended], since=old_since[ended], until=until)


def _merge_rows(
    kind: str,
    new: pa.Table,
    old: pa.Table,
    keys: list[str] | None,
    ordinal: int,
    keep: tuple[str, np.ndarray] | None,
) -> tuple[pa.Table, pa.Table]:
    """The same for the other tables: a changed row ends and begins anew; `keep` protects rows that nobody looked at."""
    import duckdb
    import pyarrow as pa

    columns = list(TABLES[kind])
    same = " AND ".join(f"o.{c} = n.{c}" for c in columns)
    by = " AND ".join(f"o.{c} = n.{c}" for c in keys or columns)
    row, old_row = ", ".join(f"n.{c}" for c in columns), ", ".join(f"o.{c}" for c in columns)
    protected = pa.table({"number": pa.array(keep[1] if keep else [], pa.int32())})
    stays = f"o.{keep[0]} IN (SELECT number FROM protected)" if keep else "false"
    with duckdb.connect() as session:
        session.register("n", new)
        session.register("o", old)
        session.register("protected", protected)
        join = f"FROM o LEFT JOIN n ON {by}"
        missing = f"n.{columns[0]} IS NULL"
        now = session.sql(
            f"SELECT {row}, CAST(CASE WHEN {same} THEN o.since ELSE {ordinal} END AS INTEGER) AS since "  # noqa: S608
            f"FROM n LEFT JOIN o ON {by} "
            f"UNION ALL SELECT {old_row}, o.since {join} WHERE {missing} AND {stays} ORDER BY ALL"
        )
        state = now.to_arrow_table()
        gone = f"({missing} AND NOT ({stays})) OR NOT ({same})"
        over = session.sql(
            f"SELECT {old_row}, o.since, CAST({ordinal} AS INTEGER) AS until {join} WHERE {gone} ORDER BY ALL"  # noqa: S608
        )
        return state, over.to_arrow_table().cast(arrow_schema(kind, ("since", "until")))




def _coverage(fresh: Numbered, previous: Snapshot | None) -> pa.Table:
    """Return the coverage of the new state; a group that was not walked now keeps the time of its last walk."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    now = fresh.tables["coverage"].sort_by("group_no")
    if previous is None:
        return now
    before = _load(previous.paths("coverage"))
    last = dict(zip(before.column("group_no").to_pylist(), before.column("walked_at").to_pylist(), strict=True))
    times = now.column("walked_at")
    open_rows = np.flatnonzero(~pc.is_in(now.column("state"), pa.array([WALKED])).to_numpy(zero_copy_only=False))
    if not len(open_rows):
        return now
    values = times.to_pylist()
    for i, group in zip(open_rows, now.column("group_no").take(pa.array(open_rows)).to_pylist(), strict=True):
        values[i] = last.get(group)
    return now.set_column(2, "walked_at", pa.array(values, pa.timestamp("us", "UTC")))


__all__ = ["Moment", "Snapshot", "Snapshots", "folder_name", "known_ids", "sites"]
