"""The practice site's own pages: another person signs in, an administrator authorises, access is taken back."""

from __future__ import annotations

from collections.abc import Callable
from html import unescape
from urllib.parse import urlencode

import httpx2
import pytest

from spokekit.errors import ConsentError, SiteAdminMustAuthorize
from spokekit.practice import PracticeSite
from tests.practice.support import Api, authorize_url, exchange, key_of, refresh, values_of


def post(site: PracticeSite, page: str, **form: str) -> str:
    answer = httpx2.post(f"{site.url}{page}", data=form, headers=key_of(site))
    return unescape(answer.text)


def test_an_administrator_authorises_and_then_the_member_may(site: PracticeSite) -> None:
    site.switches.user_apps_blocked = True
    site.sign_in("member")
    address = authorize_url(site)
    with pytest.raises(SiteAdminMustAuthorize):
        site.play_browser(address)
    cloud_id = site.world.cloud_id
    assert "Only an administrator" in post(
        site, "console", administer=cloud_id, client_id=site.client_id, allowed="yes"
    )
    assert "Signed in as" in post(site, "console", decision="sign-in", **{"as": "admin"}) and site.signed_in == "admin"
    asked = post(site, "console", administer=cloud_id, client_id=site.client_id, allowed="yes")
    assert "is authorised for everybody on" in asked
    post(site, "console", decision="sign-in", **{"as": "member"})
    token = exchange(site, values_of(site.play_browser(address))["code"]).json()
    assert site.auth.access(f"Bearer {token['access_token']}").grant.account_id == site.world.account("member")
    # Taken back, it is as before, for this app and for the other one always.
    site.sign_in("admin")
    post(site, "console", administer=cloud_id, client_id=site.client_id, allowed="no")
    site.sign_in("member")
    with pytest.raises(SiteAdminMustAuthorize):
        site.play_browser(address)
    site.sign_in("admin")
    assert "allowed now" in post(site, "console", administer=cloud_id, **{"user-apps": "allowed"})
    site.sign_in("member")
    assert "code=" in site.play_browser(address)


def test_an_administrators_consent_opens_the_app_for_all(site: PracticeSite) -> None:
    site.switches.user_apps_blocked = True
    assert "code=" in site.play_browser(authorize_url(site))
    site.sign_in("member")
    assert "code=" in site.play_browser(authorize_url(site))
    with pytest.raises(SiteAdminMustAuthorize):
        other = {"client_id": site.apps[1].client_id}
        site.play_browser(authorize_url(site, **other))


def test_somebody_else_signs_in_on_the_consent_page_in_a_browser_that_was_let_in(site: PracticeSite) -> None:
    address = authorize_url(site)
    form = urlencode({"decision": "sign-in", "as": "member"})
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert "Sign in as" not in httpx2.get(address).text
    assert httpx2.post(address, content=form, headers=kind).status_code == 403 and site.signed_in == "admin"
    with httpx2.Client(follow_redirects=True) as browser:
        first = browser.get(f"{address}&open={site.keys.ticket()}")
        assert first.status_code == 200 and "Sign in as somebody else" in first.text and "open=" not in str(first.url)
        second = browser.post(address, content=form, headers=kind)
        name = site.world.find_person(site.world.account("member")).display_name
        assert f"Signed in as {name}" in unescape(second.text)
        # The page from before is of nobody any more.
        old = {"request": first.text.split('name="request" value="')[1].split('"')[0], "decision": "accept"}
        assert "no longer valid" in browser.post(address, data=old).text
        browser.post(address, content=urlencode({"decision": "sign-in", "as": "boss"}), headers=kind)
        assert site.signed_in == "member"


def test_access_is_taken_back_and_the_password_changed(serve: Callable[..., Api]) -> None:
    api = serve()
    site = api.site
    other = site.issue_token(app=site.apps[1])
    page = httpx2.get(f"{site.url}connected-apps", headers=key_of(site)).text
    assert page.count("Remove access</button>") == 2
    assert "has no access any more" in post(site, "connected-apps", client_id=site.client_id)
    assert api.v1("/group").status_code == 401
    assert site.auth.access(f"Bearer {other['access_token']}") is not None, "the other app keeps its access"
    token = site.issue_token()
    assert "cannot renew" in post(site, "connected-apps", decision="change-password")
    assert refresh(site, token["refresh_token"]).status_code == 403
    assert site.auth.access(f"Bearer {token['access_token']}") is not None


def test_an_app_is_private_until_it_is_shared_and_its_secret_can_be_made_anew(site: PracticeSite) -> None:
    post(site, "console", create="yes", name="Mine", redirect_uris=site.redirect_uris[0], scope="read:me")
    app = site.apps[-1]
    assert app.distribution == "private"
    address = authorize_url(site, client_id=app.client_id, scope="read:me")
    assert "code=" in site.play_browser(address)
    site.sign_in("member")
    with pytest.raises(ConsentError, match="it is private"):
        site.play_browser(address)
    post(site, "console", client_id=app.client_id, redirect_uris=site.redirect_uris[0], distribution="shared")
    assert "code=" in site.play_browser(address)
    before = app.client_secret
    assert "has a new secret" in post(site, "console", client_id=app.client_id, **{"new-secret": "yes"})
    assert app.client_secret != before and app.redirect_uris == [site.redirect_uris[0]]
    code = values_of(site.play_browser(authorize_url(site)))["code"]
    assert exchange(site, code).status_code == 200, "another app's secret is as it was"


def test_what_happened_is_told_in_words(serve: Callable[..., Api]) -> None:
    api = serve(faults=["429:1x1@groups"])
    site = api.site
    api.v1("/group")
    for _ in range(3):
        api.v1("/group")
    who = site.world.account("member")
    api.add("procurement", who)
    api.remove("okta-engineering", site.world.member_ids("okta-engineering")[0])
    httpx2.get(f"{site.url}console", headers=key_of(site))
    told = httpx2.get(f"{site.url}practice/happened", headers=key_of(site)).json()["lines"]
    name = site.world.find_person(who).display_name
    seen = [(line["words"], line["outcome"], line["count"]) for line in told]
    assert seen[:3] == [
        ("asked for the list of groups", "damaged on order: 429", 1),
        ("asked for the list of groups", "done", 3),
        (f"put {name} into procurement", "done", 1),
    ]
    assert seen[3][1] == "refused with 400 (not possible)" and seen[3][0].endswith("out of okta-engineering")
    assert told[1]["points"] == sum(record.points for record in site.requests if record.name == "groups") > 0
    assert told[1]["who"] == site.world.find_person(site.account_id).display_name
    site.world.rename_person(who, "<script>alert(1)</script>")
    page = httpx2.get(f"{site.url}happened", headers=key_of(site))
    assert page.status_code == 200 and "(3 times)" in page.text
    assert "<script" not in page.text and "&lt;script" in page.text
    for secret in (site.client_secret, site.keys.key, api.token["access_token"]):
        assert secret not in page.text
    for closed in ("happened", "connected-apps"):
        assert httpx2.get(f"{site.url}{closed}").status_code == 403
        assert httpx2.post(f"{site.url}{closed}", data={"client_id": site.client_id}).status_code == 403
