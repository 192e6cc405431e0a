"""The rows of a list in an Excel workbook.

A workbook is a packed file, so a small one may hold more than memory does. Its parts are counted while they are
unpacked piece by piece, before anything of them is held; what is within bounds is read by openpyxl.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from typing import Any
from xml.parsers import expat

from spokekit._lists.bounds import (
    LOOKED_AT,
    MAX_ROWS,
    MOST_IN_ALL,
    Kind,
    Rows,
    check_width,
    too_many,
    too_much,
)
from spokekit.errors import InputError

_PIECE = 1 << 18
_MOST_UNPACKED = 250_000_000
# Styles, names, relations: these are held whole, and none of a list is longer.
_MOST_BESIDES = 20_000_000
_MOST_SHEETS = 50
# Excel's own.
_LAST_ROW = 1_048_576
# The parts that hold a row or a text for each line.
_MANY = re.compile(r"worksheets/[^/]+\.xml$|sharedStrings[^/]*\.xml$")


class _Sizes:
    """What a part holds, counted from its tags alone."""

    def __init__(self, called: str, kind: Kind) -> None:
        self.called = called
        self.kind = kind
        self.texts = self.rows = self.cells = self.width = self.last = 0
        self._row = self._column = self._in_row = 0
        self._filled = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(":")[2]
        if name == "c":
            self.cells += 1
            self._in_row += 1
            said = re.match(r"[A-Za-z]{1,3}", attributes.get("r", ""))
            self._column = _number(said[0]) if said else self._column + 1
            check_width(self._in_row, self._row, self.called, self.kind)
        elif name in ("v", "is"):
            self._value()
        elif name == "row":
            self._row = _whole(attributes.get("r", "")) or self._row + 1
            self._column = self._in_row = 0
            self._filled = False
            if self._row > _LAST_ROW:
                raise ValueError
        elif name == "si":
            self.texts += 1
            if self.texts > MOST_IN_ALL:
                raise too_much(self.called, self.rows, self.kind)

    def _value(self) -> None:
        self.rows += not self._filled
        self._filled = True
        self.last = self._row
        self.width = max(self.width, self._column)
        check_width(self._column, self._row, self.called, self.kind)

    def check(self) -> None:
        """Raise `InputError` when there is more than a list may hold."""
        if self.rows > MAX_ROWS + LOOKED_AT:
            raise too_many(self.called, self.rows, "file", self.kind)
        if self.rows * self.width > MOST_IN_ALL or self.cells > 2 * MOST_IN_ALL:
            raise too_much(self.called, self.rows, self.kind)


def _number(letters: str) -> int:
    found = 0
    for letter in letters.upper():
        found = found * 26 + ord(letter) - 64
    return found


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 12 else 0


def _count(parts: zipfile.ZipFile, name: str, called: str, kind: Kind) -> _Sizes:
    sizes = _Sizes(called, kind)
    parser = expat.ParserCreate()
    parser.StartElementHandler = sizes.start
    parser.StartDoctypeDeclHandler = _refuse
    with parts.open(name) as part:
        while piece := part.read(_PIECE):
            parser.Parse(piece, False)
    parser.Parse(b"", True)
    return sizes


def _refuse(*_: Any) -> None:
    # No workbook declares entities; a bomb does.
    raise ValueError


def rows_of_workbook(data: bytes, called: str, kind: Kind, notes: list[str]) -> Rows:
    """Return the rows of the first sheet that has a header, or else of the first one that is not empty.

    Raises `InputError` when it cannot be read, or holds more than a list can.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            counted = _counted(parts, called, kind)
            import openpyxl

            with warnings.catch_warnings():
                # About drop-down lists and the like, which a list does without.
                warnings.simplefilter("ignore")
                book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
                try:
                    return _chosen(book, counted, kind, notes)
                finally:
                    book.close()
    except InputError:
        raise
    except Exception:  # noqa: BLE001 - a damaged workbook ends in whatever its parser meets
        raise InputError(
            f"{called} is an Excel workbook that cannot be read.",
            field="file",
            likely="It is cut off or damaged, or no workbook at all.",
            hint='Open it in Excel and save it again, or choose "CSV UTF-8".',
        ) from None


def _counted(parts: zipfile.ZipFile, called: str, kind: Kind) -> dict[str, _Sizes]:
    """Return what each sheet holds, by its place in the file. Raises `InputError` when one holds too much."""
    unpacked = sum(part.file_size for part in parts.infolist())
    besides = sum(
        part.file_size
        for part in parts.infolist()
        if not _MANY.search(part.filename) and not part.filename.startswith("xl/media/")
    )
    if unpacked > _MOST_UNPACKED or besides > _MOST_BESIDES:
        raise InputError(
            f"{called} unpacks to {unpacked / 1e6:,.0f} MB.",
            field="file",
            likely=f"It holds far more than a list of {kind.holds}.",
            hint="Keep one sheet with the columns that are needed.",
        )
    found = {name: _count(parts, name, called, kind) for name in parts.namelist() if _MANY.search(name)}
    for sizes in found.values():
        sizes.check()
    return found


def _chosen(book: Any, counted: dict[str, _Sizes], kind: Kind, notes: list[str]) -> Rows:
    sheets = [sheet for sheet in book.worksheets if hasattr(sheet, "reset_dimensions")][:_MOST_SHEETS]
    first: tuple[Any, _Sizes] | None = None
    chosen: tuple[Any, _Sizes] | None = None
    for sheet in sheets:
        sizes = counted[sheet._worksheet_path]
        if not sizes.rows:
            continue
        # What a workbook says of its own size is not always true.
        sheet.reset_dimensions()
        first = first or (sheet, sizes)
        if any(kind.known(cells) for _, cells in _rows(sheet, sizes, LOOKED_AT)):
            chosen = sheet, sizes
            break
    chosen = chosen or first
    if chosen is None:
        return []
    sheet, sizes = chosen
    if len(book.sheetnames) > 1:
        number = book.sheetnames.index(sheet.title) + 1
        which = "the first" if number == 1 else f"number {number}"
        notes.append(f"The sheet “{sheet.title[:60]}” was read, {which} of {len(book.sheetnames)}.")
    return _rows(sheet, sizes, MAX_ROWS + LOOKED_AT)


def _rows(sheet: Any, sizes: _Sizes, most: int) -> Rows:
    """Return the filled rows, at most so many, and the empty ones between them as far as they are few."""
    rows: Rows = []
    filled = 0
    for number, line in enumerate(sheet.iter_rows(max_row=sizes.last, max_col=sizes.width, values_only=True), start=1):
        if line.count(None) == len(line):
            if len(rows) < MAX_ROWS:
                rows.append((number, []))
            continue
        rows.append((number, [_cell(cell) for cell in line]))
        filled += 1
        if filled >= most:
            break
    return rows


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
