"""Lists as people bring them: files of many programs, rows with two opinions, words for actions, names as typed."""

from __future__ import annotations

import csv
import io
import resource
import subprocess
import sys
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spokekit._ids import account_id, group_id
from spokekit._lists.bounds import MAX_BYTES, MAX_ROWS
from spokekit._words import comparable, look_alike
from spokekit._workspace import Workspace
from spokekit.cli import main
from spokekit.errors import InputError
from spokekit.groups.membership import Membership
from spokekit.groups.wishes import ACTIONS, read_csv
from spokekit.practice import PracticeSite

PEOPLE = "712020:d13eb821-4756-4c39-aeb4-dc0b3f41a2fb"
HEX = "5b10ac8d82e05b22cc7d4ef5"
GROUP = "a1b2c3d4-0000-1111-2222-333344445555"


@pytest.fixture
def members(three_groups: Membership) -> Membership:
    """Membership with few registered groups."""
    return three_groups


def plan(members: Membership, text: str | bytes, mode: str = "add", **more: Any) -> list[tuple[str, str, str]]:
    data = text.encode() if isinstance(text, str) else text
    made = members.plan(read_csv(data, name="list.csv", **more), mode)  # type: ignore[arg-type]
    return [(row.account_id, row.status, row.reason) for row in made.rows]


# -- rows with two opinions --------------------------------------------------------------------------------------------


def test_an_id_is_the_key_and_a_hidden_address_beside_it_does_no_harm(
    members: Membership, people: pd.DataFrame
) -> None:
    one = people["account_id"][0]
    text = f"User id,User name,email,User status\n{one},{people['display_name'][0]},hidden-here@example.org,Active\n"
    rows = plan(members, text, group="marketing")
    assert rows[0][0] == one
    # Its address is seen to be another one, since this person shows hers.
    assert rows[0][1:] == ("refused", "contradiction")
    assert plan(members, f"User id,email\n{one},{people['email'][0].upper()}\n", group="marketing") == [
        (one, "planned", "")
    ]


def test_atlassians_own_export_works_though_every_address_is_hidden(connected: Workspace) -> None:
    with PracticeSite(size="class", seed=1) as site:
        from tests.conftest import connect

        hidden = site.world.frames()["users"]
        hidden = hidden[(hidden["email"] == "") & (hidden["account_type"] == "atlassian")].astype(str)
        hidden = hidden[hidden["account_status"] == "active"]
        if hidden.empty:
            pytest.fail("the practice site has people who hide their address")
        saved = connected.connection()
        connected.connections.remove(saved.connection_id)
        connect(connected, site)
        with connected.spoke() as spoke:
            groups = spoke.look_up_groups()
        chosen = groups[groups["name"] == "marketing"]
        connected.registry().add(list(chosen["group_id"]), groups=groups)
        text = "User id,User name,email,User status,Added to org,Org role,Last seen in Confluence\n"
        for _, row in hidden.iterrows():
            text += f"{row['account_id']},{row['display_name']},someone@example.org,Active,2024-01-01,User,Never\n"
        opened = Membership.of(connected)
        made = opened.plan(read_csv(text.encode(), group="marketing"), "add")
        assert {row.status for row in made.rows} <= {"planned", "already so"}
        assert [note for note in made.notes if note.startswith("Not used:")], "what was not used is said"
        assert [note for note in made.notes if "could not be checked" in note and f"{len(hidden):,} address" in note]
        opened.close()


@pytest.mark.parametrize("mode", ["add", "remove", "sync"])
def test_an_id_of_one_with_the_address_of_another_is_refused_and_both_are_named(
    members: Membership, people: pd.DataFrame, mode: str
) -> None:
    text = f"account_id,email\n{people['account_id'][0]},{people['email'][1]}\n"
    made = members.plan(read_csv(text.encode(), group="marketing"), mode)  # type: ignore[arg-type]
    row = made.rows[0]
    assert (row.status, row.reason) == ("refused", "contradiction")
    assert people["account_id"][0] in row.message and people["email"][1] in row.message
    if mode == "sync":
        assert not [r for r in made.planned if r.action == "remove"], "nobody is removed on an unclear list"


def test_two_addresses_and_an_address_in_the_column_for_ids(members: Membership, people: pd.DataFrame) -> None:
    one, two = people["email"][0], people["email"][1]
    assert plan(members, f"account_id,email\n{one},{two}\n", group="marketing")[0][1:] == ("refused", "bad_line")
    assert plan(members, f"account_id,email\n{one},{one.upper()}\n", group="marketing")[0][1:] == ("planned", "")
    assert plan(members, f"account_id,email\n,{two}\n", group="marketing")[0][0] == people["account_id"][1]


def test_another_persons_name_beside_an_id_is_refused_and_a_nickname_is_not(
    members: Membership, people: pd.DataFrame
) -> None:
    one, name = people["account_id"][0], people["display_name"][0]
    other = next(n for n in people["display_name"] if not set(n.split()) & set(name.split()))
    assert plan(members, f"account_id,display_name\n{one},{other}\n", group="marketing")[0][2] == "contradiction"
    short = name.split()[-1].upper()
    assert plan(members, f"account_id,display_name\n{one},Dr. {short}\n", group="marketing")[0][1] == "planned"


def test_group_id_and_group_name_of_two_groups_are_refused_and_both_are_named(
    members: Membership, people: pd.DataFrame
) -> None:
    frame = members.registry.frame().set_index("name")["group_id"]
    one = people["account_id"][0]
    text = f"group_id,group_name,account_id\n{frame['marketing']},confluence-users,{one}\n"
    made = members.plan(read_csv(text.encode()), "add")
    assert (made.rows[0].status, made.rows[0].reason) == ("refused", "contradiction")
    assert "marketing" in made.rows[0].message and "confluence-users" in made.rows[0].message
    right = f"group_id,group_name,account_id\n{frame['marketing']},MARKETING\u00a0,{one}\n"
    assert members.plan(read_csv(right.encode()), "add").rows[0].status == "planned"


# -- actions -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["no-op", "keep", "Nothing", "already so"])
def test_a_row_that_is_to_stay_is_left_alone(members: Membership, people: pd.DataFrame, word: str) -> None:
    text = f"account_id,action\n{people['account_id'][0]},{word}\n"
    for mode in ("add", "remove"):
        assert plan(members, text, mode, group="marketing")[0][1:] == ("refused", "kept")


@pytest.mark.parametrize("word", ["DELETE", "Removed", "revoke", "entfernen", "Löschen", "-"])
def test_words_for_removing_are_known(members: Membership, people: pd.DataFrame, site: PracticeSite, word: str) -> None:
    inside = site.world.member_ids("marketing")[0]
    text = f"account_id,action\n{inside},{word}\n"
    assert plan(members, text, "remove", group="marketing")[0][1] == "planned"
    assert plan(members, text, "add", group="marketing")[0][1:] == ("refused", "contradiction")


@pytest.mark.parametrize("word", ["maybe", "addd", "yes", "?", "=cmd()", "<b>"])
def test_every_other_word_is_a_bad_line(members: Membership, people: pd.DataFrame, word: str) -> None:
    for mode in ("add", "remove", "sync"):
        rows = plan(members, f"account_id,action\n{people['account_id'][0]},{word}\n", mode, group="marketing")
        assert rows[0][1:] == ("refused", "bad_line")
        assert not [row for row in rows if row[1] == "planned"]


def test_in_sync_remove_means_out_and_keep_means_in(
    members: Membership, people: pd.DataFrame, site: PracticeSite
) -> None:
    inside = site.world.member_ids("marketing")
    outside = people["account_id"][0]
    text = "account_id,action\n" + f"{inside[0]},remove\n{outside},delete\n"
    text += "".join(f"{one},keep\n" for one in inside[1:])
    made = members.plan(read_csv(text.encode(), group="marketing"), "sync")
    assert {(row.account_id, row.action) for row in made.planned} == {(inside[0], "remove")}
    assert {row.account_id for row in made.rows if row.status == "already so"} == {outside, *inside[1:]}
    left = members.plan(read_csv(text.encode(), group="marketing"), "sync", only="add-only")
    assert not left.planned and any("add-only leaves them in" in note for note in left.notes)


def test_a_list_that_says_two_things_of_one_membership_is_refused(members: Membership, people: pd.DataFrame) -> None:
    one = people["account_id"][0]
    for order in (("add", "remove"), ("remove", "add")):
        text = "account_id,action\n" + "".join(f"{one},{word}\n" for word in order)
        for mode in ("add", "sync"):
            rows = plan(members, text, mode, group="marketing")
            assert rows[0][1:] == ("refused", "contradiction")


def test_the_words_are_plain_and_few_are_twice() -> None:
    assert all(word == word.casefold() and word.isascii() for word in ACTIONS)
    assert set(ACTIONS.values()) == {"add", "remove", "keep"}


# -- names and ids -----------------------------------------------------------------------------------------------------


@given(st.text(max_size=30))
def test_the_form_for_comparing_forgets_unicode_form_case_and_blanks(name: str) -> None:
    for other in (unicodedata.normalize("NFD", name), unicodedata.normalize("NFC", name), f"\u00a0{name} \t"):
        assert comparable(other) == comparable(name)
    assert comparable(comparable(name)) == comparable(name)


@pytest.mark.parametrize(
    ("typed", "name", "word"),
    [
        ("marketing\u2011team", "marketing-team", "hyphen"),
        ("marketing\u2013team", "marketing-team", "en dash"),
        ("mar\u00adketing", "marketing", "soft hyphen"),
        ("marketing\u00adteam", "marketing-team", "soft hyphen"),
        ("market\u200bing", "marketing", "zero width"),
        ("m\u0430rketing", "marketing", "cyrillic"),
        ("marketing", "m\u0430rketing", "cyrillic"),
        ("O\u2019Brien", "O'Brien", "quotation mark"),
        ("\uff4darketing", "marketing", "fullwidth"),
    ],
)
def test_what_only_looks_alike_is_named(typed: str, name: str, word: str) -> None:
    assert comparable(typed) != comparable(name)
    found = look_alike(typed, ["other", name])
    assert found is not None and found[0] == name and word in found[1]
    assert look_alike(name, ["other", name]) is None


def test_names_are_found_in_every_form(connected: Workspace, people: pd.DataFrame, site: PracticeSite) -> None:
    made = site.world.create_group("Vertrieb Köln")
    with connected.spoke() as spoke:
        groups = spoke.look_up_groups(with_access=False)
    connected.registry().add([made], groups=groups)
    opened = Membership.of(connected)
    for typed in ("Vertrieb Ko\u0308ln", "vertrieb  k\u00d6ln", "\u00a0Vertrieb\u00a0K\u00f6ln"):
        text = f"group,account_id\n{typed},{people['account_id'][0]}\n"
        assert plan(opened, text) == [(people["account_id"][0], "planned", "")], typed
    strange = opened.plan(read_csv(f"group,account_id\nVertrieb\u2011Köln,{people['account_id'][0]}\n".encode()), "add")
    assert strange.rows[0].reason == "not_registered"
    opened.close()


@pytest.mark.parametrize(
    "typed",
    [
        *(PEOPLE, PEOPLE.upper(), f"{{{PEOPLE}}}", PEOPLE.replace(":", "%3A"), PEOPLE.replace(":", "%253A")),
        *(f"ari:cloud:identity::user/{PEOPLE}", f"[~accountid:{PEOPLE}]", f"@{PEOPLE}", f"accountid:{PEOPLE}"),
        f"https://acme.atlassian.net/wiki/people/{PEOPLE}?ref=confluence",
        f"https://acme.atlassian.net/wiki/people/{PEOPLE.replace(':', '%3A')}",
        f"https://home.atlassian.com/o/{GROUP}/people/{PEOPLE}",
        f" <{PEOPLE}>\u200b",
    ],
)
def test_account_ids_in_every_wrapping(typed: str) -> None:
    assert account_id(typed) == PEOPLE
    assert account_id(typed.replace(PEOPLE, HEX).replace(PEOPLE.replace(":", "%3A"), HEX)) in (HEX, PEOPLE)


@pytest.mark.parametrize(
    "typed", ["ada@example.com", "mailto:ada@example.com", "<ada@example.com>", " ada@example.com "]
)
def test_addresses_stay_addresses(typed: str) -> None:
    assert account_id(typed) == "ada@example.com"


@pytest.mark.parametrize(
    "typed",
    [
        *(GROUP, GROUP.upper(), f"{{{GROUP}}}", f"ari:cloud:identity::group/{GROUP}", f"urn:uuid:{GROUP}"),
        *(f"%7B{GROUP}%7D", f"https://admin.atlassian.com/o/{PEOPLE[7:]}/groups/{GROUP}"),
    ],
)
def test_group_ids_in_every_wrapping(typed: str) -> None:
    assert group_id(typed) == GROUP


@pytest.mark.parametrize("name", ["<b>Research & Development</b>", "=Sales(Berlin)", "a{b}", "100%", "50%25", "C:/x"])
def test_a_name_is_not_mistaken_for_an_id(name: str) -> None:
    assert group_id(name) == name


# -- files as they are given -------------------------------------------------------------------------------------------


def _entra(people: pd.DataFrame) -> str:
    header = "Member object ID or user principal name [memberObjectIdOrUpn] Required"
    return f"version:v1.0\n{header}\n" + "\n".join(people["email"][:2])


FILES: dict[str, tuple[Callable[[pd.DataFrame], str], str]] = {
    "Atlassian's account export": (
        lambda p: (
            "Name,Email,Atlassian ID,Status\n"
            + "".join(f"{r.display_name},{r.email},{r.account_id},Active\n" for r in p[:2].itertuples())
        ),
        "“Atlassian ID” as the account id",
    ),
    "Entra's template": (_entra, "1 line above the header skipped (“version:v1.0”)"),
    "Entra's export": (
        lambda p: (
            "displayName;userPrincipalName\n" + "".join(f"{r.display_name};{r.email}\n" for r in p[:2].itertuples())
        ),
        "“userPrincipalName” as the address",
    ),
    "LDAP's mail": (lambda p: "cn,mail\n" + "".join(f"x,{m}\n" for m in p["email"][:2]), "“mail” as the address"),
    "a title line": (
        lambda p: "Members for marketing, November,\n\nemail,note\n" + "".join(f"{m},x\n" for m in p["email"][:2]),
        "1 line above the header skipped (“Members for marketing, November”)",
    ),
    "a bare column": (lambda p: "\n".join(p["email"][:2]), "There is no header line; every line was taken"),
    "a bare column of ids": (lambda p: "\n".join(p["account_id"][:2]), "There is no header line"),
    "a header of no known word": (lambda p: "Wer?\n" + "\n".join(p["email"][:2]), "“Wer?” as the account"),
    "tabs": (lambda p: "email\tphone\n" + "".join(f"{m}\t1\n" for m in p["email"][:2]), "Not used: the column “phone”"),
    "bars": (lambda p: "note|E-Mail\n" + "".join(f"x|{m}\n" for m in p["email"][:2]), "“E-Mail” as the address"),
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", FILES)
def test_files_of_others_are_read_and_what_was_taken_is_said(
    name: str, encoding: str, members: Membership, people: pd.DataFrame
) -> None:
    make, note = FILES[name]
    made = members.plan(read_csv(make(people).encode(encoding), name="list.csv", group="marketing"), "add")
    assert [row.account_id for row in made.planned] == people["account_id"][:2].tolist()
    assert note in " ".join(made.notes)


def _book(rows: list[list[Any]]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.create_sheet("another")
    kept = io.BytesIO()
    book.save(kept)
    return kept.getvalue()


def test_a_workbook_is_a_list_too(members: Membership, people: pd.DataFrame, tmp_path: Path) -> None:
    rows = [["Quarter 4", None], ["Gruppe", "E-Mail"], *[["marketing", m] for m in people["email"][:2]], [None, None]]
    path = tmp_path / "list.xlsx"
    path.write_bytes(_book(rows))
    made = members.plan(path, "add")
    assert [row.account_id for row in made.planned] == people["account_id"][:2].tolist()
    assert "the first of 2" in " ".join(made.notes)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:400], lambda data: data[: len(data) // 2], lambda _: b"PK\x03\x04"]
)
def test_a_damaged_workbook_says_so(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(InputError, match="workbook that cannot be read"):
        read_csv(damage(_book([["email"], ["a@example.com"]])), group="g")
    with pytest.raises(InputError, match="old kind"):
        read_csv(b"\xd0\xcf\x11\xe0" + b"\0" * 600, group="g")


def test_columns_may_be_named_by_the_person(members: Membership, people: pd.DataFrame) -> None:
    text = "Wohin,Wen\n" + f"marketing,{people['email'][0]}\n"
    rows = plan(members, text, account_column="wen", group_column="Wohin")
    assert rows == [(people["account_id"][0], "planned", "")]
    with pytest.raises(InputError, match=r"has no column “Nein”; its first line says: Wohin, Wen") as caught:
        read_csv(text.encode(), account_column="Nein")
    assert caught.value.field == "columns"


def test_several_groups_in_one_cell_count_when_each_is_registered(members: Membership, people: pd.DataFrame) -> None:
    one = people["account_id"][0]
    made = members.plan(read_csv(f'account_id;groups\n{one};"marketing, confluence-users"\n'.encode()), "add")
    assert {row.group for row in made.rows} == {"marketing", "confluence-users"}
    assert "several groups, each registered" in " ".join(made.notes)
    strange = members.plan(read_csv(f'account_id;groups\n{one};"marketing, no-such"\n'.encode()), "add")
    assert [row.reason for row in strange.rows] == ["not_registered"]


def test_a_german_column_of_groups_wins_over_the_group_that_was_chosen(
    members: Membership, people: pd.DataFrame
) -> None:
    text = f"Gruppe;email\nconfluence-users;{people['email'][0]}\n"
    made = members.plan(read_csv(text.encode(), group="marketing"), "add")
    assert {row.group for row in made.rows} == {"confluence-users"}
    assert "“Gruppe” as the group" in " ".join(made.notes)


@pytest.mark.parametrize("cell", ["confluence-users", "CONFLUENCE-USERS", "id"])
def test_an_unknown_column_that_names_groups_is_refused(members: Membership, people: pd.DataFrame, cell: str) -> None:
    known = members.registry.frame().set_index("name")["group_id"]["confluence-users"]
    text = f"Abteilung;email\n{known.upper() if cell == 'id' else cell};{people['email'][0]}\n"
    with pytest.raises(InputError, match="“Abteilung” is not used, and it names groups of the site"):
        members.plan(read_csv(text.encode(), group="marketing"), "add")


def test_the_command_line_takes_them_too(
    members: Membership, people: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"Wohin,Wen\nmarketing,{people['email'][0]}\n", encoding="utf-8")
    arguments = ["members", "plan", "--mode", "add", "--file", str(path), "--out", str(tmp_path / "plan.json")]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--account-column", "Wen", "--group-column", "Wohin", "--format", "json"])
    said = capsys.readouterr()
    assert ended.value.code == 0, said.err
    assert people["account_id"][0] in said.out
    assert "“Wen” as the account" in said.err
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 1
    assert "--account-column" in capsys.readouterr().err


@pytest.mark.parametrize("typed", ["marketing", "MARKETING ", "{id}", "ID"])
def test_a_name_in_the_place_of_an_id_leads_to_the_id(
    typed: str, members: Membership, capsys: pytest.CaptureFixture[str]
) -> None:
    known = members.registry.frame().set_index("name")["group_id"]["marketing"]
    text = {"{id}": f"{{{known}}}", "ID": known.upper()}.get(typed, typed)
    with pytest.raises(SystemExit) as ended:
        main(["members", "list", text])
    said = capsys.readouterr()
    if "id" in typed.lower():
        assert ended.value.code == 0, said.err
    else:
        assert ended.value.code == 1
        assert known in said.err, said.err


# -- too much ----------------------------------------------------------------------------------------------------------


def test_too_many_lines_are_counted_truly() -> None:
    lines = MAX_ROWS + 12_345
    with pytest.raises(InputError, match=r"more than 100,000 lines \(112,34[678]\)"):
        read_csv(b"group_id,account_id\n" + b"g,a\n" * lines)


def test_too_large_a_file_is_refused_without_being_held(tmp_path: Path) -> None:
    path = tmp_path / "huge.csv"
    with path.open("wb") as file:
        file.write(b"group_id,account_id\n")
        for _ in range(60):
            file.write(b"g-1,account-number-one\n" * 43_478)
    assert path.stat().st_size > 59_000_000
    code = (
        "import resource, sys\nfrom spokekit.groups.wishes import read_csv\nfrom spokekit.errors import InputError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    read_csv(sys.argv[1])\nexcept InputError as error:\n    print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    said = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True).stdout
    words, grown = said.rsplit("\n", 2)[0], int(said.split()[-1])
    assert "2,608,681 lines" in words
    assert grown < 3 * MAX_BYTES // 1024, f"{grown} kB"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_a_header_of_ten_million_cells_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="has a line of 20,000,000 characters"):
        read_csv(b"a," * 10_000_000)
    with pytest.raises(InputError, match="cells"):
        read_csv(b"email," * 2_000 + b"\n" + b"x," * 2_000, group="g")


def test_a_workbook_that_unpacks_to_too_much_is_not_unpacked() -> None:
    kept = io.BytesIO()
    with (
        zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as parts,
        parts.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as part,
    ):
        for _ in range(500):
            part.write(b"\0" * 1_000_000)
    with pytest.raises(InputError, match="unpacks to 500 MB"):
        read_csv(kept.getvalue(), group="g")


@given(
    st.lists(st.lists(st.text(max_size=12), min_size=1, max_size=5), min_size=1, max_size=8), st.sampled_from(",;\t|")
)
def test_whatever_a_table_holds_is_read_or_refused_in_words(rows: list[list[str]], delimiter: str) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    try:
        read = read_csv(text.getvalue().encode("utf-8", "surrogatepass"), group="g", name="list.csv")
    except InputError as error:
        assert str(error)
        return
    assert all(wish.problem or wish.account for wish in read.wishes)
