"""The cells of a sheet of an Excel workbook, and the texts that its sheets share, read from their XML piece by piece.

openpyxl makes several objects of each cell, which takes ten times as long; it is still asked what a number means that
is formatted as a date. What a part holds is counted while it is read: one that holds more than a list can is counted
to its end, and none of it is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import IO, Any
from xml.parsers import expat

from spokekit._lists.bounds import (
    LOOKED_AT,
    MAX_ROWS,
    MOST_CELLS,
    MOST_IN_ALL,
    Kind,
    Rows,
    check_width,
    too_many,
    too_much,
)

_PIECE = 1 << 18
# Excel's own.
_LAST_ROW = 1_048_576
_LETTERS = re.compile(r"[A-Za-z]{1,3}")

Means = Callable[[str, str], str]
"""What a number means that has a style: both as they stand in the file."""


def read(part: IO[bytes], reader: Texts | Sheet) -> None:
    """Let `reader` see a part; raises what it raises, and `ValueError` or expat's error for what is no such part."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.data
    parser.StartDoctypeDeclHandler = _refuse
    while piece := part.read(_PIECE):
        parser.Parse(piece, False)
    parser.Parse(b"", True)


def _refuse(*_: Any) -> None:
    # No workbook declares entities; a bomb does.
    raise ValueError


class Texts:
    """The texts that the sheets of a workbook share, in their order; only counted, unless they are to be held.

    A text is plain, or in runs of several formats; how it is pronounced is left out.
    """

    def __init__(self, called: str, kind: Kind, *, hold: bool) -> None:
        self.texts: list[str] = []
        self._called = called
        self._kind = kind
        self._hold = hold
        self._count = 0
        self._pieces: list[str] = []
        self._taking = self._spoken = False

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        """See an element begin."""
        name = name.rpartition(":")[2]
        if name == "si":
            self._count += 1
            if self._count > MOST_IN_ALL:
                raise too_much(self._called, self._count, self._kind)
        elif name == "t":
            self._taking = self._hold and not self._spoken
        elif name == "rPh":
            self._spoken = True

    def end(self, name: str) -> None:
        """See an element end."""
        name = name.rpartition(":")[2]
        if name == "t":
            self._taking = False
        elif name == "rPh":
            self._spoken = False
        elif name == "si" and self._hold:
            # Excel's own escape of what looks like an escape.
            self.texts.append("".join(self._pieces).replace("x005F_", ""))
            self._pieces.clear()

    def data(self, text: str) -> None:
        """See text."""
        if self._taking:
            self._pieces.append(text)


class Sheet:
    """The filled rows of a sheet in ``rows``, and the empty ones between them as far as they are few.

    ``known`` says whether one of the first filled rows is a header. `start`, `end` and `data` are called for each cell
    several times: what they do stands in them, since a further call would cost as much as the work.
    """

    def __init__(self, called: str, kind: Kind, texts: Sequence[str], means: Means) -> None:
        self.rows: Rows = []
        self.known = False
        self.filled = self._width = 0
        self._called = called
        self._kind = kind
        self._texts = texts
        self._means = means
        self._columns: dict[str, int] = {}
        self._row = self._column = self._in_row = self._cells = 0
        self._type = self._style = ""
        self._inline = self._spoken = self._taking = self._has = False
        self._pieces: list[str] = []
        self._read: str | None = None
        self._line: list[str] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """See an element begin."""
        if ":" in name:
            name = name.rpartition(":")[2]
        if name == "c":
            self._in_row += 1
            if self._in_row > MOST_CELLS:
                check_width(self._in_row, self._row, self._called, self._kind)
            self._type = attributes.get("t", "n")
            self._style = attributes.get("s", "")
            letters = attributes.get("r", "").rstrip("0123456789")
            self._column = self._columns.get(letters) or self._number(letters)
        elif name == "t":
            self._taking = self._inline and not self._spoken
        elif name in ("v", "is"):
            if not self._has:
                self._has = True
                self.filled += 1
            if self._column > self._width:
                check_width(self._column, self._row, self._called, self._kind)
                self._width = self._column
            self._inline = name == "is"
            self._taking = not self._inline
        elif name == "row":
            self._row = _whole(attributes.get("r", "")) or self._row + 1
            self._column = self._in_row = 0
            self._line, self._has = [], False
            if self._row > _LAST_ROW:
                raise ValueError
        elif name == "rPh":
            self._spoken = True

    def end(self, name: str) -> None:
        """See an element end."""
        if ":" in name:
            name = name.rpartition(":")[2]
        if name == "t":
            self._taking = False
        elif name == "c":
            if (text := self._read) is not None:
                self._read = None
                line, column = self._line, self._column
                if column == len(line) + 1:
                    line.append(text)
                else:
                    line += [""] * (column - len(line))
                    line[column - 1] = text
        elif name in ("v", "is"):
            text = "".join(self._pieces)
            self._pieces.clear()
            self._taking = self._inline = False
            if (self._type == "inlineStr") == (name == "is") and (text or name == "is"):
                self._read = text if name == "is" else self._said(text)
        elif name == "row":
            self._end_row()
        elif name == "rPh":
            self._spoken = False

    def data(self, text: str) -> None:
        """See text."""
        if self._taking:
            self._pieces.append(text)

    def check(self) -> None:
        """Make all rows as long as the longest; raises `InputError` when there is more than a list may hold."""
        if self.filled > MAX_ROWS + LOOKED_AT:
            raise too_many(self._called, self.filled, "file", self._kind)
        if self._too_much():
            raise too_much(self._called, self.filled, self._kind)
        for _, cells in self.rows:
            if cells:
                cells += [""] * (self._width - len(cells))

    # -- inside --------------------------------------------------------------------------------------------------------

    def _number(self, letters: str) -> int:
        said = _LETTERS.match(letters)
        if not said:
            # A cell that does not say where it is stands beside the last one.
            return self._column + 1
        found = 0
        for letter in said[0].upper():
            found = found * 26 + ord(letter) - 64
        self._columns[letters] = found
        return found

    def _too_much(self) -> bool:
        return self.filled * self._width > MOST_IN_ALL or self._cells > 2 * MOST_IN_ALL

    def _said(self, text: str) -> str:
        kind = self._type
        if kind == "s":
            return self._texts[int(text)]
        if kind in ("n", "d"):
            return self._means(text, self._style if kind == "n" else kind)
        if kind == "b":
            return str(bool(int(text)))
        return text

    def _end_row(self) -> None:
        self._cells += self._in_row
        if not self._line:
            return
        if self.filled > MAX_ROWS + LOOKED_AT or self._too_much():
            self.rows.clear()
            return
        last = self.rows[-1][0] if self.rows else 0
        if self._row <= last:
            return
        for number in range(last + 1, min(self._row, last + 1 + MAX_ROWS - len(self.rows))):
            self.rows.append((number, []))
        self.rows.append((self._row, self._line))
        if not self.known and self.filled <= LOOKED_AT:
            self.known = bool(self._kind.known(self._line))


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 12 else 0
