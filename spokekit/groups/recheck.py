"""Hold a plan, or an apply that was broken off, against a fresh reading of the site. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from spokekit._words import comparable, counted
from spokekit.errors import PlanError
from spokekit.groups.journal import ApplyState
from spokekit.groups.plan import REFUSED, Plan, Row, build
from spokekit.groups.preview import MAX_AGE, Preview, duration, grave
from spokekit.groups.rules import Judge, Verdict
from spokekit.groups.site_state import Difference, Present, differences, named
from spokekit.groups.wishes import Wish, WishList

_SHOWN = 3


def changes(plan: Plan, now: Present) -> tuple[Difference, ...]:
    """Say what stands in the way of applying `plan` to the site as it is now; empty when nothing does.

    A plan is a list of ids. The names that it gives them are compared with the site too: they are what somebody read
    who agreed to it.
    """
    planned = {row.group_id for row in plan.planned}
    found = list(differences({key: footing for key, footing in plan.ground.items() if key in planned}, now))
    told = {difference.group_id for difference in found}
    judge = Judge(now)
    seen: set[tuple[str, str]] = set()
    for row in plan.planned:
        group = now.groups.get(row.group_id)
        if group is None or group.group_id not in plan.ground:
            message = f"{row.group or row.group_id} is not a registered group."
            found.append(Difference(row.group_id, row.group, row.account_id, "not_registered", message))
            continue
        who = named(row.account_id, row.display_name)
        if row.pair in seen:
            message = f"The plan has two changes of {who} in {group.name}."
            found.append(Difference(row.group_id, group.name, row.account_id, "contradiction", message))
        seen.add(row.pair)
        verdict = judge.row(group, row.account_id, row.action)
        if verdict is not None and (verdict.status == REFUSED or row.group_id not in told):
            message = f"{who}: {verdict.message}"
            found.append(Difference(row.group_id, group.name, row.account_id, verdict.reason, message))
        found.extend(_other_names(row, now))
    return tuple(found)


def _other_names(row: Row, now: Present) -> Iterator[Difference]:
    group, person = now.groups[row.group_id], now.person(row.account_id)
    if row.group != group.name:
        message = f"The plan calls the group {group.group_id} “{row.group}”, and its name is “{group.name}”."
        yield Difference(row.group_id, group.name, row.account_id, "other_name", message)
    if person is not None and comparable(row.display_name) != comparable(person.display_name):
        theirs = f"is called “{person.display_name}”" if person.display_name else "shows no name"
        called = f"“{row.display_name}”" if row.display_name else "nothing"
        message = f"The plan calls the account {row.account_id} {called}, and it {theirs}."
        yield Difference(row.group_id, group.name, row.account_id, "other_name", message)


def unlike(preview: Preview, now: Present) -> tuple[Difference, ...]:
    """Say what stands in the way of applying a preview: `changes`, and grave dangers that are not those it showed."""
    found = changes(preview.plan, now)
    if found:
        return found
    shown, there = set(preview.grave), grave(preview.plan, now)
    new = (f"The preview did not say: {one}" for one in there if one not in shown)
    gone = (f"The preview says what is not so: {one}" for one in preview.grave if one not in there)
    return tuple(Difference("", "", "", "danger", message) for message in (*new, *gone))


def refuse_unlike(found: tuple[Difference, ...]) -> None:
    """Raise `PlanError` that names the first differences, and how many more there are."""
    if not found:
        return
    more = f" And {len(found) - _SHOWN:,} more changes." if len(found) > _SHOWN else ""
    raise PlanError(
        "The groups are not as they were at the preview: "
        + " ".join(difference.message for difference in found[:_SHOWN])
        + more,
        hint="Make the plan again and look at the new preview.",
        differences=found,
    )


def planned_again(plan: Plan, now: Present) -> Plan:
    """Make the plan of the same changes anew, from its ids alone; what it would not have done is left out."""
    wishes = WishList(tuple(Wish(row.group_id, row.account_id) for row in plan.planned), (), "a plan file")
    fixed: dict[tuple[str, str], tuple[str, Verdict | None]] = {row.pair: (row.action, None) for row in plan.planned}
    # As an undo, since nobody who is not in the list is to be removed; and it is no undo of anything in this journal.
    made = build(wishes, "undo", "", now, fixed=fixed)
    left = len(plan.rows) - len(plan.planned)
    notes = (f"{counted(left, 'row')} of the file that nothing was to be done for: left out.",) if left else ()
    return replace(made, mode=plan.mode, only=plan.only, notes=(*made.notes, *notes))


def judged_again(state: ApplyState, rows: Mapping[int, Row], present: Present) -> dict[int, Verdict | None]:
    """Judge open rows of an apply, by position, by what is there now; None for those that are to be done."""
    judge = Judge(present)
    age = (datetime.now(UTC) - state.started_at).total_seconds()
    verdicts: dict[int, Verdict | None] = {}
    for position, row in rows.items():
        group = present.groups.get(row.group_id)
        verdict = (
            judge.row(group, row.account_id, row.action)
            if group is not None
            else Verdict(REFUSED, "not_registered", f"The group {row.group} is no longer registered.")
        )
        if verdict is None and position in state.late:
            # It was settled before it was sent: what somebody has decided since is not done a second time.
            message = "It was sent late, and is not so on the site: it is left as it is there."
            verdict = Verdict(REFUSED, "late", message)
        if verdict is None and age > MAX_AGE:
            message = f"Not done, and the apply is {duration(age)} old: if it is still wanted, make a new plan."
            verdict = Verdict(REFUSED, "too_old", message)
        verdicts[position] = verdict
    return verdicts
