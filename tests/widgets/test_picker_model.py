"""The two lists of the picker, without a widget."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spokekit.widgets.picker_model import SHOWN, PickerModel, Side


def frame(*rows: tuple[Any, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["group_id", "name", "access", "managed_by", "usage_type"])


GROUPS = frame(
    ("1", "confluence-users", "user", "ADMINS", "USERBASE_GROUP"),
    ("2", "okta-staff", "user, admin", "EXTERNAL", "USERBASE_GROUP"),
    ("3", "Team Falcon", "", "TEAM_MEMBERS", "TEAM_COLLABORATION"),
    ("4", "<b>Research</b>", "", "ADMINS", "USERBASE_GROUP"),
    ("5", "twin", "", "ADMINS", "USERBASE_GROUP"),
    ("6", "twin", "", "ADMINS", "USERBASE_GROUP"),
)


def model(registered: tuple[str, ...] = (), **more: Any) -> PickerModel:
    made = PickerModel(GROUPS, registered, **more)
    made.only_access = False
    return made


def test_only_groups_with_access_at_first() -> None:
    made = PickerModel(GROUPS)
    assert made.side("available") == ["1", "2"]
    assert made.count_words("available") == "2 groups with Confluence access; 1 of the 2 shown is synced"
    made.only_access = False
    assert len(made.side("available")) == 6


def test_marks_are_words() -> None:
    made = model(("1", "9"), names={"9": "long-gone"})
    made.count_members({"3": 0, "5": 4})
    assert made.label("1") == "confluence-users · access: user · registered"
    assert made.label("2") == "okta-staff · access: user, admin · synced"
    assert made.label("3") == "Team Falcon · team · empty"
    assert made.label("4") == "<b>Research</b>"
    assert made.label("9") == "long-gone · not on the site any more · registered"
    made.move("selected", ["1"])
    assert made.label("1").endswith("registered, will be taken out")


def test_groups_of_one_name_show_their_ids() -> None:
    assert {model().label("5"), model().label("6")} == {"twin · id 5", "twin · id 6"}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("TWIN", 2),
        ("twin 5", 1),
        ("5", 1),
        ("no 5", 0),
        ("team", 1),
        ("synced", 1),
        ("<b>", 1),
        ("nothing", 0),
        (" ", 6),
    ],
)
def test_the_filter_wants_every_word_anywhere(words: str, found: int) -> None:
    made = model()
    made.filters["available"] = words
    assert len(made.matches("available")) == found


def test_marks_survive_a_change_of_the_filter() -> None:
    made = model()
    made.filters["available"] = "twin"
    made.mark("available", ["5", "6"])
    made.filters["available"] = "okta"
    made.mark("available", ["2"])
    words = "6 groups, 1 matching the filter; 3 marked, 2 of them hidden by the filter; the one shown is synced"
    assert made.count_words("available") == words
    made.filters["available"] = "twin"
    made.mark("available", ["6"])
    assert made.move_marked("available") == 2
    assert list(made.chosen) == ["2", "6"]


def test_undo_takes_back_move_by_move() -> None:
    made = model(("1",))
    made.move("available", ["2", "3"])
    made.move("selected", ["1"])
    assert made.plan_words() == "OK will register 2 groups and take 1 group out of the table."
    assert made.undo()
    assert made.undo()
    assert not made.undo()
    assert made.plan_words() == "Nothing to save yet."


def test_of_many_matches_two_hundred_are_shown_and_the_number_told() -> None:
    rows = [(str(i), f"group {i:06}", "user", "ADMINS", "USERBASE_GROUP") for i in range(100_000)]
    made = PickerModel(frame(*rows))
    made.filters["available"] = "group 0"
    assert len(made.shown("available")) == SHOWN
    assert "100,000 matching the filter; the first 200 are shown" in made.count_words("available")
    assert made.move_shown("available") == SHOWN
    assert made.move_shown("available") == SHOWN
    assert len(made.chosen) == 2 * SHOWN
    assert made.chosen.keys().isdisjoint(made.matches("available"))


def test_what_all_shown_would_move_is_told_to_be_synced() -> None:
    rows = [(str(i), f"group {i}", "user", "EXTERNAL" if i < 3 else "ADMINS", "USERBASE_GROUP") for i in range(5)]
    made = PickerModel(frame(*rows))
    assert made.count_words("available").endswith("; 3 of the 5 shown are synced")
    made.move("available", ["3", "4"])
    assert made.count_words("available").endswith("; all 3 shown are synced")
    made.move("available", ["0", "1", "2"])
    assert "synced" not in made.count_words("available") + made.count_words("selected")


def test_the_one_marked_group_is_told_whole() -> None:
    made = model()
    assert made.about_marked() == ""
    made.count_members({"2": 1_204})
    made.mark("available", ["2"])
    said = "1,204 members; gives access to Confluence (user, admin); managed outside (synced from a directory)"
    assert made.about_marked().startswith(f"{made.lines['2'].name}: {said}")
    made.mark("available", ["2", "1"])
    assert made.about_marked() == "", "of several nothing is told"
    # One mark on each side is two groups as well.
    made = model(("1",))
    made.mark("selected", ["1"])
    assert "members not counted" in made.about_marked()
    made.mark("available", ["3"])
    assert made.about_marked() == ""


def test_a_name_with_half_a_surrogate_pair_is_found() -> None:
    # A frame cannot hold it, the table of registered groups can; and a browser may send anything as a filter.
    made = PickerModel(frame(("2", "other", "user", "ADMINS", "")), ("1",), names={"1": "half \ud83d of it"})
    for words, found in (("half \ud83d", ["1"]), ("\udca9", []), ("of", ["1"])):
        made.filters["selected"] = words
        assert made.matches("selected") == found


@settings(max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("mark"), st.sampled_from(["available", "selected"]), st.lists(st.sampled_from("123456"))),
            st.tuples(st.just("move"), st.sampled_from(["available", "selected"]), st.booleans()),
            st.tuples(st.just("filter"), st.sampled_from(["available", "selected"]), st.sampled_from(["", "tw", "a"])),
            st.tuples(st.just("only"), st.just("available"), st.booleans()),
            st.tuples(st.just("undo"), st.just("available"), st.none()),
        ),
        max_size=25,
    )
)
def test_no_group_is_ever_lost_or_on_both_sides(steps: list[tuple[str, Side, Any]]) -> None:
    made = model(("1", "5"))
    for what, side, value in steps:
        if what == "mark":
            made.mark(side, value)
        elif what == "move":
            shown, chosen = set(made.shown(side)), set(made.chosen)
            moved = made.move_shown(side) if value else made.move_marked(side)
            if value:
                assert moved == len(shown)
            assert len(chosen ^ set(made.chosen)) == moved
        elif what == "filter":
            made.filters[side] = value
        elif what == "only":
            made.only_access = value
        else:
            made.undo()
        chosen = set(made.chosen)
        made_all, made.only_access = made.only_access, False
        assert chosen.isdisjoint(made.side("available"))
        assert chosen | set(made.side("available")) == set("123456")
        made.only_access = made_all
        assert set(made.to_add) == chosen - {"1", "5"}
        assert set(made.to_remove) == {"1", "5"} - chosen
