"""Lists of people against a snapshot: each planted error is found, and nothing else; nothing vanishes."""

from __future__ import annotations

import io
import json
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spokekit.audit import Audit
from spokekit.audit.compare_people import COLUMNS, FINDINGS, Comparison, compare_list
from spokekit.audit.roster import HERE, LEFT, NEVER, read_roster
from spokekit.cli import main
from spokekit.errors import InputError
from spokekit.practice import World, roster
from tests.audit.worlds import SITE, account, frames_of, name, world

if TYPE_CHECKING:
    from pathlib import Path

    from spokekit._workspace import Workspace

AS_OF = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def audit() -> Audit:
    return Audit.of_frames(frames_of())


def found(comparison: Comparison) -> set[tuple[str, str]]:
    frame = comparison.frame
    about = frame["account_id"].where(frame["account_id"] != "", frame["email"])
    return set(zip(frame["finding"], about, strict=True))


def reconciled(comparison: Comparison) -> dict[str, int]:
    n = comparison.counts
    assert n["lines"] == n["lines_matched"] + n["lines_not_found"] + n["lines_not_usable"]
    parts = ("matched", "in_no_list", "hidden", "deactivated", "apps")
    assert n["accounts"] == sum(n[f"accounts_{part}"] for part in parts)
    return n


@pytest.mark.parametrize("form", ["hr", "atlassian"])
@pytest.mark.parametrize("size", ["class", "40x30"])
def test_each_planted_error_is_found_and_nothing_else(form: Any, size: str) -> None:
    planted = roster(world(size), form)
    assert len({finding for finding, _ in planted.findings}) >= 3
    made = compare_list(
        Audit(frames_of(size)), read_roster(planted.data, name="people.csv", as_of=AS_OF, site_url=_address(size))
    )
    assert found(made) == planted.findings
    assert len(made.frame) == len(planted.findings)
    reconciled(made)
    assert {c: k for c, k in COLUMNS.items() if c not in made.frame.columns} == {}


def _address(size: str) -> str:
    return f"https://{world(size).site_host}"


def excel(text: str) -> bytes:
    from openpyxl import Workbook

    book = Workbook()
    assert book.active is not None
    for line in text.splitlines():
        # As text: a workbook that is given a name with a sign in front keeps it as a formula.
        book.active.append([cell if not cell.startswith("=") else f"'{cell}" for cell in line.split(",")])
    sink = io.BytesIO()
    book.save(sink)
    return sink.getvalue()


PLAIN = "Name,E-Mail,Active\nJürgen,jürgen@example.com,yes\nZoë,zoe@example.com,no\n"
FORMS = {
    "UTF-8": PLAIN.encode(),
    "a mark in front": PLAIN.encode("utf-8-sig"),
    "Windows-1252 with semicolons": PLAIN.replace(",", ";").encode("cp1252"),
    "tabs in UTF-16": PLAIN.replace(",", "\t").encode("utf-16"),
    "bars, old line ends": PLAIN.replace(",", "|").replace("\n", "\r").encode(),
    "Excel": excel(PLAIN),
    "a title above": b"All staff\n\n" + PLAIN.encode(),
}


@pytest.mark.parametrize("data", FORMS.values(), ids=FORMS.keys())
def test_every_form_of_file_says_the_same(data: bytes) -> None:
    read = read_roster(data, as_of=AS_OF)
    assert [(p.name, p.mails, p.status) for p in read.people] == [
        ("Jürgen", ("jürgen@example.com",), HERE),
        ("Zoë", ("zoe@example.com",), LEFT),
    ]


@pytest.mark.parametrize(
    ("head", "cells", "status"),
    [
        ("userPrincipalName,accountEnabled", "a@example.com,False", LEFT),
        ("user.email,user.login,Status", "a@example.com,a,DEPROVISIONED", LEFT),
        ("Email Address [Required],Status [READ ONLY]", "a@example.com,Suspended", LEFT),
        ("email,Suspended", "a@example.com,TRUE", LEFT),
        ("email,End date", "a@example.com,19.11.2026", LEFT),
        ("email,End date", "a@example.com,2026-11-20 00:00:00", ""),
        ("email,Termination Date", "a@example.com,11/19/2026", LEFT),
        ("email,Austrittsdatum", "a@example.com,31.12.2026", ""),
        ("email,Employment status", "a@example.com,On leave", HERE),
        ("email,Status", "a@example.com,Vollzeit", ""),
    ],
)
def test_who_has_left_in_the_words_of_many_programs(head: str, cells: str, status: str) -> None:
    read = read_roster(f"{head}\n{cells}\n".encode(), as_of=AS_OF)
    assert read.people[0].status == status
    if "Vollzeit" in cells:
        assert any("“Vollzeit” (1 line)" in note for note in read.notes)


def test_days_that_could_be_two_are_not_guessed() -> None:
    two = read_roster(b"email,End date\na@example.com,03/04/2026\n", as_of=AS_OF)
    assert two.people[0].status == "" and any("03/04/2026" in note for note in two.notes)
    shown = read_roster(b"email,End date\na@example.com,03/04/2026\nb@example.com,25/12/2026\n", as_of=AS_OF)
    assert [one.status for one in shown.people] == [LEFT, ""]
    bad = read_roster(b"email,End date\na@example.com,31.02.2026\n", as_of=AS_OF)
    assert bad.people[0].status == "" and any("31.02.2026" in note for note in bad.notes)


def test_last_seen_is_that_of_this_site_with_the_day_of_the_list(audit: Audit) -> None:
    text = (
        "User id,email,Last seen in Confluence - other,Last seen in Confluence - acme\n"
        f"{account(30)},x@example.com,19 Nov 2026,01 Aug 2026\n{account(31)},y@example.com,19 Nov 2026,Never accessed\n"
    )
    read = read_roster(text.encode(), name="export.csv", as_of=AS_OF, site_url="https://acme.atlassian.net")
    assert read.people[1].last_seen == NEVER
    made = compare_list(audit, read, inactive_days=90)
    unused = made.frame[made.frame["finding"] == "seat not used"]
    assert set(unused["account_id"]) == {account(30), account(31)}
    assert any("111 days before the list's own day, 2026-11-20" in words for words in unused["words"])
    assert made.matches["as_of"].unique().tolist() == [AS_OF]
    assert len(compare_list(audit, read, inactive_days=112).frame.query("finding == 'seat not used'")) == 1
    elsewhere = read_roster(text.encode(), as_of=AS_OF, site_url="https://third.atlassian.net")
    assert elsewhere.people[0].last_seen is None
    assert any("on another site only" in note for note in elsewhere.notes)


def test_the_day_of_a_file_is_told_and_one_far_from_the_snapshot_too(audit: Audit, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text(f"account_id\n{account(30)}\n")
    made = compare_list(audit, file)
    assert any("when the file was last changed" in note for note in made.notes)
    assert any("newer than the snapshot" in note for note in made.notes)


def test_several_lists_count_together_and_one_says_who_left(audit: Audit) -> None:
    mine = [f"{account(row)},{name(row)},Active" for row in (30, 31)]
    first = read_roster(("account_id,name,status\n" + "\n".join(mine)).encode(), name="a", as_of=AS_OF)
    second = read_roster(
        f"account_id,status\n{account(31)},Terminated\n{account(32)},\n".encode(), name="b", as_of=AS_OF
    )
    made = compare_list(audit, first, second)
    assert (("leaver with a seat", account(31)) in found(made)) is True
    assert not {("account in no list", account(row)) for row in (30, 31, 32)} & found(made)
    assert ("account in no list", account(33)) in found(made)
    # In one list, who is there in a second line was hired again.
    again = read_roster(
        f"account_id,status\n{account(31)},Terminated\n{account(31)},Active\n".encode(), name="c", as_of=AS_OF
    )
    assert ("leaver with a seat", account(31)) not in found(compare_list(audit, again))


def test_one_address_on_lines_of_several_people_is_told(audit: Audit) -> None:
    shown = next(row for row in range(30, 60) if world("class").person(row).email)
    mail = world("class").person(shown).email
    text = f"employee_id,name,email\n1,Ada,{mail}\n2,Grace,{mail.upper()}\n2,Grace,{mail}\n"
    made = compare_list(audit, read_roster(text.encode(), as_of=AS_OF))
    [row] = made.frame[made.frame["finding"] == "one account of several people"].to_dict("records")
    assert (row["account_id"], row["words"]) == (account(shown), "2 people of the list: Ada, Grace.")
    assert reconciled(made)["lines_matched"] == 3


def test_two_accounts_by_line_by_address_and_by_name() -> None:
    users = world("class").frames(tables=["users"])["users"]
    users.loc[[30, 31], "email"] = "same@example.com"
    users.loc[40, "display_name"] = users.loc[41, "display_name"]
    audit = Audit.of_frames(frames_of(users=users))
    text = f"name,account_id,alias\nA,{account(33)},{account(34)}\n{name(41)},{account(41)},\n"
    text = text.replace("alias", "user")
    made = compare_list(audit, read_roster(text.encode(), as_of=AS_OF))
    two = made.frame[made.frame["finding"] == "two accounts of one person"]
    assert set(two["account_id"]) == {account(row) for row in (30, 31, 33, 34, 40)}
    assert Counter(w.partition(":")[0].partition(" are")[0] for w in two["words"])["By its name alone"] == 1


def test_hostile_lines_are_kept_with_the_reason(audit: Audit) -> None:
    text = (
        "email,name\n=cmd|' /C calc'!A0,x\n,nobody\nno address,y\na@example.com,b,c,d\n"
        '<b>x</b>@example.com,<script>\n"\'=1+1",z\n' + "x" * 5000 + "@example.com,long\n"
    )
    made = compare_list(audit, read_roster(text.encode(), as_of=AS_OF))
    n = reconciled(made)
    assert n["lines"] == 7 and n["lines_matched"] == 0
    unusable = made.frame[made.frame["finding"] == "line not usable"]["words"].tolist()
    assert any("formula where an account belongs; it was not run" in words for words in unusable)
    assert any("has 4 cells, the header 2" in words for words in unusable)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"email,name\n", "no line below"),
        (b"colour,size\nred,2\n", "no column that says who"),
        (bytes(range(40)), "not a text file"),
        (b"PK\x03\x04rest", "cannot be read"),
        (b'email\n"a@example.com\n', "breaks off"),
        (b"email\n" + b"a@example.com\n" * 100_021, "more than 100,000 lines"),
    ],
)
def test_what_is_no_list_of_people_is_refused_in_words_about_people(data: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        read_roster(data, name="list.csv")
    assert "membership" not in str(refused.value) and "group" not in str(refused.value.hint)


def test_columns_under_other_names_are_told_and_wrong_ones_refused(audit: Audit) -> None:
    text = f"Wer;Was;Wann\n{account(30)};inaktiv;01 Aug 2026\n".encode()
    told = {"account_column": "Wer", "status_column": "was", "seen_column": "Wann"}
    [one] = read_roster(text, as_of=AS_OF, **told).people
    assert (one.ids, one.status, one.last_seen) == ((account(30),), LEFT, datetime(2026, 8, 1, tzinfo=UTC))
    for option in told:
        with pytest.raises(InputError, match="has no column “Wo”"):
            read_roster(text, as_of=AS_OF, **{**told, option: "Wo"})
    with pytest.raises(InputError, match="No list"):
        compare_list(audit)


LINES = st.lists(
    st.tuples(
        st.sampled_from([account(r) for r in range(12)] + ["", "x@example.com", "=1", "nobody", name(3)]),
        st.sampled_from([world("class").person(r).email for r in range(12)] + ["y@example.com", "-", ""]),
        st.sampled_from(["", "Active", "left", "odd", "1"]),
        st.sampled_from(["", "1", "2", "3"]),
    ),
    min_size=1,
    max_size=12,
)


@given(LINES)
@settings(max_examples=60)
def test_nothing_is_dropped_whatever_the_list_says(lines: list[tuple[str, str, str, str]]) -> None:
    import csv

    sink = io.StringIO()
    csv.writer(sink).writerows([("account_id", "email", "status", "employee_id"), *lines])
    filled = [line for line in lines if any(cell.strip() for cell in line)]
    if not filled:
        return
    made = compare_list(_audit(), read_roster(sink.getvalue().encode(), as_of=AS_OF))
    n = reconciled(made)
    assert n["lines"] == len(filled)
    assert made.frame["finding"].isin(FINDINGS).all()
    assert len(made.frame.drop_duplicates(["finding", "account_id", "line", "list"])) == len(made.frame)


_kept: list[Audit] = []


def _audit() -> Audit:
    if not _kept:
        _kept.append(Audit.of_frames(frames_of()))
    return _kept[0]


def test_the_command(connected: Workspace, site: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: object) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as left:
            main(["audit", *map(str, arguments)])
        said = capsys.readouterr()
        return left.value.code or 0, said.out, said.err

    assert run("walk", "--all", "--yes")[0] == 0
    planted = roster(site.world, "atlassian")
    file = tmp_path / "export-users.csv"
    file.write_bytes(planted.data)
    code, out, err = run("compare-list", file, "--as-of", "2026-11-20", "--format", "json")
    assert code == 0, err
    rows = {(row["finding"], row["account_id"]) for row in json.loads(out)}
    # One of the deactivated accounts is in no group, so the walk has not met it.
    assert rows - planted.findings == {("no account found", "")} and rows >= planted.findings
    assert "Last seen is taken from" in err and " matched, " in err
    code, out, err = run("compare-list", file, "--as-of", "2026-11-20", "--only", "seat not used", "--format", "csv")
    assert (code, len(out.splitlines())) == (0, 4)
    code, _, err = run("compare-list", file, "--only", "ghost")
    assert (code, "There is no finding 'ghost'" in err) == (1, True)
    code, _, err = run("compare-list", tmp_path / "none.csv")
    assert (code, "There is no file" in err) == (1, True)


def test_a_world_of_another_seed_has_a_roster_too() -> None:
    planted = roster(World("class", seed=7))
    assert SITE.cloud_id and len(planted.findings) > 10
    with pytest.raises(InputError, match="no form"):
        roster(World(), "okta")  # type: ignore[arg-type]


def test_the_room_s_face_gives_the_function_each_time() -> None:
    import spokekit.audit

    for _ in range(2):
        assert spokekit.audit.compare_list is compare_list
