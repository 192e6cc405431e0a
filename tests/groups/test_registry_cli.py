"""``spokekit groups``: listing groups, and registering those that may be managed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from spokekit.cli import main

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite

KEYS = ["group_id", "name", "access", "managed_by", "usage_type", "registered"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = 0
        try:
            main(arguments)
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        return code, *capsys.readouterr()

    return call


def rows(out: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(out)
    return found


def test_the_list_equals_what_the_world_holds(run: Run, connected: Workspace, site: PracticeSite) -> None:
    truth = site.world.frames()["groups"].set_index("group_id")["name"].to_dict()
    code, out, _ = run("groups", "list", "--all", "--format", "json")
    assert code == 0
    everything = rows(out)
    assert {row["group_id"]: row["name"] for row in everything} == truth
    assert all(list(row) == KEYS for row in everything)
    assert {row["registered"] for row in everything} == {False}
    with_access = rows(run("groups", "list", "--format", "json")[1])
    assert with_access == [row for row in everything if row["access"]]
    assert 0 < len(with_access) < len(everything)
    for kind in ("user", "admin", "site-admin"):
        listed = rows(run("groups", "list", "--access", kind, "--format", "json")[1])
        assert listed == [row for row in everything if kind in row["access"].split(", ")]
        assert listed
    assert run("groups", "list", "--access", "owner")[0] == 2


def test_registering_by_id(run: Run, connected: Workspace, site: PracticeSite) -> None:
    listed = rows(run("groups", "list", "--format", "json")[1])
    first, second = listed[0], listed[1]
    code, out, err = run("groups", "add", first["group_id"], second["group_id"], "--format", "json")
    assert code == 0
    assert "Registered 2 groups." in err
    assert sorted(row["name"] for row in rows(out)) == sorted([first["name"], second["name"]])
    assert "Registered 0 groups; 1 group before." in run("groups", "add", first["group_id"])[2]
    again = rows(run("groups", "list", "--format", "json")[1])
    assert [row["registered"] for row in again] == [True, True] + [False] * (len(again) - 2)
    code, _, err = run("groups", "add", second["group_id"], first["name"])
    assert (code, f"is the name of the group {first['group_id']}" in err) == (1, True)
    assert run("groups", "remove", first["group_id"])[0] == 0
    assert run("groups", "remove", first["group_id"])[0] == 1
    assert [row["group_id"] for row in rows(run("groups", "registered", "--format", "json")[1])] == [second["group_id"]]


def test_a_renamed_group_shows_both_names(run: Run, connected: Workspace, site: PracticeSite) -> None:
    group = rows(run("groups", "list", "--format", "json")[1])[0]
    run("groups", "add", group["group_id"])
    site.world.rename_group(group["group_id"], "Renamed")
    before = site.count("groups")
    (row,) = rows(run("groups", "registered", "--format", "json")[1])
    assert (row["name"], row["current_name"], row["renamed"]) == (group["name"], group["name"], False)
    assert site.count("groups") == before
    (row,) = rows(run("groups", "registered", "--refresh", "--format", "json")[1])
    assert (row["name"], row["current_name"], row["renamed"]) == (group["name"], "Renamed", True)


def test_special_names_are_written_safely(run: Run, connected: Workspace) -> None:
    out = run("groups", "list", "--all", "--format", "csv")[1]
    assert out.startswith(",".join(KEYS) + "\n")
    assert "'=Sales" in out
    assert not [line for line in out.splitlines() if line.split(",")[1:2] and line.split(",")[1].startswith("=")]


def test_an_incomplete_list_says_so_with_exit_3(run: Run, connected: Workspace, site: PracticeSite) -> None:
    site.faults.add("empty-page:2@groups")
    code, out, err = run("groups", "list", "--all", "--format", "json")
    assert code == 3
    assert "incomplete" in err
    assert isinstance(rows(out), list)
    # What could not be read is not taken for gone.
    site.faults.clear()
    assert run("groups", "list")[0] == 0


def test_without_a_connection_it_says_what_to_do(run: Run, workspace: Workspace) -> None:
    code, out, err = run("groups", "list")
    assert (code, out) == (1, "")
    assert "is not configured" in err
    assert run("groups", "registered", "--connection", "nobody")[0] == 1
