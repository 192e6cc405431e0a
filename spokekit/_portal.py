"""One background thread with an event loop; all network I/O runs there.

Callers stay plain and synchronous: `call` blocks until the coroutine is done, `submit` returns a future at once.
Interrupting the caller (Ctrl-C, "Interrupt Kernel") cancels the coroutine and waits until it has cleaned up.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from spokekit.errors import Cancelled

A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)
P = ParamSpec("P")
T = TypeVar("T")

_lock = threading.Lock()
_stack: ExitStack | None = None
_portal: BlockingPortal | None = None
_thread_id: int | None = None
_pid: int | None = None
_left_behind: list[ExitStack | None] = []
_ending = False


def portal() -> BlockingPortal:
    """Return the running portal of this process; a forked child gets one of its own.

    Raises `Cancelled` when Python is ending.
    """
    global _stack, _portal, _thread_id, _pid
    with _lock:
        if _ending:
            # A thread that outlives the portal would start one that nobody stops, and Python would wait for it forever.
            raise Cancelled("Python is ending: nothing more is begun.")
        if _portal is None or _pid != os.getpid():
            _stack = ExitStack()
            _portal = _stack.enter_context(start_blocking_portal("asyncio", name="spokekit-io"))
            _thread_id = _portal.call(threading.get_ident)
            _pid = os.getpid()
        return _portal


def submit(function: Callable[..., Awaitable[T]], *args: Any) -> Future[T]:
    """Start ``function(*args)`` in the I/O thread; cancelling the future cancels the coroutine."""
    return portal().start_task_soon(function, *args)


def inside() -> bool:
    """Tell whether this is the I/O thread."""
    return threading.get_ident() == _thread_id and _pid == os.getpid()


def call(function: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Run ``function(*args)`` in the I/O thread and return its result.

    Raises `Cancelled` when somebody else cancelled it, and re-raises KeyboardInterrupt after the coroutine ended.
    """
    if inside():
        raise RuntimeError("spokekit's I/O thread cannot wait for itself: await the coroutine instead.")
    ended = threading.Event()

    async def run() -> T:
        try:
            return await function(*args)
        finally:
            ended.set()

    future = submit(run)
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        ended.wait(5)
        raise
    except CancelledError:
        raise Cancelled("The operation was cancelled.") from None


async def awaited(function: Callable[[], Awaitable[T]]) -> T:
    """Await ``function()`` in the I/O thread, from whatever event loop this is."""
    if inside():
        return await function()
    return await asyncio.wrap_future(submit(function))


class Plain(Protocol[A_co]):
    """What has the same actions as coroutines, under ``aio``."""

    @property
    def aio(self) -> A_co: ...


def plain(action: Callable[Concatenate[A, P], Awaitable[T]]) -> Callable[Concatenate[Plain[A], P], T]:
    """Return a coroutine of ``self.aio`` as a plain method with its name, signature and documentation."""
    name = action.__name__

    @wraps(action)
    def method(self: Plain[A], /, *args: P.args, **options: P.kwargs) -> T:
        found: Callable[P, Awaitable[T]] = getattr(self.aio, name)
        return call(partial(found, *args, **options))

    return method


def _close() -> None:
    global _stack, _portal, _ending
    with _lock:
        stack, _stack, _portal, _ending = _stack, None, None, True
    if stack is not None and _pid == os.getpid():
        stack.close()


def _after_fork() -> None:
    """Begin anew in a forked child: whoever held the lock, and the I/O thread, stayed with the parent."""
    global _lock, _stack, _portal, _thread_id, _ending
    # Kept, since closing the parent's portal would wait for a thread that is not here.
    _left_behind.append(_stack)
    _lock, _stack, _portal, _thread_id, _ending = threading.Lock(), None, None, None, False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


# threading's own exit hooks run before atexit's; the portal's thread has to be told to stop before them.
_register = getattr(threading, "_register_atexit", atexit.register)
_register(_close)
