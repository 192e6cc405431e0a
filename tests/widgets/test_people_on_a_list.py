"""People are found and named on a list, and nobody is guessed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spokekit.errors import InputError, NotFound
from spokekit.widgets import MembershipEditor, WalkPanel
from spokekit.widgets._people import People, read_list, wishes_of
from spokekit.widgets.base import forget_typed

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite

IDS = [f"712020:00000000-0000-4000-8000-{number:012d}" for number in range(8)]
ROWS = [
    ("Kim Example", "kim@example.com", "atlassian"),
    ("Ada Li", "", "atlassian"),
    ("Ada Li", "ada.li@example.com", "atlassian"),
    ("Lucía Rao", "lucia@example.com", "atlassian"),
    ("Deploy Bot", "", "app"),
    ("O'Neill, Rory; <b>", "rory@example.com", "atlassian"),
    ("", "", "atlassian"),
    ("Mara", "", "atlassian"),
]


def known() -> People:
    people = People()
    people.take(
        pd.DataFrame(
            [(one, *row) for one, row in zip(IDS, ROWS, strict=True)],
            columns=["account_id", "display_name", "email", "account_type"],
        )
    )
    return people


def accounts(text: str) -> list[str]:
    return [wish.account for wish in wishes_of(text, "g-1", known()).wishes]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Kim Example", [0]),
        ("  kim   EXAMPLE \nmara", [0, 7]),
        ("Example, Kim", [0]),
        ("Lucía Rao; Kim Example|Mara", [3, 0, 7]),
        ("Kim Example, Mara", [0, 7]),
        ("Display Name\nKim Example", [0]),
        ("@Kim Example", [0]),
        (f"Whoever <{IDS[2]}>\nkim@example.com", [2, "kim@example.com"]),
        (f"{IDS[1]}\nKim Example\n{IDS[4]} {IDS[3]}", [1, 0, 4, 3]),
        ("Kim Example <kim@example.com>", ["kim@example.com"]),
        (f"account_id,email\n{IDS[0]},kim@example.com", [0]),
    ],
)
def test_one_match_is_taken(text: str, meant: list[int | str]) -> None:
    assert accounts(text) == [IDS[one] if isinstance(one, int) else one for one in meant]


def test_several_and_nobody_are_said_and_not_guessed() -> None:
    read = read_list("Mara\nAda Li\nKim Exampel\nKim", "g-1", known(), near=5)
    assert [(name, one.account_id) for name, one in read.taken] == [("Mara", IDS[7])]
    assert [(one.name, one.several, [c.account_id for c in one.candidates]) for one in read.unclear] == [
        ("Ada Li", True, IDS[1:3]),
        ("Kim Exampel", False, []),
        ("Kim", False, IDS[:1]),
    ]
    with pytest.raises(InputError, match=r"2 people are called “Ada Li”\. So it is with 2 more"):
        wishes_of("Mara\nAda Li\nKim Exampel\nKim", "g-1", known())
    with pytest.raises(InputError, match="nobody who is known here is called “Lucia Rao”"):
        wishes_of("Lucia Rao", "g-1", known())


def test_a_comma_alone_is_nobody_whose_name_is_hidden() -> None:
    with pytest.raises(InputError):
        wishes_of(",", "g-1", known())


def test_what_is_put_on_a_list_is_read_again() -> None:
    people = known()
    for one in people.by_id.values():
        (wish,) = wishes_of(one.line, "g-1", people).wishes
        assert wish.account == one.account_id, one


def test_a_pasted_table_says_which_columns_it_does_not_use() -> None:
    text = f"Bereich;account_id;Telefon\nconfluence-users;{IDS[0]};1\nconfluence-users;{IDS[1]};2"
    listed = wishes_of(text, "g-1", known())
    assert "Not used: the columns “Bereich”, “Telefon”." in listed.notes
    # Whoever plans it refuses a list whose unused cells name groups.
    assert listed.unused["Bereich"] == {"confluence-users"}
    assert read_list(text, "g-1", known()).notes == listed.notes


@given(st.text(alphabet="KimExapleAdLi ,;|<>@\n\t\"':-123" + IDS[0], max_size=60))
def test_no_list_is_read_as_somebody_who_is_not_on_it(text: str) -> None:
    people = known()
    try:
        read = read_list(text, "g-1", people, near=3)
    except InputError:
        return
    names = {one.name: one.account_id for one in people.by_id.values() if one.name != "Ada Li"}
    for wish in read.wishes:
        said = wish.account in re.split(r"[\s,;|\"'<>]+", text) or wish.account.lower() in text.lower()
        assert said or wish.account in {account for name, account in names.items() if name}


# --- in the component ------------------------------------------------------------------------------------------------


@pytest.fixture
def editor(connected: Workspace, site: PracticeSite) -> MembershipEditor:
    forget_typed()
    groups = site.world.frames(tables=("groups",))["groups"]
    connected.registry().add(list(groups.loc[groups["name"] == "marketing", "group_id"]), groups=groups)
    WalkPanel(workspace=connected).rehearse(groups="all")
    made = MembershipEditor(workspace=connected, pace=1000)
    made.settled()
    made.action.value = "add"
    return made


def outside(editor: MembershipEditor, site: PracticeSite) -> tuple[str, str]:
    """Return id and name of somebody whose name nobody else has, and who is not in the group."""
    users = site.world.frames(tables=("users",))["users"]
    names = users["display_name"].astype(str)
    fit = users[~users["account_id"].isin(set(editor.members["account_id"])) & ~names.duplicated(keep=False)]
    fit = fit[(fit["account_type"] == "atlassian") & fit["display_name"].str.contains(" ")]
    walked = editor._people.by_id
    row = next(r for r in fit.itertuples() if r.account_id in walked)
    return row.account_id, row.display_name


def test_a_person_is_searched_for_and_put_on_the_list(editor: MembershipEditor, site: PracticeSite) -> None:
    account, name = outside(editor, site)
    assert "Names are known from the walk of" in editor.known_note.value
    editor.person.value = name[:-1]
    (label,) = [one for one in editor.person.options if one.startswith(name)]
    editor.person.value = label
    assert label in editor.person.options, "the suggestions stay as they are under what was chosen"
    editor.add_button.click()
    assert editor.pasted.value == f"{name} <{account}>" and editor.person.value == ""
    assert editor.status.startswith(f"{name} is on the list. Nothing is changed yet")
    editor.person.value = name
    editor.add_button.click()
    assert editor.pasted.value.count(account) == 1 and "already" in editor.status
    editor.make_preview()
    editor.settled()
    assert [(row.account_id, row.action) for row in editor.preview.plan.planned] == [(account, "add")]
    assert not site.writes


def test_who_is_not_found_is_asked_about_and_an_id_is_looked_up(editor: MembershipEditor, site: PracticeSite) -> None:
    account, name = outside(editor, site)
    editor.person.value = name.split()[0].lower()
    editor.add_button.click()
    assert editor.pasted.value == "" and editor.status_kind == "error" and "Choose one of them." in editor.status
    press = next(one for one in editor.near.children[1:] if one.description.startswith(name))
    press.click()
    assert editor.pasted.value == f"{name} <{account}>" and editor.near.layout.display == "none"
    # Somebody whom no walk has seen.
    editor.pasted.value = ""
    del editor._people.by_id[account]
    editor._people._by_name = {}
    editor.person.value = account
    editor.add_button.click()
    editor.settled()
    assert editor.pasted.value == f"{name} <{account}>"
    editor.person.value = IDS[0]
    editor.add_button.click()
    with pytest.raises(NotFound):
        editor.settled()
    assert "The site knows no account" in editor.status and editor.pasted.value.count("<") == 1


def test_pasted_names_are_matched_and_shown(editor: MembershipEditor, site: PracticeSite) -> None:
    account, name = outside(editor, site)
    editor._people.take(
        pd.DataFrame(
            [(IDS[0], "Two Names", "a@example.com", "atlassian"), (IDS[1], "Two Names", "", "atlassian")],
            columns=["account_id", "display_name", "email", "account_type"],
        )
    )
    editor.pasted.value = f"{name}\nTwo Names\nNo Such Person"
    told, two, none = editor.reading.children
    assert account in told.value and "2 names not clear yet" in told.value
    assert "2 people are called" in two.children[0].value and "nobody who is known here" in none.value
    editor.ask.click()
    assert editor.preview is None and "2 people are called “Two Names”" in editor.status
    two.children[1].value = IDS[0]
    assert editor.pasted.value.splitlines()[1] == f"Two Names <{IDS[0]}>"
    editor.pasted.value = name
    editor.make_preview()
    editor.settled()
    assert [row.account_id for row in editor.preview.plan.planned] == [account]
    # Columns that are not used are said where the list stands, and none may hold the names of other groups.
    editor.pasted.value = f"Bereich;account_id\nconfluence-users;{account}"
    assert "Not used: the column “Bereich”." in editor.reading.children[0].value.replace("&quot;", '"')
    editor.ask.click()
    with pytest.raises(InputError, match="Bereich"):
        editor.settled()
    assert editor.preview is None or editor.apply_button.disabled
    editor.pasted.value = name
    editor.make_preview()
    editor.settled()
    # What a name stands for is an input of the preview like any other.
    editor.pasted.value = f"{name}\nMara"
    assert editor.apply_button.disabled
