"""A walk of what changed: what it reads and costs, and that each claim is true of the moment that it names."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spokekit._workspace import Workspace
from spokekit.audit import Audit, Walk, diff
from spokekit.audit.findings import Findings
from spokekit.audit.frames import CONFIRMED, WALKED
from spokekit.audit.history.snapshot import Snapshot
from spokekit.audit.walk import assemble, changed, estimate, walk
from spokekit.audit.walk.changed import part_of
from spokekit.errors import Cancelled, Conflict, InputError
from spokekit.practice import PracticeSite
from tests.audit.test_walk import held, truth
from tests.conftest import connect

FIRST = datetime(2026, 3, 2, 2, tzinfo=UTC)


class Nights:
    """A practice site, a person's workspace, and a clock that moves by nights."""

    def __init__(self, site: PracticeSite, work: Workspace, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.site, self.work, self.folder, self.night = site, work, folder, 0
        self.books: list[dict[str, set[str]]] = []
        self.statuses: list[dict[str, str]] = []
        nights = self

        class Clock(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:
                return FIRST + timedelta(days=nights.night) + (datetime.now(UTC) - nights.midnight)

        self.midnight = datetime.now(UTC)
        for module in (assemble, changed, estimate, walk):
            patch.setattr(module, "datetime", Clock)

    def walk(self, *, changed: bool = True, **options: Any) -> Snapshot:
        """Walk in the next night; what the site holds then goes into the books."""
        self.midnight = datetime.now(UTC)
        world: dict[str, set[str]] = {group: set() for group in self.groups()}
        for group, account in truth(self.site):
            world[group].add(account)
        self.books.append(world)
        users = self.site.world.frames(tables=("users",))["users"]
        self.statuses.append(dict(zip(users["account_id"], users["account_status"], strict=True)))
        with self.walking(changed=changed, **options) as this:
            snapshot = this.run()
        self.night += 1
        return snapshot

    @contextmanager
    def walking(self, **options: Any) -> Iterator[Walk]:
        with self.work.spoke() as spoke:
            yield Walk(spoke, **{"groups": "all", "folder": self.folder, **options})

    def groups(self) -> list[str]:
        ids: list[str] = self.site.world.frames(tables=("groups",))["groups"]["group_id"].to_list()
        return ids

    def at(self, moment: Any) -> int:
        """The night of a moment."""
        return (pd.Timestamp(moment).to_pydatetime() - FIRST) // timedelta(days=1)

    def spent(self, before: int) -> int:
        return sum(r.points for r in self.site.requests[before:])


@pytest.fixture
def nights(connected: Workspace, site: PracticeSite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Nights:
    return Nights(site, connected, monkeypatch, tmp_path / "kept")


def claims_are_true(nights: Nights, audit: Audit, tonight: int, at_most: int) -> None:
    """Each group's members are those of the moment of its reading, and its size that of the moment it was confirmed."""
    members: dict[str, set[str]] = {}
    for group, account in held(audit):
        members.setdefault(group, set()).add(account)
    coverage = audit.frame("coverage")
    assert set(coverage["group_id"]) == set(nights.books[tonight])
    for row in coverage.itertuples():
        read = nights.at(row.walked_at)
        assert members.get(row.group_id, set()) == nights.books[read][row.group_id]
        assert tonight - read <= at_most
        if row.state == CONFIRMED:
            assert read < tonight == nights.at(row.confirmed_at)
            assert len(nights.books[tonight][row.group_id]) == len(members.get(row.group_id, ()))
        else:
            assert row.state == WALKED and read == tonight and pd.isna(row.confirmed_at)


Change = st.tuples(st.sampled_from(["in", "out", "swap", "swap", "group", "gone", "status"]), st.integers(0, 10**6))


@settings(max_examples=2)
@given(st.lists(st.lists(Change, max_size=4), min_size=14, max_size=14), st.sampled_from([3, 7]))
def test_every_claim_is_true_of_the_moment_that_it_names(
    tmp_path_factory: pytest.TempPathFactory, plan: list[list[tuple[str, int]]], at_most: int
) -> None:
    """Fourteen nights of random changes, against a slow reference that writes down every night what the site holds."""
    folder = tmp_path_factory.mktemp("nights")
    with pytest.MonkeyPatch.context() as patch, PracticeSite(size="12x6", seed=1, strict=True) as site:
        patch.setenv("SPOKEKIT_HOME", str(folder / "home"))
        work = Workspace()
        connect(work, site)
        nights = Nights(site, work, patch, folder)
        for tonight, changes in enumerate(plan):
            for what, number in changes:
                change(site, what, number)
            snapshot = nights.walk(changed=tonight > 0, at_most=at_most)
            assert snapshot.completeness["complete"], snapshot.completeness
            claims_are_true(nights, Audit.of_snapshot(snapshot), tonight, at_most)
        newest = Audit.of_snapshot(snapshot)
        for earlier in range(len(plan) - 1):
            # The history answers for an earlier moment what was known then, and of when.
            claims_are_true(nights, Audit.of_snapshot(snapshot, at=earlier + 1), earlier, at_most)
        for earlier in (0, 5, 9):
            changes_are_true(nights, diff(Audit.of_snapshot(snapshot, at=earlier + 1), newest), earlier)
        statuses_are_true(nights, newest)


def change(site: PracticeSite, what: str, number: int) -> None:
    world = site.world
    groups = sorted(world.frames(tables=("groups",))["groups"]["group_id"])
    # Whoever signed in has to stay able to read the site.
    me = site.account_id
    people = sorted({*world.frames(tables=("users",))["users"]["account_id"]} - {me})
    group, person = groups[number % len(groups)], people[number // 7 % len(people)]
    everybody = {account for of, account in truth(site) if of == group}
    members = sorted(everybody - {me})
    if what == "group":
        made = world.create_group(f"made-{number}-{len(groups)}")
        world.add_member(made, person)
    elif what == "gone" and len(groups) > 8 and me not in everybody:
        world.delete_group(group)
    elif what == "status":
        world.set_status(person, ["active", "inactive"][number % 2])
    if what in ("out", "swap") and members:
        world.remove_member(group, members[number % len(members)])
    if what in ("in", "swap"):
        world.add_member(group, next(one for one in [person, *people] if one not in members))


def changes_are_true(nights: Nights, answer: pd.DataFrame, earlier: int) -> None:
    """Each change lies between the two readings that the row names, or between the two walks."""
    for row in answer.to_dict("records"):
        moments = [row.get("read_before"), row.get("read_after")]
        were = [nights.at(m) if m is not None and not pd.isna(m) else None for m in moments]
        before = nights.books[earlier if were[0] is None else were[0]].get(row["group_id"], set())
        after = nights.books[-1 if were[1] is None else were[1]].get(row["group_id"], set())
        inside = [row["account_id"] in before, row["account_id"] in after]
        assert inside == ([False, True] if row["change"] == "added" else [True, False])


def statuses_are_true(nights: Nights, audit: Audit) -> None:
    looked_up = [nights.at(datetime.fromisoformat(one)) for one in audit.completeness["accounts_at"]]
    users = audit.frame("users")
    assert set(users["account_id"]) == {account for _, account in held(audit)}
    for row in users.to_dict("records"):
        since = nights.statuses[looked_up[part_of(row["account_id"])] :]
        assert row["account_status"] in {night[row["account_id"]] for night in since}


def test_only_what_differs_is_read_and_both_are_told_apart(nights: Nights) -> None:
    nights.walk(changed=False)
    names = nights.site.world.frames(tables=("groups",))["groups"].set_index("name")["group_id"]
    grown, swapped = names["marketing"], names["procurement"]
    for group in (grown, swapped):
        change_in(nights.site, group, "in")
    change_in(nights.site, swapped, "out")
    before = len(nights.site.requests)
    with nights.walking(changed=True, at_most=30) as this:
        plan = this.prepare()
    assert "Every group read whole: " in plan.words and "; only what changed: " in plan.words
    assert plan.changed is not None and plan.changed.least is not None and plan.whole is not None
    assert plan.chosen == plan.changed and plan.changed.points < plan.whole.points
    snapshot = nights.walk(at_most=30)
    asked = [r for r in nights.site.requests[before:] if "membersByGroupId" in r.path]
    whole = {r.path.split("/")[-2] for r in asked if "limit=200" in r.query}
    assert grown in whole and swapped not in whole and len(whole) < 6
    spent = nights.spent(before)
    assert plan.changed.least.points <= spent <= plan.changed.points + 100

    audit, report = Audit.of_snapshot(snapshot), snapshot.completeness
    confirmed = 26 - len(whole)
    assert report["complete"] and report["confirmed"] == confirmed
    assert f"{len(whole)} of 26 groups read whole, the size of {confirmed} confirmed" in report["words"]
    assert report["notes"][0].startswith(
        f"Of {confirmed} groups only the size was confirmed: their members are as read"
    )
    assert f"Mind: of {confirmed} groups only the size was confirmed" in audit.caution()
    sizes = audit.ask("group-sizes").set_index("group_id")
    assert sizes.loc[swapped, "state"] == CONFIRMED and sizes.loc[grown, "state"] == WALKED
    assert nights.at(sizes.loc[swapped, "read_at"]) == 0 and nights.at(sizes.loc[swapped, "confirmed_at"]) == 1
    assert nights.at(sizes.loc[grown, "read_at"]) == 1 and pd.isna(sizes.loc[grown, "confirmed_at"])
    first = Audit.of_snapshot(snapshot, at=1).ask("group-sizes")
    assert list(first.columns) == list(audit.question("group-sizes").columns), "all was read whole then"
    answer = diff(Audit.of_snapshot(snapshot, at=1), audit)
    assert set(answer["group_id"]) == {grown} and swapped in answer.attrs["size_only"]
    assert [nights.at(answer[c].iloc[0]) for c in ("read_before", "read_after")] == [0, 1]
    assert f"Of {confirmed} groups only the size is compared" in answer.attrs["caution"]
    assert answer.attrs["not_compared"] == []
    found = Findings("site", nights.folder, store=nights.work.store).review(audit, "group-sizes")
    assert {"read_at", "confirmed_at"} <= set(found.columns)
    assert not any("2026" in about for about in Findings("site", store=nights.work.store).frame()["about"])

    # The group's turn comes, and with it what no size had shown.
    late = nights.walk(at_most=0.5)
    assert late.completeness["confirmed"] == 0 and held(Audit.of_snapshot(late)) == truth(nights.site)


def change_in(site: PracticeSite, group: str, what: str) -> None:
    people = sorted(site.world.frames(tables=("users",))["users"]["account_id"])
    members = sorted(account for of, account in truth(site) if of == group)
    if what == "out":
        site.world.remove_member(group, members[0])
    else:
        site.world.add_member(group, next(one for one in reversed(people) if one not in members))


@pytest.mark.parametrize("says", ["missing", "page"])
def test_a_site_that_does_not_say_the_total_is_read_whole(nights: Nights, says: Any) -> None:
    nights.walk(changed=False)
    nights.site.switches.members_total_size = says
    for group in nights.groups()[:5]:
        change_in(nights.site, group, "in")
    before = len(nights.site.requests)
    snapshot = nights.walk(at_most=30)
    assert held(Audit.of_snapshot(snapshot)) == truth(nights.site)
    ones = [r for r in nights.site.requests[before:] if "limit=1&" in r.query]
    assert len(ones) <= 3 + 2 * 8, "asking goes on only as long as the site may say it"
    assert any(note.startswith("The site does not say ") for note in snapshot.completeness["notes"])


def test_a_stopped_walk_of_what_changed_goes_on_and_asks_no_size_twice(nights: Nights) -> None:
    nights.walk(changed=False)
    nights.site.latency_ms = 5
    stop = threading.Event()

    def progress(now: Any) -> None:
        if "sizes of groups" in now.words and now.done >= 8:
            stop.set()

    before = len(nights.site.requests)
    with nights.walking(changed=True, at_most=30) as this:
        with pytest.raises(Cancelled):
            this.run(progress=progress, cancel=stop)
        with pytest.raises(Conflict, match="A walk of what changed in all groups from"):
            Walk(this.spoke, groups="all", folder=nights.folder).prepare()
    snapshot = nights.walk(at_most=30)
    assert snapshot.completeness["complete"] and held(Audit.of_snapshot(snapshot)) == truth(nights.site)
    sizes = [r.path for r in nights.site.requests[before:] if "limit=1&" in r.query]
    assert len(sizes) == len(set(sizes)) and len(sizes) > 20


def test_without_a_snapshot_everything_is_read(nights: Nights) -> None:
    snapshot = nights.walk()
    assert snapshot.completeness["confirmed"] == 0 and held(Audit.of_snapshot(snapshot)) == truth(nights.site)
    assert "There was no earlier snapshot to go on from: all groups were read whole." in snapshot.completeness["notes"]
    with nights.work.spoke() as spoke, pytest.raises(InputError, match="days are not possible"):
        Walk(spoke, groups="all", changed=True, at_most=0)
