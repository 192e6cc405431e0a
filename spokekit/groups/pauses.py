"""Waiting inside an apply: told, left at once when it is cancelled, and never so long that what was read gets old."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

from spokekit.confluence.report import Cancel, Progress, ProgressCallback, Watching

LONG_PAUSE = 60.0
"""Seconds. After a longer pause somebody else may have made the next change, which undo must then leave alone."""

_TICK = 0.1


class Either:
    """Cancels when one of several does."""

    def __init__(self, *all_: Cancel | None) -> None:
        self._all = tuple(one for one in all_ if one is not None)

    def is_set(self) -> bool:
        return any(one.is_set() for one in self._all)


class LongPause:
    """Listens to one change, and cancels it once that would have to wait for long.

    ``pause`` is what it was told then, for those who wait instead; None until then.
    """

    def __init__(self, progress: ProgressCallback | None) -> None:
        self._progress = progress
        self._since = datetime.now(UTC)
        self.pause: Progress | None = None

    @property
    def outlasted(self) -> bool:
        """Say whether the change has lasted longer than a long pause, for whatever reason."""
        return -_seconds_to(self._since) > LONG_PAUSE

    def __call__(self, told: Progress) -> None:
        if self._progress is not None:
            self._progress(told)
        if told.paused_until is not None and _seconds_to(told.paused_until) > LONG_PAUSE:
            self.pause = told

    def is_set(self) -> bool:
        return self.pause is not None


def wait(until: float, cancel: Cancel) -> None:
    """Wait until a moment of `time.monotonic`, or until cancelled."""
    while (left := until - time.monotonic()) > 0 and not cancel.is_set():
        time.sleep(min(left, _TICK))


def wait_out(pause: Progress, progress: ProgressCallback | None, cancel: Cancel) -> None:
    """Wait until a pause is over by the clock on the wall, or until cancelled; tell it once a second."""
    while pause.paused_until is not None and _seconds_to(pause.paused_until) > 0 and not cancel.is_set():
        if progress is not None:
            progress(pause)
        wait(time.monotonic() + min(1.0, _seconds_to(pause.paused_until)), cancel)


def only_pauses(watching: Watching, *more: Cancel) -> Watching:
    """Return one who is told of pauses and nothing else, for reading that nobody wants counted; `more` stop it too."""
    progress = watching.progress

    def tell(inner: Progress) -> None:
        if progress is not None and inner.paused_until is not None:
            progress(replace(inner, words=f"Reading the site: {inner.pause}"))

    return Watching(tell if progress else None, Either(watching.cancel, *more) if more else watching.cancel)


def pauses_of(progress: ProgressCallback | None, number: int, total: int) -> ProgressCallback | None:
    """Return a listener that turns a pause inside change `number` into one of the whole apply."""
    if progress is None:
        return None

    def tell(inner: Progress) -> None:
        if inner.paused_until is not None:
            words = f"{number:,} of {total:,} changes; {inner.pause}"
            progress(Progress(number, total, "changes", words, inner.points_left, inner.paused_until, inner.pause))

    return tell


def _seconds_to(moment: datetime) -> float:
    return (moment - datetime.now(UTC)).total_seconds()
