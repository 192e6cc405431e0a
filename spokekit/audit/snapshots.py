"""Snapshots of a site on disk, with their history.

Under the home, one folder a site, and in it one numbered folder a snapshot::

    snapshots/<site>/000012/
        manifest.json            what belongs to this state: files with sizes, moments, coverage, completeness
        memberships.parquet      the state (here and for groups, users, spaces, grants), each row with `since`
        memberships-ended.parquet    rows that this snapshot ended, with `since` and `until`
        users-ids.parquet        ids that this snapshot saw first: number, id
        coverage.parquet         how each group was walked, and when last

`since` and `until` are numbers of snapshots. A row is true from snapshot `since` on, and no longer at `until`; so a
year of snapshots is one state plus what ended, and any earlier moment is a filter over both. A new snapshot is written
into a folder beside, flushed to disk, and then gets its number in one rename: a crash leaves the last good one as it
was, and of two writers the second finds the number taken and begins again from the new state.

A row is ended only by a walk that looked: members of a group that was not walked stay, and `coverage` tells their age.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spokekit._home import home, private_folder
from spokekit.audit.files import known_ids, load, write_parquet
from spokekit.audit.frames import IDS, Frames, Site
from spokekit.audit.merge import coverage_of, merge
from spokekit.audit.numbering import number
from spokekit.errors import Conflict, InputError, NotFound, StoreError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

FORMAT = 1
KEEP = 3  # newest snapshots that keep all their files
MERGE_AT = 24  # files of one kind before they are merged into one
_NUMBER = re.compile(r"\d{6,}")
_PARQUET = b"PAR1"


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

    @property
    def spaces_at(self) -> datetime | None:
        """When the spaces were last read, as of the state looked at; None: never."""
        read = self.manifest.get("with_spaces")
        if read is None:
            # Written before this was noted.
            return self.taken_at if self.scope.get("spaces", True) or self.manifest["rows"]["spaces"] else None
        return next((m.taken_at for m in reversed(self.moments) if m.number <= self.at and m.number in read), None)

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
            # The number comes first: a writer that ends after it and before the look at the newest snapshot makes
            # the number taken, and this one begins again, instead of going on from a snapshot that is not the newest.
            # A damaged newest folder keeps its number, so that it can be looked into.
            ordinal = max([*self._numbers(), 0]) + 1
            previous = self.latest() if self.exists() else None
            if previous is not None and frames.taken_at <= previous.taken_at:
                raise InputError(
                    f"These frames are of {frames.taken_at:%Y-%m-%d %H:%M} UTC and not newer than the newest snapshot, "
                    f"of {previous.taken_at:%Y-%m-%d %H:%M} UTC.",
                    likely="The clock of this computer was set back, or the snapshots come in another order.",
                    hint="Set the clock right and try again; a walk keeps what it has read. If the newest snapshot was "
                    f"written with a wrong clock, move its folder away: {previous.folder}.",
                    field="taken_at",
                )
            try:
                written = self._write(frames, previous, ordinal)
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
            "Other programs keep writing snapshots of this site.",
            hint="Let them finish and try again.",
            next_step="wait",
        )

    def _numbers(self) -> list[int]:
        if not self.folder.is_dir():
            return []
        return sorted(int(p.name) for p in self.folder.iterdir() if p.is_dir() and _NUMBER.fullmatch(p.name))

    def _write(self, frames: Frames, previous: Snapshot | None, ordinal: int) -> Snapshot | None:
        private_folder(self.folder)
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
            if not all(_whole(folder.parent / entry["path"], entry["bytes"]) for entry in entries):
                return None
        found = Snapshot(folder, manifest, manifest["number"])
        # A manifest without these would be of no use to whoever opens it.
        return found if found.site and found.taken_at and found.scope is not None else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return None


def _whole(path: Path, size: int) -> bool:
    # A file that lost power on its way to the disk may have its size and end in zeros.
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) != size or size < len(_PARQUET):
            return False
        file.seek(-len(_PARQUET), os.SEEK_END)
        return file.read() == _PARQUET


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
    files: dict[str, list[dict[str, Any]]] = {}
    rows: dict[str, int] = {}

    # Arrow compresses without Python, and the disk takes its time: so one table is written while the next one is made.
    with ThreadPoolExecutor(2) as writers:
        coming: list[tuple[str, Future[dict[str, Any]]]] = []

        def write(path: Path, table: pa.Table) -> dict[str, Any]:
            write_parquet(table, path)
            return {"path": f"{name}/{path.name}", "bytes": path.stat().st_size}

        def put(kind: str, table: pa.Table) -> None:
            coming.append((kind, writers.submit(write, folder / f"{kind}.parquet", table)))

        def put_behind(kind: str, table: pa.Table) -> None:
            before = previous.manifest["files"].get(kind, []) if previous else []
            if len(before) >= MERGE_AT and previous:
                table = pa.concat_tables([load(previous.paths(kind)), table])
                before = []
            files[kind] = list(before)
            if table.num_rows or not before:
                put(kind, table)

        for kind, state, ended in merge(fresh, previous, frames, ordinal):
            rows[kind] = state.num_rows
            put(kind, state)
            put_behind(f"{kind}-ended", ended)
        for kind in IDS:
            put_behind(f"{kind}-ids", fresh.new_ids[kind])
        state, ended = coverage_of(fresh, previous, ordinal)
        put("coverage", state)
        put_behind("coverage-ended", ended)
        for kind, written in coming:
            files.setdefault(kind, []).append(written.result())
    complete = bool(frames.completeness.get("complete", True))
    moments = [
        *(previous.manifest["moments"] if previous else []),
        [ordinal, frames.taken_at.isoformat(), complete, str(frames.scope.get("groups", "all"))],
    ]
    return {
        "format": FORMAT,
        "number": ordinal,
        "site": vars(frames.site),
        "written_at": datetime.now(UTC).isoformat(),
        "moments": moments,
        "scope": frames.scope,
        "with_spaces": _with_spaces(frames, previous, ordinal),
        "completeness": frames.completeness,
        "rows": rows,
        "files": files,
    }


def _with_spaces(frames: Frames, previous: Snapshot | None, ordinal: int) -> list[int]:
    """Return the numbers of the snapshots that read the spaces."""
    before: list[int] = []
    if previous is not None:
        before = previous.manifest.get("with_spaces") or ([previous.at] if previous.spaces_at is not None else [])
    return [*before, ordinal] if frames.scope.get("spaces", True) else before


__all__ = ["Moment", "Snapshot", "Snapshots", "folder_name", "known_ids", "sites"]
