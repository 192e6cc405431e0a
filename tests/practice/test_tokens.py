"""The token endpoint: one-use codes, rotating refresh tokens, and errors in Atlassian's words."""

from __future__ import annotations

import httpx2
import pytest

from spokekit.practice import PracticeSite
from tests.practice.support import authorize_url, exchange, refresh, values_of

DAY = 86400
CODE_INVALID = (400, {"error": "invalid_request", "error_description": "authorization_code is invalid"})
SECRET_WRONG = (401, {"error": "access_denied", "error_description": "Unauthorized"})
ROTATED_OUT = (403, {"error": "unauthorized_client", "error_description": "refresh_token is invalid"})
EXPIRED = (403, {"error": "invalid_grant", "error_description": "Unknown or invalid refresh token."})


def told(answer: httpx2.Response) -> tuple[int, dict]:
    return answer.status_code, answer.json()


def code(site: PracticeSite, **changes: str) -> str:
    return values_of(site.play_browser(authorize_url(site, **changes)))["code"]


def usable(site: PracticeSite, token: str) -> bool:
    answer = httpx2.get(f"{site.api_base}/wiki/rest/api/group", headers={"Authorization": f"Bearer {token}"})
    return answer.status_code == 200


def test_an_exchange_answers_as_atlassian_does(site: PracticeSite) -> None:
    answer = exchange(site, code(site))
    body = answer.json()
    assert set(body) == {"access_token", "refresh_token", "expires_in", "token_type", "scope"}
    assert (body["expires_in"], body["token_type"]) == (3600, "Bearer")
    assert body["scope"] == "read:confluence-groups offline_access"
    assert answer.headers["cache-control"] == "no-store"
    # Long enough to find out that a 2560-byte credential entry does not hold them.
    assert len(body["access_token"]) > 1000 and len(body["refresh_token"]) > 2000


def test_without_offline_access_there_is_no_refresh_token(site: PracticeSite) -> None:
    assert "refresh_token" not in exchange(site, code(site, scope="read:confluence-groups")).json()


def test_a_form_is_accepted_too_and_anything_else_is_not(site: PracticeSite) -> None:
    fields = {
        "grant_type": "authorization_code",
        "client_id": site.client_id,
        "client_secret": site.client_secret,
        "code": code(site),
        "redirect_uri": site.redirect_uris[0],
    }
    assert httpx2.post(f"{site.auth_url}oauth/token", data=fields).status_code == 200
    for body in (b"not json", b"[]"):
        answer = httpx2.post(f"{site.auth_url}oauth/token", content=body, headers={"Content-Type": "application/json"})
        assert told(answer)[0] == 400 and answer.json()["error"] == "invalid_request"


def test_a_code_works_once_in_time_and_for_its_own_redirect(site: PracticeSite) -> None:
    used = code(site)
    assert exchange(site, used).status_code == 200
    assert told(exchange(site, used)) == CODE_INVALID
    assert told(exchange(site, "made-up")) == CODE_INVALID
    assert told(exchange(site, code(site), redirect_uri="http://localhost:1/")) == CODE_INVALID
    other = site.apps[1]
    assert (
        told(exchange(site, code(site), client_id=other.client_id, client_secret=other.client_secret)) == CODE_INVALID
    )
    late = code(site)
    site.advance(site.switches.code_lifetime + 1)
    assert told(exchange(site, late)) == CODE_INVALID


def test_a_wrong_secret_is_access_denied_and_does_not_use_up_the_code(site: PracticeSite) -> None:
    fresh = code(site)
    assert told(exchange(site, fresh, client_secret="wrong")) == SECRET_WRONG
    assert told(exchange(site, fresh, client_id="nobody")) == SECRET_WRONG
    assert exchange(site, fresh).status_code == 200


def test_access_tokens_expire_and_a_refresh_gives_a_new_pair(site: PracticeSite) -> None:
    first = site.issue_token()
    site.advance(3599)
    assert usable(site, first["access_token"])
    site.advance(2)
    assert not usable(site, first["access_token"])
    second = refresh(site, first["refresh_token"]).json()
    assert usable(site, second["access_token"]) and second["refresh_token"] != first["refresh_token"]
    assert second["scope"] == first["scope"]


def test_a_used_refresh_token_has_ten_minutes_of_leeway(site: PracticeSite) -> None:
    first = site.issue_token()["refresh_token"]
    assert refresh(site, first).status_code == 200
    site.advance(590)
    again = refresh(site, first)
    assert again.status_code == 200
    site.advance(20)
    assert told(refresh(site, first)) == ROTATED_OUT
    assert refresh(site, again.json()["refresh_token"]).status_code == 200


def test_reuse_after_the_leeway_can_end_the_whole_family(site: PracticeSite) -> None:
    site.switches.reuse_ends_family = True
    first = site.issue_token()["refresh_token"]
    newest = refresh(site, first).json()["refresh_token"]
    site.advance(601)
    assert told(refresh(site, first)) == ROTATED_OUT
    assert told(refresh(site, newest)) == EXPIRED


def test_ninety_idle_days_end_a_refresh_token_and_each_rotation_starts_anew(site: PracticeSite) -> None:
    token = site.issue_token()["refresh_token"]
    for _ in range(2):
        site.advance(89 * DAY)
        token = refresh(site, token).json()["refresh_token"]
    site.advance(90 * DAY + 1)
    assert told(refresh(site, token)) == EXPIRED


def test_a_year_ends_a_family_however_busy_unless_switched_off(serve) -> None:
    for absolute, end in ((365 * DAY, EXPIRED[0]), (None, 200)):
        site = serve(refresh_absolute=absolute).site
        token = site.issue_token()["refresh_token"]
        for _ in range(6):
            site.advance(60 * DAY)
            token = refresh(site, token).json()["refresh_token"]
        site.advance(6 * DAY)
        assert refresh(site, token).status_code == end


def test_refusals_of_a_refresh(site: PracticeSite) -> None:
    token = site.issue_token()["refresh_token"]
    assert told(refresh(site, "made-up")) == ROTATED_OUT
    assert told(refresh(site, token, client_secret="wrong")) == SECRET_WRONG
    other = site.apps[1]
    assert told(refresh(site, token, client_id=other.client_id, client_secret=other.client_secret)) == ROTATED_OUT
    assert told(refresh(site, token, grant_type="password"))[1]["error"] == "unsupported_grant_type"
    site.change_password()
    assert told(refresh(site, token)) == EXPIRED


def test_taking_the_consent_back_ends_access_tokens_too(site: PracticeSite) -> None:
    answer = site.issue_token()
    assert usable(site, answer["access_token"])
    site.remove_app()
    assert not usable(site, answer["access_token"]) and refresh(site, answer["refresh_token"]).status_code == 403


def test_nothing_secret_is_recorded_or_printed(site: PracticeSite, capfd: pytest.CaptureFixture[str]) -> None:
    fresh = code(site)
    tokens = exchange(site, fresh).json()
    refreshed = refresh(site, tokens["refresh_token"]).json()
    usable(site, refreshed["access_token"])
    assert [r.name for r in site.requests] == ["authorize", "consent", "exchange", "refresh", "groups"]
    assert site.count("refresh") == 1 and site.count("/oauth/token") == 2
    # A name is never taken for a part of a path: "me" is in "membersByGroupId" too.
    assert site.count("me") == site.count("user") == 0
    seen = repr(site.requests) + repr(site.apps) + "".join(capfd.readouterr())
    for secret in (fresh, tokens["access_token"], tokens["refresh_token"], site.client_secret, "state-of-the-client"):
        assert secret not in seen
