"""REST v2 of the practice site: people in bulk, spaces, permissions, roles and pages."""

from __future__ import annotations

from spokekit.practice._wire import Answer, json_answer, v2_error
from spokekit.practice.confluence_v1 import Call

NOT_FOUND = ("NOT_FOUND", "Not Found")


def users_bulk(call: Call) -> Answer:
    """POST /users-bulk: up to 250 people; unknown ids are left out in silence."""
    body = call.json_body()
    ids = body.get("accountIds") if isinstance(body, dict) else None
    if not isinstance(ids, list) or not 1 <= len(ids) <= 250 or not all(isinstance(i, str) for i in ids):
        return v2_error(400, "INVALID_REQUEST_PARAMETER", "accountIds has to hold 1 to 250 account ids.")
    results = []
    for row in (call.world.user_row(account_id) for account_id in dict.fromkeys(ids)):
        if row is None:
            continue
        person = call.world.person(row)
        results.append(
            {
                "displayName": person.display_name,
                "timeZone": person.time_zone,
                "personalSpaceId": call.world.personal_space(row),
                "isExternalCollaborator": person.is_guest,
                "accountStatus": person.account_status,
                "accountId": person.account_id,
                "email": person.email,
                "accountType": person.account_type,
                "publicName": person.public_name,
                "profilePicture": {"path": f"/wiki/aa-avatar/{person.account_id}", "isDefault": False},
            }
        )
    points = 1 + 2 * len(results) if call.switches.users_bulk_is_read else 1
    return json_answer(200, {"results": results, "_links": {"base": call.base}}, points=points)
