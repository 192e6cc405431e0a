"""The rows of a workbook, written into its sheets as text: a cell object for each costs six times as much."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

from openpyxl.utils import get_column_letter

from spokekit._foreign import CELL, shown

_END = b"</sheetData>"


def with_rows(book: bytes, bodies: Mapping[int, Iterable[tuple[Any, ...]]]) -> bytes:
    """Return the workbook `book` with rows below the only row that some of its sheets have.

    Parameters
    ----------
    bodies:
        By the number of the sheet, from 1 on: rows of texts, numbers, truth values and None (an empty cell). Every
        text becomes a text cell, whatever it begins with.
    """
    sink = io.BytesIO()
    paths = {f"xl/worksheets/sheet{number}.xml": rows for number, rows in bodies.items()}
    with zipfile.ZipFile(io.BytesIO(book)) as made, zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as whole:
        for part in made.infolist():
            data = made.read(part)
            if part.filename not in paths:
                whole.writestr(part, data, zipfile.ZIP_DEFLATED)
                continue
            before, end, after = data.partition(_END)
            with whole.open(part.filename, "w", force_zip64=True) as sheet:
                sheet.write(before)
                for line in _lines(paths[part.filename]):
                    sheet.write(line)
                sheet.write(end + after)
    return sink.getvalue()


def _lines(rows: Iterable[tuple[Any, ...]]) -> Iterator[bytes]:
    letters: list[str] = []
    for number, row in enumerate(rows, 2):
        if len(letters) < len(row):
            letters = [get_column_letter(column) for column in range(1, len(row) + 1)]
        cells = [_cell(f"{letter}{number}", value) for letter, value in zip(letters, row, strict=False)]
        yield f'<row r="{number}">{"".join(cells)}</row>'.encode()


def _cell(place: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{value:d}</v></c>'
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return f'<c r="{place}" t="n"><v>{value!r}</v></c>'
    text = escape(shown(value, CELL), quote=False).replace("\r", "&#13;")
    keep = ' xml:space="preserve"' if text != text.strip() or "\n" in text else ""
    return f'<c r="{place}" t="inlineStr"><is><t{keep}>{text}</t></is></c>'
