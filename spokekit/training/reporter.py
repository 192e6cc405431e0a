"""The reporter: it tells the board of a class how far the lessons are, and takes the trainer's orders.

It runs in the process of the practice site, one for each practice home, and says nothing anywhere but in its state file
(`my_class.reporter_state`). What is to be sent is in the home's store, so a board that is away, a network that is cut
and a computer that sleeps cost nothing but time.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from spokekit._home import lock_file, private_folder
from spokekit.board.wire import MOST_EVENTS, Fault, Noted, Now, Ordered, Report
from spokekit.connections.store import Store
from spokekit.errors import SpokekitError, StoreError
from spokekit.training.attempts import current_in
from spokekit.training.board_client import BoardClient, Contradicted, NotInClass
from spokekit.training.carrying_out import CarryingOut
from spokekit.training.desk import Desk
from spokekit.training.events import Events
from spokekit.training.my_class import (
    FOLDER,
    Changes,
    MyClass,
    ReporterState,
    hand_is_up,
    read_class,
    write_reporter_state,
)
from spokekit.training.trainer_orders import TrainerOrders

LOOK_SECONDS = 0.3
SIGN_OF_LIFE = 20.0
LONGEST_PAUSE = 30.0
_HITS_EVERY = 2.0
_HITS_FOR = 900.0
OTHER_RECORDS = (
    "The class keeps other records under this computer's name than there are here. Leave the class and join again; "
    "what you did is kept here."
)


class Reporter:
    """Reports for one practice home.

    Parameters
    ----------
    root:
        The practice home.
    site:
        What its practice site says of itself, or None.
    """

    def __init__(self, root: Path, site: Mapping[str, Any] | None) -> None:
        self.root = root
        self._desk = Desk(site) if site is not None else None
        self._held = ExitStack()
        self._stopped = threading.Event()
        self._again = threading.Event()
        # Set while the board answers: whichever of the two threads reaches it again wakes the other.
        self._answers = threading.Event()
        self._threads: list[threading.Thread] = []

    def __repr__(self) -> str:
        return f"Reporter({str(self.root)!r})"

    def start(self) -> bool:
        """Begin to report; False where nobody joined, or another process reports for this home already.

        Raises `SpokekitError` where the home cannot be used.
        """
        joined = read_class(self.root)
        if joined is None:
            return False
        try:
            self._held.enter_context(lock_file(private_folder(self.root / FOLDER) / "reporter", wait=0))
        except StoreError:
            return False
        try:
            self._open(joined)
        except BaseException:
            self._held.close()
            raise
        self._threads = [
            threading.Thread(target=work, name=f"spokekit-class-{name}", daemon=True)
            for name, work in (("report", self._report), ("orders", self._listen))
        ]
        for thread in self._threads:
            thread.start()
        return True

    def _open(self, joined: MyClass) -> None:
        self._class = joined
        self._board = self._held.enter_context(closing(BoardClient(joined.url, joined.key)))
        self._store = Store(sa.URL.create("sqlite", database=str(self.root / "spokekit.sqlite")), lock_timeout=10)
        self._held.callback(self._store.close)
        self._events = Events(self._store)
        self._orders = TrainerOrders(self._store, joined.place)
        self._carry = CarryingOut(self.root, self._desk, self._orders, self._stopped, self._again.set)
        self._kept: int | None = None
        self._done = 0
        self._state: ReporterState | None = None
        self._reached_at = datetime.now(UTC)
        self._hits = _Hits(self._desk, self._orders)

    def stop(self) -> None:
        """End; what was not sent is sent by the next one."""
        self._stopped.set()
        self._again.set()
        self._answers.set()
        for thread in self._threads:
            if thread is not threading.current_thread():
                # One that waits for orders ends with its connection.
                thread.join(0.5)
        self._held.close()
        if self._desk is not None:
            self._desk.close()

    # -- telling -------------------------------------------------------------------------------------------------------

    def _report(self) -> None:
        """Send what is new soon after it happened, and a sign of life now and then."""
        failed, sent_at = 0, 0.0
        told: Any = None
        changes = Changes(self.root)
        while not self._stopped.is_set():
            due = told is None or time.monotonic() - sent_at > SIGN_OF_LIFE or self._hits.changed()
            try:
                looked = self._looked() if changes.may_be() or due or self._again.is_set() else told
                if not (due or looked != told or self._again.is_set()):
                    self._stopped.wait(LOOK_SECONDS)
                    continue
                self._again.clear()
                more = self._send()
            except NotInClass as ended:
                self._end(" ".join(filter(None, (ended.message, ended.hint))))
            except Contradicted:
                self._end(OTHER_RECORDS)
            except SpokekitError:
                failed += 1
                self._note_state(reached=False)
                self._pause(failed)
            else:
                failed, sent_at = 0, time.monotonic()
                self._answers.set()
                told = None if more else looked
                self._note_state(reached=True)

    def _looked(self) -> Any:
        """Return what is another value once there is something new to tell."""
        return self._events.last(), self._orders.last_line(), current_in(self.root), hand_is_up(self.root)

    def _send(self) -> bool:
        """Send one report, and tell whether there is more to send."""
        after = self._class.begins_after if self._kept is None else max(self._kept, self._class.begins_after)
        # Before the first answer nobody knows what the board has: the report brings nothing but how it is now.
        found = self._events.after(after, MOST_EVENTS) if self._kept is not None else ()
        done = self._orders.done(self._done)[:MOST_EVENTS] if self._kept is not None else []
        events = tuple(
            Noted(one.seq, one.at.timestamp(), one.lesson, one.attempt, one.event, one.outcome, one.turn)  # type: ignore[arg-type]
            for one in found
        )
        report = Report(self._now(), events, tuple(what for _, what in done))
        before = self._kept
        try:
            self._kept = self._board.report(report)
        except Contradicted:
            # A board that was set back does not know orders that it gave; the events may fit all the same.
            if not done:
                raise
            self._kept = self._board.report(Report(report.now, events))
        self._done = done[-1][0] if done else self._done
        # A board that does not go on is not asked without a break.
        return before is None or len(done) == MOST_EVENTS or (len(found) == MOST_EVENTS and self._kept > before)

    def _now(self) -> Now:
        lesson, attempt = current_in(self.root) or ("", 0)
        return Now(lesson, max(0, attempt), hand_is_up(self.root), self._hits.count)

    # -- listening -----------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Wait for orders and carry them out."""
        failed = 0
        with suppress(SpokekitError):
            self._carry.finish()
        while not self._stopped.is_set():
            began = time.monotonic()
            try:
                after = self._orders.last()
                found, now = self._board.orders(after)
                fresh = [one for one in found.orders if one.n > after]
                # Without a word of its own time, the board's newest order is taken for given just now.
                now = now if now is not None else max((one.at for one in fresh), default=0.0)
                for one in sorted(fresh, key=lambda one: one.n):
                    self._take(one, now - one.at)
                failed = 0
                self._answers.set()
            except NotInClass:
                # The report says so too, and with words.
                self._again.set()
                self._pause(failed := failed + 1)
            except SpokekitError:
                self._pause(failed := failed + 1)
            else:
                if not fresh and time.monotonic() - began < 1:
                    # It does not hold the request: it is not asked without a break.
                    self._stopped.wait(1)

    def _take(self, one: Ordered, age: float) -> None:
        if not self._stopped.is_set():
            self._carry.take(one, age)
            if isinstance(one.order, Fault):
                self._hits.look()

    # -- state ---------------------------------------------------------------------------------------------------------

    def _pause(self, failed: int) -> None:
        """Wait before the next try: longer each time, and not all learners of a class at the same moment."""
        longest = min(LONGEST_PAUSE, 0.5 * 1.7 ** min(failed, 10))
        if not self._stopped.is_set():
            self._answers.clear()
            self._answers.wait(longest * random.uniform(0.5, 1.0))  # noqa: S311 - nothing is guessed from it

    def _note_state(self, *, reached: bool) -> None:
        now = datetime.now(UTC)
        if reached:
            self._reached_at = now
        if self._state is None or self._state.reached is not reached:
            self._state = ReporterState(reached, now if reached else self._reached_at)
            self._write_state()

    def _end(self, words: str) -> None:
        self._state = ReporterState(False, datetime.now(UTC), words)
        self._write_state()
        self._stopped.set()

    def _write_state(self) -> None:
        assert self._state is not None  # noqa: S101 - it was made just now
        with suppress(SpokekitError):
            if read_class(self.root) == self._class:
                write_reporter_state(self.root, self._class, self._state)


class _Hits:
    """How often faults that the trainer ordered have struck since the practice site was put back."""

    def __init__(self, desk: Desk | None, orders: TrainerOrders) -> None:
        self._desk, self._orders = desk, orders
        self.count = 0
        self._until = self._next = 0.0

    def look(self) -> None:
        """Look for a while, since a fault was ordered."""
        self._until = time.monotonic() + _HITS_FOR

    def changed(self) -> bool:
        """Look again, now and then, and tell whether more hits were counted."""
        now = time.monotonic()
        if self._desk is None or now > self._until or now < self._next:
            return False
        self._next = now + _HITS_EVERY
        try:
            ordered = {one.order.fault.replace(" ", "") for one in self._orders.all() if isinstance(one.order, Fault)}
            count = sum(struck for name, struck in self._desk.struck() if _named(name, ordered))
        except SpokekitError:
            return False
        was, self.count = self.count, count
        return was != count


def _named(fault: tuple[str, int, str], ordered: set[str]) -> bool:
    name, times, on = fault
    end = f"x{times}{f'@{on}' if on else ''}"
    return any(one.endswith(end) and one.startswith((f"{name}:", f"{name}x")) for one in ordered)
