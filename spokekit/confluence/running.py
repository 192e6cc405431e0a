"""How the actions of a spoke run: in the I/O thread, as one operation each, over one gateway."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial as bind
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import anyio

from spokekit import _portal
from spokekit.confluence.gateway import Gateway
from spokekit.confluence.operation import Operation
from spokekit.confluence.report import Cancel, ChangeOutcome, ProgressCallback
from spokekit.confluence.wire import sendable
from spokekit.errors import Cancelled, InputError

if TYPE_CHECKING:
    from spokekit.connections.connection import Connection

P = ParamSpec("P")
T = TypeVar("T")

GRACE = 0.8
"""Seconds that a change under way has left for its answer when it is cancelled."""


class Running:
    """A gateway, and the actions that are at work on it."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._at_work = 0

    @property
    def connection(self) -> Connection:
        """The connection that this spoke works on."""
        return self.gateway.connection

    async def aclose(self) -> None:
        """Give unspent points back and close the connections."""
        await _portal.awaited(self.gateway.aclose)

    def _operation(
        self,
        action: str,
        unit: str,
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
        deadline: float | None = None,
        grace: float = 0.0,
    ) -> Operation:
        operation = Operation(action, unit=unit, progress=progress, cancel=cancel, deadline=deadline, grace=grace)
        if self.gateway.ledger is not None:
            operation.points_left = self.gateway.ledger.left_now
        return operation

    async def _act(
        self,
        operation: Operation,
        function: Callable[Concatenate[Gateway, Operation, P], Awaitable[T]],
        /,
        *args: P.args,
        **options: P.kwargs,
    ) -> T:
        return await self._run(operation, bind(function, self.gateway, operation, *args, **options))

    async def _run(self, operation: Operation, function: Callable[[], Awaitable[T]]) -> T:
        """Run an action, and give back the points that it drew and did not spend when no other action is at work."""
        # Before anything of the gateway is touched: a forked child has copies of the points and locks of its parent.
        self.gateway.wire.check_open()
        return await _portal.awaited(bind(self._run_here, operation, function))

    async def _run_here(self, operation: Operation, function: Callable[[], Awaitable[T]]) -> T:
        self._at_work += 1
        try:
            return await operation.run(function)
        finally:
            self._at_work -= 1
            if not self._at_work:
                with anyio.CancelScope(shield=True):
                    await self.gateway.give_back()

    async def _change(
        self,
        method: str,
        action: str,
        group_id: str,
        account_id: str,
        progress: ProgressCallback | None,
        cancel: Cancel | None,
    ) -> ChangeOutcome:
        group_id, account_id = an_id(group_id, "group_id"), an_id(account_id, "account_id")
        operation = self._operation(action, "changes", progress, cancel, grace=GRACE)
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


def ids_of(value: str | Iterable[str], field: str) -> list[str]:
    if isinstance(value, str):
        value = [value]
    elif not isinstance(value, Iterable) or hasattr(value, "columns"):
        raise InputError(
            f"{type(value).__name__} is not an id, and no list of ids.", field=field, hint="Give ids, or one column."
        )
    return [an_id(one, field) for one in value]


def an_id(value: object, field: str) -> str:
    if not isinstance(value, str) or not value.strip() or not sendable(value):
        raise InputError(f"{value!r} is not an id.", field=field, hint="Give the id as text.")
    return value.strip()
