"""The panels without a browser: what a person is told before, while and after a walk."""

from __future__ import annotations

import pytest

from spokekit._workspace import Workspace
from spokekit.audit import Snapshot
from spokekit.errors import Cancelled, InputError, NotFound
from spokekit.practice import PracticeSite
from spokekit.widgets import QuestionPanel, WalkPanel
from tests.conftest import connect


def test_cost_first_then_the_walk(connected: Workspace, site: PracticeSite) -> None:
    groups = site.world.frames(tables=("groups",))["groups"]
    connected.registry().add(list(groups.loc[groups["access"] != "", "group_id"]), groups=groups)
    panel = WalkPanel(workspace=connected)
    assert panel.start.disabled and panel.value is None
    with pytest.raises(InputError, match="Look at what it will cost first"):
        panel.walk()
    panel.look()
    panel.settled()
    assert panel.plan.registered_groups == 5 and panel.plan.chosen_groups == 5
    assert panel.plan.registered.points < panel.plan.everything.points
    assert not [r for r in site.requests if "membersByGroupId" in r.path], "nothing is walked before the press"


def test_the_whole_way(connected: Workspace, site: PracticeSite) -> None:
    panel = WalkPanel(workspace=connected)
    with pytest.raises(NotFound, match="walk first"):
        panel.newest()
    panel.scope.value = "all"
    panel.estimate.click()
    panel.settled()
    assert panel.plan.chosen_groups == 26
    assert not panel.start.disabled
    assert "All groups of the site" in panel._cost.value
    least, most = panel.plan.chosen.least, panel.plan.chosen
    assert f"{least.points:,} to {most.points:,}" in panel._cost.value, "a guess is no figure"
    assert f"At least {least.requests} requests and {least.points} points" in panel._cost.value
    panel.scope.value = "registered"
    assert panel.start.disabled and panel.plan is None, "another scope, another cost"
    panel.scope.value = "all"
    panel.look()
    panel.settled()
    panel.start.click()
    panel.settled()
    assert panel.status.startswith("Complete: 289 memberships")
    assert panel.accepted == 1 and panel.start.disabled
    assert len(panel.newest().frame("memberships")) == 289
    again = WalkPanel(workspace=connected)
    assert again.value is not None and "newest snapshot" in again.status

    asking = QuestionPanel(panel)
    asking.rehearse(question="groups-without-members")
    assert asking.value["group_name"].to_list() == ["project-phoenix"]
    assert "project-phoenix" in asking._place.value and asking.status == "1 row."
    assert "Done." not in asking._status_html.value and asking.body.index(asking.outcome) < asking.body.index(
        asking._place
    )
    asking.question.value = "members-of-groups"
    assert "Cannot know: E-mail" in asking._words.value
    asking.params["group"].value = "<b>Research & Development</b>"
    asking.ask()
    asking.settled()
    assert "&lt;b&gt;Research &amp; Development&lt;/b&gt;" in asking._place.value
    assert "<b>Research" not in asking._place.value
    asking.params["group"].value = "no such group"
    asking.ask()
    with pytest.raises(NotFound):
        asking.settled()
    assert "There is no group 'no such group'" in asking.status
    asking.params["group"].value = ""
    asking.ask()
    asking.settled()
    assert "289 rows, the first 100 are shown" in asking.status


def test_an_older_snapshot_or_none_that_can_be_used_is_said_when_the_panel_opens(connected: Workspace) -> None:
    panel = WalkPanel(workspace=connected)
    for _ in range(2):
        panel.rehearse(groups="all")
    newest = panel.newest().source
    assert isinstance(newest, Snapshot)
    (newest.folder / "memberships.parquet").write_bytes(b"")
    again = WalkPanel(workspace=connected)
    assert again.status_kind == "warning" and again.status.startswith("This is from the older snapshot 1")
    assert "000002/memberships.parquet has 0 bytes" in again.status and "spokekit audit check" in again.status
    asking = QuestionPanel(again)
    asking.rehearse(question="group-sizes")
    assert asking.status_kind == "warning" and "This is from the older snapshot 1" in asking.status
    again.look()
    again.settled()
    assert "This is from the older snapshot 1" in again._cost.value, "and before the next walk"
    for path in newest.folder.parent.glob("*/users.parquet"):
        path.unlink()
    again = WalkPanel(workspace=connected)
    assert again.value is None and again.status_kind == "error" and "The snapshot 2" in again.status
    again.rehearse(groups="all")
    assert "This one begins a new history." in again._report.value and again.newest().caution() == ""


def test_while_it_walks_one_time_is_told(workspace: Workspace, site: PracticeSite) -> None:
    connect(workspace, site)
    panel = WalkPanel(workspace=workspace)
    panel.scope.value = "all"
    panel.look()
    panel.settled()
    assert "It takes about" in panel._cost.value
    seen: list[str] = []
    panel.observe(lambda change: seen.append(panel._cost.value), "busy")
    panel.walk()
    panel.settled()
    assert seen == ["", ""]


def test_a_long_walk_needs_a_tick_and_an_unfinished_one_is_offered(workspace: Workspace) -> None:
    with PracticeSite(size="900x200", seed=1, strict=True) as site:
        connect(workspace, site)
        panel = WalkPanel(workspace=workspace)
        panel.scope.value = "all"
        panel.look()
        panel.settled()
        # 900 groups of 75 assumed members are 140,000 points: two pauses for a new hour.
        assert panel.plan.chosen.seconds > 3600
        assert panel.start.disabled is (panel.plan.chosen.seconds > 7200)
        panel.long.value = True
        assert not panel.start.disabled
        panel._stopped(Cancelled("Walking was cancelled."))
        assert panel.start.disabled and not panel.long.value, "a tick does not outlive what it was made for"


def test_without_a_connection_it_says_what_comes_first(workspace: Workspace) -> None:
    panel = WalkPanel(workspace=workspace)
    assert "no connection yet" in panel.status and panel.status_kind == "warning"


def test_what_was_not_there_at_the_start_may_be_there_at_the_press(workspace: Workspace, site: PracticeSite) -> None:
    panel = WalkPanel(workspace=workspace)
    connect(workspace, site)
    panel.scope.value = "all"
    panel.estimate.click()
    panel.settled()
    assert panel.plan is not None and "no connection" not in panel.status


def test_a_walk_that_would_end_incomplete_is_warned_of(connected: Workspace) -> None:
    panel = WalkPanel(workspace=connected)
    panel.scope.value, panel.spaces.value = "all", True
    panel.look()
    panel.settled()
    warned = panel._cost.value.partition("<table")[0]
    assert "sk-warning" in warned and "! Note." in warned and "would end incomplete" in warned
    assert panel.plan.words.count("Note: Spaces cannot be read") == 1
    # Nothing was done, and nothing says so.
    assert panel.status_kind == "plain" and "Done." not in panel._status_html.value
    panel.spaces.value = False
    panel.look()
    panel.settled()
    assert "sk-warning" not in panel._cost.value
