"""A registry with groups of the class world, and memberships opened on it at full speed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import pandas as pd

    from spokekit._workspace import Workspace
    from spokekit.groups.membership import Membership
    from spokekit.practice import PracticeSite

REGISTERED = (
    "confluence-users",
    "site-admins",
    "administrators",
    "okta-engineering",
    "marketing",
    "support-tier-1",
    "support-tier-2",
    "legal-counsel",
    "project-phoenix",
    "procurement",
    "=Sales(Berlin)",
    "<b>Research & Development</b>",
)


@pytest.fixture
def registered(connected: Workspace, site: PracticeSite) -> Workspace:
    """Register the groups named above and say who is signed in."""
    connection = connected.connection()
    connected.connections.set_account(connection.connection_id, site.account_id, "The administrator")
    groups = site.world.frames(tables=["groups"])["groups"]
    wanted = groups[groups["name"].isin(REGISTERED)]["group_id"]
    assert len(wanted) == len(REGISTERED)
    connected.registry().add(list(wanted), groups=groups)
    return connected


@pytest.fixture
def open_members(registered: Workspace) -> Iterator[Callable[..., Membership]]:
    """Return a function that opens memberships anew, as another kernel would; no waiting between repetitions."""
    from spokekit.confluence.gateway import RetryPolicy
    from spokekit.confluence.spoke import Spoke
    from spokekit.groups.membership import Membership

    opened: list[Membership] = []

    def open_one(**options: Any) -> Membership:
        connection = registered.connection()
        spoke = Spoke(
            connection,
            registered.tokens.source(connection),
            guard=registered.registry(),
            retry=RetryPolicy(retries=1, first=0.001, longest=0.001),
        )
        members = Membership(spoke, registered.registry(), registered.store, **{"pace": 1000, **options})
        opened.append(members)
        return members

    yield open_one
    for members in opened:
        members.close()


@pytest.fixture
def members(open_members: Callable[..., Membership]) -> Membership:
    """Open memberships."""
    return open_members()


@pytest.fixture
def three_groups(connected: Workspace) -> Iterator[Membership]:
    """Membership with three registered groups; nobody is changed."""
    with connected.spoke() as spoke:
        groups = spoke.look_up_groups()
    wanted = groups[groups["name"].isin(["confluence-users", "marketing", "<b>Research & Development</b>"])]
    connected.registry().add(list(wanted["group_id"]), groups=groups)
    from spokekit.groups.membership import Membership

    opened = Membership.of(connected)
    yield opened
    opened.close()


@pytest.fixture
def people(site: PracticeSite) -> pd.DataFrame:
    """Active people of the site who show their address, and are not in marketing."""
    frame = site.world.frames()["users"]
    inside = site.world.member_ids("marketing")
    keep = (frame["account_type"] == "atlassian") & (frame["account_status"] == "active") & (frame["email"] != "")
    return frame[keep & ~frame["account_id"].astype(str).isin(inside)].reset_index(drop=True).astype(str)
