"""The rows of a list file, whatever wrote it: CSV with any separator and encoding, or an Excel workbook.

Read within bounds: what is longer than a list can be is refused before it is in memory, with its true length.
"""

from __future__ import annotations

import csv
import io
import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from spokekit.errors import InputError

MAX_ROWS = 100_000
MAX_BYTES = 32_000_000
MOST_CELLS = 1_000
"""So many columns a list has at most; a header of more is of something else."""
_MOST_IN_A_LINE = 200_000
_MOST_UNPACKED = 400_000_000
_MOST_COUNTED = 2_000_000_000
_DELIMITERS = (",", ";", "\t", "|")
_WORDS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_HEADER = 10_000
_LOOKED_AT = 20

Rows = list[tuple[int, list[str]]]
Known = Callable[[Sequence[str]], int]
"""How many of the cells of a line are names of columns that a list can have."""


def rows_of(source: str | Path | bytes, called: str, known: Known, notes: list[str]) -> Rows:
    """Return the lines of a file with their numbers; liberties that were taken go to `notes`.

    Raises `InputError` when the file as a whole cannot be read.
    """
    data = source if isinstance(source, bytes) else _content(Path(source), called)
    if len(data) > MAX_BYTES:
        raise _too_large(called, len(data), data.count(b"\n"))
    if data.startswith(b"PK\x03\x04"):
        return _workbook(data, called, notes)
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise InputError(
            f"{called} is an Excel workbook of the old kind (.xls), or one with a password.",
            field="file",
            hint='In Excel choose "Save as", "Excel workbook (.xlsx)" or "CSV UTF-8", without a password.',
        )
    text = _decode(data, called, notes)
    if "\n" not in text:
        # Line ends of an old Mac.
        text = text.replace("\r", "\n")
    lines = text.count("\n") + 1
    delimiter, text, skipped = _delimiter(text, known, notes, called)
    return _parse(text, delimiter, skipped, called, lines)


def too_many(called: str, rows: int, field: str) -> InputError:
    """Return the error for a list of more lines than may be planned at once."""
    return InputError(
        f"{called} has more than {MAX_ROWS:,} lines ({rows:,}).",
        field=field,
        likely="One app may spend 65,000 points an hour, and each change costs one.",
        hint="Split the file and apply the parts one after the other.",
    )


def _too_large(called: str, size: int, lines: int | None) -> InputError:
    counted = "" if lines is None else f", {lines:,} lines"
    return InputError(
        f"{called} has more than {MAX_BYTES / 1e6:,.0f} MB ({size / 1e6:,.0f} MB{counted}).",
        field="file",
        likely="Probably it holds more than a list of groups and accounts.",
        hint="Keep the columns group_id and account_id alone, or split the file.",
    )


def _content(path: Path, called: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
            if len(data) <= MAX_BYTES:
                return data
            # The rest is counted piece by piece, where it has an end that is near enough.
            about = os.fstat(file.fileno())
            size = about.st_size if stat.S_ISREG(about.st_mode) else 0
            lines = data.count(b"\n") + _count_lines(file) if 0 < size < _MOST_COUNTED else None
    except FileNotFoundError:
        raise InputError(f"There is no file {path}.", field="file", hint="Check the name and the folder.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{called} cannot be read: {reason}.", field="file") from None
    raise _too_large(called, max(size, len(data)), lines)


def _count_lines(file: Any) -> int:
    found = 0
    while piece := file.read(1 << 20):
        found += piece.count(b"\n")
    return found


# -- text --------------------------------------------------------------------------------------------------------------


def _decode(data: bytes, called: str, notes: list[str]) -> str:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            try:
                text = data.decode(encoding)
            except UnicodeDecodeError:
                data = data.removeprefix(_BOMS[0][0])
                break
            if "\0" not in text:
                return text
    if b"\0" in data:
        raise InputError(f"{called} is not a text file.", field="file", hint="A CSV or an Excel workbook is needed.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        raise InputError(
            f"{called} is neither UTF-8 nor Windows-1252.", field="file", hint='Save it as "CSV UTF-8".'
        ) from None
    notes.append(f"{called} is not UTF-8 and was read as Windows-1252; check names with accents.")
    return text


def _delimiter(text: str, known: Known, notes: list[str], called: str) -> tuple[str, str, int]:
    """Choose the separator that makes a header known; returns it, the text to parse, and the lines cut off."""
    first, _, rest = text.partition("\n")
    told = re.fullmatch(r"sep=(.)\r?", first[:10], re.IGNORECASE)
    if told:
        return told.group(1), rest, 1
    best, most = ",", (0, 1)
    for line in _first_lines(text, called):
        for delimiter in _DELIMITERS:
            cells = next(csv.reader(io.StringIO(line[:_HEADER], newline=""), delimiter=delimiter), [])
            found = (known(cells), len(cells))
            if found > most:
                best, most = delimiter, found
    if best != ",":
        notes.append(f"The cells are separated by {_WORDS[best]}.")
    return best, text, 0


def _first_lines(text: str, called: str) -> Iterator[str]:
    at, seen = 0, 0
    while at < len(text) and seen < _LOOKED_AT:
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        line = text[at : min(end, at + _MOST_IN_A_LINE + 1)]
        if len(line) > _MOST_IN_A_LINE and text[at:end].strip(' \t\r,;|"'):
            raise InputError(
                f"{called} has a line of {end - at:,} characters.",
                field="file",
                likely="It is no list, or its lines end with a sign of another kind.",
                hint="Keep the columns group_id and account_id alone.",
            )
        at = end + 1
        if line.strip(' \t\r,;|"'):
            seen += 1
            yield line


def _parse(text: str, delimiter: str, skipped: int, called: str, lines: int) -> Rows:
    rows: Rows = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    before = filled = 0
    try:
        for cells in reader:
            line, before = before + 1 + skipped, reader.line_num
            has = any(map(str.strip, cells))
            if len(cells) > MOST_CELLS and has:
                raise InputError(
                    f"Line {line} of {called} has {len(cells):,} cells.",
                    field="file",
                    likely="It is no list of groups and accounts.",
                    hint=f"Keep the columns that are needed; {MOST_CELLS:,} are the most.",
                )
            filled += has
            rows.append((line, cells))
            # A header, and some lines of titles, are no memberships; empty lines are forgiven, but not without end.
            if filled > MAX_ROWS + _LOOKED_AT or len(rows) > 4 * MAX_ROWS:
                raise too_many(called, lines, "file")
    except csv.Error as error:
        raise InputError(
            f"{called} breaks off in the record that starts at line {before + 1 + skipped}: {error}.",
            field="file",
            likely="Probably a quotation mark is opened there and never closed.",
            hint='Close it, or double a quotation mark that belongs to a name ("").',
        ) from None
    return rows


# -- workbooks ---------------------------------------------------------------------------------------------------------


def _workbook(data: bytes, called: str, notes: list[str]) -> Rows:
    broken = InputError(
        f"{called} is an Excel workbook that cannot be read.",
        field="file",
        likely="It is cut off or damaged, or no workbook at all.",
        hint='Open it in Excel and save it again, or choose "CSV UTF-8".',
    )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            unpacked = sum(part.file_size for part in parts.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise broken from None
    if unpacked > _MOST_UNPACKED:
        raise InputError(
            f"{called} unpacks to {unpacked / 1e6:,.0f} MB.",
            field="file",
            likely="It holds far more than a list of groups and accounts.",
            hint="Keep one sheet with the columns that are needed.",
        )
    import warnings

    try:
        import openpyxl

        with warnings.catch_warnings():
            # About drop-down lists and the like, which a list does without.
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            sheets = book.sheetnames
            rows = _sheet(book, called)
            book.close()
    except InputError:
        raise
    except Exception:  # noqa: BLE001 - a damaged workbook ends in whatever its parser meets
        raise broken from None
    if len(sheets) > 1:
        notes.append(f"The sheet “{sheets[0][:60]}” was read, the first of {len(sheets)}.")
    return rows


def _sheet(book: Any, called: str) -> Rows:
    sheet = book[book.sheetnames[0]]
    if hasattr(sheet, "reset_dimensions"):
        # What a workbook says of its own size is not always true.
        sheet.reset_dimensions()
    rows: Rows = []
    filled = 0
    for number, line in enumerate(sheet.iter_rows(values_only=True), start=1):
        if len(line) > MOST_CELLS:
            line = line[:MOST_CELLS]
        cells = ["" if cell is None else _cell(cell) for cell in line]
        has = any(cell.strip() for cell in cells)
        filled += has
        if filled > MAX_ROWS + _LOOKED_AT:
            raise too_many(
                called, number + sum(1 for _ in sheet.iter_rows(min_row=number + 1, values_only=True)), "file"
            )
        if has or len(rows) < MAX_ROWS:
            rows.append((number, cells))
    return rows


def _cell(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
