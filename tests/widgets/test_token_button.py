"""Getting the token in the component: declined, wrong state, late, cancelled, several sites, pasted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from spokekit._secret import Secret
from spokekit._words import clock
from spokekit.connections.connection import ConnectionDraft
from spokekit.errors import (
    CodeRefused,
    ConsentCancelled,
    ConsentDeclined,
    ConsentTimedOut,
    OtherAccount,
    SiteChoiceNeeded,
)
from spokekit.oauth.status import NO_SITE
from spokekit.practice import PracticeSite
from spokekit.training.browser import play_browser
from spokekit.widgets import ConnectionsPanel
from spokekit.widgets.token_button import TokenButton
from tests.conftest import connect
from tests.widgets.conftest import free_redirect

if TYPE_CHECKING:
    from spokekit._workspace import Workspace


@pytest.fixture
def redirect(site: PracticeSite) -> str:
    """A callback URL on a free port, registered with the app."""
    return free_redirect(site)


@pytest.fixture
def token(workspace: Workspace, site: PracticeSite, redirect: str) -> TokenButton:
    """A button for a connection that has no token yet."""
    return fresh(workspace, site, redirect)


def fresh(workspace: Workspace, site: PracticeSite, redirect: str) -> TokenButton:
    saved = connect(workspace, site, redirect_uri=redirect)
    workspace.tokens.forget(saved)
    with workspace.store.write() as db:
        from spokekit.connections.connection import connections_table

        db.execute(connections_table.update().values(cloud_id=None, site_name=None, site_url=None))
    return TokenButton(workspace=workspace)


def until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not what():
        assert time.monotonic() < deadline, "it did not happen within 10 seconds"
        time.sleep(0.01)


def begin(token: TokenButton, **options: float) -> Secret:
    token.get(**options)
    until(lambda: token.waiting or not token.busy)
    assert token.address is not None, token.status
    return token.address


def test_without_a_connection_there_is_nothing_to_copy(workspace: Workspace, site: PracticeSite, redirect: str) -> None:
    empty = TokenButton(workspace=workspace)
    assert "not configured" in empty.status
    assert empty._redirect_row.layout.display == "none"
    assert fresh(workspace, site, redirect)._redirect_row.layout.display != "none"


def test_the_component_changes_by_itself(token: TokenButton, workspace: Workspace, redirect: str) -> None:
    assert redirect in token.redirect.value
    assert "Configured, without a token" in token.status
    address = begin(token)
    assert token.busy
    assert token.start.disabled
    assert address.reveal() not in str(token.link.get_state()) + repr(token)
    assert play_browser(address) == 200
    token.settled(10)
    assert token.token_status.state == "valid"
    assert token.status_kind == "ok"
    assert "Connected to Northwind Practice" in token.status
    assert not token.waiting
    assert token.address is None
    assert workspace.connection().cloud_id


def test_a_token_at_the_start_is_told_and_a_limit_of_it_is_a_warning(connected: Workspace, site: PracticeSite) -> None:
    well = TokenButton(workspace=connected)
    assert well.status_kind == "good" and "Done." not in well._status_html.value
    saved = connected.connection()
    connected.tokens.save_grant(saved, site.issue_token(scopes=["read:confluence-user"]))
    short = TokenButton(workspace=connected)
    assert "cannot be renewed" in short.status and short.status_kind == "warning"


def press(token: TokenButton, words: str) -> None:
    next(child for child in token._sure.children if getattr(child, "description", "") == words).click()


def test_a_token_is_forgotten_after_a_question(connected: Workspace) -> None:
    token = TokenButton(workspace=connected)
    assert token.forget_it.layout.display == "", "there is something to forget"
    token.forget_it.click()
    assert "until somebody consents again" in token._sure.children[0].value
    press(token, "No, keep it")
    assert token._sure.layout.display == "none" and token.token_status.state == "valid"
    token.forget_it.click()
    # A question about the token before is none about the next.
    token.connection = connected.connections.add_child(ConnectionDraft(name="Second", client_id="a1b2c3d4e5f6g7h8i9j0"))
    assert token._sure.layout.display == "none" and token.forget_it.layout.display == "none"
    token.connection = connected.connection()
    token.forget_it.click()
    press(token, "Yes, forget it")
    assert connected.tokens.status(connected.connection()).state == "no_token"
    assert token.token_status.state == "no_token" and token.forget_it.layout.display == "none"
    assert token.status.endswith("is forgotten here; the client secret is kept.") and token.status_kind == "ok"


def test_waiting_says_for_what_until_when_and_that_pages_may_be_closed(
    token: TokenButton, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(token)
    ends = clock(datetime.now().astimezone() + timedelta(seconds=600))
    hours = {ends, clock(datetime.now().astimezone() + timedelta(seconds=540))}
    said = token.until.value
    assert "for you to accept on the consent page" in said and any(f"until {end}" in said for end in hours)
    assert "you may close the consent page" in said and "close this page too" in said
    assert token.forget_it.disabled
    token.runner.cancel()
    with pytest.raises(ConsentCancelled):
        token.settled(10)
    monkeypatch.setenv("SERVER_SOFTWARE", "voila/0.5.13")
    assert "close this page" not in token._waiting_words(600), "there the kernel ends with the page"
    token.way.value = "paste"
    begin(token)
    assert "Copy the whole address" in token.until.value
    assert token.until.value.index("Copy the whole") < token.until.value.index("you may close it")
    token.runner.cancel()
    with pytest.raises(ConsentCancelled):
        token.settled(10)


def test_declined(token: TokenButton) -> None:
    play_browser(begin(token), "cancel")
    with pytest.raises(ConsentDeclined):
        token.settled(10)
    assert "declined" in token.status
    assert token.token_status.state == "no_token"
    assert not token.start.disabled


def test_a_wrong_state_is_refused_and_the_attempt_goes_on(token: TokenButton, redirect: str) -> None:
    import httpx2

    address = begin(token)
    answer = httpx2.get(redirect.replace("localhost", "127.0.0.1"), params={"code": "x", "state": "wrong"})
    assert answer.status_code == 400
    assert token.busy
    token.pasted.put(Secret(f"{redirect}?code=x&state=wrong"))
    assert "its state differs" in token.status
    assert token.busy
    play_browser(address)
    token.settled(10)
    assert token.token_status.state == "valid"


def test_the_pasted_address_does_it_too(token: TokenButton, site: PracticeSite) -> None:
    token.way.value = "paste"
    assert "you paste its address" in token.reason.value
    callback = site.play_browser(begin(token).reveal())
    assert token.paste_fold.shown
    token.pasted.put(Secret(urlsplit(callback).netloc))
    assert "not an address" in token.status
    token.pasted.put(Secret(f"  {callback}\n"))
    token.settled(10)
    assert token.token_status.state == "valid"
    code = parse_qs(urlsplit(callback).query)["code"][0]
    states = [widget.get_state() for widget in (token, token.pasted, token.until, token._status_html)]
    assert code not in str(states)
    assert not token.pasted.is_set


def test_a_code_that_comes_too_late(token: TokenButton, site: PracticeSite) -> None:
    token.way.value = "paste"
    callback = site.play_browser(begin(token).reveal())
    site.advance(3600)
    token.pasted.put(Secret(callback))
    with pytest.raises(CodeRefused):
        token.settled(10)
    assert token.status_kind == "error"


def test_cancel_and_time_out(token: TokenButton) -> None:
    begin(token)
    token._cancel.click()
    with pytest.raises(ConsentCancelled):
        token.settled(10)
    assert token.status_kind == "warning"
    begin(token, timeout=0.3)
    with pytest.raises(ConsentTimedOut):
        token.settled(10)
    assert not token.waiting


@pytest.fixture
def two_sites() -> Iterator[PracticeSite]:
    """A practice site whose account reaches two sites."""
    with PracticeSite(size="class", seed=1, sites=2, strict=True) as running:
        yield running


def test_several_sites_are_asked_never_guessed(workspace: Workspace, two_sites: PracticeSite) -> None:
    token = fresh(workspace, two_sites, free_redirect(two_sites))
    play_browser(begin(token), site="")
    until(lambda: token.sites.options)
    assert token.sites.value is None
    token.use_site.click()
    assert "Choose one of the sites" in token.status
    assert token.busy
    token.choose_site(two_sites.sites[1].cloud_id)
    token.settled(10)
    assert workspace.connection().cloud_id == two_sites.sites[1].cloud_id
    assert two_sites.sites[1].name in token.status


def test_a_site_can_be_chosen_after_the_question_was_cancelled(workspace: Workspace, two_sites: PracticeSite) -> None:
    token = fresh(workspace, two_sites, free_redirect(two_sites))
    play_browser(begin(token), site="")
    until(lambda: token.sites.options)
    token._cancel.click()
    with pytest.raises(SiteChoiceNeeded):
        token.settled(10)
    token.choose_site(two_sites.sites[0].cloud_id)
    assert workspace.connection().cloud_id == two_sites.sites[0].cloud_id
    assert token.status_kind == "ok"
    assert two_sites.count("exchange") == 1


def test_a_saved_token_is_enough_to_choose_the_site_later(workspace: Workspace, two_sites: PracticeSite) -> None:
    first = fresh(workspace, two_sites, free_redirect(two_sites))
    play_browser(begin(first), site="")
    until(lambda: first.sites.options)
    first._cancel.click()
    with pytest.raises(SiteChoiceNeeded):
        first.settled(10)
    # The notebook was closed, and the next one shows how things stand.
    token = TokenButton(workspace=workspace)
    assert NO_SITE in token.status and token.status_kind != "ok"
    assert token.find_sites.layout.display == ""
    token.find_sites.click()
    token.settled(10)
    assert {value[0] for _, value in token.sites.options} == {site.cloud_id for site in two_sites.sites}
    token.choose_site(two_sites.sites[1].cloud_id)
    assert workspace.connection().cloud_id == two_sites.sites[1].cloud_id
    assert two_sites.sites[1].name in token.status and token.status_kind == "ok"
    assert token.find_sites.layout.display == "none"
    assert two_sites.count("exchange") == 1


def as_two_people(workspace: Workspace, site: PracticeSite) -> tuple[TokenButton, Secret, str]:
    """Return the button after another account than the first has consented, with the first's token and name."""
    redirect = free_redirect(site)
    first = fresh(workspace, site, redirect)
    play_browser(begin(first))
    first.settled(10)
    before = first.token_status.account
    assert f"as {before}." in first.status
    old = workspace.tokens.access_token(workspace.connection())
    site.signed_in = "member"
    again = TokenButton(workspace=workspace)
    play_browser(begin(again))
    until(lambda: again._account_asked)
    assert again._account_box.layout.display == "" and before in again.account_question.value
    until(lambda: again.status_kind == "asking")
    assert "Your turn." in again._status_html.value and "Working" not in again._status_html.value
    assert workspace.tokens.access_token(workspace.connection()) == old, "the old token is used until the answer"
    return again, old, before


def test_another_account_is_asked_about_and_taken(workspace: Workspace, site: PracticeSite) -> None:
    again, old, before = as_two_people(workspace, site)
    again.take_account.click()
    again.settled(10)
    assert again.token_status.account != before and again._account_box.layout.display == "none"
    assert f"as {again.token_status.account} (before: {before})" in again.status
    assert workspace.tokens.access_token(workspace.connection()) != old


def test_another_account_is_asked_about_and_not_taken(workspace: Workspace, site: PracticeSite) -> None:
    again, old, before = as_two_people(workspace, site)
    again.keep_account.click()
    with pytest.raises(OtherAccount, match="was not taken"):
        again.settled(10)
    assert again.token_status.account == before and again._account_box.layout.display == "none"
    assert workspace.tokens.access_token(workspace.connection()) == old and not again.token_status.waits


@pytest.mark.parametrize("take", [True, False])
def test_an_answer_can_be_given_after_the_kernel_was_left(workspace: Workspace, site: PracticeSite, take: bool) -> None:
    again, old, before = as_two_people(workspace, site)
    again.runner.cancel()
    with pytest.raises(OtherAccount, match="is kept aside"):
        again.settled(10)
    panel = ConnectionsPanel(workspace=workspace)
    assert "! Token valid until" in panel._list.children[0].children[0].value
    # The words of the row say where the answer is given.
    assert "Get OAuth Token" in [press.description for press in panel._list.children[0].children[1].children]
    later = TokenButton(workspace=workspace)
    assert before in later.account_question.value and later._account_box.layout.display == ""
    (later.take_account if take else later.keep_account).click()
    if take:
        later.settled(10)
    else:
        with pytest.raises(OtherAccount):
            later.settled(10)
    assert (later.token_status.account != before) is take
    assert (workspace.tokens.access_token(workspace.connection()) != old) is take
    assert later._account_box.layout.display == "none"
