"""A quarter's review on the command line alone, as an administrator and an auditor would do it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from spokekit._workspace import Workspace
from spokekit.cli import main
from spokekit.practice import PracticeSite
from spokekit.review import COLUMNS
from tests.groups.conftest import REGISTERED

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(connected: Workspace, site: PracticeSite, capsys: pytest.CaptureFixture[str]) -> Run:
    connection = connected.connection()
    connected.connections.set_account(connection.connection_id, site.account_id, "The administrator")
    groups = site.world.frames(tables=["groups"])["groups"]
    connected.registry().add(list(groups[groups["name"].isin(REGISTERED)]["group_id"]), groups=groups)

    def go(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(list(map(str, arguments)))
        said = capsys.readouterr()
        code = left.value.code
        return (code if isinstance(code, int) else 0 if code is None else 1), said.out, said.err

    return go


def rows_of(run: Run, *options: object) -> list[dict[str, object]]:
    code, out, err = run("review", "rows", "2026-Q4", "--format", "json", *options)
    assert code == 0, err
    rows: list[dict[str, object]] = json.loads(out)
    return rows


def test_a_quarter_on_the_command_line_alone(run: Run, site: PracticeSite, tmp_path: Path) -> None:
    code, _, err = run("review", "open", "2026-Q4")
    assert code == 1 and "spokekit audit walk" in err
    assert run("audit", "walk", "--yes")[0] == 0
    code, out, err = run("review", "open", "2026-Q4", "--due", "2099-12-31", "--format", "json")
    assert code == 0, err
    [opened] = json.loads(out)
    assert opened["state"] == "Open" and opened["undecided"] + opened["routed_out"] == opened["in_scope"] > 50

    rows = rows_of(run)
    assert list(rows[0]) == list(COLUMNS) and len(rows) == opened["in_scope"]
    assert {r["decision"] for r in rows if r["managed_by"] == "EXTERNAL"} == {"routed out"}
    leavers = [r for r in rows if "leaver" in str(r["recommendation"]) and not r["decision"]]
    assert leavers and all(r["account_status"] in ("inactive", "closed") for r in leavers)

    code, _, err = run("review", "decide", "2026-Q4", "--row", leavers[0]["row_id"], "--decision", "keep")
    assert code == 3 and "needs a reason" in err
    code, _, err = run("review", "decide", "2026-Q4", "--group", "no such group", "--decision", "keep")
    assert code == 1 and "fits what is asked for" in err
    code, _, err = run("review", "decide", "2026-Q4", "--recommended", "leaver", "--decision", "remove")
    assert code == 0, err
    code, _, err = run("review", "sign", "2026-Q4", "--by", "Kim", "--role", "Head of IT")
    assert code == 1 and "not decided yet" in err
    code, _, err = run("review", "apply", "2026-Q4", "--yes")
    assert code == 1 and "Open" in err and not site.writes

    # One's own row is left: somebody else decides it, by a worksheet.
    code, _, err = run("review", "decide", "2026-Q4", "--undecided", "--decision", "keep", "--reason", "known")
    own = rows_of(run, "--undecided")
    assert code == 3 and "your own membership" in err
    assert own and {r["account_id"] for r in own} == {site.account_id}
    sheet = tmp_path / "sheet.csv"
    assert run("review", "worksheet", "2026-Q4", "--out", sheet)[0] == 0
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    for line in lines:
        if line["account_id"] == site.account_id:
            line.update(decision="keep", reason="needed", reviewer="Robin Other")
    with sheet.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows(lines)
    code, _, err = run("review", "decide", "2026-Q4", "--file", sheet)
    assert code == 0, err
    [stated] = {r["decided_by"] for r in rows_of(run) if r["account_id"] == site.account_id and r["decision"] == "keep"}
    assert "Robin Other (as stated in the worksheet" in str(stated)

    assert run("review", "sign", "2026-Q4", "--by", "Kim Muster", "--role", "Head of IT")[0] == 0
    before = {g: set(site.world.member_ids(g)) for g in REGISTERED}
    code, out, err = run("review", "apply", "2026-Q4", "--dry-run")
    assert code == 0 and not site.writes, err
    code, out, err = run("review", "apply", "2026-Q4", "--yes", "--format", "json")
    assert code == 0, err
    removed = {(str(r["group"]), str(r["account_id"])) for r in leavers}
    assert {(g, a) for g in REGISTERED for a in before[g] - set(site.world.member_ids(g))} == removed
    code, out, _ = run("members", "journal", "--applies", "--format", "json")
    assert json.loads(out)[0]["purpose"] == "access review 2026-Q4"

    # A stranger's change, and a removal that comes back.
    marketing = site.world.find_group("marketing").group_id
    stranger = next(a for a in site.world.member_ids("legal-counsel") if a not in site.world.member_ids("marketing"))
    site.world.add_member(marketing, stranger)
    group, back = sorted(removed)[0]
    site.world.add_member(site.world.find_group(group).group_id, back)
    code, out, err = run("review", "verify", "2026-Q4", "--format", "json")
    assert code == 3, err
    outcomes = {(r["group"], r["account_id"]): r["outcome"] for r in json.loads(out)}
    assert outcomes[group, back] == "came back" and outcomes["marketing", stranger] == "unexplained change"
    assert sorted(outcomes.values()).count("done") == len(removed) - 1

    folder = tmp_path / "evidence" / "2026-Q4"
    code, out, err = run("review", "handout", "2026-Q4", "--out", tmp_path / "handout")
    assert code == 0 and "okta-engineering" in (tmp_path / "handout" / "handout.csv").read_text("utf-8-sig"), err
    code, out, err = run("review", "close", "2026-Q4", "--out", folder, "--format", "json")
    assert code == 0, err
    [sums] = json.loads(out)
    assert sums["in_scope"] == sum(sums[k] for k in ("keep", "remove", "ask", "exception", "routed_out"))
    assert sums["remove"] == sums["done"] + sums["not_done"] + sums["refused"]
    code, _, err = run("review", "check", folder)
    assert code == 0, err
    code, _, err = run("review", "decide", "2026-Q4", "--row", 1, "--decision", "keep")
    assert code == 1 and "Closed" in err
