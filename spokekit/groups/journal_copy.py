"""What an apply did, in a private file beside the store: for when its journal is gone in the middle."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from spokekit._home import home, write_private
from spokekit._secret import scrub
from spokekit.connections.store import Store
from spokekit.errors import InputError, NotFound, StoreError
from spokekit.groups.book import MEMBERSHIPS, Book
from spokekit.groups.journal import (
    APPLY_ENDED,
    APPLY_STARTED,
    FINISHED,
    ROW_ENDED,
    ROW_STARTED,
    STOPPED,
    ApplyHead,
    Journal,
    settled,
)
from spokekit.groups.plan import ALREADY, NOT_DONE, REFUSED, STATUSES, UNKNOWN, Row
from spokekit.groups.planfile import sane
from spokekit.groups.site_state import Place

VERSION = 1
MOST_BYTES = 256_000_000
_TAKEN = ".taken"


@dataclass(frozen=True)
class Kept(ApplyHead):
    """An apply as a file has it: what a journal would hold of it, and why it is in no journal."""

    why: str
    rows: tuple[Row, ...]


def folder(store: Store) -> Path:
    """Return where such files lie: beside the store's file, or in the home for a store elsewhere."""
    return home() if store.path is None else store.path.parent


def _name(book: Book, apply_id: str) -> str:
    return f"{book.kind.replace(' ', '-')}-{apply_id}.jsonl"


def keep(store: Store, kept: Kept, book: Book = MEMBERSHIPS) -> Path:
    """Write the file, one line for the apply and one for each row; returns where it is.

    Raises `StoreError` when it can be written neither beside the store nor in the folder for temporary files.
    """
    name = _name(book, kept.apply_id)
    head = {"format": book.kind, "version": VERSION, **asdict(replace(kept, rows=())), "why": scrub(kept.why)}
    head |= {"started_at": kept.started_at.isoformat(), "written_at": datetime.now(UTC).isoformat()}
    del head["rows"]
    # No names of people, as in the journal.
    rows = (
        {"row": number, **asdict(row), "display_name": "", "message": scrub(row.message)}
        for number, row in enumerate(kept.rows, start=1)
    )
    data = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in (head, *rows)).encode()
    try:
        target = folder(store) / name
        write_private(target, data)
    except StoreError:
        target = Path(tempfile.mkdtemp(prefix="spokekit-")) / name
        write_private(target, data)
    return target


def files(store: Store, book: Book = MEMBERSHIPS) -> tuple[Path, ...]:
    """Return the files beside the store that no journal has taken in yet."""
    try:
        return tuple(sorted(folder(store).glob(_name(book, "*"))))
    except OSError:
        return ()


def taken(path: Path) -> Path:
    """Put a file aside that a journal has taken in; returns its new name."""
    target = path.with_name(path.name + _TAKEN)
    try:
        path.replace(target)
    except OSError:
        return path
    return target


def read(path: Path, book: Book = MEMBERSHIPS) -> Kept:
    """Read such a file.

    Raises
    ------
    NotFound
        It is not there.
    InputError
        It is none of ours: damaged, or somebody else's.
    """
    wrong = InputError(
        f"{path} does not hold the rows of an apply, or was changed.",
        likely="It was edited or cut off, or it belongs to somebody else.",
        hint="Look into it with an editor; nothing in it was used.",
        field="file",
    )
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            if os.name == "posix" and (about.st_uid != os.geteuid() or about.st_mode & 0o022):
                raise wrong
            lines = file.read(MOST_BYTES).decode().splitlines()
        head, *rows = (json.loads(line) for line in lines)
        return _kept(head, rows, book)
    except FileNotFoundError:
        raise NotFound(f"There is no file {path}.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.", field="file") from None
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
        raise wrong from None


def _kept(head: dict[str, Any], rows: Sequence[dict[str, Any]], book: Book) -> Kept:
    if head["format"] != book.kind or head["version"] != VERSION:
        raise ValueError("another format")
    # What is missing is not taken for empty.
    whole = all(cells.keys() >= {field.name for field in fields(book.row)} for cells in rows)
    found = tuple(msgspec.convert(sane(cells), book.row) for cells in rows)
    if not whole or any(row.action not in book.actions or row.status not in STATUSES for row in found):
        raise ValueError("no row of an apply")
    kept = msgspec.convert(sane(head | {"rows": []}), Kept)
    if kept.started_at.tzinfo is None:
        raise ValueError("a time without a time zone")
    return replace(kept, rows=found)


def take_in(journal: Journal, kept: Kept) -> str:
    """Write down what a file has of an apply whose journal was lost; returns its id.

    What the journal has of it already is kept, and only the outcomes that it lacks are added. Raises `InputError`
    when the journal has an apply of this id with other rows.
    """
    book = journal.book
    other = InputError(f"The file has other rows of the apply {kept.apply_id} than the journal.", field="file")
    known = journal.state(kept.apply_id) if kept.apply_id in journal.apply_ids() else None
    pairs = [(row.pair, row.action) for row in kept.rows]
    if known is not None and [(row.pair, row.action) for row in known.rows] != pairs:
        raise other
    base = kept.columns()
    told = f"Taken in from a file. {kept.why}"
    entries: list[dict[str, Any]] = []
    if known is None:
        entries.append(
            base | {"event": APPLY_STARTED, "at": kept.started_at, "message": f"{len(kept.rows)} rows. {told}"}
        )
    for position, row in enumerate(kept.rows):
        if row.status == NOT_DONE or (known is not None and known.rows[position].status == row.status):
            continue
        if row.status not in (ALREADY, REFUSED):
            entries.append(base | {"position": position, "event": ROW_STARTED} | book.columns(row, ended=False))
        if row.status != UNKNOWN:
            entries.append(base | {"position": position, "event": ROW_ENDED} | book.columns(row, ended=True))
    done = all(settled(row) for row in kept.rows)
    entries.append(base | {"event": APPLY_ENDED, "status": FINISHED if done else STOPPED, "message": told})
    rows = [book.packed(row) for row in kept.rows]
    with journal.store.write() as connection:
        plan = connection.execute(sa.select(book.plans.c.plan).where(book.plans.c.apply_id == kept.apply_id)).scalar()
        # Where only the entries were deleted, the plan is there still.
        if plan is not None and json.loads(plan) != rows:
            raise other
        if plan is None:
            connection.execute(
                book.plans.insert().values(apply_id=kept.apply_id, plan=json.dumps(rows, ensure_ascii=False))
            )
        for entry in entries:
            connection.execute(book.entries.insert().values(**entry))
    return kept.apply_id


def take_in_all(
    journal: Journal, here: Callable[[Place], bool], held: Callable[[], AbstractContextManager[object]]
) -> tuple[str, ...]:
    """Write into the journal what files beside the store have of applies whose journal was lost meanwhile.

    `here` tells which places are meant, `held` holds them while one is written. Returns a sentence for each file, also
    for one that cannot be used.
    """
    told: list[str] = []
    for path in files(journal.store, journal.book):
        try:
            kept = read(path, journal.book)
            if not here(kept.place):
                continue
            with held():
                take_in(journal, kept)
        except InputError as error:
            told.append(str(error))
        else:
            told.append(
                f"The apply {kept.apply_id[:8]}, whose journal had been lost, was taken into the journal from "
                f"{taken(path)}."
            )
    return tuple(told)
