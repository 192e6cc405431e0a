"""Reading many lists at once: so many in flight, each to its end, and a report of what is missing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeVar

import anyio

from spokekit.confluence.operation import Operation
from spokekit.confluence.report import Cancel, CompletenessReport, stamp
from spokekit.errors import (
    AppNotInstalled,
    Cancelled,
    ConsentError,
    IncompleteResult,
    NotConfigured,
    NotPermitted,
    RateLimited,
    ScopeMissing,
    ServiceError,
    SiteRefuses,
    SpokekitError,
    StoreError,
    TokenRejected,
    TransportError,
)

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.confluence.gateway import Gateway

T = TypeVar("T")
NOTHING: Mapping[str, SpokekitError] = {}

Partial = Literal["raise", "keep"]

GRACE = 5.0
"""Seconds that reads under way have to end when what they belong to is cancelled."""

READS = 3
"""How often a list that moves while it is read is read."""

# Errors that every further request would meet too: going on would only spend points.
STOPS = (
    AppNotInstalled,
    Cancelled,
    ConsentError,
    NotConfigured,
    NotPermitted,
    RateLimited,
    ScopeMissing,
    SiteRefuses,
    StoreError,
    TokenRejected,
)


class PartlyRead(Exception):
    """Wraps the error that ended a list of which some rows were kept."""

    def __init__(self, error: SpokekitError) -> None:
        self.error = error
        super().__init__(str(error))


async def until_still(read: Callable[[], Awaitable[str]], operation: Operation, path: str) -> None:
    """Read a list again when it moved while it was read, `READS` times in all.

    Parameters
    ----------
    read:
        Reads the list and returns "" when all of it came, else what was wrong with it, as the start of a sentence.
    path:
        For the error's endpoint.

    Raises `ServiceError` when it moved each time.
    """
    moved = ""
    for _ in range(READS):
        moved = await read()
        if not moved:
            return
        operation.tally.retries += 1
    raise ServiceError(
        f"{moved}, each of the {READS} times that it was read.",
        likely="It changes faster than it can be read, or some rows are hidden.",
        hint="Try again when fewer changes are being made.",
        next_step="retry",
        endpoint=f"GET {path}",
    )


async def run(
    one: Callable[[T], Awaitable[None]],
    things: Iterable[T],
    *,
    most: int,
    operation: Operation | None = None,
    cancel: Cancel | None = None,
    grace: bool = False,
) -> bool:
    """Await ``one(thing)`` for all things, at most `most` at a time, and raise the first error plainly.

    Parameters
    ----------
    operation:
        The operation that all reads share, whose pauses need not be waited for.
    cancel:
        Once set nothing more is begun; returns False then.
    grace:
        What is under way is paid for: let it end when another one failed, and for `GRACE` seconds when cancelled,
        unless it only waits for a new hour. Without it, everything ends at once.
    """
    left = iter(things)
    errors: list[Exception] = []
    stopping = anyio.Event()

    async def watch(scope: anyio.CancelScope) -> None:
        # The person's Cancel is a threading.Event, which an event loop can only look at.
        while cancel is not None and not cancel.is_set():  # noqa: ASYNC110
            await anyio.sleep(0.1)
        stopping.set()
        with anyio.move_on_after(GRACE if grace else 0):
            while operation is None or operation.state().paused_until is None:  # noqa: ASYNC110
                await anyio.sleep(0.05)
        scope.cancel()

    async with anyio.create_task_group() as outer:

        async def worker() -> None:
            for thing in left:
                try:
                    await one(thing)
                except Exception as error:  # noqa: BLE001 - carried out of the task group, which would wrap it
                    errors.append(error)
                    if not grace:
                        outer.cancel_scope.cancel()
                if errors or stopping.is_set():
                    return

        if cancel is not None:
            outer.start_soon(watch, outer.cancel_scope)
        async with anyio.create_task_group() as workers:
            for _ in range(most):
                workers.start_soon(worker)
        outer.cancel_scope.cancel()
    for error in errors:
        raise error
    return not (stopping.is_set() or (cancel is not None and cancel.is_set()))


class Pull:
    """Run one reader over many ids, ``in_flight`` at a time, and remember which could not be read.

    An error that concerns one id is kept and the others go on. One that every request would meet (`STOPS`), or a row of
    network failures, stops it; what was not begun then counts as failed for that reason.
    """

    def __init__(self, operation: Operation, in_flight: int) -> None:
        self.operation = operation
        self.in_flight = in_flight
        self.walked = 0
        self.listed = 0
        self.failed: dict[str, SpokekitError] = {}
        self.partial: dict[str, SpokekitError] = {}
        self.stopped: SpokekitError | None = None
        self._broken_in_a_row = 0

    async def run(self, ids: Iterable[str], read: Callable[[str], Awaitable[None]]) -> None:
        """Read every id once, in order of `ids` as far as they are in flight together."""
        wanted = list(dict.fromkeys(ids))
        self.listed = self.operation.total = len(wanted)
        left = iter(wanted)

        async def one(what: str) -> None:
            await self._one(what, read)
            if self.stopped is not None:
                raise self.stopped

        try:
            await run(one, left, most=self.in_flight, grace=True)
        except SpokekitError:
            if self.stopped is None:
                raise
        if isinstance(self.stopped, Cancelled):
            raise self.stopped
        if self.stopped is not None:
            self.failed.update(dict.fromkeys(left, self.stopped))
        self.operation.advance(0, force=True)

    async def _one(self, one: str, read: Callable[[str], Awaitable[None]]) -> None:
        try:
            await read(one)
        except PartlyRead as partly:
            self._note(one, partly.error, self.partial)
        except SpokekitError as error:
            self._note(one, error, self.failed)
        else:
            self.walked += 1
            self._broken_in_a_row = 0
        self.operation.advance()

    def _note(self, one: str, error: SpokekitError, where: dict[str, SpokekitError]) -> None:
        where[one] = error
        self._broken_in_a_row += isinstance(error, TransportError)
        if isinstance(error, STOPS) or self._broken_in_a_row >= 2 * self.in_flight:
            self.stopped = error

    def spread(self, chunks: Mapping[str, Collection[str]]) -> None:
        """Let the report speak of what the ids stood for: each is a chunk of things that were read together."""
        self.failed = {one: error for number, error in self.failed.items() for one in chunks[number]}
        self.listed = sum(map(len, chunks.values()))
        self.walked = self.listed - len(self.failed)

    def first_error(self) -> SpokekitError | None:
        """Return the error that says best why something is missing."""
        return self.stopped or next(iter((self.failed | self.partial).values()), None)

    def report(self, rows: int, unit: str, notes: Iterable[str] = ()) -> CompletenessReport:
        """Return what was read and what is missing."""
        return report_of(
            self.operation,
            rows,
            unit,
            listed=self.listed,
            walked=self.walked,
            failed=self.failed,
            partial=self.partial,
            notes=notes,
        )


def report_of(
    operation: Operation,
    rows: int,
    unit: str,
    *,
    listed: int = 1,
    walked: int | None = None,
    failed: Mapping[str, SpokekitError] = NOTHING,
    partial: Mapping[str, SpokekitError] = NOTHING,
    notes: Iterable[str] = (),
    complete: bool = True,
) -> CompletenessReport:
    """Return what was read and what is missing, with what the operation counted.

    Without ``walked``, everything that is neither in ``failed`` nor in ``partial`` was read to its end. ``complete`` is
    False where rows are missing although nothing failed.
    """
    missing = {**failed, **partial}
    return CompletenessReport(
        complete=complete and not missing,
        listed=listed,
        walked=listed - len(missing) if walked is None else walked,
        failed=tuple(failed),
        partial=tuple(partial),
        notes=tuple(notes),
        rows=rows,
        unit=unit,
        reasons={key: str(error) for key, error in missing.items()},
        **asdict(operation.tally),
    )


def finish(
    frame: pd.DataFrame,
    report: CompletenessReport,
    gateway: Gateway,
    started: datetime,
    partial: Partial,
    cause: BaseException | None,
) -> pd.DataFrame:
    """Return the frame when it is complete or when an incomplete one is wanted; raise `IncompleteResult` if not."""
    stamp(frame, report, gateway.connection.site_url or "", started)
    if report.complete or partial == "keep":
        return frame
    raise incomplete(report, frame, cause)


def incomplete(report: CompletenessReport, frame: pd.DataFrame, cause: BaseException | None) -> IncompleteResult:
    """Return the error that carries what came and says what did not."""
    why = next(iter(report.reasons.values()), "")
    return IncompleteResult(
        report.words,
        likely=f"The first reason: {why}" if why else None,
        hint="Try again, or take what came with partial='keep'.",
        report=report,
        frame=frame,
    )
