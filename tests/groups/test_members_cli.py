"""``spokekit members`` as a person or a script uses it: a file, a plan, an apply, an undo."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spokekit.cli import main

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(registered: Workspace, capsys: pytest.CaptureFixture[str]) -> Run:
    def go(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(["members", *map(str, arguments)])
        said = capsys.readouterr()
        code = left.value.code
        return (code if isinstance(code, int) else 0 if code is None else 1), said.out, said.err

    return go


@pytest.fixture
def joiners(site: PracticeSite, tmp_path: Path) -> tuple[Path, list[str]]:
    inside = set(site.world.member_ids("marketing"))
    new = [account for account in site.world.member_ids("legal-counsel") if account not in inside]
    group = site.world.find_group("marketing").group_id
    file = tmp_path / "joiners.csv"
    file.write_text("group_id,account_id\n" + "".join(f"{group},{account}\n" for account in (*new, "nobody")))
    return file, new


def test_from_a_file_to_the_journal_and_back(
    run: Run, site: PracticeSite, joiners: tuple[Path, list[str]], tmp_path: Path
) -> None:
    file, new = joiners
    group = site.world.find_group("marketing").group_id
    before = set(site.world.member_ids("marketing"))
    plan = tmp_path / "plan.json"

    code, out, err = run("plan", "--mode", "add", "--file", file, "--out", plan, "--format", "json")
    assert code == 0, err
    rows = json.loads(out)
    assert [row["status"] for row in rows] == ["planned"] * len(new) + ["refused"]
    assert list(rows[0]) == [
        "group_id",
        "group",
        "account_id",
        "display_name",
        "action",
        "reason",
        "status",
        "message",
    ]
    assert f"{len(new)} people to add" in err
    assert "Fingerprint" in err

    code, _, err = run("apply", plan, "--dry-run")
    assert (code, site.writes) == (0, {})
    assert "Nothing was changed: a dry run." in err
    code, out, err = run("apply", plan, "--yes", "--format", "csv")
    assert code == 0, err
    assert [row["status"] for row in csv.DictReader(io.StringIO(out))] == ["done"] * len(new) + ["refused"]
    assert set(site.world.member_ids("marketing")) == before | set(new)

    code, out, _ = run("list", group, "--format", "json")
    assert code == 0
    assert {row["account_id"] for row in json.loads(out)} == before | set(new)

    code, _, err = run("apply", plan, "--yes")
    assert code == 1
    assert "not as they were at the preview" in err
    code, _, err = run("apply", plan, "--dry-run")
    assert code == 1
    assert "Changed since the preview" in err

    inverse = tmp_path / "inverse.json"
    assert run("undo", "--out", inverse)[0] == 0
    assert set(site.world.member_ids("marketing")) == before | set(new)
    assert run("undo", "--dry-run")[0] == 0
    code, out, err = run("undo", "--yes", "--format", "json")
    assert code == 0, err
    assert {row["action"] for row in json.loads(out)} == {"remove"}
    assert set(site.world.member_ids("marketing")) == before

    code, out, _ = run("journal", "--applies", "--format", "json")
    assert [(row["mode"], row["state"]) for row in json.loads(out)] == [("undo", "finished"), ("add", "finished")]
    first = json.loads(out)[1]["apply_id"]
    code, out, _ = run("journal", first[:8], "--format", "csv")
    events = [row["event"] for row in csv.DictReader(io.StringIO(out))]
    assert events[0] == "apply_started"
    assert events.count("row_ended") == len(new)
    for arguments in (("journal",), ("journal", "--connection", "Confluence Cloud Spoke Connection")):
        assert first[:8] in run(*arguments, "--format", "json")[1]


def test_what_goes_wrong_is_said_with_exit_codes(
    run: Run, site: PracticeSite, joiners: tuple[Path, list[str]], tmp_path: Path
) -> None:
    file, new = joiners
    plan = tmp_path / "plan.json"
    assert run("plan", "--mode", "replace", "--file", file, "--out", plan)[0] == 2
    code, _, err = run("plan", "--mode", "add", "--file", tmp_path / "none.csv", "--out", plan)
    assert (code, "There is no file" in err) == (1, True)
    code, _, err = run("apply", tmp_path / "none.json")
    assert (code, "There is no plan file" in err) == (1, True)
    code, _, err = run("resume")
    assert (code, "nothing to resume" in err) == (1, True)
    code, _, err = run("undo")
    assert (code, "nothing to undo" in err) == (1, True)
    code, _, err = run("journal", "abc")
    assert (code, "no apply" in err) == (1, True)
    code, _, err = run("list", "00000000-1111-4222-8333-444444444444")
    assert (code, "no group with the id" in err) == (1, True)

    big = tmp_path / "big.csv"
    people = site.world.member_ids("confluence-users")[12:45]
    big.write_text("account_id\n" + "\n".join(people))
    assert run("plan", "--mode", "sync", "--group", "project-phoenix", "--file", big, "--out", plan)[0] == 0
    code, _, err = run("apply", plan)
    assert code == 1
    assert "wants to be confirmed in words" in err
    assert "repeat the command with --yes" in err
    assert not site.writes

    assert run("plan", "--mode", "add", "--file", file, "--out", plan)[0] == 0
    plan.write_text(plan.read_text().replace(new[0], people[0]))
    code, _, err = run("apply", plan, "--yes")
    assert (code, "was changed after it was written" in err) == (1, True)

    assert run("plan", "--mode", "add", "--file", file, "--out", plan)[0] == 0
    site.faults.add("write-500:1")
    code, out, err = run("apply", plan, "--yes", "--format", "json")
    assert code == 3, err
    assert {row["status"] for row in json.loads(out)} <= {"failed", "not done", "refused"}
    site.faults.clear()
    assert run("resume")[0] == 0
    assert set(new) <= set(site.world.member_ids("marketing"))
