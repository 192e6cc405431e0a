"""Every column of a list is an opinion: what contradicts, what is not understood, and what is too much is refused."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import openpyxl
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.utils import get_column_letter

from spokekit._lists.bounds import MAX_ROWS, Kind
from spokekit._lists.workbook import rows_of_workbook
from spokekit._words import comparable, look_alike
from spokekit.cli import main
from spokekit.errors import InputError, NotFound
from spokekit.groups.wishes import from_pasted, read_csv

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.groups.membership import Membership
    from spokekit.groups.plan import Row
    from spokekit.practice import PracticeSite


@pytest.fixture
def members(three_groups: Membership) -> Membership:
    """Membership with few registered groups."""
    return three_groups


def rows(members: Membership, text: str | bytes, mode: str = "add", group: str = "marketing") -> tuple[Row, ...]:
    data = text.encode() if isinstance(text, str) else text
    return members.plan(read_csv(data, name="list.csv", group=group), mode).rows  # type: ignore[arg-type]


# -- who ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["User id,Atlassian ID", "user,User id", "email,Atlassian ID", "account,user"])
def test_two_ids_in_a_line_are_refused_whatever_their_columns(
    header: str, members: Membership, people: pd.DataFrame
) -> None:
    one, two = people["account_id"][:2]
    (row,) = rows(members, f"{header}\n{one},{two}\n")
    assert (row.status, row.reason) == ("refused", "bad_line")
    assert one in row.message and two in row.message
    assert rows(members, f"{header}\n{one},{one.upper()}\n")[0].status == "planned"


def test_an_id_in_a_plain_column_goes_before_the_address_beside_it(members: Membership, people: pd.DataFrame) -> None:
    one, two = people["account_id"][0], people["email"][1]
    (row,) = rows(members, f"user,email\n{one},{two}\n")
    assert (row.account_id, row.reason) == (one, "contradiction")
    assert two in row.message
    assert rows(members, f"user,email\n{one},{people['email'][0]}\n")[0].status == "planned"


def test_a_name_for_signing_in_is_no_opinion_beside_an_address(members: Membership, people: pd.DataFrame) -> None:
    for header in ("login,email", "username,mail"):
        assert rows(members, f"{header}\nalovelace,{people['email'][0]}\n")[0].account_id == people["account_id"][0]


def test_two_columns_of_addresses_are_two_opinions(members: Membership, people: pd.DataFrame) -> None:
    one, two = people["email"][:2]
    (row,) = rows(members, f"mail,userPrincipalName\n{one},{two}\n")
    assert (row.status, row.reason) == ("refused", "bad_line") and one in row.message and two in row.message
    # The same person at two domains, and a guest's made-up name, are one opinion.
    person = one.partition("@")[0]
    for other in (
        f"{person}@tenant.onmicrosoft.example",
        f"{one.replace('@', '_')}#EXT#@tenant.example",
        "",
        one.upper(),
    ):
        assert rows(members, f"mail,userPrincipalName\n{other},{one}\n")[0].status == "planned", other


def test_a_name_of_another_person_beside_an_address_is_refused(members: Membership, people: pd.DataFrame) -> None:
    name = people["display_name"][0]
    other = next(n for n in people["display_name"] if not set(n.split()) & set(name.split()))
    (row,) = rows(members, f"email,display_name\n{people['email'][0]},{other}\n")
    assert row.reason == "contradiction" and other in row.message


@pytest.mark.parametrize("sign", ["\u2013", "\u2011", "\u2212", "\uff0d"])
def test_an_id_with_a_dash_of_another_kind_is_named_as_such(
    sign: str, members: Membership, people: pd.DataFrame
) -> None:
    one = next(one for one in people["account_id"] if "-" in one)
    (row,) = rows(members, f"account_id\n{one.replace('-', sign, 1)}\n")
    assert row.reason == "bad_line" and f"U+{ord(sign):04X}" in row.message and one in row.message


@pytest.mark.parametrize(
    ("old", "new", "called"),
    [("a", "\u0430", "cyrillic"), ("e", "\u0435", "cyrillic"), ("@", "\u00ad@", "soft hyphen")],
)
def test_an_address_that_only_looks_right_is_named_as_such(
    old: str, new: str, called: str, members: Membership, people: pd.DataFrame
) -> None:
    mail = next(mail for mail in people["email"] if old in mail.partition("@")[0] + "@")
    (row,) = rows(members, f"email\n{mail.replace(old, new, 1)}\n")
    assert row.status == "refused" and called in row.message


# -- which group -------------------------------------------------------------------------------------------------------


def test_two_groups_in_two_columns_are_refused(members: Membership, people: pd.DataFrame) -> None:
    one = people["account_id"][0]
    ids = members.registry.frame().set_index("name")["group_id"]
    for header, first, second in (
        ("Gruppe,group_name", "marketing", "confluence-users"),
        ("group_id,group", ids["marketing"], ids["confluence-users"]),
        ("group,group_id", ids["marketing"], ids["confluence-users"]),
    ):
        (row,) = rows(members, f"{header},account_id\n{first},{second},{one}\n")
        assert row.status == "refused" and first in row.message and second in row.message, header
    (row,) = rows(members, f"group,group_id,account_id\nMarketing,{ids['marketing'].upper()},{one}\n")
    assert row.status == "planned"


def test_several_ids_and_their_names_are_checked_one_by_one(members: Membership, people: pd.DataFrame) -> None:
    ids = members.registry.frame().set_index("name")["group_id"]
    both = f"{ids['marketing']};{ids['confluence-users']}"
    one = people["account_id"][0]
    for names, torn in (("marketing;confluence-users", 0), ("confluence-users;marketing", 2), ("marketing", 1)):
        made = rows(members, f"group_id,group_name,account_id\n{both},{names},{one}\n")
        assert len(made) == 2
        assert [row.reason for row in made].count("contradiction") == torn


def test_a_separator_may_stand_in_the_name_of_a_group(
    connected: Workspace, site: PracticeSite, members: Membership, people: pd.DataFrame
) -> None:
    made = site.world.create_group("Sales, EMEA")
    with connected.spoke() as spoke:
        connected.registry().add([made], groups=spoke.look_up_groups(with_access=False))
    text = f'groups\taccount_id\n"Sales, EMEA; marketing"\t{people["account_id"][0]}\n'
    assert {row.group for row in rows(members, text)} == {"Sales, EMEA", "marketing"}


@pytest.mark.parametrize("where", ["the first line", "the last line"])
def test_no_line_of_an_unused_column_names_a_registered_group(
    where: str, members: Membership, people: pd.DataFrame
) -> None:
    filling = [f"team {number},{people['email'][0]}" for number in range(2_500)]
    named = f"Confluence-Users,{people['email'][0]}"
    lines = [named, *filling] if where == "the first line" else [*filling, named]
    with pytest.raises(InputError, match="“Abteilung” is not used, and it names groups of the site"):
        rows(members, "Abteilung,email\n" + "\n".join(lines))


@pytest.mark.parametrize("by", ["name", "id", "other case"])
def test_an_unused_column_that_names_a_group_that_is_not_registered_is_refused(
    by: str, members: Membership, people: pd.DataFrame, site: PracticeSite
) -> None:
    known = site.world.frames()["groups"].set_index("name")["group_id"]["legal-counsel"]
    cell = {"name": "legal-counsel", "id": str(known).upper(), "other case": "LEGAL-COUNSEL"}[by]
    with pytest.raises(InputError, match="“Team” is not used, and it names groups of the site"):
        rows(members, f"Team;email\n{cell};{people['email'][0]}\n")
    # A column of other things is said, and does no harm.
    assert rows(members, f"Team;email\nlegal;{people['email'][0]}\n")[0].status == "planned"


def test_the_editor_refuses_it_in_its_own_words(registered: Workspace, people: pd.DataFrame) -> None:
    from spokekit.widgets import MembershipEditor
    from tests.groups.test_membership_editor import upload

    editor = MembershipEditor(workspace=registered, pace=1000)
    editor.settled()
    editor.choose("marketing")
    editor.settled()
    editor.action.value = "add"
    upload(editor, f"Team;email\nconfluence-users;{people['email'][0]}\n".encode())
    editor.ask.click()
    with pytest.raises(InputError):
        editor.settled()
    assert "it names groups of the site" in editor.status and "--" not in editor.status
    assert editor.preview is None
    assert ".xlsx" in editor.upload.accept
    book = openpyxl.Workbook()
    book.active.append(["E-Mail"])
    book.active.append([people["email"][0]])
    kept = io.BytesIO()
    book.save(kept)
    upload(editor, kept.getvalue(), "list.xlsx")
    editor.ask.click()
    editor.settled()
    assert [row.account_id for row in editor.preview.plan.planned] == [people["account_id"][0]]
    assert "“E-Mail” as the address" in editor.file_line.value


# -- what to do --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["keep", "no-op", "unchanged"])
def test_in_sync_who_is_to_stay_out_stays_out(word: str, members: Membership, people: pd.DataFrame) -> None:
    outside = people["account_id"][0]
    made = rows(members, f"account_id,action\n{outside},{word}\n", "sync")
    assert [(row.status, row.reason) for row in made if row.account_id == outside] == [("refused", "kept")]


@pytest.mark.parametrize("header", ["change", "To do", "Änderung", "Vermerk"])
@pytest.mark.parametrize("mode", ["add", "remove", "sync"])
def test_a_column_that_says_remove_under_another_name_is_refused(
    header: str, mode: str, members: Membership, people: pd.DataFrame
) -> None:
    one, two = people["account_id"][:2]
    with pytest.raises(InputError, match=f"“{header}” is not used, and it says Removed"):
        rows(members, f"account_id,{header}\n{one},Removed\n{two},added\n", mode)
    assert rows(members, f"account_id,{header}\n{one},removed by Ada\n")[0].status == "planned"


def test_two_columns_of_actions_are_refused() -> None:
    with pytest.raises(InputError, match="two columns of actions, “Action” and “Vorgang”"):
        read_csv(b"account_id,Action,Vorgang\na-1,add,remove\n", group="g")


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "place"),
    [
        ("First Name [Required],Last Name [Required],Email Address [Required]", 2),
        ("Group Email [Required],Member Email,Member Type", 1),
        ("E-Mail-Adresse (geschäftlich),Telefon", 0),
        ("﻿Correo electrónico,Nombre", 0),
    ],
)
def test_headers_of_other_programs(header: str, place: int, members: Membership, people: pd.DataFrame) -> None:
    cells = ["x"] * len(header.split(","))
    cells[place] = people["email"][0]
    assert rows(members, f"{header}\n{','.join(cells)}\n")[0].account_id == people["account_id"][0]


@pytest.mark.parametrize(("group", "account"), [("Группа", "Кто"), ("グループ", "ユーザー"), ("Πού;", "Ποιος")])
def test_columns_in_any_alphabet_can_be_named(
    group: str, account: str, members: Membership, people: pd.DataFrame
) -> None:
    data = f"{group}\t{account}\tx\nmarketing\t{people['email'][0]}\ty\n".encode()
    read = read_csv(data, account_column=f" {account.upper()}", group_column=group)
    assert [row.account_id for row in members.plan(read, "add").planned] == [people["account_id"][0]]
    for column in ("account_column", "group_column"):
        with pytest.raises(InputError, match="has no column “無い”"):
            read_csv(data, **{"account_column": account, "group_column": group, column: "無い"})


def test_the_command_line_names_its_options_where_they_help(
    members: Membership, people: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"Team;Wer\nconfluence-users;{people['email'][0]}\n", encoding="utf-8")
    arguments = ["members", "plan", "--mode", "add", "--file", str(path), "--out", str(tmp_path / "plan.json")]
    for more in (["--group", "marketing"], []):
        with pytest.raises(SystemExit) as ended:
            main([*arguments, *more])
        assert ended.value.code == 1
        assert "--group-column NAME" in capsys.readouterr().err
    assert not (tmp_path / "plan.json").exists()


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_its_mark(encoding: str) -> None:
    read = read_csv("email;Größe\na@example.com;ß\n".encode(encoding), group="g")
    assert read.wishes[0].account == "a@example.com" and "UTF-16" in " ".join(read.notes)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_in_words(data: bytes) -> None:
    try:
        assert read_csv(data, group="g", name="list.csv").wishes
    except InputError as error:
        assert str(error)


def test_pasted_cells_with_a_header_are_read_as_a_file_is(members: Membership, people: pd.DataFrame) -> None:
    text = f"Name\tE-Mail\tGruppe\nAda Lovelace\t{people['email'][0]}\tconfluence-users\n"
    made = members.plan(from_pasted(text, "marketing"), "add")
    assert [(row.account_id, row.group) for row in made.rows] == [(people["account_id"][0], "confluence-users")]
    assert [wish.account for wish in from_pasted("account_id\na-1, a-2", "g").wishes] == ["a-1", "a-2"]


# -- names -------------------------------------------------------------------------------------------------------------


def test_a_connection_that_only_looks_alike_is_named_as_such(connected: Workspace) -> None:
    name = connected.connection().name
    for old, new, called in (
        ("o", "\u043e", "cyrillic"),
        (" ", " \u00ad", "soft hyphen"),
        ("C", "\uff23", "fullwidth"),
    ):
        assert old in name
        with pytest.raises(NotFound) as caught:
            connected.connection(name.replace(old, new, 1))
        assert name in str(caught.value.likely) and called in str(caught.value.likely)
    assert connected.connection(f" {name.upper().replace(' ', chr(160))}").name == name


def test_a_group_id_with_another_dash_is_named_as_such(
    members: Membership, people: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    known = members.registry.frame().set_index("name")["group_id"]["marketing"]
    typed = known.replace("-", "\u2013")
    (row,) = rows(members, f"group_id,account_id\n{typed},{people['account_id'][0]}\n")
    assert row.status == "refused" and known in row.message and "en dash" in row.message
    with pytest.raises(SystemExit):
        main(["members", "list", typed])
    said = " ".join(capsys.readouterr().err.split())
    assert known in said and "en dash" in said


@given(st.lists(st.text(max_size=12), max_size=6), st.text(max_size=12))
def test_what_looks_alike_is_never_the_same(names: list[str], typed: str) -> None:
    found = look_alike(typed, names)
    assert found is None or (found[0] in names and comparable(found[0]) != comparable(typed))


# -- too much ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("more", [1, 12_345])
def test_the_number_of_lines_is_true(end: str, more: int, tmp_path: Path) -> None:
    lines = MAX_ROWS + more
    data = b"group_id,account_id\n" + b"\n".join([b"g,a"] * lines) + end.encode()
    with pytest.raises(InputError, match=rf"more than 100,000 lines \({lines + 1:,}\)"):
        read_csv(data)
    path = tmp_path / "long.csv"
    path.write_bytes(b"group_id,account_id\n" + b"g,a\n" * 8_000_000 + b"g,a" + end.encode())
    with pytest.raises(InputError, match="8,000,002 lines"):
        read_csv(path)


def _with(part: str, write: Callable[[io.BufferedIOBase], None]) -> bytes:
    """Return a workbook in which one part is what `write` writes."""
    book = openpyxl.Workbook()
    book.active.append(["email"])
    book.active.append(["a@example.com"])
    kept, made = io.BytesIO(), io.BytesIO()
    book.save(kept)
    with zipfile.ZipFile(kept) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new:
        for name in old.namelist():
            if name == "[Content_Types].xml" and part not in old.namelist():
                kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
                override = f'<Override PartName="/{part}" ContentType="{kind}" /></Types>'
                new.writestr(name, old.read(name).replace(b"</Types>", override.encode()))
            elif name != part:
                new.writestr(name, old.read(name))
        with new.open(part, "w", force_zip64=True) as file:
            write(file)
    return made.getvalue()


SHEET = "xl/worksheets/sheet1.xml"
_SPACE = b'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_TEXT = b't="inlineStr"><is><t>a@example.com</t></is></c>'


def _sheet(*pieces: tuple[bytes, int]) -> bytes:
    def write(file: io.BufferedIOBase) -> None:
        file.write(b"<worksheet " + _SPACE + b"><sheetData>")
        for piece, times in ((b'<row r="1"><c r="A1" t="inlineStr"><is><t>email</t></is></c></row>', 1), *pieces):
            file.write(piece * times)
        file.write(b"</sheetData></worksheet>")

    return _with(SHEET, write)


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a row far down": (lambda: _sheet((b'<row r="900000000"><c ' + _TEXT + b"</row>", 1)), "cannot be read"),
    "cells far to the right": (lambda: _sheet((b'<row><c r="XFD2" ' + _TEXT + b"</row>", 50_000)), "16,384 cells"),
    "a row without end": (lambda: _sheet((b'<row r="2">', 1), (b"<c " + _TEXT, 2_000_000), (b"</row>", 1)), "cells"),
    "many rows": (lambda: _sheet((b"<row><c " + _TEXT + b"</row>", 112_344)), r"more than 100,000 lines \(112,345\)"),
    "many texts": (
        lambda: _with("xl/sharedStrings.xml", lambda file: _texts(file)),
        "more than 3,000,000 cells",
    ),
    "entities": (
        lambda: _with(SHEET, lambda file: _write(file, b'<!DOCTYPE x [<!ENTITY a "a">]><worksheet>&a;</worksheet>')),
        "cannot be read",
    ),
}


def _write(file: io.BufferedIOBase, text: bytes) -> None:
    file.write(text)


def _texts(file: io.BufferedIOBase) -> None:
    file.write(b"<sst " + _SPACE + b">")
    for _ in range(62):
        file.write(b"<si><t>ab</t></si>" * 50_000)
    file.write(b"</sst>")


@pytest.mark.parametrize("name", BOMBS)
def test_a_workbook_that_holds_more_than_a_list_is_refused_before_it_is_held(name: str, tmp_path: Path) -> None:
    make, sentence = BOMBS[name]
    path = tmp_path / "bomb.xlsx"
    path.write_bytes(make())
    code = (
        "import resource, sys\nfrom spokekit.groups.wishes import read_csv\nfrom spokekit.errors import InputError\n"
        "import openpyxl\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (20, 20))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    read_csv(sys.argv[1], group='g')\nexcept InputError as error:\n    print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    said = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True).stdout
    assert re.search(sentence, said), said
    assert int(said.split()[-1]) < 100_000, f"{said.split()[-1]} kB"


def test_a_workbook_is_read_as_openpyxl_reads_it() -> None:
    """Dates, numbers, shared and inline texts, gaps; openpyxl is the second opinion."""
    cells = {
        2: b'<c r="A2" t="s"><v>0</v></c><c r="B2" t="s"><v>1</v></c>',
        3: b'<c t="s" r="A3"><v>2</v></c><c><v>1.50</v></c>',
        5: b'<c r="B5"><v>3E2</v></c><c r="D5" t="b"><v>1</v></c>',
        6: b'<c r="C6" t="str"><f>A1&amp;"x"</f><v>a x</v></c>',
        7: b'<c r="A7"><f>1+1</f></c><c r="C7" t="e"><v>#N/A</v></c>',
        8: b'<c r="B8" t="d"><v>2027-03-31</v></c><c r="C8"><v>12</v></c>',
        9: b'<c r="A9" t="inlineStr"><is><r><t>in </t></r><r><t xml:space="preserve"> runs</t></r></is></c>',
        11: b'<c r="A11" t="inlineStr"><is><t>said</t><rPh sb="0" eb="1"><t>spoken</t></rPh></is></c><c r="B11"/>',
    }
    lines = [(b'<row r="%d">%s</row>' % row, 1) for row in cells.items()]
    shared = [
        b"<si><t>plain &lt;b&gt;</t></si>",
        b"<si><r><t>two</t></r><r><t> runs</t></r></si>",
        b"<si><t> _x005F_ </t></si>",
    ]

    made = _sheet(*lines)
    with zipfile.ZipFile(io.BytesIO(made)) as parts:
        sheet = parts.read(SHEET)
    texts = _with(
        "xl/sharedStrings.xml", lambda file: _write(file, b"<sst " + _SPACE + b">" + b"".join(shared) + b"</sst>")
    )
    kept = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(texts)) as old, zipfile.ZipFile(kept, "w") as new:
        for name in old.namelist():
            new.writestr(name, sheet if name == SHEET else old.read(name))
    _as_openpyxl(kept.getvalue(), 6)

    book = openpyxl.Workbook()
    moment = datetime.fromisoformat("2027-03-31T12:30")
    for row in (
        ["email", "when"],
        ["é\n ", moment],
        [moment.date(), moment.time()],
        [timedelta(hours=30), 0.1],
        [-7, 1e21],
    ):
        book.active.append(row)
    kept = io.BytesIO()
    book.save(kept)
    _as_openpyxl(kept.getvalue(), 5)


def _as_openpyxl(data: bytes, least: int) -> None:
    sheet = openpyxl.load_workbook(io.BytesIO(data), data_only=True).worksheets[0]
    expected = {
        cell.coordinate: str(
            int(cell.value) if isinstance(cell.value, float) and cell.value.is_integer() else cell.value
        )
        for row in sheet.iter_rows()
        for cell in row
        if cell.value is not None
    }
    known = Kind(lambda cells: sum(cell == "email" for cell in cells), "people", "the addresses", None, "")
    found = {
        f"{get_column_letter(column)}{number}": cell
        for number, cells in rows_of_workbook(data, "It", known, [])
        for column, cell in enumerate(cells, start=1)
        if cell
    }
    assert found == expected and len(found) > least


def test_no_cell_of_a_wide_row_is_dropped_in_silence() -> None:
    book = openpyxl.Workbook()
    book.active.append(["email"])
    book.active.cell(2, 1, "a@example.com")
    book.active.cell(2, 1_200, "b@example.com")
    kept = io.BytesIO()
    book.save(kept)
    with pytest.raises(InputError, match="Line 2 of The file has 1,200 cells"):
        read_csv(kept.getvalue(), group="g")


def test_the_list_may_be_on_another_sheet_than_the_first() -> None:
    book = openpyxl.Workbook()
    book.active.title = "Read me"
    book.active.append(["Please fill in the next sheet."])
    other = book.create_sheet("People")
    other.append(["as of November"])
    other.cell(9, 2, "email")
    other.cell(12, 2, "a@example.com")
    kept = io.BytesIO()
    book.save(kept)
    read = read_csv(kept.getvalue(), group="g")
    assert [(wish.account, wish.line) for wish in read.wishes] == [("a@example.com", 12)]
    assert "The sheet “People” was read, number 2 of 2." in read.notes


def test_many_narrow_cells_are_not_held() -> None:
    data = b"email" + b",x" * 299 + b"\n" + (b"ab," * 299 + b"a\n") * 33_000
    with pytest.raises(InputError, match=r"more than 3,000,000 cells, in 33,001 lines"):
        read_csv(data, group="g")
