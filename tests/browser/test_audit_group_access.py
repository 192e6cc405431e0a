"""Notebook 5 as a person does it: look at the cost, walk, read the report, ask a question by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from spokekit.audit import Audit, Findings
from tests.browser.jupyterlab_page import NotebookPage
from tests.browser.test_components_look import AUDIT

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "05-audit-group-access.ipynb"


def test_cost_walk_report_and_question(
    open_notebook: Callable[..., NotebookPage], site: PracticeSite, connected: Workspace
) -> None:
    groups = site.world.frames(tables=["groups"])["groups"]
    connected.registry().add(list(groups.loc[groups["access"] != "", "group_id"]), groups=groups)
    notebook = open_notebook(NOTEBOOK, env={"SPOKEKIT_PRACTICE": json.dumps(site.describe())})
    for index in (1, 3):
        notebook.run_cell(index)
    walk = notebook.component("Walk the site")
    start = walk.get_by_role("button", name="Start the walk")
    expect(start).to_be_disabled()
    walk.get_by_label("Groups", exact=True).select_option("All groups of the site")
    walk.get_by_role("button", name="What will it cost?").click()
    expect(walk.get_by_role("cell", name="Registered groups only")).to_be_visible()
    notebook.screenshot("05-cost-light", walk)
    start.click()
    expect(walk.locator(".sk-status:visible")).to_contain_text("Complete: 289 memberships, 26 of 26 groups.")
    assert len(Audit.of_site(site.sites[0].cloud_id).frame("memberships")) == 289

    notebook.run_all()
    assert notebook.errors() == []
    panel = notebook.component("Ask").last
    panel.get_by_label("Question", exact=True).select_option("Why does this person have a seat?")
    panel.get_by_label("Person", exact=True).fill(site.world.person(0).display_name)
    panel.get_by_role("button", name="Ask").click()
    expect(panel.get_by_role("cell", name="confluence-admins")).to_be_visible()
    expect(panel.locator(".sk-status:visible")).to_contain_text("3 rows")
    walk = notebook.component("Walk the site")
    for theme, other in (("light", "dark"), ("dark", "light")):
        notebook.lab.theme(theme)
        expect(notebook.page.locator(f"img.spokekit-{theme}:visible").first).to_be_visible()
        assert notebook.page.locator(f"img.spokekit-{other}:visible").count() == 0
        assert walk.evaluate(AUDIT) == []
        assert panel.evaluate(AUDIT) == []
        assert notebook.component("Findings").evaluate(AUDIT) == []
        notebook.screenshot(f"05-walk-{theme}", walk)
        notebook.screenshot(f"05-ask-{theme}", panel)

    # Findings, by keyboard alone: nothing is decided before the last key.
    book, keyboard = Findings(site.sites[0].cloud_id), notebook.page.keyboard
    assert book.frame().empty, "running the cells lists nothing and accepts nothing"
    findings = notebook.component("Findings")
    expect(findings.get_by_role("button", name="List the findings")).to_be_enabled()
    findings.get_by_label("Question", exact=True).focus()
    keyboard.type("Which groups have no")
    # Each letter chose a question; the last one reaches Python when the one before it was answered.
    until_python_has(notebook, "groups-without-members")
    keyboard.press("Tab")
    expect(findings.get_by_role("button", name="List the findings")).to_be_focused()
    keyboard.press("Enter")
    expect(findings.locator(".sk-status:visible")).to_contain_text("1 new, 0 accepted")
    expect(findings.get_by_role("button", name="Accept")).to_be_disabled()
    # The button was disabled while it worked; the keyboard goes on from it.
    expect(findings.get_by_role("button", name="List the findings")).to_be_focused()
    for label, typed in (
        ("Filter", "phoenix"),
        ("New findings", " "),
        ("Reason", "Begins in spring"),
        ("Your name", "Ann"),
    ):
        keyboard.press("Tab")
        expect(findings.get_by_label(label, exact=True)).to_be_focused()
        keyboard.type(typed) if typed.strip() else keyboard.press("Home")
    assert list(book.frame()["state"]) == ["new"]
    # A button that is not enabled yet is passed over.
    expect(findings.get_by_role("button", name="Accept")).to_be_enabled()
    keyboard.press("Tab")
    keyboard.press("Tab")
    expect(findings.get_by_role("button", name="Accept")).to_be_focused()
    notebook.screenshot("05-findings-light", findings)
    keyboard.press("Enter")
    expect(findings.locator(".sk-status:visible")).to_contain_text("1 finding accepted by Ann. 0 new, 1 accepted")
    expect(findings.get_by_role("cell", name="Begins in spring")).to_be_visible()
    assert list(book.frame("accepted")["accepted_by"]) == ["Ann"]
    notebook.screenshot("05-findings-accepted", findings)


def until_python_has(notebook: NotebookPage, value: str) -> None:
    code = (
        "from ipywidgets import Dropdown\nfrom ipywidgets.widgets.widget import _instances as _all\n"
        f"print({value!r} in [_one.value for _one in list(_all.values()) if isinstance(_one, Dropdown)])"
    )
    for _ in range(100):
        if "True" in notebook.execute(code)["said"]:
            return
        notebook.page.wait_for_timeout(100)
    raise AssertionError(f"{value} did not reach Python")
