"""The walk against a practice site: complete, resumable, honest about what is missing and what moved."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from spokekit._workspace import Workspace
from spokekit.audit import Audit, Walk
from spokekit.audit.walk.checkpoint import WAITING_MOST, Checkpoint, unfinished
from spokekit.audit.walk.members import GroupReader
from spokekit.confluence.actions import AsyncSpoke
from spokekit.errors import Cancelled, Conflict, InputError, NotPermitted, SpokekitError, StoreError, UnexpectedAnswer
from spokekit.practice import PracticeSite
from tests.conftest import connect

TABLES = ("groups", "users", "memberships", "spaces", "grants")
WITH_SPACES = (
    "read:confluence-groups read:confluence-user read:space:confluence read:space.permission:confluence "
    "read:user:confluence read:me offline_access"
)


def truth(site: PracticeSite, name: str = "memberships") -> set[tuple[str, ...]]:
    columns = {
        "memberships": ["group_id", "account_id"],
        "grants": ["space_id", "principal_type", "principal_id", "operation", "target"],
        "groups": ["group_id", "name", "access"],
        "users": ["account_id", "display_name", "account_type", "account_status", "is_guest", "licensed"],
        "spaces": ["space_id", "name"],
    }[name]
    frame = site.world.frames(tables=(name,))[name][columns]
    return set(frame.astype(str).itertuples(index=False, name=None))


def held(audit: Audit, name: str = "memberships", columns: list[str] | None = None) -> set[tuple[str, ...]]:
    frame = audit.frame(name)
    return set(frame[columns or list(frame.columns)].astype(str).itertuples(index=False, name=None))


@contextmanager
def walking(work: Workspace, **options: Any) -> Iterator[Walk]:
    with work.spoke(in_flight=options.pop("in_flight", 8)) as spoke:
        yield Walk(spoke, **{"groups": "all", "registry": work.registry(), **options})


def test_a_whole_site_is_equal_to_the_world(workspace: Workspace, site: PracticeSite) -> None:
    connect(workspace, site, scopes=WITH_SPACES)
    told: list[Any] = []
    with walking(workspace, with_spaces=True) as walk:
        snapshot = walk.run(progress=told.append)
    audit = Audit.of_snapshot(snapshot)
    assert held(audit) == truth(site)
    assert held(audit, "groups", ["group_id", "name", "access"]) == truth(site, "groups")
    assert held(audit, "spaces", ["space_id", "name"]) == truth(site, "spaces")
    assert held(audit, "grants", ["space_id", "principal_type", "principal_id", "operation", "target"]) == truth(
        site, "grants"
    )
    columns = ["account_id", "display_name", "account_type", "account_status", "is_guest", "licensed"]
    users = held(audit, "users", columns)
    assert users <= truth(site, "users")
    named = {a for _, a in truth(site)} | {row[2] for row in truth(site, "grants") if row[1] == "user"}
    assert {row[0] for row in users} == named
    report = snapshot.completeness
    assert report["complete"] and report["listed"] == report["walked"] == 26
    assert (report["failed"], report["partial"], report["disturbed"], report["notes"]) == ([], [], [], [])
    assert audit.caution() == ""
    assert told[-1].done == told[-1].total
    assert any("26 of 26 groups, 289 members" in p.words for p in told)
    assert walk.unfinished() is None


def test_registered_groups_only_by_default(connected: Workspace, site: PracticeSite) -> None:
    groups = site.world.frames(tables=("groups",))["groups"].set_index("name")["group_id"]
    with connected.spoke() as spoke:
        with pytest.raises(InputError, match="No group is registered yet"):
            Walk(spoke, registry=connected.registry()).prepare()
        connected.registry().add([groups["marketing"], groups["procurement"]])
        walk = Walk(spoke, registry=connected.registry())
        plan = walk.prepare()
        assert (plan.listed, plan.chosen_groups, plan.registered_groups) == (26, 2, 2)
        assert plan.registered is not None and plan.registered.points < plan.everything.points
        assert "26 groups on this site; this walk reads 2." in plan.words
        before = len(site.requests)
        snapshot = walk.run()
        # The list was paid for by `prepare`: two groups, the second look at the list, the accounts.
        assert len(site.requests) - before == 4
    audit = Audit.of_snapshot(snapshot)
    wanted = {pair for pair in truth(site) if pair[0] in (groups["marketing"], groups["procurement"])}
    assert held(audit) == wanted
    assert len(audit.frame("groups")) == 26
    assert audit.caution() == "Mind: 24 groups not walked."
    assert snapshot.scope["groups"] == "registered groups"


def test_a_pattern_and_ids_choose_groups(connected: Workspace, site: PracticeSite) -> None:
    with walking(connected, groups="OKTA-*") as walk:
        assert walk.prepare().chosen_groups == 3
    with walking(connected, groups="nothing-*") as walk, pytest.raises(InputError, match="No group of this site"):
        walk.prepare()
    with walking(connected, groups=["no-such-group"]) as walk:
        report = walk.run().completeness
    assert not report["complete"]
    assert report["notes"] == ["Not on this site, though chosen: 1 group (no-such-group)."]


def test_the_estimate_is_near_what_it_costs(connected: Workspace, site: PracticeSite) -> None:
    with walking(connected) as walk:
        walk.run()
    with walking(connected) as walk:
        plan = walk.prepare()
        before = (len(site.requests), sum(r.points for r in site.requests))
        walk.run()
    requests, points = len(site.requests) - before[0], sum(r.points for r in site.requests) - before[1]
    assert abs(plan.chosen.requests - requests) <= 3
    assert abs(plan.chosen.points - points) <= 0.1 * points


@pytest.mark.parametrize("size", ["class", "12x6"])
def test_before_a_first_walk_the_cost_is_a_range_that_holds_what_it_costs(workspace: Workspace, size: str) -> None:
    with PracticeSite(size=size, seed=1, strict=True) as site:
        connect(workspace, site)
        with walking(workspace) as walk:
            plan = walk.prepare()
            assert not [r for r in site.requests if "membersByGroupId" in r.path], "only the list of groups was read"
            before = len(site.requests)
            walk.run()
    spent = site.requests[before:]
    requests, points = len(spent), sum(r.points for r in spent)
    least = plan.chosen.least
    assert least is not None
    assert least.requests <= requests <= plan.chosen.requests + 3
    assert least.points <= points <= plan.chosen.points
    assert (
        f"At least {least.requests:,} requests and {least.points:,} points: each group is read once. If the groups "
        f"that were never read have 75 members each: about {plan.chosen.requests:,} requests and "
        f"{plan.chosen.points:,} points;"
    ) in plan.words
    assert f"{least.points:,} to {plan.everything.points:,} points" in plan.words
    assert "75 members each are assumed, as a guess; larger ones cost more." in plan.words


def test_groups_that_an_earlier_walk_left_out_make_a_range_too(connected: Workspace, site: PracticeSite) -> None:
    with walking(connected, groups="confluence-*") as walk:
        walk.run()
    with walking(connected) as walk:
        plan, before = walk.prepare(), len(site.requests)
        walk.run()
    points = sum(r.points for r in site.requests[before:])
    assert plan.chosen.least is not None and plan.chosen.least.points <= points <= plan.chosen.points
    assert "members each are assumed, as in those read so far" in plan.words
    with walking(connected) as walk:
        assert walk.prepare().chosen.least is None, "all sizes are known now"


def test_cancel_keeps_what_was_paid_for(workspace: Workspace) -> None:
    with PracticeSite(size="200x40", seed=1, strict=True, latency_ms=15) as site:
        connect(workspace, site)
        stop = threading.Event()

        def progress(now: Any) -> None:
            if " members" in now.words and now.done > 60:
                stop.set()

        with walking(workspace) as walk:
            with pytest.raises(Cancelled, match="What it has read is kept"):
                walk.run(progress=progress, cancel=stop)
            left = walk.unfinished()
            assert left is not None and 60 <= left.ended < 200
            assert f"{left.ended:,} of 200 groups are done" in left.words
            with pytest.raises(Conflict, match=r"A walk of all groups from .* is not finished"):
                Walk(walk.spoke, groups="a*").prepare()
            read = {r.path for r in site.requests if "membersByGroupId" in r.path}
            plan, before = walk.prepare(), sum(r.points for r in site.requests)
            walk.run()
            spent = sum(r.points for r in site.requests) - before
            # What was read so far tells of the rest; 75 members each would be far from it.
            assert abs(plan.chosen.points - spent) <= 0.8 * spent, (plan.chosen.points, spent)
            assert "as in those read so far" in plan.words
        asked = [r.path for r in site.requests if "membersByGroupId" in r.path]
        assert len(asked) == len(set(asked)) == 200 and read < set(asked)
        assert held(Audit.of_site(site.sites[0].cloud_id)) == truth(site)


CHILD = """
import json, sys
from spokekit.audit import Walk
from spokekit._workspace import Workspace
work = Workspace()
with work.spoke(in_flight=4) as spoke:
    print("ready", flush=True)
    Walk(spoke, groups="all", registry=work.registry()).run()
"""


ENDED_BETWEEN = """
import os
from datetime import UTC, datetime
from spokekit.audit.walk.checkpoint import Checkpoint, Ended
from spokekit.confluence.shapes import Member
record = Checkpoint("between")
record.put(started_at=datetime.now(UTC).isoformat(), scope_words="all groups", chosen=["a", "b", "c"])
for group in "abc":
    if group == "c":
        record.flush()
    record.page(group, [Member("p0"), Member(f"p-{group}", display_name=group, is_guest=True)])
    record.end(group, Ended("walked", datetime.now(UTC), False, ""))
os._exit(0)
"""


def test_what_was_read_is_written_together_and_a_kill_loses_the_rest(home: Path) -> None:
    subprocess.run([sys.executable, "-c", ENDED_BETWEEN], check=True)
    record = Checkpoint("between")
    try:
        assert set(record.ended()) == {"a", "b"} and record.sizes() == {"a": 2, "b": 2}
        assert [account for account, _ in record.people()] == record.accounts() == ["p0", "p-a", "p-b"]
        assert record.people()[2][1] == {
            "display_name": "b",
            "public_name": "",
            "email": "",
            "account_type": "",
            "is_guest": True,
            "licensed": False,
        }
        assert record.pages("b") == ["p0", "p-b"] and not record.page_count("c")
    finally:
        record.close()


def test_a_disk_that_is_full_ends_the_walk_before_more_is_paid_for(connected: Workspace, site: PracticeSite) -> None:
    """Writing happens beside the reading: that it fails has to reach the reading all the same."""
    from spokekit.audit.walk import checkpoint

    def full(record: Checkpoint) -> None:
        record._file.execute("PRAGMA max_page_count = 1")

    with pytest.MonkeyPatch.context() as patched, walking(connected, in_flight=1) as walk:
        walk.prepare()
        before = len(site.requests)
        patched.setattr(checkpoint, "WAITING_MOST", 20)
        opened = Checkpoint.__init__

        def small(record: Checkpoint, *args: Any) -> None:
            opened(record, *args)
            full(record)

        patched.setattr(Checkpoint, "__init__", small)
        with pytest.raises(StoreError, match="full"):
            walk.run()
        assert len(site.requests) - before < 26
    with walking(connected) as walk:
        assert held(Audit.of_snapshot(walk.run())) == truth(site)


def paid(requests: Iterable[Any]) -> tuple[int, int]:
    """Return the points of pages of members, which a walk keeps, and of everything else."""
    members = sum(request.points for request in requests if "membersByGroupId" in request.path)
    return members, sum(request.points for request in requests) - members


def test_kills_at_random_moments_lose_nothing_and_pay_once(workspace: Workspace, home: Path) -> None:
    """The lists of this site are longer than a page, so that kills fall inside groups as well."""
    # What is killed takes its points along; with those of one hour the last walk might have to wait for the next.
    with PracticeSite(size="30x230", seed=2, strict=True, latency_ms=4, quota=650_000) as site:
        connect(workspace, site)
        cloud_id = site.sites[0].cloud_id
        with walking(workspace) as walk:
            walk.run()
        straight, other = paid(site.requests)
        before = len(site.requests)
        rng = random.Random(5)
        killed = 0
        while killed < 6:
            child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, env=os.environ.copy())
            assert child.stdout is not None and child.stdout.readline()
            time.sleep(rng.uniform(0.02, 0.3))
            child.send_signal(signal.SIGKILL)
            child.communicate()
            if child.returncode == 0:
                break
            killed += 1
        assert killed >= 2
        with walking(workspace) as walk:
            snapshot = walk.run()
        assert held(Audit.of_snapshot(snapshot)) == truth(site)
        assert snapshot.completeness["complete"]
        spent, besides = paid(site.requests[before:])
        # A killed process loses what was on its way and what was not written yet: a page for each request in flight and
        # the members that wait to be written, once while they wait and once while a write is under way.
        lost = killed * 2 * (4 * 401 + 2 * WAITING_MOST)
        assert spent <= straight + lost
        # Each process looks the groups up, and at most pays for the accounts once.
        assert besides <= (killed + 1) * other
        assert unfinished(cloud_id) is None


def test_faults_of_all_kinds(connected: Workspace, site: PracticeSite) -> None:
    site.faults.add("503-no-retry-after:6x4@members", "cut:7x3@members", "html-502:9x2@members", "reset:11x2@members")
    site.faults.add("short-pages:5@members", "truncated-json:8x2@members")
    with walking(connected) as walk:
        snapshot = walk.run()
    assert snapshot.completeness["complete"], snapshot.completeness
    assert snapshot.completeness["retries"] >= 8
    assert held(Audit.of_snapshot(snapshot)) == truth(site)


@pytest.mark.parametrize("fault", ["vanishing", "duplicates"])
def test_pages_that_do_not_fit_together_are_never_taken_for_whole(
    connected: Workspace, site: PracticeSite, fault: str
) -> None:
    site.faults.add("short-pages:30@members", f"{fault}@members")
    with walking(connected) as walk:
        snapshot = walk.run()
    audit, report = Audit.of_snapshot(snapshot), snapshot.completeness
    suspect = {*report["failed"], *report["partial"]}
    got, world = held(audit), truth(site)
    assert {p for p in got if p[0] not in suspect} == {p for p in world if p[0] not in suspect}
    if got != world:
        assert not report["complete"] and suspect
        assert {g for g, _ in got ^ world} <= suspect
    site.faults.clear()
    with walking(connected) as walk:
        assert held(Audit.of_snapshot(walk.run())) == world


def test_what_cannot_be_read_is_named(
    connected: Workspace, site: PracticeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = site.world.frames(tables=("groups",))["groups"].set_index("name")["group_id"]
    bad = groups["marketing"]
    read = GroupReader.read

    async def refused(self: GroupReader, group_id: str) -> bool:
        if group_id == bad:
            raise UnexpectedAnswer("Confluence answered with 500.", status=500)
        return await read(self, group_id)

    with monkeypatch.context() as broken:
        broken.setattr(GroupReader, "read", refused)
        with walking(connected) as walk:
            snapshot = walk.run()
    report = snapshot.completeness
    assert report["failed"] == [bad]
    assert not report["complete"] and "1 group failed" in report["words"]
    assert "500" in report["reasons"][bad]
    audit = Audit.of_snapshot(snapshot)
    assert held(audit) == {pair for pair in truth(site) if pair[0] != bad}
    assert audit.not_walked()[["group_id", "state"]].values.tolist() == [[bad, "failed"]]
    assert bad not in set(audit.ask("groups-without-members")["group_id"])
    with walking(connected) as walk:
        assert held(Audit.of_snapshot(walk.run())) == truth(site)


def test_without_the_look_up_of_accounts_the_members_are_still_kept(
    connected: Workspace, site: PracticeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: Any, **__: Any) -> None:
        raise NotPermitted("The signed-in person may not do this.", status=403)

    monkeypatch.setattr(AsyncSpoke, "look_up_users", refused)
    with walking(connected) as walk:
        snapshot = walk.run()
    assert held(Audit.of_snapshot(snapshot)) == truth(site)
    assert not snapshot.completeness["complete"]
    assert snapshot.completeness["notes"][0].startswith("The status of accounts could not be read")
    audit = Audit.of_snapshot(snapshot)
    people = len(audit.frame("users"))
    assert audit.ask("inactive-in-groups").attrs["caution"] == f"Mind: the status of {people} accounts unknown."


def test_changes_by_others_are_marked_or_walked(workspace: Workspace) -> None:
    """Somebody adds and removes members while the walk runs; the snapshot is right for each group's own moment."""
    # What moved is read again: on a slow machine that may be more than one hour's points.
    with PracticeSite(size="40x450", seed=3, strict=True, latency_ms=8, quota=650_000) as site:
        connect(workspace, site)
        world = site.world
        ids = world.frames(tables=("groups",))["groups"]["group_id"].to_list()
        rng = random.Random(1)
        states: list[set[tuple[str, ...]]] = [truth(site)]
        touched: set[str] = set()
        over = threading.Event()

        def others() -> None:
            while not over.is_set():
                group = rng.choice(ids[:20])
                members = [a for g, a in states[-1] if g == group]
                if rng.random() < 0.6 and members:
                    world.remove_member(group, rng.choice(members))
                else:
                    world.add_member(group, world.person(rng.randrange(world.user_count)).account_id)
                touched.add(group)
                states.append(truth(site))
                time.sleep(0.05)

        person = threading.Thread(target=others)
        with walking(workspace) as walk:
            walk.prepare()
            person.start()
            try:
                snapshot = walk.run()
            finally:
                over.set()
                person.join()
        audit = Audit.of_snapshot(snapshot)
        got = held(audit)
        report = snapshot.completeness
        missing = {*report["failed"], *report["partial"]}
        marked = set(report["disturbed"])
        for group in set(ids) - missing:
            mine = {p for p in got if p[0] == group}
            lived = [{p for p in state if p[0] == group} for state in states]
            assert mine in lived, "the rows of a group are those of one moment"
            if group not in touched:
                assert group not in marked
        assert len(touched) > 3
        if missing:
            assert not report["complete"]


def test_groups_that_come_and_go(workspace: Workspace) -> None:
    with PracticeSite(size="class", seed=1, strict=True, latency_ms=10) as site:
        connect(workspace, site)
        groups = site.world.frames(tables=("groups",))["groups"].set_index("name")["group_id"]
        with walking(workspace) as walk:
            walk.prepare()
            site.world.rename_group(groups["marketing"], "marketing-emea")
            gone = groups["legal-counsel"]
            site.world.delete_group(gone)
            snapshot = walk.run()
        report = snapshot.completeness
        assert report["changed"]["gone"] == [gone]
        assert report["changed"]["renamed"] == [groups["marketing"]]
        assert sum("changed while walking" in note for note in report["notes"]) == 2
        audit = Audit.of_snapshot(snapshot)
        assert held(audit) == truth(site)
        assert "marketing-emea" in set(audit.frame("groups")["name"])
        assert gone not in set(audit.frame("groups")["group_id"])


def test_two_walks_of_one_site_do_not_run_together(connected: Workspace) -> None:
    cloud_id = connected.connection().cloud_id or ""
    held_by_another = Checkpoint(cloud_id)
    try:
        with walking(connected) as walk, pytest.raises(Conflict, match="Another walk of this site is running"):
            walk.run()
    finally:
        held_by_another.close()
    with walking(connected) as walk:
        walk.run()


def test_a_full_disk_is_named_as_such(connected: Workspace) -> None:
    record = Checkpoint(connected.connection().cloud_id or "")
    try:
        record._file.execute("PRAGMA max_page_count = 20")
        with pytest.raises(StoreError, match="database or disk is full"):
            for number in range(100):
                record.keep("accounts", str(number), ["x" * 4000])
    finally:
        record.close()


def test_a_missing_scope_stops_the_walk_with_the_words_of_the_gateway(workspace: Workspace, site: PracticeSite) -> None:
    connect(workspace, site, scopes="read:me offline_access")
    with walking(workspace) as walk, pytest.raises(SpokekitError, match="scope"):
        walk.run()


def test_missing_space_scopes_are_told_before_the_walk(workspace: Workspace, site: PracticeSite) -> None:
    connect(workspace, site)
    with walking(workspace, with_spaces=True) as walk:
        assert "Spaces cannot be read: the connection lacks read:space" in walk.prepare().words
    with walking(workspace, fresh=True) as walk:
        assert "Spaces cannot be read" not in walk.prepare().words
