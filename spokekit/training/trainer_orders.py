"""What came from the trainer of a class, and what became of it: written once and never changed.

An order has one line when it is taken, before anything is done, and one for each thing that became of it: so nothing is
done twice, whenever a process is killed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import msgspec
import sqlalchemy as sa

from spokekit._words import span
from spokekit.board.wire import (
    Advance,
    AnswerAgain,
    Begin,
    Clear,
    Colleague,
    Done,
    DoneWord,
    Fault,
    OfferReset,
    Order,
    Ordered,
    Release,
    Say,
    Why,
    order_of,
)
from spokekit.connections._tables import append_only
from spokekit.connections.store import Store, UtcDateTime, metadata, storable
from spokekit.training.my_class import my_class

TAKEN = "taken"
ACTS = (Fault, Clear, Advance, Colleague)
"""What is carried out on the practice site; everything else is shown to the learner."""

trainer_orders = sa.Table(
    "trainer_orders",
    metadata,
    sa.Column("line", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("place", sa.String(16), nullable=False),
    sa.Column("n", sa.Integer, nullable=False),
    sa.Column("word", sa.String(12), nullable=False),
    sa.Column("why", sa.String(24), nullable=False, server_default=""),
    sa.Column("told", sa.Text, nullable=False, server_default=""),
    sa.UniqueConstraint("place", "n", "word"),
    sqlite_autoincrement=True,
)
append_only(trainer_orders, "line")


@dataclass(frozen=True)
class Taken:
    """An order that came.

    Attributes
    ----------
    n, order:
        Its number in the class, and what it says.
    at:
        When it came, by this computer's clock.
    words:
        What became of it, in the order in which it did: "done", "shown", "accepted", "declined", "refused".
    """

    n: int
    order: Order
    at: datetime
    words: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """True as long as the learner has neither accepted nor declined it."""
        return not {"accepted", "declined", "refused", "done"} & set(self.words)


class TrainerOrders:
    """The orders of one class in the store of a practice home.

    Parameters
    ----------
    store:
        Of the practice home.
    place:
        `MyClass.place`.
    """

    def __init__(self, store: Store, place: str) -> None:
        self.store, self.place = store, place
        store.ensure(trainer_orders)

    def take(self, ordered: Ordered) -> bool:
        """Note that an order came; False when it had come before."""
        return self._note(ordered.n, TAKEN, told=storable(msgspec.json.encode(ordered.order).decode()))

    def became(self, n: int, word: DoneWord, why: Why = "") -> bool:
        """Note what became of an order; False when that was noted before."""
        return self._note(n, word, why=why)

    def _note(self, n: int, word: str, **more: str) -> bool:
        values = {"at": datetime.now(UTC), "place": self.place, "n": n, "word": word, **more}
        t = trainer_orders
        with self.store.write() as db:
            mine = (t.c.place == self.place) & (t.c.n == n) & (t.c.word == word)
            if db.execute(sa.select(t.c.line).where(mine)).first() is not None:
                return False
            db.execute(t.insert().values(values))
        return True

    def last(self) -> int:
        """Return the highest number that came."""
        t = trainer_orders
        with self.store.read() as db:
            return db.execute(sa.select(sa.func.max(t.c.n)).where(t.c.place == self.place)).scalar() or 0

    def last_line(self) -> int:
        """Return the number of the last line, of whichever class."""
        with self.store.read() as db:
            return db.execute(sa.select(sa.func.max(trainer_orders.c.line))).scalar() or 0

    def all(self) -> tuple[Taken, ...]:
        """Return the orders that came, oldest first."""
        t = trainer_orders
        with self.store.read() as db:
            rows = list(db.execute(sa.select(t).where(t.c.place == self.place).order_by(t.c.line)).mappings())
        words: dict[int, list[str]] = {}
        for row in rows:
            if row["word"] != TAKEN:
                words.setdefault(row["n"], []).append(row["word"])
        return tuple(
            Taken(row["n"], order_of(msgspec.json.decode(row["told"])), row["at"], tuple(words.get(row["n"], ())))
            for row in rows
            if row["word"] == TAKEN
        )

    def done(self, after: int) -> list[tuple[int, Done]]:
        """Return what became of orders, each with its line, after a line."""
        t = trainer_orders
        query = sa.select(t).where(t.c.place == self.place, t.c.word != TAKEN, t.c.line > after).order_by(t.c.line)
        known = get_args(DoneWord)
        with self.store.read() as db:
            return [
                (row["line"], Done(row["n"], row["word"], row["at"].timestamp(), row["why"]))
                for row in db.execute(query).mappings()
                if row["word"] in known
            ]


def orders_of(root: Path, store: Store) -> TrainerOrders | None:
    """Return the orders of the class that a practice home is in; None where nobody joined."""
    joined = my_class(root)
    return TrainerOrders(store, joined.place) if joined is not None else None


def about_lesson(found: Iterable[Taken], kind: type[Any], lesson: str) -> list[Taken]:
    """Return the orders of a kind that name a lesson, oldest first."""
    return [one for one in found if isinstance(one.order, kind) and one.order.lesson == lesson]


def is_released(found: Iterable[Taken], lesson: str) -> bool:
    """Tell whether the trainer has set the solution of a lesson free."""
    return bool(about_lesson(found, Release, lesson))


def lesson_begun(orders: TrainerOrders, lesson: str) -> None:
    """Note that invitations to a lesson, and offers to start it over, are accepted: an attempt was begun."""
    for one in orders.all():
        if isinstance(one.order, Begin | OfferReset) and one.order.lesson == lesson and one.is_open:
            orders.became(one.n, "accepted")


def words_of(order: Order) -> str:
    """Return what an order has changed on the practice site, as the end of a sentence; "" where it changes nothing."""
    match order:
        case Fault(fault):
            return f"the fault {fault} was ordered"
        case Clear():
            return "all faults were ended"
        case Advance(_, seconds):
            return f"its clock went on by {span(seconds)}"
        case Colleague(change, group):
            how = "put somebody into" if change == "add" else "took somebody out of"
            return f"a colleague {how} {group}"
    return ""


def changes_since(found: Iterable[Taken], began: datetime) -> str:
    """Return what the trainer has changed on the practice site since a moment, as a sentence; "" for nothing."""
    done = [
        words_of(one.order) for one in found if isinstance(one.order, ACTS) and "done" in one.words and one.at >= began
    ]
    told = "; ".join(done[-5:])
    return f"Your trainer changed something on the practice site: {told}." if told else ""


_SPOKEN: Mapping[type[Any], str] = {
    Say: "Your trainer says: {0.text}",
    Begin: "Your trainer asks you to begin a lesson: spokekit lessons begin {0.lesson}",
    Release: "Your trainer has set a solution free: spokekit lessons solution {0.lesson}",
    OfferReset: "Your trainer offers you a fresh start, if you like: spokekit lessons reset {0.lesson}",
    AnswerAgain: "Your trainer asks: discuss, then answer once more: spokekit lessons answer {0.lesson}",
}


def spoken_by(order: Order) -> str:
    """Return what an order says to somebody in a terminal; "" for one that changes the practice site."""
    return _SPOKEN.get(type(order), "").format(order)


__all__ = [
    "ACTS",
    "AnswerAgain",
    "Begin",
    "OfferReset",
    "Release",
    "Say",
    "Taken",
    "TrainerOrders",
    "about_lesson",
    "changes_since",
    "is_released",
    "lesson_begun",
    "orders_of",
    "spoken_by",
    "trainer_orders",
    "words_of",
]
