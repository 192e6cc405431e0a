"""What the small servers of ours have in common: the socket that they listen on, and uvicorn in a thread of its own."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import uvicorn

from spokekit.errors import InputError, SpokekitError

T = TypeVar("T")
#: Options of `uvicorn.Config`: whoever runs the server hears of it from us, and nobody hears what serves it.
QUIET: dict[str, Any] = {
    "log_config": None,
    "log_level": "critical",
    "access_log": False,
    "lifespan": "off",
    "ws": "none",
    "server_header": False,
}


def listen(host: str, port: int, what: str, *, field: str = "port") -> socket.socket:
    """Return a socket that listens on `port` of `host`, 0 for a free one; raises `InputError` when it is taken.

    The error names `what` would listen there, and the `field` in which the port was given.
    """
    # The protocol number is what makes asyncio switch Nagle's algorithm off for every accepted connection.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name != "nt":  # on Windows the option would let two servers share a port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
    except OSError as problem:
        listener.close()
        raise InputError(
            f"The {what} cannot use port {port}.",
            field=field,
            likely=problem.strerror or None,
            hint="Give another port, or 0 for a free one.",
        ) from None
    return listener


class Server(uvicorn.Server):
    """uvicorn in a thread of its own that stops at once when told to, not at its next look every tenth of a second.

    Parameters
    ----------
    what:
        What it serves, a "practice site" or a "board".

    Raises
    ------
    SpokekitError
        It does not start within ten seconds.
    """

    def __init__(self, app: Any, listener: socket.socket, what: str, **options: Any) -> None:
        super().__init__(uvicorn.Config(app, **QUIET, **options))
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self.run, args=([listener],), name=what.replace(" ", "-"), daemon=True)
        self._thread.start()
        if not self._ready.wait(10):
            self.should_exit = True
            raise SpokekitError(f"The {what} did not start within ten seconds.", hint="Try it once more.")

    async def main_loop(self) -> None:
        """Tick ten times a second, as uvicorn does, but end when woken."""
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        counter = 0
        while not await self.on_tick(counter):
            counter = (counter + 1) % 864000
            try:
                await asyncio.wait_for(self._wake.wait(), 0.1)
            except TimeoutError:
                continue

    def call(self, work: Callable[[], None]) -> None:
        """Do `work` in the server's thread, between two requests, and wait for it."""
        if threading.current_thread() is self._thread:
            work()
            return

        async def there() -> None:
            work()

        self.done(there())

    def done(self, work: Awaitable[T]) -> T:
        """Do `work` in the server's thread, wait for it, and return what comes of it."""

        async def there() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(there(), self._loop).result(30)

    def soon(self, work: Callable[[], None]) -> None:
        """Do `work` in the server's thread as soon as it can be, without waiting; not at all once the server ended."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(work)

    def stop(self) -> None:
        """End the server from another thread, and wait for its end."""
        self.should_exit = True
        self.soon(self._wake.set)
        self._thread.join(10)
