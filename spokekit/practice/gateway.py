"""The gateway in front of Confluence: token, site and scope are checked before anything is looked up."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from spokekit.practice import confluence_v1 as v1
from spokekit.practice import confluence_v2 as v2
from spokekit.practice._wire import Answer, Query, gateway_error, v1_error, v2_error
from spokekit.practice.confluence_v1 import Call, Handler
from spokekit.practice.oauth import Access, AuthServer
from spokekit.practice.switches import Switches
from spokekit.practice.world import World

_V1 = "/wiki/rest/api"
_V2 = "/wiki/api/v2"


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of Confluence: its scopes are one classic scope, or all of the granular ones."""

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


_GROUPS, _WRITE, _USER = "read:confluence-groups", "write:confluence-groups", "read:confluence-user"
_PAGING = ("start", "limit", "next")

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
    Route("user", "GET", f"{_V1}/user", v1.one_user, _USER, _granular("read:content-details"), ("accountId", "expand")),
    Route("current", "GET", f"{_V1}/user/current", v1.current_user, _USER, _granular("read:content-details"), ("expand",)),
    Route(
        "bulk", "GET", f"{_V1}/user/bulk", v1.bulk_users, _USER, _granular("read:content-details"), ("accountId", "expand")
    ),
    Route(
        "memberof", "GET", f"{_V1}/user/memberof", v1.member_of, _USER, _granular("read:user", "read:group"),
        (*_PAGING, "accountId"),
    ),
    Route("users-bulk", "POST", f"{_V2}/users-bulk", v2.users_bulk, "", _granular("read:user")),
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
        licence_full: Callable[[], bool],
    ) -> None:
        self.worlds = worlds
        self.auth = auth
        self.switches = switches
        self.strict = strict
        self.licence_full = licence_full
        self.writes: dict[str, int] = defaultdict(int)
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
                return candidate, {key: unquote(value) for key, value in found.groupdict().items()}
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
            if route.allowed(frozenset(access.scopes)):
                return gateway_error(403, "The app is not installed on this instance")
            return gateway_error(401, "Unauthorized; scope does not match")
        return None

    def answer(self, access: Access, cloud_id: str, method: str, path: str, query: str, body: bytes) -> Answer:
        """Answer a call that `refuse` let pass."""
        route, parts = self.find(method, path)
        second = path.startswith(_V2)
        if route is None:
            if _BY_NAME.match(path):
                return v1_error(self.switches.by_name_status, "This endpoint was removed.", kind="GoneException")
            return (
                v2_error(404, *v2.NOT_FOUND) if second else v1_error(404, "No such endpoint.", kind="NotFoundException")
            )
        world = self.worlds[cloud_id]
        row = world.user_row(access.grant.account_id)
        if row is None or not world.licensed[row]:
            words = "Current user not permitted to use Confluence"
            return v2_error(404, *v2.NOT_FOUND) if second else v1_error(403, words, kind="PermissionException")
        asked = Query(parse_qsl(query, keep_blank_values=True))
        unknown = sorted({key for key, _ in asked.pairs} - set(route.query))
        if unknown and self.strict:
            words = f"The practice site is strict: unknown query parameter {', '.join(unknown)}"
            return v2_error(400, "INVALID_REQUEST_PARAMETER", words) if second else v1_error(400, words)
        return route.handler(
            Call(world, self.switches, row, asked, parts, body, self.writes, licence_full=self.licence_full())
        )
