"""The practice instance: the Table API with its quirks, the platform's rules, and the import that runs none of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from spokekit.errors import InputError
from spokekit.practice import PracticeInstance
from spokekit.practice.instance import RemoteInstance
from spokekit.practice.instance.tables import PARENT_ALIAS_ID

JSON = {"Accept": "application/json"}


@pytest.fixture(scope="module")
def served() -> Iterator[PracticeInstance]:
    with PracticeInstance() as running:
        yield running


@pytest.fixture
def instance(served: PracticeInstance) -> PracticeInstance:
    """The instance as it is delivered."""
    fresh = PracticeInstance()
    served.data, served.faults, served.switches = fresh.data, set(), fresh.switches
    return served


def ask(instance: PracticeInstance, table: str, **query: str) -> httpx2.Response:
    headers = JSON | {"x-sn-apikey": instance.api_key}
    return httpx2.get(f"{instance.url}api/now/table/{table}", params=query, headers=headers, trust_env=False)


def post(instance: PracticeInstance, table: str, **values: Any) -> httpx2.Response:
    headers = JSON | {"x-sn-apikey": instance.api_key}
    return httpx2.post(f"{instance.url}api/now/table/{table}", json=values, headers=headers, trust_env=False)


def test_a_body_that_is_too_deep_is_refused(instance: PracticeInstance) -> None:
    headers = JSON | {"x-sn-apikey": instance.api_key}
    answer = httpx2.post(f"{instance.url}api/now/table/sys_alias", content=b"[" * 100_000, headers=headers)
    assert (answer.status_code, instance.defects) == (400, [])


def test_paging_has_links_and_a_count(instance: PracticeInstance) -> None:
    for number in range(25):
        instance.data.put("oauth_entity_scope", {"name": f"s{number:02}"}, f"{number:032x}")
    first = ask(instance, "oauth_entity_scope", sysparm_limit="10", sysparm_query="nameSTARTSWITHs^ORDERBYDESCname")
    assert [row["name"] for row in first.json()["result"]][:2] == ["s24", "s23"]
    assert first.headers["x-total-count"] == "25"
    link = first.headers["link"]
    assert 'sysparm_offset=10>;rel="next"' in link
    assert 'sysparm_offset=20>;rel="last"' in link
    last = ask(
        instance,
        "oauth_entity_scope",
        sysparm_limit="10",
        sysparm_offset="20",
        sysparm_suppress_pagination_header="true",
    )
    assert len(last.json()["result"]) == 5
    assert "link" not in last.headers


def test_a_part_of_a_query_that_is_not_understood_is_ignored(instance: PracticeInstance) -> None:
    for name in ("a", "b"):
        instance.data.put("oauth_entity", {"name": name}, name * 32)
    assert len(ask(instance, "oauth_entity", sysparm_query="nmae=a").json()["result"]) == 2
    assert len(ask(instance, "oauth_entity", sysparm_query="name=a^ORname=b^active!=true").json()["result"]) == 2
    assert len(ask(instance, "oauth_entity", name="a").json()["result"]) == 1
    instance.switches.invalid_query_returns_no_rows = True
    assert ask(instance, "oauth_entity", sysparm_query="nmae=a").json()["result"] == []


def test_references_and_display_values(instance: PracticeInstance) -> None:
    instance.data.put("oauth_entity", {"name": "App"}, "a" * 32)
    instance.data.put("oauth_entity_profile", {"name": "p", "oauth_entity": "a" * 32}, "b" * 32)

    def field(**query: str) -> Any:
        return ask(instance, "oauth_entity_profile", sysparm_fields="oauth_entity,nothing", **query).json()["result"][0]

    link = f"{instance.url}api/now/table/oauth_entity/{'a' * 32}"
    assert field() == {"oauth_entity": {"link": link, "value": "a" * 32}}
    assert field(sysparm_exclude_reference_link="true") == {"oauth_entity": "a" * 32}
    assert field(sysparm_display_value="true") == {"oauth_entity": {"display_value": "App", "link": link}}
    every = field(sysparm_display_value="all")["oauth_entity"]
    assert (every["display_value"], every["value"]) == ("App", "a" * 32)


def test_refusals(instance: PracticeInstance) -> None:
    address = f"{instance.url}api/now/table/oauth_entity"
    basic = base64.b64encode(f"admin:{instance.password}".encode()).decode()
    nobody = httpx2.get(address, headers=JSON, trust_env=False)
    restricted = httpx2.get(address, headers=JSON | {"Authorization": f"Basic {basic}"}, trust_env=False)
    assert nobody.status_code == restricted.status_code == 401
    assert nobody.json()["error"]["message"] == "User Not Authenticated"
    instance.switches.basic_restricted = False
    assert httpx2.get(address, headers=JSON | {"Authorization": f"Basic {basic}"}, trust_env=False).status_code == 200
    unknown = ask(instance, "no_such_table")
    assert (unknown.status_code, unknown.json()["error"]["message"]) == (400, "Invalid table no_such_table")
    instance.switches.hidden_tables = frozenset(("oauth_entity",))
    assert ask(instance, "oauth_entity").status_code == 400
    assert ask(instance, "sys_db_object", sysparm_query="name=oauth_entity").json()["result"] == []
    instance.faults = {"denied:sys_alias"}
    assert ask(instance, "sys_alias").status_code == 403
    instance.faults = {"hidden:sys_alias"}
    hidden = ask(instance, "sys_alias")
    assert hidden.json()["result"] == []
    assert hidden.headers["x-total-count"] == "1"
    instance.faults = {"busy"}
    assert ask(instance, "sys_alias").headers["retry-after"] == "30"
    instance.faults = {"asleep"}
    asleep = ask(instance, "sys_alias")
    assert asleep.status_code == 200
    assert asleep.headers["content-type"].startswith("text/html")


def test_tokens_keys_and_sessions_let_in(instance: PracticeInstance) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": instance.client_id,
        "client_secret": instance.client_secret,
    }
    token = httpx2.post(f"{instance.url}oauth_token.do", data=form, trust_env=False).json()["access_token"]
    address = f"{instance.url}api/now/table/sys_alias"
    for header in ({"Authorization": f"Bearer {token}"}, {"Cookie": f"JSESSIONID={instance.session}"}):
        assert httpx2.get(address, headers=JSON | header, trust_env=False).status_code == 200
    wrong = httpx2.post(f"{instance.url}oauth_token.do", data=form | {"client_secret": "x"}, trust_env=False)
    assert wrong.status_code == 401
    assert instance.client_secret not in repr(instance.requests)


def test_the_rules_of_the_platform_run_by_table_api(instance: PracticeInstance) -> None:
    made = post(instance, "oauth_entity", name="App", default_grant_type="authorization_code", client_secret="hidden-1")
    assert made.status_code == 201
    assert made.headers["location"].endswith(made.json()["result"]["sys_id"])
    assert "hidden-1" not in made.text
    registry = made.json()["result"]["sys_id"]
    profile = ask(instance, "oauth_entity_profile", oauth_entity=registry).json()["result"]
    assert [row["default"] for row in profile] == ["true"]
    second = post(instance, "oauth_entity_profile", oauth_entity=registry, default="true")
    assert (second.status_code, second.json()["error"]["detail"]) == (
        403,
        "There is already a default profile for this registry",
    )
    child = post(instance, "sys_alias", name="Berlin", parent=instance.parent_sys_id, id="mine").json()["result"]
    assert child["id"] == "sn_conflunce_spoke.Berlin"
    assert child["connection_type"] == "http_connection"
    assert post(instance, "http_connection", name="One", connection_alias=child["sys_id"]).status_code == 201
    assert post(instance, "http_connection", name="Two", connection_alias=child["sys_id"]).status_code == 403
    assert post(instance, "http_connection", name="one").status_code == 403
    instance.switches.default_profile_made = False
    bare = post(instance, "oauth_entity", name="Other").json()["result"]["sys_id"]
    assert ask(instance, "oauth_entity_profile", oauth_entity=bare).json()["result"] == []


def test_an_import_runs_no_rule_and_loses_passwords(instance: PracticeInstance) -> None:
    written = instance.import_xml(
        '<unload><oauth_entity action="INSERT_OR_UPDATE"><sys_id>' + "a" * 32 + "</sys_id><name>A &amp; B</name>"
        "<client_secret>hidden-2</client_secret><no_column>x</no_column></oauth_entity></unload>"
    )
    assert written == [("oauth_entity", "a" * 32)]
    row = instance.data.rows["oauth_entity"]["a" * 32]
    assert row["name"] == "A & B"
    assert "hidden-2" not in str(row)
    assert "no_column" not in row
    assert instance.data.rows["oauth_entity_profile"] == {}
    broken = (
        "<unload><http_connection><name>C</name><credential>" + "f" * 32 + "</credential></http_connection></unload>"
    )
    instance.import_xml(broken)
    assert instance.import_xml(broken) != []
    assert len(instance.data.rows["http_connection"]) == 2
    for text in ("not xml", "<unload/>", "<unload><nothing><a>1</a></nothing></unload>", "<!DOCTYPE a><unload/>"):
        with pytest.raises(InputError):
            instance.import_xml(text)


def test_the_page_opens_by_its_link_and_shows_names_as_text(instance: PracticeInstance) -> None:
    instance.data.put("oauth_entity", {"name": "<script>alert(1)</script>", "client_secret": "hidden-3"}, "a" * 32)
    instance.data.put("http_connection", {"name": "C", "credential": "f" * 32}, "b" * 32)
    assert httpx2.get(f"{instance.url}records", trust_env=False).status_code == 403
    link = instance.page()
    with httpx2.Client(follow_redirects=True, trust_env=False) as browser:
        page = browser.get(link)
        assert page.status_code == 200
        assert "&lt;script&gt;" in page.text
        assert "<script" not in page.text
        assert "hidden-3" not in page.text
        assert "there is no such record" in page.text
        assert PARENT_ALIAS_ID in page.text
        record = "<unload><oauth_entity><name>New</name></oauth_entity></unload>"
        assert "Records imported: 1." in browser.post(f"{instance.url}records", data={"xml": record}).text
        assert "This is not XML" in browser.post(f"{instance.url}records", data={"xml": "x"}).text
    assert httpx2.get(link, trust_env=False).status_code == 403


def test_another_process_imports_and_makes_it_a_clone(instance: PracticeInstance) -> None:
    there = RemoteInstance.of({"SPOKEKIT_INSTANCE": json.dumps(instance.describe())})
    assert there is not None
    assert there.parent_sys_id == instance.parent_sys_id
    record = f"<unload><oauth_entity><sys_id>{'a' * 32}</sys_id><name>App</name></oauth_entity></unload>"
    assert there.import_xml(record) == [("oauth_entity", "a" * 32)]
    there.become_a_clone()
    row = instance.data.rows["oauth_entity"]["a" * 32]
    assert row["redirect_url"] == "https://production.service-now.com/oauth_redirect.do"
    with pytest.raises(InputError, match="This is not XML"):
        there.import_xml("x")
    stranger = RemoteInstance(instance.describe() | {"api_key": "x"})
    with pytest.raises(InputError, match="User Not Authenticated"):
        stranger.become_a_clone()
    assert RemoteInstance.of({}) is None
    with pytest.raises(InputError, match="SPOKEKIT_INSTANCE does not hold"):
        RemoteInstance.of({"SPOKEKIT_INSTANCE": "[]"})


def test_wrong_faults_switches_and_ports_are_a_sentence(instance: PracticeInstance) -> None:
    for fault in ("nothing", "denied", "asleep:sys_alias"):
        with pytest.raises(InputError, match="has no fault"):
            PracticeInstance(faults=[fault])
    with pytest.raises(InputError, match="no such switch"):
        PracticeInstance(colour="red")
    with pytest.raises(InputError, match="practice instance cannot use port"):
        PracticeInstance(port=instance.port).start()
