"""Run long work behind a component: kept, throttled, cancellable, and never failing in silence."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import wait as wait_for
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from spokekit import _portal
from spokekit.errors import Cancelled, ConsentCancelled, SpokekitError

if TYPE_CHECKING:
    from spokekit.confluence.report import Progress
    from spokekit.widgets.base import Component

INTERVAL = 0.05  # 20 updates a second; JupyterLab drops updates beyond 1,000 messages a second (measured)


class Throttle:
    """Call `emit` with the newest value, at most once in `interval` seconds; the last value always arrives."""

    def __init__(self, emit: Callable[[Any], None], interval: float = INTERVAL) -> None:
        self._emit = emit
        self._interval = interval
        self._lock = threading.Lock()
        # Held while the view is written: whoever closes waits until a word that is under way has been said.
        self._saying = threading.RLock()
        self._last = float("-inf")
        self._pending: Any = None
        self._waiting = False
        self._closed = False

    def __call__(self, value: Any) -> None:
        with self._lock:
            now = time.monotonic()
            wait = self._last + self._interval - now
            self._pending = value
            if self._waiting:
                return
            if wait > 0:
                self._waiting = True
                # Progress is told from the I/O thread, too, and that one cannot hand work to itself (no `_portal`).
                later = threading.Timer(wait, self._later)
                later.daemon = True
                later.start()
                return
            self._last, self._pending = now, None
        self._say(value)

    def _later(self) -> None:
        with self._lock:
            value, self._pending, self._waiting = self._pending, None, False
            self._last = time.monotonic()
        if value is not None:
            self._say(value)

    def _say(self, value: Any) -> None:
        with self._saying:
            if not self._closed:
                self._emit(value)

    def close(self) -> None:
        """Say nothing more: the task ended and has its own last word, which must not be written over."""
        with self._saying:
            self._closed = True


class Task:
    """What running work gets to hold: where to report, and whether to stop.

    ``progress`` takes a `spokekit.confluence.report.Progress` (or a plain sentence) and is what the services'
    ``progress=`` expects; ``cancelled`` is a `threading.Event`, for their ``cancel=``.
    """

    def __init__(self, words: str, show: Callable[[Progress | str], None]) -> None:
        self.words = words
        self.cancelled = threading.Event()
        self.progress = Throttle(show)
        self.future: Future[Any] | None = None

    def cancel(self) -> None:
        """Ask the work to stop; a coroutine is cancelled as well."""
        self.cancelled.set()
        if self.future is not None:
            self.future.cancel()


class TaskRunner:
    """Runs a component's work off the kernel's threads and reports into the component.

    The callback that starts work returns at once. Plain functions run in a daemon thread (services are synchronous),
    coroutine functions on the I/O portal; both get a `Task`. Tasks are kept until they end. The runner sets the
    component's ``busy``, shows progress at most 20 times a second, and shows an exception as what happened, why and
    what next.
    """

    def __init__(self, component: Component) -> None:
        self._component = component
        self._tasks: dict[Task, Future[Any]] = {}
        self._ending: dict[Task, Future[Any]] = {}
        self._lock = threading.RLock()
        self.last_error: BaseException | None = None

    @property
    def running(self) -> bool:
        """Say whether any task has not ended yet."""
        return bool(self._tasks or self._ending)

    def start(
        self,
        work: Callable[[Task], Any],
        *,
        words: str,
        done: Callable[[Any], None] | None = None,
        failed: Callable[[BaseException], bool | None] | None = None,
    ) -> Future[Any] | None:
        """Start `work`; returns its future, or None when the component is busy already.

        Parameters
        ----------
        work:
            Called with the `Task`. A coroutine function is awaited on the portal.
        words:
            What the status line says meanwhile, for example "Looking up groups".
        done:
            Called with the result, before ``busy`` ends.
        failed:
            Called with the exception; returning True means that it was shown already.
        """
        with self._lock:
            if self._tasks:
                return None
            # A fault of the view must not end the work that reports to it.
            task = Task(words, self._component.guarded(self._component.show_progress))
            ended: Future[Any] = Future()
            self._tasks[task] = ended
            self.last_error = None
        self._component.task_started(task)

        finish = partial(self._finish, task, ended, done, failed)
        if inspect.iscoroutinefunction(work):
            task.future = _portal.submit(_on_portal, work, task, words, finish)
        else:
            run = partial(_in_thread, work, task, finish)
            threading.Thread(target=run, name="spokekit-task", daemon=True).start()
        return ended

    def _finish(
        self,
        task: Task,
        ended: Future[Any],
        done: Callable[[Any], None] | None,
        failed: Callable[[BaseException], bool | None] | None,
        result: Any,
        error: BaseException | None,
    ) -> None:
        task.progress.close()
        # From here on a callback may start the next task; `settled` still waits for this one's last words.
        with self._lock:
            self._ending[task] = self._tasks.pop(task)
        try:
            if error is None and done is not None:
                done(result)
        except Exception as in_callback:  # noqa: BLE001 - whatever the view does wrong must be seen in the view
            error = in_callback
        if error is not None:
            self.last_error = error
            self._show(error, failed)
        with self._lock:
            self._ending.pop(task, None)
            idle = not self._tasks
        if idle:
            self._component.task_ended()
        if error is None:
            ended.set_result(result)
        else:
            ended.set_exception(error)

    def cancel(self) -> None:
        """Ask all running tasks to stop."""
        with self._lock:
            tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()

    def settled(self, timeout: float | None = 60.0) -> None:
        """Wait until nothing runs any more; for scripts, tests and unattended notebooks.

        Raises what the last task raised, or `SpokekitError` after `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._lock:
                futures = (*self._tasks.values(), *self._ending.values())
            if not futures:
                break
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            _, open_ones = wait_for(futures, timeout=left)
            if open_ones:
                raise SpokekitError(
                    f"The work did not end within {timeout:g} seconds.", hint="Cancel it, or allow more time."
                )
        if self.last_error is not None:
            raise self.last_error

    def _show(self, error: BaseException, failed: Callable[[BaseException], bool | None] | None) -> None:
        try:
            if failed is not None and failed(error):
                return
        except Exception as in_callback:  # noqa: BLE001 - the handler itself failed: show that, it is the news
            error = in_callback
        if isinstance(error, Cancelled | ConsentCancelled | CancelledError):
            self._component.say(str(error) or "Cancelled.", "warning")
        else:
            self._component.show_error(error)


Finish = Callable[[Any, BaseException | None], None]


async def _on_portal(work: Callable[[Task], Any], task: Task, words: str, finish: Finish) -> None:
    result, error = None, None
    try:
        result = await work(task)
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(finish, None, Cancelled(f"{words}: cancelled."))
        raise
    except Exception as caught:  # noqa: BLE001 - shown in the component, whatever it is
        error = caught
    # The view's callbacks may call services, which must not wait inside the I/O thread.
    await anyio.to_thread.run_sync(finish, result, error)


def _in_thread(work: Callable[[Task], Any], task: Task, finish: Finish) -> None:
    result, error = None, None
    try:
        result = work(task)
    except BaseException as caught:  # noqa: BLE001 - a thread has nobody above it who could show this
        error = caught
    finish(result, error)


__all__ = ["Task", "TaskRunner", "Throttle"]
