"""Practising by hand where the browser cannot come to the practice site: a hub, and Binder after its rehearsal."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from spokekit.training.course import lesson
from tests.browser.jupyterlab_page import BASE_URL, Lab, NotebookPage
from tests.browser.test_a_lesson import CELL, SLOW, press, said, told

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from spokekit.practice import PracticeSite

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
HUB = {"JUPYTERHUB_USER": "someone", "JUPYTERHUB_SERVICE_PREFIX": BASE_URL}
BINDER = {**HUB, "BINDER_LAUNCH_HOST": "https://binder.example/", "SPOKEKIT_UNATTENDED": "1"}


def opened(notebook: NotebookPage, link: Locator) -> Page:
    with notebook.page.context.expect_page() as pages:
        link.click()
    page: Page = pages.value
    page.wait_for_load_state()
    return page


def look(lab: Lab, page: Page, name: str) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=lab.shots / f"{name}-{scheme}.png")


def nothing_secret_was_logged(lab: Lab, site: PracticeSite) -> None:
    # Jupyter masks what it logs of its own addresses, as of a picture that is not there.
    log = lab.log.read_text().replace("=[secret]", "")
    assert "spokekit/practice" in log
    for secret in ("code=", "state=", "flow=", "_xsrf=", site.client_secret):
        assert secret not in log


def test_the_console_and_the_consent_page_open_on_a_hub(
    lab: Lab, open_notebook: Callable[..., NotebookPage], site: PracticeSite
) -> None:
    env = {**HUB, "SPOKEKIT_PRACTICE": json.dumps(site.describe())}
    first = open_notebook(NOTEBOOKS / "01-create-the-oauth-app.ipynb", env=env)
    first.run_all()
    sheet = first.component("What to copy into the app")
    shown = opened(first, sheet.get_by_role("link", name="callback URL of this Jupyter server"))
    redirect = shown.locator("code").inner_text()
    assert redirect == f"{lab.base}spokekit/oauth/callback"
    shown.close()
    console = opened(first, sheet.get_by_role("link", name="Open the practice developer console"))
    assert console.url == f"{lab.base}spokekit/practice/{site.port}/console"
    client_id = console.locator("dd code").first.inner_text()
    client_secret = console.locator("dd details code").first.text_content() or ""
    uris = console.get_by_label("Callback URLs, one a line").first
    uris.fill(f"{uris.input_value()}\n{redirect}")
    console.get_by_role("button", name="Save changes").first.click()
    expect(console.get_by_role("status").first).to_contain_text("Saved spokekit practice app")
    look(lab, console, "elsewhere-console")
    console.close()
    for theme in ("light", "dark"):
        lab.theme(theme)
        first.screenshot(f"elsewhere-sheet-{theme}", sheet)

    second = open_notebook(NOTEBOOKS / "02-configure-the-connection.ipynb", env=env)
    second.run_all()
    assert second.errors() == []
    form = second.component("Configure the connection")
    form.get_by_label("OAuth client ID").fill(client_id)
    form.get_by_label("OAuth client secret").fill(client_secret)
    form.get_by_label("OAuth redirect URL").fill(redirect)
    page = opened(second, form.get_by_role("button", name="Save and Get OAuth Token"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("asks for access")
    assert page.url.startswith(f"{lab.base}spokekit/practice/{site.port}/authorize?")
    look(lab, page, "elsewhere-consent")
    page.get_by_role("button", name="Accept").click()
    expect(page.locator("main")).to_contain_text("Received")
    assert page.url == redirect
    page.close()
    expect(form.locator(".sk-status:visible").last).to_contain_text(f"Connected to {site.sites[0].name}")
    second.screenshot("elsewhere-form-dark", form)
    assert (site.count("exchange"), site.defects) == (1, [])
    nothing_secret_was_logged(lab, site)


def test_on_binder_the_person_can_do_by_hand_what_was_rehearsed(
    lab: Lab, open_notebook: Callable[..., NotebookPage], site: PracticeSite
) -> None:
    env = {**BINDER, "SPOKEKIT_PRACTICE": json.dumps(site.describe())}
    notebook = open_notebook(NOTEBOOKS / "03-get-the-oauth-token.ipynb", env=env)
    notebook.run_all()
    assert notebook.errors() == []
    component = notebook.component("Get the OAuth token")
    expect(component).to_contain_text(f"Connected to {site.sites[0].name}")
    expect(notebook.component("Where you are")).to_contain_text("press every button yourself")
    callbacks: list[str] = []
    page = opened(notebook, component.get_by_role("button", name="Get OAuth Token", exact=True))
    assert page.url.startswith(f"{lab.base}spokekit/practice/")
    page.on("request", lambda request: callbacks.append(request.url))
    page.get_by_role("button", name="Accept").click()
    # Nothing listens on this person's own machine.
    page.wait_for_url("chrome-error://**")
    page.close()
    field = component.get_by_label("Address")
    field.fill(callbacks[-1])
    field.press("Enter")
    expect(component.locator(".sk-status:visible").last).to_contain_text(f"Connected to {site.sites[0].name}")
    notebook.screenshot("elsewhere-binder", component)
    assert site.count("exchange") == 2
    nothing_secret_was_logged(lab, site)


def test_a_lesson_on_a_hub_that_tells_its_address_has_nothing_pasted(
    lab: Lab, open_notebook: Callable[..., NotebookPage], site: PracticeSite
) -> None:
    env = {**HUB, "JUPYTERHUB_PUBLIC_URL": lab.base, "SPOKEKIT_PRACTICE": json.dumps(site.describe())}
    notebook = open_notebook([CELL.format("consent-is-dead")], env=env)
    notebook.run_all()
    panel = notebook.component("The consent is dead")
    press(panel, "Begin")
    told(panel, lesson("consent-is-dead").first)
    press(panel, "Renew or forget the token")
    page = opened(notebook, panel.get_by_role("button", name="Get OAuth Token", exact=True).last)
    page.get_by_role("button", name="Accept").click()
    expect(page.locator("main")).to_contain_text("Received")
    assert page.url == f"{lab.base}spokekit/oauth/callback"
    page.close()
    expect(panel).to_contain_text(f"Connected to {site.sites[0].name}")
    press(panel, "Check")
    # "Connected" is said before all that the consent changed has arrived: who is quicker is asked to press once more.
    expect(said(panel)).to_contain_text(re.compile("Right\\. |Press Check once more"), timeout=SLOW)
    if "once more" in said(panel).inner_text():
        press(panel, "Check")
    told(panel, "Right. ")
    assert not notebook.errors()
