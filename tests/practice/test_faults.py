"""Every fault of the menu does what the menu says, and stops when it is taken off."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable

import httpx2
import pytest

from spokekit.errors import InputError
from spokekit.practice import FAULTS, Fault, Faults
from tests.practice.support import Api, key_of, refresh

Check = Callable[[Api], None]
CHECKS: dict[str, tuple[str, Check]] = {}


def check(name: str, order: str = "") -> Callable[[Check], Check]:
    """Register what a fault must do; ``order`` is how it is ordered from the menu."""

    def keep(function: Check) -> Check:
        CHECKS[name] = (order or f"{name}:1", function)
        return function

    return keep


def members(api: Api, start: int = 0, limit: int = 20) -> httpx2.Response:
    group = api.site.world.find_group("confluence-users").group_id
    return api.v1(f"/group/{group}/membersByGroupId", limit=limit, start=start)


def ids(answer: httpx2.Response) -> list[str]:
    return [row["accountId"] for row in answer.json()["results"]]


def truth(api: Api) -> list[str]:
    return api.site.world.member_ids("confluence-users")


@check("429")
def _(api: Api) -> None:
    answer = members(api)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert answer.headers["ratelimit-reason"] == "confluence-burst-based"


@check("429-no-retry-after")
def _(api: Api) -> None:
    answer = members(api)
    assert answer.status_code == 429 and "retry-after" not in answer.headers and "x-ratelimit-reset" in answer.headers


@check("503")
def _(api: Api) -> None:
    assert members(api).headers["retry-after"] == "1" and members(api).status_code == 503
    api.site.switches.retry_after_form = "date"
    assert members(api).headers["retry-after"].endswith("GMT")


@check("503-no-retry-after")
def _(api: Api) -> None:
    assert members(api).status_code == 503 and "retry-after" not in members(api).headers


@check("reset")
def _(api: Api) -> None:
    with pytest.raises(httpx2.ReadError):
        members(api)


@check("cut")
def _(api: Api) -> None:
    someone = api.site.world.person(50).account_id
    with pytest.raises(httpx2.RemoteProtocolError, match="without sending a response"):
        api.add("marketing", someone)
    assert someone in api.site.world.member_ids("marketing")
    with pytest.raises(httpx2.RemoteProtocolError, match="without sending complete message body"):
        members(api)


@check("hang-up")
def _(api: Api) -> None:
    with pytest.raises(httpx2.RemoteProtocolError, match="without sending a response"):
        members(api)


@check("slow-drip", "slow-drip:0.4")
def _(api: Api) -> None:
    started = time.perf_counter()
    assert ids(members(api)) == truth(api)[:20]
    assert time.perf_counter() - started > 0.35


@check("stall", "stall:0.3")
def _(api: Api) -> None:
    with pytest.raises(httpx2.ReadTimeout):
        api.http.get(f"{api.site.api_base}/wiki/rest/api/group", headers=api.headers, timeout=0.1)


@check("short-pages", "short-pages:6")
def _(api: Api) -> None:
    answer = members(api)
    assert len(ids(answer)) == answer.json()["size"] == 6 and answer.json()["limit"] == 20
    group = api.site.world.find_group("confluence-users").group_id
    assert [r["accountId"] for r in api.walk(f"/group/{group}/membersByGroupId")] == truth(api)
    assert len(api.v2("/spaces").json()["results"]) == 6


@check("foreign-next", "foreign-next:http://127.0.0.3:8")
def _(api: Api) -> None:
    assert members(api).json()["_links"]["next"].startswith("http://127.0.0.3:8/rest/api/group/")
    spaces = api.v2("/spaces", limit=2)
    assert spaces.json()["_links"]["next"].startswith("http://127.0.0.3:8/wiki/api/v2/spaces?")
    assert spaces.headers["link"].startswith("<http://127.0.0.3:8/wiki/api/v2/spaces?")


def spaces(api: Api) -> list[str]:
    """Read all spaces, two at a time."""
    shown: list[str] = []
    path, query = "/api/v2/spaces", {"limit": "2"}
    while path:
        answer = api("GET", path, params=query or None).json()
        shown += [space["key"] for space in answer["results"]]
        path, query = answer["_links"].get("next", "").removeprefix("/wiki"), {}
    return shown


@check("duplicates")
def _(api: Api) -> None:
    assert ids(members(api)) == truth(api)[:20]
    assert ids(members(api, start=20)) == truth(api)[19:39]
    whole = spaces(api)
    assert len(set(whole)) == len(whole) > 4
    api.site.switches.cursor_marks = "position"
    assert set(spaces(api)) == set(whole) and len(spaces(api)) > len(whole)


@check("vanishing")
def _(api: Api) -> None:
    assert ids(members(api)) == truth(api)[:20]
    assert ids(members(api, start=20)) == truth(api)[21:41]
    whole = spaces(api)
    api.site.switches.cursor_marks = "position"
    assert spaces(api) == whole[:2] + whole[3:]


@check("empty-page", "empty-page:2")
def _(api: Api) -> None:
    assert ids(members(api)) == truth(api)[:20]
    answer = members(api, start=20)
    assert ids(answer) == [] and "start=20" in answer.json()["_links"]["next"]


@check("401-after", "401-after:3")
def _(api: Api) -> None:
    assert [members(api).status_code for _ in range(4)] == [200, 200, 401, 401]
    api.headers["Authorization"] = f"Bearer {refresh(api.site, api.token['refresh_token']).json()['access_token']}"
    assert [members(api).status_code for _ in range(4)] == [200] * 4


@check("401-always")
def _(api: Api) -> None:
    api.headers["Authorization"] = f"Bearer {refresh(api.site, api.token['refresh_token']).json()['access_token']}"
    assert members(api).status_code == 401


@check("licence-full")
def _(api: Api) -> None:
    outsider = api.site.world.account("outsider")
    assert "HystrixRuntimeException" in api.add("confluence-users", outsider).json()["message"]
    assert api.add("marketing", outsider).status_code == 201


@check("html-502")
def _(api: Api) -> None:
    assert members(api).status_code == 502 and members(api).text.startswith("<!doctype html>")


@check("html-200")
def _(api: Api) -> None:
    assert members(api).status_code == 200 and members(api).headers["content-type"].startswith("text/html")


@check("truncated-json")
def _(api: Api) -> None:
    answer = members(api)
    assert answer.status_code == 200 and answer.text.startswith('{"results":[{')
    with pytest.raises(json.JSONDecodeError):
        answer.json()


@check("not-utf8")
def _(api: Api) -> None:
    with pytest.raises(UnicodeDecodeError):
        members(api).content.decode()


@check("wrong-types")
def _(api: Api) -> None:
    assert isinstance(members(api).json()["results"], dict)


@check("wrong-ids")
def _(api: Api) -> None:
    assert all(isinstance(one, int) for one in ids(members(api)))
    assert isinstance(api.v1("/group").json()["results"][1]["id"], int)


@check("null-fields")
def _(api: Api) -> None:
    found = api.v1("/search/user", cql="type=user").json()["results"][0]["user"]
    for row in (members(api).json()["results"][0], found):
        assert row["displayName"] is row["email"] is row["timeZone"] is None and row["accountId"]


@check("null-links")
def _(api: Api) -> None:
    assert members(api).json()["_links"] is None


@check("missing-ids")
def _(api: Api) -> None:
    rows = members(api).json()["results"]
    assert "accountId" not in rows[0] and "accountId" in rows[1]


@check("missing-results")
def _(api: Api) -> None:
    assert "results" not in members(api).json()


@check("deep-json")
def _(api: Api) -> None:
    assert members(api).text.startswith("[" * 100_000)


@check("huge", "huge:3")
def _(api: Api) -> None:
    assert [len(members(api).content) > 3_000_000 for _ in range(5)] == [False] * 4 + [True]


@check("too-heavy", "too-heavy:10")
def _(api: Api) -> None:
    assert [members(api, limit=limit).status_code for limit in (20, 11, 10)] == [504, 504, 200]


@check("too-heavy-500", "too-heavy-500:10")
def _(api: Api) -> None:
    assert [members(api, limit=limit).status_code for limit in (20, 11, 10)] == [500, 500, 200]


@check("byte-order-mark")
def _(api: Api) -> None:
    assert members(api).content.startswith(b'\xef\xbb\xbf{"results"')


@check("redirect", "redirect:http://127.0.0.3:8")
def _(api: Api) -> None:
    answer = [members(api) for _ in range(5)][-1]
    assert (answer.status_code, answer.headers["location"]) == (302, "http://127.0.0.3:8/elsewhere")


@check("write-lost")
def _(api: Api) -> None:
    someone = api.site.world.person(50).account_id
    with pytest.raises(httpx2.RemoteProtocolError):
        api.add("marketing", someone)
    assert someone in api.site.world.member_ids("marketing") and members(api).status_code == 200


@check("write-500")
def _(api: Api) -> None:
    someone = api.site.world.person(50).account_id
    assert api.add("marketing", someone).status_code == 500
    assert someone not in api.site.world.member_ids("marketing") and members(api).status_code == 200


@check("token-502")
def _(api: Api) -> None:
    answer = refresh(api.site, api.token["refresh_token"])
    assert answer.status_code == 502 and answer.text.startswith("<!doctype")


@check("token-429")
def _(api: Api) -> None:
    assert refresh(api.site, api.token["refresh_token"]).headers["retry-after"] == "1"


@check("token-lost")
def _(api: Api) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        refresh(api.site, api.token["refresh_token"])
    # It was done all the same: what was presented is used from now on.
    api.site.faults.clear()
    api.site.advance(601)
    assert refresh(api.site, api.token["refresh_token"]).status_code == 403


@check("token-empty")
def _(api: Api) -> None:
    answer = refresh(api.site, api.token["refresh_token"])
    assert (answer.status_code, answer.json()) == (200, {})


@check("token-odd-error")
def _(api: Api) -> None:
    answer = refresh(api.site, api.token["refresh_token"])
    assert answer.status_code == 401 and "error" not in answer.json()


def test_every_fault_of_the_menu_has_a_check() -> None:
    assert set(CHECKS) == set(FAULTS)


@pytest.mark.parametrize("name", FAULTS)
def test_fault(serve: Callable[..., Api], name: str) -> None:
    order, verify = CHECKS[name]
    api = serve()
    api.site.faults.add(order)
    assert name in api.site.faults
    verify(api)
    api.site.faults.clear()
    api.site.switches.retry_after_form = "seconds"
    api.headers["Authorization"] = f"Bearer {api.site.issue_token()['access_token']}"
    assert ids(members(api)) == truth(api)[:20]


def test_every_nth_so_many_times_and_on_one_operation_only(serve: Callable[..., Api]) -> None:
    api = serve(faults=["503:3x2@groups"])
    assert [api.v1("/group").status_code for _ in range(9)] == [200, 200, 503, 200, 200, 503, 200, 200, 200]
    assert {members(api).status_code for _ in range(6)} == {200}
    assert [r.broken for r in api.site.requests if r.broken] == ["503", "503"]


def test_faults_are_switched_over_http_while_the_site_runs(serve: Callable[..., Api]) -> None:
    api = serve()
    url = f"{api.site.url}practice/faults"
    assert api.http.post(url, json={"add": ["503:1"]}).status_code == 403 and not api.site.faults.active
    api.http.headers.update(key_of(api.site))
    active = api.http.post(url, json={"add": ["503:1", "429:9"]}).json()["active"]
    assert [(f["name"], f["every"]) for f in active] == [("503", 1), ("429", 9)]
    assert api.v1("/group").status_code == 503
    assert [f["name"] for f in api.http.post(url, json={"clear": ["503"]}).json()["active"]] == ["429"]
    assert api.v1("/group").status_code == 200
    assert api.http.post(url, json={"clear": True}).json()["active"] == []
    assert set(api.http.get(url).json()["menu"]) == set(FAULTS)
    for bad in (b"junk", b"[]", b'{"add": 5}', b'{"add": ["nonsense"]}', b'{"add": [5]}'):
        assert api.http.post(url, content=bad, headers={"Content-Type": "application/json"}).status_code == 400
    # What a form on another page can send is not taken.
    assert api.http.post(url, content=b'{"add": ["503:1"]}', headers={"Content-Type": "text/plain"}).status_code == 415
    assert api.site.faults.active == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "429:soon",
        "slow-drip:x",
        "429@",
        "429 5",
        "x3",
        "stall:nan",
        "stall:-1",
        "redirect:http://中",
        5,
    ],
)
def test_what_is_not_on_the_menu_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        Faults([text])


def test_a_fault_on_an_operation_that_there_is_not_is_refused(serve: Callable[..., Api]) -> None:
    site = serve(faults=["429@members"]).site
    with pytest.raises(InputError, match="no operation 'membres'"):
        site.faults.add("429@membres")
    answer = httpx2.post(f"{site.url}practice/faults", json={"add": ["429@membres"]}, headers=key_of(site))
    assert answer.status_code == 400 and "membres" in answer.json()["message"]


DAMAGE = [name for name in FAULTS if name not in ("huge", "stall", "slow-drip") and not name.startswith("token-")]


@pytest.mark.parametrize("first", DAMAGE)
def test_any_two_faults_can_be_ordered_together(serve: Callable[..., Api], first: str) -> None:
    api = serve()
    own_argument = ("foreign-next", "redirect", "short-pages", "401-after")
    orders = {name: name if name in own_argument else f"{name}:1" for name in DAMAGE}
    for second in DAMAGE:
        api.site.faults.clear()
        api.site.faults.add(orders[first], orders[second])
        for path in ("/group?limit=3&start=3", "/search/user?cql=type=user&limit=2"):
            with contextlib.suppress(httpx2.HTTPError):
                api("GET", f"/rest/api{path}")
        assert api.site.defects == [], second


def test_a_fault_reads_as_it_is_written() -> None:
    assert Fault.parse("429") == Fault("429", every=5)
    assert Fault.parse("429:2x3@members") == Fault("429", every=2, times=3, on="members")
    assert Fault.parse("slow-drip:0.5@groups") == Fault("slow-drip", 0.5, on="groups")
    assert Fault.parse("short-pages:3").value == 3 and Fault.parse("stall").value == 5.0
    assert Fault.parse("foreign-next:http://127.0.0.1:99").value == "http://127.0.0.1:99"
    for number in ("x" + "9" * 5_000, ":" + "9" * 5_000):
        with pytest.raises(InputError):
            Fault.parse(f"429{number}")
