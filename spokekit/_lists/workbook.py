"""The rows of a list in an Excel workbook.

A workbook is a packed file, so a small one may hold more than memory does. Its parts are unpacked piece by piece and
counted while they are read (`spokekit._lists.sheet`); openpyxl says which sheets there are, and which styles are dates.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

from spokekit._lists.bounds import MOST_IN_ALL, Kind, Rows
from spokekit._lists.sheet import Means, Sheet, Texts, read
from spokekit.errors import InputError

_MOST_UNPACKED = 250_000_000
# Styles, names, relations: these are held whole, and none of a list is longer.
_MOST_BESIDES = 20_000_000
_MOST_SHEETS = 50
# The parts that hold a row or a text for each line.
_MANY = re.compile(r"worksheets/[^/]+\.xml$|sharedStrings[^/]*\.xml$")


def rows_of_workbook(data: bytes, called: str, kind: Kind, notes: list[str]) -> Rows:
    """Return the rows of the first sheet that has a header, or else of the first one that is not empty.

    Raises `InputError` when it cannot be read, or holds more than a list can.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            _check_sizes(parts, called, kind)
            with warnings.catch_warnings():
                # About drop-down lists and the like, which a list does without.
                warnings.simplefilter("ignore")
                return _chosen(parts, data, called, kind, notes)
    except InputError:
        raise
    except Exception:  # noqa: BLE001 - a damaged workbook ends in whatever its parser meets
        raise InputError(
            f"{called} is an Excel workbook that cannot be read.",
            field="file",
            likely="It is cut off or damaged, or no workbook at all.",
            hint='Open it in Excel and save it again, or choose "CSV UTF-8".',
        ) from None


def _check_sizes(parts: zipfile.ZipFile, called: str, kind: Kind) -> None:
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


def _chosen(parts: zipfile.ZipFile, data: bytes, called: str, kind: Kind, notes: list[str]) -> Rows:
    sheets, shared, means = _structure(data)
    texts = _texts(parts, shared, called, kind) if shared else []
    first: tuple[int, Sheet] | None = None
    chosen: tuple[int, Sheet] | None = None
    inside = set(parts.namelist())
    for number, (_, path) in enumerate(sheets[:_MOST_SHEETS], start=1):
        if path not in inside:
            # A chart, or what a damaged workbook has lost.
            continue
        sheet = Sheet(called, kind, texts, means)
        with parts.open(path) as part:
            read(part, sheet)
        sheet.check()
        if chosen is None and sheet.known:
            chosen = number, sheet
        first = first or ((number, sheet) if sheet.filled else None)
    chosen = chosen or first
    if chosen is None:
        return []
    number, sheet = chosen
    if len(sheets) > 1:
        which = "the first" if number == 1 else f"number {number}"
        notes.append(f"The sheet “{sheets[number - 1][0][:60]}” was read, {which} of {len(sheets)}.")
    return sheet.rows


def _texts(parts: zipfile.ZipFile, shared: str, called: str, kind: Kind) -> list[str]:
    # So many that they would be too many are counted before one of them is held.
    large = parts.getinfo(shared).file_size > MOST_IN_ALL * len("<si/>")
    for hold in (False, True) if large else (True,):
        texts = Texts(called, kind, hold=hold)
        with parts.open(shared) as part:
            read(part, texts)
    return texts.texts


def _structure(data: bytes) -> tuple[list[tuple[str, str]], str, Means]:
    """Return the title and part of each sheet, the part of the shared texts ("": none), and what numbers mean."""
    from openpyxl.reader.excel import SHARED_STRINGS, ExcelReader
    from openpyxl.styles.stylesheet import apply_stylesheet

    # Its own way of reading a workbook reads every sheet once for its size alone.
    reader = ExcelReader(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
    try:
        reader.read_manifest()
        reader.read_workbook()
        apply_stylesheet(reader.archive, reader.wb)
        shared = reader.package.find(SHARED_STRINGS)
        sheets = [
            (str(sheet.name), "" if "chartsheet" in rel.Type else str(rel.target))
            for sheet, rel in reader.parser.find_sheets()
        ]
    finally:
        reader.archive.close()
    return sheets, shared.PartName[1:] if shared is not None else "", _meaning(reader.wb)


def _meaning(book: Any) -> Callable[[str, str], str]:
    from openpyxl.utils.datetime import from_excel, from_ISO8601

    dates = {str(style) for style in book._date_formats}
    spans = {str(style) for style in book._timedelta_formats}

    def means(text: str, style: str) -> str:
        if style == "d":
            return str(from_ISO8601(text))
        number = float(text) if "." in text or "e" in text or "E" in text else int(text)
        if (style or "0") in dates:
            try:
                return str(from_excel(number, book.epoch, timedelta=style in spans))
            except (OverflowError, ValueError):
                return "#VALUE!"
        if isinstance(number, float) and number.is_integer():
            number = int(number)
        return str(number)

    return means
