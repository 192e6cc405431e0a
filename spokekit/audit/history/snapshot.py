"""One snapshot on disk: its manifest, its files, and the moment of its history that is looked at."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from spokekit.audit.frames import IDS, Site
from spokekit.audit.history.integrity import MANIFEST, Damage, Entry, entries, read_manifest
from spokekit.audit.history.merge import HISTORY
from spokekit.errors import InputError, NotFound

WHOLE, UNVERIFIED, HISTORY_ONLY, DAMAGED = "whole", "unverified", "history", "damaged"
"""What a check says of a snapshot: see `Snapshots.check`."""

_KINDS = {"coverage", *HISTORY, *(f"{kind}-ended" for kind in HISTORY), *(f"{kind}-ids" for kind in IDS)}


@dataclass(frozen=True)
class Moment:
    """One snapshot in the history of a site: its number, when it was taken, and whether it was complete."""

    number: int
    taken_at: datetime
    complete: bool
    scope: str


@dataclass(frozen=True)
class Snapshot:
    """A state on disk. `at` is the number of the moment that it is looked at; the newest by default.

    `passed_over` are newer snapshots that cannot be used: number, and what is wrong.
    """

    folder: Path
    manifest: dict[str, Any] = field(repr=False)
    at: int
    passed_over: tuple[tuple[int, Damage], ...] = field(default=(), repr=False)

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

    def entries(self) -> list[Entry]:
        """Return all files that belong to this state."""
        return entries(self.manifest, self.folder.parent) or []

    @property
    def unverified(self) -> bool:
        """True where files of it were written by a spokekit that kept no checksums: damage may stay unnoticed."""
        return not all(entry.sha256 for entry in self.entries())

    @property
    def older_words(self) -> str:
        """Say that this is not the newest snapshot, and why; "" where it is."""
        if not self.passed_over:
            return ""
        newest, damage = self.passed_over[0]
        rest = f", like {len(self.passed_over) - 1:,} more" if len(self.passed_over) > 1 else ""
        return (
            f"This is from the older snapshot {self.manifest['number']}, of "
            f"{self.moments[-1].taken_at:%Y-%m-%d %H:%M} UTC: the newest one ({newest}) cannot be used{rest}, since "
            f"{damage.words}. spokekit audit check tells more; a new walk gives a new one."
        )

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
                likely=self.older_words or f"The first one was taken at {first:%Y-%m-%d %H:%M} UTC.",
                hint="Ask for a later moment, or see the list of snapshots.",
            )
        return replace(self, at=fitting[-1].number)


def folder_name(cloud_id: str) -> str:
    """Return a folder name for the site: its cloud id where that is a plain word, else a digest of it."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,79}", cloud_id):
        return cloud_id
    return "site-" + hashlib.sha256(cloud_id.encode()).hexdigest()[:24]


def look(folder: Path) -> Snapshot | Damage:
    """Return the snapshot in `folder` by its manifest, or what is wrong with that; its files are not looked at."""
    manifest = read_manifest(folder)
    if isinstance(manifest, Damage):
        return manifest
    strange = Damage(f"{folder.name}/{MANIFEST}", "is not one of spokekit's")
    try:
        found = Snapshot(folder, manifest, manifest["number"])
        if f"{found.at:06d}" != folder.name or folder_name(found.site.cloud_id) != folder.parent.name:
            return Damage(strange.file, "is of another snapshot")
        # A manifest without these would be of no use to whoever opens it.
        whole = (
            set(manifest["files"]) >= _KINDS
            and entries(manifest, folder.parent) is not None
            and all(isinstance(found.scope, dict) and isinstance(m.complete, bool) for m in found.moments)
            and isinstance(found.completeness, dict)
            and isinstance(manifest.get("with_spaces") or [], list)
            and all(isinstance(manifest["rows"][kind], int) for kind in HISTORY)
            and isinstance(found.taken_at, datetime)
        )
        return found if whole else strange
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration, IndexError):
        return strange


def checked(
    number: int, found: Snapshot | Damage, wrong: Mapping[str, Damage], *, cleaned: bool
) -> tuple[int, datetime | None, str, int, int, list[str], str]:
    """Return a row of `Snapshots.check`: `wrong` are damaged files by name, `cleaned` allows files to be gone."""
    if isinstance(found, Damage):
        return number, None, DAMAGED, 0, 0, [found.file], f"{found.words}."
    files = found.entries()
    bad = [wrong[entry.name] for entry in files if entry.name in wrong]
    left = [damage for damage in bad if not (cleaned and damage.gone)]
    if left:
        state, words = DAMAGED, f"{'; '.join(damage.words for damage in left)}."
    elif bad:
        state, words = HISTORY_ONLY, "Cleaned away as intended; later snapshots answer for its moment."
    elif found.unverified:
        state, words = UNVERIFIED, "An earlier spokekit wrote files of it without checksums: damage may not show."
    else:
        state, words = WHOLE, "Every file is as it was written."
    return number, found.taken_at, state, len(files), found.size(), [damage.file for damage in left], words
