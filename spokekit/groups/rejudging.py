"""Hold a plan, or an apply that was broken off, against a fresh reading of the site. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from spokekit.groups.journal import ApplyState
from spokekit.groups.plan import REFUSED, Plan, Row
from spokekit.groups.present import Difference, Present, differences
from spokekit.groups.preview import MAX_AGE, duration
from spokekit.groups.rules import Judge, Verdict


def changes(plan: Plan, now: Present) -> tuple[Difference, ...]:
    """Say what stands in the way of applying `plan` to the site as it is now; empty when nothing does."""
    planned = {row.group_id for row in plan.planned}
    found = list(differences({key: footing for key, footing in plan.ground.items() if key in planned}, now))
    told = {difference.group_id for difference in found}
    judge = Judge(now)
    for row in plan.planned:
        group = now.groups.get(row.group_id)
        if group is None or group.group_id not in plan.ground:
            message = f"{row.group or row.group_id} is not a registered group."
            found.append(Difference(row.group_id, row.group, row.account_id, "not_registered", message))
            continue
        verdict = judge.row(group, row.account_id, row.action)
        if verdict is not None and (verdict.status == REFUSED or row.group_id not in told):
            found.append(
                Difference(row.group_id, group.name, row.account_id, verdict.reason, f"{_who(row)}: {verdict.message}")
            )
    return tuple(found)


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
        if verdict is None and age > MAX_AGE:
            message = f"Not done, and the apply is {duration(age)} old: if it is still wanted, make a new plan."
            verdict = Verdict(REFUSED, "too_old", message)
        verdicts[position] = verdict
    return verdicts


def _who(row: Row) -> str:
    return f"{row.display_name} ({row.account_id})" if row.display_name else row.account_id
