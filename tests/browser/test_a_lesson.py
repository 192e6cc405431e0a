"""A lesson as a learner does it, by keyboard alone: wrong, a hint, right; another kernel goes on; start over."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("playwright")

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from spokekit.practice import PracticeSite
    from tests.browser.jupyterlab_page import NotebookPage

CELL = 'from spokekit.widgets import LessonPanel\n\nLessonPanel("synced-group")'
TITLE = "A synced group"
SLOW = 60_000


def test_wrong_then_a_hint_then_right_by_keyboard(
    open_notebook: Callable[..., NotebookPage], site: PracticeSite
) -> None:
    env = {"SPOKEKIT_PRACTICE": json.dumps(site.describe())}
    notebook = open_notebook([CELL], env=env)
    notebook.run_all()
    panel = notebook.component(TITLE)

    def press(name: str) -> None:
        button = panel.get_by_role("button", name=name, exact=True)
        expect(button).to_be_enabled(timeout=SLOW)
        button.focus()
        notebook.page.keyboard.press("Enter")

    def told(words: str) -> None:
        expect(said(panel)).to_contain_text(words, timeout=SLOW)

    def choose(answer: str) -> None:
        panel.get_by_label("Your answer").focus()
        panel.get_by_label("Your answer").select_option(answer)
        press("Answer")
        told("Your answer is noted")

    press("Begin")
    told("Look at what kind of group okta-engineering is")
    press("Check")
    told("Not attempted.")
    choose("We do, with spokekit")
    press("Check")
    told("You answered “We do, with spokekit”")
    for theme in ("light", "dark"):
        notebook.lab.theme(theme)
        notebook.screenshot(f"lesson-not-yet-{theme}", panel)
    notebook.lab.theme("light")
    press("Hint 1 of 2")
    told("Hint 1 of 2:")

    # The kernel was killed, or a second tab has one of its own: the attempt goes on there.
    other = open_notebook([CELL], env=env)
    other.run_all()
    second = other.component(TITLE)
    expect(said(second)).to_contain_text("You are in attempt 1", timeout=SLOW)
    second.get_by_role("button", name="Start over", exact=True).click()
    second.get_by_role("button", name="Yes, start over").click()
    expect(said(second)).to_contain_text("Look at what kind of group", timeout=SLOW)

    notebook.activate()
    press("Check")
    told("Not attempted.")
    choose("The identity provider (Okta); the change arrives here by itself")
    press("Check")
    told("Right. You know who changes a synced group")
    notebook.screenshot("lesson-right", panel)
    assert not notebook.errors()


def said(panel: Locator) -> Locator:
    """Return the panel's own status line: components below it have theirs."""
    return panel.locator(".sk-status").first
