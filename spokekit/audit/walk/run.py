"""One run of a walk: what all of its parts write to, report through and listen to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial as bind
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread

from spokekit.confluence import pull
from spokekit.confluence.operation import Operation
from spokekit.confluence.report import Cancel, Progress, ProgressCallback
from spokekit.errors import Cancelled, StoreError

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.audit.walk.checkpoint import Checkpoint
    from spokekit.confluence.actions import AsyncSpoke
    from spokekit.confluence.gateway import Gateway

T = TypeVar("T")
_COUNTS = ("pages", "retries", "duplicates", "points")

WRITE_EVERY = 0.2
"""Seconds between two writes of what was read; with the write itself less than a quarter of a second."""


def stopped() -> Cancelled:
    """Return the error of a walk that was cancelled."""
    return Cancelled("The walk was stopped.", hint="What it has read is kept; walk again to continue.")


@dataclass
class UnderWay:
    """A walk while it runs.

    ``record`` keeps what was paid for; ``members`` counts those that this run has read, for the words of its progress.
    """

    spoke: AsyncSpoke
    record: Checkpoint
    progress: ProgressCallback | None = None
    cancel: Cancel | None = None
    members: int = 0

    @property
    def gateway(self) -> Gateway:
        """What all requests go through."""
        return self.spoke.gateway

    def operation(self, action: str, unit: str, *, of: int | None = None, left: int = 0) -> Operation:
        """Begin a part of the walk, with so many things `left` of all; its progress is the walk's."""

        def tell(progress: Progress) -> None:
            if self.progress is not None:
                words = progress.words
                if unit == "groups":
                    words = words.replace(" groups", f" groups, {self.members:,} members", 1)
                self.progress(replace(progress, words=words))

        operation = Operation(action, unit=unit, progress=tell if self.progress else None)
        if self.gateway.ledger is not None:
            operation.points_left = self.gateway.ledger.left_now
        if of is not None:
            operation.total, operation.done = of, of - left
        return operation

    async def each(self, one: Callable[[T], Awaitable[None]], things: Iterable[T], operation: Operation) -> None:
        """Run ``one(thing)`` for all things, and add what that has cost to the record, also when it was stopped.

        Raises the first error, or Cancelled when the walk was stopped."""
        most = self.gateway.in_flight
        ended, failed = False, None
        try:
            async with anyio.create_task_group() as beside:
                beside.start_soon(self._keep_writing)
                try:
                    ended = await pull.run(one, things, most=most, operation=operation, cancel=self.cancel, grace=True)
                except Exception as error:  # noqa: BLE001 - carried out of the task group, which would wrap it
                    failed = error
                beside.cancel_scope.cancel()
        finally:
            tally = operation.tally
            with anyio.CancelScope(shield=True):
                await self._add({key: getattr(tally, key) for key in _COUNTS})
        if failed is not None:
            raise failed
        if not ended:
            raise stopped()
        operation.advance(0, force=True)

    async def _keep_writing(self) -> None:
        """Write what was collected so often that a kill loses little that was paid for."""
        while True:
            await anyio.sleep(WRITE_EVERY)
            # The record raises what is wrong with the disk as soon as the next page comes, and at the end.
            with suppress(StoreError):
                await anyio.to_thread.run_sync(self.record.flush)

    async def counted(self, frame: pd.DataFrame) -> list[dict[str, Any]]:
        """Add what an action of the spoke has cost to the record; returns its rows, see `plain_rows`."""
        report = frame.attrs.get("completeness", {})
        await self._add({key: int(report.get(key, 0)) for key in _COUNTS})
        return plain_rows(frame)

    async def _add(self, counts: dict[str, int]) -> None:
        await anyio.to_thread.run_sync(bind(self.record.add, **counts))


def plain_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame as the record keeps them: texts and booleans, "" for what is missing."""
    plain = frame.astype(dict.fromkeys(frame.columns, object))
    return [
        {
            str(key): value if isinstance(value, str | bool) else ("" if value != value else str(value))
            for key, value in row.items()
        }
        for row in plain.to_dict("records")
    ]
