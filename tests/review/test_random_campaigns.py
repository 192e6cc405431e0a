"""Random campaigns that are killed anywhere, on a site that strangers change: what is said is what happened."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spokekit.audit import Audit
from spokekit.errors import SpokekitError, StoreError
from spokekit.groups.journal import Journal
from spokekit.practice import PracticeSite
from spokekit.review import Campaign, Choice, Reviews, check_evidence, evidence
from spokekit.review.records import CLOSED, REMOVE, Records

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.groups.membership import Membership

GROUPS = ("marketing", "procurement", "okta-engineering", "site-admins")
WORDS = ("keep", "remove", "ask", "exception")
KILLED, REFUSED = "killed", "refused"
Pair = tuple[str, str]


class Killed(BaseException):
    """The process ends here: nothing of ours may catch this."""


class Fate:
    """Ends the process or refuses a write at drawn moments: before and after each write, each call, each folder."""

    def __init__(self, ends: list[tuple[int, str]], monkeypatch: pytest.MonkeyPatch) -> None:
        self.ends = dict(ends)
        self.clock = 0
        self._patch = monkeypatch
        self._watch(Records, "append")
        self._watch(Journal, "start")
        self._watch(Journal, "write")
        self._watch(evidence, "_write")

    def tick(self, *, before: bool) -> None:
        self.clock += 1
        what = self.ends.get(self.clock, "")
        if what == KILLED:
            raise Killed
        if what == REFUSED and before:
            raise StoreError("The store takes nothing.")

    def _watch(self, owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def watched(*arguments: Any, **more: Any) -> Any:
            self.tick(before=True)
            made = real(*arguments, **more)
            self.tick(before=False)
            return made

        self._patch.setattr(owner, name, watched)

    def haunt(self, members: Membership) -> Membership:
        remove = members.site.remove

        def watched(group_id: str, account_id: str, **options: Any) -> None:
            self.tick(before=False)
            remove(group_id, account_id, **options)
            self.tick(before=False)

        members.site.remove = watched  # type: ignore[method-assign]
        return members


class Strangers:
    """What others change on the site, once before the removals, once after them, once after a verification."""

    def __init__(self, site: PracticeSite, kinds: dict[str, str], seed: int) -> None:
        self.site = site
        self.kinds = dict(kinds)
        self.seed = seed

    def act(self, campaign: Campaign) -> bool:
        """Change something in this state, once; returns whether it is that state's turn."""
        kind = self.kinds.pop(campaign.state, "")
        world, removals = self.site.world, {row.row_id for row in campaign.removals}
        there = {row.row_id: row.account_id in world.member_ids(row.group_id) for row in campaign.rows}
        # Whether it is to be removed, and whether it is there.
        wanted = {"leaves": (False, True), "is removed elsewhere": (True, True), "comes back": (True, False)}.get(kind)
        rows = [r for r in campaign.rows if not r.routed_out and (r.row_id in removals, there[r.row_id]) == wanted]
        if kind == "joins":
            group = world.find_group("marketing").group_id
            new = [a for a in world.member_ids("legal-counsel") if a not in set(world.member_ids(group))]
            world.add_member(group, new[self.seed % len(new)])
        elif rows:
            pair = rows[self.seed % len(rows)].pair
            world.add_member(*pair) if kind == "comes back" else world.remove_member(*pair)
        return bool(kind)


MOMENTS = st.lists(
    st.tuples(st.integers(1, 90), st.sampled_from([KILLED, REFUSED])), max_size=8, unique_by=lambda p: p[0]
)
KINDS = st.sampled_from(["", "joins", "leaves", "is removed elsewhere", "comes back"])


@settings(
    max_examples=5,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    ends=MOMENTS,
    kinds=st.fixed_dictionaries({"Decided": KINDS, "Applied": KINDS, "Verified": KINDS}),
    seed=st.integers(0, 10**6),
)
def test_the_evidence_says_what_happened_whatever_ends(
    ends: list[tuple[int, str]],
    kinds: dict[str, str],
    seed: int,
    registered: Workspace,
    look: Callable[..., Audit],
    open_members: Callable[..., Membership],
    site: PracticeSite,
    tmp_path: Path,
) -> None:
    reviews = Reviews.of(registered)
    name = f"review {len(reviews.names())}"
    folder = tmp_path / name
    before, writes = members_by_group(site), dict(site.writes)
    reviews.open(name, groups=GROUPS, audit=look(), draft=True)
    strangers, seen = Strangers(site, kinds, seed), {}
    with pytest.MonkeyPatch.context() as patch:
        fate = Fate(ends, patch)
        try:
            for _ in range(60):
                # As a new process would: what was in memory is gone.
                campaign, members = Reviews.of(registered).get(name), fate.haunt(open_members())
                reconciles(campaign.sums())
                assert (b"DRAFT" in campaign.report()) == (campaign.state != CLOSED)
                if any(event.event == "evidence" for event in campaign.events):
                    break
                try:
                    again = strangers.act(campaign) and campaign.state == "Verified"
                    audit = look()
                    seen[audit.taken_at] = members_by_group(site)
                    campaign.verify(audit) if again else step(campaign, members, audit, folder, seed)
                except (Killed, SpokekitError):
                    continue
        finally:
            put_back(site, before)
    campaign = reviews.get(name)
    assert campaign.state == CLOSED
    found = check_evidence(folder, reviews)
    assert found.attrs["whole"], found
    ours = set(campaign.head.about["groups"])
    proof = campaign.verification()
    assert proof is not None
    # What a verification has not seen, it cannot tell.
    after = seen[proof.taken_at]
    holds(folder, campaign, {(g, a) for g in ours for a in after[g]})
    # Strangers join marketing alone, which is one of them.
    assert {g for g in before if before[g] != after[g]} <= ours
    written = {group for group, times in site.writes.items() if times > writes.get(group, 0)}
    assert written <= {row.group_id for row in campaign.removals}
    shutil.rmtree(folder)


def holds(folder: Path, campaign: Campaign, now: set[Pair]) -> None:
    """Hold every file of the evidence against what is so: no more is said, and no less."""
    about = json.loads((folder / "campaign.json").read_text())
    reconciles(about["sums"])
    population = {pair(row) for row in lines(folder, "population.csv")}
    assert population == {row.pair for row in campaign.rows}
    assert {pair(row) for row in lines(folder, "population-after.csv")} == now
    moved = lines(folder, "delta.csv")
    assert {pair(row) for row in moved if row["change"] == "removed"} == population - now
    assert {pair(row) for row in moved if row["change"] == "added"} == now - population
    forced = {
        int(row["row_id"]): row["decision"] for row in lines(folder, "decisions.csv") if row["in_force"] == "True"
    }
    assert forced == {row.row_id: event.decision for row in campaign.rows if (event := campaign.decision(row.row_id))}
    removals = {row.pair for row in campaign.rows if forced.get(row.row_id) == REMOVE}
    assert about["sums"]["done"] == len(removals - now)
    assert about["sums"]["not_done"] + about["sums"]["refused"] == len(removals & now)
    kept = {row.pair for row in campaign.rows if not row.routed_out} - removals
    assert about["sums"]["unexplained"] == len(kept - now) + len(now - population)
    planned = {(row["group_id"], row["account_id"]) for plan in about_plans(folder) for row in plan["rows"]}
    assert planned <= removals
    done = [row for row in lines(folder, "journal.csv") if row["event"] == "row_ended" and row["status"] == "done"]
    assert {pair(row) for row in done} <= removals
    assert {row["outcome"] for row in moved if pair(row) in {pair(one) for one in done}} <= {"done"}


def about_plans(folder: Path) -> list[dict[str, Any]]:
    return list(json.loads((folder / "plan.json").read_text()))


def lines(folder: Path, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((folder / name).read_text("utf-8-sig"), newline="")))


def pair(row: dict[str, str]) -> Pair:
    return row["group_id"], row["account_id"]


def reconciles(s: dict[str, int]) -> None:
    parts = ("keep", "remove", "ask", "exception", "routed_out", "undecided")
    assert s["in_scope"] == sum(s[part] for part in parts), s
    if "done" in s:
        assert s["remove"] == s["done"] + s["not_done"] + s["refused"], s


def members_by_group(site: PracticeSite) -> dict[str, set[str]]:
    groups = site.world.frames(tables=["groups"])["groups"]["group_id"]
    return {str(group): set(site.world.member_ids(group)) for group in groups}


def put_back(site: PracticeSite, members: dict[str, set[str]]) -> None:
    """Make the site what it was: examples share it."""
    for group, now in members_by_group(site).items():
        for account in members[group] - now:
            site.world.add_member(group, account)
        for account in now - members[group]:
            site.world.remove_member(group, account)


def step(campaign: Campaign, members: Membership, audit: Audit, folder: Path, seed: int) -> None:
    state = campaign.state
    if state == "Draft":
        campaign.start()
    elif state == "Open":
        left = [row for row in campaign.rows if not row.routed_out and campaign.decision(row.row_id) is None]
        for number, word in enumerate(WORDS):
            mine = [r for r in left if (r.row_id * 7919 + seed) % 4 == number]
            until = "2099-01-01" if word == "exception" else ""
            # By a worksheet, so that one's own rows are decided as well.
            campaign.take([Choice(r.row_id, word, "so it is", until, "Robin Other") for r in mine])
        campaign.sign("Kim Muster", "Head of IT")
    elif state == "Decided":
        if (left_open := campaign.unfinished()) is not None:
            rest = members.preview_resume(left_open.apply_id)
            campaign.resume(members, rest, confirm=rest.confirmation)
        elif not campaign.settle():
            preview = campaign.plan(members)
            campaign.apply(members, preview, confirm=preview.confirmation if preview else "")
    elif state == "Applied":
        campaign.verify(audit)
    else:
        campaign.close(folder)
