"""Comparing an instance with the plan: each drift is named, nothing else is, and a refusal is no missing record."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spokekit._secret import Secret
from spokekit._workspace import Workspace
from spokekit.cli import main
from spokekit.connections.aliases import PARENT_ALIAS_ID, Alias
from spokekit.connections.connection import Connection, ConnectionDraft
from spokekit.errors import InputError, RateLimited, ServiceError, TokenRejected, TransportError, UnexpectedAnswer
from spokekit.handover import Group, Part, Plan, files, make_plan
from spokekit.handover import records as rec
from spokekit.handover.client import SignIn, check_address
from spokekit.handover.compare import compare
from spokekit.handover.page import to_folder
from spokekit.handover.plan import _records
from spokekit.practice import PracticeInstance
from spokekit.practice.instance.tables import GROUPS, Row

Rows = dict[str, dict[str, Row]]


@pytest.fixture(scope="module")
def served() -> Iterator[PracticeInstance]:
    with PracticeInstance() as running:
        yield running


def fresh(instance: PracticeInstance, plan: Plan | None = None) -> PracticeInstance:
    """Return `instance` as delivered, with what a plan imports and its groups."""
    new = PracticeInstance()
    instance.data, instance.faults, instance.switches = new.data, set(), new.switches
    if plan is not None:
        for name, data in files(plan).items():
            if name.startswith("unload/"):
                instance.import_xml(data)
        for part in plan.parts:
            for group in part.groups:
                instance.data.put(
                    GROUPS, {"group_id": group.group_id, "group_name": group.name}, rec.sys_id("g", group.group_id)
                )
    return instance


def one_plan(
    instance: PracticeInstance,
    names: tuple[str, ...] = ("Main", "Berlin"),
    scopes: tuple[str, ...] = ("read:me", "offline_access"),
) -> Plan:
    """Return a plan without a store: the first connection is the default alias's, the others are children."""
    parts = [_part(instance, name, number, scopes) for number, name in enumerate(names)]
    return Plan(tuple(parts), "", instance.parent_sys_id)


def _part(instance: PracticeInstance, name: str, number: int, scopes: tuple[str, ...]) -> Part:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    alias_id = f"sn_conflunce_spoke.Child_{number}" if number else PARENT_ALIAS_ID
    above = PARENT_ALIAS_ID if number else None
    alias = Alias(alias_id, name, above, "connection", "http_connection", False, "", "", now)
    connection = Connection(
        connection_id=str(number),
        alias_id=alias_id,
        name=name,
        url="https://api.atlassian.com/",
        auth_url="https://auth.atlassian.com/",
        scopes=scopes,
        client_id="here",
        redirect_uri="",
        cloud_id=None,
        site_name=None,
        site_url=None,
        account_id=None,
        account_name=None,
        active=True,
        pkce=False,
        created_at=now,
        updated_at=now,
    )
    made, by_hand = _records(alias, connection, "", instance.parent_sys_id, "app", "consent")
    groups = (Group(f"g-{number}", f"staff {number}"),)
    return Part(name, alias_id, name, bool(number), "consent", "", scopes, tuple(made), groups, by_hand)


def look(instance: PracticeInstance, plan: Plan) -> pd.DataFrame:
    return compare(plan, instance.url, SignIn("api-key", Secret(instance.api_key)))


def named(frame: pd.DataFrame) -> list[tuple[str, str, str]]:
    return [(str(row["kind"]), str(row["table"]), row["column"]) for row in frame.to_dict("records")]


def first(rows: dict[str, Row], name: str) -> Row:
    return next(row for row in rows.values() if row.get("name", "").startswith(name))


def change(table: str, column: str, value: str) -> Callable[[Rows, str], None]:
    return lambda rows, name: first(rows[table], name).update({column: value})


def remove(table: str) -> Callable[[Rows, str], None]:
    def act(rows: Rows, name: str) -> None:
        del rows[table][first(rows[table], name)["sys_id"]]

    return act


def _registry(rows: Rows, name: str) -> str:
    return first(rows["oauth_entity"], name)["sys_id"]


def _scope(rows: Rows, name: str) -> Row:
    own = _registry(rows, name)
    return next(row for row in rows["oauth_entity_scope"].values() if row["oauth_entity"] == own)


def _lose_scope(rows: Rows, name: str) -> None:
    own = _registry(rows, name)
    gone = next(key for key, row in rows["oauth_entity_scope"].items() if row["oauth_entity"] == own)
    del rows["oauth_entity_scope"][gone]


def _more_scope(rows: Rows, name: str) -> None:
    rows["oauth_entity_scope"]["9" * 32] = {
        "sys_id": "9" * 32,
        "name": "write:page",
        "oauth_entity_scope": "write:page",
        "oauth_entity": _registry(rows, name),
    }


def _unlink(rows: Rows, name: str, *, every: bool) -> None:
    profile = first(rows["oauth_entity_profile"], name)["sys_id"]
    own = [key for key, row in rows["oauth_entity_profile_scope"].items() if row["oauth_entity_profile"] == profile]
    for key in own if every else own[:1]:
        del rows["oauth_entity_profile_scope"][key]


def _second_default(rows: Rows, name: str) -> None:
    row = dict(first(rows["oauth_entity_profile"], name)) | {"sys_id": "8" * 32, "name": "second"}
    rows["oauth_entity_profile"]["8" * 32] = row


def _second_connection(rows: Rows, name: str) -> None:
    row = dict(first(rows["http_connection"], name)) | {"sys_id": "7" * 32, "name": "another"}
    rows["http_connection"]["7" * 32] = row


def _another_alias(rows: Rows, name: str) -> None:
    parent = next(key for key, row in rows["sys_alias"].items() if row["id"].endswith(".Confluence_Cloud"))
    rows["sys_alias"]["6" * 32] = {
        "sys_id": "6" * 32,
        "name": "Rome",
        "id": "sn_conflunce_spoke.Rome",
        "parent": parent,
    }


def _group(act: str) -> Callable[[Rows, str], None]:
    def acted(rows: Rows, name: str) -> None:
        key = next(iter(rows[GROUPS]))
        if act == "lost":
            del rows[GROUPS][key]
        elif act == "more":
            rows[GROUPS]["5" * 32] = {"sys_id": "5" * 32, "group_id": "g-x", "group_name": "x"}
        else:
            rows[GROUPS][key]["group_name"] = "renamed"

    return acted


DRIFTS: dict[str, tuple[Callable[[Rows, str], None], tuple[str, str, str]]] = {
    "URL": (
        change("http_connection", "connection_url", "https://api.atlassian.com/ex/jira/1"),
        ("different", "http_connection", "connection_url"),
    ),
    "inactive connection": (change("http_connection", "active", "false"), ("orphaned", "http_connection", "active")),
    "no connection": (remove("http_connection"), ("missing", "http_connection", "")),
    "two connections": (_second_connection, ("extra", "http_connection", "")),
    "no alias on it": (
        change("http_connection", "connection_alias", ""),
        ("different", "http_connection", "connection_alias"),
    ),
    "no credential on it": (change("http_connection", "credential", ""), ("orphaned", "http_connection", "credential")),
    "credential is gone": (remove("oauth_2_0_credentials"), ("missing", "oauth_2_0_credentials", "")),
    "inactive credential": (
        change("oauth_2_0_credentials", "active", "false"),
        ("orphaned", "oauth_2_0_credentials", "active"),
    ),
    "no profile on it": (
        change("oauth_2_0_credentials", "oauth_entity_profile", "f" * 32),
        ("orphaned", "oauth_2_0_credentials", "oauth_entity_profile"),
    ),
    "profile is gone": (remove("oauth_entity_profile"), ("missing", "oauth_entity_profile", "")),
    "grant of the profile": (
        change("oauth_entity_profile", "grant_type", "client_credentials"),
        ("different", "oauth_entity_profile", "grant_type"),
    ),
    "two defaults": (_second_default, ("orphaned", "oauth_entity", "default")),
    "no default": (change("oauth_entity_profile", "default", "false"), ("orphaned", "oauth_entity", "default")),
    "registry is gone": (remove("oauth_entity"), ("missing", "oauth_entity", "")),
    "inactive registry": (change("oauth_entity", "active", "false"), ("orphaned", "oauth_entity", "active")),
    "token URL": (
        change("oauth_entity", "token_url", "https://x.example/"),
        ("different", "oauth_entity", "token_url"),
    ),
    "client ID": (change("oauth_entity", "client_id", ""), ("different", "oauth_entity", "client_id")),
    "authorization URL": (
        change("oauth_entity", "auth_url", "https://auth.example/authorize"),
        ("different", "oauth_entity", "auth_url"),
    ),
    "grant of the registry": (
        change("oauth_entity", "default_grant_type", "client_credentials"),
        ("different", "oauth_entity", "default_grant_type"),
    ),
    "type of the registry": (change("oauth_entity", "type", "jwt"), ("different", "oauth_entity", "type")),
    "registry renamed": (
        lambda rows, name: first(rows["oauth_entity"], name).update({"name": "renamed"}),
        ("different", "oauth_entity", "name"),
    ),
    "credential renamed": (
        lambda rows, name: first(rows["oauth_2_0_credentials"], name).update({"name": "renamed"}),
        ("different", "oauth_2_0_credentials", "name"),
    ),
    "connection renamed": (
        lambda rows, name: first(rows["http_connection"], name).update({"name": "renamed"}),
        ("different", "http_connection", "name"),
    ),
    "scope without its text": (
        lambda rows, name: _scope(rows, name).update({"oauth_entity_scope": ""}),
        ("different", "oauth_entity_scope", "oauth_entity_scope"),
    ),
    "scope lost": (_lose_scope, ("missing", "oauth_entity_scope", "")),
    "scope more": (_more_scope, ("extra", "oauth_entity_scope", "")),
    "scope unlinked": (
        lambda rows, name: _unlink(rows, name, every=False),
        ("missing", "oauth_entity_profile_scope", ""),
    ),
    "no scopes": (lambda rows, name: _unlink(rows, name, every=True), ("orphaned", "oauth_entity_profile", "scopes")),
    "another alias": (_another_alias, ("extra", "sys_alias", "")),
    "group lost": (_group("lost"), ("missing", "groups table", "")),
    "group more": (_group("more"), ("extra", "groups table", "")),
    "group renamed": (_group("renamed"), ("different", "groups table", "name")),
}


@given(
    names=st.lists(
        st.sampled_from(["Main", "Berlin", "Rome & Co", "Ωmega", "x" * 60]), min_size=1, max_size=3, unique=True
    ),
    scopes=st.lists(
        st.sampled_from(["read:me", "offline_access", "search:confluence", "ace:confluence"]), min_size=2, unique=True
    ),
    drift=st.sampled_from(["", *DRIFTS]),
    where=st.integers(0, 2),
)
@settings(max_examples=25)
def test_one_drift_is_named_and_nothing_else(
    served: PracticeInstance, names: list[str], scopes: list[str], drift: str, where: int
) -> None:
    plan = one_plan(served, tuple(names), tuple(scopes))
    fresh(served, plan)
    if not drift:
        assert named(look(served, plan)) == []
        return
    act, wanted = DRIFTS[drift]
    act(served.data.rows, names[where % len(names)])
    assert named(look(served, plan)) == [wanted]


@pytest.mark.parametrize("drift", DRIFTS)
def test_each_drift_says_what_it_means_and_what_to_do(served: PracticeInstance, drift: str) -> None:
    plan = one_plan(served)
    act, wanted = DRIFTS[drift]
    act(fresh(served, plan).data.rows, "Berlin")
    frame = look(served, plan)
    assert named(frame) == [wanted]
    assert frame["means"][0]
    assert frame["do"][0]
    assert frame.attrs["completeness"]["complete"]


def test_an_instance_without_anything_lacks_the_records_and_a_clone_has_the_wrong_redirect(
    served: PracticeInstance,
) -> None:
    plan = one_plan(served, ("Main",))
    missing = named(look(fresh(served), plan))
    assert missing == [
        ("missing", table, "")
        for table in (
            "http_connection",
            "oauth_2_0_credentials",
            "oauth_entity_profile",
            "oauth_entity",
            "groups table",
        )
    ]
    fresh(served, plan)
    clone = Plan(plan.parts, "acmetest", plan.parent_sys_id)
    first(served.data.rows["oauth_entity"], "Main")["redirect_url"] = "https://acme.service-now.com/oauth_redirect.do"
    frame = look(served, clone)
    assert named(frame) == [("different", "oauth_entity", "redirect_url")]
    assert "after a clone" in frame["means"][0]


@pytest.mark.parametrize(
    ("fault", "switches", "words", "table"),
    [
        ("denied:oauth_entity", {}, "does not let this account read oauth_entity", "oauth_entity"),
        (
            "hidden:oauth_entity_profile",
            {},
            "counts 2 rows in oauth_entity_profile and shows 0",
            "oauth_entity_profile",
        ),
        ("hidden:http_connection", {}, "counts 2 rows", "http_connection"),
        (
            "",
            {"hidden_tables": frozenset(("oauth_entity_scope",))},
            "names no table oauth_entity_scope",
            "oauth_entity_scope",
        ),
        ("", {"hidden_columns": frozenset(("oauth_entity.token_url",))}, "no column token_url", "oauth_entity"),
        (
            "",
            {"hidden_columns": frozenset(("sys_connection.connection_alias",))},
            "no column connection_alias",
            "http_connection",
        ),
        ("", {"hidden_columns": frozenset(("sys_dictionary.name",))}, "left a part of the query", "sys_dictionary"),
        ("denied:sys_dictionary", {}, "does not let this account read sys_dictionary", "sys_dictionary"),
        ("", {"hidden_tables": frozenset((GROUPS,))}, "was not found on the instance", "groups table"),
    ],
)
def test_what_cannot_be_read_is_said_and_never_missing(
    served: PracticeInstance, fault: str, switches: dict[str, Any], words: str, table: str
) -> None:
    plan = one_plan(served)
    fresh(served, plan)
    served.faults = {fault} - {""}
    for name, value in switches.items():
        setattr(served.switches, name, value)
    frame = look(served, plan)
    assert [(kind, where) for kind, where, _ in named(frame)] == [("unreadable", table)]
    assert words in frame["means"][0]
    assert frame["do"][0]
    assert not frame.attrs["completeness"]["complete"]


@pytest.mark.parametrize("count", [499, 500, 700, 1200])
def test_pages_that_do_not_move_on_are_said_and_no_row_is_read_twice(served: PracticeInstance, count: int) -> None:
    plan = one_plan(served)
    fresh(served, plan)
    for number in range(count - len(served.data.rows["oauth_entity_scope"])):
        served.data.put("oauth_entity_scope", {"name": f"other {number}"}, f"{number:032x}")
    assert named(look(served, plan)) == []
    served.faults = {"repeats"}
    frame = look(served, plan)
    assert frame.attrs["completeness"]["complete"] == (count <= 500)
    assert {str(row["kind"]) for row in frame.to_dict("records")} <= {"unreadable"}
    assert count <= 500 or "same rows of oauth_entity_scope again" in frame["means"][0]


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("asleep", UnexpectedAnswer, "Instance Hibernating page.*goes to sleep"),
        ("busy", RateLimited, "slow down.*30 s"),
        ("down", ServiceError, "answered 503"),
    ],
)
def test_an_instance_that_gives_no_data_is_an_error_of_its_own(
    served: PracticeInstance, fault: str, kind: type[Exception], words: str
) -> None:
    plan = one_plan(served)
    fresh(served, plan).faults = {fault}
    with pytest.raises(kind, match=words):
        look(served, plan)


def test_every_way_to_sign_in_and_its_refusal(served: PracticeInstance) -> None:
    plan = one_plan(served)
    fresh(served, plan)
    good = {"oauth": served.client_secret, "api-key": served.api_key, "session": f"JSESSIONID={served.session}; x=1"}
    for kind, secret in good.items():
        sign_in = SignIn(kind, Secret(secret), served.client_id)  # type: ignore[arg-type]
        assert compare(plan, served.url, sign_in).empty
        assert secret not in repr(sign_in)
        with pytest.raises(TokenRejected) as refused:
            compare(plan, served.url, SignIn(kind, Secret("planted-77"), served.client_id))  # type: ignore[arg-type]
        assert "planted-77" not in str(refused.value)
    with pytest.raises(TransportError, match=r"127\.0\.0\.1:9"):
        compare(plan, "http://127.0.0.1:9/", SignIn("api-key", Secret("x")))


def test_addresses() -> None:
    assert check_address("acme") == check_address(" https://ACME.service-now.com/ ") == "https://acme.service-now.com/"
    for wrong, words in {
        "https://admin:pw@acme.service-now.com": "name and a password.*basic authentication",
        "http://acme.service-now.com": "begins with https",
        "https://acme.service-now.com/now/nav": "not the address",
        "": "not the address",
        "https://[": "not the address",
    }.items():
        with pytest.raises(InputError, match=words) as refused:
            check_address(wrong)
        assert "admin:pw" not in str(refused.value)
    plan = Plan((), "acme")
    with pytest.raises(InputError, match="The plan is for acme"):
        from spokekit.handover.compare import redirect_url_of

        redirect_url_of("https://other.service-now.com", plan)


def test_the_drift_is_a_page_with_names_as_text(served: PracticeInstance, tmp_path: Path) -> None:
    plan = one_plan(served, ("Main", "Berlin"))
    fresh(served, plan)
    first(served.data.rows["http_connection"], "Main")["connection_url"] = "https://x.example/<script>alert(1)</script>"
    written = to_folder(look(served, plan), plan, served.url, tmp_path / "out")
    page, workbook = (path.read_bytes() for path in reversed(written.paths))
    assert b"&lt;script&gt;alert(1)" in page
    assert b"<script" not in page
    assert b"ex/jira and the site" in page
    assert workbook.startswith(b"PK")
    to_folder(look(fresh(served, plan), plan), plan, served.url, tmp_path / "out")
    assert "No drift: the instance is as planned" in (tmp_path / "out" / "drift.html").read_text()
    with pytest.raises(InputError, match="cannot be made"):
        to_folder(look(served, plan), plan, served.url, tmp_path / "out" / "drift.html" / "x")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[Any, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    said = capsys.readouterr()
    return stop.value.code, said.out, said.err


def test_on_the_command_line(
    workspace: Workspace, served: PracticeInstance, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.connections.add(ConnectionDraft(client_id="here"))
    plan = make_plan(workspace.store, parent_sys_id=served.parent_sys_id, client_id="app")
    fresh(served, plan)
    key = tmp_path / "key"
    key.write_text(f"{served.api_key}\n")
    key.chmod(0o600)
    base = ("handover", "compare", "--instance", served.url)
    code, out, err = run(capsys, *base, "--api-key-file", str(key), "--app-id", "app")
    assert (code or 0, out) == (0, "")
    assert "The instance is as planned." in err
    first(served.data.rows["http_connection"], "Confluence")["active"] = "false"
    code, out, _ = run(capsys, *base, "--api-key-file", str(key), "--app-id", "app", "--format", "json")
    assert not code
    assert [row["kind"] for row in json.loads(out)] == ["orphaned"]
    served.faults = {"denied:oauth_entity"}
    code, out, err = run(capsys, *base, "--api-key-file", str(key), "--format", "csv", "--out", str(tmp_path / "drift"))
    assert code == 3
    page = (tmp_path / "drift" / "drift.html").read_text()
    assert "INCOMPLETE. The instance does not let this account read oauth_entity." in page
    assert served.url in page
    assert served.api_key not in page
    assert (tmp_path / "drift" / "drift.xlsx").exists()
    assert "unreadable" in out
    assert served.api_key not in out + err
    for more in ((), ("--client-id", "x"), ("--api-key-file", str(key), "--session-file", str(key))):
        code, _, err = run(capsys, *base, *more)
        assert code == 1
        assert "not clear how to sign in" in err
    empty = tmp_path / "empty"
    empty.touch()
    for path, words in ((empty, "API key is empty"), (tmp_path / "none", "cannot be read")):
        code, _, err = run(capsys, *base, "--api-key-file", str(path))
        assert code == 1
        assert words in err
