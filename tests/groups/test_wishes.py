"""Lists come from many hands: each kind of bad file has a sentence, and a bad line never vanishes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spokekit.errors import InputError
from spokekit.groups import wishes
from spokekit.groups.wishes import Wish, for_accounts, from_frame, from_pasted, read_csv, to_csv

GOOD = (Wish("g-1", "a-1", 2), Wish("g-1", "a-2", 3))


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (b"group_id,account_id\ng-1,a-1\ng-1,a-2\n", ""),
        (b"\xef\xbb\xbfgroup_id,account_id\r\ng-1,a-1\r\ng-1,a-2\r\n", ""),
        ("group_id,account_id\ng-1,a-1\ng-1,a-2".encode("utf-16"), ""),
        (b"group_id;account_id\ng-1;a-1\ng-1;a-2\n", "separated by semicolons"),
        (b"sep=;\ngroup_id;account_id\ng-1;a-1\ng-1;a-2\n", ""),
        (b"Group ID\tAccount-Id\ng-1\ta-1\ng-1\ta-2\n", "separated by tabs"),
        (b'"group_id","account_id"\n"g-1","a-1"\n"g-1","a-2"\n', ""),
        (b"note,account_id,group_id\n,a-1,g-1\n\xe9t\xe9,a-2,g-1\n", "Windows-1252"),
    ],
    ids=["plain", "bom", "utf-16", "semicolons", "excel-sep", "tabs", "quotes", "windows-1252"],
)
def test_files_of_many_programs_mean_the_same(data: bytes, note: str) -> None:
    read = read_csv(data, name="list.csv")
    assert [(w.group, w.account, w.problem) for w in read.wishes] == [(w.group, w.account, "") for w in GOOD]
    assert note in " ".join(read.notes)
    assert bool(note) == bool(read.notes)


def test_line_numbers_are_those_of_an_editor_even_below_a_cell_with_a_line_break() -> None:
    read = read_csv(b'name,group_id,account_id\n"two\nlines",g-1,a-1\n\n,g-1,a-2\n')
    assert [wish.line for wish in read.wishes] == [2, 5]
    assert read.notes == ("Not used: the column “name”.", "1 empty line was skipped.")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is empty"),
        (b"\n \n,,\n", "is empty"),
        (b"group_id,account_id\n", "no line below it"),
        (b"account_id\na-1\n", "no column group_id"),
        (b"group_id,name\ng-1,Ada\n", "no column account_id; its first line says: group_id, name"),
        (b"group_id,account_id,Account ID\ng-1,a-1,a-2\n", "account_id twice"),
        (b'group_id,account_id\ng-1,"a-1\ng-1,a-2\n', "breaks off in the record that starts at line 2"),
        (b"PK\x03\x04rest", "Excel workbook"),
        (b"group_id,account_id\ng\x00,a\n", "not a text file"),
        (b"group_id,account_id\ng-1,\x81\x8d\n", "neither UTF-8 nor Windows-1252"),
        ("group_id,account_id\ng-1,a-1\n".encode("utf-32"), "not a text file"),
        (b"group_id," + b"a" * 10_000_000, "has a line of 10,000,009 characters"),
        (b"group_id,account_id\n" + b'"' * 9_000_001, "breaks off in the record that starts at line 2"),
        (b"," * 9_000_000 + b"\n", "is empty"),
    ],
    ids=[
        *("empty", "blank", "header-only", "no-group", "no-account", "twice", "quote", "xlsx", "nul", "encoding"),
        *("utf-32", "one-line-of-10-mb", "quotes", "commas"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(data: bytes, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        read_csv(data, name="list.csv")
    assert sentence in str(caught.value)
    assert "list.csv" in str(caught.value)


def test_what_a_web_page_leaves_at_the_ends_and_a_broken_mark_do_no_harm() -> None:
    read = read_csv("\u200bgroup_id,account_id\ng-1,\u200ba-1\u00a0\n g-1\ufeff,a-2\n".encode())
    assert read.wishes == GOOD
    assert [w.account for w in from_pasted("\u200ba-1\u2060\na-2", "g-1").wishes] == ["a-1", "a-2"]
    broken = read_csv(b"\xef\xbb\xbfgroup_id,account_id,name\ng-1,a-1,B\xfcro\ng-1,a-2,x\n")
    assert broken.wishes == GOOD
    assert "Windows-1252" in broken.notes[0]


def test_half_a_character_is_a_bad_line_and_the_plan_goes_on() -> None:
    """A browser can send one in a pasted list; no request and no fingerprint can carry it."""
    for read in (
        from_pasted("a\ud800\na-2", "g-1"),
        from_frame(pd.DataFrame({"group_id": ["g-1", "g-1"], "account_id": ["a\ud800", "a-2"]}, dtype=object)),
        for_accounts("g-1", ["a\ud800", "a-2"]),
        for_accounts("g-1\udc00", ["a-2"]),
    ):
        assert "cannot be one" in read.wishes[0].problem
        for wish in read.wishes:
            (wish.group + wish.account).encode()
    for strange in ([None], ["a-1", 5], [float("nan")]):
        with pytest.raises(InputError, match="neither an account id nor an address"):
            for_accounts("g-1", strange)  # type: ignore[arg-type]


def test_a_file_that_never_ends_is_not_read_to_its_end(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="more than 32 MB"):
        read_csv("/dev/zero")
    sparse = tmp_path / "list.csv"
    with sparse.open("wb") as file:
        file.truncate(50_000_000_000)
    with pytest.raises(InputError, match=r"list\.csv has more than 32 MB"):
        read_csv(sparse)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file .*nowhere\.csv"):
        read_csv(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('g-1,"=HYPERLINK(""http://x"")"', "Line 2 has a formula where an account belongs"),
        ("g-1,@SUM(A1)", "formula"),
        ("g-1,", "Line 2 names no account"),
        (",a-1", "Line 2 names no group"),
        ("g-1,a-1,Lovelace, Ada", "Line 2 has 4 cells, the header 3"),
        ("g-1," + "a" * 400, "cannot be one"),
        ("g-1,a\u200b1", "characters that nobody sees"),
        ("g-1,\u202ea-1", "characters that nobody sees"),
        ('"g\x071",a-1', "a group that cannot be one"),
        ("g" * 400 + ",a-1", "a group that cannot be one"),
    ],
)
def test_a_bad_line_is_kept_with_its_reason(line: str, sentence: str) -> None:
    read = read_csv(f"group_id,account_id,name\n{line}\ng-1,a-2,x\n".encode())
    assert sentence in read.wishes[0].problem
    assert read.wishes[1] == Wish("g-1", "a-2", 3)


def test_a_hundred_thousand_rows_are_read_and_one_more_is_refused() -> None:
    body = "\n".join(f"g-1,a-{number}" for number in range(wishes.MAX_ROWS))
    assert len(read_csv(f"group_id,account_id\n{body}\n".encode()).wishes) == 100_000
    with pytest.raises(InputError, match="more than 100,000 lines"):
        read_csv(f"group_id,account_id\n{body}\ng-1,x\n".encode())
    with pytest.raises(InputError, match="more than 100,000 lines"):
        from_pasted("\n".join(f"a-{number}" for number in range(wishes.MAX_ROWS + 1)), "g-1")


def test_a_frame_with_gaps_is_a_list_too() -> None:
    frame = pd.DataFrame({"group_id": ["g-1", None], "account_id": ["a-1", "a-2"], "email": ["x@y.z", None]})
    first, second = from_frame(frame).wishes
    assert (first.group, first.account) == ("g-1", "a-1")
    assert "Row 2 names no group" in second.problem


def test_pasted_text_in_any_shape() -> None:
    text = "account_id\n\ufeffa-1, a-2;a-3\t'a-4'\nAda Lovelace <ada@example.com>\nbob@example.com\n"
    read = from_pasted(text, "g-1")
    assert [wish.account for wish in read.wishes] == ["a-1", "a-2", "a-3", "a-4", "ada@example.com", "bob@example.com"]
    assert {wish.group for wish in read.wishes} == {"g-1"}
    with pytest.raises(InputError, match="names nobody"):
        from_pasted(" \n ", "g-1")


_cell = (
    st.text(st.characters(exclude_categories=("Cs", "Cc", "Cf")), min_size=1, max_size=12).map(str.strip).filter(bool)
)


@given(st.lists(st.tuples(_cell, _cell), min_size=1, max_size=8))
def test_what_we_write_no_spreadsheet_runs_and_we_read_back(rows: list[tuple[str, str]]) -> None:
    frame = pd.DataFrame(rows, columns=["group", "account_id"])
    text = to_csv(frame)
    for cell in pd.read_csv(pd.io.common.StringIO(text), keep_default_na=False, dtype=str).to_numpy().ravel():
        assert not cell.lstrip(" \u00a0").startswith(("=", "+", "-", "@"))
    read = read_csv(text.encode())
    for wish, (group, account) in zip(read.wishes, rows, strict=True):
        # An apostrophe of the guard's own shape cannot be told from ours; nobody is called that.
        if not group.startswith("'"):
            assert wish.group == group
        if not account.startswith("'"):
            assert wish.account == account
