"""``spokekit audit`` from walk to export, in processes of its own where exit codes matter."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spokekit._home import home
from spokekit._workspace import Workspace
from spokekit.cli import main
from spokekit.practice import PracticeSite
from tests.conftest import connect


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        main(["audit", *arguments])
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_from_walk_to_export(
    connected: Workspace, site: PracticeSite, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, _, err = run(capsys, "ask", "admins")
    assert code == 1 and "There is no snapshot of" in err and "spokekit audit walk" in err
    code, _, err = run(capsys, "walk", "--all")
    assert code == 1 and "26 groups on this site; this walk reads 26." in err and "Give --yes" in err

    code, out, err = run(capsys, "walk", "--all", "--yes", "--format", "json")
    assert code == 0, err
    [row] = json.loads(out)
    assert (row["snapshot"], row["complete"], row["groups_walked"], row["memberships"]) == (1, True, 26, 289)
    assert "points" in err

    groups = site.world.frames(tables=("groups",))["groups"].set_index("name")["group_id"]
    someone = site.world.person(27).account_id
    site.world.add_member(groups["marketing"], someone)
    code, out, _ = run(capsys, "walk", "--match", "market*", "--yes", "--format", "json")
    assert code == 0 and json.loads(out)[0]["groups_chosen"] == 1

    code, out, _ = run(capsys, "diff", "--format", "json")
    assert code == 0
    assert [(r["change"], r["group_name"], r["account_id"]) for r in json.loads(out)] == [
        ("added", "marketing", someone)
    ]
    code, out, _ = run(capsys, "diff", "--from", "1", "--to", "9999-12-31", "--format", "json")
    assert code == 0 and len(json.loads(out)) == 1
    for moment in ("0001-01-01T00:00+05:00", "0001-01-01", "20010101", "yesterday"):
        code, _, err = run(capsys, "diff", "--from", moment)
        assert code == 1 and ("is no date" in err or "no snapshot" in err), err
    code, out, _ = run(capsys, "snapshots", "--format", "json")
    assert [(r["number"], r["scope"]) for r in json.loads(out)] == [(1, "all groups"), (2, "groups named market*")]

    code, out, err = run(capsys, "ask", "members-of-groups", "--param", "group=marketing", "--format", "json")
    assert code == 0 and len(json.loads(out)) == 9
    assert "Mind: 25 groups not walked." in err and "Cannot know:" in err
    code, out, _ = run(capsys, "ask", "members-of-groups", "--param", "group=marketing", "--at", "1", "--format", "csv")
    assert code == 0 and len(out.splitlines()) == 9
    code, _, err = run(capsys, "ask", "members-of-groups", "--param", "group")
    assert code == 1 and "is not name=value" in err
    code, _, err = run(capsys, "ask", "nested-groups")
    assert code == 1 and "cannot hold groups" in err

    code, out, _ = run(capsys, "questions", "--format", "json")
    assert len(json.loads(out)) >= 39

    code, out, err = run(capsys, "findings", "groups-without-members", "--format", "json")
    [finding] = json.loads(out)
    assert finding["state"] == "new" and "1 new, 0 accepted" in err
    accepted = ("--accept", finding["finding_id"], "--reason", "starts in May", "--by", "Kim", "--until", "2099-01-01")
    code, _, err = run(capsys, "findings", *accepted)
    assert code == 0 and "Accepted: 1." in err
    code, out, err = run(capsys, "findings", "groups-without-members", "--format", "json")
    assert json.loads(out) == [] and "0 new, 1 accepted" in err
    code, out, _ = run(capsys, "findings", "--all", "--format", "json")
    assert [r["state"] for r in json.loads(out)] == ["accepted"]

    for name in ("a.xlsx", "a.html"):
        code, _, err = run(capsys, "export", str(tmp_path / name), "admins", "groups-without-members", "--by", "Kim")
        assert code == 0 and (tmp_path / name).stat().st_size > 5_000, err
    code, _, _ = run(capsys, "export", str(tmp_path / "a.csv"), "admins")
    assert code == 0 and "account_id" in (tmp_path / "a.csv").read_text("utf-8-sig")
    code, _, err = run(capsys, "export", str(tmp_path / "b.csv"), "admins", "app-users")
    assert code == 1 and "One .csv file holds one answer" in err
    code, _, err = run(capsys, "export", str(tmp_path / "b.docx"), "admins")
    assert code == 1 and "no known ending" in err


def test_damage_is_named_by_the_check_and_said_with_every_answer(
    connected: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "check", "--format", "json")
    assert (code, json.loads(out)) == (0, [])
    for _ in range(2):
        assert run(capsys, "walk", "--all", "--yes")[0] == 0
    code, out, err = run(capsys, "check")
    assert code == 0 and out.count("Every file is as it was written.") == 2 and "nothing is damaged" in err
    folder = home() / "snapshots" / connected.connection().cloud_id
    victim = folder / "000002" / "grants.parquet"
    data = victim.read_bytes()
    victim.write_bytes(data[:50] + bytes([data[50] ^ 1]) + data[51:])
    code, out, err = run(capsys, "check", "--format", "json")
    rows = {row["snapshot"]: row for row in json.loads(out)}
    assert code == 1 and (rows[1]["state"], rows[2]["state"]) == ("whole", "damaged")
    assert rows[2]["damaged"] == ["000002/grants.parquet"] and "Files: 000002/grants.parquet." in err
    assert "Next: " in err and str(folder) in err
    said = "This is from the older snapshot 1, of "
    for command in (["ask", "group-sizes"], ["snapshots"], ["findings", "groups-without-members"]):
        code, _, err = run(capsys, *command)
        assert code == 0 and said in err and "000002/grants.parquet was changed after it was written" in err
    code, _, err = run(capsys, "ask", "group-sizes", "--at", "2")
    assert code == 1 and said in err
    code, _, err = run(capsys, "walk", "--all", "--yes")
    assert code == 0 and "This one goes on from snapshot 1" in err
    code, _, err = run(capsys, "diff")
    assert code == 0 and said not in err
    code, out, _ = run(capsys, "check")
    assert code == 1 and "damaged" in out, "the damaged one is kept, and still named"


def test_ctrl_c_keeps_what_is_under_way_and_the_next_walk_goes_on(workspace: Workspace) -> None:
    with PracticeSite(size="120x40", seed=1, strict=True, latency_ms=60) as site:
        connect(workspace, site)

        def read() -> list[str]:
            return [r.path for r in site.requests if "membersByGroupId" in r.path]

        command = [sys.executable, "-m", "spokekit", "audit", "walk", "--all", "--yes", "--format", "json"]
        first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while len(read()) < 20:
            assert first.poll() is None
            time.sleep(0.01)
        first.send_signal(signal.SIGINT)
        out, err = first.communicate(timeout=30)
        assert (first.returncode, out) == (130, "")
        assert "Stopping" in err and "What it has read is kept; walk again to continue." in err
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert second.returncode == 0 and json.loads(second.stdout)[0]["groups_walked"] == 120, second.stderr
        assert len(read()) == len(set(read())) == 120, "nothing is paid for twice"


def test_an_incomplete_walk_ends_with_three(connected: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "walk", "--all", "--with-spaces", "--yes", "--format", "json")
    assert code == 3
    assert json.loads(out)[0]["complete"] is False
    assert "The list of spaces could not be read" in err and "read:space:confluence" in err
