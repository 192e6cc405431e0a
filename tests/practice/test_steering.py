"""A practice site is steered while it runs, kept over a restart, and by nobody but the person who started it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from spokekit.errors import InputError
from spokekit.practice import PracticeSite
from spokekit.practice.keys import LINK_SECONDS, Keys
from tests.practice.support import Api, authorize_url, exchange, key_of, refresh, values_of

ROUTES = ("console", "practice/state", "practice/kept", "practice/faults", "practice/orders")


def state(site: PracticeSite) -> dict[str, Any]:
    return httpx2.get(f"{site.url}practice/state", headers=key_of(site)).json()


def order(site: PracticeSite, *orders: dict[str, Any]) -> httpx2.Response:
    return httpx2.post(f"{site.url}practice/orders", json={"orders": list(orders)}, headers=key_of(site))


def members(site: PracticeSite, group: str) -> list[str]:
    found = [one for one in state(site)["sites"][0]["groups"] if one["name"] == group]
    return found[0]["members"]


def test_without_the_key_nothing_is_shown_and_nothing_is_done(site: PracticeSite) -> None:
    wrong = {"X-Practice-Key": site.keys.key[:-1], "Cookie": f"spokekit-practice-{site.port}={site.keys.key}"}
    for headers in ({}, wrong):
        for route in ROUTES:
            get = httpx2.get(site.url + route, headers=headers)
            assert get.status_code in (403, 404) and site.client_secret not in get.text, route
            body = {"orders": [{"do": "reset", "seed": 2}], "add": ["429"]}
            post = httpx2.post(site.url + route, json=body, headers=headers)
            assert post.status_code in (403, 404), route
    assert site.start_point.seed == 1 and not site.faults.active
    # A page of another origin has no key; one that a browser lends it does not help.
    for strange in ({"Origin": "https://elsewhere.example"}, {"Origin": "null", "Sec-Fetch-Site": "same-site"}):
        headers = key_of(site) | strange
        assert httpx2.post(f"{site.url}practice/orders", json={"orders": []}, headers=headers).status_code == 403
    assert "key" in site.describe() and site.keys.key not in json.dumps(state(site)) + repr(site.keys)


@pytest.mark.skipif(not hasattr(os, "setuid") or os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_of_the_machine_reads_no_secret(tmp_path: Path) -> None:
    code = f"""
        import http.client, os, sys
        # What Python loads late has to be there before: another user may not read this interpreter's folder.
        first = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
        first.request("GET", "/")
        first.getresponse().read()
        os.setgid(54321); os.setuid(54321)
        for path in {ROUTES!r}:
            for method in ("GET", "POST"):
                asked = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
                asked.request(method, "/" + path, b"{{}}" if method == "POST" else None)
                print(asked.getresponse().status, end=" ")
        try:
            print(open(sys.argv[2]).read())
        except OSError as error:
            print(type(error).__name__)
    """
    kept = tmp_path / "world.json"
    with PracticeSite(kept=kept, salt="salt") as site:
        site.keep()
        here = [sys.executable, "-c", textwrap.dedent(code), str(site.port), str(kept)]
        told = subprocess.run(here, capture_output=True, text=True, check=True).stdout.split()
        assert set(told[:-1]) <= {"403", "404"} and told.count("403") >= 7 and told[-1] == "PermissionError"
        assert site.client_secret != PracticeSite().client_secret, "nobody works it out from the seed"


def test_a_link_opens_the_pages_once_and_for_one_browser(site: PracticeSite) -> None:
    link = site.page()
    with httpx2.Client(follow_redirects=True) as browser:
        assert site.client_secret in browser.get(link).text
        assert browser.get(link).status_code == 200, "the browser has a cookie by now"
        assert browser.get(f"{site.url}console").status_code == 200
        assert browser.get(f"{site.url}practice/state").status_code == 403, "the cookie is for pages alone"
        assert "open=" not in json.dumps([record.query for record in site.requests])
    again = httpx2.get(link)
    assert again.status_code == 403 and "used before" in again.text and site.client_secret not in again.text
    # A consent goes on without: only what a key opens is closed.
    consent = f"{authorize_url(site)}&open={link.partition('open=')[2]}"
    assert "asks for access" in httpx2.get(consent, follow_redirects=True).text


@pytest.mark.parametrize("ticket", ["", "x", "..", "1.2.3", "é.1.2", "9" * 400, "\ud800"])
def test_a_made_up_link_opens_nothing(ticket: str) -> None:
    assert Keys().open(ticket, 1) == ""


def test_a_link_is_of_one_site_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Keys()
    ticket = one.ticket()
    assert Keys().open(ticket, 1) == "" and Keys(one.key).open(ticket, 1)
    later = time.time() + LINK_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert one.open(ticket, 1) == ""


def test_a_reset_makes_everything_new_and_leaves_the_address(serve: Callable[..., Api]) -> None:
    api = serve()
    site = api.site
    before = site.describe()
    assert api.add("project-phoenix", site.account_id).status_code == 201
    site.limits.spend(site.client_id, 500)
    site.console.create("Mine")
    order(site, {"do": "faults", "add": ["429:9"]}, {"do": "sign-in", "as": "member"}, {"do": "advance", "seconds": 60})
    assert order(site, {"do": "reset"}).status_code == 200
    after = state(site)
    assert site.describe() == before
    assert members(site, "project-phoenix") == [] and api.v1("/group").status_code == 401
    assert (after["writes"], after["faults"], after["consents"], len(after["apps"])) == ([], [], [], 2)
    assert after["limits"][0]["spent"] == 0 and after["signed_in"]["role"] == "admin"
    other = {"do": "reset", "seed": 2, "sites": 2, "signed_in": "member", "switches": {"seats": 90}, "faults": ["503"]}
    (told,) = order(site, other).json()["results"]
    after = state(site)
    assert [one["cloud_id"] for one in told] == [one["cloud_id"] for one in after["sites"]] == list(site.worlds)
    assert (after["start"]["seed"], after["switches"], after["signed_in"]["role"]) == (2, {"seats": 90}, "member")
    assert (site.client_id, site.client_secret) == (before["client_id"], before["client_secret"])
    assert site.issue_token()["access_token"] and Api(site, api.http).v1("/group").status_code == 200
    site.reset()
    assert site.world.seed == 1 and len(site.worlds) == 1


def test_how_long_spent_points_stay_away_is_not_a_lessons_decision(serve: Callable[..., Api]) -> None:
    site = serve(quota_window=300, seats=90).site
    for switches, window in (({}, 300), ({"quota_window": 20}, 20), ({"seats": 80}, 300)):
        site.limits.spend(site.client_id, 500)
        assert order(site, {"do": "reset", "switches": switches}).status_code == 200
        assert site.switches.quota_window == window and site.switches.seats == switches.get("seats")
        assert state(site)["limits"][0]["spent"] == 0, "a beginning is the same each time, points too"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"do": "reset", "size": "XXL"}, "no practice world of size"),
        ({"do": "reset", "seed": "1"}, "seed cannot be"),
        ({"do": "reset", "sites": 51}, "1 to 50 sites"),
        ({"do": "reset", "signed_in": "boss"}, "role 'boss'"),
        ({"do": "reset", "faults": ["nonsense"]}, "no fault"),
        ({"do": "reset", "faults": [5]}, "no fault"),
        ({"do": "reset", "switches": {"quota": "x"}}, "cannot be"),
        ({"do": "reset", "port": 1}, "no 'port'"),
        ({"do": "nothing"}, "no order 'nothing'"),
        ({"do": ["reset"]}, "needs 'do'"),
        ({}, "needs 'do'"),
        ({"do": "add", "group": "nowhere", "account": "x"}, "Nobody"),
        ({"do": "add", "group": "procurement"}, "needs 'account'"),
        ({"do": "add", "group": "procurement", "account": 5}, "needs 'account'"),
        ({"do": "remove", "group": "procurement", "account": "x", "site": 7}, "no site 7"),
        ({"do": "advance"}, "needs 'seconds'"),
        ({"do": "advance", "seconds": -5}, "needs 'seconds'"),
        ({"do": "advance", "seconds": True}, "needs 'seconds'"),
        ({"do": "switches", "set": {"seets": 4}}, "no switch"),
        ({"do": "switches"}, "needs 'set'"),
        ({"do": "faults", "add": 5}, "list of texts"),
        ({"do": "spend", "client_id": "nobody", "points": 5}, "No app"),
        ({"do": "app", "distribution": "public"}, "private or shared"),
        ({"do": "app", "scopes": ["read:jira-work"]}, "no permission"),
        ({"do": "create-app", "name": "spokekit practice app"}, "is an app called"),
        ({"do": "create-group", "name": "x", "access": ["all"]}, "no access"),
        ({"do": "status", "account": "x", "status": "gone"}, "no status"),
        ({"do": "sign-in", "as": "boss"}, "role 'boss'"),
        ({"do": "restore", "kept": {"layout": 99}}, "not of this version"),
        ({"do": "restore"}, "not of this version"),
    ],
)
def test_an_order_that_cannot_be_is_told_and_changes_nothing(
    site: PracticeSite, wrong: dict[str, Any], words: str
) -> None:
    token = site.issue_token()["access_token"]
    answer = order(site, {"do": "spend", "points": 1}, wrong, {"do": "kill-access"})
    told = answer.json()
    assert answer.status_code == 400 and words in told["message"] and (told["order"], told["done"]) == (1, 1)
    assert site.auth.access(f"Bearer {token}") is not None and site.limits.spent(site.client_id) == 1
    assert site.defects == []


def test_a_body_that_is_no_order_is_refused(site: PracticeSite) -> None:
    url, headers = f"{site.url}practice/orders", key_of(site) | {"Content-Type": "application/json"}
    for body in (b"", b"junk", b"[]", b"{}", b'{"orders": 5}', b'{"orders": [5]}', b"[" * 100_000):
        assert httpx2.post(url, content=body, headers=headers).status_code == 400
    many = {"orders": [{"do": "kill-access"}] * 101}
    assert httpx2.post(url, json=many, headers=headers).status_code == 400
    assert httpx2.post(url, data={"orders": "x"}, headers=key_of(site)).status_code == 415


def test_orders_do_what_they_say(serve: Callable[..., Api]) -> None:
    api = serve()
    site, who = api.site, api.site.world.account("member")
    done = order(
        site,
        {"do": "add", "group": "project-phoenix", "account": who},
        {"do": "add", "group": "project-phoenix", "account": who},
        {"do": "create-group", "name": "new", "access": ["user"]},
        {"do": "rename-group", "group": "marketing", "name": "sales"},
        {"do": "rename-person", "account": who, "name": "Somebody Else"},
        {"do": "remove", "group": "people-operations", "account": "Somebody Else"},
        {"do": "status", "account": who, "status": "inactive"},
        {"do": "create-app", "name": "Mine", "scopes": ["read:me"]},
        {"do": "app", "scopes": ["read:me"], "redirect_uris": ["http://localhost:1/"], "new-secret": True},
        {"do": "spend", "leave": 7},
    ).json()["results"]
    assert done[:2] == [True, False] and done[5] is True
    now = state(site)
    groups = {one["name"]: one for one in now["sites"][0]["groups"]}
    assert groups["new"] == {
        "group_id": done[2]["group_id"], "name": "new", "access": ["user"], "managed_by": "ADMINS", "members": []
    }  # fmt: skip
    assert "sales" in groups and "marketing" not in groups
    (person,) = [one for one in now["sites"][0]["people"] if one["account_id"] == who]
    assert (person["name"], person["status"], person["licensed"]) == ("Somebody Else", "inactive", False)
    assert now["apps"][0]["redirect_uris"] == ["http://localhost:1/"] and now["apps"][0]["secrets_made"] == 2
    assert [one["client_id"] for one in now["apps"]][2] == done[7]["client_id"]
    assert now["limits"][0]["left"] == 7
    assert now["writes"] == [], "a colleague's changes do not come over the API"
    # What was written over the API tells who did what, and whether it changed anything.
    site.limits.spend(site.client_id, -7_000)
    api.add("procurement", site.account_id)
    api.add("procurement", site.account_id)
    api.remove("okta-engineering", site.world.member_ids("okta-engineering")[0])
    seen = [(w["name"], w["group"], w["by"], w["status"], w["changed"]) for w in state(site)["writes"]]
    me = site.account_id
    assert seen == [
        ("add", "procurement", me, 201, True),
        ("add", "procurement", me, 201, False),
        ("remove", "okta-engineering", me, 400, False),
    ]
    assert site.defects == []


def test_the_clock_waits_until_nobody_is_in_the_middle_of_a_consent(site: PracticeSite) -> None:
    httpx2.get(authorize_url(site))
    assert not state(site)["quiet"]
    refused = order(site, {"do": "advance", "seconds": 3700})
    assert refused.status_code == 409 and "in the middle" in refused.json()["message"] and site.clock.offset == 0
    code = values_of(site.play_browser(authorize_url(site)))["code"]
    site.auth.forget_pages()
    assert order(site, {"do": "advance", "seconds": 3700}).status_code == 409, "the code is still out"
    token = exchange(site, code).json()
    assert order(site, {"do": "advance", "seconds": 91 * 86400}).status_code == 200
    assert refresh(site, token["refresh_token"]).status_code == 403
    httpx2.get(authorize_url(site))
    assert order(site, {"do": "advance", "seconds": 1, "even": True}).status_code == 200


def test_what_was_done_is_there_on_the_next_day(tmp_path: Path) -> None:
    kept, log = tmp_path / "world.json", httpx2.Client()
    with log, PracticeSite(kept=kept, sites=2) as site:
        api = Api(site, log)
        assert api.add("project-phoenix", site.account_id).status_code == 201
        assert api.remove("procurement", site.world.member_ids("procurement")[0]).status_code == 204
        group = api("POST", "/rest/api/group", json={"name": "made here"}).json()["id"]
        form = {"create": "yes", "name": "Mine", "redirect_uris": "http://localhost:9/", "scope": ["read:me"]}
        httpx2.post(f"{site.url}console", data=form, headers=key_of(site))
        order(site, {"do": "app", "new-secret": True}, {"do": "rename-group", "group": "marketing", "name": "sales"})
        order(site, {"do": "status", "account": site.world.account("member"), "status": "inactive"})
        secrets = [app.client_secret for app in site.apps]
        truth = {cloud: world.frames(tables=["groups", "users", "memberships"]) for cloud, world in site.worlds.items()}
        token, state_then = api.token, state(site)
        written = kept.read_bytes()
        assert kept.stat().st_mode & 0o777 == 0o600 and list(tmp_path.iterdir()) == [kept]
    text = kept.read_text()
    assert json.loads(written) == json.loads(text), "written after the change, not only at the end"
    for secret in (token["access_token"], token["refresh_token"], *secrets):
        assert secret not in text
    with httpx2.Client() as client, PracticeSite(kept=kept, sites=2) as site:
        assert site.keeper is not None and site.keeper.words == ""
        for cloud, world in site.worlds.items():
            for name, frame in world.frames(tables=["groups", "users", "memberships"]).items():
                assert frame.equals(truth[cloud][name]), name
        assert site.world.find_group(group).name == "made here"
        assert [app.client_secret for app in site.apps] == secrets
        same = ("sites", "apps", "consents", "authorised", "limits")
        assert {name: state(site)[name] for name in same} == {name: state_then[name] for name in same}
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        assert client.get(f"{site.api_base}/wiki/rest/api/group", headers=headers).status_code == 200
        assert client.get(f"{site.url}practice/known", headers=headers).json() == {"known": True, "given": True}
        assert client.get(f"{site.url}practice/known").json() == {"known": False, "given": False}
        assert refresh(site, token["refresh_token"], client_secret=secrets[0]).status_code == 200


def test_what_cannot_be_read_is_laid_aside_and_said(tmp_path: Path) -> None:
    kept = tmp_path / "world.json"
    with PracticeSite(kept=kept) as site:
        site.world.add_member("project-phoenix", site.account_id)
    whole = kept.read_text()
    told = json.loads(whole)
    other = {**told, "worlds": [{**told["worlds"][0], "base": "of another seed"}]}
    strange = {**told, "worlds": [{**told["worlds"][0], "members": {"10": [999_999]}}]}
    for text in ("", whole[:-9], "[]", json.dumps({**told, "layout": 0}), json.dumps(other), json.dumps(strange)):
        kept.write_text(text)
        site = PracticeSite(kept=kept)
        assert site.keeper is not None and "begins anew" in site.keeper.words
        assert site.world.member_ids("project-phoenix") == [] and site.world.seed == 1 and len(site.apps) == 2
        assert kept.with_suffix(".unreadable").read_text() == text and not kept.exists()


def test_a_site_is_put_back_to_where_it_was_saved(serve: Callable[..., Api]) -> None:
    api = serve(salt="pepper")
    site = api.site
    api.add("project-phoenix", site.account_id)
    saved = httpx2.get(f"{site.url}practice/kept", headers=key_of(site)).json()
    then = state(site)["sites"]
    order(site, {"do": "reset", "seed": 4, "sites": 3})
    assert order(site, {"do": "restore", "kept": saved}).status_code == 200
    assert state(site)["sites"] == then and api.v1("/group").status_code == 200
    with pytest.raises(InputError, match="1 to 50"):
        PracticeSite(sites=0)


def test_a_colleague_and_a_fault_come_at_the_request_that_was_told(serve: Callable[..., Api]) -> None:
    api = serve()
    site, who = api.site, api.site.world.account("member")
    colleague = {"do": "add", "group": "marketing", "account": who}
    drop = {"do": "faults", "add": ["hang-up:1x1@add"]}
    order(
        site,
        {"do": "trigger", "at": "members", "nth": 2, "orders": [colleague]},
        {"do": "trigger", "at": "write", "nth": 3, "orders": [drop]},
        {"do": "trigger", "at": "write", "when": "after", "orders": [{"do": "delete-group", "group": "legal-counsel"}]},
        {"do": "trigger", "at": "picker", "orders": [{"do": "delete-group", "group": "nowhere"}]},
    )
    group = site.world.find_group("marketing").group_id
    seen = [len(api.v1(f"/group/{group}/membersByGroupId").json()["results"]) for _ in range(3)]
    assert seen[1] == seen[0] + 1 == seen[2]
    assert api.add("legal-counsel", who).status_code == 201, "it is gone after the request, not before"
    assert api.add("procurement", who).status_code == 201
    with pytest.raises(httpx2.HTTPError):
        api.add("support-tier-2", who)
    assert api.add("support-tier-2", who).status_code == 201, "once"
    api.v1("/group/picker", query="x")
    told = state(site)
    assert "legal-counsel" not in [one["name"] for one in told["sites"][0]["groups"]]
    assert [(t["at"], t["done"]) for t in told["triggers"]] == [
        ("members", True), ("write", True), ("write", True), ("picker", True)
    ]  # fmt: skip
    assert "nowhere" in told["triggers"][3]["problem"] and site.defects == []
    order(site, {"do": "reset", "triggers": [{"at": "groups", "orders": [{"do": "sign-in", "as": "member"}]}]})
    Api(site, api.http).v1("/group")
    assert site.signed_in == "member"
    order(site, {"do": "clear-triggers"})
    assert state(site)["triggers"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"at": "membres", "orders": [{"do": "kill-access"}]},
        {"at": "members", "nth": 0, "orders": [{"do": "kill-access"}]},
        {"at": "members", "when": "during", "orders": [{"do": "kill-access"}]},
        {"at": "members"},
        {"at": "members", "orders": []},
        {"at": "members", "orders": [{"do": "reset"}]},
        {"at": "members", "orders": [{"do": "nothing"}]},
        {"at": "members", "orders": [5]},
        {"at": "members", "orders": [{"do": "kill-access"}], "every": 2},
    ],
)
def test_a_trigger_that_could_not_be_pulled_is_refused(site: PracticeSite, wrong: dict[str, Any]) -> None:
    assert order(site, {"do": "trigger", **wrong}).status_code == 400
    assert order(site, {"do": "reset", "seed": 2, "triggers": [wrong]}).status_code == 400
    assert site.triggers.all == [] and site.world.seed == 1 and site.defects == []
