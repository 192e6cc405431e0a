"""The authorise page: who is let through to it, what it shows, and what comes back."""

from __future__ import annotations

import httpx2
import pytest

from spokekit.errors import ConsentError, InputError, RedirectMismatch, ScopeNotEnabled, SiteAdminMustAuthorize
from spokekit.practice import PracticeSite
from spokekit.practice.pages.consent import SCRIPT_SUM
from tests.practice.support import authorize_url, exchange, key_of, values_of


def test_accept_gives_a_code_and_the_state_back(site: PracticeSite) -> None:
    callback = site.play_browser(authorize_url(site))
    assert callback.startswith(f"{site.redirect_uris[0]}?")
    values = values_of(callback)
    assert values["state"] == "state-of-the-client" and len(values["code"]) > 500
    assert exchange(site, values["code"]).status_code == 200


def test_cancel_gives_access_denied_and_no_code(site: PracticeSite) -> None:
    values = values_of(site.play_browser(authorize_url(site), "cancel"))
    assert values == {
        "error": "access_denied",
        "error_description": "User did not authorize the request",
        "state": "state-of-the-client",
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "http://localhost:8752/callback"},
        {"redirect_uri": "http://localhost:8751/callback/"},
        {"redirect_uri": "http://127.0.0.1:8751/callback"},
        {"redirect_uri": "https://localhost:8751/callback"},
        {"redirect_uri": None},
        {"client_id": "nobody"},
        {"audience": "example.org"},
        {"prompt": "login"},
        {"surprise": "1"},
    ],
    ids=str,
)
def test_a_request_that_does_not_fit_shows_a_page_and_goes_nowhere(site: PracticeSite, changes: dict) -> None:
    answer = httpx2.get(authorize_url(site, **changes))
    assert answer.status_code == 400 and "location" not in answer.headers
    assert answer.headers["content-type"].startswith("text/html") and "trouble logging you in" in answer.text
    with pytest.raises(ConsentError) as caught:
        site.play_browser(authorize_url(site, **changes))
    assert isinstance(caught.value, RedirectMismatch) == ("redirect_uri" in changes)


def test_an_unknown_response_type_is_told_to_the_app(site: PracticeSite) -> None:
    values = values_of(site.play_browser(authorize_url(site, response_type="token")))
    assert values["error"] == "unsupported_response_type" and values["state"] == "state-of-the-client"


def test_a_scope_that_the_app_lacks_ends_on_a_page_or_by_switch_on_the_callback(site: PracticeSite) -> None:
    url = authorize_url(site, client_id=site.apps[1].client_id, scope="read:confluence-groups read:me")
    with pytest.raises(ScopeNotEnabled, match=r"have not been added to the app\..*: read:me$"):
        site.play_browser(url)
    site.switches.refusal = "redirect"
    values = values_of(site.play_browser(url))
    assert values["error"] == "invalid_scope" and "code" not in values
    ticked = authorize_url(
        site, client_id=site.apps[1].client_id, scope=" ".join([*site.apps[1].scopes, "offline_access"])
    )
    assert "code" in values_of(site.play_browser(ticked))


def test_the_page_escapes_everything_and_forbids_scripts(site: PracticeSite) -> None:
    site.apps[0].name = "<img src=x onerror=alert(1)>"
    site.allow_redirect("http://localhost:8751/<script>")
    site.world.rename_person(site.account_id, "<b>Boss</b>")
    for url in (
        authorize_url(site, redirect_uri="http://localhost:8751/<script>"),
        authorize_url(site, redirect_uri="http://evil/<script>alert(1)</script>"),
        f"{site.url}console",
    ):
        page = httpx2.get(url, headers=key_of(site))
        assert "<img" not in page.text and "<b>Boss" not in page.text
        # The console copies ids with one script of its own, which is allowed by its sum; nothing else runs.
        own = SCRIPT_SUM in page.headers["content-security-policy"]
        assert page.text.count("<script") == own == url.endswith("console")
        assert "&lt;" in page.text
        assert "script-src" not in page.headers["content-security-policy"].replace(f"script-src {SCRIPT_SUM}", "")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store"


def test_the_page_names_app_scopes_sites_and_both_buttons(site: PracticeSite) -> None:
    page = httpx2.get(authorize_url(site)).text
    for words in (
        site.apps[0].name,
        "See the groups of the site",
        "Keep this access",
        site.sites[0].name,
        ">Accept<",
        ">Cancel<",
    ):
        assert words in page
    assert "state-of-the-client" not in page


def test_a_page_can_be_answered_once_and_only_for_ten_minutes(site: PracticeSite) -> None:
    url = authorize_url(site)
    number = httpx2.get(url).text.partition('name="request" value="')[2].partition('"')[0]
    form = {"request": number, "decision": "accept", "site": ""}
    assert httpx2.post(url, data=form).status_code == 302
    assert httpx2.post(url, data=form).status_code == 400
    number = httpx2.get(url).text.partition('name="request" value="')[2].partition('"')[0]
    site.advance(601)
    assert httpx2.post(url, data={**form, "request": number}).status_code == 400


@pytest.mark.parametrize("level", ["account", "resource"])
def test_the_site_that_is_chosen_is_the_site_that_is_granted(serve, level: str) -> None:
    site = serve(sites=3, grant_level=level).site
    chosen = site.sites[1].cloud_id

    def reached(callback: str) -> set[str]:
        token = exchange(site, values_of(callback)["code"]).json()["access_token"]
        return {r["id"] for r in resources(site, token)}

    site.auth.grants.clear()
    assert reached(site.play_browser(authorize_url(site), site=chosen)) == {chosen}
    # A second consent adds a site to the same grant.
    first = site.sites[0].cloud_id
    assert reached(site.play_browser(authorize_url(site), site=first)) == {first, chosen}
    everything = {s.cloud_id for s in site.sites}
    assert reached(site.play_browser(authorize_url(site))) == (everything if level == "account" else {first, chosen})
    with pytest.raises(ConsentError, match="no such site"):
        site.play_browser(authorize_url(site), site="elsewhere")


def test_people_without_confluence_and_blocked_apps_are_told_so(serve) -> None:
    outsider = serve(signed_in="outsider").site
    with pytest.raises(ConsentError, match="you don't have"):
        outsider.play_browser(authorize_url(outsider))
    blocked = serve(signed_in="member", user_apps_blocked=True).site
    with pytest.raises(
        SiteAdminMustAuthorize, match=r"Your site admin must authorize .*northwind-practice\.atlassian\.net"
    ):
        blocked.play_browser(authorize_url(blocked))
    blocked.signed_in = "admin"
    assert "code" in values_of(blocked.play_browser(authorize_url(blocked)))


def test_accessible_resources_can_be_doubled_empty_or_narrower_per_site(serve) -> None:
    site = serve(sites=2).site
    token = site.issue_token()["access_token"]
    both = resources(site, token)
    assert [r["name"] for r in both] == [s.name for s in site.sites]
    assert set(both[0]) == {"id", "url", "name", "scopes", "avatarUrl"}
    assert "read:confluence-groups" in both[0]["scopes"] and "offline_access" not in both[0]["scopes"]
    site.limit_scopes(site.sites[1].cloud_id, ["search:confluence"])
    assert resources(site, token)[1]["scopes"] == ["search:confluence"]
    site.switches.duplicate_resource = True
    doubled = resources(site, token)
    assert len(doubled) == 4 and doubled[0]["id"] == doubled[1]["id"] and doubled[0]["scopes"] != doubled[1]["scopes"]
    site.switches.no_resources = True
    assert resources(site, token) == []


def test_me_needs_its_scope(serve) -> None:
    api = serve()
    answer = api.http.get(f"{api.site.url}me", headers=api.headers)
    assert answer.json()["account_id"] == api.site.account_id and answer.json()["account_status"] == "active"
    bare = api.site.issue_token(["read:confluence-groups"])["access_token"]
    refused = api.http.get(f"{api.site.url}me", headers={"Authorization": f"Bearer {bare}"})
    assert (refused.status_code, refused.json()) == (
        401,
        {"code": 401, "message": "Unauthorized; scope does not match"},
    )


def test_the_console_changes_callback_urls_and_keeps_what_could_not_be_saved(site: PracticeSite) -> None:
    console = f"{site.url}console"
    assert site.client_id in httpx2.get(console, headers=key_of(site)).text
    saved = httpx2.post(
        console,
        data={"client_id": site.client_id, "redirect_uris": "http://localhost:9/a\nhttps://h.example/b"},
        headers=key_of(site),
    )
    assert saved.status_code == 200 and site.redirect_uris == ("http://localhost:9/a", "https://h.example/b")
    bad = httpx2.post(
        console, data={"client_id": site.client_id, "redirect_uris": "ftp://nowhere"}, headers=key_of(site)
    )
    assert (
        bad.status_code == 400
        and "ftp://nowhere is not an http" in bad.text
        and ">ftp://nowhere</textarea>" in bad.text
    )
    for odd in ("http://[x", "http://localhost:99999/", "http://localhost:9/\u4e2d", "http://localhost:9/\x01"):
        refused = httpx2.post(console, data={"client_id": site.client_id, "redirect_uris": odd}, headers=key_of(site))
        assert refused.status_code == 400 and "is not an http" in refused.text
        with pytest.raises(InputError):
            site.allow_redirect(odd)
    assert site.redirect_uris == ("http://localhost:9/a", "https://h.example/b")


def resources(site: PracticeSite, token: str) -> list[dict]:
    answer = httpx2.get(f"{site.url}oauth/token/accessible-resources", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    return answer.json()
