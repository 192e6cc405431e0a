"""After a long pause in the middle of an apply the site is read again: others may have changed it meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from spokekit.confluence.gateway import RetryPolicy
from spokekit.confluence.quota import Ledger
from spokekit.confluence.report import Progress
from spokekit.confluence.spoke import Spoke
from spokekit.errors import StoreError
from spokekit.groups import pauses
from spokekit.groups.journal import Journal
from spokekit.groups.membership import Membership
from spokekit.groups.registry import Registry
from tests.groups.test_membership import outsiders

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite


@pytest.fixture(autouse=True)
def a_fifth_of_a_second_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "LONG_PAUSE", 0.2)


@pytest.fixture
def members(registered: Workspace) -> Any:
    """Memberships with the ledger of points, which wait as long as they are told to."""
    connection, registry = registered.connection(), registered.registry()
    spoke = Spoke(
        connection,
        registered.tokens.source(connection),
        guard=registry,
        ledger=Ledger(registered.store, connection.client_id),
        retry=RetryPolicy(retries=2, first=0.05, longest=0.05),
    )
    members = Membership(spoke, registry, registered.store, pace=1000)
    yield members
    members.close()


def once_in_the_pause(do: Callable[[], object], told: list[Progress]) -> Callable[[Progress], None]:
    """Return a listener that does something the first time that the apply pauses."""
    done: list[object] = []

    def listen(one: Progress) -> None:
        told.append(one)
        if one.paused_until is not None and one.unit == "changes" and not done:
            done.append(None)
            do()

    return listen


def reads(site: PracticeSite) -> int:
    return sum("membersByGroupId" in record.path for record in site.requests)


@pytest.mark.parametrize("limit", ["burst", "hour"])
def test_what_others_did_in_the_pause_is_theirs(site: PracticeSite, members: Membership, limit: str) -> None:
    before = set(site.world.member_ids("marketing"))
    first, waits, theirs, gone, last = outsiders(site, "marketing", 5)
    preview = members.preview(members.plan([first, waits, theirs, gone, last], "add", group="marketing"))
    ledger: Any = members.site.spoke.aio.gateway.ledger
    told: list[Progress] = []

    def others() -> None:
        site.world.add_member("marketing", theirs)
        site.world.set_status(gone, "inactive")

    in_pause = once_in_the_pause(others, told)

    def listen(one: Progress) -> None:
        if limit == "hour" and one.done == 1 and one.paused_until is None:
            ledger.exhausted(datetime.now(UTC) + timedelta(seconds=1.5))
        in_pause(one)

    if limit == "burst":
        site.faults.add("429:2@add")
    result = members.apply(preview, progress=listen)
    assert [(row.account_id, row.status, row.reason) for row in result.rows] == [
        (first, "done", ""),
        (waits, "done", ""),
        (theirs, "already so", "member"),
        (gone, "refused", "inactive"),
        (last, "done", ""),
    ]
    assert any(one.words.startswith("1 of 5 changes; the limit is reached, waiting until") for one in told)
    assert told[-1].done == told[-1].total == 5
    assert members.journal.state(result.apply_id).finished
    # Undo takes back what the apply did, and only that.
    site.faults.clear()
    members.apply(members.preview(members.plan_undo(result.apply_id)))
    assert set(site.world.member_ids("marketing")) == {*before, theirs}


def test_a_group_taken_off_the_registry_in_the_pause_is_left_alone(
    registered: Workspace, site: PracticeSite, members: Membership
) -> None:
    people = outsiders(site, "marketing", 3)
    group_id = site.world.find_group("marketing").group_id
    registry: Registry = registered.registry()
    preview = members.preview(members.plan(people, "add", group="marketing"))
    site.faults.add("429:2@add")
    result = members.apply(preview, progress=once_in_the_pause(lambda: registry.remove(group_id), []))
    assert [(row.status, row.reason) for row in result.rows] == [
        ("done", ""),
        ("refused", "not_registered"),
        ("refused", "not_registered"),
    ]
    assert result.finished


@pytest.mark.parametrize("done_by_others", [False, True])
def test_a_change_that_may_have_been_made_is_read_before_it_is_repeated(
    site: PracticeSite, members: Membership, done_by_others: bool
) -> None:
    people = outsiders(site, "marketing", 2)
    preview = members.preview(members.plan(people, "add", group="marketing"))
    # A 503 with Retry-After says when to come back, and leaves open whether the change was made.
    site.faults.add("503:2@add")
    add = (lambda: site.world.add_member("marketing", people[1])) if done_by_others else (lambda: None)
    result = members.apply(preview, progress=once_in_the_pause(add, []))
    reason = "read_back" if done_by_others else ""
    assert [(row.status, row.reason) for row in result.rows] == [("done", ""), ("done", reason)]
    assert set(people) <= set(site.world.member_ids("marketing"))
    assert members.journal.state(result.apply_id).sent == frozenset()


def test_each_reading_is_followed_by_a_change_whatever_the_next_pause(site: PracticeSite, members: Membership) -> None:
    people = outsiders(site, "marketing", 4)
    preview = members.preview(members.plan(people, "add", group="marketing"))
    site.faults.add("429:2@add")
    before = reads(site)
    result = members.apply(preview)
    assert result.counts() == {"done": 4}
    # Calls 2, 4 and 6 are refused, one before each of the last three changes; the first reading is the apply's own.
    assert reads(site) - before == 4
    assert sum(record.status == 429 for record in site.requests) == 3


def test_short_pauses_cost_no_reading(site: PracticeSite, members: Membership, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "LONG_PAUSE", 30.0)
    people = outsiders(site, "marketing", 2)
    preview = members.preview(members.plan(people, "add", group="marketing"))
    site.faults.add("429:2@add")
    before = reads(site)
    assert members.apply(preview).counts() == {"done": 2}
    assert reads(site) - before == 1


def test_a_site_that_cannot_be_read_after_the_pause_ends_the_apply(site: PracticeSite, members: Membership) -> None:
    people = outsiders(site, "marketing", 3)
    preview = members.preview(members.plan(people, "add", group="marketing"))
    site.faults.add("429:2@add")
    result = members.apply(preview, progress=once_in_the_pause(lambda: site.faults.add("html-502:1@members"), []))
    assert [(row.status, row.reason) for row in result.rows] == [
        ("done", ""),
        ("not done", "stopped"),
        ("not done", "stopped"),
    ]
    assert "after a long pause the site could not be read again" in result.stopped
    assert not result.finished
    site.faults.clear()
    assert members.resume(result.apply_id).counts() == {"done": 3}


def test_what_was_read_and_could_not_be_noted_stays_open(
    site: PracticeSite, members: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = outsiders(site, "marketing", 2)
    preview = members.preview(members.plan(people, "add", group="marketing"))
    site.faults.add("429:2@add")
    write = Journal.write

    def full_for_a_moment(self: Journal, *arguments: Any, row: Any = None, **more: Any) -> None:
        if row is not None and row.reason == "member":
            raise StoreError("The disk is full.")
        write(self, *arguments, row=row, **more)

    monkeypatch.setattr(Journal, "write", full_for_a_moment)
    others = once_in_the_pause(lambda: site.world.add_member("marketing", people[1]), [])
    result = members.apply(preview, progress=others)
    assert [(row.status, row.reason) for row in result.rows] == [("done", ""), ("not done", "stopped")]
    assert "could not be noted in the journal. The disk is full." in result.stopped
    assert not result.finished
    monkeypatch.setattr(Journal, "write", write)
    rest = members.resume()
    assert [(row.status, row.reason) for row in rest.rows] == [("done", ""), ("already so", "member")]


@pytest.mark.parametrize("fault", ["429:2@add", "503:2@add"])
def test_cancelled_in_a_long_pause(site: PracticeSite, members: Membership, fault: str) -> None:
    people = outsiders(site, "marketing", 3)
    preview = members.preview(members.plan(people, "add", group="marketing"))
    site.faults.add(fault)
    cancel = threading.Event()
    result = members.apply(preview, progress=once_in_the_pause(cancel.set, []), cancel=cancel)
    known = "429" in fault
    assert [row.status for row in result.rows] == ["done", "not done" if known else "unknown", "not done"]
    assert result.stopped.startswith("Cancelled after 1 of 3 changes.")
    assert ("not known" in result.stopped) is not known
    site.faults.clear()
    assert members.resume(result.apply_id).counts() == {"done": 3}
