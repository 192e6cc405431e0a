"""Points, bursts and the headers that tell of them."""

from __future__ import annotations

import datetime as dt
from email.utils import parsedate_to_datetime

import pytest

from spokekit.errors import InputError
from tests.practice.support import Api


@pytest.mark.parametrize(
    ("path", "points"),
    [
        ("/rest/api/user?accountId={admin}", 3),
        ("/rest/api/group?limit=8", 17),
        ("/rest/api/group/{marketing}/membersByGroupId", 17),
        ("/rest/api/group/by-id?id={marketing}", 3),
        ("/rest/api/group/by-id?id=none", 1),
        ("/api/v2/spaces?limit=5", 6),
        ("/api/v2/spaces/131072/permissions?limit=10", 21),
        ("/api/v2/pages?limit=4", 5),
    ],
)
def test_what_a_call_costs(reading: Api, path: str, points: int) -> None:
    site = reading.site
    names = {"admin": site.account_id, "marketing": site.world.find_group("marketing").group_id}
    before = site.limits.spent(site.client_id)
    reading("GET", path.format(**names))
    assert site.limits.spent(site.client_id) - before == points == site.requests[-1].points


def test_writes_cost_one_and_refusals_of_the_gateway_nothing(serve) -> None:
    api = serve()
    someone = api.site.world.person(50).account_id
    api.add("marketing", someone)
    api.remove("marketing", someone)
    assert api.site.limits.spent(api.site.client_id) == 2
    Api(api.site, api.http, scopes=["read:me"]).v1("/group")
    assert api.site.limits.spent(api.site.client_id) == 2


def test_headers_tell_what_is_left_and_when_it_starts_anew(serve) -> None:
    api = serve()
    fresh = api.v1("/group", limit=10).headers
    assert (fresh["x-ratelimit-limit"], fresh["x-ratelimit-remaining"]) == ("65000", str(65_000 - 21))
    assert fresh["ratelimit-policy"] == '"global-app-quota";q=65000;w=3600'
    assert "ratelimit" not in fresh and "x-ratelimit-nearlimit" not in fresh
    reset = dt.datetime.fromisoformat(fresh["x-ratelimit-reset"])
    assert (reset.minute, reset.second) == (0, 0) and 0 < (reset - dt.datetime.now(dt.UTC)).total_seconds() <= 3600
    api.site.limits.spend(api.site.client_id, 60_000)
    near = api.v1("/group", limit=1).headers
    assert near["x-ratelimit-nearlimit"] == "true" and near["ratelimit"].startswith('"global-app-quota";r=4976;t=')


def test_a_spent_hour_refuses_on_all_sites_of_the_app_until_the_hour_is_over(serve) -> None:
    api = serve(sites=2)
    api.site.limits.spend(api.site.client_id, 64_999)
    assert api.v1("/group").status_code == 200
    refused = api("GET", "/rest/api/group", cloud_id=api.site.sites[1].cloud_id)
    assert refused.status_code == 429 and refused.headers["ratelimit-reason"] == "confluence-quota-global-based"
    assert refused.headers["x-ratelimit-remaining"] == "0" and 0 < int(refused.headers["retry-after"]) <= 3601
    # Another app has a ledger of its own.
    other = api.site.issue_token(app=api.site.apps[1])["access_token"]
    group = f"{api.site.api_base}/wiki/rest/api/group"
    assert api.http.get(group, headers={"Authorization": f"Bearer {other}"}).status_code == 200
    api.site.advance(int(refused.headers["retry-after"]))
    api.headers = {"Authorization": f"Bearer {api.site.issue_token()['access_token']}"}
    again = api.v1("/group", limit=1)
    assert again.status_code == 200 and again.headers["x-ratelimit-remaining"] == str(65_000 - 3)


def test_a_site_can_have_a_quota_of_its_own(serve) -> None:
    api = serve(sites=2, tenant_quota=100)
    headers = api.v1("/group", limit=26).headers
    assert headers["ratelimit-policy"] == '"global-app-quota";q=65000;w=3600, "tenant-app-quota";q=100;w=3600'
    assert headers["x-ratelimit-remaining"] == "47" and "ratelimit" not in headers
    api.site.limits.spend(api.site.client_id, 60_000)
    near = api.v1("/group", limit=26).headers["ratelimit"]
    assert near.startswith('"global-app-quota";r=4894;t=') and ', "tenant-app-quota";r=0;t=' in near
    refused = api.v1("/group")
    assert refused.status_code == 429 and refused.headers["ratelimit-reason"] == "confluence-quota-tenant-based"
    assert api("GET", "/rest/api/group", cloud_id=api.site.sites[1].cloud_id).status_code == 200


def test_before_enforcement_the_headers_are_beta_and_nothing_is_refused(serve) -> None:
    api = serve(quota_headers="beta", quota=10)
    assert api.v1("/group").status_code == 200
    over = api.v1("/group")
    assert over.status_code == 200 and over.headers["x-beta-ratelimit-remaining"] == "0"
    assert "beta-retry-after" in over.headers and over.headers["beta-ratelimit-policy"].startswith('"global-app-quota"')
    assert not {"x-ratelimit-remaining", "retry-after", "ratelimit-policy"} & set(over.headers)
    api.site.switches.quota_headers = "none"
    assert not [h for h in api.v1("/group").headers if "ratelimit" in h]


def test_a_burst_is_refused_for_one_endpoint_only(serve, monkeypatch: pytest.MonkeyPatch) -> None:
    api = serve(burst=3)
    moment = [api.site.clock.now()]
    monkeypatch.setattr(api.site.clock, "now", lambda: moment[0])
    assert [api.v1("/group", limit=1).status_code for _ in range(5)] == [200, 200, 200, 429, 429]
    refused = api.v1("/group")
    assert refused.headers["ratelimit-reason"] == "confluence-burst-based" and refused.headers["retry-after"] == "1"
    assert api.v1("/user/current").status_code == 200
    moment[0] += 1
    assert [api.v1("/group", limit=1).status_code for _ in range(4)] == [200, 200, 200, 429]


def test_retry_after_as_a_date_and_other_bodies(serve) -> None:
    api = serve(quota=1, retry_after_form="date", body_429="empty")
    api.v1("/group")
    refused = api.v1("/group")
    until = parsedate_to_datetime(refused.headers["retry-after"])
    assert refused.content == b"" and 0 < (until - dt.datetime.now(dt.UTC)).total_seconds() <= 3602
    api.site.switches.body_429 = "text"
    assert api.v1("/group").headers["content-type"] == "text/plain"


def test_spent_points_come_back_after_the_window_that_the_switch_says(serve) -> None:
    api = serve(quota_window=20)
    site = api.site
    site.limits.spend(site.client_id, 65_000)
    refused = api.v1("/group")
    assert refused.status_code == 429 and 1 <= int(refused.headers["retry-after"]) <= 21
    site.advance(20)
    fresh = api.v1("/group")
    assert fresh.status_code == 200 and fresh.headers["ratelimit-policy"] == '"global-app-quota";q=65000;w=20'
    with pytest.raises(InputError, match="whole number of seconds"):
        site.switches.update(quota_window=0)
