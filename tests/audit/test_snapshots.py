"""Snapshots on disk: history, crashes, coverage, several writers, and what is swept away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from spokekit.audit import Audit, Frames, Snapshots, diff
from spokekit.audit.history.merge import HISTORY
from spokekit.audit.history.snapshot import folder_name
from spokekit.audit.history.snapshots import KEEP, MERGE_AT
from spokekit.errors import InputError, NotFound, StoreError
from tests.audit.worlds import DAY_ONE, SITE, account, four_days, frames_of, group_id
from tests.audit.writers import clean_processes, write_if_newer, write_slowly


def pairs_of(audit: Audit) -> set[tuple[str, str]]:
    return set(audit.frame("memberships").astype(str).itertuples(index=False, name=None))


def without(frames: Frames, *numbers: int) -> pd.DataFrame:
    return frames.memberships.drop(index=list(numbers)).reset_index(drop=True)


def test_every_moment_can_be_looked_at_again(tmp_path: Path) -> None:
    """Long enough that files of the history are merged and old states are swept away."""
    store = Snapshots(SITE, tmp_path)
    whole = frames_of()
    wanted = []
    for day in range(MERGE_AT + 8):
        pulled = frames_of(day=day, memberships=without(whole, *range(day % 5, day % 7 + 5)))
        newest = store.write(pulled)
        wanted.append(set(pulled.memberships.astype(str).itertuples(index=False, name=None)))
    for number, pairs in list(enumerate(wanted, 1))[::4]:
        assert pairs_of(Audit.of_snapshot(newest, at=number)) == pairs
    assert [m.number for m in newest.moments] == list(range(1, MERGE_AT + 9))
    kept = [p.name for p in sorted(store.folder.glob("0*")) if (p / "memberships.parquet").exists()]
    assert len(kept) == KEEP
    assert len(newest.paths("memberships-ended")) < MERGE_AT
    assert Audit.of_site(SITE, at=DAY_ONE + timedelta(days=3, hours=5), folder=tmp_path).moments()[-1].number == 4
    with pytest.raises(NotFound, match="no snapshot of Class from that moment"):
        newest.looked_at(DAY_ONE - timedelta(days=1))


def test_frames_come_back_as_they_went_in(tmp_path: Path) -> None:
    frames = frames_of()
    audit = Audit.of_snapshot(Snapshots(SITE, tmp_path).write(frames))
    for name in ("groups", "users", "spaces", "grants"):
        keys = list(getattr(frames, name).columns)
        wanted = getattr(frames, name).sort_values(keys, ignore_index=True)
        assert audit.frame(name).sort_values(keys, ignore_index=True).equals(wanted)
    assert pairs_of(audit) == set(frames.memberships.astype(str).itertuples(index=False, name=None))
    assert isinstance(audit.frame("memberships")["account_id"].dtype, pd.CategoricalDtype)


def test_members_of_groups_that_nobody_walked_stay(tmp_path: Path) -> None:
    store = Snapshots(SITE, tmp_path)
    first = store.write(frames_of())
    frames = frames_of(day=1)
    only = frames.memberships[frames.memberships["group_id"] == group_id("marketing")].iloc[1:]
    states = {group_id("marketing"): "walked", group_id("procurement"): "failed"}
    coverage = pd.DataFrame(
        [
            (g, states.get(g, "not walked"), frames.taken_at if states.get(g) == "walked" else None, False)
            for g in frames.groups["group_id"]
        ],
        columns=["group_id", "state", "walked_at", "disturbed"],
    )
    given = {**frames.as_dict(), "memberships": only, "coverage": coverage}
    report = {"complete": False, "words": "Incomplete."}
    partly = Frames.of(given, site=SITE, taken_at=frames.taken_at, completeness=report)
    audit = Audit.of_snapshot(store.write(partly))
    assert pairs_of(Audit.of_snapshot(first)) - pairs_of(audit) == {(group_id("marketing"), account(5))}
    missed = audit.not_walked().set_index("name")
    assert missed.loc["procurement", "state"] == "failed"
    assert (missed["walked_at"] == pd.Timestamp(DAY_ONE)).all()
    assert audit.caution() == "Mind: 1 group failed, 24 groups not walked."
    assert "procurement" not in set(audit.ask("groups-without-members")["group_name"])
    assert audit.ask("changes-since", days=9)[["change", "account_id"]].values.tolist() == [["removed", account(5)]]


def test_groups_that_were_first_walked_later_are_neither_empty_nor_all_new(tmp_path: Path) -> None:
    store = Snapshots(SITE, tmp_path)
    whole, later = frames_of(), frames_of(day=1)
    one = group_id("marketing")
    coverage = pd.DataFrame(
        [
            (g, *(("walked", whole.taken_at) if g == one else ("not walked", None)), False)
            for g in whole.groups.group_id
        ],
        columns=["group_id", "state", "walked_at", "disturbed"],
    )
    only = whole.memberships[whole.memberships["group_id"] == one]
    narrow = Frames.of(
        {**whole.as_dict(), "memberships": only, "coverage": coverage}, site=SITE, taken_at=whole.taken_at
    )
    store.write(narrow)
    gone = later.memberships.drop(index=later.memberships.index[later.memberships["group_id"] == one][0])
    newest = store.write(frames_of(day=1, memberships=gone.reset_index(drop=True)))
    before, after = Audit.of_snapshot(newest, at=1), Audit.of_snapshot(newest)
    assert before.ask("groups-without-members").empty, "nobody had looked at the others yet"
    assert len(before.not_walked()) == len(whole.groups) - 1 and "not walked" in before.caution()
    assert len(after.ask("groups-without-members")) > 0 and after.not_walked().empty
    changed = diff(before, after)
    assert changed[["change", "group_id"]].values.tolist() == [["removed", one]]
    assert set(changed.attrs["not_compared"]) == set(whole.groups["group_id"]) - {one}
    assert after.ask("changes-since", days=9)["change"].to_list() == ["removed"]


def test_a_walk_without_spaces_keeps_what_was_known_of_them(tmp_path: Path) -> None:
    store = Snapshots(SITE, tmp_path)
    store.write(frames_of())
    frames = frames_of(day=1)
    nothing = {name: frame for name, frame in frames.as_dict().items() if name not in ("spaces", "grants")}
    bare = Frames.of(nothing, site=SITE, taken_at=frames.taken_at, scope={"groups": "all groups", "spaces": False})
    audit = Audit.of_snapshot(store.write(bare))
    assert len(audit.ask("open-spaces")) == 3
    assert audit.ask("changed-grants", days=9).empty


def test_a_writer_killed_at_any_moment_leaves_the_last_good_snapshot(tmp_path: Path) -> None:
    store = Snapshots(SITE, tmp_path)
    good = store.write(frames_of())
    before = {p: p.read_bytes() for p in good.folder.iterdir()}
    context = clean_processes()
    killed = 0
    for attempt in range(12):
        ready = context.Event()
        child = context.Process(target=write_slowly, args=(str(tmp_path), 1, ready))
        child.start()
        assert ready.wait(60)
        time.sleep(0.004 * attempt * (1 + attempt % 3))
        child.kill()
        child.join()
        killed += child.exitcode == -signal.SIGKILL
        newest = store.latest()
        assert newest.at in (1, 2)
        assert len(pairs_of(Audit.of_snapshot(newest))) == 289
        if newest.at == 2:
            break
    assert killed
    # The last one may have been killed after its snapshot had got its number and before it swept.
    store.write(frames_of(day=2))
    assert {p: p.read_bytes() for p in good.folder.iterdir()} == before
    assert not list(store.folder.glob(".new-*"))


def test_a_full_disk_is_said_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Snapshots(SITE, tmp_path)
    store.write(frames_of())

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match=r"No space left on device.*last good snapshot is unchanged"):
            store.write(frames_of(day=1))
    assert sorted(p.name for p in store.folder.iterdir()) == ["000001", "newest"]
    assert store.latest().at == 1
    assert store.write(frames_of(day=1)).at == 2


@pytest.mark.parametrize("damage", ["cut", "gone", "manifest"])
def test_a_damaged_newest_snapshot_is_passed_over(tmp_path: Path, damage: str) -> None:
    store = Snapshots(SITE, tmp_path)
    store.write(frames_of())
    newest = store.write(frames_of(day=1))
    victim = newest.folder / ("manifest.json" if damage == "manifest" else "memberships.parquet")
    if damage == "gone":
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes()[:-20])
    older = Audit.of_snapshot(store.latest())
    assert older.source.at == 1
    assert older.caution().startswith("This is from the older snapshot 1, of 2026-03-02 09:00 UTC: the newest one (2)")
    assert f"000002/{victim.name}" in older.caution() and "spokekit audit check" in older.caution()
    assert older.ask("group-sizes").attrs["caution"] == older.caution()
    written = store.write(frames_of(day=2))
    assert written.manifest["number"] == 3
    assert "This one goes on from snapshot 1" in written.completeness["notes"][-1]
    newest = Audit.of_snapshot(store.latest())
    assert len(pairs_of(newest)) == 289 and newest.caution() == ""


def test_two_writers_never_share_a_number(tmp_path: Path) -> None:
    context = clean_processes()
    store = Snapshots(SITE, tmp_path)
    store.write(frames_of())
    children = [context.Process(target=write_if_newer, args=(str(tmp_path), day)) for day in range(1, 4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    newest = store.latest()
    assert newest.moments[-1].taken_at == DAY_ONE + timedelta(days=3)
    numbers = [m.number for m in newest.moments]
    assert numbers == sorted(set(numbers))
    assert [m.taken_at for m in newest.moments] == sorted(m.taken_at for m in newest.moments)


def test_order_time_and_place(tmp_path: Path) -> None:
    store = Snapshots(SITE, tmp_path)
    with pytest.raises(NotFound, match="no snapshot of Class yet"):
        store.latest()
    store.write(frames_of(day=1))
    with pytest.raises(InputError, match="not newer"):
        store.write(frames_of(day=1))
    assert oct(store.folder.stat().st_mode & 0o777) == "0o700"
    manifest = json.loads((store.folder / "000001" / "manifest.json").read_text())
    assert manifest["site"] == {"cloud_id": "class-site", "name": "Class", "url": "https://class.example"}
    assert manifest["rows"].keys() == set(HISTORY)
    assert folder_name("../../etc").startswith("site-")
    assert folder_name("a1b2-c3") == "a1b2-c3"


def test_differences_of_moments_and_of_frames_are_the_same(tmp_path: Path) -> None:
    past = four_days(tmp_path)
    moments = {n: Audit.of_snapshot(past.source, at=n) for n in (1, 2, 3, 4)}
    loose = {n: Audit.of_frames(audit.frames(), site=SITE, taken_at=audit.taken_at) for n, audit in moments.items()}
    for one, two in ((1, 2), (1, 3), (2, 3), (3, 4), (1, 4)):
        stored, free = diff(moments[one], moments[two]), diff(loose[one], loose[two])
        pd.testing.assert_frame_equal(stored, free)
        pd.testing.assert_frame_equal(stored, diff(moments[one], loose[two]))
        pd.testing.assert_frame_equal(stored, diff(loose[one], moments[two]))
        wanted = {("added", *p) for p in pairs_of(moments[two]) - pairs_of(moments[one])}
        wanted |= {("removed", *p) for p in pairs_of(moments[one]) - pairs_of(moments[two])}
        got = set(stored[["change", "group_id", "account_id"]].itertuples(index=False, name=None))
        assert got == wanted
    assert diff(moments[1], moments[4]).attrs["not_compared"] == []
    with pytest.raises(InputError, match="newer than the second"):
        diff(moments[3], moments[1])
    with pytest.raises(InputError, match="two sites"):
        diff(moments[1], Audit.of_frames(frames_of().as_dict(), site="another"))


def test_frames_are_checked_when_they_come_in() -> None:
    with pytest.raises(InputError, match="frame memberships lacks the column account_id"):
        Frames.of({"memberships": pd.DataFrame({"group_id": ["g"]})})
    with pytest.raises(InputError, match="No such frame: members"):
        Frames.of({"members": pd.DataFrame()})
    stranger = pd.DataFrame({"group_id": ["g", "g"], "account_id": ["a", "a"]})
    audit = Audit.of_frames({"memberships": stranger})
    answer = audit.ask("members-of-groups")
    assert answer[["group_name", "person"]].values.tolist() == [["g", "a"]]


def test_answers_are_the_same_however_often_one_asks_and_from_however_many_threads(tmp_path: Path) -> None:
    """Ids move into memory with the second question; nothing of that may show."""
    newest = four_days(tmp_path).source
    asked = ("changes-since", "changed-groups", "members-of-groups", "changed-grants")

    def answers(audit: Audit) -> list[Any]:
        return [audit.ask(name, **({"days": 30} if "change" in name else {})) for name in asked]

    for at in (None, 3):
        once = [Audit.of_snapshot(newest, at=at).ask(n, **({"days": 30} if "change" in n else {})) for n in asked]
        assert sum(map(len, once)) > 300
        audit = Audit.of_snapshot(newest, at=at)
        with ThreadPoolExecutor(4) as pool:
            many = list(pool.map(answers, [audit] * 4))
        for got in [*many, answers(audit)]:
            for one, other in zip(once, got, strict=True):
                pd.testing.assert_frame_equal(one, other)
        assert audit.session.rows("SELECT COUNT(*) FROM duckdb_tables() WHERE table_name LIKE '%_ids_kept'") == [(3,)]


def test_importing_the_package_is_light() -> None:
    code = (
        "import sys, spokekit.audit; spokekit.audit.questions_frame;"
        "heavy = {'pandas', 'duckdb', 'pyarrow', 'matplotlib'} & set(sys.modules); assert not heavy, heavy"
    )
    done: Any = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
