"""The spoke as plain calls, for notebooks, scripts and the command line.

`Spoke` has the actions of `spokekit.confluence.actions`, where each is described, with the options that the long ones
share; all requests run in spokekit's I/O thread. ``spoke.aio`` has the same names as coroutines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spokekit import _portal
from spokekit._portal import plain
from spokekit.confluence.actions import AsyncSpoke
from spokekit.confluence.frame_pages import plain_pages
from spokekit.confluence.gateway import Gateway

if TYPE_CHECKING:
    from spokekit.connections.connection import Connection
    from spokekit.oauth.tokens import TokenSource

__all__ = ["AsyncSpoke", "Spoke"]


class Spoke:
    """Confluence Cloud through one connection.

    Parameters
    ----------
    connection, tokens:
        Where to, and who gives the access token.
    **gateway:
        What `Gateway` takes: ``ledger``, ``in_flight``, ``guard``, ``transport``, ``retry``, ``timeouts``.

    Example
    -------
    ::

        with spokekit.connect() as spoke:
            groups = spoke.look_up_groups(access="user")
            members = spoke.look_up_members_by_group_id(groups["group_id"])
    """

    def __init__(self, connection: Connection, tokens: TokenSource, **gateway: Any) -> None:
        self.aio = AsyncSpoke(Gateway(connection, tokens, **gateway))

    def __repr__(self) -> str:
        return f"Spoke({self.connection.name!r})"

    def __enter__(self) -> Spoke:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def connection(self) -> Connection:
        """The connection that this spoke works on."""
        return self.aio.connection

    def close(self) -> None:
        """Give unspent points back and close the connections; calling it again does nothing."""
        _portal.call(self.aio.aclose)

    look_up_groups = plain(AsyncSpoke.look_up_groups)
    look_up_members_by_group_id = plain(AsyncSpoke.look_up_members_by_group_id)
    add_member_to_group_by_group_id = plain(AsyncSpoke.add_member_to_group_by_group_id)
    remove_member_from_group_by_group_id = plain(AsyncSpoke.remove_member_from_group_by_group_id)
    look_up_accessible_resources = plain(AsyncSpoke.look_up_accessible_resources)
    look_up_group_memberships_for_user = plain(AsyncSpoke.look_up_group_memberships_for_user)
    look_up_users = plain(AsyncSpoke.look_up_users)
    look_up_spaces = plain_pages(AsyncSpoke.look_up_spaces)
    look_up_pages = plain_pages(AsyncSpoke.look_up_pages)
    look_up_space_permissions = plain(AsyncSpoke.look_up_space_permissions)
    search_content = plain(AsyncSpoke.search_content)
    report_personal_data = plain(AsyncSpoke.report_personal_data)
