"""One hour of lessons from the guide on, the first with its components alone and over a killed kernel."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright")

from playwright.sync_api import expect

from spokekit.training.course import ONE_HOUR, lesson
from tests.browser.axe import findings_of_page
from tests.browser.jupyterlab_page import _OPEN, NotebookPage
from tests.browser.test_a_lesson import CELL, SLOW, env, look, press, said, site, told

if TYPE_CHECKING:
    from spokekit.practice import PracticeSite
    from tests.browser.jupyterlab_page import Lab

__all__ = ["env", "site"]
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


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
    panel.get_by_label("OAuth client secret").fill("not-the-one-in-the-console")
    press(panel, "Save")
    expect(panel).to_contain_text("is saved", timeout=SLOW)
    press(panel, "Check")
    told(panel, "Not yet. The client secret that you saved with “Confluence Cloud Spoke Connection” is not the one")
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
