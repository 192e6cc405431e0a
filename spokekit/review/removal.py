"""Carry the removals of a campaign out: one guarded membership plan, whose journal carries the campaign's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spokekit.errors import Conflict, PlanError
from spokekit.groups.journal import Journal
from spokekit.groups.purpose import Purpose, purposes
from spokekit.groups.result import Result
from spokekit.groups.wishes import Wish, WishList
from spokekit.review import records as rec

if TYPE_CHECKING:
    from spokekit.confluence.report import Cancel, ProgressCallback
    from spokekit.groups.journal import ApplyState
    from spokekit.groups.membership import Membership, Preview, Resumption
    from spokekit.groups.plan import Row as PlanRow
    from spokekit.review.campaign import Campaign

_MAY = (rec.DECIDED, rec.APPLIED, rec.VERIFIED)


def purpose(campaign: Campaign) -> Purpose:
    """Return what the journal says that the applies of a campaign are for."""
    return Purpose(f"access review {campaign.name}", campaign.head.campaign_id)


def plan(
    campaign: Campaign, members: Membership, *, progress: ProgressCallback | None, cancel: Cancel | None
) -> Preview | None:
    """Plan and preview the removals; None where there are none."""
    _see_that_it_is_signed(campaign)
    if not campaign.removals:
        return None
    wishes = WishList(
        tuple(Wish(row.group_id, row.account_id, row.row_id) for row in campaign.removals), (), campaign.name
    )
    made = members.plan(wishes, "remove", progress=progress, cancel=cancel)
    return members.preview(made, progress=progress, cancel=cancel)


def apply(
    campaign: Campaign,
    members: Membership,
    preview: Preview | None,
    *,
    confirm: str,
    progress: ProgressCallback | None,
    cancel: Cancel | None,
) -> Result:
    """Apply a preview of `plan`, and note what came of it."""
    _see_that_it_is_signed(campaign)
    members.site.check_writable()
    wanted = {row.pair for row in campaign.removals}
    if preview is None and not wanted:
        campaign.add(rec.WAS_APPLIED, {"applies": [], "rows": []}, only=_MAY, words="applied")
        return Result("", ())
    if preview is None or preview.plan.mode != "remove" or {row.pair for row in preview.plan.rows} != wanted:
        raise PlanError(
            f"That plan is not the one of the removals of {campaign.name}.",
            hint="Make the plan of the review anew.",
            next_step="preview_again",
        )
    if (open_one := unfinished(campaign)) is not None:
        raise Conflict(
            f"The apply {open_one.apply_id[:8]} of this review is not finished.",
            hint=f"Go on with it first: spokekit review apply {campaign.name}, or drop it: spokekit members drop "
            f"{open_one.apply_id[:8]}.",
        )
    rows = [[row.group_id, row.account_id, row.status, row.reason, row.message] for row in preview.plan.rows]
    detail = {"fingerprint": preview.fingerprint, "rows": rows, "made_at": preview.plan.made_at.isoformat()}
    campaign.add(rec.PLANNED, detail, only=_MAY, words="applied")
    result = members.apply(preview, confirm=confirm, purpose=purpose(campaign), progress=progress, cancel=cancel)
    note(campaign)
    return result


def resume(campaign: Campaign, members: Membership, rest: Resumption, **options: Any) -> Result:
    """Go on with an apply of this campaign, and note what came of it."""
    result = members.resume(rest, **options)
    note(campaign)
    return result


def note(campaign: Campaign) -> bool:
    """Note that the removals were carried out, where no apply of the campaign is open; returns whether it did.

    Called after every apply, and again by whoever opens the campaign after a kill: the journal is what counts.
    """
    states = applies(campaign)
    carried_out, planned = campaign.happened(rec.WAS_APPLIED), campaign.happened(rec.PLANNED)
    noted = {apply_id for event in carried_out for apply_id in event.detail.get("applies", ())}
    # A plan of which no row could be done is no apply in the journal.
    nothing_to_do = bool(planned) and all(row[2] != "planned" for row in planned[-1].detail["rows"])
    unheard = nothing_to_do and not any(event.seq > planned[-1].seq for event in carried_out)
    new = [apply_id for apply_id, state in states.items() if apply_id not in noted]
    open_ones = [state for state in states.values() if not (state.finished or state.dropped)]
    if open_ones or not (new or unheard) or campaign.state not in _MAY:
        return False
    rows = [
        [apply_id, row.group_id, row.account_id, row.status, row.reason, row.message]
        for apply_id in new
        for row in states[apply_id].rows
    ]
    campaign.add(rec.WAS_APPLIED, {"applies": new, "rows": rows}, only=_MAY, words="applied")
    return True


def unfinished(campaign: Campaign) -> ApplyState | None:
    """Return an apply of the campaign with open rows that nobody dropped."""
    return next((s for s in applies(campaign).values() if not (s.finished or s.dropped)), None)


def applies(campaign: Campaign) -> Mapping[str, ApplyState]:
    """Return the applies that the journal has for this campaign, oldest first."""
    store = campaign.records.store
    mine = {a for a, what in purposes(store).items() if what.reference == campaign.head.campaign_id}
    if not mine:
        return {}
    journal = Journal(store)
    return {a: journal.state(a) for a in journal.apply_ids(campaign.head.cloud_id) if a in mine}


def last_rows(campaign: Campaign) -> dict[tuple[str, str], tuple[str, PlanRow]]:
    """Return the last word of the journal about each membership: apply id and row; what was done stays so."""
    found: dict[tuple[str, str], tuple[str, PlanRow]] = {}
    for apply_id, state in applies(campaign).items():
        for row in state.rows:
            if (before := found.get(row.pair)) is None or before[1].status != "done":
                found[row.pair] = (apply_id, row)
    return found


def refused(campaign: Campaign) -> dict[tuple[str, str], tuple[str, str, str]]:
    """Return status, reason and sentence of what the last plan did not plan."""
    planned = campaign.happened(rec.PLANNED)
    rows = planned[-1].detail["rows"] if planned else []
    return {(g, a): (status, reason, message) for g, a, status, reason, message in rows if status != "planned"}


def _see_that_it_is_signed(campaign: Campaign) -> None:
    campaign.see_that(_MAY, "only signed decisions are carried out")
