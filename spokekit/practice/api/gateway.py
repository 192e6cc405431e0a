"""The gateway in front of Confluence: token, site and scope are checked before anything is looked up."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from spokekit.practice.api import search
from spokekit.practice.api import v1 as v1
from spokekit.practice.api import v2 as v2
from spokekit.practice.api.paging import Call
from spokekit.practice.api.v1 import Handler
from spokekit.practice.exchange import Answer, Query, gateway_error, v1_error, v2_error
from spokekit.practice.faults import Faults
from spokekit.practice.issued import Access
from spokekit.practice.oauth import AuthServer
from spokekit.practice.switches import Switches
from spokekit.practice.world import World

_V1 = "/wiki/rest/api"
_V2 = "/wiki/api/v2"


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of Confluence: its scopes are one classic scope, or all of the granular ones.

    ``query`` holds the parameters that the practice site can take. A documented filter that it has not got is missing
    there: strict mode refuses it, where rows that it should have kept out would be taken for the answer.
    """

    name: str
    method: str
    path: str
    handler: Handler
    classic: str = ""
    granular: tuple[str, ...] = ()
    query: tuple[str, ...] = ()

    def allowed(self, scopes: frozenset[str]) -> bool:
        """Whether a token with these scopes may call the operation."""
        return (self.classic in scopes) or (bool(self.granular) and scopes.issuperset(self.granular))


def _granular(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}:confluence" for name in names)


_DETAILS = ("read:content-details:confluence",)
_GROUPS, _WRITE, _USER = "read:confluence-groups", "write:confluence-groups", "read:confluence-user"
_PAGING = ("start", "limit", "next")
_CURSOR = ("cursor", "limit")

ROUTES: tuple[Route, ...] = (
    Route("groups", "GET", f"{_V1}/group", v1.list_groups, _GROUPS, _granular("read:group"), (*_PAGING, "accessType")),
    Route("create-group", "POST", f"{_V1}/group", v1.create_group, _WRITE, _granular("read:group", "write:group")),
    Route("group", "GET", f"{_V1}/group/by-id", v1.group_by_id, _GROUPS, _granular("read:group"), ("id",)),
    Route("delete-group", "DELETE", f"{_V1}/group/by-id", v1.delete_group, _WRITE, _granular("write:group"), ("id",)),
    Route(
        "picker", "GET", f"{_V1}/group/picker", v1.pick_groups, _GROUPS, _granular("read:group"),
        (*_PAGING, "query", "shouldReturnTotalSize"),
    ),
    Route(
        "members", "GET", f"{_V1}/group/{{groupId}}/membersByGroupId", v1.group_members, _GROUPS,
        _granular("read:group", "read:user"), (*_PAGING, "shouldReturnTotalSize", "expand"),
    ),
    Route("add", "POST", f"{_V1}/group/userByGroupId", v1.add_member, _WRITE, _granular("write:group"), ("groupId",)),
    Route(
        "remove", "DELETE", f"{_V1}/group/userByGroupId", v1.remove_member, _WRITE, _granular("write:group"),
        ("groupId", "accountId"),
    ),
    Route("user", "GET", f"{_V1}/user", v1.one_user, _USER, _DETAILS, ("accountId", "expand")),
    Route("current", "GET", f"{_V1}/user/current", v1.current_user, _USER, _DETAILS, ("expand",)),
    Route(
        "bulk", "GET", f"{_V1}/user/bulk", v1.bulk_users, _USER, _DETAILS, ("accountId", "expand")
    ),
    Route(
        "memberof", "GET", f"{_V1}/user/memberof", v1.member_of, _USER, _granular("read:user", "read:group"),
        (*_PAGING, "accountId"),
    ),
    Route("users-bulk", "POST", f"{_V2}/users-bulk", v2.users_bulk, "", _granular("read:user")),
    Route(
        "search", "GET", f"{_V1}/search", search.search, "search:confluence", _DETAILS,
        (*_PAGING, "cql", "cursor", "prev", "includeArchivedSpaces", "excludeCurrentSpaces", "excerpt",
         "sitePermissionTypeFilter", "expand"),
    ),
    Route(
        "search-users", "GET", f"{_V1}/search/user", search.search_users, "", _DETAILS,
        (*_PAGING, "cql", "expand", "sitePermissionTypeFilter"),
    ),
    Route(
        "spaces", "GET", f"{_V2}/spaces", v2.list_spaces, "", _granular("read:space"),
        (*_CURSOR, "ids", "keys", "type", "status", "labels", "favorited-by", "not-favorited-by", "sort",
         "description-format", "include-icon"),
    ),
    Route(
        "space", "GET", f"{_V2}/spaces/{{id}}", v2.one_space, "", _granular("read:space"),
        ("description-format", "include-icon", "include-operations", "include-properties", "include-permissions",
         "include-role-assignments", "include-labels"),
    ),
    Route(
        "space-permissions", "GET", f"{_V2}/spaces/{{id}}/permissions", v2.space_permissions, "",
        _granular("read:space"), _CURSOR,
    ),
    Route(
        "role-assignments", "GET", f"{_V2}/spaces/{{id}}/role-assignments", v2.role_assignments, "",
        _granular("read:space.permission"), (*_CURSOR, "role-id", "role-type", "principal-id", "principal-type"),
    ),
    Route(
        "space-roles", "GET", f"{_V2}/space-roles", v2.list_roles, "", _granular("read:space.permission"),
        (*_CURSOR, "role-type"),
    ),
    Route("space-role", "GET", f"{_V2}/space-roles/{{id}}", v2.one_role, "", _granular("read:space.permission")),
    Route("space-role-mode", "GET", f"{_V2}/space-role-mode", v2.role_mode, "", _granular("read:configuration")),
    Route(
        "pages", "GET", f"{_V2}/pages", v2.list_pages, "", _granular("read:page"),
        (*_CURSOR, "id", "space-id", "sort", "status", "title", "body-format", "subtype"),
    ),
    Route(
        "space-pages", "GET", f"{_V2}/spaces/{{id}}/pages", v2.list_pages, "", _granular("read:page"),
        (*_CURSOR, "depth", "sort", "status", "title", "body-format"),
    ),
    Route(
        "page", "GET", f"{_V2}/pages/{{id}}", v2.one_page, "", _granular("read:page"),
        ("body-format", "get-draft", "status", "version", "include-labels", "include-properties", "include-operations",
         "include-likes", "include-versions", "include-version", "include-favorited-by-current-user-status",
         "include-webresources", "include-collaborators", "include-direct-children"),
    ),
)  # fmt: skip

_BY_NAME = re.compile(rf"{_V1}/(group/(by-name|member|user|[^/]+/member|[^/]+)|space)$")


class Gateway:
    """Everything under ``/ex/confluence/{cloudid}``, without the limits and faults that the server puts around it."""

    def __init__(
        self,
        worlds: dict[str, World],
        auth: AuthServer,
        switches: Switches,
        *,
        strict: bool,
        faults: Faults,
    ) -> None:
        self.worlds = worlds
        self.auth = auth
        self.switches = switches
        self.strict = strict
        self.faults = faults
        self._exact = {(route.method, route.path): route for route in ROUTES if "{" not in route.path}
        self._patterns = [
            (route.method, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path) + "$"), route)
            for route in ROUTES
            if "{" in route.path
        ]

    def find(self, method: str, path: str) -> tuple[Route | None, dict[str, str]]:
        """Return the operation that a method and a path (after the cloud id) name, with the parts of the path."""
        route = self._exact.get((method, path))
        if route is not None:
            return route, {}
        for verb, pattern, candidate in self._patterns:
            found = pattern.match(path) if verb == method else None
            if found:
                return candidate, found.groupdict()
        return None, {}

    def refuse(self, access: Access | None, cloud_id: str, route: Route | None) -> Answer | None:
        """Return the gateway's own error for a call, or None when it may go on."""
        if access is None:
            return gateway_error(401, self.switches.expired_token_message)
        if cloud_id not in self.worlds:
            return gateway_error(self.switches.wrong_cloud_id_status, "No site has this cloud id.")
        if cloud_id not in access.grant.sites:
            return gateway_error(403, "The app is not installed on this instance")
        if route is not None and not route.allowed(self.auth.scopes_on(access, cloud_id)):
            # A scope that the consent gave and the site withdrew reads differently from one never given.
            withdrawn = route.allowed(frozenset(access.scopes))
            if withdrawn or (route.classic == _WRITE and self.switches.write_without_scope == "not_installed"):
                return gateway_error(403, "The app is not installed on this instance")
            return gateway_error(401, "Unauthorized; scope does not match")
        return None

    def answer(self, access: Access, cloud_id: str, method: str, path: str, query: str, body: bytes) -> Answer:
        """Answer a call that `refuse` let pass."""
        route, parts = self.find(method, path)
        second = path.startswith(_V2)
        if route is None:
            return self._no_operation(method, path)
        world = self.worlds[cloud_id]
        row = world.user_row(access.grant.account_id)
        if row is None or not world.licensed[row]:
            words = "Current user not permitted to use Confluence"
            return v2.not_found() if second else v1_error(403, words, kind="PermissionException")
        asked = Query(parse_qsl(query, keep_blank_values=True))
        unknown = sorted({key for key, _ in asked.pairs} - set(route.query))
        if unknown and self.strict:
            words = f"The practice site is strict: unknown query parameter {', '.join(unknown)}"
            return v2_error(400, "INVALID_REQUEST_PARAMETER", words) if second else v1_error(400, words)
        return route.handler(Call(world, self.switches, row, asked, parts, body, faults=self.faults, name=route.name))

    def _no_operation(self, method: str, path: str) -> Answer:
        """Answer a call of what is removed, what another method has, or what was never there."""
        if path.startswith(_V2):
            return v2.not_found()
        others = any(self.find(other, path)[0] for other in ("GET", "POST", "DELETE"))
        if (method, path) == ("DELETE", f"{_V1}/group") or (_BY_NAME.match(path) and not others):
            return v1_error(self.switches.by_name_status, "This endpoint was removed.", kind="GoneException")
        if others:
            return v1_error(405, f"There is no {method} here.")
        return v1_error(404, "No such endpoint.", kind="NotFoundException")
