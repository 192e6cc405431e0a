"""Whether the files of a snapshot are as they were written.

The manifest names each file with its bytes and its SHA-256, and bears a SHA-256 of itself. Size and end of a file are
looked at whenever a snapshot is opened; the whole is read the first time in a process, and again when the file system
says that the file is another one than then.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spokekit.errors import StoreError

FORMAT = 2
WITHOUT_CHECKSUMS = 1
MANIFEST = "manifest.json"
_PARQUET = b"PAR1"
_INSIDE = re.compile(r"\d{6,}/[A-Za-z0-9_-]+\.parquet")
_BLOCK = 1 << 20

Signature = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class Damage:
    """What is wrong with one file of a snapshot: its path under the site's folder, and what, as the end of a sentence.

    ``gone`` tells whether it is missing, which a later snapshot's cleaning may have meant.
    """

    file: str
    what: str
    gone: bool = False

    @property
    def words(self) -> str:
        """File and what is wrong with it."""
        return f"{self.file} {self.what}"


@dataclass(frozen=True)
class Entry:
    """A file that belongs to a state: where it is, its bytes, and its SHA-256 (empty: written before there was one)."""

    kind: str
    path: Path
    bytes: int
    sha256: str

    @property
    def name(self) -> str:
        """Folder and name, as the manifest has it."""
        return f"{self.path.parent.name}/{self.path.name}"


class HashingFile(io.BufferedWriter):
    """A file that is written from front to end, and the SHA-256 of what was given to it."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path, "w"))
        self._hash = hashlib.sha256()

    def write(self, data: Any, /) -> int:
        """Write `data` and count it in."""
        self._hash.update(data)
        return super().write(data)

    @property
    def sha256(self) -> str:
        """The digest, as text."""
        return self._hash.hexdigest()


# -- the manifest ------------------------------------------------------------------------------------------------------


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest as it is written: in the types of JSON, with a digest of itself."""
    plain: dict[str, Any] = json.loads(json.dumps({k: v for k, v in manifest.items() if k != "sha256"}))
    return {**plain, "sha256": _digest(plain)}


def _digest(manifest: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def read_manifest(folder: Path) -> dict[str, Any] | Damage:
    """Return the manifest of a snapshot, or what is wrong with it."""
    name = f"{folder.name}/{MANIFEST}"
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        return Damage(name, "is missing", gone=True)
    except OSError as error:
        return Damage(name, f"cannot be read ({error.strerror or error})")
    except (ValueError, RecursionError):
        return Damage(name, "was cut off or changed")
    if not isinstance(manifest, dict):
        return Damage(name, "was changed after it was written")
    if isinstance(manifest.get("format"), int) and manifest["format"] > FORMAT:
        return Damage(name, "was written by a newer spokekit")
    marked = "sha256" in manifest or manifest.get("format") != WITHOUT_CHECKSUMS
    if marked and manifest.get("sha256") != _digest(manifest):
        return Damage(name, "was changed after it was written")
    return manifest


def entries(manifest: Mapping[str, Any], base: Path) -> list[Entry] | None:
    """Return the files that a manifest names, under the site's folder `base`; None where it names something else."""
    found = []
    for kind, listed in manifest["files"].items():
        for one in listed:
            path, size, digest = one["path"], one["bytes"], one.get("sha256", "")
            if not _INSIDE.fullmatch(path) or not isinstance(size, int) or not isinstance(digest, str):
                return None
            found.append(Entry(kind, base / path, size, digest))
    return found


# -- the files ---------------------------------------------------------------------------------------------------------

_whole: dict[Signature, str] = {}
"""The digests of files that this process has read, by what the file system says of the file."""


def signature(path: Path) -> Signature | None:
    """Return what the file system says of a file: it changes when the file does. None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def damage_of(entry: Entry, *, again: bool = False) -> Damage | None:
    """Return what is wrong with a file, or None.

    Parameters
    ----------
    again:
        Read the whole of it, also when this process has done so before.
    """
    try:
        with entry.path.open("rb") as file:
            # A file that lost power on its way to the disk may have its size and end in zeros.
            size = file.seek(0, os.SEEK_END)
            if size != entry.bytes:
                return Damage(entry.name, f"has {size:,} bytes instead of {entry.bytes:,}")
            file.seek(max(0, size - len(_PARQUET)))
            if file.read() != _PARQUET:
                return Damage(entry.name, "has lost its end")
            if not entry.sha256:
                return _unreadable(entry) if again else None
            mark = signature(entry.path)
            if again or mark is None or _whole.get(mark) != entry.sha256:
                file.seek(0)
                digest = hashlib.sha256()
                while block := file.read(_BLOCK):
                    digest.update(block)
                if digest.hexdigest() != entry.sha256:
                    return Damage(entry.name, "was changed after it was written")
                if mark is not None:
                    _whole[mark] = entry.sha256
    except FileNotFoundError:
        return Damage(entry.name, "is missing", gone=True)
    except OSError as error:
        return Damage(entry.name, f"cannot be read ({error.strerror or error})")
    return None


def damages(files: Iterable[Entry], *, again: bool = False) -> list[Damage]:
    """Return what is wrong with any of `files`; they are read side by side."""
    with ThreadPoolExecutor(4) as readers:
        return [found for found in readers.map(lambda one: damage_of(one, again=again), files) if found is not None]


def _unreadable(entry: Entry) -> Damage | None:
    try:
        pq.ParquetFile(entry.path).read()
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, MemoryError):
        return Damage(entry.name, "cannot be read as Parquet")
    return None


def trouble(number: int, folder: Path, found: Damage) -> StoreError:
    """Return the error for a damaged snapshot."""
    return StoreError(
        f"The snapshot {number} ({folder}) cannot be used: {found.words}.",
        likely="Newer walks cleaned it away, or somebody moved or removed it."
        if found.gone
        else "The disk failed, or a program that cleans up, encrypts or synchronises files changed it.",
        hint="See all damage with: spokekit audit check. Then put the file back from a copy of the snapshots' folder, "
        "or open the newest snapshot again, or walk again (Walk in notebook 05, or spokekit audit walk).",
    )
