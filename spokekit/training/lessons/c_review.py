"""Chapter C, its last lesson: a review whose every row is decided, by somebody, for a reason, and for a time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from spokekit.training.doer import Doer
from spokekit.training.lesson import Lesson, Start, Turn
from spokekit.training.seen import Seen

if TYPE_CHECKING:
    import pandas as pd

QUESTION = "inactive-in-groups"


def _those(seen: Seen, state: str) -> pd.DataFrame:
    found = seen.findings
    return found[found["state"] == state]


def accepted(seen: Seen) -> list[str]:
    """Return which findings are accepted."""
    return sorted(_those(seen, "accepted")["about"])


def _open(seen: Seen) -> list[str]:
    return sorted(_those(seen, "new")["about"])


def _endless(seen: Seen) -> list[str]:
    found = _those(seen, "accepted")
    return sorted(found.loc[found["accepted_until"].isna(), "about"])


def _thin(seen: Seen) -> list[str]:
    reasons = _those(seen, "accepted")["reason"].dropna().astype(str)
    return sorted({reason for reason in reasons if len(reason.split()) < 3})


class AccessReview(Lesson):
    """An access review with evidence.

    Four deactivated accounts sit in groups. The owners have told you why each may stay for now: the people come back
    after a long leave. A review is evidence only if every row was decided, by somebody, for a reason, and for a time.
    """

    name = "access-review"
    minutes = 15
    goal = (
        "Every finding of “inactive-in-groups” on the newest snapshot is accepted with a name, an end, and a reason of "
        "at least three words."
    )
    first = "List the findings of “inactive-in-groups”."
    start = Start(step=4)
    tools = ("walk", "findings")
    hints = (
        "Nothing is decided by itself: mark the findings, then type a reason, your name and a day.",
        "An acceptance without an end is for good, and nobody will look at it again. Give a day in “Until”.",
        "Mark all findings, type “On leave until spring”, your name and a day next year, and press Accept.",
    )
    turns = (
        Turn(
            "for-good",
            lambda s: bool(_endless(s)),
            "You accepted “{endless}” for good. Take it back and accept it until a day: leave ends.",
            lambda s: {"endless": _endless(s)[0]},
            lambda do: do.accept(finding_ids(do), reason="On leave until spring"),
        ),
        Turn(
            "thin-reason",
            lambda s: bool(_thin(s)),
            "Your reason is “{reason}”. In a year nobody will know what that meant; write a sentence.",
            lambda s: {"reason": _thin(s)[0]},
            lambda do: do.accept(finding_ids(do), reason="fine", until=_next_year()),
        ),
        Turn(
            "some-undecided",
            lambda s: bool(accepted(s)) and bool(_open(s)),
            "{undecided} of the findings are not decided yet, “{next_one}” among them.",
            lambda s: {"undecided": len(_open(s)), "next_one": _open(s)[0]},
            lambda do: do.accept(finding_ids(do)[:1], reason="On leave until spring", until=_next_year()),
        ),
    )
    steps = (
        "List the findings of “inactive-in-groups” and mark all of them.",
        "Type a reason of at least three words, your name, and a day in “Until”. Press Accept.",
    )
    shown = "Every row was decided by a name, for a reason, until a day."
    at_work = "At work, download the list under the findings as evidence, and hand it over with the snapshot's date."

    def prepare(self, do: Doer) -> None:
        do.walk()
        do.review(QUESTION)

    def attempted(self, seen: Seen) -> bool:
        return bool(accepted(seen))

    def right(self, seen: Seen) -> bool:
        return bool(accepted(seen)) and not _open(seen) and not _endless(seen) and not _thin(seen)

    def solve(self, do: Doer) -> None:
        do.accept(finding_ids(do), reason="On leave until spring", until=_next_year())


def finding_ids(do: Doer) -> list[str]:
    """Return the ids of all findings."""
    return [str(one) for one in do.look().findings["finding_id"]]


def _next_year() -> date:
    return datetime.now(UTC).date() + timedelta(days=180)
