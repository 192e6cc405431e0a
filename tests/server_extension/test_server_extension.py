"""The redirect target in a real Jupyter server under a prefix, switched on by the wheel's own configuration file."""

from __future__ import annotations

import re
import shutil
import threading
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from spokekit import errors
from spokekit.oauth import jupyter_mailbox
from spokekit.oauth.callbacks import Receiver
from spokekit.oauth.environment import CALLBACK_PATH, handover_folder, this_server
from spokekit.oauth.grant import get_token
from spokekit.oauth.receivers import choose_receiver, propose_redirect_uri
from spokekit.practice import PracticeSite
from tests.oauth.jupyter_server import BASE, TOKEN, Server, given
from tests.oauth.support import Place, configured


@pytest.fixture
def ready(server: Server, place: Place, site: PracticeSite) -> tuple[Place, Any]:
    site.allow_redirect(server.redirect)
    return place, configured(place, site, redirect_uri=server.redirect)


class Browser:
    """Follows the link of the notebook by hand: start, consent, callback."""

    def __init__(self, server: Server, site: PracticeSite, decision: str = "accept") -> None:
        self.server, self.site, self.decision = server, site, decision
        self.callback = ""
        self.pages: list[httpx2.Response] = []

    def __call__(self, link: str) -> None:
        assert link.startswith(f"{BASE}spokekit/oauth/start?flow="), "a path: the browser knows the host"
        given.append(link.split("flow=")[1])
        start = self.server.get(f"http://localhost:{self.server.port}{link}")
        assert start.status_code == 302 and start.headers["cache-control"] == "no-store"
        self.callback = self.site.play_browser(start.headers["location"], decision=self.decision)
        given.extend(parse_qs(urlsplit(self.callback).query).get("code", []))
        self.deliver()

    def deliver(self) -> None:
        self.pages.append(self.server.get(self.callback))


def test_the_callback_reaches_the_kernel(
    ready: tuple[Place, Any], server: Server, site: PracticeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, connection = ready
    monkeypatch.setenv("JPY_SESSION_NAME", "/srv/lessons/02 <b> connect.ipynb")
    receiver, reason = choose_receiver(connection.redirect_uri)
    assert receiver.name == "extension" and "Jupyter server takes the redirect" in reason
    browser, told = Browser(server, site), []
    status = get_token(place, connection, open_browser=browser, tell=told.append)
    assert status.state == "valid" and told[0] == reason
    page = browser.pages[0]
    assert page.status_code == 200 and "Received" in page.text and "history.replaceState" in page.text
    assert 'class="product">spokekit<' in page.text, "the page says whose it is"
    # The name of the notebook is the person's own text.
    assert "Go back to the browser tab of Jupyter with 02 &lt;b&gt; connect.ipynb" in page.text
    assert page.headers["cache-control"] == "no-store" and page.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert _left() == [], "nothing is left of the attempt"
    browser.deliver()
    assert browser.pages[1].status_code == 400


def _left() -> list[str]:
    return [path.name for path in handover_folder().iterdir() if not path.name.startswith("server-")]


def test_declined(ready: tuple[Place, Any], server: Server, site: PracticeSite) -> None:
    place, connection = ready
    browser = Browser(server, site, "cancel")
    with pytest.raises(errors.ConsentDeclined):
        get_token(place, connection, open_browser=browser)
    assert browser.pages[0].status_code == 200 and "Not authorised" in browser.pages[0].text
    assert _left() == []


def test_wrong_state_and_second_delivery(ready: tuple[Place, Any], server: Server, site: PracticeSite) -> None:
    place, connection = ready

    class Attacked(Browser):
        def deliver(self) -> None:
            for query in ("?code=theirs&state=wrong", "?error=access_denied&state=wrong", "?code=theirs", "?x=1", ""):
                answer = self.server.get(self.server.redirect + query)
                assert answer.status_code == 400 and "theirs" not in answer.text
            given.append("theirs")
            super().deliver()
            super().deliver()

    browser = Attacked(server, site)
    assert get_token(place, connection, open_browser=browser).state == "valid"
    assert [page.status_code for page in browser.pages] == [200, 400]
    assert "received before" in browser.pages[1].text


def test_time_out_cancel_and_a_late_callback(
    ready: tuple[Place, Any], server: Server, site: PracticeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, connection = ready
    links: list[str] = []
    with pytest.raises(errors.ConsentTimedOut):
        get_token(place, connection, show_address=links.append, timeout=0.5)
    cancel = threading.Event()
    with pytest.raises(errors.ConsentCancelled):
        get_token(place, connection, show_address=lambda a: (links.append(a), cancel.set()), cancel=cancel)
    for link in links:
        given.append(link.split("flow=")[1])
        gone = server.get(f"http://localhost:{server.port}{link}")
        assert gone.status_code == 404 and "Nobody waits" in gone.text
        late = server.get(f"{server.redirect}?code=late-code&state={link.split('flow=')[1]}")
        assert late.status_code == 400
    assert _left() == []


def test_files_of_the_hand_over_are_private_and_hold_no_state(
    ready: tuple[Place, Any], server: Server, site: PracticeSite
) -> None:
    place, connection = ready
    seen: list[tuple[int, bool]] = []

    def look(link: str) -> None:
        state = link.split("flow=")[1]
        given.append(state)
        for path in handover_folder().iterdir():
            seen.append((path.stat().st_mode & 0o777, state in path.read_text() or state in path.name))
        assert handover_folder().stat().st_mode & 0o777 == 0o700
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get_token(place, connection, open_browser=look)
    assert len(seen) == 2 and set(seen) == {(0o600, False)}
    assert _left() == [], "an interrupted cell leaves nothing behind"


def test_start_notices_beforehand_that_the_consent_could_not_come_back(
    ready: tuple[Place, Any], server: Server, place: Place, site: PracticeSite
) -> None:
    other = f"http://localhost:{server.port + 1}{BASE}{CALLBACK_PATH}"
    connection = configured(place, site, name="Other", redirect_uri=other)
    links: list[str] = []
    with pytest.raises(errors.ConsentTimedOut):
        get_token(place, connection, receiver="extension", show_address=links.append, timeout=0.1)
    seen: list[httpx2.Response] = []

    def browser(link: str) -> None:
        given.append(link.split("flow=")[1])
        seen.append(server.get(f"http://localhost:{server.port}{link}"))

    with pytest.raises(errors.ConsentTimedOut):
        get_token(place, connection, receiver="extension", open_browser=browser, timeout=0.5)
    assert seen[0].status_code == 409 and other in seen[0].text and server.redirect in seen[0].text


def test_start_without_a_flow_shows_the_address_to_register(server: Server) -> None:
    page = server.get(f"http://localhost:{server.port}{BASE}spokekit/oauth/start")
    assert page.status_code == 200 and f"<code>{server.redirect}</code>" in page.text
    evil = server.get(f"http://127.0.0.1:{server.port}{BASE}spokekit/oauth/start", headers={"Host": "a<b>:1"})
    assert "<b>" not in evil.text


def test_a_hub_redirects_to_the_own_server(place: Place, server: Server, site: PracticeSite) -> None:
    shared = f"http://localhost:{server.port}/hub/user-redirect/{CALLBACK_PATH}"
    site.allow_redirect(shared)
    connection = configured(place, site, redirect_uri=shared)

    class ThroughTheHub(Browser):
        def deliver(self) -> None:
            assert self.callback.startswith(shared)
            self.callback = re.sub(r"/hub/user-redirect/", BASE, self.callback)
            super().deliver()

    assert get_token(place, connection, open_browser=ThroughTheHub(server, site)).state == "valid"


def test_a_pasted_address_works_beside_the_server(ready: tuple[Place, Any], server: Server, site: PracticeSite) -> None:
    place, connection = ready
    receiver: Receiver = choose_receiver(connection.redirect_uri)[0]

    def browser(link: str) -> None:
        given.append(link.split("flow=")[1])
        start = server.get(f"http://localhost:{server.port}{link}")
        receiver.deliver(site.play_browser(start.headers["location"]))

    assert get_token(place, connection, receiver=receiver, open_browser=browser).state == "valid"


def test_an_error_inside_the_handler_shows_and_logs_no_code(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from spokekit._secret import Secret

    state = Secret("planted-state-of-a-broken-attempt")
    given.extend([state.reveal(), "planted-code-of-a-broken-attempt"])
    jupyter_mailbox.announce(state, jupyter_mailbox.Waiting("http://x/", server.redirect, time.time() + 60))
    # A folder where the answer's file should go makes the handler fail.
    blocked = handover_folder() / f"{jupyter_mailbox._name(state)}.answer"
    blocked.mkdir()
    try:
        answer = server.get(f"{server.redirect}?code=planted-code-of-a-broken-attempt&state={state.reveal()}")
    finally:
        blocked.rmdir()
        jupyter_mailbox.withdraw(state)
    assert answer.status_code == 500 and "planted" not in answer.text
    assert server.get(f"http://localhost:{server.port}{BASE}spokekit/oauth/nothing").status_code == 404
    assert httpx2.post(f"{server.redirect}?code=planted-code-of-a-broken-attempt").status_code in (403, 405)


def test_the_kernel_knows_its_server(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    found = this_server()
    assert found is not None and found.extension and found.base_url == BASE and found.on_this_machine
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", BASE)
    monkeypatch.setenv("JUPYTERHUB_PUBLIC_URL", "https://hub.example/user/someone/")
    assert propose_redirect_uri()[0] == f"https://hub.example/user/someone/{CALLBACK_PATH}"
    monkeypatch.delenv("JUPYTERHUB_PUBLIC_URL")
    monkeypatch.setenv("JUPYTERHUB_PUBLIC_HUB_URL", "https://hub.example/hub/")
    assert propose_redirect_uri()[0] == f"https://hub.example/hub/user-redirect/{CALLBACK_PATH}"


def test_a_persons_own_copies_of_the_notebooks_for_whoever_is_signed_in(server: Server) -> None:
    here = f"http://localhost:{server.port}"
    asked = server.get(f"{here}{BASE}spokekit/notebooks")
    assert asked.status_code == 302 and asked.headers["location"].startswith(f"{BASE}login?next=")
    mine = server.runtime.parent / "spokekit-notebooks"
    assert not mine.exists(), "nobody was signed in"
    key = {"Authorization": f"token {TOKEN}"}
    for _ in range(2):
        led = server.get(f"{here}{BASE}spokekit/notebooks", headers=key)
        assert led.headers["location"] == f"{BASE}doc/tree/spokekit-notebooks/00-start-here.ipynb"
    assert (mine / "training").is_dir() and (mine / "07-review-access.ipynb").is_file()
    # A place that cannot be written is told, and nothing is put elsewhere.
    shutil.rmtree(mine)
    mine.write_text("a file of that name")
    refused = server.get(f"{here}{BASE}spokekit/notebooks", headers=key)
    assert refused.status_code == 500 and "cannot be copied to" in refused.text
    mine.unlink()
