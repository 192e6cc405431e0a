"""What a kernel's components hear of the class: one thread looks at the practice homes' files, cheaply.

It reads only when a file has changed, and calls a component only when there is something new for it.
"""

from __future__ import annotations

import threading
import time
import weakref
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from spokekit.errors import SpokekitError
from spokekit.training.attempts import current_in, events_here
from spokekit.training.my_class import Changes, MyClass, ReporterState, hand_is_up, my_class, reporter_state
from spokekit.training.trainer_orders import Taken, TrainerOrders, orders_of

LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class ClassNews:
    """How it is with the class of a practice home.

    ``lesson`` is the one that the practice site is set for, or "".
    """

    joined: MyClass | None = None
    state: ReporterState | None = None
    hand: bool = False
    lesson: str = ""
    orders: tuple[Taken, ...] = ()


class Hears(Protocol):
    """A component that hears of the class."""

    def see_class(self, news: ClassNews) -> None:
        """Show what is new."""


def news_of(root: Path) -> ClassNews:
    """Return how it is now; a store that cannot be read has no orders."""
    joined = my_class(root)
    if joined is None:
        return ClassNews()
    current = current_in(root)
    orders: tuple[Taken, ...] = ()
    with suppress(SpokekitError):
        orders = _with_orders(root, TrainerOrders.all) or ()
    return ClassNews(joined, reporter_state(root, joined), hand_is_up(root), current[0] if current else "", orders)


def note(root: Path, n: int, word: Any) -> None:
    """Note what became of an order of the trainer's."""
    _with_orders(root, lambda orders: orders.became(n, word))


def _with_orders(root: Path, do: Any) -> Any:
    with closing(events_here(root).store) as store:
        orders = orders_of(root, store)
        return do(orders) if orders is not None else None


class _Looking:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heard: dict[weakref.ref[Any], tuple[Path, ClassNews | None]] = {}
        self._changes: dict[Path, Changes] = {}
        self._known: dict[Path, ClassNews] = {}
        self._thread: threading.Thread | None = None

    def add(self, component: Hears, root: Path) -> None:
        with self._lock:
            self._heard[weakref.ref(component)] = root, None
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="spokekit-class-news", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            with self._lock:
                self._heard = {ref: what for ref, what in self._heard.items() if ref() is not None}
                now = dict(self._heard)
                if not now:
                    self._thread, self._known, self._changes = None, {}, {}
                    return
            self._read({root for root, _ in now.values()})
            for ref, (root, told) in now.items():
                # Whatever is wrong with one component's files, the others hear.
                with suppress(Exception):
                    self._look(ref, root, told)
            time.sleep(LOOK_SECONDS)

    def _read(self, roots: set[Path]) -> None:
        for root in roots:
            changes = self._changes.setdefault(root, Changes(root))
            if changes.may_be() or root not in self._known:
                with suppress(Exception):
                    self._known[root] = news_of(root)

    def _look(self, ref: weakref.ref[Any], root: Path, told: ClassNews | None) -> None:
        news = self._known[root]
        component = ref()
        if news == told or component is None:
            return
        with self._lock:
            if ref in self._heard:
                self._heard[ref] = root, news
        component.see_class(news)


_looking = _Looking()


def hear(component: Hears, root: Path) -> None:
    """Let a component hear of the class of a practice home for as long as it lives: `see_class` is called."""
    _looking.add(component, root)


_reporters: dict[Path, Any] = {}


def report_here(root: Path, site: dict[str, Any]) -> None:
    """Report from this process where the practice site's own does not: where nothing is kept."""
    if site.get("reports"):
        return
    from spokekit.training.reporter import Reporter

    stop_reporting(root)
    reporter = Reporter(root, site)
    if reporter.start():
        _reporters[root] = reporter


def stop_reporting(root: Path) -> None:
    """End what `report_here` has begun."""
    reporter = _reporters.pop(root, None)
    if reporter is not None:
        reporter.stop()
