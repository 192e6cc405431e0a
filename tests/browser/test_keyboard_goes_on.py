"""Where the keyboard is after a press whose control goes away: on what comes next, never nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from spokekit.audit import Findings
from tests.browser.by_keyboard import ByKeyboard
from tests.browser.jupyterlab_page import NotebookPage

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite

# A walk or a change on a machine that may be busy.
SLOW = 60_000

CELLS = [
    """
from spokekit.widgets.base import Component
from spokekit.widgets.controls import button, row, text
class Rows(Component):
    def __init__(self):
        super().__init__("Rows")
        self.first, self.second = row(button("First")), row(button("Second"))
        self.rows = row(self.first, self.second)
        self.name = text("New name")
        self.name.layout.display = "none"
        for line, act in ((self.first, self.take), (self.second, self.ask)):
            self.on_click(line.children[0], act)
        self.body = [button("Before"), self.rows, self.name]
    def take(self):
        self.rows.children = (self.second,)
    def ask(self):
        self.rows.children = ()
        self.name.layout.display = ""
Rows()
""",
    "from spokekit.widgets import TokenButton\nTokenButton()",
    "from spokekit.widgets import MembershipEditor\nMembershipEditor()",
    "from spokekit.widgets import GroupPicker\nGroupPicker()",
    "from spokekit.widgets import ConnectionsPanel\nConnectionsPanel()",
    "from spokekit.widgets import FindingsPanel, WalkPanel\nwalk = WalkPanel()\nwalk.rehearse(groups='all')",
    "FindingsPanel(walk)",
]


def test_where_the_pressed_control_goes_away_the_keyboard_goes_on(
    open_notebook: Callable[..., NotebookPage], site: PracticeSite, connected: Workspace
) -> None:
    connection = connected.connection()
    connected.connections.set_account(connection.connection_id, site.account_id, "The administrator")
    groups = site.world.frames(tables=["groups"])["groups"]
    connected.registry().add(list(groups.loc[groups["name"] == "marketing", "group_id"]), groups=groups)
    notebook = open_notebook(CELLS, env={"SPOKEKIT_PRACTICE": json.dumps(site.describe())})
    notebook.run_all()
    assert notebook.errors() == []
    sources = notebook.sources()

    # A row that goes and nothing that is said: the nearest control before it; then a field that appears.
    a = ByKeyboard(notebook, "Rows")
    a.button("Before").focus()
    a.go(a.button("First"))
    a.keyboard.press("Enter")
    expect(a.button("First")).to_have_count(0)
    expect(a.button("Before")).to_be_focused()
    a.go(a.button("Second"))
    a.keyboard.press("Enter")
    expect(a.field("New name")).to_be_focused()

    # The picker's OK stays, and has the keyboard again.
    a = ByKeyboard(notebook, "Add Confluence groups")
    a.field("Available").focus()
    a.keyboard.press("Home")
    expect(a.panel).to_contain_text("1 marked")
    a.keyboard.press("Enter")
    expect(a.field("Selected").locator("option")).to_have_count(2)
    ok = a.panel.get_by_role("button", name="OK", exact=True)
    a.go(ok)
    a.keyboard.press("Enter")
    expect(a.status).to_contain_text("registered")
    expect(ok).to_be_focused()

    # Members: the preview goes with its button; the status line tells what was done, and Undo is beside it.
    a = ByKeyboard(notebook, "Manage members")
    a.field("Members").focus()
    a.keyboard.press("Home")
    expect(a.panel).to_contain_text("1 marked")
    a.press("Preview", "Nothing is changed yet", wait=SLOW)
    expect(a.panel.get_by_role("button", name="Preview", exact=True)).to_be_focused()
    a.press("Apply 1 change", "1 done.", wait=SLOW)
    expect(a.status.get_by_role("status")).to_be_focused()
    for key in ("d", "d", "b"):
        a.keyboard.press(key)
    assert notebook.sources() == sources, "no key changed a cell"
    a.back(a.button("Undo"))

    # Findings: what was accepted appears in place of what was new, and the other way round.
    a = ByKeyboard(notebook, "Findings")
    a.field("Question").focus()
    a.keyboard.type("Which groups have no")
    a.press("List the findings", "1 new, 0 accepted")
    a.go(a.field("New findings"))
    a.keyboard.press("Home")
    a.go(a.field("Reason"))
    a.write("Begins in spring")
    a.go(a.field("Your name"))
    a.write("Ann")
    a.press("Accept", "1 finding accepted by Ann.")
    expect(a.field("Accepted")).to_be_focused()
    a.keyboard.press("Home")
    a.press("Take back", "1 acceptance taken back.")
    expect(a.field("Filter")).to_be_focused()
    assert list(Findings(site.sites[0].cloud_id).frame()["state"]) == ["new"]

    # A question that was answered: with Close and No there is nothing said, with Yes there is.
    a = ByKeyboard(notebook, "Confluence Cloud")
    a.button("View Details").focus()
    a.go(a.button("Check the connection"))
    a.keyboard.press("Enter")
    a.go(a.button("Close"))
    a.keyboard.press("Enter")
    expect(a.button("Close")).to_have_count(0)
    expect(a.panel.locator(":focus")).to_have_count(1)
    token = ByKeyboard(notebook, "Get the OAuth token")
    token.button("Get OAuth Token").focus()
    token.go(token.button("Forget the token"))
    token.keyboard.press("Enter")
    token.go(token.button("No, keep it"))
    token.keyboard.press("Enter")
    expect(token.button("Forget the token")).to_be_focused()
    token.keyboard.press("Enter")
    token.press("Yes, forget it", "is forgotten here")
    expect(token.status.get_by_role("status")).to_be_focused()
    a.button("View Details").focus()
    a.go(a.panel.get_by_role("button", name="Remove", exact=True))
    a.keyboard.press("Enter")
    a.press("Yes, remove it", "was removed.")
    expect(a.status.get_by_role("status")).to_be_focused()
    assert not connected.connections.list()
    assert notebook.sources() == sources
