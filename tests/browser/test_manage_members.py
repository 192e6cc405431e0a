"""Notebook 6 as a person does it: mark two, preview, apply, see the result, undo, see the members again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Locator, expect

from spokekit.groups.journal import Journal
from tests.browser.jupyterlab_page import NotebookPage

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "06-manage-members.ipynb"


def status(component: Locator) -> Locator:
    return component.locator(".sk-status:visible")


@pytest.fixture
def notebook(
    open_notebook: Callable[..., NotebookPage], site: PracticeSite, connected: Workspace
) -> Iterator[NotebookPage]:
    """Notebook 6 after Run All, with three registered groups."""
    connection = connected.connection()
    connected.connections.set_account(connection.connection_id, site.account_id, "The administrator")
    groups = site.world.frames(tables=["groups"])["groups"]
    names = ("marketing", "support-tier-1", "confluence-users")
    connected.registry().add(list(groups[groups["name"].isin(names)]["group_id"]), groups=groups)
    opened = open_notebook(NOTEBOOK, env={"SPOKEKIT_PRACTICE": json.dumps(site.describe())})
    opened.run_all()
    assert opened.errors() == []
    yield opened


def test_mark_preview_apply_undo(
    notebook: NotebookPage, site: PracticeSite, connected: Workspace, tmp_path: Path
) -> None:
    before = set(site.world.member_ids("marketing"))
    sources = notebook.sources()
    editor = notebook.component("Manage members")
    editor.get_by_label("Group", exact=True).select_option("marketing")
    members = editor.get_by_label("Members", exact=True)
    expect(members.locator("option")).to_have_count(len(before))

    # Two people by keyboard; JupyterLab must not take any of these keys.
    members.locator("option").first.click()
    for key in ("a", "b", "d", "d", "ArrowDown", "ArrowUp", "Shift+ArrowDown"):
        notebook.page.keyboard.press(key)
    expect(editor.get_by_text("2 marked")).to_be_visible()
    editor.get_by_role("button", name="Preview").click()
    expect(editor.get_by_text("0 people to add, 2 people to remove")).to_be_visible()
    assert not site.writes
    for theme in ("light", "dark"):
        notebook.lab.theme(theme)
        notebook.screenshot(f"06-preview-{theme}", editor)
    notebook.lab.theme("light")
    editor.get_by_role("button", name="Apply 2 changes").click()
    expect(status(editor)).to_contain_text("2 done.")
    expect(members.locator("option")).to_have_count(len(before) - 2)
    gone = before - set(site.world.member_ids("marketing"))
    assert len(gone) == 2

    editor.get_by_role("button", name="Undo").click()
    expect(editor.get_by_text("2 people to add, 0 people to remove")).to_be_visible()
    editor.get_by_role("button", name="Apply 2 changes").click()
    expect(members.locator("option")).to_have_count(len(before))
    expect(status(editor)).to_contain_text("2 done.")
    assert set(site.world.member_ids("marketing")) == before
    for theme in ("light", "dark"):
        notebook.lab.theme(theme)
        notebook.screenshot(f"06-result-{theme}", editor)
    notebook.lab.theme("light")

    # A list from a file, in the shape that Excel writes it.
    editor.get_by_label("What to do").select_option("Add the people on a list")
    new = next(a for a in site.world.member_ids("legal-counsel") if a not in before)
    file = tmp_path / "joiners.csv"
    file.write_bytes(f"\ufeffgroup;account_id;name\r\nmarketing;{new};x\r\nTeam Falcon;{new};x\r\n".encode())
    with notebook.page.expect_file_chooser() as chooser:
        editor.get_by_role("button", name="Upload a CSV").click()
    chooser.value.set_files(file)
    expect(editor.get_by_text("joiners.csv: 2 lines.")).to_be_visible()
    editor.get_by_role("button", name="Preview").click()
    expect(editor.get_by_text("1 person to add, 0 people to remove; 0 already so, 1 refused.")).to_be_visible()
    for theme in ("light", "dark"):
        notebook.lab.theme(theme)
        notebook.screenshot(f"06-list-{theme}", editor)
    notebook.lab.theme("light")
    editor.get_by_role("button", name="Discard").click()
    expect(status(editor)).to_contain_text("Discarded")
    assert new not in site.world.member_ids("marketing")

    assert notebook.sources() == sources, "no key changed a cell"
    saved = json.dumps(notebook.save())
    assert connected.tokens.access_token(connected.connection()).reveal() not in saved
    assert f"{new};x" not in saved, "the uploaded file does not stay in the saved notebook"
    written = Journal(connected.store).applies()
    assert list(written["mode"]) == ["undo", "remove"]
    assert set(written["state"]) == {"finished"}


def test_a_large_plan_is_typed_watched_cancelled_and_resumed(notebook: NotebookPage, site: PracticeSite) -> None:
    before = set(site.world.member_ids("support-tier-1"))
    users = site.world.frames(tables=["users"])["users"]
    fit = users[(users["account_type"] == "atlassian") & (users["account_status"] == "active")]["account_id"]
    new = [account for account in fit if account not in before][:80]
    editor = notebook.component("Manage members")
    editor.get_by_label("Group", exact=True).select_option("support-tier-1")
    members = editor.get_by_label("Members", exact=True)
    expect(members.locator("option")).to_have_count(len(before))
    editor.get_by_label("Show as a table").check()
    expect(editor.get_by_role("cell", name="<script>").first).to_be_visible()
    editor.get_by_label("Show as a table").uncheck()
    editor.get_by_label("What to do").select_option("Add the people on a list")
    editor.get_by_label("List of people").fill("\n".join(new))
    editor.get_by_role("button", name="Preview").click()
    expect(status(editor)).to_contain_text("Nothing is changed yet", timeout=20_000)
    apply = editor.get_by_role("button", name="Apply 80 changes")
    expect(apply).to_be_visible()
    expect(apply).to_be_disabled()
    editor.get_by_label("Type to confirm").press_sequentially("change 80 memberships")
    expect(apply).to_be_enabled()
    apply.click()
    expect(status(editor)).to_contain_text(re.compile(r"\d+ of 80 changes, \d+ seconds? left"))
    editor.get_by_role("button", name="Cancel").focus()
    notebook.screenshot("06-applying", editor)
    notebook.page.keyboard.press("Enter")
    expect(status(editor)).to_contain_text("Cancelled after")
    assert len(before) < len(site.world.member_ids("support-tier-1")) < len(before) + 80
    editor.get_by_role("button", name="Resume …").click()
    expect(status(editor)).to_contain_text("press Resume or Discard", timeout=20_000)
    left = set(new) - set(site.world.member_ids("support-tier-1"))
    expect(editor).to_contain_text(f"{80 - len(left)} of 80 planned are done.")
    notebook.screenshot("06-resuming", editor)
    go = editor.get_by_role("button", name=f"Resume: {len(left)} changes")
    if len(left) > 20:
        expect(go).to_be_disabled()
        editor.get_by_label("Type to confirm").press_sequentially(f"change {len(left)} memberships")
    go.click()
    expect(members.locator("option")).to_have_count(len(before) + 80, timeout=20_000)
    expect(status(editor)).to_contain_text("80 done.")
    assert set(site.world.member_ids("support-tier-1")) == before | set(new)
