"""Carry out what the trainer of a class orders: on the practice site only, and only what is on a closed list.

What changes the practice site is done at once, in its own time, or refused with a word why. What is for the learner (a
message, an invitation, an offer) is only noted here: the components and the command line show it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spokekit.board.wire import Advance, Clear, Colleague, Fault, Order, Ordered, Why
from spokekit.errors import SpokekitError
from spokekit.training.attempts import current_in
from spokekit.training.desk import Desk
from spokekit.training.seen import PersonSeen, SiteState
from spokekit.training.trainer_orders import ACTS, TrainerOrders

OUT_OF_DATE = 600.0
"""Seconds after which an order that changes the practice site is no longer meant for now."""
QUIET_WITHIN = 60.0
"""Seconds for which time travel waits until nobody is in the middle of a request or a consent."""
MOST_TAKEN = 5_000
_MOST_A_MINUTE = 120
_MOST_WAITING = 5
_LOOK = 0.2


class CarryingOut:
    """Carries orders out on one practice site.

    Parameters
    ----------
    root:
        The practice home.
    desk:
        The practice site, or None where there is none.
    orders:
        Where they are noted.
    stopped:
        Set when no more is to be done.
    noted:
        Called when something became of an order.
    """

    def __init__(
        self, root: Path, desk: Desk | None, orders: TrainerOrders, stopped: threading.Event, noted: Callable[[], None]
    ) -> None:
        self._root, self._desk, self._orders = root, desk, orders
        self._stopped, self._noted = stopped, noted
        self._lately: deque[float] = deque()
        self._waiting = 0
        self._taken = 0

    def take(self, ordered: Ordered, age: float) -> None:
        """Note an order and carry it out, unless it came before.

        Parameters
        ----------
        age:
            Seconds since it was given, by the board's own clock.
        """
        if self._taken > MOST_TAKEN or not self._orders.take(ordered):
            return
        self._taken += 1
        if isinstance(ordered.order, ACTS):
            self._act(ordered.n, ordered.order, age)

    def finish(self) -> None:
        """Refuse what was begun when this process was killed: whether it was done is not known, and never twice.

        Ending all faults is the exception: that may be done as often as one likes.
        """
        open_ones = self._orders.all()
        self._taken = len(open_ones)
        for one in open_ones:
            if isinstance(one.order, ACTS) and not one.words:
                if isinstance(one.order, Clear):
                    self._act(one.n, one.order, 0.0)
                else:
                    self._end(one.n, "not quiet" if isinstance(one.order, Advance) else "not possible here")

    # -- on the site ---------------------------------------------------------------------------------------------------

    def _act(self, n: int, order: Order, age: float) -> None:
        if self._desk is None or not self._desk.is_practice:
            self._end(n, "no practice site")
        elif age > OUT_OF_DATE:
            self._end(n, "out of date")
        elif self._too_many():
            self._end(n, "not possible here")
        elif isinstance(order, Advance):
            self._wait_to_advance(n, order)
        else:
            self._end(n, self._do(order))

    def _end(self, n: int, why: Why) -> None:
        self._orders.became(n, "refused" if why else "done", why)
        self._noted()

    def _too_many(self) -> bool:
        now = time.monotonic()
        while self._lately and now - self._lately[0] > 60:
            self._lately.popleft()
        self._lately.append(now)
        return len(self._lately) > _MOST_A_MINUTE

    def _do(self, order: Order) -> Why:
        assert self._desk is not None  # noqa: S101 - `_act` has looked
        try:
            told = _as_order(order, self._desk)
            if told is None:
                return "not possible here"
            self._desk.order(told)
        except SpokekitError:
            return "not possible here"
        return ""

    # -- time travel ---------------------------------------------------------------------------------------------------

    def _wait_to_advance(self, n: int, order: Advance) -> None:
        """Let time pass once the site is quiet, beside whatever else is ordered meanwhile."""
        if self._waiting >= _MOST_WAITING:
            self._end(n, "not quiet")
            return
        self._waiting += 1
        threading.Thread(target=self._advance, args=(n, order), name="spokekit-advance", daemon=True).start()

    def _advance(self, n: int, order: Advance) -> None:
        assert self._desk is not None  # noqa: S101 - `_act` has looked
        # A computer that sleeps stops one of the two clocks.
        until, by_the_wall = time.monotonic() + QUIET_WITHIN, time.time() + QUIET_WITHIN
        why: Why = "not quiet"
        try:
            while not self._stopped.is_set() and time.monotonic() < until and time.time() < by_the_wall:
                now = current_in(self._root)
                if now is None or now[0] != order.lesson:
                    why = "other lesson"
                    break
                try:
                    self._desk.order({"do": "advance", "seconds": order.seconds})
                except SpokekitError:
                    # Somebody is in the middle of something, or the site has ended.
                    self._stopped.wait(_LOOK)
                else:
                    why = ""
                    break
        finally:
            self._waiting -= 1
            self._end(n, why)


def _as_order(order: Order, desk: Desk) -> dict[str, Any] | None:
    """Return what the practice site is told, or None where that cannot be here."""
    if isinstance(order, Fault):
        return {"do": "faults", "add": [order.fault.replace(" ", "")]}
    if isinstance(order, Clear):
        return {"do": "faults", "clear": True}
    if isinstance(order, Colleague):
        state = desk.state()
        person = whom(order, state)
        if person is None:
            return None
        return {"do": order.change, "group": state.groups[order.group].group_id, "account": person.account_id}
    return None


def whom(order: Colleague, state: SiteState) -> PersonSeen | None:
    """Return the first person, by name, of this world of whom an order speaks; None where there is nobody.

    Whoever is added is not in the group yet, and whoever is removed is in it. It is never the person who is signed in,
    and never an app's account.
    """
    group = state.groups.get(order.group)
    if group is None:
        return None
    inside = order.change == "remove"
    if inside and order.who == "somebody who is not in it":
        return None
    found = [
        one
        for one in state.people.values()
        if not one.is_app
        and one.account_id != state.account_id
        and (one.account_id in group.members) is inside
        and _is_one(one, order.who)
    ]
    return min(found, key=lambda one: (one.name, one.account_id), default=None)


def _is_one(person: PersonSeen, who: str) -> bool:
    active = person.status == "active"
    return person.is_guest is (who == "a guest") and active is (who != "a deactivated member")
