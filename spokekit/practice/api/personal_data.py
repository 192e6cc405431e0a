"""The personal-data report of apps that store account ids: ``POST /app/report-accounts/``.

Sources: Atlassian's user privacy guide for app developers (up to 90 accounts a request, 200 with the accounts to
refresh or erase, 204 when there is nothing to do, a cycle of 7 days by default); ECO-533 on jira.atlassian.com (a
3LO token never holds the scope of this API, and asking for nothing else shows an error page).
"""

from __future__ import annotations

import datetime as dt
import json

from spokekit.practice.apps import REPORT_SCOPE
from spokekit.practice.exchange import Answer, gateway_error, json_answer
from spokekit.practice.issued import Access
from spokekit.practice.switches import Switches
from spokekit.practice.world import World

MOST = 90


def report_accounts(world: World, switches: Switches, access: Access, body: bytes) -> Answer:
    """Answer a report: which of the accounts are closed, and which changed since the app last looked."""
    held = access.grant.app.scopes if switches.report_scope == "app" else access.scopes
    if REPORT_SCOPE not in held:
        return gateway_error(401, "Unauthorized; scope does not match")
    try:
        accounts = json.loads(body)["accounts"]
        asked = [(str(a["accountId"]), _moment(a["updatedAt"])) for a in accounts]
    except (ValueError, KeyError, TypeError, RecursionError):
        return gateway_error(400, "accounts has to be a list of accountId and updatedAt (RFC 3339).")
    if not 1 <= len(asked) <= MOST:
        return gateway_error(400, f"1 to {MOST} accounts can be reported at once.")
    due = []
    for account_id, seen in asked:
        row = world.user_row(account_id)
        if row is None:
            continue
        person = world.person(row)
        if person.account_status == "closed":
            due.append({"accountId": account_id, "status": "closed"})
        elif world.updated_at(row) > seen:
            due.append({"accountId": account_id, "status": "updated"})
    answer = json_answer(200, {"accounts": due}, points=0) if due else Answer(204, points=0)
    answer.headers.append(("Cycle-Period", switches.cycle_period))
    return answer


def _moment(text: str) -> float:
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone")
    return moment.timestamp()
