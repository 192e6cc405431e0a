"""Many reads at a time, which stop gently: what was paid for is kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

import anyio

from spokekit.confluence.operation import Operation
from spokekit.confluence.report import Cancel
from spokekit.errors import Cancelled

T = TypeVar("T")

_GRACE = 5.0


def stopped() -> Cancelled:
    """Return the error of a walk that was cancelled."""
    return Cancelled("The walk was stopped.", hint="What it has read is kept; walk again to continue.")


async def in_flight(
    one: Callable[[T], Awaitable[None]], things: Iterable[T], operation: Operation, *, most: int, cancel: Cancel | None
) -> None:
    """Run ``one(thing)`` for all things, at most `most` at a time; stop at the first error, and gently when cancelled.

    Raises the first error, or Cancelled.
    """
    left: Iterator[T] = iter(things)
    errors: list[BaseException] = []
    stopping = anyio.Event()

    async def worker() -> None:
        for thing in left:
            try:
                await one(thing)
            except Exception as error:  # noqa: BLE001 - carried out of the task group, which would wrap it
                errors.append(error)
            if errors or stopping.is_set():
                return

    async def watch(scope: anyio.CancelScope) -> None:
        # The person's Cancel is a threading.Event, which an event loop can only look at.
        while cancel is not None and not cancel.is_set():  # noqa: ASYNC110
            await anyio.sleep(0.1)
        if cancel is None:
            return
        stopping.set()
        # Requests under way are paid for already: what they bring is kept, unless they only wait for a new hour.
        with anyio.move_on_after(_GRACE):
            while operation.state().paused_until is None:  # noqa: ASYNC110
                await anyio.sleep(0.05)
        scope.cancel()

    async with anyio.create_task_group() as outer:
        outer.start_soon(watch, outer.cancel_scope)
        async with anyio.create_task_group() as workers:
            for _ in range(most):
                workers.start_soon(worker)
        outer.cancel_scope.cancel()
    for error in errors:
        raise error
    if stopping.is_set() or (cancel is not None and cancel.is_set()):
        raise stopped()
