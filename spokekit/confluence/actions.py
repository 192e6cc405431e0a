"""The spoke's actions as coroutines, for code that already runs in an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import date, datetime
from functools import partial as bind
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from spokekit import _portal
from spokekit.confluence import groups, people, search, spaces
from spokekit.confluence.frame_pages import AsyncFrames
from spokekit.confluence.gateway import Gateway
from spokekit.confluence.groups import Access
from spokekit.confluence.operation import Operation
from spokekit.confluence.pull import Partial
from spokekit.confluence.report import Cancel, ChangeOutcome, ProgressCallback
from spokekit.confluence.search import Values
from spokekit.confluence.spaces import Filter
from spokekit.confluence.wire import sendable
from spokekit.errors import Cancelled, InputError

SHORT = 180.0
GRACE = 0.8
"""Seconds that a change under way has left for its answer when it is cancelled."""
T = TypeVar("T")

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.connections.connection import Connection


class AsyncSpoke:
    """The actions as coroutines; see `Spoke` for what each returns and raises.

    They can be awaited in any asyncio event loop, a notebook's for example: the requests run in spokekit's I/O thread
    all the same, to which the connections belong.
    """

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._at_work = 0

    @property
    def connection(self) -> Connection:
        """The connection that this spoke works on."""
        return self.gateway.connection

    async def aclose(self) -> None:
        """Give unspent points back and close the connections."""
        await _over_there(self.gateway.aclose)

    def _operation(self, action: str, **options: Any) -> Operation:
        operation = Operation(action, **options)
        if self.gateway.ledger is not None:
            operation.points_left = self.gateway.ledger.left_now
        return operation

    async def _run(self, operation: Operation, function: Callable[[], Awaitable[T]]) -> T:
        """Run an action, and give back the points that it drew and did not spend when no other action is at work."""
        # Before anything of the gateway is touched: a forked child has copies of the points and locks of its parent.
        self.gateway.wire.check_open()
        return await _over_there(bind(self._run_here, operation, function))

    async def _run_here(self, operation: Operation, function: Callable[[], Awaitable[T]]) -> T:
        self._at_work += 1
        try:
            return await operation.run(function)
        finally:
            self._at_work -= 1
            if not self._at_work:
                with anyio.CancelScope(shield=True):
                    await self.gateway.give_back()

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
        return await self._run(
            operation, bind(groups.list_groups, self.gateway, operation, access, with_access, partial)
        )

    async def look_up_members_by_group_id(
        self,
        group_id: str | Iterable[str],
        *,
        partial: Partial = "raise",
        confirm_empty: bool = True,
        count: bool = False,
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """See `Spoke.look_up_members_by_group_id`."""
        one = isinstance(group_id, str)
        ids = _ids(group_id, "group_id")
        operation = self._operation(
            "look_up_members_by_group_id", unit="groups", progress=progress, cancel=cancel, deadline=deadline
        )
        return await self._run(
            operation,
            bind(
                groups.read_members,
                self.gateway,
                operation,
                ids,
                one=one,
                partial=partial,
                confirm_empty=confirm_empty,
                count=count,
            ),
        )

    async def add_member_to_group_by_group_id(
        self,
        group_id: str,
        account_id: str,
        *,
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> ChangeOutcome:
        """See `Spoke.add_member_to_group_by_group_id`."""
        return await self._change("POST", "add_member_to_group_by_group_id", group_id, account_id, progress, cancel)

    async def remove_member_from_group_by_group_id(
        self,
        group_id: str,
        account_id: str,
        *,
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> ChangeOutcome:
        """See `Spoke.remove_member_from_group_by_group_id`."""
        return await self._change(
            "DELETE", "remove_member_from_group_by_group_id", group_id, account_id, progress, cancel
        )

    async def _change(
        self,
        method: str,
        action: str,
        group_id: str,
        account_id: str,
        progress: ProgressCallback | None,
        cancel: Cancel | None,
    ) -> ChangeOutcome:
        group_id, account_id = _an_id(group_id, "group_id"), _an_id(account_id, "account_id")
        operation = self._operation(action, unit="changes", progress=progress, cancel=cancel, grace=GRACE)
        try:
            answer = await self._run(
                operation, bind(self.gateway.change_membership, method, group_id, account_id, operation=operation)
            )
        except Cancelled:
            if not operation.in_doubt:
                raise Cancelled(f"{action} was cancelled; nothing was changed.", nothing_done=True) from None
            raise Cancelled(
                f"{action} was cancelled before an answer came; it may have been carried out.",
                hint="Look up the members of the group to know.",
            ) from None
        done = "was added to" if method == "POST" else "is not in"
        return {
            "group_id": group_id,
            "account_id": account_id,
            "action": "add" if method == "POST" else "remove",
            "status": answer.status,
            "message": f"{account_id} {done} the group.",
        }

    async def look_up_accessible_resources(self) -> pd.DataFrame:
        """See `Spoke.look_up_accessible_resources`."""
        operation = self._operation("look_up_accessible_resources", unit="sites", deadline=SHORT)
        return await self._run(operation, bind(people.accessible_resources, self.gateway, operation))

    async def look_up_group_memberships_for_user(
        self,
        account_id: str,
        *,
        partial: Partial = "raise",
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """See `Spoke.look_up_group_memberships_for_user`."""
        operation = self._operation(
            "look_up_group_memberships_for_user", unit="groups", progress=progress, cancel=cancel, deadline=deadline
        )
        account_id = _an_id(account_id, "account_id")
        return await self._run(operation, bind(groups.list_groups_of, self.gateway, operation, account_id, partial))

    async def look_up_users(
        self,
        account_ids: str | Iterable[str],
        *,
        partial: Partial = "raise",
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """See `Spoke.look_up_users`."""
        ids = _ids(account_ids, "account_ids")
        operation = self._operation(
            "look_up_users", unit="requests", progress=progress, cancel=cancel, deadline=deadline
        )
        return await self._run(operation, bind(people.users_in_bulk, self.gateway, operation, ids, partial))

    def look_up_spaces(
        self,
        *,
        page_size: int = 250,
        query: Filter = None,
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> AsyncFrames:
        """See `Spoke.look_up_spaces`; an asynchronous iterator."""
        operation = self._operation("look_up_spaces", unit="spaces", progress=progress, cancel=cancel)
        return spaces.stream_spaces(self.gateway, operation, page_size, query).through(self._run)

    def look_up_pages(
        self,
        *,
        page_size: int = 100,
        query: Filter = None,
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> AsyncFrames:
        """See `Spoke.look_up_pages`; an asynchronous iterator."""
        operation = self._operation("look_up_pages", unit="pages", progress=progress, cancel=cancel)
        return spaces.stream_pages(self.gateway, operation, page_size, query).through(self._run)

    async def look_up_space_permissions(
        self,
        space_ids: str | Iterable[str] | None = None,
        *,
        partial: Partial = "raise",
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """See `Spoke.look_up_space_permissions`."""
        ids = None if space_ids is None else _ids(space_ids, "space_ids")
        operation = self._operation(
            "look_up_space_permissions", unit="spaces", progress=progress, cancel=cancel, deadline=deadline
        )
        return await self._run(operation, bind(spaces.read_permissions, self.gateway, operation, ids, partial))

    async def search_content(
        self,
        text: str | None = None,
        *,
        title: str | None = None,
        kind: Values = None,
        space: Values = None,
        label: Values = None,
        creator: Values = None,
        modified_since: date | None = None,
        cql: str | None = None,
        most: int | None = None,
        page_size: int = 50,
        partial: Partial = "raise",
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """See `Spoke.search_content`."""
        made = search.make_cql(
            text=text,
            title=title,
            kind=kind,
            space=space,
            label=label,
            creator=creator,
            modified_since=modified_since,
            cql=cql,
        )
        operation = self._operation(
            "search_content", unit="results", progress=progress, cancel=cancel, deadline=deadline
        )
        return await self._run(
            operation, bind(search.search, self.gateway, operation, made, size=page_size, most=most, partial=partial)
        )

    async def report_personal_data(
        self,
        accounts: Mapping[str, datetime] | pd.DataFrame,
        *,
        partial: Partial = "raise",
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """See `Spoke.report_personal_data`."""
        operation = self._operation(
            "report_personal_data", unit="requests", progress=progress, cancel=cancel, deadline=deadline
        )
        return await self._run(operation, bind(people.personal_data, self.gateway, operation, accounts, partial))


async def _over_there(function: Callable[[], Awaitable[T]]) -> T:
    """Await ``function()`` in the I/O thread, from whatever event loop this is."""
    if _portal.inside():
        return await function()
    return await asyncio.wrap_future(_portal.submit(function))


def _ids(value: str | Iterable[str], field: str) -> list[str]:
    if isinstance(value, str):
        value = [value]
    elif not isinstance(value, Iterable) or hasattr(value, "columns"):
        raise InputError(
            f"{type(value).__name__} is not an id, and no list of ids.", field=field, hint="Give ids, or one column."
        )
    return [_an_id(one, field) for one in value]


def _an_id(value: object, field: str) -> str:
    if not isinstance(value, str) or not value.strip() or not sendable(value):
        raise InputError(f"{value!r} is not an id.", field=field, hint="Give the id as text.")
    return value.strip()
