"""Snapshots of a site on disk, with their history.

Under the home, one folder a site, and in it one numbered folder a snapshot::

    snapshots/<site>/000012/
        manifest.json            what belongs to this state: files with bytes and SHA-256, moments, completeness
        memberships.parquet      the state (here and for groups, users, spaces, grants), each row with `since`
        memberships-ended.parquet    rows that this snapshot ended, with `since` and `until`
        users-ids.parquet        ids that this snapshot saw first: number, id
        coverage.parquet         how each group was walked, and when last

`since` and `until` are numbers of snapshots. A row is true from snapshot `since` on, and no longer at `until`; so a
year of snapshots is one state plus what ended, and any earlier moment is a filter over both. A new snapshot is written
into a folder beside, flushed to disk, and then gets its number in one rename: a crash leaves the last good one as it
was, and of two writers the second finds the number taken and begins again from the new state.

Beside the folders, ``newest`` holds the number of the last one, so that its loss is noticed. See `integrity` for how
damage is found; a snapshot that is damaged is passed over, and whatever is answered from an older one says so.

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
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from spokekit._frames import frame_of
from spokekit._home import home, private_folder, write_private
from spokekit._surroundings import alive
from spokekit._words import moment
from spokekit.audit.frames import IDS, TABLES, Frames, Site, without_nulls
from spokekit.audit.history.files import known_ids, load, write_parquet
from spokekit.audit.history.integrity import FORMAT, MANIFEST, Damage, damages, sealed, trouble
from spokekit.audit.history.merge import coverage_of, merge
from spokekit.audit.history.numbering import number
from spokekit.audit.history.snapshot import Moment, Snapshot, checked, folder_name, look
from spokekit.errors import Conflict, InputError, NotFound, SpokekitError, StoreError

KEEP = 3  # newest snapshots that keep all their files
MERGE_AT = 24  # files of one kind before they are merged into one
_NUMBER = re.compile(r"[0-9]{6,}")
_NEWEST = "newest"


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
        """Return the newest snapshot that is whole; `Snapshot.passed_over` names newer ones that are not.

        Raises NotFound when there is none, and StoreError when there are some and none is whole.
        """
        found, over = self._newest_whole()
        if found is not None:
            return found
        if not over:
            raise NotFound(
                f"There is no snapshot of {self.site.name or self.site.cloud_id} yet.",
                hint="Walk the site first: Walk in notebook 05, or spokekit audit walk.",
            )
        raise trouble(over[0][0], self._folder_of(over[0][0]), over[0][1])

    def exists(self) -> bool:
        """Tell whether there is a snapshot that is whole."""
        return self._newest_whole()[0] is not None

    def older_words(self) -> str:
        """Say why the newest snapshot cannot be used; "" where it can, or where there is none."""
        found, over = self._newest_whole()
        if found is not None or not over:
            return found.older_words if found is not None else ""
        return f"No earlier snapshot can be used: {trouble(over[0][0], self._folder_of(over[0][0]), over[0][1])}"

    def _newest_whole(self) -> tuple[Snapshot | None, tuple[tuple[int, Damage], ...]]:
        numbers, noted = self.numbers(), self.noted()
        over = [(noted, Damage(f"{noted:06d}", "is missing", gone=True))] if noted > max([*numbers, 0]) else []
        for number_ in reversed(numbers):
            found = look(self._folder_of(number_))
            wrong = damages(found.entries())[:1] if isinstance(found, Snapshot) else [found]
            if isinstance(found, Snapshot) and not wrong:
                return replace(found, passed_over=tuple(over)), tuple(over)
            over.append((number_, wrong[0]))
        return None, tuple(over)

    def _folder_of(self, number_: int) -> Path:
        return self.folder / f"{number_:06d}"

    def frame(self) -> pd.DataFrame:
        """List the snapshots: number (int), taken_at (UTC), complete (bool), scope (text); oldest first."""
        rows = self.latest().moments if self.numbers() or self.noted() else ()
        return frame_of(rows, {"number": "int", "taken_at": "time", "complete": "bool", "scope": "text"})

    def check(self) -> pd.DataFrame:
        """Read every file of every snapshot, and hold it against its checksum.

        Returns
        -------
        snapshot (int), taken_at (UTC; empty where it cannot be read), state (text), files (int: files that belong to
        it), bytes (int), damaged (list of files that are damaged or missing, under the site's folder), words (text);
        oldest first. The state is ``whole``, ``unverified`` (readable; files of it were written without checksums),
        ``history`` (its own files were cleaned away, and later snapshots answer for its moment), or ``damaged``.
        """
        numbers, noted = self.numbers(), self.noted()
        read: dict[int, Snapshot | Damage] = {n: look(self._folder_of(n)) for n in numbers}
        if noted > max([*numbers, 0]):
            read[noted] = Damage(f"{noted:06d}", "is missing", gone=True)
        # Each file once, however many snapshots share it.
        files = {entry for s in read.values() if isinstance(s, Snapshot) for entry in s.entries()}
        wrong = {damage.file: damage for damage in damages(files, again=True)}
        history = {m.number for s in read.values() if isinstance(s, Snapshot) for m in s.moments if m.number < s.at}
        cleaned = history & set(numbers[:-KEEP])
        rows = [checked(n, found, wrong, cleaned=n in cleaned) for n, found in read.items()]
        made = pd.DataFrame(rows, columns=["snapshot", "taken_at", "state", "files", "bytes", "damaged", "words"])
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
            ordinal = max([*self._taken(), self.noted()]) + 1
            previous, over = self._newest_whole()
            told = self._told(previous, over)
            if previous is not None and frames.taken_at <= previous.taken_at:
                raise InputError(
                    f"These frames are of {moment(frames.taken_at)} and not newer than the newest snapshot, "
                    f"of {moment(previous.taken_at)}.",
                    likely="The clock of this computer was set back, or the snapshots come in another order.",
                    hint="Set the clock right and try again; a walk keeps what it has read. If the newest snapshot was "
                    f"written with a wrong clock, move its folder away: {previous.folder}.",
                    field="taken_at",
                )
            try:
                written = self._write(frames, previous, ordinal, told)
            except (ValueError, LookupError, TypeError) as error:
                if previous is None or not previous.unverified or isinstance(error, SpokekitError):
                    raise
                strange = Damage(f"{previous.folder.name}/{MANIFEST}", "names files that do not belong together")
                raise trouble(previous.at, previous.folder, strange) from None
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

    def _told(self, previous: Snapshot | None, over: tuple[tuple[int, Damage], ...]) -> list[str]:
        if not over:
            return []
        goes_on = (
            f"This one goes on from snapshot {previous.at}: what changed since then counts as changed now."
            if previous is not None
            else "This one begins a new history."
        )
        return [f"The snapshot {over[0][0]} cannot be used, since {over[0][1].words}. {goes_on}"]

    def numbers(self) -> list[int]:
        """Return the numbers of the snapshots' folders, in order; those that are damaged or cleaned, too."""
        return [n for n in self._taken() if self._folder_of(n).is_dir()]

    def _taken(self) -> list[int]:
        try:
            names = [entry.name for entry in os.scandir(self.folder)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StoreError(f"The folder {self.folder} cannot be read: {error.strerror or error}.") from None
        numbered = [int(name) for name in names if _NUMBER.fullmatch(name) and f"{int(name):06d}" == name]
        return sorted(numbered)

    def noted(self) -> int:
        """Return the number of the newest snapshot as it was noted when it was written; 0 where nothing is noted."""
        try:
            number_ = int((self.folder / _NEWEST).read_bytes()[:20].partition(b" ")[0])
            return number_ if (self.folder / _NEWEST).read_bytes() == _noted(number_) else 0
        except (OSError, ValueError):
            return 0

    def _write(self, frames: Frames, previous: Snapshot | None, ordinal: int, told: list[str]) -> Snapshot | None:
        private_folder(self.folder)
        temporary = self.folder / f".new-{os.getpid()}-{secrets.token_hex(4)}"
        temporary.mkdir(mode=0o700)
        try:
            manifest = sealed(_fill(temporary, f"{ordinal:06d}", ordinal, frames, previous, told))
            with (temporary / MANIFEST).open("w", encoding="utf-8") as file:
                json.dump(manifest, file, ensure_ascii=False, indent=1)
                file.flush()
                os.fsync(file.fileno())
            _sync_folder(temporary)
            target = self.folder / f"{ordinal:06d}"
            try:
                temporary.rename(target)
            except OSError:
                if os.path.lexists(target):
                    return None
                raise
            _sync_folder(self.folder)
            if ordinal > self.noted():
                # The snapshot is there, whether or not its number can be noted.
                with suppress(StoreError):
                    write_private(self.folder / _NEWEST, _noted(ordinal))
            return Snapshot(target, manifest, ordinal)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove what the newest snapshots do not need, and what a killed writer left behind.

        Nothing outside the site's folder is touched, whatever links lie in it. A snapshot that was passed over keeps
        its files: it may be mended.
        """
        numbers = self.numbers()
        newest = look(self._folder_of(numbers[-1]))
        history = {m.number for m in newest.moments} if isinstance(newest, Snapshot) else set()
        passed_over = [n for n in numbers if n not in history]
        read = [look(self._folder_of(n)) for n in {*numbers[-KEEP:], *passed_over}]
        needed = {entry.name for s in read if isinstance(s, Snapshot) for entry in s.entries()}
        for old in sorted(set(numbers[:-KEEP]) - set(passed_over)):
            _empty(self._folder_of(old), needed)
        for left in self.folder.glob(".new-*"):
            process = left.name.split("-")[1]
            if not left.is_symlink() and process.isdecimal() and not alive(int(process)):
                shutil.rmtree(left, ignore_errors=True)


def _noted(number_: int) -> bytes:
    # With a digest: a wrong number would tell of a loss that never was.
    return f"{number_} {hashlib.sha256(str(number_).encode()).hexdigest()}\n".encode()


def _empty(folder: Path, needed: set[str]) -> None:
    """Remove the Parquet files of a folder that are not `needed`; a link to a folder elsewhere is left alone."""
    if folder.is_symlink():
        return
    if os.unlink not in os.supports_dir_fd:
        for file in folder.glob("*.parquet"):
            if f"{folder.name}/{file.name}" not in needed:
                file.unlink(missing_ok=True)
        return
    try:
        # By the handle: a link that takes the folder's place meanwhile is not followed either.
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        for name in [entry.name for entry in os.scandir(handle)]:
            if name.endswith(".parquet") and f"{folder.name}/{name}" not in needed:
                with suppress(OSError):
                    os.unlink(name, dir_fd=handle)
    finally:
        os.close(handle)


def sites(folder: Path | None = None) -> tuple[Site, ...]:
    """Return the sites of which there are snapshots, by name; one whose snapshots are all damaged, too."""
    base = folder or home() / "snapshots"
    found = []
    for path in base.iterdir() if base.is_dir() else ():
        here = Snapshots(path.name, base)
        read = (look(path / f"{n:06d}") for n in reversed(here.numbers() if path.is_dir() else []))
        snapshot = next((s for s in read if isinstance(s, Snapshot)), None)
        if snapshot is not None:
            found.append(snapshot.site)
        elif path.is_dir() and here.numbers():
            found.append(Site(path.name))
    return tuple(sorted(found, key=lambda s: (s.name, s.cloud_id)))


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _fill(
    folder: Path, name: str, ordinal: int, frames: Frames, previous: Snapshot | None, told: list[str]
) -> dict[str, Any]:
    """Write all files of the snapshot into `folder` and return its manifest; `told` goes into the report's notes."""
    known = {kind: known_ids(previous, kind) for kind in IDS} if previous else {}
    fresh = number(frames, known)
    files: dict[str, list[dict[str, Any]]] = {}
    rows: dict[str, int] = {}

    # Arrow compresses without Python, and the disk takes its time: so one table is written while the next one is made.
    with ThreadPoolExecutor(2) as writers:
        coming: list[tuple[str, Future[dict[str, Any]]]] = []

        def write(path: Path, table: pa.Table) -> dict[str, Any]:
            digest = write_parquet(table, path)
            return {"path": f"{name}/{path.name}", "bytes": path.stat().st_size, "sha256": digest}

        def put(kind: str, table: pa.Table) -> None:
            coming.append((kind, writers.submit(write, folder / f"{kind}.parquet", table)))

        def put_behind(kind: str, table: pa.Table) -> None:
            before = previous.manifest["files"].get(kind, []) if previous else []
            if len(before) >= MERGE_AT and previous:
                name = kind.removesuffix("-ended")
                old = load(previous.paths(kind), name if name in TABLES else "")
                table = pa.concat_tables([without_nulls(name, old) if name in TABLES else old, table])
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
        "completeness": {**frames.completeness, "notes": [*frames.completeness.get("notes", ()), *told]}
        if told
        else frames.completeness,
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
