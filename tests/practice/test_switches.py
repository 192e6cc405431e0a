"""Each behaviour that is unknown on the real site can be switched, and the switch does something."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable

import httpx2
import pytest

from spokekit.errors import InputError
from spokekit.practice import PracticeSite, Switches, switches
from tests.practice.support import Api, authorize_url, exchange, refresh, values_of

# Those that other tests of this folder exercise, by the file that does.
ELSEWHERE = {
    "test_consent.py": {"grant_level", "refusal", "user_apps_blocked", "duplicate_resource", "no_resources"},
    "test_tokens.py": {"code_lifetime", "refresh_absolute", "reuse_ends_family"},
    "test_limits.py": {
        "quota",
        "quota_headers",
        "burst",
        "retry_after_form",
        "body_429",
        "tenant_quota",
        "quota_window",
    },
    "test_faults.py": {"cursor_marks"},
    "../oauth/test_service_account.py": {
        "client_credentials",
        "service_account_scope",
        "service_account_told_scopes",
        "service_account_writes",
    },
    "test_confluence.py": {
        "group_limit_over_cap",
        "space_role_mode",
        "permissions_in_roles_mode",
        "seats",
        "report_scope",
    },
}

CHECKS: dict[str, Callable[[Callable[..., Api]], None]] = {}


def check(function: Callable[[Callable[..., Api]], None]) -> Callable[[Callable[..., Api]], None]:
    CHECKS[function.__name__] = function
    return function


@check
def access_lifetime(serve: Callable[..., Api]) -> None:
    api = serve(access_lifetime=60)
    assert api.token["expires_in"] == 60
    api.site.advance(61)
    assert api.v1("/group").status_code == 401


@check
def refresh_inactivity(serve: Callable[..., Api]) -> None:
    api = serve(refresh_inactivity=100.0)
    api.site.advance(101)
    assert refresh(api.site, api.token["refresh_token"]).status_code == 403


@check
def reuse_leeway(serve: Callable[..., Api]) -> None:
    api = serve(reuse_leeway=0.0)
    assert refresh(api.site, api.token["refresh_token"]).status_code == 200
    api.site.advance(1)
    assert refresh(api.site, api.token["refresh_token"]).status_code == 403


@check
def access_dies_on_refresh(serve: Callable[..., Api]) -> None:
    for dies, status in ((False, 200), (True, 401)):
        api = serve(access_dies_on_refresh=dies)
        refresh(api.site, api.token["refresh_token"])
        assert api.v1("/group").status_code == status


@check
def callback_urls(serve: Callable[..., Api]) -> None:
    site = serve(callback_urls=1).site
    with pytest.raises(InputError, match="1 callback URLs at most"):
        site.allow_redirect("http://localhost:2/")


@check
def reset_with_seconds(serve: Callable[..., Api]) -> None:
    for with_seconds, form in ((True, r"T\d\d:00:00Z"), (False, r"T\d\d:00Z")):
        reset = serve(reset_with_seconds=with_seconds).v1("/group").headers["x-ratelimit-reset"]
        assert re.search(form + "$", reset)


@check
def pkce(serve: Callable[..., Api]) -> None:
    # The example pair of RFC 7636, appendix B.
    verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

    def status(site: PracticeSite, **sent: str) -> int:
        url = authorize_url(site, code_challenge=challenge, code_challenge_method="S256")
        return exchange(site, values_of(site.play_browser(url))["code"], **sent).status_code

    assert status(serve(pkce="ignored").site) == 200
    enforced = serve(pkce="enforced").site
    assert [status(enforced), status(enforced, code_verifier="wrong"), status(enforced, code_verifier=verifier)] == [
        400,
        400,
        200,
    ]
    odd = authorize_url(enforced, code_challenge="\u4e2d")
    assert exchange(enforced, values_of(enforced.play_browser(odd))["code"], code_verifier="x").status_code == 400
    refused = serve(pkce="refused").site
    assert httpx2.get(authorize_url(refused, code_challenge=challenge)).status_code == 400


@check
def loopback_ip(serve: Callable[..., Api]) -> None:
    serve().site.allow_redirect("http://127.0.0.1:1/x")
    with pytest.raises(InputError):
        serve(loopback_ip="refused").site.allow_redirect("http://127.0.0.1:1/x")


@check
def expired_token_message(serve: Callable[..., Api]) -> None:
    api = serve(expired_token_message="Token is stale")
    api.site.advance(4000)
    assert api.v1("/group").json() == {"code": 401, "message": "Token is stale"}


@check
def earlier_consent(serve: Callable[..., Api]) -> None:
    for what, scopes in (("kept", "read:me offline_access"), ("replaced", "read:confluence-groups offline_access")):
        site = serve(earlier_consent=what).site
        first = site.issue_token(["read:me", "offline_access"])
        site.issue_token(["read:confluence-groups", "offline_access"])
        assert refresh(site, first["refresh_token"]).json()["scope"] == scopes


@check
def write_without_scope(serve: Callable[..., Api]) -> None:
    for what, status in (("mismatch", 401), ("not_installed", 403)):
        api = serve(write_without_scope=what, scopes=["read:confluence-groups"])
        answer = api.add("marketing", api.site.account_id)
        assert answer.status_code == status and ("not installed" in answer.text) == (status == 403)
        assert api.v1("/user/current").status_code == 401 and api.v1("/group").status_code == 200


@check
def wrong_cloud_id_status(serve: Callable[..., Api]) -> None:
    assert serve(wrong_cloud_id_status=403)("GET", "/rest/api/group", cloud_id="none").status_code == 403


@check
def page_cap(serve: Callable[..., Api]) -> None:
    assert serve(page_cap=9).v1("/group", limit=50).json()["size"] == 9


@check
def bad_access_type_status(serve: Callable[..., Api]) -> None:
    assert serve(bad_access_type_status=403).v1("/group", accessType="x").status_code == 403


@check
def list_deactivated(serve: Callable[..., Api]) -> None:
    for listed, statuses in ((True, {"active", "inactive", "closed"}), (False, {"active"})):
        api = serve(list_deactivated=listed)
        group = api.site.world.find_group("procurement").group_id
        rows = api.v1(f"/group/{group}/membersByGroupId").json()["results"]
        assert {r["accountStatus"] for r in rows} == statuses


@check
def list_total_size(serve: Callable[..., Api]) -> None:
    assert serve().v1("/group", limit=1).json()["totalSize"] == 0
    assert serve(list_total_size=True).v1("/group", limit=1).json()["totalSize"] == 26


@check
def members_total_size(serve: Callable[..., Api]) -> None:
    for says, total in (("filled", None), ("missing", 0), ("page", 1)):
        api = serve(members_total_size=says)
        group = api.site.world.find_group("procurement").group_id
        everybody = len(api.site.world.member_ids(group))
        asked = api.v1(f"/group/{group}/membersByGroupId", limit=1, shouldReturnTotalSize="true").json()
        assert everybody > 1 and asked["totalSize"] == (everybody if total is None else total)


@check
def unknown_group_members_status(serve: Callable[..., Api]) -> None:
    assert serve(unknown_group_members_status=404).v1("/group/none/membersByGroupId").status_code == 404


@check
def unknown_group_status(serve: Callable[..., Api]) -> None:
    assert serve(unknown_group_status=400).v1("/group/by-id", id="none").status_code == 400


@check
def add_existing_status(serve: Callable[..., Api]) -> None:
    api = serve(add_existing_status=400)
    assert api.add("confluence-users", api.site.account_id).status_code == 400


@check
def external_write_status(serve: Callable[..., Api]) -> None:
    for status, seen in ((403, 403), (None, 201)):
        api = serve(external_write_status=status)
        assert api.add("okta-engineering", api.site.account_id).status_code == seen


@check
def team_write_status(serve: Callable[..., Api]) -> None:
    for status, seen in ((None, 201), (403, 403)):
        api = serve(team_write_status=status)
        assert api.add("Team Falcon", api.site.account_id).status_code == seen


@check
def memberof_unknown_status(serve: Callable[..., Api]) -> None:
    assert serve(memberof_unknown_status=404).v1("/user/memberof", accountId="none").status_code == 404


@check
def by_name_status(serve: Callable[..., Api]) -> None:
    assert serve(by_name_status=404).v1("/group/by-name", name="x").status_code == 404


@check
def users_bulk_is_read(serve: Callable[..., Api]) -> None:
    for read, points in ((True, 3), (False, 1)):
        api = serve(users_bulk_is_read=read)
        api("POST", "/api/v2/users-bulk", json={"accountIds": [api.site.account_id]})
        assert api.site.requests[-1].points == points


@check
def cycle_period(serve: Callable[..., Api]) -> None:
    api = serve(cycle_period="P1D")
    body = {"accounts": [{"accountId": api.site.account_id, "updatedAt": "2025-01-01T00:00:00Z"}]}
    answer = api.http.post(f"{api.site.url}app/report-accounts/", json=body, headers=api.headers)
    assert answer.headers["cycle-period"] == "P1D"


@check
def search_short_pages(serve: Callable[..., Api]) -> None:
    assert serve(search_short_pages=False).v1("/search", cql="type=page", limit=10).json()["size"] == 10


@pytest.mark.parametrize("name", CHECKS)
def test_switch(serve: Callable[..., Api], off_contract: None, name: str) -> None:
    CHECKS[name](serve)


def test_every_switch_is_exercised_here_or_there_and_says_where_it_comes_from() -> None:
    names = {field.name for field in dataclasses.fields(Switches)}
    assert set().union(*ELSEWHERE.values(), CHECKS) == names
    source = inspect.getsource(switches)
    for name in names:
        words = re.search(rf'    {name}: .*?"""(.*?)"""', source, re.DOTALL)
        assert words, name
        assert re.search(r"[Dd]ocumented|[Mm]easured|[Rr]eported|[Ii]nferred|[Uu]nknown|One report", words[1]), name


def test_a_switch_that_there_is_not_is_refused() -> None:
    with pytest.raises(InputError, match="no switch 'page_kap'"):
        PracticeSite(page_kap=3)
    for name, value in (("pkce", "enforce"), ("quota", None), ("page_cap", "9"), ("burst", True), ("no_resources", 1)):
        with pytest.raises(InputError, match=f"switch {name} cannot be"):
            PracticeSite(**{name: value})
    PracticeSite(refresh_absolute=5, seats=None, pkce="refused")
    with pytest.raises(InputError, match="the role 'boss'"):
        PracticeSite(signed_in="boss")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="1 to 50 sites"):
        PracticeSite(sites=0)
