"""What happens between preview, apply, resume and undo at the worst moment: kernels, clocks, disks, connections."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from spokekit.connections.store import Store
from spokekit.errors import Conflict, InputError, NotFound, PlanError, StoreError
from spokekit.groups import _lease, recheck
from spokekit.groups.plan import DONE, UNKNOWN
from spokekit.groups.tables import leases_table
from tests.groups.test_cancel_in_a_row import writes
from tests.groups.test_membership import do, gid, outsiders, people

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.groups.membership import Membership
    from spokekit.practice import PracticeSite

Open = Callable[..., "Membership"]
SPOKEKIT = [sys.executable, "-m", "spokekit", "members"]


def while_working(members: Membership, first: Callable[[], Any], *, row: int = 0) -> None:
    """Do something right before the call of a row, as somebody else might at that moment."""
    count = iter(range(1000))

    def watched(call: Callable[..., None], *args: Any, **options: Any) -> None:
        if next(count) == row:
            first()
        call(*args, **options)

    members.site.add = partial(watched, members.site.add)  # type: ignore[method-assign]
    members.site.remove = partial(watched, members.site.remove)  # type: ignore[method-assign]


# -- kernels -----------------------------------------------------------------------------------------------------------


def test_a_plan_that_another_kernel_is_applying_is_not_applied(
    members: Membership, site: PracticeSite, open_members: Open
) -> None:
    new = outsiders(site, "marketing", 3)
    preview = members.preview(members.plan(new, "add", group="marketing"))
    other = members.preview(members.plan(outsiders(site, "procurement", 1), "add", group="procurement"))
    second = open_members()
    told: list[str] = []

    def meanwhile() -> None:
        for plan in (preview, other):
            with pytest.raises(Conflict) as caught:
                second.apply(plan)
            told.append(caught.value.message)

    while_working(members, meanwhile, row=1)
    result = members.apply(preview)
    assert told == ["An apply is running on this site in another kernel or terminal."] * 2
    assert result.counts() == {"done": 3}
    assert len(members.journal.apply_ids()) == 1
    undo = members.preview(members.plan_undo())
    assert len(undo.plan.planned) == 3, "nobody else's apply stands in the way of taking it back"


def test_two_processes_with_one_plan_file(
    registered: Workspace, members: Membership, site: PracticeSite, home: Path, tmp_path: Path
) -> None:
    new = outsiders(site, "marketing", 6)
    before = set(people(site, "marketing"))
    plan = members.save(members.preview(members.plan(new, "add", group="marketing")), tmp_path / "plan.json")
    site.faults.add("stall:0.1@add")
    env = {**os.environ, "SPOKEKIT_HOME": str(home)}
    both = [
        subprocess.Popen([*SPOKEKIT, "apply", str(plan), "--yes"], env=env, text=True, stderr=-1, stdout=-1)
        for _ in range(2)
    ]
    ends = sorted((one.communicate(timeout=60)[1], one.returncode) for one in both)
    assert sorted(code for _, code in ends) == [0, 1], ends
    (refused,) = (err for err, code in ends if code)
    assert "running on this site in another kernel" in refused or "not as they were at the preview" in refused
    assert site.writes == {gid(site, "marketing"): 6}, "each change was made once"
    site.faults.clear()
    members.apply(members.preview(members.plan_undo()))
    assert set(people(site, "marketing")) == before


def test_a_row_longer_than_the_lease_keeps_it(
    members: Membership, site: PracticeSite, open_members: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row can wait an hour for its points; whoever resumed meanwhile would do it a second time."""
    monkeypatch.setattr(_lease, "LASTS", timedelta(seconds=0.6))
    monkeypatch.setattr(_lease, "_RENEW_AFTER", timedelta(seconds=0.1))
    monkeypatch.setattr(_lease, "_TICK", 0.05)
    preview = members.preview(members.plan(outsiders(site, "marketing", 2), "add", group="marketing"))
    second = open_members()
    told: list[type[Exception]] = []

    def meanwhile() -> None:
        time.sleep(1.5)
        with pytest.raises(Conflict):
            second.resume()
        told.append(Conflict)

    while_working(members, meanwhile)
    assert members.apply(preview).counts() == {"done": 2}
    assert told


def test_who_was_taken_over_in_a_pause_neither_sends_nor_writes_any_more(
    registered: Workspace, site: PracticeSite, open_members: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A computer that slept through its lease must not wake up and do what was undone meanwhile."""
    from spokekit.groups.membership import Membership

    monkeypatch.setattr(_lease, "_RENEW_AFTER", timedelta(seconds=0.1))
    monkeypatch.setattr(_lease, "_TICK", 0.05)
    # This one waits as long as it is advised to.
    members = Membership(registered.spoke(), registered.registry(), registered.store, pace=1000)
    new = outsiders(site, "marketing", 3)
    preview = members.preview(members.plan(new, "add", group="marketing"))
    site.faults.add("429-no-retry-after:1@add")
    ended: list[Exception] = []

    def sleeper() -> None:
        try:
            members.apply(preview)
        except Conflict as error:
            ended.append(error)

    thread = threading.Thread(target=sleeper)
    thread.start()
    until = time.monotonic() + 10
    while not writes(site) and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.2)
    site.faults.clear()
    with registered.store.write() as connection:
        connection.execute(leases_table.delete())
    second = open_members()
    assert second.resume().counts() == {"done": 3}
    undo = second.preview(second.plan_undo())
    second.apply(undo)
    sent = writes(site)
    before = second.journal.entries()
    thread.join(20)
    members.close()
    assert ended
    assert "taken this apply over" in str(ended[0])
    time.sleep(0.5)
    assert writes(site) == sent, "the late one sent nothing more"
    assert second.journal.entries().equals(before)
    assert not set(new) & set(people(site, "marketing"))


# -- plans, groups, connections ----------------------------------------------------------------------------------------


def test_a_plan_from_the_future_and_one_from_a_clock_that_is_a_little_ahead(
    members: Membership, site: PracticeSite
) -> None:
    preview = members.preview(members.plan(outsiders(site, "marketing", 1), "add", group="marketing"))
    for ahead, refused in ((timedelta(days=400), True), (timedelta(minutes=3), False)):
        moved = replace(preview, plan=replace(preview.plan, made_at=datetime.now(UTC) + ahead))
        assert "1 second ago" in moved.age_words
        if refused:
            with pytest.raises(PlanError, match=r"from a time that is .* hours ahead"):
                members.apply(moved)
            assert not site.writes
        else:
            assert members.apply(moved).counts() == {"done": 1}


def test_a_plan_replaced_on_the_disk_by_another_good_one(
    members: Membership, site: PracticeSite, tmp_path: Path
) -> None:
    """The file that is applied is the one that is there; an older one of before somebody's change is refused."""
    new = outsiders(site, "marketing", 2)
    first = members.preview(members.plan(new, "add", group="marketing"))
    path = members.save(first, tmp_path / "plan.json")
    kept = path.read_bytes()
    members.apply(members.load(path))
    with pytest.raises(PlanError, match="not as they were"):
        members.apply(members.load(path))
    members.save(members.preview(members.plan(new, "remove", group="marketing")), path)
    members.apply(members.load(path))
    path.write_bytes(kept)
    # The ground is again what it was then, so this is the plan that was looked at.
    assert members.apply(members.load(path)).counts() == {"done": 2}


def test_a_group_taken_off_the_table_between_preview_and_apply_and_in_the_middle(
    members: Membership, site: PracticeSite, registered: Workspace
) -> None:
    group = gid(site, "marketing")
    preview = members.preview(members.plan(outsiders(site, "marketing", 3), "add", group=group))
    groups = site.world.frames(tables=["groups"])["groups"]
    registered.registry().remove(group)
    with pytest.raises(PlanError, match="no longer registered"):
        members.apply(preview)
    registered.registry().add(group, groups=groups)
    while_working(members, lambda: registered.registry().remove(group), row=1)
    result = members.apply(preview)
    assert [(row.status, row.reason) for row in result.rows] == [("done", ""), *[("refused", "guard")] * 2]
    assert site.writes == {group: 1}
    # Taking back what was done is a change of the group, too.
    (row,) = members.plan_undo().rows
    assert (row.status, row.reason) == ("refused", "not_registered")


def test_a_connection_that_was_led_elsewhere_after_it_was_opened(
    members: Membership, site: PracticeSite, registered: Workspace, tmp_path: Path
) -> None:
    preview = members.preview(members.plan(outsiders(site, "marketing", 2), "add", group="marketing"))
    path = members.save(preview, tmp_path / "plan.json")
    connection = registered.connection()
    registered.connections.set_site(
        connection.connection_id, "99999999-1111-4222-8333-444444444444", "Other", "https://other.example"
    )
    for attempt in (lambda: members.apply(preview), lambda: members.check(preview), lambda: members.load(path)):
        with pytest.raises(PlanError, match=r"changed meanwhile: it now leads to https://other\.example"):
            attempt()
    with pytest.raises(PlanError, match="changed meanwhile"):
        members.resume()
    assert not site.writes
    registered.connections.remove(connection.connection_id)
    with pytest.raises(NotFound):
        members.apply(preview)


def test_undo_is_no_mode_of_a_list(members: Membership, site: PracticeSite) -> None:
    with pytest.raises(InputError, match="no mode undo"):
        members.plan(outsiders(site, "marketing", 1), "undo", group="marketing")


# -- undo and resume ---------------------------------------------------------------------------------------------------


def test_undo_of_undo_of_undo_and_undo_twice(members: Membership, site: PracticeSite) -> None:
    before = set(people(site, "marketing"))
    new = outsiders(site, "marketing", 2)
    result = do(members, new, "add", group="marketing")
    states = []
    for _ in range(3):
        result = members.apply(members.preview(members.plan_undo(result.apply_id)))
        states.append(set(people(site, "marketing")))
    assert states == [before, before | set(new), before]
    # Without an id: the last apply that is no undo, and all of it was changed again since.
    plan = members.plan_undo()
    assert {row.reason for row in plan.rows} == {"later_apply"}
    assert not members.apply(members.preview(plan)).apply_id


def test_what_an_apply_did_after_it_was_resumed_is_its_own_to_undo(
    members: Membership, site: PracticeSite, open_members: Open
) -> None:
    before = set(people(site, "marketing"))
    early, late = outsiders(site, "marketing", 2)
    cancel = threading.Event()
    preview = members.preview(members.plan([early, late], "add", group="marketing"))
    first = members.apply(preview, cancel=cancel, progress=lambda one: cancel.set())
    assert first.counts() == {"done": 1, "not done": 1}
    do(members, [late], "add", group="marketing")
    do(members, [late], "remove", group="marketing")
    assert open_members().resume(first.apply_id).counts() == {"done": 2}
    members.apply(members.preview(members.plan_undo(first.apply_id)))
    assert set(people(site, "marketing")) == before


def test_an_outcome_read_back_after_a_later_apply_is_not_taken_from_that(
    members: Membership, site: PracticeSite, open_members: Open
) -> None:
    (new,) = outsiders(site, "marketing", 1)
    preview = members.preview(members.plan([new], "add", group="marketing"))
    while_working(members, lambda: site.faults.add("hang-up:1@add", "503-no-retry-after:1@memberof"))
    first = members.apply(preview)
    assert first.counts() == {"unknown": 1}
    site.faults.clear()
    second = do(members, [new], "add", group="marketing")
    assert second.counts() == {"done": 1}
    open_members().resume(first.apply_id)
    assert not members.plan_undo(first.apply_id).planned
    assert len(members.plan_undo(second.apply_id).planned) == 1


def test_an_old_apply_is_brought_to_its_end_and_not_gone_on_with(
    members: Membership, site: PracticeSite, open_members: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = outsiders(site, "marketing", 3)
    preview = members.preview(members.plan(new, "add", group="marketing"))
    while_working(members, lambda: site.faults.add("write-lost:1@add", "503-no-retry-after:1@memberof"), row=1)
    result = members.apply(preview)
    assert [row.status for row in result.rows] == ["done", "unknown", "not done"]
    site.faults.clear()
    monkeypatch.setattr(recheck, "MAX_AGE", 0.0)
    rest = open_members().resume()
    assert [(row.status, row.reason) for row in rest.rows] == [
        ("done", ""),
        ("done", "read_back"),
        ("refused", "too_old"),
    ]
    assert "make a new plan" in rest.rows[2].message
    assert set(people(site, "marketing")) >= set(new[:2])
    assert new[2] not in people(site, "marketing")
    with pytest.raises(NotFound):
        members.resume()
    assert not any("not finished" in d for d in members.preview(members.plan(new, "add", group="marketing")).dangers)


# -- disk --------------------------------------------------------------------------------------------------------------


class SmallDisk:
    """A store whose file may not grow any more: SQLite itself says that the disk is full."""

    def __init__(self, store: Store, more_pages: int) -> None:
        self.store = Store(store.url)
        with self.store.read() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        self._limit: int | None = pages + more_pages
        sa.event.listen(self.store.engine, "checkout", self._set)

    def _set(self, connection: Any, _record: Any, _proxy: Any) -> None:
        connection.execute(f"PRAGMA max_page_count={self._limit or 1_000_000}")

    def freed(self) -> None:
        self._limit = None


@pytest.mark.parametrize("more_pages", [1, 2, 3])
def test_a_disk_that_fills_up_stops_the_apply_with_true_words(
    members: Membership, site: PracticeSite, registered: Workspace, more_pages: int
) -> None:
    from spokekit.groups.membership import Membership

    before = set(people(site, "marketing"))
    new = outsiders(site, "marketing", 20)
    preview = members.preview(members.plan(new, "add", group="marketing"))
    disk = SmallDisk(registered.store, more_pages)
    small = Membership(members.site.spoke, members.registry, disk.store, pace=1000)
    result = small.apply(preview)
    assert "could not be noted in the journal" in result.stopped
    assert "disk is full" in result.stopped
    assert "nothing was changed" not in result.words
    assert not result.finished
    inside = set(people(site, "marketing"))
    state = members.journal.state(result.apply_id)
    assert [row.status for row in state.rows] == [row.status for row in result.rows], "told as it is written"
    for row in result.rows:
        if row.status == DONE:
            assert row.account_id in inside
        elif row.status != UNKNOWN:
            assert row.account_id not in inside
    with pytest.raises(StoreError, match="disk is full"):
        small.resume()
    assert set(people(site, "marketing")) == inside
    disk.freed()
    assert small.resume().counts() == {"done": 20}
    undo = small.preview(small.plan_undo())
    small.apply(undo, confirm=undo.confirmation)
    assert set(people(site, "marketing")) == before
    disk.store.close()


def test_a_disk_that_is_full_from_the_start_changes_nothing(
    members: Membership, site: PracticeSite, registered: Workspace
) -> None:
    from spokekit.groups.membership import Membership

    new = outsiders(site, "marketing", 60)
    preview = members.preview(members.plan(new, "add", group="marketing"))
    disk = SmallDisk(registered.store, 0)
    small = Membership(members.site.spoke, members.registry, disk.store, pace=1000)
    with pytest.raises(StoreError, match="disk is full"):
        small.apply(preview, confirm=preview.confirmation)
    assert not site.writes
    assert not members.journal.apply_ids()
    disk.freed()
    assert small.apply(preview, confirm=preview.confirmation).counts() == {"done": len(new)}
    disk.store.close()


# -- signals -----------------------------------------------------------------------------------------------------------


def test_a_second_ctrl_c_ends_at_once_and_resume_reads_the_row_back(
    members: Membership, site: PracticeSite, home: Path, tmp_path: Path
) -> None:
    new = outsiders(site, "marketing", 3)
    plan = members.save(members.preview(members.plan(new, "add", group="marketing")), tmp_path / "plan.json")
    site.faults.add("stall:30@add")
    env = {**os.environ, "SPOKEKIT_HOME": str(home)}
    running = subprocess.Popen([*SPOKEKIT, "apply", str(plan)], env=env, text=True, stdout=-1, stderr=-1)
    until = time.monotonic() + 30
    while new[0] not in people(site, "marketing") and time.monotonic() < until:
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    time.sleep(0.15)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=10)
    assert running.returncode == 130, err
    (apply_id,) = members.journal.apply_ids()
    assert [row.status for row in members.journal.state(apply_id).rows] == ["unknown", "not done", "not done"]
    site.faults.clear()
    rest = subprocess.run([*SPOKEKIT, "resume"], env=env, capture_output=True, text=True, timeout=60)
    assert rest.returncode == 0, rest.stderr
    assert "3 done" in rest.stderr
    assert members.journal.state(apply_id).rows[0].reason == "read_back"


@pytest.mark.skipif(os.name != "posix", reason="needs a terminal of its own")
def test_ctrl_c_at_the_question_leaves_and_changes_nothing(
    members: Membership, site: PracticeSite, home: Path, tmp_path: Path
) -> None:
    preview = members.preview(members.plan(outsiders(site, "marketing", 25), "add", group="marketing"))
    plan = members.save(preview, tmp_path / "plan.json")
    ours, theirs = pty.openpty()
    env = {**os.environ, "SPOKEKIT_HOME": str(home)}
    asked = subprocess.Popen([*SPOKEKIT, "apply", str(plan)], env=env, text=True, stdin=theirs, stdout=-1, stderr=-1)
    assert asked.stderr is not None
    for line in asked.stderr:
        if "Type these words" in line:
            break
    time.sleep(0.2)
    asked.send_signal(signal.SIGINT)
    _, err = asked.communicate(timeout=10)
    os.close(ours)
    os.close(theirs)
    assert asked.returncode == 130, err
    assert not site.writes


# -- accounts ----------------------------------------------------------------------------------------------------------


def test_an_account_that_is_closed_at_each_moment(members: Membership, site: PracticeSite) -> None:
    world = site.world
    inside = people(site, "marketing")
    early, late, later = outsiders(site, "marketing", 3)
    users = world.frames(tables=["users"])["users"]
    closed = users[users["account_status"] == "closed"]["account_id"].iloc[0]
    (row,) = members.plan([closed], "add", group="marketing").rows
    assert (row.status, row.reason) == ("refused", "inactive")
    assert "closed" in row.message

    preview = members.preview(members.plan([early, late], "add", group="marketing"))
    world.set_status(early, "closed")
    with pytest.raises(PlanError, match="The account is closed"):
        members.apply(preview)
    assert not site.writes

    preview = members.preview(members.plan([late, later], "add", group="marketing"))
    while_working(members, lambda: world.set_status(later, "closed"), row=1)
    result = members.apply(preview)
    wrong = {"done": later in people(site, "marketing"), "failed": later not in people(site, "marketing")}
    assert wrong[result.rows[1].status], result.rows[1]

    gone = next(a for a in inside if a != site.account_id)
    removed = do(members, [gone], "remove", group="marketing")
    world.set_status(gone, "closed")
    (row,) = members.plan_undo(removed.apply_id).rows
    assert (row.status, row.reason) == ("refused", "inactive")
    # Who was added and has left the company since is taken out like anybody.
    world.set_status(late, "closed")
    undo = {row.account_id: row.status for row in members.plan_undo(result.apply_id).rows}
    assert undo[late] == "planned"
