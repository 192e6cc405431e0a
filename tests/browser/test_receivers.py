"""The three ways in which the redirect comes back, in a real JupyterLab under a prefix, each in each situation."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from spokekit._secret import Secret
from spokekit.connections.connection import ConnectionDraft
from tests.browser.jupyterlab_page import Lab, NotebookPage

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite

CELL = """
from spokekit.widgets import TokenButton
button = TokenButton()
button
"""


class Person:
    """Presses the button, decides on the consent page, and pastes the address where nothing can listen."""

    def __init__(self, notebook: NotebookPage, redirect: str, *, pastes: bool) -> None:
        self.notebook, self.redirect, self.pastes = notebook, redirect, pastes
        self.component: Locator = notebook.component("Get the OAuth token")
        self.callback = ""

    @property
    def status(self) -> Locator:
        return self.component.locator(".sk-status:visible").last

    def press(self) -> Page:
        with self.notebook.page.context.expect_page() as opened:
            self.component.get_by_role("button", name="Get OAuth Token", exact=True).click()
        page: Page = opened.value
        expect(page.get_by_role("heading", level=1)).to_contain_text("asks for access")
        page.on("request", self._note)
        return page

    def _note(self, request: Any) -> None:
        if request.url.startswith(self.redirect):
            self.callback = request.url

    def decide(self, page: Page, decision: str, words: str) -> None:
        page.get_by_role("button", name=decision).click()
        if self.pastes:
            # The page after the consent does not load here; its address is in the address bar all the same.
            page.wait_for_url("chrome-error://**")
            self.paste(self.callback)
        else:
            expect(page.locator("main")).to_contain_text(words)
            assert "code=" not in page.url and "state=" not in page.url, "the address bar is cleaned"
        page.close()

    def paste(self, address: str) -> None:
        fold = self.component.get_by_role("button", name="Did the page not come back? Paste its address")
        field = self.component.get_by_label("Address")
        if not field.is_visible():
            fold.click()
        field.fill(address)
        field.press("Enter")

    def visit(self, address: str) -> tuple[int, str]:
        """Open an address in a browser that is signed in nowhere; (0, "") when nothing answers."""
        page = self.notebook.lab._browser.new_page()
        try:
            answer = page.goto(address)
            return (answer.status if answer else 0), page.locator("body").inner_text()
        except Exception as error:  # noqa: BLE001 - Playwright's error for a refused connection has no class of its own
            assert "ERR_CONNECTION_REFUSED" in str(error)
            return 0, ""
        finally:
            page.close()


def redirect_for(way: str, lab: Lab, site: PracticeSite) -> str:
    if way == "extension":
        # JupyterLab is open under 127.0.0.1 here: another name, with other cookies, must not matter.
        address = lab.base.replace("127.0.0.1", "localhost") + "spokekit/oauth/callback"
    else:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"http://localhost:{probe.getsockname()[1]}/callback"
    site.allow_redirect(address)
    return address


@pytest.mark.parametrize("way", ["loopback", "paste", "extension"])
def test_a_receiver_in_every_situation(
    way: str, lab: Lab, open_notebook: Callable[..., NotebookPage], workspace: Workspace, site: PracticeSite
) -> None:
    redirect = redirect_for(way, lab, site)
    connection = workspace.connections.save(
        ConnectionDraft(url=site.url, auth_url=site.auth_url, client_id=site.client_id, redirect_uri=redirect)
    )
    workspace.tokens.set_client_secret(connection, Secret(site.client_secret))
    # A hub's variable makes a listener pointless: that is where people paste.
    notebook = open_notebook([CELL], env={"JUPYTERHUB_USER": "someone"} if way == "paste" else {})
    notebook.run_all()
    assert notebook.errors() == []
    person = Person(notebook, redirect, pastes=way == "paste")
    reason = {
        "loopback": "A listener waits on port",
        "paste": "so a redirect to localhost does not reach this program",
        "extension": "The Jupyter server takes the redirect",
    }[way]
    expect(person.component).to_contain_text(reason)
    expect(person.component).to_contain_text(redirect)

    # Declined.
    person.decide(person.press(), "Cancel", "Not authorised")
    expect(person.status).to_contain_text("The consent was declined")

    # Cancelled in the notebook, and accepted too late in the browser.
    late = person.press()
    person.component.get_by_role("button", name="Cancel", exact=True).click()
    expect(person.status).to_contain_text("cancel")
    late.get_by_role("button", name="Accept").click()
    late.wait_for_function("location.href !== 'about:blank'")
    late.close()
    assert workspace.tokens.status(connection).state == "no_token"

    # Timed out.
    notebook.execute("button.get(timeout=1.0)")
    expect(person.status).to_contain_text("No answer from the consent page came within 1 second", timeout=10_000)

    # A wrong state comes first and changes nothing; then the right one; then the same once more.
    consent = person.press()
    wrong = f"{redirect}?code=somebody-elses&state=wrong"
    if way == "paste":
        person.paste(wrong)
        expect(person.component).to_contain_text("This is not the answer to the attempt that is waiting")
    else:
        assert person.visit(wrong)[0] == 400
    person.decide(consent, "Accept", "Received")
    expect(person.status).to_contain_text(f"Connected to {site.sites[0].name}")
    again = person.visit(person.callback)
    assert again[0] == (400 if way == "extension" else 0)
    notebook.screenshot(f"receiver-{way}", person.component)
    assert workspace.tokens.status(connection).state == "valid"
    assert site.count("exchange") == 1
    for secret in ("code=", "somebody-elses", "flow="):
        assert secret not in lab.log.read_text()
