"""The main job as a person does it: notebooks 02 to 04 in JupyterLab, the consent page in a second tab."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.jupyterlab_page import NotebookPage
from tests.conftest import connect

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
README_PICTURE = NOTEBOOKS / "images" / "group-picker.png"


@pytest.fixture
def practice(site: PracticeSite) -> Iterator[PracticeSite]:
    """A practice site whose app calls back to a port that is free here."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    site.apps[0].redirect_uris[:] = [f"http://localhost:{port}/callback"]
    yield site


@pytest.fixture
def notebook(open_notebook: Callable[..., NotebookPage], practice: PracticeSite) -> Callable[[str], NotebookPage]:
    """Open a shipped notebook on the practice site, as `spokekit lab` does."""

    def opener(name: str) -> NotebookPage:
        return open_notebook(NOTEBOOKS / name, env={"SPOKEKIT_PRACTICE": json.dumps(practice.describe())})

    return opener


def fill_form(form: Locator, site: PracticeSite) -> None:
    form.get_by_label("OAuth client ID").fill(site.client_id)
    form.get_by_label("OAuth client secret").fill(site.client_secret)


def press_and_consent(form: Locator, page: Page, decision: str) -> None:
    with page.context.expect_page() as opened:
        form.get_by_role("button", name="Save and Get OAuth Token").click()
    consent = opened.value
    expect(consent.get_by_role("heading", level=1)).to_contain_text("asks for access")
    consent.get_by_role("button", name=decision).click()
    expect(consent.locator("body")).to_contain_text(
        "Go back to the browser tab of Jupyter with 02-configure-the-connection.ipynb"
        if decision == "Accept"
        else "close"
    )
    consent.close()


def status(component: Locator) -> Locator:
    return component.locator(".sk-status:visible")


def test_a_person_walks_from_the_form_to_the_frame(
    notebook: Callable[[str], NotebookPage], practice: PracticeSite, workspace: Workspace
) -> None:
    two = notebook("02-configure-the-connection.ipynb")
    two.run_all()
    form = two.component("Configure the connection")
    fill_form(form, practice)
    press_and_consent(form, two.page, "Accept")
    expect(status(form).last).to_contain_text("Connected to Northwind Practice")
    expect(two.component("Where you are")).to_contain_text("Northwind Practice")
    for theme in ("light", "dark"):
        two.lab.theme(theme)
        for name in ("Where you are", "Configure the connection", "Confluence Cloud"):
            two.screenshot(f"02-{name.lower().replace(' ', '-')}-{theme}", two.component(name))
    two.lab.theme("light")
    no_secret_in(two, practice, workspace)
    two.close()

    four = notebook("04-add-confluence-groups.ipynb")
    four.run_all()
    assert four.errors() == [
        "NotConfigured: Not yet: “Add Confluence groups” comes first. Do it in its component above"
        " or in its notebook, then run this cell."
    ]
    before = four.sources()
    picker = four.component("Add Confluence groups")
    available, selected = picker.get_by_label("Available", exact=True), picker.get_by_label("Selected", exact=True)
    expect(available.locator("option")).to_have_count(5)
    picker.get_by_label("Groups with Confluence access only").uncheck()
    expect(available.locator("option")).to_have_count(26)
    picker.get_by_label("Filter available").press_sequentially("reports")
    expect(available.locator("option")).to_have_count(2)

    # Two groups by keyboard alone; JupyterLab must not take any of these keys.
    available.locator("option").first.click()
    keyboard = four.page.keyboard
    for key in ("ArrowDown", "ArrowUp", "a", "b", "d", "d", "Shift+End", "Control+a"):
        keyboard.press(key)
    expect(picker.get_by_text("2 marked")).to_be_visible()
    keyboard.press("Tab")
    expect(picker.get_by_role("button", name="Add →", exact=True)).to_be_focused()
    keyboard.press("Enter")
    expect(selected.locator("option")).to_have_count(2)
    assert four.sources() == before
    picker.get_by_label("Filter available").fill("")
    expect(available.locator("option")).to_have_count(24)
    available.locator("option").filter(has_text="okta-all-staff").click()
    expect(picker.get_by_text("okta-all-staff: members not counted; gives access to Confluence (user)")).to_be_visible()
    # As in a list collector: a double click moves a line, Enter the marked ones, and no key reaches JupyterLab.
    for name, where, there in (("okta-all-staff", available, selected), ("okta-all-staff", selected, available)):
        where.locator("option").filter(has_text=name).dblclick()
        expect(there.locator("option").filter(has_text=name)).to_have_count(1)
    available.locator("option").filter(has_text="okta-all-staff").click()
    keyboard.press("Enter")
    expect(selected.locator("option")).to_have_count(3)
    picker.get_by_role("button", name="Undo").click()
    expect(selected.locator("option")).to_have_count(2)
    assert four.sources() == before
    available.locator("option").filter(has_text="okta-all-staff").click()
    for theme in ("light", "dark"):
        four.lab.theme(theme)
        four.screenshot(f"04-picker-{theme}", picker)
    four.lab.theme("light")
    picture_for_readme(four, picker)
    picker.get_by_role("button", name="OK", exact=True).click()
    expect(status(picker)).to_contain_text("2 registered. 2 groups are registered now.")
    table = four.component("Registered groups")
    expect(table.get_by_role("cell", name="finance-reports")).to_be_visible()

    four.run_all()
    assert four.errors() == []
    expect(four.outputs.locator(".spokekit-frame").first).to_contain_text("finance_reports")
    expect(four.outputs.locator("img")).to_be_visible()
    four.screenshot("04-plot", four.outputs.locator("img"))
    assert sorted(workspace.registry().frame()["name"]) == ["finance-reports", "finance_reports"]
    assert not practice.writes
    no_secret_in(four, practice, workspace)


def test_a_person_declines(
    notebook: Callable[[str], NotebookPage], practice: PracticeSite, workspace: Workspace
) -> None:
    two = notebook("02-configure-the-connection.ipynb")
    two.run_all()
    form = two.component("Configure the connection")
    fill_form(form, practice)
    press_and_consent(form, two.page, "Cancel")
    expect(status(form).last).to_contain_text("Not done.")
    expect(status(form).last).to_contain_text(re.compile("Next:"))
    expect(form.get_by_role("button", name="Save and Get OAuth Token")).to_be_enabled()
    assert workspace.tokens.status(workspace.connection()).state == "no_token"
    two.screenshot("02-declined", form)


def test_a_pasted_address_is_saved_nowhere(
    notebook: Callable[[str], NotebookPage], practice: PracticeSite, workspace: Workspace
) -> None:
    """Where the redirect cannot come back, its address is pasted: it holds code and state."""
    saved = connect(workspace, practice)
    workspace.tokens.forget(saved)
    three = notebook("03-get-the-oauth-token.ipynb")
    three.run_all()
    button = three.component("Get the OAuth token")
    expect(status(button)).to_contain_text("without a token")
    button.get_by_label("The answer comes by").select_option("paste the address myself")
    with three.page.context.expect_page() as opened:
        button.get_by_role("button", name="Get OAuth Token").click()
    consent = opened.value
    consent.get_by_role("button", name="Accept").wait_for()
    books = [three.save()]
    # Nothing listens there: the browser's error page keeps the address, as a person would see it.
    with consent.expect_event("requestfailed") as failed:
        consent.get_by_role("button", name="Accept").click(no_wait_after=True)
    address = failed.value.url
    assert "code=" in address
    consent.close()
    field = button.get_by_label("Address")
    field.fill(address)
    books.append(three.save())
    field.press("Enter")
    expect(status(button)).to_contain_text("Connected to Northwind Practice")
    books.append(three.save())
    query = parse_qs(urlsplit(address).query)
    for book in books:
        assert "widgets" in book["metadata"]
        for secret in (query["code"][0], query["state"][0], practice.client_secret):
            assert secret not in json.dumps(book)
    three.component("Check the connection").get_by_role("button", name="Check the connection").click()
    expect(status(three.component("Check the connection"))).to_contain_text("nothing to mend", timeout=15_000)
    three.screenshot("03-whole")


def no_secret_in(notebook: NotebookPage, site: PracticeSite, workspace: Workspace) -> None:
    """Look for the secret, the tokens and whatever looks like a code in the saved notebook and its HTML export."""
    from nbconvert import HTMLExporter

    saved = notebook.save()
    assert "widgets" in saved["metadata"]
    page, _ = HTMLExporter().from_filename(str(notebook.path))
    token = workspace.tokens.access_token(workspace.connection()).reveal()
    for text in (notebook.path.read_text(encoding="utf-8"), page):
        for what, secret in {"client secret": site.client_secret, "token": token, "end of token": token[-40:]}.items():
            assert secret not in text, f"the {what} is in the saved notebook"
        assert not re.search(r"[?&](code|state)=[\w.%-]{8,}", text)
        assert "eyJ" not in re.sub(r"data:[\w/+;=-]+base64,[\w+/=]+|\"image/png\": \"[^\"]+\"", "", text)


def picture_for_readme(notebook: NotebookPage, picker: Locator) -> None:
    picture = notebook.screenshot("04-picker-readme", picker)
    if os.environ.get("SPOKEKIT_UPDATE_SCREENSHOT"):
        README_PICTURE.parent.mkdir(exist_ok=True)
        shutil.copyfile(picture, README_PICTURE)
    assert picture.stat().st_size < 100_000
