"""Notebook 7 as an auditor does it, by keyboard alone: a quarter's review from the walk to closed evidence."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import openpyxl
from playwright.sync_api import expect

from spokekit.audit import Audit, Site
from spokekit.groups.membership import Membership
from spokekit.review import Choice, Reviews, check_evidence
from spokekit.widgets import WalkPanel
from tests.browser.axe import findings_of_part
from tests.browser.by_keyboard import ByKeyboard
from tests.browser.jupyterlab_page import NotebookPage
from tests.browser.test_components_look import AUDIT
from tests.groups.conftest import REGISTERED

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite
    from spokekit.review import Campaign

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "07-review-access.ipynb"
# A walk, or 21 changes at the default pace, on a machine that may be busy.
SLOW = 60_000


class Auditor(ByKeyboard):
    """Somebody with a keyboard before the panel of the review."""

    def __init__(self, notebook: NotebookPage) -> None:
        super().__init__(notebook, "Review access")
        self.rows = self.field("Rows")

    def filter(self, words: str, of: int, found: int) -> None:
        self.back(self.field("Filter rows"))
        self.write(words)
        expect(self.panel).to_contain_text(f"{of} rows, {found} match; 0 marked.")
        expect(self.rows.locator("option")).to_have_count(found)

    def mark_all(self, found: int) -> None:
        self.go(self.rows)
        self.keyboard.press("Home")
        self.keyboard.press("Shift+End")
        expect(self.panel).to_contain_text(f"{found} match; {found} marked.")

    def look(self, name: str) -> list[str]:
        """Return what is wrong with what is shown, in both themes, and keep pictures of it."""
        found = []
        for theme in ("dark", "light"):
            self.notebook.lab.theme(theme)
            found += [f"{name}, {theme}: {one}" for one in self.panel.evaluate(AUDIT) + findings_of_part(self.panel)]
            self.notebook.screenshot(f"07-{name}-{theme}", self.panel)
        return found


def test_a_quarter_by_keyboard_alone_and_the_next_one_chained_to_it(
    open_notebook: Callable[..., NotebookPage],
    site: PracticeSite,
    connected: Workspace,
    tmp_path: Path,
) -> None:
    connection = connected.connection()
    connected.connections.set_account(connection.connection_id, site.account_id, "The administrator")
    groups = site.world.frames(tables=["groups"])["groups"]
    connected.registry().add(list(groups[groups["name"].isin(REGISTERED)]["group_id"]), groups=groups)
    WalkPanel(workspace=connected).rehearse()
    notebook = open_notebook(NOTEBOOK, env={"SPOKEKIT_PRACTICE": json.dumps(site.describe())})
    notebook.run_all()
    assert notebook.errors() == []
    sources = notebook.sources()
    a = Auditor(notebook)

    # Open it.
    a.field("Name").focus()
    a.write("2026-Q4")
    a.go(a.field("Due"))
    a.write("2099-12-31")
    a.press("Open the review", "The review 2026-Q4 is open: ")
    expect(a.field("Filter rows")).to_be_focused()
    campaign = Reviews.of(connected).get("2026-Q4")
    total, undecided = len(campaign.rows), campaign.sums()["undecided"]
    open_rows = [row for row in campaign.rows if not row.routed_out]
    leavers = [row for row in open_rows if "leaver" in row.recommendation]
    support = [row for row in open_rows if row.group_name.startswith("support-tier") and row not in leavers]
    later = [row for row in open_rows if row.group_name == "procurement" and row not in leavers]
    expect(a.rows.locator("option")).to_have_count(undecided)

    # Decide: leavers are not kept without a reason; the support's groups are emptied; some stay until a day.
    a.filter("leaver", total, len(leavers))
    a.mark_all(len(leavers))
    a.press("Keep", "needs a reason")
    wrong = a.look("deciding")
    a.press("Remove", f"{len(leavers)} decisions recorded")
    a.filter("support-tier", total, len(support))
    a.mark_all(len(support))
    a.press("Remove", f"{len(support)} decisions recorded")
    a.filter("procurement", total, len(later))
    a.mark_all(len(later))
    a.go(a.field("Reason"))
    a.write("until the new team is there")
    a.go(a.field("Exception until"))
    a.write("2099-03-31")
    a.press("Exception", f"{len(later)} decisions recorded")
    left = undecided - len(leavers) - len(support) - len(later)
    a.filter("", total, left)
    a.go(a.field("Reason"))
    a.write("known and needed")
    a.press(f"Keep all that are shown ({left})", "That is your own membership; somebody else decides about it.")
    own = [row.row_id for row in campaign.rows if row.account_id == site.account_id]
    expect(a.rows.locator("option")).to_have_count(len(own))

    # Nobody decides about themselves: somebody else does, in a worksheet.
    a.go(a.button("Worksheet for reviewers"))
    a.keyboard.press("Enter")
    a.go(a.button("Download the worksheet"))
    with notebook.page.expect_download() as download:
        a.keyboard.press("Enter")
    sheet = tmp_path / download.value.suggested_filename
    download.value.save_as(sheet)
    decided_by_another(sheet, {str(row_id) for row_id in own})
    expect(a.status).to_contain_text("downloads of your browser")
    a.go(a.button("Take a worksheet back"))
    # The dialog is the browser's own: on a busy machine a key may open it before it is listened for, and a click waits.
    with notebook.page.expect_file_chooser() as chooser:
        a.button("Take a worksheet back").click()
    chooser.value.set_files(sheet)
    expect(a.panel).to_contain_text(f"{len(own)} decisions in the worksheet")
    a.press("Take its decisions", f"{len(own)} decisions recorded")

    # Sign, preview, type the words, apply.
    expect(a.field("Your name")).to_be_focused()
    a.write("Kim Muster")
    a.go(a.field("Your role"))
    a.write("Head of IT")
    a.press("Sign the decisions", "The decisions are signed.")
    expect(a.button("Preview the removals")).to_be_focused()
    a.press("Preview the removals", "Nothing is changed yet", wait=SLOW)
    assert not site.writes
    changes = len(leavers) + len(support)
    apply = a.button(f"Apply: {changes} changes")
    expect(apply).to_be_disabled()
    wrong += a.look("preview")
    a.go(a.field("Type to confirm"))
    a.write(f"change {changes} memberships")
    a.go(apply)
    a.keyboard.press("Enter")
    expect(a.status).to_contain_text(f"{changes} done.", timeout=SLOW)
    expect(a.button("Walk again and verify")).to_be_focused()
    assert not site.world.member_ids("support-tier-1")

    # Somebody else's change meanwhile is told, and who was removed is gone.
    inside = set(site.world.member_ids("marketing"))
    stranger = next(one for one in site.world.member_ids("legal-counsel") if one not in inside)
    site.world.add_member("marketing", stranger)
    a.press(
        "Walk again and verify",
        f"{changes} removals done, 0 not done (0 came back), 0 refused; 1 unexplained",
        wait=SLOW,
    )
    wrong += a.look("verified")
    folder = tmp_path / "evidence" / "2026-Q4"
    a.go(a.field("Folder"))
    a.write(str(folder))
    a.press("Close with evidence", "The evidence is in ", wait=SLOW)
    wrong += a.look("closed")
    assert not wrong, "\n".join(wrong)
    assert notebook.sources() == sources, "no key changed a cell"

    reviews = Reviews.of(connected)
    assert set(check_evidence(folder, reviews)["state"]) == {"whole"}
    closed = reviews.get("2026-Q4")
    s = closed.sums()
    assert s["in_scope"] == s["keep"] + s["remove"] + s["ask"] + s["exception"] + s["routed_out"]
    assert (s["remove"], s["done"], s["exception"], s["unexplained"]) == (changes, changes, len(later), 1)
    assert closed.frame()["decided_by"].str.startswith("Robin Other (as stated in the worksheet").sum() == len(own)
    saved = json.dumps(notebook.save())
    assert connected.tokens.access_token(connection).reveal() not in saved and "Robin Other" not in saved

    # The next quarter is chained to it.
    following = the_next_quarter(reviews, connected, site, tmp_path / "evidence" / "2027-Q1")
    assert following.state == "Closed"
    assert set(check_evidence(tmp_path / "evidence", reviews)["state"]) == {"whole"}
    manifest = json.loads((tmp_path / "evidence" / "2027-Q1" / "manifest.json").read_text())
    assert manifest["previous"]["campaign"] == "2026-Q4"


def decided_by_another(path: Path, rows: set[str]) -> None:
    """Fill some rows of a worksheet in, as a reviewer without Jupyter does."""
    book = openpyxl.load_workbook(path)
    sheet = book["Rows"]
    at = {str(cell.value).replace(" ", "_"): cell.column for cell in sheet[1]}
    for line in range(2, sheet.max_row + 1):
        if str(sheet.cell(line, at["row_id"]).value) in rows:
            for name, value in (("decision", "keep"), ("reason", "needed"), ("reviewer", "Robin Other")):
                sheet.cell(line, at[name], value)
    book.save(path)


def the_next_quarter(reviews: Reviews, connected: Workspace, site: PracticeSite, folder: Path) -> Campaign:
    """Keep everybody, without a component; the walks are read from the practice world at once."""

    def look() -> Audit:
        frames = site.world.frames(tables=["groups", "users", "memberships"])
        where = Site(reviews.cloud_id, reviews.site)
        return Audit.of_frames(frames, site=where, taken_at=datetime.now(UTC))

    campaign = reviews.open("2027-Q1", audit=look())
    rows = [row for row in campaign.rows if not row.routed_out]
    campaign.take([Choice(row.row_id, "keep", "needed", stated_by="Robin Other") for row in rows])
    campaign.sign("Kim Muster", "Head of IT")
    members = Membership.of(connected)
    try:
        campaign.apply(members, None)
    finally:
        members.close()
    campaign.verify(look())
    campaign.close(folder)
    return campaign
