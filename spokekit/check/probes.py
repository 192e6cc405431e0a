"""One harmless call for each scope: what the check of a connection sends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spokekit.errors import GuardRefused

NO_GROUP = "00000000-0000-4000-8000-000000000000"
NO_ACCOUNT = "000000:00000000-0000-4000-8000-000000000000"
V1, V2 = "/wiki/rest/api", "/wiki/api/v2"


@dataclass(frozen=True)
class Probe:
    """One harmless call, and the scopes each of which is enough for it (from Atlassian's OpenAPI documents)."""

    scopes: tuple[str, ...]
    path: str
    query: tuple[tuple[str, str | int], ...] = ()
    body: Any = None
    write: bool = False

    @property
    def name(self) -> str:
        method = "DELETE" if self.write else "GET" if self.body is None else "POST"
        return f"{method} {self.path}"


def _c(*names: str) -> tuple[str, ...]:
    """Write short what ends in ``:confluence`` for granular scopes; classic ones are given in full."""
    return tuple(name if "confluence" in name else f"{name}:confluence" for name in names)


PROBES: tuple[Probe, ...] = (
    Probe(_c("read:confluence-groups", "read:group"), f"{V1}/group/by-id", (("id", NO_GROUP),)),
    Probe(_c("write:confluence-groups", "write:group"), f"{V1}/group/userByGroupId", write=True),
    Probe(_c("read:user"), f"{V2}/users-bulk", body={"accountIds": [NO_ACCOUNT]}),
    Probe(_c("read:content-details"), f"{V1}/search/user"),
    Probe(_c("read:confluence-user", "read:content-details"), f"{V1}/user", (("accountId", NO_ACCOUNT),)),
    Probe(_c("search:confluence", "read:content-details"), f"{V1}/search"),
    Probe(_c("read:space"), f"{V2}/spaces/0"),
    Probe(_c("read:space.permission"), f"{V2}/spaces/0/role-assignments"),
    Probe(_c("read:page"), f"{V2}/pages/0"),
    Probe(_c("read:configuration"), f"{V2}/space-role-mode"),
    Probe(_c("manage:confluence-configuration", "read:configuration"), f"{V1}/settings/systemInfo"),
    Probe(_c("read:audit-log"), f"{V1}/audit/retention"),
    Probe(_c("read:content.metadata"), f"{V2}/folders/0/ancestors"),
    Probe(_c("read:hierarchical-content"), f"{V2}/folders/0/direct-children"),
    Probe(_c("read:confluence-content.all", "read:content-details"), f"{V1}/content/0/restriction"),
    Probe(
        _c("read:confluence-content.all", "read:content.restriction"),
        f"{V1}/content/0/restriction/byOperation/read/user",
        (("accountId", NO_ACCOUNT),),
    ),
    Probe(_c("read:confluence-content.summary", "read:content-details"), f"{V1}/content/0/descendant"),
    Probe(_c("read:confluence-content.summary", "read:analytics.content"), f"{V1}/analytics/content/0/views"),
    Probe(_c("read:confluence-content.summary", "read:watcher"), f"{V1}/user/watch/content/0"),
    Probe(_c("read:confluence-space.summary", "read:space.setting"), f"{V1}/space/~spokekit-check/settings"),
    Probe(_c("read:user.property"), f"{V1}/user/{NO_ACCOUNT}/property"),
    Probe(_c("read:email-address"), f"{V1}/user/email", (("accountId", NO_ACCOUNT),)),
)


class NoRealGroup:
    """The guard of this gateway: the one id that belongs to no group, and nothing else."""

    def check(self, group_id: str) -> None:
        if group_id != NO_GROUP:
            raise GuardRefused("A check of the connection never changes a group.")
