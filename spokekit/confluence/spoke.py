"""The spoke: Confluence Cloud's actions by the names that ServiceNow's spoke gave them.

`Spoke` is for notebooks, scripts and the command line: plain calls that return frames. `AsyncSpoke` has the same names
as coroutines, for code that already runs in an event loop; it holds no thread and no state but its gateway.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial as bind
from typing import TYPE_CHECKING, Any

from spokekit import _portal
from spokekit.confluence import groups
from spokekit.confluence.gateway import Gateway
from spokekit.confluence.groups import Access
from spokekit.confluence.models import Cancel, ChangeOutcome, ProgressCallback
from spokekit.confluence.operation import Operation
from spokekit.confluence.walk import Partial
from spokekit.errors import InputError

if TYPE_CHECKING:
    from types import TracebackType

    import pandas as pd

    from spokekit.connections.connection import Connection
    from spokekit.oauth.tokens import TokenSource

SHORT = 180.0


class AsyncSpoke:
    """The actions as coroutines; see `Spoke` for what each returns and raises."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    @property
    def connection(self) -> Connection:
        """The connection that this spoke works on."""
        return self.gateway.connection

    async def aclose(self) -> None:
        """Give unspent points back and close the connections."""
        await self.gateway.aclose()

    def _operation(self, action: str, **options: Any) -> Operation:
        operation = Operation(action, **options)
        if self.gateway.ledger is not None:
            operation.points_left = self.gateway.ledger.left_now
        return operation

    async def look_up_groups(
        self,
        access: Access | None = None,
        *,
        with_access: bool = True,
        partial: Partial = "raise",
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """See `Spoke.look_up_groups`."""
        operation = self._operation(
            "look_up_groups", unit="groups", progress=progress, cancel=cancel, deadline=deadline
        )
        return await operation.run(bind(groups.list_groups, self.gateway, operation, access, with_access, partial))

    async def look_up_members_by_group_id(
        self,
        group_id: str | Iterable[str],
        *,
        partial: Partial = "raise",
        confirm_empty: bool = True,
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """See `Spoke.look_up_members_by_group_id`."""
        one = isinstance(group_id, str)
        ids = [_an_id(group_id, "group_id")] if isinstance(group_id, str) else [_an_id(i, "group_id") for i in group_id]
        operation = self._operation(
            "look_up_members_by_group_id", unit="groups", progress=progress, cancel=cancel, deadline=deadline
        )
        return await operation.run(
            bind(
                groups.read_members,
                self.gateway,
                operation,
                ids,
                one=one,
                partial=partial,
                confirm_empty=confirm_empty,
            )
        )

    async def add_member_to_group_by_group_id(self, group_id: str, account_id: str) -> ChangeOutcome:
        """See `Spoke.add_member_to_group_by_group_id`."""
        return await self._change("POST", "add_member_to_group_by_group_id", group_id, account_id)

    async def remove_member_from_group_by_group_id(self, group_id: str, account_id: str) -> ChangeOutcome:
        """See `Spoke.remove_member_from_group_by_group_id`."""
        return await self._change("DELETE", "remove_member_from_group_by_group_id", group_id, account_id)

    async def _change(self, method: str, action: str, group_id: str, account_id: str) -> ChangeOutcome:
        group_id, account_id = _an_id(group_id, "group_id"), _an_id(account_id, "account_id")
        operation = self._operation(action)
        answer = await self.gateway.change_membership(method, group_id, account_id, operation=operation)
        done = "was added to" if method == "POST" else "is not in"
        return {
            "group_id": group_id,
            "account_id": account_id,
            "action": "add" if method == "POST" else "remove",
            "status": answer.status,
            "message": f"{account_id} {done} the group.",
        }


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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def connection(self) -> Connection:
        """The connection that this spoke works on."""
        return self.aio.connection

    def close(self) -> None:
        """Give unspent points back and close the connections; calling it again does nothing."""
        _portal.call(self.aio.aclose)

    def look_up_groups(
        self,
        access: Access | None = None,
        *,
        with_access: bool = True,
        partial: Partial = "raise",
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """Return the groups of the site.

        Parameters
        ----------
        access:
            Only groups that give this access to Confluence: ``"user"``, ``"admin"`` or ``"site-admin"``. None: all
            groups of the directory, teams and groups for other products too.
        with_access:
            Ask for the three kinds of access as well and say in ``access`` which a group gives. Without it the column
            holds the access asked for, or nothing.
        partial:
            ``"raise"``: an incomplete list is an `IncompleteResult`, which carries frame and report. ``"keep"``:
            return it, marked incomplete in ``attrs["completeness"]``.
        progress, cancel, deadline:
            See `Operation`.

        Returns
        -------
        pandas.DataFrame
            ``group_id`` (str), ``name`` (str), ``access`` (str: kinds joined by ", ", "" for none), ``managed_by``
            (category: ADMINS, EXTERNAL, TEAM_MEMBERS, OPEN or ""), ``usage_type`` (category: USERBASE_GROUP,
            TEAM_COLLABORATION or ""), ordered by name as Confluence orders them. ``attrs`` holds ``completeness``,
            ``site`` and ``pulled_at``. Costs 1 point a page and 2 a group.

        Raises
        ------
        ScopeMissing, TokenRejected, NotPermitted, RateLimited, TransportError, UnexpectedAnswer, IncompleteResult,
        Cancelled
        """
        return _portal.call(
            bind(
                self.aio.look_up_groups,
                access,
                with_access=with_access,
                partial=partial,
                progress=progress,
                cancel=cancel,
                deadline=deadline,
            )
        )

    def look_up_members_by_group_id(
        self,
        group_id: str | Iterable[str],
        *,
        partial: Partial = "raise",
        confirm_empty: bool = True,
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """Return the members of one group or of many; many are read in flight together.

        Parameters
        ----------
        group_id:
            One id, or several (a list, a column of a frame). An id given twice is read once.
        confirm_empty:
            Confluence answers an unknown id with an empty page. Ask whether the group exists when it looks empty
            (3 points), so that "nobody" and "no such group" differ.
        partial, progress, cancel, deadline:
            As in `look_up_groups`.

        Returns
        -------
        pandas.DataFrame
            ``group_id``, ``account_id``, ``display_name``, ``public_name``, ``email``, ``account_type`` (categories;
            "" where Confluence shows nothing), ``is_guest`` (bool), ``licensed`` (bool: may do anything at all in
            Confluence). One row a membership, groups one after another. The categories of ``group_id`` are all groups
            that were read, empty ones too. Costs 1 point a page and 2 a member.

        Raises
        ------
        NotThere when the one group asked for does not exist; else as `look_up_groups`.
        """
        return _portal.call(
            bind(
                self.aio.look_up_members_by_group_id,
                group_id,
                partial=partial,
                confirm_empty=confirm_empty,
                progress=progress,
                cancel=cancel,
                deadline=deadline,
            )
        )

    def add_member_to_group_by_group_id(self, group_id: str, account_id: str) -> ChangeOutcome:
        """Add one user to one registered group, and return what came of it. Costs 1 point.

        Never repeated after an error that leaves open whether it was done.

        Raises
        ------
        GuardRefused when the group is not registered, LicenceFull when no seat is left, NotPermitted when the
        signed-in person is no site administrator, NotThere when group or user are unknown.
        """
        return _portal.call(self.aio.add_member_to_group_by_group_id, group_id, account_id)

    def remove_member_from_group_by_group_id(self, group_id: str, account_id: str) -> ChangeOutcome:
        """Remove one user from one registered group, and return what came of it. Costs 1 point.

        Confluence answers the same when the user was not in the group.

        Raises
        ------
        As `add_member_to_group_by_group_id`, but for LicenceFull.
        """
        return _portal.call(self.aio.remove_member_from_group_by_group_id, group_id, account_id)


def _an_id(value: object, field: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{value!r} is not an id.", field=field, hint="Give the id as text.")
    return value.strip()
