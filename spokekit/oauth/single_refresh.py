"""Single flight: of one connection at most one refresh runs in this process, and whoever needs it waits for that one.

A flight has a thread of its own. Cancelling a task or interrupting a cell ends the waiting, never the flight. One whose
answer was lost is tried again in the background, since the server may have rotated the token and takes the old one for
ten minutes only: the person may have gone for longer.
"""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Callable
from concurrent.futures import Future

from spokekit._secret import Secret
from spokekit.connections.per_store import PerStore
from spokekit.connections.store import Store
from spokekit.errors import SpokekitError
from spokekit.oauth.endpoint import answer_is_lost

Work = Callable[[], Secret]

# Seconds between tries after a lost answer; together they end inside the leeway of ten minutes.
AGAIN = (15.0, 30.0, 60.0, 120.0, 240.0)


class Flights:
    """The refreshes that run in this process on one store."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, Future[Secret]] = {}
        self._tries: dict[str, int] = {}

    def join(self, key: str, work: Work, again: Callable[[], None]) -> Future[Secret]:
        """Return the running flight of `key`, or start `work` as one; `again` is called later if its answer is lost."""
        with self._lock:
            future = self._running.get(key)
            if future is None:
                future = self._running[key] = Future()
                # Running from the start, so that nobody who waits for it can cancel it.
                future.set_running_or_notify_cancel()
                # Not a daemon: a program that ends waits until the rotated token is written down.
                threading.Thread(
                    target=self._fly, args=(key, future, work, again), name="spokekit-refresh", daemon=False
                ).start()
        return future

    def _fly(self, key: str, future: Future[Secret], work: Work, again: Callable[[], None]) -> None:
        try:
            outcome: Secret | BaseException = work()
        except BaseException as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            outcome = error.with_traceback(None)
        with self._lock:
            self._running.pop(key, None)
            tries = self._tries.get(key, 0)
            if answer_is_lost(outcome) and tries < len(AGAIN):
                self._tries[key] = tries + 1
                timer = threading.Timer(AGAIN[tries], again)
                timer.daemon = True
                timer.start()
            else:
                self._tries.pop(key, None)
        if isinstance(outcome, Secret):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)


_flights = PerStore(Flights)


def flights(store: Store) -> Flights:
    """Return the flights on `store`, shared by all who use it in this process."""
    return _flights.of(store)


def wait_for(future: Future[Secret]) -> Secret:
    """Wait for a flight; each waiter raises an error of its own, since a shared one would collect tracebacks."""
    error = future.exception()
    if error is None:
        return future.result()
    raise copy.copy(error) from None


async def awaited(future: Future[Secret]) -> Secret:
    """Do the same in a task; cancelling it leaves the flight alone."""
    try:
        return await asyncio.shield(asyncio.wrap_future(future))
    except SpokekitError as error:
        mine = copy.copy(error)
    raise mine
