"""The rows of a campaign as a frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from spokekit.review import records as rec
from spokekit.review.decisions import today_here

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.review.campaign import Campaign
    from spokekit.review.records import Row

COLUMNS = (
    *("row_id", "group_id", "group", "account_id", "person", "access", "managed_by", "account_status"),
    *("recommendation", "decision", "reason", "decided_by", "decided_at"),
)
"""The columns of rows; the command line's JSON has them as keys."""
MORE_COLUMNS = (
    *("until", "account_type", "is_guest", "licensed", "member_since", "reviewer", "self_review", "outcome"),
    "outcome_detail",
)


def rows_frame(campaign: Campaign, rows: Iterable[Row]) -> pd.DataFrame:
    """Return rows as a frame; see `Campaign.frame` for its columns."""
    import pandas as pd

    chosen = list(rows)
    today = today_here()
    made = [campaign.decision(row.row_id, today) for row in chosen]
    who = {(e.by, e.stated_by): campaign.who(e) for e in campaign.decided.values()}
    outcomes = proof.outcomes if (proof := campaign.verification()) else {}
    reviewers = [campaign.reviewer(row) for row in chosen]

    def text(values: Iterable[str]) -> Any:
        return pd.Series(list(values), dtype="str")

    plain = ("group_id", "account_id", "access", "managed_by", "account_status", "recommendation", "account_type")
    moments: Any = [d.at if d else None for d in made]
    columns: dict[str, Any] = {name: text(getattr(row, name) for row in chosen) for name in plain}
    columns |= {
        "row_id": pd.Series([row.row_id for row in chosen], dtype="int64"),
        "group": text(row.group_name for row in chosen),
        "person": text(campaign.called(row.account_id) for row in chosen),
        "decision": text(
            d.decision if d else rec.ROUTED_OUT if row.routed_out else "" for row, d in zip(chosen, made, strict=True)
        ),
        "reason": text(d.reason if d else "" for d in made),
        "decided_by": text(who[d.by, d.stated_by] if d else "" for d in made),
        "decided_at": pd.Series(pd.to_datetime(moments, utc=True), dtype="datetime64[us, UTC]"),
        "until": text(d.until if d else "" for d in made),
        "is_guest": pd.Series([row.is_guest for row in chosen], dtype="bool"),
        "licensed": pd.Series([row.licensed for row in chosen], dtype="bool"),
        "member_since": text(row.member_since for row in chosen),
        "reviewer": text(campaign.called(named) if named else "" for named, _ in reviewers),
        "self_review": pd.Series([mine for _, mine in reviewers], dtype="bool"),
        "outcome": text(outcomes.get(row.row_id, ("", ""))[0] for row in chosen),
        "outcome_detail": text(outcomes.get(row.row_id, ("", ""))[1] for row in chosen),
    }
    return pd.DataFrame({name: columns[name] for name in (*COLUMNS, *MORE_COLUMNS)})
