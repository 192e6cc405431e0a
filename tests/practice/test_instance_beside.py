"""The practice instance beside a site: made on order, steered with the site's key, kept; no secret is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from spokekit.practice import PracticeSite
from tests.practice.support import key_of

APP = {"do": "create-app", "name": "Its own", "scopes": ["read:me"], "redirect_uris": ["https://x.example/back"]}


def order(site: PracticeSite, *orders: dict[str, Any]) -> httpx2.Response:
    return httpx2.post(f"{site.url}practice/orders", json={"orders": list(orders)}, headers=key_of(site))


def told(site: PracticeSite) -> Any:
    return httpx2.get(f"{site.url}practice/state", headers=key_of(site)).json()["instance"]


def record(table: str, sys_id: str, **values: str) -> dict[str, Any]:
    return {"do": "instance-record", "table": table, "sys_id": sys_id, "values": values}


def with_a_registry(site: PracticeSite, scope: str = "read:me") -> str:
    """Make an app, and a registry with everything that a token needs; returns the app's secret."""
    client_id = order(site, APP, {"do": "make-instance"}).json()["results"][0]["client_id"]
    answer = order(
        site,
        record("oauth_entity", "r", name="R", client_id=client_id, redirect_url="https://x.example/back"),
        record("oauth_entity_profile", "p", oauth_entity="r"),
        record("oauth_entity_scope", "s", oauth_entity="r", oauth_entity_scope=scope),
        record("oauth_entity_profile_scope", "ps", oauth_entity_profile="p", oauth_entity_scope="s"),
        record("oauth_2_0_credentials", "c", name="C", oauth_entity_profile="p"),
    )
    assert answer.status_code == 200, answer.text
    return str(site.auth.app(client_id).client_secret)  # type: ignore[union-attr]


def test_it_is_made_with_faults_and_switches(site: PracticeSite) -> None:
    switches = {"hidden_tables": ["oauth_entity"], "token_seconds": 5, "rewrites": {"sys_alias.name": "x"}}
    (said,) = order(site, {"do": "make-instance", "faults": ["busy"], "switches": switches}).json()["results"]
    there = site.instance_beside.there()
    assert there.faults == {"busy"} and there.switches.hidden_tables == {"oauth_entity"}
    assert (there.switches.token_seconds, there.url) == (5, said["url"])


def test_it_is_there_when_it_was_ordered_and_gone_after_a_reset(site: PracticeSite) -> None:
    assert told(site) is None and order(site, {"do": "instance"}).status_code == 400
    (said,) = order(site, {"do": "make-instance"}).json()["results"]
    assert told(site)["url"] == said["url"] and list(told(site)["records"]["sys_alias"]) == [said["parent_sys_id"]]
    table = f"{said['url']}api/now/table/sys_alias"
    assert httpx2.get(table, headers={"x-sn-apikey": said["api_key"]}).status_code == 200
    assert httpx2.get(table, headers={"x-sn-apikey": site.keys.key}).status_code == 401
    order(site, record("sys_alias", "a", name="left over"))
    (again,) = order(site, {"do": "make-instance"}).json()["results"]
    assert (again["url"], again["api_key"]) == (said["url"], said["api_key"]) and "a" not in told(site)["records"]
    order(site, {"do": "reset"})
    assert told(site) is None and order(site, {"do": "instance-token", "credential": "c"}).status_code == 400


def test_a_token_comes_only_by_the_right_app_secret_redirect_and_scopes(site: PracticeSite) -> None:
    secret = with_a_registry(site)

    def ask() -> str:
        return str(order(site, {"do": "instance-token", "credential": "c"}).json()["results"][0]["refused"])

    def type_(text: str) -> None:
        order(site, {"do": "instance-secret", "registry": "r", "secret": text})

    assert "invalid_client" in ask() and told(site)["secrets"] == {"r": ""}
    order(site, record("oauth_entity", "r", client_secret="from elsewhere"))
    assert "invalid_client" in ask() and told(site)["secrets"] == {"r": "unreadable"}
    type_("mistyped")
    assert "invalid_client" in ask() and told(site)["secrets"] == {"r": "another"}
    type_(site.client_secret)
    assert "invalid_client" in ask() and told(site)["secrets"] == {"r": site.apps[0].name}
    type_(secret)
    order(site, record("oauth_entity", "r", redirect_url="https://production.example/back"))
    assert "redirect_uri is not registered" in ask()
    order(site, record("oauth_entity", "r", redirect_url="https://x.example/back"))
    order(site, record("oauth_entity_scope", "s", oauth_entity_scope="write:confluence-groups"))
    assert "invalid_scope" in ask()
    order(site, record("oauth_entity_scope", "s", oauth_entity_scope="read:me"))
    assert (ask(), told(site)["tokens"], told(site)["refused"]) == ("", ["p"], 6)
    for table, sys_id, words in (
        ("oauth_entity_profile_scope", "ps", "no scopes"),
        ("oauth_entity", "r", "no application registry"),
        ("oauth_entity_profile", "p", "no OAuth entity profile"),
        ("oauth_2_0_credentials", "c", "no such credential"),
    ):
        assert order(site, {"do": "instance-record", "table": table, "sys_id": sys_id}).status_code == 200
        assert words in ask()
    everything = json.dumps(told(site)) + json.dumps(
        httpx2.get(f"{site.url}practice/kept", headers=key_of(site)).json()
    )
    assert not [one for one in (secret, site.client_secret, "mistyped") if one in everything]


def test_its_page_opens_with_the_sites_key_and_does_what_is_done_by_hand(site: PracticeSite) -> None:
    page, keyed = f"{site.url}instance", key_of(site)
    assert httpx2.get(page).status_code == 403
    assert "There is no practice instance" in httpx2.get(page, headers=keyed).text
    secret = with_a_registry(site)
    shown = httpx2.get(page, headers=keyed).text
    assert "Client secret of R" in shown and "Get OAuth Token: C" in shown and "Connected apps" in shown
    for form, words in (
        ({"credential": "c"}, "invalid_client"),
        ({"registry": "r", "secret": " "}, "The client secret is empty"),
        ({"registry": "no", "secret": "x"}, "no such application registry"),
        ({"registry": "r", "secret": f" {secret}\n"}, "The client secret of R is saved"),
        ({"credential": "c"}, "A token has come"),
        ({"xml": "<no"}, "not XML"),
        ({}, "not XML"),
    ):
        answer = httpx2.post(page, data=form, headers=keyed)
        assert words in answer.text and secret not in answer.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"do": "make-instance", "faults": "down"},
        {"do": "make-instance", "faults": ["nonsense"]},
        {"do": "make-instance", "switches": ["x"]},
        {"do": "make-instance", "switches": {"no_such": 1}},
        {"do": "make-instance", "switches": {"token_seconds": "x"}},
        {"do": "make-instance", "switches": {"hidden_tables": 5}},
        {"do": "make-instance", "switches": {"rewrites": {"oauth_entity.name": 1}}},
        {"do": "instance-record", "table": "sys_user", "sys_id": "a", "values": {}},
        {"do": "instance-record", "table": "sys_alias", "sys_id": "a", "values": {"name": 1}},
        {"do": "instance-record", "table": "sys_alias", "sys_id": "gone"},
        {"do": "instance-secret", "registry": "r", "secret": "x" * 20_000},
        {"do": "instance-token"},
        {"do": "trigger", "at": "members", "orders": [{"do": "make-instance"}]},
    ],
)
def test_what_it_cannot_do_is_a_sentence(site: PracticeSite, wrong: dict[str, Any]) -> None:
    order(site, {"do": "make-instance"})
    before = told(site)
    answer = order(site, wrong)
    assert answer.status_code == 400 and answer.json()["message"].endswith(".") and told(site) == before


def test_what_is_written_there_is_kept_before_the_site_stops(tmp_path: Path) -> None:
    kept = tmp_path / "site.json"
    with PracticeSite(kept=kept) as site:
        (said,) = order(site, {"do": "make-instance"}).json()["results"]
        headers = {"x-sn-apikey": said["api_key"], "accept": "application/json"}
        made = httpx2.post(f"{said['url']}api/now/table/oauth_entity", json={"name": "kept at once"}, headers=headers)
        assert made.status_code == 201
        # It is written between two requests of the site.
        while "kept at once" not in kept.read_text():
            httpx2.get(f"{site.url}practice/state", headers=key_of(site))


def test_it_goes_on_after_a_restart_at_the_same_address(tmp_path: Path) -> None:
    kept = tmp_path / "site.json"
    with PracticeSite(kept=kept, salt="mine") as site:
        with_a_registry(site)
        (said,) = order(site, {"do": "instance"}).json()["results"]
        before = told(site)
    with PracticeSite(kept=kept, salt="mine") as site:
        assert (told(site), order(site, {"do": "instance"}).json()["results"][0]["api_key"]) == (
            before,
            said["api_key"],
        )
    # Where something else has the port by now, it is another one.
    with PracticeSite(port=int(said["url"].rstrip("/").rpartition(":")[2])), PracticeSite(kept=kept) as site:
        assert told(site)["url"] != before["url"] and told(site)["records"] == before["records"]
        wrong = {**httpx2.get(f"{site.url}practice/kept", headers=key_of(site)).json(), "instance": {"rows": []}}
        assert order(site, {"do": "restore", "kept": wrong}).status_code == 400
        assert told(site)["records"] == before["records"]
