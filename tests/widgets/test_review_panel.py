"""The review panel: from the walk to closed evidence, with what a person does wrong on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spokekit.review import check_evidence
from spokekit.widgets import ReviewPanel, WalkPanel
from tests.groups.conftest import REGISTERED

if TYPE_CHECKING:
    from pathlib import Path

    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite


@pytest.fixture
def walked(connected: Workspace, site: PracticeSite) -> Workspace:
    connection = connected.connection()
    connected.connections.set_account(connection.connection_id, site.account_id, "The administrator")
    groups = site.world.frames(tables=["groups"])["groups"]
    connected.registry().add(list(groups[groups["name"].isin(REGISTERED)]["group_id"]), groups=groups)
    WalkPanel(workspace=connected).rehearse()
    return connected


def mark(panel: ReviewPanel, words: str) -> None:
    panel.filter.value = words
    panel.list.value = tuple(row_id for _, row_id in panel.list.options)


def hidden(widget: object) -> bool:
    return widget.layout.display == "none"  # type: ignore[attr-defined,no-any-return]


def test_a_quarter_from_the_walk_to_closed_evidence(walked: Workspace, site: PracticeSite, tmp_path: Path) -> None:
    panel = ReviewPanel(workspace=walked)
    assert panel.new.shown and hidden(panel.rows_box)
    panel.open_button.click()
    assert panel.status_kind == "error", "a review needs a name"
    panel.name.value = "2026-Q4"
    panel.open_button.click()
    assert panel.campaign.state == "Open" and not hidden(panel.rows_box) and hidden(panel.apply_box)
    rows = panel.campaign.sums()["undecided"]
    assert len(panel.list.options) == rows

    panel.decide_buttons["remove"].click()
    assert "No row is marked" in panel.status
    mark(panel, "leaver")
    assert panel.status == "", "rows are marked now"
    leavers = len(panel.value)
    assert 0 < leavers < rows
    panel.decide_buttons["keep"].click()
    assert "needs a reason" in panel.status and panel.campaign.sums()["keep"] == 0
    panel.decide_buttons["remove"].click()
    assert panel.status_kind == "ok" and panel.campaign.sums()["remove"] == leavers
    assert not panel.list.options, "the filter lets undecided leavers through, and there are none"

    panel.keep_all.click()
    assert panel.status == "0 decisions recorded." and panel.status_kind == "plain", "nothing was done"
    panel.filter.value = ""
    panel.sign_button.click()
    assert "The field “Your name” is empty." in panel.status and "spokekit" not in panel.status
    panel.reason.value = "known"
    panel.keep_all.click()
    left = panel.campaign.sums()["undecided"]
    assert left and "your own membership" in panel.status, "nobody decides about themselves"
    own = {panel.campaign.row(row_id).account_id for _, row_id in panel.list.options}
    assert own == {site.account_id}

    # Somebody else decides them, in a worksheet.
    panel.sheet_out.click()
    panel.settled()
    assert "downloads of your browser" in panel.status
    sheet = panel.campaign.worksheet(tmp_path / "sheet.csv")
    import pandas as pd

    filled = pd.read_csv(sheet, dtype=str, keep_default_na=False)
    mine = filled["account_id"] == site.account_id
    filled.loc[mine, ["decision", "reason", "reviewer"]] = ["keep", "needed", "Robin Other"]
    panel.read_worksheet(filled.to_csv(index=False).encode(), "sheet.csv")
    assert not hidden(panel.sheet_card) and panel.campaign.sums()["undecided"] == left
    # What it says of the decisions is said of those that there were.
    kept = next(row.row_id for row in panel.campaign.rows if panel.campaign.decision(row.row_id))
    panel.campaign.decide(kept, "ask", reason="by somebody else")
    panel.take_sheet.click()
    assert panel.take_sheet.disabled and "changed since: decisions" in panel.status
    assert panel.campaign.sums()["undecided"] > 0
    panel.campaign.decide(kept, "remove")
    panel.read_worksheet(filled.to_csv(index=False).encode(), "sheet.csv")
    panel.take_sheet.click()
    assert hidden(panel.sheet_card) and panel.campaign.sums()["undecided"] == 0, panel.status

    panel.sign_button.click()
    assert panel.status_kind == "error"
    panel.by.value, panel.role.value = "Kim Muster", "Head of IT"
    panel.sign_button.click()
    assert panel.campaign.state == "Decided" and hidden(panel.sign_box) and not hidden(panel.apply_box)
    assert all(made.disabled for made in panel.decide_buttons.values()) and hidden(panel.decide_box)

    panel.ask.click()
    panel.settled()
    assert not site.writes and not hidden(panel.preview_card)
    if panel.preview.confirmation:
        assert panel.apply_button.disabled
        panel.confirm.value = panel.preview.confirmation
    assert not panel.apply_button.disabled
    panel.apply_button.click()
    panel.settled()
    assert panel.campaign.state == "Applied" and len(site.writes) >= 1, panel.status

    stranger = next(a for a in site.world.member_ids("legal-counsel") if a not in site.world.member_ids("marketing"))
    site.world.add_member("marketing", stranger)
    panel.verify_button.click()
    panel.settled(120)
    assert panel.campaign.state == "Verified" and panel.status_kind == "warning", panel.status
    assert "unexplained change" in panel.verified.value

    folder = tmp_path / "evidence" / "2026-Q4"
    assert panel.evidence_out.disabled
    panel.folder.value = str(folder)
    panel.close_button.click()
    panel.settled(120)
    assert panel.campaign.state == "Closed" and panel.accepted == 1, panel.status
    assert set(check_evidence(folder)["state"]) == {"whole"}
    panel.evidence_out.click()
    panel.settled()
    assert "evidence-2026-Q4.zip" in panel.status

    # Of another review nothing of that is said.
    assert panel.status
    panel.name.value = "2027-Q1"
    panel.open_button.click()
    panel.chosen.value = "2026-Q4"
    assert panel.campaign.name == "2026-Q4" and panel.status == ""

    again = ReviewPanel(workspace=walked)
    again.choose("2026-Q4")
    assert again.campaign.name == "2026-Q4" and not again.new.shown and hidden(again.apply_box)


def test_without_a_connection_or_a_walk_it_says_what_comes_first(workspace: Workspace, connected: Workspace) -> None:
    panel = ReviewPanel(workspace=connected)
    panel.name.value = "2026-Q4"
    panel.open_button.click()
    assert panel.status_kind == "error" and "walk" in panel.status.lower()


def test_hostile_names_are_text(walked: Workspace) -> None:
    panel = ReviewPanel(workspace=walked)
    panel.name.value = "<img src=x>"
    panel.open_button.click()
    mark(panel, "research & development")
    assert panel.value
    panel.list.value = panel.value[:1]
    assert "<b>Research" not in panel.about.value and "&lt;b&gt;Research" in panel.about.value
    assert "<img" not in panel.head.value


def test_a_list_of_people_tells_who_has_left(walked: Workspace, site: PracticeSite) -> None:
    panel = ReviewPanel(workspace=walked)
    assert hidden(panel.no_lists) and hidden(panel.lists_line)
    gone = next(a for a in site.world.member_ids("marketing") if a != site.account_id)
    panel.add_list(f"account_id,status\n{gone},left\n".encode(), "people.csv")
    assert "people.csv: 1 person of" in panel.lists_line.value and not hidden(panel.no_lists)
    panel.name.value = "2026-Q4"
    panel.open_button.click()
    row = next(r for r in panel.campaign.rows if r.account_id == gone and r.group_name == "marketing")
    assert "leaver" in row.recommendation, panel.status
    assert hidden(panel.no_lists), "a list is for the review that it was added to"
