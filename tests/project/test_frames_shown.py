"""One table for all frames: the order of columns, words for codes, times of the person, unknown instead of 0."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from spokekit._frames import cell, human, markup, shown
from spokekit.audit.show import export
from spokekit.widgets import GroupTable
from spokekit.widgets.controls import html_table

ACCOUNT = "712020:0c8f5b7e-1111-4222-8333-944445555666"


@pytest.fixture(autouse=True)
def _in_calcutta(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def frame() -> pd.DataFrame:
    """A frame with every kind of column; the group is called like a code."""
    return pd.DataFrame(
        {
            "account_id": [ACCOUNT, ""],
            "group_name": ["ADMINS", "b<b>"],
            "managed_by": pd.Series(["ADMINS", "EXTERNAL"], dtype="category"),
            "usage_type": ["USERBASE_GROUP", "TEAM_COLLABORATION"],
            "members": pd.Series([1234, None], dtype="Int64"),
            "licensed": [True, False],
            "seen_at": pd.to_datetime(["2026-03-02T20:00:00Z", None]),
        }
    )


def test_columns_words_numbers_and_times(frame: pd.DataFrame) -> None:
    table = shown(frame)
    assert table.heads == ("group name", "managed by", "usage type", "members", "licensed", "seen at", "account id")
    assert table.rows[0] == ("ADMINS", "administrators", "group", "1,234", "yes", "2026-03-03 01:30 IST", ACCOUNT)
    assert table.rows[1] == ("b<b>", "identity provider", "team", "unknown", "no", "", "")
    assert table.numbers == {3} and table.caption == "2 rows"
    assert shown(frame, most=1, rest="more in the file").caption == "The first 1 of 2 rows; more in the file"
    assert cell("x", 0) == "0" and cell("x", 2.0) == "2" and cell("x", 2.25) == "2.2"
    assert human("group_name", "EXTERNAL") == "EXTERNAL", "a name is no code"


def test_every_screen_and_file_says_the_same(frame: pd.DataFrame, tmp_path: Path) -> None:
    from openpyxl import load_workbook

    frame.attrs["question"] = frame.attrs["title"] = "Who?"
    about = export.About("T", "S", datetime(2026, 3, 2, 20, tzinfo=UTC), "me", "all", "Complete.")
    page = export.to_html({"a": frame}, tmp_path / "a.html", about).read_text()
    component = GroupTable(frame)._place.value
    for said in (page, component, markup(frame)):
        assert said.index("group name") < said.index("account id")
        for words in ("administrators", "identity provider", "1,234", "unknown", "2026-03-03 01:30 IST", "b&lt;b&gt;"):
            assert words in said, words
        assert "EXTERNAL" not in said and "USERBASE" not in said
    sheet = load_workbook(export.to_xlsx({"a": frame}, tmp_path / "a.xlsx", about))["a"]
    heads, first, second = sheet.iter_rows()
    assert [one.value for one in heads][-1] == "account id"
    assert [one.value for one in first][:4] == ["ADMINS", "administrators", "group", 1234]
    assert second[3].value == "unknown"
    assert heads[3].alignment.horizontal == "right" and heads[0].alignment.horizontal != "right"


def test_a_table_stands_right_folds_and_copies() -> None:
    made = html_table(("name", "members", "account id"), [(f"n{i}", i, ACCOUNT) for i in range(30)], numbers=(1,))
    assert "<th scope='col' class=sk-number>members</th>" in made and "<th scope='col'>name</th>" in made
    assert made.count("<tr class=sk-rest>") == 10 and "Show all 30 rows" in made
    assert f"data-sk-copy='{ACCOUNT}'" in made and ">712020…5666<" in made
    assert "sk-more" not in html_table(("name",), [("a",)])
    evil = html_table(("group id",), [("' onclick='x",)])
    assert "' onclick='x" not in evil
