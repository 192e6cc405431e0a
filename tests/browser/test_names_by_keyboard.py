"""Names are found by keyboard alone: suggestions, Enter, "did you mean", and a person put on the list of members."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.browser.axe import findings_of_part
from tests.browser.jupyterlab_page import NotebookPage

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite

# A walk has to be read and asked on a machine that may be busy.
SLOW = 20_000
CELLS = [
    "from spokekit.widgets import MembershipEditor, QuestionPanel, WalkPanel\nwalk = WalkPanel()\nwalk.rehearse()",
    "asking = QuestionPanel(walk)\nasking.question.value = 'members-of-groups'\nasking",
    "editor = MembershipEditor()\neditor.settled()\neditor.action.value = 'add'\neditor",
]


def suggested(field: Locator, name: str) -> None:
    """Wait until a name is among the suggestions of a field; where they are drawn is the browser's own matter."""
    options = field.locator("xpath=..").locator("datalist option")
    expect(options.and_(field.page.locator(f'[value="{name}"]'))).to_have_count(1, timeout=SLOW)


def test_names_are_found_by_keyboard(
    open_notebook: Callable[..., NotebookPage], site: PracticeSite, connected: Workspace
) -> None:
    frames = site.world.frames(tables=["groups", "users"])
    groups = frames["groups"]
    connected.registry().add(list(groups.loc[groups["name"] == "legal-counsel", "group_id"]), groups=groups)
    notebook = open_notebook(CELLS, env={"SPOKEKIT_PRACTICE": json.dumps(site.describe())})
    notebook.run_all()
    assert notebook.errors() == []
    keyboard = notebook.page.keyboard

    ask = notebook.component("Ask")
    field = ask.get_by_label("Group", exact=True)
    field.focus()
    keyboard.type("market")
    suggested(field, "marketing")
    keyboard.type("in")
    keyboard.press("Enter")
    near = ask.get_by_role("button", name="marketing", exact=True)
    expect(near).to_be_visible(timeout=SLOW)
    expect(ask.get_by_text("Did you mean", exact=True)).to_be_visible()
    start = ask.get_by_role("button", name="Ask", exact=True)
    expect(start).to_be_enabled()
    keyboard.press("Tab")
    expect(start).to_be_focused()
    keyboard.press("Tab")
    expect(near).to_be_focused()
    assert findings_of_part(ask) == []
    keyboard.press("Enter")
    expect(ask.get_by_role("table")).to_be_visible(timeout=SLOW)
    expect(field).to_have_value("marketing")
    expect(ask.get_by_text("Did you mean", exact=True)).to_be_hidden()

    users = frames["users"]
    inside = set(site.world.member_ids("legal-counsel"))
    fit = users[~users["account_id"].isin(inside) & (users["account_type"] == "atlassian")]
    fit = fit[
        ~fit["display_name"].duplicated(keep=False) & fit["display_name"].str.fullmatch("[A-Z][a-z]+ [A-Z][a-z]+")
    ]
    chosen = fit.iloc[0]
    editor = notebook.component("Manage members")
    person = editor.get_by_label("Find a person")
    people = editor.get_by_label("List of people")
    person.focus()
    keyboard.type(chosen["display_name"])
    keyboard.press("Enter")
    expect(people).to_have_value(f"{chosen['display_name']} <{chosen['account_id']}>", timeout=SLOW)
    expect(person).to_have_value("")
    keyboard.type("Nobody Of That Name")
    keyboard.press("Enter")
    expect(editor.locator(".sk-status:visible")).to_contain_text("Nobody who is known here is called")
    people.fill(f"{chosen['display_name']}\nNobody Of That Name")
    people.press("Tab")
    expect(editor.get_by_text("1 name not clear yet: nobody is guessed.")).to_be_visible(timeout=SLOW)
    assert findings_of_part(editor) == []
    notebook.screenshot("06-people", editor)
    assert not site.writes
