"""The folder of a hand-over: everything that an instance needs, nothing secret, and names are text in every format."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spokekit._secret import Secret
from spokekit._workspace import Workspace
from spokekit.cli import main
from spokekit.connections.connection import ConnectionDraft
from spokekit.errors import InputError, NotConfigured, NotFound
from spokekit.handover import Group, Part, Plan, Record, as_json, files, make_plan, schema, write
from spokekit.handover import records as rec

PARENT = "0123456789abcdef" * 2
PLANTED = "planted-secret-77"


def configured(workspace: Workspace) -> Workspace:
    """Return a workspace with a connection, a child of it with other scopes, planted secrets and two groups."""
    first = workspace.connections.add(ConnectionDraft(client_id="an-app"))
    workspace.connections.add_child(
        ConnectionDraft(name="Berlin", client_id="other-app", scopes="read:confluence-groups, offline_access")
    )
    workspace.tokens.set_client_secret(first, Secret(PLANTED))
    workspace.tokens.save_grant(
        first, {"access_token": f"{PLANTED}-a", "refresh_token": f"{PLANTED}-r", "expires_in": 3600, "scope": "read:me"}
    )
    site = workspace.connections.set_site(first.connection_id, "c-1", "Acme", "https://acme.atlassian.net")
    groups = pd.DataFrame({"group_id": ["g-1", "g-2"], "name": ["staff", "=cmd|' /C calc'!A0"]})
    workspace.registry(site.name).add(["g-1", "g-2"], groups=groups)
    return workspace


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[Any, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    said = capsys.readouterr()
    return stop.value.code, said.out, said.err


def test_the_folder_holds_all_artefacts_and_nothing_secret(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configured(workspace)
    target = tmp_path / "out"
    code, printed, said = run(
        capsys, "handover", "plan", "--out", str(target), "--instance", "acme", "--parent-alias", PARENT
    )
    assert not code, said
    assert printed.strip() == str(target)
    there = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert there >= {"checklist.md", "records.json", "groups.csv", "fluent/package.json", "unload/01-oauth_entity.xml"}
    for path in target.rglob("*"):
        assert path.is_dir() or PLANTED not in path.read_text(encoding="utf-8"), path
    assert PLANTED not in printed + said
    assert "runs no business rules" in said
    assert "No group is registered for “Berlin”" in said
    plan = json.loads((target / "records.json").read_text(encoding="utf-8"))
    jsonschema.validate(plan, json.loads((target / "records.schema.json").read_text(encoding="utf-8")))
    assert [one["name"] for one in plan["connections"]] == ["Confluence Cloud Spoke Connection", "Berlin"]
    berlin = plan["connections"][1]
    tables = [record["table"] for record in berlin["records"]]
    assert tables.count("oauth_entity_scope") == tables.count("oauth_entity_profile_scope") == 2
    assert "sys_alias" in tables


def test_the_checklist_goes_in_order_and_ends_with_secret_and_token(workspace: Workspace) -> None:
    plan = make_plan(configured(workspace).store, ["Confluence Cloud Spoke Connection"], instance="acme")
    text = files(plan)["checklist.md"].decode()
    steps = re.findall(r"^\d+\. \[ \] \*\*([^*]+?)[.,]", text, re.MULTILINE)
    assert steps == [
        "An app of the instance's own",
        "Application registry",
        "Profile",
        "Credential",
        "Connection",
        "Confluence Groups",
        "The secret",
        "Get OAuth Token",
    ]
    for typed in (
        "`https://acme.service-now.com/oauth_redirect.do`",
        "`https://api.atlassian.com/`",
        "`ace:confluence`",
        "`g-1`",
    ):
        assert typed in text


def test_what_is_not_known_is_a_step_and_no_broken_reference(workspace: Workspace) -> None:
    plan = make_plan(configured(workspace).store)
    made = {record.sys_id for record in plan.records()}
    for record in plan.records():
        for column, value in record.values.items():
            assert (record.table, column) not in rec.REFERENCES or value in made, (record.table, column)
    berlin = plan.parts[1]
    assert berlin.record("sys_alias") is None
    assert {("sys_alias", "parent"), ("http_connection", "connection_alias"), ("oauth_entity", "redirect_url")} <= set(
        berlin.by_hand
    )
    assert "**Child alias.**" in files(plan)["checklist.md"].decode()


def test_each_record_names_only_what_is_loaded_before_it_and_ids_stay(workspace: Workspace) -> None:
    configured(workspace)
    plan = make_plan(workspace.store, parent_sys_id=PARENT)
    seen = {PARENT}
    for record in plan.records():
        named = {value for column, value in record.values.items() if (record.table, column) in rec.REFERENCES}
        assert named <= seen, record.table
        seen.add(record.sys_id)
    assert len(seen) == 1 + sum(1 for _ in plan.records())
    assert files(plan) == files(make_plan(workspace.store, parent_sys_id=PARENT.upper()))


def test_a_service_account_needs_no_consent_and_asks_for_no_scope(workspace: Workspace) -> None:
    plan = make_plan(configured(workspace).store, ["Berlin"], instance="acme", grant="service-account", client_id="svc")
    registry = plan.parts[0].record("oauth_entity")
    assert registry is not None
    assert registry.values["default_grant_type"] == "client_credentials"
    assert registry.values["client_id"] == "svc"
    assert not {"auth_url", "redirect_url"} & set(registry.values)
    assert plan.parts[0].record("oauth_entity_scope") is None
    assert "service account" in files(plan)["checklist.md"].decode()


def test_a_practice_site_is_not_handed_over(workspace: Workspace) -> None:
    workspace.connections.add(ConnectionDraft(client_id="a", url="http://127.0.0.1:5/", auth_url="http://127.0.0.1:5/"))
    plan = make_plan(workspace.store)
    assert "127.0.0.1" not in json.dumps(as_json(plan)["connections"][0]["records"])
    assert any("practice site" in note for note in plan.notes)


def test_what_cannot_be_is_a_sentence(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NotConfigured, match="no connection to hand over"):
        make_plan(workspace.store)
    configured(workspace)
    store = workspace.store
    with pytest.raises(NotFound, match="no connection “Rome”"):
        make_plan(store, ["Rome"])
    with pytest.raises(InputError, match="not the name of an instance"):
        make_plan(store, instance="https://acme.example.com/x")
    with pytest.raises(InputError, match="not a sys_id"):
        make_plan(store, parent_sys_id="sn_conflunce_spoke.Confluence_Cloud")
    with pytest.raises(InputError, match="One client ID was given for 2"):
        make_plan(store, client_id="one")
    workspace.connections.edit("Berlin", active=False)
    with pytest.raises(InputError, match="is not active"):
        make_plan(store, ["Berlin"])
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    for folder, words in (
        (full, "not an empty folder"),
        (full / "mine.txt", "not an empty"),
        (full / "mine.txt" / "x", "cannot be"),
    ):
        code, _, said = run(capsys, "handover", "plan", "--out", str(folder))
        assert code == 1
        assert words in said
    assert [path.name for path in full.iterdir()] == ["mine.txt"]
    assert make_plan(store, instance="https://Acme.service-now.com/").instance == "acme"


def one_plan(name: str) -> Plan:
    """Return a plan in which everything that people and servers name is `name`."""
    record = Record("sys_alias", rec.sys_id("sys_alias", "a"), {"name": name, "description": name})
    return Plan(
        (Part(name, "x.y", name, True, "consent", name, ("read:me",), (record,), (Group("g", name),), (), (name,)),)
    )


HOSTILE = (
    "<script>alert(1)</script>",
    "]]></name><http_connection>",
    "'; process.exit() //",
    '"},})\nRecord({',
    "`${process.env.HOME}` ``` x",
    "=1+1",
    "\u202egnp.exe",
    "- [x] done\n# head",
    "![x](http://x.example) www.x.example a@x.example",
    "\ud800 \x00 \u2028",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_text_everywhere(name: str) -> None:
    made = files(one_plan(name))
    root = ElementTree.fromstring(made["unload/05-sys_alias.xml"])
    assert [child.tag for child in root] == ["sys_alias"]
    assert len(root[0]) == 3
    rows = list(csv.reader(io.StringIO(made["groups.csv"].decode(), newline="")))
    assert len(rows) == 2
    assert not rows[1][0].startswith("=")
    source = made["fluent/src/fluent/hand-over.now.ts"].decode()
    literals = re.findall(r"^        (?:name|description): (.*),$", source, re.MULTILINE)
    assert [json.loads(one) for one in literals] == [name, name]
    assert source.isascii()
    if node := shutil.which("node"):
        said = subprocess.run(
            [node, "-e", f"process.stdout.write(JSON.stringify({literals[0]}))"], capture_output=True, check=True
        )
        assert json.loads(said.stdout) == name
    text = made["checklist.md"].decode()
    assert len([line for line in text.splitlines() if line.startswith("#")]) == 6
    from markdown_it import MarkdownIt

    html = MarkdownIt("commonmark").render(text)
    assert not re.search(r"<script|<img|<a |<http_", html)
    assert "\u202e" not in text
    jsonschema.validate(json.loads(made["records.json"]), json.loads(schema()))


@given(st.text(min_size=1, max_size=40))
def test_any_name_comes_back_from_the_xml(name: str) -> None:
    made = files(one_plan(name))
    root = ElementTree.fromstring(made["unload/05-sys_alias.xml"])
    held = re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", lambda c: f"\\u{ord(c[0]):04x}", name)
    assert root[0].findtext("name") == held


def test_the_folder_is_written_for_nobody_twice(workspace: Workspace, tmp_path: Path) -> None:
    plan = make_plan(configured(workspace).store)
    target = tmp_path / "empty"
    target.mkdir()
    assert write(plan, target) == target
    with pytest.raises(InputError, match="not an empty folder"):
        write(plan, target)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
