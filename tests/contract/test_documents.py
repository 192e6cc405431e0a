"""The practice site against Atlassian's OpenAPI documents: every operation, every scope, every named deviation."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

import httpx2
import pytest

from spokekit.practice import Exchange, PracticeSite
from spokekit.practice.api.gateway import ROUTES, Route
from tests.contract.judge import DEVIATIONS, MISSING, Judge, the_judge
from tests.practice.support import ALL_SCOPES, Api


@pytest.fixture(autouse=True)
def _documents() -> None:
    if the_judge() is None:
        pytest.skip(MISSING)


@pytest.fixture
def api() -> Iterator[Api]:
    with PracticeSite(strict=True, seats=10**9) as site, httpx2.Client(timeout=5) as client:
        yield Api(site, client)


def operation(route: Route) -> dict:
    judge = the_judge()
    assert judge is not None
    found = judge.operation("v2" if "/api/v2/" in route.path else "v1", route.method, route.path)
    assert found is not None, f"{route.method} {route.path} is not in the documents"
    return found


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_scopes_and_parameters_are_the_documented_ones(route: Route) -> None:
    documented = operation(route)
    sets = {frozenset(entry["scopes"]) for entry in documented["x-atlassian-oauth2-scopes"]}
    ours = {frozenset([route.classic])} if route.classic else set()
    ours |= {frozenset(route.granular)} if route.granular else set()
    assert ours == sets - {frozenset()}
    known = {parameter["name"] for parameter in documented["parameters"] if parameter["in"] == "query"}
    assert set(route.query) - known <= {"next"}


def test_every_operation_keeps_the_contract_in_every_kind_of_world(judged: Judge) -> None:
    for options in ({}, {"space_role_mode": "ROLES"}, {"size": "S", "sites": 2}):
        with PracticeSite(strict=True, **options) as site, httpx2.Client(timeout=5) as client:
            call_everything(Api(site, client, scopes=[*ALL_SCOPES, "read:group:confluence", "write:group:confluence"]))
    assert judged.settle() == []
    done = {name for name, status in judged.judged if status < 300}
    assert done >= {route.name for route in ROUTES}


def call_everything(api: Api) -> None:
    """Call each operation with every parameter that changes what is answered."""
    world = api.site.world
    people = [world.account_id(row) for row in range(0, world.user_count, max(1, world.user_count // 200))]
    for query in ("", "?limit=3", "?limit=3&start=3", "?accessType=admin", "?start=9999"):
        api("GET", f"/rest/api/group{query}")
    for row in world.group_order()[:40]:
        group = world.group_id(row)
        api("GET", f"/rest/api/group/by-id?id={group}")
        api("GET", f"/rest/api/group/{group}/membersByGroupId?expand=operations&shouldReturnTotalSize=true")
        api("GET", f"/rest/api/group/{group}/membersByGroupId?limit=2&start=2")
    api("GET", "/rest/api/group/picker?query=e&limit=2&shouldReturnTotalSize=true")
    for account in people[:40]:
        api("GET", f"/rest/api/user?accountId={account}&expand=operations,personalSpace")
        api("GET", f"/rest/api/user/memberof?accountId={account}&limit=1")
    api("GET", "/rest/api/user/current?expand=operations")
    api("GET", "/rest/api/user/bulk", params=[("accountId", a) for a in people])
    api("POST", "/api/v2/users-bulk", json={"accountIds": people})
    group = world.find_group(world.create_group("contract")).group_id
    api("POST", f"/rest/api/group/userByGroupId?groupId={group}", json={"accountId": people[3]})
    api("DELETE", f"/rest/api/group/userByGroupId?groupId={group}&accountId={people[3]}")
    made = api("POST", "/rest/api/group", json={"name": "contract two"}).json()["id"]
    api("DELETE", f"/rest/api/group/by-id?id={made}")
    api("GET", "/rest/api/search?cql=type=page&limit=5")
    api("GET", "/rest/api/search/user?cql=type=user&limit=5&sitePermissionTypeFilter=all")
    for query in ("", "?limit=2", "?type=personal", "?status=archived", "?sort=-name"):
        api("GET", f"/api/v2/spaces{query}")
    for space in world.spaces[:20]:
        for part in ("", "/permissions", "/permissions?limit=1", "/role-assignments", "/pages?body-format=storage"):
            api("GET", f"/api/v2/spaces/{space.space_id}{part}")
    api("GET", "/api/v2/pages?limit=250&status=current&status=archived")
    api("GET", f"/api/v2/pages/{int(world.spaces[0].space_id) + 1}?body-format=storage")
    api("GET", "/api/v2/space-role-mode")
    roles = api("GET", "/api/v2/space-roles?limit=2").json().get("results", [])
    for role in roles[:1]:
        api("GET", f"/api/v2/space-roles/{role['id']}")


def test_every_named_deviation_is_met(api: Api) -> None:
    world, judge = api.site.world, Judge()
    api.site.observers.append(judge.observe)
    api("GET", "/rest/api/group", cloud_id="none")
    api.v1("/group", limit="many")
    api.site.switches.seats = 0
    api.add("confluence-users", world.account("outsider"))
    for space in world.spaces:
        api("GET", f"/api/v2/spaces/{space.space_id}/permissions?limit=250")
    api.site.switches.space_role_mode = "ROLES"
    for role in api("GET", "/api/v2/space-roles").json()["results"]:
        api("GET", f"/api/v2/space-roles/{role['id']}")
    api.walk("/group?limit=10")
    assert judge.settle() == []
    assert set(judge.met) == {deviation.name for deviation in DEVIATIONS}
    assert all(deviation.source for deviation in DEVIATIONS)


def changed(exchange: Exchange, **row: object) -> Exchange:
    body = json.loads(exchange.body)
    for name, value in row.items():
        if value is None:
            body["results"][0].pop(name, None)
        else:
            body["results"][0][name] = value
    return dataclasses.replace(exchange, body=json.dumps(body).encode())


def test_the_judge_notices_what_is_wrong(api: Api) -> None:
    seen: list[Exchange] = []
    api.site.observers.append(seen.append)
    api.v1("/group", limit=2)
    api("POST", "/api/v2/users-bulk", json={"accountIds": [api.site.account_id]})
    api.remove("marketing", api.site.account_id)
    groups, users, removal = seen

    def told(exchange: Exchange) -> str:
        judge = Judge()
        judge.observe(exchange)
        return " ".join(judge.settle())

    assert told(groups) == told(users) == ""
    assert "'name' is a required property" in told(changed(groups, name=None))
    assert "7 is not of type 'string'" in told(changed(groups, id=7))
    assert "is not one of" in told(changed(groups, managedBy="NOBODY"))
    assert "is not one of" in told(changed(users, accountStatus="asleep"))
    assert told(changed(groups, resourceAri="unknown fields are welcome", surprise=[1])) == ""
    assert "status 418 is not documented" in told(dataclasses.replace(groups, status=418))
    assert "parameter acessType is not documented" in told(dataclasses.replace(groups, query="acessType=user"))
    assert "request:" in told(dataclasses.replace(groups, query="limit=many"))
    assert "key parameter is deprecated" in told(dataclasses.replace(removal, query=removal.query + "&key=2"))
    assert "request:" in told(dataclasses.replace(users, request_body=b'{"accountIds": "one"}'))
    assert "not documented" in told(dataclasses.replace(groups, path=groups.path.replace("/group", "/nothing")))
    # Damage that a test ordered is no violation.
    assert told(dataclasses.replace(changed(groups, id=7), broken="wrong-ids")) == ""
