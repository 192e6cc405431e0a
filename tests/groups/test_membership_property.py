"""Random plans, faults and kills: once resumed, the site is what the plan says, and the journal is true."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spokekit.errors import SpokekitError
from spokekit.groups.journal import ROW_ENDED, ROW_STARTED
from spokekit.groups.plan import ALREADY, DONE, FAILED, NOT_DONE, PLANNED, REFUSED
from spokekit.groups.wishes import Wish, WishList

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.groups.membership import Membership, Preview
    from spokekit.practice import PracticeSite

OURS = ("marketing", "support-tier-2", "project-phoenix", "okta-engineering")
STRANGERS = ("Coffee Club", "finance-reports")
FAULTS = (
    "write-lost:2",
    "write-500:2",
    "hang-up:2@add",
    "hang-up:2@remove",
    "html-200:2@add",
    "html-502:2@remove",
    "reset:3@memberof",
    "truncated-json:2@memberof",
    "503-no-retry-after:3@members",
    "html-200:3@members",
    "null-links:2@members",
)


class Killed(BaseException):
    """The kernel is gone: nothing of ours may catch this."""


class Fate:
    """Kills and cancels at given moments, and watches what is written and sent."""

    def __init__(self, site: PracticeSite, moments: list[int], cancels: Sequence[int] = ()) -> None:
        self.site = site
        self.moments = set(moments)
        self.cancels = set(cancels)
        self.cancel = threading.Event()
        self.clock = 0
        self.begun: tuple[str, str] | None = None

    def tick(self) -> None:
        self.clock += 1
        if self.clock in self.cancels:
            # Some land before the request is sent, some while it is under way, some after its answer.
            threading.Timer(0.001 * (self.clock % 4), self.cancel.set).start()
        if self.clock in self.moments:
            raise Killed

    def so(self, group_id: str, account_id: str) -> bool:
        return account_id in self.site.world.member_ids(group_id)

    def haunt(self, members: Membership) -> Membership:
        journal, hands = members.journal, members.site
        self.cancel.clear()
        write = journal.write

        def watched(state: Any, what: str, **more: Any) -> None:
            row = more.get("row")
            if what == ROW_ENDED:
                wanted = row.action == "add"
                if row.status in (DONE, ALREADY):
                    assert self.so(*row.pair) == wanted, f"the journal would lie: {row}"
                elif row.status in (FAILED, NOT_DONE):
                    assert self.so(*row.pair) != wanted, f"the journal would lie: {row}"
            self.tick()
            write(state, what, **more)
            self.begun = row.pair if what == ROW_STARTED else None
            self.tick()

        def doing(call: Callable[..., Any]) -> Callable[..., Any]:
            def watched_call(group_id: str, account_id: str, **options: Any) -> None:
                assert self.begun == (group_id, account_id), "a call went out before its row was written down"
                self.tick()
                call(group_id, account_id, **options)
                self.tick()

            return watched_call

        journal.write = watched  # type: ignore[method-assign]
        hands.add = doing(hands.add)  # type: ignore[method-assign]
        hands.remove = doing(hands.remove)  # type: ignore[method-assign]
        return members


class Stage:
    """One site and workspace for all examples; each starts from the state that the one before left."""

    def __init__(self, site: PracticeSite, open_members: Callable[..., Membership]) -> None:
        self.site = site
        self.open = open_members
        world = site.world
        self.ids = {name: world.find_group(name).group_id for name in (*OURS, *STRANGERS)}
        self.registered = {self.ids[name] for name in OURS}
        users = world.frames(tables=["users"])["users"]
        odd = users[(users["account_type"] == "app") | (users["account_status"] != "active")]["account_id"]
        inside = [a for name in OURS[:2] for a in world.member_ids(name)]
        plain = [a for a in users["account_id"] if a not in set(odd) and a != site.account_id]
        self.pool = list(dict.fromkeys([*inside[:6], *plain[-8:], *list(odd)[:3], site.account_id, "712020:nobody"]))

    def state(self) -> set[tuple[str, str]]:
        return {(group, account) for group in self.ids.values() for account in self.site.world.member_ids(group)}

    def carry_through(self, preview: Preview, fate: Fate, faults: list[str]) -> str | None:
        """Apply, and resume as often as it takes; returns the apply's id."""
        self.site.faults.add(*faults)
        apply_id = None
        known = set(self.open().journal.apply_ids())
        try:
            with suppress(Killed, SpokekitError):
                fate.haunt(self.open()).apply(preview, confirm=preview.confirmation, cancel=fate.cancel)
            new = [i for i in self.open().journal.apply_ids() if i not in known]
            if not new:
                # The groups could not be read, so nothing was begun: the person presses Apply again.
                self.site.faults.clear()
                with suppress(Killed):
                    fate.haunt(self.open()).apply(preview, confirm=preview.confirmation)
                new = [i for i in self.open().journal.apply_ids() if i not in known]
            if not new:
                return None
            (apply_id,) = new
            for attempt in range(40):
                if attempt > 6:
                    self.site.faults.clear()
                with suppress(Killed, SpokekitError):
                    again = fate.haunt(self.open())
                    rest = again.preview_resume(apply_id)
                    again.resume(rest, confirm=rest.confirmation, cancel=fate.cancel)
                if self.open().journal.state(apply_id).finished:
                    return apply_id
            raise AssertionError("the apply never came to an end")
        finally:
            self.site.faults.clear()


@pytest.fixture
def stage(site: PracticeSite, open_members: Callable[..., Membership]) -> Iterator[Stage]:
    site.switches.quota = 10**9
    yield Stage(site, open_members)


pairs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 18)), min_size=1, max_size=7)


@given(
    mode=st.sampled_from(["add", "remove", "sync"]),
    wanted=pairs,
    faults=st.lists(st.sampled_from(FAULTS), max_size=2, unique=True),
    kills=st.lists(st.integers(1, 16), max_size=4, unique=True),
    cancels=st.lists(st.integers(1, 24), max_size=4, unique=True),
    others=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 18), st.booleans()), max_size=3),
)
@settings(
    max_examples=int(os.environ.get("SPOKEKIT_EXAMPLES", "20")),
    derandomize="SPOKEKIT_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_plan_kills_resume_undo(
    stage: Stage,
    mode: Any,
    wanted: list[tuple[int, int]],
    faults: list[str],
    kills: list[int],
    cancels: list[int],
    others: list[tuple[int, int, bool]],
) -> None:
    groups = list(stage.ids.values())
    before = stage.state()
    world = stage.site.world
    members = stage.open()
    wishes = tuple(Wish(groups[g], stage.pool[a % len(stage.pool)]) for g, a in wanted)
    preview = members.preview(members.plan(WishList(wishes), mode))
    planned = {row.pair: row.action == "add" for row in preview.plan.planned}
    assert {group for group, _ in planned} <= stage.registered

    apply_id = stage.carry_through(preview, Fate(stage.site, kills, cancels), faults)

    after = stage.state()
    assert after == (before | {p for p, add in planned.items() if add}) - {p for p, add in planned.items() if not add}
    assert set(stage.site.writes) <= stage.registered, "a group outside the registry received a write"
    if apply_id is None:
        assert not planned
        return
    state = stage.open().journal.state(apply_id)
    assert {row.status for row in state.rows} <= {DONE, ALREADY}
    assert {row.pair for row in state.rows} == set(planned)

    for g, a, add in others:
        group, account = groups[g], stage.pool[a % len(stage.pool)]
        if world.user_row(account) is not None:
            (world.add_member if add else world.remove_member)(group, account)
    changed = stage.state()
    done = {row.pair: row.action == "add" for row in state.rows if row.status == DONE}
    members = stage.open()
    if not done:
        return
    undo = members.preview(members.plan_undo(apply_id))
    kept = {row.pair for row in undo.plan.rows if row.status != PLANNED}
    for row in undo.plan.rows:
        if row.status == REFUSED:
            assert row.reason in ("inactive", "oneself"), "who left cannot come back, and nobody removes themselves"
        elif row.status == ALREADY:
            assert (row.pair in changed) != done[row.pair], "left alone only where somebody was faster"
    stage.carry_through(undo, Fate(stage.site, [k * 2 for k in kills], cancels), faults)
    expected = set(changed)
    for pair, added in done.items():
        if pair not in kept:
            (expected.discard if added else expected.add)(pair)
    assert stage.state() == expected
    theirs = {(groups[g], stage.pool[a % len(stage.pool)]) for g, a, _ in others}
    assert (before ^ expected) - theirs <= kept, "the state before, less what others changed"
    assert set(stage.site.writes) <= stage.registered


def test_a_process_killed_for_real_is_resumed_by_another(
    registered: Workspace, site: PracticeSite, tmp_path: Path, home: Path
) -> None:
    """kill -9 in the middle of an apply from the command line; the lease dies with its holder."""
    group = site.world.find_group("project-phoenix").group_id
    new = [a for a in site.world.member_ids("confluence-users")[10:30] if a != site.account_id]
    users = site.world.frames(tables=["users"])["users"].set_index("account_id")
    new = [a for a in new if users.loc[a, "account_status"] == "active" and users.loc[a, "account_type"] != "app"][:12]
    file = tmp_path / "list.csv"
    file.write_text("group_id,account_id\n" + "".join(f"{group},{account}\n" for account in new))
    spokekit = [sys.executable, "-m", "spokekit", "members"]
    env = {**os.environ, "SPOKEKIT_HOME": str(home)}
    plan = tmp_path / "plan.json"
    made = subprocess.run(
        [*spokekit, "plan", "--mode", "add", "--file", str(file), "--out", str(plan)],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert made.returncode == 0, made.stderr
    site.faults.add("stall:0.05@add")
    running = subprocess.Popen([*spokekit, "apply", str(plan)], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while site.writes.get(group, 0) < 4 and time.monotonic() < deadline:
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=10)
    assert 4 <= len(site.world.member_ids(group)) < len(new)
    site.faults.clear()
    rest = subprocess.run([*spokekit, "resume", "--format", "csv"], env=env, capture_output=True, text=True, timeout=60)
    assert rest.returncode == 0, rest.stderr
    assert "12 done" in rest.stderr
    assert sorted(site.world.member_ids(group)) == sorted(new)
    again = subprocess.run([*spokekit, "resume"], env=env, capture_output=True, text=True, timeout=60)
    assert again.returncode == 1
    assert "nothing to resume" in again.stderr
