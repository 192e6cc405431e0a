"""The notebooks that ship with the package, and a person's own copy of them.

A person's work is never overwritten. Beside the copies lies a small record of what was copied, so that an untouched
copy can follow a new version of the package and a changed one is left alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from spokekit._refused import told_as
from spokekit._words import counted
from spokekit.errors import InputError, StoreError

FIRST = "00-start-here.ipynb"
FOLDER = "spokekit-notebooks"
"""Where a person's copies are or go, if nobody says otherwise."""
RECORD = ".spokekit-notebooks.json"


@dataclass(frozen=True)
class Copied:
    """What `copy_notebooks` did, each a tuple of file names."""

    added: tuple[str, ...] = ()
    renewed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    beside: tuple[tuple[str, str], ...] = field(default=())

    def words(self) -> Iterator[str]:
        """Say it, one sentence at a time; nothing to say when all was there already."""
        if self.added:
            yield f"Copied {counted(sum(n.endswith('.ipynb') for n in self.added), 'notebook')} there."
        if self.renewed:
            yield f"Brought up to date, since you had not changed them: {', '.join(self.renewed)}."
        for mine, new in self.beside:
            yield f"Kept your {mine}; this version's own lies beside it as {new}."


def shipped() -> Path:
    """Return the folder of the notebooks: inside the installed package, or the project's own in a checkout."""
    package = Path(__file__).resolve().parent
    for folder in (package / "notebooks", package.parent / "notebooks"):
        if any(folder.glob("[0-9][0-9]-*.ipynb")):
            return folder
    raise StoreError(
        "This installation has no notebooks.",
        likely="The package was built or copied without them.",
        hint="Install spokekit again.",
    )


def copy_notebooks(target: Path, *, named_by: str = "--folder") -> Copied:
    """Put the shipped notebooks into `target` and leave alone what the person changed there.

    Raises `InputError` when `target` cannot be a folder of notebooks; `named_by` is where the person names another one.
    """
    hint = f"Start from a folder that you may write to, or name another one with {named_by}."
    with told_as(InputError, f"The notebooks cannot be copied to {target}", field=named_by, hint=hint):
        target.mkdir(parents=True, exist_ok=True)
        return _copy(shipped(), target)


def _copy(source: Path, target: Path) -> Copied:
    record = _read_record(target / RECORD)
    added: list[str] = []
    renewed: list[str] = []
    kept: list[str] = []
    beside: list[tuple[str, str]] = []
    for path in _files(source):
        new = path.read_bytes()
        name = path.relative_to(source).as_posix()
        mine = target / name
        mine.parent.mkdir(exist_ok=True)
        if not mine.exists():
            mine.write_bytes(new)
            added.append(name)
        elif (present := _digest(mine.read_bytes())) == _digest(new):
            pass
        elif present == record.get(name):
            mine.write_bytes(new)
            renewed.append(name)
        else:
            kept.append(name)
            # Only a version that the person has not been shown yet goes beside the changed copy.
            if record.get(name) != _digest(new):
                names = (mine.with_name(f"{path.stem}-new{n}{path.suffix}") for n in _endings())
                other = next(free for free in names if not free.exists())
                other.write_bytes(new)
                beside.append((name, other.name))
        record[name] = _digest(new)
    (target / RECORD).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return Copied(tuple(added), tuple(renewed), tuple(kept), tuple(beside))


def _files(source: Path) -> list[Path]:
    """Return the notebooks and the drawings in them; the other pictures are for the project's own pages."""
    beside = [p for p in source.iterdir() if p.is_file() and not p.name.startswith(".")]
    return sorted([*beside, *source.glob("images/*.svg"), *source.glob("training/*.ipynb")])


def _endings() -> Iterator[str]:
    yield ""
    yield from (f"-{n}" for n in count(2))


def _read_record(path: Path) -> dict[str, str]:
    # A damaged record only means that nothing counts as untouched: every differing copy is kept.
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return {str(name): str(digest) for name, digest in found.items()}
    return {}


def _digest(data: bytes) -> str:
    """Fingerprint what a person may have changed: cells and their outputs.

    JupyterLab writes metadata into a notebook that was merely opened; that makes it nobody's work.
    """
    with suppress(ValueError, KeyError, TypeError):
        cells = json.loads(data)["cells"]
        kept = [[c["cell_type"], "".join(c["source"]), c.get("outputs", []), c.get("attachments")] for c in cells]
        data = json.dumps(kept, sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()
