"""REST v2 of the practice site: people in bulk, spaces, permissions, roles and pages."""

from __future__ import annotations

import datetime as dt
from typing import Any

from spokekit.practice.api.contents import Page, pages_of, remembered, visible_spaces
from spokekit.practice.api.paging import Call, v2_page
from spokekit.practice.exchange import Answer, json_answer, v2_error
from spokekit.practice.world.seed_spaces import SPACE_ROLES
from spokekit.practice.world.seeds import Space, SpaceGrant

_BAD = "INVALID_REQUEST_PARAMETER"
_SPACE_TYPES = ("global", "collaboration", "knowledge_base", "personal", "system", "onboarding", "xflow_sample_space")
_PRINCIPALS = {"user": "USER", "group": "GROUP", "access-class": "ACCESS_CLASS"}


def not_found() -> Answer:
    """Answer as v2 does for everything that is not there or not to be seen."""
    return v2_error(404, "NOT_FOUND", "Not Found")


def users_bulk(call: Call) -> Answer:
    """POST /users-bulk: up to 250 people; unknown ids are left out in silence."""
    ids = call.json_body().get("accountIds")
    if not isinstance(ids, list) or not 1 <= len(ids) <= 250 or not all(isinstance(i, str) for i in ids):
        return v2_error(400, _BAD, "accountIds has to hold 1 to 250 account ids.")
    rows = [row for row in map(call.world.user_row, dict.fromkeys(ids)) if row is not None]
    points = 1 + 2 * len(rows) if call.switches.users_bulk_is_read else 1
    results = [_user(call, row) for row in rows]
    return json_answer(200, {"results": results, "_links": {"base": call.base}}, points=points)


def _user(call: Call, row: int) -> dict[str, Any]:
    person = call.world.person(row)
    return {
        "displayName": person.display_name,
        "timeZone": person.time_zone,
        "personalSpaceId": call.world.personal_space(row),
        "isExternalCollaborator": person.is_guest,
        "accountStatus": person.account_status,
        "accountId": person.account_id,
        "email": person.email,
        "accountType": person.account_type,
        "publicName": person.public_name,
        "profilePicture": {"path": f"/wiki/aa-avatar/{person.account_id}", "isDefault": person.account_type == "app"},
    }


# -- spaces -------------------------------------------------------------------------------------------------


def _space(call: Call, space: Space) -> dict[str, Any]:
    return {
        "id": space.space_id,
        "key": space.key,
        "name": space.name,
        "type": space.type,
        "status": space.status,
        "authorId": call.world.account_id(space.owner),
        "spaceOwnerId": call.world.account_id(space.owner),
        "createdAt": _moment(int(space.space_id)),
        "homepageId": str(int(space.space_id) + 1),
        "currentActiveAlias": space.key,
        "_links": {"webui": f"/spaces/{space.key}"},
    }


def _moment(number: int) -> str:
    """Return a moment of the past that follows from a number, so that it is the same each time."""
    start = dt.datetime(2021, 3, 1, 8, tzinfo=dt.UTC)
    return (start + dt.timedelta(minutes=number % 1_500_000)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def list_spaces(call: Call) -> Answer:
    """GET /spaces: by id unless sorted otherwise."""
    query = call.query
    kind, status, sort = query.first("type"), query.first("status"), query.first("sort", "id")
    ids, keys = set(query.all("ids")), set(query.all("keys"))
    if (
        (kind and kind not in _SPACE_TYPES)
        or (status and status not in ("current", "archived"))
        or sort.removeprefix("-") not in ("id", "key", "name")
        or max(len(ids), len(keys)) > 250
        or not all(i.isdigit() for i in ids)
    ):
        return v2_error(400, _BAD, "One of ids, keys, type, status and sort is not valid.")
    spaces = [
        space
        for space in visible_spaces(call)
        if (not kind or space.type == kind)
        and (not status or space.status == status)
        and (not ids or space.space_id in ids)
        and (not keys or space.key in keys)
        # No space of the world has a label, and nobody has marked one.
        and not query.has("labels")
        and not query.has("favorited-by")
    ]
    if sort != "id":
        by = {"id": lambda s: int(s.space_id), "key": lambda s: s.key, "name": lambda s: s.name.casefold()}
        spaces = sorted(spaces, key=by[sort.removeprefix("-")], reverse=sort.startswith("-"))
    return v2_page(call, "/spaces", spaces, lambda space: _space(call, space))


def _seen(call: Call) -> Space | None:
    wanted = call.path["id"]
    return next((space for space in visible_spaces(call) if space.space_id == wanted), None)


def one_space(call: Call) -> Answer:
    """GET /spaces/{id}."""
    space = _seen(call)
    if space is None:
        return not_found()
    return json_answer(
        200, {**_space(call, space), "_links": {"webui": f"/spaces/{space.key}", "base": call.base}}, points=2
    )


def space_permissions(call: Call) -> Answer:
    """GET /spaces/{id}/permissions: the classic permissions, one principal and one operation a row."""
    space = _seen(call)
    if space is None:
        return not_found()
    mode = call.switches.space_role_mode
    listed = mode != "ROLES" or call.switches.permissions_in_roles_mode == "listed"
    grants = list(enumerate(call.world.space_grants(space))) if listed else []

    def show(numbered: tuple[int, SpaceGrant]) -> dict[str, Any]:
        number, grant = numbered
        return {
            "id": str(int(space.space_id) * 100 + number),
            "principal": {"type": grant.principal_type, "id": grant.principal_id},
            "operation": {"key": grant.operation, "targetType": grant.target},
        }

    return v2_page(call, f"/spaces/{space.space_id}/permissions", grants, show, each=2)


# -- roles --------------------------------------------------------------------------------------------------


def role_mode(call: Call) -> Answer:
    """GET /space-role-mode: which permission model the site has."""
    return json_answer(200, {"mode": call.switches.space_role_mode})


def _role(name: str) -> dict[str, Any]:
    role_id, operations = SPACE_ROLES[name]
    words = [f"{operation}/{target}" for operation, target in operations]
    return {
        "id": role_id,
        "type": "SYSTEM",
        "name": name,
        "description": f"{name} of a space",
        "spacePermissions": words,
    }


def list_roles(call: Call) -> Answer:
    """GET /space-roles; 404 on a site without roles."""
    if call.switches.space_role_mode == "PRE_ROLES":
        return not_found()
    names = [name for name in SPACE_ROLES if call.query.first("role-type", "SYSTEM") == "SYSTEM"]
    return v2_page(call, "/space-roles", names, _role)


def one_role(call: Call) -> Answer:
    """GET /space-roles/{id}; ids are UUIDs, though the document says integer (measured)."""
    found = next((name for name, (role_id, _) in SPACE_ROLES.items() if role_id == call.path["id"]), None)
    if call.switches.space_role_mode == "PRE_ROLES" or found is None:
        return not_found()
    return json_answer(200, {**_role(found), "_links": {"base": call.base}}, points=2)


def role_assignments(call: Call) -> Answer:
    """GET /spaces/{id}/role-assignments; 404 on a site without roles."""
    space = _seen(call)
    if space is None or call.switches.space_role_mode == "PRE_ROLES":
        return not_found()
    kind, role_id, principal = map(call.query.first, ("principal-type", "role-id", "principal-id"))
    if (kind and kind not in _PRINCIPALS.values()) or bool(kind) != bool(principal):
        return v2_error(400, _BAD, "principal-type and principal-id have to be valid and belong together.")
    grants = [
        grant
        for grant in call.world.space_roles_given(space)
        if call.query.first("role-type", "SYSTEM") == "SYSTEM"
        and (not role_id or SPACE_ROLES[grant.role][0] == role_id)
        and (not kind or _PRINCIPALS[grant.principal_type] == kind)
        and (not principal or grant.principal_id == principal)
    ]

    def show(grant: SpaceGrant) -> dict[str, Any]:
        who = {"principalType": _PRINCIPALS[grant.principal_type], "principalId": grant.principal_id}
        return {"principal": who, "roleId": SPACE_ROLES[grant.role][0]}

    return v2_page(call, f"/spaces/{space.space_id}/role-assignments", grants, show, each=2)


# -- pages --------------------------------------------------------------------------------------------------


def _page(call: Call, page: Page, *, body: bool) -> dict[str, Any]:
    made = _moment(page.page_id)
    author = call.world.account_id(page.space.owner)
    shown: dict[str, Any] = {
        "id": str(page.page_id),
        "status": page.status,
        "title": page.title,
        "spaceId": page.space.space_id,
        "position": page.number,
        "authorId": author,
        "ownerId": author,
        "lastOwnerId": None,
        "createdAt": made,
        "version": {"createdAt": made, "message": "", "number": 1, "minorEdit": False, "authorId": author},
        "body": {"storage": {"representation": "storage", "value": f"<p>{page.text}</p>"}} if body else {},
        "_links": {
            "webui": f"/spaces/{page.space.key}/pages/{page.page_id}",
            "editui": f"/pages/resumedraft.action?draftId={page.page_id}",
            "tinyui": f"/x/{page.page_id:x}",
        },
    }
    if page.parent_id:
        shown |= {"parentId": str(page.parent_id), "parentType": "page"}
    return shown


def list_pages(call: Call) -> Answer:
    """GET /pages and GET /spaces/{id}/pages: by id unless sorted otherwise."""
    query, spaces, path = call.query, visible_spaces(call), "/pages"
    if "id" in call.path:
        space = _seen(call)
        if space is None:
            return not_found()
        spaces, path = [space], f"/spaces/{space.space_id}/pages"
    ids, space_ids = set(query.all("id")), set(query.all("space-id"))
    status, title, sort = set(query.all("status")), query.first("title"), query.first("sort", "id")
    status = status or {"current", "archived"}
    if (
        not all(i.isdigit() for i in ids | space_ids)
        or max(len(ids), len(space_ids)) > 250
        or not status <= {"current", "archived", "deleted", "trashed"}
        or sort.removeprefix("-") not in ("id", "created-date", "modified-date", "title")
        or query.first("body-format", "storage") not in ("storage", "atlas_doc_format")
        or query.first("subtype", "page") not in ("page", "live")
        or query.first("depth", "all") not in ("all", "root")
    ):
        return v2_error(400, _BAD, "One of id, space-id, status, sort, subtype, depth and body-format is not valid.")

    def matching() -> list[Page]:
        found = [
            page
            for space in spaces
            if not space_ids or space.space_id in space_ids
            for page in pages_of(space)
            if page.status in status and (not ids or str(page.page_id) in ids) and (not title or page.title == title)
        ]
        if query.first("subtype") == "live":
            found = []
        if query.first("depth") == "root":
            found = [page for page in found if not page.parent_id]
        if sort != "id":
            by_title = sort.endswith("title")
            found.sort(key=lambda p: p.title if by_title else f"{p.page_id:020d}", reverse=sort.startswith("-"))
        return found

    found = remembered(call, matching)
    body = query.first("body-format") == "storage"
    return v2_page(call, path, found, lambda page: _page(call, page, body=body))


def one_page(call: Call) -> Answer:
    """GET /pages/{id}."""
    number = call.path["id"]
    for space in visible_spaces(call) if number.isdigit() else ():
        for page in pages_of(space):
            if str(page.page_id) == number:
                shown = _page(call, page, body=call.query.first("body-format") == "storage")
                shown["_links"]["base"] = call.base
                return json_answer(200, shown, points=2)
    return not_found()
