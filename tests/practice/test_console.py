"""The practice developer console: create an app, tick its permissions, and be led there by every refusal."""

from __future__ import annotations

from html import unescape

import httpx2
import pytest

from spokekit.errors import ScopeNotEnabled
from spokekit.practice import PracticeSite
from tests.practice.support import authorize_url, key_of, values_of

NEW_APP = {"create": "yes", "name": " Confluence  set-up ", "redirect_uris": "http://localhost:9/a"}


def test_an_app_that_was_created_gets_a_token_for_what_was_ticked(site: PracticeSite) -> None:
    made = httpx2.post(
        f"{site.url}console", data={**NEW_APP, "scope": ["read:me", "search:confluence"]}, headers=key_of(site)
    )
    app = site.apps[-1]
    assert made.status_code == 200 and "Created Confluence set-up." in made.text
    assert (app.name, app.scopes) == ("Confluence set-up", ("search:confluence", "read:me"))
    assert app.client_id in made.text and app.client_secret in made.text
    query = {"client_id": app.client_id, "redirect_uri": "http://localhost:9/a", "scope": "read:me offline_access"}
    back = site.play_browser(authorize_url(site, **query))
    code = values_of(back)["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": query["redirect_uri"]}
    form |= {"client_id": app.client_id, "client_secret": app.client_secret}
    assert httpx2.post(f"{site.url}oauth/token", json=form).status_code == 200
    with pytest.raises(ScopeNotEnabled, match="read:page:confluence"):
        site.play_browser(authorize_url(site, **query | {"scope": "read:page:confluence"}))
    ticked = {"client_id": app.client_id, "redirect_uris": "http://localhost:9/a", "permissions": "yes"}
    httpx2.post(f"{site.url}console", data={**ticked, "scope": ["read:page:confluence"]}, headers=key_of(site))
    assert "code=" in site.play_browser(authorize_url(site, **query | {"scope": "read:page:confluence"}))
    # A form without the permissions leaves them alone; unticking all takes all of those that are listed.
    httpx2.post(f"{site.url}console", data={"client_id": app.client_id, "redirect_uris": ""}, headers=key_of(site))
    assert (app.scopes, app.redirect_uris) == (("read:page:confluence",), [])
    httpx2.post(f"{site.url}console", data=ticked, headers=key_of(site))
    assert app.scopes == ()
    with PracticeSite(size="class", seed=1) as tomorrow:
        httpx2.post(f"{tomorrow.url}console", data=NEW_APP, headers=key_of(tomorrow))
        assert (tomorrow.apps[-1].client_id, tomorrow.apps[-1].client_secret) == (app.client_id, app.client_secret)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": " "}, "needs a name"),
        ({"name": "x" * 101}, "up to 100"),
        ({"name": "a\x07b"}, "up to 100"),
        ({"name": "SPOKEKIT practice app"}, "is an app called SPOKEKIT practice app already"),
        ({"name": "<b>x</b>", "redirect_uris": "ftp://nowhere"}, "ftp://nowhere is not an http"),
        ({"scope": "read:jira-work"}, "no permission read:jira-work"),
    ],
)
def test_an_app_that_cannot_be_created_leaves_what_was_typed(
    site: PracticeSite, change: dict[str, str], words: str
) -> None:
    answer = httpx2.post(f"{site.url}console", data={**NEW_APP, **change}, headers=key_of(site))
    assert answer.status_code == 400 and f"Not created: {'' if len(site.apps) == 2 else 'x'}" in answer.text
    assert words in unescape(answer.text) and "<b>x" not in answer.text
    assert f">{({**NEW_APP, **change})['redirect_uris']}</textarea>" in answer.text


def test_every_refusal_leads_to_the_console(site: PracticeSite) -> None:
    for change in ({"client_id": "nobody"}, {"redirect_uri": "http://localhost:1/x"}, {"scope": "read:jira-work"}):
        assert '<a href="console">' in httpx2.get(authorize_url(site, **change)).text
    with PracticeSite(signed_in="outsider", size="class") as shut:
        assert '<a href="console">' in httpx2.get(authorize_url(shut)).text
