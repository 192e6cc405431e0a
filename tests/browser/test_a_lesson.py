"""Lessons as a learner does them: by keyboard alone, in two tabs, for an hour from the guide on, a kernel killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright")

from playwright.sync_api import expect

from spokekit.practice import PracticeSite
from spokekit.training.course import ONE_HOUR, lesson
from spokekit.training.testing import free_ports
from tests.browser.axe import findings_of_page, findings_of_part
from tests.browser.jupyterlab_page import NotebookPage
from tests.browser.test_components_look import AUDIT

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from tests.browser.jupyterlab_page import Lab

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
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


def test_one_hour_from_the_guide_on(
    open_notebook: Callable[..., NotebookPage], lab: Lab, env: dict[str, str], home: Path, site: PracticeSite
) -> None:
    start = open_notebook(NOTEBOOKS / "00-start-here.ipynb", env=env)
    shutil.copytree(NOTEBOOKS / "training", start.folder / "training")
    shutil.copy(start.folder / "kernel-env.json", start.folder / "training")
    page = start.page
    page.get_by_role("link", name="Lessons A · Connect").click()
    expect(page.get_by_role("heading", name="Lessons A · Connect").first).to_be_visible(timeout=SLOW)
    chapter = adopt(lab, start.folder / "training" / "A-connect.ipynb")
    try:
        first_connection(chapter, site)
        by_its_turns(chapter, "app-lacks-a-scope", index=6)
        assert not chapter.errors()
    finally:
        chapter.close()
    rest = [name for name in ONE_HOUR if name not in ("first-connection", "app-lacks-a-scope")]
    notebook = open_notebook([CELL.format(name) for name in rest], env=env)
    for index, name in enumerate(rest):
        by_its_turns(notebook, name, index=index)
    assert not notebook.errors()


def adopt(lab: Lab, path: Path) -> NotebookPage:
    """Return the notebook that a link has opened."""
    from tests.browser.jupyterlab_page import _OPEN

    notebook = NotebookPage(lab, path)
    lab.page.evaluate(_OPEN, notebook.lab_path)
    return notebook


def first_connection(notebook: NotebookPage, site: PracticeSite) -> None:
    """Do the first lesson with the components alone, and kill the kernel in the middle of it."""
    page = notebook.page
    notebook.run_cell(2)
    panel = notebook.component("First connection")
    press(panel, "Begin")
    told(panel, "Fill in the connection form")
    press(panel, "Configure")
    panel.get_by_label("OAuth client ID").fill(site.client_id)
    press(panel, "Save")
    expect(panel).to_contain_text("is saved", timeout=SLOW)
    press(panel, "Check")
    told(panel, "Not yet. You saved “Confluence Cloud Spoke Connection” without its client secret")
    assert look(notebook, panel, "first-not-yet") == []
    press(panel, "Hint 1 of 3")
    told(panel, "Hint 1 of 3: Everything the form asks for is in the console")

    pid = int(notebook.execute("import os; print(os.getpid())")["said"])
    os.kill(pid, signal.SIGKILL)
    page.get_by_role("dialog").get_by_role("button", name="Ok").click(timeout=SLOW)
    notebook._js(
        "while (widget.sessionContext.session?.kernel?.status !== 'idle') await new Promise((r) => setTimeout(r, 50));"
    )
    notebook.run_cell(2)
    told(panel, "You are in attempt 1 of this lesson.")
    expect(panel.get_by_role("button", name="Hint 2 of 3")).to_be_visible()

    press(panel, "Edit")
    with page.context.expect_page() as opened:
        panel.get_by_role("link", name="Open the practice site's console").click()
    console = opened.value
    expect(console.locator("body")).to_contain_text(site.client_secret)
    console.close()
    panel.get_by_label("OAuth client secret").fill(site.client_secret)
    with page.context.expect_page() as opened:
        press(panel, "Save and Get OAuth Token")
    opened.value.get_by_role("button", name="Accept").click()
    expect(panel).to_contain_text("Connected to Northwind Practice", timeout=SLOW)
    opened.value.close()
    press(panel, "Check")
    told(panel, "Right. The connection has a token for its site")
    assert look(notebook, panel, "first-right") == []

    panel.get_by_text("What happened on the site").first.click()
    with page.context.expect_page() as opened:
        panel.get_by_role("link", name="Open the whole list in words").click(timeout=SLOW)
    happened = opened.value
    expect(happened.locator("body")).to_contain_text("exchanged a code for a token")
    assert findings_of_page(happened) == []
    happened.screenshot(path=notebook.lab.shots / "lesson-happened.png")
    happened.close()


def by_its_turns(notebook: NotebookPage, name: str, *, index: int) -> None:
    """Begin a lesson, take its first wrong turn, get a hint, and do it right; the services do what a person does."""
    chosen: Any = lesson(name)
    notebook.run_cell(index)
    panel = notebook.component(chosen.title)
    press(panel, "Begin")
    expect(panel.get_by_role("button", name="Check", exact=True)).to_be_enabled(timeout=SLOW)
    done = "_here.lesson.turns[0].make(_Doer(_here.attempt))"
    notebook.execute(f"from spokekit.training.doer import Doer as _Doer\n_here = _\n{done}")
    press(panel, "Check")
    told(panel, "Not yet. ")
    press(panel, f"Hint 1 of {len(chosen.hints)}")
    told(panel, f"Hint 1 of {len(chosen.hints)}: ")
    press(panel, "Start over")
    press(panel, "Yes, start over")
    expect(said(panel)).not_to_contain_text("Hint 1 of", timeout=SLOW)
    expect(panel.get_by_role("button", name="Check", exact=True)).to_be_enabled(timeout=SLOW)
    notebook.execute("_here.lesson.solve(_Doer(_here.attempt))")
    press(panel, "Check")
    told(panel, "Right. ")
    assert look(notebook, panel, name) == []
