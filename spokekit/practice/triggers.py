"""What is to happen on a practice site at a certain request: a colleague acts, a fault begins, between two calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from spokekit.errors import InputError, SpokekitError

MOST_TRIGGERS = 50
WRITES = ("add", "remove")
_NAMES = ("at", "nth", "when", "orders")


@dataclass
class Trigger:
    """Orders that are done once, at a request that is still to come.

    Parameters
    ----------
    at:
        The operation (``members``, ``add`` ...), or ``write`` for ``add`` and ``remove``.
    nth:
        At which of these requests, counted from when the trigger was set.
    when:
        Before the request is answered, or after it.
    orders:
        What is done: orders of `spokekit.practice.control`.
    seen, done, problem:
        How many of the requests came, whether the orders were done, and why one of them could not be.
    """

    at: str
    nth: int = 1
    when: Literal["before", "after"] = "before"
    orders: tuple[Mapping[str, Any], ...] = ()
    seen: int = field(default=0, compare=False)
    done: bool = field(default=False, compare=False)
    problem: str = field(default="", compare=False)

    @classmethod
    def read(cls, told: Mapping[str, Any], operations: frozenset[str]) -> Trigger:
        """Read a trigger as JSON has it; raises `InputError`."""
        strange = sorted(set(told) - {*_NAMES, "do"})
        if strange:
            raise InputError(f"A trigger has no {strange[0]!r}.", field=strange[0], hint=f"Use {', '.join(_NAMES)}.")
        at, nth, when, orders = told.get("at"), told.get("nth", 1), told.get("when", "before"), told.get("orders")
        if not isinstance(at, str) or (at != "write" and at not in operations):
            raise InputError(
                f"The practice site has no operation {at!r}.",
                field="at",
                hint=f"Choose write, {', '.join(sorted(operations))}.",
            )
        if not isinstance(nth, int) or isinstance(nth, bool) or nth < 1:
            raise InputError("nth is a whole number, 1 or more.", field="nth")
        if when not in ("before", "after"):
            raise InputError("when is before or after.", field="when")
        if not isinstance(orders, list) or not orders or not all(isinstance(order, dict) for order in orders):
            raise InputError("A trigger needs 'orders', a list of orders.", field="orders")
        return cls(at, nth, "before" if when == "before" else "after", tuple(orders))

    def concerns(self, operation: str) -> bool:
        """Whether a request of this operation counts for it."""
        return not self.done and (self.at == operation or (self.at == "write" and operation in WRITES))


class Triggers:
    """The triggers of a site, in the order in which they were set."""

    def __init__(self) -> None:
        self.all: list[Trigger] = []

    def add(self, *triggers: Trigger) -> None:
        """Set triggers; raises `InputError` when there would be too many."""
        if len(self.all) + len(triggers) > MOST_TRIGGERS:
            raise InputError(f"A site has {MOST_TRIGGERS} triggers at most.", field="trigger")
        self.all += triggers

    def clear(self) -> None:
        """Take all triggers away."""
        self.all = []

    def come(self, operation: str) -> list[Trigger]:
        """Count a request and return the triggers that are due with it."""
        due = []
        for trigger in self.all:
            if trigger.concerns(operation):
                trigger.seen += 1
                if trigger.seen == trigger.nth:
                    due.append(trigger)
        return due

    @staticmethod
    def pull(due: list[Trigger], when: str, do: Callable[[Mapping[str, Any]], Any]) -> None:
        """Do the orders of those that are due now; what cannot be done is told in the state of the site."""
        for trigger in due:
            if trigger.when != when:
                continue
            trigger.done = True
            try:
                for order in trigger.orders:
                    do(order)
            except SpokekitError as error:
                trigger.problem = error.message
