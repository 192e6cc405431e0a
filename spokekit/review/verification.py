"""A second walk held against the decisions: what was done, what was not, what came back, and what nobody decided.

Only what the walk read after the last apply counts. What is written down are its findings row by row, so that later
changes of the site or the journal do not change what this verification said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from spokekit._frames import frame_of
from spokekit._words import counted, moment, some
from spokekit.errors import IncompleteResult, InputError
from spokekit.groups.journal import ROW_ENDED
from spokekit.groups.tables import entries_table
from spokekit.review import records as rec
from spokekit.review import removal

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.audit import Audit
    from spokekit.review.campaign import Campaign
    from spokekit.review.records import Event, Row

AS_DECIDED, DONE, NOT_DONE, REFUSED = "as decided", "done", "not done", "refused"
CAME_BACK, UNEXPLAINED, STILL_THERE, NOT_READ = "came back", "unexplained change", "still there", "not read"
_MAY = (rec.APPLIED, rec.VERIFIED)
_NAMED = 10
_TEXTS = ("group_id", "group", "account_id", "person", "decision", "outcome", "outcome_detail")
_KINDS = {"row_id": "count", **dict.fromkeys(_TEXTS, "text")}


@dataclass(frozen=True)
class Verification:
    """What a second walk showed.

    ``outcomes`` has outcome and detail by row id: done, not done, refused, came back (for removals), done, still there
    (for what was routed out), as decided, unexplained change, not read. ``added`` are memberships that nobody decided
    about: group id, account id, detail. ``gone`` are the rows that are no longer so.
    """

    campaign: Campaign
    taken_at: datetime
    snapshot: int
    outcomes: Mapping[int, tuple[str, str]]
    added: tuple[tuple[str, str, str], ...]
    gone: frozenset[int]
    missing: tuple[str, ...] = ()

    @classmethod
    def read(cls, campaign: Campaign, event: Event) -> Verification:
        """Return what was written down in `event`."""
        d = event.detail
        outcomes = {row.row_id: (AS_DECIDED, "") for row in campaign.rows}
        outcomes |= {int(row_id): (outcome, detail) for row_id, outcome, detail in d["outcomes"]}
        return cls(
            *(campaign, datetime.fromisoformat(d["taken_at"]), d["snapshot"], outcomes),
            tuple((g, a, detail) for g, a, detail in d["added"]),
            frozenset(d["gone"]),
            tuple(d["missing"]),
        )

    def state_of(self, row_id: int) -> str:
        """Return ``still there`` or ``not read`` for a row that is not gone."""
        return NOT_READ if self.outcomes[row_id][0] == NOT_READ else STILL_THERE

    def sums(self) -> dict[str, int]:
        """Count the outcomes: done, not_done (what came back among them), refused, came_back, unexplained, and
        routed_done and routed_still_there for what was routed out, and not_read of all rows."""
        removed = {row.row_id for row in self.campaign.removals}
        counts = Counter(outcome for row_id, (outcome, _) in self.outcomes.items() if row_id in removed)
        routed = Counter(self.outcomes[row.row_id][0] for row in self.campaign.rows if row.routed_out)
        changed = sum(outcome == UNEXPLAINED for outcome, _ in self.outcomes.values())
        return {
            "done": counts[DONE],
            "not_done": counts[NOT_DONE] + counts[CAME_BACK] + counts[NOT_READ],
            "refused": counts[REFUSED],
            "came_back": counts[CAME_BACK],
            "unexplained": changed + len(self.added),
            "routed_done": routed[DONE],
            "routed_still_there": routed[STILL_THERE],
            "not_read": sum(outcome == NOT_READ for outcome, _ in self.outcomes.values()),
        }

    @property
    def frame(self) -> pd.DataFrame:
        """Every row with its outcome, and the additions that nobody decided about (row_id missing, Int64).

        Columns: row_id, group_id, group, account_id, person, decision, outcome, outcome_detail (str).
        """
        import pandas as pd

        c = self.campaign
        groups = c.head.about["groups"]
        made = c.frame()[list(_KINDS)].astype({"row_id": "Int64"})
        new = [(None, g, groups.get(g, g), a, c.called(a), "", UNEXPLAINED, detail) for g, a, detail in self.added]
        return pd.concat([made, frame_of(new, _KINDS)], ignore_index=True) if new else made

    @property
    def words(self) -> str:
        """The same as a sentence or two."""
        s = self.sums()
        text = (
            f"As of {moment(self.taken_at)}: {counted(s['done'], 'removal')} done, {s['not_done']:,} not done "
            f"({s['came_back']:,} came back), {s['refused']:,} refused; "
            f"{counted(s['unexplained'], 'unexplained change')}"
        )
        if any(row.routed_out for row in self.campaign.rows):
            text += f"; of what was routed out {s['routed_still_there']:,} still there, {s['routed_done']:,} done"
        text += f"; {counted(s['not_read'], 'row')} not read" if s["not_read"] else ""
        missing = f" Partial: {'; '.join(self.missing)}." if self.missing else ""
        return f"{text}.{missing}"


def verify(campaign: Campaign, audit: Audit, *, partial: bool = False) -> Verification:
    """Hold `audit` against the decisions and write down what it shows.

    Parameters
    ----------
    partial:
        Take a walk that did not read every group of the campaign: what it did not read is not called done.

    Raises
    ------
    Conflict
        The removals were not carried out yet, or it is closed.
    InputError
        The walk is of another site, or older than the last apply.
    IncompleteResult
        It did not read every group of the campaign after the last apply.
    """
    removal.note(campaign)
    campaign.see_that(_MAY, "what was not carried out cannot be verified")
    if audit.site.cloud_id != campaign.head.cloud_id:
        raise InputError("That snapshot is of another site.", field="audit")
    applied_at = campaign.happened(rec.WAS_APPLIED)[-1].at
    if audit.taken_at <= applied_at:
        raise InputError(
            f"The newest snapshot is of {moment(audit.taken_at)}, and the removals were carried out at "
            f"{moment(applied_at)}.",
            field="audit",
            hint="Walk again first: spokekit audit walk, or Walk in notebook 05.",
        )
    found = _look(campaign, audit, applied_at, partial=partial)
    new = {account for _, account, _ in found["added"]} - set(campaign.people)
    campaign.add(rec.WAS_VERIFIED, found, only=_MAY, words="verified", people=_names(audit, new))
    proof = campaign.verification()
    assert proof is not None  # noqa: S101 - it was just written down
    return proof


def _look(campaign: Campaign, audit: Audit, since: datetime, *, partial: bool) -> dict[str, Any]:
    groups = set(campaign.head.about["groups"])
    states = {
        group_id: (state, walked_at)
        for group_id, state, walked_at in audit.session.rows(
            "SELECT g.group_id, c.state, c.walked_at FROM groups g LEFT JOIN coverage c USING (group_no)"
        )
    }
    unread = {gid for gid in groups & set(states) if states[gid][0] != "walked" or not _later(states[gid][1], since)}
    vanished = groups - set(states)
    if vanished and audit.completeness.get("complete") is False:
        # An incomplete list of groups may only lack them.
        unread |= vanished
        vanished = set()
    missing = _missing(campaign, unread)
    if missing and not partial:
        raise IncompleteResult(
            f"This walk does not prove it: {'; '.join(missing)}.",
            hint="Walk again, all groups of the review, after the apply; or verify what can be (--partial).",
        )
    pairs = {
        (group_id, account)
        for group_id, account in audit.session.rows(
            "SELECT g.group_id, u.account_id FROM memberships m JOIN groups g ON g.group_no = m.group_no "
            "JOIN users u ON u.user_no = m.user_no WHERE g.group_id IN (SELECT unnest(CAST($groups AS TEXT[])))",
            {"groups": sorted(groups)},
        )
    }
    judge = _Judge(campaign, pairs, unread, vanished)
    outcomes = [[row.row_id, *verdict] for row in campaign.rows if (verdict := judge.of(row)) != (AS_DECIDED, "")]
    population = {row.pair for row in campaign.rows}
    lacking = bool(campaign.missing)
    added = [
        [*pair, judge.other(pair) or ("The population was partial: it may have been so before." if lacking else "")]
        for pair in sorted(pairs - population)
        if pair[0] not in unread
    ]
    gone = [row.row_id for row in campaign.rows if row.pair not in pairs and row.group_id not in unread]
    moments = audit.moments()
    return {
        "taken_at": audit.taken_at.isoformat(),
        "snapshot": moments[-1].number if moments else 0,
        "completeness": str(audit.completeness.get("words") or ""),
        "outcomes": outcomes,
        "added": added,
        "gone": gone,
        "missing": missing,
    }


def _missing(campaign: Campaign, unread: set[str]) -> list[str]:
    names = sorted(campaign.head.about["groups"][gid] for gid in unread)
    if not names:
        return []
    return [f"{some(names, _NAMED)} {'was' if len(names) == 1 else 'were'} not read after the apply"]


class _Judge:
    """Says what became of each row; looks nothing up but the journal, once."""

    def __init__(self, campaign: Campaign, pairs: set[tuple[str, str]], unread: set[str], vanished: set[str]) -> None:
        self._campaign = campaign
        self._pairs = pairs
        self._unread = unread
        self._vanished = vanished
        self._done = removal.last_rows(campaign)
        self._refused = removal.refused(campaign)
        self._others = _other_applies(campaign, {a for a, _ in self._done.values()} | set(removal.applies(campaign)))

    def of(self, row: Row) -> tuple[str, str]:
        """Return outcome and detail."""
        decided = self._campaign.decision(row.row_id)
        there = row.pair in self._pairs
        if row.group_id in self._unread:
            return NOT_READ, "Its group was not read after the apply."
        if row.routed_out:
            return (STILL_THERE, "") if there else (DONE, self._gone(row, "Gone where the group comes from."))
        if decided is None or decided.decision != rec.REMOVE:
            return (AS_DECIDED, "") if there else (UNEXPLAINED, self._gone(row, "Gone, and nobody decided that here."))
        return self._removal(row, there)

    def _removal(self, row: Row, there: bool) -> tuple[str, str]:
        apply_id, tried = self._done.get(row.pair, ("", None))
        done = tried is not None and tried.status == DONE
        status, reason, message = self._refused.get(row.pair, ("", "", ""))
        if not there:
            if done:
                return DONE, f"Removed by the apply {apply_id[:8]}."
            return DONE, self._gone(row, "Gone, but not by this review.")
        if done:
            return CAME_BACK, self.other(row.pair) or f"Removed by the apply {apply_id[:8]}, and there again."
        if tried is not None and tried.status == REFUSED:
            return REFUSED, tried.message or tried.reason
        if tried is None and status == REFUSED:
            return REFUSED, message or reason
        if tried is None and status:
            return CAME_BACK, "Was gone when the plan was made, and is there again."
        return NOT_DONE, tried.message if tried is not None else "Nobody has tried it."

    def _gone(self, row: Row, words: str) -> str:
        if row.group_id in self._vanished:
            return "The whole group is gone."
        return self.other(row.pair) or words

    def other(self, pair: tuple[str, str]) -> str:
        """Say which apply of spokekit's journal, not of this campaign, has changed a membership; "" where none has."""
        found = self._others.get(pair)
        return f"In the journal: apply {found[0][:8]}, by {found[1] or 'an unknown account'}." if found else ""


def _other_applies(campaign: Campaign, mine: set[str]) -> dict[tuple[str, str], tuple[str, str]]:
    t = entries_table
    query = (
        sa.select(t.c.group_id, t.c.account_id, t.c.apply_id, t.c.by)
        .where(t.c.cloud_id == campaign.head.cloud_id, t.c.event == ROW_ENDED, t.c.status == DONE)
        .where(t.c.at >= campaign.head.created_at)
        .order_by(t.c.seq)
    )
    campaign.records.store.ensure(t)
    rows = campaign.records.store.fetch(query)
    return {(g, a): (apply_id, by) for g, a, apply_id, by in rows if apply_id not in mine}


def _later(walked_at: Any, since: datetime) -> bool:
    return isinstance(walked_at, datetime) and walked_at.astimezone(since.tzinfo) > since


def _names(audit: Audit, accounts: set[str]) -> dict[str, tuple[str, str]]:
    if not accounts:
        return {}
    found = audit.session.rows(
        "SELECT account_id, display_name, email FROM users WHERE account_id IN "
        "(SELECT unnest(CAST($accounts AS TEXT[])))",
        {"accounts": sorted(accounts)},
    )
    return {account: (name, email) for account, name, email in found}
