"""Whose access a campaign is about: the memberships of a snapshot, each with what is known of it and an advice."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from spokekit._words import comparable, counted, some
from spokekit.errors import IncompleteResult, InputError
from spokekit.groups.site_state import EXTERNAL
from spokekit.review.records import ASK, REMOVE, Row

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.audit import Audit
    from spokekit.audit.compare_people import Comparison

SCOPES = ("registered", "access", "admins")
INACTIVE_DAYS = 90
_NAMED = 10


@dataclass(frozen=True)
class Population:
    """The rows of a campaign to be, names and addresses by account, and what is missing ("" where nothing is)."""

    rows: tuple[Row, ...]
    people: Mapping[str, tuple[str, str]]
    groups: Mapping[str, str]
    missing: tuple[str, ...] = ()

    def check(self, *, partial: bool) -> None:
        """Raise `InputError` where nobody is in it, `IncompleteResult` where something is missing, unless `partial`."""
        if self.missing and not partial:
            raise IncompleteResult(
                f"The population is not complete: {'; '.join(self.missing)}.",
                likely="A review of an incomplete list proves nothing of what is not on it.",
                hint="Walk again until it is complete, or open the review as partial (--partial), which then stands on "
                "every page of its evidence.",
            )
        if not self.rows:
            raise InputError(
                "Nobody is in scope: no group of it has a member in the snapshot.",
                field="scope",
                hint="Choose another scope, register groups (notebook 04, spokekit groups register), or walk again.",
            )


Earlier = Mapping[tuple[str, str], tuple[str, str]]
"""Exceptions of earlier campaigns by (group id, account id): until when, and the name of the campaign."""


def population(
    audit: Audit,
    scope: str,
    groups: Sequence[str] = (),
    *,
    registered: Collection[str] = (),
    people: Comparison | pd.DataFrame | None = None,
    inactive_days: int = INACTIVE_DAYS,
    earlier: Earlier | None = None,
    today: date,
) -> Population:
    """Return the population of a scope, as the state of `audit` has it; see `Reviews.open` for the parameters."""
    from spokekit.audit.compare_people import Comparison

    chosen, missing = _chosen(audit, scope, groups, registered)
    missing = (*missing, *_not_read(audit, chosen))
    numbers = [group["group_no"] for group in chosen.values()]
    found = audit.session.rows(
        """
        WITH here AS (SELECT unnest(CAST($numbers AS INTEGER[])) AS group_no),
             seats AS (SELECT m.user_no, COUNT(*) AS n FROM memberships m JOIN groups g USING (group_no)
                       WHERE g.for_users OR g.for_admins GROUP BY m.user_no),
             since AS (SELECT group_no, user_no, MAX(since) AS since FROM membership_history
                       WHERE until = 2147483647 OR until > $at GROUP BY group_no, user_no)
        SELECT g.group_id, g.name, u.account_id, g.access, g.managed_by, u.account_type, u.account_status, u.is_guest,
               u.licensed, COALESCE(seats.n, 0), since.since, u.display_name, u.email, g.for_users OR g.for_admins
        FROM memberships m JOIN here USING (group_no) JOIN groups g ON g.group_no = m.group_no
        JOIN users u ON u.user_no = m.user_no LEFT JOIN seats ON seats.user_no = m.user_no
        LEFT JOIN since ON since.group_no = m.group_no AND since.user_no = m.user_no
        ORDER BY g.name, g.group_id, u.display_name, u.account_id""",
        {"numbers": numbers, "at": max((number for number, _ in audit.times()), default=0)},
    )
    listed = _listed(people_of(people) if isinstance(people, Comparison) else people)
    moments = dict(audit.times())
    first = min(moments, default=0)
    rows = []
    for number, one in enumerate(found, start=1):
        (group_id, name, account, access, managed, kind, status, guest, licensed, seats, since, *_, gives) = one
        row = Row(
            *(number, group_id, name, account, access, managed, kind, status, bool(guest), bool(licensed)),
            member_since=_since(since, moments, first),
            registered=group_id in registered,
            routed_out=managed == EXTERNAL,
            advice="",
            recommendation="",
        )
        advice, words = _advice(row, bool(gives), int(seats or 0), listed.get(account), inactive_days, today)
        if not advice and earlier is not None:
            advice, words = _exception(earlier, row.pair, today, words)
        rows.append(replace(row, advice=advice, recommendation=words))
    known = {row[2]: (row[11], row[12]) for row in found}
    return Population(tuple(rows), known, {gid: group["name"] for gid, group in chosen.items()}, missing)


# -- which groups ------------------------------------------------------------------------------------------------------


def _chosen(
    audit: Audit, scope: str, named: Sequence[str], registered: Collection[str]
) -> tuple[dict[str, dict[str, Any]], tuple[str, ...]]:
    listed = audit.session.rows(
        "SELECT group_no, group_id, name, access, for_users OR for_admins, for_admins OR for_site_admins FROM groups "
        "ORDER BY name, group_id"
    )
    groups = {
        group_id: {"group_no": no, "name": name, "access": access, "seat": seat, "admin": admin}
        for no, group_id, name, access, seat, admin in listed
    }
    if named:
        return {gid: groups[gid] for gid in (_found(one, groups) for one in named)}, ()
    if scope == "registered":
        gone = sorted(set(registered) - set(groups))
        missing = tuple(f"the registered group {gid} is not in the snapshot" for gid in gone[:_NAMED])
        return {gid: group for gid, group in groups.items() if gid in registered}, missing
    if scope == "access":
        return {gid: group for gid, group in groups.items() if group["access"]}, ()
    if scope == "admins":
        return {gid: group for gid, group in groups.items() if group["admin"]}, ()
    raise InputError(
        f"There is no scope {scope}.", field="scope", hint="Use registered, access, admins, or names or ids of groups."
    )


def _found(text: str, groups: Mapping[str, Mapping[str, Any]]) -> str:
    if text in groups:
        return text
    found = [gid for gid, group in groups.items() if comparable(group["name"]) == comparable(text)]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{len(found)} groups are called {text}.", field="scope", hint=f"Use an id: {found[0]} …")
    raise InputError(
        f"The snapshot has no group {text}.",
        field="scope",
        hint="Use registered, access or admins, or a name or id as `spokekit groups list` shows it; walk again if it "
        "is new.",
    )


def _not_read(audit: Audit, chosen: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Say what of the population is missing or may be: a walk that is incomplete, groups that it did not read."""
    from spokekit.audit.frames import CONFIRMED, NOT_WALKED, WALKED

    states = {
        group_id: (state, disturbed)
        for group_id, state, disturbed in audit.session.rows(
            "SELECT g.group_id, c.state, c.disturbed FROM coverage c JOIN groups g USING (group_no)"
        )
    }
    found = []
    if audit.completeness.get("complete") is False:
        found.append(str(audit.completeness.get("words") or "the walk was incomplete").rstrip("."))
    by_size = [group["name"] for gid, group in chosen.items() if states.get(gid, ("",))[0] == CONFIRMED]
    if by_size:
        found.append(
            f"of {some(by_size, _NAMED)} only the size was confirmed: one who came while one left would not show"
        )
    unread = [
        group["name"] for gid, group in chosen.items() if states.get(gid, (NOT_WALKED,))[0] not in (WALKED, CONFIRMED)
    ]
    if unread:
        found.append(f"the members of {some(unread, _NAMED)} were not read")
    moved = [group["name"] for gid, group in chosen.items() if states.get(gid, ("", False))[1]]
    if moved:
        found.append(f"{', '.join(moved[:_NAMED])} changed while {'they were' if len(moved) > 1 else 'it was'} read")
    return tuple(found)


# -- recommendations ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Listed:
    in_list: bool | None
    last_seen: date | None
    as_of: date | None
    left: bool = False
    never_seen: bool = False


def _listed(people: pd.DataFrame | None) -> dict[str, _Listed]:
    if people is None:
        return {}
    found: dict[str, _Listed] = {}
    for record in people.to_dict("records"):
        inside = record.get("in_list")
        known = None if inside is None or inside != inside else bool(inside)
        found[str(record["account_id"])] = _Listed(
            known,
            _day(record.get("last_seen")),
            _day(record.get("as_of")),
            bool(record.get("left", False)),
            bool(record.get("never_seen", False)),
        )
    return found


def people_of(comparison: Comparison) -> pd.DataFrame:
    """Return what a comparison with lists says of each account, as `Reviews.open` takes it; one row an account.

    Columns: account_id (str), in_list, left, never_seen (bool), last_seen, as_of (datetime64, UTC). Accounts of which
    the lists cannot tell, since they hide their address, are not among them.
    """
    import pandas as pd

    from spokekit.audit.compare_people import IN_NO_LIST
    from spokekit.audit.roster import LEFT

    lines = comparison.matches
    grouped = lines.assign(left=lines["list_status"] == LEFT).groupby("account_id", sort=False)
    made = grouped.agg(
        left=("left", "any"), never=("never_seen", "any"), last_seen=("last_seen", "max"), as_of=("as_of", "max")
    ).reset_index()
    made["in_list"] = True
    made["never_seen"] = made.pop("never") & made["last_seen"].isna()
    absent = comparison.frame[comparison.frame["finding"] == IN_NO_LIST]["account_id"]
    absent = absent[~absent.isin(made["account_id"])].drop_duplicates()
    if not len(absent):
        return made
    more = pd.DataFrame({"account_id": absent.to_numpy(), "in_list": False, "left": False, "never_seen": False})
    more["last_seen"] = pd.Series(pd.NaT, index=more.index, dtype=made["last_seen"].dtype)
    more["as_of"] = pd.Series(lines["as_of"].max(), index=more.index, dtype=made["as_of"].dtype)
    return pd.concat([made, more], ignore_index=True) if len(made) else more


def _day(value: Any) -> date | None:
    if value is None or value != value or str(value) in ("", "NaT", "<NA>"):
        return None
    if isinstance(value, datetime):
        return value.date()
    return value if isinstance(value, date) else date.fromisoformat(str(value)[:10])


def _advice(row: Row, gives: bool, seats: int, listed: _Listed | None, days: int, today: date) -> tuple[str, str]:
    """Return the advice about a row and its reason; ``gives`` says that its group gives access, in one of ``seats``."""
    if row.account_status in ("inactive", "closed"):
        return REMOVE, f"remove: leaver, the account is {row.account_status}"
    if row.account_type == "app":
        return ASK, "ask: service account; the account belongs to an app"
    if row.is_guest and gives:
        return REMOVE, "remove: guest in an access group"
    if listed is not None:
        if listed.left:
            return REMOVE, f"remove: leaver, by the list of {listed.as_of or today}"
        if listed.in_list is False:
            return REMOVE, "remove: in no list of people" + (f" (list of {listed.as_of})" if listed.as_of else "")
        seen, as_of = listed.last_seen, listed.as_of or today
        if listed.never_seen and gives:
            return REMOVE, f"remove: inactive, never seen (list of {as_of})"
        if seen is not None and gives and (as_of - seen).days >= days:
            idle = counted((as_of - seen).days, "day")
            return REMOVE, f"remove: inactive for {idle}, last seen {seen} (list of {as_of})"
    if gives and seats == 1 and row.licensed:
        # No advice: it says what a removal would mean.
        return "", "mind: holds the seat only here"
    return "", ""


def _exception(earlier: Earlier, pair: tuple[str, str], today: date, words: str) -> tuple[str, str]:
    until, campaign = earlier.get(pair, ("", ""))
    if not until:
        return "", words
    if until < today.isoformat():
        return ASK, f"ask: the exception until {until} of {campaign} has run out"
    return "", f"exception until {until}, by {campaign}" + (f"; {words}" if words else "")


def _since(since: Any, moments: Mapping[int, datetime], first: int) -> str:
    if since is None or since not in moments:
        return ""
    day = f"{moments[since]:%Y-%m-%d}"
    return f"{day} or earlier" if since == first else f"since {day}"
