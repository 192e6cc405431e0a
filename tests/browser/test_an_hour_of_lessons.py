"""One hour of lessons: from `spokekit lab` to the first one, the others, a killed kernel, and the next day."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright")

from playwright.sync_api import expect

from spokekit.practice import PracticeSite
from spokekit.training.attempts import Attempts
from spokekit.training.course import ONE_HOUR, lesson
from spokekit.training.desk import Desk
from spokekit.training.doer import Doer
from spokekit.training.next_day import put_attempts_right
from spokekit.training.testing import free_ports
from tests.browser.axe import findings_of_page, findings_of_part
from tests.browser.test_a_lesson import CELL, SLOW, env, press, site, told
from tests.browser.test_the_way import RUN_ALL, SHOWN, component, idle
from tests.cli.test_lab import proxy, start
from tests.training.test_attempts import _home_is_put_back

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

    from tests.browser.jupyterlab_page import NotebookPage
    from tests.cli.test_lab import Start

__all__ = ["_home_is_put_back", "env", "proxy", "site", "start"]
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def test_from_spokekit_lab_to_the_first_lesson(browser: Browser, start: Start, tmp_path: Path) -> None:
    # Only so that the test can ask the page whether a kernel is there.
    (tmp_path / "CONFIG").mkdir()
    (tmp_path / "CONFIG" / "jupyter_lab_config.json").write_text('{"LabApp": {"expose_app_in_browser": true}}')
    running = start()
    shots = Path(os.environ.get("SPOKEKIT_SCREENSHOTS") or tmp_path)
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    try:
        page.goto(running.address)
        text(page).get_by_role("link", name="Lessons A · Connect").click(timeout=SLOW)
        page.wait_for_url("**/training/A-connect.ipynb*", timeout=SLOW)
        idle(page)
        page.evaluate(RUN_ALL)
        strip, panel = component(page, "Where you are in the lessons"), component(page, "First connection")
        expect(strip).to_contain_text("0 of 8 right", timeout=SLOW)
        first_connection(panel, page, shots)
        expect(strip).to_contain_text("1 of 8 right")
        strip.scroll_into_view_if_needed()
        assert findings_of_part(strip) == []
        page.screenshot(path=shots / "lesson-chapter-1280.png")

        # The page is not loaded anew, and out of the folder and back the notebook goes on running.
        page.evaluate("window.stillHere = true")
        strip.get_by_role("link", name="0 Start").press("Enter")
        page.wait_for_url("**/tree/00-start-here.ipynb*", timeout=SLOW)
        text(page).get_by_role("link", name="Lessons A · Connect").click()
        page.wait_for_url("**/training/A-connect.ipynb*", timeout=SLOW)
        strip.get_by_role("link", name="B Groups").press("Enter")
        page.wait_for_url("**/training/B-groups.ipynb*", timeout=SLOW)
        expect(text(page).get_by_role("heading", name="Lessons B · Groups")).to_be_visible(timeout=SLOW)
        assert page.evaluate("window.stillHere")
    finally:
        page.close()


def text(page: Page) -> Locator:
    """Return what is written in the notebook that is shown."""
    return page.locator(SHOWN + ".jp-RenderedMarkdown")


def first_connection(panel: Locator, page: Page, shots: Path) -> None:
    """Do the first lesson with its components alone: a wrong secret, a hint, then what the console shows."""
    press(panel, "Begin")
    told(panel, "Fill in the connection form")
    with page.context.expect_page() as opened:
        panel.get_by_role("link", name="Open the practice site's console").click()
    console = opened.value
    client_id = console.locator("dd code").first.inner_text()
    client_secret = console.locator("dd details code").first.text_content() or ""
    console.close()
    press(panel, "Configure")
    panel.get_by_label("OAuth client ID").fill(client_id)
    panel.get_by_label("OAuth client secret").fill("not-the-one-in-the-console")
    press(panel, "Save")
    expect(panel).to_contain_text("is saved", timeout=SLOW)
    press(panel, "Check")
    told(panel, "Not yet. The client secret that you saved with “Confluence Cloud Spoke Connection” is not the one")
    page.screenshot(path=shots / "lesson-first-not-yet-1280.png")
    press(panel, "Hint 1 of 3")
    told(panel, "Hint 1 of 3: Everything the form asks for is in the console")
    panel.get_by_label("OAuth client secret").fill(client_secret)
    with page.context.expect_page() as opened:
        press(panel, "Save and Get OAuth Token")
    opened.value.get_by_role("button", name="Accept").click(timeout=SLOW)
    expect(panel).to_contain_text("Connected to Northwind Practice", timeout=SLOW)
    opened.value.close()
    press(panel, "Check")
    told(panel, "Right. The connection has a token for its site")
    panel.get_by_text("What happened on the site").first.click()
    with page.context.expect_page() as opened:
        panel.get_by_role("link", name="Open the whole list in words").click(timeout=SLOW)
    expect(opened.value.locator("body")).to_contain_text("exchanged a code for a token")
    assert findings_of_page(opened.value) == []
    opened.value.close()


def test_the_rest_of_the_hour_over_a_killed_kernel(
    open_notebook: Callable[..., NotebookPage], env: dict[str, str]
) -> None:
    names = [name for name in ONE_HOUR if name != "first-connection"]
    notebook = open_notebook([CELL.format(name) for name in names], env=env)
    for index, name in enumerate(names):
        panel = wrong_then_a_hint(notebook, name, index)
        if not index:
            kill(notebook)
            notebook.run_cell(index)
            told(panel, "You are in attempt 1 of this lesson.")
            hints = len(lesson(name).hints)
            expect(panel.get_by_role("button", name=f"Hint 2 of {hints}")).to_be_visible()
            notebook.execute(DOER)
        press(panel, "Start over")
        press(panel, "Yes, start over")
        told(panel, lesson(name).first)
        notebook.execute("_here.lesson.solve(_Doer(_here.attempt))")
        press(panel, "Check")
        told(panel, "Right. ")
        notebook.screenshot(f"lesson-{name}", panel)
    assert not notebook.errors()


DOER = "from spokekit.training.doer import Doer as _Doer\n_here = _"


def wrong_then_a_hint(notebook: NotebookPage, name: str, index: int) -> Locator:
    """Begin a lesson, take its first wrong turn, and get a hint; the services do what a person does."""
    chosen: Any = lesson(name)
    notebook.run_cell(index)
    panel = notebook.component(chosen.title)
    press(panel, "Begin")
    told(panel, chosen.first)
    notebook.execute(f"{DOER}\n_here.lesson.turns[0].make(_Doer(_here.attempt))")
    press(panel, "Check")
    told(panel, "Not yet. ")
    press(panel, f"Hint 1 of {len(chosen.hints)}")
    told(panel, f"Hint 1 of {len(chosen.hints)}: ")
    return panel


def kill(notebook: NotebookPage) -> None:
    """Kill the notebook's Python, and wait until JupyterLab has started another one."""
    pid = int(notebook.execute("import os; print(os.getpid())")["said"])
    os.kill(pid, signal.SIGKILL)
    notebook.page.get_by_role("dialog").get_by_role("button", name="Ok").click(timeout=SLOW)
    notebook._js(
        "while (widget.sessionContext.session?.kernel?.status !== 'idle') await new Promise((r) => setTimeout(r, 50));"
    )


def test_the_next_day_a_chapter_goes_on_though_the_site_has_another_port(
    open_notebook: Callable[..., NotebookPage], home: Path, tmp_path: Path
) -> None:
    kept, redirects = tmp_path / "site.json", [f"http://localhost:{free_ports()}/callback"]
    with PracticeSite(kept=kept, salt="one", redirect_uris=redirects) as yesterday:
        attempt = Attempts(Desk(yesterday.describe()), home).begin(lesson("the-right-groups"))
        attempt.lesson.turns[0].make(Doer(attempt))
        before, words = yesterday.url, attempt.check().words
        attempt.desk.close()
    with PracticeSite(kept=kept, salt="one", redirect_uris=redirects) as today:
        assert today.url != before
        assert put_attempts_right(home, today.describe(), before) == []
        env = {"SPOKEKIT_PRACTICE": json.dumps(today.describe())}
        notebook = open_notebook(NOTEBOOKS / "training" / "B-groups.ipynb", env=env)
        notebook.run_all()
        strip, panel = notebook.component("Where you are in the lessons"), notebook.component("The right groups")
        told(panel, "You are in attempt 1 of this lesson. Go on, or start over.")
        expect(strip).to_contain_text("0 of 3 right")
        press(panel, "Check")
        told(panel, f"Not yet. {words}")
        notebook.screenshot("lesson-next-day", panel)
        attempt = Attempts(Desk(today.describe()), home).newest(lesson("the-right-groups"))
        attempt.lesson.solve(Doer(attempt).unregister("confluence-guests"))
        attempt.desk.close()
        press(panel, "Check")
        told(panel, "Right. ")
        expect(strip).to_contain_text("1 of 3 right")
        assert not notebook.errors()
