"""A lesson as a learner does it, by keyboard alone: wrong, a hint, right; another tab goes on; start over."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("playwright")

from playwright.sync_api import expect

from spokekit.practice import PracticeSite
from spokekit.training.testing import free_ports
from tests.browser.axe import findings_of_part
from tests.browser.test_components_look import AUDIT

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from tests.browser.jupyterlab_page import NotebookPage

CELL = "from spokekit.widgets import LessonPanel\n\nLessonPanel({!r})"
TITLE = "A synced group"
SLOW = 60_000


@pytest.fixture
def site() -> Iterator[PracticeSite]:
    """Serve a practice site with a callback URL of its own: lessons consent on this computer."""
    with PracticeSite(strict=True, redirect_uris=[f"http://localhost:{free_ports()}/callback"]) as running:
        yield running


@pytest.fixture
def env(site: PracticeSite) -> dict[str, str]:
    return {"SPOKEKIT_PRACTICE": json.dumps(site.describe())}


def said(panel: Locator) -> Locator:
    """Return the panel's own status line: components below it have theirs."""
    return panel.locator(".sk-status").first


def told(panel: Locator, words: str) -> None:
    expect(said(panel)).to_contain_text(words, timeout=SLOW)


def press(panel: Locator, name: str) -> None:
    # The panel's own buttons come before those of the components in it.
    panel.get_by_role("button", name=name, exact=True).first.click(timeout=SLOW)


def look(notebook: NotebookPage, panel: Locator, name: str) -> list[str]:
    """Take pictures in both themes and return what a checker finds in the panel and the components in it."""
    found = []
    for theme in ("light", "dark"):
        notebook.lab.theme(theme)
        panel.scroll_into_view_if_needed()
        notebook.screenshot(f"lesson-{name}-{theme}", panel)
        found += [f"{theme}: {one}" for one in (*panel.evaluate(AUDIT), *findings_of_part(panel))]
    notebook.lab.theme("light")
    return found


def test_wrong_then_a_hint_then_right_by_keyboard_in_two_tabs(
    open_notebook: Callable[..., NotebookPage], env: dict[str, str]
) -> None:
    notebook = open_notebook([CELL.format("synced-group")], env=env)
    notebook.run_all()
    panel, keyboard = notebook.component(TITLE), notebook.page.keyboard

    def enter(name: str) -> None:
        button = panel.get_by_role("button", name=name, exact=True).first
        expect(button).to_be_enabled(timeout=SLOW)
        button.focus()
        keyboard.press("Enter")

    def choose(answer: str) -> None:
        panel.get_by_label("Your answer").focus()
        keyboard.type(answer[:8])
        enter("Answer")
        told(panel, "Your answer is noted")

    enter("Begin")
    told(panel, "Look at what kind of group okta-engineering is")
    enter("Check")
    told(panel, "Not attempted.")
    choose("We do, with spokekit")
    enter("Check")
    told(panel, "You answered “We do, with spokekit”")
    assert look(notebook, panel, "not-yet") == []
    enter("Hint 1 of 2")
    told(panel, "Hint 1 of 2:")

    other = open_notebook([CELL.format("synced-group")], env=env)
    other.run_all()
    second = other.component(TITLE)
    told(second, "You are in attempt 1")
    press(second, "Start over")
    press(second, "Yes, start over")
    told(second, "Look at what kind of group")

    notebook.activate()
    enter("Check")
    told(panel, "Not attempted.")
    choose("The identity provider (Okta); the change arrives here by itself")
    enter("Check")
    told(panel, "Right. You know who changes a synced group")
    assert look(notebook, panel, "right") == []
    assert not notebook.errors()


def test_an_instance_gets_its_token_by_hand(open_notebook: Callable[..., NotebookPage], env: dict[str, str]) -> None:
    notebook = open_notebook([CELL.format("arrived-but-no-token")], env=env)
    notebook.run_all()
    panel, page = notebook.component("Arrived, but no token"), notebook.page
    press(panel, "Begin")
    told(panel, "Press Compare, then open the practice instance")
    expect(panel.get_by_role("textbox", name="Instance")).to_be_disabled()
    expect(panel.get_by_role("button", name="Start a practice instance")).to_be_hidden()
    press(panel, "Compare")
    expect(panel).to_contain_text("The instance is as planned.", timeout=SLOW)
    press(panel, "Check")
    told(panel, "Not attempted.")
    assert look(notebook, panel, "no-token") == []
    size = page.viewport_size
    sidebar = "async () => { await window.jupyterapp.commands.execute('application:toggle-left-area'); }"
    page.evaluate(sidebar)
    page.set_viewport_size({"width": 480, "height": 1600})
    needed, there = panel.evaluate("(e) => [e.scrollWidth, e.clientWidth]")
    notebook.screenshot("lesson-no-token-480", panel)
    page.evaluate(sidebar)
    page.set_viewport_size(size or {"width": 1280, "height": 1600})
    assert needed <= there

    with page.context.expect_page() as opened:
        panel.get_by_role("link", name="Open the practice instance").click()
    instance = opened.value
    credential = instance.locator("summary", has_text="Spoke Connection credential")
    credential.click()
    instance.get_by_role("button", name="Get OAuth Token").click()
    expect(instance.get_by_role("status")).to_contain_text("invalid_client")
    press(panel, "Check")
    told(panel, "You asked for a token (1 in all)")
    with page.context.expect_page() as opened:
        panel.get_by_role("link", name="Open the practice site's console").click()
    app = opened.value.locator("section", has_text="ServiceNow instance")
    secret = app.locator("dd details code").first.text_content() or ""
    opened.value.close()
    instance.locator("summary", has_text="Spoke Connection OAuth").first.click()
    instance.get_by_label("Client secret of").fill(secret)
    instance.get_by_role("button", name="Save the client secret").click()
    expect(instance.get_by_role("status")).to_contain_text("is saved")
    credential.click()
    instance.get_by_role("button", name="Get OAuth Token").click()
    expect(instance.get_by_role("status")).to_contain_text("A token has come")
    credential.click()
    expect(instance.locator("details[open]")).to_contain_text("A token came at")
    instance.close()
    press(panel, "Check")
    told(panel, "Right. The instance has its token, by its own app and its own secret.")
    assert look(notebook, panel, "token") == []
    assert not notebook.errors()
