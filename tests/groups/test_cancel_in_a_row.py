"""Cancel acts inside a row: waits are left at once, the journal says what is known, resume settles the rest."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spokekit.confluence import RetryPolicy
from spokekit.confluence.report import Progress
from spokekit.errors import Cancelled
from spokekit.groups.membership import Membership
from spokekit.widgets import MembershipEditor
from spokekit.widgets.base import forget_typed
from tests.groups.test_membership import outsiders

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite


# Seconds, on a machine that is busy with other tests; what is cancelled would wait for minutes.
AT_ONCE = 30


@pytest.fixture(autouse=True)
def long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process wait far longer than a slow machine needs for anything here."""
    monkeypatch.setattr(RetryPolicy, "delay", lambda *_: 120.0)


@pytest.fixture
def patient(registered: Workspace) -> Iterator[Callable[[], Membership]]:
    """Return a function that opens memberships which wait as long as the advice says, with the ledger of points."""
    opened: list[Membership] = []

    def open_one() -> Membership:
        members = Membership(
            registered.spoke(),
            registered.registry(),
            registered.store,
            pace=1000,
        )
        opened.append(members)
        return members

    yield open_one
    for members in opened:
        members.close()


def pressed_when(
    site: PracticeSite, seen: Callable[[], bool], after: float = 0.2
) -> tuple[threading.Event, list[float]]:
    """Return a Cancel that is pressed a moment after something was seen, and where the moment is noted."""
    cancel, moments = threading.Event(), []

    def wait() -> None:
        until = time.monotonic() + 20
        while not seen() and time.monotonic() < until:
            time.sleep(0.005)
        time.sleep(after)
        moments.append(time.monotonic())
        cancel.set()

    threading.Thread(target=wait, daemon=True).start()
    return cancel, moments


def writes(site: PracticeSite) -> int:
    return sum("userByGroupId" in record.path and record.method != "GET" for record in site.requests)


@pytest.mark.parametrize(
    ("action", "fault", "status", "reason", "made"),
    [
        ("add", "429-no-retry-after:1@add", "not done", "cancelled", False),
        ("remove", "429-no-retry-after:1@remove", "not done", "cancelled", False),
        ("remove", "write-lost:1@remove", "unknown", "no_answer", True),
        ("remove", "hang-up:1@remove", "unknown", "no_answer", None),
        ("remove", "503-no-retry-after:1@remove", "unknown", "no_answer", False),
        ("add", "stall:60@add", "unknown", "no_answer", True),
    ],
)
def test_the_row_at_work_is_left_within_a_second_and_journaled_as_it_is(
    registered: Workspace,
    site: PracticeSite,
    patient: Callable[[], Membership],
    action: Any,
    fault: str,
    status: str,
    reason: str,
    made: bool | None,
) -> None:
    inside = site.world.member_ids("marketing")
    people = outsiders(site, "marketing", 3) if action == "add" else inside[:3]
    members = patient()
    preview = members.preview(members.plan(people, action, group="marketing"))
    site.faults.add(fault)
    told: list[Progress] = []
    # An answer that stalls is noted when it is sent, so there the world itself is looked at.
    seen = (lambda: people[0] in site.world.member_ids("marketing")) if "stall" in fault else lambda: writes(site) > 0
    cancel, moments = pressed_when(site, seen)
    result = members.apply(preview, progress=told.append, cancel=cancel)
    assert time.monotonic() - moments[0] < AT_ONCE
    assert [(row.status, row.reason) for row in result.rows] == [(status, reason)] + [("not done", "cancelled")] * 2
    assert result.stopped.startswith("Cancelled after 0 of 3 changes.")
    assert ("not known" in result.stopped) is (status == "unknown")
    if "stall" not in fault:
        pauses = [one for one in told if one.paused_until]
        assert pauses
        assert re.fullmatch(r"0 of 3 changes; .*(until|at) \d\d:\d\d:\d\d", pauses[0].words)
    state = members.journal.state(result.apply_id)
    assert [row.status for row in state.rows] == [status, "not done", "not done"]
    assert state.sent == ({0} if status == "unknown" else frozenset())
    if made is not None:
        assert (people[0] in site.world.member_ids("marketing")) is (made == (action == "add"))

    site.faults.clear()
    rest = patient().resume()
    assert rest.finished
    assert {row.status for row in rest.rows} == {"done"}
    assert rest.rows[0].reason == ("read_back" if made else rest.rows[0].reason)
    # What was made belongs to this apply, whoever read it back: undo brings it all back.
    again = patient()
    again.apply(again.preview(again.plan_undo()))
    assert set(site.world.member_ids("marketing")) == set(inside)


def test_the_read_back_of_a_lost_answer_is_left_too(site: PracticeSite, patient: Callable[[], Membership]) -> None:
    people = outsiders(site, "marketing", 2)
    members = patient()
    preview = members.preview(members.plan(people, "add", group="marketing"))
    site.faults.add("hang-up:1@add", "503-no-retry-after:2@memberof")
    # The look before the change asks for the same, and would meet the faults instead.
    members.site.was_so = lambda *_, **__: None  # type: ignore[method-assign]
    cancel, moments = pressed_when(site, lambda: writes(site) > 0, after=0.4)
    told: list[Progress] = []
    result = members.apply(preview, progress=told.append, cancel=cancel)
    assert time.monotonic() - moments[0] < AT_ONCE
    assert [row.status for row in result.rows] == ["unknown", "not done"]
    assert any("is not available (503), next try at" in one.words for one in told)


def test_an_hour_that_is_spent_is_told_and_left(site: PracticeSite, patient: Callable[[], Membership]) -> None:
    people = outsiders(site, "marketing", 3)
    members = patient()
    preview = members.preview(members.plan(people, "add", group="marketing"))
    told: list[Progress] = []
    cancel = threading.Event()

    def listen(one: Progress) -> None:
        told.append(one)
        if one.unit == "changes" and one.done == 1 and not one.paused_until:
            members.site.spoke.aio.gateway.ledger.exhausted(None)  # type: ignore[union-attr]
        if one.paused_until and one.unit == "changes":
            cancel.set()

    began = time.monotonic()
    result = members.apply(preview, progress=listen, cancel=cancel)
    assert time.monotonic() - began < AT_ONCE
    assert [row.status for row in result.rows] == ["done", "not done", "not done"]
    assert re.search(r"1 of 3 changes; the limit is reached, waiting until (.*, )?\d\d:\d\d:00", told[-1].words)


def test_cancel_while_the_site_is_read_changes_nothing(site: PracticeSite, patient: Callable[[], Membership]) -> None:
    people = outsiders(site, "marketing", 2)
    members = patient()
    preview = members.preview(members.plan(people, "add", group="marketing"))
    for fault in ("503-no-retry-after:1@group", "503-no-retry-after:1@groups", "503-no-retry-after:1@members"):
        site.faults.clear()
        site.faults.add(fault)
        cancel = threading.Event()
        told: list[Progress] = []

        def listen(one: Progress, told: list[Progress] = told, cancel: threading.Event = cancel) -> None:
            told.append(one)
            cancel.set()

        began = time.monotonic()
        with pytest.raises(Cancelled, match="nothing was changed"):
            members.apply(preview, progress=listen, cancel=cancel)
        assert time.monotonic() - began < AT_ONCE, fault
        assert told[0].paused_until, fault
        assert told[0].words.startswith("Reading the site: ")
    assert not site.writes
    assert not members.journal.apply_ids()


def test_no_connection_is_not_called_unknown(
    registered: Workspace, site: PracticeSite, members: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RetryPolicy, "delay", lambda *_: 0.1)
    people = outsiders(site, "marketing", 2)
    preview = members.preview(members.plan(people, "add", group="marketing"))
    add = members.site.add

    def gone(*args: Any, **options: Any) -> None:
        site.stop()
        add(*args, **options)

    members.site.add = gone  # type: ignore[method-assign]
    result = members.apply(preview)
    assert [(row.status, row.reason) for row in result.rows] == [("failed", "not_sent"), ("not done", "stopped")]
    assert "Nobody listens" in result.stopped or "no usable answer" in result.stopped
    assert members.journal.state(result.apply_id).sent == frozenset()


def test_a_slow_pace_does_not_hold_cancel_up(site: PracticeSite, open_members: Callable[..., Membership]) -> None:
    members = open_members(pace=0.01)
    preview = members.preview(members.plan(outsiders(site, "marketing", 2), "add", group="marketing"))
    cancel, moments = pressed_when(site, lambda: bool(site.writes))
    result = members.apply(preview, cancel=cancel)
    assert time.monotonic() - moments[0] < AT_ONCE
    assert result.counts() == {"done": 1, "not done": 1}


# -- with real signals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["503-no-retry-after:1@remove", "429-no-retry-after:1@remove"])
def test_one_ctrl_c_ends_an_apply_on_a_dead_site(
    registered: Workspace, site: PracticeSite, home: Path, tmp_path: Path, fault: str
) -> None:
    group = site.world.find_group("marketing").group_id
    people = site.world.member_ids("marketing")[:4]
    file, plan = tmp_path / "list.csv", tmp_path / "plan.json"
    file.write_text("group_id,account_id\n" + "".join(f"{group},{account}\n" for account in people))
    spokekit = [sys.executable, "-m", "spokekit", "members"]
    env = {**os.environ, "SPOKEKIT_HOME": str(home)}
    made = subprocess.run(
        [*spokekit, "plan", "--mode", "remove", "--file", str(file), "--out", str(plan)],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert made.returncode == 0, made.stderr
    site.faults.add(fault)
    running = subprocess.Popen(
        [*spokekit, "apply", str(plan), "--format", "csv"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not writes(site) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=20)
    assert running.returncode == 3, err
    assert re.search(r"0 of 4 changes; .*(until|at) \d\d:\d\d:\d\d", err)
    assert "Stopping …" in err
    assert "Cancelled after 0 of 4 changes." in err
    assert ("It is not known whether the next one was made" in err) is fault.startswith("503")
    assert out.count("not done") == (3 if fault.startswith("503") else 4)
    site.faults.clear()
    rest = subprocess.run([*spokekit, "resume"], env=env, capture_output=True, text=True, timeout=60)
    assert rest.returncode == 0, rest.stderr
    assert "4 done" in rest.stderr
    assert not set(people) & set(site.world.member_ids(group))


# -- in the editor ---------------------------------------------------------------------------------------------------


def test_cancel_in_the_editor_tells_what_became_of_it(registered: Workspace, site: PracticeSite) -> None:
    forget_typed()
    editor = MembershipEditor(workspace=registered, pace=1000)
    editor.settled()
    editor.choose("marketing")
    editor.settled()
    before = site.world.member_ids("marketing")
    editor.mark(before[:2])
    editor.ask.click()
    editor.settled()
    shown: list[str] = []
    editor.observe(lambda change: shown.append(change["new"]), "status")
    site.faults.add("503-no-retry-after:1@remove")
    editor.apply_button.click()
    deadline = time.monotonic() + 10
    while not any("next try at" in words for words in shown) and time.monotonic() < deadline:
        time.sleep(0.01)
    site.faults.add("503-no-retry-after:1@members")
    began = time.monotonic()
    editor.runner.cancel()
    editor.settled()
    assert time.monotonic() - began < AT_ONCE
    assert any(words.startswith("0 of 2 changes; ") and "next try at" in words for words in shown), shown
    assert editor.result is not None, "the site is gone, the result is not"
    assert [row.status for row in editor.result.rows] == ["unknown", "not done"]
    assert "press Read again" in editor.status
    assert editor.resume.layout.display == ""
    site.faults.clear()
    editor.resume.click()
    editor.settled()
    editor.apply_button.click()
    editor.settled()
    assert editor.result.finished
    assert set(site.world.member_ids("marketing")) == set(before[2:])
