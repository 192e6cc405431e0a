"""Access reviews with evidence: who may keep access, decided row by row, signed, carried out, proven.

From the opening to the evidence::

    from spokekit.review import Reviews, check_evidence

    reviews = Reviews.of(work)
    campaign = reviews.open("2026-Q4", scope="registered")
    campaign.frame()                                      # rows, each with a recommendation
    campaign.decide(12, "remove")
    campaign.sign("Kim Muster", "Head of IT")
    preview = campaign.plan(members)                      # one guarded membership plan
    campaign.apply(members, preview, confirm=preview.confirmation)
    campaign.verify(Audit.of_snapshot(second_walk))
    campaign.close("evidence/2026-Q4")
    check_evidence("evidence/2026-Q4", reviews)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spokekit.review.campaign import Campaign
    from spokekit.review.checking import check_evidence
    from spokekit.review.decisions import Choice, Decided
    from spokekit.review.frames import COLUMNS
    from spokekit.review.records import DECISIONS, STATES, Actor
    from spokekit.review.reviews import Reviews

_WHERE = {
    "Actor": "records",
    "COLUMNS": "frames",
    "Campaign": "campaign",
    "Choice": "decisions",
    "DECISIONS": "records",
    "Decided": "decisions",
    "Reviews": "reviews",
    "STATES": "records",
    "check_evidence": "checking",
}

__all__ = ["COLUMNS", "DECISIONS", "STATES", "Actor", "Campaign", "Choice", "Decided", "Reviews", "check_evidence"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
