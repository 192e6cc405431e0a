"""Save and Get OAuth Token against the practice site: the way that works, and every way that does not."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from spokekit import errors
from spokekit._secret import Secret
from spokekit.connections.store import default_store
from spokekit.oauth.callbacks import Callback, LoopbackReceiver, PasteReceiver, Receiver
from spokekit.oauth.grant import Attempt, get_token
from spokekit.practice import PracticeSite
from tests.oauth.support import Place, Player, configured, free_port, granted


@pytest.fixture
def redirect(site: PracticeSite) -> str:
    address = f"http://localhost:{free_port()}/callback"
    site.allow_redirect(address)
    return address


def pasted(site: PracticeSite, receiver: Receiver, decision: str = "accept") -> Any:
    """Return a browser that pastes the callback's address instead of following it."""
    return lambda address: receiver.deliver(site.play_browser(address, decision=decision))


def test_one_consent_gives_token_site_and_account(place: Place, site: PracticeSite, redirect: str) -> None:
    connection = configured(place, site, redirect_uri=redirect)
    told: list[str] = []
    browser = Player(site)
    status = get_token(place, connection, open_browser=browser, tell=told.append)
    browser.wait()
    saved = place.connections.get(connection.connection_id)
    assert status.state == "valid" and status.scopes == connection.scopes
    assert (saved.cloud_id, saved.site_name, saved.site_url) == (
        site.sites[0].cloud_id,
        site.sites[0].name,
        site.sites[0].url,
    )
    assert saved.account_id == site.account_id and saved.account_name
    assert told == [
        f"A listener waits on port {urlsplit(redirect).port} of this computer; nothing is to be copied.",
        "Waiting for your consent in the browser.",
        "Consent received. Getting the token.",
        f"Connected to {site.sites[0].name} as {saved.account_name}.",
    ]
    me = httpx2.get(site.url + "me", headers={"Authorization": f"Bearer {place.tokens.access_token(saved).reveal()}"})
    assert me.status_code == 200
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(redirect)


def test_the_authorize_address_is_the_documented_one(place: Place, site: PracticeSite) -> None:
    connection = configured(place, site)
    receiver = PasteReceiver(connection.redirect_uri)
    attempt = Attempt.start(connection, place.tokens, receiver)
    parts = urlsplit(attempt.authorize_url())
    query = parse_qs(parts.query, strict_parsing=True)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == site.auth_url + "authorize"
    assert query == {
        "audience": ["api.atlassian.com"],
        "client_id": [site.client_id],
        "scope": [" ".join(connection.scopes)],
        "redirect_uri": [connection.redirect_uri],
        "state": [attempt.state.reveal()],
        "response_type": ["code"],
        "prompt": ["consent"],
    }
    assert "+" not in attempt.authorize_url() and "%20" in attempt.authorize_url()
    assert len(attempt.state.reveal()) >= 40
    again = Attempt.start(connection, place.tokens, PasteReceiver(connection.redirect_uri))
    assert again.state != attempt.state


def test_pkce_is_off_unless_asked_for_and_then_proven(place: Place, site: PracticeSite) -> None:
    site.switches.pkce = "enforced"
    connection = configured(place, site, pkce=True)
    receiver = PasteReceiver(connection.redirect_uri)
    seen: list[str] = []

    def browser(address: str) -> None:
        seen.append(address)
        pasted(site, receiver)(address)

    assert get_token(place, connection, receiver=receiver, open_browser=browser).state == "valid"
    query = parse_qs(urlsplit(seen[0]).query)
    assert query["code_challenge_method"] == ["S256"] and len(query["code_challenge"][0]) == 43


def test_several_sites_are_asked_about_and_never_guessed(home: Path) -> None:
    with PracticeSite(sites=3, strict=True) as site:
        place = Place(default_store(), site)
        connection = configured(place, site)
        receiver = PasteReceiver(connection.redirect_uri)
        with pytest.raises(errors.SiteChoiceNeeded) as problem:
            get_token(place, connection, receiver=receiver, open_browser=pasted(site, receiver))
        assert {one[0] for one in problem.value.sites} == {one.cloud_id for one in site.sites}
        saved = place.connections.get(connection.connection_id)
        assert saved.cloud_id is None and place.tokens.status(saved).state == "valid", "the consent is not lost"
        wanted = site.sites[2]
        for answer in (wanted.cloud_id, wanted.name, wanted.url):
            place.connections.edit(connection.connection_id, url=site.url)
            receiver = PasteReceiver(connection.redirect_uri)
            get_token(
                place,
                connection,
                receiver=receiver,
                open_browser=pasted(site, receiver),
                choose_site=lambda _, a=answer: a,
            )
            saved = place.connections.get(connection.connection_id)
            assert saved.cloud_id == wanted.cloud_id
        # Who chose once is not asked again, as long as the site is among them.
        receiver = PasteReceiver(connection.redirect_uri)
        get_token(place, saved, receiver=receiver, open_browser=pasted(site, receiver))
        assert place.connections.get(connection.connection_id).cloud_id == wanted.cloud_id


def test_a_consent_for_another_site_does_not_silently_move_the_connection(place: Place, site: PracticeSite) -> None:
    connection = configured(place, site)
    connection = place.connections.set_site(connection.connection_id, "other-cloud-id", "Other", "https://other")
    receiver = PasteReceiver(connection.redirect_uri)
    with pytest.raises(errors.SiteChoiceNeeded, match="The connection was for Other"):
        get_token(place, connection, receiver=receiver, open_browser=pasted(site, receiver))
    assert place.connections.get(connection.connection_id).cloud_id == "other-cloud-id"


def test_no_site_is_explained_and_the_jira_half_of_a_site_does_not_count(place: Place, site: PracticeSite) -> None:
    connection = configured(place, site)
    site.switches.no_resources = True
    receiver = PasteReceiver(connection.redirect_uri)
    with pytest.raises(errors.NoSite) as problem:
        get_token(place, connection, receiver=receiver, open_browser=pasted(site, receiver))
    assert problem.value.next_step == "ask_site_admin"
    site.switches.no_resources, site.switches.duplicate_resource = False, True
    receiver = PasteReceiver(connection.redirect_uri)
    assert get_token(place, connection, receiver=receiver, open_browser=pasted(site, receiver)).state == "valid"


def test_declined(place: Place, site: PracticeSite) -> None:
    connection = granted(place, site)
    before = place.tokens.access_token(connection)
    receiver = PasteReceiver(connection.redirect_uri)
    with pytest.raises(errors.ConsentDeclined):
        get_token(place, connection, receiver=receiver, open_browser=pasted(site, receiver, "cancel"))
    assert place.tokens.access_token(connection) == before


def test_a_wrong_secret_is_not_called_a_declined_consent(place: Place, site: PracticeSite) -> None:
    connection = configured(place, site)
    place.tokens.set_client_secret(connection, Secret("not-the-secret-of-this-app"))
    receiver = PasteReceiver(connection.redirect_uri)
    with pytest.raises(errors.ClientSecretRefused) as problem:
        get_token(place, connection, receiver=receiver, open_browser=pasted(site, receiver))
    assert problem.value.next_step == "fix_secret"


def test_a_late_code(place: Place, site: PracticeSite) -> None:
    connection = configured(place, site)
    receiver = PasteReceiver(connection.redirect_uri)

    def dawdle(address: str) -> None:
        callback = site.play_browser(address)
        site.advance(601)
        receiver.deliver(callback)

    with pytest.raises(errors.CodeRefused):
        get_token(place, connection, receiver=receiver, open_browser=dawdle)


def test_a_scope_that_the_app_lacks(place: Place, site: PracticeSite) -> None:
    connection = configured(place, site, scopes="read:confluence-groups manage:confluence-configuration")
    receiver = PasteReceiver(connection.redirect_uri)
    with pytest.raises(errors.ScopeNotEnabled) as problem:
        get_token(place, connection, receiver=receiver, open_browser=pasted(site, receiver))
    assert problem.value.next_step == "enable_scope"


@pytest.mark.parametrize(("changes", "kind"), [({"client_id": ""}, errors.NotConfigured), ({}, errors.NotConfigured)])
def test_what_is_missing_is_told_before_anybody_consents(
    place: Place, site: PracticeSite, changes: dict[str, str], kind: type
) -> None:
    import dataclasses

    connection = configured(place, site)
    place.tokens.set_client_secret(connection, None)
    receiver = PasteReceiver(connection.redirect_uri)
    opened: list[str] = []
    with pytest.raises(kind):
        get_token(place, dataclasses.replace(connection, **changes), receiver=receiver, open_browser=opened.append)
    assert not opened


def test_a_failure_after_the_exchange_does_not_lose_the_consent(place: Place, site: PracticeSite) -> None:
    connection = configured(place, site)

    def broken(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("accessible-resources"):
            return httpx2.Response(502, text="<html>")
        with httpx2.HTTPTransport() as real:
            answer = real.handle_request(request)
            answer.read()
            return answer

    place.tokens._transport = httpx2.MockTransport(broken)
    receiver = PasteReceiver(connection.redirect_uri)
    with pytest.raises(errors.ServiceError):
        get_token(place, connection, receiver=receiver, open_browser=pasted(site, receiver))
    assert place.tokens.status(connection).state == "valid"


# ------------------------------------------------------------------ the attempt


def test_an_attempt_takes_one_callback_with_its_own_state_in_time(
    place: Place, site: PracticeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = configured(place, site)

    def start() -> Attempt:
        return Attempt.start(connection, place.tokens, PasteReceiver(connection.redirect_uri), pkce=False)

    attempt = start()
    left = (attempt.expires_at - datetime.now(UTC)).total_seconds()
    assert 595 < left <= 600
    for state in (
        None,
        Secret(""),
        Secret("x"),
        Secret(attempt.state.reveal()[:-1]),
        Secret(attempt.state.reveal() + "x"),
    ):
        with pytest.raises(errors.CallbackRefused, match="its state differs"):
            attempt.admit(Callback(Secret("c"), state))
        with pytest.raises(errors.CallbackRefused, match="its state differs"):
            attempt.admit(Callback(None, state, "access_denied"))
    first = Callback(Secret("c"), attempt.state)
    attempt.admit(first)
    with pytest.raises(errors.CallbackRefused, match="received before"):
        attempt.admit(Callback(Secret("c"), attempt.state))
    with pytest.raises(errors.CodeRefused):
        attempt.complete(first)
    with pytest.raises(errors.CallbackRefused, match="used before"):
        attempt.complete(first)

    cancelled = start()
    cancelled.cancel()
    with pytest.raises(errors.ConsentCancelled):
        cancelled.admit(Callback(Secret("c"), cancelled.state))

    late = start()
    real = time.monotonic()
    with monkeypatch.context() as patch:
        patch.setattr("spokekit.oauth.attempt.time.monotonic", lambda: real + 700)
        with pytest.raises(errors.ConsentTimedOut, match="10 minutes"):
            late.admit(Callback(Secret("c"), late.state))


# ------------------------------------------------------------------ receivers, each in each situation


def test_loopback_page_is_calm_escaped_and_kept_nowhere(place: Place, site: PracticeSite, redirect: str) -> None:
    connection = configured(place, site, redirect_uri=redirect)
    attempt = Attempt.start(connection, place.tokens, LoopbackReceiver(redirect), pkce=False)
    try:
        query = {
            "error": "<script>alert(1)</script>",
            "error_description": "<img src=x>",
            "state": attempt.state.reveal(),
        }
        page = httpx2.get(redirect, params=query)
    finally:
        attempt.cancel()
    assert page.status_code == 200
    assert "<img" not in page.text and "alert(1)<" not in page.text
    assert page.headers["cache-control"] == "no-store" and page.headers["referrer-policy"] == "no-referrer"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe-inline" not in policy and "frame-ancestors 'none'" in policy
    assert "history.replaceState" in page.text
    assert attempt.state.reveal() not in page.text


def test_loopback_takes_nothing_else(place: Place, site: PracticeSite, redirect: str) -> None:
    connection = configured(place, site, redirect_uri=redirect)
    receiver = LoopbackReceiver(redirect)
    attempt = Attempt.start(connection, place.tokens, receiver, pkce=False)
    origin = redirect.rsplit("/", 1)[0]
    good = {"code": "c", "state": attempt.state.reveal()}
    try:
        assert httpx2.get(origin + "/favicon.ico", params=good).status_code == 404
        assert httpx2.get(redirect, params=good, headers={"Host": "evil.example"}).status_code == 400
        assert httpx2.post(redirect, params=good).status_code == 501
        assert httpx2.get(redirect).status_code == 400
        assert "history.replaceState" not in httpx2.get(redirect, params=good | {"state": "x"}).text
        assert receiver.wait(0) is None
        assert httpx2.get(redirect, params=good).status_code == 200
        second = httpx2.get(redirect, params=good)
        assert second.status_code == 400 and "received before" in second.text
        found = receiver.wait(1)
        assert found is not None and receiver.wait(0) is None
    finally:
        attempt.cancel()


def test_loopback_goes_on_after_a_wrong_state(place: Place, site: PracticeSite, redirect: str) -> None:
    connection = configured(place, site, redirect_uri=redirect)
    browser = Player(site)

    def attacked(address: str) -> None:
        for text in ("?code=theirs&state=wrong", "?error=access_denied&state=wrong", "?code=theirs"):
            assert httpx2.get(redirect + text).status_code == 400
        browser(address)

    assert get_token(place, connection, receiver="loopback", open_browser=attacked).state == "valid"
    browser.wait()


def test_loopback_declined_and_pasted_instead(place: Place, site: PracticeSite, redirect: str) -> None:
    connection = configured(place, site, redirect_uri=redirect)
    browser = Player(site, "cancel")
    with pytest.raises(errors.ConsentDeclined):
        get_token(place, connection, receiver="loopback", open_browser=browser)
    browser.wait()
    assert browser.answers[0].status_code == 200 and "Not authorised" in browser.answers[0].text
    receiver = LoopbackReceiver(redirect)
    status = get_token(place, connection, receiver=receiver, open_browser=pasted(site, receiver))
    assert status.state == "valid", "every receiver takes a pasted address too"


@pytest.mark.parametrize("name", ["loopback", "paste"])
def test_time_out_and_cancel(place: Place, site: PracticeSite, redirect: str, name: Any) -> None:
    connection = configured(place, site, redirect_uri=redirect)
    with pytest.raises(errors.ConsentTimedOut, match="within 1 second"):
        get_token(place, connection, receiver=name, timeout=0.3)
    cancel = threading.Event()
    with pytest.raises(errors.ConsentCancelled):
        get_token(place, connection, receiver=name, open_browser=lambda _: cancel.set(), cancel=cancel)
    if name == "loopback":
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(redirect)


def test_paste_asks_again_until_it_is_right(place: Place, site: PracticeSite) -> None:
    connection = configured(place, site)
    addresses: list[str] = []
    told: list[str] = []
    answers = iter(["", "eyJabc", "http://localhost:1/callback?code=c&state=s", "code=c&state=s", None])

    def paste(_: str) -> str | None:
        answer = next(answers)
        return site.play_browser(addresses[0]) if answer is None else answer

    status = get_token(
        place, connection, receiver="paste", show_address=addresses.append, paste=paste, tell=told.append
    )
    assert status.state == "valid"
    assert [words[:20] for words in told[1:5]] == [
        "Nothing was pasted. ",
        "This is a bare code,",
        "This address does no",
        "This is not the answ",
    ]
    with pytest.raises(errors.ConsentCancelled, match="input ended"):
        get_token(place, connection, receiver="paste", paste=lambda _: None)


def test_a_second_listener_on_the_port_is_told(place: Place, site: PracticeSite, redirect: str) -> None:
    connection = configured(place, site, redirect_uri=redirect)
    attempt = Attempt.start(connection, place.tokens, LoopbackReceiver(redirect), pkce=False)
    try:
        with pytest.raises(errors.ConsentError, match="cannot be used"):
            get_token(place, connection, receiver="loopback", timeout=1)
        told: list[str] = []
        with pytest.raises(errors.ConsentTimedOut):
            get_token(place, connection, timeout=0.2, tell=told.append)
        assert "is used by another notebook or program" in told[0]
    finally:
        attempt.cancel()


def test_a_cancelled_attempt_closes_the_listener(place: Place, site: PracticeSite, redirect: str) -> None:
    connection = configured(place, site, redirect_uri=redirect)
    cancel = threading.Event()
    with pytest.raises(errors.ConsentCancelled):
        get_token(place, connection, receiver="loopback", open_browser=lambda _link: cancel.set(), cancel=cancel)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            httpx2.get(redirect)
        except httpx2.ConnectError:
            return
        except httpx2.TransportError:
            pass  # it was closing at that very moment
        time.sleep(0.05)
    pytest.fail("the listener was left behind")
