"""One running action: what it counts, whom it tells, and when it has to stop."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import anyio

from spokekit._words import clock
from spokekit.confluence.report import Cancel, Progress, ProgressCallback, Tally
from spokekit.errors import Cancelled, TransportError

T = TypeVar("T")

_LOOK_EVERY = 0.1
_TELL_EVERY = 0.1


class Operation:
    """Carry progress, cancelling and the deadline of one action through pagers, gateway and ledger.

    Parameters
    ----------
    action:
        The action's name, as scopes and errors say it.
    progress:
        Called in the I/O thread, at most ten times a second, and once at the end. It must return at once.
    cancel:
        Looked at ten times a second; once set, the action raises `Cancelled`, also while it pauses or waits.
    deadline:
        Seconds that the whole action may take, pauses for the quota included; None for no limit.
    grace:
        Seconds that a request which is under way when the action is cancelled still has for its answer: a change
        that is cut off leaves open whether it was made. Pauses are left at once all the same.

    Attributes
    ----------
    under_way:
        A change has been sent, and its answer is not here yet.
    doubtful:
        How an earlier try ended that may have made the change, or None.
    """

    def __init__(
        self,
        action: str,
        *,
        unit: str = "rows",
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
        deadline: float | None = None,
        grace: float = 0.0,
    ) -> None:
        self.action = action
        self.unit = unit
        self.tally = Tally()
        self.done = 0
        self.total: int | None = None
        self.points_left: Callable[[], int | None] = lambda: None
        self._progress = progress
        self._cancel = cancel
        self._ends = None if deadline is None else time.monotonic() + deadline
        self._deadline = deadline
        self._late = False
        self._grace = grace
        self.under_way = False
        self.doubtful: Exception | None = None
        self._told = float("-inf")
        self._fault: Exception | None = None
        self._paused_until: datetime | None = None
        self._paused_because = ""

    @property
    def in_doubt(self) -> bool:
        """Say whether a change may have been made without an answer that says so."""
        return self.under_way or self.doubtful is not None

    def _cancelled(self) -> bool:
        return self._fault is not None or (self._cancel is not None and self._cancel.is_set())

    def check(self) -> None:
        """Raise `Cancelled` when the action was cancelled or its time is over; `run` tells the two apart."""
        if self._cancelled():
            raise Cancelled(f"{self.action} was cancelled.")
        if self._ends is not None and time.monotonic() > self._ends:
            # Not yet the error of `run`: one list among many would take it for its own, and be called incomplete.
            self._late = True
            raise Cancelled(f"{self.action} did not end in time.")

    def advance(self, steps: int = 1, *, force: bool = False) -> None:
        """Add to what is done and tell the listener, if its turn has come."""
        self.done += steps
        if self._progress is None:
            return
        now = time.monotonic()
        if force or now - self._told >= _TELL_EVERY:
            self._told = now
            try:
                self._progress(self.state())
            except Exception as fault:  # noqa: BLE001 - the listener's own; `run` raises it as it is, out of all groups
                self._fault = self._fault or fault

    def state(self) -> Progress:
        """Return where the action stands."""
        left = self.points_left()
        of = "" if self.total is None else f" of {self.total:,}"
        words, pause = f"{self.done:,}{of} {self.unit}", ""
        if self._paused_until is not None:
            because, until = self._paused_because, clock(self._paused_until, seconds=True)
            pause = f"{because}, next try at {until}" if because else f"the limit is reached, waiting until {until}"
            words += f"; {pause}"
        return Progress(self.done, self.total, self.unit, words, left, self._paused_until, pause)

    async def pause(
        self, until: datetime, seconds: float, sleep: Callable[[float], Awaitable[None]], because: str = ""
    ) -> None:
        """Wait, tell that and until when (and ``because`` of what, if not of a limit), and stay cancellable."""
        # Many requests may pause at once: the first of them tells it at once, the others when it is time to tell.
        first = self._paused_until is None
        self._paused_until, self._paused_because = until, because
        try:
            self.advance(0, force=first and seconds >= 1)
            self.check()
            await sleep(seconds)
            self.check()
        finally:
            self._paused_until = None

    async def run(self, function: Callable[[], Awaitable[T]]) -> T:
        """Await ``function()``; stop it within a tenth of a second when cancelled, and at the deadline.

        What the listener raised ends the action and is raised here. Past the deadline it raises `TransportError`.
        """
        try:
            result = await self._run(function)
        except Cancelled:
            if self._fault is not None:
                raise self._fault from None
            if self._late and not self._cancelled():
                raise TransportError(
                    f"{self.action} did not end within {self._deadline:g} seconds.",
                    hint="Try again, or allow more time.",
                ) from None
            raise
        if self._fault is not None:
            raise self._fault
        return result

    async def _run(self, function: Callable[[], Awaitable[T]]) -> T:
        self.check()
        if self._cancel is None and self._ends is None:
            return await function()
        results: list[T] = []
        errors: list[BaseException] = []
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                left = self._grace
                while True:
                    await anyio.sleep(_LOOK_EVERY)
                    if self.under_way and left > 0 and self._cancelled():
                        left -= _LOOK_EVERY
                        continue
                    self.check()

            async def guarded(work: Callable[[], Awaitable[object]]) -> None:
                try:
                    await work()
                except Exception as error:  # noqa: BLE001 - carried out of the group, which would wrap it, and raised below
                    errors.append(error)
                group.cancel_scope.cancel()

            async def keep() -> None:
                results.append(await function())

            group.start_soon(guarded, watch)
            group.start_soon(guarded, keep)
        if results:
            return results[0]
        raise errors[0]
