"""Ctrl-C in a command: once ends it in an orderly way, twice at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from spokekit.cli._output import say


@contextmanager
def interruptible(then: str = "") -> Iterator[threading.Event]:
    """Give an event that the first Ctrl-C sets, for an action to end by; the second one ends the command at once.

    ``then`` completes the sentence that the person reads after the first one.
    """
    cancel = threading.Event()

    def stop(_signal: int, _frame: Any) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()
        # On a line of its own, after the line of progress.
        say(f"\nStopping … Ctrl-C once more ends at once{then}.")

    with _listening(stop):
        yield cancel


@contextmanager
def obeyed() -> Iterator[None]:
    """Let Ctrl-C end the command at once while a person is asked something: nothing is under way then."""
    with _listening(signal.default_int_handler):
        yield


@contextmanager
def _listening(handler: Any) -> Iterator[None]:
    # Only the main thread may listen to signals; called from another one, the caller decides when to stop.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def asked_to_stop() -> threading.Event:
    """Return an event that Ctrl-C, or the end of this process, sets from now on: for what serves until then."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    return stopped
