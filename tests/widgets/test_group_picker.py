"""The picker on a practice site: load, choose, OK, Cancel; and what goes wrong underneath."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from spokekit.errors import Cancelled, NotConfigured, SpokekitError
from spokekit.widgets._browser import ListKeys
from spokekit.widgets.group_picker import GroupPicker
from spokekit.widgets.group_table import ROWS, GroupTable

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite


@pytest.fixture
def picker(connected: Workspace) -> GroupPicker:
    """A picker with the groups of the world."""
    made = GroupPicker(workspace=connected)
    made.settled()
    return made


def ids(picker: GroupPicker, *names: str) -> list[str]:
    by_name = {line.name: group_id for group_id, line in picker.model.lines.items()}
    return [by_name[name] for name in names]


def test_it_shows_what_the_world_holds(picker: GroupPicker, site: PracticeSite) -> None:
    truth = site.world.frames()["groups"]
    assert len(picker.lists["available"].options) == (truth["access"] != "").sum()
    picker.only_access.value = False
    shown = {label.split(" · ")[0] for label, _ in picker.lists["available"].options}
    assert shown == set(truth["name"])
    assert f"{len(truth)} groups" in picker.counts["available"].value


def test_moves_by_press_ok_and_the_table_follows(picker: GroupPicker, connected: Workspace, site: PracticeSite) -> None:
    table = GroupTable(connected.registry().frame, empty="Nothing yet.").follow(picker, "accepted")
    assert table.status == "Nothing yet."
    heard: list[tuple[str, ...]] = []
    picker.observe(lambda change: heard.append(change["new"]), "value")
    one, two = ids(picker, "confluence-users", "confluence-admins")
    picker.lists["available"].value = (one,)
    picker.filters["available"].value = "admins"
    picker.lists["available"].value = (two,)
    assert "2 marked, 1 of them hidden by the filter" in picker.counts["available"].value
    picker.add.click()
    assert set(picker.selected) == {one, two}
    assert "OK will register 2 groups." in picker.plan.value
    assert connected.registry().ids() == frozenset()
    picker.ok.click()
    picker.settled()
    assert connected.registry().ids() == {one, two}
    assert set(heard[-1]) == {one, two}
    assert len(table.value) == 2
    assert table.value["access"].tolist() == ["admin", "user"]
    assert picker.status == "2 registered. 2 groups are registered now."
    assert not site.writes


def test_registered_groups_stand_right_and_can_be_taken_out(picker: GroupPicker, connected: Workspace) -> None:
    one, two = ids(picker, "confluence-users", "confluence-admins")
    connected.registry().add([one, two], groups=picker._groups)
    picker.load()
    picker.settled()
    assert set(picker.selected) == {one, two}
    assert all(label.endswith("· registered") for label, _ in picker.lists["selected"].options)
    picker.lists["selected"].value = (one,)
    picker.take.click()
    assert "take 1 group out of the table" in picker.plan.value
    picker.undo.click()
    assert set(picker.selected) == {one, two}
    picker.lists["selected"].value = (one,)
    picker.take.click()
    picker.accept()
    picker.settled()
    assert connected.registry().ids() == {two}


def test_a_double_click_and_enter_move_what_stands_in_the_page(picker: GroupPicker) -> None:
    available, selected = picker.lists["available"], picker.lists["selected"]

    def told(number: int, *lines: tuple[int, str]) -> None:
        keys = next(child for child in picker.children if isinstance(child, ListKeys))
        keys._handle_custom_msg({"kind": "act", "list": number, "lines": list(lines)}, [])

    words = [label for label, _ in available.options]
    told(0, (1, words[1]))
    assert picker.status == "1 group moved to Selected."
    assert [label for label, _ in selected.options] == [words[1]]
    # The page still shows the list of before: its second line is another group by now.
    told(0, (1, words[1]))
    told(0, (99, words[0]))
    assert len(picker.selected) == 1
    told(0, (0, words[0]), (1, words[2]))
    assert picker.status == "2 groups moved to Selected." and len(picker.selected) == 3
    told(1, (0, selected.options[0][0]))
    assert len(picker.selected) == 2


def test_looking_up_again_says_what_it_costs_and_of_two_cancels_one_shows(picker: GroupPicker) -> None:
    assert "costs about 55 of 65,000 points" in picker.cost.value
    shown: list[str] = []
    picker.observe(lambda change: shown.append(picker.cancel.layout.display or ""), "busy")
    picker.reload.click()
    picker.settled()
    assert shown == ["none", ""]
    assert picker.status == "Looked up again: 26 groups, the same as before."
    picker._groups = picker._groups.iloc[1:]
    picker.reload.click()
    picker.settled()
    assert picker.status == "Looked up again: 26 groups, 1 new, 0 not there any more."


def test_cancel_forgets_the_moves(picker: GroupPicker, connected: Workspace) -> None:
    picker.add_all.click()
    assert len(picker.selected) == 5
    picker.cancel.click()
    assert picker.selected == ()
    assert connected.registry().ids() == frozenset()
    assert picker.status.startswith("Cancelled")


def test_a_rerun_of_the_cell_keeps_what_was_chosen(picker: GroupPicker, connected: Workspace) -> None:
    picker.filters["available"].value = "conf"
    picker.add_all.click()
    again = GroupPicker(workspace=connected)
    again.settled()
    assert again.filters["available"].value == "conf"
    assert again.selected == picker.selected
    assert len(again.selected) == 2


def test_marking_empty_groups(picker: GroupPicker) -> None:
    picker.only_access.value = False
    picker.count_empty.click()
    picker.settled()
    assert picker.status == "1 of the 26 shown groups is empty."
    picker.filters["available"].value = "empty"
    assert [label for label, _ in picker.lists["available"].options] == ["project-phoenix · empty"]


def test_a_group_that_could_not_be_counted_is_neither_empty_nor_passed_over(
    picker: GroupPicker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spokekit.confluence.spoke import Spoke

    read = Spoke.look_up_members_by_group_id

    def in_part(self: Spoke, ids: Any, **options: Any) -> pd.DataFrame:
        frame = read(self, ids, **options)
        frame.attrs["completeness"]["failed"] = list(ids)[:2]
        return frame

    monkeypatch.setattr(Spoke, "look_up_members_by_group_id", in_part)
    picker.count_empty.click()
    picker.settled()
    assert picker.status_kind == "warning"
    assert "of the 3 groups that could be counted" in picker.status and "2 groups could not be read" in picker.status


def test_ok_without_a_move_claims_nothing(picker: GroupPicker) -> None:
    picker.ok.click()
    picker.settled()
    assert picker.status.startswith("Nothing was changed.") and picker.status_kind == "plain"
    assert "Done." not in picker._status_html.value


def test_html_in_names_stays_text(picker: GroupPicker, connected: Workspace) -> None:
    (group_id,) = ids(picker, "<b>Research & Development</b>")
    picker.only_access.value = False
    picker.choose([group_id])
    picker.accept()
    picker.settled()
    table = GroupTable(connected.registry().frame)
    assert "&lt;b&gt;Research &amp; Development&lt;/b&gt;" in table._place.value
    assert "<b>" not in table._place.value + picker.plan.value + picker._status_html.value


def test_a_connection_without_a_token_is_told_in_the_component(workspace: Workspace) -> None:
    picker = GroupPicker(workspace=workspace)
    with pytest.raises(SpokekitError):
        picker.settled()
    assert picker.status_kind == "error"
    assert "not configured" in picker.status
    picker.add.click()
    assert "not here yet" in picker.status
    with pytest.raises(NotConfigured):
        _ = picker.model


def test_a_site_that_is_gone_loses_nothing_that_was_chosen(picker: GroupPicker, site: PracticeSite) -> None:
    picker.add_all.click()
    chosen = picker.selected
    site.stop()
    picker.reload.click()
    assert picker.busy
    picker._cancel.click()
    with pytest.raises(Cancelled):
        picker.settled()
    assert picker.status_kind == "warning"
    assert picker.selected == chosen
    assert len(picker.lists["selected"].options) == 5


@pytest.mark.parametrize("fault", ["cut:3", "reset:3", "short-pages:4"])
def test_an_answer_that_stops_in_the_middle_is_read_again(connected: Workspace, site: PracticeSite, fault: str) -> None:
    site.faults.add(fault)
    picker = GroupPicker(workspace=connected)
    picker.settled()
    assert {line.name for line in picker.model.lines.values()} == set(site.world.frames()["groups"]["name"])
    assert picker.status == ""


def test_an_answer_that_makes_no_sense_is_told_and_nothing_is_lost(picker: GroupPicker, site: PracticeSite) -> None:
    picker.add_all.click()
    chosen = picker.selected
    site.faults.add("missing-results:1")
    picker.reload.click()
    with pytest.raises(SpokekitError):
        picker.settled()
    assert picker.status_kind == "error"
    assert "<p><span class='sk-word'>Next:</span>" in picker._status_html.value
    site.faults.clear()
    picker.reload.click()
    picker.settled()
    assert picker.selected == chosen


def test_an_incomplete_list_says_so(connected: Workspace) -> None:
    groups = pd.DataFrame(
        [("1", "a group", "user", "ADMINS", "USERBASE_GROUP")],
        columns=["group_id", "name", "access", "managed_by", "usage_type"],
    )
    groups.attrs["completeness"] = {"complete": False, "words": "1 row, the list was not read to its end."}
    picker = GroupPicker(workspace=connected, groups=groups)
    assert picker.status_kind == "warning"
    assert "not read to its end" in picker.status
    table = GroupTable(groups)
    assert "Rows are missing" in table.status


def test_a_long_frame_is_cut_and_the_cut_is_told() -> None:
    frame = pd.DataFrame({"name": ["x"] * 1234, "members": [None] * 1234, "big": [1234567] * 1234})
    table = GroupTable(frame, columns={"name": "<Name>", "big": "big", "members": "members", "gone": "gone"})
    assert f"The first {ROWS} of 1,234 rows" in table._place.value
    assert table._place.value.count("<tr") == ROWS + 1
    assert "&lt;Name&gt;" in table._place.value
    assert "nan" not in table._place.value.lower()
    assert "1,234,567" in table._place.value
