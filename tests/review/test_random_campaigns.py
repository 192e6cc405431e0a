"""Random campaigns that are killed anywhere, on a site that strangers change: what is said is what happened."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spokekit.audit import Audit
from spokekit.errors import StoreError
from spokekit.practice import PracticeSite
from spokekit.review import Campaign, Choice, Reviews, check_evidence
from spokekit.review.records import CLOSED, Records

if TYPE_CHECKING:
    from spokekit.groups.membership import Membership

GROUPS = ("marketing", "procurement", "okta-engineering", "site-admins")
WORDS = ("keep", "remove", "ask", "exception")


class Killed(BaseException):
    """The process ends here."""


def reconciles(campaign: Campaign) -> None:
    s = campaign.sums()
    parts = ("keep", "remove", "ask", "exception", "routed_out", "undecided")
    assert s["in_scope"] == sum(s[part] for part in parts), s
    if "done" in s:
        assert s["remove"] == s["done"] + s["not_done"] + s["refused"], s


class Told:
    """Kills or refuses at chosen additions to the store: before they are written, or right after."""

    def __init__(self, plan: list[tuple[int, str]]) -> None:
        self.plan = dict(plan)
        self.count = 0
        self.real = Records.append

    def __call__(self, records: Records, *arguments: Any, **more: Any) -> Any:
        self.count += 1
        what = self.plan.get(self.count, "")
        if what == "refused":
            raise StoreError("The store takes nothing.")
        if what == "killed before":
            raise Killed
        found = self.real(records, *arguments, **more)
        if what == "killed after":
            raise Killed
        return found


ENDS = st.sampled_from(["refused", "killed before", "killed after"])


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    data=st.data(),
    ends=st.lists(st.tuples(st.integers(1, 14), ENDS), max_size=6, unique_by=lambda pair: pair[0]),
)
def test_the_evidence_says_what_happened_whatever_ends(
    data: st.DataObject,
    ends: list[tuple[int, str]],
    reviews: Reviews,
    look: Callable[..., Audit],
    open_members: Callable[..., Membership],
    site: PracticeSite,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = f"review {len(reviews.names())}"
    folder = tmp_path / name
    members = open_members()
    before = members_by_group(site)
    campaign = reviews.open(name, groups=GROUPS, audit=look(), draft=True)
    seed = data.draw(st.integers(0, 10**6), label="seed")
    stranger = data.draw(st.booleans(), label="a stranger")
    told = Told(ends)
    monkeypatch.setattr(Records, "append", lambda records, *a, **k: told(records, *a, **k))
    try:
        for _ in range(40):
            try:
                campaign = reviews.get(name)
                reconciles(campaign)
                assert (b"DRAFT" in campaign.report()) == (campaign.state != CLOSED)
                if campaign.state == CLOSED and folder.exists():
                    campaign.close(folder) if not noted(campaign) else None
                    if noted(campaign):
                        break
                if campaign.state == "Verified" and stranger:
                    stranger = False
                    a_change_by_a_stranger(site)
                    campaign.verify(look())
                step(campaign, members, look, folder, seed)
            except (Killed, StoreError):
                continue
    finally:
        monkeypatch.setattr(Records, "append", told.real)
        after = members_by_group(site)
        put_back(site, before)
    campaign = reviews.get(name)
    assert campaign.state == CLOSED
    found = check_evidence(folder, reviews)
    assert found.attrs["whole"], found
    # What is called done is so, and what is called not done is so; nothing else was written.
    proof = campaign.verification()
    assert proof is not None
    for row in campaign.removals:
        inside = row.account_id in after[row.group_id]
        assert inside == (proof.outcomes[row.row_id][0] != "done")
    names = dict(zip(*(site.world.frames(tables=["groups"])["groups"][c] for c in ("group_id", "name")), strict=True))
    assert {g for g in before if before[g] != after[g]} <= {g for g, name in names.items() if name in GROUPS}
    shutil.rmtree(folder)


def noted(campaign: Campaign) -> bool:
    return any(event.event == "evidence" for event in campaign.events)


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


def a_change_by_a_stranger(site: PracticeSite) -> None:
    group = site.world.find_group("marketing").group_id
    inside = set(site.world.member_ids(group))
    new = next(a for a in site.world.member_ids("legal-counsel") if a not in inside)
    site.world.add_member(group, new)


def step(campaign: Campaign, members: Membership, look: Callable[..., Audit], folder: Path, seed: int) -> None:
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
        if campaign.unfinished() is not None:
            rest = members.preview_resume(campaign.unfinished().apply_id)  # type: ignore[union-attr]
            campaign.resume(members, rest, confirm=rest.confirmation)
        elif not campaign.settle():
            preview = campaign.plan(members)
            campaign.apply(members, preview, confirm=preview.confirmation if preview else "")
    elif state == "Applied":
        campaign.verify(look())
    else:
        campaign.close(folder)
