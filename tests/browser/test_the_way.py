"""From notebook to notebook as `spokekit lab` shows them, one document at a time: links, what is in view, a restart."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.axe import findings_of_part
from tests.browser.jupyterlab_page import Lab, in_time

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SHOWN = ".jp-NotebookPanel:not(.lm-mod-hidden) "
RUN_ALL = "async () => { await window.jupyterapp.commands.execute('notebook:run-all-cells'); }"
SLOW = 30_000


@pytest.fixture
def page(
    browser: Browser, lab: Lab, home: Path, site: PracticeSite, connected: Workspace, tmp_path: Path
) -> Iterator[Page]:
    """Notebook 00 in a page of its own, with the others beside it, on a connected home with one registered group."""
    groups = site.world.frames(tables=("groups",))["groups"]
    connected.registry().add(list(groups.loc[groups["name"] == "marketing", "group_id"]), groups=groups)
    folder = lab.root / tmp_path.name
    shutil.copytree(NOTEBOOKS, folder)
    env = {"SPOKEKIT_HOME": str(home), "SPOKEKIT_PRACTICE": json.dumps(site.describe())}
    (folder / "kernel-env.json").write_text(json.dumps(env))
    opened = browser.new_page(viewport={"width": 1280, "height": 720})
    opened.goto(f"{lab.base}doc/tree/{folder.name}/00-start-here.ipynb?token={lab.token}")
    idle(opened)
    # As `spokekit lab` leaves it.
    opened.evaluate("() => { if (!window.jupyterapp.shell.leftCollapsed) window.jupyterapp.shell.collapseLeft(); }")
    yield opened
    opened.evaluate(
        "async () => { for (const w of window.jupyterapp.shell.widgets('main')) await w.sessionContext?.shutdown(); }"
    )
    opened.close()


def idle(page: Page) -> None:
    """Wait until the notebook that is shown has a Python that waits; a run before that would ask for one."""
    page.wait_for_function("window.jupyterapp")
    script = (
        "async () => { await window.jupyterapp.restored; for (;;) {"
        f" const node = document.querySelector('{SHOWN.strip()}');"
        " const shown = [...window.jupyterapp.shell.widgets('main')].find((w) => w.node === node);"
        " await shown?.sessionContext.ready;"
        " if (shown?.sessionContext.session?.kernel?.status === 'idle') return;"
        " await new Promise((r) => setTimeout(r, 50)); } }"
    )
    page.evaluate(in_time(script))


def component(page: Page, label: str) -> Locator:
    return page.locator(f'{SHOWN}.spokekit[aria-label="{label}"]').first


def test_the_steps_lead_through_the_notebooks(page: Page, lab: Lab) -> None:
    picture = page.locator(SHOWN + ".jp-RenderedMarkdown img").first
    page.wait_for_function("(e) => e.complete && e.naturalWidth > 300", arg=picture.element_handle())
    # As the picture says: the first press is for the text, the second runs the cell.
    run = page.locator(SHOWN + '[data-jp-item-name="run"]').first
    run.click()
    expect(page.locator(SHOWN + ".jp-Cell").nth(1)).to_have_class(re.compile("jp-mod-active"))
    run.click()
    guide = component(page, "Where you are")
    expect(guide).to_be_in_viewport(ratio=1, timeout=SLOW)
    assert guide.bounding_box()["height"] < 60  # type: ignore[index]
    expect(guide.locator("li[aria-current=step]")).to_have_text("0 Start")
    expect(guide.get_by_role("link", name="done: 3 Token")).to_be_visible()
    expect(guide.get_by_text("spokekit.sqlite")).to_be_hidden()
    guide.get_by_role("button", name="Details").click()
    expect(guide.get_by_text("spokekit.sqlite")).to_be_visible()
    guide.get_by_role("button", name="Details").click()
    assert findings_of_part(guide) == []
    page.screenshot(path=lab.shots / "00-first.png")

    # The page is not loaded anew, by none of the links.
    page.evaluate("window.stillHere = true")
    guide.get_by_role("link", name="Next: 5 Audit").press("Enter")
    page.wait_for_url("**/05-audit-group-access.ipynb*", timeout=SLOW)
    idle(page)
    page.locator(SHOWN + ".jp-RenderedMarkdown").get_by_role("link", name="4 · Add Confluence groups").first.click()
    page.wait_for_url("**/04-add-confluence-groups.ipynb*", timeout=SLOW)
    idle(page)
    assert page.evaluate("window.stillHere")


def test_a_restarted_python_is_one_sentence(page: Page, lab: Lab) -> None:
    page.locator(SHOWN + ".jp-RenderedMarkdown").get_by_role("link", name="Add Confluence groups").first.click()
    page.wait_for_url("**/04-add-confluence-groups.ipynb*", timeout=SLOW)
    idle(page)
    page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
    page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Run All Cells$")).click()
    expect(component(page, "Registered groups")).to_be_attached(timeout=SLOW)
    # What the person came for is in view, not the last cell.
    picker = component(page, "Add Confluence groups")
    expect(picker.get_by_label("Available", exact=True)).to_be_in_viewport(ratio=1, timeout=SLOW)
    page.evaluate(
        "async () => { const p = document.querySelector('.jp-NotebookPanel:not(.lm-mod-hidden)');"
        " for (const w of window.jupyterapp.shell.widgets('main')) if (w.node === p)"
        " await w.sessionContext.session.kernel.restart(); }"
    )
    said = page.locator(SHOWN + ".spokekit > .sk-gone")
    expect(said).to_have_text(["Python was restarted: Run > Run All Cells."] * 3)
    chains = page.locator(SHOWN + ".spokekit").evaluate_all(
        "(all) => all.flatMap((e) => [e, ...e.querySelectorAll('*')])"
        ".filter((e) => getComputedStyle(e, '::before').content.includes('\\uf127')).length"
    )
    assert chains == 0
    parts = page.locator(SHOWN + ".spokekit > :not(.sk-gone)")
    assert parts.evaluate_all("(all) => all.length > 9 && all.every((e) => e.inert)")
    page.screenshot(path=lab.shots / "04-restarted.png")
    # The cell of the plot alone needs what another one makes.
    page.evaluate(
        "async () => { const p = document.querySelector('.jp-NotebookPanel:not(.lm-mod-hidden)');"
        " for (const w of window.jupyterapp.shell.widgets('main')) if (w.node === p) w.content.activeCellIndex ="
        " [...w.content.model.cells].findIndex((c) => c.id === '13eb994e');"
        " await window.jupyterapp.commands.execute('notebook:run-cell'); }"
    )
    error = page.locator(SHOWN + '.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]').last
    expect(error).to_have_text(
        "Not yet: `members` is not there. The cell under “The same as frames” makes it: run that cell first, "
        "or choose Run > Run All Cells."
    )
    page.evaluate(RUN_ALL)
    expect(said).to_have_count(0)
    assert not parts.evaluate_all("(all) => all.some((e) => e.inert)")


def test_a_hubs_default_address_brings_the_notebooks(browser: Browser, lab: Lab) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.goto(f"{lab.base}spokekit/notebooks?token={lab.token}")
    page.wait_for_url("**/doc/tree/spokekit-notebooks/00-start-here.ipynb*", timeout=SLOW)
    expect(page.locator(SHOWN + ".jp-RenderedMarkdown h1").first).to_be_visible(timeout=SLOW)
    idle(page)
    page.evaluate(
        "async () => { for (const w of window.jupyterapp.shell.widgets('main')) await w.sessionContext?.shutdown(); }"
    )
    page.close()
