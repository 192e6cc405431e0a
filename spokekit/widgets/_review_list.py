"""The rows of a review as lines of a list: filtered in the kernel, capped, marked."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

import traitlets as tr

from spokekit._words import comparable, counted, moment
from spokekit.widgets._review_form import ReviewForm
from spokekit.widgets.controls import html_table, paragraph, sentence

if TYPE_CHECKING:
    from spokekit.review import Campaign
    from spokekit.review.records import Row
    from spokekit.review.verification import Verification

SHOWN = 500


class ReviewList(ReviewForm):
    """The head and the rows of the review on the screen; `ReviewPanel` acts on them."""

    campaign = tr.Any(None, allow_none=True)
    value = tr.Tuple(())

    def __init__(self, **options: Any) -> None:
        self._lines: dict[int, str] = {}
        super().__init__(**options)

    def _index(self) -> None:
        """Make what the filter looks through, once a review."""
        campaign: Campaign | None = self.campaign
        self._lines = {}
        for row in campaign.rows if campaign is not None else ():
            person = campaign.called(row.account_id) if campaign is not None else ""
            self._lines[row.row_id] = comparable(f"{row.group_name} {person} {row.account_id} {row.recommendation}")

    @staticmethod
    def _head_of(campaign: Campaign) -> str:
        taken = moment(datetime.fromisoformat(campaign.head.about["taken_at"]))
        due = f", due {campaign.due}" if campaign.due else ""
        lines = [f"{campaign.name}: {campaign.state}{due}. Population of {taken}.", campaign.words]
        if campaign.missing:
            lines.insert(1, f"Partial: {'; '.join(campaign.missing)}.")
        signed = [event.detail for event in campaign.events if event.event == "signed"]
        lines += [f"Signed by {one['name']}, {one['role']}." for one in signed]
        return "".join(f"<p>{sentence(one)}</p>" for one in lines)

    def matches(self) -> list[Row]:
        """Return the rows that the filter and the tick let through, also those that the list does not show."""
        campaign: Campaign | None = self.campaign
        if campaign is None:
            return []
        words = comparable(self.filter.value).split()
        found = []
        only = self.undecided.value and campaign.state == "Open"
        for row in campaign.rows:
            decision = campaign.decided.get(row.row_id)
            if only and (row.routed_out or (decision is not None and campaign.decision(row.row_id) is not None)):
                continue
            said = f"{self._lines[row.row_id]} {decision.decision if decision else ''}" if words else ""
            if all(word in said for word in words):
                found.append(row)
        return found

    def _show_rows(self) -> None:
        campaign: Campaign | None = self.campaign
        found = self.matches()
        shown = found[:SHOWN]
        before = set(self.value)
        marked = tuple(row.row_id for row in shown if row.row_id in before)
        self.fill(self.list, [(self._label(row), row.row_id) for row in shown], marked)
        self._mark(self.list.value)
        first = f"; the first {SHOWN} are shown" if len(found) > SHOWN else ""
        total = len(campaign.rows) if campaign else 0
        self.count.value = paragraph(
            f"{counted(total, 'row')}, {len(found):,} match{first}; {len(self.value):,} marked."
        )
        self.keep_all.description = f"Keep all that are shown ({len(shown):,})"

    def _label(self, row: Row) -> str:
        campaign: Campaign = self.campaign
        decision = campaign.decision(row.row_id)
        word = decision.decision if decision else "routed out" if row.routed_out else "undecided"
        parts = [f"[{word}]", row.group_name, campaign.called(row.account_id)]
        if row.recommendation:
            parts.append(row.recommendation)
        return " · ".join(parts)

    def _mark(self, marked: Any) -> None:
        self.value = tuple(marked)
        self.count.value = re.sub(r"[\d,]+ marked", f"{len(self.value):,} marked", self.count.value)
        if len(self.value) != 1 or self.campaign is None:
            self.about.value = ""
            return
        row = self.campaign.row(self.value[0])
        gives = f"gives access to Confluence ({row.access})" if row.access else "gives no access to Confluence"
        facts = [f"{row.group_name} {gives}", f"account {row.account_status}", "guest" if row.is_guest else ""]
        facts += [f"member {row.member_since}" if row.member_since else "", row.recommendation]
        decision = self.campaign.decision(row.row_id)
        if decision is not None:
            until = f" until {decision.until}" if decision.until else ""
            said = f": {decision.reason}" if decision.reason else ""
            facts.append(f"{decision.decision}{until} by {self.campaign.who(decision)}{said}")
        self.about.value = f"<p>{sentence('; '.join(fact for fact in facts if fact))}.</p>"


def proof_markup(proof: Verification) -> str:
    """Return what a second walk showed: first what somebody has to look at, and no row that is as decided."""
    from spokekit.review import verification as v

    order = (v.UNEXPLAINED, v.CAME_BACK, v.NOT_DONE, v.REFUSED, v.NOT_READ, v.DONE, v.STILL_THERE)
    frame = proof.frame
    told = frame[frame["outcome"].isin(order)]
    told = told.sort_values("outcome", key=lambda column: column.map(order.index), kind="stable")
    heads = ["group", "person", "outcome", "outcome_detail", "account_id"]
    rows = told[heads].head(SHOWN).itertuples(index=False, name=None)
    caption = f"{len(told):,} of {counted(len(frame), 'row')}; the others are as decided"
    if len(told) > SHOWN:
        caption += f"; the first {SHOWN} are shown, review rows --wide lists all"
    words = [name.replace("outcome_", "").replace("_", " ") for name in heads]
    return f"<p>{sentence(proof.words)}</p>" + html_table(words, rows, caption=caption)
