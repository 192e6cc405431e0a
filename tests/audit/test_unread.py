"""What nobody has read is never an answer: refused, left out or said, instead of an empty or a wrong row."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from spokekit._frames import ordered, shown
from spokekit._workspace import Workspace
from spokekit.audit import Audit, Findings, Frames, Snapshots, diff, question
from spokekit.audit.questions.registry import REGISTRY, QuestionList
from spokekit.audit.questions.runner import contract
from spokekit.audit.show import export, plots
from spokekit.audit.walk.checkpoint import Checkpoint
from spokekit.audit.warehouse import compile_question
from spokekit.cli._output import Format, emit
from spokekit.confluence.actions import AsyncSpoke
from spokekit.errors import InputError, ScopeMissing
from spokekit.practice import PracticeSite
from tests.audit import slow
from tests.audit.test_questions_against_slow_ones import rows, rows_of
from tests.audit.test_walk import WITH_SPACES, held, truth, walking
from tests.audit.worlds import SITE, account, at, frames_of, group_id
from tests.conftest import connect


def only(*named: str, day: int = 0, spaces: bool = True) -> Frames:
    """The class world of which a walk read the groups `named`, with or without spaces."""
    whole = frames_of(day=day)
    ids = {group_id(one) for one in named}
    coverage = pd.DataFrame(
        [
            (g, *(("walked", whole.taken_at) if g in ids else ("not walked", None)), False)
            for g in whole.groups["group_id"]
        ],
        columns=["group_id", "state", "walked_at", "disturbed"],
    )
    pairs = whole.memberships[whole.memberships["group_id"].isin(ids)]
    given = {**whole.as_dict(), "memberships": pairs, "coverage": coverage}
    if not spaces:
        del given["spaces"], given["grants"]
    scope = {"groups": "registered groups", "spaces": spaces}
    return Frames.of(given, site=SITE, taken_at=whole.taken_at, scope=scope)


def test_a_group_that_nobody_read_is_neither_empty_nor_without_anybody() -> None:
    audit = Audit.of_frames(only("confluence-users"))
    for name, params in (
        ("members-of-groups", {"group": "marketing"}),
        ("missing-from-group", {"group": "marketing"}),
        ("in-these-not-those", {"all_of": "confluence-users", "none_of": ["marketing"]}),
        ("changes-since", {"group": "marketing"}),
        ("membership-over-time", {"groups": "marketing"}),
    ):
        with pytest.raises(InputError, match="The members of the group marketing were never read"):
            audit.ask(name, **params)
    assert len(audit.ask("spaces-of-group", group="marketing")), "what spaces name needs no members"
    answer = audit.ask("members-of-groups")
    assert answer.attrs["caution"] == "Mind: 25 groups not walked."
    for name in ("groups-with-access", "unused-groups"):
        told = audit.ask(name)
        assert {s for g, s in zip(told["group_name"], told["state"], strict=True) if g != "confluence-users"} == {
            "not walked"
        }


COUNTS = {
    "group-sizes": ("members", "inactive", "guests"),
    "groups-with-access": ("members", "seats", "only_here"),
    "unused-groups": ("members",),
}


@pytest.mark.parametrize("name", COUNTS)
def test_the_size_of_a_group_that_nobody_read_is_unknown_and_not_0(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = only("confluence-users", "project-phoenix", "Coffee Club")
    audit = Audit.of_frames(frames)
    answer = audit.ask(name)
    assert rows(answer) == rows_of(slow.answers()[name]([slow.State(frames.taken_at, frames)]))
    unread = answer["state"] == "not walked"
    assert 0 < unread.sum() < len(answer)
    for column in COUNTS[name]:
        assert (answer[column].isna() == unread).all()
    translated = audit.sql(compile_question(name, "duckdb"))
    assert rows(contract(translated, REGISTRY.get(name).columns)) == rows(answer)

    heads = ordered([str(column) for column in answer])
    place, row = heads.index("members"), int(unread.to_numpy().nonzero()[0][0])
    assert shown(answer).rows[row][place] == "unknown"
    about = export.About.of(audit, title="Sizes", made_by="Kim")
    book = openpyxl.load_workbook(io.BytesIO(export.xlsx_bytes({"answer": answer}, about)))
    assert book.worksheets[1].cell(row + 2, place + 1).value == "unknown"
    assert export.html_bytes({"answer": answer}, about).count(b"unknown") >= int(unread.sum())
    lines = export.csv_bytes(answer).decode("utf-8-sig").splitlines()
    [line] = csv.DictReader([lines[0], lines[1 + row]])
    assert (line["members"], line["state"]) == ("", "not walked")
    emit(answer, Format.table)
    assert capsys.readouterr().out.splitlines()[2 + row].count("unknown") == len(COUNTS[name])
    emit(answer, Format.json)
    assert json.loads(capsys.readouterr().out)[row]["members"] is None


def test_the_picture_of_sizes_says_what_it_does_not_know() -> None:
    assert (
        "3 groups, 1 of them empty; of 23 more the members were never read."
        in plots.group_sizes(Audit.of_frames(only("confluence-users", "project-phoenix", "Coffee Club"))).alt
    )


def test_a_space_whose_administrators_were_not_read_is_not_without_them() -> None:
    everywhere = set(Audit.of_frames(frames_of()).ask("spaces-without-admin")["space_key"])
    here = set(Audit.of_frames(only("confluence-users")).ask("spaces-without-admin")["space_key"])
    assert here <= everywhere


def test_spaces_that_nobody_read_are_not_closed(tmp_path: Path) -> None:
    store = Snapshots(SITE, tmp_path)
    audit = Audit.of_snapshot(store.write(only("marketing", spaces=False)))
    asked = [q for q in REGISTRY.questions.values() if {"spaces", "grants"} & set(q.needs)]
    assert len(asked) > 8
    for one in asked:
        params = {"group": "marketing"} if one.params[:1] and one.params[0].kind == "group" else {}
        params |= {"person": account(2)} if one.params[:1] and one.params[0].kind == "person" else {}
        if one.params[:1] and one.params[0].kind == "space":
            continue
        with pytest.raises(InputError, match="needs the spaces, and no walk has read them yet"):
            audit.ask(one.name, **params)
    store.write(frames_of(day=1))
    later = Audit.of_snapshot(store.write(only("marketing", day=2, spaces=False)))
    assert len(later.ask("open-spaces")) == 3
    assert later.caution() == "Mind: 25 groups not walked, spaces and grants are of 2026-03-03 09:00 UTC."
    with pytest.raises(InputError, match="no walk has read them yet"):
        Audit.of_snapshot(store.latest(), at=1).ask("open-spaces")
    assert len(Audit.of_snapshot(store.latest(), at=2).ask("open-spaces")) == 3


def test_whoever_was_in_a_group_when_it_was_first_read_may_have_come_at_any_time(tmp_path: Path) -> None:
    store = Snapshots(SITE, tmp_path)
    store.write(only("marketing"))
    audit = Audit.of_snapshot(store.write(frames_of(day=3)))
    dates = audit.ask("membership-dates", person=account(7))
    assert dates["group_name"].to_list() == ["procurement"]
    assert f"{dates['seen_from'].item():%Y-%m-%d}" == at(3)
    assert dates["not_seen_before"].isna().all(), "on day 0 nobody had looked"
    sizes = audit.ask("membership-over-time", groups=["procurement", "marketing"])
    counted = [(row.group_name, f"{row.taken_at:%Y-%m-%d}", row.members) for row in sizes.itertuples()]
    assert counted == [("marketing", at(0), 8), ("marketing", at(3), 8), ("procurement", at(3), 7)]


def test_a_group_that_some_walks_left_out_is_known_as_of_its_own_walks(tmp_path: Path) -> None:
    """All groups on day 0, marketing alone on days 1 and 2, all again on day 5, with project-phoenix gone."""
    store = Snapshots(SITE, tmp_path)
    store.write(frames_of())
    for day in (1, 2):
        store.write(only("marketing", day=day))
    whole = frames_of()
    pairs, groups = whole.memberships, whole.groups
    came = {"group_id": group_id("procurement"), "account_id": account(40)}
    newest = store.write(
        frames_of(
            day=5,
            memberships=pd.concat([pairs.astype(str), pd.DataFrame([came])], ignore_index=True),
            groups=groups[groups["name"] != "project-phoenix"].reset_index(drop=True),
        )
    )
    first, second, third, now = (Audit.of_snapshot(newest, at=n) for n in (1, 2, 3, None))
    assert [a.caution() for a in (first, second, third, now)] == ["", *["Mind: 25 groups not walked."] * 2, ""]
    assert set(third.not_walked()["walked_at"]) == {pd.Timestamp(whole.taken_at)}
    # It was there and empty, whatever became of it.
    for audit in (first, second, third):
        assert audit.ask("groups-without-members")["group_name"].to_list() == ["project-phoenix"]
    assert set(first.ask("group-sizes")["state"]) == {"walked"}

    assert diff(first, now)[["change", "group_id", "account_id"]].values.tolist() == [["added", *came.values()]]
    late = diff(third, now)
    assert late.empty and len(late.attrs["not_compared"]) == 25, "they may have come before day 2"
    assert set(
        diff(third, Audit.of_frames(now.frames(), site=SITE, taken_at=now.taken_at)).attrs["not_compared"]
    ) == set(late.attrs["not_compared"])
    [row] = [r for r in now.ask("membership-dates", person=account(40)).itertuples() if r.group_name == "procurement"]
    assert (f"{row.seen_from:%Y-%m-%d}", f"{row.not_seen_before:%Y-%m-%d}") == (at(5), at(0))
    assert now.sql("SELECT COUNT(*) AS n FROM coverage_history WHERE until < 9")["n"].item() == 25 * 2


def test_grants_that_a_later_walk_could_not_read_are_kept_and_said(
    workspace: Workspace, site: PracticeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(workspace, site, scopes=WITH_SPACES)
    with walking(workspace, with_spaces=True) as walk:
        walk.run()

    async def refused(*_: object, **__: object) -> None:
        raise ScopeMissing("The token lacks a scope.", status=403)

    monkeypatch.setattr(AsyncSpoke, "look_up_space_permissions", refused)
    with walking(workspace, with_spaces=True) as walk:
        snapshot = walk.run()
    audit = Audit.of_snapshot(snapshot)
    columns = ["space_id", "principal_type", "principal_id", "operation", "target"]
    assert held(audit, "grants", columns) == truth(site, "grants")
    assert audit.ask("changed-grants", days=1).empty
    spaces = len(audit.frame("spaces"))
    assert f"the grants of {spaces} spaces missing" in audit.caution()
    assert not snapshot.completeness["complete"]


def test_an_older_state_neither_fixes_findings_nor_takes_acceptances_back(tmp_path: Path) -> None:
    store = Snapshots(SITE, tmp_path)
    whole = frames_of()
    gone = whole.memberships["account_id"] == account(8)
    store.write(frames_of(memberships=whole.memberships[~gone].reset_index(drop=True)))
    newest = store.write(frames_of(day=1))
    findings = Findings(SITE, tmp_path)
    review = findings.review(Audit.of_snapshot(newest), "inactive-in-groups")
    findings.accept(review["finding_id"], reason="known", by="Kim")
    with pytest.raises(InputError, match="reviewed on a newer state already, of 2026-03-03 09:00 UTC"):
        findings.review(Audit.of_snapshot(newest, at=1), "inactive-in-groups")
    again = findings.review(Audit.of_snapshot(newest), "inactive-in-groups")
    assert set(again["state"]) == {"accepted"}


def test_a_walk_whose_snapshot_is_written_is_not_written_again(connected: Workspace, site: PracticeSite) -> None:
    """The process was killed after the snapshot was on disk and before the record of the walk was removed."""
    kept = Checkpoint.remove
    try:
        Checkpoint.remove = Checkpoint.close  # type: ignore[method-assign]
        with walking(connected) as walk:
            walk.run()
    finally:
        Checkpoint.remove = kept  # type: ignore[method-assign]
    groups = site.world.frames(tables=("groups",))["groups"].set_index("name")["group_id"]
    site.world.add_member(groups["marketing"], site.world.person(40).account_id)
    with walking(connected) as walk:
        assert walk.prepare().unfinished is None
        snapshot = walk.run()
    assert held(Audit.of_snapshot(snapshot)) == truth(site)


def test_a_damaged_record_is_left_behind_by_a_fresh_walk(connected: Workspace, site: PracticeSite, home: Path) -> None:
    record = home / "walks" / f"{connected.connection().cloud_id}.sqlite"
    record.parent.mkdir()
    record.write_bytes(b"no database" * 1000)
    with walking(connected, fresh=True) as walk:
        assert held(Audit.of_snapshot(walk.run())) == truth(site)


def test_a_walk_that_was_continued_days_later_says_so(connected: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from spokekit.audit.walk import walk as module

    class Earlier(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) - timedelta(days=3)

    monkeypatch.setattr(module, "datetime", Earlier)
    with walking(connected) as walk:
        notes = walk.run().completeness["notes"]
    assert any(note.startswith("Members were read from ") for note in notes)


@pytest.mark.parametrize("how", ["zeros", "list", "bare"])
def test_a_snapshot_that_only_looks_whole_is_passed_over(tmp_path: Path, how: str) -> None:
    store = Snapshots(SITE, tmp_path)
    store.write(frames_of())
    newest = store.write(frames_of(day=1))
    if how == "zeros":
        victim = newest.folder / "coverage.parquet"
        victim.write_bytes(b"\0" * victim.stat().st_size)
    else:
        files = "[]" if how == "list" else "{}"
        (newest.folder / "manifest.json").write_text(f'{{"format": 1, "number": 2, "files": {files}}}')
    assert Audit.of_site(SITE, folder=tmp_path).taken_at == frames_of().taken_at
    assert store.write(frames_of(day=2)).at == 3


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("members-of-groups", {"group": "\ud83d"}, "There is no group"),
        ("in-several-access-groups", {"at_least": 10**40}, "too large a number"),
        ("in-several-access-groups", {"at_least": float("inf")}, "is no number"),
        ("in-these-not-those", {"all_of": 5}, "There is no group '5'"),
        ("in-these-not-those", {"all_of": []}, "needs groups that a person has to be in"),
    ],
)
def test_odd_parameters_are_refused_in_words(name: str, params: dict[str, object], words: str) -> None:
    with pytest.raises(Exception, match=words) as caught:
        Audit.of_frames(frames_of()).ask(name, **params)
    assert type(caught.value).__module__ == "spokekit.errors"


def test_a_question_of_ones_own_that_does_not_work_says_why() -> None:
    mine = QuestionList()

    def add(name: str, function: object, **columns: str) -> None:
        question(name, "?", needs=(), columns=columns or {"x": "int"}, registry=mine)(function)  # type: ignore[arg-type]

    def text(audit: Audit) -> pd.DataFrame:
        return pd.DataFrame({"x": ["a"]})

    def twice(audit: Audit) -> pd.DataFrame:
        return pd.DataFrame([[1, 2]], columns=["x", "x"])

    add("nothing", lambda: None)
    add("no-frame", lambda audit: [1])
    add("mistyped", lambda: "SELEC 1")
    add("text", text)
    add("twice", twice)
    audit = Audit(frames_of(), registry=mine)
    for name, words in (
        ("nothing", "returns no SQL"),
        ("no-frame", "is no frame but list"),
        ("mistyped", "The query does not work"),
        ("text", "is not of the kind int"),
        ("twice", "has several columns x"),
    ):
        with pytest.raises(InputError, match=words):
            audit.ask(name)


def test_nobody_takes_a_question_away_by_accident() -> None:
    before = REGISTRY.questions["licensed-people"]
    with pytest.raises(InputError, match="There is a question licensed-people already"):
        question("licensed-people", "Mine", needs=(), columns={"x": "int"})(lambda: "SELECT 1 AS x")
    assert REGISTRY.questions["licensed-people"] is before
    mine = QuestionList()
    for text in ("SELECT 1 AS x", "SELECT 2 AS x"):
        question("own", "?", needs=(), columns={"x": "int"}, registry=mine)(lambda text=text: text)
    assert Audit(frames_of(), registry=mine).ask("own")["x"].item() == 2


def test_a_guest_takes_no_seat_and_a_deactivated_person_has_no_access() -> None:
    users = frames_of().users
    guest = users.assign(is_guest=users["is_guest"] | (users["account_id"] == account(27)))
    audit = Audit.of_frames(frames_of(users=guest))
    assert account(27) not in set(audit.ask("licensed-people")["account_id"])
    left = users.assign(account_status=users["account_status"].mask(users["account_id"] == account(0), "inactive"))
    audit = Audit.of_frames(frames_of(users=left))
    assert account(0) not in set(audit.ask("in-several-access-groups")["account_id"])
