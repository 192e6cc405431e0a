"""The findings panel without a browser: nothing is decided before a person marks, says why and who, and presses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from spokekit._workspace import Workspace
from spokekit.audit import Findings
from spokekit.errors import InputError
from spokekit.practice import PracticeSite
from spokekit.widgets import FindingsPanel, WalkPanel

EMPTY = "groups-without-members"


@pytest.fixture
def walked(connected: Workspace, site: PracticeSite) -> WalkPanel:
    groups = site.world.frames(tables=("groups",))["groups"]
    connected.registry().add(list(groups.loc[groups["access"] != "", "group_id"]), groups=groups)
    panel = WalkPanel(workspace=connected)
    panel.rehearse(groups="all")
    return panel


@pytest.fixture
def panel(walked: WalkPanel) -> FindingsPanel:
    return FindingsPanel(walked)


def files(walked: WalkPanel) -> Findings:
    return Findings(walked.newest().site)


def test_nothing_is_preset_and_nothing_written_before_the_first_press(walked: WalkPanel, panel: FindingsPanel) -> None:
    assert panel.question.value == "" and panel.accept.disabled
    assert (panel.reason.value, panel.name.value, panel.until.value, panel.marks.value) == ("", "", "", ())
    assert files(walked).frame().empty
    assert not panel.list.disabled, "a Tab that comes before Python has seen a choice must find it"
    panel.list.click()
    assert panel.status.startswith("No question is chosen.") and panel.status_kind == "error"
    assert files(walked).frame().empty and not panel.busy


def test_listing_decides_nothing_and_accepting_takes_what_is_marked(walked: WalkPanel, panel: FindingsPanel) -> None:
    panel.rehearse(question=EMPTY)
    listed = files(walked).frame()
    assert list(listed["state"]) == ["new"] and panel.status.startswith("1 new, 0 accepted, 0 fixed")
    assert [words for words, _ in panel.marks.options] == list(listed["about"])
    assert panel.marks.value == () and panel.accept.disabled
    assert "To accept: mark findings, type a reason, type your name." in panel._count.value
    with pytest.raises(InputError, match="No finding is marked"):
        panel.accept_marked()
    panel.marks.value = tuple(listed["finding_id"])
    panel.reason.value = "The project begins next quarter"
    assert panel.accept.disabled and "To accept: type your name." in panel._count.value
    panel.name.value = "Ann Auditor"
    until = (datetime.now(UTC) + timedelta(days=90)).date()
    panel.until.value = until.isoformat()
    assert not panel.accept.disabled
    panel.accept.click()
    panel.settled()
    (row,) = files(walked).frame("accepted").to_dict("records")
    assert (row["reason"], row["accepted_by"]) == ("The project begins next quarter", "Ann Auditor")
    assert row["accepted_until"].date() == until
    assert panel.accepted == 1 and panel.status_kind == "ok"
    assert panel.status.startswith(f"1 finding accepted by Ann Auditor until {until}. 0 new, 1 accepted")
    assert "Ann Auditor" in panel._table.value and panel.marks.options == ()
    panel.allowed.value = tuple(listed["finding_id"])
    panel.take_back.click()
    panel.settled()
    assert list(files(walked).frame()["state"]) == ["new"]


def test_a_list_of_another_question_or_snapshot_accepts_nothing(walked: WalkPanel, panel: FindingsPanel) -> None:
    panel.rehearse(question=EMPTY)
    panel.marks.value = (panel.marks.options[0][1],)
    panel.reason.value, panel.name.value = "a reason", "Ann"
    assert not panel.accept.disabled
    panel.question.value = "similar-groups"
    assert panel.accept.disabled
    with pytest.raises(InputError, match="made for other inputs"):
        panel.accept_marked()
    panel.question.value = EMPTY
    assert not panel.accept.disabled
    walked.rehearse(groups="all")
    panel.accept.click()
    assert panel.accept.disabled and "changed since: snapshot" in panel.status
    assert list(files(walked).frame()["state"]) == ["new"]


@pytest.mark.parametrize("typed", ["tomorrow", "31.12.2099", "2020-01-01"])
def test_a_wrong_day_accepts_nothing_and_loses_nothing(walked: WalkPanel, panel: FindingsPanel, typed: str) -> None:
    panel.rehearse(question=EMPTY)
    panel.marks.value = (panel.marks.options[0][1],)
    panel.reason.value, panel.name.value, panel.until.value = "a reason", "Ann", typed
    panel.accept.click()
    if panel.busy or panel.runner.running:
        with pytest.raises(InputError):
            panel.settled()
    assert panel.status_kind == "error" and panel.accepted == 0
    assert list(files(walked).frame()["state"]) == ["new"]
    assert len(panel.marks.value) == 1 and panel.reason.value == "a reason"


def test_what_the_filter_hides_is_not_accepted(walked: WalkPanel, panel: FindingsPanel) -> None:
    panel.rehearse(question="inactive-in-groups")
    assert len(panel.marks.options) > 1
    panel.marks.value = tuple(i for _, i in panel.marks.options)
    panel.filter.value = panel.marks.options[0][0]
    assert len(panel.marks.value) == 0
    panel.filter.value = "nobody is called so"
    assert panel.marks.options == () and "0 findings of" in panel._count.value
