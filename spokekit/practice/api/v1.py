"""REST v1 of the practice site: groups and people."""

from __future__ import annotations

import json
from collections.abc import Callable

from spokekit.practice.api.paging import Call, start_and_limit, v1_links, v1_page, window
from spokekit.practice.exchange import Answer, encoded, json_answer, json_text, v1_error
from spokekit.practice.world import ADMIN, SITE_ADMIN, USER, Person

ACCESS_TYPES = {"user": USER, "admin": ADMIN, "site-admin": SITE_ADMIN}
_USE = ',"operations":[{"operation":"use","targetType":"application"}]'


Handler = Callable[[Call], Answer]


# -- groups -------------------------------------------------------------------------------------------------


def group_json(call: Call, row: int) -> str:
    """Return one group as JSON text."""
    group = call.world.group(row)
    site = call.world.cloud_id
    return (
        f'{{"type":"group","name":{json_text(group.name)},"id":"{group.group_id}",'
        f'"usageType":"{group.usage_type}","managedBy":"{group.managed_by}",'
        f'"resourceAri":"ari:cloud:identity::group/{group.group_id}",'
        f'"_links":{{"self":"https://api.atlassian.com/ex/confluence/{site}/wiki/rest/api/group/by-id?id={group.group_id}"}}}}'
    )


def _group_page(call: Call, path: str, rows: list[int], sized: bool, **more: str) -> Answer:
    page = start_and_limit(call, over=call.switches.group_limit_over_cap)
    if isinstance(page, Answer):
        return page
    start, count, asked = page
    shown, ahead, total = window(call, rows, start, count)
    skips = call.switches.group_limit_over_cap == "cap_and_skip"
    links = v1_links(call, path, start, start + asked if skips else ahead, asked if skips else count, total, **more)
    texts = [group_json(call, row) for row in shown]
    return v1_page(texts, start, count, links, total if sized else 0, 1 + 2 * len(texts))


def list_groups(call: Call) -> Answer:
    """GET /group: every group of the directory by name, or those that give one kind of access."""
    kind = call.query.first("accessType")
    if kind and kind not in ACCESS_TYPES:
        return v1_error(call.switches.bad_access_type_status, f"Unknown accessType: {kind}", kind="BadRequestException")
    rows = call.world.group_order(ACCESS_TYPES.get(kind, 0))
    more = {"accessType": kind} if kind else {}
    return _group_page(call, "/rest/api/group", rows, call.switches.list_total_size, **more)


def pick_groups(call: Call) -> Answer:
    """GET /group/picker: groups whose name holds the query."""
    text = call.query.first("query")
    if not text:
        return v1_error(400, "query is required.", kind="BadRequestException")
    asked = call.query.number("limit", 1)
    if asked is not None and asked > call.switches.page_cap:
        return v1_error(400, f"limit cannot exceed {call.switches.page_cap}.", kind="BadRequestException")
    low = text.casefold()
    rows = [row for row in call.world.group_order() if low in call.world.group_name(row).casefold()]
    return _group_page(call, "/rest/api/group/picker", rows, call.query.flag("shouldReturnTotalSize"), query=text)


def group_by_id(call: Call) -> Answer:
    """GET /group/by-id."""
    row = call.world.group_row(call.query.first("id"))
    if row is None:
        return v1_error(call.switches.unknown_group_status, "No group with this id.", kind="NotFoundException")
    return Answer(200, encoded(group_json(call, row)), points=3)


def group_members(call: Call) -> Answer:
    """GET /group/{groupId}/membersByGroupId: one page of people; an unknown group looks like an empty one."""
    page = start_and_limit(call)
    if isinstance(page, Answer):
        return page
    start, count, _ = page
    world = call.world
    row = world.group_row(call.path["groupId"])
    if row is None and call.switches.unknown_group_members_status != 200:
        return v1_error(404, "No group with this id.", kind="NotFoundException")
    rows = world.members(row) if row is not None else ()
    if row is not None and not call.switches.list_deactivated:
        rows = rows[world.status[rows] == 0]
    shown, ahead, total = window(call, rows, start, count)
    expand = call.query.all("expand")
    texts = [user_json(call, int(user), expand) for user in shown]
    path = f"/rest/api/group/{call.path['groupId']}/membersByGroupId"
    wanted = call.query.flag("shouldReturnTotalSize")
    more = {"expand": ",".join(expand)} if expand else {}
    if wanted:
        more["shouldReturnTotalSize"] = "true"
    links = v1_links(call, path, start, ahead, count, total, **more)
    said = {"filled": total, "missing": 0, "page": len(texts)}[call.switches.members_total_size]
    return v1_page(texts, start, count, links, said if wanted else 0, 1 + 2 * len(texts))


def _write_target(call: Call, account_id: str | None) -> tuple[str, int] | Answer:
    """Check who writes to which group about whom, in the order in which the errors show."""
    group_id = call.query.first("groupId")
    if not group_id or not account_id:
        return v1_error(400, "groupId and accountId are required.", kind="BadRequestException")
    if not is_site_admin(call):
        return v1_error(403, "Only a site administrator may change groups.", kind="PermissionException")
    row = call.world.group_row(group_id)
    if row is None:
        return v1_error(404, "No group with this id.", kind="NotFoundException")
    if call.world.user_row(account_id) is None:
        return v1_error(404, "User not found", kind="NotFoundException")
    managed = call.world.group_managed[row]
    refused = call.switches.external_write_status if managed == "EXTERNAL" else None
    if managed in ("TEAM_MEMBERS", "OPEN"):
        refused = call.switches.team_write_status
    if refused is not None:
        return v1_error(
            refused, "This group is managed elsewhere and cannot be changed here.", kind="BadRequestException"
        )
    return group_id, row


def add_member(call: Call) -> Answer:
    """POST /group/userByGroupId: 201 with an empty body; a full licence is a 500."""
    account_id = call.json_body().get("accountId")
    target = _write_target(call, account_id if isinstance(account_id, str) else None)
    if isinstance(target, Answer):
        return target
    group_id, row = target
    world = call.world
    user = world.user_row(str(account_id))
    if user in world.members(row):
        status = call.switches.add_existing_status
        return Answer(status) if status < 400 else v1_error(status, "The user is in the group already.")
    seats = call.switches.seats
    full = "licence-full" in call.faults or (seats is not None and int(world.licensed.sum()) >= seats)
    if full and world.group_access[row] & (USER | ADMIN) and not world.licensed[user]:
        words = "com.netflix.hystrix.exception.HystrixRuntimeException: AddUserToGroupsIdentityPlatformCommand"
        return json_answer(500, {"statusCode": 500, "message": f"{words} failed and no fallback available."})
    world.add_member(group_id, str(account_id))
    return Answer(201)


def remove_member(call: Call) -> Answer:
    """DELETE /group/userByGroupId: 204, also when the person was not in the group."""
    account_id = call.query.first("accountId")
    target = _write_target(call, account_id)
    if isinstance(target, Answer):
        return target
    call.world.remove_member(target[0], account_id)
    return Answer(204)


def create_group(call: Call) -> Answer:
    """POST /group: a site administrator makes an empty group."""
    name = call.json_body().get("name")
    if not isinstance(name, str) or not name.strip():
        return v1_error(400, "name is required.", kind="BadRequestException")
    if not is_site_admin(call):
        return v1_error(403, "Only a site administrator may create groups.", kind="PermissionException")
    if any(call.world.group_name(row) == name for row in call.world.group_order()):
        return v1_error(400, "A group of this name exists.", kind="BadRequestException")
    group_id = call.world.create_group(name)
    row = call.world.group_row(group_id)
    return Answer(201, encoded(group_json(call, row if row is not None else 0)))


def delete_group(call: Call) -> Answer:
    """DELETE /group/by-id: a site administrator removes a group."""
    if not is_site_admin(call):
        return v1_error(403, "Only a site administrator may remove groups.", kind="PermissionException")
    group_id = call.query.first("id")
    if call.world.group_row(group_id) is None:
        return v1_error(404, "No group with this id.", kind="NotFoundException")
    call.world.delete_group(group_id)
    return Answer(204)


def is_site_admin(call: Call) -> bool:
    """Whether who calls is in a group that gives site administration, or a service account that may do as much."""
    row = call.account_row
    return bool(call.world.site_admins[row] or (call.switches.service_account_writes and call.world.is_app[row]))


# -- people -------------------------------------------------------------------------------------------------


def _user_base(person: Person) -> str:
    app = person.account_type == "app"
    return (
        f'{{"type":"known","accountId":"{person.account_id}","accountType":"{person.account_type}",'
        f'"email":{json_text(person.email)},"publicName":{json_text(person.public_name)},'
        f'"profilePicture":{{"path":"/wiki/aa-avatar/{person.account_id}","width":48,"height":48,"isDefault":{_word(app)}}},'
        f'"displayName":{json_text(person.display_name)},"timeZone":"{person.time_zone}",'
        f'"isExternalCollaborator":{_word(person.is_guest)},"externalCollaborator":{_word(person.is_guest)},'
        f'"isGuest":{_word(person.is_guest)},"locale":"en_GB","accountStatus":"{person.account_status}"'
    )


def _word(value: bool) -> str:
    return "true" if value else "false"


def user_json(call: Call, row: int, expand: list[str]) -> str:
    """Return one person as JSON text; without a seat the expanded operations are an empty list."""
    cache: dict[int, str] = call.world.user_texts
    base = cache.get(row)
    if base is None:
        # A walk of a large world would otherwise keep every person's text.
        if len(cache) > 50_000:
            cache.clear()
        base = cache[row] = _user_base(call.world.person(row))
    operations = "operations" in expand
    shown = (_USE if call.world.licensed[row] else ',"operations":[]') if operations else ""
    rest = '{"personalSpace":""}' if operations else '{"operations":"","personalSpace":""}'
    account = call.world.account_id(row)
    return f'{base}{shown},"_expandable":{rest},"_links":{{"self":"{call.base}/rest/api/user?accountId={account}"}}}}'


def one_user(call: Call) -> Answer:
    """GET /user."""
    account_id = call.query.first("accountId")
    if not account_id:
        return v1_error(400, "accountId is required.", kind="BadRequestException")
    row = call.world.user_row(account_id)
    if row is None:
        return v1_error(404, "No user with this account id.", kind="NotFoundException")
    return Answer(200, encoded(user_json(call, row, call.query.all("expand"))), points=3)


def current_user(call: Call) -> Answer:
    """GET /user/current."""
    return Answer(200, encoded(user_json(call, call.account_row, call.query.all("expand"))), points=3)


def bulk_users(call: Call) -> Answer:
    """GET /user/bulk: at most 100; further and unknown ids are left out in silence."""
    wanted = call.query.all("accountId")[:100]
    if not wanted:
        return v1_error(400, "accountId is required.", kind="BadRequestException")
    rows = [row for row in map(call.world.user_row, dict.fromkeys(wanted)) if row is not None]
    texts = [user_json(call, row, call.query.all("expand")) for row in rows]
    links = json.dumps({"base": call.base, "context": "/wiki", "self": f"{call.base}/rest/api/user/bulk"})
    return v1_page(texts, 0, 200, links, None, 1 + 2 * len(texts))


def member_of(call: Call) -> Answer:
    """GET /user/memberof: the groups that a person is in."""
    account_id = call.query.first("accountId")
    if not account_id:
        return v1_error(400, "accountId is required.", kind="BadRequestException")
    row = call.world.user_row(account_id)
    if row is None and call.switches.memberof_unknown_status != 200:
        return v1_error(
            call.switches.memberof_unknown_status, "No user with this account id.", kind="NotFoundException"
        )
    rows = call.world.groups_of(row) if row is not None else []
    return _group_page(call, "/rest/api/user/memberof", rows, False, accountId=account_id)
