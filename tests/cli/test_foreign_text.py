"""Hostile names by every way out: nothing unseen is passed on, nothing is changed unseen, data comes back exact."""

from __future__ import annotations

import csv
import io
import json
import logging
import sys
import unicodedata
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spokekit._foreign import CELL, encodable, in_json, markup, shown
from spokekit._frames import guard_formula
from spokekit._http import clean
from spokekit._secret import ScrubFilter
from spokekit.audit.show.export import About, to_csv, to_html, to_parquet, to_xlsx
from spokekit.audit.show.picture import short
from spokekit.cli._output import emit, out, say
from spokekit.errors import SpokekitError
from spokekit.groups import wishes
from spokekit.oauth.page import answer_page
from spokekit.widgets.base import Component
from spokekit.widgets.controls import choices, html_table, note, status_line
from spokekit.widgets.picker_model import PickerModel

LONG = 70_000

HOSTILE = {
    "bell": "a\x07b", "nul": "a\x00b", "backspace": "a\x08b", "clear the screen": "a\x1b[2Jb", "colour": "\x1b[31mred",
    "C1 control": "a\x9b31mb", "window title": "\x1b]0;owned\x07b", "C1 title": "\x9d0;owned\x9cb",
    "link": "\x1b]8;;https://evil.example\x1b\\press\x1b]8;;\x1b\\", "clipboard": "\x1b]52;c;ZXZpbA==\x07",
    "delete": "a\x7fb", "carriage return": "good\revil", "line": "one\ntwo", "two lines": "one\r\ntwo", "tab": "a\tb",
    "vertical tab": "a\x0bb", "form feed": "a\x0cb", "next line": "a\x85b", "line separator": "a\u2028b",
    "paragraph separator": "a\u2029b", "right to left": "a\u202ecod.exe", "left to right": "a\u202db",
    "embedding": "a\u202bb\u202c", "isolate": "a\u2067b\u2069", "marks": "a\u200fb\u200e\u061c",
    "zero-width space": "ad\u200bmin", "joiner": "ad\u200dmin", "non-joiner": "ad\u200cmin", "word joiner": "a\u2060b",
    "byte order mark": "\ufeffadmin", "soft hyphen": "ad\u00admin", "filler": "\u3164", "half width filler": "a\uffa0b",
    "grapheme joiner": "a\u034fb", "selector": "a\ufe0fb", "tag": "a\U000e0041b", "variation": "a\U000e0100b",
    "braille blank": "a\u2800b", "annotation": "a\ufff9b", "half": "a\ud83d",
    "other half": "\ude00b", "no sign": "a\uffffb",
    "formula": "=HYPERLINK(1)", "hidden formula": "\u200b=1+1", "html": "<script>alert(1)</script>&amp;'\"",
    "long": "x" * LONG, "long and hostile": "\u202e" * LONG,
}  # fmt: skip
INNOCENT = [
    "Gr\u00fc\u00dfe", "\u65e5\u672c\u8a9e", "a\u00a0b", "e\u0301", "O\u2019Neil \u2013 x", "\u2764\ufe0f",
    "1\ufe0f\u20e3",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u0645\u06cc\u200c\u062e\u0648", "\u0915\u094d\u200d\u0937",
]  # fmt: skip
NAMES = list(HOSTILE.values())
KEPT = {"\n"}


def unseen(text: str, but: str = "") -> set[str]:
    """The signs of a text that a person cannot see, by a rule of this test's own."""
    kinds = ("Cc", "Cf", "Cs", "Zl", "Zp")
    shapeless = set("\u034f\u3164\uffa0\u2800\uffff\ufff9\U000e0041\U000e0100\u202e\u200b")
    return {c for c in text if c not in but and (unicodedata.category(c) in kinds or c in shapeless)}


@pytest.mark.parametrize("name", NAMES, ids=list(HOSTILE))
def test_shown_has_nothing_unseen_and_says_what_was_there(name: str) -> None:
    text = shown(name)
    assert not unseen(text)
    for sign in unseen(name):
        assert f"{ord(sign):04x}" in text or repr(sign)[1:-1] in text
    assert shown(text) == text
    short_form = shown(name, 400)
    assert len(short_form) <= 400
    assert (f"({len(name):,} characters)" in short_form) is (len(name) >= 400)


@pytest.mark.parametrize("name", INNOCENT)
def test_what_people_write_stays_as_it_is(name: str) -> None:
    assert (
        shown(name, 400)
        == name
        == clean(name.replace("\u00a0", " ")).replace(" ", "\u00a0" if "\u00a0" in name else " ")
    )


@given(st.text(st.characters(exclude_categories=()), max_size=60), st.integers(20, 50))
def test_any_text_is_shown_without_what_is_obeyed_and_no_longer_than_asked(text: str, most: int) -> None:
    assert not {c for c in shown(text) if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")}
    assert not {c for c in shown(text) if unicodedata.category(c) == "Cf"} - set("\u200c\u200d")
    assert len(shown(text, most)) <= most
    # Two halves side by side are one character in JSON, and in every file.
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    assert json.loads(in_json(json.dumps(text, ensure_ascii=False))) == whole
    encodable(text).encode()


def _frame() -> pd.DataFrame:
    return pd.DataFrame({"group_id": [f"g{n}" for n in range(len(NAMES))], "name": NAMES}, dtype=object)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("format_", ["table", "csv", "json"])
def test_a_terminal_gets_nothing_that_it_obeys(format_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = _Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    emit(_frame(), format_)
    for name in NAMES:
        say(name.replace("\n", ""))
        out(name.replace("\n", "").replace("\t", ""))
    text = screen.getvalue()
    assert not unseen(text, "\n")
    if format_ == "table":
        table = text.splitlines()[: len(NAMES) + 2]
        assert max(len(line) for line in table) < 500
        assert "(70,000 characters)" in text
        assert len(table[1]) < 120, "one long name widens no other row"


def test_a_file_gets_csv_and_json_exactly(capsys: pytest.CaptureFixture[str]) -> None:
    emit(_frame(), "json")
    printed = capsys.readouterr().out
    assert [row["name"] for row in json.loads(printed)] == NAMES
    assert not unseen(printed, "\n")
    emit(_frame(), "csv")
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out, newline="")))
    assert [row[1] for row in rows[1:]] == [encodable(guard_formula(name)) for name in NAMES]


class _Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)


def test_no_html_holds_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    about = About("Title \u202e", "Site \x1b[1m", pd.Timestamp("2026-01-01", tz="UTC").to_pydatetime(), "me", "", "")
    pages = [to_html({"q": _frame()}, tmp_path / "a.html", about).read_text("utf-8")]
    pages += [html_table(["name"], [[name] for name in NAMES])]
    for name in NAMES:
        component = Component("")
        component.say(name)
        pages += [
            component._status_html.value,
            component.status,
            note(name).value,
            status_line(name, "error", hint=name),
        ]
        component.show_error(SpokekitError(name, likely=name, hint=name))
        pages += [component._status_html.value, component.status, answer_page("refused", name)[0], markup(name)]
        component.close()
    for page in pages:
        assert not unseen(unescape(page), "\n")
        cells = _Cells()
        cells.feed(page)
        assert "alert(1)" not in page or "&lt;script&gt;" in page or "<script>" in unescape(page) != page
        assert len(page) < LONG or page is pages[0] or page is pages[1]
    assert not [page for page in pages[:2] if "x" * 500 in page]


def test_labels_are_shown_and_values_stay(tmp_path: Path) -> None:
    groups = _frame().assign(access="", managed_by="", usage_type="")
    model = PickerModel(groups)
    pairs = choices((model.label(i), i) for i in model.lines)
    assert [value for _, value in pairs] == list(model.lines)
    assert {line.name for line in model.lines.values()} == set(NAMES)
    for label, _ in pairs:
        assert not unseen(label) and len(label) <= 400
    for name in NAMES:
        assert not unseen(short(name)) and not unseen(clean(name))


def test_errors_and_logs_show_them_too() -> None:
    for name in NAMES:
        error = SpokekitError(f"The group {name} is gone.", likely=name, hint=name)
        assert not unseen(str(error), "\n") and not unseen(repr(error), "\n") and len(str(error)) < 13_000
        record = logging.LogRecord("spokekit", logging.INFO, "x", 1, "The group %s", (name,), None)
        ScrubFilter().filter(record)
        assert not unseen(record.getMessage(), "\n\t")


def test_files_for_people_and_for_programs(tmp_path: Path) -> None:
    import openpyxl
    import pyarrow.parquet as pq

    about = About("Title", "Site", pd.Timestamp("2026-01-01", tz="UTC").to_pydatetime(), "me", "", "")
    frame = _frame()
    book = openpyxl.load_workbook(to_xlsx({"q": frame}, tmp_path / "a.xlsx", about))
    at = [cell.value for cell in next(book["q"].iter_rows(max_row=1))].index("name")
    cells = [str(row[at].value) for row in book["q"].iter_rows(min_row=2)]
    for name, cell in zip(NAMES, cells, strict=True):
        assert not unseen(cell) and len(cell) <= CELL
        assert cell == shown(name, CELL)
    assert all(row[at].data_type != "f" for row in book["q"].iter_rows(min_row=2))
    written = csv.reader(io.StringIO(to_csv(frame, tmp_path / "a.csv").read_bytes().decode("utf-8-sig"), newline=""))
    assert [row[1] for row in written][1:] == [encodable(guard_formula(name)) for name in NAMES]
    assert pq.read_table(to_parquet(frame, tmp_path / "a.parquet"))["name"].to_pylist() == [encodable(n) for n in NAMES]
    read = csv.reader(io.StringIO(wishes.to_csv(frame, tmp_path / "b.csv"), newline=""))
    assert [row[1] for row in read][1:] == [encodable(guard_formula(name)) for name in NAMES]
