"""The rows of a list file, whatever wrote it: CSV with any separator and encoding, or an Excel workbook.

Read within bounds: what is longer than a list can be is refused before it is in memory, with its true length.
"""

from __future__ import annotations

import csv
import io
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spokekit._lists.bounds import (
    LOOKED_AT,
    MAX_BYTES,
    MAX_ROWS,
    MOST_IN_ALL,
    Kind,
    Rows,
    check_width,
    too_many,
    too_much,
)
from spokekit._lists.workbook import rows_of_workbook
from spokekit.errors import InputError

_MOST_IN_A_LINE = 200_000
_MOST_COUNTED = 2_000_000_000
DELIMITERS = (",", ";", "\t", "|")
_WORDS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_HEADER = 10_000
# So much of a file is looked through for its header; empty lines before it are forgiven, but not without end.
_MOST_TITLES = 1_000_000


def rows_of(source: str | Path | bytes, called: str, kind: Kind, notes: list[str]) -> Rows:
    """Return the lines of a file with their numbers; liberties that were taken go to `notes`.

    Raises `InputError` when the file as a whole cannot be read.
    """
    data = source if isinstance(source, bytes) else _content(Path(source), called, kind)
    if len(data) > MAX_BYTES:
        raise _too_large(called, len(data), data.count(b"\n") + (not data.endswith(b"\n")), kind)
    if data.startswith(b"PK\x03\x04"):
        return rows_of_workbook(data, called, kind, notes)
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
    lines = text.count("\n") + (not text.endswith("\n"))
    delimiter, text, skipped = _delimiter(text, kind, notes, called)
    return _parse(text, delimiter, skipped, called, lines, kind)


def _too_large(called: str, size: int, lines: int | None, kind: Kind) -> InputError:
    counted = "" if lines is None else f", {lines:,} lines"
    return InputError(
        f"{called} has more than {MAX_BYTES / 1e6:,.0f} MB ({size / 1e6:,.0f} MB{counted}).",
        field="file",
        likely=f"Probably it holds more than a list of {kind.holds}.",
        hint=f"Keep {kind.keep} alone, or split the file.",
    )


def _content(path: Path, called: str, kind: Kind) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
            if len(data) <= MAX_BYTES:
                return data
            # The rest is counted piece by piece, where it has an end that is near enough.
            about = os.fstat(file.fileno())
            size = about.st_size if stat.S_ISREG(about.st_mode) else 0
            lines = _count_lines(file, data) if 0 < size < _MOST_COUNTED else None
    except FileNotFoundError:
        raise InputError(f"There is no file {path}.", field="file", hint="Check the name and the folder.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{called} cannot be read: {reason}.", field="file") from None
    raise _too_large(called, max(size, len(data)), lines, kind)


def _count_lines(file: Any, piece: bytes) -> int:
    found, last = 0, piece
    while piece:
        found += piece.count(b"\n")
        last = piece
        piece = file.read(1 << 20)
    return found + (not last.endswith(b"\n"))


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
    if b"\0" in data and (text := _wide(data)):
        notes.append(f"{called} says nothing of its encoding and was read as UTF-16.")
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


def _wide(data: bytes) -> str:
    """Return a text in UTF-16 that lacks its mark, or nothing."""
    some = data[:2000]
    low, high = some[1::2].count(0), some[0::2].count(0)
    if len(data) % 2 or max(low, high) < len(some) // 4 or min(low, high) > len(some) // 50:
        return ""
    try:
        text = data.decode("utf-16-le" if low > high else "utf-16-be")
    except UnicodeDecodeError:
        return ""
    return "" if "\0" in text else text


def _delimiter(text: str, kind: Kind, notes: list[str], called: str) -> tuple[str, str, int]:
    """Choose the separator that makes a header known; returns it, the text to parse, and the lines cut off."""
    first, _, rest = text.partition("\n")
    told = re.fullmatch(r"sep=(.)\r?", first[:10], re.IGNORECASE)
    if told:
        return told.group(1), rest, 1
    best, most = ",", (0, 1)
    for line in _first_lines(text, called, kind):
        for delimiter in DELIMITERS:
            cells = next(csv.reader(io.StringIO(line[:_HEADER], newline=""), delimiter=delimiter), [])
            found = (kind.known(cells), len(cells))
            if found > most:
                best, most = delimiter, found
    if best != ",":
        notes.append(f"The cells are separated by {_WORDS[best]}.")
    return best, text, 0


def _first_lines(text: str, called: str, kind: Kind) -> Iterator[str]:
    at, seen = 0, 0
    while at < min(len(text), _MOST_TITLES) and seen < LOOKED_AT:
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        line = text[at : min(end, at + _MOST_IN_A_LINE + 1)]
        if len(line) > _MOST_IN_A_LINE and text[at:end].strip(' \t\r,;|"'):
            raise InputError(
                f"{called} has a line of {end - at:,} characters.",
                field="file",
                likely="It is no list, or its lines end with a sign of another kind.",
                hint=f"Keep {kind.keep} alone.",
            )
        at = end + 1
        if line.strip(' \t\r,;|"'):
            seen += 1
            yield line


def _lines_of(text: str) -> Iterator[str]:
    # One line after the other, so that the text is not in memory once more.
    at = 0
    while at < len(text):
        end = text.find("\n", at) + 1 or len(text)
        yield text[at:end]
        at = end


def _parse(text: str, delimiter: str, skipped: int, called: str, lines: int, kind: Kind) -> Rows:
    rows: Rows = []
    reader = csv.reader(_lines_of(text), delimiter=delimiter, strict=True)
    before = filled = held = 0
    try:
        for cells in reader:
            line, before = before + 1 + skipped, reader.line_num
            has = any(map(str.strip, cells))
            if has:
                check_width(len(cells), line, called, kind)
            else:
                cells = []
            filled += has
            held += len(cells)
            rows.append((line, cells))
            # A header, and some lines of titles, are no memberships; empty lines are forgiven, but not without end.
            if filled > MAX_ROWS + LOOKED_AT or len(rows) > 4 * MAX_ROWS:
                raise too_many(called, lines, "file", kind)
            if held > MOST_IN_ALL:
                raise too_much(called, lines, kind)
    except csv.Error as error:
        raise InputError(
            f"{called} breaks off in the record that starts at line {before + 1 + skipped}: {error}.",
            field="file",
            likely="Probably a quotation mark is opened there and never closed.",
            hint='Close it, or double a quotation mark that belongs to a name ("").',
        ) from None
    return rows
