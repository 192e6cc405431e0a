"""Two who think that a site is theirs: a process that was stopped and goes on, and a computer whose clock is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from spokekit.confluence.report import Watching
from spokekit.connections.store import Store
from spokekit.errors import Cancelled, Conflict
from spokekit.groups import _lease
from spokekit.groups._lease import Lease
from spokekit.groups.journal import Journal
from spokekit.groups.tables import leases_table
from tests.groups.test_journal import store  # noqa: F401 - a store on SQLite and one on PostgreSQL
from tests.oauth.test_postgresql import server  # noqa: F401 - the fixture that starts a real server

if TYPE_CHECKING:
    from spokekit.groups.membership import Membership
    from spokekit.practice import PracticeSite

Open = Callable[..., "Membership"]

QUICK = """
import os, signal, sys
from datetime import datetime, timedelta
from spokekit.groups import _lease
_lease.LASTS, _lease._RENEW_AFTER, _lease._TICK = timedelta(seconds=1.5), timedelta(seconds=0.2), 0.05
"""

# The process stops itself, for real, at one moment of its third change.
STOPS = """
import threading, time
calls = iter(range(1, 100))
renewing, renew = threading.Lock(), _lease.Lease.check
def renewed(lease):
    with renewing:
        renew(lease)
_lease.Lease.check = renewed
def stop():
    with renewing:  # stopped within a write of its own, it would hold everybody's store
        os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(0.3)  # the other threads go on for a moment
def stopping(call):
    def stopped(*arguments):
        call(*arguments)
        if next(calls) == 6:  # asked twice for each change
            stop()
    return stopped
def stopping_async(call):
    async def stopped(*arguments):
        await call(*arguments)
        if next(calls) == 3:
            stop()
    return stopped
from spokekit.confluence.gateway import Gateway
from spokekit.groups.registry import Registry
"""
MOMENTS = {
    "after the guard": "Registry.check = stopping(Registry.check)",
    "after the lease": "_lease.Lease.ask = stopping(_lease.Lease.ask)",
    "on the wire": "Gateway._still_ours = stopping_async(Gateway._still_ours)",
}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lease, "LASTS", timedelta(seconds=1.5))
    monkeypatch.setattr(_lease, "_RENEW_AFTER", timedelta(seconds=0.2))
    monkeypatch.setattr(_lease, "_TICK", 0.05)


def outsiders(site: PracticeSite, count: int) -> list[str]:
    inside = set(site.world.member_ids("marketing"))
    users = site.world.frames(tables=["users"])["users"]
    fit = users[(users["account_type"] == "atlassian") & (users["account_status"] == "active")]["account_id"]
    return [account for account in fit if account not in inside and account != site.account_id][:count]


def wait_until(so: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not so():
        assert time.monotonic() < until
        time.sleep(0.02)


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc, to see that a process was stopped")
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_stopped_apply_that_was_resumed_and_undone_goes_on(
    moment: str, members: Membership, site: PracticeSite, open_members: Open, home: Path, tmp_path: Path, quick: None
) -> None:
    before = set(site.world.member_ids("marketing"))
    new = outsiders(site, 6)
    plan = members.save(members.preview(members.plan(new, "add", group="marketing")), tmp_path / "plan.json")
    code = f"{QUICK}{STOPS}{MOMENTS[moment]}\nfrom spokekit.cli import main\nmain(['members', 'apply', sys.argv[1]])"
    running = subprocess.Popen(
        [sys.executable, "-c", code, str(plan)],
        env={**os.environ, "SPOKEKIT_HOME": str(home)},
        text=True,
        stdout=-1,
        stderr=-1,
    )
    try:
        wait_until(lambda: running.poll() is not None or is_stopped(running.pid))
        group = site.world.find_group("marketing").group_id
        assert site.writes == {group: 2}, running.poll()
        wait_until(lambda: _resumes(open_members))
        assert set(site.world.member_ids("marketing")) == before | set(new)
        again = open_members()
        undo = again.preview(again.plan_undo())
        again.apply(undo, confirm=undo.confirmation)
        assert set(site.world.member_ids("marketing")) == before
        writes = dict(site.writes)
    finally:
        running.send_signal(signal.SIGCONT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "Another kernel has taken this apply over" in said
    if moment != "on the wire":
        assert site.writes == writes, "nothing more is sent"
        assert again.unfinished() == ()
        return
    # Between the last look and the wire nobody can look: it is noted, found, and taken back.
    assert f"The change that it had begun (add {new[2]}, marketing) was sent all the same" in said
    assert set(site.world.member_ids("marketing")) == before | {new[2]}
    (state,) = again.unfinished()
    assert [row.status for row in state.rows].count("unknown") == 1
    assert any("not finished" in d for d in again.preview(again.plan(new[:1], "add", group="marketing")).dangers)
    writes = dict(site.writes)
    rest = again.resume()
    assert site.writes == writes, "resume reads, and sends nothing"
    assert rest.finished
    undo = again.preview(again.plan_undo(state.apply_id))
    assert [row.account_id for row in undo.plan.planned] == [new[2]]
    again.apply(undo, confirm=undo.confirmation)
    assert set(site.world.member_ids("marketing")) == before


def _resumes(open_members: Open) -> bool:
    try:
        assert open_members().resume().counts() == {"done": 6}
    except Conflict:
        return False
    return True


def test_a_late_change_that_is_not_so_any_more_is_not_made_again(
    members: Membership, site: PracticeSite, open_members: Open
) -> None:
    from spokekit.groups.journal import ROW_LATE

    new = outsiders(site, 2)
    result = members.apply(members.preview(members.plan(new, "add", group="marketing")))
    members.apply(members.preview(members.plan_undo()))
    journal = members.journal
    state = journal.state(result.apply_id)
    journal.write(state, ROW_LATE, position=0, row=state.rows[0])
    writes = dict(site.writes)
    rest = open_members().resume()
    assert site.writes == writes
    assert [(row.status, row.reason) for row in rest.rows] == [("refused", "late"), ("done", "")]
    assert open_members().unfinished() == ()


# -- clocks ------------------------------------------------------------------------------------------------------------

ELSEWHERE = """
import datetime as module
class Ahead(module.datetime):
    @classmethod
    def now(cls, tz=None):
        return module.datetime.now(tz) + timedelta(seconds=float(sys.argv[2]))
_lease.datetime = Ahead
_lease._node = lambda: "another computer"
_lease._boot = lambda: "another boot"
from spokekit.connections.store import Store
from spokekit.errors import Conflict
try:
    with _lease.Lease(Store(sys.argv[1]), "site"):
        print("taken")
except Conflict:
    print("refused")
"""


def from_elsewhere(store: Store, ahead: float) -> str:  # noqa: F811
    url = store.url.render_as_string(hide_password=False)
    code = [sys.executable, "-c", QUICK + ELSEWHERE, url, str(ahead)]
    done = subprocess.run(code, capture_output=True, text=True, timeout=60)
    return done.stdout.strip() or done.stderr


@pytest.mark.parametrize("ahead", [75, -75, 0, 3600])
def test_a_computer_with_another_clock_leaves_a_living_apply_alone(store: Store, ahead: float, quick: None) -> None:  # noqa: F811
    Journal(store)
    with Lease(store, "site") as lease:
        assert from_elsewhere(store, ahead) == "refused"
        lease.check()
    assert from_elsewhere(store, ahead) == "taken"


@pytest.mark.parametrize("ahead", [75, -75])
def test_an_apply_that_died_on_another_computer_is_taken_over(store: Store, ahead: float, quick: None) -> None:  # noqa: F811
    Journal(store)
    dead = Lease(store, "site")
    dead._take()
    wait_until(lambda: from_elsewhere(store, ahead) == "taken")
    with pytest.raises(Conflict, match="taken this apply over"):
        dead.check()


@pytest.fixture
def held_by_another_process(store: Store) -> Iterator[Lease]:  # noqa: F811
    Journal(store)
    lease = Lease(store, "site")
    lease._holder = f"{_lease._node()}:{os.getppid()}:x"
    lease._take()
    yield lease


def test_a_clock_that_is_set_on_this_computer_changes_nothing(
    store: Store,  # noqa: F811
    held_by_another_process: Lease,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with store.write() as connection:
        long_ago = datetime.now(UTC) - timedelta(days=2)
        connection.execute(leases_table.update().values(expires_at=long_ago))
    with pytest.raises(Conflict), Lease(store, "site"):
        pass
    monkeypatch.setattr(_lease, "LASTS", timedelta(seconds=0.0))
    with Lease(store, "site"):
        pass


def test_watching_a_silent_holder_is_said_and_can_be_cancelled(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'one.sqlite'}")  # noqa: F811
    Journal(store)
    values = {"site_key": Lease(store, "site").key, "holder": "elsewhere:1:x"}
    with store.write() as connection:
        connection.execute(leases_table.insert().values(expires_at=datetime.now(UTC) - timedelta(hours=1), **values))
    told: list[str] = []
    cancel = threading.Event()
    cancel.set()
    with (
        pytest.raises(Cancelled) as caught,
        Lease(store, "site", Watching(lambda one: told.append(one.words), cancel)),
    ):
        pass
    assert caught.value.nothing_done
    assert "sign of life" in told[0]
    with store.read() as connection:
        assert connection.execute(sa.select(leases_table.c.holder)).scalar_one() == "elsewhere:1:x"
    store.close()


# -- two homes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["add", "remove"])
def test_two_homes_with_one_plan_count_each_change_once(
    members: Membership, site: PracticeSite, tmp_path: Path, mode: str
) -> None:
    """Both have read the site before the first change, and neither store knows of the other one's apply."""
    from spokekit.groups.membership import Membership

    before = set(site.world.member_ids("marketing"))
    who = outsiders(site, 6) if mode == "add" else sorted(before - {site.account_id})[:6]
    ours = members.preview(members.plan(who, mode, group="marketing"))  # type: ignore[arg-type]
    second = Membership(
        members.site.spoke, members.registry, Store(f"sqlite:///{tmp_path / 'second.sqlite'}"), pace=1000
    )
    theirs = second.preview(second.plan(who, mode, group="marketing"))  # type: ignore[arg-type]
    start = second.journal.start

    def after_the_reading(*arguments: object, **options: object) -> str:
        began = start(*arguments, **options)  # type: ignore[arg-type]
        for account in who[:4]:
            (site.world.add_member if mode == "add" else site.world.remove_member)("marketing", account)
        return began

    second.journal.start = after_the_reading  # type: ignore[method-assign]
    result = second.apply(theirs, confirm=theirs.confirmation)
    assert result.counts() == {"done": 2, "already so": 4}
    assert sum(site.writes.values()) == 2
    assert "somebody else has made this change meanwhile" in result.rows[0].message
    undo = second.preview(second.plan_undo())
    assert {row.account_id for row in undo.plan.planned} == set(who[4:]), "what others made is not ours to undo"
    assert ours.fingerprint == theirs.fingerprint
    second.journal.store.close()


def test_a_look_that_tells_nothing_does_not_hold_the_changes_up(members: Membership, site: PracticeSite) -> None:
    site.faults.add("reset:9@memberof")
    preview = members.preview(members.plan(outsiders(site, 3), "add", group="marketing"))
    site.faults.clear()
    asked: list[str] = []

    def nothing(group_id: str, account_id: str, **_: object) -> None:
        asked.append(account_id)

    members.site.was_so = nothing  # type: ignore[method-assign]
    assert members.apply(preview).counts() == {"done": 3}
    assert len(asked) == 1
