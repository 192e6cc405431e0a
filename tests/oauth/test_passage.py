"""The practice site's pages for a browser that cannot come to them: through a real Jupyter server under a prefix."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from spokekit.oauth import jupyter_mailbox
from spokekit.oauth.environment import CALLBACK_PATH, browser_is_elsewhere
from spokekit.oauth.grant import get_token
from spokekit.oauth.jupyter_mailbox import for_the_browser
from spokekit.practice import PracticeSite
from spokekit.practice.pages.consent import SCRIPT_SUM
from tests.oauth.jupyter_server import BASE, TOKEN, Server, given
from tests.oauth.support import Place, configured
from tests.practice.support import authorize_url

STATE = "state-of-a-browser-that-is-elsewhere"
given.append(STATE)


@pytest.fixture
def hub(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Be a kernel of the server, with the browser elsewhere."""
    monkeypatch.setenv("JUPYTERHUB_USER", "someone")
    return server


@pytest.fixture
def person(hub: Server) -> Iterator[httpx2.Client]:
    """A browser that is signed in to the Jupyter server: it sends its cookie."""
    origin = f"http://localhost:{hub.port}"
    with httpx2.Client(base_url=origin, headers={"Origin": origin}, timeout=10) as browser:
        assert browser.get(f"{BASE}login?token={TOKEN}").is_redirect
        yield browser


def form_of(page: httpx2.Response) -> dict[str, str]:
    """Return the hidden fields of the consent form, or of the first app's."""
    forms = (dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', part)) for part in _forms(page))
    return next(fields for fields in forms if "create" not in fields)


def _forms(page: httpx2.Response) -> list[str]:
    return [part.partition("</form>")[0] for part in page.text.split('<form method="post">')[1:]]


def at(port: int, page: str) -> str:
    return f"{BASE}{jupyter_mailbox.PAGES_PATH}/{port}/{page}"


def test_only_a_practice_site_here_and_only_for_a_browser_elsewhere(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = "http://127.0.0.1:8750/authorize?state=x&scope=a%20b"
    assert for_the_browser(page) == page, "the browser is on this machine"
    monkeypatch.setenv("JUPYTERHUB_USER", "someone")
    assert for_the_browser(page) == f"{BASE}spokekit/practice/8750/authorize?state=x&scope=a%20b"
    assert for_the_browser("http://localhost:8750/console") == f"{BASE}spokekit/practice/8750/console"
    for other in (
        "https://auth.atlassian.com/authorize?state=x",
        "https://developer.atlassian.com/console",
        "http://practice.example:8750/console",
        "http://127.0.0.1.practice.example:8750/console",
        "http://127.0.0.1:8750/oauth/token",
        "http://127.0.0.1:8750/practice/faults",
        "http://127.0.0.1/console",
        "https://127.0.0.1:8750/console",
        "http://127.0.0.1:x/console",
        f"{BASE}spokekit/oauth/start?flow=x",
    ):
        assert for_the_browser(other) == other
    monkeypatch.delenv("JPY_PARENT_PID")
    assert for_the_browser(page) == page, "there is no server that could pass it on"


def test_a_server_behind_a_proxy_tells_its_kernels(server: Server) -> None:
    note = server.runtime / "spokekit-oauth" / f"server-{server.pid}.json"
    before = note.read_bytes()
    assert browser_is_elsewhere() is None
    try:
        note.write_text('{"allow_remote_access": true}')
        assert "open to other machines" in str(browser_is_elsewhere())
    finally:
        note.write_bytes(before)


def test_consent_by_hand_and_back_again(hub: Server, person: httpx2.Client, place: Place, site: PracticeSite) -> None:
    site.allow_redirect(hub.redirect)
    connection = configured(place, site, redirect_uri=hub.redirect)
    pages: list[httpx2.Response] = []

    def browse(link: str) -> None:
        given.append(link.split("flow=")[1])
        start = person.get(link)
        assert start.headers["location"].startswith(at(site.port, "authorize?"))
        page = person.get(start.headers["location"])
        assert page.status_code == 200 and "asks for access" in page.text
        form = {**form_of(page), "decision": "accept", "site": ""}
        back = person.post(start.headers["location"], data=form, headers={"Sec-Fetch-Site": "same-origin"})
        assert back.status_code == 302 and back.headers["referrer-policy"] == "same-origin"
        given.extend(parse_qs(urlsplit(back.headers["location"]).query)["code"])
        # The server that takes the redirect asks for no sign-in.
        pages.append(hub.get(back.headers["location"]))

    assert get_token(place, connection, open_browser=browse).state == "valid"
    assert pages[0].status_code == 200 and "Received" in pages[0].text
    assert CALLBACK_PATH in str(pages[0].url)


def test_the_console_saves_and_is_escaped(person: httpx2.Client, site: PracticeSite) -> None:
    address = for_the_browser(f"{site.url}console", key=site.keys.key)
    page = person.get(address)
    assert page.status_code == 200 and site.client_secret in page.text
    assert page.text.count('name="_xsrf"') == page.text.count("<form") > len(site.apps)
    policy = page.headers["content-security-policy"]
    # The sum stands in the extension as well: a page of another program on the port runs no script.
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src {SCRIPT_SUM}; base" in policy
    assert page.headers["x-frame-options"] == "DENY"
    uris = "http://localhost:8751/callback\nhttp://localhost/<b>"
    saved = person.post(address, data={**form_of(page), "redirect_uris": uris})
    assert (
        saved.status_code == 200 and "Saved spokekit practice app" in saved.text and "localhost/<b>" not in saved.text
    )
    assert site.redirect_uris == tuple(uris.split())
    refused = person.post(address, data={**form_of(page), "redirect_uris": "no address"})
    assert refused.status_code == 400 and "Not saved" in refused.text


def test_the_practice_instance_is_used_by_hand(person: httpx2.Client, site: PracticeSite) -> None:
    site.instance_beside.make().data.put("oauth_entity", {"name": "Its <registry>"}, "a" * 32)
    address = for_the_browser(f"{site.url}instance", key=site.keys.key)
    page = person.get(address)
    assert page.status_code == 200 and "Client secret of Its &lt;registry&gt;" in page.text
    assert page.text.count('name="_xsrf"') == page.text.count("<form") == 2
    saved = person.post(address, data={**form_of(page), "registry": "a" * 32, "secret": "typed on a hub"})
    assert "is saved" in saved.text and site.instance_beside.secrets() == {"a" * 32: "another"}


def test_nobody_else_gets_anything(hub: Server, person: httpx2.Client, site: PracticeSite) -> None:
    console = for_the_browser(f"{site.url}console", key=site.keys.key)
    authorize = for_the_browser(authorize_url(site, state=STATE))
    form = {**form_of(person.get(console)), "redirect_uris": "https://elsewhere.example/"}
    before, asked = site.redirect_uris, len(site.requests)
    origin = str(person.base_url).rstrip("/")
    stranger = httpx2.Client(base_url=origin, timeout=10)
    with stranger:
        for answer in (
            stranger.get(console),
            stranger.get(authorize),
            stranger.get(authorize, headers={"Cookie": f"_xsrf={form['_xsrf']}"}),
            stranger.post(console, data=form),
            stranger.post(authorize, data=form),
        ):
            assert answer.status_code == 403 and "location" not in answer.headers, "no way over the login page"
            assert "signed in to this Jupyter server" in answer.text and STATE not in answer.text
    # Signed in, but the form comes from elsewhere.
    without = {k: v for k, v in form.items() if k != "_xsrf"}
    assert person.post(console, data=without).status_code == 403
    assert person.post(console, data={**form, "_xsrf": "guessed"}).status_code == 403
    assert person.post(f"{console}?_xsrf={form['_xsrf']}", data=without).status_code == 403
    assert person.post(console, data=form, headers={"Origin": "https://elsewhere.example"}).status_code in (403, 404)
    assert person.post(console, data=form, headers={"Origin": "null"}).status_code in (403, 404)
    assert len(site.requests) == asked
    assert person.post(console, data=form, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 502
    assert site.redirect_uris == before


def test_nothing_but_the_two_pages_of_a_named_practice_site(hub: Server, person: httpx2.Client) -> None:
    with PracticeSite() as site:
        assert person.get(at(site.port, "console")).status_code == 404, "no kernel has named it"
        assert for_the_browser(f"{site.url}console", key=site.keys.key) == at(site.port, "console")
        assert person.get(at(site.port, "console")).status_code == 200
        for other in ("me", "oauth/token", "practice/faults", "console/x", "consoles", "ex/confluence/x/wiki"):
            assert person.get(at(site.port, other)).status_code == 404
        assert person.post(at(site.port, "oauth/token")).status_code in (403, 404)
        assert {record.path for record in site.requests} == {"/console"}
        yesterday = time.time() - 2 * jupyter_mailbox.NAMED_FOR
        note = hub.runtime / "spokekit-oauth" / f"practice-{site.port}.json"
        assert note.stat().st_mode & 0o777 == 0o600
        os.utime(note, (yesterday, yesterday))
        assert person.get(at(site.port, "console")).status_code == 404
        for_the_browser(f"{site.url}console", key=site.keys.key)
    gone = person.get(at(site.port, "console"))
    assert gone.status_code == 502 and "does not answer any more" in gone.text
    assert person.get(at(99999, "console")).status_code == 404


@pytest.mark.parametrize("says_it_is_one", [True, False])
def test_another_program_on_the_port(person: httpx2.Client, says_it_is_one: bool) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            if says_it_is_one:
                self.send_header("X-Spokekit-Practice", "page")
            self.send_header("Content-Type", "image/svg+xml")
            self.send_header("Set-Cookie", "_xsrf=planted")
            self.end_headers()
            self.wfile.write(b"<script>alert(1)</script>")

        def log_message(self, *_: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        answer = person.get(for_the_browser(f"http://127.0.0.1:{other.server_port}/console"))
        other.shutdown()
    assert "planted" not in str(answer.headers)
    if says_it_is_one:
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src")
    else:
        assert answer.status_code == 502 and "alert" not in answer.text
